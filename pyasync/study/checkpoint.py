"""Checkpoints: a training as it stands, in one file that is whole at any moment."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from filelock import FileLock, Timeout

from pyasync._files import drafted
from pyasync.errors import FileError, expected
from pyasync.study.recipe import Recipe

# Version 1 had Adam, of which weight decay meant something else; 2 another digest of the samples.
FORMAT, VERSION = "pyasync.Training", 3
ACCEPTED = f"a whole checkpoint of a pyasync training, version {VERSION}"
# What torch.load and zipfile raise for a file that is cut, altered, or of something else.
UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(RuntimeError, AssertionError, pickle.UnpicklingError),
    *(zipfile.BadZipFile, zlib.error),
)


def save(path: str | os.PathLike[str], recipe: Recipe, samples: str, state: dict[str, Any]) -> None:
    """Write the state of a training; killed at any moment, the old file or the new one is there.

    Parameters
    ----------
    path : path
        The file; one that exists is replaced.
    recipe : Recipe
    samples : str
        What tells those trained on from others, as `pyasync.study.samples.fingerprint` does.
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
    # One mark, so that what a killed process left half written is written over.
    with drafted(path, "checkpoint", mark="draft") as draft, draft.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a checkpoint for one training: another one is refused, wherever it runs.

    Raises
    ------
    FileError
        If another training holds it, or its folder cannot be written to.
    """
    # Of a process that was killed the file stays, but not the lock.
    lock = FileLock(f"{os.fspath(path)}.lock")
    try:
        os.stat(os.path.dirname(os.path.abspath(path)))  # which the lock would make
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
        # While it is held: later the file of that name may be the lock of another. Who has opened
        # it meanwhile is told by filelock that what it locks has no name. Windows removes none that
        # is open; there filelock does, on release.
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def load(path: str | os.PathLike[str], recipe: Recipe, samples: str) -> dict[str, Any]:
    """Read the state of a training; nothing in the file is executed.

    Raises
    ------
    FileError
        If the file is no whole checkpoint, or of another recipe or other samples.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not an archive as torch.save writes it")
        # PyTorch does not look at the checksums.
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
    except UNREADABLE as error:
        raise unusable(path, error) from error
    return state


def unusable(path: str | os.PathLike[str], error: BaseException) -> FileError:
    """The error for a file that is no checkpoint, or not that of its training."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or repr(error)
    return FileError(expected("checkpoint", f"{path} ({reason})", ACCEPTED))
