"""Networks of asynchronous neurons as PyTorch modules, run and trained in event order.

The forward is the engine's simulation, to the bit; the backward follows the order it recorded.
"""

# _pytorch comes first: if PyTorch is missing, it says what to install.
from pyasync.nn import _pytorch as _pytorch
from pyasync.nn import functional
from pyasync.nn._activity import ActivityWarning
from pyasync.nn._base import AsyncModule, State
from pyasync.nn._cost import SpikeCost
from pyasync.nn._modules import OneToOne, Sparse, SumPool2d
from pyasync.nn._network import AsyncNetwork
from pyasync.nn._neuron import LIF
from pyasync.nn._schedules import RandomSchedules
from pyasync.nn._sequential import AsyncSequential
from pyasync.nn._surrogates import (
    Surrogate,
    atan,
    fast_sigmoid,
    sigmoid,
    straight_through_estimator,
    triangular,
)

__all__ = [
    "LIF",
    "ActivityWarning",
    "AsyncModule",
    "AsyncNetwork",
    "AsyncSequential",
    "OneToOne",
    "RandomSchedules",
    "Sparse",
    "SpikeCost",
    "State",
    "SumPool2d",
    "Surrogate",
    "atan",
    "fast_sigmoid",
    "functional",
    "sigmoid",
    "straight_through_estimator",
    "triangular",
]
