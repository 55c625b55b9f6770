from collections.abc import Callable, Sequence
from typing import Any, TypedDict, final

import numpy as np
import numpy.typing as npt

__all__ = ["Network", "Trace", "cpu_features", "gradient", "simulate", "to_events"]

_U8 = npt.NDArray[np.uint8]
_U32 = npt.NDArray[np.uint32]
_I64 = npt.NDArray[np.int64]
_F32 = npt.NDArray[np.float32]
_F64 = npt.NDArray[np.float64]

class _Header(TypedDict):
    n_inputs: int
    n_neurons: int
    n_timesteps: int
    dropouts: bool
    shards: list[int]
    dt: float
    dtype: str
    schedule: str
    forward_group_size: int
    input_mode: str
    on_stop: str

class _Arrays(TypedDict):
    counts: _F32
    output_v: npt.NDArray[Any]
    spike_counts: _U32
    state: npt.NDArray[Any]
    spikes: _I64
    forward_steps: _I64
    synaptic_operations: _I64
    neuron_updates: _I64
    max_pending: _I64
    sum_pending: _I64
    sum_events: _I64
    stopped_by: _I64
    total_spikes: int
    all_quiescent: bool
    latency: _F64
    reached_quiescence: npt.NDArray[np.bool_]
    output_before: _U32
    output_neuron: _U32
    output_offsets: _I64
    trace: Trace | None

class _Gradient(TypedDict):
    weights: list[npt.NDArray[Any]]
    biases: list[npt.NDArray[Any] | None]
    beta: npt.NDArray[Any] | None
    v_threshold: npt.NDArray[Any] | None
    alpha: npt.NDArray[Any] | None
    input: npt.NDArray[Any] | None
    initial_state: npt.NDArray[Any] | None

@final
class Network:
    def __new__(
        cls,
        dtype: str,
        n_inputs: int,
        populations: Sequence[
            tuple[
                str,
                int,
                _F64 | float,
                _F64 | float,
                str,
                str,
                int,
                _F64 | float | None,
                _F64 | float | None,
            ]
        ],
        projections: Sequence[tuple[int, int, tuple[Any, ...], npt.NDArray[Any] | None]],
        output: int,
    ) -> Network: ...
    def decay(self, dt: float) -> npt.NDArray[Any]: ...
    def synaptic_decay(self, dt: float) -> npt.NDArray[Any]: ...
    def n_synapses(self) -> list[int]: ...
    def nbytes(self) -> list[int]: ...

@final
class Trace:
    @staticmethod
    def from_bytes(data: bytes) -> Trace: ...
    def to_bytes(self) -> bytes: ...
    def header(self) -> _Header: ...
    def n_samples(self) -> int: ...
    def n_emitted(self) -> int: ...
    def nbytes(self) -> int: ...
    @staticmethod
    def concatenate(traces: list[Trace]) -> Trace: ...
    def take(self, samples: list[int]) -> Trace: ...
    def validate(self, network: Network) -> None: ...
    def to_events(self) -> tuple[_U32, _U32, _U32, _U32, _I64, _F32]: ...
    def to_steps(self) -> tuple[_U32, _U32, _U32, _F32, _U8, _U32, _U32]: ...
    def with_steps(
        self,
        steps: _U32,
        emitted: _U32,
        fired: _U32,
        v: _F32,
        fates: _U8,
        joined: _U32,
        endings: _U32,
    ) -> Trace: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...

def simulate(
    network: Network,
    x: Any,
    schedule: tuple[Any, ...],
    options: dict[str, Any],
    progress: Callable[[int], None] | None = None,
) -> _Arrays: ...
def gradient(
    network: Network,
    x: Any,
    trace: Trace,
    grad_counts: npt.NDArray[Any] | None,
    grad_output_v: npt.NDArray[Any] | None,
    grad_spike_counts: npt.NDArray[Any] | None,
    grad_state: npt.NDArray[Any] | None,
    options: dict[str, Any],
) -> _Gradient: ...
def to_events(
    x: Any, dtype: str, most: int, threads: int
) -> tuple[_U32, _I64, npt.NDArray[Any] | None] | None: ...
def cpu_features() -> list[str]: ...
