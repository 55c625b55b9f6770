"""One input event in a tiny network, step by step: layered and asynchronous."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyasync.network import Network
from pyasync.neurons import LIF
from pyasync.projections import Linear
from pyasync.result import Result
from pyasync.schedules import Layered, Momentum, Schedule
from pyasync.simulate import simulate
from pyasync.study.grid import Grid
from pyasync.study.plan import run_label

NAMES = ("A", "B", "C", "D", "E", "X", "Y")
OUTPUTS = ("X", "Y")
THRESHOLD = 1.0
# Sums of these are exact, and so are the numbers on the page.
WEIGHTS = {
    "hidden1": [[1.5], [1.25], [0.5]],
    "hidden2": [[1.5, -0.75, 0.0], [0.75, 0.75, 0.0]],
    "output": [[1.25, 0.0], [-0.5, 1.25]],
}


@dataclass(frozen=True)
class Update:
    """What one forward step does to one neuron.

    Attributes
    ----------
    neuron : str
    before, arrives, after : float
        Potential before the step, the step's input, and their sum, which is compared with the
        threshold. A refractory neuron ignores its input, so `after` equals `before`.
    outcome : {"fires", "silent", "refractory"}
    """

    neuron: str
    before: float
    arrives: float
    after: float
    outcome: str


@dataclass(frozen=True)
class Step:
    """One forward step.

    Attributes
    ----------
    step : int
    emits : tuple of str
        The spikes that are delivered; "input" in step 0.
    updates : tuple of Update
        The updates of neurons.
    pending : tuple of str
        The spikes that are pending after the step, in the order in which they fired.
    """

    step: int
    emits: tuple[str, ...]
    updates: tuple[Update, ...]
    pending: tuple[str, ...]


def network() -> Network:
    """Build the example's network: one input, populations A B C, D E and X Y.

    Examples
    --------
    >>> from pyasync.study.worked_example import network
    >>> network()
    Network(1 -> hidden1[3] -> hidden2[2] -> output[2], 3 projections, float64)
    """
    return Network.sequential(
        [Linear(np.array(weight)) for weight in WEIGHTS.values()],
        LIF(v_threshold=THRESHOLD),
        names=list(WEIGHTS),
    )


def run(schedule: Schedule) -> Result:
    """Run one timestep with one input event."""
    return simulate(network(), np.ones((1, 1, 1), bool), schedule, dt=1e-3, record=True)


def steps(schedule: Schedule) -> list[Step]:
    """Follow a run step by step: which spikes are delivered, and what they do.

    The order comes from the engine's trace. The potentials are computed here from the weights, and
    give the same spikes.

    Examples
    --------
    >>> import pyasync as pa
    >>> from pyasync.study.worked_example import steps
    >>> for step in steps(pa.Momentum(1)):
    ...     fired = [update.neuron for update in step.updates if update.outcome == "fires"]
    ...     print(step.step, *step.emits, "->", *fired)
    0 input -> A B
    1 A -> D
    2 D -> X
    3 B -> E
    4 E ->
    5 X ->
    """
    trace = run(schedule).trace
    assert trace is not None
    recorded = trace.to_steps()
    layered = schedule.name == "layered"
    layers = [population.start for population in network().populations] + [len(NAMES)]
    v, tired = np.zeros(len(NAMES)), np.zeros(len(NAMES), bool)
    pending: list[int] = []
    found: list[Step] = []
    for emitted, fired in _by_step(recorded):
        arrives, touched = np.zeros(len(NAMES)), np.zeros(len(NAMES), bool)
        for source in emitted if found else [-1]:
            weights = outgoing(source)
            arrives += weights
            touched |= weights != 0
        if layered and len(found) < len(layers) - 1:
            # A layered visit updates its whole population, whether or not events reach it.
            touched[layers[len(found)] : layers[len(found) + 1]] = True
        updates = []
        for neuron in np.flatnonzero(touched):
            after = v[neuron] + (0.0 if tired[neuron] else arrives[neuron])
            fires = after > THRESHOLD and not tired[neuron]
            outcome = "refractory" if tired[neuron] else ("fires" if fires else "silent")
            updates.append(
                Update(NAMES[neuron], float(v[neuron]), float(arrives[neuron]), after, outcome)
            )
            v[neuron], tired[neuron] = 0.0 if fires else after, tired[neuron] or fires
        assert [each.neuron for each in updates if each.outcome == "fires"] == [
            NAMES[neuron] for neuron in fired
        ], "the trace and the weights disagree"
        pending = [each for each in pending if each not in emitted] + list(fired)
        names = tuple(NAMES[each] for each in emitted) if found else ("input",)
        waiting = tuple(NAMES[each] for each in pending)
        found.append(Step(len(found), names, tuple(updates), waiting))
    return found


def table(schedule: Schedule) -> Grid:
    """Lay the steps out as a table with one line per update.

    Examples
    --------
    >>> import pyasync as pa
    >>> from pyasync.study.worked_example import table
    >>> table(pa.Momentum(1)).lines[0][:5]
    ('0', 'input', 'A', '0 + 1.5 = 1.5', 'fires')
    """
    lines = []
    for step in steps(schedule):
        first = (str(step.step), " ".join(step.emits) or "nothing")
        waiting = " ".join(step.pending) or "nothing"
        if not step.updates:
            lines.append((*first, "none", "", "", waiting))
        for index, each in enumerate(step.updates):
            if each.outcome == "refractory":
                added = f"{each.arrives:g} is ignored"
            else:
                sign = "+" if each.arrives >= 0 else "-"
                added = f"{each.before:g} {sign} {abs(each.arrives):g} = {each.after:g}"
            last = waiting if index == len(step.updates) - 1 else ""
            outcome = {"silent": "stays silent", "refractory": "is refractory"}
            said = outcome.get(each.outcome, each.outcome)
            lines.append((*(first if index == 0 else ("", "")), each.neuron, added, said, last))
    columns = ("step", "delivers", "updates", "potential", "and", "then waiting")
    return Grid(columns, tuple(lines), words=len(columns))


def counts() -> Grid:
    """Count what each order does until the network is quiescent, and until its first answer."""
    lines = []
    for schedule in (Layered(), Momentum(1), Momentum(2)):
        result = run(schedule)
        lines.append(
            (
                run_label(schedule),
                NAMES[network().output_ids[int(result.decisions()[0])]],
                f"{delivered(schedule)}",
                *(
                    f"{int(getattr(result, name)[0])}"
                    for name in ("spikes", "synaptic_operations", "neuron_updates", "forward_steps")
                ),
            )
        )
    columns = ("order", "answer", "after spikes", "spikes", "synaptic ops", "updates", "steps")
    return Grid(columns, tuple(lines), words=2)


def delivered(schedule: Schedule) -> int:
    """Number of neurons' spikes that had been delivered when the first output neuron fired."""
    number = 0
    for step in steps(schedule):
        number += len(step.emits) if step.step else 0
        if any(each.outcome == "fires" and each.neuron in OUTPUTS for each in step.updates):
            return number
    raise AssertionError("no output neuron fired")


