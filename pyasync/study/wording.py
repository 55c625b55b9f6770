"""Words that reports share."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """A number and its noun; `nouns` where more than one do not just end in s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
