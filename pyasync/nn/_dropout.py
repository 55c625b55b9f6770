"""Input dropout: leave out input spikes at random in training."""

from __future__ import annotations

import math

import numpy as np
import torch

from pyasync._events import starts_of
from pyasync.events import SpikeBatch
from pyasync.nn._limits import numbers

#: Inputs with at most this fraction of non-zero entries are faster to handle as lists of events.
SPARSE = 0.25


def drop(
    x: torch.Tensor | SpikeBatch, p: float, seed: int, dtype: torch.dtype
) -> torch.Tensor | SpikeBatch:
    """Leave out each input spike with probability `p`; scale the others by 1 / (1 - p).

    The same seed leaves out the same spikes, whether `x` is a SpikeBatch or a sparse tensor on the
    CPU that needs no gradient. Other tensors stay tensors and draw one random number per entry, 0
    or not, so the spikes left out may differ.
    """
    chance = np.random.Generator(np.random.SFC64(seed))
    if isinstance(x, torch.Tensor):
        events = None if x.requires_grad or x.device.type != "cpu" else _events(x)
        if events is None:
            kept = chance.random(tuple(x.shape), np.float32) >= p
            factor = torch.from_numpy(kept).to(x.device, dtype) / (1 - p)
            return x.to(dtype) * factor
        x = events
    kept = chance.random(x.n_events, np.float32) >= p
    before = starts_of(kept)
    scale = 1 / (1 - p)
    if x.multiplicity is None:
        multiplicity = np.full(before[-1], scale)
    else:
        multiplicity = x.multiplicity[kept] * scale
    return x._like(x.channel[kept], before[x.offsets], multiplicity)


def _events(x: torch.Tensor) -> SpikeBatch | None:
    """The non-zero entries as events; None if there are many or `x` is not a batch."""
    if x.ndim < 3 or 0 in x.shape:
        return None
    n_timesteps, n_samples, *shape = x.shape
    n_inputs = math.prod(shape)
    dense = numbers(x).reshape(n_timesteps, n_samples, n_inputs)
    spikes = dense if dense.dtype == np.bool_ else dense != 0
    at = np.flatnonzero(np.ascontiguousarray(spikes.swapaxes(0, 1)))
    if at.size > SPARSE * dense.size:
        return None
    starts = np.arange(n_timesteps * n_samples + 1) * n_inputs
    offsets = np.searchsorted(at, starts)
    segment = np.repeat(np.arange(starts.size - 1), np.diff(offsets))
    channel = at - segment * n_inputs
    sample, timestep = np.divmod(segment, n_timesteps)
    multiplicity = None if dense.dtype == np.bool_ else dense[timestep, sample, channel]
    return SpikeBatch(channel, offsets, n_timesteps, shape, multiplicity)
