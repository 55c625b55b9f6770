"""Read a user's own data from an npz file: binned events, timed events, or a dense array."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._events import (
    by_segment,
    check_segments,
    count_of,
    integers_of,
    reals_of,
    seconds_of,
    shape_of,
    ticks_of,
    timesteps_of,
)
from pyasync._events_file import batch_of
from pyasync._npz import read_npz
from pyasync._wording import counted
from pyasync.errors import FileError, InputError, expected
from pyasync.events import SpikeBatch

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Shape = tuple[int, ...]
LABELS = ("label", "labels", "y")


class DifferentShapeError(InputError):
    """The requested input shape differs from that of the file, `stored`."""

    # `stored` has a default because pickle creates the error from its message alone and restores
    # its attributes afterwards.
    def __init__(self, message: str, stored: Shape = ()) -> None:
        super().__init__(message)
        self.stored = stored


def npz(
    path: str | os.PathLike[str],
    *,
    dt: float | None = None,
    n_timesteps: int | None = None,
    input_shape: int | Sequence[int] | None = None,
    channel: str = "channel",
    time: str | None = None,
    time_unit: float | None = None,
    label: str | None = None,
    batch_first: bool = False,
) -> tuple[SpikeBatch, npt.NDArray[np.int64] | None]:
    """Read samples and labels from an npz file in one of four forms.

    - **saved**: a file that `SpikeBatch.save` wrote.
    - **binned events**: the arrays `channel` and `offsets` (where each timestep of each sample
      starts, and the end of the last); optional `multiplicity`, `n_timesteps`, `input_shape` or
      `n_inputs`, `dt` (seconds) or `dt_us` (microseconds).
    - **timed events**: the arrays named by `channel` and `time`, and `offsets` (where each sample
      starts, and the end of the last); optional `multiplicity`. The arguments `time`, `time_unit`,
      `dt` and `input_shape` say how to read and bin them.
    - **dense**: the array `x`, `[T, B, *input_shape]`, or `[B, T, *input_shape]` with
      `batch_first`; optional `dt` or `dt_us`.

    In each form, an optional array `label`, `labels` or `y` holds the class of each sample.

    Parameters
    ----------
    path : path
        The file.
    dt : float, optional
        Length of a timestep in seconds, if the file does not say it. Timed events need one.
    n_timesteps : int, optional
        Binned events: required if the file does not say it. Timed events: number of timesteps to
        read (later events are left out); None reads up to the last event.
    input_shape : int or tuple of int, optional
        Shape of one timestep's input. Events need it if the file says neither `input_shape` nor
        `n_inputs`. If the file's shape is flat, any shape with as many channels is accepted;
        otherwise this must be the file's shape or flat. None: the file's shape.
    channel : str
        Name of the array of channels.
    time : str, optional
        Name of the array of times, in units of `time_unit`; giving it selects the form "timed
        events".
    time_unit : float, optional
        Length of one unit of time, in seconds.
    label : str, optional
        Name of the array of classes, if it is not one of the three above.
    batch_first : bool
        Dense form: whether samples are the first axis.

    Returns
    -------
    events : SpikeBatch
    labels : int64 [n_samples], or None where the file has none

    Raises
    ------
    FileError
        If the file is not a whole npz file, has none of the forms, or its arrays are invalid.
    InputError
        If an argument is missing, not as described, does not apply to the file's form, or
        contradicts the file; or if the file has labels under several names and none is chosen.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, pyasync as pa
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.npz")
    ...     np.savez(file, unit=[3, 0, 1], ms=[0, 7, 2], offsets=[0, 2, 3], label=[1, 0])
    ...     pa.data.npz(file, channel="unit", time="ms", time_unit=1e-3, dt=5e-3, input_shape=4)
    (SpikeBatch(2 samples, 2 timesteps of 5 ms, input shape (4,), 3 events), array([1, 0]))
    """
    if n_timesteps is not None:
        count_of("n_timesteps", n_timesteps)
    dt = None if dt is None else seconds_of("dt", dt)
    given = None if input_shape is None else shape_of(input_shape)
    arrays = read_npz(path)
    how = {
        "time_unit": time_unit,
        "time": time,
        "channel": None if channel == "channel" else channel,
    }
    dense = "format" not in arrays and time is None and "x" in arrays and channel not in arrays
    if batch_first and not dense:
        accepted = f"False for {path}, which has no dense array 'x'"
        raise InputError(expected("batch_first", "True", accepted))
    if "format" in arrays:
        _refuse_unused(how, f"for {path}, which SpikeBatch.save wrote")
        batch = _agreeing(path, batch_of(path, arrays), dt, n_timesteps, given)
        return batch, _labels(path, arrays, label, batch)
    step = _agreed("dt", dt, _stored_dt(path, arrays))
    if dense:
        _refuse_unused(how, f"for {path}, which has a dense array 'x'")
        with _blaming(path):
            batch = SpikeBatch.from_dense(arrays["x"], step, batch_first=batch_first)
        batch = _agreeing(path, batch, step, n_timesteps, given)
        return batch, _labels(path, arrays, label, batch, swapped=batch_first)
    if time is None and channel not in arrays:
        accepted = f"the arrays {channel!r} and 'offsets', or 'x', or what SpikeBatch.save wrote"
        raise FileError(expected("path", f"{path} with {_names(arrays)}", accepted))
    shape = _shape(path, arrays, given)
    channels, offsets = _array(path, arrays, channel), _array(path, arrays, "offsets")
    multiplicity = arrays.get("multiplicity")
    if time is None:
        _refuse_unused({"time_unit": time_unit}, "without time, the name of the array of times")
        length = _agreed("n_timesteps", n_timesteps, _stored(path, arrays, "n_timesteps"))
        length = count_of("n_timesteps", _needed("n_timesteps", length))
    else:
        ticks = ticks_of(_needed("dt", step), seconds_of("time_unit", time_unit))
        with _blaming(path):
            times = reals_of(time, _array(path, arrays, time))
            order, offsets, length = _binned(channels, offsets, times, ticks, n_timesteps)
            channels = channels[order]
            if multiplicity is not None:
                multiplicity = _one_each("multiplicity", multiplicity, times)[order]
    with _blaming(path):
        batch = SpikeBatch(channels, offsets, length, shape, multiplicity, step)
    return batch, _labels(path, arrays, label, batch)


def _refuse_unused(given: dict[str, Any], where: str) -> None:
    for argument, value in given.items():
        if value is not None:
            raise InputError(expected(argument, repr(value), f"None {where}"))


def _binned(
    channel: Array, offsets: Array, times: Array, ticks: Fraction, n_timesteps: int | None
) -> tuple[Array, Array, int]:
    """Bin timed events: give their order, the timesteps' offsets, and the number of timesteps."""
    channel, offsets = integers_of("channel", channel), integers_of("offsets", offsets)
    _one_each("time", times, channel)
    ends = offsets.astype(np.int64)
    sizes = ends[1:] - ends[:-1]
    whole = offsets.size and offsets[0] == 0 and offsets[-1] == channel.size
    if not whole or (sizes.size and sizes.min() < 0):
        accepted = f"offsets from 0 to {channel.size} that never decrease"
        raise InputError(expected("offsets", f"{offsets.size} offsets", accepted))
    when = timesteps_of("time", times, ticks)
    length = int(when.max(initial=0)) + 1 if n_timesteps is None else n_timesteps
    check_segments(length, sizes.size, "time", "times that fit dt and time_unit")
    kept = when < length
    segment = np.repeat(np.arange(sizes.size), sizes) * length + when
    return *by_segment(np.flatnonzero(kept), segment[kept], sizes.size * length), length


