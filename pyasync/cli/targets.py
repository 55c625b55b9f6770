"""Files that commands are to write: refused before any work, not after minutes of it."""

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
    """Refuse a file that could not be written, or that this command reads or writes already.

    Parameters
    ----------
    inputs : tuple of path or None
        What the command reads.
    folder : path, optional
        A folder that the command makes if it is not there.
    own : iterable of str
        What it writes to that folder in any case.
    **targets : path or None
        What it writes, by the names of the options.

    Raises
    ------
    FileError
        That names the option.
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
        # Devices and pipes may be written to by all.
        if place in taken and (path.is_file() or not path.exists()):
            given = f"{path}, which {taken[place]}"
            raise FileError(expected(option, given, "a file of its own"))
        taken[place] = f"{option} writes too"


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder that could not be made, or that no file could be written to."""
    place = Path(os.path.realpath(folder))
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not (os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)):
        why = "no folder" if not os.path.isdir(there) else "a folder that may not be written to"
        given = f"{folder}, where {there} is {why}" if there != place else f"{folder}, {why}"
        raise FileError(expected(option, given, "a folder to write to, or to be made"))


def check_network_target(path: Path | None) -> None:
    """Refuse a network's file that could not be written, or not be read as what it is."""
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
    """Refuse what needs a package that is not there."""
    if find_spec(package) is None:
        raise missing(package, why)


def _may_be_written(path: Path) -> bool:
    """Whether the system lets a file, and the draft beside it, be written."""
    exists = os.path.exists(path)
    if exists and not os.access(path, os.W_OK):
        return False
    # What is no file, such as a pipe or a device, is written to as it is.
    parent = os.path.dirname(os.path.realpath(path))
    return (exists and not os.path.isfile(path)) or os.access(parent, os.W_OK | os.X_OK)


def _place(path: Path) -> tuple[int, int] | str:
    """What is the same for two paths of one file, however each is written."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
