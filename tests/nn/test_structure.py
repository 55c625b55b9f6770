"""Chains and graphs: names, shapes, conversion to and from networks, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

HOW = {"schedule": pa.Random(4), "dt": 10e-3}


def graph() -> pa.Network:
    """A network with every kind of projection, feedback, lateral and parallel ones, parameters."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    network = pa.Network(input_shape=(2, 6, 6))
    network.add("conv", (3, 4, 4), pa.LIF(0.3, 5e-3, "subtract", reset_amount=0.35))
    network.add("values", (3, 2, 2), pa.LIF(tau_mem=np.inf, refractory="none", sync_threshold=1))
    network.add("a.b", 5, pa.LIF(v_threshold=rng.random(5)))
    network.add("rest", (1, 5))
    network.connect("input", "conv", pa.Conv2d(normal(3, 2, 3, 3), normal(3)))
    network.connect("conv", "values", pa.AvgPool2d(2))
    network.connect("conv", "values", pa.SumPool2d(2))
    network.connect("values", "a.b", pa.Linear(normal(5, 12), normal(5)))
    network.connect("input", "a.b", pa.Linear(normal(5, 72)))
    network.connect("a.b", "a.b", pa.OneToOne(np.float32(-0.25)))
    network.connect("a.b", "rest", pa.OneToOne(normal(5)))
    network.connect("rest", "rest", pa.Conv1d(normal(1, 1, 3), padding=1))
    arrays = np.array([0, 2, 2, 3, 3, 3]), np.array([0, 4, 2]), normal(3)
    network.connect("rest", "a.b", pa.Sparse(arrays, (5, 5), normal(5)))
    network.output = "a.b"
    return network


def same(a: pa.Network, b: pa.Network) -> bool:
    assert (a.input_shape, a.output) == (b.input_shape, b.output)
    assert a.populations == b.populations
    for one, other in zip(a.projections, b.projections, strict=True):
        assert (one.source, one.target) == (other.source, other.target)
        assert type(one.projection) is type(other.projection)
        assert one.projection.settings() == other.projection.settings()
        arrays = other.projection.arrays()
        assert one.projection.arrays().keys() == arrays.keys()
        for name, array in one.projection.arrays().items():
            np.testing.assert_array_equal(array, arrays[name])
            assert array.dtype == arrays[name].dtype
    return a.dtype == b.dtype


def test_a_network_of_any_graph_becomes_a_model_and_comes_back() -> None:
    network = graph()
    model = pa.nn.AsyncNetwork.from_network(network, **HOW)
    assert same(model.network(), network)
    x = np.random.default_rng(1).random((4, 3, 2, 6, 6)) < 0.3
    ran = pa.simulate(network, x, HOW["schedule"], dt=HOW["dt"])
    np.testing.assert_array_equal(model.eval()(torch.from_numpy(x)).detach(), ran.counts)
    assert ran.counts.sum() > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_model_has_the_networks_dtype(dtype: str) -> None:
    network = pa.Network.sequential([pa.Linear(np.eye(3))], dtype=dtype)
    model = pa.nn.AsyncNetwork.from_network(
        network, learn_tau_mem=True, learn_threshold=True, **HOW
    ).eval()
    assert {str(p.dtype) for p in model.parameters()} == {f"torch.{dtype}"}
    assert model.network().dtype == dtype
    assert model(torch.full((1, 1, 3), 2.0)).dtype == getattr(torch, dtype)
    assert set(dict(model.named_parameters())) == {
        "neurons.0.log_tau_mem",
        "neurons.0.v_threshold",
        "projections.0.weight",
    }


def test_a_model_without_parameters_has_a_dtype_too() -> None:
    options = {"input_shape": (1, 4, 4), **HOW}
    model = pa.nn.AsyncSequential(nn.AvgPool2d(2), pa.nn.LIF(v_threshold=0.2), **options).eval()
    x = torch.ones(1, 1, 1, 4, 4)
    assert (model(x).dtype, model.double()(x).dtype) == (torch.float32, torch.float64)
    assert not model(x).requires_grad
    assert set(model.state_dict()) == {"1.tau_mem", "1.v_threshold"}


