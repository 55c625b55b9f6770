"""`pyasync study` reports what `pyasync.study.study` finds, and can be interrupted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ctrl_c import interrupted

pytest.importorskip("torch", reason="studies train with PyTorch, which is not installed")

import pyasync as pa
from pyasync.cli import main

COMMAND = ["study", "toy.npz", "--epochs", "2", "--config", "small.toml", "--no-figures"]
FEW = ["--schedule", "fifo", "-F", "1", "--out", "out"]
N_CLASSES = 3


def samples(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % N_CLASSES
    x = rng.random((4, n, 12)) < 0.15
    for sample, label in enumerate(y):
        x[:, sample, 4 * label : 4 * label + 4] |= rng.random((4, 4)) < 0.5
    return {"x": x, "label": y, "dt": 10e-3}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with samples and a recipe for small networks, as the working directory."""
    monkeypatch.chdir(tmp_path)
    np.savez("toy.npz", **samples(40, 0))
    np.savez("test.npz", **samples(9, 1))
    Path("small.toml").write_text("hidden = [8]\nbatch_size = 10\nweight_scale = 2.0\n")
    return tmp_path


def written() -> Any:
    return json.loads(Path("out/study.json").read_text(encoding="utf-8"))


def test_a_file_is_studied_as_the_function_does(toy: Path, capsys) -> None:
    assert main([*COMMAND, *FEW, "--seeds", "2", "--seed", "5", "--json", "own.json"]) == 0
    content, shown = written(), capsys.readouterr().out
    assert content == json.loads(Path("own.json").read_text(encoding="utf-8"))
    assert content["seeds"] == [5, 6]
    assert [(each["trained"], each["seed"]) for each in content["trainings"]] == [
        (name, seed) for seed in (5, 6) for name in ("layered", "random", "momentum")
    ]
    assert (content["samples"]["n_train"], content["samples"]["n_test"]) == (34, 6)
    assert content["recipes"]["random"]["tau_mem"] == pytest.approx(28e-3)
    assert content["headline"] in shown
    assert "6 of 6: momentum, F = 8, seed 6: " in shown
    assert "left" in shown
    # The same command again uses what is there already.
    assert main([*COMMAND, *FEW, "--seeds", "2", "--seed", "5"]) == 0
    assert written() == content


def test_figures_of_an_earlier_study_are_not_shown_as_this_ones(toy: Path) -> None:
    pytest.importorskip("matplotlib")
    few = [*FEW, "--seeds", "1", "--train", "layered"]
    assert main([*COMMAND[:-1], *few]) == 0
    assert "anytime.png" in Path("out/report.md").read_text(encoding="utf-8")
    assert main([*COMMAND, *few]) == 0
    assert not list(Path("out").glob("*.png"))
    assert "anytime.png" not in Path("out/report.md").read_text(encoding="utf-8")


def test_another_data_sets_recipes_can_be_had_for_a_file(toy: Path) -> None:
    few = [*FEW, "--seeds", "1", "--train", "random"]
    with Path("small.toml").open("a", encoding="utf-8") as file:
        file.write("output_sync_threshold = 0\n")
    assert main([*COMMAND, *few, "--preset", "shd"]) == 0
    recipe = written()["recipes"]["random"]
    assert (recipe["shift_channels"], recipe["refractory_dropout"]) == (5, 0.5)
    assert (recipe["hidden"], recipe["epochs"]) == ([8], 2)


def test_its_networks_can_be_audited(toy: Path) -> None:
    assert main([*COMMAND, *FEW, "--seeds", "1", "--train", "layered"]) == 0
    (network,) = Path("out/networks").glob("*.safetensors")
    assert main(["audit", str(network), "--data", "test.npz", "--json", "audit.json"]) == 0


