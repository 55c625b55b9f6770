//! The run: the one place that detaches from the interpreter for long, reports progress and looks for Ctrl-C.

use std::sync::Arc;

use numpy::{Element, PyArray1, PyReadonlyArray1};
use pyasync_core::{
    Dropout, Ends, Error, Float, FreeRunning, InputMode, Key, Measures, OnStop, Options, Output, OutputStop,
    Parallel, PendingSpike, ScheduleSpec,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::error::{OrRaise, ends};
use crate::input::Arrays;
use crate::network::{Network, with_network};
use crate::trace::Trace;

/// Runs a batch and returns its results as flat arrays by name.
///
/// `x` is a C-contiguous `[T, B, n_inputs]` array of float32, float64 or uint8, or (channel, offsets, multiplicity or
/// None, `n_timesteps`, `n_inputs`). `schedule` is a tuple that begins with its name.
#[pyfunction]
#[pyo3(signature = (network, x, schedule, options, progress=None))]
#[allow(clippy::needless_pass_by_value)] // PyO3 hands over owned arguments
pub(crate) fn simulate<'py>(
    network: &Network,
    x: &Bound<'py, PyAny>,
    schedule: &Bound<'py, PyTuple>,
    options: &Bound<'py, PyDict>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = x.py();
    let schedule = parse_schedule(schedule)?;
    let initial_state = options.get_item("initial_state")?;
    let options = parse_options(options)?;
    with_network!(&network.typed, network => {
        run(py, network, (x, initial_state.as_ref()), &schedule, &options, progress.as_ref())
    })
}

/// The vector instruction sets that the engine can use on this machine.
#[pyfunction]
pub(crate) fn cpu_features() -> Vec<&'static str> {
    let mut features = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") {
            features.push("avx2");
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            features.push("avx512f");
        }
    }
    features
}

fn run<'py, T: Float + Element>(
    py: Python<'py>,
    network: &pyasync_core::Network<T>,
    (x, initial_state): (&Bound<'py, PyAny>, Option<&Bound<'py, PyAny>>),
    schedule: &ScheduleSpec,
    options: &Options,
    progress: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let arrays = Arrays::<T>::extract(x, initial_state)?;
    let input = arrays.input().or_raise(py)?;
    let output =
        polled(py, progress, |poll| pyasync_core::simulate(network, &input, schedule, options, poll))?;
    convert(py, output)
}

/// Runs `compute` detached from the interpreter, and attaches from time to time to check for Ctrl-C and report
/// progress.
pub(crate) fn polled<R: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    compute: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> Result<R, Error> + Send,
) -> PyResult<R> {
    let mut raised = None;
    let mut poll = |done: usize| {
        if raised.is_some() {
            return false;
        }
        let asked = Python::attach(|py| {
            py.check_signals()?;
            progress.map_or(Ok(()), |progress| progress.call1(py, (done,)).map(drop))
        });
        raised = asked.err();
        raised.is_none()
    };
    let computed = py.detach(|| compute(&mut poll));
    match raised {
        Some(raised) => Err(raised),
        None => computed.or_raise(py),
    }
}

/// An option that the Python side must have given.
pub(crate) fn get<'py, V: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(
    options: &Bound<'py, PyDict>,
    name: &str,
) -> PyResult<V> {
    options
        .get_item(name)?
        .ok_or_else(|| PyTypeError::new_err(format!("option {name} is missing")))?
        .extract()
}

fn parse_options(options: &Bound<'_, PyDict>) -> PyResult<Options> {
    let (refractory, spike) = (get(options, "refractory_dropout")?, get(options, "spike_dropout")?);
    let dropout = (refractory != 0.0 || spike != 0.0)
        .then(|| Ok::<_, PyErr>(Dropout { refractory, spike, seed: get(options, "seed")? }))
        .transpose()?;
    let stop: Option<String> = get(options, "stop_on_output")?;
    Ok(Options {
        dt: get(options, "dt")?,
        sample_ids: get(options, "sample_ids")?,
        threads: get(options, "threads")?,
        input_mode: if get::<String>(options, "input_mode")? == "scheduled" {
            InputMode::Scheduled
        } else {
            InputMode::AtOnce
        },
        max_forward_steps: get(options, "max_forward_steps")?,
        max_spikes: get(options, "max_spikes")?,
        stop_on_output: stop.map(
            |scope| {
                if scope == "sample" { OutputStop::Sample } else { OutputStop::Timestep }
            },
        ),
        extra_steps: get(options, "extra_steps")?,
        on_stop: if get::<String>(options, "on_stop")? == "carry" { OnStop::Carry } else { OnStop::Discard },
        dropout,
        record: get(options, "record")?,
        keep_counts: get(options, "keep_counts")?,
        keep_output_v: get(options, "keep_output_v")?,
        keep_spike_counts: get(options, "keep_spike_counts")?,
        keep_output_spikes: get(options, "keep_output_spikes")?,
        keep_state: get::<bool>(options, "keep_v")? || get(options, "keep_current")?,
    })
}

