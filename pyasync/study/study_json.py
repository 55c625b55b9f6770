"""A study's report as JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from pyasync.study.json_values import described, number
from pyasync.study.study_rows import Finished, Spread, StudyRow

if TYPE_CHECKING:
    from pyasync.study.study_report import StudyReport

FORMAT, VERSION = "pyasync.StudyReport", 1


def to_json(report: StudyReport) -> str:
    """The whole report as JSON; values that are not numbers are null."""
    samples, plan = report.samples, report.plan
    content = {
        "format": FORMAT,
        "version": VERSION,
        "versions": versions(),
        "headline": report.headline,
        "complete": report.is_complete,
        "samples": {
            "name": samples.name,
            "n_train": len(samples.train_x),
            "n_test": len(samples.test_x),
            "n_classes": samples.n_classes,
            "n_timesteps": samples.test_x.n_timesteps,
            "dt": samples.dt,
            "input_shape": list(samples.test_x.input_shape),
            "fingerprint": samples.fingerprint,
        },
        "seeds": list(plan.seeds),
        "baseline": plan.baseline,
        "recipes": {name: recipe.to_dict() for name, recipe in plan.recipes.items()},
        "energy_model": asdict(report.energy),
        "rows": [_row(row) for row in report.rows],
        "anytime": {
            "spikes": report.anytime_spikes.tolist(),
            "accuracy": [
                {
                    "trained": row.trained,
                    "run": row.run,
                    "by_seed": report.anytime(row.trained, row.run).tolist(),
                }
                for row in report.rows
            ],
        },
        "trainings": [_finished(each) for each in report.finished],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Versions of Python, NumPy, pyasync and, if installed, PyTorch."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for package in ("pyasync", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _row(row: StudyRow) -> dict[str, Any]:
    content: dict[str, Any] = {"run": row.run}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Spread):
            content[field.name] = {
                "mean": number(value.mean),
                "deviation": number(value.deviation),
                "by_seed": [number(each) for each in value.values],
            }
        else:
            content[field.name] = number(value)
    return content


def _finished(each: Finished) -> dict[str, Any]:
    return {
        "trained": each.job.trained,
        "seed": each.job.seed,
        "versions": each.versions,
        "network": described(each.network),
        "history": [
            {name: number(value) for name, value in asdict(e).items()} for e in each.history
        ],
    }
