"""Prepare the input of a run for the engine: checked, aligned, and in a dtype that it reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync._checks import aligned, array, integer, numbers, seconds
from pyasync._dense import readable
from pyasync._events import starts_of
from pyasync._wording import counted
from pyasync.errors import InputError, expected
from pyasync.events import SpikeBatch
from pyasync.network import Network


def read_input(
    network: Network, x: npt.ArrayLike | SpikeBatch, dt: float | None, batch_first: bool
) -> tuple[Any, int, int, float]:
    """The input as the engine reads it, and the batch's n_timesteps, n_samples and dt."""
    if dt is not None:
        dt = seconds(InputError, "dt", dt)
    if isinstance(x, SpikeBatch):
        if x.dt is not None and dt is not None and x.dt != dt:
            raise InputError(expected("dt", dt, f"the SpikeBatch's own {x.dt}"))
        dt = x.dt if dt is None else dt
        if x.n_inputs != network.n_inputs or (
            len(network.input_shape) > 1
            and x.input_shape not in (network.input_shape, (x.n_inputs,))
        ):
            given = f"a SpikeBatch of input shape {x.input_shape}"
            raise InputError(expected("x", given, f"input shape {network.input_shape}"))
        if x.n_samples == 0:
            raise InputError(expected("x", "an empty SpikeBatch", "at least one sample"))
    batch = engine_input(network, x, batch_first)
    if dt is None:
        raise InputError(
            expected("dt", None, "seconds, finite and above 0 (or a SpikeBatch with dt)")
        )
    sizes = (x.n_timesteps, x.n_samples) if isinstance(x, SpikeBatch) else batch.shape[:2]
    return batch, *sizes, dt


def engine_input(network: Network, x: npt.ArrayLike | SpikeBatch, batch_first: bool = False) -> Any:
    """The input as the engine reads it: the parts of a SpikeBatch, or an array [T, B, n_inputs]."""
    if isinstance(x, SpikeBatch):
        return _events(x, network.dtype)
    return _dense(network, x, batch_first)


def check_axes(network: Network, shape: tuple[int, ...], batch_first: bool) -> None:
    """Refuse a dense input whose axes after the first two do not match the network's input."""
    if len(shape) < 3 or shape[2:] not in (network.input_shape, (network.n_inputs,)):
        given = f"an array of shape {tuple(shape)}"
        raise InputError(expected("x", given, _accepted(network, batch_first)))


def _events(x: SpikeBatch, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    if x.multiplicity is None:
        return (x.channel, x.offsets, None, x.n_timesteps, x.n_inputs)
    with np.errstate(over="ignore", under="ignore"):
        multiplicity = x.multiplicity.astype(dtype)
    if not np.isfinite(multiplicity).all():
        given = x.multiplicity[~np.isfinite(multiplicity)][0]
        raise InputError(expected("multiplicity", given, f"finite numbers in {dtype}"))
    kept = multiplicity != 0
    if kept.all():
        return (x.channel, x.offsets, multiplicity, x.n_timesteps, x.n_inputs)
    # As in a dense input, a multiplicity that rounds to 0 in the network's dtype is not a spike.
    offsets = starts_of(kept)[x.offsets]
    return (x.channel[kept], offsets, multiplicity[kept], x.n_timesteps, x.n_inputs)


def _dense(network: Network, x: npt.ArrayLike, batch_first: bool) -> npt.NDArray[Any]:
    accepted = _accepted(network, batch_first)
    dense = array(InputError, "x", x, accepted)
    if dense.dtype.kind not in "biuf":
        raise InputError(expected("x", f"{type(x).__name__} of dtype {dense.dtype}", accepted))
    check_axes(network, dense.shape, batch_first)
    if 0 in dense.shape[:2]:
        given = f"an array of shape {dense.shape}"
        raise InputError(expected("x", given, "at least one timestep and one sample"))
    dense = dense.swapaxes(0, 1) if batch_first else dense
    return readable(dense, network.dtype)


def _accepted(network: Network, batch_first: bool) -> str:
    wanted = ("B, T" if batch_first else "T, B") + ", " + ", ".join(map(str, network.input_shape))
    return f"a SpikeBatch, or an array [{wanted}] of bool, integers or floats"


def sample_ids_of(sample_ids: npt.ArrayLike | None, n_samples: int) -> list[int] | None:
    """Ids of the samples, each an integer of 64 bits, or None."""
    if sample_ids is None:
        return None
    accepted = f"{counted(n_samples, 'integer')} of 0 or more and below 2**64, one a sample"
    # As objects, since NumPy has no integer dtype for a list such as [2**63, -1].
    ids = array(InputError, "sample_ids", sample_ids, accepted, object)
    if ids.shape != (n_samples,):
        raise InputError(expected("sample_ids", f"an array of shape {ids.shape}", accepted))
    return [integer(InputError, "sample_ids", each, accepted=accepted) for each in ids]


def state_of(
    initial_v: npt.ArrayLike | None,
    initial_current: npt.ArrayLike | None,
    n_samples: int,
    network: Network,
) -> npt.NDArray[Any] | None:
    """Initial state in the network's dtype, as the engine takes it, or None if all of it is 0.

    It is the potentials [B, n_neurons] or, if the network has synaptic currents, potentials and
    currents side by side [B, 2 * n_neurons].
    """
    if initial_v is None and initial_current is None:
        return None
    v = _of_neurons("initial_v", initial_v, n_samples, network)
    if not network.has_currents and initial_current is None:
        return v
    current = _of_neurons("initial_current", initial_current, n_samples, network)
    for p in network.populations:
        if p.neuron.tau_syn is None and current[:, p.start : p.stop].any():
            accepted = f"0 for the neurons of {p.name!r}, which have no tau_syn"
            raise InputError(expected("initial_current", "a current", accepted))
    return np.hstack([v, current]) if network.has_currents else v


def _of_neurons(
    argument: str, given: npt.ArrayLike | None, n_samples: int, network: Network
) -> npt.NDArray[Any]:
    """One number for each neuron of each sample, [B, n_neurons] in the network's dtype."""
    shape = (n_samples, network.n_neurons)
    if given is None:
        return np.zeros(shape, network.dtype)
    accepted = f"an array [B, n_neurons] = {list(shape)} of finite numbers"
    array = numbers(InputError, argument, given, accepted)
    if array.shape != shape:
        raise InputError(expected(argument, f"an array of shape {array.shape}", accepted))
    with np.errstate(over="ignore", under="ignore"):
        values = aligned(array, network.dtype)
    if not np.isfinite(values).all():
        given = values[~np.isfinite(values)][0]
        raise InputError(expected(argument, given, f"{accepted} in {network.dtype}"))
    return values
