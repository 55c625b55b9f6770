"""The results of an audit: its rows, and how they become a table, JSON and a figure."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._files import write_whole
from pyasync._wording import counted, ordered
from pyasync.network import Network
from pyasync.study.json_values import described, number
from pyasync.study.table import headline, rich_table, text_table

FORMAT, VERSION = "pyasync.AuditReport", 1


@dataclass(frozen=True)
class AuditRow:
    """Results of a network under one schedule: means over samples; errors are standard errors.

    Attributes
    ----------
    schedule : str
        The schedule's name, with its noise and its own seed, if it has them.
    forward_group_size : int or None
        F; None under layered.
    accuracy, accuracy_error : float
        Fraction of samples decided correctly; no decision counts as wrong.
    accuracy_drop, accuracy_drop_error : float
        Accuracy under layered minus this accuracy; below 0, layered is worse. The error is that of
        the paired difference, since both saw the same samples.
    decided : float
        Fraction of samples with a decision: with an output spike, or all if potentials decide.
    spikes : float
        Spikes per sample.
    latency : float
        Spikes fired before the first output spike, averaged over samples that have one.
    latency_to_correct : float
        The same up to the first spike of the correct output neuron.
    forward_steps, synaptic_operations, neuron_updates : float
        Work per sample.
    reached_quiescence : float
        Fraction of samples that no limit stopped.
    runs : int
        How often the samples were run. All values but the next three are those of the first run.
    accuracy_spread, spikes_spread, latency_spread : float
        Standard deviation over the runs of the mean over samples; 0 with one run.
    pick : str or None
        The name of a custom schedule's function, if it has one.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
    >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
    >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
    >>> row = report.rows[1]
    >>> row.run, row.accuracy, row.spikes, row.latency
    ('fifo, F = 4', 1.0, 1.0, 0.0)
    """

    schedule: str
    forward_group_size: int | None
    accuracy: float
    accuracy_error: float
    accuracy_drop: float
    accuracy_drop_error: float
    decided: float
    spikes: float
    latency: float
    latency_to_correct: float
    forward_steps: float
    synaptic_operations: float
    neuron_updates: float
    reached_quiescence: float
    runs: int = 1
    accuracy_spread: float = 0.0
    spikes_spread: float = 0.0
    latency_spread: float = 0.0
    pick: str | None = None

    @property
    def run(self) -> str:
        """The schedule, with the name of its function, and its F, for display."""
        return ordered(self.schedule, self.forward_group_size, self.pick)

    @property
    def kind(self) -> str:
        """The schedule, with the name of its function but without its F, for display."""
        return ordered(self.schedule, None, self.pick)


@dataclass(frozen=True)
class Example:
    """One sample's spikes in order of emission, under layered and under another schedule.

    It is the first sample that is right under layered, or if none is, the first.
    """

    sample: int
    label: int
    schedule: str
    layered: npt.NDArray[Any]
    asynchronous: npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """The results of `audit`; print them, or write them with `save_json` and `figure`.

    Attributes
    ----------
    rows : tuple of AuditRow
        The layered baseline, then every other schedule.
    anytime_spikes : int64 [K]
        Numbers of spikes after which samples are cut.
    anytime_accuracy : float64 [n_rows, K]
        Accuracy if every sample were cut there.
    example : Example
        The spikes of one sample, for the figure.
    network : Network
    n_samples, n_timesteps, seed : int
    dt : float
        Seconds.

    Examples
    --------
    >>> import numpy as np, pyasync as pa
    >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
    >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
    >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
    >>> report
    AuditReport(10 samples, 2 runs: layered, fifo)
    >>> report.headline
    'Layer synchronisation hid no loss of accuracy that 10 samples can show: 100.0 % layered, ...'
    """

    rows: tuple[AuditRow, ...]
    anytime_spikes: npt.NDArray[np.int64]
    anytime_accuracy: npt.NDArray[np.float64]
    example: Example
    network: Network
    n_samples: int
    n_timesteps: int
    seed: int
    dt: float

    @property
    def headline(self) -> str:
        """What layer synchronisation hid, in one sentence."""
        return headline(self.rows, self.n_samples)

    def to_table(self) -> str:
        """Return the rows as a table of plain text, under the headline.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
        >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
        >>> print(report.to_table())
        Layer synchronisation hid no loss ...
        schedule  F   accuracy %  drop, points  spikes  first output ...
        """
        return text_table(self.rows, self.n_samples)

    def to_structured(self) -> npt.NDArray[Any]:
        """Return the rows as a structured array, one field per attribute.

        F is 0 under layered, and an absent `pick` is empty.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
        >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
        >>> report.to_structured()[["schedule", "forward_group_size", "accuracy"]].tolist()
        [('layered', 0, 1.0), ('fifo', 4, 1.0)]
        """
        kinds = {"schedule": "U64", "forward_group_size": np.int64, "runs": np.int64, "pick": "U64"}
        names = list(AuditRow.__dataclass_fields__)
        cells = []
        for row in self.rows:
            filled = replace(
                row, forward_group_size=row.forward_group_size or 0, pick=row.pick or ""
            )
            cells.append(tuple(getattr(filled, name) for name in names))
        return np.array(cells, [(name, kinds.get(name, np.float64)) for name in names])

    def to_json(self) -> str:
        """Return everything but the example as JSON, with versions, seed and network.

        Values that are not numbers, such as a latency if no output neuron fired, are null. The same
        audit gives the same text.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
        >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
        >>> import json
        >>> json.loads(report.to_json())["rows"][1]["accuracy"]
        1.0
        """
        from pyasync import __version__

        content = {
            "format": FORMAT,
            "version": VERSION,
            "versions": {
                "pyasync": __version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "seed": self.seed,
            "dt": self.dt,
            "n_samples": self.n_samples,
            "n_timesteps": self.n_timesteps,
            "network": described(self.network),
            "headline": self.headline,
            "rows": [
                {name: number(value) for name, value in asdict(row).items()} for row in self.rows
            ],
            "anytime": {
                "spikes": self.anytime_spikes.tolist(),
                "accuracy": self.anytime_accuracy.tolist(),
            },
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file, which appears whole or not at all.

        Raises
        ------
        FileError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, pyasync as pa
        >>> network = pa.Network.sequential([pa.Linear(np.eye(2))])
        >>> x = np.tile(2 * np.eye(2), (1, 5, 1))
        >>> report = pa.study.audit(network, x, [0, 1] * 5, ["fifo"], [4], dt=1e-3)
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save_json(pathlib.Path(folder, "audit.json"))
        ...     [file.name for file in pathlib.Path(folder).iterdir()]
        ['audit.json']
        """
        write_whole(path, self.to_json().encode())

    def figure(self, path: str | os.PathLike[str]) -> None:
        """Draw the example's spikes, and accuracy against spikes fired, to a PNG, SVG or PDF file.

        Raises
        ------
        FileError
            If the file cannot be written.
        MissingDependencyError
            If matplotlib is not installed.
        """
        from pyasync.study.figure import draw

        draw(self, path)

    def __rich__(self) -> Any:
        return rich_table(self.rows, self.n_samples)

    def __repr__(self) -> str:
        schedules = ", ".join(dict.fromkeys(row.kind for row in self.rows))
        samples = counted(self.n_samples, "sample")
        return f"AuditReport({samples}, {counted(len(self.rows), 'run')}: {schedules})"
