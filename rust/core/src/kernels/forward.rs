//! The loops of a run: what spikes add to neurons, and which neurons fire.

use multiversion::multiversion;

use super::for_each_set;

/// The operations of a run on whole rows and populations of one number type.
pub trait ForwardKernels: Sized {
    /// `sums[k] += rows[r * width + first + k] * m` for each `(r, m)` of `spikes`, in their order; `place` is
    /// `(width, first)`.
    fn add_rows(sums: &mut [Self], rows: &[Self], place: (usize, usize), spikes: &[(u32, Self)]);
    /// `sums[k] += row[k]`.
    fn add_row(sums: &mut [Self], row: &[Self]);
    /// `sums[k] += row[k]; row[k] = 0`.
    fn take_row(sums: &mut [Self], row: &mut [Self]);
    /// `v[k] += input[k]; input[k] = 0`; then appends `first + k` to `above`, in ascending order, wherever
    /// `v[k] > threshold[k]`.
    fn integrate(v: &mut [Self], input: &mut [Self], threshold: &[Self], first: u32, above: &mut Vec<u32>);
    /// `v[k] *= beta[k]`.
    fn decay(v: &mut [Self], beta: &[Self]);
    /// Whether any entry is zero.
    fn any_zero(row: &[Self]) -> bool;
    /// Whether every entry is finite.
    fn all_finite(row: &[Self]) -> bool;
}

/// How many neurons' sums stay in registers while the rows of a group stream past.
const BLOCK: usize = 64;
/// How many neurons are compared with their thresholds at once, as long as that many are left. The search for those
/// above ends unpredictably once per block, so fewer and larger blocks cost less.
const MOST_LANES: usize = 64;
/// How many of the rest are.
const LANES: usize = 32;

