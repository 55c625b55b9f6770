"""The accepted values of each field of a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyasync._checks import choice, flag, fraction, integer, real, shown
from pyasync.errors import InputError, expected

ARCHITECTURES = ("linear", "conv", "conv_stride", "conv_pool")
SCHEDULES = ("layered", "random", "momentum", "fifo", "lifo", "mixed")
SCOPES = (None, "spikes", "next_emission", "touched")
SURROGATES = ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator")
LOSSES = ("timestep", "rate")
LEARNING_RATE_SCHEDULES = ("constant", "cosine")
# Above this, PyTorch's float32 computations overflow.
MOST = 1e30


def checked(name: str, given: Any) -> Any:
    """Check the value of a recipe's field and convert it to the field's type; else InputError."""
    match name:
        case "hidden":
            given = _plain(given)
            if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
                raise InputError(expected(name, shown(given), "a sequence of integers"))
            return tuple(integer(InputError, name, size, 1) for size in given)
        case "forward_group_size":
            sizes = _one_or_two(name, given, 1)
            if not isinstance(sizes, int) and sizes[0] > sizes[1]:
                raise InputError(expected(name, shown(given), "F, or (smallest, largest)"))
            return sizes
        case "shift_channels":
            return _one_or_two(name, given, 0)
        case "recurrent" | "bias" | "detach_reset":
            return flag(InputError, name, given)
        case "learn_tau_mem" | "learn_threshold" | "learn_tau_syn":
            return flag(InputError, name, given)
        case "architecture":
            return choice(InputError, name, given, ARCHITECTURES)
        case "schedule":
            return choice(InputError, name, given, SCHEDULES)
        case "gradient_scope":
            return choice(InputError, name, given, SCOPES)
        case "surrogate":
            return choice(InputError, name, given, SURROGATES)
        case "loss":
            return choice(InputError, name, given, LOSSES)
        case "learning_rate_schedule":
            return choice(InputError, name, given, LEARNING_RATE_SCHEDULES)
        case "epochs" | "batch_size":
            return integer(InputError, name, given, 1)
        case "shift_timesteps" | "seed" | "output_sync_threshold":
            return integer(InputError, name, given)
        case "tau_syn" if given is None:
            return None
        case "tau_mem" | "tau_syn":
            # The types are checked first, because `==` with an array gives an array.
            if isinstance(given, (str, float, np.floating)) and given in ("inf", math.inf):
                return math.inf
            return real(InputError, name, given, "seconds above 0, or inf")
        case "surrogate_parameter" | "gradient_clip" | "refractory_dropout" | "spike_target" if (
            given is None
        ):
            return None
        case "refractory_dropout" | "spike_dropout" | "spike_cost_warmup":
            return fraction(InputError, name, given)
        case "input_dropout" | "label_smoothing" | "learning_rate_warmup":
            return fraction(InputError, name, given, below_one=True)
        case "momentum_noise" | "weight_decay" | "spike_cost" | "spike_target" | "recurrent_scale":
            accepted = f"a number from 0 to {MOST:g}"
            return real(InputError, name, given, accepted, positive=False, most=MOST)
        case _:
            accepted = f"a number above 0, at most {MOST:g}"
            return real(InputError, name, given, accepted, most=MOST)


def _plain(given: Any) -> Any:
    """Convert an array to a list, or to a number if it has no axes."""
    return given.tolist() if isinstance(given, np.ndarray) else given


def _one_or_two(name: str, given: Any, minimum: int) -> int | tuple[int, int]:
    accepted = f"an integer of {minimum} or more, or two"
    given = _plain(given)
    if isinstance(given, (tuple, list)) and len(given) == 2:
        first, second = (integer(InputError, name, each, minimum, accepted) for each in given)
        return first, second
    return integer(InputError, name, given, minimum, accepted)
