"""The energy model: counts times prices, in three parts that are never mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyasync as pa
from pyasync.study import Energy, EnergyModel


def test_a_run_costs_its_counts_times_the_prices() -> None:
    rng = np.random.default_rng(0)
    network = pa.Network.sequential([pa.Linear(rng.normal(0.2, 0.5, (6, 10)))])
    result = pa.simulate(network, rng.random((5, 4, 10)) < 0.5, pa.Random(2), dt=1e-3)
    energy = EnergyModel(synaptic_operation=2.0, neuron_update=3.0, spike=5.0).of(result)
    assert result.spikes.all()
    np.testing.assert_array_equal(energy.synaptic_operations, 2 * result.synaptic_operations)
    np.testing.assert_array_equal(energy.neuron_updates, 3 * result.neuron_updates)
    np.testing.assert_array_equal(energy.spikes, 5 * result.spikes)
    parts = energy.synaptic_operations + energy.neuron_updates + energy.spikes
    np.testing.assert_array_equal(energy.total, parts)


def test_the_default_prices_are_those_of_loihi() -> None:
    assert EnergyModel() == EnergyModel(23.6e-12, 81e-12, 1.7e-12)


def test_a_price_of_nothing_leaves_its_part_out() -> None:
    row = Energy(synaptic_operations=7, neuron_updates=11, spikes=13)
    free = EnergyModel(synaptic_operation=1, neuron_update=0, spike=0)
    assert free.of(row).total == 7


@pytest.mark.parametrize("price", ["synaptic_operation", "neuron_update", "spike"])
@pytest.mark.parametrize("given", [-1e-12, math.nan, math.inf, "1 pJ", None, True])
def test_a_price_that_is_none_is_named(price: str, given: object) -> None:
    with pytest.raises(pa.InputError, match=rf"^{price}: got .*; accepted: joules"):
        EnergyModel(**{price: given})  # type: ignore[arg-type]
