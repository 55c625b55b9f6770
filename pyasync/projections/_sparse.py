from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import aligned, array, finite, integer, numbers, shown
from pyasync.errors import NetworkError, expected
from pyasync.projections._base import MOST_NEURONS, Array, Projection, Shape, bias_of


class Sparse(Projection):
    """A sparse projection in compressed sparse row (CSR) form.

    Parameters
    ----------
    csr : scipy.sparse matrix, or (indptr, indices, data)
        Row `k` holds the synapses onto target neuron `k`: source neurons
        `indices[indptr[k]:indptr[k + 1]]` with weights `data[indptr[k]:indptr[k + 1]]`.
        A stored zero is not a synapse. A matrix in another form than CSR is converted.
    shape : (n_out, n_in)
        Required with the three arrays.
    bias : array, shape [n_out], optional
        Each non-zero bias arrives at its target neuron once per timestep.

    Raises
    ------
    NetworkError
        If the arrays do not form a matrix of that shape. A column that occurs twice in a row is
        found only when the network is built.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Sparse(([0, 1, 3], [2, 0, 1], [0.5, 1.0, 1.0]), shape=(2, 3))
    Sparse(indptr[3], indices[3], data[3], shape=[2, 3])
    """

    kind = "sparse"

    def __init__(
        self,
        csr: Any,
        shape: tuple[int, int] | None = None,
        bias: npt.ArrayLike | None = None,
    ) -> None:
        converts = getattr(csr, "format", "csr") != "csr" and hasattr(csr, "tocsr")
        parts = ("indptr", "indices", "data", "shape")
        is_matrix = converts or all(hasattr(csr, name) for name in parts)
        if is_matrix:
            shape = csr.shape if shape is None else shape
        elif not isinstance(csr, (tuple, list)) or len(csr) != 3:
            accepted = "a scipy.sparse matrix or (indptr, indices, data)"
            raise NetworkError(expected("csr", type(csr).__name__, accepted))
        if not isinstance(shape, (tuple, list)) or len(shape) != 2:
            raise NetworkError(expected("shape", shown(shape), "(n_out, n_in)"))
        self.shape = tuple(integer(NetworkError, "shape", n, 1) for n in shape)
        if max(self.shape) > MOST_NEURONS:
            raise NetworkError(expected("shape", self.shape, f"sizes up to {MOST_NEURONS}"))
        if is_matrix:
            csr = csr.tocsr() if converts else csr
            csr = (csr.indptr, csr.indices, csr.data)
        self.indptr = self._indices("indptr", csr[0])
        self.indices = self._indices("indices", csr[1])
        self.data = numbers(NetworkError, "data", csr[2], "an array of numbers")
        finite(NetworkError, "data", self.data)
        n_out, n_in = self.shape
        n_synapses = self.indices.size
        if self.data.shape != (n_synapses,):
            accepted = f"shape [{n_synapses}], as indices has"
            raise NetworkError(expected("data", f"an array of shape {self.data.shape}", accepted))
        starts = self.indptr
        ordered = starts.size == n_out + 1 and starts[0] == 0 and bool((np.diff(starts) >= 0).all())
        if not ordered or starts[-1] != n_synapses:
            given = f"{starts.size} offsets from {starts[:1]} to {starts[-1:]}"
            accepted = f"{n_out + 1} offsets, never decreasing, from 0 to {n_synapses}"
            raise NetworkError(expected("indptr", given, accepted))
        if n_synapses and (self.indices.min() < 0 or self.indices.max() >= n_in):
            worst = self.indices.min() if self.indices.min() < 0 else self.indices.max()
            raise NetworkError(expected("indices", worst, f"columns from 0 to {n_in - 1}"))
        self.bias = bias_of(bias, n_out)

    @staticmethod
    def _indices(argument: str, given: Any) -> Array:
        accepted = "integers, shape [n]"
        read = array(NetworkError, argument, given, accepted)
        if read.ndim != 1 or (read.size and read.dtype.kind not in "iu"):
            given = f"an array of {read.dtype} and shape {read.shape}"
            raise NetworkError(expected(argument, given, accepted))
        copy = np.array(read, np.int64)
        copy.flags.writeable = False
        return copy

    @property
    def n_in(self) -> int:
        """Number of source neurons."""
        return self.shape[1]

    def output_shape(self, input_shape: Shape) -> Shape:
        n_out, n_in = self.shape
        if math.prod(input_shape) != n_in:
            given = f"{self.shape} behind a source of shape {input_shape}"
            raise NetworkError(expected("shape", given, f"(n_out, {math.prod(input_shape)})"))
        return (n_out,)

    def parts(self, input_shape: Shape, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        indices, data = self.indices.astype(np.uint32), aligned(self.data, dtype)
        return ("sparse", self.indptr, indices, data, *self.shape)

    def arrays(self) -> dict[str, Array]:
        arrays = {"indptr": self.indptr, "indices": self.indices, "data": self.data}
        return arrays | ({} if self.bias is None else {"bias": self.bias})

    def settings(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    @classmethod
    def from_parts(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Projection:
        csr = arrays["indptr"], arrays["indices"], arrays["data"]
        return cls(csr, tuple(settings["shape"]), arrays.get("bias"))
