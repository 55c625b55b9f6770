"""Schedules: which of the pending spikes are delivered next.

A schedule is a plain value that states a rule; the engine applies it.
`forward_group_size` (F) is the number of pending spikes delivered together in a forward step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt

from pyasync._checks import aligned, amount, array, choice, integer, numbers, shown, signed
from pyasync._copy import ReadOnly
from pyasync.errors import ScheduleError, expected

if TYPE_CHECKING:
    from pyasync.trace import Trace

#: `pick(pending, n, rng)`: see `Custom`.
Pick = Callable[[npt.NDArray[Any], int, np.random.Generator], npt.ArrayLike]


class Schedule(ABC):
    """Base class of all schedules.

    Examples
    --------
    >>> import pyasync as pa
    >>> [isinstance(each, pa.Schedule) for each in (pa.Layered(), pa.Random(8), pa.FreeRunning())]
    [True, True, True]
    """

    name: ClassVar[str]

    @abstractmethod
    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        """Arguments for the engine: the schedule's name, then its parameters."""


def _keep_integer(schedule: Schedule, argument: str, minimum: int = 0) -> None:
    """Check an integer argument and store it as an int: JSON cannot encode NumPy's integers."""
    number = integer(ScheduleError, argument, getattr(schedule, argument), minimum)
    object.__setattr__(schedule, argument, number)


@dataclass(frozen=True)
class Layered(Schedule):
    """Visit the populations one by one, each once per timestep: the layer-synchronised baseline.

    They are visited in topological order, and all their neurons are updated, touched or not.

    Parameters
    ----------
    feedback : {"next_timestep", None}
        Projections that close a cycle deliver their spikes in the next timestep. None: networks
        with cycles are refused.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Layered()
    Layered(feedback='next_timestep')
    """

    name = "layered"
    feedback: Literal["next_timestep"] | None = "next_timestep"

    def __post_init__(self) -> None:
        choice(ScheduleError, "feedback", self.feedback, ("next_timestep", None))

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        return (self.name, self.feedback is not None)


@dataclass(frozen=True)
class _Grouped(Schedule):
    forward_group_size: int = 8

    def __post_init__(self) -> None:
        _keep_integer(self, "forward_group_size", 1)

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        return (self.name, self._group_size)

    @property
    def _group_size(self) -> int:
        return _bounded(self.forward_group_size)


def _bounded(number: int) -> int:
    # No sample has 2**32 pending spikes or neurons, so a larger number means "all" everywhere.
    return min(number, 2**32 - 1)


@dataclass(frozen=True)
class _Seeded(_Grouped):
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is not None:
            _keep_integer(self, "seed")

    def _seed(self, seed: int) -> int:
        return seed if self.seed is None else self.seed


@dataclass(frozen=True)
class Random(_Seeded):
    """Select F pending spikes uniformly without replacement, anew in every step (the paper's RS).

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.
    seed : int, optional
        Used instead of the simulation's seed.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Random(8)
    Random(forward_group_size=8, seed=None)
    """

    name = "random"

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        return (self.name, self._group_size, self._seed(seed))


@dataclass(frozen=True)
class Momentum(_Grouped):
    """Select first the spikes that fired at the highest potential (the paper's MS).

    Ties go to the spike that arrived first.

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.
    noise : float
        Width, 0 or more, of the uniform noise added to a spike's potential; drawn once per spike.
    seed : int, optional
        Used instead of the simulation's seed.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Momentum(8, noise=1e-6)
    Momentum(forward_group_size=8, noise=1e-06, seed=None)
    """

    name = "momentum"
    noise: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        noise = amount(ScheduleError, "noise", self.noise)
        object.__setattr__(self, "noise", noise)
        if self.seed is not None:
            _keep_integer(self, "seed")

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        own = seed if self.seed is None else self.seed
        return (self.name, self._group_size, self.noise, own)


@dataclass(frozen=True)
class Fifo(_Grouped):
    """Select spikes in order of arrival: first in, first out.

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Fifo(1)
    Fifo(forward_group_size=1)
    """

    name = "fifo"


@dataclass(frozen=True)
class Lifo(_Grouped):
    """Select the spikes that arrived last: last in, first out.

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Lifo(1)
    Lifo(forward_group_size=1)
    """

    name = "lifo"


