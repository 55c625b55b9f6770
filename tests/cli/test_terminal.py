"""On a terminal of any width the tables of `audit` and `study` show every number in full."""

from __future__ import annotations

import re

import pytest

import pyasync as pa
from pyasync.cli import main

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def shown_at(width: int, command: list[str], monkeypatch, capsys) -> tuple[str, bool]:
    """The output of a command on a terminal of this width, and whether any of it is bold."""
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    capsys.readouterr()
    assert main(command) == 0
    shown = capsys.readouterr().out
    return ANSI.sub("", shown), ANSI.search(shown) is not None


def rule_of(table: str) -> int:
    """The width of a plain-text table, taken from the rule below its header."""
    return max(len(line) for line in table.splitlines() if line and set(line) == {"-"})


def words_of(table: str) -> set[str]:
    return {word for word in re.split(r"\s{2,}|\n", table) if word.strip("- ")}


def test_an_audit_has_every_number_at_any_width(files, monkeypatch, capsys) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), "--schedule", "random"]
    network = pa.Network.load(files.network)
    table = pa.study.audit(network, files.x, files.labels, ["random"]).to_table()
    natural = rule_of(table)
    assert natural > 100
    for width in (20, 80, 100, natural - 1):
        shown, bold = shown_at(width, command, monkeypatch, capsys)
        assert (shown, bold) == (table + "\n", False)
    for width in (natural, 400):
        shown, bold = shown_at(width, command, monkeypatch, capsys)
        assert bold
        assert words_of(table) <= words_of(shown)


def test_a_study_has_every_number_at_any_width(files, monkeypatch, capsys) -> None:
    pytest.importorskip("torch")
    command = ["study", str(files.data), "--train", "layered", "--epochs", "1", "--seeds", "1"]
    command += ["--schedule", "fifo", "-F", "1", "--no-figures", "--out", "made"]
    shown, _ = shown_at(20, command, monkeypatch, capsys)
    # From the headline on, without the line at the end that says what was written.
    table = shown.partition("\n\n")[2].rpartition("\n\n")[0]
    natural = rule_of(table)
    assert "±" in table
    for width in (20, 80, natural - 1, natural, 400):
        shown, bold = shown_at(width, command, monkeypatch, capsys)
        assert bold == (width >= natural)
        assert words_of(table) <= words_of(shown)
        assert bold or table in shown
