"""The results of a study: rows and curves, and how they become tables, JSON and a report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice
from pyasync._files import write_whole
from pyasync._wording import counted
from pyasync.errors import InputError
from pyasync.study.energy import EnergyModel
from pyasync.study.evaluation import ANYTIME
from pyasync.study.plan import Plan, run_label
from pyasync.study.samples import Samples
from pyasync.study.study_rows import Finished, StudyRow, rows_of


@dataclass(frozen=True, eq=False, repr=False)
class StudyReport:
    """The results of `study`, or its results so far.

    Attributes
    ----------
    samples : Samples
        The data.
    plan : Plan
        What is to be trained and run.
    energy : EnergyModel
    finished : tuple of Finished
        The trainings that are finished, in the plan's order.
    rows : tuple of StudyRow
        One for each run of every recipe that has a finished training.
    anytime_spikes : int64 [K]
        Numbers of spikes after which samples are cut.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(3), (4, 10, 1)), dt=10e-3)
    >>> samples = pa.study.Samples.split("lines", x, np.arange(30) % 3)
    >>> recipe = pa.study.Recipe(hidden=(12,), epochs=5, weight_scale=3.0, input_dropout=0.0)
    >>> report = pa.study.study(samples, {"random": recipe}, ["random"], [1], seeds=[0])
    >>> report
    StudyReport(lines, 1 of 1 training, 3 runs each)
    >>> [row.run for row in report.rows]
    ['layered', 'random, F = 1', 'random, F = 8']
    >>> report.row("random").run, report.anytime("random", "layered").shape[0]   # one seed
    ('random, F = 8', 1)
    """

    samples: Samples
    plan: Plan
    energy: EnergyModel
    finished: tuple[Finished, ...]
    rows: tuple[StudyRow, ...]
    anytime_spikes: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, samples: Samples, plan: Plan, energy: EnergyModel, finished: Sequence[Finished]
    ) -> StudyReport:
        """Create the report on what is finished."""
        most = max(each.evaluation.most_spikes for each in finished)
        known = ANYTIME[: int(np.searchsorted(ANYTIME, most, side="left")) + 1]
        rows = rows_of(finished, plan, energy, samples.test_x.n_timesteps)
        return cls(samples, plan, energy, tuple(finished), tuple(rows), known)

    @property
    def is_complete(self) -> bool:
        """Whether every training of the plan is finished."""
        return len(self.finished) == len(self.plan.jobs)

    def row(self, trained: str, run: str | None = None) -> StudyRow | None:
        """The row of a recipe and a run such as "random, F = 8", by default the run as trained."""
        for row in self.rows:
            if row.trained == trained and (row.as_trained if run is None else row.run == run):
                return row
        return None

    def of_recipe(self, trained: str) -> tuple[Finished, ...]:
        """The finished trainings of one recipe."""
        return tuple(each for each in self.finished if each.job.trained == trained)

    def anytime(self, trained: str, run: str) -> npt.NDArray[np.float64]:
        """Accuracy if every sample were cut after `anytime_spikes`, float64 [n_seeds, K].

        Raises
        ------
        InputError
            If no finished training is of that recipe, or there is no such run.
        """
        choice(InputError, "trained", trained, sorted({each.job.trained for each in self.finished}))
        runs = [run_label(each) for each in self.plan.runs]
        index = runs.index(choice(InputError, "run", run, runs))
        curves = [each.evaluation.anytime[index] for each in self.of_recipe(trained)]
        return np.stack(curves)[:, : len(self.anytime_spikes)]

    @property
    def headline(self) -> str:
        """The answer, in one sentence."""
        from pyasync.study.study_words import headline

        return headline(self)

    def to_table(self) -> str:
        """Return the headline and the paper's table as plain text."""
        from pyasync.study.study_table import paper_table

        return f"{self.headline}\n\n{paper_table(self).to_text()}"

    def to_json(self) -> str:
        """Return everything as JSON: each seed's values, recipes, histories and versions.

        Values that are not numbers are null. The same study gives the same text, except for the
        durations of its trainings, which are named "seconds".
        """
        from pyasync.study.study_json import to_json

        return to_json(self)

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file, which appears whole or not at all.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        write_whole(path, self.to_json().encode())

    def save(
        self, folder: str | os.PathLike[str], *, figures: bool = True, prefix: str = ""
    ) -> list[str]:
        """Write report.md, report.html, study.json and the figures to a folder that exists.

        Parameters
        ----------
        folder : path
        figures : bool
            Whether to draw the figures; ones that already exist are shown either way.
        prefix : str
            Prefix of the file names.

        Returns
        -------
        list of str
            The names of the files.

        Raises
        ------
        FileError
            If a file cannot be written.
        MissingDependencyError
            If `figures` is set and matplotlib is not installed.
        """
        from pyasync.study.study_page import save

        return save(self, folder, figures=figures, prefix=prefix)

    def __rich__(self) -> Any:
        from pyasync.study.study_table import rich_report

        return rich_report(self)

    def __repr__(self) -> str:
        trainings = f"{len(self.finished)} of {counted(len(self.plan.jobs), 'training')}"
        runs = counted(len(self.plan.runs), "run")
        return f"StudyReport({self.samples.name}, {trainings}, {runs} each)"
