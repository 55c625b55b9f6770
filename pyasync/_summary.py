"""The table behind `Network.summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyasync.network import Network


def summarise(network: Network) -> str:
    """Describe a network as two tables and a line of totals."""
    built = network.build()
    synapses, sizes = built.n_synapses(), built.nbytes()
    shown = ["v_threshold", "tau_mem"]
    used = {name for p in network.populations for name in p.neuron.parameters}
    shown += [name for name in ("reset_amount", "tau_syn") if name in used]
    heads = [f"{name} (s)" if name.startswith("tau") else name for name in shown]
    populations = [["population", "shape", "neurons", *heads]]
    for p in network.populations:
        own = p.neuron.parameters
        parameters = [_span(p.neuron.values(n, p.shape)) if n in own else "" for n in shown]
        populations.append([p.name, str(p.shape), f"{p.stop - p.start:,}", *parameters])
    projections = [["projection", "kind", "synapses", "bytes"]]
    for connection, n_synapses, n_bytes in zip(network.projections, synapses, sizes, strict=True):
        name = f"{connection.source} -> {connection.target}"
        projections.append([name, repr(connection.projection), f"{n_synapses:,}", f"{n_bytes:,}"])
    totals = (
        f"input shape {network.input_shape}, {network.n_neurons:,} neurons, "
        f"{sum(synapses):,} synapses, {sum(sizes):,} bytes, {network.dtype.name}"
    )
    return "\n".join([*_table(populations, left=2), *_table(projections, left=2), totals])


def _span(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    low, high = f"{values.min():g}", f"{values.max():g}"
    return low if low == high else f"{low} to {high}"


def _table(rows: list[list[str]], left: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
