"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., Any])
_NIR, _DATA = "Reading a .nir", "Reading the data"


def flag(name: str) -> str:
    """Option name of a parameter: save_network is --save-network, n_timesteps is --timesteps."""
    return "--timesteps" if name == "n_timesteps" else "--" + name.replace("_", "-")


def refuse(given: Mapping[str, Any], where: str) -> None:
    """Refuse any option in `given` whose value is not None, because it would be ignored."""
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{option} has no effect {where}")


def with_options(options: Mapping[str, Any]) -> Callable[[Command], Command]:
    """Add options to a command, which gets them by name in its `**values`; None if not given."""

    def given(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        command.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return command

    return given


ScheduleName: TypeAlias = Literal["layered", "random", "momentum", "fifo", "lifo"]

AnyNetworkFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="NETWORK.safetensors|.nir", show_default=False)
]
SourceDt: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Timestep in seconds for which a .nir was written (snnTorch: 1e-4).",
        rich_help_panel=_NIR,
    ),
]
Integration: TypeAlias = Annotated[
    Literal["euler", "exponential"] | None,
    typer.Option(
        help="What a .nir's framework makes of its equations.  \\[default: euler]",
        rich_help_panel=_NIR,
    ),
]
Reset: TypeAlias = Annotated[
    Literal["zero", "subtract", "none"] | None,
    typer.Option(help="How neurons of a .nir are reset.  \\[default: zero]", rich_help_panel=_NIR),
]
ResetDelay: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--reset-delay",
        help="They subtract their threshold one timestep later (snnTorch: by default).",
        rich_help_panel=_NIR,
    ),
]
DataPath: TypeAlias = Annotated[
    str,
    typer.Option("--data", metavar="DATA", help='Samples: an npz file, a directory, or "digits".'),
]
Format: TypeAlias = Annotated[
    Literal["npz", "nmnist", "shd", "dvsgesture"] | None,
    typer.Option(
        help="Of the data.  \\[default: npz for a file, nmnist for a directory]",
        rich_help_panel=_DATA,
    ),
]
Dt: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Length of a timestep in seconds, where the data has none.", rich_help_panel=_DATA
    ),
]
Timesteps: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--timesteps",
        help="Timesteps of a sample, where the data does not say.",
        rich_help_panel=_DATA,
    ),
]
Channel: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Name of the file's array of channels.  \\[default: channel]",
        rich_help_panel=_DATA,
    ),
]
Time: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Name of its array of times, to be binned.", rich_help_panel=_DATA
    ),
]
TimeUnit: TypeAlias = Annotated[
    float | None, typer.Option(help="Seconds that a time of 1 stands for.", rich_help_panel=_DATA)
]
Label: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Name of its array of classes.  \\[default: label, labels or y]",
        rich_help_panel=_DATA,
    ),
]
BatchFirst: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--batch-first",
        help="Its dense array has the samples as the first axis.",
        rich_help_panel=_DATA,
    ),
]
InputShape: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N…]",
        help="Shape of a timestep, where the file does not say.",
        rich_help_panel=_DATA,
    ),
]
Part: TypeAlias = Literal["train", "test"]
Split: TypeAlias = Annotated[
    Part | None,
    typer.Option(
        help="Which part of a directory, or of the digits.  \\[default: test]",
        rich_help_panel=_DATA,
    ),
]
Samples: TypeAlias = Annotated[int | None, typer.Option(help="Use the first so many samples only.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(help="Threads to use; all cores if not given.")
]
JsonFile: TypeAlias = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the results there as JSON.")
]

#: Options for reading a .nir file.
OF_NIR = {
    "source_dt": SourceDt,
    "integration": Integration,
    "reset": Reset,
    "reset_delay": ResetDelay,
}
#: Options for reading samples.
OF_SAMPLES = {
    "dt": Dt,
    "n_timesteps": Timesteps,
    "channel": Channel,
    "time": Time,
    "time_unit": TimeUnit,
    "label": Label,
    "batch_first": BatchFirst,
}
#: Options for reading samples when there is no network to give the input shape.
OF_SHAPED_SAMPLES = {**OF_SAMPLES, "input_shape": InputShape}
#: Options for reading a network, and samples for it.
OF_RUN = {**OF_NIR, "format": Format, **OF_SAMPLES, "split": Split}
