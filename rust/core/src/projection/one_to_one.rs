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
        for &(source, m) in spikes {
            let weight = self.weight[source as usize];
            if weight != T::ZERO {
                state.event(target.start + source as usize, weight * m);
            }
        }
    }
}
