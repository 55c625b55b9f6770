"""Read DVS Gesture (Amir et al., 2017) from the AEDAT 3.1 files in which it is distributed."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
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

SENSOR, CLASSES = 128, 11
_LAST_TRAINING_USER = 23
_VERSION, _END_OF_HEADER = b"#!AER-DAT3.1", b"#!END-HEADER"
# Packet header: event type, source, size, offset of the timestamp, overflows of the timestamp;
# number of events allocated, present and valid. See events/common.h and events/polarity.h of
# libcaer, which writes the format.
_PACKET = struct.Struct("<hhiiiiii")
_POLARITY_EVENT = 1
_POLARITY_LAYOUT = (8, 4)
_EVENT = np.dtype([("word", "<u4"), ("timestamp", "<i4")])

_READABLE = "readable recordings and labels"

Events = npt.NDArray[np.int64]
Interval = tuple[int, int, int]  # class, start and end in microseconds


def dvsgesture(
    path: str | os.PathLike[str],
    split: Literal["train", "test"] = "train",
    *,
    dt: float = 20e-3,
    n_timesteps: int = 75,
    size: int = 32,
    binary: bool = True,
    progress: bool = False,
) -> tuple[SpikeBatch, npt.NDArray[np.int64]]:
    r"""Read DVS Gesture's own files: `userNN_<lighting>.aedat` and `userNN_<lighting>_labels.csv`.

    A recording shows a person making one gesture after another; each labelled interval is one
    sample. Every sample has `n_timesteps` timesteps, counted from the start of its interval: later
    events are left out, and no events follow the interval's end. Most gestures last about 6 s. The
    defaults read the first 1.5 s in 75 timesteps of 20 ms; `n_timesteps=300` reads (nearly) all.
    Several events of one pixel and polarity in one timestep become one. Samples are in the order of
    their recordings and, within a recording, of its labels.

    Parameters
    ----------
    path : path
        The directory of the recordings, or its parent if it is named `DvsGesture`.
    split : {"train", "test"}
        The recordings listed in `trials_to_train.txt` or `trials_to_test.txt`. Without that file,
        those of users 1 to 23 or 24 to 29, which is also the authors' division.
    dt : float
        Length of a timestep in seconds.
    n_timesteps : int
        Timesteps of every sample.
    size : int
        Width and height in pixels, a divisor of the sensor's 128: each pixel combines a square of
        `128 / size` times `128 / size` sensor pixels.
    binary : bool
        If False, multiplicities count the events of each pixel, polarity and timestep.
    progress : bool
        Whether to show progress on a terminal.

    Returns
    -------
    events : SpikeBatch
        Input shape (2, size, size): OFF events, then ON events.
    labels : int64 [n_samples]
        0 .. 10, one less than in the files: hand clapping, right hand wave, left hand wave, right
        arm clockwise, right arm counter-clockwise, left arm clockwise, left arm counter-clockwise,
        arm roll, air drums, air guitar, other gestures.

    Raises
    ------
    InputError
        If an argument is not as described.
    FileError
        If recordings or labels are missing, or a file is truncated or of another format.

    References
    ----------
    A. Amir et al., *A Low Power, Fully Event-Based Gesture Recognition System*, CVPR 2017. The
    files: https://research.ibm.com/interactive/dvsgesture, CC BY 4.0.

    Examples
    --------
    >>> import pathlib, struct, tempfile, pyasync as pa
    >>> on_event = struct.pack("<Ii", 100 << 17 | 7 << 2 | 1 << 1 | 1, 3_025_000)   # x=100, y=7
    >>> packet = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 1, 1, 1) + on_event
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trial, labels = (pathlib.Path(folder, f"user24_led{end}") for end in
    ...                      (".aedat", "_labels.csv"))
    ...     _ = trial.write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet)
    ...     _ = labels.write_text("class,startTime_usec,endTime_usec\n8,3000000,9000000\n")
    ...     x, y = pa.data.dvsgesture(folder, "test")
    >>> x, y
    (SpikeBatch(1 sample, 75 timesteps of 20 ms, input shape (2, 32, 32), 1 event), array([7]))
    """
    choice(InputError, "split", split, ("train", "test"))
    binary = flag(InputError, "binary", binary)
    seconds_of("dt", dt)
    count_of("n_timesteps", n_timesteps)
    if SENSOR % count_of("size", size):
        raise InputError(expected("size", size, f"a divisor of {SENSOR}"))
    files = _files(path_of("path", path), split)
    # Not pathlib's with_name, which raises for a path that ends in no name, as the list may say.
    labelled = [_intervals(file.parent / f"{file.stem}_labels.csv") for file in files]
    labels = [gesture - 1 for intervals in labelled for gesture, _, _ in intervals]
    check_segments(n_timesteps, len(labels))
    batches = []
    with Progress(f"reading DVS Gesture, {split}", len(files), "files", shown=progress) as bar:
        for file, intervals in zip(files, labelled, strict=True):
            batch = _binned(_recording(file), intervals, dt, n_timesteps, size)
            # Bin one recording at a time: the raw events of a whole split would not fit in memory.
            batches.append(batch.binary() if binary else batch)
            bar.advance()
    return SpikeBatch.concatenate(batches), np.array(labels, np.int64)


def _files(path: Path, split: str) -> list[Path]:
    accepted = "a directory with userNN_<lighting>.aedat in it, as DVS Gesture is distributed"
    # os.path, because pathlib raises if a name is too long.
    folder = path / "DvsGesture" if os.path.isdir(path / "DvsGesture") else path
    listed = folder / f"trials_to_{split}.txt"
    try:
        if listed.is_file():
            text = listed.read_text(encoding="utf-8")
            if "\0" in text:
                raise ValueError("a byte of 0, which no name has")
            found = [folder / name for name in text.split()]
        else:
            there = sorted(each for each in folder.iterdir() if each.suffix == ".aedat")
            found = [each for each in there if _of_split(each, split)]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise FileError(expected("path", f"{folder} ({reason})", accepted)) from error
    if not found:
        raise FileError(expected("path", f"{folder} without such files for {split!r}", accepted))
    return found


def _of_split(file: Path, split: str) -> bool:
    user = file.name.partition("_")[0].removeprefix("user")
    return user.isdecimal() and (int(user) <= _LAST_TRAINING_USER) == (split == "train")


def _intervals(file: Path) -> list[Interval]:
    """The labelled intervals of a recording; in the published data set, some overlap."""
    accepted = f"lines 'class,startTime_usec,endTime_usec' of a class in 1 .. {CLASSES} and times"
    rows = []
    text = read_whole(file, _READABLE).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines()):
        # The first line may name the columns.
        if not line.strip() or (number == 0 and not line[:1].isdecimal()):
            continue
        try:
            gesture, start, end = map(int, line.split(","))
        except ValueError:
            gesture = start = end = 0
        if not (1 <= gesture <= CLASSES and 0 <= start < end < 2**63):
            given = f"{file} with line {number + 1}, {line[:80]!r}"
            raise FileError(expected("path", given, accepted))
        rows.append((gesture, start, end))
    if not rows:
        raise FileError(expected("path", f"{file} without a labelled interval", accepted))
    return rows


def _recording(file: Path) -> tuple[Events, Events]:
    """The events' times in microseconds, ascending, and addresses `(p * 128 + y) * 128 + x`."""
    content = read_whole(file, _READABLE)
    at = _after_header(file, content)
    packets, overflows = [], []
    while at < len(content):
        accepted = "a whole AEDAT 3.1 file"
        if at + _PACKET.size > len(content):
            given = f"{file} that ends within the header of a packet"
            raise FileError(expected("path", given, accepted))
        kind, _, size, stamp, overflow, _, number, _ = _PACKET.unpack_from(content, at)
        start, at = at + _PACKET.size, at + _PACKET.size + size * number
        wrong = kind == _POLARITY_EVENT and (size, stamp) != _POLARITY_LAYOUT
        if wrong or kind < 0 or size <= 0 or number < 0 or overflow < 0:
            given = f"{file} with a packet of {number} events of type {kind} and {size} bytes"
            raise FileError(expected("path", given, accepted))
        if at > len(content):
            given = f"{file} that ends within a packet of {number} events"
            raise FileError(expected("path", given, accepted))
        if kind == _POLARITY_EVENT:
            packets.append(np.frombuffer(content, _EVENT, number, start))
            overflows.append(overflow)
    return _polarity_events(file, packets, overflows)


