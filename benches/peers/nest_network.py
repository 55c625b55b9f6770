"""A peer: NEST, with `iaf_psc_delta` neurons, whose synapses add to the potential.

Started by `by_pipe.Peer` with an interpreter that has NEST. The model is the one that
`pyasync.Layered()` runs if every projection is recurrent: a spike arrives one timestep after it was
fired. NEST computes in float64 and fires at `v >= v_threshold`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from by_pipe import Run, serve

SILENT_STEPS = 200  # without input between runs, so that each begins with no spike in transit


def build(arrays: dict[str, Any], threads: int) -> tuple[dict[str, Any], Run]:
    """Create the network; return a description, and the function to run it."""
    import nest

    n_timesteps, n_neurons = int(arrays["n_timesteps"]), int(arrays["n_neurons"])
    dt = 1e3 * float(arrays["dt"])  # NEST's times are in milliseconds
    began = time.perf_counter()
    nest.ResetKernel()
    nest.local_num_threads = threads
    nest.resolution = dt
    neurons = nest.Create(
        "iaf_psc_delta",
        n_neurons,
        {
            **dict.fromkeys(("E_L", "V_m", "V_reset", "t_ref"), 0.0),
            "V_th": 1.0,
            "C_m": 1.0,
            "tau_m": 1e3 * float(arrays["tau_mem"]),
        },
    )
    inputs = nest.Create("spike_generator", int(arrays["n_inputs"]))
    recorder = nest.Create("spike_recorder")
    for name, source in (("input", inputs), ("recurrent", neurons)):
        weight = arrays[f"{name}_weight"].astype(np.float64)
        nest.Connect(
            np.asarray(source.tolist())[arrays[f"{name}_source"]],
            np.asarray(neurons.tolist())[arrays[f"{name}_target"]],
            "one_to_one",
            {"weight": weight, "delay": np.full(weight.size, dt)},
        )
    nest.Connect(neurons, recorder)
    steps = [1 + arrays["timestep"][arrays["channel"] == channel] for channel in range(len(inputs))]
    about = {
        "version": nest.__version__,
        "float": "float64",
        "build_seconds": time.perf_counter() - began,
    }
    first = np.asarray(neurons.tolist())[0]

    def simulate(n: int) -> float:
        nest.Prepare()
        start = time.perf_counter()
        nest.Run(n * dt)
        seconds = time.perf_counter() - start
        nest.Cleanup()
        return seconds

    def run() -> tuple[float, Any]:
        now = round(nest.biological_time / dt)
        inputs.set([{"spike_times": np.round((now + own) * dt, 6)} for own in steps])
        # One step more than pyasync: the first has no input yet.
        seconds = simulate(n_timesteps + 1)
        senders = np.asarray(recorder.events["senders"])
        recorder.n_events = 0
        simulate(SILENT_STEPS)
        recorder.n_events = 0
        neurons.V_m = 0.0
        return seconds, np.bincount(senders - first, minlength=n_neurons)

    return about, run


if __name__ == "__main__":
    serve("nest", build)
