"""The oracle's gradient equals autograd of the recorded run, and results computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import oracle_gradient as oracle
import pytest
from hypothesis import given
from native_case import (
    NAMES,
    Gradients,
    assert_close,
    expected,
    flat,
    native,
    recorded,
)
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from strategies import Case
from strategies_gradient import SCOPES, GradientCase, gradient_cases

import pyasync as pa

Pass = Callable[..., Gradients]


# PyTorch differentiates the recorded run, with z as a straight-through value.


def torch_gradient(g: GradientCase, network: pa.Network, trace: pa.Trace) -> Gradients:
    """Autograd of the recorded steps in which each spike is z + s' (x - x0), z as recorded."""
    torch = pytest.importorskip("torch")
    c = g.case
    layered, at_once = c.schedule.kind == "Layered", c.options.input_mode == "at_once"
    p = oracle.Parameters(c.net, network.decay(c.dt), network.synaptic_decay(c.dt))

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
    biases, beta = [leaf(b) for b in p.biases], leaf(p.beta)
    # Only its derivative counts here.
    theta = leaf(np.minimum(p.theta, 1e3))
    alpha, flows = leaf(p.alpha), p.has_current
    B, T, n = len(c.spikes), c.n_timesteps, c.net.n_neurons
    initial = leaf(np.zeros((B, c.net.n_state)) if c.initial_state is None else c.initial_state)
    dense = np.zeros((T, B, int(np.prod(c.net.input_shape))))
    for b, t in np.ndindex(B, T):
        for channel, m in c.spikes[b][t]:
            dense[t, b, channel] = np.dtype(c.net.dtype).type(m)
    x, loss = leaf(dense), torch.zeros((), dtype=torch.float64)
    steps = trace.to_steps()
    for b in range(B):
        again = oracle.run_again(p, c.spikes[b], steps, b, c.initial_state, layered, at_once)
        soft: dict[int, Any] = {}  # of each spike, by identity
        silent: list[tuple[int, oracle.Step, int, Any]] = []
        v, current = list(initial[b, :n]), list(initial[b, n:]) or [torch.zeros(())] * n
        for at, step in enumerate(again.steps):
            if step.v_before is not None:
                v = [beta[k] * v[k] for k in range(n)]
                current = [alpha[k] * current[k] for k in range(n)]
            i = torch.zeros(n, dtype=torch.float64)
            if step.flows.any():
                delivered = torch.from_numpy(step.flows)
                i = torch.where(delivered, torch.stack(current), i)
                taken = torch.zeros((), dtype=torch.float64)
                current = [taken if step.flows[k] else current[k] for k in range(n)]

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
            current = [current[k] + i[k] if flows[k] else current[k] for k in range(n)]
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
                constant = g.detach_reset or p.theta[j] == np.inf
                through = z.detach() if constant else z
                if p.reset[j] == "zero":
                    rests = fired and p.can_rest[j] and not u.spike.skipped and not layered
                    v[j] = v[j] * (1 - through)
                    if rests and not g.detach_reset:
                        v[j] = v[j].detach()
                elif p.reset[j] == "subtract":
                    v[j] = v[j] - through * (float(p.amount[j]) if p.has_amount[j] else theta[j])
                if fired:
                    soft[id(u.spike)] = z
                else:
                    ends = again.silence(g.scope, layered, at, j)
                    silent += [(k, to, j, z) for k, to in ends]
            ends_timestep = at + 1 == len(again.steps) or again.steps[at + 1].v_before is not None
            if ends_timestep and g.grad_output_v is not None:
                grads_v = map(float, g.grad_output_v[step.timestep, b])
                pairs = zip(c.net.output_ids, grads_v, strict=True)
                loss = loss + sum(v[j] * grad for j, grad in pairs)
        if g.grad_state is not None:
            state = (v + current)[: c.net.n_state]
            loss = loss + sum(each * float(g.grad_state[b, k]) for k, each in enumerate(state))
    leaves = [*parameters, *biases, beta, theta, alpha, x, initial]
    if loss.requires_grad:
        loss.backward()
    grads = [np.zeros(w.shape) if w.grad is None else w.grad.numpy() for w in leaves]
    k = len(parameters)
    named = dict(zip(NAMES, [grads[:k], grads[k : 2 * k], *grads[2 * k :]], strict=True))
    return named | ({} if flows.any() else {"alpha": None})


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
    return GradientCase(case, one, grad_state=np.array([[0.0, 1.0]]), scope=scope)


