"""Words that messages, reprs and reports share."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """A number with its noun; `nouns` is the plural if it is not formed by adding s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def ordered(schedule: str, forward_group_size: int | None) -> str:
    """A schedule's name, with its F if it has one."""
    return schedule if forward_group_size is None else f"{schedule}, F = {forward_group_size}"


def share(fraction: float) -> str:
    """A fraction in per cent, to a tenth; a fraction above 0 is never shown as 0.0 %."""
    return "less than 0.1 %" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f} %"
