"""Argument checks shared by several functions, so that each error is worded in one place."""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pyasync._wording import counted
from pyasync.errors import ArgumentError, InputError, PyasyncError, expected

Choice = TypeVar("Choice", bound="str | None")


def integer(
    error: type[ArgumentError],
    argument: str,
    given: Any,
    minimum: int = 0,
    accepted: str | None = None,
) -> int:
    """Return `given` as an int from `minimum` to 2**64 - 1; bools and floats are refused."""
    try:
        number = operator.index(given)
    except TypeError:
        number = minimum - 1
    if isinstance(given, (bool, np.bool_)) or not minimum <= number < 2**64:
        range_of = f"an integer of {minimum} or more" + (", below 2**64" if number >= 2**64 else "")
        raise error(expected(argument, shown(given), accepted or range_of))
    return number


def real(
    error: type[ArgumentError],
    argument: str,
    given: Any,
    accepted: str,
    *,
    positive: bool = True,
    most: float = math.inf,
) -> float:
    """Return `given` as a finite float above 0 (or 0 if not `positive`), at most `most`."""
    number = math.nan
    if isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool):
        with suppress(OverflowError):
            number = float(given)
    if not (math.isfinite(number) and 0 <= number <= most) or (positive and number == 0):
        raise error(expected(argument, shown(given), accepted))
    return number


def thread_count(given: Any) -> int:
    """Return `given` as a number of threads; None means one per core that the process may use."""
    if given is not None:
        return integer(InputError, "threads", given, 1)
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def seconds(error: type[ArgumentError], argument: str, given: Any) -> float:
    """Return `given`, a length of time in seconds, as a finite float above 0."""
    return real(error, argument, given, "seconds, finite and above 0")


def amount(error: type[ArgumentError], argument: str, given: Any) -> float:
    """Return `given` as a finite float of 0 or more."""
    return real(error, argument, given, "a finite number of 0 or more", positive=False)


def fraction(
    error: type[ArgumentError], argument: str, given: Any, *, below_one: bool = False
) -> float:
    """Return `given` as a float from 0 to 1, such as a probability; excludes 1 if `below_one`."""
    accepted = "a number of 0 or more, below 1" if below_one else "a number from 0 to 1"
    most = math.nextafter(1.0, 0.0) if below_one else 1.0
    return real(error, argument, given, accepted, positive=False, most=most)


def flag(error: type[ArgumentError], argument: str, given: Any) -> bool:
    """Return `given` as a bool; merely truthy or falsy values such as "no" are refused."""
    if not isinstance(given, (bool, np.bool_)):
        raise error(expected(argument, shown(given), "True or False"))
    return bool(given)


def callback(error: type[ArgumentError], argument: str, given: Any) -> None:
    """Refuse a callback that is not callable, rather than fail after hours of work."""
    if given is not None and not callable(given):
        raise error(expected(argument, shown(given), "a function of one argument, or None"))


def choice(
    error: type[ArgumentError], argument: str, given: Choice, accepted: Sequence[Choice]
) -> Choice:
    """Return `given` if it is one of `accepted`."""
    if not (given is None or isinstance(given, str)) or given not in accepted:
        raise error(expected(argument, shown(given), ", ".join(map(repr, accepted))))
    return given


def entries(error: type[PyasyncError], argument: str, given: Any, accepted: str) -> Iterator[Any]:
    """Iterate over `given`; errors that its iterator raises later are passed on unchanged."""
    try:
        return iter(given)
    except TypeError as cause:
        raise error(expected(argument, shown(given), accepted)) from cause


def is_masked(given: Any) -> bool:
    """Whether `given` is a masked array."""
    # Where numpy.ma is not imported nothing is masked, and `import pyasync` is to be quick.
    ma = sys.modules.get("numpy.ma")
    return ma is not None and isinstance(given, ma.MaskedArray)


def array(
    error: type[PyasyncError],
    argument: str,
    given: Any,
    accepted: str,
    dtype: npt.DTypeLike | None = None,
) -> npt.NDArray[Any]:
    """Return `given` as an array; masked arrays are refused, since the mask would be lost.

    So is what NumPy cannot read: ragged lists, and tensors that are not on the CPU. A tensor that
    requires a gradient is read without it.
    """
    if is_masked(given):
        raise error(expected(argument, "a masked array", f"{accepted}, without a mask"))
    try:
        # Known by its attribute, since PyTorch is not to be imported here.
        if getattr(given, "requires_grad", False) is True:
            given = given.detach()
        return np.asarray(given, dtype)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise error(expected(argument, f"{type(given).__name__} ({cause})", accepted)) from cause


def numbers(
    error: type[ArgumentError],
    argument: str,
    given: Any,
    accepted: str,
    dtype: npt.DTypeLike | None = None,
) -> npt.NDArray[Any]:
    """Copy `given` to a read-only array of real numbers, so that a network cannot change later.

    The result has `dtype` if given; otherwise float32 stays float32 and all else becomes float64.
    """
    read = array(error, argument, given, accepted)
    if read.dtype.kind not in "biuf":
        given = f"an array of {read.dtype}"
        raise error(expected(argument, given, f"real numbers, {accepted}"))
    usual = np.float32 if read.dtype == np.float32 else np.float64
    copy = np.array(read, usual if dtype is None else dtype)
    copy.flags.writeable = False
    return copy


def aligned(
    values: npt.ArrayLike, dtype: npt.DTypeLike, *, contiguous: bool = True
) -> npt.NDArray[Any]:
    """Return the array as the engine reads it: of that dtype, aligned and, by default, C-order."""
    if isinstance(values, np.ndarray) and values.dtype == dtype:
        flags = values.flags  # `np.require` checks the same, but takes ten times as long
        if flags.aligned and (flags.c_contiguous or not contiguous):
            return values
    return np.require(values, dtype, ["C", "A"] if contiguous else ["A"])


def signed(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Integers as int64; large unsigned values are clipped rather than wrapped around."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        values = np.minimum(values, np.uint64(2**62))
    return values.astype(np.int64)


def shown(given: Any) -> str:
    """Format a value for a message, even if it is very long or cannot be printed."""
    try:
        text = repr(given)
    except Exception:
        text = f"a {type(given).__name__} that cannot be printed"
    return text if len(text) <= 200 else f"{text[:200]}…"


def finite(error: type[ArgumentError], argument: str, values: npt.NDArray[Any]) -> None:
    """Refuse an array that holds NaN or an infinity."""
    bad = ~np.isfinite(values)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        given = f"{values[index]} at index {index[0] if len(index) == 1 else index}"
        raise error(expected(argument, given, "finite numbers"))


def samples_of(
    error: type[ArgumentError], argument: str, index: Any, n: int
) -> npt.NDArray[np.int64]:
    """Positions that an int, slice, index array or boolean mask selects from `n` samples."""
    accepted = f"an int, slice, index array or boolean mask over {counted(n, 'sample')}"
    if not isinstance(index, slice):
        chosen = array(error, argument, index, accepted)
        is_mask = chosen.dtype.kind == "b" and chosen.shape == (n,)
        integral = chosen.dtype.kind in "iu" and chosen.ndim <= 1
        if not (is_mask or integral or chosen.shape == (0,)):
            raise error(expected(argument, shown(index), accepted))
        chosen = chosen if is_mask else signed(chosen)
    try:
        return np.atleast_1d(np.arange(n)[index if isinstance(index, slice) else chosen])
    except (IndexError, TypeError, ValueError, OverflowError) as cause:
        raise error(expected(argument, shown(index), accepted)) from cause
