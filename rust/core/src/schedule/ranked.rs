//! Schedules that rank every spike once, when it joins: momentum and static priority.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Moment, Pending, Schedule, sort_by_arrival};
use crate::error::Error;
use crate::float::Float;
use crate::rng::{Philox, unit_interval};

/// Pending spikes by rank; among equals the one that arrived first leads.
#[derive(Debug, Default)]
struct RankedQueue {
    /// Rank, inverted arrival number and source in one integer, so that one comparison orders two spikes.
    heap: BinaryHeap<u128>,
}

impl RankedQueue {
    #[inline]
    fn push(&mut self, rank: u64, arrival: u32, source: u32) {
        let entry = u128::from(rank) << 64 | u128::from(!arrival) << 32 | u128::from(source);
        self.heap.push(entry);
    }

    /// Input spikes rank above every number, infinity included.
    fn push_inputs(&mut self, first_arrival: u32, sources: &[u32]) {
        for (arrival, &source) in (first_arrival..).zip(sources) {
            self.push(u64::MAX, arrival, source);
        }
    }

    #[inline]
    fn pop(&mut self, group_size: usize, group: &mut Vec<Pending>) {
        let pending = |entry: u128| Pending::new(!((entry >> 32) as u32), entry as u32);
        if self.heap.len() <= group_size {
            group.extend(self.heap.drain().map(pending));
        } else {
            group.extend((0..group_size).map_while(|_| self.heap.pop()).map(pending));
        }
        sort_by_arrival(group);
    }
}

/// Maps numbers to integers in the same order; both zeros map to the same integer.
#[inline]
fn ordered_bits(rank: f64) -> u64 {
    let bits = (rank + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Selects the highest potentials at firing.
#[derive(Debug)]
pub(crate) struct Momentum {
    group_size: usize,
    noise: f64,
    seed: u64,
    queue: RankedQueue,
}

impl Momentum {
    pub(crate) fn new(group_size: usize, noise: f64, seed: u64) -> Self {
        Self { group_size, noise, seed, queue: RankedQueue::default() }
    }
}

impl<T: Float> Schedule<T> for Momentum {
    #[inline]
    fn fired(&mut self, moment: Moment, first_arrival: u32, neurons: &[u32], v: &[T]) -> Result<(), Error> {
        let spikes = (first_arrival..).zip(neurons).zip(v);
        if self.noise == 0.0 {
            for ((arrival, &neuron), v) in spikes {
                self.queue.push(ordered_bits(v.to_f64()), arrival, neuron);
            }
        } else {
            let random =
                Philox::new(self.seed, moment.sample_id, moment.timestep.into(), moment.step.into(), 1);
            for (((arrival, &neuron), v), number) in spikes.zip(random.draws()) {
                let rank = v.to_f64() + self.noise * unit_interval(number);
                self.queue.push(ordered_bits(rank), arrival, neuron);
            }
        }
        Ok(())
    }

    fn inputs_joined(&mut self, _: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error> {
        self.queue.push_inputs(first_arrival, sources);
        Ok(())
    }

    fn pending(&self) -> usize {
        self.queue.heap.len()
    }

    #[inline]
    fn select(&mut self, _: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        self.queue.pop(self.group_size, group);
        Ok(())
    }

    fn clear(&mut self) {
        self.queue.heap.clear();
    }
}

/// Selects the highest static values.
#[derive(Debug)]
pub(crate) struct Priority {
    group_size: usize,
    values: Arc<Vec<f64>>,
    queue: RankedQueue,
}

impl Priority {
    pub(crate) fn new(group_size: usize, values: Arc<Vec<f64>>) -> Self {
        Self { group_size, values, queue: RankedQueue::default() }
    }
}

impl<T: Float> Schedule<T> for Priority {
    fn fired(&mut self, _: Moment, first_arrival: u32, neurons: &[u32], _: &[T]) -> Result<(), Error> {
        for (arrival, &neuron) in (first_arrival..).zip(neurons) {
            self.queue.push(ordered_bits(self.values[neuron as usize]), arrival, neuron);
        }
        Ok(())
    }

    fn inputs_joined(&mut self, _: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error> {
        self.queue.push_inputs(first_arrival, sources);
        Ok(())
    }

    fn pending(&self) -> usize {
        self.queue.heap.len()
    }

    fn select(&mut self, _: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        self.queue.pop(self.group_size, group);
        Ok(())
    }

    fn clear(&mut self) {
        self.queue.heap.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_bits_order_as_numbers_do() {
        let ranks = [f64::NEG_INFINITY, -1.5, -1e-300, 0.0, 1e-300, 1.5, f64::INFINITY];
        assert!(ranks.windows(2).all(|pair| ordered_bits(pair[0]) < ordered_bits(pair[1])));
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
    }

    #[test]
    fn equal_ranks_leave_in_arrival_order() {
        let mut queue = RankedQueue::default();
        for arrival in [3, 1, 2] {
            queue.push(ordered_bits(0.5), arrival, 10 + arrival);
        }
        let mut group = Vec::new();
        queue.pop(2, &mut group);
        assert_eq!(group, [Pending::new(1, 11), Pending::new(2, 12)]);
    }
}
