"""SpikeBatch: what it holds and accepts, and how it is built, indexed, saved and loaded."""

from __future__ import annotations

import pickle
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from pyasync.errors import FileError, InputError
from pyasync.events import SpikeBatch


def batch_of(*samples: list[list[int]], n_inputs: int = 5, dt: float | None = 1e-3) -> SpikeBatch:
    """Build a batch: for every sample a list of timesteps, each a list of channels."""
    steps = [step for sample in samples for step in sample]
    offsets = np.cumsum([0, *map(len, steps)])
    channel = [channel for step in steps for channel in step]
    return SpikeBatch(channel, offsets, len(samples[0]), n_inputs, dt=dt)


def segments(batch: SpikeBatch) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.channel, batch.offsets[1:-1])]


THREE = batch_of([[0, 1], [2]], [[], [4]], [[3], []])


def test_events_of_a_timestep_lie_between_its_offsets() -> None:
    assert segments(THREE) == [[0, 1], [2], [], [4], [3], []]
    assert (len(THREE), THREE.n_timesteps, THREE.n_inputs, THREE.n_events) == (3, 2, 5, 5)
    assert (THREE.channel.dtype, THREE.offsets.dtype) == (np.uint32, np.int64)


def test_channels_are_sorted_and_duplicates_merged_within_a_timestep_only() -> None:
    batch = SpikeBatch([3, 1, 3, 1], [0, 3, 4], n_timesteps=2, input_shape=4)
    assert segments(batch) == [[1, 3], [1]]
    assert batch.multiplicity is not None
    np.testing.assert_array_equal(batch.multiplicity, [1, 2, 1])


def test_multiplicities_of_duplicates_add_up_in_the_order_given() -> None:
    terms = np.array([1e16, 1.0, 1.0, -1e16, 3.0])
    expected = 0.0
    for term in terms:
        expected += term
    batch = SpikeBatch(np.zeros(5, int), [0, 5], 1, 1, multiplicity=terms)
    assert batch.multiplicity is not None
    assert batch.multiplicity[0] == expected != terms[::-1].sum()


def test_multiplicity_zero_is_no_event_and_ones_need_no_array() -> None:
    batch = SpikeBatch([0, 1, 2], [0, 3], 1, 3, multiplicity=[1, 0, 1])
    assert batch == SpikeBatch([0, 2], [0, 2], 1, 3)
    assert batch.multiplicity is None
    cancelled = SpikeBatch([1, 1], [0, 2], 1, 3, multiplicity=[0.5, -0.5])
    assert cancelled.n_events == 0


def test_what_the_caller_changes_later_changes_no_batch() -> None:
    channel, offsets = np.array([0, 1], np.uint32), np.array([0, 2], np.int64)
    weights = np.array([2.0, 3.0])
    batch = SpikeBatch(channel, offsets, 1, 3, multiplicity=weights)
    channel[:], offsets[:], weights[:] = 2, 0, 9
    assert batch == SpikeBatch([0, 1], [0, 2], 1, 3, multiplicity=[2.0, 3.0])


def test_a_batch_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        THREE.channel[0] = 1
    with pytest.raises(AttributeError):
        THREE.dt = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        THREE[1:].channel[0] = 1


