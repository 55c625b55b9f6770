"""Evaluate one trained network on the test samples under every schedule of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyasync._progress import Progress
from pyasync.network import Network
from pyasync.schedules import Schedule
from pyasync.study.report import AuditRow
from pyasync.study.run import Run, run
from pyasync.study.samples import Samples

# Spikes after which samples are cut, 20 points per decade. They are the same for every network and
# seed, so that curves can be averaged.
_ROUNDED = np.geomspace(1, 1e7, 141).round().astype(np.int64)
ANYTIME = _ROUNDED[np.diff(_ROUNDED, prepend=0) > 0]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one network does under every schedule.

    Attributes
    ----------
    rows : tuple of AuditRow
        One per schedule; `accuracy_drop` is relative to the network's own layered run.
    correct : bool [n_runs, n_samples]
        Which samples were decided correctly.
    anytime : float64 [n_runs, len(ANYTIME)]
        Accuracy if every sample were cut after each number of spikes in `ANYTIME`.
    most_spikes : int
        Largest number of spikes of any sample in any run; beyond it no curve changes.
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
            done = run(network, x, schedule, bar, seed=seed, threads=threads)
            correct.append(done.correct(y))
            rows.append(done.row(y, correct[0]))
            curves.append(_anytime(done, y))
            most = max(most, done.most_spikes)
    return Evaluation(tuple(rows), np.stack(correct), np.stack(curves), most)


def _anytime(done: Run, y: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Accuracy at `ANYTIME`, computed only as far as it changes, up to the last spike."""
    changing = int(np.searchsorted(ANYTIME, done.most_spikes, side="left")) + 1
    curve = done.curve(y, ANYTIME[:changing])
    return np.concatenate([curve, np.full(len(ANYTIME) - len(curve), curve[-1])])
