"""What each schedule promises, checked on traces: no spike lost or doubled, the right choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from compare import ENDINGS, assert_same_results, build, initial, run
from hypothesis import given
from hypothesis import strategies as st
from oracle_schedules import Moment, Schedule, draws
from strategies import Case, Events, cases

import pyasync as pa


@dataclass
class Recorded:
    """One forward step according to the trace; spikes are (arrival, neuron, v)."""

    sample: int
    timestep: int
    step: int
    emitted: list[int]
    waiting: list[tuple[int, int, float]]  # pending before the selection


def ending_of(code: int) -> str:
    return ENDINGS[(int(code) + 2) // 3]


def recorded(trace: pa.Trace) -> Iterator[Recorded]:
    """Walk a trace while tracking pending spikes; fails if an emitted spike was not pending."""
    steps = trace.to_steps()
    endings = {
        (int(r["sample"]), int(r["timestep"])): ending_of(r["ending"]) for r in steps.endings
    }
    emitted, fired, at = iter(steps.emitted.tolist()), iter(steps.fired.tolist()), (-1, -1)
    pending: dict[int, tuple[int, int, float]] = {}
    arrival = 0
    for row in steps.steps:
        key = (int(row["sample"]), int(row["timestep"]))
        if key[0] != at[0]:
            pending, arrival = {}, 0
        elif key != at and endings[at] != "carried":
            assert endings[at] != "quiescent" or not pending, (
                "a quiescent timestep leaves nothing pending"
            )
            pending = {}
        at = key
        group = [next(emitted) for _ in range(row["n_emitted"])]
        yield Recorded(*key, int(row["step"]), group, list(pending.values()))
        for number in group:
            del pending[number]
        for _ in range(row["n_fired"]):
            neuron, v, *_ = next(fired)
            pending[arrival] = (arrival, neuron, v)
            arrival += 1
        if row["step"] == 0:
            joined = steps.joined[
                (steps.joined["sample"] == key[0]) & (steps.joined["timestep"] == key[1])
            ]
            for channel in joined["channel"].tolist():
                pending[arrival] = (arrival, -1 - channel, 0.0)
                arrival += 1
    assert next(emitted, None) is None
    assert next(fired, None) is None


def trace_of(case: Case) -> pa.Trace:
    trace = run(case).trace
    assert trace is not None
    return trace


@given(cases(kinds=("Random", "Momentum", "Fifo", "Lifo", "Priority", "Custom")))
def test_groups_are_full_and_ascending_and_never_emit_a_spike_twice(case: Case) -> None:
    for step in recorded(
        trace_of(case)
    ):  # popping each emitted spike proves that it was pending exactly once
        assert len(step.emitted) == (
            0 if step.step == 0 else min(case.schedule.F, len(step.waiting))
        )
        assert step.emitted == sorted(set(step.emitted))


@given(cases(stops=False))
def test_at_quiescence_every_spike_was_emitted_exactly_once(case: Case) -> None:
    result = run(case)
    assert result.trace is not None
    assert result.reached_quiescence.all()
    emitted: dict[int, list[int]] = {b: [] for b in range(len(result.trace))}
    for step in recorded(result.trace):
        emitted[step.sample] += step.emitted
    for b, numbers in emitted.items():
        assert sorted(numbers) == list(range(int(result.spikes[b])))


@given(cases(kinds=("Momentum", "Priority", "Fifo", "Lifo"), max_group=4))
def test_no_waiting_spike_outranks_an_emitted_one(case: Case) -> None:
    if case.schedule.noise:
        case = replace(case, schedule=replace(case.schedule, noise=0.0))
    case = replace(
        case, net=replace(case.net, dtype="float32")
    )  # so that the trace's v' is the exact one

    def rank(spike: tuple[int, int, float]) -> tuple[float, ...]:
        arrival, neuron, v = spike
        if case.schedule.kind in ("Fifo", "Lifo"):
            return (arrival if case.schedule.kind == "Fifo" else -arrival,)
        values = case.schedule.values
        return (
            neuron >= 0,
            0.0 if neuron < 0 else -v if values is None else -values[neuron],
            arrival,
        )

    for step in recorded(trace_of(case)):
        best = sorted(step.waiting, key=rank)[: len(step.emitted)]
        assert step.emitted == sorted(arrival for arrival, _, _ in best)


@given(cases(kinds=("Random",)))
def test_schedules_that_take_everything_compute_the_same_bits(case: Case) -> None:
    network, values = build(case.net), np.arange(case.net.n_neurons) % 3
    everything = [
        Schedule(k, F=1_000_000, values=values, noise=0.0)
        for k in ("Random", "Momentum", "Fifo", "Lifo", "Priority")
    ]
    first, *others = (run(replace(case, schedule=s), network) for s in everything)
    for other in others:
        assert_same_results(first, other)
        assert_same_steps(first.trace, other.trace)


def assert_same_steps(a: pa.Trace | None, b: pa.Trace | None) -> None:
    assert a is not None
    assert b is not None
    one, two = a.to_steps(), b.to_steps()
    for name in ("steps", "emitted", "fired", "joined", "endings"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name


@given(cases(stops=False, kinds=("Random", "Momentum")), st.integers(0, 2**64 - 1))
def test_a_schedules_own_seed_replaces_the_simulations(case: Case, other: int) -> None:
    network = build(case.net)
    own = replace(case.schedule, seed=case.seed)
    assert_same_results(
        run(replace(case, schedule=own, seed=other), network),
        run(replace(case, schedule=replace(own, seed=None)), network),
    )


@given(cases(stops=False, kinds=("Random",), max_group=2))
def test_samples_with_the_same_id_and_input_are_the_same(case: Case) -> None:
    network, B = build(case.net), len(case.spikes)
    if isinstance(case.x, Events):
        return
    twice = run(
        replace(case, x=np.concatenate([case.x, case.x], 1), sample_ids=[7] * (2 * B)),
        network,
        **initial(case, [*range(B), *range(B)]),
    )
    assert twice.v[:B].tobytes() == twice.v[B:].tobytes()
    assert twice.forward_steps[:B].tolist() == twice.forward_steps[B:].tolist()


def test_random_selection_is_uniform() -> None:
    """Each of 6 pending spikes is equally often in the first group of 2 (chi-squared, p = 1e-6)."""
    network = pa.Network.sequential([pa.Linear(np.ones((6, 1)))], neuron=pa.LIF(v_threshold=0.5))
    result = pa.simulate(network, np.ones((1, 6000, 1)), pa.Random(2), dt=0.01, record=True)
    assert result.trace is not None
    events = result.trace.to_events()
    chosen = np.bincount(events["neuron"][events["step"] == 1], minlength=6)
    assert chosen.sum() == 12000
    assert ((chosen - 2000) ** 2 / 2000).sum() < 36


@pytest.mark.parametrize("kind", ["Fifo", "Lifo", "Momentum"])
def test_group_size_larger_than_the_network_is_accepted(kind: str) -> None:
    network = pa.Network.sequential([pa.Linear(np.ones((3, 1)))], neuron=pa.LIF(v_threshold=0.5))
    result = pa.simulate(network, np.ones((1, 1, 1)), getattr(pa, kind)(10**9), dt=0.01)
    assert result.forward_steps.tolist() == [2]


def test_scheduled_input_outranks_any_priority() -> None:
    network = pa.Network(1)
    network.add("a", 1, pa.LIF(v_threshold=0.5))
    network.connect("input", "a", pa.Linear(np.ones((1, 1)), bias=[1.0]))
    for value in (1e300, np.inf):
        trace = pa.simulate(
            network,
            np.ones((1, 1, 1)),
            pa.Priority(1, [value]),
            dt=0.01,
            input_mode="scheduled",
            record=True,
        ).trace
        assert trace.to_events()["neuron"].tolist() == [-1, 0]


@pytest.mark.parametrize("seed", [5, 2**63 + 5, 2**64 - 1])
def test_the_generator_of_a_custom_schedule_has_the_whole_seed(seed: int) -> None:
    numbers = []

    def pick(pending: np.ndarray, n: int, rng: np.random.Generator) -> list[int]:
        numbers.append(rng.bit_generator.random_raw())
        return list(range(n))

    network = pa.Network.sequential([pa.Linear(np.ones((3, 1)))], neuron=pa.LIF(v_threshold=0.5))
    pa.simulate(network, np.ones((1, 1, 1)), pa.Custom(2, pick), dt=0.01, seed=seed, sample_ids=[3])
    assert numbers[0] == draws(Moment(seed, 3, 0, 1), 0, 1)[0]