GOOD: dict[str, Any] = {"channel": [0, 1], "offsets": [0, 1, 2], "n_timesteps": 2, "input_shape": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channel": [0, 3]}, "channel: got 3; accepted: 0 .. 2"),
        ({"channel": [-1, 0]}, "channel: got -1; accepted: 0 .. 2"),
        ({"channel": [0.0, 1.0]}, "channel: got dtype float64"),
        ({"channel": [True, False]}, "channel: got dtype bool"),
        ({"channel": [[0, 1]]}, r"channel: got shape \(1, 2\)"),
        ({"channel": [[0], [1, 2]]}, "channel: got list"),
        ({"channel": ["a", "b"]}, "channel: got dtype <U1"),
        ({"offsets": [1, 1, 2]}, "offsets: got 1 to 2"),
        ({"offsets": [0, 1, 3]}, "offsets: got 0 to 3"),
        ({"offsets": [0, 1, 1]}, "offsets: got 0 to 1"),
        ({"offsets": [0, 3, 2]}, "offsets: got 3 followed by 2"),
        ({"offsets": [0, 2]}, "offsets: got 2 offsets"),
        ({"offsets": []}, "offsets: got 0 offsets"),
        ({"offsets": [0.0, 1.0, 2.0]}, "offsets: got dtype float64"),
        ({"offsets": 2}, r"offsets: got shape \(\)"),
        ({"n_timesteps": 0}, "n_timesteps: got 0"),
        ({"n_timesteps": 2.0}, "n_timesteps: got 2.0"),
        ({"n_timesteps": True}, "n_timesteps: got True"),
        ({"input_shape": ()}, r"input_shape: got \(\)"),
        ({"input_shape": (3, 0)}, "input_shape: got 0"),
        ({"input_shape": 2.5}, "input_shape: got 2.5"),
        ({"input_shape": (2**16, 2**16)}, "input_shape: got .*at most 2147483647"),
        ({"multiplicity": [1.0]}, r"multiplicity: got shape \(1,\)"),
        ({"multiplicity": [1.0, np.nan]}, "multiplicity: got NaN or infinity"),
        ({"multiplicity": [1.0, np.inf]}, "multiplicity: got NaN or infinity"),
        ({"multiplicity": [1.0, 1j]}, "multiplicity: got dtype complex128"),
        (
            {"channel": [0, 0], "offsets": [0, 2, 2], "multiplicity": [1e308, 1e308]},
            "multiplicity:",
        ),
        ({"dt": 0.0}, "dt: got 0.0"),
        ({"dt": -1e-3}, "dt: got -0.001"),
        ({"dt": np.nan}, "dt: got nan"),
        ({"dt": np.inf}, "dt: got inf"),
        ({"dt": "1 ms"}, "dt: got '1 ms'"),
    ],
)
def test_a_bad_argument_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=rf"^{says}") as caught:
        SpikeBatch(**{**GOOD, **change})
    assert "; accepted: " in str(caught.value)


@pytest.mark.parametrize(
    "index", [0, -1, slice(1, 3), slice(None, None, -2), [2, 0, 2], np.array([True, False, True])]
)
def test_indexing_takes_whole_samples(index: Any) -> None:
    picked = THREE[index]
    whole = np.atleast_1d(np.arange(3)[index])
    assert segments(picked) == [segments(THREE)[2 * s + t] for s in whole for t in range(2)]
    assert (picked.n_timesteps, picked.dt, picked.input_shape) == (2, 1e-3, (5,))


@pytest.mark.parametrize("index", [3, -4, [0, 3], 1.0, [[0, 1]], [True, False], "0", None])
def test_an_index_outside_the_batch_is_refused(index: Any) -> None:
    with pytest.raises(InputError, match=r"^index: got .*3 samples"):
        THREE[index]


def test_a_batch_can_be_empty_and_iterated() -> None:
    assert len(THREE[:0]) == len(THREE[[]]) == 0
    assert THREE[:0].offsets.tolist() == [0]
    assert SpikeBatch.concatenate(list(THREE)) == THREE


def test_equality_sees_everything_but_the_order_of_events() -> None:
    assert batch_of([[2, 0], [1]]) == batch_of([[0, 2], [1]])
    same = batch_of([[0, 2], [1]])
    others: list[object] = [
        batch_of([[0, 2, 1], []]),
        batch_of([[0, 3], [1]]),
        batch_of([[0, 2], [1]], dt=2e-3),
        batch_of([[0, 2], [1]], dt=None),
        batch_of([[0, 2], [1]], n_inputs=6),
        batch_of([[0, 2]], [[1]]),
        batch_of([[0, 2, 2], [1]]),
        "a string",
    ]
    assert all(same != other for other in others)


def test_repr_says_what_is_in_it() -> None:
    assert repr(THREE) == "SpikeBatch(3 samples, 2 timesteps of 1 ms, input shape (5,), 5 events)"
    assert repr(batch_of([[1, 1]], dt=None)).endswith(
        "1 timestep, input shape (5,), 1 event, analog)"
    )


def test_a_pickled_batch_is_the_same() -> None:
    assert pickle.loads(pickle.dumps(THREE)) == THREE


