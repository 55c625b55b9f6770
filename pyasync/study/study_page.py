"""A study's report as a page: Markdown for repositories, or self-contained HTML."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pyasync._files import path_of, write_whole
from pyasync._wording import counted
from pyasync.study.certainty import SURE
from pyasync.study.grid import Grid
from pyasync.study.study_json import versions
from pyasync.study.study_table import (
    convergence_table,
    energy_table,
    every_run,
    paper_table,
    robustness_table,
)
from pyasync.study.study_words import headline, summary

if TYPE_CHECKING:
    from pyasync.study.study_report import StudyReport

PAGES = ("report.md", "report.html", "study.json")
FIGURES = {
    "anytime.png": "Accuracy had every test sample been cut after so many spikes, by training and "
    "run; bands are one standard deviation over seeds, where there are several.",
    "schedules.png": "Accuracy against the forward group size F, by schedule: the network trained "
    "layer by layer, and those trained through asynchronous execution; bars are one standard "
    "deviation over seeds, where there are several.",
    "convergence.png": "Accuracy on the test samples after each epoch, against epochs and against "
    "seconds of training; bands are one standard deviation over seeds, where there are several.",
}
_CODE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Heading:
    """The start of a section."""

    text: str


@dataclass(frozen=True)
class Figure:
    """The file of a figure, in the page's folder, and its description."""

    name: str
    caption: str


Block = str | Heading | Grid | Figure


def page(report: StudyReport, figures: dict[str, str]) -> list[Block]:
    """Compose the page: the answer, then the tables and figures that support it.

    Parameters
    ----------
    report : StudyReport
    figures : dict of str to str
        The file names of those of `FIGURES` that exist.
    """

    def figure(name: str) -> list[Block]:
        return [Figure(figures[name], FIGURES[name])] if name in figures else []

    said = " ".join(summary(report))
    return [
        headline(report),
        *([said] if said else []),
        _setting(report),
        Heading("Accuracy, density, latency"),
        paper_table(report),
        *figure("anytime.png"),
        Heading("When the order is another"),
        robustness_table(report),
        *figure("schedules.png"),
        Heading("Work and energy"),
        _prices(report),
        energy_table(report),
        Heading("Convergence"),
        convergence_table(report),
        *figure("convergence.png"),
        Heading("How a decision is read out"),
        _READOUT,
        Heading("Every run"),
        every_run(report),
        Heading("How it was made"),
        _made(report),
    ]


def to_markdown(report: StudyReport, figures: dict[str, str]) -> str:
    """Write the page as Markdown."""
    parts = []
    for block in page(report, figures):
        match block:
            case Heading(text):
                parts.append(f"## {text}")
            case Grid():
                parts.append(block.to_markdown())
            case Figure(name, caption):
                parts.append(f"![{caption}]({name})\n\n*{caption}*")
            case _:
                parts.append(block)
    return "\n\n".join(parts) + "\n"


def to_html(report: StudyReport, figures: dict[str, str], read: Callable[[str], bytes]) -> str:
    """Write the page as HTML with its figures embedded; `read` returns a figure's file by name."""
    parts = []
    for index, block in enumerate(page(report, figures)):
        match block:
            case Heading(text):
                parts.append(f"<h2>{escape(text)}</h2>")
            case Grid():
                parts.append(f"<div class=wide>\n{block.to_html()}\n</div>")
            case Figure(name, caption):
                inside = base64.b64encode(read(name)).decode()
                parts.append(
                    f'<figure><img src="data:image/png;base64,{inside}" alt="{escape(caption)}">'
                    f"<figcaption>{escape(caption)}</figcaption></figure>"
                )
            case _:
                text = _CODE.sub(r"<code>\1</code>", escape(block))
                parts.append(f"<p{' class=answer' if index == 0 else ''}>{text}</p>")
    title = escape(f"pyasync study: {report.samples.name}")
    return _TEMPLATE.format(title=title, style=_STYLE, body="\n".join(parts))


