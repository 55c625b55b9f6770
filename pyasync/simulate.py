"""Run a network on a batch of input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import choice, entries, flag, fraction, integer, shown, thread_count
from pyasync._input import read_input, sample_ids_of, state_of
from pyasync._progress import Progress
from pyasync.errors import InputError, NetworkError, ScheduleError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network, check_network
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
    initial_current: npt.ArrayLike | None = None,
    keep: Sequence[str] | None = None,
) -> Result:
    """Run every sample of a batch through a network, exactly as docs/semantics.md defines.

    Parameters
    ----------
    network : Network
    x : array [T, B, *input_shape] or [T, B, n_inputs], or SpikeBatch
        Spikes (bool), counts (integers) or currents (floats, rounded once to the network's dtype).
        With `batch_first`, an array is [B, T, ...].
    schedule : Schedule
        Which pending spikes are delivered next; `Random(8)` if not given.
    dt : float
        Length of a timestep in seconds; not needed if `x` is a SpikeBatch that has one.
    seed : int
        Determines all random numbers, together with each sample's id. A schedule that was given its
        own seed uses that instead.
    sample_ids : array of int [B], optional
        Ids of the samples, 0 or more; by default their positions in the batch. A sample's result
        depends on its id, never on its position.
    threads : int, optional
        Worker threads; all cores if not given. Results do not depend on it, except under
        `FreeRunning`.
    record : bool
        Record the trace.
    progress : bool
        On a terminal, show progress, rate and time left (as a bar if `rich` is installed).
    batch_first : bool
        Whether a dense `x` is [B, T, ...]. The arrays of the `Result` are [T, B, ...] either way.
    input_mode : {"at_once", "scheduled"}
        Whether the input spikes of a timestep arrive as one group at its start, or join the pending
        spikes and are scheduled like any other.
    max_forward_steps : int
        Safety limit: a timestep that is not quiescent after this many forward steps is stopped. If
        neurons with `refractory="none"` may fire forever, choose a small multiple of their number,
        so that such a timestep stops before it takes long or a recording fills the memory.
    max_spikes : int, optional
        Stop a sample once it has fired at least this many spikes.
    stop_on_output : {"timestep", "sample"}, optional
        Stop the timestep or the sample after its first output spike and `extra_steps` more
        forward steps.
    extra_steps : int
        Forward steps to take after that output spike before stopping.
    on_stop : {"discard", "carry"}
        Whether the pending spikes of a stopped timestep are dropped or stay pending in the next.
    refractory_dropout : float
        Probability that a neuron that fires does not become refractory (a regulariser for
        training, paper section 3). A trace records which; a replay follows its trace.
    spike_dropout : float
        Probability that a spike is lost: it counts and passes the schedule, but delivers nothing.
    initial_v : array [B, n_neurons], optional
        Potentials at the start of each sample; 0 if not given. To run a stream in pieces, pass the
        final potentials of one piece, `result.v`, to the next. Each piece counts its timesteps from
        0, so pieces with the same seed draw the same random numbers: give each its own. Spikes
        under way from one piece to the next are lost: those of feedback under `Layered`, and those
        that stay pending with `on_stop="carry"`.
    initial_current : array [B, n_neurons], optional
        The same of synaptic currents, `result.current`; 0 for neurons without a `tau_syn`.
    keep : sequence of str, optional
        What to keep besides the measures: "counts", "spike_counts", "output_spikes" (needed for
        `anytime` and `latency_to_correct`, and for `decisions` if "counts" is not kept), "output_v"
        (potentials of the output neurons after each timestep, needed for `decisions` if none of
        them ever fires), "v" (final potentials) and "current" (final synaptic currents). If not
        given: the first three, and "output_v" where `decisions` needs it.

    Returns
    -------
    Result

    Raises
    ------
    NetworkError
        If `network` is not a Network, or is incomplete.
    InputError
        If `x` or an option is not as described, or does not fit the network or a replay's trace.
    ScheduleError
        If the schedule does not fit the network, or a custom one makes an invalid choice.
    TraceError
        If a replay's trace is from another network.
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
    check_network(NetworkError, network)
    schedule = Random() if schedule is None else schedule
    if not isinstance(schedule, Schedule):
        accepted = "a schedule such as pa.Random(8) or pa.Layered()"
        raise ScheduleError(expected("schedule", shown(schedule), accepted))
    batch_first = flag(InputError, "batch_first", batch_first)
    batch, n_timesteps, n_samples, dt = read_input(network, x, dt, batch_first)
    if keep is None:
        readout = () if network.output_fires else ("output_v",)
        keep = ("counts", "spike_counts", "output_spikes", *readout)
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
        "initial_state": state_of(initial_v, initial_current, n_samples, network),
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
    """Run batches one at a time, so that neither all input nor all results need fit in memory.

    Sample ids continue from batch to batch, so the results are those of one large batch.

    Parameters
    ----------
    network : Network
    batches : iterable of arrays or SpikeBatch
        Each like `x` of `simulate`; a generator is consumed batch by batch.
    schedule : Schedule
    **options
        As in `simulate`, except `sample_ids`.

    Yields
    ------
    Result
        One per batch.

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
