"""No command overwrites a file that it reads, or writes two things to one file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pyasync.cli import main

RUN = "simulate net.safetensors --data data.npz"
AUDIT = "audit net.safetensors --data data.npz --schedule fifo -F 1"
TRAIN = "train data.npz --hidden 4 --epochs 1"
STUDY = "study data.npz --train layered --epochs 1 --seeds 1 --out study"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (f"{RUN} --json data.npz", "--json: got data.npz, which is read too"),
        (f"{RUN} --trace net.safetensors", "--trace: got net.safetensors, which is read too"),
        (f"{RUN} --replay run.trace --trace run.trace", "--trace: got run.trace, which is read"),
        (f"{RUN} --json new --trace new", "--trace: got new, which --json writes too"),
        (f"{RUN} --json new --trace ./x/../new", "which --json writes too"),
        (f"{RUN} --json link", "--json: got link, which is read too"),
        (f"{AUDIT} --json net.safetensors", "--json: got net.safetensors, which is read too"),
        (f"{AUDIT} --json new.png --figure new.png", "--figure: got new.png, which --json writes"),
        (f"{TRAIN} --json data.npz", "--json: got data.npz, which is read too"),
        (f"{TRAIN} --save-network data.npz", "--save-network: got data.npz, which is read too"),
        (f"{TRAIN} --validation test.npz --checkpoint test.npz", "--checkpoint: got test.npz"),
        (f"{TRAIN} --config c.toml --json c.toml", "--json: got c.toml, which is read too"),
        (f"{TRAIN} --save-network new --checkpoint new", "which --save-network writes too"),
        (f"{TRAIN} --save-network new.nir", "--save-network: got new.nir; accepted: a FILE.saf"),
        (f"{STUDY} --json data.npz", "--json: got data.npz, which is read too"),
        (f"{STUDY} --json study/report.md", "study/report.md, which the report itself needs"),
        (f"{STUDY} --json study/anytime.png", "anytime.png, which the report itself needs"),
        ("trace show run.trace --json run.trace", "--json: got run.trace, which is read too"),
        ("trace plot run.png", "--figure: got run.png, which is read too"),
    ],
)
def test_no_file_is_written_over(files, capsys, command, says) -> None:
    run = ["simulate", str(files.network), "--data", str(files.data), "--trace", "run.trace"]
    assert main(run) == 0
    Path("x").mkdir()
    Path("c.toml").write_text("hidden = [4]\n")
    shutil.copy(files.network, "net.safetensors")
    shutil.copy(files.data, "data.npz")
    shutil.copy(files.data, "test.npz")
    shutil.copy("run.trace", "run.png")
    os.link("data.npz", "link")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    capsys.readouterr()
    assert main(command.split()) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert before == {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}


SHUT = "shut/new.x", "old.x"


def close(monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """Make paths unwritable, even for root, which tests may run as and which ignores file modes."""
    closed, access = {os.path.realpath(path) for path in paths}, os.access

    def asked(path: str | Path, mode: int, **how: bool) -> bool:
        return not (mode & os.W_OK and os.path.realpath(path) in closed) and access(
            path, mode, **how
        )

    monkeypatch.setattr(os, "access", asked)


@pytest.mark.parametrize("target", SHUT)
@pytest.mark.parametrize(
    ("command", "option", "suffix"),
    [
        (RUN, "--json", ".json"),
        (RUN, "--trace", ".trace"),
        (AUDIT, "--json", ".json"),
        (AUDIT, "--figure", ".png"),
        ("audit --epochs 1", "--save-network", ".safetensors"),
        (TRAIN, "--save-network", ".safetensors"),
        (TRAIN, "--checkpoint", ".checkpoint"),
        (TRAIN, "--json", ".json"),
        (STUDY, "--json", ".json"),
        ("trace show run.trace", "--json", ".json"),
    ],
)
def test_what_may_not_be_written_is_refused_before_anything_is_read(
    files, capsys, monkeypatch, command, option, suffix, target
) -> None:
    target = target.replace(".x", suffix)
    Path("shut").mkdir()
    Path(f"old{suffix}").touch()
    close(monkeypatch, "shut", f"old{suffix}")
    before = sorted(Path().iterdir())
    # Neither network nor data exist, so a command that read them first would complain about them.
    assert main([*command.split(), option, target]) == 1
    shown = capsys.readouterr()
    assert f"{option}: got {target}, which may not be written" in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("out", ["file", "file/below/it", "shut", "shut/below/it", "open"])
def test_a_study_needs_a_folder_to_write_to(files, capsys, monkeypatch, out) -> None:
    pytest.importorskip("torch")
    for folder in ("shut", "open/networks"):
        Path(folder).mkdir(parents=True)
    Path("file").touch()
    close(monkeypatch, "shut", "open/networks")
    assert main(["study", "none.npz", "--out", out]) == 1
    shown = capsys.readouterr()
    assert f"--out: got {out}" in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")
    assert not list(Path("open/networks").iterdir())


def test_a_file_behind_a_link_is_written_where_it_is(files, monkeypatch) -> None:
    Path("there").mkdir()
    Path("here").mkdir()
    Path("here/link.json").symlink_to(Path("there/real.json").absolute())
    close(monkeypatch, "here")
    command = ["simulate", str(files.network), "--data", str(files.data)]
    assert main([*command, "--json", "here/link.json"]) == 0
    assert Path("there/real.json").stat().st_size


def test_a_device_may_be_written_to_by_all(files) -> None:
    command = ["simulate", str(files.network), "--data", str(files.data)]
    assert main([*command, "--json", os.devnull, "--trace", os.devnull]) == 0


def test_a_study_may_write_to_the_folder_that_it_makes(files) -> None:
    pytest.importorskip("torch")
    options = ["--train", "layered", "--epochs", "1", "--seeds", "1", "-F", "1"]
    command = [
        "study",
        str(files.data),
        "--out",
        "made",
        "--json",
        "made/mine.json",
        "--no-figures",
    ]
    assert main([*command, *options, "--schedule", "fifo"]) == 0
    assert Path("made/mine.json").exists()
