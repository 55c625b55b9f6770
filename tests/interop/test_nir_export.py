"""Networks become NIR graphs whose equations give the same as the networks run layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_graphs import DT, GRAPHS, Equations, nir, normal, torch

import pyasync as pa
from pyasync.interop import from_nir, to_nir

LIF = pa.LIF(tau_mem=5e-3, v_threshold=0.3)


def network(name: str) -> pa.Network:
    return from_nir(GRAPHS[name], dt=DT, dtype="float64")


def spikes(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).binomial(2, 0.3, (40, 3, *shape)).astype(np.float64)


@pytest.mark.parametrize("integration", ["euler", "exponential"])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_graphs_equations_fire_as_the_network(name: str, integration: Any) -> None:
    ours = network(name)
    graph = to_nir(ours, dt=DT, integration=integration)
    x = spikes(ours.input_shape)
    counts = pa.simulate(ours, x, pa.Layered(), dt=DT).counts
    assert counts.sum() > 0
    np.testing.assert_array_equal(Equations(graph, integration).run(x), counts)


@pytest.mark.parametrize("target_dt", [None, 1e-4])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_network_comes_back_from_its_file(
    name: str, target_dt: float | None, tmp_path: Path
) -> None:
    ours = network(name)
    nir.write(str(tmp_path / "net.nir"), to_nir(ours, dt=DT, target_dt=target_dt))
    back = from_nir(tmp_path / "net.nir", dt=DT, source_dt=target_dt, dtype="float64")
    assert [p.name for p in back.populations] == [p.name for p in ours.populations]
    x = spikes(ours.input_shape)
    counts = pa.simulate(ours, x, pa.Fifo(3), dt=DT).counts
    np.testing.assert_array_equal(pa.simulate(back, x, pa.Fifo(3), dt=DT).counts, counts)


def test_names_that_the_graph_needs_are_given_way_to() -> None:
    ours = pa.Network(n_inputs=3)
    ours.add("output", 2, LIF)
    ours.add("input_to_output", 2, LIF)
    for source, target in (("input", "output"), ("input", "output"), ("output", "input_to_output")):
        n_in = 3 if source == "input" else 2
        ours.connect(source, target, pa.Linear(np.ones((2, n_in))))
    graph = to_nir(ours, dt=DT)
    ends = {name for name, node in graph.nodes.items() if isinstance(node, nir.Output)}
    assert ends == {"output_"}
    back = from_nir(graph, dt=DT)
    assert [p.name for p in back.populations] == ["output", "input_to_output"]
    assert [(c.source, c.target) for c in back.projections] == [
        (c.source, c.target) for c in ours.projections
    ]


def test_populations_may_have_been_added_before_what_reaches_them() -> None:
    ours = pa.Network(n_inputs=2)
    for name in ("output", "hidden", "first"):
        ours.add(name, 2, LIF)
    for source, target in (("input", "first"), ("first", "hidden"), ("hidden", "output")):
        ours.connect(source, target, pa.Linear(np.eye(2)))
    ours.output = "output"
    back = from_nir(to_nir(ours, dt=DT), dt=DT)
    assert [p.name for p in back.populations] == ["output", "hidden", "first"]
    assert back.output == "output"


def test_recurrence_comes_back() -> None:
    ours = pa.Network(n_inputs=3)
    ours.add("a", 4, LIF)
    ours.add("b", 2, pa.LIF(tau_mem=np.inf))
    weights = np.random.default_rng(0).normal(0.3, 0.5, (3, 4, 4))
    for source, target, weight in (
        ("input", "a", weights[0, :, :3]),
        ("a", "a", weights[1]),
        ("a", "b", weights[2, :2]),
        ("b", "a", weights[2, :, :2]),
    ):
        ours.connect(source, target, pa.Linear(weight))
    back = from_nir(to_nir(ours, dt=DT), dt=DT)
    x = spikes((3,))
    for schedule in (pa.Layered(), pa.Random(1)):
        counts = pa.simulate(ours, x, schedule, dt=DT).counts
        assert counts.sum() > 0
        np.testing.assert_array_equal(pa.simulate(back, x, schedule, dt=DT).counts, counts)


def test_the_order_of_populations_comes_back_where_it_decides_what_is_feedback(
    tmp_path: Path,
) -> None:
    ours = pa.Network(n_inputs=3)
    rng = np.random.default_rng(0)
    for name in ("b", "a", "ü"):
        ours.add(name, 4, LIF)
    for source, target in (("input", "b"), ("b", "a"), ("a", "ü"), ("input", "ü"), ("ü", "b")):
        n_in = 3 if source == "input" else 4
        ours.connect(source, target, pa.Linear(rng.normal(0.2, 0.5, (4, n_in))))
    x = spikes((3,))
    counts = pa.simulate(ours, x, pa.Layered(), dt=DT).spike_counts
    graph = to_nir(ours, dt=DT)
    nir.write(str(tmp_path / "net.nir"), graph)
    for source in (graph, tmp_path / "net.nir"):
        back = from_nir(source, dt=DT)
        assert [p.name for p in back.populations] == ["b", "a", "ü"]
        again = pa.simulate(back, x, pa.Layered(), dt=DT).spike_counts
        np.testing.assert_array_equal(again, counts)
    graph.metadata["populations"] = ["a", "b", "gone"]  # as if the graph had been changed since
    assert [p.name for p in from_nir(graph, dt=DT).populations] == ["b", "ü", "a"]


def test_refractoriness_comes_back_unless_another_is_asked_for(tmp_path: Path) -> None:
    ours = pa.Network(n_inputs=3)
    given = {"a": "none", "b": "timestep"}
    for source, (name, refractory) in zip(("input", "a"), given.items(), strict=True):
        ours.add(name, 3, pa.LIF(refractory=refractory))
        ours.connect(source, name, pa.Linear(np.eye(3)))
    graph = to_nir(ours, dt=DT)
    nir.write(str(tmp_path / "net.nir"), graph)
    for source in (graph, tmp_path / "net.nir"):
        back = from_nir(source, dt=DT)
        assert {p.name: p.neuron.refractory for p in back.populations} == given
        back = from_nir(source, dt=DT, refractory="timestep")
        assert {p.neuron.refractory for p in back.populations} == {"timestep"}


@pytest.mark.parametrize("integration", ["euler", "exponential"])
def test_currents_come_back_with_the_values_that_they_had(integration: Any, tmp_path: Path) -> None:
    given = {
        "a": pa.LIF([5e-3, 8e-3, 2e-2], 0.3, "subtract", tau_syn=4e-3),
        "b": pa.LIF(5e-3, [0.3, 0.2, 0.1], "subtract", tau_syn=[1e-3, 2e-3, 1e-1]),
        "c": pa.LIF(5e-3, 0.3, "subtract"),
    }
    ours = pa.Network(n_inputs=3)
    for source, (name, neuron) in zip(("input", "a", "b"), given.items(), strict=True):
        ours.add(name, 3, neuron)
        ours.connect(source, name, pa.Linear(np.eye(3)))
    how = {"integration": integration, "reset": "subtract"}
    graph = to_nir(ours, dt=DT, target_dt=1e-4, **how)
    nir.write(str(tmp_path / "net.nir"), graph)
    for source in (graph, tmp_path / "net.nir"):
        for back in from_nir(source, dt=DT, source_dt=1e-4, **how).populations:
            neuron = given[back.name]
            assert back.neuron.parameters == neuron.parameters
            for key in neuron.parameters:
                values = (
                    np.broadcast_to(each.values(key, (3,)), 3) for each in (back.neuron, neuron)
                )
                np.testing.assert_allclose(*values, rtol=1e-12)


@pytest.mark.parametrize("integration", ["euler", "exponential"])
@pytest.mark.parametrize("reset", ["subtract", "none"])
def test_a_graph_is_written_for_a_framework_that_resets_as_the_network(
    reset: Any, integration: Any
) -> None:
    neurons = pa.LIF(tau_mem=5e-3, v_threshold=0.3, reset=reset)
    weights = [normal(6, 5), normal(4, 6)]
    ours = pa.Network.sequential([pa.Linear(weight) for weight in weights], neurons)
    graph = to_nir(ours, dt=DT, integration=integration, reset=reset)
    x = spikes((5,))
    counts = pa.simulate(ours, x, pa.Layered(), dt=DT).counts
    assert 0 < counts.mean() < 1
    np.testing.assert_array_equal(Equations(graph, integration, reset).run(x), counts)
    back = from_nir(graph, dt=DT, integration=integration, reset=reset)
    assert {p.neuron.reset for p in back.populations} == {reset}
    np.testing.assert_array_equal(pa.simulate(back, x, pa.Layered(), dt=DT).counts, counts)


def test_every_population_has_to_reset_as_the_graph_is_written_for() -> None:
    ours = pa.Network.sequential([pa.Linear(np.eye(2))] * 2, [pa.LIF(reset="subtract"), pa.LIF()])
    for reset, says in (
        (
            "zero",
            "'1' with reset = 'subtract'; accepted: reset = 'zero', as NIR has; ",
        ),
        ("subtract", "'2' with reset = 'zero'; accepted: reset = 'subtract', as reset says"),
    ):
        with pytest.raises(pa.NetworkError, match=f"^network: got {says}"):
            to_nir(ours, dt=DT, reset=reset)


def test_integrators_add_their_input_whole_in_the_timestep_they_are_written_for() -> None:
    ours = built(pa.LIF(tau_mem=np.inf))
    graph = to_nir(ours, dt=DT, target_dt=1e-4)
    np.testing.assert_allclose(graph.nodes["a"].r, 1e4)
    (back,) = from_nir(graph, dt=DT, source_dt=1e-4).populations
    assert (back.neuron.tau_mem, back.neuron.v_threshold) == (np.inf, 1.0)


def test_populations_behind_flat_maps_are_flat_there() -> None:
    ours = pa.Network(input_shape=(2, 3, 3))
    rng = np.random.default_rng(0)
    shapes = {"a": (2, 3, 3), "b": (2, 3, 3), "c": (2, 3, 3), "d": (4, 2, 2)}
    for name, shape in shapes.items():
        ours.add(name, shape, pa.LIF(tau_mem=5e-3, v_threshold=rng.uniform(0.2, 0.5, shape)))
    ours.connect("input", "a", pa.Linear(rng.normal(0.1, 0.5, (18, 18))))
    ours.connect("a", "a", pa.OneToOne(-0.25))
    ours.connect("a", "b", pa.OneToOne(rng.normal(0.5, 0.5, 18)))
    ours.connect("input", "c", pa.OneToOne(0.5))
    ours.connect("b", "c", pa.Sparse((np.arange(19), np.arange(18), np.full(18, 0.4)), (18, 18)))
    ours.connect("input", "d", pa.Conv2d(rng.normal(0.1, 0.5, (4, 2, 2, 2)), rng.normal(size=4)))
    ours.connect("c", "d", pa.Linear(rng.normal(0.1, 0.5, (16, 18))))
    back = from_nir(to_nir(ours, dt=DT), dt=DT)
    assert [p.shape for p in back.populations][:2] == [(18,), (18,)]
    x = spikes((2, 3, 3))
    counts = pa.simulate(ours, x, pa.Layered(), dt=DT).counts
    assert counts.sum() > 0
    np.testing.assert_array_equal(pa.simulate(back, x, pa.Layered(), dt=DT).counts, counts)


def linear() -> pa.nn.AsyncSequential:
    return pa.nn.AsyncSequential(
        torch.nn.Linear(12, 20),
        pa.nn.LIF(v_threshold=0.3, tau_mem=20e-3),
        torch.nn.Linear(20, 4),
        pa.nn.LIF(v_threshold=0.2, tau_mem=50e-3),
        schedule=pa.Random(4),
        dt=10e-3,
    )


def synaptic() -> pa.nn.AsyncSequential:
    return pa.nn.AsyncSequential(
        torch.nn.Linear(12, 20),
        pa.nn.LIF(v_threshold=0.3, tau_mem=20e-3, tau_syn=10e-3),
        torch.nn.Linear(20, 4),
        pa.nn.LIF(v_threshold=0.2, tau_mem=50e-3, tau_syn=5e-3),
        schedule=pa.Random(4),
        dt=10e-3,
    )


def convolutional() -> pa.nn.AsyncSequential:
    return pa.nn.AsyncSequential(
        torch.nn.Conv2d(1, 3, 3),
        pa.nn.LIF(v_threshold=0.3, tau_mem=20e-3),
        torch.nn.Flatten(),
        torch.nn.Linear(48, 4),
        pa.nn.LIF(v_threshold=0.2, tau_mem=50e-3),
        input_shape=(1, 6, 6),
        schedule=pa.Random(4),
        dt=10e-3,
    )


@pytest.mark.parametrize("made", [linear, synaptic, convolutional])
def test_a_trained_model_fires_in_snntorch_as_it_does_layer_by_layer(
    made: Callable[[], pa.nn.AsyncSequential],
) -> None:
    pytest.importorskip("nirtorch")
    pytest.importorskip("snntorch")
    from snntorch import utils
    from snntorch.import_nir import import_from_nir

    torch.manual_seed(0)
    model = made()
    x = (torch.rand(30, 8, *model.network().input_shape) < 0.3).float()
    pa.nn.functional.rate_cross_entropy(model(x), torch.arange(8) % 4).backward()
    torch.optim.Adam(model.parameters(), 0.05).step()
    ours = pa.simulate(model.network(), x.numpy(), pa.Layered(), dt=10e-3).counts
    theirs = import_from_nir(to_nir(model.network(), dt=10e-3, target_dt=1e-4))
    utils.reset(theirs)
    state, counts = None, []
    with torch.no_grad():
        for each in x:
            out, state = theirs(each, state)
            counts.append(out)
    assert ours.sum() > 0
    np.testing.assert_array_equal(torch.stack(counts).numpy(), ours)


def built(
    neuron: pa.LIF = LIF, shape: Any = 2, projection: Any = None, name: str = "a"
) -> pa.Network:
    ours = pa.Network(n_inputs=4)
    ours.add(name, shape, neuron)
    ours.connect("input", name, projection or pa.Linear(np.ones((2, 4))))
    return ours


def windowed() -> pa.Network:
    ours = built(shape=(1, 2, 2), projection=pa.Linear(np.ones((4, 4))))
    ours.add("b", (1, 1, 1), LIF)
    ours.connect("a", "b", pa.SumPool2d(2))
    return ours


REFUSED = {
    "a reset": (built(pa.LIF(reset="subtract")), "'a' with reset = 'subtract'"),
    "waiting": (built(pa.LIF(sync_threshold=3)), "'a' with sync_threshold = 3"),
    "some do not leak": (built(pa.LIF(tau_mem=[1.0, np.inf])), "'a', where some neurons leak"),
    "a current and no leak": (
        built(pa.LIF(tau_mem=np.inf, tau_syn=5e-3)),
        "'a' with tau_syn, where some time constants are infinite; accepted: finite tau_mem and",
    ),
    "a current that does not decay": (
        built(pa.LIF(tau_syn=[1.0, np.inf])),
        "'a' with tau_syn, where some time constants are infinite",
    ),
    "a window behind a flat map": (windowed(), r"a_to_b, which needs the shape \(1, 2, 2\)"),
    "a slash": (built(name="a/b"), "the name 'a/b'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nir_cannot_say_is_named(name: str) -> None:
    ours, says = REFUSED[name]
    with pytest.raises(pa.NetworkError, match=rf"^network: got .*{says}"):
        to_nir(ours, dt=DT)


def test_an_amount_that_no_reader_would_subtract_is_named() -> None:
    for amount, says in ((0.5, "0.5"), ([0.5, 0.25], r"array\(\[0.5 , 0.25\]\)")):
        ours = built(pa.LIF(reset="subtract", reset_amount=amount))
        with pytest.raises(
            pa.NetworkError,
            match=rf"^network: got 'a' with reset_amount = {says}; accepted: reset_amount = None",
        ):
            to_nir(ours, dt=DT, reset="subtract")


def test_a_sparse_map_too_large_to_be_written_whole_is_named() -> None:
    ours = pa.Network(n_inputs=2**15)
    ours.add("a", 2**14, LIF)
    ours.connect("input", "a", pa.Sparse((np.zeros(2**14 + 1, int), [], []), (2**14, 2**15)))
    with pytest.raises(pa.NetworkError, match=r"^network: got input_to_a, a sparse map"):
        to_nir(ours, dt=DT)


def test_other_arguments_are_refused_by_name() -> None:
    for wrong, says in (
        ({"dt": np.nan}, "^dt: got nan"),
        ({"target_dt": 0}, "^target_dt: got 0"),
        ({"integration": "midpoint"}, "^integration: got 'midpoint'"),
        ({"reset": "half"}, "^reset: got 'half'"),
    ):
        with pytest.raises(pa.NetworkError, match=says):
            to_nir(built(), **{"dt": DT, **wrong})
