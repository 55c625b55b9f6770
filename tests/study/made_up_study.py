"""A study with made-up results, no two alike in a row, and what its tables have to show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean, pvariance, variance
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="histories are of trainings, which need PyTorch")

import pyasync as pa
from pyasync.study import EnergyModel, Recipe
from pyasync.study.evaluation import ANYTIME, Evaluation
from pyasync.study.plan import Job, Plan, run_label
from pyasync.study.report import AuditRow
from pyasync.study.study_rows import Finished
from pyasync.study.training import Epoch

N_TRAIN, N_TEST, N_TIMESTEPS, N_NEURONS = 7, 100, 20, 40
SEEDS = (3, 5, 8)
# The three seeds have mean - deviation, mean and mean + deviation, which give just those two.
SIDES = (-1, 0, 1)
R1, R2, L4 = "random, F = 1", "random, F = 2", "lifo, F = 4"
# The baseline is second, so that a table that shows it first must have moved it there.
RECIPES = {
    "random": Recipe(schedule="random", forward_group_size=2),
    "layered": Recipe(schedule="layered"),
    "lifo": Recipe(schedule="lifo", forward_group_size=4),
}
TITLES = {"random": R2, "layered": "layered", "lifo": L4}
# Correct decisions among 100 test samples: mean and deviation. The layered run is the worst one for
# "random" and the best for "lifo".
RIGHT = {
    ("random", "layered"): (55, 1),
    ("random", R1): (80, 3),
    ("random", R2): (93, 4),
    ("random", L4): (64, 5),
    ("layered", "layered"): (80, 6),
    ("layered", R1): (71, 7),
    ("layered", R2): (66, 8),
    ("layered", L4): (58, 9),
    ("lifo", "layered"): (84, 2),
    ("lifo", R1): (60, 7),
    ("lifo", R2): (83, 5),
    ("lifo", L4): (79, 2),
}
# For each count: its value in the first of those rows, the increase per row, and the deviation.
COUNTS = {
    "spikes": (256, 8, 4),
    "latency": (30, -1, 1.5),
    "latency_to_correct": (50, 1, 2.5),
    "forward_steps": (70, 2, 3.5),
    "synaptic_operations": (5000, 100, 40),
    "neuron_updates": (3000, 90, 30),
}
DECIDED = {("layered", R2): (0.96, 0.02), ("lifo", R1): (0.93, 0.03)}
QUIESCENT = {("random", L4): (0.995, 0.001), ("layered", R1): (0.98, 0.01)}
PRICES = EnergyModel(synaptic_operation=11e-12, neuron_update=70e-12, spike=510e-12)
# For each seed, the test accuracy and the seconds of each epoch. The baseline ends at 90 %, so the
# target is 89.1 %.
EPOCHS: dict[str, list[list[tuple[float | None, float]]]] = {
    "random": [
        [(0.90, 0.5), (0.50, 1.0), (0.60, 1.5), (0.88, 1.0)],
        [(0.50, 1.0), (0.60, 2.0), (0.892, 3.5), (0.93, 1.5)],
        [(0.50, 3.5), (0.60, 3.0), (0.889, 2.5), (0.83, 3.0)],
    ],
    "layered": [
        [(0.50, 1.0), (0.60, 2.0), (0.70, 3.0), (0.895, 4.0), (0.86, 12.5)],
        [(0.50, 2.0), (0.60, 4.0), (0.895, 6.0), (0.70, 5.0), (0.90, 8.0)],
        [(0.50, 6.0), (0.90, 8.0), (0.70, 5.0), (0.80, 4.0), (0.94, 4.5)],
    ],
    "lifo": [
        [(None, 6.0), (0.25, 7.0), (0.30, 8.0)],
        [(None, 7.0), (0.35, 9.0), (0.40, 11.0)],
        [(None, 10.0), (0.45, 11.0), (0.50, 12.0)],
    ],
}
MAIN = [(name, run) for name in ("layered", "random", "lifo") for run in ("layered", R2, L4)]
SHOWN_FIRST = ("trained", "run", "accuracy %", "difference")
PAPER = (*SHOWN_FIRST, "density", "spikes", "first output", "first correct")
EVERY = (
    *(*SHOWN_FIRST, "spikes", "first output", "first correct"),
    *("forward steps", "synaptic ops", "neuron updates", "energy, nJ"),
)
ENERGY = (
    *("trained", "run", "synaptic ops", "neuron updates", "spikes"),
    *("synaptic, nJ", "updates, nJ", "spikes, nJ", "total, nJ", "of the first"),
)


def counted(trained: str, run: str) -> dict[str, tuple[float, float]]:
    """Mean and deviation of every count of a row."""
    place = list(RIGHT).index((trained, run))
    return {name: (first + place * step, by) for name, (first, step, by) in COUNTS.items()}


def is_right(trained: str, run: str) -> list[list[bool]]:
    """Which samples each seed decides correctly: always the first ones."""
    mean, deviation = RIGHT[trained, run]
    return [[sample < mean + side * deviation for sample in range(N_TEST)] for side in SIDES]


def finished_training(job: Job, plan: Plan) -> Finished:
    index = SEEDS.index(job.seed)
    rows, correct = [], []
    for run in plan.runs:
        key = job.trained, run_label(run)
        measures = counted(*key)
        measures["decided"] = DECIDED.get(key, (1, 0))
        measures["reached_quiescence"] = QUIESCENT.get(key, (1, 0))
        values: Any = {name: mean + SIDES[index] * by for name, (mean, by) in measures.items()}
        correct.append(is_right(*key)[index])
        # No table shows the last three: errors, and the drop from the own layered run.
        accuracy = fmean(correct[-1]), 0.123, 0.234, 0.345
        size = getattr(run, "forward_group_size", None)
        rows.append(AuditRow(run.name, size, *accuracy, **values))
    history = tuple(
        Epoch(number, 1.5, 0.99, 77.0, seconds, reached, 66.0)
        for number, (reached, seconds) in enumerate(EPOCHS[job.trained][index], 1)
    )
    anytime = np.zeros((len(rows), len(ANYTIME)))
    evaluation = Evaluation(tuple(rows), np.array(correct), anytime, most_spikes=400)
    network = pa.Network.sequential([pa.Linear(np.ones((N_NEURONS, 3)))])
    return Finished(job, network, history, {}, evaluation)


def cell(mean: float, deviation: float, digits: int = 0) -> str:
    return f"{mean:,.{digits}f} ± {deviation:,.{digits}f}"


def error(trained: str, run: str) -> float:
    """Standard error of the difference from the baseline, over samples and seeds."""
    pairs = zip(is_right(trained, run), is_right("layered", "layered"), strict=True)
    changes = [[own - base for own, base in zip(*pair, strict=True)] for pair in pairs]
    by_sample = [fmean(each) for each in zip(*changes, strict=True)]
    by_seed = [fmean(each) for each in changes]
    return math.sqrt(pvariance(by_sample) / N_TEST + variance(by_seed) / len(SEEDS))


def difference(trained: str, run: str) -> str:
    if (trained, run) == ("layered", "layered"):
        return ""
    gain, by = (RIGHT[trained, run][0] - 80) / 100, error(trained, run)
    text = f"{100 * gain:+.1f} ± {100 * by:.1f}"
    return text if gain**2 > 9 * (by**2 + gain**2 / N_TEST) else f"({text})"


def nanojoules(trained: str, run: str) -> list[tuple[float, float]]:
    """Mean and deviation of a row's energy parts and, last, the total; seeds shift all alike."""
    counts = counted(trained, run)
    prices = (("synaptic_operations", 0.011), ("neuron_updates", 0.070), ("spikes", 0.510))
    parts = [(price * counts[name][0], price * counts[name][1]) for name, price in prices]
    return [*parts, (sum(mean for mean, _ in parts), sum(by for _, by in parts))]


