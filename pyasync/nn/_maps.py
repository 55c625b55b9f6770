"""Read the modules between two populations as one projection with differentiable weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pyasync import projections
from pyasync.errors import NetworkError, expected
from pyasync.nn._limits import numbers
from pyasync.nn._modules import OneToOne, Sparse, SumPool2d
from pyasync.nn._pooling import (
    POOLS,
    check_after,
    check_average,
    check_before,
    conv_after,
    conv_before,
    linear_after,
    pair,
)
from pyasync.projections import Projection, Shape
from pyasync.projections._window import same_padding

Weights = tuple[torch.Tensor | None, torch.Tensor | None]
ACCEPTED = (
    "nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool2d, pa.nn.SumPool2d, pa.nn.OneToOne or "
    "pa.nn.Sparse; a pooling and nn.Linear or nn.Conv2d after it; nn.Conv2d and a pooling after "
    "it; with nn.Flatten and nn.Identity around them"
)
CONVS = (nn.Conv1d, nn.Conv2d)
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool2d, SumPool2d, OneToOne, Sparse)
ADVICE: dict[type[nn.Module], str] = {
    nn.modules.dropout._DropoutNd: "the model's input_dropout, spike_dropout, refractory_dropout",
    nn.modules.batchnorm._BatchNorm: (
        "no normalisation, since there is no batch of currents; a trained one, in evaluation mode, "
        "folded into the map before it by torch.nn.utils.fusion: fuse_conv_bn_eval or "
        "fuse_linear_bn_eval"
    ),
    nn.MaxPool2d: "a linear map: nn.AvgPool2d or pa.nn.SumPool2d",
}


class Map:
    """One linear map: what the engine is given, and which tensors the gradient flows to.

    Parameters
    ----------
    modules : sequence of nn.Module
        The modules between two populations.
    source_shape : tuple of int
        Shape of the source.
    """

    def __init__(self, modules: Sequence[nn.Module], source_shape: Shape) -> None:
        self.source_shape = source_shape
        flat = False
        core: list[nn.Module] = []
        for module in leaves_of(modules):
            if isinstance(module, nn.Flatten):
                _refuse_own_forward(module, (nn.Flatten,))
                if (module.start_dim, module.end_dim) != (1, -1):
                    given = f"start_dim={module.start_dim}, end_dim={module.end_dim}"
                    raise NetworkError(expected("Flatten", given, "start_dim=1, end_dim=-1"))
                flat = flat or not core
            elif isinstance(module, LINEAR):
                core.append(module)
            else:
                raise NetworkError(expected("module", _name(module), _advice(module)))
        layers = core[1:] if len(core) > 1 and isinstance(core[0], POOLS) else core
        if len(layers) == 2 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], POOLS):
            layers = layers[:1]
        if len(layers) != 1 or (
            len(core) > 1 and not isinstance(layers[0], (nn.Conv2d, nn.Linear))
        ):
            given = " then ".join(map(_name, core)) or "no linear map"
            raise NetworkError(expected("module", f"{given} between populations", ACCEPTED))
        if flat and not isinstance(core[0], (nn.Linear, Sparse, OneToOne)):
            given = f"nn.Flatten before {_name(core[0])}"
            raise NetworkError(expected("module", given, "a map of what is flat: nn.Linear"))
        self.module = layers[0]
        self.pool_before = core[0] if core[0] is not self.module else None
        self.pool_after = core[-1] if core[-1] is not self.module else None
        for module in core:
            _refuse_own_forward(module, LINEAR)
        refuse_hooked(self.module)
        padding = _padding(self.module) if isinstance(self.module, CONVS) else ()
        #: What the layer sees: the source, or the pooling before it.
        self.layer_shape = source_shape
        if self.pool_before is not None:
            self.layer_shape = check_before(self.pool_before, self.module, padding, source_shape)
        if self.pool_after is not None:
            check_after(self.pool_after, self.module, padding, self.layer_shape)
        self.window = self._window(padding) if isinstance(self.module, CONVS) else ()
        self.template = self._template()
        self.output_shape = self.template.output_shape(source_shape)

    def tensors(self) -> Weights:
        """Current weight, in the shape of the projection's parameter, and bias; None if absent.

        Autograd connects them to the modules' Parameters.
        """
        module: Any = self.module
        if isinstance(module, POOLS):
            return None, None
        if isinstance(module, OneToOne):
            return module.weight.expand(math.prod(self.source_shape)), None
        weight, bias = module.weight, getattr(module, "bias", None)
        if self.pool_before is not None and isinstance(module, nn.Linear):
            weight = linear_after(self.pool_before, weight, self.source_shape, self.layer_shape)
        elif self.pool_before is not None:
            weight = conv_after(self.pool_before, weight, module.dilation)
        if self.pool_after is not None:
            weight, bias = conv_before(self.pool_after, weight, bias, self.window[0])
        return weight, bias

    def projection(self) -> Projection:
        """The projection with the current weights, for an independent network."""
        weight, bias = self.tensors()
        if isinstance(self.module, OneToOne):
            weight = self.module.weight
        return self._filled(_array(weight), _array(bias))

    def parts(
        self, weight: torch.Tensor | None, bias: torch.Tensor | None, dtype: Any
    ) -> tuple[Any, Any]:
        """The engine's arguments for these weights: the projection, and one bias per neuron.

        The engine copies from the tensors' own memory, and refuses values that are not finite.
        """
        arrays = {"bias": _array(bias)}
        if weight is not None:
            name = "data" if isinstance(self.template, projections.Sparse) else "weight"
            arrays[name] = _array(weight)
        projection = self.template.with_arrays(**arrays)
        flat_bias = projection.flat_bias(self.output_shape, dtype)
        return projection.parts(self.source_shape, dtype), flat_bias

    def _template(self) -> Projection:
        if isinstance(self.module, OneToOne):
            projection = projections.OneToOne(_array(self.module.weight))
            projection.output_shape(self.source_shape)
        return self._filled(*(_array(each) for each in self.tensors()))

    def _filled(self, weight: Any, bias: Any) -> Projection:
        module: Any = self.module
        if isinstance(module, nn.Linear):
            return projections.Linear(weight, bias)
        if isinstance(module, Sparse):
            return projections.Sparse(
                (_array(module.indptr), _array(module.indices), weight), module.shape, bias
            )
        if isinstance(module, OneToOne):
            return projections.OneToOne(weight)
        if isinstance(module, SumPool2d):
            return projections.SumPool2d(module.kernel_size, module.stride, module.padding)
        if isinstance(module, nn.AvgPool2d):
            check_average(module)
            return projections.AvgPool2d(module.kernel_size, module.stride, module.padding)
        stride, padding, dilation = self.window
        if self.pool_after is not None:
            stride = _times(stride, self.pool_after.stride)
        kind = projections.Conv1d if isinstance(module, nn.Conv1d) else projections.Conv2d
        return kind(weight, bias, stride, padding, dilation, module.groups)

    def _window(self, padding: tuple[int, ...]) -> tuple[Any, ...]:
        """Stride, padding and dilation of the convolution, with the pooling before it if any."""
        module: Any = self.module
        pool = self.pool_before
        if pool is None:
            return module.stride, padding, module.dilation
        padding = np.add(_times(padding, pool.stride), pair(pool.padding)).tolist()
        return _times(module.stride, pool.stride), tuple(padding), (1, 1)


def _times(each: Any, factors: Any) -> tuple[int, ...]:
    return tuple(np.multiply(each, pair(factors)).tolist())


def leaves_of(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The modules in order, with every `nn.Sequential` expanded and every `nn.Identity` left out.

    NetworkError if one is not a module, or one of these two is a subclass with its own forward.
    """
    leaves: list[nn.Module] = []
    for module in modules:
        if not isinstance(module, nn.Module):
            raise NetworkError(expected("module", type(module).__name__, ACCEPTED))
        if isinstance(module, nn.Sequential):
            _refuse_own_forward(module, (nn.Sequential,))
            leaves += leaves_of(list(module))
        elif isinstance(module, nn.Identity):
            _refuse_own_forward(module, (nn.Identity,))
        else:
            leaves.append(module)
    return leaves


