"""Running a network on a batch of input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import choice, entries, flag, fraction, integer, shown, thread_count
from pyasync._input import potentials_of, read_input, sample_ids_of
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
        Where neurons of `refractory="none"` may fire without end, a small multiple of their number
        stops it before it takes long, or a recording fills the memory.
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
    batch, n_timesteps, n_samples, dt = read_input(network, x, dt, batch_first)
    if not isinstance(keep, Sequence):
        raise InputError(expected("keep", shown(keep), f"some of {KEEP}"))
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in keep:
        choice(InputError, "keep", name, KEEP)
    options = {
        "dt": dt,
        "sample_ids": sample_ids_of(sample_ids, n_samples),
        "threads": thread_count(threads),
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
        "initial_v": potentials_of(initial_v, n_samples, network),
        "record": flag(InputError, "record", record),
        **{f"keep_{name}": name in keep for name in KEEP},
    }
    if isinstance(schedule, FreeRunning) and schedule.threads is not None:
        options["threads"] = schedule.threads
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