def _one_each(argument: str, values: Array, events: Array) -> Array:
    if values.shape != events.shape:
        accepted = f"one for each of the {events.size} events"
        raise InputError(expected(argument, f"{values.size} of them", accepted))
    return values


@contextmanager
def _blaming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an InputError raised inside into a FileError that names the file."""
    try:
        yield
    except InputError as error:
        raise FileError(
            expected("path", f"{path} ({error})", "a file with valid arrays")
        ) from error


def _names(arrays: Arrays) -> str:
    return f"the arrays {sorted(arrays)}"


def _array(path: str | os.PathLike[str], arrays: Arrays, name: str) -> Array:
    if name not in arrays:
        given = f"{path} with {_names(arrays)}"
        raise FileError(expected("path", given, f"a file with an array {name!r}"))
    return arrays[name]


def _stored(path: str | os.PathLike[str], arrays: Arrays, name: str) -> Any:
    """One number above 0 from the file, or None if the file does not have it."""
    if name not in arrays:
        return None
    value = arrays[name]
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < value.item() < math.inf:
        given = f"{path} with {name} {value}"
        raise FileError(expected("path", given, f"one number above 0 as {name!r}"))
    return value.item()


def _stored_dt(path: str | os.PathLike[str], arrays: Arrays) -> float | None:
    microseconds = _stored(path, arrays, "dt_us")
    seconds = _stored(path, arrays, "dt") if microseconds is None else microseconds * 1e-6
    return None if seconds is None else float(seconds)


def _shape(path: str | os.PathLike[str], arrays: Arrays, given: Shape | None) -> Shape:
    n_inputs = _stored(path, arrays, "n_inputs")
    if "input_shape" in arrays:
        with _blaming(path):
            stored = shape_of(arrays["input_shape"])
    elif n_inputs is None:
        stored = _needed("input_shape", given)
    else:
        with _blaming(path):
            whole = int(n_inputs) if float(n_inputs).is_integer() else n_inputs
            stored = (count_of("n_inputs", whole),)
    return _agreed_shape(path, given, stored)


def _agreeing(
    path: str | os.PathLike[str],
    batch: SpikeBatch,
    dt: float | None,
    n_timesteps: int | None,
    shape: Shape | None,
) -> SpikeBatch:
    """Check a batch against the arguments; take from them a dt it lacks and an equivalent shape."""
    step = _agreed("dt", dt, batch.dt)
    _agreed("n_timesteps", n_timesteps, batch.n_timesteps)
    return replace(batch, input_shape=_agreed_shape(path, shape, batch.input_shape), dt=step)


def _agreed_shape(path: str | os.PathLike[str], given: Shape | None, stored: Shape) -> Shape:
    """The requested shape if it is the file's, ignoring axes of size 1, or either one is flat."""
    if given is None:
        return stored
    longer = [[size for size in shape if size > 1] for shape in (given, stored)]
    same = longer[0] == longer[1] or min(map(len, longer)) <= 1
    if not same or math.prod(given) != math.prod(stored):
        message = expected("input_shape", str(given), f"{stored}, that of {path}")
        raise DifferentShapeError(message, stored)
    return given


