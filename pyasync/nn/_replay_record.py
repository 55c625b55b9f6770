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
from pyasync.nn._limits import numpy_dtype
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
    running : ByStep of sample, shard
        Samples that have this step, and the shard that takes it.
    fired, refractory, stored : ByStep of sample, neuron, spike
        Spikes of neurons that fired; those among them that made their neuron refractory; those that
        are not lost.
    emitted, delivered, leading, continuing : ByStep of sample, neuron, spike
        Spikes of neurons that were emitted; those among them that are not lost; those of these that
        no earlier spike of the same neuron was emitted together with; those that were also the
        neuron's emission before, in another shard.
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
    n_shards : int
        Parts of the network that take steps of their own; 1 but for free runs. The first steps of a
        timestep, one a shard, deliver its input.

    Raises
    ------
    TraceError
        If the trace has other sizes than the network, or emits a spike that is not there.
    """

    def __init__(self, network: Network, trace: Trace, device: torch.device) -> None:
        _check_sizes(network, trace)
        rows, emitted, fired, joined, _ = trace.to_steps()
        self._shape, self._device = (len(trace), network.n_neurons), device
        self.scheduled, self.carries = trace.input_mode == "scheduled", trace.on_stop == "carry"
        self.n_fired, self.n_shards = len(fired), trace.n_shards

        # A forward step of one sample is a row; the same step of all samples has one number.
        sample, timestep = rows["sample"].astype(np.int64), rows["timestep"].astype(np.int64)
        steps, step_of_row = np.unique(timestep << 32 | rows["step"], return_inverse=True)
        self.timesteps: list[list[int]] = [[] for _ in range(trace.n_timesteps)]
        for number, of in enumerate((steps >> 32).tolist()):
            self.timesteps[of].append(number)
        self.running = ByStep(
            step_of_row, len(steps), device, sample, rows["shard"].astype(np.int64)
        )
        ends = np.array(trace.core.header()["shards"] or [network.n_neurons])
        shard = np.searchsorted(ends, np.arange(network.n_neurons), side="right")
        self._shards = torch.from_numpy(shard == np.arange(self.n_shards)[:, None]).to(device)

        # Spikes in the order of arrival: neurons join in the row in which they fire, and inputs
        # after the row that delivers the timestep's input to the last shard.
        joined_row = np.zeros((len(trace), trace.n_timesteps), np.int64)
        is_last = rows["step"] == self.n_shards - 1
        joined_row[sample[is_last], timestep[is_last]] = np.flatnonzero(is_last)
        fired_row = np.repeat(np.arange(len(rows)), rows["n_fired"])
        row = np.concatenate([fired_row, joined_row[joined["sample"], joined["timestep"]]])
        arrival = np.argsort(row, kind="stable")
        row = row[arrival]
        source = np.concatenate([fired["neuron"], joined["channel"]]).astype(np.int64)[arrival]
        is_neuron = arrival < len(fired)
        lost, skipped = (_flag(fired, name, arrival) for name in ("lost", "skipped"))
        n_joined = np.bincount(timestep[row], minlength=trace.n_timesteps)
        self.n_joined: list[int] = n_joined.tolist()
        ids = np.empty_like(arrival)
        ids[np.argsort(timestep[row], kind="stable")] = np.arange(len(row))
        if not self.carries:
            ids -= (np.cumsum(n_joined) - n_joined)[timestep[row]]

        # The emitted spikes' places among them; a trace counts arrivals from 0 in each sample.
        emitted_row = np.repeat(np.arange(len(rows)), rows["n_emitted"])
        first = np.searchsorted(sample[row], np.arange(len(trace) + 1))
        places = first[sample[emitted_row]] + emitted
        exists = places < first[sample[emitted_row] + 1]
        if not (exists.all() and (row[places] < emitted_row).all()):
            given = "one in which a spike is emitted before it fired or joined"
            raise TraceError(expected("trace", given, "a trace that a run recorded"))

        def listed(chosen: Rows, spikes: Rows, at: Rows) -> ByStep:
            spikes, at = spikes[chosen[spikes]], at[chosen[spikes]]
            columns = (sample[at], source[spikes], ids[spikes])
            return ByStep(step_of_row[at], len(steps), device, *columns)

        joining = (np.arange(len(row)), row)
        self.fired = listed(is_neuron, *joining)
        self.refractory = listed(_may_rest(network, source, is_neuron) & ~skipped, *joining)
        self.stored = listed(is_neuron & ~lost, *joining)
        self.joined = listed(~is_neuron, *joining)
        leaving = (places, emitted_row)
        self.emitted = listed(is_neuron, *leaving)
        self.delivered = listed(is_neuron & ~lost, *leaving)
        self.inputs = listed(~is_neuron, *leaving)
        order = np.lexsort((places, emitted_row, source[places], sample[emitted_row]))
        order = order[is_neuron[places[order]]]
        places, emitted_row, neuron = places[order], emitted_row[order], source[places[order]]
        leads = _differs(emitted_row) | _differs(neuron)
        continues = leads & ~_differs(places) & np.append(False, leads[:-1])
        self.leading = listed(~lost, places[leads], emitted_row[leads])
        self.continuing = listed(is_neuron, places[continues], emitted_row[continues])

    def taking(self, step: int) -> Tensor:
        """Neurons that take what this step delivers, bool [B, n_neurons]: those of its shard."""
        mask = torch.zeros(self._shape, dtype=torch.bool, device=self._device)
        sample, shard = self.running[step]
        mask[sample] = self._shards[shard]
        return mask

    def mask(self, of: ByStep, step: int) -> Tensor:
        """Neurons of which a list has a spike in this step, bool [B, n_neurons]."""
        mask = torch.zeros(self._shape, dtype=torch.bool, device=self._device)
        sample, neuron, _ = of[step]
        mask[sample, neuron] = True
        return mask


def _check_sizes(network: Network, trace: Trace) -> None:
    sizes = (network.n_inputs, network.n_neurons)
    if (trace.n_inputs, trace.n_neurons) != sizes:
        given = f"one of {trace.n_inputs} inputs and {trace.n_neurons} neurons"
        accepted = f"a trace of {sizes[0]} inputs and {sizes[1]} neurons"
        raise TraceError(expected("trace", given, accepted))


def _may_rest(network: Network, source: Rows, is_neuron: Rows) -> Rows:
    """Which spikes are of a neuron that has refractoriness."""
    may_rest = np.repeat(
        [p.neuron.refractory == "timestep" for p in network.populations],
        [p.stop - p.start for p in network.populations],
    )
    spikes: Rows = is_neuron & may_rest[np.where(is_neuron, source, 0)]
    return spikes


def _differs(rows: Rows) -> Rows:
    """Where a row differs from the one before it; the first does."""
    return np.append(True, rows[1:] != rows[:-1])[: len(rows)]


def _flag(fired: Rows, name: str, arrival: Rows) -> Rows:
    """A column of `fired` for all spikes in the order of arrival; False for inputs."""
    flag = np.zeros(len(arrival), bool)
    flag[: len(fired)] = fired[name]
    return flag[arrival]


def frames(x: Tensor | SpikeBatch, like: Tensor) -> Iterator[Tensor]:
    """Input of one timestep after the other, [B, n_inputs], in `like`'s dtype on its device."""
    if isinstance(x, Tensor):
        yield from x.flatten(2).to(like)
        return
    sample, timestep = np.divmod(x._segments(), x.n_timesteps)
    # Converted before they are moved, because not every device has float64.
    multiplicity = x._multiplicities().astype(numpy_dtype(like.dtype))
    columns = (sample, x.channel.astype(np.int64), multiplicity)
    events = ByStep(timestep, x.n_timesteps, like.device, *columns)
    for t in range(x.n_timesteps):
        samples, channels, values = events[t]
        frame = like.new_zeros(x.n_samples, x.n_inputs)
        frame[samples, channels] = values
        yield frame
