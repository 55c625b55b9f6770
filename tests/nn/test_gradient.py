"""The backward: both implementations agree, and models obey autograd's rules like any function."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

Make = Callable[..., pa.nn.AsyncSequential]
Close = Callable[..., None]


def gradients(model: nn.Module, loss: Any) -> list[Any]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def loss_of(model: Any, x: Any, **options: Any) -> Any:
    """A loss that depends on everything a call returns."""
    options = {"seed": 3, **options}
    counts, spike_counts, state = model(x, return_spike_counts=True, return_state=True, **options)
    weights = torch.linspace(-1, 1, counts.numel(), dtype=counts.dtype).reshape(counts.shape)
    return (counts * weights).sum() + (spike_counts.square() * 0.01).sum() + state.v.square().sum()


@pytest.mark.parametrize("scope", ["spikes", "next_emission", "touched"])
@pytest.mark.parametrize("schedule", [pa.Random(3), pa.Momentum(2), pa.Layered()], ids=str)
@pytest.mark.parametrize("detach_reset", [True, False])
def test_the_engine_and_pytorch_agree(
    make: Make, x: Any, close: Close, scope: str, schedule: pa.Schedule, detach_reset: bool
) -> None:
    found = []
    for gradient in ("native", "torch"):
        model = make(
            learn=True,
            gradient=gradient,
            schedule=schedule,
            gradient_scope=scope,
            detach_reset=detach_reset,
            refractory_dropout=0.5,
            spike_dropout=0.1,
            surrogate=pa.nn.fast_sigmoid(3.0),
        ).double()
        given = x.double().requires_grad_()
        state = pa.nn.State(torch.full((5, 19), 0.05, dtype=torch.float64, requires_grad=True))
        loss = loss_of(model, given, state=state)
        found.append(torch.autograd.grad(loss, [given, state.v, *model.parameters()]))
    assert all(each.abs().sum() > 0 for each in found[0])
    close(*found, rtol=1e-9, atol=1e-11)


def test_a_convolutional_model_agrees(close: Close) -> None:
    found = []
    for gradient in ("native", "torch"):
        torch.manual_seed(0)
        model = pa.nn.AsyncSequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.AvgPool2d(2),
            pa.nn.LIF(v_threshold=0.05, learn_threshold=True),
            nn.Flatten(),
            nn.Linear(4 * 4 * 4, 3),
            pa.nn.LIF(v_threshold=0.05),
            input_shape=(2, 8, 8),
            schedule=pa.Random(8),
            dt=10e-3,
            gradient=gradient,
        ).double()
        x = torch.rand(4, 3, 2, 8, 8, dtype=torch.float64, requires_grad=True)
        loss = loss_of(model, x * (x > 0.7))
        found.append(torch.autograd.grad(loss, [x, *model.parameters()]))
    assert all(each.abs().sum() > 0 for each in found[0])
    close(*found, rtol=1e-9, atol=1e-11)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    **{
        f"axes in memory {order}": lambda g, order=order: (
            g.permute(order).contiguous().permute(*np.argsort(order).tolist())
        )
        for order in permutations(range(3))
    },
    "not aligned": lambda g: torch.from_numpy(
        np.frombuffer(bytearray(1) + g.numpy().tobytes(), "f4", g.numel(), 1).reshape(g.shape)
    ),
    "every other number": lambda g: g.repeat_interleave(2, 2)[..., ::2],
    "one for all timesteps": lambda g: g[:1].expand(g.shape),
    "one for all samples": lambda g: g[:, 2:3].expand(g.shape),
    "one for all outputs, transposed": lambda g: g[..., :1].mT.contiguous().mT.expand(g.shape),
    "one for all": lambda g: g[:1, :1, :1].expand(g.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_no_bit_depends_on_how_a_loss_lays_out_its_derivatives(
    make: Make, x: Any, layout: Callable[[Any], Any]
) -> None:
    model, found = make(), []
    derivatives = layout(torch.linspace(-1, 1, 90).reshape(6, 5, 3))
    for given in (derivatives, derivatives.clone(memory_format=torch.contiguous_format)):
        model.zero_grad()
        model(x, seed=3).backward(given)
        found.append([p.grad.numpy().tobytes() for p in model.parameters()])
    assert found[0] == found[1]
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("schedule", [pa.Random(4), pa.Layered()], ids=str)
@pytest.mark.parametrize("activity", [0.01, 0.4])
def test_many_input_channels_learn_the_same_bits_as_dense_and_as_sparse_weights(
    schedule: pa.Schedule, activity: float
) -> None:
    """For dense weights this large, the gradient is accumulated in another memory layout."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.3, (48, 800)).astype(np.float32)
    spikes = rng.random((25, 12, 800)) < activity
    x = torch.from_numpy(spikes * rng.uniform(0.5, 1.5, spikes.shape).astype(np.float32))
    found = []
    for make in (dense, sparse):
        for threads in (1, 3):
            layer = make(weight)
            model = pa.nn.AsyncSequential(
                layer,
                pa.nn.LIF(v_threshold=0.5),
                nn.Linear(48, 3, bias=False),
                pa.nn.LIF(v_threshold=0.5),
                schedule=schedule,
                dt=10e-3,
                threads=threads,
            )
            nn.init.constant_(model[2].weight, 0.2)
            counts = model(x, seed=1)
            (counts * torch.linspace(-1, 1, counts.numel()).reshape(counts.shape)).sum().backward()
            found.append(layer.weight.grad.numpy().tobytes())
            assert (layer.weight.grad != 0).any()
    assert len(set(found)) == 1


