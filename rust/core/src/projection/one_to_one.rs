//! Neuron `k` of the source reaches neuron `k` of the target.

use super::Target;
use crate::float::Float;
use crate::places::Laid;
use crate::state::State;

#[derive(Clone, Debug)]
pub(crate) struct OneToOne<T> {
    weight: Vec<T>,
}

impl<T: Float> OneToOne<T> {
    pub(crate) fn new(weight: &[T]) -> Self {
        Self { weight: weight.to_vec() }
    }

    pub(crate) fn n_synapses(&self) -> u64 {
        self.weight.iter().filter(|w| **w != T::ZERO).count() as u64
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.weight.len() * size_of::<T>()
    }

    #[inline]
    pub(crate) fn deliver(&self, spikes: &[(u32, T)], target: Target, state: &mut State<T>) {
        let weights = spikes.iter().map(|&(source, m)| (source as usize, self.weight[source as usize], m));
        let in_part = |k: usize| (target.first..target.end).contains(&k);
        let synapses = weights.filter(|&(k, weight, _)| weight != T::ZERO && in_part(k));
        state.events(synapses.map(|(source, weight, m)| (target.start + source, weight * m)));
    }

    pub(crate) fn reaches(&self, source: u32, target: Target) -> bool {
        let k = source as usize;
        (target.first..target.end).contains(&k) && self.weight[k] != T::ZERO
    }

    pub(crate) fn count_by_target(&self, counts: &mut [u64]) {
        for (count, weight) in counts.iter_mut().zip(&self.weight) {
            *count += u64::from(*weight != T::ZERO);
        }
    }

    #[inline]
    pub(crate) fn adjoint(&self, source: u32, target: Target, b: Laid<'_, T>, gradient: &mut [T]) -> T {
        self.learn(&[(source, T::ONE)], target, b, gradient);
        self.pull(source, target, b)
    }

    #[inline]
    pub(crate) fn pull(&self, source: u32, target: Target, b: Laid<'_, T>) -> T {
        let k = source as usize;
        if (target.first..target.end).contains(&k) { self.weight[k] * b.of(k) } else { T::ZERO }
    }

    #[inline]
    #[allow(clippy::unused_self)] // like the other maps
    pub(crate) fn learn(&self, spikes: &[(u32, T)], target: Target, b: Laid<'_, T>, gradient: &mut [T]) {
        let in_part = |source: u32| (target.first..target.end).contains(&(source as usize));
        for &(source, m) in spikes.iter().filter(|spike| in_part(spike.0)) {
            gradient[source as usize] += b.of(source as usize) * m;
        }
    }
}
