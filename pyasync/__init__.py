"""Spiking neural networks without layer synchronisation.

Networks run event by event, in an order that a schedule decides. Runs are reproducible to the bit,
and can be recorded and replayed. Importing pyasync needs only NumPy.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from pyasync import data, interop, study
from pyasync.errors import (
    ArgumentError,
    FileError,
    GradientError,
    InputError,
    MissingDependencyError,
    NetworkError,
    PyasyncError,
    ReplayError,
    ScheduleError,
    TraceError,
)
from pyasync.events import SpikeBatch
from pyasync.network import Connection, Network, Population
from pyasync.neurons import LIF, time_constant
from pyasync.projections import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Linear,
    OneToOne,
    Projection,
    Sparse,
    SumPool2d,
)
from pyasync.result import Result, StopReason
from pyasync.schedules import (
    Custom,
    Fifo,
    FreeRunning,
    Layered,
    Lifo,
    Momentum,
    Priority,
    Random,
    Replay,
    Schedule,
)
from pyasync.simulate import simulate, simulate_stream
from pyasync.trace import Trace
from pyasync.trace_steps import TraceSteps

if TYPE_CHECKING:
    from pyasync import nn as nn

__version__ = _version("pyasync")

__all__ = [
    "LIF",
    "ArgumentError",
    "AvgPool2d",
    "Connection",
    "Conv1d",
    "Conv2d",
    "Custom",
    "Fifo",
    "FileError",
    "FreeRunning",
    "GradientError",
    "InputError",
    "Layered",
    "Lifo",
    "Linear",
    "MissingDependencyError",
    "Momentum",
    "Network",
    "NetworkError",
    "OneToOne",
    "Population",
    "Priority",
    "Projection",
    "PyasyncError",
    "Random",
    "Replay",
    "ReplayError",
    "Result",
    "Schedule",
    "ScheduleError",
    "Sparse",
    "SpikeBatch",
    "StopReason",
    "SumPool2d",
    "Trace",
    "TraceError",
    "TraceSteps",
    "data",
    "interop",
    "simulate",
    "simulate_stream",
    "study",
    "time_constant",
]


def __getattr__(name: str) -> Any:
    """Import `pyasync.nn`, and with it PyTorch, on first use."""
    if name == "nn":
        from importlib import import_module

        return import_module("pyasync.nn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "nn"} - {"Any", "TYPE_CHECKING"})
