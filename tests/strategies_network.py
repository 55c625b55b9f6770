"""Hypothesis strategies for networks: any directed graph, every kind of projection and neuron.

Structure is drawn by hypothesis, so that it shrinks; weights come from a drawn seed, so that a
network costs few draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from oracle_network import Network, Population, Projection

Shape = tuple[int, ...]
FLAT, LINE, IMAGE = (
    ("Linear", "Sparse", "OneToOne"),
    ("Conv1d",),
    ("Conv2d", "AvgPool2d", "SumPool2d"),
)


def conv_length(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (
        (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if n + 2 * padding > dilation * (kernel - 1)
        else 0
    )


def axis_settings(n_in: int, n_out: int | None, pool: bool) -> list[tuple[int, int, int, int]]:
    """(kernel, stride, padding, dilation) that map size n_in to n_out (None: to any size)."""
    every = [(k, s, p, d) for k in (1, 2, 3) for s in (1, 2, 3) for p in (0, 1, 2) for d in (1, 2)]
    fits = [a for a in every if (out := conv_length(n_in, *a)) >= 1 and n_out in (None, out)]
    return [a for a in fits if not pool or (a[3] == 1 and 2 * a[2] <= a[0])]


@st.composite
def networks(
    draw: st.DrawFn,
    max_populations: int = 5,
    recurrent: bool = True,
    refractory: str | None = None,
    exact: bool = False,
    connections: tuple[str, ...] = FLAT + LINE + IMAGE,
    wide: bool = False,
) -> Network:
    """A random directed graph.

    `exact`: all weights are multiples of 1/8, so that sums are exact and potentials may tie.
    `wide`: enough neurons for vector code to process full vectors and a remainder.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    exact = exact or draw(st.booleans())
    currents = draw(st.sampled_from([False, False, False, True]))
    input_shape = draw(shapes(wide))
    shape_of: dict[str, Shape] = {"input": input_shape}
    populations: list[Population] = []
    projections: list[Projection] = []
    for index in range(draw(st.integers(1, max_populations))):
        name = f"p{index}"
        source = draw(st.sampled_from(["input", *shape_of]))
        projection, shape = draw(
            projections_between(
                rng, source, shape_of[source], name, None, dtype, exact, connections, wide
            )
        )
        shape_of[name] = shape
        neuron = draw(neurons(rng, shape, refractory, exact))
        if currents:
            neuron |= draw(synaptic(rng, shape))
        populations.append(Population(name, shape, neuron))
        projections.append(projection)
    for _ in range(draw(st.integers(0, 4))):
        source, target = (
            draw(st.sampled_from(list(shape_of))),
            draw(st.sampled_from([p.name for p in populations])),
        )
        if not recurrent and source != "input" and source >= target:
            continue
        extra = draw(
            projections_between(
                rng,
                source,
                shape_of[source],
                target,
                shape_of[target],
                dtype,
                exact,
                connections,
                wide,
            )
        )
        projections.insert(draw(st.integers(0, len(projections))), extra[0])
    output = draw(st.sampled_from([None, *(p.name for p in populations)]))
    return Network(input_shape, tuple(populations), tuple(projections), dtype, output)


def shapes(wide: bool) -> st.SearchStrategy[Shape]:
    channels = st.integers(1, 4)
    flat, line, side = (
        st.integers(*((low, high) if wide else (1, small)))
        for low, high, small in [(20, 70, 12), (20, 40, 8), (7, 12, 5)]
    )
    return st.one_of(st.tuples(flat), st.tuples(channels, line), st.tuples(channels, side, side))


@st.composite
def neurons(
    draw: st.DrawFn, rng: np.random.Generator, shape: Shape, refractory: str | None, exact: bool
) -> dict[str, Any]:
    def one_or_each(values: list[float]) -> Any:
        return float(rng.choice(values)) if draw(st.booleans()) else rng.choice(values, shape)

    reset = draw(st.sampled_from(["zero", "subtract", "none"]))
    amounts = [0.0, 0.125, 0.375, 1.25] if exact else [0.05, 0.4, 1.1]
    thresholds = [0.125, 0.25, 0.5, 1.0] if exact else [0.1, 0.3, 0.7, 1.0]
    thresholds += [np.inf] * draw(st.sampled_from([0, 0, 0, 0, 0, 1]))
    return {
        "tau_mem": one_or_each([1e-3, 5e-3, 20e-3, 0.1, np.inf]),
        "v_threshold": one_or_each(thresholds),
        "reset": reset,
        **draw(reset_amounts(reset, rng, shape, amounts)),
        "refractory": refractory or draw(st.sampled_from(["timestep", "timestep", "none"])),
        "sync_threshold": draw(st.sampled_from([0, 0, 0, 0, 1, 2])),
    }


@st.composite
def reset_amounts(
    draw: st.DrawFn, reset: str, rng: np.random.Generator, shape: Shape, values: list[float]
) -> dict[str, Any]:
    """None, or `reset_amount` for all neurons or one each, where the reset subtracts."""
    form = draw(st.sampled_from(["none", "one", "each"])) if reset == "subtract" else "none"
    chosen = rng.choice(values, () if form == "one" else shape)
    return {} if form == "none" else {"reset_amount": chosen}


@st.composite
def synaptic(draw: st.DrawFn, rng: np.random.Generator, shape: Shape) -> dict[str, Any]:
    """None, or `tau_syn` for all neurons or one each: from all gone in a timestep to forever."""
    form = draw(st.sampled_from(["each", "one", "none"]))
    chosen = rng.choice([1e-3, 5e-3, 20e-3, 0.1, 0.5, np.inf], () if form == "one" else shape)
    return {} if form == "none" else {"tau_syn": chosen}


