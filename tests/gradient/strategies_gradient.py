"""Hypothesis strategies for gradients: a recorded run, cotangents, and options of the gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from strategies import Case, cases
from strategies_network import reset_amounts, synaptic

SURROGATES = (
    ("atan", 2.0),
    ("fast_sigmoid", 25.0),
    ("sigmoid", 25.0),
    ("triangular", 1.0),
    ("straight_through_estimator", 1.0),
)
DROPOUTS = ("refractory_dropout", "spike_dropout")
SCOPES = ("spikes", "next_emission", "touched")


@dataclass(frozen=True)
class GradientCase:
    """A simulation, and all arguments of its gradient."""

    case: Case
    grad_counts: np.ndarray | None = None
    grad_output_v: np.ndarray | None = None
    grad_spike_counts: np.ndarray | None = None
    grad_state: np.ndarray | None = None  # potentials, then currents if there are any
    surrogate: tuple[str, float] = ("atan", 2.0)
    scope: str = "spikes"
    detach_reset: bool = True
    replayed: bool = False  # use the trace of a replay instead of the first run's

    @property
    def cotangents(self) -> tuple[np.ndarray | None, ...]:
        return self.grad_counts, self.grad_output_v, self.grad_spike_counts, self.grad_state

    @property
    def options(self) -> dict[str, Any]:
        return {
            "surrogate": self.surrogate,
            "scope": self.scope,
            "detach_reset": self.detach_reset,
            "initial_state": self.case.initial_state,
        }

    def sample(self, b: int, **case: Any) -> GradientCase:
        """The gradient of one sample; `case` says how its input is given."""
        c = self.case
        names = ("initial_v", "initial_current")
        starts = {name: getattr(c, name) for name in names}
        case |= {name: None if each is None else each[[b]] for name, each in starts.items()}
        return replace(
            self,
            case=replace(c, **case),
            **{
                name: None if (each := getattr(self, name)) is None else each[:, [b]]
                for name in ("grad_counts", "grad_output_v")
            },
            **{
                name: None if (each := getattr(self, name)) is None else each[[b]]
                for name in ("grad_spike_counts", "grad_state")
            },
        )


def cotangents(
    case: Case, rng: np.random.Generator, some: tuple[bool, bool, bool, bool]
) -> tuple[np.ndarray | None, ...]:
    """Random dL/d of each result; None for those that the loss ignores."""
    n, B, T = case.net.n_neurons, len(case.spikes), case.n_timesteps
    by_timestep = (T, B, len(case.net.output_ids))
    shapes = (by_timestep, by_timestep, (B, n), (B, case.net.n_state))
    return tuple(
        rng.normal(0, 1, shape).astype(case.net.dtype) if used else None
        for shape, used in zip(shapes, some, strict=True)
    )


@st.composite
def eventful(draw: st.DrawFn, case: Case) -> Options:
    """The case's options, or ones that make rare things common: carried, lost, second spikes."""
    o, layered = case.options, case.schedule.kind == "Layered"
    some = draw(st.sampled_from([(), (), ("carried",), ("dropped",), ("carried", "dropped")]))
    if "carried" in some and not layered:
        o = replace(
            o,
            max_forward_steps=draw(st.sampled_from([2, 3, 5])),
            on_stop="carry",
            input_mode=draw(st.sampled_from(["at_once", "scheduled"])),
        )
    if "dropped" in some:
        steps = o.max_forward_steps if layered else min(o.max_forward_steps, 30)
        p = {name: draw(st.sampled_from([0.3, 0.6])) for name in DROPOUTS}
        o = replace(o, max_forward_steps=steps, **p)
    return o


def without_ties(net: Network) -> Network:
    """The network with thresholds that no potential reaches exactly.

    At 0 the triangular surrogate changes sign, and summing in another order could end on the other
    side.
    """
    neurons = [
        p.neuron | {"v_threshold": p.neuron["v_threshold"] + 0.0137} for p in net.populations
    ]
    pairs = zip(net.populations, neurons, strict=True)
    return replace(net, populations=tuple(replace(p, neuron=neuron) for p, neuron in pairs))


