"""Records the traces in this folder; run it only when the trace format changes on purpose.

Everything here is made of small integers, so that every machine records the same trace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pyasync as pa

FOLDER = Path(__file__).parent
T, B, N = 3, 4, 12


class Recording(NamedTuple):
    name: str
    network: pa.Network
    x: Any
    schedule: Any
    options: dict[str, Any]


def weights(*shape: int, shift: int) -> np.ndarray:
    """A fixed pattern of eighths, a third of them zero."""
    k = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (((k * 37 + shift) % 11 - 4) / 8 * ((k * 5 + shift) % 3 > 0)).reshape(shape)


def recurrent(dtype: str, **neuron: Any) -> pa.Network:
    network = pa.Network(N, dtype=dtype)
    network.add("hidden", 20, pa.LIF(v_threshold=0.3, **neuron))
    network.add("output", 4, pa.LIF(v_threshold=np.array([0.25, 0.5, 0.75, 1.0]), tau_mem=np.inf))
    network.connect(
        "input", "hidden", pa.Linear(weights(20, N, shift=1), bias=weights(20, shift=4))
    )
    network.connect("hidden", "hidden", pa.Linear(weights(20, 20, shift=2) - 0.25))
    network.connect("hidden", "output", pa.Linear(weights(4, 20, shift=3)))
    network.connect("input", "output", pa.Linear(weights(4, N, shift=5)))
    return network


def convolutional() -> pa.Network:
    return pa.Network.sequential(
        [
            pa.Conv2d(weights(3, 2, 3, 3, shift=1), stride=(1, 2), padding=1),
            pa.SumPool2d(2),
            pa.Linear(weights(4, 9, shift=7)),
        ],
        neuron=pa.LIF(v_threshold=0.5, reset="subtract"),
        input_shape=(2, 6, 6),
    )


def pattern(n: int) -> np.ndarray:
    k = np.arange(T * B * n)
    return ((k * 29 + 3) % 7 % 4 * (k % 5 < 2)).reshape(T, B, n).astype(np.uint8)


def recordings() -> list[Recording]:
    often = {"refractory": "none", "reset": "subtract"}
    stop = {"stop_on_output": "sample", "extra_steps": 1}
    carry = {"max_forward_steps": 9, "on_stop": "carry"}
    priority, noisy = pa.Priority(2, np.arange(24) % 5), pa.Momentum(4, noise=0.25)
    single, double = recurrent("float32"), recurrent("float64")
    x, images = pattern(N), pattern(72)
    return [
        Recording("random-float32", single, x, pa.Random(3), {"seed": 2**63 + 5}),
        Recording("momentum-carry", recurrent("float64", **often), x, noisy, carry),
        Recording("fifo-scheduled", single, x, pa.Fifo(5), {"input_mode": "scheduled"}),
        Recording("priority-stopped", double, x, priority, stop),
        Recording("layered-feedback", single, x, pa.Layered(), {}),
        Recording(
            "convolutional", convolutional(), images, pa.Random(8), {"sample_ids": [9, 8, 7, 6]}
        ),
    ]


def record(recording: Recording) -> pa.Trace:
    _, network, x, schedule, options = recording
    trace = pa.simulate(network, x, schedule, dt=0.005, record=True, **options).trace
    assert trace is not None
    assert trace.n_emitted > 0
    return trace


if __name__ == "__main__":
    for recording in recordings():
        path = FOLDER / f"{recording.name}.trace"
        record(recording).save(path)
        print(f"{path.name}: {path.stat().st_size} bytes")
