//! What the shards found, put together: results by sample, and one order of all deliveries that respects what happened (each shard's own order, and that a spike is delivered after it fired).

use super::division::Division;
use super::shard::{Found, LOST_BIT, LoggedStep};
use super::worker::DELIVERIES_AT_A_TIME;
use crate::batch::{Output, zeros};
use crate::collect::header;
use crate::engine::Run;
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::measures::Measures;
use crate::options::{Ending, InputMode};
use crate::schedule::ScheduleSpec;
use crate::trace::{Trace, Writer};

/// Puts together what the shards of all groups found; group `g` of `n` ran the samples `g, g + n, ...`.
pub(super) fn merged<T: Float>(
    run: &Run<'_, T>,
    spec: &ScheduleSpec,
    division: &Division,
    mut groups: Vec<Vec<Found<T>>>,
) -> Result<Output<T>, Error> {
    let Run { network, input, options, .. } = run;
    let (n_samples, n) = (input.n_samples(), network.n_neurons());
    let output = network.output();
    let n_output = output.end - output.start;
    let kept = |keep: bool, width: usize| if keep { width } else { 0 };
    let n_counts = kept(options.keep_counts, input.n_timesteps() * n_output);
    let n_spike_counts = kept(options.keep_spike_counts, n);
    let mut all = Output {
        counts: zeros("counts", n_samples, n_counts)?,
        spike_counts: zeros("spike_counts", n_samples, n_spike_counts)?,
        v: zeros("v", n_samples, kept(options.keep_v, n))?,
        measures: vec![Measures::default(); n_samples],
        output_spikes: Vec::new(),
        output_offsets: vec![0],
        trace: None,
    };
    let n_groups = groups.len();
    let mut merge = Merge::new(run, division, n_groups);
    for sample in 0..n_samples {
        let (shards, number) = (&mut groups[sample % n_groups], sample / n_groups);
        let mut spikes = Vec::new();
        let measures = &mut all.measures[sample];
        *measures = Measures { reached_quiescence: true, ..Measures::default() };
        for (shard, found) in shards.iter().enumerate() {
            add(measures, &found.measures[number]);
            let neurons = division.partition.neurons(shard);
            if options.keep_spike_counts {
                let own = &found.spike_counts[number * neurons.len()..][..neurons.len()];
                all.spike_counts[sample * n..][neurons.clone()].copy_from_slice(own);
            }
            if options.keep_v {
                let own = &found.v[number * neurons.len()..][..neurons.len()];
                all.v[sample * n..][neurons.clone()].copy_from_slice(own);
            }
            let outputs =
                output.start.clamp(neurons.start, neurons.end)..output.end.clamp(neurons.start, neurons.end);
            if options.keep_counts && !outputs.is_empty() {
                let width = outputs.len();
                let own = &found.counts[number * input.n_timesteps() * width..];
                for timestep in 0..input.n_timesteps() {
                    let to = sample * n_counts + timestep * n_output + outputs.start - output.start;
                    all.counts[to..to + width].copy_from_slice(&own[timestep * width..][..width]);
                }
            }
            let ends = &found.output_ends;
            let start = if number == 0 { 0 } else { ends[number - 1] };
            spikes.extend_from_slice(&found.output_spikes[start..ends[number]]);
        }
        if options.record {
            spikes.clear();
            merge.sample(sample, number, shards, measures, &mut spikes)?;
        } else {
            spikes.sort_unstable();
        }
        if options.keep_output_spikes {
            all.output_spikes.extend_from_slice(&spikes);
        }
        all.output_offsets.push(all.output_spikes.len() as u64);
    }
    all.trace = options.record.then(|| Trace::of_piece(header(run, spec), merge.writer.finish()));
    Ok(all)
}

fn add(sum: &mut Measures, part: &Measures) {
    sum.spikes += part.spikes;
    sum.forward_steps += part.forward_steps;
    sum.synaptic_operations += part.synaptic_operations;
    sum.neuron_updates += part.neuron_updates;
    sum.max_pending = sum.max_pending.max(part.max_pending);
    sum.sum_pending += part.sum_pending;
    sum.sum_events += part.sum_events;
    sum.latency = [sum.latency, part.latency].into_iter().flatten().min();
    sum.reached_quiescence &= part.reached_quiescence;
    if !part.reached_quiescence {
        sum.stopped_by = part.stopped_by;
    }
}

/// Where the merge stands in a shard's log.
#[derive(Clone, Copy, Debug, Default)]
struct At {
    step: usize,
    delivered: usize,
    fired: usize,
    timestep: usize,
}

/// Merges the logs of one sample after the other.
struct Merge<'a, T> {
    run: &'a Run<'a, T>,
    division: &'a Division,
    /// By group of samples and shard.
    at: Vec<Vec<At>>,
    writer: Writer,
    /// By shard: the arrival number of each spike that it fired in the sample.
    arrivals: Vec<Vec<u32>>,
    /// The same of scheduled input spikes.
    input_arrivals: Vec<u32>,
    next_arrival: u32,
    /// Arrival numbers of what the step at hand delivers.
    emitted: Vec<u32>,
    inputs: Vec<(u32, T)>,
    indices: Vec<u32>,
    pending: u64,
}

impl<'a, T: Float> Merge<'a, T> {
    fn new(run: &'a Run<'a, T>, division: &'a Division, n_groups: usize) -> Self {
        let n_shards = division.partition.n_shards();
        Self {
            run,
            division,
            at: vec![vec![At::default(); n_shards]; n_groups],
            writer: Writer::new(run.has_fates, n_shards),
            arrivals: vec![Vec::new(); n_shards],
            input_arrivals: Vec::new(),
            next_arrival: 0,
            emitted: Vec::new(),
            inputs: Vec::new(),
            indices: Vec::new(),
            pending: 0,
        }
    }

