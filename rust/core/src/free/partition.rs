//! Which shard owns which neurons, and which shards a spike must reach.

use std::ops::Range;

use super::reach::Reach;
use crate::error::Error;
use crate::float::Float;
use crate::network::{Network, Source};
use crate::projection::Target;

/// The most shards: those that a spike goes to are the bits of one number.
pub(crate) const MOST_SHARDS: usize = 64;
/// A cut is made at the end of a population, which saves traffic, if that is off balance by no more than this fraction
/// of a shard's work.
const SLACK: f64 = 0.1;

/// Disjoint ranges of neurons that cover the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Where each shard's neurons end; they start where those of the one before end.
    pub(crate) ends: Vec<usize>,
}

impl Partition {
    /// The partition that balances the synapses that end in each shard. A small network may get fewer shards than asked
    /// for.
    pub(crate) fn balanced<T: Float>(network: &Network<T>, n_shards: usize) -> Self {
        if n_shards == 1 {
            return Self { ends: vec![network.n_neurons()] };
        }
        let work = work_before(network);
        let places = allowed_cuts(network);
        let total = *work.last().expect("a network has neurons") as f64;
        let population_ends: Vec<usize> = network.populations().iter().map(|p| p.end).collect();
        let mut ends = Vec::new();
        for shard in 1..n_shards {
            let aim = total * shard as f64 / n_shards as f64;
            let off = |place: &usize| (work[*place] as f64 - aim).abs();
            let nearest = |places: &[usize]| places.iter().copied().min_by(|a, b| off(a).total_cmp(&off(b)));
            let at_population =
                nearest(&population_ends).filter(|place| off(place) <= SLACK * total / n_shards as f64);
            let cut = at_population.or_else(|| nearest(&places));
            ends.extend(cut.filter(|cut| *cut > ends.last().copied().unwrap_or(0)));
        }
        ends.retain(|end| *end < network.n_neurons());
        ends.push(network.n_neurons());
        Self { ends }
    }

    /// The partition with these ends, if this network can have it.
    pub(crate) fn from_ends<T: Float>(network: &Network<T>, ends: &[usize]) -> Result<Self, Error> {
        let places = allowed_cuts(network);
        let fits = ends.is_sorted_by(|a, b| a < b)
            && ends.len() <= MOST_SHARDS
            && ends.last() == Some(&network.n_neurons())
            && ends.iter().all(|end| places.binary_search(end).is_ok());
        if fits {
            return Ok(Self { ends: ends.to_vec() });
        }
        Err(Error::Trace(format!("got shards that end at {ends:?}; accepted: shards of this network")))
    }

    pub(crate) fn n_shards(&self) -> usize {
        self.ends.len()
    }

    /// The neurons of a shard.
    pub(crate) fn neurons(&self, shard: usize) -> Range<usize> {
        let start = if shard == 0 { 0 } else { self.ends[shard - 1] };
        start..self.ends[shard]
    }

    /// The shard that owns a neuron.
    pub(crate) fn shard_of(&self, neuron: u32) -> usize {
        self.ends.partition_point(|end| *end <= neuron as usize)
    }

    /// Where the network's spikes go. Those of a neuron without synapses go to its own shard, and those of an input
    /// channel without synapses to the first: they take a slot, as every spike does.
    pub(crate) fn reach<T: Float>(&self, network: &Network<T>) -> Reach {
        let n = network.n_neurons();
        if self.n_shards() == 1 {
            return Reach::One;
        }
        let mut reach = vec![0; n + network.n_inputs()];
        for connection in &network.connections {
            let (start, len) = match connection.source {
                Source::Input => (n, network.n_inputs()),
                Source::Population(index) => {
                    let population = &network.populations()[index];
                    (population.start, population.end - population.start)
                }
            };
            for shard in 0..self.n_shards() {
                let target = self.part(shard, connection.target);
                if target.len() == 0 {
                    continue;
                }
                for (source, shards) in (0..).zip(&mut reach[start..start + len]) {
                    *shards |= u64::from(connection.projection.reaches(source, target)) << shard;
                }
            }
        }
        for (neuron, shards) in (0..).zip(&mut reach[..n]).filter(|(_, shards)| **shards == 0) {
            *shards = 1 << self.shard_of(neuron);
        }
        for shards in reach[n..].iter_mut().filter(|shards| **shards == 0) {
            *shards = 1;
        }
        Reach::new(reach, self.n_shards())
    }

