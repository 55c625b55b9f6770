"""The Markdown report of `free_running.py`."""

from __future__ import annotations

from typing import Any

from program import QUIET_BELOW
from report import comparisons, head, other_work


def markdown(measured: dict[str, Any]) -> str:
    """Render what was measured."""
    peers = f", the peers' over {measured['peer_rounds']}"
    lines = head(measured, "Free running", "benches/free_running.py", peers)
    for result in measured["results"]:
        lines += ["", *_network(result)]
    lines += ["", *_memory(measured["memory"]), "", *_latency(measured["latency"])]
    busy = measured["cores_busy_with_other_work"]
    for scaling in measured.get("scaling", ()):
        lines += ["", *_scaling(scaling, quiet=busy is None or busy <= QUIET_BELOW)]
    lines += ["", *other_work(busy)]
    return "\n".join(lines).rstrip() + "\n"


def _network(result: dict[str, Any]) -> list[str]:
    n, busy = result["network"], result["cores_busy_with_other_work"]
    lines = [
        f"## {n['n_neurons']:,} neurons, {result['synapses']:,} synapses, dt {1e3 * n['dt']:g} ms",
        "",
        f"{n['n_timesteps']} timesteps; {n['n_inputs']:,} input channels of {n['input_rate']:g} "
        f"spikes a second onto {n['synapses_per_input']} neurons each; tau_mem "
        f"{1e3 * n['tau_mem']:g} ms; weights of mean {n['weight']:g} and "
        f"{-n['weight'] * n['inhibition']:g}, threshold 1.",
        *other_work(busy),
        *(
            ["What two threads took then, of pyasync or a peer, says nothing."]
            if busy is not None and busy > QUIET_BELOW
            else []
        ),
        "",
        "| run | threads | s | spikes a timestep | spikes/s | synaptic events/s | per core |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in result["runs"]:
        rates = (r["spikes_per_second"], r["events_per_second"]["median"])
        shown = [f"{x / 1e6:.2f} M" for x in (*rates, r["events_per_second_and_core"])]
        lines.append(
            f"| {r['run']} | {r['threads']} | {r['seconds']['median']:.3f} | "
            f"{r['spikes_per_timestep']:.0f} | {' | '.join(shown)} |"
        )
    for name, about in result["peers"].items():
        if "absent" in about:
            lines += ["", f"{name}: not measured; {about['absent']}."]
        else:
            lines += [
                "",
                f"{name} {about['version']}, {about['float']}; {about['build_seconds']:.0f} s to "
                "build, not counted. "
                f"{result['neurons_as_layered'][name]:.3%} of the neurons fire as often as with "
                "`Layered()`.",
            ]
    lines += ["", *comparisons(result["comparisons"])]
    lines += ["", "| spikes that wait after a delivery | threads | mean | most |"]
    lines.append("|---|---|---|---|")
    for q in result["queues"]:
        lines.append(f"| {q['run']} | {q['threads']} | {q['mean']:.0f} | {q['most']:,} |")
    if result["waiting"] is None:
        lines += ["", "How long two workers wait was not measured: that needs a quiet machine."]
    else:
        low, high = (f"{result['waiting'][bound]:.0%}" for bound in ("at_least", "at_most"))
        lines += ["", f"Two workers wait for at least {low} and at most {high} of their time."]
    return lines


def _memory(memory: dict[str, Any]) -> list[str]:
    lines = ["## Memory", ""]
    if "skipped" in memory:
        return [*lines, f"Not measured: {memory['skipped']}."]
    shown = ", ".join(
        f"{memory[part] / 1e6:.1f} MB {words}"
        for part, words in (
            ("engine", "for the engine's network"),
            ("run", "more at most while it runs on one worker"),
            ("python", "for the arrays that `pa.Sparse` keeps (not in the first row below)"),
        )
    )
    counted = f"{memory['synapses']:,} synapses, {memory['neurons']:,} neurons"
    own = memory["engine"] + memory["run"] - 8 * memory["synapses"]
    each = f"Beside 8 bytes a synapse that leaves {own / memory['neurons']:.0f} bytes a neuron."
    return [*lines, f"{counted}: {shown}. {each}", "", *comparisons(memory["comparisons"])]


def _latency(latency: dict[str, Any]) -> list[str]:
    sizes = "-".join(map(str, latency["sizes"]))
    lines = [
        f"## One sample of {sizes}: from the call to the first output spike",
        "",
        "| run | µs, median | 10 % | 90 % | samples with an output spike |",
        "|---|---|---|---|---|",
    ]
    for r in latency["rows"]:
        us = r["microseconds"]
        lines.append(
            f"| {r['run']} | {us['50%']:.0f} | {us['10%']:.0f} | {us['90%']:.0f} | "
            f"{r['with_output']:.0%} |"
        )
    return lines


def _scaling(s: dict[str, Any], quiet: bool) -> list[str]:
    ns = {name: f"{1e9 * s[f'seconds_per_{name}']:.0f} ns" for name in _COSTS}
    lines = [
        f"## Estimate for more cores, F = {s['forward_group_size']}",
        "",
        "Measured: " + ", ".join(f"{words} {ns[name]}" for name, words in _COSTS.items()) + ".",
        f"{s['synaptic_events']:,} synaptic events; the longest chains of spikes of all timesteps "
        f"add up to {s['generations']:,}.",
        "",
        "| cores | deliveries | s | times faster | work | spikes of others | ends of timesteps | "
        "longest chain, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for e in s["estimates"]:
        whole = sum(e["parts"].values())
        shown = [f"{e['cores']}", f"{e['deliveries']:,}", f"{e['seconds']:.3f}"]
        shown.append(f"{e['times_faster']:.1f}")
        shown += [f"{part / whole:.0%}" for part in e["parts"].values()]
        lines.append(f"| {' | '.join(shown)} | {e['longest_chain']:.4f} |")
    if not quiet:
        return [*lines, "", "**Not to be relied on**: two workers had to share their cores."]
    return [*lines, "", _limit(s)]


_COSTS = {
    "event_alone": "a synaptic event on one worker",
    "delivery": "one more delivery (of up to F spikes) for the same events",
    "delivery_from_another_worker": "a spike from another worker",
    "timestep_end_of_two": "the end of a timestep of two workers",
}


def _limit(s: dict[str, Any]) -> str:
    last = s["estimates"][-1]
    whole = sum(last["parts"].values())
    if last["longest_chain"] > whole:
        return f"The limit on {last['cores']} cores is the longest chain of spikes."
    part = max(last["parts"], key=last["parts"].__getitem__)
    grown = last["deliveries"] / s["estimates"][0]["deliveries"]
    words = {
        "work": f"the number of deliveries: a spike goes to nearly every shard, so they are "
        f"{grown:.0f} times those on one core, each with few synapses",
        "other workers' spikes": "handing spikes from core to core",
        "ends of timesteps": "finding the end of a timestep among so many workers",
    }
    return f"The limit on {last['cores']} cores is {words[part]}."
