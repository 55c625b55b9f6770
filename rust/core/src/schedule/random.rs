//! Uniform choice without replacement, afresh in every step.

use super::{Moment, Pending, Schedule};
use crate::error::Error;
use crate::float::Float;
use crate::rng::{Philox, index_below};

/// Selects by a partial shuffle, exactly as `docs/DETERMINISM.md` writes it down.
#[derive(Debug)]
pub(crate) struct Random {
    group_size: usize,
    seed: u64,
    pending: Vec<Pending>,
}

impl Random {
    pub(crate) fn new(group_size: usize, seed: u64) -> Self {
        Self {
            group_size,
            seed,
            pending: Vec::new(),
        }
    }
}

impl<T: Float> Schedule<T> for Random {
    #[inline]
    fn fired(
        &mut self,
        _: Moment,
        first_arrival: u32,
        neurons: &[u32],
        _: &[T],
    ) -> Result<(), Error> {
        self.pending.extend(
            (first_arrival..)
                .zip(neurons)
                .map(|(arrival, &neuron)| Pending::new(arrival, neuron)),
        );
        Ok(())
    }

    fn inputs_joined(
        &mut self,
        moment: Moment,
        first_arrival: u32,
        sources: &[u32],
    ) -> Result<(), Error> {
        Schedule::<T>::fired(self, moment, first_arrival, sources, &[])
    }

    #[inline]
    fn pending(&self) -> usize {
        self.pending.len()
    }

    #[inline]
    fn select(&mut self, moment: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        if self.pending.len() <= self.group_size {
            group.append(&mut self.pending);
        } else {
            let random = Philox::new(
                self.seed,
                moment.sample_id,
                moment.timestep.into(),
                moment.step.into(),
                0,
            );
            let mut picked = 0;
            for block in 1.. {
                for number in random.block(block) {
                    if picked == self.group_size {
                        break;
                    }
                    group.push(
                        self.pending
                            .swap_remove(index_below(number, self.pending.len())),
                    );
                    picked += 1;
                }
                if picked == self.group_size {
                    break;
                }
            }
        }
        group.sort_unstable();
        Ok(())
    }

    fn clear(&mut self) {
        self.pending.clear();
    }
}
