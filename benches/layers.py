"""Time wide and convolutional networks against snnTorch: `python benches/layers.py`.

Writes `results/layers.json` and `results/layers.md` beside this file; the README there says how the
figures are made and how to read them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import report
import torch
from peers.snntorch_chain import SnnTorchChain
from program import SILENT_BELOW, begun, compared, options, publish
from timing import OtherWork, cores, interleave, ratio
from torch import nn

import pyasync as pa

TAU_MEM, DT, F, SEED = 20e-3, 10e-3, 8, 0
RUNS = {
    "pyasync": (pa.Random(F), "spikes"),
    "pyasync, touched": (pa.Random(F), "touched"),
    "pyasync, layered": (pa.Layered(), "touched"),
}
PEER = "snnTorch"


@dataclass(frozen=True)
class Network:
    """A chain of linear maps, each followed by a population, and its input."""

    name: str
    input_shape: tuple[int, ...]
    maps: Callable[[], list[nn.Module]]
    batch: int
    n_timesteps: int
    activity: float
    v_threshold: float = 0.3

    def layers(self) -> list[nn.Module]:
        """The maps, with Xavier-uniform weights drawn from the seed."""
        torch.manual_seed(SEED)
        layers = self.maps()
        for each in nn.ModuleList(layers).parameters():
            nn.init.xavier_uniform_(each)
        return layers

    def model(self, schedule: pa.Schedule, scope: Any) -> pa.nn.AsyncSequential:
        """The network as a pyasync model."""
        neuron = {"v_threshold": self.v_threshold, "tau_mem": TAU_MEM}
        chain = [module for layer in self.layers() for module in (layer, pa.nn.LIF(**neuron))]
        shape = {"input_shape": self.input_shape}
        return pa.nn.AsyncSequential(
            *chain, **shape, schedule=schedule, dt=DT, gradient_scope=scope
        )

    def spikes(self) -> Any:
        """Input spikes [T, B, *input_shape]."""
        shape = (self.n_timesteps, self.batch, *self.input_shape)
        return np.random.default_rng(SEED).random(shape) < self.activity


def linear(*sizes: int) -> list[nn.Module]:
    """Fully connected layers."""
    return [nn.Linear(n, m, bias=False) for n, m in pairwise(sizes)]


def convolutional() -> list[nn.Module]:
    """Three convolutions of 3 x 3, the last two with a stride of 2, and a linear map."""
    conv = {"kernel_size": 3, "padding": 1, "bias": False}
    return [
        nn.Conv2d(2, 16, **conv),
        nn.Conv2d(16, 32, stride=2, **conv),
        nn.Conv2d(32, 32, stride=2, **conv),
        nn.Sequential(nn.Flatten(), *linear(2048, 10)),
    ]


NETWORKS = (
    Network("2312-1024-1024-10", (2312,), lambda: linear(2312, 1024, 1024, 10), 64, 10, 0.03),
    Network("700-512-512-20", (700,), lambda: linear(700, 512, 512, 20), 64, 100, 0.02),
    Network("2x32x32, 16-32-32 channels, 10", (2, 32, 32), convolutional, 32, 10, 0.03, 0.2),
)


def steps_of(network: Network) -> tuple[dict[Any, Callable[[], object]], dict[str, float]]:
    """Forward runs and training steps by (what, run); and for each run the spikes per sample."""
    frames = network.spikes()
    events, dense = pa.SpikeBatch.from_dense(frames, dt=DT), torch.from_numpy(frames).float()
    y = torch.from_numpy(np.random.default_rng(SEED).integers(0, 10, network.batch))
    beta = math.exp(-DT / TAU_MEM)
    peer = SnnTorchChain(network.layers(), v_threshold=network.v_threshold, beta=beta)
    calls: dict[Any, Callable[[], object]] = {}
    spikes = {}

    def add(run: str, model: Any, x: Any, forward: Callable[[], object], threads: int) -> None:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.0)

        def step() -> None:
            torch.set_num_threads(threads)
            optimizer.zero_grad()
            pa.nn.functional.timestep_cross_entropy(model(x), y).backward()
            optimizer.step()

        def run_forward() -> None:
            torch.set_num_threads(threads)
            forward()

        calls["forward run", run] = run_forward
        calls["training step", run] = step

    def of_peer() -> None:
        with torch.no_grad():
            peer(dense)

    add(PEER, peer, dense, of_peer, cores())
    for run, (schedule, scope) in RUNS.items():
        model = network.model(schedule, scope)
        plain = model.network()

        def simulated(plain: Any = plain, schedule: pa.Schedule = schedule) -> pa.Result:
            return pa.simulate(plain, events, schedule)

        add(run, model, events, simulated, 1)
        fired = simulated()
        spikes[run] = float(fired.spikes.mean())
        by_population = fired.population_spikes()
        for population in by_population.dtype.names:
            if by_population[population].mean() < SILENT_BELOW:
                raise SystemExit(f"{network.name}, {run}: {population} hardly spikes")
    return calls, spikes


def measure(network: Network, rounds: int, slot_seconds: float) -> dict[str, Any]:
    """All figures of one network, ready for JSON."""
    calls, spikes = steps_of(network)
    other_work = OtherWork()
    seconds = interleave(calls, rounds, slot_seconds)
    busy = other_work.cores()
    rows = []
    for what in ("forward run", "training step"):
        for run in RUNS:
            against = ratio(seconds[what, PEER], seconds[what, run])
            rows.append(compared(f"{what}: {PEER} / {run}", against))
    more = ratio(seconds["training step", "pyasync, touched"], seconds["training step", "pyasync"])
    rows.append(compared("training step: pyasync, touched / pyasync", more))
    return {
        "network": network.name,
        "batch": network.batch,
        "n_timesteps": network.n_timesteps,
        "activity": network.activity,
        "v_threshold": network.v_threshold,
        "cores_busy_with_other_work": busy,
        "spikes_per_sample": spikes,
        "seconds": [
            {"what": what, "run": run, "median": median(s), "rounds": s}
            for (what, run), s in seconds.items()
        ],
        "comparisons": rows,
    }


def markdown(measured: dict[str, Any]) -> str:
    """Render what was measured."""
    lines = report.head(measured, "Wide and convolutional networks", "benches/layers.py")
    for r in measured["results"]:
        fired = ", ".join(f"{run} {spikes:.0f}" for run, spikes in r["spikes_per_sample"].items())
        lines += [
            "",
            f"## {r['network']}",
            "",
            f"Batch {r['batch']}, {r['n_timesteps']} timesteps, {r['activity']:.0%} input, "
            f"v_threshold {r['v_threshold']}, F = {F}; spikes a sample: {fired}.",
            *report.other_work(r["cores_busy_with_other_work"]),
            "",
            "| time of | run | ms | rounds |",
            "|---|---|---|---|",
        ]
        for s in r["seconds"]:
            each = s["rounds"]
            middle, low, high = (1e3 * x for x in (s["median"], min(each), max(each)))
            lines.append(f"| {s['what']} | {s['run']} | {middle:.1f} | {low:.1f} to {high:.1f} |")
        lines += ["", *report.comparisons(r["comparisons"])]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the report and write it."""
    parser = options(__doc__, "layers", rounds=5)
    parser.add_argument("--slot", type=float, default=0.2, metavar="SECONDS")
    asked = parser.parse_args()
    measured = begun(rounds=asked.rounds, slot_seconds=asked.slot)
    for network in NETWORKS:
        print(f"{network.name}: {asked.rounds} rounds", file=sys.stderr)
        measured["results"].append(measure(network, asked.rounds, asked.slot))
    publish(measured, markdown(measured), asked.output)


if __name__ == "__main__":
    main()
