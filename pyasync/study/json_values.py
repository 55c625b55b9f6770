"""Values that are written alike in the JSON of every report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync.network import Network, Population


def number(value: Any) -> Any:
    """A value in JSON-compatible form: None for NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def described(network: Network) -> dict[str, Any]:
    """A network's populations and projections, without its weights."""

    def span(values: npt.NDArray[np.float64]) -> Any:
        low, high = (number(float(value)) for value in (values.min(), values.max()))
        return low if low == high else [low, high]

    def parameters(each: Population, *names: str) -> dict[str, Any]:
        own = each.neuron.parameters
        return {name: span(each.neuron.values(name, each.shape)) for name in names if name in own}

    return {
        "input_shape": list(network.input_shape),
        "n_neurons": network.n_neurons,
        "n_synapses": int(sum(network.build().n_synapses())),
        "dtype": network.dtype.name,
        "output": network.output,
        "populations": [
            {
                "name": each.name,
                "shape": list(each.shape),
                **parameters(each, "tau_mem", "tau_syn", "v_threshold"),
                "reset": each.neuron.reset,
                **parameters(each, "reset_amount"),
                "refractory": each.neuron.refractory,
            }
            for each in network.populations
        ],
        "projections": [
            f"{each.source} -> {each.target}: {each.projection!r}" for each in network.projections
        ],
    }
