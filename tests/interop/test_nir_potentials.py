"""Neurons that never fire are read out by their potentials, which are those of their graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_graphs import (
    DT,
    IMAGE,
    Equations,
    chain,
    conv,
    cuba_li,
    flat,
    graph,
    li,
    lif,
    nir,
    normal,
    pool,
    torch,
)

import pyasync as pa
from pyasync.interop import from_nir, to_nir

pytest.importorskip("scipy")

ENDS = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([3]))}
HIDDEN = nir.Affine(normal(6, 4), normal(6)), lif(6)
ONE_GAIN = {"tau": np.full((3, 6, 5), 5e-3), "r": np.full((3, 6, 5), 2.0)}
GRAPHS = {
    "leaky": chain((4,), *HIDDEN, nir.Linear(normal(3, 6)), li(3)),
    "biases": chain((4,), *HIDDEN, nir.Affine(normal(3, 6), normal(3)), li(3)),
    "forgotten in a timestep": chain((4,), nir.Linear(normal(3, 4)), li(3, tau=np.full(3, DT))),
    "an input that is added whole": chain((4,), nir.Linear(normal(3, 4)), li(3, r=li(3).tau / DT)),
    "parameters for all": chain(
        (4,), nir.Linear(normal(3, 4)), nir.LI(*(np.array(each) for each in (5e-3, 2.0, 0.0)))
    ),
    "currents": chain((4,), *HIDDEN, nir.Affine(normal(3, 6), normal(3)), cuba_li(3)),
    "no leak": chain((4,), *HIDDEN, nir.Affine(normal(3, 6), normal(3)), nir.I(np.ones(3))),
    "no leak, by the equation": chain((4,), nir.Linear(normal(3, 4)), nir.I(np.ones(3) / DT)),
    "a neuron for each input": chain((4,), *HIDDEN, li(6)),
    "scaled": chain((4,), nir.Scale(normal(4)), li(4)),
    "one after the other": chain(
        (4,), nir.Affine(normal(6, 4), normal(6)), nir.Affine(normal(3, 6), normal(3)), li(3)
    ),
    "conv": chain(IMAGE, conv(3, 2, 3, 3), li(3, 6, 5, **ONE_GAIN)),
    "conv, one gain a channel": chain(
        IMAGE,
        conv(3, 2, 3, 3),
        li(3, 6, 5, **{**ONE_GAIN, "r": np.ones((3, 6, 5)) * [[[2]], [[3]], [[4]]]}),
    ),
    "conv, one gain a neuron": chain(IMAGE, conv(3, 2, 3, 3), li(3, 6, 5)),
    "conv, then pool": chain(IMAGE, conv(3, 2, 3, 3), pool(nir.AvgPool2d, 2), li(3, 3, 2)),
    "pooled spikes": chain(IMAGE, lif(*IMAGE), pool(nir.SumPool2d, 2), li(2, 4, 3)),
    "flattened": chain(
        IMAGE, conv(3, 2, 3, 3), lif(3, 6, 5), flat(), nir.Linear(normal(4, 90)), li(4)
    ),
    "flattened to the output": chain(IMAGE, conv(3, 2, 3, 3), li(3, 6, 5), flat()),
    "two ways": graph(
        {
            **ENDS,
            "a": HIDDEN[0],
            "lif": HIDDEN[1],
            "b": nir.Affine(normal(3, 6), normal(3)),
            "c": nir.Affine(normal(3, 4), normal(3, seed=2)),
            "out": li(3),
        },
        "input a lif b out output, input c out",
    ),
}


def spikes(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).binomial(2, 0.3, (40, 3, *shape)).astype(np.float64)


def potentials(network: pa.Network, x: np.ndarray, dt: float = DT) -> np.ndarray:
    return pa.simulate(network, x, pa.Layered(), dt=dt, keep=("output_v",)).output_v


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal but for a few roundings to float32."""
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("integration", ["euler", "exponential"])
@pytest.mark.parametrize("name", GRAPHS)
def test_potentials_are_those_of_the_equations(name: str, integration: Any) -> None:
    given = GRAPHS[name]
    network = from_nir(given, dt=25e-3, source_dt=DT, integration=integration, dtype="float64")
    x = spikes(network.input_shape)
    assert_same(potentials(network, x, dt=25e-3), Equations(given, integration).run(x))
    neuron = network.populations[-1].neuron
    assert (neuron.v_threshold, neuron.reset, neuron.refractory) == (np.inf, "none", "none")


