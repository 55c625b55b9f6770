//! What one sample changes while it runs: potentials, refractoriness, and the events of the forward step at hand. One per worker, reused for every sample.

use crate::fates::SKIPPED;
use crate::float::Float;
use crate::gradient::{Log, Whole};
use crate::network::Network;
use crate::neuron::{Lif, Refractory};
use crate::projection::Target;

/// A neuron that is refractory, with what its refractoriness ends with.
#[derive(Clone, Copy, Debug)]
struct Resting<T> {
    neuron: u32,
    v: T,
    threshold: T,
}

/// The state of all neurons, or of those of a shard: ids from `first_neuron` on. A refractory neuron has an infinite threshold: events still add to its `v` (the vector loops then need no mask), and `end_timestep` puts
/// back the potential that it had when it fired.
#[derive(Debug)]
pub(crate) struct State<T> {
    first_neuron: usize,
    /// By population: the ids of those of its neurons that are here.
    parts: Vec<std::ops::Range<usize>>,
    /// By projection: the part of its target that is here.
    targets: Vec<Target>,
    v: Vec<T>,
    /// `i_k` of the step at hand; 0 between steps.
    input: Vec<T>,
    threshold: Vec<T>,
    resting: Vec<Resting<T>>,
    /// Events that arrived one by one at each neuron in the timestep; those that arrived at its whole population are in `whole_events`.
    events: Vec<u32>,
    whole_events: Vec<u32>,
    /// Populations wholly touched in this step.
    whole: Vec<u32>,
    is_whole: Vec<bool>,
    /// Neurons touched one by one in this step. The first `n_touched` count; there is always room for one more.
    touched: Vec<u32>,
    n_touched: usize,
    /// One bit a neuron: it is among them. Bits, because events arrive at random neurons and these stay in the fastest cache.
    is_touched: Vec<u64>,
    /// Events delivered so far in the sample, biases excepted.
    pub(crate) operations: u64,
    /// Neurons updated so far in the sample.
    pub(crate) updates: u64,
}

impl<T: Float> State<T> {
    pub(crate) fn new(network: &Network<T>) -> Self {
        Self::of(network, 0..network.n_neurons())
    }

    /// The state of the neurons with these ids.
    pub(crate) fn of(network: &Network<T>, neurons: std::ops::Range<usize>) -> Self {
        let (n, populations) = (neurons.len(), network.populations().len());
        let here = |id: usize| id.clamp(neurons.start, neurons.end);
        let parts: Vec<_> = network.populations().iter().map(|p| here(p.start)..here(p.end)).collect();
        let targets = network.connections.iter().map(|c| {
            let (start, part) = (c.target.start, &parts[c.target.population]);
            let within = |id: usize| id.saturating_sub(start);
            Target { first: within(part.start), end: within(part.end), ..c.target }
        });
        let targets = targets.map(|t| if t.end > t.first { t } else { Target { first: 0, end: 0, ..t } });
        Self {
            first_neuron: neurons.start,
            targets: targets.collect(),
            parts,
            v: vec![T::ZERO; n],
            input: vec![T::ZERO; n],
            threshold: network.threshold[neurons].to_vec(),
            resting: Vec::new(),
            events: vec![0; n],
            whole_events: vec![0; populations],
            whole: Vec::with_capacity(populations),
            is_whole: vec![false; populations],
            touched: vec![0; n + 1],
            n_touched: 0,
            is_touched: vec![0; n.div_ceil(64)],
            operations: 0,
            updates: 0,
        }
    }

    /// Starts a sample with all potentials at 0 or as given, whatever became of the sample before it.
    pub(crate) fn begin_sample(&mut self, initial_v: Option<&[T]>) {
        self.end_timestep();
        self.forget_step();
        match initial_v {
            Some(v) => self.v.copy_from_slice(v),
            None => self.v.fill(T::ZERO),
        }
        self.input.fill(T::ZERO);
        (self.operations, self.updates) = (0, 0);
    }

    /// Semantics, "Time", 1: decay; no event has arrived.
    pub(crate) fn begin_timestep(&mut self, network: &Network<T>, beta: &[T]) {
        let end = self.first_neuron + self.v.len();
        T::decay(&mut self.v, &beta[self.first_neuron..end]);
        self.whole_events.fill(0);
        if network.has_single_events {
            self.events.fill(0);
        }
    }

    /// Ends refractoriness.
    pub(crate) fn end_timestep(&mut self) {
        for Resting { neuron, v, threshold } in self.resting.drain(..) {
            let k = neuron as usize - self.first_neuron;
            self.v[k] = v;
            self.threshold[k] = threshold;
        }
    }

