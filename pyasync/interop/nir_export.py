"""Export networks as graphs in the Neuromorphic Intermediate Representation (NIR)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import choice, seconds, shown
from pyasync._optional import needed
from pyasync.errors import NetworkError, expected
from pyasync.interop._nir_graph import ORDER, REFRACTORY, never_projects
from pyasync.network import Network, Population, check_network
from pyasync.projections import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Linear,
    OneToOne,
    Projection,
    Shape,
    Sparse,
    SumPool2d,
)

if TYPE_CHECKING:
    import nir

# NIR has no sparse maps; this is the largest number of weights that a dense matrix may have.
_MOST_WEIGHTS = 2**28


def to_nir(
    network: Network,
    *,
    dt: float,
    target_dt: float | None = None,
    integration: Literal["euler", "exponential"] = "euler",
    reset: Literal["zero", "subtract", "none"] = "zero",
) -> nir.NIRGraph:
    """Build the NIR graph of a network, for frameworks and chips that read NIR.

    A framework that integrates NIR's equations in timesteps of `target_dt` seconds, as
    `integration` says, and resets as `reset` says does what the network does layer by layer with
    `dt`.
    `from_nir` restores the network; the graph's metadata hold the order of the populations and
    their refractoriness. Populations become `LIF` nodes of the same names (`CubaLIF` if they have
    `tau_syn`, `IF` if none of their neurons leaks; `LI`, `CubaLI` and `I` where none of them ever
    fires), and projections become maps, with a `Flatten` where shapes require it. nir's own type
    check (version 1.0.8) refuses grouped convolutions; `nir.read(path, type_check=False)` reads
    them.

    Parameters
    ----------
    network : Network
    dt : float
        Length of the timestep in seconds that the network was trained for.
    target_dt : float, optional
        Length of the framework's timestep, for which time constants are written: snnTorch reads
        them for 1e-4. None: `dt`.
    integration : {"euler", "exponential"}
        How the framework discretises the differential equation, as in `from_nir`.
    reset : {"zero", "subtract", "none"}
        What firing does to a potential, in the framework as in every population here. No graph says
        it, since NIR can only express "zero": whoever reads the graph has to be told.

    Returns
    -------
    nir.NIRGraph
        Write it to a file with `nir.write`.

    Raises
    ------
    MissingDependencyError
        If `nir` is missing.
    NetworkError
        If NIR cannot express what the network does: a reset other than `reset`, a `reset_amount`, a
        `sync_threshold`, a projection from neurons that never fire, whose nodes send their
        potentials, a population in which only some neurons leak, a population with `tau_syn`
        in which a time constant is infinite, a convolution or pooling whose source population is
        the target of a flat map, a large sparse map, or a name with a slash; or if an argument is
        not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.ones((2, 3)))], pa.LIF(v_threshold=0.3))
    >>> graph = pa.interop.to_nir(network, dt=1e-3)
    >>> sorted(graph.nodes)
    ['1', 'input', 'input_to_1', 'output']
    >>> pa.interop.from_nir(graph, dt=1e-3)
    Network(3 -> 1[2], 1 projection, float64)
    """
    check_network(NetworkError, network)
    choice(NetworkError, "integration", integration, ("euler", "exponential"))
    choice(NetworkError, "reset", reset, ("zero", "subtract", "none"))
    dt = seconds(NetworkError, "dt", dt)
    target_dt = dt if target_dt is None else target_dt
    step = seconds(NetworkError, "target_dt", target_dt)
    nir = needed("nir", "it holds the graphs")
    shapes = _shapes(network)
    nodes: dict[str, Any] = {"input": nir.Input(np.array(network.input_shape))}
    edges: list[tuple[str, str]] = []

    def follow(before: str, name: str, made: list[Any]) -> str:
        """Append nodes after `before`, one after another, and return the name of the last."""
        for node in made:
            while name in nodes or name in shapes:
                name += "_"
            nodes[name] = node
            edges.append((before, name))
            before = name
        return before

    for population in network.populations:
        shape = shapes[population.name][1]
        nodes[population.name] = _neurons(nir, population, shape, dt, step, integration, reset)
    silent = {each.name for each in network.populations if not each.neuron.fires}
    for link in network.projections:
        if link.source in silent:
            raise NetworkError(never_projects("network", link.source, link.target))
        name = f"{link.source}_to_{link.target}"
        made = _maps(nir, name, link.projection, shapes[link.source], shapes[link.target][1])
        edges.append((follow(link.source, name, made), link.target))
    follow(network.output, "output", [nir.Output(np.array(shapes[network.output][1]))])
    metadata = {
        ORDER: [population.name for population in network.populations],
        REFRACTORY: [population.neuron.refractory for population in network.populations],
    }
    try:
        return nir.NIRGraph(nodes, edges, metadata=metadata)
    except ValueError:
        # nir 1.0.8 miscounts the channels of grouped convolutions, and some kernels' positions.
        return nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False)


def _shapes(network: Network) -> dict[str, tuple[Shape, Shape]]:
    """By name, a population's own shape and its shape in the graph, flat if after a flat map."""
    own = {"input": network.input_shape} | {p.name: p.shape for p in network.populations}
    links = network.projections
    flat = {c.target for c in links if c.projection.output_shape(own[c.source]) != own[c.target]}
    one_to_one = [c for c in links if isinstance(c.projection, OneToOne)]
    for _ in one_to_one:
        flat |= {c.target for c in one_to_one if c.source in flat}
    return {
        name: (shape, (math.prod(shape),) if name in flat else shape) for name, shape in own.items()
    }


