"""One trained network on the test samples under every schedule of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._progress import Progress
from pyasync.network import Network
from pyasync.result import Result
from pyasync.schedules import Schedule
from pyasync.study.audit import _curve, _joined, _parts, _row
from pyasync.study.report import AuditRow
from pyasync.study.samples import Samples

# The same for every network and seed, so that curves can be averaged: 20 points a decade.
ANYTIME = np.unique(np.geomspace(1, 1e7, 141).round().astype(np.int64))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one network does under every schedule.

    Attributes
    ----------
    rows : tuple of AuditRow
        One a schedule; `accuracy_drop` is against the network's own layered run.
    correct : bool [n_runs, n_samples]
        Which samples were decided correctly.
    anytime : float64 [n_runs, len(ANYTIME)]
        Accuracy had every sample been cut after so many spikes.
    most_spikes : int
        Of any sample in any run: no curve changes after so many.
    """

    rows: tuple[AuditRow, ...]
    correct: npt.NDArray[np.bool_]
    anytime: npt.NDArray[np.float64]
    most_spikes: int


def evaluate(
    network: Network,
    samples: Samples,
    runs: Sequence[Schedule],
    *,
    seed: int,
    threads: int | None,
    title: str,
    progress: bool,
) -> Evaluation:
    """Run the test samples under each schedule, the first of which is layered."""
    x, y = samples.test_x, samples.test_y
    rows: list[AuditRow] = []
    correct: list[npt.NDArray[np.bool_]] = []
    curves: list[npt.NDArray[np.float64]] = []
    most = 0
    with Progress(title, len(runs) * len(x), "samples", shown=progress) as bar:
        for schedule in runs:
            parts = _parts(network, x, schedule, bar, seed=seed, threads=threads)
            correct.append(_joined(parts, "decisions") == y)
            rows.append(_row(schedule, parts, y, correct[-1], correct[0]))
            curves.append(_anytime(parts, y))
            most = max(most, *(int(part.spikes.max()) for part in parts))
    return Evaluation(tuple(rows), np.stack(correct), np.stack(curves), most)


def _anytime(parts: list[Result], y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Accuracy at `ANYTIME`; nothing changes after the last spike."""
    most = max(int(part.spikes.max()) for part in parts)
    changing = int(np.searchsorted(ANYTIME, most, side="left")) + 1
    curve = _curve(parts, y, ANYTIME[:changing])
    return np.concatenate([curve, np.full(len(ANYTIME) - len(curve), curve[-1])])
