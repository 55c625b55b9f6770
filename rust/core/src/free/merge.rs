//! Merges all deliveries of a run into one order that respects what happened: each shard's own order is kept, and a
//! spike is delivered after it was fired.

use std::ops::Range;

use super::division::Division;
use super::log::{Found, LoggedStep, Mark, found_in};
use super::shard::LOST_BIT;
use super::worker::DELIVERIES_AT_A_TIME;
use crate::engine::{Run, arrivals_after};
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::options::{Ending, InputMode, OnStop};
use crate::sync::{AtomicUsize, Ordering};
use crate::trace::{Piece, Writer};
use crate::workers::{A_LOOK, Caller, Watch, on_threads};

/// How many forward steps are worth a thread.
const STEPS_A_THREAD: usize = 1 << 13;

/// The merged order of a sample, or of a stretch of it, and the results that depend on that order.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) piece: Piece,
    pub(super) latency: Option<u64>,
    pub(super) max_pending: u64,
    pub(super) sum_pending: u64,
    /// (spikes before it in the sample, output neuron).
    pub(super) output_spikes: Vec<(u32, u32)>,
}

impl Merged {
    /// Appends the stretch that follows.
    fn append(&mut self, next: Self) {
        self.piece.append(&next.piece);
        self.latency = self.latency.or(next.latency);
        self.max_pending = self.max_pending.max(next.max_pending);
        self.sum_pending += next.sum_pending;
        self.output_spikes.extend(next.output_spikes);
    }
}

/// Some of a sample's timesteps. Shards wait for each other where a timestep ends, so each timestep can be merged by
/// itself.
struct Stretch {
    sample: usize,
    timesteps: Range<usize>,
}

/// Merges the logs of every sample.
pub(super) fn merge_all<T: Float>(
    run: &Run<'_, T>,
    division: &Division,
    groups: &[Vec<Found<T>>],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Merged>, Error> {
    refuse_too_many_spikes(run, groups)?;
    let n_steps: usize = groups.iter().flatten().map(|found| found.log.steps.len()).sum();
    let threads = run.options.threads.min(n_steps / STEPS_A_THREAD).max(1);
    let stretches = stretches(run, groups, threads);
    let (tickets, done) = (AtomicUsize::new(0), AtomicUsize::new(run.input.n_samples()));
    let work = |watch: &mut Watch<'_>| {
        let mut merged = Vec::new();
        loop {
            // Relaxed: only the number matters.
            let ticket = tickets.fetch_add(1, Ordering::Relaxed);
            let Some(stretch) = stretches.get(ticket) else { return Ok(merged) };
            merged.push((ticket, Merge::new(run, division, groups, stretch).run(watch)?));
        }
    };
    let parts: Result<Vec<_>, Error> =
        on_threads(threads, Caller::Works, &work, &done, progress)?.into_iter().collect();
    let mut merged: Vec<_> = parts?.into_iter().flatten().collect();
    merged.sort_unstable_by_key(|(ticket, _)| *ticket);
    let mut samples: Vec<Merged> = Vec::with_capacity(run.input.n_samples());
    for (stretch, (_, merged)) in stretches.iter().zip(merged) {
        match samples.get_mut(stretch.sample) {
            Some(sample) => sample.append(merged),
            None => samples.push(merged),
        }
    }
    Ok(samples)
}

/// Each shard counts its own spikes while it runs; a sample's arrival numbers have to do for those of all.
fn refuse_too_many_spikes<T: Float>(run: &Run<'_, T>, groups: &[Vec<Found<T>>]) -> Result<(), Error> {
    (0..run.input.n_samples()).try_for_each(|sample| {
        let (shards, number) = found_in(groups, sample);
        let timesteps = shards[0].log.timesteps_of(number);
        let fired_before =
            |timestep: usize| shards.iter().map(|found| found.log.mark(timestep).fired).sum::<usize>();
        let n_fired = fired_before(timesteps.end) - fired_before(timesteps.start);
        arrivals_after(0, n_fired + shards[0].log.mark(timesteps.end).inputs).map(drop)
    })
}

