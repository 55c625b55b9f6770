"""The exceptions of pyasync; all that it raises on purpose derive from `PyasyncError`.

Each message names the argument and says what was given and what is accepted.
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
    """An argument has a value, shape or type that is not accepted.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.Momentum(noise=-1)
    ... except pa.ArgumentError as error:
    ...     print(f"{type(error).__name__}: {error}")
    ScheduleError: noise: got -1; accepted: a finite number of 0 or more
    """


class NetworkError(ArgumentError):
    """A network, population, projection or neuron model is invalid.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.LIF(tau_mem=0)
    ... except pa.NetworkError as error:
    ...     print(error)
    tau_mem: got 0.0; accepted: seconds > 0 (infinity: integrate-and-fire)
    """


class InputError(ArgumentError):
    """An input, label or option of a run or training is invalid or does not fit the network.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.SpikeBatch([3], [0, 1], n_timesteps=1, input_shape=3)
    ... except pa.InputError as error:
    ...     print(error)
    channel: got 3; accepted: 0 .. 2
    """


class ScheduleError(ArgumentError):
    """A schedule is invalid, or a custom one made an invalid choice.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.Fifo(0)
    ... except pa.ScheduleError as error:
    ...     print(error)
    forward_group_size: got 0; accepted: an integer of 1 or more
    """


class TraceError(PyasyncError):
    """A trace is truncated, altered, not a trace at all, invalid, or from another network.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.Trace.from_bytes(b"no trace")
    ... except pa.TraceError as error:
    ...     print(error)
    trace: got a file that is no trace; accepted: a whole, unaltered trace file of version 1
    """


class ReplayError(TraceError):
    """A replay diverged from its trace: the message names the first difference.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
    >>> x = np.full((1, 1, 2), 2.0)
    >>> trace = pa.simulate(network, x, dt=1e-3, record=True).trace
    >>> try:
    ...     pa.simulate(network, 0 * x, pa.Replay(trace), dt=1e-3)
    ... except pa.ReplayError as error:
    ...     print(error)
    trace: the replay diverges from it at sample 0, timestep 0, step 0: in the trace neuron 0 fires,
    here no further neuron fires; accepted: the network, weights and input that were recorded
    """


class GradientError(PyasyncError, NotImplementedError):
    """The requested derivative, or way of computing it, does not exist for spikes.

    Raised for double backward, forward mode, `vmap` and autocast, and for `gradient="native"` off
    the CPU.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> options = {"input_shape": 3, "schedule": pa.Fifo(1), "dt": 10e-3}
    >>> model = pa.nn.AsyncSequential(pa.nn.OneToOne(2.0), pa.nn.LIF(), **options)
    >>> try:
    ...     with torch.autocast("cpu"):
    ...         model(torch.ones(1, 1, 3))
    ... except pa.GradientError as error:
    ...     print(error)
    gradient: got autocast; accepted: float32 or float64 throughout: torch.autocast(...,
    enabled=False) around the model
    """


class FileError(PyasyncError, ValueError):
    """A file could not be read as the kind of file expected, or could not be written.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     pa.SpikeBatch.load("no such file")
    ... except pa.FileError as error:
    ...     print(error)
    path: got no such file (No such file or directory); accepted: a whole npz file
    """


class MissingDependencyError(PyasyncError, ImportError):
    """An optional dependency is not installed; the message says how to install it.

    Examples
    --------
    >>> import pyasync as pa
    >>> try:
    ...     from pyasync import nn
    ... except pa.MissingDependencyError as error:
    ...     print(error)   # such as: torch is not installed; ...: pip install torch
    """


def expected(argument: str, given: object, accepted: str) -> str:
    """Format an error message in the package's standard form."""
    return f"{argument}: got {given}; accepted: {accepted}"
