//! The one place where the core's errors become Python exceptions.

use pyasync_core::Error;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// Turns results of the core into those of Python.
pub(crate) trait OrRaise<T> {
    /// The value, or the Python exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, error))
    }
}

/// The exception of `pyasync.errors` for an error of the core.
pub(crate) fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let class = match &error {
        Error::Network { .. } => "NetworkError",
        Error::Input { .. } => "InputError",
        Error::Schedule { .. } | Error::Callable(_) | Error::Ends(_) => "ScheduleError",
        Error::Trace(_) => "TraceError",
        Error::Replay(_) => "ReplayError",
        Error::Interrupted => return PyKeyboardInterrupt::new_err(()),
        Error::Panic(_) => return PyRuntimeError::new_err(error.to_string()),
    };
    let (message, cause) = match error {
        Error::Callable(cause) | Error::Ends(cause) => match cause.downcast::<PyErr>() {
            // Ctrl-C and exits pass through, and so does an error of pyasync's own, which is already worded.
            Ok(cause) if ends(py, &cause) || is_ours(py, &cause) => return *cause,
            Ok(cause) => {
                let raised = cause
                    .value(py)
                    .repr()
                    .map_or_else(|_| "an exception".to_owned(), |text| text.to_string());
                (
                    format!(
                        "pick: got {raised}, raised by the callable; accepted: a callable that gives n different indices"
                    ),
                    Some(*cause),
                )
            }
            Err(cause) => (cause.to_string(), None),
        },
        error => (error.to_string(), None),
    };
    let raised = py
        .import("pyasync.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((message,)));
    match raised {
        Ok(value) => {
            let raised = PyErr::from_value(value);
            raised.set_cause(py, cause);
            raised
        }
        Err(failed) => failed,
    }
}

/// Whether the error is meant to end the program: Ctrl-C, or an exit.
pub(crate) fn ends(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py)
}

fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    let base = py.import("pyasync.errors").and_then(|errors| errors.getattr("PyasyncError"));
    base.is_ok_and(|base| error.value(py).is_instance(&base).unwrap_or(false))
}
