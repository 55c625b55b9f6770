//! Updates for the reverse pass: logged, and without firing.

use std::ops::Range;

use super::State;
use crate::float::Float;
use crate::gradient::{Log, Run};
use crate::network::Network;
use crate::places::Places;

impl<T: Float> State<T> {
    /// Adds the step's input to the potentials of touched neurons, and logs how far each is above its threshold, under
    /// its place in `all`, the places of the reverse pass. Does not fire any neuron.
    pub(crate) fn integrate(&mut self, network: &Network<T>, all: &Places, log: &mut Log<T>) {
        self.add_to_currents(network);
        for &population in &self.whole {
            let range = self.part(population as usize);
            T::take_row(&mut self.v[range.clone()], &mut self.input[range.clone()]);
            self.log_whole(network, population, all, log);
        }
        for run in self.touched.runs() {
            let population = network.population_index(self.places.id(run.start));
            if !self.is_whole[population] {
                T::take_row(&mut self.v[run.clone()], &mut self.input[run.clone()]);
                self.log_run(network, population as u32, run.clone(), all, log);
            }
        }
        for k in self.touched.singles() {
            // A population takes up the same range by place as by id, so a place can stand for an id here.
            if !self.is_whole[network.population_index((k + self.first_neuron) as u32)] {
                self.v[k] += std::mem::take(&mut self.input[k]);
                let place = all.of(self.places.id(k) as usize);
                log.single.push((place as u32, self.v[k] - self.threshold[k]));
            }
        }
        self.forget_step();
    }

    fn log_whole(&self, network: &Network<T>, population: u32, all: &Places, log: &mut Log<T>) {
        let range = self.part(population as usize);
        let (first, len) = (range.start + self.first_neuron, range.len());
        let lies_alike = self.lies_alike(network, population, all);
        if all.plane(population as usize).is_some() && !lies_alike {
            self.log_run(network, population, range, all, log);
            return;
        }
        log.whole.push(Run { population, start: log.x.len(), first, len });
        if lies_alike || self.plane(population as usize).is_none() {
            log.x.extend(self.above_threshold(range));
        } else {
            let places = (first..first + len).map(|id| self.places.of(id));
            log.x.extend(places.map(|k| self.v[k] - self.threshold[k]));
        }
    }

    fn log_run(
        &self,
        network: &Network<T>,
        population: u32,
        run: Range<usize>,
        all: &Places,
        log: &mut Log<T>,
    ) {
        let x = self.above_threshold(run.clone());
        if self.lies_alike(network, population, all) {
            log.add(population, run.zip(x));
        } else {
            log.add(population, run.map(|k| all.of(self.places.id(k) as usize)).zip(x));
        }
    }

    /// Whether the population lies in this state as it does in `all`.
    fn lies_alike(&self, network: &Network<T>, population: u32, all: &Places) -> bool {
        let population = population as usize;
        self.v.len() == network.n_neurons() && self.plane(population) == all.plane(population)
    }

    fn above_threshold(&self, places: Range<usize>) -> impl Iterator<Item = T> {
        let (v, threshold) = (&self.v[places.clone()], &self.threshold[places]);
        v.iter().zip(threshold).map(|(&v, &threshold)| v - threshold)
    }
}
