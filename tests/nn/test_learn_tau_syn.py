"""Synaptic currents in models: learned time constants, carried states, both gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from compare import same

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

SCHEDULES = pytest.mark.parametrize("schedule", [pa.Layered(), pa.Fifo(2)], ids=str)
TAUS = (4e-3, np.linspace(2e-3, 30e-3, 16))


def flowing(learn: bool = True, tau_syn: Any = TAUS[1], **options: Any) -> pa.nn.AsyncSequential:
    """A model 20 - 16 - 3, the same one every time; only its hidden neurons have currents."""
    generator = torch.Generator().manual_seed(1)
    learned = {"learn_tau_mem": learn, "learn_threshold": learn}
    threshold = options.pop("v_threshold", 0.1)
    model = pa.nn.AsyncSequential(
        nn.Linear(20, 16),
        pa.nn.LIF(
            v_threshold=threshold, tau_mem=12e-3, tau_syn=tau_syn, learn_tau_syn=learn, **learned
        ),
        nn.Linear(16, 3, bias=False),
        pa.nn.LIF(v_threshold=0.05, **learned),
        **{"schedule": pa.Fifo(2), "dt": 10e-3, **options},
    )
    with torch.no_grad():
        for k in (0, 2):
            for parameter in model[k].parameters():
                bound = parameter.shape[-1] ** -0.5
                parameter.uniform_(-bound, bound, generator=generator)
    return model


def loss_of(counts: Any, spike_counts: Any, state: Any) -> Any:
    """A loss that depends on everything a call returns."""
    weights = torch.linspace(-1, 1, counts.numel(), dtype=counts.dtype).reshape(counts.shape)
    cost = (spike_counts.square() * 0.01).sum() + state.v.square().sum()
    return (counts * weights).sum() + cost + state.current.square().sum()


@SCHEDULES
@pytest.mark.parametrize("scope", ["spikes", "next_emission", "touched"])
@pytest.mark.parametrize("detach_reset", [True, False])
def test_the_engine_and_pytorch_agree(
    x: Any, close: Any, schedule: pa.Schedule, scope: str, detach_reset: bool
) -> None:
    found = []
    for gradient in ("native", "torch"):
        model = flowing(
            gradient=gradient,
            schedule=schedule,
            gradient_scope=scope,
            detach_reset=detach_reset,
            refractory_dropout=0.5,
            spike_dropout=0.1,
            surrogate=pa.nn.fast_sigmoid(3.0),
        ).double()
        given = x.double().requires_grad_()
        current = torch.zeros(5, 19, dtype=torch.float64)
        current[:, :16] = 0.07
        state = pa.nn.State(
            torch.full_like(current, 0.05).requires_grad_(), current.requires_grad_()
        )
        out = model(given, seed=3, state=state, return_spike_counts=True, return_state=True)
        sought = [given, *state, *model.parameters()]
        found.append(torch.autograd.grad(loss_of(*out), sought))
        assert out[0].sum() > 0
    assert all(each.abs().sum() > 0 for each in found[0])
    assert not found[0][2][:, 16:].any()
    close(*found, rtol=1e-9, atol=1e-11)


@SCHEDULES
@pytest.mark.parametrize("tau_syn", TAUS, ids=["one", "each"])
@pytest.mark.filterwarnings("ignore::pyasync.nn.ActivityWarning")
def test_while_nothing_fires_it_is_the_slope_of_the_loss(
    x: Any, gradient: str, schedule: pa.Schedule, tau_syn: Any
) -> None:
    options = {"schedule": schedule, "gradient": gradient, "v_threshold": 50.0}
    model = flowing(tau_syn=tau_syn, **options).double()
    learned = model[1].log_tau_syn

    def loss() -> Any:
        counts, state = model(x, return_state=True)
        assert not counts.any()
        return (state.current * torch.arange(19.0)).sum() + (state.v * torch.arange(19.0)).sum()

    loss().backward()
    along, eps = torch.linspace(1, 2, learned.numel(), dtype=torch.float64).view_as(learned), 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            learned += sign * eps * along
            ends.append(loss().item())
            learned -= sign * eps * along
    slope = (learned.grad * along).sum().item()
    assert abs(slope) > 0.1
    assert (ends[0] - ends[1]) / (2 * eps) == pytest.approx(slope, rel=1e-6)


def test_a_stream_in_pieces_is_one_run_and_has_its_gradient(
    x: Any, gradient: str, close: Any
) -> None:
    model = flowing(gradient=gradient).double()
    whole, end = model(x, return_state=True)
    state, pieces = None, []
    for piece in x.split([1, 3, 2]):
        counts, state = model(piece, state=state, return_state=True)
        pieces.append(counts)
    assert whole.sum() > 0
    assert torch.equal(torch.cat(pieces), whole)
    for ours, theirs in zip(state, end, strict=True):
        assert torch.equal(ours, theirs)
    assert end.current[:, :16].any()
    scale = torch.arange(6.0)[:, None, None]
    losses = [
        (counts * scale).sum() + final.current.square().sum()
        for counts, final in ((whole, end), (torch.cat(pieces), state))
    ]
    close(*(torch.autograd.grad(each, list(model.parameters())) for each in losses))


def test_a_state_has_a_current_where_neurons_have() -> None:
    x = torch.ones(2, 5, 20)
    _, state = flowing()(x, return_state=True)
    assert (state.v.shape, state.current.shape) == ((5, 19), (5, 19))
    assert not state.current[:, 16:].any()
    _, plain = flowing(learn=False, tau_syn=None)(x, return_state=True)
    assert plain.current is None


@pytest.mark.parametrize(
    ("current", "says"),
    [
        (torch.zeros(5, 18), r"got current of shape .5, 18.; .*5, 19"),
        (torch.zeros(4, 19), r"got current of shape .4, 19.; .*5, 19"),
        (torch.full((5, 19), torch.nan), "got current that is not finite"),
        (torch.ones(5, 19), "got "),
    ],
)
def test_a_bad_current_is_named(x: Any, current: Any, says: str) -> None:
    with pytest.raises(pa.InputError, match=rf"^(state|initial_current): {says}"):
        flowing()(x, state=pa.nn.State(torch.zeros(5, 19), current))


@pytest.mark.parametrize("threads", [2, 3])
def test_a_training_ends_in_the_same_bits_on_any_threads(threads: int) -> None:
    x = torch.rand(6, 40, 20, generator=torch.Generator().manual_seed(2)) < 0.3
    y = torch.arange(40) % 3
    ended = []
    for n in (1, threads):
        model = flowing(threads=n, schedule=pa.Random(3))
        before = {name: each.clone() for name, each in model.state_dict().items()}
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        for step in range(6):
            optimiser.zero_grad()
            counts = model(x, seed=step)
            nn.functional.cross_entropy(counts.sum(0), y).backward()
            optimiser.step()
        ended.append(model.state_dict())
    assert not torch.equal(ended[0]["1.log_tau_syn"], before["1.log_tau_syn"])
    for name, each in ended[0].items():
        same(ended[1][name].numpy(), each.numpy(), name)


def test_it_runs_what_its_network_runs(x: Any) -> None:
    model = flowing(schedule=pa.Fifo(2)).eval()
    counts, state = model(x, return_state=True)
    keep = ("counts", "v", "current")
    ran = pa.simulate(model.network(), x.numpy(), pa.Fifo(2), dt=10e-3, keep=keep)
    for ours, theirs in ((counts, ran.counts), (state.v, ran.v), (state.current, ran.current)):
        same(ours.detach().numpy(), theirs, "")


# The neurons' module.


@pytest.mark.parametrize("tau_syn", TAUS, ids=["one", "each"])
def test_it_is_in_the_module_where_it_is_given(tau_syn: Any) -> None:
    assert not [name for name in pa.nn.LIF().state_dict() if "syn" in name]
    fixed, learned = (pa.nn.LIF(tau_syn=tau_syn, learn_tau_syn=learn) for learn in (False, True))
    assert list(fixed.parameters()) == []
    assert fixed.float().neuron() == pa.LIF(tau_syn=tau_syn)
    assert pa.nn.LIF.from_neuron(pa.LIF(tau_syn=tau_syn)).neuron() == pa.LIF(tau_syn=tau_syn)
    assert [name for name, _ in learned.named_parameters()] == ["log_tau_syn"]
    assert learned.log_tau_syn.shape == np.shape(tau_syn)
    np.testing.assert_allclose(learned.neuron().tau_syn, tau_syn, rtol=1e-6)
    np.testing.assert_allclose(learned.tau_syn.detach(), tau_syn, rtol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_state_dicts_load_whether_or_not_it_is_learned(learned: bool) -> None:
    source = pa.nn.LIF(tau_syn=7e-3, learn_tau_syn=learned, dtype=torch.float64)
    for learn in (False, True):
        target = pa.nn.LIF(tau_syn=1e-3, learn_tau_syn=learn, dtype=torch.float64)
        target.load_state_dict(source.state_dict())
        assert target.tau_syn.item() == pytest.approx(7e-3, rel=1e-12)
    plain = pa.nn.LIF()
    with pytest.raises(RuntimeError, match="tau_syn"):
        plain.load_state_dict(source.state_dict())
    with pytest.raises(RuntimeError, match="tau_syn"):
        source.load_state_dict(plain.state_dict())


def test_an_assignment_cannot_hide_what_is_learned() -> None:
    lif = pa.nn.LIF(tau_syn=20e-3, learn_tau_syn=True)
    with pytest.raises(pa.NetworkError, match=r"^tau_syn: got an assignment; .*log_tau_syn"):
        lif.tau_syn = torch.tensor(30e-3)
    fixed = pa.nn.LIF(tau_syn=20e-3)
    fixed.tau_syn = torch.tensor(30e-3, dtype=torch.float64)
    assert fixed.neuron().tau_syn == 30e-3


def test_it_shows_itself_where_it_is_given() -> None:
    assert "tau_syn" not in repr(pa.nn.LIF())
    assert "tau_syn=0.02" in repr(pa.nn.LIF(tau_syn=0.02))
    assert "tau_syn=[4] (learned)" in repr(pa.nn.LIF(tau_syn=torch.ones(4), learn_tau_syn=True))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tau_syn": 0.0}, "tau_syn: got 0"),
        ({"tau_syn": torch.tensor([1.0, -1.0])}, "tau_syn: got -1"),
        ({"tau_syn": math.inf, "learn_tau_syn": True}, "tau_syn: got inf; .*learn_tau_syn=True"),
        ({"tau_syn": 0.1, "learn_tau_syn": "no"}, "learn_tau_syn: got 'no'; .*True or False"),
        ({"learn_tau_syn": True}, "(learn_)?tau_syn: got "),
        (
            {"tau_syn": torch.nn.Parameter(torch.tensor(0.3))},
            "tau_syn: got a tensor that requires a gradient; .*learn_tau_syn",
        ),
    ],
)
def test_a_bad_parameter_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(pa.NetworkError, match=rf"^{says}"):
        pa.nn.LIF(**options)


def test_infinity_is_accepted_where_it_is_not_learned() -> None:
    assert pa.nn.LIF(tau_syn=math.inf).neuron() == pa.LIF(tau_syn=math.inf)
