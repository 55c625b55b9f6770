"""What a replay reads of a trace and of the input: for each forward step, who did what.

Samples of a batch go through their forward steps side by side; a sample without a step that others
have does nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyasync.errors import TraceError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.trace import Trace

Rows = npt.NDArray[Any]


class ByStep:
    """Columns of numbers, their rows grouped by a step from 0 to `n_steps - 1`."""

    def __init__(self, step: Rows, n_steps: int, device: torch.device, *columns: Rows) -> None:
        order = np.argsort(step, kind="stable")
        self._bounds = np.searchsorted(step[order], np.arange(n_steps + 1)).tolist()
        # All rows go to the device at once; a step's rows are then a view.
        self._columns = [torch.from_numpy(column[order]).to(device) for column in columns]

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        rows = slice(self._bounds[step], self._bounds[step + 1])
        return tuple(column[rows] for column in self._columns)


class Record:
    """A trace as lists of spikes, for each forward step of the whole batch.

    Parameters
    ----------
    network : Network
        The network whose run was recorded.
    trace : Trace
        The record.
    device : torch.device
        Where the lists are wanted.

    Attributes
    ----------
    timesteps : list of list of int
        For each timestep its forward steps, numbered through the whole run.
    fired, refractory, stored : ByStep of sample, neuron, spike
        Spikes of neurons that fired; those among them that made their neuron refractory; those that
        are not lost.
    emitted, delivered, leading : ByStep of sample, neuron, spike
        Spikes of neurons that were emitted; those among them that are not lost; those of these that
        no earlier spike of the same neuron was emitted together with.
    joined, inputs : ByStep of sample, channel, spike
        Scheduled input spikes that joined the pending ones; that were emitted.
    scheduled : bool
        Whether there are such.
    n_joined : list of int
        Spikes that joined the pending ones in each timestep, of all samples.
    carries : bool
        Whether a spike may be emitted in a later timestep than it joined in. Only then are spikes
        numbered through the whole run; else from 0 in each timestep.
    n_fired : int
        Spikes of neurons in all.

    Raises
    ------
    TraceError
        If the trace has other sizes than the network, or is of a free run of several shards.
    """

    def __init__(self, network: Network, trace: Trace, device: torch.device) -> None:
        sizes = (network.n_inputs, network.n_neurons)
        if (trace.n_inputs, trace.n_neurons) != sizes:
            given = f"one of {trace.n_inputs} inputs and {trace.n_neurons} neurons"
            accepted = f"a trace of {sizes[0]} inputs and {sizes[1]} neurons"
            raise TraceError(expected("trace", given, accepted))
        if (n_shards := getattr(trace, "n_shards", 1)) > 1:
            # Its steps update one shard each, so that a spike is delivered in several.
            given = f"a free run of {n_shards} shards"
            raise TraceError(expected("trace", given, "a run of one shard"))
        steps = trace.to_steps()
        rows, fired, joined = steps.steps, steps.fired, steps.joined
        self._shape, self._device = (len(trace), network.n_neurons), device
        self.scheduled = trace.input_mode == "scheduled"

        # A forward step of one sample is a row; the same step of all samples has one number.
        sample = rows["sample"].astype(np.int64)
        moment = rows["timestep"].astype(np.int64) << 32 | rows["step"]
        moments, step = np.unique(moment, return_inverse=True)
        self.timesteps: list[list[int]] = [[] for _ in range(trace.n_timesteps)]
        for number, timestep in enumerate((moments >> 32).tolist()):
            self.timesteps[timestep].append(number)
        self._running = ByStep(step, len(moments), device, sample)

        # Spikes join in the row in which they fire, and inputs after the first row of a timestep.
        first_row = np.zeros((len(trace), trace.n_timesteps), np.int64)
        begins = rows["step"] == 0
        first_row[sample[begins], rows["timestep"][begins]] = np.flatnonzero(begins)
        fired_row = np.repeat(np.arange(len(rows)), rows["n_fired"])
        row = np.concatenate([fired_row, first_row[joined["sample"], joined["timestep"]]])
        source = np.concatenate([fired["neuron"], joined["channel"]]).astype(np.int64)
        by_arrival = np.argsort(row, kind="stable")
        row, source = row[by_arrival], source[by_arrival]
        self.n_fired = len(fired)
        is_neuron = by_arrival < len(fired)
        lost, skipped = (_flag(fired, name, by_arrival) for name in ("lost", "skipped"))
        may_block = np.zeros(len(row), bool)
        may_block[is_neuron] = np.repeat(
            [p.neuron.refractory == "timestep" for p in network.populations],
            [p.stop - p.start for p in network.populations],
        )[source[is_neuron]]

        joined_in = rows["timestep"][row]
        n_joined = np.bincount(joined_in, minlength=trace.n_timesteps)
        self.n_joined, self.carries = n_joined.tolist(), trace.on_stop == "carry"
        ids = np.empty_like(by_arrival)
        ids[np.argsort(joined_in, kind="stable")] = np.arange(len(row))
        if not self.carries:
            ids -= (np.cumsum(n_joined) - n_joined)[joined_in]

        every = np.arange(len(row))
        emitted_row = np.repeat(np.arange(len(rows)), rows["n_emitted"])
        first_spike = np.searchsorted(sample[row], np.arange(len(trace)))
        emitted = first_spike[sample[emitted_row]] + steps.emitted

        def listed(spikes: Rows, at: Rows, chosen: Rows) -> ByStep:
            kept = chosen[spikes]
            spikes, at = spikes[kept], at[kept]
            columns = (sample[at], source[spikes], ids[spikes])
            return ByStep(step[at], len(moments), device, *columns)

        self.fired = listed(every, row, is_neuron)
        self.refractory = listed(every, row, may_block & ~skipped)
        self.stored = listed(every, row, is_neuron & ~lost)
        self.joined = listed(every, row, ~is_neuron)
        self.emitted = listed(emitted, emitted_row, is_neuron)
        self.delivered = listed(emitted, emitted_row, is_neuron & ~lost)
        self.inputs = listed(emitted, emitted_row, ~is_neuron)
        of_neuron = is_neuron[emitted]
        spikes, at = emitted[of_neuron], emitted_row[of_neuron]
        arrived = np.lexsort((spikes, at))
        spikes, at = spikes[arrived], at[arrived]
        _, first = np.unique(at * network.n_neurons + source[spikes], return_index=True)
        self.leading = listed(spikes[first], at[first], ~lost)

    def running(self, step: int) -> Tensor:
        """Which samples have this forward step, bool [B, 1]."""
        mask = torch.zeros(self._shape[0], 1, dtype=torch.bool, device=self._device)
        mask[self._running[step]] = True
        return mask

    def mask(self, of: ByStep, step: int) -> Tensor:
        """Neurons of which a list has a spike in this step, bool [B, n_neurons]."""
        mask = torch.zeros(self._shape, dtype=torch.bool, device=self._device)
        sample, neuron, _ = of[step]
        mask[sample, neuron] = True
        return mask


def _flag(fired: Rows, name: str, by_arrival: Rows) -> Rows:
    """A column of `fired` for all spikes; False for inputs and where a trace does not have it."""
    flag = np.zeros(len(by_arrival), bool)
    if name in (fired.dtype.names or ()):
        flag[: len(fired)] = fired[name]
    return flag[by_arrival]


def frames(x: Tensor | SpikeBatch, like: Tensor) -> Iterator[Tensor]:
    """Input of one timestep after the other, [B, n_inputs], in `like`'s dtype on its device."""
    if isinstance(x, Tensor):
        yield from x.flatten(2).to(like)
        return
    segment = np.repeat(np.arange(len(x.offsets) - 1), np.diff(x.offsets))
    sample, timestep = np.divmod(segment, x.n_timesteps)
    multiplicity = np.ones(x.n_events) if x.multiplicity is None else x.multiplicity
    # Converted before they are moved, because not every device has float64.
    multiplicity = multiplicity.astype(np.float32 if like.dtype == torch.float32 else np.float64)
    columns = (sample, x.channel.astype(np.int64), multiplicity)
    events = ByStep(timestep, x.n_timesteps, like.device, *columns)
    for t in range(x.n_timesteps):
        samples, channels, values = events[t]
        frame = like.new_zeros(x.n_samples, x.n_inputs)
        frame[samples, channels] = values
        yield frame
