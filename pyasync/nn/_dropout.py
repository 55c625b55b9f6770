"""Input dropout: input spikes that are left out at random in training."""

from __future__ import annotations

import math

import numpy as np
import torch

from pyasync._events import starts_of
from pyasync.events import SpikeBatch
from pyasync.nn._limits import numbers

#: Inputs with fewer entries than this that are not 0 are quicker as lists of events.
SPARSE = 0.25


def drop(
    x: torch.Tensor | SpikeBatch, p: float, seed: int, dtype: torch.dtype
) -> torch.Tensor | SpikeBatch:
    """Leave out each input spike with probability `p`; the others count 1 / (1 - p) times.

    The same spikes and seed leave out the same ones, given as SpikeBatch or as a tensor that has
    few of them, wants no gradient and is on the CPU. Other tensors stay tensors: each of their
    entries, 0 or not, draws a random number of its own.
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
    """The entries that are not 0, or None where they are many or `x` is no batch."""
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
