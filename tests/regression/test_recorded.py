"""Traces of earlier builds still load, validate and replay, and are recorded to the same bytes."""

from __future__ import annotations

import pytest
from regression.record_traces import FOLDER, Recording, record, recordings

import pyasync as pa


@pytest.fixture(params=recordings(), ids=lambda r: r.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    return request.param


def test_a_recorded_trace_loads_and_replays(recording: Recording) -> None:
    _, network, x, _, options = recording
    trace = pa.Trace.load(FOLDER / f"{recording.name}.trace")
    trace.validate(network)
    replayed = pa.simulate(
        network,
        x,
        pa.Replay(trace),
        dt=0.005,
        record=True,
        input_mode=options.get("input_mode", "at_once"),
    )
    assert replayed.trace == trace


def test_the_same_run_records_the_same_bytes_as_ever(recording: Recording) -> None:
    assert record(recording).to_bytes() == (FOLDER / f"{recording.name}.trace").read_bytes()


def test_every_recorded_trace_has_its_recording() -> None:
    assert {f"{r.name}.trace" for r in recordings()} == {
        path.name for path in FOLDER.glob("*.trace")
    }
