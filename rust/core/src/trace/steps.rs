//! A trace as columns: for people, plots and tools, and for building a trace by hand.

use super::{Record, Trace, Writer};
use crate::error::Error;
use crate::fates::{LOST, SKIPPED};
use crate::options::Ending;

/// One forward step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Position in the batch.
    pub sample: u32,
    /// Timestep.
    pub timestep: u32,
    /// Forward step within the timestep.
    pub step: u32,
    /// The shard that took it.
    pub shard: u32,
    /// How many spikes it emitted.
    pub n_emitted: u32,
    /// How many neurons fired in it.
    pub n_fired: u32,
}

/// A trace as columns; `emitted`, `fired` and `v` hold the parts of all steps, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// The forward steps of all samples.
    pub steps: Vec<Step>,
    /// Arrival numbers of the emitted spikes.
    pub emitted: Vec<u32>,
    /// Neurons that fired, ascending within a step.
    pub fired: Vec<u32>,
    /// Potentials at which they fired.
    pub v: Vec<f32>,
    /// What became of them: 1 skipped refractoriness, 2 lost, 3 both.
    pub fates: Vec<u8>,
    /// (sample, timestep, channel) of the input spikes that joined the pending ones (`InputMode::Scheduled`).
    pub joined: Vec<(u32, u32, u32)>,
    /// (sample, timestep, how it ended).
    pub endings: Vec<(u32, u32, Ending)>,
}

/// One row per emitted spike, in columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Position in the batch.
    pub sample: Vec<u32>,
    /// Timestep in which it was emitted.
    pub timestep: Vec<u32>,
    /// Forward step in which it was emitted.
    pub step: Vec<u32>,
    /// Running number of the emission in the sample.
    pub order: Vec<u32>,
    /// The neuron's id, or -1 - channel for an input spike.
    pub neuron: Vec<i64>,
    /// Potential at which it fired; infinity for an input spike.
    pub v: Vec<f32>,
}

impl Trace {
    /// The trace as columns.
    pub fn to_steps(&self) -> Result<Steps, Error> {
        let mut columns = Steps::default();
        let mut cursor = self.cursor();
        for sample in 0..self.n_samples() {
            let (bytes, v) = self.sample(sample);
            columns.v.extend_from_slice(v);
            let sample = sample as u32;
            cursor.rewind();
            let (mut timestep, mut step) = (0, 0);
            while !cursor.at_end(bytes) {
                match cursor.next(bytes)? {
                    Record::Step => {
                        let (n_emitted, n_fired) = (cursor.emitted.len() as u32, cursor.fired.len() as u32);
                        let shard = cursor.shard as u32;
                        columns.steps.push(Step { sample, timestep, step, shard, n_emitted, n_fired });
                        columns.emitted.extend_from_slice(&cursor.emitted);
                        columns.fired.extend_from_slice(&cursor.fired);
                        columns.fates.extend_from_slice(&cursor.fates);
                        columns.fates.resize(columns.fired.len(), 0);
                        step += 1;
                    }
                    Record::InputsJoined => {
                        columns
                            .joined
                            .extend(cursor.fired.iter().map(|&channel| (sample, timestep, channel)));
                    }
                    Record::TimestepEnded(ending) => {
                        columns.endings.push((sample, timestep, ending));
                        (timestep, step) = (timestep + 1, 0);
                    }
                }
            }
        }
        if columns.v.len() != columns.fired.len() {
            return Err(Error::Trace(format!(
                "got {} potentials for {} spikes; accepted: one a spike",
                columns.v.len(),
                columns.fired.len()
            )));
        }
        Ok(columns)
    }

