"""A peer that trains any chain of layers layer by layer: snnTorch, as in its tutorials."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn


class SnnTorchChain(nn.Module):
    """Layers, each followed by a `snntorch.Leaky`, run one timestep after another.

    The surrogate is `atan(2)`, and snnTorch detaches the reset, so this is pyasync's `Layered()`
    with `gradient_scope="touched"`.

    Parameters
    ----------
    layers : sequence of modules
        Linear maps, first to last; copied.
    v_threshold, beta : float
        Threshold and decay per timestep of every neuron.
    """

    def __init__(self, layers: Sequence[nn.Module], *, v_threshold: float, beta: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(layer) for layer in layers)
        self.leaky = nn.ModuleList(
            snntorch.Leaky(
                beta=beta,
                threshold=v_threshold,
                spike_grad=surrogate.atan(alpha=2.0),
                reset_mechanism="zero",
            )
            for _ in layers
        )

    def forward(self, x: Tensor, every_layer: bool = False) -> Tensor:
        """Spikes [T, B, n_out] of the last layer, or flattened of all, [T, B, n_neurons].

        `x` is [T, B, *input_shape].
        """
        v: list[Tensor | None] = [None] * len(self.layers)
        recorded = []
        for spikes in x:
            fired = []
            for k, (layer, leaky) in enumerate(zip(self.layers, self.leaky, strict=True)):
                current = layer(spikes)
                before = v[k] if v[k] is not None else torch.zeros_like(current)
                spikes, v[k] = leaky(current, before)
                if every_layer:
                    fired.append(spikes.flatten(1))
            recorded.append(torch.cat(fired, dim=1) if every_layer else spikes)
        return torch.stack(recorded)
