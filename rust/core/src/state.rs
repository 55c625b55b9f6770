//! What one sample changes while it runs: potentials, synaptic currents, refractoriness, and the events of the forward
//! step at hand. One per worker, reused for every sample.

mod arrivals;
mod currents;
mod logged;

use std::sync::Arc;

use crate::fates::SKIPPED;
use crate::float::Float;
use crate::network::{Decays, Network};
use crate::neuron::{Lif, Refractory};
use crate::places::Places;
use crate::projection::Target;
use crate::touched::Touched;

/// A refractory neuron, with the potential and the threshold that it gets back when its refractoriness ends.
#[derive(Clone, Copy, Debug)]
struct Resting<T> {
    neuron: u32,
    v: T,
    threshold: T,
}

/// The state of all neurons, or of those of a shard, whose ids start at `first_neuron`. A refractory neuron has an
/// infinite threshold: events still add to its `v` (so that the vector loops need no mask), and `end_timestep` restores
/// its threshold and the potential that firing left it with.
#[derive(Debug)]
pub(crate) struct State<T> {
    first_neuron: usize,
    /// By population: the ids of those of its neurons that this state holds.
    parts: Vec<std::ops::Range<usize>>,
    /// By projection: the part of its target that this state holds.
    targets: Vec<Target>,
    /// Where each neuron's numbers lie in the arrays below.
    places: Arc<Places>,
    beta: Vec<T>,
    v: Vec<T>,
    /// Decay and value of synaptic currents, which are 0 in populations that have none; empty if none has any.
    alpha: Vec<T>,
    current: Vec<T>,
    /// `i_k` of the current step; 0 between steps.
    input: Vec<T>,
    threshold: Vec<T>,
    /// What a spike subtracts, in populations that give it; empty if none does.
    reset_amount: Vec<T>,
    resting: Vec<Resting<T>>,
    /// Events that have arrived at each neuron individually in the timestep; those that arrived at its whole population
    /// are counted in `whole_events`.
    events: Vec<u32>,
    whole_events: Vec<u32>,
    /// Populations that were touched as a whole in this step.
    whole: Vec<u32>,
    is_whole: Vec<bool>,
    /// Places of neurons that were touched individually in this step.
    touched: Touched,
    /// Events delivered so far in the sample, biases excepted.
    pub(crate) operations: u64,
    /// Neurons updated so far in the sample.
    pub(crate) updates: u64,
}

impl<T: Float> State<T> {
    /// The state of all neurons.
    pub(crate) fn new(network: &Network<T>, decays: &Decays<T>) -> Self {
        Self::of(network, decays, 0..network.n_neurons())
    }

    /// The state of the neurons with these ids.
    pub(crate) fn of(network: &Network<T>, decays: &Decays<T>, neurons: std::ops::Range<usize>) -> Self {
        let (n, populations) = (neurons.len(), network.populations().len());
        let here = |id: usize| id.clamp(neurons.start, neurons.end);
        let parts: Vec<_> = network.populations().iter().map(|p| here(p.start)..here(p.end)).collect();
        let targets = network.connections.iter().map(|c| {
            let (start, part) = (c.target.start, &parts[c.target.population]);
            let within = |id: usize| id.saturating_sub(start);
            Target { first: within(part.start), end: within(part.end), ..c.target }
        });
        let targets = targets.map(|t| if t.end > t.first { t } else { Target { first: 0, end: 0, ..t } });
        let places = Places::new(network, neurons.start, &parts);
        let put = |by_id: &[T]| {
            let mut by_place = vec![T::ZERO; n];
            places.put(by_id, &mut by_place);
            by_place
        };
        Self {
            first_neuron: neurons.start,
            targets: targets.collect(),
            parts,
            beta: put(&decays.beta[neurons.clone()]),
            v: vec![T::ZERO; n],
            current: vec![T::ZERO; if network.has_currents() { n } else { 0 }],
            alpha: decays.alpha.get(neurons.clone()).map_or_else(Vec::new, put),
            input: vec![T::ZERO; n],
            reset_amount: network.reset_amount.get(neurons.clone()).map_or_else(Vec::new, put),
            threshold: put(&network.threshold[neurons]),
            places,
            resting: Vec::new(),
            events: vec![0; n],
            whole_events: vec![0; populations],
            whole: Vec::with_capacity(populations),
            is_whole: vec![false; populations],
            touched: Touched::new(n),
            operations: 0,
            updates: 0,
        }
    }

    /// Starts a sample with all potentials and currents at 0, or as given for all neurons of the network, whatever state
    /// the sample before it was left in.
    pub(crate) fn begin_sample(&mut self, initial_state: Option<&[T]>) {
        self.end_timestep();
        self.forget_step();
        self.v.fill(T::ZERO);
        self.current.fill(T::ZERO);
        if let Some(all) = initial_state {
            let own = self.neurons();
            self.places.put(&all[own.clone()], &mut self.v);
            if !self.current.is_empty() {
                self.places.put(&all[all.len() / 2..][own], &mut self.current);
            }
        }
        self.input.fill(T::ZERO);
        (self.operations, self.updates) = (0, 0);
    }

