//! Projections: linear maps from the input or a population to a population, delivered spike by spike.
//!
//! Each kind of projection is one file and one variant of [`Map`]. It defines what target neurons receive from a spike,
//! and the adjoint of that.

mod conv;
mod one_to_one;
mod rows;
mod transpose;

pub use conv::ConvGeometry;

use crate::error::{Error, not_finite};
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::places::Laid;
use crate::state::State;
use conv::Conv;
use one_to_one::OneToOne;
use rows::Rows;

/// A linear map that is not yet part of a network.
#[derive(Debug)]
pub struct Projection<T> {
    pub(crate) map: Map<T>,
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
    /// The kind and its shape in words, for fingerprints and error messages.
    pub(crate) description: String,
}

/// The kinds of projection.
#[derive(Debug)]
pub(crate) enum Map<T> {
    Rows(Rows<T>),
    Conv(Conv<T>),
    OneToOne(OneToOne<T>),
}

/// Where a projection's events arrive: a population, or the part of one that a shard owns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The population's index.
    pub(crate) population: usize,
    /// Its first neuron's id.
    pub(crate) start: usize,
    /// The part's first neuron, counted within the population.
    pub(crate) first: usize,
    /// One past the part's last neuron, counted likewise.
    pub(crate) end: usize,
}

impl Target {
    /// How many neurons the part has.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.end - self.first
    }

    /// Which entries of a sorted list of neurons are in the part; `n` is the size of the population.
    #[inline]
    fn places(self, neurons: &[u32], n: usize) -> std::ops::Range<usize> {
        if self.len() == n {
            return 0..neurons.len();
        }
        place(neurons, self.first, n)..place(neurons, self.end, n)
    }
}

/// How many entries of a list are searched for a bound without branching.
const WINDOW: usize = 16;

/// How many entries of `neurons`, a sorted list of ids below `n`, are below `bound`. The search starts where the bound
/// would be if the ids were spread evenly, which is close enough in most networks: bisecting a long list would wait for
/// memory at every look.
fn place(neurons: &[u32], bound: usize, n: usize) -> usize {
    if bound == 0 || bound >= n {
        return if bound == 0 { 0 } else { neurons.len() };
    }
    let id = bound as u32;
    let is_below = |k: &u32| *k < id;
    let guess = neurons.len() * bound / n;
    let start = guess.saturating_sub(WINDOW / 2);
    if let Some(window) = neurons[start..].first_chunk::<WINDOW>() {
        let n_below = window.iter().map(|k| u32::from(is_below(k))).sum::<u32>() as usize;
        if 0 < n_below && n_below < WINDOW {
            return start + n_below;
        }
    }
    let (below, rest) = neurons.split_at(guess);
    let mut reach = 1;
    if rest.first().is_some_and(is_below) {
        while rest.get(reach).is_some_and(is_below) {
            reach *= 2;
        }
        return guess + rest[..reach.min(rest.len())].partition_point(is_below);
    }
    while reach <= below.len() && !is_below(&below[below.len() - reach]) {
        reach *= 2;
    }
    let start = below.len().saturating_sub(reach);
    start + below[start..].partition_point(is_below)
}

impl<T: Float> Projection<T> {
    /// A fully connected projection; `weight` is `[n_out, n_in]`, as in `torch.nn.Linear`. Zero weights are no
    /// synapses.
    pub fn dense(weight: &[T], n_out: usize, n_in: usize) -> Result<Self, Error> {
        let _mode = DefaultFloatMode::set();
        check_weights(weight, n_out * n_in)?;
        Ok(Self {
            map: Map::Rows(Rows::dense(weight, n_out, n_in)),
            n_in,
            n_out,
            description: format!("linear {n_out}x{n_in}"),
        })
    }

    /// A sparse projection in compressed-row form `[n_out, n_in]`; stored zeros are no synapses.
    pub fn sparse(
        indptr: &[usize],
        indices: &[u32],
        weight: &[T],
        n_out: usize,
        n_in: usize,
    ) -> Result<Self, Error> {
        let _mode = DefaultFloatMode::set();
        check_weights(weight, indices.len())?;
        Ok(Self {
            map: Map::Rows(Rows::sparse(indptr, indices, weight, n_out, n_in)?),
            n_in,
            n_out,
            description: format!("sparse {n_out}x{n_in}"),
        })
    }

    /// A two-dimensional convolution; `weight` is `[out, in / groups, height, width]`, as in `torch.nn.Conv2d`. A
    /// one-dimensional one has height 1.
    pub fn conv(weight: &[T], geometry: ConvGeometry) -> Result<Self, Error> {
        let _mode = DefaultFloatMode::set();
        let (n_in, n_out) = geometry.check()?;
        check_weights(weight, geometry.n_weights())?;
        Ok(Self {
            map: Map::Conv(Conv::new(weight, geometry)),
            n_in,
            n_out,
            description: format!("conv {geometry:?}"),
        })
    }

