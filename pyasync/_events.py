"""Check events, bin them, and bring them into the canonical form of a `SpikeBatch`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import array, integer, seconds, shown
from pyasync.errors import InputError, expected

MAX_INPUTS = 2**31 - 1
# The offsets of this many segments take 2 GiB.
MAX_SEGMENTS = 2**28
_MOST_AXES = 64  # NumPy's own limit
_LATEST = np.uint64(2**40)
# Of a timestep and a unit of time, either way: beyond, times are no floats.
_MOST_RATIO = 10**100


def canonical(
    channel: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None,
    n_inputs: int,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    """Sort and merge events as `SpikeBatch` requires; not copied if they already are.

    Parameters
    ----------
    channel : uint32 [n_events]
    offsets : int64 [n_segments + 1]
    weights : float64 [n_events], or None
        Multiplicities; None means 1 for every event.
    n_inputs : int

    Returns
    -------
    channel, offsets, weights : arrays of the same types
        `weights` is always an array if events had to be sorted, merged or dropped.
    """
    n_segments = offsets.size - 1
    ascends = channel[1:] > channel[:-1]
    starts = offsets[1:-1]
    ascends[starts[(starts > 0) & (starts < channel.size)] - 1] = True
    if bool(ascends.all()) and (weights is None or bool(np.all(weights != 0))):
        return channel, offsets, weights
    key = np.repeat(np.arange(n_segments), np.diff(offsets)) * n_inputs + channel
    if weights is None:
        key.sort()
    else:
        order = np.argsort(key, kind="stable")
        key, weights = key[order], weights[order]
    first = np.ones(key.size, bool)
    np.not_equal(key[1:], key[:-1], out=first[1:])
    # bincount adds in array order, so equal batches give the same bits.
    merged = np.bincount(first.cumsum() - 1, weights, minlength=0).astype(np.float64)
    if not np.isfinite(merged).all():
        given = "duplicates of a channel that add up to infinity"
        raise InputError(expected("multiplicity", given, "a finite sum for each channel"))
    key, merged = key[first][merged != 0], merged[merged != 0]
    counts = np.bincount(key // n_inputs, minlength=n_segments)
    return (key % n_inputs).astype(np.uint32), starts_of(counts), merged


def starts_of(sizes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Start offsets of consecutive parts with these sizes [n], and the end of the last: [n + 1]."""
    sizes = np.asarray(sizes)
    starts = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, dtype=np.int64, out=starts[1:])
    return starts


def binned(
    events: Sequence[npt.NDArray[Any]],
    sensor_size: tuple[int, int, int],
    dt: float,
    n_timesteps: int | None,
    time_unit: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, tuple[int, ...]]:
    """Bin recordings into timesteps; return channel, offsets, n_timesteps and input shape."""
    if not isinstance(sensor_size, (tuple, list)) or len(sensor_size) != 3:
        accepted = "(width, height, polarities)"
        raise InputError(expected("sensor_size", repr(sensor_size), accepted))
    width, height, polarities = (count_of("sensor_size", size) for size in sensor_size)
    ticks = ticks_of(seconds_of("dt", dt), seconds_of("time_unit", time_unit))
    fields = _fields(events)
    rows = height if "y" in fields else 1
    flat = np.zeros(sum(array.size for array in events), np.int64)
    for name, extent, stride in (
        ("p", polarities, rows * width),
        ("y", rows, width),
        ("x", width, 1),
    ):
        if name not in fields or (name == "p" and polarities == 1):
            continue
        values = _column(events, name, "biu").astype(np.int64)
        if name == "p" and polarities == 2:
            values[values == -1] = 0
        if values.size and (values.min() < 0 or values.max() >= extent):
            worst = values.min() if values.min() < 0 else values.max()
            raise InputError(expected("events", f"{name}={worst}", f"{name} in 0 .. {extent - 1}"))
        flat += values * stride
    when = timesteps_of("events", _column(events, "t", "iuf"), ticks)
    last = int(when.max(initial=0))
    length = last + 1 if n_timesteps is None else count_of("n_timesteps", n_timesteps)
    accepted = f"at most {MAX_SEGMENTS} in all: are dt and time_unit right?"
    check_segments(length, len(events), accepted=accepted)
    sample = np.repeat(np.arange(len(events)), [array.size for array in events])
    kept = when < length
    segment = (sample * length + when)[kept]
    channel, offsets = by_segment(flat[kept], segment, len(events) * length)
    shape: tuple[int, ...] = (polarities, height, width)
    if "y" not in fields:
        shape = (width,) if polarities == 1 else (polarities, width)
    return channel, offsets, length, shape


