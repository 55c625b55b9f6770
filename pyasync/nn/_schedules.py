"""The schedule of a forward: drawing one per batch, and what evaluation changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pyasync._checks import integer, shown
from pyasync.errors import ScheduleError, expected
from pyasync.schedules import Momentum, Random, Replay, Schedule


class RandomSchedules:
    """A new schedule for each training batch, so that the model does not come to rely on one.

    In training each forward draws one of `schedules` uniformly and, if that has a group size, draws
    F log-uniformly from a range of integers: F = 1 is as likely as 32 … 63 together. In evaluation
    the schedule is always `eval`.

    Parameters
    ----------
    schedules : sequence of Schedule, or classes of them
        Such as `[pa.Random, pa.Momentum(noise=0.1), pa.Layered]`. Only the F of an instance is
        replaced.
    F : (int, int)
        Smallest and largest `forward_group_size`.
    eval : Schedule, optional
        Used in evaluation; `Random(8)` if not given.

    Raises
    ------
    ScheduleError
        If an argument is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> schedules = pa.nn.RandomSchedules([pa.Random, pa.Fifo], F=(1, 64))
    >>> schedules
    RandomSchedules([Random, Fifo], F=(1, 64), eval=Random(forward_group_size=8, seed=None))
    >>> 1 <= schedules.draw(torch.Generator().manual_seed(0)).forward_group_size <= 64
    True
    """

    def __init__(
        self,
        schedules: Sequence[Schedule | type[Schedule]],
        F: tuple[int, int] = (1, 64),
        *,
        eval: Schedule | None = None,
    ) -> None:
        accepted = "schedules or classes of them, such as [pa.Random, pa.Momentum]"
        if not isinstance(schedules, Sequence) or not schedules:
            raise ScheduleError(expected("schedules", shown(schedules), accepted))
        self.schedules = [_instance(each, accepted) for each in schedules]
        if not isinstance(F, (tuple, list)) or len(F) != 2:
            raise ScheduleError(expected("F", shown(F), "(smallest, largest)"))
        smallest, largest = (integer(ScheduleError, "F", each, 1) for each in F)
        if smallest > largest:
            raise ScheduleError(expected("F", shown(F), "(smallest, largest)"))
        self.F = smallest, largest
        self.eval = Random(8) if eval is None else eval
        if not isinstance(self.eval, Schedule):
            raise ScheduleError(expected("eval", shown(eval), "a schedule"))

    def draw(self, generator: torch.Generator | None = None) -> Schedule:
        """Draw one schedule, as a forward in training does.

        Parameters
        ----------
        generator : torch.Generator, optional
            PyTorch's default generator if not given.

        Examples
        --------
        >>> import torch, pyasync as pa
        >>> schedules = pa.nn.RandomSchedules([pa.Fifo], F=(4, 4))
        >>> schedules.draw(torch.Generator().manual_seed(0))
        Fifo(forward_group_size=4)
        """
        # On the generator's device, which PyTorch's default device need not be.
        device = "cpu" if generator is None else generator.device
        draws = torch.rand(2, dtype=torch.float64, generator=generator, device=device)
        which, where = draws.tolist()
        schedule = self.schedules[int(which * len(self.schedules))]
        if not hasattr(schedule, "forward_group_size"):
            return schedule
        smallest, largest = self.F
        size = int(smallest * ((largest + 1) / smallest) ** where)
        changed: Schedule = replace(schedule, forward_group_size=min(size, largest))  # type: ignore[type-var]
        return changed

    def __repr__(self) -> str:
        names = ", ".join(type(each).__name__ for each in self.schedules)
        return f"RandomSchedules([{names}], F={self.F}, eval={self.eval!r})"


def schedule_for(given: Any, training: bool, seed: int) -> Schedule:
    """The schedule of one forward."""
    if isinstance(given, RandomSchedules):
        given = given.draw(torch.Generator().manual_seed(seed)) if training else given.eval
    if isinstance(given, Momentum) and given.noise and not training:
        return replace(given, noise=0.0)
    checked: Schedule = schedule_of(given)
    return checked


def schedule_of(given: Any) -> Any:
    if not isinstance(given, (Schedule, RandomSchedules)):
        accepted = "a schedule such as pa.Random(8), or pa.nn.RandomSchedules([...])"
        raise ScheduleError(expected("schedule", shown(given), accepted))
    return given


def _instance(given: Any, accepted: str) -> Schedule:
    if isinstance(given, type) and issubclass(given, Schedule):
        try:
            given = given()
        except TypeError as cause:
            needs = f"an instance: {given.__name__} has no defaults"
            raise ScheduleError(expected("schedules", given.__name__, needs)) from cause
    if not isinstance(given, Schedule) or isinstance(given, Replay):
        raise ScheduleError(expected("schedules", shown(given), accepted))
    return given
