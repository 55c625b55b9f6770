//! The walk back through one sample of an asynchronous run (`docs/semantics.md`, "The gradient").

use std::ops::Range;

use super::adjoints::{Adjoints, Firing};
use super::postponed::Postponed;
use super::potentials::{Log, Potentials, Rerun, Run};
use super::record::Sample;
use super::{GradientScope, OwnGradient, Pass, Sums};
use crate::error::Error;
use crate::fates::SKIPPED;
use crate::float::Float;
use crate::network::Source;
use crate::neuron::Refractory;
use crate::options::InputMode;
use crate::prefetch::prefetch;
use crate::projection::Target;

/// No spike has this arrival number.
const NO_ARRIVAL: u32 = u32::MAX;

/// One worker's buffers.
#[derive(Debug)]
pub(super) struct Walk<T> {
    record: Sample,
    potentials: Potentials<T>,
    adjoints: Adjoints<T>,
    pub(super) postponed: Postponed<T>,
    /// By arrival number: the adjoint of the spike.
    terms: Vec<T>,
    /// By position among all neurons that fired in the sample: how far the recorded potential is above the threshold
    /// and, below, the surrogate derivative there. Used for populations whose potentials are not recomputed.
    x: Vec<T>,
    s: Vec<T>,
    /// By place: the adjoint of the neuron's next emission in the timestep, and the emitted spike's arrival number.
    next_terms: Vec<(T, u32)>,
    /// By shard: whether it takes a step after the current one in the timestep.
    later: Vec<bool>,
    /// By place: whether the neuron fired in the current step.
    fires: Vec<bool>,
    /// Which of the neurons that fired in the step have their `x` in the log.
    logged: Vec<usize>,
}

impl<T: Float> Walk<T> {
    pub(super) fn new(pass: &Pass<'_, T>) -> Self {
        let n = pass.network.n_neurons();
        Self {
            record: Sample::new(pass.trace),
            potentials: Potentials::new(pass),
            adjoints: Adjoints::new(pass),
            postponed: Postponed::new(pass),
            terms: Vec::new(),
            x: Vec::new(),
            s: Vec::new(),
            next_terms: vec![(T::ZERO, NO_ARRIVAL); n],
            later: vec![false; pass.shards.len()],
            fires: vec![false; n],
            logged: Vec::new(),
        }
    }

    /// Adds a sample's gradient to `sums`.
    pub(super) fn sample(
        &mut self,
        pass: &Pass<'_, T>,
        sample: usize,
        sums: &mut Sums<T>,
        own: &mut OwnGradient<'_, T>,
    ) -> Result<(), Error> {
        // Read backwards and with much work in between, which no processor foresees.
        let v = pass.trace.sample(sample).1;
        prefetch(v);
        self.record.read(pass, sample)?;
        self.potentials.rerun(&Rerun::of(pass), sample, &self.record)?;
        self.set_recorded(pass, v);
        self.adjoints.begin_sample(pass, sample);
        self.terms.clear();
        self.terms.resize(self.record.sources.len(), T::ZERO);
        for timestep in (0..self.record.n_timesteps()).rev() {
            self.begin_timestep(pass, sample, timestep);
            let steps = self.record.timestep(timestep);
            for step in steps.clone().rev() {
                self.pass_updates(pass, step, sums)?;
                self.later[self.record.shard(step)] = true;
                if step < steps.start + pass.shards.len() {
                    let input = own_input(own.input, timestep, pass.input.n_inputs());
                    self.pass_inputs(pass, timestep, self.record.shard(step), input, sums);
                } else {
                    self.pass_emissions(pass, step, own.input, sums);
                }
            }
            let before = self.potentials.before_decay(pass.network, timestep);
            self.adjoints.pass_decay(before, sums);
        }
        own.set_initial_state(pass, &self.adjoints.a, &self.adjoints.c);
        Ok(())
    }

