"""Users' npz files: events binned or with times, dense arrays, and saved batches."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from realdata import real_data

from pyasync.data import npz
from pyasync.errors import FileError, InputError
from pyasync.events import SpikeBatch

BINNED: dict[str, Any] = {
    "channel": np.array([3, 0, 5, 5], np.uint16),
    "offsets": np.array([0, 2, 2, 3, 4], np.uint32),
    "label": np.array([1, 0], np.uint8),
    "n_timesteps": 2,
    "n_inputs": 6,
    "dt_us": 10_000,
}
TIMED: dict[str, Any] = {
    "ms": np.array([0, 9, 4, 5], np.uint16),
    "unit": np.array([1, 0, 2, 2], np.uint16),
    "offsets": np.array([0, 2, 4]),
    "label": np.array([4, 2]),
}
HOW: dict[str, Any] = {
    "channel": "unit",
    "time": "ms",
    "time_unit": 1e-3,
    "dt": 5e-3,
    "input_shape": 3,
}


def write(folder: Path, arrays: dict[str, Any], **change: Any) -> Path:
    arrays = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


FORMS = ["saved", "binned", "timed", "dense"]


def write_form(folder: Path, form: str) -> tuple[Path, dict[str, Any]]:
    """Write the same samples (6 channels, no dt) in any form; give the file and how to read it."""
    multiplicity = [1, 0.5, 1, 2]
    if form == "binned":
        return write(folder, BINNED, dt_us=None, multiplicity=multiplicity), {}
    if form == "timed":
        change = {"ms": [0, 1, 4, 5], "unit": BINNED["channel"], "multiplicity": multiplicity}
        return write(folder, TIMED, **change, n_inputs=6), {**HOW, "input_shape": None}
    batch = SpikeBatch(BINNED["channel"], BINNED["offsets"], 2, 6, multiplicity)
    if form == "dense":
        return write(folder, {"x": batch.to_dense()}), {}
    batch.save(folder / "mine.npz")
    return folder / "mine.npz", {}


def test_binned_events_are_read_with_what_the_file_says(tmp_path: Path) -> None:
    x, y = npz(write(tmp_path, BINNED))
    assert x == SpikeBatch([0, 3, 5, 5], [0, 2, 2, 3, 4], 2, 6, dt=10e-3)
    assert y is not None
    assert y.dtype == np.int64
    assert y.tolist() == [1, 0]


def test_arguments_say_what_the_file_does_not(tmp_path: Path) -> None:
    file = write(tmp_path, BINNED, n_timesteps=None, n_inputs=None, dt_us=None, label=None)
    x, y = npz(file, dt=10e-3, n_timesteps=2, input_shape=(2, 3))
    assert (x.input_shape, x.dt, y) == ((2, 3), 10e-3, None)
    for missing in ("n_timesteps", "input_shape"):
        says = {"dt": 10e-3, "n_timesteps": 2, "input_shape": 6, missing: None}
        with pytest.raises(InputError, match=rf"^{missing}: got None"):
            npz(file, **says)


def test_a_shape_may_be_given_for_the_channels_that_the_file_counts(tmp_path: Path) -> None:
    assert npz(write(tmp_path, BINNED), input_shape=(1, 2, 3))[0].input_shape == (1, 2, 3)
    assert npz(write(tmp_path, BINNED, input_shape=[3, 2]))[0].input_shape == (3, 2)


@pytest.mark.parametrize(
    "says", [{"dt": 1e-3}, {"n_timesteps": 4}, {"input_shape": 7}, {"input_shape": (2, 4)}]
)
def test_arguments_may_not_contradict_the_file(says: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{next(iter(says))}: got"):
        npz(write(tmp_path, BINNED), **says)


def test_multiplicities_of_binned_events_are_read(tmp_path: Path) -> None:
    x, _ = npz(write(tmp_path, BINNED, multiplicity=[0.5, 1, 1, 2]))
    assert x.multiplicity is not None
    assert x.multiplicity.tolist() == [1, 0.5, 1, 2]


def test_timed_events_are_binned_as_the_arguments_say(tmp_path: Path) -> None:
    x, y = npz(write(tmp_path, TIMED), **HOW)
    assert x == SpikeBatch([1, 0, 2, 2], [0, 1, 2, 3, 4], 2, 3, dt=5e-3)
    assert y is not None
    assert y.tolist() == [4, 2]
    first, _ = npz(write(tmp_path, TIMED), **HOW, n_timesteps=1)
    assert first == SpikeBatch([1, 2], [0, 1, 2], 1, 3, dt=5e-3)
    long, _ = npz(write(tmp_path, TIMED), **HOW, n_timesteps=5)
    assert (long.n_timesteps, long.n_events) == (5, 4)


def test_times_need_not_be_sorted(tmp_path: Path) -> None:
    turned = {**TIMED, "ms": TIMED["ms"][[1, 0, 3, 2]], "unit": TIMED["unit"][[1, 0, 3, 2]]}
    assert npz(write(tmp_path, turned), **HOW)[0] == npz(write(tmp_path, TIMED), **HOW)[0]


def test_a_dense_array_is_read_time_first_or_batch_first(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 3, 2, 5)) < 0.3
    dense, y = npz(write(tmp_path, {"x": x, "y": [0, 1, 2], "dt": 2e-3}))
    assert y is not None
    assert y.tolist() == [0, 1, 2]
    assert dense == SpikeBatch.from_dense(x, dt=2e-3)
    turned, _ = npz(write(tmp_path, {"x": x.swapaxes(0, 1)}), dt=2e-3, batch_first=True)
    assert turned == dense


def test_a_saved_batch_is_read_with_its_labels(tmp_path: Path) -> None:
    batch = SpikeBatch([0, 1], [0, 1, 2], 1, 3, dt=1e-3)
    batch.save(tmp_path / "saved.npz", label=[7, 8])
    x, y = npz(tmp_path / "saved.npz")
    assert x == batch == SpikeBatch.load(tmp_path / "saved.npz")
    assert y is not None
    assert y.tolist() == [7, 8]
    with pytest.raises(InputError, match=r"^dt: got 0.002"):
        npz(tmp_path / "saved.npz", dt=2e-3)
    with pytest.raises(InputError, match=r"^label: got 1 label; accepted: one for each of the 2"):
        batch.save(tmp_path / "saved.npz", label=[7])


@pytest.mark.parametrize("form", FORMS)
def test_dt_and_shape_may_be_given_in_every_form(form: str, tmp_path: Path) -> None:
    file, how = write_form(tmp_path, form)
    x, _ = npz(file, **{**how, "dt": 5e-3, "input_shape": (2, 3)})
    assert x == SpikeBatch([0, 3, 5, 5], [0, 2, 2, 3, 4], 2, (2, 3), [0.5, 1, 1, 2], dt=5e-3)


@pytest.mark.parametrize("form", ["saved", "dense", "binned"])
def test_axes_are_no_others_of_as_many_channels(form: str, tmp_path: Path) -> None:
    batch = SpikeBatch([0, 5], [0, 1, 2], 1, (3, 1, 2), dt=1e-3)
    if form == "saved":
        batch.save(tmp_path / "mine.npz")
    elif form == "dense":
        write(tmp_path, {"x": batch.to_dense(), "dt": 1e-3})
    else:
        events = {"channel": batch.channel, "offsets": batch.offsets, "n_timesteps": 1}
        write(tmp_path, events, input_shape=batch.input_shape, dt=1e-3)
    for shape in ((6,), (3, 2), (1, 6), (3, 1, 2)):
        assert npz(tmp_path / "mine.npz", input_shape=shape)[0].input_shape == shape
    says = r"^input_shape: got \(2, 3\); accepted: \(3, 1, 2\), that of"
    with pytest.raises(InputError, match=says):
        npz(tmp_path / "mine.npz", input_shape=(2, 3))


@pytest.mark.parametrize("form", ["saved", "binned", "timed"])
def test_only_a_dense_array_has_its_samples_first(form: str, tmp_path: Path) -> None:
    file, how = write_form(tmp_path, form)
    with pytest.raises(InputError, match=r"^batch_first: got True; accepted: False for"):
        npz(file, **how, batch_first=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("dt", -1),
        ("dt", "x"),
        ("dt", float("nan")),
        ("input_shape", 7),
        ("input_shape", (2, 4)),
        ("input_shape", "x"),
        ("input_shape", 0),
    ],
)
def test_a_dt_or_shape_that_cannot_be_is_refused_in_every_form(
    form: str, argument: str, given: Any, tmp_path: Path
) -> None:
    file, how = write_form(tmp_path, form)
    with pytest.raises(InputError, match=rf"^{argument}: got"):
        npz(file, **{**how, argument: given})


@pytest.mark.parametrize("name", ["labels", "y", "label"])
def test_labels_are_found_by_their_usual_names_or_the_one_given(name: str, tmp_path: Path) -> None:
    file = write(tmp_path, BINNED, **{"label": None, name: [3, 4], "speaker": [5, 6]})
    for label, expected in ((None, [3, 4]), ("speaker", [5, 6])):
        _, y = npz(file, label=label)
        assert y is not None
        assert y.tolist() == expected
    with pytest.raises(FileError, match=r"^path: got .*accepted: a file with an array 'other'"):
        npz(file, label="other")


def test_which_of_several_labels_is_to_be_said(tmp_path: Path) -> None:
    file = write(tmp_path, BINNED, y=[3, 4])
    with pytest.raises(InputError, match=r"^label: got None .*\['label', 'y'\]"):
        npz(file)
    _, y = npz(file, label="y")
    assert y is not None
    assert y.tolist() == [3, 4]


def test_labels_of_the_other_axis_say_so(tmp_path: Path) -> None:
    x = np.zeros((3, 4, 5))
    for batch_first, labels in ((False, [0, 1, 2]), (True, [0, 1, 2, 3])):
        file = write(tmp_path, {"x": x, "y": labels}, dt=1e-3)
        other = "without" if batch_first else "with"
        with pytest.raises(FileError, match=rf"classes; .*; {other} batch_first there are"):
            npz(file, batch_first=batch_first)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channel": [0, 1, 2, 6]}, "channel: got 6"),
        ({"offsets": [0, 2, 1, 3, 4]}, "offsets: got 2 followed by 1"),
        ({"offsets": [0, 2, 3, 4]}, "offsets: got 4 offsets"),
        ({"offsets": None}, "accepted: a file with an array 'offsets'"),
        ({"n_timesteps": 0}, "n_timesteps"),
        ({"n_inputs": -6}, "n_inputs"),
        ({"n_inputs": [6, 6]}, "n_inputs"),
        ({"dt_us": "ten"}, "dt_us"),
        ({"label": [0.5, 1.5]}, "label: got dtype float64"),
        ({"label": [1, 2, 3]}, "label: got 3 classes"),
        ({"label": np.array([1, 2**63], np.uint64)}, "label: got 9223372036854775808"),
        ({"channel": None}, "the arrays 'channel' and 'offsets', or 'x'"),
    ],
)
def test_a_file_with_invalid_arrays_is_named(change: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=rf"^path: got .*mine\.npz.*{says}"):
        npz(write(tmp_path, BINNED, **change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ms": [0, 1, 2]}, "time: got 3 of them"),
        ({"ms": [0.0, 1.0, np.nan, 2.0]}, "ms: got NaN"),
        ({"ms": [0, -1, 2, 3]}, "time: got t=-1"),
        ({"ms": [0, 2**50, 0, 0]}, "time: got"),
        ({"unit": [0, 1, 3, 0]}, "channel: got 3"),
        ({"offsets": [0, 2, 5]}, "offsets: got"),
        ({"offsets": [0, 5, 4]}, "offsets: got"),
        ({"ms": None}, "an array 'ms'"),
    ],
)
def test_invalid_timed_events_are_named(change: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=rf"^path: got .*mine\.npz.*{says}"):
        npz(write(tmp_path, TIMED, **change), **HOW)


def test_timed_events_need_their_units(tmp_path: Path) -> None:
    for missing in ("time_unit", "dt", "input_shape"):
        with pytest.raises(InputError, match=rf"^{missing}: got None"):
            npz(write(tmp_path, TIMED), **{**HOW, missing: None})


def test_what_is_no_npz_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, BINNED)
    content = file.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:cut])
        with pytest.raises(FileError, match=r"^path: got"):
            npz(file)
    with pytest.raises(FileError, match=r"^path: got .*No such file"):
        npz(tmp_path / "nowhere.npz")


def test_whatever_reading_an_array_raises_is_a_fault_of_the_file(tmp_path: Path) -> None:
    header = "{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    headers = [
        header.format(descr="()", shape="(1,)"),  # IndexError
        header.format(descr="'<f8'", shape=f"({2**70},)"),  # OverflowError
        "{[]: 1}",  # TypeError
    ]
    for text in headers:
        with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
            length = len(text).to_bytes(2, "little")
            archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + length + text.encode())
        for read in (npz, SpikeBatch.load):
            with pytest.raises(FileError, match=r"^path: got .*a whole npz file"):
                read(tmp_path / "odd.npz")


@pytest.mark.parametrize(("shape", "kind"), [((2**31, 0), "<i8"), ((2**40,), "<U0")])
def test_an_input_shape_of_no_bytes_takes_no_memory(
    shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    file = write(tmp_path, BINNED, n_inputs=None)
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode()
    with zipfile.ZipFile(file, "a") as archive:
        header = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        archive.writestr("input_shape.npy", header)
    with pytest.raises(FileError, match=r"input_shape: got array\("):
        npz(file)


def test_a_damaged_part_is_a_fault_of_the_file_however_it_was_packed(tmp_path: Path) -> None:
    for packed in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "x.npz", "w", packed) as archive:
            archive.writestr("x.npy", bytes(range(256)) * 4)
        content = bytearray((tmp_path / "x.npz").read_bytes())
        content[45:90] = b"\xff" * 45
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(FileError, match=r"^path: got .*a whole npz file"):
            npz(tmp_path / "x.npz")


@pytest.mark.parametrize(("dt", "time_unit"), [(1e300, 1e-300), (1e-300, 1e300)])
def test_a_timestep_out_of_all_proportion_to_the_times_is_refused(
    dt: float, time_unit: float, tmp_path: Path
) -> None:
    ms = np.array([0.0, 9.0, 4.0, 5.0])
    with pytest.raises(InputError, match=rf"^dt: got {re.escape(str(dt))}; accepted: at most"):
        npz(write(tmp_path, TIMED, ms=ms), **{**HOW, "dt": dt, "time_unit": time_unit})


def test_real_binned_recordings_are_read() -> None:
    path = real_data("nmnist8_test.npz")
    x, y = npz(path, input_shape=(2, 34, 34))
    with np.load(path) as file:
        channel, offsets = file["channel"], file["offsets"]
    assert (len(x), x.n_timesteps, x.dt) == (6000, 10, 0.01)
    assert y is not None
    assert set(y) == set(range(8))
    for segment in (0, 31_415, 59_999):
        raw = channel[offsets[segment] : offsets[segment + 1]]
        mine = x.channel[x.offsets[segment] : x.offsets[segment + 1]]
        assert mine.tolist() == sorted(raw.tolist())


def test_real_timed_recordings_are_read() -> None:
    path = real_data("fsdd_cochlea_test.npz")
    how: dict[str, Any] = {"channel": "unit", "time": "time_100us", "time_unit": 1e-4}
    x, y = npz(path, **how, dt=20e-3, n_timesteps=60, input_shape=700)
    assert (len(x), x.n_inputs, x.n_timesteps) == (300, 700, 60)
    assert y is not None
    assert set(y) == set(range(10))
    with np.load(path) as file:
        first, last = file["offsets"][7:9]
        times, units = file["time_100us"][first:last], file["unit"][first:last]
    counts = np.zeros((60, 700))
    for t, unit in zip(times, units, strict=True):
        if t < 60 * 200:
            counts[t // 200, unit] += 1
    np.testing.assert_array_equal(x[7].to_dense()[:, 0], counts)
