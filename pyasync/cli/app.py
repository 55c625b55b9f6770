"""The command-line application: all commands, and the mapping of exceptions to exit statuses."""

from __future__ import annotations

import sys
from typing import Annotated, cast

import typer

from pyasync.cli import audit, info, simulate, study, trace, train
from pyasync.errors import MissingDependencyError, PyasyncError

# The base class of all usage errors has different public names in different typer versions.
UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])

app = typer.Typer(
    name="pyasync",
    help="Asynchronous execution of spiking neural networks: train, simulate, replay, audit.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("audit")(audit.audit)
app.command("study")(study.study)
app.command("train")(train.train)
app.command("simulate")(simulate.simulate)
app.add_typer(trace.app, name="trace")
app.command("info")(info.info)


def _version(wanted: bool) -> None:
    if wanted:
        from pyasync import __version__

        print(f"pyasync {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        status = app(arguments or ["--help"], prog_name="pyasync", standalone_mode=False)
    except UsageError as error:
        return _failed(_one_line(error), 2)
    except MissingDependencyError as error:
        return _failed(str(error), 2)
    except (PyasyncError, OSError) as error:
        return _failed(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    if status == 130:
        return _failed("interrupted", 130)
    return status if isinstance(status, int) else 0


def _one_line(error: BaseException) -> str:
    format_message = getattr(error, "format_message", None)
    return str(format_message() if format_message is not None else error)


def _failed(message: str, status: int) -> int:
    print(f"pyasync: {' '.join(message.split())}", file=sys.stderr)
    return status
