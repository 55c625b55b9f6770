//! Asynchronous, event-driven execution of spiking neural networks.
//!
//! A [`Network`] of leaky integrate-and-fire neurons is run without layer synchronisation: spikes wait in a pending
//! set, a [schedule](ScheduleSpec) decides which of them are delivered next, and only the neurons that they reach are
//! updated. `docs/semantics.md` defines what is computed to the last bit; the comments in this crate refer to its
//! sections by name. The method is that of Koopman et al., *Exploring the Limitations of Layer Synchronization in
//! Spiking Neural Networks* (arXiv 2408.05098).
//!
//! Data flows one way: [`Network`] + [`Input`] + [`ScheduleSpec`] -> [`simulate`] -> [`Output`] (counts, measures and a
//! [`Trace`]).
//!
//! [`FreeRunning`] takes the place of a schedule: shards of the network run on several threads and deliver spikes as
//! they arrive. What happened can be recorded, and replaying the record gives the same bits.
//!
//! [`gradient`](gradient()) walks a recorded run backwards: [`Network`] + [`Input`] + [`Trace`] + [`Cotangents`] ->
//! [`Gradient`]. Spikes have no derivative; a [`Surrogate`] stands in for it.
//!
//! ```
//! use pyasync_core::*;
//!
//! // Two inputs drive one neuron; it needs both spikes to fire.
//! let mut builder = NetworkBuilder::<f32>::new(2);
//! let output = builder.population("output", 1, Lif { v_threshold: vec![1.0], ..Lif::default() });
//! builder.projection(Source::Input, output, Projection::dense(&[0.75, 0.5], 1, 2)?, None);
//! let network = builder.build()?;
//! let input = Input::dense_f32(&[1.0, 1.0], 1, 1, 2)?; // one timestep, one sample
//! let result = simulate(&network, &input, &ScheduleSpec::Fifo { group_size: 8 }, &Options::new(0.01), &mut |_| true)?;
//! assert_eq!(result.counts, [1.0]);
//! # Ok::<(), Error>(())
//! ```

mod aligned;
mod batch;
mod collect;
mod delivery;
mod engine;
mod error;
mod fates;
mod float;
mod float_mode;
mod free;
mod gradient;
mod input;
mod kernels;
mod layered;
mod measures;
mod network;
mod neuron;
mod options;
mod places;
mod prefetch;
mod projection;
mod rng;
mod scan;
mod schedule;
mod sparse;
mod state;
mod surrogate;
mod sync;
mod touched;
mod trace;
mod workers;

pub use batch::{Output, simulate};
pub use error::Error;
pub use fates::Dropout;
pub use float::Float;
pub use free::{FreeRunning, Parallel};
pub use gradient::{Cotangents, Gradient, GradientOptions, GradientScope, Strided, gradient};
pub use input::Input;
pub use measures::Measures;
pub use network::{Network, NetworkBuilder, Population, Source};
pub use neuron::{Lif, Refractory, Reset};
pub use options::{Ending, InputMode, OnStop, Options, OutputStop, StopReason};
pub use projection::{ConvGeometry, Projection};
pub use rng::Philox;
pub use schedule::{CustomPick, Ends, Key, PendingSpike, ScheduleSpec};
pub use sparse::InputEvents;
pub use surrogate::Surrogate;
pub use trace::{Events, Step, Steps, Trace, TraceHeader};
