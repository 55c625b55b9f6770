"""Masked, ragged, unreadable and unprintable arguments, non-flags and non-lists are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyasync as pa

NETWORK = pa.Network.sequential([pa.Linear(np.eye(2) * 2)])
X = np.ones((3, 2, 2))
RAGGED = [[1], [1, 2]]
BATCH = pa.SpikeBatch([0, 1, 1], [0, 1, 2, 3], n_timesteps=1, input_shape=2)
MULTIPLE = pa.SpikeBatch([0, 1], [0, 2], 1, 2, multiplicity=[12.5, 70000.0])


def run(x: Any = X, network: pa.Network = NETWORK, **options: Any) -> pa.Result:
    return pa.simulate(network, x, **{"dt": 1e-3, **options})


def stream(batches: Any, **options: Any) -> list[pa.Result]:
    return list(pa.simulate_stream(NETWORK, batches, **{"dt": 1e-3, **options}))


@pytest.mark.parametrize("load", [pa.data.nmnist, pa.data.shd, pa.data.dvsgesture])
def test_a_loader_names_what_is_no_split_and_no_flag(load: Callable[..., Any]) -> None:
    for split in ("validation", None, np.array(["train", "test"]), np.zeros((1, 0))):
        refused(lambda split=split: load(".", split), "split: got .*; accepted: 'train', 'test'")
    for given in ("no", 1, None):
        refused(lambda given=given: load(".", binary=given), "binary: got .*; accepted: True or Fa")


def test_a_time_unit_far_above_the_timestep_is_none_to_stumble_over() -> None:
    events = np.zeros(2, [("t", "i8"), ("x", "i4")])
    batch = pa.SpikeBatch.from_events([events], (1, 1, 1), dt=1e-3, time_unit=2.0**70)
    assert (batch.n_timesteps, batch.n_events) == (1, 1)


def masked(values: Any) -> Any:
    return np.ma.masked_array(values, mask=np.ones(np.shape(values), bool))


FIRED = ("neuron", "v", "skipped", "lost")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


def refused(call: Callable[[], Any], says: str, error: Any = pa.InputError) -> None:
    with pytest.raises(error, match=rf"^{says}"):
        call()


FLAGS: list[tuple[str, Callable[[Any], Any]]] = [
    ("record", lambda flag: run(record=flag).trace is not None),
    ("progress", lambda flag: run(progress=flag) and flag),
    ("batch_first", lambda flag: run(batch_first=flag).n_samples == 3),
    ("batch_first", lambda flag: stream([X], batch_first=flag)[0].n_samples == 3),
    ("batch_first", lambda flag: len(pa.SpikeBatch.from_dense(X, batch_first=flag)) == 3),
    ("batch_first", lambda flag: len(BATCH.to_dense(batch_first=flag)) == 3),
]


@pytest.mark.parametrize(("argument", "call"), FLAGS)
def test_only_true_and_false_are_flags(argument: str, call: Callable[[Any], Any]) -> None:
    for fine in (True, False, np.True_, np.False_):
        assert call(fine) == fine
    for given, says in (("no", "'no'"), (1, "1"), (None, "None"), (np.ones(3), r"array\(")):
        refused(lambda given=given: call(given), f"{argument}: got {says}.*; accepted: True or Fa")


ARRAYS: list[tuple[str, Callable[[Any], Any]]] = [
    ("x", lambda given: run(given)),
    ("x", lambda given: stream([given])),
    ("x", lambda given: pa.SpikeBatch.from_dense(given)),
    ("sample_ids", lambda given: run(sample_ids=given)),
    ("initial_v", lambda given: run(initial_v=given)),
    ("initial_current", lambda given: run(initial_current=given)),
    ("channel", lambda given: pa.SpikeBatch(given, [0, 2], 1, 2)),
    ("multiplicity", lambda given: pa.SpikeBatch([0, 1], [0, 2], 1, 2, given)),
    ("index", lambda given: BATCH[given]),
    ("y", lambda given: run().accuracy(given)),
    ("y", lambda given: run().latency_to_correct(given)),
    ("y", lambda given: run().anytime_accuracy(given)),
    ("k", lambda given: run().anytime(given)),
    ("k", lambda given: run().anytime_accuracy([0, 0], given)),
    ("indices", lambda given: pa.Sparse(([0, 2], given, [1.0, 1.0]), (1, 2))),
    ("pick", lambda given: run(schedule=pa.Custom(2, lambda pending, n, rng: given))),
]
each_array = pytest.mark.parametrize(("argument", "call"), ARRAYS)


@each_array
def test_a_mask_is_not_lost_silently(argument: str, call: Callable[[Any], Any]) -> None:
    given = masked(X if argument == "x" else [0, 1])
    refused(lambda: call(given), f"{argument}: got a masked array", pa.PyasyncError)


@each_array
def test_a_ragged_list_is_named(argument: str, call: Callable[[Any], Any]) -> None:
    given = [RAGGED] if argument == "x" else RAGGED
    refused(lambda: call(given), f"{argument}: got ", pa.PyasyncError)


@each_array
def test_a_tensor_that_numpy_cannot_read_is_named(
    argument: str, call: Callable[[Any], Any]
) -> None:
    torch = pytest.importorskip("torch")
    for odd in ({"device": "meta"}, {"dtype": torch.bfloat16}):
        given = torch.ones((3, 2, 2) if argument == "x" else 2, **odd)
        refused(lambda given=given: call(given), f"{argument}: got Tensor ", pa.PyasyncError)


@pytest.mark.parametrize("form", ["coo", "csc", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse_matrices_of_every_form_are_converted(form: str, kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    wanted = pa.Sparse(sparse.csr_array(dense))
    found = pa.Sparse(getattr(sparse, f"{form}_{kind}")(dense))
    assert found.shape == (2, 3)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_a_sparse_matrix_too_large_or_of_one_axis_is_named_before_it_is_converted() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    refused(lambda: pa.Sparse(sparse.coo_matrix((2**40, 2))), "shape: got", pa.NetworkError)
    refused(lambda: pa.Sparse(sparse.coo_array(np.ones(3))), "shape: got .3,.", pa.NetworkError)
    refused(
        lambda: pa.Sparse(np.eye(2)), "csr: got ndarray; accepted: a scipy.sparse", pa.NetworkError
    )


def test_tensors_that_require_a_gradient_are_read_without_it() -> None:
    torch = pytest.importorskip("torch")
    conv, linear = torch.nn.Conv2d(1, 2, 2), torch.nn.Linear(8, 3)
    tau_mem = torch.nn.Parameter(torch.tensor([0.01, 0.02, 0.03]))
    maps = pa.Conv2d(conv.weight, conv.bias), pa.Linear(linear.weight, linear.bias)
    network = pa.Network.sequential(maps, [pa.LIF(), pa.LIF(tau_mem)], input_shape=(1, 3, 3))
    for one, module in zip(maps, (conv, linear), strict=True):
        np.testing.assert_array_equal(one.weight, module.weight.detach().numpy())
        np.testing.assert_array_equal(one.bias, module.bias.detach().numpy())
    np.testing.assert_allclose(network.populations[1].neuron.tau_mem, [0.01, 0.02, 0.03])
    before = maps[1].weight.copy()
    with torch.no_grad():
        linear.weight.add_(1)
    np.testing.assert_array_equal(maps[1].weight, before)
    x = torch.full((2, 3, 1, 3, 3), 2.0)
    plain = pa.simulate(network, x, dt=1e-3, keep=("v",))
    for given in (x.clone().requires_grad_(), 1 * x.clone().requires_grad_()):
        result = pa.simulate(network, given, dt=1e-3, keep=("v",))
        np.testing.assert_array_equal(result.v, plain.v)


@pytest.mark.parametrize("kind", ["u8", ">u8"])
def test_unsigned_positions_do_not_wrap_round(kind: str) -> None:
    trace = run(record=True).trace
    assert trace is not None
    for index in (2**64 - 1, [2**64 - 2], [0, 2**63]):
        refused(lambda index=index: BATCH[np.array(index, kind)], "index: got .*3 samples")
        refused(lambda index=index: trace[np.array(index, kind)], "index: got", pa.ArgumentError)
    refused(lambda: BATCH[2**64 - 1], "index: got 18446744073709551615")
    assert BATCH[np.array([2, 0], kind)] == BATCH[[2, 0]]
    last = pa.Custom(1, lambda pending, n, rng: np.array([2**64 - 1], kind))
    refused(lambda: run(schedule=last), "pick: got", pa.ScheduleError)


@pytest.mark.parametrize("dtype", [np.float16, ">f2", np.int16, "U1", "S9", "m8[s]", "i4,i4", "?x"])
def test_a_dense_array_of_a_type_that_cannot_hold_a_multiplicity_is_refused(dtype: Any) -> None:
    refused(lambda: MULTIPLE.to_dense(dtype), "dtype: got ")


def test_no_multiplicity_becomes_infinite() -> None:
    large = pa.SpikeBatch([0], [0, 1], 1, 1, multiplicity=[1e300])
    refused(large.to_dense, "dtype: got float32; accepted: a dtype that holds the multiplicities")
    assert large.to_dense(np.float64).item() == 1e300
    assert MULTIPLE.to_dense(np.float32).ravel().tolist() == [12.5, 70000]
    assert BATCH.to_dense(np.float16).sum() == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda given: pa.SpikeBatch.from_events(given, (2, 1, 1), dt=1e-3), "events"),
        (pa.SpikeBatch.concatenate, "batches"),
        (stream, "batches"),
        (pa.Network.sequential, "projections"),
        (lambda given: pa.Network.sequential([pa.Linear(np.eye(2))], names=given), "names"),
        (pa.Trace.concatenate, "traces"),
    ],
)
def test_what_is_no_list_is_named(call: Callable[[Any], Any], says: str) -> None:
    for given in (3, np.array(2)):
        refused(lambda given=given: call(given), f"{says}: got .*{given}", pa.PyasyncError)


def test_projections_and_names_may_be_anything_that_gives_them() -> None:
    network = pa.Network.sequential(
        (pa.Linear(np.eye(2)) for _ in range(2)), names=np.array(["a", "b"])
    )
    assert [each.name for each in network.populations] == ["a", "b"]


@pytest.mark.parametrize("name", [["a"], {}, np.array(["1", "1"]), 3, Unprintable(), None])
def test_what_is_no_name_is_refused_by_name(name: Any) -> None:
    network, projection = pa.Network.sequential([pa.Linear(np.eye(2))]), pa.OneToOne(1.0)
    for argument, call in (
        ("output", lambda: setattr(network, "output", name)),
        ("source", lambda: network.connect(name, "1", projection)),
        ("target", lambda: network.connect("1", name, projection)),
        ("name", lambda: network.add(name, 2)),
    ):
        refused(call, f"{argument}: got ", pa.NetworkError)


@pytest.mark.parametrize(
    "argument", ["schedule", "on_stop", "input_mode", "stop_on_output", "keep", "record", "seed"]
)
def test_what_cannot_be_printed_is_refused_all_the_same(argument: str) -> None:
    says = f"{argument}: got a Unprintable that cannot be printed"
    refused(lambda: run(**{argument: Unprintable()}), says, pa.ArgumentError)
    if argument == "keep":
        refused(lambda: run(keep=[Unprintable()]), says)


@pytest.mark.parametrize("size", [2**31, 2**40, 2**16])
@pytest.mark.parametrize("pool", [pa.SumPool2d, pa.AvgPool2d])
def test_a_window_with_more_taps_than_memory_could_hold_is_refused(pool: Any, size: int) -> None:
    window, network = pool(size, stride=1, padding=size // 2), pa.Network(input_shape=(1, 1, 1))
    network.add("a", (1, 2, 2))
    says = rf"kernel_size: got \({size}, {size}\) on a source \(1, 1, 1\)"
    refused(lambda: network.connect("input", "a", window), says, pa.NetworkError)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fired": None}, "fired"),
        ({"fired": np.zeros(3)}, "fired"),
        ({"fired": np.zeros(3, [("neuron", "u4"), ("v", "f4")])}, "fired"),
        ({"fired": np.zeros(3, "u4,U4,?,?")}, "fired"),
        ({"fired": np.zeros(3, [(name, "U4") for name in FIRED])}, "fired"),
        ({"steps": np.zeros(3)}, "steps"),
        ({"joined": "none"}, "joined"),
        ({"endings": [[0, 1, 2]]}, "endings"),
        ({"emitted": None}, "emitted"),
        ({"emitted": RAGGED}, "emitted"),
    ],
)
def test_columns_that_are_none_of_a_trace_are_named(change: dict[str, Any], says: str) -> None:
    trace = run(record=True).trace
    assert trace is not None
    columns = trace.to_steps()._replace(**change)
    refused(lambda: pa.Trace.from_steps(columns, trace), f"{says}: got", pa.TraceError)


def test_what_a_trace_is_built_from_and_like_is_named() -> None:
    trace = run(record=True).trace
    assert trace is not None
    columns: Any = trace.to_steps()
    like: Any = None
    refused(lambda: pa.Trace.from_steps(columns, like), "like: got None", pa.TraceError)
    refused(lambda: pa.Trace.from_steps(tuple(columns), trace), "steps: got", pa.TraceError)


@pytest.mark.parametrize("number", [np.int64(3), np.uint8(3), np.array(3)])
def test_numbers_of_numpys_are_plain_ones_in_a_schedule(number: Any) -> None:
    for schedule, plain in (
        (pa.Random(number, seed=number), pa.Random(3, seed=3)),
        (pa.Momentum(number, np.float32(0.5), number), pa.Momentum(3, 0.5, 3)),
        (pa.Priority(number, [1.0]), pa.Priority(3, [1.0])),
        (pa.FreeRunning(number, number, number), pa.FreeRunning(3, 3, 3)),
    ):
        assert (schedule, repr(schedule), hash(schedule)) == (plain, repr(plain), hash(plain))
    custom = pa.Custom(number, lambda pending, n, rng: range(n), seed=number)
    assert type(custom.forward_group_size) is type(custom.seed) is int
    lif = pa.LIF(np.float64(0.5), np.float32(0.25))
    assert repr(lif) == repr(pa.LIF(0.5, 0.25))


def test_a_projection_before_any_population_says_what_is_missing() -> None:
    network = pa.Network(2)
    says = "target: got 'a'; accepted: a population, of which there is none yet"
    refused(lambda: network.connect("input", "a", pa.OneToOne(1.0)), says, pa.NetworkError)


def test_more_spikes_than_float32_can_count_decide_rightly() -> None:
    result = run(np.ones((3, 1, 2)))
    result.counts[:, 0] = [[2**24, 2**24], [0, 1], [0, 0]]
    result.spikes[:] = 2**25 + 1
    assert result.decisions().tolist() == [1]
