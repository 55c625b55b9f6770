"""Run all samples under one schedule, some at a time, and summarise the results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._progress import Progress
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.result import Result
from pyasync.schedules import FreeRunning, Schedule
from pyasync.simulate import simulate
from pyasync.study.plan import kind_label, pick_name, run_label
from pyasync.study.report import AuditRow

_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class Run:
    """What a network did on all samples under one schedule.

    Attributes
    ----------
    schedule : Schedule
    parts : tuple of Result
        The results of consecutive groups of samples.
    """

    schedule: Schedule
    parts: tuple[Result, ...]

    @property
    def most_spikes(self) -> int:
        """Number of spikes of the sample with the most."""
        return max(int(part.spikes.max()) for part in self.parts)

    def joined(self, measure: str) -> npt.NDArray[Any]:
        """A measure of `Result` for every sample, [n_samples]."""
        return np.concatenate([getattr(part, measure) for part in self.parts])

    def mean(self, measure: str) -> float:
        """Mean of a measure over the samples that have a value; NaN if none has."""
        return _mean(self.joined(measure))

    @cached_property
    def decisions(self) -> npt.NDArray[np.int64]:
        """The decision of every sample, int64 [n_samples]."""
        return np.concatenate([part.decisions() for part in self.parts])

    def correct(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which samples are decided correctly, bool [n_samples]."""
        return np.equal(self.decisions, labels)

    def curve(
        self, labels: npt.NDArray[np.int64], grid: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Accuracy if every sample were cut after each number of spikes in `grid`, [len(grid)]."""
        right = np.zeros(len(grid))
        for part, y in zip(self.parts, self._split(labels), strict=True):
            right += part.anytime_accuracy(y, grid) * part.n_samples
        return right / len(labels)

    def row(self, labels: npt.NDArray[np.int64], layered: npt.NDArray[np.bool_]) -> AuditRow:
        """Summarise the run as a row; `layered` says which samples a layered run decided right."""
        correct = self.correct(labels)
        lost = layered.astype(np.float64) - correct
        to_correct = [
            part.latency_to_correct(y)
            for part, y in zip(self.parts, self._split(labels), strict=True)
        ]
        return AuditRow(
            schedule=kind_label(self.schedule),
            forward_group_size=getattr(self.schedule, "forward_group_size", None),
            accuracy=float(correct.mean()),
            accuracy_error=math.sqrt(correct.mean() * (1 - correct.mean()) / len(correct)),
            accuracy_drop=float(lost.mean()),
            accuracy_drop_error=float(lost.std() / math.sqrt(len(lost))),
            decided=float((self.decisions >= 0).mean()),
            latency=self.mean("latency"),
            latency_to_correct=_mean(np.concatenate(to_correct)),
            spikes=self.mean("spikes"),
            forward_steps=self.mean("forward_steps"),
            synaptic_operations=self.mean("synaptic_operations"),
            neuron_updates=self.mean("neuron_updates"),
            reached_quiescence=self.mean("reached_quiescence"),
            pick=pick_name(self.schedule),
        )

    def _split(self, labels: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        return np.split(labels, np.cumsum([part.n_samples for part in self.parts])[:-1])


def run(network: Network, x: SpikeBatch, schedule: Schedule, bar: Progress, **options: Any) -> Run:
    """Run all samples under a schedule; `options` are those of `simulate`."""
    keep = ("output_spikes",) if network.output_fires else ("output_spikes", "output_v")
    # A free run knows how many spikes came before an output spike only if it is recorded.
    options |= {"keep": keep, "record": isinstance(schedule, FreeRunning)}
    parts = []
    for first in range(0, len(x), _AT_ONCE):
        part = x[first : first + _AT_ONCE]
        ids = np.arange(first, first + len(part))
        parts.append(simulate(network, part, schedule, sample_ids=ids, **options))
        bar.advance(len(part), run_label(schedule))
    return Run(schedule, tuple(parts))


def _mean(values: npt.NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
