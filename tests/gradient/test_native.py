"""The native reverse pass is the oracle's gradient, the same bits on any threads, and its zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare import batch_of
from hypothesis import assume, given
from hypothesis import strategies as st
from native_case import (
    BOTH,
    assert_close,
    assert_same_bits,
    comparable,
    expected,
    flat,
    native,
    native_gradient,
    recorded,
)
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from strategies import Case
from strategies_gradient import GradientCase, gradient_cases

import pyasync as pa


def test_a_layered_reset_passes_its_gradient_on_though_the_neuron_rests() -> None:
    one = {"weight": np.array([[1.0]])}
    neuron = {"v_threshold": 0.5, "reset": "zero", "refractory": "timestep"}
    net = Network(
        (1,),
        (Population("a", (1,), neuron),),
        (Projection("input", "a", "Linear", one),),
        "float64",
    )
    case = Case(net, np.array([[[1.5]]]), Schedule("Layered"))
    g = GradientCase(case, None, None, np.ones((1, 1)), scope="touched", detach_reset=False)
    network, trace = recorded(g)
    ours, wanted = native(g, network, trace), expected(g, network, trace)
    np.testing.assert_allclose(ours["weights"][0].ravel(), wanted["weights"][0])


@given(gradient_cases(BOTH))
def test_the_native_pass_is_the_oracles_gradient(g: GradientCase) -> None:
    assert_native_is_oracle(g)


@given(gradient_cases(refractory="none", max_populations=2, max_samples=2))
def test_a_silent_update_looks_no_further_than_a_lost_emission(g: GradientCase) -> None:
    options = replace(g.case.options, max_forward_steps=12, spike_dropout=0.5)
    g = replace(g, scope="next_emission", case=replace(g.case, options=options))
    assert_native_is_oracle(g)


def assert_native_is_oracle(g: GradientCase) -> None:
    network, trace = recorded(g)
    ours = native(g, network, trace)
    wanted = expected(g, network, trace)
    assume(g.case.net.dtype == "float64" or wanted["scale"] < 1e6)
    assert all(each is None or each.dtype == network.dtype for each in ours["weights"])
    net = g.case.net
    close_to = comparable(flat(wanted, net), net)
    assert_close(comparable(flat(ours, net), net), close_to, wanted["scale"], net.dtype)


@given(gradient_cases(BOTH, max_samples=9), st.booleans(), st.booleans(), st.booleans())
def test_no_bit_depends_on_threads_repetition_or_what_else_is_asked_for(
    g: GradientCase, want_input: bool, want_initial_v: bool, want_neuron: bool
) -> None:
    network, trace = recorded(g)
    first = native(g, network, trace)
    for threads in (1, 2, 3, 8):
        assert_same_bits(native(g, network, trace, threads=threads), first, g.case.net, ())
    wants = {"input": want_input, "initial_v": want_initial_v}
    asked = {f"want_{name}": wanted for name, wanted in wants.items()}
    fewer = native(g, network, trace, **asked, want_neuron=want_neuron)
    for name, wanted in wants.items():
        assert (fewer[name] is None) == (not wanted)
    assert (fewer["beta"] is None) == (fewer["v_threshold"] is None) == (not want_neuron)
    left_out = tuple(name for name, wanted in wants.items() if not wanted)
    left_out += () if want_neuron else ("beta", "v_threshold")
    assert_same_bits(fewer, first, g.case.net, left_out)
    as_events = native(g, network, trace, x=batch_of(g.case))
    assert_same_bits(as_events, first, g.case.net, ())


@pytest.mark.parametrize("weight", [[[0.5]], [[0.5], [0.0]]], ids=["whole row", "list"])
def test_an_adjoint_that_vanishes_keeps_its_sign_whatever_else_is_asked_for(
    weight: list[list[float]],
) -> None:
    """beta is 7e-28, so that the adjoint underflows to -0; the silent updates then add nothing."""
    projection = pa.Linear(np.array(weight, np.float32))
    network = pa.Network.sequential([projection], pa.LIF(tau_mem=1e-3, v_threshold=1.0))
    x = np.ones((4, 1, 1), np.float32)
    trace = pa.simulate(network, x, pa.Fifo(1), dt=0.0625, record=True).trace
    grad_v = np.full((1, len(weight)), -1.0, np.float32)
    found = [
        native_gradient(network, x, trace, grad_v=grad_v, dt=0.0625, want_neuron=want)["initial_v"]
        for want in (False, True)
    ]
    assert found[0].tobytes() == found[1].tobytes() == np.full_like(grad_v, -0.0).tobytes()


@given(gradient_cases(max_samples=5))
def test_a_batch_is_the_sum_of_its_samples(g: GradientCase) -> None:
    network, trace = recorded(g)
    batch, x, net = native(g, network, trace), batch_of(g.case), g.case.net
    scale = expected(g, network, trace)["scale"]
    total: dict[str, np.ndarray] = {}
    for b in range(len(trace)):
        alone = replace(
            g,
            case=replace(
                g.case, initial_v=None if g.case.initial_v is None else g.case.initial_v[[b]]
            ),
            grad_counts=None if g.grad_counts is None else g.grad_counts[:, [b]],
            grad_spike_counts=None if g.grad_spike_counts is None else g.grad_spike_counts[[b]],
            grad_v=None if g.grad_v is None else g.grad_v[[b]],
        )
        one = native(alone, network, trace[[b]], x=x[[b]])
        assert one["input"].tobytes() == batch["input"][:, [b]].tobytes()
        assert one["initial_v"].tobytes() == batch["initial_v"][[b]].tobytes()
        for name, array in flat(one, net).items():
            total[name] = total.get(name, 0.0) + array
    summed = {k: v for k, v in flat(batch, net).items() if k not in ("input", "initial_v")}
    assert_close({k: total[k] for k in summed}, summed, scale, "float64")


@given(gradient_cases())
def test_what_cannot_reach_the_loss_has_gradient_zero(g: GradientCase) -> None:
    net = g.case.net
    g = replace(g, grad_spike_counts=None, grad_v=None)
    if g.grad_counts is None:
        g = replace(g, grad_counts=np.ones((g.case.n_timesteps, len(g.case.spikes), 1)))
        g = replace(g, grad_counts=np.repeat(g.grad_counts, len(net.output_ids), 2))
    heard = {net.output or net.populations[-1].name}
    for _ in net.populations:
        heard |= {p.source for p in net.projections if p.target in heard}
    ours = native(g, *recorded(g))
    for p, w, bias in zip(net.projections, ours["weights"], ours["biases"], strict=True):
        if p.target not in heard:
            assert w is None or not w.any()
            assert bias is None or not bias.any()


@given(gradient_cases())
def test_without_any_event_only_the_input_and_initial_potential_matter(g: GradientCase) -> None:
    assume(g.case.schedule.kind != "Layered")
    bare = tuple(
        replace(p, arguments={k: v for k, v in p.arguments.items() if k != "bias"})
        for p in g.case.net.projections
    )
    net = replace(g.case.net, projections=bare)
    T, B = g.case.n_timesteps, len(g.case.spikes)
    x = np.zeros((T, B, int(np.prod(net.input_shape))))
    g = replace(g, case=replace(g.case, net=net, x=x))
    ours = native(g, *recorded(g))
    assert not any(w.any() for w in ours["weights"] if w is not None)
    assert not ours["v_threshold"].any()
    if g.grad_v is None:
        assert not any(array.any() for array in flat(ours, net).values())


@given(gradient_cases())
def test_a_silent_network_teaches_only_what_the_loss_counts(g: GradientCase) -> None:
    """Nothing fires, so nothing is delivered: hidden populations hear of no loss."""
    assume(g.scope != "touched")
    never = tuple(
        replace(p, neuron={**p.neuron, "v_threshold": 1e3}) for p in g.case.net.populations
    )
    net = replace(g.case.net, populations=never)
    g = replace(g, case=replace(g.case, net=net), grad_spike_counts=None, grad_v=None)
    network, trace = recorded(g)
    assume(not len(trace.to_steps().fired))
    output = net.output or net.populations[-1].name
    ours = native(g, network, trace)
    for p, w in zip(net.projections, ours["weights"], strict=True):
        if w is not None and (p.target != output or p.source != "input"):
            assert not w.any()
