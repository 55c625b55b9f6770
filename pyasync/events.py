"""Input spikes of a simulation as ragged lists of events, never as dense arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import entries, flag, samples_of
from pyasync._copy import ReadOnly
from pyasync._dense import events_in
from pyasync._events import (
    binned,
    canonical,
    count_of,
    held,
    integers_of,
    reals_of,
    seconds_of,
    shape_of,
    starts_of,
)
from pyasync._wording import counted
from pyasync.errors import InputError, expected


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SpikeBatch(ReadOnly):
    """A batch of input spikes: for every sample and timestep, the channels that spike.

    The events of sample `s` and timestep `t` are
    `channel[offsets[s * n_timesteps + t] : offsets[s * n_timesteps + t + 1]]`. A batch is immutable
    and canonical: within a timestep, channels ascend, duplicates of a channel are merged into one
    event whose multiplicity is their sum (added in the order given), and events of multiplicity 0
    are dropped. So batches with the same spikes compare equal in whatever order their events were
    given, unless the rounding of such a sum differs.

    Parameters
    ----------
    channel : array of integers, shape [n_events]
        Input channel of each event, `0 .. n_inputs - 1`: the flat index, in C order, into
        `input_shape`.
    offsets : array of integers, shape [n_samples * n_timesteps + 1]
        Where each timestep's events start, and the end of the last: from 0 to `n_events`, never
        decreasing.
    n_timesteps : int
        Number of timesteps of every sample, at least 1.
    input_shape : int or tuple of int
        Shape of one timestep's input, such as 700 or (2, 34, 34).
    multiplicity : array of real numbers, shape [n_events], optional
        A count or an analog current for each event; 1 for every event if not given.
    dt : float, optional
        Length of a timestep in seconds.

    Attributes
    ----------
    channel : uint32 [n_events]
    offsets : int64 [n_samples * n_timesteps + 1]
    multiplicity : float64 [n_events], or None when every multiplicity is 1
    n_timesteps, n_samples, n_inputs, n_events : int
    input_shape : tuple of int
    dt : float or None

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import pyasync as pa
    >>> batch = pa.SpikeBatch([2, 0, 1, 1], [0, 2, 4], n_timesteps=2, input_shape=3, dt=1e-3)
    >>> batch
    SpikeBatch(1 sample, 2 timesteps of 1 ms, input shape (3,), 3 events, analog)
    >>> batch.channel, batch.multiplicity
    (array([0, 2, 1], dtype=uint32), array([1., 1., 2.]))
    """

    channel: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]
    n_timesteps: int
    input_shape: tuple[int, ...]
    multiplicity: npt.NDArray[np.float64] | None
    dt: float | None

    def __init__(
        self,
        channel: npt.ArrayLike,
        offsets: npt.ArrayLike,
        n_timesteps: int,
        input_shape: int | Sequence[int],
        multiplicity: npt.ArrayLike | None = None,
        dt: float | None = None,
    ) -> None:
        shape = shape_of(input_shape)
        n_timesteps = count_of("n_timesteps", n_timesteps)
        channels = integers_of("channel", channel)
        starts = integers_of("offsets", offsets).astype(np.int64)
        n_inputs = math.prod(shape)
        if channels.size and (channels.min() < 0 or channels.max() >= n_inputs):
            worst = channels.min() if channels.min() < 0 else channels.max()
            raise InputError(expected("channel", f"{worst}", f"0 .. {n_inputs - 1}"))
        if starts.size == 0 or (starts.size - 1) % n_timesteps:
            accepted = f"n_samples * {n_timesteps} + 1 offsets for n_timesteps={n_timesteps}"
            raise InputError(expected("offsets", f"{starts.size} offsets", accepted))
        if starts[0] != 0 or starts[-1] != channels.size:
            accepted = f"offsets from 0 to the number of events ({channels.size})"
            raise InputError(expected("offsets", f"{starts[0]} to {starts[-1]}", accepted))
        if (falls := np.flatnonzero(np.diff(starts) < 0)).size:
            given = f"{starts[falls[0]]} followed by {starts[falls[0] + 1]}"
            raise InputError(expected("offsets", given, "offsets that never decrease"))
        weights = None
        if multiplicity is not None:
            weights = reals_of("multiplicity", multiplicity).astype(np.float64)
            if weights.shape != channels.shape:
                accepted = f"one number for each of the {channels.size} events"
                raise InputError(expected("multiplicity", f"shape {weights.shape}", accepted))
        seconds = None if dt is None else seconds_of("dt", dt)
        events = canonical(channels.astype(np.uint32), starts, weights, n_inputs)
        self._set(*events, n_timesteps, shape, seconds)

    def _set(
        self,
        channel: npt.NDArray[np.uint32],
        offsets: npt.NDArray[np.int64],
        multiplicity: npt.NDArray[np.float64] | None,
        n_timesteps: int,
        input_shape: tuple[int, ...],
        dt: float | None,
    ) -> None:
        if multiplicity is not None and bool(np.all(multiplicity == 1.0)):
            multiplicity = None
        for array in (channel, offsets, multiplicity):
            if array is not None:
                array.flags.writeable = False
        for name, value in (
            ("channel", channel),
            ("offsets", offsets),
            ("multiplicity", multiplicity),
            ("n_timesteps", n_timesteps),
            ("input_shape", input_shape),
            ("dt", dt),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def _of(cls, *parts: Any) -> SpikeBatch:
        """A batch of parts that are canonical, as `_set` takes them."""
        batch = object.__new__(cls)
        batch._set(*parts)
        return batch

    def _like(
        self,
        channel: npt.NDArray[np.uint32],
        offsets: npt.NDArray[np.int64],
        multiplicity: npt.NDArray[np.float64] | None,
    ) -> SpikeBatch:
        return self._of(channel, offsets, multiplicity, self.n_timesteps, self.input_shape, self.dt)

    def _multiplicities(self) -> npt.NDArray[np.float64]:
        """The multiplicity of each event."""
        return np.ones(self.n_events) if self.multiplicity is None else self.multiplicity

    def _segments(self) -> npt.NDArray[np.int64]:
        """`sample * n_timesteps + timestep` of each event."""
        return np.repeat(np.arange(self.offsets.size - 1), np.diff(self.offsets))

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return (self.offsets.size - 1) // self.n_timesteps

    @property
    def n_inputs(self) -> int:
        """Number of input channels, the product of `input_shape`."""
        return math.prod(self.input_shape)

    @property
    def n_events(self) -> int:
        """Number of events in the whole batch."""
        return self.channel.size

    def __len__(self) -> int:
        return self.n_samples

    def __iter__(self) -> Iterator[SpikeBatch]:
        return (self[sample] for sample in range(self.n_samples))

    def __repr__(self) -> str:
        step = "" if self.dt is None else f" of {self.dt * 1e3:g} ms"
        parts = [counted(self.n_samples, "sample"), counted(self.n_timesteps, "timestep") + step]
        parts += [f"input shape {self.input_shape}", counted(self.n_events, "event")]
        return f"SpikeBatch({', '.join(parts)}{'' if self.multiplicity is None else ', analog'})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpikeBatch):
            return NotImplemented
        if (self.multiplicity is None) != (other.multiplicity is None):
            return False
        return (
            (self.n_timesteps, self.input_shape, self.dt)
            == (other.n_timesteps, other.input_shape, other.dt)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.channel, other.channel)
            and (
                self.multiplicity is None
                or other.multiplicity is None
                or np.array_equal(self.multiplicity, other.multiplicity)
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, index: int | slice | npt.ArrayLike) -> SpikeBatch:
        """Select samples by int (gives a batch of one), slice, index array or boolean mask."""
        picked = samples_of(InputError, "index", index, self.n_samples)
        first = self.offsets[picked * self.n_timesteps]
        sizes = self.offsets[(picked + 1) * self.n_timesteps] - first
        segments = (picked[:, None] * self.n_timesteps + np.arange(self.n_timesteps)).ravel()
        offsets = starts_of(self.offsets[segments + 1] - self.offsets[segments])
        events: slice | npt.NDArray[np.int64]
        if picked.size and bool(np.all(np.diff(picked) == 1)):
            events = slice(int(first[0]), int(first[0] + offsets[-1]))
        else:
            shift = first - starts_of(sizes)[:-1]
            events = np.arange(offsets[-1]) + np.repeat(shift, sizes)
        weights = None if self.multiplicity is None else self.multiplicity[events]
        return self._like(self.channel[events], offsets, weights)

    @classmethod
    def from_dense(
        cls, x: npt.ArrayLike, dt: float | None = None, *, batch_first: bool = False
    ) -> SpikeBatch:
        """Build a batch from the non-zero entries of a dense array.

        Parameters
        ----------
        x : array [T, B, *input_shape], or [B, T, *input_shape] with `batch_first=True`
            Booleans, counts or finite currents. Non-zero entries become events, with the entry as
            multiplicity.
        dt : float, optional
            Length of a timestep in seconds.
        batch_first : bool
            Whether samples are on the first axis and timesteps on the second.

        Raises
        ------
        InputError
            If `x` has fewer than three axes, has no timestep or no channel, is masked, or holds
            anything but finite real numbers.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> pa.SpikeBatch.from_dense(np.eye(3)[:, None, :], dt=1e-3)
        SpikeBatch(1 sample, 3 timesteps of 1 ms, input shape (3,), 3 events)
        """
        batch_first = flag(InputError, "batch_first", batch_first)
        dense = reals_of("x", x, ndim=None)
        if dense.ndim < 3 or 0 in (*dense.shape[2:], dense.shape[1 if batch_first else 0]):
            order = "[B, T, *input_shape]" if batch_first else "[T, B, *input_shape]"
            accepted = f"at least three axes {order}, T and input_shape not 0"
            raise InputError(expected("x", f"shape {dense.shape}", accepted))
        dense = dense.swapaxes(0, 1) if batch_first else dense
        n_timesteps, n_samples = dense.shape[:2]
        shape = shape_of(dense.shape[2:])
        seconds = None if dt is None else seconds_of("dt", dt)
        batches = [
            cls._of(
                np.zeros(0, np.uint32), np.zeros(1, np.int64), None, n_timesteps, shape, seconds
            )
        ]
        # Some samples at a time, because part of an array may have to be copied for the engine.
        step = max(1, 2**24 // (n_timesteps * math.prod(shape)))
        for at in range(0, n_samples, step):
            found = events_in(dense[:, at : at + step], np.float64)
            assert found is not None, "as many as there are"
            batches.append(cls._of(*found, n_timesteps, shape, seconds))
        return batches[1] if len(batches) == 2 else cls.concatenate(batches)

    @classmethod
    def from_events(
        cls,
        events: Sequence[npt.NDArray[Any]],
        sensor_size: tuple[int, int, int],
        dt: float,
        n_timesteps: int | None = None,
        time_unit: float = 1e-6,
    ) -> SpikeBatch:
        """Bin recordings of an event sensor, one structured array per sample, into timesteps.

        The fields `t`, `x` and, if present, `y` and `p` are read by name, in any order and of any
        integer type (`t` may also be real), as the package tonic gives them. Timestep `k` holds the
        events with `k*dt <= t*time_unit < (k+1)*dt`; those of one channel in one timestep add up to
        a multiplicity.

        Parameters
        ----------
        events : sequence of structured arrays
            One array per sample. `t` is in units of `time_unit` and not negative; events may be in
            any order. `p` is 0 .. P-1 (or -1 and 1 if P is 2), and is ignored if P is 1.
        sensor_size : (W, H, P)
            Width, height and number of polarities. `input_shape` becomes (P, H, W); without a field
            `y` it becomes (P, W), or (W,) if P is 1.
        dt : float
            Length of a timestep in seconds.
        n_timesteps : int, optional
            Number of timesteps of every sample; later events are left out. If not given, enough for
            the last event of all samples.
        time_unit : float
            Length in seconds of one unit of `t`; by default a microsecond.

        Raises
        ------
        InputError
            If a field is missing or a value lies outside the sensor or before time 0.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> sample = np.array([(0, 1, 0, 1), (1500, 0, 1, 0)], dtype="i8,i4,i4,i1")
        >>> sample.dtype.names = ("t", "x", "y", "p")
        >>> batch = pa.SpikeBatch.from_events([sample], sensor_size=(2, 2, 2), dt=1e-3)
        >>> batch, batch.channel
        (SpikeBatch(1 sample, 2 timesteps of 1 ms, input shape (2, 2, 2), 2 events), \
array([5, 2], dtype=uint32))
        """
        accepted = "a sequence of structured arrays, one a sample"
        events = list(entries(InputError, "events", events, accepted))
        channel, offsets, length, shape = binned(events, sensor_size, dt, n_timesteps, time_unit)
        return cls(channel, offsets, length, shape, dt=dt)

    @classmethod
    def concatenate(cls, batches: Sequence[SpikeBatch]) -> SpikeBatch:
        """Join the samples of batches that have the same n_timesteps, input shape and dt.

        Raises
        ------
        InputError
            If there is no batch, or if one differs from the others.

        Examples
        --------
        >>> import pyasync as pa
        >>> batch = pa.SpikeBatch([0], [0, 1], n_timesteps=1, input_shape=2)
        >>> len(pa.SpikeBatch.concatenate([batch, batch]))
        2
        """
        accepted = "one SpikeBatch or more"
        batches = list(entries(InputError, "batches", batches, accepted))
        if not batches or not all(isinstance(batch, SpikeBatch) for batch in batches):
            given = [type(batch).__name__ for batch in batches]
            raise InputError(expected("batches", str(given), accepted))
        kinds = {(batch.n_timesteps, batch.input_shape, batch.dt) for batch in batches}
        if len(kinds) > 1:
            accepted = "one (n_timesteps, input_shape, dt) in all"
            raise InputError(expected("batches", " and ".join(map(str, kinds)), accepted))
        offsets = starts_of(np.concatenate([np.diff(batch.offsets) for batch in batches]))
        weights = None
        if any(batch.multiplicity is not None for batch in batches):
            weights = np.concatenate([batch._multiplicities() for batch in batches])
        channel = np.concatenate([batch.channel for batch in batches])
        return batches[0]._like(channel, offsets, weights)

    def binary(self) -> SpikeBatch:
        """Return the batch with every multiplicity set to 1.

        Examples
        --------
        >>> import pyasync as pa
        >>> pa.SpikeBatch([0, 0, 1], [0, 3], n_timesteps=1, input_shape=2).binary()
        SpikeBatch(1 sample, 1 timestep, input shape (2,), 2 events)
        """
        return self._like(self.channel, self.offsets, None)

    def to_dense(
        self, dtype: npt.DTypeLike = np.float32, *, batch_first: bool = False
    ) -> npt.NDArray[Any]:
        """Return the batch as a dense array [T, B, *input_shape] (or [B, T, *input_shape]).

        With `dtype=bool` it marks where there are spikes, whatever their multiplicity.

        Raises
        ------
        InputError
            If `dtype` cannot hold the multiplicities: if one is beyond its range, or is not an
            integer and `dtype` is an integer type.

        Examples
        --------
        >>> import pyasync as pa
        >>> pa.SpikeBatch([1], [0, 0, 1], n_timesteps=2, input_shape=2).to_dense(int)[:, 0]
        array([[0, 0],
               [0, 1]])
        """
        batch_first = flag(InputError, "batch_first", batch_first)
        values = held(np.ones(1) if self.multiplicity is None else self.multiplicity, dtype)
        dense = np.zeros((self.n_samples * self.n_timesteps, self.n_inputs), values.dtype)
        dense[self._segments(), self.channel] = values
        dense = dense.reshape(self.n_samples, self.n_timesteps, *self.input_shape)
        return dense if batch_first else np.ascontiguousarray(dense.swapaxes(0, 1))

    def save(self, path: str | os.PathLike[str], label: npt.ArrayLike | None = None) -> None:
        """Save the batch to a compressed npz file, which is written whole or not at all.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.
        label : array of integers [n_samples], optional
            The class of each sample, saved in the same file; `pa.data.npz` reads both.

        Raises
        ------
        InputError
            If there is not one label for each sample.
        FileError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib, pyasync as pa
        >>> batch = pa.SpikeBatch([0, 1], [0, 1, 2], n_timesteps=1, input_shape=2, dt=1e-3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch.save(pathlib.Path(folder, "x.npz"), label=[3, 5])
        ...     pa.data.npz(pathlib.Path(folder, "x.npz"))
        (SpikeBatch(2 samples, 1 timestep of 1 ms, input shape (2,), 2 events), array([3, 5]))
        """
        from pyasync._events_file import save

        save(self, path, label)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SpikeBatch:
        """Load a batch that `save` wrote.

        Raises
        ------
        FileError
            If the file is missing, truncated, altered, of another kind, or from a later version.

        Examples
        --------
        >>> import tempfile, pathlib, pyasync as pa
        >>> batch = pa.SpikeBatch([0], [0, 1], n_timesteps=1, input_shape=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch.save(pathlib.Path(folder, "x.npz"))
        ...     pa.SpikeBatch.load(pathlib.Path(folder, "x.npz")) == batch
        True
        """
        from pyasync._events_file import load

        return load(path)
