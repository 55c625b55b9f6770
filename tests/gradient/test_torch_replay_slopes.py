"""The replay's gradient equals a layered PyTorch loop's, and finite differences of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import build, run
from hypothesis import assume, given
from hypothesis import strategies as st
from native_case import recorded
from replay_case import Gradients, Leaves, Surrogate, dense, differentiate
from strategies import Case
from strategies_gradient import GradientCase, gradient_cases, layered_chains

import pyasync as pa

torch = pytest.importorskip("torch")


# Back-propagation through time.


def bptt(g: GradientCase, network: pa.Network) -> Gradients:
    """The usual training loop for a layer-synchronised network."""
    c = g.case
    leaves, derivative = Leaves(c, network), Surrogate(*g.surrogate).derivative

    class Heaviside(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return (x > 0).to(x)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * derivative(ctx.saved_tensors[0])

    sizes = [p.size for p in c.net.populations]
    names = [p.name for p in c.net.populations]
    beta, theta = (leaves.tensors[name].split(sizes) for name in ("beta", "v_threshold"))
    B, n = len(c.spikes), sum(sizes)
    alpha = leaves.tensors.get("alpha", torch.zeros(n)).split(sizes)
    state = leaves.tensors.get("initial_state", torch.zeros(B, n))
    state = torch.cat([state, torch.zeros(B, 2 * n - state.shape[1])], dim=1)
    v, current = (list(each.split(sizes, dim=1)) for each in state.split(n, dim=1))
    z = [torch.zeros(B, n, dtype=torch.float64) for n in sizes]
    spike_counts, counts, output_v = 0.0, [], []
    for x in leaves.tensors["input"]:
        for layer, p in enumerate(c.net.populations):
            # `z` still holds what layers from this one on fired in the timestep before.
            current[layer] = i = current[layer] * alpha[layer]
            for k, q in enumerate(c.net.projections):
                if q.target == p.name:
                    source = x if q.source == "input" else z[names.index(q.source)]
                    i = i + source @ leaves.tensors[f"weight {k}"].T
                    if f"bias {k}" in leaves.tensors:
                        i = i + leaves.tensors[f"bias {k}"]
            if "tau_syn" in p.neuron:
                current[layer] = i
            u = v[layer] * beta[layer] + i
            z[layer] = Heaviside.apply(u - theta[layer])
            gate = z[layer].detach() if g.detach_reset else z[layer]
            amount = torch.as_tensor(p.neuron.get("reset_amount", theta[layer]))
            drop = {"zero": u, "subtract": amount, "none": 0.0}[p.neuron["reset"]]
            v[layer] = u - gate * drop
        spike_counts = spike_counts + torch.cat(z, 1)
        counts.append(z[-1])
        output_v.append(v[-1])
    ended = torch.stack(counts), torch.stack(output_v)
    outputs = (*ended, spike_counts, torch.cat(v + current, 1)[:, : c.net.n_state])
    sum(
        (output * torch.from_numpy(cotangent)).sum()
        for output, cotangent in zip(outputs, g.cotangents, strict=True)
        if cotangent is not None
    ).backward()
    return leaves.gradients()


@given(layered_chains(), st.sampled_from(["timestep", "none"]))
def test_layered_and_touched_is_backpropagation_through_time(
    g: GradientCase, refractory: str
) -> None:
    populations = tuple(
        replace(p, neuron={**p.neuron, "refractory": refractory}) for p in g.case.net.populations
    )
    g = replace(g, case=replace(g.case, net=replace(g.case.net, populations=populations)))
    network, trace = recorded(g)
    ours, theirs = differentiate(g, network, trace), bptt(g, network)
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        size = max(1.0, float(np.abs(array).max(initial=0.0)))
        np.testing.assert_allclose(ours[name], array, 1e-12, 1e-12 * size, err_msg=name)


# Finite differences of the engine.


def decisions(trace: pa.Trace | None) -> tuple[Any, ...]:
    assert trace is not None
    s = trace.to_steps()
    return s.steps.tolist(), s.emitted.tolist(), s.fired["neuron"].tolist(), s.endings.tolist()


def moved(case: Case, by: dict[str, np.ndarray], eps: float) -> Case:
    """The case with its parameters moved by eps along a direction."""
    projections = []
    for k, p in enumerate(case.net.projections):
        a = dict(p.arguments)
        if p.kind == "Sparse":
            indptr, indices, values = a["csr"]
            a["csr"] = (indptr, indices, values + eps * by[f"weight {k}"])
        elif f"weight {k}" in by:
            a["weight"] = a["weight"] + eps * by[f"weight {k}"]
        if f"bias {k}" in by:
            a["bias"] = a["bias"] + eps * by[f"bias {k}"]
        projections.append(replace(p, arguments=a))
    at, populations = 0, []
    for q in case.net.populations:
        step = eps * by["v_threshold"][at : at + q.size].reshape(q.shape)
        neuron = {**q.neuron, "v_threshold": q.neuron["v_threshold"] + step}
        if "tau_syn" in neuron:
            longer = 1 + eps * by["log_tau_syn"][at : at + q.size].reshape(q.shape)
            neuron["tau_syn"] = neuron["tau_syn"] * longer
        populations.append(replace(q, neuron=neuron))
        at += q.size
    net = replace(case.net, projections=tuple(projections), populations=tuple(populations))
    starts = {}
    if case.initial_state is not None:
        parts = np.split(case.initial_state + eps * by["initial_state"], [net.n_neurons], 1)
        starts = {"initial_v": parts[0], "initial_current": parts[1] if parts[1].size else None}
    return replace(case, net=net, x=dense(case) + eps * by["input"], **starts)


@given(gradient_cases(), st.integers(0, 2**32))
def test_while_no_decision_changes_it_is_the_slope_of_the_final_state(
    g: GradientCase, seed: int
) -> None:
    """With s' = 0, the rest of the gradient is an actual derivative of the engine's results."""
    network, trace = recorded(g)
    rng = np.random.default_rng(seed)
    cotangent = rng.normal(0, 1, (len(trace), g.case.net.n_state))
    g = GradientCase(g.case, grad_state=cotangent, scope=g.scope)
    ours = differentiate(replace(g, surrogate=("none", 0.0), detach_reset=True), network, trace)
    leaves = Leaves(g.case, network)
    # Zeros stay 0, or they would become synapses, biases or input spikes.
    along = {
        name: rng.normal(0, 1, leaf.shape) * (leaf.detach().numpy() != 0)
        for name, leaf in leaves.tensors.items()
        if name != "beta"
    }
    along["v_threshold"] = rng.normal(0, 1, network.n_neurons)
    if "alpha" in along:  # d alpha / d log(tau_syn) = alpha dt / tau_syn
        along["log_tau_syn"], alpha = along["alpha"], network.synaptic_decay(g.case.dt)
        tau = np.concatenate(
            [
                np.broadcast_to(p.neuron.get("tau_syn", np.inf), p.shape).ravel()
                for p in g.case.net.populations
            ]
        )
        along["alpha"] = along["log_tau_syn"] * alpha * g.case.dt / tau
    eps, ends = 1e-6, []
    for sign in (1, -1):
        case = moved(g.case, along, sign * eps)
        result = run(case, build(case.net))
        assume(decisions(result.trace) == decisions(trace))
        state = np.concatenate([result.v, result.current], 1)[:, : case.net.n_state]
        ends.append((state * cotangent).sum())
    terms = [ours[name] * direction for name, direction in along.items() if name in ours]
    slope = sum(float(term.sum()) for term in terms)
    size = sum(float(np.abs(term).sum()) for term in terms)
    assert (ends[0] - ends[1]) / (2 * eps) == pytest.approx(slope, rel=1e-6, abs=1e-6 * (1 + size))
