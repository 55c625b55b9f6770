"""The ways to run a workload that the benchmarks compare: pyasync's own, and the peers'."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from peers.dense_async import DenseAsync, DenseAsyncReference
from peers.snntorch_layered import SnnTorchLayered
from workloads import Workload

import pyasync as pa

SNNTORCH, DENSE, REFERENCE = "snnTorch layered", "dense loop", "dense loop as the reference"
ENGINE = "pyasync"
DENSE_INPUT, RECORDING = "pyasync, dense input", "pyasync, recording"
REPLAY, LAYERED = "pyasync, replay", "pyasync, layered"
AT_ONCE = "pyasync, single-threaded runs at once"

Calls = dict[tuple[str, int], Callable[[], object]]  # by name and number of threads


def network_of(workload: Workload) -> pa.Network:
    """The workload's network as pyasync takes it."""
    return pa.Network.sequential(
        [pa.Linear(w) for w in workload.weights()],
        neuron=pa.LIF(tau_mem=workload.tau_mem, v_threshold=workload.v_threshold),
        names=list(workload.populations),
    )


def pyasync_calls(workload: Workload, threads: list[int]) -> tuple[Calls, pa.Trace]:
    """Every way in which pyasync runs the workload, and the trace that the replay follows."""
    network, frames = network_of(workload), workload.spikes()
    events = pa.SpikeBatch.from_dense(frames, dt=workload.dt)
    random = pa.Random(workload.forward_group_size)
    trace = pa.simulate(network, events, random, record=True).trace
    assert trace is not None

    def call(
        n: int, schedule: pa.Schedule = random, x: object = events, record: bool = False
    ) -> Callable[[], object]:
        return lambda: pa.simulate(network, x, schedule, dt=workload.dt, threads=n, record=record)

    calls: Calls = {}
    for n in threads:
        calls[ENGINE, n] = call(n)
        calls[DENSE_INPUT, n] = call(n, x=frames)
        calls[RECORDING, n] = call(n, record=True)
        calls[REPLAY, n] = call(n, pa.Replay(trace))
        calls[LAYERED, n] = call(n, pa.Layered())
        if n > 1:
            calls[AT_ONCE, n] = at_once(n, call(1))
    return calls, trace


def at_once(n: int, run: Callable[[], object]) -> Callable[[], object]:
    """`n` concurrent runs that share nothing: the most that the machine's cores can give."""
    pool = ThreadPoolExecutor(n)
    return lambda: [future.result() for future in [pool.submit(run) for _ in range(n)]]


def peer_calls(workload: Workload, n_threads: int) -> Calls:
    """Every peer, on `n_threads` threads of PyTorch; their input is made dense in advance."""
    torch.set_num_threads(n_threads)
    x = torch.from_numpy(workload.spikes()).float()
    layered, dense, reference = _peers(workload)
    generator = torch.Generator().manual_seed(workload.seed)
    return {
        (SNNTORCH, n_threads): lambda: layered(x),
        (DENSE, n_threads): lambda: dense.run(x, generator),
        (REFERENCE, n_threads): lambda: reference.run(x, generator),
    }


def _peers(workload: Workload) -> tuple[SnnTorchLayered, DenseAsync, DenseAsyncReference]:
    weights = [torch.from_numpy(w) for w in workload.weights()]
    neuron: dict[str, Any] = {"v_threshold": workload.v_threshold, "beta": workload.beta}
    scheduled = {**neuron, "forward_group_size": workload.forward_group_size}
    return (
        SnnTorchLayered(weights, **neuron),
        DenseAsync(weights, **scheduled),
        DenseAsyncReference(weights, **scheduled),
    )


def spikes_per_sample(workload: Workload) -> dict[str, dict[str, float]]:
    """Mean number of spikes per sample in each population, for each kind of run."""
    network, frames = network_of(workload), workload.spikes()
    x = torch.from_numpy(frames).float()
    layered, dense, reference = _peers(workload)
    generator = torch.Generator().manual_seed(workload.seed)
    random = pa.Random(workload.forward_group_size)
    spike_counts = {
        SNNTORCH: layered(x, every_layer=True).sum(0).numpy(),
        LAYERED: pa.simulate(network, frames, pa.Layered(), dt=workload.dt).spike_counts,
        DENSE: dense.run(x, generator).spike_counts.numpy(),
        REFERENCE: reference.run(x, generator).spike_counts.numpy(),
        ENGINE: pa.simulate(network, frames, random, dt=workload.dt).spike_counts,
    }
    return {
        run: {p: float(n[:, ids].sum(1).mean()) for p, ids in workload.populations.items()}
        for run, n in spike_counts.items()
    }
