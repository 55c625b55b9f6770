"""Validation rejects a real trace after any single mutation that breaks what it proves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from compare import build, run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle_network import Network, bias_vector, weight_matrix
from strategies import Case, cases
from strategies_network import networks

import pyasync as pa

ASYNCHRONOUS = ("Random", "Momentum", "Fifo", "Lifo", "Priority", "Custom")


@dataclass
class Draft:
    """A `TraceSteps` that can be changed."""

    steps: np.ndarray
    emitted: np.ndarray
    fired: np.ndarray
    joined: np.ndarray
    endings: np.ndarray

    @classmethod
    def of(cls, trace: pa.Trace) -> Draft:
        return cls(*(np.array(column) for column in trace.to_steps()))


Mutation = Callable[[Draft, np.random.Generator], bool]


def pick(rng: np.random.Generator, where: np.ndarray) -> int:
    found = np.flatnonzero(where)
    return int(rng.choice(found)) if found.size else -1


def emitted_at(steps: Draft, row: int) -> int:
    return int(steps.steps["n_emitted"][:row].sum())


def fired_at(steps: Draft, row: int) -> int:
    return int(steps.steps["n_fired"][:row].sum())


def drop_an_emitted_spike(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_emitted"] > 0)
    if row < 0:
        return False
    steps.emitted = np.delete(steps.emitted, emitted_at(steps, row))
    steps.steps["n_emitted"][row] -= 1
    return True


def emit_a_spike_twice(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_emitted"] > 0)
    if row < 0:
        return False
    at = emitted_at(steps, row)
    steps.emitted = np.insert(steps.emitted, at, steps.emitted[at])
    steps.steps["n_emitted"][row] += 1
    return True


def emit_another_number(steps: Draft, rng: np.random.Generator) -> bool:
    if not len(steps.emitted):
        return False
    steps.emitted[rng.integers(len(steps.emitted))] = 1_000_000
    return True


def emit_before_it_fired(steps: Draft, rng: np.random.Generator) -> bool:
    """Swap the first spikes of two steps, where the later spike fired after the earlier step."""
    rows = np.flatnonzero(steps.steps["n_emitted"] > 0)
    for a, b in pairwise(rows):
        same_sample = steps.steps["sample"][a] == steps.steps["sample"][b]
        first, second = emitted_at(steps, a), emitted_at(steps, b)
        fired_before = steps.steps["n_fired"][:a][
            steps.steps["sample"][:a] == steps.steps["sample"][a]
        ].sum()
        if same_sample and not len(steps.joined) and steps.emitted[second] >= fired_before:
            steps.emitted[[first, second]] = steps.emitted[[second, first]]
            return True
    return False


def move_a_group_boundary(steps: Draft, rng: np.random.Generator) -> bool:
    rows = np.flatnonzero(steps.steps["n_emitted"] > 0)
    pairs = [
        r
        for r in rows
        if r + 1 in rows and steps.steps["sample"][r] == steps.steps["sample"][r + 1]
    ]
    if not pairs:
        return False
    row = int(rng.choice(pairs))
    steps.steps["n_emitted"][row] -= 1
    steps.steps["n_emitted"][row + 1] += 1
    return True


def drop_a_fired_neuron(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_fired"] > 0)
    if row < 0:
        return False
    steps.fired = np.delete(steps.fired, fired_at(steps, row))
    steps.steps["n_fired"][row] -= 1
    return True


def fire_a_neuron_twice_in_one_step(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_fired"] > 0)
    if row < 0:
        return False
    at = fired_at(steps, row)
    steps.fired = np.insert(steps.fired, at, steps.fired[at])
    steps.steps["n_fired"][row] += 1
    return True


def swap_two_fired_neurons(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_fired"] > 1)
    if row < 0:
        return False
    at = fired_at(steps, row)
    steps.fired[[at, at + 1]] = steps.fired[[at + 1, at]]
    return True


def fire_an_unknown_neuron(steps: Draft, rng: np.random.Generator) -> bool:
    if not len(steps.fired):
        return False
    steps.fired["neuron"][rng.integers(len(steps.fired))] = 1_000_000
    return True


def swap_two_steps(steps: Draft, rng: np.random.Generator) -> bool:
    pairs = np.flatnonzero(
        (np.diff(steps.steps["sample"]) == 0) & (np.diff(steps.steps["timestep"]) == 0)
    )
    if not pairs.size:
        return False
    row = int(rng.choice(pairs))
    steps.steps[[row, row + 1]] = steps.steps[[row + 1, row]]
    return True


def drop_a_step(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.steps["n_emitted"] > 0)
    if row < 0:
        return False
    at, n = emitted_at(steps, row), int(steps.steps["n_emitted"][row])
    first, fired = fired_at(steps, row), int(steps.steps["n_fired"][row])
    steps.emitted = np.delete(steps.emitted, slice(at, at + n))
    steps.fired = np.delete(steps.fired, slice(first, first + fired))
    steps.steps = np.delete(steps.steps, row)
    return True


def call_a_quiescent_timestep_carried(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.endings["ending"] == 0)
    if row < 0:
        return False
    steps.endings["ending"][row] = 4
    return True


def call_a_stopped_timestep_quiescent(steps: Draft, rng: np.random.Generator) -> bool:
    row = pick(rng, steps.endings["ending"] > 0)
    if row < 0:
        return False
    steps.endings["ending"][row] = 0
    return True


def drop_a_joined_spike(steps: Draft, rng: np.random.Generator) -> bool:
    if not len(steps.joined):
        return False
    steps.joined = np.delete(steps.joined, rng.integers(len(steps.joined)))
    return True


def join_an_unknown_channel(steps: Draft, rng: np.random.Generator) -> bool:
    if not len(steps.joined):
        return False
    steps.joined["channel"][-1] = 1_000_000
    return True


def drop_an_ending(steps: Draft, rng: np.random.Generator) -> bool:
    steps.endings = steps.endings[:-1]
    return True


MUTATIONS: list[Mutation] = [
    drop_an_emitted_spike, emit_a_spike_twice, emit_another_number, emit_before_it_fired,
    move_a_group_boundary, drop_a_fired_neuron, fire_a_neuron_twice_in_one_step,
    swap_two_fired_neurons, fire_an_unknown_neuron, swap_two_steps, drop_a_step,
    call_a_quiescent_timestep_carried, call_a_stopped_timestep_quiescent, drop_a_joined_spike,
    join_an_unknown_channel, drop_an_ending,
]  # fmt: skip


def reached(net: Network, sources: set[int], inputs: bool) -> set[int]:
    """Neurons with a synapse from one of the spikes, or (inputs) from the input, or with a bias, or
    a current.
    """
    found = set(np.flatnonzero(net.has_current).tolist()) if inputs else set[int]()
    for p in net.projections:
        matrix, to = (
            weight_matrix(p, net.shape(p.source), net.shape(p.target), net.dtype),
            net.offset(p.target),
        )
        if p.source == "input":
            columns = list(range(matrix.shape[1])) if inputs else [-1 - s for s in sources if s < 0]
        else:
            at = net.offset(p.source)
            columns = [s - at for s in sources if at <= s < at + matrix.shape[1]]
        found |= set((to + np.flatnonzero(matrix[:, columns].any(1))).tolist())
        if inputs:
            found |= set(
                (to + np.flatnonzero(bias_vector(p, net.shape(p.target), net.dtype))).tolist()
            )
    return found


def fire_an_unreached_neuron(steps: Draft, rng: np.random.Generator, net: Network) -> bool:
    """In one step, replace a neuron that fired by one that the step's group does not reach."""
    neuron_of: list[int] = []
    for row, step in enumerate(steps.steps):
        if row and steps.steps["sample"][row - 1] != step["sample"]:
            neuron_of = []
        at, n = fired_at(steps, row), int(step["n_fired"])
        group = steps.emitted[
            emitted_at(steps, row) : emitted_at(steps, row) + int(step["n_emitted"])
        ]
        here = steps.fired["neuron"][at : at + n]
        others = (
            set(range(net.n_neurons))
            - reached(net, {neuron_of[a] for a in group}, step["step"] == 0)
            - set(here.tolist())
        )
        if n and others:
            steps.fired["neuron"][at : at + n] = sorted([*here.tolist()[1:], min(others)])
            return True
        neuron_of += here.tolist()
    return False


