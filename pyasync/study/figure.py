"""The audit's figure: one sample's spikes in two orders, and accuracy against spikes fired."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyasync._files import drafted
from pyasync._optional import needed
from pyasync.errors import FileError, expected

if TYPE_CHECKING:
    from pyasync.network import Population
    from pyasync.study.report import AuditReport

# Okabe and Ito's colours, which can be told apart with any kind of colour vision.
OUTPUT = "#D55E00"
SCHEDULES = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#0072B2")
_SPIKES_SHOWN = 200
_DASHES: tuple[Any, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
INK, PALE = "#222222", "#f0f0f0"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
}


@contextmanager
def drawing(path: str | os.PathLike[str], size: tuple[float, float]) -> Iterator[Any]:
    """Yield an empty figure of this size in inches, then write it to a PNG, SVG or PDF file."""
    matplotlib = needed("matplotlib", "figures need it")
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        with drafted(path) as draft:
            try:
                figure.savefig(draft, dpi=150)
            except ValueError as error:
                accepted = "a writable path that ends in .png, .svg or .pdf"
                raise FileError(expected("path", f"{path} ({error})", accepted)) from error


def draw(report: AuditReport, path: str | os.PathLike[str]) -> None:
    """Draw the figure of a report to a PNG, SVG or PDF file."""
    with drawing(path, (10, 6.8)) as figure:
        compose(figure, report)


def compose(figure: Any, report: AuditReport) -> None:
    """Fill an empty figure: rasters above, curves below."""
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    _rasters(top, report)
    _anytime(bottom, report)


def _rasters(figure: Any, report: AuditReport) -> None:
    example, populations = report.example, report.network.populations
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    timesteps = example.layered["timestep"]
    shown = int(timesteps[min(_SPIKES_SHOWN, len(timesteps) - 1)]) + 1 if len(timesteps) else 1
    most = 1
    for axes, events, name in (
        (left, example.layered, "layered"),
        (right, example.asynchronous, example.schedule),
    ):
        part = events[(events["neuron"] >= 0) & (events["timestep"] < shown)]
        raster(axes, populations, report.network.output, part, example.label)
        _title(axes, report, events, name)
        most = max(most, len(part))
    left.set_xlim(0, most + 1)
    which = "" if shown == report.n_timesteps else f"first {shown} of {report.n_timesteps} "
    said = f"spikes in the order of their delivery, {which}timesteps (shaded in turn)"
    figure.supxlabel(f"{said}; x: output of a wrong class", fontsize=10)
    which = f"sample {example.sample}, class {example.label}"
    if report.rows[0].accuracy > 0:
        which += ": the first that is right layered"
    heading(figure, f"The order of one sample's spikes ({which})")


def raster(
    axes: Any,
    populations: Sequence[Population],
    output: str | None,
    events: npt.NDArray[Any],
    label: int | None = None,
) -> None:
    """Draw emitted spikes (rows of `Trace.to_events`) by neuron, in the order of emission.

    With `label`, the correct class, spikes of the other output neurons are drawn as crosses.
    """
    from matplotlib import colormaps

    order = np.arange(1, len(events) + 1)
    starts = np.flatnonzero(np.diff(events["timestep"].astype(np.int64), prepend=-1))
    for first, last in zip(starts[1::2], [*starts[2::2], len(events)], strict=False):
        axes.axvspan(first + 0.5, last + 0.5, color=PALE, lw=0, zorder=0)
    hidden = [each.name for each in populations if each.name != output]
    depths = np.linspace(0.45, 0.95, max(len(hidden), 2))
    blues = dict(zip(hidden, colormaps["Blues"](depths), strict=False))
    for population in populations:
        here = (events["neuron"] >= population.start) & (events["neuron"] < population.stop)
        wrong = np.zeros_like(here)
        colour, size = (OUTPUT, 26) if population.name == output else (blues[population.name], 9)
        if population.name == output and label is not None:
            wrong = here & (events["neuron"] != population.start + label)
        for chosen, marker in ((here & ~wrong, "o"), (wrong, "x")):
            spikes = events["neuron"][chosen]
            axes.scatter(order[chosen], spikes, size, color=colour, marker=marker, zorder=3)
        if population.start:
            axes.axhline(population.start - 0.5, color="#cccccc", lw=0.6, zorder=1)
    middles = [(each.start + each.stop - 1) / 2 for each in populations]
    axes.set_yticks(middles, [each.name for each in populations])
    axes.tick_params(axis="y", length=0)
    margin = 0.02 * populations[-1].stop
    axes.set_ylim(populations[-1].stop - 0.5 + margin, -0.5 - margin)


def _title(axes: Any, report: AuditReport, events: Any, name: str) -> None:
    axes.set_title(f"{name}: {len(events):,} spikes", loc="left")
    fired = np.flatnonzero(np.isin(events["neuron"], report.network.output_ids))
    if fired.size:
        output = events["neuron"][fired[0]] - report.network.output_ids.start
        verdict = "right" if output == report.example.label else "wrong"
        said = f"first output: no. {fired[0] + 1}, {verdict}"
        axes.set_title(said, loc="right", color=OUTPUT, fontsize=9.5)
        axes.axvline(fired[0] + 1, color=OUTPUT, lw=1, zorder=2)


def heading(figure: Any, text: str) -> None:
    """Put a title above everything in a figure, aligned left."""
    figure.suptitle(text, x=0.008, ha="left", fontweight="bold", fontsize=11.5)


def _anytime(figure: Any, report: AuditReport) -> None:
    from matplotlib.ticker import LogLocator, ScalarFormatter

    axes = figure.subplots()
    names = list(dict.fromkeys(row.kind for row in report.rows[1:]))
    sizes = sorted({row.forward_group_size or 0 for row in report.rows[1:]})
    for row, accuracy in zip(report.rows, report.anytime_accuracy, strict=True):
        how: dict[str, Any] = {"color": INK, "lw": 3.2, "zorder": 2}
        if row is not report.rows[0]:
            dashes = _DASHES[sizes.index(row.forward_group_size or 0) % len(_DASHES)]
            colour = SCHEDULES[names.index(row.kind) % len(SCHEDULES)]
            how = {"color": colour, "ls": dashes, "lw": 1.7, "zorder": 3}
        label = f"{row.run}: {100 * row.accuracy:.1f} %"
        axes.plot(report.anytime_spikes, 100 * accuracy, label=label, **how)
    decided = report.anytime_accuracy.max(axis=0) > 0.005
    begin = int(np.argmax(decided)) if decided.any() else 0
    if not report.network.output_fires:
        said = "potentials decide, when the sample has ended"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center")
    axes.set_xscale("log")
    low = report.anytime_spikes[max(begin - 1, 0)]
    # For a silent network both limits would be equal.
    axes.set_xlim(low, max(report.anytime_spikes[-1], low + 1))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set_xlabel("spikes fired in the whole network, per sample (logarithmic)")
    axes.set_ylabel("correct (%)")
    axes.set_ylim(0, 100)
    axes.grid(axis="y", color="#e4e4e4")
    axes.legend(
        title="schedule: accuracy at the end", loc="upper left", bbox_to_anchor=(1.01, 1.04),
        frameon=False, fontsize=9, title_fontsize=9, alignment="left",
    )  # fmt: skip
    samples = f"{report.n_samples:,} samples, undecided counts as wrong"
    heading(figure, f"Accuracy had every sample been cut after so many spikes ({samples})")
