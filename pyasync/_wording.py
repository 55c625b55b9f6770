"""Words that messages, reprs and reports share."""

from __future__ import annotations

import math


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun; `nouns` is the plural if it is not formed by adding s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def ordered(schedule: str, forward_group_size: int | None, pick: str | None = None) -> str:
    """A schedule's name, with its F and the name of its function if it has them."""
    if pick is not None:
        schedule = schedule.replace("custom", f"custom {pick}", 1)
    return schedule if forward_group_size is None else f"{schedule}, F = {forward_group_size}"


def changed(ratio: float, noun: str) -> str:
    """How many more or fewer of something there are than in what they are compared with.

    Parameters
    ----------
    ratio : float
        Of the one number to the other; only 0 is called 100 % fewer.
    noun : str
    """
    more = round(100 * (ratio - 1))
    if more == 0:
        return f"as many {noun}"
    if more == -100 and ratio > 0:
        return f"over 99 % fewer {noun}"
    return f"{abs(more)} % {'more' if more > 0 else 'fewer'} {noun}"


def decimals(value: float) -> int:
    """How many decimals show a mean: none from 100 on, one from 1 on, below it two figures."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 1 or size == 0 else 1 - math.floor(math.log10(size))


def share(fraction: float) -> str:
    """A fraction in per cent, to a tenth; a fraction above 0 is never shown as 0.0 %."""
    return "less than 0.1 %" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f} %"
