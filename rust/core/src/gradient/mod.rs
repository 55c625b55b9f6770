//! The reverse pass: unlayered backprop over a recorded ordering (`docs/semantics.md`, "The gradient").
//!
//! `cotangents` holds what it begins with, `record` lays out a sample of the trace, `potentials` recomputes the
//! potentials that the trace does not hold, `reverse` walks an asynchronous run backwards and `layered` a layered one,
//! `direct` knows where the spikes of dense layers went, `postponed` adds up what input spikes contribute to large
//! dense weights, and `blocks` spreads the samples over threads. Memory: a few copies of the weights' gradient, and
//! what one sample per thread needs.

mod adjoints;
mod blocks;
mod cotangents;
mod direct;
mod layered;
mod postponed;
mod potentials;
mod record;
mod reverse;

pub use blocks::gradient;
pub use cotangents::{Cotangents, Strided};
pub(crate) use potentials::{Log, Run};

use std::sync::Arc;

use direct::Direct;

use crate::aligned::Aligned;
use crate::error::Error;
use crate::float::Float;
use crate::free::Partition;
use crate::input::Input;
use crate::layered::VisitingOrder;
use crate::network::{Decays, Network};
use crate::places::{Laid, Places};
use crate::projection::Target;
use crate::surrogate::Surrogate;
use crate::trace::Trace;

/// The adjoint of a silent update, in which the neuron did not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientScope {
    /// None: only spikes pass errors on.
    Spikes,
    /// That of the same neuron's next emission in the timestep.
    NextEmission,
    /// That of a spike with value 0 that is emitted into the step that follows.
    Touched,
}

/// How the gradient is computed.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // most say what to compute
pub struct GradientOptions {
    /// Length of a timestep in seconds: that of the recorded run.
    pub dt: f64,
    /// Worker threads; no bit depends on their number.
    pub threads: usize,
    /// What stands in for the derivative of a spike.
    pub surrogate: Surrogate,
    /// Which updates pass on errors.
    pub scope: GradientScope,
    /// Leave out the derivative of the reset.
    pub detach_reset: bool,
    /// Compute the gradient with respect to the input.
    pub want_input: bool,
    /// Compute the gradient with respect to the state at the start.
    pub want_initial_state: bool,
    /// Compute the gradients with respect to `beta`, `alpha` and `v_threshold`.
    pub want_neuron: bool,
}

impl GradientOptions {
    /// The usual options with this timestep, all gradients asked for.
    pub fn new(dt: f64) -> Self {
        Self {
            dt,
            threads: 1,
            surrogate: Surrogate::Atan { alpha: 2.0 },
            scope: GradientScope::Spikes,
            detach_reset: true,
            want_input: true,
            want_initial_state: true,
            want_neuron: true,
        }
    }
}

/// Derivatives of the loss with respect to what went into a run.
#[derive(Clone, Debug)]
pub struct Gradient<T> {
    /// By projection, in the order of the weights from which it was made.
    pub weights: Vec<Vec<T>>,
    /// By projection: one number per target neuron, if it has biases.
    pub biases: Vec<Option<Vec<T>>>,
    /// `[n_neurons]`; empty unless asked for.
    pub beta: Vec<T>,
    /// `[n_neurons]`; empty unless asked for.
    pub v_threshold: Vec<T>,
    /// `[n_neurons]`; empty unless asked for, and if no population has synaptic currents.
    pub alpha: Vec<T>,
    /// `[n_samples, n_timesteps, n_inputs]`; empty unless asked for.
    pub input: Vec<T>,
    /// `[n_samples, state_len]`, as [`Network::state_len`] describes; empty unless asked for.
    pub initial_state: Vec<T>,
}

/// What all samples share.
struct Pass<'a, T> {
    network: &'a Network<T>,
    input: &'a Input<'a, T>,
    trace: &'a Trace,
    cotangents: Cotangents<'a, T>,
    options: &'a GradientOptions,
    decays: Decays<T>,
    /// Where each neuron's numbers lie during the walks.
    places: Arc<Places>,
    /// By population: whether the potentials of its updates are needed.
    needed: Vec<bool>,
    /// By population: whether its spikes arrive at a population whose potentials are needed.
    feeding: Vec<bool>,
    /// By population: where its spikes went, if that is simple. Empty with several shards.
    direct: Vec<Option<Direct<'a, T>>>,
    /// The order of visits, in a layered run.
    order: Option<VisitingOrder>,
    /// One, except in a free run of several shards.
    shards: Vec<ShardParts>,
}

