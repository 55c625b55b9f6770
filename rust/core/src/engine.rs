//! The run of one sample: timesteps, forward steps, quiescence (`docs/semantics.md`, "Time"), for any schedule but the
//! layered one.

use crate::delivery::{Buffers, deliver_own, deliver_run, forward_step, prefetch};
use crate::error::Error;
use crate::fates::Fates;
use crate::float::Float;
use crate::input::Input;
use crate::measures::Measures;
use crate::network::{Decays, Network, Population, Source};
use crate::neuron::Refractory;
use crate::options::{Ending, InputMode, OnStop, Options, OutputStop, StopReason};
use crate::schedule::{Moment, Pending, Schedule};
use crate::state::State;
use crate::trace::Writer;
use crate::workers::{A_STEP, Watch};

/// Where one sample's results go; empty slices where they are not kept.
#[derive(Debug)]
pub(crate) struct Slot<'a, T> {
    /// `[n_output]` by timestep.
    pub(crate) counts: Vec<&'a mut [f32]>,
    /// `[n_output]` by timestep.
    pub(crate) output_v: Vec<&'a mut [T]>,
    /// `[n_neurons]`.
    pub(crate) spike_counts: &'a mut [u32],
    /// As `Network::state_len` describes.
    pub(crate) state: &'a mut [T],
}

/// What the workers of a run share, read-only.
pub(crate) struct Run<'a, T> {
    pub(crate) network: &'a Network<T>,
    pub(crate) input: &'a Input<'a, T>,
    pub(crate) options: &'a Options,
    pub(crate) decays: Decays<T>,
    /// Whether spikes have fates: the run has dropouts, or replays a run that had them.
    pub(crate) has_fates: bool,
    /// Where each shard's neurons end, in a run of several shards; otherwise empty.
    pub(crate) shards: Vec<usize>,
}

/// One worker's buffers, and the state of the sample that it is running.
pub(crate) struct Worker<'a, T> {
    pub(crate) run: &'a Run<'a, T>,
    pub(crate) state: State<T>,
    pub(crate) measures: Measures,
    /// Neurons that fired in the current step.
    pub(crate) fired: Vec<u32>,
    /// Potentials of the neurons that have fired in the current timestep, in the order of firing.
    pub(crate) v: Vec<T>,
    /// The group of the current step.
    pub(crate) group: Vec<Pending>,
    buffers: Buffers<T>,
    /// Input spikes of the current timestep.
    pub(crate) inputs: Vec<(u32, T)>,
    /// A buffer: the indices of a dense input's non-zero entries.
    pub(crate) indices: Vec<u32>,
    pub(crate) fates: Fates,
    /// (arrival number, multiplicity) of the input spikes that have joined the pending ones.
    waiting_inputs: Vec<(u32, T)>,
    next_arrival: u32,
    /// Forward steps that may still be taken after an output spike.
    countdown: Option<u64>,
    /// (spikes before it, output neuron) for each output spike of all samples that this worker has run.
    pub(crate) output_spikes: Vec<(u32, u32)>,
    pub(crate) writer: Writer,
    /// The shard that takes the current step, in a replay of several shards.
    shard: usize,
}

impl<'a, T: Float> Worker<'a, T> {
    pub(crate) fn new(run: &'a Run<'a, T>) -> Self {
        Self {
            run,
            state: State::new(run.network, &run.decays),
            measures: Measures::default(),
            fired: Vec::new(),
            v: Vec::new(),
            group: Vec::new(),
            buffers: Buffers::new(),
            inputs: Vec::new(),
            indices: Vec::new(),
            fates: Fates::default(),
            waiting_inputs: Vec::new(),
            next_arrival: 0,
            countdown: None,
            output_spikes: Vec::new(),
            writer: Writer::new(run.has_fates, run.shards.len()),
            shard: 0,
        }
    }

    pub(crate) fn moment(&self, sample: usize) -> Moment {
        let sample_id = self.run.options.sample_ids.as_ref().map_or(sample as u64, |ids| ids[sample]);
        Moment { sample, sample_id, timestep: 0, step: 0 }
    }

