//! Synaptic currents: they arrive at their neurons at the start of a timestep, and take up all that arrives later
//! (`docs/semantics.md`, "Synaptic currents").

use super::State;
use crate::float::Float;
use crate::network::Network;

impl<T: Float> State<T> {
    /// Delivers the currents of a population to its neurons: events that do not count as synaptic operations. They come
    /// back with whatever else arrives in the step, through `add_to_currents`.
    pub(crate) fn currents(&mut self, population: usize) {
        let part = self.part(population);
        if part.is_empty() {
            return;
        }
        if !T::any_zero(&self.current[part.clone()]) {
            T::take_row(&mut self.input[part.clone()], &mut self.current[part]);
            self.touch_whole(population, 1);
            return;
        }
        let (current, input, events) = (&mut self.current, &mut self.input, &mut self.events);
        self.touched.extend(part.filter(|&k| {
            let value = std::mem::take(&mut current[k]);
            let arrives = value != T::ZERO;
            if arrives {
                input[k] += value;
                events[k] += 1;
            }
            arrives
        }));
    }

    /// Adds what has arrived in the step to the currents of touched neurons, be they refractory or not.
    #[inline]
    pub(super) fn add_to_currents(&mut self, network: &Network<T>) {
        if !self.current.is_empty() {
            self.add_input_to_currents(network);
        }
    }

    #[inline(never)] // so that networks without currents have little of this in their way
    fn add_input_to_currents(&mut self, network: &Network<T>) {
        for &population in &self.whole {
            if has_current(network, population as usize) {
                let part = self.part(population as usize);
                T::add_row(&mut self.current[part.clone()], &self.input[part]);
            }
        }
        // A population takes up the same range by place as by id, so a place can stand for an id here.
        let population = |k: usize| network.population_index((k + self.first_neuron) as u32);
        let adds = |k: usize| has_current(network, population(k)) && !self.is_whole[population(k)];
        for run in self.touched.runs().iter().filter(|run| adds(run.start)) {
            T::add_row(&mut self.current[run.clone()], &self.input[run.clone()]);
        }
        for k in self.touched.singles().filter(|k| adds(*k)) {
            self.current[k] += self.input[k];
        }
    }
}

fn has_current<T: Float>(network: &Network<T>, population: usize) -> bool {
    network.populations()[population].lif.tau_syn.is_some()
}
