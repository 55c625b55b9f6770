"""The energy of a run on event-driven hardware: three counts, times prices that the user sets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pyasync._checks import real
from pyasync.errors import InputError

if TYPE_CHECKING:
    import typing_extensions

    # With a default, as `typing` has it from Python 3.13 on: `Energy` alone is one of floats.
    Joules = typing_extensions.TypeVar("Joules", float, npt.NDArray[np.float64], default=float)
else:
    Joules = TypeVar("Joules")
Count = TypeVar("Count", covariant=True)

# With this price, the energy of a sample with 10^12 events is still finite.
_MOST = 1e100
_ACCEPTED = f"joules, a number from 0 to {_MOST:g}"


class Work(Protocol[Count]):
    """The counts that are priced: those of one run, or means over many."""

    @property
    def synaptic_operations(self) -> Count: ...

    @property
    def neuron_updates(self) -> Count: ...

    @property
    def spikes(self) -> Count: ...


@dataclass(frozen=True)
class Energy(Generic[Joules]):
    """Energy of a run in joules, by what it was spent on.

    Attributes
    ----------
    synaptic_operations, neuron_updates, spikes : float, or float64 [B]
        Joules.

    Examples
    --------
    >>> from pyasync.study import Energy
    >>> Energy(synaptic_operations=2e-9, neuron_updates=1e-9, spikes=1e-9).total
    4e-09
    """

    synaptic_operations: Joules
    neuron_updates: Joules
    spikes: Joules

    @property
    def total(self) -> Joules:
        """Total energy in joules."""
        return self.synaptic_operations + self.neuron_updates + self.spikes


@dataclass(frozen=True)
class EnergyModel:
    """Energy prices of the three operations of an event-driven network.

    The energy of a run is the sum of three products: events delivered through synapses, updates of
    neurons, and spikes sent, each times its price. The three are reported separately, since
    asynchronous execution shifts work between them: a neuron may be updated many times in a
    timestep instead of once, while fewer spikes and events may be needed.

    The defaults are the figures of Intel's Loihi (14 nm, 0.75 V; simulated before silicon) in
    table 2 of Davies et al., *Loihi: A Neuromorphic Manycore Processor with On-Chip Learning*, IEEE
    Micro 38(1), 2018: 23.6 pJ for a synaptic operation (their minimum), 81 pJ for the update of an
    active neuron, 1.7 pJ for a spike within a tile. Chips differ by orders of magnitude, and a chip
    for asynchronous execution may have other ratios, so set your own prices. For plain arithmetic
    without memory access, Horowitz, *Computing's Energy Problem*, ISSCC 2014, gives 0.9 pJ for the
    addition of two 32-bit floats at 45 nm.

    Leakage between events, static power, and sending the input to the chip are left out, being the
    same for every schedule.

    Parameters
    ----------
    synaptic_operation : float
        Joules to deliver one event through one synapse.
    neuron_update : float
        Joules to update one neuron once. Asynchronous execution updates the neurons that events
        reached, in each forward step; layered execution updates every neuron in every timestep.
    spike : float
        Joules to send one spike, however many synapses it has.

    Raises
    ------
    InputError
        If a price is not a number from 0 to 1e100.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> from pyasync.study import EnergyModel
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> result = pa.simulate(network, np.full((2, 1, 3), 2.0), dt=1e-3)
    >>> result.synaptic_operations, result.neuron_updates, result.spikes
    (array([6]), array([6]), array([6]))
    >>> energy = EnergyModel(spike=10e-12).of(result)   # joules, as the counts: one a sample
    >>> (energy.total * 1e12).round(1)
    array([687.6])
    """

    synaptic_operation: float = 23.6e-12
    neuron_update: float = 81e-12
    spike: float = 1.7e-12

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            price = real(InputError, field.name, given, _ACCEPTED, positive=False, most=_MOST)
            object.__setattr__(self, field.name, price)

    @overload
    def of(self, work: Work[float]) -> Energy[float]: ...

    @overload
    def of(self, work: Work[npt.NDArray[Any]]) -> Energy[npt.NDArray[np.float64]]: ...

    def of(self, work: Work[Any]) -> Energy[Any]:
        """Price the counts of a `Result` (giving arrays), an `AuditRow`, or any similar object.

        Parameters
        ----------
        work : object
            With attributes `synaptic_operations`, `neuron_updates` and `spikes`: numbers or arrays.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> from pyasync.study import EnergyModel
        >>> work = SimpleNamespace(synaptic_operations=1000, neuron_updates=100, spikes=10)
        >>> energy = EnergyModel().of(work)
        >>> round(energy.synaptic_operations * 1e9, 3), round(energy.neuron_updates * 1e9, 3)
        (23.6, 8.1)
        """
        return Energy(
            self.synaptic_operation * work.synaptic_operations,
            self.neuron_update * work.neuron_updates,
            self.spike * work.spikes,
        )
