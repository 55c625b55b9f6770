"""The training peers compute the same gradient as pyasync, or ratios would mean nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyasync as pa

torch = pytest.importorskip("torch")
pytest.importorskip("workloads", reason="the benchmarks are not beside the tests")

from peers.dense_async import DenseAsync, DenseAsyncReference  # noqa: E402
from peers.dense_async_bptt import DenseAsyncBptt, DenseAsyncReferenceBptt  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")
SIZES = (40, 24, 16, 6)
N_NEURONS = sum(SIZES[1:])
V_THRESHOLD = 0.25
# beta is exactly 1/2 and weights are multiples of 1/1024, so no sum below is ever rounded, and the
# same neurons fire. In units of 1/1024, each weight is 1 more than a multiple of 64, so no sum of
# fewer than 64 weights is zero, and "the summed input is not zero" means "an event arrived".
DT, TAU_MEM = 1.0, 1 / math.log(2)


def exact_weights(seed: int) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
    return [(64 * rng.integers(-8, 10, shape) + 1) / 1024 for shape in shapes]


def frames(seed: int, batch: int = 12, n_timesteps: int = 6) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((n_timesteps, batch, SIZES[0])) < 0.1


def labels(seed: int, batch: int) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, SIZES[-1], batch))


def tensors(weights: list[NDArray[Any]]) -> list[Any]:
    return [torch.from_numpy(w) for w in weights]


def model_of(
    weights: list[NDArray[Any]], schedule: pa.Schedule, gradient_scope: str
) -> pa.nn.AsyncSequential:
    modules: list[Any] = []
    for w in weights:
        linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        linear.weight = torch.nn.Parameter(torch.from_numpy(w.copy()))
        modules += [linear, pa.nn.LIF(v_threshold=V_THRESHOLD, tau_mem=TAU_MEM)]
    return pa.nn.AsyncSequential(
        *modules, schedule=schedule, dt=DT, gradient_scope=gradient_scope, threads=1
    )


def ours(model: pa.nn.AsyncSequential, x: NDArray[np.bool_], y: Any) -> tuple[Any, list[Any]]:
    """Counts and the gradient of every weight, computed by pyasync."""
    counts = model(torch.from_numpy(x), seed=0)
    pa.nn.functional.timestep_cross_entropy(counts, y).backward()
    return counts.detach(), [parameter.grad for parameter in model.parameters()]


def theirs(peer: Any, x: NDArray[np.bool_], y: Any, *arguments: Any) -> tuple[Any, list[Any]]:
    """Counts and the gradient of every weight, computed by a peer."""
    given = torch.from_numpy(x).to(next(peer.parameters()).dtype)
    counts = peer(given, *arguments)
    counts = counts.counts if arguments else counts
    loss = torch.nn.functional.cross_entropy(counts.flatten(0, 1), y.repeat(len(x)))
    loss.backward()
    return counts.detach(), [parameter.grad for parameter in peer.parameters()]


def dense(kind: Any, weights: list[NDArray[Any]], f: int, **scope: str) -> Any:
    return kind(tensors(weights), v_threshold=V_THRESHOLD, beta=0.5, forward_group_size=f, **scope)


def generator() -> Any:
    return torch.Generator().manual_seed(0)


def assert_same(
    expected: tuple[Any, list[Any]], found: tuple[Any, list[Any]], rtol: float = 1e-9
) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)
    assert len(found[1]) == len(expected[1]) == len(SIZES) - 1
    for theirs_, ours_ in zip(found[1], expected[1], strict=True):
        assert float(ours_.abs().max()) > 1e-4
        torch.testing.assert_close(theirs_, ours_, rtol=rtol, atol=1e-3 * rtol)


@pytest.mark.parametrize("gradient_scope", ["spikes", "next_emission"])
@pytest.mark.parametrize("seed", range(5))
def test_dense_loop_has_the_same_gradient_when_a_group_holds_all_pending(
    gradient_scope: str, seed: int
) -> None:
    weights, x, y = exact_weights(seed), frames(seed), labels(seed, 12)
    peer = dense(DenseAsyncBptt, weights, N_NEURONS, gradient_scope=gradient_scope)
    assert_same(
        ours(model_of(weights, pa.Random(N_NEURONS), gradient_scope), x, y),
        theirs(peer, x, y, generator()),
    )


@pytest.mark.parametrize("seed", range(5))
def test_reference_operations_have_the_gradient_of_the_next_emission(seed: int) -> None:
    weights, x, y = exact_weights(seed), frames(seed), labels(seed, 12)
    peer = dense(DenseAsyncReferenceBptt, weights, N_NEURONS)
    assert_same(
        ours(model_of(weights, pa.Random(N_NEURONS), "next_emission"), x, y),
        theirs(peer, x, y, generator()),
    )


@pytest.mark.parametrize("f", [1, 3, N_NEURONS])
def test_both_dense_loops_have_the_same_gradient_with_the_same_selection(f: int) -> None:
    """The fast loop's hand-written derivatives agree with autograd of the plain operations."""
    weights, x, y = exact_weights(1), frames(1), labels(1, 12)
    fast = dense(DenseAsyncBptt, weights, f, gradient_scope="next_emission")
    plain = dense(DenseAsyncReferenceBptt, weights, f)
    # Both draw one number per neuron in each forward step; one takes the highest, the other the
    # lowest.
    fast._choose = lambda waiting, scores, g: lowest(waiting, scores, g, fast.forward_group_size)
    assert_same(theirs(plain, x, y, generator()), theirs(fast, x, y, generator()))


