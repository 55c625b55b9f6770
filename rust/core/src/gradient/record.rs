//! One sample of a trace, laid out to be walked backwards.

use super::Pass;
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::trace::{Cursor, Record, Trace};

/// A forward step: where its parts end in the sample's arrays; they start where those of the step before end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    emitted_end: usize,
    fired_end: usize,
    /// Arrival number of the first neuron that fired.
    first_arrival: u32,
    shard: usize,
}

/// The forward steps of one sample.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Holds the emitted spikes, the neurons that fired and, in a run with dropouts, their fates.
    cursor: Cursor,
    has_fates: bool,
    steps: Vec<Step>,
    /// Where each timestep's steps end.
    timestep_ends: Vec<usize>,
    /// By timestep: the arrival number of the first spike that joined after it.
    arrival_ends: Vec<u32>,
    /// By arrival number: the neuron, or the number of neurons plus the input channel; and whether the spike is lost.
    pub(super) sources: Vec<(u32, bool)>,
    n_neurons: u32,
}

impl Sample {
    pub(super) fn new(trace: &Trace) -> Self {
        Self { cursor: trace.cursor(), has_fates: trace.header().dropouts, ..Self::default() }
    }

    /// Reads a sample; anything that no run can have recorded is an error.
    pub(super) fn read<T: Float>(&mut self, pass: &Pass<'_, T>, sample: usize) -> Result<(), Error> {
        let Pass { network, trace, .. } = pass;
        let wrong = |given: &str, accepted: &str| {
            Err(Error::Trace(format!("sample {sample}: got {given}; accepted: {accepted}")))
        };
        let (bytes, v) = trace.sample(sample);
        self.clear(network.n_neurons() as u32);
        let mut n_inputs = 0;
        while !self.cursor.at_end(bytes) {
            let n_fired = self.cursor.fired.len();
            match self.cursor.append(bytes)? {
                Record::Step => self.steps.push(Step {
                    emitted_end: self.cursor.emitted.len(),
                    fired_end: self.cursor.fired.len(),
                    first_arrival: (n_fired + n_inputs) as u32,
                    shard: self.cursor.shard,
                }),
                Record::InputsJoined => {
                    // Before they are added to the neurons, which a channel of 32 bits would wrap round.
                    let n = network.n_inputs();
                    if self.cursor.fired[n_fired..].iter().any(|channel| *channel as usize >= n) {
                        return wrong("input channels that the network does not have", "a valid trace");
                    }
                    self.list_fired(n_fired, n_inputs);
                    let n = self.n_neurons;
                    self.sources
                        .extend(self.cursor.fired.drain(n_fired..).map(|channel| (n + channel, false)));
                    n_inputs = self.sources.len() - n_fired;
                }
                Record::TimestepEnded(_) => {
                    self.timestep_ends.push(self.steps.len());
                    self.arrival_ends.push((n_fired + n_inputs) as u32);
                }
            }
        }
        self.list_fired(self.cursor.fired.len(), n_inputs);
        let fired = &self.cursor.fired;
        if fired.iter().any(|neuron| *neuron >= self.n_neurons) || v.len() != fired.len() {
            return wrong("neurons that the network does not have, or too few potentials", "a valid trace");
        }
        if self.timestep_ends.last().copied().unwrap_or(0) != self.steps.len()
            || self.timestep_ends.len() > trace.header().n_timesteps
        {
            return wrong("timesteps without an end, or too many", "a valid trace");
        }
        let n_shards = pass.shards.len();
        for timestep in 0..self.n_timesteps() {
            let shards = self.timestep(timestep).map(|step| self.steps[step].shard);
            if !shards.take(n_shards).eq(0..n_shards) {
                return wrong("a timestep without step 0 of every shard", "a valid trace");
            }
        }
        if self.arrival_ends.last().copied().unwrap_or(0) as usize != self.sources.len() {
            return wrong("spikes that join when all timesteps have ended", "a valid trace");
        }
        for (number, step) in self.steps.iter().enumerate() {
            if self.emitted(number).iter().any(|arrival| *arrival >= step.first_arrival) {
                return wrong("a spike that is emitted before it joins", "a valid trace");
            }
            let own = &pass.shards[step.shard].neurons;
            let is_foreign = |neuron: &u32| !own.contains(&(*neuron as usize));
            if n_shards > 1 && self.fired(number).0.iter().any(is_foreign) {
                return wrong("a neuron that fires in another shard's step", "a valid trace");
            }
        }
        Ok(())
    }

    fn clear(&mut self, n_neurons: u32) {
        self.cursor.rewind();
        self.cursor.clear();
        self.n_neurons = n_neurons;
        self.steps.clear();
        self.timestep_ends.clear();
        self.arrival_ends.clear();
        self.sources.clear();
    }

    /// Adds the sources of the first `n_fired` spikes of neurons, as far as they are not listed yet, where `n_inputs`
    /// input spikes are listed. Done for many steps at once, because few neurons fire in each.
    fn list_fired(&mut self, n_fired: usize, n_inputs: usize) {
        let Cursor { fired, fates, .. } = &mut self.cursor;
        if !self.has_fates {
            fates.resize(n_fired, 0);
        }
        let listed = self.sources.len() - n_inputs;
        let spikes = fired[listed..n_fired].iter().zip(&fates[listed..n_fired]);
        self.sources.extend(spikes.map(|(&neuron, fate)| (neuron, fate & LOST != 0)));
    }

    pub(super) fn n_timesteps(&self) -> usize {
        self.timestep_ends.len()
    }

    /// The timestep in which a spike joined the pending ones.
    pub(super) fn joined_in(&self, arrival: u32) -> usize {
        self.arrival_ends.partition_point(|end| *end <= arrival)
    }

    /// The numbers of a timestep's steps, counted over the whole sample.
    pub(super) fn timestep(&self, timestep: usize) -> std::ops::Range<usize> {
        let start = if timestep == 0 { 0 } else { self.timestep_ends[timestep - 1] };
        start..self.timestep_ends[timestep]
    }

    /// The shard that took the step.
    pub(super) fn shard(&self, step: usize) -> usize {
        self.steps[step].shard
    }

    /// Arrival numbers of the spikes that the step emitted.
    pub(super) fn emitted(&self, step: usize) -> &[u32] {
        let start = if step == 0 { 0 } else { self.steps[step - 1].emitted_end };
        &self.cursor.emitted[start..self.steps[step].emitted_end]
    }

    /// Position of the first neuron that fired in the step, among all that fired in the sample.
    pub(super) fn fired_start(&self, step: usize) -> usize {
        if step == 0 { 0 } else { self.steps[step - 1].fired_end }
    }

    /// The neurons that fired in the step, with their fates and arrival numbers.
    pub(super) fn fired(&self, step: usize) -> (&[u32], &[u8], u32) {
        let range = self.fired_start(step)..self.steps[step].fired_end;
        (&self.cursor.fired[range.clone()], &self.cursor.fates[range], self.steps[step].first_arrival)
    }

    /// The neurons that fired in the sample.
    pub(super) fn all_fired(&self) -> &[u32] {
        &self.cursor.fired
    }

    /// The neurons that fired in the timestep, with their fates.
    pub(super) fn fired_in(&self, timestep: usize) -> impl Iterator<Item = (u32, u8)> {
        let steps = self.timestep(timestep);
        let end = if steps.is_empty() { 0 } else { self.steps[steps.end - 1].fired_end };
        let start = if steps.is_empty() { 0 } else { self.fired_start(steps.start) };
        self.cursor.fired[start..end].iter().copied().zip(self.cursor.fates[start..end].iter().copied())
    }
}
