"""Where tests find recordings that are not in the repository; without them, tests are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def real_data(name: str) -> Path:
    """Return the path of a file of real recordings, or skip the calling test."""
    path = Path(os.environ.get("PYASYNC_DATA", BESIDE)) / name
    if not path.exists():
        pytest.skip(f"{name} is not there; set PYASYNC_DATA to the directory that holds it")
    return path
