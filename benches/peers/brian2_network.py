"""A peer: Brian2, as the C++ that it generates and compiles (`cpp_standalone`).

Started by `by_pipe.Peer` with an interpreter that has Brian2. The model is the one that
`pyasync.Layered()` runs if every projection is recurrent: a spike arrives one timestep after it was
fired.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from by_pipe import Run, serve


def build(arrays: dict[str, Any], threads: int) -> tuple[dict[str, Any], Run]:
    """Generate, compile and load the network; return a description, and the function to run it."""
    import brian2 as b2

    directory = Path("brian2").absolute()
    b2.prefs.core.default_float_dtype = np.float32  # as pyasync; twice as fast as Brian2's own
    b2.prefs.devices.cpp_standalone.openmp_threads = 0 if threads == 1 else threads
    b2.set_device("cpp_standalone", directory=str(directory), build_on_run=False)
    dt = float(arrays["dt"]) * b2.second
    b2.defaultclock.dt = dt
    neurons = b2.NeuronGroup(
        int(arrays["n_neurons"]),
        "dv/dt = -v / tau : 1",
        threshold="v > 1",
        reset="v = 0",
        method="exact",
        namespace={"tau": float(arrays["tau_mem"]) * b2.second},
    )
    # A spike generated in one step arrives in the next, as in `network` below.
    inputs = b2.SpikeGeneratorGroup(
        int(arrays["n_inputs"]), arrays["channel"], arrays["timestep"] * dt
    )
    synapses = [
        _synapses(b2, source, neurons, arrays, name)
        for name, source in (("input", inputs), ("recurrent", neurons))
    ]
    monitor = b2.SpikeMonitor(neurons, record=False)
    network = b2.Network(neurons, inputs, *synapses, monitor)
    # Decay, then arriving spikes, then the threshold: a spike of step t is delivered in step t + 1.
    network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
    wall_seconds = directory / "wall_seconds.txt"
    _time_the_loop(b2, wall_seconds)
    began = time.perf_counter()
    # One step more than pyasync: the first has no input yet.
    network.run((int(arrays["n_timesteps"]) + 1) * dt)
    b2.device.build(directory=str(directory), compile=True, run=False)
    about = {
        "version": b2.__version__,
        "float": "float32",
        "build_seconds": time.perf_counter() - began,
    }

    def run() -> tuple[float, Any]:
        b2.device.run(directory=str(directory), with_output=False)
        return float(wall_seconds.read_text()), np.asarray(monitor.count[:])

    return about, run


def _time_the_loop(b2: Any, file: Path) -> None:
    """Make the program write how long its loop over timesteps takes, without loading.

    Brian2's own figure is CPU time with one thread, and wall-clock time with several.
    """
    b2.prefs.codegen.cpp.headers += ["<chrono>"]
    now = "std::chrono::steady_clock::now()"
    b2.device.insert_code("before_network_run", f"const auto loop_start = {now};")
    seconds = f"std::chrono::duration<double>({now} - loop_start).count()"
    b2.device.insert_code("after_network_run", f'std::ofstream("{file}") << {seconds};')


def _synapses(b2: Any, source: Any, target: Any, arrays: dict[str, Any], name: str) -> Any:
    synapses = b2.Synapses(source, target, "w : 1", on_pre="v_post += w")
    synapses.connect(i=arrays[f"{name}_source"], j=arrays[f"{name}_target"])
    synapses.w = arrays[f"{name}_weight"]
    return synapses


if __name__ == "__main__":
    serve("brian2", build)
