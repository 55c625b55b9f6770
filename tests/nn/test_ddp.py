"""DistributedDataParallel: two processes get the same gradients as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)
def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    paths = [str(tmp_path / "store"), str(tmp_path / "grads")]
    started = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), *paths],
            env=environment,
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in started:
            _, errors = process.communicate(timeout=180)
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
            process.communicate()
    import ddp_worker

    model = ddp_worker.build()
    ddp_worker.step(model, torch.arange(8))
    first, second = (torch.load(f"{paths[1]}.{rank}") for rank in range(2))
    for name, parameter in model.named_parameters():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], parameter.grad, rtol=1e-5, atol=1e-6)
        assert parameter.grad.abs().sum() > 0
