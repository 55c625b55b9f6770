"""Layered training: the network that it trains is the one the engine runs, and it learns."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.study import train_layered

torch = pytest.importorskip("torch", reason="training needs PyTorch, which is not installed")
from pyasync.study.layered import run_layered  # noqa: E402

SIZES = (20, 12, 9, 4)


def dyadic(seed: int) -> list[np.ndarray[Any, Any]]:
    """Weights in multiples of 1/64, whose sums are exact in whatever order PyTorch adds."""
    rng = np.random.default_rng(seed)
    pairs = itertools.pairwise(SIZES)
    return [(rng.integers(-24, 40, (m, n)) / 64).astype(np.float32) for n, m in pairs]


def patterns(n: int = 60, seed: int = 0) -> tuple[pa.SpikeBatch, np.ndarray[Any, Any]]:
    """Four classes, each with five channels of its own that spike more often."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    rate = np.where(np.arange(20) // 5 == y[:, None], 0.5, 0.1)
    x = rng.random((6, n, 20)) < rate
    return pa.SpikeBatch.from_dense(x, dt=10e-3), y


@pytest.mark.parametrize("tau_mem", [1e-3, 28e-3, np.inf])
@pytest.mark.parametrize("v_threshold", [0.3, 1.0])
def test_training_runs_what_the_engine_runs_spike_for_spike(
    tau_mem: float, v_threshold: float
) -> None:
    x, _ = patterns()
    weights = dyadic(3)
    network = pa.Network.sequential(
        [pa.Linear(weight) for weight in weights],
        pa.LIF(tau_mem=tau_mem, v_threshold=v_threshold),
    )
    counts = pa.simulate(network, x, pa.Layered()).counts
    assert 0 < counts.mean() < 1
    spikes = torch.from_numpy(x.to_dense(np.float32, batch_first=True))
    tensors = [torch.from_numpy(weight) for weight in weights]
    trained = run_layered(tensors, spikes, float(network.decay(10e-3)[0]), v_threshold)
    np.testing.assert_array_equal(trained.numpy().swapaxes(0, 1), counts)


def test_training_runs_what_snntorch_runs_without_its_delay_of_the_reset() -> None:
    snn = pytest.importorskip("snntorch")
    x, _ = patterns()
    spikes = torch.from_numpy(x.to_dense(np.float32, batch_first=True))
    weights = [torch.from_numpy(weight) for weight in dyadic(3)]
    how = {"beta": 0.7, "threshold": 0.3, "reset_mechanism": "zero", "reset_delay": False}
    layers = [snn.Leaky(**how) for _ in weights]
    state = [layer.init_leaky() for layer in layers]
    steps = []
    for signal in spikes.unbind(1):
        for at, (weight, layer) in enumerate(zip(weights, layers, strict=True)):
            signal, state[at] = layer(signal @ weight.T, state[at])
        steps.append(signal)
    assert torch.equal(run_layered(weights, spikes, 0.7, 0.3), torch.stack(steps, 1))


def test_the_gradient_is_that_of_the_equations() -> None:
    x, y = patterns()
    beta, v_threshold = 0.7, 0.3
    weights = [weight.astype(np.float64) for weight in dyadic(3)]
    tensors = [torch.from_numpy(weight).requires_grad_() for weight in weights]
    spikes = torch.from_numpy(x.to_dense(np.float64, batch_first=True))
    target = torch.as_tensor(y).repeat_interleave(x.n_timesteps)
    output = run_layered(tensors, spikes, beta, v_threshold)
    torch.nn.functional.cross_entropy(output.flatten(0, 1), target).backward()

    inputs, potentials = [spikes.numpy()], []
    for weight in weights:
        v, before, fired = np.zeros((len(x), len(weight))), [], []
        for step in range(x.n_timesteps):
            before.append(v * beta + inputs[-1][:, step] @ weight.T)
            fired.append((before[-1] > v_threshold).astype(float))
            v = before[-1] * (1 - fired[-1])
        potentials.append(np.stack(before, 1))
        inputs.append(np.stack(fired, 1))
    likely = np.exp(inputs[-1]) / np.exp(inputs[-1]).sum(axis=2, keepdims=True)
    towards = (likely - np.eye(4)[y][:, None]) / (len(x) * x.n_timesteps)
    for at in reversed(range(len(weights))):
        later, below = np.zeros_like(towards[:, 0]), np.zeros_like(inputs[at])
        expected = np.zeros_like(weights[at])
        for step in reversed(range(x.n_timesteps)):
            over = potentials[at][:, step] - v_threshold
            later = later * beta * (1 - inputs[at + 1][:, step])
            later = later + towards[:, step] / (1 + (np.pi * over) ** 2)
            expected += later.T @ inputs[at][:, step]
            below[:, step] = later @ weights[at]
        np.testing.assert_allclose(tensors[at].grad.numpy(), expected, rtol=1e-9, atol=1e-15)
        towards = below


def test_the_trained_network_generalises() -> None:
    network = train_layered(*patterns(200), hidden=[16, 16], epochs=12, batch_size=20, seed=1)
    x, y = patterns(200, seed=9)
    assert pa.simulate(network, x, pa.Layered()).accuracy(y) > 0.85