def row_cells(trained: str, run: str) -> dict[str, str]:
    """The cells of a row, by column heading."""
    counts, (synaptic, updates, sent, total) = counted(trained, run), nanojoules(trained, run)
    spikes, deviation = counts["spikes"]
    right, spread = RIGHT[trained, run]
    return {
        "trained": TITLES[trained],
        "run": f"{run} *" if run == TITLES[trained] else run,
        "accuracy %": cell(right, spread, 1),
        "difference": difference(trained, run),
        "density": cell(spikes / (40 * 20), deviation / (40 * 20), 4),
        "spikes": cell(spikes, deviation),
        "first output": cell(*counts["latency"], 1),
        "first correct": cell(*counts["latency_to_correct"], 1),
        "forward steps": cell(*counts["forward_steps"], 1),
        "synaptic ops": cell(*counts["synaptic_operations"]),
        "neuron updates": cell(*counts["neuron_updates"]),
        "synaptic, nJ": cell(*synaptic, 1),
        "updates, nJ": cell(*updates),
        "spikes, nJ": cell(*sent),
        "total, nJ": cell(*total),
        "energy, nJ": cell(*total),
        "of the first": f"{total[0] / nanojoules('layered', 'layered')[-1][0]:.2f}",
    }


def lines_of(columns: tuple[str, ...], keys: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    cells = [row_cells(*key) for key in keys]
    return [tuple(each[column] for column in columns) for each in cells]
