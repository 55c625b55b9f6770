"""The study's numbers for each data set: every default that is a choice stands here, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyasync.study.recipe import Recipe

_UNLAYERED: tuple[Literal["random", "momentum"], ...] = ("random", "momentum")

# Chosen on a fifth of the digits' training samples, held out (2 seeds; random, F = 8): no cost
# 94.0 % with 371 spikes, 3e-5 93.6 % with 310, 1e-4 91.7 % with 207; 1e-3 silences the network.
# Layered: 94.6 % with 670. The layered training has no cost, as the paper's has none.
_SPIKE_COST = 3e-5


@dataclass(frozen=True)
class Preset:
    """What a study of one data set trains unless told otherwise.

    Attributes
    ----------
    recipe : Recipe
        What all trainings share.
    forward_group_size : int
        F of the unlayered trainings.
    spike_cost : float
        Of the unlayered trainings.
    dt : float or None
        Length of a timestep in seconds; None: the data's own.
    n_timesteps : int or None
        Timesteps of a sample; None: the data's own.
    tau_mem_timesteps : float or None
        `tau_mem` in timesteps, where the data decides the timestep.
    """

    recipe: Recipe
    forward_group_size: int = 8
    spike_cost: float = _SPIKE_COST
    dt: float | None = None
    n_timesteps: int | None = None
    tau_mem_timesteps: float | None = None

    def recipes(self, dt: float) -> dict[str, Recipe]:
        """Return the trainings by name: layered, and unlayered under two schedules.

        Parameters
        ----------
        dt : float
            Length of the data's timestep in seconds.

        Examples
        --------
        >>> from pyasync.study.presets import PRESETS
        >>> recipes = PRESETS["digits"].recipes(dt=10e-3)
        >>> [(name, recipe.schedule) for name, recipe in recipes.items()]
        [('layered', 'layered'), ('random', 'random'), ('momentum', 'momentum')]
        """
        shared = self.recipe
        if self.tau_mem_timesteps is not None:
            shared = shared.replace(tau_mem=self.tau_mem_timesteps * dt)
        made = {"layered": shared.replace(schedule="layered", spike_cost=0.0)}
        for schedule in _UNLAYERED:
            made[schedule] = shared.replace(
                schedule=schedule,
                forward_group_size=self.forward_group_size,
                refractory_dropout=0.8,  # the paper's; without it accuracy falls by 6 to 8 points
                spike_cost=self.spike_cost,
            )
        return made


PRESETS: dict[str, Preset] = {
    # 5 000 MNIST digits seen by the simulated event camera, in 10 timesteps of 10 ms. The paper's
    # network for N-MNIST; 15 epochs of 4 000 samples are a minute on two cores.
    "digits": Preset(Recipe(hidden=(64, 64, 64), tau_mem=28e-3, epochs=15, batch_size=128)),
    # The paper's first saccade, 10 frames of 10 ms, batch size and weight decay. Its tau is 1 ms
    # (nothing is left of a potential after a frame); 28 ms, which keeps 70 %, is better for both
    # sides of the comparison.
    "nmnist": Preset(
        Recipe(hidden=(64, 64, 64), tau_mem=28e-3, epochs=10, batch_size=256, weight_decay=1e-5),
        spike_cost=0.0,  # 60 000 samples: the unlayered networks are the sparser ones as they are
        dt=10e-3,
        n_timesteps=10,
    ),
    # The paper's network and hyper-parameters for SHD are not known. Two populations of 128 and
    # 10 ms are usual; a potential keeps 95 % in 20 ms; shifts of 20 channels and 60 ms, since 8 000
    # samples are few for 700 channels.
    "shd": Preset(
        Recipe(
            hidden=(128, 128),
            tau_mem=390e-3,
            v_threshold=0.5,
            epochs=60,
            batch_size=64,
            loss="rate",
            loss_scale=0.3,
            shift_channels=20,
            shift_timesteps=6,
        ),
        dt=10e-3,
        n_timesteps=100,
    ),
    # The paper's convolutional network on 32 x 32 pixels, frames of 20 ms, fast sigmoid, batch of
    # 64 and 10 epochs; its beta of 0.7 is 56 ms. Groups of 64, since 3 163 neurons fire hundreds of
    # spikes a timestep (the paper's convolutional networks are trained with F = 128).
    "dvsgesture": Preset(
        Recipe(
            architecture="conv_pool",
            tau_mem=56e-3,
            surrogate="fast_sigmoid",
            surrogate_parameter=25.0,
            epochs=10,
            batch_size=64,
        ),
        forward_group_size=64,
        spike_cost=0.0,  # tens of thousands of spikes a sample: a cost would drown the loss
        dt=20e-3,
        n_timesteps=75,
    ),
    # Any other data: the digits' recipe, with a potential that keeps 70 % in a timestep.
    "npz": Preset(Recipe(hidden=(64, 64, 64), epochs=15, batch_size=128), tau_mem_timesteps=2.8),
}
