//! What a trace recorded, checked against what the run does.

use std::sync::Arc;

use super::{Moment, Pending, Schedule};
use crate::error::Error;
use crate::float::Float;
use crate::options::Ending;
use crate::trace::{Cursor, Record, Trace};

/// The source of a spike that is not pending any more.
const GONE: u32 = u32::MAX;

/// Selects what the trace recorded and compares every firing with it, potentials included.
#[derive(Debug)]
pub(crate) struct Replay {
    trace: Arc<Trace>,
    sample: usize,
    cursor: Cursor,
    /// Potentials compared so far in the sample.
    compared: usize,
    /// Sources of the sample's spikes by arrival number; none before `live_from` is pending.
    sources: Vec<u32>,
    live_from: usize,
    pending: usize,
}

impl Replay {
    pub(crate) fn new(trace: Arc<Trace>) -> Self {
        let cursor = trace.cursor();
        Self { trace, sample: 0, cursor, compared: 0, sources: Vec::new(), live_from: 0, pending: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.trace.sample(self.sample).0
    }

    /// Reads a forward step of a record of several shards and returns its shard.
    pub(crate) fn read_step(&mut self, moment: Moment) -> Result<usize, Error> {
        self.read(moment, Record::Step)?;
        Ok(self.cursor.shard)
    }

    /// Arrival numbers of the spikes that were emitted by the step read last.
    pub(crate) fn emitted(&self) -> &[u32] {
        &self.cursor.emitted
    }

    /// The source of a spike that has joined.
    pub(crate) fn source(&self, arrival: u32) -> u32 {
        self.sources[arrival as usize]
    }

    pub(crate) fn differs(moment: Moment, trace: &str, run: &str) -> Error {
        let Moment { sample, timestep, step, .. } = moment;
        Error::Replay(format!(
            "sample {sample}, timestep {timestep}, step {step}: in the trace {trace}, here {run}; accepted: the network, weights and input that were recorded"
        ))
    }

    fn read(&mut self, moment: Moment, expected: Record) -> Result<(), Error> {
        if self.cursor.at_end(self.bytes()) {
            return Err(Self::differs(moment, "the sample has ended", "it goes on"));
        }
        let trace = Arc::clone(&self.trace);
        let record = self.cursor.next(trace.sample(self.sample).0)?;
        if record == expected {
            Ok(())
        } else {
            Err(Self::differs(moment, &format!("{record:?} follows"), &format!("{expected:?}")))
        }
    }
}

impl<T: Float> Schedule<T> for Replay {
    fn begin_sample(&mut self, sample: usize) -> Result<(), Error> {
        self.sample = sample;
        self.cursor.rewind();
        self.compared = 0;
        self.sources.clear();
        (self.live_from, self.pending) = (0, 0);
        Ok(())
    }

    fn fired(&mut self, moment: Moment, _: u32, neurons: &[u32], v: &[T]) -> Result<(), Error> {
        if moment.step == 0 && !self.trace.is_sharded() {
            self.read(moment, Record::Step)?;
            if !self.cursor.emitted.is_empty() {
                return Err(Self::differs(moment, "spikes are emitted", "none is, as in every step 0"));
            }
        }
        let recorded = self.cursor.fired.as_slice();
        if recorded != neurons {
            let at = recorded.iter().zip(neurons).take_while(|(a, b)| a == b).count();
            let word = |neurons: &[u32]| {
                neurons.get(at).map_or("no further neuron fires".to_owned(), |k| format!("neuron {k} fires"))
            };
            return Err(Self::differs(moment, &word(recorded), &word(neurons)));
        }
        let recorded = self.trace.sample(self.sample).1;
        let recorded = recorded.get(self.compared..self.compared + v.len()).ok_or_else(|| {
            Error::Trace(format!("got too few potentials in sample {}; accepted: one a spike", self.sample))
        })?;
        for ((neuron, v), recorded) in neurons.iter().zip(v).zip(recorded) {
            if v.to_f32().to_bits() != recorded.to_bits() {
                return Err(Self::differs(
                    moment,
                    &format!("neuron {neuron} fires at v = {recorded}"),
                    &format!("at v = {v}"),
                ));
            }
        }
        self.compared += v.len();
        self.pending += neurons.len();
        self.sources.extend_from_slice(neurons);
        Ok(())
    }

    fn inputs_joined(&mut self, moment: Moment, _: u32, sources: &[u32]) -> Result<(), Error> {
        self.read(moment, Record::InputsJoined)?;
        let n_neurons = self.trace.header().n_neurons as u32;
        // Not channels plus neurons: a record may say any channel, and the sum have more than 32 bits.
        if !sources.iter().map(|source| source - n_neurons).eq(self.cursor.fired.iter().copied()) {
            return Err(Self::differs(moment, "other input spikes join", "those given"));
        }
        self.pending += sources.len();
        self.sources.extend_from_slice(sources);
        Ok(())
    }

    fn pending(&self) -> usize {
        self.pending
    }

    fn select(&mut self, moment: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        self.read(moment, Record::Step)?;
        if !self.cursor.emitted.is_sorted_by(|a, b| a < b) {
            return Err(Error::Trace(format!(
                "got a group out of arrival order in {moment:?}; accepted: groups in arrival order"
            )));
        }
        for &arrival in &self.cursor.emitted {
            let source =
                self.sources.get_mut(arrival as usize).map_or(GONE, |source| std::mem::replace(source, GONE));
            if source == GONE {
                return Err(Self::differs(
                    moment,
                    &format!("spike {arrival} is emitted"),
                    "it is not pending",
                ));
            }
            group.push(Pending::new(arrival, source));
        }
        self.pending -= group.len();
        Ok(())
    }

    fn clear(&mut self) {
        self.sources[self.live_from..].fill(GONE);
        self.live_from = self.sources.len();
        self.pending = 0;
    }

    fn recorded_ending(&mut self, moment: Moment, unfinished: bool) -> Result<Option<Ending>, Error> {
        let Some(ending) = self.cursor.peek_ending(self.bytes()) else { return Ok(None) };
        self.read(moment, Record::TimestepEnded(ending))?;
        match ending {
            Ending::Quiescent if unfinished => {
                Err(Self::differs(moment, "the timestep has ended", "it goes on"))
            }
            Ending::Discarded(_) | Ending::Carried(_) if !unfinished => {
                Err(Self::differs(moment, "the timestep was stopped", "it has ended"))
            }
            _ => Ok(Some(ending)),
        }
    }

    fn recorded_fates(&self) -> &[u8] {
        &self.cursor.fates
    }

    fn follows_record(&self) -> bool {
        true
    }

    fn end_sample(&mut self, moment: Moment) -> Result<(), Error> {
        if self.cursor.at_end(self.bytes()) {
            return Ok(());
        }
        Err(Self::differs(moment, "the sample goes on", "it has ended"))
    }
}
