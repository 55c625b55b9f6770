"""Where a study keeps its trained networks, so that the next one need not train them again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyasync._files import path_of, write_whole
from pyasync.errors import FileError, expected
from pyasync.network import Network
from pyasync.study.plan import Job
from pyasync.study.samples import Samples

if TYPE_CHECKING:
    from pyasync.study.training import Epoch

FORMAT, VERSION = "pyasync.study.Training", 2


@dataclasses.dataclass(frozen=True)
class Stored:
    """A trained network, how its training went, and what trained it."""

    network: Network
    history: tuple[Epoch, ...]
    versions: dict[str, str]


class Storage:
    """A folder of trained networks; a file's name tells recipe, seed and samples apart.

    A training is `NAME.safetensors`, which `pyasync audit` reads too, with `NAME.json` beside it:
    recipe, samples, history, versions and a digest of both files. It is taken for finished only if
    both are as they were written and say what is asked for. While it is under way its checkpoint is
    `NAME.checkpoint`.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Raises
    ------
    FileError
        If it cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = path_of("folder", folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            given = f"{folder} ({error.strerror})"
            raise FileError(expected("folder", given, "a folder to write to")) from error

    def path(self, job: Job, samples: Samples, suffix: str) -> Path:
        """Where a training's file of that suffix is, or would be."""
        identity = json.dumps(_identity(job, samples), sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        words = [samples.name, job.trained, f"seed{job.seed}", digest]
        stem = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-") for word in words)
        return self.folder / f"{stem}{suffix}"

    def load(self, job: Job, samples: Samples) -> Stored | None:
        """Read a finished training; None if there is none, or not the one asked for."""
        from pyasync.study.training import Epoch

        try:
            text = self.path(job, samples, ".json").read_text(encoding="utf-8")
            content = json.loads(text)
            if any(content.get(key) != value for key, value in _identity(job, samples).items()):
                return None
            history = tuple(Epoch(**each) for each in content["history"])
            versions = {str(name): str(value) for name, value in content["versions"].items()}
            file = self.path(job, samples, ".safetensors")
            if content.pop("sha256") != _digest(content, file.read_bytes()):
                return None
            network = Network.load(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Missing, altered or of another version: train it again.
            return None
        return Stored(network, history, versions)

    def save(self, job: Job, samples: Samples, stored: Stored) -> None:
        """Write a finished training, and forget its checkpoint.

        Raises
        ------
        FileError
            If a file cannot be written.
        """
        content: dict[str, Any] = {
            **_identity(job, samples),
            "history": [dataclasses.asdict(each) for each in stored.history],
            "versions": stored.versions,
        }
        file = self.path(job, samples, ".safetensors")
        stored.network.save(file)
        content["sha256"] = _digest(content, file.read_bytes())
        text = json.dumps(content, indent=1) + "\n"
        write_whole(self.path(job, samples, ".json"), text.encode())
        self.path(job, samples, ".checkpoint").unlink(missing_ok=True)


def _digest(content: dict[str, Any], network: bytes) -> str:
    """What tells the two files of a training, as they were written, from altered ones."""
    said = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(said + network).hexdigest()


def _identity(job: Job, samples: Samples) -> dict[str, Any]:
    """What must agree for a training to be the same."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "recipe": job.recipe.to_dict(),
        "samples": samples.fingerprint,
    }
