"""Bad input is refused with an error that names the argument, what was given and what is accepted."""

# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pyasync as pa
from pyasync.errors import InputError, NetworkError, PyasyncError, ScheduleError, TraceError

NAN, INF = float("nan"), float("inf")
ONES = np.ones((3, 2))
X = np.ones((4, 2, 2))


class Bad(NamedTuple):
    """`given` and `accepted` are regular expressions that the message's two halves must contain."""

    name: str
    call: Callable[[], Any]
    error: type[PyasyncError]
    argument: str
    given: str
    accepted: str


def network(**neuron: Any) -> pa.Network:
    return pa.Network.sequential([pa.Linear(ONES)], neuron=pa.LIF(v_threshold=0.5, **neuron))


def loop() -> pa.Network:
    net = pa.Network(2)
    net.add("a", 3, pa.LIF(v_threshold=0.5))
    net.connect("input", "a", pa.Linear(ONES))
    net.connect("a", "a", pa.Linear(-np.ones((3, 3))))
    return net


def with_weights(shape: tuple[int, ...], bad: float) -> np.ndarray:
    weight = np.ones(shape)
    weight.flat[-1] = bad
    return weight


def connected(shape: Any, target: Any, projection: Any) -> pa.Network:
    net = pa.Network(shape) if isinstance(shape, int) else pa.Network(input_shape=shape)
    net.add("a", target)
    net.connect("input", "a", projection)
    pa.simulate(net, np.ones((1, 1, net.n_inputs)), pa.Fifo(1), dt=0.01)
    return net


def run(
    x: Any = X, schedule: Any = None, net: pa.Network | None = None, **options: Any
) -> pa.Result:
    return pa.simulate(
        net or network(), x, pa.Fifo(1) if schedule is None else schedule, **{"dt": 0.01, **options}
    )


def traced(**options: Any) -> Any:
    return run(record=True, **options).trace


def picking(pick: Any) -> Callable[[], Any]:
    return lambda: run(schedule=pa.Custom(2, pick))


def batch(**changes: Any) -> pa.SpikeBatch:
    arguments = {
        "channel": [0, 1],
        "offsets": [0, 1, 2],
        "n_timesteps": 2,
        "input_shape": 2,
        "dt": 0.01,
    }
    return pa.SpikeBatch(**{**arguments, **changes})


def events(**changes: Any) -> pa.SpikeBatch:
    sample = np.array([(0, 1, 0)], dtype=[("t", "i8"), ("x", "i4"), ("p", "i1")])
    return pa.SpikeBatch.from_events(
        **{"events": [sample], "sensor_size": (2, 1, 2), "dt": 1e-3, **changes}
    )


def event(**fields: int) -> list[np.ndarray]:
    return [np.array([tuple(fields.values())], dtype=[(name, "i8") for name in fields])]


def explode(pending: np.ndarray, n: int, rng: np.random.Generator) -> list[int]:
    raise KeyError("explode")


