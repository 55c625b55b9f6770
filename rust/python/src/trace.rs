//! Traces: bytes, columns and validation.

use std::sync::Arc;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyasync_core::{Ending, Error, Step, Steps};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{OrRaise, to_python};
use crate::network::{Network, with_network};

/// A recorded ordering.
#[pyclass(frozen, eq, module = "pyasync._core")]
#[derive(PartialEq)]
pub(crate) struct Trace {
    pub(crate) trace: Arc<pyasync_core::Trace>,
}

impl Trace {
    pub(crate) fn from_core(trace: pyasync_core::Trace) -> Self {
        Self { trace: Arc::new(trace) }
    }
}

type Column<'py, E> = Bound<'py, PyArray1<E>>;

#[pymethods]
impl Trace {
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let trace = py.detach(|| pyasync_core::Trace::from_bytes(data));
        trace.map(Self::from_core).or_raise(py)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.trace.to_bytes()))
    }

    /// Describes the recorded run.
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let header = self.trace.header();
        let fields = PyDict::new(py);
        fields.set_item("n_inputs", header.n_inputs)?;
        fields.set_item("n_neurons", header.n_neurons)?;
        fields.set_item("n_timesteps", header.n_timesteps)?;
        fields.set_item("dropouts", header.dropouts)?;
        fields.set_item("shards", &header.shards)?;
        fields.set_item("dt", header.dt)?;
        fields.set_item("dtype", &header.dtype)?;
        fields.set_item("schedule", &header.schedule)?;
        fields.set_item("forward_group_size", header.group_size)?;
        fields.set_item(
            "input_mode",
            if header.input_mode == pyasync_core::InputMode::Scheduled { "scheduled" } else { "at_once" },
        )?;
        fields.set_item(
            "on_stop",
            if header.on_stop == pyasync_core::OnStop::Carry { "carry" } else { "discard" },
        )?;
        Ok(fields)
    }

    fn n_samples(&self) -> usize {
        self.trace.n_samples()
    }

    fn n_emitted(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.trace.n_emitted()).or_raise(py)
    }

    fn nbytes(&self) -> usize {
        self.trace.nbytes()
    }

    /// The samples at these positions.
    #[allow(clippy::needless_pass_by_value)]
    fn take(&self, py: Python<'_>, samples: Vec<usize>) -> PyResult<Self> {
        self.trace.take(&samples).map(Self::from_core).or_raise(py)
    }

    /// One trace with the samples of several.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value)]
    fn concatenate(py: Python<'_>, traces: Vec<Py<Self>>) -> PyResult<Self> {
        let traces: Vec<&pyasync_core::Trace> = traces.iter().map(|trace| &*trace.get().trace).collect();
        let all = py.detach(|| pyasync_core::Trace::concatenate(&traces));
        all.map(Self::from_core).or_raise(py)
    }

    fn validate(&self, py: Python<'_>, network: &Network) -> PyResult<()> {
        let checked = py.detach(|| with_network!(&network.typed, network => self.trace.validate(network)));
        checked.or_raise(py)
    }

    /// The columns (sample, timestep, step, order, neuron, v), with one row per emitted spike.
    #[allow(clippy::type_complexity)]
    fn to_events<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(
        Column<'py, u32>,
        Column<'py, u32>,
        Column<'py, u32>,
        Column<'py, u32>,
        Column<'py, i64>,
        Column<'py, f32>,
    )> {
        let events = py.detach(|| self.trace.to_events()).or_raise(py)?;
        Ok((
            PyArray1::from_vec(py, events.sample),
            PyArray1::from_vec(py, events.timestep),
            PyArray1::from_vec(py, events.step),
            PyArray1::from_vec(py, events.order),
            PyArray1::from_vec(py, events.neuron),
            PyArray1::from_vec(py, events.v),
        ))
    }

    /// (steps `[n, 6]`, emitted, fired, v, fates, joined `[n, 3]`, endings `[n, 3]`), where the tables are flattened.
    #[allow(clippy::type_complexity)]
    fn to_steps<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(
        Column<'py, u32>,
        Column<'py, u32>,
        Column<'py, u32>,
        Column<'py, f32>,
        Column<'py, u8>,
        Column<'py, u32>,
        Column<'py, u32>,
    )> {
        let columns = py.detach(|| self.trace.to_steps()).or_raise(py)?;
        let steps = columns
            .steps
            .iter()
            .flat_map(|s| [s.sample, s.timestep, s.step, s.shard, s.n_emitted, s.n_fired])
            .collect();
        let joined = columns
            .joined
            .iter()
            .flat_map(|&(sample, timestep, channel)| [sample, timestep, channel])
            .collect();
        let endings = columns
            .endings
            .iter()
            .flat_map(|&(sample, timestep, ending)| [sample, timestep, ending.code().into()])
            .collect();
        Ok((
            PyArray1::from_vec(py, steps),
            PyArray1::from_vec(py, columns.emitted),
            PyArray1::from_vec(py, columns.fired),
            PyArray1::from_vec(py, columns.v),
            PyArray1::from_vec(py, columns.fates),
            PyArray1::from_vec(py, joined),
            PyArray1::from_vec(py, endings),
        ))
    }

    /// A trace with this one's header and other steps.
    #[allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]
    fn with_steps(
        &self,
        py: Python<'_>,
        steps: PyReadonlyArray2<'_, u32>,
        emitted: PyReadonlyArray1<'_, u32>,
        fired: PyReadonlyArray1<'_, u32>,
        v: PyReadonlyArray1<'_, f32>,
        fates: PyReadonlyArray1<'_, u8>,
        joined: PyReadonlyArray2<'_, u32>,
        endings: PyReadonlyArray2<'_, u32>,
    ) -> PyResult<Self> {
        let unknown = |code| {
            to_python(py, Error::Trace(format!("endings: got the code {code}; accepted: codes from 0 to 9")))
        };
        let columns = Steps {
            steps: steps
                .as_array()
                .rows()
                .into_iter()
                .map(|row| Step {
                    sample: row[0],
                    timestep: row[1],
                    step: row[2],
                    shard: row[3],
                    n_emitted: row[4],
                    n_fired: row[5],
                })
                .collect(),
            emitted: emitted.as_slice()?.to_vec(),
            fired: fired.as_slice()?.to_vec(),
            v: v.as_slice()?.to_vec(),
            fates: fates.as_slice()?.to_vec(),
            joined: joined.as_array().rows().into_iter().map(|row| (row[0], row[1], row[2])).collect(),
            endings: endings
                .as_array()
                .rows()
                .into_iter()
                .map(|row| {
                    let ending = u8::try_from(row[2])
                        .ok()
                        .and_then(Ending::from_code)
                        .ok_or_else(|| unknown(row[2]))?;
                    Ok((row[0], row[1], ending))
                })
                .collect::<PyResult<_>>()?,
        };
        self.trace.with_steps(&columns).map(Self::from_core).or_raise(py)
    }
}
