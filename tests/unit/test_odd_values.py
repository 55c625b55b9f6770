"""Arrays of every dtype and layout are read correctly, or refused by name."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyasync as pa

CHAIN = pa.Network.sequential([pa.Linear(np.eye(2) * 2), pa.Linear(np.ones((1, 2)))])


def recorded() -> pa.Trace:
    trace = pa.simulate(CHAIN, np.ones((1, 2, 2)), pa.Fifo(1), dt=1e-3, record=True).trace
    assert trace is not None
    return trace


@pytest.mark.parametrize("kind", ["i2", "u2", "i8", "u8", ">u8", "<u4"])
def test_events_of_any_integer_type_fall_into_their_timesteps(kind: str) -> None:
    events = np.zeros(3, [("t", kind), ("x", kind)])
    events["t"], events["x"] = [0, 1000, 2000], [0, 1, 2]
    batch = pa.SpikeBatch.from_events([events], (3, 1, 1), dt=1e-3, n_timesteps=3)
    np.testing.assert_array_equal(batch.to_dense(int)[:, 0], np.eye(3))


def test_recordings_of_different_integer_types_go_together() -> None:
    one, other = (np.zeros(2, [("t", kind), ("x", "i4")]) for kind in ("i8", "u8"))
    one["t"] = other["t"] = [1000, 3000]
    batch = pa.SpikeBatch.from_events([one, other], (1, 1, 1), dt=1e-3)
    assert batch[0] == batch[1]


def test_a_multiplicity_stays_with_its_event(tmp_path: Path) -> None:
    file, events = tmp_path / "timed.npz", {"channel": [3, 0, 1, 2], "ms": [7, 0, 2, 90]}
    np.savez(file, **events, offsets=[0, 4], multiplicity=[30.0, 0.5, 10.0, 20.0])
    how = {"time": "ms", "time_unit": 1e-3, "dt": 1e-3, "input_shape": 4, "n_timesteps": 10}
    batch, _ = pa.data.npz(file, **how)
    assert dict(zip(batch.channel, batch.multiplicity, strict=True)) == {3: 30, 0: 0.5, 1: 10}
    np.savez(file, **events, offsets=[0, 4], multiplicity=[1.0, 2.0])
    with pytest.raises(pa.FileError, match="multiplicity: got 2 of them"):
        pa.data.npz(file, **how)


def test_one_number_as_an_array_is_a_number(tmp_path: Path) -> None:
    assert pa.SpikeBatch([0], [0, 1], 1, np.array(4)).input_shape == (4,)
    events = {"channel": [3, 0, 1], "offsets": [0, 2, 3], "n_timesteps": 1, "dt": 1e-3}
    np.savez(tmp_path / "a.npz", **events, input_shape=4)
    assert pa.data.npz(tmp_path / "a.npz")[0].input_shape == (4,)
    np.savez(tmp_path / "b.npz", **events, n_inputs=4.5)
    with pytest.raises(pa.FileError, match=r"n_inputs: got 4\.5"):
        pa.data.npz(tmp_path / "b.npz")
    with pytest.raises(pa.InputError, match=r"^n_timesteps: got 'x'"):
        pa.data.npz(tmp_path / "a.npz", n_timesteps="x")  # type: ignore[arg-type]


def test_any_bit_of_an_npz_header_may_be_wrong(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, channel=np.arange(100) % 7, offsets=[0, 100], n_timesteps=1, n_inputs=7)
    whole = file.read_bytes()
    start = whole.index(b"\x93NUMPY")
    for bit in range(8 * 128):
        altered = bytearray(whole)
        altered[start + bit // 8] ^= 1 << bit % 8
        file.write_bytes(altered)
        with pytest.raises(pa.FileError, match=r"^path: got"):
            pa.data.npz(file)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint64])
def test_a_callable_may_pick_by_indices_of_any_integer_type(dtype: Any) -> None:
    def run(pick: Callable[..., Any]) -> Any:
        return pa.simulate(CHAIN, np.ones((1, 2, 2)), pa.Custom(1, pick), dt=1e-3, record=True)

    first = run(lambda pending, n, rng: np.arange(n, dtype=dtype))
    assert first.trace == run(lambda pending, n, rng: list(range(n))).trace
    last = 2**62 if np.dtype(dtype).itemsize < 8 else 2**64 - 1
    with pytest.raises(pa.ScheduleError, match="pick: got"):
        run(lambda pending, n, rng: np.array([min(last, np.iinfo(dtype).max)], dtype))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_callable_that_is_interrupted_ends_the_samples_of_all_threads(error: type) -> None:
    network = pa.Network(1)
    network.add("a", 1, pa.LIF(v_threshold=0.1, refractory="none"))
    for source in ("input", "a"):  # activity then goes on without end
        network.connect(source, "a", pa.Linear([[1.0]]))
    calls = after = 0

    def pick(pending: Any, n: int, rng: Any) -> Any:
        nonlocal calls, after
        calls += 1
        if calls == 50:
            raise error
        after += calls > 50
        time.sleep(1e-3)  # lets the other thread run
        return range(n)

    x, how = np.ones((1, 2, 1)), {"dt": 1e-3, "threads": 2, "max_forward_steps": 1000}
    with pytest.raises(error):
        pa.simulate(network, x, pa.Custom(1, pick), **how)
    assert after < 50


def saved(tmp_path: Path) -> tuple[Path, bytes]:
    file = tmp_path / "net.safetensors"
    pa.Network.sequential([pa.Linear(np.ones((4, 3)))]).save(file)
    return file, file.read_bytes()


def test_a_network_file_altered_in_its_header_is_refused(tmp_path: Path) -> None:
    file, whole = saved(tmp_path)
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    wrong: list[Any] = [",loat32", "\udc80", 3, ["f"]]
    for dtype in wrong:
        inner = json.loads(header["__metadata__"]["pyasync"])
        inner["dtype"] = dtype
        rewritten(file, whole, {**header, "__metadata__": {"pyasync": json.dumps(inner)}})
        with pytest.raises(pa.FileError, match=r"^path: got"):
            pa.Network.load(file)
    rewritten(file, whole, {**header, "__metadata__": {"pyasync": "[" * 200_000}})
    with pytest.raises(pa.FileError, match=r"^path: got"):
        pa.Network.load(file)
    at = whole.index(b'"shape":[1]')
    file.write_bytes(whole[: at + 9] + b" " + whole[at + 10 :])
    with pytest.raises(pa.FileError, match=r"^path: got"):
        pa.Network.load(file)


def rewritten(file: Path, whole: bytes, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = whole[8 + struct.unpack("<Q", whole[:8])[0] :]
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("weight", [-0.5, np.linspace(-1, 1, 4), np.float32(0.25)])
def test_a_one_to_one_projection_comes_back_from_its_file(weight: Any, tmp_path: Path) -> None:
    network = pa.Network(3)
    network.add("a", 4)
    network.connect("input", "a", pa.Linear(np.ones((4, 3))))
    network.connect("a", "a", pa.OneToOne(weight))
    network.save(tmp_path / "net.safetensors")
    back = pa.Network.load(tmp_path / "net.safetensors").projections[1].projection
    assert isinstance(back, pa.OneToOne)
    np.testing.assert_array_equal(back.weight, weight, strict=True)


def test_deliveries_of_a_trace_that_no_run_recorded_are_refused() -> None:
    trace = recorded()
    columns = trace.to_steps()
    for arrival in (4, 1000):  # a spike of the other sample, and one that does not exist
        emitted = columns.emitted.copy()
        emitted[0] = arrival
        wrong = pa.Trace.from_steps(columns._replace(emitted=emitted), trace)
        with pytest.raises(pa.TraceError):
            wrong.to_deliveries()


def test_a_replay_refuses_spikes_that_are_emitted_with_the_input() -> None:
    x = np.ones((1, 1, 2))
    trace = pa.simulate(CHAIN, x, pa.Layered(), dt=1e-3, record=True).trace
    assert trace is not None
    columns = trace.to_steps()
    steps = columns.steps.copy()
    steps["n_emitted"][:2] = 1, 1
    wrong = pa.Trace.from_steps(columns._replace(steps=steps), trace)
    with pytest.raises(pa.ReplayError, match="step 0: in the trace spikes are emitted"):
        pa.simulate(CHAIN, x, pa.Replay(wrong), dt=1e-3)


@pytest.mark.parametrize("value", [-1, 2**32, 1.5])
@pytest.mark.parametrize(
    ("table", "column"),
    [("steps", "n_fired"), ("endings", "ending"), ("fired", "neuron"), ("joined", "channel")],
)
def test_numbers_that_a_trace_cannot_hold_are_named(table: str, column: str, value: Any) -> None:
    scheduled = pa.simulate(
        CHAIN, np.ones((1, 2, 2)), pa.Fifo(1), dt=1e-3, record=True, input_mode="scheduled"
    ).trace
    assert scheduled is not None
    columns = scheduled.to_steps()
    rows = getattr(columns, table)
    names = rows.dtype.names
    wide = rows.astype([(name, "f8" if value == 1.5 else "i8") for name in names])
    wide[column][0] = value
    with pytest.raises(pa.TraceError, match=rf"^({'|'.join(names)}): got"):
        pa.Trace.from_steps(columns._replace(**{table: wide}), scheduled)


@pytest.mark.parametrize("index", [None, [[0]], 2**63, 1.5, "a", [2**70], 7, -3, [0, 9]])
def test_positions_that_are_none_are_named(index: Any) -> None:
    with pytest.raises(pa.ArgumentError, match=r"^index: got"):
        recorded()[index]


def test_a_trace_is_a_sequence_of_traces_of_one_sample_each() -> None:
    trace = recorded()
    assert [each == trace[sample] for sample, each in enumerate(trace)] == [True] * len(trace)
    assert pa.Trace.concatenate(trace) == trace


def test_traces_are_joined_from_anything_that_gives_them() -> None:
    trace = recorded()
    assert pa.Trace.concatenate(each for each in [trace, trace]) == pa.Trace.concatenate(
        [trace] * 2
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: pa.LIF(tau_mem=[1, [2]]),  # type: ignore[list-item]
        lambda: pa.Sparse(([0, [1]], [0], [1.0]), (1, 1)),
        lambda: pa.Sparse(([0, 1], [[0], 1], [1.0]), (1, 1)),
        lambda: pa.Network(3, dtype=",loat32"),
    ],
)
def test_ragged_lists_are_named(make: Callable[[], Any]) -> None:
    with pytest.raises(pa.NetworkError, match=r"^(tau_mem|indptr|indices|dtype): got"):
        make()


def test_inputs_are_rounded_once() -> None:
    network = pa.Network.sequential(
        [pa.Linear(np.ones((1, 1), np.float32))], pa.LIF(v_threshold=3e38)
    )
    long = np.longdouble(1) + np.longdouble(2) ** -24 + np.longdouble(2) ** -60
    for value in (np.array(long), np.array(2**60 + 2**36 + 1)):
        ran = pa.simulate(network, value.reshape(1, 1, 1), dt=1e-3, keep=("v",))
        assert ran.v[0, 0] == value.astype(np.float32)


def test_a_neuron_keeps_the_value_that_it_was_given() -> None:
    threshold = np.array(0.5)
    neuron = pa.LIF(v_threshold=threshold)
    threshold[...] = 5
    assert neuron == pa.LIF(v_threshold=0.5)
