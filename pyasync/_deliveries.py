"""The deliveries of a run as each shard saw them; see `Trace.to_deliveries`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._events import starts_of
from pyasync.trace_steps import TraceSteps

DELIVERY = np.dtype(
    [
        ("sample", np.uint32),
        ("timestep", np.uint32),
        ("shard", np.uint32),
        ("order", np.uint32),
        ("neuron", np.int64),
    ]
)


def deliveries(columns: TraceSteps, n_samples: int, n_shards: int) -> npt.NDArray[Any]:
    """The deliveries of a trace that emits no spike before it is pending (not checked here)."""
    steps, emitted = columns.steps, columns.emitted
    source = _sources(columns, n_shards)
    is_input = steps["step"] < n_shards
    # An input group is one delivery; any other step has one delivery per spike that it emitted.
    count = np.where(is_input, 1, steps["n_emitted"]).astype(np.int64)
    of_step = np.repeat(np.arange(len(steps)), count)
    rows = np.empty(len(of_step), DELIVERY)
    for name in ("sample", "timestep", "shard"):
        rows[name] = steps[name][of_step]
    first = np.searchsorted(steps["sample"], np.arange(n_samples + 1))
    starts = starts_of(steps["n_fired"])
    joined = np.searchsorted(columns.joined["sample"], np.arange(n_samples + 1))
    spike_start = starts[first] + joined
    rows["neuron"] = -1
    rows["neuron"][~is_input[of_step]] = source[
        spike_start[np.repeat(steps["sample"], steps["n_emitted"])] + emitted
    ]
    key = rows["sample"].astype(np.int64) * n_shards + rows["shard"]
    by_shard = np.argsort(key, kind="stable")
    place = np.arange(len(rows)) - np.searchsorted(key[by_shard], key[by_shard])
    rows["order"][by_shard] = place
    return rows


def _sources(columns: TraceSteps, n_shards: int) -> npt.NDArray[np.int64]:
    """Source of each spike, its neuron or -1 - channel, by sample and then by arrival number."""
    steps = columns.steps
    # Input spikes join after the last shard's step 0, and after the spikes that fired in it.
    keys = ("timestep", "sample")
    fired_at = np.repeat(np.arange(len(steps)), steps["n_fired"])
    fired = [steps[name][fired_at] for name in ("step", *keys)]
    joined = [np.full(len(columns.joined), n_shards - 1), *(columns.joined[name] for name in keys)]
    kind = np.repeat([0, 1], [len(fired_at), len(columns.joined)])
    order = np.lexsort([kind, *(np.concatenate(pair) for pair in zip(fired, joined, strict=True))])
    neuron = columns.fired["neuron"].astype(np.int64)
    channel = columns.joined["channel"].astype(np.int64)
    sources: npt.NDArray[np.int64] = np.concatenate([neuron, -1 - channel])[order]
    return sources
