//! Where each neuron's numbers lie, in a state and in a reverse pass: in the order of the ids, except in populations
//! that convolutions reach.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::float::Float;
use crate::network::Network;
use crate::projection::Target;

/// The places of neurons. A spike that passes through a convolution reaches all output channels at a few positions. Ids
/// go channel by channel, so in their order the channels of one position would lie a whole plane apart: each in a cache
/// line of its own and, where the size of a plane is a power of two, all competing for the same few cache sets. Ordered
/// by place, they lie together.
#[derive(Debug)]
pub(crate) struct Places {
    first_neuron: usize,
    /// By id, counted from `first_neuron`: the place. Empty if all neurons lie in the order of their ids.
    of_id: Vec<u32>,
    /// By place: the id. Empty if all neurons lie in the order of their ids.
    ids: Vec<u32>,
    /// By population: the number of neurons per channel if the channels of a position lie together, otherwise 0.
    planes: Vec<usize>,
    /// By population: the range of its places.
    parts: Vec<Range<usize>>,
}

/// The places of all neurons of a network. Found only once, because a network may be run many times, for a moment each.
#[derive(Debug, Default)]
pub(crate) struct OwnPlaces {
    of_states: OnceLock<Arc<Places>>,
    of_adjoints: OnceLock<Arc<Places>>,
}

impl Places {
    /// The places of the neurons with ids from `first_neuron` on; `parts` has those of each population, as ranges of
    /// ids.
    pub(crate) fn new<T: Float>(
        network: &Network<T>,
        first_neuron: usize,
        parts: &[Range<usize>],
    ) -> Arc<Self> {
        let new = || Arc::new(Self::of_planes(first_neuron, parts, planes(network, parts)));
        let n_neurons = parts.last().map_or(0, |last| last.end) - first_neuron;
        if n_neurons < network.n_neurons() {
            return new();
        }
        Arc::clone(network.places.of_states.get_or_init(new))
    }

    /// The places of all neurons in the reverse pass. A population also lies in the order of its ids if a map into it
    /// cannot read it in any other.
    pub(crate) fn of_adjoints<T: Float>(network: &Network<T>) -> Arc<Self> {
        let new = || {
            let parts: Vec<_> = network.populations().iter().map(|p| p.start..p.end).collect();
            let mut planes = planes(network, &parts);
            for connection in &network.connections {
                let plane = &mut planes[connection.target.population];
                if !connection.projection.reads_channels(*plane) {
                    *plane = 0;
                }
            }
            Arc::new(Self::of_planes(0, &parts, planes))
        };
        Arc::clone(network.places.of_adjoints.get_or_init(new))
    }

    fn of_planes(first_neuron: usize, parts: &[Range<usize>], planes: Vec<usize>) -> Self {
        let mut ids = Vec::new();
        if planes.iter().any(|plane| *plane != 0) {
            for (part, &plane) in parts.iter().zip(&planes) {
                let plane = if plane == 0 { part.len() } else { plane };
                let positions = part.start..part.start + plane;
                ids.extend(positions.flat_map(|k| (k..part.end).step_by(plane.max(1))).map(|k| k as u32));
            }
        }
        let mut of_id = vec![0; ids.len()];
        for (place, &id) in ids.iter().enumerate() {
            of_id[id as usize - first_neuron] = place as u32;
        }
        let parts = parts.iter().map(|part| part.start - first_neuron..part.end - first_neuron).collect();
        Self { first_neuron, of_id, ids, planes, parts }
    }

    /// Whether all neurons lie in the order of their ids.
    #[inline]
    pub(crate) fn follow_ids(&self) -> bool {
        self.ids.is_empty()
    }

    /// The number of neurons per channel of the population, if the channels of a position lie together.
    #[inline]
    pub(crate) fn plane(&self, population: usize) -> Option<usize> {
        Some(self.planes[population]).filter(|plane| *plane != 0)
    }

    /// The place of a neuron.
    #[inline]
    pub(crate) fn of(&self, id: usize) -> usize {
        let k = id - self.first_neuron;
        if self.of_id.is_empty() { k } else { self.of_id[k] as usize }
    }

    /// The neuron at a place.
    #[inline]
    pub(crate) fn id(&self, place: usize) -> u32 {
        if self.ids.is_empty() { (place + self.first_neuron) as u32 } else { self.ids[place] }
    }

