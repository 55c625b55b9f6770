//! What a worker writes down about a shard: the order of its deliveries, and its results.

use std::ops::Range;

use super::ring::Message;
use crate::measures::Measures;
use crate::options::Ending;

/// A forward step of the shard: how many spikes it delivered, and how many neurons fired in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedStep {
    pub(super) n_delivered: u32,
    pub(super) n_fired: u32,
}

/// A position in a log, between two forward steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) steps: usize,
    pub(super) delivered: usize,
    pub(super) fired: usize,
    /// Scheduled input spikes that have joined in the sample.
    pub(super) inputs: usize,
}

/// The order of one shard's deliveries, written by its worker alone and merged when the run is over.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) steps: Vec<LoggedStep>,
    pub(super) delivered: Vec<Message>,
    /// The neuron, and its potential when it fired.
    pub(super) fired: Vec<(u32, f32)>,
    /// One for each neuron that fired; empty without dropouts.
    pub(super) fates: Vec<u8>,
    /// For each timestep that was run: where it ends, and how it ended.
    pub(super) timesteps: Vec<(Mark, Ending)>,
    /// Where each sample's timesteps end.
    pub(super) samples: Vec<usize>,
}

impl Log {
    /// The timesteps of the `number`-th sample that the shard ran.
    pub(super) fn timesteps_of(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.samples[before]);
        start..self.samples[number]
    }

    /// Where a timestep begins.
    pub(super) fn mark(&self, timestep: usize) -> Mark {
        timestep.checked_sub(1).map_or(Mark::default(), |before| self.timesteps[before].0)
    }
}

/// The results of a shard in the samples that it ran, one after the other.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) counts: Vec<f32>,
    pub(super) output_v: Vec<T>,
    pub(super) spike_counts: Vec<u32>,
    pub(super) state: Vec<T>,
    pub(super) measures: Vec<Measures>,
    /// (spikes before it as far as this shard could see, output neuron).
    pub(super) output_spikes: Vec<(u32, u32)>,
    pub(super) output_ends: Vec<usize>,
    pub(super) log: Log,
}

/// The results of the shards that ran a sample, and which of their samples it was: group `g` of `n` ran the samples `g,
/// g + n, ...`.
pub(super) fn found_in<T>(groups: &[Vec<Found<T>>], sample: usize) -> (&[Found<T>], usize) {
    (&groups[sample % groups.len()], sample / groups.len())
}

impl<T> Found<T> {
    /// The output spikes of the `number`-th sample.
    pub(super) fn output_spikes_of(&self, number: usize) -> &[(u32, u32)] {
        let start = number.checked_sub(1).map_or(0, |before| self.output_ends[before]);
        &self.output_spikes[start..self.output_ends[number]]
    }
}
