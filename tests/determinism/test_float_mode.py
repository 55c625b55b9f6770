"""The engine's results are the same, to the bit, on a thread that flushes denormals to 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch", reason="only PyTorch sets the processor's mode from Python")

TINY = np.float32(1e-40)
PROJECTIONS = {
    "linear": pa.Linear(np.full((2, 2), TINY)),
    "linear with zeros": pa.Linear(np.diag([TINY, TINY])),
    "sparse": pa.Sparse(([0, 1, 2], [0, 1], np.full(2, TINY)), shape=(2, 2)),
    "convolution": pa.Conv1d(np.full((1, 1, 1), TINY)),
    "one to one": pa.OneToOne(np.full(2, TINY)),
}


@pytest.fixture
def flushing() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush denormal numbers")
    yield
    torch.set_flush_denormal(False)


def ran(projection: pa.Projection, schedule: pa.Schedule) -> tuple[Any, ...]:
    """Results of a run in which any event makes a neuron fire, after validating its trace."""
    shape = (1, 2) if isinstance(projection, pa.Conv1d) else (2,)
    neuron = pa.LIF(v_threshold=-1.0)
    network = pa.Network.sequential([projection], neuron, input_shape=shape, dtype="float32")
    inputs = [np.full((1, 1, *shape), size, np.float32) for size in (1, TINY)]
    results = [pa.simulate(network, x, schedule, dt=0.01, record=True) for x in inputs]
    for result in results:
        result.trace.validate(network)
    measures = [(r.spikes.tolist(), r.synaptic_operations.tolist()) for r in results]
    return *measures, *(r.trace.to_bytes() for r in results)


@pytest.mark.parametrize("schedule", [pa.Fifo(1), pa.Layered()], ids=str)
@pytest.mark.parametrize("name", PROJECTIONS)
def test_denormal_weights_and_currents_are_what_they_are(
    name: str, schedule: pa.Schedule, request: pytest.FixtureRequest
) -> None:
    usual = ran(PROJECTIONS[name], schedule)
    assert usual[0][:2] == ([2], [4] if name == "linear" else [2])
    request.getfixturevalue("flushing")
    assert ran(PROJECTIONS[name], schedule) == usual