    /// Neuron `k` of the source reaches neuron `k` of the target.
    pub fn one_to_one(weight: &[T]) -> Result<Self, Error> {
        let _mode = DefaultFloatMode::set();
        check_weights(weight, weight.len())?;
        let n = weight.len();
        Ok(Self {
            map: Map::OneToOne(OneToOne::new(weight)),
            n_in: n,
            n_out: n,
            description: format!("one-to-one {n}"),
        })
    }

    /// The events (neuron, weight) of a source's spike, ascending, if they are stored as a list.
    #[inline]
    pub(crate) fn list(&self, source: u32, target: Target) -> Option<impl Iterator<Item = (usize, T)>> {
        if let Map::Rows(rows) = &self.map { rows.events(source, target) } else { None }
    }

    /// Prefetches the index that says where the data lies that `prefetch` will ask for.
    #[inline]
    pub(crate) fn prefetch_place(&self, source: u32) {
        if let Map::Rows(rows) = &self.map {
            rows.prefetch_place(source);
        }
    }

    /// Prefetches what delivering a spike will read; to be called shortly before its delivery.
    #[inline]
    pub(crate) fn prefetch(&self, source: u32, target: Target) {
        if let Map::Rows(rows) = &self.map {
            rows.prefetch(source, target);
        }
    }

    /// Number of synapses (weights that are not zero, each counted wherever it connects).
    pub fn n_synapses(&self) -> u64 {
        let _mode = DefaultFloatMode::set();
        match &self.map {
            Map::Rows(rows) => rows.n_synapses(),
            Map::Conv(conv) => conv.n_synapses(),
            Map::OneToOne(map) => map.n_synapses(),
        }
    }

    /// Bytes that the weights and indices take up.
    pub fn nbytes(&self) -> usize {
        match &self.map {
            Map::Rows(rows) => rows.nbytes(),
            Map::Conv(conv) => conv.nbytes(),
            Map::OneToOne(map) => map.nbytes(),
        }
    }

    /// Delivers spikes (source neuron within its population, multiplicity) one after the other.
    #[inline]
    pub(crate) fn deliver(&self, spikes: &[(u32, T)], target: Target, state: &mut State<T>) {
        match &self.map {
            Map::Rows(rows) => rows.deliver(spikes, target, state),
            Map::Conv(conv) => conv.deliver(spikes, target, state),
            Map::OneToOne(map) => map.deliver(spikes, target, state),
        }
    }

    /// The target's neurons come in units of this many, which must not be split between shards.
    pub(crate) fn unit(&self) -> usize {
        match &self.map {
            Map::Conv(conv) => conv.plane(),
            Map::Rows(_) | Map::OneToOne(_) => 1,
        }
    }

    /// The number of neurons per channel, if spikes reach several channels at a position.
    pub(crate) fn channel_plane(&self) -> Option<usize> {
        match &self.map {
            Map::Conv(conv) => conv.channel_plane(),
            Map::Rows(_) | Map::OneToOne(_) => None,
        }
    }

    /// Whether the map can read the target's adjoints if the channels of a position lie together, for channels of
    /// `plane` neurons.
    pub(crate) fn reads_channels(&self, plane: usize) -> bool {
        match &self.map {
            Map::Conv(conv) => conv.plane() == plane,
            Map::OneToOne(_) => true,
            Map::Rows(_) => false,
        }
    }

    /// Whether a spike of the source has a synapse in the target's part.
    pub(crate) fn reaches(&self, source: u32, target: Target) -> bool {
        match &self.map {
            Map::Rows(rows) => rows.reaches(source, target),
            Map::Conv(conv) => conv.reaches(source, target),
            Map::OneToOne(map) => map.reaches(source, target),
        }
    }

    /// Adds the number of synapses that end at each target neuron.
    pub(crate) fn count_by_target(&self, counts: &mut [u64]) {
        match &self.map {
            Map::Rows(rows) => rows.count_by_target(counts),
            Map::Conv(conv) => conv.count_by_target(counts),
            Map::OneToOne(map) => map.count_by_target(counts),
        }
    }

