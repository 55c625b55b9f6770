"""When a difference in accuracy is called one."""

from __future__ import annotations

import math

# A worst of many runs is looked for: two standard errors would too often be chance.
SURE = 3.0


def shows(difference: float, error: float, n_samples: int) -> bool:
    """Whether a paired difference in accuracy is more than chance.

    It must be more than three standard errors, those of the spread about no difference: McNemar's
    test (Psychometrika 12, 1947). The spread about the difference itself is 0 where all of a few
    samples changed alike, and would call one sample certain.

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


def amount(difference: float, error: float) -> str:
    """How large a difference is, and its error, in points.

    Examples
    --------
    >>> from pyasync.study.certainty import amount
    >>> amount(-0.0123, 0.004)
    '1.2 ± 0.4'
    """
    return f"{100 * abs(difference):.1f} ± {100 * error:.1f}"


def points(difference: float, error: float) -> str:
    """A signed difference and its error in points; one that rounds to 0 has no minus.

    Examples
    --------
    >>> from pyasync.study.certainty import points
    >>> points(0.0123, 0.004), points(-0.0001, 0.0)
    ('+1.2 ± 0.4', '+0.0 ± 0.0')
    """
    return f"{round(100 * difference, 1) + 0.0:+.1f} ± {100 * error:.1f}"
