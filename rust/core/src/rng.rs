//! Counter-based random numbers: a pure function of (seed, sample id, timestep, step), as `docs/DETERMINISM.md`
//! defines.

/// Philox4x64-10 (Salmon, Moraes, Dror and Shaw, SC 2011), the generator of `numpy.random.Philox`.
///
/// It is written out here because the engine needs the bare block function: no state to carry, any block in any order.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u64; 2],
    /// Words 1 to 3 of the counter; word 0 is the block.
    place: [u64; 3],
}

const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];

impl Philox {
    /// The generator for one point of a run; `stream` is 0 for selection, 1 for momentum's noise and 2 for dropouts.
    #[inline]
    pub fn new(seed: u64, sample_id: u64, timestep: u64, step: u64, stream: u64) -> Self {
        Self { key: [seed, sample_id], place: [step, timestep, stream] }
    }

    /// The four numbers of a block; blocks are counted from 1, as in NumPy.
    #[inline]
    pub fn block(&self, block: u64) -> [u64; 4] {
        let mut counter = [block, self.place[0], self.place[1], self.place[2]];
        let mut key = self.key;
        for _ in 0..10 {
            let product0 = u128::from(MULTIPLIERS[0]) * u128::from(counter[0]);
            let product1 = u128::from(MULTIPLIERS[1]) * u128::from(counter[2]);
            counter = [
                (product1 >> 64) as u64 ^ counter[1] ^ key[0],
                product1 as u64,
                (product0 >> 64) as u64 ^ counter[3] ^ key[1],
                product0 as u64,
            ];
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        counter
    }

    /// The numbers of all blocks, one after the other.
    #[inline]
    pub fn draws(self) -> impl Iterator<Item = u64> {
        (1..).flat_map(move |block| self.block(block))
    }
}

/// A number in `0..n` from 64 random bits (`n > 0`); its distribution deviates from uniform by less than `n / 2^64`.
#[inline]
pub(crate) fn index_below(random: u64, n: usize) -> usize {
    ((u128::from(random) * n as u128) >> 64) as usize
}

/// A number in [0, 1) with 53 random bits.
#[inline]
pub(crate) fn unit_interval(random: u64) -> f64 {
    (random >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_numpy_s_numbers() {
        // np.random.Philox(key=[7, 11], counter=[0, 3, 5, 1]).random_raw(5)
        let numbers: Vec<u64> = Philox::new(7, 11, 5, 3, 1).draws().take(5).collect();
        assert_eq!(numbers, PHILOX_KEY_7_11_COUNTER_0_3_5_1);
    }

    #[test]
    fn indices_stay_below_n_at_the_extremes() {
        assert_eq!(index_below(u64::MAX, 5), 4);
        assert_eq!(index_below(0, 5), 0);
        assert_eq!(index_below(u64::MAX, 1), 0);
        assert!(unit_interval(u64::MAX) < 1.0);
    }

    const PHILOX_KEY_7_11_COUNTER_0_3_5_1: [u64; 5] = [
        7_031_005_614_396_316_588,
        3_516_518_665_332_462_493,
        14_107_311_677_063_838_421,
        2_046_439_538_731_604_527,
        2_933_135_363_249_324_353,
    ];
}