def rejects(trace: pa.Trace, mutated: Draft, network: pa.Network) -> None:
    with pytest.raises(pa.TraceError):
        pa.Trace.from_steps(pa.TraceSteps(**vars(mutated)), like=trace).validate(network)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
@settings(max_examples=max(8, settings.default.max_examples // 3))
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_mutated_trace_is_rejected(mutate: Mutation, data: st.DataObject, seed: int) -> None:
    stopped = mutate is call_a_stopped_timestep_quiescent
    case = data.draw(cases(stops=stopped, kinds=ASYNCHRONOUS, max_group=3))
    if "joined" in mutate.__name__ or "join_an" in mutate.__name__:
        case = replace(case, options=replace(case.options, input_mode="scheduled"))
    network = build(case.net)
    trace = run(case, network).trace
    mutated = Draft.of(trace)
    assume(mutate(mutated, np.random.default_rng(seed)))
    rejects(trace, mutated, network)


@given(cases(stops=False, kinds=ASYNCHRONOUS, max_group=2), st.integers(0, 2**32))
def test_a_spike_without_a_cause_is_rejected(case: Case, seed: int) -> None:
    network = build(case.net)
    trace = run(case, network).trace
    mutated = Draft.of(trace)
    assume(fire_an_unreached_neuron(mutated, np.random.default_rng(seed), case.net))
    rejects(trace, mutated, network)


def test_an_event_is_no_cause_of_a_spike_in_a_later_step() -> None:
    """Only the first spike has a synapse; the trace claims that the output fired one step later."""
    network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.array([[2.0, 0.0]]))])
    x = np.full((1, 1, 2), 2.0)
    trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
    trace.validate(network)
    columns = trace.to_steps()
    assert columns.steps["n_fired"].tolist() == [2, 1, 0, 0]
    columns.steps["n_fired"][1:3] = 0, 1
    with pytest.raises(pa.TraceError, match="step 2: got neuron 2 firing"):
        pa.Trace.from_steps(columns, like=trace).validate(network)


