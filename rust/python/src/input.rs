//! Input arrays: borrowed from NumPy as they are.

use numpy::ndarray::Dimension;
use numpy::{Element, PyArray1, PyReadonlyArray, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyasync_core::{Error, Float, Input, InputEvents};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{OrRaise, to_python};
use crate::simulate::polled;

/// The channel, offsets, and multiplicity (or None, if each is 1) of the non-zero entries of a dense input, the
/// multiplicity in `dtype` ("float32" or "float64"); None if there are more than `most`.
#[pyfunction]
pub(crate) fn to_events<'py>(
    x: &Bound<'py, PyAny>,
    dtype: &str,
    most: usize,
    threads: usize,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    match dtype {
        "float32" => search::<f32>(x, most, threads),
        _ => search::<f64>(x, most, threads),
    }
}

fn search<'py, T: Float + Element>(
    x: &Bound<'py, PyAny>,
    most: usize,
    threads: usize,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = x.py();
    let arrays = Arrays::<T>::extract(x, None)?;
    let input = arrays.input().or_raise(py)?;
    let found = polled(py, None, |poll| input.to_events(most, threads, poll))?;
    let converted = found.map(|InputEvents { channel, offsets, multiplicity }| {
        let multiplicity = multiplicity.map(|each| PyArray1::from_vec(py, each));
        (PyArray1::from_vec(py, channel), PyArray1::from_vec(py, offsets), multiplicity).into_pyobject(py)
    });
    converted.transpose()
}

/// Borrowed arrays of an input, kept alive while the engine reads them.
pub(crate) struct Arrays<'py, T: Element> {
    x: Form<'py, T>,
    initial_state: Option<PyReadonlyArray2<'py, T>>,
}

enum Form<'py, T: Element> {
    F32(PyReadonlyArray3<'py, f32>),
    F64(PyReadonlyArray3<'py, f64>),
    U8(PyReadonlyArray3<'py, u8>),
    Events(
        PyReadonlyArray1<'py, u32>,
        PyReadonlyArray1<'py, i64>,
        Option<PyReadonlyArray1<'py, T>>,
        usize,
        usize,
    ),
}

impl<'py, T: Float + Element> Arrays<'py, T> {
    pub(crate) fn extract(
        x: &Bound<'py, PyAny>,
        initial_state: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let initial_state = initial_state.filter(|v| !v.is_none());
        let accepted = || {
            format!(
                "None or an array of {} and shape [B, n_neurons] or, with currents, [B, 2 * n_neurons]",
                T::NAME
            )
        };
        let initial_state =
            initial_state.map(|given| typed_array("initial_state", given, accepted)).transpose()?;
        let x = if let Ok(x) = x.extract::<PyReadonlyArray3<'py, f32>>() {
            Form::F32(x)
        } else if let Ok(x) = x.extract::<PyReadonlyArray3<'py, f64>>() {
            Form::F64(x)
        } else if let Ok(x) = x.extract::<PyReadonlyArray3<'py, u8>>() {
            Form::U8(x)
        } else {
            let (channel, offsets, multiplicity, n_timesteps, n_inputs) = x.extract()?;
            Form::Events(channel, offsets, multiplicity, n_timesteps, n_inputs)
        };
        Ok(Self { x, initial_state })
    }

    pub(crate) fn input(&self) -> Result<Input<'_, T>, Error> {
        let contiguous = "arrays were made contiguous and aligned";
        let mut samples_first = false;
        let input = match &self.x {
            Form::F32(x) => {
                let (t, b, n) = x.as_array().dim();
                Input::dense_f32(rows(x, &mut samples_first), t, b, n)
            }
            Form::F64(x) => {
                let (t, b, n) = x.as_array().dim();
                Input::dense_f64(rows(x, &mut samples_first), t, b, n)
            }
            Form::U8(x) => {
                let (t, b, n) = x.as_array().dim();
                Input::dense_u8(rows(x, &mut samples_first), t, b, n)
            }
            Form::Events(channel, offsets, multiplicity, n_timesteps, n_inputs) => Input::events(
                channel.as_slice().expect(contiguous),
                offsets.as_slice().expect(contiguous),
                multiplicity.as_ref().map(|m| m.as_slice().expect(contiguous)),
                *n_timesteps,
                *n_inputs,
            ),
        }?;
        let input = if samples_first { input.samples_first() } else { input };
        Ok(match &self.initial_state {
            Some(v) => input.with_initial_state(v.as_slice().expect(contiguous)),
            None => input,
        })
    }
}

/// The numbers of a dense `[T, B, n_inputs]` array, which lie in this order or sample by sample.
fn rows<'a, E: Element>(x: &'a PyReadonlyArray3<'_, E>, samples_first: &mut bool) -> &'a [E] {
    // Not `x.as_slice()`, which takes the order of Fortran for contiguous too.
    x.as_array().to_slice().unwrap_or_else(|| {
        *samples_first = true;
        let by_sample = x.as_array().permuted_axes([1, 0, 2]);
        by_sample.to_slice().expect("arrays were made contiguous, by timestep or by sample")
    })
}

/// An array of type `T` with as many axes as `D`; anything else is refused by an error that shows its dtype.
pub(crate) fn typed_array<'py, T: Element, D: Dimension>(
    argument: &str,
    given: &Bound<'py, PyAny>,
    accepted: impl FnOnce() -> String,
) -> PyResult<PyReadonlyArray<'py, T, D>> {
    given.extract().map_err(|_| {
        let kind = given.getattr("dtype").unwrap_or_else(|_| given.get_type().into_any());
        refused(given.py(), argument, format!("{kind}"), accepted())
    })
}

/// The error that says what was given, and what is accepted.
pub(crate) fn refused(py: Python<'_>, argument: &str, given: String, accepted: String) -> PyErr {
    to_python(py, Error::Input { argument: argument.to_owned(), given, accepted })
}
