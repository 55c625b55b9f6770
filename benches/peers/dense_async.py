"""A peer that does the same asynchronous run in dense PyTorch operations.

All samples of the batch step together, and every forward step updates the whole network, as in the
paper's reference implementation. The step is written in two ways:

* `DenseAsync`, written to be fast: it computes nothing that this run does not need, reuses its
  buffers and multiplies layer by layer, so that a feed-forward network's zero blocks cost nothing.
* `DenseAsyncReference`, with the operations of the reference implementation: one matrix for the
  whole network, a second product that counts the events, a sort of all neurons' scores, and
  out-of-place arithmetic on masks.

Both run LIF neurons with reset to zero that are refractory until the timestep ends, at a threshold
of at least zero. A neuron that no event reached is then never above its threshold, so testing all
neurons makes the same ones fire as testing those touched. And since a neuron fires at most once per
timestep, one flag says whether its spike is pending.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor


class DenseRun(NamedTuple):
    """Output spikes [T, B, n_out], spikes of all neurons [B, n_neurons], steps of the batch."""

    counts: Tensor
    spike_counts: Tensor
    forward_steps: int


class DenseAsync:
    """A feed-forward network run asynchronously with random selection, written to be fast.

    Parameters
    ----------
    weights : sequence of float tensors [n_out, n_in]
        One per layer, first to last.
    v_threshold, beta : float
        Threshold (at least 0) and decay per timestep of every neuron.
    forward_group_size : int
        F: pending spikes that each sample emits in a forward step.
    """

    def __init__(
        self, weights: Sequence[Tensor], *, v_threshold: float, beta: float, forward_group_size: int
    ) -> None:
        if v_threshold < 0 or forward_group_size < 1:
            raise ValueError("v_threshold must be at least 0 and forward_group_size at least 1")
        self.v_threshold, self.beta = v_threshold, beta
        self.transposed = [w.t().contiguous() for w in weights]
        starts = [0]
        for w in weights:
            starts.append(starts[-1] + w.shape[0])
        self.layers = [slice(a, b) for a, b in pairwise(starts)]
        self.n_neurons = starts[-1]
        self.forward_group_size = min(forward_group_size, self.n_neurons)

    @torch.no_grad()
    def run(self, x: Tensor, generator: torch.Generator | None = None) -> DenseRun:
        """Run samples until no spike is pending in each timestep; `x` is [T, B, n_inputs]."""
        n_timesteps, batch, _ = x.shape
        shape = (batch, self.n_neurons)
        v, scores, emitted = (x.new_zeros(shape) for _ in range(3))
        refractory, pending = (torch.zeros(shape, dtype=torch.bool) for _ in range(2))
        spike_counts = torch.zeros(shape, dtype=torch.int64)
        counts = x.new_zeros((n_timesteps, batch, self.transposed[-1].shape[1]))
        potentials = [v[:, layer] for layer in self.layers]
        emissions = [emitted[:, layer] for layer in self.layers]
        forward_steps = 0
        for t in range(n_timesteps):
            v *= self.beta
            refractory.zero_()
            potentials[0].addmm_(x[t], self.transposed[0])
            while True:
                forward_steps += 1
                v.masked_fill_(refractory, 0.0)  # to ignore events, stay at the reset value
                fired = v > self.v_threshold
                v.masked_fill_(fired, 0.0)
                refractory |= fired
                pending |= fired
                if not pending.any():
                    break
                self._emit(pending, scores, emitted, generator)
                for source, target, weight in zip(
                    emissions[:-1], potentials[1:], self.transposed[1:], strict=True
                ):
                    target.addmm_(source, weight)
            spike_counts += refractory  # by now, exactly the neurons that fired in this timestep
            counts[t] = refractory[:, self.layers[-1]]
        return DenseRun(counts, spike_counts, forward_steps)

    def _emit(
        self, pending: Tensor, scores: Tensor, emitted: Tensor, generator: torch.Generator | None
    ) -> None:
        """Move F pending spikes of each sample, uniformly chosen, from `pending` to `emitted`."""
        scores.uniform_(generator=generator).masked_fill_(~pending, -1.0)
        best, index = scores.topk(self.forward_group_size, dim=1, sorted=False)
        emitted.zero_().scatter_(1, index, (best >= 0).to(emitted.dtype))
        pending &= emitted == 0


class DenseAsyncReference(DenseAsync):
    """The same run with the operations of the paper's reference implementation.

    As above, whatever does not change from step to step is prepared once.
    """

    def __init__(
        self, weights: Sequence[Tensor], *, v_threshold: float, beta: float, forward_group_size: int
    ) -> None:
        super().__init__(
            weights, v_threshold=v_threshold, beta=beta, forward_group_size=forward_group_size
        )
        self.input_weight = weights[0]
        self.weight = weights[0].new_zeros((self.n_neurons, self.n_neurons))
        for source, target, w in zip(self.layers[:-1], self.layers[1:], weights[1:], strict=True):
            self.weight[target, source] = w
        self.input_synapses = (self.input_weight != 0).to(self.weight.dtype)
        self.synapses = (self.weight != 0).to(self.weight.dtype)

    @torch.no_grad()
    def run(self, x: Tensor, generator: torch.Generator | None = None) -> DenseRun:
        """Run samples until no spike is pending in each timestep; `x` is [T, B, n_inputs]."""
        n_timesteps, batch, _ = x.shape
        shape = (batch, self.n_neurons)
        v, counts = x.new_zeros(shape), []
        spike_counts = torch.zeros(shape, dtype=torch.int64)
        beyond_first = x.new_zeros((batch, self.n_neurons - self.input_weight.shape[0]))
        forward_steps = 0
        for t in range(n_timesteps):
            v = v * self.beta
            refractory = torch.zeros(shape, dtype=torch.bool)
            arrived, pending, timestep_counts = (x.new_zeros(shape) for _ in range(3))
            current = torch.cat(((self.input_weight @ x[t].T).T, beyond_first), dim=1)
            events = torch.cat(((self.input_synapses @ x[t].T).T, beyond_first), dim=1)
            while True:
                forward_steps += 1
                touched = events != 0
                v = (v + current) * ~refractory
                arrived = arrived + events
                fired = ((v * touched > self.v_threshold) & (arrived * touched > 0)).to(v.dtype)
                v = v * (1 - fired)
                refractory = refractory | fired.bool()
                timestep_counts = timestep_counts + fired
                pending = pending + fired
                if pending.sum() == 0:
                    break
                scores = torch.rand(shape, dtype=v.dtype, generator=generator)
                order = torch.where(pending != 0, scores, 2.0).argsort(dim=1)
                selected = torch.zeros(shape, dtype=torch.bool)
                selected = selected.scatter(1, order[:, : self.forward_group_size], True)
                emitted = pending * selected
                pending = pending * ~selected
                current = (self.weight @ emitted.T).T
                events = (self.synapses @ emitted.T).T
            spike_counts = spike_counts + timestep_counts.long()
            counts.append(timestep_counts[:, self.layers[-1]])
        return DenseRun(torch.stack(counts), spike_counts, forward_steps)