@st.composite
def dense(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(st.tuples(*[st.integers(1, 4)] * 4))
    kind = draw(st.sampled_from(["bool", "int8", "uint16", "int64", "float32", "float64"]))
    values = st.sampled_from([0, 0, 0, 1, 1, 2, 3]) if kind != "bool" else st.booleans()
    if kind.startswith("float"):
        values = st.sampled_from([0.0, -0.0, 1.0, -0.5, 2.25])
    flat = draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.array(flat, kind).reshape(shape)


@given(dense(), st.booleans())
def test_dense_and_back_gives_the_same_array(x: np.ndarray[Any, Any], batch_first: bool) -> None:
    batch = SpikeBatch.from_dense(x, dt=1e-3, batch_first=batch_first)
    np.testing.assert_array_equal(batch.to_dense(x.dtype, batch_first=batch_first), x)
    assert batch.input_shape == x.shape[2:]
    other = SpikeBatch.from_dense(x.swapaxes(0, 1), dt=1e-3, batch_first=not batch_first)
    assert batch == other


def test_a_large_dense_array_is_read_in_parts() -> None:
    x = np.zeros((1, 3, 2**23), np.uint8)
    x[0, [0, 1, 2, 2], [5, 2**23 - 1, 0, 7]] = 1, 1, 1, 3
    batch = SpikeBatch.from_dense(x)
    assert batch == SpikeBatch([5, 2**23 - 1, 0, 7], [0, 1, 2, 4], 1, 2**23, [1, 1, 1, 3])


@given(dense(), st.randoms())
def test_cut_and_joined_again_is_the_same_batch(x: np.ndarray[Any, Any], random: Any) -> None:
    batch = SpikeBatch.from_dense(x)
    cut = random.randrange(len(batch) + 1)
    assert SpikeBatch.concatenate([batch[:cut], batch[cut:]]) == batch
    order = random.sample(range(len(batch)), len(batch))
    assert batch[order][np.argsort(order)] == batch


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((2, 3)), "at least three axes"),
        (np.zeros((0, 1, 3)), "T and input_shape not 0"),
        (np.zeros((1, 1, 0)), "T and input_shape not 0"),
        (np.full((1, 1, 1), np.nan), "NaN or infinity"),
        (np.zeros((1, 1, 1), complex), "dtype complex128"),
        (np.full((1, 1, 1), None), "dtype object"),
        ([[[1], [1, 2]]], "list"),
    ],
)
def test_a_bad_dense_array_is_refused(x: Any, says: str) -> None:
    with pytest.raises(InputError, match=rf"^x: got .*{says}"):
        SpikeBatch.from_dense(x)


def test_to_dense_never_rounds_a_multiplicity_silently() -> None:
    batch = SpikeBatch([0], [0, 1], 1, 1, multiplicity=[1.5])
    assert batch.to_dense(np.float32).item() == 1.5
    assert batch.to_dense(bool).item() is True
    with pytest.raises(InputError, match=r"^dtype: got int64"):
        batch.to_dense(np.int64)


def test_binary_sets_every_multiplicity_to_one() -> None:
    batch = SpikeBatch([0, 0, 1], [0, 3], 1, 2)
    assert batch.multiplicity is not None
    assert batch.binary() == SpikeBatch([0, 1], [0, 2], 1, 2)


def test_concatenate_joins_only_batches_that_are_alike() -> None:
    analog = SpikeBatch([1], [0, 1, 1], 2, 5, multiplicity=[2.5], dt=1e-3)
    joined = SpikeBatch.concatenate([THREE, analog])
    assert joined[:3] == THREE
    assert joined[3] == analog
    for other in (batch_of([[0]]), batch_of([[0], []], dt=None), batch_of([[0], []], n_inputs=6)):
        with pytest.raises(InputError, match=r"^batches: got"):
            SpikeBatch.concatenate([THREE, other])
    for wrong in ([], [THREE, "x"]):
        with pytest.raises(InputError, match=r"^batches: got"):
            SpikeBatch.concatenate(wrong)  # type: ignore[list-item]


def recording(rows: list[tuple[int, ...]], fields: str, kind: str = "i8") -> np.ndarray[Any, Any]:
    return np.array(rows, [(name, kind) for name in fields])


def test_recordings_are_read_by_field_name_in_any_order_and_integer_type() -> None:
    rows = [(0, 1, 0, 1), (999, 0, 1, 0), (1000, 2, 1, 1), (400, 1, 0, 1)]
    plain = SpikeBatch.from_events([recording(rows, "txyp")], (3, 2, 2), 1e-3)
    assert plain.input_shape == (2, 2, 3)
    assert segments(plain) == [[3, 7], [11]]
    assert plain.to_dense()[0, 0, 1, 0, 1] == 2
    turned = recording([(p, y, x, t) for t, x, y, p in rows], "pyxt", "u2")
    assert SpikeBatch.from_events([turned], (3, 2, 2), 1e-3) == plain


def test_a_recording_in_one_dimension_has_no_y() -> None:
    cochlea = recording([(0, 4, 1), (30, 2, 1)], "txp")
    batch = SpikeBatch.from_events([cochlea], (5, 1, 1), dt=10e-6)
    assert (batch.input_shape, segments(batch)) == ((5,), [[4], [], [], [2]])
    for height in (1, 3):  # irrelevant, because the events have no y
        two = SpikeBatch.from_events([recording([(0, 4, 1)], "txp")], (5, height, 2), 1e-3)
        assert (two.input_shape, segments(two)) == ((2, 5), [[9]])


