"""Running out of memory is a named error of the call, and does not end the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere no limit of a process's memory is kept"
)

BEGIN = f"""
import resource
import numpy as np, pyasync as pa
resource.setrlimit(resource.RLIMIT_AS, ({4 * 2**30}, {4 * 2**30}))
"""
MANY_COUNTS = """
n = 20_000
network = pa.Network.sequential([pa.OneToOne(np.ones(n))], pa.LIF(), input_shape=n)
x = pa.SpikeBatch([], np.zeros(2000 * 100 + 1, np.int64), n_timesteps=100, input_shape=n, dt=1e-3)
pa.simulate(network, x, {schedule})
"""
WIDE = """
weight = pa.Sparse(([0, 1], [1], [0.5]), shape=(1, 2_000_000_000))
network = pa.Network.sequential([weight], pa.LIF())
x = pa.SpikeBatch([1], [0, 1], n_timesteps=1, input_shape=2_000_000_000, dt=1e-3)
pa.simulate(network, x, pa.Fifo(1))
"""


def refused(program: str) -> str:
    """Run a program in a separate process, which must fail; return its last line of output."""
    command = [sys.executable, "-c", BEGIN + program]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1, ended.stderr  # an abort is -6
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "schedule", ["pa.Fifo(1)", "pa.FreeRunning(1)", "pa.FreeRunning(1, shards=2)"]
)
def test_counts_that_memory_cannot_hold_are_named_under_every_schedule(schedule: str) -> None:
    error = refused(MANY_COUNTS.format(schedule=schedule))
    assert error.startswith('pyasync.errors.InputError: keep: got "counts", 2000 samples of ')
    assert "memory cannot hold" in error


def test_a_small_sparse_matrix_with_more_columns_than_memory_holds_is_named() -> None:
    error = refused(WIDE)
    assert error.startswith("pyasync.errors.NetworkError: csr: got 200000000")
    assert "columns, which memory cannot hold" in error
