"""Warnings about networks that have fallen silent or that fire without end."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np

from pyasync.result import Result, StopReason

SATURATED = 0.9
ADVICE = {
    "silent": (
        "no output neuron fired in a whole batch, so almost nothing is learned from it: lower "
        "v_threshold, scale the initial weights up, or begin a spike cost later (pa.nn.SpikeCost's "
        "warmup, a recipe's spike_cost_warmup) and make it smaller"
    ),
    "saturated": (
        "neurons fired more than 0.9 times per timestep on average, so spikes tell little: raise "
        "v_threshold, scale the initial weights or the input down, or add a spike cost "
        "(pa.nn.functional.spike_cost, a recipe's spike_cost)"
    ),
    "unending": (
        "timesteps were cut off at max_forward_steps with spikes still pending: neurons excite "
        'each other without end; use refractory="timestep", scale recurrent weights down, or '
        "raise max_forward_steps"
    ),
}


class ActivityWarning(UserWarning):
    """A network in training is silent, saturated, or does not come to rest.

    Each kind is reported once, and again only after the network has recovered in between.

    Examples
    --------
    >>> import warnings, pyasync as pa
    >>> warnings.simplefilter("ignore", pa.nn.ActivityWarning)
    """


def watch(result: Result, known: set[str], silent_is_fine: bool) -> None:
    """Warn of new problems; `known` holds the kinds already warned of, and is updated."""
    updates = result.n_neurons * result.n_timesteps * result.n_samples
    # This runs in every training step, so the usual case is decided first, and without NumPy.
    now = {
        "silent": not silent_is_fine
        and math.isnan(result.latency[0])
        and bool(np.isnan(result.latency).all()),
        "saturated": result._total_spikes > SATURATED * updates,
        "unending": not result._all_quiescent
        and bool((result.stopped_by == StopReason.MAX_FORWARD_STEPS).any()),
    }
    for kind, wrong in now.items():
        if wrong and kind not in known:
            known.add(kind)
            warnings.warn(ADVICE[kind], ActivityWarning, stacklevel=_callers_level())
        elif not wrong:
            known.discard(kind)


def _callers_level() -> int:
    """Stack levels from `watch` up to the code that called the model, where a warning points.

    The number of PyTorch's frames in between depends on hooks and on compilation.
    """
    level, frame = 1, sys._getframe(1)
    inside = {"torch", "pyasync", "contextlib"}
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in inside:
        level, frame = level + 1, frame.f_back
    return level