macro_rules! kernels {
    ($type:ident, $module:ident) => {
        mod $module {
            use super::*;

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn add_rows(
                sums: &mut [$type],
                rows: &[$type],
                (width, first): (usize, usize),
                spikes: &[(u32, $type)],
            ) {
                let n = sums.len();
                let blocks = n / BLOCK;
                for block in 0..blocks {
                    let start = block * BLOCK;
                    let target: &mut [$type; BLOCK] =
                        (&mut sums[start..start + BLOCK]).try_into().expect("a whole block");
                    let mut sum = *target;
                    for &(row, m) in spikes {
                        let from = row as usize * width + first + start;
                        let weights: &[$type; BLOCK] =
                            rows[from..from + BLOCK].try_into().expect("a whole block");
                        for k in 0..BLOCK {
                            sum[k] += weights[k] * m;
                        }
                    }
                    *target = sum;
                }
                let start = blocks * BLOCK;
                let rest = &mut sums[start..];
                if !rest.is_empty() {
                    for &(row, m) in spikes {
                        let from = row as usize * width + first + start;
                        for (sum, &weight) in rest.iter_mut().zip(&rows[from..from + n - start]) {
                            *sum += weight * m;
                        }
                    }
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn add_row(sums: &mut [$type], row: &[$type]) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += value;
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn take_row(sums: &mut [$type], row: &mut [$type]) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += *value;
                    *value = 0.0;
                }
            }

            #[inline(always)] // into `integrate`, so that it is compiled for its instruction set
            #[allow(clippy::inline_always)]
            fn integrate_block<const N: usize>(
                v: &mut [$type; N],
                input: &mut [$type; N],
                threshold: &[$type; N],
                first: u32,
                above: &mut Vec<u32>,
            ) {
                // One byte per lane, of which `for_each_set` gathers eight at a time: this compiles to vector code.
                let mut is_above = [0_u8; N];
                for k in 0..N {
                    v[k] += input[k];
                    input[k] = 0.0;
                    is_above[k] = u8::from(v[k] > threshold[k]);
                }
                for_each_set(&is_above, |k| above.push(first + k as u32));
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn integrate(
                v: &mut [$type],
                input: &mut [$type],
                threshold: &[$type],
                first: u32,
                above: &mut Vec<u32>,
            ) {
                let n = v.len();
                let (v, v_rest) = v.as_chunks_mut::<MOST_LANES>();
                let (input, input_rest) = input[..n].as_chunks_mut::<MOST_LANES>();
                let (threshold, threshold_rest) = threshold[..n].as_chunks::<MOST_LANES>();
                let mut start = first;
                for ((v, input), threshold) in v.iter_mut().zip(input).zip(threshold) {
                    integrate_block(v, input, threshold, start, above);
                    start += MOST_LANES as u32;
                }
                let (v, v_rest) = v_rest.as_chunks_mut::<LANES>();
                let (input, input_rest) = input_rest.as_chunks_mut::<LANES>();
                let (threshold, threshold_rest) = threshold_rest.as_chunks::<LANES>();
                for ((v, input), threshold) in v.iter_mut().zip(input).zip(threshold) {
                    integrate_block(v, input, threshold, start, above);
                    start += LANES as u32;
                }
                for (k, (v, input)) in v_rest.iter_mut().zip(input_rest).enumerate() {
                    *v += *input;
                    *input = 0.0;
                    if *v > threshold_rest[k] {
                        above.push(start + k as u32);
                    }
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn decay(v: &mut [$type], beta: &[$type]) {
                for (v, &beta) in v.iter_mut().zip(beta) {
                    *v *= beta;
                }
            }

            // This and `all_finite` look at all entries, because a loop that ends early is not vectorised.
            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn any_zero(row: &[$type]) -> bool {
                row.iter().fold(false, |any, &value| any | (value == 0.0))
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn all_finite(row: &[$type]) -> bool {
                row.iter().fold(true, |all, &value| all & value.is_finite())
            }
        }

        impl ForwardKernels for $type {
            #[inline]
            fn add_rows(sums: &mut [Self], rows: &[Self], place: (usize, usize), spikes: &[(u32, Self)]) {
                $module::add_rows(sums, rows, place, spikes);
            }
            #[inline]
            fn add_row(sums: &mut [Self], row: &[Self]) {
                $module::add_row(sums, row);
            }
            #[inline]
            fn take_row(sums: &mut [Self], row: &mut [Self]) {
                $module::take_row(sums, row);
            }
            #[inline]
            fn integrate(
                v: &mut [Self],
                input: &mut [Self],
                threshold: &[Self],
                first: u32,
                above: &mut Vec<u32>,
            ) {
                $module::integrate(v, input, threshold, first, above);
            }
            #[inline]
            fn decay(v: &mut [Self], beta: &[Self]) {
                $module::decay(v, beta);
            }
            #[inline]
            fn any_zero(row: &[Self]) -> bool {
                $module::any_zero(row)
            }
            #[inline]
            fn all_finite(row: &[Self]) -> bool {
                $module::all_finite(row)
            }
        }
    };
}

kernels!(f32, single);
kernels!(f64, double);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_in_order_whatever_the_width() {
        for width in [1, 7, 63, 64, 65, 200] {
            let rows: Vec<f32> = (0..3 * width).map(|i| (i as f32 * 0.37).sin()).collect();
            let spikes = [(2, 1.0), (0, -0.5), (2, 3.25)];
            for first in [0, width / 3] {
                let mut sums = vec![0.0; width - first];
                f32::add_rows(&mut sums, &rows, (width, first), &spikes);
                for (k, sum) in sums.iter().enumerate() {
                    let weight = |r: u32| rows[r as usize * width + first + k];
                    let expected = spikes.iter().fold(0.0_f32, |sum, &(r, m)| sum + weight(r) * m);
                    assert_eq!(sum.to_bits(), expected.to_bits());
                }
            }
        }
    }

    #[test]
    fn integrate_finds_every_neuron_above_its_threshold() {
        for n in [1, 31, 32, 33, 64, 65, 97, 200] {
            let mut v: Vec<f64> = (0..n).map(|k| f64::from(k % 3)).collect();
            let mut input = vec![0.5; n as usize];
            let threshold = vec![1.5; n as usize];
            let mut above = Vec::new();
            f64::integrate(&mut v, &mut input, &threshold, 10, &mut above);
            let expected: Vec<u32> = (0..n as u32).filter(|k| k % 3 == 2).map(|k| k + 10).collect();
            assert_eq!(above, expected);
            assert!(input.iter().all(|&i| i == 0.0));
        }
    }
}
