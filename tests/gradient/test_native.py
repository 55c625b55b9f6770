"""The native reverse pass equals the oracle's gradient, with the same bits on any threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compare import batch_of
from hypothesis import assume, given, reject
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

OF_NEURONS = ("beta", "v_threshold", "alpha")


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
    g = GradientCase(case, grad_state=np.ones((1, 1)), scope="touched", detach_reset=False)
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


@given(gradient_cases(("float32",)))
def test_recorded_potentials_are_enough_for_the_weights(g: GradientCase) -> None:
    """Then only few populations' potentials are recomputed; the others come from the trace."""
    shape = (g.case.n_timesteps, len(g.case.spikes), len(g.case.net.output_ids))
    counts = np.ones(shape, np.float32) if g.grad_counts is None else g.grad_counts
    g = replace(g, scope="spikes", grad_counts=counts, grad_spike_counts=None)
    for detach_reset in (True, False):
        assert_native_is_oracle(replace(g, detach_reset=detach_reset), want_neuron=False)


@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("kind", ["Random", "Layered"])
def test_hidden_spikes_in_float32_learn_from_the_potentials_of_the_trace(
    kind: str, detach_reset: bool
) -> None:
    rng = np.random.default_rng(0)
    sizes = {"input": 6, "a": 8, "b": 6, "c": 3}
    neuron = {"v_threshold": 0.5, "reset": "none"}

    def linear(source: str, target: str) -> Projection:
        weight = rng.normal(0.3, 0.4, (sizes[target], sizes[source])).astype(np.float32)
        return Projection(source, target, "Linear", {"weight": weight})

    net = Network(
        (6,),
        tuple(Population(name, (sizes[name],), neuron) for name in "abc"),
        (linear("input", "a"), linear("a", "b"), linear("b", "c")),
        "float32",
    )
    case = Case(net, rng.random((5, 4, 6)) < 0.5, Schedule(kind, 2, 1))
    counts = rng.normal(0, 1, (5, 4, 3)).astype(np.float32)
    g = GradientCase(case, counts, detach_reset=detach_reset)
    assert_native_is_oracle(g, want_neuron=False)


