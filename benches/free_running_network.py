"""The network of the free-running benchmark, and the file from which its peers read it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class Synapses(NamedTuple):
    """Synapses in compressed-row form: those onto neuron `k` are `indptr[k]:indptr[k + 1]`."""

    indptr: NDArray[np.int64]
    source: NDArray[np.int32]
    weight: NDArray[np.float32]

    @property
    def target(self) -> NDArray[np.int32]:
        """Target of each synapse."""
        n = self.indptr.size - 1
        return np.repeat(np.arange(n, dtype=np.int32), np.diff(self.indptr))

    def per_source(self, n_sources: int) -> NDArray[np.int64]:
        """Number of synapses that leave each source."""
        return np.bincount(self.source, minlength=n_sources)


@dataclass(frozen=True)
class RandomNetwork:
    """A recurrent network of excitatory and inhibitory neurons, and its sparse random input.

    Every neuron has the same number of synapses from random others, and none from itself. (Brunel
    2000, section 2, also has a fixed in-degree and one fifth of inhibitory neurons.) Weights are
    uniform between 0 and twice `weight`; those of inhibitory neurons are multiplied by
    `-inhibition`. Each input channel spikes at `input_rate`. At these settings activity lasts as
    long as the input does, and a few percent of the neurons fire in each millisecond.

    Parameters
    ----------
    weight, input_weight : float
        Mean weights, in units of the threshold, which is 1.
    input_rate : float
        Spikes per second of an input channel.
    dt, tau_mem : float
        Seconds.
    """

    name: str = "1 ms"
    dt: float = 1e-3
    n_timesteps: int = 100
    n_neurons: int = 100_000
    synapses_per_neuron: int = 100
    n_inputs: int = 1000
    synapses_per_input: int = 100
    input_rate: float = 30.0
    excitatory: float = 0.8
    weight: float = 0.05
    inhibition: float = 5.0
    input_weight: float = 1.0
    tau_mem: float = 20e-3
    seed: int = 0

    @property
    def n_synapses(self) -> int:
        """Number of synapses between neurons, excluding those from the input."""
        return self.n_neurons * self.synapses_per_neuron

    @functools.cached_property
    def recurrent(self) -> Synapses:
        """Synapses between neurons."""
        rng = np.random.default_rng([self.seed, 0])
        n, k = self.n_neurons, self.synapses_per_neuron
        sources = _distinct(rng, np.arange(n), n, k)
        size = np.where(np.arange(n) < self.excitatory * n, 1, -self.inhibition) * self.weight
        weight = (size[sources] * _up_to_two(rng, sources.shape)).astype(np.float32)
        return Synapses(np.arange(n + 1) * k, sources.ravel(), weight.ravel())

    @functools.cached_property
    def from_input(self) -> Synapses:
        """Synapses from input channels."""
        rng = np.random.default_rng([self.seed, 1])
        targets = _distinct(rng, None, self.n_neurons, self.synapses_per_input, self.n_inputs)
        order = np.argsort(targets.ravel(), kind="stable")
        source = np.repeat(np.arange(self.n_inputs, dtype=np.int32), self.synapses_per_input)
        counted = np.bincount(targets.ravel(), minlength=self.n_neurons)
        weight = (self.input_weight * _up_to_two(rng, order.shape)).astype(np.float32)
        return Synapses(np.concatenate([[0], np.cumsum(counted)]), source[order], weight)

    @functools.cached_property
    def spikes(self) -> NDArray[np.bool_]:
        """Input spikes [n_timesteps, n_inputs]."""
        rng = np.random.default_rng([self.seed, 2])
        return rng.random((self.n_timesteps, self.n_inputs)) < self.input_rate * self.dt

    def synaptic_events(self, spike_counts: NDArray[np.integer]) -> int:
        """Number of synaptic events in a run with these `spike_counts` [n_neurons]."""
        recurrent = spike_counts.astype(np.int64) @ self.recurrent.per_source(self.n_neurons)
        return int(recurrent + self.spikes.sum(0) @ self.from_input.per_source(self.n_inputs))

    def save(self, path: Path) -> None:
        """Write the file for peers, with synapses sorted by source, then by target."""
        timestep, channel = np.nonzero(self.spikes)
        np.savez(
            path,
            n_neurons=self.n_neurons,
            n_inputs=self.n_inputs,
            n_timesteps=self.n_timesteps,
            dt=self.dt,
            tau_mem=self.tau_mem,
            timestep=timestep,
            channel=channel,
            **_by_source("recurrent", self.recurrent),
            **_by_source("input", self.from_input),
        )


def _by_source(name: str, synapses: Synapses) -> dict[str, Array]:
    order = np.argsort(synapses.source, kind="stable")
    return {
        f"{name}_source": synapses.source[order],
        f"{name}_target": synapses.target[order],
        f"{name}_weight": synapses.weight[order],
    }


def _distinct(
    rng: np.random.Generator, never: Array | None, below: int, k: int, n_rows: int | None = None
) -> NDArray[np.int32]:
    """Rows of `k` distinct random numbers, ascending; row `i` never contains `never[i]`."""
    n_rows = len(never) if never is not None else n_rows or 0
    drawn = np.empty((n_rows, k), np.int32)
    wrong = np.arange(n_rows)
    while wrong.size:
        rows = np.sort(rng.integers(0, below, (wrong.size, k), np.int32), axis=1)
        drawn[wrong] = rows
        again = (rows[:, 1:] == rows[:, :-1]).any(1)
        if never is not None:
            again |= (rows == never[wrong, None]).any(1)
        wrong = wrong[again]
    return drawn


def _up_to_two(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Uniform above 0 and up to 2, since a weight of 0 would not be a synapse."""
    return 2 * (1 - rng.random(shape))


NETWORKS = {
    network.name: network
    for network in (RandomNetwork(), RandomNetwork("0.1 ms", dt=0.1e-3, n_timesteps=1000))
}
