//! What becomes of a spike in training (`docs/semantics.md`, "Dropouts"): its neuron may skip refractoriness, and the
//! spike may be lost.

use crate::error::Error;
use crate::rng::{Philox, unit_interval};

/// The neuron did not become refractory.
pub(crate) const SKIPPED: u8 = 1;
/// The spike delivers nothing when it is emitted.
pub(crate) const LOST: u8 = 2;

/// Probabilities of the dropouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability that a neuron that fires does not become refractory.
    pub refractory: f64,
    /// Probability that a spike is lost.
    pub spike: f64,
    /// Keys the random numbers.
    pub seed: u64,
}

impl Dropout {
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, p) in [("refractory_dropout", self.refractory), ("spike_dropout", self.spike)] {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::input(name, p, "a probability from 0 to 1"));
            }
        }
        Ok(())
    }
}

/// The fates of one sample's spikes. Unused, and free of cost, unless the run has dropouts or replays a run that had
/// them.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// One for each neuron that fired in the current step: `SKIPPED`, `LOST`, both or neither.
    pub(crate) flags: Vec<u8>,
    /// Arrival numbers of the sample's lost spikes, ascending.
    lost: Vec<u32>,
    /// How often each neuron has fired in the timestep.
    times_fired: Vec<u32>,
}

impl Fates {
    pub(crate) fn begin_sample(&mut self) {
        self.flags.clear();
        self.lost.clear();
    }

    pub(crate) fn begin_timestep(&mut self, n_neurons: usize) {
        self.times_fired.clear();
        self.times_fired.resize(n_neurons, 0);
    }

    /// Draws the fates of the neurons that fired. The random numbers are keyed by the spike itself (its neuron, and
    /// which of that neuron's spikes in the timestep it is), not by the step in which it fired, so they are defined for
    /// every schedule, concurrent ones included.
    pub(crate) fn draw(
        &mut self,
        dropout: &Dropout,
        sample_id: u64,
        timestep: u32,
        neurons: &[u32],
        becomes_refractory: impl Fn(u32) -> bool,
    ) {
        self.flags.clear();
        for &neuron in neurons {
            let times = &mut self.times_fired[neuron as usize];
            *times += 1;
            let random = Philox::new(dropout.seed, sample_id, timestep.into(), neuron.into(), 2);
            let [first, second, ..] = random.block(u64::from(*times));
            let skips = unit_interval(first) < dropout.refractory && becomes_refractory(neuron);
            let skipped = u8::from(skips) * SKIPPED;
            let lost = u8::from(unit_interval(second) < dropout.spike) * LOST;
            self.flags.push(skipped | lost);
        }
    }

    /// Takes the fates from a record.
    pub(crate) fn follow(&mut self, recorded: &[u8]) {
        self.flags.clear();
        self.flags.extend_from_slice(recorded);
    }

    /// Notes which of the spikes in `flags`, numbered from `first_arrival` on, are lost.
    pub(crate) fn note_lost(&mut self, first_arrival: u32) {
        let lost = (first_arrival..).zip(&self.flags).filter(|(_, flags)| **flags & LOST != 0);
        self.lost.extend(lost.map(|(arrival, _)| arrival));
    }

    pub(crate) fn any_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(crate) fn is_lost(&self, arrival: u32) -> bool {
        self.lost.binary_search(&arrival).is_ok()
    }
}
