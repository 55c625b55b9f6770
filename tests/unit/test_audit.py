"""The audit: every number it reports equals that of a plain simulation, and its words are true."""

from __future__ import annotations

import io
import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.study import AuditReport, AuditRow, audit
from pyasync.study.certainty import SURE
from pyasync.study.figure import compose
from pyasync.study.table import headline, notes, text_table

N_SAMPLES, N_CLASSES = 23, 4


def network(seed: int = 0, gain: float = 1.0) -> pa.Network:
    rng = np.random.default_rng(seed)
    sizes = [30, 16, 12, N_CLASSES]
    weights = [
        (rng.normal(0.08, 0.3, (m, n)) * gain).astype(np.float32)
        for n, m in itertools.pairwise(sizes)
    ]
    return pa.Network.sequential(
        [pa.Linear(weight) for weight in weights], pa.LIF(tau_mem=20e-3, v_threshold=0.4)
    )


def samples(seed: int = 1) -> tuple[pa.SpikeBatch, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    x = pa.SpikeBatch.from_dense(rng.random((6, N_SAMPLES, 30)) < 0.2, dt=10e-3)
    y = pa.simulate(network(), x, pa.Layered()).decisions()
    wrong = rng.random(N_SAMPLES) < 0.3
    return x, np.where(wrong, rng.integers(0, N_CLASSES, N_SAMPLES), np.maximum(y, 0))


DETERMINISTIC = ("random", "momentum", "fifo")


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return audit(network(), *samples(), DETERMINISTIC, seed=5)


def test_the_layered_baseline_comes_first_and_then_each_schedule_at_each_group_size(
    report: AuditReport,
) -> None:
    expected = [("layered", None)]
    expected += [(name, size) for name in DETERMINISTIC for size in (1, 8, 64)]
    assert [(row.schedule, row.forward_group_size) for row in report.rows] == expected


def test_free_running_comes_last_and_is_repeated_for_its_spread() -> None:
    report = audit(network(), *samples(), seed=5)
    *others, free = report.rows
    assert (free.schedule, free.forward_group_size, free.runs) == ("free", 1, 5)
    assert min(free.accuracy_spread, free.spikes_spread, free.latency_spread) >= 0
    assert [row.runs for row in others] == [1] * 10
    assert "free, F = 1: of 5 runs the first" in report.to_table()
    alone = audit(network(), *samples(), ["free"], threads=1).rows[1]
    assert (alone.accuracy_spread, alone.spikes_spread) == (0, 0), "one thread, one order"


def test_each_row_is_what_a_simulation_gives(report: AuditReport) -> None:
    x, y = samples()
    for row, schedule in (
        (report.rows[0], pa.Layered()),
        (report.rows[2], pa.Random(8)),
        (report.rows[4], pa.Momentum(1)),
        (report.rows[8], pa.Fifo(8)),
    ):
        result = pa.simulate(network(), x, schedule, seed=5)
        assert row.accuracy == result.accuracy(y)
        assert row.spikes == pytest.approx(result.spikes.mean())
        assert row.latency == pytest.approx(np.nanmean(result.latency))
        assert row.latency_to_correct == pytest.approx(np.nanmean(result.latency_to_correct(y)))
        assert row.forward_steps == pytest.approx(result.forward_steps.mean())
        assert row.synaptic_operations == pytest.approx(result.synaptic_operations.mean())
        assert row.neuron_updates == pytest.approx(result.neuron_updates.mean())
        assert row.decided == (result.decisions() >= 0).mean()
        assert row.reached_quiescence == 1


def test_errors_are_those_of_a_fraction_and_of_a_paired_difference(report: AuditReport) -> None:
    x, y = samples()
    right = [
        pa.simulate(network(), x, schedule, seed=5).decisions() == y
        for schedule in (pa.Layered(), pa.Fifo(1))
    ]
    row = report.rows[7]
    lost = right[0].astype(int) - right[1]
    assert 0 < row.accuracy < 1
    assert row.accuracy_error == pytest.approx(right[1].std() / math.sqrt(N_SAMPLES))
    assert row.accuracy_drop == pytest.approx(lost.mean())
    assert row.accuracy_drop_error == pytest.approx(lost.std() / math.sqrt(N_SAMPLES))
    assert (report.rows[0].accuracy_drop, report.rows[0].accuracy_drop_error) == (0, 0)


def test_the_curves_are_anytime_accuracy_and_end_at_the_accuracy(report: AuditReport) -> None:
    x, y = samples()
    result = pa.simulate(network(), x, pa.Momentum(8), seed=5)
    expected = result.anytime_accuracy(y, report.anytime_spikes)
    np.testing.assert_allclose(report.anytime_accuracy[5], expected)
    last = [row.accuracy for row in report.rows]
    np.testing.assert_allclose(report.anytime_accuracy[:, -1], last)
    assert (np.diff(report.anytime_spikes) > 0).all()


def test_no_figure_depends_on_how_the_samples_are_cut_up(
    report: AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["pyasync.study.run"], "_AT_ONCE", 7)
    again = audit(network(), *samples(), DETERMINISTIC, seed=5, threads=1)
    assert again.to_json() == report.to_json()


def test_dense_input_is_audited_alike(report: AuditReport) -> None:
    x, y = samples()
    dense = audit(network(), x.to_dense(bool), y, DETERMINISTIC, dt=10e-3, seed=5)
    assert dense.to_json() == report.to_json()


def test_groups_that_hold_all_pending_spikes_change_nothing() -> None:
    rows = audit(network(), *samples(), ["random", "momentum", "fifo", "lifo"], [1000]).rows
    assert {row.accuracy_drop for row in rows} == {0.0}
    assert {row.spikes for row in rows} == {rows[0].spikes}
    assert "Right and wrong on the same samples as layered: random" in notes(rows)[-1]


def test_schedules_may_be_given_by_name_or_as_they_are() -> None:
    own = [pa.Momentum(3, noise=0.1), "lifo", pa.Layered(feedback=None)]
    report = audit(network(), *samples(), own, [2])
    runs = ["layered", "momentum, noise = 0.1, F = 3", "lifo, F = 2"]
    assert [row.run for row in report.rows] == runs
    assert audit(network(), *samples(), "fifo", [2]).rows[1].run == "fifo, F = 2"  # type: ignore[arg-type]


def test_the_example_is_one_that_layered_decides_correctly(report: AuditReport) -> None:
    x, y = samples()
    example = report.example
    layered = pa.simulate(network(), x, pa.Layered()).decisions()
    assert layered[example.sample] == y[example.sample] == example.label
    alone = pa.simulate(network(), x, pa.Random(1), seed=5, record=True).trace
    assert alone is not None
    events = alone[[example.sample]].to_events()
    for name in ("timestep", "step", "neuron", "v"):
        np.testing.assert_array_equal(example.asynchronous[name], events[name])
    assert example.schedule == "random, F = 1"


def test_a_recurrent_network_is_audited_too() -> None:
    rng = np.random.default_rng(3)
    loop = pa.Network(30)
    loop.add("hidden", 10, pa.LIF(v_threshold=0.4))
    loop.add("output", N_CLASSES, pa.LIF(v_threshold=0.4))
    loop.connect("input", "hidden", pa.Linear(rng.normal(0.1, 0.3, (10, 30))))
    loop.connect("hidden", "hidden", pa.Linear(rng.normal(0, 0.3, (10, 10))))
    loop.connect("hidden", "output", pa.Linear(rng.normal(0.1, 0.3, (N_CLASSES, 10))))
    report = audit(loop, *samples(), ["random"], [2])
    assert all(row.spikes > 0 for row in report.rows)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"y": [0, 1]}, pa.InputError, "y: got"),
        ({"y": [N_CLASSES] * N_SAMPLES}, pa.InputError, "y: got 4"),
        ({"y": [0.5] * N_SAMPLES}, pa.InputError, "y: got"),
        ({"x": samples()[0][:0], "y": []}, pa.InputError, "x: got an empty SpikeBatch"),
        ({"x": np.zeros((2, N_SAMPLES, 30))}, pa.InputError, "dt: got None"),
        ({"dt": 1e-3}, pa.InputError, "dt: got 0.001"),
        ({"schedules": ["rnd"]}, pa.ScheduleError, "schedules: got 'rnd'.*random, momentum, fifo"),
        ({"schedules": [3]}, pa.ScheduleError, "schedules: got 3"),
        ({"schedules": []}, pa.ScheduleError, r"schedules: got \[\]"),
        ({"schedules": [pa.Layered()]}, pa.ScheduleError, "schedules: got"),
        ({"forward_group_sizes": []}, pa.ScheduleError, "forward_group_sizes: got"),
        ({"schedules": ["layered"]}, pa.ScheduleError, "schedules: got .*one not layered"),
        ({"schedules": 3}, pa.ScheduleError, "schedules: got 3; accepted: names .*pa.Random"),
        ({"schedules": np.array([["fifo", "lifo"]])}, pa.ScheduleError, "schedules: got array"),
        ({"forward_group_sizes": [0]}, pa.ScheduleError, "forward_group_sizes: got 0"),
        ({"forward_group_sizes": 2.5}, pa.ScheduleError, "forward_group_sizes: got 2.5"),
        ({"forward_group_sizes": None}, pa.ScheduleError, "forward_group_sizes: got None"),
        ({"finished": 3}, pa.InputError, "finished: got 3; accepted: a function"),
        ({"seed": -1}, pa.InputError, "seed: got -1"),
        ({"threads": 0}, pa.InputError, "threads: got 0"),
    ],
)
def test_a_bad_argument_is_named(change: Any, error: type[Exception], says: str) -> None:
    x, y = samples()
    with pytest.raises(error, match=rf"^{says}"):
        audit(**{"network": network(), "x": x, "y": y, **change})


