"""Read samples for commands: the built-in digits, a file or a directory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

import pyasync as pa
from pyasync._checks import integer
from pyasync.cli.options import OF_SHAPED_SAMPLES, Part, flag
from pyasync.data.npz import LABELS, DifferentShapeError
from pyasync.errors import FileError, InputError, expected
from pyasync.study.presets import Preset

DIGITS = "digits"
Labels = npt.NDArray[np.int64]


def kind_of(data: str, format: str | None) -> str:
    """The kind of data to read: the format given, or else the one that `data` implies."""
    if format is not None:
        return format
    if data == DIGITS:
        return DIGITS
    return "nmnist" if Path(data).is_dir() else "npz"


def read_samples(
    data: str,
    format: str | None,
    split: Part | None,
    *,
    dt: float | None,
    n_timesteps: int | None,
    samples: int | None,
    preset: Preset | None = None,
    network_shape: tuple[int, ...] | None = None,
    **npz: Any,
) -> tuple[pa.SpikeBatch, Labels | None]:
    """Read samples with their labels, if there are any.

    Recordings are cut into the preset's timesteps unless others are given; an npz file has its own.
    Options for reading npz files are refused for other data.
    """
    path = Path(data)
    kind = kind_of(data, format)
    if kind != "npz":
        refuse_npz(data, npz)
    if kind != DIGITS and n_timesteps is not None:
        integer(InputError, flag("n_timesteps"), n_timesteps, 1)
    given = {"dt": dt, "n_timesteps": n_timesteps}
    times: Any = {name: value for name, value in given.items() if value is not None}
    cut: Any = times if preset is None else preset.times | times
    labels: Labels | None
    part: Part = "test" if split is None else split
    with _naming_options(data, network_shape):
        if kind == DIGITS:
            ((x, labels),) = read_digits([part], times)
        elif kind == "shd":
            x, labels = pa.data.shd(path, part, progress=True, **cut)
        elif kind == "dvsgesture":
            x, labels = pa.data.dvsgesture(path, part, progress=True, **cut)
        elif kind == "nmnist":
            x, labels = pa.data.nmnist(path, part, progress=True, **cut)
        else:
            if network_shape is not None:
                npz["input_shape"] = network_shape
            own = {name: value for name, value in npz.items() if value is not None}
            x, labels = pa.data.npz(path, **times, **own)
    if network_shape is not None and x.n_inputs != math.prod(network_shape):
        raise _of_other_shape(data, x.input_shape, network_shape)
    if x.dt is None:
        accepted = f"the length of a timestep in seconds, which {data} does not say"
        raise InputError(expected("--dt", "None", accepted))
    if samples is not None:
        count = integer(InputError, "samples", samples, 1)
        x, labels = x[:count], None if labels is None else labels[:count]
    return x, labels


def refuse_npz(data: str, options: Mapping[str, Any]) -> None:
    """Refuse options for reading npz files, given with data of another kind."""
    for name, value in options.items():
        if value is not None:
            option = flag(name)
            raise typer.BadParameter(f"{option} is for npz files, and has no effect on {data}")


@contextmanager
def _naming_options(data: str, network_shape: tuple[int, ...] | None) -> Iterator[None]:
    """Make a reader's errors name the option at fault, or --data if the network's shape is."""
    try:
        yield
    except InputError as error:
        if network_shape is not None and isinstance(error, DifferentShapeError):
            raise _of_other_shape(data, error.stored, network_shape) from error
        argument, _, rest = str(error).partition(":")
        if argument not in OF_SHAPED_SAMPLES:
            raise
        raise InputError(f"{flag(argument)}:{rest}") from error


def _of_other_shape(
    data: str, given: tuple[int, ...], network_shape: tuple[int, ...]
) -> InputError:
    accepted = f"samples of the network's input shape {network_shape}"
    return InputError(expected("--data", f"{data} of input shape {given}", accepted))


def read_digits(
    splits: Sequence[Part], times: Mapping[str, Any]
) -> list[tuple[pa.SpikeBatch, Labels]]:
    """Prepare parts of the built-in digits; refuse `times`, since theirs are fixed."""
    if any(value is not None for value in times.values()):
        raise typer.BadParameter(f'"{DIGITS}" has timesteps of its own: no --dt, --timesteps')
    print("preparing the built-in digits", flush=True)
    return [pa.data.digits(split) for split in splits]


def without_labels(data: str) -> FileError:
    """The error for data without labels."""
    accepted = f"an array {' or '.join(map(repr, LABELS))} in it, or the name of one (--label)"
    return FileError(expected("data", f"{data} without labels", accepted))


def read_labelled(
    data: str, format: str | None, split: Part, **how: Any
) -> tuple[pa.SpikeBatch, Labels]:
    """Read samples like `read_samples`; refuse data without labels."""
    x, labels = read_samples(data, format, split, **how)
    if labels is None:
        raise without_labels(data)
    return x, labels
