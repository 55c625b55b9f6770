//! Neuron `k` of the source reaches neuron `k` of the target.

use super::Target;
use crate::float::Float;
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
        let synapses = weights.filter(|&(_, weight, _)| weight != T::ZERO);
        state.events(synapses.map(|(source, weight, m)| (target.start + source, weight * m)));
    }

    #[inline]
    pub(crate) fn adjoint(&self, source: u32, b: &[T], gradient: &mut [T]) -> T {
        gradient[source as usize] += b[source as usize];
        self.pull(source, b)
    }

    #[inline]
    pub(crate) fn pull(&self, source: u32, b: &[T]) -> T {
        self.weight[source as usize] * b[source as usize]
    }

    #[inline]
    #[allow(clippy::unused_self)] // as every map
    pub(crate) fn learn(&self, spikes: &[(u32, T)], b: &[T], gradient: &mut [T]) {
        for &(source, m) in spikes {
            gradient[source as usize] += b[source as usize] * m;
        }
    }
}