/// Divides all timesteps into stretches: whole samples or, if there are fewer samples than threads, parts with about
/// the same number of steps.
fn stretches<T: Float>(run: &Run<'_, T>, groups: &[Vec<Found<T>>], threads: usize) -> Vec<Stretch> {
    let n_samples = run.input.n_samples();
    // With `Carry`, samples stay whole: a carried spike is delivered in a later timestep than the one in which it was
    // fired.
    let at_most = if run.options.on_stop == OnStop::Carry { 1 } else { threads.div_ceil(n_samples) };
    let of_sample = |sample: usize| {
        let (shards, number) = found_in(groups, sample);
        let all = shards[0].log.timesteps_of(number);
        let steps_before =
            |timestep: usize| shards.iter().map(|found| found.log.mark(timestep).steps).sum::<usize>();
        let (first, total) = (steps_before(all.start), steps_before(all.end) - steps_before(all.start));
        let timesteps: Vec<usize> = all.clone().collect();
        let cut = |part: usize| {
            let aim = first + total * part / at_most;
            all.start + timesteps.partition_point(|timestep| steps_before(*timestep) < aim)
        };
        let cuts: Vec<usize> = (0..at_most).map(cut).chain([all.end]).collect();
        (0..at_most).map(move |part| Stretch { sample, timesteps: cuts[part]..cuts[part + 1] })
    };
    (0..n_samples).flat_map(of_sample).collect()
}

/// The merge of one stretch.
struct Merge<'a, T> {
    run: &'a Run<'a, T>,
    division: &'a Division,
    stretch: &'a Stretch,
    shards: &'a [Found<T>],
    /// The sample's first timestep in the logs.
    sample_start: usize,
    /// By shard: where the merge stands in its log.
    at: Vec<Mark>,
    /// By shard: neurons that had fired in the sample before the stretch.
    fired_before: Vec<usize>,
    /// By shard: the arrival number of each spike that it fired in the stretch.
    arrivals: Vec<Vec<u32>>,
    /// The same for scheduled input spikes: how many had joined before the stretch and, below, the arrival numbers of
    /// those in it.
    inputs_before: usize,
    input_arrivals: Vec<u32>,
    next_arrival: u32,
    /// Spikes in the sample so far.
    spikes: u64,
    pending: u64,
    /// Arrival numbers of the spikes that the current step delivers.
    emitted: Vec<u32>,
    writer: Writer,
    merged: Merged,
}

impl<'a, T: Float> Merge<'a, T> {
    fn new(
        run: &'a Run<'a, T>,
        division: &'a Division,
        groups: &'a [Vec<Found<T>>],
        stretch: &'a Stretch,
    ) -> Self {
        let (shards, number) = found_in(groups, stretch.sample);
        let sample_start = shards[0].log.timesteps_of(number).start;
        let at = stretch.timesteps.start;
        let mark = |found: &Found<T>| found.log.mark(at);
        let fired_before: Vec<_> =
            shards.iter().map(|found| mark(found).fired - found.log.mark(sample_start).fired).collect();
        let inputs_before = if at == sample_start { 0 } else { mark(&shards[0]).inputs };
        let spikes: usize = fired_before.iter().sum();
        let joined = (spikes + inputs_before) as u32;
        let mut writer = Writer::new(run.has_fates, shards.len());
        writer.begin_stretch(joined);
        Self {
            run,
            division,
            stretch,
            shards,
            sample_start,
            at: shards.iter().map(mark).collect(),
            fired_before,
            arrivals: vec![Vec::new(); shards.len()],
            inputs_before,
            input_arrivals: Vec::new(),
            next_arrival: joined,
            spikes: spikes as u64,
            pending: 0,
            emitted: Vec::new(),
            writer,
            merged: Merged::default(),
        }
    }

    fn run(mut self, watch: &mut Watch<'_>) -> Result<Merged, Error> {
        for timestep in self.stretch.timesteps.clone() {
            if !watch.go_on(A_LOOK) {
                return Err(Error::Interrupted);
            }
            for shard in 0..self.shards.len() {
                self.emitted.clear();
                self.step(shard);
                if shard + 1 == self.shards.len() {
                    self.join_inputs(timestep - self.sample_start)?;
                }
                self.note_pending();
            }
            self.until_quiescent(timestep)?;
            let ending = self.shards[0].log.timesteps[timestep].1;
            self.writer.end_timestep(ending);
            if !matches!(ending, Ending::Carried(_)) {
                self.pending = 0;
            }
        }
        self.writer.end_sample();
        self.merged.piece = self.writer.finish();
        Ok(self.merged)
    }

