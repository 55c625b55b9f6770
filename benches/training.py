"""Time a training step against the same work by other means: `python benches/training.py`.

Writes `results/training.json` and `results/training.md` beside this file; the README there says how
the figures are made and how to read them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import report
import training_contenders as by
from program import SILENT_BELOW, begun, compared, counted, judged, options, publish, timed_rows
from timing import OtherWork, Ratio, cores, interleave, ratio
from workloads import WORKLOADS, Workload

TIMES_FASTER = {
    "nmnist-shaped": {by.SNNTORCH: 3, by.DENSE: 40},
    "shd-shaped": {by.SNNTORCH: 2.5, by.DENSE: 150},
}
TIMES_LESS_MEMORY = {"shd-shaped": 20}
OWN_PYTHON_AT_MOST = 10.0  # percent of a step
# Steps, per number of threads, over which the share of pyasync's own Python is measured. There are
# many, because as in a training only few steps should find the cold caches that other work leaves.
STEPS_TAKEN_APART = 200
RECORDINGS = "nmnist8_train.npz"
BESIDE = Path(__file__).parents[2] / "shared" / "data"


def measure(workload: Workload, rounds: int, slot_seconds: float) -> dict[str, Any]:
    """All figures of one workload, ready for JSON."""
    most = cores()
    threads = sorted({1, min(2, most), most})
    who = [(run, most) for run in by.PEERS] + [(run, n) for n in threads for run in by.OURS]
    steps = {(run, n): by.Step(workload, run, n) for run, n in who}
    spikes = {run: steps[run, most].spikes_per_sample() for run in (*by.PEERS, *by.OURS)}
    for run, populations in spikes.items():
        for population, mean in populations.items():
            if mean < SILENT_BELOW:
                raise SystemExit(f"{workload.name}, {run}: {population} hardly spikes ({mean})")
    other_work = OtherWork()
    seconds = interleave(steps, rounds, slot_seconds)
    apart = {n: taken_apart(steps[by.ENGINE, n]) for n in threads}
    busy = other_work.cores()
    timed = judged(compare_times(workload.name, seconds, threads) + compare_python(apart), busy)
    memory = {(run, n): bytes_in_a_process(workload, run, n) for run, n in who if n == most}
    return {
        "workload": asdict(workload),
        "cores_busy_with_other_work": busy,
        "spikes_per_sample": spikes,
        "seconds": timed_rows(seconds),
        "memory": [{"run": run, "threads": n, "bytes": b} for (run, n), b in memory.items()],
        "milliseconds_of_a_step_of_pyasync": [
            {"threads": n, **{part: 1e3 * median(s[part] for s in each) for part in each[0]}}
            for n, each in apart.items()
        ],
        "comparisons": timed + compare_memory(workload.name, memory, most),
    }


def taken_apart(step: by.Step) -> list[by.Parts]:
    """Repeated steps of pyasync, each with the time of its parts."""
    step()
    return [by.parts(step) for _ in range(STEPS_TAKEN_APART)]


def compare_times(
    workload: str, seconds: dict[tuple[str, int], list[float]], threads: list[int]
) -> list[dict[str, Any]]:
    """The ratios of a workload, each beside its target if it has one."""
    most, wanted = threads[-1], TIMES_FASTER.get(workload, {})
    rows = []
    for peer in by.PEERS:
        factor = wanted.get(peer if peer == by.SNNTORCH else by.DENSE)
        against = ratio(seconds[peer, most], seconds[by.ENGINE, most])
        rows.append(compared(f"{peer} / pyasync", against, at_least=factor))
    layered = ratio(seconds[by.SNNTORCH, most], seconds[by.LAYERED, most])
    rows.append(compared(f"{by.SNNTORCH} / {by.LAYERED}", layered))
    if 2 in threads:
        scaling = ratio(seconds[by.ENGINE, 1], seconds[by.ENGINE, 2])
        rows.append(compared("1 thread / 2 threads", scaling))
    for run in (by.TOUCHED, by.SPIKE_COST, by.LAYERED, by.DENSE_INPUT):
        against = ratio(seconds[run, most], seconds[by.ENGINE, most])
        rows.append(compared(f"{run} / pyasync, {counted(most, 'thread')}", against))
    return rows


def compare_python(apart: dict[int, list[by.Parts]]) -> list[dict[str, Any]]:
    """The share of a step that pyasync spends in Python, beside its target."""
    rows = []
    for n, each in apart.items():
        percent = [100 * step["python"] / step["step"] for step in each]
        figure = Ratio(median(percent), min(percent), max(percent))
        what = f"pyasync's own Python, % of a step, {counted(n, 'thread')}"
        rows.append(compared(what, figure, at_most=OWN_PYTHON_AT_MOST))
    return rows


def bytes_in_a_process(workload: Workload, run: str, threads: int) -> int | None:
    """Memory of a step, measured in a separate process."""
    script = Path(by.__file__)
    command = [sys.executable, str(script), workload.name, run, str(threads)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    size: int | None = json.loads(printed)
    return size


def compare_memory(
    workload: str, memory: dict[tuple[str, int], int | None], most: int
) -> list[dict[str, Any]]:
    """How many times more memory the peers need, beside its target."""
    own = memory[by.ENGINE, most]
    rows = []
    for peer in by.PEERS:
        theirs = memory[peer, most]
        if own and theirs:
            wanted = None if peer == by.SNNTORCH else TIMES_LESS_MEMORY.get(workload)
            rows.append(
                compared(f"peak memory, {peer} / pyasync", (theirs / own,) * 3, at_least=wanted)
            )
    return rows


def measure_epochs(n_epochs: int) -> dict[str, Any]:
    """Measurements of training on recordings, or why there are none."""
    if not n_epochs:
        return {"skipped": "no epoch was asked for"}
    path = Path(os.environ.get("PYASYNC_DATA", BESIDE)) / RECORDINGS
    if not path.exists():
        return {"skipped": f"{path} is not there (PYASYNC_DATA names the directory)"}
    other_work = OtherWork()
    epochs = list(by.nmnist_epochs(path, n_epochs, cores()))
    return {"threads": cores(), "cores_busy_with_other_work": other_work.cores(), "epochs": epochs}


def markdown(measured: dict[str, Any]) -> str:
    """Render what was measured."""
    lines = report.head(measured, "Training step", "benches/training.py")
    for result in measured["results"]:
        lines += ["", *report.workload(result), "", *_memory_and_parts(result)]
    return "\n".join([*lines, "", *_epochs(measured["nmnist8"])]) + "\n"


def _memory_and_parts(result: dict[str, Any]) -> list[str]:
    lines = ["| peak memory of a step above that before it | threads | MB |", "|---|---|---|"]
    for m in result["memory"]:
        size = "not known" if m["bytes"] is None else f"{m['bytes'] / 1e6:.1f}"
        lines.append(f"| {m['run']} | {m['threads']} | {size} |")
    lines += ["", "| a step of pyasync, ms | engine | PyTorch | own Python | all |"]
    lines.append("|---|---|---|---|---|")
    for p in result["milliseconds_of_a_step_of_pyasync"]:
        each = " | ".join(f"{p[part]:.2f}" for part in ("engine", "torch", "python", "step"))
        lines.append(f"| {counted(p['threads'], 'thread')} | {each} |")
    return lines


def _epochs(trained: dict[str, Any]) -> list[str]:
    lines = ["## nmnist8: 2312-64-64-64-8, 30 000 recordings an epoch", ""]
    if "skipped" in trained:
        return [*lines, f"Not measured: {trained['skipped']}."]
    seconds = [epoch["seconds"] for epoch in trained["epochs"]]
    lines += [
        f"{median(seconds):.2f} s an epoch ({min(seconds):.2f} to {max(seconds):.2f}) on "
        f"{counted(trained['threads'], 'thread')}: batch 256, random selection with F = 8, "
        "input dropout 0.25, refractory dropout 0.8.",
        *report.other_work(trained["cores_busy_with_other_work"]),
        "",
        "| epoch | s | training accuracy | spikes per sample |",
        "|---|---|---|---|",
    ]
    for n, epoch in enumerate(trained["epochs"], 1):
        accuracy, spikes = epoch["accuracy"], epoch["spikes_per_sample"]
        lines.append(f"| {n} | {epoch['seconds']:.2f} | {accuracy:.3f} | {spikes:.0f} |")
    return lines


def main() -> None:
    """Measure, print the report and write it."""
    parser = options(__doc__, "training", rounds=5)
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="default: all")
    parser.add_argument("--slot", type=float, default=0.2, metavar="SECONDS")
    parser.add_argument("--epochs", type=int, default=4, help="of nmnist8; 0: none")
    asked = parser.parse_args()
    measured = begun(rounds=asked.rounds, slot_seconds=asked.slot)
    for name in asked.workload or WORKLOADS:
        print(f"{name}: {asked.rounds} rounds", file=sys.stderr)
        measured["results"].append(measure(WORKLOADS[name], asked.rounds, asked.slot))
    print(f"nmnist8: {asked.epochs} epochs", file=sys.stderr)
    measured["nmnist8"] = measure_epochs(asked.epochs)
    publish(measured, markdown(measured), asked.output)


if __name__ == "__main__":
    main()