    /// Whether each source's gradient is a row with one number per target.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(&self.map, Map::Rows(rows) if !rows.is_sparse())
    }

    /// The weights, as one row for each source with one weight per target, if none of them is 0.
    pub(crate) fn whole_rows(&self) -> Option<&[T]> {
        match &self.map {
            Map::Rows(rows) => rows.all_whole_rows(),
            _ => None,
        }
    }

    /// Length of the weights' gradient, to which the adjoints add in an order of the map's own (see `export`).
    pub(crate) fn gradient_len(&self) -> usize {
        match &self.map {
            Map::Rows(rows) => rows.gradient_len(self.n_in),
            Map::Conv(conv) => conv.gradient_len(),
            Map::OneToOne(_) => self.n_in,
        }
    }

    /// The adjoint of delivering one spike of multiplicity 1: adds to the weights' gradient, and returns the spike's
    /// adjoint, the sum of `w[k] * b[k]` over its targets `k` in the target's part. `b` holds the current adjoints of
    /// the target's whole population.
    #[inline]
    pub(crate) fn adjoint(&self, source: u32, target: Target, b: Laid<'_, T>, gradient: &mut [T]) -> T {
        match &self.map {
            Map::Rows(rows) => rows.adjoint(source, target, b.by_id(), gradient),
            Map::Conv(conv) => conv.adjoint(source, target, b, gradient),
            Map::OneToOne(map) => map.adjoint(source, target, b, gradient),
        }
    }

    /// Returns the spike's adjoint as `adjoint` does, without adding to the weights' gradient.
    #[inline]
    pub(crate) fn pull(&self, source: u32, target: Target, b: Laid<'_, T>) -> T {
        match &self.map {
            Map::Rows(rows) => rows.pull(source, target, b.by_id()),
            Map::Conv(conv) => conv.pull(source, target, b),
            Map::OneToOne(map) => map.pull(source, target, b),
        }
    }

    /// Adds to each of `terms` what `pull` returns for its source; the sources are consecutive, starting with `first`.
    pub(crate) fn pull_from(&self, first: u32, terms: &mut [T], target: Target, b: Laid<'_, T>) {
        if let Some(rows) = self.whole_rows() {
            let rows = &rows[first as usize * self.n_out..];
            T::add_dots(terms, rows, (self.n_out, target.first), &b.by_id()[target.first..target.end]);
            return;
        }
        for (source, term) in (first..).zip(terms) {
            *term += self.pull(source, target, b);
        }
    }

    /// Like `pull_from`, for a list of sources. They are given by id; the source population's first id is `start`.
    pub(crate) fn pull_list(
        &self,
        start: u32,
        sources: &[u32],
        terms: &mut [T],
        target: Target,
        b: Laid<'_, T>,
    ) {
        if let Map::Conv(conv) = &self.map
            && let Some(n_channels) = conv.channels_of(b)
        {
            conv.pull_runs(start, sources, terms, target, (b, n_channels));
            return;
        }
        for (source, term) in sources.iter().zip(terms) {
            *term += self.pull(source - start, target, b);
        }
    }

    /// The adjoint of delivering spikes (source, multiplicity), with respect to the weights.
    #[inline]
    pub(crate) fn learn(&self, spikes: &[(u32, T)], target: Target, b: Laid<'_, T>, gradient: &mut [T]) {
        match &self.map {
            Map::Rows(rows) => rows.learn(spikes, target, b.by_id(), gradient),
            Map::Conv(conv) => conv.learn(spikes, target, b, gradient),
            Map::OneToOne(map) => map.learn(spikes, target, b, gradient),
        }
    }

    /// The weights' gradient in the order of the weights from which the projection was made.
    pub(crate) fn export(&self, gradient: &[T]) -> Vec<T> {
        match &self.map {
            Map::Rows(rows) => rows.export(gradient, self.n_in),
            Map::Conv(conv) => conv.export(gradient),
            Map::OneToOne(_) => gradient.to_vec(),
        }
    }
}

fn check_weights<T: Float>(weight: &[T], expected: usize) -> Result<(), Error> {
    if weight.len() >= u32::MAX as usize {
        let accepted =
            "fewer than 2**32 - 1 in a projection; several projections may join the same populations";
        return Err(Error::network("weight", format!("{} values", weight.len()), accepted));
    }
    check_values("weight", weight, expected)
}

/// Refuses values unless there are `expected` of them, all finite.
pub(crate) fn check_values<T: Float>(argument: &str, values: &[T], expected: usize) -> Result<(), Error> {
    if values.len() != expected {
        let given = format!("{} values", values.len());
        return Err(Error::network(argument, given, format!("{expected} values")));
    }
    match not_finite(values) {
        Some(given) => Err(Error::network(argument, given, format!("finite numbers in {}", T::NAME))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bound_is_found_however_the_neurons_are_spread(
            neurons in prop::collection::btree_set(0..300_u32, 0..80),
            crowded in prop::collection::btree_set(990..1000_u32, 0..10),
            bound in 0..1001_usize,
        ) {
            let neurons: Vec<u32> = neurons.into_iter().chain(crowded).collect();
            let below = neurons.iter().filter(|k| (**k as usize) < bound).count();
            prop_assert_eq!(place(&neurons, bound, 1000), below);
        }
    }
}
