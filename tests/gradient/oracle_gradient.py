"""The gradient of docs/semantics.md in slow, obvious NumPy: one recorded sample at a time.

There are two passes. `Forward` follows the recorded steps: the trace says which neurons fired, each
v' is recomputed (in the network's dtype, in the engine's order), and every spike notes where it was
delivered. `Reverse` walks the same steps backward, in float64, with the formulas written out. Only
the first pass depends on whether a run was layered, which decides what was delivered where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from oracle_network import Network, Projection, bias_vector, layered_order, weight_matrix

Spikes = list[list[list[tuple[int, float]]]]
Surrogate = tuple[str, float]

DERIVATIVES: dict[str, Callable[[float, float], float]] = {
    "atan": lambda x, alpha: alpha / 2 / (1 + (np.pi / 2 * alpha * x) ** 2),
    "fast_sigmoid": lambda x, slope: 1 / (1 + slope * abs(x)) ** 2,
    "sigmoid": lambda x, slope: (
        slope * np.exp(-slope * abs(x)) / (1 + np.exp(-slope * abs(x))) ** 2
    ),
    "triangular": lambda x, threshold: threshold if x < 0 else -threshold,
    "straight_through_estimator": lambda x, _: 1.0,
}


def parameter_size(p: Projection, n_out: int) -> int:
    if p.kind.endswith("Pool2d"):
        return 0
    if p.kind == "OneToOne":  # the engine treats one weight for all as n equal weights
        return n_out
    return np.size(p.arguments["csr"][2] if p.kind == "Sparse" else p.arguments["weight"])


def parameter_index(p: Projection, source: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """For each entry of a projection's matrix, its index in the flat parameter; -1 for none."""
    a = p.arguments
    if p.kind.endswith("Pool2d"):
        return np.full((int(np.prod(target)), int(np.prod(source))), -1)
    if p.kind == "Sparse":
        indptr, indices, values = a["csr"]
        # A stored zero is not a synapse.
        entries = np.where(np.asarray(values) == 0, 0.0, 1.0 + np.arange(len(values)))
        numbered = {"csr": (indptr, indices, entries)}
    elif p.kind == "OneToOne":
        numbered = {"weight": 1.0 + np.arange(int(np.prod(source)))}
    else:
        numbered = {"weight": 1.0 + np.arange(np.size(a["weight"])).reshape(np.shape(a["weight"]))}
    matrix = weight_matrix(replace(p, arguments={**a, **numbered}), source, target, "float64")
    return matrix.astype(np.int64) - 1


@dataclass(eq=False)
class Spike:
    neuron: int  # -1 - channel for an input spike
    timestep: int  # in which it fired or joined
    multiplicity: float = 1.0
    skipped: bool = False  # did not make its neuron refractory
    lost: bool = False  # is emitted but delivers nothing
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass(eq=False)
class Update:
    """A node of the graph: the update of a touched neuron that was not refractory."""

    neuron: int
    v: float  # v'
    x: float  # v' - v_threshold
    spike: Spike | None


@dataclass(eq=False)
class Step:
    """One forward step: what arrived, which neurons were updated, and (after Reverse) adjoint b."""

    timestep: int
    refractory: np.ndarray  # before the step
    # Potentials and currents before the decay, in the first step of a timestep.
    v_before: np.ndarray | None
    current_before: np.ndarray | None
    flows: np.ndarray  # whose current is part of what arrives, if it is not 0
    emitted: list[Spike] = field(default_factory=list)
    biased: list[int] = field(default_factory=list)  # projections whose biases arrive
    opened: list[int] = field(default_factory=list)  # projections that deliver all of the input
    arriving: list[tuple[int, Spike]] = field(default_factory=list)  # projection, spike
    updates: list[Update] = field(default_factory=list)
    b: np.ndarray = field(default_factory=lambda: np.zeros(0))


Delivery = tuple[int, Step]  # along which projection, in which step
Row = tuple[int, int, list[int], dict[int, Spike]]  # timestep, step, emitted, fired by neuron


