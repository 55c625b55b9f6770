"""What free running costs per event, and an estimate for more cores than this machine has.

One worker with S shards does all the work of S workers, one after another and without waiting. So
its time divided by S is the computing time of each of S workers. What workers cost each other is
measured with two.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
from free_running_contenders import OwnRun, input_of, network_of
from free_running_network import RandomNetwork

import pyasync as pa

SHARDS = (1, 2, 4, 8, 16, 32, 64)
IDLE_TIMESTEPS = 20_000
EVERYTHING = 2**31 - 1


def measure(
    random: RandomNetwork, group_sizes: tuple[int, ...], rounds: int
) -> list[dict[str, Any]]:
    """For each group size, the costs in seconds and the estimate for each number of cores."""
    network, x = network_of(random), input_of(random)
    depth = OwnRun(network, x, pa.Fifo(EVERYTHING))
    depth()
    # Fifo with a group that takes everything delivers one generation of spikes per step.
    generations = int(depth.result.forward_steps[0]) - random.n_timesteps
    end = seconds_per_timestep_end(rounds)
    messages: dict[int, int] = {}  # spikes, each counted once for every shard that it goes to
    for shards in SHARDS:
        run = OwnRun(network, x, pa.FreeRunning(1, 1, shards, parallel="shards"))
        run()
        messages[shards] = _deliveries(random, run, shards)
    measured = []
    for size in group_sizes:
        costs = {"forward_group_size": size, "seconds_per_timestep_end_of_two": end}
        costs |= {"generations": generations}
        measured.append(_of_group_size(random, network, x, costs, messages, rounds))
    return measured


def _of_group_size(
    random: RandomNetwork,
    network: pa.Network,
    x: pa.SpikeBatch,
    known: dict[str, Any],
    messages: dict[int, int],
    rounds: int,
) -> dict[str, Any]:
    def free(workers: int, shards: int) -> OwnRun:
        size = known["forward_group_size"]
        schedule = pa.FreeRunning(workers, size, shards, parallel="shards")
        return OwnRun(network, x, schedule, workers)

    one, two = {s: free(1, s) for s in SHARDS}, free(2, 2)
    taken: dict[int, list[float]] = {s: [] for s in SHARDS}
    of_two = []
    # Each timed run follows an untimed one, which divides the network anew: not a cost of spikes.
    for _ in range(rounds):
        for s, run in one.items():
            run()
            taken[s].append(run().seconds)
        two()
        of_two.append(two().seconds)
    work = {s: median(taken[s]) for s in SHARDS}
    deliveries = {s: _deliveries(random, run, s) for s, run in one.items()}
    slope, _ = np.polyfit([deliveries[s] for s in SHARDS], [work[s] for s in SHARDS], 1)
    ends = random.n_timesteps * known["seconds_per_timestep_end_of_two"]
    # The time of two workers beyond their work is attributed to the spikes they send each other.
    beyond = max(0.0, 2 * median(of_two) - work[2] - 2 * ends)
    events = int(one[1].result.synaptic_operations[0])
    costs = {
        **known,
        "synaptic_events": events,
        "seconds_per_event_alone": work[1] / events,
        "seconds_per_delivery": float(slope),
        "seconds_per_delivery_from_another_worker": beyond / (messages[2] / 2),
    }
    estimates = [_estimate(random, costs, s, work, deliveries, messages) for s in SHARDS]
    return {**costs, "estimates": estimates}


def _deliveries(random: RandomNetwork, run: OwnRun, shards: int) -> int:
    """Number of groups delivered, over all shards: all forward steps but those of the input."""
    return int(run.result.forward_steps[0]) - shards * random.n_timesteps


def _estimate(
    random: RandomNetwork,
    costs: dict[str, Any],
    cores: int,
    work: dict[int, float],
    deliveries: dict[int, int],
    messages: dict[int, int],
) -> dict[str, Any]:
    """The estimated time on `cores` cores, by what it is spent on."""
    sent = messages[cores] / cores * (cores - 1) / cores
    ends = costs["seconds_per_timestep_end_of_two"] if cores > 1 else 0.0
    parts = {
        "work": work[cores] / cores,
        "other workers' spikes": sent * costs["seconds_per_delivery_from_another_worker"],
        # To detect the end, a worker reads what each of the others has published.
        "ends of timesteps": random.n_timesteps * ends * cores / 2,
    }
    seconds = sum(parts.values())
    # No schedule is faster than the longest chain of spikes, if each goes to another core.
    chain = costs["generations"] * (ends + costs["seconds_per_delivery"])
    return {
        "cores": cores,
        "seconds": max(seconds, chain),
        "times_faster": work[1] / max(seconds, chain),
        "parts": parts,
        "longest_chain": chain,
        "deliveries": deliveries[cores],
    }


def seconds_per_timestep_end(rounds: int) -> float:
    """Seconds that two workers take to detect the end of a timestep in which nothing happens."""
    network = pa.Network.sequential([pa.Linear(np.eye(8, dtype=np.float32))], pa.LIF())
    silent = np.zeros((IDLE_TIMESTEPS, 1, 8), np.bool_)
    x = pa.SpikeBatch.from_dense(silent, dt=1e-3)
    one, two = (
        OwnRun(network, x, pa.FreeRunning(n, shards=n, parallel="shards"), n) for n in (1, 2)
    )
    two()
    each = [two().seconds - one().seconds for _ in range(rounds)]
    return max(0.0, median(each)) / IDLE_TIMESTEPS
