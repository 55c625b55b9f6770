"""Words that messages, reprs and reports share."""

from __future__ import annotations

import pytest

from pyasync._wording import share


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.0, "0.0 %"),
        (1 / 3000, "less than 0.1 %"),
        (0.0006, "0.1 %"),
        (0.5, "50.0 %"),
        (1.0, "100.0 %"),
    ],
)
def test_a_share_that_is_there_is_not_shown_as_none(fraction: float, words: str) -> None:
    assert share(fraction) == words
