"""Input dropout: leave out input spikes at random in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pyasync._events import starts_of
from pyasync.events import SpikeBatch
from pyasync.nn._limits import numpy_dtype


def drop(
    x: SpikeBatch | npt.NDArray[Any] | torch.Tensor, p: float, seed: int, dtype: torch.dtype
) -> SpikeBatch | torch.Tensor:
    """Leave out each input spike with probability `p`; scale the others by 1 / (1 - p).

    One random number is drawn for each event of a SpikeBatch and for each entry of an array or a
    tensor, 0 or not.
    """
    chance = np.random.Generator(np.random.SFC64(seed))
    if isinstance(x, SpikeBatch):
        kept = chance.random(x.n_events, np.float32) >= p
        before = starts_of(kept)
        scale = 1 / (1 - p)
        if x.multiplicity is None:
            multiplicity = np.full(before[-1], scale)
        else:
            multiplicity = x.multiplicity[kept] * scale
        return x._like(x.channel[kept], before[x.offsets], multiplicity)
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.array(x, numpy_dtype(dtype)))
    kept = chance.random(tuple(x.shape), np.float32) >= p
    factor = torch.from_numpy(kept).to(x.device, dtype) / (1 - p)
    return x.to(dtype) * factor
