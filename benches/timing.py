"""Time several ways to do the same work side by side, and describe the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

# After a PyTorch operation OpenMP's threads spin for some milliseconds, and would take a core from
# the next contender.
SETTLE_SECONDS = 0.03
WARM_CALL_LIMIT_SECONDS = 0.5

Name = TypeVar("Name", bound=Hashable)


class Ratio(NamedTuple):
    """How many times longer one took than another: median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float


class OtherWork:
    """How busy other processes keep the machine, from construction on.

    A PyTorch operation waits for its slowest thread, so another process on the same cores slows it
    down by far more than its share of the time. Ratios measured then are meaningless.
    """

    def __init__(self) -> None:
        self._busy, self._own = _busy_seconds(), time.process_time()
        self._start = time.perf_counter()

    def cores(self) -> float | None:
        """Mean number of cores that others kept busy; None if the system does not say."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (time.process_time() - self._own)
        return max(0.0, others / (time.perf_counter() - self._start))


def _busy_seconds() -> float | None:
    """Core seconds that the whole machine has spent on work since it started (Linux)."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = (
        int(ticks) for ticks in path.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")


def interleave(
    contenders: Mapping[Name, Callable[[], object]], rounds: int, slot_seconds: float
) -> dict[Name, list[float]]:
    """Seconds per call of each contender in each round.

    First, each is called once untimed. Then each round gives every contender one slot in turn,
    every other round in reverse order, so that a slow drift of the machine affects all alike. A
    slot has one untimed call (unless calls take half a second or longer) and as many timed calls as
    fill `slot_seconds`.
    """
    warm = {name: _seconds(call) for name, call in contenders.items()}
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for r in range(rounds):
        for name in names if r % 2 == 0 else reversed(names):
            time.sleep(SETTLE_SECONDS)
            call = contenders[name]
            if warm[name] < WARM_CALL_LIMIT_SECONDS:
                call()
            n_calls = max(1, round(slot_seconds / warm[name]))
            seconds[name].append(_seconds(call, n_calls))
    return seconds


def _seconds(call: Callable[[], object], n_calls: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(n_calls):
        call()
    return (time.perf_counter() - start) / n_calls


def ratio(slow: list[float], fast: list[float]) -> Ratio:
    """Compare two contenders round by round, since within a round both saw the same machine."""
    each = [s / f for s, f in zip(slow, fast, strict=True)]
    return Ratio(median(each), min(each), max(each))


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(packages: tuple[str, ...]) -> dict[str, object]:
    """The machine and the versions on which figures were measured."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "simd": [f for f in ("avx2", "fma", "avx512f") if f in _cpuinfo("flags").split()],
        "cores": cores(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _cpuinfo(field: str) -> str:
    """A field of Linux's description of the first core; empty if there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith(field):
            return line.partition(":")[2].strip()
    return ""
