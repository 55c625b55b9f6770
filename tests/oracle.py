"""A slow, obvious implementation of docs/semantics.md and docs/DETERMINISM.md.

It shares no code with the engine: every projection becomes a plain weight matrix, every forward
step a loop over spikes, and all arithmetic is elementwise NumPy in the network's type, which rounds
once per operation and never fuses. Only `beta` and `alpha` are taken from the engine
(`Network.decay`, `Network.synaptic_decay`), which tests/unit/test_decay.py checks against
high-precision arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from oracle_network import Network, bias_vector, layered_order, weight_matrix
from oracle_schedules import Moment, Schedule, Spike, fate, rank, select


@dataclass(frozen=True)
class Options:
    input_mode: str = "at_once"
    max_forward_steps: int = 1_000_000
    max_spikes: int | None = None
    stop_on_output: str | None = None
    extra_steps: int = 0
    on_stop: str = "discard"
    refractory_dropout: float = 0.0
    spike_dropout: float = 0.0


@dataclass
class Step:
    """One forward step: emitted spikes in arrival order, and `(neuron, v')` of those fired."""

    timestep: int
    step: int
    emitted: list[Spike]
    fired: list[Spike]
    pending: int = 0


@dataclass
class Sample:
    """The complete record of one sample's run."""

    v: np.ndarray
    current: np.ndarray
    steps: list[Step] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)  # timestep, channel
    endings: list[str] = field(default_factory=list)  # one per timestep that was run
    stops: list[str] = field(default_factory=list)  # what stopped each timestep; "" for none
    v_by_timestep: list[np.ndarray] = field(default_factory=list)  # at the end of each
    synaptic_operations: int = 0
    neuron_updates: int = 0
    n_at_firing: list[int] = field(default_factory=list)

    @property
    def fired(self) -> list[tuple[int, int]]:
        """(timestep, neuron) of every spike of a neuron, in arrival order."""
        return [(s.timestep, spike.neuron) for s in self.steps for spike in s.fired]


