"""Modules between populations: each matches the engine's projection, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

IMAGE = (2, 9, 11)
CSR = ([0, 2, 3, 3], [1, 19, 4], [0.5, -0.25, 1.0])
MAPS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(20, 7), (20,)),
    "linear of an image": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(198, 7)), IMAGE),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 10)),
    "conv2d": (lambda: nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), IMAGE),
    "dilated": (lambda: nn.Conv2d(2, 4, 3, dilation=2), IMAGE),
    "same": (lambda: nn.Conv2d(2, 4, 3, padding="same"), IMAGE),
    "valid": (lambda: nn.Conv2d(2, 4, 3, padding="valid"), IMAGE),
    "average": (lambda: nn.AvgPool2d(3, 2, 1), IMAGE),
    "sum": (lambda: pa.nn.SumPool2d((2, 3)), IMAGE),
    "conv, average": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2)), IMAGE),
    "conv, overlapping sum": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), pa.nn.SumPool2d((3, 2), (1, 2))
        ),
        IMAGE,
    ),
    "average, linear": (
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(40, 7)),
        IMAGE,
    ),
    "overlapping padded sum, linear": (
        lambda: nn.Sequential(
            pa.nn.SumPool2d((3, 2), (2, 1), (1, 0)), nn.Flatten(), nn.Linear(100, 7, bias=False)
        ),
        IMAGE,
    ),
    "average, conv": (
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 4, (3, 2), (1, 2), groups=2)),
        IMAGE,
    ),
    "overlapping padded average, dilated conv": (
        lambda: nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 4, (2, 3), dilation=2)),
        IMAGE,
    ),
    "sum, padded conv": (
        lambda: nn.Sequential(pa.nn.SumPool2d((3, 11)), nn.Conv2d(2, 4, 3, 2, 1)),
        IMAGE,
    ),
    "average, conv, sum": (
        lambda: nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(2, 4, 2, stride=(2, 1)), pa.nn.SumPool2d((1, 3))
        ),
        IMAGE,
    ),
    "sparse": (lambda: pa.nn.Sparse(CSR, (3, 20)), (20,)),
    "sparse, biased": (lambda: pa.nn.Sparse(CSR, (3, 20), [0.5, 0.0, -0.25]), (20,)),
    "one to one": (lambda: pa.nn.OneToOne(torch.linspace(-1, 1, 20)), (20,)),
    "one weight": (lambda: pa.nn.OneToOne(0.5), (20,)),
    "nested": (lambda: nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(20, 3))), (20,)),
}


def around(module: nn.Module, shape: tuple[int, ...]) -> pa.nn.AsyncSequential:
    """The map followed by neurons that never fire, whose potentials are the map's output."""
    # A threshold learned in float64 makes even a model without weights compute in float64.
    lif = pa.nn.LIF(v_threshold=1e6, learn_threshold=True).to(torch.float64)
    options = {"input_shape": shape, "schedule": pa.Fifo(1), "dt": 1e-3}
    return pa.nn.AsyncSequential(module, lif, **options).eval()


@pytest.mark.parametrize("name", MAPS)
def test_a_map_gives_what_the_module_gives(name: str) -> None:
    make, shape = MAPS[name]
    torch.manual_seed(0)
    module = make().double()
    x = torch.randn(1, 3, *shape, dtype=torch.float64)
    model = around(module, shape)
    _, state = model(x, return_state=True)
    wanted = module(x[0]).flatten(1).detach()
    torch.testing.assert_close(state.v.detach(), wanted, rtol=1e-12, atol=1e-12)
    kept = pa.simulate(model.network(), x.numpy(), pa.Fifo(1), dt=1e-3, keep=("v",))
    np.testing.assert_array_equal(kept.v, state.v.detach().numpy())


