"""The recorded order of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import _core
from pyasync._checks import entries, samples_of, shown
from pyasync._deliveries import deliveries
from pyasync._files import read_whole, write_whole
from pyasync._wording import counted
from pyasync.errors import ArgumentError, TraceError, expected
from pyasync.network import Network, check_network
from pyasync.trace_steps import TraceSteps, columns_of, with_columns

EVENT = np.dtype(
    [
        ("sample", np.uint32),
        ("timestep", np.uint32),
        ("step", np.uint32),
        ("order", np.uint32),
        ("neuron", np.int64),
        ("v", np.float32),
    ]
)


class Trace:
    """The recorded order of a run: enough to replay it bit for bit.

    `simulate(..., record=True).trace` is one; `Trace.load` reads one from a file. For each forward
    step it holds which pending spikes were emitted, which neurons fired, and at which potential.

    Attributes
    ----------
    n_inputs, n_neurons : int
        Number of input channels and of neurons of the network.
    n_timesteps : int
        Number of timesteps of a sample.
    dt : float
        Length of a timestep in seconds.
    dtype : np.dtype
        Number type in which the network computed: float32 or float64.
    schedule : str
        Name of the schedule, such as "random"; "free" for a free run.
    forward_group_size : int or None
        F; None for "layered", which has none.
    n_shards : int
        Number of shards of a free run; 1 for any other run.
    input_mode : str
        "at_once" or "scheduled".
    on_stop : str
        "discard" or "carry".
    dropouts : bool
        Whether the run had dropouts: neurons may have skipped refractoriness, and spikes may have
        been lost.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(3)), pa.Linear(np.ones((1, 3)))])
    >>> x = np.full((1, 1, 3), 2.0)
    >>> trace = pa.simulate(network, x, pa.Fifo(2), dt=1e-3, record=True).trace
    >>> trace
    Trace(1 sample, 1 timestep, fifo F=2, 4 spikes emitted, 68 bytes)
    >>> trace.validate(network)
    >>> for event in trace.to_events()[["step", "neuron", "v"]].tolist():
    ...     print(event)
    (1, 0, 2.0)
    (1, 1, 2.0)
    (2, 2, 2.0)
    (2, 3, 2.0)
    """

    def __init__(self, core: _core.Trace) -> None:
        self.core = core
        header = core.header()
        self.n_inputs: int = header["n_inputs"]
        self.n_neurons: int = header["n_neurons"]
        self.n_timesteps: int = header["n_timesteps"]
        self.dropouts: bool = header["dropouts"]
        self.n_shards: int = max(1, len(header["shards"]))
        self.dt: float = header["dt"]
        self.dtype: np.dtype[Any] = np.dtype(header["dtype"])
        self.schedule: str = header["schedule"]
        self.forward_group_size: int | None = header["forward_group_size"] or None
        self.input_mode: str = header["input_mode"]
        self.on_stop: str = header["on_stop"]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.core.n_samples()

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes."""
        return self.core.nbytes()

    @property
    def n_emitted(self) -> int:
        """Number of emitted spikes in all samples."""
        return self.core.n_emitted()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the trace to a file, with a version and a checksum.

        Raises
        ------
        FileError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, pyasync as pa, tempfile, pathlib
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> trace = pa.simulate(network, np.full((1, 1, 2), 2.0), dt=1e-3, record=True).trace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trace.save(pathlib.Path(folder, "run.trace"))
        ...     pa.Trace.load(pathlib.Path(folder, "run.trace")) == trace
        True
        """
        write_whole(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Load a trace that `save` wrote.

        Raises
        ------
        FileError
            If the file cannot be read.
        TraceError
            If the file is truncated, altered or not a trace.

        Examples
        --------
        >>> import pyasync as pa
        >>> try:
        ...     pa.Trace.load("no such file")
        ... except pa.FileError as error:
        ...     print(error)
        path: got no such file (No such file or directory); accepted: a trace file
        """
        return cls.from_bytes(read_whole(path, "a trace file"))

    def to_bytes(self) -> bytes:
        """The trace as bytes, in the file format."""
        return self.core.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Trace:
        """Read a trace from the bytes that `to_bytes` returned.

        Raises
        ------
        TraceError
            If the bytes are truncated, altered or not a trace.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> pa.Trace.from_bytes(trace.to_bytes()) == trace
        True
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TraceError(expected("data", type(data).__name__, "bytes"))
        return cls(_core.Trace.from_bytes(bytes(data)))

    def validate(self, network: Network) -> None:
        """Prove from a network's structure that the recorded order was possible.

        Every emitted spike was pending, none went missing or was emitted twice, groups have the
        schedule's size, arrival numbers are in neuron order, every neuron that fired was reached by
        an event in that step (or, in a layered run, visited in it), and none fired while
        refractory. docs/semantics.md lists what is also checked for a free run. Not checked is
        whether the schedule that the trace names would have picked this order.

        Raises
        ------
        TraceError
            If the trace is from another network, or is invalid: names the first thing wrong.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> trace.validate(network)
        >>> other = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> try:
        ...     trace.validate(other)
        ... except pa.TraceError as error:
        ...     print(error)
        trace: got a trace of another network (2 inputs, 3 neurons, float64, ...); accepted: ...
        """
        check_network(TraceError, network)
        self.core.validate(network.build())

    def to_events(self) -> npt.NDArray[Any]:
        """One row per emitted spike, in the order of emission.

        For a free run this is the merged order, one of those that respect what happened, and each
        spike has one row, where the first shard delivered it.

        Returns
        -------
        structured array, fields sample, timestep, step, order, neuron, v
            `order` numbers the rows of a sample; `neuron` is -1 - channel for a scheduled input
            spike; `v` (float32) is the potential at which the neuron fired, infinity for an input.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> trace.to_events()[["step", "order", "neuron", "v"]].tolist()
        [(1, 0, 0, 2.0), (2, 1, 1, 2.0), (3, 2, 2, 2.0)]
        """
        events = self.core.to_events()
        rows = np.empty(len(events[0]), EVENT)
        for name, column in zip(EVENT.names or (), events, strict=True):
            rows[name] = column
        return rows

    def to_deliveries(self) -> npt.NDArray[Any]:
        """One row per delivery, as each shard saw it; only free runs have more than one shard.

        Returns
        -------
        structured array, fields sample, timestep, shard, order, neuron
            `order` numbers the deliveries of each shard within a sample. `neuron` is -1 - channel
            for a scheduled input spike, and -1 for a timestep's input group (biases and, with
            `input_mode="at_once"`, input spikes), the first delivery of each shard in a timestep.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> trace.to_deliveries()[["order", "neuron"]].tolist()   # the input group, then each spike
        [(0, -1), (1, 0), (2, 1), (3, 2)]
        """
        self.to_events()  # raises if a spike is emitted before it has become pending
        return deliveries(self.to_steps(), len(self), self.n_shards)

    def to_steps(self) -> TraceSteps:
        """The trace as columns; see `TraceSteps`."""
        return columns_of(self.core)

    @classmethod
    def from_steps(cls, steps: TraceSteps, like: Trace) -> Trace:
        """Build a trace from columns, with the header and number of samples of another trace.

        This refuses only columns that cannot form a trace; `validate` checks everything else.

        Raises
        ------
        TraceError
            If the columns are not those of `TraceSteps`, their lengths do not match, or rows are
            out of order.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> columns = trace.to_steps()
        >>> pa.Trace.from_steps(columns, like=trace) == trace
        True
        >>> backwards = columns._replace(emitted=columns.emitted[::-1])
        >>> try:
        ...     pa.Trace.from_steps(backwards, like=trace).validate(network)
        ... except pa.TraceError as error:
        ...     print(error)
        trace: sample 0, timestep 0, step 1: got spike 2 emitted; accepted: spikes that are pending
        """
        if not isinstance(steps, TraceSteps):
            raise TraceError(expected("steps", shown(steps), "the TraceSteps of Trace.to_steps"))
        if not isinstance(like, Trace):
            raise TraceError(expected("like", shown(like), "a Trace"))
        return cls(with_columns(like.core, steps))

    @classmethod
    def concatenate(cls, traces: Iterable[Trace]) -> Trace:
        """Join the samples of several runs of one network under the same schedule and options.

        Raises
        ------
        TraceError
            If there is no trace, or if one differs from the first in anything but its samples.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2)), pa.Linear(np.ones((1, 2)))])
        >>> x = np.full((1, 1, 2), 2.0)
        >>> trace = pa.simulate(network, x, pa.Fifo(1), dt=1e-3, record=True).trace
        >>> len(pa.Trace.concatenate([trace, trace]))
        2
        """
        traces = list(entries(TraceError, "traces", traces, "a sequence of Trace"))
        for trace in traces:
            if not isinstance(trace, Trace):
                raise TraceError(expected("traces", type(trace).__name__, "a sequence of Trace"))
        return cls(_core.Trace.concatenate([trace.core for trace in traces]))

    def __getitem__(self, index: int | slice | npt.ArrayLike) -> Trace:
        """Select samples by int, slice, index array or boolean mask."""
        samples = samples_of(ArgumentError, "index", index, len(self))
        return Trace(self.core.take(samples.tolist()))

    def __iter__(self) -> Iterator[Trace]:
        """Iterate over the samples, each a trace of one."""
        return (self[sample] for sample in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Whether two traces are equal, to the bit."""
        return self.core == other.core if isinstance(other, Trace) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return (Trace.from_bytes, (self.to_bytes(),))

    def __repr__(self) -> str:
        group = "" if self.forward_group_size is None else f" F={self.forward_group_size}"
        return (
            f"Trace({counted(len(self), 'sample')}, {counted(self.n_timesteps, 'timestep')}, "
            f"{self.schedule}{group}, {counted(self.n_emitted, 'spike')} emitted, "
            f"{counted(self.nbytes, 'byte')})"
        )
