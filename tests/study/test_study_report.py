"""The study's sentences, tables, pages and figures say what its rows say, and no more."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="studies train with PyTorch, which is not installed")
from toy_study import RECIPES, toy_study

import pyasync as pa
from pyasync.study import EnergyModel, Spread, StudyReport, StudyRow
from pyasync.study.grid import Grid
from pyasync.study.study_page import FIGURES, to_markdown
from pyasync.study.study_table import (
    convergence_table,
    energy_table,
    every_run,
    paper_table,
    robustness_table,
)
from pyasync.study.study_words import change, headline

TABLES = [paper_table, robustness_table, energy_table, convergence_table, every_run]


@pytest.fixture(scope="module")
def report() -> StudyReport:
    return toy_study(energy=EnergyModel(1e-12, 2e-12, 3e-12))


@pytest.fixture(scope="module")
def partial() -> StudyReport:
    """The report after the first training."""
    reports: list[StudyReport] = []
    toy_study(finished=reports.append)
    return reports[0]


def changed(report: StudyReport, gain: float, error: float, **own: Any) -> StudyReport:
    """The report as if unlayered training had this gain, with this error."""
    rows = []
    for row in report.rows:
        if (row.trained, row.run) == ("layered", "layered"):
            row = replace(
                row, accuracy=Spread((0.89, 0.91)), spikes=Spread((200.0,)), latency=Spread((50.0,))
            )
        elif row.trained == "random" and row.as_trained:
            given = {"spikes": Spread((100.0,)), "latency": Spread((60.0,)), **own}
            row = replace(
                row,
                accuracy=Spread((0.9 + gain, 0.9 + gain)),
                difference=Spread((gain, gain)),
                difference_error=error,
                **given,
            )
        rows.append(row)
    return replace(report, rows=tuple(rows))


WORST = " In its worst order"
REACHED = (
    "rained through asynchronous execution, the network reaches {own} run asynchronously "
    "(random, F = 2), against 90.0 ± 1.4 % for layered training run layered, "
)


@pytest.mark.parametrize(
    ("gain", "error", "sentence"),
    [
        (
            0.05,
            0.01,
            f"T{REACHED.format(own='95.0 ± 0.0 %')}a gain of 5.0 ± 1.0 points, with 50 % fewer "
            "spikes and 20 % more before the first output.",
        ),
        (
            0.02,
            0.01,
            "No difference in accuracy that 2 seeds and 15 test samples can show: "
            f"t{REACHED.format(own='92.0 ± 0.0 %')}with 50 % fewer spikes and 20 % more before the "
            "first output.",
        ),
        (
            -0.05,
            0.01,
            f"No gain: t{REACHED.format(own='85.0 ± 0.0 %')}a loss of 5.0 ± 1.0 points, with "
            "50 % fewer spikes and 20 % more before the first output.",
        ),
    ],
)
def test_the_headline_claims_no_more_than_the_rows(
    gain: float, error: float, sentence: str, report: StudyReport
) -> None:
    assert headline(changed(report, gain, error)).split(WORST)[0] == sentence


def test_one_seed_is_not_said_to_stand_for_others(report: StudyReport) -> None:
    alone = toy_study(seeds=[0])
    sure = replace(
        alone,
        rows=tuple(
            replace(row, difference=Spread((0.8,)), difference_error=0.1) for row in alone.rows
        ),
    )
    assert "a gain of 80.0 ± 10.0 points, of one seed, with " in headline(sure)
    assert "of one seed" not in headline(changed(report, 0.05, 0.01))
    warning = "A difference of one seed has an error over test samples alone: "
    notes = [paper_table(each).notes for each in (alone, report)]
    assert [any(note.startswith(warning) for note in each) for each in notes] == [True, False]
    over = "standard errors on, over {}, and where McNemar's test"
    assert over.format("test samples alone, paired") in to_markdown(alone, {})
    both = "seeds and over test samples together, paired in both"
    assert over.format(both) in to_markdown(report, {})


def test_seeds_that_have_no_baseline_yet_are_not_counted() -> None:
    whole = toy_study(recipes=dict(reversed(RECIPES.items())))
    part = StudyReport.of(whole.samples, whole.plan, whole.energy, whole.finished[:3])
    same = replace(part, rows=tuple(replace(row, difference=Spread((0.0,))) for row in part.rows))
    assert [len(part.of_recipe(name)) for name in ("layered", "random")] == [1, 2]
    assert "no difference in accuracy that 1 seed and 15 test samples can show" in headline(same)


def test_a_network_that_never_answers_has_no_latency_to_compare(report: StudyReport) -> None:
    silent = changed(report, -0.5, 0.01, spikes=Spread((0.0,)), latency=Spread((math.nan,)))
    answer = headline(silent).split(WORST)[0]
    assert answer.endswith("with 100 % fewer spikes and no output to compare.")


def test_a_curve_that_there_is_not_is_named(report: StudyReport) -> None:
    trained, run = report.rows[0].trained, report.rows[0].run
    assert report.anytime(trained, run).shape[1] == len(report.anytime_spikes)
    with pytest.raises(pa.InputError, match=rf"^trained: got 'mine'; accepted: .*'{trained}'"):
        report.anytime("mine", run)
    with pytest.raises(pa.InputError, match=r"^run: got 'fifo'; accepted: 'layered', "):
        report.anytime(trained, "fifo")


def test_an_unfinished_study_says_so(partial: StudyReport, report: StudyReport) -> None:
    assert headline(partial) == "No answer yet: 3 trainings of 4 to go."
    half = StudyReport.of(report.samples, report.plan, report.energy, report.finished[:2])
    assert headline(half).startswith("Not finished (2 of 4 trainings): ")
    assert json.loads(half.to_json())["complete"] is False


def test_without_unlayered_training_there_is_nothing_to_compare() -> None:
    alone = toy_study(recipes={"layered": RECIPES["layered"]}, seeds=[0])
    assert headline(alone).startswith("Nothing to compare")
    assert "Nothing to compare" in to_markdown(alone, {})


def test_without_a_layered_recipe_the_first_is_compared_with_itself_run_layered() -> None:
    alone = toy_study(recipes={"random": RECIPES["random"]}, seeds=[0])
    assert "for 'random' run layered" in headline(alone)
    row = alone.row("random", "layered")
    assert row is not None
    assert row.difference.values == (0,)


@pytest.mark.parametrize(
    ("own", "base", "words"),
    [
        (150.0, 100.0, "50 % more spikes"),
        (50.0, 100.0, "50 % fewer spikes"),
        (100.2, 100.0, "as many spikes"),
        (0.4, 100.0, "over 99 % fewer spikes"),
        (0.0, 100.0, "100 % fewer spikes"),
        (0.0, 0.0, "as many spikes"),
        (7.0, 0.0, "7 spikes instead of none"),
        (math.nan, 100.0, "no output to compare"),
    ],
)
def test_a_change_is_said_in_per_cent(own: float, base: float, words: str) -> None:
    assert change(own, base, "spikes") == words


def test_a_spread_is_over_the_seeds_that_are_known() -> None:
    spread = Spread((1.0, math.nan, 3.0))
    assert spread.mean == 2.0
    assert spread.deviation == pytest.approx(math.sqrt(2))
    assert math.isnan(Spread((1.0,)).deviation)
    assert math.isnan(Spread(()).mean)


def test_energies_are_those_of_the_model_in_joules_a_sample(report: StudyReport) -> None:
    for row in report.rows:
        parts = (
            (row.energy_synaptic_operations, row.synaptic_operations, 1e-12),
            (row.energy_neuron_updates, row.neuron_updates, 2e-12),
            (row.energy_spikes, row.spikes, 3e-12),
        )
        for energy, count, price in parts:
            assert energy.values == pytest.approx([price * value for value in count.values])
        total = [sum(each) for each in zip(*(energy.values for energy, _, _ in parts), strict=True)]
        assert row.energy.values == pytest.approx(total)


def test_the_papers_table_has_the_baseline_first_and_marks_how_each_was_trained(
    report: StudyReport,
) -> None:
    lines = paper_table(report).lines
    assert [line[:2] for line in lines] == [
        ("layered", "layered *"),
        ("layered", "random, F = 2"),
        ("random, F = 2", "layered"),
        ("random, F = 2", "random, F = 2 *"),
    ]
    row = report.row("random")
    assert row is not None
    mean, spread = 100 * row.accuracy.mean, 100 * row.accuracy.deviation
    assert lines[3][2] == f"{mean:.1f} ± {spread:.1f}"
    assert lines[0][3] == ""


def test_a_difference_that_may_be_chance_is_in_brackets(report: StudyReport) -> None:
    assert paper_table(changed(report, 0.02, 0.01)).lines[3][3] == "(+2.0 ± 1.0)"
    assert paper_table(changed(report, 0.05, 0.01)).lines[3][3] == "+5.0 ± 1.0"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_laid_out_everywhere(
    table: Callable[[StudyReport], Grid], report: StudyReport, partial: StudyReport
) -> None:
    console = pytest.importorskip("rich.console").Console(width=300, file=io.StringIO())
    for each in (table(report), table(partial)):
        console.print(each.to_rich())
        shown = console.file.getvalue()
        for text in (each.to_text(), each.to_markdown(), each.to_html(), shown):
            for cell in {cell for line in each.lines for cell in line}:
                assert cell in text


def test_words_of_a_page_are_escaped() -> None:
    grid = Grid(("a|b",), (("<script>",),), notes=("x < y",))
    assert "<script>" not in grid.to_html()
    assert r"a\|b" in grid.to_markdown()


def test_the_page_begins_with_the_answer_and_answers_the_reviewers(report: StudyReport) -> None:
    page = to_markdown(report, {})
    assert page.split("\n", 1)[0] == report.headline
    for heading in (
        "Accuracy, density, latency",
        "When the order is another",
        "Work and energy",
        "Convergence",
        "How a decision is read out",
        "Every run",
    ):
        assert f"\n## {heading}\n" in page
    assert "1 pJ a synaptic operation, 2 pJ a neuron update, 3 pJ a spike" in page
    assert "![" not in page


def test_json_has_every_value_of_every_seed(report: StudyReport, tmp_path: Path) -> None:
    report.save_json(tmp_path / "study.json")
    content = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert content["format"] == "pyasync.StudyReport"
    assert content["headline"] == report.headline
    assert content["samples"]["fingerprint"] == report.samples.fingerprint
    assert content["recipes"]["random"] == RECIPES["random"].to_dict()
    assert content["versions"]["pyasync"] == pa.__version__
    assert set(content["versions"]) == {"pyasync", "numpy", "python", "torch"}
    for row, written in zip(report.rows, content["rows"], strict=True):
        assert written["run"] == row.run
        for name in StudyRow.__dataclass_fields__:
            value = getattr(row, name)
            if isinstance(value, Spread):
                assert written[name]["by_seed"] == [
                    None if math.isnan(v) else v for v in value.values
                ]
    assert [len(each["history"]) for each in content["trainings"]] == [3] * 4
    curve = content["anytime"]["accuracy"][1]
    np.testing.assert_array_equal(curve["by_seed"], report.anytime(curve["trained"], curve["run"]))
    assert [each.name for each in tmp_path.iterdir()] == ["study.json"]


def test_a_report_is_saved_with_its_figures(report: StudyReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = report.save(tmp_path, prefix="toy-")
    assert sorted(names) == sorted(each.name for each in tmp_path.iterdir())
    for name in FIGURES:
        assert (tmp_path / f"toy-{name}").read_bytes()[:4] == b"\x89PNG"
    assert re.findall(r"\]\((.*?)\)", (tmp_path / "toy-report.md").read_text()) == [
        f"toy-{name}" for name in FIGURES
    ]
    html = (tmp_path / "toy-report.html").read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == len(FIGURES)
    assert 'src="toy' not in html
    assert report.headline.replace("'", "&#x27;") in html


def test_a_partial_report_is_saved_too(partial: StudyReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert len(partial.save(tmp_path)) == 6


def test_without_matplotlib_the_report_has_no_figures(
    report: StudyReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert report.save(tmp_path, figures=False) == ["report.md", "report.html", "study.json"]
    with pytest.raises(pa.MissingDependencyError, match=r"pip install matplotlib"):
        report.save(tmp_path)
    assert not list(tmp_path.glob("*.part*"))


def test_the_figures_show_every_run_and_the_means_over_seeds(report: StudyReport) -> None:
    Figure = pytest.importorskip("matplotlib.figure").Figure
    from pyasync.study.study_figure import anytime, convergence, schedules

    figure = Figure()
    anytime(figure, report, ["layered", "random, F = 2"])
    for axes, run in zip(figure.axes, ("layered", "random, F = 2"), strict=True):
        for line, name in zip(axes.lines, ("layered", "random"), strict=True):
            mean = 100 * report.anytime(name, run).mean(axis=0)
            np.testing.assert_allclose(line.get_ydata(), mean)
        assert len(axes.collections) == 2
    figure = Figure()
    schedules(figure, report, ["layered", "random"])
    for axes, name in zip(figure.axes, ("layered", "random"), strict=True):
        for container in axes.containers:
            rows = [row for row in report.rows if row.trained == name]
            own = [row for row in rows if row.schedule == container.get_label()]
            shown = np.sort(np.asarray(container.lines[0].get_ydata(), float))
            np.testing.assert_allclose(shown, np.sort([100 * row.accuracy.mean for row in own]))
    figure = Figure()
    convergence(figure, report)
    for axes in figure.axes:
        for line, name in zip(axes.lines, ("layered", "random"), strict=True):
            histories = [each.history for each in report.of_recipe(name)]
            last = np.mean([history[-1].validation_accuracy for history in histories])
            assert line.get_ydata()[-1] == pytest.approx(100 * last)


def test_the_report_says_what_its_errors_bars_and_bands_are(report: StudyReport) -> None:
    many, one = (to_markdown(each, {}) for each in (report, toy_study(seeds=[0])))
    assert (
        "± is the standard deviation over seeds; of a difference, a gain or a loss it is the "
        "standard error. A difference counts as one"
    ) in many
    assert "once, after its last epoch. ± is the standard error. A difference" in one
    for caption in FIGURES.values():
        assert re.search(r"; (bars|bands) are one standard deviation over seeds, where", caption)


def test_the_figure_of_one_seed_has_no_error_bars(report: StudyReport) -> None:
    Figure = pytest.importorskip("matplotlib.figure").Figure
    from pyasync.study.study_figure import schedules

    for each, drawn in ((report, True), (toy_study(seeds=[0]), False)):
        figure = Figure()
        schedules(figure, each, ["random"])
        (axes,) = figure.axes
        bars = [line for bars in axes.containers for line in bars.lines[2][0].get_segments()]
        assert any(np.isfinite(bar).all() for bar in bars if len(bar)) == drawn


def test_what_cannot_be_written_is_named(report: StudyReport, tmp_path: Path) -> None:
    with pytest.raises(pa.FileError, match=r"^path: got .*; accepted: a writable path"):
        report.save(tmp_path / "no" / "where", figures=False)


def test_the_terminal_shows_headline_and_table(report: StudyReport) -> None:
    console = pytest.importorskip("rich.console").Console(width=500, file=io.StringIO())
    console.print(report)
    shown = console.file.getvalue()
    assert report.headline in shown
    assert report.to_table().startswith(report.headline)
    for line in paper_table(report).lines:
        assert all(cell in shown for cell in line)
