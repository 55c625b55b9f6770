"""Hypothesis strategies for inputs, schedules, stops and whole simulations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from oracle import Options, canonical
from oracle_network import Network
from oracle_schedules import Schedule
from strategies_network import networks

Spikes = list[list[list[tuple[int, float]]]]


@dataclass(frozen=True)
class Events:
    """The arguments of a `SpikeBatch`: unsorted events, with duplicates."""

    channel: np.ndarray
    offsets: np.ndarray
    n_timesteps: int
    multiplicity: np.ndarray | None

    def merged(self) -> Spikes:
        n_samples = (len(self.offsets) - 1) // self.n_timesteps
        segments = [self.segment(k) for k in range(n_samples * self.n_timesteps)]
        return [
            segments[b * self.n_timesteps : (b + 1) * self.n_timesteps] for b in range(n_samples)
        ]

    def segment(self, k: int) -> list[tuple[int, float]]:
        total: dict[int, float] = {}
        for at in range(self.offsets[k], self.offsets[k + 1]):
            m = 1.0 if self.multiplicity is None else float(self.multiplicity[at])
            channel = int(self.channel[at])
            total[channel] = total[channel] + m if channel in total else m
        return [(c, m) for c, m in sorted(total.items()) if m != 0]


@dataclass(frozen=True)
class Case:
    """All arguments of one simulation."""

    net: Network
    x: np.ndarray | Events
    schedule: Schedule
    options: Options = field(default_factory=Options)
    seed: int = 0
    sample_ids: list[int] | None = None
    dt: float = 0.01
    initial_v: np.ndarray | None = None
    initial_current: np.ndarray | None = None  # 0 for neurons without tau_syn

    @property
    def initial_state(self) -> np.ndarray | None:
        """The initial potentials, then the currents if there are any: the engine's state."""
        given = [self.initial_v, self.initial_current]
        like = next((each for each in given if each is not None), None)
        if like is None:
            return None
        parts = [np.zeros_like(like) if each is None else each for each in given]
        return np.concatenate(parts if self.net.has_current.any() else parts[:1], axis=1)

    @property
    def spikes(self) -> Spikes:
        return self.x.merged() if isinstance(self.x, Events) else canonical(self.x)

    @property
    def n_timesteps(self) -> int:
        return self.x.n_timesteps if isinstance(self.x, Events) else len(self.x)


