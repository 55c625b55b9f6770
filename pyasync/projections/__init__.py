"""Projections: linear maps from the input or a population to a population.

Each kind defines which shapes it maps to which, and how the engine is told about it. A zero weight
is not a synapse: nothing is delivered through it.
"""

from pyasync.projections._base import MOST_NEURONS, Array, Projection, Shape
from pyasync.projections._conv import Conv1d, Conv2d
from pyasync.projections._linear import Linear
from pyasync.projections._one_to_one import OneToOne
from pyasync.projections._pool import AvgPool2d, SumPool2d
from pyasync.projections._sparse import Sparse

#: Projection classes by the names used in files.
KINDS: dict[str, type[Projection]] = {
    each.kind: each for each in (Linear, Conv1d, Conv2d, AvgPool2d, SumPool2d, Sparse, OneToOne)
}

__all__ = [
    "KINDS",
    "MOST_NEURONS",
    "Array",
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "Linear",
    "OneToOne",
    "Projection",
    "Shape",
    "Sparse",
    "SumPool2d",
]
