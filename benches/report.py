"""The Markdown report of a measurement."""

from __future__ import annotations

from typing import Any


def markdown(measured: dict[str, Any]) -> str:
    """Render what `forward.py` measured."""
    e = measured["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in e["versions"].items())
    cpu = f"{e['cpu']} ({', '.join(e['simd'])}), {e['cores']} cores, {e['platform']}"
    lines = [
        "# Forward run: figures",
        "",
        f"{e['date']}; {cpu}; {versions}.",
        "",
        f"Medians over {measured['rounds']} interleaved rounds, with the lowest and the highest.",
        "Written by `python benches/forward.py`; the README says what each run does.",
    ]
    for result in measured["results"]:
        lines += ["", *_workload(result)]
    return "\n".join(lines) + "\n"


def _workload(result: dict[str, Any]) -> list[str]:
    w = result["workload"]
    sizes = "-".join(str(n) for n in w["sizes"])
    size = f"Batch {w['batch']}, {w['n_timesteps']} timesteps of {w['dt'] * 1e3:g} ms"
    schedule = f"random selection with F = {w['forward_group_size']}"
    neuron = f"v_threshold {w['v_threshold']}, tau_mem {w['tau_mem'] * 1e3:g} ms"
    lines = [
        f"## {w['name']}: {sizes}",
        "",
        f"{size}, {w['activity']:.0%} input, {schedule}; Xavier-uniform weights, {neuron}.",
        *_other_work(result["cores_busy_with_other_work"]),
        "",
        "| time of | threads | ms | rounds |",
        "|---|---|---|---|",
    ]
    for s in result["seconds"]:
        median, low, high = (1e3 * x for x in (s["median"], min(s["rounds"]), max(s["rounds"])))
        lines.append(f"| {s['run']} | {s['threads']} | {median:.2f} | {low:.2f} to {high:.2f} |")
    lines += ["", "| figure | measured | rounds | target | |", "|---|---|---|---|---|"]
    for c in result["comparisons"]:
        met = ""
        if "target" in c:
            met = {True: "met", False: "**missed**", None: "not judged"}[c["met"]]
        span = "" if c["low"] == c["high"] else f"{c['low']:.2f} to {c['high']:.2f}"
        lines.append(
            f"| {c['what']} | {c['median']:.2f} | {span} | {c.get('target', '')} | {met} |"
        )
    runs = result["spikes_per_sample"]
    populations = list(next(iter(runs.values())))
    lines += ["", f"| spikes per sample | {' | '.join(populations)} | all |"]
    lines.append("|---" * (len(populations) + 2) + "|")
    for run, spikes in runs.items():
        each = " | ".join(f"{spikes[p]:.1f}" for p in populations)
        lines.append(f"| {run} | {each} | {sum(spikes.values()):.1f} |")
    return lines


def _other_work(busy: float | None) -> list[str]:
    if busy is None:
        return []
    return [f"Other processes kept {busy:.2f} cores busy meanwhile."]
