"""The peers of the free-running benchmark run the same network, or rates would mean nothing."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import pyasync as pa

pytest.importorskip("workloads", reason="the benchmarks are not beside the tests")

from free_running_contenders import INTERPRETERS, PEERS, input_of, network_of, own_runs
from free_running_network import RandomNetwork
from peers.by_pipe import AbsentError, Peer

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = RandomNetwork(
    n_neurons=2000, synapses_per_neuron=50, n_inputs=100, synapses_per_input=60, n_timesteps=30
)


def layered(random: RandomNetwork) -> NDArray[np.uint32]:
    """Spike counts of all neurons if every spike arrives one timestep after it was fired."""
    result = pa.simulate(network_of(random), input_of(random), pa.Layered())
    return result.spike_counts[0]


def test_no_neuron_has_a_synapse_twice_or_from_itself() -> None:
    synapses = SMALL.recurrent
    pairs = synapses.target.astype(np.int64) * SMALL.n_neurons + synapses.source
    assert pairs.size == np.unique(pairs).size == SMALL.n_synapses
    assert (synapses.target != synapses.source).all()
    assert SMALL.from_input.weight.size == SMALL.n_inputs * SMALL.synapses_per_input
    assert (SMALL.from_input.weight > 0).all()


def test_the_same_seed_draws_the_same_network() -> None:
    again = RandomNetwork(**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__})
    np.testing.assert_array_equal(again.recurrent.weight, SMALL.recurrent.weight)
    np.testing.assert_array_equal(again.spikes, SMALL.spikes)


def test_events_are_those_that_the_engine_counts() -> None:
    for (name, _), run in own_runs(SMALL, [1, 2]).items():
        fired = run().spike_counts
        counted = SMALL.synaptic_events(fired)
        if name == "pyasync Layered":  # spikes fired in the last timestep are never delivered
            assert 0.9 * counted < run.result.synaptic_operations[0] <= counted
        else:
            assert run.result.synaptic_operations[0] == counted


def test_activity_is_sustained_by_the_input_and_dies_without_it() -> None:
    network, x = network_of(SMALL), np.concatenate([SMALL.spikes, np.zeros_like(SMALL.spikes)])
    counts = pa.simulate(network, x[:, None], pa.Fifo(1), dt=SMALL.dt).counts[:, 0].sum(1)
    half = SMALL.n_timesteps
    assert (counts[half // 2 : half] > 0).mean() > 0.5
    assert counts[half:].sum() < 0.2 * counts[:half].sum()


@pytest.mark.parametrize("peer", PEERS)
def test_an_absent_peer_is_told_apart_from_a_failing_one(peer: str, tmp_path: Path) -> None:
    network = tmp_path / "network.npz"
    SMALL.save(network)
    with pytest.raises(AbsentError, match="no-such-python"):
        Peer("no-such-python", PEERS[peer], network, 1, tmp_path / "a")
    if importlib.util.find_spec(peer.lower()) is None:
        with pytest.raises(AbsentError, match="No module named"):
            Peer(sys.executable, PEERS[peer], network, 1, tmp_path / "b")
    with pytest.raises(RuntimeError, match=r"a peer of the benchmark failed:\n.*no_such_peer"):
        Peer(sys.executable, "no_such_peer.py", network, 1, tmp_path / "c")


@pytest.mark.parametrize("peer", PEERS)
def test_peer_fires_spike_for_spike_what_layered_fires(peer: str, tmp_path: Path) -> None:
    python = os.environ.get(INTERPRETERS[peer])
    if not python:
        pytest.skip(f"{INTERPRETERS[peer]} names no interpreter that has {peer}")
    network, expected = tmp_path / "network.npz", layered(SMALL)
    SMALL.save(network)
    assert expected.sum() > SMALL.n_timesteps
    with Peer(python, PEERS[peer], network, 1, tmp_path / "peer") as running:
        for _ in range(2):  # nothing of the first run may be left in the second
            assert running.run() > 0
            np.testing.assert_array_equal(running.spike_counts(), expected)


def test_the_report_says_what_was_measured_and_what_was_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    import free_running
    import free_running_latency
    import free_running_scaling
    from timing import environment

    monkeypatch.setattr(free_running_scaling, "IDLE_TIMESTEPS", 100)
    monkeypatch.setattr(free_running_latency, "SAMPLES", 2)
    nobody = dict.fromkeys(PEERS, "no-such-python")
    measured = {
        "environment": environment(("pyasync",)),
        "rounds": 2,
        "peer_rounds": 1,
        "results": [free_running.measure(SMALL, 2, 1, nobody)],
        "memory": {"skipped": "this system does not say"},
        "latency": free_running_latency.measure(1),
        "scaling": free_running_scaling.measure(SMALL, (1, 16), 1),
        "cores_busy_with_other_work": 0.0,
    }
    text = free_running.markdown(measured)
    for peer in PEERS:
        assert f"{peer}: not measured; no-such-python" in text
    assert "Memory\n\nNot measured" in text
    # Count rows for 64 cores by their first column; other columns may hold the number too.
    assert text.count("\n| 64 |") == 2
    assert text.count("The limit on 64 cores") == 2
    fifo, free = (
        next(r for r in measured["results"][0]["runs"] if r["run"] == name)
        for name in ("pyasync Fifo(1)", "pyasync FreeRunning")
    )
    # one worker with one shard is Fifo
    assert fifo["spikes_per_timestep"] == free["spikes_per_timestep"]
