//! Schedules: which of the pending spikes are delivered next (`docs/semantics.md`, "Schedules").
//!
//! A schedule is one file with one implementation of [`Schedule`] and one variant of [`ScheduleSpec`].

mod custom;
mod fifo;
mod lifo;
mod random;
mod ranked;
mod replay;

use std::sync::Arc;

pub(crate) use custom::Custom;
pub use custom::{CustomPick, Ends, Key, PendingSpike};
pub(crate) use fifo::Fifo;
pub(crate) use lifo::Lifo;
pub(crate) use random::Random;
pub(crate) use ranked::{Momentum, Priority};
pub(crate) use replay::Replay;

use crate::error::Error;
use crate::float::Float;
use crate::free::FreeRunning;
use crate::network::Network;
use crate::options::Ending;
use crate::trace::Trace;

/// A pending spike: its arrival number in the high half, its source (a neuron's id, or the number of neurons plus an
/// input channel) in the low half. So spikes are ordered by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pending(u64);

impl Pending {
    #[inline]
    pub(crate) fn new(arrival: u32, source: u32) -> Self {
        Self(u64::from(arrival) << 32 | u64::from(source))
    }
    #[inline]
    pub(crate) fn arrival(self) -> u32 {
        (self.0 >> 32) as u32
    }
    #[inline]
    pub(crate) fn source(self) -> u32 {
        self.0 as u32
    }
}

/// Puts a group into arrival order. Small groups, which are the rule, are sorted by counting how many
/// spikes come before each: no branch depends on the order, which is random.
#[inline]
pub(crate) fn sort_by_arrival(group: &mut [Pending]) {
    match group.len() {
        0..=1 => {}
        2..=8 => sort_by_counting::<8>(group),
        9..=16 => sort_by_counting::<16>(group),
        _ => group.sort_unstable(),
    }
}

#[inline]
fn sort_by_counting<const MOST: usize>(group: &mut [Pending]) {
    let mut spikes = [Pending(u64::MAX); MOST];
    spikes[..group.len()].copy_from_slice(group);
    let arrivals = spikes.map(Pending::arrival);
    for (at, spike) in spikes[..group.len()].iter().enumerate() {
        let before: usize = arrivals.iter().map(|&a| usize::from(a < arrivals[at])).sum();
        group[before] = *spike;
    }
}

/// Where a run stands: all that a schedule's random numbers may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Position in the batch.
    pub(crate) sample: usize,
    pub(crate) sample_id: u64,
    pub(crate) timestep: u32,
    pub(crate) step: u32,
}

