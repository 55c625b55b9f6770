"""Interrupt a command that runs in a separate process, as Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def interrupted(arguments: list[str], started: Callable[[str], bool], *, later: float = 1.0) -> str:
    """Interrupt a command `later` seconds after `started(output so far)` is true; return stderr.

    The command has to end with the exit status and the message of an interruption.
    """
    command = [sys.executable, "-m", "pyasync.cli", *arguments]
    with (
        open("stdout.txt", "w+") as stdout,
        subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            while not started(Path("stdout.txt").read_text()):
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(later)
            process.send_signal(signal.SIGINT)
            # Takes well under a second; allow for a busy machine, but detect a hang.
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.endswith("pyasync: interrupted\n")
    return errors