    /// The ids at a range of places.
    #[inline]
    pub(crate) fn ids(&self, places: Range<usize>) -> impl Iterator<Item = usize> {
        places.map(|place| self.id(place) as usize)
    }

    /// The ids at a range of places, as a slice. Must not be called if all neurons lie in the order of their ids.
    #[inline]
    pub(crate) fn list(&self, places: Range<usize>) -> &[u32] {
        &self.ids[places]
    }

    /// Combines the numbers of all of a population's neurons with how they lie.
    #[inline]
    pub(crate) fn of_population<'a, T>(&self, population: usize, values: &'a [T]) -> Laid<'a, T> {
        Laid { values, plane: self.planes[population] }
    }

    /// Copies numbers that are ordered by id into the order of places.
    pub(crate) fn put<T: Float>(&self, by_id: &[T], by_place: &mut [T]) {
        for (part, &plane) in self.parts.iter().zip(&self.planes) {
            let (given, put) = (&by_id[part.clone()], &mut by_place[part.clone()]);
            // A population whose numbers are all the same, as with most time constants and thresholds, needs no lookup.
            // Zeros are left out because 0 and -0 compare as equal.
            let is_one = |first: &T| *first != T::ZERO && given.iter().all(|value| value == first);
            if plane == 0 || given.first().is_none_or(is_one) {
                put.copy_from_slice(given);
                continue;
            }
            for (value, id) in put.iter_mut().zip(&self.ids[part.clone()]) {
                *value = by_id[*id as usize - self.first_neuron];
            }
        }
    }

    /// Copies numbers that are ordered by place into the order of ids.
    pub(crate) fn take<T: Float>(&self, by_place: &[T], by_id: &mut [T]) {
        if self.follow_ids() {
            by_id.copy_from_slice(by_place);
            return;
        }
        for (value, place) in by_id.iter_mut().zip(&self.of_id) {
            *value = by_place[*place as usize];
        }
    }
}

/// By population: the number of neurons per channel if a convolution reaches several channels at a position, otherwise
/// 0.
fn planes<T: Float>(network: &Network<T>, parts: &[Range<usize>]) -> Vec<usize> {
    let mut planes = vec![0; parts.len()];
    for connection in &network.connections {
        let population = connection.target.population;
        let Some(plane) = connection.projection.channel_plane() else { continue };
        let (part, start) = (&parts[population], connection.target.start);
        // A shard may end within one of these planes, where a plane of another convolution ends.
        let is_cut = part.len() % plane != 0 || (part.start - start) % plane != 0;
        if planes[population] == 0 && part.len() > plane && !is_cut {
            planes[population] = plane;
        }
    }
    planes
}

/// The numbers of a population's neurons, in the order in which they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Laid<'a, T> {
    pub(crate) values: &'a [T],
    /// The number of neurons per channel if the channels of a position lie together, otherwise 0.
    plane: usize,
}

impl<'a, T: Float> Laid<'a, T> {
    /// The numbers in the order of the ids.
    #[inline]
    pub(crate) fn by_id(self) -> &'a [T] {
        debug_assert_eq!(self.plane, 0, "only maps that read channels are given them");
        self.values
    }

    /// The number of a neuron, which is counted within the population.
    #[inline]
    pub(crate) fn of(self, neuron: usize) -> T {
        if self.plane == 0 {
            return self.values[neuron];
        }
        let (position, channel) = (neuron % self.plane, neuron / self.plane);
        self.values[position * (self.values.len() / self.plane) + channel]
    }

    /// How many channels lie together at a position, if they do for channels of `plane` neurons.
    #[inline]
    pub(crate) fn channels(self, plane: usize) -> Option<usize> {
        (self.plane == plane).then(|| self.values.len() / plane)
    }

    /// The ranges in which the target's part of the population lies.
    pub(crate) fn pieces(self, target: Target) -> impl Iterator<Item = Range<usize>> {
        let all = self.values.len();
        let (n, stride, first, end) = if self.plane == 0 || target.len() == all {
            (1, 0, target.first, target.end)
        } else {
            (self.plane, all / self.plane, target.first / self.plane, target.end / self.plane)
        };
        (0..n).map(move |piece| piece * stride + first..piece * stride + end)
    }
}
