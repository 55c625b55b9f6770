"""Files that commands read and write: samples in, JSON out."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyasync import Network, SpikeBatch, Trace, TraceSteps, data
from pyasync._checks import integer
from pyasync.errors import InputError, TraceError


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


def concatenated(traces: list[Trace]) -> Trace:
    """One trace of the samples of several runs of the same network under the same settings."""
    columns = [trace.to_steps() for trace in traces]
    starts = np.cumsum([0, *(len(trace) for trace in traces)])
    for part, start in zip(columns, starts[:-1], strict=True):
        for rows in (part.steps, part.joined, part.endings):
            rows["sample"] += np.uint32(start)
    # A trace of as many samples, whatever is in them, lends its header.
    like = traces[0][np.zeros(starts[-1], np.int64)]
    return Trace.from_steps(TraceSteps(*map(np.concatenate, zip(*columns, strict=True))), like)


def records(rows: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """The rows of a structured array as JSON takes them."""
    return [dict(zip(rows.dtype.names or (), row.tolist(), strict=True)) for row in rows]


def write_json(path: Path | None, content: Any) -> None:
    """Write `content` to `path` at once: a reader, or an interruption, never meets half a file."""
    if path is None:
        return
    text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def _plain(value: Any) -> Any:
    """NumPy's types as Python's; NaN, which JSON cannot say, as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
