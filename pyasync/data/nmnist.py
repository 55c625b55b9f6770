"""Read N-MNIST (Orchard et al., 2015) from the directories in which it is distributed."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice, flag
from pyasync._events import by_segment, check_segments, count_of, seconds_of, ticks_of, timesteps_of
from pyasync._files import path_of, read_whole
from pyasync._progress import Progress
from pyasync.errors import FileError, InputError, expected
from pyasync.events import SpikeBatch

SENSOR = 34
_FILES_AT_ONCE = 1000
# An entry with y = 240 is not an event: it says that the camera's 13-bit clock has overflowed.
_CLOCK_ROUND, _CLOCK = 240, 2**13


def nmnist(
    path: str | os.PathLike[str],
    split: Literal["train", "test"] = "train",
    *,
    dt: float = 10e-3,
    n_timesteps: int = 10,
    binary: bool = True,
    progress: bool = False,
) -> tuple[SpikeBatch, npt.NDArray[np.int64]]:
    """Read N-MNIST's own files: `train/<digit>/*.bin` and `test/<digit>/*.bin`.

    A recording shows a digit in three saccades of about 100 ms. The defaults read the first, in 10
    timesteps of 10 ms; `n_timesteps=30` reads (nearly) all. Several events of one pixel and
    polarity in one timestep become one. Samples are sorted by file name, the order of MNIST.

    Parameters
    ----------
    path : path
        The directory that holds `train` and `test` (or `Train` and `Test`).
    split : {"train", "test"}
        Which of the two to read.
    dt : float
        Length of a timestep in seconds.
    n_timesteps : int
        Timesteps to read; later events are left out.
    binary : bool
        If False, multiplicities count the events of each pixel, polarity and timestep.
    progress : bool
        Whether to show progress on a terminal.

    Returns
    -------
    events : SpikeBatch
        Input shape (2, 34, 34): OFF events, then ON events.
    labels : int64 [n_samples]
        The digit of each sample.

    Raises
    ------
    InputError
        If an argument is not as described.
    FileError
        If the directories are missing, or a file does not hold 5-byte events of a 34 x 34 sensor.

    Examples
    --------
    >>> import pathlib, tempfile, pyasync as pa
    >>> with tempfile.TemporaryDirectory() as folder:    # one ON event at x=3, y=2 after 12 ms
    ...     file = pathlib.Path(folder, "test", "7", "00001.bin")
    ...     file.parent.mkdir(parents=True)
    ...     _ = file.write_bytes(bytes([3, 2, 0x80 | 12000 >> 16, 12000 >> 8 & 255, 12000 & 255]))
    ...     x, y = pa.data.nmnist(folder, "test")
    >>> x, y
    (SpikeBatch(1 sample, 10 timesteps of 10 ms, input shape (2, 34, 34), 1 event), array([7]))
    """
    choice(InputError, "split", split, ("train", "test"))
    binary = flag(InputError, "binary", binary)
    ticks = ticks_of(seconds_of("dt", dt), 1e-6)
    count_of("n_timesteps", n_timesteps)
    files = _files(path_of("path", path), split)
    check_segments(n_timesteps, len(files))
    batches = []
    with Progress(f"reading N-MNIST, {split}", len(files), "files", shown=progress) as bar:
        for first in range(0, len(files), _FILES_AT_ONCE):
            some = files[first : first + _FILES_AT_ONCE]
            batches.append(_read(some, dt, ticks, n_timesteps))
            bar.advance(len(some))
    events = SpikeBatch.concatenate(batches)
    labels = np.array([int(file.parent.name) for file in files], np.int64)
    return events.binary() if binary else events, labels


def _files(directory: Path, split: str) -> list[Path]:
    accepted = f"a directory with {split}/<digit>/*.bin in it, as N-MNIST is distributed"
    try:
        folders = [each for each in directory.iterdir() if each.name.lower() == split]
    except OSError as error:
        raise FileError(expected("path", f"{directory} ({error.strerror})", accepted)) from error
    found = [file for folder in folders for file in folder.glob("[0-9]/*.bin")]
    if not found:
        raise FileError(expected("path", f"{directory} without such files", accepted))
    return sorted(found, key=lambda file: (file.name, file.parent.name))


def _read(files: list[Path], dt: float, ticks: Fraction, n_timesteps: int) -> SpikeBatch:
    contents = []
    for file in files:
        contents.append(read_whole(file, "readable files"))
        if len(contents[-1]) % 5:
            given = f"{file} of {len(contents[-1])} bytes"
            raise FileError(expected("path", given, "files of whole 5-byte events"))
    sizes = [len(content) // 5 for content in contents]
    x, y, high, middle, low = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 5).T
    sample = np.repeat(np.arange(len(files)), sizes)
    rounds = np.cumsum(y == _CLOCK_ROUND)
    before = np.concatenate([np.zeros(1, np.int64), rounds])[np.cumsum([0, *sizes[:-1]])]
    t = (high & 0x7F).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    t += _CLOCK * (rounds - before[sample])
    spike = y != _CLOCK_ROUND
    outside = spike & ((x >= SENSOR) | (y >= SENSOR))
    if outside.any():
        at = int(np.argmax(outside))
        given = f"{files[sample[at]]} with an event at x={x[at]}, y={y[at]}"
        raise FileError(expected("path", given, f"x and y in 0 .. {SENSOR - 1}"))
    when = timesteps_of("path", t, ticks)
    kept = spike & (when < n_timesteps)
    flat = ((high >> 7).astype(np.int64) * SENSOR + y) * SENSOR + x
    segment = (sample * n_timesteps + when)[kept]
    channel, offsets = by_segment(flat[kept], segment, len(files) * n_timesteps)
    return SpikeBatch(channel, offsets, n_timesteps, (2, SENSOR, SENSOR), dt=dt)
