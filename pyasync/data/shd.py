"""Read the Spiking Heidelberg Digits (Cramer et al., 2020) from their authors' HDF5 files."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice, flag
from pyasync._events import by_segment, check_segments, count_of, seconds_of, ticks_of, timesteps_of
from pyasync._files import path_of
from pyasync._optional import needed
from pyasync._progress import Progress
from pyasync.errors import FileError, InputError, expected
from pyasync.events import SpikeBatch

UNITS = 700
_SAMPLES_AT_ONCE = 1000
_SPLITS = ("train", "test")
_LAYOUT = "a whole HDF5 file with spikes/times, spikes/units and labels, as SHD is distributed"
# What h5py, gzip and zlib raise for a file that is truncated, altered or of another format.
_UNREADABLE = (OSError, EOFError, RuntimeError, zlib.error)


def shd(
    path: str | os.PathLike[str],
    split: Literal["train", "test"] = "train",
    *,
    dt: float = 10e-3,
    n_timesteps: int = 100,
    channels: int = UNITS,
    binary: bool = True,
    progress: bool = False,
) -> tuple[SpikeBatch, npt.NDArray[np.int64]]:
    """Read the Spiking Heidelberg Digits: `shd_train.h5`, `shd_test.h5`, gzipped or not.

    A recording is a spoken digit, in English or German, as the spikes of 700 units of a cochlea
    model. It lasts up to 1.4 s: the defaults read the first second, `n_timesteps=140` reads all.
    Several spikes of one channel in one timestep become one. Samples are in the order of the file.
    SHD has no validation split: hold out samples of `train`, not of `test`.

    Parameters
    ----------
    path : path
        The directory that holds the files, or one of them. A gzipped file is unpacked to a
        temporary one while it is read.
    split : {"train", "test"}
        Which of the two to read: 8 156 or 2 264 samples.
    dt : float
        Length of a timestep in seconds.
    n_timesteps : int
        Timesteps to read; later spikes are left out.
    channels : int
        Number of channels, a divisor of 700: each combines `700 / channels` neighbouring units.
    binary : bool
        If False, multiplicities count the spikes of each channel and timestep.
    progress : bool
        Whether to show progress on a terminal.

    Returns
    -------
    events : SpikeBatch
        Input shape (channels,).
    labels : int64 [n_samples]
        0 .. 9: zero to nine in English; 10 .. 19: null to neun in German.

    Raises
    ------
    InputError
        If an argument is not as described.
    FileError
        If the file is missing or has another layout.
    MissingDependencyError
        If h5py is not installed.

    References
    ----------
    B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, *The Heidelberg Spiking Data Sets for the
    Systematic Evaluation of Spiking Neural Networks*, IEEE Transactions on Neural Networks and
    Learning Systems 33, 2022. The files: https://compneuro.net, CC BY 4.0.

    Examples
    --------
    >>> import pathlib, tempfile, h5py, numpy as np, pyasync as pa
    >>> sample = {"times": np.array([0.012, 0.5], "f2"), "units": np.array([5, 699], "u2")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(pathlib.Path(folder, "shd_test.h5"), "w") as file:
    ...         for name, values in sample.items():
    ...             lists = h5py.vlen_dtype(values.dtype)
    ...             file.create_dataset(f"spikes/{name}", 1, lists)[0] = values
    ...         file["labels"] = np.array([13], np.uint8)
    ...     x, y = pa.data.shd(folder, "test")
    >>> x, y
    (SpikeBatch(1 sample, 100 timesteps of 10 ms, input shape (700,), 2 events), array([13]))
    """
    choice(InputError, "split", split, _SPLITS)
    binary = flag(InputError, "binary", binary)
    seconds_of("dt", dt)
    count_of("n_timesteps", n_timesteps)
    if UNITS % count_of("channels", channels):
        raise InputError(expected("channels", channels, f"a divisor of {UNITS}"))
    file = _file(path_of("path", path), split)
    batches = []
    with _opened(file) as content:
        times, units, labels = _arrays(file, content)
        check_segments(n_timesteps, len(labels))  # before they are read: a small file may say many
        labels = labels[:].astype(np.int64)
        with Progress(f"reading SHD, {split}", len(labels), "samples", shown=progress) as bar:
            for first in range(0, len(labels), _SAMPLES_AT_ONCE):
                some = slice(first, first + _SAMPLES_AT_ONCE)
                spikes = _spikes(file, first, times[some], units[some])
                batches.append(_binned(*spikes, dt, n_timesteps, channels))
                bar.advance(len(batches[-1]))
    events = SpikeBatch.concatenate(batches)
    return events.binary() if binary else events, labels


def _file(path: Path, split: str) -> Path:
    """The file to read; a file whose name says that it is the other split is refused."""
    # os.path, because pathlib raises if a name is too long.
    if not os.path.isdir(path):
        other = _SPLITS[1 - _SPLITS.index(split)]
        if path.name in (f"shd_{other}.h5", f"shd_{other}.h5.gz"):
            raise InputError(expected("split", repr(split), f"{other!r}, which {path} is"))
        return path
    for name in (f"shd_{split}.h5", f"shd_{split}.h5.gz"):
        if os.path.isfile(path / name):
            return path / name
    accepted = f"a directory with shd_{split}.h5 or shd_{split}.h5.gz in it"
    raise FileError(expected("path", f"{path} without such a file", accepted))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open an HDF5 file; read errors, now or inside the block, become FileErrors."""
    h5py = needed("h5py", "SHD is read with it")
    try:
        with TemporaryDirectory(prefix="pyasync-") as folder:
            unpacked = file
            if file.suffix == ".gz":
                unpacked = Path(folder, file.stem)
                with gzip.open(file) as packed, unpacked.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, 2**20)
            with h5py.File(unpacked, "r") as content:
                yield content
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FileError(expected("path", f"{file} ({reason})", _LAYOUT)) from error


