"""The ways to take one training step that `training.py` compares: pyasync's own, and the peers'.

`python benches/training_contenders.py WORKLOAD RUN THREADS` takes one step in a separate process
and prints how many bytes of memory it needed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peers.dense_async_bptt import DenseAsyncBptt, DenseAsyncReferenceBptt
from peers.snntorch_bptt import SnnTorchBptt
from torch import Tensor, nn
from workloads import WORKLOADS, Workload

import pyasync as pa

SNNTORCH, DENSE, REFERENCE = "snnTorch BPTT", "dense loop", "dense loop as the reference"
ASYNCTORCH = "asynctorch"
ENGINE, TOUCHED, SPIKE_COST = "pyasync", "pyasync, touched", "pyasync, spike cost"
LAYERED, DENSE_INPUT = "pyasync, layered", "pyasync, dense input"
OURS = (ENGINE, TOUCHED, SPIKE_COST, LAYERED, DENSE_INPUT)
PEERS: tuple[str, ...] = (SNNTORCH, DENSE, REFERENCE)
if find_spec("asynctorch") is not None:
    PEERS += (ASYNCTORCH,)
COST_OF_A_SPIKE = 1e-3
# With a rate of 0 Adam does all its work but leaves the weights unchanged, so every step of every
# contender is a step of the network that the workload describes.
LEARNING_RATE = 0.0

Parts = dict[str, float]  # seconds of one step, by what they were spent on


class Step:
    """One contender's training step: forward, per-timestep cross-entropy, backward, Adam.

    The constructor makes everything that is not timed: the model, the optimiser, the labels, and
    the input in the contender's form (dense float for the peers and `DENSE_INPUT`, else a
    SpikeBatch).

    Parameters
    ----------
    workload : Workload
    run : str
        One of `PEERS` and `OURS`.
    threads : int
        Threads of a peer's PyTorch, or of pyasync's engine. The PyTorch part of a pyasync step runs
        on one thread, as in `pyasync train`: a second would cost more than it gains.
    """

    def __init__(self, workload: Workload, run: str, threads: int) -> None:
        self.workload, self.run, self.threads = workload, run, threads
        self.model = model_of(workload, run, threads)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.generator = torch.Generator().manual_seed(workload.seed)
        self.x, self.y = self.input(workload.spikes()), labels(workload)
        self.counts: Tensor | None = None  # of pyasync's last step

    def input(self, frames: NDArray[np.bool_]) -> Tensor | pa.SpikeBatch:
        """Spikes [T, B, n_inputs] as the contender takes them."""
        if self.run in OURS and self.run != DENSE_INPUT:
            return pa.SpikeBatch.from_dense(frames, dt=self.workload.dt)
        return torch.from_numpy(frames).float()

    def __call__(self) -> None:
        """Take the step."""
        of_torch = 1 if self.run in OURS else self.threads
        if torch.get_num_threads() != of_torch:
            torch.set_num_threads(of_torch)
        self.optimizer.zero_grad()
        self.loss(self.x, self.y).backward()
        self.optimizer.step()

    def loss(self, x: Any, y: Tensor) -> Tensor:
        """Run the forward up to the loss."""
        if self.run == SPIKE_COST:
            self.counts, spike_counts = self.model(x, return_spike_counts=True)
            cost = pa.nn.functional.spike_cost(spike_counts, COST_OF_A_SPIKE)
            return pa.nn.functional.timestep_cross_entropy(self.counts, y) + cost
        if self.run in OURS:
            self.counts = self.model(x)
            return pa.nn.functional.timestep_cross_entropy(self.counts, y)
        counts = self.model(x) if self.run == SNNTORCH else self.model(x, self.generator).counts
        return nn.functional.cross_entropy(counts.flatten(0, 1), y.repeat(len(counts)))

    def spikes_per_sample(self) -> dict[str, float]:
        """Mean number of spikes per sample in each population, in one forward."""
        with torch.no_grad():
            if self.run in OURS:
                self.model(self.x)
                fired = self.model.last_result.spike_counts
            elif self.run == SNNTORCH:
                fired = self.model(self.x, every_layer=True).sum(0).numpy()
            else:
                fired = self.model(self.x, self.generator).spike_counts.numpy()
        populations = self.workload.populations.items()
        return {name: float(fired[:, ids].sum(1).mean()) for name, ids in populations}


def model_of(workload: Workload, run: str, threads: int) -> Any:
    """The workload's network, to be trained."""
    weights = [torch.from_numpy(w) for w in workload.weights()]
    neuron: dict[str, Any] = {"v_threshold": workload.v_threshold, "beta": workload.beta}
    if run == SNNTORCH:
        return SnnTorchBptt(weights, **neuron)
    if run in PEERS:
        kind = asynchronous_peer(run)
        return kind(weights, **neuron, forward_group_size=workload.forward_group_size)
    schedule = pa.Layered() if run == LAYERED else pa.Random(workload.forward_group_size)
    scope = "touched" if run in (TOUCHED, LAYERED) else "spikes"
    return chain(
        weights, workload, schedule=schedule, dt=workload.dt, gradient_scope=scope, threads=threads
    )


