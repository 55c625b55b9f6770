"""Losses on output counts and costs on spike counts, all differentiable."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pyasync._checks import amount, array, flag, real
from pyasync._wording import counted
from pyasync.errors import InputError, expected

__all__ = [
    "first_spike_cross_entropy",
    "latency_cross_entropy",
    "rate_cross_entropy",
    "spike_cost",
    "timestep_cross_entropy",
]

# The integer dtypes of PyTorch before 2.3, and those that later versions add.
INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64} | {
    getattr(torch, name) for name in ("uint16", "uint32", "uint64") if hasattr(torch, name)
}


def __dir__() -> list[str]:
    """Name what is public, and not what this module imports."""
    return sorted(__all__)


def rate_cross_entropy(
    counts: torch.Tensor, y: Any, scale: float = 0.3, *, batch_first: bool = False
) -> torch.Tensor:
    """Cross-entropy of the total counts: `cross_entropy(scale * counts.sum(0), y)`.

    Parameters
    ----------
    counts : tensor [T, B, n_outputs], or [B, T, n_outputs] with `batch_first`
    y : tensor or array of integers [B]
        Class of each sample, 0 .. n_outputs - 1.
    scale : float
        What one spike adds to a logit.
    batch_first : bool
        The order of the axes of `counts`, as in a model.

    Returns
    -------
    tensor, a scalar
        Mean over the samples.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> counts = torch.zeros(10, 2, 4)
    >>> pa.nn.functional.rate_cross_entropy(counts, [0, 3])
    tensor(1.3863)
    """
    counts, y = _checked(counts, y, batch_first)
    return nn.functional.cross_entropy(_positive("scale", scale) * counts.sum(0), y)


def timestep_cross_entropy(
    counts: torch.Tensor, y: Any, *, batch_first: bool = False
) -> torch.Tensor:
    """Cross-entropy of the counts of every timestep, averaged over timesteps and samples.

    The loss of the paper (arXiv 2408.05098).

    Parameters
    ----------
    counts : tensor [T, B, n_outputs], or [B, T, n_outputs] with `batch_first`
    y : tensor or array of integers [B]
        Class of each sample, 0 .. n_outputs - 1.
    batch_first : bool
        The order of the axes of `counts`, as in a model.

    Returns
    -------
    tensor, a scalar

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> counts = torch.zeros(10, 2, 4)
    >>> pa.nn.functional.timestep_cross_entropy(counts, [0, 3])
    tensor(1.3863)
    """
    return nn.functional.cross_entropy(*by_timestep(*_checked(counts, y, batch_first)))


def latency_cross_entropy(
    counts: torch.Tensor,
    y: Any,
    decay: float = 0.9,
    scale: float = 1.0,
    *,
    batch_first: bool = False,
) -> torch.Tensor:
    """Cross-entropy of counts in which later spikes weigh less.

    `cross_entropy(scale * sum_t decay**t * counts[t], y)`: a spike in the first timestep counts in
    full, and early spikes, right or wrong, change the loss more than late ones.

    Parameters
    ----------
    counts : tensor [T, B, n_outputs], or [B, T, n_outputs] with `batch_first`
    y : tensor or array of integers [B]
        Class of each sample, 0 .. n_outputs - 1.
    decay : float
        Factor by which a spike's weight falls per timestep, above 0 and at most 1.
    scale : float
        What a spike in the first timestep adds to a logit.
    batch_first : bool
        The order of the axes of `counts`, as in a model.

    Returns
    -------
    tensor, a scalar
        Mean over the samples.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> early, late = torch.zeros(2, 10, 1, 2).unbind()
    >>> early[0, 0, 1], late[9, 0, 1] = 1.0, 1.0
    >>> loss = pa.nn.functional.latency_cross_entropy
    >>> loss(early, [1]) < loss(late, [1])
    tensor(True)
    """
    counts, y = _checked(counts, y, batch_first)
    accepted = "a number above 0 and at most 1"
    decay = real(InputError, "decay", decay, accepted, most=1.0)
    steps = torch.arange(len(counts), device=counts.device, dtype=counts.dtype)
    logits = torch.einsum("t,tbn->bn", decay**steps, counts)
    return nn.functional.cross_entropy(_positive("scale", scale) * logits, y)


def first_spike_cross_entropy(
    counts: torch.Tensor, y: Any, scale: float = 1.0, *, batch_first: bool = False
) -> torch.Tensor:
    """Cross-entropy of the first-spike times of the output neurons: the first to fire decides.

    The time of the first spike is `tau = sum_t prod_{u <= t} (1 - min(counts[u], 1))`, the number
    of timesteps before it (T if there is none), and the loss is `cross_entropy(-scale * tau, y)`.
    An additional spike in an earlier timestep `u` would bring it forward: the derivative of `tau`
    with respect to `counts[u]` is minus the number of timesteps saved. `min` is given the
    derivative 1.

    Parameters
    ----------
    counts : tensor [T, B, n_outputs], or [B, T, n_outputs] with `batch_first`
    y : tensor or array of integers [B]
        Class of each sample, 0 .. n_outputs - 1.
    scale : float
        What firing one timestep earlier adds to a logit.
    batch_first : bool
        The order of the axes of `counts`, as in a model.

    Returns
    -------
    tensor, a scalar
        Mean over the samples.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> counts = torch.zeros(10, 1, 2)
    >>> counts[2, 0, 0] = counts[5, 0, 1] = 1.0
    >>> loss = pa.nn.functional.first_spike_cross_entropy
    >>> loss(counts, [0]) < loss(counts, [1])
    tensor(True)
    """
    counts, y = _checked(counts, y, batch_first)
    once = counts + (counts.clamp(max=1) - counts).detach()
    tau = torch.cumprod(1 - once, dim=0).sum(0)
    return nn.functional.cross_entropy(-_positive("scale", scale) * tau, y)


def spike_cost(
    spike_counts: torch.Tensor, weight: float, target: float | None = None
) -> torch.Tensor:
    """Cost of spiking: `weight * max(mean spikes per sample - target, 0)`.

    Parameters
    ----------
    spike_counts : tensor [B, n_neurons]
        As `model(x, return_spike_counts=True)` returns it.
    weight : float
        Cost of one spike per sample, 0 or more.
    target : float, optional
        Spikes per sample that are free: below this there is no cost and no gradient. 0 if not
        given.

    Returns
    -------
    tensor, a scalar

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> spike_counts = torch.full((4, 100), 2.0)
    >>> pa.nn.functional.spike_cost(spike_counts, 1e-3, target=150)
    tensor(0.0500)
    """
    if not isinstance(spike_counts, torch.Tensor) or spike_counts.ndim != 2:
        raise InputError(expected("spike_counts", _what(spike_counts), "a tensor [B, n_neurons]"))
    weight = amount(InputError, "weight", weight)
    mean = spike_counts.sum(1).mean()
    if target is not None:
        mean = nn.functional.relu(mean - amount(InputError, "target", target))
    return weight * mean


def _positive(argument: str, given: Any) -> float:
    return real(InputError, argument, given, "a finite number above 0")


def by_timestep(counts: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and classes of all timesteps, in the layout in which `cross_entropy` is fastest."""
    y = y.expand(counts.shape[:2])
    if counts.device.type != "cpu":  # CUDA has no deterministic sum over three dimensions
        return counts.flatten(0, 1), y.flatten()
    # Classes go second of three dimensions: with ten classes in the last it is five times slower.
    return counts.transpose(1, 2), y


