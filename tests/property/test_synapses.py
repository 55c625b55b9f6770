"""Each synapse is counted once, and each spike passes all of its synapses, even in a free run."""

from __future__ import annotations

import numpy as np
from compare import build, run
from hypothesis import given
from hypothesis import strategies as st
from oracle_network import Network, weight_matrix
from strategies import Case, cases
from strategies_network import networks

import pyasync as pa


def matrices(net: Network) -> list[np.ndarray]:
    return [
        weight_matrix(p, net.shape(p.source), net.shape(p.target), net.dtype)
        for p in net.projections
    ]


@given(networks())
def test_the_synapses_of_a_projection_are_its_weights_that_are_not_zero(net: Network) -> None:
    assert build(net).build().n_synapses() == [np.count_nonzero(w) for w in matrices(net)]


@given(cases(stops=False, kinds=("Fifo",)), st.integers(1, 5))
def test_every_spike_of_a_free_run_arrives_in_all_shards_that_it_has_synapses_in(
    case: Case, shards: int
) -> None:
    """Each synapse that a spike passes is one synaptic operation, in whatever order."""
    net = case.net
    fan_out = {"input": np.zeros(int(np.prod(net.input_shape)), int)}
    fan_out |= {p.name: np.zeros(p.size, int) for p in net.populations}
    for p, w in zip(net.projections, matrices(net), strict=True):
        fan_out[p.source] += np.count_nonzero(w, axis=0)
    schedule = pa.FreeRunning(1, case.schedule.F, shards, "shards")
    result = run(case, schedule=schedule)
    from_neurons = np.concatenate([fan_out[p.name] for p in net.populations])
    expected = result.spike_counts @ from_neurons + [
        sum(fan_out["input"][channel] for inputs in sample for channel, _ in inputs)
        for sample in case.spikes
    ]
    np.testing.assert_array_equal(result.synaptic_operations, expected)
