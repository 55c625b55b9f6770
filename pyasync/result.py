"""The result of a simulation: spike counts, measures, decisions and the trace."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyasync import measures
from pyasync._wording import counted
from pyasync.errors import InputError, expected
from pyasync.trace import Trace

if TYPE_CHECKING:
    from pyasync.network import Network

KEEP = ("counts", "spike_counts", "output_spikes", "output_v", "v", "current")
INTEGERS = (
    "spikes",
    "forward_steps",
    "synaptic_operations",
    "neuron_updates",
    "max_pending",
)


class StopReason(IntEnum):
    """What stopped a sample before it was quiescent; of several stops in a sample, the last.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> result = pa.simulate(network, np.full((2, 1, 3), 2.0), dt=1e-3, max_spikes=1)
    >>> pa.StopReason(result.stopped_by[0]).name
    'MAX_SPIKES'
    """

    NONE = 0
    MAX_SPIKES = 1
    OUTPUT = 2
    MAX_FORWARD_STEPS = 3


class Result:
    """The result of a simulation of B samples over T timesteps.

    Attributes
    ----------
    spikes : int64 [B]
        Spikes fired by neurons.
    forward_steps : int64 [B]
        Forward steps run, including step 0 of each timestep.
    synaptic_operations : int64 [B]
        Events delivered through synapses; biases do not count.
    neuron_updates : int64 [B]
        Touched neurons (under `Layered`, all neurons visited), summed over forward steps.
    max_pending : int64 [B]
        Largest number of pending spikes after a forward step.
    latency : float64 [B]
        Spikes fired before the first output spike; NaN if there was none.
    reached_quiescence : bool [B]
        Whether every timestep ran until no spike was pending.
    stopped_by : int64 [B]
        What stopped the sample, as a `StopReason`; 0 if nothing did.
    trace : Trace or None
        The recorded order, with `record=True`.
    n_samples, n_timesteps, n_neurons : int

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> result = pa.simulate(network, np.full((2, 1, 3), 2.0), dt=1e-3)
    >>> result
    Result(1 sample, 2 timesteps, 6.0 spikes per sample, latency 0.0)
    >>> result.counts[:, 0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        arrays: Any,
        network: Network,
        n_timesteps: int,
        n_samples: int,
        keep: tuple[str, ...],
    ) -> None:
        trace = arrays.pop("trace")
        self._total_spikes: int = arrays.pop("total_spikes")
        self._all_quiescent: bool = arrays.pop("all_quiescent")
        self._arrays = arrays
        self._keep = keep
        self._populations = network.populations
        self._n_outputs = len(network.output_ids)
        self._output = network.output
        self.n_samples = n_samples
        self.n_timesteps = n_timesteps
        self.n_neurons = network.n_neurons
        self.spikes: npt.NDArray[np.int64] = arrays["spikes"]
        self.forward_steps: npt.NDArray[np.int64] = arrays["forward_steps"]
        self.synaptic_operations: npt.NDArray[np.int64] = arrays["synaptic_operations"]
        self.neuron_updates: npt.NDArray[np.int64] = arrays["neuron_updates"]
        self.max_pending: npt.NDArray[np.int64] = arrays["max_pending"]
        self.latency: npt.NDArray[np.float64] = arrays["latency"]
        self.reached_quiescence: npt.NDArray[np.bool_] = arrays["reached_quiescence"]
        self.stopped_by: npt.NDArray[np.int64] = arrays["stopped_by"]
        self.trace: Trace | None = None if trace is None else Trace(trace)

    @property
    def mean_pending(self) -> npt.NDArray[np.float64]:
        """Mean number of pending spikes after a forward step, float64 [B]."""
        mean: npt.NDArray[np.float64] = self._arrays["sum_pending"] / self.forward_steps
        return mean

    @property
    def events_before_firing(self) -> npt.NDArray[np.float64]:
        """Mean number of events that had arrived at a neuron in the timestep when it fired.

        float64 [B]; NaN if no neuron fired.
        """
        fired = np.where(self.spikes > 0, self.spikes, np.nan)
        mean: npt.NDArray[np.float64] = self._arrays["sum_events"] / fired
        return mean

    @property
    def spike_density(self) -> npt.NDArray[np.float64]:
        """Spikes per neuron and timestep, float64 [B].

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.spike_density
        array([0.33333333, 0.66666667])
        """
        density: npt.NDArray[np.float64] = self.spikes / self.n_neurons / self.n_timesteps
        return density

    @property
    def _output_fires(self) -> bool:
        return next(p.neuron.fires for p in self._populations if p.name == self._output)

    def _must_be_kept(self, name: str) -> None:
        if name not in self._keep:
            accepted = f"a simulation with {name!r} in keep"
            raise InputError(expected("keep", self._keep, accepted))

    def _kept(self, name: str) -> Any:
        self._must_be_kept(name)
        return self._arrays[name]

    @property
    def counts(self) -> npt.NDArray[np.float32]:
        """Spike counts of the output neurons in each timestep, float32 [T, B, n_outputs].

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.counts[0]
        array([[1., 0., 0.],
               [0., 1., 1.]], dtype=float32)
        """
        counts: npt.NDArray[np.float32] = self._kept("counts")
        return counts.reshape(self.n_timesteps, self.n_samples, self._n_outputs)

    @property
    def output_v(self) -> npt.NDArray[Any]:
        """Potentials of the output neurons at the end of each timestep, [T, B, n_outputs].

        In the network's dtype; 0 in timesteps that were not run because the sample was stopped.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))], pa.LIF(tau_mem=np.inf))
        >>> x = np.array([[[0.25, 0.5]], [[0.5, 0.0]]])   # two timesteps of one sample
        >>> pa.simulate(network, x, dt=1e-3, keep=("output_v",)).output_v[:, 0].tolist()
        [[0.25, 0.5], [0.75, 0.5]]
        """
        output_v: npt.NDArray[Any] = self._kept("output_v")
        return output_v.reshape(self.n_timesteps, self.n_samples, self._n_outputs)

    @property
    def spike_counts(self) -> npt.NDArray[np.uint32]:
        """Spike counts of all neurons over the sample, uint32 [B, n_neurons].

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> pa.simulate(network, np.full((3, 1, 2), 2.0), dt=1e-3).spike_counts
        array([[3, 3, 3]], dtype=uint32)
        """
        counts: npt.NDArray[np.uint32] = self._kept("spike_counts")
        return counts.reshape(self.n_samples, -1)

    @property
    def v(self) -> npt.NDArray[Any]:
        """Final membrane potentials, [B, n_neurons] in the network's dtype.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))], pa.LIF(tau_mem=np.inf))
        >>> pa.simulate(network, np.array([[[0.25, 0.5]]]), dt=1e-3, keep=("v",)).v
        array([[0.25, 0.5 ]])
        """
        self._must_be_kept("v")
        return self.state[:, : self.n_neurons]

    @property
    def current(self) -> npt.NDArray[Any]:
        """Final synaptic currents, [B, n_neurons] in the network's dtype; 0 without a `tau_syn`.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> neuron = pa.LIF(tau_syn=np.inf, v_threshold=5.0)
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))], neuron)
        >>> x = np.array([[[0.25, 0.5]], [[0.0, 1.0]]])   # two timesteps of one sample
        >>> pa.simulate(network, x, dt=1e-3, keep=("current",)).current
        array([[0.25, 1.5 ]])
        """
        self._must_be_kept("current")
        state = self.state
        current: npt.NDArray[Any] = state[:, self.n_neurons :]
        return current if current.size else np.zeros_like(state)

    @property
    def state(self) -> npt.NDArray[Any]:
        """Final potentials [B, n_neurons], beside synaptic currents if the network has any.

        [B, 2 * n_neurons] then; needs "v" or "current" in `keep`.
        """
        if "current" not in self._keep:
            self._must_be_kept("v")
        state: npt.NDArray[Any] = self._arrays["state"]
        return state.reshape(self.n_samples, -1)

    def output_spikes(self) -> measures.OutputSpikes:
        """The output spikes, sample by sample, in the order in which they fired.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> spikes = result.output_spikes()
        >>> spikes.sample, spikes.neuron
        (array([0, 1, 1]), array([0, 1, 2], dtype=uint32))
        """
        self._must_be_kept("output_spikes")
        arrays = self._arrays
        return measures.OutputSpikes(
            arrays["output_offsets"],
            arrays["output_before"],
            arrays["output_neuron"],
            self._n_outputs,
        )

    def population_spikes(self) -> npt.NDArray[Any]:
        """Spike counts of each population: a structured array [B], one int64 field for each.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential(
        ...     [pa.Linear(np.eye(3)), pa.Linear(np.ones((1, 3)))], names=["hidden", "output"]
        ... )
        >>> pa.simulate(network, np.full((1, 1, 3), 2.0), dt=1e-3).population_spikes()
        array([(3, 1)], dtype=[('hidden', '<i8'), ('output', '<i8')])
        """
        counts = self.spike_counts
        rows = np.empty(self.n_samples, [(p.name, np.int64) for p in self._populations])
        for p in self._populations:
            rows[p.name] = counts[:, p.start : p.stop].sum(axis=1)
        return rows

    def decisions(self) -> npt.NDArray[np.int64]:
        """Output neuron with the most spikes, int64 [B].

        Ties go to the lowest index; -1 if no output neuron fired. Of output neurons that never fire
        (`v_threshold=inf`), it is the one with the highest mean of `output_v` over the timesteps.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.decisions()
        array([0, 1])
        """
        if not self._output_fires:
            return measures.decide_by_potential(self.output_v)
        if "counts" in self._keep:
            # float32 holds integers exactly only up to 2**24.
            wide = np.float64 if self.spikes.max(initial=0) > 2**24 else np.float32
            return measures.decide(self.counts.sum(axis=0, dtype=wide))
        return measures.decide(self.output_spikes().totals())

    def anytime_grid(self) -> npt.NDArray[np.int64]:
        """Numbers of spikes to use as `k` of `anytime`: 0, then up to 60 on a logarithmic scale.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.anytime_grid()
        array([0, 1, 2])
        """
        most = int(self.spikes.max(initial=1))
        return np.unique(np.concatenate([[0], np.geomspace(1, max(most, 2), 60).astype(np.int64)]))

    def anytime(self, k: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
        """Decisions if each sample had been cut after its first `k` spikes.

        Parameters
        ----------
        k : int or array of int [K], optional
            `anytime_grid()` if not given.

        Returns
        -------
        int64 [K, B]
            -1 where no output neuron had fired by then.

        Raises
        ------
        InputError
            If `k` does not consist of integers of 0 or more.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.anytime([0, 1, 2])
        array([[-1, -1],
               [ 0,  1],
               [ 0,  1]])
        """
        return self.output_spikes().anytime(self.anytime_grid() if k is None else k)

    def latency_to_correct(self, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Spikes fired before the first spike of the correct output neuron, float64 [B].

        NaN if that neuron never fired.

        Parameters
        ----------
        y : array of int [B]
            The correct output neuron of each sample.

        Raises
        ------
        InputError
            If `y` has another shape or type, or names no output neuron.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.latency_to_correct([0, 2])
        array([0., 1.])
        >>> result.latency_to_correct([1, 0])
        array([nan, nan])
        """
        y = measures.labels(y, self.n_samples, self._n_outputs)
        return self.output_spikes().latency_to(y)

    def accuracy(self, y: npt.ArrayLike) -> float:
        """Fraction of samples whose decision is `y`; no decision counts as wrong.

        Raises
        ------
        InputError
            As `latency_to_correct` does.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.accuracy([0, 2])
        0.5
        """
        y = measures.labels(y, self.n_samples, self._n_outputs)
        return float((self.decisions() == y).mean())

    def anytime_accuracy(
        self, y: npt.ArrayLike, k: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        """Accuracy if each sample had been cut after its first `k` spikes, float64 [K].

        Raises
        ------
        InputError
            As `anytime` and `latency_to_correct` do.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.anytime_accuracy([0, 1], k=[0, 1])
        array([0., 1.])
        """
        y = measures.labels(y, self.n_samples, self._n_outputs)
        accuracy: npt.NDArray[np.float64] = (self.anytime(k) == y).mean(axis=1)
        return accuracy

    def to_structured(self) -> npt.NDArray[Any]:
        """One row per sample with all its measures, for use with `pandas.DataFrame` and the like.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
        >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
        >>> result = pa.simulate(network, x, pa.Fifo(1), dt=1e-3)
        >>> result.to_structured()[["spikes", "forward_steps", "decision"]].tolist()
        [(1, 2, 0), (2, 3, 1)]
        """
        names = [
            *INTEGERS,
            "mean_pending",
            "events_before_firing",
            "latency",
            "spike_density",
            "reached_quiescence",
            "stopped_by",
        ]
        columns = {name: getattr(self, name) for name in names}
        readouts = {"counts", "output_spikes"} if self._output_fires else {"output_v"}
        if readouts & set(self._keep):
            columns["decision"] = self.decisions()
        rows = np.empty(self.n_samples, [(name, c.dtype) for name, c in columns.items()])
        for name, column in columns.items():
            rows[name] = column
        return rows

    def __repr__(self) -> str:
        known = self.latency[~np.isnan(self.latency)]
        latency = f"latency {known.mean():.1f}" if known.size else "no output spike"
        stopped = int((~self.reached_quiescence).sum())
        return (
            f"Result({counted(self.n_samples, 'sample')}, {counted(self.n_timesteps, 'timestep')}, "
            f"{self.spikes.mean():.1f} spikes per sample, {latency}"
            + (f", {stopped:,} stopped" if stopped else "")
            + ")"
        )
