//! Transposes matrices: training passes all weights through here in every step, and their gradients on the way back.

use crate::float::Float;

/// Number of rows whose entries in a column are written together.
const ROWS: usize = 4;
/// Number of columns after which the next rows are begun, so that what is written stays in the cache.
const COLUMNS: usize = 512;

/// Writes the columns of a matrix to `to`, one after the other.
pub(super) fn transpose<T: Float>(matrix: &[T], n_rows: usize, n_columns: usize, to: &mut [T]) {
    for from in (0..n_columns).step_by(COLUMNS) {
        let columns = from..n_columns.min(from + COLUMNS);
        let to = &mut to[columns.start * n_rows..columns.end * n_rows];
        for first in (0..n_rows).step_by(ROWS) {
            let row = |row: usize| &matrix[(first + row) * n_columns..][columns.clone()];
            if first + ROWS <= n_rows {
                let rows: [&[T]; ROWS] = std::array::from_fn(row);
                for (column, to) in to.chunks_exact_mut(n_rows).enumerate() {
                    let place: &mut [T; ROWS] = (&mut to[first..first + ROWS]).try_into().expect("so many");
                    *place = rows.map(|row| row[column]);
                }
            } else {
                for (column, to) in to.chunks_exact_mut(n_rows).enumerate() {
                    (first..n_rows).for_each(|at| to[at] = row(at - first)[column]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_any_shape_is_transposed() {
        for (n_rows, n_columns) in [(1, 1), (ROWS, COLUMNS), (ROWS - 1, COLUMNS + 1), (2 * ROWS + 1, 3)] {
            let entry = |row, column| (row * n_columns + column) as f32;
            let matrix: Vec<f32> = (0..n_rows * n_columns).map(|at| at as f32).collect();
            let across = (0..n_columns).flat_map(|column| (0..n_rows).map(move |row| entry(row, column)));
            let mut to = vec![f32::NAN; matrix.len()];
            transpose(&matrix, n_rows, n_columns, &mut to);
            assert_eq!(to, across.collect::<Vec<_>>());
        }
    }
}
