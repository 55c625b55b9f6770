"""The options that all models take, and the check of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from pyasync._checks import choice, flag, fraction, integer, seconds
from pyasync.errors import InputError
from pyasync.nn._schedules import RandomSchedules, schedule_of
from pyasync.nn._surrogates import Surrogate, surrogate_of
from pyasync.schedules import Schedule

Scope: TypeAlias = Literal["spikes", "next_emission", "touched"]
Gradient: TypeAlias = Literal["native", "torch", "auto"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
GRADIENTS: tuple[Gradient, ...] = get_args(Gradient)

if TYPE_CHECKING:
    from typing_extensions import Required, TypedDict

    class Options(TypedDict, total=False):
        """The options that all models take; see `AsyncModule`."""

        schedule: Required[Schedule | RandomSchedules]
        dt: Required[float]
        surrogate: Surrogate | None
        gradient_scope: Scope
        detach_reset: bool
        gradient: Gradient
        refractory_dropout: float
        input_dropout: float
        spike_dropout: float
        max_forward_steps: int
        threads: int | None
        batch_first: bool


#: For each option, a function that returns the value to store, or refuses it by name.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "schedule": schedule_of,
    "dt": partial(seconds, InputError, "dt"),
    "surrogate": surrogate_of,
    "gradient_scope": lambda given: choice(InputError, "gradient_scope", given, SCOPES),
    "detach_reset": partial(flag, InputError, "detach_reset"),
    "gradient": lambda given: choice(InputError, "gradient", given, GRADIENTS),
    "refractory_dropout": partial(fraction, InputError, "refractory_dropout"),
    "input_dropout": partial(fraction, InputError, "input_dropout", below_one=True),
    "spike_dropout": partial(fraction, InputError, "spike_dropout"),
    "max_forward_steps": lambda given: integer(InputError, "max_forward_steps", given, 1),
    "threads": lambda given: None if given is None else integer(InputError, "threads", given, 1),
    "batch_first": partial(flag, InputError, "batch_first"),
}