@given(cases(kinds=ASYNCHRONOUS), networks())
def test_a_trace_of_another_network_is_rejected(case: Case, other: Network) -> None:
    sizes = [(net.n_neurons, math.prod(net.input_shape)) for net in (case.net, other)]
    assume(sizes[0] != sizes[1])  # the shape of an input is no part of a run
    trace = run(case).trace
    with pytest.raises(pa.TraceError):
        trace.validate(build(other))


@given(cases(refractory="none", kinds=ASYNCHRONOUS))
def test_a_neuron_that_fired_while_refractory_is_rejected(case: Case) -> None:
    trace = run(case).trace
    events = [
        (int(r["sample"]), int(r["timestep"]))
        for r in trace.to_steps().steps
        for _ in range(r["n_fired"])
    ]
    fired = [(*at, int(n)) for at, n in zip(events, trace.to_steps().fired["neuron"], strict=True)]
    assume(len(set(fired)) < len(fired))
    populations = tuple(
        replace(p, neuron={**p.neuron, "refractory": "timestep"}) for p in case.net.populations
    )
    resting = replace(case, net=replace(case.net, populations=populations))
    like = run(resting).trace
    with pytest.raises(pa.TraceError):
        pa.Trace.from_steps(trace.to_steps(), like=like).validate(build(resting.net))


@given(cases(stops=False, kinds=ASYNCHRONOUS))
def test_replay_of_a_diverging_run_names_the_first_difference(case: Case) -> None:
    """If the trace has spikes where the network stays silent, the replay reports it."""
    network = build(case.net)
    original = run(case, network)
    assume(original.spikes.sum() > 0)
    silent = tuple(
        replace(p, neuron={**p.neuron, "v_threshold": 1e6}) for p in case.net.populations
    )
    with pytest.raises(pa.ReplayError, match=r"sample 0|sample \d+"):
        run(case, build(replace(case.net, populations=silent)), schedule=pa.Replay(original.trace))


def test_a_replay_takes_no_group_out_of_arrival_order() -> None:
    network = pa.Network.sequential([pa.Linear(np.eye(2) * 2), pa.Linear(np.eye(2) * 2)])
    x = np.ones((2, 1, 2))
    trace = pa.simulate(network, x, pa.Fifo(2), dt=0.01, record=True).trace
    steps = Draft.of(trace)
    assert steps.emitted[0] < steps.emitted[1]
    steps.emitted[:2] = steps.emitted[1::-1]
    swapped = pa.Trace.from_steps(pa.TraceSteps(**vars(steps)), like=trace)
    with pytest.raises(pa.TraceError, match="out of arrival order"):
        pa.simulate(network, x, pa.Replay(swapped), dt=0.01)