@pytest.mark.parametrize("integration", ["euler", "exponential"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_written_whose_potentials_are_the_networks(
    name: str, integration: Any, tmp_path: Path
) -> None:
    ours = from_nir(GRAPHS[name], dt=DT, dtype="float64")
    x = spikes(ours.input_shape)
    expected = potentials(ours, x)
    how = {"dt": DT, "integration": integration}
    written = to_nir(ours, **how)
    assert_same(Equations(written, integration).run(x), expected)
    nir.write(str(tmp_path / "net.nir"), to_nir(ours, **how, target_dt=1e-4))
    back = from_nir(tmp_path / "net.nir", **how, source_dt=1e-4, dtype="float64")
    assert_same(potentials(back, x), expected)
    assert type(written.nodes[ours.output]) is type(GRAPHS[name].nodes[ours.output])


@pytest.mark.parametrize("name", ["conv", "conv, one gain a channel"])
def test_a_convolution_still_shares_its_weights(name: str) -> None:
    (link,) = from_nir(GRAPHS[name], dt=DT).projections
    assert isinstance(link.projection, pa.Conv2d)


def test_weights_stay_float32() -> None:
    weights = normal(3, 4).astype(np.float32), normal(3).astype(np.float32)
    network = from_nir(chain((4,), nir.Affine(*weights), li(3)), dt=DT)
    assert network.dtype == np.float32


def test_neurons_that_fire_differ_from_those_that_never_do_in_one_population() -> None:
    high = np.array([0.5, np.inf, np.inf, 0.7])
    zero = {"v_leak": np.zeros(4), "v_reset": np.zeros(4)}
    given = chain((4,), nir.Affine(normal(4, 4) + 0.3, normal(4)), lif(4, v_threshold=high, **zero))
    x = spikes((4,))
    for how in ({"reset": "zero"}, {"reset": "subtract", "reset_delay": True}):
        network = from_nir(given, dt=DT, dtype="float64", **how)
        result = pa.simulate(network, x, pa.Layered(), dt=DT, keep=("counts", "output_v"))
        equations = Equations(given, "euler", **how)
        np.testing.assert_array_equal(result.counts, equations.run(x))
        np.testing.assert_array_equal(result.counts.any(axis=(0, 1)), np.isfinite(high))
        assert_same(result.output_v[-1, :, 1:3], equations.v["n1"].numpy()[:, 1:3])


@pytest.mark.filterwarnings("ignore:nirtorch:DeprecationWarning")
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
def test_what_snntorch_reads_out_by_potential_is_read_with_an_infinite_threshold(kind: str) -> None:
    pytest.importorskip("nirtorch")
    snn = pytest.importorskip("snntorch")
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def neurons(n: int, **how: Any) -> Any:
        decays = [torch.linspace(0.5, 0.9, n)] * (2 if kind == "Synaptic" else 1)
        how |= {"threshold": torch.full((n,), 0.3), "init_hidden": True}
        return getattr(snn, kind)(*decays, **how)

    hidden, readout = neurons(6), neurons(3, reset_mechanism="none", output=True)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), hidden, torch.nn.Linear(6, 3), readout)
    x = (torch.rand(30, 5, 4) < 0.4).float()
    utils.reset(net)
    with torch.no_grad():
        theirs = torch.stack([net(each)[-1] for each in x]).numpy()
    written = export_to_nir(net, x[0][:1], ignore_dims=[0])
    (last,) = (start for start, end in written.edges if end == "output")
    written.nodes[last].v_threshold = np.full(3, np.inf)
    how = {"reset": "subtract", "reset_delay": True}
    network = from_nir(written, dt=10e-3, source_dt=1e-4, **how)
    assert_same(potentials(network, x.numpy(), dt=10e-3), theirs)


REFUSED = {
    "neurons behind potentials": (
        chain((4,), nir.Linear(normal(4, 4)), li(4), nir.Linear(normal(3, 4)), lif(3)),
        "'n1', a population that never fires, which projects to 'n3'; accepted: such populations",
    ),
    "potentials that come back": (
        graph(
            {**ENDS, "a": nir.Linear(normal(3, 4)), "b": nir.Linear(normal(3, 3)), "out": li(3)},
            "input a out output, out b out",
        ),
        "'out', a population that never fires, which projects to 'out'",
    ),
    "potentials behind a map": (
        chain((4,), nir.Linear(normal(4, 4)), li(4), nir.Linear(normal(3, 4))),
        "output, from 'n2'",
    ),
    "a leak to elsewhere": (
        chain((3,), li(3, v_leak=np.array([0.0, 0.2, 0.0]))),
        "node 'n0' with v_leak = 0.2; accepted: 0 for neurons that never fire",
    ),
    "no leak, scaled": (chain((3,), nir.I(np.full(3, 2.0))), "node 'n0' with r = 2.0"),
    "a map that does not fit": (
        graph(
            {**ENDS, "a": nir.Linear(normal(3, 4)), "b": nir.Linear(normal(2, 4)), "out": li(3)},
            "input a out output, input b out",
        ),
        "shape (2,)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_named(name: str) -> None:
    given, says = REFUSED[name]
    with pytest.raises(pa.NetworkError, match=rf"got .*{re.escape(says)}"):
        from_nir(given, dt=DT)


def test_what_neurons_that_never_fire_project_to_is_named() -> None:
    ours = pa.Network(n_inputs=4)
    for name, neuron in (("a", pa.LIF(v_threshold=np.inf)), ("b", pa.LIF())):
        ours.add(name, 4, neuron)
        ours.connect("input", name, pa.Linear(np.eye(4)))
    ours.connect("a", "b", pa.Linear(np.eye(4)))
    with pytest.raises(
        pa.NetworkError, match=r"^network: got 'a', a population that never fires, .* to 'b'"
    ):
        to_nir(ours, dt=DT)


def test_how_neurons_that_never_fire_would_reset_does_not_matter() -> None:
    neurons = [pa.LIF(reset="subtract"), pa.LIF(v_threshold=np.inf, sync_threshold=3)]
    network = pa.Network.sequential([pa.Linear(np.eye(4)), pa.Linear(normal(3, 4))], neurons)
    x = spikes((4,))
    written = to_nir(network, dt=DT, reset="subtract")
    assert_same(Equations(written, "euler", "subtract").run(x), potentials(network, x))
