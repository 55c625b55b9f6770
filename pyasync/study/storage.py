"""Storage of a study's trained networks, so that later studies need not train them again."""

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
    """A trained network, the history of its training, and the versions of what trained it."""

    network: Network
    history: tuple[Epoch, ...]
    versions: dict[str, str]


class Storage:
    """A folder of trained networks, with file names that depend on recipe, seed and samples.

    A finished training is a file `NAME.safetensors`, which `pyasync audit` can also read, and
    beside it `NAME.json` with recipe, samples, history, versions and a digest of both files. It
    counts as finished only if both files are unaltered and match the request. While a training is
    in progress, its checkpoint is `NAME.checkpoint`.

    Parameters
    ----------
    folder : path
        Created if it does not exist.

    Raises
    ------
    FileError
        If it cannot be created.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = path_of("folder", folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            given = f"{folder} ({error.strerror})"
            raise FileError(expected("folder", given, "a folder to write to")) from error

    def path(self, job: Job, samples: Samples, suffix: str) -> Path:
        """Path of a training's file with this suffix, whether it exists or not."""
        identity = json.dumps(_identity(job, samples), sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        words = [samples.name, job.trained, f"seed{job.seed}", digest]
        stem = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-") for word in words)
        return self.folder / f"{stem}{suffix}"

    def load(self, job: Job, samples: Samples) -> Stored | None:
        """Read a finished training; None if there is none that matches."""
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
            # Missing, altered or of another version: it will be trained again.
            return None
        return Stored(network, history, versions)

    def save(self, job: Job, samples: Samples, stored: Stored) -> None:
        """Write a finished training, and delete its checkpoint.

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
    """Digest of both files of a training, by which alterations are detected."""
    said = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(said + network).hexdigest()


def _identity(job: Job, samples: Samples) -> dict[str, Any]:
    """What a stored training has to agree in with the one requested."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "recipe": job.recipe.to_dict(),
        "samples": samples.fingerprint,
    }
