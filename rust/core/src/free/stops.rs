//! Stops under concurrency (`docs/semantics.md`, "Free running"): whoever notices first that a limit is reached says
//! so, and every shard drops what waits for it as soon as it looks.

use crossbeam_utils::CachePadded;

use super::shard::Place;
use crate::options::{Ending, OnStop, Options, OutputStop, StopReason};
use crate::sync::{AtomicU64, Ordering};

/// What workers tell each other about the sample and the timestep at hand. All loads and stores are Relaxed unless they
/// say why not: a stop only has to be seen before long, and what is decided at the end of a timestep is ordered by its
/// quiescence.
pub(super) struct Stops<'a> {
    options: &'a Options,
    n_timesteps: usize,
    /// By shard: its sample plus one (high half), and the spikes that it has fired in that sample (low half).
    spikes: Box<[CachePadded<AtomicU64>]>,
    /// The epoch or the sample, plus one, in which an output spike has been fired.
    output: CachePadded<AtomicU64>,
    /// By parity of the epoch: the epoch plus one, and (low byte) the reason why it was stopped.
    reasons: [CachePadded<AtomicU64>; 2],
    /// By parity of the epoch: the epoch plus one in which a shard had spikes to drop.
    dropped: [CachePadded<AtomicU64>; 2],
}

impl<'a> Stops<'a> {
    pub(super) fn new(options: &'a Options, n_timesteps: usize, n_shards: usize) -> Self {
        let zero = || CachePadded::new(AtomicU64::new(0));
        Self {
            options,
            n_timesteps,
            spikes: (0..n_shards).map(|_| zero()).collect(),
            output: zero(),
            reasons: [zero(), zero()],
            dropped: [zero(), zero()],
        }
    }

    /// Publishes how many spikes a shard has fired in the sample.
    pub(super) fn publish_spikes(&self, at: Place, shard: usize, spikes: u64) {
        let word = (at.sample as u64 + 1) << 32 | spikes.min(u64::from(u32::MAX));
        self.spikes[shard].store(word, Ordering::Relaxed);
    }

    /// Spikes that other shards have fired in the sample, as far as can be seen.
    pub(super) fn spikes_of_others(&self, at: Place, shard: usize) -> u64 {
        let others = self.spikes.iter().enumerate().filter(|(other, _)| *other != shard);
        let words = others.map(|(_, word)| word.load(Ordering::Relaxed));
        words.filter(|word| word >> 32 == at.sample as u64 + 1).map(|word| word & u64::from(u32::MAX)).sum()
    }

    fn scope_of_output(&self, at: Place) -> u64 {
        let is_sample = self.options.stop_on_output == Some(OutputStop::Sample);
        1 + if is_sample { at.sample as u64 } else { at.epoch }
    }

    /// Notes that an output neuron has fired.
    pub(super) fn saw_output(&self, at: Place) {
        self.output.store(self.scope_of_output(at), Ordering::Relaxed);
    }

    pub(super) fn has_seen_output(&self, at: Place) -> bool {
        self.output.load(Ordering::Relaxed) == self.scope_of_output(at)
    }

    /// Stops the timestep, or the sample; the first reason given stands.
    pub(super) fn stop(&self, at: Place, reason: StopReason) {
        let word = &self.reasons[(at.epoch & 1) as usize];
        let now = word.load(Ordering::Relaxed);
        if now >> 8 != at.epoch + 1 {
            let new = (at.epoch + 1) << 8 | reason as u64;
            // If another worker was first, its reason stands.
            let _ = word.compare_exchange(now, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Why the timestep is stopped, if it is.
    pub(super) fn reason(&self, at: Place) -> Option<StopReason> {
        let word = self.reasons[(at.epoch & 1) as usize].load(Ordering::Relaxed);
        let reasons = [StopReason::MaxSpikes, StopReason::Output, StopReason::MaxForwardSteps];
        (word >> 8 == at.epoch + 1).then(|| reasons[(word & 0xFF) as usize - 1])
    }

    /// Notes that a shard had spikes to drop.
    pub(super) fn dropped(&self, at: Place) {
        self.dropped[(at.epoch & 1) as usize].store(at.epoch + 1, Ordering::Relaxed);
    }

    /// How the timestep ended; asked once it is quiescent. Two words, chosen by parity, are enough because nobody is
    /// two timesteps ahead of anybody.
    pub(super) fn ending(&self, at: Place) -> Ending {
        let has_dropped = self.dropped[(at.epoch & 1) as usize].load(Ordering::Relaxed) == at.epoch + 1;
        let is_last = at.timestep + 1 == self.n_timesteps;
        let ends_sample = |reason| match reason {
            StopReason::MaxSpikes => true,
            StopReason::Output => self.options.stop_on_output == Some(OutputStop::Sample),
            StopReason::None | StopReason::MaxForwardSteps => false,
        };
        match self.reason(at) {
            Some(reason) if ends_sample(reason) && (has_dropped || !is_last) => Ending::Stopped(reason),
            Some(reason) if has_dropped && !ends_sample(reason) => match self.options.on_stop {
                OnStop::Discard => Ending::Discarded(reason),
                OnStop::Carry => Ending::Carried(reason),
            },
            _ => Ending::Quiescent,
        }
    }
}