class Parameters:
    """A described network as matrices, biases and per-neuron values."""

    def __init__(self, net: Network, beta: np.ndarray, alpha: np.ndarray):
        self.net, self.beta, self.alpha = net, beta, alpha
        self.has_current = net.has_current
        ends = [(p, net.shape(p.source), net.shape(p.target)) for p in net.projections]
        self.matrices = [weight_matrix(*end, net.dtype) for end in ends]
        self.indices = [parameter_index(*end) for end in ends]
        self.biases = [bias_vector(p, target, net.dtype) for p, _, target in ends]
        self.targets = [
            slice(net.offset(p.target), net.offset(p.target) + len(m))
            for p, m in zip(net.projections, self.matrices, strict=True)
        ]
        self.population_of = [p.name for p in net.populations for _ in range(p.size)]
        self.theta = self.per_neuron("v_threshold", 1.0).astype(net.dtype)
        amount = self.per_neuron("reset_amount", np.nan).astype(net.dtype)
        self.has_amount = ~np.isnan(amount)  # a constant, where it is not the threshold
        self.amount = np.where(self.has_amount, amount, self.theta)
        self.reset = self.per_neuron("reset", "zero")
        self.can_rest = self.per_neuron("refractory", "timestep") == "timestep"

    def per_neuron(self, name: str, default: Any) -> np.ndarray:
        values = (
            np.broadcast_to(p.neuron.get(name, default), p.shape).ravel()
            for p in self.net.populations
        )
        return np.concatenate(list(values))

    def leaving(self, neuron: int) -> list[int]:
        """The projections that deliver spikes of a neuron (or of the input: -1 - channel)."""
        source = "input" if neuron < 0 else self.population_of[neuron]
        return [k for k, p in enumerate(self.net.projections) if p.source == source]

    def column(self, k: int, neuron: int) -> int:
        return (
            -1 - neuron if neuron < 0 else neuron - self.net.offset(self.net.projections[k].source)
        )