    /// Computes `x` and `s` from the sample's recorded potentials, for all spikes at once.
    fn set_recorded(&mut self, pass: &Pass<'_, T>, v: &[f32]) {
        if pass.needed.contains(&false) {
            let (fired, threshold) = (self.record.all_fired(), &pass.network.threshold);
            self.x.clear();
            self.x.extend(fired.iter().zip(v).map(|(&k, &v)| T::from_f64(v.into()) - threshold[k as usize]));
            self.s.resize(self.x.len(), T::ZERO);
            pass.options.surrogate.derivatives(&self.x, &mut self.s);
        }
    }

    /// Begins at the end of the timestep: neurons that fired in it and did not skip refractoriness are refractory.
    fn begin_timestep(&mut self, pass: &Pass<'_, T>, sample: usize, timestep: usize) {
        self.adjoints.begin_timestep(pass, sample, timestep);
        self.adjoints.b.copy_from_slice(&self.adjoints.a);
        for (neuron, fate) in self.record.fired_in(timestep) {
            let lif = &pass.network.population(neuron).lif;
            if lif.refractory == Refractory::Timestep && fate & SKIPPED == 0 {
                self.adjoints.b[pass.places.of(neuron as usize)] = T::ZERO;
            }
        }
        self.adjoints.add_currents(0..pass.network.n_neurons());
        if pass.options.scope == GradientScope::NextEmission {
            self.next_terms.fill((T::ZERO, NO_ARRIVAL));
        }
        self.later.fill(false);
    }

    /// Passes adjoints back through the updates of a step.
    fn pass_updates(&mut self, pass: &Pass<'_, T>, step: usize, sums: &mut Sums<T>) -> Result<(), Error> {
        self.pass_unlogged(pass, step, sums)?;
        self.set_silent_terms(pass, step);
        let Self { record, potentials, adjoints, terms, fires, logged, .. } = self;
        let log = &mut potentials.log;
        let [whole, runs, single] = log.step(step);
        if !logged.is_empty() {
            take_fired(log, runs.clone(), fires, &mut adjoints.x);
        }
        for of in log.whole[whole].iter().chain(&log.runs[runs]) {
            adjoints.pass_silent_run(pass, of.population as usize, of.first, &log.x[of.logged()], sums);
        }
        for &(place, x) in &log.single[single] {
            let k = place as usize;
            if fires[k] {
                adjoints.x[k] = x;
                adjoints.silent[k] = T::ZERO;
            } else {
                let lif = &pass.network.population(pass.places.id(k)).lif;
                adjoints.pass_silent(pass, lif, k, x, sums);
            }
        }
        let (fired, fates, first_arrival) = record.fired(step);
        for at in logged.drain(..) {
            let (neuron, fate, arrival) = (fired[at], fates[at], first_arrival as usize + at);
            let k = pass.places.of(neuron as usize);
            let x = adjoints.x[k];
            check_fired(x, neuron)?;
            let s = pass.options.surrogate.derivative(x);
            let firing = Firing { k, fate, x, s, term: terms[arrival] };
            adjoints.pass_fired(pass, &pass.network.population(neuron).lif, firing, sums);
            fires[k] = false;
        }
        Ok(())
    }

    /// Passes adjoints back through the firing updates of populations whose potentials are not recomputed. The other
    /// neurons that fired are listed in `logged`; their updates are kept out of the silent ones, which are passed many
    /// at once.
    fn pass_unlogged(&mut self, pass: &Pass<'_, T>, step: usize, sums: &mut Sums<T>) -> Result<(), Error> {
        let network = pass.network;
        let Self { record, potentials, adjoints, terms, x, s, fires, logged, .. } = self;
        let log = &mut potentials.log;
        let [whole, ..] = log.step(step);
        let (fired, fates, first_arrival) = record.fired(step);
        let first = record.fired_start(step);
        let terms = &terms[first_arrival as usize..][..fired.len()];
        for (at, &neuron) in fired.iter().enumerate() {
            let k = pass.places.of(neuron as usize);
            let index = network.population_index(neuron);
            if !pass.needed[index] {
                let firing =
                    Firing { k, fate: fates[at], x: x[first + at], s: s[first + at], term: terms[at] };
                check_fired(firing.x, neuron)?;
                adjoints.pass_fired(pass, &network.populations()[index].lif, firing, sums);
                continue;
            }
            logged.push(at);
            fires[k] = true;
            adjoints.x[k] = T::NEG_INFINITY;
            if let Some(of) = log.whole[whole.clone()].iter().find(|of| of.population as usize == index) {
                let place = of.start + k - of.first;
                adjoints.x[k] = std::mem::replace(&mut log.x[place], T::NEG_INFINITY);
            }
        }
        Ok(())
    }