@dataclass(frozen=True, eq=False)
class Priority(ReadOnly, _Grouped):
    """Select first the spikes of the neurons with the highest static values.

    Ties go to the spike that arrived first.

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.
    values : array of real numbers, shape [n_neurons]
        For example each neuron's negated deadline, or the depth of its population.

    Raises
    ------
    ScheduleError
        If a parameter is not as described, or, when it runs, a network has another number of
        neurons.

    Examples
    --------
    >>> import pyasync as pa
    >>> pa.Priority(4, values=[0.0, 2.0, 1.0]).values
    array([0., 2., 1.])
    """

    name = "priority"
    values: npt.ArrayLike = field(default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        accepted = "an array of real numbers, one a neuron"
        values = numbers(ScheduleError, "values", self.values, accepted, np.float64)
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            is_nan = values.ndim == 1 and values.size
            given = "NaN" if is_nan else f"an array of shape {values.shape}"
            raise ScheduleError(expected("values", given, accepted))
        object.__setattr__(self, "values", values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Priority):
            return NotImplemented
        same_size = self.forward_group_size == other.forward_group_size
        return same_size and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.forward_group_size, np.asarray(self.values).tobytes()))

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        values = aligned(self.values, np.float64)
        if values.size != n_neurons:
            accepted = f"{n_neurons}, one a neuron"
            raise ScheduleError(expected("values", f"{values.size} values", accepted))
        return (self.name, self._group_size, values)


@dataclass(frozen=True)
class Custom(_Seeded):
    """Select what a Python function picks: for research and tests, at the speed of Python.

    Parameters
    ----------
    forward_group_size : int
        F, at least 1.
    pick : callable
        `pick(pending, n, rng)` returns `n` different indices into `pending`, where `n` is
        `min(F, len(pending))`. `pending` is a structured array in order of arrival, with the fields
        `neuron` (int64; -1 - channel for a scheduled input spike), `v` (float64, the potential at
        which it fired; infinity for an input spike) and `arrival` (int64, its arrival number).
        `rng` is a NumPy generator made afresh for every step. The function may be called from
        several threads; runs are reproducible if it depends on nothing but its arguments.
    seed : int, optional
        Used instead of the simulation's seed.

    Raises
    ------
    ScheduleError
        If a parameter is not as described, or, when it runs, `pick` gives anything else.

    Examples
    --------
    Spikes of the neurons with the highest ids first:

    >>> import numpy as np, pyasync as pa
    >>> schedule = pa.Custom(1, lambda pending, n, rng: np.argsort(-pending["neuron"])[:n])
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> x = np.full((1, 1, 3), 2.0)
    >>> result = pa.simulate(network, x, schedule, dt=1e-3, record=True)
    >>> result.trace.to_events()["neuron"]
    array([2, 1, 0])
    """

    name = "custom"
    pick: Pick | None = field(default=None)
    forward_group_size: int = 8
    seed: int | None = None

    def __init__(self, forward_group_size: int, pick: Pick, seed: int | None = None) -> None:
        object.__setattr__(self, "forward_group_size", forward_group_size)
        object.__setattr__(self, "pick", pick)
        object.__setattr__(self, "seed", seed)
        super().__post_init__()
        if not callable(pick):
            raise ScheduleError(expected("pick", shown(pick), "a callable pick(pending, n, rng)"))

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        return (self.name, self._group_size, self._seed(seed), self._pick)

    def _pick(self, neuron: Any, v: Any, arrival: Any, n: int, key: list[int]) -> Any:
        fields = [("neuron", np.int64), ("v", np.float64), ("arrival", np.int64)]
        pending = np.empty(len(neuron), fields)
        pending["neuron"], pending["v"], pending["arrival"] = neuron, v, arrival
        seed, sample_id, timestep, step = key
        words = np.array([seed, sample_id, 0, step, timestep, 0], np.uint64)
        philox = np.random.Philox(key=words[:2], counter=words[2:])
        picked = cast("Pick", self.pick)(pending, n, np.random.Generator(philox))
        accepted = f"{n} different indices, as integers"
        indices = array(ScheduleError, "pick", picked, accepted)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            given = f"an array of {indices.dtype} and shape {indices.shape}"
            raise ScheduleError(expected("pick", given, accepted))
        return signed(indices)


