"""Train in a child that is killed again and again, and once without: `kill_worker.py FOLDER SEED`.

Children are forked from this process, which has imported everything and started no threads. So a
training starts at once, and PyTorch is imported only once.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import sys
import time
from pathlib import Path

import torch._dynamo  # noqa: F401  (what the optimiser would import in every child)
from toys import QUICK, bits, toy

from pyasync.study.training import train

RECIPE = QUICK.replace(epochs=12, learn_tau_mem=True, learning_rate_schedule="cosine")


def child(folder: Path, checkpoint: Path | None) -> int:
    """Fork a training that finally writes its network and history to a file."""
    pid = os.fork()
    if pid == 0:
        x, y = toy()
        training = train(RECIPE, x, y, checkpoint=checkpoint, checkpoint_seconds=0, threads=1)
        history = [(epoch.loss, epoch.accuracy, epoch.spikes) for epoch in training.history]
        done = folder / "done.part"
        done.write_bytes(pickle.dumps((bits(training.network), history)))
        done.rename(folder / "done")
        os._exit(0)
    return pid


def finished(folder: Path, checkpoint: Path | None) -> object:
    _, status = os.waitpid(child(folder, checkpoint), 0)
    assert status == 0
    return pickle.loads((folder / "done").read_bytes())


def main(folder: Path, seed: int) -> None:
    start = time.monotonic()
    unbroken = finished(folder, None)
    longest = time.monotonic() - start
    chance, checkpoint = random.Random(seed), folder / "checkpoint"
    whole: set[int] = set()
    # More than eight where a busy machine lets no child get as far as a checkpoint.
    for kills in range(80):
        if kills >= 8 and len(whole) > 1:
            break
        (folder / "done").unlink(missing_ok=True)
        pid = child(folder, checkpoint)
        time.sleep(chance.uniform(0, longest / 2))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if checkpoint.exists():
            whole.add(checkpoint.stat().st_mtime_ns)
    print(f"{len(whole)} different checkpoints went on")
    assert finished(folder, checkpoint) == unbroken, "the bits differ"
    assert len(whole) > 1, "no child was killed on its way"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
