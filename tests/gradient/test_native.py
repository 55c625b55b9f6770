"""The native reverse pass is the oracle's gradient, PyTorch's and snnTorch's; and never panics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import oracle_gradient as oracle
import pytest
from compare import batch_of, build, build_input, run
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from strategies import Case
from strategies_gradient import (
    SCOPES,
    SURROGATES,
    GradientCase,
    gradient_cases,
    layered_chains,
)

import pyasync as pa
from pyasync.simulate import _input

Gradients = dict[str, Any]
Pass = Callable[..., Gradients]
BOTH = ("float64", "float64", "float32")
NAMES = ("weights", "biases", "beta", "v_threshold", "input", "initial_v")

needs_native = pytest.mark.skipif(
    not hasattr(pa._core, "gradient"), reason="the engine was built without the reverse pass"
)


def native_gradient(
    network: pa.Network,
    x: Any,
    trace: pa.Trace,
    grad_counts: np.ndarray | None = None,
    grad_spike_counts: np.ndarray | None = None,
    grad_v: np.ndarray | None = None,
    *,
    dt: float,
    surrogate: tuple[str, float] = ("atan", 2.0),
    scope: str = "spikes",
    detach_reset: bool = True,
    initial_v: np.ndarray | None = None,
    threads: int = 1,
    want_input: bool = True,
    want_neuron: bool = True,
) -> Gradients:
    batch, _, _, dt = _input(network, x, dt, False)
    options = {
        "dt": dt,
        "threads": threads,
        "surrogate": surrogate,
        "gradient_scope": scope,
        "detach_reset": detach_reset,
        "initial_v": initial_v,
        "want_input": want_input,
        "want_neuron": want_neuron,
    }
    gradient: Gradients = pa._core.gradient(
        network.build(), batch, trace.core, grad_counts, grad_spike_counts, grad_v, options
    )
    return gradient


def recorded(g: GradientCase) -> tuple[pa.Network, pa.Trace]:
    network = build(g.case.net)
    trace = run(g.case, network).trace
    assert trace is not None
    if g.replayed:
        trace = run(g.case, network, schedule=pa.Replay(trace)).trace
        assert trace is not None
    return network, trace


def native(g: GradientCase, network: pa.Network, trace: pa.Trace, **overrides: Any) -> Gradients:
    return native_gradient(
        network,
        overrides.pop("x", None) if "x" in overrides else build_input(g.case),
        trace,
        g.grad_counts,
        g.grad_spike_counts,
        g.grad_v,
        **{"dt": g.case.dt, **g.options, **overrides},
    )


def expected(g: GradientCase, network: pa.Network, trace: pa.Trace) -> Gradients:
    c = g.case
    return oracle.gradient(
        c.net,
        network.decay(c.dt),
        c.spikes,
        trace.to_steps(),
        g.grad_counts,
        g.grad_spike_counts,
        g.grad_v,
        layered=c.schedule.kind == "Layered",
        at_once=c.options.input_mode == "at_once",
        **g.options,
    )


def flat(gradient: Gradients, net: Network) -> dict[str, np.ndarray]:
    """Every gradient under a name of its own; absent ones left out."""
    arrays = {name: gradient[name] for name in NAMES[2:]}
    for name, one in (("weights", "weight"), ("biases", "bias")):
        assert len(gradient[name]) == len(net.projections)
        arrays |= {f"{one} {k}": each for k, each in enumerate(gradient[name])}
    return {k: np.ravel(v) for k, v in arrays.items() if v is not None}


def comparable(arrays: dict[str, np.ndarray], net: Network) -> dict[str, np.ndarray]:
    """Without what the engine need not give: pools, biases there are not, stored zeros."""
    arrays = dict(arrays)
    for k, p in enumerate(net.projections):
        if p.kind.endswith("Pool2d"):
            arrays.pop(f"weight {k}", None)
        if p.arguments.get("bias") is None:
            arrays.pop(f"bias {k}", None)
        if p.kind == "Sparse":
            stored = p.arguments["csr"][2]
            arrays[f"weight {k}"] = np.where(stored == 0, 0.0, arrays[f"weight {k}"])
    return arrays


def assert_close(
    actual: dict[str, np.ndarray], wanted: dict[str, np.ndarray], scale: float, dtype: str
) -> None:
    relative = 1e-10 if dtype == "float64" else 2e-4
    assert set(actual) == set(wanted)
    for name, array in wanted.items():
        given = actual[name].astype(np.float64)
        assert given.shape == array.shape, name
        size = max(scale, float(np.abs(array).max(initial=0.0)))
        np.testing.assert_allclose(given, array, relative, relative * size, err_msg=name)


def assert_same_bits(a: Gradients, b: Gradients, net: Network, left_out: tuple[str, ...]) -> None:
    """`a` is `b` without what is left out."""
    one, two = flat(a, net), flat(b, net)
    assert set(one) == set(two) - set(left_out)
    for name in one:
        assert one[name].dtype == two[name].dtype == np.dtype(net.dtype)
        assert one[name].tobytes() == two[name].tobytes(), name


# The oracle itself: PyTorch differentiates the recorded run, with z as a straight-through value.


def torch_gradient(g: GradientCase, network: pa.Network, trace: pa.Trace) -> Gradients:
    """Autograd of the recorded steps in which each spike is z + s' (x - x0), z as recorded."""
    torch = pytest.importorskip("torch")
    c = g.case
    layered, at_once = c.schedule.kind == "Layered", c.options.input_mode == "at_once"
    p = oracle.Parameters(c.net, network.decay(c.dt))

    def leaf(array: np.ndarray) -> Any:
        return torch.tensor(np.asarray(array, float), requires_grad=True)

    parameters = []
    for q, m, at in zip(c.net.projections, p.matrices, p.indices, strict=True):
        values = np.zeros(oracle.parameter_size(q, len(m)))
        values[at[at >= 0]] = m[at >= 0]
        parameters.append(leaf(values))
    matrices = [
        torch.cat([w, torch.zeros(1)])[torch.from_numpy(at)]
        if len(w)
        else torch.from_numpy(m.astype(float))
        for w, at, m in zip(parameters, p.indices, p.matrices, strict=True)
    ]
    biases, beta, theta = [leaf(b) for b in p.biases], leaf(p.beta), leaf(p.theta)
    B, T, n = len(c.spikes), c.n_timesteps, c.net.n_neurons
    initial = leaf(np.zeros((B, n)) if c.initial_v is None else c.initial_v)
    dense = np.zeros((T, B, int(np.prod(c.net.input_shape))))
    for b, t in np.ndindex(B, T):
        for channel, m in c.spikes[b][t]:
            dense[t, b, channel] = np.dtype(c.net.dtype).type(m)
    x, loss = leaf(dense), torch.zeros((), dtype=torch.float64)
    steps = trace.to_steps()
    for b in range(B):
        again = oracle.run_again(p, c.spikes[b], steps, b, c.initial_v, layered, at_once)
        soft: dict[int, Any] = {}  # of each spike, by identity
        silent: list[tuple[int, oracle.Step, int, Any]] = []
        v = list(initial[b])
        for at, step in enumerate(again.steps):
            if step.v_before is not None:
                v = [beta[k] * v[k] for k in range(n)]
            i = torch.zeros(n, dtype=torch.float64)

            def add(k: int, values: Any, i: Any = i) -> None:
                i[p.targets[k]] = i[p.targets[k]] + values

            for k in step.biased:
                add(k, biases[k])
            for k in step.opened:
                add(k, matrices[k] @ x[step.timestep, b])
            for k, s in step.arriving:
                column = matrices[k][:, p.column(k, s.neuron)]
                if s.neuron >= 0:
                    add(k, column * soft[id(s)])
                elif k not in step.opened:
                    add(k, column * x[s.timestep, b, -1 - s.neuron])
            for k, to, neuron, z in silent:
                if to is step:
                    add(k, matrices[k][:, p.column(k, neuron)] * z)
            v = [v[k] if step.refractory[k] else v[k] + i[k] for k in range(n)]
            for u in step.updates:
                j, fired = u.neuron, u.spike is not None
                over = v[j] - theta[j]
                s = oracle.DERIVATIVES[g.surrogate[0]](u.x, g.surrogate[1])
                z = float(fired) + s * (over - over.detach())
                if g.grad_counts is not None and j in c.net.output_ids:
                    column = j - c.net.output_ids.start
                    loss = loss + z * float(g.grad_counts[step.timestep, b, column])
                if g.grad_spike_counts is not None:
                    loss = loss + z * float(g.grad_spike_counts[b, j])
                through = z.detach() if g.detach_reset else z
                if p.reset[j] == "zero":
                    rests = fired and p.can_rest[j] and not u.spike.skipped and not layered
                    v[j] = v[j] * (1 - through)
                    if rests and not g.detach_reset:
                        v[j] = v[j].detach()
                elif p.reset[j] == "subtract":
                    v[j] = v[j] - through * theta[j]
                if fired:
                    soft[id(u.spike)] = z
                else:
                    ends = again.silence(g.scope, layered, at, j)
                    silent += [(k, to, j, z) for k, to in ends]
        if g.grad_v is not None:
            loss = loss + sum(v[k] * float(g.grad_v[b, k]) for k in range(n))
    leaves = [*parameters, *biases, beta, theta, x, initial]
    if loss.requires_grad:
        loss.backward()
    grads = [np.zeros(w.shape) if w.grad is None else w.grad.numpy() for w in leaves]
    k = len(parameters)
    return dict(zip(NAMES, [grads[:k], grads[k : 2 * k], *grads[2 * k :]], strict=True))


