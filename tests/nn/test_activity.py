"""A network that falls silent or never rests is reported once, and again after a recovery."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


def one(**options: Any) -> Any:
    model = pa.nn.AsyncSequential(
        nn.Linear(1, 1, bias=False), pa.nn.LIF(), schedule=pa.Fifo(1), dt=1e-3, **options
    )
    nn.init.ones_(model[0].weight)
    return model


def kinds(model: Any, *values: float, first: float = 0.0) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for value in values:
            model(torch.tensor([first, value]).reshape(2, 1, 1))
    return [str(each.message)[:14] for each in caught]


def test_silence_and_recovery() -> None:
    assert kinds(one(), 2, 0, 0, 0) == ["no output neur"]
    assert kinds(one(), 0, 2, 0) == ["no output neur"] * 2
    assert kinds(one().eval(), 0) == []


def test_saturation() -> None:
    assert kinds(one(), 2, 2, first=2) == ["neurons fired "]
    assert kinds(one(), 2, 0, 2, first=2) == ["neurons fired "] * 2


@pytest.mark.parametrize(("fired", "said"), [(12, 0), (18, 0), (19, 1)])
def test_a_network_is_saturated_above_nine_timesteps_in_ten(fired: int, said: int) -> None:
    x = torch.zeros(20, 1, 1)
    x[:fired] = 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one()(x)
    assert [each.category for each in caught] == [pa.nn.ActivityWarning] * said


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("compiler", [False, True])
def test_the_warning_points_at_the_call_and_says_what_to_do(compiler: bool) -> None:
    if compiler:
        importlib.import_module("torch._dynamo")
    with pytest.warns(pa.nn.ActivityWarning, match="lower v_threshold, scale") as caught:
        one()(torch.zeros(1, 1, 1))
    assert caught[0].filename == __file__