def test_a_chain_is_the_chain_of_its_network() -> None:
    model = pa.nn.AsyncSequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.AvgPool2d(2)),
        pa.nn.LIF(v_threshold=0.1),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 5),
        pa.nn.LIF(),
        input_shape=(2, 8, 8),
        names=["features", "classes"],
        **HOW,
    )
    network = model.network()
    assert repr(network) == (
        "Network((2, 8, 8) -> features[36] -> classes[5], 2 projections, float32)"
    )
    assert network.projections[0].projection.weight.shape == (4, 2, 4, 4)
    assert set(model.state_dict()) >= {"0.0.weight", "1.tau_mem", "3.weight", "3.bias"}
    assert (len(model), model[1].__class__, len(list(model))) == (5, pa.nn.LIF, 5)


@pytest.mark.parametrize("replaced", ["weight", "module", "population"])
def test_replaced_modules_are_seen(replaced: str) -> None:
    model = pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), **HOW).eval()
    x = torch.ones(1, 1, 4)
    model(x)
    ones = nn.Parameter(torch.ones(3, 4))
    if replaced == "weight":
        model[0].weight = ones
    elif replaced == "module":
        model.add_module("0", nn.Linear(4, 3))
        model[0].weight = ones
    else:
        model.add_module("1", pa.nn.LIF(v_threshold=0.25))
        model[0].weight = ones
    assert model(x).sum() == 3
    model[0].weight = nn.Parameter(torch.ones(3, 5))
    with pytest.raises(pa.NetworkError, match=r"^weight: got shape \(3, 5\)"):
        model(x)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (nn.Conv2d(2, 3, 3), "stride", (2, 2)),
        (nn.Conv2d(2, 3, 3), "padding", (1, 1)),
        (nn.Conv2d(2, 3, 2), "dilation", (2, 2)),
        (nn.Conv1d(2, 3, 3), "stride", (2,)),
        (nn.AvgPool2d(2), "stride", [1, 1]),
        (pa.nn.SumPool2d(2), "padding", (1, 1)),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, nn.Module) else str(each),
)
def test_a_window_that_is_changed_is_seen(module: nn.Module, name: str, value: Any) -> None:
    shape = (2, 36) if isinstance(module, nn.Conv1d) else (2, 6, 6)

    def model() -> pa.nn.AsyncSequential:
        return pa.nn.AsyncSequential(module, pa.nn.LIF(v_threshold=0.1), input_shape=shape, **HOW)

    x = torch.rand(2, 1, *shape) < 0.5
    seen = model().eval()
    before = seen(x)
    setattr(module, name, value)
    changed = model().eval()(x)
    assert changed.shape != before.shape
    assert torch.equal(seen(x), changed)


def test_a_population_that_is_added_changes_no_graph_that_waits_for_its_backward(
    gradient: str,
) -> None:
    model = pa.nn.AsyncNetwork(4, gradient=gradient, **HOW).eval()
    model.add("a", 3, pa.nn.LIF(v_threshold=0.1))
    linear = nn.Linear(4, 3)
    model.connect("input", "a", linear)
    counts = model(torch.ones(2, 2, 4))
    model.add("b", 2)
    model.connect("a", "b", nn.Linear(3, 2))
    counts.sum().backward()
    assert linear.weight.grad is not None
    assert model(torch.ones(2, 2, 4)).shape == (2, 2, 2)
    model.output = "a"
    assert (model.output, model(torch.ones(2, 2, 4)).shape) == ("a", (2, 2, 3))


def test_a_shared_module_is_one_set_of_weights(gradient: str) -> None:
    shared = nn.Linear(4, 4, bias=False)
    nn.init.constant_(shared.weight, 0.5)
    model = pa.nn.AsyncSequential(
        shared, pa.nn.LIF(), shared, pa.nn.LIF(), gradient=gradient, **HOW
    ).eval()
    assert len(list(model.parameters())) == 1
    _, state = model(torch.ones(1, 1, 4), return_state=True, return_spike_counts=False)
    state.v.sum().backward()
    assert shared.weight.grad is not None


