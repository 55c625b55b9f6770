"""The study: what it trains and runs, and that every number equals that of a plain simulation."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="studies train with PyTorch, which is not installed")
from toy_study import N_TEST, N_TRAIN, RECIPES, SHARED, samples, toy_study

import pyasync as pa
from pyasync.study import EnergyModel, Recipe, Samples, StudyReport
from pyasync.study.plan import Plan, as_trained
from pyasync.study.presets import PRESETS, Preset


@pytest.fixture(scope="module")
def report() -> StudyReport:
    return toy_study()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the networks of a finished study."""
    folder = tmp_path_factory.mktemp("networks")
    toy_study(folder=folder)
    return folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """A list to which the schedule and seed of every later training are appended."""
    module = import_module("pyasync.study.training")
    asked: list[tuple[str, int]] = []
    train = module.train

    def noted(recipe: Recipe, *given: Any, **options: Any) -> Any:
        asked.append((recipe.schedule, recipe.seed))
        return train(recipe, *given, **options)

    monkeypatch.setattr(module, "train", noted)
    return asked


def test_what_holds_arrays_is_shown_in_one_line() -> None:
    toy = samples()
    training = pa.study.train(SHARED.replace(epochs=1), toy.train_x, toy.train_y)
    assert repr(toy) == "Samples(toy, 30 for training, 15 for testing, 3 classes)"
    assert repr(training) == f"Training(1 epoch, {training.network!r})"


def test_every_recipe_is_trained_with_every_seed_and_run_under_every_schedule(
    report: StudyReport,
) -> None:
    trained = [(each.job.trained, each.job.seed) for each in report.finished]
    assert trained == [("layered", 0), ("random", 0), ("layered", 1), ("random", 1)]
    runs = ["layered", "random, F = 1", "fifo, F = 1", "random, F = 2"]
    assert [(row.trained, row.run) for row in report.rows] == [
        (name, run) for name in ("layered", "random") for run in runs
    ]
    assert report.is_complete
    assert repr(report) == "StudyReport(toy, 4 of 4 trainings, 4 runs each)"


def test_a_network_is_run_as_it_was_trained_though_nobody_asked(report: StudyReport) -> None:
    assert [(row.trained, row.run) for row in report.rows if row.as_trained] == [
        ("layered", "layered"),
        ("random", "random, F = 2"),
    ]


def test_each_value_is_what_a_simulation_gives(report: StudyReport) -> None:
    toy = samples()
    for finished in report.finished:
        index, seed = (0, 1).index(finished.job.seed), finished.job.seed
        for run, schedule in (
            ("layered", pa.Layered()),
            ("random, F = 1", pa.Random(1)),
            ("fifo, F = 1", pa.Fifo(1)),
        ):
            row = report.row(finished.job.trained, run)
            assert row is not None
            result = pa.simulate(finished.network, toy.test_x, schedule, seed=seed)
            assert row.accuracy.values[index] == result.accuracy(toy.test_y)
            for name in ("spikes", "forward_steps", "synaptic_operations", "neuron_updates"):
                value = getattr(row, name).values[index]
                assert value == pytest.approx(getattr(result, name).mean())
            assert row.density.values[index] == pytest.approx(result.spike_density.mean())
            assert row.latency.values[index] == pytest.approx(np.nanmean(result.latency))
            curve = result.anytime_accuracy(toy.test_y, report.anytime_spikes)
            np.testing.assert_allclose(report.anytime(finished.job.trained, run)[index], curve)


def test_differences_are_paired_with_the_baseline_of_the_same_seed(report: StudyReport) -> None:
    base, own = report.row("layered", "layered"), report.row("random", "random, F = 1")
    assert base is not None
    assert own is not None
    pairs = zip(own.accuracy.values, base.accuracy.values, strict=True)
    assert own.difference.values == pytest.approx([a - b for a, b in pairs])
    assert base.difference.values == (0, 0)
    assert base.difference_error == 0


