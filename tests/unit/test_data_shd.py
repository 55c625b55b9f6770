"""SHD's files: HDF5 with half-precision times, units and a class for each sample."""

from __future__ import annotations

import gzip
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyasync.data import shd
from pyasync.errors import FileError, InputError, MissingDependencyError

h5py = pytest.importorskip("h5py", reason="SHD is read with h5py, which is not installed")

Sample = tuple[list[float], list[int], int]  # seconds, units, class
TWO: list[Sample] = [([0.004, 0.012, 0.5], [3, 699, 0], 13), ([0.25], [350], 0)]


def write(
    folder: Path, samples: list[Sample], split: str = "train", times_as: str = "f2", **change: Any
) -> Path:
    """Write a file in the layout of SHD's own `shd_train.h5`, version 1.0."""
    file = folder / f"shd_{split}.h5"
    arrays = {
        "spikes/times": ([np.array(t, times_as) for t, _, _ in samples], times_as),
        "spikes/units": ([np.array(u, "u2") for _, u, _ in samples], "u2"),
    }
    with h5py.File(file, "w") as content:
        for name, (lists, kind) in arrays.items():
            if name not in change:
                stored = content.create_dataset(name, len(lists), h5py.vlen_dtype(kind))
                for sample, values in enumerate(lists):
                    stored[sample] = values
        if "labels" not in change:
            content["labels"] = np.array([label for _, _, label in samples], "u2")
        content["extra/speaker"] = np.zeros(len(samples), "u2")
        content["extra/keys"] = np.array([b"zero", b"one"])
        for name, array in change.items():
            if array is not None:
                content[name] = array
    return file


def test_spikes_become_channels_and_timesteps(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    x, y = shd(tmp_path)
    assert (x.input_shape, x.n_timesteps, x.dt) == ((700,), 100, 10e-3)
    assert y.dtype == np.int64
    assert y.tolist() == [13, 0]
    found = [np.argwhere(sample.to_dense(int)[:, 0]).tolist() for sample in x]
    assert found == [[[0, 3], [1, 699], [50, 0]], [[25, 350]]]


def test_no_time_of_half_precision_loses_its_timestep(tmp_path: Path) -> None:
    halves = np.arange(np.array(1.4, "f2").view("u2") + 1, dtype="u2").view("f2")
    write(tmp_path, [(halves.tolist(), [0] * halves.size, 0)])
    for dt in ("0.01", "0.001", "0.005", "0.002", "0.014", "0.0005"):
        x, _ = shd(tmp_path, dt=float(dt), n_timesteps=2900, binary=False)
        exact = [Fraction(float(t)) // Fraction(dt) for t in halves]
        expected = np.bincount(np.array(exact, int), minlength=2900)
        np.testing.assert_array_equal(x.to_dense(int)[:, 0, 0], expected)


def test_times_of_any_precision_are_read(tmp_path: Path) -> None:
    for times_as in ("f2", "f4", "f8"):
        write(tmp_path, [([0.25, 0.75], [1, 2], 0)], times_as=times_as)
        assert np.argwhere(shd(tmp_path)[0].to_dense()[:, 0]).tolist() == [[25, 1], [75, 2]]


def test_spikes_after_the_last_timestep_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, [([0.99, 1.0, 1.3], [1, 2, 3], 0)])
    assert shd(tmp_path)[0].n_events == 1
    assert shd(tmp_path, n_timesteps=140)[0].n_events == 3
    assert shd(tmp_path, dt=20e-3, n_timesteps=51)[0].n_events == 2


def test_neighbouring_units_share_a_channel(tmp_path: Path) -> None:
    write(tmp_path, [([0.0, 0.001, 0.002, 0.003], [0, 4, 5, 699], 0)])
    x, _ = shd(tmp_path, channels=140)
    assert x.input_shape == (140,)
    assert x.channel.tolist() == [0, 1, 139]
    counted, _ = shd(tmp_path, channels=140, binary=False)
    assert counted.multiplicity is not None
    assert counted.multiplicity.tolist() == [2, 1, 1]


def test_spikes_of_a_sample_may_come_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    x, _ = shd(tmp_path)
    write(tmp_path, [(t[::-1], u[::-1], label) for t, u, label in TWO])
    assert shd(tmp_path)[0] == x


def test_silent_samples_keep_their_place(tmp_path: Path) -> None:
    write(tmp_path, [([], [], 1), ([0.1], [5], 2), ([], [], 3)])
    x, y = shd(tmp_path)
    assert [sample.n_events for sample in x] == [0, 1, 0]
    assert y.tolist() == [1, 2, 3]


def test_more_samples_than_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples: list[Sample] = [([0.01 * s] * s, [s] * s, s % 20) for s in range(7)]
    write(tmp_path, samples)
    together = shd(tmp_path)
    monkeypatch.setattr(sys.modules["pyasync.data.shd"], "_SAMPLES_AT_ONCE", 3)
    x, y = shd(tmp_path)
    assert x == together[0]
    assert y.tolist() == together[1].tolist() == list(range(7))
    assert [sample.channel.tolist() for sample in x] == [[], *([s] for s in range(1, 7))]
    write(tmp_path, [*samples, ([0.125, 0.125], [3, 700], 0)])
    with pytest.raises(FileError, match=r"sample 7 with unit 700 at 0\.125 s"):
        shd(tmp_path)


def test_the_gzipped_files_are_read_as_they_are_distributed(tmp_path: Path) -> None:
    plain = write(tmp_path, TWO, "test")
    x, y = shd(tmp_path, "test")
    packed = tmp_path / "shd_test.h5.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    for path in (tmp_path, packed, str(packed)):
        x_packed, y_packed = shd(path, "test")
        assert x_packed == x
        assert y_packed.tolist() == y.tolist()
    packed.write_bytes(packed.read_bytes()[:-500])
    with pytest.raises(FileError, match=r"^path: got .*shd_test\.h5\.gz \(.*; accepted: a whole"):
        shd(packed, "test")
    packed.write_bytes(b"not gzip at all")
    with pytest.raises(FileError, match=r"^path: got .*shd_test\.h5\.gz \(.*; accepted: a whole"):
        shd(tmp_path, "test")


def test_a_file_is_read_only_as_the_split_that_it_is(tmp_path: Path) -> None:
    file = write(tmp_path, TWO, "test")
    assert shd(file, "test")[0] == shd(tmp_path, "test")[0]
    with pytest.raises(InputError, match=r"^split: got 'train'; accepted: 'test', which .* is$"):
        shd(file)
    mine = file.rename(tmp_path / "mine.h5")
    assert shd(mine)[0] == shd(mine, "test")[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": None}, r"without a list labels"),
        ({"labels": np.zeros((2, 1), int)}, r"without a list labels"),
        ({"labels": [0.5, 1.5]}, r"with labels of float64"),
        ({"labels": [0]}, r"with 2 times, 2 units and 1 labels"),
        ({"spikes/times": None}, r"without a list spikes/times"),
        ({"spikes/units": [1, 2]}, r"with spikes/units of int64"),
        ({"spikes/times": None, "spikes/units": None, "spikes": [1]}, r"without a list spikes"),
    ],
)
def test_a_file_of_another_layout_is_named(change: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path, TWO, **change)
    with pytest.raises(FileError, match=rf"^path: got .*shd_train\.h5 {says}.*; accepted: "):
        shd(tmp_path)


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (([0.1, 0.2], [1], 0), r"sample 2 with 2 times and 1 units"),
        (([0.1], [700], 0), r"sample 2 with unit 700 at 0.0999"),
        (([-0.125], [7], 0), r"sample 2 with unit 7 at -0.125 s"),
        (([np.nan], [7], 0), r"sample 2 with unit 7 at nan s"),
        (([0.1, np.inf], [7, 8], 0), r"sample 2 with unit 8 at inf s"),
    ],
)
def test_an_invalid_sample_is_named(sample: Sample, says: str, tmp_path: Path) -> None:
    write(tmp_path, [*TWO, sample])
    with pytest.raises(FileError, match=rf"^path: got .*shd_train\.h5, {says}"):
        shd(tmp_path)


