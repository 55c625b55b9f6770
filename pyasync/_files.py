"""Paths as they are given, files that are read, and files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyasync._checks import shown
from pyasync.errors import FileError, expected


def path_of(argument: str, given: str | os.PathLike[str]) -> Path:
    """Return `given` as a Path.

    Raises
    ------
    FileError
        If it is no path: neither text nor of a type that stands for a path, or with a byte of 0.
    """
    try:
        path = Path(given)
    except TypeError as cause:
        raise FileError(expected(argument, shown(given), "a path")) from cause
    if "\0" in str(path):
        raise FileError(expected(argument, shown(given), "a path, without a byte of 0"))
    return path


@contextmanager
def drafted(
    path: str | os.PathLike[str], argument: str = "path", *, mark: str | None = None
) -> Iterator[Path]:
    """Give the path of a draft to write, which takes the place of `path` in the end.

    A reader, or an interruption, never meets half a file, and after an error what was there is as
    it was. What is no file, such as a pipe or a device, is written to as it is.

    Parameters
    ----------
    path : path
        The file; of a link, what it leads to.
    argument : str
        What an error calls `path`.
    mark : str, optional
        What tells the draft from those of others. None: the number of the process.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    draft: Path | None = None
    given = path_of(argument, path)
    try:
        if given.exists() and not given.is_file() and not given.is_dir():
            yield given
            return
        whole = Path(os.path.realpath(given))
        # Its suffix stays the last one: it may tell a writer which format to write.
        mark = str(os.getpid()) if mark is None else mark
        stem, suffix = os.path.splitext(whole)
        draft = Path(f"{stem}.{mark}.part{suffix}")
        yield draft
        draft.replace(whole)
    except OSError as error:
        what = f"{path} ({error.strerror or error})"
        raise FileError(expected(argument, what, "a writable path")) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    with drafted(path) as draft:
        draft.write_bytes(content)


def read_whole(path: str | os.PathLike[str], accepted: str, argument: str = "path") -> bytes:
    """Read a file.

    Raises
    ------
    FileError
        If it cannot be read; it says what is `accepted`, and calls the path `argument`.
    """
    try:
        return path_of(argument, path).read_bytes()
    except OSError as error:
        raise FileError(expected(argument, f"{path} ({error.strerror})", accepted)) from error
