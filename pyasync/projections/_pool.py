from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from pyasync.errors import NetworkError, expected
from pyasync.projections._base import MOST_NEURONS, Array, Shape
from pyasync.projections._window import Pair, Windowed, pair


class _Pool(Windowed):
    axes = 2
    dilation = (1, 1)

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
    ) -> None:
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            accepted = f"at most half of kernel_size {self.kernel_size}"
            raise NetworkError(expected("padding", self.padding, accepted))

    def channels(self, input_shape: Shape) -> tuple[int, int, int]:
        return input_shape[0], input_shape[0], input_shape[0]

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = super().output_shape(input_shape)
        # Padding allows windows of any size, and every tap of a window has a weight in memory.
        if input_shape[0] * math.prod(self.kernel_size) > MOST_NEURONS:
            given = f"{self.kernel_size} on a source {input_shape}"
            accepted = f"a kernel with at most {MOST_NEURONS} taps for all channels"
            raise NetworkError(expected("kernel_size", given, accepted))
        return shape

    @abstractmethod
    def _tap(self) -> float:
        """The weight of every tap."""

    def tap_weights(self, channels: int) -> Array:
        return np.full((channels, 1, *self.kernel_size), self._tap())

    def arrays(self) -> dict[str, Array]:
        return {}

    def settings(self) -> dict[str, Any]:
        return {
            "kernel_size": list(self.kernel_size),
            "stride": list(self.stride),
            "padding": list(self.padding),
        }


class AvgPool2d(_Pool):
    """Average pooling, like `torch.nn.AvgPool2d`: every weight is 1 / (kH * kW).

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), optional
        `kernel_size` if not given.
    padding : int or (int, int)
        At most half of `kernel_size`; padding counts as zeros in the average.

    Raises
    ------
    NetworkError
        If an argument is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.AvgPool2d(2).output_shape((12, 28, 28))
    (12, 14, 14)
    """

    kind = "avg_pool2d"

    def _tap(self) -> float:
        return 1 / math.prod(self.kernel_size)


class SumPool2d(_Pool):
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
    >>> import pyasync as pa
    >>> pa.SumPool2d((2, 1)).output_shape((12, 28, 28))
    (12, 14, 28)
    """

    kind = "sum_pool2d"

    def _tap(self) -> float:
        return 1.0
