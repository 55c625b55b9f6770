"""The ways to run the random network that `free_running.py` compares.

`python benches/free_running_contenders.py NETWORK` builds the network in a separate process and
prints how many bytes of memory it needs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from free_running_network import NETWORKS, RandomNetwork, Synapses
from numpy.typing import NDArray
from peers.by_pipe import AbsentError, Peer

import pyasync as pa

FIFO, FREE, SHARDS = "pyasync Fifo(1)", "pyasync FreeRunning", "pyasync FreeRunning, 2 shards"
FREE_16, LAYERED = "pyasync FreeRunning, F = 16", "pyasync Layered"
RECORDED = "pyasync FreeRunning, recording"
PEERS = {"Brian2": "brian2_network.py", "NEST": "nest_network.py"}
INTERPRETERS = {"Brian2": "PYASYNC_BRIAN2_PYTHON", "NEST": "PYASYNC_NEST_PYTHON"}


class Measured(NamedTuple):
    """One run: wall-clock seconds, CPU seconds (None for a peer), and the spikes fired."""

    seconds: float
    core_seconds: float | None
    spike_counts: NDArray[np.integer]


class Contender(Protocol):
    """Something that runs the network on its input."""

    def __call__(self) -> Measured: ...


class OwnRun:
    """A run by pyasync; `result` is the last one's."""

    def __init__(
        self,
        network: pa.Network,
        x: pa.SpikeBatch,
        schedule: pa.Schedule,
        threads: int = 1,
        record: bool = False,
    ) -> None:
        self.network, self.x, self.schedule, self.threads = network, x, schedule, threads
        self.record = record
        self.result: pa.Result

    def __call__(self) -> Measured:
        core, start = time.process_time(), time.perf_counter()
        self.result = pa.simulate(
            self.network,
            self.x,
            self.schedule,
            threads=self.threads,
            record=self.record,
            keep=("spike_counts",),
        )
        seconds, core = time.perf_counter() - start, time.process_time() - core
        return Measured(seconds, core, self.result.spike_counts[0])


class PeerRun:
    """A run by a peer in a separate process."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def __call__(self) -> Measured:
        seconds = self.peer.run()
        return Measured(seconds, None, self.peer.spike_counts())


def network_of(random: RandomNetwork) -> pa.Network:
    """The random network as pyasync takes it."""
    network = pa.Network(random.n_inputs)
    network.add("random", random.n_neurons, pa.LIF(tau_mem=random.tau_mem, v_threshold=1.0))
    for source, n_in, synapses in (
        ("input", random.n_inputs, random.from_input),
        ("random", random.n_neurons, random.recurrent),
    ):
        network.connect(source, "random", _sparse(synapses, n_in))
    return network


def _sparse(synapses: Synapses, n_in: int) -> pa.Sparse:
    n_out = synapses.indptr.size - 1
    return pa.Sparse((synapses.indptr, synapses.source, synapses.weight), shape=(n_out, n_in))


def input_of(random: RandomNetwork) -> pa.SpikeBatch:
    """Its input, one sample."""
    return pa.SpikeBatch.from_dense(random.spikes[:, None], dt=random.dt)


def own_runs(random: RandomNetwork, threads: list[int]) -> dict[tuple[str, int], OwnRun]:
    """Pyasync's runs by name and number of threads."""
    network, x = network_of(random), input_of(random)

    def free(
        workers: int, group_size: int = 1, shards: int | None = None, record: bool = False
    ) -> OwnRun:
        schedule = pa.FreeRunning(workers, group_size, shards, parallel="shards")
        return OwnRun(network, x, schedule, workers, record)

    runs = {
        (FIFO, 1): OwnRun(network, x, pa.Fifo(1)),
        (LAYERED, 1): OwnRun(network, x, pa.Layered()),
        (SHARDS, 1): free(1, shards=2),
    }
    runs |= {(FREE, n): free(n) for n in threads}
    runs |= {(RECORDED, n): free(n, record=True) for n in threads}
    return runs | {(FREE_16, n): free(n, group_size=16) for n in threads}


@contextmanager
def peer_runs(
    random: RandomNetwork, threads: list[int], interpreters: dict[str, str]
) -> Iterator[tuple[dict[tuple[str, int], PeerRun], dict[str, Any]]]:
    """The peers' runs, and information on each peer: its version, or why it is absent.

    `interpreters` gives the Python interpreter of each peer; by default the current one is tried.
    """
    runs: dict[tuple[str, int], PeerRun] = {}
    about: dict[str, Any] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pyasync-peers-")))
        file = directory / "network.npz"
        random.save(file)
        for name, script in PEERS.items():
            python = interpreters.get(name) or os.environ.get(INTERPRETERS[name]) or sys.executable
            for n in threads:
                print(f"{random.name}: building {name}, {n} threads", file=sys.stderr)
                try:
                    peer = Peer(python, script, file, n, directory / f"{name}-{n}")
                except AbsentError as error:
                    about[name] = {"absent": str(error)}
                    break
                runs[name, n] = PeerRun(stack.enter_context(peer))
                about[name] = peer.about
        yield runs, about


def bytes_needed(random: RandomNetwork) -> dict[str, int] | None:
    """Resident memory of the arrays in Python, of the engine's network, and of a run's state.

    None if the system does not provide it.
    """
    from training_contenders import give_back_free_memory, resident

    peak_resets = Path("/proc/self/clear_refs")
    if not peak_resets.exists():
        return None
    # The very first run also loads code and starts threads.
    small = RandomNetwork(n_neurons=500, synapses_per_neuron=20, n_timesteps=5)
    OwnRun(network_of(small), input_of(small), pa.FreeRunning(1, parallel="shards"))()
    x, synapses = input_of(random), (random.from_input, random.recurrent)

    def now() -> int:
        gc.collect()
        give_back_free_memory()
        return resident("VmRSS")

    before = now()
    network = network_of(random)
    made = now()
    engine = network.build()
    built = now()
    peak_resets.write_text("5")
    OwnRun(network, x, pa.FreeRunning(1, parallel="shards"))()
    return {
        "synapses": sum(s.weight.size for s in synapses),
        "neurons": random.n_neurons,
        "stored_by_engine": sum(engine.nbytes()),
        "python": made - before,
        "engine": built - made,
        "run": resident("VmHWM") - built,
    }


if __name__ == "__main__":
    print(json.dumps(bytes_needed(NETWORKS[sys.argv[1]])))