    /// The neurons that are here.
    pub(crate) fn neurons(&self) -> std::ops::Range<usize> {
        self.first_neuron..self.first_neuron + self.v.len()
    }

    /// The first neuron that is here.
    pub(crate) fn first_neuron(&self) -> usize {
        self.first_neuron
    }

    /// The part of a projection's target that is here.
    #[inline]
    pub(crate) fn target(&self, connection: usize) -> Target {
        self.targets[connection]
    }

    /// The places in the arrays here of those of a population's neurons that are here, and the first one's id.
    #[inline]
    fn part(&self, population: usize) -> (std::ops::Range<usize>, usize) {
        let part = &self.parts[population];
        (part.start - self.first_neuron..part.end - self.first_neuron, part.start)
    }

    /// Delivers spikes through whole rows of weights to a whole population.
    #[inline]
    pub(crate) fn whole_rows(&mut self, target: Target, width: usize, rows: &[T], spikes: &[(u32, T)]) {
        if spikes.is_empty() || target.len() == 0 {
            return;
        }
        let first = target.start + target.first - self.first_neuron;
        let sums = &mut self.input[first..first + target.len()];
        T::add_rows(sums, rows, (width, target.first), spikes);
        self.operations += (target.len() * spikes.len()) as u64;
        self.touch_whole(target.population, spikes.len() as u32);
    }

    /// Delivers events (neuron, value), each to one neuron.
    #[inline]
    pub(crate) fn events(&mut self, events: impl Iterator<Item = (usize, T)>) {
        let mut n_touched = self.n_touched;
        let mut n_events = 0;
        for (id, value) in events {
            let neuron = id - self.first_neuron;
            self.input[neuron] += value;
            self.events[neuron] += 1;
            n_events += 1;
            // Written whether or not it is new, and kept if it is: which it is cannot be predicted.
            self.touched[n_touched] = neuron as u32;
            let (bits, bit) = (&mut self.is_touched[neuron / 64], neuron % 64);
            n_touched += usize::from(*bits >> bit & 1 == 0);
            *bits |= 1 << bit;
        }
        self.n_touched = n_touched;
        self.operations += n_events;
    }

    /// Delivers a population's biases: events that are no synaptic operations. `whole`: none of them is 0.
    pub(crate) fn biases(&mut self, target: Target, values: &[T], whole: bool) {
        let (first, values) = (target.start + target.first, &values[target.first..target.end]);
        if values.is_empty() {
            return;
        }
        if whole {
            T::add_row(&mut self.input[first - self.first_neuron..][..values.len()], values);
            self.touch_whole(target.population, 1);
            return;
        }
        let operations = self.operations;
        let biases = values.iter().enumerate().filter(|(_, value)| **value != T::ZERO);
        self.events(biases.map(|(k, &value)| (first + k, value)));
        self.operations = operations;
    }

    #[inline]
    fn touch_whole(&mut self, population: usize, events: u32) {
        self.whole_events[population] += events;
        if !self.is_whole[population] {
            self.is_whole[population] = true;
            self.whole.push(population as u32);
        }
    }

    /// Updates every touched neuron; fills `fired` with those that fire, in neuron order. The caller then has each of them `fire`.
    pub(crate) fn update(&mut self, network: &Network<T>, fired: &mut Vec<u32>) {
        fired.clear();
        for &population in &self.whole {
            let (range, first) = self.part(population as usize);
            self.updates += range.len() as u64;
            T::integrate(
                &mut self.v[range.clone()],
                &mut self.input[range.clone()],
                &self.threshold[range],
                first as u32,
                fired,
            );
        }
        let mut updates = 0;
        for &neuron in &self.touched[..self.n_touched] {
            let k = neuron as usize;
            self.is_touched[k / 64] = 0;
            if !self.whole.is_empty()
                && self.is_whole[network.population_index(neuron + self.first_neuron as u32)]
            {
                continue;
            }
            self.v[k] += std::mem::take(&mut self.input[k]);
            updates += 1;
            if self.v[k] > self.threshold[k] {
                fired.push(neuron + self.first_neuron as u32);
            }
        }
        self.updates += updates;
        self.n_touched = 0;
        if !fired.is_sorted() {
            fired.sort_unstable();
        }
        self.apply_sync_threshold(network, fired);
        self.forget_step();
    }

