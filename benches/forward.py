"""Time the forward run against the same work by other means: `python benches/forward.py`.

Writes `results/forward.json` and `results/forward.md` beside this file; the README there says how
the figures are made and how to read them.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import report
from program import SILENT_BELOW, begun, compared, counted, judged, options, publish, timed_rows
from timing import OtherWork, cores, interleave, ratio
from workloads import WORKLOADS, Workload

try:
    import contenders as by

    import pyasync as pa
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: the benchmarks need pyasync, PyTorch and snnTorch") from error

TIMES_FASTER = {
    "nmnist-shaped": {by.SNNTORCH: 3, by.DENSE: 40},
    "shd-shaped": {by.SNNTORCH: 4, by.DENSE: 60},
}
TIMES_FASTER_ON_TWO_THREADS = {"nmnist-shaped": 1.8}
RECORDING_AT_MOST = 1.10
TRACE_BYTES_AT_MOST = 8.0


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
    ratios = judged(compare_times(workload.name, seconds, threads), busy)
    return {
        "workload": asdict(workload),
        "cores_busy_with_other_work": busy,
        "spikes_per_sample": spikes,
        "seconds": timed_rows(seconds),
        "comparisons": ratios + compare_trace(trace),
    }


def compare_times(
    workload: str, seconds: dict[tuple[str, int], list[float]], threads: list[int]
) -> list[dict[str, Any]]:
    """The ratios of a workload, each beside its target if it has one."""
    most, wanted = threads[-1], TIMES_FASTER.get(workload, {})
    rows = []
    for peer in (by.SNNTORCH, by.DENSE, by.REFERENCE):
        factor = wanted.get(by.DENSE if peer == by.REFERENCE else peer)
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
            what = f"{run} / pyasync, {counted(n, 'thread')}"
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


def markdown(measured: dict[str, Any]) -> str:
    """Render what was measured."""
    lines = report.head(measured, "Forward run", "benches/forward.py")
    for result in measured["results"]:
        lines += ["", *report.workload(result)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the report and write it."""
    parser = options(__doc__, "forward", rounds=9)
    parser.add_argument("--workload", choices=WORKLOADS, action="append", help="default: all")
    parser.add_argument("--slot", type=float, default=0.2, metavar="SECONDS")
    asked = parser.parse_args()
    measured = begun(rounds=asked.rounds, slot_seconds=asked.slot)
    for name in asked.workload or WORKLOADS:
        print(f"{name}: {asked.rounds} rounds", file=sys.stderr)
        measured["results"].append(measure(WORKLOADS[name], asked.rounds, asked.slot))
    publish(measured, markdown(measured), asked.output)


if __name__ == "__main__":
    main()
