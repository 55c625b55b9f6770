"""Trace and network files that are truncated, altered or of another kind are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.errors import FileError, PyasyncError, ReplayError, TraceError

X = np.ones((2, 2, 3))


def network(seed: int = 0, width: int = 5) -> pa.Network:
    weight = np.random.default_rng(seed).normal(0.5, 0.5, (width, 3))
    return pa.Network.sequential(
        [pa.Linear(weight), pa.Linear(np.ones((2, width)))], neuron=pa.LIF(v_threshold=0.4)
    )


def trace(net: pa.Network | None = None) -> pa.Trace:
    recorded = pa.simulate(net or network(), X, pa.Random(2), dt=0.01, record=True).trace
    assert recorded is not None
    return recorded


def test_a_trace_cut_anywhere_is_refused() -> None:
    whole = trace().to_bytes()
    for length in range(len(whole)):
        with pytest.raises(TraceError):
            pa.Trace.from_bytes(whole[:length])


def test_a_trace_with_any_byte_altered_is_refused() -> None:
    whole = trace().to_bytes()
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            altered = bytearray(whole)
            altered[at] ^= flip
            with pytest.raises(TraceError):
                pa.Trace.from_bytes(bytes(altered))


def test_a_trace_with_more_behind_it_is_refused() -> None:
    with pytest.raises(TraceError):
        pa.Trace.from_bytes(trace().to_bytes() + b"\0")


def test_a_trace_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.trace"
    whole = trace().to_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceError, match="accepted"):
            pa.Trace.load(path)


@pytest.mark.parametrize(
    "foreign",
    [b"", b"\0" * 64, b"PK\x03\x04" + b"\0" * 60, b'{"n_neurons": 3}', b"\x93NUMPY\x01\x00"],
)
def test_a_foreign_file_is_neither_trace_nor_network(foreign: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(foreign)
    with pytest.raises(TraceError, match="accepted"):
        pa.Trace.load(path)
    with pytest.raises(FileError, match="accepted"):
        pa.Network.load(path)


def test_a_network_file_is_no_trace_and_a_trace_no_network(tmp_path: Path) -> None:
    network().save(tmp_path / "n.safetensors")
    trace().save(tmp_path / "t.trace")
    with pytest.raises(TraceError):
        pa.Trace.load(tmp_path / "n.safetensors")
    with pytest.raises(FileError):
        pa.Network.load(tmp_path / "t.trace")


def header_length(whole: bytes) -> int:
    return 8 + int.from_bytes(whole[:8], "little")


def test_a_network_file_cut_anywhere_in_its_header_is_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in [*range(header_length(whole) + 1), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="accepted"):
            pa.Network.load(path)


def test_a_network_file_with_an_altered_header_is_refused_or_unchanged(tmp_path: Path) -> None:
    """A named error, or a network if the change was to a name; never another exception."""
    network().save(tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "altered.safetensors"
    refused = 0
    for at in range(header_length(whole)):
        altered = bytearray(whole)
        altered[at] ^= 0x04
        path.write_bytes(bytes(altered))
        try:
            pa.Network.load(path)
        except PyasyncError:
            refused += 1
    assert refused > header_length(whole) // 2


def test_safetensors_of_another_maker_is_refused(tmp_path: Path) -> None:
    header = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (tmp_path / "other.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 4
    )
    with pytest.raises(FileError, match="accepted"):
        pa.Network.load(tmp_path / "other.safetensors")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    for load in (pa.Trace.load, pa.Network.load):
        with pytest.raises(PyasyncError, match="absent"):
            load(tmp_path / "absent")
    for save in (trace().save, network().save):
        with pytest.raises(FileError, match="folder"):
            save(tmp_path / "no" / "folder" / "file")


@pytest.mark.parametrize("path", [None, 3, b"file", ["file"], np.array(["file"]), "a\0file"])
@pytest.mark.parametrize(
    "call",
    [
        pa.Trace.load,
        pa.Network.load,
        pa.SpikeBatch.load,
        pa.data.npz,
        pa.data.nmnist,
        pa.data.shd,
        pa.data.dvsgesture,
        pa.study.Recipe.from_toml,
        lambda path: trace().save(path),
        lambda path: network().save(path),
        lambda path: pa.SpikeBatch.from_dense(X).save(path),
    ],
)
def test_what_is_no_path_is_named(call: Callable[[Any], Any], path: Any) -> None:
    with pytest.raises(FileError, match=r"^path: got .*; accepted: a path"):
        call(path)


def test_a_trace_of_another_network_is_refused() -> None:
    recorded, other = trace(), network(width=6)
    with pytest.raises(TraceError, match="another network"):
        recorded.validate(other)
    with pytest.raises(TraceError, match="another network"):
        pa.simulate(other, X, pa.Replay(recorded), dt=0.01)


def test_replay_refuses_other_input_weights_and_sizes() -> None:
    recorded, net = trace(), network()
    with pytest.raises(ReplayError, match=r"sample 0.*timestep 0"):
        pa.simulate(net, X * 0, pa.Replay(recorded), dt=0.01)
    with pytest.raises(ReplayError, match=r"sample \d.*timestep \d"):
        pa.simulate(network(seed=1), X, pa.Replay(recorded), dt=0.01)
    for x in (X[:1], X[:, :1], np.concatenate([X, X], 1)):
        with pytest.raises(PyasyncError, match="accepted"):
            pa.simulate(net, x, pa.Replay(recorded), dt=0.01)
