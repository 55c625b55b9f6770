"""Gradients of the replay, worked by hand.

One neuron per population, s'(x) = 1 / (1 + |x|)^2, no decay, thresholds of 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_case import recorded
from oracle import Options
from oracle_network import Network, Population, Projection
from oracle_schedules import Schedule
from replay_case import Gradients, differentiate
from strategies import Case
from strategies_gradient import SCOPES, GradientCase

import pyasync as pa


def by_hand(
    weights: dict[tuple[str, str], list[float]],
    x: list[list[float]],
    *,
    kind: str = "Fifo",
    refractory: str = "timestep",
    F: int = 1,
    options: Options | None = None,
    lost: int | None = None,
    **given: Any,
) -> Gradients:
    """Gradients of the spikes of the last neuron plus its final potential.

    `lost`: this spike, counted in the order of firing, is recorded as lost.
    """
    neuron = {"tau_mem": np.inf, "refractory": refractory}
    names = list(dict.fromkeys(target for _, target in weights))
    net = Network(
        (len(x[0]),),
        tuple(Population(name, (1,), neuron) for name in names),
        tuple(
            Projection(*ends, "Linear", {"weight": np.array([w])}) for ends, w in weights.items()
        ),
        "float64",
    )
    case = Case(net, np.array(x)[:, None], Schedule(kind, F), options or Options())
    g = GradientCase(
        case,
        given.pop("grad_counts", np.ones((len(x), 1, 1))),
        None,
        None,
        given.pop("grad_state", np.eye(len(names))[[-1]]),
        ("fast_sigmoid", 1.0),
        **given,
    )
    network, trace = recorded(g)
    if lost is not None:
        steps = trace.to_steps()
        steps.fired["lost"][lost] = True
        trace = pa.Trace.from_steps(steps, trace)
    return differentiate(g, network, trace)


@pytest.mark.parametrize("scope", SCOPES)
def test_one_event_by_hand(scope: str) -> None:
    # Loss: the potential of b at the end, and the spikes of c.
    # Step 0: a has v' = 1.5, x = 0.5, fires.  Step 1: a is emitted; b has v' = 0.5, x = -0.5, and
    # stays silent; c has v' = 2, x = 1, and fires.  Step 2: c is emitted, to no one.
    ours = by_hand(
        {("input", "a"): [1.5], ("a", "b"): [0.5], ("a", "c"): [2.0]},
        [[1.0]],
        grad_state=np.array([[0.0, 1.0, 0.0]]),
        scope=scope,
    )
    # b: a = 1 and e = 0, so b_b = 1.  c: reset, e = 1, so b_c = s'(1) = 1/4.
    # a: reset, e = 0.5 b_b + 2 b_c = 1, so b_a = s'(0.5) = 4/9.
    assert ours["weight 0"] == pytest.approx(4 / 9)
    assert ours["weight 1"] == pytest.approx(1)
    assert ours["weight 2"] == pytest.approx(1 / 4)
    assert ours["v_threshold"] == pytest.approx(np.array([-4 / 9, 0, -1 / 4]))
    assert ours["input"] == pytest.approx(1.5 * 4 / 9)
    assert not ours["beta"].any()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_silent_update_by_hand(scope: str) -> None:
    # Step 0: a has v' = 0.75, x = -0.25, silent; b has v' = 1.5, x = 0.5, fires.
    # Step 1: b is emitted; a has v' = 1.25, x = 0.25, fires; c has v' = 0.25, x = -0.75, silent.
    # Step 2: a is emitted; c has v' = 0.75, x = -0.25, silent.
    ours = by_hand(
        {
            ("input", "a"): [0.75, 0.0],
            ("input", "b"): [0.0, 1.5],
            ("b", "a"): [0.5],
            ("a", "c"): [0.5],
            ("b", "c"): [0.25],
        },
        [[1.0, 1.0]],
        scope=scope,
    )
    # Both updates of c have e = 1, the loss's derivative with respect to its spikes.
    b_c2 = 1 + 0.64
    b_c1 = b_c2 + 16 / 49
    b_a1 = 0.64 * 0.5 * b_c2
    b_b0 = 4 / 9 * (0.5 * b_a1 + 0.25 * b_c1)
    # a's silent update counts as the emission in step 2, or as one in step 1, right after it.
    term = {"spikes": 0.0, "next_emission": 0.5 * b_c2, "touched": 0.5 * b_c1}[scope]
    b_a0 = b_a1 + 0.64 * term
    # Weights that are 0 learn too.
    for k, wanted in enumerate([[b_a0, b_a0], [b_b0, b_b0], [b_a1], [b_c2], [b_c1]]):
        assert ours[f"weight {k}"] == pytest.approx(np.array([wanted]))


@pytest.mark.parametrize(
    ("F", "lost", "term"),
    [
        # One by one, b has v' = 0.5, x = -0.5, then v' = 1, x = 0; both silent, with e = 1 each.
        (1, None, 0.5 * (1 + 1 + 4 / 9)),
        (1, 0, 0.0),  # a's next emission is of a lost spike; what comes after does not matter
        (1, 1, 0.5 * (1 + 4 / 9)),
        # Together: v' = 1, x = 0; the next emission is that of the spike that arrived first.
        (2, None, 0.5 * (1 + 1)),
        (2, 0, 0.0),
        (2, 1, 0.5 * (1 + 4 / 9)),
    ],
)
def test_the_next_emission_by_hand(F: int, lost: int | None, term: float) -> None:
    # Inputs are scheduled, F in a step.  Step 1: a has v' = 0.75, x = -0.25, silent.  Steps 2 and
    # 3: a has v' = 1.25 and 1.5, and fires.  Then its two spikes are emitted.
    inputs = [[0.75, 0.5, 1.5], [0.5, 0.25, 0.25, 0.25, 1.0, 0.5]][F - 1]
    ours = {
        scope: by_hand(
            {("input", "a"): inputs, ("a", "b"): [0.5]},
            [[1.0] * len(inputs)],
            F=F,
            refractory="none",
            options=Options(input_mode="scheduled", spike_dropout=1e-12),
            lost=lost,
            scope=scope,
        )
        for scope in ("spikes", "next_emission")
    }
    # The scope adds only s'(-0.25) = 0.64 times the term, to b_a of step 1.
    more = ours["next_emission"]["weight 0"] - ours["spikes"]["weight 0"]
    assert more.ravel() == pytest.approx(0.64 * term * (np.arange(len(inputs)) < F))


@pytest.mark.parametrize(
    ("kind", "refractory", "first"),
    [("Fifo", "timestep", 4 / 9), ("Fifo", "none", -10 / 27), ("Layered", "timestep", -10 / 27)],
)
def test_a_reset_that_is_not_detached_by_hand(kind: str, refractory: str, first: float) -> None:
    # Timestep 0: v' = 1.5, fires, is reset.  Timestep 1: v' = 0.5, x = -0.5, silent, with a = 1 and
    # e = 1: b = 1 + s' (e - a v') = 1 + 4/9 (1 - 0.5) = 11/9, which is the a of timestep 0.
    # There b = s' (e - a v') = 4/9 (1 - 11/9 * 1.5) = -10/27; into refractoriness with a = 0: 4/9.
    ours = by_hand(
        {("input", "a"): [1.0]},
        [[1.5], [0.5]],
        kind=kind,
        refractory=refractory,
        detach_reset=False,
    )
    assert ours["input"].ravel() == pytest.approx(np.array([first, 11 / 9]))
    assert ours["weight 0"] == pytest.approx(1.5 * first + 0.5 * 11 / 9)


@pytest.mark.parametrize("on_stop", ["carry", "discard"])
def test_a_stopped_timestep_by_hand(on_stop: str) -> None:
    # Timestep 0: a fires (x = 0.5), b fires (x = 1), and the limit stops it with b pending.
    # Timestep 1: carried, b is emitted in step 1, and c has v' = 0.5; else nothing happens.
    ours = by_hand(
        {("input", "a"): [1.5], ("a", "b"): [2.0], ("b", "c"): [0.5]},
        [[1.0], [0.0]],
        options=Options(max_forward_steps=2, on_stop=on_stop),
        grad_counts=np.zeros((2, 1, 1)),
    )
    # b_c = 1; b: e = 0.5, b_b = s'(1) 0.5 = 1/8; a: e = 2 b_b = 1/4, b_a = 4/9 * 1/4 = 1/9.
    carried = [1 / 9, 1 / 8, 1.0]
    for k, wanted in enumerate(carried if on_stop == "carry" else [0.0, 0.0, 0.0]):
        assert ours[f"weight {k}"].item() == pytest.approx(wanted, abs=0)
