"""The autograd function of a run: simulate forward, go backward through the recorded order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from pyasync import _core
from pyasync._checks import aligned, thread_count
from pyasync._input import engine_input
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.nn._limits import (
    BATCHED_BACKWARD,
    DOUBLE_BACKWARD,
    FORWARD_MODE,
    VMAP,
    refuse,
    transforms,
)
from pyasync.nn._plan import Plan
from pyasync.nn._surrogates import Surrogate
from pyasync.projections import Conv1d, Conv2d
from pyasync.result import Result
from pyasync.schedules import Schedule
from pyasync.simulate import simulate
from pyasync.trace import Trace

Given = torch.Tensor | None
#: How many outputs `Spikes` has.
N_RESULTS = 4


@dataclass
class Call:
    """One forward of a model: its settings, then its result; kept alive by the autograd graph."""

    plan: Plan
    dtype: np.dtype[Any]
    device: torch.device
    schedule: Schedule
    dt: float
    options: dict[str, Any]
    surrogate: Surrogate
    gradient_scope: str
    detach_reset: bool
    gradient: str
    record: bool
    #: Whether output potentials, spike counts and the final state are to be returned.
    output_v: bool
    spike_counts: bool
    state: bool
    #: The input, if it is not a tensor.
    x: SpikeBatch | npt.NDArray[Any] | None
    network: Network | None = field(default=None)
    result: Result | None = field(default=None)
    #: Thresholds [n_neurons] for the replay, if none are learned.
    v_threshold: npt.NDArray[np.float64] | None = field(default=None)
    #: What spikes subtract [n_neurons], for the replay.
    reset_amount: npt.NDArray[np.float64] | None = field(default=None)

    def run(
        self,
        x: Given,
        initial_state: Given,
        _beta: Given,
        tau_mem: Given,
        v_threshold: Given,
        _alpha: Given,
        tau_syn: Given,
        *tensors: Given,
    ) -> Any:
        """Simulate; give counts, and output potentials, spike counts and state, or None each."""
        self.network = self.plan.filled(self.dtype, tensors, (tau_mem, v_threshold, tau_syn))
        if self.record and self.gradient == "torch":
            self.reset_amount = self.plan.reset_amount()
            if v_threshold is None:
                self.v_threshold = self.plan.v_threshold()
        options = dict(self.options)
        if initial_state is not None:
            state, n = initial_state.numpy(force=True), self.network.n_neurons
            options["initial_v"] = state[:, :n]
            if self.network.has_currents:
                options["initial_current"] = state[:, n:]
        keep = ["counts", "spike_counts", "output_spikes"]
        keep += ["output_v"] * self.output_v + ["v", "current"] * self.state
        given = self.given(x)
        result = simulate(
            self.network, given, self.schedule, dt=self.dt, record=self.record, keep=keep, **options
        )
        self.result = result
        return (
            # The tensor shares memory with `result.counts` if dtype and device allow.
            torch.from_numpy(np.asarray(result.counts, self.dtype)).to(self.device),
            self._tensor(result.output_v) if self.output_v else None,
            self._tensor(result.spike_counts) if self.spike_counts else None,
            self._tensor(result.state) if self.state else None,
        )

    def recorded(self) -> tuple[Network, Trace]:
        """The network that ran, and the record of its run."""
        assert self.network is not None
        assert self.result is not None
        assert self.result.trace is not None
        return self.network, self.result.trace

    def given(self, x: Given) -> Any:
        """The input as `simulate` takes it."""
        return self.x if x is None else x.numpy(force=True)

    def _tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(array, self.dtype, order="C")).to(self.device)


class Spikes(torch.autograd.Function):
    """Results of a run, differentiable through its trace.

    Outputs: counts and potentials of the output by timestep, spike counts, and the final state.

    Inputs: the call, x, the initial state, beta, tau_mem, v_threshold, alpha, tau_syn, then weight
    and bias of every link. A state is that of `Result.state`.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, *inputs: Given) -> Any:
        keep(ctx, call, inputs)
        return call.run(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Given) -> Any:
        _, x, initial_state, beta, _, v_threshold, alpha, _, *tensors = ctx.needs_input_grad
        needs = (x, initial_state, beta, v_threshold, alpha, *tensors)
        if all(grad is None for grad in grads):
            return (None,) * len(ctx.needs_input_grad)
        # If this backward may itself be differentiated or batched, run it as a Function, which
        # refuses second derivatives and takes one cotangent at a time.
        reverse = Reverse.apply if torch.is_grad_enabled() or transforms() else Reverse.forward
        try:
            x, initial_state, beta, v_threshold, alpha, *tensors = reverse(
                ctx.call, needs, *grads, *ctx.saved_tensors
            )
        except RuntimeError as error:  # no public API tells that is_grads_batched is in use
            if "Batching rule" not in str(error):
                raise
            refuse(*BATCHED_BACKWARD)
        return None, x, initial_state, beta, None, v_threshold, alpha, None, *tensors

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> NoReturn:
        refuse(*VMAP)

    @staticmethod
    def jvp(ctx: Any, *grads: Any) -> NoReturn:
        refuse(*FORWARD_MODE)


