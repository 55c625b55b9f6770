"""Networks from NIR graphs, run layer by layer, follow the equations of the graphs' nodes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_graphs import (
    DT,
    GRAPHS,
    IMAGE,
    Equations,
    chain,
    conv,
    cuba,
    graph,
    lif,
    nir,
    normal,
    pool,
    resting_at_0,
    torch,
)

import pyasync as pa
from pyasync.interop import from_nir

pytest.importorskip("scipy")


@pytest.mark.parametrize(
    ("integration", "reset"),
    [("euler", "zero"), ("exponential", "zero"), ("euler", "subtract"), ("exponential", "none")],
)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_fires_as_its_equations_say(name: str, integration: Any, reset: Any) -> None:
    given = resting_at_0(GRAPHS[name]) if reset == "subtract" else GRAPHS[name]
    shape = tuple(given.nodes["input"].input_type["input"].tolist())
    x = np.random.default_rng(0).binomial(2, 0.3, (40, 3, *shape)).astype(np.float64)
    network = from_nir(given, dt=DT, integration=integration, reset=reset, dtype="float64")
    counts = pa.simulate(network, x, pa.Layered(), dt=DT).counts
    np.testing.assert_array_equal(counts, Equations(given, integration, reset).run(x))
    assert 0 < counts.mean() < 1


@pytest.mark.parametrize("integration", ["euler", "exponential"])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_threshold_may_be_subtracted_a_timestep_later(name: str, integration: Any) -> None:
    given = resting_at_0(GRAPHS[name])
    how = {"integration": integration, "reset": "subtract", "reset_delay": True}
    if integration == "euler" and name == "forgotten in a timestep":
        with pytest.raises(
            pa.NetworkError, match=r"^graph: got node 'n0' with tau = 0\.001; .*reset_delay=True"
        ):
            from_nir(given, dt=DT, **how)
        return
    shape = tuple(given.nodes["input"].input_type["input"].tolist())
    x = np.random.default_rng(0).binomial(2, 0.3, (40, 3, *shape)).astype(np.float64)
    network = from_nir(given, dt=25e-3, source_dt=DT, dtype="float64", **how)
    result = pa.simulate(network, x, pa.Layered(), dt=25e-3)
    np.testing.assert_array_equal(result.counts, Equations(given, **how).run(x))
    assert 0 < result.spike_counts.mean() < len(x)


def test_what_a_framework_wrote_for_its_own_timestep_runs_at_the_datas() -> None:
    given = GRAPHS["affine"]
    x = np.random.default_rng(1).binomial(1, 0.4, (30, 2, 5))
    one = from_nir(given, dt=DT)
    other = from_nir(given, dt=25e-3, source_dt=DT)
    counts = pa.simulate(one, x, pa.Random(2), dt=DT).counts
    assert counts.sum() > 0
    np.testing.assert_array_equal(counts, pa.simulate(other, x, pa.Random(2), dt=25e-3).counts)


def test_reset_and_refractoriness_are_those_of_every_neuron() -> None:
    given = resting_at_0(GRAPHS["affine"])
    for reset, refractory in (("subtract", "none"), ("none", "timestep")):
        network = from_nir(given, dt=DT, reset=reset, refractory=refractory)
        found = {(each.neuron.reset, each.neuron.refractory) for each in network.populations}
        assert found == {(reset, refractory)}


def test_the_threshold_is_not_subtracted_where_potentials_rest_elsewhere() -> None:
    with pytest.raises(
        pa.NetworkError, match=r"^graph: got node 'n1' with v_leak = 0\.2; .*reset='subtract'"
    ):
        from_nir(GRAPHS["linear"], dt=DT, reset="subtract")


def test_a_file_gives_the_network_of_its_graph(tmp_path: Path) -> None:
    shaped = nir.Conv2d((8, 7), normal(3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1, normal(3))
    flattened = nir.Flatten(input_type={"input": np.array([3, 4, 4])}, start_dim=0)
    given = nir.NIRGraph.from_list(
        shaped,
        pool(nir.AvgPool2d, 3, 2, 1),
        lif(3, 4, 4),
        flattened,
        nir.Affine(normal(4, 48), normal(4)),
        lif(4),
    )
    nir.write(str(tmp_path / "a.nir"), given)
    for path in (tmp_path / "a.nir", str(tmp_path / "a.nir")):
        ours, theirs = from_nir(path, dt=DT), from_nir(given, dt=DT)
        assert ours.populations == theirs.populations
        for one, other in zip(ours.projections, theirs.projections, strict=True):
            for name, array in one.projection.arrays().items():
                np.testing.assert_array_equal(array, other.projection.arrays()[name])


def test_the_current_of_a_neuron_decays_as_its_node_says_in_the_datas_timesteps() -> None:
    values = {"tau_mem": [2e-3, 4e-3], "tau_syn": [4e-3, 10e-3], "r": [2, 3], "w_in": [2, 5]}
    node = cuba(2, **{key: np.array(each) for key, each in values.items()})
    given = chain((2,), node)
    for integration, alphas, factors in (
        ("euler", [0.75, 0.9], [2 / 2 * 2 / 4, 3 / 4 * 5 / 10]),
        (
            "exponential",
            np.exp([-1 / 4, -1 / 10]),
            [2 * 2, 3 * 5] * np.expm1([-1 / 2, -1 / 4]) * np.expm1([-1 / 4, -1 / 10]),
        ),
    ):
        (population,) = from_nir(given, dt=25e-3, source_dt=DT, integration=integration).populations
        tau_syn = population.neuron.values("tau_syn", (2,))
        np.testing.assert_allclose(np.exp(-25e-3 / tau_syn), alphas)
        v_threshold = population.neuron.values("v_threshold", (2,))
        np.testing.assert_allclose(v_threshold, (node.v_threshold - 0.2) / factors)


@pytest.mark.parametrize("v_leak", [0.0, 0.2])
def test_what_norse_writes_fires_as_it_does_there_once_w_in_makes_its_input_whole(
    v_leak: float,
) -> None:
    tau_syn, tau_mem, v_th = 5e-3, 10e-3, v_leak + 0.2
    ones = np.ones(4)
    # As `norse.torch.to_nir(..., dt=1)` writes `LIFCell`.
    times = {"tau_syn": tau_syn * ones, "tau_mem": tau_mem * ones}
    rest = {"v_leak": v_leak * ones, "v_threshold": v_th * ones, "v_reset": v_leak * ones}
    node = cuba(4, **times, **rest, r=ones, w_in=ones)
    given = chain((5,), nir.Affine(normal(4, 5), normal(4)), node)
    x = np.random.default_rng(0).binomial(1, 0.4, (60, 3, 5)).astype(np.float64)

    def norse(x: np.ndarray) -> np.ndarray:
        """`norse.torch.functional.lif.lif_feed_forward_step`, timestep by timestep."""
        v, i, fired = np.full((3, 4), v_leak), np.zeros((3, 4)), []
        for each in x @ normal(4, 5).T + normal(4):
            i = i + each
            v = v + DT / tau_mem * (v_leak - v + i)
            i = i - DT / tau_syn * i
            fired.append(v > v_th)
            v = np.where(fired[-1], v_leak, v)
        return np.stack(fired)

    for whole in (False, True):
        if whole:
            node.w_in = node.tau_syn / DT
        network = from_nir(given, dt=10e-3, source_dt=DT, dtype="float64")
        counts = pa.simulate(network, x, pa.Layered(), dt=10e-3).counts
        assert 0 < counts.mean() < 1
        np.testing.assert_array_equal(counts, Equations(given, "euler").run(x))
        assert (counts == norse(x)).all() == whole


@pytest.mark.parametrize("neuron", [lif, cuba])
def test_a_recurrent_graph_in_a_graph_is_a_population_joined_to_itself(neuron: Any) -> None:
    inner = graph(
        {
            "input": nir.Input(np.array([4])),
            "lif": neuron(4),
            "w": nir.Linear(normal(4, 4)),
            "output": nir.Output(np.array([4])),
        },
        "input lif w lif output",
    )
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([2]))}
    outer = {
        "a": nir.Linear(normal(4, 3)),
        "rec": inner,
        "b": nir.Linear(normal(2, 4)),
        "c": lif(2),
    }
    network = from_nir(graph({**ends, **outer}, "input a rec b c output"), dt=DT)
    links = [(each.source, each.target) for each in network.projections]
    assert links == [("input", "rec.lif"), ("rec.lif", "rec.lif"), ("rec.lif", "c")]
    assert network.output == "c"
    np.testing.assert_array_equal(
        network.projections[1].projection.arrays()["weight"], normal(4, 4)
    )


def test_a_network_is_of_the_type_of_its_weights() -> None:
    for dtype in ("float32", "float64"):
        weight = normal(4, 4).astype(dtype)
        given = chain((4,), lif(4), nir.Linear(weight), lif(4), lif(4))
        assert from_nir(given, dt=DT).dtype == dtype


def test_a_bias_before_a_second_map_leaves_the_network_in_float32() -> None:
    both = chain(IMAGE, conv(3, 2, 3, 3), pool(nir.AvgPool2d, 2, 1, 1), lif(3, 7, 6))
    for name in ("weight", "bias"):
        setattr(both.nodes["n0"], name, getattr(both.nodes["n0"], name).astype(np.float32))
    assert from_nir(both, dt=DT).dtype == np.float32


def test_a_convolution_and_the_pooling_behind_it_share_their_weights() -> None:
    both = chain(IMAGE, conv(3, 2, 3, 3), pool(nir.AvgPool2d, 2), lif(3, 3, 2))
    (link,) = from_nir(both, dt=DT).projections
    assert isinstance(link.projection, pa.Conv2d)
    assert (link.projection.weight.shape, link.projection.stride) == ((3, 2, 4, 4), (2, 2))


def test_a_pooling_and_the_linear_map_behind_it_are_one_linear_map() -> None:
    maps = pool(nir.AvgPool2d, 2), nir.Flatten({"input": np.array([2, 4, 3])}, 0, -1)
    both = chain((2, 8, 6), *maps, nir.Linear(normal(5, 24)), lif(5))
    (link,) = from_nir(both, dt=DT).projections
    assert isinstance(link.projection, pa.Linear)
    weight = both.nodes["n2"].weight.reshape(5, 2, 4, 1, 3, 1) / 4
    whole = np.broadcast_to(weight, (5, 2, 4, 2, 3, 2)).reshape(5, 96)
    np.testing.assert_allclose(link.projection.weight, whole, rtol=1e-6)


def test_single_maps_stay_what_they_are() -> None:
    kinds = {
        "linear": pa.Linear,
        "conv2d": pa.Conv2d,
        "conv1d": pa.Conv1d,
        "pooled spikes": pa.AvgPool2d,
        "scaled": pa.OneToOne,
        "conv, then pool": pa.Sparse,
    }
    for name, kind in kinds.items():
        assert isinstance(from_nir(GRAPHS[name], dt=DT).projections[-1].projection, kind)


def assert_fires_as_in_snntorch(net: Any, x: Any, default: bool, tmp_path: Path) -> None:
    """Compare snnTorch's spikes with those of the graph that it writes, and of its file."""
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    utils.reset(net)
    with torch.no_grad():
        theirs = torch.stack([net(each)[0] for each in x]).numpy()
    written = export_to_nir(net, x[0][:1], ignore_dims=[0])
    nir.write(str(tmp_path / "net.nir"), written)
    assert 0 < theirs.mean() < 1
    for given in (written, tmp_path / "net.nir"):
        reset = {"reset": "subtract", "reset_delay": True} if default else {}
        network = from_nir(given, dt=10e-3, source_dt=1e-4, **reset)
        ours = pa.simulate(network, x.numpy(), pa.Layered(), dt=10e-3).counts
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:nirtorch:DeprecationWarning")
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
@pytest.mark.parametrize("default", [False, True])
def test_a_network_that_snntorch_wrote_fires_as_it_does_there(
    default: bool, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("nirtorch")
    snn = pytest.importorskip("snntorch")

    def neurons(beta: float, threshold: float, *shape: int, **more: Any) -> Any:
        how = {} if default else {"reset_mechanism": "zero", "reset_delay": False}
        how |= {"init_hidden": True, "threshold": torch.full(shape, threshold), **more}
        decays = [torch.full(shape, beta)]
        if kind == "Synaptic":
            decays.insert(0, torch.linspace(0.0, 0.9, math.prod(shape)).view(shape))
        return getattr(snn, kind)(*decays, **how)

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3),
        neurons(0.8, 0.3, 4, 8, 8),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(4, 6, 3, padding=1),
        neurons(0.7, 0.5, 6, 4, 4),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 5),
        neurons(0.9, 0.2, 5, output=True),
    )
    x = (torch.rand(20, 7, 2, 10, 10) < 0.3).float()
    assert_fires_as_in_snntorch(net, x, default, tmp_path)