class Engine:
    """One network, schedule and set of options; `run` simulates one sample."""

    def __init__(
        self,
        net: Network,
        beta: np.ndarray,
        schedule: Schedule,
        options: Options,
        seed: int,
        alpha: np.ndarray,
    ):
        self.net, self.schedule, self.options = net, schedule, options
        self.seed = seed if schedule.seed is None else schedule.seed
        self.dropout_seed = seed
        self.dtype = np.dtype(net.dtype)
        assert beta.dtype == alpha.dtype == self.dtype
        self.beta, self.alpha = beta, alpha
        self.has_current = net.has_current
        self.matrices = [
            weight_matrix(p, net.shape(p.source), net.shape(p.target), net.dtype)
            for p in net.projections
        ]
        self.biases = [bias_vector(p, net.shape(p.target), net.dtype) for p in net.projections]
        self.theta = self.per_neuron("v_threshold", 1.0).astype(self.dtype)
        given = self.per_neuron("reset_amount", np.nan).astype(self.dtype)
        self.amount = np.where(np.isnan(given), self.theta, given)
        self.reset = [p.neuron.get("reset", "zero") for p in net.populations for _ in range(p.size)]
        self.refractory = [
            p.neuron.get("refractory", "timestep") for p in net.populations for _ in range(p.size)
        ]
        self.sync = self.per_neuron("sync_threshold", 0)
        self.population_of = [i for i, p in enumerate(net.populations) for _ in range(p.size)]

    def per_neuron(self, name: str, default: float) -> np.ndarray:
        values = (
            np.broadcast_to(p.neuron.get(name, default), p.shape).ravel()
            for p in self.net.populations
        )
        return np.concatenate(list(values))

    def run(
        self,
        spikes: list[list[tuple[int, float]]],
        sample_id: int,
        initial_v: np.ndarray | None = None,
        initial_current: np.ndarray | None = None,
    ) -> Sample:
        """Run a sample; `spikes[t]`: (channel, multiplicity) in timestep t, ascending, merged."""
        n = self.net.n_neurons
        v, current = (
            np.zeros(n, self.dtype) if given is None else given.astype(self.dtype)
            for given in (initial_v, initial_current)
        )
        self.out = Sample(v, current)
        self.sample_id, self.next_arrival, self.n_fired = sample_id, 0, 0
        self.pending: list[Spike] = []
        self.first_output_step: int | None = None  # steps are counted over the sample
        self.previous: list[Spike] = []  # Layered: what was fired in the previous timestep
        with np.errstate(all="ignore"):
            for t, inputs in enumerate(spikes):
                self.timestep, self.inputs = (
                    t,
                    [Spike(-1, -1 - c, np.inf, self.dtype.type(m)) for c, m in inputs],
                )
                self.out.v *= self.beta
                self.out.current *= self.alpha
                self.is_refractory, self.n = np.zeros(n, bool), np.zeros(n, np.int64)
                self.times_fired = np.zeros(n, np.int64)
                self.first_output_in_timestep: int | None = None
                stopped = (
                    self.layered() if self.schedule.kind == "Layered" else self.asynchronous()
                ) or ""
                self.out.v_by_timestep.append(self.out.v.copy())
                self.out.stops.append("")
                scope = "sample" if stopped in ("max_spikes", "output_sample") else "timestep"
                if stopped and (self.unfinished or (scope == "sample" and t + 1 < len(spikes))):
                    self.out.stops[-1] = stopped
                    if scope == "sample":
                        self.out.endings.append("stopped")
                        break
                carry = bool(self.pending) and self.options.on_stop == "carry"
                self.out.endings.append(
                    "carried" if carry else "discarded" if self.unfinished else "quiescent"
                )
                if not carry:
                    self.pending = []
        return self.out

    def moment(self, step: int) -> Moment:
        return Moment(self.seed, self.sample_id, self.timestep, step)

    def asynchronous(self) -> str | None:
        at_once = self.options.input_mode == "at_once"
        i = self.start()
        self.deliver_currents(np.arange(len(i)), i)
        self.deliver_biases(i)
        if at_once:
            self.deliver(self.inputs, i)
        fired = self.update(i, np.flatnonzero(self.touched), 0)
        if not at_once:
            for spike in self.inputs:
                spike.arrival, self.next_arrival = self.next_arrival, self.next_arrival + 1
                self.pending.append(spike)
                self.out.joined.append((self.timestep, -1 - spike.neuron))
        step = 0
        self.close_step(step, [], fired)
        while True:
            self.unfinished = bool(self.pending)
            if stop := self.stop(step + 1):
                return stop
            if not self.unfinished:
                return None
            step += 1
            group = select(self.schedule, self.moment(step), self.pending)
            i = self.start()
            self.deliver(group, i)
            self.close_step(step, group, self.update(i, np.flatnonzero(self.touched), step))

    def layered(self) -> str | None:
        order, feedback = layered_order(self.net)
        fired_by: list[list[Spike]] = [[] for _ in self.net.populations]
        last, stopped = [], None
        for k in range(len(order) + 1):
            self.pending = []  # spikes that fired in step k - 1 are emitted now
            group, last = last, []
            if k < len(order):
                i = self.start()
                visited = np.flatnonzero(np.array(self.population_of) == order[k])
                self.deliver_currents(visited, i)
                self.deliver_biases(i, only=order[k])
                for index, p in enumerate(self.net.projections):
                    if p.target == self.net.populations[order[k]].name:
                        source = (
                            [q.name for q in self.net.populations].index(p.source)
                            if p.source != "input"
                            else -1
                        )
                        spikes = self.inputs if source < 0 else fired_by[source]
                        if feedback[index]:
                            spikes = [
                                s for s in self.previous if self.population_of[s.neuron] == source
                            ]
                        for spike in sorted(spikes, key=lambda s: abs(s.neuron)):
                            self.deliver([spike], i, only=index)
                last = fired_by[order[k]] = self.update(i, visited, k)
            self.close_step(k, group, last)
            self.unfinished = k < len(order)  # populations are left to visit, or spikes to emit
            if stopped := self.stop(k + 1):
                break
        self.previous = [s for spikes in fired_by for s in spikes]
        return stopped

    def start(self) -> np.ndarray:
        self.touched = np.zeros(self.net.n_neurons, bool)
        return np.zeros(self.net.n_neurons, self.dtype)

    def deliver_currents(self, neurons: np.ndarray, i: np.ndarray) -> None:
        """Take the currents of some neurons out into their input; one that is 0 is no event."""
        flowing = neurons[self.out.current[neurons] != 0]
        self.arrive(flowing, self.out.current[flowing], i)
        self.out.current[neurons] = 0.0  # also where it had decayed to -0.0

    def deliver_biases(self, i: np.ndarray, only: int | None = None) -> None:
        for p, bias in zip(self.net.projections, self.biases, strict=True):
            if only is None or p.target == self.net.populations[only].name:
                self.arrive(self.net.offset(p.target) + np.flatnonzero(bias), bias[bias != 0], i)

    def deliver(self, group: list[Spike], i: np.ndarray, only: int | None = None) -> None:
        for spike in group:
            if spike.lost:
                continue
            source = (
                "input"
                if spike.neuron < 0
                else self.net.populations[self.population_of[spike.neuron]].name
            )
            column = (
                -1 - spike.neuron if spike.neuron < 0 else spike.neuron - self.net.offset(source)
            )
            for index, (p, matrix) in enumerate(
                zip(self.net.projections, self.matrices, strict=True)
            ):
                if p.source == source and only in (None, index):
                    reached = np.flatnonzero(matrix[:, column])
                    events = matrix[reached, column] * self.dtype.type(spike.multiplicity)
                    self.arrive(self.net.offset(p.target) + reached, events, i)
                    self.out.synaptic_operations += len(reached)

    def arrive(self, neurons: np.ndarray, events: np.ndarray, i: np.ndarray) -> None:
        i[neurons] = i[neurons] + events  # each neuron at most once, so this rounds once per event
        self.n[neurons] += 1
        self.touched[neurons] = True

    def update(self, i: np.ndarray, neurons: np.ndarray, step: int) -> list[Spike]:
        v, fired = self.out.v, []
        for k in neurons:
            self.out.neuron_updates += 1
            if self.has_current[k]:
                self.out.current[k] = self.out.current[k] + i[k]
            if self.is_refractory[k]:
                continue
            after = v[k] + i[k]
            v[k] = after
            if not (after > self.theta[k] and (self.sync[k] == 0 or self.n[k] > self.sync[k])):
                continue
            if self.reset[k] != "none":
                v[k] = 0.0 if self.reset[k] == "zero" else after - self.amount[k]
            own_rank = rank(self.schedule, self.moment(step), float(after), len(fired))
            spike = Spike(self.next_arrival, int(k), after, 1.0, own_rank)
            self.decide_fate(spike)
            self.is_refractory[k] = self.refractory[k] == "timestep" and not spike.skipped
            fired.append(spike)
            self.next_arrival += 1
            self.out.n_at_firing.append(int(self.n[k]))
        self.pending.extend(fired)
        return fired

    def decide_fate(self, spike: Spike) -> None:
        dropouts = (self.options.refractory_dropout, self.options.spike_dropout)
        if dropouts == (0, 0):
            return
        self.times_fired[spike.neuron] += 1
        times = int(self.times_fired[spike.neuron])
        at = Moment(self.dropout_seed, self.sample_id, self.timestep, 0)
        skipped, spike.lost = fate(at, spike.neuron, times, dropouts)
        spike.skipped = skipped and self.refractory[spike.neuron] == "timestep"

    def close_step(self, step: int, group: list[Spike], fired: list[Spike]) -> None:
        self.out.steps.append(Step(self.timestep, step, group, fired, len(self.pending)))
        self.n_fired += len(fired)
        if any(s.neuron in self.net.output_ids for s in fired):
            if self.first_output_step is None:
                self.first_output_step = len(self.out.steps)
            if self.first_output_in_timestep is None:
                self.first_output_in_timestep = step

    def stop(self, steps_of_timestep: int) -> str | None:
        o = self.options
        if o.max_spikes is not None and self.n_fired >= o.max_spikes:
            return "max_spikes"
        first = self.first_output_step
        if (
            o.stop_on_output == "sample"
            and first is not None
            and len(self.out.steps) - first >= o.extra_steps
        ):
            return "output_sample"
        first = self.first_output_in_timestep
        if (
            o.stop_on_output == "timestep"
            and first is not None
            and steps_of_timestep - 1 - first >= o.extra_steps
        ):
            return "output_timestep"
        return (
            "max_forward_steps"
            if self.unfinished and steps_of_timestep >= o.max_forward_steps
            else None
        )


