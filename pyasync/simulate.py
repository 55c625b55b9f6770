"""Running a network on a batch of input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import (
    aligned,
    array,
    choice,
    entries,
    flag,
    fraction,
    integer,
    numbers,
    seconds,
    shown,
)
from pyasync._events import starts_of
from pyasync._progress import Progress
from pyasync.errors import InputError, NetworkError, ScheduleError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.result import KEEP, Result
from pyasync.schedules import FreeRunning, Random, Schedule


def simulate(
    network: Network,
    x: npt.ArrayLike | SpikeBatch,
    schedule: Schedule | None = None,
    *,
    dt: float | None = None,
    seed: int = 0,
    sample_ids: npt.ArrayLike | None = None,
    threads: int | None = None,
    record: bool = False,
    progress: bool = False,
    batch_first: bool = False,
    input_mode: Literal["at_once", "scheduled"] = "at_once",
    max_forward_steps: int = 1_000_000,
    max_spikes: int | None = None,
    stop_on_output: Literal["timestep", "sample"] | None = None,
    extra_steps: int = 0,
    on_stop: Literal["discard", "carry"] = "discard",
    refractory_dropout: float = 0.0,
    spike_dropout: float = 0.0,
    initial_v: npt.ArrayLike | None = None,
    keep: Sequence[str] = ("counts", "spike_counts", "output_spikes"),
) -> Result:
    """Run every sample of a batch through a network; docs/semantics.md defines every bit of it.

    Parameters
    ----------
    network : Network
    x : array [T, B, *input_shape] or [T, B, n_inputs], or SpikeBatch
        Spikes (bool), counts (integers) or currents (floats; rounded once to the network's dtype).
        With `batch_first`, [B, T, ...].
    schedule : Schedule
        Which pending spikes are delivered next; `Random(8)` if not given.
    dt : float
        Length of a timestep in seconds; not needed when a SpikeBatch has one.
    seed : int
        Keys all random numbers, together with each sample's id.
    sample_ids : array of int [B], optional
        Ids of the samples, 0 or more; their positions in the batch if not given. A sample's result
        depends on its id, never on its position.
    threads : int, optional
        Worker threads; all cores if not given. No bit depends on it, but under `FreeRunning`.
    record : bool
        Record the trace.
    progress : bool
        Show progress with rate and time left (with `rich`, on a terminal).
    batch_first : bool
        Whether a dense `x` is [B, T, ...]. What the `Result` holds is [T, B, ...] all the same.
    input_mode : {"at_once", "scheduled"}
        Input spikes of a timestep arrive as one group, or wait and are scheduled like any other.
    max_forward_steps : int
        Guard: a timestep that has not become quiescent after so many forward steps is stopped.
    max_spikes : int, optional
        Stop a sample that has fired so many spikes.
    stop_on_output : {"timestep", "sample"}, optional
        Stop the timestep or the sample after its first output spike and `extra_steps` more
        forward steps.
    extra_steps : int
        Forward steps from that output spike to the stop.
    on_stop : {"discard", "carry"}
        A stopped timestep's pending spikes are dropped, or stay pending in the next.
    refractory_dropout : float
        Probability that a neuron which fires does not become refractory (a regulariser of
        training, paper section 3). Recorded; a replay has what its trace recorded.
    spike_dropout : float
        Probability that a spike is lost: it counts and passes the schedule, and delivers nothing.
    initial_v : array [B, n_neurons], optional
        Potentials at the start of each sample; 0 if not given. With the final ones, `result.v`, a
        stream can be run in pieces.
    keep : sequence of str
        What to keep besides the measures: "counts", "spike_counts", "output_spikes" (needed for
        `anytime` and `latency_to_correct`; also what `decisions` is taken from when "counts" is
        not kept) and "v" (final potentials).

    Returns
    -------
    Result

    Raises
    ------
    NetworkError
        If `network` is no Network, or is not complete.
    InputError
        If `x` or an option is not as described, or does not fit the network or a replay's trace.
    ScheduleError
        If the schedule does not fit the network, or a custom one picks what it may not.
    TraceError
        If a replay's trace is of another network.
    ReplayError
        If a replay diverges from its trace.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> rng = np.random.default_rng(0)
    >>> network = pa.Network.sequential(
    ...     [pa.Linear(rng.normal(0, 0.3, (20, 100))), pa.Linear(rng.normal(0, 0.5, (5, 20)))],
    ...     pa.LIF(tau_mem=20e-3, v_threshold=0.5),
    ... )
    >>> x = rng.random((10, 3, 100)) < 0.1
    >>> result = pa.simulate(network, x, pa.Momentum(4), dt=10e-3)
    >>> result.counts.shape, result.decisions().shape
    ((10, 3, 5), (3,))
    """
    if not isinstance(network, Network):
        raise NetworkError(expected("network", type(network).__name__, "a pyasync.Network"))
    schedule = Random() if schedule is None else schedule
    if not isinstance(schedule, Schedule):
        accepted = "a schedule such as pa.Random(8) or pa.Layered()"
        raise ScheduleError(expected("schedule", shown(schedule), accepted))
    batch_first = flag(InputError, "batch_first", batch_first)
    batch, n_timesteps, n_samples, dt = _input(network, x, dt, batch_first)
    if not isinstance(keep, Sequence):
        raise InputError(expected("keep", shown(keep), f"some of {KEEP}"))
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in keep:
        choice(InputError, "keep", name, KEEP)
    options = {
        "dt": dt,
        "sample_ids": _sample_ids(sample_ids, n_samples),
        "threads": _threads(threads),
        "input_mode": choice(InputError, "input_mode", input_mode, ("at_once", "scheduled")),
        "max_forward_steps": integer(InputError, "max_forward_steps", max_forward_steps, 1),
        "max_spikes": None
        if max_spikes is None
        else integer(InputError, "max_spikes", max_spikes, 1),
        "stop_on_output": choice(
            InputError, "stop_on_output", stop_on_output, (None, "timestep", "sample")
        ),
        "extra_steps": integer(InputError, "extra_steps", extra_steps),
        "on_stop": choice(InputError, "on_stop", on_stop, ("discard", "carry")),
        "refractory_dropout": fraction(InputError, "refractory_dropout", refractory_dropout),
        "spike_dropout": fraction(InputError, "spike_dropout", spike_dropout),
        "seed": integer(InputError, "seed", seed),
        "initial_v": _initial_v(initial_v, n_samples, network),
        "record": flag(InputError, "record", record),
        **{f"keep_{name}": name in keep for name in KEEP},
    }
    if isinstance(schedule, FreeRunning) and schedule.threads is not None:
        options["threads"] = int(schedule.threads)
    parts = schedule.parts(int(seed), network.n_neurons)
    built = network.build()
    with Progress("simulate", n_samples, "samples", shown=progress) as bar:
        arrays = _core.simulate(built, batch, parts, options, bar.advance_to if progress else None)
    return Result(arrays, network, n_timesteps, n_samples, keep)


def simulate_stream(
    network: Network,
    batches: Iterable[npt.ArrayLike | SpikeBatch],
    schedule: Schedule | None = None,
    **options: Any,
) -> Iterator[Result]:
    """Run one batch after the other, so that neither all input nor all results are in memory.

    Sample ids count on from batch to batch: the results are those of one large batch.

    Parameters
    ----------
    network : Network
    batches : iterable of arrays or SpikeBatch
        As `x` of `simulate`; a generator is read batch by batch.
    schedule : Schedule
    **options
        As in `simulate`, but `sample_ids`.

    Yields
    ------
    Result
        Of each batch.

    Raises
    ------
    InputError
        If `sample_ids` is given.
    PyasyncError
        As `simulate` does.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> batches = (np.full((1, 1000, 3), 2.0) for _ in range(3))
    >>> results = pa.simulate_stream(network, batches, dt=1e-3, keep=())
    >>> sum(int(result.spikes.sum()) for result in results)
    9000
    """
    if "sample_ids" in options:
        accepted = "nothing: the ids of a stream count on from 0"
        raise InputError(expected("sample_ids", shown(options["sample_ids"]), accepted))
    axis = 0 if flag(InputError, "batch_first", options.get("batch_first", False)) else 1
    first = 0
    for x in entries(InputError, "batches", batches, "an iterable of arrays or SpikeBatch"):
        try:
            shape = np.shape(x) if not isinstance(x, SpikeBatch) else ()
        except (TypeError, ValueError, RuntimeError):
            shape = ()  # simulate says what is wrong with it
        n = len(x) if isinstance(x, SpikeBatch) else (shape[axis] if len(shape) > axis else 0)
        yield simulate(network, x, schedule, sample_ids=np.arange(first, first + n), **options)
        first += n


def _initial_v(
    given: npt.ArrayLike | None, n_samples: int, network: Network
) -> npt.NDArray[Any] | None:
    if given is None:
        return None
    shape = (n_samples, network.n_neurons)
    accepted = f"an array [B, n_neurons] = {list(shape)} of finite numbers"
    v = numbers(InputError, "initial_v", given, accepted)
    if v.shape != shape:
        raise InputError(expected("initial_v", f"an array of shape {v.shape}", accepted))
    with np.errstate(over="ignore", under="ignore"):
        return aligned(v, network.dtype)


def _threads(threads: int | None) -> int:
    if threads is not None:
        return integer(InputError, "threads", threads, 1)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _sample_ids(sample_ids: npt.ArrayLike | None, n_samples: int) -> list[int] | None:
    if sample_ids is None:
        return None
    accepted = f"{n_samples} integers of 0 or more and below 2**64, one a sample"
    # As objects, because NumPy has no integer type for a list such as [2**63, -1].
    ids = array(InputError, "sample_ids", sample_ids, accepted, object)
    if ids.shape != (n_samples,):
        raise InputError(expected("sample_ids", f"an array of shape {ids.shape}", accepted))
    return [integer(InputError, "sample_ids", each, accepted=accepted) for each in ids]


def _input(
    network: Network, x: npt.ArrayLike | SpikeBatch, dt: float | None, batch_first: bool
) -> tuple[Any, int, int, float]:
    """What the engine reads, and the batch's timesteps, samples and dt."""
    if dt is not None:
        dt = seconds(InputError, "dt", dt)
    if isinstance(x, SpikeBatch):
        if x.dt is not None and dt is not None and x.dt != dt:
            raise InputError(expected("dt", dt, f"the SpikeBatch's own {x.dt}"))
        dt = x.dt if dt is None else dt
        if x.n_inputs != network.n_inputs or (
            len(network.input_shape) > 1
            and x.input_shape not in (network.input_shape, (x.n_inputs,))
        ):
            given = f"a SpikeBatch of input shape {x.input_shape}"
            raise InputError(expected("x", given, f"input shape {network.input_shape}"))
        if x.n_samples == 0:
            raise InputError(expected("x", "an empty SpikeBatch", "at least one sample"))
    batch = _batch(network, x, batch_first)
    if dt is None:
        raise InputError(
            expected("dt", None, "seconds, finite and above 0 (or a SpikeBatch with dt)")
        )
    sizes = (x.n_timesteps, x.n_samples) if isinstance(x, SpikeBatch) else batch.shape[:2]
    return batch, *sizes, dt


def _batch(network: Network, x: npt.ArrayLike | SpikeBatch, batch_first: bool = False) -> Any:
    """What the engine reads."""
    if isinstance(x, SpikeBatch):
        return _events(x, network.dtype)
    return _dense(network, x, batch_first)


def _events(x: SpikeBatch, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    if x.multiplicity is None:
        return (x.channel, x.offsets, None, x.n_timesteps, x.n_inputs)
    with np.errstate(over="ignore", under="ignore"):
        multiplicity = x.multiplicity.astype(dtype)
    if not np.isfinite(multiplicity).all():
        given = x.multiplicity[~np.isfinite(multiplicity)][0]
        raise InputError(expected("multiplicity", given, f"finite numbers in {dtype}"))
    kept = multiplicity != 0
    if kept.all():
        return (x.channel, x.offsets, multiplicity, x.n_timesteps, x.n_inputs)
    # What rounds to 0 in the network's dtype is no spike, as in a dense input.
    offsets = starts_of(kept)[x.offsets]
    return (x.channel[kept], offsets, multiplicity[kept], x.n_timesteps, x.n_inputs)


def _accepted(network: Network, batch_first: bool) -> str:
    wanted = ("B, T" if batch_first else "T, B") + ", " + ", ".join(map(str, network.input_shape))
    return f"a SpikeBatch, or an array [{wanted}] of bool, integers or floats"


def _check_axes(network: Network, shape: tuple[int, ...], batch_first: bool) -> None:
    if len(shape) < 3 or shape[2:] not in (network.input_shape, (network.n_inputs,)):
        given = f"an array of shape {tuple(shape)}"
        raise InputError(expected("x", given, _accepted(network, batch_first)))


def _dense(network: Network, x: npt.ArrayLike, batch_first: bool) -> npt.NDArray[Any]:
    accepted = _accepted(network, batch_first)
    dense = array(InputError, "x", x, accepted)
    if dense.dtype.kind not in "biuf":
        raise InputError(expected("x", f"{type(x).__name__} of dtype {dense.dtype}", accepted))
    _check_axes(network, dense.shape, batch_first)
    if 0 in dense.shape[:2]:
        given = f"an array of shape {dense.shape}"
        raise InputError(expected("x", given, "at least one timestep and one sample"))
    dense = dense.swapaxes(0, 1) if batch_first else dense
    if dense.dtype == np.bool_:
        dense = dense.view(np.uint8)
    elif dense.dtype not in (np.uint8, np.float32):
        # What float64 cannot hold would be rounded twice by way of it.
        exact = dense.dtype.itemsize < 8 or dense.dtype == np.float64
        with np.errstate(over="ignore"):
            dense = dense.astype(np.float64 if exact else network.dtype)
    return aligned(dense, dense.dtype).reshape(*dense.shape[:2], -1)
