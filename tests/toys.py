"""Small data to train on, and helpers to compare trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import pyasync as pa
from pyasync.study import Recipe

# Learns `toy` in a few epochs, whatever the order of spikes.
QUICK = Recipe(
    hidden=(12,), epochs=3, batch_size=8, learning_rate=0.02, input_dropout=0.1, weight_scale=2.0
)


def toy(n_samples: int = 30, seed: int = 0) -> tuple[pa.SpikeBatch, npt.NDArray[np.int64]]:
    """Samples of three classes, each with most of its spikes on its own third of 18 channels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % 3
    rate = np.where(np.arange(18) // 6 == y[:, None], 0.5, 0.05)
    x = rng.random((6, n_samples, 18)) < rate
    return pa.SpikeBatch.from_dense(x.reshape(6, n_samples, 2, 3, 3), dt=10e-3), y


def bits(network: pa.Network) -> list[Any]:
    """All values in a network, for bitwise comparison."""
    neurons = [
        p.neuron.values(name, p.shape).tobytes()
        for p in network.populations
        for name in p.neuron.parameters
    ]
    links = [
        {name: array.tobytes() for name, array in link.projection.arrays().items()}
        for link in network.projections
    ]
    return [network.dtype, neurons, links]
