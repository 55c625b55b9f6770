//! What the reverse pass begins with: the derivatives of the loss with respect to a run's results.

use crate::error::Error;
use crate::float::Float;

/// Derivatives of the loss with respect to a run's results; each may be absent.
#[derive(Clone, Copy, Debug)]
pub struct Cotangents<'a, T> {
    /// `[n_timesteps, n_samples, n_output]`.
    pub counts: Option<Strided<'a, T>>,
    /// With respect to the potentials of the output at the end of each timestep, `[n_timesteps, n_samples, n_output]`.
    pub output_v: Option<Strided<'a, T>>,
    /// `[n_samples, n_neurons]`.
    pub spike_counts: Option<&'a [T]>,
    /// With respect to the final state, `[n_samples, state_len]`, as [`Network::state_len`](crate::Network::state_len)
    /// describes.
    pub state: Option<&'a [T]>,
}

/// An array of three axes that may lie in memory in any order of the axes, or hold one number for all of an axis
/// (stride 0), as losses leave it. It is read in place, since putting it into order would take one thread longer than
/// all threads take to read it.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, T> {
    values: &'a [T],
    shape: [usize; 3],
    strides: [usize; 3],
}

impl<'a, T: Float> Strided<'a, T> {
    /// The number at `[i, j, k]` is `values[i * strides[0] + j * strides[1] + k * strides[2]]`. It is an error if a
    /// number would lie beyond the values.
    pub fn new(values: &'a [T], shape: [usize; 3], strides: [usize; 3]) -> Result<Self, Error> {
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(0_usize, |at, (&n, stride)| at.checked_add(n.saturating_sub(1).checked_mul(stride)?));
        if last.is_none_or(|last| last >= values.len()) && !shape.contains(&0) {
            let given = format!("{} values for shape {shape:?} and strides {strides:?}", values.len());
            return Err(Error::input("counts", given, "values for every index"));
        }
        Ok(Self { values, shape, strides })
    }

    /// An array whose rows lie one after the other.
    pub fn contiguous(values: &'a [T], shape: [usize; 3]) -> Result<Self, Error> {
        Self::new(values, shape, [shape[1].saturating_mul(shape[2]), shape[2], 1])
    }

    /// Copies the row at `[i, j]`.
    pub(super) fn read(&self, i: usize, j: usize, row: &mut [T]) {
        let [by_i, by_j, by_k] = self.strides;
        let values = &self.values[i * by_i + j * by_j..];
        if by_k == 1 {
            row.copy_from_slice(&values[..row.len()]);
        } else {
            for (k, number) in row.iter_mut().enumerate() {
                *number = values[k * by_k];
            }
        }
    }
}

impl<'a, T: Float> Cotangents<'a, T> {
    /// Refuses cotangents that are not finite, or not of the shapes `[n_timesteps, n_samples, n_output]` (by timestep),
    /// `[n_samples, n_neurons]` (by neuron) and `[n_samples, state_len]` (of the state).
    pub(super) fn check(
        &self,
        by_timestep: [usize; 3],
        by_neuron: [usize; 2],
        of_state: [usize; 2],
    ) -> Result<(), Error> {
        let values = |given: Option<Strided<'a, T>>| given.map(|given| given.values);
        let has_shape = |given: Option<Strided<'a, T>>| given.is_none_or(|given| given.shape == by_timestep);
        let fits = |values: &[T], shape: &[usize]| values.len() == shape.iter().product::<usize>();
        for (name, given, fits, shape) in [
            ("grad_counts", values(self.counts), has_shape(self.counts), &by_timestep[..]),
            ("grad_output_v", values(self.output_v), has_shape(self.output_v), &by_timestep),
            (
                "grad_spike_counts",
                self.spike_counts,
                self.spike_counts.is_none_or(|values| fits(values, &by_neuron)),
                &by_neuron,
            ),
            ("grad_state", self.state, self.state.is_none_or(|values| fits(values, &of_state)), &of_state),
        ] {
            let Some(values) = given else { continue };
            if !fits {
                let given = format!("{} values of another shape", values.len());
                return Err(Error::input(name, given, format!("shape {shape:?}")));
            }
            if !T::all_finite(values) {
                let bad = values.iter().find(|value| !value.is_finite()).expect("one is not finite");
                return Err(Error::input(name, bad, "finite numbers: the loss or its gradient overflowed"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_numbers_are_found_in_any_order_of_the_axes() {
        let values: Vec<f32> = (0..24).map(|n| n as f32).collect();
        let transposed = Strided::new(&values, [2, 4, 3], [12, 1, 4]).unwrap();
        let mut row = [0.0; 3];
        transposed.read(1, 2, &mut row);
        assert_eq!(row, [14.0, 18.0, 22.0]);
        let once_for_all = Strided::new(&values[..12], [7, 4, 3], [0, 3, 1]).unwrap();
        once_for_all.read(6, 1, &mut row);
        assert_eq!(row, [3.0, 4.0, 5.0]);
    }

    #[test]
    fn strides_that_lead_out_of_the_values_are_refused() {
        let values = [0.0_f64; 23];
        assert!(Strided::contiguous(&values, [2, 4, 3]).is_err());
        assert!(Strided::new(&values, [2, 4, 3], [usize::MAX, 3, 1]).is_err());
        assert!(Strided::contiguous(&values, [2, 0, 3]).is_ok());
    }
}
