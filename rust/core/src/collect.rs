//! What workers collect that has a different length in each sample, and how it is put into the order
//! of the samples.

use crate::batch::Output;
use crate::engine::{Run, Worker};
use crate::error::Error;
use crate::float::Float;
use crate::schedule::ScheduleSpec;
use crate::trace::{Trace, TraceHeader};

/// One worker's ragged results: buffers, and where each sample that it ran ends in them.
pub(crate) struct Ragged {
    bytes: Vec<u8>,
    v: Vec<f32>,
    output_spikes: Vec<(u32, u32)>,
    ends: Vec<End>,
    error: Option<(usize, Error)>,
}

/// Where a sample ends in a worker's buffers.
#[derive(Clone, Copy, Default)]
pub(crate) struct End {
    sample: usize,
    bytes: usize,
    v: usize,
    output_spikes: usize,
}

impl End {
    /// The end of the sample that the worker has just run.
    pub(crate) fn of<T: Float>(worker: &Worker<'_, T>, sample: usize) -> Self {
        let (bytes, v) = (worker.writer.len(), worker.writer.v.len());
        Self { sample, bytes, v, output_spikes: worker.output_spikes.len() }
    }
}

impl Ragged {
    pub(crate) fn new<T: Float>(
        worker: Worker<'_, T>,
        ends: Vec<End>,
        error: Option<(usize, Error)>,
    ) -> Self {
        let (bytes, v) = worker.writer.finish();
        Self { bytes, v, output_spikes: worker.output_spikes, ends, error }
    }

    /// Each sample's part of the buffers: where it starts and where it ends.
    fn samples(&self) -> impl Iterator<Item = (End, End)> {
        let starts = std::iter::once(End::default()).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }
}

/// Puts what the workers collected into the order of the samples, or gives the first sample's error.
pub(crate) fn merge<T: Float>(
    output: &mut Output<T>,
    mut parts: Vec<Ragged>,
    run: &Run<'_, T>,
    spec: &ScheduleSpec,
) -> Result<(), Error> {
    let errors = parts.iter_mut().filter_map(|part| part.error.take());
    let first = errors.min_by_key(|(sample, error)| (matches!(error, Error::Interrupted), *sample));
    if let Some((_, error)) = first {
        return Err(error);
    }
    let record = run.options.record;
    if let [part] = parts.as_mut_slice() {
        // A single worker ran the samples in their order: nothing needs to be copied.
        let ends = |end: fn(&End) -> usize| {
            let ends = part.ends.iter().map(|e| end(e) as u64);
            std::iter::once(0).chain(ends).collect::<Vec<u64>>()
        };
        let (offsets, v_offsets) = (ends(|end| end.bytes), ends(|end| end.v));
        output.output_offsets = ends(|end| end.output_spikes);
        output.output_spikes = std::mem::take(&mut part.output_spikes);
        let (bytes, v) = (std::mem::take(&mut part.bytes), std::mem::take(&mut part.v));
        output.trace = record.then(|| Trace::from_parts(header(run, spec), bytes, offsets, v, v_offsets));
        return Ok(());
    }
    let mut trace = Trace::new(header(run, spec));
    if record {
        let total = |length: fn(&Ragged) -> usize| parts.iter().map(length).sum();
        trace.reserve(total(|part| part.bytes.len()), total(|part| part.v.len()));
    }
    let mut samples: Vec<_> =
        parts.iter().flat_map(|part| part.samples().map(move |(start, end)| (part, start, end))).collect();
    samples.sort_unstable_by_key(|(_, _, end)| end.sample);
    output.output_offsets.push(0);
    for (part, start, end) in samples {
        if record {
            trace.push(&part.bytes[start.bytes..end.bytes], &part.v[start.v..end.v]);
        }
        output.output_spikes.extend_from_slice(&part.output_spikes[start.output_spikes..end.output_spikes]);
        output.output_offsets.push(output.output_spikes.len() as u64);
    }
    output.trace = record.then_some(trace);
    Ok(())
}

pub(crate) fn header<T: Float>(run: &Run<'_, T>, spec: &ScheduleSpec) -> TraceHeader {
    let Run { network, input, options, .. } = run;
    TraceHeader {
        n_inputs: network.n_inputs(),
        n_neurons: network.n_neurons(),
        n_timesteps: input.n_timesteps(),
        dt: options.dt,
        dtype: T::NAME.to_owned(),
        schedule: spec.name().to_owned(),
        group_size: spec.group_size(),
        input_mode: options.input_mode,
        on_stop: if let ScheduleSpec::Replay { trace } = spec {
            trace.header().on_stop
        } else {
            options.on_stop
        },
        fingerprint: network.fingerprint(),
        dropouts: run.has_fates,
        shards: run.shards.clone(),
    }
}