def test_the_graph_and_the_options_that_change_a_training_are_shown() -> None:
    model = pa.nn.AsyncNetwork.from_network(graph(), refractory_dropout=0.5, **HOW)
    assert "input -> conv, conv -> values" in repr(model)
    assert "refractory_dropout=0.5" in repr(model)
    assert "surrogate" not in repr(model)
    steep = pa.nn.AsyncNetwork.from_network(graph(), surrogate=pa.nn.sigmoid(9), **HOW)
    assert "surrogate=Surrogate(name='sigmoid', parameter=9.0)" in repr(steep)


def net() -> pa.nn.AsyncNetwork:
    model = pa.nn.AsyncNetwork(4, **HOW)
    model.add("a", 3)
    return model


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pa.nn.AsyncNetwork(**HOW), "n_inputs: got None"),
        (lambda: pa.nn.AsyncNetwork(0, **HOW), "n_inputs: got 0"),
        (
            lambda: pa.nn.AsyncNetwork(pa.Network.sequential([pa.Linear(np.eye(2))]), **HOW),
            r"n_inputs: got Network\(.*; accepted: an integer; pa.nn.AsyncNetwork.from_network",
        ),
        (lambda: net().add("a", 2), "name: got 'a'"),
        (lambda: net().add("input", 2), "name: got 'input'"),
        (lambda: net().add("b", 0), "shape: got 0"),
        (
            lambda: net().add("b", 2, pa.LIF()),
            r"neuron: got LIF; accepted: pa\.nn\.LIF \(pa\.nn\.LIF\.from_neuron makes",
        ),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.LIF(), **HOW),
            r"modules: got LIF; accepted: linear maps and pa\.nn\.LIF \(pa\.nn\.LIF\.from_neuron",
        ),
        (
            lambda: pa.Network(3).add("a", 2, pa.nn.LIF()),  # type: ignore[arg-type]
            r"neuron: got LIF; accepted: pa\.LIF \(`neuron\(\)` of a pa\.nn\.LIF\)",
        ),
        (
            lambda: pa.Network.sequential([pa.Linear([[1.0]])], pa.nn.LIF()),  # type: ignore[arg-type]
            r"neuron: got LIF; accepted: pa\.LIF \(`neuron\(\)` of a pa\.nn\.LIF\), or one",
        ),
        (
            lambda: pa.Network.sequential([nn.Linear(1, 1)]),  # type: ignore[list-item]
            r"projections: got \['Linear'\]; accepted: projections such as pa\.Linear",
        ),
        (lambda: net().add("b", 2, pa.nn.LIF(tau_mem=torch.ones(3))), "tau_mem: got an array"),
        (
            lambda: net().connect("z", "a", nn.Linear(4, 3)),
            "source: got 'z'; accepted: 'input', 'a'",
        ),
        (lambda: net().connect("input", "z", nn.Linear(4, 3)), "target: got 'z'"),
        (lambda: net().connect("input", "a", nn.Linear(4, 2)), "projection: got Linear"),
        (lambda: net().connect("input", "a", nn.Linear(5, 3)), "weight: got"),
        (lambda: net().connect("input", "a", torch.ones(3, 4)), "module: got Tensor"),
        (lambda: setattr(net(), "output", "z"), "output: got 'z'"),
        (lambda: setattr(net(), "output", ["a"]), r"output: got \['a'\]"),
        (lambda: net().connect(["a"], "a", nn.Linear(3, 3)), r"source: got \['a'\]"),
        (lambda: net().connect("a", ["a"], nn.Linear(3, 3)), r"target: got \['a'\]"),
        (lambda: pa.nn.AsyncNetwork(4, **HOW)(torch.ones(1, 1, 4)), "network: got no population"),
        (lambda: pa.nn.AsyncNetwork.from_network(net(), **HOW), "network: got AsyncNetwork"),
        (lambda: pa.nn.AsyncSequential(**HOW), "input_shape: got None"),
        (lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), **HOW), "modules: got no pa.nn.LIF"),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), nn.Linear(3, 2), **HOW),
            "modules: got Linear at the end",
        ),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), pa.nn.LIF(), **HOW),
            "module: got no linear map",
        ),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), names=["a", "b"], **HOW),
            "names: got 2 of them; accepted: 1",
        ),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), names=[], **HOW),
            "names: got 0 of them; accepted: 1",
        ),
        (
            lambda: pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), names=np.array(2), **HOW),
            r"names: got array\(2\)",
        ),
        (
            lambda: pa.nn.AsyncNetwork.from_network(net().network(), learn_threshold="no", **HOW),
            "learn_threshold: got 'no'; accepted: True or False",
        ),
        (lambda: pa.nn.AsyncSequential(nn.Conv2d(1, 1, 1), pa.nn.LIF(), **HOW), "input_shape: got"),
        (lambda: pa.nn.AsyncSequential(lambda x: x, pa.nn.LIF(), **HOW), "modules: got function"),
    ],
)
def test_what_makes_no_network_is_named(call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(pa.NetworkError, match=rf"^{says}"):
        call()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "random"}, "schedule: got 'random'"),
        ({"schedule": pa.Random}, "schedule: got <class"),
        ({"dt": 0}, "dt: got 0"),
        ({"surrogate": "atan"}, "surrogate: got 'atan'"),
        ({"gradient_scope": "all"}, "gradient_scope: got 'all'"),
        ({"gradient": "cuda"}, "gradient: got 'cuda'"),
        ({"detach_reset": "false"}, "detach_reset: got 'false'; accepted: True or False"),
        ({"detach_reset": 0}, "detach_reset: got 0"),
        ({"batch_first": "no"}, "batch_first: got 'no'; accepted: True or False"),
        ({"batch_first": None}, "batch_first: got None"),
        ({"refractory_dropout": 1.5}, "refractory_dropout: got 1.5"),
        ({"spike_dropout": -0.1}, "spike_dropout: got -0.1"),
        ({"input_dropout": 1.0}, "input_dropout: got 1.0"),
        ({"max_forward_steps": 0}, "max_forward_steps: got 0"),
        ({"threads": 0}, "threads: got 0"),
    ],
)
def test_a_bad_option_is_named(change, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(pa.PyasyncError, match=rf"^{says}"):
        pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), **{**HOW, **change})