/// What a shard owns.
struct ShardParts {
    neurons: std::ops::Range<usize>,
    /// By projection: the part of its target that the shard owns.
    targets: Vec<Target>,
}

impl ShardParts {
    fn all<T: Float>(network: &Network<T>, trace: &Trace) -> Result<Vec<Self>, Error> {
        let partition = if trace.is_sharded() {
            Partition::from_ends(network, &trace.header().shards)?
        } else {
            Partition { ends: vec![network.n_neurons()] }
        };
        let shard = |shard| Self {
            neurons: partition.neurons(shard),
            targets: network.connections.iter().map(|c| partition.part(shard, c.target)).collect(),
        };
        Ok((0..partition.n_shards()).map(shard).collect())
    }
}

/// A gradient that samples add to; the weights' is in the maps' own order, all others are by place.
#[derive(Debug)]
struct Sums<T> {
    weights: Vec<Aligned<T>>,
    /// One for each of the network's `biases`, by place.
    biases: Vec<Vec<T>>,
    beta: Vec<T>,
    v_threshold: Vec<T>,
    alpha: Vec<T>,
}

impl<T: Float> Sums<T> {
    fn new(pass: &Pass<'_, T>) -> Self {
        let network = pass.network;
        let n = if pass.options.want_neuron { network.n_neurons() } else { 0 };
        Self {
            weights: network
                .connections
                .iter()
                .map(|c| Aligned::zeros(c.projection.gradient_len()))
                .collect(),
            biases: network.biases.iter().map(|bias| vec![T::ZERO; bias.values.len()]).collect(),
            beta: vec![T::ZERO; n],
            v_threshold: vec![T::ZERO; n],
            alpha: vec![T::ZERO; if network.has_currents() { n } else { 0 }],
        }
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut [T]> {
        let neuron = [&mut self.beta, &mut self.v_threshold, &mut self.alpha];
        let others = self.biases.iter_mut().chain(neuron).map(Vec::as_mut_slice);
        self.weights.iter_mut().map(|weights| &mut **weights).chain(others)
    }

    /// Adds another gradient, and leaves zeros in it.
    fn take(&mut self, other: &mut Self) {
        for (sum, part) in self.parts().zip(other.parts()) {
            T::take_row(sum, part);
        }
    }
}

/// The parts of the gradient that belong to one sample alone.
struct OwnGradient<'o, T> {
    /// `[n_timesteps, n_inputs]`, or empty.
    input: &'o mut [T],
    /// As `Network::state_len` describes, or empty.
    initial_state: &'o mut [T],
}

impl<T: Float> OwnGradient<'_, T> {
    /// Stores the adjoints of the sample's initial potentials and currents, which are given by place.
    fn set_initial_state(&mut self, pass: &Pass<'_, T>, a: &[T], c: &[T]) {
        if self.initial_state.is_empty() {
            return;
        }
        let (v, current) = self.initial_state.split_at_mut(a.len());
        pass.places.take(a, v);
        if !current.is_empty() {
            pass.places.take(c, current);
        }
    }
}

impl<T: Float> Pass<'_, T> {
    /// Out of all neurons' numbers, those of the population in which a projection's target lies.
    #[inline]
    fn of_target<'b>(&self, target: Target, all: &'b [T]) -> Laid<'b, T> {
        let end = self.network.populations()[target.population].end;
        self.places.of_population(target.population, &all[target.start..end])
    }

    fn check(&self) -> Result<(), Error> {
        let Pass { network, input, trace, cotangents, .. } = self;
        input.check_initial_state(network.state_len())?;
        let header = trace.header();
        if (trace.n_samples(), header.n_timesteps, network.n_inputs())
            != (input.n_samples(), input.n_timesteps(), input.n_inputs())
        {
            let (b, t, n) = (input.n_samples(), input.n_timesteps(), input.n_inputs());
            return Err(Error::input(
                "x",
                format!("{b} samples of {t} timesteps and {n} channels"),
                format!(
                    "the trace's {} samples of {} timesteps and {} channels",
                    trace.n_samples(),
                    header.n_timesteps,
                    network.n_inputs()
                ),
            ));
        }
        if header.dt.to_bits() != self.options.dt.to_bits() {
            return Err(Error::input("dt", self.options.dt, format!("the trace's {}", header.dt)));
        }
        if self.options.threads == 0 {
            return Err(Error::input("threads", 0, "an integer of 1 or more"));
        }
        let n_output = network.output().end - network.output().start;
        let (b, t, n) = (input.n_samples(), input.n_timesteps(), network.n_neurons());
        cotangents.check([t, b, n_output], [b, n], [b, network.state_len()])
    }
}
