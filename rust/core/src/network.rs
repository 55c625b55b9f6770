//! Networks: populations of neurons and the projections between them. Validated once, when built; immutable afterwards.

use crate::error::Error;
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::free::Divisions;
use crate::neuron::{self, Expanded, Lif};
use crate::places::OwnPlaces;
use crate::projection::{Map, Projection, Target, check_values};

/// Limit on neurons and inputs together: spikes identify their sources by 32-bit ids, which the two share.
const MOST_IDS: usize = u32::MAX as usize;

/// Where a projection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The input channels.
    Input,
    /// The population with this index.
    Population(usize),
}

/// A group of neurons with one neuron model; its neurons have the ids `start..end`.
#[derive(Clone, Debug)]
pub struct Population {
    /// Its name, unique in the network.
    pub name: String,
    /// The id of its first neuron.
    pub start: usize,
    /// One past the id of its last neuron.
    pub end: usize,
    /// Its neuron model.
    pub lif: Lif,
}

/// A projection in its place in the network.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    pub(crate) source: Source,
    pub(crate) target: Target,
    pub(crate) projection: Projection<T>,
}

/// The biases of one projection.
#[derive(Debug)]
pub(crate) struct Bias<T> {
    /// The projection's number.
    pub(crate) connection: usize,
    pub(crate) target: Target,
    pub(crate) values: Vec<T>,
    /// Whether none of them is 0.
    pub(crate) whole: bool,
}

/// The projections that leave one source, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct FanOut {
    pub(crate) connections: Vec<usize>,
    /// Whether two of them share a target: spikes must then be delivered one by one, to keep the order of events.
    pub(crate) parallel: bool,
}

/// A network that is ready to run; see [`NetworkBuilder`].
#[derive(Debug)]
pub struct Network<T> {
    n_inputs: usize,
    populations: Vec<Population>,
    output: usize,
    pub(crate) connections: Vec<Connection<T>>,
    pub(crate) biases: Vec<Bias<T>>,
    pub(crate) from_input: FanOut,
    pub(crate) from_population: Vec<FanOut>,
    /// By neuron: its population; empty if there is only one population.
    population_of: Vec<u32>,
    pub(crate) tau_mem: Vec<f64>,
    pub(crate) threshold: Vec<T>,
    /// What a spike subtracts, in populations that give it; empty if none does.
    pub(crate) reset_amount: Vec<T>,
    /// Time constants of the synaptic currents, 0 for neurons without one; empty if no population has any.
    pub(crate) tau_syn: Vec<f64>,
    /// Whether no population has two sources: spikes of different sources then never meet in one sum.
    pub(crate) single_sources: bool,
    /// Whether events can arrive at single neurons, rather than at whole populations only.
    pub(crate) has_single_events: bool,
    pub(crate) has_sync_threshold: bool,
    pub(crate) divisions: Divisions,
    pub(crate) places: OwnPlaces,
    fingerprint: u64,
}

impl<T: Float> Network<T> {
    /// Number of input channels.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// Number of neurons.
    pub fn n_neurons(&self) -> usize {
        self.threshold.len()
    }

    /// The number of a neuron's population.
    #[inline]
    pub(crate) fn population_index(&self, neuron: u32) -> usize {
        // Neurons come in any order, so each lookup in a large table waits for memory; one population needs none.
        if self.populations.len() == 1 { 0 } else { self.population_of[neuron as usize] as usize }
    }

    /// The number of a neuron's population, and the neuron's place in it.
    #[inline]
    pub(crate) fn place_of(&self, neuron: u32) -> (usize, u32) {
        let index = self.population_index(neuron);
        (index, neuron - self.populations[index].start as u32)
    }

    /// The populations, in the order of their ids.
    pub fn populations(&self) -> &[Population] {
        &self.populations
    }

    /// The output population.
    pub fn output(&self) -> &Population {
        &self.populations[self.output]
    }

    /// The population of a neuron.
    #[inline]
    pub(crate) fn population(&self, neuron: u32) -> &Population {
        &self.populations[self.population_index(neuron)]
    }

    /// Number of synapses of each projection, in the order in which they were added.
    pub fn n_synapses(&self) -> Vec<u64> {
        self.connections.iter().map(|c| c.projection.n_synapses()).collect()
    }

    /// Bytes of each projection's weights and indices, in the order in which they were added.
    pub fn nbytes(&self) -> Vec<usize> {
        self.connections.iter().map(|c| c.projection.nbytes()).collect()
    }

    /// `beta = exp(-dt / tau_mem)` of every neuron.
    pub fn decay(&self, dt: f64) -> Result<Vec<T>, Error> {
        decay_of(&self.tau_mem, dt)
    }

    /// `alpha = exp(-dt / tau_syn)` of every neuron, 0 for neurons without a synaptic current; empty if no population
    /// has any.
    pub fn synaptic_decay(&self, dt: f64) -> Result<Vec<T>, Error> {
        decay_of(&self.tau_syn, dt)
    }

