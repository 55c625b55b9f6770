"""Likely mistakes on a command line are reported before any work, and nothing is ignored."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyasync as pa
from pyasync.cli import main


def fails(capsys, command: list[str], says: str, status: int = 1) -> None:
    assert main(command) == status
    shown = capsys.readouterr()
    assert says in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("labels", [[5] * 20, [-1] * 20])
def test_labels_that_the_network_does_not_have_are_named(files, capsys, labels) -> None:
    np.savez("other.npz", x=files.x.to_dense(bool), dt=10e-3, label=labels)
    fails(capsys, ["simulate", str(files.network), "--data", "other.npz"], f"y: got {labels[0]}")


def test_a_file_without_samples_is_named(files, capsys) -> None:
    np.savez("none.npz", channel=[], offsets=[0], n_timesteps=3, n_inputs=40, dt=1e-3)
    command = ["simulate", str(files.network), "--data", "none.npz"]
    fails(capsys, command, "data: got none.npz without samples")


@pytest.mark.parametrize("option", [["--timesteps", "0"], ["--dt", "0"], ["--dt", "1e-3"]])
@pytest.mark.parametrize("command", ["study digits", "train digits", "simulate NET --data digits"])
def test_the_digits_timesteps_cannot_be_given(files, capsys, command, option) -> None:
    words = [str(files.network) if word == "NET" else word for word in command.split()]
    fails(capsys, [*words, *option], '"digits" has timesteps of its own', status=2)


@pytest.mark.parametrize("option", [["--epochs", "3"], ["--save-network", "a.safetensors"]])
def test_what_an_audit_of_a_network_cannot_use_is_refused(files, capsys, option) -> None:
    command = ["audit", str(files.network), "--data", str(files.data), *option]
    fails(capsys, command, "without NETWORK", status=2)
    assert not Path("a.safetensors").exists()


@pytest.mark.parametrize("option", [["--schedule", "lottery"], ["-F", "0"]])
@pytest.mark.parametrize("command", ["audit", "study digits"])
def test_a_run_that_is_none_is_named_before_the_digits_are_prepared(
    files, capsys, command, option
) -> None:
    pytest.importorskip("torch")
    assert main([*command.split(), *option]) == 1
    shown = capsys.readouterr()
    assert option[1] in shown.err
    assert not shown.out


@pytest.mark.parametrize("option", ["--json", "--trace"])
@pytest.mark.parametrize("target", ["no/where.x", "."])
def test_what_cannot_be_written_is_named_before_the_run(files, capsys, option, target) -> None:
    command = ["simulate", str(files.network), "--data", str(files.data), option, target]
    fails(capsys, [*command, "--trace" if option == "--json" else "--json", "kept"], target)
    assert not Path("kept").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('schedule = "fifo"\n', "schedule: got 'fifo'"),
        ("seed = 5\n", "seed: got a value"),
        ("[layered]\nseed = 5\n", "seed: got a value"),
        ('[layered]\nschedule = "random"\n', "schedule: got 'random' in [layered]"),
    ],
)
def test_a_study_keeps_its_baseline_and_its_seeds(files, capsys, text, says) -> None:
    Path("mine.toml").write_text(text)
    fails(capsys, ["study", str(files.data), "--config", "mine.toml", "--seeds", "1"], says)


@pytest.mark.parametrize("train", [[], ["--train", "layered"]])
def test_a_table_is_checked_whether_it_is_trained_or_not(files, capsys, train) -> None:
    Path("mine.toml").write_text("[mine]\nhiden = [4]\n")
    fails(capsys, ["study", str(files.data), "--config", "mine.toml", *train], "'hiden'")


@pytest.mark.parametrize("command", [["validate"], ["plot"]])
def test_the_network_of_a_trace_is_no_graph(files, capsys, command) -> None:
    run = ["simulate", str(files.network), "--data", str(files.data), "--trace", "run.trace"]
    assert main(run) == 0
    fails(capsys, ["trace", *command, "run.trace", "--network", "net.nir"], "network: got net.nir")


def test_a_trace_is_shown_and_drawn_as_asked(files, capsys) -> None:
    run = ["simulate", str(files.network), "--data", str(files.data), "--trace", "run.trace"]
    assert main(run) == 0
    fails(capsys, ["trace", "show", "run.trace", "--sample", "0", "--limit", "-1"], "limit: got -1")
    fails(capsys, ["trace", "plot", "run.trace", "--figure", "a"], "figure: got a")


@pytest.mark.parametrize(
    "option",
    [
        *("--split train", "--dt 1e-3", "--timesteps 3", "--reset zero", "--source-dt 1e-4"),
        "--reset-delay",
        *("--integration euler", "--format npz", "--time t", "--time-unit 1e-3", "--channel unit"),
    ],
)
def test_what_an_audit_of_the_digits_cannot_use_is_refused(files, capsys, option) -> None:
    says = f"{option.split()[0]} has no effect without NETWORK"
    fails(capsys, ["audit", "--epochs", "1", *option.split()], says, status=2)


@pytest.mark.parametrize("form", ["dense", "batch first", "timed", "folder"])
def test_the_command_that_training_shows_audits_what_was_trained(files, capsys, form) -> None:
    pytest.importorskip("torch")
    data, how = "data.npz", ["--dt", "5e-3"]
    if form == "dense":
        np.savez(data, x=files.x.to_dense(bool), label=files.labels)
    elif form == "batch first":
        x = files.x.to_dense(bool, batch_first=True)
        np.savez(data, x=x, targets=files.labels, y=np.zeros(3, int))
        how += ["--batch-first", "--label", "targets"]
    elif form == "timed":
        unit, ms = np.tile(np.arange(6), 20), np.tile([0, 7, 2, 30, 41, 3], 20)
        offsets = np.arange(21) * 6
        np.savez(data, unit=unit, ms=ms, offsets=offsets, label=np.arange(20) % 3)
        how += ["--channel", "unit", "--time", "ms", "--time-unit", "1e-3", "--timesteps", "6"]
        how += ["--input-shape", "6"]
    else:
        data, how = "events", [*how, "--timesteps", "6"]
        for part, digit in [("train", 0), ("train", 1), ("test", 0), ("test", 1)]:
            folder = Path(data, part, str(digit))
            folder.mkdir(parents=True)
            events = [(x, y, 0, t, 0) for t in (4, 60) for x in range(34) for y in range(34)]
            (folder / "1.bin").write_bytes(b"".join(map(bytes, events[digit:])))
    command = ["train", data, "--validation", data, "--epochs", "1", "--hidden", "8", *how]
    assert main([*command, "--save-network", "net.safetensors"]) == 0
    shown = capsys.readouterr().out.splitlines()[-1].removeprefix("to audit it: ")
    audit = shlex.split(shown)
    assert main([*audit[1:], "--schedule", "fifo", "-F", "1", "--json", "audit.json"]) == 0
    report = json.loads(Path("audit.json").read_text())
    assert report["dt"] == 5e-3
    assert report["n_timesteps"] == 6


@pytest.mark.parametrize("validation", [["--validation", "shd_test.h5"], []])
def test_recordings_in_one_file_are_audited_as_they_were_cut(files, capsys, validation) -> None:
    pytest.importorskip("torch")
    h5py = pytest.importorskip("h5py")
    for part in ("train", "test"):
        with h5py.File(f"shd_{part}.h5", "w") as file:
            for name, values in {
                "times": np.arange(4, dtype="f2") / 9,
                "units": [1, 2, 3, 4],
            }.items():
                kind = h5py.vlen_dtype(np.dtype("f2" if name == "times" else "u2"))
                file.create_dataset(f"spikes/{name}", 8, kind)[:] = [np.asarray(values)] * 8
            file["labels"] = np.arange(8, dtype=np.uint8) % 2
    options = ["--preset", "shd", "--epochs", "1", "--hidden", "8", "--output-sync-threshold", "0"]
    command = ["train", "shd_train.h5", "--format", "shd", *options, *validation]
    with pytest.warns(pa.nn.ActivityWarning):
        assert main([*command, "--save-network", "net.safetensors", "--json", "train.json"]) == 0
    shown = capsys.readouterr().out.splitlines()[-1].removeprefix("to audit it: ")
    audit = [word.replace("TEST.h5", "shd_test.h5") for word in shlex.split(shown)]
    assert main([*audit[1:], "--schedule", "fifo", "-F", "1", "--json", "audit.json"]) == 0
    trained, audited = (json.loads(Path(f"{name}.json").read_text()) for name in ("train", "audit"))
    assert (audited["dt"], audited["n_timesteps"]) == (20e-3, 60)
    assert (trained["dt"], trained["n_timesteps"]) == (20e-3, 60)


def test_the_row_of_free_running_is_of_what_happened(files) -> None:
    network = pa.Network.load(files.network)
    report = pa.study.audit(network, files.x, files.labels, ["fifo", "free"], 1, threads=1)
    fifo, free = report.rows[1:]
    assert (free.latency, free.latency_to_correct) == (fifo.latency, fifo.latency_to_correct)
    np.testing.assert_array_equal(*report.anytime_accuracy[1:])


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--replay run.trace --schedule fifo", "--schedule has no effect with --replay"),
        ("--replay run.trace -F 3", "-F has no effect with --replay"),
        ("--schedule layered -F 3", "-F has no effect with --schedule layered"),
        ("--schedule layered --noise 3", "--noise has no effect with --schedule layered"),
        ("--schedule fifo --noise 3", "--noise has no effect without --schedule momentum"),
        ("--extra-steps 3", "--extra-steps has no effect without --stop-on-output"),
        ("--split train", "--split has no effect on {data}"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(files, capsys, option, says) -> None:
    command = ["simulate", str(files.network), "--data", str(files.data), *option.split()]
    fails(capsys, command, says.format(data=files.data), status=2)


@pytest.mark.parametrize("command", ["simulate", "audit"])
def test_digits_for_another_network_are_refused_before_their_labels(files, capsys, command) -> None:
    says = "--data: got digits of input shape (2, 34, 34); accepted: samples of the network's input"
    fails(capsys, [command, str(files.network), "--data", "digits"], says)


@pytest.mark.parametrize("data", ["digits", "folder"])
@pytest.mark.parametrize(
    "option",
    ["--channel unit", "--time t", "--time channel", "--time-unit 1e-3", "--input-shape 34"],
)
def test_what_says_how_to_read_a_file_is_refused_for_other_data(
    files, capsys, data, option
) -> None:
    Path("folder").mkdir()
    name = option.split()[0]
    fails(capsys, ["train", data, *option.split()], f"{name} is for npz files", status=2)
    study = ["study", "digits"] if data == "digits" else ["study", "nmnist", "--data", data]
    fails(capsys, [*study, *option.split()], f"{name} is for npz files", status=2)
    if name != "--input-shape":
        run = ["simulate", str(files.network), "--data", data]
        fails(capsys, [*run, *option.split()], f"{name} is for npz files", status=2)


FORMS = {
    "saved": (
        "for data.npz, which SpikeBatch.save wrote",
        "--channel unit",
        "--time t",
        "--time-unit 1e-3",
    ),
    "dense": ("for data.npz, which has a dense array 'x'", "--channel unit", "--time-unit 1e-3"),
    "binned": ("without time", "--time-unit 1e-3"),
}


@pytest.mark.parametrize(
    ("form", "option"), [(form, option) for form, (_, *some) in FORMS.items() for option in some]
)
def test_what_the_form_of_a_file_does_not_use_is_refused(files, capsys, form, option) -> None:
    labels = {"label": np.arange(20) % 5}
    if form == "saved":
        files.x.save("data.npz", **labels)
    elif form == "dense":
        np.savez("data.npz", x=files.x.to_dense(bool), dt=10e-3, **labels)
    else:
        events = {"channel": files.x.channel, "offsets": files.x.offsets, "t": files.x.channel}
        np.savez("data.npz", n_timesteps=6, n_inputs=40, dt=10e-3, **events, **labels)
    name, says = option.split()[0], FORMS[form][0]
    for command in (
        ["train", "data.npz"],
        ["study", "data.npz"],
        ["simulate", str(files.network), "--data", "data.npz"],
        ["audit", str(files.network), "--data", "data.npz"],
    ):
        refused = f"pyasync: {name}: got {option.split()[1]!r}"
        if name == "--time-unit":
            refused = f"pyasync: {name}: got 0.001"
        fails(capsys, [*command, *option.split()], f"{refused}; accepted: None {says}")
    assert main(["simulate", str(files.network), "--data", "data.npz"]) == 0


@pytest.mark.parametrize("command", ["train timed.npz", "simulate NET --data timed.npz"])
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("--time ms --dt 1e-3", "--time-unit: got None"),
        ("--time ms --dt 1e-3 --time-unit 0", "--time-unit: got 0"),
        ("--time ms --time-unit 1e-3", "--dt: got None"),
        ("", "--timesteps: got None"),
        ("--timesteps 0", "--timesteps: got 0"),
    ],
)
def test_what_a_file_needs_is_called_as_the_option_is(files, capsys, command, how, says) -> None:
    events = {"channel": np.arange(6), "ms": np.arange(6), "offsets": np.arange(7)}
    np.savez("timed.npz", **events, label=np.arange(6) % 3, n_inputs=40)
    words = [str(files.network) if word == "NET" else word for word in command.split()]
    fails(capsys, [*words, *how.split()], f"pyasync: {says}")


@pytest.mark.parametrize("command", ["simulate NET", "audit NET"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": np.zeros((6, 20, 39))}, "--data: got data.npz of input shape (39,); accepted: sam"),
        ({"dt": None}, "--dt: got None; accepted: the length of a timestep in seconds, which data"),
        ({"label": np.zeros(6, int)}, "there are 6 of them"),
    ],
)
def test_a_file_that_does_not_fit_the_network_is_what_is_named(
    files, capsys, command, change, says
) -> None:
    arrays = {"x": files.x.to_dense(bool), "dt": 10e-3, "label": files.labels, **change}
    np.savez("data.npz", **{name: each for name, each in arrays.items() if each is not None})
    words = [str(files.network) if word == "NET" else word for word in command.split()]
    fails(capsys, [*words, "--data", "data.npz"], says)


def test_what_is_no_network_of_this_package_says_what_would_be_one(files, capsys) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.ones(2)}, "model.pt")
    says = "(of a model of pa.nn: model.network().save)"
    fails(capsys, ["audit", "model.pt", "--data", str(files.data)], says)


def test_test_samples_of_another_length_are_named(files, capsys) -> None:
    np.savez("short.npz", x=files.x.to_dense(bool)[:4], dt=10e-3, label=files.labels)
    says = "--test-data, --timesteps: got 6; accepted: 4, which the file says"
    fails(capsys, ["study", str(files.data), "--test-data", "short.npz"], says)


def test_a_trace_of_other_samples_is_named_by_their_number(files, capsys) -> None:
    run = ["simulate", str(files.network), "--data", str(files.data)]
    assert main([*run, "--trace", "run.trace"]) == 0
    says = "replay: got a trace of 20 samples; accepted: one of 19, as the data have"
    fails(capsys, [*run, "--samples", "19", "--replay", "run.trace"], says)


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line_of_the_command(files) -> None:
    pytest.importorskip("torch")
    np.savez("silent.npz", x=np.zeros((3, 12, 4), bool), dt=10e-3, label=np.arange(12) % 3)
    command = ["train", "silent.npz", "--hidden", "4", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "pyasync", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.startswith("pyasync: warning: no output neuron fired")
    assert "spike_cost_warmup" in done.stderr
    assert done.stderr.count("\n") == 1


def test_timesteps_are_called_as_the_option_is(files, capsys) -> None:
    fails(capsys, ["train", str(files.data), "--timesteps", "0"], "timesteps: got 0")


def test_figures_of_a_silent_network_are_drawn_without_a_warning(files) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    np.savez("silent.npz", x=np.zeros((3, 20, 40), bool), dt=10e-3, label=np.arange(20) % 3)
    audit = ["audit", str(files.network), "--data", "silent.npz", "--schedule", "fifo"]
    assert main([*audit, "--figure", "audit.png"]) == 0
    with pytest.warns(pa.nn.ActivityWarning):
        assert main(["study", "silent.npz", "--epochs", "1", "--seeds", "1", "--out", "made"]) == 0


def test_a_price_without_bounds_is_refused(files, capsys) -> None:
    pytest.importorskip("torch")
    command = ["study", str(files.data), "--energy-spike", "1e308"]
    fails(capsys, command, "spike: got 1e+308; accepted: joules, a number from 0 to 1e+100")
