//! The recorded ordering of a run: which pending spikes each forward step emitted and which neurons fired in it.
//!
//! One file, one concern: this one holds the trace and what it is made of; `codec` writes and reads a sample's bytes,
//! `steps` turns them into columns and back,
//! `validate` proves a trace right for a network, `file` saves and loads.

mod codec;
mod file;
mod steps;
mod validate;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use codec::{Cursor, Record, Writer};
pub use steps::{Events, Step, Steps};

use crate::error::Error;
use crate::float::Float;
use crate::network::Network;
use crate::options::{InputMode, OnStop};

/// Describes the run that a trace records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// Input channels of the network.
    pub n_inputs: usize,
    /// Neurons of the network.
    pub n_neurons: usize,
    /// Timesteps of every sample.
    pub n_timesteps: usize,
    /// Length of a timestep in seconds.
    pub dt: f64,
    /// `float32` or `float64`.
    pub dtype: String,
    /// The schedule's name.
    pub schedule: String,
    /// F; 0 for layered execution.
    pub group_size: usize,
    /// How input spikes arrived.
    pub input_mode: InputMode,
    /// What a stop did with pending spikes.
    pub on_stop: OnStop,
    /// The network's [`Network::fingerprint`].
    pub fingerprint: u64,
    /// Whether neurons may have skipped refractoriness, or spikes been lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropouts: bool,
    /// Where each shard's neurons end, in a free run of several shards; otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<usize>,
}

impl TraceHeader {
    /// The first field in which another header differs: its name, the other's value and this one's.
    fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let [own, other] = [self, other].map(|header| serde_json::to_value(header).unwrap_or_default());
        let (own, other) = (own.as_object()?, other.as_object()?);
        let shown = |value: Option<&Value>| value.map_or_else(|| "none".into(), Value::to_string);
        let differs = own.keys().chain(other.keys()).find(|&name| own.get(name) != other.get(name))?;
        Some((differs.clone(), shown(other.get(differs)), shown(own.get(differs))))
    }
}

/// The recorded ordering of a batch.
#[derive(Clone, Debug)]
pub struct Trace {
    header: TraceHeader,
    /// What each worker wrote, left as it is: copying it all into one piece took 2 to 4 % of a run on two threads.
    pieces: Vec<Piece>,
    /// For each sample, its piece and its position in that piece.
    samples: Vec<(u32, u32)>,
}

/// Samples, stored one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Sample `s` is `bytes[offsets[s]..offsets[s + 1]]`, and its potentials at firing are
    /// `v[v_offsets[s]..v_offsets[s + 1]]`.
    bytes: Vec<u8>,
    offsets: Vec<u64>,
    v: Vec<f32>,
    v_offsets: Vec<u64>,
}

impl Piece {
    /// Offsets begin with 0 and end with the lengths.
    pub(crate) fn new(mut bytes: Vec<u8>, offsets: Vec<u64>, mut v: Vec<f32>, v_offsets: Vec<u64>) -> Self {
        bytes.shrink_to_fit();
        v.shrink_to_fit();
        Self { bytes, offsets, v, v_offsets }
    }

    /// Appends all of another piece to the last sample.
    pub(crate) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.v.extend_from_slice(&other.v);
        for (offsets, len) in [(&mut self.offsets, self.bytes.len()), (&mut self.v_offsets, self.v.len())] {
            *offsets.last_mut().expect("offsets begin with 0") = len as u64;
        }
    }

    pub(crate) fn sample(&self, sample: usize) -> (&[u8], &[f32]) {
        let range = |offsets: &[u64]| offsets[sample] as usize..offsets[sample + 1] as usize;
        (&self.bytes[range(&self.offsets)], &self.v[range(&self.v_offsets)])
    }
}

impl Default for Piece {
    fn default() -> Self {
        Self::new(Vec::new(), vec![0], Vec::new(), vec![0])
    }
}

/// Equal if they record the same run of the same samples, whichever workers recorded them.
impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
            && self.n_samples() == other.n_samples()
            && (0..self.n_samples()).all(|sample| self.sample(sample) == other.sample(sample))
    }
}

impl Trace {
    /// A trace without samples.
    pub(crate) fn new(header: TraceHeader) -> Self {
        Self::of_piece(header, Piece::default())
    }

