"""`pyasync simulate`: run a saved network on a file of data, batch by batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer

import pyasync as pa
from pyasync import measures
from pyasync._checks import integer
from pyasync._progress import Progress
from pyasync._wording import counted
from pyasync.cli import options
from pyasync.cli.files import columns, read_run, read_trace, write_json
from pyasync.cli.targets import check_targets
from pyasync.errors import InputError, expected
from pyasync.study.plan import schedule_named

# Measures to show, as means over the samples that have a value.
MEASURES = {
    "spikes": "spikes",
    "forward_steps": "forward steps",
    "synaptic_operations": "synaptic operations",
    "neuron_updates": "neuron updates",
    "mean_pending": "pending spikes",
    "events_before_firing": "events before a neuron fires",
    "latency": "spikes before the first output spike",
}


@options.with_options(options.OF_RUN)
def simulate(
    network: options.AnyNetworkFile,
    data: options.DataPath,
    schedule: Annotated[
        options.ScheduleName | None,
        typer.Option(help="Which pending spikes go next.  \\[default: random]"),
    ] = None,
    forward_group_size: Annotated[
        int | None,
        typer.Option(
            "--forward-group-size", "-F", help="Spikes in a forward step.  \\[default: 8]"
        ),
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Momentum's noise.  \\[default: 0]")] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="TRACE", help="Replay this trace instead of a schedule.")
    ] = None,
    input_mode: Annotated[
        Literal["at_once", "scheduled"], typer.Option(help="How input spikes arrive.")
    ] = "at_once",
    max_forward_steps: Annotated[int, typer.Option(help="Limit for a timestep.")] = 1_000_000,
    max_spikes: Annotated[int | None, typer.Option(help="Limit for a sample.")] = None,
    stop_on_output: Annotated[
        Literal["timestep", "sample"] | None, typer.Option(help="What an output spike stops.")
    ] = None,
    extra_steps: Annotated[
        int | None, typer.Option(help="Forward steps after that spike.  \\[default: 0]")
    ] = None,
    on_stop: Annotated[
        Literal["discard", "carry"], typer.Option(help="Pending spikes of a stopped timestep.")
    ] = "discard",
    samples: options.Samples = None,
    batch_size: Annotated[int, typer.Option(help="Samples at a time.")] = 256,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the order of the spikes there.")
    ] = None,
    json: options.JsonFile = None,
    **how: Any,
) -> None:
    """Run a network on data under one schedule and show what it does.

    Ctrl-C stops within a second; the files then hold the batches that were finished.
    """
    given = {"--schedule": schedule, "-F": forward_group_size, "--noise": noise}
    if replay is not None:
        options.refuse(given, "with --replay, which has the order of what was recorded")
    if schedule == "layered":
        where = "with --schedule layered, which has no groups"
        options.refuse({**given, "--schedule": None}, where)
    if schedule != "momentum":
        options.refuse({"--noise": noise}, "without --schedule momentum")
    if stop_on_output is None:
        options.refuse({"--extra-steps": extra_steps}, "without --stop-on-output")
    check_targets((network, data, replay), json=json, trace=trace)
    loaded, x, labels = read_run(network, data, samples=samples, **how)
    integer(InputError, "batch_size", batch_size, 1)
    if len(x) == 0:
        raise InputError(expected("data", f"{data} without samples", "one sample or more"))
    if labels is not None:
        measures.labels(labels, len(x), len(loaded.output_ids))
    played = None if replay is None else read_trace(replay)
    if played is None:
        F = 8 if forward_group_size is None else forward_group_size
        chosen = schedule_named(schedule or "random", F, noise or 0.0)
    elif len(played) != len(x):
        what = f"a trace of {counted(len(played), 'sample')}"
        raise InputError(expected("replay", what, f"one of {len(x):,}, as the data have"))
    else:
        chosen = pa.Replay(played)
    settings: dict[str, Any] = {
        "seed": seed,
        "threads": threads,
        "input_mode": input_mode,
        "max_forward_steps": max_forward_steps,
        "max_spikes": max_spikes,
        "stop_on_output": stop_on_output,
        "extra_steps": extra_steps or 0,
        "on_stop": on_stop,
    }
    report = {
        "pyasync": pa.__version__,
        "network": str(network),
        "data": data,
        "schedule": str(chosen),
        **settings,
        "n_samples": len(x),
    }
    print(f"{network.name}: {counted(len(x), 'sample')}, {chosen}", flush=True)
    finished: list[pa.Result] = []
    interrupted = False
    try:
        with Progress("simulating", len(x), "samples") as bar:
            for start in range(0, len(x), batch_size):
                ids = np.arange(start, min(start + batch_size, len(x)))
                order = chosen if played is None else pa.Replay(played[ids])
                record = trace is not None
                finished.append(
                    pa.simulate(loaded, x[ids], order, sample_ids=ids, record=record, **settings)
                )
                bar.advance(len(ids))
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        # A run refused before its first batch finishes must not overwrite an earlier run's results.
        if finished or interrupted:
            report |= _measured(finished, labels)
            write_json(json, report)
        traces = [result.trace for result in finished if result.trace is not None]
        if trace is not None and traces:
            pa.Trace.concatenate(traces).save(trace)
    _show(report)


def _measured(finished: list[pa.Result], labels: npt.NDArray[np.int64] | None) -> dict[str, Any]:
    """Measures of the samples that were finished: their means, and the values of each sample."""
    if not finished:
        return {"n_finished": 0, "samples": {}}
    rows = np.concatenate([result.to_structured() for result in finished])
    means = {}
    for name in MEASURES:
        values = rows[name][~np.isnan(rows[name])]
        means[name] = float(values.mean()) if values.size else None
    measured: dict[str, Any] = {"n_finished": len(rows), "means": means}
    if labels is not None:
        decisions = np.concatenate([result.decisions() for result in finished])
        measured["accuracy"] = float(np.mean(decisions == labels[: len(rows)]))
    measured["samples"] = columns(rows)
    return measured


def _show(report: dict[str, Any]) -> None:
    if "accuracy" in report:
        print(f"{report['accuracy']:14.3f}  accuracy")
    for name, title in MEASURES.items():
        mean = report["means"][name]
        print(f"{'-' if mean is None else format(mean, ',.1f'):>14}  {title}, mean")
