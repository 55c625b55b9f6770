from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import aligned, finite, numbers
from pyasync.errors import NetworkError, expected
from pyasync.projections._base import Array, Projection, Shape


class OneToOne(Projection):
    """Connect neuron `k` of the source to neuron `k` of the target, and to no other.

    Parameters
    ----------
    weight : float or array, shape [n]
        One weight for all neurons, or one each.

    Raises
    ------
    NetworkError
        If the weights have the wrong shape, are not numeric or are not finite.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.OneToOne(-0.5).output_shape((4, 8))
    (4, 8)
    """

    kind = "one_to_one"

    def __init__(self, weight: npt.ArrayLike) -> None:
        accepted = "a number or shape [n]"
        self.weight = numbers(NetworkError, "weight", weight, accepted)
        if self.weight.ndim > 1 or self.weight.size == 0:
            given = f"an array of shape {self.weight.shape}"
            raise NetworkError(expected("weight", given, accepted))
        finite(NetworkError, "weight", self.weight)

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.weight.ndim and self.weight.size != math.prod(input_shape):
            given = f"shape {self.weight.shape} behind a source of shape {input_shape}"
            accepted = f"a number or shape [{math.prod(input_shape)}]"
            raise NetworkError(expected("weight", given, accepted))
        return input_shape

    def parts(self, input_shape: Shape, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        weight = np.broadcast_to(self.weight, (math.prod(input_shape),))
        return ("one_to_one", aligned(weight, dtype))

    def arrays(self) -> dict[str, Array]:
        return {"weight": self.weight}