    /// Begins a timestep: potentials and currents decay, and event counts start from 0 (`docs/semantics.md`, "Time",
    /// 1).
    pub(crate) fn begin_timestep(&mut self, network: &Network<T>) {
        T::decay(&mut self.v, &self.beta);
        T::decay(&mut self.current, &self.alpha);
        self.whole_events.fill(0);
        if network.has_single_events {
            self.events.fill(0);
        }
    }

    /// Ends refractoriness.
    pub(crate) fn end_timestep(&mut self) {
        for Resting { neuron, v, threshold } in self.resting.drain(..) {
            let k = self.places.of(neuron as usize);
            self.v[k] = v;
            self.threshold[k] = threshold;
        }
    }

    /// The ids of the neurons that this state holds.
    pub(crate) fn neurons(&self) -> std::ops::Range<usize> {
        self.first_neuron..self.first_neuron + self.v.len()
    }

    /// The id of the first neuron that this state holds.
    pub(crate) fn first_neuron(&self) -> usize {
        self.first_neuron
    }

    /// The part of a projection's target that this state holds.
    #[inline]
    pub(crate) fn target(&self, connection: usize) -> Target {
        self.targets[connection]
    }

    /// The places of those of a population's neurons that this state holds.
    #[inline]
    fn part(&self, population: usize) -> std::ops::Range<usize> {
        let part = &self.parts[population];
        part.start - self.first_neuron..part.end - self.first_neuron
    }

    /// The number of neurons per channel of the population, if the channels of a position lie together.
    #[inline]
    fn plane(&self, population: usize) -> Option<usize> {
        self.places.plane(population)
    }

    /// Updates every touched neuron; fills `fired` with those that fire, in neuron order. The caller must then call
    /// `fire` for each of them.
    pub(crate) fn update(&mut self, network: &Network<T>, fired: &mut Vec<u32>) {
        fired.clear();
        self.add_to_currents(network);
        for &population in &self.whole {
            let range = self.part(population as usize);
            self.updates += range.len() as u64;
            let (v, input) = (&mut self.v[range.clone()], &mut self.input[range.clone()]);
            integrate(v, input, &self.threshold[range.clone()], (&self.places, range.start), fired);
        }
        let mut updates = 0;
        // A population takes up the same range by place as by id, so a place can stand for an id here.
        let is_whole = |k: usize| {
            !self.whole.is_empty() && self.is_whole[network.population_index((k + self.first_neuron) as u32)]
        };
        for run in self.touched.runs().iter().filter(|run| !is_whole(run.start)) {
            updates += run.len() as u64;
            let (v, input) = (&mut self.v[run.clone()], &mut self.input[run.clone()]);
            integrate(v, input, &self.threshold[run.clone()], (&self.places, run.start), fired);
        }
        for k in self.touched.drain_singles() {
            if is_whole(k) {
                continue;
            }
            self.v[k] += std::mem::take(&mut self.input[k]);
            updates += 1;
            if self.v[k] > self.threshold[k] {
                fired.push(self.places.id(k));
            }
        }
        self.updates += updates;
        if !fired.is_sorted() {
            fired.sort_unstable();
        }
        self.apply_sync_threshold(network, fired);
        self.forget_step();
    }

    /// Delivers a step's events, which come in neuron order, at most one for each neuron, and updates each neuron
    /// immediately. The bits are those of `events` followed by `update`.
    #[inline]
    pub(crate) fn update_one_by_one(
        &mut self,
        network: &Network<T>,
        events: impl Iterator<Item = (usize, T)>,
        fired: &mut Vec<u32>,
    ) {
        fired.clear();
        let (mut n_events, has_currents) = (0, !self.current.is_empty());
        for (id, value) in events {
            let k = self.places.of(id);
            self.v[k] += value;
            self.events[k] += 1;
            n_events += 1;
            if has_currents && network.population(id as u32).lif.tau_syn.is_some() {
                self.current[k] += value;
            }
            if self.v[k] > self.threshold[k] {
                fired.push(id as u32);
            }
        }
        self.operations += n_events;
        self.updates += n_events;
        self.apply_sync_threshold(network, fired);
    }

    /// Marks every neuron of a population as touched, so that all of them are updated.
    pub(crate) fn touch_all(&mut self, population: usize) {
        self.touch_whole(population, 0);
    }

    /// Updates every neuron of one population, touched or not (layered execution).
    pub(crate) fn update_population(
        &mut self,
        network: &Network<T>,
        population: usize,
        fired: &mut Vec<u32>,
    ) {
        self.touch_whole(population, 0);
        self.update(network, fired);
    }

    fn apply_sync_threshold(&self, network: &Network<T>, fired: &mut Vec<u32>) {
        if network.has_sync_threshold {
            fired.retain(|&neuron| {
                let needed = network.population(neuron).lif.sync_threshold;
                needed == 0 || self.n_events(network, neuron) > needed
            });
        }
    }

    fn forget_step(&mut self) {
        for population in self.whole.drain(..) {
            self.is_whole[population as usize] = false;
        }
        self.touched.clear();
    }

