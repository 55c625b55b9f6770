"""The file format of a `SpikeBatch`: an npz file of its arrays."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._events import count_of, integers_of, shape_of
from pyasync._npz import read_npz, write_npz
from pyasync._wording import counted
from pyasync.errors import FileError, InputError, expected
from pyasync.events import SpikeBatch

FORMAT, VERSION = "pyasync.SpikeBatch", 1


def save(
    batch: SpikeBatch, path: str | os.PathLike[str], label: npt.ArrayLike | None = None
) -> None:
    """Write `batch`, and labels if given; see `SpikeBatch.save`."""
    arrays = {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "channel": batch.channel.astype(np.min_scalar_type(batch.n_inputs - 1)),
        "offsets": batch.offsets,
        "n_timesteps": np.array(batch.n_timesteps),
        "input_shape": np.array(batch.input_shape, np.int64),
        "dt": np.array(np.nan if batch.dt is None else batch.dt),
    }
    if batch.multiplicity is not None:
        arrays["multiplicity"] = batch.multiplicity
    if label is not None:
        arrays["label"] = integers_of("label", label)
        if len(arrays["label"]) != len(batch):
            given = counted(len(arrays["label"]), "label")
            accepted = f"one for each of the {counted(len(batch), 'sample')}"
            raise InputError(expected("label", given, accepted))
    write_npz(path, arrays)


def load(path: str | os.PathLike[str]) -> SpikeBatch:
    """Read a batch; see `SpikeBatch.load`."""
    return batch_of(path, read_npz(path))


def batch_of(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]]) -> SpikeBatch:
    """Rebuild a batch from the arrays of its file; `path` is only for error messages."""
    accepted = f"a file that SpikeBatch.save wrote (version {VERSION} or before)"
    try:
        kind, version = str(arrays["format"]), count_of("version", arrays["version"])
        if kind != FORMAT or not 1 <= version <= VERSION:
            given = f"{path} of format {kind!r}, version {version}"
            raise FileError(expected("path", given, accepted))
        dt = float(arrays["dt"])
        return SpikeBatch(
            arrays["channel"],
            arrays["offsets"],
            count_of("n_timesteps", arrays["n_timesteps"]),
            shape_of(arrays["input_shape"]),
            arrays.get("multiplicity"),
            None if math.isnan(dt) else dt,
        )
    except KeyError as missing:
        given = f"{path} without the entry {missing}"
        raise FileError(expected("path", given, accepted)) from None
    except (InputError, TypeError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(expected("path", f"{path} ({error})", accepted)) from error
