"""Build a described case in pyasync, run it there and in the oracle, and compare to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
from oracle_measures import Measures
from oracle_network import Network, Projection
from oracle_schedules import Schedule
from strategies import Case, Events

import pyasync as pa

KEEP = ("counts", "spike_counts", "output_spikes", "output_v", "v", "current")
STOPS = {
    "max_spikes": "MAX_SPIKES",
    "output_sample": "OUTPUT",
    "output_timestep": "OUTPUT",
    "max_forward_steps": "MAX_FORWARD_STEPS",
}
ENDING = ("sample", "timestep", "ending")
ENDINGS = ("quiescent", "discarded", "carried", "stopped")
MEASURES = (
    "counts", "spike_counts", "output_v", "v", "current", "spikes", "spike_density",
    "forward_steps",
    "synaptic_operations", "neuron_updates", "max_pending", "mean_pending",
    "events_before_firing", "latency", "reached_quiescence",
)  # fmt: skip


def build(net: Network) -> pa.Network:
    """Build the pyasync network of a description."""
    shape = net.input_shape
    network = (
        pa.Network(shape[0], dtype=net.dtype)
        if len(shape) == 1
        else pa.Network(input_shape=shape, dtype=net.dtype)
    )
    for p in net.populations:
        network.add(p.name, p.shape, pa.LIF(**p.neuron))
    for q in net.projections:
        network.connect(q.source, q.target, projection(q))
    if net.output is not None:
        network.output = net.output
    return network


def projection(p: Projection) -> Any:
    return getattr(pa, p.kind)(**p.arguments)


def build_schedule(s: Schedule) -> Any:
    takes = {
        "Random": ("seed",),
        "Momentum": ("noise", "seed"),
        "Priority": ("values",),
        "Custom": ("pick",),
        "Layered": (),
    }
    arguments = {name: getattr(s, name) for name in takes.get(s.kind, ())}
    if s.kind != "Layered":
        arguments["forward_group_size"] = s.F
    return getattr(pa, s.kind)(**arguments)


def build_input(case: Case) -> Any:
    if isinstance(case.x, Events):
        e = case.x
        return pa.SpikeBatch(
            e.channel,
            e.offsets,
            e.n_timesteps,
            case.net.input_shape,
            multiplicity=e.multiplicity,
            dt=case.dt,
        )
    return case.x


def batch_of(case: Case) -> pa.SpikeBatch:
    """The case's input as a SpikeBatch, so that samples can be picked."""
    x = build_input(case)
    if isinstance(x, pa.SpikeBatch):
        return x
    return pa.SpikeBatch.from_dense(x.reshape(*x.shape[:2], *case.net.input_shape), dt=case.dt)


def initial(case: Case, samples: Any) -> dict[str, np.ndarray | None]:
    """The arguments of `simulate` for the initial values of some of a case's samples."""
    given = {"initial_v": case.initial_v, "initial_current": case.initial_current}
    return {name: None if each is None else each[samples] for name, each in given.items()}


def run(case: Case, network: pa.Network | None = None, **overrides: Any) -> pa.Result:
    """Simulate a case in pyasync; overrides replace arguments of `simulate`, x included."""
    o = case.options
    arguments: dict[str, Any] = {
        "x": build_input(case),
        "schedule": build_schedule(case.schedule),
        "dt": case.dt,
        "seed": case.seed,
        "sample_ids": None if case.sample_ids is None else np.array(case.sample_ids, np.uint64),
        "threads": 1,
        "keep": KEEP,
        "record": True,
        **initial(case, slice(None)),
        **vars(o),
    }
    return pa.simulate(
        build(case.net) if network is None else network, **{**arguments, **overrides}
    )


def run_oracle(case: Case, network: pa.Network) -> Measures:
    samples = oracle.simulate(
        case.net,
        network.decay(case.dt),
        case.spikes,
        case.schedule,
        case.options,
        case.seed,
        case.sample_ids,
        case.initial_v,
        case.initial_current,
        network.synaptic_decay(case.dt),
    )
    return Measures(case.net, samples, case.n_timesteps)


def same(actual: Any, expected: np.ndarray, name: str) -> None:
    """Equal shape, type and bits (so -0.0 differs from 0.0, and NaN equals NaN)."""
    actual = np.asarray(actual)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), name
    unsigned = f"u{expected.itemsize}"
    bits, wanted = (
        np.ascontiguousarray(actual).view(unsigned),
        np.ascontiguousarray(expected).view(unsigned),
    )
    quiet = np.isnan(expected) if expected.dtype.kind == "f" else np.zeros(expected.shape, bool)
    different = (bits != wanted) & ~(
        quiet & np.isnan(actual) if expected.dtype.kind == "f" else quiet
    )
    at = np.argwhere(different)[:5].tolist()
    assert not at, f"{name}: {actual[different][:5]} in place of {expected[different][:5]} at {at}"


def assert_same_results(a: pa.Result, b: pa.Result) -> None:
    """Two runs of the engine agree in every bit of what they measured."""
    for name in (*MEASURES, "stopped_by"):
        same(getattr(a, name), np.asarray(getattr(b, name)), name)


def assert_equals_oracle(result: pa.Result, m: Measures) -> None:
    for name in MEASURES:
        same(getattr(result, name), getattr(m, name), name)
    stops = [[stop for stop in sample.stops if stop] for sample in m.samples]
    assert result.stopped_by.tolist() == [pa.StopReason[STOPS[s[-1]]] if s else 0 for s in stops]
    same(result.decisions(), m.decisions(), "decisions")
    cuts = [0, 1, 2, 3, 7, 20, 10_000]
    same(result.anytime(cuts), m.anytime(cuts), "anytime")
    n_outputs = len(m.net.output_ids)
    y = np.arange(len(m.samples)) % n_outputs
    same(result.latency_to_correct(y), m.latency_to_correct(y), "latency_to_correct")
    for name, counts in m.population_spikes().items():
        assert result.population_spikes()[name].tolist() == counts.tolist(), name
    assert result.trace is not None
    assert_same_trace(result.trace, m)


def ending_code(ending: str, stop: str) -> int:
    """The number of an ending in a trace: 0 if quiescent, then three stops for each other kind."""
    kind = ENDINGS.index(ending)
    return 3 * (kind - 1) + pa.StopReason[STOPS[stop]] if kind else 0


def assert_same_trace(trace: pa.Trace, m: Measures) -> None:
    """The trace equals the oracle's record: steps, emitted, fired, v', joins, endings."""
    rows, emitted, fired, joined, endings = [], [], [], [], []
    for b, sample in enumerate(m.samples):
        for s in sample.steps:
            rows.append((b, s.timestep, s.step, len(s.emitted), len(s.fired)))
            emitted += [spike.arrival for spike in s.emitted]
            fired += [
                (spike.neuron, float(np.float32(spike.v)), spike.skipped, spike.lost)
                for spike in s.fired
            ]
        joined += [(b, t, channel) for t, channel in sample.joined]
        endings += [
            (b, t, ending_code(ending, stop))
            for t, (ending, stop) in enumerate(zip(sample.endings, sample.stops, strict=True))
        ]
    steps = trace.to_steps()
    fields = ("sample", "timestep", "step", "n_emitted", "n_fired")
    assert [tuple(int(r[f]) for f in fields) for r in steps.steps] == rows
    assert steps.emitted.tolist() == emitted
    assert steps.fired.tolist() == fired
    assert [
        (int(r["sample"]), int(r["timestep"]), int(r["channel"])) for r in steps.joined
    ] == joined
    assert [tuple(int(r[f]) for f in ENDING) for r in steps.endings] == endings
