"""Files that commands read and write: samples in, JSON out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer

from pyasync import Network, SpikeBatch, Trace
from pyasync._files import write_whole
from pyasync.cli.options import OF_NIR, Part, flag
from pyasync.cli.samples import kind_of, read_samples
from pyasync.errors import InputError, TraceError, expected
from pyasync.interop.nir import from_nir, read_graph


def read_run(
    path: Path, data: str, *, format: str | None, split: Part | None, **how: Any
) -> tuple[Network, SpikeBatch, npt.NDArray[np.int64] | None]:
    """Read a network, and samples for it with their labels, if there are any.

    `how` has the values of `OF_NIR`, which only apply to a file ending in .nir, and the arguments
    of `read_samples`.
    """
    nir = {name: how.pop(name) for name in OF_NIR}
    if split is not None and kind_of(data, format) == "npz":
        raise typer.BadParameter(f"--split has no effect on {data}, which has one part")
    given = {name: value for name, value in nir.items() if value is not None}
    if path.suffix != ".nir":
        for name, value in given.items():
            option = flag(name)
            raise InputError(expected(option, f"{value} for {path}", "a NETWORK.nir"))
        network = Network.load(path)
        return network, *read_samples(data, format, split, network_shape=network.input_shape, **how)
    # The samples give dt, but reading them takes the network's input shape. So build the network
    # twice, first with an arbitrary dt and what works with any dt.
    graph = read_graph(path)
    anyhow = {"integration": "exponential", "reset_delay": False}
    network = from_nir(graph, dt=1.0, **{**given, **anyhow})
    x, labels = read_samples(data, format, split, network_shape=network.input_shape, **how)
    assert x.dt is not None  # ensured by `read_samples`
    return from_nir(graph, dt=x.dt, **given), x, labels


def load_network(path: Path) -> Network:
    """Read the network of an earlier run; refuse .nir, as how it was converted is not known."""
    if path.suffix == ".nir":
        accepted = "a NETWORK.safetensors, such as pa.interop.from_nir(...).save writes"
        raise InputError(expected("network", str(path), accepted))
    return Network.load(path)


def read_trace(path: Path) -> Trace:
    """Read a trace; errors name the file."""
    try:
        return Trace.load(path)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error


def columns(rows: npt.NDArray[Any]) -> dict[str, list[Any]]:
    """The fields of a structured array as lists; None for NaN and infinity, which JSON lacks."""
    names = rows.dtype.names or ()
    return {
        name: [value if math.isfinite(value) else None for value in rows[name].tolist()]
        for name in names
    }


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write `content` to `path` as JSON, in a file that appears whole or not at all.

    Each name of `content` gets one line; indenting further would be slow.
    """
    if path is None:
        return
    lines = (
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in content.items()
    )
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
