"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer


def flag(name: str) -> str:
    """The option of a parameter: --dt of dt, --save-network of save_network."""
    return "--" + name.replace("_", "-")


def refuse(given: Mapping[str, Any], where: str) -> None:
    """Refuse options, each with its value or None, that would be ignored."""
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{option} has no effect {where}")


def own_channel(name: str) -> str | None:
    """The value of --channel, None where it is the default."""
    return None if name == "channel" else name


ScheduleName: TypeAlias = Literal["layered", "random", "momentum", "fifo", "lifo"]

AnyNetworkFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="NETWORK.safetensors|.nir", show_default=False)
]
SourceDt: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Timestep in seconds for which a .nir was written (snnTorch: 1e-4)."),
]
Integration: TypeAlias = Annotated[
    Literal["euler", "exponential"] | None,
    typer.Option(help="What a .nir's framework makes of its equations.  \\[default: euler]"),
]
Reset: TypeAlias = Annotated[
    Literal["zero", "subtract", "none"] | None,
    typer.Option(help="How neurons of a .nir are reset.  \\[default: zero]"),
]
DataPath: TypeAlias = Annotated[
    str,
    typer.Option("--data", metavar="DATA", help='Samples: an npz file, a directory, or "digits".'),
]
Format: TypeAlias = Annotated[
    Literal["npz", "nmnist", "shd", "dvsgesture"] | None,
    typer.Option(help="Of the data.  \\[default: npz for a file, nmnist for a directory]"),
]
Dt: TypeAlias = Annotated[
    float | None, typer.Option(help="Length of a timestep in seconds, where the data has none.")
]
Timesteps: TypeAlias = Annotated[
    int | None, typer.Option(help="Timesteps of a sample, where the data does not say.")
]
Channel: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the file's array of channels.")
]
Time: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of its array of times, to be binned.")
]
TimeUnit: TypeAlias = Annotated[
    float | None, typer.Option(help="Seconds that a time of 1 stands for.")
]
Label: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Name of its array of classes.  \\[default: label, labels or y]"
    ),
]
BatchFirst: TypeAlias = Annotated[
    bool | None,
    typer.Option("--batch-first", help="Its dense array has the samples as the first axis."),
]
Split: TypeAlias = Annotated[
    Literal["train", "test"] | None,
    typer.Option(help="Which part of a directory, or of the digits.  \\[default: test]"),
]
Samples: TypeAlias = Annotated[int | None, typer.Option(help="Use the first so many samples only.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(help="Threads to use; all cores if not given.")
]
JsonFile: TypeAlias = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the results there as JSON.")
]