class TransformedSpikes(Spikes):
    """`Spikes` in the form that function transforms (`torch.func.grad`) need, which is slower."""

    @staticmethod
    def forward(call: Call, *inputs: Given) -> Any:  # type: ignore[override]
        return call.run(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        call, *given = inputs
        keep(ctx, call, given)


class Reverse(torch.autograd.Function):
    """The gradient of a run, itself not differentiable: the recorded order has no derivative."""

    @staticmethod
    def forward(call: Call, needs: tuple[bool, ...], *rest: Given) -> Any:
        grads, saved = rest[:N_RESULTS], list(rest[N_RESULTS:])
        reverse = by_replay if call.gradient == "torch" else by_engine
        found = reverse(call, needs, grads, saved)
        return tuple(
            None if grad is None or not need else grad
            for grad, need in zip(found, needs, strict=True)
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Given) -> NoReturn:
        refuse(*DOUBLE_BACKWARD)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> NoReturn:
        refuse(*BATCHED_BACKWARD)

    @staticmethod
    def jvp(ctx: Any, *grads: Any) -> NoReturn:
        refuse(*FORWARD_MODE)


def keep(ctx: Any, call: Call, inputs: Sequence[Given]) -> None:
    """Keep what the backward needs."""
    x, initial_state, beta, _, v_threshold, alpha, _, *tensors = inputs
    ctx.call = call
    ctx.set_materialize_grads(False)
    # Saved through autograd, which notices if one is changed in place before the backward.
    ctx.save_for_backward(x, initial_state, beta, v_threshold, alpha, *tensors)


def by_engine(
    call: Call, needs: tuple[bool, ...], grads: tuple[Given, ...], saved: list[Given]
) -> list[Given]:
    """Gradients of x, initial state, beta, v_threshold, alpha and tensors, by the engine."""
    network, trace = call.recorded()
    x, initial_state = saved[:2]
    batch = engine_input(network, call.given(x))

    def array(tensor: Given, contiguous: bool = True) -> Any:
        if tensor is None:
            return None
        return aligned(tensor.numpy(force=True), call.dtype, contiguous=contiguous)

    counts, output_v, spike_counts, state = grads
    options = {
        "dt": call.dt,
        "threads": thread_count(call.options.get("threads")),
        "surrogate": (call.surrogate.name, call.surrogate.parameter),
        "gradient_scope": call.gradient_scope,
        "detach_reset": call.detach_reset,
        "initial_state": array(initial_state),
        "want_input": needs[0],
        "want_initial_state": needs[1],
        "want_neuron": any(needs[2:5]),
    }
    # The engine reads the cotangents by timestep with any strides.
    counts, output_v = (array(each, contiguous=False) for each in (counts, output_v))
    cotangents = counts, output_v, array(spike_counts), array(state)
    arrays = _core.gradient(network.build(), batch, trace.core, *cotangents, options)
    names = "input", "initial_state", "beta", "v_threshold", "alpha"
    found: list[Any] = [arrays[name] for name in names]  # type: ignore[literal-required]
    for (_, _, link), weight, bias in zip(
        call.plan.links, arrays["weights"], arrays["biases"], strict=True
    ):
        if bias is not None and isinstance(link.template, Conv1d | Conv2d):
            # The engine has one bias per neuron, a convolution one per channel.
            bias = bias.reshape(link.output_shape[0], -1).sum(1)
        found += [weight, bias]
    return [
        torch.from_numpy(each.reshape(tensor.shape)) if need and tensor is not None else None
        for each, need, tensor in zip(found, needs, saved, strict=True)
    ]


def by_replay(
    call: Call, needs: tuple[bool, ...], grads: tuple[Given, ...], saved: list[Given]
) -> list[Given]:
    """The same gradients from PyTorch's autograd through a replay, on the model's device."""
    from pyasync.nn._replay import replay

    network, trace = call.recorded()
    leaves = [
        None if each is None else each.detach().requires_grad_(need)
        for each, need in zip(saved, needs, strict=True)
    ]
    x, initial_state, beta, v_threshold, alpha, *tensors = leaves

    def here(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(array, call.dtype)).to(call.device)

    if beta is None or v_threshold is None:
        beta, v_threshold = here(network.decay(call.dt)), here(call.v_threshold)
        if network.has_currents:
            alpha = here(network.synaptic_decay(call.dt))
    given: Any = x
    if x is None:
        given = call.x if isinstance(call.x, SpikeBatch) else here(call.x)
    with torch.enable_grad():
        if isinstance(given, torch.Tensor):
            given = given.to(call.device, beta.dtype).reshape(*given.shape[:2], -1)
        outputs = replay(
            network,
            trace,
            given,
            tensors[::2],
            tensors[1::2],
            beta,
            v_threshold,
            here(call.reset_amount),
            alpha,
            surrogate=call.surrogate,
            gradient_scope=call.gradient_scope,
            detach_reset=call.detach_reset,
            initial_state=initial_state,
        )
        used = [
            (output, grad.to(output.dtype))
            for output, grad in zip(outputs, grads, strict=True)
            if grad is not None and output.requires_grad
        ]
        sought = [
            leaf for leaf, need in zip(leaves, needs, strict=True) if need and leaf is not None
        ]
        found = iter(
            torch.autograd.grad(
                [output for output, _ in used],
                sought,
                [grad for _, grad in used],
                allow_unused=True,
                materialize_grads=True,
            )
            if used
            else [torch.zeros_like(leaf) for leaf in sought]
        )
    return [next(found) if need else None for need in needs]
