"""What a strictly typed program writes: run here, and checked by mypy in `make lint`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import pyasync as pa
from pyasync import study

NETWORK = pa.Network.sequential([pa.Linear(np.eye(2) * 2)])
X = np.ones((3, 2, 2))


def test_the_energy_of_a_result_is_arrays_and_that_of_means_is_numbers() -> None:
    result = pa.simulate(NETWORK, X, dt=1e-3)
    by_sample: study.Energy[npt.NDArray[np.float64]] = study.EnergyModel().of(result)
    assert by_sample.total.shape == (2,)
    row = study.audit(NETWORK, X, [0, 1], [pa.Fifo(1)], dt=1e-3).rows[0]
    energy: study.Energy = study.EnergyModel().of(row)
    total: float = energy.total
    assert total == pytest.approx(by_sample.total.mean())


def test_a_dense_batch_is_an_array() -> None:
    dense: npt.NDArray[np.bool_] = pa.SpikeBatch.from_dense(X).to_dense(bool)
    assert dense.sum() == 12


def test_the_samples_of_a_trace_are_traces() -> None:
    trace = pa.simulate(NETWORK, X, dt=1e-3, record=True).trace
    assert trace is not None
    samples: list[pa.Trace] = [*trace]
    assert len(samples) == 2


def test_options_that_are_one_of_a_few_words_are_typed_so() -> None:
    # Needless ignores are errors under `mypy --strict`: it has to find the wrong word in each.
    with pytest.raises(pa.InputError, match=r"^split: got"):
        pa.data.digits("validation")  # type: ignore[arg-type]
    nn = pytest.importorskip("torch").nn
    chain = nn.Linear(2, 2), pa.nn.LIF()
    for wrong in ("gradient_scope", "gradient"):
        with pytest.raises(pa.InputError, match=rf"^{wrong}: got"):
            pa.nn.AsyncSequential(
                *chain,
                schedule=pa.Fifo(1),
                dt=1e-3,
                gradient_scope="all" if wrong == "gradient_scope" else "spikes",  # type: ignore[arg-type]
                gradient="rust" if wrong == "gradient" else "native",  # type: ignore[arg-type]
            )