    /// Both.
    pub(crate) fn decays(&self, dt: f64) -> Result<Decays<T>, Error> {
        Ok(Decays { beta: self.decay(dt)?, alpha: self.synaptic_decay(dt)? })
    }

    /// Whether any population has synaptic currents.
    pub fn has_currents(&self) -> bool {
        !self.tau_syn.is_empty()
    }

    /// How many numbers a sample's state has: the potentials of all neurons and then, if any population has synaptic
    /// currents, the currents of all neurons.
    pub fn state_len(&self) -> usize {
        self.n_neurons() * self.state_parts()
    }

    /// How many numbers a neuron has in a state.
    pub(crate) fn state_parts(&self) -> usize {
        if self.has_currents() { 2 } else { 1 }
    }

    /// Identifies the structure (populations, kinds of neuron models, projections and their shapes, number type), but
    /// not the weights, time constants, thresholds and amounts of a reset.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The projections that leave a population or the input.
    #[inline]
    pub(crate) fn fan_out(&self, source: Source) -> &FanOut {
        match source {
            Source::Input => &self.from_input,
            Source::Population(population) => &self.from_population[population],
        }
    }
}

/// What is left after a timestep, by id.
#[derive(Debug)]
pub(crate) struct Decays<T> {
    /// Of potentials.
    pub(crate) beta: Vec<T>,
    /// Of synaptic currents; empty if no population has any.
    pub(crate) alpha: Vec<T>,
}

/// Source, target, projection and its biases.
type Unconnected<T> = (Source, usize, Projection<T>, Option<Vec<T>>);

/// Collects a network's parts and checks them when it is built.
#[derive(Debug)]
pub struct NetworkBuilder<T> {
    n_inputs: usize,
    populations: Vec<(String, usize, Lif)>,
    projections: Vec<Unconnected<T>>,
    output: Option<usize>,
}

impl<T: Float> NetworkBuilder<T> {
    /// A network with `n_inputs` input channels and nothing else yet.
    pub fn new(n_inputs: usize) -> Self {
        Self { n_inputs, populations: Vec::new(), projections: Vec::new(), output: None }
    }

    /// Adds a population of `n` neurons and returns its index.
    pub fn population(&mut self, name: &str, n: usize, lif: Lif) -> usize {
        self.populations.push((name.to_owned(), n, lif));
        self.populations.len() - 1
    }

    /// Adds a projection to the population with index `target`; `bias` has one value per target neuron.
    pub fn projection(
        &mut self,
        source: Source,
        target: usize,
        projection: Projection<T>,
        bias: Option<Vec<T>>,
    ) {
        self.projections.push((source, target, projection, bias));
    }

    /// Makes the population with this index the output, instead of the last.
    pub fn output(&mut self, population: usize) {
        self.output = Some(population);
    }

    /// Checks everything and builds the network.
    pub fn build(self) -> Result<Network<T>, Error> {
        let _mode = DefaultFloatMode::set();
        let n_inputs = self.n_inputs;
        if n_inputs == 0 {
            return Err(Error::network("n_inputs", 0, "an integer of 1 or more"));
        }
        if self.populations.is_empty() {
            return Err(Error::network("network", "no population", "at least one population"));
        }
        let output = self.output.unwrap_or(self.populations.len() - 1);
        let (mut populations, mut population_of) = (Vec::<Population>::new(), Vec::new());
        let (mut tau_mem, mut threshold) = (Vec::new(), Vec::new());
        let mut reset_amount: Vec<T> = Vec::new();
        let mut tau_syn: Vec<f64> = Vec::new();
        for (name, n, lif) in self.populations {
            if n == 0 {
                return Err(Error::network(
                    "shape",
                    format!("no neuron in population {name:?}"),
                    "at least one neuron",
                ));
            }
            if name == "input" || populations.iter().any(|p| p.name == name) {
                return Err(Error::network(
                    "name",
                    format!("{name:?}"),
                    "names that differ from \"input\" and from each other",
                ));
            }
            if n.saturating_add(population_of.len()).saturating_add(n_inputs) >= MOST_IDS {
                let given = format!("{n} neurons in population {name:?}");
                return Err(Error::network(
                    "shape",
                    given,
                    format!("fewer than {MOST_IDS} neurons and inputs in all"),
                ));
            }
            let arrays = [tau_mem.try_reserve(n), threshold.try_reserve(n), population_of.try_reserve(n)];
            if arrays.iter().any(Result::is_err) {
                let given = format!("{n} neurons in population {name:?}, which memory cannot hold");
                return Err(Error::network("shape", given, "fewer neurons"));
            }
            let Expanded { tau_mem: tau, v_threshold, reset_amount: amounts, tau_syn: tau_currents } =
                lif.expand::<T>(n)?;
            tau_mem.extend(tau);
            threshold.extend(v_threshold);
            if let Some(amounts) = amounts {
                reset_amount.resize(population_of.len(), T::ZERO);
                reset_amount.extend(amounts);
            }
            if let Some(tau) = tau_currents {
                tau_syn.resize(population_of.len(), 0.0);
                tau_syn.extend(tau);
            }
            let start = population_of.len();
            population_of.extend(std::iter::repeat_n(populations.len() as u32, n));
            populations.push(Population { name, start, end: start + n, lif });
        }
        if output >= populations.len() {
            return Err(Error::network(
                "output",
                output,
                format!("a population's index below {}", populations.len()),
            ));
        }
        if !reset_amount.is_empty() {
            reset_amount.resize(population_of.len(), T::ZERO);
        }
        if !tau_syn.is_empty() {
            tau_syn.resize(population_of.len(), 0.0);
        }
        let mut network = Network {
            n_inputs,
            output,
            connections: Vec::new(),
            biases: Vec::new(),
            from_input: FanOut::default(),
            from_population: vec![FanOut::default(); populations.len()],
            population_of: if populations.len() == 1 { Vec::new() } else { population_of },
            tau_mem,
            threshold,
            reset_amount,
            single_sources: true,
            has_single_events: !tau_syn.is_empty(),
            tau_syn,
            has_sync_threshold: populations.iter().any(|p| p.lif.sync_threshold > 0),
            populations,
            divisions: Divisions::default(),
            places: OwnPlaces::default(),
            fingerprint: 0,
        };
        for (source, target, projection, bias) in self.projections {
            network.connect(source, target, projection, bias)?;
        }
        network.fingerprint = network.compute_fingerprint();
        Ok(network)
    }
}

