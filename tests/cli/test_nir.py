"""Commands that run networks also accept those of other frameworks, as NIR files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli import main
from pyasync.interop import from_nir

nir = pytest.importorskip("nir")

HOW = {"source_dt": 1e-4, "integration": "exponential", "reset": "subtract"}
OPTIONS = ["--source-dt", "1e-4", "--integration", "exponential", "--reset", "subtract"]


@pytest.fixture
def graph(files) -> Path:
    rng = np.random.default_rng(0)
    nodes = []
    for n_out, n_in in [(30, 40), (5, 30)]:
        ones = np.ones(n_out)
        lif = nir.LIF(tau=2e-4 * ones, r=3 * ones, v_leak=0 * ones, v_threshold=0.3 * ones)
        nodes += [nir.Linear(rng.normal(0, 0.5, (n_out, n_in))), lif]
    nir.write(str(files / "net.nir"), nir.NIRGraph.from_list(*nodes))
    return files / "net.nir"


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (OPTIONS, HOW),
        (OPTIONS[:2], {"source_dt": 1e-4}),
        ([*OPTIONS, "--reset-delay"], {**HOW, "reset_delay": True}),
    ],
)
def test_a_graph_is_audited_as_its_network_is(files, graph, options, how) -> None:
    command = ["audit", str(graph), "--data", str(files.data), "--json", "out.json", *options]
    assert main([*command, "--schedule", "random"]) == 0
    network = from_nir(graph, dt=10e-3, **how)
    report = pa.study.audit(network, files.x, files.labels, ["random"])
    assert json.loads(Path("out.json").read_text()) == json.loads(report.to_json())
    assert report.rows[0].spikes > 0


def test_a_graph_is_simulated_with_the_timestep_that_is_given(files, graph) -> None:
    np.savez("bare.npz", x=files.x.to_dense(bool))
    command = ["simulate", str(graph), "--data", "bare.npz", "--dt", "5e-3", "--json", "out.json"]
    assert main([*command, *OPTIONS]) == 0
    network = from_nir(graph, dt=5e-3, **HOW)
    x = pa.SpikeBatch.from_dense(files.x.to_dense(bool), dt=5e-3)
    result = pa.simulate(network, x, pa.Random(8))
    shown = json.loads(Path("out.json").read_text())["means"]
    assert shown["spikes"] == float(result.spikes.mean()) > 0


def test_potentials_decide_where_the_output_of_a_graph_never_fires(files, graph) -> None:
    given = nir.read(graph)
    (last,) = (name for name, target in given.edges if target == "output")
    node = given.nodes[last]
    given.nodes[last] = nir.LI(tau=node.tau, r=node.r, v_leak=node.v_leak)
    nir.write(str(graph), given)
    how = ["--data", str(files.data), "--json", "out.json", "--source-dt", "1e-4"]
    network = from_nir(graph, dt=10e-3, source_dt=1e-4)
    right = pa.simulate(network, files.x, pa.Random(8)).decisions() == files.labels
    assert right.any()
    assert main(["simulate", str(graph), *how]) == 0
    assert json.loads(Path("out.json").read_text())["accuracy"] == right.mean()
    assert main(["audit", str(graph), *how, "--schedule", "random"]) == 0
    runs = json.loads(Path("out.json").read_text())["rows"]
    assert right.mean() in [row["accuracy"] for row in runs]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([], "graph: got node 'lif' with tau = 0.0002"),
        (["--source-dt", "-1"], "source_dt: got -1.0"),
    ],
)
def test_a_graph_that_cannot_be_run_is_named(files, graph, capsys, changes, says) -> None:
    assert main(["audit", str(graph), "--data", str(files.data), *changes]) == 1
    assert says in capsys.readouterr().err


def test_how_to_read_a_graph_is_not_for_other_networks(files, capsys) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), *OPTIONS[:2]]
    assert main(command) == 1
    assert "--source-dt: got 0.0001 for" in capsys.readouterr().err