def save(
    report: StudyReport, folder: str | os.PathLike[str], *, figures: bool, prefix: str
) -> list[str]:
    """Write JSON, figures and pages; see `StudyReport.save`."""
    place = path_of("folder", folder)
    report.save_json(place / f"{prefix}study.json")
    if figures:
        from pyasync.study.study_figure import DRAWINGS

        for name, drawn in DRAWINGS.items():
            drawn(report, place / f"{prefix}{name}")
    present = {name: prefix + name for name in FIGURES if (place / f"{prefix}{name}").exists()}
    html = to_html(report, present, lambda name: (place / name).read_bytes())
    write_whole(place / f"{prefix}report.html", html.encode())
    write_whole(place / f"{prefix}report.md", to_markdown(report, present).encode())
    return [*(prefix + name for name in PAGES), *present.values()]


def _setting(report: StudyReport) -> str:
    samples, plan = report.samples, report.plan
    seeds = (
        f"seeds {', '.join(map(str, plan.seeds))}"
        if len(plan.seeds) > 1
        else (f"seed {plan.seeds[0]}")
    )
    spread = "± is the standard deviation over seeds; of a difference, a gain or a loss it is "
    spread += "the standard error. "
    over = "over seeds and over test samples together, paired in both"
    if len(plan.seeds) == 1:
        spread, over = "± is the standard error. ", "over test samples alone, paired"
    networks = dict.fromkeys(f"`{each.network!r}`" for each in report.finished)
    return (
        f"Data: {samples.name}, {counted(len(samples.train_x), 'sample')} for training and "
        f"{len(samples.test_x):,} for testing, {counted(samples.n_classes, 'class', 'classes')}, "
        f"{counted(samples.test_x.n_timesteps, 'timestep')} of {samples.dt * 1e3:g} ms. "
        f"{'Network' if len(networks) == 1 else 'Networks'}: {', '.join(networks)}. Each recipe "
        f"was trained with {seeds}, and each network run under "
        f"{counted(len(plan.runs), 'schedule')}, once, after its last epoch. {spread}A "
        f"difference counts as one from {SURE:g} standard errors on, {over}, and where McNemar's "
        "test would not call it chance."
    )


def _prices(report: StudyReport) -> str:
    energy = report.energy
    return (
        "Counts and energy stand apart for synaptic operations (events delivered through "
        "synapses), neuron updates and spikes, since asynchronous execution changes them in "
        "opposite ways: a neuron is updated whenever events reach it, up to many times in a "
        "timestep, while layered execution updates every neuron once in each. Prices: "
        f"{energy.synaptic_operation * 1e12:g} pJ a synaptic operation, "
        f"{energy.neuron_update * 1e12:g} pJ a neuron update, {energy.spike * 1e12:g} pJ a spike. "
        "Those of another chip may turn the comparison round: `--energy-synaptic-operation`, "
        "`--energy-neuron-update` and `--energy-spike` set them. What is the same for every "
        "order, such as leakage and static power, is left out."
    )


_READOUT = (
    "The decision is the output neuron with the most spikes over all timesteps of the sample; of "
    "equals the one with the lowest index; a sample without an output spike is undecided and "
    "counts as wrong. An output spike counts when it fires, not when it is emitted, and each "
    "timestep runs until no spike is pending, so that nothing is cut off, unless a limit stops the "
    "sample, which the tables' notes then say. Latency is the number of "
    "spikes that neurons of the whole network, outputs included, fired before the first output "
    "spike (first output), or before the first spike of the output neuron of the correct class "
    "(first correct), counted from the start of the sample; it is a mean over the samples that "
    "have such a spike. The anytime decision after k spikes is the same rule, applied to the "
    "output spikes among the sample's first k spikes in the order in which they fired (those of "
    "one forward step in neuron order)."
)


def _made(report: StudyReport) -> str:
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        f"By pyasync's study with {used}. `study.json` has each seed's values, every recipe and "
        "the history of every training. Fingerprint of the samples: "
        f"`{report.samples.fingerprint[:16]}`. The method is that of Koopman, Yousefzadeh, "
        "Shahsavari, Tang and Sifalakis, arXiv 2408.05098."
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h2 { margin-top: 2.2rem; font-size: 1.25rem; }
.answer { font-size: 1.2rem; font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums;
        white-space: nowrap; }
th { text-align: left; border-bottom: 1.5px solid #222; }
th, td { padding: 0.2rem 0.7rem 0.2rem 0; }
.number { text-align: right; }
.rule td { border-top: 1px solid #ccc; }
.note, figcaption { color: #555; font-size: 0.86rem; margin: 0.4rem 0; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; }
"""
_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
{body}
</html>
"""
