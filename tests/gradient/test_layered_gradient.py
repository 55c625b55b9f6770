"""Layered under "touched" equals back-propagation through time in PyTorch and snnTorch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from compare import build, run
from hypothesis import given
from native_case import (
    NAMES,
    Gradients,
    assert_close,
    comparable,
    expected,
    flat,
    native,
    recorded,
)
from strategies_gradient import SURROGATES, GradientCase, layered_chains

import pyasync as pa


def torch_derivative(torch: Any, surrogate: tuple[str, float]) -> Any:
    name, c = surrogate
    return {
        "atan": lambda x: c / 2 / (1 + (torch.pi / 2 * c * x) ** 2),
        "fast_sigmoid": lambda x: 1 / (1 + c * x.abs()) ** 2,
        "sigmoid": lambda x: c * torch.sigmoid(c * x) * torch.sigmoid(-c * x),
        "triangular": lambda x: c * torch.where(x < 0, 1.0, -1.0).to(x),
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
            neuron = c.net.populations[k].neuron
            amount = torch.as_tensor(neuron.get("reset_amount", thresholds[k]))
            v[k] = {"zero": u * (1 - through), "subtract": u - through * amount, "none": u}[
                neuron["reset"]
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


@given(layered_chains())
def test_layered_and_touched_is_bptt(g: GradientCase) -> None:
    network, trace = recorded(g)
    ours = comparable(flat(native(g, network, trace), g.case.net), g.case.net)
    theirs = comparable(flat(bptt(g, network), g.case.net), g.case.net)
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, 1e-12, 1e-12, err_msg=name)


PEERS = (*SURROGATES[:2], ("sigmoid", 3.0), *SURROGATES[3:])  # snnTorch's sigmoid overflows at 25


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


@given(layered_chains(plain=True, detach_reset=True, reset="subtract", surrogates=PEERS))
def test_layered_and_touched_is_snntorch_leaky_as_it_is_by_default(g: GradientCase) -> None:
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    from snntorch import surrogate

    c = g.case
    beta = build(c.net).decay(c.dt)
    at = np.cumsum([0, *(p.size for p in c.net.populations)])
    betas = [beta[first:last] for first, last in pairwise(at)]
    populations = tuple(
        replace(p, neuron=p.neuron | {"reset_amount": p.neuron["v_threshold"] / of})
        for p, of in zip(c.net.populations, betas, strict=True)
    )
    g = replace(g, case=replace(c, net=replace(c.net, populations=populations)))
    network, trace = recorded(g)
    name, value = g.surrogate
    fire = getattr(surrogate, name)(*(() if name.startswith("straight") else (value,)))
    layers = [
        snntorch.Leaky(torch.from_numpy(of), p.neuron["v_threshold"], spike_grad=fire)
        for p, of in zip(populations, betas, strict=True)
    ]
    x = torch.tensor(c.x, requires_grad=True)
    weights = [torch.tensor(p.arguments["weight"], requires_grad=True) for p in c.net.projections]
    mem = [torch.zeros(c.x.shape[1], p.size, dtype=x.dtype) for p in populations]
    counts = []
    for z in x:  # spikes are float32 there, and so is what comes back through them
        for k, w in enumerate(weights):
            z, mem[k] = layers[k](z.double() @ w.T, mem[k])
        counts.append(z)
    assert np.array_equal(torch.stack(counts).detach().numpy(), run(g.case, network).counts)
    loss = (torch.stack(counts) * torch.from_numpy(g.grad_counts)).sum()
    (loss + (torch.cat(mem, 1) * torch.from_numpy(g.grad_v)).sum()).backward()
    theirs = {f"weight {k}": w.grad.numpy().ravel() for k, w in enumerate(weights)}
    theirs["input"] = x.grad.numpy().ravel()
    ours = flat(native(g, network, trace), c.net)
    scale = expected(g, network, trace)["scale"]
    assert_close({name: ours[name] for name in theirs}, theirs, scale, "float32")
