//! Proves that a trace can be that of a network: conservation, group sizes, numbering and causality.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Cursor, Record, Trace};
use crate::delivery::{Buffers, deliver_group, deliver_own};
use crate::error::Error;
use crate::fates::{Fates, LOST, SKIPPED};
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::free::Division;
use crate::layered::visiting_order;
use crate::network::Network;
use crate::neuron::Refractory;
use crate::options::{Ending, InputMode, OnStop, StopReason};
use crate::schedule::Pending;
use crate::state::State;

impl Trace {
    /// Proves from the network's structure that every emitted spike was pending, that none was lost or emitted twice,
    /// that groups have the schedule's size and (with one shard) are in arrival order, that each neuron that fired has
    /// a synapse from what was delivered in that step, and that none fired while it was refractory. With several shards
    /// it also proves that each fired only its own neurons, and that spikes stayed in order between any two. The error
    /// is the first thing found wrong.
    pub fn validate<T: Float>(&self, network: &Network<T>) -> Result<(), Error> {
        let _mode = DefaultFloatMode::set();
        self.check_network(network)?;
        let mut check = Check::new(self, network)?;
        (0..self.n_samples()).try_for_each(|sample| check.sample(sample))
    }
}

struct Check<'a, T> {
    trace: &'a Trace,
    network: &'a Network<T>,
    division: Arc<Division>,
    /// By shard.
    states: Vec<State<T>>,
    /// By delivering shard and by the shard that spikes came from: the arrival number of the last spike delivered.
    /// Checked if there are several shards.
    last_from: Vec<Vec<Option<u32>>>,
    cursor: Cursor,
    fates: Fates,
    /// By arrival number: the source of each pending spike, and, as bits, the shards that have not delivered it.
    pending: BTreeMap<u32, (u32, u64)>,
    /// By neuron: the timestep, counted over all samples, in which it last became refractory.
    fired_in: Vec<u64>,
    timesteps: u64,
    /// Whether an output neuron has fired in the sample.
    output_fired: bool,
    /// By neuron: whether its current, biases, or input spikes that arrive at once, can touch it, and so step 0 can make
    /// it fire.
    first_step: Vec<bool>,
    /// The order of visits in a layered run; otherwise empty.
    order: Vec<usize>,
}

impl<'a, T: Float> Check<'a, T> {
    fn new(trace: &'a Trace, network: &'a Network<T>) -> Result<Self, Error> {
        let division = if trace.is_sharded() {
            network.divisions.with_ends(network, &trace.header.shards)?
        } else {
            network.divisions.of(network, 1)
        };
        let n_shards = division.partition.n_shards();
        let decays = network.decays(trace.header.dt)?;
        let mut state = State::new(network, &decays);
        deliver_own(network, None, &mut state);
        // Currents are 0 here, and may be anything in a run.
        let with_currents = |index: &usize| network.populations()[*index].lif.tau_syn.is_some();
        (0..network.populations().len()).filter(with_currents).for_each(|index| state.touch_all(index));
        if trace.header.input_mode == InputMode::AtOnce {
            for &connection in &network.from_input.connections {
                let connection = &network.connections[connection];
                let inputs: Vec<(u32, T)> =
                    (0..network.n_inputs() as u32).map(|channel| (channel, T::ONE)).collect();
                connection.projection.deliver(&inputs, connection.target, &mut state);
            }
        }
        let first_step = (0..network.n_neurons() as u32).map(|k| state.is_touched(network, k)).collect();
        state.drop_events();
        let order = if trace.is_layered() { visiting_order(network, true)?.populations } else { Vec::new() };
        Ok(Self {
            trace,
            network,
            states: (0..n_shards)
                .map(|s| State::of(network, &decays, division.partition.neurons(s)))
                .collect(),
            last_from: vec![vec![None; n_shards]; n_shards],
            division,
            cursor: trace.cursor(),
            fates: Fates::default(),
            pending: BTreeMap::new(),
            fired_in: vec![0; network.n_neurons()],
            timesteps: 0,
            output_fired: false,
            first_step,
            order,
        })
    }

