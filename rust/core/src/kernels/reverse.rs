//! The loops of the reverse pass: dot products, gradients of weights, derivatives of surrogates.

use multiversion::multiversion;

/// The operations of the reverse pass on whole rows and populations of one number type.
pub trait ReverseKernels: Sized {
    /// `rows[r * width + first + k] += b[k] * m` for each `(r, m)` of `spikes`; `place` is `(width, first)`.
    fn scatter(rows: &mut [Self], place: (usize, usize), b: &[Self], spikes: &[(u32, Self)]);
    /// `gradient[k] += b[k]`; returns `dot(row, b)`.
    fn adjoint_row(gradient: &mut [Self], row: &[Self], b: &[Self]) -> Self;
    /// The sum of `row[k] * b[k]`, taken in `SUM_LANES` fixed lanes.
    fn dot(row: &[Self], b: &[Self]) -> Self;
    /// `sums[r] += dot(rows[r * width + first..], b)` for each `r`; `place` is `(width, first)`.
    fn add_dots(sums: &mut [Self], rows: &[Self], place: (usize, usize), b: &[Self]);
    /// `height / (1 + (width * x)^2)`.
    fn atan_derivatives(x: &[Self], derivative: &mut [Self], height: Self, width: Self);
    /// `1 / (1 + slope * |x|)^2`.
    fn fast_sigmoid_derivatives(x: &[Self], derivative: &mut [Self], slope: Self);
    /// `a[k] += s[k] * e[k]; b[k] = a[k]` where `x[k]` is not minus infinity, otherwise `b[k] = 0`. A product of 0 is
    /// not added, so that an `a` of -0 stays -0 if nothing is passed back through the update.
    fn accumulate(a: &mut [Self], b: &mut [Self], x: &[Self], s: &[Self], e: &[Self]);
}

/// The number of partial sums of a dot product: term `k` goes to sum `k % SUM_LANES`, whatever the vectors' width.
const SUM_LANES: usize = 16;

/// The last terms of a dot product, fewer than `SUM_LANES`, one per lane; lanes without a term hold 0. Adding this 0 to
/// a partial sum changes no bit of it, since a sum that began as 0 is never -0.
///
/// The terms are written four by four, at indices known when this is compiled: with a loop over just those that there
/// are, the sums would be kept in memory and not in registers.
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

/// Adds up the lanes of a dot product: the upper half is added to the lower half until one lane is left.
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
    ($type:ident, $module:ident) => {
        mod $module {
            use super::*;

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn scatter(
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
            pub(super) fn adjoint_row(gradient: &mut [$type], row: &[$type], b: &[$type]) -> $type {
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
            pub(super) fn dot(row: &[$type], b: &[$type]) -> $type {
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
            pub(super) fn add_dots(
                sums: &mut [$type],
                rows: &[$type],
                (width, first): (usize, usize),
                b: &[$type],
            ) {
                let (bs, b_rest) = b.as_chunks::<SUM_LANES>();
                let row = |at: usize| rows[at * width + first..][..b.len()].as_chunks::<SUM_LANES>();
                let (fours, others) = sums.as_chunks_mut::<4>();
                let n_fours = fours.len();
                // Four rows at once, because the additions of one row wait for each other.
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
                    // In halves, as in `dot`, but with the last two steps of the four rows side by side.
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
                    *sum += dot(&rows[(4 * n_fours + at) * width + first..], b);
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn atan_derivatives(
                x: &[$type],
                derivative: &mut [$type],
                height: $type,
                width: $type,
            ) {
                for (derivative, &x) in derivative.iter_mut().zip(x) {
                    let scaled = width * x;
                    *derivative = height / (1.0 + scaled * scaled);
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn fast_sigmoid_derivatives(x: &[$type], derivative: &mut [$type], slope: $type) {
                for (derivative, &x) in derivative.iter_mut().zip(x) {
                    let root = 1.0 + slope * x.abs();
                    *derivative = 1.0 / (root * root);
                }
            }

            #[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq", "x86_64+avx2"))]
            pub(super) fn accumulate(
                a: &mut [$type],
                b: &mut [$type],
                x: &[$type],
                s: &[$type],
                e: &[$type],
            ) {
                let n = a.len();
                let (b, x, s, e) = (&mut b[..n], &x[..n], &s[..n], &e[..n]);
                for k in 0..n {
                    let is_live = x[k] != $type::NEG_INFINITY;
                    let through = s[k] * e[k];
                    a[k] = if is_live && through != 0.0 { a[k] + through } else { a[k] };
                    b[k] = if is_live { a[k] } else { 0.0 };
                }
            }
        }

        impl ReverseKernels for $type {
            #[inline]
            fn scatter(rows: &mut [Self], place: (usize, usize), b: &[Self], spikes: &[(u32, Self)]) {
                $module::scatter(rows, place, b, spikes);
            }
            #[inline]
            fn adjoint_row(gradient: &mut [Self], row: &[Self], b: &[Self]) -> Self {
                $module::adjoint_row(gradient, row, b)
            }
            #[inline]
            fn dot(row: &[Self], b: &[Self]) -> Self {
                $module::dot(row, b)
            }
            #[inline]
            fn add_dots(sums: &mut [Self], rows: &[Self], place: (usize, usize), b: &[Self]) {
                $module::add_dots(sums, rows, place, b);
            }
            #[inline]
            fn atan_derivatives(x: &[Self], derivative: &mut [Self], height: Self, width: Self) {
                $module::atan_derivatives(x, derivative, height, width);
            }
            #[inline]
            fn fast_sigmoid_derivatives(x: &[Self], derivative: &mut [Self], slope: Self) {
                $module::fast_sigmoid_derivatives(x, derivative, slope);
            }
            #[inline]
            fn accumulate(a: &mut [Self], b: &mut [Self], x: &[Self], s: &[Self], e: &[Self]) {
                $module::accumulate(a, b, x, s, e);
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
    fn a_dot_product_has_its_fixed_lanes_at_every_width() {
        for n in 0..70 {
            let row: Vec<f32> = (0..n).map(|k| (k as f32 * 0.37).sin()).collect();
            // Some products are 0 or -0.
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
}
