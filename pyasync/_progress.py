"""Progress on a terminal: how far, how fast, time left. Silent in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import final

from pyasync._checks import flag
from pyasync.errors import InputError


@final
class Progress:
    """Progress on stderr while something long runs; nothing unless stderr is a terminal.

    A bar if the package rich is installed, otherwise a line of text.
    """

    def __init__(self, description: str, total: int, unit: str, *, shown: bool = True) -> None:
        self.description, self.total, self.unit = description, total, unit
        self._done, self._start, self._drawn = 0, time.monotonic(), 0.0
        # The error names `progress`, as the caller's argument is called.
        self._shown = flag(InputError, "progress", shown) and sys.stderr.isatty()
        self._bar = _rich_bar(unit) if self._shown else None

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(self.description, total=self.total, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done; `note` is shown beside the rate."""
        self._done += count
        now = time.monotonic()
        if not self._shown or (now - self._drawn < 0.1 and self._done < self.total):
            return
        self._drawn = now
        rate = self._done / max(now - self._start, 1e-9)
        beside = f"{rate:,.0f} {self.unit}/s" + (f", {note}" if note else "")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, rate=beside)
            return
        left = (self.total - self._done) / rate
        line = f"{self.description}: {self._done:,}/{self.total:,}, {beside}, {left:.0f} s left"
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def advance_to(self, done: int) -> None:
        """Set the number of units done in all."""
        self.advance(done - self._done)


def _rich_bar(unit: str):  # type: ignore[no-untyped-def]
    try:
        from rich import progress
        from rich.console import Console
        from rich.table import Column
    except ImportError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        # The bar takes the width that the text leaves; a fixed width would push out the time left.
        progress.BarColumn(None, table_column=Column(ratio=1, max_width=40)),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
