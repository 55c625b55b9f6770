//! Convolutions, and pooling as a depthwise convolution. A spike touches the windows that it lies in and nothing else.

mod adjoint;

use std::ops::Range;

use super::Target;
use crate::error::Error;
use crate::float::Float;
use crate::state::State;

/// The shape of a convolution; pairs are (height, width). Neurons are numbered channel by channel, row by row, as
/// PyTorch flattens `[C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// Input height and width.
    pub size_in: [usize; 2],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Zero padding on both sides.
    pub padding: [usize; 2],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl ConvGeometry {
    /// Output height and width; 0 where the kernel does not fit.
    pub fn size_out(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let reach = self.dilation[axis] * (self.kernel[axis].max(1) - 1) + 1;
            let room = self.size_in[axis] + 2 * self.padding[axis];
            if room < reach { 0 } else { (room - reach) / self.stride[axis].max(1) + 1 }
        })
    }

    pub(crate) fn n_weights(&self) -> usize {
        self.channels_out * (self.channels_in / self.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Checks the shape; returns the numbers of source and target neurons.
    pub(crate) fn check(&self) -> Result<(usize, usize), Error> {
        for (name, pair) in [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if pair.contains(&0) {
                return Err(Error::network(name, format!("{pair:?}"), "integers of 1 or more"));
            }
        }
        if self.groups == 0
            || !self.channels_in.is_multiple_of(self.groups)
            || !self.channels_out.is_multiple_of(self.groups)
        {
            return Err(Error::network(
                "groups",
                self.groups,
                format!(
                    "a divisor of the {} input and {} output channels",
                    self.channels_in, self.channels_out
                ),
            ));
        }
        let [height, width] = self.size_out();
        if height == 0 || width == 0 {
            return Err(Error::network(
                "kernel",
                format!("{:?} on an input of {:?}", self.kernel, self.size_in),
                "a kernel that fits the padded input",
            ));
        }
        Ok((self.channels_in * self.size_in[0] * self.size_in[1], self.channels_out * height * width))
    }
}

/// How far a tap of the kernel reaches along an axis: its distance from the first tap, divided by the stride.
#[derive(Clone, Copy, Debug)]
struct Tap {
    quotient: usize,
    remainder: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Conv<T> {
    geometry: ConvGeometry,
    size_out: [usize; 2],
    /// `[input channel, kernel row, kernel column, output channel within the group]`: the weights of one tap lie
    /// together.
    weight: Vec<T>,
    /// By input channel and tap: whether none of the tap's weights is 0.
    whole_taps: Vec<bool>,
    /// By axis and tap.
    taps: [Vec<Tap>; 2],
}

impl<T: Float> Conv<T> {
    pub(crate) fn new(weight: &[T], geometry: ConvGeometry) -> Self {
        let ConvGeometry { channels_in, channels_out, kernel: [height, width], groups, .. } = geometry;
        let (in_group, out_group) = (channels_in / groups, channels_out / groups);
        let mut by_tap = Vec::with_capacity(weight.len());
        for channel in 0..channels_in {
            for tap in 0..height * width {
                for out in 0..out_group {
                    let out = channel / in_group * out_group + out;
                    by_tap.push(weight[(out * in_group + channel % in_group) * height * width + tap]);
                }
            }
        }
        let whole_taps = by_tap.chunks_exact(out_group.max(1)).map(|tap| !T::any_zero(tap)).collect();
        let taps = std::array::from_fn(|axis| {
            let ConvGeometry { kernel, stride, dilation, .. } = geometry;
            let distances = (0..kernel[axis]).map(|tap| tap * dilation[axis]);
            let divided = |far| Tap { quotient: far / stride[axis], remainder: far % stride[axis] };
            distances.map(divided).collect()
        });
        Self { geometry, size_out: geometry.size_out(), weight: by_tap, whole_taps, taps }
    }

    pub(crate) fn n_synapses(&self) -> u64 {
        let [height, width] = self.geometry.size_in;
        let out_group = self.geometry.channels_out / self.geometry.groups;
        let mut total = 0;
        for channel in 0..self.geometry.channels_in {
            for y in 0..height {
                for x in 0..width {
                    self.for_each_tap(channel, y, x, |tap, _| {
                        total += self.weight[tap * out_group..][..out_group]
                            .iter()
                            .filter(|w| **w != T::ZERO)
                            .count() as u64;
                    });
                }
            }
        }
        total
    }

    pub(crate) fn nbytes(&self) -> usize {
        self.weight.len() * size_of::<T>()
    }

    /// Calls `visit(tap, position)` for each kernel tap that connects the source to an output position.
    #[inline]
    fn for_each_tap(&self, channel: usize, y: usize, x: usize, mut visit: impl FnMut(usize, usize)) {
        let ConvGeometry { kernel, stride, padding, .. } = self.geometry;
        let [y, x] = [y + padding[0], x + padding[1]];
        let from = [(y / stride[0], y % stride[0]), (x / stride[1], x % stride[1])];
        // A tap reaches a position if the remainders are equal, so one division serves all taps.
        let position = |axis: usize, tap: &Tap| {
            let (quotient, remainder) = from[axis];
            let position = quotient.wrapping_sub(tap.quotient);
            (remainder == tap.remainder && position < self.size_out[axis]).then_some(position)
        };
        for (row, tap) in self.taps[0].iter().enumerate() {
            let Some(out_y) = position(0, tap) else { continue };
            for (column, tap) in self.taps[1].iter().enumerate() {
                if let Some(out_x) = position(1, tap) {
                    visit((channel * kernel[0] + row) * kernel[1] + column, out_y * self.size_out[1] + out_x);
                }
            }
        }
    }

    /// Number of neurons in one output channel.
    pub(crate) fn plane(&self) -> usize {
        self.size_out[0] * self.size_out[1]
    }

    /// Number of neurons in one output channel, if a spike reaches several channels at a position.
    pub(crate) fn channel_plane(&self) -> Option<usize> {
        let several = self.geometry.channels_out > self.geometry.groups;
        Some(self.plane()).filter(|plane| several && *plane > 1)
    }

    /// The output channels that a source reaches within the target's part, as a range within its group, and the first
    /// neuron of that group.
    #[inline]
    fn outs(&self, channel: usize, target: Target) -> (Range<usize>, usize) {
        let ConvGeometry { channels_in, channels_out, groups, .. } = self.geometry;
        let (in_group, out_group) = (channels_in / groups, channels_out / groups);
        let (plane, base) = (self.plane(), channel / in_group * out_group);
        let within = |neuron: usize| (neuron / plane).clamp(base, base + out_group) - base;
        (within(target.first)..within(target.end), base * plane)
    }

    #[inline]
    fn place(&self, source: u32) -> (usize, usize, usize) {
        let [height, width] = self.geometry.size_in;
        let source = source as usize;
        (source / (height * width), source / width % height, source % width)
    }

    pub(crate) fn deliver(&self, spikes: &[(u32, T)], target: Target, state: &mut State<T>) {
        let out_group = self.geometry.channels_out / self.geometry.groups;
        let plane = self.plane();
        let n_channels = state.channels(target.population, plane);
        for &(source, m) in spikes {
            let (channel, y, x) = self.place(source);
            let (outs, first) = self.outs(channel, target);
            if outs.is_empty() {
                continue;
            }
            let first_here = first / plane + outs.start - target.first / plane;
            self.for_each_tap(channel, y, x, |tap, position| {
                let weights = &self.weight[tap * out_group..][outs.clone()];
                if let Some(n_channels) = n_channels
                    && self.whole_taps[tap]
                {
                    state.run(target.population, position * n_channels + first_here, weights, m);
                    return;
                }
                let synapses = outs.clone().zip(weights).filter(|(_, weight)| **weight != T::ZERO);
                let neuron = |out| target.start + first + out * plane + position;
                state.events(synapses.map(|(out, &weight)| (neuron(out), weight * m)));
            });
        }
    }

    /// Calls `visit(weight's index, target neuron)` for each weight that connects the source to the target's part,
    /// zeros included.
    #[inline]
    fn for_each_synapse(&self, source: u32, target: Target, mut visit: impl FnMut(usize, usize)) {
        let out_group = self.geometry.channels_out / self.geometry.groups;
        let plane = self.plane();
        let (channel, y, x) = self.place(source);
        let (outs, first) = self.outs(channel, target);
        self.for_each_tap(channel, y, x, |tap, position| {
            for out in outs.clone() {
                visit(tap * out_group + out, first + out * plane + position);
            }
        });
    }

    pub(crate) fn reaches(&self, source: u32, target: Target) -> bool {
        let mut reaches = false;
        self.for_each_synapse(source, target, |weight, _| reaches |= self.weight[weight] != T::ZERO);
        reaches
    }

    pub(crate) fn count_by_target(&self, counts: &mut [u64]) {
        let ConvGeometry { channels_in, size_in: [height, width], .. } = self.geometry;
        let all = Target { population: 0, start: 0, first: 0, end: counts.len() };
        for source in 0..(channels_in * height * width) as u32 {
            self.for_each_synapse(source, all, |weight, neuron| {
                counts[neuron] += u64::from(self.weight[weight] != T::ZERO);
            });
        }
    }

    pub(crate) fn gradient_len(&self) -> usize {
        self.weight.len()
    }
}
