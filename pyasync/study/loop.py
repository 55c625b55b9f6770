"""The training loop: its state, what a step does to it, and how checkpoints keep it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyasync._progress import Progress
from pyasync.data.augment import shift
from pyasync.errors import NetworkError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network
from pyasync.nn.functional import by_timestep, spike_cost
from pyasync.simulate import simulate
from pyasync.study import checkpoint
from pyasync.study.architecture import build
from pyasync.study.plan import as_trained
from pyasync.study.recipe import Recipe
from pyasync.study.samples import fingerprint

Samples = tuple[SpikeBatch, npt.NDArray[np.int64]]
# Purposes of random numbers: each has its own stream, independent of what the others draw.
ORDER, FORWARD, SHIFT = 1, 2, 3
# The position within an epoch: attributes of `Loop`, with their types.
POSITION = {
    **dict.fromkeys(("batch", "seen", "correct", "spikes"), int),
    **dict.fromkeys(("loss", "seconds"), float),
}


@dataclass(frozen=True)
class Epoch:
    """Results of one pass over the samples.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1.
    loss : float
        Mean loss over the samples while they were trained on, including the spike cost.
    accuracy : float
        Fraction of the training samples decided correctly while they were trained on, with
        dropouts. The decision is that of `Result.decisions`.
    spikes : float
        Mean number of spikes per training sample, over all neurons, while trained on.
    seconds : float
        Training time, without validation and checkpoints.
    validation_accuracy, validation_spikes : float or None
        The same for the validation samples after the epoch, without dropouts.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(4), (10, 1, 1)), dt=10e-3)
    >>> recipe = pa.study.Recipe(hidden=(20,), epochs=2, weight_scale=3.0)
    >>> training = pa.study.train(
    ...     recipe, x, [0, 1, 2, 3], on_epoch=lambda epoch: print(epoch.epoch, epoch.loss > 0)
    ... )
    1 True
    2 True
    """

    epoch: int
    loss: float
    accuracy: float
    spikes: float
    seconds: float
    validation_accuracy: float | None = None
    validation_spikes: float | None = None


class Loop:
    """A training in progress: everything that a step changes and a checkpoint stores.

    Parameters
    ----------
    recipe : Recipe
    samples : (SpikeBatch, int64 [n_samples])
    n_outputs : int
    validation : (SpikeBatch, int64 [n]), optional
    threads : int, optional
        Worker threads of the engine.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples: Samples,
        n_outputs: int,
        validation: Samples | None,
        threads: int | None,
    ) -> None:
        self.recipe, self.threads, self.n_outputs = recipe, threads, n_outputs
        (self.x, self.labels), self.validation = samples, validation
        assert self.x.dt is not None
        self.model = build(recipe, self.x.input_shape, n_outputs, self.x.dt, threads=threads)
        # Decay would pull logarithms towards 0, that is, time constants towards 1 second.
        groups: list[dict[str, Any]] = [
            {"params": list(self.model.projections.parameters())},
            {"params": list(self.model.neurons.parameters()), "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        self.n_batches = math.ceil(len(self.x) / recipe.batch_size)
        self.history: list[Epoch] = []
        self.path: Path | None = None
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.batch, self.seen, self.correct, self.spikes = 0, 0, 0, 0
        self.loss, self.seconds = 0.0, 0.0

    @property
    def remaining(self) -> int:
        """Number of samples still to be trained on, counted once for each remaining epoch."""
        return (self.recipe.epochs - len(self.history)) * len(self.x) - self.seen

    def run_epoch(self, bar: Progress) -> Epoch:
        """Train to the end of the current epoch, from the current position in it."""
        seed, size = self.recipe.seed, self.recipe.batch_size
        order = np.random.Generator(np.random.Philox(drawn(seed, ORDER, len(self.history))))
        picked = order.permutation(len(self.x))
        self.model.train()
        while self.batch < self.n_batches:
            start = time.perf_counter()
            first = self.batch * size
            self._step(picked[first : first + size])
            self.seconds += time.perf_counter() - start
            # Short, to fit into 80 columns beside the rate and the time left.
            note = f"loss {self.loss / self.seen:.3f}, accuracy {self.correct / self.seen:.3f}, "
            note += f"{self.spikes / self.seen:,.0f} spikes"
            bar.advance(min(size, len(self.x) - first), note)
            if self.path is not None and time.monotonic() - self.kept >= self.every:
                self._keep()
        epoch = Epoch(
            len(self.history) + 1,
            self.loss / self.seen,
            self.correct / self.seen,
            self.spikes / self.seen,
            self.seconds,
            *self._validated(),
        )
        self.history.append(epoch)
        self._begin_epoch()
        if self.path is not None:
            self._keep()
        return epoch

    def _step(self, picked: npt.NDArray[np.int64]) -> None:
        """One step of the optimiser."""
        recipe, step = self.recipe, len(self.history) * self.n_batches + self.batch
        done = step / (recipe.epochs * self.n_batches)
        x, labels = self.x[picked], self.labels[picked]
        if recipe.shift_timesteps or np.any(recipe.shift_channels):
            by = drawn(recipe.seed, SHIFT, step)
            x = shift(x, recipe.shift_channels, recipe.shift_timesteps, by)
        cost = spike_cost_at(recipe, done)
        seed = drawn(recipe.seed, FORWARD, step)
        with self._weights():
            given = self.model(x, seed=seed, sample_ids=picked, return_spike_counts=cost > 0)
        if cost:
            counts, spikes = given
            loss = self._cross_entropy(counts, labels)
            loss = loss + spike_cost(spikes, cost, recipe.spike_target)
        else:
            loss = self._cross_entropy(given, labels)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.gradient_clip)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(recipe, done)
        self.optimiser.step()
        result = self.model.last_result
        assert result is not None
        self.batch += 1
        self.seen += len(picked)
        self.loss += loss.item() * len(picked)
        self.correct += int((result.decisions() == labels).sum())
        self.spikes += int(result.spikes.sum())

    def _cross_entropy(self, counts: torch.Tensor, labels: npt.NDArray[np.int64]) -> torch.Tensor:
        y = torch.from_numpy(labels)
        if self.recipe.loss == "timestep":
            counts, y = by_timestep(counts, y)
        else:
            counts = counts.sum(0)
        return nn.functional.cross_entropy(
            self.recipe.loss_scale * counts, y, label_smoothing=self.recipe.label_smoothing
        )

    def _validated(self) -> tuple[float | None, float | None]:
        if self.validation is None:
            return None, None
        x, y = self.validation
        result = simulate(
            self.network(),
            x,
            as_trained(self.recipe),
            seed=self.recipe.seed,
            threads=self.threads,
            keep=("counts",),
        )
        return result.accuracy(y), float(result.spikes.mean())

    def network(self) -> Network:
        """The network as trained so far.

        Raises
        ------
        NetworkError
            If the training diverged.
        """
        with self._weights():
            return self.model.network()

    @contextmanager
    def _weights(self) -> Iterator[None]:
        """Report invalid weights as a diverged training, if any step has changed them yet."""
        try:
            yield
        except NetworkError as error:
            # The epoch of the last step.
            epoch = len(self.history) + (self.batch > 0)
            if epoch == 0:
                raise
            why = str(error).partition(";")[0]
            given = f"a training that diverged in epoch {epoch} ({why})"
            accepted = "one with a smaller learning_rate or loss_scale, or with a gradient_clip"
            raise NetworkError(expected("recipe", given, accepted)) from error

    def keep_at(self, path: Path, every: float) -> None:
        """Keep checkpoints at `path`, about every `every` seconds; resume from an existing one.

        Raises
        ------
        FileError
            If it cannot be read or written, or is of another training.
        """
        self.path, self.every = path, every
        held_out = () if self.validation is None else (self.validation,)
        digest = fingerprint((self.x, self.labels), *held_out)
        self.samples = f"{digest}, {self.n_outputs} classes"
        if not path.exists():
            self._keep()
            return
        state = checkpoint.load(path, self.recipe, self.samples)
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.history = [Epoch(**epoch) for epoch in state["history"]]
            for name, kind in POSITION.items():
                value = state["epoch"][name]
                if type(value) is not kind:
                    raise TypeError(f"{name} = {value!r}")
                setattr(self, name, value)
        except Exception as error:  # whatever a state of another form makes PyTorch raise
            raise checkpoint.unusable(path, error) from error
        self.kept = time.monotonic()

    def _keep(self) -> None:
        assert self.path is not None
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "epoch": {name: getattr(self, name) for name in POSITION},
        }
        checkpoint.save(self.path, self.recipe, self.samples, state)
        self.kept = time.monotonic()


