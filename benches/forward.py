"""Time the forward run against the same work by other means: `python benches/forward.py`.

Writes `results/forward.json` and `results/forward.md` beside this file; the README there says how
the figures are made and how to read them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from report import markdown
from timing import OtherWork, cores, environment, interleave, ratio
from workloads import WORKLOADS, Workload

try:
    import contenders as by

    import pyasync as pa
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: the benchmarks need pyasync, PyTorch and snnTorch") from error

PACKAGES = ("pyasync", "numpy", "torch", "snntorch")
TIMES_FASTER = {
    "nmnist-shaped": {by.SNNTORCH: 3, by.DENSE: 40},
    "shd-shaped": {by.SNNTORCH: 4, by.DENSE: 60},
}
TIMES_FASTER_ON_TWO_THREADS = {"nmnist-shaped": 1.8}
RECORDING_AT_MOST = 1.10
TRACE_BYTES_AT_MOST = 8.0
SILENT_BELOW = 1.0  # spikes that a sample fires in a population on average
QUIET_BELOW = 0.1  # cores that other processes keep busy; above it no target is judged


def measure(workload: Workload, rounds: int, slot_seconds: float) -> dict[str, Any]:
    """All figures of one workload, ready for JSON."""
    spikes = by.spikes_per_sample(workload)
    for run, populations in spikes.items():
        for population, mean in populations.items():
            if mean < SILENT_BELOW:
                raise SystemExit(f"{workload.name}, {run}: {population} hardly spikes ({mean})")
    threads = sorted({1, min(2, cores()), cores()})
    calls, trace = by.pyasync_calls(workload, threads)
    peers = by.peer_calls(workload, cores())
    other_work = OtherWork()
    seconds = interleave({**peers, **calls}, rounds, slot_seconds)
    busy = other_work.cores()
    ratios = compare_times(workload.name, seconds, threads)
    if busy is not None and busy > QUIET_BELOW:
        for row in ratios:
            row["met"] = None
    return {
        "workload": asdict(workload),
        "cores_busy_with_other_work": busy,
        "spikes_per_sample": spikes,
        "seconds": [
            {"run": run, "threads": n, "median": median(s), "rounds": s}
            for (run, n), s in seconds.items()
        ],
        "comparisons": ratios + compare_trace(trace),
    }


def compare_times(
    workload: str, seconds: dict[tuple[str, int], list[float]], threads: list[int]
) -> list[dict[str, Any]]:
    """The ratios of a workload, each beside its target where it has one."""
    most, wanted = threads[-1], TIMES_FASTER[workload]
    rows = []
    for peer in (by.SNNTORCH, by.DENSE, by.REFERENCE):
        factor = wanted[by.DENSE if peer == by.REFERENCE else peer]
        against = ratio(seconds[peer, most], seconds[by.ENGINE, most])
        rows.append(compared(f"{peer} / pyasync", against, at_least=factor))
    layered = ratio(seconds[by.SNNTORCH, most], seconds[by.LAYERED, most])
    rows.append(compared(f"{by.SNNTORCH} / {by.LAYERED}", layered))
    if 2 in threads:
        scaling = ratio(seconds[by.ENGINE, 1], seconds[by.ENGINE, 2])
        wanted_scaling = TIMES_FASTER_ON_TWO_THREADS.get(workload)
        rows.append(compared("1 thread / 2 threads", scaling, at_least=wanted_scaling))
        twice = [2 * s for s in seconds[by.ENGINE, 1]]
        rows.append(compared(f"the same of {by.AT_ONCE}", ratio(twice, seconds[by.AT_ONCE, 2])))
    for n in threads:
        for run in (by.RECORDING, by.REPLAY, by.DENSE_INPUT, by.LAYERED):
            what = f"{run} / pyasync, {n} thread" + "s" * (n > 1)
            limit = RECORDING_AT_MOST if run == by.RECORDING else None
            rows.append(
                compared(what, ratio(seconds[run, n], seconds[by.ENGINE, n]), at_most=limit)
            )
    return rows


def compare_trace(trace: pa.Trace) -> list[dict[str, Any]]:
    """The sizes of a trace beside their target."""
    sizes = {"in memory": trace.nbytes, "in a file": len(trace.to_bytes())}
    return [
        compared(
            f"trace bytes per emitted spike, {where}",
            (n_bytes / trace.n_emitted,) * 3,
            at_most=TRACE_BYTES_AT_MOST,
        )
        for where, n_bytes in sizes.items()
    ]


def compared(
    what: str,
    figure: tuple[float, float, float],
    at_least: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    """One row of the comparison table: the median over rounds decides whether a target is met."""
    middle, low, high = figure
    row: dict[str, Any] = {"what": what, "median": middle, "low": low, "high": high}
    if at_least is not None:
        row |= {"target": f">= {at_least:g}", "met": middle >= at_least}
    if at_most is not None:
        row |= {"target": f"<= {at_most:g}", "met": middle <= at_most}
    return row


def main() -> None:
    """Measure, print the report and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slot", type=float, default=0.2, metavar="SECONDS")
    default = Path(__file__).parent / "results" / "forward"
    parser.add_argument("--output", type=Path, default=default, metavar="PATH_WITHOUT_SUFFIX")
    options = parser.parse_args()
    measured: dict[str, Any] = {
        "environment": environment(PACKAGES),
        "rounds": options.rounds,
        "slot_seconds": options.slot,
        "results": [],
    }
    for name in options.workload or WORKLOADS:
        print(f"{name}: {options.rounds} rounds", file=sys.stderr)
        measured["results"].append(measure(WORKLOADS[name], options.rounds, options.slot))
    text = markdown(measured)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")
    options.output.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