def _after_header(file: Path, content: bytes) -> int:
    if not content.startswith(_VERSION):
        given = f"{file} that starts with {content[:16]!r}"
        raise FileError(expected("path", given, f"an AEDAT file that starts with {_VERSION!r}"))
    at = 0
    while content.startswith(b"#", at):
        line, at = at, content.find(b"\n", at) + 1
        if at == 0:
            break
        if content[line:at].rstrip() == _END_OF_HEADER:
            return at
    raise FileError(expected("path", f"{file} without {_END_OF_HEADER!r}", "a whole AEDAT file"))


def _polarity_events(
    file: Path, packets: Sequence[npt.NDArray[np.void]], overflows: Sequence[int]
) -> tuple[Events, Events]:
    events = np.concatenate([np.zeros(0, _EVENT), *packets])
    # A timestamp has 31 bits; its packet says how often it has overflowed.
    t = np.repeat(np.array(overflows, np.int64) << 31, [packet.size for packet in packets])
    t += events["timestamp"]
    word = events["word"]
    valid = (word & 1).astype(bool)
    word, t = word[valid], t[valid]
    p, y, x = word >> 1 & 1, word >> 2 & 0x7FFF, word >> 17
    outside = (x >= SENSOR) | (y >= SENSOR) | (t < 0)
    if outside.any():
        i = int(np.argmax(outside))
        given = f"{file} with an event at x={x[i]}, y={y[i]}, t={t[i]}"
        accepted = f"x and y in 0 .. {SENSOR - 1}, t of at least 0"
        raise FileError(expected("path", given, accepted))
    address = ((p * SENSOR + y) * SENSOR + x).astype(np.int64)
    if bool(np.all(t[1:] >= t[:-1])):
        return t, address
    order = np.argsort(t, kind="stable")
    return t[order], address[order]


def _binned(
    recording: tuple[Events, Events],
    intervals: Sequence[Interval],
    dt: float,
    n_timesteps: int,
    size: int,
) -> SpikeBatch:
    t, address = recording
    _, starts, ends = np.array(intervals, np.int64).T
    first, last = np.searchsorted(t, starts), np.searchsorted(t, ends)
    counts = last - first
    sample = np.repeat(np.arange(len(intervals)), counts)
    taken = np.concatenate([np.arange(*span) for span in zip(first, last, strict=True)])
    when = timesteps_of("path", t[taken] - starts[sample], ticks_of(dt, 1e-6))
    kept = when < n_timesteps
    p, y, x = np.unravel_index(address[taken[kept]], (2, SENSOR, SENSOR))
    factor = SENSOR // size
    flat = (p * size + y // factor) * size + x // factor
    segment = (sample * n_timesteps + when)[kept]
    channel, offsets = by_segment(flat, segment, len(intervals) * n_timesteps)
    return SpikeBatch(channel, offsets, n_timesteps, (2, size, size), dt=dt)