def test_the_error_is_over_seeds_and_over_samples_together(report: StudyReport) -> None:
    row = report.row("random", "random, F = 1")
    assert row is not None
    toy, lost = samples(), []
    for seed in (0, 1):
        own, base = (
            next(f.network for f in report.finished if (f.job.trained, f.job.seed) == (name, seed))
            for name in ("random", "layered")
        )
        right = pa.simulate(own, toy.test_x, pa.Random(1), seed=seed).decisions() == toy.test_y
        was = pa.simulate(base, toy.test_x, pa.Layered()).decisions() == toy.test_y
        lost.append(right.astype(float) - was)
    seeds = np.mean(lost, axis=1).var(ddof=1) / 2
    over_samples = np.mean(lost, axis=0).var() / N_TEST
    assert row.difference_error == pytest.approx(np.sqrt(seeds + over_samples))
    assert row.difference_error > 0


def test_a_study_repeated_gives_the_same_json_but_for_seconds(report: StudyReport) -> None:
    def timeless(report: StudyReport) -> Any:
        content = json.loads(report.to_json())
        for training in content["trainings"]:
            for epoch in training["history"]:
                assert epoch.pop("seconds") > 0
        return content

    again = toy_study(threads=1)
    assert timeless(again) == timeless(report)


def test_the_report_so_far_is_given_after_each_training() -> None:
    seen: list[tuple[int, bool]] = []
    toy_study(finished=lambda report: seen.append((len(report.finished), report.is_complete)))
    assert seen == [(1, False), (2, False), (3, False), (4, True)]


def test_finished_trainings_are_not_trained_again(
    kept: Path, trained: list[tuple[str, int]]
) -> None:
    again = toy_study(folder=kept)
    assert trained == []
    assert again.to_json() == toy_study(folder=kept).to_json()
    suffixes = sorted(each.suffix for each in kept.iterdir())
    assert suffixes == [".json"] * 4 + [".safetensors"] * 4


@pytest.mark.parametrize("change", ["recipe", "samples", "seed"])
def test_of_another_recipe_seed_or_samples_nothing_is_taken(
    change: str, kept: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "copy"))
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    match change:
        case "recipe":
            changed = {**RECIPES, "random": RECIPES["random"].replace(epochs=1)}
            toy_study(folder=folder, recipes=changed)
            assert trained == [("random", 0), ("random", 1)]
        case "samples":
            toy_study(folder=folder, samples=samples(seed=1), seeds=(1,))
            assert trained == [("layered", 1), ("random", 1)]
        case "seed":
            toy_study(folder=folder, seeds=(1, 2))
            assert trained == [("layered", 2), ("random", 2)]
    assert before.items() <= {each.name: each.read_bytes() for each in folder.iterdir()}.items()


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("size", [None, 0, 40])
def test_half_a_training_is_trained_again(
    suffix: str, size: int | None, kept: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "copy"))
    (file,) = folder.glob(f"toy-random-seed1-*{suffix}")
    whole = file.read_bytes()
    file.unlink()
    if size is not None:
        file.write_bytes(whole[:size])
    toy_study(folder=folder)
    assert trained == [("random", 1)]
    if suffix == ".safetensors":
        assert file.read_bytes() == whole, "a training repeated gives the same bits"


@pytest.mark.parametrize("change", ["weight", "history", "no history", "accuracy"])
def test_an_altered_training_is_trained_again(
    change: str, kept: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "copy"))
    (text,) = folder.glob("toy-random-seed1-*.json")
    (network,) = folder.glob("toy-random-seed1-*.safetensors")
    whole, content = network.read_bytes(), json.loads(text.read_text())
    match change:
        case "weight":
            network.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "history":
            content["history"][0]["seconds"] = "y"
        case "no history":
            content["history"] = []
        case "accuracy":
            content["history"][1]["validation_accuracy"] = None
    text.write_text(json.dumps(content))
    toy_study(folder=folder)
    assert trained == [("random", 1)]
    assert network.read_bytes() == whole


