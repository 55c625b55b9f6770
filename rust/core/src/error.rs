//! The crate's one error type. A message names the argument, and says what was given and what is accepted.

use crate::float::Float;

/// What can go wrong, by the part of the input that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network, population, projection or neuron model is not well formed.
    #[error("{argument}: got {given}; accepted: {accepted}")]
    Network {
        /// The argument at fault.
        argument: String,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
    /// An input of spikes or currents, or an option of the run, is not well formed.
    #[error("{argument}: got {given}; accepted: {accepted}")]
    Input {
        /// The argument at fault.
        argument: String,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
    /// A schedule is not well formed, or a custom one made an invalid pick.
    #[error("{argument}: got {given}; accepted: {accepted}")]
    Schedule {
        /// The argument at fault.
        argument: String,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
    /// A trace is truncated, altered, foreign, invalid or of another network.
    #[error("trace: {0}")]
    Trace(String),
    /// A replay diverged from its trace.
    #[error("trace: the replay diverges from it at {0}")]
    Replay(String),
    /// A custom schedule's callable failed.
    #[error("{0}")]
    Callable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A custom schedule's callable ended the run, for example because it was interrupted.
    #[error("{0}")]
    Ends(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller asked for the run to stop.
    #[error("interrupted")]
    Interrupted,
    /// A worker thread panicked: a bug in this crate.
    #[error("a worker thread panicked: {0}")]
    Panic(String),
}

/// The first value that is not finite, as error messages show it. Most batches and weights have none, which is checked
/// first and fast.
pub(crate) fn not_finite<T: Float>(values: &[T]) -> Option<String> {
    if T::all_finite(values) {
        return None;
    }
    let index = values.iter().position(|v| !v.is_finite())?;
    Some(format!("{} at flat index {index}", values[index]))
}

/// Defines the constructor of a variant that has the fields `argument`, `given` and `accepted`.
macro_rules! constructor {
    ($name:ident, $variant:ident) => {
        pub(crate) fn $name(argument: impl ToString, given: impl ToString, accepted: impl ToString) -> Self {
            Self::$variant {
                argument: argument.to_string(),
                given: given.to_string(),
                accepted: accepted.to_string(),
            }
        }
    };
}

impl Error {
    /// When several workers fail, the error with the lowest rank tells what really happened.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Ends(_) => 0,
            Self::Interrupted => 2,
            _ => 1,
        }
    }

    constructor!(network, Network);
    constructor!(input, Input);
    constructor!(schedule, Schedule);
}
