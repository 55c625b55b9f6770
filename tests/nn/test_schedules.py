"""Schedules drawn per batch."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")


def test_classes_are_drawn_uniformly_and_sizes_log_uniformly() -> None:
    schedules = pa.nn.RandomSchedules([pa.Random, pa.Momentum, pa.Layered], F=(1, 64))
    chance = torch.Generator().manual_seed(0)
    drawn = [schedules.draw(chance) for _ in range(3000)]
    kinds = Counter(type(each) for each in drawn)
    assert all(abs(kinds[kind] - 1000) < 120 for kind in (pa.Random, pa.Momentum, pa.Layered))
    sizes = np.array(
        [each.forward_group_size for each in drawn if not isinstance(each, pa.Layered)]
    )
    assert (sizes.min(), sizes.max()) == (1, 64)
    octaves = np.histogram(np.log2(sizes), bins=[0, 1, 2, 3, 4, 5, 6.1])[0] / len(sizes)
    wanted = np.diff(np.log(np.array([1, 2, 4, 8, 16, 32, 65]))) / np.log(65)
    np.testing.assert_allclose(octaves, wanted, atol=0.03)


def test_an_instance_keeps_all_but_its_size() -> None:
    values = np.arange(19.0)
    given = [
        pa.Momentum(1, noise=0.5, seed=3),
        pa.Priority(1, values),
        pa.Custom(1, lambda pending, n, rng: np.arange(n)),
    ]
    schedules = pa.nn.RandomSchedules(given, F=(7, 7))
    for _ in range(30):
        drawn = schedules.draw()
        assert drawn.forward_group_size == 7
        if isinstance(drawn, pa.Momentum):
            assert (drawn.noise, drawn.seed) == (0.5, 3)


def test_a_model_draws_in_training_and_has_one_in_evaluation(make: Any, x: Any) -> None:
    schedules = pa.nn.RandomSchedules([pa.Random, pa.Fifo, pa.Layered], F=(1, 16), eval=pa.Lifo(2))
    model = make(schedule=schedules)
    torch.manual_seed(0)
    seen = set()
    for _ in range(20):
        model(x)
        trace = model.last_result.trace
        seen.add((trace.schedule, trace.forward_group_size))
    assert {kind for kind, _ in seen} == {"random", "fifo", "layered"}
    assert len(seen) > 5
    assert torch.equal(model.eval()(x), make(schedule=pa.Lifo(2)).eval()(x))
    assert pa.nn.RandomSchedules([pa.Fifo]).eval == pa.Random(8)
    assert pickle.loads(pickle.dumps(schedules)).F == (1, 16)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pa.nn.RandomSchedules([]), "schedules: got"),
        (lambda: pa.nn.RandomSchedules(pa.Random), "schedules: got <class"),
        (lambda: pa.nn.RandomSchedules(["random"]), "schedules: got 'random'"),
        (
            lambda: pa.nn.RandomSchedules([pa.Custom]),
            "schedules: got Custom; .*an instance",
        ),
        (
            lambda: pa.nn.RandomSchedules([pa.Replay]),
            "schedules: got Replay; .*an instance",
        ),
        (lambda: pa.nn.RandomSchedules([pa.Fifo], F=8), "F: got 8"),
        (lambda: pa.nn.RandomSchedules([pa.Fifo], F=(0, 8)), "F: got 0"),
        (lambda: pa.nn.RandomSchedules([pa.Fifo], F=(8, 1)), r"F: got \(8, 1\)"),
        (lambda: pa.nn.RandomSchedules([pa.Fifo], eval=8), "eval: got 8"),
    ],
)
def test_a_bad_argument_is_named(call: Any, says: str) -> None:
    with pytest.raises(pa.ScheduleError, match=rf"^{says}"):
        call()


def test_a_default_device_changes_no_draw() -> None:
    schedules = pa.nn.RandomSchedules([pa.Random, pa.Fifo], F=(1, 64))
    expected = schedules.draw(torch.Generator().manual_seed(0))
    with torch.device("meta"):  # in place of "cuda", which not every machine has
        assert schedules.draw(torch.Generator().manual_seed(0)) == expected
        assert isinstance(schedules.draw(), pa.Schedule)
