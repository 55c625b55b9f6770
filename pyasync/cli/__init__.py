"""The command `pyasync`: study, train, audit, simulate, trace and info."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from pyasync.errors import MissingDependencyError

__all__ = ["main"]

_REQUIRED = ("typer", "rich")
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors go to stderr as one line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows `pyasync` on the command line. None: the arguments of this process.

    Returns
    -------
    int
        0: success. 1: a `PyasyncError`, or a file that could not be read or written.
        2: a usage error, or a missing optional package. 130: Ctrl-C.

    Examples
    --------
    >>> from pyasync.cli import main
    >>> main(["trace", "show", "no-such-file"])
    1
    """
    as_program = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    if missing := [name for name in _REQUIRED if find_spec(name) is None]:
        return _report(
            MissingDependencyError(
                f"the command line needs {' and '.join(missing)}: pip install {' '.join(missing)}"
            )
        )
    if as_program:
        warnings.showwarning = _warn
        if isinstance(sys.stdout, io.TextIOWrapper):
            # An hour's work must not fail over a file name or a ± that the terminal cannot encode.
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Only after the check, since these modules import typer and rich.
        from pyasync.cli.app import run

        status = run(list(arguments))
    except KeyboardInterrupt:  # during these imports
        print("pyasync: interrupted", file=sys.stderr)
        status = _INTERRUPTED
    if status == _INTERRUPTED and as_program:
        # Skip Python's shutdown: with PyTorch it takes about a second, all that Ctrl-C may take.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line, without its place in the code, which is of no use to users."""
    print(f"pyasync: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _report(error: MissingDependencyError) -> int:
    print(f"pyasync: {error}", file=sys.stderr)
    return 2
