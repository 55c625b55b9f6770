//! The reverse pass.

use numpy::ndarray::{Axis, Dimension};
use numpy::{
    Element, PyArray1, PyArrayMethods, PyReadonlyArray, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyasync_core::{Cotangents, Error, Float, GradientOptions, GradientScope, Strided, Surrogate};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::OrRaise;
use crate::input::{Arrays, refused, typed_array};
use crate::network::{Network, with_network};
use crate::simulate::{get, polled};
use crate::trace::Trace;

/// The gradient through a recorded run, as flat arrays by name; see `pyasync_core::gradient`.
///
/// `x` is as in `simulate`; the cotangents are arrays of the network's type, C-contiguous except for those by timestep,
/// or None.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn gradient<'py>(
    network: &Network,
    x: &Bound<'py, PyAny>,
    trace: &Trace,
    grad_counts: Option<&Bound<'py, PyAny>>,
    grad_output_v: Option<&Bound<'py, PyAny>>,
    grad_spike_counts: Option<&Bound<'py, PyAny>>,
    grad_state: Option<&Bound<'py, PyAny>>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    with_network!(&network.typed, network => {
        run(network, x, trace, [grad_counts, grad_output_v, grad_spike_counts, grad_state], options)
    })
}

type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn run<'py, T: Float + Element>(
    network: &pyasync_core::Network<T>,
    x: &Bound<'py, PyAny>,
    trace: &Trace,
    [counts, output_v, spike_counts, state]: [Given<'_, 'py>; 4],
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = x.py();
    let initial_state = options.get_item("initial_state")?;
    let arrays = Arrays::<T>::extract(x, initial_state.as_ref())?;
    let input = arrays.input().or_raise(py)?;
    let n_outputs = network.output().end - network.output().start;
    let by_count = [input.n_timesteps(), input.n_samples(), n_outputs];
    let by_neuron = [input.n_samples(), network.n_neurons()];
    let counts: Option<PyReadonlyArray3<'_, T>> = cotangent("grad_counts", counts, &by_count)?;
    let output_v: Option<PyReadonlyArray3<'_, T>> = cotangent("grad_output_v", output_v, &by_count)?;
    let spike_counts: Option<PyReadonlyArray2<'_, T>> =
        cotangent("grad_spike_counts", spike_counts, &by_neuron)?;
    let by_state = [input.n_samples(), network.state_len()];
    let state: Option<PyReadonlyArray2<'_, T>> = cotangent("grad_state", state, &by_state)?;
    let (mut copied, mut copied_v) = (Vec::new(), Vec::new());
    let counts = counts.as_ref().map(|array| strided(array, &mut copied)).transpose();
    let output_v = output_v.as_ref().map(|array| strided(array, &mut copied_v)).transpose();
    let cotangents = Cotangents {
        counts: counts.or_raise(py)?,
        output_v: output_v.or_raise(py)?,
        spike_counts: spike_counts.as_ref().map(|array| array.as_slice()).transpose()?,
        state: state.as_ref().map(|array| array.as_slice()).transpose()?,
    };
    let (name, parameter): (String, f64) = get(options, "surrogate")?;
    let scope = match get::<String>(options, "gradient_scope")?.as_str() {
        "spikes" => GradientScope::Spikes,
        "next_emission" => GradientScope::NextEmission,
        "touched" => GradientScope::Touched,
        other => {
            let accepted = "\"spikes\", \"next_emission\" or \"touched\"";
            return Err(refused(py, "gradient_scope", format!("{other:?}"), accepted.into()));
        }
    };
    let settings = GradientOptions {
        dt: get(options, "dt")?,
        threads: get(options, "threads")?,
        surrogate: Surrogate::from_name(&name, parameter).or_raise(py)?,
        scope,
        detach_reset: get(options, "detach_reset")?,
        want_input: get(options, "want_input")?,
        want_initial_state: get(options, "want_initial_state")?,
        want_neuron: get(options, "want_neuron")?,
    };
    let gradient = polled(py, None, |poll| {
        pyasync_core::gradient(network, &input, &trace.trace, cotangents, &settings, poll)
    })?;
    let (n_samples, n_timesteps) = (input.n_samples(), input.n_timesteps());
    let array = |values: Vec<T>| PyArray1::from_vec(py, values);
    let wanted = |is_wanted: bool, values: Vec<T>| is_wanted.then(|| array(values));
    let result = PyDict::new(py);
    result.set_item("weights", gradient.weights.into_iter().map(array).collect::<Vec<_>>())?;
    let biases = gradient.biases.into_iter().map(|bias| bias.map(array));
    result.set_item("biases", biases.collect::<Vec<_>>())?;
    result.set_item("beta", wanted(settings.want_neuron, gradient.beta))?;
    result.set_item("v_threshold", wanted(settings.want_neuron, gradient.v_threshold))?;
    let has_alpha = settings.want_neuron && network.has_currents();
    result.set_item("alpha", wanted(has_alpha, gradient.alpha))?;
    let by_sample = [n_samples, n_timesteps, input.n_inputs()];
    let input =
        wanted(settings.want_input, gradient.input).map(|flat| flat.reshape(by_sample)).transpose()?;
    let by_time = input.map(|array| array.call_method1("swapaxes", (0, 1))).transpose()?;
    result.set_item("input", by_time)?;
    let initial_state = wanted(settings.want_initial_state, gradient.initial_state);
    result.set_item("initial_state", initial_state.map(|flat| flat.reshape(by_state)).transpose()?)?;
    Ok(result)
}

/// A cotangent as an array of the network's type and the given shape.
fn cotangent<'py, T: Element + Float, D: Dimension>(
    name: &str,
    given: Given<'_, 'py>,
    shape: &[usize],
) -> PyResult<Option<PyReadonlyArray<'py, T, D>>> {
    let Some(given) = given else { return Ok(None) };
    let accepted = || format!("None or an array of {} and shape {shape:?}", T::NAME);
    let array: PyReadonlyArray<'py, T, D> = typed_array(name, given, accepted)?;
    if array.shape() != shape {
        let given_shape = format!("an array of shape {:?}", array.shape());
        return Err(refused(given.py(), name, given_shape, accepted()));
    }
    Ok(Some(array))
}

/// The numbers of an array, read in place or, if they do not lie side by side, copied into `copied`.
fn strided<'a, T: Element + Float>(
    array: &'a PyReadonlyArray3<'_, T>,
    copied: &'a mut Vec<T>,
) -> Result<Strided<'a, T>, Error> {
    let view = array.as_array();
    let mut once = view;
    for (axis, &stride) in view.strides().iter().enumerate() {
        // The derivative of a sum looks like this: the same numbers for all of an axis.
        if stride == 0 && view.len_of(Axis(axis)) > 0 {
            once.collapse_axis(Axis(axis), 0);
        }
    }
    let shape = view.dim().into();
    let strides = <[isize; 3]>::try_from(view.strides()).expect("three axes").map(usize::try_from);
    if let (Some(values), [Ok(i), Ok(j), Ok(k)]) = (once.to_slice_memory_order(), strides) {
        return Strided::new(values, shape, [i, j, k]);
    }
    copied.extend(view.iter());
    Strided::contiguous(copied, shape)
}
