"""Copies: those that training makes in every step, and those whose arrays nothing may change."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Thing = TypeVar("Thing")


def copied(original: Thing, **changes: Any) -> Thing:
    """Return what `copy.copy` gives, with other attributes, at a fraction of its time."""
    other = object.__new__(type(original))
    other.__dict__.update(original.__dict__, **changes)
    return other


class ReadOnly:
    """A value whose arrays are read-only, in copies and behind pickle too: NumPy's own are not."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for each in state.values():
            if isinstance(each, np.ndarray):
                each.flags.writeable = False
        self.__dict__.update(state)
