"""A recorded run in plain PyTorch operations, whose autograd is unlayered backprop.

This is the readable definition of the gradient, and the one that runs on any torch device. The
trace says which spikes were emitted and which neurons fired; potentials and synaptic currents are
recomputed, so that autograd knows how they depend on weights, biases, decay, thresholds, input and
the initial state.
The backward then computes what docs/semantics.md defines under "The gradient".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyasync._checks import choice
from pyasync.errors import InputError, TraceError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.neurons import LIF
from pyasync.nn._options import SCOPES
from pyasync.nn._replay_record import Record, frames
from pyasync.nn._replay_wires import Wire, total, visiting_order, wires_of
from pyasync.trace import Trace


class Surrogate(Protocol):
    """What stands in for the derivative of firing, such as `pa.nn.atan()`."""

    def derivative(self, x: Tensor) -> Tensor:
        """Return dz/dx at x = v' - v_threshold, elementwise."""
        ...


def replay(
    network: Network,
    trace: Trace,
    x: Tensor | SpikeBatch,
    weights: Sequence[Tensor | None],
    biases: Sequence[Tensor | None],
    beta: Tensor,
    v_threshold: Tensor,
    reset_amount: Tensor | None = None,
    alpha: Tensor | None = None,
    *,
    surrogate: Surrogate,
    gradient_scope: str = "spikes",
    detach_reset: bool = True,
    initial_state: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Replay a trace differentiably; its spikes are the recorded ones, bit for bit.

    Parameters
    ----------
    network : Network
        The structure; all values come from the tensors below.
    trace : Trace
        Of a run of this network on this input.
    x : tensor [T, B, n_inputs], or SpikeBatch
        The run's input. A SpikeBatch is converted to dense one timestep at a time.
    weights : sequence of tensors
        One per entry of `network.projections`, in the shape of the projection's own parameter:
        Linear [n_out, n_in], Conv1d and Conv2d [out, in / groups, *kernel], Sparse the CSR data
        [n_synapses], OneToOne [n] or []; None for pooling.
    biases : sequence of tensors
        One per entry of `network.projections`: [n_out], or [out] for a convolution; None if it has
        no bias.
    beta, v_threshold : tensor [n_neurons]
        Decay per timestep (`network.decay(dt)`), and thresholds. The replay runs on the device and
        in the dtype of `beta`.
    reset_amount : tensor [n_neurons], optional
        What a spike subtracts with `reset="subtract"`, NaN where that is the threshold. A constant.
    alpha : tensor [n_neurons], optional
        Decay of synaptic currents per timestep (`network.synaptic_decay(dt)`), which is 0 for
        neurons without one. None if the network has none.
    surrogate : object with `derivative(x)`
        The surrogate for the derivative of firing.
    gradient_scope : {"spikes", "next_emission", "touched"}
        Where the emission term of a silent update comes from: nowhere, the neuron's next emission
        in the timestep, or an emission of value 0 into the next forward step.
    detach_reset : bool
        Whether the gradient treats the reset as a constant.
    initial_state : tensor [B, n_neurons] or [B, 2 * n_neurons], optional
        Potentials at the start and, with `alpha`, synaptic currents; 0 if not given.

    Returns
    -------
    counts : tensor [T, B, n_outputs]
        Spikes of each output neuron in each timestep.
    output_v : tensor [T, B, n_outputs]
        Potentials of the output neurons at the end of each timestep; they too may differ from the
        run's own by rounding.
    spike_counts : tensor [B, n_neurons]
        Spikes of each neuron.
    state : tensor [B, n_neurons] or [B, 2 * n_neurons]
        The final state, like the initial one; it may differ from the run's own by rounding.

    Raises
    ------
    InputError
        If `x` does not have the trace's sizes, or there is no such `gradient_scope`.
    TraceError
        If the trace's sizes differ from the network's, if it emits a spike that does not exist, or
        if a neuron fired in it that was not touched.

    Examples
    --------
    >>> import numpy as np, pyasync as pa, torch
    >>> from pyasync.nn._replay import replay
    >>> class StraightThrough:
    ...     def derivative(self, x):
    ...         return torch.ones_like(x)
    >>> network = pa.Network.sequential([pa.Linear([[0.75, 0.5]])])
    >>> x = torch.tensor([[[1.0, 1.0]]])
    >>> trace = pa.simulate(network, x.numpy(), dt=1e-3, record=True).trace
    >>> w = torch.tensor([[0.75, 0.5]], dtype=torch.float64, requires_grad=True)
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> counts, output_v, spike_counts, state = replay(
    ...     network, trace, x, [w], [None], one, one, surrogate=StraightThrough()
    ... )
    >>> counts.sum().backward()
    >>> counts.tolist(), w.grad.tolist()
    ([[[1.0]]], [[1.0, 1.0]])
    """
    choice(InputError, "gradient_scope", gradient_scope, SCOPES)
    _check_input(x, (trace.n_timesteps, len(trace), trace.n_inputs))
    record = Record(network, trace, beta.device)
    wires = wires_of(network, weights, biases, beta)
    blank = [beta.new_zeros(len(trace), p.stop - p.start) for p in network.populations]
    layered = trace.schedule == "layered"
    kind: type[_Unlayered] | type[_Layered] = _Layered if layered else _Unlayered
    delivery = kind(network, record, wires, blank, gradient_scope)
    to_zero = _neurons(network, lambda neuron: neuron.reset == "zero", beta)
    by_amount = _neurons(network, lambda neuron: neuron.reset == "subtract", beta)
    amount = v_threshold
    if reset_amount is not None:
        amount = torch.where(reset_amount.isnan(), v_threshold, reset_amount.detach())
    resets = ~v_threshold.isposinf()  # one that never fires is never reset
    to_zero, by_amount = to_zero & resets, by_amount & resets
    outputs = slice(network.output_ids.start, network.output_ids.stop)

    zeros = torch.cat(blank, dim=1)
    v, c = zeros, zeros
    if initial_state is not None:
        v, *rest = torch.split(initial_state.to(zeros), zeros.shape[1], dim=1)
        c = rest[0] if rest else zeros
    has_current = None
    if alpha is not None:
        has_current = _neurons(network, lambda neuron: neuron.tau_syn is not None, beta)
    spike_counts = zeros
    counts, output_v = [], []
    for timestep, frame in enumerate(frames(x, beta)):
        refractory = zeros.bool()
        count = zeros[:, outputs]
        runs = refractory[:, :1]
        delivery.start(timestep, frame)
        for index, step in enumerate(record.timesteps[timestep]):
            if index == 0:  # a sample that stopped before this timestep does not decay
                sample, _ = record.running[step]
                runs = runs.index_fill(0, sample, True)
                v = v.index_put((sample,), v[sample] * beta)
                if alpha is not None:
                    c = c.index_put((sample,), c[sample] * alpha)
            i, open_to_it, touched = delivery.deliver(index, step)
            if has_current is not None:
                # A current arrives in its neuron's first step or visit, and takes up all that does.
                taking, before = open_to_it & has_current, c
                c = torch.where(taking, c + i, c)
                if layered or index < record.n_shards:
                    touched = touched | (taking & (before != 0))
                    i = torch.where(taking, c, i)
            open_to_it = open_to_it & ~refractory
            v = torch.where(open_to_it, v + i, v)

            fired, enters = record.mask(record.fired, step), record.mask(record.refractory, step)
            z = _Spike.apply(v - v_threshold, fired, surrogate)
            z = torch.where(open_to_it & touched, z, 0.0)
            delivery.collect(index, step, z, fired)
            count, spike_counts = count + z[:, outputs], spike_counts + z

            drop = torch.where(to_zero, v, torch.where(by_amount, amount, 0.0))
            v = v - (z.detach() if detach_reset else z) * drop
            if not (detach_reset or layered):
                # As in the paper's code: no gradient passes through a reset into refractoriness.
                v = torch.where(enters & to_zero, v.detach(), v)
            refractory = refractory | enters
        counts.append(count)
        output_v.append(torch.where(runs, v[:, outputs], 0.0))
    replayed = int(spike_counts.detach().long().sum())
    if replayed != record.n_fired:
        given = f"one in which {record.n_fired} neurons fired, of which {replayed} were touched"
        raise TraceError(expected("trace", given, "a trace of this network, weights and input"))
    state = v if alpha is None else torch.cat([v, c], dim=1)
    return torch.stack(counts), torch.stack(output_v), spike_counts, state


class _Spike(torch.autograd.Function):
    """The recorded spikes forward, the surrogate derivative backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fired: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return fired.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, e: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return e * ctx.surrogate.derivative(x), None, None


class _Unlayered:
    """What each forward step delivers: the spikes that the trace says were emitted in it."""

    def __init__(
        self,
        network: Network,
        record: Record,
        wires: list[Wire],
        blank: list[Tensor],
        scope: str,
    ) -> None:
        self.record, self.wires, self.blank, self.scope = record, wires, blank, scope
        self.synapses = [wire.synapses() for wire in wires]
        self.zeros = torch.cat(blank, dim=1)
        self.spikes = self.zeros.new_zeros(0)

    def start(self, timestep: int, frame: Tensor) -> None:
        self.frame = frame
        # The value of each spike, from when it joins until it is emitted; 0 for a lost spike.
        kept = self.spikes if self.record.carries else self.spikes[:0]
        new = self.spikes.new_zeros(self.record.n_joined[timestep])
        self.spikes = torch.cat([kept, new])
        # Values (all 0) of silent updates. Under "next_emission" they wait for their neuron's next
        # emission and share its deliveries, in all shards; under "touched" they wait for the next
        # step of each shard.
        self.waiting = self.sharing = self.zeros
        if self.scope == "touched":
            self.waiting = self.zeros.repeat(self.record.n_shards, 1, 1)

    def deliver(self, index: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step's input i, the neurons that receive it, and those that are touched."""
        record = self.record
        sample, neuron, spike = record.delivered[step]
        sent = self.zeros.index_put((sample, neuron), self.spikes[spike], accumulate=True)
        events = record.mask(record.delivered, step).to(sent)
        if self.scope == "touched":
            sample, shard = record.running[step]
            sent = sent.index_add(0, sample, self.waiting[shard, sample])
            self.waiting = self.waiting.index_put((shard, sample), self.zeros[sample])
        elif self.scope == "next_emission":
            emitted = record.mask(record.emitted, step)
            continues = record.mask(record.continuing, step)
            self.sharing = self.sharing * (continues | ~emitted) + self.waiting * emitted
            self.waiting = self.waiting * ~emitted
            sent = sent + self.sharing * record.mask(record.leading, step)
        inputs, input_events = self._inputs(index, step)
        i = self._total(self.wires, inputs, sent, index)
        with torch.no_grad():
            n = self._total(self.synapses, input_events, events, index)
        # 0.5, because a convolution algorithm may leave a rounding error in place of 0.
        return i, record.taking(step), n > 0.5

    def collect(self, index: int, step: int, z: Tensor, fired: Tensor) -> None:
        """Store the results of this step's updates."""
        sample, neuron, spike = self.record.stored[step]
        self.spikes = self.spikes.index_put((spike,), z[sample, neuron])
        if self.record.scheduled and index == self.record.n_shards - 1:
            sample, channel, spike = self.record.joined[step]
            self.spikes = self.spikes.index_put((spike,), self.frame[sample, channel])
        if self.scope != "spikes":
            self.waiting = self.waiting + z * ~fired

    def _inputs(self, index: int, step: int) -> tuple[Tensor | None, Tensor | None]:
        """Input that arrives in this step, and 1 where it is not 0; [B, n_inputs] each, or None."""
        if not self.record.scheduled:
            if index >= self.record.n_shards:
                return None, None
            return self.frame, (self.frame != 0).to(self.frame)
        sample, channel, spike = self.record.inputs[step]
        events = torch.zeros_like(self.frame)
        inputs = events.index_put((sample, channel), self.spikes[spike], accumulate=True)
        events[sample, channel] = 1
        return inputs, events

    def _total(self, wires: list[Wire], inputs: Tensor | None, sent: Tensor, index: int) -> Tensor:
        def values(wire: Wire) -> Tensor | None:
            return inputs if wire.source is None else sent[:, wire.source]

        return total(wires, values, self.blank, biased=index < self.record.n_shards)


class _Layered:
    """What each visit delivers: the spikes of all populations that project to the one visited."""

    def __init__(
        self,
        network: Network,
        record: Record,
        wires: list[Wire],
        blank: list[Tensor],
        scope: str,
    ) -> None:
        self.record, self.blank, self.scope = record, blank, scope
        order, _ = visiting_order(network)
        self.visits = [network.populations[at] for at in order]
        self.incoming = [[wire for wire in wires if wire.target == at] for at in order]
        self.now = self.zeros = torch.cat(blank, dim=1)

    def start(self, timestep: int, frame: Tensor) -> None:
        self.frame, self.before, self.now = frame, self.now, self.zeros

    def deliver(self, index: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the visit's input i, and (twice) the neurons visited, all of which are updated."""
        visited = torch.zeros_like(self.zeros, dtype=torch.bool)
        if index == len(self.visits):  # only emits the last visit's spikes: nothing to deliver
            return self.zeros, visited, visited

        def values(wire: Wire) -> Tensor:
            if wire.source is None:
                return self.frame
            return (self.before if wire.is_feedback else self.now)[:, wire.source]

        i = total(self.incoming[index], values, self.blank, biased=True)
        population = self.visits[index]
        visited[:, population.start : population.stop] = True
        visited &= self.record.taking(step)
        return i, visited, visited

    def collect(self, index: int, step: int, z: Tensor, fired: Tensor) -> None:
        """Store the results of this visit's updates; a lost spike is not passed on."""
        passed = self.record.mask(self.record.stored, step)
        self.now = self.now + z * (passed | ~fired if self.scope == "touched" else passed)


def _neurons(network: Network, holds: Callable[[LIF], bool], like: Tensor) -> Tensor:
    """Which neurons are in a population whose neuron model is such, bool [n_neurons]."""
    flags = [holds(p.neuron) for p in network.populations]
    sizes = [p.stop - p.start for p in network.populations]
    return torch.from_numpy(np.repeat(flags, sizes)).to(like.device)


def _check_input(x: Tensor | SpikeBatch, wanted: tuple[int, int, int]) -> None:
    if isinstance(x, SpikeBatch):
        sizes: tuple[int, ...] = (x.n_timesteps, x.n_samples, x.n_inputs)
    else:
        sizes = tuple(x.flatten(2).shape) if x.ndim > 2 else tuple(x.shape)
    if sizes != wanted:
        raise InputError(expected("x", f"sizes {sizes}", f"the trace's [T, B, n_inputs] {wanted}"))
