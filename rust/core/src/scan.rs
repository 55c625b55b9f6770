//! Finding the input spikes of a dense row, compiled for several instruction sets as the kernels are.

use multiversion::multiversion;

use crate::kernels::{LANES, for_each_set};

/// A number that a dense input may hold.
pub(crate) trait Scan: Copy {
    /// Appends the index of every entry that is not zero.
    fn nonzero(row: &[Self], found: &mut Vec<u32>);
    /// Converts exactly.
    fn to_f64(self) -> f64;
}

macro_rules! scan {
    ($type:ident, $nonzero:ident) => {
        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $nonzero(row: &[$type], found: &mut Vec<u32>) {
            let zero = $type::default();
            let (blocks, rest) = row.as_chunks::<LANES>();
            let mut start = 0;
            for block in blocks {
                let is_nonzero = block.map(|value| u8::from(value != zero));
                for_each_set(&is_nonzero, |k| found.push(start + k as u32));
                start += LANES as u32;
            }
            found.extend((start..).zip(rest).filter(|(_, value)| **value != zero).map(|(k, _)| k));
        }

        impl Scan for $type {
            #[inline]
            fn nonzero(row: &[Self], found: &mut Vec<u32>) {
                $nonzero(row, found);
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
        let mut row = vec![0.0_f32; 70];
        (row[3], row[31], row[32], row[69], row[40]) = (1.0, 2.0, -3.0, 4.0, -0.0);
        let mut found = Vec::new();
        f32::nonzero(&row, &mut found);
        assert_eq!(found, [3, 31, 32, 69]);
    }
}