class Forward:
    """Runs the recorded steps of one sample again and notes what was delivered where."""

    def __init__(
        self,
        p: Parameters,
        inputs: list[list[tuple[int, float]]],
        v: np.ndarray,
        current: np.ndarray,
    ):
        self.p, self.dtype = p, np.dtype(p.net.dtype)
        self.inputs = [
            [Spike(-1 - c, t, float(self.dtype.type(m))) for c, m in row]
            for t, row in enumerate(inputs)
        ]
        self.v, self.current = v.astype(self.dtype), current.astype(self.dtype)
        self.steps: list[Step] = []

    def open(self, timestep: int, step: int) -> Step:
        v_before = current_before = None
        none = np.zeros(len(self.v), bool)
        if step == 0:
            v_before, self.v = self.v, self.v * self.p.beta
            current_before, self.current = self.current, self.current * self.p.alpha
            self.is_refractory = none.copy()
        self.v, self.current = self.v.copy(), self.current.copy()
        self.i, self.touched = np.zeros(len(self.v), self.dtype), none.copy()
        self.steps.append(
            Step(timestep, self.is_refractory.copy(), v_before, current_before, none.copy())
        )
        return self.steps[-1]

    def deliver_currents(self, now: Step, neurons: np.ndarray) -> None:
        now.flows = neurons & self.p.has_current
        flowing = now.flows & (self.current != 0)
        self.i[flowing] = self.i[flowing] + self.current[flowing]
        self.current[now.flows] = 0.0
        self.touched |= flowing

    def arrive(self, k: int, events: np.ndarray, exist: np.ndarray) -> None:
        reached = self.p.targets[k].start + np.flatnonzero(exist)
        self.i[reached] = self.i[reached] + events[exist]
        self.touched[reached] = True

    def deliver_bias(self, k: int, now: Step) -> None:
        now.biased.append(k)
        self.arrive(k, self.p.biases[k], self.p.biases[k] != 0)

    def deliver(self, k: int, spike: Spike, now: Step) -> None:
        if not spike.lost:
            spike.deliveries.append((k, now))
            now.arriving.append((k, spike))
            weights = self.p.matrices[k][:, self.p.column(k, spike.neuron)]
            self.arrive(k, weights * self.dtype.type(spike.multiplicity), weights != 0)

    def update(self, now: Step, fired: dict[int, Spike]) -> None:
        p = self.p
        takes = self.touched & p.has_current
        self.current[takes] = self.current[takes] + self.i[takes]
        for j in map(int, np.flatnonzero(self.touched & ~self.is_refractory)):
            v, spike = self.v[j] + self.i[j], fired.get(j)
            now.updates.append(Update(j, float(v), float(v - p.theta[j]), spike))
            self.v[j] = v
            if spike is not None:
                if p.reset[j] != "none":
                    self.v[j] = 0 if p.reset[j] == "zero" else v - p.amount[j]
                self.is_refractory[j] = p.can_rest[j] and not spike.skipped
        assert set(fired) <= {u.neuron for u in now.updates}, "only who is updated can fire"

    def asynchronous(self, rows: list[Row], at_once: bool) -> None:
        arrivals: list[Spike] = []
        for timestep, step, emitted, fired in rows:
            now = self.open(timestep, step)
            if step == 0:
                self.deliver_currents(now, np.ones(len(self.v), bool))
                for k in range(len(self.p.matrices)):
                    self.deliver_bias(k, now)
                now.opened = self.p.leaving(-1) if at_once else []
            now.emitted = [arrivals[arrival] for arrival in sorted(emitted)]
            for spike in self.inputs[timestep] if step == 0 and at_once else now.emitted:
                for k in self.p.leaving(spike.neuron):
                    self.deliver(k, spike, now)
            self.update(now, fired)
            arrivals += fired.values()
            if step == 0 and not at_once:
                arrivals += self.inputs[timestep]

    def layered(self, rows: list[Row]) -> None:
        net = self.p.net
        order, self.feedback = layered_order(net)
        self.visits: dict[tuple[int, str], Step] = {}
        fired_in: dict[int, list[Spike]] = {-1: []}  # by timestep
        for timestep, step, _, fired in rows:
            now, now_fired = self.open(timestep, step), fired_in.setdefault(timestep, [])
            if step < len(order):  # the last step only emits
                visited = net.populations[order[step]]
                self.visits[timestep, visited.name] = now
                into = [k for k, p in enumerate(net.projections) if p.target == visited.name]
                here = np.array(self.p.population_of) == visited.name
                self.deliver_currents(now, here)
                for k in into:
                    self.deliver_bias(k, now)
                for k in into:
                    for spike in self.group(k, timestep, fired_in):
                        self.deliver(k, spike, now)
                now.opened = [k for k in into if net.projections[k].source == "input"]
                self.touched = here
                self.update(now, fired)
                now_fired += fired.values()

    def group(self, k: int, timestep: int, fired_in: dict[int, list[Spike]]) -> list[Spike]:
        """The spikes that a projection delivers when its target is visited, in id order."""
        source = self.p.net.projections[k].source
        if source == "input":
            return self.inputs[timestep]
        fired = fired_in[timestep - self.feedback[k]]
        own = [spike for spike in fired if self.p.population_of[spike.neuron] == source]
        return sorted(own, key=lambda spike: spike.neuron)

    def silence(self, scope: str, layered: bool, at: int, neuron: int) -> list[Delivery]:
        """Where a silent update would have been delivered, had it been a spike."""
        now, p = self.steps[at], self.p
        later = [step for step in self.steps[at + 1 :] if step.timestep == now.timestep]
        if scope == "touched" and layered:
            ends = [
                (k, (now.timestep + self.feedback[k], p.net.projections[k].target))
                for k in p.leaving(neuron)
            ]
            return [(k, self.visits[end]) for k, end in ends if end in self.visits]
        if scope == "touched":
            return [(k, step) for step in later[:1] for k in p.leaving(neuron)]
        if scope == "next_emission":
            emissions = [s for step in later for s in step.emitted if s.neuron == neuron]
            return emissions[0].deliveries if emissions else []
        return []


