"""`pyasync simulate` gives the same results as the function, whole or in batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli import main


def simulate(files: Any, *options: object) -> dict[str, Any]:
    command = ["simulate", files.network, "--data", files.data, "--json", "out.json", *options]
    assert main([str(part) for part in command]) == 0
    return json.loads(Path("out.json").read_text())


def column(report: dict[str, Any], name: str) -> list[Any]:
    values: list[Any] = report["samples"][name]
    return values


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        ([], pa.Random(8)),
        (["--schedule", "random", "-F", "3"], pa.Random(3)),
        (["--schedule", "layered"], pa.Layered()),
        (["--schedule", "momentum", "-F", "2", "--noise", "0.1"], pa.Momentum(2, noise=0.1)),
        (["--schedule", "fifo", "--forward-group-size", "1"], pa.Fifo(1)),
        (["--schedule", "lifo"], pa.Lifo(8)),
    ],
)
def test_each_schedule_gives_the_measures_of_the_function(files, options, schedule) -> None:
    report = simulate(files, *options, "--seed", 7)
    network = pa.Network.load(files.network)
    expected = pa.simulate(network, files.x, schedule, seed=7)
    assert column(report, "spikes") == expected.spikes.tolist()
    assert column(report, "forward_steps") == expected.forward_steps.tolist()
    assert report["accuracy"] == expected.accuracy(files.labels)
    assert report["means"]["latency"] == pytest.approx(np.nanmean(expected.latency))


def test_batches_and_threads_change_nothing(files) -> None:
    whole = simulate(files, "--threads", 1)
    split = simulate(files, "--threads", 2, "--batch-size", 7)
    assert whole["samples"] == split["samples"]
    assert len(column(split, "spikes")) == split["n_finished"] == 20


def test_stops_reach_the_engine(files) -> None:
    report = simulate(files, "--stop-on-output", "sample", "--extra-steps", 1, "-F", 1)
    network = pa.Network.load(files.network)
    expected = pa.simulate(network, files.x, pa.Random(1), stop_on_output="sample", extra_steps=1)
    assert column(report, "spikes") == expected.spikes.tolist()
    assert not all(column(report, "reached_quiescence"))


def test_only_the_samples_asked_for_are_run(files) -> None:
    some, all_of_them = simulate(files, "--samples", 3), simulate(files)
    assert column(some, "spikes") == column(all_of_them, "spikes")[:3]


def test_a_trace_recorded_in_batches_replays_the_run(files) -> None:
    recorded = simulate(files, "--trace", "run.trace", "--batch-size", 7, "--seed", 3)
    trace = pa.Trace.load("run.trace")
    network = pa.Network.load(files.network)
    assert trace == pa.simulate(network, files.x, pa.Random(8), seed=3, record=True).trace
    replayed = simulate(files, "--replay", "run.trace", "--batch-size", 9)
    assert replayed["samples"] == recorded["samples"]


@pytest.mark.parametrize("option", [["--threads", "0"], ["--max-spikes", "-3"], ["--seed", "-1"]])
def test_a_refused_run_leaves_the_results_of_an_earlier_one(files, option) -> None:
    simulate(files, "--trace", "run.trace")
    before = [Path(name).read_bytes() for name in ("out.json", "run.trace")]
    command = ["simulate", str(files.network), "--data", str(files.data), *option]
    assert main([*command, "--json", "out.json", "--trace", "run.trace"]) == 1
    assert before == [Path(name).read_bytes() for name in ("out.json", "run.trace")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("batches", [0, 2])
def test_what_was_finished_before_a_failure_is_kept(files, monkeypatch, error, batches) -> None:
    simulate(files)
    run, left = pa.simulate, [batches]

    def fails(*arguments: Any, **settings: Any) -> Any:
        if not left[0]:
            raise error
        left[0] -= 1
        return run(*arguments, **settings)

    monkeypatch.setattr(pa, "simulate", fails)
    command = ["simulate", str(files.network), "--data", str(files.data), "--batch-size", "7"]
    command += ["--json", "out.json"]
    if error is KeyboardInterrupt:
        assert main(command) == 130
    else:
        with pytest.raises(error):
            main(command)
    kept = json.loads(Path("out.json").read_text())["n_finished"]
    # An interrupted run writes that nothing was finished; a refused one leaves the earlier file.
    assert kept == (7 * batches if batches or error is KeyboardInterrupt else 20)


def test_json_is_strict_where_a_measure_has_no_value(files) -> None:
    silent = pa.Network.sequential([pa.Linear(np.zeros((5, 40), np.float32))])
    silent.save("silent.safetensors")
    files.network = Path("silent.safetensors")
    report = simulate(files)
    assert column(report, "latency") == [None] * 20
    assert report["means"]["latency"] is None


def test_data_of_timed_events_is_binned_as_told(files) -> None:
    rng = np.random.default_rng(1)
    unit, ms = rng.integers(0, 40, 300), np.sort(rng.integers(0, 60, (3, 100)), axis=1).ravel()
    np.savez("timed.npz", unit=unit, ms=ms, offsets=[0, 100, 200, 300])
    files.data = Path("timed.npz")
    options = ["--channel", "unit", "--time", "ms", "--time-unit", "1e-3", "--dt", "0.01"]
    report = simulate(files, *options)
    x, labels = pa.data.npz(
        "timed.npz", channel="unit", time="ms", time_unit=1e-3, dt=0.01, input_shape=40
    )
    expected = pa.simulate(pa.Network.load(files.network), x, pa.Random(8))
    assert labels is None
    assert "accuracy" not in report
    assert column(report, "spikes") == expected.spikes.tolist()
