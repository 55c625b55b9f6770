"""PyTorch features that do not work here: kept away from the models, or refused by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from pyasync.errors import ArgumentError, GradientError, InputError, expected

Method = TypeVar("Method", bound=Callable[..., Any])


# Unsupported kinds of differentiation, each with what to use instead.
VMAP = "vmap", "a batch: x [T, B, ...] holds all samples of a call"
BATCHED_BACKWARD = "vmap over the backward", "one backward for each cotangent"
FORWARD_MODE = (
    "forward-mode differentiation",
    "reverse mode: loss.backward() or torch.autograd.grad",
)
DOUBLE_BACKWARD = (
    "double backward",
    "first derivatives: the reverse pass itself is not differentiable",
)


def refuse(given: str, accepted: str) -> NoReturn:
    """Raise a GradientError that names the unsupported kind of differentiation."""
    raise GradientError(expected("gradient", given, accepted))


def uncompiled(method: Method) -> Method:
    """Keep a method out of what torch.compile compiles, without importing the compiler."""
    lazily: list[Any] = []

    @wraps(method)
    def outside(*args: Any, **options: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return method(*args, **options)
        if not lazily:
            lazily.append(torch.compiler.disable(method))  # type: ignore[no-untyped-call]
        return lazily[0](*args, **options)

    outside._torchdynamo_disable = True  # type: ignore[attr-defined]
    return outside  # type: ignore[return-value]


def number_type(
    tensors: list[torch.Tensor | None], like: torch.Tensor
) -> tuple[torch.dtype, torch.device]:
    """Common dtype and device of all parameters, or those of `like` if there are none."""
    kinds = {(each.dtype, each.device) for each in tensors if each is not None}
    kinds = kinds or {(like.dtype, like.device)}
    (dtype, device), *others = kinds
    if others or dtype not in (torch.float32, torch.float64):
        given = " and ".join(f"{dtype} on {device}" for dtype, device in sorted(kinds, key=str))
        accepted = "all of them torch.float32, or all torch.float64, on one device"
        raise InputError(expected("parameters", given, accepted))
    return dtype, device


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == torch.float64 else np.float32)


def refuse_autocast(device: torch.device) -> None:
    try:
        on = torch.is_autocast_enabled(device.type)
    except TypeError:  # PyTorch before 2.4
        on = device.type == "cpu" and torch.is_autocast_cpu_enabled()
    except RuntimeError:  # a device that knows no autocast
        on = False
    if on:
        accepted = (
            "float32 or float64 throughout: torch.autocast(..., enabled=False) around the model"
        )
        raise GradientError(expected("gradient", "autocast", accepted))


def transforms() -> list[str]:
    """Names of the active function transforms (`torch.func`, batched gradients)."""
    functorch = getattr(torch._C, "_functorch", None)
    stack = getattr(functorch, "get_interpreter_stack", lambda: None)() or ()
    return [str(each.key()) for each in stack]


def numbers(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Current values of a tensor as an array, even if a function transform wraps the tensor."""
    if tensor.dtype == torch.bfloat16:  # NumPy lacks it, and float32 holds its values exactly
        tensor = tensor.float()
    if not transforms():
        return tensor.numpy(force=True)
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    with torch._C._DisableFuncTorch():  # or the transform would also act on what `numpy` does
        return tensor.numpy(force=True)


def plain(error: type[ArgumentError], argument: str, given: Any) -> Any:
    """Convert a tensor to an array; return anything else unchanged."""
    if not isinstance(given, torch.Tensor):
        return given
    try:
        return numbers(given)
    except (TypeError, RuntimeError) as cause:
        what = f"a tensor of {given.dtype}, layout {given.layout}, on {given.device} ({cause})"
        raise error(expected(argument, what, "a dense tensor that NumPy can hold")) from cause


def transforms_but_vmap() -> list[str]:
    """As `transforms`, but refuse vmap: its tensors have no values, and errors would be obscure."""
    names = transforms()
    if any(name.endswith("Vmap") for name in names):
        refuse(*VMAP)
    return names