PAGE_TABLES: dict[str, Callable[[], Grid]] = {
    "layered": lambda: table(Layered()),
    "momentum": lambda: table(Momentum(1)),
    "counts": counts,
}


def filled(page: str) -> str:
    """Insert the tables into a page, each below its mark, such as `<!-- table: counts -->`.

    Examples
    --------
    >>> from pyasync.study.worked_example import filled
    >>> filled(filled("<!-- table: counts -->")) == filled("<!-- table: counts -->")
    True
    """
    for name, make in PAGE_TABLES.items():
        mark = re.escape(f"<!-- table: {name} -->")
        new = f"<!-- table: {name} -->\n\n{make().to_markdown()}"
        page = re.sub(rf"{mark}(\n\n(\|.*\n?)+(?<!\n))?", lambda _, new=new: new, page)  # type: ignore[misc]
    return page


def draw(path: str | os.PathLike[str]) -> None:
    """Draw the network and the two executions side by side to a PNG, SVG or PDF file.

    Raises
    ------
    FileError
        If the file cannot be written.
    MissingDependencyError
        If matplotlib is not installed.
    """
    from pyasync.study.figure import drawing
    from pyasync.study.worked_figure import compose

    with drawing(path, (12, 5.2)) as figure:
        compose(figure)


def _by_step(recorded: Any) -> list[tuple[list[int], list[int]]]:
    """The neurons whose spikes each step emitted, and those that fired in it."""
    fired = recorded.fired["neuron"].tolist()
    emitted = [fired[arrival] for arrival in recorded.emitted.tolist()]
    found = []
    for step in recorded.steps:
        n_emitted, n_fired = int(step["n_emitted"]), int(step["n_fired"])
        found.append((emitted[:n_emitted], fired[:n_fired]))
        emitted, fired = emitted[n_emitted:], fired[n_fired:]
    return found


def outgoing(source: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights from a neuron, or from the input (-1), to every neuron; 0 if there is no synapse."""
    weights = np.zeros(len(NAMES))
    populations = network().populations
    for population, weight in zip(populations, WEIGHTS.values(), strict=True):
        first = populations[populations.index(population) - 1].start if population.start else -1
        if 0 <= source - first < len(weight[0]):
            weights[population.start : population.stop] = np.array(weight)[:, source - first]
    return weights