def lowest(waiting: Any, scores: Any, g: Any, f: int) -> Any:
    drawn = torch.rand(scores.shape, dtype=scores.dtype, generator=g)
    order = torch.where(waiting, drawn, 2.0).argsort(dim=1)
    chosen = torch.zeros_like(waiting).scatter(1, order[:, :f], True) & waiting
    waiting &= ~chosen
    return chosen


@pytest.mark.parametrize("gradient_scope", ["spikes", "next_emission"])
@pytest.mark.parametrize("f", [1, 3])
def test_dense_loop_has_the_same_gradient_when_it_emits_what_was_recorded(
    gradient_scope: str, f: int
) -> None:
    weights, x, y = exact_weights(3), frames(3, batch=1, n_timesteps=12), labels(3, 1)
    model = model_of(weights, pa.Random(f), gradient_scope)
    expected = ours(model, x, y)
    assert model.last_result is not None
    assert model.last_result.trace is not None
    steps = model.last_result.trace.to_steps()
    emitted = steps.fired["neuron"][steps.emitted]
    groups = iter(np.split(emitted, np.cumsum(steps.steps["n_emitted"])[:-1]))
    peer = dense(DenseAsyncBptt, weights, f, gradient_scope=gradient_scope)
    peer._choose = lambda waiting, *_: next_of(groups, waiting)
    assert_same(expected, theirs(peer, x, y, generator()))


def next_of(groups: Iterator[NDArray[Any]], waiting: Any) -> Any:
    group = next(each for each in groups if each.size)
    chosen = torch.zeros_like(waiting)
    chosen[0, torch.from_numpy(group.astype(np.int64))] = True
    assert waiting[chosen].all()
    waiting &= ~chosen
    return chosen


@pytest.mark.parametrize(
    ("trained", "forward"),
    [(DenseAsyncBptt, DenseAsync), (DenseAsyncReferenceBptt, DenseAsyncReference)],
)
def test_dense_loop_runs_as_the_one_of_the_forward_benchmark(trained: Any, forward: Any) -> None:
    weights, x = exact_weights(4), torch.from_numpy(frames(4)).double()
    found = dense(trained, weights, 3)(x, generator())
    expected = dense(forward, weights, 3).run(x, generator())
    torch.testing.assert_close(found.counts.detach(), expected.counts, rtol=0, atol=0)
    torch.testing.assert_close(found.spike_counts, expected.spike_counts)
    assert found.forward_steps == expected.forward_steps


@pytest.mark.parametrize("seed", range(5))
def test_snntorch_has_the_gradient_of_layered_and_touched(seed: int) -> None:
    pytest.importorskip("snntorch")
    from peers.snntorch_bptt import SnnTorchBptt

    weights = [w.astype(np.float32) for w in exact_weights(seed)]  # snnTorch computes in float32
    x, y = frames(seed), labels(seed, 12)
    peer = SnnTorchBptt(tensors(weights), v_threshold=V_THRESHOLD, beta=0.5)
    assert_same(
        ours(model_of(weights, pa.Layered(), "touched"), x, y), theirs(peer, x, y), rtol=1e-4
    )