def test_numpys_truth_values_are_options_too() -> None:
    how = {**HOW, "detach_reset": np.False_, "batch_first": np.True_}
    model = pa.nn.AsyncSequential(nn.Linear(4, 3), pa.nn.LIF(), **how)  # type: ignore[arg-type]
    assert (model.detach_reset, model.batch_first) == (False, True)
    assert type(model.batch_first) is bool
    with pytest.raises(pa.InputError, match=r"^batch_first: got 'yes'"):
        model.batch_first = "yes"  # type: ignore[assignment]


def test_a_network_of_many_populations_is_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking everything again for each new population and projection took minutes."""
    network = pa.Network(2)
    for n in range(50):
        network.add(f"{n}", 2)
        network.connect("input" if n == 0 else f"{n - 1}", f"{n}", pa.Linear(np.eye(2)))
    network.output = "7"
    looks = 0
    signature = pa.nn.AsyncNetwork._signature

    def counted(model: Any) -> Any:
        nonlocal looks
        looks += 1
        return signature(model)

    monkeypatch.setattr(pa.nn.AsyncNetwork, "_signature", counted)
    model = pa.nn.AsyncNetwork.from_network(network, **HOW)
    assert (model.output, len(model.neurons), len(model.projections)) == ("7", 50, 50)
    assert looks < 5


@pytest.mark.parametrize("use", ["simulate", "audit", "validate", "to_nir"])
def test_a_model_in_place_of_a_network_is_told_how_to_give_one(use: str) -> None:
    model: Any = pa.nn.AsyncSequential(nn.Linear(3, 2), pa.nn.LIF(), **HOW)
    x, step = np.ones((1, 1, 3)), 1e-3
    trace = pa.simulate(model.network(), x, dt=step, record=True).trace
    assert trace is not None
    calls = {
        "simulate": lambda: pa.simulate(model, x, dt=step),
        "audit": lambda: pa.study.audit(model, x, [0], dt=step),
        "validate": lambda: trace.validate(model),
        "to_nir": lambda: pa.interop.to_nir(model, dt=step),
    }
    says = r"^network: got AsyncSequential; accepted: a pyasync\.Network \(`model\.network\(\)`"
    with pytest.raises(pa.PyasyncError, match=says):
        calls[use]()
