"""Only significant differences are called differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy_study import SHARED, samples

import pyasync as pa
from pyasync.study import Samples, study
from pyasync.study.certainty import SURE, shows


@pytest.mark.parametrize("n", [1, 9, 57, 400])
def test_a_difference_shows_where_mcnemars_test_says_so(n: int) -> None:
    rng = np.random.default_rng(n)
    seen = set()
    for better, worse in rng.dirichlet([1, 1, 1], 300)[:, :2]:
        changed = rng.choice([1.0, -1.0, 0.0], n, p=[better, worse, 1 - better - worse])
        b, c = int((changed == 1).sum()), int((changed == -1).sum())
        if (b - c) ** 2 == SURE**2 * (b + c):
            continue  # borderline: rounding decides
        error = changed.std() / math.sqrt(n)
        sure = abs(b - c) > SURE * math.sqrt(b + c)
        assert shows(changed.mean(), error, n) == sure
        seen.add(sure)
    assert seen == ({False} if n < 10 else {False, True})


def one_test_sample() -> Samples:
    whole = samples()
    return Samples("one", whole.train_x, whole.train_y, whole.test_x[:1], whole.test_y[:1])


def test_one_test_sample_is_no_gain() -> None:
    shared = SHARED.replace(epochs=2)
    one = one_test_sample()
    recipes = {"layered": shared.replace(schedule="layered"), "random": shared}
    reports = [
        study(one, recipes, schedules=["random"], forward_group_sizes=[1], seeds=[seed])
        for seed in range(12)
    ]
    differences = {abs(report.row("random").difference.mean) for report in reports}
    assert differences == {0.0, 1.0}, "some of them must differ, or this shows nothing"
    for report in reports:
        assert report.headline.startswith("No difference in accuracy that 1 seed and 1 test sample")


def test_one_sample_is_no_loss_of_the_audit() -> None:
    rng = np.random.default_rng(0)
    x = pa.SpikeBatch.from_dense(rng.random((6, 1, 12)) < 0.5, dt=10e-3)
    seen = set()
    for seed in range(200):
        weight = np.random.default_rng(seed).normal(0.1, 0.6, (3, 12))
        network = pa.Network.sequential(
            [pa.Linear(weight), pa.Linear(weight[:, :3] * 2)], neuron=pa.LIF(v_threshold=0.5)
        )
        label = pa.simulate(network, x, pa.Layered()).decisions()
        if label[0] < 0:
            continue
        report = pa.study.audit(network, x, label, ["random", "lifo"], [1])
        seen.add(max(row.accuracy_drop for row in report.rows))
        assert "hid no loss of accuracy that 1 sample can show" in report.headline
    assert seen == {0.0, 1.0}, "some of them must differ, or this shows nothing"


def test_a_silent_network_is_described_without_nan() -> None:
    x = pa.SpikeBatch.from_dense(np.zeros((2, 12, 4)), dt=10e-3)
    network = pa.Network.sequential([pa.Linear(np.ones((3, 4)))])
    report = pa.study.audit(network, x, np.zeros(12, int), ["random", "free"], [1])
    said = report.to_table()
    assert "no spikes in either" in report.headline
    assert "nan" not in said
    assert "-0.0" not in said