/// The pending spikes of one sample, and the choice among them.
pub(crate) trait Schedule<T: Float>: Send {
    /// A new sample begins; nothing is pending.
    fn begin_sample(&mut self, _sample: usize) -> Result<(), Error> {
        Ok(())
    }
    /// Adds the spikes of the neurons that fired in a step, numbered from `first_arrival` in neuron order. Called for
    /// every step, even if none fired.
    fn fired(&mut self, moment: Moment, first_arrival: u32, neurons: &[u32], v: &[T]) -> Result<(), Error>;
    /// Adds input spikes; each of `sources` is the number of neurons plus a channel.
    fn inputs_joined(&mut self, moment: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error>;
    /// How many spikes are pending.
    fn pending(&self) -> usize;
    /// Moves the next group, one spike or more, from the pending spikes to `group` (which is passed empty), in arrival
    /// order.
    fn select(&mut self, moment: Moment, group: &mut Vec<Pending>) -> Result<(), Error>;
    /// Neurons whose spikes are likely to be selected next; only a hint.
    fn upcoming(&self) -> [Option<u32>; 2] {
        [None; 2]
    }
    /// Drops all pending spikes.
    fn clear(&mut self);
    /// How the timestep ended after the step just taken, according to the record that the run follows; `None` if it
    /// went on. `unfinished` says whether it would go on by the run's own rules. Only called if `follows_record`.
    fn recorded_ending(&mut self, _moment: Moment, _unfinished: bool) -> Result<Option<Ending>, Error> {
        Ok(None)
    }
    /// What became of the neurons that fired in the current step, according to the record; see [`crate::fates`].
    fn recorded_fates(&self) -> &[u8] {
        &[]
    }
    /// The sample has ended.
    fn end_sample(&mut self, _moment: Moment) -> Result<(), Error> {
        Ok(())
    }
    /// Whether the run follows a record, which then says when timesteps end.
    fn follows_record(&self) -> bool {
        false
    }
}

/// A schedule as a user specifies it; each worker makes its own instance.
#[derive(Clone)]
pub enum ScheduleSpec {
    /// Population by population: the layer-synchronised baseline.
    Layered {
        /// Whether feedback projections deliver in the next timestep; otherwise graphs with cycles are refused.
        feedback: bool,
    },
    /// Uniformly without replacement.
    Random {
        /// F.
        group_size: usize,
        /// Keys the random numbers.
        seed: u64,
    },
    /// The highest potential at firing first.
    Momentum {
        /// F.
        group_size: usize,
        /// Width of the uniform noise on the rank.
        noise: f64,
        /// Keys the random numbers.
        seed: u64,
    },
    /// The lowest arrival number first.
    Fifo {
        /// F.
        group_size: usize,
    },
    /// The highest arrival number first.
    Lifo {
        /// F.
        group_size: usize,
    },
    /// The highest value of the neuron first.
    Priority {
        /// F.
        group_size: usize,
        /// One value per neuron.
        values: Arc<Vec<f64>>,
    },
    /// What a callable picks.
    Custom {
        /// F.
        group_size: usize,
        /// Keys the callable's random numbers.
        seed: u64,
        /// The callable.
        pick: CustomPick,
    },
    /// Selects nothing: neurons run concurrently.
    FreeRunning(FreeRunning),
    /// What a trace recorded.
    Replay {
        /// The trace.
        trace: Arc<Trace>,
    },
}

impl std::fmt::Debug for ScheduleSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replayed = if matches!(self, Self::Replay { .. }) { "replay of " } else { "" };
        write!(f, "{replayed}{} F={}", self.name(), self.group_size())
    }
}

impl ScheduleSpec {
    /// The schedule's name; a replay has the name of what it replays.
    pub fn name(&self) -> &str {
        match self {
            Self::Layered { .. } => "layered",
            Self::Random { .. } => "random",
            Self::Momentum { .. } => "momentum",
            Self::Fifo { .. } => "fifo",
            Self::Lifo { .. } => "lifo",
            Self::Priority { .. } => "priority",
            Self::Custom { .. } => "custom",
            Self::FreeRunning(_) => "free",
            Self::Replay { trace } => &trace.header().schedule,
        }
    }

    /// F; 0 where the schedule has none.
    pub fn group_size(&self) -> usize {
        match self {
            Self::Layered { .. } => 0,
            Self::Random { group_size, .. }
            | Self::Momentum { group_size, .. }
            | Self::Fifo { group_size }
            | Self::Lifo { group_size }
            | Self::Priority { group_size, .. }
            | Self::Custom { group_size, .. } => *group_size,
            Self::FreeRunning(free) => free.group_size,
            Self::Replay { trace } => trace.header().group_size,
        }
    }

    /// Checks the parameters against the network.
    pub(crate) fn check<T: Float>(&self, network: &Network<T>) -> Result<(), Error> {
        if self.group_size() == 0 && self.name() != "layered" {
            return Err(Error::schedule("forward_group_size", 0, "an integer of 1 or more"));
        }
        match self {
            Self::Momentum { noise, .. } if !(noise.is_finite() && *noise >= 0.0) => {
                Err(Error::schedule("noise", noise, "a finite number of 0 or more"))
            }
            Self::Priority { values, .. } if values.len() != network.n_neurons() => Err(Error::schedule(
                "values",
                format!("{} values", values.len()),
                format!("{} values, one a neuron", network.n_neurons()),
            )),
            Self::Priority { values, .. } if values.iter().any(|value| value.is_nan()) => {
                Err(Error::schedule("values", "NaN", "numbers"))
            }
            Self::FreeRunning(free) => free.check(),
            Self::Replay { trace } => trace.check_network(network),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_of_any_size_come_out_in_arrival_order(
            arrivals in prop::collection::hash_set(0..u32::MAX, 0..40),
        ) {
            let mut group: Vec<_> = arrivals.iter().map(|&a| Pending::new(a, !a)).collect();
            let mut sorted = group.clone();
            sorted.sort();
            sort_by_arrival(&mut group);
            prop_assert_eq!(group, sorted);
        }
    }
}