def _checked(counts: Any, y: Any, batch_first: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts [T, B, n_outputs], and the classes as int64 on their device."""
    batch_first = flag(InputError, "batch_first", batch_first)
    axes = "[B, T, n_outputs]" if batch_first else "[T, B, n_outputs]"
    if not isinstance(counts, torch.Tensor) or counts.ndim != 3 or not counts.is_floating_point():
        raise InputError(expected("counts", _what(counts), f"a float tensor {axes}"))
    counts = counts.transpose(0, 1) if batch_first else counts
    _, n_samples, n_outputs = counts.shape
    accepted = f"{counted(n_samples, 'integer')} from 0 to {n_outputs - 1}, for counts {axes}"
    if isinstance(y, np.ndarray) and y.dtype.kind in "iu":
        # Accept any strides and byte order, and read-only arrays, but no mask (PyTorch ignores it).
        y = array(InputError, "y", y, accepted).astype(np.int64)
    try:
        labels = torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise InputError(expected("y", f"{type(y).__name__} ({cause})", accepted)) from cause
    if labels.dtype not in INTEGERS:
        raise InputError(expected("y", f"dtype {labels.dtype}", accepted))
    if labels.shape != (n_samples,):
        raise InputError(expected("y", f"shape {tuple(labels.shape)}", accepted))
    labels = labels.to(counts.device, torch.int64)
    # As a list, because this runs in every training step and PyTorch operations would take longer.
    classes = labels.tolist()
    for label in (min(classes), max(classes)) if classes else ():
        if not 0 <= label < n_outputs:
            raise InputError(expected("y", f"class {label}", accepted))
    return counts, labels


def _what(given: Any) -> str:
    if isinstance(given, torch.Tensor):
        return f"a tensor of {given.dtype} and shape {tuple(given.shape)}"
    return type(given).__name__
