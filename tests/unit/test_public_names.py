"""What users find by `dir`, tab and `help`: the public names, each with a runnable example."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import pyasync as pa

MODULES = ["", ".study", ".data", ".interop", ".nn", ".nn.functional"]
#: Names that are imported on first use, and are therefore not in `__all__`.
LAZY = {"pyasync": {"nn"}, "pyasync.study": {"train"}}


def module(name: str) -> ModuleType:
    if name.startswith(".nn"):
        pytest.importorskip("torch")
    return import_module(f"pyasync{name}")


@pytest.mark.parametrize("name", MODULES)
def test_dir_lists_each_public_name_once_and_nothing_that_was_only_imported(name: str) -> None:
    of = module(name)
    offered = [each for each in dir(of) if not each.startswith("_")]
    assert len(offered) == len(set(offered))
    inside = {each for each in offered if is_inside(getattr(of, each), of.__name__)}
    assert set(offered) == {*of.__all__, *LAZY.get(of.__name__, ())} | inside


def is_inside(value: Any, package: str) -> bool:
    return isinstance(value, ModuleType) and value.__name__.startswith(f"{package}.")


def is_schedule(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, pa.Schedule) and value is not pa.Schedule


def public() -> list[Any]:
    found = {}
    for name in MODULES:
        try:
            of = import_module(f"pyasync{name}")
        except pa.MissingDependencyError:
            continue
        for each in of.__all__:
            value = getattr(of, each)
            if not isinstance(value, ModuleType):
                found[f"{of.__name__}.{each}"] = value
    return [pytest.param(value, id=name) for name, value in found.items()]


@pytest.mark.parametrize("value", public())
def test_a_public_class_or_function_has_a_runnable_example(value: Any) -> None:
    text = inspect.getdoc(value) or ""
    assert "Examples\n--------\n" in text
    assert "\n>>> " in text


@pytest.mark.parametrize("schedule", [value for value in vars(pa).values() if is_schedule(value)])
def test_a_schedule_says_what_it_raises(schedule: type[pa.Schedule]) -> None:
    assert "Raises\n------\nScheduleError\n" in (inspect.getdoc(schedule) or "")


PROJECTIONS = [
    pa.Linear(np.ones((2, 3))),
    pa.Conv1d(np.ones((2, 1, 3))),
    pa.Conv2d(np.ones((2, 1, 3, 3))),
    pa.AvgPool2d(2),
    pa.SumPool2d(2),
    pa.OneToOne(1.0),
]


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.kind)
def test_what_a_projection_was_built_with_is_an_attribute_of_the_same_name(
    projection: pa.Projection,
) -> None:
    for name in inspect.signature(type(projection)).parameters:
        assert hasattr(projection, name), name