    pub(crate) fn begin_sample(&mut self, sample: usize) {
        self.state.begin_sample(self.run.input.initial_state(sample));
        self.fates.begin_sample();
        self.writer.begin_sample();
        self.measures = Measures { reached_quiescence: true, ..Measures::default() };
        self.next_arrival = 0;
        self.countdown = None;
        self.waiting_inputs.clear();
    }

    pub(crate) fn end_sample(&mut self, slot: &mut Slot<'_, T>) {
        self.measures.synaptic_operations = self.state.operations;
        self.measures.neuron_updates = self.state.updates;
        if self.run.options.keep_state {
            self.state.copy_state(slot.state);
        }
    }

    /// Runs one sample.
    pub(crate) fn sample<S: Schedule<T>>(
        &mut self,
        schedule: &mut S,
        sample: usize,
        slot: &mut Slot<'_, T>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let Run { network, input, options, .. } = self.run;
        let mut moment = self.moment(sample);
        self.begin_sample(sample);
        schedule.clear();
        schedule.begin_sample(sample)?;
        for timestep in 0..input.n_timesteps() {
            (moment.timestep, moment.step) = (timestep as u32, 0);
            input.timestep(sample, timestep, &mut self.inputs, &mut self.indices)?;
            if !watch.go_on(A_STEP + self.inputs.len()) {
                return Err(Error::Interrupted);
            }
            self.begin_timestep();
            deliver_own(network, None, &mut self.state);
            if options.input_mode == InputMode::AtOnce {
                deliver_run(network, Source::Input, &self.inputs, &mut self.state);
            }
            self.state.update(network, &mut self.fired);
            self.group.clear();
            self.settle(schedule, moment, slot)?;
            if options.input_mode == InputMode::Scheduled {
                self.join_inputs(schedule, moment)?;
            }
            let ending = loop {
                if let Some(ending) = self.ending(schedule, moment, |pending| pending > 0)? {
                    break ending;
                }
                if !watch.go_on(A_STEP + self.group.len()) {
                    return Err(Error::Interrupted);
                }
                moment.step += 1;
                self.group.clear();
                schedule.select(moment, &mut self.group)?;
                prefetch(network, schedule.upcoming(), &self.state);
                let waiting = &self.waiting_inputs;
                let multiplicity = |arrival| {
                    waiting[waiting
                        .binary_search_by_key(&arrival, |w| w.0)
                        .expect("every waiting input is listed")]
                    .1
                };
                let fates = &self.fates;
                let is_lost = |arrival| fates.any_lost() && fates.is_lost(arrival);
                forward_step(
                    network,
                    &self.group,
                    multiplicity,
                    is_lost,
                    &mut self.buffers,
                    &mut self.state,
                    &mut self.fired,
                );
                self.settle(schedule, moment, slot)?;
            };
            if self.end_timestep(schedule, ending, moment, slot) {
                break;
            }
        }
        self.end_sample(slot);
        schedule.end_sample(moment)
    }

    pub(crate) fn begin_timestep(&mut self) {
        self.state.begin_timestep(self.run.network);
        self.v.clear();
        if self.run.has_fates {
            self.fates.begin_timestep(self.run.network.n_neurons());
        }
        if self.run.options.stop_on_output == Some(OutputStop::Timestep) {
            self.countdown = None;
        }
    }

    /// Ends a timestep; returns true if the sample has ended with it.
    pub(crate) fn end_timestep<S: Schedule<T>>(
        &mut self,
        schedule: &mut S,
        ending: Ending,
        moment: Moment,
        slot: &mut Slot<'_, T>,
    ) -> bool {
        self.record_ending(ending);
        self.state.end_timestep();
        if self.run.options.keep_output_v {
            for (number, v) in self.state.output_v(self.run.network) {
                slot.output_v[moment.timestep as usize][number] = v;
            }
        }
        if !matches!(ending, Ending::Carried(_)) {
            schedule.clear();
            self.waiting_inputs.clear();
        }
        matches!(ending, Ending::Stopped(_))
    }

