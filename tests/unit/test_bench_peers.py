"""The benchmarks' peers do the same work as pyasync, or ratios would mean nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyasync as pa

torch = pytest.importorskip("torch")
pytest.importorskip("workloads", reason="the benchmarks are not beside the tests")

from peers.dense_async import DenseAsync, DenseAsyncReference  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

DENSE = pytest.mark.parametrize("dense", [DenseAsync, DenseAsyncReference])
pytestmark = pytest.mark.usefixtures("one_torch_thread")
SIZES = (40, 24, 16, 6)
N_NEURONS = sum(SIZES[1:])
ENDS = np.cumsum(SIZES[1:])
POPULATIONS = [slice(end - size, end) for end, size in zip(ENDS, SIZES[1:], strict=True)]
V_THRESHOLD = 0.25
# beta is 1/2 exactly and weights are multiples of 1/16, so no float32 sum below is ever rounded
DT, TAU_MEM = 1.0, 1 / math.log(2)


def exact_weights(seed: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
    return [rng.integers(-8, 10, shape).astype(np.float32) / np.float32(16) for shape in shapes]


def frames(seed: int, batch: int = 12, n_timesteps: int = 6) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((n_timesteps, batch, SIZES[0])) < 0.1


def network_of(weights: list[NDArray[np.float32]]) -> pa.Network:
    neuron = pa.LIF(tau_mem=TAU_MEM, v_threshold=V_THRESHOLD)
    network = pa.Network.sequential([pa.Linear(w) for w in weights], neuron=neuron)
    assert (network.decay(DT) == 0.5).all()
    return network


def tensors(weights: list[NDArray[np.float32]]) -> list[Tensor]:
    return [torch.from_numpy(w) for w in weights]


def run_dense(
    dense: Any, weights: list[NDArray[np.float32]], x: NDArray[np.bool_], f: int, seed: int = 0
) -> Any:
    peer = dense(tensors(weights), v_threshold=V_THRESHOLD, beta=0.5, forward_group_size=f)
    generator = torch.Generator().manual_seed(seed)
    return peer.run(torch.from_numpy(x).float(), generator)


@DENSE
@pytest.mark.parametrize("seed", range(5))
def test_dense_loop_fires_the_same_spikes_when_a_group_holds_all_pending(
    dense: Any, seed: int
) -> None:
    weights, x = exact_weights(seed), frames(seed)
    expected = pa.simulate(network_of(weights), x, pa.Random(N_NEURONS), dt=DT)
    ran = run_dense(dense, weights, x, f=N_NEURONS)
    assert min(expected.spike_counts[:, ids].sum() for ids in POPULATIONS) > 0
    np.testing.assert_array_equal(ran.spike_counts.numpy(), expected.spike_counts)
    np.testing.assert_array_equal(ran.counts.numpy(), expected.counts)


@DENSE
@pytest.mark.parametrize("seed", range(5))
def test_dense_loop_takes_the_same_forward_steps_as_one_sample_needs(dense: Any, seed: int) -> None:
    weights, x = exact_weights(seed), frames(seed, batch=1)
    expected = pa.simulate(network_of(weights), x, pa.Random(N_NEURONS), dt=DT)
    assert run_dense(dense, weights, x, f=N_NEURONS).forward_steps == expected.forward_steps[0]


@DENSE
def test_dense_loop_fires_as_many_spikes_on_average_under_random_selection(dense: Any) -> None:
    batch, f = 1500, 2
    weights, x = exact_weights(1), frames(1, batch, n_timesteps=3)
    ours = pa.simulate(network_of(weights), x, pa.Random(f), dt=DT).spike_counts.astype(np.float64)
    theirs = run_dense(dense, weights, x, f).spike_counts.numpy()
    whole = run_dense(dense, weights, x, f=N_NEURONS).spike_counts.numpy()
    told_apart = 0
    for ids in POPULATIONS[1:]:  # input reaches the first population before any selection
        difference = (theirs - ours)[:, ids].sum(1)
        error = difference.std() / math.sqrt(batch)
        assert abs(difference.mean()) < 4 * error
        told_apart += abs((whole - ours)[:, ids].sum(1).mean()) > 8 * error
    assert told_apart  # the same comparison distinguishes another group size from this one


@DENSE
def test_dense_loop_emits_at_most_a_group_in_a_forward_step(dense: Any) -> None:
    weights, x = exact_weights(2), frames(2, batch=1)
    ran = run_dense(dense, weights, x, f=1)
    # step 0 of a timestep emits nothing, and every other step exactly one spike
    assert ran.forward_steps == len(x) + int(ran.spike_counts.sum())


@pytest.mark.parametrize("reset_delay", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_snntorch_fires_the_same_spikes_as_layered(seed: int, reset_delay: bool) -> None:
    pytest.importorskip("snntorch")
    from peers.snntorch_layered import SnnTorchLayered

    weights, x = exact_weights(seed), frames(seed)
    expected = pa.simulate(network_of(weights), x, pa.Layered(), dt=DT)
    peer = SnnTorchLayered(
        tensors(weights), v_threshold=V_THRESHOLD, beta=0.5, reset_delay=reset_delay
    )
    spikes = peer(torch.from_numpy(x).float(), every_layer=True).numpy()
    assert min(expected.spike_counts[:, ids].sum() for ids in POPULATIONS) > 0
    np.testing.assert_array_equal(spikes.sum(0), expected.spike_counts)
    np.testing.assert_array_equal(spikes[:, :, -SIZES[-1] :], expected.counts)
    outputs = peer(torch.from_numpy(x).float()).numpy()
    np.testing.assert_array_equal(outputs, expected.counts)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_population_of_a_workload_spikes_and_the_peers_agree_on_how_much(name: str) -> None:
    workload = WORKLOADS[name]
    x = workload.spikes()
    neuron = pa.LIF(tau_mem=workload.tau_mem, v_threshold=workload.v_threshold)
    network = pa.Network.sequential([pa.Linear(w) for w in workload.weights()], neuron=neuron)
    assert workload.beta == pytest.approx(float(network.decay(workload.dt)[0]), abs=1e-7)
    f = workload.forward_group_size
    ours = pa.simulate(network, x, pa.Random(f), dt=workload.dt).spike_counts
    peer = DenseAsync(
        tensors(workload.weights()),
        v_threshold=workload.v_threshold,
        beta=workload.beta,
        forward_group_size=f,
    )
    theirs = peer.run(torch.from_numpy(x).float(), torch.Generator().manual_seed(0)).spike_counts
    for ids in workload.populations.values():
        mean = ours[:, ids].sum(1).mean()
        assert mean > 5
        assert theirs.numpy()[:, ids].sum(1).mean() == pytest.approx(mean, rel=0.05)