    /// Merges the logs of a sample and takes from the merged order what depends on it.
    fn sample(
        &mut self,
        sample: usize,
        number: usize,
        shards: &mut [Found<T>],
        measures: &mut Measures,
        output_spikes: &mut Vec<(u32, u32)>,
    ) -> Result<(), Error> {
        let n_shards = shards.len();
        let group = sample % self.at.len();
        let mut at = std::mem::take(&mut self.at[group]);
        self.arrivals.iter_mut().for_each(Vec::clear);
        self.input_arrivals.clear();
        (self.next_arrival, self.pending) = (0, 0);
        (measures.latency, measures.max_pending, measures.sum_pending) = (None, 0, 0);
        let mut spikes = 0;
        self.writer.begin_sample();
        let n_timesteps =
            shards[0].log.samples[number] - if number == 0 { 0 } else { shards[0].log.samples[number - 1] };
        for timestep in 0..n_timesteps {
            for (shard, found) in shards.iter().enumerate() {
                self.emitted.clear();
                self.step(shard, found, &mut at[shard], &mut spikes, measures, output_spikes);
                if shard + 1 == n_shards {
                    self.join_inputs(sample, timestep)?;
                }
                self.note_pending(measures);
            }
            let ends: Vec<usize> =
                shards.iter().zip(&at).map(|(f, at)| f.log.timesteps[at.timestep].0).collect();
            loop {
                let mut progressed = false;
                for (shard, found) in shards.iter().enumerate() {
                    let at = &mut at[shard];
                    let end = ends[shard].min(at.step + DELIVERIES_AT_A_TIME);
                    while at.step < end && self.find_emitted(found, *at) {
                        self.step(shard, found, at, &mut spikes, measures, output_spikes);
                        self.note_pending(measures);
                        progressed = true;
                    }
                }
                if !progressed {
                    break;
                }
            }
            if at.iter().zip(&ends).any(|(at, end)| at.step < *end) {
                return Err(Error::Panic("a spike was delivered that nobody fired".into()));
            }
            let ending = shards[0].log.timesteps[at[0].timestep].1;
            self.writer.end_timestep(ending);
            if !matches!(ending, Ending::Carried(_)) {
                self.pending = 0;
            }
            for at in &mut at {
                at.timestep += 1;
            }
        }
        self.at[group] = at;
        self.writer.end_sample();
        Ok(())
    }

    /// Finds what a shard's next step delivers; false if some of it has not fired yet.
    fn find_emitted(&mut self, found: &Found<T>, at: At) -> bool {
        let LoggedStep { n_delivered, .. } = found.log.steps[at.step];
        let n = self.run.network.n_neurons() as u32;
        self.emitted.clear();
        for message in &found.log.delivered[at.delivered..at.delivered + n_delivered as usize] {
            let serial = (message.serial() & !LOST_BIT) as usize;
            let arrivals = if message.source() >= n {
                &self.input_arrivals
            } else {
                &self.arrivals[self.division.partition.shard_of(message.source())]
            };
            let Some(&arrival) = arrivals.get(serial) else { return false };
            self.emitted.push(arrival);
        }
        true
    }

    fn step(
        &mut self,
        shard: usize,
        found: &Found<T>,
        at: &mut At,
        spikes: &mut u64,
        measures: &mut Measures,
        output_spikes: &mut Vec<(u32, u32)>,
    ) {
        let output = self.run.network.output();
        let step = found.log.steps[at.step];
        let fired = at.fired..at.fired + step.n_fired as usize;
        let spikes_of_step = &found.log.fired[fired.clone()];
        let fates = if self.run.has_fates { &found.log.fates[fired.clone()] } else { &[] };
        let neurons = spikes_of_step.iter().map(|(neuron, _)| *neuron);
        self.writer.step_of(shard, self.emitted.iter().copied(), neurons, fates);
        self.pending -= u64::from(step.n_delivered);
        // In one loop: steps of a spike or two are the rule, and where a loop ends is a guess of the processor's.
        for (at, &(neuron, v)) in spikes_of_step.iter().enumerate() {
            self.writer.v.push(v);
            self.arrivals[shard].push(self.next_arrival);
            self.next_arrival += 1;
            let is_lost = fates.get(at).is_some_and(|fate| fate & LOST != 0);
            let n_shards = if is_lost { 1 } else { self.division.reach.n_shards(neuron) };
            self.pending += n_shards;
            if (output.start..output.end).contains(&(neuron as usize)) {
                measures.latency.get_or_insert(*spikes);
                if self.run.options.keep_output_spikes {
                    output_spikes.push((*spikes as u32, neuron - output.start as u32));
                }
            }
            *spikes += 1;
        }
        let delivered = at.delivered + step.n_delivered as usize;
        *at = At { step: at.step + 1, delivered, fired: fired.end, ..*at };
    }

    fn note_pending(&self, measures: &mut Measures) {
        measures.max_pending = measures.max_pending.max(self.pending);
        measures.sum_pending += self.pending;
    }

    fn join_inputs(&mut self, sample: usize, timestep: usize) -> Result<(), Error> {
        let Run { input, options, network, .. } = self.run;
        if options.input_mode != InputMode::Scheduled {
            return Ok(());
        }
        input.timestep(sample, timestep, &mut self.inputs, &mut self.indices)?;
        let channels: Vec<u32> = self.inputs.iter().map(|input| input.0).collect();
        if !channels.is_empty() {
            self.writer.inputs_joined(&channels);
        }
        for channel in channels {
            self.input_arrivals.push(self.next_arrival);
            self.next_arrival += 1;
            self.pending += self.division.reach.n_shards(network.n_neurons() as u32 + channel);
        }
        Ok(())
    }
}
