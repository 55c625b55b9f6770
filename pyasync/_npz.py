"""Read npz files without unpickling, and write them whole or not at all."""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._files import drafted, path_of
from pyasync.errors import FileError, expected


def write_npz(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write arrays to a compressed npz file; see `write_whole`."""
    with drafted(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an npz file; objects that would need unpickling are refused."""
    try:
        # If np.load opens a file itself and cannot read it, it leaves it open.
        with path_of("path", path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise FileError(expected("path", f"{path} (a single array)", "an npz file"))
            with archive:
                return {name: archive[name] for name in archive.files}
    except FileError:
        raise
    except Exception as error:  # whatever zipfile, what unpacks its parts, and NumPy raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ValueError) and not zipfile.is_zipfile(path):
            reason = "no archive"  # in place of NumPy's advice to unpickle the file
        raise FileError(expected("path", f"{path} ({reason})", "a whole npz file")) from error