def test_json_says_all_and_where_it_is_from(report: AuditReport, tmp_path: Path) -> None:
    report.save_json(tmp_path / "audit.json")
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert [each.name for each in tmp_path.iterdir()] == ["audit.json"]
    assert content["format"] == "pyasync.AuditReport"
    assert content["versions"]["pyasync"] == pa.__version__
    assert (content["seed"], content["dt"], content["n_samples"]) == (5, 10e-3, N_SAMPLES)
    assert content["network"]["n_synapses"] == 30 * 16 + 16 * 12 + 12 * N_CLASSES
    assert content["headline"] == report.headline
    assert [AuditRow(**row) for row in content["rows"]] == list(report.rows)
    np.testing.assert_array_equal(content["anytime"]["accuracy"], report.anytime_accuracy)


def test_what_is_not_a_number_is_null_in_json() -> None:
    silent = audit(network(gain=1e-3), *samples(), ["fifo"], [1])
    rows = json.loads(silent.to_json())["rows"]
    assert [row["latency"] for row in rows] == [None, None]
    assert [row["accuracy"] for row in rows] == [0, 0]
    assert "No output neuron fired in up to 100.0 % of the samples" in silent.to_table()
    assert math.isnan(silent.to_structured()["latency"][0])


def test_rows_convert_to_a_structured_array(report: AuditReport) -> None:
    table = report.to_structured()
    assert table["schedule"].tolist() == [row.schedule for row in report.rows]
    assert table["forward_group_size"].tolist() == [0, *[1, 8, 64] * 3]
    np.testing.assert_array_equal(table["accuracy"], [row.accuracy for row in report.rows])


