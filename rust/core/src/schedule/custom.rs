//! What a callable picks: for research and property tests.

use std::sync::Arc;

use super::{Moment, Pending, Schedule};
use crate::error::Error;
use crate::float::Float;

/// A pending spike as a callable sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PendingSpike {
    /// The neuron's id, or -1 - channel for an input spike.
    pub neuron: i64,
    /// `v'` at which it fired; infinity for an input spike.
    pub v: f64,
    /// Its arrival number.
    pub arrival: i64,
}

/// What a callable's random numbers may depend on: (seed, sample id, timestep, step).
pub type Key = [u64; 4];

/// Picks the given number of different indices into the pending spikes, which are in arrival order.
pub type CustomPick = Arc<
    dyn Fn(&[PendingSpike], usize, Key) -> Result<Vec<i64>, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync,
>;

/// The error with which a [`CustomPick`] ends the whole run at once.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Ends(pub Box<dyn std::error::Error + Send + Sync>);

/// Selects what the callable picks.
pub(crate) struct Custom {
    group_size: usize,
    seed: u64,
    n_neurons: usize,
    pick: CustomPick,
    /// In arrival order.
    pending: Vec<PendingSpike>,
}

impl Custom {
    pub(crate) fn new(group_size: usize, seed: u64, n_neurons: usize, pick: CustomPick) -> Self {
        Self { group_size, seed, n_neurons, pick, pending: Vec::new() }
    }
}

impl<T: Float> Schedule<T> for Custom {
    fn fired(&mut self, _: Moment, first_arrival: u32, neurons: &[u32], v: &[T]) -> Result<(), Error> {
        let spikes = (first_arrival..).zip(neurons).zip(v);
        self.pending.extend(spikes.map(|((arrival, &neuron), v)| PendingSpike {
            neuron: neuron.into(),
            v: v.to_f64(),
            arrival: arrival.into(),
        }));
        Ok(())
    }

    fn inputs_joined(&mut self, _: Moment, first_arrival: u32, sources: &[u32]) -> Result<(), Error> {
        let n_neurons = self.n_neurons as i64;
        let spikes = (first_arrival..).zip(sources);
        self.pending.extend(spikes.map(|(arrival, &source)| PendingSpike {
            neuron: n_neurons - 1 - i64::from(source),
            v: f64::INFINITY,
            arrival: arrival.into(),
        }));
        Ok(())
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn select(&mut self, moment: Moment, group: &mut Vec<Pending>) -> Result<(), Error> {
        let n = self.group_size.min(self.pending.len());
        let key = [self.seed, moment.sample_id, moment.timestep.into(), moment.step.into()];
        let mut picked =
            (self.pick)(&self.pending, n, key).map_err(|cause| match cause.downcast::<Ends>() {
                Ok(ends) => Error::Ends(ends.0),
                Err(cause) => Error::Callable(cause),
            })?;
        picked.sort_unstable();
        if picked.len() != n {
            return Err(Error::schedule(
                "pick",
                format!("{} indices", picked.len()),
                format!("exactly {n} different indices"),
            ));
        }
        let twice = picked.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]));
        if let Some(index) = twice {
            return Err(Error::schedule(
                "pick",
                format!("index {index} twice"),
                format!("exactly {n} different indices"),
            ));
        }
        if let Some(index) = picked.iter().find(|index| **index < 0 || **index >= self.pending.len() as i64) {
            return Err(Error::schedule(
                "pick",
                format!("index {index}"),
                format!("indices from 0 to {}", self.pending.len() - 1),
            ));
        }
        for &index in &picked {
            let PendingSpike { neuron, arrival, .. } = self.pending[index as usize];
            let source = if neuron < 0 { self.n_neurons as i64 - 1 - neuron } else { neuron };
            group.push(Pending::new(arrival as u32, source as u32));
        }
        let mut next = picked.iter().peekable();
        let mut index = -1;
        self.pending.retain(|_| {
            index += 1;
            next.next_if(|picked| **picked == index).is_none()
        });
        Ok(())
    }

    fn clear(&mut self) {
        self.pending.clear();
    }
}
