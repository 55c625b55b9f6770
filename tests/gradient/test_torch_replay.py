"""A replay has the recorded spikes, and its autograd is the gradient of docs/semantics.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import batch_of, build, run
from hypothesis import assume, given
from hypothesis import strategies as st
from native_case import BOTH, assert_close, expected, recorded
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from replay_case import Leaves, by_parameter, dense, differentiate
from strategies import Case, cases
from strategies_gradient import SCOPES, GradientCase, gradient_cases

import pyasync as pa
from pyasync._input import read_input

torch = pytest.importorskip("torch")


@given(cases())
def test_it_gives_the_recorded_spikes_and_the_final_state(case: Case) -> None:
    network = build(case.net)
    result = run(case, network)
    leaves = Leaves(case, network)
    for scope in SCOPES:
        found = leaves.replay(network, result.trace, gradient_scope=scope)
        counts, output_v, spike_counts, state = found
        assert counts.dtype == spike_counts.dtype == state.dtype == leaves.tensors["beta"].dtype
        assert np.array_equal(counts.detach().numpy(), result.counts)
        assert np.array_equal(spike_counts.detach().numpy(), result.spike_counts)
        tolerance = 1e-11 if case.net.dtype == "float64" else 1e-3
        ended = np.split(state.detach().numpy(), [case.net.n_neurons], 1)
        assert ended[1].size == (result.current.size if case.net.has_current.any() else 0)
        ended.append(output_v.detach().numpy())
        recorded_too = (result.v, result.current, result.output_v)
        for ours, theirs in zip(ended, recorded_too, strict=True):
            if ours.size:
                size = max(1.0, float(np.abs(theirs).max()))
                np.testing.assert_allclose(ours, theirs, tolerance, tolerance * size)


@given(gradient_cases(BOTH))
def test_autograd_of_it_is_the_oracles_gradient(g: GradientCase) -> None:
    network, trace = recorded(g)
    wanted = expected(g, network, trace)
    dtype = g.case.net.dtype
    assume(dtype == "float64" or wanted["scale"] < 1e6)
    ours = differentiate(g, network, trace)
    assert_close(ours, by_parameter(wanted, ours), wanted["scale"], dtype)


def assert_is_native(g: GradientCase, network: pa.Network, trace: pa.Trace) -> None:
    """The replay's gradients equal those of the engine's reverse pass."""
    c, dtype = g.case, g.case.net.dtype
    options = {
        "dt": c.dt,
        "threads": 1,
        "surrogate": g.surrogate,
        "gradient_scope": g.scope,
        "detach_reset": g.detach_reset,
        "initial_state": c.initial_state,
        "want_input": True,
        "want_initial_state": True,
        "want_neuron": True,
    }
    x = read_input(network, dense(c), c.dt, False)[0]
    native = pa._core.gradient(network.build(), x, trace.core, *g.cotangents, options)
    ours = differentiate(g, network, trace)
    scale = max(1.0, *(float(np.abs(each).max(initial=0)) for each in ours.values()))
    if dtype == "float64" or scale < 1e6:  # beyond, float32 has little more than rounding errors
        assert_close(ours, by_parameter(dict(native), ours), scale, dtype)


@given(gradient_cases(BOTH))
def test_autograd_of_it_is_the_native_gradient(g: GradientCase) -> None:
    assert_is_native(g, *recorded(g))


@given(gradient_cases(BOTH), st.integers(2, 5))
def test_a_free_run_is_replayed_shard_by_shard(g: GradientCase, shards: int) -> None:
    c = g.case
    assume(c.schedule.kind != "Layered")
    network = build(c.net)
    # One worker takes the shards in turn, so that hypothesis can reproduce the run.
    result = run(c, network, schedule=pa.FreeRunning(1, c.schedule.F, shards, "shards"))
    counts, _, spike_counts, _ = Leaves(c, network).replay(network, result.trace)
    assert np.array_equal(counts.detach().numpy(), result.counts)
    assert np.array_equal(spike_counts.detach().numpy(), result.spike_counts)
    assert_is_native(g, network, result.trace)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_busy_free_run_is_replayed(scope: str) -> None:
    """Spikes of one neuron overtake each other on their way to four shards."""
    rng = np.random.default_rng(0)
    neuron = {"v_threshold": 0.4, "tau_mem": 0.02}
    into, within = rng.normal(0.3, 0.4, (12, 6)), rng.normal(0.0, 0.5, (12, 12))
    net = Network(
        (6,),
        (Population("a", (12,), neuron),),
        (
            Projection("input", "a", "Linear", {"weight": into}),
            Projection("a", "a", "Linear", {"weight": within}),
        ),
        "float64",
    )
    dropouts = Options(refractory_dropout=0.6, spike_dropout=0.1, max_forward_steps=60)
    case = Case(net, rng.random((6, 3, 6)) < 0.5, Schedule("Fifo", 2), dropouts)
    shapes = ((6, 3, 12), (6, 3, 12), (3, 12), (3, 12))
    g = GradientCase(case, *(rng.normal(0, 1, shape) for shape in shapes), scope=scope)
    network = build(net)
    trace = run(case, network, schedule=pa.FreeRunning(1, 2, 4, "shards")).trace
    assert trace.n_shards == 4
    assert_is_native(g, network, trace)


@pytest.mark.parametrize("shards", [2, 3, 5])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_free_run_of_convolutions_is_replayed_wherever_shards_cut_them(
    scope: str, shards: int
) -> None:
    rng = np.random.default_rng(0)

    def conv(source: str, target: str, n_in: int, n_out: int) -> Projection:
        given = {"weight": rng.normal(0.2, 0.4, (n_out, n_in, 2, 2)), "groups": 1}
        given |= {"bias": rng.normal(0.1, 0.1, n_out), "stride": 1, "padding": 0, "dilation": 1}
        return Projection(source, target, "Conv2d", given)

    net = Network(
        (2, 4, 4),
        (
            Population("a", (4, 3, 3), {"v_threshold": 0.5}),
            Population("b", (6, 2, 2), {"v_threshold": 0.4}),
        ),
        (conv("input", "a", 2, 4), conv("a", "b", 4, 6)),
        "float64",
    )
    case = Case(net, rng.random((3, 2, 32)) < 0.3, Schedule("Fifo", 2))
    shapes = ((3, 2, 24), (3, 2, 24), (2, 60), (2, 60))
    g = GradientCase(case, *(rng.normal(0, 1, shape) for shape in shapes), scope=scope)
    network = build(net)
    trace = run(case, network, schedule=pa.FreeRunning(1, 2, shards, "shards")).trace
    assert trace.n_shards == shards
    assert_is_native(g, network, trace)


@given(gradient_cases(max_samples=3))
def test_a_spike_batch_gives_the_gradients_of_the_dense_input(g: GradientCase) -> None:
    network, trace = recorded(g)
    gradients = []
    for x in (None, batch_of(g.case)):
        leaves = Leaves(g.case, network)
        counts, v, spike_counts, state = leaves.replay(network, trace, x=x, gradient_scope=g.scope)
        (counts.sum() + v.sum() + (spike_counts**2).sum() + state.sum()).backward()
        gradients.append(leaves.gradients())
    dense_input, events = gradients
    assert dense_input.pop("input").shape == events.pop("input").shape
    assert_close(events, dense_input, 1.0, "float64")


@given(gradient_cases(max_samples=4))
def test_samples_of_a_batch_do_not_meet(g: GradientCase) -> None:
    network, trace = recorded(g)
    together = differentiate(g, network, trace)
    scale = expected(g, network, trace)["scale"]
    b = len(trace) - 1
    alone = g.sample(b, x=dense(g.case)[:, [b]])
    ours = differentiate(alone, network, trace[[b]])
    wanted = {"input": together["input"][:, [b]]}
    if "initial_state" in ours:
        wanted["initial_state"] = together["initial_state"][[b]]
    assert_close({name: ours[name] for name in wanted}, wanted, scale, "float64")


@given(gradient_cases())
def test_what_cannot_reach_the_loss_has_gradient_zero(g: GradientCase) -> None:
    net, case = g.case.net, g.case
    ones = np.ones((case.n_timesteps, len(case.spikes), len(net.output_ids)))
    g = replace(g, grad_counts=ones, grad_spike_counts=None, grad_state=None)
    heard = {net.output or net.populations[-1].name}
    for _ in net.populations:
        heard |= {p.source for p in net.projections if p.target in heard}
    ours = differentiate(g, *recorded(g))
    for k, p in enumerate(net.projections):
        if p.target not in heard:
            assert not ours.get(f"weight {k}", np.zeros(1)).any()
            assert not ours.get(f"bias {k}", np.zeros(1)).any()
    if "input" not in heard:
        assert not ours["input"].any()


# Arguments that do not fit.


def a_run(weight: float = 1.5) -> tuple[Leaves, pa.Network, pa.Trace]:
    neuron = {"v_threshold": 1.0}
    net = Network(
        (2,),
        (Population("a", (3,), neuron),),
        (Projection("input", "a", "Linear", {"weight": np.full((3, 2), weight)}),),
        "float64",
    )
    case = Case(net, np.ones((2, 4, 2)), Schedule("Fifo", 2))
    network = build(net)
    return Leaves(case, network), network, run(case, network).trace


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(3, 4, 2),
        torch.ones(2, 3, 2),
        torch.ones(2, 4, 3),
        torch.ones(2, 4),
        pa.SpikeBatch([], [0, 0, 0], 2, 2),
    ],
)
def test_input_of_other_sizes_is_refused(x: Any) -> None:
    leaves, network, trace = a_run()
    with pytest.raises(pa.InputError, match=r"x: got .* accepted: .*2, 4, 2"):
        leaves.replay(network, trace, x=x)


def test_an_unknown_scope_is_refused() -> None:
    leaves, network, trace = a_run()
    with pytest.raises(pa.InputError, match="gradient_scope: got 'everything'"):
        leaves.replay(network, trace, gradient_scope="everything")


def test_a_trace_of_another_network_is_refused() -> None:
    leaves, network, _ = a_run()
    x = np.ones((2, 4, 2))
    trace = pa.simulate(
        pa.Network.sequential([pa.Linear(np.ones((5, 2)))]), x, dt=0.01, record=True
    ).trace
    with pytest.raises(pa.TraceError, match="5 neurons"):
        leaves.replay(network, trace)


def test_neurons_that_fired_without_a_synapse_are_refused() -> None:
    _, network, trace = a_run()
    leaves, *_ = a_run(weight=0.0)
    with pytest.raises(pa.TraceError, match="24 neurons fired, of which 0 were touched"):
        leaves.replay(network, trace)


def test_a_spike_that_is_emitted_before_it_fires_is_refused() -> None:
    leaves, network, trace = a_run()
    steps = trace.to_steps()
    for arrival in (steps.emitted.max(), 1000):
        emitted = steps.emitted.copy()
        emitted[0] = arrival
        wrong = pa.Trace.from_steps(steps._replace(emitted=emitted), trace)
        with pytest.raises(pa.TraceError, match="emitted before it fired"):
            leaves.replay(network, wrong)
