//! Arrival order.

use std::collections::VecDeque;

use super::{Moment, Pending, Schedule};
use crate::error::Error;
use crate::float::Float;

/// Selects the lowest arrival numbers.
#[derive(Debug)]
pub(crate) struct Fifo {
    group_size: usize,
    pending: VecDeque<Pending>,
}

impl Fifo {
    pub(crate) fn new(group_size: usize) -> Self {
        Self { group_size, pending: VecDeque::new() }
    }
}

impl<T: Float> Schedule<T> for Fifo {
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
        group.extend(self.pending.drain(..self.group_size.min(self.pending.len())));
        Ok(())
    }

    fn upcoming(&self) -> [Option<u32>; 2] {
        [0, 1].map(|at| self.pending.get(at).map(|spike| spike.source()))
    }

    fn clear(&mut self) {
        self.pending.clear();
    }
}
