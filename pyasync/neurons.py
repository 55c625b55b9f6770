"""Neuron models."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice, integer, numbers, seconds, shown
from pyasync._copy import ReadOnly
from pyasync.errors import NetworkError, expected

#: What infinite parameters mean.
_INFINITE = {
    "tau_mem": "integrate-and-fire",
    "tau_syn": "it never decays",
    "v_threshold": "never fires",
}


@dataclass(frozen=True, eq=False)
class LIF(ReadOnly):
    """The leaky integrate-and-fire neuron.

    The membrane potential decays once per timestep, `v <- v * exp(-dt / tau_mem)`. In each forward
    step it adds the input that arrives, and the neuron fires if then `v > v_threshold` (strictly).

    Parameters
    ----------
    tau_mem : float or array of the population's shape
        Membrane time constant in seconds, above 0; infinity gives the integrate-and-fire neuron.
    v_threshold : float or array of the population's shape
        Firing threshold; infinity for neurons that never fire and are read out by their potential.
    reset : {"zero", "subtract", "none"}
        What firing does to the potential: set it to 0, subtract `reset_amount`, or nothing.
    refractory : {"timestep", "none"}
        Whether a neuron that fired ignores its input until the timestep ends.
    sync_threshold : int
        If above 0, a neuron fires only after more than this many events have arrived at it in the
        timestep.
    reset_amount : float or array of the population's shape, optional
        What a spike subtracts from the potential; `v_threshold` if not given. Only for
        `reset="subtract"`.
    tau_syn : float or array of the population's shape, optional
        Time constant of the synaptic current in seconds, above 0; infinity keeps it for ever. If
        not given, there is none: what arrives changes the potential once. With it, what arrives
        also stays as a current, which decays once per timestep, `c <- c * exp(-dt / tau_syn)`, and
        arrives again in every timestep (snnTorch's `Synaptic`, NIR's `CubaLIF`).

    Raises
    ------
    NetworkError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.LIF(tau_mem=10e-3, v_threshold=0.3)
    LIF(tau_mem=0.01, v_threshold=0.3, reset='zero', refractory='timestep', sync_threshold=0)

    snnTorch's `Leaky` subtracts its threshold one timestep later by default, after the decay. That
    is to subtract more at once:

    >>> beta, threshold, tau_mem = 0.9, 1.0, pa.time_constant(0.9, dt=1e-3)
    >>> pa.LIF(tau_mem, threshold, "subtract", reset_amount=threshold / beta).reset_amount
    1.1111111111111112

    A synaptic current that halves per timestep of 1 ms drives the potential after its spike too:

    >>> import numpy as np
    >>> neuron = pa.LIF(tau_mem=np.inf, tau_syn=pa.time_constant(0.5, dt=1e-3), v_threshold=5.0)
    >>> network = pa.Network.sequential([pa.Linear(np.eye(1))], neuron)
    >>> spike = np.array([[[1.0]], [[0.0]], [[0.0]]])
    >>> result = pa.simulate(network, spike, dt=1e-3, keep=("v", "current"))
    >>> result.v.item(), result.current.item()   # 1 + 0.5 + 0.25, and 0.25
    (1.75, 0.25)
    """

    tau_mem: float | npt.ArrayLike = 20e-3
    v_threshold: float | npt.ArrayLike = 1.0
    reset: Literal["zero", "subtract", "none"] = "zero"
    refractory: Literal["timestep", "none"] = "timestep"
    sync_threshold: int = 0
    reset_amount: float | npt.ArrayLike | None = None
    tau_syn: float | npt.ArrayLike | None = None

    def __post_init__(self) -> None:
        choice(NetworkError, "reset", self.reset, ("zero", "subtract", "none"))
        choice(NetworkError, "refractory", self.refractory, ("timestep", "none"))
        if integer(NetworkError, "sync_threshold", self.sync_threshold) >= 2**32:
            accepted = "an integer below 2**32"
            raise NetworkError(expected("sync_threshold", self.sync_threshold, accepted))
        if self.reset_amount is not None and self.reset != "subtract":
            given = f"{shown(self.reset_amount)} with reset={self.reset!r}"
            raise NetworkError(expected("reset_amount", given, "None, except with 'subtract'"))
        for parameter in self.parameters:
            if type(getattr(self, parameter)) not in (int, float):
                values = self._values(parameter)
                object.__setattr__(self, parameter, values if values.ndim else values.item())
        for parameter in self.parameters:
            if wrong := unfit(parameter, self._values(parameter)):
                value, accepted = wrong
                if parameter in _INFINITE:
                    accepted += f" (infinity: {_INFINITE[parameter]})"
                raise NetworkError(expected(parameter, value, accepted))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that may have one value per neuron, as far as they are given."""
        optional = ("reset_amount", "tau_syn")
        return ("tau_mem", "v_threshold", *(n for n in optional if getattr(self, n) is not None))

    def _values(self, parameter: str) -> npt.NDArray[np.float64]:
        accepted = "a number, or an array of the population's shape"
        return numbers(NetworkError, parameter, getattr(self, parameter), accepted, np.float64)

    @property
    def fires(self) -> bool:
        """Whether any of the neurons can fire, rather than all having an infinite `v_threshold`."""
        return bool(np.isfinite(self._values("v_threshold")).any())

    def values(self, parameter: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Values of one of the `parameters` for a population, flat: one, or one per neuron."""
        array = self._values(parameter)
        if array.ndim and array.shape not in (shape, (int(np.prod(shape)),)):
            accepted = f"a number, or an array of the population's shape {shape}"
            raise NetworkError(expected(parameter, f"an array of shape {array.shape}", accepted))
        return array.reshape(-1)

    def if_given(self, parameter: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        """The same of a parameter that may be left out; None if it is."""
        return self.values(parameter, shape) if parameter in self.parameters else None

    def __eq__(self, other: object) -> bool:
        """Whether all parameters are equal."""
        if not isinstance(other, LIF):
            return NotImplemented
        mine, others = (
            (each.reset, each.refractory, each.sync_threshold, each.parameters)
            for each in (self, other)
        )
        return mine == others and all(
            np.array_equal(self._values(name), other._values(name)) for name in self.parameters
        )

    def __repr__(self) -> str:
        """The call that makes it, without what is None."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        parts = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        return f"LIF({', '.join(parts)})"

    def __hash__(self) -> int:
        return hash((self.reset, self.refractory, self.sync_threshold))

    def settings(self) -> dict[str, Any]:
        """The parameters that are not arrays, in JSON-compatible form."""
        names = ("reset", "refractory", "sync_threshold")
        return {name: getattr(self, name) for name in names}


def unfit(parameter: str, values: npt.NDArray[np.float64]) -> tuple[np.float64, str] | None:
    """The first value that a neuron cannot have, and what is accepted; None if all are fine."""
    if parameter.startswith("tau"):
        fine, accepted = values > 0, "seconds > 0"
    else:
        fine, accepted = np.isfinite(values), "finite numbers"
        if parameter in _INFINITE:
            fine |= values == np.inf
    return None if fine.all() else (values[~fine][0], accepted)


def time_constant(beta: npt.ArrayLike, dt: float) -> Any:
    """Convert decay factors, as other frameworks have them, into time constants: `-dt / log(beta)`.

    Parameters
    ----------
    beta : float or array
        What is left of a potential or a synaptic current after a timestep, 0 to 1.
    dt : float
        Length of a timestep in seconds.

    Returns
    -------
    float or array of float64
        Time constants in seconds: infinity for a `beta` of 1, and for a `beta` of 0 a thousandth of
        `dt`, after which nothing is left in float64 either.

    Raises
    ------
    NetworkError
        If `beta` is not from 0 to 1, or `dt` not a length of time.

    Examples
    --------
    >>> import pyasync as pa
    >>> leaky = pa.LIF(tau_mem=pa.time_constant(0.9, dt=1e-3))
    >>> round(leaky.tau_mem, 6)
    0.009491
    >>> pa.time_constant([0.0, 0.5, 1.0], dt=1e-3).round(6).tolist()
    [1e-06, 0.001443, inf]
    """
    factors = numbers(NetworkError, "beta", beta, "a number or an array", np.float64)
    dt = seconds(NetworkError, "dt", dt)
    outside = factors[~((factors >= 0) & (factors <= 1))]
    if outside.size:
        raise NetworkError(expected("beta", outside[0], "numbers from 0 to 1"))
    with np.errstate(divide="ignore"):
        tau_mem = np.maximum(dt / np.abs(np.log(factors)), dt / 1000)
    return tau_mem if tau_mem.ndim else tau_mem.item()