@pytest.mark.parametrize("name", MAPS)
def test_the_gradient_of_a_map_is_the_modules(name: str, gradient: str) -> None:
    """Below the threshold, potentials are linear in weights and input: autograd is exact."""
    make, shape = MAPS[name]
    torch.manual_seed(0)
    module = make().double()
    parameters = list(module.parameters())
    x = torch.randn(1, 3, *shape, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(3, module(x[0]).flatten(1).shape[1], dtype=torch.float64)
    wanted = torch.autograd.grad(module(x[0]).flatten(1), [x, *parameters], cotangent)
    model = around(module, shape)
    model.gradient, model.gradient_scope = gradient, "spikes"
    _, state = model(x, return_state=True)
    found = torch.autograd.grad(state.v, [x, *parameters], cotangent)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("modules", "shape", "says"),
    [
        ([nn.ReLU()], (4,), "module: got ReLU.*accepted: nn.Linear"),
        ([nn.Dropout(0.2)], (4,), "module: got Dropout.*accepted: the model's input_dropout"),
        ([nn.MaxPool2d(2)], IMAGE, "module: got MaxPool2d.*AvgPool2d"),
        ([nn.BatchNorm2d(2)], IMAGE, "module: got BatchNorm2d.*fuse_conv_bn_eval"),
        (
            [nn.Linear(4, 3), nn.BatchNorm1d(3)],
            (4,),
            "module: got BatchNorm1d.*fuse_linear_bn_eval",
        ),
        ([nn.Linear(4, 3), nn.Linear(3, 2)], (4,), "module: got Linear.* then Linear"),
        ([nn.AvgPool2d(3), nn.AvgPool2d(2)], IMAGE, "module: got AvgPool2d.* then AvgPool2d"),
        ([nn.Linear(4, 3), nn.AvgPool2d(2)], (4,), "module: got Linear.* then AvgPool2d"),
        ([nn.AvgPool2d(2), nn.Conv2d(2, 4, 3, padding=1)], IMAGE, "Conv2d.padding: got .1, 1"),
        ([nn.AvgPool2d(3, 2), nn.Conv2d(2, 4, 1, 1, 1)], IMAGE, "Conv2d.padding: got .1, 1"),
        ([nn.AvgPool2d(2, padding=1), nn.Conv2d(2, 4, 1, 1, 1)], IMAGE, "Conv2d.padding: got"),
        ([nn.AvgPool2d(2), nn.Linear(5, 3)], IMAGE, "weight: got shape .3, 5."),
        ([nn.AvgPool2d(2), nn.Conv2d(2, 4, 9)], IMAGE, "kernel_size: got"),
        ([nn.AvgPool2d(2, ceil_mode=True), nn.Linear(4, 3)], IMAGE, "AvgPool2d.ceil_mode"),
        ([nn.Identity()], (4,), "module: got no linear map"),
        ([nn.Conv2d(2, 4, 3, padding_mode="circular")], IMAGE, "padding_mode: got 'circular'"),
        ([nn.Conv2d(2, 4, 2, padding="same")], IMAGE, "padding: got 'same'"),
        ([nn.AvgPool2d(2, ceil_mode=True)], IMAGE, "AvgPool2d.ceil_mode: got True"),
        ([nn.AvgPool2d(3, 1, 1, count_include_pad=False)], IMAGE, "AvgPool2d.count_include_pad"),
        ([nn.AvgPool2d(2, divisor_override=3)], IMAGE, "AvgPool2d.divisor_override: got 3"),
        ([nn.Conv2d(2, 4, 3, dilation=2), nn.AvgPool2d(2)], IMAGE, "Conv2d.dilation: got"),
        ([nn.Conv2d(2, 4, 3), nn.AvgPool2d(3, 3, 1)], IMAGE, "padding of the pooling: got"),
        ([nn.Conv2d(2, 4, 3), pa.nn.SumPool2d(2**31)], IMAGE, "kernel_size: got .2147483648, 2147"),
        ([pa.nn.SumPool2d(2**31, 1, 2**30)], IMAGE, "kernel_size: got .2147483648, 2147483648"),
        ([nn.Flatten(), nn.Conv2d(2, 4, 3)], IMAGE, "module: got nn.Flatten before Conv2d"),
        ([nn.Flatten(0), nn.Linear(4, 3)], (4,), "Flatten: got start_dim=0"),
        ([nn.Linear(5, 3)], (4,), "weight: got shape .3, 5."),
        ([nn.Conv2d(3, 4, 3)], IMAGE, "weight: got"),
        ([nn.LazyLinear(3)], (4,), "weight: got LazyLinear.*initialised"),
        ([pa.nn.OneToOne(5)], (4,), "weight: got"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_is_no_projection_is_refused_by_name(
    modules: list[nn.Module], shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(pa.NetworkError, match=rf"^{says}"):
        around(nn.Sequential(*modules), shape)


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Residual(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class Scaling(nn.Identity):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Kernel(nn.Conv2d):
    def _conv_forward(self, x: Any, weight: Any, bias: Any) -> torch.Tensor:
        return super()._conv_forward(x, weight.abs(), bias)


class Renamed(nn.Linear):
    """A Linear in all but its name."""


@pytest.mark.parametrize(
    ("module", "shape", "says"),
    [
        (Doubled(4, 3), (4,), "Doubled, of kind Linear with its own forward"),
        (Residual(nn.Linear(4, 4)), (4,), "Residual, of kind Sequential with its own forward"),
        (nn.Sequential(Scaling(), nn.Linear(4, 3)), (4,), "Scaling, of kind Identity with its own"),
        (Kernel(2, 4, 2), IMAGE, "Kernel, of kind Conv2d with its own _conv_forward"),
    ],
)
def test_a_module_that_computes_otherwise_than_its_kind_is_refused(
    module: nn.Module, shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(pa.NetworkError, match=rf"^module: got {says}.*parametrize"):
        around(module, shape)


def test_a_subclass_that_computes_as_its_kind_does_is_taken() -> None:
    around(Renamed(4, 3), (4,))
    patched = nn.Linear(4, 3)
    patched.forward = lambda x: x  # type: ignore[method-assign]
    with pytest.raises(pa.NetworkError, match=r"^module: got Linear, of kind Linear with its own"):
        around(patched, (4,))


def test_a_weight_that_a_hook_computes_is_refused_and_a_parametrised_one_is_learned(
    gradient: str,
) -> None:
    from torch.nn.utils import parametrizations, prune

    pruned = prune.l1_unstructured(nn.Linear(20, 4), "weight", amount=0.5)
    with pytest.raises(pa.NetworkError, match=r"^weight: got a tensor that a hook computes.*prune"):
        around(pruned, (20,))
    prune.remove(pruned, "weight")
    around(pruned, (20,))
    normed = parametrizations.weight_norm(nn.Linear(20, 4))
    model = around(normed.double(), (20,))
    model.gradient = gradient
    _, state = model(torch.ones(1, 2, 20), return_state=True)
    state.v.sum().backward()
    assert all(p.grad is not None for p in normed.parameters())


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_takes_what_a_matrix_comes_as() -> None:
    matrix = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], dtype=torch.float64)
    sparse = pytest.importorskip("scipy.sparse")
    ours = [pa.nn.Sparse(matrix.to_sparse_csr()), pa.nn.Sparse(sparse.csr_matrix(matrix.numpy()))]
    for each in ours:
        assert each.weight.tolist() == [2.0, 1.0, 3.0]
        torch.testing.assert_close(each(torch.eye(3).double()), matrix.T)
    assert ours[0].weight.dtype == torch.float64
    assert pa.nn.Sparse(CSR, (3, 20)).weight.dtype == torch.get_default_dtype()
    with pytest.raises(pa.NetworkError, match=r"^csr: got a tensor of layout"):
        pa.nn.Sparse(matrix)
    with pytest.raises(pa.NetworkError, match=r"^indices: got 3"):
        pa.nn.Sparse(([0, 1], [3], [1.0]), (1, 3))


def test_narrow_floats_become_parameters_of_the_default_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        weight = torch.tensor([0.5, 1.5], dtype=dtype)
        sparse = pa.nn.Sparse(([0, 1, 2], [0, 1], weight), (2, 2), bias=weight)
        for parameter in (pa.nn.OneToOne(weight).weight, sparse.weight, sparse.bias):
            assert parameter.dtype == torch.get_default_dtype()
            assert parameter.tolist() == [0.5, 1.5]
        linear = nn.Linear(2, 2, dtype=dtype)
        with pytest.raises(pa.InputError, match=rf"^parameters: got {dtype} on cpu"):
            pa.nn.AsyncSequential(linear, pa.nn.LIF(), schedule=pa.Fifo(1), dt=1e-3).network()


@pytest.mark.parametrize("odd", [{"device": "meta"}, {"dtype": torch.float8_e5m2}])
def test_a_tensor_without_numbers_that_numpy_can_hold_is_named(odd: dict[str, Any]) -> None:
    tensor = torch.zeros(2, **odd)
    model = around(nn.Linear(2, 2).double(), (2,))
    for call, says in (
        (lambda: pa.nn.OneToOne(tensor), "weight"),
        (lambda: pa.nn.Sparse(([0, 1, 2], [0, 1], tensor), (2, 2)), "csr"),
        (lambda: pa.nn.Sparse(([0, 1, 2], [0, 1], [1.0, 1.0]), (2, 2), tensor), "bias"),
        (lambda: pa.nn.LIF(tau_mem=tensor), "tau_mem"),
        (lambda: pa.nn.LIF(v_threshold=tensor), "v_threshold"),
        (lambda: model(torch.ones(1, 2, 2), sample_ids=tensor), "sample_ids"),
    ):
        with pytest.raises(pa.PyasyncError, match=rf"^{says}: got a tensor of"):
            call()
