"""The engine computes docs/semantics.md to the bit: it equals the oracle on random cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare import assert_equals_oracle, assert_same_results, build, run, run_oracle
from hypothesis import given
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from strategies import Case, cases
from strategies_network import FLAT, IMAGE, LINE

import pyasync as pa


def check(case: Case) -> None:
    network = build(case.net)
    assert_equals_oracle(run(case, network), run_oracle(case, network))


@given(cases())
def test_any_case(case: Case) -> None:
    check(case)


@given(cases(kinds=("Fifo",)))
def test_a_free_run_of_one_shard_is_fifo(case: Case) -> None:
    network = build(case.net)
    free = run(case, network, schedule=pa.FreeRunning(1, case.schedule.F, 1))
    assert_same_results(free, run(case, network))


@given(cases(stops=False, kinds=("Random",), max_group=3))
def test_random_selection_to_quiescence(case: Case) -> None:
    check(case)


@given(cases(stops=False, kinds=("Momentum", "Priority"), max_group=3))
def test_ranked_selection_to_quiescence(case: Case) -> None:
    check(case)


@given(cases(kinds=("Layered",)))
def test_layered_with_feedback(case: Case) -> None:
    check(case)


@given(cases(refractory="none", kinds=("Random", "Momentum", "Fifo", "Lifo")))
def test_neurons_that_fire_many_times_in_a_timestep(case: Case) -> None:
    check(case)


@given(cases(max_populations=3, connections=IMAGE + LINE))
def test_convolutions_and_pools(case: Case) -> None:
    check(case)


@given(cases(max_populations=2, connections=FLAT, max_samples=12))
def test_flat_projections_in_larger_batches(case: Case) -> None:
    check(case)


@given(cases(max_populations=2, max_samples=2, wide=True))
def test_wide_networks(case: Case) -> None:
    check(case)


def linear(rng: np.random.Generator, source: str, target: str, n_in: int, n_out: int) -> Projection:
    weight, bias = rng.normal(0.2, 0.4, (n_out, n_in)), rng.normal(0.1, 0.1, n_out)
    return Projection(source, target, "Linear", {"weight": weight, "bias": bias})


def test_dense_weights_reach_the_population_of_a_convolution_wherever_its_neurons_begin() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0.2, 0.3, (3, 2, 2, 2)), rng.normal(0.1, 0.2, 3)
    conv = {"weight": weight, "bias": bias, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    populations = (
        Population("before", (5,), {"v_threshold": 0.2}),
        Population("image", (3, 2, 2), {"v_threshold": 0.4}),
    )
    projections = (
        linear(rng, "input", "before", 18, 5),
        Projection("input", "image", "Conv2d", conv),
        linear(rng, "before", "image", 5, 12),
    )
    net = Network((2, 3, 3), populations, projections, "float64")
    check(Case(net, rng.random((4, 3, 18)) < 0.4, Schedule("Random", 2, 1)))


@pytest.mark.parametrize("kind", ["Random", "Momentum", "Fifo", "Lifo"])
def test_a_chain_delivers_the_spikes_of_each_population_wherever_they_stand(kind: str) -> None:
    """No population has two sources, so one population's spikes are picked from the whole group."""
    rng = np.random.default_rng(0)
    sizes = {"input": 6, "a": 8, "b": 6, "c": 4}
    ends = [("input", "a"), ("a", "b"), ("b", "c")]
    net = Network(
        (6,),
        tuple(Population(name, (sizes[name],), {"v_threshold": 0.3}) for name in "abc"),
        tuple(linear(rng, s, t, sizes[s], sizes[t]) for s, t in ends),
        "float64",
    )
    check(Case(net, rng.random((5, 3, 6)) < 0.5, Schedule(kind, 3)))


def test_a_layered_visit_waits_for_its_sources_though_a_cycle_reaches_it_first() -> None:
    """p1 is visited first and feeds p0, but only in the next timestep; p0 still waits for p3."""
    one = {"weight": np.ones((1, 1))}
    ends = [("input", "p3"), ("p3", "p0"), ("p0", "p2"), ("p2", "p1"), ("p1", "p0")]
    net = Network(
        (1,),
        tuple(Population(f"p{k}", (1,), {"v_threshold": 0.5}) for k in range(4)),
        tuple(Projection(source, target, "Linear", one) for source, target in ends),
        "float64",
        "p2",
    )
    case = Case(net, np.ones((3, 1, 1)), Schedule("Layered"))
    assert (run(case, build(net)).counts == 1).all()
    check(case)


def test_a_stop_that_finds_nothing_to_stop_is_none() -> None:
    """The only spike is emitted in the very step after which the sample would be stopped."""
    net = Network(
        (1,),
        (Population("a", (1,), {"v_threshold": 0.5}),),
        (Projection("input", "a", "Linear", {"weight": np.ones((1, 1))}),),
        "float64",
    )
    stop = Options(stop_on_output="sample", extra_steps=1)
    case = Case(net, np.ones((1, 1, 1)), Schedule("Fifo", 1), stop)
    assert run(case, build(net)).reached_quiescence.all()
    check(case)
    earlier = run(replace(case, x=np.ones((2, 1, 1))), build(net))
    assert not earlier.reached_quiescence.any()
    assert earlier.trace is not None
    earlier.trace.validate(build(net))
