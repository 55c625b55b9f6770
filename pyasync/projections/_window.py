"""What convolutions and pooling share: windows that move over the last axes of a source."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pyasync._checks import aligned, integer, shown
from pyasync.errors import NetworkError, expected
from pyasync.projections._base import Array, Projection, Shape

Pair = tuple[int, int]


def pair(argument: str, given: Any, minimum: int, axes: int = 2) -> tuple[int, ...]:
    values = given if isinstance(given, (tuple, list)) else (given,) * axes
    if len(values) != axes:
        accepted = "an integer" if axes == 1 else f"an integer or {axes} of them"
        raise NetworkError(expected(argument, shown(given), accepted))
    return tuple(integer(NetworkError, argument, value, minimum) for value in values)


def same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...] | None:
    """Padding that preserves sizes, equal on both sides; None if that is impossible."""
    both = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return None if any(each % 2 for each in both) else tuple(each // 2 for each in both)


class Windowed(Projection):
    """What convolutions and pooling share: windows that move over the last axes of a source."""

    #: Axes that the windows move over.
    axes: ClassVar[int]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @abstractmethod
    def channels(self, input_shape: Shape) -> tuple[int, int, int]:
        """Input channels, output channels and groups for a source of this shape."""

    @abstractmethod
    def tap_weights(self, channels: int) -> Array:
        """Weights [out, in / groups, *kernel]."""

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.axes + 1:
            accepted = "a source of shape [C, " + ", ".join("HW"[-self.axes :]) + "]"
            given = f"a source of shape {input_shape}"
            raise NetworkError(expected("projection", given, accepted))
        _, channels_out, _ = self.channels(input_shape)
        sizes = []
        for size, kernel, stride, padding, dilation in zip(
            input_shape[1:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True
        ):
            room = size + 2 * padding - dilation * (kernel - 1) - 1
            if room < 0:
                given = f"{self.kernel_size} with padding {self.padding} on a source {input_shape}"
                accepted = "a kernel that fits the padded source"
                raise NetworkError(expected("kernel_size", given, accepted))
            sizes.append(room // stride + 1)
        return (channels_out, *sizes)

    def parts(self, input_shape: Shape, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        channels_in, channels_out, groups = self.channels(input_shape)
        weight = aligned(self.tap_weights(channels_in), dtype).reshape(-1)

        def plane(values: Shape, missing: int) -> Pair:
            # The engine takes a one-dimensional window as a two-dimensional one of height 1.
            return (values[0], values[1]) if len(values) == 2 else (missing, values[0])

        return (
            "conv",
            weight,
            (channels_in, channels_out),
            plane(input_shape[1:], 1),
            plane(self.kernel_size, 1),
            plane(self.stride, 1),
            plane(self.padding, 0),
            plane(self.dilation, 1),
            groups,
        )