    /// Records how the timestep ended, and the potentials of all neurons that fired in it: all at once, because
    /// recording the few of each step separately costs more.
    pub(crate) fn record_ending(&mut self, ending: Ending) {
        if self.run.options.record {
            self.writer.v.extend(self.v.iter().map(|v| v.to_f32()));
            self.writer.end_timestep(ending);
        }
    }

    /// Carries out the firing of the neurons in `fired`: updates their state, the counts, the record and the schedule's
    /// pending spikes.
    #[inline]
    pub(crate) fn settle<S: Schedule<T>>(
        &mut self,
        schedule: &mut S,
        moment: Moment,
        slot: &mut Slot<'_, T>,
    ) -> Result<(), Error> {
        let Run { network, options, .. } = self.run;
        let first = self.v.len();
        self.measures.sum_events += self.state.fire_all(network, &self.fired, &mut self.v);
        if options.keep_spike_counts {
            for &neuron in &self.fired {
                slot.spike_counts[neuron as usize] += 1;
            }
        }
        let output = network.output();
        if self.fired.last().is_some_and(|&last| last as usize >= output.start) {
            self.count_output_spikes(output, moment, slot);
        }
        schedule.fired(moment, self.next_arrival, &self.fired, &self.v[first..])?;
        if self.run.has_fates {
            self.decide_fates(schedule, moment);
        }
        if options.record {
            self.writer.step(self.shard, &self.group, &self.fired, &self.fates.flags);
        }
        self.take_arrivals(self.fired.len())?;
        self.measures.spikes += self.fired.len() as u64;
        self.measures.forward_steps += 1;
        Ok(())
    }

    /// Like `settle`, for the neurons of a shard, whose state is not the worker's own.
    pub(crate) fn settle_shard<S: Schedule<T>>(
        &mut self,
        state: &mut State<T>,
        schedule: &mut S,
        shard: usize,
        moment: Moment,
        slot: &mut Slot<'_, T>,
    ) -> Result<(), Error> {
        self.shard = shard;
        std::mem::swap(&mut self.state, state);
        let settled = self.settle(schedule, moment, slot);
        std::mem::swap(&mut self.state, state);
        settled
    }

    /// Decides whether the neurons that fired skip refractoriness, and whether their spikes are lost.
    fn decide_fates<S: Schedule<T>>(&mut self, schedule: &S, moment: Moment) {
        match &self.run.options.dropout {
            _ if schedule.follows_record() => self.fates.follow(schedule.recorded_fates()),
            Some(dropout) => {
                let network = self.run.network;
                let becomes_refractory =
                    |neuron| network.population(neuron).lif.refractory == Refractory::Timestep;
                let Moment { sample_id, timestep, .. } = moment;
                self.fates.draw(dropout, sample_id, timestep, &self.fired, becomes_refractory);
            }
            None => {}
        }
        self.state.skip_refractoriness(&self.fired, &self.fates.flags);
        self.fates.note_lost(self.next_arrival);
    }

    /// Counts the output neurons among `fired`.
    fn count_output_spikes(&mut self, output: &Population, moment: Moment, slot: &mut Slot<'_, T>) {
        let options = self.run.options;
        for (before, &neuron) in (self.measures.spikes..).zip(&self.fired) {
            let neuron = neuron as usize;
            if !(output.start..output.end).contains(&neuron) {
                continue;
            }
            self.measures.latency.get_or_insert(before);
            if options.stop_on_output.is_some() {
                // Plus one, because the current step counts it down too.
                self.countdown.get_or_insert(options.extra_steps.saturating_add(1));
            }
            if options.keep_counts {
                slot.counts[moment.timestep as usize][neuron - output.start] += 1.0;
            }
            if options.keep_output_spikes {
                self.output_spikes.push((before as u32, (neuron - output.start) as u32));
            }
        }
    }

