"""The measures of docs/semantics.md, computed from the oracle's record of each sample."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from oracle import Sample
from oracle_network import Network


@dataclass(frozen=True)
class Measures:
    """All samples' results, under the names and with the shapes of `pyasync.Result`."""

    net: Network
    samples: list[Sample]
    n_timesteps: int

    def each(self, measure: object, dtype: str) -> np.ndarray:
        assert callable(measure)
        return np.array([measure(s) for s in self.samples], dtype)

    @property
    def counts(self) -> np.ndarray:
        ids = self.net.output_ids
        counts = np.zeros((self.n_timesteps, len(self.samples), len(ids)), np.float32)
        for b, sample in enumerate(self.samples):
            for t, neuron in sample.fired:
                if neuron in ids:
                    counts[t, b, neuron - ids.start] += 1
        return counts

    @property
    def spike_counts(self) -> np.ndarray:
        counts = np.zeros((len(self.samples), self.net.n_neurons), np.uint32)
        for b, sample in enumerate(self.samples):
            for _, neuron in sample.fired:
                counts[b, neuron] += 1
        return counts

    @property
    def output_v(self) -> np.ndarray:
        ids = self.net.output_ids
        output_v = np.zeros((self.n_timesteps, len(self.samples), len(ids)), self.net.dtype)
        for b, sample in enumerate(self.samples):
            for t, v in enumerate(sample.v_by_timestep):
                output_v[t, b] = v[ids.start : ids.stop]
        return output_v

    @property
    def v(self) -> np.ndarray:
        return np.array([s.v for s in self.samples])

    @property
    def current(self) -> np.ndarray:
        return np.array([s.current for s in self.samples])

    @property
    def spikes(self) -> np.ndarray:
        return self.each(lambda s: len(s.fired), "int64")

    @property
    def spike_density(self) -> np.ndarray:
        return self.spikes / self.net.n_neurons / self.n_timesteps

    @property
    def forward_steps(self) -> np.ndarray:
        return self.each(lambda s: len(s.steps), "int64")

    @property
    def synaptic_operations(self) -> np.ndarray:
        return self.each(lambda s: s.synaptic_operations, "int64")

    @property
    def neuron_updates(self) -> np.ndarray:
        return self.each(lambda s: s.neuron_updates, "int64")

    @property
    def max_pending(self) -> np.ndarray:
        return self.each(lambda s: max(step.pending for step in s.steps), "int64")

    @property
    def mean_pending(self) -> np.ndarray:
        return self.each(lambda s: sum(step.pending for step in s.steps) / len(s.steps), "float64")

    @property
    def events_before_firing(self) -> np.ndarray:
        n = [s.n_at_firing for s in self.samples]
        return np.array([sum(x) / len(x) if x else nan for x in n])

    @property
    def reached_quiescence(self) -> np.ndarray:
        return self.each(lambda s: not any(s.stops), "bool")

    @property
    def latency(self) -> np.ndarray:
        return self.first_spike(lambda b: self.net.output_ids)

    def latency_to_correct(self, y: np.ndarray) -> np.ndarray:
        return self.first_spike(lambda b: [self.net.output_ids[int(y[b])]])

    def first_spike(self, among: object) -> np.ndarray:
        assert callable(among)
        before = [
            next((k for k, (_, neuron) in enumerate(s.fired) if neuron in among(b)), nan)
            for b, s in enumerate(self.samples)
        ]
        return np.array(before, "float64")

    def anytime(self, k: list[int]) -> np.ndarray:
        return np.array([[self.decision(s, cut) for s in self.samples] for cut in k])

    def decisions(self) -> np.ndarray:
        name = self.net.output or self.net.populations[-1].name
        output = next(p for p in self.net.populations if p.name == name)
        if np.isposinf(output.neuron.get("v_threshold", 1.0)).all():  # potentials decide
            return self.output_v.mean(axis=0, dtype=np.float64).argmax(axis=-1)
        return np.array([self.decision(s, len(s.fired)) for s in self.samples])

    def decision(self, sample: Sample, cut: int) -> int:
        ids = self.net.output_ids
        totals = [sum(neuron == output for _, neuron in sample.fired[:cut]) for output in ids]
        return totals.index(max(totals)) if max(totals) else -1

    def population_spikes(self) -> dict[str, np.ndarray]:
        counts, at = self.spike_counts, self.net.offset
        return {
            p.name: counts[:, at(p.name) : at(p.name) + p.size].sum(1) for p in self.net.populations
        }
