"""The worked example: its steps equal the engine's, and the page shows its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyasync as pa
from pyasync.study import worked_example
from pyasync.study.worked_example import NAMES, counts, delivered, filled, run, steps, table

PAGE = Path(__file__).parents[2] / "docs" / "worked-example.md"
SCHEDULES = [pa.Layered(), pa.Momentum(1), pa.Momentum(2), pa.Fifo(1), pa.Lifo(1), pa.Random(1)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_the_steps_are_those_of_the_engine(schedule: pa.Schedule) -> None:
    result, done = run(schedule), steps(schedule)
    fired = [each.neuron for step in done for each in step.updates if each.outcome == "fires"]
    assert sorted(fired) == sorted(
        NAMES[neuron] for neuron in np.repeat(np.arange(7), result.spike_counts[0])
    )
    assert len(done) == result.forward_steps[0]
    assert sum(len(step.updates) for step in done) == result.neuron_updates[0]
    assert result.trace is not None
    emitted = [NAMES[neuron] for neuron in result.trace.to_events()["neuron"] if neuron >= 0]
    assert [name for step in done[1:] for name in step.emits] == emitted
    assert done[-1].pending == ()


def test_it_shows_what_its_page_says() -> None:
    answers = {line[0]: line[1] for line in counts().lines}
    assert answers == {"layered": "Y", "momentum, F = 1": "X", "momentum, F = 2": "Y"}
    assert (delivered(pa.Layered()), delivered(pa.Momentum(1))) == (3, 2)
    late = steps(pa.Momentum(1))[3].updates[0]
    assert (late.neuron, late.outcome) == ("D", "refractory")


def test_the_tables_of_the_page_are_those_that_the_code_computes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "update it: PAGE.write_text(filled(PAGE.read_text()))"
    for name, make in worked_example.PAGE_TABLES.items():
        assert f"<!-- table: {name} -->\n\n{make().to_markdown()}\n" in page


def test_a_page_with_old_numbers_is_found_out() -> None:
    page = PAGE.read_text(encoding="utf-8")
    old = page.replace("1.5 - 0.75", "").replace("| 0 + 1.5 = 1.5 |", "| 0 + 1.4 = 1.4 |")
    assert old != filled(old)
    assert "1.4" not in filled(old)


def test_the_picture_is_drawn_with_the_numbers_of_the_steps(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    from pyasync.study.worked_figure import compose

    compose(figure)
    for axes, schedule in zip(figure.axes[1:], (pa.Layered(), pa.Momentum(1)), strict=True):
        shown = sorted(text.get_text() for text in axes.texts if text.get_text())
        updates = [each for step in steps(schedule) for each in step.updates]
        said = {"refractory": "refractory"}
        assert shown == sorted(said.get(each.outcome, f"{each.after:g}") for each in updates)
    assert (PAGE.parent / "images" / "worked-example.png").read_bytes()[:4] == b"\x89PNG"
    worked_example.draw(tmp_path / "example.svg")
    assert (tmp_path / "example.svg").stat().st_size > 10_000


def test_the_table_is_one_line_an_update() -> None:
    done = steps(pa.Layered())
    assert len(table(pa.Layered()).lines) == sum(max(len(step.updates), 1) for step in done)
