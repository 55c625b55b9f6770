"""A study's tables: the paper's, robustness, work and energy, convergence, and every run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pyasync._wording import decimals, share
from pyasync.study.certainty import points, shows
from pyasync.study.grid import Grid
from pyasync.study.plan import as_trained, run_label
from pyasync.study.study_rows import Spread, StudyRow
from pyasync.study.study_words import asynchronous_rows, headline

if TYPE_CHECKING:
    from pyasync.study.study_report import StudyReport

_SPREAD = "Means over seeds ± standard deviation over seeds; every value is a mean per test sample."


def paper_table(report: StudyReport) -> Grid:
    """The paper's table: accuracy, density and latency of each recipe under all recipes' orders."""
    rows = main_rows(report)
    lines = [
        (
            report.plan.title(row.trained),
            row.run + (" *" if row.as_trained else ""),
            _percent(row.accuracy),
            _difference(row, len(report.samples.test_x)),
            _spread(row.density, 4),
            _spread(row.spikes),
            _spread(row.latency),
            _spread(row.latency_to_correct),
        )
        for row in rows
    ]
    notes = [
        _SPREAD + " * as it was trained.",
        "difference: accuracy minus that of the first line, seed by seed and sample by sample, in "
        "points ± standard error; in brackets where it may be chance.",
        "density: spikes per neuron and timestep. first output, first correct: spikes fired before "
        "the first spike of any, of the correct, output neuron; means over the samples that have "
        "one.",
    ]
    if any(len(row.difference.known) == 1 for row in rows):
        notes.append(
            "A difference of one seed has an error over test samples alone: it may show that two "
            "networks differ, not that two recipes do."
        )
    return Grid(
        (
            "trained", "run", "accuracy %", "difference", "density", "spikes", "first output",
            "first correct",
        ),
        tuple(lines), 2, (*notes, *_caveats(rows)), _rules(rows),
    )  # fmt: skip


def every_run(report: StudyReport) -> Grid:
    """Every recipe under every schedule and group size."""
    lines = [
        (
            report.plan.title(row.trained),
            row.run + (" *" if row.as_trained else ""),
            _percent(row.accuracy),
            _difference(row, len(report.samples.test_x)),
            _spread(row.spikes),
            _spread(row.latency),
            _spread(row.latency_to_correct),
            _spread(row.forward_steps),
            _spread(row.synaptic_operations),
            _spread(row.neuron_updates),
            _energy(row.energy),
        )
        for row in report.rows
    ]
    return Grid(
        (
            "trained", "run", "accuracy %", "difference", "spikes", "first output",
            "first correct", "forward steps", "synaptic ops", "neuron updates", "energy, nJ",
        ),
        tuple(lines), 2, _caveats(report.rows), _rules(report.rows),
    )  # fmt: skip


def robustness_table(report: StudyReport) -> Grid:
    """How accurate each recipe is under orders other than the one it was trained with."""
    lines = []
    for name in report.plan.recipes:
        own, others = report.row(name), asynchronous_rows(report, name)
        if own is None or not others:
            continue
        worst, best = others[0], max(others, key=lambda row: row.accuracy.mean)
        lost = [
            100 * (a - b) for a, b in zip(own.accuracy.values, worst.accuracy.values, strict=True)
        ]
        lines.append(
            (
                report.plan.title(name),
                _percent(own.accuracy),
                f"{_percent(best.accuracy)}  ({best.run})",
                f"{_percent(worst.accuracy)}  ({worst.run})",
                _spread(Spread(tuple(lost)), 1),
            )
        )
    columns = ("trained", "as trained %", "best %", "worst %", "lost in the worst, points")
    note = "best, worst: over all asynchronous runs, by their mean; picked on the test samples."
    return Grid(columns, tuple(lines), 1, (note,))


def energy_table(report: StudyReport) -> Grid:
    """Work and energy of each recipe, run layered and as it was trained."""
    rows = [row for row in main_rows(report) if row.as_trained or row.schedule == "layered"]
    base = report.row(report.plan.baseline, "layered")
    lines = []
    for row in rows:
        ratio = row.energy.mean / base.energy.mean if base and base.energy.mean else math.nan
        lines.append(
            (
                report.plan.title(row.trained),
                row.run,
                _spread(row.synaptic_operations),
                _spread(row.neuron_updates),
                _spread(row.spikes),
                _energy(row.energy_synaptic_operations),
                _energy(row.energy_neuron_updates),
                _energy(row.energy_spikes),
                _energy(row.energy),
                "-" if math.isnan(ratio) else f"{ratio:.2f}",
            )
        )
    return Grid(
        (
            "trained", "run", "synaptic ops", "neuron updates", "spikes", "synaptic, nJ",
            "updates, nJ", "spikes, nJ", "total, nJ", "of the first",
        ),
        tuple(lines), 2, (_SPREAD,), _rules(rows),
    )  # fmt: skip


def convergence_table(report: StudyReport) -> Grid:
    """How fast each recipe converges, in epochs and in seconds."""
    target = convergence_target(report)
    compared = "the baseline's" if report.of_recipe(report.plan.baseline) else "these trainings'"
    lines = []
    for name in report.plan.recipes:
        histories = [each.history for each in report.of_recipe(name)]
        if not histories:
            continue
        epochs, seconds = [], []
        for history in histories:
            reached = [
                index
                for index, epoch in enumerate(history)
                if (epoch.validation_accuracy or 0.0) >= target
            ]
            epochs.append(float(reached[0] + 1) if reached else math.nan)
            spent = (
                sum(epoch.seconds for epoch in history[: reached[0] + 1]) if reached else math.nan
            )
            seconds.append(spent)
        missed = sum(map(math.isnan, epochs))
        per_epoch = Spread(tuple(sum(e.seconds for e in h) / len(h) for h in histories))
        last = Spread(tuple(h[-1].validation_accuracy or 0.0 for h in histories))
        lines.append(
            (
                report.plan.title(name),
                str(len(histories[0])),
                _spread(per_epoch, 2),
                _percent(last),
                _spread(Spread(tuple(epochs)), 1),
                _spread(Spread(tuple(seconds)), 1),
                f"{missed} of {len(histories)}" if missed else "",
            )
        )
    columns = (
        "trained", "epochs", "seconds an epoch", "accuracy at the end %",
        f"epochs to {100 * target:.1f} %", f"seconds to {100 * target:.1f} %", "never reached by",
    )  # fmt: skip
    notes = (
        f"{100 * target:.1f} % is 99 % of {compared} accuracy at the end. Accuracy: on the "
        "test samples after each epoch, each network run as it is trained. Epochs and seconds to "
        "it: means over the trainings that reached it.",
        "Seconds of training on the machine of this study, the engine with all its threads; "
        "without evaluation.",
    )
    return Grid(columns, tuple(lines), 1, notes)


def convergence_target(report: StudyReport) -> float:
    """99 % of the baseline's final accuracy, or of all trainings' if it is not finished."""
    own = report.of_recipe(report.plan.baseline) or report.finished
    ends = [each.history[-1].validation_accuracy or 0.0 for each in own]
    return 0.99 * sum(ends) / len(ends)


def main_rows(report: StudyReport) -> list[StudyRow]:
    """The rows that answer the question: every recipe, run layered and as any was trained."""
    asked = ["layered", *(run_label(as_trained(each)) for each in report.plan.recipes.values())]
    names = sorted(report.plan.recipes, key=lambda name: name != report.plan.baseline)
    found = [report.row(name, run) for name in names for run in dict.fromkeys(asked)]
    return [row for row in found if row is not None]


def rich_report(report: StudyReport) -> Any:
    """Lay the headline and the paper's table out for the package rich."""
    from rich.console import Group
    from rich.text import Text

    return Group(Text(headline(report), "bold"), Text(), paper_table(report).to_rich())