@pytest.mark.filterwarnings("ignore:nirtorch:DeprecationWarning")
@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
def test_a_recurrent_network_that_snntorch_wrote_fires_as_it_does_there(
    kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("nirtorch")
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)

    def neurons(**how: Any) -> Any:
        decays = [0.7, 0.8] if kind == "RSynaptic" else [0.8]
        return getattr(snn, kind)(*decays, threshold=0.5, init_hidden=True, **how)

    net = torch.nn.Sequential(
        torch.nn.Linear(8, 6),
        neurons(linear_features=6),
        torch.nn.Linear(6, 4),
        neurons(all_to_all=False, V=torch.linspace(-0.5, 0.5, 4), output=True),
    )
    x = (torch.rand(30, 7, 8) < 0.3).float()
    assert_fires_as_in_snntorch(net, x, True, tmp_path)


ENDS = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
REFUSED = {
    "a node of another kind": (
        chain((2,), nir.Linear(normal(2, 2)), nir.Threshold(np.ones(2))),
        "'n1', a Threshold",
    ),
    "no input": (
        graph({"a": lif(2), "output": nir.Output(np.array([2]))}, "a output"),
        "0 nodes Input",
    ),
    "an output that does not fire": (
        chain((2,), lif(2), nir.Linear(normal(3, 2))),
        "output, from 'n1'",
    ),
    "two populations to the output": (
        graph(
            {**ENDS, "a": lif(2), "b": lif(2)},
            "input a output, input b output",
        ),
        "2 ways to the output",
    ),
    "neurons that nothing reaches": (
        graph(
            {**ENDS, "a": lif(2), "b": lif(2)},
            "input a output, b a",
        ),
        "'b', which the input does not reach",
    ),
    "a loop without neurons": (
        graph(
            {**ENDS, "w": nir.Linear(normal(2, 2)), "u": nir.Linear(normal(2, 2)), "a": lif(2)},
            "input w a output, w u w",
        ),
        "a loop through '[uw]' without neurons",
    ),
    "a loop of nothing but ends": (
        graph(
            {**ENDS, "a": lif(2), "u": nir.Output(np.array([2]))},
            "input a output, u u a",
        ),
        "a loop through 'u' without neurons",
    ),
    "a chain without end": (
        chain((2,), *[nir.Scale(np.ones(2))] * 1000, lif(2)),
        "long or many ways to 'n1000'",
    ),
    "ways that part and meet again without end": (
        graph(
            {**ENDS, "a": lif(2)}
            | {f"{way}{n}": nir.Scale(np.ones(2)) for way in "uv" for n in range(40)},
            ", ".join(f"{u}{n} {v}{n + 1}" for n in range(39) for u in "uv" for v in "uv")
            + ", input u0, input v0, u39 a output, v39 a",
        ),
        "long or many ways to 'a'",
    ),
    "an input without a shape": (
        graph({**ENDS, "input": nir.Input({"input": None}), "a": lif(2)}, "input a output"),
        "an input of shape None",
    ),
    "a threshold that is no number": (
        chain((2,), lif(2, v_threshold=np.array(["high", "low"]))),
        "real numbers, as v_threshold of node 'n0'",
    ),
    "a stride that is no number": (
        chain(
            IMAGE, nir.Conv2d(None, normal(3, 2, 3, 3), "valid", 0, 1, 1, np.zeros(3)), lif(3, 6, 5)
        ),
        "a Conv2d with an unfit parameter",
    ),
    "biases that are not one a neuron": (
        chain((2,), nir.Affine(normal(4, 2), np.ones(2)), lif(4)),
        "node 'n0' with 2 biases; accepted: 4",
    ),
    "biases of ways that differ in size": (
        graph(
            {
                **ENDS,
                "u": nir.Affine(normal(2, 2), np.ones(2)),
                "v": nir.Affine(normal(3, 2), np.ones(3)),
                "a": lif(2),
            },
            "input u a output, input v a",
        ),
        "'v' with 3 outputs, before 'a'; accepted: 2, as the maps beside it",
    ),
    "axes to flatten in the wrong order": (
        chain(IMAGE, nir.Flatten({"input": None}, 2, 0), lif(112)),
        r"a Flatten from axis 2 to 0; accepted: axes of \(2, 8, 7\)",
    ),
    "an edge to nowhere": (
        graph({**ENDS, "a": lif(2)}, "input a output, a b"),
        "an edge to 'b'",
    ),
    "an edge from nowhere": (
        graph({**ENDS, "a": lif(2)}, "input a output, b a"),
        "an edge from 'b'",
    ),
    "weights that do not fit": (chain((3,), nir.Linear(normal(2, 2)), lif(2)), r"shape \(2, 2\)"),
    "neurons that do not fit": (
        chain((2,), nir.Linear(normal(2, 2)), lif(3)),
        "'n1' with parameters",
    ),
    "a scale that does not fit": (
        chain((2,), nir.Scale(normal(3)), lif(2)),
        r"scale of shape \(3,\)",
    ),
    "a time constant below a timestep": (
        chain((1,), lif(1, tau=np.array([1e-4]))),
        r"tau = 0\.0001",
    ),
    "a negative time constant": (chain((1,), lif(1, tau=np.array([-1.0]))), r"tau = -1\.0"),
    "a time constant without end": (
        chain((1,), lif(1, tau=np.array([np.inf]))),
        r"tau = inf; accepted: finite seconds above 0",
    ),
    "a current that does not decay": (
        chain((1,), cuba(1, tau_syn=np.array([np.inf]))),
        r"tau_syn = inf; accepted: finite seconds above 0",
    ),
    "a current that decays within a timestep": (
        chain((1,), cuba(1, tau_syn=np.array([1e-4]))),
        r"tau_syn = 0\.0001; accepted: at least a timestep",
    ),
    "a potential with a current that decays within a timestep": (
        chain((1,), cuba(1, tau_mem=np.array([1e-4]))),
        r"tau_mem = 0\.0001",
    ),
    "an input that is turned around": (chain((1,), cuba(1, w_in=-np.ones(1))), r"w_in = -1\.0"),
    "a current that takes nothing in": (chain((1,), cuba(1, w_in=np.zeros(1))), r"w_in = 0\.0"),
    "a current that takes in without end": (
        chain((1,), cuba(1, w_in=np.full(1, np.inf))),
        r"w_in = inf; accepted: finite numbers above 0",
    ),
    "no resistance": (chain((1,), lif(1, r=np.zeros(1))), r"r = 0\.0"),
    "a reset away from the leak": (
        chain((1,), lif(1, v_reset=np.zeros(1))),
        r"v_reset = 0\.0.*v_leak",
    ),
    "an integrator that scales its input": (
        chain((1,), nir.IF(np.full(1, 2.0), np.ones(1))),
        r"node 'n0' with r = 2\.0; accepted: 1, or 1 / source_dt, here 1000",
    ),
    "neurons that are more than what arrives": (
        chain((3,), nir.Linear(np.ones((2, 3))), nir.IF(np.ones(4), np.ones(4))),
        r"node 'n1' with parameters of shape \(4,\); accepted: shape \(2,\)",
    ),
    "an axis of the batch": (
        chain((1, *IMAGE), conv(3, 2, 3, 3), lif(3, 6, 5)),
        r"an input of shape \(1, 2, 8, 7\) .*without an axis for the batch",
    ),
    "uneven padding": (
        chain(IMAGE, conv(2, 2, 2, 2, padding="same"), lif(2, 8, 7)),
        "'same' around",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_named(name: str) -> None:
    given, says = REFUSED[name]
    with pytest.raises(pa.NetworkError, match=rf"got .*{says}"):
        from_nir(given, dt=DT)


@pytest.mark.parametrize("limit", range(1, 20))
def test_a_limit_on_the_ways_holds_wherever_it_is_reached(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {f"{way}{n}": nir.Scale(np.ones(2)) for way in "uv" for n in range(3)}
    edges = [f"{u}{n} {v}{n + 1}" for n in range(2) for u in "uv" for v in "uv"]
    edges += ["input u0", "input v0", "u2 a output", "v2 a"]
    given = graph({**ENDS, "a": lif(2)} | stages, ", ".join(edges))
    assert from_nir(given, dt=DT).n_neurons == 2
    # Some of the looks are at the input, where a way ends.
    monkeypatch.setattr("pyasync.interop._nir_graph.MOST_LOOKS", limit)
    with pytest.raises(pa.NetworkError, match="many ways to 'a'"):
        from_nir(given, dt=DT)


def test_other_arguments_are_refused_by_name(tmp_path: Path) -> None:
    good = GRAPHS["linear"]
    for wrong, says in (
        ({"dt": 0}, "^dt: got 0"),
        ({"source_dt": -1.0}, r"^source_dt: got -1\.0"),
        ({"integration": "midpoint"}, "^integration: got 'midpoint'"),
        ({"reset": "half"}, "^reset: got 'half'"),
        ({"refractory": "always"}, "^refractory: got 'always'"),
        ({"reset_delay": 1}, "^reset_delay: got 1; accepted: True or False"),
        ({"reset_delay": True}, "^reset_delay: got True with reset='zero'; .*'subtract'"),
    ):
        with pytest.raises(pa.NetworkError, match=says):
            from_nir(good, **{"dt": DT, **wrong})
    with pytest.raises(pa.NetworkError, match=r"^graph: got a LIF"):
        from_nir(lif(1), dt=DT)
    (tmp_path / "text.nir").write_text("no graph")
    for file in ("text.nir", "missing.nir", "."):
        with pytest.raises(pa.FileError, match=r"^path: got"):
            from_nir(tmp_path / file, dt=DT)
