"""The peer that trains layer by layer: snnTorch and autograd, as its tutorials write it."""

from __future__ import annotations

from collections.abc import Sequence

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn


class SnnTorchBptt(nn.Module):
    """`nn.Linear` and `snntorch.Leaky` in turn, one timestep after another, with a gradient.

    The surrogate is `atan(2)`, and snnTorch leaves the derivative of the reset out: this is
    pyasync's `Layered()` with `gradient_scope="touched"`.

    Parameters
    ----------
    weights : sequence of float tensors [n_out, n_in]
        One per layer, first to last; copied, and trained.
    v_threshold, beta : float
        Threshold and decay per timestep of every neuron.
    """

    def __init__(self, weights: Sequence[Tensor], *, v_threshold: float, beta: float) -> None:
        super().__init__()
        self.sizes = [weight.shape[0] for weight in weights]
        self.linear, self.leaky = nn.ModuleList(), nn.ModuleList()
        for weight in weights:
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
            linear.weight = nn.Parameter(weight.clone())
            self.linear.append(linear)
            self.leaky.append(
                snntorch.Leaky(
                    beta=beta,
                    threshold=v_threshold,
                    spike_grad=surrogate.atan(alpha=2.0),
                    reset_mechanism="zero",
                )
            )

    def forward(self, x: Tensor, every_layer: bool = False) -> Tensor:
        """Spikes [T, B, n_out] of the last layer, or [T, B, n_neurons] of all.

        `x` is [T, B, n_inputs].
        """
        potentials = [x.new_zeros((x.shape[1], n)) for n in self.sizes]
        recorded = []
        for spikes in x:
            layers = []
            for k, (linear, leaky) in enumerate(zip(self.linear, self.leaky, strict=True)):
                spikes, potentials[k] = leaky(linear(spikes), potentials[k])
                if every_layer:
                    layers.append(spikes)
            recorded.append(torch.cat(layers, dim=1) if every_layer else spikes)
        return torch.stack(recorded)