    /// Sets what the gradient's scope adds to `e` of silent updates.
    fn set_silent_terms(&mut self, pass: &Pass<'_, T>, step: usize) {
        let Self { potentials, adjoints, next_terms, later, .. } = self;
        let log = &potentials.log;
        let [whole, runs, single] = log.step(step);
        let (whole, runs, single) = (&log.whole[whole], &log.runs[runs], &log.single[single]);
        // Refractory neurons may be given terms too, which are not used.
        match pass.options.scope {
            GradientScope::NextEmission => {
                let single = single.iter().map(|(place, _)| *place as usize);
                for k in whole.iter().chain(runs).flat_map(Run::neurons).chain(single) {
                    adjoints.silent[k] = next_terms[k].0;
                }
            }
            // `b` is still that of the step that each shard takes next.
            GradientScope::Touched => {
                let Adjoints { b, silent, .. } = adjoints;
                for of in whole.iter().chain(runs) {
                    pull_for(pass, of.neurons(), &mut silent[of.neurons()], b, later);
                }
                for (place, _) in single.iter().filter(|(_, x)| *x != T::NEG_INFINITY) {
                    let k = *place as usize;
                    pull_for(pass, k..k + 1, &mut silent[k..=k], b, later);
                }
            }
            GradientScope::Spikes => {}
        }
    }

    /// Passes adjoints back through the delivery of a step 0: biases, and input spikes that arrived at once.
    fn pass_inputs(
        &mut self,
        pass: &Pass<'_, T>,
        timestep: usize,
        shard: usize,
        input: &mut [T],
        sums: &mut Sums<T>,
    ) {
        let b = &self.adjoints.b;
        let targets = &pass.shards[shard].targets;
        for (bias, sum) in pass.network.biases.iter().zip(&mut sums.biases) {
            let target = targets[bias.connection];
            let b = pass.of_target(target, b);
            for piece in b.pieces(target) {
                T::add_row(&mut sum[piece.clone()], &b.values[piece]);
            }
        }
        if pass.trace.header().input_mode == InputMode::Scheduled {
            return;
        }
        let spikes = self.potentials.inputs(timestep);
        for &c in &pass.network.from_input.connections {
            let (connection, target) = (&pass.network.connections[c], targets[c]);
            let b = pass.of_target(target, b);
            self.postponed.learn(c, connection, spikes, target, b, &mut sums.weights[c]);
            if !input.is_empty() {
                connection.projection.pull_from(0, input, target, b);
            }
        }
    }

