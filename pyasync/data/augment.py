"""Augmentation: random changes to a batch that leave the samples' classes unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import integer, shown
from pyasync._events import starts_of
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch


def shift(
    batch: SpikeBatch, channels: int | Sequence[int], timesteps: int, seed: int
) -> SpikeBatch:
    """Shift each sample by a random number of channels and timesteps.

    Shifts are drawn independently and uniformly from the integers `-channels` to `channels` (per
    axis) and `-timesteps` to `timesteps`. Events shifted beyond the channels or timesteps are
    dropped; multiplicities move with their events. The shift of the sample at position `i` depends
    only on `seed` and `i`, so use a different seed for every batch of a training.

    Parameters
    ----------
    batch : SpikeBatch
    channels : int or (int, int)
        Largest shift along the last axis of the input shape, such as 20 of 700 channels; or along
        the last two axes, `(dy, dx)`, such as (2, 2) for input shape (2, 34, 34). Other axes, such
        as the polarity, are not shifted.
    timesteps : int
        Largest shift in time, in timesteps.
    seed : int
        0 .. 2**64 - 1.

    Returns
    -------
    shifted : SpikeBatch
        With the same samples, timesteps, input shape and dt.

    Raises
    ------
    InputError
        If an argument is not as described, or the input shape has fewer axes than `channels`.

    Examples
    --------
    >>> import pyasync as pa
    >>> batch = pa.SpikeBatch([2, 3] * 2, [0, 2, 2, 4, 4], n_timesteps=2, input_shape=6)
    >>> moved = pa.data.shift(batch, channels=2, timesteps=0, seed=4)
    >>> [sample.channel.tolist() for sample in moved]
    [[0, 1], [4, 5]]
    """
    if not isinstance(batch, SpikeBatch):
        raise InputError(expected("batch", f"a {type(batch).__name__}", "a SpikeBatch"))
    furthest = _furthest(batch, channels)
    furthest.append(integer(InputError, "timesteps", timesteps))
    drawn = _shifts(batch.n_samples, furthest, integer(InputError, "seed", seed))
    by_axis, later = drawn[:, :-1], drawn[:, -1]

    extents = batch.input_shape[-by_axis.shape[1] :]
    strides = np.cumprod([1, *extents[:0:-1]])[::-1]
    n_timesteps = batch.n_timesteps
    starts = batch.offsets[::n_timesteps]
    sizes = starts[1:] - starts[:-1]
    # All events of a sample shift alike, so they keep their order and need no sorting. Negative
    # numbers wrap around to large ones, so one comparison checks both ends of an axis.
    moved = batch.channel + np.repeat((by_axis @ strides).astype(np.uint32), sizes)
    positions = np.unravel_index(np.arange(batch.n_inputs), batch.input_shape)[-len(extents) :]
    inside = np.ones(moved.size, bool)
    for position, extent, by in zip(positions, extents, by_axis.T, strict=True):
        # With a single axis the channel is the position, which saves a look-up for every event.
        moved_on_axis = moved
        if len(batch.input_shape) > 1:
            moved_on_axis = position.astype(np.uint32)[batch.channel]
            moved_on_axis += np.repeat(by.astype(np.uint32), sizes)
        inside &= moved_on_axis < extent

    timestep = np.arange(n_timesteps) + later[:, None]
    stays = (timestep >= 0) & (timestep < n_timesteps)
    inside &= np.repeat(stays.ravel(), np.diff(batch.offsets))
    kept = np.flatnonzero(inside)
    ends = np.searchsorted(kept, batch.offsets)
    counts = np.zeros((batch.n_samples, n_timesteps), np.int64)
    sample = np.broadcast_to(np.arange(batch.n_samples)[:, None], stays.shape)
    counts[sample[stays], timestep[stays]] = np.diff(ends).reshape(stays.shape)[stays]
    weights = None if batch.multiplicity is None else batch.multiplicity[kept]
    return batch._like(moved[kept], starts_of(counts.ravel()), weights)


def _furthest(batch: SpikeBatch, channels: Any) -> list[int]:
    axes = list(channels) if isinstance(channels, (Sequence, np.ndarray)) else [channels]
    n_axes = len(batch.input_shape)
    if isinstance(channels, str) or not 1 <= len(axes) <= min(2, n_axes):
        accepted = "an integer" + (" or (dy, dx)" if n_axes > 1 else "")
        given = f"{shown(channels)} for input shape {batch.input_shape}"
        raise InputError(expected("channels", given, accepted))
    return [integer(InputError, "channels", each) for each in axes]


def _shifts(n_samples: int, furthest: list[int], seed: int) -> npt.NDArray[np.int64]:
    """Integers from `-furthest` to `furthest`: one row per sample, from one Philox stream."""
    # A shift of 2**31 moves everything out of any batch; up to it, float64 and int64 are exact.
    most = np.minimum(np.array(furthest, np.float64), 2.0**31)
    random = np.random.Philox(key=seed).random_raw(n_samples * len(furthest))
    uniform = (random >> np.uint64(11)).reshape(n_samples, len(furthest)) * 2.0**-53
    shifts: npt.NDArray[np.float64] = np.floor(uniform * (2 * most + 1)) - most
    return shifts.astype(np.int64)