def dense(weight: Any) -> Any:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data.copy_(torch.from_numpy(weight))
    return layer


def sparse(weight: Any) -> Any:
    n_out, n_in = weight.shape
    indptr, indices = np.arange(n_out + 1) * n_in, np.tile(np.arange(n_in), n_out)
    return pa.nn.Sparse((indptr, indices, weight.reshape(-1)), (n_out, n_in))


@pytest.mark.parametrize("detach_reset", [True, False])
def test_layered_and_touched_is_surrogate_gradient_bptt(
    gradient: str, close: Close, detach_reset: bool
) -> None:
    """Compared with a plain PyTorch loop, the usual way to train spiking networks."""
    torch.manual_seed(0)
    weights = [torch.randn(n, m, dtype=torch.float64) * 0.4 for m, n in ((20, 16), (16, 3))]
    x = (torch.rand(6, 5, 20) < 0.3).double()
    spike, beta = pa.nn.atan(2.0), float(np.exp(-0.5))
    for weight in weights:
        weight.requires_grad_()
    potentials = [torch.zeros(5, 16).double(), torch.zeros(5, 3).double()]
    steps = []
    for frame in x:
        signal = frame
        for at, weight in enumerate(weights):
            v = potentials[at] * beta + signal @ weight.T
            signal = spike(v - 0.3)
            potentials[at] = v * (1 - (signal.detach() if detach_reset else signal))
        steps.append(signal)
    torch.stack(steps).square().sum().backward()
    model = pa.nn.AsyncSequential(
        nn.Linear(20, 16, bias=False),
        pa.nn.LIF(v_threshold=0.3),
        nn.Linear(16, 3, bias=False),
        pa.nn.LIF(v_threshold=0.3),
        schedule=pa.Layered(),
        dt=10e-3,
        gradient=gradient,
        gradient_scope="touched",
        detach_reset=detach_reset,
    ).double()
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    counts = model(x)
    assert torch.equal(counts, torch.stack(steps))
    counts.square().sum().backward()
    close([p.grad for p in model.parameters()], [w.grad for w in weights], rtol=1e-9, atol=1e-12)


