"""A peer: the paper's own code, asynctorch, which is not on PyPI.

It is used as of commit 1851fdd of https://github.com/RoelMK/asynctorch; without the package this
module cannot be imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from asynctorch.nn.architecture.semi_sparse_fully_linear_architecture import (
    SemiSparseFullyLinearArchitecture,
)
from asynctorch.nn.neuron.lif_state import LIFState
from asynctorch.simulator.async_simulator import AsyncSimulator
from asynctorch.simulator.spike_scheduler import RandomSpikeScheduler
from asynctorch.simulator.spike_selector import SpikeSelector
from snntorch import surrogate
from torch import Tensor, nn


class AsyncTorchRun(NamedTuple):
    """Output spikes [T, B, n_out], and spikes of all neurons [B, n_neurons]."""

    counts: Tensor
    spike_counts: Tensor


class AsyncTorchBptt(nn.Module):
    """A feed-forward network with random selection, set up as asynctorch's training tutorial does.

    The input has its own weights, and one matrix holds all others. Unlike in the other peers, the
    gradient also flows through the reset and through the number of events that arrived at a neuron.

    Parameters
    ----------
    weights : sequence of float32 tensors [n_out, n_in]
        One per layer, first to last; copied, and trained.
    v_threshold, beta : float
        Threshold and decay per timestep of every neuron.
    forward_group_size : int
        F: pending spikes that each sample emits in a forward step.
    """

    def __init__(
        self, weights: Sequence[Tensor], *, v_threshold: float, beta: float, forward_group_size: int
    ) -> None:
        super().__init__()
        sizes, cpu = [weight.shape[0] for weight in weights], torch.device("cpu")
        self.n_outputs = sizes[-1]
        network = SemiSparseFullyLinearArchitecture(weights[0].shape[1], sizes, cpu)
        copies = [weight.clone() for weight in weights]
        network.load_state_dict(network.__class__.create_state_dict_from_weights_list(copies))
        spike = surrogate.atan(alpha=2.0)
        neurons = LIFState(
            sizes,
            tau_m=-1 / math.log(beta),
            membrane_threshold=v_threshold,
            sync_threshold=0.0,
            spike_grad=spike,
            sync_grad=spike,
            device=cpu,
        )
        selector = SpikeSelector(
            network,
            RandomSpikeScheduler(neurons),
            forward_group_size=forward_group_size,
            device=cpu,
            prioritize_input=True,
        )
        self.simulator = AsyncSimulator(neurons, selector)

    def forward(self, x: Tensor, _generator: torch.Generator | None = None) -> AsyncTorchRun:
        """Run samples; `x` is [T, B, n_inputs]. It draws from PyTorch's default generator."""
        self.simulator.reset_state()
        spikes = torch.stack([self.simulator(given, dt=1.0) for given in x])
        counts = spikes[..., -self.n_outputs :]
        return AsyncTorchRun(counts, self.simulator.spike_counts.detach())