    /// Passes adjoints back through the delivery of a later step: the spikes that it emitted.
    fn pass_emissions(&mut self, pass: &Pass<'_, T>, step: usize, input: &mut [T], sums: &mut Sums<T>) {
        let n = pass.network.n_neurons() as u32;
        let b = &self.adjoints.b;
        let targets = &pass.shards[self.record.shard(step)].targets;
        // Backwards here too: of two spikes of one neuron in the group, the first is its next emission.
        for &arrival in self.record.emitted(step).iter().rev() {
            let (source, is_lost) = self.record.sources[arrival as usize];
            if is_lost {
                self.next_terms[pass.places.of(source as usize)] = (T::ZERO, arrival);
                continue;
            }
            if source >= n {
                let spike = [(source - n, self.potentials.multiplicity(arrival))];
                for &c in &pass.network.from_input.connections {
                    let (connection, target) = (&pass.network.connections[c], targets[c]);
                    let b = pass.of_target(target, b);
                    connection.projection.learn(&spike, target, b, &mut sums.weights[c]);
                    // A carried input spike was given in an earlier timestep.
                    let joined_in = self.record.joined_in(arrival);
                    let input = own_input(input, joined_in, pass.input.n_inputs());
                    if let Some(sum) = input.get_mut(spike[0].0 as usize) {
                        *sum += connection.projection.pull(spike[0].0, target, b);
                    }
                }
                continue;
            }
            let index = pass.network.population_index(source);
            let mut term = T::ZERO;
            if let Some(Some(direct)) = pass.direct.get(index) {
                term = direct.adjoint(source, b, &mut sums.weights);
            } else {
                let local = source - pass.network.populations()[index].start as u32;
                for &c in &pass.network.from_population[index].connections {
                    let (connection, target) = (&pass.network.connections[c], targets[c]);
                    let b = pass.of_target(target, b);
                    term += connection.projection.adjoint(local, target, b, &mut sums.weights[c]);
                }
            }
            // Several shards may each have delivered the spike.
            self.terms[arrival as usize] += term;
            if pass.options.scope == GradientScope::NextEmission {
                let (next, its_arrival) = &mut self.next_terms[pass.places.of(source as usize)];
                *next = if *its_arrival == arrival { *next + term } else { term };
                *its_arrival = arrival;
            }
        }
    }
}

/// Takes the `x` of neurons that fired out of a step's runs, and leaves minus infinity there, which stands for no
/// silent update.
fn take_fired<T: Float>(log: &mut Log<T>, runs: Range<usize>, fires: &[bool], taken: &mut [T]) {
    for of in &log.runs[runs] {
        for (k, x) in of.neurons().zip(&mut log.x[of.logged()]).filter(|(k, _)| fires[*k]) {
            taken[k] = std::mem::replace(x, T::NEG_INFINITY);
        }
    }
}

/// Adds to the term of each neuron at `places`, all of one population, the sum of `w[k] * b[k]` over its synapses in
/// shards that take a later step.
fn pull_for<T: Float>(pass: &Pass<'_, T>, places: Range<usize>, terms: &mut [T], b: &[T], later: &[bool]) {
    let network = pass.network;
    let population = network.population_index(pass.places.id(places.start));
    for (shard, _) in pass.shards.iter().zip(later).filter(|(_, later)| **later) {
        for &c in &network.fan_out(Source::Population(population)).connections {
            pull_through(pass, c, population, places.clone(), terms, shard.targets[c], b);
        }
    }
}

/// The same for one projection and one part of its target; `b` covers all neurons.
pub(super) fn pull_through<T: Float>(
    pass: &Pass<'_, T>,
    connection: usize,
    population: usize,
    places: Range<usize>,
    terms: &mut [T],
    target: Target,
    b: &[T],
) {
    let start = pass.network.populations()[population].start;
    let (projection, b) = (&pass.network.connections[connection].projection, pass.of_target(target, b));
    if pass.places.plane(population).is_some() {
        projection.pull_list(start as u32, pass.places.list(places), terms, target, b);
    } else {
        projection.pull_from((places.start - start) as u32, terms, target, b);
    }
}

/// Refuses a record in which a neuron fired that, with these weights and this input, was not above its threshold.
#[inline]
pub(super) fn check_fired<T: Float>(x: T, neuron: u32) -> Result<(), Error> {
    if x > T::ZERO { Ok(()) } else { Err(does_not_fire(neuron)) }
}

#[cold]
fn does_not_fire(neuron: u32) -> Error {
    Error::Trace(format!(
        "got neuron {neuron} firing, which here does not; accepted: the trace of this network, with its weights and input"
    ))
}

/// The timestep's part of an input gradient; empty where none is wanted.
pub(super) fn own_input<T>(input: &mut [T], timestep: usize, n_inputs: usize) -> &mut [T] {
    if input.is_empty() { input } else { &mut input[timestep * n_inputs..][..n_inputs] }
}
