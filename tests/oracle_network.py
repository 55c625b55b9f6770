"""The oracle's networks: plain descriptions, with every projection as an explicit weight matrix.

The same description builds pyasync's own network (`compare.build`); they share nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Projection:
    """Constructor arguments of a projection; `kind` is the name of its class in pyasync."""

    source: str
    target: str
    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Population:
    name: str
    shape: tuple[int, ...]
    neuron: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Network:
    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    dtype: str = "float32"
    output: str | None = None

    def offset(self, name: str) -> int:
        """First neuron id of a population; 0 for the input, whose channels have their own ids."""
        if name == "input":
            return 0
        index = [p.name for p in self.populations].index(name)
        return sum(p.size for p in self.populations[:index])

    def shape(self, name: str) -> tuple[int, ...]:
        return (
            self.input_shape
            if name == "input"
            else next(p.shape for p in self.populations if p.name == name)
        )

    @property
    def n_neurons(self) -> int:
        return sum(p.size for p in self.populations)

    @property
    def has_current(self) -> np.ndarray:
        """Which neurons have a synaptic current, bool [n_neurons]."""
        return np.repeat(
            ["tau_syn" in p.neuron for p in self.populations], [p.size for p in self.populations]
        )

    @property
    def n_state(self) -> int:
        """Numbers in the engine's state of a sample: all potentials, then all currents if any."""
        return self.n_neurons * (2 if self.has_current.any() else 1)

    @property
    def output_ids(self) -> range:
        name = self.output or self.populations[-1].name
        return range(self.offset(name), self.offset(name) + int(np.prod(self.shape(name))))


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def weight_matrix(
    p: Projection, source: tuple[int, ...], target: tuple[int, ...], dtype: str
) -> np.ndarray:
    """The dense weights [n_out, n_in] of a projection, in the network's type."""
    a, n_out, n_in = p.arguments, int(np.prod(target)), int(np.prod(source))
    dense = np.zeros((n_out, n_in), dtype)
    if p.kind == "Linear":
        return np.asarray(a["weight"]).astype(dtype)
    if p.kind == "OneToOne":
        np.fill_diagonal(
            dense, np.broadcast_to(np.asarray(a["weight"]).astype(dtype).ravel(), n_in)
        )
        return dense
    if p.kind == "Sparse":
        indptr, indices, values = a["csr"]
        for row in range(n_out):
            for at in range(indptr[row], indptr[row + 1]):
                dense[row, indices[at]] = values[at]
        return dense
    one_dimensional = p.kind == "Conv1d"
    if one_dimensional:  # treat it as a convolution over images of height 1
        source, target = (source[0], 1, source[1]), (target[0], 1, target[1])
    of = (
        (lambda name, default: (default, a.get(name, default)))
        if one_dimensional
        else lambda n, d: pair(a.get(n, d))
    )
    dilation = of("dilation", 1)
    padding = (0, a.get("padding", 0)) if one_dimensional else pair(a.get("padding", 0))
    if p.kind in ("AvgPool2d", "SumPool2d"):
        kernel, groups = pair(a["kernel_size"]), source[0]
        stride = kernel if a.get("stride") is None else pair(a["stride"])
        value = np.array(1.0 if p.kind == "SumPool2d" else 1.0 / (kernel[0] * kernel[1])).astype(
            dtype
        )
        weight = np.full((source[0], 1, *kernel), value)
    else:
        weight = np.asarray(a["weight"]).astype(dtype)
        weight = weight[:, :, None, :] if one_dimensional else weight
        kernel, groups, stride = weight.shape[2:], a.get("groups", 1), of("stride", 1)
    ins, outs = np.arange(n_in).reshape(source), np.arange(n_out).reshape(target)
    for o, y, x, c, ky, kx in product(*map(range, (*target, weight.shape[1], *kernel))):
        channel = o // (target[0] // groups) * (source[0] // groups) + c
        row, column = (
            y * stride[0] - padding[0] + ky * dilation[0],
            x * stride[1] - padding[1] + kx * dilation[1],
        )
        if 0 <= row < source[1] and 0 <= column < source[2]:
            dense[outs[o, y, x], ins[channel, row, column]] = weight[o, c, ky, kx]
    return dense


def bias_vector(p: Projection, target: tuple[int, ...], dtype: str) -> np.ndarray:
    """The biases [n_out] of a projection: one per neuron, or one per channel of a convolution."""
    bias = p.arguments.get("bias")
    if bias is None:
        return np.zeros(int(np.prod(target)), dtype)
    shape = (-1,) + (1,) * (len(target) - 1) if p.kind.startswith("Conv") else target
    return np.broadcast_to(np.asarray(bias).astype(dtype).reshape(shape), target).ravel()


def layered_order(net: Network) -> tuple[list[int], list[bool]]:
    """Order in which Layered visits the populations, and which projections are feedback."""
    names = [p.name for p in net.populations]
    edges = [
        (names.index(p.source), names.index(p.target))
        for p in net.projections
        if p.source != "input"
    ]
    reach = np.zeros((len(names), len(names)), bool)
    for s, t in edges:
        reach[s, t] = True
    for k in range(len(names)):
        reach |= reach[:, [k]] & reach[[k], :]
    feedback = [
        p.source != "input"
        and bool(reach[names.index(p.target), names.index(p.source)])
        and names.index(p.target) <= names.index(p.source)
        for p in net.projections
    ]
    forward = [
        (names.index(p.source), names.index(p.target))
        for p, back in zip(net.projections, feedback, strict=True)
        if p.source != "input" and not back
    ]
    order: list[int] = []
    while len(order) < len(names):
        ready = (
            n
            for n in range(len(names))
            if n not in order and all(s in order for s, t in forward if t == n)
        )
        order.append(next(ready))
    return order, feedback


def is_cyclic(net: Network) -> bool:
    return any(layered_order(net)[1])
