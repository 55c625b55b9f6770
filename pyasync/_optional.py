"""Packages that only some functions need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyasync.errors import MissingDependencyError, expected


def needed(module: str) -> Any:
    """Import a module of an optional package; MissingDependencyError if that is not installed."""
    try:
        return import_module(module)
    except ImportError as cause:
        package = module.partition(".")[0]
        given, accepted = "a Python without it", f"pip install {package}"
        raise MissingDependencyError(expected(package, given, accepted)) from cause
