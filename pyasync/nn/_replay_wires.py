"""Projections as PyTorch operations, and the order in which a layered run visits populations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyasync.network import Network
from pyasync.projections import Linear, Projection, Shape, Sparse
from pyasync.projections._window import Windowed


@dataclass(frozen=True)
class Wire:
    """A projection, with tensors in place of its arrays.

    Attributes
    ----------
    projection : Projection
        The kind and its settings.
    source : slice, or None
        Ids of the source's neurons; None for the input.
    shape : tuple of int
        Shape of the source.
    target : int
        Index of the target population.
    weight : tensor
        In the shape of the projection's own parameter.
    bias : tensor [n_target], or None
        One per target neuron.
    synapse : tensor [2, n_synapses]
        Row and column of each synapse, for a sparse projection.
    is_feedback : bool
        Whether a layered run delivers it one timestep later.
    """

    projection: Projection
    source: slice | None
    shape: Shape
    target: int
    weight: Tensor
    bias: Tensor | None
    synapse: Tensor
    is_feedback: bool

    def synapses(self) -> Wire:
        """Copy of this wire with every non-zero weight and bias set to 1, for counting events."""
        weight = (self.weight != 0).to(self.weight)
        bias = None if self.bias is None else (self.bias != 0).to(self.bias)
        return replace(self, weight=weight.detach(), bias=None if bias is None else bias.detach())

    def carry(self, values: Tensor) -> Tensor:
        """Map source values [B, n_source] to the target, without the bias."""
        p, weight = self.projection, self.weight
        if isinstance(p, Linear):
            return functional.linear(values, weight)
        if isinstance(p, Sparse):
            row, column = self.synapse
            return values.new_zeros(len(values), p.shape[0]).index_add(
                1, row, values[:, column] * weight
            )
        if isinstance(p, Windowed):
            convolve = functional.conv1d if p.axes == 1 else functional.conv2d
            _, _, groups = p.channels(self.shape)
            image = values.reshape(-1, *self.shape)
            moved = convolve(image, weight, None, p.stride, p.padding, p.dilation, groups)
            return moved.flatten(1)
        return values * weight


def wires_of(
    network: Network,
    weights: Sequence[Tensor | None],
    biases: Sequence[Tensor | None],
    like: Tensor,
) -> list[Wire]:
    """Combine a network's projections with their tensors; pooling uses its fixed weights."""
    populations = {p.name: (at, p) for at, p in enumerate(network.populations)}
    _, feedback = visiting_order(network)
    wires = []
    for connection, weight, bias, is_feedback in zip(
        network.projections, weights, biases, feedback, strict=True
    ):
        p = connection.projection
        at, target = populations[connection.target]
        source, shape = None, network.input_shape
        if connection.source != "input":
            population = populations[connection.source][1]
            source, shape = slice(population.start, population.stop), population.shape
        if weight is None:
            assert isinstance(p, Windowed)
            weight = torch.tensor(p.tap_weights(shape[0]), dtype=like.dtype, device=like.device)
        if bias is not None:
            bias = bias.repeat_interleave((target.stop - target.start) // bias.numel())
        synapse = torch.empty(2, 0)
        if isinstance(p, Sparse):
            row = np.repeat(np.arange(p.shape[0]), np.diff(p.indptr))
            synapse = torch.tensor(np.stack([row, p.indices]), device=like.device)
            # A stored zero is not a synapse: replacing it by a constant keeps its gradient at 0.
            weight = torch.where(weight == 0, 0.0, weight)
        wires.append(Wire(p, source, shape, at, weight, bias, synapse, is_feedback))
    return wires


def total(
    wires: Iterable[Wire],
    values: Callable[[Wire], Tensor | None],
    blank: Sequence[Tensor],
    *,
    biased: bool,
) -> Tensor:
    """Sum the input that each neuron receives over all wires, [B, n_neurons].

    `values(wire)` is what its source sends, or None; `blank` has zeros [B, n] for each population.
    """
    sums = list(blank)
    for wire in wires:
        if biased and wire.bias is not None:
            sums[wire.target] = sums[wire.target] + wire.bias
        if (sent := values(wire)) is not None:
            sums[wire.target] = sums[wire.target] + wire.carry(sent)
    return torch.cat(sums, dim=1)


def visiting_order(network: Network) -> tuple[list[int], list[bool]]:
    """Populations in the order in which a layered timestep visits them; which links are feedback.

    docs/semantics.md, "Layered execution": a projection is feedback when both its ends lie on a
    common cycle and its target was not added after its source.
    """
    names = [p.name for p in network.populations]
    ends = [
        None if c.source == "input" else (names.index(c.source), names.index(c.target))
        for c in network.projections
    ]
    reaches = np.zeros((len(names), len(names)), bool)
    for edge in ends:
        if edge is not None:
            reaches[edge] = True
    for via in range(len(names)):
        reaches |= reaches[:, [via]] & reaches[via]
    feedback = [e is not None and e[1] <= e[0] and bool(reaches[e[1], e[0]]) for e in ends]
    forward = [e for e, is_feedback in zip(ends, feedback, strict=True) if e and not is_feedback]
    order: list[int] = []
    while len(order) < len(names):
        ready = (
            p
            for p in range(len(names))
            if p not in order and all(source in order for source, target in forward if target == p)
        )
        order.append(next(ready))
    return order, feedback
