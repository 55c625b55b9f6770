"""Time free running and its peers on a large random network: `python benches/free_running.py`.

Writes `results/free_running.json` and `results/free_running.md` beside this file; the README there
says how the figures are made and how to read them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

import free_running_contenders as by
import free_running_latency
import free_running_scaling
from free_running_network import NETWORKS, RandomNetwork
from free_running_report import markdown
from program import QUIET_BELOW, begun, compared, counted, judged, options, publish
from timing import OtherWork, Ratio, cores, ratio

TWO_WORKERS_AT_LEAST = 1.6
ONE_WORKER_AT_MOST = 1.3
RECORDING_AT_MOST = 1.15
TIMES_BRIAN2 = 10
BYTES_PER_SYNAPSE, BYTES_PER_NEURON = 8, 64
GROUP_SIZES = (1, 16)  # for which the estimate for more cores is made
SILENT_BELOW, SATURATED_ABOVE = 0.001, 0.2  # of the neurons that fire in a millisecond

Runs = dict[tuple[str, int], list[by.Measured]]


def measure(
    random: RandomNetwork, rounds: int, peer_rounds: int, interpreters: dict[str, str]
) -> dict[str, Any]:
    """All figures of one network, ready for JSON."""
    threads = [1, 2] if cores() >= 2 else [1]
    own = by.own_runs(random, threads)
    for run in own.values():
        run()
    with by.peer_runs(random, threads, interpreters) as (peers, about):
        runs: Runs = {who: [] for who in (*own, *peers)}
        busy = []
        for r in range(rounds):
            others = OtherWork()
            _round(own, runs, r)
            busy.append(others.cores())
            if r < peer_rounds:
                _round(peers, runs, r)
    for who, each in runs.items():
        of_neurons = median(m.spike_counts.sum() for m in each) / random.n_neurons
        fired = of_neurons / random.n_timesteps / (random.dt / 1e-3)
        if not SILENT_BELOW < fired < SATURATED_ABOVE:
            raise SystemExit(f"{random.name}, {who[0]}: {fired:.2%} of the neurons fire in 1 ms")
    known = [b for b in busy if b is not None]
    others_busy = median(known) if known else None
    quiet = others_busy is None or others_busy <= QUIET_BELOW
    timed = judged(compare_times(random, runs, threads), others_busy)
    return {
        "network": asdict(random),
        "synapses": random.n_synapses,
        "cores_busy_with_other_work": others_busy,
        "peers": about,
        "runs": [row(random, who, each) for who, each in runs.items()],
        "neurons_as_layered": as_layered(runs),
        "queues": [queue(who, run) for who, run in own.items()],
        "waiting": waiting(runs) if 2 in threads and quiet else None,
        "comparisons": timed,
    }


def _round(contenders: Mapping[tuple[str, int], by.Contender], runs: Runs, r: int) -> None:
    for who in contenders if r % 2 == 0 else reversed(list(contenders)):
        runs[who].append(contenders[who]())


def row(random: RandomNetwork, who: tuple[str, int], each: list[by.Measured]) -> dict[str, Any]:
    """What a contender did per second."""
    name, n = who
    seconds = [m.seconds for m in each]
    rates = [random.synaptic_events(m.spike_counts) / m.seconds for m in each]
    spikes = [int(m.spike_counts.sum()) for m in each]
    return {
        "run": name,
        "threads": n,
        "seconds": {"median": median(seconds), "rounds": seconds},
        "spikes_per_timestep": median(spikes) / random.n_timesteps,
        "spikes_per_second": median(s / m.seconds for s, m in zip(spikes, each, strict=True)),
        "events_per_second": {"median": median(rates), "rounds": rates},
        "events_per_second_and_core": median(rates) / n,
    }


def as_layered(runs: Runs) -> dict[str, float]:
    """For each peer, the smallest share of neurons that fired as often as under `Layered()`."""
    expected = runs[by.LAYERED, 1][0].spike_counts
    shares: dict[str, float] = {}
    for (name, _), each in runs.items():
        if name in by.PEERS:
            same = min(float((m.spike_counts == expected).mean()) for m in each)
            shares[name] = min(same, shares.get(name, 1.0))
    return shares


def queue(who: tuple[str, int], run: by.OwnRun) -> dict[str, Any]:
    """How many spikes were waiting after a delivery: in all, or per shard if there are several."""
    return {
        "run": who[0],
        "threads": who[1],
        "mean": float(run.result.mean_pending[0]),
        "most": int(run.result.max_pending[0]),
    }


def waiting(runs: Runs) -> dict[str, Any]:
    """Bounds on the share of two workers' time that they spend waiting for spikes.

    Valid only on a quiet machine, because waiting for a core looks the same. Lower bound: the time
    in which they slept and used no core. Upper bound: all time beyond what one worker needs for the
    same two shards, which also includes polling for spikes, handing them over, and what two cores
    cost each other in caches and memory.
    """
    two, alone = runs[by.FREE, 2], runs[by.SHARDS, 1]
    asleep = [1 - (m.core_seconds or 0) / (2 * m.seconds) for m in two]
    beyond = [1 - one.seconds / (2 * m.seconds) for one, m in zip(alone, two, strict=True)]
    return {"at_least": max(0.0, median(asleep)), "at_most": max(0.0, median(beyond))}


def compare_times(random: RandomNetwork, runs: Runs, threads: list[int]) -> list[dict[str, Any]]:
    """The ratios, each beside its target if it has one."""
    seconds = {who: [m.seconds for m in each] for who, each in runs.items()}
    rows = [
        compared(
            "FreeRunning, 1 worker / Fifo(1)",
            ratio(seconds[by.FREE, 1], seconds[by.FIFO, 1]),
            at_most=ONE_WORKER_AT_MOST,
        )
    ]
    for n in threads:
        recording = ratio(seconds[by.RECORDED, n], seconds[by.FREE, n])
        what = f"{by.RECORDED} / {by.FREE}, {counted(n, 'worker')}"
        rows.append(compared(what, recording, at_most=RECORDING_AT_MOST))
    if 2 in threads:
        for run, wanted in ((by.FREE, TWO_WORKERS_AT_LEAST), (by.FREE_16, None)):
            scaling = ratio(seconds[run, 1], seconds[run, 2])
            rows.append(compared(f"{run}, 1 worker / 2 workers", scaling, at_least=wanted))
        sharing = ratio(seconds[by.SHARDS, 1], seconds[by.FREE, 1])
        rows.append(compared("1 worker, 2 shards / 1 shard", sharing))
    for peer, n in runs:
        if peer not in by.PEERS:
            continue
        for run in (by.FREE, by.FREE_16, by.LAYERED):
            if (run, n) in runs:
                wanted = TIMES_BRIAN2 if (peer, run, n) == ("Brian2", by.FREE, 1) else None
                what = f"events per second, {run} / {peer}, {counted(n, 'thread')}"
                against = _rates(random, runs[run, n], runs[peer, n])
                rows.append(compared(what, against, at_least=wanted))
    return rows


def _rates(random: RandomNetwork, ours: list[by.Measured], theirs: list[by.Measured]) -> Ratio:
    per_second = [
        [random.synaptic_events(m.spike_counts) / m.seconds for m in each]
        for each in (ours, theirs)
    ]
    each = [a / b for a, b in zip(*per_second, strict=False)]  # peers have fewer rounds
    return Ratio(median(each), min(each), max(each))


def measure_memory(name: str) -> dict[str, Any]:
    """The memory of a network, measured in a separate process, beside its target."""
    command = [sys.executable, by.__file__, name]
    needed = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    if needed is None:
        return {"skipped": "this system does not say"}
    allowed = BYTES_PER_SYNAPSE * needed["synapses"] + BYTES_PER_NEURON * needed["neurons"]
    words = f"({BYTES_PER_SYNAPSE} B a synapse + {BYTES_PER_NEURON} B a neuron)"
    share = (needed["engine"] + needed["run"]) / allowed
    whole = share + needed["python"] / allowed
    comparisons = [
        compared(f"memory of engine and run / {words}", (share,) * 3, at_most=1),
        compared(f"the same with the arrays kept in Python / {words}", (whole,) * 3),
    ]
    return {**needed, "comparisons": comparisons}


def main() -> None:
    """Measure, print the report and write it."""
    parser = options(__doc__, "free_running", rounds=7)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="default: all")
    parser.add_argument("--peer-rounds", type=int, default=3)
    for name, variable in by.INTERPRETERS.items():
        words = f"an interpreter that has {name}; default: ${variable}, or this one"
        parser.add_argument(f"--{name.lower()}-python", metavar="PYTHON", help=words)
    asked = parser.parse_args()
    if not 1 <= asked.peer_rounds <= asked.rounds:
        parser.error("--peer-rounds is 1 to --rounds")
    given = {name: getattr(asked, f"{name.lower()}_python") for name in by.PEERS}
    interpreters = {name: python for name, python in given.items() if python}
    names = asked.network or list(NETWORKS)
    measured = begun(rounds=asked.rounds, peer_rounds=asked.peer_rounds)
    for name in names:
        print(f"{name}: {asked.rounds} rounds", file=sys.stderr)
        measured["results"].append(
            measure(NETWORKS[name], asked.rounds, asked.peer_rounds, interpreters)
        )
    print("memory, latency, scaling", file=sys.stderr)
    measured["memory"] = measure_memory(names[0])
    others = OtherWork()
    measured["latency"] = free_running_latency.measure(asked.rounds)
    if cores() >= 2:
        measured["scaling"] = free_running_scaling.measure(
            NETWORKS[names[0]], GROUP_SIZES, asked.peer_rounds
        )
    measured["cores_busy_with_other_work"] = others.cores()
    publish(measured, markdown(measured), asked.output)


if __name__ == "__main__":
    main()
