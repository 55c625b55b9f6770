//! Populations whose spikes leave through one projection of whole rows, as in a chain of dense layers: where their
//! spikes went is looked up once, and not for each spike.

use crate::aligned::Aligned;
use crate::float::Float;
use crate::network::{FanOut, Network, Population};

/// The one projection that leaves a population.
#[derive(Debug)]
pub(super) struct Direct<'a, T> {
    connection: usize,
    /// Id of the population's first neuron.
    first: u32,
    rows: &'a [T],
    n_out: usize,
    /// Ids of the targets.
    targets: std::ops::Range<usize>,
}

impl<'a, T: Float> Direct<'a, T> {
    /// By population; `None` if its spikes leave in other ways.
    pub(super) fn all(network: &'a Network<T>) -> Vec<Option<Self>> {
        let direct = |(population, fan_out): (&Population, &FanOut)| {
            let &[connection] = fan_out.connections.as_slice() else { return None };
            let to = &network.connections[connection];
            Some(Self {
                connection,
                first: population.start as u32,
                rows: to.projection.whole_rows()?,
                n_out: to.target.len(),
                targets: to.target.start..to.target.start + to.target.len(),
            })
        };
        network.populations().iter().zip(&network.from_population).map(direct).collect()
    }

    /// Like [`crate::projection::Projection::adjoint`], for a neuron of the population; `b` covers all neurons and
    /// `gradients` all projections.
    #[inline]
    pub(super) fn adjoint(&self, neuron: u32, b: &[T], gradients: &mut [Aligned<T>]) -> T {
        let start = (neuron - self.first) as usize * self.n_out;
        let row = start..start + self.n_out;
        let gradient = &mut gradients[self.connection][row.clone()];
        T::adjoint_row(gradient, &self.rows[row], &b[self.targets.clone()])
    }
}
