"""Read data sets of the package tonic, or ones like them, as spikes and labels."""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyasync._progress import Progress
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch

# Bin recordings whenever this many events have been read, or they would not fit in memory.
_EVENTS_AT_ONCE = 2**20


class EventDataset(Protocol):
    """What `from_tonic` requires of a data set: a length, and `(events, label)` for each index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def from_tonic(
    dataset: EventDataset,
    sensor_size: tuple[int, int, int] | None = None,
    *,
    dt: float,
    n_timesteps: int,
    time_unit: float = 1e-6,
    progress: bool = False,
) -> tuple[SpikeBatch, npt.NDArray[np.int64]]:
    """Read every sample of a data set of the package tonic, or of a similar one.

    A similar data set has a length and returns, for each index, a structured array of events and a
    label; tonic itself is not imported. Use the data set without transforms that turn events into
    frames.

    Parameters
    ----------
    dataset : sequence of (events, label)
        `events` is a structured array with fields `t`, `x` and optionally `y` and `p`, in any
        order, as for `SpikeBatch.from_events`. `label` is an integer.
    sensor_size : (W, H, P), optional
        Width, height and polarities, in tonic's order. None: the data set's own `sensor_size`.
        `input_shape` becomes (P, H, W); without a field `y` it becomes (P, W), or (W,) if P is 1.
    dt : float
        Length of a timestep in seconds. Timestep `k` holds the events with
        `k*dt <= t < (k+1)*dt`; those of one channel in one timestep add up to a multiplicity.
    n_timesteps : int
        Number of timesteps of every sample; later events are left out.
    time_unit : float
        Unit of `t` in seconds; tonic uses microseconds.
    progress : bool
        Whether to show progress on a terminal.

    Returns
    -------
    events : SpikeBatch
    labels : int64 [n_samples]

    Raises
    ------
    InputError
        If an argument or a sample is not as described; for a sample, the message says which.

    Examples
    --------
    >>> import numpy as np
    >>> from pyasync.interop import from_tonic
    >>> fields = np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    >>> dataset = [(np.array([(3, 1, 1500, 1)], fields), 7), (np.array([], fields), 2)]
    >>> from_tonic(dataset, sensor_size=(4, 2, 2), dt=1e-3, n_timesteps=5)
    (SpikeBatch(2 samples, 5 timesteps of 1 ms, input shape (2, 2, 4), 1 event), array([7, 2]))
    """
    size = getattr(dataset, "sensor_size", None) if sensor_size is None else sensor_size
    if size is None:
        accepted = "(width, height, polarities), as the data set does not say it"
        raise InputError(expected("sensor_size", "None", accepted))
    reader = _Reader(size, dt, n_timesteps, time_unit)
    try:
        n_samples = len(dataset)
    except TypeError as cause:
        given, accepted = type(dataset).__name__, "a data set of pairs (events, label)"
        raise InputError(expected("dataset", given, accepted)) from cause
    if n_samples == 0:
        raise InputError(expected("dataset", "no samples", "one sample or more"))
    labels = np.zeros(n_samples, np.int64)
    with Progress("reading events", n_samples, "samples", shown=progress) as bar:
        for index in range(n_samples):
            events, labels[index] = _sample(index, dataset[index])
            reader.add(events)
            bar.advance()
    return reader.batch(), labels


def _sample(index: int, sample: Any) -> tuple[npt.NDArray[Any], int]:
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        given = f"sample {index}, a {type(sample).__name__}"
        raise InputError(expected("dataset", given, "pairs (events, label)"))
    events, label = sample
    if not isinstance(events, np.ndarray) or not events.dtype.names:
        kind = events.dtype if isinstance(events, np.ndarray) else type(events).__name__
        accepted = "structured arrays of events with fields t, x[, y][, p], not frames of them"
        raise InputError(expected("dataset", f"sample {index} with {kind}", accepted))
    try:
        return events, operator.index(label)
    except TypeError:
        given = f"sample {index} with a label of {type(label).__name__}"
        accepted = "an integer label (tonic's target_transform can make one)"
        raise InputError(expected("dataset", given, accepted)) from None


class _Reader:
    """Collect recordings and bin them, several at a time."""

    def __init__(self, *how: Any) -> None:
        self._how = how
        self._bin([])  # reports invalid arguments before any recording is read
        self._batches: list[SpikeBatch] = []
        self._waiting: list[npt.NDArray[Any]] = []
        self._n_binned = self._n_events = 0
        self._fields: frozenset[str] | None = None

    def add(self, events: npt.NDArray[Any]) -> None:
        fields = frozenset(events.dtype.names or ())
        if self._fields not in (None, fields):
            given = f"sample {self._n_binned + len(self._waiting)} with fields {sorted(fields)}"
            accepted = f"fields {sorted(self._fields or ())}, as in the samples before"
            raise InputError(expected("dataset", given, accepted))
        self._fields = fields
        self._waiting.append(events)
        self._n_events += events.size
        if self._n_events >= _EVENTS_AT_ONCE:
            self._flush()

    def batch(self) -> SpikeBatch:
        if self._waiting:
            self._flush()
        return SpikeBatch.concatenate(self._batches)

    def _bin(self, events: list[npt.NDArray[Any]]) -> SpikeBatch:
        sensor_size, dt, n_timesteps, time_unit = self._how
        return SpikeBatch.from_events(events, sensor_size, dt, n_timesteps, time_unit)

    def _flush(self) -> None:
        try:
            self._batches.append(self._bin(self._waiting))
        except InputError:
            self._blame()
            raise
        self._n_binned += len(self._waiting)
        self._waiting, self._n_events = [], 0

    def _blame(self) -> None:
        """Name the sample that cannot be binned."""
        for index, events in enumerate(self._waiting, self._n_binned):
            try:
                self._bin([events])
            except InputError as error:
                given = f"sample {index} ({error})"
                raise InputError(expected("dataset", given, "valid events")) from None