def test_options_say_what_is_trained_run_and_priced(toy: Path) -> None:
    Path("small.toml").write_text(
        "hidden = [8]\n[random]\nlearning_rate = 0.5\n[deep]\nhidden = [4, 4]\nepochs = 9\n"
    )
    train = ["--train", "layered", "--train", "random", "--train", "lifo", "--train", "deep"]
    prices = ["--energy-synaptic-operation", "1e-9", "--energy-neuron-update", "0"]
    options = ["--test-data", "test.npz", "--samples", "5", "--train-samples", "20", "--seeds", "1"]
    assert main([*COMMAND, *FEW, *train, *prices, "--energy-spike", "2e-9", *options]) == 0
    content = written()
    recipes = content["recipes"]
    assert list(recipes) == ["layered", "random", "lifo", "deep"]
    assert [each["schedule"] for each in recipes.values()] == [
        "layered",
        "random",
        "lifo",
        "random",
    ]
    assert [each["hidden"] for each in recipes.values()] == [[8], [8], [8], [4, 4]]
    assert [each["learning_rate"] for each in recipes.values()] == [2e-3, 0.5, 2e-3, 2e-3]
    assert {each["epochs"] for each in recipes.values()} == {2}, "--epochs outranks the file"
    assert content["energy_model"] == {
        "synaptic_operation": 1e-9, "neuron_update": 0, "spike": 2e-9,
    }  # fmt: skip
    assert (content["samples"]["n_train"], content["samples"]["n_test"]) == (20, 5)
    runs = {row["run"] for row in content["rows"]}
    assert runs == {"layered", "fifo, F = 1", "random, F = 8", "lifo, F = 8"}


def test_tables_of_a_file_are_trained_unless_options_name_others(toy: Path) -> None:
    with Path("small.toml").open("a", encoding="utf-8") as file:
        file.write("[mixed]\nforward_group_size = [1, 4]\n[eager]\nforward_group_size = 1\n")
    for train, names in {
        "": ["layered", "random", "momentum", "mixed", "eager"],
        "--train eager --train layered": ["eager", "layered"],
        "--train layered": ["layered"],
    }.items():
        assert main([*COMMAND, *FEW, "--seeds", "1", "--epochs", "1", *train.split()]) == 0
        recipes = written()["recipes"]
        assert list(recipes) == names
        assert all(recipes[name]["schedule"] == name for name in names if name != "eager")
        assert recipes.get("eager", {}).get("schedule", "random") == "random"


