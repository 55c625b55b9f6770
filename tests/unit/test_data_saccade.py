"""The simulated event camera: events say where, when and how much the light changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pyasync.data import saccade
from pyasync.errors import InputError

OFF, ON = 0, 1
STEP = math.log(1.15 / 0.15)  # from black to white


def square(size: int = 12, low: int = 3, high: int = 8) -> np.ndarray[Any, Any]:
    image = np.zeros((1, size, size))
    image[:, low:high, low:high] = 1
    return image


def blobs(n: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random((n, 12, 12)) ** 2


def counts(*args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
    """Events [sample, timestep, polarity, y, x]."""
    return np.asarray(saccade(*args, **kwargs).to_dense(int, batch_first=True))


@pytest.mark.parametrize("path", [[(0, 0)], [(3, 1), (3, 1)], np.zeros((5, 2))])
def test_a_still_image_gives_no_events(path: Any) -> None:
    assert saccade(blobs(), path).n_events == 0


def test_an_image_without_contrast_gives_no_events() -> None:
    assert saccade(np.full((1, 12, 12), 0.4), background=0.4).n_events == 0


def test_a_moving_square_gives_on_before_it_and_off_behind_it() -> None:
    events = counts(square(), [(0, 0), (2, 0)], sensor_shape=(12, 14)).sum(axis=(0, 1))
    full = math.floor(STEP / 0.5)
    on, off = np.zeros((12, 14), int), np.zeros((12, 14), int)
    on[3:8, 8:10] = off[3:8, 3:5] = full
    np.testing.assert_array_equal(events[ON], on)
    np.testing.assert_array_equal(events[OFF], off)


def test_a_square_moving_down_gives_events_on_its_upper_and_lower_edge() -> None:
    events = counts(square(), [(0, 0), (0, 2)], sensor_shape=(14, 12)).sum(axis=(0, 1))
    assert np.flatnonzero(events[ON].any(axis=1)).tolist() == [8, 9]
    assert np.flatnonzero(events[OFF].any(axis=1)).tolist() == [3, 4]


def test_reversed_contrast_swaps_the_polarities() -> None:
    how: dict[str, Any] = {"path": [(0, 0), (4, 0), (4, 3)], "sensor_shape": (15, 16)}
    bright = counts(square(), **how).sum(axis=1)
    dark = counts(1 - square(), **how, background=1.0).sum(axis=1)
    assert bright.any()
    np.testing.assert_array_equal(bright[:, ::-1], dark)


def test_an_event_comes_in_the_timestep_in_which_the_edge_passes() -> None:
    events = counts(square(), [(0, 0), (4, 0)], sensor_shape=(12, 16), n_timesteps=4)
    for step in range(4):
        assert np.flatnonzero(events[0, step, ON].any(axis=0)).tolist() == [8 + step]
        assert np.flatnonzero(events[0, step, OFF].any(axis=0)).tolist() == [3 + step]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 1.0, 1.9])
def test_a_pixel_sends_one_event_for_every_threshold_that_the_light_passes(
    threshold: float,
) -> None:
    events = counts(square(), [(0, 0), (2, 0)], threshold)
    assert set(np.unique(events.sum(axis=1))) == {0, math.floor(STEP / threshold)}


def test_a_higher_threshold_gives_fewer_events_and_a_too_high_one_none() -> None:
    totals = [counts(blobs(), threshold=t).sum() for t in (0.1, 0.2, 0.4, 0.8, 1.6)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0] / 16
    assert saccade(blobs(), threshold=STEP + 0.01).n_events == 0


def test_light_that_comes_and_goes_gives_as_many_on_as_off_events() -> None:
    there_and_back = counts(blobs(), [(0, 0), (3, 2), (0, 0)], threshold=0.05)
    on, off = there_and_back[:, :, ON].sum(axis=1), there_and_back[:, :, OFF].sum(axis=1)
    assert on.sum() > 1000
    assert np.abs(on - off).max() <= 1


def test_each_image_is_seen_alone_and_always_alike() -> None:
    images = blobs(200)
    together = saccade(images)
    assert together == saccade(images)
    for sample in (0, 127, 128, 199):
        assert together[sample] == saccade(images[sample : sample + 1])


def test_the_sensor_is_centred_on_the_path_and_dt_is_kept() -> None:
    batch = saccade(square(28, 0, 28), dt=5e-3)
    assert (batch.input_shape, batch.n_timesteps, batch.dt) == ((2, 34, 34), 10, 5e-3)
    seen = batch.to_dense().sum(axis=(0, 1, 2)) > 0
    assert np.flatnonzero(seen.any(axis=0))[[0, -1]].tolist() == [0, 33]
    assert np.flatnonzero(seen.any(axis=1))[[0, -1]].tolist() == [1, 32]
    assert saccade(square(), [(9, 7), (15, 10)]) == saccade(square(), [(0, 0), (6, 3)])


def test_an_image_larger_than_the_sensor_is_seen_in_part() -> None:
    part = counts(square(12, 5, 20), [(0, 0), (1, 0)], sensor_shape=(4, 5))
    assert part.shape[2:] == (2, 4, 5)
    assert part.sum() > 0


def test_bytes_booleans_and_reals_are_the_same_light() -> None:
    image = square()
    plain = saccade(image)
    assert saccade(image.astype(bool)) == saccade((image * 255).astype(np.uint8)) == plain
    assert len(saccade(image[:0])) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.zeros((12, 12))}, r"images: got shape \(12, 12\)"),
        ({"images": np.zeros((1, 0, 12))}, r"images: got shape \(1, 0, 12\)"),
        ({"images": np.full((1, 2, 2), 255.0)}, "images: got intensities 255 .. 255"),
        ({"images": np.full((1, 2, 2), -0.1)}, "images: got intensities -0.1"),
        ({"images": np.full((1, 2, 2), np.nan)}, "images: got NaN"),
        ({"images": np.full((1, 2, 2), 255)}, "images: got dtype int64"),
        ({"path": [1, 2]}, r"path: got shape \(2,\)"),
        ({"path": [(1, 2, 3)]}, r"path: got shape \(1, 3\)"),
        ({"path": np.zeros((0, 2))}, r"path: got shape \(0, 2\)"),
        ({"path": [(0, np.inf)]}, "path: got NaN or infinity"),
        ({"threshold": 0}, "threshold: got 0"),
        ({"threshold": math.nan}, "threshold: got nan"),
        ({"dt": -1.0}, "dt: got -1.0"),
        ({"n_timesteps": 0}, "n_timesteps: got 0"),
        ({"sensor_shape": 34}, "sensor_shape: got 34"),
        ({"sensor_shape": (34, 0)}, "sensor_shape: got 0"),
        ({"background": 2.0}, "background: got 2.0"),
        ({"offset": 0.0}, "offset: got 0.0"),
    ],
)
def test_a_bad_argument_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=rf"^{says}.*; accepted: "):
        saccade(**{"images": square(), **change})
