"""The neurons' module: learned and fixed parameters, dtypes, state dicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")


def test_what_is_not_learned_is_a_buffer_and_exactly_what_was_given() -> None:
    lif = pa.nn.LIF(v_threshold=0.3, tau_mem=20e-3)
    assert list(lif.parameters()) == []
    assert set(lif.state_dict()) == {"tau_mem", "v_threshold"}
    assert lif.neuron() == pa.LIF(v_threshold=0.3, tau_mem=20e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_stay_exact_whatever_the_dtype_of_the_model(dtype: torch.dtype) -> None:
    lif = pa.nn.LIF(v_threshold=0.3, tau_mem=20e-3, learn_threshold=True).to(dtype)
    assert lif.neuron().tau_mem == 20e-3
    assert lif.v_threshold.dtype == dtype
    assert pa.nn.LIF(v_threshold=0.3).to("meta").v_threshold.device.type == "meta"


def test_defaults_are_those_of_the_network() -> None:
    assert pa.nn.LIF().neuron() == pa.LIF()
    options = {"reset": "subtract", "refractory": "none", "sync_threshold": 2}
    assert pa.nn.LIF(**options).neuron() == pa.LIF(**options)


def test_parameters_may_be_one_a_neuron() -> None:
    tau = torch.linspace(1e-3, 30e-3, 6).reshape(2, 3)
    lif = pa.nn.LIF(tau_mem=tau, v_threshold=np.arange(1.0, 7.0), learn_tau_mem=True)
    assert lif.log_tau_mem.shape == (2, 3)
    torch.testing.assert_close(lif.tau_mem, tau)
    np.testing.assert_allclose(lif.neuron().tau_mem, tau.double(), rtol=1e-6)


@pytest.mark.parametrize("name", ["tau_mem", "tau_syn"])
def test_a_learned_time_constant_stays_above_zero_whatever_the_step(name: str) -> None:
    lif = pa.nn.LIF(**{name: 20e-3, f"learn_{name}": True})
    optimiser = torch.optim.SGD(lif.parameters(), lr=1e3)
    getattr(lif, name).backward()
    optimiser.step()
    assert 0 < getattr(lif, name).item() < 20e-3


def test_what_is_learned_has_the_dtype_asked_for() -> None:
    learn = {"learn_tau_mem": True, "learn_threshold": True}
    lif = pa.nn.LIF(v_threshold=0.3, **learn, dtype=torch.float64)
    assert {p.dtype for p in lif.parameters()} == {torch.float64}
    assert lif.v_threshold.item() == 0.3
    assert {p.dtype for p in pa.nn.LIF(**learn).parameters()} == {torch.get_default_dtype()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_values_may_be_narrow_floats(dtype: torch.dtype) -> None:
    lif = pa.nn.LIF(v_threshold=torch.tensor(0.5, dtype=dtype), tau_mem=torch.ones(2, dtype=dtype))
    assert lif.neuron() == pa.LIF(v_threshold=0.5, tau_mem=np.ones(2))


def test_infinity_is_accepted_where_it_is_not_learned() -> None:
    assert pa.nn.LIF(tau_mem=math.inf).neuron() == pa.LIF(tau_mem=math.inf)
    with pytest.raises(pa.NetworkError, match=r"^tau_mem: got inf; .*learn_tau_mem=True"):
        pa.nn.LIF(tau_mem=math.inf, learn_tau_mem=True)


@pytest.mark.parametrize("parametrized", [False, True])
def test_an_assignment_cannot_hide_a_learned_time_constant(parametrized: bool) -> None:
    lif = pa.nn.LIF(tau_mem=20e-3, learn_tau_mem=True)
    if parametrized:
        parametrize = torch.nn.utils.parametrize
        parametrize.register_parametrization(lif, "log_tau_mem", torch.nn.Identity())
    with pytest.raises(pa.NetworkError, match=r"^tau_mem: got an assignment; .*log_tau_mem"):
        lif.tau_mem = torch.tensor(30e-3)
    lif.log_tau_mem.data.copy_(torch.tensor(30e-3).log())  # as the message advises
    assert lif.neuron().tau_mem == pytest.approx(30e-3)
    fixed = pa.nn.LIF(tau_mem=20e-3)
    fixed.tau_mem = torch.tensor(30e-3, dtype=torch.float64)
    assert fixed.neuron().tau_mem == 30e-3


@pytest.mark.parametrize("name", ["v_threshold", "tau_mem"])
def test_a_buffer_that_requires_a_gradient_gets_one_whatever_else_is_learned(
    name: str, gradient: str
) -> None:
    gradients = []
    for learned in (False, True):
        torch.manual_seed(0)
        chosen = pa.nn.LIF(v_threshold=0.4)
        model = pa.nn.AsyncSequential(
            torch.nn.Linear(6, 5),
            chosen,
            torch.nn.Linear(5, 2),
            pa.nn.LIF(v_threshold=0.2, learn_threshold=learned),
            schedule=pa.Fifo(4),
            dt=10e-3,
            gradient=gradient,
        )
        getattr(chosen, name).requires_grad_()
        model(torch.rand(9, 8, 6) < 0.4).sum().backward()
        gradients.append(getattr(chosen, name).grad)
    assert gradients[0] is not None
    assert gradients[0] != 0
    assert gradients[0] == gradients[1]


@pytest.mark.parametrize("learned", [False, True])
def test_state_dicts_load_whether_or_not_parameters_are_learned(learned: bool) -> None:
    source = pa.nn.LIF(
        tau_mem=7e-3, v_threshold=0.2, learn_tau_mem=learned, learn_threshold=learned
    )
    target = pa.nn.LIF(learn_tau_mem=not learned, learn_threshold=not learned)
    target.load_state_dict(source.state_dict())
    assert target.tau_mem.item() == pytest.approx(7e-3, rel=1e-6)
    assert target.v_threshold.item() == pytest.approx(0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_given_reset_amount_is_an_exact_buffer_and_nothing_else_is(dtype: torch.dtype) -> None:
    how = {"v_threshold": 0.3, "tau_mem": 20e-3, "reset": "subtract"}
    assert "reset_amount" not in pa.nn.LIF(**how).state_dict()
    for amount in (0.35, np.array([0.1, 0.2])):
        neuron = pa.LIF(**how, reset_amount=amount)
        lif = pa.nn.LIF(**how, reset_amount=torch.as_tensor(amount, dtype=torch.float64)).to(dtype)
        assert list(lif.parameters()) == []
        assert lif.neuron() == pa.nn.LIF.from_neuron(neuron).neuron() == neuron


def test_a_state_dict_carries_the_reset_amount_of_a_module_that_has_one() -> None:
    how = {"v_threshold": 0.3, "reset": "subtract"}
    source = pa.nn.LIF(**how, reset_amount=0.35, learn_threshold=True)
    target = pa.nn.LIF(**how, reset_amount=0.1)
    target.load_state_dict(source.state_dict())
    assert target.neuron().reset_amount == 0.35
    plain = pa.nn.LIF(**how)
    with pytest.raises(RuntimeError, match="reset_amount"):
        plain.load_state_dict(source.state_dict())
    with pytest.raises(RuntimeError, match="reset_amount"):
        source.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("detach_reset", [False, True])
def test_both_gradients_honour_a_reset_amount_as_it_is_now(detach_reset: bool, close: Any) -> None:
    x = torch.rand(8, 5, 20, generator=torch.Generator().manual_seed(2)) < 0.4
    found: dict[str, list[Any]] = {}
    for gradient in ("native", "torch"):
        for amount in (0.05, 0.4):
            torch.manual_seed(0)
            lif = pa.nn.LIF(
                v_threshold=0.1, reset="subtract", reset_amount=9.0, learn_threshold=True
            )
            model = pa.nn.AsyncSequential(
                torch.nn.Linear(20, 6),
                lif,
                schedule=pa.Fifo(2),
                dt=10e-3,
                gradient=gradient,
                detach_reset=detach_reset,
            )
            lif.reset_amount.fill_(amount)
            counts, state = model(x, return_state=True)
            lif.reset_amount.fill_(7.0)  # a backward belongs to the run before it
            (counts.sum() + state.v.square().sum()).backward()
            found.setdefault(gradient, []).extend([model[0].weight.grad, lif.v_threshold.grad])
            assert lif.reset_amount.grad is None
            result = pa.simulate(model.network(), x.numpy(), pa.Fifo(2), dt=10e-3)
            assert not np.array_equal(result.counts, counts.detach().numpy())
            lif.reset_amount.fill_(amount)
            result = pa.simulate(model.network(), x.numpy(), pa.Fifo(2), dt=10e-3)
            assert np.array_equal(result.counts, counts.detach().numpy())
    close(found["native"], found["torch"])
    assert not torch.equal(found["native"][0], found["native"][2])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reset_amount": 0.3}, "reset_amount: got 0.3 with reset='zero'"),
        ({"reset_amount": math.nan, "reset": "subtract"}, "reset_amount: got nan"),
        (
            {"reset_amount": torch.nn.Parameter(torch.tensor(0.3)), "reset": "subtract"},
            r"reset_amount: got a tensor that requires a gradient; accepted: .*detach\(\)$",
        ),
        ({"tau_mem": 0.0}, "tau_mem: got 0"),
        (
            {"v_threshold": torch.nn.Parameter(torch.tensor(0.3))},
            "v_threshold: got a tensor that requires a gradient; .*learn_threshold",
        ),
        ({"tau_mem": torch.tensor([1.0, -1.0])}, "tau_mem: got -1"),
        ({"v_threshold": math.nan}, "v_threshold: got nan"),
        ({"reset": "half"}, "reset: got 'half'"),
        ({"refractory": True}, "refractory: got True"),
        ({"sync_threshold": -1}, "sync_threshold: got -1"),
        ({"tau_mem": torch.tensor(1j)}, "tau_mem: got an array of complex64"),
        ({"learn_tau_mem": "no"}, "learn_tau_mem: got 'no'; accepted: True or False"),
        ({"learn_threshold": 1}, "learn_threshold: got 1; accepted: True or False"),
        *(
            ({"dtype": dtype}, rf"dtype: got {shown}; accepted: torch.float32, torch.float64")
            for dtype, shown in (
                (torch.float16, "torch.float16"),
                (torch.complex64, "torch.complex64"),
                (torch.int64, "torch.int64"),
                ("float32", "'float32'"),
                (0, "0"),
                ("", "''"),
                (False, "False"),
            )
        ),
    ],
)
def test_a_bad_parameter_is_named(options, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(pa.NetworkError, match=rf"^{says}"):
        pa.nn.LIF(**options)


def test_it_does_not_run_alone() -> None:
    with pytest.raises(pa.NetworkError, match="AsyncSequential"):
        pa.nn.LIF()(torch.ones(1))


def test_it_shows_its_parameters() -> None:
    assert repr(pa.nn.LIF(v_threshold=0.5, reset="subtract", reset_amount=0.25)) == (
        "LIF(v_threshold=0.5, tau_mem=0.02, reset='subtract', refractory='timestep', "
        "reset_amount=0.25)"
    )
    assert repr(pa.nn.LIF(v_threshold=0.3, tau_mem=torch.ones(4), learn_threshold=True)) == (
        "LIF(v_threshold=0.3 (learned), tau_mem=[4], reset='zero', refractory='timestep')"
    )


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    def right_inverse(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2


def test_a_parametrized_reset_amount_runs_as_parametrized() -> None:
    torch.manual_seed(0)
    lif = pa.nn.LIF(v_threshold=0.1, reset="subtract", reset_amount=0.4)
    model = pa.nn.AsyncSequential(torch.nn.Linear(20, 16), lif, schedule=pa.Fifo(4), dt=10e-3)
    x = torch.rand(6, 5, 20) < 0.3
    _, before = model(x, return_state=True)
    lif.reset_amount.fill_(0.2)
    torch.nn.utils.parametrize.register_parametrization(lif, "reset_amount", Doubled())
    lif.parametrizations.reset_amount.original.fill_(0.2)
    _, after = model(x, return_state=True)
    assert lif.neuron().reset_amount == 0.4
    assert torch.equal(before.v, after.v)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", ["v_threshold", "tau_mem"])
def test_parametrized_neurons_run_and_learn_as_parametrized(name: str, learned: bool) -> None:
    torch.manual_seed(0)
    x, found = torch.rand(6, 5, 20) < 0.3, []
    linear = torch.nn.Linear(20, 16)
    name = f"log_{name}" if learned and name == "tau_mem" else name
    for is_parametrized in (False, True):
        lif = pa.nn.LIF(
            v_threshold=0.1, tau_mem=8e-3, learn_tau_mem=learned, learn_threshold=learned
        )
        if is_parametrized:
            torch.nn.utils.parametrize.register_parametrization(lif, name, Doubled())
        model = pa.nn.AsyncSequential(linear, lif, schedule=pa.Random(4), dt=10e-3)
        counts = model(x, seed=1)
        counts.square().sum().backward()
        parameters = dict(lif.named_parameters())
        parameter = parameters.get(f"parametrizations.{name}.original", parameters.get(name))
        assert (parameter is not None) == learned
        found.append((counts, 0 if parameter is None else parameter.grad))
    (counts, grad), (counts_parametrized, grad_parametrized) = found
    assert counts.sum() > 0
    assert torch.equal(counts_parametrized, counts)
    if learned:
        assert grad != 0
        torch.testing.assert_close(grad_parametrized, 2 * grad)
