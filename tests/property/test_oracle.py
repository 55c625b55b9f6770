"""The oracle itself: tiny networks worked by hand, and its weight matrices against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Options, canonical, simulate
from oracle_measures import Measures
from oracle_network import (
    Network,
    Population,
    Projection,
    bias_vector,
    layered_order,
    weight_matrix,
)
from oracle_schedules import Moment, Schedule, draws
from strategies_network import networks

A = Population("a", (2,), {"v_threshold": 0.4})
B = Population("b", (1,), {"v_threshold": 0.5})
RACE = Network(
    (2,),
    (A, B),
    (
        Projection("input", "a", "Linear", {"weight": np.array([[0.5, 0.25], [1.0, 0.0]])}),
        Projection("a", "b", "Linear", {"weight": np.array([[1.0, -2.0]])}),
    ),
    "float64",
)


def run(
    net: Network,
    x: Any,
    schedule: Schedule,
    beta: float = 0.5,
    current: list[float] | None = None,
    **options: Any,
) -> Measures:
    """Half of every current is left after a timestep."""
    x = np.asarray(x)
    beta_of = np.full(net.n_neurons, beta, net.dtype)
    start = None if current is None else np.array([current])
    given = {"initial_current": start, "alpha": (0.5 * net.has_current).astype(net.dtype)}
    samples = simulate(net, beta_of, canonical(x), schedule, Options(**options), **given)
    return Measures(net, samples, len(x))


def order(m: Measures) -> list[list[tuple[list[int], list[int]]]]:
    """For each sample: (neurons emitted, neurons fired) in every forward step."""
    return [
        [([s.neuron for s in k.emitted], [s.neuron for s in k.fired]) for k in sample.steps]
        for sample in m.samples
    ]


def test_first_come_excites_before_it_is_inhibited() -> None:
    m = run(RACE, [[[1, 1]]], Schedule("Fifo", 1))
    assert order(m) == [[([], [0, 1]), ([0], [2]), ([1], []), ([2], [])]]
    assert (m.spikes[0], m.latency[0], m.forward_steps[0], m.synaptic_operations[0]) == (3, 2, 4, 5)
    assert (m.neuron_updates[0], m.max_pending[0], m.mean_pending[0]) == (4, 2, 5 / 4)
    assert m.events_before_firing[0] == (2 + 1 + 1) / 3
    assert m.v.tolist() == [[0.0, 0.0, 0.0]], "a refractory neuron ignores the event"


def test_the_highest_potential_inhibits_first() -> None:
    m = run(RACE, [[[1, 1]]], Schedule("Momentum", 1))
    assert order(m) == [[([], [0, 1]), ([1], []), ([0], [])]]
    assert m.v[0].tolist() == [0.0, 0.0, -1.0]


def test_a_group_is_summed_before_anything_fires() -> None:
    m = run(RACE, [[[1, 1]]], Schedule("Lifo", 2))
    assert order(m) == [[([], [0, 1]), ([0, 1], [])]]
    assert m.v[0, 2] == -1.0


def test_layered_visits_each_population_once() -> None:
    m = run(RACE, [[[1, 1]]], Schedule("Layered"))
    assert order(m) == [[([], [0, 1]), ([0, 1], []), ([], [])]]
    assert m.neuron_updates[0] == 3


def test_potential_decays_between_timesteps_and_never_within_one() -> None:
    m = run(RACE, [[[0, 1]], [[0, 1]]], Schedule("Fifo", 1))
    assert m.v[0, 0] == 0.25 * 0.5 + 0.25
    m = run(RACE, [[[0, 1]], [[0, 1]], [[0, 1]]], Schedule("Fifo", 1))
    assert m.counts.shape == (3, 1, 1)
    assert m.spikes[0] == 2, "0.4375 > 0.4 fires, and b then passes 0.5"


def test_scheduled_input_joins_behind_the_bias_spikes_in_channel_order() -> None:
    biased = Network(
        (2,),
        (A,),
        (
            Projection(
                "input", "a", "Linear", {"weight": np.eye(2) * 0.5, "bias": np.array([0.0, 0.5])}
            ),
        ),
        "float64",
    )
    m = run(biased, [[[3, 1]]], Schedule("Fifo", 1), input_mode="scheduled")
    assert order(m) == [[([], [1]), ([1], []), ([-1], [0]), ([-2], []), ([0], [])]]
    assert m.samples[0].joined == [(0, 0), (0, 1)]
    m = run(biased, [[[3, 1]]], Schedule("Momentum", 1), input_mode="scheduled")
    assert [e for e, _ in order(m)[0]] == [[], [-1], [-2], [0], [1]], "0 fired at 1.5, 1 at 0.5"


@pytest.mark.parametrize(
    ("options", "spikes", "stops", "endings"),
    [
        ({}, 6, [], ["quiescent", "quiescent"]),
        ({"max_spikes": 2}, 2, ["max_spikes"], ["stopped"]),
        ({"max_spikes": 5}, 5, ["max_spikes"], ["quiescent", "stopped"]),
        ({"max_spikes": 6, "max_forward_steps": 9}, 6, ["max_spikes"], ["quiescent", "stopped"]),
        ({"stop_on_output": "sample"}, 3, ["output_sample"], ["stopped"]),
        (
            {"stop_on_output": "sample", "extra_steps": 3},
            5,
            ["output_sample"],
            ["quiescent", "stopped"],
        ),
        ({"stop_on_output": "timestep"}, 6, ["output_timestep"] * 2, ["discarded"] * 2),
        ({"stop_on_output": "timestep", "extra_steps": 2}, 6, [], ["quiescent"] * 2),
        ({"max_forward_steps": 1}, 4, ["max_forward_steps"] * 2, ["discarded"] * 2),
        ({"max_forward_steps": 4}, 6, [], ["quiescent"] * 2),
    ],
)
def test_each_stop_ends_where_the_table_says(
    options: dict[str, Any], spikes: int, stops: list[str], endings: list[str]
) -> None:
    m = run(RACE, [[[1, 1]], [[1, 1]]], Schedule("Fifo", 1), **options)
    assert (m.spikes[0], [s for s in m.samples[0].stops if s], m.samples[0].endings) == (
        spikes,
        stops,
        endings,
    )
    assert m.reached_quiescence[0] == (not stops)


def test_carried_spikes_are_scheduled_in_the_next_timestep() -> None:
    m = run(RACE, [[[1, 1]], [[0, 0]]], Schedule("Fifo", 1), max_forward_steps=2, on_stop="carry")
    assert order(m) == [[([], [0, 1]), ([0], [2]), ([], []), ([1], [])]]
    assert m.samples[0].endings == ["carried", "carried"]
    assert m.v[0, 2] == -2.0


def test_float32_sums_round_after_every_event_in_channel_order() -> None:
    w = np.array([[1e8, 1.0, -1e8], [1e8, -1e8, 1.0]])
    net = Network(
        (3,),
        (Population("a", (2,), {"v_threshold": 1e9}),),
        (Projection("input", "a", "Linear", {"weight": w}),),
    )
    assert run(net, np.ones((1, 1, 3)), Schedule("Fifo")).v[0].tolist() == [0.0, 1.0]


def test_feedback_projections_deliver_one_timestep_later() -> None:
    one = {"weight": np.ones((1, 1))}
    net = Network(
        (1,),
        tuple(Population(n, (1,), {"v_threshold": 0.5}) for n in "abc"),
        tuple(
            Projection(s, t, "Linear", one)
            for s, t in [("input", "c"), ("c", "a"), ("a", "b"), ("b", "b"), ("b", "c")]
        ),
        "float64",
    )
    assert layered_order(net) == ([0, 1, 2], [False, True, False, True, False]), (
        "c - a closes the cycle a - b - c"
    )
    m = run(net, [[[1]], [[0]], [[0]]], Schedule("Layered"))
    assert [[neuron for _, neuron in s.fired] for s in m.samples] == [[2, 0, 1, 2, 0, 1, 2]]


FLOWING = Network(
    (2,),
    (A, Population("b", (1,), {"v_threshold": 0.5, "tau_syn": 1.0})),
    RACE.projections,
    "float64",
)


def test_a_current_arrives_before_all_else_in_each_timestep() -> None:
    m = run(FLOWING, [[[1, 0]], [[0, 0]], [[0, 0]]], Schedule("Fifo", 1))
    # a.0 fires at 0.5, a.1 at 1.0; b gets 1, fires, and takes -2 while it rests: its current is -1.
    steps = [[0, 1], [2], [], []]
    assert [fired for _, fired in order(m)[0]] == [*steps, [], []]
    assert m.current.tolist() == [[0.0, 0.0, -0.25]]
    assert m.v.tolist() == [[0.0, 0.0, -0.5 * 0.5 - 0.25]]
    assert (m.synaptic_operations[0], m.neuron_updates[0]) == (2 + 2, 2 + 2 + 2)
    m = run(
        FLOWING, [[[0, 1]]], Schedule("Fifo", 1), current=[0.0, 0.0, 1.5], input_mode="scheduled"
    )
    assert order(m)[0][0][1] == [2], "before the input joins"
    assert m.events_before_firing[0] == 1


def test_a_visit_that_does_not_come_leaves_the_current_decayed() -> None:
    once = {"max_forward_steps": 1, "current": [0.0, 0.0, 1.0]}
    m = run(FLOWING, [[[0, 1]], [[0, 0]]], Schedule("Layered"), **once)
    assert (m.current[0, 2], m.v[0, 2]) == (0.25, 0.0)
    m = run(FLOWING, [[[0, 0]], [[0, 0]]], Schedule("Layered"), current=[0.0, 0.0, 1.0])
    assert (m.current[0, 2], m.v[0, 2]) == (0.25, 0.5 * 0.5 + 0.25)


def test_a_neuron_without_refractoriness_may_be_pending_twice() -> None:
    neuron = {"v_threshold": 0.5, "refractory": "none", "reset": "subtract"}
    w = np.array([[1.0], [1.0]])
    net = Network(
        (1,),
        (Population("a", (2,), {"v_threshold": 0.5}), Population("b", (1,), neuron)),
        (
            Projection("input", "a", "Linear", {"weight": w}),
            Projection("a", "b", "Linear", {"weight": w.T}),
        ),
        "float64",
    )
    m = run(net, [[[1]]], Schedule("Fifo", 1))
    assert order(m) == [[([], [0, 1]), ([0], [2]), ([1], [2]), ([2], []), ([2], [])]]
    assert m.anytime([0, 1, 2, 3, 4]).ravel().tolist() == [-1, -1, -1, 0, 0]


def test_random_draws_follow_the_documented_generator() -> None:
    key, counter = np.array([3, 2**64 - 1], np.uint64), np.array([0, 5, 1, 0], np.uint64)
    philox = np.random.Generator(np.random.Philox(key=key, counter=counter))
    assert (
        draws(Moment(3, 2**64 - 1, 1, 5), 0, 6)
        == philox.integers(0, 2**64 - 1, 6, np.uint64, endpoint=True).tolist()
    )
    assert draws(Moment(3, 2**64 - 1, 1, 5), 0, 4) != draws(Moment(3, 2**64 - 2, 1, 5), 0, 4)


@given(networks(max_populations=3), st.integers(0, 2**32))
def test_weight_matrices_are_what_torch_computes(net: Network, seed: int) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for p in net.projections:
        shape, target = net.shape(p.source), net.shape(p.target)
        x = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float64)
        a, tensor = dict(p.arguments), torch.from_numpy(x)[None]
        w, b = (
            None if a.get(k) is None else torch.from_numpy(np.asarray(a.pop(k), np.float64))
            for k in ("weight", "bias")
        )
        if p.kind == "Linear":
            expected = functional.linear(tensor.reshape(1, -1), w, b)
        elif p.kind == "OneToOne":
            expected = tensor.reshape(-1) * w.reshape(-1)
        elif p.kind == "Sparse":
            indptr, indices, values = a["csr"]
            at = np.array([np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), indices])
            expected = (
                torch.sparse_coo_tensor(at, values, a["shape"], check_invariants=True)
                .to_dense()
                .double()
                @ tensor.ravel()
            )
            expected = expected if b is None else expected + b
        elif p.kind.startswith("Conv"):
            a.pop("bias", None)
            expected = getattr(functional, p.kind.lower())(tensor, w, b, **a)
        else:
            expected = functional.avg_pool2d(
                tensor, **a, divisor_override=None if p.kind[0] == "A" else 1
            )
        matrix = weight_matrix(p, shape, target, net.dtype).astype(np.float64)
        ours = matrix @ x.ravel() + bias_vector(p, target, net.dtype).astype(np.float64)
        tolerance = 1e-6 if p.kind == "AvgPool2d" else 1e-12
        np.testing.assert_allclose(ours, expected.numpy().ravel(), rtol=tolerance, atol=tolerance)
