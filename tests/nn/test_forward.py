"""The forward equals the engine's simulation to the bit, plus what training adds to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyasync as pa

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

Make = Callable[..., pa.nn.AsyncSequential]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schedule", [pa.Random(3), pa.Momentum(2), pa.Layered()], ids=str)
def test_it_is_the_engines_run(make: Make, x: Any, dtype: Any, schedule: pa.Schedule) -> None:
    model = make(learn=True, schedule=schedule).to(dtype).eval()
    counts, spike_counts, state = model(x, return_spike_counts=True, return_state=True)
    keep = ("counts", "spike_counts", "v")
    ran = pa.simulate(model.network(), x.numpy(), schedule, dt=10e-3, keep=keep)
    assert (counts.dtype, spike_counts.dtype, state.v.dtype) == (dtype,) * 3
    np.testing.assert_array_equal(counts.detach(), ran.counts)
    np.testing.assert_array_equal(spike_counts.detach(), ran.spike_counts)
    np.testing.assert_array_equal(state.v.detach(), ran.v)
    assert ran.counts.sum() > 0


def test_every_form_of_input_is_the_same_input(make: Make, x: Any) -> None:
    model = make().eval()
    wanted = model(x)
    dense = x.numpy()
    for given in (
        x.to(torch.uint8),
        x.to(torch.int64),
        x.to(torch.float16),
        x.double(),
        x.float().requires_grad_(),
        x.transpose(0, 1).contiguous().transpose(0, 1),
        dense,
        dense.astype(">f4"),
        dense.astype(np.uint16),
        dense.tolist(),
        pa.SpikeBatch.from_dense(dense, dt=10e-3),
        pa.SpikeBatch.from_dense(dense),
    ):
        assert torch.equal(model(given), wanted)
    model.batch_first = True
    for given in (x.transpose(0, 1), dense.swapaxes(0, 1), pa.SpikeBatch.from_dense(dense)):
        assert torch.equal(model(given), wanted.transpose(0, 1))
    for given in (x.transpose(0, 1)[..., :-1], dense.swapaxes(0, 1)[..., :-1]):
        shape = re.escape(f"{tuple(given.shape)}; accepted: a SpikeBatch, or an array [B, T, ")
        with pytest.raises(pa.InputError, match=rf"^x: got an array of shape {shape}"):
            model(given)


def test_an_input_may_have_the_shape_of_the_network_or_be_flat() -> None:
    options = {"input_shape": (2, 5), "schedule": pa.Fifo(2), "dt": 1e-3}
    model = pa.nn.AsyncSequential(nn.Linear(10, 3), pa.nn.LIF(v_threshold=0.1), **options).eval()
    x = torch.rand(3, 4, 2, 5)
    assert torch.equal(model(x), model(x.flatten(2)))


def test_without_a_seed_training_draws_and_evaluation_does_not(make: Make, x: Any) -> None:
    model = make(schedule=pa.Random(1), refractory_dropout=0.5)
    torch.manual_seed(5)
    first, second = model(x), model(x)
    torch.manual_seed(5)
    assert torch.equal(model(x), first)
    assert not torch.equal(first, second)
    model.eval()
    before = torch.random.get_rng_state()
    assert torch.equal(model(x), model(x, seed=0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", ["tensor", "batch", "current"])
def test_a_seed_decides_all_of_a_call_in_training(make: Make, x: Any, kind: str) -> None:
    schedules = pa.nn.RandomSchedules([pa.Random, pa.Momentum])
    model = make(schedule=schedules, input_dropout=0.3, refractory_dropout=0.5, spike_dropout=0.1)
    given = {"tensor": x, "batch": pa.SpikeBatch.from_dense(x.numpy()), "current": x.float() + 0.1}
    runs = [model(given[kind], seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_evaluation_drops_nothing(make: Make, x: Any) -> None:
    plain, dropping = make(), make(input_dropout=0.5, refractory_dropout=0.9, spike_dropout=0.5)
    assert torch.equal(plain.eval()(x), dropping.eval()(x))
    noisy = make(schedule=pa.Momentum(1, noise=5.0)).eval()
    assert torch.equal(noisy(x), make(schedule=pa.Momentum(1)).eval()(x))
    noisy.train()
    assert not torch.equal(noisy(x, seed=0), make(schedule=pa.Momentum(1))(x, seed=0))


def test_the_dropouts_do_what_they_say(make: Make, x: Any) -> None:
    model = make(schedule=pa.Fifo(4))
    plain = model(x, return_spike_counts=True)[1].sum()
    model.refractory_dropout = 1.0
    assert model(x, return_spike_counts=True)[1].sum() > plain
    model.refractory_dropout, model.spike_dropout = 0.0, 1.0
    with pytest.warns(pa.nn.ActivityWarning):
        assert model(x).sum() == 0


@pytest.mark.parametrize("form", ["bool", "float", "gradient", "array", "batch", "analog"])
def test_input_dropout_keeps_the_expected_input(form: str) -> None:
    options = {"input_shape": 200, "schedule": pa.Fifo(1), "dt": 1e-3, "input_dropout": 0.25}
    model = pa.nn.AsyncSequential(pa.nn.OneToOne(1.0), pa.nn.LIF(v_threshold=1e6), **options)
    x = torch.rand(1, 100, 200, generator=torch.Generator().manual_seed(0)) < 0.1
    batch = pa.SpikeBatch.from_dense(x.numpy())
    analog = pa.SpikeBatch.from_dense(x.numpy() * 2.0)
    given = {
        "bool": x,
        "float": x.float(),
        "gradient": x.float().requires_grad_(),
        "array": x.numpy(),
        "batch": batch,
        "analog": analog,
    }
    with pytest.warns(pa.nn.ActivityWarning, match="no output neuron fired"):
        _, state = model(given[form], return_state=True, seed=1)
    v = state.v.detach()
    unit = 2 / 0.75 if form == "analog" else 1 / 0.75
    assert set(v.unique().tolist()) == {0.0, float(torch.tensor(unit))}
    assert ((v > 0) & ~x[0]).sum() == 0
    assert (v > 0).sum() / x.sum() == pytest.approx(0.75, abs=0.04)
    if form in ("float", "array", "batch"):
        assert torch.equal(v, model(x, return_state=True, seed=1)[1].v)


def test_a_stream_may_be_cut_in_pieces(make: Make, x: Any) -> None:
    model = make(schedule=pa.Fifo(2)).eval()
    whole, end = model(x, return_state=True)
    state, pieces = None, []
    for piece in x.split(2):
        counts, state = model(piece, state=state, return_state=True)
        pieces.append(counts)
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(state.v, end.v)


def test_numpys_truth_values_ask_for_a_state_and_counts(make: Make, x: Any) -> None:
    asked = make()(x, return_state=np.True_, return_spike_counts=np.True_)
    assert [type(each) for each in asked] == [torch.Tensor, torch.Tensor, pa.nn.State]
    assert make()(x, return_state=np.False_).shape == (6, 5, 3)


def test_sample_ids_decide_not_positions(make: Make, x: Any) -> None:
    model = make(schedule=pa.Random(1), refractory_dropout=0.5, spike_dropout=0.2)
    ids, order = torch.tensor([9, 3, 7, 1, 2]), [4, 0, 3, 1, 2]
    whole = model(x, seed=3, sample_ids=ids)
    assert torch.equal(model(x[:, order], seed=3, sample_ids=ids[order]), whole[:, order])


def test_a_call_may_bring_its_own_schedule(make: Make, x: Any) -> None:
    model = make().eval()
    assert torch.equal(model(x, schedule=pa.Layered()), make(schedule=pa.Layered()).eval()(x))


def test_the_last_result_has_the_measures(make: Make, x: Any) -> None:
    model = make()
    assert model.last_result is None
    counts = model(x)
    assert model.last_result.counts.sum() == counts.sum()
    assert model.last_result.trace is not None
    with torch.no_grad():
        model(x)
    assert model.last_result.trace is None


def test_the_guard_stops_what_does_not_end(x: Any) -> None:
    lif = pa.nn.LIF(v_threshold=0.1, refractory="none")
    model = pa.nn.AsyncNetwork(20, schedule=pa.Fifo(1), dt=1e-3, max_forward_steps=30)
    model.add("a", 20, lif)
    model.connect("input", "a", pa.nn.OneToOne(1.0))
    model.connect("a", "a", pa.nn.OneToOne(1.0))
    with pytest.warns(pa.nn.ActivityWarning) as warned:
        model(x)
    assert sorted(str(each.message)[:12] for each in warned) == ["neurons fire", "timesteps we"]
    assert not model.last_result.reached_quiescence.all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": torch.zeros(6, 20)}, "x: got an array of shape .6, 20."),
        ({"x": torch.zeros(6, 5, 21)}, "x: got .* .?21"),
        ({"x": torch.zeros(6, 0, 20)}, "x: got an array of shape"),
        ({"x": torch.full((6, 5, 20), torch.nan)}, "x: got (NaN|nan)"),
        ({"x": torch.zeros(6, 5, 20, dtype=torch.complex64)}, "x: got a tensor of torch.complex64"),
        ({"x": torch.zeros(6, 5, 20).to_sparse()}, "x: got a tensor of .*sparse"),
        ({"x": "spikes"}, "x: got ndarray of dtype <U6"),
        ({"x": [[1.0], [1.0, 2.0]]}, "x: got list"),
        ({"x": np.ma.masked_array(np.ones((6, 5, 20)))}, "x: got a masked array"),
        (
            {"x": torch.eye(20)[None] * torch.inf},
            "x: got (inf|NaN) at timestep 0, sample 0, channel",
        ),
        ({"x": pa.SpikeBatch([0], [0, 1], 1, 3)}, "x: got a SpikeBatch of input shape"),
        ({"x": pa.SpikeBatch([0], [0, 1], 1, 20, dt=1.0)}, "dt: got 0.01; accepted: .*own 1.0"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 1.5}, "seed: got 1.5"),
        ({"sample_ids": [1]}, "sample_ids: got an array of shape .1"),
        ({"return_state": 2}, "return_state: got 2; accepted: True or False"),
        ({"return_spike_counts": "no"}, "return_spike_counts: got 'no'; accepted: True or False"),
        ({"schedule": 8}, "schedule: got 8"),
        ({"state": torch.zeros(5, 19)}, "state: got 'Tensor'"),
        ({"state": pa.nn.State(torch.zeros(5, 18))}, "state: got v of shape .5, 18.; .*5, 19"),
        ({"state": pa.nn.State(torch.zeros(4, 19))}, "state: got v of shape .4, 19.; .*5, 19"),
        ({"state": pa.nn.State(torch.full((5, 19), torch.nan))}, "state: got v that is not finite"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_a_bad_argument_is_named(
    make: Make, x: Any, change: dict[str, Any], says: str, training: bool
) -> None:
    model = make(input_dropout=0.2).train(training)
    with pytest.raises(pa.PyasyncError, match=rf"^{says}"):
        model(**{"x": x, **change})


def test_numbers_that_training_broke_are_named(make: Make, x: Any) -> None:
    model = make(learn=True)
    with torch.no_grad():
        model[1].log_tau_mem.fill_(torch.nan)
    with pytest.raises(pa.NetworkError, match=r"^tau_mem: got nan in population '1'.*diverge"):
        model(x)
    model = make()
    with torch.no_grad():
        model[0].bias[1] = -torch.inf
    with pytest.raises(pa.NetworkError, match=r"^bias: got -inf from 'input' to '1'; .*diverge"):
        model(x)
    with torch.no_grad():
        model[0].weight[3, 2] = torch.nan
    with pytest.raises(pa.NetworkError, match=r"^weight: got nan from 'input' to '1'; .*diverge"):
        model(x)
