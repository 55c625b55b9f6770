"""Surrogates: functions that stand in for the derivative of a spike in the reverse pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pyasync._checks import choice, real, shown
from pyasync.errors import InputError, expected

# Above this, float32 computations overflow.
_MOST = 1e30


def _atan(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return alpha / 2 / (1 + (torch.pi / 2 * alpha * x) ** 2)


def _fast_sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    return 1 / (1 + slope * x.abs()) ** 2


def _sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    # The function is even in x; written with |x| it cannot overflow.
    falling = torch.exp(-slope * x.abs())
    return slope * falling / (1 + falling) ** 2


def _triangular(x: torch.Tensor, threshold: float) -> torch.Tensor:
    # In the dtype of x: from two plain numbers `torch.where` would give the default dtype.
    return torch.where(x < 0, torch.full_like(x, threshold), torch.full_like(x, -threshold))


def _straight_through(x: torch.Tensor, _: float) -> torch.Tensor:
    return torch.ones_like(x)


DERIVATIVES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "atan": _atan,
    "fast_sigmoid": _fast_sigmoid,
    "sigmoid": _sigmoid,
    "triangular": _triangular,
    "straight_through_estimator": _straight_through,
}


@dataclass(frozen=True)
class Surrogate:
    """A surrogate derivative by its snnTorch name; create one with `atan`, `fast_sigmoid` etc.

    Called on `x = v - v_threshold` it is the spike function: 1 where `x > 0`, else 0, with
    `derivative(x)` as its gradient.

    Attributes
    ----------
    name : str
    parameter : float
        `alpha`, `slope` or `threshold`.

    Raises
    ------
    InputError
        If the name is unknown, or the parameter is not above 0 and at most 1e30.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> spike = pa.nn.atan(alpha=2.0)
    >>> x = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    >>> spike(x).sum().backward()
    >>> spike(x).tolist(), torch.equal(x.grad, spike.derivative(x))
    ([0.0, 0.0, 1.0], True)
    """

    name: str
    parameter: float = 1.0

    def __post_init__(self) -> None:
        choice(InputError, "name", self.name, tuple(DERIVATIVES))
        object.__setattr__(self, "parameter", _checked("parameter", self.parameter))

    def derivative(self, x: torch.Tensor) -> torch.Tensor:
        """The derivative at `x = v - v_threshold`, in the shape and dtype of `x`."""
        return DERIVATIVES[self.name](x, self.parameter)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes, 0 or 1 in the dtype of `x`, with the surrogate as gradient."""
        spikes: torch.Tensor = _Spike.apply(x, self)
        return spikes


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.surrogate = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None


def atan(alpha: float = 2.0) -> Surrogate:
    """Arctangent: `alpha / 2 / (1 + (pi / 2 * alpha * x)**2)`.

    Source: Fang et al., *Incorporating Learnable Membrane Time Constant*, ICCV 2021.

    Parameters
    ----------
    alpha : float
        Twice the derivative at 0: the larger, the higher and the narrower.

    Raises
    ------
    InputError
        If `alpha` is not above 0 and at most 1e30.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.atan(2.0).derivative(torch.zeros(1))
    tensor([1.])
    """
    return _named("atan", "alpha", alpha)


def fast_sigmoid(slope: float = 25.0) -> Surrogate:
    """Fast sigmoid: `1 / (1 + slope * |x|)**2`.

    Source: Zenke and Ganguli, *SuperSpike*, Neural Computation 2018.

    Parameters
    ----------
    slope : float
        How steeply the derivative falls from 1 at 0: the larger, the narrower.

    Raises
    ------
    InputError
        If `slope` is not above 0 and at most 1e30.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.fast_sigmoid(1.0).derivative(torch.ones(1))
    tensor([0.2500])
    """
    return _named("fast_sigmoid", "slope", slope)


def sigmoid(slope: float = 25.0) -> Surrogate:
    """Sigmoid: `slope * exp(-slope * x) / (exp(-slope * x) + 1)**2`.

    Source: Zenke and Ganguli, *SuperSpike*, Neural Computation 2018.

    Parameters
    ----------
    slope : float
        Four times the derivative at 0: the larger, the higher and the narrower.

    Raises
    ------
    InputError
        If `slope` is not above 0 and at most 1e30.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.sigmoid(4.0).derivative(torch.zeros(1))
    tensor([1.])
    """
    return _named("sigmoid", "slope", slope)


def triangular(threshold: float = 1.0) -> Surrogate:
    """Triangular, as in snnTorch: `+threshold` for `x < 0` and `-threshold` for `x >= 0`.

    Above the firing threshold it has the opposite sign, as if more input gave fewer spikes.

    Parameters
    ----------
    threshold : float
        Size of the derivative.

    Raises
    ------
    InputError
        If `threshold` is not above 0 and at most 1e30.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.triangular().derivative(torch.tensor([-0.5, 0.5]))
    tensor([ 1., -1.])
    """
    return _named("triangular", "threshold", threshold)


def straight_through_estimator() -> Surrogate:
    """Straight through: 1 everywhere.

    Source: Bengio, Léonard and Courville, arXiv 1308.3432.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> pa.nn.straight_through_estimator().derivative(torch.zeros(2))
    tensor([1., 1.])
    """
    return Surrogate("straight_through_estimator")


def _named(name: str, argument: str, parameter: float) -> Surrogate:
    return Surrogate(name, _checked(argument, parameter))


def _checked(argument: str, given: Any) -> float:
    accepted = f"a number above 0, at most {_MOST:g}"
    return real(InputError, argument, given, accepted, most=_MOST)


def surrogate_of(given: Any) -> Surrogate:
    if not isinstance(given, Surrogate):
        accepted = "a surrogate such as pa.nn.atan(2.0)"
        raise InputError(expected("surrogate", shown(given), accepted))
    return given
