"""Readouts of output spikes: decisions, anytime decisions, latency to the correct output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import array, shown
from pyasync._wording import counted
from pyasync.errors import InputError, expected


def decide(totals: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Output neuron with the most spikes, the lowest index among equals; -1 if none fired.

    Parameters
    ----------
    totals : array [..., n_outputs]

    Examples
    --------
    >>> import numpy as np
    >>> from pyasync.measures import decide
    >>> decide(np.array([[0, 2, 2], [0, 0, 0]]))
    array([ 1, -1])
    """
    return np.where(totals.any(axis=-1), totals.argmax(axis=-1), -1)


def decide_by_potential(output_v: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Output neuron with the highest mean potential, the lowest index among equals.

    Parameters
    ----------
    output_v : array [T, B, n_outputs]

    Examples
    --------
    >>> import numpy as np
    >>> from pyasync.measures import decide_by_potential
    >>> decide_by_potential(np.array([[[0.5, 0.25]], [[0.5, 1.0]]]))
    array([1])
    """
    return np.asarray(output_v.mean(axis=0, dtype=np.float64).argmax(axis=-1), np.int64)


def labels(y: npt.ArrayLike, n_samples: int, n_outputs: int) -> npt.NDArray[np.int64]:
    """Check labels, one per sample, each the index of an output neuron; return them as int64."""
    accepted = f"{counted(n_samples, 'integer')} from 0 to {n_outputs - 1}, one a sample"
    classes = array(InputError, "y", y, accepted)
    if classes.shape != (n_samples,) or classes.dtype.kind not in "iu":
        given = f"an array of {classes.dtype} and shape {classes.shape}"
        raise InputError(expected("y", given, accepted))
    wrong = (classes < 0) | (classes >= n_outputs)
    if wrong.any():
        raise InputError(expected("y", classes[wrong][0], accepted))
    return classes.astype(np.int64)


@dataclass(frozen=True)
class OutputSpikes:
    """Output spikes of a batch, sample by sample, in the order in which they fired.

    Attributes
    ----------
    offsets : int64 [B + 1]
        The spikes of sample `s` are at `offsets[s]:offsets[s + 1]`.
    before : uint32 [n]
        Number of spikes, of any neuron, that the sample had fired before each output spike.
    neuron : uint32 [n]
        Index of the output neuron that fired.
    n_outputs : int

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3))])
    >>> x = np.array([[[2, 0, 0], [0, 2, 2]]])   # one timestep of two samples
    >>> spikes = pa.simulate(network, x, pa.Fifo(1), dt=1e-3).output_spikes()
    >>> spikes.totals()
    array([[1, 0, 0],
           [0, 1, 1]])
    >>> spikes.neuron[spikes.offsets[1] : spikes.offsets[2]]   # of the second sample
    array([1, 2], dtype=uint32)
    """

    offsets: npt.NDArray[np.int64]
    before: npt.NDArray[np.uint32]
    neuron: npt.NDArray[np.uint32]
    n_outputs: int

    @property
    def sample(self) -> npt.NDArray[np.int64]:
        """Index of each spike's sample."""
        return np.repeat(np.arange(self.offsets.size - 1), np.diff(self.offsets))

    def totals(self, chosen: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        """Number of spikes of each output neuron, [B, n_outputs], counting only those `chosen`."""
        n_samples = self.offsets.size - 1
        cell = self.sample * self.n_outputs + self.neuron
        cell = cell if chosen is None else cell[chosen]
        totals = np.bincount(cell, minlength=n_samples * self.n_outputs)
        return totals.reshape(n_samples, self.n_outputs)

    def anytime(self, k: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Decision after the first `k` spikes of each sample, [K, B]."""
        accepted = "integers of 0 or more"
        cuts = np.atleast_1d(array(InputError, "k", k, accepted))
        if cuts.ndim != 1 or cuts.dtype.kind not in "iu" or (cuts.size and cuts.min() < 0):
            raise InputError(expected("k", shown(k), accepted))
        n_samples = self.offsets.size - 1
        decisions = np.empty((cuts.size, n_samples), np.int64)
        for row, cut in enumerate(cuts):
            decisions[row] = decide(self.totals(self.before < cut))
        return decisions

    def latency_to(self, y: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Spikes fired before the first of output neuron `y[s]`, [B]; NaN if it never fired."""
        latency = np.full(y.size, np.inf)
        sample = self.sample
        correct = self.neuron == y[sample]
        np.minimum.at(latency, sample[correct], self.before[correct])
        latency[np.isinf(latency)] = np.nan
        return latency
