"""Parts of the benchmarks' Markdown reports."""

from __future__ import annotations

from typing import Any


def head(
    measured: dict[str, Any],
    title: str,
    program: str,
    more: str = ", with the lowest and the highest",
) -> list[str]:
    """The title, the machine, and the number of measurements."""
    e = measured["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in e["versions"].items())
    cpu = f"{e['cpu']} ({', '.join(e['simd'])}), {e['cores']} cores, {e['platform']}"
    return [
        f"# {title}: figures",
        "",
        f"{e['date']}; {cpu}; {versions}.",
        "",
        f"Medians over {measured['rounds']} interleaved rounds{more}.",
        f"Written by `python {program}`; the README says what each run does.",
    ]


def workload(result: dict[str, Any]) -> list[str]:
    """Times, comparisons and spikes of one workload."""
    w = result["workload"]
    sizes = "-".join(str(n) for n in w["sizes"])
    size = f"Batch {w['batch']}, {w['n_timesteps']} timesteps of {w['dt'] * 1e3:g} ms"
    schedule = f"random selection with F = {w['forward_group_size']}"
    neuron = f"v_threshold {w['v_threshold']}, tau_mem {w['tau_mem'] * 1e3:g} ms"
    lines = [
        f"## {w['name']}: {sizes}",
        "",
        f"{size}, {w['activity']:.0%} input, {schedule}; Xavier-uniform weights, {neuron}.",
        *other_work(result["cores_busy_with_other_work"]),
        "",
        "| time of | threads | ms | rounds |",
        "|---|---|---|---|",
    ]
    for s in result["seconds"]:
        median, low, high = (1e3 * x for x in (s["median"], min(s["rounds"]), max(s["rounds"])))
        lines.append(f"| {s['run']} | {s['threads']} | {median:.2f} | {low:.2f} to {high:.2f} |")
    lines += ["", *comparisons(result["comparisons"])]
    runs = result["spikes_per_sample"]
    populations = list(next(iter(runs.values())))
    lines += ["", f"| spikes per sample | {' | '.join(populations)} | all |"]
    lines.append("|---" * (len(populations) + 2) + "|")
    for run, spikes in runs.items():
        each = " | ".join(f"{spikes[p]:.1f}" for p in populations)
        lines.append(f"| {run} | {each} | {sum(spikes.values()):.1f} |")
    return lines


def other_work(busy: float | None) -> list[str]:
    """How busy the machine was with other work, if the system says."""
    if busy is None:
        return []
    return [f"Other processes kept {busy:.2f} cores busy meanwhile."]


def comparisons(rows: list[dict[str, Any]]) -> list[str]:
    """A table of figures beside their targets."""
    lines = ["| figure | measured | rounds | target | |", "|---|---|---|---|---|"]
    for c in rows:
        met = ""
        if "target" in c:
            met = {True: "met", False: "**missed**", None: "not judged"}[c["met"]]
        span = "" if c["low"] == c["high"] else f"{c['low']:.2f} to {c['high']:.2f}"
        lines.append(
            f"| {c['what']} | {c['median']:.2f} | {span} | {c.get('target', '')} | {met} |"
        )
    return lines
