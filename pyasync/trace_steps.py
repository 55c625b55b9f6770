"""A trace as columns: the tables, and their conversion from and to the engine's form."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import aligned, array
from pyasync.errors import TraceError, expected

STEP = np.dtype(
    [(name, np.uint32) for name in ("sample", "timestep", "step", "shard", "n_emitted", "n_fired")]
)
FIRED = np.dtype(
    [("neuron", np.uint32), ("v", np.float32), ("skipped", np.bool_), ("lost", np.bool_)]
)
JOINED = np.dtype([(name, np.uint32) for name in ("sample", "timestep", "channel")])
ENDING = np.dtype([(name, np.uint32) for name in ("sample", "timestep", "ending")])


class TraceSteps(NamedTuple):
    """A trace as columns, as `Trace.to_steps` returns and `Trace.from_steps` takes them.

    Attributes
    ----------
    steps : structured array, fields sample, timestep, step, shard, n_emitted, n_fired
        One row per forward step. The first steps of a timestep, one per shard, deliver its input.
    emitted : uint32 [sum of n_emitted]
        Arrival numbers of the emitted spikes, step by step. The spikes of a sample are numbered
        from 0 in the order in which they became pending.
    fired : structured array, fields neuron, v, skipped, lost
        The neurons that fired, step by step, ascending within a step, and the potential `v` at
        which each fired. With dropouts, `skipped` says whether the neuron skipped refractoriness,
        and `lost` whether its spike is lost (delivers nothing).
    joined : structured array, fields sample, timestep, channel
        Input spikes that joined the pending spikes (with `input_mode="scheduled"`).
    endings : structured array, fields sample, timestep, ending
        How each timestep ended: 0 quiescent; 1 to 3 stopped, pending spikes discarded; 4 to 6
        stopped, pending spikes carried over; 7 to 9 sample stopped. The three codes of each range
        tell what stopped it: `max_spikes`, `stop_on_output` or `max_forward_steps`, in this order.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
    >>> x = np.full((1, 1, 2), 2.0)
    >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
    >>> columns = trace.to_steps()
    >>> columns.steps[["step", "n_emitted", "n_fired"]].tolist()
    [(0, 0, 2), (1, 1, 0), (2, 1, 1), (3, 1, 0)]
    >>> columns.fired["neuron"].tolist(), columns.emitted.tolist()
    ([0, 1, 2], [0, 1, 2])
    """

    steps: npt.NDArray[Any]
    emitted: npt.NDArray[np.uint32]
    fired: npt.NDArray[Any]
    joined: npt.NDArray[Any]
    endings: npt.NDArray[Any]


def columns_of(trace: _core.Trace) -> TraceSteps:
    """Convert the engine's trace to columns."""
    steps, emitted, neuron, v, fates, joined, endings = trace.to_steps()
    fired = np.empty(len(neuron), FIRED)
    fired["neuron"], fired["v"] = neuron, v
    fired["skipped"], fired["lost"] = fates & 1, fates & 2
    return TraceSteps(steps.view(STEP), emitted, fired, joined.view(JOINED), endings.view(ENDING))


def with_columns(like: _core.Trace, columns: TraceSteps) -> _core.Trace:
    """Build a trace of these columns with the header of another; see `Trace.from_steps`."""
    fired = _rows("fired", columns.fired, FIRED)
    return like.with_steps(
        _table("steps", columns.steps, STEP),
        _numbers("emitted", columns.emitted),
        _numbers("neuron", fired["neuron"]),
        aligned(fired["v"], np.float32),
        aligned(fired["skipped"] + 2 * fired["lost"], np.uint8),
        _table("joined", columns.joined, JOINED),
        _table("endings", columns.endings, ENDING),
    )


def _rows(name: str, given: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return `given` as a structured array with at least these fields, each numeric or bool."""
    fields = dtype.names or ()
    accepted = f"a structured array [n] with numbers in the fields {', '.join(fields)}"
    rows = array(TraceError, name, given, accepted)
    there = rows.dtype.names or ()
    if rows.ndim != 1 or not all(
        field in there and rows.dtype[field].kind in "biuf" for field in fields
    ):
        given = f"an array of {rows.dtype} and shape {rows.shape}"
        raise TraceError(expected(name, given, accepted))
    return rows


def _table(name: str, given: Any, dtype: np.dtype[Any]) -> npt.NDArray[np.uint32]:
    rows, fields = _rows(name, given, dtype), dtype.names or ()
    for field in fields:
        _numbers(field, rows[field])
    table = aligned(rows, dtype).view(np.uint32)
    return cast("npt.NDArray[np.uint32]", table.reshape(-1, len(fields)))


def _numbers(name: str, given: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    accepted = "integers from 0 to 2**32 - 1, shape [n]"
    column = array(TraceError, name, given, accepted)
    fits = column.ndim == 1 and column.dtype.kind in "iu"
    if not fits or (column.size and (column.min() < 0 or column.max() >= 2**32)):
        given = f"an array of {column.dtype} and shape {column.shape}"
        raise TraceError(expected(name, given, accepted))
    return aligned(column, np.uint32)
