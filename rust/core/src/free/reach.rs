//! Which shards the spikes of each neuron and input channel go to.

/// For each neuron, then for each input channel: its shards, as bits. Kept as small as possible, because it is looked
/// up for every spike, in no particular order.
#[derive(Debug)]
pub(crate) enum Reach {
    /// There is one shard.
    One,
    /// There are up to eight shards.
    Few(Box<[u8]>),
    Many(Box<[u64]>),
}

impl Reach {
    pub(crate) fn new(shards: Vec<u64>, n_shards: usize) -> Self {
        match n_shards {
            1 => Self::One,
            2..=8 => Self::Few(shards.into_iter().map(|bits| bits as u8).collect()),
            _ => Self::Many(shards.into()),
        }
    }

    #[inline]
    pub(crate) fn shards(&self, source: u32) -> u64 {
        match self {
            Self::One => 1,
            Self::Few(shards) => shards[source as usize].into(),
            Self::Many(shards) => shards[source as usize],
        }
    }

    #[inline]
    pub(crate) fn n_shards(&self, source: u32) -> u64 {
        self.shards(source).count_ones().into()
    }
}
