"""A peer that trains the same asynchronous run with dense PyTorch operations and autograd.

The forward is that of `dense_async`: all samples of the batch step together, and every forward step
updates the whole network. Again the step is written in two ways:

* `DenseAsyncBptt`, written to be fast: the update of all neurons and the emission are one autograd
  function each, with a hand-written derivative, and products go layer by layer.
* `DenseAsyncReferenceBptt`, with the operations of the paper's reference implementation, which
  autograd differentiates one by one. Its gradient is pyasync's `gradient_scope="next_emission"`.

Both use the surrogate `atan(2)` and detach the reset, as snnTorch does and pyasync does by default.
A neuron counts as touched if its summed input is not zero. With random weights no sum is zero, and
this saves the fast loop from counting events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from peers.dense_async import DenseRun


def atan_derivative(x: Tensor) -> Tensor:
    """Derivative of a spike with respect to `x`, its distance from the threshold: `atan(2)`."""
    return (x * math.pi).square_().add_(1.0).reciprocal_()


class DenseAsyncBptt(nn.Module):
    """A feed-forward network run asynchronously with random selection, and trained; the fast way.

    Parameters
    ----------
    weights : sequence of float tensors [n_out, n_in]
        One per layer, first to last; copied, and trained.
    v_threshold, beta : float
        Threshold (at least 0) and decay per timestep of every neuron.
    forward_group_size : int
        F: pending spikes that each sample emits in a forward step.
    gradient_scope : {"spikes", "next_emission"}
        Whether only updates that fired get the gradient of a spike's effect on other neurons, or
        silent ones too, from their neuron's next emission in the timestep.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        *,
        v_threshold: float,
        beta: float,
        forward_group_size: int,
        gradient_scope: str = "spikes",
    ) -> None:
        super().__init__()
        if v_threshold < 0 or forward_group_size < 1:
            raise ValueError("v_threshold must be at least 0 and forward_group_size at least 1")
        self.weights = nn.ParameterList(w.clone() for w in weights)
        self.sizes = [w.shape[0] for w in weights]
        self.n_neurons, self.n_outputs = sum(self.sizes), self.sizes[-1]
        self.v_threshold, self.beta = v_threshold, beta
        self.forward_group_size = min(forward_group_size, self.n_neurons)
        self.gradient_scope = gradient_scope

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> DenseRun:
        """Run samples until no spike is pending in each timestep; `x` is [T, B, n_inputs]."""
        shape = (x.shape[1], self.n_neurons)
        v, scores, nothing = (x.new_zeros(shape) for _ in range(3))
        waiting = torch.zeros(shape, dtype=torch.bool)
        spike_counts = torch.zeros(shape, dtype=torch.int64)
        rest_of_first = self.n_neurons - self.sizes[0]
        no_input = x.new_zeros((x.shape[1], self.sizes[0]))
        counts: list[Tensor] = []
        forward_steps = 0
        for given in x:
            v = v * self.beta
            refractory = torch.zeros(shape, dtype=torch.bool)
            pending = nothing
            current = pad(linear(given, self.weights[0]), (0, rest_of_first))
            outputs = []
            while True:
                forward_steps += 1
                v, spikes, fired_outputs, fired = Update.apply(
                    v, current, refractory, self.v_threshold, self.n_outputs, self.gradient_scope
                )
                outputs.append(fired_outputs)
                refractory = refractory | fired
                waiting |= fired
                if not waiting.any():
                    break
                chosen = self._choose(waiting, scores, generator)
                emitted, pending = Emit.apply(pending, spikes, chosen)
                *sources, _ = emitted.split(self.sizes, dim=1)
                arriving = [
                    linear(source, weight)
                    for source, weight in zip(sources, self.weights[1:], strict=True)
                ]
                current = torch.cat([no_input, *arriving], dim=1)
            spike_counts += refractory  # by now, exactly the neurons that fired in this timestep
            counts.append(torch.stack(outputs).sum(0))
        return DenseRun(torch.stack(counts), spike_counts, forward_steps)

    def _choose(self, waiting: Tensor, scores: Tensor, generator: torch.Generator | None) -> Tensor:
        """Take F waiting spikes of each sample, uniformly chosen, out of `waiting`."""
        scores.uniform_(generator=generator).masked_fill_(~waiting, -1.0)
        best, index = scores.topk(self.forward_group_size, dim=1, sorted=False)
        chosen = torch.zeros_like(waiting).scatter_(1, index, best >= 0)
        waiting &= ~chosen
        return chosen