@given(gradient_cases(max_samples=2, max_populations=3))
def test_the_oracle_is_autograd_of_the_recorded_run(g: GradientCase) -> None:
    network, trace = recorded(g)
    ours = expected(g, network, trace)
    theirs = torch_gradient(g, network, trace)
    assert_close(flat(ours, g.case.net), flat(theirs, g.case.net), ours["scale"], "float64")


# Tiny networks worked by hand.

CHAIN = Network(
    (1,),
    (Population("a", (1,), {"v_threshold": 0.5}), Population("b", (1,), {"v_threshold": 1.0})),
    (
        Projection("input", "a", "Linear", {"weight": np.array([[1.0]])}),
        Projection("a", "b", "Linear", {"weight": np.array([[0.5]])}),
    ),
    "float64",
)


def by_hand(scope: str, x: float) -> GradientCase:
    """One spike of `x` in one timestep, loss = v of b at the end + its count."""
    case = Case(CHAIN, np.array([[[x]]]), Schedule("Fifo", 1))
    one = np.ones((1, 1, 1))
    return GradientCase(case, one, None, np.array([[0.0, 1.0]]), ("atan", 2.0), scope)


PASSES = pytest.mark.parametrize(
    "gradient_of", [expected, pytest.param(native, marks=needs_native)], ids=["oracle", "native"]
)