def test_an_interrupted_training_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = sys.modules["pyasync.study.loop"].Loop
    run_epoch = loop.run_epoch
    epochs: list[int] = []

    def counted(self: Any, bar: Any) -> Any:
        epochs.append(len(self.history))
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, bar)

    monkeypatch.setattr(loop, "run_epoch", counted)
    one = {"recipes": {"random": RECIPES["random"]}, "seeds": (0,)}
    with pytest.raises(KeyboardInterrupt):
        toy_study(folder=tmp_path, **one)
    assert [each.suffix for each in tmp_path.iterdir()] == [".checkpoint"]
    report = toy_study(folder=tmp_path, **one)
    assert epochs == [0, 1, 2, 2]
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".json", ".safetensors"]
    unbroken = toy_study(**one)
    assert report.rows == unbroken.rows


def test_its_networks_are_those_that_the_audit_reads(report: StudyReport, kept: Path) -> None:
    (file,) = kept.glob("toy-random-seed0-*.safetensors")
    toy = samples()
    audited = pa.study.audit(pa.Network.load(file), toy.test_x, toy.test_y, ["fifo"], [1])
    row = report.row("random", "fifo, F = 1")
    assert row is not None
    assert audited.rows[1].accuracy == row.accuracy.values[0]


def test_without_recipes_the_preset_of_that_name_is_trained(
    trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Preset(SHARED.replace(epochs=1), forward_group_size=4, tau_mem_timesteps=2.0)
    monkeypatch.setitem(PRESETS, "npz", small)
    report = toy_study(recipes=None, seeds=[3])
    assert trained == [("layered", 3), ("random", 3), ("momentum", 3)]
    assert report.plan.recipes["momentum"].forward_group_size == 4
    assert report.plan.recipes["layered"].tau_mem == pytest.approx(20e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_compares_like_with_like_but_for_what_the_study_page_names(name: str) -> None:
    recipes = PRESETS[name].recipes(10e-3)
    assert list(recipes) == ["layered", "random", "momentum"]
    scopes = {key: each.effective_gradient_scope for key, each in recipes.items()}
    unlayered = "touched" if name == "digits" else "spikes"
    assert scopes == {"layered": "touched", "random": unlayered, "momentum": unlayered}
    same = {"schedule": "random", "spike_cost": 0.0, "refractory_dropout": 0.0}
    alike = {
        tuple(sorted((k, str(v)) for k, v in recipe.replace(**same).to_dict().items()))
        for recipe in (each.replace(forward_group_size=8) for each in recipes.values())
    }
    assert len(alike) == 1
    assert recipes["layered"].effective_refractory_dropout == 0


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(schedule="layered"), pa.Layered()),
        (Recipe(schedule="momentum", forward_group_size=3), pa.Momentum(3)),
        (Recipe(schedule="lifo", forward_group_size=(1, 64)), pa.Lifo(8)),
        (Recipe(schedule="random", forward_group_size=(16, 64)), pa.Random(16)),
        (Recipe(schedule="mixed", forward_group_size=(1, 4)), pa.Random(4)),
    ],
)
def test_a_network_is_run_under_the_schedule_of_its_training(
    recipe: Recipe, expected: pa.Schedule
) -> None:
    assert as_trained(recipe) == expected