@dataclass
class Gradient:
    """Gradients: summed over the samples, except those that each sample has separately."""

    matrices: list[np.ndarray]
    biases: list[np.ndarray]
    beta: np.ndarray
    v_threshold: np.ndarray
    alpha: np.ndarray
    input: np.ndarray
    initial_state: np.ndarray
    scale: float = 1.0  # the largest adjoint found, to which rounding errors are relative


class Reverse:
    """Walks one sample backward; `e_counts[t]` is dL/d count of every neuron in timestep t."""

    def __init__(self, p: Parameters, run: Forward, scope: str, layered: bool, g: Gradient):
        self.p, self.run, self.scope, self.layered, self.g = p, run, scope, layered, g

    def walk(
        self,
        b: int,
        a: np.ndarray,
        current: np.ndarray,
        a_ends: np.ndarray,
        e_counts: np.ndarray,
        surrogate: Surrogate,
        detach_reset: bool,
    ) -> None:
        """`a` and `current`: dL/d final potentials, and currents (0 where there are none).

        `a_ends[t]`: dL/d the potentials at the end of timestep t, apart from what follows.
        """
        p, g = self.p, self.g
        derivative = DERIVATIVES[surrogate[0]]
        for at in reversed(range(len(self.run.steps))):
            step = self.run.steps[at]
            if at + 1 == len(self.run.steps) or self.run.steps[at + 1].timestep > step.timestep:
                a = a + a_ends[step.timestep]
            step.b = np.where(step.refractory, 0.0, a) + current
            for u in step.updates:
                j, z = u.neuron, u.spike is not None
                to = u.spike.deliveries if u.spike else self.silence(at, j)
                e = e_counts[step.timestep, j] + self.emission_term(j, to)
                s = derivative(u.x, surrogate[1])
                # A neuron that never fires is never reset.
                constant = detach_reset or p.theta[j] == np.inf
                rests = z and p.can_rest[j] and not u.spike.skipped and not self.layered
                if p.reset[j] == "zero":
                    if rests and not detach_reset:
                        a[j] = 0.0
                    through = s * (e - (0.0 if constant else a[j] * u.v))
                    after = a[j] * (1 - z) + through
                elif p.reset[j] == "subtract":
                    through = s * (e - (0.0 if constant else a[j] * float(p.amount[j])))
                    after = a[j] + through
                    g.v_threshold[j] -= 0.0 if p.has_amount[j] else a[j] * z
                else:
                    through = s * e
                    after = a[j] + through
                g.v_threshold[j] -= through
                g.scale = max(g.scale, abs(e), abs(after), abs(a[j] * u.v))
                a[j], step.b[j] = after, after + current[j]
            self.deliver_back(step, b)
            g.scale = max(g.scale, float(np.abs(step.b[p.has_current]).max(initial=0.0)))
            current = np.where(step.flows, step.b, current)
            if step.v_before is not None:
                g.beta += a * step.v_before
                g.alpha += current * step.current_before
                a *= p.beta
                current = current * p.alpha
        g.initial_state[b] = np.concatenate([a, current])[: g.initial_state.shape[1]]

    def silence(self, at: int, neuron: int) -> list[Delivery]:
        return self.run.silence(self.scope, self.layered, at, neuron)

    def emission_term(self, neuron: int, deliveries: list[Delivery]) -> float:
        p = self.p
        return sum(
            float(p.matrices[k][:, p.column(k, neuron)].astype(float) @ step.b[p.targets[k]])
            for k, step in deliveries
        )

    def deliver_back(self, step: Step, b: int) -> None:
        p, g = self.p, self.g
        for k in step.biased:
            g.biases[k] += step.b[p.targets[k]]
        for k, spike in step.arriving:
            column, b_k = p.column(k, spike.neuron), step.b[p.targets[k]]
            g.matrices[k][:, column] += spike.multiplicity * b_k
            if spike.neuron < 0 and k not in step.opened:
                g.input[spike.timestep, b, column] += p.matrices[k][:, column].astype(float) @ b_k
        for k in step.opened:
            g.input[step.timestep, b] += p.matrices[k].T.astype(float) @ step.b[p.targets[k]]


