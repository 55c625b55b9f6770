"""Networks as safetensors files, whose metadata holds the structure as JSON."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from pyasync._files import read_whole, write_whole
from pyasync._optional import needed
from pyasync.errors import FileError, PyasyncError, expected
from pyasync.network import Network
from pyasync.neurons import LIF
from pyasync.projections import KINDS

FORMAT, VERSION = "pyasync.Network", 1
WHY = "networks are saved with it"
ACCEPTED = (
    f"a whole .safetensors file, version {VERSION}, that Network.save wrote (of a model of pa.nn: "
    "model.network().save), or for commands a .nir graph"
)


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write `network`; see `Network.save`."""
    codec = needed("safetensors.numpy", WHY)
    arrays: dict[str, Any] = {}
    populations = []
    for p in network.populations:
        for parameter in p.neuron.parameters:
            arrays[f"population.{p.name}.{parameter}"] = p.neuron.values(parameter, p.shape)
        populations.append(
            {
                "name": p.name,
                "shape": p.shape,
                "neuron": p.neuron.settings(),
                "parameters": p.neuron.parameters,
            }
        )
    projections = []
    for number, c in enumerate(network.projections):
        for parameter, array in c.projection.arrays().items():
            arrays[f"projection.{number}.{parameter}"] = np.asarray(array, order="C")
        projections.append(
            {
                "source": c.source,
                "target": c.target,
                "kind": c.projection.kind,
                "settings": c.projection.settings(),
            }
        )
    header = {
        "format": FORMAT,
        "version": VERSION,
        "input_shape": network.input_shape,
        "dtype": network.dtype.name,
        "output": network.output,
        "populations": populations,
        "projections": projections,
    }
    write_whole(path, codec.save(arrays, {"pyasync": json.dumps(header)}))


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network; see `Network.load`."""
    codec = needed("safetensors.numpy", WHY)
    damaged = needed("safetensors", WHY).SafetensorError
    content = read_whole(path, ACCEPTED)
    try:
        arrays = codec.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        header = json.loads(metadata.get("pyasync", "{}"))
        if not isinstance(header, dict):
            raise ValueError(f"its header is a {type(header).__name__}")
    except (
        *(damaged, ValueError, KeyError, TypeError),
        *(AttributeError, RecursionError),
    ) as cause:
        raise FileError(expected("path", f"{path} ({cause})", ACCEPTED)) from cause
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        stated = f"format {header.get('format')}, version {header.get('version')}"
        given = f"{path} of {stated if header else 'other content'}"
        raise FileError(expected("path", given, ACCEPTED))
    try:
        return _rebuild(header, arrays)
    except (LookupError, TypeError, AttributeError, ValueError) as cause:
        if isinstance(cause, PyasyncError):
            given = f"{path}, which holds no valid network: {cause}"
        else:
            given = f"{path}, whose header lacks or has an unfit part ({cause!r})"
        raise FileError(expected("path", given, ACCEPTED)) from cause


def _rebuild(header: dict[str, Any], arrays: dict[str, Any]) -> Network:
    network = Network(input_shape=header["input_shape"], dtype=header["dtype"])
    for population in header["populations"]:
        shape = tuple(population["shape"])
        values: dict[str, Any] = {}
        # Files from before there was a reset_amount do not list them.
        for parameter in population.get("parameters", ("tau_mem", "v_threshold")):
            array = arrays[f"population.{population['name']}.{parameter}"]
            values[parameter] = float(array[0]) if array.size == 1 else array.reshape(shape)
        network.add(population["name"], shape, LIF(**values, **population["neuron"]))
    for number, entry in enumerate(header["projections"]):
        prefix = f"projection.{number}."
        own = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        projection = KINDS[entry["kind"]].from_parts(own, entry["settings"])
        network.connect(entry["source"], entry["target"], projection)
    network.output = header["output"]
    return network