def test_the_baseline_is_the_layered_recipe_wherever_it_stands() -> None:
    recipes = dict(reversed(RECIPES.items()))
    assert Plan.make(recipes, [], [], [0]).baseline == "layered"
    assert Plan.make({"random": RECIPES["random"]}, [], [], [0]).baseline == "random"
    assert Plan.make(recipes, [], [], [0]).unlayered == ("random",)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"recipes": {}}, pa.InputError, "recipes: got {}"),
        ({"recipes": {"mine": 3}}, pa.InputError, "recipes: got {'mine': 3}"),
        ({"recipes": [SHARED]}, pa.InputError, "recipes: got"),
        ({"schedules": ["lottery"]}, pa.ScheduleError, "schedules: got 'lottery'"),
        ({"schedules": "lottery"}, pa.ScheduleError, "schedules: got 'lottery'"),
        ({"schedules": 3}, pa.ScheduleError, "schedules: got 3; accepted: layered, random"),
        ({"schedules": None}, pa.ScheduleError, "schedules: got None"),
        ({"schedules": [["fifo"]]}, pa.ScheduleError, r"schedules: got \['fifo'\]"),
        ({"schedules": [pa.Fifo()]}, pa.ScheduleError, "schedules: got Fifo"),
        ({"forward_group_sizes": [0]}, pa.ScheduleError, "forward_group_sizes: got 0"),
        ({"forward_group_sizes": 2.5}, pa.ScheduleError, "forward_group_sizes: got 2.5"),
        ({"forward_group_sizes": True}, pa.ScheduleError, "forward_group_sizes: got True"),
        ({"forward_group_sizes": None}, pa.ScheduleError, "forward_group_sizes: got None"),
        ({"forward_group_sizes": "8"}, pa.ScheduleError, "forward_group_sizes: got '8'"),
        (
            {"schedules": ["fifo"], "forward_group_sizes": []},
            pa.ScheduleError,
            "forward_group_sizes: got no size for the schedule 'fifo'; accepted: at least one",
        ),
        ({"energy": 3}, pa.InputError, "energy: got 3; accepted: a pyasync.study.EnergyModel"),
        ({"energy": EnergyModel}, pa.InputError, "energy: got <class"),
        ({"finished": 3}, pa.InputError, "finished: got 3; accepted: a function"),
        ({"seeds": []}, pa.InputError, "seeds: got"),
        ({"seeds": [1, 1]}, pa.InputError, "seeds: got"),
        ({"seeds": [-1]}, pa.InputError, "seeds: got -1"),
    ],
)
def test_a_bad_argument_is_named_before_anything_is_trained(
    change: Any, error: type[Exception], says: str, trained: list[tuple[str, int]]
) -> None:
    with pytest.raises(error, match=rf"^{says}"):
        toy_study(**change)
    assert trained == []


@pytest.mark.parametrize("sizes", [2, np.int64(2), np.array(2), [2], (2, 2), np.array([2])])
@pytest.mark.parametrize("schedules", ["fifo", ["layered", "fifo"], np.array(["fifo"])])
def test_one_schedule_or_size_need_not_be_in_a_list(schedules: Any, sizes: Any) -> None:
    runs = Plan.make({"layered": RECIPES["layered"]}, schedules, sizes, [0]).runs
    assert runs == (pa.Layered(), pa.Fifo(2))


def test_every_name_has_the_sizes_of_an_iterator() -> None:
    runs = Plan.make({"layered": RECIPES["layered"]}, ["fifo", "lifo"], iter([1, 2]), [0]).runs  # type: ignore[arg-type]
    assert runs == (pa.Layered(), pa.Fifo(1), pa.Fifo(2), pa.Lifo(1), pa.Lifo(2))


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(pa.FileError, match=r"^folder: got .*file"):
        toy_study(folder=tmp_path / "file" / "networks")
    with pytest.raises(pa.FileError, match=r"^folder: got 3; accepted: a path"):
        toy_study(folder=3)  # type: ignore[arg-type]


def test_without_test_samples_every_fifth_of_each_class_is_one() -> None:
    x = pa.SpikeBatch.from_dense(np.eye(23)[None], dt=1e-3)
    y = np.arange(23) % 2
    split = Samples.split("halves", x, y)
    assert split.test_x == x[[8, 9, 18, 19]]
    assert split.test_y.tolist() == [0, 1, 0, 1]
    assert len(split.train_x) == 19


