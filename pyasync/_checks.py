"""Checks that arguments of several functions share, each wording its error in one place."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pyasync.errors import ArgumentError, expected

Choice = TypeVar("Choice", bound="str | None")


def integer(
    error: type[ArgumentError],
    argument: str,
    given: Any,
    minimum: int = 0,
    accepted: str | None = None,
) -> int:
    """Return `given` as an int from `minimum` to 2**64 - 1; a bool or a float is no integer."""
    try:
        number = operator.index(given)
    except TypeError:
        number = minimum - 1
    if isinstance(given, (bool, np.bool_)) or not minimum <= number < 2**64:
        range_of = f"an integer of {minimum} or more" + (", below 2**64" if number >= 2**64 else "")
        raise error(expected(argument, repr(given), accepted or range_of))
    return number


def real(
    error: type[ArgumentError], argument: str, given: Any, accepted: str, *, positive: bool = True
) -> float:
    """Return `given` as a finite float above 0, or of 0 or more without `positive`."""
    number = isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(
        given, bool
    )
    if not number or not (np.isfinite(given) and (given > 0 or (given == 0 and not positive))):
        raise error(expected(argument, repr(given), accepted))
    return float(given)


def choice(
    error: type[ArgumentError], argument: str, given: Choice, accepted: Sequence[Choice]
) -> Choice:
    """Return `given` if it is one of `accepted`."""
    if not (given is None or isinstance(given, str)) or given not in accepted:
        raise error(expected(argument, repr(given), ", ".join(map(repr, accepted))))
    return given


def numbers(
    error: type[ArgumentError], argument: str, given: Any, accepted: str
) -> npt.NDArray[np.floating[Any]]:
    """Return `given` as an array of real numbers: float32 stays so, anything else is float64."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise error(expected(argument, f"{type(given).__name__} ({cause})", accepted)) from cause
    if array.dtype.kind not in "biuf":
        given = f"an array of {array.dtype}"
        raise error(expected(argument, given, f"real numbers, {accepted}"))
    return array if array.dtype == np.float32 else array.astype(np.float64)


def finite(error: type[ArgumentError], argument: str, array: npt.NDArray[Any]) -> None:
    """Refuse an array that holds NaN or an infinity."""
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        given = f"{array[index]} at index {index[0] if len(index) == 1 else index}"
        raise error(expected(argument, given, "finite numbers"))


def positions(argument: str, index: Any, n: int) -> npt.NDArray[np.int64]:
    """Positions in `0 .. n - 1` that an int, slice, array of positions or mask selects."""
    try:
        chosen = np.atleast_1d(np.arange(n)[index])
    except (IndexError, TypeError, ValueError) as cause:
        accepted = f"positions from {-n} to {n - 1}, a slice or a mask of {n}"
        raise ArgumentError(expected(argument, repr(index), accepted)) from cause
    return chosen
