"""Every number in a study's tables and sentences is the one that the words promise."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_study import (
    ENERGY,
    EVERY,
    L4,
    MAIN,
    N_TEST,
    N_TIMESTEPS,
    N_TRAIN,
    PAPER,
    PRICES,
    R1,
    R2,
    RECIPES,
    RIGHT,
    SEEDS,
    finished_training,
    lines_of,
    row_cells,
)

pytest.importorskip("torch", reason="histories are of trainings, which need PyTorch")

import pyasync as pa
from pyasync.study import EnergyModel, Samples, Spread, StudyReport, StudyRow
from pyasync.study.grid import Grid
from pyasync.study.plan import Plan
from pyasync.study.study_page import to_markdown
from pyasync.study.study_table import (
    convergence_table,
    energy_table,
    every_run,
    paper_table,
    robustness_table,
)
from pyasync.study.study_words import headline, summary


@pytest.fixture(scope="module")
def report() -> StudyReport:
    x = pa.SpikeBatch.from_dense(np.zeros((N_TIMESTEPS, N_TRAIN + N_TEST, 3)), dt=10e-3)
    y = np.arange(N_TRAIN + N_TEST) % 2
    samples = Samples("made up", x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:])
    plan = Plan.make(RECIPES, ["random"], [1], SEEDS)
    return StudyReport.of(samples, plan, PRICES, [finished_training(j, plan) for j in plan.jobs])


def with_rows(report: StudyReport, change: Callable[[StudyRow], dict[str, Any]]) -> StudyReport:
    return replace(report, rows=tuple(replace(row, **change(row)) for row in report.rows))


def test_no_two_columns_of_a_made_up_row_show_the_same() -> None:
    for key in RIGHT:
        cells = row_cells(*key)
        assert cells.pop("energy, nJ") == cells["total, nJ"], "one number with two headings"
        assert len(set(cells.values())) == len(cells)


def test_the_papers_table_shows_accuracy_density_and_latency_of_the_main_runs(
    report: StudyReport,
) -> None:
    grid = paper_table(report)
    assert grid.columns == PAPER
    assert list(grid.lines) == lines_of(PAPER, MAIN)
    assert grid.rules == (3, 6)
    assert grid.lines[3][3] == "-25.0 ± 4.9"
    assert grid.lines[8][3] == "(-1.0 ± 2.5)"


def test_the_last_table_shows_every_measure_of_every_run(report: StudyReport) -> None:
    grid = every_run(report)
    assert grid.columns == EVERY
    assert list(grid.lines) == lines_of(EVERY, RIGHT)
    assert grid.rules == (4, 8)


def test_the_energy_table_shows_work_times_price_and_its_share_of_the_baselines(
    report: StudyReport,
) -> None:
    grid = energy_table(report)
    keys = [("layered", "layered"), ("random", "layered"), ("random", R2)]
    keys += [("lifo", "layered"), ("lifo", L4)]
    assert grid.columns == ENERGY
    for line, cells in zip(grid.lines, lines_of(ENERGY, keys), strict=True):
        assert line == tuple(text.removesuffix(" *") for text in cells)
    assert grid.rules == (1, 3)
    # 5,000 at 11 pJ, 3,000 at 70 pJ and 256 at 510 pJ, against 5,400, 3,360 and 288 of them.
    assert grid.lines[1][5:] == ("55.0 ± 0.4", "210 ± 2", "131 ± 2", "396 ± 5", "0.90")


def test_without_prices_no_energy_is_a_share_of_another(report: StudyReport) -> None:
    free = StudyReport.of(report.samples, report.plan, EnergyModel(0, 0, 0), report.finished)
    for line in energy_table(free).lines:
        assert line[5:] == ("0.0 ± 0.0",) * 4 + ("-",)


def test_small_energies_are_not_shown_as_none(report: StudyReport) -> None:
    cheap = EnergyModel(11e-16, 70e-16, 510e-16)
    cheaper = StudyReport.of(report.samples, report.plan, cheap, report.finished)
    # A ten thousandth of 55.0 ± 0.4, 210 ± 2, 131 ± 2 and 396 ± 5; of 419 and 441.
    shown = ("0.0055 ± 0.0000", "0.021 ± 0.000", "0.013 ± 0.000", "0.040 ± 0.000", "0.90")
    assert energy_table(cheaper).lines[1][5:] == shown
    assert re.findall(r"[\d.]+ nJ", summary(cheaper)[1]) == ["0.042 nJ", "0.044 nJ"]


def test_a_loss_that_rounds_to_none_has_no_sign(report: StudyReport) -> None:
    def even(row: StudyRow) -> dict[str, Any]:
        right = (0.8, 0.8, 0.8) if row.schedule == "layered" else (0.8001, 0.8, 0.8002)
        return {"accuracy": Spread(right)}

    lost = [line[-1] for line in robustness_table(with_rows(report, even)).lines]
    assert lost == ["0.0 ± 0.0"] * 3


def test_the_robustness_table_shows_the_best_and_worst_asynchronous_runs_and_what_is_lost(
    report: StudyReport,
) -> None:
    grid = robustness_table(report)
    assert grid.columns == (
        *("trained", "as trained %", "best %", "worst %", "lost in the worst, points"),
    )
    # Lost, seed by seed: 89 - 59, 93 - 64, 97 - 69; 74 - 49, 80 - 58, 86 - 67; and so on.
    assert grid.lines == (
        (R2, "93.0 ± 4.0", f"93.0 ± 4.0  ({R2})", f"64.0 ± 5.0  ({L4})", "29.0 ± 1.0"),
        ("layered", "80.0 ± 6.0", f"71.0 ± 7.0  ({R1})", f"58.0 ± 9.0  ({L4})", "22.0 ± 3.0"),
        (L4, "79.0 ± 2.0", f"83.0 ± 5.0  ({R2})", f"60.0 ± 7.0  ({R1})", "19.0 ± 5.0"),
    )


def test_the_convergence_table_shows_epochs_and_seconds_until_the_target_is_first_reached(
    report: StudyReport,
) -> None:
    grid = convergence_table(report)
    assert grid.columns == (
        *("trained", "epochs", "seconds an epoch", "accuracy at the end %"),
        *("epochs to 89.1 %", "seconds to 89.1 %", "never reached by"),
    )
    assert grid.lines == (
        # After 1 and 3 epochs, 0.5 and 1 + 2 + 3.5 seconds.
        (R2, "4", "2.00 ± 1.00", "88.0 ± 5.0", "2.0 ± 1.4", "3.5 ± 4.2", "1 of 3"),
        # After 4, 3 and 2 epochs, 1 + 2 + 3 + 4, 2 + 4 + 6 and 6 + 8 seconds.
        ("layered", "5", "5.00 ± 0.50", "90.0 ± 4.0", "3.0 ± 1.0", "12.0 ± 2.0", ""),
        (L4, "3", "9.00 ± 2.00", "40.0 ± 10.0", "-", "-", "3 of 3"),
    )
    assert grid.notes[0].startswith("89.1 % is 99 % of the baseline's accuracy at the end.")
    assert "Epochs and seconds to it: means over the trainings that reached it." in grid.notes[0]


def test_before_the_baseline_is_trained_nothing_is_compared_with_it(report: StudyReport) -> None:
    alone = StudyReport.of(report.samples, report.plan, PRICES, report.of_recipe("lifo")[:1])
    # Of one seed there is no deviation: 79 - 2 are right, and 320 + 3 * 8 - 4 spikes.
    assert paper_table(alone).lines[2] == (
        *(L4, f"{L4} *", "77.0", "-", "0.4250", "340", "17.5", "58.5"),
    )
    assert [line[-1] for line in energy_table(alone).lines] == ["-", "-"]
    # 99 % of its own 30 %.
    assert convergence_table(alone).columns[4:6] == ("epochs to 29.7 %", "seconds to 29.7 %")
    note = convergence_table(alone).notes[0]
    assert note.startswith("29.7 % is 99 % of these trainings' accuracy at the end.")
    assert convergence_table(alone).lines == ((L4, "3", "7.00", "30.0", "3.0", "21.0", ""),)


def test_a_latency_that_no_sample_has_is_a_dash(report: StudyReport) -> None:
    never = Spread((math.nan,) * 3)
    mute = with_rows(report, lambda row: {"latency": never, "latency_to_correct": never})
    for table, columns in ((paper_table, PAPER), (every_run, EVERY)):
        places = [columns.index(name) for name in ("first output", "first correct")]
        for line in table(mute).lines:
            assert [line[place] for place in places] == ["-", "-"]


@pytest.mark.parametrize(
    ("table", "silent", "stopped"),
    [
        (paper_table, f"4.0 % of the samples (trained layered, run {R2})", ("0.5", "random", L4)),
        (every_run, f"7.0 % of the samples (trained lifo, run {R1})", ("2.0", "layered", R1)),
    ],
)
def test_a_table_names_the_run_with_most_silent_and_the_one_with_most_stopped_samples(
    table: Callable[[StudyReport], Grid],
    silent: str,
    stopped: tuple[str, str, str],
    report: StudyReport,
) -> None:
    share, trained, run = stopped
    assert table(report).notes[-2:] == (
        f"No output neuron fired in up to {silent}; these count as wrong and have no latency.",
        f"A limit stopped up to {share} % of the samples before they were quiescent "
        f"(trained {trained}, run {run}).",
    )


@pytest.mark.parametrize("table", [paper_table, every_run])
def test_a_table_has_no_caveat_of_samples_that_all_answered_and_came_to_rest(
    table: Callable[[StudyReport], Grid], report: StudyReport
) -> None:
    whole = Spread((1.0, 1.0, 1.0))
    silent = table(with_rows(report, lambda row: {"reached_quiescence": whole}))
    stopped = table(with_rows(report, lambda row: {"decided": whole}))
    assert [note.split(" up to ")[0] for note in silent.notes[-1:]] == ["No output neuron fired in"]
    assert [note.split(" up to ")[0] for note in stopped.notes[-1:]] == ["A limit stopped"]
    neither = table(with_rows(report, lambda row: {"decided": whole, "reached_quiescence": whole}))
    assert len(neither.notes) == len(silent.notes) - 1 == len(stopped.notes) - 1
    assert not any(" up to " in note for note in neither.notes)


def test_the_headline_has_the_numbers_of_the_baseline_and_of_the_first_unlayered_training(
    report: StudyReport,
) -> None:
    # 272 spikes against 288, and 28 before the first output against 26.
    assert headline(report) == (
        "Trained through asynchronous execution, the network reaches 93.0 ± 4.0 % run "
        f"asynchronously ({R2}), against 80.0 ± 6.0 % for layered training run layered, a gain of "
        "13.0 ± 2.9 points, with 6 % fewer spikes and 8 % more before the first output. In its "
        f"worst order it reaches 64.0 ± 5.0 % ({L4}), that of layered training 58.0 ± 9.0 % ({L4})."
    )


def test_latencies_are_said_to_leave_out_samples_without_an_output(report: StudyReport) -> None:
    over = "output neuron; means over the samples that have one."
    assert any(note.endswith(over) for note in paper_table(report).notes)
    some = with_rows(report, lambda row: {"decided": Spread((1.0, 0.9, 1.0))})
    assert ", with 6 % fewer spikes and 8 % more before the first output, if there is one. In" in (
        headline(some)
    )


def test_the_summary_has_the_numbers_of_every_training(report: StudyReport) -> None:
    assert summary(report) == [
        "Run in the same asynchronous way, the network of layered training reaches 66.0 ± 8.0 %; "
        "against itself run layered: -14.0 ± 2.7 points.",
        # 5,200 * 0.011 + 3,180 * 0.070 + 272 * 0.510, and 5,400, 3,360 and 288 of them.
        "By the energy model a sample costs 419 nJ in the network trained through asynchronous "
        "execution, run asynchronously, against 441 nJ for layered training run layered.",
        # 344 spikes against 288.
        f"Trained under {L4} and run so: 79.0 ± 2.0 % (-1.0 ± 2.5 points, no difference that "
        "shows), with 19 % more spikes.",
        f"Run asynchronously, the network trained {R2} reaches from 64.0 ± 5.0 % ({L4}) to "
        f"93.0 ± 4.0 % ({R2}).",
        f"Run asynchronously, the network trained layered reaches from 58.0 ± 9.0 % ({L4}) to "
        f"71.0 ± 7.0 % ({R1}).",
        f"Run asynchronously, the network trained {L4} reaches from 60.0 ± 7.0 % ({R1}) to "
        f"83.0 ± 5.0 % ({R2}).",
    ]


def test_the_page_names_every_network(report: StudyReport) -> None:
    wide = pa.Network.sequential([pa.Linear(np.ones((50, 3)))])
    finished = tuple(
        replace(each, network=wide) if each.job.trained == "lifo" else each
        for each in report.finished
    )
    page = to_markdown(replace(report, finished=finished), {})
    assert f"Networks: `{report.finished[0].network!r}`, `{wide!r}`. Each recipe" in page
    assert f"Network: `{report.finished[0].network!r}`. Each recipe" in to_markdown(report, {})


def test_the_page_has_the_summary_the_setting_and_each_table_under_its_heading(
    report: StudyReport,
) -> None:
    first, *sections = to_markdown(report, {}).split("\n\n## ")
    said = first.split("\n\n")
    assert said[:2] == [headline(report), " ".join(summary(report))]
    assert said[2].startswith(
        "Data: made up, 7 samples for training and 100 for testing, 2 classes, 20 timesteps of "
        "10 ms. Network: "
    )
    assert "trained with seeds 3, 5, 8, and each network run under 4 schedules, once" in said[2]
    held = dict(section.split("\n\n", 1) for section in sections)
    for heading, table in (
        ("Accuracy, density, latency", paper_table),
        ("When the order is another", robustness_table),
        ("Work and energy", energy_table),
        ("Convergence", convergence_table),
        ("Every run", every_run),
    ):
        assert held[heading].strip().endswith(table(report).to_markdown())
    assert (
        "11 pJ a synaptic operation, 70 pJ a neuron update, 510 pJ a spike"
        in (held["Work and energy"])
    )