NEURONS = [
    Bad("tau_mem zero", lambda: pa.LIF(tau_mem=0.0), NetworkError, "tau_mem", "0", "> 0|above 0|positive"),
    Bad("tau_mem negative", lambda: pa.LIF(tau_mem=-1e-3), NetworkError, "tau_mem", "-0.001", "> 0|above 0|positive"),
    Bad("tau_mem NaN", lambda: pa.LIF(tau_mem=NAN), NetworkError, "tau_mem", "(?i)nan", "> 0|above 0|positive"),
    Bad("tau_mem text", lambda: pa.LIF(tau_mem="slow"), NetworkError, "tau_mem", "U4", "number"),
    Bad("one tau_mem of many", lambda: network(tau_mem=[0.1, -0.1, 0.1]), NetworkError, "tau_mem", "-0.1", "> 0|above 0|positive"),
    Bad("tau_mem of another shape", lambda: network(tau_mem=[0.1, 0.1]), NetworkError, "tau_mem", "2", "3"),
    Bad("v_threshold NaN", lambda: pa.LIF(v_threshold=NAN), NetworkError, "v_threshold", "(?i)nan", "finite"),
    Bad("v_threshold minus infinity", lambda: pa.LIF(v_threshold=-INF), NetworkError, "v_threshold", "-inf", "finite"),
    Bad("v_threshold of another shape", lambda: connected(2, 3, pa.Linear(ONES)) and pa.Network.sequential([pa.Linear(ONES)], neuron=pa.LIF(v_threshold=np.ones(5))), NetworkError, "v_threshold", "5", "3"),
    Bad("reset_amount NaN", lambda: pa.LIF(reset="subtract", reset_amount=NAN), NetworkError, "reset_amount", "(?i)nan", "finite"),
    Bad("one reset_amount of many", lambda: network(reset="subtract", reset_amount=[0.1, INF, 0.1]), NetworkError, "reset_amount", "inf", "finite"),
    Bad("reset_amount text", lambda: pa.LIF(reset="subtract", reset_amount="all"), NetworkError, "reset_amount", "U3", "number"),
    Bad("reset_amount of another shape", lambda: network(reset="subtract", reset_amount=[0.1, 0.1]), NetworkError, "reset_amount", "2", "3"),
    Bad("reset_amount beyond float32", lambda: pa.Network.sequential([pa.Linear(ONES)], pa.LIF(reset="subtract", reset_amount=1e300), dtype="float32").decay(0.01), NetworkError, "reset_amount", "inf", "finite.*float32"),
    Bad("reset_amount of a reset to zero", lambda: pa.LIF(reset_amount=0.5), NetworkError, "reset_amount", "0.5 with reset='zero'", "None, except with 'subtract'"),
    Bad("reset_amount without a reset", lambda: pa.LIF(reset="none", reset_amount=np.ones(3)), NetworkError, "reset_amount", "reset='none'", "None, except with 'subtract'"),
    Bad("unknown reset", lambda: pa.LIF(reset="soft"), NetworkError, "reset", "soft", "subtract"),
    Bad("unknown refractory", lambda: pa.LIF(refractory="always"), NetworkError, "refractory", "always", "timestep"),
    Bad("sync_threshold negative", lambda: pa.LIF(sync_threshold=-1), NetworkError, "sync_threshold", "-1", "integer"),
    Bad("sync_threshold fractional", lambda: pa.LIF(sync_threshold=1.5), NetworkError, "sync_threshold", "1.5", "integer"),
]  # fmt: skip
PROJECTIONS = [
    Bad("weight of three axes", lambda: pa.Linear(np.ones((2, 3, 4))), NetworkError, "weight", r"\(2, 3, 4\)", "n_out, n_in"),
    Bad("weight empty", lambda: pa.Linear(np.ones((0, 3))), NetworkError, "weight", r"\(0, 3\)", "n_out, n_in|1"),
    Bad("weight of text", lambda: pa.Linear([["a"]]), NetworkError, "weight", "U1", "numbers"),
    Bad("weight complex", lambda: pa.Linear(np.ones((2, 2), complex)), NetworkError, "weight", "complex", "numbers"),
    Bad("weight NaN", lambda: pa.Linear(with_weights((3, 2), NAN)), NetworkError, "weight", "(?i)nan", "finite"),
    Bad("weight infinite", lambda: pa.Conv2d(with_weights((2, 1, 3, 3), -INF)), NetworkError, "weight", "inf", "finite"),
    Bad("weight beyond float32", lambda: pa.Network.sequential([pa.Linear(ONES * 1e300)], dtype="float32").decay(0.01), NetworkError, "weight", "inf|1e\\+?300", "finite.*float32|float32"),
    Bad("bias of another length", lambda: pa.Linear(ONES, bias=np.ones(2)), NetworkError, "bias", "2", "3"),
    Bad("bias NaN", lambda: pa.Linear(ONES, bias=[0, NAN, 0]), NetworkError, "bias", "(?i)nan", "finite"),
    Bad("Conv1d weight of two axes", lambda: pa.Conv1d(ONES), NetworkError, "weight", r"\(3, 2\)", "kW"),
    Bad("stride zero", lambda: pa.Conv2d(np.ones((1, 1, 3, 3)), stride=0), NetworkError, "stride", "0", "1"),
    Bad("padding negative", lambda: pa.Conv2d(np.ones((1, 1, 3, 3)), padding=-1), NetworkError, "padding", "-1", "0"),
    Bad("dilation fractional", lambda: pa.Conv2d(np.ones((1, 1, 3, 3)), dilation=1.5), NetworkError, "dilation", "1.5", "integer"),
    Bad("stride of three numbers", lambda: pa.Conv2d(np.ones((1, 1, 3, 3)), stride=(1, 2, 3)), NetworkError, "stride", r"\(1, 2, 3\)", "2 of them"),
    Bad("groups do not divide", lambda: connected((4, 5, 5), (3, 3, 3), pa.Conv2d(np.ones((3, 2, 3, 3)), groups=2)), NetworkError, "groups", "2", "divi"),
    Bad("channels differ", lambda: connected((2, 5, 5), (3, 3, 3), pa.Conv2d(np.ones((3, 4, 3, 3)))), NetworkError, "source|weight|projection", "2|4", "4|2"),
    Bad("kernel larger than its input", lambda: connected((1, 2, 2), (1, 1, 1), pa.Conv2d(np.ones((1, 1, 5, 5)))), NetworkError, "kernel|weight|projection|kernel_size", "5", "fit|at most|2"),
    Bad("kernel_size zero", lambda: pa.AvgPool2d(0), NetworkError, "kernel_size", "0", "1"),
    Bad("pooling a flat input", lambda: connected(4, (1, 1, 1), pa.SumPool2d(2)), NetworkError, "source|projection|input_shape", r"4|\(4,\)", "C, H, W|channels, height|height"),
    Bad("indices outside", lambda: pa.Sparse(([0, 1], [2], [1.0]), shape=(1, 2)), NetworkError, "csr|indices", "2", "1|2"),
    Bad("indptr falls", lambda: pa.Sparse(([0, 2, 1], [0, 1], [1.0, 1.0]), shape=(2, 2)), NetworkError, "csr|indptr", "1|2", "decrease|ascend|0"),
    Bad("indptr too short", lambda: pa.Sparse(([0, 2], [0, 1], [1.0, 1.0]), shape=(2, 2)), NetworkError, "csr|indptr|shape", "2", "3"),
    Bad("sparse data too short", lambda: pa.Sparse(([0, 2], [0, 1], [1.0]), shape=(1, 2)), NetworkError, "csr|data|weight", "1", "2"),
    Bad("sparse bias too long", lambda: pa.Sparse(([0, 1], [0], [1.0]), shape=(1, 1), bias=[1.0, 2.0]), NetworkError, "bias", "2", "1"),
    Bad("sparse weight NaN", lambda: pa.Sparse(([0, 1], [0], [NAN]), shape=(1, 1)), NetworkError, "csr|data|weight", "(?i)nan", "finite"),
    Bad("one-to-one between sizes", lambda: connected(2, 3, pa.OneToOne(1.0)), NetworkError, "target|projection|weight", "3|2", "2|3"),
    Bad("linear between other sizes", lambda: connected(5, 3, pa.Linear(ONES)), NetworkError, "source|weight|projection", "5|2", "2|5"),
    Bad("target of another size", lambda: connected(2, 4, pa.Linear(ONES)), NetworkError, "target|weight|projection", "4|3", "3|4"),
]  # fmt: skip
NETWORKS = [
    Bad("no inputs", lambda: pa.Network(0), NetworkError, "n_inputs", "0", "1"),
    Bad("inputs fractional", lambda: pa.Network(2.5), NetworkError, "n_inputs", "2.5", "integer"),
    Bad("inputs and shape both", lambda: pa.Network(4, input_shape=(2, 3)), NetworkError, "n_inputs|input_shape", "4|6", "6|one of|agree|either"),
    Bad("neither inputs nor shape", lambda: pa.Network(), NetworkError, "n_inputs|input_shape", "None|neither|no", "n_inputs|input_shape"),
    Bad("unknown dtype", lambda: pa.Network(2, dtype="float16"), NetworkError, "dtype", "float16", "float64"),
    Bad("no population", lambda: run(net=pa.Network(2)), NetworkError, "network", "no population", "at least one"),
    Bad("population without neurons", lambda: pa.Network(2).add("a", 0), NetworkError, "shape", "0", "1"),
    Bad("population called input", lambda: pa.Network(2).add("input", 3), NetworkError, "name", "input", "not taken"),
    Bad("name taken", lambda: loop().add("a", 3), NetworkError, "name", "'?a'?", "not taken"),
    Bad("neuron of another kind", lambda: pa.Network(2).add("a", 3, neuron=0.5), NetworkError, "neuron", "float", "LIF"),
    Bad("unknown source", lambda: loop().connect("b", "a", pa.Linear(ONES)), NetworkError, "source", "b", "input"),
    Bad("unknown target", lambda: loop().connect("input", "z", pa.Linear(ONES)), NetworkError, "target", "z", "a"),
    Bad("input as target", lambda: loop().connect("a", "input", pa.Linear(ONES.T)), NetworkError, "target", "input", "a"),
    Bad("projection of another kind", lambda: loop().connect("a", "a", np.eye(3)), NetworkError, "projection", "array|ndarray", "Linear"),
    Bad("unknown output", lambda: setattr(loop(), "output", "z"), NetworkError, "output", "z", "a"),
    Bad("no projections", lambda: pa.Network.sequential([]), NetworkError, "projections", "0|empty|\\[\\]|none", "at least one|1"),
    Bad("too few neurons", lambda: pa.Network.sequential([pa.Linear(ONES)], neuron=[pa.LIF(), pa.LIF()]), NetworkError, "neuron", "2", "1"),
    Bad("decay over no time", lambda: network().decay(0.0), InputError, "dt", "0", "> 0|above 0|positive"),
]  # fmt: skip
SCHEDULES = [
    Bad("F zero", lambda: pa.Random(0), ScheduleError, "forward_group_size", "0", "integer"),
    Bad("F negative", lambda: pa.Fifo(-8), ScheduleError, "forward_group_size", "-8", "integer"),
    Bad("F fractional", lambda: pa.Lifo(2.5), ScheduleError, "forward_group_size", "2.5", "integer"),
    Bad("F of text", lambda: pa.Momentum("8"), ScheduleError, "forward_group_size", "8", "integer"),
    Bad("F true", lambda: pa.Random(True), ScheduleError, "forward_group_size", "True", "integer"),
    Bad("noise negative", lambda: pa.Momentum(8, noise=-0.1), ScheduleError, "noise", "-0.1", "0 or more|at least 0"),
    Bad("noise NaN", lambda: pa.Momentum(8, noise=NAN), ScheduleError, "noise", "(?i)nan", "finite"),
    Bad("schedule's seed negative", lambda: pa.Random(8, seed=-1), ScheduleError, "seed", "-1", "0"),
    Bad("too few priorities", lambda: run(schedule=pa.Priority(8, [1.0, 2.0])), ScheduleError, "values", "2", "3"),
    Bad("no priorities", lambda: pa.Priority(8), ScheduleError, "values", r"shape \(0,\)", "one a neuron"),
    Bad("priority NaN", lambda: pa.Priority(8, [1.0, NAN, 2.0]), ScheduleError, "values", "(?i)nan", "numbers"),
    Bad("pick not callable", lambda: pa.Custom(8, 3), ScheduleError, "pick", "3", "callable"),
    Bad("unknown schedule", lambda: run(schedule="random"), ScheduleError, "schedule", "random", "Random|Schedule"),
    Bad("schedule's class", lambda: run(schedule=pa.Random), ScheduleError, "schedule", "Random", "Schedule|Random\\("),
    Bad("unknown feedback", lambda: pa.Layered(feedback="now"), ScheduleError, "feedback", "now", "next_timestep"),
    Bad("cycle without a feedback rule", lambda: run(schedule=pa.Layered(feedback=None), net=loop()), ScheduleError, "feedback", "None", "next_timestep"),
    Bad("scheduled input layered", lambda: run(schedule=pa.Layered(), input_mode="scheduled"), InputError, "input_mode", "scheduled", "at_once"),
    Bad("carry layered", lambda: run(schedule=pa.Layered(), on_stop="carry"), InputError, "on_stop", "carry", "discard"),
    Bad("no traces to join", lambda: pa.Trace.concatenate([]), TraceError, "trace", "no trace", "one or more"),
    Bad("traces of different runs", lambda: pa.Trace.concatenate([traced(), traced(dt=0.02)]), TraceError, "trace", "trace 1 with dt = 0.02", "dt|0.01"),
    Bad("replay of nothing", lambda: pa.Replay(None), ScheduleError, "trace", "None", "Trace"),
    Bad("pick returns too few", picking(lambda p, n, r: [0]), ScheduleError, "pick", "1", "2"),
    Bad("pick returns too many", picking(lambda p, n, r: [0, 1, 2]), ScheduleError, "pick", "3", "2"),
    Bad("pick repeats", picking(lambda p, n, r: [1, 1]), ScheduleError, "pick", "1.* twice", "2 different"),
    Bad("pick beyond the pending", picking(lambda p, n, r: [0, 3]), ScheduleError, "pick", "3", "0 to 2"),
    Bad("pick below zero", picking(lambda p, n, r: [0, -1]), ScheduleError, "pick", "-1", "0 to 2"),
    Bad("pick returns None", picking(lambda p, n, r: None), ScheduleError, "pick", "None|object", "indices"),
    Bad("pick returns text", picking(lambda p, n, r: "01"), ScheduleError, "pick", "01|U2", "indices"),
    Bad("pick returns fractions", picking(lambda p, n, r: [0.5, 1.0]), ScheduleError, "pick", "0.5|float", "indices|integers"),
    Bad("pick raises", picking(explode), ScheduleError, "pick", "KeyError.*explode", "n|indices"),
]  # fmt: skip
INPUTS = [
    Bad("two axes", lambda: run(np.ones((4, 2))), InputError, "x", r"\(4, 2\)", r"\[T, B"),
    Bad("another number of channels", lambda: run(np.ones((4, 2, 3))), InputError, "x", "3", "2"),
    Bad("no samples", lambda: run(np.ones((4, 0, 2))), InputError, "x", "0", "at least one|1"),
    Bad("no timesteps", lambda: run(np.ones((0, 2, 2))), InputError, "x", r"\(0, 2, 2\)", "at least one|1|not 0"),
    Bad("current NaN", lambda: run(np.where(X > 0, NAN, 0)), InputError, "x", "(?i)nan", "finite"),
    Bad("current infinite", lambda: run(X * INF), InputError, "x", "(?i)inf", "finite"),
    Bad("current beyond float32", lambda: run(X * 1e300, net=pa.Network.sequential([pa.Linear(ONES)], dtype="float32")), InputError, "x", "1e\\+?300|inf", "finite"),
    Bad("complex input", lambda: run(X.astype(complex)), InputError, "x", "complex", "floats"),
    Bad("text input", lambda: run(X.astype(str)), InputError, "x", "U", "floats"),
    Bad("objects", lambda: run(X.astype(object)), InputError, "x", "object", "floats"),
    Bad("dt missing", lambda: run(dt=None), InputError, "dt", "None", "seconds"),
    Bad("dt zero", lambda: run(dt=0.0), InputError, "dt", "0", "seconds"),
    Bad("dt negative", lambda: run(dt=-0.01), InputError, "dt", "-0.01", "seconds"),
    Bad("dt infinite", lambda: run(dt=INF), InputError, "dt", "inf", "seconds"),
    Bad("dt differs from the batch's", lambda: run(batch(), dt=0.02), InputError, "dt", "0.02", "0.01"),
    Bad("batch of another width", lambda: run(batch(input_shape=5)), InputError, "x", "5", "2"),
    Bad("seed negative", lambda: run(seed=-1), InputError, "seed", "-1", "0"),
    Bad("seed too large", lambda: run(seed=2**64), InputError, "seed", str(2**64), "2\\*\\*64|18446744073709551615"),
    Bad("seed fractional", lambda: run(seed=0.5), InputError, "seed", "0.5", "integer"),
    Bad("too few sample_ids", lambda: run(sample_ids=[1]), InputError, "sample_ids", "1", "2"),
    Bad("sample_ids negative", lambda: run(sample_ids=[0, -1]), InputError, "sample_ids", "-1", "0"),
    Bad("initial_v NaN", lambda: run(initial_v=np.full((2, 3), NAN)), InputError, "initial_v", "(?i)nan", "finite"),
    Bad("initial_v of too few", lambda: run(initial_v=np.zeros((1, 3))), InputError, "initial_v", r"\(1, 3\)|3 values", r"2, 3"),
    Bad("no threads", lambda: run(threads=0), InputError, "threads", "0", "1"),
    Bad("threads negative", lambda: run(threads=-2), InputError, "threads", "-2", "1"),
    Bad("no forward steps", lambda: run(max_forward_steps=0), InputError, "max_forward_steps", "0", "1"),
    Bad("max_spikes zero", lambda: run(max_spikes=0), InputError, "max_spikes", "0", "1"),
    Bad("extra_steps negative", lambda: run(extra_steps=-1), InputError, "extra_steps", "-1", "0"),
    Bad("unknown stop", lambda: run(stop_on_output="batch"), InputError, "stop_on_output", "batch", "sample"),
    Bad("unknown input_mode", lambda: run(input_mode="later"), InputError, "input_mode", "later", "scheduled"),
    Bad("unknown on_stop", lambda: run(on_stop="keep"), InputError, "on_stop", "keep", "carry"),
    Bad("unknown keep", lambda: run(keep=("weights",)), InputError, "keep", "weights", "counts"),
    Bad("another network", lambda: pa.simulate(ONES, X, pa.Fifo(1), dt=0.01), NetworkError, "network", "array", "Network"),
    Bad("channel beyond the input", lambda: batch(channel=[0, 2]), InputError, "channel", "2", "0 .. 1"),
    Bad("channel negative", lambda: batch(channel=[-1, 0]), InputError, "channel", "-1", "0 .. 1"),
    Bad("channel fractional", lambda: batch(channel=[0.5, 1]), InputError, "channel", "float64", "integers"),
    Bad("offsets fall", lambda: batch(offsets=[0, 2, 1, 1, 2]), InputError, "offsets", "2 followed by 1", "never decrease"),
    Bad("offsets end early", lambda: batch(offsets=[0, 1, 1]), InputError, "offsets", "0 to 1", "2"),
    Bad("offsets of half a sample", lambda: batch(offsets=[0, 1, 2, 2]), InputError, "offsets", "4", "n_timesteps=2"),
    Bad("batch without timesteps", lambda: batch(n_timesteps=0), InputError, "n_timesteps", "0", "1"),
    Bad("multiplicity NaN", lambda: batch(multiplicity=[1, NAN]), InputError, "multiplicity", "NaN", "finite"),
    Bad("multiplicity too short", lambda: batch(multiplicity=[1.0]), InputError, "multiplicity", r"\(1,\)", "2"),
    Bad("batch's dt zero", lambda: batch(dt=0), InputError, "dt", "0", "seconds"),
    Bad("event outside the sensor", lambda: events(events=event(t=0, x=2)), InputError, "events", "x=2", "0 .. 1"),
    Bad("event before time 0", lambda: events(events=event(t=-5, x=1)), InputError, "events", "t=-5", "0"),
    Bad("event without x", lambda: events(events=event(t=0, y=0)), InputError, "events", "'y'", "x"),
    Bad("sensor of two sizes", lambda: events(sensor_size=(2, 2)), InputError, "sensor_size", r"\(2, 2\)", "width"),
    Bad("sample outside the batch", lambda: batch()[3], InputError, "index", "3", "1 sample"),
]  # fmt: skip
RESULTS = [
    Bad("labels too few", lambda: run().accuracy([0]), InputError, "y", "1|\\(1,\\)", "2"),
    Bad("label beyond the outputs", lambda: run().accuracy([0, 3]), InputError, "y", "3", "0"),
    Bad("labels fractional", lambda: run().latency_to_correct([0.5, 0.0]), InputError, "y", "float", "integers"),
    Bad("cut negative", lambda: run().anytime([-1]), InputError, "k", "-1", "0"),
    Bad("potentials not kept", lambda: run(keep=("counts",)).v, InputError, "keep", "counts", "v"),
]  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [*NEURONS, *PROJECTIONS, *NETWORKS, *SCHEDULES, *INPUTS, *RESULTS],
    ids=lambda bad: bad.name.replace(" ", "-"),
)
def test_bad_input_is_named(bad: Bad) -> None:
    with pytest.raises(bad.error) as caught:
        bad.call()
    message = str(caught.value)
    form = re.fullmatch(rf"(?:{bad.argument}): got (.*); accepted: (.*)", message, re.DOTALL)
    assert form, message
    assert re.search(bad.given, form[1]), f"{bad.given!r} not in what came: {message}"
    assert re.search(bad.accepted, form[2]), f"{bad.accepted!r} not in what is accepted: {message}"


def test_what_a_callable_raised_is_the_cause() -> None:
    with pytest.raises(ScheduleError) as caught:
        picking(explode)()
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("nonsense", [None, "01", 0, [[0, 1]], [0.5, 1.0], {0, 1}])
def test_nonsense_that_a_callable_returns_is_not_said_to_be_raised(nonsense: Any) -> None:
    with pytest.raises(ScheduleError, match=r"^pick: got ") as caught:
        picking(lambda pending, n, rng: nonsense)()
    assert "raised" not in str(caught.value)


def test_argument_errors_are_value_errors() -> None:
    for error in (NetworkError, InputError, ScheduleError):
        assert issubclass(error, ValueError)
        assert issubclass(error, PyasyncError)
    assert not issubclass(TraceError, ValueError)