@st.composite
def inputs(
    draw: st.DrawFn, net: Network, max_samples: int = 4, exact: bool = False
) -> np.ndarray | Events:
    """Dense bool, count or current input, or events with duplicates."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, T, B = (
        int(np.prod(net.input_shape)),
        draw(st.sampled_from([3, 4, 2, 1])),
        draw(st.sampled_from([*range(max_samples, 0, -1)])),
    )
    form = draw(st.sampled_from(["bool", "count", "current", "events", "weighted events"]))
    if form.endswith("events"):
        sizes = rng.poisson(draw(st.sampled_from([0.5, 1.2])) * n, T * B)
        channel = rng.integers(0, n, sizes.sum()).astype(
            draw(st.sampled_from(["uint8", "uint32", "int64"]))
        )
        multiplicity = (
            None
            if form == "events"
            else rng.integers(-1, 4, len(channel)) * (1.0 if exact else 0.3)
        )
        return Events(
            channel, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), T, multiplicity
        )
    shape = (T, B, n) if draw(st.booleans()) else (T, B, *net.input_shape)
    x: np.ndarray = rng.random(shape) < draw(st.sampled_from([0.2, 0.5, 0.9]))
    if form == "count":
        return (x * rng.integers(1, 4, shape)).astype(
            draw(st.sampled_from(["uint8", "int32", "uint64"]))
        )
    if form == "current":
        values = rng.integers(-2, 7, shape) / 4 if exact else rng.normal(0.4, 0.6, shape)
        return (x * values).astype(draw(st.sampled_from(["float32", "float64"])))
    return x


def spread(pending: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(len(pending))[:n]


def ends_first(pending: np.ndarray, n: int, rng: np.random.Generator) -> list[int]:
    return sorted(
        range(len(pending)),
        key=lambda k: (int(pending["neuron"][k]) % 3, -int(pending["arrival"][k])),
    )[:n]


@st.composite
def schedules(
    draw: st.DrawFn, net: Network, kinds: tuple[str, ...] | None = None, max_group: int = 12
) -> Schedule:
    kind = draw(
        st.sampled_from(
            kinds
            or ("Random", "Random", "Momentum", "Fifo", "Lifo", "Priority", "Custom", "Layered")
        )
    )
    F, seed = draw(st.integers(1, max_group)), draw(st.one_of(st.none(), st.integers(0, 2**64 - 1)))
    noise = draw(st.sampled_from([0.0, 1e-6, 0.5])) if kind == "Momentum" else 0.0
    rng = np.random.default_rng(F)
    values = (
        rng.choice([-np.inf, -1.0, -0.0, 0.0, 0.5, np.inf], net.n_neurons)
        if kind == "Priority"
        else None
    )
    pick = draw(st.sampled_from([spread, ends_first])) if kind == "Custom" else None
    return Schedule(kind, F, seed if kind in ("Random", "Momentum") else None, noise, values, pick)


@st.composite
def dropouts(draw: st.DrawFn, bounded: bool) -> dict[str, float]:
    """Mostly none, always none if not `bounded`; refractoriness is never skipped for certain."""
    if not bounded or draw(st.sampled_from([True, True, False])):
        return {}
    return {
        "refractory_dropout": draw(st.sampled_from([0.0, 0.3, 0.6])),
        "spike_dropout": draw(st.sampled_from([0.0, 0.5, 1.0])),
    }


@st.composite
def options(draw: st.DrawFn, net: Network, schedule: Schedule) -> Options:
    bounded = (
        all(p.neuron["refractory"] == "timestep" for p in net.populations)
        or schedule.kind == "Layered"
    )
    layered = schedule.kind == "Layered"
    return Options(
        input_mode="at_once"
        if layered
        else draw(st.sampled_from(["at_once", "at_once", "scheduled"])),
        max_forward_steps=draw(st.sampled_from([1_000_000, 1_000_000, 12, 5, 2, 1]))
        if bounded
        else draw(st.sampled_from([14, 8, 3, 1])),
        max_spikes=draw(st.one_of(st.none(), st.none(), st.sampled_from([1, 5, 20, 60]))),
        stop_on_output=draw(st.sampled_from([None, None, "timestep", "sample"])),
        extra_steps=draw(st.integers(0, 3)),
        on_stop="discard" if layered else draw(st.sampled_from(["discard", "carry"])),
        **draw(dropouts(bounded)),
    )


@st.composite
def cases(
    draw: st.DrawFn,
    kinds: tuple[str, ...] | None = None,
    stops: bool = True,
    max_group: int = 12,
    max_samples: int = 4,
    **network: Any,
) -> Case:
    """A whole simulation; `stops=False`: every timestep reaches quiescence."""
    net = draw(networks(**network) if stops else networks(refractory="timestep", **network))
    x = draw(inputs(net, max_samples))
    schedule = draw(schedules(net, kinds, max_group))
    run = draw(options(net, schedule)) if stops else Options()
    dt = draw(st.one_of(st.sampled_from([0.001, 0.005, 0.02]), st.floats(1e-4, 0.1)))
    case = Case(net, x, schedule, run, draw(st.integers(0, 2**64 - 1)), None, dt)
    n_samples = len(case.spikes)
    if draw(st.booleans()):
        ids = st.lists(st.integers(0, 2**64 - 1), min_size=n_samples, max_size=n_samples)
        case = replace(case, sample_ids=draw(ids))
    rng = np.random.default_rng(n_samples)
    for name in ("initial_v", "initial_current"):
        if draw(st.sampled_from([False, False, True])):
            values = rng.normal(0, 0.3, (n_samples, net.n_neurons)).astype(net.dtype)
            given = values if name == "initial_v" else np.where(net.has_current, values, 0)
            case = replace(case, **{name: given})
    return case
