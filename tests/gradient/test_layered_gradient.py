"""Layered under "touched" equals back-propagation through time in PyTorch and snnTorch.

snnTorch's `Leaky` is the neuron without a synaptic current, its `Synaptic` the one with it.
"""

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
    alpha = leaf(network.synaptic_decay(c.dt))
    initial = leaf(np.zeros((B, c.net.n_state)) if c.initial_state is None else c.initial_state)
    betas, alphas, thresholds = (each.split(sizes) for each in (beta, alpha, theta))
    n = c.net.n_neurons
    starts = torch.cat([initial, torch.zeros(B, 2 * n - initial.shape[1])], 1)
    v, current = (list(each.split(sizes, 1)) for each in starts.split(n, 1))
    before = [torch.zeros(B, n, dtype=x.dtype) for n in sizes]
    total, counts, output_v = [torch.zeros_like(z) for z in before], [], []
    for t in range(T):
        now: list[Any] = []
        for k, name in enumerate(names):
            neuron = c.net.populations[k].neuron
            current[k] = i = current[k] * alphas[k]
            for p, w, bias in zip(c.net.projections, weights, biases, strict=True):
                if p.target == name:
                    source = -1 if p.source == "input" else names.index(p.source)
                    z = x[t] if source < 0 else now[source] if source < k else before[source]
                    i = i + z @ w.T + bias
            if "tau_syn" in neuron:
                current[k] = i
            u = v[k] * betas[k] + i
            z = Fire.apply(u - thresholds[k])
            through = z.detach() if g.detach_reset else z
            amount = torch.as_tensor(neuron.get("reset_amount", thresholds[k]))
            v[k] = {"zero": u * (1 - through), "subtract": u - through * amount, "none": u}[
                neuron["reset"]
            ]
            now.append(z)
            total[k] = total[k] + z
        before = now
        counts.append(now[-1])
        output_v.append(v[-1])
    loss = (torch.stack(counts) * torch.from_numpy(g.grad_counts)).sum()
    loss = loss + (torch.stack(output_v) * torch.from_numpy(g.grad_output_v)).sum()
    loss = loss + (torch.cat(total, 1) * torch.from_numpy(g.grad_spike_counts)).sum()
    loss = (
        loss
        + (torch.cat(v + current, 1)[:, : c.net.n_state] * torch.from_numpy(g.grad_state)).sum()
    )
    loss.backward()
    leaves = [*weights, *biases, beta, theta, alpha, x, initial]
    grads = [np.zeros(each.shape) if each.grad is None else each.grad.numpy() for each in leaves]
    k = len(weights)
    named = dict(zip(NAMES, [grads[:k], grads[k : 2 * k], *grads[2 * k :]], strict=True))
    return named | ({} if c.net.has_current.any() else {"alpha": None})


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


def snntorch_layers(g: GradientCase, network: pa.Network, **options: Any) -> list[Any]:
    """`Leaky`, or `Synaptic` where there are currents, for each population."""
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    from snntorch import surrogate

    c, (name, value) = g.case, g.surrogate
    fire = getattr(surrogate, name)(*(() if name.startswith("straight") else (value,)))
    at, layers = np.cumsum([0, *(p.size for p in c.net.populations)]), []
    alpha, beta = network.synaptic_decay(c.dt), network.decay(c.dt)
    for p, (first, last) in zip(c.net.populations, pairwise(at), strict=True):
        factors = {"beta": torch.from_numpy(beta[first:last])}
        if flows := "tau_syn" in p.neuron:
            factors["alpha"] = torch.from_numpy(alpha[first:last])
        learned = {f"learn_{each}": options.get("learn", False) for each in factors}
        kind = snntorch.Synaptic if flows else snntorch.Leaky
        how = {k: v for k, v in options.items() if k != "learn"}
        how |= {"threshold": p.neuron["v_threshold"], "spike_grad": fire}
        layers.append(kind(**factors, **learned, **how))
    return layers


def snntorch_gradient(g: GradientCase, layers: list[Any]) -> tuple[np.ndarray, Gradients]:
    """What snnTorch counts, and its gradients of weights, input, and what its layers learn."""
    torch = pytest.importorskip("torch")
    c = g.case
    x = torch.tensor(c.x, requires_grad=True)
    weights = [torch.tensor(p.arguments["weight"], requires_grad=True) for p in c.net.projections]
    states = [
        [
            torch.zeros(c.x.shape[1], p.size, dtype=x.dtype)
            for _ in range(1 + ("tau_syn" in p.neuron))
        ]
        for p in c.net.populations
    ]
    counts = []
    for z in x:  # spikes are float32 there, and so is what comes back through them
        for k, w in enumerate(weights):
            z, *states[k] = layers[k](z.to(x.dtype) @ w.T, *states[k])
        counts.append(z)
    loss = (torch.stack(counts) * torch.from_numpy(g.grad_counts)).sum()
    # Potentials come last there.
    state = [each[-1] for each in states] + [each[0] for each in states if len(each) == 2]
    (loss + (torch.cat(state, 1) * torch.from_numpy(g.grad_state)).sum()).backward()
    found = {f"weight {k}": w.grad.numpy().ravel() for k, w in enumerate(weights)}
    found["input"] = x.grad.numpy().ravel()
    for name in ("alpha", "beta"):
        if all(name in dict(layer.named_parameters()) for layer in layers):
            found[name] = np.concatenate([getattr(layer, name).grad.numpy() for layer in layers])
    return torch.stack(counts).detach().numpy(), found


EITHER = ("none", "all")
AT_ONCE = {"detach_reset": False, "reset": "zero", "surrogates": PEERS, "currents": EITHER}


@given(layered_chains("float32", plain=True, **AT_ONCE))
def test_layered_and_touched_is_snntorch(g: GradientCase) -> None:
    network, trace = recorded(g)
    how = {"reset_mechanism": "zero", "reset_delay": False, "learn": True}
    counts, theirs = snntorch_gradient(g, snntorch_layers(g, network, **how))
    assert ("alpha" in theirs) == g.case.net.has_current.any()
    assert np.array_equal(counts, run(g.case, network).counts)
    ours = flat(native(g, network, trace), g.case.net)
    scale = expected(g, network, trace)["scale"]
    assert_close({name: ours[name] for name in theirs}, theirs, scale, "float32")


LATER = {"detach_reset": True, "reset": "subtract", "surrogates": PEERS, "currents": EITHER}


@given(layered_chains(plain=True, **LATER))
def test_layered_and_touched_is_snntorch_as_it_is_by_default(g: GradientCase) -> None:
    c = g.case
    at = np.cumsum([0, *(p.size for p in c.net.populations)])
    betas = np.split(build(c.net).decay(c.dt), at[1:-1])
    populations = tuple(
        replace(p, neuron=p.neuron | {"reset_amount": p.neuron["v_threshold"] / of})
        for p, of in zip(c.net.populations, betas, strict=True)
    )
    g = replace(g, case=replace(c, net=replace(c.net, populations=populations)))
    network, trace = recorded(g)
    counts, theirs = snntorch_gradient(g, snntorch_layers(g, network))
    assert np.array_equal(counts, run(g.case, network).counts)
    ours = flat(native(g, network, trace), c.net)
    scale = expected(g, network, trace)["scale"]
    assert_close({name: ours[name] for name in theirs}, theirs, scale, "float32")