@PASSES
@pytest.mark.parametrize("scope", SCOPES)
def test_a_chain_that_fires_is_what_one_computes_by_hand(gradient_of: Pass, scope: str) -> None:
    # a: v' = 1.5 > 0.5 fires, x = 1.  b: v' = 0.5, silent, x = -0.5.
    s_a, s_b = 1 / (1 + np.pi**2), 1 / (1 + (np.pi / 2) ** 2)
    b_b = 1 + s_b  # dL/dv = 1, and e = dL/dcount = 1
    b_a = s_a * 0.5 * b_b  # a is reset, so that only its spike counts: e = w b_b
    g = by_hand(scope, 1.5)
    ours = gradient_of(g, *recorded(g))
    np.testing.assert_allclose(np.ravel(ours["weights"][1]), [b_b])
    np.testing.assert_allclose(np.ravel(ours["weights"][0]), [1.5 * b_a])
    np.testing.assert_allclose(ours["input"], [[[b_a]]])
    np.testing.assert_allclose(ours["v_threshold"], [-b_a, -s_b])
    assert ours["initial_v"][0, 1] == pytest.approx(b_b * np.exp(-0.5))


@PASSES
def test_a_carried_spike_is_heard_from_where_it_was_delivered(gradient_of: Pass) -> None:
    # Timestep 0: the input is delivered and a fires. Timestep 1: that spike reaches b.
    s_a, s_b = 1 / (1 + np.pi**2), 1 / (1 + (np.pi / 2) ** 2)
    b_b = 1 + s_b
    b_a = s_a * 0.5 * b_b
    g = by_hand("spikes", 1.5)
    options = Options("scheduled", max_forward_steps=2, on_stop="carry")
    case = replace(g.case, x=np.array([[[1.5]], [[0.0]]]), options=options)
    g = replace(g, case=case, grad_counts=np.ones((2, 1, 1)))
    ours = gradient_of(g, *recorded(g))
    np.testing.assert_allclose(np.ravel(ours["weights"][1]), [b_b])
    np.testing.assert_allclose(np.ravel(ours["weights"][0]), [1.5 * b_a])
    np.testing.assert_allclose(ours["input"], [[[b_a]], [[0.0]]])
    assert ours["initial_v"][0, 1] == pytest.approx(b_b * np.exp(-1))


