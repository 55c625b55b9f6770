"""What the benchmarks have in common: options, rows with targets, and output files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from timing import environment

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("pyasync", "numpy", "torch", "snntorch")
SILENT_BELOW = 1.0  # mean number of spikes per sample in a population
QUIET_BELOW = 0.1  # cores that other processes keep busy; if more, no target is judged


def options(description: str | None, name: str, rounds: int) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    output = {"default": RESULTS / name, "metavar": "PATH_WITHOUT_SUFFIX"}
    parser.add_argument("--output", type=Path, **output)  # type: ignore[arg-type]
    return parser


def begun(**settings: Any) -> dict[str, Any]:
    """What is known before anything is measured."""
    return {"environment": environment(PACKAGES), **settings, "results": []}


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" + "s" * (number != 1)


def compared(
    what: str,
    figure: tuple[float, float, float],
    at_least: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    """One row of the comparison table: the median over rounds decides whether a target is met."""
    middle, low, high = figure
    row: dict[str, Any] = {"what": what, "median": middle, "low": low, "high": high}
    if at_least is not None:
        row |= {"target": f">= {at_least:g}", "met": middle >= at_least}
    if at_most is not None:
        row |= {"target": f"<= {at_most:g}", "met": middle <= at_most}
    return row


def timed_rows(seconds: Mapping[tuple[str, int], list[float]]) -> list[dict[str, Any]]:
    """One row per run and number of threads, with the seconds of a call in every round."""
    return [
        {"run": run, "threads": n, "median": median(s), "rounds": s}
        for (run, n), s in seconds.items()
    ]


def judged(rows: list[dict[str, Any]], busy: float | None) -> list[dict[str, Any]]:
    """Rows of timings, without judging their targets if other work kept the machine busy."""
    if busy is not None and busy > QUIET_BELOW:
        for row in rows:
            row["met"] = None
    return rows


def publish(measured: dict[str, Any], text: str, output: Path) -> None:
    """Write the figures and the report side by side, and print the report."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")
    output.with_suffix(".md").write_text(text)
    print(text)
