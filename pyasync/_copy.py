"""Copies that training makes in every step."""

from __future__ import annotations

from typing import Any, TypeVar

Thing = TypeVar("Thing")


def copied(original: Thing, **changes: Any) -> Thing:
    """Return what `copy.copy` gives, with other attributes, at a fraction of its time."""
    other = object.__new__(type(original))
    other.__dict__.update(original.__dict__, **changes)
    return other
