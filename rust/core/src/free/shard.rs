//! One shard: its neurons, the spikes that wait for it, and what it writes down. All of this is one worker's own;
//! nothing here is shared.

use std::collections::VecDeque;

use super::log::{Found, Log, LoggedStep, Mark};
use super::reach::Reach;
use super::ring::Message;
use super::stops::Stops;
use crate::batch::room;
use crate::delivery::{Buffers, deliver_own, deliver_run, forward_step, prefetch};
use crate::engine::Run;
use crate::error::Error;
use crate::fates::{Fates, LOST};
use crate::float::Float;
use crate::measures::Measures;
use crate::network::Source;
use crate::neuron::Refractory;
use crate::options::{Ending, InputMode, OutputStop, StopReason};
use crate::schedule::Pending;
use crate::state::State;

/// Marks the serial number of a spike that delivers nothing.
pub(super) const LOST_BIT: u32 = 1 << 31;

/// A shard at work.
pub(super) struct Shard<'a, T> {
    run: &'a Run<'a, T>,
    pub(super) number: usize,
    group_size: usize,
    n_neurons: usize,
    state: State<T>,
    /// Spikes that have arrived, in the order of their arrival.
    pub(super) waiting: VecDeque<Message>,
    /// How many of the waiting spikes, the first ones, were carried over from a timestep that was stopped.
    carried: usize,
    pub(super) fired: Vec<u32>,
    potentials: Vec<T>,
    group: Vec<Pending>,
    buffers: Buffers<T>,
    fates: Fates,
    /// Multiplicities of the sample's scheduled input spikes.
    multiplicities: Vec<T>,
    /// How many spikes the shard has fired in the sample: the serial number of the next.
    serial: u32,
    /// Forward steps in the timestep.
    steps: u64,
    /// Forward steps that may still be taken after an output spike, once this shard has seen it.
    allowance: Option<u64>,
    measures: Measures,
    pub(super) found: Found<T>,
}

impl<'a, T: Float> Shard<'a, T> {
    pub(super) fn new(
        run: &'a Run<'a, T>,
        number: usize,
        neurons: std::ops::Range<usize>,
        group_size: usize,
    ) -> Self {
        Self {
            run,
            number,
            group_size,
            n_neurons: neurons.len(),
            state: State::of(run.network, &run.decays, neurons),
            waiting: VecDeque::new(),
            carried: 0,
            fired: Vec::new(),
            potentials: Vec::new(),
            group: Vec::new(),
            buffers: Buffers::new(),
            fates: Fates::default(),
            multiplicities: Vec::new(),
            serial: 0,
            steps: 0,
            allowance: None,
            measures: Measures::default(),
            found: Found {
                counts: Vec::new(),
                output_v: Vec::new(),
                spike_counts: Vec::new(),
                state: Vec::new(),
                measures: Vec::new(),
                output_spikes: Vec::new(),
                output_ends: Vec::new(),
                log: Log::default(),
            },
        }
    }

    /// Makes room for what is kept of `n_samples` samples.
    pub(super) fn reserve(&mut self, n_samples: usize) -> Result<(), Error> {
        let Run { options, input, .. } = self.run;
        let width = |keep: bool, width: usize| if keep { width } else { 0 };
        let n_counts = input.n_timesteps() * self.outputs().len();
        self.found.counts = room("counts", n_samples, width(options.keep_counts, n_counts))?;
        self.found.output_v = room("output_v", n_samples, width(options.keep_output_v, n_counts))?;
        self.found.spike_counts =
            room("spike_counts", n_samples, width(options.keep_spike_counts, self.n_neurons))?;
        self.found.state = room("v", n_samples, width(options.keep_state, self.state_len()))?;
        Ok(())
    }

    fn neurons(&self) -> std::ops::Range<usize> {
        self.state.first_neuron()..self.state.first_neuron() + self.n_neurons
    }

    /// How many numbers the state of the shard's neurons has.
    fn state_len(&self) -> usize {
        self.n_neurons * self.run.network.state_parts()
    }

    pub(super) fn begin_sample(&mut self, sample: usize) {
        self.state.begin_sample(self.run.input.initial_state(sample));
        self.fates.begin_sample();
        self.multiplicities.clear();
        self.serial = 0;
        self.allowance = None;
        self.measures = Measures { reached_quiescence: true, ..Measures::default() };
        let Run { options, input, .. } = self.run;
        if options.keep_counts {
            let n = self.found.counts.len() + input.n_timesteps() * self.outputs().len();
            self.found.counts.resize(n, 0.0);
        }
        if options.keep_spike_counts {
            self.found.spike_counts.resize(self.found.spike_counts.len() + self.n_neurons, 0);
        }
    }

    /// The output neurons among the shard's.
    pub(super) fn outputs(&self) -> std::ops::Range<usize> {
        let (output, here) = (self.run.network.output(), self.neurons());
        let start = output.start.clamp(here.start, here.end);
        start..output.end.clamp(start, here.end)
    }

