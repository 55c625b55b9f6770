"""Recipes: all hyper-parameters of a training, in one value that can be checked and stored."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pyasync._files import path_of
from pyasync.errors import FileError, InputError, MissingDependencyError, expected
from pyasync.study._recipe_values import checked


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a training; `train` makes a network from a recipe and samples.

    The defaults are the paper's for N-MNIST (arXiv 2408.05098 and its reference code), with two
    exceptions: `detach_reset`, and a membrane that keeps 70 % of its potential from one frame of
    10 ms to the next, which improves both layered and unlayered training.

    Parameters
    ----------
    hidden : tuple of int
        Neurons in each hidden population, if any, of the architecture "linear"; the other
        architectures have their own.
    recurrent : bool
        Also connect every hidden population to itself by a linear projection; "linear" only.
    architecture : {"linear", "conv", "conv_stride", "conv_pool"}
        "conv_stride": the paper's for N-MNIST, three convolutions of stride 2 with 8, 16 and 32
        channels. "conv_pool": the paper's for DVS Gesture, two 5 x 5 convolutions with 12 and 32
        channels, each followed by 2 x 2 average pooling. "conv": "conv_pool" for an input of
        32 x 32, otherwise "conv_stride".
    bias : bool
        Learn biases, which are initially 0. Without biases, a neuron without input is silent.
    tau_mem : float
        Initial membrane time constant in seconds; `inf` for neurons that do not leak.
    tau_syn : float, optional
        Initial time constant of synaptic currents in seconds. None: no neuron has one.
    v_threshold : float
        Initial firing threshold.
    output_sync_threshold : int
        An output neuron fires only after more than this many events have arrived at it in the
        timestep. Output neurons then do not decide on the first few spikes that happen to arrive.
    learn_tau_mem : bool
        Learn the time constant of each neuron.
    learn_threshold : bool
        Learn the threshold of each neuron.
    learn_tau_syn : bool
        Learn the time constant of each neuron's synaptic current.
    weight_scale : float
        Initial weights are Glorot-uniform times this.
    recurrent_scale : float
        The same for the recurrent projections. It should be smaller, or neurons excite each other
        before anything is learned.
    schedule : {"random", "layered", "momentum", "fifo", "lifo", "mixed"}
        Order in which spikes are delivered in training; "mixed" draws one of the other five for
        each batch.
    forward_group_size : int or (int, int)
        F, the number of spikes delivered together. (smallest, largest) draws it log-uniformly for
        each batch.
    momentum_noise : float
        Width of the uniform noise that "momentum" adds to potentials in training, as in the paper.
    gradient_scope : {"spikes", "next_emission", "touched"}, optional
        Which updates receive the gradient of a spike's effect on other neurons (docs/semantics.md,
        "The gradient"). None: "touched" for "layered", which is ordinary back-propagation through
        time, and "spikes" for all others. "touched" may be more accurate, with more spikes. It
        takes 1.3 to 2 times as long as "spikes" with small dense layers, and 2.5 to 4 times as long
        with layers of 500 to 1 000 neurons and with convolutions.
    detach_reset : bool
        Leave the reset out of the gradient; otherwise training with small groups may diverge.
    surrogate : {"atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator"}
        Derivative of a spike, by its snnTorch name.
    surrogate_parameter : float, optional
        Its `alpha`, `slope` or `threshold`. None: snnTorch's default, such as 2 for "atan" and 25
        for "fast_sigmoid".
    epochs : int
        Passes over the samples.
    batch_size : int
        Samples per step of the optimiser.
    learning_rate : float
        Learning rate of AdamW.
    learning_rate_schedule : {"constant", "cosine"}
        "cosine" lets the rate fall to 0 along half a cosine.
    learning_rate_warmup : float
        With "cosine", fraction of the steps in which the rate first rises linearly.
    weight_decay : float
        Weights and biases shrink by the learning rate times this in each step, whatever their
        gradient (AdamW).
    gradient_clip : float, optional
        Largest norm of the gradient of all parameters together. None: no limit.
    loss : {"timestep", "rate"}
        Cross-entropy on the output spikes of every timestep, averaged (the paper's), or on the
        total over all timesteps.
    loss_scale : float
        What one spike adds to a logit.
    label_smoothing : float
        Fraction of a label that is spread evenly over all classes, below 1.
    refractory_dropout : float, optional
        Probability that a neuron that fires in training does not become refractory. None: 0.8, the
        paper's, and 0 for "layered".
    input_dropout : float
        Fraction of input spikes left out in training, below 1; the others are scaled up.
    spike_dropout : float
        Fraction of neurons' spikes that are lost in training: they reach no other neuron.
    spike_cost : float
        Cost of one spike per sample, added to the loss.
    spike_cost_warmup : float
        Fraction of the training in which spikes are free. Over an equal fraction the cost then
        rises linearly to `spike_cost`. A cost from the start may silence a network before it has
        learned anything.
    spike_target : float, optional
        Spikes per sample that remain free. None: 0.
    shift_channels : int or (int, int)
        Largest random shift of a training sample along its last axis, in channels; (dy, dx) for
        its last two axes.
    shift_timesteps : int
        Largest random shift of a training sample in time, in timesteps.
    seed : int
        Determines everything random: initial weights, sample order, schedules, dropouts, shifts.

    Raises
    ------
    InputError
        If a value is not as described.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> recipe = Recipe(hidden=(128, 128), schedule="momentum", epochs=20)
    >>> recipe.replace(schedule="layered").effective_gradient_scope
    'touched'
    """

    hidden: tuple[int, ...] = (64, 64, 64)
    recurrent: bool = False
    architecture: Literal["linear", "conv", "conv_stride", "conv_pool"] = "linear"
    bias: bool = False
    tau_mem: float = 28e-3
    tau_syn: float | None = None
    v_threshold: float = 0.3
    output_sync_threshold: int = 0
    learn_tau_mem: bool = False
    learn_threshold: bool = False
    learn_tau_syn: bool = False
    weight_scale: float = 1.0
    recurrent_scale: float = 0.2
    schedule: Literal["random", "layered", "momentum", "fifo", "lifo", "mixed"] = "random"
    forward_group_size: int | tuple[int, int] = 8
    momentum_noise: float = 1e-6
    gradient_scope: Literal["spikes", "next_emission", "touched"] | None = None
    detach_reset: bool = True
    surrogate: Literal[
        "atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator"
    ] = "atan"
    surrogate_parameter: float | None = None
    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    learning_rate_warmup: float = 0.05
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    loss: Literal["timestep", "rate"] = "timestep"
    loss_scale: float = 1.0
    label_smoothing: float = 0.0
    refractory_dropout: float | None = None
    input_dropout: float = 0.25
    spike_dropout: float = 0.0
    spike_cost: float = 0.0
    spike_cost_warmup: float = 0.3
    spike_target: float | None = None
    shift_channels: int | tuple[int, int] = 0
    shift_timesteps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        values = {
            field.name: checked(field.name, getattr(self, field.name))
            for field in dataclasses.fields(self)
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.recurrent and self.architecture != "linear":
            given = f"True for the architecture {self.architecture!r}"
            raise InputError(expected("recurrent", given, "False, or the architecture 'linear'"))
        for name in ("tau_mem", "tau_syn"):
            tau = getattr(self, name)
            if getattr(self, f"learn_{name}") and (tau is None or math.isinf(tau)):
                accepted = f"finite seconds where learn_{name} is True"
                raise InputError(expected(name, tau, accepted))

    @property
    def effective_gradient_scope(self) -> Literal["spikes", "next_emission", "touched"]:
        """`gradient_scope`, or what None stands for."""
        if self.gradient_scope is None:
            return "touched" if self.schedule == "layered" else "spikes"
        return self.gradient_scope

    @property
    def effective_refractory_dropout(self) -> float:
        """`refractory_dropout`, or what None stands for."""
        if self.refractory_dropout is None:
            return 0.0 if self.schedule == "layered" else 0.8
        return self.refractory_dropout

    def replace(self, **changes: Any) -> Recipe:
        """Return the recipe with some values changed.

        Raises
        ------
        InputError
            If a name is unknown, or a value is not as described.

        Examples
        --------
        >>> from pyasync.study import Recipe
        >>> Recipe().replace(epochs=30).epochs
        30
        """
        _known(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all values by name in JSON-compatible form: tuples as lists, infinity as "inf".

        Examples
        --------
        >>> from pyasync.study import Recipe
        >>> Recipe(hidden=(20,)).to_dict()["hidden"]
        [20]
        """
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Make a recipe from values by name; missing ones take their defaults.

        Raises
        ------
        InputError
            If a name is unknown, or a value is not as described.

        Examples
        --------
        >>> from pyasync.study import Recipe
        >>> Recipe.from_dict(Recipe(seed=3).to_dict()) == Recipe(seed=3)
        True
        """
        if not isinstance(values, Mapping):
            raise InputError(expected("values", type(values).__name__, "a mapping of names"))
        _known(values)
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Recipe:
        r"""Read a recipe from a TOML file of `name = value` lines.

        Raises
        ------
        FileError
            If the file cannot be read, is not TOML, or holds a value that is not as described.
        MissingDependencyError
            On Python 3.10, if the package tomli is not installed.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from pyasync.study import Recipe
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "recipe.toml")
        ...     _ = file.write_text('hidden = [20, 20]\nschedule = "fifo"\n')
        ...     Recipe.from_toml(file).hidden
        (20, 20)
        """
        return cls.from_dict(values_of_toml(path))


def values_of_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values in a TOML file, read and checked as by `Recipe.from_toml`."""
    accepted = "a TOML file of recipe values, such as epochs = 20"
    path = path_of("path", path)
    try:
        values = read_toml(path)
        Recipe.from_dict(values)
    except OSError as error:
        given = f"{path} ({error.strerror or error})"
        raise FileError(expected("path", given, accepted)) from error
    except ValueError as error:
        # From TOML or UTF-8 decoding, or an InputError: each says what is wrong, but not in which
        # file.
        raise FileError(expected("path", f"{path} ({error})", accepted)) from error
    return values


def _known(values: Mapping[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(Recipe)]
    for name in values:
        if name not in names:
            raise InputError(expected("recipe", f"a value {name!r}", ", ".join(names)))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return "inf" if value == math.inf else value


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything in a TOML file; OSError or ValueError if it cannot be read as one."""
    try:
        content: dict[str, Any] = _toml().loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:  # a value is nested too deeply
        raise ValueError(str(error)) from error
    return content


def _toml() -> Any:
    for name in ("tomllib", "tomli"):
        if find_spec(name) is not None:
            return import_module(name)
    raise MissingDependencyError("Python 3.10 needs tomli to read TOML: pip install tomli")
