"""Augmentation: random shifts equal a slow reference, and have the stated distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyasync.data import shift
from pyasync.errors import InputError
from pyasync.events import SpikeBatch

Array = npt.NDArray[Any]


def random_batch(
    shape: tuple[int, ...] = (20,), n: int = 8, seed: int = 0, **how: Any
) -> SpikeBatch:
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, 4, (5, n, *shape)) * (rng.random((5, n, *shape)) < 0.3)
    batch = SpikeBatch.from_dense(dense, how.get("dt", 1e-3))
    return batch.binary() if how.get("binary") else batch


def moved(dense: Array, by: tuple[int, ...]) -> Array:
    """Shift an array along its last axes, filling with zeros: the slow, obvious way."""
    result = np.zeros_like(dense)
    for index in np.argwhere(dense):
        to = index.copy()
        to[index.size - len(by) :] += by
        if np.all((to >= 0) & (to < dense.shape)):
            result[tuple(to)] = dense[tuple(index)]
    return result


def shifts_of(before: SpikeBatch, after: SpikeBatch, furthest: tuple[int, ...]) -> list[Any]:
    """For each sample, the only shift (time, …, x) that turns `before` into `after`."""
    found = []
    for old, new in zip(before, after, strict=True):
        x, y = old.to_dense()[:, 0], new.to_dense()[:, 0]
        every = np.ndindex(*(2 * f + 1 for f in furthest))
        shifts = [tuple(i - f for i, f in zip(index, furthest, strict=True)) for index in every]
        padded = [(by[0], *(0,) * (x.ndim - len(by)), *by[1:]) for by in shifts]
        right = [by for by, p in zip(shifts, padded, strict=True) if np.array_equal(moved(x, p), y)]
        assert len(right) == 1
        found.append(right[0])
    return found


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("shape", "channels", "furthest"),
    [
        ((20,), 3, (2, 3)),
        ((2, 6, 7), (2, 1), (2, 2, 1)),
        ((2, 6, 7), 2, (2, 2)),
        ((2, 9), 2, (2, 2)),
        ((5, 4), (1, 0), (2, 1, 0)),
    ],
)
def test_every_sample_is_shifted_as_a_whole(
    shape: tuple[int, ...], channels: Any, furthest: tuple[int, ...], binary: bool
) -> None:
    batch = random_batch(shape, binary=binary)
    shifted = shift(batch, channels, 2, seed=1)
    assert (shifted.n_timesteps, shifted.input_shape, shifted.dt) == (5, shape, 1e-3)
    assert (shifted.multiplicity is None) == binary
    assert len(set(shifts_of(batch, shifted, furthest))) > 2


@given(
    shape=st.sampled_from([(1,), (7,), (2, 3), (2, 4, 3), (2, 1, 2, 3)]),
    n=st.integers(0, 4),
    furthest=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    timesteps=st.integers(0, 7),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_shifted_batch_is_canonical_and_loses_no_event_that_stays_inside(
    shape: tuple[int, ...], n: int, furthest: tuple[int, int], timesteps: int, seed: int
) -> None:
    batch = random_batch(shape, n, seed % 1000)
    channels: Any = furthest if len(shape) > 1 else furthest[0]
    shifted = shift(batch, channels, timesteps, seed)
    again = SpikeBatch(shifted.channel, shifted.offsets, 5, shape, shifted.multiplicity, shifted.dt)
    assert again == shifted
    assert (shifted.channel.dtype, shifted.offsets.dtype) == (np.uint32, np.int64)
    n_axes = 1 if isinstance(channels, int) else 2
    for old, new in zip(batch, shifted, strict=True):
        x, y = old.to_dense()[:, 0], new.to_dense()[:, 0]
        if not y.any():
            continue
        # Each possible origin of the first remaining event gives a candidate for the shift.
        first = np.argwhere(y)[0]
        axes = [0, *range(y.ndim - n_axes, y.ndim)]
        by = {tuple((first - origin)[axes]) for origin in np.argwhere(x)}
        full = [(t, *(0,) * (x.ndim - n_axes - 1), *rest) for t, *rest in by]
        assert any(np.array_equal(moved(x, each), y) for each in full)


def test_no_shift_is_no_change() -> None:
    for shape, channels in (((20,), 0), ((2, 6, 7), (0, 0))):
        batch = random_batch(shape)
        assert shift(batch, channels, 0, seed=5) == batch


def test_shifts_are_a_function_of_seed_and_position() -> None:
    batch = random_batch(n=12)
    whole = shift(batch, 4, 2, seed=7)
    assert shift(batch, 4, 2, seed=7) == whole
    assert shift(batch[:5], 4, 2, seed=7) == whole[:5]
    assert shift(batch, 4, 2, seed=8) != whole
    turned = shift(batch[::-1], 4, 2, seed=7)
    assert shifts_of(batch[::-1], turned, (2, 4)) == shifts_of(batch, whole, (2, 4))


def one_event_each(n: int, channel: int = 10, timestep: int = 3) -> SpikeBatch:
    dense = np.zeros((7, n, 21))
    dense[timestep, :, channel] = 1
    return SpikeBatch.from_dense(dense)


def test_shifts_are_those_of_numpys_philox_on_any_machine() -> None:
    raw = np.random.Philox(key=123).random_raw(20).tolist()
    channels = [10 + (7 * (u >> 11) >> 53) - 3 for u in raw[0::2]]
    timesteps = [3 + (5 * (u >> 11) >> 53) - 2 for u in raw[1::2]]
    found = np.argwhere(shift(one_event_each(10), 3, 2, seed=123).to_dense(batch_first=True))
    assert found.tolist() == [
        list(each) for each in zip(range(10), timesteps, channels, strict=True)
    ]


def test_every_shift_is_as_likely_as_every_other() -> None:
    n = 7000
    shifted = shift(one_event_each(n), 3, 2, seed=0)
    assert shifted.n_events == n
    table = shifted.to_dense(int).sum(axis=1)
    assert np.count_nonzero(table) == 5 * 7
    seen = table[1:6, 7:14]
    # 200 of each are expected, with a standard deviation of 14.
    assert seen.min() > 140
    assert seen.max() < 260


def test_events_that_leave_are_dropped() -> None:
    batch = random_batch(n=200)
    far = shift(batch, 1000, 0, seed=0)
    assert far.n_events < 0.1 * batch.n_events
    assert shift(batch, 2**63, 2**63, seed=0).n_events == 0
    assert shift(random_batch((2, 6, 7)), (2**63, 2**63), 0, seed=0).n_events == 0


def test_the_batch_that_is_shifted_stays_as_it_was() -> None:
    batch = random_batch()
    before = batch.to_dense()
    shift(batch, 5, 2, seed=0)
    np.testing.assert_array_equal(batch.to_dense(), before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": np.zeros((5, 1, 20))}, "batch: got a ndarray; accepted: a SpikeBatch"),
        ({"channels": -1}, "channels: got -1"),
        ({"channels": 1.5}, "channels: got 1.5"),
        ({"channels": "ab"}, r"channels: got 'ab' for input shape \(20,\)"),
        ({"channels": (1, 2)}, r"channels: got \(1, 2\) for input shape \(20,\)"),
        ({"channels": ()}, r"channels: got \(\) for input shape \(20,\)"),
        ({"timesteps": -1}, "timesteps: got -1"),
        ({"timesteps": True}, "timesteps: got True"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 2**64}, f"seed: got {2**64}"),
    ],
)
def test_a_bad_argument_is_named(change: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"batch": random_batch(), "channels": 1, "timesteps": 1, "seed": 0}
    with pytest.raises(InputError, match=rf"^{says}"):
        shift(**{**arguments, **change})


def test_three_axes_are_too_many() -> None:
    with pytest.raises(InputError, match=r"^channels: got .*accepted: an integer or \(dy, dx\)"):
        shift(random_batch((2, 6, 7)), (1, 1, 1), 0, seed=0)
