"""`pyasync trace` shows, checks and plots what `pyasync simulate` recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli import main


@pytest.fixture
def recorded(files) -> pa.Trace:
    network = pa.Network.load(files.network)
    trace = pa.simulate(network, files.x, pa.Fifo(4), record=True).trace
    assert trace is not None
    trace.save("run.trace")
    return trace


def test_show_says_what_a_trace_holds(recorded, capsys) -> None:
    assert main(["trace", "show", "run.trace", "--json", "out.json"]) == 0
    facts = json.loads(Path("out.json").read_text())
    assert (facts["samples"], facts["timesteps"], facts["neurons"]) == (20, 6, 35)
    assert (facts["schedule"], facts["forward_group_size"]) == ("fifo", 4)
    assert facts["emitted_spikes"] == recorded.n_emitted
    assert facts["file_bytes"] == Path("run.trace").stat().st_size
    assert str(recorded.n_emitted) in capsys.readouterr().out


def test_show_lists_a_sample_in_the_order_of_its_spikes(recorded, capsys) -> None:
    command = ["trace", "show", "run.trace", "--sample", "3", "--limit", "5", "--json", "out.json"]
    assert main(command) == 0
    events = recorded[3:4].to_events()
    listed = json.loads(Path("out.json").read_text())["events"]
    assert listed["neuron"] == events["neuron"].tolist()
    assert f"{len(events) - 5} more" in capsys.readouterr().out


def test_show_says_null_where_an_input_spike_has_no_potential(files) -> None:
    command = ["simulate", str(files.network), "--data", str(files.data), "--trace", "run.trace"]
    assert main([*command, "--input-mode", "scheduled"]) == 0
    assert main(["trace", "show", "run.trace", "--sample", "0", "--json", "out.json"]) == 0
    listed = json.loads(Path("out.json").read_text())["events"]
    inputs = [v for neuron, v in zip(listed["neuron"], listed["v"], strict=True) if neuron < 0]
    assert inputs == [None] * len(inputs) != []


def test_validate_accepts_the_network_that_was_run(recorded, files, capsys) -> None:
    assert main(["trace", "validate", "run.trace", "--network", str(files.network)]) == 0
    assert capsys.readouterr().out.startswith("valid: ")


def test_validate_writes_what_it_proved_and_nothing_where_it_did_not(recorded, files) -> None:
    command = ["trace", "validate", "run.trace", "--json", "out.json", "--network"]
    assert main([*command, str(files.network)]) == 0
    written = json.loads(Path("out.json").read_text())
    assert written["valid"] is True
    assert written["samples"] == len(pa.Trace.load("run.trace"))
    Path("out.json").unlink()
    pa.Network.sequential([pa.Linear(np.ones((5, 40)))]).save("other.safetensors")
    assert main([*command, "other.safetensors"]) == 1
    assert not Path("out.json").exists()


def test_validate_refuses_a_network_that_could_not_have_fired_so(recorded, capsys) -> None:
    deaf = pa.Network.sequential(
        [pa.Linear(np.zeros(shape, np.float32)) for shape in [(30, 40), (5, 30)]],
        neuron=pa.LIF(v_threshold=0.3),
    )
    deaf.save("deaf.safetensors")
    assert main(["trace", "validate", "run.trace", "--network", "deaf.safetensors"]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("name", ["order.png", "order.svg"])
def test_plot_draws_a_sample(name, recorded, files, capsys) -> None:
    pytest.importorskip("matplotlib")
    command = ["trace", "plot", "run.trace", "--sample", "2", "--figure", name]
    assert main([*command, "--network", str(files.network)]) == 0
    assert capsys.readouterr().out.strip() == name
    assert Path(name).read_bytes()[:4] == (b"\x89PNG" if name.endswith("png") else b"<?xm")


def test_plot_writes_beside_the_trace_unless_told(recorded, capsys) -> None:
    pytest.importorskip("matplotlib")
    assert main(["trace", "plot", "run.trace"]) == 0
    assert Path("run.png").stat().st_size > 10_000


@pytest.mark.parametrize("sample", ["20", "-1"])
@pytest.mark.parametrize("command", ["show", "plot"])
def test_a_sample_beyond_the_trace_is_refused(command, sample, recorded, capsys) -> None:
    assert main(["trace", command, "run.trace", "--sample", sample]) == 1
    assert "0 .. 19" in capsys.readouterr().err


def test_plot_refuses_what_has_no_name_for_its_figure(capsys) -> None:
    for file in ("", "."):
        assert main(["trace", "plot", file]) == 1
        assert "path: got ." in capsys.readouterr().err


def test_plot_refuses_a_format_it_cannot_draw(recorded, capsys) -> None:
    pytest.importorskip("matplotlib")
    assert main(["trace", "plot", "run.trace", "--figure", "order.xyz"]) == 1
    error = capsys.readouterr().err
    assert "xyz" in error
    assert error.count("\n") == 1
