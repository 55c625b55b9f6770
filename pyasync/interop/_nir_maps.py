"""Turn the maps between the neurons of a NIR graph into projections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import numbers, shown
from pyasync._optional import needed
from pyasync.errors import NetworkError, expected
from pyasync.interop._nir_graph import Graph, kind_of
from pyasync.projections import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Linear,
    OneToOne,
    Projection,
    Shape,
    Sparse,
    SumPool2d,
)
from pyasync.projections._window import same_padding

Vector = npt.NDArray[Any]
#: A matrix with at least this fraction of non-zero entries runs faster as a dense one.
DENSE = 0.5
WHY = "maps that follow each other become one with it"


def shape_behind(node: Any, shape: Shape) -> Shape:
    """Output shape of a map for an input of `shape`."""
    if kind_of(node) == "Flatten":
        try:
            first, last = (range(len(shape))[each] for each in (node.start_dim, node.end_dim))
        except (TypeError, IndexError):
            first, last = 1, 0
        if first > last:
            given = f"a Flatten from axis {shown(node.start_dim)} to {shown(node.end_dim)}"
            raise NetworkError(expected("graph", given, f"axes of {shape}, in their order"))
        return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    if kind_of(node) == "Scale":
        return shape
    return _alone(node, shape).output_shape(shape)


def shape_after(nodes: Iterable[Any], shape: Shape) -> Shape:
    """Output shape of a sequence of maps for an input of `shape`."""
    for node in nodes:
        shape = shape_behind(node, shape)
    return shape


def projection(
    nodes: Sequence[Any], shape: Shape, wanted: Shape, bias: Vector | None, gain: Vector | None
) -> Projection:
    """Combine a sequence of maps into one projection, with one bias per target neuron.

    A gain, one per target neuron, multiplies what the projection delivers, biases included.
    A single map stays what it is if its output has the target's shape, and a convolution followed
    by poolings without padding stays a convolution. Everything else becomes the product of the
    maps: a sparse matrix, or a dense one if it has few zeros, as behind a linear map.
    """
    core, shapes, source = [], [], shape
    for node in nodes:
        if kind_of(node) != "Flatten":
            core.append(node)
            shapes.append(shape)
        shape = shape_behind(node, shape)
    if gain is not None and gain.size != math.prod(shape):
        gain = None  # the network refuses maps that do not fit
    if bias is not None and gain is not None:
        bias = _times(bias, gain)
    alone = _one(core, shapes)
    if alone is not None and gain is not None:
        alone = _scaled(alone, gain)
    if alone is not None:
        own = None if bias is None else _per_channel(alone, bias)
        fits = isinstance(alone, Linear) or (
            shapes[:1] in ([], [source]) and alone.output_shape(source) == wanted
        )
        if fits and (bias is None or own is not None):
            return alone if bias is None else alone.with_arrays(bias=own)
    product = _identity(math.prod(shape)) if not core else _matrix(core[0], shapes[0])
    for node, before in zip(core[1:], shapes[1:], strict=True):
        product = _matrix(node, before) @ product
    if gain is not None:
        product = needed("scipy.sparse", WHY).diags(gain) @ product
    dtype = np.result_type(np.float32, *map(_dtype, core))
    product = product.tocsr()
    product.sum_duplicates()
    if product.nnz > DENSE * math.prod(product.shape):
        return Linear(product.toarray().astype(dtype), bias)
    return Sparse(product.astype(dtype), bias=bias)


def bias_at(graph: Graph, name: str, shapes: dict[str, Shape]) -> Vector | None:
    """Input that biases give a node when nothing fires, one number per neuron; None if no bias.

    Each map's bias counts once, however many ways lead through the map.
    """
    total: Vector | None = None
    for before in dict.fromkeys(graph.maps_before(name)):
        node, shape = graph.nodes[before], _shape_before(graph, before, shapes)
        own = bias_at(graph, before, shapes)
        behind = None
        if own is not None:
            dtype = np.result_type(own, _dtype(node))
            behind = (_matrix(node, shape) @ own).astype(dtype)
        accepted = f"as biases of node {before!r}"
        bias = numbers(NetworkError, "graph", getattr(node, "bias", ()), accepted).ravel()
        if bias.size and bias.any():
            channels, *plane = shape_behind(node, shape)
            if bias.size not in (1, channels):
                given = f"node {before!r} with {bias.size} biases"
                raise NetworkError(expected("graph", given, f"{channels} of them"))
            each = np.repeat(bias, channels // bias.size * math.prod(plane))
            behind = each if behind is None else behind + each
        if behind is not None:
            if total is not None and behind.size != total.size:
                given = f"{before!r} with {behind.size} outputs, before {name!r}"
                raise NetworkError(expected("graph", given, f"{total.size}, as the maps beside it"))
            total = behind if total is None else total + behind
    return total


def _shape_before(graph: Graph, name: str, shapes: dict[str, Shape]) -> Shape:
    way = next(graph.ways_to(name))
    return shape_after((graph.nodes[each] for each in way.maps), shapes[way.source])


def _alone(node: Any, shape: Shape) -> Projection:
    """The projection that corresponds to one map, without its bias."""
    try:
        return _as_it_is(node, shape)
    except (TypeError, ValueError, OverflowError) as cause:
        if isinstance(cause, NetworkError):
            raise
        given = f"a {kind_of(node)} with an unfit parameter ({cause})"
        raise NetworkError(expected("graph", given, "parameters as NIR describes them")) from cause


def _as_it_is(node: Any, shape: Shape) -> Projection:
    match kind_of(node):
        case "Linear" | "Affine":
            return Linear(node.weight)
        case "Scale":
            try:
                return OneToOne(np.broadcast_to(node.scale, shape).ravel())
            except ValueError:
                given = f"a scale of shape {np.shape(node.scale)} on {shape}"
                raise NetworkError(expected("graph", given, f"shape {shape}")) from None
        case "Conv1d" | "Conv2d":
            kind = Conv1d if kind_of(node) == "Conv1d" else Conv2d
            stride, dilation = _integers(node.stride), _integers(node.dilation)
            return kind(node.weight, None, stride, _padding(node), dilation, int(node.groups))
        case pool:
            window = [_integers(each) for each in (node.kernel_size, node.stride, node.padding)]
            return (AvgPool2d if pool == "AvgPool2d" else SumPool2d)(*window)


def _one(nodes: Sequence[Any], shapes: Sequence[Shape]) -> Projection | None:
    """Combine maps, without biases, into one structured projection; None if that is impossible."""
    if not nodes:
        # float32, so that the other projections decide whether the network computes in float64.
        return OneToOne(np.float32(1))
    alone = _alone(nodes[0], shapes[0])
    for node, shape in zip(nodes[1:], shapes[1:], strict=True):
        if not isinstance(alone, Conv2d) or kind_of(node) not in ("AvgPool2d", "SumPool2d"):
            return None
        pool = _alone(node, shape)
        assert isinstance(pool, AvgPool2d | SumPool2d)
        if any(pool.padding):
            return None
        alone = _pooled(alone, pool)
    return alone


def _pooled(conv: Conv2d, pool: AvgPool2d | SumPool2d) -> Conv2d:
    """Combine a convolution and the pooling after it: its kernel is the sum of shifted kernels."""
    out, in_group, *kernel = conv.weight.shape
    reach = [d * (k - 1) + 1 for d, k in zip(conv.dilation, kernel, strict=True)]
    size = [(q - 1) * s + r for q, s, r in zip(pool.kernel_size, conv.stride, reach, strict=True)]
    both = np.zeros((out, in_group, *size))
    for y, x in np.ndindex(*pool.kernel_size):
        rows, columns = (
            slice(at * s, at * s + r, d)
            for at, s, r, d in zip((y, x), conv.stride, reach, conv.dilation, strict=True)
        )
        both[:, :, rows, columns] += conv.weight
    if isinstance(pool, AvgPool2d):
        both /= math.prod(pool.kernel_size)
    (a, b), (c, d) = conv.stride, pool.stride
    weight = both.astype(conv.weight.dtype)
    return Conv2d(weight, None, (a * c, b * d), conv.padding, 1, conv.groups)


def _integers(given: Any) -> Any:
    numbers = np.ravel(given)
    return int(numbers[0]) if numbers.size == 1 else tuple(int(each) for each in numbers)


def _padding(node: Any) -> Any:
    given = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if not isinstance(given, str):
        return _integers(given)
    if given == "valid":
        return 0
    kernel = np.shape(node.weight)[2:]
    padding = same_padding(kernel, np.broadcast_to(node.dilation, len(kernel)).tolist())
    if padding is None:
        given = f"padding 'same' around a kernel {kernel}"
        raise NetworkError(expected("graph", given, "as much padding on either side"))
    return padding


def _per_channel(alone: Projection, bias: Vector) -> Vector | None:
    """Values of neurons as the projection stores its biases; None if it cannot store them."""
    if isinstance(alone, Linear):
        return bias
    if isinstance(alone, Conv1d | Conv2d):
        planes = bias.reshape(alone.weight.shape[0], -1)
        if (planes == planes[:, :1]).all():
            return planes[:, 0]
    return None


def _scaled(alone: Projection, gain: Vector) -> Projection | None:
    """The projection with other weights; None if they could then not be stored as they are."""
    if isinstance(alone, OneToOne):
        return OneToOne(_times(alone.weight, gain))
    own = _per_channel(alone, gain)
    if own is None:
        return None
    weight = alone.arrays()["weight"]
    return alone.with_arrays(weight=_times(weight, own.reshape(-1, *[1] * (weight.ndim - 1))))


def _times(values: Vector, gain: Vector) -> Vector:
    return np.asarray(values * gain, values.dtype)


def _dtype(node: Any) -> np.dtype[Any]:
    given = getattr(node, "weight", getattr(node, "scale", None))
    dtype = np.float32 if given is None else np.asarray(given).dtype
    return np.dtype(dtype if np.dtype(dtype).kind == "f" else np.float64)


def _identity(n: int) -> Any:
    return needed("scipy.sparse", WHY).eye(n, format="csr")


def _matrix(node: Any, shape: Shape) -> Any:
    """A map as a sparse matrix [n_out, n_in] in float64."""
    sparse = needed("scipy.sparse", WHY)
    if kind_of(node) == "Flatten":
        return _identity(math.prod(shape))
    alone = _alone(node, shape)
    if isinstance(alone, Linear):
        alone.output_shape(shape)
        return sparse.csr_matrix(np.asarray(alone.weight, np.float64))
    if isinstance(alone, OneToOne):
        return sparse.diags(np.asarray(alone.weight, np.float64))
    # `parts` gives a one-dimensional window as a two-dimensional one of height 1.
    _, taps, channels, size, kernel, stride, padding, dilation, groups = alone.parts(
        shape, np.dtype(np.float64)
    )
    n_in, n_out = channels
    plane = alone.output_shape(shape)[1:]
    out = plane if len(plane) == 2 else (1, *plane)
    # Indices: output channel, input channel in its group, tap (y, x), window position (y, x).
    o, i, ky, kx, y, x = np.ogrid[
        :n_out, : n_in // groups, : kernel[0], : kernel[1], : out[0], : out[1]
    ]
    from_y = y * stride[0] - padding[0] + ky * dilation[0]
    from_x = x * stride[1] - padding[1] + kx * dilation[1]
    channel = o // (n_out // groups) * (n_in // groups) + i
    source = (channel * size[0] + from_y) * size[1] + from_x
    target = (o * out[0] + y) * out[1] + x
    weight = np.reshape(taps, (n_out, n_in // groups, *kernel, 1, 1))
    inside = (from_y >= 0) & (from_y < size[0]) & (from_x >= 0) & (from_x < size[1])
    weight, source, target, inside = np.broadcast_arrays(weight, source, target, inside)
    synapses = weight[inside], (target[inside], source[inside])
    return sparse.csr_matrix(synapses, (n_out * math.prod(out), math.prod(shape)))
