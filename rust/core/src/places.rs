//! Where the numbers of a state's neurons lie: in the order of the ids, but for populations that convolutions reach.

use crate::float::Float;
use crate::network::Network;

/// A spike of a convolution reaches all output channels at some positions. Ids go channel by channel, so in their order the channels of a position would lie a plane apart: a cache line for each, and where a plane
/// is a power of two all of them in the same few lines of the cache. Here they lie together.
#[derive(Debug)]
pub(crate) struct Places {
    first_neuron: usize,
    /// By id, from the first that is here on: the place. Empty where all neurons lie in the order of their ids.
    of_id: Vec<u32>,
    /// By place: the id.
    ids: Vec<u32>,
    /// By population: how many neurons a channel has where channels lie together, else 0.
    planes: Vec<usize>,
}

impl Places {
    /// Of the neurons with ids from `first_neuron` on; `parts` are those of each population, as ids.
    pub(crate) fn new<T: Float>(
        network: &Network<T>,
        first_neuron: usize,
        parts: &[std::ops::Range<usize>],
    ) -> Self {
        let mut planes = vec![0; parts.len()];
        for connection in &network.connections {
            let population = connection.target.population;
            let Some(plane) = connection.projection.channel_plane() else { continue };
            let (part, start) = (&parts[population], connection.target.start);
            // Another convolution may have cut the population at its own planes.
            let is_cut = part.len() % plane != 0 || (part.start - start) % plane != 0;
            if planes[population] == 0 && part.len() > plane && !is_cut {
                planes[population] = plane;
            }
        }
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
        Self { first_neuron, of_id, ids, planes }
    }

    /// All neurons lie in the order of their ids.
    #[inline]
    pub(crate) fn follow_ids(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many neurons a channel of the population has, if its channels lie together.
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
    pub(crate) fn ids(&self, places: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
        places.map(|place| self.id(place) as usize)
    }

    /// What was given by id, by place.
    pub(crate) fn put<T: Float>(&self, by_id: &[T], by_place: &mut [T]) {
        if self.follow_ids() {
            by_place.copy_from_slice(by_id);
            return;
        }
        for (value, id) in by_place.iter_mut().zip(&self.ids) {
            *value = by_id[*id as usize - self.first_neuron];
        }
    }

    /// What was given by place, by id.
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
