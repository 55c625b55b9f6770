"""Dense arrays of input: as the engine reads them, and the events in them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import aligned, thread_count


def readable(dense: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Bring an array [T, B, *input_shape] of real numbers into the form that the engine reads.

    Parameters
    ----------
    dense : array [T, B, *input_shape]
        Of any dtype of kind "biuf"; copied only where the engine cannot read it.
    dtype : dtype
        What the entries will be rounded to, float32 or float64.

    Returns
    -------
    array [T, B, n_inputs] of uint8, float32 or float64
        C-contiguous, or a view of an array [B, T, n_inputs] that is.
    """
    if dense.dtype == np.bool_:
        dense = dense.view(np.uint8)
    elif dense.dtype not in (np.uint8, np.float32):
        # Convert wide integers and long doubles directly: via float64 they would be rounded twice.
        exact = dense.dtype.itemsize < 8 or dense.dtype == np.float64
        with np.errstate(over="ignore"):
            dense = dense.astype(np.float64 if exact else dtype)
    by_sample = dense.swapaxes(0, 1).flags
    if not (by_sample.c_contiguous and by_sample.aligned):
        dense = aligned(dense, dense.dtype)
    return dense.reshape(*dense.shape[:2], -1)


def events_in(
    dense: npt.NDArray[Any],
    dtype: npt.DTypeLike,
    most: int = sys.maxsize,
    threads: int | None = None,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.float64] | None] | None:
    """Find the entries of an array [T, B, *input_shape] that are not 0 when rounded to `dtype`.

    Returns
    -------
    channel, offsets, multiplicity : arrays as a `SpikeBatch` holds them, or None
        None if there are more than `most`; a multiplicity of None means 1 for every event.

    Raises
    ------
    InputError
        If an entry is not finite in `dtype`.
    """
    name = np.dtype(dtype).name
    found = _core.to_events(readable(dense, dtype), name, most, thread_count(threads))
    if found is None:
        return None
    channel, offsets, multiplicity = found
    return channel, offsets, None if multiplicity is None else multiplicity.astype(np.float64)