def drawn(seed: int, *position: int) -> int:
    """A random 64-bit number for a purpose and a position, independent of any other draws.

    Examples
    --------
    >>> from pyasync.study.loop import FORWARD, drawn
    >>> drawn(0, FORWARD, 7) == drawn(0, FORWARD, 7), drawn(0, FORWARD, 7) == drawn(0, FORWARD, 8)
    (True, False)
    """
    return int(np.random.SeedSequence((seed, *position)).generate_state(1, np.uint64)[0])


def learning_rate_at(recipe: Recipe, done: float) -> float:
    """Learning rate when a fraction `done` of all steps has been made.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.loop import learning_rate_at
    >>> recipe = Recipe(learning_rate_schedule="cosine", learning_rate_warmup=0.2)
    >>> [round(learning_rate_at(recipe, done), 6) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    if recipe.learning_rate_schedule == "constant":
        return recipe.learning_rate
    warmup = recipe.learning_rate_warmup
    if done < warmup:
        return recipe.learning_rate * done / warmup
    return recipe.learning_rate * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def spike_cost_at(recipe: Recipe, done: float) -> float:
    """Cost of one spike per sample when a fraction `done` of all steps has been made.

    Examples
    --------
    >>> from pyasync.study import Recipe
    >>> from pyasync.study.loop import spike_cost_at
    >>> recipe = Recipe(spike_cost=1e-3, spike_cost_warmup=0.2)
    >>> [round(spike_cost_at(recipe, done), 6) for done in (0.0, 0.2, 0.3, 0.4, 1.0)]
    [0.0, 0.0, 0.0005, 0.001, 0.001]
    """
    warmup = recipe.spike_cost_warmup
    if warmup == 0:
        return recipe.spike_cost
    return recipe.spike_cost * min(max(done / warmup - 1, 0.0), 1.0)
