"""Optional dependencies: packages that only some functions need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pyasync.errors import MissingDependencyError


def needed(module: str, why: str) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
    why : str
        Why it is needed, as in "figures need it".

    Raises
    ------
    MissingDependencyError
        If the package is not installed; the message says why it is needed and how to install it.
    """
    try:
        return import_module(module)
    except ImportError as cause:
        raise missing(module.partition(".")[0], why) from cause


def missing(package: str, why: str) -> MissingDependencyError:
    """The error for a package that is not installed."""
    return MissingDependencyError(f"{package} is not installed; {why}: pip install {package}")
