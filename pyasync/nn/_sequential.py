"""Chains of linear maps and populations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.parameter import is_lazy

from pyasync._checks import entries
from pyasync.errors import NetworkError, expected
from pyasync.nn._base import AsyncModule
from pyasync.nn._maps import Map, leaves_of, refuse_hooked
from pyasync.nn._modules import OneToOne, Sparse
from pyasync.nn._neuron import A_LIF, LIF
from pyasync.nn._plan import Plan

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pyasync.nn._options import Options


class AsyncSequential(AsyncModule):
    """A chain of linear maps and populations, run and trained without layer synchronisation.

    There is one linear map before the first `LIF` and one between each two: `nn.Linear`,
    `nn.Conv1d`, `nn.Conv2d`, `nn.AvgPool2d`, `SumPool2d`, `OneToOne` or `Sparse`. `nn.Flatten`,
    `nn.Identity` and `nn.Sequential` may be used around it. A pooling right before `nn.Linear` or
    `nn.Conv2d`, or right after `nn.Conv2d`, counts as part of that map: together they run, and
    learn, as one. The maps are read, not called, so their hooks do not run.

    State is fresh on every call; nothing has to be reset.

    Parameters
    ----------
    *modules : nn.Module
        From the input to the output, with a `LIF` last. State dicts name them "0", "1", …, as in
        `nn.Sequential`.
    input_shape : int or tuple of int, optional
        Shape of one timestep's input, such as (2, 34, 34). Not needed if the first map knows its
        number of inputs (`nn.Linear`, `Sparse`, `OneToOne` with one weight each); then, unless it
        is given, the input has to be flat: [T, B, n_inputs].
    names : sequence of str, optional
        Names of the populations; "1", "2", … if not given.
    **options
        `schedule` and `dt`, which are required, and the other options of `AsyncModule`.

    Raises
    ------
    NetworkError
        If a module is not accepted where it stands, or shapes do not fit.
    InputError, ScheduleError
        If an option is not as described.

    Examples
    --------
    >>> import torch, pyasync as pa
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = pa.nn.AsyncSequential(
    ...     nn.Linear(20, 16), pa.nn.LIF(v_threshold=0.1),
    ...     nn.Linear(16, 3), pa.nn.LIF(v_threshold=0.1),
    ...     schedule=pa.Random(8), dt=10e-3, refractory_dropout=0.8,
    ... )
    >>> x = torch.rand(10, 4, 20) < 0.3
    >>> counts = model(x)
    >>> counts.shape
    torch.Size([10, 4, 3])
    >>> y = torch.tensor([0, 1, 2, 0])
    >>> pa.nn.functional.rate_cross_entropy(counts, y).backward()
    >>> model.network()
    Network(20 -> 1[16] -> 2[3], 2 projections, float32)
    """

    def __init__(
        self,
        *modules: nn.Module,
        input_shape: int | Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        for index, module in enumerate(modules):
            if not isinstance(module, nn.Module):
                accepted = f"linear maps and {A_LIF}"
                raise NetworkError(expected("modules", type(module).__name__, accepted))
            self.add_module(str(index), module)
        if names is not None:
            names = list(entries(NetworkError, "names", names, "names, one a LIF"))
        self._names = names
        self._input_shape = _first_shape(modules) if input_shape is None else input_shape
        self._cached: tuple[list[Any], Plan] | None = None
        self._plan()

    def __len__(self) -> int:
        """Return the number of modules."""
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        """Iterate over the modules."""
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> nn.Module:
        """Return the module at a position."""
        return list(self)[index]

    def _plan(self) -> Plan:
        leaves = leaves_of(list(self))
        token = signature(leaves)
        if self._cached is None or not same(self._cached[0], token):
            self._cached = token, self._build(leaves)
        return self._cached[1]

    def _build(self, leaves: list[nn.Module]) -> Plan:
        plan, source, between = Plan(self._input_shape), "input", list[nn.Module]()
        count = sum(isinstance(each, LIF) for each in leaves)
        names = [str(n + 1) for n in range(count)] if self._names is None else self._names
        if len(names) != count:
            given, accepted = f"{len(names)} of them", f"{count}, one a LIF"
            raise NetworkError(expected("names", given, accepted))
        remaining = iter(names)
        for module in leaves:
            if not isinstance(module, LIF):
                between.append(module)
                continue
            name = next(remaining)
            plan.add(name, Map(between, plan.shape_of(source)).output_shape, module)
            plan.connect(source, name, between)
            source, between = name, []
        if between or source == "input":
            given = (
                "no pa.nn.LIF" if source == "input" else f"{type(between[0]).__name__} at the end"
            )
            raise NetworkError(
                expected("modules", given, "linear maps each followed by a pa.nn.LIF")
            )
        return plan


def signature(leaves: Sequence[nn.Module]) -> list[Any]:
    """What a plan depends on: the modules, their parameters' names and shapes, and their settings.

    The settings are the synapses of `Sparse`, the windows of convolutions and poolings, and how
    neurons fire. The plan holds a copy, so it is rebuilt when the signature changes.
    """
    token: list[Any] = []
    for leaf in leaves:
        own = leaf._parameters
        shapes = (None if p is None or is_lazy(p) else p.shape for p in own.values())
        constants = (getattr(leaf, name) for name in getattr(leaf, "__constants__", ()))
        fixed = (tuple(each) if isinstance(each, list) else each for each in constants)
        token += [leaf, tuple(own), *shapes, *fixed]
        if isinstance(leaf, Sparse):
            for buffer in (leaf.indptr, leaf.indices):
                token += [buffer, None if buffer.is_inference() else buffer._version]
    return token


def same(a: list[Any], b: list[Any]) -> bool:
    """Whether two signatures describe the same, unchanged modules."""
    return len(a) == len(b) and all(
        x is y or (isinstance(x, (tuple, str, int)) and x == y) for x, y in zip(a, b, strict=True)
    )


def _first_shape(modules: Sequence[nn.Module]) -> int:
    """Number of input channels, if the first linear map knows it."""
    leaves = [each for each in leaves_of(modules) if not isinstance(each, nn.Flatten)]
    first = leaves[0] if leaves else None
    if first is not None:
        refuse_hooked(first)
    if isinstance(first, nn.Linear):
        return first.in_features
    if isinstance(first, Sparse):
        return first.shape[1]
    if isinstance(first, OneToOne) and first.weight.ndim:
        return math.prod(first.weight.shape)
    given = f"None before {type(first).__name__}"
    raise NetworkError(expected("input_shape", given, "the shape of one timestep's input"))
