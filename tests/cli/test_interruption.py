"""Ctrl-C ends a command at once and leaves what was finished on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import interrupted

import pyasync as pa

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
ONE_LINE = "pyasync: interrupted\n"


@pytest.fixture
def large(files) -> list[str]:
    """Arguments that name a network and samples with which runs take minutes at F = 1."""
    rng = np.random.default_rng(0)
    network = pa.Network.sequential(
        [pa.Linear(rng.normal(0, 0.5, shape)) for shape in [(400, 40), (400, 400), (10, 400)]],
        neuron=pa.LIF(v_threshold=0.1),
    )
    network.save("large.safetensors")
    x, label = rng.random((50, 2000, 40)) < 0.2, rng.integers(0, 10, 2000)
    np.savez("many.npz", x=x, label=label, dt=1e-3)
    return ["large.safetensors", "--data", "many.npz", "--json", "out.json"]


def test_ctrl_c_ends_a_simulation_and_keeps_its_finished_batches(large) -> None:
    arguments = ["simulate", *large, "-F", "1", "--batch-size", "2", "--trace", "out.trace"]
    assert interrupted(arguments, lambda output: "2,000 samples" in output) == ONE_LINE
    report = json.loads(Path("out.json").read_text())
    assert 0 < report["n_finished"] < 2000
    assert (
        len(pa.Trace.load("out.trace")) == len(report["samples"]["spikes"]) == report["n_finished"]
    )


def test_ctrl_c_ends_an_audit_and_keeps_its_finished_schedules(large) -> None:
    arguments = ["audit", *large, "--schedule", "random", "-F", "400", "-F", "1"]
    assert interrupted(arguments, lambda output: Path("out.json").exists()) == ONE_LINE
    rows = json.loads(Path("out.json").read_text())["rows"]
    assert [row["forward_group_size"] for row in rows] == [None, 400]


def test_ctrl_c_ends_training(files) -> None:
    pytest.importorskip("torch")
    # Wait until an epoch is over: importing PyTorch takes long, and may abort if interrupted.
    arguments = ["train", str(files.data), "--epochs", "100000"]
    assert interrupted(arguments, lambda output: "epoch" in output.partition("\n")[2]) == ONE_LINE
