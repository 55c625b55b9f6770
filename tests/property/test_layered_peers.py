"""Layered execution equals, to the bit, a plain PyTorch loop and snnTorch's Leaky and Synaptic.

Weights, biases and inputs are multiples of 1/8, so that every sum of them is exact in any order.
PyTorch's matrix products, whose order of summation is unspecified, then give the same bits. So are
synaptic currents, of which a quarter, a half or all is left after a timestep. Decay of potentials,
integration and reset still round, once each, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyasync as pa

torch = pytest.importorskip("torch")

TIMESTEPS = (0.001, 0.01)


@dataclass
class Chain:
    """A chain of Linear projections, each population with or without a recurrent projection."""

    weights: list[np.ndarray]
    biases: list[np.ndarray | None]
    recurrent: list[np.ndarray | None]
    neuron: pa.LIF
    x: np.ndarray
    dt: float

    def network(self) -> pa.Network:
        network = pa.Network(self.weights[0].shape[1], dtype=str(self.weights[0].dtype))
        for k, w in enumerate(self.weights):
            network.add(f"p{k}", len(w), self.neuron)
            network.connect(f"p{k - 1}" if k else "input", f"p{k}", pa.Linear(w, self.biases[k]))
            if (r := self.recurrent[k]) is not None:
                network.connect(f"p{k}", f"p{k}", pa.Linear(r))
        return network


@st.composite
def chains(draw: st.DrawFn, recurrent: bool, plain: bool = False) -> Chain:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(["float32"] if plain else ["float32", "float64"]))
    sizes = [draw(st.integers(1, 40)) for _ in range(draw(st.integers(2, 4)))]
    some = [draw(st.booleans()) for _ in range(2 * len(sizes))]

    def dyadic(*shape: int, mean: float) -> np.ndarray:
        w = rng.normal(mean, 1.2, shape) / np.sqrt(shape[-1])
        return (np.round(w * 8) / 8 + 0.0).astype(dtype)

    weights = [dyadic(n_out, n_in, mean=0.5) for n_in, n_out in pairwise(sizes)]
    biases = [
        dyadic(len(w), mean=0.1) if some[k] and not plain else None for k, w in enumerate(weights)
    ]
    loops = [
        dyadic(len(w), len(w), mean=-0.2) if recurrent and some[-k] else None
        for k, w in enumerate(weights)
    ]
    reset = "zero" if plain else draw(st.sampled_from(["zero", "subtract", "none"]))
    alpha, dt = draw(st.sampled_from([None, 0.25, 0.5, 1.0])), draw(st.sampled_from(TIMESTEPS))
    neuron = pa.LIF(
        tau_mem=draw(st.sampled_from([1e-3, 20e-3, 0.5])),
        v_threshold=draw(st.sampled_from([0.25, 0.3, 1.0])),
        reset=reset,
        reset_amount=draw(st.sampled_from([None, 0.4, 1.5])) if reset == "subtract" else None,
        tau_syn=None if alpha is None else pa.time_constant(alpha, dt),
    )
    x = rng.integers(0, 3, (draw(st.integers(1, 6)), draw(st.integers(1, 4)), sizes[0])) * (
        rng.random(sizes[0]) < 0.7
    )
    chain = Chain(weights, biases, loops, neuron, x.astype(dtype), dt)
    assert (chain.network().synaptic_decay(dt) == (alpha or 0)).all()
    return chain


def torch_loop(c: Chain, network: pa.Network, linear: Any) -> list[np.ndarray]:
    """The usual training loop: for each timestep, for each layer: decay, add, compare, reset."""
    T, B, _ = c.x.shape
    dtype = getattr(torch, str(c.x.dtype))
    v = [torch.zeros(B, len(w), dtype=dtype) for w in c.weights]
    spikes = [torch.zeros_like(u) for u in v]
    syn = [torch.zeros_like(u) for u in v]
    alphas, betas = (
        torch.from_numpy(each).split([len(w) for w in c.weights])
        for each in (network.synaptic_decay(c.dt), network.decay(c.dt))
    )
    theta = torch.tensor(c.neuron.v_threshold, dtype=dtype)
    amount = theta
    if c.neuron.reset_amount is not None:
        amount = torch.tensor(c.neuron.reset_amount, dtype=dtype)
    counts, total = [], [torch.zeros_like(u) for u in v]
    for t in range(T):
        z = torch.from_numpy(c.x[t])
        for k, w in enumerate(c.weights):
            current = linear(
                z,
                torch.from_numpy(w),
                None if c.biases[k] is None else torch.from_numpy(c.biases[k]),
            )
            if (r := c.recurrent[k]) is not None:
                current = current + linear(spikes[k], torch.from_numpy(r))
            if c.neuron.tau_syn is not None:
                current = syn[k] = syn[k] * alphas[k] + current
            u = v[k] * betas[k] + current
            fired = u > theta
            reset = {"zero": torch.zeros_like(u), "subtract": u - amount, "none": u}[c.neuron.reset]
            v[k], spikes[k] = torch.where(fired, reset, u), fired.to(dtype)
            total[k], z = total[k] + spikes[k], spikes[k]
        counts.append(z)
    return [torch.stack(counts).numpy(), *(torch.cat(each, 1).numpy() for each in (total, v, syn))]


def assert_layered_is(
    c: Chain, counts: np.ndarray, totals: np.ndarray, v: np.ndarray, current: np.ndarray
) -> None:
    keep = ("counts", "spike_counts", "v", "current")
    result = pa.simulate(c.network(), c.x, pa.Layered(), dt=c.dt, keep=keep)
    assert np.array_equal(result.counts, counts)
    assert np.array_equal(result.spike_counts, totals)
    for ours, theirs in ((result.v, v), (result.current, current)):
        assert ours.dtype == theirs.dtype
        assert (ours + 0.0).tobytes() == (theirs + 0.0).tobytes()


@given(chains(recurrent=False))
def test_layered_is_the_plain_pytorch_loop(c: Chain) -> None:
    assert_layered_is(c, *torch_loop(c, c.network(), torch.nn.functional.linear))


@given(chains(recurrent=True))
def test_layered_with_feedback_is_the_recurrent_pytorch_loop(c: Chain) -> None:
    assert_layered_is(c, *torch_loop(c, c.network(), torch.nn.functional.linear))


def snntorch_layers(
    network: pa.Network, dt: float, synaptic: bool, threshold: Any, **options: Any
) -> list[Any]:
    """snnTorch's Leaky, or Synaptic, for each population."""
    snntorch = pytest.importorskip("snntorch")
    cuts = [p.start for p in network.populations[1:]]
    alphas, betas = (
        map(torch.from_numpy, np.split(each, cuts))
        for each in (network.synaptic_decay(dt), network.decay(dt))
    )
    return [
        snntorch.Synaptic(alpha, beta, threshold, **options)
        if synaptic
        else snntorch.Leaky(beta, threshold, **options)
        for alpha, beta in zip(alphas, betas, strict=True)
    ]