def test_a_spike_batch_has_the_gradient_of_its_dense_form(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    model = make(gradient=gradient)
    batch = pa.SpikeBatch.from_dense(x.numpy())
    close(gradients(model, loss_of(model, x)), gradients(model, loss_of(model, batch)), 1e-5, 1e-6)


@pytest.mark.parametrize(("density", "dropout"), [(0.1, 0.0), (0.1, 0.3), (0.8, 0.0)])
@pytest.mark.parametrize("form", ["bool", "uint8", "float", "array"])
def test_no_bit_depends_on_the_form_of_the_input(
    make: Make, form: str, density: float, dropout: float
) -> None:
    spikes = torch.rand(6, 5, 20, generator=torch.Generator().manual_seed(2)) < density
    forms = {
        "bool": spikes,
        "uint8": spikes.to(torch.uint8),
        "float": spikes.float(),
        "array": spikes.double().numpy(),
    }
    found = []
    for given in (forms[form], pa.SpikeBatch.from_dense(spikes.numpy())):
        model = make(input_dropout=dropout)
        counts = model(given, seed=3)
        counts.square().sum().backward()
        found.append([counts, *(each.grad for each in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert found[0][1].any()


def test_no_bit_depends_on_the_number_of_threads(make: Make, x: Any) -> None:
    runs = []
    for threads in (1, 2, 3):
        model = make(threads=threads, learn=True)
        runs.append(gradients(model, loss_of(model, x)))
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_several_forwards_before_one_backward(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    model, other = make(gradient=gradient), make(gradient=gradient, schedule=pa.Fifo(1))
    flipped = x.flip(0)
    parts = [loss_of(model, x), loss_of(model, flipped, seed=9), loss_of(other, x)]
    alone = gradients(model, parts[0]), gradients(model, parts[1])
    others = gradients(other, parts[2])
    again = [loss_of(model, x), loss_of(other, x), loss_of(model, flipped, seed=9)]
    sum(again).backward()
    close([p.grad for p in model.parameters()], [a + b for a, b in zip(*alone, strict=True)])
    close([p.grad for p in other.parameters()], others)


def test_one_output_may_be_used_twice_and_a_graph_kept(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    model = make(gradient=gradient)
    loss = loss_of(model, x)
    counts = model(x, seed=3)
    (counts.sum() + 2 * counts.sum()).backward()
    thrice = [p.grad.clone() for p in model.parameters()]
    close(thrice, gradients(model, 3 * model(x, seed=3).sum()))
    once = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    twice = torch.autograd.grad(loss, list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))


def test_gradients_accumulate_over_parts_of_a_batch(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    model = make(gradient=gradient, refractory_dropout=0.5)
    ids = torch.arange(5)
    model(x, seed=3, sample_ids=ids).sum().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for part in ids.split(2):
        model(x[:, part], seed=3, sample_ids=part).sum().backward()
    close([p.grad for p in model.parameters()], whole)


def test_only_what_is_asked_for_has_a_gradient(make: Make, x: Any, gradient: str) -> None:
    model = make(learn=True, gradient=gradient)
    frozen = [model[0].weight, model[1].v_threshold]
    for parameter in frozen:
        parameter.requires_grad_(False)
    loss_of(model, x).backward()
    for parameter in model.parameters():
        assert (parameter.grad is None) == any(parameter is each for each in frozen)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert not model(x).requires_grad
    assert model.last_result.trace is None
    current = x.float().requires_grad_()
    model(current).sum().backward()
    assert current.grad.shape == x.shape


def test_frozen_parts_change_no_other_gradient(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    free, part = make(gradient=gradient), make(gradient=gradient)
    part[2].weight.requires_grad_(False)
    loss_of(free, x).backward()
    loss_of(part, x).backward()
    close([free[0].weight.grad, free[0].bias.grad], [part[0].weight.grad, part[0].bias.grad])


def test_a_stream_in_pieces_has_the_gradient_of_the_whole(
    make: Make, x: Any, gradient: str, close: Close
) -> None:
    model = make(gradient=gradient, schedule=pa.Fifo(2), learn=True)
    whole = gradients(model, (model(x) * torch.arange(6.0)[:, None, None]).sum())
    state, pieces = None, []
    for piece in x.split(2):
        counts, state = model(piece, state=state, return_state=True)
        pieces.append(counts)
    loss = (torch.cat(pieces) * torch.arange(6.0)[:, None, None]).sum()
    close(gradients(model, loss), whole)
    counts, state = model(x[:4], return_state=True)
    truncated = model(x[4:], state=pa.nn.State(state.v.detach()))
    assert gradients(model, truncated.sum())[0].abs().sum() > 0


def test_the_gradient_of_the_input_passes_dropout_and_batch_first(
    make: Make, x: Any, gradient: str
) -> None:
    model = make(gradient=gradient, input_dropout=0.4, batch_first=True)
    current = x.float().transpose(0, 1).contiguous().requires_grad_()
    model(current, seed=1).sum().backward()
    assert current.grad.shape == (5, 6, 20)
    assert (current.grad == 0).float().mean() == pytest.approx(0.4, abs=0.1)


def test_a_cost_of_spikes_reaches_every_population(make: Make, x: Any, gradient: str) -> None:
    model = make(gradient=gradient)
    counts, spike_counts = model(x, return_spike_counts=True)
    assert spike_counts.shape == (5, 19)
    assert spike_counts[:, 16:].sum() == counts.sum()
    pa.nn.functional.spike_cost(spike_counts, 1.0).backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert model[2].weight.grad.abs().sum() > 0


def test_a_loss_of_nothing_that_was_run_is_no_trouble(make: Make, x: Any, gradient: str) -> None:
    model = make(gradient=gradient)
    counts = model(x)
    (counts.sum() * 0 + model[0].weight.sum()).backward()
    assert torch.equal(model[0].weight.grad, torch.ones(16, 20))


def test_a_change_in_place_before_the_backward_is_noticed(
    make: Make, x: Any, gradient: str
) -> None:
    model = make(gradient=gradient)
    current = x.float()
    loss = model(current).sum()
    current.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_sparse_input_is_kept_as_it_was_for_the_backward(make: Make, x: Any) -> None:
    found = []
    for reused in (False, True):
        model, sparse = make(), (x & x.roll(1, 2)).float()
        counts = model(sparse, seed=0)
        if reused:
            sparse.fill_(1.0)
        counts.sum().backward()
        found.append(model[0].weight.grad)
    assert torch.equal(*found)
    assert found[0].any()


def test_auto_is_native_on_the_cpu(make: Make, x: Any) -> None:
    auto, native = make(gradient="auto"), make(gradient="native")
    found = gradients(auto, loss_of(auto, x)), gradients(native, loss_of(native, x))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_native_off_the_cpu_says_what_to_use(make: Make, x: Any) -> None:
    model = make().to("meta")
    with pytest.raises(pa.errors.GradientError, match=r"'native' for a model on meta.*\"torch\""):
        model(x)


def test_training_learns(gradient: str) -> None:
    torch.manual_seed(0)
    model = pa.nn.AsyncSequential(
        nn.Linear(4, 20),
        pa.nn.LIF(v_threshold=0.3),
        nn.Linear(20, 4),
        pa.nn.LIF(v_threshold=0.3),
        schedule=pa.Random(4),
        dt=10e-3,
        gradient=gradient,
        refractory_dropout=0.5,
    )
    x, y = torch.eye(4).expand(5, 4, 4), torch.arange(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        pa.nn.functional.rate_cross_entropy(model(x), y, scale=1.0).backward()
        optimiser.step()
    assert model.eval()(x).sum(0).argmax(1).tolist() == [0, 1, 2, 3]
