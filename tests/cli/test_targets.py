"""No command writes over what it reads, nor writes two things to one file."""

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