def test_polarities_may_be_minus_one_and_one() -> None:
    signed = recording([(0, 0, -1), (0, 1, 1)], "txp", "i1")
    assert segments(SpikeBatch.from_events([signed], (2, 1, 2), 1e-3)) == [[0, 3]]


@pytest.mark.parametrize(("dt", "unit"), [(1e-3, 1e-6), (10e-3, 1e-6), (0.3, 0.1), (1e-3, 1e-4)])
def test_an_event_at_a_border_belongs_to_the_timestep_that_starts(dt: float, unit: float) -> None:
    ticks = round(dt / unit)
    times = np.arange(0, 50) * ticks
    rows = recording([(t, 0) for t in np.sort(np.concatenate([times, times + ticks - 1]))], "tx")
    batch = SpikeBatch.from_events([rows], (1, 1, 1), dt, time_unit=unit)
    assert np.diff(batch.offsets).tolist() == [1] * 50
    assert batch.multiplicity is None or set(batch.multiplicity) == {2.0}


@pytest.mark.parametrize(
    ("dt", "unit", "ticks"),
    [
        (2.5e-6, 1e-6, (5, 2)),
        (12.5e-6, 1e-6, (25, 2)),
        (62.5e-6, 1e-6, (125, 2)),
        (1.1e-6, 1e-6, (11, 10)),
        (1e-3 / 3, 1e-6, (1000, 3)),
        (0.1 + 0.2, 0.1, (3, 1)),
        (1.23456789e-3, 1e-6, (123456789, 100000)),
    ],
)
def test_a_whole_time_is_in_its_timestep_where_dt_is_no_whole_number_of_its_units(
    dt: float, unit: float, ticks: tuple[int, int]
) -> None:
    times = np.arange(2000)
    events = np.zeros(times.size, [("t", "u4"), ("x", "i2")])
    events["t"] = times
    batch = SpikeBatch.from_events([events], (1, 1, 1), dt, time_unit=unit)
    found = np.repeat(np.arange(batch.n_timesteps), batch.to_dense(int).ravel())
    np.testing.assert_array_equal(found, times * ticks[1] // ticks[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("dt", "unit", "length"),
    [(0.01, 1.0, 0.01), (1e-3, 1.0, 1e-3), (0.3, 0.1, 3.0), (1 / 3, 1e-3, 1000 / 3)],
)
def test_a_time_in_floats_is_in_the_timestep_whose_borders_hold_it(
    dt: float, unit: float, length: float, dtype: Any
) -> None:
    # The interval is [k * dt, (k + 1) * dt), which a rounded quotient t / dt would not always give.
    borders = np.arange(61) * length
    t = borders[1:60].astype(dtype)
    t = np.sort(np.concatenate([t, np.nextafter(t, dtype(0)), np.nextafter(t, dtype(np.inf))]))
    events = np.zeros(t.size, [("t", dtype), ("x", "i2")])
    events["t"] = t
    batch = SpikeBatch.from_events([events], (1, 1, 1), dt, time_unit=unit, n_timesteps=60)
    counts, _ = np.histogram(t.astype(np.float64), [*borders[:-1].tolist(), np.inf])
    assert batch.to_dense().ravel().tolist() == counts.tolist()


def test_times_beyond_all_timesteps_are_cut_whatever_their_type() -> None:
    events = np.zeros(2, [("t", np.float16), ("x", "i2")])
    events["t"] = [0.5, 6e4]
    batch = SpikeBatch.from_events([events], (1, 1, 1), 1e-30, time_unit=1.0, n_timesteps=2)
    assert batch.to_dense().sum() == 0


def test_n_timesteps_cuts_longer_recordings_and_pads_shorter_ones() -> None:
    long, short = recording([(0, 0), (5500, 1)], "tx"), recording([(1500, 1)], "tx")
    cut = SpikeBatch.from_events([long, short], (2, 1, 1), 1e-3, n_timesteps=3)
    assert segments(cut) == [[0], [], [], [], [1], []]
    assert SpikeBatch.from_events([short, long], (2, 1, 1), 1e-3).n_timesteps == 6