def test_the_table_has_a_line_for_every_row(report: AuditReport) -> None:
    text = report.to_table()
    assert text.startswith(report.headline)
    for row in report.rows:
        start = f"{row.schedule} " if row.forward_group_size else "layered"
        lines = [line for line in text.splitlines() if line.startswith(start)]
        accuracy = f"{100 * row.accuracy:.1f} ± {100 * row.accuracy_error:.1f}"
        assert any(accuracy in line for line in lines)
    assert repr(report) == "AuditReport(23 samples, 10 runs: layered, random, momentum, fifo)"


def test_rich_shows_the_same_figures(report: AuditReport) -> None:
    console = pytest.importorskip("rich.console").Console(width=200, file=io.StringIO())
    console.print(report)
    shown = console.file.getvalue()
    for line in report.to_table().splitlines():
        assert all(word in shown for word in line.strip("-").split())


LAYERED = AuditRow(
    schedule="layered",
    forward_group_size=None,
    accuracy=0.9,
    accuracy_error=0.01,
    accuracy_drop=0.0,
    accuracy_drop_error=0.0,
    decided=1.0,
    spikes=200.0,
    latency=30.0,
    latency_to_correct=33.0,
    forward_steps=40.0,
    synaptic_operations=1000.0,
    neuron_updates=100.0,
    reached_quiescence=1.0,
)


def other(drop: float, error: float, spikes: float = 200.0, size: int = 8) -> AuditRow:
    return replace(
        LAYERED,
        schedule="random",
        forward_group_size=size,
        accuracy=0.9 - drop,
        accuracy_drop=drop,
        accuracy_drop_error=error,
        spikes=spikes,
    )


