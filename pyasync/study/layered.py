"""Ordinary training: layer by layer in every timestep, with PyTorch's own autograd."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyasync._events import count_of, seconds_of
from pyasync._optional import needed
from pyasync._progress import Progress
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.neurons import LIF
from pyasync.projections import Linear
from pyasync.study._recipe_values import checked
from pyasync.study.samples import classes_of

if TYPE_CHECKING:
    import torch

Tensors = list["torch.Tensor"]


def train_layered(
    x: SpikeBatch,
    y: npt.ArrayLike,
    hidden: Sequence[int] = (64, 64, 64),
    n_outputs: int | None = None,
    *,
    tau_mem: float = 28e-3,
    v_threshold: float = 0.3,
    epochs: int = 15,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    input_dropout: float = 0.25,
    seed: int = 0,
    threads: int = 1,
    progress: bool = False,
) -> Network:
    """Train a feed-forward network as spiking networks are usually trained: layer-synchronised.

    The computation is that of `Layered()`: in each timestep each layer waits for the whole layer
    before it. `v <- v * beta`, `v' = v + W s`, and where `v' > v_threshold` the neuron spikes and
    `v <- 0`. Learning is back-propagation through time with snnTorch's surrogate gradient atan(2),
    the reset detached, Adam, and cross-entropy on the output spikes of every timestep. Initial
    weights are Glorot-uniform; there are no biases.

    Parameters
    ----------
    x : SpikeBatch
        Training samples; it must have a `dt`.
    y : array of integers [n_samples]
        Class of each sample, 0 .. n_outputs - 1.
    hidden : sequence of int
        Neurons of each hidden layer.
    n_outputs : int, optional
        Output neurons, one per class; None: the highest class in `y` plus one.
    tau_mem : float
        Membrane time constant in seconds; `inf` for neurons that do not leak. With the default,
        30 % of a potential is lost in 10 ms.
    v_threshold : float
        Threshold of every neuron.
    epochs, batch_size : int
        Passes over the samples, and samples per optimiser step.
    learning_rate : float
        Learning rate of Adam.
    input_dropout : float
        Fraction of input spikes left out at random in training, 0 <= p < 1; the others are scaled
        up by 1 / (1 - p).
    seed : int
        Determines initial weights, sample order and dropout. The same seed, PyTorch version and
        number of threads give the same network.
    threads : int
        Threads of PyTorch; more than one pays off only for wide layers.
    progress : bool
        Whether to show progress on a terminal.

    Returns
    -------
    Network
        float32, with populations "hidden1", …, "output".

    Raises
    ------
    InputError
        If an argument is not as described.
    MissingDependencyError
        If PyTorch is not installed.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import train_layered
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(4), (10, 1, 1)), dt=10e-3)
    >>> network = train_layered(x, [0, 1, 2, 3], hidden=[20], epochs=200, learning_rate=0.01)
    >>> pa.simulate(network, x, pa.Layered()).decisions()
    array([0, 1, 2, 3])
    """
    labels, classes = classes_of(x, y, n_outputs)
    sizes = [x.n_inputs, *checked("hidden", hidden), classes]
    epochs, batch_size = checked("epochs", epochs), checked("batch_size", batch_size)
    seed, threads = checked("seed", seed), count_of("threads", threads)
    tau_mem, v_threshold = checked("tau_mem", tau_mem), checked("v_threshold", v_threshold)
    learning_rate = checked("learning_rate", learning_rate)
    input_dropout = checked("input_dropout", input_dropout)
    neuron = LIF(tau_mem=tau_mem, v_threshold=v_threshold)
    torch = needed("torch", "training needs it")
    work = Progress("training, layered", epochs * len(x), "samples", shown=progress)
    # Independent of PyTorch's current default device, gradient mode and number of threads.
    with torch.device("cpu"), torch.enable_grad(), torch_threads(torch, threads), work as bar:
        chance = torch.Generator("cpu").manual_seed(seed)
        weights = [_glorot(torch, rows, columns, chance) for columns, rows in pairwise(sizes)]
        network = _network(weights, neuron, x)
        beta = float(network.decay(seconds_of("dt", x.dt))[0])
        optimiser = torch.optim.Adam(weights, lr=learning_rate)
        targets = torch.as_tensor(labels)
        for _ in range(epochs):
            for picked in torch.randperm(len(x), generator=chance).split(batch_size):
                batch = x[picked.numpy()]
                drawn = torch.rand(batch.n_events, generator=chance, dtype=torch.float32)
                kept = drawn >= input_dropout
                spikes = torch.from_numpy(_dense(batch, kept.numpy(), 1 / (1 - input_dropout)))
                output = run_layered(weights, spikes, beta, v_threshold)
                target = targets[picked].repeat_interleave(x.n_timesteps)
                loss = torch.nn.functional.cross_entropy(output.flatten(0, 1), target)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                bar.advance(len(picked), f"loss {loss.item():.3f}")
    return _network(weights, neuron, x)


def run_layered(
    weights: Tensors, spikes: torch.Tensor, beta: float, v_threshold: float
) -> torch.Tensor:
    """Run the layers on `spikes` [B, T, n_inputs]; return those of the last, [B, T, n_outputs].

    Without feedback a layer depends only on the spikes of the layer before it, so each layer runs
    over all timesteps before the next; the result equals visiting all layers in every timestep.
    """
    torch = needed("torch", "training needs it")
    for weight in weights:
        current = spikes @ weight.T
        v = torch.zeros_like(current[:, 0])
        fired = []
        for i in current.unbind(1):
            v = v * beta + i
            over = v - v_threshold
            soft = torch.atan(math.pi * over) / math.pi
            spike = (v > v_threshold).to(v.dtype)
            v = v * (1 - spike)
            fired.append(spike + (soft - soft.detach()))
        spikes = torch.stack(fired, 1)
    return spikes


def _dense(batch: SpikeBatch, kept: npt.NDArray[np.bool_], scale: float) -> npt.NDArray[np.float32]:
    """Spikes [B, T, n_inputs] of the events that were kept."""
    dense = np.zeros((len(batch), batch.n_timesteps, batch.n_inputs), np.float32)
    flat = dense.reshape(-1, batch.n_inputs)
    values = scale * batch._multiplicities()[kept]
    flat[batch._segments()[kept], batch.channel[kept]] = values
    return dense


@contextmanager
def torch_threads(torch: Any, threads: int) -> Iterator[None]:
    """Temporarily set the number of PyTorch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _glorot(torch: Any, rows: int, columns: int, chance: Any) -> Any:
    weight = torch.empty(rows, columns, dtype=torch.float32, requires_grad=True)
    torch.nn.init.xavier_uniform_(weight, generator=chance)
    return weight


def _network(weights: Tensors, neuron: LIF, x: SpikeBatch) -> Network:
    names = [f"hidden{layer + 1}" for layer in range(len(weights) - 1)] + ["output"]
    arrays = [weight.detach().numpy().copy() for weight in weights]
    return Network.sequential(
        [Linear(array) for array in arrays], neuron=neuron, input_shape=x.input_shape, names=names
    )