def test_what_is_no_whole_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, TWO)
    content = file.read_bytes()
    for cut in (0, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:cut])
        with pytest.raises(FileError, match=r"^path: got .*shd_train\.h5 \(.*; accepted: a whole"):
            shd(tmp_path)
    write(tmp_path, [])
    with pytest.raises(FileError, match=r"with 0 times, 0 units and 0 labels"):
        shd(tmp_path)
    with pytest.raises(FileError, match=r"^path: got .* without such a file"):
        shd(tmp_path, "test")
    with pytest.raises(FileError, match=r"^path: got .*No such file"):
        shd(tmp_path / "nowhere")


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    for how, says in (
        ({"split": "valid"}, "split: got 'valid'"),
        ({"dt": 0}, "dt: got 0"),
        ({"n_timesteps": 0}, "n_timesteps: got 0"),
        ({"channels": 0}, "channels: got 0"),
        ({"channels": 128}, "channels: got 128; accepted: a divisor of 700"),
    ):
        arguments: dict[str, Any] = how
        with pytest.raises(InputError, match=f"^{says}"):
            shd(tmp_path, **arguments)


def test_without_h5py_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, TWO)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"pip install h5py"):
        shd(tmp_path)


@pytest.mark.parametrize("count", [2**28 + 1, 2**62, 2**64 - 1])
def test_more_timesteps_than_memory_holds_are_refused(tmp_path: Path, count: int) -> None:
    write(tmp_path, [([0.1], [5], 2)])
    with pytest.raises(InputError, match=rf"^n_timesteps: got {count} timesteps for each of 1"):
        shd(tmp_path, n_timesteps=count)


def test_timesteps_are_too_many_in_all_before_a_sample_is_read(tmp_path: Path) -> None:
    count = 2**28 // 1001 + 1
    outside: list[Sample] = [([0.1], [700], 2)]
    write(tmp_path, outside * 1001)
    with pytest.raises(InputError, match=rf"^n_timesteps: got {count} timesteps for each of 1001"):
        shd(tmp_path, n_timesteps=count)


def test_a_small_file_that_says_that_it_has_many_samples_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 3 * 10**8
    with h5py.File(tmp_path / "shd_train.h5", "w") as content:
        # Of what was never written, a file holds nothing.
        for name, kind in (("times", "f2"), ("units", "u2")):
            content.create_dataset(f"spikes/{name}", many, h5py.vlen_dtype(kind), chunks=1000)
        content.create_dataset("labels", many, "u1", chunks=10**6)
    assert (tmp_path / "shd_train.h5").stat().st_size < 10_000
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=rf"^n_timesteps: got 100 timesteps for each of {many}"):
        shd(tmp_path)
