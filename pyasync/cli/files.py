"""Files that commands read and write: samples in, JSON out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import Network, SpikeBatch, Trace, data
from pyasync._checks import integer
from pyasync._files import write_whole
from pyasync.errors import InputError, TraceError, expected
from pyasync.interop import from_nir


def read_run(
    path: Path, data: Path, *, nir: dict[str, Any], **how: Any
) -> tuple[Network, SpikeBatch, npt.NDArray[np.int64] | None]:
    """Read a network, and samples for it with their labels, if there are any.

    `nir` has what `from_nir` needs to know of a file that ends in .nir; `how` is `read_samples`'.
    """
    given = {name: value for name, value in nir.items() if value is not None}
    if path.suffix != ".nir":
        for name, value in given.items():
            option = "--" + name.replace("_", "-")
            raise InputError(expected(option, f"{value} for {path}", "a NETWORK.nir"))
        network = Network.load(path)
        return network, *read_samples(data, network, **how)
    # How long a timestep is, the samples say, which are read in the shape that the network has; of
    # no length but its own is "euler" sure to be possible.
    network = from_nir(path, dt=1.0, **{**given, "integration": "exponential"})
    x, labels = read_samples(data, network, **how)
    if x.dt is not None:
        network = from_nir(path, dt=x.dt, **given)
    return network, x, labels


def read_samples(
    path: Path,
    network: Network,
    *,
    dt: float | None,
    n_timesteps: int | None,
    channel: str,
    time: str | None,
    time_unit: float | None,
    split: str,
    samples: int | None,
) -> tuple[SpikeBatch, npt.NDArray[np.int64] | None]:
    """Read samples for `network` and their labels, if there are any."""
    labels: npt.NDArray[np.int64] | None
    if path.is_dir():
        given = {"dt": dt, "n_timesteps": n_timesteps}
        settings: Any = {name: value for name, value in given.items() if value is not None}
        x, labels = data.nmnist(path, split, progress=True, **settings)
    else:
        x, labels = data.npz(
            path,
            dt=dt,
            n_timesteps=n_timesteps,
            input_shape=network.input_shape,
            channel=channel,
            time=time,
            time_unit=time_unit,
        )
    if samples is not None:
        integer(InputError, "samples", samples, 1)
        x, labels = x[:samples], None if labels is None else labels[:samples]
    return x, labels


def read_trace(path: Path) -> Trace:
    """Read a trace; an error names the file."""
    try:
        return Trace.load(path)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error


def columns(rows: npt.NDArray[Any]) -> dict[str, list[Any]]:
    """The fields of a structured array; null for NaN and infinity, which JSON cannot say."""
    names = rows.dtype.names or ()
    return {
        name: [value if math.isfinite(value) else None for value in rows[name].tolist()]
        for name in names
    }


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write `content` to `path`, as a file that appears whole or not at all.

    Each name of `content` gets a line of its own; indenting more than that would take long.
    """
    if path is None:
        return
    lines = (
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in content.items()
    )
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
