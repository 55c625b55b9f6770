"""Checkpoints: the state of a training, in one file that is whole at any moment."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from filelock import FileLock, Timeout

from pyasync._files import drafted
from pyasync.errors import FileError, expected
from pyasync.study.recipe import Recipe

# Version 1 used Adam, where weight decay had another meaning; 2 had another digest of the samples.
FORMAT, VERSION = "pyasync.Training", 3
ACCEPTED = f"a whole checkpoint of a pyasync training, version {VERSION}"


def save(path: str | os.PathLike[str], recipe: Recipe, samples: str, state: dict[str, Any]) -> None:
    """Write the state of a training; if killed at any moment, the old or the new file remains.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    recipe : Recipe
    samples : str
        Identifies the training samples; see `pyasync.study.samples.fingerprint`.
    state : dict
        Tensors, numbers, strings, and lists and dicts of them.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": recipe.to_dict(),
        "samples": samples,
        "state": state,
    }
    # A fixed mark, so that the draft that a killed process left behind is overwritten.
    with drafted(path, "checkpoint", mark="draft") as draft, draft.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a checkpoint for one training; another training is refused, even in another process.

    Raises
    ------
    FileError
        If another training holds it, or its folder cannot be written to.
    """
    # If the process is killed, the lock file remains but the lock is released.
    lock = FileLock(f"{os.fspath(path)}.lock")
    try:
        os.stat(os.path.dirname(os.path.abspath(path)))  # or FileLock would create the folder
        lock.acquire(timeout=0)
    except Timeout as error:
        given = f"{path}, which a training that is under way writes"
        raise FileError(expected("checkpoint", given, "a file of its own")) from error
    except OSError as error:
        what = f"{path} ({error.strerror or error})"
        raise FileError(expected("checkpoint", what, "a writable path")) from error
    try:
        yield
    finally:
        # Remove the file while holding the lock: afterwards it may be another training's lock. If
        # another has opened it meanwhile, filelock notices that the file it locks has been removed.
        # Windows cannot remove an open file; there filelock removes it on release.
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def load(path: str | os.PathLike[str], recipe: Recipe, samples: str) -> dict[str, Any]:
    """Read the state of a training; nothing in the file is executed.

    Raises
    ------
    FileError
        If the file is not a whole checkpoint, or is of another recipe or other samples.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not an archive as torch.save writes it")
        # PyTorch does not verify the checksums.
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} in it is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        kind = content["format"], content["version"]
        if kind != (FORMAT, VERSION):
            raise ValueError(f"format {kind[0]!r}, version {kind[1]!r}")
        state: dict[str, Any] = content["state"]
        theirs = content["recipe"]
        if differences := [
            f"{name} = {theirs.get(name)!r}"
            for name, ours in recipe.to_dict().items()
            if theirs.get(name) != ours
        ]:
            accepted = "one of this recipe; another file, or remove it to begin anew"
            given = f"{path} of a recipe with {', '.join(differences)}"
            raise FileError(expected("checkpoint", given, accepted))
        if content["samples"] != samples:
            accepted = "one of these samples; another file, or remove it to begin anew"
            raise FileError(expected("checkpoint", f"{path} of other samples", accepted))
    except FileError:
        raise
    except Exception as error:  # whatever PyTorch, pickle, zipfile and what unpacks its parts raise
        raise unusable(path, error) from error
    return state


def unusable(path: str | os.PathLike[str], error: BaseException) -> FileError:
    """The error for a file that is not a checkpoint, or not of this training."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)
    return FileError(expected("checkpoint", f"{path} ({reason})", ACCEPTED))
