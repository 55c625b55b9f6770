//! The adjoint of a convolution. Where the channels of a position lie together, each tap reads one run of them.

use std::ops::Range;

use super::{Conv, ConvGeometry};
use crate::float::Float;
use crate::places::Laid;
use crate::projection::Target;

/// The most channels of a position whose adjoints are summed at once.
const MOST_CHANNELS: usize = 32;

impl<T: Float> Conv<T> {
    /// How many channels of the target lie together at a position, if a source's adjoint is to be summed run by run.
    #[inline]
    pub(crate) fn channels_of(&self, b: Laid<'_, T>) -> Option<usize> {
        b.channels(self.channel_plane()?)
    }

    /// Calls `visit` with the weights' indices and their range in `b`, for each tap that connects the source to the
    /// target's part, zeros included. `n_channels` channels of the target lie together at a position.
    #[inline]
    fn for_each_run(
        &self,
        source: u32,
        target: Target,
        n_channels: usize,
        mut visit: impl FnMut(Range<usize>, Range<usize>),
    ) {
        let out_group = self.geometry.channels_out / self.geometry.groups;
        let (channel, y, x) = self.place(source);
        let (outs, first) = self.outs(channel, target);
        if outs.is_empty() {
            return;
        }
        let first = first / self.plane() + outs.start;
        self.for_each_tap(channel, y, x, |tap, position| {
            let (weight, b) = (tap * out_group + outs.start, position * n_channels + first);
            visit(weight..weight + outs.len(), b..b + outs.len());
        });
    }

    pub(crate) fn adjoint(&self, source: u32, target: Target, b: Laid<'_, T>, gradient: &mut [T]) -> T {
        let mut sum = T::ZERO;
        if let Some(n_channels) = self.channels_of(b) {
            self.for_each_run(source, target, n_channels, |run, at| {
                sum += T::adjoint_row(&mut gradient[run.clone()], &self.weight[run], &b.values[at]);
            });
            return sum;
        }
        self.for_each_synapse(source, target, |weight, neuron| {
            let b = b.of(neuron);
            gradient[weight] += b;
            sum += self.weight[weight] * b;
        });
        sum
    }

    pub(crate) fn pull(&self, source: u32, target: Target, b: Laid<'_, T>) -> T {
        let mut sum = T::ZERO;
        if let Some(n_channels) = self.channels_of(b) {
            self.for_each_run(source, target, n_channels, |run, at| {
                sum += T::dot(&self.weight[run], &b.values[at]);
            });
            return sum;
        }
        self.for_each_synapse(source, target, |weight, neuron| sum += self.weight[weight] * b.of(neuron));
        sum
    }

    /// Adds to each of `terms` what `pull` returns for its source, where `n_channels` channels of the target lie
    /// together. Neighbours in the list of sources are mostly channels of one position, which reach the same neurons.
    pub(crate) fn pull_runs(
        &self,
        start: u32,
        sources: &[u32],
        terms: &mut [T],
        target: Target,
        (b, n_channels): (Laid<'_, T>, usize),
    ) {
        let ConvGeometry { channels_in, size_in, groups, .. } = self.geometry;
        let (in_group, plane) = (channels_in / groups, size_in[0] * size_in[1]);
        let group = |source: u32| (source - start) as usize / (in_group * plane);
        let meet = |a: &u32, b: &u32| *b as usize == *a as usize + plane && group(*a) == group(*b);
        let mut done = 0;
        for channels in sources.chunk_by(meet) {
            for channels in channels.chunks(MOST_CHANNELS) {
                let mut sums = [T::ZERO; MOST_CHANNELS];
                let sums = &mut sums[..channels.len()];
                self.for_each_run(channels[0] - start, target, n_channels, |run, at| {
                    T::add_dots(sums, &self.weight, (self.channel_len(), run.start), &b.values[at]);
                });
                T::add_row(&mut terms[done..], sums);
                done += channels.len();
            }
        }
    }

    pub(crate) fn learn(&self, spikes: &[(u32, T)], target: Target, b: Laid<'_, T>, gradient: &mut [T]) {
        let n_channels = self.channels_of(b);
        for &(source, m) in spikes {
            if let Some(n_channels) = n_channels {
                self.for_each_run(source, target, n_channels, |run, at| {
                    T::scatter(&mut gradient[run], (0, 0), &b.values[at], &[(0, m)]);
                });
            } else {
                self.for_each_synapse(source, target, |weight, neuron| gradient[weight] += b.of(neuron) * m);
            }
        }
    }

    /// Number of weights of one input channel.
    fn channel_len(&self) -> usize {
        self.weight.len() / self.geometry.channels_in
    }

    /// Reorders the gradient from `[input channel, tap, output channel within the group]` to `[out, in / groups, tap]`.
    pub(crate) fn export(&self, gradient: &[T]) -> Vec<T> {
        let ConvGeometry { channels_in, channels_out, kernel: [height, width], groups, .. } = self.geometry;
        let (in_group, out_group, taps) = (channels_in / groups, channels_out / groups, height * width);
        let mut weight = vec![T::ZERO; gradient.len()];
        for channel in 0..channels_in {
            for tap in 0..taps {
                for out in 0..out_group {
                    let to = channel / in_group * out_group + out;
                    weight[(to * in_group + channel % in_group) * taps + tap] =
                        gradient[(channel * taps + tap) * out_group + out];
                }
            }
        }
        weight
    }
}
