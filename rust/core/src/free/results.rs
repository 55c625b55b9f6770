//! The results of the shards, put together sample by sample.

use std::ops::Range;

use super::division::Division;
use super::log::{Found, found_in};
use super::merge::merge_all;
use crate::batch::{Output, zeros};
use crate::collect::header;
use crate::engine::Run;
use crate::error::Error;
use crate::float::Float;
use crate::measures::Measures;
use crate::schedule::ScheduleSpec;
use crate::trace::Trace;

/// Puts together the results of the shards of all groups.
pub(super) fn gathered<T: Float>(
    run: &Run<'_, T>,
    spec: &ScheduleSpec,
    division: &Division,
    groups: &[Vec<Found<T>>],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Output<T>, Error> {
    let Run { network, input, options, .. } = run;
    let n_samples = input.n_samples();
    let kept = |keep: bool, width: usize| if keep { width } else { 0 };
    let n_output = network.output().end - network.output().start;
    let mut all = Output {
        counts: zeros("counts", n_samples, kept(options.keep_counts, input.n_timesteps() * n_output))?,
        output_v: zeros("output_v", n_samples, kept(options.keep_output_v, input.n_timesteps() * n_output))?,
        spike_counts: zeros("spike_counts", n_samples, kept(options.keep_spike_counts, network.n_neurons()))?,
        state: zeros("v", n_samples, kept(options.keep_state, network.state_len()))?,
        measures: vec![Measures { reached_quiescence: true, ..Measures::default() }; n_samples],
        output_spikes: Vec::new(),
        output_offsets: vec![0],
        trace: None,
    };
    for sample in 0..n_samples {
        let (shards, number) = found_in(groups, sample);
        for (shard, found) in shards.iter().enumerate() {
            all.add(run, &division.partition.neurons(shard), found, (sample, number));
        }
    }
    if options.record {
        let mut pieces = Vec::with_capacity(n_samples);
        for (sample, merged) in merge_all(run, division, groups, progress)?.into_iter().enumerate() {
            let measures = &mut all.measures[sample];
            (measures.latency, measures.max_pending, measures.sum_pending) =
                (merged.latency, merged.max_pending, merged.sum_pending);
            all.output_spikes.extend(merged.output_spikes);
            all.output_offsets.push(all.output_spikes.len() as u64);
            pieces.push(merged.piece);
        }
        let places = (0..n_samples as u32).map(|sample| (sample, 0)).collect();
        all.trace = Some(Trace::of_pieces(header(run, spec), pieces, places));
        return Ok(all);
    }
    for sample in 0..n_samples {
        let (shards, number) = found_in(groups, sample);
        let first = all.output_spikes.len();
        all.output_spikes.extend(shards.iter().flat_map(|found| found.output_spikes_of(number)));
        all.output_spikes[first..].sort_unstable();
        all.output_offsets.push(all.output_spikes.len() as u64);
    }
    Ok(all)
}

impl<T: Float> Output<T> {
    /// Adds the results of the shard with these neurons in a sample, the `number`-th that the shard ran.
    fn add(
        &mut self,
        run: &Run<'_, T>,
        neurons: &Range<usize>,
        found: &Found<T>,
        (sample, number): (usize, usize),
    ) {
        let Run { network, input, options, .. } = run;
        let n = network.n_neurons();
        if options.keep_spike_counts {
            let own = &found.spike_counts[number * neurons.len()..][..neurons.len()];
            self.spike_counts[sample * n..][neurons.clone()].copy_from_slice(own);
        }
        if options.keep_state {
            let (width, parts) = (network.state_len(), network.state_parts());
            let own = found.state[number * parts * neurons.len()..].chunks(neurons.len());
            for (part, own) in self.state[sample * width..].chunks_mut(n).zip(own).take(parts) {
                part[neurons.clone()].copy_from_slice(own);
            }
        }
        self.measures[sample].add(&found.measures[number]);
        let output = network.output();
        let n_output = output.end - output.start;
        let within = |id: usize| id.clamp(neurons.start, neurons.end);
        let outputs = within(output.start)..within(output.end);
        let (width, n_timesteps) = (outputs.len(), input.n_timesteps());
        if outputs.is_empty() {
            return;
        }
        for timestep in 0..n_timesteps {
            let row = timestep * input.n_samples() + sample;
            let to = row * n_output + outputs.start - output.start;
            let from = (number * n_timesteps + timestep) * width;
            if options.keep_counts {
                self.counts[to..to + width].copy_from_slice(&found.counts[from..from + width]);
            }
            if options.keep_output_v {
                self.output_v[to..to + width].copy_from_slice(&found.output_v[from..from + width]);
            }
        }
    }
}

impl Measures {
    /// Adds the measures of another shard in the same sample.
    fn add(&mut self, shard: &Self) {
        self.spikes += shard.spikes;
        self.forward_steps += shard.forward_steps;
        self.synaptic_operations += shard.synaptic_operations;
        self.neuron_updates += shard.neuron_updates;
        self.max_pending = self.max_pending.max(shard.max_pending);
        self.sum_pending += shard.sum_pending;
        self.sum_events += shard.sum_events;
        self.latency = [self.latency, shard.latency].into_iter().flatten().min();
        self.reached_quiescence &= shard.reached_quiescence;
        if !shard.reached_quiescence {
            self.stopped_by = shard.stopped_by;
        }
    }
}