def _arrays(file: Path, content: Any) -> tuple[Any, Any, Any]:
    """The lists of times and units and the labels, still in the file."""
    from h5py import Dataset, check_vlen_dtype

    found = {name: content.get(name) for name in ("spikes/times", "spikes/units", "labels")}
    kinds = {"spikes/times": "f", "spikes/units": "iu", "labels": "iu"}
    for name, array in found.items():
        if not isinstance(array, Dataset) or array.ndim != 1:
            raise FileError(expected("path", f"{file} without a list {name}", _LAYOUT))
        dtype = array.dtype if name == "labels" else check_vlen_dtype(array.dtype)
        if dtype is None or dtype.kind not in kinds[name]:
            given = f"{file} with {name} of {dtype or array.dtype}"
            accepted = "lists of seconds, lists of units, and a class for each sample"
            raise FileError(expected("path", given, accepted))
    times, units, labels = found.values()
    if not 0 < len(times) == len(units) == len(labels):
        given = f"{file} with {len(times)} times, {len(units)} units and {len(labels)} labels"
        raise FileError(expected("path", given, "one of each for every sample, and a sample"))
    return times, units, labels


def _spikes(
    file: Path, first: int, times: Any, units: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Read and check spikes: the number in each sample, their times in seconds, and their units."""
    sizes = np.array([len(each) for each in times])
    if uneven := [s for s, each in enumerate(units) if len(each) != sizes[s]]:
        s = uneven[0]
        given = f"{file}, sample {first + s} with {sizes[s]} times and {len(units[s])} units"
        raise FileError(expected("path", given, "a unit for each time"))
    # In half precision, t / dt would be rounded too coarsely to tell timesteps apart.
    t = np.concatenate([np.zeros(0), *times], dtype=np.float64)
    unit = np.concatenate([np.zeros(0, np.int64), *units], dtype=np.int64)
    bad = ~(np.isfinite(t) & (t >= 0) & (unit >= 0) & (unit < UNITS))
    if bad.any():
        at = int(np.argmax(bad))
        sample = first + int(np.searchsorted(np.cumsum(sizes), at, side="right"))
        given = f"{file}, sample {sample} with unit {unit[at]} at {t[at]:g} s"
        raise FileError(expected("path", given, f"units in 0 .. {UNITS - 1}, times from 0 s on"))
    return sizes, t, unit


def _binned(
    sizes: npt.NDArray[np.int64],
    t: npt.NDArray[np.float64],
    unit: npt.NDArray[np.int64],
    dt: float,
    n_timesteps: int,
    channels: int,
) -> SpikeBatch:
    when = timesteps_of("path", t, ticks_of(dt, 1.0))
    kept = when < n_timesteps
    segment = (np.repeat(np.arange(sizes.size), sizes) * n_timesteps + when)[kept]
    flat = unit[kept] // (UNITS // channels)
    channel, offsets = by_segment(flat, segment, sizes.size * n_timesteps)
    return SpikeBatch(channel, offsets, n_timesteps, channels, dt=dt)
