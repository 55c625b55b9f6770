"""When a difference in accuracy counts as significant."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# The worst of many runs is picked, so two standard errors would too often be exceeded by chance.
SURE = 3.0


def shows(difference: float, error: float, n_samples: int) -> bool:
    """Whether a paired difference in accuracy is more than chance.

    It has to exceed three standard errors, computed under the hypothesis of no difference, as in
    McNemar's test (Psychometrika 12, 1947). The spread around the observed difference would not do:
    it is 0 if a few samples all changed alike, so that even one sample would be significant.

    Parameters
    ----------
    difference : float
        Mean over the samples.
    error : float
        Its standard error.
    n_samples : int

    Examples
    --------
    >>> from pyasync.study.certainty import shows
    >>> shows(0.1, 0.02, 1000), shows(0.1, 0.05, 1000)
    (True, False)
    >>> shows(1.0, 0.0, n_samples=1), shows(1.0, 0.0, n_samples=10)
    (False, True)
    """
    return abs(difference) > SURE * math.sqrt(error**2 + difference**2 / n_samples)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (dividing by n - 1), 0 if all are equal; NaN with fewer than two.

    The mean of equal values may be rounded, and then they would seem to vary.

    Examples
    --------
    >>> from pyasync.study.certainty import deviation
    >>> deviation([1.0, 3.0]).__round__(3), deviation([3851.7] * 3)
    (1.414, 0.0)
    """
    if len(values) < 2:
        return math.nan
    return 0.0 if min(values) == max(values) else float(np.std(values, ddof=1))


def amount(difference: float, error: float) -> str:
    """Size of a difference, and its error, in percentage points.

    Examples
    --------
    >>> from pyasync.study.certainty import amount
    >>> amount(-0.0123, 0.004)
    '1.2 ± 0.4'
    """
    return f"{100 * abs(difference):.1f} ± {100 * error:.1f}"


def points(difference: float, error: float) -> str:
    """A signed difference and its error in percentage points; never "-0.0".

    Examples
    --------
    >>> from pyasync.study.certainty import points
    >>> points(0.0123, 0.004), points(-0.0001, 0.0)
    ('+1.2 ± 0.4', '+0.0 ± 0.0')
    """
    return f"{round(100 * difference, 1) + 0.0:+.1f} ± {100 * error:.1f}"
