"""The base class of projections, and checks that several kinds share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyasync._checks import finite, numbers
from pyasync._copy import ReadOnly, copied
from pyasync.errors import NetworkError, expected

Shape = tuple[int, ...]
#: Largest number of neurons, and of inputs, in a network: the engine numbers them with 32 bits.
MOST_NEURONS = 2**31 - 1
Array = npt.NDArray[Any]


class Projection(ReadOnly, ABC):
    """Base class of all projections.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> projection = pa.Conv2d(np.ones((4, 2, 3, 3)), stride=2)
    >>> isinstance(projection, pa.Projection), projection.output_shape((2, 34, 34))
    (True, (4, 16, 16))
    """

    kind: ClassVar[str]
    bias: Array | None = None

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the target for a source of `input_shape`; NetworkError if it does not fit."""

    @abstractmethod
    def parts(self, input_shape: Shape, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """Arguments for the engine: the kind of map, then its arrays and numbers."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Arrays that define the projection, by parameter name."""

    def settings(self) -> dict[str, Any]:
        """The other parameters, in JSON-compatible form."""
        return {}

    @classmethod
    def from_parts(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Projection:
        """Rebuild a projection from its `arrays()` and `settings()`."""
        return cls(**arrays, **settings)

    def with_arrays(self, **arrays: Any) -> Projection:
        """The same projection with other arrays of the same shapes, which are not checked."""
        return copied(self, **arrays)

    def flat_bias(self, output_shape: Shape, dtype: np.dtype[Any]) -> Array | None:
        """Biases, one per target neuron, or None."""
        if self.bias is None:
            return None
        per_channel = math.prod(output_shape) // self.bias.size
        return np.repeat(self.bias.astype(dtype), per_channel)

    def __repr__(self) -> str:
        """The kind, the shapes of its arrays, and its settings."""
        arrays = [f"{name}{list(array.shape)}" for name, array in self.arrays().items()]
        settings = [f"{name}={value}" for name, value in self.settings().items()]
        return f"{type(self).__name__}({', '.join(arrays + settings)})"


def weight_of(given: Any, ndim: int, accepted: str) -> Array:
    array = numbers(NetworkError, "weight", given, accepted)
    if array.ndim != ndim or array.size == 0:
        raise NetworkError(expected("weight", f"an array of shape {array.shape}", accepted))
    finite(NetworkError, "weight", array)
    return array


def bias_of(given: Any, n: int) -> Array | None:
    if given is None:
        return None
    accepted = f"None or shape [{n}]"
    array = numbers(NetworkError, "bias", given, accepted)
    if array.shape != (n,):
        raise NetworkError(expected("bias", f"an array of shape {array.shape}", accepted))
    finite(NetworkError, "bias", array)
    return array
