"""`pyasync study`: train layered and unlayered, run both under every schedule, report."""

from __future__ import annotations

import time as clock
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from pyasync._checks import integer
from pyasync._wording import counted
from pyasync.cli import options
from pyasync.cli.recipe_options import shape_of
from pyasync.cli.study_samples import read
from pyasync.cli.tables import show
from pyasync.cli.targets import check_folder, check_installed, check_targets
from pyasync.errors import FileError, InputError, expected
from pyasync.study import EnergyModel, Recipe, StudyReport
from pyasync.study import study as run
from pyasync.study._recipe_values import SCHEDULES
from pyasync.study.plan import SCHEDULES as RUNS
from pyasync.study.plan import Plan
from pyasync.study.presets import PRESETS, Preset, preset_named
from pyasync.study.recipe import read_toml
from pyasync.study.study_page import FIGURES, PAGES

_PRICES = EnergyModel()


@options.with_options(options.OF_SHAPED_SAMPLES)
def study(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[digits|nmnist|shd|dvsgesture|FILE.npz|tonic:NAME]",
            help="What to train and test on; all but digits and FILE need --data.",
            show_default=False,
        ),
    ] = "digits",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data set's own files are.")
    ] = None,
    test_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Samples for testing.  \\[default: every fifth of each class in FILE]",
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(
            help="layered, random, momentum, fifo, lifo, mixed, or a table of --config: what to "
            "train; may be repeated.  \\[default: the first three, and the tables]",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Whose recipes to train: {', '.join(PRESETS)}.  \\[default: the data set's own]",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Values for all recipes; those in a table such as \\[random] for that one, and "
            "in a table of another name for a recipe of its own.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every training.")] = None,
    seeds: Annotated[int, typer.Option(help="Train every recipe so many times.")] = 3,
    seed: Annotated[int, typer.Option(help="The first seed; the others follow it.")] = 0,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            help="layered, random, momentum, fifo, lifo, free: what to run under; may be "
            "repeated.  \\[default: all but free]",
            show_default=False,
        ),
    ] = None,
    forward_group_size: Annotated[
        list[int] | None,
        typer.Option("--forward-group-size", "-F", help="F; may be repeated.  \\[default: 1 8 64]"),
    ] = None,
    energy_synaptic_operation: Annotated[
        float, typer.Option(metavar="JOULES", help="Price of an event through a synapse.")
    ] = _PRICES.synaptic_operation,
    energy_neuron_update: Annotated[
        float, typer.Option(metavar="JOULES", help="Price of the update of a neuron.")
    ] = _PRICES.neuron_update,
    energy_spike: Annotated[
        float, typer.Option(metavar="JOULES", help="Price of a spike.")
    ] = _PRICES.spike,
    samples: Annotated[
        int | None, typer.Option(help="Use so many test samples only, of all classes alike.")
    ] = None,
    train_samples: Annotated[
        int | None, typer.Option(help="Use so many training samples only.")
    ] = None,
    threads: options.Threads = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where report, figures and networks go.")
    ] = Path("out/study"),
    figures: Annotated[
        bool | None,
        typer.Option(
            help="Draw the figures.  \\[default: where matplotlib is]", show_default=False
        ),
    ] = None,
    json: options.JsonFile = None,
    **how: Any,
) -> None:
    """Train with and without layer synchronisation, and run both under every schedule.

    Writes report.md, report.html, study.json, figures and the trained networks. Ctrl-C stops within
    a second and leaves what was finished; the same command then goes on from there.
    """
    prices = EnergyModel(energy_synaptic_operation, energy_neuron_update, energy_spike)
    networks = out / "networks"
    for folder in (out, networks):
        check_folder("--out", folder)
    check_targets((source, test_data, config), folder=out, own=(*PAGES, *FIGURES), json=json)
    _check(figures)
    count = integer(InputError, "seeds", seeds, 1)
    first = integer(InputError, "seed", seed)
    numbers = PRESETS.get(source, PRESETS["npz"]) if preset is None else preset_named(preset)
    runs = schedule or RUNS, forward_group_size or (1, 8, 64), range(first, first + count)
    # Check the plan, with an arbitrary dt, before reading the data, which may take a minute.
    Plan.make(_recipes(numbers, 1e-3, train, config, epochs), *runs)
    how["input_shape"] = shape_of(how)
    whole = read(source, data, test_data, numbers, how)
    chosen = whole.few(
        None if train_samples is None else integer(InputError, "train_samples", train_samples, 1),
        None if samples is None else integer(InputError, "samples", samples, 1),
    )
    recipes = _recipes(numbers, chosen.dt, train, config, epochs)
    drawn = find_spec("matplotlib") is not None if figures is None else figures
    teller = _Teller(out, json, drawn)
    print(
        f"{chosen.name}: {len(chosen.train_x):,} training and "
        f"{counted(len(chosen.test_x), 'test sample')}; "
        f"{counted(count * len(recipes), 'training')} ({', '.join(recipes)}; "
        f"{counted(count, 'seed')})",
        flush=True,
    )
    report = run(
        chosen,
        recipes,
        *runs,
        prices,
        folder=networks,
        threads=threads,
        progress=True,
        finished=teller.finished,
    )
    print()
    show(report)
    written = [str(out / name) for name in teller.written] + ([str(json)] if json else [])
    print(f"\nwritten: {', '.join(written)}, networks in {networks}")