    fn sample(&mut self, sample: usize) -> Result<(), Error> {
        let (bytes, v) = self.trace.sample(sample);
        let n_timesteps = self.trace.header.n_timesteps;
        self.cursor.rewind();
        self.fates.begin_sample();
        self.pending.clear();
        self.output_fired = false;
        self.last_from.iter_mut().for_each(|of| of.fill(None));
        let (mut timestep, mut step, mut arrival, mut n_fired, mut stopped) = (0, 0, 0_u32, 0, false);
        self.timesteps += 1;
        while !self.cursor.at_end(bytes) {
            let fail = |given: String, accepted: String| {
                Error::Trace(format!(
                    "sample {sample}, timestep {timestep}, step {step}: got {given}; accepted: {accepted}"
                ))
            };
            if stopped || timestep == n_timesteps {
                return Err(fail(
                    "a record after the sample's end".into(),
                    format!("{n_timesteps} timesteps, none after a stop"),
                ));
            }
            match self.cursor.next(bytes)? {
                Record::Step => {
                    self.emit(step).map_err(|(given, accepted)| fail(given, accepted))?;
                    self.fire(step, arrival).map_err(|(given, accepted)| fail(given, accepted))?;
                    arrival += self.cursor.fired.len() as u32;
                    n_fired += self.cursor.fired.len();
                    step += 1;
                }
                Record::InputsJoined => {
                    let in_range =
                        self.cursor.fired.iter().all(|channel| (*channel as usize) < self.network.n_inputs());
                    if self.trace.header.input_mode != InputMode::Scheduled
                        || step != self.states.len()
                        || !in_range
                    {
                        return Err(fail(
                            "joining input spikes".into(),
                            "channels of the network, after step 0 of every shard, with input_mode=\"scheduled\" only"
                                .into(),
                        ));
                    }
                    let n_neurons = self.network.n_neurons() as u32;
                    self.pending.extend(
                        (arrival..)
                            .zip(&self.cursor.fired)
                            .map(|(arrival, channel)| (arrival, n_neurons + channel))
                            .map(|(arrival, source)| (arrival, (source, self.division.reach.shards(source)))),
                    );
                    arrival += self.cursor.fired.len() as u32;
                }
                Record::TimestepEnded(ending) => {
                    self.end(ending, step, timestep + 1 == n_timesteps)
                        .map_err(|(given, accepted)| fail(given, accepted))?;
                    stopped = matches!(ending, Ending::Stopped(_));
                    (timestep, step) = (timestep + 1, 0);
                    self.timesteps += 1;
                }
            }
        }
        if n_fired != v.len() {
            return Err(Error::Trace(format!(
                "sample {sample}: got {} potentials for {n_fired} spikes; accepted: one a spike",
                v.len()
            )));
        }
        if step != 0 || (timestep != n_timesteps && !stopped) {
            return Err(Error::Trace(format!(
                "sample {sample}: got {timestep} whole timesteps; accepted: {n_timesteps}, or a sample that was stopped"
            )));
        }
        Ok(())
    }

    /// Takes the emitted spikes out of the pending ones and delivers them.
    fn emit(&mut self, step: usize) -> Result<(), (String, String)> {
        let emitted = &self.cursor.emitted;
        let (layered, n_shards, shard) = (self.trace.is_layered(), self.states.len(), self.cursor.shard);
        if step < n_shards && shard != step {
            return Err((format!("shard {shard}"), format!("step 0 of shard {step}")));
        }
        let due = match step {
            _ if step < n_shards => 0..=0,
            _ if layered => self.pending.len()..=self.pending.len(),
            _ if n_shards > 1 => 1..=self.trace.header.group_size,
            _ => {
                let n = self.pending.len().min(self.trace.header.group_size);
                n..=n
            }
        };
        let nothing = step >= n_shards && self.pending.is_empty() && !layered;
        if !due.contains(&emitted.len()) || nothing {
            return Err((
                format!("a group of {}", emitted.len()),
                format!("a group of {due:?} ({} pending)", self.pending.len()),
            ));
        }
        if n_shards == 1 && !emitted.is_sorted_by(|a, b| a < b) {
            return Err((
                format!("spikes {emitted:?} emitted"),
                "a group in arrival order, each spike once".into(),
            ));
        }
        let mut group = Vec::with_capacity(emitted.len());
        for &arrival in emitted {
            let waits = |(_, shards): &&mut (u32, u64)| *shards >> shard & 1 == 1;
            let Some((source, shards)) = self.pending.get_mut(&arrival).filter(waits) else {
                return Err((format!("spike {arrival} emitted"), "spikes that are pending".to_owned()));
            };
            *shards &= !(1 << shard);
            let (source, is_done) = (*source, *shards == 0);
            if is_done {
                self.pending.remove(&arrival);
            }
            group.push(Pending::new(arrival, source));
            if (source as usize) < self.network.n_neurons() {
                let last = &mut self.last_from[shard][self.division.partition.shard_of(source)];
                if n_shards > 1 && last.replace(arrival).is_some_and(|last| last > arrival) {
                    return Err((
                        format!("spike {arrival} after one that its shard sent later"),
                        "each shard's spikes in the order in which they were fired".into(),
                    ));
                }
            }
        }
        if !layered {
            let (fates, state) = (&self.fates, &mut self.states[shard]);
            let is_lost = |arrival| fates.is_lost(arrival);
            let multiplicity = |_| T::ONE;
            let all = |_| true;
            deliver_group(self.network, &group, multiplicity, is_lost, all, &mut Buffers::new(), state);
        }
        Ok(())
    }

