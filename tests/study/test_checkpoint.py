"""A training stopped at any moment resumes as if it had not been, or says why it cannot."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from toys import QUICK, bits, toy

import pyasync as pa

torch = pytest.importorskip("torch")

from pyasync.study.checkpoint import held  # noqa: E402
from pyasync.study.loop import Loop  # noqa: E402
from pyasync.study.training import Training, train  # noqa: E402

X, Y = toy()
TESTS = Path(__file__).parents[1]


class Stop(BaseException):
    """Stands for Ctrl-C, without a signal."""


def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch, **options) -> None:
    """Run a training that is stopped before its step number `steps`, counted from 0."""
    made = iter(range(steps))
    step = Loop._step

    def counted(self: Loop, picked: object) -> None:
        if next(made, None) is None:
            raise Stop
        step(self, picked)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_step", counted)
        with pytest.raises(Stop):
            train(QUICK, X, Y, **options)


def same(a: Training, b: Training) -> bool:
    untimed = [[dataclasses.replace(e, seconds=0.0) for e in t.history] for t in (a, b)]
    return bits(a.network) == bits(b.network) and untimed[0] == untimed[1]


# 4 batches per epoch, 3 epochs.
@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 11])
def test_stopped_within_an_epoch_it_goes_on_to_the_same_bits(steps, tmp_path, monkeypatch) -> None:
    options = {"checkpoint": tmp_path / "c", "checkpoint_seconds": 0, "validation": (X, Y)}
    unbroken = train(QUICK, X, Y, validation=(X, Y))
    stopped_after(steps, monkeypatch, **options)
    left = len(range(steps, 12))
    remaining = iter(range(left))
    step = Loop._step

    def counted(self: Loop, picked: object) -> None:
        next(remaining)
        step(self, picked)

    monkeypatch.setattr(Loop, "_step", counted)
    assert same(train(QUICK, X, Y, **options), unbroken)
    assert next(remaining, None) is None, "no step is made twice, and none is left out"


def test_within_an_epoch_it_is_written_no_more_often_than_asked(tmp_path, monkeypatch) -> None:
    path = tmp_path / "c"
    stopped_after(3, monkeypatch, checkpoint=path, checkpoint_seconds=1000)
    assert torch.load(path, weights_only=True)["state"]["epoch"]["batch"] == 0
    stopped_after(7, monkeypatch, checkpoint=path, checkpoint_seconds=1000)
    state = torch.load(path, weights_only=True)["state"]
    assert (len(state["history"]), state["epoch"]["batch"]) == (1, 0), "after the epoch it is"


def test_ctrl_c_between_epochs_leaves_what_was_finished(tmp_path) -> None:
    def interrupt(epoch: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(QUICK, X, Y, checkpoint=tmp_path / "c", on_epoch=interrupt)
    seen: list[int] = []
    training = train(
        QUICK, X, Y, checkpoint=tmp_path / "c", on_epoch=lambda epoch: seen.append(epoch.epoch)
    )
    assert seen == [1, 2, 3], "epochs that were finished before are told of too"
    assert same(training, train(QUICK, X, Y))


def test_a_finished_training_is_taken_from_its_checkpoint(tmp_path, monkeypatch) -> None:
    first = train(QUICK, X, Y, checkpoint=tmp_path / "c")
    monkeypatch.setattr(Loop, "_step", None)
    again = train(QUICK, X, Y, checkpoint=tmp_path / "c")
    assert bits(again.network) == bits(first.network)
    assert again.history == first.history, "its seconds too"
    assert os.listdir(tmp_path) == ["c"], "no draft is left"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forks")
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path) -> None:
    command = [sys.executable, str(TESTS / "study" / "kill_worker.py"), str(tmp_path), "0"]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": QUICK.replace(epochs=4, seed=1)}, "of a recipe with epochs = 3, seed = 0;"),
        ({"y": (Y + 1) % 3}, "of other samples"),
        ({"x": X[::-1]}, "of other samples"),
        ({"validation": (X, Y)}, "of other samples"),
        ({"n_outputs": 4}, "of other samples"),
    ],
)
def test_that_of_another_training_is_refused(changes, words, tmp_path) -> None:
    path = tmp_path / "c"
    train(QUICK, X, Y, checkpoint=path)
    before = path.read_bytes()
    given = {"recipe": QUICK, "x": X, "y": Y} | changes
    with pytest.raises(pa.FileError, match=f"^checkpoint: got .*c {words}"):
        train(given.pop("recipe"), given.pop("x"), given.pop("y"), checkpoint=path, **given)
    assert path.read_bytes() == before


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    "kind", ["empty", "text", "cut", "other", "array", "later", "pickle", "repacked"]
)
def test_a_file_that_is_no_checkpoint_is_refused(kind, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c"
    train(QUICK.replace(epochs=1), X, Y, checkpoint=path)
    whole = torch.load(path, weights_only=True)
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("epochs = 3")
        case "cut":
            path.write_bytes(path.read_bytes()[:-500])
        case "other":
            torch.save(whole["state"]["model"], path)
        case "array":
            torch.save(torch.zeros(3), path)
        case "later":
            torch.save({**whole, "version": whole["version"] + 1}, path)
        case "pickle":
            path.write_bytes(pickle.dumps(Malicious()))
        case "repacked":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
                archive.writestr("c/data.pkl", bytes(range(256)) * 4)
            content = bytearray(path.read_bytes())
            content[60:100] = b"\xff" * 40
            path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(pa.FileError, match=r"^checkpoint: got .*; accepted: a whole checkpoint"):
        train(QUICK.replace(epochs=1), X, Y, checkpoint=path)
    assert path.read_bytes() == before
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("model"),
        lambda state: state["model"].pop("projections.0.weight"),
        lambda state: state["model"].update({"projections.0.weight": torch.zeros(2, 2)}),
        lambda state: state["optimiser"].pop("param_groups"),
        lambda state: state["history"][0].update(speed=3),
        lambda state: state["epoch"].pop("batch"),
        lambda state: state["epoch"].update(batch="first"),
    ],
)
def test_a_checkpoint_with_something_wrong_in_it_is_refused(change, tmp_path) -> None:
    path = tmp_path / "c"
    train(QUICK.replace(epochs=1), X, Y, checkpoint=path)
    whole = torch.load(path, weights_only=True)
    change(whole["state"])
    torch.save(whole, path)
    with pytest.raises(pa.FileError, match=r"^checkpoint: got .*; accepted: a whole checkpoint"):
        train(QUICK.replace(epochs=1), X, Y, checkpoint=path)


def test_one_flipped_bit_in_a_checkpoint_is_found(tmp_path) -> None:
    path = tmp_path / "c"
    training = train(QUICK.replace(epochs=1), X, Y, checkpoint=path)
    weight = training.model.state_dict()["projections.0.weight"].numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weight) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(pa.FileError, match=r"^checkpoint: got .* is damaged\); accepted: a whole"):
        train(QUICK.replace(epochs=2), X, Y, checkpoint=path)


def test_what_is_no_path_is_no_checkpoint() -> None:
    with pytest.raises(pa.FileError, match=r"^checkpoint: got 3; accepted: a path"):
        train(QUICK, X, Y, checkpoint=3)  # type: ignore[arg-type]


def test_a_second_training_to_the_same_checkpoint_is_refused_while_the_first_one_runs(
    tmp_path,
) -> None:
    path = tmp_path / "c"
    refused = []

    def meanwhile(epoch: object) -> None:
        with pytest.raises(pa.FileError, match=r"^checkpoint: got .* training that is under way"):
            train(QUICK, X, Y, checkpoint=path)
        refused.append(epoch)

    train(QUICK.replace(epochs=2), X, Y, checkpoint=path, on_epoch=meanwhile)
    assert len(refused) == 2
    assert os.listdir(tmp_path) == ["c"]
    train(QUICK.replace(epochs=2), X, Y, checkpoint=path)


def test_of_two_that_follow_on_one_that_ends_only_one_holds_the_checkpoint(
    tmp_path, monkeypatch
) -> None:
    path, unlink = tmp_path / "c", os.unlink
    holders = []

    def follow() -> None:
        follower = held(path)
        with suppress(pa.FileError):
            follower.__enter__()
            holders.append(follower)

    def meanwhile(name: object, **options: object) -> None:
        follow()
        unlink(name, **options)

    with held(path):
        monkeypatch.setattr(os, "unlink", meanwhile)
    monkeypatch.undo()
    follow()
    assert len(holders) == 1
    holders.pop().__exit__(None, None, None)
    assert os.listdir(tmp_path) == []


def test_a_lock_that_a_killed_training_left_is_taken(tmp_path) -> None:
    path = tmp_path / "c"
    (tmp_path / "c.lock").write_bytes(b"")
    with held(path):
        assert os.listdir(tmp_path) == ["c.lock"]
    assert os.listdir(tmp_path) == []


def test_where_none_can_be_written_nothing_is_trained(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Loop, "_step", None)
    with pytest.raises(pa.FileError, match="No such file or directory"):
        train(QUICK, X, Y, checkpoint=tmp_path / "none" / "c")


def test_a_fingerprint_is_of_every_number() -> None:
    from pyasync.study.samples import fingerprint

    x = pa.SpikeBatch([0, 1], [0, 1, 2], 2, (1, 4), dt=1e-3)
    y = np.array([1])
    prints = {
        fingerprint(*samples)
        for samples in (
            [(x, y)],
            [(x, y), (x, y)],
            [(x, y + 1)],
            [(pa.SpikeBatch([0, 2], [0, 1, 2], 2, (1, 4), dt=1e-3), y)],
            [(pa.SpikeBatch([0, 1], [0, 0, 2], 2, (1, 4), dt=1e-3), y)],
            [(pa.SpikeBatch([0, 1], [0, 1, 2], 2, (2, 2), dt=1e-3), y)],
            [(pa.SpikeBatch([0, 1], [0, 1, 2], 2, (1, 4), dt=2e-3), y)],
            [(pa.SpikeBatch([0, 1], [0, 1, 2], 2, (1, 4), [1, 2], dt=1e-3), y)],
        )
    }
    assert len(prints) == 8
    assert fingerprint((x, y)) == fingerprint((x[0], y.astype(np.int32)))
