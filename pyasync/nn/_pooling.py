"""A pooling before or after a layer, without neurons between them: both are one layer.

Its weights are computed by PyTorch operations, so that autograd connects them to the layer's own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from pyasync import projections
from pyasync.errors import NetworkError, expected
from pyasync.nn._limits import numbers
from pyasync.nn._modules import SumPool2d
from pyasync.projections import Shape

POOLS = (nn.AvgPool2d, SumPool2d)


def linear_after(
    pool: Any, weight: torch.Tensor, source_shape: Shape, pooled_shape: Shape
) -> torch.Tensor:
    """Weight [n_out, C * H * W] of a pooling of (C, H, W) followed by `nn.Linear` of this weight.

    Each input gets the weight of all windows that it is in, which a transposed convolution adds up.
    """
    windows = weight.reshape(-1, 1, *pooled_shape[1:])
    spread = nn.functional.conv_transpose2d(
        windows, _taps(pool, weight), stride=pool.stride, padding=pool.padding
    )
    # No window reaches the last rows and columns if the stride leaves some over.
    rest = [source_shape[2] - spread.shape[3], source_shape[1] - spread.shape[2]]
    return nn.functional.pad(spread, (0, rest[0], 0, rest[1])).reshape(len(weight), -1)


def conv_after(pool: Any, weight: torch.Tensor, dilation: tuple[int, int]) -> torch.Tensor:
    """Kernel of a pooling followed by a convolution of this kernel; its dilation is 1.

    The tap at `i` reads the pooling at `i * dilation`, which is the input's window that begins at
    `i * dilation * stride`.
    """
    steps = tuple(d * s for d, s in zip(dilation, pair(pool.stride), strict=True))
    kernels = weight.reshape(-1, 1, *weight.shape[2:])
    both = nn.functional.conv_transpose2d(kernels, _taps(pool, weight), stride=steps)
    return both.reshape(*weight.shape[:2], *both.shape[2:])


def conv_before(
    pool: Any, weight: torch.Tensor, bias: torch.Tensor | None, stride: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Kernel and bias of a convolution of this kernel, bias and stride followed by a pooling.

    The pooling's tap at `i` reads the convolution's output shifted by `i`, so it sees the input
    shifted by `i * stride`. The joint kernel is the sum of the shifted kernels, which a transposed
    convolution computes; its size is `(q - 1) * stride + K`, for a pooling of size `q` and a kernel
    of size `K`.
    """
    moved = weight.reshape(1, -1, *weight.shape[2:])
    both = nn.functional.conv_transpose2d(_taps(pool, weight), moved, stride=stride)
    # No pooling window reaches beyond the convolution's output, so each tap adds the full bias.
    bias = bias if bias is None else bias * (_tap(pool) * math.prod(pair(pool.kernel_size)))
    return both.reshape(*weight.shape[:2], *both.shape[2:]), bias


def check_average(pool: Any) -> None:
    """Refuse the options of `nn.AvgPool2d` that no projection has."""
    if not isinstance(pool, nn.AvgPool2d):
        return
    padded = any(pair(pool.padding))
    for name, value, accepted in (
        ("ceil_mode", pool.ceil_mode, False),
        ("count_include_pad", pool.count_include_pad or not padded, True),
        ("divisor_override", pool.divisor_override, None),
    ):
        if value != accepted:
            raise NetworkError(expected(f"AvgPool2d.{name}", repr(value), repr(accepted)))


def check_before(pool: Any, layer: Any, padding: tuple[int, ...], source_shape: Shape) -> Shape:
    """Refuse a pooling that cannot be joined with the layer after it; return the layer's input."""
    check_average(pool)
    shape = _pooled(pool, source_shape)
    if not isinstance(layer, nn.Conv2d):
        projections.Linear(numbers(layer.weight)).output_shape(shape)
        return shape
    _conv(layer, padding).output_shape(shape)
    sizes, strides = pair(pool.kernel_size), pair(pool.stride)
    # What the convolution pads the pooling with must be padding of the input, too.
    apart = all(
        pad == 0 or (size <= stride and inner == 0 and length <= stride * pooled)
        for pad, size, stride, inner, length, pooled in zip(
            padding, sizes, strides, pair(pool.padding), source_shape[1:], shape[1:], strict=True
        )
    )
    if not apart:
        accepted = (
            "0 after a pooling without neurons between them, unless the pooling's windows cover "
            "the whole input and neither overlap nor pad"
        )
        raise NetworkError(expected("Conv2d.padding", padding, accepted))
    return shape


def check_after(pool: Any, conv: Any, padding: tuple[int, ...], source_shape: Shape) -> None:
    """Refuse a pooling that cannot be joined with the convolution before it."""
    check_average(pool)
    for name, value, accepted in (
        ("Conv2d.dilation", pair(conv.dilation), (1, 1)),
        ("padding of the pooling", pair(pool.padding), (0, 0)),
    ):
        if value != accepted:
            where = f"{accepted} where a pooling follows a convolution without neurons between them"
            raise NetworkError(expected(name, value, where))
    # Check the sizes one map at a time before building the joint kernel, which might be huge.
    _pooled(pool, _conv(conv, padding).output_shape(source_shape))


def pair(given: Any) -> tuple[int, int]:
    """Two integers, one for each axis."""
    return tuple(given) if isinstance(given, (tuple, list)) else (given, given)


def _conv(layer: Any, padding: tuple[int, ...]) -> projections.Conv2d:
    weight = numbers(layer.weight)
    return projections.Conv2d(weight, None, layer.stride, padding, layer.dilation, layer.groups)


def _pooled(pool: Any, source_shape: Shape) -> Shape:
    return projections.SumPool2d(pool.kernel_size, pool.stride, pool.padding).output_shape(
        source_shape
    )


def _tap(pool: Any) -> float:
    return 1.0 if isinstance(pool, SumPool2d) else 1 / math.prod(pair(pool.kernel_size))


def _taps(pool: Any, like: torch.Tensor) -> torch.Tensor:
    return like.new_full((1, 1, *pair(pool.kernel_size)), _tap(pool))
