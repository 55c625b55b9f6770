"""What holds for every command: exit statuses, one-line errors, what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pyasync as pa
import pyasync.cli
from pyasync.cli import main

COMMANDS = ["audit", "study", "train", "simulate", "trace", "info"]


def test_without_arguments_it_lists_its_commands(capsys) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(command in listed for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "trace show", "trace validate", "trace plot"])
def test_every_command_explains_itself(command, capsys) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"pyasync {command}" in capsys.readouterr().out


def test_it_says_its_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pyasync {pa.__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "pyasync", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"pyasync {pa.__version__}\n")


def test_info_says_what_a_report_of_a_bug_needs(files, capsys) -> None:
    assert main(["info", "--json", "info.json"]) == 0
    facts = json.loads(Path("info.json").read_text())
    assert facts["pyasync"] == pa.__version__
    assert facts["threads"] >= 1
    assert facts["cpu_features"] == pa._core.cpu_features()
    assert facts["packages"]["typer"] in capsys.readouterr().out


@pytest.mark.parametrize("absent", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(absent, monkeypatch, capsys) -> None:
    monkeypatch.setattr(pyasync.cli, "find_spec", lambda name: None if name == absent else name)
    assert main(["info"]) == 2
    error = capsys.readouterr().err
    assert error == f"pyasync: the command line needs {absent}: pip install {absent}\n"


# Command lines, each with its exit status and words that the one line of error must contain.
BAD = {
    "unknown command": ("simulat", 2, ["simulat"]),
    "unknown option": ("info --sed 3", 2, ["--sed"]),
    "missing network": ("simulate --data {data}", 2, ["NETWORK"]),
    "missing data": ("simulate {network}", 2, ["--data"]),
    "unknown schedule": ("simulate {network} --data {data} --schedule lottery", 2, ["lottery"]),
    "negative seed": ("simulate {network} --data {data} --seed -1", 1, ["seed", "-1"]),
    "no threads": ("simulate {network} --data {data} --threads 0", 1, ["threads", "0"]),
    "empty groups": ("simulate {network} --data {data} -F 0", 1, ["forward_group_size", "0"]),
    "no such network": ("simulate none.safetensors --data {data}", 1, ["none.safetensors"]),
    "network of nothing": ("simulate {data} --data {data}", 1, ["data.npz"]),
    "no such data": ("simulate {network} --data none.npz", 1, ["none.npz"]),
    "data of nothing": ("simulate {network} --data {network}", 1, ["network.safetensors"]),
    "folder of nothing": ("simulate {network} --data .", 1, ["N-MNIST"]),
    "another dt": ("simulate {network} --data {data} --dt 0.5", 1, ["dt", "0.5"]),
    "folder to write to": (
        "simulate {network} --data {data} --json none/out.json",
        1,
        ["none", "a file in a folder that exists"],
    ),
    "limit of nothing": ("simulate {network} --data {data} --max-spikes -3", 1, ["max_spikes"]),
    "no samples": ("simulate {network} --data {data} --samples 0", 1, ["samples", "0"]),
    "no batches": ("simulate {network} --data {data} --batch-size 0", 1, ["batch_size", "0"]),
    "no such trace": ("trace show none.trace", 1, ["none.trace"]),
    "trace of nothing": ("trace show {data}", 1, ["data.npz"]),
    "validate what": ("trace validate {data}", 2, ["--network"]),
    "replay of nothing": ("simulate {network} --data {data} --replay {data}", 1, ["data.npz"]),
    "no such network to audit": ("audit none.safetensors --data {data}", 1, ["none.safetensors"]),
    "audit without data": ("audit {network}", 2, ["--data"]),
    "data without network": ("audit --data {data}", 2, ["NETWORK"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_line_and_a_failing_status(case, files, capsys) -> None:
    line, status, words = BAD[case]
    arguments = [part.format(network=files.network, data=files.data) for part in line.split()]
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("pyasync: "), error
    assert error.count("\n") == 1, error
    assert all(word in error for word in words), error


@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_a_truncated_trace_is_refused_in_one_line(size, files, capsys) -> None:
    command = ["simulate", str(files.network), "--data", str(files.data), "--trace", "whole.trace"]
    assert main(command) == 0
    Path("cut.trace").write_bytes(Path("whole.trace").read_bytes()[:size])
    capsys.readouterr()
    assert main(["trace", "show", "cut.trace"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
