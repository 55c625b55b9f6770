//! Finding the input spikes of a dense row, compiled for several instruction sets as the kernels are.

use multiversion::multiversion;

use crate::kernels::bits_of;

/// A number that a dense input may hold.
pub(crate) trait Scan: Copy {
    /// Writes the index of every entry that is not zero to the start of `found`, in order, and returns how many there
    /// are. `found` is a buffer: it grows where it is too short, and what follows the indices means nothing.
    fn nonzero(row: &[Self], found: &mut Vec<u32>) -> usize;
    /// Converts exactly.
    fn to_f64(self) -> f64;
}

/// How many entries are compared with zero at once: as many as a word has bits.
const LANES: usize = 64;
/// How many indices are written at once, whether or not that many are left: how many there are in a block cannot be
/// predicted, so a loop that ends after the last of them costs more than the few that are written for nothing.
const AT_ONCE: usize = 8;

macro_rules! scan {
    ($type:ident, $nonzero:ident) => {
        #[multiversion(targets(
            "x86_64+avx512f+avx512vl+avx512bw+avx512dq+bmi1+popcnt",
            "x86_64+avx2+bmi1+popcnt"
        ))]
        fn $nonzero(row: &[$type], found: &mut [u32]) -> usize {
            let zero = $type::default();
            let (blocks, rest) = row.as_chunks::<LANES>();
            let (mut start, mut n) = (0, 0);
            for block in blocks {
                let mut bits = bits_of(&block.map(|value| u8::from(value != zero)));
                let mut at = n;
                n += bits.count_ones() as usize;
                while at < n {
                    for index in &mut found[at..at + AT_ONCE] {
                        *index = start + bits.trailing_zeros();
                        bits &= bits.wrapping_sub(1);
                    }
                    at += AT_ONCE;
                }
                start += LANES as u32;
            }
            for (k, value) in (start..).zip(rest) {
                found[n] = k;
                n += usize::from(*value != zero);
            }
            n
        }

        impl Scan for $type {
            #[inline]
            fn nonzero(row: &[Self], found: &mut Vec<u32>) -> usize {
                // What is written at once may reach beyond the last index.
                let most = row.len() + AT_ONCE;
                if found.len() < most {
                    found.resize(most, 0);
                }
                $nonzero(row, found)
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self.into()
            }
        }
    };
}

scan!(u8, nonzero_u8);
scan!(f32, nonzero_f32);
scan!(f64, nonzero_f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonzero_finds_every_entry_and_takes_negative_zero_for_zero() {
        let mut found = vec![9; 3];
        for (n, period) in [(0, 1), (1, 1), (63, 2), (64, 1), (65, 1), (200, 7), (400, 64), (500, 1000)] {
            let row: Vec<f32> = (0..n).map(|k| if k % period == 0 { k as f32 - 0.5 } else { -0.0 }).collect();
            let n_found = f32::nonzero(&row, &mut found);
            let expected: Vec<u32> = (0..n).step_by(period as usize).collect();
            assert_eq!(found[..n_found], expected, "{n} {period}");
        }
    }
}
