"""Losses: their values and gradients by hand, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.nn import functional

torch = pytest.importorskip("torch")

COUNTS = torch.tensor(
    [[[0.0, 1.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 3.0]]]
)  # [T=3, B=2, 2]
Y = torch.tensor([0, 1])


def cross_entropy(logits: Any, y: Any) -> float:
    logits = np.asarray(logits, float)
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return float(-np.log(likely[np.arange(len(y)), y]).mean())


def test_the_rate_loss() -> None:
    wanted = cross_entropy([[0.9, 0.6], [0.0, 0.9]], [0, 1])
    assert functional.rate_cross_entropy(COUNTS, Y).item() == pytest.approx(wanted)
    wanted = cross_entropy([[3, 2], [0, 3]], [0, 1])
    assert functional.rate_cross_entropy(COUNTS, Y, 1.0).item() == pytest.approx(wanted)


def test_the_loss_of_every_timestep() -> None:
    wanted = np.mean([cross_entropy(step, [0, 1]) for step in COUNTS.numpy()])
    assert functional.timestep_cross_entropy(COUNTS, Y).item() == pytest.approx(wanted)


def test_the_latency_loss_discounts() -> None:
    logits = [[0 + 2 * 0.5 + 0.25, 1 + 0.25], [0, 3 * 0.25]]
    wanted = cross_entropy(2 * np.array(logits), [0, 1])
    found = functional.latency_cross_entropy(COUNTS, Y, decay=0.5, scale=2.0)
    assert found.item() == pytest.approx(wanted)
    undiscounted = functional.latency_cross_entropy(COUNTS, Y, decay=1.0, scale=0.3)
    assert undiscounted.item() == pytest.approx(functional.rate_cross_entropy(COUNTS, Y).item())


def test_the_loss_of_the_first_spike_counts_timesteps_before_it() -> None:
    wanted = cross_entropy([[-1, 0], [-3, -2]], [0, 1])
    assert functional.first_spike_cross_entropy(COUNTS, Y).item() == pytest.approx(wanted)


def test_an_earlier_spike_would_save_timesteps() -> None:
    counts = torch.zeros(5, 1, 2)
    counts[3, 0, 0] = 1.0
    counts.requires_grad_()
    functional.first_spike_cross_entropy(counts, [0]).backward()
    # tau = 3 for class 0 and 5 for the silent class 1; dL/dtau = p - y with the sign of -tau.
    p = np.exp(-3) / (np.exp(-3) + np.exp(-5))
    saved = np.array([3, 2, 1, 2, 0])  # in timestep 3: up to the next spike, of which there is none
    np.testing.assert_allclose(counts.grad[:, 0, 0], -(1 - p) * saved, rtol=1e-5)
    np.testing.assert_allclose(counts.grad[:, 0, 1], (1 - p) * np.array([5, 4, 3, 2, 1]), rtol=1e-5)


every_loss = pytest.mark.parametrize(
    "loss",
    [
        functional.rate_cross_entropy,
        functional.timestep_cross_entropy,
        functional.latency_cross_entropy,
        functional.first_spike_cross_entropy,
    ],
)


@every_loss
def test_counts_of_a_model_that_is_batch_first_give_the_same_loss(loss: Any) -> None:
    swapped = loss(COUNTS.transpose(0, 1).contiguous(), Y, batch_first=True)
    torch.testing.assert_close(swapped, loss(COUNTS, Y))
    with pytest.raises(pa.InputError, match=r"^y: got .* 3 integers .* counts \[B, T, n_outputs\]"):
        loss(COUNTS, Y, batch_first=True)
    torch.testing.assert_close(loss(COUNTS, Y, batch_first=np.False_), loss(COUNTS, Y))
    with pytest.raises(pa.InputError, match=r"^batch_first: got 'no'; accepted: True or False"):
        loss(COUNTS, Y, batch_first="no")


@every_loss
def test_every_loss_pulls_towards_the_class_and_takes_any_labels(loss: Any) -> None:
    counts = torch.zeros(4, 2, 3, dtype=torch.float64, requires_grad=True)
    loss(counts, torch.tensor([0, 2], dtype=torch.uint8)).backward()
    assert (counts.grad[:, 0, 0] <= 0).all()
    assert counts.grad[0, 0, 0] < 0 < counts.grad[0, 0, 1]
    values = {loss(counts, y).item() for y in ([0, 2], np.array([0, 2]), torch.tensor([0, 2]))}
    assert len(values) == 1
    for y, says in (
        ([0, 3], "class 3; accepted: 2 integers from 0 to 2"),
        ([0, -1], "class -1"),
        ([0], r"shape \(1,\)"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.0, 1.0], "dtype torch.float32"),
        ([True, False], "dtype torch.bool"),
        ("ab", "str"),
        (None, "NoneType"),
        (np.ma.masked_array([0, 2], [True, False]), "a masked array"),
    ):
        with pytest.raises(pa.InputError, match=rf"^y: got {says}"):
            loss(counts, y)
    for bad in (counts[0], counts.long(), counts.detach().numpy()):
        with pytest.raises(pa.InputError, match=r"^counts: got "):
            loss(bad, [0, 2])


def test_bad_numbers_are_named() -> None:
    for call, says in (
        (lambda: functional.rate_cross_entropy(COUNTS, Y, scale=0), "scale: got 0"),
        (lambda: functional.latency_cross_entropy(COUNTS, Y, decay=1.5), "decay: got 1.5"),
        (lambda: functional.latency_cross_entropy(COUNTS, Y, decay=0), "decay: got 0"),
        (lambda: functional.spike_cost(COUNTS, 1.0), "spike_counts: got a tensor"),
        (lambda: functional.spike_cost(COUNTS[0], -1.0), "weight: got -1"),
        (lambda: functional.spike_cost(COUNTS[0], 1.0, target=-1), "target: got -1"),
        (lambda: pa.nn.SpikeCost(-1), "weight: got -1"),
        (lambda: pa.nn.SpikeCost(1, warmup=-1), "warmup: got -1"),
        (lambda: pa.nn.SpikeCost(1, ramp=0.5), "ramp: got 0.5"),
        (lambda: pa.nn.SpikeCost(1).load_state_dict({}), "steps: got None"),
    ):
        with pytest.raises(pa.InputError, match=rf"^{says}"):
            call()


def test_the_cost_of_spikes_is_free_below_its_target() -> None:
    spike_counts = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)  # mean 5 per sample
    assert functional.spike_cost(spike_counts, 0.1).item() == pytest.approx(0.5)
    assert functional.spike_cost(spike_counts, 0.1, target=3).item() == pytest.approx(0.2)
    functional.spike_cost(spike_counts, 0.1, target=3).backward()
    assert torch.equal(spike_counts.grad, torch.full((2, 2), 0.05))
    spike_counts.grad = None
    for target in (5, 9):
        functional.spike_cost(spike_counts, 0.1, target=target).backward()
        assert spike_counts.grad.abs().sum() == 0


def test_the_cost_warms_up_and_ramps() -> None:
    cost = pa.nn.SpikeCost(0.8, target=1, warmup=2, ramp=4)
    weights = []
    for _ in range(8):
        weights.append(cost.current_weight)
        cost.step()
    assert weights == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6, 0.8, 0.8])
    assert cost(torch.ones(2, 3)).item() == pytest.approx(0.8 * 2)
    resumed = pa.nn.SpikeCost(0.8, target=1, warmup=2, ramp=4)
    resumed.load_state_dict(cost.state_dict())
    assert resumed.steps == 8
    assert pa.nn.SpikeCost(0.5).current_weight == 0.5
    assert pa.nn.SpikeCost(0.5, warmup=1).current_weight == 0.0
