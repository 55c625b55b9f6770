//! Uniform choice without replacement, afresh in every step.

use super::{Moment, Pending, Schedule, sort_by_arrival};
use crate::error::Error;
use crate::float::Float;
use crate::rng::{Philox, index_below};

/// Selects by a partial shuffle, exactly as `docs/DETERMINISM.md` specifies.
#[derive(Debug)]
pub(crate) struct Random {
    group_size: usize,
    seed: u64,
    pending: Vec<Pending>,
}

impl Random {
    pub(crate) fn new(group_size: usize, seed: u64) -> Self {
        Self { group_size, seed, pending: Vec::new() }
    }
}

impl<T: Float> Schedule<T> for Random {
    #[inline]
    fn fired(&mut self, _: Moment, first_arrival: u32, neurons: &[u32], _: &[T]) -> Result<(), Error> {
        self.pending
            .extend((first_arrival..).zip(neurons).map(|(arrival, &neuron)| Pending::new(arrival, neuron)));
        Ok(())
    }

    fn inputs_joined(&mut self, moment: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error> {
        Schedule::<T>::fired(self, moment, first_arrival, sources, &[])
    }

    #[inline]
    fn pending(&self) -> usize {
        self.pending.len()
    }

    #[inline]
    fn select(&mut self, moment: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        let n = self.pending.len();
        if n <= self.group_size {
            group.append(&mut self.pending);
        } else {
            let (timestep, step) = (moment.timestep.into(), moment.step.into());
            let random = Philox::new(self.seed, moment.sample_id, timestep, step, 0);
            let mut left = n;
            for block in 1..=self.group_size.div_ceil(4) as u64 {
                let numbers = random.block(block);
                for &number in &numbers[..numbers.len().min(left + self.group_size - n)] {
                    let index = index_below(number, left);
                    left -= 1;
                    group.push(self.pending[index]);
                    self.pending[index] = self.pending[left];
                }
            }
            self.pending.truncate(left);
        }
        sort_by_arrival(group);
        Ok(())
    }

    fn clear(&mut self) {
        self.pending.clear();
    }
}