class _Teller:
    """Write the report and print the study's progress each time a training finishes."""

    def __init__(self, out: Path, json: Path | None, figures: bool) -> None:
        self.out, self.json, self.figures = out, json, figures
        self.written: list[str] = []
        self._last, self._took = clock.monotonic(), list[float]()

    def finished(self, report: StudyReport) -> None:
        plan, jobs, done = report.plan, report.plan.jobs, len(report.finished)
        # Figures take a second or two, so draw them only once every recipe has another network.
        drawn = self.figures and (done % len(plan.recipes) == 0 or report.is_complete)
        if done == 1:
            # Or figures of an earlier study would appear in this report.
            for name in FIGURES:
                (self.out / name).unlink(missing_ok=True)
        self.written = report.save(self.out, figures=drawn)
        if self.json is not None:
            report.save_json(self.json)
        self._took.append(clock.monotonic() - self._last)
        self._last = clock.monotonic()
        job = report.finished[-1].job
        own = next(row for row in report.rows if row.trained == job.trained and row.as_trained)
        line = (
            f"{done} of {len(jobs)}: {plan.title(job.trained)}, seed {job.seed}: "
            f"{100 * own.accuracy.values[-1]:.1f} % run so, "
            f"{own.spikes.values[-1]:,.0f} spikes a sample, {_minutes(self._took[-1])}"
        )
        if done < len(jobs):
            recent = self._took[-len(plan.recipes) :]
            left = (len(jobs) - done) * sum(recent) / len(recent)
            line += f"; about {_minutes(left)} left"
        print(line, flush=True)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"


def _check(figures: bool | None) -> None:
    """Refuse now what would otherwise fail after minutes of work."""
    for package in ["torch", "safetensors"] + ["matplotlib"] * bool(figures):
        check_installed(package, "studies need it")


def _recipes(
    preset: Preset, dt: float, train: list[str] | None, config: Path | None, epochs: int | None
) -> dict[str, Recipe]:
    """The recipes asked for: the preset's, changed by the TOML file and the options."""
    shared, tables = _values(config)
    names = [*preset.recipes(dt), *tables] if train is None else train
    made = {}
    for name in dict.fromkeys([*names, *tables]):  # unused tables are checked as well
        if name not in (*SCHEDULES, *tables):
            accepted = f"{', '.join(SCHEDULES)}, or a table of the TOML file"
            raise InputError(expected("train", repr(name), accepted))
        recipe = preset.training(name if name in SCHEDULES else "random", dt)
        try:
            made[name] = recipe.replace(**{**shared, **tables.get(name, {})})
        except InputError as error:
            raise _wrong(config, error) from error
    chosen = {name: made[name] for name in names}
    if epochs is None:
        return chosen
    return {name: recipe.replace(epochs=epochs) for name, recipe in chosen.items()}


def _values(config: Path | None) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The values in a TOML file for all recipes, and for each recipe that has a table."""
    if config is None:
        return {}, {}
    try:
        values = read_toml(config)
        tables = {name: each for name, each in values.items() if isinstance(each, dict)}
        shared = {name: each for name, each in values.items() if name not in tables}
        _refuse_plan(shared, tables)
    except OSError as error:
        raise _wrong(config, error.strerror) from error
    except ValueError as error:  # from TOML or UTF-8 decoding, or an InputError
        raise _wrong(config, error) from error
    return shared, tables


def _refuse_plan(shared: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
    """Refuse seeds, a schedule for all recipes, and one that contradicts the name of its table."""
    if any("seed" in values for values in (shared, *tables.values())):
        raise InputError(expected("seed", "a value", "none: --seeds decides all of them"))
    if "schedule" in shared:
        accepted = "none for all trainings: --train, or a table of its own such as [mine]"
        raise InputError(expected("schedule", repr(shared["schedule"]), accepted))
    for name, values in tables.items():
        if name in SCHEDULES and values.get("schedule", name) != name:
            given = f"{values['schedule']!r} in [{name}]"
            raise InputError(expected("schedule", given, f"{name!r}, or a table of another name"))


def _wrong(config: Path | None, why: object) -> FileError:
    """Wrap the error of a TOML file, which says what is wrong, to name the file."""
    accepted = "a TOML file of recipe values, such as epochs = 20, and tables of them"
    return FileError(expected("config", f"{config} ({why})", accepted))
