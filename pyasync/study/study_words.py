"""A study's answer in words, claiming no more than its rows show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pyasync._wording import changed, counted, decimals
from pyasync.study.certainty import amount, points, shows
from pyasync.study.study_rows import Spread, StudyRow

if TYPE_CHECKING:
    from pyasync.study.study_report import StudyReport


def headline(report: StudyReport) -> str:
    """Answer the study's question in two sentences, be the answer yes, no or not yet known.

    The first recipe in the plan that trains through asynchronous execution, run as it was trained,
    is compared with the baseline, run layered. Both are fixed before anything is trained. The
    second sentence compares how each does in the order that suits it least.
    """
    if not report.plan.unlayered:
        return "Nothing to compare: no recipe trains through asynchronous execution."
    base, own = compared(report)
    if base is None or own is None:
        left = len(report.plan.jobs) - len(report.finished)
        return f"No answer yet: {counted(left, 'training')} of {len(report.plan.jobs)} to go."
    gain, n_samples = own.difference.mean, len(report.samples.test_x)
    reached = (
        f"trained through asynchronous execution, the network reaches {percent(own.accuracy)} "
        f"run asynchronously ({own.run}), against {percent(base.accuracy)} for "
        f"{_baseline(report)} run layered"
    )
    alone = ", of one seed" if len(own.difference.known) == 1 else ""
    by = f"{amount(gain, own.difference_error)} points{alone}"
    # Samples without an output spike have no latency, and may be others in the two networks.
    all_decided = min(own.decided.mean, base.decided.mean) == 1
    first = "before the first output" if all_decided else "before the first output, if there is one"
    spent = (
        f"{change(own.spikes.mean, base.spikes.mean, 'spikes')} and "
        f"{change(own.latency.mean, base.latency.mean, first)}"
    )
    if not shows(gain, own.difference_error, n_samples):
        answer = f"No difference in accuracy that {_seen(own, n_samples)} can show: {reached}, "
        answer += f"with {spent}"
    elif gain > 0:
        answer = f"{reached[0].upper()}{reached[1:]}, a gain of {by}, with {spent}"
    else:
        answer = f"No gain: {reached}, a loss of {by}, with {spent}"
    if not report.is_complete:
        done = f"{len(report.finished)} of {len(report.plan.jobs)}"
        answer = f"Not finished ({done} trainings): {answer[0].lower()}{answer[1:]}"
    return f"{answer}.{_at_worst(report)}"


def _at_worst(report: StudyReport) -> str:
    own, base = (
        asynchronous_rows(report, name) for name in (report.plan.unlayered[0], report.plan.baseline)
    )
    if len(own) < 2 or len(base) < 2:
        return ""
    reached, other = (f"{percent(rows[0].accuracy)} ({rows[0].run})" for rows in (own, base))
    return f" In its worst order it reaches {reached}, that of {_baseline(report)} {other}."


def summary(report: StudyReport) -> list[str]:
    """The sentences after the answer: what else was trained, and where each network is fragile."""
    base, own = compared(report)
    said = []
    if base is not None and own is not None:
        n_samples = len(report.samples.test_x)
        same = report.row(report.plan.baseline, own.run)
        if same is not None:
            said.append(
                f"Run in the same asynchronous way, the network of {_baseline(report)} reaches "
                f"{percent(same.accuracy)}; against itself run layered: {verdict(same, n_samples)}."
            )
        said.append(
            f"By the energy model a sample costs {_nanojoules(own)} in the network trained "
            f"through asynchronous execution, run asynchronously, against {_nanojoules(base)} for "
            f"{_baseline(report)} run layered."
        )
        for name in report.plan.unlayered[1:]:
            row = report.row(name)
            if row is not None:
                spent = change(row.spikes.mean, base.spikes.mean, "spikes")
                said.append(
                    f"Trained under {report.plan.title(name)} and run so: {percent(row.accuracy)} "
                    f"({verdict(row, n_samples)}), with {spent}."
                )
    for name in report.plan.recipes:
        rows = asynchronous_rows(report, name)
        if rows:
            worst, best = rows[0], max(rows, key=lambda row: row.accuracy.mean)
            said.append(
                f"Run asynchronously, the network trained {report.plan.title(name)} reaches from "
                f"{percent(worst.accuracy)} ({worst.run}) to {percent(best.accuracy)} ({best.run})."
            )
    return said


def asynchronous_rows(report: StudyReport, trained: str) -> list[StudyRow]:
    """The asynchronous runs of a recipe's networks, from the least accurate to the most."""
    rows = [row for row in report.rows if row.trained == trained and row.schedule != "layered"]
    return sorted(rows, key=lambda row: row.accuracy.mean)


def compared(report: StudyReport) -> tuple[StudyRow | None, StudyRow | None]:
    """The rows that the answer compares: the baseline run layered, the unlayered run as trained."""
    own = report.row(report.plan.unlayered[0]) if report.plan.unlayered else None
    base = report.row(report.plan.baseline, "layered")
    if own is None or not own.difference.known:
        return base, None
    return base, own


def verdict(row: StudyRow, n_samples: int) -> str:
    """A row's difference from the baseline, and whether `n_samples` show that it is not chance."""
    if not row.difference.known:
        return "not comparable yet"
    gain, error = row.difference.mean, row.difference_error
    if shows(gain, error, n_samples):
        return f"{points(gain, error)} points"
    return f"{points(gain, error)} points, no difference that shows"


def percent(spread: Spread) -> str:
    """A fraction in per cent, with its deviation over seeds if there is one."""
    if math.isnan(spread.mean):
        return "-"
    if math.isnan(spread.deviation):
        return f"{100 * spread.mean:.1f} %"
    return f"{100 * spread.mean:.1f} ± {100 * spread.deviation:.1f} %"


def change(own: float, base: float, noun: str) -> str:
    """How many more or fewer of something there are than in the baseline, in words."""
    if math.isnan(own) or math.isnan(base):
        return "no output to compare"
    if base == 0:
        return f"as many {noun}" if own == 0 else f"{own:,.0f} {noun} instead of none"
    return changed(own / base, noun)


def _nanojoules(row: StudyRow) -> str:
    energy = 1e9 * row.energy.mean
    return f"{energy:,.{decimals(energy)}f} nJ"


def _seen(row: StudyRow, n_samples: int) -> str:
    """The numbers of seeds and of test samples that a row's difference is over, in words."""
    seeds = counted(len(row.difference.known), "seed")
    return f"{seeds} and {counted(n_samples, 'test sample')}"


def _baseline(report: StudyReport) -> str:
    recipe = report.plan.recipes[report.plan.baseline]
    return "layered training" if recipe.schedule == "layered" else f"{report.plan.baseline!r}"
