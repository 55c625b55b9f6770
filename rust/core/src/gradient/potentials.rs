//! The potentials of a recorded run, recomputed by running it again: the reverse pass needs `x = v' - v_threshold` of
//! silent updates, which no trace holds.

use std::ops::Range;

use super::Pass;
use super::record::Sample;
use crate::delivery::{Buffers, deliver_group, deliver_own, deliver_run_to};
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::input::Input;
use crate::layered::VisitingOrder;
use crate::network::{Network, Source};
use crate::options::InputMode;
use crate::places::Places;
use crate::schedule::Pending;
use crate::state::State;

/// `x` of every update of one sample, minus infinity for a refractory neuron. Neurons are named by their places in the
/// reverse pass.
#[derive(Debug)]
pub(crate) struct Log<T> {
    /// Populations, or a shard's parts of them, that were touched as a whole and lie together.
    pub(crate) whole: Vec<Run>,
    /// Neighbours that were touched together.
    pub(crate) runs: Vec<Run>,
    /// `x` of the neurons in `whole` and `runs`.
    pub(crate) x: Vec<T>,
    /// (place, `x`) of neurons that were touched one by one.
    pub(crate) single: Vec<(u32, T)>,
    /// Where each step's entries end.
    ends: Vec<Ends>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    whole: usize,
    runs: usize,
    single: usize,
}

