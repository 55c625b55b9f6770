"""Bad arguments and wrong traces: the native reverse pass names the error, and never panics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_case import BOTH, native, native_gradient, recorded
from strategies_gradient import GradientCase, gradient_cases

import pyasync as pa


def a_run() -> tuple[pa.Network, np.ndarray, pa.Trace]:
    rng = np.random.default_rng(0)
    network = pa.Network.sequential(
        [pa.Linear(rng.normal(0.4, 0.6, (4, 3))), pa.Linear(rng.normal(0.4, 0.6, (2, 4)))],
        pa.LIF(v_threshold=0.3),
    )
    x = rng.random((5, 3, 3)) < 0.5
    trace = pa.simulate(network, x, pa.Fifo(2), dt=0.01, record=True).trace
    assert trace is not None
    return network, x, trace


def test_the_run_that_is_spoiled_below_is_a_good_one() -> None:
    _, _, trace = a_run()
    assert trace.n_emitted > 10


ONES = np.ones((5, 3, 2))
SPOILED: dict[str, dict[str, Any]] = {
    "counts of too few timesteps": {"grad_counts": ONES[:4]},
    "counts of too few samples": {"grad_counts": ONES[:, :2]},
    "counts of too many outputs": {"grad_counts": np.ones((5, 3, 3))},
    "counts without axes": {"grad_counts": np.ones(30)},
    "counts in float32": {"grad_counts": ONES.astype("float32")},
    "counts in integers": {"grad_counts": ONES.astype(int)},
    "counts as a list": {"grad_counts": ONES.tolist()},
    "counts with a NaN": {"grad_counts": np.where(np.arange(30).reshape(5, 3, 2) == 7, np.nan, 1)},
    "counts with infinity": {"grad_counts": ONES * np.inf},
    "potentials of too few timesteps": {"grad_output_v": ONES[:4]},
    "potentials in float32": {"grad_output_v": ONES.astype("float32")},
    "potentials with a NaN": {"grad_output_v": ONES * np.nan},
    "spike counts of outputs only": {"grad_spike_counts": np.ones((3, 2))},
    "spike counts transposed": {"grad_spike_counts": np.ones((6, 3))},
    "spike counts in float32": {"grad_spike_counts": np.ones((3, 6), "float32")},
    "spike counts with a NaN": {"grad_spike_counts": np.full((3, 6), np.nan)},
    "state of too few samples": {"grad_state": np.ones((2, 6))},
    "state with currents that do not flow": {"grad_state": np.ones((3, 12))},
    "state in float32": {"grad_state": np.ones((3, 6), "float32")},
    "state with a NaN": {"grad_state": np.full((3, 6), np.nan)},
    "initial_state of another shape": {"initial_state": np.zeros((3, 5))},
    "initial_state with currents that do not flow": {"initial_state": np.zeros((3, 12))},
    "initial_state in float32": {"initial_state": np.zeros((3, 6), "float32")},
    "initial_state with a NaN": {"initial_state": np.full((3, 6), np.nan)},
    "another dt": {"dt": 0.02},
    "an unknown scope": {"scope": "everything"},
    "an unknown surrogate": {"surrogate": ("heaviside", 1.0)},
    "a surrogate of NaN": {"surrogate": ("atan", float("nan"))},
    "input of more samples": {"x": np.zeros((5, 4, 3))},
    "input of fewer timesteps": {"x": np.zeros((4, 3, 3))},
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED.keys())
def test_bad_arguments_are_named(spoiled: dict[str, Any]) -> None:
    network, x, trace = a_run()
    arguments: dict[str, Any] = {"x": x, "dt": 0.01, "grad_counts": ONES, **spoiled}
    with pytest.raises(pa.PyasyncError) as raised:
        native_gradient(network, trace=trace, **arguments)
    [name] = spoiled
    if name not in ("x", "scope", "dt"):
        assert name in str(raised.value)


def other_networks() -> dict[str, Callable[[], pa.Network]]:
    rng = np.random.default_rng(1)
    w = [rng.normal(0.4, 0.6, shape) for shape in ((4, 3), (2, 4), (5, 3), (2, 5))]
    lif = pa.LIF(v_threshold=0.3)
    return {
        "float32": lambda: pa.Network.sequential(
            [pa.Linear(w[0]), pa.Linear(w[1])], lif, dtype="float32"
        ),
        "more neurons": lambda: pa.Network.sequential([pa.Linear(w[2]), pa.Linear(w[3])], lif),
        "no hidden synapses": lambda: pa.Network.sequential(
            [pa.Linear(w[0]), pa.Linear(0 * w[1])], lif
        ),
        "other populations": lambda: pa.Network.sequential(
            [pa.Linear(w[0][:2]), pa.Linear(w[1].T[:, :2])], lif
        ),
    }


@pytest.mark.parametrize("other", other_networks().values(), ids=other_networks().keys())
def test_a_trace_of_another_network_is_refused(other: Callable[[], pa.Network]) -> None:
    network, x, trace = other(), *a_run()[1:]
    with pytest.raises(pa.PyasyncError):
        native_gradient(network, x, trace, ONES.astype(network.dtype), dt=0.01)


@pytest.mark.parametrize("schedule", [pa.Fifo(2), pa.Layered()], ids=str)
@pytest.mark.parametrize("want_neuron", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_spike_below_the_threshold_is_refused_whatever_is_asked_for(
    schedule: pa.Schedule, want_neuron: bool, dtype: str
) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(0.4, 0.6, (4, 3)), rng.normal(0.4, 0.6, (2, 4))
    x = rng.random((5, 3, 3)) < 0.5
    low, high = (
        pa.Network.sequential(
            [pa.Linear(w) for w in weights],
            [pa.LIF(v_threshold=hidden), pa.LIF(v_threshold=0.3)],
            dtype=dtype,
        )
        for hidden in (0.3, 50.0)
    )
    trace = pa.simulate(low, x, schedule, dt=0.01, record=True).trace
    asked = {"grad_counts": ONES.astype(dtype), "dt": 0.01, "want_neuron": want_neuron}
    native_gradient(low, x, trace, **asked)
    with pytest.raises(pa.PyasyncError, match=r"got neuron \d firing, which here does not"):
        native_gradient(high, x, trace, **asked)


@given(gradient_cases(max_samples=2), gradient_cases(max_samples=2))
def test_any_trace_with_any_network_gives_numbers_or_a_named_error(
    g: GradientCase, other: GradientCase
) -> None:
    network, _ = recorded(g)
    _, foreign = recorded(other)
    try:
        ours = native(g, network, foreign)
    except pa.PyasyncError:
        return
    assert ours["initial_state"].shape == (len(g.case.spikes), g.case.net.n_state)


@given(gradient_cases(BOTH), st.integers(0, 2**32))
def test_a_trace_of_other_input_gives_numbers_or_a_named_error(g: GradientCase, seed: int) -> None:
    network, trace = recorded(g)
    rng = np.random.default_rng(seed)
    shape = (g.case.n_timesteps, len(g.case.spikes), int(np.prod(g.case.net.input_shape)))
    try:
        native(g, network, trace, x=rng.random(shape) < rng.random())
    except pa.PyasyncError:
        return
