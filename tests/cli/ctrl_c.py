"""Press Ctrl-C while a command runs in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def interrupted(arguments: list[str], started: Callable[[str], bool], *, later: float = 1.0) -> str:
    """Press it `later` seconds after `started`, which is given the output so far; give stderr.

    The command has to end with the status and the word of an interruption.
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
            # It takes well under a second; a busy machine may take longer, a hang takes for ever.
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.endswith("pyasync: interrupted\n")
    return errors
