"""A change to a model affects its next run, but not the backward of an earlier one."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

import pyasync as pa

HOW: dict[str, Any] = {"schedule": pa.Fifo(2), "dt": 1e-2}


def model(first: nn.Module | None = None, **options: Any) -> pa.nn.AsyncSequential:
    torch.manual_seed(0)
    first = nn.Linear(20, 6) if first is None else first
    return pa.nn.AsyncSequential(first, pa.nn.LIF(v_threshold=0.1), **{**HOW, **options})


def x() -> torch.Tensor:
    return torch.rand(5, 4, 20, generator=torch.Generator().manual_seed(1)) < 0.4


def sparse(seed: int) -> pa.nn.Sparse:
    rng = np.random.default_rng(seed)
    columns = np.concatenate([np.sort(rng.choice(20, 5, replace=False)) for _ in range(6)])
    return pa.nn.Sparse((np.arange(0, 31, 5), columns, np.full(30, 0.3)), (6, 20))


@pytest.mark.parametrize("kind", ["sequential", "network"])
def test_synapses_of_a_loaded_state_are_those_that_run(kind: str) -> None:
    def make(seed: int) -> Any:
        if kind == "sequential":
            return model(sparse(seed)).eval()
        made = pa.nn.AsyncNetwork(20, **HOW)
        made.add("a", 6, pa.nn.LIF(v_threshold=0.1))
        made.connect("input", "a", sparse(seed))
        return made.eval()

    one, other = make(0), make(1)
    wanted, before = one(x()), other(x())
    assert not torch.equal(wanted, before)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(x()), wanted)
    (rewired,) = (each for each in other.modules() if isinstance(each, pa.nn.Sparse))
    rewired.indices.copy_(sparse(1).indices)
    assert torch.equal(other(x()), before)


@pytest.mark.parametrize("names", [["bias"], ["weight"], ["weight", "bias"]])
def test_pruned_parameters_are_refused_whichever_they_are(names: list[str]) -> None:
    from torch.nn.utils import prune

    pruned = model()
    pruned(x())
    for name in names:
        prune.l1_unstructured(pruned[0], name, amount=0.5)
    with pytest.raises(pa.NetworkError, match=r"^(weight|bias): got a tensor that a hook computes"):
        pruned(x())
    for name in names:
        prune.remove(pruned[0], name)
    assert pruned(x()).requires_grad


@pytest.mark.parametrize("options", [{}, {"input_dropout": 0.2}, {"gradient": "torch"}])
@pytest.mark.parametrize("fresh", [False, True])
def test_function_transforms_work_whatever_ran_before(options: dict[str, Any], fresh: bool) -> None:
    made = copy.deepcopy(model(**options))
    if not fresh:
        made(x())
    parameters = {name: each.detach() for name, each in made.named_parameters()}
    torch.manual_seed(3)
    found = grad(lambda p: functional_call(made, p, (x(),)).sum())(parameters)
    torch.manual_seed(3)
    made(x()).sum().backward()
    for name, each in made.named_parameters():
        assert torch.equal(found[name], each.grad)
        assert each.grad.any()


def test_how_neurons_fire_counts_from_when_it_is_set(gradient: str) -> None:
    def made(**neuron: Any) -> Any:
        torch.manual_seed(0)
        last = pa.nn.LIF(v_threshold=0.1, **neuron)
        modules = nn.Linear(20, 16), pa.nn.LIF(v_threshold=0.1), nn.Linear(16, 6), last
        return pa.nn.AsyncSequential(*modules, gradient=gradient, detach_reset=False, **HOW).eval()

    def found(model: Any, between: Any = None) -> Any:
        model.zero_grad()
        counts, state = model(x(), return_state=True)
        if between is not None:
            between()
        (counts.sum() + state.v.sum()).backward()
        return model[0].weight.grad.clone()

    changed, now = made(), {}
    first = found(changed)
    for name, value in {"reset": "subtract", "refractory": "none"}.items():
        # A backward belongs to the run before it, whatever is set in between.
        assert torch.equal(found(changed, partial(setattr, changed[3], name, value)), first)
        now[name] = value
        wanted = found(made(**now))
        assert torch.equal(found(changed), wanted)
        assert not torch.equal(wanted, first)
        first = wanted
    changed[3].reset = "substract"
    with pytest.raises(pa.NetworkError, match=r"^reset: got 'substract'"):
        changed(x())


def test_a_backward_has_the_thresholds_of_its_run(gradient: str) -> None:
    found = []
    for annealed in (False, True):
        made = model(gradient=gradient)
        counts = made(x(), seed=0)
        if annealed:
            made[1].v_threshold.fill_(5.0)
        counts.sum().backward()
        found.append(made[0].weight.grad)
    assert found[0].any()
    assert torch.equal(*found)


def test_a_stored_zero_learns_nothing(gradient: str) -> None:
    weights = torch.tensor([1.0, 0.0])
    made = model(pa.nn.Sparse(([0, 2], [0, 1], weights), (1, 2)), gradient=gradient).eval()
    made(torch.ones(1, 1, 2)).sum().backward()
    assert made[0].weight.grad[0] != 0
    assert made[0].weight.grad[1] == 0


@pytest.mark.parametrize("log", [np.inf, 89.0, -104.0, -np.inf])
def test_time_constants_beyond_all_sense_have_gradients(gradient: str, log: float) -> None:
    made = pa.nn.AsyncSequential(
        nn.Linear(20, 6),
        pa.nn.LIF(v_threshold=0.1, learn_tau_mem=True),
        gradient=gradient,
        **HOW,
    )
    with torch.no_grad():
        made[1].log_tau_mem.fill_(log)
    counts = made(x())
    counts.sum().backward()
    assert counts.sum() > 0
    assert made[1].log_tau_mem.grad == 0
    assert torch.isfinite(made[0].weight.grad).all()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("gradient", "troch", "got 'troch'"),
        ("gradient_scope", "all", "got 'all'"),
        ("input_dropout", 1.0, "got 1.0"),
        ("spike_dropout", 1.5, "got 1.5"),
        ("dt", 0.0, "got 0.0"),
        ("threads", 0, "got 0"),
        ("max_forward_steps", -1, "got -1"),
        ("schedule", "random", "got 'random'"),
        ("surrogate", "atan", "got"),
    ],
)
def test_an_option_is_checked_when_it_is_set(option: str, value: Any, says: str) -> None:
    made = model()
    before = getattr(made, option)
    with pytest.raises(pa.PyasyncError, match=rf"^{option}: {says}"):
        setattr(made, option, value)
    assert getattr(made, option) is before


def test_layers_without_a_size_are_named() -> None:
    with pytest.raises(pa.NetworkError, match=r"^weight: got LazyLinear"):
        pa.nn.AsyncSequential(nn.LazyLinear(3), pa.nn.LIF(), **HOW)


def test_labels_may_lie_in_memory_as_they_like() -> None:
    counts = torch.randn(3, 4, 3)
    y = np.array([0, 1, 2, 1])
    wanted = pa.nn.functional.rate_cross_entropy(counts, y)
    fixed = y.copy()
    fixed.flags.writeable = False
    for other in (y[::-1][::-1], np.repeat(y, 2)[::2], y.astype(">i4"), fixed):
        assert torch.equal(pa.nn.functional.rate_cross_entropy(counts, other), wanted)
    turned = np.ascontiguousarray(y[::-1])[::-1]
    assert torch.equal(pa.nn.functional.rate_cross_entropy(counts, turned), wanted)