/// Neurons of a population that lie together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) population: u32,
    /// Where its first `x` is in the log.
    pub(crate) start: usize,
    /// Place of its first neuron.
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl Run {
    /// Places of its neurons.
    pub(crate) fn neurons(&self) -> Range<usize> {
        self.first..self.first + self.len
    }

    /// Where their `x` are in the log.
    pub(super) fn logged(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

impl<T: Float> Log<T> {
    pub(crate) fn new() -> Self {
        Self { whole: Vec::new(), runs: Vec::new(), x: Vec::new(), single: Vec::new(), ends: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.whole.clear();
        self.runs.clear();
        self.x.clear();
        self.single.clear();
        self.ends.clear();
    }

    /// Adds neurons of a population that were touched together, given as (place, `x`): in as few runs as possible, and
    /// those without a neighbour alone.
    pub(crate) fn add(&mut self, population: u32, neurons: impl Iterator<Item = (usize, T)>) {
        let mut neurons = neurons.peekable();
        while let Some((first, x)) = neurons.next() {
            let start = self.x.len();
            self.x.push(x);
            while let Some((_, x)) = neurons.next_if(|(k, _)| *k == first + self.x.len() - start) {
                self.x.push(x);
            }
            let len = self.x.len() - start;
            if len == 1 {
                self.x.pop();
                self.single.push((first as u32, x));
            } else {
                self.runs.push(Run { population, start, first, len });
            }
        }
    }

    pub(crate) fn end_step(&mut self) {
        let Self { whole, runs, single, .. } = &*self;
        self.ends.push(Ends { whole: whole.len(), runs: runs.len(), single: single.len() });
    }

    /// The ranges of a step's entries in `whole`, `runs` and `single`.
    pub(crate) fn step(&self, step: usize) -> [Range<usize>; 3] {
        let start = if step == 0 { Ends::default() } else { self.ends[step - 1] };
        let end = self.ends[step];
        [start.whole..end.whole, start.runs..end.runs, start.single..end.single]
    }
}

/// Runs recorded samples again.
#[derive(Debug)]
pub(super) struct Potentials<T> {
    /// By shard.
    states: Vec<State<T>>,
    pub(super) log: Log<T>,
    /// The state before the decay of each timestep, one timestep after the other; only if asked for.
    before_decay: Vec<T>,
    /// Input spikes of all timesteps, and where those of each timestep end.
    inputs: Vec<(u32, T)>,
    input_ends: Vec<usize>,
    waiting: Vec<(u32, T)>,
    buffers: Buffers<T>,
    group: Vec<Pending>,
    /// Input spikes of the current timestep.
    spikes: Vec<(u32, T)>,
    /// A buffer: spikes that a projection delivers.
    pub(super) sent: Vec<(u32, T)>,
    indices: Vec<u32>,
    /// A buffer: potentials, or a state.
    v: Vec<T>,
}

/// What stays the same for all samples.
pub(super) struct Rerun<'a, T> {
    pub(super) network: &'a Network<T>,
    /// The places of the reverse pass.
    pub(super) places: &'a Places,
    pub(super) input: &'a Input<'a, T>,
    pub(super) input_mode: InputMode,
    /// By population: whether its potentials are needed.
    pub(super) needed: &'a [bool],
    /// By population: whether its spikes arrive at one whose potentials are needed.
    pub(super) feeding: &'a [bool],
    pub(super) keep_before_decay: bool,
}

impl<'a, T: Float> Rerun<'a, T> {
    pub(super) fn of(pass: &'a Pass<'_, T>) -> Self {
        Self {
            network: pass.network,
            places: &pass.places,
            input: pass.input,
            input_mode: pass.trace.header().input_mode,
            needed: &pass.needed,
            feeding: &pass.feeding,
            keep_before_decay: pass.options.want_neuron,
        }
    }
}

impl<T: Float> Potentials<T> {
    pub(super) fn new(pass: &Pass<'_, T>) -> Self {
        let shards =
            pass.shards.iter().map(|shard| State::of(pass.network, &pass.decays, shard.neurons.clone()));
        Self {
            states: shards.collect(),
            log: Log::new(),
            before_decay: Vec::new(),
            inputs: Vec::new(),
            input_ends: Vec::new(),
            waiting: Vec::new(),
            buffers: Buffers::new(),
            group: Vec::new(),
            spikes: Vec::new(),
            sent: Vec::new(),
            indices: Vec::new(),
            v: Vec::new(),
        }
    }

    /// The state before the decay of a timestep, by place: potentials, then currents if there are any. Empty unless it
    /// was asked for.
    pub(super) fn before_decay(&self, network: &Network<T>, timestep: usize) -> &[T] {
        let n = network.state_len();
        if self.before_decay.is_empty() { &[] } else { &self.before_decay[timestep * n..][..n] }
    }

    /// Input spikes of a timestep: (channel, multiplicity).
    pub(super) fn inputs(&self, timestep: usize) -> &[(u32, T)] {
        let start = if timestep == 0 { 0 } else { self.input_ends[timestep - 1] };
        &self.inputs[start..self.input_ends[timestep]]
    }

    /// The multiplicity of a scheduled input spike.
    pub(super) fn multiplicity(&self, arrival: u32) -> T {
        let found = self.waiting.binary_search_by_key(&arrival, |waiting| waiting.0);
        found.map_or(T::ZERO, |at| self.waiting[at].1)
    }

    fn begin(&mut self, run: &Rerun<'_, T>, sample: usize) {
        for state in &mut self.states {
            state.begin_sample(run.input.initial_state(sample));
        }
        self.log.clear();
        self.before_decay.clear();
        self.inputs.clear();
        self.input_ends.clear();
        self.waiting.clear();
    }

    fn begin_timestep(&mut self, run: &Rerun<'_, T>, sample: usize, timestep: usize) -> Result<(), Error> {
        run.input.timestep(sample, timestep, &mut self.spikes, &mut self.indices)?;
        self.inputs.extend_from_slice(&self.spikes);
        self.input_ends.push(self.inputs.len());
        if run.keep_before_decay {
            let n = run.network.n_neurons();
            self.v.resize(run.network.state_len(), T::ZERO);
            for state in &self.states {
                state.copy_state(&mut self.v);
            }
            let start = self.before_decay.len();
            self.before_decay.resize(start + self.v.len(), T::ZERO);
            for (by_id, by_place) in self.v.chunks(n).zip(self.before_decay[start..].chunks_mut(n)) {
                run.places.put(by_id, by_place);
            }
        }
        for state in &mut self.states {
            state.begin_timestep(run.network);
        }
        Ok(())
    }

    /// Runs a sample of an asynchronous run again.
    pub(super) fn rerun(&mut self, run: &Rerun<'_, T>, sample: usize, record: &Sample) -> Result<(), Error> {
        self.begin(run, sample);
        let wanted = |population: usize| run.needed[population];
        let any = run.needed.contains(&true);
        let scheduled = run.input_mode == InputMode::Scheduled;
        let n_neurons = run.network.n_neurons() as u32;
        let n_shards = self.states.len();
        for timestep in 0..record.n_timesteps() {
            self.begin_timestep(run, sample, timestep)?;
            for (number, step) in record.timestep(timestep).enumerate() {
                let state = &mut self.states[record.shard(step)];
                let is_first = number < n_shards;
                if is_first && any {
                    for population in (0..run.needed.len()).filter(|p| wanted(*p)) {
                        deliver_own(run.network, Some(population), state);
                    }
                    if !scheduled {
                        deliver_run_to(run.network, Source::Input, &self.spikes, wanted, state);
                    }
                } else if any {
                    self.group.clear();
                    let emitted = record.emitted(step).iter();
                    let spikes = emitted.map(|&arrival| (arrival, record.sources[arrival as usize]));
                    let kept = spikes.filter(|(_, (source, lost))| {
                        let arrives = |neuron| run.feeding[run.network.population_index(neuron)];
                        !lost && (*source >= n_neurons || arrives(*source))
                    });
                    self.group.extend(kept.map(|(arrival, (source, _))| Pending::new(arrival, source)));
                    let waiting = &self.waiting;
                    let multiplicity = |arrival| {
                        let found = waiting.binary_search_by_key(&arrival, |w: &(u32, T)| w.0);
                        found.map_or(T::ZERO, |at| waiting[at].1)
                    };
                    let (group, none) = (&self.group, |_| false);
                    deliver_group(run.network, group, multiplicity, none, wanted, &mut self.buffers, state);
                }
                if any {
                    state.integrate(run.network, run.places, &mut self.log);
                    fire(state, &mut self.v, run, record, step);
                }
                self.log.end_step();
                if number + 1 == n_shards && scheduled {
                    let (fired, _, first) = record.fired(step);
                    let joined = record.sources[first as usize + fired.len()..].iter();
                    let joined = joined.take_while(|(source, _)| *source >= n_neurons).count() as u32;
                    let first = first + fired.len() as u32;
                    // The inputs of the record are taken to be those given, spike by spike: nothing here compares them.
                    let joined = (first..first + joined).zip(&self.spikes);
                    self.waiting.extend(joined.map(|(arrival, spike)| (arrival, spike.1)));
                }
            }
            self.states.iter_mut().for_each(State::end_timestep);
        }
        Ok(())
    }

    /// Runs a sample of a layered run again.
    pub(super) fn rerun_layered(
        &mut self,
        run: &Rerun<'_, T>,
        order: &VisitingOrder,
        sample: usize,
        record: &Sample,
        emitted: &Emissions,
    ) -> Result<(), Error> {
        self.begin(run, sample);
        for timestep in 0..record.n_timesteps() {
            self.begin_timestep(run, sample, timestep)?;
            for (visit, step) in record.timestep(timestep).enumerate() {
                if let Some(&population) = order.populations.get(visit).filter(|p| run.needed[**p]) {
                    let state = &mut self.states[0];
                    deliver_own(run.network, Some(population), state);
                    for &c in &order.incoming[population] {
                        let connection = &run.network.connections[c];
                        if connection.source == Source::Input {
                            connection.projection.deliver(&self.spikes, connection.target, state);
                            continue;
                        }
                        self.sent.clear();
                        let sent = emitted.sent(order, c, connection.source, timestep);
                        self.sent.extend(sent.iter().map(|&neuron| (neuron, T::ONE)));
                        connection.projection.deliver(&self.sent, connection.target, state);
                    }
                    state.touch_all(population);
                    state.integrate(run.network, run.places, &mut self.log);
                    fire(state, &mut self.v, run, record, step);
                }
                self.log.end_step();
            }
            self.states.iter_mut().for_each(State::end_timestep);
        }
        Ok(())
    }
}

/// Fires the neurons that fired in the recorded step, as far as their potentials are needed.
fn fire<T: Float>(state: &mut State<T>, v: &mut Vec<T>, run: &Rerun<'_, T>, record: &Sample, step: usize) {
    let (mut rest, mut fates, _) = record.fired(step);
    while let Some(&first) = rest.first() {
        let index = run.network.population_index(first);
        let population = &run.network.populations()[index];
        let end = rest.partition_point(|&neuron| (neuron as usize) < population.end);
        let (neurons, tail) = rest.split_at(end);
        let (their_fates, fates_tail) = fates.split_at(end);
        if run.needed[index] {
            v.clear();
            state.fire(&population.lif, index, neurons, v);
            state.skip_refractoriness(neurons, their_fates);
        }
        (rest, fates) = (tail, fates_tail);
    }
}

/// What each population of a layered run fired in each timestep, without the lost spikes.
#[derive(Debug, Default)]
pub(super) struct Emissions {
    n_populations: usize,
    /// Neurons within their population, and where those of each (timestep, population) end.
    neurons: Vec<u32>,
    ends: Vec<usize>,
}

impl Emissions {
    /// Reads them from a record. Step `k` of a timestep must have fired only neurons of the population that is visited
    /// `k`-th.
    pub(super) fn read<T: Float>(
        &mut self,
        network: &Network<T>,
        order: &VisitingOrder,
        record: &Sample,
    ) -> Result<(), Error> {
        self.n_populations = network.populations().len();
        self.neurons.clear();
        self.ends.clear();
        for timestep in 0..record.n_timesteps() {
            let steps = record.timestep(timestep);
            for population in 0..self.n_populations {
                let visit = order.populations.iter().position(|p| *p == population);
                let step = visit.map(|visit| steps.start + visit).filter(|step| *step < steps.end);
                if let Some(step) = step {
                    let population = &network.populations()[population];
                    let (fired, fates, _) = record.fired(step);
                    if fired.iter().any(|k| !(population.start..population.end).contains(&(*k as usize))) {
                        return Err(Error::Trace(format!(
                            "got neurons {fired:?} firing at the visit of population {:?}; accepted: its own neurons",
                            population.name
                        )));
                    }
                    let kept = fired.iter().zip(fates).filter(|(_, fate)| *fate & LOST == 0);
                    self.neurons.extend(kept.map(|(neuron, _)| neuron - population.start as u32));
                }
                self.ends.push(self.neurons.len());
            }
        }
        Ok(())
    }

    /// What a population fired in a timestep.
    pub(super) fn of(&self, population: usize, timestep: usize) -> &[u32] {
        let at = timestep * self.n_populations + population;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.neurons[start..self.ends[at]]
    }

    /// What a projection between populations delivers in a timestep: a feedback projection sends what was fired in the
    /// timestep before.
    pub(super) fn sent(
        &self,
        order: &VisitingOrder,
        connection: usize,
        source: Source,
        timestep: usize,
    ) -> &[u32] {
        let Source::Population(source) = source else { return &[] };
        match (order.is_feedback[connection], timestep) {
            (true, 0) => &[],
            (true, _) => self.of(source, timestep - 1),
            (false, _) => self.of(source, timestep),
        }
    }
}
