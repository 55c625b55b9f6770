"""Models of any directed graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pyasync import projections
from pyasync._checks import flag
from pyasync.errors import NetworkError, expected
from pyasync.network import Network, check_network
from pyasync.nn._base import AsyncModule
from pyasync.nn._maps import leaves_of
from pyasync.nn._modules import OneToOne, Sparse, SumPool2d
from pyasync.nn._neuron import LIF
from pyasync.nn._plan import Plan
from pyasync.nn._sequential import same, signature
from pyasync.projections import Projection, Shape

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pyasync.nn._options import Options


class AsyncNetwork(AsyncModule):
    """Any directed graph of populations and projections, run and trained asynchronously.

    The PyTorch counterpart of `pyasync.Network`: add populations with `add` and connect them with
    `connect` once both ends exist. Skip, lateral, feedback and parallel projections are allowed.

    Parameters
    ----------
    n_inputs : int, optional
        Number of input channels; alternatively give `input_shape`.
    input_shape : int or tuple of int, optional
        Shape of one timestep's input, such as (2, 34, 34).
    **options
        `schedule` and `dt`, which are required, and the other options of `AsyncModule`.

    Attributes
    ----------
    neurons : nn.ModuleList
        The `LIF` of each population, in the order in which they were added.
    projections : nn.ModuleList
        The module of each projection, in the order in which they were connected.

    Raises
    ------
    NetworkError
        If the graph is invalid.
    InputError, ScheduleError
        If an option is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> from torch import nn
    >>> model = pa.nn.AsyncNetwork(20, schedule=pa.Random(8), dt=10e-3)
    >>> model.add("hidden", 16, pa.nn.LIF(v_threshold=0.3))
    >>> model.add("output", 3, pa.nn.LIF(v_threshold=0.3))
    >>> model.connect("input", "hidden", nn.Linear(20, 16))
    >>> model.connect("hidden", "output", nn.Linear(16, 3))
    >>> model.connect("hidden", "hidden", nn.Linear(16, 16, bias=False))
    >>> model.network()
    Network(20 -> hidden[16] -> output[3], 3 projections, float32)
    >>> model(torch.rand(10, 4, 20) < 0.3).shape
    torch.Size([10, 4, 3])
    """

    def __init__(
        self,
        n_inputs: int | None = None,
        *,
        input_shape: int | Sequence[int] | None = None,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(n_inputs, Network):
            accepted = "an integer; pa.nn.AsyncNetwork.from_network makes a model of a Network"
            raise NetworkError(expected("n_inputs", repr(n_inputs), accepted))
        super().__init__(**options)
        self._input_shape: Shape = Network(n_inputs, input_shape=input_shape).input_shape
        self._populations: list[tuple[str, Shape]] = []
        self._links: list[tuple[str, str]] = []
        self._output: str | None = None
        self.neurons = nn.ModuleList()
        self.projections = nn.ModuleList()
        self._cached: tuple[list[Any], Plan] | None = None

    def add(self, name: str, shape: int | Sequence[int], neuron: LIF | None = None) -> None:
        """Add a population of the given shape (its neurons are numbered in C order).

        Raises
        ------
        NetworkError
            If the name is taken or the neuron's parameters do not fit the shape.

        Examples
        --------
        >>> import pyasync as pa
        >>> model = pa.nn.AsyncNetwork(4, schedule=pa.Fifo(1), dt=1e-3)
        >>> model.add("a", 3, pa.nn.LIF(v_threshold=0.5, learn_tau_mem=True))
        >>> [name for name, _ in model.named_parameters()]
        ['neurons.0.log_tau_mem']
        """
        neuron = LIF() if neuron is None else neuron
        plan = self._plan().fork()
        plan.add(name, shape, neuron)
        self._populations.append((name, plan.template.populations[-1].shape))
        self.neurons.append(neuron)
        self._cached = self._signature(), plan

    def connect(self, source: str, target: str, module: nn.Module) -> None:
        """Add a projection from `source`, "input" or a population; `module` is one linear map.

        Raises
        ------
        NetworkError
            If a population does not exist, the module is not an accepted map, or shapes do not fit.

        Examples
        --------
        >>> import torch, pyasync as pa
        >>> model = pa.nn.AsyncNetwork(4, schedule=pa.Fifo(1), dt=1e-3)
        >>> model.add("a", 3)
        >>> model.connect("input", "a", torch.nn.Linear(4, 3))
        >>> model.connect("a", "a", pa.nn.OneToOne(-0.5))   # feedback
        >>> model.network()
        Network(4 -> a[3], 2 projections, float32)
        """
        plan = self._plan().fork()
        plan.connect(source, target, [module])
        self._links.append((source, target))
        self.projections.append(module)
        self._cached = self._signature(), plan

    @property
    def output(self) -> str:
        """Name of the output population: the last added, unless set."""
        return self._plan().template.output

    @output.setter
    def output(self, name: str) -> None:
        plan = self._plan().fork()
        plan.template.output = name
        self._output = name
        self._cached = self._signature(), plan

    @classmethod
    def from_network(
        cls,
        network: Network,
        *,
        learn_tau_mem: bool = False,
        learn_threshold: bool = False,
        learn_tau_syn: bool = False,
        **options: Unpack[Options],
    ) -> AsyncNetwork:
        """Create a model with the structure, weights and dtype of a `pyasync.Network`.

        Parameters
        ----------
        network : Network
            Its weights and biases become Parameters.
        learn_tau_mem, learn_threshold, learn_tau_syn : bool
            As in `LIF`, for all populations; the last for those that have a `tau_syn`.
        **options
            As in `AsyncNetwork`.

        Raises
        ------
        NetworkError
            If `network` is not a Network, or an argument `learn_…` is not True or False.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.ones((2, 3)))])
        >>> model = pa.nn.AsyncNetwork.from_network(network, schedule=pa.Fifo(1), dt=1e-3)
        >>> model.network()
        Network(3 -> 1[2], 1 projection, float64)
        """
        check_network(NetworkError, network)
        dtype = torch.float64 if network.dtype == "float64" else torch.float32
        if flag(NetworkError, "learn_tau_syn", learn_tau_syn) and not network.has_currents:
            accepted = "False: no population of the network has a tau_syn"
            raise NetworkError(expected("learn_tau_syn", True, accepted))
        model = cls(input_shape=network.input_shape, **options)
        # Filled directly: each `add` and `connect` would check everything added before.
        shapes = {"input": network.input_shape}
        for population in network.populations:
            lif = LIF.from_neuron(
                population.neuron,
                learn_tau_mem=learn_tau_mem,
                learn_threshold=learn_threshold,
                learn_tau_syn=learn_tau_syn and population.neuron.tau_syn is not None,
                dtype=dtype,
            )
            shapes[population.name] = population.shape
            model._populations.append((population.name, population.shape))
            model.neurons.append(lif)
        for link in network.projections:
            model._links.append((link.source, link.target))
            model.projections.append(_module(link.projection, shapes[link.source]).to(dtype))
        model._output = network.output
        model._plan()
        return model.to(dtype)

    def _signature(self) -> list[Any]:
        return signature([*self.neurons, *leaves_of(list(self.projections))])

    def _plan(self) -> Plan:
        token = self._signature()
        if self._cached is None or not same(self._cached[0], token):
            self._cached = token, self._build()
        return self._cached[1]

    def _build(self) -> Plan:
        plan = Plan(self._input_shape)
        for (name, shape), neuron in zip(self._populations, self.neurons, strict=True):
            plan.add(name, shape, neuron)
        for (source, target), module in zip(self._links, self.projections, strict=True):
            plan.connect(source, target, [module])
        if self._output is not None:
            plan.template.output = self._output
        return plan

    def extra_repr(self) -> str:
        """The graph and the options."""
        links = ", ".join(f"{source} -> {target}" for source, target in self._links)
        return f"{links}; {super().extra_repr()}"


def _module(projection: Projection, source_shape: Shape) -> nn.Module:
    """The module equivalent to a projection, with its weights."""
    if isinstance(projection, projections.SumPool2d):
        return SumPool2d(*_window(projection))
    if isinstance(projection, projections.AvgPool2d):
        return nn.AvgPool2d(*_window(projection))
    if isinstance(projection, projections.OneToOne):
        return OneToOne(torch.tensor(projection.weight))
    if isinstance(projection, projections.Sparse):
        # A tensor, so that the dtype is kept.
        arrays = projection.indptr, projection.indices, torch.tensor(projection.data)
        bias = None if projection.bias is None else torch.tensor(projection.bias)
        return Sparse(arrays, (projection.shape[0], projection.shape[1]), bias)
    if isinstance(projection, projections.Linear):
        n_out, n_in = projection.weight.shape
        module: nn.Module = nn.Linear(n_in, n_out, bias=projection.bias is not None, device="meta")
    elif isinstance(projection, projections.Conv1d | projections.Conv2d):
        channels_in, channels_out, groups = projection.channels(source_shape)
        kind: Any = nn.Conv1d if isinstance(projection, projections.Conv1d) else nn.Conv2d
        module = kind(
            channels_in,
            channels_out,
            projection.kernel_size,
            projection.stride,
            projection.padding,
            projection.dilation,
            groups,
            bias=projection.bias is not None,
            device="meta",
        )
    else:
        raise NetworkError(expected("network", f"a {projection!r}", "projections of this package"))
    module.weight = nn.Parameter(torch.tensor(projection.weight))
    if projection.bias is not None:
        module.bias = nn.Parameter(torch.tensor(projection.bias))
    return module


def _window(pool: Any) -> tuple[Any, Any, Any]:
    return pool.kernel_size, pool.stride, pool.padding
