//! Results whose length differs from sample to sample: workers collect them, and here they are put into the order of
//! the samples.

use crate::batch::Output;
use crate::engine::{Run, Worker};
use crate::error::Error;
use crate::float::Float;
use crate::schedule::ScheduleSpec;
use crate::trace::{Piece, Trace, TraceHeader};

/// One worker's ragged results: buffers, and where each sample that it ran ends in them.
pub(crate) struct Ragged {
    recorded: Piece,
    output_spikes: Vec<(u32, u32)>,
    ends: Vec<End>,
    error: Option<(usize, Error)>,
}

/// Where a sample's output spikes end in a worker's list of them.
pub(crate) struct End {
    sample: usize,
    output_spikes: usize,
}

impl End {
    /// The end of the sample that the worker has just run.
    pub(crate) fn of<T: Float>(worker: &Worker<'_, T>, sample: usize) -> Self {
        Self { sample, output_spikes: worker.output_spikes.len() }
    }
}

impl Ragged {
    pub(crate) fn new<T: Float>(
        worker: Worker<'_, T>,
        ends: Vec<End>,
        error: Option<(usize, Error)>,
    ) -> Self {
        Self { recorded: worker.writer.finish(), output_spikes: worker.output_spikes, ends, error }
    }

    fn output_spikes_of(&self, place: usize) -> &[(u32, u32)] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before].output_spikes);
        &self.output_spikes[start..self.ends[place].output_spikes]
    }
}

/// Puts what the workers collected into the order of the samples, or returns the error of the first sample that failed.
pub(crate) fn merge<T: Float>(
    output: &mut Output<T>,
    mut parts: Vec<Ragged>,
    run: &Run<'_, T>,
    spec: &ScheduleSpec,
) -> Result<(), Error> {
    let errors = parts.iter_mut().filter_map(|part| part.error.take());
    let first = errors.min_by_key(|(sample, error)| (error.rank(), *sample));
    if let Some((_, error)) = first {
        return Err(error);
    }
    let mut places = vec![(0, 0); output.measures.len()];
    for (number, part) in parts.iter().enumerate() {
        for (place, end) in part.ends.iter().enumerate() {
            places[end.sample] = (number as u32, place as u32);
        }
    }
    output.output_offsets.push(0);
    for &(part, place) in &places {
        output.output_spikes.extend_from_slice(parts[part as usize].output_spikes_of(place as usize));
        output.output_offsets.push(output.output_spikes.len() as u64);
    }
    if run.options.record {
        let pieces = parts.into_iter().map(|part| part.recorded).collect();
        output.trace = Some(Trace::of_pieces(header(run, spec), pieces, places));
    }
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
