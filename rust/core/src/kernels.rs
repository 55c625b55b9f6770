//! The loops over whole rows and populations, compiled for several instruction sets and chosen at run time.
//!
//! Each works on different neurons side by side and never reorders one neuron's sum, so the instruction set cannot change a bit. Nothing here is fused into
//! multiply-add: Rust never contracts floating-point expressions.

use multiversion::multiversion;

/// The vector kernels of one number type.
pub trait Kernels: Sized {
    /// `sums[k] += rows[r * width + first + k] * m` for each `(r, m)` of `spikes`, in their order.
    fn add_rows(sums: &mut [Self], rows: &[Self], place: (usize, usize), spikes: &[(u32, Self)]);
    /// `sums[k] += row[k]`.
    fn add_row(sums: &mut [Self], row: &[Self]);
    /// `sums[k] += row[k]; row[k] = 0`.
    fn take_row(sums: &mut [Self], row: &mut [Self]);
    /// `v[k] += input[k]; input[k] = 0`; appends `first + k` to `above` where then `v[k] > threshold[k]`, in ascending order.
    fn integrate(v: &mut [Self], input: &mut [Self], threshold: &[Self], first: u32, above: &mut Vec<u32>);
    /// `v[k] *= beta[k]`.
    fn decay(v: &mut [Self], beta: &[Self]);
    /// `rows[r * width + first + k] += b[k] * m` for each `(r, m)` of `spikes`.
    fn scatter(rows: &mut [Self], place: (usize, usize), b: &[Self], spikes: &[(u32, Self)]);
    /// `gradient[k] += b[k]`; gives the sum of `row[k] * b[k]` over `SUM_LANES` fixed lanes.
    fn adjoint_row(gradient: &mut [Self], row: &[Self], b: &[Self]) -> Self;
    /// The sum of `row[k] * b[k]` over `SUM_LANES` fixed lanes.
    fn dot(row: &[Self], b: &[Self]) -> Self;
    /// `sums[r] += dot(row, b)` for each row `r`, its entries from `first` on.
    fn add_dots(sums: &mut [Self], rows: &[Self], place: (usize, usize), b: &[Self]);
    /// `height / (1 + (width * x)^2)`.
    fn atan_derivatives(x: &[Self], derivative: &mut [Self], height: Self, width: Self);
    /// `1 / (1 + slope * |x|)^2`.
    fn fast_sigmoid_derivatives(x: &[Self], derivative: &mut [Self], slope: Self);
    /// Where `x` is not minus infinity `a[k] += s[k] * e[k]; b[k] = a[k]`, else `b[k] = 0`. A product of 0 is not added: `a` stays as it is where nobody looks at the update, -0 too.
    fn accumulate(a: &mut [Self], b: &mut [Self], x: &[Self], s: &[Self], e: &[Self]);
    /// Whether an entry is zero.
    fn any_zero(row: &[Self]) -> bool;
    /// Whether no entry is infinite or no number.
    fn all_finite(row: &[Self]) -> bool;
}

/// Neurons whose sums stay in registers while the rows of a group stream past.
const BLOCK: usize = 64;
/// Partial sums of a dot product: term `k` goes to sum `k % SUM_LANES`, whatever the vectors' width.
const SUM_LANES: usize = 16;
/// Neurons compared with their thresholds, or entries with zero, at once.
pub(crate) const LANES: usize = 32;
/// The same where there are as many: each look for those that are set ends unpredictably.
const MOST_LANES: usize = 64;