def _rules(rows: Any) -> tuple[int, ...]:
    return tuple(i for i in range(1, len(rows)) if rows[i].trained != rows[i - 1].trained)


def _caveats(rows: Any) -> tuple[str, ...]:
    said = []
    silent = min(rows, key=lambda row: row.decided.mean, default=None)
    if silent is not None and silent.decided.mean < 1:
        said.append(
            f"No output neuron fired in up to {share(1 - silent.decided.mean)} of the "
            f"samples (trained {silent.trained}, run {silent.run}); these count as wrong and have "
            "no latency."
        )
    stopped = min(rows, key=lambda row: row.reached_quiescence.mean, default=None)
    if stopped is not None and stopped.reached_quiescence.mean < 1:
        said.append(
            f"A limit stopped up to {share(1 - stopped.reached_quiescence.mean)} of the "
            f"samples before they were quiescent (trained {stopped.trained}, run {stopped.run})."
        )
    return tuple(said)


def _difference(row: StudyRow, n_samples: int) -> str:
    if not row.difference.known:
        return "-"
    gain, error = row.difference.mean, row.difference_error
    if gain == 0 == error:
        return ""
    text = points(gain, error)
    return text if shows(gain, error, n_samples) else f"({text})"


def _percent(spread: Spread) -> str:
    return _spread(Spread(tuple(100 * value for value in spread.values)), 1)


def _energy(spread: Spread) -> str:
    return _spread(Spread(tuple(1e9 * value for value in spread.values)))


def _spread(spread: Spread, digits: int | None = None) -> str:
    """A mean with its deviation, with `digits` decimals or as many as its size calls for."""
    if math.isnan(spread.mean):
        return "-"
    if digits is None:
        digits = decimals(spread.mean)
    text = f"{round(spread.mean, digits) + 0.0:,.{digits}f}"  # never "-0.0"
    return text if math.isnan(spread.deviation) else f"{text} ± {spread.deviation:,.{digits}f}"
