"""The audit of a trained network: what layer synchronisation hides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import measures
from pyasync._checks import callback, integer
from pyasync._input import read_input
from pyasync._progress import Progress
from pyasync.errors import InputError, ScheduleError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network, check_network
from pyasync.schedules import FreeRunning, Layered, Replay, Schedule
from pyasync.simulate import simulate
from pyasync.study.certainty import deviation
from pyasync.study.plan import NAMES, run_label, runs_of
from pyasync.study.report import AuditReport, AuditRow, Example
from pyasync.study.run import Run, run

#: Number of times that a free run is repeated, since no two need be the same.
FREE_RUNS = 5
_CURVE_POINTS = 80


def audit(
    network: Network,
    x: SpikeBatch | npt.ArrayLike,
    y: npt.ArrayLike,
    schedules: Sequence[str | Schedule] | None = None,
    forward_group_sizes: Sequence[int] = (1, 8, 64),
    *,
    dt: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
    finished: Callable[[AuditReport], None] | None = None,
) -> AuditReport:
    """Run a trained network layer by layer, and then event by event under several schedules.

    In a network trained layer by layer, neurons have always waited for the whole layer before them.
    Event-driven hardware and simulators do not wait; the audit shows how that changes accuracy,
    spikes, latency and work.

    Parameters
    ----------
    network : Network
        A trained network with one output neuron per class. If none of them ever fires
        (`v_threshold=inf`), their potentials decide, when the sample has ended.
    x : SpikeBatch, or array [T, B, *input_shape]
        Test samples.
    y : array of integers [B]
        The class of each sample.
    schedules : sequence of str or Schedule, optional
        The names "random", "momentum", "fifo" and "lifo" are run with every F of
        `forward_group_sizes`, schedules as they are. "free" is `FreeRunning` with every sample on
        all threads, run five times to measure the spread. Layered is always run. None: random,
        momentum, fifo, free.
    forward_group_sizes : sequence of int
        F: how many pending spikes are delivered together.
    dt : float, optional
        Length of a timestep in seconds; not needed if `x` is a SpikeBatch that has one.
    seed : int
        Determines all random numbers, except those of schedules that were given their own seed.
    threads : int, optional
        Worker threads; all cores if not given. Only the results of free runs depend on it.
    progress : bool
        Whether to show progress on a terminal.
    finished : callable, optional
        Called with the report so far whenever a schedule other than the baseline is finished.

    Returns
    -------
    AuditReport

    Raises
    ------
    InputError
        If an argument is not as described.
    ScheduleError
        If a schedule is unknown, a group size is invalid, or a schedule cannot run this network.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import audit
    >>> rng = np.random.default_rng(0)
    >>> network = pa.Network.sequential(
    ...     [pa.Linear(rng.normal(0.1, 0.3, (20, 50))), pa.Linear(rng.normal(0, 0.5, (3, 20)))],
    ...     pa.LIF(tau_mem=20e-3, v_threshold=0.5),
    ... )
    >>> x = rng.random((5, 30, 50)) < 0.1
    >>> report = audit(network, x, rng.integers(0, 3, 30), ["fifo"], [1, 4], dt=10e-3)
    >>> report
    AuditReport(30 samples, 3 runs: layered, fifo)
    >>> [row.run for row in report.rows]
    ['layered', 'fifo, F = 1', 'fifo, F = 4']
    """
    check_network(InputError, network)
    callback(InputError, "finished", finished)
    # A plain int, because the report writes it as JSON.
    seed = integer(InputError, "seed", seed)
    batch = x if isinstance(x, SpikeBatch) else SpikeBatch.from_dense(x, dt)
    # Check the input before the labels: with data for another network, they would be blamed.
    *_, dt = read_input(network, batch, dt, batch_first=False)
    labels = measures.labels(y, len(batch), len(network.output_ids))
    runs = audited_runs(schedules, forward_group_sizes)
    shown = runs[min(2, len(runs) - 1)] if schedules is None else runs[min(1, len(runs) - 1)]
    options: dict[str, Any] = {"dt": dt, "seed": seed, "threads": threads}
    done: list[Run] = []
    rows: list[AuditRow] = []
    repeats = [FREE_RUNS if isinstance(each, FreeRunning) else 1 for each in runs]
    with Progress("audit", sum(repeats) * len(batch), "samples", shown=progress) as bar:
        for schedule, times in zip(runs, repeats, strict=True):
            repeated = [run(network, batch, schedule, bar, **options) for _ in range(times)]
            done.append(repeated[0])
            row = done[-1].row(labels, layered=done[0].correct(labels))
            rows.append(replace(row, **_spread(repeated, labels)))
            if finished is not None and 1 < len(done) < len(runs):
                finished(_report(network, batch, labels, done, rows, shown, options))
    report = _report(network, batch, labels, done, rows, shown, options)
    if finished is not None:
        finished(report)
    return report


def _report(
    network: Network,
    batch: SpikeBatch,
    labels: npt.NDArray[np.int64],
    done: list[Run],
    rows: list[AuditRow],
    shown: Schedule,
    options: dict[str, Any],
) -> AuditReport:
    """Report on what is finished: a run and its row for each schedule, layered first."""
    most = max(each.most_spikes for each in done)
    grid = np.unique(np.geomspace(1, max(most, 2), _CURVE_POINTS).round().astype(np.int64))
    sample = int(np.argmax(done[0].correct(labels)))
    traced = [
        simulate(network, batch[sample], each, sample_ids=[sample], record=True, keep=(), **options)
        for each in (done[0].schedule, shown)
    ]
    events = [result.trace.to_events() for result in traced if result.trace is not None]
    step = options["dt"] if batch.dt is None else batch.dt
    return AuditReport(
        rows=tuple(rows),
        anytime_spikes=grid,
        anytime_accuracy=np.stack([each.curve(labels, grid) for each in done]),
        example=Example(sample, int(labels[sample]), run_label(shown), *events),
        network=network,
        n_samples=len(batch),
        n_timesteps=batch.n_timesteps,
        seed=options["seed"],
        dt=step,
    )


def audited_runs(
    schedules: Sequence[str | Schedule] | None, forward_group_sizes: Sequence[int]
) -> list[Schedule]:
    """The runs of an audit: layered, then what is asked for; errors as `audit` documents them."""
    accepted = f"names ({', '.join(NAMES)}) or schedules such as pa.Random(8), at least one"
    asked = ("random", "momentum", "fifo", "free") if schedules is None else schedules
    runs = runs_of(asked, forward_group_sizes, accepted, own=True)
    if any(isinstance(each, Replay) for each in runs):
        raise ScheduleError(expected("schedules", "a Replay, which is of one run", accepted))
    baseline = [each for each in runs if isinstance(each, Layered)] or [Layered()]
    asynchronous = [each for each in runs if not isinstance(each, Layered)]
    if not asynchronous:
        raise ScheduleError(expected("schedules", repr(schedules), f"{accepted} not layered"))
    return [baseline[0], *asynchronous]


def _spread(repeated: list[Run], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Standard deviations over runs of the same schedule; 0 for one run."""

    def spread(means: list[float]) -> float:
        return deviation(means) if len(means) > 1 else 0.0

    return {
        "runs": len(repeated),
        "accuracy_spread": spread([float(each.correct(labels).mean()) for each in repeated]),
        "spikes_spread": spread([each.mean("spikes") for each in repeated]),
        "latency_spread": spread([each.mean("latency") for each in repeated]),
    }