    fn join_inputs<S: Schedule<T>>(&mut self, schedule: &mut S, moment: Moment) -> Result<(), Error> {
        if self.inputs.is_empty() {
            return Ok(());
        }
        let n_neurons = self.run.network.n_neurons() as u32;
        let channels: Vec<u32> = self.inputs.iter().map(|input| input.0).collect();
        let sources: Vec<u32> = channels.iter().map(|channel| channel + n_neurons).collect();
        self.waiting_inputs
            .extend((self.next_arrival..).zip(&self.inputs).map(|(arrival, input)| (arrival, input.1)));
        schedule.inputs_joined(moment, self.next_arrival, &sources)?;
        if self.run.options.record {
            self.writer.inputs_joined(&channels);
        }
        self.take_arrivals(sources.len())
    }

    pub(crate) fn take_arrivals(&mut self, n: usize) -> Result<(), Error> {
        self.next_arrival = arrivals_after(self.next_arrival, n)?;
        Ok(())
    }

    /// Whether and how the timestep ends after the step just taken; also adds the number of pending spikes to the
    /// measures. Given that number, `unfinished` tells whether the timestep has more to do.
    #[inline]
    pub(crate) fn ending<S: Schedule<T>>(
        &mut self,
        schedule: &mut S,
        moment: Moment,
        unfinished: impl Fn(u64) -> bool,
    ) -> Result<Option<Ending>, Error> {
        let pending = schedule.pending() as u64;
        self.note_pending(pending);
        let unfinished = unfinished(pending);
        let ending = if schedule.follows_record() {
            schedule.recorded_ending(moment, unfinished)?
        } else {
            let last = moment.timestep as usize + 1 == self.run.input.n_timesteps();
            match self.stop(u64::from(moment.step) + 1) {
                Some((reason, OutputStop::Sample)) if unfinished || !last => Some(Ending::Stopped(reason)),
                Some((reason, OutputStop::Timestep)) if unfinished => Some(match self.run.options.on_stop {
                    OnStop::Discard => Ending::Discarded(reason),
                    OnStop::Carry => Ending::Carried(reason),
                }),
                _ => (!unfinished).then_some(Ending::Quiescent),
            }
        };
        if let Some(ending) = ending {
            self.note_ending(ending);
        }
        Ok(ending)
    }

    #[inline]
    pub(crate) fn note_pending(&mut self, pending: u64) {
        self.measures.max_pending = self.measures.max_pending.max(pending);
        self.measures.sum_pending += pending;
    }

    pub(crate) fn note_ending(&mut self, ending: Ending) {
        if ending != Ending::Quiescent {
            self.measures.reached_quiescence = false;
            self.measures.stopped_by = ending.reason();
        }
    }

    /// Which stop condition holds after `steps` forward steps of the timestep, and what it stops.
    #[inline]
    fn stop(&mut self, steps: u64) -> Option<(StopReason, OutputStop)> {
        let options = self.run.options;
        if options.max_spikes.is_some_and(|most| self.measures.spikes >= most) {
            return Some((StopReason::MaxSpikes, OutputStop::Sample));
        }
        if let Some(countdown) = &mut self.countdown {
            *countdown = countdown.saturating_sub(1);
            if *countdown == 0 {
                return Some((
                    StopReason::Output,
                    options.stop_on_output.expect("an output spike counts down only for a stop"),
                ));
            }
        }
        (steps >= options.max_forward_steps).then_some((StopReason::MaxForwardSteps, OutputStop::Timestep))
    }
}

/// The arrival number that follows `n` more spikes, if there is one.
pub(crate) fn arrivals_after(next: u32, n: usize) -> Result<u32, Error> {
    let after = u32::try_from(n).ok().and_then(|n| next.checked_add(n)).filter(|after| *after < u32::MAX);
    after.ok_or_else(|| {
        Error::input(
            "x",
            "a sample of 2**32 spikes or more",
            "samples of fewer spikes; see max_spikes and max_forward_steps",
        )
    })
}
