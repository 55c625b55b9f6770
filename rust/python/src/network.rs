//! Networks: built from the parts that `pyasync.Network` has checked and collected.

use std::sync::Arc;

use numpy::{Element, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyasync_core::{ConvGeometry, Error, Float, Lif, NetworkBuilder, Projection, Refractory, Reset, Source};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::OrRaise;

/// A network that is ready to run, in one of the two number types.
#[derive(Clone)]
pub(crate) enum Typed {
    F32(Arc<pyasync_core::Network<f32>>),
    F64(Arc<pyasync_core::Network<f64>>),
}

/// A built, immutable network.
#[pyclass(frozen, module = "pyasync._core")]
pub(crate) struct Network {
    pub(crate) typed: Typed,
}

/// Runs the same code for a network of either type.
macro_rules! with_network {
    ($typed:expr, $network:ident => $body:expr) => {
        match $typed {
            $crate::network::Typed::F32($network) => $body,
            $crate::network::Typed::F64($network) => $body,
        }
    };
}
pub(crate) use with_network;

/// (name, number of neurons, `tau_mem`, `v_threshold`, reset, refractory, `sync_threshold`, `reset_amount`, `tau_syn`)
type PopulationParts<'py> =
    (String, usize, Values<'py>, Values<'py>, String, String, u32, Option<Values<'py>>, Option<Values<'py>>);

/// A parameter of a population's neurons.
#[derive(FromPyObject)]
enum Values<'py> {
    Each(PyReadonlyArray1<'py, f64>),
    One(f64),
}

impl Values<'_> {
    fn to_vec(&self) -> PyResult<Vec<f64>> {
        match self {
            Self::Each(values) => Ok(values.as_slice()?.to_vec()),
            Self::One(value) => Ok(vec![*value]),
        }
    }
}

/// (source or -1 for the input, target, projection as a tuple that begins with its kind, bias)
type ProjectionParts<'py> = (i64, usize, Bound<'py, PyTuple>, Option<Bound<'py, PyAny>>);

/// (kind, weight, (in, out) channels, size, kernel, stride, padding, dilation, groups)
type ConvParts<'py, T> =
    (String, PyReadonlyArray1<'py, T>, (usize, usize), Pair, Pair, Pair, Pair, Pair, usize);
type Pair = [usize; 2];

#[pymethods]
impl Network {
    #[new]
    #[allow(clippy::needless_pass_by_value)] // PyO3 hands over owned arguments
    fn new(
        py: Python<'_>,
        dtype: &str,
        n_inputs: usize,
        populations: Vec<PopulationParts<'_>>,
        projections: Vec<ProjectionParts<'_>>,
        output: usize,
    ) -> PyResult<Self> {
        let typed = if dtype == "float64" {
            Typed::F64(Arc::new(build(py, n_inputs, &populations, &projections, output)?))
        } else {
            Typed::F32(Arc::new(build(py, n_inputs, &populations, &projections, output)?))
        };
        Ok(Self { typed })
    }

    /// `beta` of every neuron, in the network's type.
    fn decay<'py>(&self, py: Python<'py>, dt: f64) -> PyResult<Bound<'py, PyAny>> {
        with_network!(&self.typed, network => {
            let beta = network.decay(dt).or_raise(py)?;
            Ok(PyArray1::from_vec(py, beta).into_any())
        })
    }

    /// `alpha` of every neuron, in the network's type: 0 for neurons without a synaptic current, empty if no population
    /// has any.
    fn synaptic_decay<'py>(&self, py: Python<'py>, dt: f64) -> PyResult<Bound<'py, PyAny>> {
        with_network!(&self.typed, network => {
            let alpha = network.synaptic_decay(dt).or_raise(py)?;
            Ok(PyArray1::from_vec(py, alpha).into_any())
        })
    }

    /// Number of synapses of each projection.
    fn n_synapses(&self) -> Vec<u64> {
        with_network!(&self.typed, network => network.n_synapses())
    }

    /// Bytes of each projection's weights and indices.
    fn nbytes(&self) -> Vec<usize> {
        with_network!(&self.typed, network => network.nbytes())
    }
}

fn build<T: Float + Element>(
    py: Python<'_>,
    n_inputs: usize,
    populations: &[PopulationParts<'_>],
    projections: &[ProjectionParts<'_>],
    output: usize,
) -> PyResult<pyasync_core::Network<T>> {
    let mut builder = NetworkBuilder::<T>::new(n_inputs);
    for (name, n, tau_mem, v_threshold, reset, refractory, sync_threshold, reset_amount, tau_syn) in
        populations
    {
        let reset = match reset.as_str() {
            "subtract" => Reset::Subtract,
            "none" => Reset::None,
            _ => Reset::Zero,
        };
        let refractory = if refractory == "none" { Refractory::None } else { Refractory::Timestep };
        let lif = Lif {
            tau_mem: tau_mem.to_vec()?,
            v_threshold: v_threshold.to_vec()?,
            reset,
            reset_amount: reset_amount.as_ref().map(Values::to_vec).transpose()?,
            refractory,
            sync_threshold: *sync_threshold,
            tau_syn: tau_syn.as_ref().map(Values::to_vec).transpose()?,
        };
        builder.population(name, *n, lif);
    }
    for (source, target, parts, bias) in projections {
        let source = usize::try_from(*source).map_or(Source::Input, Source::Population);
        let bias = bias.as_ref().map(PyAnyMethods::extract::<PyReadonlyArray1<'_, T>>).transpose()?;
        let bias = bias.map(|bias| bias.as_slice().map(<[T]>::to_vec)).transpose()?;
        builder.projection(source, *target, projection(py, parts)?, bias);
    }
    builder.output(output);
    builder.build().or_raise(py)
}

fn projection<T: Float + Element>(py: Python<'_>, parts: &Bound<'_, PyTuple>) -> PyResult<Projection<T>> {
    let kind: String = parts.get_item(0)?.extract()?;
    let built: Result<Projection<T>, Error> = match kind.as_str() {
        "linear" => {
            let weight: PyReadonlyArray2<'_, T> = parts.get_item(1)?.extract()?;
            let shape = weight.as_array();
            let (n_out, n_in) = shape.dim();
            Projection::dense(weight.as_slice()?, n_out, n_in)
        }
        "sparse" => {
            let (_, indptr, indices, weight, n_out, n_in): (
                String,
                Vec<usize>,
                PyReadonlyArray1<'_, u32>,
                PyReadonlyArray1<'_, T>,
                usize,
                usize,
            ) = parts.extract()?;
            Projection::sparse(&indptr, indices.as_slice()?, weight.as_slice()?, n_out, n_in)
        }
        "conv" => {
            let (_, weight, (channels_in, channels_out), size_in, kernel, stride, padding, dilation, groups): ConvParts<'_, T> =
                parts.extract()?;
            Projection::conv(
                weight.as_slice()?,
                ConvGeometry {
                    channels_in,
                    channels_out,
                    size_in,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    groups,
                },
            )
        }
        "one_to_one" => {
            Projection::one_to_one(parts.get_item(1)?.extract::<PyReadonlyArray1<'_, T>>()?.as_slice()?)
        }
        _ => {
            return Err(PyTypeError::new_err(format!("no projection is called {kind}")));
        }
    };
    built.or_raise(py)
}
