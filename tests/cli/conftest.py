"""A small network, and data for it, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa


@dataclass
class Files:
    """The files that commands need, in one folder."""

    folder: Path
    network: Path
    data: Path
    x: pa.SpikeBatch
    labels: np.ndarray

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in [(30, 40), (5, 30)]]
    network = pa.Network.sequential([pa.Linear(w) for w in weights], neuron=pa.LIF(v_threshold=0.3))
    network.save(folder / "network.safetensors")
    x = rng.random((6, 20, 40)) < 0.1
    labels = rng.integers(0, 5, 20)
    np.savez(folder / "data.npz", x=x, dt=10e-3, label=labels)
    batch = pa.SpikeBatch.from_dense(x, dt=10e-3)
    return Files(folder, folder / "network.safetensors", folder / "data.npz", batch, labels)


@pytest.fixture
def files(made: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Shared inputs, and for each test an empty working folder to write to."""
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path, made.network, made.data, made.x, made.labels)