/// Calls `visit` with the index of every byte that is 1 (the others are 0), in order.
#[inline(always)] // into each kernel, to be compiled for its instruction set
#[allow(clippy::inline_always)]
pub(crate) fn for_each_set<const N: usize>(flags: &[u8; N], mut visit: impl FnMut(usize)) {
    const { assert!(N <= 64 && N.is_multiple_of(8)) };
    // One bit a lane, so that a single loop, and not one for every eight lanes, ends unpredictably.
    let mut bits = 0_u64;
    for (word, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // The product moves the lowest bit of byte k to bit 56 + k.
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= gathered << (8 * word);
    }
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// The terms of a dot product of fewer than `SUM_LANES`, and 0 in the lanes that have none: a sum that began as 0 is never -0, so that adding 0 changes no bit of it.
///
/// Four by four, each in a place known beforehand: a loop over as many as there are would keep the sums in memory.
macro_rules! last_terms {
    ($type:ident, $row:ident, $b:ident) => {{
        let (rows, row_rest) = $row.as_chunks::<4>();
        let (bs, b_rest) = $b.as_chunks::<4>();
        let mut terms = [[0.0 as $type; 4]; SUM_LANES / 4];
        for (terms, (row, b)) in terms.iter_mut().zip(rows.iter().zip(bs)) {
            for k in 0..4 {
                terms[k] = row[k] * b[k];
            }
        }
        let mut last = [0.0; 4];
        for k in 0..3 {
            if k < b_rest.len() && k < row_rest.len() {
                last[k] = row_rest[k] * b_rest[k];
            }
        }
        for k in 0..SUM_LANES / 4 {
            if k == bs.len() {
                terms[k] = last;
            }
        }
        let mut lanes = [0.0; SUM_LANES];
        for k in 0..SUM_LANES {
            lanes[k] = terms[k / 4][k % 4];
        }
        lanes
    }};
}

/// Adds up the lanes of a dot product, the upper half onto the lower until one is left.
macro_rules! in_halves {
    ($sums:ident) => {{
        let mut width = SUM_LANES / 2;
        while width > 0 {
            for k in 0..width {
                $sums[k] += $sums[k + width];
            }
            width /= 2;
        }
        $sums[0]
    }};
}

macro_rules! kernels {
    (
        $type:ident,
        $add_rows:ident,
        $add_row:ident,
        $take_row:ident,
        $integrate:ident,
        $integrate_block:ident,
        $decay:ident,
        $scatter:ident,
        $adjoint_row:ident,
        $dot:ident,
        $add_dots:ident,
        $atan:ident,
        $fast_sigmoid:ident,
        $accumulate:ident,
        $any_zero:ident,
        $all_finite:ident
    ) => {
        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $add_rows(
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
        fn $add_row(sums: &mut [$type], row: &[$type]) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $take_row(sums: &mut [$type], row: &mut [$type]) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += *value;
                *value = 0.0;
            }
        }

        #[inline(always)] // into the one below
        #[allow(clippy::inline_always)]
        fn $integrate_block<const N: usize>(
            v: &mut [$type; N],
            input: &mut [$type; N],
            threshold: &[$type; N],
            first: u32,
            above: &mut Vec<u32>,
        ) {
            // One byte a lane, then eight lanes at a time: this compiles to vector code.
            let mut is_above = [0_u8; N];
            for k in 0..N {
                v[k] += input[k];
                input[k] = 0.0;
                is_above[k] = u8::from(v[k] > threshold[k]);
            }
            for_each_set(&is_above, |k| above.push(first + k as u32));
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $integrate(
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
                $integrate_block(v, input, threshold, start, above);
                start += MOST_LANES as u32;
            }
            let (v, v_rest) = v_rest.as_chunks_mut::<LANES>();
            let (input, input_rest) = input_rest.as_chunks_mut::<LANES>();
            let (threshold, threshold_rest) = threshold_rest.as_chunks::<LANES>();
            for ((v, input), threshold) in v.iter_mut().zip(input).zip(threshold) {
                $integrate_block(v, input, threshold, start, above);
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
        fn $decay(v: &mut [$type], beta: &[$type]) {
            for (v, &beta) in v.iter_mut().zip(beta) {
                *v *= beta;
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $scatter(
            rows: &mut [$type],
            (width, first): (usize, usize),
            b: &[$type],
            spikes: &[(u32, $type)],
        ) {
            for &(row, m) in spikes {
                let row = &mut rows[row as usize * width + first..][..b.len()];
                for (sum, &b) in row.iter_mut().zip(b) {
                    *sum += b * m;
                }
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $adjoint_row(gradient: &mut [$type], row: &[$type], b: &[$type]) -> $type {
            let n = b.len();
            let (gradients, gradient_rest) = gradient[..n].as_chunks_mut::<SUM_LANES>();
            let (rows, row_rest) = row[..n].as_chunks::<SUM_LANES>();
            let (bs, b_rest) = b.as_chunks::<SUM_LANES>();
            let mut sums = [0.0; SUM_LANES];
            for ((gradient, row), b) in gradients.iter_mut().zip(rows).zip(bs) {
                for k in 0..SUM_LANES {
                    gradient[k] += b[k];
                    sums[k] += row[k] * b[k];
                }
            }
            if !b_rest.is_empty() {
                let terms = last_terms!($type, row_rest, b_rest);
                for k in 0..SUM_LANES {
                    sums[k] += terms[k];
                }
                for (gradient, &b) in gradient_rest.iter_mut().zip(b_rest) {
                    *gradient += b;
                }
            }
            in_halves!(sums)
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $dot(row: &[$type], b: &[$type]) -> $type {
            let n = b.len();
            let (rows, row_rest) = row[..n].as_chunks::<SUM_LANES>();
            let (bs, b_rest) = b.as_chunks::<SUM_LANES>();
            let mut sums = [0.0; SUM_LANES];
            for (row, b) in rows.iter().zip(bs) {
                for k in 0..SUM_LANES {
                    sums[k] += row[k] * b[k];
                }
            }
            if !b_rest.is_empty() {
                let terms = last_terms!($type, row_rest, b_rest);
                for k in 0..SUM_LANES {
                    sums[k] += terms[k];
                }
            }
            in_halves!(sums)
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $add_dots(sums: &mut [$type], rows: &[$type], (width, first): (usize, usize), b: &[$type]) {
            let (bs, b_rest) = b.as_chunks::<SUM_LANES>();
            let row = |at: usize| rows[at * width + first..][..b.len()].as_chunks::<SUM_LANES>();
            let (fours, others) = sums.as_chunks_mut::<4>();
            let n_fours = fours.len();
            // Four at once: the additions of one row wait for each other.
            for (at, sums) in fours.iter_mut().enumerate() {
                let (row0, row1, row2, row3) =
                    (row(4 * at), row(4 * at + 1), row(4 * at + 2), row(4 * at + 3));
                let mut lanes = [[0.0; SUM_LANES]; 4];
                let [lanes0, lanes1, lanes2, lanes3] = &mut lanes;
                for ((((b, row0), row1), row2), row3) in
                    bs.iter().zip(row0.0).zip(row1.0).zip(row2.0).zip(row3.0)
                {
                    for k in 0..SUM_LANES {
                        lanes0[k] += row0[k] * b[k];
                        lanes1[k] += row1[k] * b[k];
                        lanes2[k] += row2[k] * b[k];
                        lanes3[k] += row3[k] * b[k];
                    }
                }
                if !b_rest.is_empty() {
                    for (lanes, rest) in lanes.iter_mut().zip([row0.1, row1.1, row2.1, row3.1]) {
                        let terms = last_terms!($type, rest, b_rest);
                        for k in 0..SUM_LANES {
                            lanes[k] += terms[k];
                        }
                    }
                }
                // In halves, as each row by itself; the last two steps of all rows side by side.
                let mut quarters = [[0.0; 4]; 4];
                for row in 0..4 {
                    let lanes = &lanes[row];
                    for k in 0..4 {
                        quarters[k][row] = (lanes[k] + lanes[k + 8]) + (lanes[k + 4] + lanes[k + 12]);
                    }
                }
                for row in 0..4 {
                    sums[row] +=
                        (quarters[0][row] + quarters[2][row]) + (quarters[1][row] + quarters[3][row]);
                }
            }
            for (at, sum) in others.iter_mut().enumerate() {
                *sum += $dot(&rows[(4 * n_fours + at) * width + first..], b);
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $atan(x: &[$type], derivative: &mut [$type], height: $type, width: $type) {
            for (derivative, &x) in derivative.iter_mut().zip(x) {
                let scaled = width * x;
                *derivative = height / (1.0 + scaled * scaled);
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $fast_sigmoid(x: &[$type], derivative: &mut [$type], slope: $type) {
            for (derivative, &x) in derivative.iter_mut().zip(x) {
                let root = 1.0 + slope * x.abs();
                *derivative = 1.0 / (root * root);
            }
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $accumulate(a: &mut [$type], b: &mut [$type], x: &[$type], s: &[$type], e: &[$type]) {
            let n = a.len();
            let (b, x, s, e) = (&mut b[..n], &x[..n], &s[..n], &e[..n]);
            for k in 0..n {
                let is_live = x[k] != $type::NEG_INFINITY;
                let through = s[k] * e[k];
                a[k] = if is_live && through != 0.0 { a[k] + through } else { a[k] };
                b[k] = if is_live { a[k] } else { 0.0 };
            }
        }

        // Both look at all entries: a loop that ends early is not vectorised.
        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $any_zero(row: &[$type]) -> bool {
            row.iter().fold(false, |any, &value| any | (value == 0.0))
        }

        #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
        fn $all_finite(row: &[$type]) -> bool {
            row.iter().fold(true, |all, &value| all & value.is_finite())
        }

        impl Kernels for $type {
            #[inline]
            fn any_zero(row: &[Self]) -> bool {
                $any_zero(row)
            }
            #[inline]
            fn all_finite(row: &[Self]) -> bool {
                $all_finite(row)
            }
            #[inline]
            fn scatter(rows: &mut [Self], place: (usize, usize), b: &[Self], spikes: &[(u32, Self)]) {
                $scatter(rows, place, b, spikes);
            }
            #[inline]
            fn adjoint_row(gradient: &mut [Self], row: &[Self], b: &[Self]) -> Self {
                $adjoint_row(gradient, row, b)
            }
            #[inline]
            fn dot(row: &[Self], b: &[Self]) -> Self {
                $dot(row, b)
            }
            #[inline]
            fn add_dots(sums: &mut [Self], rows: &[Self], place: (usize, usize), b: &[Self]) {
                $add_dots(sums, rows, place, b);
            }
            #[inline]
            fn atan_derivatives(x: &[Self], derivative: &mut [Self], height: Self, width: Self) {
                $atan(x, derivative, height, width);
            }
            #[inline]
            fn fast_sigmoid_derivatives(x: &[Self], derivative: &mut [Self], slope: Self) {
                $fast_sigmoid(x, derivative, slope);
            }
            #[inline]
            fn accumulate(a: &mut [Self], b: &mut [Self], x: &[Self], s: &[Self], e: &[Self]) {
                $accumulate(a, b, x, s, e);
            }
            #[inline]
            fn add_rows(sums: &mut [Self], rows: &[Self], place: (usize, usize), spikes: &[(u32, Self)]) {
                $add_rows(sums, rows, place, spikes);
            }
            #[inline]
            fn add_row(sums: &mut [Self], row: &[Self]) {
                $add_row(sums, row);
            }
            #[inline]
            fn take_row(sums: &mut [Self], row: &mut [Self]) {
                $take_row(sums, row);
            }
            #[inline]
            fn integrate(
                v: &mut [Self],
                input: &mut [Self],
                threshold: &[Self],
                first: u32,
                above: &mut Vec<u32>,
            ) {
                $integrate(v, input, threshold, first, above);
            }
            #[inline]
            fn decay(v: &mut [Self], beta: &[Self]) {
                $decay(v, beta);
            }
        }
    };
}

kernels!(
    f32,
    add_rows_f32,
    add_row_f32,
    take_row_f32,
    integrate_f32,
    integrate_block_f32,
    decay_f32,
    scatter_f32,
    adjoint_row_f32,
    dot_f32,
    add_dots_f32,
    atan_derivatives_f32,
    fast_sigmoid_derivatives_f32,
    accumulate_f32,
    any_zero_f32,
    all_finite_f32
);
kernels!(
    f64,
    add_rows_f64,
    add_row_f64,
    take_row_f64,
    integrate_f64,
    integrate_block_f64,
    decay_f64,
    scatter_f64,
    adjoint_row_f64,
    dot_f64,
    add_dots_f64,
    atan_derivatives_f64,
    fast_sigmoid_derivatives_f64,
    accumulate_f64,
    any_zero_f64,
    all_finite_f64
);

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
    fn a_dot_product_has_its_fixed_lanes_at_every_width() {
        for n in 0..70 {
            let row: Vec<f32> = (0..n).map(|k| (k as f32 * 0.37).sin()).collect();
            // Products of 0 and of -0 too.
            let b: Vec<f32> = (0..n).map(|k| if k % 3 == 0 { -0.0 } else { (k as f32).cos() }).collect();
            let mut lanes = [0.0_f32; SUM_LANES];
            for k in 0..n {
                lanes[k % SUM_LANES] += row[k] * b[k];
            }
            let expected = in_halves!(lanes);
            let mut gradient = vec![0.25; n + 1];
            let sum = f32::adjoint_row(&mut gradient[..n], &row, &b);
            assert_eq!(sum.to_bits(), expected.to_bits(), "{n}");
            assert_eq!(f32::dot(&row, &b).to_bits(), expected.to_bits(), "{n}");
            let (width, first) = (n + 3, 2);
            let mut rows = vec![f32::NAN; 6 * width];
            rows.chunks_mut(width).for_each(|each| each[first..first + n].copy_from_slice(&row));
            let mut sums = [0.0, -0.0, 1.0, 0.1, 2.0, 3.0];
            let added = sums.map(|sum: f32| (sum + expected).to_bits());
            f32::add_dots(&mut sums, &rows, (width, first), &b);
            assert_eq!(sums.map(f32::to_bits), added, "{n}");
            assert!(gradient.iter().zip(&b).all(|(g, b)| *g == 0.25 + b) && gradient[n] == 0.25, "{n}");
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
