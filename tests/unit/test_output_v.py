"""Potentials as a readout: `output_v`, and output neurons that never fire."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyasync as pa
from pyasync.study import audit

DT = 5e-3
SCHEDULES = [pa.Layered(), pa.Fifo(2), pa.FreeRunning(shards=3)]


def network(readout: pa.LIF | None = None, dtype: str = "float32", **neuron: Any) -> pa.Network:
    rng = np.random.default_rng(0)
    weights = [rng.normal(0.1, 0.4, (9, 12)), rng.normal(0.1, 0.5, (4, 9))]
    lif = pa.LIF(tau_mem=20e-3, v_threshold=0.4, **neuron)
    return pa.Network.sequential(
        [pa.Linear(w) for w in weights], [lif, readout or lif], dtype=dtype
    )


def spikes(n_timesteps: int = 6, n_samples: int = 5) -> np.ndarray:
    return np.random.default_rng(1).random((n_timesteps, n_samples, 12)) < 0.4


NEVER = pa.LIF(tau_mem=20e-3, v_threshold=np.inf)


@pytest.mark.parametrize("tau_syn", [None, 4e-3])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_it_is_what_the_final_potentials_are_after_each_timestep(
    schedule: pa.Schedule, tau_syn: float | None
) -> None:
    net, x = network(tau_syn=tau_syn), spikes()
    whole = pa.simulate(
        net, x, schedule, dt=DT, keep=("output_v", "v"), record=isinstance(schedule, pa.FreeRunning)
    )
    assert whole.output_v.shape == (6, 5, 4)
    assert whole.output_v.dtype == np.float32
    assert whole.output_v[-1].tobytes() == whole.v[:, list(net.output_ids)].tobytes()
    if whole.trace is not None:
        again = pa.simulate(net, x, pa.Replay(whole.trace), dt=DT, keep=("output_v",))
        assert again.output_v.tobytes() == whole.output_v.tobytes()
        return
    state: dict[str, np.ndarray] = {}
    for t in range(len(x)):
        piece = pa.simulate(net, x[t : t + 1], schedule, dt=DT, keep=("v", "current"), **state)
        assert piece.v[:, list(net.output_ids)].tobytes() == whole.output_v[t].tobytes()
        state = {"initial_v": piece.v, "initial_current": piece.current}


def test_timesteps_that_were_not_run_are_zero() -> None:
    for schedule in SCHEDULES:
        result = pa.simulate(
            network(), spikes(), schedule, dt=DT, max_spikes=4, keep=("output_v", "counts")
        )
        assert (result.stopped_by == pa.StopReason.MAX_SPIKES).all()
        assert not result.output_v[-1].any()
        assert result.output_v[0].any()


def test_it_is_there_only_if_it_is_kept() -> None:
    with pytest.raises(pa.InputError, match=r"keep: got .*; accepted: .*'output_v' in keep"):
        _ = pa.simulate(network(), spikes(), dt=DT).output_v
    result = pa.simulate(network(NEVER), spikes(), dt=DT, keep=("counts",))
    for ask in (result.decisions, lambda: result.accuracy(np.zeros(5, int))):
        with pytest.raises(pa.InputError, match="'output_v' in keep"):
            ask()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_an_infinite_threshold_is_never_reached(schedule: pa.Schedule, dtype: str) -> None:
    net = network(NEVER, dtype)
    result = pa.simulate(net, spikes() * 1e30, schedule, dt=DT, keep=("output_v", "spike_counts"))
    assert result.spike_counts[:, :9].any()
    assert not result.spike_counts[:, 9:].any()
    assert np.isfinite(result.output_v).all()


def test_each_neuron_may_have_a_threshold_of_its_own() -> None:
    lif = pa.LIF(tau_mem=np.inf, v_threshold=[0.5, np.inf], reset="none", refractory="none")
    net = pa.Network.sequential([pa.Linear(np.eye(2))], lif)
    assert net.output_fires
    result = pa.simulate(net, np.ones((2, 1, 2)), dt=DT, keep=("counts", "output_v"))
    assert result.counts[:, 0].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert result.output_v[:, 0].tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert result.decisions().tolist() == [0]


def test_the_highest_mean_potential_decides_where_nothing_fires() -> None:
    net, x = network(NEVER), spikes()
    assert not net.output_fires
    result = pa.simulate(net, x, dt=DT)  # which keeps what decides
    mean = result.output_v.astype(np.float64).mean(0)
    assert len(set(mean.argmax(1))) > 1
    assert result.decisions().tolist() == mean.argmax(1).tolist()
    assert result.accuracy(mean.argmax(1)) == 1.0
    assert result.to_structured()["decision"].tolist() == mean.argmax(1).tolist()
    silent = pa.simulate(net, 0 * x, dt=DT, keep=("output_v",))
    assert silent.decisions().tolist() == [0] * 5  # equal potentials: the lowest index


@pytest.mark.parametrize("value", [-np.inf, np.nan, [0.1, np.nan]])
def test_other_thresholds_without_a_number_are_refused(value: Any) -> None:
    accepted = r"finite numbers \(infinity: never fires\)"
    with pytest.raises(
        pa.NetworkError, match=rf"^v_threshold: got (-inf|nan); accepted: {accepted}"
    ):
        pa.LIF(v_threshold=value)
    with pytest.raises(
        pa.NetworkError, match=r"^v_threshold: got inf; .* finite numbers in float32"
    ):
        pa.Network.sequential(
            [pa.Linear(np.eye(1, dtype=np.float32))], pa.LIF(v_threshold=1e300)
        ).build()


def test_such_a_network_is_saved_shown_and_pickled(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    net = network(NEVER)
    net.save(tmp_path / "net.safetensors")
    back = pa.Network.load(tmp_path / "net.safetensors")
    assert back.populations[-1].neuron == NEVER
    assert not back.output_fires
    assert "v_threshold=inf" in repr(NEVER)
    assert " inf " in net.summary()


def test_the_audit_goes_by_potentials_and_says_so() -> None:
    net, x = network(NEVER), spikes(n_samples=30)
    keep = {"dt": DT, "keep": ("output_v",)}
    y = pa.simulate(net, x, pa.Layered(), **keep).decisions()
    y[:3] = (y[:3] + 1) % 4
    report = audit(net, x, y, ["fifo", "free"], [1, 4], dt=DT)
    assert [row.decided for row in report.rows] == [1.0] * 4
    assert all(math.isnan(row.latency) for row in report.rows)
    fifo = pa.simulate(net, x, pa.Fifo(1), **keep).accuracy(y)
    assert [row.accuracy for row in report.rows[:2]] == [0.9, fifo]
    assert "Potentials decide, since no output neuron ever fires" in report.to_table()
    assert "No output neuron fired in up to" not in report.to_table()
    assert not report.anytime_accuracy.any()
