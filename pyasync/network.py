"""Networks: populations of neurons and the projections between them, as a directed graph."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import choice, entries, integer, seconds, shown
from pyasync._wording import counted
from pyasync.errors import InputError, NetworkError, PyasyncError, expected
from pyasync.neurons import LIF
from pyasync.projections import MOST_NEURONS, Linear, Projection, Shape, Sparse

# What messages accept, since the module of pyasync.nn is called LIF too.
_A_LIF = "pa.LIF (`neuron()` of a pa.nn.LIF)"


@dataclass(frozen=True)
class Population:
    """A group of neurons that share a neuron model; their ids are `start .. stop - 1`.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((3, 2)))])
    >>> [(each.name, each.shape, each.start, each.stop) for each in network.populations]
    [('1', (2,), 0, 2), ('2', (3,), 2, 5)]
    """

    name: str
    shape: Shape
    start: int
    stop: int
    neuron: LIF


@dataclass(frozen=True)
class Connection:
    """A projection with its source ("input" or a population's name) and target population.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.OneToOne(1.0)])
    >>> [(each.source, each.target, each.projection.kind) for each in network.projections]
    [('input', '1', 'linear'), ('1', '2', 'one_to_one')]
    """

    source: str
    target: str
    projection: Projection


class Network:
    """A spiking network: any directed graph of populations and projections.

    Add populations with `add` and projections with `connect`, or build a chain with `sequential`.
    Neurons are numbered in the order in which populations are added. The first use (a simulation,
    `decay` or `summary`) completes the network; after that it cannot be changed.

    Parameters
    ----------
    n_inputs : int, optional
        Number of input channels. Give either this or `input_shape`.
    input_shape : tuple of int, optional
        Shape of one timestep's input, such as (2, 34, 34).
    dtype : {"float32", "float64"}, optional
        Number type of all computation. If not given, float64 if any weight or bias is float64, else
        float32.

    Raises
    ------
    NetworkError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network(3)
    >>> network.add("hidden", 4, pa.LIF(v_threshold=0.5))
    >>> network.add("output", 2)
    >>> network.connect("input", "hidden", pa.Linear(np.ones((4, 3))))
    >>> network.connect("hidden", "output", pa.Linear(np.ones((2, 4))))
    >>> network.connect("hidden", "hidden", pa.OneToOne(-0.25))
    >>> network
    Network(3 -> hidden[4] -> output[2], 3 projections, float64)
    """

    def __init__(
        self,
        n_inputs: int | None = None,
        *,
        input_shape: int | Sequence[int] | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        if (n_inputs is None) == (input_shape is None):
            given = f"{shown(n_inputs)} with input_shape={shown(input_shape)}"
            raise NetworkError(expected("n_inputs", given, "either n_inputs or input_shape"))
        name = "n_inputs" if input_shape is None else "input_shape"
        self._input_shape = _shape(name, n_inputs if input_shape is None else input_shape)
        self._dtype = None if dtype is None else _dtype(dtype)
        self._populations: dict[str, Population] = {}
        self._connections: list[Connection] = []
        self._output: str | None = None
        self._built: _core.Network | None = None
        self._complete = False

    @classmethod
    def sequential(
        cls,
        projections: Sequence[Projection],
        neuron: LIF | Sequence[LIF] | None = None,
        input_shape: int | Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> Network:
        """Build a chain of projections, each followed by a population of its own.

        Parameters
        ----------
        projections : sequence of Projection
            From the input to the output.
        neuron : LIF or sequence of LIF, optional
            One neuron model for all populations, or one each; `LIF()` if not given.
        input_shape : int or tuple of int, optional
            Shape of one timestep's input. Not needed if the first projection is `Linear` or
            `Sparse`.
        names : sequence of str, optional
            Names of the populations; "1", "2", … if not given.
        dtype : {"float32", "float64"}, optional
            As in `Network`.

        Raises
        ------
        NetworkError
            If an argument is not as described, or shapes do not match.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> pa.Network.sequential([pa.Linear(np.ones((4, 3))), pa.Linear(np.ones((2, 4)))])
        Network(3 -> 1[4] -> 2[2], 2 projections, float64)
        """
        accepted = "a sequence of projections"
        if isinstance(projections, Projection):
            raise NetworkError(expected("projections", repr(projections), accepted))
        projections = list(entries(NetworkError, "projections", projections, accepted))
        if not projections or not all(isinstance(each, Projection) for each in projections):
            given = [type(each).__name__ for each in projections]
            accepted = "projections such as pa.Linear, at least one"
            raise NetworkError(expected("projections", given, accepted))
        first = projections[0]
        if input_shape is None:
            if not isinstance(first, Linear | Sparse):
                accepted = f"the shape of the input that {first!r} gets"
                raise NetworkError(expected("input_shape", None, accepted))
            input_shape = first.n_in
        neurons = [neuron or LIF()] * len(projections) if isinstance(neuron, LIF | None) else neuron
        if not isinstance(neurons, Sequence):
            accepted = f"{_A_LIF}, or one for each projection"
            raise NetworkError(expected("neuron", type(neurons).__name__, accepted))
        accepted = f"{len(projections)}, one a projection"
        if names is None:
            names = [str(n + 1) for n in range(len(projections))]
        names = list(entries(NetworkError, "names", names, accepted))
        for argument, values in (("neuron", neurons), ("names", names)):
            if len(values) != len(projections):
                raise NetworkError(expected(argument, f"{len(values)} of them", accepted))
        network = cls(input_shape=input_shape, dtype=dtype)
        source, shape = "input", network.input_shape
        for name, projection, model in zip(names, projections, neurons, strict=True):
            shape = projection.output_shape(shape)
            network.add(name, shape, model)
            network.connect(source, name, projection)
            source = name
        return network

    def add(self, name: str, shape: int | Sequence[int], neuron: LIF | None = None) -> None:
        """Add a population of the given shape, with its neurons numbered in C order.

        Raises
        ------
        NetworkError
            If the name is taken, the neuron's parameters do not match the shape, or the network is
            complete.

        Examples
        --------
        >>> import pyasync as pa
        >>> network = pa.Network(input_shape=(2, 8, 8))
        >>> network.add("features", (4, 6, 6), pa.LIF(v_threshold=0.5))
        >>> network.add("classes", 10)
        >>> network.n_neurons
        154
        """
        self._must_be_open()
        is_name = isinstance(name, str) and name.isprintable() and name
        if not is_name or name == "input" or name in self._populations:
            accepted = 'printable text that is not "input" and not taken'
            raise NetworkError(expected("name", shown(name), accepted))
        neuron = LIF() if neuron is None else neuron
        if not isinstance(neuron, LIF):
            raise NetworkError(expected("neuron", type(neuron).__name__, _A_LIF))
        shape = _shape("shape", shape)
        for parameter in neuron.parameters:
            neuron.values(parameter, shape)
        start = self.n_neurons
        if start + math.prod(shape) + self.n_inputs > MOST_NEURONS:
            accepted = f"at most {MOST_NEURONS} neurons and inputs in all"
            raise NetworkError(expected("shape", repr(shape), accepted))
        population = Population(name, shape, start, start + math.prod(shape), neuron)
        self._populations[name] = population

    def connect(self, source: str, target: str, projection: Projection) -> None:
        """Add a projection to a population, from "input" or from a population.

        Raises
        ------
        NetworkError
            If there is no such population, shapes do not match, or the network is complete.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network(3)
        >>> network.add("a", 2)
        >>> network.connect("input", "a", pa.Linear(np.ones((2, 3))))
        >>> network.connect("a", "a", pa.OneToOne(-0.5))   # each neuron inhibits itself
        >>> network
        Network(3 -> a[2], 2 projections, float64)
        """
        self._must_be_open()
        if not isinstance(projection, Projection):
            given = type(projection).__name__
            raise NetworkError(expected("projection", given, "a projection such as pa.Linear"))
        for argument, name, names in (
            ("source", source, ["input", *self._populations]),
            ("target", target, list(self._populations)),
        ):
            if not names:
                accepted = "a population, of which there is none yet: add one"
                raise NetworkError(expected(argument, shown(name), accepted))
            choice(NetworkError, argument, name, names)
        source_shape = self._shape_of(source)
        shape = projection.output_shape(source_shape)
        wanted = self._populations[target].shape
        # A flat output, as of Linear and Sparse, suits a population of any shape of that size.
        if shape != wanted and not (len(shape) == 1 and shape[0] == math.prod(wanted)):
            given = f"{projection!r} from {source!r} {source_shape}, which gives shape {shape}"
            accepted = f"a projection to the shape {wanted} of {target!r}"
            raise NetworkError(expected("projection", given, accepted))
        self._connections.append(Connection(source, target, projection))

    @property
    def output(self) -> str:
        """Name of the output population: the last one added, unless it was set.

        Examples
        --------
        >>> import pyasync as pa
        >>> network = pa.Network(3)
        >>> for name in ("a", "b"):
        ...     network.add(name, 2)
        >>> network.output, network.output_ids
        ('b', range(2, 4))
        >>> network.output = "a"
        >>> network.output_ids
        range(0, 2)
        """
        if self._output is None:
            if not self._populations:
                accepted = "a network with at least one population"
                raise NetworkError(expected("network", "no population", accepted))
            return next(reversed(self._populations))
        return self._output

    @output.setter
    def output(self, name: str) -> None:
        self._must_be_open()
        self._output = choice(NetworkError, "output", name, list(self._populations))

    @property
    def output_ids(self) -> range:
        """Ids of the output population's neurons."""
        population = self._populations[self.output]
        return range(population.start, population.stop)

    @property
    def output_fires(self) -> bool:
        """Whether output neurons can fire; otherwise they are read out by their potentials.

        That is the case if the `v_threshold` of all of them is infinite.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> projections = [pa.Linear(np.ones((2, 3))), pa.Linear(np.ones((1, 2)))]
        >>> readout = pa.LIF(v_threshold=np.inf)
        >>> pa.Network.sequential(projections, [pa.LIF(), readout]).output_fires
        False
        """
        return self._populations[self.output].neuron.fires

    @property
    def input_shape(self) -> Shape:
        """Shape of one timestep's input."""
        return self._input_shape

    @property
    def n_inputs(self) -> int:
        """Number of input channels."""
        return math.prod(self._input_shape)

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return max((p.stop for p in self._populations.values()), default=0)

    @property
    def populations(self) -> list[Population]:
        """All populations, in the order of their neurons' ids."""
        return list(self._populations.values())

    @property
    def projections(self) -> list[Connection]:
        """All projections, with source and target, in the order in which they were added."""
        return list(self._connections)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type of all computation: float32 or float64."""
        if self._dtype is not None:
            return self._dtype
        arrays = [a for c in self._connections for a in c.projection.arrays().values()]
        return np.dtype(np.float64 if any(a.dtype == np.float64 for a in arrays) else np.float32)

    def decay(self, dt: float) -> npt.NDArray[Any]:
        """Factor by which each neuron's potential decays per timestep, `exp(-dt / tau_mem)`.

        Parameters
        ----------
        dt : float
            Length of a timestep in seconds.

        Returns
        -------
        array of the network's dtype, shape [n_neurons]

        Raises
        ------
        InputError
            If `dt` is not finite and above 0.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> pa.Network.sequential([pa.Linear(np.ones((2, 3)))], pa.LIF(tau_mem=0.02)).decay(0.01)
        array([0.60653066, 0.60653066])
        """
        dt = seconds(InputError, "dt", dt)
        return self.build().decay(dt)

    def synaptic_decay(self, dt: float) -> npt.NDArray[Any]:
        """Factor by which each neuron's synaptic current decays per timestep, `exp(-dt / tau_syn)`.

        Parameters
        ----------
        dt : float
            Length of a timestep in seconds.

        Returns
        -------
        array of the network's dtype, shape [n_neurons]
            0 for neurons without a synaptic current.

        Raises
        ------
        InputError
            If `dt` is not finite and above 0.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> neurons = [pa.LIF(tau_syn=0.02), pa.LIF()]
        >>> projections = [pa.Linear(np.ones((2, 3))), pa.Linear(np.ones((1, 2)))]
        >>> pa.Network.sequential(projections, neurons).synaptic_decay(0.01)
        array([0.60653066, 0.60653066, 0.        ])
        """
        dt = seconds(InputError, "dt", dt)
        alpha = self.build().synaptic_decay(dt)
        return alpha if alpha.size else np.zeros(self.n_neurons, self.dtype)

    @property
    def has_currents(self) -> bool:
        """Whether any population has synaptic currents: a `tau_syn`."""
        return any(p.neuron.tau_syn is not None for p in self._populations.values())

    def build(self) -> _core.Network:
        """Complete the network and return its form for the engine, which is built only once."""
        if self._built is None:
            names = list(self._populations)
            dtype = self.dtype
            populations = [
                (
                    p.name,
                    p.stop - p.start,
                    p.neuron.values("tau_mem", p.shape),
                    p.neuron.values("v_threshold", p.shape),
                    p.neuron.reset,
                    p.neuron.refractory,
                    int(p.neuron.sync_threshold),
                    p.neuron.if_given("reset_amount", p.shape),
                    p.neuron.if_given("tau_syn", p.shape),
                )
                for p in self._populations.values()
            ]
            # A weight too large for the dtype becomes infinite here, and the engine refuses it.
            with np.errstate(over="ignore", under="ignore"):
                projections = [
                    (
                        -1 if c.source == "input" else names.index(c.source),
                        names.index(c.target),
                        c.projection.parts(self._shape_of(c.source), dtype),
                        c.projection.flat_bias(self._populations[c.target].shape, dtype),
                    )
                    for c in self._connections
                ]
            output = names.index(self.output)
            self._dtype, self._complete = dtype, True
            self._built = _core.Network(dtype.name, self.n_inputs, populations, projections, output)
        return self._built

    def summary(self) -> str:
        """Table of populations and projections with their neurons, synapses and bytes.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> print(pa.Network.sequential([pa.Linear(np.ones((2, 3)))]).summary())
        population  shape  neurons  v_threshold  tau_mem (s)
        1           (2,)         2            1         0.02
        projection  kind                  synapses  bytes
        input -> 1  Linear(weight[2, 3])         6     48
        input shape (3,), 2 neurons, 6 synapses, 48 bytes, float64
        """
        from pyasync._summary import summarise

        return summarise(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the network as a `.safetensors` file: its arrays, and its structure as JSON.

        Raises
        ------
        MissingDependencyError
            If `safetensors` is not installed.
        FileError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, pyasync as pa, tempfile, pathlib
        >>> network = pa.Network.sequential([pa.Linear(np.ones((2, 3)))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(pathlib.Path(folder, "network.safetensors"))
        ...     [file.name for file in pathlib.Path(folder).iterdir()]
        ['network.safetensors']
        """
        from pyasync._network_file import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Load a network that `save` wrote.

        Raises
        ------
        MissingDependencyError
            If `safetensors` is not installed.
        FileError
            If the file cannot be read, is truncated, or is not a pyasync network.

        Examples
        --------
        >>> import numpy as np, pyasync as pa, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "network.safetensors")
        ...     pa.Network.sequential([pa.Linear(np.ones((4, 3)))]).save(path)
        ...     pa.Network.load(path)
        Network(3 -> 1[4], 1 projection, float64)
        """
        from pyasync._network_file import load

        return load(path)

    def __getstate__(self) -> dict[str, Any]:
        # A copy builds its own form for the engine when it needs one, and has containers of its
        # own, so that adding to it does not change the original.
        own = {"_populations": dict(self._populations), "_connections": list(self._connections)}
        return self.__dict__ | own | {"_built": None}

    def _must_be_open(self) -> None:
        if self._complete:
            accepted = "changes before its first use; build another one"
            raise NetworkError(expected("network", "a change to a network in use", accepted))

    def _shape_of(self, source: str) -> Shape:
        return self._input_shape if source == "input" else self._populations[source].shape

    def __repr__(self) -> str:
        inputs = str(self.n_inputs) if len(self._input_shape) == 1 else str(self._input_shape)
        names = [f"{p.name}[{p.stop - p.start}]" for p in self._populations.values()]
        shown = names if len(names) < 9 else [*names[:4], "…", *names[-3:]]
        chain = " -> ".join([inputs, *shown])
        n_projections = counted(len(self._connections), "projection")
        return f"Network({chain}, {n_projections}, {self.dtype.name})"


def _shape(argument: str, given: Any) -> Shape:
    sizes = given if isinstance(given, (tuple, list)) else (given,)
    if not sizes:
        raise NetworkError(expected(argument, shown(given), "one axis or more"))
    shape = tuple(integer(NetworkError, argument, size, 1) for size in sizes)
    if math.prod(shape) > MOST_NEURONS:
        raise NetworkError(expected(argument, repr(given), f"at most {MOST_NEURONS} in all"))
    return shape


def _dtype(given: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(given)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    if dtype not in (np.float32, np.float64):
        raise NetworkError(expected("dtype", shown(given), "float32, float64"))
    return dtype


def check_network(error: type[PyasyncError], given: object) -> None:
    """Refuse what is no network; a model of `pyasync.nn` is easily taken for one."""
    if not isinstance(given, Network):
        accepted = "a pyasync.Network (`model.network()` of a model of pyasync.nn)"
        raise error(expected("network", type(given).__name__, accepted))