    /// `n_k`: events that arrived at the neuron in this timestep.
    #[inline]
    fn n_events(&self, network: &Network<T>, neuron: u32) -> u32 {
        let population = network.population_index(neuron);
        self.events[self.places.of(neuron as usize)] + self.whole_events[population]
    }

    /// Whether an event has arrived at the neuron in this step.
    pub(crate) fn is_touched(&self, network: &Network<T>, neuron: u32) -> bool {
        let k = self.places.of(neuron as usize);
        self.touched.contains(k) || self.is_whole[network.population_index(neuron)]
    }

    /// Drops the events of the current step without an update.
    pub(crate) fn drop_events(&mut self) {
        for &population in &self.whole {
            let range = self.part(population as usize);
            self.input[range].fill(T::ZERO);
        }
        for k in self.touched.all() {
            self.input[k] = T::ZERO;
        }
        self.forget_step();
    }

    /// Like `fire`, for neurons of any populations, in neuron order.
    #[inline]
    pub(crate) fn fire_all(&mut self, network: &Network<T>, fired: &[u32], v: &mut Vec<T>) -> u64 {
        let (mut rest, mut events) = (fired, 0);
        while let Some(&first) = rest.first() {
            let index = network.population_index(first);
            let population = &network.populations()[index];
            let end = rest.partition_point(|&neuron| (neuron as usize) < population.end);
            let (neurons, tail) = rest.split_at(end);
            events += self.fire(&population.lif, index, neurons, v);
            rest = tail;
        }
        events
    }

    /// Fires neurons of one population: appends the potential `v'` of each to `v`, then resets it. Returns the total
    /// number of events that had arrived at them in the timestep.
    #[inline]
    pub(crate) fn fire(&mut self, lif: &Lif, population: usize, neurons: &[u32], v: &mut Vec<T>) -> u64 {
        let mut events = u64::from(self.whole_events[population]) * neurons.len() as u64;
        let has_amount = lif.reset_amount.is_some();
        for &neuron in neurons {
            let k = self.places.of(neuron as usize);
            events += u64::from(self.events[k]);
            v.push(self.v[k]);
            let amount = if has_amount { self.reset_amount[k] } else { self.threshold[k] };
            let after = lif.reset.apply(self.v[k], amount);
            match lif.refractory {
                Refractory::Timestep => {
                    let threshold = std::mem::replace(&mut self.threshold[k], T::INFINITY);
                    self.resting.push(Resting { neuron, v: after, threshold });
                }
                Refractory::None => self.v[k] = after,
            }
        }
        events
    }

    /// Ends the refractoriness of those of `neurons`, which have just fired, whose flags say that they skip it.
    pub(crate) fn skip_refractoriness(&mut self, neurons: &[u32], flags: &[u8]) {
        for (&neuron, _) in neurons.iter().zip(flags).filter(|(_, flags)| **flags & SKIPPED != 0) {
            if let Some(at) = self.resting.iter().rposition(|resting| resting.neuron == neuron) {
                let Resting { v, threshold, .. } = self.resting.swap_remove(at);
                let k = self.places.of(neuron as usize);
                self.v[k] = v;
                self.threshold[k] = threshold;
            }
        }
    }

    /// The potentials of those output neurons that this state holds, each with its number among all of them. Like
    /// those of `copy_state`, they are exact only between timesteps.
    pub(crate) fn output_v(&self, network: &Network<T>) -> impl Iterator<Item = (usize, T)> {
        let (output, own) = (network.output(), self.neurons());
        let here = output.start.max(own.start)..output.end.min(own.end);
        let first = output.start;
        here.map(move |id| (id - first, self.v[self.places.of(id)]))
    }

    /// Copies potentials and, if there are any, currents to where they lie in a state of all neurons of the network. The
    /// potentials are exact only between timesteps, when no neuron is refractory.
    pub(crate) fn copy_state(&self, all: &mut [T]) {
        let own = self.neurons();
        self.places.take(&self.v, &mut all[own.clone()]);
        if !self.current.is_empty() {
            let currents = all.len() / 2;
            self.places.take(&self.current, &mut all[currents..][own]);
        }
    }

    /// The same into a state of the neurons that this state holds, and no others.
    pub(crate) fn copy_own_state(&self, own: &mut [T]) {
        let (v, current) = own.split_at_mut(self.v.len());
        self.places.take(&self.v, v);
        if !self.current.is_empty() {
            self.places.take(&self.current, current);
        }
    }
}

/// Updates the neurons from place `first` on, and appends the ids of those that fire.
#[inline]
fn integrate<T: Float>(
    v: &mut [T],
    input: &mut [T],
    threshold: &[T],
    (places, first): (&Places, usize),
    fired: &mut Vec<u32>,
) {
    if places.follow_ids() {
        T::integrate(v, input, threshold, places.id(first), fired);
        return;
    }
    let n_fired = fired.len();
    T::integrate(v, input, threshold, first as u32, fired);
    fired[n_fired..].iter_mut().for_each(|k| *k = places.id(*k as usize));
}