@given(chains(recurrent=False, plain=True))
def test_layered_is_snntorch(c: Chain) -> None:
    synaptic = c.neuron.tau_syn is not None
    how = {"reset_mechanism": "zero", "reset_delay": False}
    layers = snntorch_layers(c.network(), c.dt, synaptic, c.neuron.v_threshold, **how)
    B = c.x.shape[1]
    states = [[torch.zeros(B, len(w)) for _ in range(1 + synaptic)] for w in c.weights]
    counts, total = [], [0] * len(layers)
    with torch.no_grad():
        for x in torch.from_numpy(c.x):
            for k, w in enumerate(c.weights):
                x, *states[k] = layers[k](x @ torch.from_numpy(w).T, *states[k])
                total[k] = total[k] + x
            counts.append(x)
    v = torch.cat([state[-1] for state in states], 1)
    current = torch.cat([state[0] for state in states], 1) if synaptic else torch.zeros_like(v)
    rest = (each.numpy() for each in (torch.cat(total, 1), v, current))
    assert_layered_is(c, torch.stack(counts).numpy(), *rest)


@pytest.mark.parametrize("synaptic", [False, True], ids=["Leaky", "Synaptic"])
@pytest.mark.parametrize("seed", range(5))
def test_layered_is_snntorch_as_it_is_by_default(seed: int, synaptic: bool) -> None:
    """It subtracts its threshold one timestep later: `threshold / beta` before the decay."""
    rng = np.random.default_rng(seed)
    # A threshold that float32 holds exactly, since snnTorch's spikes are float32.
    sizes, threshold, dt = [20, 16, 4], 0.25, 1e-3
    weights = [rng.normal(0.1, 0.5, (n, m)) for m, n in pairwise(sizes)]
    neurons = [
        pa.LIF(
            tau_mem=tau,
            v_threshold=threshold,
            reset="subtract",
            reset_amount=threshold / np.exp(-dt / tau),
            tau_syn=rng.uniform(0.2e-3, 5e-3, len(tau)) if synaptic else None,
        )
        for tau in (rng.uniform(1e-3, 20e-3, n) for n in sizes[1:])
    ]
    network = pa.Network.sequential([pa.Linear(w) for w in weights], neurons)
    layers = snntorch_layers(network, dt, synaptic, torch.tensor(threshold, dtype=torch.float64))
    x = (rng.random((60, 8, sizes[0])) < 0.3).astype(np.float64)
    states = [
        [torch.zeros(8, n, dtype=torch.float64) for _ in range(1 + synaptic)] for n in sizes[1:]
    ]
    counts = []
    with torch.no_grad():
        for z in torch.from_numpy(x):
            fired = []
            for k, w in enumerate(weights):
                z, *states[k] = layers[k](z.double() @ torch.from_numpy(w).T, *states[k])
                fired.append(z)
            counts.append(torch.cat(fired, 1))
    keep = ("counts", "spike_counts", "v", "current")
    result = pa.simulate(network, x, pa.Layered(), dt=dt, keep=keep)
    theirs = torch.stack(counts).numpy()
    np.testing.assert_array_equal(result.counts, theirs[:, :, sizes[1] :])
    np.testing.assert_array_equal(result.spike_counts, theirs.sum(0))
    assert 0.05 < theirs.mean() < 0.95
    amounts = np.concatenate([neuron.reset_amount for neuron in neurons])
    left = torch.cat([state[-1] for state in states], 1).numpy() - theirs[-1] * amounts
    np.testing.assert_allclose(result.v, left, 0, 1e-12)
    if synaptic:
        current = torch.cat([state[0] for state in states], 1)
        np.testing.assert_allclose(result.current, current, 0, 1e-12)
