"""Every error that pyasync raises on purpose derives from `PyasyncError`.

A message names the argument, says what was given and what is accepted.
"""

from __future__ import annotations


class PyasyncError(Exception):
    """Base class of every error that pyasync raises on purpose.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> try:
    ...     pa.Network.sequential([pa.Linear(np.ones((2, 3, 4)))])
    ... except pa.PyasyncError as error:
    ...     print(error)
    weight: got an array of shape (2, 3, 4); accepted: shape [n_out, n_in]
    """


class ArgumentError(PyasyncError, ValueError):
    """An argument has a value, shape or type that is not accepted."""


class NetworkError(ArgumentError):
    """A network, population, projection or neuron model is not well formed."""


class InputError(ArgumentError):
    """An input of spikes or currents is not well formed or does not fit the network."""


class ScheduleError(ArgumentError):
    """A schedule is not well formed, or a custom one picked what it may not."""


class TraceError(PyasyncError):
    """A trace is truncated, altered, foreign, invalid or of another network."""


class ReplayError(TraceError):
    """A replay diverged from its trace: the message names the first difference."""


class GradientError(PyasyncError, NotImplementedError):
    """A derivative, or a way of computing it, that does not exist for spikes.

    Double backward, forward mode, `vmap` and autocast raise it, and so does `gradient="native"`
    off the CPU.
    """


class FileError(PyasyncError, ValueError):
    """A file could not be read as what it should be, or not be written."""


class MissingDependencyError(PyasyncError, ImportError):
    """An optional dependency is not installed; the message says how to install it."""


def expected(argument: str, given: object, accepted: str) -> str:
    """Word an error message the one way this package words them."""
    return f"{argument}: got {given}; accepted: {accepted}"