HID = "Layer synchronisation hid a loss of"
NONE = "Layer synchronisation hid no loss of accuracy that 1,000 samples can show"


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            [other(0.2, 0.01, 250), other(0.1, 0.01, size=64)],
            f"{HID} 20.0 ± 1.0 points of accuracy: 90.0 % layered, "
            "70.0 % without it (random, F = 8), with 25 % more spikes.",
        ),
        (
            [other(0.02, 0.01)],
            f"{NONE}: 90.0 % layered, and at worst a drop of 2.0 ± 1.0 points without it "
            "(random, F = 8), with as many spikes.",
        ),
        (
            [other(0.0, 0.0, 100)],
            f"{NONE}: 90.0 % layered, and at worst a drop of 0.0 ± 0.0 points without it "
            "(random, F = 8), with 50 % fewer spikes.",
        ),
        (
            [other(-0.02, 0.01)],
            f"{NONE}: 90.0 % layered, and even in the worst order without it 2.0 ± 1.0 points more "
            "(random, F = 8), with as many spikes.",
        ),
        (
            [other(0.01, 0.01), other(-0.05, 0.01, 210, 1)],
            f"{NONE}; it cost 5.0 ± 1.0 points: 90.0 % layered, 95.0 % without it "
            "(random, F = 1), with 5 % more spikes.",
        ),
        (
            [other(0.2, 0.01), other(-0.05, 0.01, size=1)],
            f"{HID} 20.0 ± 1.0 points of accuracy: 90.0 % layered, "
            "70.0 % without it (random, F = 8), with as many spikes.",
        ),
        (
            # The larger drop may be chance, since more samples changed; the smaller one is not.
            [other(0.03, 0.012), other(0.02, 0.004, size=64)],
            f"{HID} 2.0 ± 0.4 points of accuracy: 90.0 % layered, "
            "88.0 % without it (random, F = 64), with as many spikes.",
        ),
        (
            [other(-0.03, 0.012), other(-0.02, 0.004, size=64)],
            f"{NONE}; it cost 2.0 ± 0.4 points: 90.0 % layered, 92.0 % without it "
            "(random, F = 64), with as many spikes.",
        ),
    ],
)
def test_the_headline_claims_no_more_than_the_rows(others: list[AuditRow], sentence: str) -> None:
    assert headline([LAYERED, *others], 1000) == sentence


def test_the_headline_speaks_of_spikes_even_if_layered_has_none() -> None:
    rows = [replace(LAYERED, spikes=0.0, accuracy=0.0), replace(other(-0.5, 0.01), accuracy=0.5)]
    assert headline(rows, 1000).endswith("with 200 spikes a sample instead of none.")


def test_only_no_spikes_are_all_of_them_fewer() -> None:
    for spikes, said in ((0.4, "with over 99 % fewer spikes."), (0.0, "with 100 % fewer spikes.")):
        assert headline([LAYERED, other(0.2, 0.01, spikes)], 1000).endswith(said)


def test_runs_that_are_equal_but_for_rounding_are_shown_as_equal() -> None:
    assert np.std([1 / 9] * 5, ddof=1) > 0, "or this test shows nothing"
    one = pa.Network.sequential([pa.Linear([[2.0]])])
    x = np.eye(9)[:1, :, None]
    report = audit(one, x, [0] * 9, ["free"], dt=1e-3, threads=1)
    free = report.rows[1]
    assert (free.accuracy, free.spikes) == (1 / 9, 1 / 9)
    assert (free.accuracy_spread, free.spikes_spread, free.latency_spread) == (0, 0, 0)
    said = "free, F = 1: of 5 runs the first; their means of accuracy, spikes and first output are"
    assert f"{said} equal." in report.to_table()
    silent = replace(free, latency_spread=math.nan)
    assert any("their means of accuracy and spikes are equal." in each for each in notes([silent]))
    differs = notes([LAYERED, replace(free, spikes_spread=0.25)])
    assert any("varies by 0.00 points, spikes by 0.25, the first" in each for each in differs)


def test_the_deviation_of_equal_seeds_is_0() -> None:
    assert pa.study.Spread((1 / 9,) * 5).deviation == 0


def test_the_table_says_when_a_limit_stopped_samples() -> None:
    stopped = replace(other(0.1, 0.01), reached_quiescence=0.25)
    said = "A limit stopped up to 75.0 % of the samples"
    assert said in text_table([LAYERED, stopped], 10)
    assert said not in text_table([LAYERED, other(0.1, 0.01)], 10)