def by_segment(
    channel: npt.NDArray[Any], segment: npt.NDArray[np.int64], n_segments: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Order events by segment (sample and timestep); return channel and offsets."""
    if segment.size and not bool(np.all(segment[1:] >= segment[:-1])):
        channel = channel[np.argsort(segment, kind="stable")]
    return channel, starts_of(np.bincount(segment, minlength=n_segments))


def _fields(events: Sequence[npt.NDArray[Any]]) -> set[str]:
    accepted = "a sequence of structured arrays with fields t, x[, y][, p], alike in all"
    if not all(isinstance(array, np.ndarray) and array.dtype.names for array in events):
        raise InputError(expected("events", "an entry without named fields", accepted))
    names = {frozenset(array.dtype.names or ()) for array in events} or {frozenset("tx")}
    if len(names) > 1 or not {"t", "x"} <= (fields := set(next(iter(names)))):
        given = " and ".join(sorted(str(sorted(each)) for each in names))
        raise InputError(expected("events", f"fields {given}", accepted))
    return fields


def _column(events: Sequence[npt.NDArray[Any]], name: str, kinds: str) -> npt.NDArray[Any]:
    columns = [array[name] for array in events]
    # NumPy would concatenate uint64 and signed integers as floats. Clipping to int64 is harmless:
    # values beyond it are out of range anyway.
    columns = [
        np.minimum(each, np.uint64(2**63 - 1)).astype(np.int64)
        if each.dtype.kind == "u" and each.dtype.itemsize == 8
        else each
        for each in columns
    ]
    column: npt.NDArray[Any] = np.concatenate([np.zeros(0, np.int8), *columns])
    if column.dtype.kind not in kinds or not np.isfinite(column).all():
        accepted = "integers" if "f" not in kinds else "integers or finite real numbers"
        raise InputError(expected("events", f"{name} of dtype {column.dtype}", accepted))
    return column


def ticks_of(dt: float, time_unit: float) -> Fraction:
    """Time units per timestep, computed from decimal values: 2.5e-6 / 1e-6 is not 2.5 in floats.

    A result within rounding error of a simple ratio, as with 0.1 + 0.2 or 1 / 3, is that ratio.
    """
    ticks = Fraction(repr(float(dt))) / Fraction(repr(float(time_unit)))
    if not 1 <= ticks * _MOST_RATIO <= _MOST_RATIO**2:
        accepted = f"at most {_MOST_RATIO:g} times as much, or as little, as {time_unit:g} s"
        raise InputError(expected("dt", dt, accepted))
    simple = ticks.limit_denominator(1000)
    return simple if abs(simple - ticks) <= ticks / 10**9 else ticks


def timesteps_of(argument: str, t: npt.NDArray[Any], ticks: Fraction) -> npt.NDArray[np.int64]:
    if t.size and t.min() < 0:
        raise InputError(expected(argument, f"t={t.min()}", "t of at least 0"))
    step: npt.NDArray[Any]
    largest = max(int(t.max(initial=1)) * ticks.denominator, ticks.numerator)
    if t.dtype.kind != "f" and largest < 2**64:
        times = t.astype(np.uint64) * np.uint64(ticks.denominator)
        step = np.minimum(times // np.uint64(ticks.numerator), _LATEST)
    else:
        t = t.astype(np.float64)  # a float16 has only 11 bits to hold a timestep's number
        length = float(ticks)
        step = np.minimum(np.floor(t / length), float(_LATEST))
        # Correct for rounding: 0.29 / 0.01 is 28.999…, though timestep 29 begins at 0.29.
        step += (step + 1) * length <= t
        step -= step * length > t
    return step.astype(np.int64)


def shape_of(given: Any) -> tuple[int, ...]:
    # An array of no bytes may have rows or items without number, which a list has no room for.
    if isinstance(given, np.ndarray) and given.ndim < 2 and given.size <= _MOST_AXES:
        given = given.tolist()
    sizes = tuple(given) if isinstance(given, Sequence) else (given,)
    shape = tuple(count_of("input_shape", size) for size in sizes)
    if not shape or math.prod(shape) > MAX_INPUTS:
        accepted = f"one axis or more, at most {MAX_INPUTS} channels in all"
        raise InputError(expected("input_shape", repr(given), accepted))
    return shape


def count_of(argument: str, given: Any) -> int:
    return integer(InputError, argument, given, 1)


def check_segments(
    n_timesteps: int,
    n_samples: int,
    argument: str = "n_timesteps",
    accepted: str = f"at most {MAX_SEGMENTS} in all: is dt right?",
) -> None:
    """Refuse implausibly many timesteps before memory is allocated for them."""
    if n_timesteps * n_samples > MAX_SEGMENTS:
        given = f"{n_timesteps} timesteps for each of {n_samples} samples"
        raise InputError(expected(argument, given, accepted))


def seconds_of(argument: str, given: Any) -> float:
    return seconds(InputError, argument, given)


def _array(argument: str, given: Any, kinds: str, ndim: int | None, accepted: str) -> Any:
    read = array(InputError, argument, given, accepted)
    if ndim is not None and read.ndim != ndim:
        raise InputError(expected(argument, f"shape {read.shape}", accepted))
    if read.dtype.kind not in kinds and read.size:
        raise InputError(expected(argument, f"dtype {read.dtype}", accepted))
    return read if read.dtype.kind in kinds else np.zeros(read.shape, np.int64)


def integers_of(argument: str, given: Any) -> npt.NDArray[Any]:
    integers: npt.NDArray[Any] = _array(argument, given, "iu", 1, "a 1-D array of integers")
    return integers


def reals_of(argument: str, given: Any, ndim: int | None = 1) -> npt.NDArray[Any]:
    accepted = "finite real numbers" if ndim is None else f"a {ndim}-D array of finite real numbers"
    reals: npt.NDArray[Any] = _array(argument, given, "biuf", ndim, accepted)
    if reals.dtype.kind == "f" and not np.isfinite(reals).all():
        raise InputError(expected(argument, "NaN or infinity", accepted))
    return reals


def held(multiplicity: Any, dtype: npt.DTypeLike) -> Any:
    """Multiplicities in another dtype: floats are rounded, bool only marks where spikes are."""
    accepted = "a dtype that holds the multiplicities, such as float64"
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as cause:
        raise InputError(expected("dtype", shown(dtype), accepted)) from cause
    fits = kind.kind in "biufcO"
    if fits:
        with np.errstate(over="ignore", invalid="ignore"):
            values = multiplicity.astype(kind)
        if kind.kind in "iu":
            fits = np.array_equal(values, multiplicity)
        elif kind.kind in "fc":
            fits = bool(np.isfinite(values).all())
    if not fits:
        raise InputError(expected("dtype", str(kind), accepted))
    return values
