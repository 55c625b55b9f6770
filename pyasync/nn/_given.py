"""The input of a model's call: a tensor if it gets a gradient, else as events if they are few."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pyasync._checks import is_masked
from pyasync._dense import events_in
from pyasync._input import check_axes
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.nn._dropout import drop
from pyasync.nn._limits import numbers, numpy_dtype

#: Inputs with at most this fraction of non-zero entries take less room as lists of events, and less
#: time if they are read more than once.
SPARSE = 0.25


def prepared(
    x: Any,
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
    *,
    batch_first: bool,
    dropout: float,
    seed: int,
    recorded: bool,
    threads: int | None,
) -> tuple[SpikeBatch | npt.NDArray[Any] | None, torch.Tensor | None]:
    """The input after dropout, as (array or SpikeBatch, None) or (None, tensor).

    `dtype` and `device` are the model's. If the run is `recorded`, its backward reads the input
    again.
    """
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided or x.is_complex():
            given = f"a tensor of {x.dtype}, layout {x.layout}"
            raise InputError(expected("x", given, "a dense real tensor, or a pa.SpikeBatch"))
        x = x.to(device) if x.requires_grad else x
        x = _by_timestep(x, network, batch_first)
        x = x if x.dtype in (torch.bool, torch.uint8) else x.to(dtype)
    elif not isinstance(x, SpikeBatch):
        try:
            x = x if isinstance(x, np.ndarray) else np.asarray(x)
        except (TypeError, ValueError, RuntimeError):
            return x, None  # simulate says what is wrong with it
        x = _by_timestep(x, network, batch_first)
        if x.dtype.kind not in "biuf" or is_masked(x):
            return x, None
    if dropout or recorded:
        x = _as_events(x, network, dtype, threads)
    if dropout:
        x = drop(x, dropout, seed, dtype)
    return (None, x) if isinstance(x, torch.Tensor) else (x, None)


def samples_of(x: Any) -> int | None:
    """Number of samples of an input; None if it is not a valid input, which is refused later."""
    if isinstance(x, SpikeBatch):
        return x.n_samples
    return int(x.shape[1]) if getattr(x, "ndim", 0) > 1 else None


def _by_timestep(x: Any, network: Network, batch_first: bool) -> Any:
    """Move the axes to [T, B, ...]; an error states the shape as it was given."""
    if not batch_first or x.ndim < 2:
        return x
    check_axes(network, x.shape, batch_first=True)
    return x.swapaxes(0, 1)


def _as_events(
    x: SpikeBatch | npt.NDArray[Any] | torch.Tensor,
    network: Network,
    dtype: torch.dtype,
    threads: int | None,
) -> SpikeBatch | npt.NDArray[Any] | torch.Tensor:
    """The non-zero entries of `x`; `x` itself if they are many, get a gradient or are elsewhere."""
    if isinstance(x, SpikeBatch):
        return x
    if isinstance(x, torch.Tensor) and (x.requires_grad or x.device.type != "cpu"):
        return x
    check_axes(network, x.shape, batch_first=False)
    if 0 in x.shape:
        return x  # simulate refuses it
    dense = numbers(x) if isinstance(x, torch.Tensor) else x
    found = events_in(dense, numpy_dtype(dtype), int(SPARSE * dense.size), threads)
    return x if found is None else SpikeBatch._of(*found, x.shape[0], tuple(x.shape[2:]), None)
