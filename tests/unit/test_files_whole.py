"""Files are written whole or not at all, whatever writes them."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa

NETWORK = pa.Network.sequential([pa.Linear(np.ones((40, 30)))], pa.LIF(v_threshold=0.3))
X = pa.SpikeBatch.from_dense(np.tile(np.eye(30), (10, 1, 1)), dt=10e-3)
TRACE = pa.simulate(NETWORK, X, pa.Random(4), record=True).trace

Save = Callable[[Path], None]
WRITERS = pytest.mark.parametrize(
    ("name", "save", "load"),
    [
        ("network.safetensors", NETWORK.save, pa.Network.load),
        ("trace.pytrace", TRACE.save, pa.Trace.load),
        ("batch.npz", X.save, pa.SpikeBatch.load),
    ],
    ids=["network", "trace", "batch"],
)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Simulate a full disk: no file may grow beyond `size` bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@WRITERS
def test_a_file_that_does_not_fit_leaves_the_one_before(
    name: str, save: Save, load: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    save(path)
    before = path.read_bytes()
    with largest_file(100), pytest.raises(pa.FileError, match=r"^path: got .*too large.*writable"):
        save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [name]
    load(path)


@WRITERS
def test_a_link_goes_on_leading_to_its_file(
    name: str, save: Save, load: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    link, file = tmp_path / "here" / name, tmp_path / name
    link.symlink_to(file)
    for _ in ("to a file that is made", "to one that is there"):
        save(link)
        assert link.is_symlink()
        assert file.is_file()
        load(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@WRITERS
def test_a_pipe_is_written_to_and_stays_one(
    name: str, save: Save, load: Callable[[Path], object], tmp_path: Path
) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / name
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        reader = threading.Thread(target=lambda: file.write_bytes(pipe.read_bytes()))
        reader.start()
        save(path)
        reader.join()
        assert stat.S_ISFIFO(path.stat().st_mode)
        load(file)
    assert link.is_symlink()
