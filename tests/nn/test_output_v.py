"""Models that are read out, and trained, by the potentials of their output."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

SCHEDULES = [pa.Layered(), pa.Random(2), pa.Momentum(3)]


def model(**options: Any) -> Any:
    torch.manual_seed(0)
    given = {"schedule": pa.Random(4), "dt": 5e-3, **options}
    return pa.nn.AsyncSequential(
        *(nn.Linear(12, 16), pa.nn.LIF(v_threshold=0.2, tau_syn=4e-3)),
        *(nn.Linear(16, 3), pa.nn.LIF(v_threshold=math.inf, tau_syn=4e-3)),
        **given,
    )


def spikes() -> Any:
    return (torch.rand(8, 20, 12, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def test_it_comes_after_the_counts_and_before_what_else_is_asked_for() -> None:
    net, x = model().eval(), spikes()
    counts, output_v, spike_counts, state = net(
        x, return_state=True, return_spike_counts=True, return_output_v=True
    )
    assert not counts.any()
    assert output_v.shape == (8, 20, 3)
    assert spike_counts.shape == (20, 19)
    assert torch.equal(output_v[-1], state.v[:, -3:])
    assert np.array_equal(output_v.detach().numpy(), net.last_result.output_v)
    counts, again = net(x, return_output_v=True)
    assert torch.equal(again, output_v)
    first = model(batch_first=True).eval()
    counts, swapped = first(x.transpose(0, 1), return_output_v=True)
    assert counts.shape == swapped.shape == (20, 8, 3)
    assert torch.equal(swapped.transpose(0, 1), output_v)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_loss_of_potentials_has_the_same_gradient_in_both_passes(schedule: pa.Schedule) -> None:
    y, gradients = torch.arange(20) % 3, []
    for gradient in ("native", "torch"):
        net = model(gradient=gradient).double()
        _, output_v = net(spikes().double(), schedule=schedule, seed=3, return_output_v=True)
        nn.functional.cross_entropy(output_v.mean(0), y).backward()
        gradients.append([each.grad for each in net.parameters()])
    for native, replayed in zip(*gradients, strict=True):
        assert native.abs().max() > 0
        torch.testing.assert_close(native, replayed, rtol=1e-10, atol=1e-13)


def test_the_gradient_of_a_readout_is_its_slope() -> None:
    """The output is linear in its own weights, so finite differences are exact."""
    net, x, eps = model().double().eval(), spikes().double(), 1e-3
    weight, along = net[2].weight, torch.randn(3, 16, dtype=torch.float64)

    def loss() -> Any:
        return net(x, seed=1, return_output_v=True)[1].square().mean()

    loss().backward()
    slope = (weight.grad * along).sum()
    with torch.no_grad():
        weight += eps * along
        above = loss()
        weight -= 2 * eps * along
        below = loss()
    torch.testing.assert_close(slope, (above - below) / (2 * eps), rtol=1e-9, atol=0)


def test_silence_of_the_output_is_reported_only_where_spikes_are_read() -> None:
    net = model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(spikes(), return_output_v=True)
    with pytest.warns(pa.nn.ActivityWarning, match="no output neuron fired"):
        net(spikes())


def test_a_model_learns_by_its_potentials_with_the_same_bits_every_time() -> None:
    x, rounds = spikes(), []
    y = x[:, :, :3].sum(0).argmax(1)  # which of three channels is the busiest
    for threads in (1, 2):
        net, losses = model(threads=threads), []
        optimiser = torch.optim.Adam(net.parameters(), 2e-2)
        torch.manual_seed(5)
        for _ in range(40):
            loss = nn.functional.cross_entropy(net(x, return_output_v=True)[1].mean(0), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        rounds.append([each.detach().numpy().tobytes() for each in net.parameters()])
        net.eval()(x, return_output_v=True)
        assert net.last_result.accuracy(y.numpy()) > 0.8
    assert rounds[0] == rounds[1]


def test_a_threshold_that_is_never_reached_is_not_learned() -> None:
    with pytest.raises(pa.NetworkError, match=r"^v_threshold: got inf; .*learn_threshold=True"):
        pa.nn.LIF(v_threshold=math.inf, learn_threshold=True)
    lif = pa.nn.LIF.from_neuron(pa.LIF(v_threshold=np.inf))
    assert lif.neuron() == pa.LIF(v_threshold=np.inf)
    assert "v_threshold=inf" in repr(lif)
