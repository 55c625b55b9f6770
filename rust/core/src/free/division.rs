//! Divisions of a network into shards, and how a network remembers them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::partition::Partition;
use super::reach::Reach;
use crate::error::Error;
use crate::float::Float;
use crate::network::Network;

/// A partition, and where spikes go in it.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) partition: Partition,
    pub(crate) reach: Reach,
}

impl Division {
    fn new<T: Float>(network: &Network<T>, partition: Partition) -> Arc<Self> {
        let reach = partition.reach(network);
        Arc::new(Self { partition, reach })
    }
}

/// The divisions that a network was last run with: kept because making one means looking at every synapse.
#[derive(Debug, Default)]
pub(crate) struct Divisions(Mutex<VecDeque<Known>>);

/// The number of shards that was asked for (0 if a record asked for the division), and the division, which has fewer
/// shards in a small network.
type Known = (usize, Arc<Division>);

impl Divisions {
    const MOST: usize = 4;

    /// The balanced division into this many shards.
    pub(crate) fn of<T: Float>(&self, network: &Network<T>, n_shards: usize) -> Arc<Division> {
        let known = self.find(|(n, _)| *n == n_shards);
        known.unwrap_or_else(|| {
            let division = Division::new(network, Partition::balanced(network, n_shards));
            self.remember((n_shards, division))
        })
    }

    /// The division whose shards end at these neurons.
    pub(crate) fn with_ends<T: Float>(
        &self,
        network: &Network<T>,
        ends: &[usize],
    ) -> Result<Arc<Division>, Error> {
        if let Some(known) = self.find(|(_, division)| division.partition.ends == ends) {
            return Ok(known);
        }
        let partition = Partition::from_ends(network, ends)?;
        Ok(self.remember((0, Division::new(network, partition))))
    }

    fn find(&self, is_wanted: impl Fn(&Known) -> bool) -> Option<Arc<Division>> {
        self.lock().iter().find(|known| is_wanted(known)).map(|(_, division)| Arc::clone(division))
    }

    fn remember(&self, new: Known) -> Arc<Division> {
        let division = Arc::clone(&new.1);
        let mut known = self.lock();
        known.truncate(Self::MOST - 1);
        known.push_front(new);
        division
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