def _neurons(
    nir: Any,
    population: Population,
    shape: Shape,
    dt: float,
    step: float,
    integration: str,
    reset: str,
) -> Any:
    """The node of a population, whose input has factor 1 with timesteps of `step` seconds."""
    neuron, name, never = population.neuron, population.name, not population.neuron.fires
    only_zero = "as NIR has; for a framework that resets otherwise, say so with reset"
    for parameter, possible, why in (
        ("reset", reset, only_zero if reset == "zero" else "as reset says"),
        ("sync_threshold", 0, "as NIR has"),
    ):
        given = getattr(neuron, parameter)
        if given != possible and not never:
            what = f"{name!r} with {parameter} = {given!r}"
            raise NetworkError(expected("network", what, f"{parameter} = {possible!r}, {why}"))
    if neuron.reset_amount is not None and not never:
        what = f"{name!r} with reset_amount = {shown(neuron.reset_amount)}"
        accepted = "reset_amount = None, as readers of a graph subtract the threshold"
        raise NetworkError(expected("network", what, accepted))
    if "/" in name:
        raise NetworkError(expected("network", f"the name {name!r}", "names without a slash"))

    def each(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.array(np.broadcast_to(values.reshape(shape if values.size > 1 else ()), shape))

    def written(tau: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
        """A time constant for timesteps of `step` seconds, and what makes the input's factor 1."""
        lost = -np.expm1(-dt / tau)
        return step / lost if integration == "euler" else tau * (step / dt), 1 / lost

    own, zeros = population.shape, np.zeros(shape)
    values = {key: each(neuron.values(key, own)) for key in neuron.parameters}
    tau_mem, v_threshold, tau_syn = values["tau_mem"], values["v_threshold"], values.get("tau_syn")
    leaks = np.isfinite(tau_mem)
    if tau_syn is not None and not (leaks & np.isfinite(tau_syn)).all():
        what = f"{name!r} with tau_syn, where some time constants are infinite"
        raise NetworkError(expected("network", what, "finite tau_mem and tau_syn"))
    if not leaks.any():
        # `v' = r I` over one timestep. SpikingJelly accepts no other r; Norse and sinabs ignore it.
        r = np.full(shape, 1 / step)
        return nir.I(r) if never else nir.IF(r=r, v_threshold=v_threshold, v_reset=zeros)
    if not leaks.all():
        what = f"{name!r}, where some neurons leak and others do not"
        raise NetworkError(expected("network", what, "finite tau_mem, or all of it infinite"))
    tau, r = written(tau_mem)
    rest = {"r": r, "v_leak": zeros}
    if not never:
        rest |= {"v_threshold": v_threshold, "v_reset": zeros.copy()}
    if tau_syn is None:
        return (nir.LI if never else nir.LIF)(tau=tau, **rest)
    tau_syn, w_in = written(tau_syn)
    kind = nir.CubaLI if never else nir.CubaLIF
    return kind(tau_mem=tau, tau_syn=tau_syn, w_in=w_in, **rest)


def _maps(
    nir: Any, name: str, projection: Projection, source: tuple[Shape, Shape], wanted: Shape
) -> list[Any]:
    """The nodes of a projection to a population whose shape in the graph is `wanted`."""
    shape, given = source

    def flat(shape: Shape) -> list[Any]:
        if len(shape) == 1:
            return []
        # Counted from the last axis: snnTorch and Norse take a count from the first to include the
        # batch's, which no graph has.
        return [nir.Flatten({"input": np.array(shape)}, -len(shape), -1)]

    if isinstance(projection, OneToOne):
        scale = np.broadcast_to(projection.weight, (math.prod(shape),)).reshape(wanted)
        return [*(flat(given) if len(wanted) == 1 else []), nir.Scale(np.array(scale))]
    if isinstance(projection, Linear | Sparse):
        weight, bias = _dense(name, projection), projection.bias
        product = nir.Linear(weight) if bias is None else nir.Affine(weight, np.array(bias))
        return [*flat(given), product]
    if shape == given:
        behind = flat(projection.output_shape(shape)) if len(wanted) == 1 else []
        return [_window(nir, projection, shape), *behind]
    what = f"{name}, which needs the shape {shape} of a population behind a flat map"
    raise NetworkError(expected("network", what, "maps that keep shapes before it"))


def _window(nir: Any, projection: Projection, shape: Shape) -> Any:
    """The node of a convolution or pooling."""
    if isinstance(projection, Conv1d | Conv2d):
        weight, bias = np.array(projection.weight), projection.bias
        bias = np.zeros(len(weight), weight.dtype) if bias is None else np.array(bias)
        window = projection.stride, projection.padding, projection.dilation
        if isinstance(projection, Conv2d):
            return nir.Conv2d(shape[1:], weight, *window, projection.groups, bias)
        return nir.Conv1d(shape[1], weight, *(each[0] for each in window), projection.groups, bias)
    if isinstance(projection, AvgPool2d | SumPool2d):
        kind = nir.AvgPool2d if isinstance(projection, AvgPool2d) else nir.SumPool2d
        return kind(*map(np.array, (projection.kernel_size, projection.stride, projection.padding)))
    raise NetworkError(expected("network", f"a {projection!r}", "projections of this package"))


def _dense(name: str, projection: Linear | Sparse) -> npt.NDArray[Any]:
    if isinstance(projection, Linear):
        return np.array(projection.weight)
    if math.prod(projection.shape) > _MOST_WEIGHTS:
        what = f"{name}, a sparse map of shape {projection.shape}, which NIR has only whole"
        raise NetworkError(expected("network", what, f"at most {_MOST_WEIGHTS:,} entries"))
    weight = np.zeros(projection.shape, projection.data.dtype)
    rows = np.repeat(np.arange(projection.shape[0]), np.diff(projection.indptr))
    weight[rows, projection.indices] = projection.data
    return weight
