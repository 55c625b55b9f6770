"""The structure of a model, without its weights: populations, and the linear maps between them."""

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
from pyasync.neurons import unfit
from pyasync.nn._maps import Map
from pyasync.nn._neuron import A_LIF, LIF, values_of
from pyasync.projections import Shape

Tensors = Sequence[torch.Tensor | None]
#: What neurons can learn, in the order in which `Plan.filled` takes it.
LEARNABLE = ("tau_mem", "v_threshold", "tau_syn")
ADVICE = "(did training diverge? lower the learning rate)"


class Plan:
    """Populations and links, checked once; a forward only fills in the current values.

    Parameters
    ----------
    input_shape : tuple of int
    """

    def __init__(self, input_shape: int | Sequence[int]) -> None:
        self.template = Network(input_shape=input_shape)
        self.neurons: list[LIF] = []
        self.links: list[tuple[str, str, Map]] = []

    def fork(self) -> Plan:
        """A copy that can be added to, so that a run in progress keeps its own structure."""
        plan = copy.copy(self)
        plan.neurons, plan.links = list(self.neurons), list(self.links)
        plan.template = copy.copy(self.template)
        return plan

    def shape_of(self, source: str) -> Shape:
        """Shape of the input or of a population; NetworkError if no such name exists."""
        shapes = {"input": self.template.input_shape}
        shapes |= {each.name: each.shape for each in self.template.populations}
        return shapes[choice(NetworkError, "source", source, list(shapes))]

    def add(self, name: str, shape: int | Sequence[int], lif: Any) -> None:
        """Add a population."""
        if not isinstance(lif, LIF):
            raise NetworkError(expected("neuron", type(lif).__name__, A_LIF))
        self.template.add(name, shape, lif.neuron())
        self.neurons.append(lif)

    def connect(self, source: str, target: str, modules: Sequence[nn.Module]) -> Map:
        """Connect the input or a population to a population by one linear map."""
        link = Map(modules, self.shape_of(source))
        self.template.connect(source, target, link.template)
        self.links.append((source, target, link))
        return link

    def tensors(self) -> list[torch.Tensor | None]:
        """Weight and bias of every link, in turn: weight, bias, weight, bias, …."""
        return [each for _, _, link in self.links for each in link.tensors()]

    def neuron_parameters(self) -> list[torch.Tensor]:
        """Learned parameters of the neurons."""
        return [
            each for lif in self.neurons for each in lif._parameters.values() if each is not None
        ]

    def network(self, dtype: npt.DTypeLike) -> Network:
        """An independent network with the current values."""
        network = Network(input_shape=self.template.input_shape, dtype=dtype)
        for population, lif in zip(self.template.populations, self.neurons, strict=True):
            network.add(population.name, population.shape, lif.neuron())
        for source, target, link in self.links:
            network.connect(source, target, link.projection())
        network.output = self.template.output
        return network

    def filled(self, dtype: np.dtype[Any], tensors: Tensors, learned: Tensors) -> Network:
        """The network that one forward runs: this structure, built with the current values.

        The values are copied once, straight to the engine. That is fast, but the network is only
        good for running: its projections still show the weights the structure was checked with.

        Parameters
        ----------
        dtype : float32 or float64
        tensors : weight and bias of every link, as `tensors()` gives them
        learned : `tau_mem`, `v_threshold` and `tau_syn` [n_neurons]; None stands for the neurons'
            own values
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
            own: dict[str, Any] = lif._buffers  # all are buffers if nothing is learned
            tau_mem, v_threshold, tau_syn = (
                _numbers(own[name] if values is None else values[each.start : each.stop])
                for name, values in zip(LEARNABLE, learned, strict=True)
            )
            sizes = each.name, each.stop - each.start
            rest = lif.reset, lif.refractory, lif.sync_threshold
            is_buffer = "reset_amount" in own  # unless parametrized; and then found quickly
            amount = _numbers(own["reset_amount"] if is_buffer else lif.reset_amount)
            tau_syn = tau_syn if lif.has_current else None
            populations.append((*sizes, tau_mem, v_threshold, *rest, amount, tau_syn))
        return populations

    def v_threshold(self) -> npt.NDArray[np.float64]:
        """Copy of the current thresholds [n_neurons], which later changes do not affect."""
        return self._spread([values_of(lif.v_threshold) for lif in self.neurons])

    def reset_amount(self) -> npt.NDArray[np.float64]:
        """The same of what spikes subtract, NaN where that is the threshold."""
        amounts = [lif.reset_amount for lif in self.neurons]
        return self._spread([np.array(np.nan) if a is None else values_of(a) for a in amounts])

    def _spread(self, values: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        pairs = zip(self.template.populations, values, strict=True)
        spread = [np.broadcast_to(np.ravel(own), p.stop - p.start) for p, own in pairs]
        return np.concatenate(spread)

    def learned(self, dt: float, dtype: torch.dtype) -> list[torch.Tensor | None]:
        """What the gradient needs of the neurons, or None for each if nothing is learned.

        `beta`, `tau_mem`, `v_threshold`, `alpha` and `tau_syn`, [n_neurons] each. The last two are
        None if no neuron has a synaptic current, and 0 for those that have none.
        """
        if not any(lif.learns for lif in self.neurons):
            return [None] * 5
        sizes = [each.stop - each.start for each in self.template.populations]

        def joined(values: list[torch.Tensor]) -> torch.Tensor:
            pairs = zip(values, sizes, strict=True)
            return torch.cat([v.reshape(-1).expand(n) for v, n in pairs])

        # Like the engine: computed in float64, then rounded once.
        tau_mem = joined([lif.tau_mem.double() for lif in self.neurons])
        v_threshold = joined([lif.v_threshold.double() for lif in self.neurons])
        beta = torch.exp(-dt / tau_mem)
        membrane = [beta.to(dtype), tau_mem.detach(), v_threshold.to(dtype)]
        if not self.template.has_currents:
            return [*membrane, None, None]
        nothing = beta.new_zeros(())
        taus = [nothing if lif.tau_syn is None else lif.tau_syn.double() for lif in self.neurons]
        alpha = joined([tau if tau is nothing else torch.exp(-dt / tau) for tau in taus])
        return [*membrane, alpha.to(dtype), joined(taus).detach()]


def _numbers(tensor: torch.Tensor | None) -> Any:
    """Current values, one or one per neuron, as the engine takes them."""
    if tensor is None:
        return None
    return values_of(tensor).reshape(-1) if tensor.ndim else tensor.item()


def _check_neurons(populations: list[Any]) -> None:
    """Raise an error that names the population whose values the engine refused, with advice."""
    for population, _, tau_mem, v_threshold, *_, reset_amount, tau_syn in populations:
        for name, given in (
            ("tau_mem", tau_mem),
            ("v_threshold", v_threshold),
            ("reset_amount", reset_amount),
            ("tau_syn", tau_syn),
        ):
            if wrong := unfit(name, np.atleast_1d(1.0 if given is None else given)):
                value, accepted = wrong
                given = f"{value} in population {population!r}"
                raise NetworkError(expected(name, given, f"{accepted} {ADVICE}"))


def _check_links(links: list[tuple[tuple[str, str, Map], Any, Any]]) -> None:
    """The same for weights and biases, naming the populations that they connect."""
    for (source, target, _), *tensors in links:
        for name, tensor in zip(("weight", "bias"), tensors, strict=True):
            if tensor is not None and not tensor.isfinite().all():
                given = f"{tensor[~tensor.isfinite()][0].item()} from {source!r} to {target!r}"
                raise NetworkError(expected(name, given, f"finite numbers {ADVICE}"))