@st.composite
def projections_between(
    draw: st.DrawFn,
    rng: np.random.Generator,
    source: str,
    shape: Shape,
    name: str,
    target: Shape | None,
    dtype: str,
    exact: bool,
    kinds: tuple[str, ...],
    wide: bool,
) -> tuple[Projection, Shape]:
    """A projection from `shape` to `target` (None: to any shape), and the shape of its target."""
    ways: list[tuple[str, list[list[tuple[int, int, int, int]]]]] = [
        (k, []) for k in ("Linear", "Sparse") if k in kinds
    ]
    n_in = int(np.prod(shape))
    same_size = target is not None and int(np.prod(target)) == n_in
    if "OneToOne" in kinds and (target in (None, shape) or (same_size and len(shape) == 1)):
        ways.append(("OneToOne", []))
    if target is None or len(target) == len(shape):
        for kind in kinds:
            if len(shape) == {"Conv1d": 2, "Conv2d": 3, "AvgPool2d": 3, "SumPool2d": 3}.get(
                kind, 0
            ):
                pool = kind.endswith("Pool2d")
                if pool and target is not None and target[0] != shape[0]:
                    continue
                ends: Shape | tuple[None, ...] = (None,) * len(shape) if target is None else target
                axes = [axis_settings(i, o, pool) for i, o in zip(shape[1:], ends[1:], strict=True)]
                if all(axes):
                    ways += [(kind, axes)] * 2
    kind, axes = draw(st.sampled_from(ways or [("Linear", [])]))
    recurrent = target is not None
    if kind in FLAT:
        out = (
            target
            if target is not None
            else shape
            if kind == "OneToOne"
            else (draw(st.integers(*((30, 150) if wide else (1, 12)))),)
        )
        return Projection(
            source, name, kind, flat(draw, rng, kind, n_in, out, dtype, exact, recurrent)
        ), out
    settings = [draw(st.sampled_from(axis)) for axis in axes]
    kernel, stride, padding, dilation = (tuple(s[at] for s in settings) for at in range(4))
    lengths = tuple(conv_length(n, *s) for n, s in zip(shape[1:], settings, strict=True))
    if kind.endswith("Pool2d"):
        a: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
        a = {k: draw(st.sampled_from([v, v[0]])) if v[0] == v[1] else v for k, v in a.items()}
        return Projection(source, name, kind, a), (shape[0], *lengths)
    limit = max(1, (400 if wide else 40) // int(np.prod(lengths)))
    groups = draw(
        st.sampled_from(
            [
                g
                for g in range(1, shape[0] + 1)
                if shape[0] % g == 0 and (target is None or target[0] % g == 0)
            ]
        )
    )
    channels = (
        target[0]
        if target is not None
        else groups * draw(st.integers(1, max(1, min(4, limit // groups))))
    )
    a = {"stride": stride, "padding": padding, "dilation": dilation}
    if kind == "Conv1d":
        a = {k: v[0] for k, v in a.items()}
    else:
        a = {k: draw(st.sampled_from([v, v[0]])) if v[0] == v[1] else v for k, v in a.items()}
    fan_in = shape[0] // groups * int(np.prod(kernel))
    a["weight"] = weights(
        draw, rng, (channels, shape[0] // groups, *kernel), fan_in, dtype, exact, recurrent
    )
    a["bias"], a["groups"] = biases(draw, rng, channels, dtype, exact), groups
    return Projection(source, name, kind, a), (channels, *lengths)


def flat(
    draw: st.DrawFn,
    rng: np.random.Generator,
    kind: str,
    n_in: int,
    out: Shape,
    dtype: str,
    exact: bool,
    recurrent: bool,
) -> dict[str, Any]:
    n_out = int(np.prod(out))
    if kind == "OneToOne":
        one = draw(st.booleans())
        return {"weight": weights(draw, rng, () if one else (n_in,), 1, dtype, exact, recurrent)}
    weight = weights(draw, rng, (n_out, n_in), n_in, dtype, exact, recurrent)
    if kind == "Linear":
        return {"weight": weight, "bias": biases(draw, rng, n_out, dtype, exact)}
    stored = rng.random(weight.shape) < draw(st.sampled_from([0.2, 0.6, 1.0]))
    indptr = np.concatenate([[0], np.cumsum(stored.sum(1))]).astype(np.int64)
    csr = indptr, np.nonzero(stored)[1], weight[stored]
    bias = biases(draw, rng, n_out, dtype, exact)
    return {"csr": csr, "shape": (n_out, n_in), "bias": bias}


def weights(
    draw: st.DrawFn,
    rng: np.random.Generator,
    shape: Shape,
    fan_in: int,
    dtype: str,
    exact: bool,
    recurrent: bool,
) -> np.ndarray:
    """Weights that keep a network active and stable: recurrent ones inhibit more."""
    w = rng.normal(0.0 if recurrent else 0.6, 0.8, shape) * 1.6 / np.sqrt(fan_in)
    w = np.round(w * 8) / 8 if exact else w
    kept = rng.random(shape) < draw(st.sampled_from([1.0, 1.0, 0.7, 0.4]))
    return np.asarray(w * kept + 0.0, dtype)


def biases(
    draw: st.DrawFn, rng: np.random.Generator, n: int, dtype: str, exact: bool
) -> np.ndarray | None:
    if not draw(st.booleans()):
        return None
    b = rng.normal(0.05, 0.2, n) * (rng.random(n) < 0.6)
    return np.asarray(np.round(b * 8) / 8 + 0.0 if exact else b, dtype)
