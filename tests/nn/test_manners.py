"""Models behave like PyTorch's own modules, and refuse by name what they cannot do."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import pyasync as pa
from pyasync.errors import GradientError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

Make = Callable[..., pa.nn.AsyncSequential]


def graph(**options: Any) -> pa.nn.AsyncNetwork:
    torch.manual_seed(1)
    model = pa.nn.AsyncNetwork(
        20, **{"schedule": pa.Random(4), "dt": 10e-3, "refractory_dropout": 0.5, **options}
    )
    model.add("a", 16, pa.nn.LIF(v_threshold=0.1, learn_tau_mem=True))
    model.add("b", 3, pa.nn.LIF(v_threshold=0.05))
    model.connect("input", "a", nn.Linear(20, 16))
    model.connect("a", "b", nn.Linear(16, 3))
    model.connect("a", "a", pa.nn.OneToOne(-0.1))
    return model


@pytest.fixture(params=["chain", "graph"])
def model(request: pytest.FixtureRequest, make: Make) -> Any:
    return make(learn=True) if request.param == "chain" else graph()


def saved(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, saved, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "save", "pickle"],
)
def test_copies_run_the_same_and_go_their_own_way(
    model: Any, x: Any, copied: Callable[[Any], Any]
) -> None:
    wanted = model(x, seed=1)
    other = copied(model)
    assert other.last_result is None
    assert torch.equal(other(x, seed=1), wanted)
    for parameter in other.parameters():
        parameter.data.mul_(0.5)
    assert torch.equal(model(x, seed=1), wanted)
    loss = other(x, seed=1, return_spike_counts=True)[1].sum()
    loss.backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in other.parameters())


def test_a_copy_may_be_made_while_a_graph_waits(model: Any, x: Any) -> None:
    counts = model(x, seed=1)
    copy.deepcopy(model)(x)
    counts.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_state_dicts_carry_all_numbers(model: Any, x: Any) -> None:
    wanted = model(x, seed=1)
    state = {name: each.clone() for name, each in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.data.uniform_(-0.01, 0.01)
    for buffer in model.buffers():
        buffer.fill_(0.5)
    model.load_state_dict(state)
    assert torch.equal(model(x, seed=1), wanted)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({})


def test_the_dtype_may_change_and_change_back(model: Any, x: Any) -> None:
    wanted = model(x, seed=1)
    assert model.double()(x, seed=1).dtype == torch.float64
    assert model.network().dtype == "float64"
    assert torch.equal(model.float()(x, seed=1), wanted)
    with pytest.raises(pa.InputError, match=r"^parameters: got torch.float16 on cpu"):
        model.half()(x)
    model.float()
    next(model.parameters()).data = next(model.parameters()).data.double()
    with pytest.raises(pa.InputError, match=r"^parameters: got torch.float32 .* torch.float64"):
        model(x)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_optimisers_step_and_gradients_are_clipped(model: Any, x: Any, kind: str) -> None:
    optimiser = getattr(torch.optim, kind)(model.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        optimiser.zero_grad()
        counts, spike_counts = model(x, return_spike_counts=True)
        (counts.square().sum() + spike_counts.sum()).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert norm > 1
        total = sum(p.grad.square().sum() for p in model.parameters())
        assert total.sqrt() == pytest.approx(1.0, abs=1e-4)
        optimiser.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_no_grad_and_inference_mode_record_nothing(model: Any, x: Any) -> None:
    model.eval()
    wanted = model(x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            counts = model(x)
        assert not counts.requires_grad
        assert model.last_result.trace is None
        assert torch.equal(counts, wanted)


def test_checkpointing_recomputes_the_same_run(model: Any, x: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    model.refractory_dropout = 0.5
    torch.manual_seed(3)
    model(x).sum().backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(3)
    checkpoint(model, x, use_reentrant=False).sum().backward()
    for parameter, grad in zip(model.parameters(), wanted, strict=True):
        assert torch.equal(parameter.grad, grad)


def test_hooks_of_the_model_run(model: Any, x: Any) -> None:
    seen: list[Any] = []
    model.register_forward_hook(lambda module, args, output: seen.append(output))
    counts = model(x)
    assert seen[0] is counts
    counts.register_hook(lambda grad: seen.append(grad))
    counts.sum().backward()
    assert torch.equal(seen[1], torch.ones_like(counts))


def test_it_is_a_part_of_a_larger_model(x: Any, make: Make) -> None:
    class Readout(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.spikes, self.read = nn.Linear(20, 20), make(), nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            return self.read(self.spikes(self.encode(x).relu()).sum(0))

    model = Readout()
    model(x.float()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.encode.weight.grad.abs().sum() > 0


def test_functional_calls_have_a_gradient(model: Any, x: Any) -> None:
    from torch.func import functional_call, grad

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    found = grad(lambda p: functional_call(model, p, (x,), {"seed": 3}).sum())(parameters)
    model(x, seed=3).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # forward mode imports torch.jit
def test_what_has_no_derivative_is_refused_by_name(model: Any, x: Any, gradient: str) -> None:
    from torch.autograd import forward_ad
    from torch.func import functional_call, jvp

    model.gradient = gradient
    parameters = list(model.parameters())
    named = {name: p.detach() for name, p in model.named_parameters()}

    def run(values: Any) -> Any:
        return functional_call(model, values, (x,)).sum()

    def twice() -> None:
        first = torch.autograd.grad(model(x).sum(), parameters, create_graph=True)
        torch.autograd.grad(first[0].sum(), parameters)

    def penalty() -> None:
        current = x.float().requires_grad_()
        (slope,) = torch.autograd.grad(model(current).square().sum(), current, create_graph=True)
        slope.norm().backward()

    def forward_mode() -> None:
        with forward_ad.dual_level():
            model(forward_ad.make_dual(x.float(), torch.ones(x.shape)))

    def batched_gradients() -> None:
        total = model(x).sum()
        one = torch.ones(2)
        torch.autograd.grad(total, list(model.parameters()), one, is_grads_batched=True)

    def autocast() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(x)

    for call, says in (
        (twice, "double backward"),
        (penalty, "double backward"),
        (forward_mode, "forward-mode differentiation"),
        (lambda: jvp(run, (named,), (named,)), "forward-mode differentiation"),
        (lambda: torch.vmap(model, in_dims=1)(x), "vmap"),
        (lambda: torch.func.hessian(run)(named), "vmap"),
        (autocast, "autocast"),
        # The replay consists of PyTorch operations, which can take several cotangents at once.
        *[(batched_gradients, "vmap over the backward")] * (model.gradient == "native"),
    ):
        with pytest.raises(GradientError, match=rf"^gradient: got {says}; accepted: "):
            call()
    assert issubclass(GradientError, NotImplementedError)
    assert issubclass(GradientError, pa.PyasyncError)
    with torch.autocast("cpu", enabled=False):
        model(x)


@pytest.mark.filterwarnings("ignore")  # the compiler itself warns
def test_compiled_models_run_the_inside_as_it_is(model: Any, x: Any) -> None:
    wanted = model(x, seed=1)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(compiled(x, seed=1), wanted)
    compiled(x, seed=1).sum().backward()
    assert all(p.grad is not None for p in model.parameters())

    def around(x: Any) -> Any:
        return model(x * 1.0, seed=1).sum(0) + 1

    assert torch.equal(torch.compile(around, backend="eager")(x), wanted.sum(0) + 1)


def test_torch_is_imported_when_nn_is_used_and_not_before() -> None:
    import subprocess
    import sys

    code = (
        "import sys, pyasync as pa; assert 'torch' not in sys.modules; "
        "assert 'nn' in dir(pa); sys.modules['torch'] = None\n"
        "try: pa.nn\n"
        "except pa.MissingDependencyError as error: assert 'pip install torch' in str(error)\n"
        "else: raise SystemExit('no error')\n"
        "try: import pyasync.nn\n"
        "except pa.MissingDependencyError: pass\n"
        "try: pa.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