def asynchronous_peer(run: str) -> Any:
    """The class of a peer that runs asynchronously."""
    if run == ASYNCTORCH:
        from peers.asynctorch_bptt import AsyncTorchBptt

        return AsyncTorchBptt
    return DenseAsyncBptt if run == DENSE else DenseAsyncReferenceBptt


def chain(weights: list[Tensor], neuron: Workload, **options: Any) -> pa.nn.AsyncSequential:
    """A pyasync model with these weights [n_out, n_in] and a workload's neurons."""
    modules: list[nn.Module] = []
    for weight in weights:
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight = nn.Parameter(weight)
        modules += [linear, pa.nn.LIF(v_threshold=neuron.v_threshold, tau_mem=neuron.tau_mem)]
    return pa.nn.AsyncSequential(*modules, **options)


def labels(workload: Workload) -> Tensor:
    """A class for each sample."""
    rng = np.random.default_rng([workload.seed, 2])
    return torch.from_numpy(rng.integers(0, workload.sizes[-1], workload.batch))


def parts(step: Step) -> Parts:
    """Take one step of pyasync and return where its time went.

    "engine" is the time in `_core.Network`, `_core.simulate` and `_core.gradient`. "torch" is that
    in PyTorch's own cross-entropy (forward, and backward as far as the counts), in Adam and in
    `zero_grad`. "python" is everything else: pyasync's modules and autograd function, its loss
    around PyTorch's, and autograd's work to pass the gradients to the parameters.
    """
    spent = {"engine": 0.0, "torch": 0.0}
    with (
        timed(pa._core, "Network", spent, "engine"),
        timed(pa._core, "simulate", spent, "engine"),
        timed(pa._core, "gradient", spent, "engine"),
        timed(nn.functional, "cross_entropy", spent, "torch"),
        timed(step.optimizer, "step", spent, "torch"),
        timed(step.optimizer, "zero_grad", spent, "torch"),
    ):
        at_the_counts: list[float] = []
        start = time.perf_counter()
        step.optimizer.zero_grad()
        loss = step.loss(step.x, step.y)
        forward = time.perf_counter() - start
        assert step.counts is not None
        step.counts.register_hook(lambda _gradient: at_the_counts.append(time.perf_counter()))
        start = time.perf_counter()
        loss.backward()
        spent["torch"] += at_the_counts[0] - start
        step.optimizer.step()
        whole = forward + time.perf_counter() - start
    return {**spent, "python": whole - sum(spent.values()), "step": whole}


@contextmanager
def timed(owner: Any, name: str, spent: Parts, part: str) -> Iterator[None]:
    """Add the time of all calls of `owner.name` to a part."""
    original: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*arguments, **options)
        finally:
            spent[part] += time.perf_counter() - start

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def bytes_of_a_step(step: Step) -> int | None:
    """Peak resident memory of a step beyond that before it; None if the system does not say.

    A step on two samples of two timesteps comes first. It loads what is loaded on first use and
    creates Adam's moments, which already exist for a step in the middle of a training.
    """
    peak_resets = Path("/proc/self/clear_refs")
    if not peak_resets.exists():
        return None
    whole = step.x, step.y
    for _ in range(2):
        step.x, step.y = step.input(step.workload.spikes()[:2, :2]), whole[1][:2]
        step()
    step.x, step.y = whole
    give_back_free_memory()
    peak_resets.write_text("5")
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def give_back_free_memory() -> None:
    """Return free but still resident memory to the system, or it would hide what a step needs.

    Works with glibc only.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident(field: str) -> int:
    """Current or peak memory of this process in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")


def nmnist_epochs(path: Path, epochs: int, threads: int) -> Iterator[dict[str, float]]:
    """Train 2312-64-64-64-8 on N-MNIST's digits 0 to 7 and measure each epoch.

    A plain loop over shuffled batches of 256, with the paper's input and refractory dropout. The
    time is that of the whole loop, including making batches and taking measures.
    """
    x, y = pa.data.npz(path)
    assert y is not None
    classes = torch.from_numpy(y)
    neuron = dataclasses.replace(WORKLOADS["nmnist-shaped"], sizes=(2312, 64, 64, 64, 8))
    model = chain(
        [torch.from_numpy(w) for w in neuron.weights()],
        neuron,
        schedule=pa.Random(neuron.forward_group_size),
        dt=x.dt,
        input_dropout=0.25,
        refractory_dropout=0.8,
        threads=threads,
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(neuron.seed)
    torch.set_num_threads(1)
    for _ in range(epochs):
        start, correct, spikes = time.perf_counter(), 0, 0
        for batch in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            counts = model(x[batch.numpy()])
            pa.nn.functional.timestep_cross_entropy(counts, classes[batch]).backward()
            optimizer.step()
            correct += int((counts.detach().sum(0).argmax(1) == classes[batch]).sum())
            spikes += int(model.last_result.spikes.sum())
        yield {
            "seconds": time.perf_counter() - start,
            "accuracy": correct / len(x),
            "spikes_per_sample": spikes / len(x),
        }


if __name__ == "__main__":
    workload_name, run_name, n_threads = sys.argv[1:]
    step = Step(WORKLOADS[workload_name], run_name, int(n_threads))
    print(json.dumps(bytes_of_a_step(step)))