@pytest.mark.parametrize("groups", [(1, 1), (1, 2), (2, 1), (2, 2)], ids=str)
@pytest.mark.parametrize("dense", [1.0, 0.6], ids=["runs", "lists"])
def test_silent_updates_hear_of_the_convolution_that_they_could_feed(
    groups: tuple[int, int], dense: float
) -> None:
    """Neighbouring positions are computed together, and each gets its own derivative."""
    rng = np.random.default_rng(0)

    def conv(source: str, target: str, n_in: int, n_out: int, at: int) -> Projection:
        shape = (n_out, n_in // groups[at], 2, 2)
        weight = rng.normal(0.1, 0.5, shape) * (rng.random(shape) < dense)
        given = {"weight": weight, "bias": None, "groups": groups[at]}
        return Projection(
            source, target, "Conv2d", given | {"stride": 1, "padding": 0, "dilation": 1}
        )

    net = Network(
        (2, 4, 4),
        (
            Population("before", (3,), {"v_threshold": 0.6}),
            Population("a", (4, 3, 3), {"v_threshold": 0.6}),
            Population("b", (6, 2, 2), {"v_threshold": 0.3}),
        ),
        (
            Projection("input", "before", "Linear", {"weight": rng.normal(0, 0.3, (3, 32))}),
            conv("input", "a", 2, 4, 0),
            conv("a", "b", 4, 6, 1),
        ),
        "float64",
    )
    case = Case(net, rng.random((3, 2, 32)) < 0.2, Schedule("Random", 2, 1))
    shapes = ((3, 2, 24), (3, 2, 24), (2, 63), (2, 63))
    cotangents = (rng.normal(0, 1, shape) for shape in shapes)
    assert_native_is_oracle(GradientCase(case, *cotangents, scope="touched"))


def assert_native_is_oracle(g: GradientCase, want_neuron: bool = True) -> None:
    network, trace = recorded(g)
    ours = native(g, network, trace, want_neuron=want_neuron)
    wanted = expected(g, network, trace)
    if g.case.net.dtype == "float32" and wanted["scale"] >= 1e6:
        reject()
    assert all(each is None or each.dtype == network.dtype for each in ours["weights"])
    net = g.case.net
    close_to = comparable(flat(wanted, net), net)
    if not want_neuron:
        close_to = {k: v for k, v in close_to.items() if k not in OF_NEURONS}
    assert_close(comparable(flat(ours, net), net), close_to, wanted["scale"], net.dtype)


@given(gradient_cases(BOTH, max_samples=9), st.booleans(), st.booleans(), st.booleans())
def test_no_bit_depends_on_threads_repetition_or_what_else_is_asked_for(
    g: GradientCase, want_input: bool, want_initial_state: bool, want_neuron: bool
) -> None:
    network, trace = recorded(g)
    first = native(g, network, trace)
    for threads in (1, 2, 3, 8):
        assert_same_bits(native(g, network, trace, threads=threads), first, g.case.net, ())
    wants = {"input": want_input, "initial_state": want_initial_state}
    asked = {f"want_{name}": wanted for name, wanted in wants.items()}
    fewer = native(g, network, trace, **asked, want_neuron=want_neuron)
    for name, wanted in wants.items():
        assert (fewer[name] is None) == (not wanted)
    for name in OF_NEURONS:
        flows = name != "alpha" or g.case.net.has_current.any()
        assert (fewer[name] is None) == (not (want_neuron and flows))
    left_out = tuple(name for name, wanted in wants.items() if not wanted)
    left_out += () if want_neuron else OF_NEURONS
    assert_same_bits(fewer, first, g.case.net, left_out)
    as_events = native(g, network, trace, x=batch_of(g.case))
    assert_same_bits(as_events, first, g.case.net, ())


@pytest.mark.parametrize("weight", [[[0.5]], [[0.5], [0.0]]], ids=["whole row", "list"])
def test_an_adjoint_that_vanishes_keeps_its_sign_whatever_else_is_asked_for(
    weight: list[list[float]],
) -> None:
    """beta is 7e-28, so the adjoint underflows to -0; the silent updates then add nothing to it."""
    projection = pa.Linear(np.array(weight, np.float32))
    network = pa.Network.sequential([projection], pa.LIF(tau_mem=1e-3, v_threshold=1.0))
    x = np.ones((4, 1, 1), np.float32)
    trace = pa.simulate(network, x, pa.Fifo(1), dt=0.0625, record=True).trace
    given = {"grad_state": np.full((1, len(weight)), -1.0, np.float32), "dt": 0.0625}
    found = [
        native_gradient(network, x, trace, **given, want_neuron=want)["initial_state"]
        for want in (False, True)
    ]
    vanished = np.full((1, len(weight)), -0.0, np.float32).tobytes()
    assert found[0].tobytes() == found[1].tobytes() == vanished


@given(gradient_cases(max_samples=5))
def test_a_batch_is_the_sum_of_its_samples(g: GradientCase) -> None:
    network, trace = recorded(g)
    batch, x, net = native(g, network, trace), batch_of(g.case), g.case.net
    scale = expected(g, network, trace)["scale"]
    total: dict[str, np.ndarray] = {}
    for b in range(len(trace)):
        one = native(g.sample(b), network, trace[[b]], x=x[[b]])
        assert one["input"].tobytes() == batch["input"][:, [b]].tobytes()
        assert one["initial_state"].tobytes() == batch["initial_state"][[b]].tobytes()
        for name, array in flat(one, net).items():
            total[name] = total.get(name, 0.0) + array
    summed = {k: v for k, v in flat(batch, net).items() if k not in ("input", "initial_state")}
    assert_close({k: total[k] for k in summed}, summed, scale, "float64")


@given(gradient_cases())
def test_what_cannot_reach_the_loss_has_gradient_zero(g: GradientCase) -> None:
    net = g.case.net
    g = replace(g, grad_spike_counts=None, grad_state=None)
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
def test_without_any_event_only_the_input_and_initial_state_matter(g: GradientCase) -> None:
    assume(g.case.schedule.kind != "Layered")
    bare = tuple(
        replace(p, arguments={k: v for k, v in p.arguments.items() if k != "bias"})
        for p in g.case.net.projections
    )
    net = replace(g.case.net, projections=bare)
    T, B = g.case.n_timesteps, len(g.case.spikes)
    x = np.zeros((T, B, int(np.prod(net.input_shape))))
    g = replace(g, case=replace(g.case, net=net, x=x, initial_current=None))
    ours = native(g, *recorded(g))
    assert not any(w.any() for w in ours["weights"] if w is not None)
    assert not ours["v_threshold"].any()
    assert ours["alpha"] is None or not ours["alpha"].any()
    if g.grad_state is None and g.grad_output_v is None:
        assert not any(array.any() for array in flat(ours, net).values())


@given(gradient_cases())
def test_a_silent_network_teaches_only_what_the_loss_counts(g: GradientCase) -> None:
    """Nothing fires, so nothing is delivered, and hidden populations get no gradient."""
    assume(g.scope != "touched")
    never = tuple(
        replace(p, neuron={**p.neuron, "v_threshold": 1e3}) for p in g.case.net.populations
    )
    net = replace(g.case.net, populations=never)
    g = replace(g, case=replace(g.case, net=net), grad_spike_counts=None, grad_state=None)
    network, trace = recorded(g)
    assume(not len(trace.to_steps().fired))
    output = net.output or net.populations[-1].name
    ours = native(g, network, trace)
    for p, w in zip(net.projections, ours["weights"], strict=True):
        if w is not None and (p.target != output or p.source != "input"):
            assert not w.any()