@pytest.mark.parametrize(
    ("rows", "fields", "says"),
    [
        ([(0, 3, 0, 0)], "txyp", "events: got x=3; accepted: x in 0 .. 2"),
        ([(0, 0, -1, 0)], "txyp", "events: got y=-1"),
        ([(0, 0, 0, 2)], "txyp", "events: got p=2"),
        ([(-1, 0, 0, 0)], "txyp", "events: got t=-1"),
        ([(0, 0)], "ty", r"events: got fields \['t', 'y'\]"),
        ([(2**60, 0, 0, 0)], "txyp", "n_timesteps: got .*are dt and time_unit right"),
    ],
)
def test_a_bad_recording_is_refused(rows: list[tuple[int, ...]], fields: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"^{says}"):
        SpikeBatch.from_events([recording(rows, fields)], (3, 2, 2), 1e-3)


def test_recordings_must_be_structured_and_alike() -> None:
    good = recording([(0, 0)], "tx")
    for events in ([good, recording([(0, 0, 0)], "txy")], [np.zeros(3)], [good, [1, 2]]):
        with pytest.raises(InputError, match=r"^events: got"):
            SpikeBatch.from_events(events, (3, 1, 1), 1e-3)  # type: ignore[arg-type]
    floats = np.array([(0.5, 1.5)], [("t", "f8"), ("x", "f8")])
    with pytest.raises(InputError, match=r"^events: got x of dtype float64"):
        SpikeBatch.from_events([floats], (3, 1, 1), 1e-3)
    with pytest.raises(InputError, match=r"^sensor_size: got"):
        SpikeBatch.from_events([good], (3, 1), 1e-3)  # type: ignore[arg-type]
    for bad in ({"dt": 0.0}, {"dt": 1e-3, "time_unit": -1.0}, {"dt": 1e-3, "n_timesteps": 0}):
        with pytest.raises(InputError, match=rf"^{list(bad)[-1]}: got"):
            SpikeBatch.from_events([good], (3, 1, 1), **bad)  # type: ignore[arg-type]


ANALOG = SpikeBatch([1, 0], [0, 1, 2], 2, (2, 3), multiplicity=[0.25, 3.0], dt=20e-3)


@pytest.mark.parametrize("batch", [THREE, ANALOG, THREE[:0], batch_of([[1]], dt=None)])
def test_saved_and_loaded_is_the_same_batch(batch: SpikeBatch, tmp_path: Any) -> None:
    batch.save(tmp_path / "batch.npz")
    batch.save(tmp_path / "batch.npz")
    assert SpikeBatch.load(tmp_path / "batch.npz") == batch
    assert [path.name for path in tmp_path.iterdir()] == ["batch.npz"]


def test_a_cut_or_altered_file_is_never_read_as_a_batch(tmp_path: Any) -> None:
    ANALOG.save(tmp_path / "whole.npz")
    content = (tmp_path / "whole.npz").read_bytes()
    other = tmp_path / "other.npz"
    for length in range(len(content)):
        other.write_bytes(content[:length])
        with pytest.raises(FileError, match=r"^path: got .*other\.npz"):
            SpikeBatch.load(other)
    for at in range(0, len(content), 7):
        other.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            batch = SpikeBatch.load(other)
        except FileError:
            continue
        assert batch == ANALOG


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": np.array("other")}, "format 'other'"),
        ({"version": np.array(99)}, "version 99"),
        ({"channel": None}, "without the entry 'channel'"),
        ({"channel": np.array([0, 9])}, "channel: got 9"),
        ({"offsets": np.array([0, 2, 1])}, "offsets: got"),
        ({"n_timesteps": np.array([1, 2])}, ""),
        ({"version": np.array(np.inf)}, "version: got "),
        ({"n_timesteps": np.array(np.inf)}, "n_timesteps: got "),
        ({"n_timesteps": np.array(1.5)}, "n_timesteps: got "),
        ({"input_shape": np.array([np.inf])}, "input_shape: got inf"),
        ({"input_shape": np.array([3.7])}, r"input_shape: got 3\.7"),
        ({"dt": np.array(-1.0)}, "dt: got -1.0"),
        ({"channel": np.array([None, 1])}, "Object arrays"),
    ],
)
def test_a_foreign_or_later_file_is_refused(change: Any, says: str, tmp_path: Any) -> None:
    ANALOG.save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        arrays = {**file, **change}
    np.savez(tmp_path / "other.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(FileError, match=rf"^path: got .*{says}"):
        SpikeBatch.load(tmp_path / "other.npz")


def test_files_that_cannot_be_opened_are_named(tmp_path: Any) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("not an archive")
    for name in ("missing.npz", "one.npy", "text.npz", "."):
        with pytest.raises(FileError, match=r"^path: got"):
            SpikeBatch.load(tmp_path / name)
    with pytest.raises(FileError, match=r"^path: got .*accepted: a writable path"):
        THREE.save(tmp_path / "no such directory" / "batch.npz")
