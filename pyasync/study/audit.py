"""The audit of a trained network: what layer synchronisation hides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import measures
from pyasync._checks import callback
from pyasync._progress import Progress
from pyasync.errors import InputError, ScheduleError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.result import Result
from pyasync.schedules import FreeRunning, Layered, Schedule
from pyasync.simulate import simulate
from pyasync.study.plan import NAMES, run_label, runs_of
from pyasync.study.report import AuditReport, AuditRow, Example

#: Free runs differ, so each is repeated.
FREE_RUNS = 5
_AT_ONCE = 500
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

    A network trained layer by layer has only ever seen neurons that wait for the whole layer before
    them. Hardware and simulators that work event by event do not wait; the audit shows what that
    does to accuracy, spikes, latency and work.

    Parameters
    ----------
    network : Network
        A trained network; one class an output neuron.
    x : SpikeBatch, or array [T, B, *input_shape]
        Test samples.
    y : array of integers [B]
        The class of each.
    schedules : sequence of str or Schedule, optional
        Names ("random", "momentum", "fifo", "lifo") run with every F of `forward_group_sizes`,
        schedules as they are. "free" is `FreeRunning`, every sample on all threads, run five times
        for the spread. Layered is always run. None: random, momentum, fifo, free.
    forward_group_sizes : sequence of int
        F: how many pending spikes are delivered together.
    dt : float, optional
        Seconds of a timestep; not needed when the SpikeBatch has one.
    seed : int
        Of everything random.
    threads : int, optional
        Worker threads; all cores if not given. No result but the free run's depends on it.
    progress : bool
        Whether to show progress on a terminal.
    finished : callable, optional
        Called with the report so far whenever a schedule is finished, the baseline excepted.

    Returns
    -------
    AuditReport

    Raises
    ------
    InputError
        If an argument is not as described.
    ScheduleError
        If a schedule is unknown, a group size is none, or a schedule cannot run this network.

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
    if not isinstance(network, Network):
        accepted = "a pyasync.Network (`model.network()` of a model of pyasync.nn)"
        raise InputError(expected("network", type(network).__name__, accepted))
    callback(InputError, "finished", finished)
    batch = x if isinstance(x, SpikeBatch) else SpikeBatch.from_dense(x, dt)
    if len(batch) == 0:
        raise InputError(expected("x", repr(batch), "at least one sample"))
    labels = measures.labels(y, len(batch), len(network.output_ids))
    runs = _runs(schedules, forward_group_sizes)
    shown = runs[min(2, len(runs) - 1)] if schedules is None else runs[min(1, len(runs) - 1)]
    options: dict[str, Any] = {"dt": dt, "seed": seed, "threads": threads}
    results: list[list[Result]] = []
    spreads: list[dict[str, Any]] = []
    n_runs = sum(FREE_RUNS if isinstance(each, FreeRunning) else 1 for each in runs)

    def run(schedule: Schedule) -> list[Result]:
        return _parts(network, batch, schedule, bar, **options)

    with Progress("audit", n_runs * len(batch), "samples", shown=progress) as bar:
        for schedule in runs:
            results.append(run(schedule))
            again = FREE_RUNS - 1 if isinstance(schedule, FreeRunning) else 0
            repeated = [results[-1], *(run(schedule) for _ in range(again))]
            spreads.append(_spread(repeated, labels))
            if finished is not None and 1 < len(results) < len(runs):
                finished(_report(network, batch, labels, runs, results, spreads, shown, options))
    report = _report(network, batch, labels, runs, results, spreads, shown, options)
    if finished is not None:
        finished(report)
    return report


def _parts(
    network: Network, x: SpikeBatch, schedule: Schedule, bar: Progress, **options: Any
) -> list[Result]:
    """Run all samples under a schedule, some at a time."""
    # Only the record of a free run says what came before an output spike.
    options |= {"keep": ("output_spikes",), "record": isinstance(schedule, FreeRunning)}
    parts = []
    for first in range(0, len(x), _AT_ONCE):
        part = x[first : first + _AT_ONCE]
        ids = np.arange(first, first + len(part))
        parts.append(simulate(network, part, schedule, sample_ids=ids, **options))
        bar.advance(len(part), run_label(schedule))
    return parts


def _report(
    network: Network,
    batch: SpikeBatch,
    labels: npt.NDArray[np.int64],
    runs: list[Schedule],
    results: list[list[Result]],
    spreads: list[dict[str, Any]],
    shown: Schedule,
    options: dict[str, Any],
) -> AuditReport:
    """Gather what is finished: `results` of the first of `runs`."""
    right = [_joined(parts, "decisions") == labels for parts in results]
    most = max(int(part.spikes.max()) for parts in results for part in parts)
    grid = np.unique(np.geomspace(1, max(most, 2), _CURVE_POINTS).round().astype(np.int64))
    sample = int(np.argmax(right[0]))
    traced = [
        simulate(network, batch[sample], each, sample_ids=[sample], record=True, keep=(), **options)
        for each in (runs[0], shown)
    ]
    events = [result.trace.to_events() for result in traced if result.trace is not None]
    step = options["dt"] if batch.dt is None else batch.dt
    return AuditReport(
        rows=tuple(
            replace(_row(schedule, parts, labels, correct, right[0]), **spread)
            for schedule, parts, correct, spread in zip(
                runs[: len(results)], results, right, spreads, strict=True
            )
        ),
        anytime_spikes=grid,
        anytime_accuracy=np.stack([_curve(parts, labels, grid) for parts in results]),
        example=Example(sample, int(labels[sample]), run_label(shown), *events),
        network=network,
        n_samples=len(batch),
        n_timesteps=batch.n_timesteps,
        seed=options["seed"],
        dt=step,
    )


def _runs(
    schedules: Sequence[str | Schedule] | None, forward_group_sizes: Sequence[int]
) -> list[Schedule]:
    accepted = f"names ({', '.join(NAMES)}) or schedules such as pa.Random(8), at least one"
    asked = ("random", "momentum", "fifo", "free") if schedules is None else schedules
    runs = runs_of(asked, forward_group_sizes, accepted, own=True)
    baseline = [each for each in runs if isinstance(each, Layered)] or [Layered()]
    asynchronous = [each for each in runs if not isinstance(each, Layered)]
    if not asynchronous:
        raise ScheduleError(expected("schedules", repr(schedules), f"{accepted} not layered"))
    return [baseline[0], *asynchronous]


def _joined(parts: list[Result], measure: str, *arguments: Any) -> npt.NDArray[Any]:
    values = [getattr(part, measure) for part in parts]
    return np.concatenate([value(*arguments) if callable(value) else value for value in values])


def _row(
    schedule: Schedule,
    parts: list[Result],
    labels: npt.NDArray[np.int64],
    correct: npt.NDArray[np.bool_],
    layered: npt.NDArray[np.bool_],
) -> AuditRow:
    cuts = np.cumsum([part.n_samples for part in parts])[:-1]
    to_correct = [
        part.latency_to_correct(y) for part, y in zip(parts, np.split(labels, cuts), strict=True)
    ]
    lost = layered.astype(np.float64) - correct
    latency = _joined(parts, "latency")

    def mean(measure: str) -> float:
        return float(_joined(parts, measure).mean())

    return AuditRow(
        schedule=schedule.name,
        forward_group_size=getattr(schedule, "forward_group_size", None),
        accuracy=float(correct.mean()),
        accuracy_error=math.sqrt(correct.mean() * (1 - correct.mean()) / len(correct)),
        accuracy_drop=float(lost.mean()),
        accuracy_drop_error=float(lost.std() / math.sqrt(len(lost))),
        decided=float((~np.isnan(latency)).mean()),
        latency=_mean(latency),
        latency_to_correct=_mean(np.concatenate(to_correct)),
        spikes=mean("spikes"),
        forward_steps=mean("forward_steps"),
        synaptic_operations=mean("synaptic_operations"),
        neuron_updates=mean("neuron_updates"),
        reached_quiescence=mean("reached_quiescence"),
    )


def _spread(repeated: list[list[Result]], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Standard deviations over runs of the same schedule; 0 for one run."""

    def spread(means: list[float]) -> float:
        return float(np.std(means, ddof=1)) if len(means) > 1 else 0.0

    return {
        "runs": len(repeated),
        "accuracy_spread": spread(
            [float((_joined(parts, "decisions") == labels).mean()) for parts in repeated]
        ),
        "spikes_spread": spread([float(_joined(parts, "spikes").mean()) for parts in repeated]),
        "latency_spread": spread([_mean(_joined(parts, "latency")) for parts in repeated]),
    }


def _curve(
    parts: list[Result], labels: npt.NDArray[np.int64], grid: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    cuts = np.cumsum([part.n_samples for part in parts])[:-1]
    right = np.zeros(len(grid))
    for part, y in zip(parts, np.split(labels, cuts), strict=True):
        right += part.anytime_accuracy(y, grid) * part.n_samples
    return right / len(labels)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