@pytest.mark.parametrize("x", [None, np.ones(3), pa.SpikeBatch([0], [0, 1], 1, 3)])
def test_only_samples_with_a_timestep_are_split(x: Any) -> None:
    with pytest.raises(pa.InputError, match=r"^x: got .*; accepted: a SpikeBatch with .* a dt"):
        Samples.split("none", x, [0])


@pytest.mark.parametrize("number", [-1, 0, 2.5, "2"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_number_of_samples_that_is_none_is_named(part: str, number: Any) -> None:
    with pytest.raises(pa.InputError, match=rf"^{part}: got {number!r}; accepted: an integer of 1"):
        samples().few(**{part: number})


@pytest.mark.parametrize("order", ["sorted", "round"])
def test_few_samples_are_of_all_classes_alike(order: str) -> None:
    y = np.arange(12) // 4 if order == "sorted" else np.arange(12) % 3
    x = pa.SpikeBatch.from_dense(np.eye(12)[None], dt=1e-3)
    few = Samples("few", x, y, x, y).few(7, 3)
    assert np.bincount(few.train_y).tolist() == [3, 2, 2]
    assert np.bincount(few.test_y).tolist() == [1, 1, 1]
    first = [0, 4, 8] if order == "sorted" else [0, 1, 2]
    assert few.test_x == x[first]


def test_a_fingerprint_tells_events_classes_and_their_use_apart() -> None:
    toy = samples()
    other = [
        Samples("toy", toy.train_x, np.roll(toy.train_y, 1), toy.test_x, toy.test_y),
        Samples("toy", toy.test_x, toy.test_y, toy.train_x, toy.train_y),
        toy.few(N_TRAIN - 1),
        toy.few(None, N_TEST - 1),
        samples(seed=1),
    ]
    found = {each.fingerprint for each in (toy, *other)}
    assert len(found) == 6
    assert samples("of another name").fingerprint == toy.fingerprint


def test_a_fingerprint_tells_timesteps_and_shapes_apart() -> None:
    def of(**kind: Any) -> str:
        how: dict[str, Any] = {"n_timesteps": 2, "input_shape": 4, "dt": 1e-3, **kind}
        x = pa.SpikeBatch([0, 1], [0, 1, 2, 2, 2], **how)
        y = np.zeros(len(x), np.int64)
        return Samples("x", x, y, x, y).fingerprint

    kinds: list[dict[str, Any]] = [{}, {"dt": 2e-3}, {"input_shape": (2, 2)}, {"input_shape": 5}]
    assert len({of(**kind) for kind in kinds}) == 4
    assert of() == of()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train_x": 3}, "train_x: got 3"),
        ({"test_x": samples().test_x[:0], "test_y": []}, "test_x: got"),
        ({"test_x": pa.SpikeBatch.from_dense(np.ones((4, 15, 12)), dt=1e-3)}, "test_x: got"),
        ({"train_y": [0, 1]}, "train_y: got 2"),
        ({"test_y": np.full(N_TEST, -1)}, "test_y: got"),
        ({"test_y": np.full(N_TEST, 0.5)}, "test_y: got"),
    ],
)
def test_samples_that_do_not_fit_are_named(change: Any, says: str) -> None:
    toy = samples()
    parts = {name: getattr(toy, name) for name in ("train_x", "train_y", "test_x", "test_y")}
    with pytest.raises(pa.InputError, match=rf"^{says}"):
        Samples("toy", **{**parts, **change})


def test_a_free_run_stands_beside_the_schedules_where_it_is_asked_for() -> None:
    report = toy_study(schedules=["random", "free"], forward_group_sizes=[1], seeds=[0])
    rows = {row.run: row for row in report.rows if row.trained == "random"}
    assert set(rows) >= {"layered", "random, F = 1", "free, F = 1"}
    assert rows["free, F = 1"].reached_quiescence.mean == 1.0


def test_one_number_is_no_list_of_seeds() -> None:
    with pytest.raises(pa.InputError, match=r"^seeds: got 2; accepted: different integers"):
        pa.study.study(samples(), RECIPES, seeds=2)  # type: ignore[arg-type]
