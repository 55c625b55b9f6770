"""Surrogates are snnTorch's, and spike functions in their own right."""

from __future__ import annotations

import pickle

import pytest

import pyasync as pa

torch = pytest.importorskip("torch")

ALL = [
    pa.nn.atan(2.0),
    pa.nn.atan(0.7),
    pa.nn.fast_sigmoid(25),
    pa.nn.sigmoid(25),
    pa.nn.triangular(1.5),
    pa.nn.straight_through_estimator(),
]


@pytest.mark.parametrize("surrogate", ALL, ids=str)
def test_the_derivative_is_snntorchs(surrogate: pa.nn.Surrogate) -> None:
    peers = pytest.importorskip("snntorch.surrogate")
    make = getattr(peers, surrogate.name)
    has_none = surrogate.name == "straight_through_estimator"
    theirs = make() if has_none else make(surrogate.parameter)
    a = torch.linspace(-1, 1, 41, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    spikes = theirs(a)
    spikes.sum().backward()
    surrogate(b).sum().backward()
    assert torch.equal(spikes, surrogate(b))
    torch.testing.assert_close(b.grad, a.grad, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(b.grad, surrogate.derivative(b.detach()))


def test_the_sigmoid_does_not_overflow() -> None:
    x = torch.tensor([-1e4, -50.0, 50.0, 1e4])
    derivative = pa.nn.sigmoid(25).derivative(x)
    assert torch.isfinite(derivative).all()
    assert (derivative >= 0).all()


@pytest.mark.parametrize("make", [pa.nn.atan, pa.nn.fast_sigmoid, pa.nn.sigmoid, pa.nn.triangular])
def test_the_largest_parameter_is_one_in_float32_too(make) -> None:  # type: ignore[no-untyped-def]
    x = torch.tensor([-1.0, -1e-3, 0.0, 1e-3, 1.0])
    assert torch.isfinite(make(1e30).derivative(x)).all()


def test_float64_stays_float64_and_the_threshold_is_strict() -> None:
    x = torch.tensor([-1.0, 0.0, 1e-300], dtype=torch.float64)
    for surrogate in ALL:
        assert surrogate(x).tolist() == [0.0, 0.0, 1.0]
        assert surrogate(x).dtype == surrogate.derivative(x).dtype == torch.float64


def test_they_are_values() -> None:
    assert pa.nn.atan(2.0) == pa.nn.atan(2) != pa.nn.atan(3.0)
    assert pickle.loads(pickle.dumps(pa.nn.sigmoid(3.0))) == pa.nn.sigmoid(3.0)
    assert hash(pa.nn.atan()) == hash(pa.nn.atan())
    assert repr(pa.nn.fast_sigmoid(10)) == "Surrogate(name='fast_sigmoid', parameter=10.0)"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pa.nn.atan(0), "alpha: got 0"),
        (lambda: pa.nn.fast_sigmoid(-1), "slope: got -1"),
        (lambda: pa.nn.sigmoid(float("inf")), "slope: got inf"),
        (lambda: pa.nn.triangular("1"), "threshold: got '1'"),
        *(
            (lambda make=make: make(1e39), rf"{argument}: got 1e\+39; accepted: .* at most 1e\+30")
            for make, argument in (
                (pa.nn.atan, "alpha"),
                (pa.nn.fast_sigmoid, "slope"),
                (pa.nn.sigmoid, "slope"),
                (pa.nn.triangular, "threshold"),
                (lambda parameter: pa.nn.Surrogate("atan", parameter), "parameter"),
            )
        ),
        (lambda: pa.nn.Surrogate("heaviside"), "name: got 'heaviside'; accepted: .*'atan'"),
    ],
)
def test_a_bad_parameter_is_named(call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(pa.InputError, match=rf"^{says}"):
        call()


def test_the_triangular_derivative_is_of_its_argument_s_type() -> None:
    x = torch.tensor([-0.5, 0.5], dtype=torch.float64)
    assert pa.nn.triangular(0.7).derivative(x).tolist() == [0.7, -0.7]
