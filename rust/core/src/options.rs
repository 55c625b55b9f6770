//! The options of a run, besides network, input and schedule, and how a timestep can end (`docs/semantics.md`,
//! "Stops").

use serde::{Deserialize, Serialize};

use crate::fates::Dropout;

/// How the input spikes of a timestep arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InputMode {
    /// As one group, in forward step 0.
    #[default]
    AtOnce,
    /// They join the pending spikes.
    Scheduled,
}

/// What a stop does with pending spikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnStop {
    /// They are dropped.
    #[default]
    Discard,
    /// They stay pending in the next timestep.
    Carry,
}

/// What an output spike stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStop {
    /// The timestep.
    Timestep,
    /// The sample.
    Sample,
}

/// What stopped a sample before it was quiescent; of several stops in a sample, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum StopReason {
    /// Nothing did.
    #[default]
    None = 0,
    /// `max_spikes`.
    MaxSpikes = 1,
    /// `stop_on_output`.
    Output = 2,
    /// `max_forward_steps`.
    MaxForwardSteps = 3,
}

/// How a timestep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No spike was pending.
    Quiescent,
    /// Pending spikes were dropped.
    Discarded(StopReason),
    /// Pending spikes stayed pending.
    Carried(StopReason),
    /// The whole sample ended.
    Stopped(StopReason),
}

impl Ending {
    /// How the timestep ends, as a message says it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Quiescent => "quiescent",
            Self::Discarded(_) => "by a stop that discards pending spikes",
            Self::Carried(_) => "by a stop that carries pending spikes over",
            Self::Stopped(_) => "with its sample",
        }
    }

    /// The ending as a number: 0 for quiescent, then 1 to 3 for discarded, 4 to 6 for carried and 7 to 9 for stopped,
    /// in the order of the reasons.
    pub fn code(self) -> u8 {
        match self {
            Self::Quiescent => 0,
            Self::Discarded(reason) => reason as u8,
            Self::Carried(reason) => 3 + reason as u8,
            Self::Stopped(reason) => 6 + reason as u8,
        }
    }

    /// The ending with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        let reason = [StopReason::MaxSpikes, StopReason::Output, StopReason::MaxForwardSteps]
            [usize::from(code.saturating_sub(1) % 3)];
        match code {
            0 => Some(Self::Quiescent),
            1..=3 => Some(Self::Discarded(reason)),
            4..=6 => Some(Self::Carried(reason)),
            7..=9 => Some(Self::Stopped(reason)),
            _ => None,
        }
    }

    /// What stopped the timestep.
    pub fn reason(self) -> StopReason {
        match self {
            Self::Quiescent => StopReason::None,
            Self::Discarded(reason) | Self::Carried(reason) | Self::Stopped(reason) => reason,
        }
    }
}

/// Everything about a run except network, input and schedule.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each says whether to keep something
pub struct Options {
    /// Length of a timestep in seconds.
    pub dt: f64,
    /// One id per sample, which keys its random numbers; `None` stands for its position in the batch.
    pub sample_ids: Option<Vec<u64>>,
    /// Worker threads.
    pub threads: usize,
    /// How input spikes arrive.
    pub input_mode: InputMode,
    /// Stops a timestep that has taken this many forward steps and still has spikes pending.
    pub max_forward_steps: u64,
    /// Stops a sample once it has fired this many spikes.
    pub max_spikes: Option<u64>,
    /// Stops after an output spike.
    pub stop_on_output: Option<OutputStop>,
    /// Forward steps between that output spike and the stop.
    pub extra_steps: u64,
    /// What a stop does with pending spikes.
    pub on_stop: OnStop,
    /// Dropouts, for training; a replay takes the fates of its spikes from its record instead.
    pub dropout: Option<Dropout>,
    /// Record a trace.
    pub record: bool,
    /// Keep the output's spike counts of every timestep.
    pub keep_counts: bool,
    /// Keep the output neurons' potentials at the end of every timestep.
    pub keep_output_v: bool,
    /// Keep every neuron's spike count.
    pub keep_spike_counts: bool,
    /// Keep when each output spike fired.
    pub keep_output_spikes: bool,
    /// Keep the final state.
    pub keep_state: bool,
}

impl Options {
    /// The usual options with this timestep.
    pub fn new(dt: f64) -> Self {
        Self {
            dt,
            sample_ids: None,
            threads: 1,
            input_mode: InputMode::AtOnce,
            max_forward_steps: 1_000_000,
            max_spikes: None,
            stop_on_output: None,
            extra_steps: 0,
            on_stop: OnStop::Discard,
            dropout: None,
            record: false,
            keep_counts: true,
            keep_output_v: false,
            keep_spike_counts: true,
            keep_output_spikes: true,
            keep_state: false,
        }
    }
}
