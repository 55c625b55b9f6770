"""A study so small that it takes a second: three classes, each with its own channels."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyasync as pa
from pyasync.study import Recipe, Samples, StudyReport, study

N_TRAIN, N_TEST, N_CLASSES, N_TIMESTEPS = 30, 15, 3, 4
SHARED = Recipe(
    hidden=(8,), epochs=3, batch_size=10, learning_rate=0.02, input_dropout=0.0, weight_scale=2.0
)
RECIPES = {
    "layered": SHARED.replace(schedule="layered"),
    "random": SHARED.replace(schedule="random", forward_group_size=2),
}


def samples(name: str = "toy", seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    y = np.arange(N_TRAIN + N_TEST) % N_CLASSES
    x = rng.random((N_TIMESTEPS, len(y), 12)) < 0.15
    for sample, label in enumerate(y):
        x[:, sample, 4 * label : 4 * label + 4] |= rng.random((N_TIMESTEPS, 4)) < 0.5
    batch = pa.SpikeBatch.from_dense(x, dt=10e-3)
    return Samples(name, batch[:N_TRAIN], y[:N_TRAIN], batch[N_TRAIN:], y[N_TRAIN:])


def toy_study(**options: Any) -> StudyReport:
    given: dict[str, Any] = {
        "samples": samples(),
        "recipes": RECIPES,
        "schedules": ("random", "fifo"),
        "forward_group_sizes": (1,),
        "seeds": (0, 1),
        **options,
    }
    return study(given.pop("samples"), **given)
