"""Check paths, read files, and write files whole or not at all."""

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
        If it is not a path: neither text nor path-like, or with a null byte in it.
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
    """Yield the path of a draft to write, which replaces `path` when the block ends.

    So readers and interruptions never leave or see half a file, and after an error the old file is
    unchanged. Anything that is not a regular file, such as a pipe or device, is written directly.

    Parameters
    ----------
    path : path
        The file to write; a symbolic link is followed.
    argument : str
        Name of `path` in error messages.
    mark : str, optional
        Part of the draft's name that distinguishes it from the drafts of other writers. None: the
        process id.

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
        # The suffix stays last, since a writer may choose the format by it.
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


def read_whole(path: str | os.PathLike[str], accepted: str) -> bytes:
    """Read a file.

    Raises
    ------
    FileError
        If it cannot be read; the message says what is `accepted`.
    """
    try:
        return path_of("path", path).read_bytes()
    except OSError as error:
        raise FileError(expected("path", f"{path} ({error.strerror})", accepted)) from error
