"""Samples that commands read: the built-in digits, a file or a directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

import pyasync as pa
from pyasync._checks import integer
from pyasync.errors import FileError, InputError, expected
from pyasync.study.presets import Preset

DIGITS = "digits"
Labels = npt.NDArray[np.int64]


def read_samples(
    data: str,
    format: str | None,
    split: str,
    *,
    dt: float | None,
    n_timesteps: int | None,
    samples: int | None,
    preset: Preset | None = None,
    **npz: Any,
) -> tuple[pa.SpikeBatch, Labels | None]:
    """Read samples with their labels, if there are any.

    Recordings are cut into the preset's timesteps unless others are given; a file says its own.
    """
    path = Path(data)
    given = {"dt": dt, "n_timesteps": n_timesteps}
    times: Any = {name: value for name, value in given.items() if value is not None}
    cut: Any = times if preset is None else preset.times | times
    labels: Labels | None
    if data == DIGITS and format is None:
        ((x, labels),) = read_digits([split], times)
    elif format == "shd":
        x, labels = pa.data.shd(path, split, progress=True, **cut)
    elif format == "dvsgesture":
        x, labels = pa.data.dvsgesture(path, split, progress=True, **cut)
    elif format == "nmnist" or (format is None and path.is_dir()):
        x, labels = pa.data.nmnist(path, split, progress=True, **cut)
    else:
        x, labels = pa.data.npz(path, **times, **npz)
    if samples is not None:
        count = integer(InputError, "samples", samples, 1)
        x, labels = x[:count], None if labels is None else labels[:count]
    return x, labels


def read_digits(
    splits: Sequence[str], times: Mapping[str, Any]
) -> list[tuple[pa.SpikeBatch, Labels]]:
    """Prepare parts of the built-in digits; refuse `times` that were asked for."""
    if any(value is not None for value in times.values()):
        raise typer.BadParameter(f'"{DIGITS}" has timesteps of its own: no --dt, --timesteps')
    print("preparing the built-in digits", flush=True)
    return [pa.data.digits(split) for split in splits]


def read_labelled(
    data: str, format: str | None, split: str, **how: Any
) -> tuple[pa.SpikeBatch, Labels]:
    """Read samples that have labels; as `read_samples`."""
    x, labels = read_samples(data, format, split, **how)
    if labels is None:
        raise FileError(expected("data", f"{data} without labels", "an array 'label' in it"))
    return x, labels