def test_the_network_is_as_asked_for() -> None:
    x, y = patterns()
    network = train_layered(
        x, y, hidden=[7, 5], n_outputs=6, tau_mem=5e-3, v_threshold=0.2, epochs=1
    )
    named = [(each.name, each.shape) for each in network.populations]
    assert named == [("hidden1", (7,)), ("hidden2", (5,)), ("output", (6,))]
    assert (network.input_shape, network.dtype) == ((20,), np.float32)
    assert {each.neuron.tau_mem for each in network.populations} == {5e-3}
    assert {each.neuron.v_threshold for each in network.populations} == {0.2}
    assert [each.name for each in train_layered(x, y, hidden=[], epochs=1).populations] == [
        "output"
    ]


def test_a_seed_decides_the_network_and_nothing_else_is_touched() -> None:
    x, y = patterns()

    def weights(seed: int, **options: Any) -> np.ndarray[Any, Any]:
        network = train_layered(x, y, hidden=[6], epochs=2, seed=seed, **options)
        return np.concatenate([each.projection.weight.ravel() for each in network.projections])  # type: ignore[attr-defined]

    before = torch.random.get_rng_state()
    first = weights(4)
    np.testing.assert_array_equal(first, weights(4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not np.array_equal(first, weights(5))
    assert not np.array_equal(first, weights(4, input_dropout=0.0))


def test_dropout_leaves_input_spikes_out_and_scales_the_others_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = patterns(200)
    x = pa.SpikeBatch.from_dense(x.to_dense() * np.arange(1, 21), dt=10e-3)  # channel c: c + 1
    seen: list[Any] = []

    def noted(weights: Any, spikes: Any, *how: Any) -> Any:
        seen.append(spikes)
        return run_layered(weights, spikes, *how)

    monkeypatch.setattr(sys.modules["pyasync.study.layered"], "run_layered", noted)
    for input_dropout in (0.25, 0.0):
        train_layered(x, y, hidden=[], epochs=1, batch_size=len(x), input_dropout=input_dropout)
        (spikes,) = seen
        seen.clear()
        assert spikes.count_nonzero() / x.n_events == pytest.approx(1 - input_dropout, abs=0.03)
        values = torch.arange(1, 21) / (1 - input_dropout)
        torch.testing.assert_close(spikes, torch.where(spikes > 0, values, 0.0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": np.zeros((6, 60, 20))}, "x: got array"),
        ({"x": patterns()[0][:0], "y": []}, "x: got SpikeBatch.0 samples"),
        ({"x": pa.SpikeBatch([0], [0, 1], 1, 20), "y": [0]}, "x: got .*accepted: .* a dt"),
        ({"y": [0, 1]}, "y: got 2 classes; accepted: one for each of 60 samples"),
        ({"y": [-1] * 60}, "y: got classes -1"),
        ({"y": [0.5] * 60}, "y: got dtype float64"),
        ({"n_outputs": 3}, "y: got classes 0 .. 3; accepted: classes 0 .. 2"),
        ({"hidden": [0]}, "hidden: got 0"),
        ({"hidden": 5}, "hidden: got 5; accepted: a sequence of integers"),
        ({"hidden": None}, "hidden: got None; accepted: a sequence of integers"),
        ({"hidden": "5"}, "hidden: got '5'"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"batch_size": 1.5}, "batch_size: got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"v_threshold": -0.3}, "v_threshold: got -0.3"),
        ({"tau_mem": 0.0}, "tau_mem: got 0.0"),
        ({"hidden": [4], "tau_mem": np.array([1e-3, 2e-3, 3e-3, 4e-3])}, "tau_mem: got array"),
        ({"input_dropout": 1.0}, "input_dropout: got 1.0"),
        ({"input_dropout": -0.1}, "input_dropout: got -0.1"),
        ({"seed": -1}, "seed: got -1"),
        ({"threads": 0}, "threads: got 0"),
    ],
)
def test_a_bad_argument_is_named(change: Any, says: str) -> None:
    x, y = patterns()
    with pytest.raises(pa.PyasyncError, match=rf"^{says}"):
        train_layered(**{"x": x, "y": y, **change})


def test_without_torch_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(pa.MissingDependencyError, match=r"pip install torch"):
        train_layered(*patterns())


@pytest.mark.parametrize("default", ["device", "dtype", "no_grad"])
def test_defaults_of_pytorch_change_nothing(default: str) -> None:
    x, y = patterns()
    expected = train_layered(x, y, hidden=[5], epochs=1)
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    try:
        if default == "device":
            torch.set_default_device("meta")  # in place of "cuda", which not every machine has
        elif default == "dtype":
            torch.set_default_dtype(torch.float64)
        with torch.set_grad_enabled(default != "no_grad"):
            trained = train_layered(x, y, hidden=[5], epochs=1)
    finally:
        torch.set_default_device(device)
        torch.set_default_dtype(dtype)
    assert trained.dtype == np.float32
    for one, other in zip(trained.projections, expected.projections, strict=True):
        for name, array in one.projection.arrays().items():
            np.testing.assert_array_equal(array, other.projection.arrays()[name])
