"""How long one sample takes from the call to its first output spike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contenders import network_of
from peers.snntorch_layered import SnnTorchLayered
from timing import SETTLE_SECONDS
from torch import Tensor
from workloads import WORKLOADS

import pyasync as pa

WORKLOAD = WORKLOADS["nmnist-shaped"]
SAMPLES = 64
OWN = {
    "pyasync FreeRunning, 1 worker": pa.FreeRunning(1),
    "pyasync FreeRunning, 2 workers": pa.FreeRunning(2, parallel="shards"),
    "pyasync Fifo(1)": pa.Fifo(1),
    "pyasync Random(8)": pa.Random(8),
    "pyasync Momentum(8)": pa.Momentum(8),
}
WHOLE, FIRST = "snnTorch, all timesteps", "snnTorch, up to the first output spike"


def measure(rounds: int) -> dict[str, Any]:
    """Microseconds for each contender, with one call for each sample and round."""
    network = network_of(WORKLOAD)
    frames = WORKLOAD.spikes()[:, :SAMPLES]
    samples = [
        pa.SpikeBatch.from_dense(frames[:, b : b + 1], dt=WORKLOAD.dt) for b in range(SAMPLES)
    ]
    tensors = [torch.from_numpy(frames[:, b : b + 1]).float() for b in range(SAMPLES)]
    weights = [torch.from_numpy(w) for w in WORKLOAD.weights()]
    layered = SnnTorchLayered(weights, v_threshold=WORKLOAD.v_threshold, beta=WORKLOAD.beta)

    def own(schedule: pa.Schedule, threads: int) -> Callable[[int], bool]:
        def call(b: int) -> bool:
            result = pa.simulate(
                network,
                samples[b],
                schedule,
                threads=threads,
                stop_on_output="sample",
                keep=("output_spikes",),
            )
            return not bool(np.isnan(result.latency[0]))

        return call

    calls: dict[str, Callable[[int], bool]] = {
        name: own(schedule, 2 if "2 workers" in name else 1) for name, schedule in OWN.items()
    }
    calls[WHOLE] = lambda b: bool(layered(tensors[b]).any())
    calls[FIRST] = lambda b: until_output(layered, tensors[b])
    torch.set_num_threads(1)  # at this size a second thread would only slow it down
    taken: dict[str, list[float]] = {name: [] for name in calls}
    answered = dict.fromkeys(calls, 0)
    for r in range(rounds):
        for name in calls if r % 2 == 0 else reversed(calls):
            time.sleep(SETTLE_SECONDS)
            calls[name](0)
            for b in range(SAMPLES):
                start = time.perf_counter()
                answered[name] += calls[name](b)
                taken[name].append(time.perf_counter() - start)
    return {
        "workload": WORKLOAD.name,
        "sizes": list(WORKLOAD.sizes),
        "samples": SAMPLES,
        "rows": [
            {
                "run": name,
                "microseconds": {
                    f"{q}%": 1e6 * float(np.percentile(each, q)) for q in (10, 50, 90)
                },
                "with_output": answered[name] / len(each),
            }
            for name, each in taken.items()
        ],
    }


@torch.no_grad()
def until_output(layered: SnnTorchLayered, x: Tensor) -> bool:
    """Run snnTorch's layers up to the end of the first timestep with an output spike."""
    potentials = [x.new_zeros((x.shape[1], n)) for n in layered.sizes]
    for spikes in x:
        for k, (linear, leaky) in enumerate(zip(layered.linear, layered.leaky, strict=True)):
            spikes, potentials[k] = leaky(linear(spikes), potentials[k])
        if spikes.any():
            return True
    return False
