"""Cheap copies for the training loop, and values whose arrays stay read-only when copied."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Thing = TypeVar("Thing")


def copied(original: Thing, **changes: Any) -> Thing:
    """Return a shallow copy with some attributes replaced; much faster than `copy.copy`."""
    other = object.__new__(type(original))
    other.__dict__.update(original.__dict__, **changes)
    return other


class ReadOnly:
    """Base of values whose arrays stay read-only when copied or unpickled (NumPy's do not)."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for each in state.values():
            if isinstance(each, np.ndarray):
                each.flags.writeable = False
        self.__dict__.update(state)
