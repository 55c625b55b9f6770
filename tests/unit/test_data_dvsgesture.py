"""DVS Gesture's files: packets of AEDAT 3.1, and the labelled intervals of each recording."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyasync.data import dvsgesture
from pyasync.errors import FileError, InputError

Event = tuple[int, int, int, int]  # x, y, polarity, microseconds
HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2016-08-24 12:34:56 (TZ+0200)\r\n#!END-HEADER\r\n"
)
COLUMNS = "class,startTime_usec,endTime_usec\n"


def polarity(events: list[Event], *, overflow: int = 0, valid: bool = True) -> bytes:
    """A packet of polarity events: little-endian words of valid bit, polarity, y, x; then time."""
    body = b"".join(
        struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t & 0x7FFF_FFFF)
        for x, y, p, t in events
    )
    return packet(1, 8, body, overflow=overflow, valid=len(events) * valid)


def packet(
    kind: int, size: int, body: bytes, *, overflow: int = 0, valid: int | None = None
) -> bytes:
    number = len(body) // size
    valid = number if valid is None else valid
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, number, number, valid) + body


def write(
    folder: Path, name: str, content: bytes, intervals: list[tuple[int, int, int]] | str
) -> Path:
    folder.mkdir(exist_ok=True)
    if not isinstance(intervals, str):
        intervals = COLUMNS + "".join(f"{k},{start},{end}\n" for k, start, end in intervals)
    (folder / f"{name}_labels.csv").write_text(intervals)
    file = folder / f"{name}.aedat"
    file.write_bytes(content)
    return file


def found(*args: Any, **kwargs: Any) -> list[list[list[int]]]:
    """[timestep, polarity, y, x] of the events of every sample."""
    x, _ = dvsgesture(*args, **kwargs)
    return [np.argwhere(sample.to_dense()[:, 0]).tolist() for sample in x]


def test_events_become_channels_and_timesteps_of_their_interval(tmp_path: Path) -> None:
    events = [(0, 0, 0, 999), (0, 0, 0, 1000), (127, 127, 1, 20_999), (64, 9, 1, 21_000)]
    late = [(1, 2, 1, 499_999), (1, 2, 1, 500_000), (20, 40, 0, 700_123), (5, 5, 0, 900_000)]
    content = HEADER + polarity(events) + polarity(late)
    write(tmp_path, "user03_led", content, [(1, 1000, 500_000), (11, 700_000, 900_000)])
    x, y = dvsgesture(tmp_path)
    assert (x.input_shape, x.n_timesteps, x.dt) == ((2, 32, 32), 75, 20e-3)
    assert y.dtype == np.int64
    assert y.tolist() == [0, 10]
    assert found(tmp_path) == [
        [[0, 0, 0, 0], [0, 1, 31, 31], [1, 1, 2, 16], [24, 1, 0, 0]],
        [[0, 0, 10, 5]],
    ]
    whole = found(tmp_path, size=128)
    assert whole[0] == [[0, 0, 0, 0], [0, 1, 127, 127], [1, 1, 9, 64], [24, 1, 2, 1]]


def test_pixels_that_become_one_are_counted_only_if_asked_for(tmp_path: Path) -> None:
    content = HEADER + polarity([(0, 0, 1, 5), (3, 3, 1, 6), (4, 0, 1, 7), (0, 0, 0, 8)])
    write(tmp_path, "user01_led", content, [(2, 0, 1000)])
    x, _ = dvsgesture(tmp_path)
    assert x.multiplicity is None
    counted, _ = dvsgesture(tmp_path, binary=False)
    assert counted.multiplicity is not None
    assert counted.multiplicity.tolist() == [1, 2, 1]
    assert x == counted.binary()
    assert dvsgesture(tmp_path, size=1, binary=False)[0].channel.tolist() == [0, 1]


def test_events_after_the_last_timestep_are_left_out(tmp_path: Path) -> None:
    at = [(1, 1, 0, 100 + t) for t in (0, 1_499_999, 1_500_000, 5_999_999, 6_000_000)]
    write(tmp_path, "user01_led", HEADER + polarity(at), [(2, 100, 6_000_100)])
    assert dvsgesture(tmp_path)[0].n_events == 2
    assert dvsgesture(tmp_path, n_timesteps=300)[0].n_events == 4
    assert dvsgesture(tmp_path, dt=1e-3, n_timesteps=6001)[0].n_events == 4


def test_invalid_events_and_packets_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    special, imu = packet(0, 8, bytes(24)), packet(3, 36, bytes(range(36)))
    content = HEADER + special + polarity([(8, 0, 0, 10)]) + imu + polarity([])
    content += polarity([(500, 500, 1, 20)], valid=False) + polarity([(12, 0, 0, 30)]) + special
    write(tmp_path, "user01_led", content, [(5, 0, 100)])
    assert found(tmp_path) == [[[0, 0, 0, 2], [0, 0, 0, 3]]]


def test_a_clock_of_31_bits_goes_round(tmp_path: Path) -> None:
    before = 2**31 - 10_000
    content = HEADER + polarity([(0, 0, 0, before)])
    content += polarity([(4, 0, 0, 10_000), (8, 0, 0, 2**31 - 1)], overflow=1)
    content += polarity([(12, 0, 0, 0)], overflow=2)
    write(tmp_path, "user01_led", content, [(1, before, 2**31 + 10_001), (2, 2**32 - 1, 2**32 + 1)])
    assert found(tmp_path) == [
        [[0, 0, 0, 0], [1, 0, 0, 1]],
        [[0, 0, 0, 2], [0, 0, 0, 3]],
    ]


def test_packets_and_labels_may_be_out_of_order_and_overlap(tmp_path: Path) -> None:
    first, second = [(0, 0, 0, 10_000), (4, 0, 0, 70_000)], [(8, 0, 0, 50_000)]
    labels = [(9, 40_000, 80_000), (1, 0, 60_000)]
    write(tmp_path, "user01_led", HEADER + polarity(first) + polarity(second), labels)
    expected = [[[0, 0, 0, 2], [1, 0, 0, 1]], [[0, 0, 0, 0], [2, 0, 0, 2]]]
    assert found(tmp_path) == expected
    write(tmp_path, "user01_led", HEADER + polarity(second) + polarity(first), labels)
    assert found(tmp_path) == expected
    assert dvsgesture(tmp_path)[1].tolist() == [8, 0]


def test_an_interval_without_events_is_a_silent_sample(tmp_path: Path) -> None:
    intervals = [(1, 0, 5), (2, 5, 10), (3, 10, 15)]
    write(tmp_path, "user01_led", HEADER + polarity([(1, 1, 1, 7)]), intervals)
    write(tmp_path, "user02_led", HEADER, [(4, 0, 5)])
    x, y = dvsgesture(tmp_path)
    assert [sample.n_events for sample in x] == [0, 1, 0, 0]
    assert y.tolist() == [0, 1, 2, 3]


def test_users_are_divided_as_the_authors_did(tmp_path: Path) -> None:
    for user in (29, 1, 23, 24):
        write(tmp_path, f"user{user:02}_lab", HEADER + polarity([(user, 0, 0, 1)]), [(1, 0, 9)])
    (tmp_path / "gesture_mapping.csv").write_text("action,label\nhand_clapping,1\n")
    assert [s[0][3] for s in found(tmp_path, "train", size=128)] == [1, 23]
    assert [s[0][3] for s in found(tmp_path, "test", size=128)] == [24, 29]


def test_the_lists_of_trials_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "DvsGesture"
    for user in (1, 2, 24):
        write(folder, f"user{user:02}_lab", HEADER + polarity([(user, 0, 0, 1)]), [(1, 0, 9)])
    (folder / "trials_to_train.txt").write_bytes(b"user24_lab.aedat\r\nuser02_lab.aedat\r\n\r\n")
    for path in (folder, tmp_path, str(tmp_path)):
        assert [s[0][3] for s in found(path, "train", size=128)] == [24, 2]
        assert [s[0][3] for s in found(path, "test", size=128)] == [24]
    (folder / "trials_to_test.txt").write_text("user07_lab.aedat\n")
    with pytest.raises(FileError, match=r"^path: got .*user07_lab_labels\.csv \(No such file"):
        dvsgesture(tmp_path, "test")
    (folder / "trials_to_test.txt").write_text("\n")
    with pytest.raises(FileError, match=r"without such files for 'test'"):
        dvsgesture(tmp_path, "test")


GOOD = HEADER + polarity([(1, 1, 0, 5), (2, 2, 1, 9)])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "that starts with b''"),
        (b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n", "that starts with b'#!AER-DAT2.0"),
        (b"PK\3\4" + bytes(100), "that starts with b'PK"),
        (HEADER[:40], "without b'#!END-HEADER'"),
        (HEADER.replace(b"#!END-HEADER\r\n", b"") + polarity([(1, 1, 0, 5)]), "without b'#!END"),
        (GOOD + bytes(27), "that ends within the header of a packet"),
        (GOOD[:-1], "that ends within a packet of 2 events"),
        (GOOD[: len(HEADER) + 28], "that ends within a packet of 2 events"),
        (GOOD + packet(1, 12, bytes(12)), "with a packet of 1 events of type 1 and 12 bytes"),
        (HEADER + b"\xff" * 60, "with a packet of -1 events of type -1 and -1 bytes"),
        (HEADER + polarity([(0, 0, 0, 1)], overflow=-1), "with a packet of 1 events"),
        (HEADER + polarity([(1, 1, 0, 5), (128, 3, 1, 9)]), "with an event at x=128, y=3, t=9"),
        (HEADER + polarity([(1, 200, 0, 5)]), "with an event at x=1, y=200, t=5"),
    ],
)
def test_a_cut_or_foreign_recording_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    write(tmp_path, "user01_led", content, [(1, 0, 9)])
    with pytest.raises(FileError, match=rf"^path: got .*user01_led\.aedat {says}.*; accepted: "):
        dvsgesture(tmp_path)


def test_no_cut_of_a_recording_passes_unnoticed(tmp_path: Path) -> None:
    packets = [polarity([(1, 1, 0, 5)]), packet(0, 8, bytes(8)), polarity([(2, 2, 1, 9)])]
    content = HEADER + b"".join(packets)
    whole = {len(HEADER) + len(b"".join(packets[:n])) for n in range(4)}
    for cut in range(len(content) + 1):
        write(tmp_path, "user01_led", content[:cut], [(1, 0, 100)])
        if cut in whole:
            dvsgesture(tmp_path)
        else:
            with pytest.raises(FileError, match=r"^path: got .*user01_led\.aedat"):
                dvsgesture(tmp_path)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("", "without a labelled interval"),
        (COLUMNS, "without a labelled interval"),
        (COLUMNS + "0,0,9\n", "with line 2, '0,0,9'"),
        (COLUMNS + "1,0,9\n12,9,20\n", "with line 3, '12,9,20'"),
        (COLUMNS + "1,9,9\n", "with line 2"),
        (COLUMNS + "1,-1,9\n", "with line 2"),
        (COLUMNS + "1,0\n", "with line 2"),
        (COLUMNS + "1,0,9,8\n", "with line 2"),
        (COLUMNS + "1,zero,9\n", "with line 2"),
        (COLUMNS + f"1,0,{2**63}\n", "with line 2"),
    ],
)
def test_bad_labels_are_named(labels: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, "user01_led", GOOD, labels)
    with pytest.raises(FileError, match=rf"^path: got .*user01_led_labels\.csv {says}"):
        dvsgesture(tmp_path)


def test_labels_may_come_with_or_without_names_of_columns(tmp_path: Path) -> None:
    windows = (COLUMNS + "3, 0, 10\n\n").replace("\n", "\r\n")
    for labels in (COLUMNS + "3,0,10\n", "3,0,10", windows):
        write(tmp_path, "user01_led", GOOD, labels)
        x, y = dvsgesture(tmp_path)
        assert (x.n_events, y.tolist()) == (2, [2])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^path: got .* without such files for 'train'"):
        dvsgesture(tmp_path)
    with pytest.raises(FileError, match=r"^path: got .*nowhere \(No such file"):
        dvsgesture(tmp_path / "nowhere")
    write(tmp_path, "user01_led", GOOD, COLUMNS)
    (tmp_path / "user01_led_labels.csv").unlink()
    with pytest.raises(FileError, match=r"^path: got .*user01_led_labels\.csv \(No such file"):
        dvsgesture(tmp_path)


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    write(tmp_path, "user01_led", GOOD, [(1, 0, 9)])
    for how, says in (
        ({"split": "all"}, "split: got 'all'"),
        ({"dt": -1.0}, "dt: got -1.0"),
        ({"n_timesteps": 1.5}, "n_timesteps: got 1.5"),
        ({"size": 0}, "size: got 0"),
        ({"size": 34}, "size: got 34; accepted: a divisor of 128"),
    ):
        arguments: dict[str, Any] = how
        with pytest.raises(InputError, match=f"^{says}"):
            dvsgesture(tmp_path, **arguments)


def test_a_list_of_trials_that_is_no_text_is_named(tmp_path: Path) -> None:
    for content in (b"user01_led.aedat\0\n", b"\xff\xfe"):
        (tmp_path / "trials_to_train.txt").write_bytes(content)
        with pytest.raises(FileError, match=r"^path: got .*no text"):
            dvsgesture(tmp_path)


def test_a_list_of_trials_with_what_is_no_file_is_named(tmp_path: Path) -> None:
    for line in ("/", "..", "."):
        (tmp_path / "trials_to_train.txt").write_text(line)
        with pytest.raises(FileError, match=r"^path: got .*_labels\.csv"):
            dvsgesture(tmp_path)


@pytest.mark.parametrize("count", [2**28 + 1, 2**62, 2**64 - 1])
def test_more_timesteps_than_memory_holds_are_refused(tmp_path: Path, count: int) -> None:
    write(tmp_path, "user01_led", HEADER + polarity([(0, 0, 0, 5)]), [(1, 0, 10)])
    with pytest.raises(InputError, match=rf"^n_timesteps: got {count} timesteps for each of 1"):
        dvsgesture(tmp_path, n_timesteps=count)


def test_timesteps_are_too_many_in_all_before_a_recording_is_read(tmp_path: Path) -> None:
    count = 2**27 + 1
    for user in ("user01_led", "user02_led"):
        write(tmp_path, user, b"", [(1, 0, 9)])
    with pytest.raises(InputError, match=rf"^n_timesteps: got {count} timesteps for each of 2"):
        dvsgesture(tmp_path, n_timesteps=count)
