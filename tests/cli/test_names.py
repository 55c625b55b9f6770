"""Names that users give are shown unchanged, whatever they contain and wherever they appear."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pyasync.cli import main
from pyasync.study.grid import Grid

PROGRAM = [sys.executable, "-m", "pyasync"]
ONE = ["--epochs", "1", "--seeds", "1", "--schedule", "fifo", "-F", "1", "--no-figures"]


@pytest.mark.parametrize("name", ["[/bold]", "[v2]", ":smile:"])
def test_the_name_of_a_recipe_is_no_markup(files, capsys, name) -> None:
    pytest.importorskip("torch")
    Path("mine.toml").write_text(f'hidden = [4]\n["{name}"]\nschedule = "fifo"\n')
    train = ["--train", "layered", "--train", name, "--config", "mine.toml"]
    assert main(["study", str(files.data), *train, *ONE, "--out", "made"]) == 0
    table = capsys.readouterr().out.partition("\n\n")[2]
    assert name in table


def test_a_table_for_rich_takes_no_name_for_markup() -> None:
    out = io.StringIO()
    lines = (("[/bold]", "[v2] :smile:"),)
    Console(file=out, width=80).print(Grid(("name", "other"), lines, 2).to_rich())
    assert "[/bold]  [v2] :smile:" in out.getvalue()


def test_what_the_encoding_lacks_does_not_end_a_command(files) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), "--schedule", "fifo"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PROGRAM, *command], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\xb1" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_name_that_is_no_utf_8_is_shown(files) -> None:
    pytest.importorskip("torch")
    data = os.fsencode(files.folder) + b"/d\xff.npz"
    shutil.copy(files.data, data)
    train = [*PROGRAM, "train", data, "--hidden", "4", "--epochs", "1", "--json", "made.json"]
    done = subprocess.run(train, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert main(["study", os.fsdecode(data), "--train", "layered", *ONE, "--out", "made"]) == 0
    assert Path("made/report.html").exists()


@pytest.mark.parametrize("command", ["train", "study"])
def test_nesting_without_end_is_no_recipe(files, capsys, command) -> None:
    Path("deep.toml").write_text("hidden = " + "[" * 100_000 + "]" * 100_000)
    assert main([command, str(files.data), "--config", "deep.toml"]) == 1
    error = capsys.readouterr().err
    assert "deep.toml" in error
    assert error.count("\n") == 1
