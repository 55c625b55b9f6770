"""Peers with their own Python interpreters: how the benchmark starts them and asks them to run.

A peer is a script `PEER.py NETWORK.npz --threads N --spike-counts FILE.npy`. It builds its network,
reports that it is ready, and then answers each line on its standard input with one run: it writes
the number of spikes of every neuron to the file and reports how many seconds the run took. Between
runs it waits without using a core, so that several peers and pyasync can take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[], tuple[float, Any]]  # seconds, and spikes of every neuron


class AbsentError(Exception):
    """The interpreter does not have the peer's package."""


class Peer:
    """A running peer that has built its network.

    Parameters
    ----------
    python : path
        Its interpreter.
    script : path
        A script beside this file.
    network : path
        A file that `RandomNetwork.save` wrote.
    directory : path
        A folder in which the peer may write.

    Raises
    ------
    AbsentError
        If the interpreter does not exist or lacks the peer's package.
    """

    def __init__(
        self, python: str, script: str, network: Path, threads: int, directory: Path
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._counts, self._log = directory / "spike_counts.npy", directory / "log.txt"
        command = [python, str(Path(__file__).parent / script), str(network)]
        command += ["--threads", str(threads), "--spike-counts", str(self._counts)]
        # this variable would override the number of threads that the peer sets
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        with self._log.open("w") as log:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                    cwd=directory,
                )
            except OSError as error:
                raise AbsentError(f"{python}: {error.strerror}") from error
        self.about: dict[str, Any] = self._answer()
        if "absent" in self.about:
            self.close()
            raise AbsentError(f"{python}: {self.about['absent']}")

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            last = self._log.read_text().strip().splitlines()[-12:]
            raise RuntimeError("\n".join(["a peer of the benchmark failed:", *last]))
        return json.loads(line)

    def run(self) -> float:
        """Run the network on its input; return how many seconds the peer took."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def spike_counts(self) -> NDArray[np.integer]:
        """Spikes of every neuron in the last run, [n_neurons]."""
        counts: NDArray[np.integer] = np.load(self._counts)
        return counts

    def close(self) -> None:
        """Stop the peer."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(package: str, build: Callable[[Any, int], tuple[dict[str, Any], Run]]) -> None:
    """The peer's side: build once, then run once for every line on standard input.

    Parameters
    ----------
    package : str
        The package that the peer needs, by import name.
    build : callable
        Takes the network file's arrays and the number of threads; returns information about the
        peer, and the function that runs it.
    """
    # Only answers may go to standard output; whatever simulators print there goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(said: dict[str, Any]) -> None:
        print(json.dumps(said), file=answers, flush=True)

    parser = argparse.ArgumentParser()
    parser.add_argument("network", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spike-counts", type=Path, required=True)
    options = parser.parse_args()
    try:
        __import__(package)
    except ModuleNotFoundError as error:
        answer({"absent": str(error)})
        return
    with np.load(options.network) as arrays:
        about, run = build(dict(arrays), options.threads)
    answer(about)
    for _ in sys.stdin:
        seconds, spike_counts = run()
        np.save(options.spike_counts, spike_counts)
        answer({"seconds": seconds})
