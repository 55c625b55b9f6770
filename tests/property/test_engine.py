"""The engine computes docs/semantics.md to the bit: it equals the oracle on random cases."""

from __future__ import annotations

from compare import assert_equals_oracle, build, run, run_oracle
from hypothesis import given
from strategies import Case, cases
from strategies_network import FLAT, IMAGE, LINE


def check(case: Case) -> None:
    network = build(case.net)
    assert_equals_oracle(run(case, network), run_oracle(case, network))


@given(cases())
def test_any_case(case: Case) -> None:
    check(case)


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
