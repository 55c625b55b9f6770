"""A case of `strategies_gradient` as PyTorch leaves, its replay, and the replay's gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from strategies import Case
from strategies_gradient import GradientCase

import pyasync as pa

torch = pytest.importorskip("torch")
from pyasync.nn._replay import replay  # noqa: E402

Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Surrogate:
    name: str
    parameter: float

    def derivative(self, x: Any) -> Any:
        c = self.parameter
        return {
            "atan": lambda: c / 2 / (1 + (torch.pi / 2 * c * x) ** 2),
            "fast_sigmoid": lambda: 1 / (1 + c * x.abs()) ** 2,
            "sigmoid": lambda: c * torch.sigmoid(c * x) * torch.sigmoid(-c * x),
            "triangular": lambda: c * torch.where(x < 0, 1.0, -1.0).to(x),
            "straight_through_estimator": lambda: torch.ones_like(x),
            "none": lambda: torch.zeros_like(x),
        }[self.name]()


def dense(case: Case) -> np.ndarray:
    """The case's input as `[T, B, n_inputs]` in the network's type."""
    x = np.zeros((case.n_timesteps, len(case.spikes), int(np.prod(case.net.input_shape))))
    for b, t in np.ndindex(x.shape[1], x.shape[0]):
        for channel, m in case.spikes[b][t]:
            x[t, b, channel] = m
    return x.astype(case.net.dtype)


def each_neuron(network: pa.Network, parameter: str) -> np.ndarray:
    """The values of a parameter of all neurons, NaN where it is not given."""
    return np.concatenate(
        [
            np.broadcast_to(
                p.neuron.values(parameter, p.shape) if parameter in p.neuron.parameters else np.nan,
                p.stop - p.start,
            )
            for p in network.populations
        ]
    )


class Leaves:
    """Everything by which the replay of a case can be differentiated, as PyTorch leaves."""

    def __init__(self, case: Case, network: pa.Network) -> None:
        def leaf(array: Any) -> Any:
            return torch.tensor(np.asarray(array, network.dtype), requires_grad=True)

        thresholds = each_neuron(network, "v_threshold")
        amounts = torch.tensor(each_neuron(network, "reset_amount").astype(network.dtype))
        self.reset_amount = None if amounts.isnan().all() else amounts
        self.tensors: dict[str, Any] = {
            "beta": leaf(network.decay(case.dt)),
            "v_threshold": leaf(thresholds),
            "input": leaf(dense(case)),
        }
        if case.net.has_current.any():
            self.tensors["alpha"] = leaf(network.synaptic_decay(case.dt))
        if case.initial_state is not None:
            self.tensors["initial_state"] = leaf(case.initial_state)
        self.n = len(network.projections)
        for k, connection in enumerate(network.projections):
            arrays = connection.projection.arrays()
            for name, array in (
                ("weight", arrays.get("data", arrays.get("weight"))),
                ("bias", arrays.get("bias")),
            ):
                if array is not None:
                    self.tensors[f"{name} {k}"] = leaf(array)

    def replay(self, network: pa.Network, trace: pa.Trace, x: Any = None, **options: Any) -> Any:
        tensors = self.tensors
        return replay(
            network,
            trace,
            tensors["input"] if x is None else x,
            [tensors.get(f"weight {k}") for k in range(self.n)],
            [tensors.get(f"bias {k}") for k in range(self.n)],
            tensors["beta"],
            tensors["v_threshold"],
            self.reset_amount,
            tensors.get("alpha"),
            initial_state=tensors.get("initial_state"),
            **{"surrogate": Surrogate("atan", 2), **options},
        )

    def gradients(self) -> Gradients:
        return {
            name: np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.double().numpy()
            for name, leaf in self.tensors.items()
        }


def differentiate(g: GradientCase, network: pa.Network, trace: pa.Trace) -> Gradients:
    """Gradients of the replay's outputs, multiplied by the case's cotangents and summed."""
    leaves = Leaves(g.case, network)
    outputs = leaves.replay(
        network,
        trace,
        surrogate=Surrogate(*g.surrogate),
        gradient_scope=g.scope,
        detach_reset=g.detach_reset,
    )
    used = [
        (output * torch.from_numpy(cotangent)).sum()
        for output, cotangent in zip(outputs, g.cotangents, strict=True)
        if cotangent is not None
    ]
    sum(used).backward()
    return leaves.gradients()


def by_parameter(given: dict[str, Any], ours: Gradients) -> Gradients:
    """Gradients of the oracle or the engine, brought to the shapes of the parameters."""
    names = ("beta", "v_threshold", "alpha", "input", "initial_state")
    flat = {name: given[name] for name in names}
    flat |= {f"weight {k}": each for k, each in enumerate(given["weights"])}
    flat |= {f"bias {k}": each for k, each in enumerate(given["biases"])}
    shaped = {}
    for name, like in ours.items():
        # The one weight of a OneToOne, or the bias of a channel, stands for many in a row.
        rows = np.split(np.asarray(flat[name], np.float64).ravel(), max(1, like.size))
        shaped[name] = np.array([row.sum() for row in rows])[: like.size].reshape(like.shape)
    return shaped
