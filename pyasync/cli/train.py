"""`pyasync train`: train a network on a file or directory of samples, as a recipe says."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import pyasync as pa
from pyasync._wording import counted
from pyasync.cli import options
from pyasync.cli.files import write_json
from pyasync.cli.recipe_options import changes_of, recipe_options, shape_of
from pyasync.cli.samples import DIGITS, kind_of, read_labelled
from pyasync.cli.targets import check_network_target, check_targets
from pyasync.study import Recipe
from pyasync.study.presets import PRESETS, preset_named


@options.with_options(options.OF_SHAPED_SAMPLES | recipe_options())
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help='An npz file with labels, a directory, or "digits", the built-in ones.',
            show_default=False,
        ),
    ],
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Start from what the study trains on {', '.join(PRESETS)}, with its timesteps.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Values of the recipe; options given here take precedence.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the training there; go on if it exists."),
    ] = None,
    save_network: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Write the trained network there."),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help='Samples to try after each epoch; of "digits" or a directory, its test part.',
        ),
    ] = None,
    format: options.Format = None,
    outputs: Annotated[
        int | None, typer.Option(help="Output neurons.  \\[default: the highest class plus one]")
    ] = None,
    samples: options.Samples = None,
    threads: options.Threads = None,
    json: options.JsonFile = None,
    **values: Any,
) -> None:
    """Train a network on labelled samples, with or without layer synchronisation.

    Ctrl-C stops within a second. With --checkpoint the same command then goes on where it was, and
    ends with the same bits as if it had never stopped.
    """
    how = {name: values.pop(name) for name in options.OF_SHAPED_SAMPLES}
    start = None if preset is None else preset_named(preset)
    changes = changes_of(config, values)
    recipe = Recipe(**changes)
    if start is not None:
        # Check the recipe, with an arbitrary dt, before reading the data, which may take a minute.
        recipe = start.training(recipe.schedule, 1e-3).replace(**changes)
    check_targets(
        (data, validation, config), json=json, save_network=save_network, checkpoint=checkpoint
    )
    check_network_target(save_network)
    # Only after the command line has been checked, since this imports PyTorch.
    from pyasync.study.training import Epoch
    from pyasync.study.training import train as run

    read: dict[str, Any] = {
        **how,
        "input_shape": shape_of(how),
        "samples": samples,
        "preset": start,
    }
    x, y = read_labelled(data, format, "train", **read)
    held_out = None if validation is None else read_labelled(validation, format, "test", **read)
    if start is not None and x.dt is not None:
        recipe = start.training(recipe.schedule, x.dt).replace(**changes)
    report: dict[str, Any] = {
        "pyasync": pa.__version__,
        "data": data,
        "validation": validation,
        "n_samples": len(x),
        "n_timesteps": x.n_timesteps,
        "input_shape": list(x.input_shape),
        "dt": x.dt,
        "recipe": recipe.to_dict(),
        "history": [],
    }
    print(f"{data}: {counted(len(x), 'sample')}, {_title(recipe)}", flush=True)
    # While a progress bar is shown, rich captures what is printed; a redirected stdout would get
    # nothing.
    out = None if sys.stdout.isatty() else sys.stdout

    def on_epoch(epoch: Epoch) -> None:
        print(_line(epoch, recipe.epochs), flush=True, file=out)
        report["history"].append(dataclasses.asdict(epoch))
        write_json(json, report)

    if checkpoint is not None and checkpoint.exists():
        print(f"going on from {checkpoint}", flush=True)
    training = run(
        recipe,
        x,
        y,
        n_outputs=outputs,
        validation=held_out,
        threads=threads,
        checkpoint=checkpoint,
        progress=True,
        on_epoch=on_epoch,
    )
    if save_network is not None:
        training.network.save(save_network)
    written = [str(path) for path in (save_network, checkpoint, json) if path is not None]
    print(f"\nwritten: {', '.join(written) or 'nothing (see --save-network)'}")
    if save_network is not None:
        audited = data if validation is None else validation
        kind = kind_of(audited, format)
        # The audit must cut recordings as this training did, even if a preset gave the timesteps.
        if kind not in ("npz", DIGITS):
            how |= {"dt": x.dt, "n_timesteps": x.n_timesteps}
        if validation is None and kind != DIGITS and not Path(audited).is_dir():
            audited = "TEST.npz" if kind == "npz" else f"TEST{Path(audited).suffix}"
        command = ["pyasync", "audit", str(save_network), "--data", audited]
        # Leave out the input shape, which an audit takes from the network.
        said = {"format": format, **{name: how[name] for name in options.OF_SAMPLES}}
        for name, value in said.items():
            if value is not None:
                option = options.flag(name)
                command += [option] if value is True else [option, str(value)]
        print(f"to audit it: {shlex.join(command)}")


def _title(recipe: Recipe) -> str:
    F = recipe.forward_group_size
    group = F if isinstance(F, int) else f"{F[0]} to {F[1]}"
    order = recipe.schedule + ("" if recipe.schedule == "layered" else f" with F = {group}")
    return f"{recipe.architecture}, {order}, {counted(recipe.epochs, 'epoch')}"


def _line(epoch: Any, epochs: int) -> str:
    line = (
        f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}  loss {epoch.loss:.3f}  "
        f"accuracy {epoch.accuracy:.3f}  {epoch.spikes:,.0f} spikes a sample  {epoch.seconds:.1f} s"
    )
    if epoch.validation_accuracy is None:
        return line
    return (
        f"{line}  validation: accuracy {epoch.validation_accuracy:.3f}, "
        f"{epoch.validation_spikes:,.0f} spikes"
    )
