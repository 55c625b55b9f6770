"""Small models that several tests use, and both ways to compute a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pyasync as pa

torch = pytest.importorskip("torch", reason="pyasync.nn needs PyTorch, which is not installed")
from torch import nn  # noqa: E402

Make = Callable[..., pa.nn.AsyncSequential]


@pytest.fixture(params=["native", "torch"])
def gradient(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make() -> Make:
    """A model 20 - 16 - 3 that fires, the same one every time."""

    def build(learn: bool = False, **options: Any) -> pa.nn.AsyncSequential:
        before = torch.random.get_rng_state()
        torch.manual_seed(1)
        learned = {"learn_tau_mem": learn, "learn_threshold": learn}
        model = pa.nn.AsyncSequential(
            nn.Linear(20, 16),
            pa.nn.LIF(v_threshold=0.1, tau_mem=12e-3, **learned),
            nn.Linear(16, 3, bias=False),
            pa.nn.LIF(v_threshold=0.05, **learned),
            **{"schedule": pa.Random(4), "dt": 10e-3, **options},
        )
        torch.random.set_rng_state(before)
        return model

    return build


@pytest.fixture
def x() -> Any:
    """Input spikes [T=6, B=5, 20]."""
    return torch.rand(6, 5, 20, generator=torch.Generator().manual_seed(2)) < 0.3


@pytest.fixture(scope="session")
def close() -> Callable[[Any, Any], None]:
    """Assert that lists of gradients agree to rounding."""

    def check(a: Any, b: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
        for one, other in zip(a, b, strict=True):
            torch.testing.assert_close(one, other, rtol=rtol, atol=atol)

    return check