fn parse_schedule(schedule: &Bound<'_, PyTuple>) -> PyResult<ScheduleSpec> {
    let name: String = schedule.get_item(0)?.extract()?;
    let group_size = || schedule.get_item(1)?.extract::<usize>();
    Ok(match name.as_str() {
        "layered" => ScheduleSpec::Layered { feedback: schedule.get_item(1)?.extract()? },
        "random" => {
            ScheduleSpec::Random { group_size: group_size()?, seed: schedule.get_item(2)?.extract()? }
        }
        "momentum" => ScheduleSpec::Momentum {
            group_size: group_size()?,
            noise: schedule.get_item(2)?.extract()?,
            seed: schedule.get_item(3)?.extract()?,
        },
        "fifo" => ScheduleSpec::Fifo { group_size: group_size()? },
        "lifo" => ScheduleSpec::Lifo { group_size: group_size()? },
        "priority" => {
            let values: PyReadonlyArray1<'_, f64> = schedule.get_item(2)?.extract()?;
            ScheduleSpec::Priority {
                group_size: group_size()?,
                values: Arc::new(values.as_slice()?.to_vec()),
            }
        }
        "custom" => ScheduleSpec::Custom {
            group_size: group_size()?,
            seed: schedule.get_item(2)?.extract()?,
            pick: custom_pick(schedule.get_item(3)?.unbind()),
        },
        "free" => ScheduleSpec::FreeRunning(FreeRunning {
            group_size: group_size()?,
            shards: schedule.get_item(2)?.extract()?,
            parallel: match schedule.get_item(3)?.extract::<String>()?.as_str() {
                "samples" => Parallel::Samples,
                "shards" => Parallel::Shards,
                _ => Parallel::Auto,
            },
        }),
        "replay" => {
            ScheduleSpec::Replay { trace: Arc::clone(&schedule.get_item(1)?.cast::<Trace>()?.get().trace) }
        }
        _ => {
            return Err(PyTypeError::new_err(format!("no schedule is called {name}")));
        }
    })
}

/// Wraps `pick(neuron, v, arrival, n, key) -> int64 array`.
fn custom_pick(pick: Py<PyAny>) -> pyasync_core::CustomPick {
    Arc::new(move |pending: &[PendingSpike], n: usize, key: Key| {
        Python::attach(|py| {
            let neuron = PyArray1::from_iter(py, pending.iter().map(|spike| spike.neuron));
            let v = PyArray1::from_iter(py, pending.iter().map(|spike| spike.v));
            let arrival = PyArray1::from_iter(py, pending.iter().map(|spike| spike.arrival));
            let picked = || -> PyResult<Vec<i64>> {
                let picked = pick.bind(py).call1((neuron, v, arrival, n, key.to_vec()))?;
                Ok(picked.extract::<PyReadonlyArray1<'_, i64>>()?.as_array().to_vec())
            };
            picked().map_err(|error| if ends(py, &error) { Ends(error.into()).into() } else { error.into() })
        })
    })
}

/// Picks one measure out of all of them.
type Measure = fn(&Measures) -> u64;

fn convert<T: Float + Element>(py: Python<'_>, output: Output<T>) -> PyResult<Bound<'_, PyDict>> {
    let arrays = PyDict::new(py);
    arrays.set_item("counts", PyArray1::from_vec(py, output.counts))?;
    arrays.set_item("output_v", PyArray1::from_vec(py, output.output_v))?;
    arrays.set_item("spike_counts", PyArray1::from_vec(py, output.spike_counts))?;
    arrays.set_item("state", PyArray1::from_vec(py, output.state))?;
    let measures = &output.measures;
    let integers: [(&str, Measure); 8] = [
        ("spikes", |m| m.spikes),
        ("forward_steps", |m| m.forward_steps),
        ("synaptic_operations", |m| m.synaptic_operations),
        ("neuron_updates", |m| m.neuron_updates),
        ("max_pending", |m| m.max_pending),
        ("sum_pending", |m| m.sum_pending),
        ("sum_events", |m| m.sum_events),
        ("stopped_by", |m| m.stopped_by as u64),
    ];
    for (name, measure) in integers {
        arrays.set_item(name, PyArray1::from_iter(py, measures.iter().map(|m| measure(m) as i64)))?;
    }
    arrays.set_item("total_spikes", measures.iter().map(|m| m.spikes).sum::<u64>())?;
    arrays.set_item("all_quiescent", measures.iter().all(|m| m.reached_quiescence))?;
    arrays.set_item(
        "latency",
        PyArray1::from_iter(
            py,
            measures.iter().map(|m| m.latency.map_or(f64::NAN, |latency| latency as f64)),
        ),
    )?;
    arrays.set_item(
        "reached_quiescence",
        PyArray1::from_iter(py, measures.iter().map(|m| m.reached_quiescence)),
    )?;
    let (before, output_neuron): (Vec<u32>, Vec<u32>) = output.output_spikes.into_iter().unzip();
    arrays.set_item("output_before", PyArray1::from_vec(py, before))?;
    arrays.set_item("output_neuron", PyArray1::from_vec(py, output_neuron))?;
    arrays.set_item(
        "output_offsets",
        PyArray1::from_iter(py, output.output_offsets.into_iter().map(|offset| offset as i64)),
    )?;
    arrays.set_item("trace", output.trace.map(Trace::from_core))?;
    Ok(arrays)
}
