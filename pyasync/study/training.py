"""Train a network from a recipe and samples, with the same result to the bit every time."""

from __future__ import annotations

# This import comes first: if PyTorch is missing, it says what to install.
from pyasync.nn import AsyncNetwork

# isort: split
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy.typing as npt
import torch

from pyasync._checks import real
from pyasync._files import path_of
from pyasync._progress import Progress
from pyasync._wording import counted
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.study.checkpoint import held
from pyasync.study.layered import torch_threads
from pyasync.study.loop import Epoch, Loop, Samples
from pyasync.study.recipe import Recipe
from pyasync.study.samples import classes_of

__all__ = ["Epoch", "Training", "train"]


@dataclass(frozen=True, repr=False)
class Training:
    """A finished training, as returned by `train`.

    Attributes
    ----------
    network : Network
        float32, with populations "hidden1", …, "output".
    model : AsyncNetwork
        The same as a PyTorch module, in evaluation mode.
    history : tuple of Epoch
    recipe : Recipe

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(4), (10, 1, 1)), dt=10e-3)
    >>> recipe = pa.study.Recipe(hidden=(20,), epochs=2, weight_scale=3.0)
    >>> training = pa.study.train(recipe, x, [0, 1, 2, 3])
    >>> training
    Training(2 epochs, Network(4 -> hidden1[20] -> output[4], 2 projections, float32))
    >>> [epoch.epoch for epoch in training.history]
    [1, 2]
    """

    network: Network
    model: AsyncNetwork
    history: tuple[Epoch, ...]
    recipe: Recipe

    def __repr__(self) -> str:
        return f"Training({counted(len(self.history), 'epoch')}, {self.network!r})"


def train(
    recipe: Recipe,
    x: SpikeBatch,
    y: npt.ArrayLike,
    *,
    n_outputs: int | None = None,
    validation: tuple[SpikeBatch, npt.ArrayLike] | None = None,
    threads: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 10.0,
    progress: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Train a network according to a recipe.

    AdamW minimises the cross-entropy, with surrogate gradients through the order in which spikes
    were delivered. All random numbers depend only on `recipe.seed` and the position in the
    training: the same recipe, samples and version of PyTorch give the same weights to the bit, with
    any number of threads and however often the training was interrupted. PyTorch's own generators
    are neither used nor advanced.

    Parameters
    ----------
    recipe : Recipe
    x : SpikeBatch
        Training samples; it must have a `dt`.
    y : array of integers [n_samples]
        Class of each sample, 0 .. n_outputs - 1.
    n_outputs : int, optional
        Output neurons, one per class; None: the highest class in `y` plus one.
    validation : (SpikeBatch, array of integers), optional
        Samples and classes to evaluate after each epoch, under the training schedule and without
        dropouts. Nothing is learned from them.
    threads : int, optional
        Worker threads of the engine; all cores if not given. PyTorch itself is set to one thread
        while training.
    checkpoint : path, optional
        A file from which to resume if it exists. It is written at the start, after every epoch, and
        within epochs once `checkpoint_seconds` have passed; it is whole at any moment. If it is of
        a finished training, the result is returned at once.
    checkpoint_seconds : float
        Seconds between checkpoints within an epoch; 0 writes one after every batch.
    progress : bool
        Whether to show progress on a terminal: loss, accuracy and spikes per sample in the current
        epoch, the rate and the time left.
    on_epoch : callable, optional
        Called with each `Epoch` once it is finished and written to the checkpoint, if there is one.
        Epochs that the checkpoint already holds are passed first.

    Returns
    -------
    Training

    Raises
    ------
    InputError
        If an argument is not as described, or the architecture does not fit the samples.
    NetworkError
        If the training diverges, so that weights are no longer finite.
    FileError
        If the checkpoint cannot be read or written, belongs to another recipe or other samples, or
        is in use by another training.
    KeyboardInterrupt
        On Ctrl-C; training can be resumed from the checkpoint.

    Warns
    -----
    ActivityWarning
        If the network is silent, saturated, or does not come to rest.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.training import train
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(4), (10, 1, 1)), dt=10e-3)
    >>> recipe = Recipe(hidden=(20,), epochs=200, learning_rate=0.01)
    >>> training = train(recipe, x, [0, 1, 2, 3])
    >>> pa.simulate(training.network, x, pa.Random(8)).decisions()
    array([0, 1, 2, 3])
    >>> len(training.history), training.network
    (200, Network(4 -> hidden1[20] -> output[4], 2 projections, float32))
    """
    if not isinstance(recipe, Recipe):
        raise InputError(expected("recipe", type(recipe).__name__, "a pa.study.Recipe"))
    labels, classes = classes_of(x, y, n_outputs)
    held_out = None if validation is None else _held_out(validation, x, classes)
    accepted = "seconds, finite and 0 or more"
    every = real(InputError, "checkpoint_seconds", checkpoint_seconds, accepted, positive=False)
    kept = None if checkpoint is None else path_of("checkpoint", checkpoint)
    alone = nullcontext() if kept is None else held(kept)
    with torch_threads(torch, 1), torch.enable_grad(), alone:
        loop = Loop(recipe, (x, labels), classes, held_out, threads)
        if kept is not None:
            loop.keep_at(kept, every)
        if on_epoch is not None:
            for epoch in loop.history:
                on_epoch(epoch)
        with Progress("training", loop.remaining, "samples", shown=progress) as bar:
            while len(loop.history) < recipe.epochs:
                epoch = loop.run_epoch(bar)
                if on_epoch is not None:
                    on_epoch(epoch)
    return Training(loop.network(), loop.model.eval(), tuple(loop.history), recipe)


def _held_out(given: object, x: SpikeBatch, n_outputs: int) -> Samples:
    """Check that validation samples fit the training samples, and return them."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise InputError(
            expected("validation", type(given).__name__, "a pair of samples and classes")
        )
    try:
        labels, _ = classes_of(given[0], given[1], n_outputs)
    except InputError as error:
        raise InputError(f"validation, {error}") from error
    kinds = [(each.input_shape, each.dt) for each in (given[0], x)]
    if kinds[0] != kinds[1]:
        shown, accepted = (f"input shape {shape} and dt {dt:g} s" for shape, dt in kinds)
        raise InputError(expected("validation", shown, f"{accepted}, as x has"))
    return given[0], labels