@st.composite
def gradient_cases(
    draw: st.DrawFn, dtypes: tuple[str, ...] = ("float64",), **arguments: Any
) -> GradientCase:
    """Any network, schedule, stop and dropout of `cases`, under any option of the gradient."""
    case = draw(cases(draw(st.sampled_from([None, None, None, ("Layered",)])), **arguments))
    case = replace(case, options=draw(eventful(case)))
    dtype = draw(st.sampled_from(dtypes))
    if case.net.dtype != dtype:
        starts = {name: getattr(case, name) for name in ("initial_v", "initial_current")}
        starts = {k: None if v is None else v.astype(dtype) for k, v in starts.items()}
        case = replace(case, net=replace(case.net, dtype=dtype), **starts)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    alone = [tuple(k == only for k in range(4)) for only in range(4)]
    surrogate = draw(st.sampled_from(SURROGATES))
    if draw(st.booleans()) and surrogate[0] != "straight_through_estimator":
        surrogate = (surrogate[0], draw(st.sampled_from([0.5, 0.7, 4.0])))
    if surrogate[0] == "triangular":
        case = replace(case, net=without_ties(case.net))
    return GradientCase(
        case,
        *cotangents(case, rng, draw(st.sampled_from([(True,) * 4, *alone]))),
        surrogate,
        draw(st.sampled_from(SCOPES)),
        draw(st.booleans()),
        draw(st.sampled_from([False, False, True])),
    )


@st.composite
def layered_chains(
    draw: st.DrawFn, dtype: str = "float64", plain: bool = False, **fixed: Any
) -> GradientCase:
    """Linear layers run by Layered under "touched", as a PyTorch loop would run them.

    If not `plain`: with biases, recurrent projections within layers, and one from the last layer to
    the first. No neuron is refractory where the gradient would treat that differently.
    `fixed["currents"]`: a choice of which populations have synaptic currents.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = [draw(st.integers(1, 12)) for _ in range(draw(st.integers(2, 4)))]
    names = ["input", *(f"p{k}" for k in range(len(sizes) - 1))]
    detach_reset = fixed.get("detach_reset", draw(st.booleans()))
    reset = fixed.get("reset", draw(st.sampled_from(["zero", "subtract", "none"])))
    refractory = "timestep" if detach_reset or reset != "zero" else "none"
    choice = fixed.get("currents", ["none"] if plain else ["none", "some"])
    currents = draw(st.sampled_from(choice))
    populations = tuple(
        Population(
            name,
            (n,),
            {
                "tau_mem": rng.choice([2e-3, 20e-3, 0.5], n),
                "v_threshold": float(rng.choice([0.25, 0.5, 1.0])),
                "reset": reset,
                "refractory": refractory,
                **draw(reset_amounts(reset, rng, (n,), [0.1, 0.6, 1.3])),
                **(draw(synaptic(rng, (n,))) if currents == "some" else {}),
                **({"tau_syn": rng.choice([5e-3, 20e-3, 0.1], n)} if currents == "all" else {}),
            },
        )
        for name, n in zip(names[1:], sizes[1:], strict=True)
    )

    def linear(source: int, target: int, mean: float, bias: bool) -> Projection:
        shape = (sizes[target], sizes[source])
        w = rng.normal(mean, 1.2, shape) / np.sqrt(shape[1])
        b = rng.normal(0.05, 0.2, shape[0]).astype(dtype) if bias else None
        return Projection(
            names[source], names[target], "Linear", {"weight": w.astype(dtype), "bias": b}
        )

    some = [not plain and draw(st.booleans()) for _ in range(2 * len(sizes))]
    last = len(sizes) - 1
    projections = [linear(k, k + 1, 0.5, some[k]) for k in range(last)]
    projections += [linear(k, k, -0.2, False) for k in range(1, last + 1) if some[-k]]
    if some[last] and last > 1:
        projections.append(linear(last, 1, 0.2, False))
    net = Network((sizes[0],), populations, tuple(projections), dtype)
    T, B = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    x = rng.normal(0.5, 0.8, (T, B, sizes[0])) * (rng.random((T, B, sizes[0])) < 0.7)
    v = rng.normal(0, 0.3, (B, net.n_neurons)).astype(dtype) if some[-1] else None
    current = np.where(net.has_current, rng.normal(0, 0.3, (B, net.n_neurons)), 0).astype(dtype)
    current = current if some[-last - 1] else None
    case = Case(net, x.astype(dtype), Schedule("Layered"), initial_v=v, initial_current=current)
    return GradientCase(
        case,
        *cotangents(case, rng, (True, not plain, not plain, True)),
        draw(st.sampled_from(fixed.get("surrogates", SURROGATES))),
        "touched",
        detach_reset,
    )