@PASSES
def test_a_carried_input_has_its_gradient_where_it_joined(gradient_of: Pass) -> None:
    # Nothing fires and nothing decays: v is 1 x[0] + 2 x[1], whenever they are delivered.
    net = Network(
        (2,),
        (Population("a", (1,), {"v_threshold": 1e3, "tau_mem": np.inf}),),
        (Projection("input", "a", "Linear", {"weight": np.array([[1.0, 2.0]])}),),
        "float64",
    )
    options = Options("scheduled", max_forward_steps=2, on_stop="carry")
    case = Case(net, np.array([[[1.0, 1.0]], [[0.0, 0.0]]]), Schedule("Fifo", 1), options)
    g = GradientCase(case, None, None, np.ones((1, 1)))
    ours = gradient_of(g, *recorded(g))
    assert ours["input"].tolist() == [[[1.0, 2.0]], [[0.0, 0.0]]]
    assert ours["weights"][0].ravel().tolist() == [1.0, 1.0]


@PASSES
def test_only_scope_touched_hears_of_a_neuron_that_stayed_silent(gradient_of: Pass) -> None:
    # a: v' = 0.4, silent: nothing is emitted, and no second step is run.
    g = by_hand("spikes", 0.4)
    network, trace = recorded(g)
    for scope in SCOPES:
        ours = gradient_of(replace(g, scope=scope), network, trace)
        assert not ours["weights"][0].any()
    # Under Layered b is visited all the same (x = -1), and its adjoint reaches a.
    g = replace(g, scope="touched", case=replace(g.case, schedule=Schedule("Layered")))
    ours = gradient_of(g, *recorded(g))
    s_a, s_b = 1 / (1 + (0.1 * np.pi) ** 2), 1 / (1 + np.pi**2)
    np.testing.assert_allclose(np.ravel(ours["weights"][0]), [0.4 * s_a * 0.5 * (1 + s_b)])
    assert ours["weights"][1].ravel().tolist() == [0.0]


# Layered and "touched": backpropagation through time.


def torch_derivative(torch: Any, surrogate: tuple[str, float]) -> Any:
    name, c = surrogate
    return {
        "atan": lambda x: c / 2 / (1 + (torch.pi / 2 * c * x) ** 2),
        "fast_sigmoid": lambda x: 1 / (1 + c * x.abs()) ** 2,
        "sigmoid": lambda x: c * torch.sigmoid(c * x) * torch.sigmoid(-c * x),
        "triangular": lambda x: torch.where(x < 0, c, -c),
        "straight_through_estimator": lambda x: torch.ones_like(x),
    }[name]


