"""The base of `AsyncSequential` and `AsyncNetwork`: options, the forward, and its result."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import nn

from pyasync._checks import flag, integer, shown
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.nn._activity import watch
from pyasync.nn._function import Call, Spikes, TransformedSpikes
from pyasync.nn._given import prepared, samples_of
from pyasync.nn._limits import (
    number_type,
    numpy_dtype,
    plain,
    refuse,
    refuse_autocast,
    transforms_but_vmap,
    uncompiled,
)
from pyasync.nn._options import CHECKS, Gradient, Scope
from pyasync.nn._plan import Plan
from pyasync.nn._schedules import RandomSchedules, schedule_for
from pyasync.nn._surrogates import Surrogate, atan
from pyasync.result import Result
from pyasync.schedules import Schedule


class State(NamedTuple):
    """The state that a stream carries from one piece to the next.

    Attributes
    ----------
    v : tensor [B, n_neurons]
        Membrane potentials, differentiable; pass on `State(state.v.detach())` to truncate the
        gradient.
    current : tensor [B, n_neurons] or None
        Synaptic currents, likewise: 0 for neurons without a `tau_syn`, None if none has one.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> options = {"input_shape": 3, "schedule": pa.Fifo(1), "dt": 10e-3}
    >>> model = pa.nn.AsyncSequential(pa.nn.OneToOne(2.0), pa.nn.LIF(), **options)
    >>> first, second = torch.rand(10, 4, 3).split(5)   # a stream in two pieces
    >>> counts, state = model.eval()(first, return_state=True)
    >>> counts, state = model(second, state=state, return_state=True)
    >>> state.v.shape
    torch.Size([4, 3])
    """

    v: torch.Tensor
    current: torch.Tensor | None = None


class AsyncModule(nn.Module):
    """Base class of models that run as a network of asynchronous neurons.

    Parameters
    ----------
    schedule : Schedule or RandomSchedules
        Which pending spikes are delivered next; a call may override it.
    dt : float
        Length of a timestep in seconds.
    surrogate : Surrogate
        Derivative of a spike in the reverse pass; `atan()` if not given.
    gradient_scope : {"spikes", "next_emission", "touched"}
        Which updates get the gradient of a spike's effect on other neurons. "spikes": those that
        fired. "next_emission": also silent ones, through the neuron's next emission in the timestep
        (as in the paper's code). "touched": all updates; a silent one as if it were emitted, with
        value 0, in the step that follows.
    detach_reset : bool
        Leave the derivative of the reset out of the gradient. If it is included, training with
        small groups may diverge.
    gradient : {"native", "torch", "auto"}
        How gradients are computed. "native": by the engine's reverse pass (CPU only). "torch": by
        PyTorch operations that replay the trace (any device). "auto": "native" on the CPU, else
        "torch".
    refractory_dropout : float
        In training, the probability that a neuron that fires does not become refractory.
    input_dropout : float
        In training, the probability `p` that an input spike is left out; the others are scaled by
        1 / (1 - p).
    spike_dropout : float
        In training, the probability that a neuron's spike is lost: it counts, but delivers nothing.
    max_forward_steps : int
        Safety limit: a timestep that is not quiescent after this many forward steps is stopped.
        Until then all of them are recorded for the backward. If neurons with `refractory="none"`
        may fire forever, choose a small multiple of their number, so that such a timestep stops
        before its record fills the memory.
    threads : int, optional
        Worker threads of the engine; all cores if not given. Results do not depend on it, except
        under `FreeRunning`. PyTorch's own threads keep the same cores busy while they wait for
        work, so on the CPU `torch.set_num_threads(1)` makes training faster.
    batch_first : bool
        Whether inputs are [B, T, ...] and counts [B, T, n_outputs]. The losses of
        `pyasync.nn.functional` then need `batch_first=True` too.

    Raises
    ------
    InputError, ScheduleError
        If an option is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> model = pa.nn.AsyncSequential(
    ...     torch.nn.Linear(2, 3), pa.nn.LIF(),
    ...     schedule=pa.Random(8), dt=10e-3, gradient_scope="touched", refractory_dropout=0.8,
    ... )
    >>> isinstance(model, pa.nn.AsyncModule)
    True
    >>> model.schedule = pa.Momentum(4)   # options may be changed, and are checked then
    >>> model
    AsyncSequential(
      schedule=Momentum(forward_group_size=4, noise=0.0, seed=None), dt=0.01,
        gradient_scope='touched', refractory_dropout=0.8
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): LIF(v_threshold=1, tau_mem=0.02, reset='zero', refractory='timestep')
    )
    """

    def __init__(
        self,
        *,
        schedule: Schedule | RandomSchedules,
        dt: float,
        surrogate: Surrogate | None = None,
        gradient_scope: Scope = "spikes",
        detach_reset: bool = True,
        gradient: Gradient = "native",
        refractory_dropout: float = 0.0,
        input_dropout: float = 0.0,
        spike_dropout: float = 0.0,
        max_forward_steps: int = 1_000_000,
        threads: int | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        # Each option is checked when it is set, here and later.
        self.schedule: Schedule | RandomSchedules = schedule
        self.dt = dt
        self.surrogate = atan() if surrogate is None else surrogate
        self.gradient_scope = gradient_scope
        self.detach_reset = detach_reset
        self.gradient = gradient
        self.refractory_dropout = refractory_dropout
        self.input_dropout = input_dropout
        self.spike_dropout = spike_dropout
        self.max_forward_steps = max_forward_steps
        self.threads = threads
        self.batch_first = batch_first
        # Moves with .to(...), so that a model without parameters has a dtype and a device too.
        self._like: torch.Tensor
        self.register_buffer("_like", torch.empty(0), persistent=False)
        self._last_result: Result | None = None
        self._warned: set[str] = set()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the value of an option is checked first."""
        if name in CHECKS:
            value = CHECKS[name](value)
        super().__setattr__(name, value)

    @abstractmethod
    def _plan(self) -> Plan:
        """The structure of the network, from the modules as they are now."""

    @property
    def last_result(self) -> Result | None:
        """The `Result` of the last forward, with its measures; None before the first and in copies.

        Its `counts` may share memory with the tensor that the forward returned.

        Examples
        --------
        >>> import torch, pyasync as pa
        >>> options = {"input_shape": 3, "schedule": pa.Fifo(1), "dt": 10e-3}
        >>> model = pa.nn.AsyncSequential(pa.nn.OneToOne(2.0), pa.nn.LIF(), **options)
        >>> _ = model.eval()(torch.ones(1, 4, 3))
        >>> model.last_result.spikes
        array([3, 3, 3, 3])
        """
        return self._last_result

    def network(self) -> Network:
        """A `pyasync.Network` with the model's current weights, in its dtype.

        Examples
        --------
        >>> import torch, pyasync as pa
        >>> options = {"input_shape": 3, "schedule": pa.Fifo(1), "dt": 10e-3}
        >>> model = pa.nn.AsyncSequential(pa.nn.OneToOne(2.0), pa.nn.LIF(), **options)
        >>> model.network()
        Network(3 -> 1[3], 1 projection, float32)
        """
        plan = self._plan()
        dtype, _ = number_type([*plan.tensors(), *plan.neuron_parameters()], self._like)
        return plan.network(numpy_dtype(dtype))

    @uncompiled
    def forward(
        self,
        x: torch.Tensor | npt.ArrayLike | SpikeBatch,
        *,
        schedule: Schedule | RandomSchedules | None = None,
        seed: int | None = None,
        sample_ids: npt.ArrayLike | torch.Tensor | None = None,
        state: State | None = None,
        return_state: bool = False,
        return_spike_counts: bool = False,
        return_output_v: bool = False,
    ) -> Any:
        """Run a batch of input.

        Parameters
        ----------
        x : tensor or array [T, B, *input_shape] or [T, B, n_inputs], or SpikeBatch
            Spikes (bool), counts (integers) or currents (floats). A float tensor that requires a
            gradient gets one. An array must not be changed before the backward. With
            `batch_first`, tensors and arrays are [B, T, ...].
        schedule : Schedule or RandomSchedules, optional
            Used instead of the model's.
        seed : int, optional
            Determines all random numbers of the call: those of the schedule, unless it has a seed
            of its own, and of the dropouts. If not given, it is 0 in evaluation; in training it is
            drawn from PyTorch's default generator, so that `torch.manual_seed` makes training
            reproducible.
        sample_ids : array of int [B], optional
            As in `simulate`: the random numbers of the schedule, `refractory_dropout` and
            `spike_dropout` depend on a sample's id, not on its position in the batch.
        state : State, optional
            State to start from; 0 if not given. Pieces of a stream with the same seed draw the
            same random numbers, so give each piece its own (in evaluation, the default is 0).
        return_state, return_spike_counts, return_output_v : bool
            Whether to also return the state for the next piece, the spikes of every neuron, and the
            potentials of the output neurons.

        Returns
        -------
        counts : tensor [T, B, n_outputs] in the model's dtype and on its device
            Spikes of the output neurons in each timestep, differentiable.
        output_v : tensor [T, B, n_outputs]
            Only with `return_output_v`; differentiable. Potentials at the end of each timestep, to
            read out neurons that do not fire (snnTorch's `mem`).
        spike_counts : tensor [B, n_neurons]
            Only with `return_spike_counts`; differentiable.
        state : State
            Only with `return_state`; differentiable.

        Raises
        ------
        InputError, ScheduleError, NetworkError
            As `simulate` does, and if parameters differ in dtype or device.
        GradientError
            Under autocast, `vmap` or forward-mode differentiation, and with `gradient="native"` off
            the CPU.

        Examples
        --------
        >>> import torch, pyasync as pa
        >>> options = {"input_shape": 3, "schedule": pa.Fifo(1), "dt": 10e-3}
        >>> model = pa.nn.AsyncSequential(pa.nn.OneToOne(2.0), pa.nn.LIF(), **options)
        >>> x = torch.tensor([[[1.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]])   # two timesteps, one sample
        >>> counts, spike_counts = model(x, return_spike_counts=True)
        >>> counts[:, 0].tolist(), spike_counts.tolist()
        ([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], [[1.0, 0.0, 2.0]])
        """
        return_state = flag(InputError, "return_state", return_state)
        return_spike_counts = flag(InputError, "return_spike_counts", return_spike_counts)
        return_output_v = flag(InputError, "return_output_v", return_output_v)
        function = TransformedSpikes if transforms_but_vmap() else Spikes
        plan = self._plan()
        tensors = plan.tensors()
        dtype, device = number_type([*tensors, *plan.neuron_parameters()], self._like)
        refuse_autocast(device)
        gradient = self._gradient_on(device)
        if seed is None:
            seed = int(torch.randint(2**63 - 1, (), device="cpu").item()) if self.training else 0
        seed = integer(InputError, "seed", seed)
        given, tensor = prepared(
            x,
            plan.template,
            dtype,
            device,
            batch_first=self.batch_first,
            dropout=self.input_dropout if self.training else 0.0,
            seed=seed,
            recorded=gradient == "native" and torch.is_grad_enabled(),
            threads=self.threads,
        )
        initial_state = None
        if state is not None:
            n_samples = samples_of(tensor if given is None else given)
            initial_state = _joined(state, n_samples, plan.template).to(device, dtype)
        learned = plan.learned(self.dt, dtype)
        differentiable = [tensor, initial_state, *learned, *tensors]
        call = Call(
            plan=plan,
            dtype=numpy_dtype(dtype),
            device=device,
            schedule=schedule_for(
                self.schedule if schedule is None else schedule, self.training, seed
            ),
            dt=self.dt,
            options=self._options(seed, sample_ids),
            surrogate=self.surrogate,
            gradient_scope=self.gradient_scope,
            detach_reset=self.detach_reset,
            gradient=gradient,
            record=torch.is_grad_enabled()
            and any(each is not None and each.requires_grad for each in differentiable),
            output_v=return_output_v,
            spike_counts=return_spike_counts,
            state=return_state,
            x=given,
        )
        counts, output_v, spike_counts, after = function.apply(call, *differentiable)
        object.__setattr__(self, "_last_result", call.result)  # nn.Module's own is slower
        if self.training and call.result is not None:
            watch(call.result, self._warned, silent_is_fine=return_output_v)
        by_timestep = [counts] + [output_v] * return_output_v
        if self.batch_first:
            by_timestep = [each.transpose(0, 1) for each in by_timestep]
        asked = [*by_timestep, *[spike_counts] * return_spike_counts]
        if return_state:
            n = plan.template.n_neurons
            both = (after[:, :n], after[:, n:]) if plan.template.has_currents else (after,)
            asked.append(State(*both))
        return tuple(asked) if len(asked) > 1 else asked[0]

    def _options(self, seed: int, sample_ids: Any) -> dict[str, Any]:
        options: dict[str, Any] = {
            "seed": seed,
            "sample_ids": plain(InputError, "sample_ids", sample_ids),
            "threads": self.threads,
            "max_forward_steps": self.max_forward_steps,
        }
        if self.training:
            options["refractory_dropout"] = self.refractory_dropout
            options["spike_dropout"] = self.spike_dropout
        return options

    def _gradient_on(self, device: torch.device) -> str:
        if self.gradient == "auto":
            return "native" if device.type == "cpu" else "torch"
        if self.gradient == "native" and device.type != "cpu":
            accepted = 'gradient="torch" or "auto" there, or the model on the CPU'
            refuse(f"'native' for a model on {device}", accepted)
        return self.gradient

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts afresh: results, warnings and the cached plan stay with the original.
        return {**self.__dict__, "_last_result": None, "_warned": set(), "_cached": None}

    def extra_repr(self) -> str:
        """The schedule, `dt`, and the gradient and dropout options that are not the defaults."""
        parts = [f"schedule={self.schedule!r}", f"dt={self.dt:g}"]
        plain: dict[str, Any] = {"surrogate": atan(), "gradient_scope": "spikes"}
        plain |= {"detach_reset": True, "gradient": "native"}
        plain |= dict.fromkeys(("refractory_dropout", "input_dropout", "spike_dropout"), 0.0)
        parts += [
            f"{name}={getattr(self, name)!r}"
            for name, default in plain.items()
            if getattr(self, name) != default
        ]
        return ", ".join(parts)


def _joined(state: Any, n_samples: int | None, network: Network) -> torch.Tensor:
    """A state as one tensor, like `Result.state`."""
    if not isinstance(state, State):
        accepted = "the State that a call with return_state=True gave"
        raise InputError(expected("state", shown(type(state).__name__), accepted))
    names = ("v", "current") if network.has_currents else ("v",)
    if not network.has_currents and state.current is not None:
        accepted = "None, since no neuron has a tau_syn"
        raise InputError(expected("state", "a current", accepted))
    for name in names:
        part = getattr(state, name)
        if not isinstance(part, torch.Tensor):
            given = f"{shown(type(part).__name__)} as {name}"
            raise InputError(expected("state", given, "a tensor [B, n_neurons]"))
        wanted = n_samples or state.v.shape[0], network.n_neurons
        if part.shape != wanted:
            given = f"{name} of shape {tuple(part.shape)}"
            accepted = f"[{n_samples}, {network.n_neurons}], of this batch"
            raise InputError(expected("state", given, accepted))
        if not part.isfinite().all():
            raise InputError(expected("state", f"{name} that is not finite", "finite numbers"))
    parts = [getattr(state, name) for name in names]
    return torch.cat(parts, dim=1) if len(parts) > 1 else state.v
