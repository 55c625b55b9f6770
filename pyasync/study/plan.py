"""What a study trains and runs: recipes times seeds, schedules times group sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyasync._checks import integer, shown
from pyasync._wording import ordered
from pyasync.errors import InputError, ScheduleError, expected
from pyasync.schedules import Fifo, FreeRunning, Layered, Lifo, Momentum, Random, Schedule
from pyasync.study.recipe import Recipe

SCHEDULES = ("layered", "random", "momentum", "fifo", "lifo")
NAMES = (*SCHEDULES, "free")
_GROUPED: dict[str, type[Random | Fifo | Lifo]] = {"random": Random, "fifo": Fifo, "lifo": Lifo}
# F for running a network whose training drew F (or the nearest value that training could draw).
_USUAL_GROUP = 8


@dataclass(frozen=True)
class Job:
    """One training of the plan.

    Attributes
    ----------
    trained : str
        The recipe's name.
    seed : int
    recipe : Recipe
        The recipe, with this seed.
    """

    trained: str
    seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """The trainings and the runs of a study.

    Attributes
    ----------
    recipes : dict of str to Recipe
    seeds : tuple of int
    runs : tuple of Schedule
        The schedules under which every network is run on the test samples, layered first.
    """

    recipes: dict[str, Recipe]
    seeds: tuple[int, ...]
    runs: tuple[Schedule, ...]

    @classmethod
    def make(
        cls,
        recipes: Mapping[str, Recipe],
        schedules: Sequence[str],
        forward_group_sizes: Sequence[int],
        seeds: Sequence[int],
    ) -> Plan:
        """Check and complete a plan.

        Two kinds of runs are always added: layered execution, the baseline, and the schedules under
        which the networks were trained.

        Raises
        ------
        InputError
            If there is no recipe or no seed, or a seed occurs twice.
        ScheduleError
            If a schedule or a group size is invalid.
        """
        if not isinstance(recipes, Mapping) or not recipes:
            accepted = "recipes by name, one or more"
            raise InputError(expected("recipes", shown(recipes), accepted))
        for name, recipe in recipes.items():
            if not isinstance(recipe, Recipe) or not (isinstance(name, str) and name.strip()):
                raise InputError(expected("recipes", shown({name: recipe}), "recipes by name"))
        if not isinstance(seeds, Iterable):
            raise InputError(expected("seeds", shown(seeds), "different integers, one or more"))
        checked = tuple(integer(InputError, "seeds", seed) for seed in seeds)
        if not checked or len(set(checked)) < len(checked):
            raise InputError(expected("seeds", shown(seeds), "different integers, one or more"))
        runs: dict[str, Schedule] = {"layered": Layered()}
        for each in runs_of(schedules, forward_group_sizes, ", ".join(NAMES)):
            runs.setdefault(run_label(each), each)
        for recipe in recipes.values():
            own = as_trained(recipe)
            runs.setdefault(run_label(own), own)
        return cls(dict(recipes), checked, tuple(runs.values()))

    @property
    def baseline(self) -> str:
        """The recipe that others are compared with: the first layered one, or else the first."""
        layered = [name for name, each in self.recipes.items() if each.schedule == "layered"]
        return (layered or list(self.recipes))[0]

    @property
    def unlayered(self) -> tuple[str, ...]:
        """The names of the recipes that train through asynchronous execution."""
        return tuple(name for name, each in self.recipes.items() if each.schedule != "layered")

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The trainings in order: all recipes with one seed, then all with the next."""
        return tuple(self._jobs())

    def _jobs(self) -> Iterator[Job]:
        # Seed by seed, so that the trainings finished before an interruption can be compared.
        for seed in self.seeds:
            for name, recipe in self.recipes.items():
                yield Job(name, seed, recipe.replace(seed=seed))

    def title(self, trained: str) -> str:
        """A recipe's name for display; see `recipe_title`."""
        return recipe_title(trained, self.recipes[trained])


