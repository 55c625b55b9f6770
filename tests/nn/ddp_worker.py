"""One of two processes that share a batch: run by test_ddp.py, not a test itself."""

from __future__ import annotations

import gc
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import pyasync as pa


def build() -> pa.nn.AsyncSequential:
    torch.manual_seed(0)
    return pa.nn.AsyncSequential(
        nn.Linear(20, 16),
        pa.nn.LIF(v_threshold=0.1, learn_tau_mem=True),
        nn.Linear(16, 3),
        pa.nn.LIF(v_threshold=0.05),
        schedule=pa.Random(4),
        dt=10e-3,
        refractory_dropout=0.5,
        spike_dropout=0.1,
        threads=1,
    )


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    return torch.rand(6, 8, 20, generator=chance) < 0.3, torch.arange(8) % 3


def step(model: nn.Module, ids: torch.Tensor) -> None:
    x, y = batch()
    counts, spike_counts = model(x[:, ids], seed=7, sample_ids=ids, return_spike_counts=True)
    loss = pa.nn.functional.rate_cross_entropy(counts, y[ids])
    (loss + pa.nn.functional.spike_cost(spike_counts, 1e-3)).backward()


def main(rank: int, store: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model = DistributedDataParallel(build())
    for _ in range(2):  # a second step finds the reducer ready for it
        model.zero_grad()
        step(model, torch.arange(8).split(4)[rank])
    grads = {name: p.grad for name, p in model.module.named_parameters()}
    torch.save(grads, f"{out}.{rank}")
    # The process group's threads end with its last owner. If one still releases a tensor while
    # Python shuts down, the process aborts, so nothing may keep the model alive until then.
    del model
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
