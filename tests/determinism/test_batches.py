"""A sample's bits depend only on the sample: not on threads, splits, order or form of input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import (
    MEASURES,
    assert_same_results,
    batch_of,
    build,
    build_input,
    build_schedule,
    initial,
    run,
    same,
)
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases

import pyasync as pa

BATCH_AXIS = {"counts": 1, "output_v": 1}


def rows(result: pa.Result, name: str, samples: Any) -> np.ndarray:
    return np.take(getattr(result, name), samples, axis=BATCH_AXIS.get(name, 0))


def ids_of(case: Case) -> np.ndarray:
    return np.array(case.sample_ids or range(len(case.spikes)), np.uint64)


@given(cases(max_samples=9))
def test_any_number_of_threads(case: Case) -> None:
    network = build(case.net)
    one = run(case, network, threads=1)
    for threads in (2, 3, 8, None):
        other = run(case, network, threads=threads)
        assert_same_results(one, other)
        assert one.trace == other.trace
        assert one.trace.to_bytes() == other.trace.to_bytes()


@given(cases(max_samples=9), st.data())
def test_any_order_of_the_batch(case: Case, data: st.DataObject) -> None:
    network, x, ids = build(case.net), batch_of(case), ids_of(case)
    order = np.array(data.draw(st.permutations(range(len(x)))))
    whole = run(case, network, x=x, sample_ids=ids)
    shuffled = run(
        case,
        network,
        x=x[order],
        sample_ids=ids[order],
        threads=2,
        **initial(case, order),
    )
    for name in (*MEASURES, "stopped_by"):
        same(getattr(shuffled, name), rows(whole, name, order), name)
    assert shuffled.trace.to_bytes() == whole.trace[order].to_bytes()


@given(cases(max_samples=9), st.data())
def test_any_split_of_the_batch(case: Case, data: st.DataObject) -> None:
    network, x, ids = build(case.net), batch_of(case), ids_of(case)
    cut = data.draw(st.integers(1, len(x)))
    whole = run(case, network, x=x, sample_ids=ids)
    for part in (slice(None, cut), slice(cut, None)):
        if len(x[part]):
            start = initial(case, part)
            alone = run(case, network, x=x[part], sample_ids=ids[part], threads=3, **start)
            for name in (*MEASURES, "stopped_by"):
                same(getattr(alone, name), rows(whole, name, range(len(x))[part]), name)
            assert alone.trace == whole.trace[part]


@given(cases(max_samples=9), st.integers(1, 4))
def test_a_stream_of_batches_is_one_long_batch(case: Case, size: int) -> None:
    network, x = build(case.net), batch_of(case)
    whole = run(case, network, x=x, sample_ids=None, initial_v=None, initial_current=None)
    arguments = {
        **vars(case.options),
        "dt": case.dt,
        "seed": case.seed,
        "record": True,
        "keep": ("counts", "spike_counts", "v", "current"),
    }
    batches = (x[at : at + size] for at in range(0, len(x), size))
    results = list(pa.simulate_stream(network, batches, build_schedule(case.schedule), **arguments))
    assert len(results) == math.ceil(len(x) / size)
    for k, part in enumerate(results):
        for name in ("v", "current"):
            same(getattr(part, name), getattr(whole, name)[k * size : (k + 1) * size], name)
        same(part.counts, whole.counts[:, k * size : (k + 1) * size], "counts")
        assert part.trace == whole.trace[k * size : (k + 1) * size]


@given(cases())
def test_every_form_of_the_input(case: Case) -> None:
    network, batch = build(case.net), batch_of(case)
    expected = run(case, network, x=batch)
    dense = batch.to_dense(np.float64)
    T, B = dense.shape[:2]
    forms: list[Any] = [build_input(case), dense, dense.reshape(T, B, -1), np.asfortranarray(dense)]
    for x in forms:
        other = run(case, network, x=x)
        assert_same_results(expected, other)
        assert expected.trace == other.trace
    assert_same_results(expected, run(case, network, x=dense.swapaxes(0, 1), batch_first=True))


@given(cases(kinds=("Random", "Momentum")))
def test_sample_ids_and_seed_alone_make_the_random_numbers(case: Case) -> None:
    network, x = build(case.net), batch_of(case)
    ids = ids_of(case)
    whole = run(case, network, x=x, sample_ids=ids)
    for b in range(len(x)):
        alone = run(case, network, x=x[b], sample_ids=[int(ids[b])], **initial(case, [b]))
        same(alone.v[0], whole.v[b], "v")


def test_the_default_sample_ids_are_positions() -> None:
    network = pa.Network.sequential([pa.Linear(np.ones((40, 1)))], neuron=pa.LIF(v_threshold=0.5))
    x = np.ones((1, 5, 1))
    given_ids = pa.simulate(
        network, x, pa.Random(3), dt=0.01, sample_ids=[0, 1, 2, 3, 4], record=True
    )
    default = pa.simulate(network, x, pa.Random(3), dt=0.01, record=True)
    assert given_ids.trace == default.trace
    orders = {default.trace[b].to_steps().emitted.tobytes() for b in range(5)}
    assert len(orders) == 5, "every sample draws its own numbers"


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_the_whole_range_of_seeds_counts(seed: int) -> None:
    network = pa.Network.sequential([pa.Linear(np.ones((40, 1)))], neuron=pa.LIF(v_threshold=0.5))
    first, again, other = (
        pa.simulate(network, np.ones((1, 1, 1)), pa.Random(3), dt=0.01, seed=s, record=True).trace
        for s in (seed, seed, seed ^ 1)
    )
    assert first == again
    assert first.to_steps().emitted.tobytes() != other.to_steps().emitted.tobytes()


def test_what_rounds_to_zero_is_no_spike_in_any_form() -> None:
    network = pa.Network.sequential([pa.Linear(np.ones((2, 3)))], dtype="float32")
    x = np.array([[[1e-60, 1.0, -1e-60]]])
    for form in (x, pa.SpikeBatch.from_dense(x, dt=0.01)):
        result = pa.simulate(network, form, pa.Fifo(1), dt=0.01)
        assert result.synaptic_operations.tolist() == [2]


@pytest.mark.parametrize("ids", [[0, 2**63], [2**64 - 1, 1]])
def test_the_whole_range_of_sample_ids_counts(ids: list[int]) -> None:
    network = pa.Network.sequential([pa.Linear(np.ones((40, 1)))], neuron=pa.LIF(v_threshold=0.5))
    x = np.ones((1, 2, 1))
    listed, array = (
        pa.simulate(network, x, pa.Random(3), dt=0.01, sample_ids=given_ids, record=True).trace
        for given_ids in (ids, np.array(ids, np.uint64))
    )
    assert listed == array


@given(cases(kinds=("Layered", "Fifo"), max_samples=2))
def test_running_twice_changes_nothing(case: Case) -> None:
    network = build(case.net)
    first = run(case, network)
    run(replace(case, seed=case.seed ^ 1), network)
    assert_same_results(first, run(case, network))
