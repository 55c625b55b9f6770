"""A study's figures: anytime accuracy, robustness to the order, and convergence."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyasync._wording import counted
from pyasync.study.figure import INK, SCHEDULES, drawing, heading
from pyasync.study.study_table import main_rows

if TYPE_CHECKING:
    from pyasync.study.study_report import StudyReport

# Okabe and Ito's colours again, without those used for schedules; the baseline is black.
_TRAININGS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D")
_GRID = "#e4e4e4"


def draw_anytime(report: StudyReport, path: str | os.PathLike[str]) -> None:
    """Draw accuracy against spikes fired: one panel per run, one curve per training."""
    runs = list(dict.fromkeys(row.run for row in main_rows(report)))
    with drawing(path, (1.6 + 3.2 * len(runs), 4.2)) as figure:
        anytime(figure, report, runs)


def draw_schedules(report: StudyReport, path: str | os.PathLike[str]) -> None:
    """Draw accuracy against F: one panel per training, one line per schedule."""
    trained = list(dict.fromkeys(row.trained for row in report.rows))
    with drawing(path, (1.6 + 3.2 * len(trained), 4.2)) as figure:
        schedules(figure, report, trained)


def draw_convergence(report: StudyReport, path: str | os.PathLike[str]) -> None:
    """Draw accuracy after each epoch, against epochs and against seconds."""
    with drawing(path, (9, 4.2)) as figure:
        convergence(figure, report)


DRAWINGS: dict[str, Callable[[StudyReport, Any], None]] = {
    "anytime.png": draw_anytime,
    "schedules.png": draw_schedules,
    "convergence.png": draw_convergence,
}


def anytime(figure: Any, report: StudyReport, runs: list[str]) -> None:
    """Fill an empty figure with the curves of `runs`."""
    panels = figure.subplots(1, len(runs), sharex=True, sharey=True, squeeze=False)[0]
    spikes, begin = report.anytime_spikes, len(report.anytime_spikes) - 1
    for axes, run in zip(panels, runs, strict=True):
        for name in dict.fromkeys(row.trained for row in report.rows):
            curves = 100 * report.anytime(name, run)
            _banded(axes, spikes, curves, _colour(report, name), report.plan.title(name))
            decided = np.flatnonzero(curves.max(axis=0) > 0.5)
            begin = min(begin, int(decided[0]) if decided.size else begin)
        axes.set_title(f"run {run}")
        axes.set_xscale("log")
        axes.grid(color=_GRID)
    low = spikes[max(begin - 1, 0)]
    # For silent networks both limits would be equal.
    panels[0].set_xlim(low, max(spikes[-1], low + 1))
    _log_ticks(panels[0])
    panels[0].set_ylim(0, 100)
    panels[0].set_ylabel("correct (%)")
    figure.supxlabel("spikes fired in the whole network, per sample (logarithmic)", fontsize=10)
    _legend(panels[-1], "trained")
    heading(figure, f"Accuracy had every sample been cut after so many spikes ({_seen(report)})")


def schedules(figure: Any, report: StudyReport, trained: list[str]) -> None:
    """Fill an empty figure with a panel for each of `trained`."""
    panels = figure.subplots(1, len(trained), sharex=True, sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(row.schedule for row in report.rows if row.schedule != "layered"))
    sizes = sorted({row.forward_group_size for row in report.rows if row.forward_group_size})
    for axes, name in zip(panels, trained, strict=True):
        rows = [row for row in report.rows if row.trained == name]
        layered = next(row for row in rows if row.schedule == "layered")
        axes.axhline(100 * layered.accuracy.mean, color=INK, lw=1.6, label="layered", zorder=2)
        for index, schedule in enumerate(names):
            own = sorted(
                (row for row in rows if row.schedule == schedule),
                key=lambda row: row.forward_group_size or 0,
            )
            # Side by side, so that error bars at the same F do not hide each other.
            x = [_beside(row.forward_group_size, index, len(names)) for row in own]
            axes.errorbar(
                x,
                [100 * row.accuracy.mean for row in own],
                # Of one seed there is no deviation, which is not one of 0: no bar.
                [100 * row.accuracy.deviation for row in own],
                color=SCHEDULES[index % len(SCHEDULES)],
                marker=_MARKERS[index % len(_MARKERS)],
                ms=5.5, lw=1.6, capsize=2.5, label=schedule, zorder=3,
            )  # fmt: skip
        usual = report.row(name)
        if usual is not None and usual.forward_group_size:
            axes.scatter(
                [_beside(usual.forward_group_size, names.index(usual.schedule), len(names))],
                [100 * usual.accuracy.mean],
                170,
                facecolors="none",
                edgecolors=INK,
                zorder=4,
                label="as trained",
            )
        axes.set_title(f"trained {report.plan.title(name)}")
        axes.set_xscale("log")
        axes.set_xticks(sizes, list(map(str, sizes)))
        axes.minorticks_off()
        axes.grid(axis="y", color=_GRID)
    panels[0].set_ylabel("correct (%)")
    figure.supxlabel("F: how many pending spikes are delivered at a time", fontsize=10)
    # Take the legend from the fullest panel: some lack the ring that marks "as trained".
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    _legend(fullest, "run", panels[-1])
    heading(figure, f"Accuracy when the order is another ({_seen(report)})")


def convergence(figure: Any, report: StudyReport) -> None:
    """Fill an empty figure with curves over epochs, and over seconds."""
    left, right = figure.subplots(1, 2, sharey=True)
    for name in dict.fromkeys(each.job.trained for each in report.finished):
        histories = [each.history for each in report.of_recipe(name)]
        accuracy = np.array([[e.validation_accuracy for e in h] for h in histories], float)
        seconds = np.array([[e.seconds for e in h] for h in histories]).cumsum(axis=1)
        colour, title = _colour(report, name), report.plan.title(name)
        epochs = np.arange(1, accuracy.shape[1] + 1)
        _banded(left, epochs, 100 * accuracy, colour, title, marker=".")
        _banded(right, seconds.mean(axis=0), 100 * accuracy, colour, title, marker=".")
    left.set_xlabel("epochs")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set_xlabel("seconds of training")
    left.set_ylabel("correct (%)")
    for axes in (left, right):
        axes.grid(color=_GRID)
        axes.set_xlim(left=0)
    _legend(right, "trained, and run so")
    heading(figure, f"Accuracy on the test samples after each epoch ({_seen(report)})")


def _banded(
    axes: Any,
    x: npt.NDArray[Any],
    curves: npt.NDArray[np.float64],
    colour: str,
    label: str,
    marker: str = "",
) -> None:
    """Draw the mean of curves, one per seed, with a band of one standard deviation."""
    mean = curves.mean(axis=0)
    axes.plot(x, mean, color=colour, lw=1.8, marker=marker, label=label, zorder=3)
    if len(curves) > 1:
        spread = curves.std(axis=0, ddof=1)
        axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0, zorder=2)


def _beside(size: int | None, index: int, number: int) -> float:
    return float((size or 1) * 1.12 ** (index - (number - 1) / 2))


def _log_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    subs = (1.0, 3.0) if high / low > 30 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _legend(source: Any, title: str, beside: Any = None) -> None:
    handles, labels = source.get_legend_handles_labels()
    # Put lines before the mark, which matplotlib lists first.
    order = sorted(range(len(labels)), key=lambda index: labels[index] == "as trained")
    handles, labels = [handles[index] for index in order], [labels[index] for index in order]
    (source if beside is None else beside).legend(
        handles, labels, title=title, loc="upper left", bbox_to_anchor=(1.01, 1.03),
        frameon=False, fontsize=9, title_fontsize=9, alignment="left",
    )  # fmt: skip


def _colour(report: StudyReport, trained: str) -> str:
    if trained == report.plan.baseline:
        return INK
    others = [name for name in report.plan.recipes if name != report.plan.baseline]
    return _TRAININGS[others.index(trained) % len(_TRAININGS)]


def _seen(report: StudyReport) -> str:
    seeds = len({each.job.seed for each in report.finished})
    return f"{counted(len(report.samples.test_x), 'test sample')}, {counted(seeds, 'seed')}"