def test_a_data_set_of_tonic_is_named_by_its_class(toy: Path, monkeypatch) -> None:
    fields = np.dtype([("x", "i2"), ("t", "i8"), ("p", "i1")])
    asked: list[tuple[str, bool]] = []

    class Toy:
        sensor_size = (12, 1, 1)

        def __init__(self, save_to: str, train: bool) -> None:
            asked.append((save_to, train))
            self.x = samples(12 if train else 6, int(train))["x"]

        def __len__(self) -> int:
            return self.x.shape[1]

        def __getitem__(self, index: int) -> tuple[Any, int]:
            t, channel = np.nonzero(self.x[:, index])
            events = np.zeros(len(t), fields)
            events["x"], events["t"] = channel, 1000 * t
            return events, index % N_CLASSES

    tonic = SimpleNamespace(datasets=SimpleNamespace(Toy=Toy), __spec__=object())
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    command = ["study", "tonic:Toy", "--data", "there", *COMMAND[2:], *FEW, "--seeds", "1"]
    assert main([*command, "--dt", "1e-3", "--timesteps", "4", "--train", "layered"]) == 0
    assert asked == [("there", True), ("there", False)]
    assert written()["samples"]["name"] == "tonic:Toy"
    assert main([*command, "--dt", "1e-3"]) == 2
    assert main(["study", "tonic:Ploy", *command[2:], "--dt", "1e-3", "--timesteps", "4"]) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nmnist", {"dt": 10e-3, "n_timesteps": 10}),
        ("shd", {"dt": 20e-3, "n_timesteps": 60}),
        ("dvsgesture", {"dt": 20e-3, "n_timesteps": 75}),
    ],
)
@pytest.mark.parametrize("own", [{}, {"dt": 5e-3}, {"n_timesteps": 7}])
def test_a_data_set_is_read_as_its_preset_says_or_as_asked(
    name: str, expected: dict[str, Any], own: dict[str, Any], toy: Path, monkeypatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def read(path: Path, split: str, *, progress: bool, **how: Any) -> Any:
        asked.append((f"{path} {split}", how))
        made = samples(12, len(asked))
        return pa.SpikeBatch.from_dense(made["x"], how["dt"]), made["label"]

    monkeypatch.setattr(pa.data, name, read)
    # Eight hidden neurons cannot send as many events as a preset's output neurons may wait for.
    Path("small.toml").write_text(
        'hidden = [8]\narchitecture = "linear"\nweight_scale = 2.0\noutput_sync_threshold = 0\n'
    )
    flags = {"dt": "--dt", "n_timesteps": "--timesteps"}
    options = [part for key, value in own.items() for part in (flags[key], str(value))]
    command = ["study", name, "--data", "there", *COMMAND[2:], *FEW, "--seeds", "1"]
    assert main([*command, "--train", "layered", *options]) == 0
    how = {**expected, **own}
    assert asked == [("there train", how), ("there test", how)]
    assert written()["samples"]["name"] == name


BAD = {
    "no such data": ("none.npz", 1, ["none.npz"]),
    "data set without files": ("nmnist", 2, ["--data"]),
    "folder without files": ("nmnist --data .", 1, ["N-MNIST"]),
    "folder without shd": ("shd --data .", 1, ["shd_train.h5"]),
    "folder without gestures": ("dvsgesture --data .", 1, ["."]),
    "folder for a file": ("toy.npz --data .", 2, ["--data"]),
    "unknown preset": ("toy.npz --preset lottery", 1, ["preset", "lottery", "nmnist"]),
    "unknown training": ("toy.npz --train lottery", 1, ["train", "lottery", "mixed"]),
    "unknown schedule": ("toy.npz --schedule lottery", 1, ["schedules", "lottery"]),
    "empty groups": ("toy.npz -F 0", 1, ["forward_group_size", "0"]),
    "no seeds": ("toy.npz --seeds 0", 1, ["seeds", "0"]),
    "no epochs": ("toy.npz --epochs 0", 1, ["epochs", "0"]),
    "no test samples": ("toy.npz --samples 0", 1, ["samples", "0"]),
    "negative price": ("toy.npz --energy-spike -1", 1, ["spike", "-1"]),
    "no such recipe": ("toy.npz --config none.toml", 1, ["none.toml"]),
    "recipe of nothing": ("toy.npz --config bad.toml", 1, ["bad.toml", "hiden"]),
    "recipe that is none": ("toy.npz --config toy.npz", 1, ["toy.npz"]),
    "nowhere to write": ("toy.npz --json none/out.json", 1, ["none/out.json"]),
    "digits have their own time": ("digits --dt 1", 2, ["--dt"]),
    "folder that is a file": ("toy.npz --out toy.npz", 1, ["toy.npz"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_and_nothing_is_trained(case, toy: Path, capsys) -> None:
    Path("bad.toml").write_text("hiden = [8]\n")
    line, status, words = BAD[case]
    assert main(["study", *line.split()]) == status
    error = capsys.readouterr().err
    assert error.startswith("pyasync: "), error
    assert error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert not Path("out/study/study.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
def test_ctrl_c_ends_a_study_and_keeps_its_finished_trainings(toy: Path) -> None:
    with Path("small.toml").open("a") as file:
        file.write("[layered]\nepochs = 1\n[random]\nepochs = 100000\n")
    arguments = [*COMMAND[:2], *COMMAND[4:], *FEW]
    interrupted(arguments, lambda output: Path("out/report.md").exists())
    assert [each["trained"] for each in written()["trainings"]] == ["layered"]
    kept = sorted(each.suffix for each in Path("out/networks").iterdir())
    assert kept == [".checkpoint", ".json", ".safetensors"]
    assert pa.__version__ in Path("out/report.md").read_text(encoding="utf-8")
