"""Use an installed wheel in an environment that holds NumPy and nothing else."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

import pyasync as pa

OPTIONAL = ("torch", "snntorch", "typer", "rich", "matplotlib", "mlxtend", "safetensors")
present = [name for name in OPTIONAL if importlib.util.find_spec(name) is not None]
assert not present, f"this environment is meant to hold NumPy alone, and holds {present}"

rng = np.random.default_rng(0)
weights = [rng.normal(0.0, 0.4, size) for size in ((64, 200), (64, 64), (10, 64))]
network = pa.Network.sequential(
    [pa.Linear(w.astype(np.float32)) for w in weights], neuron=pa.LIF(v_threshold=0.3)
)
x = rng.random((10, 32, 200)) < 0.03
result = pa.simulate(network, x, pa.Random(8), dt=10e-3, record=True)
assert result.counts.shape == (10, 32, 10)
assert result.reached_quiescence.all()
assert result.spikes.min() > 0, "every sample fires"

trace = result.trace
assert trace is not None
trace.validate(network)
replayed = pa.simulate(network, x, pa.Replay(trace), dt=10e-3)
assert (replayed.counts == result.counts).all(), "a replay gives the same bits"

again = pa.simulate(network, x, pa.Random(8), dt=10e-3, threads=1)
assert (again.spike_counts == result.spike_counts).all(), "one thread gives the same bits"

try:
    network.save("network.safetensors")
except pa.MissingDependencyError as error:
    said = str(error)
assert "pip install" in said, said

# Without its extra, the command says what to install and fails.
command = Path(sysconfig.get_path("scripts")) / "pyasync"
refused = subprocess.run([command, "info"], capture_output=True, text=True, check=False)
assert refused.returncode == 2, refused
assert "pip install typer rich" in refused.stderr, refused

names = sorted(d.name for d in importlib.metadata.distributions())
print(f"pyasync {pa.__version__} on Python {sys.version.split()[0]} with {', '.join(names)}:")
print(f"{int(result.spikes.sum())} spikes in 32 samples, replayed bit for bit")