def _agreed(argument: str, given: Any, stored: Any) -> Any:
    if given is not None and stored is not None and not math.isclose(given, stored):
        raise InputError(expected(argument, repr(given), f"{stored}, which the file says"))
    return given if stored is None else stored


def _needed(argument: str, value: Any) -> Any:
    if value is None:
        raise InputError(expected(argument, "None", "a value, as the file does not say it"))
    return value


def _labels(
    path: str | os.PathLike[str],
    arrays: Arrays,
    name: str | None,
    batch: SpikeBatch,
    *,
    swapped: bool = False,
) -> npt.NDArray[np.int64] | None:
    if name is None:
        names = [each for each in LABELS if each in arrays]
        if len(names) > 1:
            given = f"None for {path} with the arrays {names}"
            raise InputError(expected("label", given, "the name of one of them"))
        if not names:
            return None
        name = names[0]
    with _blaming(path):
        labels = integers_of(name, _array(path, arrays, name))
        if labels.size != len(batch):
            accepted = f"one class for each of {counted(len(batch), 'sample')}"
            if labels.size == batch.n_timesteps and "x" in arrays:
                other = "without batch_first" if swapped else "with batch_first"
                accepted += f"; {other} there are {batch.n_timesteps} of them"
            raise InputError(expected(name, counted(labels.size, "class", "classes"), accepted))
        # As an int: NumPy before 2 compares its uint64 with it as floats.
        if int(labels.max(initial=0)) > np.iinfo(np.int64).max:
            raise InputError(expected(name, str(labels.max()), "classes below 2**63"))
    return labels.astype(np.int64)