    /// Checks that the neurons that fired could do so, and makes their spikes pending.
    fn fire(&mut self, step: usize, first_arrival: u32) -> Result<(), (String, String)> {
        self.fates.follow(&self.cursor.fates);
        self.fates.note_lost(first_arrival);
        for (at, &neuron) in self.cursor.fired.iter().enumerate() {
            let arrival = first_arrival + at as u32;
            let skipped = self.fates.flags.get(at).is_some_and(|flags| flags & SKIPPED != 0);
            let k = neuron as usize;
            if k >= self.network.n_neurons() {
                return Err((
                    format!("neuron {neuron} firing"),
                    format!("neurons below {}", self.network.n_neurons()),
                ));
            }
            let shard = self.cursor.shard;
            if !self.division.partition.neurons(shard).contains(&k) {
                return Err((
                    format!("neuron {neuron} firing in shard {shard}"),
                    "the shard's neurons".into(),
                ));
            }
            let reached = match self.order.as_slice() {
                [] if step < self.states.len() => self.first_step[k],
                [] => self.states[shard].is_touched(self.network, neuron),
                order => order.get(step) == Some(&self.network.population_index(k as u32)),
            };
            if !reached {
                let accepted = if self.order.is_empty() {
                    "neurons that an event of this step reaches"
                } else {
                    "neurons of the population that this step visits"
                };
                return Err((format!("neuron {neuron} firing"), accepted.into()));
            }
            if self.network.population(neuron).lif.refractory == Refractory::Timestep {
                if self.fired_in[k] == self.timesteps {
                    return Err((
                        format!("neuron {neuron} firing again"),
                        "neurons that are not refractory".into(),
                    ));
                }
                if !skipped {
                    self.fired_in[k] = self.timesteps;
                }
            } else if skipped {
                return Err((
                    format!("neuron {neuron} skipping refractoriness"),
                    "neurons that become refractory".into(),
                ));
            }
            self.output_fired |= (self.network.output().start..self.network.output().end).contains(&k);
            let is_lost = self.fates.flags.get(at).is_some_and(|flags| flags & LOST != 0);
            let shards = if is_lost { 1 << shard } else { self.division.reach.shards(neuron) };
            self.pending.insert(arrival, (neuron, shards));
        }
        self.states[self.cursor.shard].drop_events();
        Ok(())
    }

    /// Whether this can be the reason for a stop: only after an output spike can it be [`StopReason::Output`].
    fn could_stop(&self, reason: StopReason) -> bool {
        reason != StopReason::Output || self.output_fired
    }

    fn end(&mut self, ending: Ending, steps: usize, last: bool) -> Result<(), (String, String)> {
        let layered_whole = !self.trace.is_layered() || steps == self.order.len() + 1;
        let unfinished = !self.pending.is_empty() || !layered_whole;
        let on_stop = self.trace.header.on_stop;
        let holds = steps >= self.states.len()
            && match ending {
                Ending::Quiescent => !unfinished,
                Ending::Discarded(reason) => {
                    unfinished
                        && on_stop == OnStop::Discard
                        && self.could_stop(reason)
                        && reason != StopReason::MaxSpikes
                }
                Ending::Carried(reason) => {
                    unfinished
                        && on_stop == OnStop::Carry
                        && self.could_stop(reason)
                        && reason != StopReason::MaxSpikes
                }
                Ending::Stopped(reason) => {
                    (unfinished || !last) && self.could_stop(reason) && reason != StopReason::MaxForwardSteps
                }
            };
        if !holds {
            return Err((
                format!(
                    "a timestep that ends {} after {steps} steps, with {} spikes pending",
                    ending.in_words(),
                    self.pending.len()
                ),
                "an ending that fits".into(),
            ));
        }
        if !matches!(ending, Ending::Carried(_)) {
            self.pending.clear();
        }
        Ok(())
    }
}
