"""NIR graphs for tests, and a slow reference implementation of them."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

nir = pytest.importorskip("nir")
torch = pytest.importorskip("torch")

DT = 1e-3
Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0.1, 0.5, shape)


def lif(*shape: int, **changes: Any) -> Any:
    rng = np.random.default_rng(shape)
    values = {
        "tau": rng.uniform(2e-3, 20e-3, shape),
        "r": rng.uniform(2.0, 20.0, shape),
        "v_leak": np.full(shape, 0.2),
        "v_threshold": rng.uniform(0.5, 1.5, shape),
        "v_reset": np.full(shape, 0.2),
    }
    return nir.LIF(**{**values, **changes})


def cuba(*shape: int, **changes: Any) -> Any:
    rng = np.random.default_rng((1, *shape))
    values = {
        "tau_syn": rng.uniform(2e-3, 20e-3, shape),
        "tau_mem": rng.uniform(2e-3, 20e-3, shape),
        "r": rng.uniform(2.0, 20.0, shape),
        "w_in": rng.uniform(1.0, 5.0, shape),
        "v_leak": np.full(shape, 0.2),
        "v_threshold": rng.uniform(0.5, 1.5, shape),
        "v_reset": np.full(shape, 0.2),
    }
    return nir.CubaLIF(**{**values, **changes})


def li(*shape: int, **changes: Any) -> Any:
    given = lif(*shape)
    return nir.LI(**{"tau": given.tau, "r": given.r, "v_leak": np.zeros(shape), **changes})


def cuba_li(*shape: int, **changes: Any) -> Any:
    names = ("tau_syn", "tau_mem", "r", "w_in")
    given = {name: getattr(cuba(*shape), name) for name in names}
    return nir.CubaLI(**{**given, "v_leak": np.zeros(shape), **changes})


def conv(
    *shape: int,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    bias: bool = True,
) -> Any:
    b = normal(shape[0], seed=1) if bias else np.zeros(shape[0])
    if len(shape) == 3:
        return nir.Conv1d(None, normal(*shape), stride, padding, 1, groups, b)
    stride, dilation = (np.broadcast_to(each, 2).tolist() for each in (stride, dilation))
    return nir.Conv2d(None, normal(*shape), tuple(stride), padding, tuple(dilation), groups, b)


def pool(kind: Any, size: int, stride: int | None = None, padding: int = 0) -> Any:
    pairs = [np.array([n, n]) for n in (size, size if stride is None else stride, padding)]
    return kind(*pairs)


def flat(start: int = 0) -> Any:
    return nir.Flatten(input_type={"input": None}, start_dim=start, end_dim=-1)


def graph(nodes: dict[str, Any], edges: str) -> Any:
    """Build a graph; `edges` is text such as "input a b output, a c b"."""
    lines = [line.split() for line in edges.split(",")]
    pairs = [pair for line in lines for pair in pairwise(line)]
    return nir.NIRGraph(nodes, pairs, type_check=False)


def chain(shape: tuple[int, ...], *nodes: Any) -> Any:
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array([1]))}
    named = {f"n{k}": node for k, node in enumerate(nodes)}
    return graph({**ends, **named}, f"input {' '.join(named)} output")


def resting_at_0(graph: Any) -> Any:
    """The graph with `v_leak` 0 everywhere and `v_reset` unchanged."""
    graph = deepcopy(graph)
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF | nir.CubaLIF):
            node.v_leak = np.zeros_like(node.v_leak)
    return graph


class Equations:
    """Slow reference: compute all nodes of a graph in every timestep, as NIR defines them."""

    def __init__(
        self, graph: Any, integration: str, reset: str = "zero", reset_delay: bool = False
    ) -> None:
        self.graph, self.integration, self.reset = graph, integration, reset
        self.reset_delay = reset_delay
        self.v: dict[str, Any] = {}
        self.current: dict[str, Any] = {}
        self.due: dict[str, Any] = {}

    def run(self, x: Array) -> Array:
        """Spikes of the output [T, B, n] for `x` [T, B, ...]; potentials if it never fires."""
        return np.stack([self.step(torch.from_numpy(each)) for each in x])

    def step(self, x: Any) -> Array:
        self.values: dict[str, Any] = {"input": x}
        return self.value("output").flatten(1).numpy()

    def value(self, name: str) -> Any:
        if name not in self.values:
            total = sum(self.value(a) for a, b in self.graph.edges if b == name)
            self.values[name] = self.apply(name, self.graph.nodes[name], total)
        return self.values[name]

    def apply(self, name: str, node: Any, x: Any) -> Any:
        def own(attribute: str) -> Any:
            return torch.as_tensor(np.asarray(getattr(node, attribute), np.float64))

        functional = torch.nn.functional
        kind = type(node).__name__
        if kind == "Output":
            return x
        if kind in ("Linear", "Affine"):
            return functional.linear(x, own("weight"), own("bias") if kind == "Affine" else None)
        if kind == "Scale":
            return x * own("scale")
        if kind == "Flatten":
            return x.flatten(node.start_dim + (node.start_dim >= 0))
        if kind.startswith("Conv"):
            run = functional.conv1d if kind == "Conv1d" else functional.conv2d
            padding = node.padding
            return run(
                x, own("weight"), own("bias"), node.stride, padding, node.dilation, node.groups
            )
        if kind.endswith("Pool2d"):
            how = [tuple(getattr(node, k).tolist()) for k in ("kernel_size", "stride", "padding")]
            one = 1 if kind == "SumPool2d" else None
            return functional.avg_pool2d(x, *how, divisor_override=one)
        if kind in ("IF", "I"):
            v = (
                self.v.get(name, torch.zeros(()))
                + (1 if (own("r") == 1).all() else DT * own("r")) * x
            )
        else:
            v, v_leak = self.v.get(name, own("v_leak")), own("v_leak")
            if kind.startswith("Cuba"):
                current = self.current.get(name, torch.zeros(()))
                x = current + self.lost(own("tau_syn")) * (own("w_in") * x - current)
                self.current[name] = x
            d = self.lost(own("tau_mem" if kind.startswith("Cuba") else "tau"))
            v = v + d * (v_leak - v + own("r") * x)
        if kind in ("LI", "I", "CubaLI"):
            self.v[name] = v
            return v
        v = v - self.due.get(name, 0.0)
        fires = v > own("v_threshold")
        if self.reset_delay:
            self.v[name], self.due[name] = v, torch.where(fires, own("v_threshold"), 0.0)
            return fires.double()
        after = {"zero": own("v_reset"), "subtract": v - own("v_threshold"), "none": v}
        self.v[name] = torch.where(fires, after[self.reset], v)
        return fires.double()

    def lost(self, tau: Any) -> Any:
        """What a timestep takes of a potential or current."""
        return DT / tau if self.integration == "euler" else -torch.expm1(-DT / tau)


IMAGE = (2, 8, 7)
ONES = np.ones(4)
GRAPHS = {
    "linear": chain((5,), nir.Linear(normal(4, 5)), lif(4)),
    "affine": chain(
        (5,), nir.Affine(normal(4, 5), normal(4)), lif(4), nir.Linear(normal(3, 4)), lif(3)
    ),
    "integrate and fire": chain((5,), nir.Linear(normal(4, 5)), nir.IF(ONES, ONES)),
    "integrate and fire, by the equation": chain(
        (5,), nir.Linear(normal(4, 5)), nir.IF(ONES / DT, ONES)
    ),
    "a neuron for each input": chain((4,), lif(4)),
    "forgotten in a timestep": chain((4,), lif(4, tau=np.full(4, DT))),
    "currents": chain(
        (5,),
        nir.Affine(normal(4, 5), normal(4)),
        cuba(4),
        nir.Linear(normal(3, 4, seed=1)),
        cuba(3),
    ),
    "currents forgotten in a timestep": chain((4,), cuba(4, tau_syn=np.full(4, DT))),
    "currents in some populations": chain(
        IMAGE, conv(3, 2, 3, 3), cuba(3, 6, 5), flat(), nir.Linear(normal(4, 90) - 0.1), lif(4)
    ),
    "scaled": chain((4,), nir.Scale(normal(4)), lif(4)),
    "one scale": chain((4,), nir.Scale(np.array(0.7)), lif(4)),
    "one after the other": chain(
        (4,), nir.Affine(normal(6, 4), normal(6)), nir.Affine(normal(3, 6), normal(3)), lif(3)
    ),
    "conv2d": chain(IMAGE, conv(3, 2, 3, 2, stride=2, padding=(1, 0)), lif(3, 4, 3)),
    "conv1d": chain((4, 9), conv(6, 2, 3, stride=2, padding=1, groups=2), lif(6, 5)),
    "padding same": chain(IMAGE, conv(2, 2, 3, 5, padding="same"), lif(2, 8, 7)),
    "padding valid": chain(IMAGE, conv(2, 2, 3, 2, padding="valid"), lif(2, 6, 6)),
    "pooled spikes": chain(IMAGE, lif(*IMAGE), pool(nir.AvgPool2d, 2), lif(2, 4, 3)),
    "conv, then pool": chain(
        IMAGE, conv(3, 2, 3, 3, padding=1), pool(nir.SumPool2d, 3, 2, 1), lif(3, 4, 4)
    ),
    "conv, then pools without padding": chain(
        IMAGE,
        conv(4, 1, 3, 2, stride=(1, 2), padding=(1, 2), dilation=(2, 1), groups=2),
        pool(nir.AvgPool2d, 2, 1),
        pool(nir.SumPool2d, 2),
        lif(4, 2, 2),
    ),
    "pool, then conv": chain(
        IMAGE, lif(*IMAGE), pool(nir.AvgPool2d, 2), conv(4, 1, 2, 2, groups=2), lif(4, 3, 2)
    ),
    "conv, scaled by neuron": chain(
        IMAGE, conv(3, 2, 3, 3), nir.Scale(normal(3, 6, 5)), lif(3, 6, 5)
    ),
    "flattened": chain(
        IMAGE,
        conv(3, 2, 3, 3),
        lif(3, 6, 5),
        flat(),
        nir.Affine(normal(4, 90) - 0.1, normal(4)),
        lif(4),
    ),
    "conv, flattened to neurons": chain(IMAGE, conv(3, 2, 3, 3), flat(), lif(90)),
    "flattened, scaled": chain(IMAGE, flat(), nir.Scale(normal(112)), lif(112)),
    "ways that are flat and not": graph(
        {
            "input": nir.Input(np.array(IMAGE)),
            "flat": flat(),
            "a": nir.Affine(normal(90, 112), normal(90)),
            "conv": conv(3, 2, 3, 3),
            "flat_too": flat(),
            "out": lif(90),
            "output": nir.Output(np.array([90])),
        },
        "input flat a out output, input conv flat_too out",
    ),
    "flattened to the output": chain(IMAGE, lif(*IMAGE), flat()),
    "conv, flattened, linear": chain(
        IMAGE, conv(3, 2, 3, 3), flat(), nir.Linear(normal(4, 90) - 0.1), lif(4)
    ),
    "ways that join before a bias": graph(
        {
            "input": nir.Input(np.array([5])),
            "a": nir.Affine(normal(4, 5), normal(4)),
            "b": nir.Affine(normal(4, 5, seed=2), normal(4, seed=2)),
            "c": nir.Affine(normal(3, 4), normal(3)),
            "out": lif(3),
            "output": nir.Output(np.array([3])),
        },
        "input a c out output, input b c",
    ),
    "a way past a population": graph(
        {
            "input": nir.Input(np.array([4])),
            "a": nir.Affine(normal(4, 4), normal(4)),
            "first": lif(4),
            "b": nir.Affine(normal(4, 4, seed=3), normal(4, seed=3)),
            "second": lif(4),
            "output": nir.Output(np.array([4])),
        },
        "input a first b second output, first second, a second",
    ),
}