def bptt(g: GradientCase, network: pa.Network) -> Gradients:
    """The usual training loop over timesteps and layers, differentiated by PyTorch."""
    torch = pytest.importorskip("torch")
    derivative, c = torch_derivative(torch, g.surrogate), g.case

    class Fire(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * derivative(ctx.saved_tensors[0])

    def leaf(array: Any) -> Any:
        return torch.tensor(np.asarray(array), requires_grad=True)

    sizes = [p.size for p in c.net.populations]
    names = [p.name for p in c.net.populations]
    T, B = c.x.shape[:2]
    thetas = np.repeat([p.neuron["v_threshold"] for p in c.net.populations], sizes)
    beta, theta, x = leaf(network.decay(c.dt)), leaf(thetas), leaf(c.x)
    weights = [leaf(p.arguments["weight"]) for p in c.net.projections]
    biases = [
        leaf(np.zeros(len(w)) if (b := p.arguments["bias"]) is None else b)
        for p, w in zip(c.net.projections, weights, strict=True)
    ]
    initial = leaf(np.zeros((B, c.net.n_neurons)) if c.initial_v is None else c.initial_v)
    v, betas, thresholds = list(initial.split(sizes, 1)), beta.split(sizes), theta.split(sizes)
    before = [torch.zeros(B, n, dtype=x.dtype) for n in sizes]
    total, counts = [torch.zeros_like(z) for z in before], []
    for t in range(T):
        now: list[Any] = []
        for k, name in enumerate(names):
            u = v[k] * betas[k]
            for p, w, bias in zip(c.net.projections, weights, biases, strict=True):
                if p.target == name:
                    source = -1 if p.source == "input" else names.index(p.source)
                    z = x[t] if source < 0 else now[source] if source < k else before[source]
                    u = u + z @ w.T + bias
            z = Fire.apply(u - thresholds[k])
            through = z.detach() if g.detach_reset else z
            reset = c.net.populations[k].neuron["reset"]
            v[k] = {"zero": u * (1 - through), "subtract": u - through * thresholds[k], "none": u}[
                reset
            ]
            now.append(z)
            total[k] = total[k] + z
        before = now
        counts.append(now[-1])
    loss = (torch.stack(counts) * torch.from_numpy(g.grad_counts)).sum()
    loss = loss + (torch.cat(total, 1) * torch.from_numpy(g.grad_spike_counts)).sum()
    loss = loss + (torch.cat(v, 1) * torch.from_numpy(g.grad_v)).sum()
    loss.backward()
    leaves = [*weights, *biases, beta, theta, x, initial]
    grads = [each.grad.numpy() for each in leaves]
    k = len(weights)
    return dict(zip(NAMES, [grads[:k], grads[k : 2 * k], *grads[2 * k :]], strict=True))


@given(layered_chains())
def test_the_oracle_of_layered_and_touched_is_bptt(g: GradientCase) -> None:
    network, trace = recorded(g)
    ours = flat(expected(g, network, trace), g.case.net)
    theirs = flat(bptt(g, network), g.case.net)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, 1e-12, 1e-12, err_msg=name)


@needs_native
@given(layered_chains())
def test_layered_and_touched_is_bptt(g: GradientCase) -> None:
    network, trace = recorded(g)
    ours = comparable(flat(native(g, network, trace), g.case.net), g.case.net)
    theirs = comparable(flat(bptt(g, network), g.case.net), g.case.net)
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, 1e-12, 1e-12, err_msg=name)


PEERS = (*SURROGATES[:2], ("sigmoid", 3.0), *SURROGATES[3:])  # snnTorch's sigmoid overflows at 25


