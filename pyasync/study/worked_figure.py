"""The figure of the worked example: the network, and one event, layered and asynchronous."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyasync.schedules import Layered, Momentum, Schedule
from pyasync.study.figure import INK, OUTPUT, PALE, heading
from pyasync.study.worked_example import (
    NAMES,
    OUTPUTS,
    THRESHOLD,
    delivered,
    network,
    outgoing,
    run,
    steps,
)

_EXCITES, _INHIBITS, _WAITS = "#0072B2", "#CC3311", "#999999"
# Rows from the top: the input, then the neurons, with gaps between the populations.
_ROW = dict(zip(("input", *NAMES), (0, 1.6, 2.6, 3.6, 5.2, 6.2, 7.8, 8.8), strict=True))


def compose(figure: Any) -> None:
    """Fill an empty figure: the network, then a layered run and an asynchronous momentum run."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 2, 2.7))
    _network(left)
    _run(middle, Layered(), "layered: one layer after the other")
    _run(right, Momentum(1), "asynchronous: one spike at a time, highest potential first")
    heading(figure, "One input event: the same network, two orders, two answers")


def _network(axes: Any) -> None:
    """Draw neurons and weights, from the input above to the output below."""
    place = {"input": (0.0, 0.0)}
    for depth, population in enumerate(network().populations, 1):
        names = NAMES[population.start : population.stop]
        for name, across in zip(names, np.linspace(-1, 1, len(names)), strict=True):
            place[name] = (float(across), float(depth))
    for index, source in enumerate(("input", *NAMES), -1):
        weights = outgoing(index)
        for target in np.flatnonzero(weights):
            weight, start, end = weights[target], place[source], place[NAMES[target]]
            colour = _EXCITES if weight > 0 else _INHIBITS
            axes.annotate("", end, start, arrowprops=_arrow(weight, colour, 11))
            # Away from the middle, where arrows cross.
            at = 0.36 if abs(end[0] - start[0]) < 1.5 else 0.66
            middle = [a + at * (b - a) for a, b in zip(start, end, strict=True)]
            how: dict[str, Any] = {"color": colour, "ha": "center", "va": "center", "zorder": 4}
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            axes.text(*middle, f"{weight:g}", fontsize=8.5, bbox=box, **how)
    for name, (x, y) in place.items():
        colour = OUTPUT if name in OUTPUTS else INK
        axes.scatter([x], [y], 360, color="white", edgecolors=colour, lw=1.4, zorder=5)
        label = "in" if name == "input" else name
        axes.text(x, y, label, ha="center", va="center", color=colour, zorder=6)
    axes.set_xlim(-1.35, 1.35)
    axes.set_ylim(3.4, -0.3)
    axes.set_title(f"weights; threshold {THRESHOLD:g}")
    axes.axis("off")


def _run(axes: Any, schedule: Schedule, title: str) -> None:
    """Draw what each forward step delivers, and what it does to potentials."""
    done = steps(schedule)
    for row in _ROW.values():
        axes.axhline(row, color="#dddddd", lw=0.8, zorder=0)
    for step in done[1::2]:
        axes.axvspan(step.step - 0.5, step.step + 0.5, color=PALE, lw=0, zorder=-1)
    fired: dict[str, int] = {"input": 0}
    for step in done:
        reached = {each.neuron: each for each in step.updates}
        for source in step.emits:
            weights = outgoing(-1 if source == "input" else NAMES.index(source))
            begin = step.step - 0.38
            if source != "input":
                line = [fired[source] + 0.1, max(begin, fired[source] + 0.1)]
                axes.plot(line, [_ROW[source]] * 2, color=_WAITS, lw=4, alpha=0.5, zorder=1)
            axes.scatter([begin], [_ROW[source]], 16, color=INK, zorder=4)
            for target in np.flatnonzero(weights):
                ignored = reached[NAMES[target]].outcome == "refractory"
                colour = _WAITS if ignored else _EXCITES if weights[target] > 0 else _INHIBITS
                axes.annotate(
                    "",
                    (step.step - 0.05, _ROW[NAMES[target]]),
                    (begin, _ROW[source]),
                    arrowprops=_arrow(weights[target], colour, 6),
                )
        for each in step.updates:
            _update(axes, step.step, each.neuron, each.outcome, each.after)
            if each.outcome == "fires":
                fired[each.neuron] = step.step
    answer = next(each for each in OUTPUTS if each in fired)
    result = run(schedule)
    axes.set_title(title)
    axes.set_xlabel(
        f"forward step\nanswer {answer} after {delivered(schedule)} delivered spikes; "
        f"{int(result.spikes[0])} spikes in all"
    )
    axes.set_xlim(-0.6, done[-1].step + 0.6)
    axes.set_ylim(9.5, -0.6)
    axes.set_xticks(range(len(done)))
    axes.set_yticks(list(_ROW.values()), list(_ROW))
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _update(axes: Any, step: int, neuron: str, outcome: str, after: float) -> None:
    """Mark one update: filled if the neuron fires, a cross if it is refractory."""
    colour = OUTPUT if neuron in OUTPUTS else INK
    here = (step + 0.05, _ROW[neuron])
    if outcome == "refractory":
        axes.scatter(*here, 40, color=_WAITS, marker="x", zorder=5)
        said, colour = "refractory", "#777777"
    else:
        face = colour if outcome == "fires" else "white"
        axes.scatter(*here, 52, facecolors=face, edgecolors=colour, lw=1.3, zorder=5)
        said = f"{after:g}"
    axes.text(
        here[0] + 0.08,
        here[1] - 0.16,
        said,
        fontsize=8.5,
        color=colour,
        fontweight="bold" if outcome == "fires" else "normal",
        va="bottom",
        zorder=6,
    )


def _arrow(weight: float, colour: str, shrink: float) -> dict[str, Any]:
    """Style of an arrow: pointed for an excitatory weight, blunt for an inhibitory one."""
    style = "-|>,head_width=0.22,head_length=0.4" if weight > 0 else "-[,widthB=0.35,lengthB=0"
    return {"arrowstyle": style, "color": colour, "lw": 1.3, "shrinkA": shrink, "shrinkB": shrink}
