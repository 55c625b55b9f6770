"""The oracle's schedules and random numbers: docs/semantics.md, "Schedules", and DETERMINISM.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Pick = Callable[[np.ndarray, int, np.random.Generator], Any]
PENDING = np.dtype([("neuron", "<i8"), ("v", "<f8"), ("arrival", "<i8")])


@dataclass(frozen=True)
class Schedule:
    """A schedule; `kind` is the name of its class, and fields it does not have are ignored."""

    kind: str
    F: int = 8
    seed: int | None = None
    noise: float = 0.0
    values: np.ndarray | None = None
    pick: Pick | None = None


@dataclass(eq=False)
class Spike:
    arrival: int
    neuron: int  # -1 - channel for an input spike
    v: Any = 0.0
    multiplicity: Any = 1.0
    rank: float = 0.0
    skipped: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Moment:
    """The moment in a run on which random numbers depend."""

    seed: int
    sample_id: int
    timestep: int
    step: int


def philox_at(at: Moment, stream: int) -> np.random.Philox:
    # uint64 explicitly: NumPy would make float64 of integers below and above 2**63, and lose bits
    key = np.array([at.seed, at.sample_id], np.uint64)
    counter = np.array([0, at.step, at.timestep, stream], np.uint64)
    return np.random.Philox(key=key, counter=counter)


def draws(at: Moment, stream: int, n: int) -> list[int]:
    return [int(u) for u in philox_at(at, stream).random_raw(n)]


def rank(schedule: Schedule, at: Moment, v: float, index: int) -> float:
    """Momentum's rank of the spike of the `index`-th neuron that fires in a step."""
    if schedule.noise == 0:
        return v
    u = (draws(at, 1, index + 1)[index] >> 11) * 2.0**-53
    return v + schedule.noise * u


def fate(at: Moment, neuron: int, times: int, dropouts: tuple[float, float]) -> tuple[bool, bool]:
    """Whether a neuron's `times`-th spike of a timestep skips refractoriness, and is lost."""
    key = np.array([at.seed, at.sample_id], np.uint64)
    counter = np.array([times - 1, neuron, at.timestep, 2], np.uint64)
    u = np.random.Philox(key=key, counter=counter).random_raw(2)
    skipped, lost = ((int(each) >> 11) * 2.0**-53 < p for each, p in zip(u, dropouts, strict=True))
    return skipped, lost


def select(schedule: Schedule, at: Moment, pending: list[Spike]) -> list[Spike]:
    """Remove the next group from `pending`, in place, and return it in arrival order."""
    n = min(schedule.F, len(pending))
    if n == len(pending):
        group = list(pending)
        pending.clear()
    elif schedule.kind == "Random":
        group = []
        for u in draws(at, 0, n):
            index = (u * len(pending)) >> 64
            group.append(pending[index])
            pending[index] = pending[-1]
            pending.pop()
    else:
        group = picked(schedule, at, pending, n)
        pending[:] = [spike for spike in pending if spike not in group]
    return sorted(group, key=lambda spike: spike.arrival)


def picked(schedule: Schedule, at: Moment, pending: list[Spike], n: int) -> list[Spike]:
    if schedule.kind == "Custom":
        assert schedule.pick is not None
        queue = sorted(pending, key=lambda spike: spike.arrival)
        rows = np.array([(spike.neuron, spike.v, spike.arrival) for spike in queue], PENDING)
        rng = np.random.Generator(philox_at(at, 0))
        return [queue[int(index)] for index in schedule.pick(rows, n, rng)]
    values = schedule.values
    keys: dict[str, Callable[[Spike], Any]] = {
        "Fifo": lambda spike: spike.arrival,
        "Lifo": lambda spike: -spike.arrival,
        "Momentum": lambda spike: (spike.neuron >= 0, -spike.rank, spike.arrival),
        "Priority": lambda spike: (
            spike.neuron >= 0,
            0.0 if spike.neuron < 0 or values is None else -values[spike.neuron],
            spike.arrival,
        ),
    }
    return sorted(pending, key=keys[schedule.kind])[:n]