def runs_of(
    schedules: Any, forward_group_sizes: Any, accepted: str, *, own: bool = False
) -> list[Schedule]:
    """Return the runs that schedules stand for; a single schedule or F need not be in a list.

    Parameters
    ----------
    schedules : sequence of str or Schedule
        A name stands for one run with every F, or for a single run if it is "layered" or "free". A
        schedule stands for itself.
    forward_group_sizes : sequence of int
        The values of F; may be empty if no schedule asked for needs one.
    accepted : str
        Description of valid `schedules` for error messages.
    own : bool
        Accept schedules as well as names.

    Raises
    ------
    ScheduleError
        If a schedule or a group size is invalid, or sizes are missing.

    Examples
    --------
    >>> from pyasync.study.plan import runs_of
    >>> runs_of(["layered", "fifo"], [1, 8], accepted="names")
    [Layered(feedback='next_timestep'), Fifo(forward_group_size=1), Fifo(forward_group_size=8)]
    """
    sizes = [
        integer(ScheduleError, "forward_group_sizes", size, 1)
        for size in _listed(forward_group_sizes)
    ]
    runs: list[Schedule] = []
    for each in _listed(schedules):
        if own and isinstance(each, Schedule):
            runs.append(each)
        elif not isinstance(each, str) or each not in NAMES:
            raise ScheduleError(expected("schedules", shown(each), accepted))
        elif each == "layered":
            runs.append(Layered())
        elif each == "free":
            runs.append(FreeRunning(parallel="shards"))
        elif not sizes:
            given = f"no size for the schedule {each!r}"
            raise ScheduleError(expected("forward_group_sizes", given, "at least one"))
        else:
            runs.extend(schedule_named(each, size) for size in sizes)
    return runs


def _listed(given: Any) -> list[Any]:
    """The items of a sequence as a list; anything else becomes a list of itself."""
    if isinstance(given, str):  # one name, not a sequence of letters
        return [given]
    try:
        return list(given)
    except TypeError:
        return [given]


def schedule_named(name: str, forward_group_size: int, noise: float = 0.0) -> Schedule:
    """Return the schedule with this name, with F if it has one, and noise if it is momentum.

    Examples
    --------
    >>> from pyasync.study.plan import schedule_named
    >>> schedule_named("fifo", 8), schedule_named("layered", 8)
    (Fifo(forward_group_size=8), Layered(feedback='next_timestep'))
    """
    if name == "layered":
        return Layered()
    if name == "momentum":
        return Momentum(forward_group_size, noise)
    return _GROUPED[name](forward_group_size)


def as_trained(recipe: Recipe) -> Schedule:
    """Return the schedule that a network was trained with, for running it: without added noise.

    If training draws F, use 8 or the nearest value that it may draw; if training draws the
    schedule, use random.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.plan import as_trained
    >>> as_trained(Recipe(schedule="fifo", forward_group_size=(16, 64)))
    Fifo(forward_group_size=16)
    """
    size: Any = recipe.forward_group_size
    if not isinstance(size, int):
        size = min(max(_USUAL_GROUP, size[0]), size[1])
    return schedule_named("random" if recipe.schedule == "mixed" else recipe.schedule, size)


def kind_label(schedule: Schedule) -> str:
    """A schedule's name, with its noise and its own seed, if it has them.

    Examples
    --------
    >>> import pyasync as pa
    >>> from pyasync.study.plan import kind_label
    >>> kind_label(pa.Random(8)), kind_label(pa.Momentum(8, noise=0.1, seed=3))
    ('random', 'momentum, noise = 0.1, seed = 3')
    """
    own = {
        "noise": getattr(schedule, "noise", 0.0) or None,
        "seed": getattr(schedule, "seed", None),
    }
    said = [f"{name} = {value}" for name, value in own.items() if value is not None]
    return ", ".join([schedule.name, *said])


def pick_name(schedule: Schedule) -> str | None:
    """The name of a custom schedule's function, if it has one of its own.

    Examples
    --------
    >>> import pyasync as pa
    >>> from pyasync.study.plan import pick_name
    >>> def oldest(pending, n, rng):
    ...     return range(n)
    >>> pick_name(pa.Custom(1, oldest)), pick_name(pa.Fifo(1))
    ('oldest', None)
    """
    name = getattr(getattr(schedule, "pick", None), "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else None


def run_label(schedule: Schedule) -> str:
    """A schedule and its F, for display.

    Examples
    --------
    >>> import pyasync as pa
    >>> from pyasync.study.plan import run_label
    >>> run_label(pa.Random(8)), run_label(pa.Layered())
    ('random, F = 8', 'layered')
    """
    size = getattr(schedule, "forward_group_size", None)
    return ordered(kind_label(schedule), size, pick_name(schedule))


def recipe_title(name: str, recipe: Recipe) -> str:
    """A recipe's name for display, with its F if the name is that of its schedule.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.plan import recipe_title
    >>> recipe_title("random", Recipe()), recipe_title("mine", Recipe())
    ('random, F = 8', 'mine')
    """
    size = recipe.forward_group_size
    if name != recipe.schedule or name == "layered":
        return name
    if isinstance(size, int):
        return ordered(name, size)
    return f"{name}, F = {size[0]} to {size[1]}"
