"""`pyasync audit`: what a trained network does without layer synchronisation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

import pyasync as pa
from pyasync import study
from pyasync._checks import integer
from pyasync._wording import counted
from pyasync.cli import options
from pyasync.cli.files import read_run
from pyasync.cli.samples import without_labels
from pyasync.cli.tables import show
from pyasync.cli.targets import check_figure, check_network_target, check_targets
from pyasync.errors import InputError
from pyasync.study.audit import audited_runs

Samples = tuple[pa.SpikeBatch, npt.NDArray[np.int64]]


@options.with_options(options.OF_RUN)
def audit(
    network: Annotated[
        Path | None, typer.Argument(metavar="[NETWORK.safetensors|.nir]", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help='Samples with labels, for NETWORK: an npz file, a directory, or "digits".',
        ),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            help="random, momentum, fifo, lifo, free; may be repeated.  \\[default: all but lifo]"
        ),
    ] = None,
    forward_group_size: Annotated[
        list[int] | None,
        typer.Option("--forward-group-size", "-F", help="F; may be repeated.  \\[default: 1 8 64]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of training, without NETWORK.  \\[default: 15]")
    ] = None,
    save_network: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the trained network there.")
    ] = None,
    samples: options.Samples = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    json: options.JsonFile = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a figure: .png, .svg or .pdf.")
    ] = None,
    **how: Any,
) -> None:
    """Compare a trained network under every schedule with layered execution.

    Without NETWORK one is trained, layer by layer, on the built-in digits. Ctrl-C stops within a
    second; the JSON file then holds the schedules that were finished.
    """
    if network is not None and data is None:
        raise typer.BadParameter("NETWORK needs --data, samples to run it on")
    if network is not None and (epochs is not None or save_network is not None):
        raise typer.BadParameter("--epochs and --save-network are for training, without NETWORK")
    if network is None and data is not None:
        raise typer.BadParameter("--data needs a NETWORK.safetensors or .nir")
    if network is None:
        ignored = {options.flag(name): value for name, value in how.items()}
        options.refuse(ignored, "without NETWORK, which is trained and run on the built-in digits")
    check_targets((network, data), json=json, figure=figure, save_network=save_network)
    check_network_target(save_network)
    check_figure(figure)
    sizes = forward_group_size or (1, 8, 64)
    audited_runs(schedule, sizes)  # refuse a bad schedule or F before the training too
    if network is None or data is None:
        if threads is not None:  # refuse a bad value before the training, not after it
            integer(InputError, "threads", threads, 1)
        trained, (x, y) = _digits(15 if epochs is None else epochs, seed, samples)
        if save_network is not None:
            trained.save(save_network)
    else:
        trained, x, labels = read_run(network, data, samples=samples, **how)
        if labels is None:
            raise without_labels(data)
        y = labels
    report = study.audit(
        trained,
        x,
        y,
        schedule,
        sizes,
        seed=seed,
        threads=threads,
        progress=True,
        finished=None if json is None else lambda so_far: so_far.save_json(json),
    )
    show(report)
    if figure is not None:
        report.figure(figure)
    written = [str(path) for path in (save_network, json, figure) if path is not None]
    if written:
        print(f"\nwritten: {', '.join(written)}")


def _digits(epochs: int, seed: int, samples: int | None) -> tuple[pa.Network, Samples]:
    """Train a network on the built-in digits; return it with the test digits."""
    print("preparing the built-in digits", flush=True)
    train_x, train_y = pa.data.digits("train")
    x, y = pa.data.digits("test")
    if samples is not None:
        count = integer(InputError, "samples", samples, 1)
        x, y = x[:count], y[:count]
    print(
        f"training on {len(train_x)} of them, layer by layer, {counted(epochs, 'epoch')}",
        flush=True,
    )
    return study.train_layered(train_x, train_y, epochs=epochs, seed=seed, progress=True), (x, y)
