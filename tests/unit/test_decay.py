"""`Network.decay` and `synaptic_decay`: exp(-dt / tau) in float64, rounded once to the dtype."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyasync as pa

SECONDS = st.floats(1e-6, 10.0)


EITHER = pytest.mark.parametrize("name", ["tau_mem", "tau_syn"])


def decay(tau: object, dt: float, dtype: str, name: str = "tau_mem") -> np.ndarray:
    network = pa.Network(1, dtype=dtype)
    network.add("a", np.shape(tau) or 1, pa.LIF(**{name: tau}))
    return network.decay(dt) if name == "tau_mem" else network.synaptic_decay(dt)


def exact(tau: float, dt: float) -> Decimal:
    """exp of the float64 quotient, as docs/semantics.md defines it, to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        return Decimal(-dt / tau).exp()


@EITHER
@given(st.lists(SECONDS, min_size=1, max_size=8), SECONDS)
def test_it_is_within_one_unit_in_the_last_place(name: str, taus: list[float], dt: float) -> None:
    beta = decay(np.array(taus), dt, "float64", name)
    assert beta.dtype == np.float64
    assert beta.shape == (len(taus),)
    for got, tau in zip(beta, taus, strict=True):
        assert abs(Decimal(float(got)) - exact(tau, dt)) <= Decimal(float(np.spacing(got)))


@EITHER
@given(st.lists(SECONDS, min_size=1, max_size=8), SECONDS)
def test_float32_decay_is_the_float64_one_rounded_once(
    name: str, taus: list[float], dt: float
) -> None:
    single, double = (decay(np.array(taus), dt, dtype, name) for dtype in ("float32", "float64"))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert single.tobytes() == double.astype(np.float32).tobytes()


@EITHER
@pytest.mark.parametrize(("tau", "dt", "beta"), [(np.inf, 0.01, 1.0), (1e-9, 1.0, 0.0)])
def test_the_ends_of_the_scale(name: str, tau: float, dt: float, beta: float) -> None:
    for dtype in ("float32", "float64"):
        assert decay(tau, dt, dtype, name).tolist() == [beta]


def test_neurons_are_in_the_order_of_their_ids() -> None:
    network = pa.Network(1, dtype="float64")
    network.add("a", (2, 1), pa.LIF(tau_mem=[[0.1], [0.2]]))
    network.add("b", 2, pa.LIF(tau_mem=0.4))
    assert np.allclose(network.decay(0.1), np.exp([-1, -0.5, -0.25, -0.25]), rtol=1e-15)


def test_a_neuron_without_tau_syn_keeps_nothing_of_a_current() -> None:
    network = pa.Network(1, dtype="float64")
    for name, tau in (("a", [0.1, 0.2]), ("b", None), ("c", 0.4)):
        network.add(name, 2, pa.LIF(tau_syn=tau))
    found = network.synaptic_decay(0.1)
    assert np.allclose(found, np.exp([-1, -0.5, -np.inf, -np.inf, -0.25, -0.25]), rtol=1e-15)
    assert pa.Network.sequential([pa.Linear(np.eye(3))]).synaptic_decay(0.1).tolist() == [0.0] * 3


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), SECONDS)
def test_a_time_constant_gives_its_decay_factor_back(betas: list[float], dt: float) -> None:
    tau_mem = pa.time_constant(betas, dt)
    np.testing.assert_allclose(decay(tau_mem, dt, "float64"), betas, rtol=1e-12, atol=1e-300)
    edge = decay(pa.time_constant([0.0, 1.0], dt), dt, "float64")
    assert edge.tolist() == [0.0, 1.0]
    assert pa.time_constant(betas[0], dt) == tau_mem[0]


@pytest.mark.parametrize(
    ("beta", "dt", "says"),
    [
        (1.5, 1e-3, "beta: got 1.5; accepted: numbers from 0 to 1"),
        ([0.5, np.nan], 1e-3, "beta: got nan"),
        ("0.9", 1e-3, "beta: got an array of <U3"),
        (0.9, 0.0, "dt: got 0.0"),
    ],
)
def test_what_is_no_decay_factor_is_named(beta: object, dt: float, says: str) -> None:
    with pytest.raises(pa.NetworkError, match=f"^{says}"):
        pa.time_constant(beta, dt)
