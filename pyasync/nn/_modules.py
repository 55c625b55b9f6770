"""Modules for the projections for which PyTorch has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyasync._checks import integer
from pyasync.errors import NetworkError, expected
from pyasync.nn._limits import plain
from pyasync.projections import OneToOne as _OneToOne
from pyasync.projections import Sparse as _Sparse
from pyasync.projections import SumPool2d as _SumPool2d


class OneToOne(nn.Module):
    """Connect neuron `k` of the source to neuron `k` of the target, and to no other.

    Parameters
    ----------
    weight : int, float or tensor, shape [n]
        An int: this many weights, each initially 1. A float: one weight for all neurons. A tensor
        or array: one weight each, copied; to share a Parameter, assign it to `weight`.

    Raises
    ------
    NetworkError
        If the weights are not numeric or not finite.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.OneToOne(3)(torch.ones(2, 3)).shape, pa.nn.OneToOne(-0.5).weight.item()
    (torch.Size([2, 3]), -0.5)
    """

    def __init__(self, weight: int | float | npt.ArrayLike | torch.Tensor) -> None:
        super().__init__()
        if isinstance(weight, (int, np.integer)) and not isinstance(weight, bool):
            weight = np.ones(integer(NetworkError, "weight", weight, 1))
        self.weight = _parameter(_OneToOne(plain(NetworkError, "weight", weight)).weight, weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x * weight`, in the shape of `x`: [B, n], or [B, ...] with n entries per sample."""
        if self.weight.ndim == 0:
            return x * self.weight
        return (x.flatten(1) * self.weight).reshape(x.shape)

    def extra_repr(self) -> str:
        """The shape of the weights."""
        return f"{list(self.weight.shape)}"


class Sparse(nn.Module):
    """A sparse projection of which only the stored synapses exist and are learned.

    Parameters
    ----------
    csr : torch sparse CSR tensor, scipy.sparse matrix, or (indptr, indices, data)
        Row `k` holds the synapses onto target neuron `k`.
    shape : (n_out, n_in), optional
        Required with the three arrays.
    bias : tensor or array, shape [n_out], optional
        Arrives at the target neurons once per timestep.

    Attributes
    ----------
    weight : Parameter, shape [n_synapses]
        The stored values, in CSR order. A stored zero is not a synapse while it is zero.
    bias : Parameter, shape [n_out], or None
    indptr, indices : int64 buffers

    Raises
    ------
    NetworkError
        If the arrays do not form a matrix of that shape.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> sparse = pa.nn.Sparse(([0, 1, 3], [2, 0, 1], [0.5, 1.0, 1.0]), shape=(2, 3))
    >>> sparse
    Sparse(in_features=3, out_features=2, n_synapses=3, bias=False)
    >>> sparse(torch.tensor([[1.0, 2.0, 4.0]])).tolist()
    [[2.0, 3.0]]
    """

    indptr: torch.Tensor
    indices: torch.Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        csr: Any,
        shape: tuple[int, int] | None = None,
        bias: npt.ArrayLike | torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        values = None
        if isinstance(csr, torch.Tensor):
            if csr.layout != torch.sparse_csr or csr.ndim != 2:
                given = f"a tensor of layout {csr.layout} and shape {tuple(csr.shape)}"
                raise NetworkError(expected("csr", given, "a matrix: csr.to_sparse_csr()"))
            values = csr.values()
            shape = (csr.shape[0], csr.shape[1]) if shape is None else shape
            csr = csr.crow_indices(), csr.col_indices(), values
        elif isinstance(csr, (tuple, list)):
            values = csr[-1] if csr else None
        if isinstance(csr, (tuple, list)):
            csr = tuple(plain(NetworkError, "csr", each) for each in csr)
        projection = _Sparse(csr, shape, plain(NetworkError, "bias", bias))
        self.shape: tuple[int, int] = (projection.shape[0], projection.shape[1])
        self.weight = _parameter(projection.data, values)
        own = projection.bias
        self.register_parameter("bias", None if own is None else _parameter(own, bias))
        self.register_buffer("indptr", torch.tensor(projection.indptr))
        self.register_buffer("indices", torch.tensor(projection.indices))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply `x` [B, n_in] or [B, ...] by the matrix and add the bias: [B, n_out]."""
        x = x.flatten(1)
        rows = torch.repeat_interleave(self.indptr.diff())
        products = x[:, self.indices] * self.weight
        sums = products.new_zeros(len(x), self.shape[0]).index_add(1, rows, products)
        return sums if self.bias is None else sums + self.bias

    def extra_repr(self) -> str:
        """The sizes, and whether there is a bias."""
        n_out, n_in = self.shape
        sizes = f"in_features={n_in}, out_features={n_out}, n_synapses={self.weight.numel()}"
        return f"{sizes}, bias={self.bias is not None}"


class SumPool2d(nn.Module):
    """Sum pooling: every weight is 1.

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), optional
        `kernel_size` if not given.
    padding : int or (int, int)
        At most half of `kernel_size`.

    Raises
    ------
    NetworkError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.SumPool2d(2)(torch.ones(1, 1, 4, 4)).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """

    __constants__ = ("kernel_size", "stride", "padding")  # as in PyTorch's own modules

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        pool = _SumPool2d(kernel_size, stride, padding)
        self.kernel_size: tuple[int, int] = (pool.kernel_size[0], pool.kernel_size[1])
        self.stride: tuple[int, int] = (pool.stride[0], pool.stride[1])
        self.padding: tuple[int, int] = (pool.padding[0], pool.padding[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Window sums [B, C, H', W'] of `x` [B, C, H, W]."""
        size, stride, padding = self.kernel_size, self.stride, self.padding
        return nn.functional.avg_pool2d(x, size, stride, padding, divisor_override=1)

    def extra_repr(self) -> str:
        """The window's settings."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _parameter(values: npt.NDArray[Any], given: Any) -> nn.Parameter:
    """A Parameter in the dtype of what was given, or the default dtype for lists and numbers."""
    own = given.dtype if isinstance(given, (torch.Tensor, np.ndarray)) else None
    keeps = own in (torch.float32, torch.float64) or own == np.float32
    # Plain numbers say nothing about precision, so they take the default dtype, as in nn.Linear.
    tensor = torch.tensor(values)
    return nn.Parameter(tensor if keeps else tensor.to(torch.get_default_dtype()))
