"""N-MNIST's files: 5-byte events, in one directory per digit."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from realdata import real_data

from pyasync.data import nmnist
from pyasync.errors import FileError, InputError

Event = tuple[int, int, int, int]  # x, y, polarity, microseconds


def write(folder: Path, split: str, digit: int, name: str, events: list[Event]) -> Path:
    file = folder / split / str(digit) / f"{name}.bin"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [(x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255) for x, y, p, t in events]
    file.write_bytes(bytes(sum(rows, ())))
    return file


def test_events_become_channels_and_timesteps(tmp_path: Path) -> None:
    write(tmp_path, "train", 3, "00007", [(0, 0, 0, 0), (33, 33, 1, 9_999), (5, 2, 1, 10_000)])
    x, y = nmnist(tmp_path)
    assert (x.input_shape, x.n_timesteps, x.dt, y.tolist()) == ((2, 34, 34), 10, 10e-3, [3])
    dense = x.to_dense(int)[:, 0]
    assert sorted(map(tuple, np.argwhere(dense).tolist())) == [
        (0, 0, 0, 0),
        (0, 1, 33, 33),
        (1, 1, 2, 5),
    ]


def test_events_after_the_last_timestep_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "test", 0, "1", [(1, 1, 0, 99_999), (2, 2, 0, 100_000), (3, 3, 0, 310_000)])
    assert nmnist(tmp_path, "test")[0].n_events == 1
    assert nmnist(tmp_path, "test", n_timesteps=32)[0].n_events == 3
    assert nmnist(tmp_path, "test", dt=1e-3, n_timesteps=101)[0].n_events == 2


def test_repeated_events_count_only_if_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "train", 0, "1", [(1, 1, 0, 5), (1, 1, 0, 7), (1, 1, 1, 9)])
    assert nmnist(tmp_path)[0].multiplicity is None
    counted, _ = nmnist(tmp_path, binary=False)
    assert counted.multiplicity is not None
    np.testing.assert_array_equal(counted.multiplicity, [2, 1])


def test_samples_follow_their_file_names_whatever_their_digit(tmp_path: Path) -> None:
    for digit, name in ((9, "00003"), (1, "00001"), (4, "00002")):
        write(tmp_path, "Train", digit, name, [(digit, 0, 0, 0)])
    x, y = nmnist(tmp_path, "train")
    assert y.tolist() == x.channel.tolist() == [1, 4, 9]


def test_a_clock_that_went_round_moves_the_later_events_of_that_file_alone(tmp_path: Path) -> None:
    round_event = (0, 240, 0, 0)
    events = [(1, 0, 0, 8_000), round_event, (2, 0, 0, 8_000), round_event, (3, 0, 0, 8_000)]
    write(tmp_path, "train", 0, "1", events)
    write(tmp_path, "train", 0, "2", [(4, 0, 0, 8_000)])
    x, _ = nmnist(tmp_path)
    assert [np.argwhere(sample.to_dense()[:, 0])[:, [0, 3]].tolist() for sample in x] == [
        [[0, 1], [1, 2], [2, 3]],
        [[0, 4]],
    ]


def test_a_recording_without_events_is_a_silent_sample(tmp_path: Path) -> None:
    for name, events in (("1", []), ("2", [(1, 1, 1, 1)]), ("3", [])):
        write(tmp_path, "train", 0, name, events)
    x, _ = nmnist(tmp_path)
    assert [sample.n_events for sample in x] == [0, 1, 0]


def test_more_files_than_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(7):
        write(tmp_path, "train", k, str(k), [(x, k, 0, 10_000 * k) for x in range(k)])
    together = nmnist(tmp_path)
    monkeypatch.setattr(sys.modules["pyasync.data.nmnist"], "_FILES_AT_ONCE", 3)
    x, y = nmnist(tmp_path)
    assert x == together[0]
    assert y.tolist() == together[1].tolist() == list(range(7))
    assert [sample.n_events for sample in x] == list(range(7))
    write(tmp_path, "train", 7, "7", [(0, 40, 0, 0)])
    with pytest.raises(FileError, match=r"7\.bin with an event at x=0, y=40"):
        nmnist(tmp_path)


def test_bad_files_are_named(tmp_path: Path) -> None:
    good = write(tmp_path, "train", 0, "1", [(1, 1, 0, 5)])
    cut = tmp_path / "train" / "0" / "2.bin"
    cut.write_bytes(good.read_bytes() + b"\0\0")
    with pytest.raises(FileError, match=r"^path: got .*2\.bin of 7 bytes"):
        nmnist(tmp_path)
    write(tmp_path, "train", 0, "2", [(1, 1, 0, 5), (34, 1, 0, 6)])
    with pytest.raises(FileError, match=r"^path: got .*2\.bin with an event at x=34, y=1"):
        nmnist(tmp_path)
    with pytest.raises(FileError, match=r"^path: got .* without such files"):
        nmnist(tmp_path, "test")
    with pytest.raises(FileError, match=r"^path: got .*No such file"):
        nmnist(tmp_path / "nowhere")


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^split: got 'all'"):
        nmnist(tmp_path, "all")
    with pytest.raises(InputError, match=r"^dt: got 0"):
        nmnist(tmp_path, dt=0)
    with pytest.raises(InputError, match=r"^n_timesteps: got 0"):
        nmnist(tmp_path, n_timesteps=0)


@pytest.mark.parametrize("count", [2**28 + 1, 2**62, 2**64 - 1])
def test_more_timesteps_than_memory_holds_are_refused(tmp_path: Path, count: int) -> None:
    write(tmp_path, "train", 3, "1.bin", [(0, 0, 0, 0)])
    with pytest.raises(InputError, match=rf"^n_timesteps: got {count} timesteps for each of 1"):
        nmnist(tmp_path, n_timesteps=count)


def test_real_recordings_are_read_event_for_event(tmp_path: Path) -> None:
    with tarfile.open(real_data("nmnist_raw_200.tar.gz")) as archive:
        archive.extractall(tmp_path)
    for split in ("train", "test"):
        x, y = nmnist(tmp_path, split)
        assert len(x) == 100
        assert set(y) == set(range(10))
        files = sorted((tmp_path / split).glob("*/*.bin"), key=lambda file: file.name)
        for sample in (0, 42, 99):
            raw = files[sample].read_bytes()
            spikes = set()
            for at in range(0, len(raw), 5):
                t = (raw[at + 2] & 0x7F) * 65_536 + raw[at + 3] * 256 + raw[at + 4]
                if t < 100_000:
                    spikes.add((t // 10_000, raw[at + 2] >> 7, raw[at + 1], raw[at]))
            found = np.argwhere(x[sample].to_dense()[:, 0])
            assert set(map(tuple, found.tolist())) == spikes
            assert y[sample] == int(files[sample].parent.name)
