"""What a replay reads from a trace and the input: for each forward step, who did what.

The samples of a batch take their forward steps side by side; a sample that lacks a step that others
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
        # All rows move to the device at once, so that a step's rows are a view.
        self._columns = [torch.from_numpy(column[order]).to(device) for column in columns]

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        rows = slice(self._bounds[step], self._bounds[step + 1])
        return tuple(column[rows] for column in self._columns)


class Record:
    """A trace as lists of spikes for each forward step of the whole batch.

    Parameters
    ----------
    network : Network
        The network whose run was recorded.
    trace : Trace
        The record.
    device : torch.device
        Where to put the lists.

    Attributes
    ----------
    timesteps : list of list of int
        The forward steps of each timestep, numbered consecutively through the run.
    running : ByStep of sample, shard
        Samples that have this step, and the shard that takes it.
    fired, refractory, stored : ByStep of sample, neuron, spike
        `fired`: spikes that neurons fired in this step. `refractory`: those that made their neuron
        refractory. `stored`: those that are not lost.
    emitted, delivered, leading, continuing : ByStep of sample, neuron, spike
        `emitted`: neurons' spikes emitted in this step. `delivered`: those that are not lost.
        `leading`: of each neuron only the first spike of the group, unless it is lost.
        `continuing`: those that were also the neuron's previous emission, in another shard.
    joined, inputs : ByStep of sample, channel, spike
        Scheduled input spikes that joined the pending spikes in this step, and those emitted in it.
    scheduled : bool
        Whether input spikes are scheduled.
    n_joined : list of int
        Number of spikes that became pending in each timestep, over all samples.
    carries : bool
        Whether a spike may be emitted in a later timestep than the one in which it became pending.
        Only then are spikes numbered through the whole run; otherwise from 0 in each timestep.
    n_fired : int
        Total number of spikes of neurons.
    n_shards : int
        Number of shards; 1 except for free runs. The first steps of a timestep, one per shard,
        deliver its input.

    Raises
    ------
    TraceError
        If the trace's sizes differ from the network's, or it emits a spike that does not exist.
    """

    def __init__(self, network: Network, trace: Trace, device: torch.device) -> None:
        _check_sizes(network, trace)
        rows, emitted, fired, joined, _ = trace.to_steps()
        self._shape, self._device = (len(trace), network.n_neurons), device
        self.scheduled, self.carries = trace.input_mode == "scheduled", trace.on_stop == "carry"
        self.n_fired, self.n_shards = len(fired), trace.n_shards

        # A row is a forward step of one sample; the same step of all samples shares one number.
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

        # Spikes in order of arrival: those of neurons arrive in the row in which they fire, and
        # scheduled inputs after the row of the last shard's step 0.
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

        # Positions of the emitted spikes in that order; a trace counts arrivals from 0 per sample.
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
        """Neurons that receive what this step delivers, those of its shard: bool [B, n_neurons]."""
        mask = torch.zeros(self._shape, dtype=torch.bool, device=self._device)
        sample, shard = self.running[step]
        mask[sample] = self._shards[shard]
        return mask

    def mask(self, of: ByStep, step: int) -> Tensor:
        """Neurons that have a spike in the list `of` in this step, bool [B, n_neurons]."""
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
    """Which spikes come from a neuron with `refractory="timestep"`."""
    may_rest = np.repeat(
        [p.neuron.refractory == "timestep" for p in network.populations],
        [p.stop - p.start for p in network.populations],
    )
    spikes: Rows = is_neuron & may_rest[np.where(is_neuron, source, 0)]
    return spikes


def _differs(rows: Rows) -> Rows:
    """Where a row differs from the one before it; True for the first."""
    return np.append(True, rows[1:] != rows[:-1])[: len(rows)]


def _flag(fired: Rows, name: str, arrival: Rows) -> Rows:
    """A column of `fired` for all spikes in order of arrival; False for inputs."""
    flag = np.zeros(len(arrival), bool)
    flag[: len(fired)] = fired[name]
    return flag[arrival]


def frames(x: Tensor | SpikeBatch, like: Tensor) -> Iterator[Tensor]:
    """Yield the input of each timestep, [B, n_inputs], in the dtype and on the device of `like`."""
    if isinstance(x, Tensor):
        yield from x.flatten(2).to(like)
        return
    sample, timestep = np.divmod(x._segments(), x.n_timesteps)
    # Converted before they move to the device, since not every device has float64.
    multiplicity = x._multiplicities().astype(numpy_dtype(like.dtype))
    columns = (sample, x.channel.astype(np.int64), multiplicity)
    events = ByStep(timestep, x.n_timesteps, like.device, *columns)
    for t in range(x.n_timesteps):
        samples, channels, values = events[t]
        frame = like.new_zeros(x.n_samples, x.n_inputs)
        frame[samples, channels] = values
        yield frame