    /// A trace of one piece, in its order.
    pub(crate) fn of_piece(header: TraceHeader, piece: Piece) -> Self {
        let samples = (0..piece.offsets.len() as u32 - 1).map(|sample| (0, sample)).collect();
        Self { header, pieces: vec![piece], samples }
    }

    /// A trace of samples that lie in several pieces; `samples` gives the piece of each and its position in that piece.
    pub(crate) fn of_pieces(header: TraceHeader, pieces: Vec<Piece>, samples: Vec<(u32, u32)>) -> Self {
        Self { header, pieces, samples }
    }

    /// Appends a sample.
    pub(crate) fn push(&mut self, bytes: &[u8], v: &[f32]) {
        let last = self.pieces.len() - 1;
        let piece = &mut self.pieces[last];
        self.samples.push((last as u32, piece.offsets.len() as u32 - 1));
        piece.bytes.extend_from_slice(bytes);
        piece.v.extend_from_slice(v);
        piece.offsets.push(piece.bytes.len() as u64);
        piece.v_offsets.push(piece.v.len() as u64);
    }

    /// Describes the recorded run.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.samples.len()
    }

    /// Bytes in memory.
    pub fn nbytes(&self) -> usize {
        // Counted by sample, so that the result does not depend on how many workers recorded.
        let samples = (0..self.n_samples()).map(|sample| self.sample(sample));
        let recorded: usize = samples.map(|(bytes, v)| bytes.len() + size_of_val(v)).sum();
        let offsets = 2 * size_of::<u64>() * (self.n_samples() + 1);
        recorded + offsets + size_of_val(&*self.samples)
    }

    /// The samples at these positions, in this order.
    pub fn take(&self, samples: &[usize]) -> Result<Self, Error> {
        let mut taken = Self::new(self.header.clone());
        for &sample in samples {
            if sample >= self.n_samples() {
                return Err(Error::input("samples", sample, format!("positions below {}", self.n_samples())));
            }
            let (bytes, v) = self.sample(sample);
            taken.push(bytes, v);
        }
        Ok(taken)
    }

    /// One trace with the samples of several traces, in their order; all must record the same kind of run.
    pub fn concatenate(traces: &[&Self]) -> Result<Self, Error> {
        let first =
            traces.first().ok_or_else(|| Error::Trace("got no trace; accepted: one or more".into()))?;
        let mut all = Self::new(first.header.clone());
        for (at, trace) in traces.iter().enumerate() {
            if let Some((name, theirs, own)) = first.header.difference(&trace.header) {
                return Err(Error::Trace(format!(
                    "got trace {at} with {name} = {theirs}; accepted: traces like the first, with {own}"
                )));
            }
            for sample in 0..trace.n_samples() {
                let (bytes, v) = trace.sample(sample);
                all.push(bytes, v);
            }
        }
        Ok(all)
    }

    /// A sample's bytes and its potentials at firing.
    pub(crate) fn sample(&self, sample: usize) -> (&[u8], &[f32]) {
        let (piece, place) = self.samples[sample];
        self.pieces[piece as usize].sample(place as usize)
    }

    /// A cursor that reads the samples' bytes.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::new(self.header.dropouts, self.header.shards.len())
    }

    /// Whether the run was of several shards.
    pub(crate) fn is_sharded(&self) -> bool {
        self.header.shards.len() > 1
    }

    /// Whether the run was layered.
    pub(crate) fn is_layered(&self) -> bool {
        self.header.schedule == "layered"
    }

    /// Refuses a network other than the one whose run was recorded.
    pub(crate) fn check_network<T: Float>(&self, network: &Network<T>) -> Result<(), Error> {
        let TraceHeader { n_inputs, n_neurons, dtype, fingerprint, .. } = &self.header;
        let here = (network.n_inputs(), network.n_neurons(), T::NAME, network.fingerprint());
        if (*n_inputs, *n_neurons, dtype.as_str(), *fingerprint) == here {
            return Ok(());
        }
        Err(Error::Trace(format!(
            "got a trace of another network ({n_inputs} inputs, {n_neurons} neurons, {dtype}, structure {fingerprint:016x}); accepted: traces of this one ({} inputs, {} neurons, {}, structure {:016x})",
            here.0, here.1, here.2, here.3
        )))
    }
}