    /// A trace with this one's header and number of samples, and the given steps. Steps must be in order and numbered
    /// from 0 without a gap, every timestep that has a step must have an ending, and the columns must have the lengths
    /// that the steps say. Nothing else is checked: that is left to `validate`.
    pub fn with_steps(&self, columns: &Steps) -> Result<Self, Error> {
        let wrong =
            |given: String, accepted: &str| Error::Trace(format!("steps: got {given}; accepted: {accepted}"));
        let total =
            |count: fn(&Step) -> u32| columns.steps.iter().map(|step| count(step) as usize).sum::<usize>();
        let lengths = (columns.emitted.len(), columns.fired.len(), columns.v.len(), columns.fates.len());
        let n_fired = total(|s| s.n_fired);
        if lengths != (total(|s| s.n_emitted), n_fired, n_fired, n_fired) {
            return Err(wrong(
                format!("columns of lengths {lengths:?}"),
                "as many emitted and fired spikes as the steps say",
            ));
        }
        let most = if self.header.dropouts { SKIPPED | LOST } else { 0 };
        if let Some(fate) = columns.fates.iter().find(|fate| **fate > most) {
            return Err(wrong(format!("the fate {fate}"), "0 to 3, and 0 without dropouts"));
        }
        let n_shards = self.header.shards.len().max(1);
        if let Some(step) = columns.steps.iter().find(|step| step.shard as usize >= n_shards) {
            return Err(wrong(format!("shard {}", step.shard), "shards of the trace"));
        }
        let mut writer = Writer::new(self.header.dropouts, self.header.shards.len());
        let (mut emitted, mut fired, mut v, mut fates) =
            (&*columns.emitted, &*columns.fired, &*columns.v, &*columns.fates);
        let (mut steps, mut joined, mut endings) = (
            columns.steps.iter().peekable(),
            columns.joined.iter().peekable(),
            columns.endings.iter().peekable(),
        );
        for sample in 0..self.n_samples() as u32 {
            writer.begin_sample();
            for timestep in 0.. {
                let Some((_, _, ending)) = endings.next_if(|e| (e.0, e.1) == (sample, timestep)) else {
                    break;
                };
                let mut number = 0;
                while let Some(step) =
                    steps.next_if(|s| (s.sample, s.timestep, s.step) == (sample, timestep, number))
                {
                    let (now_emitted, now_fired) =
                        (split(&mut emitted, step.n_emitted), split(&mut fired, step.n_fired));
                    if !now_fired.is_sorted_by(|a, b| a < b) || now_fired.last() == Some(&u32::MAX) {
                        return Err(wrong(
                            format!("neurons {now_fired:?} firing in {step:?}"),
                            "neurons in ascending order, each once",
                        ));
                    }
                    let now_fates = split(&mut fates, step.n_fired);
                    writer.step_of(
                        step.shard as usize,
                        now_emitted.iter().copied(),
                        now_fired.iter().copied(),
                        now_fates,
                    );
                    writer.v.extend_from_slice(split(&mut v, step.n_fired));
                    if number as usize + 1 == n_shards {
                        let mut channels = Vec::new();
                        while let Some(&(_, _, channel)) =
                            joined.next_if(|j| (j.0, j.1) == (sample, timestep))
                        {
                            channels.push(channel);
                        }
                        if !channels.is_sorted_by(|a, b| a < b) || channels.last() == Some(&u32::MAX) {
                            return Err(wrong(
                                format!("channels {channels:?} joining in timestep {timestep}"),
                                "channels in ascending order, each once",
                            ));
                        }
                        if !channels.is_empty() {
                            writer.inputs_joined(&channels);
                        }
                    }
                    number += 1;
                }
                writer.end_timestep(*ending);
            }
            writer.end_sample();
        }
        match (steps.peek(), joined.peek(), endings.peek()) {
            (None, None, None) => Ok(Self::of_piece(self.header.clone(), writer.finish())),
            (step, joined, ending) => Err(wrong(
                format!("step {step:?}, joined input {joined:?} or ending {ending:?} out of order"),
                "samples, timesteps and steps in order and without a gap, each timestep with its ending",
            )),
        }
    }

