"""A study's rows: how each recipe's networks do under each schedule, with spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyasync._wording import ordered
from pyasync.network import Network
from pyasync.study.certainty import deviation
from pyasync.study.energy import EnergyModel
from pyasync.study.evaluation import Evaluation
from pyasync.study.plan import Job, Plan, as_trained, run_label

if TYPE_CHECKING:
    from pyasync.study.training import Epoch

COUNTED = (
    "accuracy",
    "decided",
    "spikes",
    "latency",
    "latency_to_correct",
    "forward_steps",
    "synaptic_operations",
    "neuron_updates",
    "reached_quiescence",
)


@dataclass(frozen=True)
class Spread:
    """One measure over seeds.

    Attributes
    ----------
    values : tuple of float
        One per seed, each a mean over the test samples; NaN if it is not known.

    Examples
    --------
    >>> from pyasync.study import Spread
    >>> spread = Spread((0.9, 0.92, 0.94))
    >>> round(spread.mean, 3), round(spread.deviation, 3)
    (0.92, 0.02)
    """

    values: tuple[float, ...]

    @property
    def known(self) -> tuple[float, ...]:
        """The values that are numbers."""
        return tuple(value for value in self.values if not math.isnan(value))

    @property
    def mean(self) -> float:
        """Mean over the seeds that have a value; NaN if none has."""
        return float(np.mean(self.known)) if self.known else math.nan

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds (dividing by n - 1); NaN with fewer than two."""
        return deviation(self.known)


@dataclass(frozen=True)
class StudyRow:
    """One recipe's networks, one per seed, under one schedule.

    Attributes
    ----------
    trained : str
        The recipe's name.
    schedule : str
    forward_group_size : int or None
        F; None under layered.
    as_trained : bool
        Whether the networks were trained under this schedule.
    accuracy : Spread
        Fraction of the test samples decided correctly; no decision is a wrong one.
    difference : Spread
        Accuracy minus that of the baseline's network with the same seed, run layered.
    difference_error : float
        Standard error of the mean of `difference`, over seeds (if there are two or more) and over
        test samples, paired in both.
    decided, reached_quiescence : Spread
        Fraction of samples with an output spike, and of samples that no limit stopped.
    spikes, density : Spread
        Spikes per sample, and spikes per sample, neuron and timestep.
    latency, latency_to_correct : Spread
        Spikes fired before the first output spike, and before the first of the correct output
        neuron.
    forward_steps, synaptic_operations, neuron_updates : Spread
        Work per sample.
    energy_synaptic_operations, energy_neuron_updates, energy_spikes, energy : Spread
        Joules per sample according to the energy model: its three parts, and the total.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(3), (4, 10, 1)), dt=10e-3)
    >>> samples = pa.study.Samples.split("lines", x, np.arange(30) % 3)
    >>> recipe = pa.study.Recipe(hidden=(12,), epochs=5, weight_scale=3.0, input_dropout=0.0)
    >>> report = pa.study.study(samples, {"mine": recipe}, ["random"], [1], seeds=[0, 1])
    >>> [(row.trained, row.run, row.as_trained) for row in report.rows]
    [('mine', 'layered', False), ('mine', 'random, F = 1', False), ('mine', 'random, F = 8', True)]
    >>> len(report.rows[0].accuracy.values)   # one a seed
    2
    """

    trained: str
    schedule: str
    forward_group_size: int | None
    as_trained: bool
    accuracy: Spread
    difference: Spread
    difference_error: float
    decided: Spread
    reached_quiescence: Spread
    spikes: Spread
    density: Spread
    latency: Spread
    latency_to_correct: Spread
    forward_steps: Spread
    synaptic_operations: Spread
    neuron_updates: Spread
    energy_synaptic_operations: Spread
    energy_neuron_updates: Spread
    energy_spikes: Spread
    energy: Spread

    @property
    def run(self) -> str:
        """The schedule and its F, for display."""
        return ordered(self.schedule, self.forward_group_size)


@dataclass(frozen=True, eq=False)
class Finished:
    """One training of a study, and the evaluation of its network.

    Attributes
    ----------
    job : Job
    network : Network
    history : tuple of Epoch
    versions : dict of str to str
        Versions of the packages that trained it.
    evaluation : Evaluation
    """

    job: Job
    network: Network
    history: tuple[Epoch, ...]
    versions: dict[str, str]
    evaluation: Evaluation


def rows_of(
    finished: Sequence[Finished], plan: Plan, energy: EnergyModel, n_timesteps: int
) -> list[StudyRow]:
    """The rows: one for each run of every recipe that has a finished training."""
    base = {each.job.seed: each for each in finished if each.job.trained == plan.baseline}
    rows = []
    for name, recipe in plan.recipes.items():
        own = [each for each in finished if each.job.trained == name]
        trained_under = run_label(as_trained(recipe))
        for index in range(len(plan.runs) if own else 0):
            found = [each.evaluation.rows[index] for each in own]
            priced = [energy.of(row) for row in found]
            gained = [
                each.evaluation.correct[index].astype(np.float64)
                - base[each.job.seed].evaluation.correct[0]
                for each in own
                if each.job.seed in base
            ]
            density = [
                row.spikes / each.network.n_neurons / n_timesteps
                for row, each in zip(found, own, strict=True)
            ]
            rows.append(
                StudyRow(
                    trained=name,
                    schedule=found[0].schedule,
                    forward_group_size=found[0].forward_group_size,
                    as_trained=found[0].run == trained_under,
                    difference=Spread(tuple(float(each.mean()) for each in gained)),
                    difference_error=paired_error(gained),
                    density=Spread(tuple(density)),
                    energy_synaptic_operations=Spread(
                        tuple(each.synaptic_operations for each in priced)
                    ),
                    energy_neuron_updates=Spread(tuple(each.neuron_updates for each in priced)),
                    energy_spikes=Spread(tuple(each.spikes for each in priced)),
                    energy=Spread(tuple(each.total for each in priced)),
                    **{key: Spread(tuple(getattr(row, key) for row in found)) for key in COUNTED},
                )
            )
    return rows


def paired_error(differences: Sequence[npt.NDArray[np.float64]]) -> float:
    """Standard error of the mean of paired differences, over both seeds and samples.

    With one seed, over samples only; NaN with none.

    Parameters
    ----------
    differences : sequence of float64 [n_samples]
        One array per seed.

    Examples
    --------
    >>> import numpy as np
    >>> from pyasync.study.study_rows import paired_error
    >>> paired_error([np.array([1.0, 0.0, 0.0, -1.0])]).__round__(3)
    0.354
    """
    if not differences:
        return math.nan
    by_sample = np.mean(differences, axis=0)
    squared = float(by_sample.var()) / len(by_sample)
    if len(differences) > 1:
        by_seed = np.mean(differences, axis=1)
        squared += float(by_seed.var(ddof=1)) / len(by_seed)
    return math.sqrt(squared)
