"""The structure of a model: which populations, joined by which linear maps, without its weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyasync import _core
from pyasync._checks import choice
from pyasync._copy import copied
from pyasync.errors import NetworkError, expected
from pyasync.network import Network
from pyasync.nn._maps import Map
from pyasync.nn._neuron import LIF, values_of
from pyasync.projections import Shape

Tensors = Sequence[torch.Tensor | None]
ADVICE = "(did training diverge? lower the learning rate)"


class Plan:
    """Populations and links, checked once; a forward only fills in today's numbers.

    Parameters
    ----------
    input_shape : tuple of int
    """

    def __init__(self, input_shape: int | Sequence[int]) -> None:
        self.template = Network(input_shape=input_shape)
        self.neurons: list[LIF] = []
        self.links: list[tuple[str, str, Map]] = []

    def fork(self) -> Plan:
        """A plan of its own to add to: what runs keeps the structure that it began with."""
        plan = copy.copy(self)
        plan.neurons, plan.links = list(self.neurons), list(self.links)
        plan.template = copy.copy(self.template)
        return plan

    def shape_of(self, source: str) -> Shape:
        """Shape of the input or of a population; NetworkError if there is none of the name."""
        shapes = {"input": self.template.input_shape}
        shapes |= {each.name: each.shape for each in self.template.populations}
        return shapes[choice(NetworkError, "source", source, list(shapes))]

    def add(self, name: str, shape: int | Sequence[int], lif: Any) -> None:
        """Add a population."""
        if not isinstance(lif, LIF):
            raise NetworkError(expected("neuron", type(lif).__name__, "pa.nn.LIF"))
        self.template.add(name, shape, lif.neuron())
        self.neurons.append(lif)

    def connect(self, source: str, target: str, modules: Sequence[nn.Module]) -> Map:
        """Join two populations, or the input and a population, by one linear map."""
        link = Map(modules, self.shape_of(source))
        self.template.connect(source, target, link.template)
        self.links.append((source, target, link))
        return link

    def tensors(self) -> list[torch.Tensor | None]:
        """Weight and bias of every link, one after the other."""
        return [each for _, _, link in self.links for each in link.tensors()]

    def neuron_parameters(self) -> list[torch.Tensor]:
        """What is learned of the neurons."""
        return [
            each for lif in self.neurons for each in lif._parameters.values() if each is not None
        ]

    def network(self, dtype: npt.DTypeLike) -> Network:
        """A network of its own with today's numbers."""
        network = Network(input_shape=self.template.input_shape, dtype=dtype)
        for population, lif in zip(self.template.populations, self.neurons, strict=True):
            network.add(population.name, population.shape, lif.neuron())
        for source, target, link in self.links:
            network.connect(source, target, link.projection())
        network.output = self.template.output
        return network

    def filled(self, dtype: np.dtype[Any], tensors: Tensors, learned: Tensors) -> Network:
        """What one forward runs: this structure around a built network of today's numbers.

        The numbers go to the engine in one copy and nowhere else, so this is quick and the network
        is for running only: its projections show the weights that the structure was checked with.

        Parameters
        ----------
        dtype : float32 or float64
        tensors : weight and bias of every link, as `tensors()` gives them
        learned : `tau_mem` and `v_threshold` [n_neurons], or None: what the neurons hold
        """
        index = {name: at for at, name in enumerate(self.template._populations)}
        links = list(zip(self.links, tensors[::2], tensors[1::2], strict=True))
        projections = [
            (index.get(source, -1), index[target], *link.parts(weight, bias, dtype))
            for (source, target, link), weight, bias in links
        ]
        populations = self._populations(learned)
        name = "float64" if dtype == np.float64 else "float32"  # dtype.name takes NumPy a while
        n_inputs, output = self.template.n_inputs, index[self.template.output]
        try:
            built = _core.Network(name, n_inputs, populations, projections, output)
        except NetworkError:
            _check_neurons(populations)
            _check_links(links)
            raise
        return copied(self.template, _dtype=dtype, _complete=True, _built=built)

    def _populations(self, learned: Tensors) -> list[Any]:
        populations = []
        for each, lif in zip(self.template.populations, self.neurons, strict=True):
            own: dict[str, Any] = lif._buffers  # both are there where nothing is learned
            tau_mem, v_threshold = (
                _numbers(own[name] if values is None else values[each.start : each.stop])
                for name, values in zip(("tau_mem", "v_threshold"), learned, strict=True)
            )
            sizes = each.name, each.stop - each.start
            rest = lif.reset, lif.refractory, lif.sync_threshold
            populations.append((*sizes, tau_mem, v_threshold, *rest))
        return populations

    def v_threshold(self) -> npt.NDArray[np.float64]:
        """Today's thresholds [n_neurons], whatever becomes of the neurons' own."""
        pairs = zip(self.template.populations, self.neurons, strict=True)
        return np.concatenate(
            [
                np.broadcast_to(np.ravel(values_of(lif.v_threshold)), p.stop - p.start)
                for p, lif in pairs
            ]
        )

    def learned(self, dt: float, dtype: torch.dtype) -> list[torch.Tensor | None]:
        """Decay, `tau_mem` and `v_threshold` [n_neurons], or None where nothing is learned."""
        if not any(lif.learns for lif in self.neurons):
            return [None, None, None]
        sizes = [each.stop - each.start for each in self.template.populations]

        def joined(values: list[torch.Tensor]) -> torch.Tensor:
            pairs = zip(values, sizes, strict=True)
            return torch.cat([v.reshape(-1).expand(n) for v, n in pairs])

        # As the engine does: computed in float64, rounded once.
        tau_mem = joined([lif.tau_mem.double() for lif in self.neurons])
        v_threshold = joined([lif.v_threshold.double() for lif in self.neurons])
        beta = torch.exp(-dt / tau_mem)
        return [beta.to(dtype), tau_mem.detach(), v_threshold.to(dtype)]


def _numbers(tensor: torch.Tensor) -> Any:
    """Today's values, one or one a neuron, as the engine takes them."""
    return values_of(tensor).reshape(-1) if tensor.ndim else tensor.item()


def _check_neurons(populations: list[Any]) -> None:
    """Say in which population the numbers are that the engine refuses, and why they may be so."""
    for population, _, *numbers in populations:
        tau_mem, v_threshold = map(np.atleast_1d, numbers[:2])
        for name, values, fine in (
            ("tau_mem", tau_mem, tau_mem > 0),
            ("v_threshold", v_threshold, np.isfinite(v_threshold)),
        ):
            if not fine.all():
                given = f"{values[~fine][0]} in population {population!r}"
                accepted = "seconds > 0" if name == "tau_mem" else "finite numbers"
                raise NetworkError(expected(name, given, f"{accepted} {ADVICE}"))


def _check_links(links: list[tuple[tuple[str, str, Map], Any, Any]]) -> None:
    """The same for weights and biases: say between which populations they are."""
    for (source, target, _), *tensors in links:
        for name, tensor in zip(("weight", "bias"), tensors, strict=True):
            if tensor is not None and not tensor.isfinite().all():
                given = f"{tensor[~tensor.isfinite()][0].item()} from {source!r} to {target!r}"
                raise NetworkError(expected(name, given, f"finite numbers {ADVICE}"))