@needs_native
@given(layered_chains("float32", plain=True, detach_reset=False, reset="zero", surrogates=PEERS))
def test_layered_and_touched_is_snntorch_leaky(g: GradientCase) -> None:
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    from snntorch import surrogate

    c = g.case
    network, trace = recorded(g)
    name, value = g.surrogate
    fire = getattr(surrogate, name)(*(() if name.startswith("straight") else (value,)))
    beta = network.decay(c.dt)
    at = np.cumsum([0, *(p.size for p in c.net.populations)])
    layers = [
        snntorch.Leaky(
            torch.from_numpy(beta[first:last]),
            threshold=p.neuron["v_threshold"],
            spike_grad=fire,
            learn_beta=True,
            reset_mechanism="zero",
            reset_delay=False,
        )
        for p, (first, last) in zip(c.net.populations, pairwise(at), strict=True)
    ]
    x = torch.tensor(c.x, requires_grad=True)
    weights = [torch.tensor(p.arguments["weight"], requires_grad=True) for p in c.net.projections]
    mem = [torch.zeros(c.x.shape[1], p.size) for p in c.net.populations]
    counts = []
    for z in x:
        for k, w in enumerate(weights):
            z, mem[k] = layers[k](z @ w.T, mem[k])
        counts.append(z)
    assert np.array_equal(torch.stack(counts).detach().numpy(), run(c, network).counts)
    loss = (torch.stack(counts) * torch.from_numpy(g.grad_counts)).sum()
    (loss + (torch.cat(mem, 1) * torch.from_numpy(g.grad_v)).sum()).backward()
    theirs = {f"weight {k}": w.grad.numpy().ravel() for k, w in enumerate(weights)}
    theirs |= {
        "beta": np.concatenate([layer.beta.grad.numpy() for layer in layers]),
        "input": x.grad.numpy().ravel(),
    }
    ours = flat(native(g, network, trace), c.net)
    scale = expected(g, network, trace)["scale"]
    assert_close({name: ours[name] for name in theirs}, theirs, scale, "float32")


# The native pass.


@needs_native
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


@needs_native
@given(gradient_cases(BOTH))
def test_the_native_pass_is_the_oracles_gradient(g: GradientCase) -> None:
    assert_native_is_oracle(g)


@needs_native
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


@needs_native
@given(gradient_cases(BOTH, max_samples=9), st.booleans(), st.booleans())
def test_no_bit_depends_on_threads_repetition_or_what_else_is_asked_for(
    g: GradientCase, want_input: bool, want_neuron: bool
) -> None:
    network, trace = recorded(g)
    first = native(g, network, trace)
    for threads in (1, 2, 3, 8):
        assert_same_bits(native(g, network, trace, threads=threads), first, g.case.net, ())
    fewer = native(g, network, trace, want_input=want_input, want_neuron=want_neuron)
    assert (fewer["input"] is None) == (not want_input)
    assert (fewer["beta"] is None) == (fewer["v_threshold"] is None) == (not want_neuron)
    left_out = () if want_input else ("input",)
    left_out += () if want_neuron else ("beta", "v_threshold")
    assert_same_bits(fewer, first, g.case.net, left_out)
    as_events = native(g, network, trace, x=batch_of(g.case))
    assert_same_bits(as_events, first, g.case.net, ())


@needs_native
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


@needs_native
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


@needs_native
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


@needs_native
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


def a_run() -> tuple[pa.Network, np.ndarray, pa.Trace]:
    rng = np.random.default_rng(0)
    network = pa.Network.sequential(
        [pa.Linear(rng.normal(0.4, 0.6, (4, 3))), pa.Linear(rng.normal(0.4, 0.6, (2, 4)))],
        pa.LIF(v_threshold=0.3),
    )
    x = rng.random((5, 3, 3)) < 0.5
    trace = pa.simulate(network, x, pa.Fifo(2), dt=0.01, record=True).trace
    assert trace is not None
    return network, x, trace


def test_the_run_that_is_spoiled_below_is_a_good_one() -> None:
    _, _, trace = a_run()
    assert trace.n_emitted > 10


