"""Data sets like tonic's: indexed, with structured events in microseconds and a label."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyasync import SpikeBatch
from pyasync.errors import InputError
from pyasync.interop import from_tonic

# Field orders and dtypes of tonic's own data sets.
NMNIST = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
GESTURE = np.dtype([("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)])
SHD = np.dtype([("t", int), ("x", int), ("p", int)])


class Recordings:
    """A stand-in with the interface of a tonic data set."""

    def __init__(self, samples: list[Any], sensor_size: Any = None) -> None:
        self.samples = samples
        if sensor_size is not None:
            self.sensor_size = sensor_size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def events(dtype: npt.DTypeLike, *rows: dict[str, int]) -> npt.NDArray[Any]:
    array = np.zeros(len(rows), dtype)
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[name][i] = value
    return array


def found(batch: SpikeBatch) -> list[list[list[int]]]:
    return [np.argwhere(sample.to_dense()[:, 0]).tolist() for sample in batch]


@pytest.mark.parametrize("dtype", [NMNIST, GESTURE])
def test_events_of_a_camera_become_channels_and_timesteps(dtype: Any) -> None:
    first = events(dtype, {"x": 5, "y": 2, "t": 999, "p": 1}, {"x": 0, "y": 1, "t": 1000, "p": 0})
    second = events(dtype, {"x": 1, "y": 0, "t": 3999, "p": 1}, {"x": 1, "y": 0, "t": 4000, "p": 1})
    dataset = Recordings([(first, 3), (second, np.int64(9))], (6, 3, 2))
    x, y = from_tonic(dataset, dt=1e-3, n_timesteps=4)
    assert (x.input_shape, x.n_timesteps, x.dt) == ((2, 3, 6), 4, 1e-3)
    assert y.dtype == np.int64
    assert y.tolist() == [3, 9]
    assert found(x) == [[[0, 1, 2, 5], [1, 0, 1, 0]], [[3, 1, 0, 1]]]


def test_events_of_a_cochlea_have_channels_alone() -> None:
    spikes = events(SHD, {"t": 20_000, "x": 699, "p": 1}, {"t": 0, "x": 0, "p": 1})
    x, y = from_tonic(Recordings([(spikes, 19)], (700, 1, 1)), dt=10e-3, n_timesteps=100)
    assert x.input_shape == (700,)
    assert found(x) == [[[0, 0], [2, 699]]]
    assert y.tolist() == [19]


def test_events_of_one_channel_and_timestep_add_up() -> None:
    twice = events(SHD, *[{"t": t, "x": 4} for t in (1, 2, 1500)])
    x, _ = from_tonic([(twice, 0)], (5, 1, 1), dt=1e-3, n_timesteps=2)
    assert x.multiplicity is not None
    assert x.multiplicity.tolist() == [2, 1]


def test_a_list_of_pairs_is_a_data_set_too_and_says_its_size() -> None:
    pairs = [[events(SHD, {"t": 5, "x": 1}), 0], (events(SHD), True)]
    x, y = from_tonic(pairs, (2, 1, 1), dt=1e-5, n_timesteps=1, time_unit=1e-6)
    assert found(x) == [[[0, 1]], []]
    assert y.tolist() == [0, 1]
    with pytest.raises(InputError, match=r"^sensor_size: got None; accepted: .* does not say it"):
        from_tonic(pairs, dt=1e-5, n_timesteps=1)


def test_the_argument_comes_before_the_data_sets_own_size() -> None:
    dataset = Recordings([(events(SHD, {"t": 0, "x": 3}), 0)], (4, 1, 1))
    assert from_tonic(dataset, (8, 1, 1), dt=1, n_timesteps=1)[0].input_shape == (8,)


def test_a_large_data_set_is_binned_some_recordings_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = [
        (events(SHD, *[{"t": 1000 * k, "x": s} for k in range(s % 4)]), s) for s in range(23)
    ]
    how: Any = {"sensor_size": (23, 1, 1), "dt": 1e-3, "n_timesteps": 3}
    whole, labels = from_tonic(samples, **how)
    monkeypatch.setattr(sys.modules["pyasync.interop.tonic"], "_EVENTS_AT_ONCE", 7)
    x, y = from_tonic(samples, **how)
    assert x == whole == SpikeBatch.from_events([e for e, _ in samples], (23, 1, 1), 1e-3, 3)
    assert y.tolist() == labels.tolist() == list(range(23))
    samples[20] = (events(SHD, {"t": 0, "x": 23}), 0)
    with pytest.raises(InputError, match=r"^dataset: got sample 20 \(events: got x=23"):
        from_tonic(samples, **how)


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ((events(SHD, {"x": 9}), 0), r"sample 1 \(events: got x=9; accepted: x in 0 .. 7\)"),
        ((events(SHD, {"t": -1}), 0), r"sample 1 \(events: got t=-1"),
        ((events(NMNIST, {"x": 1}), 0), r"sample 1 with fields \['p', 't', 'x', 'y'\]"),
        ((np.zeros((5, 2, 8)), 0), r"sample 1 with float64; accepted: .* not frames of them"),
        (([1, 2, 3], 0), r"sample 1 with list"),
        ((events(SHD), "seven"), r"sample 1 with a label of str"),
        ((events(SHD), 1.0), r"sample 1 with a label of float"),
        ((events(SHD), 1, 2), r"sample 1, a tuple; accepted: pairs"),
        (events(SHD), r"sample 1, a ndarray; accepted: pairs"),
    ],
)
def test_a_bad_sample_is_named(sample: Any, says: str) -> None:
    dataset = Recordings([(events(SHD, {"x": 1}), 0), sample], (8, 1, 1))
    with pytest.raises(InputError, match=rf"^dataset: got {says}"):
        from_tonic(dataset, dt=1e-3, n_timesteps=2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dt": 0}, "dt: got 0"),
        ({"n_timesteps": 0}, "n_timesteps: got 0"),
        ({"n_timesteps": 2.0}, "n_timesteps: got 2.0"),
        ({"time_unit": -1e-6}, "time_unit: got -1e-06"),
        ({"sensor_size": (8, 1)}, r"sensor_size: got \(8, 1\)"),
        ({"dataset": []}, "dataset: got no samples"),
        ({"dataset": None}, "dataset: got NoneType; accepted: a data set of pairs"),
    ],
)
def test_a_bad_argument_is_named_before_anything_is_read(change: Any, says: str) -> None:
    class Unread(Recordings):
        def __getitem__(self, index: int) -> Any:
            raise AssertionError("read")

    how: Any = {"dataset": Unread([None]), "sensor_size": (8, 1, 1), "dt": 1e-3, "n_timesteps": 2}
    with pytest.raises(InputError, match=f"^{says}"):
        from_tonic(**{**how, **change})


def test_tonic_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    assert len(from_tonic([(events(SHD), 0)], (2, 1, 1), dt=1e-3, n_timesteps=1)[0]) == 1


def test_a_data_set_of_tonic_itself() -> None:
    tonic = pytest.importorskip("tonic", reason="tonic is not installed")

    class Clicks(tonic.Dataset):  # type: ignore[misc, name-defined]
        sensor_size = (4, 1, 1)
        dtype = SHD

        def __init__(self) -> None:
            super().__init__("unused")

        def __getitem__(self, index: int) -> Any:
            return events(SHD, {"t": 1000 * index, "x": index}), index

        def __len__(self) -> int:
            return 3

        def _check_exists(self) -> bool:
            return True

    x, y = from_tonic(Clicks(), dt=1e-3, n_timesteps=3)
    assert found(x) == [[[0, 0]], [[1, 1]], [[2, 2]]]
    assert y.tolist() == [0, 1, 2]