@pytest.mark.parametrize("seed", range(5))
def test_asynctorch_fires_the_same_spikes_when_a_group_holds_all_pending(seed: int) -> None:
    pytest.importorskip("asynctorch", reason="asynctorch, which is not on PyPI, is not installed")
    from peers.asynctorch_bptt import AsyncTorchBptt

    weights = [w.astype(np.float32) for w in exact_weights(seed)]
    x, y = frames(seed), labels(seed, 12)
    peer = dense(AsyncTorchBptt, weights, N_NEURONS)
    model = model_of(weights, pa.Random(N_NEURONS), "spikes")
    torch.testing.assert_close(
        theirs(peer, x, y, generator())[0], ours(model, x, y)[0], rtol=0, atol=0
    )
    assert model.last_result is not None
    fired = peer(torch.from_numpy(x).float()).spike_counts
    np.testing.assert_array_equal(fired.numpy(), model.last_result.spike_counts)


def test_every_contender_takes_the_step_of_the_same_network() -> None:
    pytest.importorskip("snntorch")
    import training_contenders as by
    from workloads import Workload

    workload = Workload("small", SIZES, batch=16, n_timesteps=6, activity=0.2, v_threshold=0.1)
    gradients = {}
    for run in (*by.PEERS, *by.OURS):
        step = by.Step(workload, run, threads=1)
        step()
        step()  # Adam's learning rate is 0, so the second step equals the first
        parameters = list(step.model.parameters())
        assert all(float(parameter.grad.abs().max()) > 0 for parameter in parameters)
        if run != by.ASYNCTORCH:  # it has one matrix for all weights but the input's
            for parameter, weight in zip(parameters, workload.weights(), strict=True):
                np.testing.assert_array_equal(parameter.detach().numpy(), weight)
        gradients[run] = torch.cat([p.grad.flatten() for p in step.model.parameters()])
        assert min(step.spikes_per_sample().values()) > 0
    torch.testing.assert_close(gradients[by.SNNTORCH], gradients[by.LAYERED], rtol=1e-3, atol=1e-6)


def test_a_step_is_taken_apart_into_what_it_was_spent_on() -> None:
    pytest.importorskip("snntorch")
    import training_contenders as by
    from workloads import Workload

    workload = Workload("small", SIZES, batch=16, n_timesteps=6, activity=0.2, v_threshold=0.1)
    step = by.Step(workload, by.ENGINE, threads=1)
    before = pa._core.simulate, pa._core.gradient, torch.nn.functional.nll_loss
    parts = by.parts(step)
    assert (pa._core.simulate, pa._core.gradient, torch.nn.functional.nll_loss) == before
    assert min(parts.values()) > 0
    assert parts["engine"] + parts["torch"] + parts["python"] == pytest.approx(parts["step"])


def test_the_chain_of_any_layers_fires_and_learns_as_layered_execution() -> None:
    snntorch_chain = pytest.importorskip("peers.snntorch_chain", exc_type=ImportError)
    torch.manual_seed(0)
    conv, linear = torch.nn.Conv2d(2, 4, 3, bias=False), torch.nn.Linear(64, 5, bias=False)
    for each in (conv, linear):
        each.weight.data = torch.randint(-8, 10, each.weight.shape) / 64  # sums are exact
    layers = [conv, torch.nn.Sequential(torch.nn.Flatten(), linear)]
    peer = snntorch_chain.SnnTorchChain(layers, v_threshold=0.25, beta=0.5)
    lif = {"v_threshold": 0.25, "tau_mem": TAU_MEM}
    chain = [module for each in layers for module in (each, pa.nn.LIF(**lif))]
    ours = pa.nn.AsyncSequential(
        *chain, input_shape=(2, 6, 6), schedule=pa.Layered(), dt=DT, gradient_scope="touched"
    )
    x, weight = (torch.rand(8, 3, 2, 6, 6) < 0.3).float(), torch.randn(8, 3, 5)
    counts = [model(x) for model in (peer, ours)]
    assert counts[0].sum() > 0
    assert torch.equal(*counts)
    for each in counts:
        (each * weight).sum().backward()
    for one, other in zip(peer.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