def rows_of(steps: Any, sample: int) -> list[Row]:
    """The recorded forward steps of one sample."""
    emitted, fired, rows = 0, 0, []
    flags = [n for n in ("skipped", "lost") if n in (steps.fired.dtype.names or ())]
    for row in steps.steps:
        timestep, step = int(row["timestep"]), int(row["step"])
        first, emitted = emitted, emitted + int(row["n_emitted"])
        first_fired, fired = fired, fired + int(row["n_fired"])
        if row["sample"] == sample:
            spikes = {
                int(f["neuron"]): Spike(
                    int(f["neuron"]), timestep, **{name: bool(f[name]) for name in flags}
                )
                for f in steps.fired[first_fired:fired]
            }
            rows.append((timestep, step, steps.emitted[first:emitted].tolist(), spikes))
    return rows


def run_again(
    p: Parameters,
    inputs: list[list[tuple[int, float]]],
    steps: Any,
    sample: int,
    initial_state: np.ndarray | None,
    layered: bool,
    at_once: bool,
) -> Forward:
    n = p.net.n_neurons
    state = np.zeros(2 * n)
    if initial_state is not None:
        state[: initial_state.shape[1]] = initial_state[sample]
    run = Forward(p, inputs, state[:n], state[n:])
    rows = rows_of(steps, sample)
    if layered:
        run.layered(rows)
    else:
        run.asynchronous(rows, at_once)
    return run


def gradient(
    net: Network,
    beta: np.ndarray,
    alpha: np.ndarray,
    spikes: Spikes,
    steps: Any,
    grad_counts: np.ndarray | None,
    grad_output_v: np.ndarray | None,
    grad_spike_counts: np.ndarray | None,
    grad_state: np.ndarray | None,
    *,
    surrogate: Surrogate,
    scope: str,
    detach_reset: bool,
    initial_state: np.ndarray | None = None,
    layered: bool = False,
    at_once: bool = True,
) -> dict[str, Any]:
    """The results of `_core.gradient`, and "scale".

    `spikes[b][t]` as returned by `oracle.canonical`, `steps` as by `Trace.to_steps`. A state is all
    potentials, then all currents if any neuron has one.
    """
    p = Parameters(net, beta, alpha)
    n, B, T = net.n_neurons, len(spikes), len(spikes[0])
    g = Gradient(
        [np.zeros(m.shape) for m in p.matrices],
        [np.zeros(len(m)) for m in p.matrices],
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros((T, B, int(np.prod(net.input_shape)))),
        np.zeros((B, net.n_state)),
    )
    for b in range(B):
        run = run_again(p, spikes[b], steps, b, initial_state, layered, at_once)
        ends = np.zeros(2 * n)
        if grad_state is not None:
            ends[: net.n_state] = grad_state[b]
        a, current = ends[:n], np.where(p.has_current, ends[n:], 0.0)
        e_counts = np.zeros((T, n))
        if grad_spike_counts is not None:
            e_counts += grad_spike_counts[b]
        if grad_counts is not None:
            e_counts[:, list(net.output_ids)] += grad_counts[:, b]
        a_ends = np.zeros((T, n))
        if grad_output_v is not None:
            a_ends[:, list(net.output_ids)] = grad_output_v[:, b]
        walk = Reverse(p, run, scope, layered, g).walk
        walk(b, a, current, a_ends, e_counts, surrogate, detach_reset)
    weights = []
    for projection, matrix, index in zip(net.projections, g.matrices, p.indices, strict=True):
        flat = np.zeros(parameter_size(projection, len(matrix)))
        np.add.at(flat, index[index >= 0], matrix[index >= 0])
        weights.append(flat)
    return {
        "weights": weights,
        "biases": g.biases,
        "beta": g.beta,
        "v_threshold": g.v_threshold,
        "alpha": g.alpha if p.has_current.any() else None,
        "input": g.input,
        "initial_state": g.initial_state,
        "scale": g.scale,
    }
