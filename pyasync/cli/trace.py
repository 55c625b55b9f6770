"""`pyasync trace`: show, check and plot a recorded order of spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import pyasync as pa
from pyasync import LIF, Population
from pyasync._checks import integer
from pyasync.cli import options
from pyasync.cli.files import columns, load_network, read_trace, write_json
from pyasync.cli.targets import check_figure, check_targets
from pyasync.errors import InputError, expected

app = typer.Typer(help="Show, check and plot a recorded order of spikes.")

TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", show_default=False)]
Sample = Annotated[int, typer.Option(help="Which sample, from 0.")]


@app.command()
def show(
    file: TraceFile,
    sample: Annotated[
        int | None, typer.Option(help="List this sample's spikes too, from 0.")
    ] = None,
    limit: Annotated[int, typer.Option(help="List so many spikes at most.")] = 40,
    json: options.JsonFile = None,
) -> None:
    """Show what a trace holds, and the spikes of one sample in their order."""
    integer(InputError, "limit", limit)
    check_targets((file,), json=json)
    trace = read_trace(file)
    facts = _facts(trace, file)
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):20}{value}")
    if sample is not None:
        events = _sample(trace, sample).to_events()
        facts["events"] = columns(events)
        _list(events, limit)
    write_json(json, facts)


@app.command()
def validate(
    file: TraceFile,
    network: Annotated[
        Path, typer.Option(metavar="NETWORK.safetensors", help="The network that was run.")
    ],
    json: options.JsonFile = None,
) -> None:
    """Prove from the network's structure that the recorded order was possible."""
    check_targets((file, network), json=json)
    trace = read_trace(file)
    trace.validate(load_network(network))
    print(f"valid: {trace.n_emitted} emitted spikes in {len(trace)} samples")
    write_json(json, {"valid": True, **_facts(trace, file)})


@app.command()
def plot(
    file: TraceFile,
    sample: Sample = 0,
    network: Annotated[
        Path | None,
        typer.Option(metavar="NETWORK.safetensors", help="Name and colour its populations."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; TRACE.png if not given.")
    ] = None,
) -> None:
    """Draw the spikes of one sample in the order in which they were emitted."""
    trace = read_trace(file)  # before it gives its name to the figure: it may have none
    target = file.with_suffix(".png") if figure is None else figure
    check_figure(target)
    check_targets((file, network), figure=target)
    from pyasync.study.figure import drawing, raster

    populations, output = [Population("neuron", (), 0, trace.n_neurons, LIF())], None
    if network is not None:
        loaded = load_network(network)
        populations, output = loaded.populations, loaded.output
        trace.validate(loaded)
    events = _sample(trace, sample).to_events()
    neurons = events[events["neuron"] >= 0]
    with drawing(target, (8, 4.5)) as drawn:
        axes = drawn.subplots()
        raster(axes, populations, output, neurons)
        axes.set_xlim(0, len(neurons) + 1)
        axes.set_title(f"sample {sample}, {trace.schedule}: {len(neurons):,} spikes")
        axes.set_xlabel("spikes in the order of their delivery (timesteps shaded in turn)")
    print(target)


def _sample(trace: pa.Trace, sample: int) -> pa.Trace:
    if not 0 <= sample < len(trace):
        raise InputError(expected("sample", sample, f"0 .. {len(trace) - 1}"))
    return trace[sample : sample + 1]


def _facts(trace: pa.Trace, file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    return {
        "samples": len(trace),
        "timesteps": trace.n_timesteps,
        "dt": trace.dt,
        "inputs": trace.n_inputs,
        "neurons": trace.n_neurons,
        "dtype": str(trace.dtype),
        "schedule": trace.schedule,
        "forward_group_size": trace.forward_group_size,
        "input_mode": trace.input_mode,
        "emitted_spikes": trace.n_emitted,
        "file_bytes": size,
        "bytes_per_spike": round(size / max(trace.n_emitted, 1), 2),
    }


def _list(events: np.ndarray[Any, Any], limit: int) -> None:
    print(f"\n{'timestep':>9}{'step':>9}{'order':>9}{'neuron':>9}{'v':>11}")
    for row in events[:limit]:
        cells = "".join(f"{row[name]:9}" for name in ("timestep", "step", "order", "neuron"))
        print(f"{cells}{row['v']:11.4f}")
    if len(events) > limit:
        print(f"{len(events) - limit} more")