    pub(super) fn end_sample(&mut self) {
        self.measures.synaptic_operations = self.state.operations;
        self.measures.neuron_updates = self.state.updates;
        self.found.measures.push(self.measures);
        if self.run.options.keep_output_v {
            // Timesteps that were not run are 0.
            let width = self.run.input.n_timesteps() * self.outputs().len();
            self.found.output_v.resize(self.found.measures.len() * width, T::ZERO);
        }
        if self.run.options.keep_state {
            let start = self.found.state.len();
            self.found.state.resize(start + self.state_len(), T::ZERO);
            self.state.copy_own_state(&mut self.found.state[start..]);
        }
        self.found.output_ends.push(self.found.output_spikes.len());
        self.found.log.samples.push(self.found.log.timesteps.len());
        // What waits behind the carried spikes is for the next sample already.
        self.waiting.drain(..std::mem::take(&mut self.carried));
    }

    /// Runs forward step 0 of a timestep. Returns how many spikes wait that were carried over from an earlier timestep:
    /// nobody has counted them as sent in this one.
    pub(super) fn begin_timestep(
        &mut self,
        at: Place,
        inputs: &[(u32, T)],
        stops: &Stops<'_>,
    ) -> Result<usize, Error> {
        let network = self.run.network;
        self.state.begin_timestep(network);
        if self.run.has_fates {
            self.fates.begin_timestep(network.n_neurons());
        }
        self.steps = 0;
        if self.run.options.stop_on_output == Some(OutputStop::Timestep) {
            self.allowance = None;
        }
        deliver_own(network, None, &mut self.state);
        if self.run.options.input_mode == InputMode::AtOnce {
            deliver_run(network, Source::Input, inputs, &mut self.state);
        }
        self.group.clear();
        self.state.update(network, &mut self.fired);
        self.settle(at, stops)?;
        Ok(std::mem::take(&mut self.carried))
    }

    /// Lets scheduled input spikes join, after what step 0 fired; returns how many of them wait in this shard.
    pub(super) fn join_inputs(&mut self, inputs: &[(u32, T)], reach: &Reach) -> Result<usize, Error> {
        if self.run.options.input_mode != InputMode::Scheduled {
            return Ok(0);
        }
        check_serials(self.multiplicities.len(), inputs.len())?;
        let n = self.run.network.n_neurons() as u32;
        let before = self.waiting.len();
        for &(channel, multiplicity) in inputs {
            let serial = self.multiplicities.len() as u32;
            self.multiplicities.push(multiplicity);
            if reach.shards(n + channel) >> self.number & 1 == 1 {
                self.waiting.push_back(Message::new(serial, n + channel));
            }
        }
        Ok(self.waiting.len() - before)
    }

    /// Takes up to F waiting spikes and delivers them; returns how many.
    pub(super) fn deliver(&mut self, at: Place, stops: &Stops<'_>) -> Result<usize, Error> {
        let n = self.waiting.len().min(self.group_size);
        self.group.clear();
        for message in (0..n).map_while(|_| self.waiting.pop_front()) {
            self.group.push(Pending::new(message.serial(), message.source()));
            if self.run.options.record {
                self.found.log.delivered.push(message);
            }
        }
        let upcoming = [0, 1].map(|at| self.waiting.get(at).map(|message| message.source()));
        prefetch(self.run.network, upcoming, &self.state);
        let multiplicities = &self.multiplicities;
        forward_step(
            self.run.network,
            &self.group,
            |serial| multiplicities[serial as usize],
            |serial| serial & LOST_BIT != 0,
            &mut self.buffers,
            &mut self.state,
            &mut self.fired,
        );
        self.settle(at, stops)?;
        Ok(n)
    }

    /// Carries out the firing of the neurons in `fired`.
    fn settle(&mut self, at: Place, stops: &Stops<'_>) -> Result<(), Error> {
        let Run { network, options, .. } = self.run;
        self.potentials.clear();
        self.measures.sum_events += self.state.fire_all(network, &self.fired, &mut self.potentials);
        if let Some(dropout) = &options.dropout {
            let rests = |k| network.population(k).lif.refractory == Refractory::Timestep;
            self.fates.draw(dropout, at.sample_id, at.timestep as u32, &self.fired, rests);
            self.state.skip_refractoriness(&self.fired, &self.fates.flags);
        }
        let first = self.state.first_neuron();
        if options.keep_spike_counts {
            let start = self.found.spike_counts.len() - self.n_neurons;
            for &neuron in &self.fired {
                self.found.spike_counts[start + neuron as usize - first] += 1;
            }
        }
        self.count_output_spikes(at, stops);
        if options.record {
            let log = &mut self.found.log;
            log.steps
                .push(LoggedStep { n_delivered: self.group.len() as u32, n_fired: self.fired.len() as u32 });
            // One by one, since mostly there is one or none.
            for (&neuron, v) in self.fired.iter().zip(&self.potentials) {
                log.fired.push((neuron, v.to_f32()));
            }
            if self.run.has_fates {
                log.fates.extend_from_slice(&self.fates.flags);
            }
        }
        self.measures.spikes += self.fired.len() as u64;
        self.measures.forward_steps += 1;
        self.steps += 1;
        check_serials(self.serial as usize, self.fired.len())
    }

