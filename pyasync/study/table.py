"""The audit's rows as a table and as one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyasync._wording import changed, counted, share
from pyasync.study.certainty import amount, points, shows
from pyasync.study.grid import Grid

if TYPE_CHECKING:
    from pyasync.study.report import AuditRow

_COLUMNS = (
    "schedule", "F", "accuracy %", "drop, points", "spikes", "first output", "first correct",
    "forward steps", "synaptic ops",
)  # fmt: skip
_NOTES = (
    "Means per sample; ± is one standard error, of the drop that of the paired difference.",
    "A drop counts beyond three standard errors, taken as if there were none (McNemar's test).",
    "first output, first correct: spikes fired before the first spike of any, of the correct,\n"
    "output neuron; means over the samples that have one.",
)


def headline(rows: Sequence[AuditRow], n_samples: int) -> str:
    """Say in one sentence what synchronisation hid, if anything."""
    layered, *others = rows
    sure = [row for row in others if _sure(row, n_samples)]
    reached = f"{_percent(layered.accuracy)} layered"
    # The largest drop may be chance while a smaller one, of fewer changed samples, is not.
    if sure and (worst := max(sure, key=_drop)).accuracy_drop > 0:
        return (
            f"Layer synchronisation hid a loss of {_points(worst)} points of accuracy: {reached}, "
            f"{_percent(worst.accuracy)} without it ({worst.run}), "
            f"with {_spikes(worst, layered)}."
        )
    seen = f"that {counted(n_samples, 'sample')} can show"
    if sure:
        best = min(sure, key=_drop)
        return (
            f"Layer synchronisation hid no loss of accuracy {seen}; it cost "
            f"{_points(best)} points: {reached}, {_percent(best.accuracy)} without it "
            f"({best.run}), with {_spikes(best, layered)}."
        )
    worst = max(others, key=_drop)
    change = (
        f"at worst a drop of {_points(worst)} points without it"
        if worst.accuracy_drop >= 0
        else f"even in the worst order without it {_points(worst)} points more"
    )
    return (
        f"Layer synchronisation hid no loss of accuracy {seen}: {reached}, and {change} "
        f"({worst.run}), with {_spikes(worst, layered)}."
    )


def cells(rows: Sequence[AuditRow]) -> list[list[str]]:
    """Format the rows, one string per column."""
    table = []
    for row in rows:
        baseline = row is rows[0]
        table.append(
            [
                row.kind,
                "" if row.forward_group_size is None else str(row.forward_group_size),
                f"{100 * row.accuracy:.1f} ± {100 * row.accuracy_error:.1f}",
                "" if baseline else points(row.accuracy_drop, row.accuracy_drop_error),
                _number(row.spikes),
                _number(row.latency),
                _number(row.latency_to_correct),
                _number(row.forward_steps),
                _number(row.synaptic_operations),
            ]
        )
    return table


def notes(rows: Sequence[AuditRow]) -> list[str]:
    """What the reader must know to read the table."""
    said = list(_NOTES)
    same = [row.run for row in rows[1:] if row.accuracy_drop == 0 == row.accuracy_drop_error]
    if same:
        said.append(f"Right and wrong on the same samples as layered: {'; '.join(same)}.")
    repeated = [row for row in rows if row.runs > 1]
    said += [f"{row.run}: of {row.runs} runs the first; {_varies(row)}" for row in repeated]
    if all(row.decided == 1 and math.isnan(row.latency) for row in rows):
        said.append("Potentials decide, since no output neuron ever fires: there is no latency.")
    silent = [row for row in rows if row.decided < 1]
    if silent:
        least = min(silent, key=lambda row: row.decided)
        said.append(
            f"No output neuron fired in up to {share(1 - least.decided)} of the samples "
            f"({least.run}); these count as wrong and have no latency."
        )
    stopped = [row for row in rows if row.reached_quiescence < 1]
    if stopped:
        least = min(stopped, key=lambda row: row.reached_quiescence)
        said.append(
            f"A limit stopped up to {share(1 - least.reached_quiescence)} of the samples "
            f"before they were quiescent ({least.run})."
        )
    return said


def text_table(rows: Sequence[AuditRow], n_samples: int) -> str:
    """Lay the rows out in plain text under the headline."""
    lines = tuple(map(tuple, cells(rows)))
    grid = Grid(_COLUMNS, lines, notes=tuple(notes(rows)), rules=(1,))
    return f"{headline(rows, n_samples)}\n\n{grid.to_text()}"


def rich_table(rows: Sequence[AuditRow], n_samples: int) -> Any:
    """Lay the rows out for the package rich."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title_justify="left", pad_edge=False, box=None, header_style="bold")
    for index, name in enumerate(_COLUMNS):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    before = None
    for row, line in zip(rows, cells(rows), strict=True):
        lost = row.accuracy_drop > 0 and _sure(row, n_samples)
        style = "red" if lost else ""
        if before is not None and before != row.kind:
            table.add_section()
        before = row.kind
        table.add_row(*line[:3], Text(line[3], style), *line[4:])
    said = Text("\n".join(notes(rows)), "dim")
    return Group(Text(headline(rows, n_samples), "bold"), Text(), table, Text(), said)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _drop(row: AuditRow) -> float:
    return row.accuracy_drop


def _sure(row: AuditRow, n_samples: int) -> bool:
    return shows(row.accuracy_drop, row.accuracy_drop_error, n_samples)


def _points(row: AuditRow) -> str:
    return amount(row.accuracy_drop, row.accuracy_drop_error)


def _varies(row: AuditRow) -> str:
    """How much the means of accuracy, spikes and latency vary over the runs of one schedule."""
    late = not math.isnan(row.latency_spread)
    if not (row.accuracy_spread or row.spikes_spread or (late and row.latency_spread)):
        alike = "accuracy, spikes and first output" if late else "accuracy and spikes"
        return f"their means of {alike} are equal."
    latency = f", the first output's latency by {row.latency_spread:.2g}" if late else ""
    return (
        f"from run to run accuracy varies by {100 * row.accuracy_spread:.2f} points, spikes by "
        f"{row.spikes_spread:.2g}{latency} (standard deviations of the means)."
    )


def _spikes(row: AuditRow, layered: AuditRow) -> str:
    if layered.spikes == row.spikes == 0:
        return "no spikes in either"
    if layered.spikes == 0:
        return f"{_number(row.spikes)} spikes a sample instead of none"
    return changed(row.spikes / layered.spikes, "spikes")


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
