from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import aligned
from pyasync.errors import NetworkError, expected
from pyasync.projections._base import Array, Projection, Shape, bias_of, weight_of


class Linear(Projection):
    """A fully connected projection, like `torch.nn.Linear`.

    Parameters
    ----------
    weight : array, shape [n_out, n_in]
        Weights; a source of any shape is flattened. A zero is not a synapse.
    bias : array, shape [n_out], optional
        Each non-zero bias arrives at its target neuron once per timestep.

    Raises
    ------
    NetworkError
        If an array has the wrong shape, is not numeric or is not finite.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> pa.Linear(np.ones((10, 64)))
    Linear(weight[10, 64])
    """

    kind = "linear"

    def __init__(self, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None) -> None:
        self.weight = weight_of(weight, 2, "shape [n_out, n_in]")
        self.bias = bias_of(bias, self.weight.shape[0])

    @property
    def n_in(self) -> int:
        """Number of source neurons."""
        return int(self.weight.shape[1])

    def output_shape(self, input_shape: Shape) -> Shape:
        n_out, n_in = self.weight.shape
        if math.prod(input_shape) != n_in:
            given = f"shape {self.weight.shape} behind a source of shape {input_shape}"
            accepted = f"[n_out, {math.prod(input_shape)}]"
            raise NetworkError(expected("weight", given, accepted))
        return (n_out,)

    def parts(self, input_shape: Shape, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        return ("linear", aligned(self.weight, dtype))

    def arrays(self) -> dict[str, Array]:
        return {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})
