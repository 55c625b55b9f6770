"""A table of words and numbers, laid out as plain text, Markdown, HTML or for the package rich."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Grid:
    """A table: its columns, its lines, and notes for the reader.

    Attributes
    ----------
    columns : tuple of str
    lines : tuple of tuple of str
    words : int
        Number of leading columns that hold words; the others hold numbers and are right-aligned.
    notes : tuple of str
    rules : tuple of int
        Indices of the lines above which a rule is drawn, in layouts that have rules.

    Examples
    --------
    >>> from pyasync.study.grid import Grid
    >>> print(Grid(("run", "spikes"), (("layered", "450"), ("fifo", "71"))).to_text())
    run      spikes
    ---------------
    layered     450
    fifo         71
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    words: int = 1
    notes: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()

    def to_text(self) -> str:
        """Lay the table out as plain text."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.lines, strict=True)]

        def laid(cells: tuple[str, ...]) -> str:
            return "  ".join(
                cell.ljust(width) if index < self.words else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        text = [laid(self.columns), rule]
        for index, line in enumerate(self.lines):
            text += [rule] * (index in self.rules) + [laid(line)]
        return "\n".join([*text, *([""] if self.notes else []), *self.notes])

    def to_markdown(self) -> str:
        """Lay the table out as Markdown, with its notes below."""
        sides = ["---" if index < self.words else "---:" for index in range(len(self.columns))]
        rows = [self.columns, tuple(sides), *self.lines]
        table = ["| " + " | ".join(c.replace("|", r"\|") for c in row) + " |" for row in rows]
        return "\n".join([*table, *(f"\n{note}" for note in self.notes)])

    def to_html(self) -> str:
        """Lay the table out as HTML, with its notes below."""

        def row(kind: str, cells: tuple[str, ...]) -> str:
            return "".join(
                f"<{kind}{'' if index < self.words else ' class=number'}>{escape(cell)}</{kind}>"
                for index, cell in enumerate(cells)
            )

        text = [f"<table>\n<thead><tr>{row('th', self.columns)}</tr></thead>\n<tbody>"]
        for index, line in enumerate(self.lines):
            ruled = " class=rule" if index in self.rules else ""
            text.append(f"<tr{ruled}>{row('td', line)}</tr>")
        text.append("</tbody>\n</table>")
        return "\n".join([*text, *(f"<p class=note>{escape(note)}</p>" for note in self.notes)])

    def to_rich(self) -> Any:
        """Lay the table out for the package rich."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(pad_edge=False, box=None, header_style="bold")
        for index, column in enumerate(self.columns):
            justify: Any = "left" if index < self.words else "right"
            table.add_column(column, justify=justify, no_wrap=True)
        for index, line in enumerate(self.lines):
            if index in self.rules:
                table.add_section()
            table.add_row(*map(Text, line))  # not as markup, because names may have brackets
        notes = [Text(note, "dim") for note in self.notes]
        return Group(table, *([Text()] if notes else []), *notes)