PASSES = pytest.mark.parametrize("gradient_of", [expected, native], ids=["oracle", "native"])


@PASSES
@pytest.mark.parametrize("kind", ["Fifo", "Layered"])
def test_a_current_is_heard_of_in_every_timestep_that_it_reaches(
    gradient_of: Pass, kind: str
) -> None:
    # Nothing fires. With alpha = 1/2 and beta = 1 the current is x, x/2, x/4; v is 7/4 x.
    neuron = {"v_threshold": 1e3, "tau_mem": np.inf, "tau_syn": pa.time_constant(0.5, 0.01)}
    net = Network(
        (1,),
        (Population("a", (1,), neuron),),
        (Projection("input", "a", "Linear", {"weight": np.array([[3.0]])}),),
        "float64",
    )
    start = {"initial_v": np.zeros((1, 1)), "initial_current": np.full((1, 1), 4.0)}
    case = Case(net, np.array([[[2.0]], [[0.0]], [[0.0]]]), Schedule(kind), **start)
    g = GradientCase(case, grad_state=np.array([[1.0, 8.0]]), scope="touched")
    ours = gradient_of(g, *recorded(g))
    # dL/dv = 1 and dL/dc = 8: of x in timestep 0, 7/4 + 8/4.
    assert ours["input"].ravel().tolist() == [3 * (7 / 4 + 8 / 4), 3 * (3 / 2 + 8 / 2), 3 * 9.0]
    assert ours["weights"][0].ravel().tolist() == [2 * 15 / 4]
    assert ours["initial_state"].tolist() == [[1.0, 15 / 8]]
    # The currents before each decay: 4, 8, 4; what then arrives has 15/4, 11/2 and 9.
    assert ours["alpha"].tolist() == [4 * 15 / 4 + 8 * 11 / 2 + 4 * 9]


@PASSES
@pytest.mark.parametrize("kind", ["Fifo", "Layered"])
def test_a_current_that_no_neuron_has_is_not_heard_of(gradient_of: Pass, kind: str) -> None:
    one = {"weight": np.array([[0.5]])}
    net = Network(
        (1,),
        (Population("a", (1,), {"tau_syn": 0.01}), Population("b", (1,))),
        (Projection("input", "a", "Linear", one), Projection("input", "b", "Linear", one)),
        "float64",
    )
    case = Case(net, np.ones((2, 1, 1)), Schedule(kind, 1))
    g = GradientCase(case, grad_state=np.array([[0.0, 0.0, 0.0, 1.0]]))
    assert not any(each.any() for each in flat(gradient_of(g, *recorded(g)), net).values())
    g = replace(g, grad_state=np.array([[0.0, 0.0, 1.0, 0.0]]))
    assert flat(gradient_of(g, *recorded(g)), net)["input"].all()


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
    assert ours["initial_state"][0, 1] == pytest.approx(b_b * np.exp(-0.5))


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
    assert ours["initial_state"][0, 1] == pytest.approx(b_b * np.exp(-1))


@PASSES
def test_a_carried_input_has_its_gradient_where_it_joined(gradient_of: Pass) -> None:
    # Nothing fires and nothing decays: v is 1 x[0] + 2 x[1], whenever the inputs are delivered.
    net = Network(
        (2,),
        (Population("a", (1,), {"v_threshold": 1e3, "tau_mem": np.inf}),),
        (Projection("input", "a", "Linear", {"weight": np.array([[1.0, 2.0]])}),),
        "float64",
    )
    options = Options("scheduled", max_forward_steps=2, on_stop="carry")
    case = Case(net, np.array([[[1.0, 1.0]], [[0.0, 0.0]]]), Schedule("Fifo", 1), options)
    g = GradientCase(case, grad_state=np.ones((1, 1)))
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
    # Under Layered b is visited anyway (x = -1), and its adjoint reaches a.
    g = replace(g, scope="touched", case=replace(g.case, schedule=Schedule("Layered")))
    ours = gradient_of(g, *recorded(g))
    s_a, s_b = 1 / (1 + (0.1 * np.pi) ** 2), 1 / (1 + np.pi**2)
    np.testing.assert_allclose(np.ravel(ours["weights"][0]), [0.4 * s_a * 0.5 * (1 + s_b)])
    assert ours["weights"][1].ravel().tolist() == [0.0]
