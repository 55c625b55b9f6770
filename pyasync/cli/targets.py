"""Check the files that commands are to write before any work, not after minutes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from pyasync._optional import missing
from pyasync.cli.options import flag
from pyasync.errors import FileError, expected


def check_targets(
    inputs: tuple[str | Path | None, ...],
    *,
    folder: Path | None = None,
    own: Iterable[str] = (),
    **targets: Path | None,
) -> None:
    """Refuse a file that cannot be written, or that the command also reads or writes otherwise.

    Parameters
    ----------
    inputs : tuple of path or None
        What the command reads.
    folder : path, optional
        A folder that the command creates if necessary.
    own : iterable of str
        Names of files that it always writes to that folder.
    **targets : path or None
        Further files that it writes, by option name.

    Raises
    ------
    FileError
        If a file is refused; the message names the option.
    """
    taken = {_place(Path(each)): "is read too" for each in inputs if each is not None}
    if folder is not None:
        taken |= {_place(folder / name): "the report itself needs" for name in own}
    for name, path in targets.items():
        if path is None:
            continue
        option = flag(name)
        parent = path.absolute().parent
        made = folder is not None and parent == folder.absolute()
        if os.path.isdir(path) or not (made or os.path.isdir(parent)):
            raise FileError(expected(option, str(path), "a file in a folder that exists"))
        if not (_may_be_written(path) or (made and not os.path.lexists(path))):
            given = f"{path}, which may not be written"
            raise FileError(expected(option, given, "a writable file in a writable folder"))
        place = _place(path)
        # The same device or pipe may be used several times.
        if place in taken and (path.is_file() or not path.exists()):
            given = f"{path}, which {taken[place]}"
            raise FileError(expected(option, given, "a file of its own"))
        taken[place] = f"{option} writes too"


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder that could not be created or written to."""
    place = Path(os.path.realpath(folder))
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not (os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)):
        why = "no folder" if not os.path.isdir(there) else "a folder that may not be written to"
        given = f"{folder}, where {there} is {why}" if there != place else f"{folder}, {why}"
        raise FileError(expected(option, given, "a folder to write to, or to be made"))


def check_network_target(path: Path | None) -> None:
    """Refuse a network file that could not be written, or whose suffix is .nir, another format."""
    if path is None:
        return
    if path.suffix == ".nir":
        accepted = "a FILE.safetensors; pa.interop.to_nir writes a .nir"
        raise FileError(expected("--save-network", str(path), accepted))
    check_installed("safetensors", "networks are saved with it")


def check_figure(figure: Path | None) -> None:
    """Refuse a figure that could not be drawn."""
    if figure is None:
        return
    if figure.suffix not in (".png", ".svg", ".pdf"):
        raise FileError(expected("figure", str(figure), "a path that ends in .png, .svg or .pdf"))
    check_installed("matplotlib", "figures need it")


def check_installed(package: str, why: str) -> None:
    """Raise an error if a package is not installed."""
    if find_spec(package) is None:
        raise missing(package, why)


def _may_be_written(path: Path) -> bool:
    """Whether the system permits writing a file, and the draft beside it."""
    exists = os.path.exists(path)
    if exists and not os.access(path, os.W_OK):
        return False
    # Anything that is not a regular file, such as a pipe or device, is written without a draft.
    parent = os.path.dirname(os.path.realpath(path))
    return (exists and not os.path.isfile(path)) or os.access(parent, os.W_OK | os.X_OK)


def _place(path: Path) -> tuple[int, int] | str:
    """Identify the file behind a path: equal for different paths to the same file."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
