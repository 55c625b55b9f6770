"""Record a case of `strategies_gradient`, and compare its gradients by engine and oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle_gradient as oracle
from compare import build, build_input, run
from oracle_network import Network
from strategies_gradient import GradientCase

import pyasync as pa
from pyasync._input import read_input

Gradients = dict[str, Any]
BOTH = ("float64", "float64", "float32")
NAMES = ("weights", "biases", "beta", "v_threshold", "alpha", "input", "initial_state")


def native_gradient(
    network: pa.Network,
    x: Any,
    trace: pa.Trace,
    grad_counts: np.ndarray | None = None,
    grad_output_v: np.ndarray | None = None,
    grad_spike_counts: np.ndarray | None = None,
    grad_state: np.ndarray | None = None,
    *,
    dt: float,
    surrogate: tuple[str, float] = ("atan", 2.0),
    scope: str = "spikes",
    detach_reset: bool = True,
    initial_state: np.ndarray | None = None,
    threads: int = 1,
    want_input: bool = True,
    want_initial_state: bool = True,
    want_neuron: bool = True,
) -> Gradients:
    batch, _, _, dt = read_input(network, x, dt, False)
    options = {
        "dt": dt,
        "threads": threads,
        "surrogate": surrogate,
        "gradient_scope": scope,
        "detach_reset": detach_reset,
        "initial_state": initial_state,
        "want_input": want_input,
        "want_initial_state": want_initial_state,
        "want_neuron": want_neuron,
    }
    cotangents = grad_counts, grad_output_v, grad_spike_counts, grad_state
    gradient: Gradients = pa._core.gradient(
        network.build(), batch, trace.core, *cotangents, options
    )
    return gradient


def recorded(g: GradientCase) -> tuple[pa.Network, pa.Trace]:
    network = build(g.case.net)
    trace = run(g.case, network).trace
    assert trace is not None
    if g.replayed:
        trace = run(g.case, network, schedule=pa.Replay(trace)).trace
        assert trace is not None
    return network, trace


def native(g: GradientCase, network: pa.Network, trace: pa.Trace, **overrides: Any) -> Gradients:
    return native_gradient(
        network,
        overrides.pop("x", None) if "x" in overrides else build_input(g.case),
        trace,
        *g.cotangents,
        **{"dt": g.case.dt, **g.options, **overrides},
    )


def expected(g: GradientCase, network: pa.Network, trace: pa.Trace) -> Gradients:
    c = g.case
    return oracle.gradient(
        c.net,
        network.decay(c.dt),
        network.synaptic_decay(c.dt),
        c.spikes,
        trace.to_steps(),
        *g.cotangents,
        layered=c.schedule.kind == "Layered",
        at_once=c.options.input_mode == "at_once",
        **g.options,
    )


def flat(gradient: Gradients, net: Network) -> dict[str, np.ndarray]:
    """All gradients by name, leaving out absent ones."""
    arrays = {name: gradient[name] for name in NAMES[2:]}
    for name, one in (("weights", "weight"), ("biases", "bias")):
        assert len(gradient[name]) == len(net.projections)
        arrays |= {f"{one} {k}": each for k, each in enumerate(gradient[name])}
    return {k: np.ravel(v) for k, v in arrays.items() if v is not None}


def comparable(arrays: dict[str, np.ndarray], net: Network) -> dict[str, np.ndarray]:
    """Leave out gradients that the engine need not give: those of pools and of absent biases."""
    arrays = dict(arrays)
    for k, p in enumerate(net.projections):
        if p.kind.endswith("Pool2d"):
            arrays.pop(f"weight {k}", None)
        if p.arguments.get("bias") is None:
            arrays.pop(f"bias {k}", None)
    return arrays


def assert_close(
    actual: dict[str, np.ndarray], wanted: dict[str, np.ndarray], scale: float, dtype: str
) -> None:
    relative = 1e-10 if dtype == "float64" else 2e-4
    assert set(actual) == set(wanted)
    for name, array in wanted.items():
        given = actual[name].astype(np.float64)
        assert given.shape == array.shape, name
        size = max(scale, float(np.abs(array).max(initial=0.0)))
        np.testing.assert_allclose(given, array, relative, relative * size, err_msg=name)


def assert_same_bits(a: Gradients, b: Gradients, net: Network, left_out: tuple[str, ...]) -> None:
    """`a` equals `b` to the bit, apart from the names in `left_out`."""
    one, two = flat(a, net), flat(b, net)
    assert set(one) == set(two) - set(left_out)
    for name in one:
        assert one[name].dtype == two[name].dtype == np.dtype(net.dtype)
        assert one[name].tobytes() == two[name].tobytes(), name
