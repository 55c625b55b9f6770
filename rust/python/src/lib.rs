//! The Python face of `pyasync-core`: convert in, detach from the interpreter, call core, map the error, convert out.
//! No logic of its own.

mod error;
mod gradient;
mod input;
mod network;
mod simulate;
mod trace;

use pyo3::prelude::*;

/// The compiled half of pyasync; use the functions and classes of `pyasync` instead.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::gradient::gradient;
    #[pymodule_export]
    use crate::input::to_events;
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::simulate::{cpu_features, simulate};
    #[pymodule_export]
    use crate::trace::Trace;
}