/// `exp(-dt / tau)` of every neuron, 0 where `tau` is 0.
fn decay_of<T: Float>(tau: &[f64], dt: f64) -> Result<Vec<T>, Error> {
    let _mode = DefaultFloatMode::set();
    if !(dt > 0.0 && dt.is_finite()) {
        return Err(Error::input("dt", dt, "a finite number of seconds > 0"));
    }
    let mut last = (f64::NAN, T::ZERO);
    let factors = tau.iter().map(|&tau| {
        if tau != last.0 {
            last = (tau, neuron::decay(tau, dt));
        }
        last.1
    });
    Ok(factors.collect())
}

impl<T: Float> Network<T> {
    fn connect(
        &mut self,
        source: Source,
        population: usize,
        projection: Projection<T>,
        bias: Option<Vec<T>>,
    ) -> Result<(), Error> {
        let size = |index: usize| self.populations.get(index).map(|p| p.end - p.start);
        let n_source = match source {
            Source::Input => Some(self.n_inputs),
            Source::Population(index) => size(index),
        };
        let (Some(n_source), Some(n_target)) = (n_source, size(population)) else {
            return Err(Error::network(
                "projection",
                format!("{source:?} to {population}"),
                "the input or populations of the network",
            ));
        };
        if (projection.n_in, projection.n_out) != (n_source, n_target) {
            return Err(Error::network(
                "projection",
                format!("{} ({} to {} neurons)", projection.description, projection.n_in, projection.n_out),
                format!("{n_source} to {n_target} neurons"),
            ));
        }
        let target =
            Target { population, start: self.populations[population].start, first: 0, end: n_target };
        if let Some(values) = bias {
            check_values("bias", &values, n_target)?;
            let whole = values.iter().all(|b| *b != T::ZERO);
            self.has_single_events |= !whole;
            self.biases.push(Bias { connection: self.connections.len(), target, values, whole });
        }
        self.has_single_events |= !matches!(&projection.map, Map::Rows(rows) if rows.all_whole());
        self.single_sources &=
            self.connections.iter().all(|c| c.target.population != population || c.source == source);
        let fan_out = match source {
            Source::Input => &mut self.from_input,
            Source::Population(index) => &mut self.from_population[index],
        };
        fan_out.parallel |=
            fan_out.connections.iter().any(|&c| self.connections[c].target.population == population);
        fan_out.connections.push(self.connections.len());
        self.connections.push(Connection { source, target, projection });
        Ok(())
    }

    fn compute_fingerprint(&self) -> u64 {
        let mut parts = vec![format!("{} {} {}", T::NAME, self.n_inputs, self.output)];
        for population in &self.populations {
            let Population { name, start, end, lif } = population;
            let Lif { reset, refractory, sync_threshold, tau_syn, .. } = lif;
            let neuron = (reset, refractory, sync_threshold);
            let current = if tau_syn.is_some() { " current" } else { "" };
            parts.push(format!("{name:?} {start} {end} {neuron:?}{current}"));
        }
        for Connection { source, target, projection } in &self.connections {
            let description = &projection.description;
            parts.push(format!("{source:?} {} {description}", target.population));
        }
        xxhash_rust::xxh3::xxh3_64(parts.join("\n").as_bytes())
    }
}
