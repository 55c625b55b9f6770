"""A peer that runs layer by layer: snnTorch's own forward, as in its tutorials."""

from __future__ import annotations

from collections.abc import Sequence

import snntorch
import torch
from torch import Tensor, nn


class SnnTorchLayered(nn.Module):
    """`nn.Linear` and `snntorch.Leaky` in turn, one timestep after another, without a gradient.

    Parameters
    ----------
    weights : sequence of float tensors [n_out, n_in]
        One per layer, first to last.
    v_threshold, beta : float
        Threshold and decay per timestep of every neuron.
    reset_delay : bool
        As in `snntorch.Leaky`. With `reset_mechanism="zero"` both settings fire the same spikes:
        the delayed reset clears the potential at the start of the next timestep, before the decay;
        the other clears it at once. The default is snnTorch's, and the faster.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        *,
        v_threshold: float,
        beta: float,
        reset_delay: bool = True,
    ) -> None:
        super().__init__()
        self.sizes = [weight.shape[0] for weight in weights]
        self.linear, self.leaky = nn.ModuleList(), nn.ModuleList()
        for weight in weights:
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
            linear.weight = nn.Parameter(weight, requires_grad=False)
            self.linear.append(linear)
            self.leaky.append(
                snntorch.Leaky(
                    beta=beta,
                    threshold=v_threshold,
                    reset_mechanism="zero",
                    reset_delay=reset_delay,
                )
            )

    @torch.no_grad()
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
