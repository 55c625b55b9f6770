"""Models of random graphs give the engine's bits, and convert back to the same network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import build, build_input, build_schedule, initial
from hypothesis import given
from hypothesis import strategies as st
from strategies import Case, cases

import pyasync as pa

torch = pytest.importorskip("torch")


def model_of(case: Case, network: pa.Network, **options: Any) -> pa.nn.AsyncNetwork:
    schedule = build_schedule(case.schedule)
    return pa.nn.AsyncNetwork.from_network(network, schedule=schedule, dt=case.dt, **options)


def held(state: pa.nn.State | None) -> list[Any]:
    """The tensors of a state."""
    return [] if state is None else [each for each in state if each is not None]


def call(model: pa.nn.AsyncNetwork, case: Case) -> Any:
    state = None
    if case.initial_state is not None:
        start = case.initial_state.astype(case.net.dtype)
        parts = [torch.from_numpy(part) for part in np.split(start, [case.net.n_neurons], 1)]
        state = pa.nn.State(*(part.requires_grad_() for part in parts if part.numel()))
    out = model(
        build_input(case),
        seed=case.seed,
        sample_ids=case.sample_ids,
        state=state,
        return_spike_counts=True,
        return_state=True,
    )
    return (*out, state)


def reachable(network: pa.Network) -> bool:
    """Whether all thresholds are finite, so that they can be learned."""
    return all(np.isfinite(p.neuron.v_threshold).all() for p in network.populations)


@given(cases(stops=False), st.sampled_from([0.0, 0.4]))
@pytest.mark.filterwarnings("ignore::pyasync.nn.ActivityWarning")
def test_a_model_runs_what_its_network_runs(case: Case, dropout: float) -> None:
    network = build(case.net)
    dropouts = {"refractory_dropout": dropout, "spike_dropout": dropout}
    model = model_of(case, network, learn_threshold=reachable(network), **dropouts)
    ran = pa.simulate(
        network,
        build_input(case),
        build_schedule(case.schedule),
        dt=case.dt,
        seed=case.seed,
        sample_ids=case.sample_ids,
        **initial(case, slice(None)),
        keep=("counts", "spike_counts", "v", "current"),
        **dropouts,
    )
    counts, spike_counts, state, _ = call(model, case)
    np.testing.assert_array_equal(counts.detach(), ran.counts)
    np.testing.assert_array_equal(spike_counts.detach(), ran.spike_counts)
    np.testing.assert_array_equal(state.v.detach(), ran.v)
    if case.net.has_current.any():
        np.testing.assert_array_equal(state.current.detach(), ran.current)


@given(cases(stops=False))
def test_a_network_comes_back_as_it_was(case: Case) -> None:
    network = build(case.net)
    back = model_of(case, network).network()
    assert back.populations == network.populations
    assert (back.output, back.dtype) == (network.output, network.dtype)
    for one, other in zip(back.projections, network.projections, strict=True):
        assert (one.source, one.target) == (other.source, other.target)
        assert repr(one.projection) == repr(other.projection)
        arrays = other.projection.arrays()
        for name, array in one.projection.arrays().items():
            np.testing.assert_array_equal(array, arrays[name].astype(array.dtype))


@given(
    cases(stops=False),
    st.sampled_from(["spikes", "next_emission", "touched"]),
    st.sampled_from([0.0, 0.4]),
)
@pytest.mark.filterwarnings("ignore::pyasync.nn.ActivityWarning")
def test_both_ways_to_compute_the_gradient_agree(case: Case, scope: str, dropout: float) -> None:
    case = replace(case, net=replace(case.net, dtype="float64"))
    network = build(case.net)
    found = []
    for gradient in ("native", "torch"):
        model = model_of(
            case,
            network,
            gradient=gradient,
            gradient_scope=scope,
            refractory_dropout=dropout,
            spike_dropout=dropout,
            surrogate=pa.nn.fast_sigmoid(2.0),
            learn_threshold=reachable(network),
        )
        counts, spike_counts, state, start = call(model, case)
        chance = torch.Generator().manual_seed(case.seed)
        loss = sum(
            (each * torch.randn(each.shape, generator=chance, dtype=torch.float64)).sum()
            for each in (counts, spike_counts, *held(state))
        )
        sought = [*model.parameters(), *held(start)]
        found.append(torch.autograd.grad(loss, sought))
    for one, other in zip(*found, strict=True):
        scale = max(1.0, float(one.abs().max())) if one.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10 * scale)
