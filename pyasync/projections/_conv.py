from __future__ import annotations

from typing import Any

import numpy.typing as npt

from pyasync._checks import integer
from pyasync.errors import NetworkError, expected
from pyasync.projections._base import Array, Shape, bias_of, weight_of
from pyasync.projections._window import Windowed, pair


class _Conv(Windowed):
    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
    ) -> None:
        kernel = ", ".join(("kH", "kW")[-self.axes :])
        self.weight = weight_of(weight, self.axes + 2, f"shape [out, in / groups, {kernel}]")
        self.bias = bias_of(bias, self.weight.shape[0])
        self.kernel_size = self.weight.shape[2:]
        self.stride = pair("stride", stride, 1, self.axes)
        self.padding = pair("padding", padding, 0, self.axes)
        self.dilation = pair("dilation", dilation, 1, self.axes)
        self.groups = integer(NetworkError, "groups", groups, 1)
        if self.weight.shape[0] % self.groups:
            accepted = f"a divisor of the {self.weight.shape[0]} output channels"
            raise NetworkError(expected("groups", self.groups, accepted))

    def channels(self, input_shape: Shape) -> tuple[int, int, int]:
        channels_in = self.weight.shape[1] * self.groups
        if input_shape[0] != channels_in:
            given = f"shape {self.weight.shape} with groups={self.groups}, source {input_shape}"
            accepted = f"a source of {channels_in} channels"
            raise NetworkError(expected("weight", given, accepted))
        return channels_in, self.weight.shape[0], self.groups

    def tap_weights(self, channels: int) -> Array:
        return self.weight

    def arrays(self) -> dict[str, Array]:
        return {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})

    def settings(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation")
        return {name: list(getattr(self, name)) for name in names} | {"groups": self.groups}


class Conv1d(_Conv):
    """A one-dimensional convolution, like `torch.nn.Conv1d`.

    Parameters
    ----------
    weight : array, shape [out, in / groups, kW]
    bias : array, shape [out], optional
    stride, padding, dilation : int
    groups : int

    Raises
    ------
    NetworkError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> pa.Conv1d(np.ones((8, 2, 5)), stride=2).output_shape((2, 100))
    (8, 48)
    """

    kind, axes = "conv1d", 1


class Conv2d(_Conv):
    """A two-dimensional convolution, like `torch.nn.Conv2d`.

    A spike touches only the neurons in whose window it lies.

    Parameters
    ----------
    weight : array, shape [out, in / groups, kH, kW]
    bias : array, shape [out], optional
    stride, padding, dilation : int or (int, int)
    groups : int

    Raises
    ------
    NetworkError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> pa.Conv2d(np.ones((8, 2, 3, 3)), stride=2).output_shape((2, 34, 34))
    (8, 16, 16)
    """

    kind, axes = "conv2d", 2
