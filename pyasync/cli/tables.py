"""Show reports on a terminal of any width, or in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table

from pyasync.study import AuditReport, StudyReport

# Wider than any table, so that rich's measurement is not cut to the terminal.
_UNBOUNDED = 1_000_000


def show(report: AuditReport | StudyReport) -> None:
    """Print a report without truncating any number.

    If the width is unknown or less than the table's, rich would cut columns. Plain text keeps them
    and leaves it to the terminal to break lines.
    """
    console = Console(markup=False, emoji=False)
    whole = console.is_terminal and all(
        _width(table, console) <= console.width for table in _tables(report.__rich__())
    )
    console.print(report if whole else report.to_table(), soft_wrap=True, highlight=False)


def _tables(shown: object) -> Iterator[Table]:
    if isinstance(shown, Table):
        yield shown
    elif isinstance(shown, Group):
        for each in shown.renderables:
            yield from _tables(each)


def _width(table: Table, console: Console) -> int:
    """The width of a table when nothing limits it."""
    unbounded = console.options.update(max_width=_UNBOUNDED)
    return Measurement.get(console, unbounded, table).maximum
