"""A training written out: a plain PyTorch loop that does what a recipe says."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import pyasync as pa
from pyasync.study import Recipe
from pyasync.study.architecture import build
from pyasync.study.loop import FORWARD, ORDER, SHIFT, drawn


def plain_loop(
    recipe: Recipe, x: pa.SpikeBatch, y: npt.NDArray[np.int64]
) -> tuple[pa.nn.AsyncNetwork, list[float]]:
    """Train as a recipe says, step by step; return the model and the mean loss of each epoch."""
    model = build(recipe, x.input_shape, int(y.max()) + 1, x.dt)
    optimiser = torch.optim.AdamW(
        [
            {"params": model.projections.parameters(), "weight_decay": recipe.weight_decay},
            {"params": model.neurons.parameters(), "weight_decay": 0.0},
        ]
    )
    per_epoch = math.ceil(len(x) / recipe.batch_size)
    n_steps = recipe.epochs * per_epoch
    losses = np.zeros(recipe.epochs)
    for step in range(n_steps):
        epoch, batch = divmod(step, per_epoch)
        chance = np.random.Generator(np.random.Philox(drawn(recipe.seed, ORDER, epoch)))
        order = chance.permutation(len(x))
        picked = order[batch * recipe.batch_size :][: recipe.batch_size]
        shifts = recipe.shift_channels, recipe.shift_timesteps, drawn(recipe.seed, SHIFT, step)
        counts, spikes = model(
            pa.data.shift(x[picked], *shifts),
            seed=drawn(recipe.seed, FORWARD, step),
            sample_ids=picked,
            return_spike_counts=True,
        )
        logits, labels = recipe.loss_scale * counts, torch.tensor(y[picked])
        if recipe.loss == "rate":
            logits = logits.sum(0)
        else:
            logits, labels = logits.transpose(1, 2), labels.expand(x.n_timesteps, -1)
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        cost, rate = cost_and_rate(recipe, step / n_steps)
        loss = loss + cost * (spikes.sum(1).mean() - (recipe.spike_target or 0)).clamp(min=0)
        losses[epoch] += loss.item() * len(picked) / len(x)
        model.zero_grad()
        loss.backward()
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
    return model, losses.tolist()


def cost_and_rate(recipe: Recipe, done: float) -> tuple[float, float]:
    """Cost of a spike, and learning rate, when a fraction `done` of all steps has been made."""
    free = recipe.spike_cost_warmup
    cost = recipe.spike_cost * min(max(done - free, 0) / free, 1) if free else recipe.spike_cost
    warm = recipe.learning_rate_warmup
    if recipe.learning_rate_schedule == "constant":
        return cost, recipe.learning_rate
    if done < warm:
        return cost, recipe.learning_rate * (done / warm)
    return cost, recipe.learning_rate * (1 + math.cos(math.pi * (done - warm) / (1 - warm))) / 2
