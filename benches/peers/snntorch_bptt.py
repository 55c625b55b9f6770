"""A peer that trains layer by layer: snnTorch and autograd, as in its tutorials."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from peers.snntorch_chain import SnnTorchChain


class SnnTorchBptt(SnnTorchChain):
    """The chain of `nn.Linear` with these weights.

    Parameters
    ----------
    weights : sequence of float tensors [n_out, n_in]
        One per layer, first to last; copied, and trained.
    v_threshold, beta : float
        Threshold and decay per timestep of every neuron.
    """

    def __init__(self, weights: Sequence[Tensor], *, v_threshold: float, beta: float) -> None:
        layers = []
        for weight in weights:
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
            linear.weight = nn.Parameter(weight)
            layers.append(linear)
        super().__init__(layers, v_threshold=v_threshold, beta=beta)