def canonical(dense: np.ndarray) -> list[list[list[tuple[int, float]]]]:
    """Dense input [T, B, ...] as spikes[b][t]: (channel, multiplicity), zeros left out."""
    x = np.asarray(dense).reshape(*dense.shape[:2], -1).astype(np.float64)
    n_timesteps, n_samples, _ = x.shape
    return [
        [[(int(c), float(x[t, b, c])) for c in np.flatnonzero(x[t, b])] for t in range(n_timesteps)]
        for b in range(n_samples)
    ]


def simulate(
    net: Network,
    beta: np.ndarray,
    spikes: list[list[list[tuple[int, float]]]],
    schedule: Schedule,
    options: Options | None = None,
    seed: int = 0,
    sample_ids: list[int] | None = None,
    initial_v: np.ndarray | None = None,
    initial_current: np.ndarray | None = None,
    alpha: np.ndarray | None = None,
) -> list[Sample]:
    """Run every sample; `spikes[b][t]` as returned by `canonical`."""
    if alpha is None:
        assert not net.has_current.any()
        alpha = np.zeros(net.n_neurons, net.dtype)
    engine = Engine(net, beta, schedule, options or Options(), seed, alpha)
    ids = sample_ids or range(len(spikes))
    starts = [
        [None if given is None else given[b] for given in (initial_v, initial_current)]
        for b in range(len(spikes))
    ]
    return [engine.run(s, ids[b], *starts[b]) for b, s in enumerate(spikes)]
