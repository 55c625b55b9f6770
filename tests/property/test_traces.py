"""Traces: replay gives the run's bits, real traces are valid, and all forms are equivalent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from compare import KEEP, MEASURES, assert_same_results, batch_of, build, initial, run, same
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases

import pyasync as pa

ASYNCHRONOUS = ("Random", "Momentum", "Fifo", "Lifo", "Priority", "Custom")


@given(cases())
def test_replay_gives_the_same_bits(case: Case) -> None:
    network = build(case.net)
    original = run(case, network)
    again = run(case, network, schedule=pa.Replay(original.trace), seed=case.seed ^ 1, threads=2)
    assert_same_results(original, again)
    assert again.trace == original.trace


@given(cases(kinds=("Fifo",)), st.integers(2, 5))
def test_replay_of_a_free_run_gives_the_same_bits(case: Case, shards: int) -> None:
    network = build(case.net)
    # One worker takes the shards in turn, so that hypothesis can reproduce the run.
    original = run(case, network, schedule=pa.FreeRunning(1, case.schedule.F, shards, "shards"))
    original.trace.validate(network)
    again = run(case, network, schedule=pa.Replay(original.trace))
    assert_same_results(original, again)
    assert again.trace == original.trace


@given(cases(max_samples=6), st.data())
def test_replay_of_a_saved_sliced_and_permuted_trace(case: Case, data: st.DataObject) -> None:
    network, x = build(case.net), batch_of(case)
    original = run(case, network, x=x)
    order = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), min_size=1, max_size=6)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.trace"
        original.trace.save(path)
        trace = pa.Trace.load(path)
    assert trace == original.trace
    picked = trace[order]
    picked.validate(network)
    assert pa.Trace.concatenate([trace[[at]] for at in order]) == picked
    replayed = {"schedule": pa.Replay(picked), **initial(case, order)}
    again = run(case, network, x=x[order], sample_ids=None, **replayed)
    for name in (*MEASURES, "stopped_by"):
        same(
            getattr(again, name),
            np.take(
                getattr(original, name), order, axis=1 if name in ("counts", "output_v") else 0
            ),
            name,
        )
    assert trace[1:] == original.trace[1:]
    assert len(trace[1:]) == len(x) - 1


@given(cases())
def test_every_real_trace_is_valid_and_survives_its_forms(case: Case) -> None:
    network = build(case.net)
    trace = run(case, network).trace
    assert trace.validate(network) is None
    assert pa.Trace.from_bytes(trace.to_bytes()) == trace
    rebuilt = pa.Trace.from_steps(trace.to_steps(), like=trace)
    assert rebuilt == trace
    assert rebuilt.to_bytes() == trace.to_bytes()


@given(cases(max_group=3, kinds=ASYNCHRONOUS))
def test_events_and_deliveries_list_the_emitted_spikes(case: Case) -> None:
    trace = run(case).trace
    steps, events, deliveries = trace.to_steps(), trace.to_events(), trace.to_deliveries()
    rows = [
        (int(row["sample"]), int(row["timestep"]), int(row["step"]))
        for row in steps.steps
        for _ in range(row["n_emitted"])
    ]
    assert len(events) == trace.n_emitted == len(rows)
    assert [tuple(row) for row in events[["sample", "timestep", "step"]].tolist()] == rows
    expected = []
    for row in steps.steps[steps.steps["step"] == 0]:
        here = (events["sample"] == row["sample"]) & (events["timestep"] == row["timestep"])
        at = (int(row["sample"]), int(row["timestep"]))
        expected += [(*at, 0, neuron) for neuron in [-1, *events["neuron"][here].tolist()]]
    columns = deliveries[["sample", "timestep", "shard", "neuron"]]
    assert columns.tolist() == expected
    for table in (events, deliveries):
        for sample in range(len(trace)):
            order = table["order"][table["sample"] == sample]
            assert order.tolist() == list(range(len(order)))


@pytest.mark.parametrize("dt", [0.027051692705010646, 0.0017511107893000567, 1 / 3])
def test_a_loaded_trace_has_the_very_dt_that_was_saved(dt: float) -> None:
    """If dt came back from decimal text one unit off, a replay would refuse its own run's dt."""
    network = pa.Network.sequential([pa.Linear(np.ones((2, 1)))], neuron=pa.LIF(v_threshold=0.5))
    trace = pa.simulate(network, np.ones((1, 1, 1)), pa.Fifo(1), dt=dt, record=True).trace
    loaded = pa.Trace.from_bytes(trace.to_bytes())
    assert loaded.dt == dt
    assert loaded == trace
    pa.simulate(network, np.ones((1, 1, 1)), pa.Replay(loaded), dt=dt)


def test_a_replay_ignores_seed_threads_and_stops() -> None:
    """The trace alone says what happens: other options of the run change nothing."""
    network = pa.Network.sequential([pa.Linear(np.ones((9, 1)))], neuron=pa.LIF(v_threshold=0.5))
    x = np.ones((2, 3, 1))
    options = {"dt": 0.01, "record": True, "keep": KEEP}
    stopped = pa.simulate(network, x, pa.Random(2), max_forward_steps=3, **options)
    replayed = pa.simulate(network, x, pa.Replay(stopped.trace), seed=9, threads=3, **options)
    assert_same_results(stopped, replayed)
    assert replayed.trace == stopped.trace


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("schedule", [pa.Fifo(2), pa.Layered(), pa.FreeRunning(2)], ids=str)
def test_a_replay_refuses_a_stop_where_nothing_was_left_to_stop(
    schedule: pa.Schedule, code: int
) -> None:
    network = pa.Network.sequential([pa.Linear(np.eye(3)), pa.Linear(np.eye(3))])
    x = np.full((2, 1, 3), 2.0)
    trace = pa.simulate(network, x, schedule, dt=1e-3, record=True).trace
    assert trace is not None
    steps = trace.to_steps()
    endings = steps.endings.copy()
    endings["ending"][0] = code
    altered = pa.Trace.from_steps(steps._replace(endings=endings), trace)
    with pytest.raises(pa.ReplayError, match="in the trace the timestep was stopped, here it has"):
        pa.simulate(network, x, pa.Replay(altered), dt=1e-3)
    with pytest.raises(pa.TraceError, match=r"a timestep that ends by a stop that (disc|carr)"):
        altered.validate(network)
