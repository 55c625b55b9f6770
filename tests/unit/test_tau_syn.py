"""What a synaptic current promises: in runs, streams, files, copies and errors."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import MEASURES, build, run, same
from hypothesis import given
from oracle_network import Network
from strategies import Case, cases

import pyasync as pa

DT = 1e-3
HALF = pa.time_constant(0.5, DT)
KEEP = ("counts", "spike_counts", "v", "current")
SCHEDULES = pytest.mark.parametrize(
    "schedule", [pa.Layered(), pa.Fifo(1), pa.Random(2), pa.FreeRunning(1)], ids=str
)
NEVER = {"tau_mem": HALF, "v_threshold": 100.0, "tau_syn": HALF}


def one(x: list[float], neuron: dict[str, Any], bias: float = 0.0, **options: Any) -> pa.Result:
    """One neuron under weight 1 and a bias, and an input a timestep."""
    network = pa.Network(1, dtype="float64")
    network.add("a", 1, pa.LIF(**neuron))
    network.connect("input", "a", pa.Linear(np.ones((1, 1)), bias=[bias]))
    options = {"schedule": pa.Fifo(1), "dt": DT, "keep": KEEP, **options}
    return pa.simulate(network, np.array(x)[:, None, None], **options)


def relay(weight: float, **neuron: Any) -> pa.Network:
    """The input reaches `b` with weight 1, and one step later once more, by a spike of `a`."""
    network = pa.Network(1, dtype="float64")
    network.add("a", 1, pa.LIF(v_threshold=0.5))
    network.add("b", 1, pa.LIF(**{"tau_mem": HALF, "tau_syn": HALF, **neuron}))
    network.connect("input", "a", pa.Linear([[1.0]]))
    network.connect("input", "b", pa.Linear([[1.0]]))
    network.connect("a", "b", pa.Linear([[weight]]))
    return network


def with_tau_syn(net: Network, tau_syn: float | None) -> Network:
    given = {} if tau_syn is None else {"tau_syn": tau_syn}
    neurons = [
        {k: v for k, v in p.neuron.items() if k != "tau_syn"} | given for p in net.populations
    ]
    pairs = zip(net.populations, neurons, strict=True)
    return replace(net, populations=tuple(replace(p, neuron=neuron) for p, neuron in pairs))


@SCHEDULES
def test_three_timesteps_are_what_one_computes_by_hand(schedule: pa.Schedule) -> None:
    states = [
        (float(r.current[0, 0]), float(r.v[0, 0]))
        for r in (one([1.0, 0.0, 1.0][:n], NEVER, schedule=schedule) for n in (1, 2, 3))
    ]
    # The current halves and arrives; the potential halves and adds it with whatever else arrives.
    assert states == [(1.0, 1.0), (0.5, 0.5 + 0.5), (0.25 + 1.0, 0.5 + 1.25)]


@pytest.mark.parametrize("schedule", [pa.Fifo(1), pa.Random(2), pa.FreeRunning(1)], ids=str)
def test_what_arrives_in_later_steps_joins_the_current(schedule: pa.Schedule) -> None:
    x = np.array([1.0, 0.0])[:, None, None]
    first, both = (
        pa.simulate(relay(0.75, v_threshold=100.0), x[:n], schedule, dt=DT, keep=KEEP)
        for n in (1, 2)
    )
    assert (first.v[0, 1], first.current[0, 1]) == (1.75, 1.75)
    assert (both.v[0, 1], both.current[0, 1]) == (1.75, 0.875)


@given(cases())
def test_a_current_that_is_gone_after_a_timestep_changes_no_bit(case: Case) -> None:
    case = replace(case, net=with_tau_syn(case.net, None), initial_current=None)
    without = run(case, build(case.net))
    tiny = run(case, build(with_tau_syn(case.net, 1e-9)))
    for ours, theirs in zip(tiny.trace.to_steps(), without.trace.to_steps(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    for name in (*MEASURES, "stopped_by"):
        if name != "current":
            same(getattr(tiny, name), np.asarray(getattr(without, name)), name)
    assert not without.current.any()


def test_a_spike_leaves_the_current() -> None:
    result = one([2.0, 0.0], {"tau_syn": HALF, "v_threshold": 1.5})
    assert result.counts.ravel().tolist() == [1.0, 0.0]
    assert (result.v[0, 0], result.current[0, 0]) == (1.0, 1.0)


def test_a_refractory_neurons_current_takes_what_arrives() -> None:
    network = relay(0.75, v_threshold=0.5)
    result = pa.simulate(network, np.ones((1, 1, 1)), pa.Fifo(1), dt=DT, keep=KEEP)
    assert result.spike_counts.tolist() == [[1, 1]]
    assert (result.v[0, 1], result.current[0, 1]) == (0.0, 1.75)


def test_a_current_counts_as_an_event() -> None:
    neuron = {"tau_mem": np.inf, "v_threshold": 0.5, "sync_threshold": 1}
    for tau_syn, fires in ((HALF, [0.0, 1.0]), (None, [0.0, 0.0])):
        result = one([1.0, 1.0], {**neuron, "tau_syn": tau_syn})
        assert result.counts.ravel().tolist() == fires
    assert one([1.0, 1.0], {**neuron, "tau_syn": HALF}).events_before_firing.tolist() == [2.0]


def test_a_current_is_no_synaptic_operation_but_an_update() -> None:
    for tau_syn, updates in ((HALF, 3), (np.inf, 3), (1e-9, 1), (None, 1)):
        result = one([1.0, 0.0, 0.0], {"v_threshold": 100.0, "tau_syn": tau_syn})
        assert result.synaptic_operations.tolist() == [1]
        assert result.neuron_updates.tolist() == [updates]
        assert result.forward_steps.tolist() == [3]


@pytest.mark.parametrize("start", [0.0, -0.0])
def test_a_current_of_zero_is_no_event(start: float) -> None:
    result = one([0.0, 0.0], NEVER, initial_current=[[start]])
    assert result.neuron_updates.tolist() == [0]
    same(result.current, np.zeros((1, 1)), "current")


def test_a_current_is_added_before_the_input() -> None:
    result = one([0.3], {**NEVER, "tau_syn": np.inf}, bias=0.2, initial_current=[[0.1]])
    # 0.2 + 0.3 + 0.1 ends in another bit.
    assert result.v[0, 0] == result.current[0, 0] == (0.1 + 0.2) + 0.3


def test_a_current_arrives_before_scheduled_input_is_emitted() -> None:
    neuron = {"tau_syn": HALF, "v_threshold": 0.4, "tau_mem": HALF}
    start = {"initial_current": [[1.0]], "record": True}
    trace = one([5.0], neuron, input_mode="scheduled", **start).trace
    steps = trace.to_steps()
    assert steps.steps["n_fired"].tolist() == [1, 0, 0]
    assert steps.fired["v"].tolist() == [0.5]


def chain(seed: int = 0) -> pa.Network:
    rng = np.random.default_rng(seed)
    neurons = [
        pa.LIF(v_threshold=0.4, tau_syn=rng.uniform(1e-3, 9e-3, 8)),
        pa.LIF(v_threshold=0.3, tau_mem=3e-3, tau_syn=2e-3, reset="subtract", reset_amount=0.1),
        pa.LIF(v_threshold=0.2),
    ]
    weights = [rng.normal(0.1, 0.3, shape) for shape in ((8, 6), (7, 8), (4, 7))]
    return pa.Network.sequential([pa.Linear(w) for w in weights], neurons)


@pytest.mark.parametrize(
    "schedule", [pa.Layered(), pa.Fifo(2), pa.Momentum(3), pa.Lifo(1)], ids=str
)
def test_a_stream_in_pieces_is_one_run(schedule: pa.Schedule) -> None:
    network, x = chain(), np.random.default_rng(1).random((9, 5, 6)) < 0.4
    whole = pa.simulate(network, x, schedule, dt=DT, keep=KEEP)
    state, counts = {}, []
    for piece in np.split(x, [2, 3]):
        result = pa.simulate(network, piece, schedule, dt=DT, keep=KEEP, **state)
        state = {"initial_v": result.v, "initial_current": result.current}
        counts.append(result.counts)
    assert whole.counts.sum() > 5
    same(np.concatenate(counts), whole.counts, "counts")
    same(result.v, whole.v, "v")
    same(result.current, whole.current, "current")
    assert result.current[:, :15].any()
    assert not result.current[:, 15:].any()


@pytest.mark.parametrize("names", [["initial_current"], ["initial_v", "initial_current"]])
def test_no_initial_current_is_a_current_of_zero(names: list[str]) -> None:
    network, x = chain(), np.random.default_rng(1).random((5, 3, 6)) < 0.4
    zeros = dict.fromkeys(names, np.zeros((3, 19), np.float32))
    ours, theirs = (
        pa.simulate(network, x, pa.Fifo(2), dt=DT, keep=KEEP, **start) for start in (zeros, {})
    )
    same(ours.v, theirs.v, "v")
    same(ours.current, theirs.current, "current")


def test_a_current_is_kept_where_asked_for() -> None:
    x = np.ones((2, 1, 6))
    result = pa.simulate(chain(), x, pa.Fifo(2), dt=DT, keep="current")
    assert (result.current.shape, result.current.dtype) == ((1, 19), chain().dtype)
    for name, keep in (("v", "current"), ("current", ("counts", "v"))):
        with pytest.raises(pa.InputError, match=name):
            getattr(pa.simulate(chain(), x, pa.Fifo(2), dt=DT, keep=keep), name)


def test_a_trace_belongs_to_networks_with_other_time_constants_too() -> None:
    x, networks = np.full((3, 1, 1), 1.5), [relay(0.75, tau_syn=tau) for tau in (HALF, 0.1)]
    trace = pa.simulate(networks[0], x, pa.Fifo(1), dt=DT, record=True).trace
    trace.validate(networks[1])


def test_it_is_a_parameter_where_it_is_given() -> None:
    assert pa.LIF().tau_syn is None
    assert "tau_syn" not in pa.LIF().parameters
    assert "tau_syn" in pa.LIF(tau_syn=0.01).parameters
    assert "tau_syn" not in repr(pa.LIF())
    assert "tau_syn=0.01" in repr(pa.LIF(tau_syn=0.01))
    assert eval(repr(pa.LIF(tau_syn=0.01)), {"LIF": pa.LIF}) == pa.LIF(tau_syn=0.01)
    assert "tau_syn" in chain().summary()
    assert "tau_syn" not in pa.Network.sequential([pa.Linear(np.eye(2))]).summary()


def test_neurons_differ_where_their_tau_syn_do() -> None:
    each = pa.LIF(tau_syn=[0.5, 0.5])
    assert each == pa.LIF(tau_syn=np.full(2, 0.5))
    assert hash(each) == hash(pa.LIF(tau_syn=np.full(2, 0.5)))
    for tau_syn in (None, 1.0, 0.5, [0.5, 0.25]):
        assert each != pa.LIF(tau_syn=tau_syn)


@pytest.mark.parametrize("how", ["saved", "pickled"])
def test_a_network_comes_back_with_its_currents(how: str, tmp_path: Path) -> None:
    network = chain()
    if how == "pickled":
        back = pickle.loads(pickle.dumps(network))
    else:
        pytest.importorskip("safetensors")
        network.save(tmp_path / "network.safetensors")
        back = pa.Network.load(tmp_path / "network.safetensors")
    assert [p.neuron for p in back.populations] == [p.neuron for p in network.populations]
    assert [p.neuron.tau_syn is None for p in back.populations] == [False, False, True]
    assert back.synaptic_decay(DT).tobytes() == network.synaptic_decay(DT).tobytes()


@pytest.mark.parametrize(
    ("tau_syn", "says"),
    [
        (0.0, "tau_syn: got 0"),
        (-1e-3, "tau_syn: got -0.001"),
        (np.nan, "tau_syn: got nan"),
        ([1e-3, 0.0], "tau_syn: got 0"),
        ("5 ms", "tau_syn: got "),
        (1j, "tau_syn: got "),
    ],
)
def test_a_bad_time_constant_is_named(tau_syn: Any, says: str) -> None:
    with pytest.raises(pa.NetworkError, match=f"^{says}.*accepted"):
        pa.LIF(tau_syn=tau_syn)


def test_a_time_constant_of_another_shape_is_named() -> None:
    network = pa.Network(1)
    with pytest.raises(pa.NetworkError, match=r"^tau_syn: got an array of shape .3,"):
        network.add("a", 2, pa.LIF(tau_syn=[1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("current", "says"),
    [
        (np.eye(19)[[18]], "initial_current: got "),
        (np.eye(19)[[3]] * np.nan, "initial_current: got .*(nan|NaN)"),
        (np.where(np.eye(19)[[3]], np.inf, 0.0), "initial_current: got inf"),
        (np.zeros((1, 18)), r"initial_current: got an array of shape .1, 18.; .*1, 19"),
        (np.zeros((2, 19)), r"initial_current: got an array of shape .2, 19.; .*1, 19"),
        (np.zeros(19), r"initial_current: got an array of shape .19"),
        ("none", "initial_current: got "),
    ],
)
def test_a_bad_initial_current_is_named(current: Any, says: str) -> None:
    with pytest.raises(pa.InputError, match=f"^{says}"):
        pa.simulate(chain(), np.ones((2, 1, 6)), dt=DT, initial_current=current)


def test_a_current_without_tau_syn_is_named_wherever_it_is_given() -> None:
    network = pa.Network.sequential([pa.Linear(np.eye(2))])
    x = np.ones((2, 1, 2))
    assert not pa.simulate(network, x, dt=DT, initial_current=[[0, 0]], keep=KEEP).current.any()
    with pytest.raises(pa.InputError, match=r"^initial_current: got .*accepted: .*tau_syn"):
        pa.simulate(network, x, dt=DT, initial_current=[[0.0, 1.0]])