def _refuse_own_forward(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Refuse a subclass with its own forward: modules are read, not called, so it would not run."""
    kind = next(each for each in kinds if isinstance(module, each))
    # The forward of a convolution delegates to a second method.
    for name in ("forward", "_conv_forward"):
        if name in vars(module) or getattr(type(module), name, None) is not getattr(
            kind, name, None
        ):
            given = f"{type(module).__name__}, of kind {kind.__name__} with its own {name}"
            accepted = (
                f"{kind.__name__}.{name}: modules are read, not called. Weights may be computed by "
                "torch.nn.utils.parametrize"
            )
            raise NetworkError(expected("module", given, accepted))


def refuse_hooked(module: nn.Module) -> None:
    """Refuse weights that a hook computes on each call (old weight_norm, pruning): none is made."""
    for name in ("weight", "bias"):
        value = module.__dict__.get(name)
        if isinstance(value, torch.Tensor):
            accepted = "a Parameter or torch.nn.utils.parametrizations; after pruning, prune.remove"
            raise NetworkError(expected(name, "a tensor that a hook computes", accepted))
        if isinstance(module._parameters.get(name), nn.parameter.UninitializedParameter):
            accepted = "initialised weights: give sizes, nn.Linear(n_in, n_out)"
            raise NetworkError(expected(name, _name(module), accepted))


def _padding(module: Any) -> tuple[int, ...]:
    if module.padding_mode != "zeros":
        raise NetworkError(expected("padding_mode", repr(module.padding_mode), "'zeros'"))
    if not isinstance(module.padding, str):
        return tuple(module.padding)
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    padding = same_padding(module.kernel_size, module.dilation)
    if padding is None:
        accepted = "as much padding on both sides: an odd kernel_size, or integers"
        raise NetworkError(expected("padding", "'same'", accepted))
    return padding


def _array(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else numbers(tensor)


def _name(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"


def _advice(module: nn.Module) -> str:
    return next((text for kind, text in ADVICE.items() if isinstance(module, kind)), ACCEPTED)
