"""Training follows the recipe, is reproducible to the bit, and leaves no state behind."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from toys import QUICK, bits, toy

import pyasync as pa

torch = pytest.importorskip("torch")

from plain_loop import plain_loop  # noqa: E402

from pyasync.study.training import Epoch, train  # noqa: E402

X, Y = toy()


@pytest.mark.parametrize("schedule", ["random", "layered", "momentum", "fifo", "lifo", "mixed"])
def test_it_learns_under_every_schedule(schedule) -> None:
    recipe = QUICK.replace(schedule=schedule, epochs=15)
    training = train(recipe, X, Y, validation=toy(60, seed=1))
    assert [epoch.epoch for epoch in training.history] == list(range(1, 16))
    assert training.history[-1].loss < training.history[0].loss
    assert training.history[-1].validation_accuracy > 0.8, "three classes: chance is 0.33"


VARIANTS = {
    "default": {},
    "learned neurons": {"learn_tau_mem": True, "learn_threshold": True, "weight_decay": 1e-3},
    "recurrent": {"recurrent": True, "bias": True},
    "recurrent, layered": {"recurrent": True, "schedule": "layered"},
    "rate, smoothed, cosine, clipped": {
        "loss": "rate",
        "loss_scale": 0.5,
        "label_smoothing": 0.1,
        "learning_rate_schedule": "cosine",
        "gradient_clip": 0.1,
    },
    "augmented, dropped, costly": {
        "shift_channels": (1, 1),
        "shift_timesteps": 1,
        "spike_dropout": 0.1,
        "spike_cost": 1e-2,
        "spike_cost_warmup": 0.2,
    },
    "mixed": {"schedule": "mixed", "forward_group_size": (1, 64)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_repeated_gives_the_same_bits_with_any_number_of_threads(variant) -> None:
    recipe = QUICK.replace(**VARIANTS[variant])
    first = train(recipe, X, Y, threads=1, validation=(X, Y))
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    with torch.no_grad():
        again = train(recipe, X, Y, threads=3, validation=(X, Y))
    assert bits(first.network) == bits(again.network)
    untimed = [[dataclasses.replace(e, seconds=0.0) for e in t.history] for t in (first, again)]
    assert untimed[0] == untimed[1]
    other = train(recipe.replace(seed=1), X, Y)
    assert bits(other.network) != bits(first.network)
    if variant != "default":
        assert bits(train(QUICK, X, Y).network) != bits(first.network), "the values do nothing"


def test_nothing_of_pytorch_is_left_changed() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    state, legacy = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    try:
        train(QUICK.replace(epochs=1), X, Y)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


# Every value that a loop reads occurs in one of them. In the second, some gradients and spike
# counts are above its clip and target, and some below.
LOOPS = {
    "rate": {
        "loss": "rate",
        "loss_scale": 0.5,
        "label_smoothing": 0.1,
        "gradient_clip": 0.05,
        "weight_decay": 0.5,
        "bias": True,
        "learn_tau_mem": True,
        "learn_threshold": True,
        "shift_channels": (1, 1),
        "shift_timesteps": 1,
        "schedule": "mixed",
        "forward_group_size": (1, 16),
        "seed": 5,
    },
    "timestep": {
        "loss": "timestep",
        "loss_scale": 2.0,
        "label_smoothing": 0.2,
        "gradient_clip": 0.3,
        "learning_rate_schedule": "cosine",
        "learning_rate_warmup": 0.25,
        "recurrent": True,
        "spike_dropout": 0.1,
        "spike_cost": 2e-2,
        "spike_cost_warmup": 0.2,
        "spike_target": 18.0,
        "shift_timesteps": 2,
    },
    "costly and cosine from the start": {
        "schedule": "momentum",
        "forward_group_size": 2,
        "learning_rate_schedule": "cosine",
        "learning_rate_warmup": 0.0,
        "weight_decay": 1e-2,
        "spike_cost": 1e-3,
        "spike_cost_warmup": 0.0,
        "shift_channels": 1,
    },
}


@pytest.mark.parametrize("values", LOOPS.values(), ids=LOOPS)
def test_it_is_what_a_plain_loop_does(values) -> None:
    recipe = QUICK.replace(**values)
    training = train(recipe, X, Y)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a training does
    try:
        model, losses = plain_loop(recipe, X, Y)
    finally:
        torch.set_num_threads(threads)
    assert [epoch.loss for epoch in training.history] == pytest.approx(losses)
    trained = training.model.state_dict()
    for name, plain in model.state_dict().items():
        assert torch.equal(trained[name], plain), name


def test_the_history_is_of_what_was_run() -> None:
    # With a learning rate of practically 0, every epoch runs the initial network.
    recipe = QUICK.replace(
        learning_rate=1e-30, schedule="fifo", refractory_dropout=0.0, input_dropout=0.0
    )
    seen: list[Epoch] = []
    training = train(recipe, X, Y, validation=(X, Y), on_epoch=seen.append)
    assert tuple(seen) == training.history
    run = pa.simulate(training.network, X, pa.Fifo(8))
    for epoch in training.history:
        assert epoch.accuracy == epoch.validation_accuracy == run.accuracy(Y)
        assert epoch.spikes == epoch.validation_spikes == run.spikes.mean()
        assert epoch.seconds > 0
    assert train(recipe, X, Y).history[0].validation_accuracy is None


def test_the_network_is_that_of_the_model() -> None:
    training = train(QUICK, X, Y, n_outputs=5)
    assert [p.name for p in training.network.populations] == ["hidden1", "output"]
    assert training.network.dtype == np.float32
    assert training.network.input_shape == (2, 3, 3)
    assert not training.model.training
    assert training.recipe == QUICK
    counts = pa.simulate(training.network, X, pa.Random(8)).counts
    assert np.array_equal(training.model(X).detach().numpy(), counts)
    assert counts.shape[2] == 5


def test_a_spike_cost_saves_spikes() -> None:
    plain = train(QUICK.replace(epochs=15), X, Y).history[-1]
    costly = train(QUICK.replace(epochs=15, spike_cost=2e-2, spike_cost_warmup=0.1), X, Y)
    assert costly.history[-1].spikes < 0.8 * plain.spikes


def test_progress_says_loss_accuracy_spikes_rate_and_time_left(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("pyasync._progress._rich_bar", lambda unit: None)
    train(QUICK, X, Y, progress=True)
    line = capsys.readouterr().err.split("\r")[-2]
    assert re.search(
        r"training: 90/90, [\d,]+ samples/s, loss \d\.\d{3}, accuracy \d\.\d{3}, "
        r"\d+ spikes, 0 s left",
        line,
    )


def test_a_silent_network_is_warned_of() -> None:
    with pytest.warns(pa.nn.ActivityWarning, match="no output neuron fired"):
        train(QUICK.replace(v_threshold=1e6, epochs=1), X, Y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": {}}, "recipe: got dict; accepted: a pa.study.Recipe"),
        ({"x": np.zeros((3, 4, 5))}, "x: got"),
        ({"x": pa.SpikeBatch([0], [0, 1], 1, 2)}, "x: got"),
        ({"y": Y[:-1]}, "y: got 29 classes; accepted: one for each of 30 samples"),
        ({"y": Y + 0.5}, "y: got"),
        ({"n_outputs": 2}, "y: got classes 0 .. 2; accepted: classes 0 .. 1"),
        ({"threads": 0}, "threads: got 0"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds: got -1"),
        ({"validation": X}, "validation: got SpikeBatch"),
        ({"validation": (X, Y[:3])}, "validation, y: got 3 classes"),
        ({"validation": (X, Y + 1)}, "validation, y: got classes 1 .. 3"),
        (
            {"validation": (pa.SpikeBatch([0], [0, 1], 1, 2, dt=1e-3), [0])},
            r"validation: got input shape \(2,\) and dt 0.001 s; accepted: input shape \(2, 3, 3\)",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(options, words) -> None:
    given = {"recipe": QUICK, "x": X, "y": Y} | options
    with pytest.raises(pa.InputError, match=words):
        train(given.pop("recipe"), given.pop("x"), given.pop("y"), **given)


DIVERGING = {"learning_rate": 1e30, "loss_scale": 1e30}


@pytest.mark.parametrize(
    ("values", "validated"),
    [
        ({}, False),
        # Damage by an epoch's last step may surface in the next step, the validation or the end.
        ({"batch_size": 30}, False),
        ({"batch_size": 30}, True),
        ({"batch_size": 30, "epochs": 1}, False),
    ],
)
def test_a_training_that_diverges_is_called_so(values, validated) -> None:
    says = r"^recipe: got a training that diverged in epoch 1 \(weight: got .*\); accepted: .*"
    says += "learning_rate .*loss_scale.* gradient_clip"
    with pytest.raises(pa.NetworkError, match=says):
        train(QUICK.replace(**DIVERGING, **values), X, Y, validation=(X, Y) if validated else None)


@pytest.mark.parametrize("size", [10**12, 2**63, 2**64 - 1])
def test_a_network_that_no_memory_holds_is_named(size: int) -> None:
    with pytest.raises(pa.InputError, match=rf"^n_outputs: got {size}, with hidden"):
        train(QUICK, X, Y, n_outputs=size)
    with pytest.raises(pa.InputError, match=rf"^n_outputs: got .*{size}"):
        train(QUICK.replace(hidden=(size,)), X, Y)


def test_a_recurrence_that_no_memory_holds_is_named() -> None:
    with pytest.raises(pa.InputError, match=r"^n_outputs: got .*, with hidden = \(3000000,\)"):
        train(QUICK.replace(hidden=(3_000_000,), recurrent=True), X, Y)
