"""The data of a study: named samples for training and for testing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pyasync._checks import integer, shown
from pyasync._events import count_of, integers_of
from pyasync._wording import counted
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch

Labels = npt.NDArray[np.int64]
# If there is no separate test set, every n-th sample of each class is kept for testing.
_EVERY = 5


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Samples for training, samples for testing, and the class of each.

    Parameters
    ----------
    name : str
        Name of the data set, for the report.
    train_x, test_x : SpikeBatch
        With the same number of timesteps, input shape and `dt`, which must be set.
    train_y, test_y : array of integers
        The class of each sample, 0 or more.

    Raises
    ------
    InputError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import Samples
    >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(3), (2, 10, 1)), dt=10e-3)
    >>> samples = Samples.split("lines", x, np.arange(30) % 3)
    >>> samples
    Samples(lines, 24 for training, 6 for testing, 3 classes)
    >>> samples.train_x
    SpikeBatch(24 samples, 2 timesteps of 10 ms, input shape (3,), 48 events)
    """

    name: str
    train_x: SpikeBatch
    train_y: Labels
    test_x: SpikeBatch
    test_y: Labels

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            check_batch(f"{part}_x", x)
            labels = integers_of(f"{part}_y", y).astype(np.int64)
            if len(labels) != len(x) or labels.min() < 0:
                given = f"{counted(len(labels), 'number')} from {labels.min(initial=0)}"
                accepted = f"classes of 0 or more, one for each of {counted(len(x), 'sample')}"
                raise InputError(expected(f"{part}_y", given, accepted))
            object.__setattr__(self, f"{part}_y", labels)
        kinds = [(x.n_timesteps, x.input_shape, x.dt) for x in (self.train_x, self.test_x)]
        if kinds[0] != kinds[1]:
            accepted = f"{kinds[0]} (n_timesteps, input_shape, dt), as train_x"
            raise InputError(expected("test_x", str(kinds[1]), accepted))

    @classmethod
    def split(cls, name: str, x: SpikeBatch, y: npt.ArrayLike) -> Samples:
        """Split samples, keeping every fifth of each class, in order, for testing.

        Raises
        ------
        InputError
            If an argument is not as described, or no class has five samples.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> from pyasync.study import Samples
        >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(2), (3, 10, 1)), dt=10e-3)
        >>> samples = Samples.split("two", x, np.arange(20) % 2)
        >>> samples.test_y
        array([0, 1, 0, 1])
        """
        check_batch("x", x)
        labels = _labels(x, y)
        test = np.zeros(len(labels), bool)
        for each in np.unique(labels):
            test[np.flatnonzero(labels == each)[_EVERY - 1 :: _EVERY]] = True
        if not test.any():
            accepted = f"{_EVERY} samples or more of a class, one of which is kept for testing"
            raise InputError(expected("x", repr(x), accepted))
        return cls(name, x[~test], labels[~test], x[test], labels[test])

    def __repr__(self) -> str:
        sizes = f"{len(self.train_x):,} for training, {len(self.test_x):,} for testing"
        return f"Samples({self.name}, {sizes}, {counted(self.n_classes, 'class', 'classes')})"

    def few(self, train: int | None = None, test: int | None = None) -> Samples:
        """Keep only this many samples: the first of each class, as evenly as possible.

        Raises
        ------
        InputError
            If a number is less than 1.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> from pyasync.study import Samples
        >>> x = pa.SpikeBatch.from_dense(np.tile(np.eye(2), (3, 10, 1)), dt=10e-3)
        >>> few = Samples.split("two", x, np.arange(20) % 2).few(train=6, test=2)
        >>> few.train_y, few.test_y
        (array([0, 1, 0, 1, 0, 1]), array([0, 1]))
        """
        for part, number in (("train", train), ("test", test)):
            if number is not None:
                integer(InputError, part, number, 1)
        train_y, test_y = self.train_y, self.test_y
        kept, tested = _of_all_classes(train_y, train), _of_all_classes(test_y, test)
        return Samples(
            self.name, self.train_x[kept], train_y[kept], self.test_x[tested], test_y[tested]
        )

    @property
    def dt(self) -> float:
        """Length of a timestep in seconds."""
        assert self.test_x.dt is not None  # checked on construction
        return self.test_x.dt

    @property
    def n_classes(self) -> int:
        """The highest class plus one."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digest of events and classes, which identifies these samples."""
        return fingerprint((self.train_x, self.train_y), (self.test_x, self.test_y))


def check_batch(argument: str, given: object) -> None:
    """Refuse samples that cannot be trained on."""
    if not isinstance(given, SpikeBatch) or len(given) == 0 or given.dt is None:
        accepted = "a SpikeBatch with one sample or more and a dt"
        if not isinstance(given, SpikeBatch):
            accepted += " (SpikeBatch.from_dense makes one of an array)"
        raise InputError(expected(argument, shown(given), accepted))


def classes_of(x: SpikeBatch, y: npt.ArrayLike, n_outputs: int | None) -> tuple[Labels, int]:
    """Labels of training samples, and the number of classes: `n_outputs` unless that is None.

    Raises
    ------
    InputError
        If an argument cannot be trained on.
    """
    check_batch("x", x)
    labels = _labels(x, y)
    classes = int(labels.max()) + 1 if n_outputs is None else count_of("n_outputs", n_outputs)
    if labels.min() < 0 or labels.max() >= classes:
        given = f"classes {labels.min()} .. {labels.max()}"
        raise InputError(expected("y", given, f"classes 0 .. {max(classes, 1) - 1}"))
    return labels, classes


def _labels(x: SpikeBatch, y: npt.ArrayLike) -> Labels:
    labels = integers_of("y", y).astype(np.int64)
    if len(labels) != len(x):
        given = counted(len(labels), "class", "classes")
        raise InputError(expected("y", given, f"one for each of {counted(len(x), 'sample')}"))
    return labels


def fingerprint(*samples: tuple[SpikeBatch, Labels]) -> str:
    """Digest of samples and their classes; it differs if spikes, classes or order differ.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study.samples import fingerprint
    >>> x = pa.SpikeBatch([0], [0, 1], n_timesteps=1, input_shape=2, dt=1e-3)
    >>> fingerprint((x, np.array([0]))) == fingerprint((x, np.array([1])))
    False
    """
    digest = hashlib.sha256()
    for x, y in samples:
        digest.update(f"{x.n_timesteps} {x.input_shape} {x.dt!r} {x.n_events}".encode())
        for array in (x.channel, x.offsets, x.multiplicity, y.astype(np.int64)):
            digest.update(b"none" if array is None else b"some")
            if array is not None:
                little = array.astype(array.dtype.newbyteorder("<"), copy=False)
                digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def _of_all_classes(labels: Labels, number: int | None) -> npt.NDArray[np.int64]:
    """Positions of `number` samples, taken evenly from all classes, since files may be sorted."""
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - starts
    return np.sort(np.argsort(rank, kind="stable")[:number])
