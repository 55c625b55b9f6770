"""Read networks of other frameworks in the Neuromorphic Intermediate Representation (NIR)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pyasync._checks import array, choice, flag, numbers, seconds, shown
from pyasync._optional import needed
from pyasync.errors import FileError, NetworkError, expected
from pyasync.interop._nir_graph import INTEGRATORS, Graph, kind_of
from pyasync.interop._nir_maps import bias_at, projection, shape_after
from pyasync.network import Network
from pyasync.neurons import LIF
from pyasync.projections import Shape

if TYPE_CHECKING:
    import nir

Reset = Literal["zero", "subtract", "none"]
# tau_mem, in timesteps, of a neuron that forgets everything in one: exp(-1000) is 0.
_TIMESTEPS_TO_FORGET = 1 / 1000


def from_nir(
    graph: nir.NIRGraph | str | os.PathLike[str],
    *,
    dt: float,
    source_dt: float | None = None,
    integration: Literal["euler", "exponential"] = "euler",
    reset: Reset = "zero",
    reset_delay: bool = False,
    refractory: Literal["timestep", "none"] | None = None,
    dtype: npt.DTypeLike | None = None,
) -> Network:
    """Build a network from a NIR graph, as written by snnTorch, Norse, SpikingJelly, sinabs etc.

    Run layer by layer with `dt`, the network does what the framework did with `source_dt`, provided
    that `integration` and `reset` describe the framework; `docs/other-frameworks.md` says where
    frameworks differ. `LIF`, `IF` and `CubaLIF` nodes become populations of the same names, the
    last with `tau_syn`. So do `LI`, `I` and `CubaLI` nodes, which never fire (`v_threshold=inf`)
    and may only be the output, read out by its potentials (`Result.output_v`). The `Linear`,
    `Affine`, `Conv1d`, `Conv2d`, `AvgPool2d`, `SumPool2d`, `Scale` and `Flatten` nodes between them
    become projections, one for each way from one population to another. Nested and recurrent graphs
    are allowed.

    NIR's neurons obey differential equations, which a framework discretises into timesteps. With
    `d = source_dt / tau`, "euler" keeps `1 - d` of a potential from one timestep to the next and
    adds `r d` times the input (snnTorch, Norse, SpikingJelly); "exponential" keeps `exp(-d)` and
    adds `r (1 - exp(-d))` times the input (sinabs). An `IF` node keeps the whole potential and adds
    the input; some frameworks write this as `r = 1` and others, following the equation, as
    `r = 1 / source_dt`. The current of a `CubaLIF` node decays and adds its input in the same way,
    with `tau_syn` and `w_in` for `tau` and `r`, and then is the input of the potential, in the same
    timestep. pyasync's neurons add the input with factor 1 and start at 0, so thresholds are
    divided by the factors and measured from `v_leak`, where NIR's potentials start. Neurons then
    fire at the same times. Where neurons never fire, weights and biases are multiplied by the
    factors instead, so that the potentials are the framework's; `v_leak` has to be 0 there.

    Parameters
    ----------
    graph : nir.NIRGraph or path
        The graph, or a file that `nir.write` wrote.
    dt : float
        Length of a timestep in seconds, as it will be passed to `simulate`.
    source_dt : float, optional
        Length of the framework's timestep, to which the graph's time constants refer: snnTorch
        writes them for 1e-4, whatever the timestep of the data. None: `dt`.
    integration : {"euler", "exponential"}
        How the framework discretised the differential equation.
    reset : {"zero", "subtract", "none"}
        What firing does to a potential. NIR can only express "zero" (to `v_reset`, which has to
        equal `v_leak`), not that a framework subtracted the threshold, as snnTorch does by default.
        For "subtract", `v_leak` has to be 0, so that the threshold is what is subtracted here too.
        Populations that never fire have "none".
    reset_delay : bool
        Whether the framework subtracts the threshold one timestep after the spike, when the
        potential has decayed, as snnTorch does by default. That equals subtracting
        `v_threshold / beta` at once, where `beta` is what remains of a potential after a timestep;
        so it must not be 0. Only for `reset="subtract"`.
    refractory : {"timestep", "none"}, optional
        As in `LIF`. None: as `to_nir` wrote it, or else "timestep", since a framework that runs
        layer by layer fires each neuron at most once per timestep; "none" for populations that
        never fire.
    dtype : {"float32", "float64"}, optional
        As in `Network`.

    Returns
    -------
    Network

    Raises
    ------
    MissingDependencyError
        If `nir` is missing, or `scipy`, which is needed if maps follow each other without neurons
        between them.
    FileError
        If the file cannot be read.
    NetworkError
        If the graph has an unsupported node, several inputs or outputs, an output that is not of
        neurons, neurons behind ones that never fire, implausibly many or long ways between neurons,
        or parameters or shapes that do not fit; if `v_reset` or `v_leak` is not what `reset` or a
        readout by potentials requires, or a potential is forgotten within a timestep and
        `reset_delay=True`; or if an argument is not as described.

    Examples
    --------
    >>> import numpy as np, nir
    >>> from pyasync.interop import from_nir
    >>> ones = np.ones(2)
    >>> lif = nir.LIF(tau=20e-3 * ones, r=20 * ones, v_leak=0 * ones, v_threshold=0.3 * ones)
    >>> graph = nir.NIRGraph.from_list(nir.Linear(np.ones((2, 3))), lif)
    >>> from_nir(graph, dt=1e-3)
    Network(3 -> lif[2], 1 projection, float64)
    """
    choice(NetworkError, "integration", integration, ("euler", "exponential"))
    choice(NetworkError, "reset", reset, ("zero", "subtract", "none"))
    if flag(NetworkError, "reset_delay", reset_delay) and reset != "subtract":
        given = f"True with reset={shown(reset)}"
        raise NetworkError(expected("reset_delay", given, "False, except with 'subtract'"))
    dt = seconds(NetworkError, "dt", dt)
    source_dt = dt if source_dt is None else source_dt
    step = seconds(NetworkError, "source_dt", source_dt)
    parsed = Graph(read_graph(graph))
    shapes = _shapes(parsed)
    network = Network(input_shape=shapes[parsed.source], dtype=dtype)
    gains: dict[str, npt.NDArray[np.float64] | None] = {}
    for name in parsed.populations:
        values = _neuron(name, parsed.nodes[name], dt, step, integration, reset, reset_delay)
        fitted = {key: _fitted(name, each, shapes[name]) for key, each in values.items()}
        gain = np.broadcast_to(fitted.pop("gain"), shapes[name]).ravel()
        gains[name] = None if (gain == 1).all() else gain
        never = np.isposinf(fitted["v_threshold"]).all()
        how: Any = {"reset": "none" if never else reset, "refractory": refractory}
        if refractory is None:
            how["refractory"] = parsed.refractory.get(name, "none" if never else "timestep")
        network.add(name, shapes[name], LIF(**how, **fitted))
    for name in parsed.populations:
        bias = bias_at(parsed, name, shapes)
        for way in parsed.ways_to(name):
            source = "input" if way.source == parsed.source else way.source
            maps = [parsed.nodes[each] for each in way.maps]
            ends = shapes[way.source], shapes[name]
            network.connect(source, name, projection(maps, *ends, bias, gains[name]))
            bias = None
    network.output = parsed.output
    return network


def read_graph(graph: Any) -> Any:
    """Read a graph from a file; return a graph unchanged."""
    nir = needed("nir", "it holds the graphs")
    if isinstance(graph, (str, os.PathLike)):
        try:
            graph = nir.read(os.fspath(graph), type_check=False)
        except Exception as cause:  # h5py and nir may raise anything for a file that is not a graph
            reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            given = f"{graph} ({reason})"
            raise FileError(expected("path", given, "a file that nir.write wrote")) from cause
    if not isinstance(graph, nir.NIRGraph):
        given = f"a {type(graph).__name__}"
        raise NetworkError(expected("graph", given, "a nir.NIRGraph, or the path of one"))
    return graph


def _shapes(graph: Graph) -> dict[str, Shape]:
    """Shapes of the input and of all populations, each following from the first way to it.

    A `Flatten` just before the neurons is ignored, so that the population keeps its axes and the
    maps before it can remain, for example, convolutions.
    """
    given = graph.nodes[graph.source].input_type.get("input")
    sizes = array(NetworkError, "graph", given, "an input that has a shape")
    if sizes.dtype.kind not in "iuf" or np.any(sizes % 1):  # of infinity that is NaN
        given = f"an input of shape {shown(given)}"
        raise NetworkError(expected("graph", given, "an input that has a shape"))
    shapes: dict[str, Shape] = {graph.source: tuple(map(int, sizes.ravel()))}
    left = list(graph.populations)
    while left:
        # Not always the first: a network may have them in any order.
        name, way = next(
            (name, way) for name in left for way in graph.ways_to(name) if way.source in shapes
        )
        left.remove(name)
        maps = [graph.nodes[each] for each in way.maps]
        while maps and kind_of(maps[-1]) == "Flatten":
            maps.pop()
        try:
            shapes[name] = shape_after(maps, shapes[way.source])
        except NetworkError as error:
            if way.source != graph.source:
                raise
            given = f"an input of shape {shapes[way.source]} ({error})"
            accepted = "the shape of one sample in one timestep, without an axis for the batch"
            raise NetworkError(expected("graph", given, accepted)) from None
    return shapes


def _neuron(
    name: str,
    node: Any,
    dt: float,
    step: float,
    integration: str,
    reset: Reset,
    reset_delay: bool,
) -> dict[str, npt.NDArray[np.float64]]:
    """Parameters of `LIF` for a node that ran with timesteps of `step` seconds.

    And a "gain", by which its weights and biases have to be multiplied.
    """

    def refused(parameter: str, wrong: npt.NDArray[np.bool_], accepted: str) -> None:
        if np.any(wrong):
            values = np.broadcast_to(getattr(node, parameter), np.shape(wrong))
            given = f"node {name!r} with {parameter} = {values[wrong].flat[0]}"
            raise NetworkError(expected("graph", given, accepted))

    def values(parameter: str, positive: str = "") -> npt.NDArray[np.float64]:
        accepted = f"as {parameter} of node {name!r}"
        found = numbers(NetworkError, "graph", getattr(node, parameter), accepted, np.float64)
        if positive:
            refused(parameter, ~((found > 0) & np.isfinite(found)), f"finite {positive} above 0")
        return found

    def discrete(tau: str, factor: str) -> tuple[npt.NDArray[np.float64], ...]:
        """A time constant for `dt`, what is left after a timestep, and the input's factor."""
        scale, constant = values(factor, "numbers"), values(tau, "seconds")
        d = step / constant
        left, added = (1 - d, d) if integration == "euler" else (np.exp(-d), -np.expm1(-d))
        if integration == "euler":
            accepted = f"at least a timestep, here {step:g} s (source_dt)"
            refused(tau, d > 1 + 1e-6, accepted)
            with np.errstate(divide="ignore"):
                constant = -step / np.log1p(-np.minimum(d, 1))
            constant = np.maximum(constant, step * _TIMESTEPS_TO_FORGET)
        # A framework that does not scale its input writes r = 1 / d, rounded to float32.
        gain = scale * added
        gain = np.where(np.isclose(gain, 1, rtol=1e-6), 1.0, gain)
        return constant * (dt / step), np.maximum(left, 0), gain

    found, kind = {}, kind_of(node)
    integrates = kind in INTEGRATORS
    v_threshold = np.array(np.inf) if integrates else values("v_threshold")
    never = np.isposinf(v_threshold)
    if kind in ("IF", "I"):
        r = values("r", "numbers")
        scaled = ~(np.isclose(r, 1, rtol=1e-6) | np.isclose(r * step, 1, rtol=1e-6))
        refused("r", scaled, f"1, or 1 / source_dt, here {1 / step:g}")
        tau_mem, v_leak = np.full_like(r, np.inf), np.zeros_like(r)
        beta = gain = np.ones_like(r)
    else:
        v_leak, tau = values("v_leak"), "tau" if kind in ("LIF", "LI") else "tau_mem"
        tau_mem, beta, gain = discrete(tau, "r")
        if tau == "tau_mem":
            found["tau_syn"], _, factor = discrete("tau_syn", "w_in")
            gain = gain * factor
        if reset_delay:
            accepted = "one that leaves something after a timestep, for reset_delay=True"
            refused(tau, (beta == 0) & ~never, accepted)
    refused("v_leak", (v_leak != 0) & never, "0 for neurons that never fire")
    v_reset, height = v_leak if integrates else values("v_reset"), v_threshold - v_leak
    if reset == "zero":
        near = 1e-6 * np.abs(np.where(never, 0, height)).max()
        far = ~np.isclose(v_reset, v_leak, rtol=0, atol=near) & ~never
        refused("v_reset", far, "v_leak, for reset='zero'")
    if reset == "subtract":
        refused("v_leak", v_leak != 0, "0, for reset='subtract'")
    found |= {"tau_mem": tau_mem, "v_threshold": height / gain, "gain": np.where(never, gain, 1)}
    if reset_delay and not never.all():
        found["reset_amount"] = np.where(never, 0, found["v_threshold"] / beta)
    return found


def _fitted(name: str, values: npt.NDArray[np.float64], shape: Shape) -> Any:
    """Parameter values in the population's shape, or one number if all are equal."""
    try:
        values = values.reshape(shape) if values.size == np.prod(shape) else values
        fitted = np.broadcast_to(values, shape)
    except ValueError:
        given = f"node {name!r} with parameters of shape {values.shape}"
        raise NetworkError(expected("graph", given, f"shape {shape}, that of its input")) from None
    return float(values.flat[0]) if (values == values.flat[0]).all() else fitted
