"""The replay's spikes are the record's, and autograd of it is the gradient of docs/semantics.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import batch_of, build, run
from hypothesis import assume, given
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from replay_case import (
    Gradients,
    Leaves,
    assert_close,
    by_parameter,
    dense,
    differentiate,
    oracles,
    recorded,
)
from strategies import Case, cases
from strategies_gradient import SCOPES, GradientCase, gradient_cases

import pyasync as pa
from pyasync.simulate import _input

torch = pytest.importorskip("torch")

BOTH = ("float64", "float64", "float32")


@given(cases())
def test_it_gives_the_recorded_spikes_and_the_final_potentials(case: Case) -> None:
    network = build(case.net)
    result = run(case, network)
    leaves = Leaves(case, network)
    for scope in SCOPES:
        counts, spike_counts, v = leaves.replay(network, result.trace, gradient_scope=scope)
        assert counts.dtype == spike_counts.dtype == v.dtype == leaves.tensors["beta"].dtype
        assert np.array_equal(counts.detach().numpy(), result.counts)
        assert np.array_equal(spike_counts.detach().numpy(), result.spike_counts)
        size = max(1.0, float(np.abs(result.v).max()))
        tolerance = 1e-11 if case.net.dtype == "float64" else 1e-3
        np.testing.assert_allclose(v.detach().numpy(), result.v, tolerance, tolerance * size)


@given(gradient_cases(BOTH))
def test_autograd_of_it_is_the_oracles_gradient(g: GradientCase) -> None:
    # Whether such a reset is passed on is asked below, of back-propagation through time itself.
    assume(g.detach_reset or g.case.schedule.kind != "Layered")
    network, trace = recorded(g)
    wanted = oracles(g, network, trace)
    dtype = g.case.net.dtype
    assume(dtype == "float64" or wanted["scale"] < 1e6)
    ours = differentiate(g, network, trace)
    assert_close(ours, by_parameter(wanted, ours), wanted["scale"], dtype)


@pytest.mark.skipif(not hasattr(pa._core, "gradient"), reason="no native reverse pass")
@given(gradient_cases(BOTH))
def test_autograd_of_it_is_the_native_gradient(g: GradientCase) -> None:
    network, trace = recorded(g)
    c, dtype = g.case, g.case.net.dtype
    scale = oracles(g, network, trace)["scale"]
    assume(dtype == "float64" or scale < 1e6)
    options = {
        "dt": c.dt,
        "threads": 1,
        "surrogate": g.surrogate,
        "gradient_scope": g.scope,
        "detach_reset": g.detach_reset,
        "initial_v": c.initial_v,
        "want_input": True,
        "want_neuron": True,
    }
    x = _input(network, dense(c).reshape(c.n_timesteps, len(c.spikes), -1), c.dt, False)[0]
    cotangents = (g.grad_counts, g.grad_spike_counts, g.grad_v)
    native = pa._core.gradient(network.build(), x, trace.core, *cotangents, options)
    ours = differentiate(g, network, trace)
    for k, p in enumerate(c.net.projections):
        if p.kind == "Sparse":  # the engine need not teach a stored zero
            ours[f"weight {k}"] = np.where(p.arguments["csr"][2] == 0, 0, ours[f"weight {k}"])
    assert_close(ours, by_parameter(dict(native), ours), scale, dtype)


@given(gradient_cases(max_samples=3))
def test_a_spike_batch_gives_the_gradients_of_the_dense_input(g: GradientCase) -> None:
    network, trace = recorded(g)
    gradients = []
    for x in (None, batch_of(g.case)):
        leaves = Leaves(g.case, network)
        counts, spike_counts, v = leaves.replay(network, trace, x=x, gradient_scope=g.scope)
        (counts.sum() + (spike_counts**2).sum() + v.sum()).backward()
        gradients.append(leaves.gradients())
    dense_input, events = gradients
    assert dense_input.pop("input").shape == events.pop("input").shape
    assert_close(events, dense_input, 1.0, "float64")


@given(gradient_cases(max_samples=4))
def test_samples_of_a_batch_do_not_meet(g: GradientCase) -> None:
    network, trace = recorded(g)
    together = differentiate(g, network, trace)
    scale = oracles(g, network, trace)["scale"]
    b = len(trace) - 1
    alone = replace(
        g,
        case=replace(
            g.case,
            x=dense(g.case)[:, [b]],
            initial_v=None if g.case.initial_v is None else g.case.initial_v[[b]],
        ),
        grad_counts=None if g.grad_counts is None else g.grad_counts[:, [b]],
        grad_spike_counts=None if g.grad_spike_counts is None else g.grad_spike_counts[[b]],
        grad_v=None if g.grad_v is None else g.grad_v[[b]],
    )
    ours = differentiate(alone, network, trace[[b]])
    wanted = {"input": together["input"][:, [b]]}
    if "initial_v" in ours:
        wanted["initial_v"] = together["initial_v"][[b]]
    assert_close({name: ours[name] for name in wanted}, wanted, scale, "float64")


@given(gradient_cases())
def test_what_cannot_reach_the_loss_has_gradient_zero(g: GradientCase) -> None:
    net, case = g.case.net, g.case
    ones = np.ones((case.n_timesteps, len(case.spikes), len(net.output_ids)))
    g = replace(g, grad_counts=ones, grad_spike_counts=None, grad_v=None)
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


# Worked by hand: one neuron a population, s'(x) = 1 / (1 + |x|)^2, no decay, thresholds of 1.


def by_hand(
    weights: dict[tuple[str, str], list[float]],
    x: list[list[float]],
    *,
    kind: str = "Fifo",
    refractory: str = "timestep",
    options: Options | None = None,
    **given: Any,
) -> Gradients:
    """Gradients of the spikes of the last neuron plus its final potential."""
    neuron = {"tau_mem": np.inf, "refractory": refractory}
    names = list(dict.fromkeys(target for _, target in weights))
    net = Network(
        (len(x[0]),),
        tuple(Population(name, (1,), neuron) for name in names),
        tuple(
            Projection(*ends, "Linear", {"weight": np.array([w])}) for ends, w in weights.items()
        ),
        "float64",
    )
    case = Case(net, np.array(x)[:, None], Schedule(kind, 1), options or Options())
    g = GradientCase(
        case,
        given.pop("grad_counts", np.ones((len(x), 1, 1))),
        None,
        given.pop("grad_v", np.eye(len(names))[[-1]]),
        ("fast_sigmoid", 1.0),
        **given,
    )
    return differentiate(g, *recorded(g))


@pytest.mark.parametrize("scope", SCOPES)
def test_one_event_by_hand(scope: str) -> None:
    # Loss: the potential of b at the end, and the spikes of c.
    # Step 0: a has v' = 1.5, x = 0.5, fires.  Step 1: a is emitted; b has v' = 0.5, x = -0.5, and
    # stays silent; c has v' = 2, x = 1, and fires.  Step 2: c is emitted, to no one.
    ours = by_hand(
        {("input", "a"): [1.5], ("a", "b"): [0.5], ("a", "c"): [2.0]},
        [[1.0]],
        grad_v=np.array([[0.0, 1.0, 0.0]]),
        scope=scope,
    )
    # b: a = 1 and e = 0, so b_b = 1.  c: reset, e = 1, so b_c = s'(1) = 1/4.
    # a: reset, e = 0.5 b_b + 2 b_c = 1, so b_a = s'(0.5) = 4/9.
    assert ours["weight 0"] == pytest.approx(4 / 9)
    assert ours["weight 1"] == pytest.approx(1)
    assert ours["weight 2"] == pytest.approx(1 / 4)
    assert ours["v_threshold"] == pytest.approx(np.array([-4 / 9, 0, -1 / 4]))
    assert ours["input"] == pytest.approx(1.5 * 4 / 9)
    assert not ours["beta"].any()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_silent_update_by_hand(scope: str) -> None:
    # Step 0: a has v' = 0.75, x = -0.25, silent; b has v' = 1.5, x = 0.5, fires.
    # Step 1: b is emitted; a has v' = 1.25, x = 0.25, fires; c has v' = 0.25, x = -0.75, silent.
    # Step 2: a is emitted; c has v' = 0.75, x = -0.25, silent.
    ours = by_hand(
        {
            ("input", "a"): [0.75, 0.0],
            ("input", "b"): [0.0, 1.5],
            ("b", "a"): [0.5],
            ("a", "c"): [0.5],
            ("b", "c"): [0.25],
        },
        [[1.0, 1.0]],
        scope=scope,
    )
    # Both updates of c have e = 1, the loss's derivative with respect to its spikes.
    b_c2 = 1 + 0.64
    b_c1 = b_c2 + 16 / 49
    b_a1 = 0.64 * 0.5 * b_c2
    b_b0 = 4 / 9 * (0.5 * b_a1 + 0.25 * b_c1)
    # a's silent update: as the emission in step 2, or as one in step 1, which follows the update.
    term = {"spikes": 0.0, "next_emission": 0.5 * b_c2, "touched": 0.5 * b_c1}[scope]
    b_a0 = b_a1 + 0.64 * term
    # The weights that are 0 learn as well.
    for k, wanted in enumerate([[b_a0, b_a0], [b_b0, b_b0], [b_a1], [b_c2], [b_c1]]):
        assert ours[f"weight {k}"] == pytest.approx(np.array([wanted]))


@pytest.mark.parametrize(
    ("kind", "refractory", "first"),
    [("Fifo", "timestep", 4 / 9), ("Fifo", "none", -10 / 27), ("Layered", "timestep", -10 / 27)],
)
def test_a_reset_that_is_not_detached_by_hand(kind: str, refractory: str, first: float) -> None:
    # Timestep 0: v' = 1.5, fires, is reset.  Timestep 1: v' = 0.5, x = -0.5, silent, with a = 1 and
    # e = 1: b = 1 + s' (e - a v') = 1 + 4/9 (1 - 0.5) = 11/9, which is the a of timestep 0.
    # There b = s' (e - a v') = 4/9 (1 - 11/9 * 1.5) = -10/27; into refractoriness with a = 0: 4/9.
    ours = by_hand(
        {("input", "a"): [1.0]},
        [[1.5], [0.5]],
        kind=kind,
        refractory=refractory,
        detach_reset=False,
    )
    assert ours["input"].ravel() == pytest.approx(np.array([first, 11 / 9]))
    assert ours["weight 0"] == pytest.approx(1.5 * first + 0.5 * 11 / 9)


@pytest.mark.parametrize("on_stop", ["carry", "discard"])
def test_a_stopped_timestep_by_hand(on_stop: str) -> None:
    # Timestep 0: a fires (x = 0.5), b fires (x = 1), and the limit stops it with b pending.
    # Timestep 1: carried, b is emitted in step 1, and c has v' = 0.5; else nothing happens.
    ours = by_hand(
        {("input", "a"): [1.5], ("a", "b"): [2.0], ("b", "c"): [0.5]},
        [[1.0], [0.0]],
        options=Options(max_forward_steps=2, on_stop=on_stop),
        grad_counts=np.zeros((2, 1, 1)),
    )
    # b_c = 1; b: e = 0.5, b_b = s'(1) 0.5 = 1/8; a: e = 2 b_b = 1/4, b_a = 4/9 * 1/4 = 1/9.
    carried = [1 / 9, 1 / 8, 1.0]
    for k, wanted in enumerate(carried if on_stop == "carry" else [0.0, 0.0, 0.0]):
        assert ours[f"weight {k}"].item() == pytest.approx(wanted, abs=0)


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


@pytest.mark.skipif(not hasattr(pa, "FreeRunning"), reason="no free running in this build")
def test_a_free_run_of_several_shards_is_refused() -> None:
    leaves, network, _ = a_run()
    schedule = pa.FreeRunning(2, shards=3, parallel="shards")
    trace = pa.simulate(network, np.ones((2, 4, 2)), schedule, dt=0.01, record=True).trace
    with pytest.raises(pa.TraceError, match="a free run of 3 shards"):
        leaves.replay(network, trace)