@dataclass(frozen=True)
class FreeRunning(Schedule):
    """No schedule: neurons are updated as spikes arrive, on several threads at once.

    The neurons are divided into shards, each run by one thread. A shard delivers the spikes that
    wait for it in the order in which they came, and shards wait for each other only at the end of a
    timestep. The timing of the machine decides the order, so two runs may differ, unless there is
    only one shard: that is exactly `Fifo`. With `record=True` what happened is recorded, and
    `Replay(trace)` repeats it to the bit.

    Parameters
    ----------
    threads : int, optional
        Worker threads; if not given, the `threads` of the simulation (all cores by default).
    forward_group_size : int
        F: the most waiting spikes that a shard delivers together.
    shards : int, optional
        Number of shards, 1 to 64; if not given, as many as threads work on a sample. Where few
        shards each hold whole populations of a chain, no orders mix, and every run is that of
        `Fifo`; more shards divide populations, as many small cores do.
    parallel : {"auto", "samples", "shards"}
        "auto": each sample runs on as many threads as suit the size of the network, while the other
        threads run other samples. "samples": each sample runs on one thread. "shards": all threads
        work on the same sample, one sample after the other.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> rng = np.random.default_rng(0)
    >>> weights = [rng.normal(0.1, 0.4, shape) for shape in [(40, 20), (5, 40)]]
    >>> network = pa.Network.sequential([pa.Linear(w) for w in weights], pa.LIF(v_threshold=0.5))
    >>> x = rng.random((10, 4, 20)) < 0.2
    >>> run = pa.simulate(network, x, pa.FreeRunning(2, parallel="shards"), dt=1e-3, record=True)
    >>> run.trace.validate(network)
    >>> again = pa.simulate(network, x, pa.Replay(run.trace), dt=1e-3)
    >>> bool((again.spike_counts == run.spike_counts).all())
    True
    """

    name = "free"
    threads: int | None = None
    forward_group_size: int = 1
    shards: int | None = None
    parallel: Literal["auto", "samples", "shards"] = "auto"

    def __post_init__(self) -> None:
        for argument, number in (("threads", self.threads), ("shards", self.shards)):
            if number is not None:
                _keep_integer(self, argument, 1)
        _keep_integer(self, "forward_group_size", 1)
        choice(ScheduleError, "parallel", self.parallel, ("auto", "samples", "shards"))

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        shards = None if self.shards is None else _bounded(self.shards)
        return (self.name, _bounded(self.forward_group_size), shards, self.parallel)


@dataclass(frozen=True)
class Replay(Schedule):
    """Repeat exactly what a trace recorded: the same bits, without random numbers.

    Parameters
    ----------
    trace : Trace
        The recorded run. Its stops and dropouts are repeated: the options of `simulate` for them
        have no effect, nor have `seed` and `sample_ids`. (But `on_stop="carry"` is refused with the
        trace of a `Layered` run, as with `Layered` itself.) Everything else has to be as it was. A
        different network structure or dtype raises a `TraceError`; a different number of timesteps
        or samples, `dt` or `input_mode` raises an `InputError`. If weights, neuron parameters,
        input or `initial_v` differ, the replay stops with a `ReplayError` at the first difference.

    Raises
    ------
    ScheduleError
        If a parameter is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> x = np.full((1, 1, 3), 2.0)
    >>> run = pa.simulate(network, x, pa.Random(1), dt=1e-3, record=True)
    >>> replay = pa.simulate(network, x, pa.Replay(run.trace), dt=1e-3, record=True)
    >>> replay.trace == run.trace
    True
    """

    name = "replay"
    trace: Trace

    def __post_init__(self) -> None:
        from pyasync.trace import Trace

        if not isinstance(self.trace, Trace):
            given = type(self.trace).__name__
            raise ScheduleError(expected("trace", given, "a Trace, as from record=True"))

    def parts(self, seed: int, n_neurons: int) -> tuple[Any, ...]:
        return (self.name, self.trace.core)
