"""What a spike subtracts, where that is not the threshold: in runs, files and tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa

KEEP = ("counts", "v")
HOW = {"tau_mem": np.inf, "v_threshold": 1.0, "reset": "subtract"}


def chain(*amounts: float | list[float] | None) -> pa.Network:
    """Populations of two neurons each, with weights of 1 from neuron to neuron."""
    neurons = [pa.LIF(**HOW, reset_amount=amount) for amount in amounts]
    return pa.Network.sequential([pa.Linear(np.eye(2)) for _ in amounts], neurons)


@pytest.mark.parametrize("schedule", [pa.Layered(), pa.Fifo(1), pa.Random(2), pa.FreeRunning()])
def test_a_spike_subtracts_the_amount_of_its_neuron(schedule: pa.Schedule) -> None:
    network = chain([0.25, 2.0], None, 0.0)
    # Each neuron of the first population fires at 1.5, as only what arrives at the others does.
    x = np.array([[[1.5, 1.5]]])
    v = pa.simulate(network, x, schedule, dt=1e-3, keep=KEEP).v
    assert v.tolist() == [[1.25, -0.5, 1.0, 1.0, 0.0, 0.0]]
    v = pa.simulate(network, np.repeat(2 * x, 2, 0), schedule, dt=1e-3, keep=KEEP).v
    assert v[0, :2].tolist() == [5.5, 2.0]


def test_without_an_amount_the_threshold_is_subtracted() -> None:
    x = np.random.default_rng(0).normal(0.8, 0.5, (20, 3, 2))
    plain, same = chain(None, None), chain([1.0, 1.0], None)
    ours, theirs = (pa.simulate(each, x, pa.Fifo(1), dt=1e-3, keep=KEEP) for each in (plain, same))
    assert ours.counts.sum() > 0
    assert ours.v.tobytes() == theirs.v.tobytes()


def test_a_saved_network_has_the_amounts_it_was_given(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    network = chain(0.25, None, [0.5, 0.75])
    network.save(tmp_path / "network.safetensors")
    loaded = pa.Network.load(tmp_path / "network.safetensors")
    assert [p.neuron for p in loaded.populations] == [p.neuron for p in network.populations]
    amounts = [p.neuron.reset_amount for p in loaded.populations]
    assert amounts[:2] == [0.25, None]
    np.testing.assert_array_equal(amounts[2], [0.5, 0.75])


def test_a_file_from_before_there_were_amounts_still_loads(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    network, path = chain(None, None), tmp_path / "network.safetensors"
    network.save(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["pyasync"])
    for population in header["populations"]:
        del population["parameters"]
    safetensors.save_file(safetensors.load(content), path, {"pyasync": json.dumps(header)})
    assert pa.Network.load(path).populations == network.populations


def test_a_trace_belongs_to_networks_with_other_amounts_too() -> None:
    x = np.full((3, 1, 2), 1.5)
    trace = pa.simulate(chain(None), x, pa.Fifo(1), dt=1e-3, record=True).trace
    assert trace is not None
    trace.validate(chain(0.5))


def test_neurons_differ_where_their_amounts_do() -> None:
    one = pa.LIF(**HOW, reset_amount=[0.5, 0.5])
    assert one == pa.LIF(**HOW, reset_amount=np.full(2, 0.5))
    for amount in (None, 1.0, 0.5, [0.5, 0.25]):
        assert one != pa.LIF(**HOW, reset_amount=amount)


def test_an_amount_is_shown_where_there_is_one() -> None:
    assert "reset_amount" not in repr(pa.LIF(**HOW)) + chain(None).summary()
    assert repr(pa.LIF(**HOW, reset_amount=2)).endswith("sync_threshold=0, reset_amount=2)")
    lines = chain(None, [0.25, 2.0]).summary().splitlines()
    assert [line.split()[-1] for line in lines[:3]] == ["reset_amount", "inf", "2"]
    assert lines[2].endswith("inf     0.25 to 2")
