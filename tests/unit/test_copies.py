"""Copies, made by `copy` or pickle, hold what the original holds, and are just as read-only."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyasync as pa


def pickled(given: Any) -> Any:
    return pickle.loads(pickle.dumps(given))


copied = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
Copied = Callable[[Any], Any]
KERNEL = np.ones((1, 1, 2, 2))
READ_ONLY: list[tuple[Any, list[str]]] = [
    (pa.SpikeBatch([0, 1], [0, 2], 1, 2, [2.0, 3.0]), ["channel", "offsets", "multiplicity"]),
    (pa.LIF([0.1, 0.2], np.array([1.0, 2.0])), ["tau_mem", "v_threshold"]),
    (pa.LIF(1.0, 1.0, "subtract", reset_amount=[0.1, 0.2]), ["reset_amount"]),
    (pa.LIF(tau_syn=[0.1, 0.2]), ["tau_syn"]),
    (pa.Priority(1, [1.0, 2.0]), ["values"]),
    (pa.Linear(np.eye(2), [1, 2]), ["weight", "bias"]),
    (pa.Conv1d(KERNEL[0], [1]), ["weight", "bias"]),
    (pa.Conv2d(KERNEL, [1]), ["weight", "bias"]),
    (pa.Sparse(([0, 1], [0], [0.5]), (1, 1), [1]), ["indptr", "indices", "data", "bias"]),
    (pa.OneToOne(np.ones(2)), ["weight"]),
]


@copied
@pytest.mark.parametrize(("original", "names"), READ_ONLY)
def test_arrays_that_nothing_may_change_are_read_only_in_copies_too(
    original: Any, names: list[str], copied: Copied
) -> None:
    other = copied(original)
    for each in (original, other):
        for name in names:
            with pytest.raises(ValueError, match="read-only"):
                getattr(each, name)[...] = 0
    for name in names:
        np.testing.assert_array_equal(getattr(other, name), getattr(original, name))


@copied
def test_what_is_added_to_a_copy_of_a_network_is_the_copys_alone(copied: Copied) -> None:
    network = pa.Network(2)
    network.add("a", 2)
    other = copied(network)
    other.add("b", 3)
    other.connect("a", "b", pa.Linear(np.ones((3, 2))))
    assert (network.n_neurons, network.output, network.projections) == (2, "a", [])
    network.add("c", 1)
    assert [each.name for each in other.populations] == ["a", "b"]


def test_errors_come_back_from_other_processes(tmp_path: Any) -> None:
    """An error that cannot be unpickled would break a process pool, or make it wait for ever."""
    file = tmp_path / "a.npz"
    np.savez(file, x=np.ones((2, 3, 4, 5)), dt=1e-3)
    with pytest.raises(pa.InputError) as raised:
        pa.data.npz(file, input_shape=(5, 4))
    other = pickled(raised.value)
    assert (type(other), str(other)) == (type(raised.value), str(raised.value))
    assert other.stored == (4, 5)
