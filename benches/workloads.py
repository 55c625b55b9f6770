"""What the benchmarks run: networks with random weights and random input, made from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Workload:
    """A fully connected network and its input.

    Weights are Xavier uniform, unscaled, drawn in float64 and rounded to float32. Each input
    channel spikes in each timestep of each sample with probability `activity`. At these settings
    every population spikes; the report shows how much.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    n_timesteps: int
    activity: float = 0.03
    forward_group_size: int = 8
    v_threshold: float = 0.3
    tau_mem: float = 20e-3
    dt: float = 10e-3
    seed: int = 0

    @property
    def beta(self) -> float:
        """Decay of the membrane potential in a timestep."""
        return math.exp(-self.dt / self.tau_mem)

    @property
    def populations(self) -> dict[str, slice]:
        """Neuron ids of each population."""
        ends = np.cumsum(self.sizes[1:]).tolist()
        names = [f"hidden{k}" for k in range(1, len(ends))] + ["output"]
        return {
            name: slice(end - size, end)
            for name, end, size in zip(names, ends, self.sizes[1:], strict=True)
        }

    def weights(self) -> list[NDArray[np.float32]]:
        """One weight [n_out, n_in] per layer."""
        rng = np.random.default_rng([self.seed, 0])
        drawn = []
        for n_in, n_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            bound = math.sqrt(6 / (n_in + n_out))
            drawn.append(rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32))
        return drawn

    def spikes(self) -> NDArray[np.bool_]:
        """Input spikes [T, B, n_inputs]."""
        rng = np.random.default_rng([self.seed, 1])
        return rng.random((self.n_timesteps, self.batch, self.sizes[0])) < self.activity


WORKLOADS = {
    w.name: w
    for w in (
        Workload("nmnist-shaped", (2312, 64, 64, 64, 10), batch=256, n_timesteps=10),
        Workload("shd-shaped", (700, 128, 128, 20), batch=128, n_timesteps=100),
        # Fires about as much as the same network after unlayered training.
        Workload("shd-sparse", (700, 128, 128, 20), batch=128, n_timesteps=100, v_threshold=0.5),
    )
}
