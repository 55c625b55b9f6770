//! How events arrive at a state's neurons: they add to the step's input, and their neurons are touched.

use super::State;
use crate::float::Float;
use crate::places::Places;
use crate::projection::Target;

impl<T: Float> State<T> {
    /// Delivers spikes through whole rows of weights to a whole population.
    #[inline]
    pub(crate) fn whole_rows(&mut self, target: Target, width: usize, rows: &[T], spikes: &[(u32, T)]) {
        if spikes.is_empty() || target.len() == 0 {
            return;
        }
        let part = self.part(target.population);
        if self.plane(target.population).is_none() {
            T::add_rows(&mut self.input[part], rows, (width, target.first), spikes);
        } else {
            for &(row, m) in spikes {
                let row = &rows[row as usize * width..][..width];
                for (sum, id) in self.input[part.clone()].iter_mut().zip(self.places.ids(part.clone())) {
                    *sum += row[id - target.start] * m;
                }
            }
        }
        self.operations += (target.len() * spikes.len()) as u64;
        self.touch_whole(target.population, spikes.len() as u32);
    }

    /// Delivers events (neuron, value) to individual neurons.
    #[inline]
    pub(crate) fn events(&mut self, events: impl Iterator<Item = (usize, T)>) {
        if self.places.follow_ids() {
            let first = self.first_neuron;
            self.events_at(events, |_, id| id - first);
        } else {
            self.events_at(events, Places::of);
        }
    }

    #[inline]
    fn events_at(
        &mut self,
        events: impl Iterator<Item = (usize, T)>,
        place: impl Fn(&Places, usize) -> usize,
    ) {
        let mut n_events = 0;
        self.touched.extend(events.map(|(id, value)| {
            let k = place(&self.places, id);
            self.input[k] += value;
            self.events[k] += 1;
            n_events += 1;
            k
        }));
        self.operations += n_events;
    }

    /// How many channels of a population lie together at a position in this state, if they do for channels of `plane`
    /// neurons.
    #[inline]
    pub(crate) fn channels(&self, population: usize, plane: usize) -> Option<usize> {
        (self.plane(population) == Some(plane)).then(|| self.part(population).len() / plane)
    }

    /// Delivers one event, a weight times `m`, to each of a run of neighbours in a population. They start at the
    /// `place`-th of the population's places in this state.
    #[inline]
    pub(crate) fn run(&mut self, population: usize, place: usize, weights: &[T], m: T) {
        let start = self.part(population).start;
        let (first, n) = (start + place, weights.len());
        for (sum, weight) in self.input[first..first + n].iter_mut().zip(weights) {
            *sum += *weight * m;
        }
        self.events[first..first + n].iter_mut().for_each(|events| *events += 1);
        self.operations += n as u64;
        self.touched.add_run(first..first + n, first != start);
    }

    /// Delivers a population's biases: events that do not count as synaptic operations. `whole` says that none of them
    /// is 0.
    pub(crate) fn biases(&mut self, target: Target, values: &[T], whole: bool) {
        if target.len() == 0 {
            return;
        }
        if whole {
            let part = self.part(target.population);
            if self.plane(target.population).is_none() {
                T::add_row(&mut self.input[part], &values[target.first..target.end]);
            } else {
                for (sum, id) in self.input[part.clone()].iter_mut().zip(self.places.ids(part)) {
                    *sum += values[id - target.start];
                }
            }
            self.touch_whole(target.population, 1);
            return;
        }
        let (first, values) = (target.start + target.first, &values[target.first..target.end]);
        let operations = self.operations;
        let biases = values.iter().enumerate().filter(|(_, value)| **value != T::ZERO);
        self.events(biases.map(|(k, &value)| (first + k, value)));
        self.operations = operations;
    }

    #[inline]
    pub(super) fn touch_whole(&mut self, population: usize, events: u32) {
        self.whole_events[population] += events;
        if !self.is_whole[population] {
            self.is_whole[population] = true;
            self.whole.push(population as u32);
        }
    }
}
