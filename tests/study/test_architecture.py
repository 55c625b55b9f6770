"""The models that recipes describe: the paper's networks, initial weights and schedules."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")

from pyasync.study import Recipe  # noqa: E402
from pyasync.study.architecture import build, training_schedule  # noqa: E402
from pyasync.study.plan import as_trained  # noqa: E402


def shapes(model: pa.nn.AsyncNetwork) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.name, each.shape) for each in model.network().populations]


def n_parameters(model: pa.nn.AsyncNetwork) -> int:
    return sum(each.numel() for each in model.parameters())


def test_the_default_is_the_papers_network() -> None:
    model = build(Recipe(), (2, 34, 34), 10, 10e-3)
    assert shapes(model) == [
        ("hidden1", (64,)), ("hidden2", (64,)), ("hidden3", (64,)), ("output", (10,)),
    ]  # fmt: skip
    assert n_parameters(model) == 64 * (2312 + 64 + 64 + 10)


def test_the_convolutional_network_for_nmnist_is_the_papers() -> None:
    model = build(Recipe(architecture="conv", bias=True), (2, 34, 34), 10, 10e-3)
    assert model.network().n_neurons == 3594
    assert n_parameters(model) == 11_090
    assert n_parameters(build(Recipe(architecture="conv_stride"), (2, 34, 34), 10, 1.0)) == 11_024


def test_the_convolutional_network_for_dvs_gesture_is_the_papers() -> None:
    for name in ("conv", "conv_pool"):
        model = build(Recipe(architecture=name), (2, 32, 32), 11, 20e-3)
        assert model.network().n_neurons == 3163
        assert n_parameters(model) == 25 * (2 * 12 + 12 * 32) + 800 * 11


def test_a_network_without_hidden_populations() -> None:
    assert shapes(build(Recipe(hidden=()), 7, 3, 1e-3)) == [("output", (3,))]


def test_recurrent_joins_each_hidden_population_to_itself() -> None:
    network = build(Recipe(hidden=(5, 6), recurrent=True), 7, 3, 1e-3).network()
    links = [(each.source, each.target) for each in network.projections]
    assert links == [
        ("input", "hidden1"), ("hidden1", "hidden2"), ("hidden2", "output"),
        ("hidden1", "hidden1"), ("hidden2", "hidden2"),
    ]  # fmt: skip


def test_what_is_learned_of_neurons_is_learned_of_each() -> None:
    recipe = Recipe(hidden=(5,), learn_tau_mem=True, learn_threshold=True)
    model = build(recipe, 7, 3, 1e-3)
    learned = {name: tuple(each.shape) for name, each in model.neurons.named_parameters()}
    assert learned == {
        "0.log_tau_mem": (5,), "0.v_threshold": (5,), "1.log_tau_mem": (3,), "1.v_threshold": (3,),
    }  # fmt: skip
    neuron = model.network().populations[0].neuron
    assert np.allclose(neuron.tau_mem, recipe.tau_mem)
    assert np.allclose(neuron.v_threshold, recipe.v_threshold)


def test_only_output_neurons_wait_for_events() -> None:
    network = build(Recipe(hidden=(5, 4), output_sync_threshold=7), 7, 3, 1e-3).network()
    assert [each.neuron.sync_threshold for each in network.populations] == [0, 0, 7]


def test_first_weights_are_glorots_and_the_seeds_alone() -> None:
    recipe = Recipe(hidden=(100,), weight_scale=3.0, recurrent=True, recurrent_scale=0.5, bias=True)
    state = torch.random.get_rng_state()
    first = build(recipe, 200, 10, 1e-3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(1)
    again = build(recipe, 200, 10, 1e-3).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = build(recipe.replace(seed=1), 200, 10, 1e-3).state_dict()
    assert not torch.equal(first["projections.0.weight"], other["projections.0.weight"])
    for name, scale, fan in ((0, 3.0, 300), (1, 3.0, 110), (2, 0.5, 200)):
        limit = scale * math.sqrt(6 / fan)
        weights = first[f"projections.{name}.weight"]
        assert 0.95 * limit < weights.abs().max() <= limit
    assert not first["projections.0.bias"].any()


def test_a_model_is_float32_whatever_the_default_is() -> None:
    recipe = Recipe(hidden=(5,), learn_tau_mem=True)
    usual = build(recipe, 7, 3, 1e-3).state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        model = build(recipe, 7, 3, 1e-3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.network().dtype == np.float32
    assert all(torch.equal(usual[name], values) for name, values in model.state_dict().items())


@pytest.mark.parametrize(
    ("values", "training", "evaluation"),
    [
        ({"schedule": "layered"}, pa.Layered(), pa.Layered()),
        ({"schedule": "fifo", "forward_group_size": 3}, pa.Fifo(3), pa.Fifo(3)),
        ({"schedule": "lifo"}, pa.Lifo(8), pa.Lifo(8)),
        ({"schedule": "momentum"}, pa.Momentum(8, noise=1e-6), pa.Momentum(8)),
        ({}, pa.Random(8), pa.Random(8)),
    ],
)
def test_schedules_are_the_recipes(values, training, evaluation) -> None:
    assert training_schedule(Recipe(**values)) == training
    assert as_trained(Recipe(**values)) == evaluation


def test_schedules_that_are_drawn_stay_in_their_range() -> None:
    mixed = training_schedule(Recipe(schedule="mixed", forward_group_size=(2, 5)))
    chance = torch.Generator().manual_seed(0)
    drawn = [mixed.draw(chance) for _ in range(200)]
    assert {each.name for each in drawn} == {"random", "momentum", "fifo", "lifo", "layered"}
    sizes = {each.forward_group_size for each in drawn if hasattr(each, "forward_group_size")}
    assert sizes == {2, 3, 4, 5}
    assert mixed.eval == pa.Random(5)
    ranged = training_schedule(Recipe(schedule="lifo", forward_group_size=(16, 32)))
    assert {each.name for each in (ranged.draw(chance) for _ in range(20))} == {"lifo"}
    assert ranged.eval == pa.Lifo(16)


@pytest.mark.parametrize("shape", [(700,), (2, 34), (2, 3, 3)])
def test_an_architecture_that_does_not_fit_is_refused(shape) -> None:
    with pytest.raises(pa.InputError, match=r"architecture: got 'conv_pool' for"):
        build(Recipe(architecture="conv_pool"), shape, 10, 1e-3)


def test_the_surrogates_parameter_is_its_own_unless_given() -> None:
    usual = build(Recipe(hidden=(), surrogate="fast_sigmoid"), 7, 3, 1e-3).surrogate
    assert usual == pa.nn.fast_sigmoid()
    given = Recipe(hidden=(), surrogate="fast_sigmoid", surrogate_parameter=3.0)
    assert build(given, 7, 3, 1e-3).surrogate == pa.nn.fast_sigmoid(3.0)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        *(
            ({name: value}, {name: value})
            for name, values in {
                "gradient_scope": ("spikes", "next_emission", "touched"),
                "detach_reset": (False, True),
                "refractory_dropout": (0.0, 0.3, 1.0),
                "input_dropout": (0.0, 0.4),
                "spike_dropout": (0.0, 0.5),
            }.items()
            for value in values
        ),
        # None stands for the value that suits the schedule.
        ({"schedule": "fifo"}, {"gradient_scope": "spikes", "refractory_dropout": 0.8}),
        ({"schedule": "layered"}, {"gradient_scope": "touched", "refractory_dropout": 0.0}),
        ({"surrogate": "triangular"}, {"surrogate": pa.nn.triangular()}),
        ({"schedule": "lifo", "forward_group_size": 3}, {"schedule": pa.Lifo(3)}),
    ],
)
def test_a_model_has_the_options_of_its_recipe(values, options) -> None:
    model = build(Recipe(hidden=(), **values), 7, 3, 1e-3, threads=2)
    assert {name: getattr(model, name) for name in options} == options
    assert (model.dt, model.threads, model.training) == (1e-3, 2, True)


def test_neurons_that_learn_nothing_are_the_recipes() -> None:
    network = build(Recipe(hidden=(5,), tau_mem=7e-3, v_threshold=0.6), 7, 3, 1e-3).network()
    neuron = pa.LIF(tau_mem=7e-3, v_threshold=0.6)
    assert [each.neuron for each in network.populations] == [neuron, neuron]
