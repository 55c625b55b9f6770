"""A spike cost that begins late and rises slowly."""

from __future__ import annotations

from typing import Any

import torch

from pyasync._checks import amount, integer
from pyasync.errors import InputError
from pyasync.nn.functional import spike_cost


class SpikeCost:
    """`spike_cost` with a warm-up: 0 for a while, then a linear ramp to its full weight.

    A cost from the first step on may silence a network before it has learned anything. Call the
    object to get the cost, and call `step()` after each epoch or after each optimiser step:
    `warmup` and `ramp` count these calls.

    Parameters
    ----------
    weight : float
        Cost of one spike per sample after the ramp, 0 or more.
    target : float, optional
        Spikes per sample that are free: below this there is no cost and no gradient. 0 if not
        given.
    warmup : int
        Calls of `step` during which the cost is 0.
    ramp : int
        Further calls of `step` until the weight is reached.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> cost = pa.nn.SpikeCost(weight=1e-3, warmup=1, ramp=2)
    >>> weights = []
    >>> for epoch in range(5):
    ...     weights.append(cost.current_weight)
    ...     loss = cost(torch.ones(4, 10))
    ...     cost.step()
    >>> weights
    [0.0, 0.0, 0.0005, 0.001, 0.001]
    """

    def __init__(
        self, weight: float, *, target: float | None = None, warmup: int = 0, ramp: int = 0
    ) -> None:
        self.weight = amount(InputError, "weight", weight)
        self.target = None if target is None else amount(InputError, "target", target)
        self.warmup = integer(InputError, "warmup", warmup)
        self.ramp = integer(InputError, "ramp", ramp)
        self.steps = 0

    @property
    def current_weight(self) -> float:
        """The weight at this point of the schedule."""
        after = self.steps - self.warmup
        if after < 0:
            return 0.0
        return self.weight * (min(after / self.ramp, 1.0) if self.ramp else 1.0)

    def __call__(self, spike_counts: torch.Tensor) -> torch.Tensor:
        """Cost of spike counts [B, n_neurons], a differentiable scalar."""
        return spike_cost(spike_counts, self.current_weight, self.target)

    def step(self) -> None:
        """Advance the schedule by one."""
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """The position in the schedule, for checkpoints.

        Examples
        --------
        >>> import pyasync as pa
        >>> cost = pa.nn.SpikeCost(weight=1e-3, warmup=5)
        >>> cost.step()
        >>> resumed = pa.nn.SpikeCost(weight=1e-3, warmup=5)
        >>> resumed.load_state_dict(cost.state_dict())
        >>> resumed.steps
        1
        """
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a position that `state_dict` returned."""
        self.steps = integer(InputError, "steps", state.get("steps"))

    def __repr__(self) -> str:
        return (
            f"SpikeCost(weight={self.weight:g}, target={self.target}, warmup={self.warmup}, "
            f"ramp={self.ramp}, steps={self.steps})"
        )