ONES = np.ones((5, 3, 2))
SPOILED: dict[str, dict[str, Any]] = {
    "counts of too few timesteps": {"grad_counts": ONES[:4]},
    "counts of too few samples": {"grad_counts": ONES[:, :2]},
    "counts of too many outputs": {"grad_counts": np.ones((5, 3, 3))},
    "counts without axes": {"grad_counts": np.ones(30)},
    "counts in float32": {"grad_counts": ONES.astype("float32")},
    "counts in integers": {"grad_counts": ONES.astype(int)},
    "counts as a list": {"grad_counts": ONES.tolist()},
    "counts with a NaN": {"grad_counts": np.where(np.arange(30).reshape(5, 3, 2) == 7, np.nan, 1)},
    "counts with infinity": {"grad_counts": ONES * np.inf},
    "spike counts of outputs only": {"grad_spike_counts": np.ones((3, 2))},
    "spike counts transposed": {"grad_spike_counts": np.ones((6, 3))},
    "spike counts in float32": {"grad_spike_counts": np.ones((3, 6), "float32")},
    "spike counts with a NaN": {"grad_spike_counts": np.full((3, 6), np.nan)},
    "v of too few samples": {"grad_v": np.ones((2, 6))},
    "v in float32": {"grad_v": np.ones((3, 6), "float32")},
    "v with a NaN": {"grad_v": np.full((3, 6), np.nan)},
    "initial_v of another shape": {"initial_v": np.zeros((3, 5))},
    "initial_v in float32": {"initial_v": np.zeros((3, 6), "float32")},
    "initial_v with a NaN": {"initial_v": np.full((3, 6), np.nan)},
    "another dt": {"dt": 0.02},
    "an unknown scope": {"scope": "everything"},
    "an unknown surrogate": {"surrogate": ("heaviside", 1.0)},
    "a surrogate of NaN": {"surrogate": ("atan", float("nan"))},
    "input of more samples": {"x": np.zeros((5, 4, 3))},
    "input of fewer timesteps": {"x": np.zeros((4, 3, 3))},
}


@needs_native
@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED.keys())
def test_bad_arguments_are_named(spoiled: dict[str, Any]) -> None:
    network, x, trace = a_run()
    arguments: dict[str, Any] = {"x": x, "dt": 0.01, "grad_counts": ONES, **spoiled}
    with pytest.raises(pa.PyasyncError) as raised:
        native_gradient(network, trace=trace, **arguments)
    [name] = spoiled
    if name not in ("x", "scope", "dt"):
        assert name in str(raised.value)


def other_networks() -> dict[str, Callable[[], pa.Network]]:
    rng = np.random.default_rng(1)
    w = [rng.normal(0.4, 0.6, shape) for shape in ((4, 3), (2, 4), (5, 3), (2, 5))]
    lif = pa.LIF(v_threshold=0.3)
    return {
        "float32": lambda: pa.Network.sequential(
            [pa.Linear(w[0]), pa.Linear(w[1])], lif, dtype="float32"
        ),
        "more neurons": lambda: pa.Network.sequential([pa.Linear(w[2]), pa.Linear(w[3])], lif),
        "no hidden synapses": lambda: pa.Network.sequential(
            [pa.Linear(w[0]), pa.Linear(0 * w[1])], lif
        ),
        "other populations": lambda: pa.Network.sequential(
            [pa.Linear(w[0][:2]), pa.Linear(w[1].T[:, :2])], lif
        ),
    }


@needs_native
@pytest.mark.parametrize("other", other_networks().values(), ids=other_networks().keys())
def test_a_trace_of_another_network_is_refused(other: Callable[[], pa.Network]) -> None:
    network, x, trace = other(), *a_run()[1:]
    with pytest.raises(pa.PyasyncError):
        native_gradient(network, x, trace, ONES.astype(network.dtype), dt=0.01)


@needs_native
@given(gradient_cases(max_samples=2), gradient_cases(max_samples=2))
def test_any_trace_with_any_network_gives_numbers_or_a_named_error(
    g: GradientCase, other: GradientCase
) -> None:
    network, _ = recorded(g)
    _, foreign = recorded(other)
    try:
        ours = native(g, network, foreign)
    except pa.PyasyncError:
        return
    assert ours["initial_v"].shape == (len(g.case.spikes), g.case.net.n_neurons)


@needs_native
@given(gradient_cases(BOTH), st.integers(0, 2**32))
def test_a_trace_of_other_input_gives_numbers_or_a_named_error(g: GradientCase, seed: int) -> None:
    network, trace = recorded(g)
    rng = np.random.default_rng(seed)
    shape = (g.case.n_timesteps, len(g.case.spikes), int(np.prod(g.case.net.input_shape)))
    try:
        native(g, network, trace, x=rng.random(shape) < rng.random())
    except pa.PyasyncError:
        return
