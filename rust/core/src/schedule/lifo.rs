//! The reverse of arrival order.

use super::{Moment, Pending, Schedule};
use crate::error::Error;
use crate::float::Float;

/// Selects the highest arrival numbers.
#[derive(Debug)]
pub(crate) struct Lifo {
    group_size: usize,
    /// In arrival order.
    pending: Vec<Pending>,
}

impl Lifo {
    pub(crate) fn new(group_size: usize) -> Self {
        Self { group_size, pending: Vec::new() }
    }
}

impl<T: Float> Schedule<T> for Lifo {
    fn fired(&mut self, _: Moment, first_arrival: u32, neurons: &[u32], _: &[T]) -> Result<(), Error> {
        self.pending
            .extend((first_arrival..).zip(neurons).map(|(arrival, &neuron)| Pending::new(arrival, neuron)));
        Ok(())
    }

    fn inputs_joined(&mut self, moment: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error> {
        Schedule::<T>::fired(self, moment, first_arrival, sources, &[])
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn select(&mut self, _: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        group.extend(self.pending.drain(self.pending.len().saturating_sub(self.group_size)..));
        Ok(())
    }

    fn clear(&mut self) {
        self.pending.clear();
    }
}