def test_the_table_says_when_a_drop_counts_as_one() -> None:
    said = notes([LAYERED, other(0.1, 0.01)])
    assert any("beyond three standard errors" in each and "McNemar" in each for each in said)
    assert SURE == 3


def test_the_table_says_that_latencies_leave_out_samples_without_an_output() -> None:
    said = text_table([LAYERED, replace(other(0.1, 0.01), decided=0.75)], 10)
    assert "output neuron; means over the samples that have one." in said


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_figure_is_written_in_the_format_asked_for(
    report: AuditReport, suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    report.figure(tmp_path / f"audit.{suffix}")
    content = (tmp_path / f"audit.{suffix}").read_bytes()
    assert content[:100].find({"png": b"PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]) >= 0
    assert len(content) > 10_000


def test_the_figure_shows_every_spike_of_its_timesteps_and_every_curve(report: AuditReport) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    compose(figure, report)
    rasters, curves = figure.subfigs
    for axes, events in zip(
        rasters.axes, (report.example.layered, report.example.asynchronous), strict=True
    ):
        points = np.concatenate([each.get_offsets() for each in axes.collections])
        shown = points[np.argsort(points[:, 0])]
        np.testing.assert_array_equal(shown[:, 0], np.arange(1, len(shown) + 1))
        np.testing.assert_array_equal(shown[:, 1], events["neuron"][: len(shown)])
        last = events["timestep"][len(shown) - 1]
        assert len(shown) == (events["timestep"] <= last).sum()
        assert f"{len(events)} spikes" in axes.get_title(loc="left")
    (axes,) = curves.axes
    labels = [f"{row.run}: {100 * row.accuracy:.1f} %" for row in report.rows]
    assert [line.get_label() for line in axes.lines] == labels
    for line, accuracy in zip(axes.lines, report.anytime_accuracy, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), report.anytime_spikes)
        np.testing.assert_array_equal(line.get_ydata(), 100 * accuracy)


def test_the_figure_says_how_its_sample_was_picked(report: AuditReport) -> None:
    Figure = pytest.importorskip("matplotlib.figure").Figure
    never = replace(report, rows=(replace(report.rows[0], accuracy=0.0), *report.rows[1:]))
    for each, picked in ((report, True), (never, False)):
        figure = Figure()
        compose(figure, each)
        title = figure.subfigs[0].get_suptitle()
        assert title.endswith(": the first that is right layered)") == picked


def test_a_figure_of_a_silent_or_a_single_population_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    silent = audit(network(gain=1e-3), *samples(), ["fifo"], [1])
    silent.figure(tmp_path / "silent.png")
    one = pa.Network.sequential([pa.Linear(np.full((N_CLASSES, 30), 0.3))], pa.LIF())
    audit(one, *samples(), [pa.Custom(2, lambda pending, n, rng: range(n))]).figure(
        tmp_path / "one.png"
    )
    assert {each.name for each in tmp_path.iterdir()} == {"silent.png", "one.png"}


def test_a_figure_or_json_that_cannot_be_written_is_named(
    report: AuditReport, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for path in (tmp_path / "no" / "where.png", tmp_path / "audit.docx"):
        with pytest.raises(pa.FileError, match=r"^path: got .*; accepted: a writable path"):
            report.figure(path)
    with pytest.raises(pa.FileError, match=r"^path: got .*; accepted: a writable path"):
        report.save_json(tmp_path / "no" / "where.json")


def test_without_matplotlib_the_error_says_how_to_get_it(
    report: AuditReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(pa.MissingDependencyError, match=r"pip install matplotlib"):
        report.figure(tmp_path / "audit.png")


def test_one_sample_is_worded_as_one() -> None:
    x, y = samples()
    network = pa.Network.sequential([pa.Linear(np.full((N_CLASSES, 30), 0.3))], pa.LIF())
    report = audit(network, x[0], y[:1], ["fifo"], [1])
    assert repr(report) == "AuditReport(1 sample, 2 runs: layered, fifo)"
    with pytest.raises(pa.InputError, match=r"^y: got .*; accepted: 1 integer from 0 to"):
        audit(network, x[0], y[:2])
    with pytest.raises(pa.InputError, match="accepted: 1 integer of 0 or more"):
        pa.simulate(network, x[0], sample_ids=[1, 2])
    with pytest.raises(pa.InputError, match=r"^y: got 2 classes; accepted: one for each of 1 samp"):
        pa.study.train_layered(x[0], y[:2])


def test_an_array_in_place_of_a_batch_is_told_how_to_become_one() -> None:
    says = r"^train_x: got array.*SpikeBatch\.from_dense makes one of an array"
    with pytest.raises(pa.InputError, match=f"(?s){says}"):
        pa.study.Samples("mine", np.ones((1, 1, 3)), [0], np.ones((1, 1, 3)), [0])  # type: ignore[arg-type]


def test_usual_slips_of_callers_are_named() -> None:
    network = pa.Network.sequential([pa.Linear(np.full((N_CLASSES, 30), 0.3))], pa.LIF())
    with pytest.raises(pa.InputError, match=r"^network: got object; accepted: a pyasync\.Network"):
        audit(object(), *samples())  # type: ignore[arg-type]
    with pytest.raises(pa.InputError, match=r"^samples: got SpikeBatch; accepted: .*Samples"):
        pa.study.study(samples()[0])  # type: ignore[arg-type]
    with pytest.raises(pa.NetworkError, match=r"^neuron: got object; accepted: pa\.LIF"):
        pa.Network.sequential([pa.Linear(np.eye(2))], object())  # type: ignore[arg-type]
    two = iter([2])
    one, *others = (
        audit(network, *samples(), ["fifo", "lifo"], sizes).rows  # type: ignore[arg-type]
        for sizes in (2, [2], np.int64(2), np.array([2]), two)
    )
    assert others == [one] * 4
    assert [row.run for row in one] == ["layered", "fifo, F = 2", "lifo, F = 2"]


def test_numbers_of_numpys_are_written_too(tmp_path: Path) -> None:
    x, y = samples()
    timed = pa.SpikeBatch(x.channel, x.offsets, x.n_timesteps, x.input_shape)
    schedules = [pa.Fifo(np.int64(2)), "lifo"]
    report = audit(
        network(), timed, y, schedules, np.array([1, 2]), dt=np.float32(0.5), seed=np.int64(3)
    )
    report.save_json(tmp_path / "audit.json")
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (content["seed"], content["dt"], content["rows"][1]["forward_group_size"]) == (3, 0.5, 2)


def test_a_replay_is_refused_before_any_run() -> None:
    x, y = samples()
    trace = pa.simulate(network(), x, pa.Fifo(1), record=True).trace
    assert trace is not None
    with pytest.raises(pa.ScheduleError, match=r"^schedules: got a Replay, which is of one run"):
        audit(network(), x, y, [pa.Replay(trace)])


def test_data_of_another_network_are_refused_before_their_labels() -> None:
    x = pa.SpikeBatch.from_dense(np.ones((2, 3, 7)), dt=10e-3)
    with pytest.raises(pa.InputError, match=r"^x: got a SpikeBatch of input shape \(7,\)"):
        audit(network(), x, [N_CLASSES] * 3)


def test_rows_of_custom_schedules_differ_by_the_names_of_their_functions() -> None:
    def oldest(pending: Any, n: int, rng: Any) -> Any:
        return range(n)

    def newest(pending: Any, n: int, rng: Any) -> Any:
        return np.arange(len(pending))[-n:]

    schedules = [
        pa.Custom(1, oldest),
        pa.Custom(1, newest, seed=3),
        pa.Custom(2, lambda pending, n, rng: range(n)),
    ]
    report = audit(network(), *samples(), schedules)
    runs = ["custom oldest, F = 1", "custom newest, seed = 3, F = 1", "custom, F = 2"]
    assert [row.run for row in report.rows[1:]] == runs
    assert report.example.schedule == runs[0]
    said = report.to_table().splitlines()
    assert [sum(line.startswith(f"{run[:-7]}  ") for line in said) for run in runs] == [1, 1, 1]
    assert repr(report).endswith("custom oldest, custom newest, seed = 3, custom)")
    names = [row["schedule"] for row in json.loads(report.to_json())["rows"]]
    assert names == ["layered", "custom", "custom, seed = 3", "custom"]
    assert report.to_structured()["pick"].tolist() == ["", "oldest", "newest", ""]


def test_rows_of_one_schedule_with_other_noise_or_seed_differ_by_their_names() -> None:
    schedules = [pa.Momentum(2), pa.Momentum(2, noise=0.5), pa.Random(2, seed=1), pa.Random(2, 2)]
    report = audit(network(), *samples(), schedules)
    assert [row.run for row in report.rows[1:]] == [
        "momentum, F = 2",
        "momentum, noise = 0.5, F = 2",
        "random, seed = 1, F = 2",
        "random, seed = 2, F = 2",
    ]