    /// A shard's part of a projection's target.
    pub(crate) fn part(&self, shard: usize, target: Target) -> Target {
        let neurons = self.neurons(shard);
        let within =
            |id: usize| id.clamp(target.start + target.first, target.start + target.end) - target.start;
        Target { first: within(neurons.start), end: within(neurons.end), ..target }
    }
}

/// By neuron, and one past the last: the work of all neurons before it, which is one for each neuron and one for each
/// synapse that ends there.
fn work_before<T: Float>(network: &Network<T>) -> Vec<u64> {
    let mut work = vec![1; network.n_neurons()];
    for connection in &network.connections {
        let Target { start, end, .. } = connection.target;
        connection.projection.count_by_target(&mut work[start..start + end]);
    }
    let mut sum = 0;
    let mut before = vec![0];
    before.extend(work.iter().map(|own| {
        sum += own;
        sum
    }));
    before
}

/// Where shards may end: convolutions are cut between output channels only.
fn allowed_cuts<T: Float>(network: &Network<T>) -> Vec<usize> {
    let mut cuts = Vec::new();
    for (index, population) in network.populations().iter().enumerate() {
        let into = network.connections.iter().filter(|c| c.target.population == index);
        let unit = into.map(|c| c.projection.unit()).max().unwrap_or(1);
        cuts.extend((population.start..population.end).step_by(unit).skip(1));
        cuts.push(population.end);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkBuilder;
    use crate::neuron::Lif;
    use crate::projection::{ConvGeometry, Projection};

    fn chain(sizes: &[usize]) -> Network<f32> {
        let mut builder = NetworkBuilder::new(sizes[0]);
        let mut source = Source::Input;
        for (at, pair) in sizes.windows(2).enumerate() {
            let population = builder.population(&at.to_string(), pair[1], Lif::default());
            let weight = vec![0.5; pair[0] * pair[1]];
            builder.projection(
                source,
                population,
                Projection::dense(&weight, pair[1], pair[0]).unwrap(),
                None,
            );
            source = Source::Population(population);
        }
        builder.build().unwrap()
    }

    #[test]
    fn shards_have_about_the_same_synapses() {
        let network = chain(&[40, 64, 64, 64, 10]);
        for n_shards in 1..=8 {
            let partition = Partition::balanced(&network, n_shards);
            assert_eq!(partition.n_shards(), n_shards);
            let work = work_before(&network);
            let most =
                (0..n_shards).map(|s| work[partition.neurons(s).end] - work[partition.neurons(s).start]);
            let fair = *work.last().unwrap() as f64 / n_shards as f64;
            assert!((most.max().unwrap() as f64) < 1.4 * fair + 200.0);
        }
    }

    #[test]
    fn a_cut_falls_between_populations_where_that_balances() {
        assert_eq!(Partition::balanced(&chain(&[64, 64, 64]), 2).ends, [64, 128]);
    }

    #[test]
    fn more_shards_than_neurons_become_one_a_neuron() {
        assert_eq!(Partition::balanced(&chain(&[1, 3]), 8).ends, [1, 2, 3]);
    }

    #[test]
    fn convolutions_are_cut_between_channels() {
        let geometry = ConvGeometry {
            channels_in: 1,
            channels_out: 3,
            size_in: [4, 4],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        };
        let mut builder = NetworkBuilder::<f32>::new(16);
        let population = builder.population("conv", 12, Lif::default());
        builder.projection(Source::Input, population, Projection::conv(&[1.0; 27], geometry).unwrap(), None);
        let network = builder.build().unwrap();
        assert_eq!(Partition::balanced(&network, 8).ends, [4, 8, 12]);
        assert!(Partition::from_ends(&network, &[5, 12]).is_err());
    }

    #[test]
    fn reach_is_where_synapses_end_and_home_without_any() {
        let network = chain(&[4, 4, 4]);
        let partition = Partition::balanced(&network, 2);
        let reach = partition.reach(&network);
        // Hidden neurons reach the second half, outputs have no synapses, inputs reach the first half.
        assert_eq!(
            (0..12).map(|source| reach.shards(source)).collect::<Vec<_>>(),
            [2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]
        );
    }
}