    /// Number of emitted spikes in all samples; a spike that several shards delivered is one.
    pub fn n_emitted(&self) -> Result<u64, Error> {
        let (mut cursor, mut n_emitted) = (self.cursor(), 0);
        let mut is_first = First::new(self.is_sharded());
        for sample in 0..self.n_samples() {
            let (bytes, _) = self.sample(sample);
            cursor.rewind();
            is_first.begin_sample(bytes);
            while !cursor.at_end(bytes) {
                if cursor.next(bytes)? == Record::Step {
                    n_emitted += cursor.emitted.iter().filter(|a| is_first.emission(**a)).count() as u64;
                }
            }
        }
        Ok(n_emitted)
    }

    /// One row per emitted spike, in the order of (first) emission. An emission of a spike that never joined is an
    /// error.
    pub fn to_events(&self) -> Result<Events, Error> {
        let mut events = Events::default();
        let mut cursor = self.cursor();
        let mut spikes: Vec<(i64, f32)> = Vec::new();
        let mut is_first = First::new(self.is_sharded());
        for sample in 0..self.n_samples() {
            let (bytes, v) = self.sample(sample);
            let mut v = v.iter();
            cursor.rewind();
            spikes.clear();
            is_first.begin_sample(bytes);
            let (mut timestep, mut step, mut order) = (0, 0, 0);
            while !cursor.at_end(bytes) {
                match cursor.next(bytes)? {
                    Record::Step => {
                        for &arrival in cursor.emitted.iter().filter(|a| is_first.emission(**a)) {
                            let lost = || {
                                Error::Trace(format!(
                                    "sample {sample}, timestep {timestep}, step {step}: got spike {arrival}; accepted: spikes that joined before"
                                ))
                            };
                            let (neuron, v) = *spikes.get(arrival as usize).ok_or_else(lost)?;
                            events.sample.push(sample as u32);
                            events.timestep.push(timestep);
                            events.step.push(step);
                            events.order.push(order);
                            events.neuron.push(neuron);
                            events.v.push(v);
                            order += 1;
                        }
                        let missing = || {
                            Error::Trace(format!(
                                "sample {sample}: got fewer potentials than spikes; accepted: one a spike"
                            ))
                        };
                        for &neuron in &cursor.fired {
                            spikes.push((neuron.into(), *v.next().ok_or_else(missing)?));
                        }
                        step += 1;
                    }
                    Record::InputsJoined => spikes
                        .extend(cursor.fired.iter().map(|&channel| (-1 - i64::from(channel), f32::INFINITY))),
                    Record::TimestepEnded(_) => (timestep, step) = (timestep + 1, 0),
                }
            }
        }
        Ok(events)
    }
}

/// Tells the first emission of a spike from later ones, in other shards.
struct First {
    is_sharded: bool,
    emitted: Vec<bool>,
    /// More than the sample's spikes, each of which takes a byte where it joins.
    most: usize,
}

impl First {
    fn new(is_sharded: bool) -> Self {
        Self { is_sharded, emitted: Vec::new(), most: 0 }
    }

    fn begin_sample(&mut self, bytes: &[u8]) {
        self.emitted.clear();
        self.most = bytes.len();
    }

    /// Whether this is the spike's first emission; one of a spike that never joined always is.
    fn emission(&mut self, arrival: u32) -> bool {
        if !self.is_sharded {
            return true;
        }
        let at = arrival as usize;
        // A mutilated trace may name any arrival number.
        if at >= self.emitted.len() && at < self.most {
            self.emitted.resize(at + 1, false);
        }
        self.emitted.get_mut(at).is_none_or(|emitted| !std::mem::replace(emitted, true))
    }
}

fn split<'a, E>(rest: &mut &'a [E], n: u32) -> &'a [E] {
    let (head, tail) = rest.split_at(n as usize);
    *rest = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutilated_sample_asks_for_no_more_memory_than_it_has_bytes() {
        let mut first = First::new(true);
        first.begin_sample(&[0; 9]);
        assert_eq!(
            [8, 8, 9, 9, 1 << 27, u32::MAX].map(|a| first.emission(a)),
            [true, false, true, true, true, true]
        );
        assert_eq!(first.emitted.len(), 9);
    }
}