    /// Merges what the shards did in a timestep after their steps 0: from each in turn as many steps as a worker takes
    /// at a time, as far as the spikes that they deliver have been fired.
    fn until_quiescent(&mut self, timestep: usize) -> Result<(), Error> {
        let ends: Vec<_> = self.shards.iter().map(|found| found.log.mark(timestep + 1).steps).collect();
        loop {
            let mut progressed = false;
            for (shard, end) in ends.iter().enumerate() {
                let end = *end.min(&(self.at[shard].steps + DELIVERIES_AT_A_TIME));
                while self.at[shard].steps < end && self.find_emitted(shard) {
                    self.step(shard);
                    self.note_pending();
                    progressed = true;
                }
            }
            if !progressed {
                break;
            }
        }
        if self.at.iter().zip(&ends).any(|(at, end)| at.steps < *end) {
            return Err(Error::Panic("a spike was delivered that nobody fired".into()));
        }
        Ok(())
    }

    /// Finds the spikes that a shard's next step delivers; returns false if one of them has not been fired yet.
    #[inline]
    fn find_emitted(&mut self, shard: usize) -> bool {
        let (log, at) = (&self.shards[shard].log, self.at[shard]);
        let LoggedStep { n_delivered, .. } = log.steps[at.steps];
        let n = self.run.network.n_neurons() as u32;
        self.emitted.clear();
        for message in &log.delivered[at.delivered..at.delivered + n_delivered as usize] {
            let serial = (message.serial() & !LOST_BIT) as usize;
            let (arrivals, before) = if message.source() >= n {
                (&self.input_arrivals, self.inputs_before)
            } else {
                let from = self.division.partition.shard_of(message.source());
                (&self.arrivals[from], self.fired_before[from])
            };
            let Some(&arrival) = arrivals.get(serial.wrapping_sub(before)) else { return false };
            self.emitted.push(arrival);
        }
        true
    }

    #[inline]
    fn step(&mut self, shard: usize) {
        let Run { network, options, has_fates, .. } = self.run;
        let (log, at) = (&self.shards[shard].log, self.at[shard]);
        let output = network.output().start..network.output().end;
        let step = log.steps[at.steps];
        let range = at.fired..at.fired + step.n_fired as usize;
        let fired = &log.fired[range.clone()];
        let fates = if *has_fates { &log.fates[range] } else { &[] };
        let neurons = fired.iter().map(|(neuron, _)| *neuron);
        self.writer.step_of(shard, self.emitted.iter().copied(), neurons, fates);
        self.pending -= u64::from(step.n_delivered);
        // All in one loop: steps with a spike or two are the rule, and the processor can only guess where a loop ends.
        for (at, &(neuron, v)) in fired.iter().enumerate() {
            self.writer.v.push(v);
            self.arrivals[shard].push(self.next_arrival);
            self.next_arrival += 1;
            let is_lost = fates.get(at).is_some_and(|fate| fate & LOST != 0);
            self.pending += if is_lost { 1 } else { self.division.reach.n_shards(neuron) };
            if output.contains(&(neuron as usize)) {
                self.merged.latency.get_or_insert(self.spikes);
                if options.keep_output_spikes {
                    self.merged.output_spikes.push((self.spikes as u32, neuron - output.start as u32));
                }
            }
            self.spikes += 1;
        }
        let at = &mut self.at[shard];
        at.steps += 1;
        at.delivered += step.n_delivered as usize;
        at.fired += step.n_fired as usize;
    }

    fn note_pending(&mut self) {
        self.merged.max_pending = self.merged.max_pending.max(self.pending);
        self.merged.sum_pending += self.pending;
    }

    fn join_inputs(&mut self, timestep: usize) -> Result<(), Error> {
        let Run { input, options, network, .. } = self.run;
        if options.input_mode != InputMode::Scheduled {
            return Ok(());
        }
        let (mut inputs, mut indices) = (Vec::new(), Vec::new());
        input.timestep(self.stretch.sample, timestep, &mut inputs, &mut indices)?;
        let channels: Vec<u32> = inputs.iter().map(|input| input.0).collect();
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
