"""Build models from recipes: populations, projections, initial weights and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from pyasync.errors import InputError, expected
from pyasync.nn import LIF, AsyncNetwork, RandomSchedules, Surrogate, _surrogates
from pyasync.projections import Shape
from pyasync.schedules import Schedule
from pyasync.study.plan import as_trained, schedule_named
from pyasync.study.recipe import Recipe

# For each convolution: channels, kernel, stride, padding, and the width of its average pooling.
CONVOLUTIONS = {
    "conv_stride": ((8, 3, 2, 0, 1), (16, 3, 2, 1, 1), (32, 3, 2, 1, 1)),
    "conv_pool": ((12, 5, 1, 0, 2), (32, 5, 1, 0, 2)),
}


def build(
    recipe: Recipe,
    input_shape: int | Sequence[int],
    n_outputs: int,
    dt: float,
    *,
    threads: int | None = None,
) -> AsyncNetwork:
    """Build the model that a recipe describes, untrained.

    Populations are named "hidden1", … and "output". Weights depend only on `recipe.seed`; PyTorch's
    own generator is neither used nor advanced.

    Parameters
    ----------
    recipe : Recipe
    input_shape : int or tuple of int
        Shape of one timestep's input.
    n_outputs : int
        Output neurons, one per class.
    dt : float
        Length of a timestep in seconds.
    threads : int, optional
        Worker threads of the engine; all cores if not given.

    Returns
    -------
    AsyncNetwork
        float32, on the CPU, in training mode.

    Raises
    ------
    InputError
        If the architecture does not fit the input.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.architecture import build
    >>> build(Recipe(architecture="conv"), (2, 34, 34), n_outputs=10, dt=10e-3).network()
    Network((2, 34, 34) -> hidden1[2048] -> hidden2[1024] -> hidden3[512] -> output[10],
            4 projections, float32)
    """
    surrogate = (
        getattr(_surrogates, recipe.surrogate)()
        if recipe.surrogate_parameter is None
        else Surrogate(recipe.surrogate, recipe.surrogate_parameter)
    )
    model = AsyncNetwork(
        input_shape=input_shape,
        schedule=training_schedule(recipe),
        dt=dt,
        surrogate=surrogate,
        gradient_scope=recipe.effective_gradient_scope,
        detach_reset=recipe.detach_reset,
        refractory_dropout=recipe.effective_refractory_dropout,
        input_dropout=recipe.input_dropout,
        spike_dropout=recipe.spike_dropout,
        threads=threads,
    )
    chance = torch.Generator("cpu").manual_seed(recipe.seed)
    # PyTorch's modules initialise themselves first, with PyTorch's own generator.
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        chain, laterals = _modules(recipe, model._input_shape, n_outputs)
        names = [f"hidden{number + 1}" for number in range(len(chain) - 1)] + ["output"]
        for name, (_, shape) in zip(names, chain, strict=True):
            sync_threshold = recipe.output_sync_threshold if name == "output" else 0
            model.add(name, shape, _neuron(recipe, shape, sync_threshold))
        for (source, target), (module, _) in zip(pairwise(["input", *names]), chain, strict=True):
            _initialise(module, recipe.weight_scale, chance)
            model.connect(source, target, module)
        for name, lateral in zip(names, laterals, strict=False):
            _initialise(lateral, recipe.recurrent_scale, chance)
            model.connect(name, name, lateral)
    return model.to(torch.float32)


def training_schedule(recipe: Recipe) -> Schedule | RandomSchedules:
    """The schedule for training, or a `RandomSchedules` that draws one for each batch."""
    F = recipe.forward_group_size
    mixed = recipe.schedule == "mixed"
    if isinstance(F, int) and not mixed:
        return schedule_named(recipe.schedule, F, recipe.momentum_noise)
    names = ("random", "momentum", "fifo", "lifo", "layered") if mixed else (recipe.schedule,)
    smallest, largest = (F, F) if isinstance(F, int) else F
    schedules = [schedule_named(name, smallest, recipe.momentum_noise) for name in names]
    return RandomSchedules(schedules, (smallest, largest), eval=as_trained(recipe))


def _modules(
    recipe: Recipe, shape: Shape, n_outputs: int
) -> tuple[list[tuple[nn.Module, Shape]], list[nn.Module]]:
    """The feed-forward maps with their target shapes, and the recurrent maps of the populations."""
    try:
        chain = list(_chain(recipe, shape, n_outputs))
        sizes = [prod(shape) for _, shape in chain[:-1]] if recipe.recurrent else []
        return chain, [nn.Linear(n, n, bias=False, dtype=torch.float32) for n in sizes]
    except (RuntimeError, TypeError) as error:  # out of memory, or a size beyond int64
        if recipe.architecture == "linear" and recipe.hidden:
            given = f"{n_outputs}, with hidden = {recipe.hidden}"
        else:
            given = str(n_outputs)
        accepted = "classes 0, 1, ... and a network that fits into memory"
        raise InputError(expected("n_outputs", given, accepted)) from error


def _chain(recipe: Recipe, shape: Shape, n_outputs: int) -> Iterator[tuple[nn.Module, Shape]]:
    """The feed-forward maps, each with the shape of its target population."""
    if recipe.architecture == "linear":
        sizes = [*recipe.hidden, n_outputs]
    else:
        sizes = [n_outputs]
        for module in _convolutions(recipe, shape):
            try:
                with torch.no_grad():
                    (_, *extents) = module(torch.zeros(1, *shape)).shape
            except RuntimeError as error:
                given = f"{recipe.architecture!r} for an input shape that becomes {shape}"
                raise InputError(expected("architecture", given, "a larger input")) from error
            shape = tuple(extents)
            yield module, shape
    for size in sizes:
        yield nn.Linear(prod(shape), size, bias=recipe.bias, dtype=torch.float32), (size,)
        shape = (size,)


def _convolutions(recipe: Recipe, shape: Shape) -> Iterator[nn.Module]:
    if len(shape) != 3:
        given = f"{recipe.architecture!r} for input shape {shape}"
        accepted = "'linear', or an input of shape (channels, height, width)"
        raise InputError(expected("architecture", given, accepted))
    name = recipe.architecture
    if name == "conv":
        name = "conv_pool" if shape[1:] == (32, 32) else "conv_stride"
    channels = shape[0]
    for n_out, kernel, stride, padding, pool in CONVOLUTIONS[name]:
        convolution = nn.Conv2d(
            channels, n_out, kernel, stride, padding, bias=recipe.bias, dtype=torch.float32
        )
        channels = n_out
        yield nn.Sequential(convolution, nn.AvgPool2d(pool)) if pool > 1 else convolution


def _neuron(recipe: Recipe, shape: Shape, sync_threshold: int) -> LIF:
    def values(number: Any, learned: bool) -> Any:
        return np.full(shape, number) if learned else number

    return LIF(
        v_threshold=values(recipe.v_threshold, recipe.learn_threshold),
        tau_mem=values(recipe.tau_mem, recipe.learn_tau_mem),
        tau_syn=values(recipe.tau_syn, recipe.learn_tau_syn),
        learn_tau_mem=recipe.learn_tau_mem,
        learn_threshold=recipe.learn_threshold,
        learn_tau_syn=recipe.learn_tau_syn,
        sync_threshold=sync_threshold,
    )


def _initialise(module: nn.Module, scale: float, chance: torch.Generator) -> None:
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, gain=scale, generator=chance)
