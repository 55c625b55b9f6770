"""The paper's study: train layered and unlayered, run both under every schedule, compare."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from pyasync._checks import callback, shown
from pyasync.errors import InputError, expected
from pyasync.study.energy import EnergyModel
from pyasync.study.evaluation import evaluate
from pyasync.study.plan import SCHEDULES, Job, Plan
from pyasync.study.presets import PRESETS
from pyasync.study.recipe import Recipe
from pyasync.study.samples import Samples
from pyasync.study.storage import Storage, Stored
from pyasync.study.study_json import versions
from pyasync.study.study_report import StudyReport
from pyasync.study.study_rows import Finished


def study(
    samples: Samples,
    recipes: Mapping[str, Recipe] | None = None,
    schedules: Sequence[str] = SCHEDULES,
    forward_group_sizes: Sequence[int] = (1, 8, 64),
    seeds: Sequence[int] = (0, 1, 2),
    energy: EnergyModel | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool = False,
    finished: Callable[[StudyReport], None] | None = None,
) -> StudyReport:
    """Train every recipe with every seed, and run each network under every schedule.

    The question is the paper's: does a network do better asynchronously if it was trained through
    asynchronous execution? The baseline is the same network trained and run layer by layer. Each
    training is evaluated once, on the test samples, after its last epoch: no epoch or recipe is
    chosen by its test results, and no schedule but those that the report calls best and worst. The
    test accuracy after each epoch in the histories is only used for the convergence curves.

    Parameters
    ----------
    samples : Samples
        What to train and test on.
    recipes : mapping of str to Recipe, optional
        The recipes to train, by name; their own seeds are ignored. None: the preset in
        `pyasync.study.presets` with the name of `samples`, or else the one for any data: layered,
        random F = 8 and momentum F = 8.
    schedules : sequence of {"layered", "random", "momentum", "fifo", "lifo", "free"}
        The schedules to run every network under. Layered is always run, and so is every schedule
        that a recipe trains with. "free" is `FreeRunning`, with every sample on all threads; its
        row differs from run to run.
    forward_group_sizes : sequence of int
        F of all schedules except layered and free.
    seeds : sequence of int
        Every recipe is trained once with each seed, which also seeds the runs of that network.
    energy : EnergyModel, optional
        Energy prices; those of Loihi if not given.
    folder : path, optional
        Where to keep trained networks. A network already there, with the same recipe, seed and
        samples, is not trained again, and an interrupted training is resumed.
    threads : int, optional
        Worker threads of the engine; all cores if not given. Only the results of free runs depend
        on it.
    progress : bool
        Whether to show progress on a terminal.
    finished : callable, optional
        Called with the report so far whenever a training is finished and evaluated.

    Returns
    -------
    StudyReport

    Raises
    ------
    InputError
        If an argument is not as described.
    ScheduleError
        If a schedule is unknown, or a group size is invalid.
    FileError
        If the folder cannot be written to.
    MissingDependencyError
        If PyTorch is not installed, or safetensors if `folder` is given.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import Recipe, Samples, study
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(3), (4, 10, 1)), dt=10e-3)
    >>> samples = Samples.split("lines", x, np.arange(30) % 3)
    >>> shared = Recipe(hidden=(12,), epochs=5, weight_scale=3.0, input_dropout=0.0)
    >>> report = study(
    ...     samples,
    ...     {"layered": shared.replace(schedule="layered"), "random": shared},
    ...     schedules=["random"], forward_group_sizes=[1], seeds=[0],
    ... )
    >>> report
    StudyReport(lines, 2 of 2 trainings, 3 runs each)
    >>> [row.run for row in report.rows if row.trained == "random"]
    ['layered', 'random, F = 1', 'random, F = 8']
    """
    if not isinstance(samples, Samples):
        accepted = "pyasync.study.Samples, with those for testing: Samples.split(name, x, y)"
        raise InputError(expected("samples", type(samples).__name__, accepted))
    if energy is not None and not isinstance(energy, EnergyModel):
        raise InputError(expected("energy", shown(energy), "a pyasync.study.EnergyModel, or None"))
    callback(InputError, "finished", finished)
    if recipes is None:
        recipes = PRESETS.get(samples.name, PRESETS["npz"]).recipes(samples.dt)
    plan = Plan.make(recipes, schedules, forward_group_sizes, seeds)
    prices = EnergyModel() if energy is None else energy
    storage = None if folder is None else Storage(folder)
    done: list[Finished] = []
    for number, job in enumerate(plan.jobs, 1):
        title = f"{number} of {len(plan.jobs)}: {plan.title(job.trained)}, seed {job.seed}"
        trained = _trained(job, samples, storage, threads, title, progress)
        evaluation = evaluate(
            trained.network,
            samples,
            plan.runs,
            seed=job.seed,
            threads=threads,
            title=f"running {title}",
            progress=progress,
        )
        done.append(Finished(job, trained.network, trained.history, trained.versions, evaluation))
        report = StudyReport.of(samples, plan, prices, done)
        if finished is not None:
            finished(report)
    return report


def _trained(
    job: Job,
    samples: Samples,
    storage: Storage | None,
    threads: int | None,
    title: str,
    progress: bool,
) -> Stored:
    """The network of a training: the stored one if there is one, else a newly trained one."""
    if storage is not None and (stored := storage.load(job, samples)) is not None:
        return stored
    # Imported only when needed, because it imports PyTorch.
    from pyasync.study.training import train

    training = train(
        job.recipe,
        samples.train_x,
        samples.train_y,
        n_outputs=samples.n_classes,
        validation=(samples.test_x, samples.test_y),
        threads=threads,
        checkpoint=None if storage is None else storage.path(job, samples, ".checkpoint"),
        progress=progress,
    )
    stored = Stored(training.network, training.history, versions())
    if storage is not None:
        storage.save(job, samples, stored)
    return stored
