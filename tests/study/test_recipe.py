"""A recipe is complete, refuses values that make no sense, and survives being stored."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli.recipe_options import _descriptions
from pyasync.study import Recipe

# A value that is not its default, for every field.
OTHER = {
    "hidden": (5, 7),
    "recurrent": True,
    "architecture": "conv_pool",
    "bias": True,
    "tau_mem": 0.1,
    "tau_syn": 0.02,
    "v_threshold": 0.5,
    "output_sync_threshold": 10,
    "learn_tau_mem": True,
    "learn_threshold": True,
    "learn_tau_syn": True,
    "weight_scale": 2.0,
    "recurrent_scale": 0.0,
    "schedule": "mixed",
    "forward_group_size": (1, 64),
    "momentum_noise": 0.1,
    "gradient_scope": "next_emission",
    "detach_reset": False,
    "surrogate": "fast_sigmoid",
    "surrogate_parameter": 25.0,
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 5e-4,
    "learning_rate_schedule": "cosine",
    "learning_rate_warmup": 0.0,
    "weight_decay": 1e-5,
    "gradient_clip": 1.0,
    "loss": "rate",
    "loss_scale": 0.3,
    "label_smoothing": 0.1,
    "refractory_dropout": 0.5,
    "input_dropout": 0.0,
    "spike_dropout": 1.0,
    "spike_cost": 1e-3,
    "spike_cost_warmup": 0.0,
    "spike_target": 100.0,
    "shift_channels": (2, 3),
    "shift_timesteps": 1,
    "seed": 2**64 - 1,
}

BAD = [
    ("hidden", 64),
    ("learning_rate", 1e38),
    ("weight_scale", 1e300),
    ("spike_cost", 1e31),
    ("hidden", (64, 0)),
    ("hidden", "64"),
    ("hidden", (6.5,)),
    ("recurrent", 1),
    ("recurrent", None),
    ("architecture", "convolution"),
    ("bias", "yes"),
    ("tau_mem", 0.0),
    ("tau_mem", "long"),
    ("tau_mem", math.nan),
    ("tau_mem", np.ones(3)),
    ("tau_mem", np.full(2, math.inf)),
    ("v_threshold", np.ones(3)),
    ("detach_reset", "false"),
    ("v_threshold", -1.0),
    ("v_threshold", math.inf),
    ("output_sync_threshold", -1),
    ("output_sync_threshold", 0.5),
    ("weight_scale", 0),
    ("recurrent_scale", -1),
    ("schedule", "lottery"),
    ("schedule", None),
    ("forward_group_size", 0),
    ("forward_group_size", (8, 1)),
    ("forward_group_size", (1, 2, 3)),
    ("forward_group_size", True),
    ("momentum_noise", -1e-6),
    ("gradient_scope", "all"),
    ("surrogate", "relu"),
    ("surrogate_parameter", 0),
    ("epochs", 0),
    ("epochs", 1.5),
    ("batch_size", -1),
    ("learning_rate", 0),
    ("learning_rate", "fast"),
    ("learning_rate_schedule", "step"),
    ("learning_rate_warmup", 1),
    ("weight_decay", -1),
    ("gradient_clip", 0),
    ("loss", "hinge"),
    ("loss_scale", 0),
    ("label_smoothing", 1),
    ("refractory_dropout", 1.1),
    ("input_dropout", 1),
    ("spike_dropout", -0.1),
    ("spike_cost", math.inf),
    ("spike_cost_warmup", 2),
    ("spike_target", -1),
    ("shift_channels", -1),
    ("shift_channels", (1, 2, 3)),
    ("shift_channels", np.array(2.5)),
    ("hidden", np.array(64)),
    ("shift_timesteps", 0.5),
    ("seed", -1),
    ("seed", 2**64),
]


def test_every_value_has_a_default_and_can_be_another() -> None:
    assert list(OTHER) == [field.name for field in dataclasses.fields(Recipe)]
    for name, value in OTHER.items():
        needed = {"tau_syn": 0.02} if name == "learn_tau_syn" else {}
        recipe = Recipe(**needed | {name: value})
        assert getattr(recipe, name) == value != getattr(Recipe(), name)


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda each: repr(each))
def test_a_bad_value_is_refused_by_name(name, value) -> None:
    with pytest.raises(pa.InputError, match=rf"^{name}: got .*; accepted: "):
        Recipe(**{name: value})


def test_values_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(pa.InputError, match="recurrent: got True for the architecture 'conv'"):
        Recipe(recurrent=True, architecture="conv")
    with pytest.raises(pa.InputError, match="tau_mem: got inf"):
        Recipe(tau_mem=math.inf, learn_tau_mem=True)
    for tau_syn in (math.inf, None):
        with pytest.raises(pa.InputError, match=f"tau_syn: got {tau_syn}"):
            Recipe(tau_syn=tau_syn, learn_tau_syn=True)


def test_a_recipe_is_a_plain_value() -> None:
    assert Recipe(hidden=[5, 7], seed=np.int64(3)) == Recipe(hidden=(5, 7), seed=3)
    endless = Recipe(tau_mem=np.float32(math.inf), bias=np.True_)
    assert endless == Recipe(tau_mem="inf", bias=True)
    assert [type(each) for each in (endless.tau_mem, endless.bias)] == [float, bool]
    assert len({Recipe(), Recipe(seed=0), Recipe(seed=1)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 1  # type: ignore[misc]


def test_it_is_json_and_back() -> None:
    # Values that exclude each other are left at their defaults.
    many = {name: value for name, value in OTHER.items() if name != "recurrent"}
    for recipe in (Recipe(), Recipe(**many), Recipe(tau_mem=math.inf, recurrent=True)):
        stored = json.loads(json.dumps(recipe.to_dict(), allow_nan=False))
        assert Recipe.from_dict(stored) == recipe


def test_replace_checks_what_it_changes() -> None:
    assert Recipe(epochs=3).replace(seed=4) == Recipe(epochs=3, seed=4)
    with pytest.raises(pa.InputError, match="epochs: got 0"):
        Recipe().replace(epochs=0)
    with pytest.raises(pa.InputError, match="recipe: got a value 'epoch'; accepted: hidden, "):
        Recipe().replace(epoch=1)


def test_what_is_left_open_follows_the_schedule() -> None:
    layered, random = Recipe(schedule="layered"), Recipe(schedule="random")
    assert layered.effective_gradient_scope == "touched"
    assert layered.effective_refractory_dropout == 0
    assert random.effective_gradient_scope == "spikes"
    assert random.effective_refractory_dropout == 0.8
    given = layered.replace(gradient_scope="spikes", refractory_dropout=0.1)
    assert given.effective_gradient_scope == "spikes"
    assert given.effective_refractory_dropout == 0.1


def test_a_toml_file_says_what_is_not_the_default(tmp_path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        'hidden = [5]\ntau_mem = inf\nschedule = "mixed"\nforward_group_size = [1, 9]\n'
    )
    assert Recipe.from_toml(file) == Recipe(
        hidden=(5,), tau_mem=math.inf, schedule="mixed", forward_group_size=(1, 9)
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epochs = ", ["recipe.toml", "TOML"]),
        (b"epoch = 3", ["recipe.toml", "'epoch'", "epochs"]),
        (b"epochs = 0", ["recipe.toml", "epochs: got 0"]),
        (b"[training]\nepochs = 3", ["recipe.toml", "'training'"]),
        (b"\xff\xfe", ["recipe.toml"]),
        (None, ["recipe.toml", "No such file"]),
    ],
)
def test_a_bad_toml_file_is_refused_by_name(content, words, tmp_path) -> None:
    file = tmp_path / "recipe.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(pa.FileError) as caught:
        Recipe.from_toml(file)
    assert all(word in str(caught.value) for word in words)


def test_the_docstring_describes_every_value_in_order() -> None:
    described = _descriptions()
    assert list(described) == [field.name for field in dataclasses.fields(Recipe)]
    assert all(described.values())


def test_a_recipe_needs_no_pytorch() -> None:
    code = "import sys, pyasync as pa; pa.study.Recipe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