class Update(torch.autograd.Function):
    """One update of all neurons: potentials, spikes that may be emitted, spikes of the outputs."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        current: Tensor,
        refractory: Tensor,
        v_threshold: float,
        n_outputs: int,
        gradient_scope: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        held = (v + current).masked_fill_(refractory, 0.0)
        fired = held > v_threshold
        spikes = fired.to(v.dtype)
        ctx.save_for_backward(held, current != 0, fired, refractory)
        ctx.v_threshold, ctx.n_outputs, ctx.gradient_scope = v_threshold, n_outputs, gradient_scope
        ctx.mark_non_differentiable(fired)
        ctx.set_materialize_grads(False)
        return held.masked_fill(fired, 0.0), spikes, spikes[:, -n_outputs:].clone(), fired

    @staticmethod
    def backward(
        ctx: Any, to_v: Tensor | None, to_spikes: Tensor | None, to_outputs: Tensor | None, _: None
    ) -> tuple[Tensor | None, ...]:
        held, touched, fired, refractory = ctx.saved_tensors
        if to_spikes is None:
            to_spikes = torch.zeros_like(held)
        elif ctx.gradient_scope == "spikes":
            to_spikes = to_spikes * fired
        else:
            to_spikes = to_spikes.clone()
        if to_outputs is not None:
            to_spikes[:, -ctx.n_outputs :] += to_outputs
        to_held = to_spikes.mul_(atan_derivative(held - ctx.v_threshold)).mul_(touched)
        if to_v is not None:
            to_held += to_v.masked_fill(fired, 0.0)
        to_held.masked_fill_(refractory, 0.0)
        return to_held, to_held, None, None, None, None


class Emit(torch.autograd.Function):
    """Split pending and new spikes into those that are chosen and those that stay pending.

    Silent updates pass through as zeros and wait too, until their neuron's next emission.
    """

    @staticmethod
    def forward(ctx: Any, pending: Tensor, spikes: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(chosen)
        pending = pending + spikes
        return pending * chosen, pending.masked_fill_(chosen, 0.0)

    @staticmethod
    def backward(ctx: Any, to_emitted: Tensor, to_rest: Tensor) -> tuple[Tensor, Tensor, None]:
        (chosen,) = ctx.saved_tensors
        to_spikes = torch.where(chosen, to_emitted, to_rest)
        return to_spikes, to_spikes, None


class Spike(torch.autograd.Function):
    """1 above zero, else 0, with the surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, to_spike: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return to_spike * atan_derivative(x)


class DenseAsyncReferenceBptt(DenseAsyncBptt):
    """The same training with the operations of the paper's reference implementation.

    With two differences: only pending spikes are emitted (the reference fills up a group with
    silent neurons, which changes nothing in the forward), and events are counted outside the graph.
    """

    def __init__(self, weights: Sequence[Tensor], **neuron_and_schedule: Any) -> None:
        super().__init__(weights, **neuron_and_schedule, gradient_scope="next_emission")

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> DenseRun:
        """Run samples until no spike is pending in each timestep; `x` is [T, B, n_inputs]."""
        batch, n_first = x.shape[1], self.sizes[0]
        shape = (batch, self.n_neurons)
        weight, input_weight = self._whole(), self.weights[0]
        with torch.no_grad():
            synapses = (weight != 0).to(weight.dtype)
            input_synapses = (input_weight != 0).to(weight.dtype)
        v, counts = x.new_zeros(shape), []
        spike_counts = torch.zeros(shape, dtype=torch.int64)
        beyond_first = x.new_zeros((batch, self.n_neurons - n_first))
        forward_steps = 0
        for given in x:
            v = v * self.beta
            refractory = torch.zeros(shape, dtype=torch.bool)
            arrived, pending, timestep_counts = (x.new_zeros(shape) for _ in range(3))
            current = torch.cat(((input_weight @ given.T).T, beyond_first), dim=1)
            events = torch.cat(((input_synapses @ given.T).T, beyond_first), dim=1)
            while True:
                forward_steps += 1
                touched = events != 0
                v = (v + current) * ~refractory
                arrived = arrived + events
                fired = Spike.apply(v * touched - self.v_threshold) * (arrived * touched > 0)
                v = v * (1 - fired.detach())
                refractory = refractory | fired.bool()
                timestep_counts = timestep_counts + fired
                pending = pending + fired
                if pending.sum() == 0:
                    break
                scores = torch.rand(shape, dtype=v.dtype, generator=generator)
                waiting = pending != 0
                order = torch.where(waiting, scores, 2.0).argsort(dim=1)
                selected = torch.zeros(shape, dtype=torch.bool)
                selected = selected.scatter(1, order[:, : self.forward_group_size], True)
                selected = selected & waiting
                emitted = pending * selected
                pending = pending * ~selected
                current = (weight @ emitted.T).T
                events = (synapses @ emitted.detach().T).T
            spike_counts = spike_counts + timestep_counts.detach().long()
            counts.append(timestep_counts[:, -self.n_outputs :])
        return DenseRun(torch.stack(counts), spike_counts, forward_steps)

    def _whole(self) -> Tensor:
        """All weights between neurons as one differentiable matrix [n_neurons, n_neurons]."""
        rows = [self.weights[0].new_zeros((self.sizes[0], self.n_neurons))]
        first = 0
        for weight in self.weights[1:]:
            rows.append(pad(weight, (first, self.n_neurons - first - weight.shape[1])))
            first += weight.shape[1]
        return torch.cat(rows)