    fn count_output_spikes(&mut self, at: Place, stops: &Stops<'_>) {
        let outputs = self.outputs();
        let is_output = |k: &&u32| outputs.contains(&(**k as usize));
        if self.fired.iter().filter(is_output).count() == 0 {
            return;
        }
        let options = self.run.options;
        // Read only if it is used, because it lies in the other workers' caches.
        let is_counted = self.measures.latency.is_none() || options.keep_output_spikes;
        let others = if is_counted { stops.spikes_of_others(at, self.number) } else { 0 };
        for (before, &neuron) in (self.measures.spikes + others..).zip(&self.fired) {
            let neuron = neuron as usize;
            if !outputs.contains(&neuron) {
                continue;
            }
            self.measures.latency.get_or_insert(before);
            if options.keep_counts {
                let n = outputs.len();
                let start = self.found.counts.len() - (self.run.input.n_timesteps() - at.timestep) * n;
                self.found.counts[start + neuron - outputs.start] += 1.0;
            }
            if options.keep_output_spikes {
                let number = neuron - self.run.network.output().start;
                self.found.output_spikes.push((before as u32, number as u32));
            }
        }
        if options.stop_on_output.is_some() {
            stops.saw_output(at);
        }
    }

    /// Calls `to` for each neuron that has just fired, with its spike as a message and the shards that the spike goes
    /// to.
    pub(super) fn send(&mut self, reach: &Reach, mut to: impl FnMut(u64, Message)) {
        for (at, &neuron) in self.fired.iter().enumerate() {
            let is_lost = self.fates.flags.get(at).is_some_and(|flags| flags & LOST != 0);
            let (serial, shards) = if is_lost {
                (self.serial | LOST_BIT, 1 << self.number)
            } else {
                (self.serial, reach.shards(neuron))
            };
            self.serial += 1;
            to(shards, Message::new(serial, neuron));
        }
    }

    /// Adds the number of spikes that wait to the measures, and asks for a stop if a limit is reached.
    pub(super) fn after_step(&mut self, at: Place, stops: &Stops<'_>) {
        let pending = self.waiting.len() as u64;
        self.measures.max_pending = self.measures.max_pending.max(pending);
        self.measures.sum_pending += pending;
        let options = self.run.options;
        if options
            .max_spikes
            .is_some_and(|most| self.measures.spikes + stops.spikes_of_others(at, self.number) >= most)
        {
            stops.stop(at, StopReason::MaxSpikes);
        }
        if options.stop_on_output.is_some() {
            // The step in which the output spike was seen counts down too.
            if self.allowance.is_none() && stops.has_seen_output(at) {
                self.allowance = Some(options.extra_steps.saturating_add(1));
            }
            if let Some(left) = &mut self.allowance {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    stops.stop(at, StopReason::Output);
                }
            }
        }
        // What has just been fired is pending in some shard, if not in this one.
        let unfinished = pending > 0 || !self.fired.is_empty();
        if unfinished && self.steps >= options.max_forward_steps {
            stops.stop(at, StopReason::MaxForwardSteps);
        }
    }

    /// Called on a stop: drops what waits, or keeps it for the next timestep. Returns how many spikes this shard is
    /// thereby done with for now.
    pub(super) fn drop_waiting(&mut self, carry: bool) -> usize {
        let n = self.waiting.len() - self.carried;
        if carry {
            self.carried = self.waiting.len();
        } else {
            self.waiting.clear();
        }
        n
    }

    /// How many spikes wait to be delivered in this timestep.
    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.len() - self.carried
    }

    pub(super) fn end_timestep(&mut self, ending: Ending) {
        self.state.end_timestep();
        if self.run.options.keep_output_v {
            self.found.output_v.extend(self.state.output_v(self.run.network).map(|(_, v)| v));
        }
        if ending != Ending::Quiescent {
            self.measures.reached_quiescence = false;
            self.measures.stopped_by = ending.reason();
        }
        if self.run.options.record {
            let log = &mut self.found.log;
            let inputs = self.multiplicities.len();
            let (steps, delivered, fired) = (log.steps.len(), log.delivered.len(), log.fired.len());
            log.timesteps.push((Mark { steps, delivered, fired, inputs }, ending));
        }
    }

    pub(super) fn spikes(&self) -> u64 {
        self.measures.spikes
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) sample: usize,
    pub(super) sample_id: u64,
    pub(super) timestep: usize,
    /// Timesteps begun before this one.
    pub(super) epoch: u64,
}

/// Refuses more spikes than serial numbers can tell apart, their highest bit being taken.
fn check_serials(serial: usize, n: usize) -> Result<(), Error> {
    if serial + n >= LOST_BIT as usize {
        return Err(Error::input("x", "a sample of 2**31 spikes or more", "samples of fewer spikes"));
    }
    Ok(())
}