    /// Delivers a step's events, of which no neuron has two and which come in neuron order, and updates each neuron at once: the bits are those of `events` and `update`.
    #[inline]
    pub(crate) fn update_one_by_one(
        &mut self,
        network: &Network<T>,
        events: impl Iterator<Item = (usize, T)>,
        fired: &mut Vec<u32>,
    ) {
        fired.clear();
        let mut n_events = 0;
        for (id, value) in events {
            let k = id - self.first_neuron;
            self.v[k] += value;
            self.events[k] += 1;
            n_events += 1;
            if self.v[k] > self.threshold[k] {
                fired.push(id as u32);
            }
        }
        self.operations += n_events;
        self.updates += n_events;
        self.apply_sync_threshold(network, fired);
    }

    /// Adds the step's input to the potentials of touched neurons and logs how far each is above its threshold; nothing fires.
    pub(crate) fn integrate(&mut self, network: &Network<T>, log: &mut Log<T>) {
        for &index in &self.whole {
            let (range, _) = self.part(index as usize);
            T::add_row(&mut self.v[range.clone()], &self.input[range.clone()]);
            self.input[range.clone()].fill(T::ZERO);
            let (start, len) = (log.x.len(), range.len());
            log.whole.push(Whole { population: index, start, first: range.start + self.first_neuron, len });
            log.x.extend(self.v[range.clone()].iter().zip(&self.threshold[range]).map(|(&v, &th)| v - th));
        }
        for &neuron in &self.touched[..self.n_touched] {
            let k = neuron as usize;
            if !self.is_whole[network.population_index(neuron + self.first_neuron as u32)] {
                self.v[k] += std::mem::take(&mut self.input[k]);
                let id = neuron + self.first_neuron as u32;
                log.single.push((id, self.v[k] - self.threshold[k]));
            }
        }
        self.forget_step();
    }

    /// Has every neuron of a population be updated, touched or not.
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
                needed == 0 || self.events_at(network, neuron) > needed
            });
        }
    }

    fn forget_step(&mut self) {
        for population in self.whole.drain(..) {
            self.is_whole[population as usize] = false;
        }
        for &neuron in &self.touched[..self.n_touched] {
            self.is_touched[neuron as usize / 64] = 0;
        }
        self.n_touched = 0;
    }

    /// `n_k`: events that arrived at the neuron in this timestep.
    #[inline]
    fn events_at(&self, network: &Network<T>, neuron: u32) -> u32 {
        let population = network.population_index(neuron);
        self.events[neuron as usize - self.first_neuron] + self.whole_events[population]
    }

    /// Whether an event has arrived at the neuron in this step.
    pub(crate) fn is_touched(&self, network: &Network<T>, neuron: u32) -> bool {
        let k = neuron as usize - self.first_neuron;
        self.is_touched[k / 64] >> (k % 64) & 1 == 1 || self.is_whole[network.population_index(neuron)]
    }

    /// Drops the events of the step at hand without an update.
    pub(crate) fn drop_events(&mut self) {
        for &population in &self.whole {
            let (range, _) = self.part(population as usize);
            self.input[range].fill(T::ZERO);
        }
        for &neuron in &self.touched[..self.n_touched] {
            self.input[neuron as usize] = T::ZERO;
        }
        self.forget_step();
    }

    /// Has neurons of any populations, in neuron order, fire; as `fire`.
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

    /// Has neurons of one population fire: appends the potential `v'` of each to `v` and resets it.
    /// Gives the sum of the events that had arrived at them in the timestep.
    #[inline]
    pub(crate) fn fire(&mut self, lif: &Lif, population: usize, neurons: &[u32], v: &mut Vec<T>) -> u64 {
        let mut events = u64::from(self.whole_events[population]) * neurons.len() as u64;
        for &neuron in neurons {
            let k = neuron as usize - self.first_neuron;
            events += u64::from(self.events[k]);
            v.push(self.v[k]);
            let after = lif.reset.apply(self.v[k], self.threshold[k]);
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

    /// Ends the refractoriness of those among the neurons that have just fired whose flags say so.
    pub(crate) fn skip_refractoriness(&mut self, neurons: &[u32], flags: &[u8]) {
        for (&neuron, _) in neurons.iter().zip(flags).filter(|(_, flags)| **flags & SKIPPED != 0) {
            if let Some(at) = self.resting.iter().rposition(|resting| resting.neuron == neuron) {
                let Resting { v, threshold, .. } = self.resting.swap_remove(at);
                let k = neuron as usize - self.first_neuron;
                self.v[k] = v;
                self.threshold[k] = threshold;
            }
        }
    }

    /// The potentials; exact between timesteps.
    pub(crate) fn v(&self) -> &[T] {
        &self.v
    }
}
