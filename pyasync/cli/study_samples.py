"""Samples for `pyasync study` to train and test on: built-in digits, a data set, or one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from pyasync._optional import needed
from pyasync.cli.options import Part
from pyasync.cli.samples import DIGITS, read_digits, read_labelled, refuse_npz
from pyasync.errors import InputError, expected
from pyasync.study import Samples
from pyasync.study.presets import Preset

_TONIC = "tonic:"
_PARTS: tuple[Part, Part] = ("train", "test")
_TIMES = ("dt", "n_timesteps")


def read(
    source: str, data: Path | None, test_data: Path | None, preset: Preset, how: dict[str, Any]
) -> Samples:
    """Read the named source as samples for training and for testing."""
    if source == DIGITS or source.startswith(_TONIC):
        refuse_npz(source, {name: value for name, value in how.items() if name not in _TIMES})
    if source == DIGITS:
        parts = read_digits(_PARTS, {name: how[name] for name in _TIMES})
    elif source.startswith(_TONIC):
        given = {name: how[name] for name in _TIMES if how[name] is not None}
        times = dict.fromkeys(_TIMES) | preset.times | given
        return _from_tonic(source.removeprefix(_TONIC), _needed(source, data), **times)
    elif source in ("nmnist", "shd", "dvsgesture"):
        given = {**how, "samples": None, "preset": preset}
        folder = str(_needed(source, data))
        parts = [read_labelled(folder, source, part, **given) for part in _PARTS]
    else:
        if data is not None:
            raise typer.BadParameter("--data is for the data sets with files of their own")
        x, y = read_labelled(source, "npz", "train", **how, samples=None)
        # A file name may be bytes that are not text, but the report has to be text.
        name = os.fsencode(Path(source).stem).decode("utf-8", "replace")
        if test_data is None:
            return Samples.split(name, x, y)
        given = {**how, "samples": None, "n_timesteps": x.n_timesteps}
        try:
            test = read_labelled(str(test_data), "npz", "test", **given)
        except InputError as error:
            raise InputError(f"--test-data, {error}") from error
        return Samples(name, x, y, *test)
    return Samples(source, *parts[0], *parts[1])


def _from_tonic(name: str, folder: Path, *, dt: float | None, n_timesteps: int | None) -> Samples:
    """Read the tonic data set with this class name; tonic may download it to the folder."""
    if dt is None or n_timesteps is None:
        raise typer.BadParameter("a data set of tonic needs --dt and --timesteps")
    kind = getattr(needed("tonic", f"tonic:{name} is one of its data sets").datasets, name, None)
    if kind is None:
        raise InputError(expected("source", f"tonic:{name}", "a class of tonic.datasets"))
    from pyasync.interop import from_tonic

    parts = [
        from_tonic(
            kind(save_to=str(folder), train=train), dt=dt, n_timesteps=n_timesteps, progress=True
        )
        for train in (True, False)
    ]
    return Samples(f"tonic:{name}", *parts[0], *parts[1])


def _needed(source: str, data: Path | None) -> Path:
    if data is None:
        raise typer.BadParameter(f"{source} needs --data, the directory of its files")
    return data
