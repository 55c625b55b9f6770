"""The leaky integrate-and-fire neuron as a module, with parameters that can be learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyasync import neurons
from pyasync._checks import flag, shown
from pyasync.errors import NetworkError, expected
from pyasync.nn._limits import numbers, plain

# Above e^80 s nothing decays and below e^-80 s nothing remains, even in float64. Above e^88 s a
# float32 would be infinite, and its gradient NaN.
_MOST_LOG = 80.0

Values = npt.NDArray[np.float64]

_TIME_CONSTANTS = ("tau_mem", "tau_syn")

#: What messages accept, since both classes are called LIF.
A_LIF = "pa.nn.LIF (pa.nn.LIF.from_neuron makes one of a pa.LIF)"


class LIF(nn.Module):
    """The neurons of a population: `pyasync.LIF` as a module.

    A learned `v_threshold` is a Parameter of that name. A learned `tau_mem` is stored as the
    Parameter `log_tau_mem`, its natural logarithm: the time constant then stays above 0 whatever
    the optimiser does, and a step of 0.01 changes it by 1 %, be it milliseconds or seconds.
    `tau_mem` is computed from `log_tau_mem`; to change it, change `log_tau_mem`. So is a learned
    `tau_syn` from `log_tau_syn`. Weight decay would pull time constants towards 1 second, so
    exclude neurons from it: `{"params": [...], "weight_decay": 0.0}`.

    Values that are not learned are buffers, kept in float64 whatever the dtype of the model, so
    that what the engine computes from them is rounded only once. A buffer that requires a gradient
    gets one. State dicts with learned and fixed parameters load into each other, except with
    `assign=True`. `reset_amount` is a constant: it is never learned, gets no gradient and is in the
    state dict only where it is given.

    Parameters
    ----------
    v_threshold : float or tensor of the population's shape
        Firing threshold: a neuron fires when `v > v_threshold`, and with infinity never.
    tau_mem : float or tensor of the population's shape
        Membrane time constant in seconds, above 0; infinity gives the integrate-and-fire neuron.
    reset : {"zero", "subtract", "none"}
        What firing does to the potential: set it to 0, subtract `reset_amount`, or nothing.
    refractory : {"timestep", "none"}
        Whether a neuron that fired ignores its input until the timestep ends.
    sync_threshold : int
        If above 0, a neuron fires only after more than this many events have arrived at it in the
        timestep.
    reset_amount : float or tensor of the population's shape, optional
        What a spike subtracts from the potential; `v_threshold` if not given. Only for
        `reset="subtract"`.
    tau_syn : float or tensor of the population's shape, optional
        Time constant of the synaptic current in seconds, above 0; there is none if not given.
    learn_tau_mem, learn_threshold, learn_tau_syn : bool
        Learn one value for the population, or one per neuron if a tensor is given.
    dtype : {torch.float32, torch.float64}, optional
        Dtype of the learned parameters; PyTorch's default dtype if not given.

    Raises
    ------
    NetworkError
        If a parameter is not as described, or a time constant that is infinite or not given is to
        be learned.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> lif = pa.nn.LIF(v_threshold=0.3, tau_mem=torch.full((64,), 20e-3), learn_tau_mem=True)
    >>> [name for name, _ in lif.named_parameters()], lif.tau_mem.shape
    (['log_tau_mem'], torch.Size([64]))
    """

    __constants__ = ("reset", "refractory", "sync_threshold", "has_current")

    v_threshold: torch.Tensor
    tau_mem: torch.Tensor
    reset_amount: torch.Tensor | None
    tau_syn: torch.Tensor | None

    def __init__(
        self,
        *,
        v_threshold: float | npt.ArrayLike | torch.Tensor = 1.0,
        tau_mem: float | npt.ArrayLike | torch.Tensor = 20e-3,
        reset: Literal["zero", "subtract", "none"] = "zero",
        refractory: Literal["timestep", "none"] = "timestep",
        sync_threshold: int = 0,
        reset_amount: float | npt.ArrayLike | torch.Tensor | None = None,
        tau_syn: float | npt.ArrayLike | torch.Tensor | None = None,
        learn_tau_mem: bool = False,
        learn_threshold: bool = False,
        learn_tau_syn: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = {
            "v_threshold": v_threshold,
            "tau_mem": tau_mem,
            "reset_amount": reset_amount,
            "tau_syn": tau_syn,
        }
        values: dict[str, Any] = {
            name: None if each is None else _plain(name, each) for name, each in given.items()
        }
        neuron = neurons.LIF(
            **values, reset=reset, refractory=refractory, sync_threshold=sync_threshold
        )
        self.reset, self.refractory = neuron.reset, neuron.refractory
        self.sync_threshold = neuron.sync_threshold
        tensors: dict[str, Any] = {
            name: None if each is None else torch.tensor(np.asarray(each, np.float64))
            for name, each in values.items()
        }
        if dtype is None:
            dtype = torch.get_default_dtype()
        elif dtype is not torch.float32 and dtype is not torch.float64:
            accepted = "torch.float32, torch.float64"
            raise NetworkError(expected("dtype", shown(dtype), accepted))
        for name, learn in (("tau_mem", learn_tau_mem), ("tau_syn", learn_tau_syn)):
            tau = tensors[name]
            if not flag(NetworkError, f"learn_{name}", learn):
                self.register_buffer(name, tau)
            elif tau is None or bool(torch.isinf(tau).any()):
                why = "no gradient leads out of infinity" if name == "tau_mem" else "a start"
                accepted = f"finite seconds where learn_{name}=True: {why}"
                raise NetworkError(expected(name, None if tau is None else math.inf, accepted))
            else:
                self.register_parameter(f"log_{name}", nn.Parameter(tau.log().to(dtype)))
        threshold = tensors["v_threshold"]
        if flag(NetworkError, "learn_threshold", learn_threshold):
            if bool(torch.isinf(threshold).any()):
                accepted = "finite numbers where learn_threshold=True"
                raise NetworkError(expected("v_threshold", math.inf, accepted))
            self.v_threshold = nn.Parameter(threshold.to(dtype))
        else:
            self.register_buffer("v_threshold", threshold)
        self.register_buffer("reset_amount", tensors["reset_amount"])

    @classmethod
    def from_neuron(cls, neuron: neurons.LIF, **options: Any) -> LIF:
        """Create a module from a `pyasync.LIF`; `options` are `learn_…` and `dtype` as above.

        Examples
        --------
        >>> import pyasync as pa
        >>> pa.nn.LIF.from_neuron(pa.LIF(v_threshold=0.5)).neuron() == pa.LIF(v_threshold=0.5)
        True
        """
        values = {name: getattr(neuron, name) for name in neuron.parameters}
        return cls(**values, **neuron.settings(), **options)

    def neuron(self) -> neurons.LIF:
        """The `pyasync.LIF` with the current values.

        Examples
        --------
        >>> import pyasync as pa
        >>> pa.nn.LIF(v_threshold=0.5, tau_mem=10e-3).neuron()
        LIF(tau_mem=0.01, v_threshold=0.5, reset='zero', refractory='timestep', sync_threshold=0)
        """
        names = ("tau_mem", "v_threshold", "reset_amount", "tau_syn")
        tensors = {name: getattr(self, name) for name in names}
        values: dict[str, Any] = {
            name: None if each is None else _number_or_each(each) for name, each in tensors.items()
        }
        return neurons.LIF(
            **values,
            reset=self.reset,
            refractory=self.refractory,
            sync_threshold=self.sync_threshold,
        )

    @property
    def has_current(self) -> bool:
        """Whether the neurons have synaptic currents."""
        # Asked in every forward, so without the slow lookup of a module's attributes. If it is no
        # buffer, it is learned or parametrized.
        return "tau_syn" not in self._buffers or self._buffers["tau_syn"] is not None

    @property
    def learns(self) -> bool:
        """Whether any value is a Parameter (even frozen), parametrized, or requires a gradient."""
        if self._parameters or self._modules:
            return True
        own = (self._buffers[name] for name in ("v_threshold", *_TIME_CONSTANTS))
        return any(each is not None and each.requires_grad for each in own)

    def __getattr__(self, name: str) -> Any:
        if name in _TIME_CONSTANTS and name not in self.__dict__.get("_buffers", ()):
            return getattr(self, f"log_{name}").clamp(-_MOST_LOG, _MOST_LOG).exp()
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, except learned time constants, computed from their logarithms."""
        if name in _TIME_CONSTANTS and hasattr(self, log := f"log_{name}"):
            accepted = f"{log}, what is learned: lif.{log}.data.copy_({name}.log())"
            raise NetworkError(expected(name, "an assignment", accepted))
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> LIF:
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            after = self._buffers[name]
            # The mps device has no float64.
            if buffer is not None and after is not None and after.device.type != "mps":
                self._buffers[name] = (
                    after if after.dtype == buffer.dtype else buffer.to(after.device)
                )
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        for name in _TIME_CONSTANTS:
            plain, log = f"{prefix}{name}", f"{prefix}log_{name}"
            if f"log_{name}" in self._parameters and plain in state_dict:
                state_dict[log] = state_dict.pop(plain).log()
            elif self._buffers.get(name) is not None and log in state_dict:
                state_dict[plain] = state_dict.pop(log).exp()
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    def extra_repr(self) -> str:
        """The parameters, as `pyasync.LIF` shows them."""
        parts = []
        for name in ("v_threshold", "tau_mem", *["tau_syn"] * self.has_current):
            learned = name in self._parameters or f"log_{name}" in self._parameters
            parts.append(f"{name}={_shown(getattr(self, name))}" + " (learned)" * learned)
        parts += [f"reset={self.reset!r}", f"refractory={self.refractory!r}"]
        parts += [f"sync_threshold={self.sync_threshold}"] * bool(self.sync_threshold)
        if self.reset_amount is not None:
            parts.append(f"reset_amount={_shown(self.reset_amount)}")
        return ", ".join(parts)

    def forward(self, *_: Any) -> Any:
        """Refuse: neurons run only inside a network."""
        accepted = "its place in pa.nn.AsyncSequential or pa.nn.AsyncNetwork: it does not run alone"
        raise NetworkError(expected("LIF", "a call", accepted))


def values_of(tensor: torch.Tensor) -> Values:
    """Current values in float64 on the CPU."""
    return np.asarray(numbers(tensor), np.float64)


def _number_or_each(tensor: torch.Tensor) -> float | Values:
    values = values_of(tensor)
    return values if values.ndim else float(values)


def _shown(values: torch.Tensor) -> str:
    return f"{values.item():g}" if values.ndim == 0 else f"{list(values.shape)}"


def _plain(argument: str, given: Any) -> Any:
    if isinstance(given, torch.Tensor) and given.requires_grad:
        # A tensor that requires a gradient would be copied and never learned.
        option = {"v_threshold": "threshold"}.get(argument, argument)
        learned = f"; learn_{option} learns them" if argument != "reset_amount" else ""
        accepted = f"numbers or a tensor.detach(){learned}"
        raise NetworkError(expected(argument, "a tensor that requires a gradient", accepted))
    return plain(NetworkError, argument, given)
