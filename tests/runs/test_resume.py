"""Training that is interrupted at any point and then resumed equals uninterrupted training bit for bit."""

import csv
import dataclasses
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minivae import runs
from minivae.app import cli, progress, train
from minivae.data import Dataset, Grey
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.runs import checkpoint, files
from minivae.runs.checkpoint import CheckpointError
from minivae.train import Diverged, Training
from minivae.vae import VAE
from tests.helpers.numeric import refused
from tests.helpers.trained import end_quickly

CONFIG = {"data": "small", "seed": 0, "epochs": 3, "model": {}}
SETTINGS = {"epochs": 3, "batch": 16, "lr": 1e-2, "samples": 2}
MODELS = {
    "bernoulli": {"likelihood": Bernoulli()},
    "binomial": {"likelihood": Binomial(1), "activation": "relu"},
    "gaussian": {"likelihood": Gaussian(0.5), "estimator": "sampled"},
    "learned": {"likelihood": Gaussian("learned"), "estimator": "path"},
    "optimal": {"likelihood": Gaussian("optimal"), "dtype": np.float64},
    "iwae": {"objective": "iwae", "estimator": "sampled"},
    "autoencoder": {"noise": False, "beta": 0.0},
    "binarized": {},
}


def fresh(name="bernoulli", **changes):
    rng = np.random.default_rng(1)
    x = (rng.random((40, 6)) < 0.4).astype(np.uint8)
    vae = VAE.init(rng, 6, 2, (5,), **MODELS[name])
    data = Dataset("small", x[:33], x[33:])
    if name == "binarized":
        data = Dataset("small", Grey(100 * x[:33]), 0.4 * x[33:]).binarized()
    return Training(vae, data, rng, **SETTINGS | changes)


def run_on(training, steps=None):
    """Run this number of steps (None: all steps that are left); return the records of the finished epochs."""
    return [record for record in itertools.islice(training.steps(), steps) if record is not None]


def saved_and_restored(training, path, name="bernoulli"):
    """Save a training and restore it from the file, as another process would."""
    checkpoint.save(path, training.vae, *training.state())
    saved = checkpoint.read(path)
    other = fresh(name)
    again = Training(saved.vae, other.data, np.random.default_rng(99), **SETTINGS)
    again.restore(saved.arrays, saved.numbers)
    return again


def everything(training):
    arrays, numbers = training.state()
    return training.vae.params.flat.tobytes(), {k: v.tobytes() for k, v in arrays.items()}, numbers


@pytest.mark.parametrize("name", MODELS)
def test_training_resumed_after_any_step_equals_uninterrupted_training(tmp_path, name):
    whole = fresh(name)
    records = run_on(whole)
    assert len(records) == 3
    for steps in range(10):                                 # an epoch has 3 steps: stop before, in or after an epoch
        first = fresh(name)
        before = run_on(first, steps)
        again = saved_and_restored(first, tmp_path / "model.npz", name)
        assert everything(again) == everything(first)
        assert before + run_on(again) == records and everything(again) == everything(whole)


def test_training_interrupted_at_every_step_equals_uninterrupted_training(tmp_path):
    whole, training, records = fresh("learned"), fresh("learned"), []
    while training.epoch <= 3:
        records += run_on(training, 1)
        training = saved_and_restored(training, tmp_path / "model.npz", "learned")
    assert records == run_on(whole) and everything(training) == everything(whole)


@pytest.mark.parametrize("reset", ["m", "v", "t", "rng", "order", "done", "reconstruction", "kl", "epoch"])
def test_resume_needs_every_part_of_the_state(reset):
    """Reset one part of the state to its initial value: the resumed training gives another result."""
    whole, training, start = fresh(), fresh(), fresh()
    records = run_on(whole)
    before = run_on(training, 4)
    arrays, numbers = training.state()
    first_arrays, first_numbers = start.state()
    for state, first in ((arrays, first_arrays), (numbers, first_numbers)):
        if reset in state:
            state[reset] = first[reset]
    if reset == "order":
        numbers["done"] = 0                                 # `restore` accepts an empty `order` only if `done` is 0
    again = Training(training.vae, whole.data, np.random.default_rng(0), **SETTINGS)
    again.restore(arrays, numbers)
    assert (before + run_on(again), everything(again)) != (records, everything(whole))


@pytest.mark.parametrize(
    "part, value, words",
    [
        ("order", np.arange(32), ("order", "a permutation of the 33 rows", "(32,)", "data")),
        ("order", np.zeros(33, int), ("order", "a permutation", "(33,)", "data")),
        ("order", np.array(3), ("order", "a permutation of the 33 rows", "()", "data")),
        ("order", np.zeros((0, 3), int), ("order", "a permutation of the 33 rows", "(0, 3)", "data")),
        ("v", -1, ("v", "at least 0", "negative", "damaged")),
        ("order", np.arange(33.0), ("order", "a permutation", "(33,)", "data")),
        ("m", np.zeros(3, np.float32), ("m", "finite float32 of shape", "(3,)", "damaged")),
        ("v", None, ("v", "finite float32 of shape", "", "damaged")),
        ("epoch", 0, ("epoch", "a whole number >= 1", "0", "")),
        ("epoch", 1.5, ("epoch", "a whole number >= 1", "1.5", "")),
        ("done", 9, ("done", "at most the number of mini-batches", "9", "damaged")),
        ("t", -1, ("t", "a whole number >= 0", "-1", "")),
        ("kl", float("nan"), ("kl", "a finite number", "nan", "")),
    ],
)
def test_impossible_training_state_is_refused(part, value, words):
    training = fresh()
    run_on(training, 2)
    arrays, numbers = training.state()
    if value is None:
        value = np.full_like(arrays[part], np.nan)
    if part == "v" and np.isscalar(value):
        value = arrays[part] + np.float32(value)
    (arrays if part in arrays else numbers)[part] = value
    refused(lambda: fresh().restore(arrays, numbers), *words)


RNG = {"state": {"state": 1, "inc": 1}, "bit_generator": "PCG64", "has_uint32": 0, "uinteger": 0}
BAD_RNGS = [None, [], "x", 5, {}, {"bit_generator": "PCG64"}, RNG | {"bit_generator": "MT19937"}]
BAD_RNGS += [RNG | {"state": {"state": value, "inc": 1}} for value in (-1, 2**200, "1", None)]
BAD_RNGS += [RNG | {"has_uint32": 2**70}, RNG | {"uinteger": -3}]


@pytest.mark.parametrize("rng", BAD_RNGS, ids=str)
def test_impossible_random_state_is_refused(rng):
    arrays, numbers = fresh().state()
    refused(lambda: fresh().restore(arrays, numbers | {"rng": rng}), "rng", "a state of PCG64", "", "damaged")


@pytest.mark.parametrize("name", ["m", "v", "order", "t", "rng", "done", "reconstruction", "kl", "epoch", "lr"])
def test_training_state_with_missing_or_extra_parts_is_refused(name):
    arrays, numbers = fresh().state()
    state = arrays if name in arrays else numbers
    del state[name]
    refused(lambda: fresh().restore(arrays, numbers), "a training", "", "", "damaged")
    arrays, numbers = fresh().state()
    (arrays if name in arrays else numbers)["another"] = 1
    refused(lambda: fresh().restore(arrays, numbers), "a training", "", "another", "damaged")


@pytest.mark.parametrize("name, value", [("batch", 17), ("lr", 0.5), ("samples", 1)])
def test_resume_refuses_changed_settings(name, value):
    arrays, numbers = fresh().state()
    refused(lambda: fresh(**{name: value}).restore(arrays, numbers), name, str(SETTINGS[name]), str(value), "config.json")


def test_silent_overflow_is_never_saved():
    """Loss and gradient are finite, but the squared gradient in Adam's v overflows. If v is infinite, Adam's step is 0."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 6))
    vae = VAE.init(rng, 6, 2, (5,), likelihood=Gaussian(1e-12))
    training = Training(vae, Dataset("small", x[:33], x[33:]), rng, **SETTINGS)
    with np.errstate(over="ignore"), pytest.raises(Diverged, match="epoch 1, step 2: Adam's v is the first quantity"):
        run_on(training, 2)
        training.state()


def test_non_finite_model_never_replaces_a_finite_saved_model(tmp_path):
    path, vae = tmp_path / "model.npz", fresh().vae
    checkpoint.save(path, vae)
    before = path.read_bytes()
    vae.params["encoder.1.bias"][0] = np.nan
    with pytest.raises(CheckpointError, match=r"not written, encoder\.1\.bias is infinite or NaN"):
        checkpoint.save(path, vae)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


# Failing writes


CALLS = ("open", "write", "flush", "fsync", "replace")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("nth", range(1, 4))
def test_run_on_disk_survives_any_failing_call(tmp_path, monkeypatch, call, nth):
    """Let call number `nth` of the function `call` fail, as on a full disk.

    Call 1 of `open`, `flush` or `replace` is for config.json, call 2 for history.csv, call 3 for model.npz. The first three
    calls of `write` are all for config.json.
    """
    training = fresh()
    run = runs.Run(runs.create(tmp_path / "run"), CONFIG, [], checkpoint.Saved(training.vae, *training.state()))
    history = run_on(training, 3)
    saved = checkpoint.Saved(training.vae, *training.state())
    runs.write(run._replace(history=history, saved=saved))
    before = everything(training)
    history += run_on(training, 4)
    count = itertools.count(1)
    # Every second fsync is for the directory. An error of such an fsync is ignored, so let an fsync for a file fail.
    nth = 2 * nth - 1 if call == "fsync" else nth

    def failing(function):
        def called(*arguments, **settings):
            if next(count) == nth:
                raise OSError(28, "No space left on device")
            return function(*arguments, **settings)

        return called

    with monkeypatch.context() as patch:
        if call in ("fsync", "replace"):
            patch.setattr(os, call, failing(getattr(os, call)))
        else:
            patch.setattr(files, "open", FailingFiles(call, failing), raising=False)
        with pytest.raises(OSError, match="No space left on device.*(config.json|history.csv|model.npz)"):
            runs.write(run._replace(history=history, saved=checkpoint.Saved(training.vae, *training.state())))
    back = runs.read(tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "history.csv", "model.npz"]
    again = fresh()
    again = Training(back.vae, again.data, again.rng, **SETTINGS)
    again.restore(back.saved.arrays, back.saved.numbers)
    assert everything(again) == before and len(back.history) == 1


class FailingFiles:
    """Replacement of `open`. If `method` is "open", opening a file fails; otherwise this method of an opened file fails."""

    def __init__(self, method, failing):
        self.method, self.failing = method, failing
        self.open = failing(open) if method == "open" else open
        self.call = failing(lambda: None)

    def __call__(self, *arguments, **settings):
        file = self.open(*arguments, **settings)
        return file if self.method == "open" else Failing(file, self.method, self.call)


class Failing:
    """A file with one method that fails."""

    def __init__(self, file, method, call):
        self._file, self._method, self._call = file, method, call

    def __getattr__(self, name):
        if name == self._method:
            self._call()
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)


def test_reading_a_run_drops_epochs_later_than_the_saved_model(tmp_path):
    """Imitate a crash between the writes of history and model: the history has one more epoch than the model."""
    training = fresh()
    history = run_on(training, 3)
    saved = checkpoint.Saved(training.vae, *training.state())
    run = runs.Run(runs.create(tmp_path / "run"), CONFIG, history + [history[0]._replace(epoch=2)], saved)
    runs.write(run)
    assert runs.read(tmp_path / "run").history == history


# The command line


@pytest.fixture(scope="module", autouse=True)
def short_measurements():
    """Measure on few rows and draw no figures, to save time. Subprocesses measure all rows and draw all figures."""
    with pytest.MonkeyPatch.context() as patch:
        end_quickly(patch)
        yield


SAVE_EACH_EPOCH = ["--epochs", "6", "--hidden", "8", "--save-every", "12", "-q"]           # an epoch has 12 steps
SAVE_EACH_STEP = [*SAVE_EACH_EPOCH, "--save-every", "1"]


def command(*arguments):
    return [sys.executable, "-m", "minivae", *map(str, arguments)]


def start(*arguments):
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    assert cli.main(["train", *SAVE_EACH_EPOCH, "--out", str(path)]) == 0
    return path


def run_and_signal(path, number, after):
    """Start a training and send it a signal `after` seconds after its first save; return exit code and outputs."""
    process = start("train", *SAVE_EACH_STEP, "--out", path)
    while not (path / "model.npz").exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(after)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def same_end(path, other):
    one, two = runs.read(path), runs.read(other)
    assert one.vae.params.flat.tobytes() == two.vae.params.flat.tobytes() and one.history == two.history
    results = [json.loads((p / "results.json").read_text()) for p in (path, other)]
    assert all(results[0][key] == results[1][key] for key in ("elbo", "iw_bound", "log_px", "reconstruction", "kl"))


def is_whole(path):
    with open(path / "history.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert all(len(row) == len(rows[0]) for row in rows)
    return runs.read(path)


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_stopped_and_resumed_command_gives_the_results_of_an_uninterrupted_command(tmp_path, uninterrupted, number, code):
    path = tmp_path / "run"
    returned, out, err = run_and_signal(path, number, random.Random(int(number)).uniform(0, 0.15))
    assert returned in (code, 0) and out == "" or returned == 0
    assert "Traceback" not in err and (code == -9 or returned == 0 or "--resume" in err)
    is_whole(path)
    assert cli.main(["train", "--resume", str(path), "-q"]) == 0
    same_end(path, uninterrupted)


def test_resume_with_more_epochs_extends_history_config_and_command(tmp_path, uninterrupted):
    path = tmp_path / "run"
    assert cli.main(["train", *SAVE_EACH_EPOCH, "--epochs", "2", "--out", str(path)]) == 0
    assert cli.main(["train", "--resume", str(path), "--epochs", "6", "-q"]) == 0
    assert [r.epoch for r in runs.read(path).history] == list(range(1, 7))
    first, whole = runs.read(path), runs.read(uninterrupted)
    assert first.config["epochs"] == 6 and len(first.history) == len(whole.history)
    again = shlex.split(first.config["command"])
    assert again[again.index("--epochs") + 1] == "6" and again.count("--epochs") == 1


@pytest.mark.parametrize(
    "command",
    ["minivae train --out 'a b'", "minivae train --epochs 3 --out 'a b'", "minivae train --out 'a b' --epochs"],
)
def test_printed_command_of_an_extended_run_has_the_new_epochs(command):
    run = runs.Run(Path("a b"), {}, [], None)
    assert train.with_option(run, command, "epochs", 7) == "minivae train --out 'a b' --epochs 7"


def test_error_for_an_unclosed_quotation_calls_the_config_damaged():
    with pytest.raises(ValueError, match=r"whose config\.json is damaged \(its command: No closing quotation\)"):
        train.with_option(runs.Run(Path("run"), {}, [], None), "minivae 'train", "epochs", 7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lr", "1"], "--lr must be left out with --resume"),
        (["--latent", "3"], "--latent must be left out with --resume"),
        (["--latent", "2"], "--latent must be left out with --resume"),         # the default value, but given explicitly
        (["--out", "elsewhere"], "--out must be left out with --resume"),
        (["--overwrite"], "--overwrite must be left out with --resume"),
        (["--epochs", "1"], "epochs must be a whole number >= 6"),
    ],
)
def test_resume_refuses_options_that_are_fixed_by_the_run(uninterrupted, arguments, message, capsys):
    before = (uninterrupted / "model.npz").read_bytes()
    assert cli.main(["train", "--resume", str(uninterrupted), *arguments]) == 2
    assert message in capsys.readouterr().err and (uninterrupted / "model.npz").read_bytes() == before


def test_resume_refuses_a_missing_run_or_missing_state_or_changed_data(tmp_path, uninterrupted, capsys):
    assert cli.main(["train", "--resume", str(tmp_path)]) == 2
    assert "RUN must be the directory of a run" in capsys.readouterr().err
    x = np.random.default_rng(0).random((30, 4))
    np.save(tmp_path / "x.npy", x)
    path = tmp_path / "run"
    words = ["train", "--data", str(tmp_path / "x.npy"), "--epochs", "1", "--hidden", "4", "--out", str(path), "-q"]
    assert cli.main(words) == 0
    np.save(tmp_path / "x.npy", x[::-1])
    assert cli.main(["train", "--resume", str(path), "--epochs", "2"]) == 2
    assert "data are unchanged" in capsys.readouterr().err
    checkpoint.save(path / "model.npz", runs.read(path).vae)
    assert cli.main(["train", "--resume", str(path), "--epochs", "2"]) == 2
    assert "a run with the state of its training" in capsys.readouterr().err


def test_resume_refuses_changed_held_out_data(tmp_path, capsys):
    x = np.random.default_rng(0).random((30, 4))
    np.save(tmp_path / "x.npy", x)
    path = tmp_path / "run"
    words = ["train", "--data", str(tmp_path / "x.npy"), "--epochs", "1", "--hidden", "4", "--out", str(path), "-q"]
    assert cli.main(words) == 0
    x[4] = 0                                                # a held-out row
    np.save(tmp_path / "x.npy", x)
    assert cli.main(["train", "--resume", str(path), "--epochs", "2"]) == 2
    assert "data are unchanged" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plot", "evaluate", "train --resume"])
def test_commands_that_read_the_data_refuse_a_run_with_changed_data(tmp_path, command, capsys):
    file, path, x = tmp_path / "x.npy", tmp_path / "run", np.random.default_rng(0).random((30, 4))
    np.save(file, x)
    assert cli.main(["train", "--data", str(file), "--epochs", "1", "--hidden", "4", "--out", str(path), "-q"]) == 0
    before = {each: each.read_bytes() for each in path.iterdir()}
    changes = (lambda: np.save(file, 1 - x), f"data are unchanged; got {path}"), (file.unlink, f"the data of {path}: ")
    for spoil, message in changes:
        spoil()
        capsys.readouterr()
        assert cli.main([*command.split(), str(path)]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
        assert {each: each.read_bytes() for each in path.iterdir()} == before


def test_model_file_of_another_run_is_refused(tmp_path, copy, capsys):
    other = tmp_path / "other"
    assert cli.main(["train", "--epochs", "1", "--latent", "3", "--out", str(other), "-q"]) == 0
    shutil.copy(other / "model.npz", copy / "model.npz")
    for command in (["train", "--resume"], ["plot"], ["sample"], ["evaluate"]):
        assert cli.main([*command, str(copy)]) == 2
        assert "whose model.npz is damaged (its model is not the one that config.json describes)" in capsys.readouterr().err


def broken(*anything):
    raise OSError(28, "No space left on device", "hero.png")


def test_results_survive_figures_that_cannot_be_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "draw_model", broken)
    path = tmp_path / "run"
    assert cli.main(["train", "--epochs", "1", "--hidden", "4", "--out", str(path), "-q"]) == 2
    assert "No space left" in capsys.readouterr().err
    results = json.loads((path / "results.json").read_text())
    assert results["log_px"] > results["elbo"] and results["files"] == []


@pytest.fixture
def copy(tmp_path, uninterrupted):
    return shutil.copytree(uninterrupted, tmp_path / "copy")


def changed(path, **changes):
    """Change these entries in the config of a run; the value None removes an entry."""
    config = json.loads((path / "config.json").read_text()) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch": 64}, "batch must be 128, as at the start; got 64"),
        ({"lr": 0.01}, "lr must be 0.002, as at the start; got 0.01"),
        ({"samples": 2}, "samples must be 1, as at the start; got 2"),
        ({"lr": "fast"}, "lr must be a finite number > 0; got 'fast'"),
        ({"epochs": 2}, "epochs must be a whole number >= 6; got 2"),
        ({"data": "nowhere.npz"}, "nowhere.npz: cannot be read"),
    ]
    + [
        ({name: None}, f"config.json is damaged ({name} is missing)")
        for name in ("batch", "lr", "samples", "data_crc32", "command")
    ],
)
def test_resume_refuses_an_edited_config(copy, change, message, capsys):
    changed(copy, **change)
    before = (copy / "model.npz").read_bytes()
    assert cli.main(["train", "--resume", str(copy)]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and (copy / "model.npz").read_bytes() == before


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "5", "{"])
def test_resume_refuses_a_damaged_config(copy, text, capsys):
    (copy / "config.json").write_text(text)
    assert cli.main(["train", "--resume", str(copy)]) == 2
    err = capsys.readouterr().err
    assert "config.json is damaged" in err and err.count("\n") == 1


def test_commands_refuse_a_model_file_with_a_changed_number_of_trials(copy, capsys):
    """If a model file could set any number of binomial trials, tables of the log-factorials could fill the memory."""
    saved = checkpoint.read(copy / "model.npz")
    vae = dataclasses.replace(saved.vae, likelihood=Binomial(10**12))
    checkpoint.save(copy / "model.npz", vae, saved.arrays, saved.numbers)
    changed(copy, model=checkpoint.describe(vae))
    for command in (["train", "--resume"], ["plot"], ["sample"]):
        assert cli.main([*command, str(copy)]) == 2
        assert "must be a model of counts 0..16" in capsys.readouterr().err


def test_old_results_are_removed_before_the_model_changes(copy, monkeypatch):
    """A crash must not leave results that belong to another model."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "measure", interrupted)
    assert cli.main(["train", "--resume", str(copy), "-q"]) == 130
    assert (copy / "results.json").exists()                 # no step was left, so the model is unchanged
    assert cli.main(["train", "--resume", str(copy), "-q", "--epochs", "7"]) == 130
    assert not (copy / "results.json").exists() and len(runs.read(copy).history) == 7


def test_resume_locks_the_run_before_reading_its_files(copy, monkeypatch):
    read, tried = runs.read, []

    def reading(path):
        with pytest.raises(ValueError, match="another process"), runs.alone(path):
            pass
        tried.append(path)
        return read(path)

    monkeypatch.setattr(runs, "read", reading)
    assert cli.main(["train", "--resume", str(copy), "-q"]) == 0 and tried == [copy]


def test_resume_of_a_missing_run_creates_nothing(tmp_path, capsys):
    assert cli.main(["train", "--resume", str(tmp_path / "nowhere")]) == 2
    assert "RUN must be the directory of a run" in capsys.readouterr().err and os.listdir(tmp_path) == []


WRONG = [["--save-every", "-1"], ["--save-every", "0"], ["--epochs", "0"], ["--lr", "0"], ["--data", "nowhere"]]


@pytest.mark.parametrize("wrong", WRONG)
def test_refused_command_overwrites_nothing(copy, wrong, capsys):
    before = sorted(os.listdir(copy))
    assert cli.main(["train", *SAVE_EACH_STEP, *wrong, "--out", str(copy), "--overwrite"]) == 2
    assert sorted(os.listdir(copy)) == before and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_can_be_resumed_after_a_stop_at_the_last_step(tmp_path, uninterrupted, monkeypatch, number, code, capsys):
    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(progress.Silent, "update", lambda self, done, text: signal.raise_signal(number) if done == 6 else None)
        assert cli.main(["train", *SAVE_EACH_EPOCH, "--out", str(path)]) == code
    assert "--resume" in capsys.readouterr().err and not (path / "results.json").exists()
    assert cli.main(["train", "--resume", str(path), "-q"]) == 0
    same_end(path, uninterrupted)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_can_be_resumed_if_stopped_directly_after_its_last_save(tmp_path, uninterrupted, monkeypatch, number, code):
    path, write = tmp_path / "run", runs.write

    def stopped(run):
        write(run)
        if run.saved.numbers["epoch"] == 7:
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write", stopped)
        assert cli.main(["train", "--epochs", "6", "--hidden", "8", "-q", "--out", str(path)]) == code
    assert cli.main(["train", "--resume", str(path), "-q"]) == 0
    same_end(path, uninterrupted)


def test_resume_removes_temporary_files_that_a_killed_command_left(copy):
    (copy / ".model.npz.4711").write_bytes(b"half")
    assert cli.main(["train", "--resume", str(copy), "-q"]) == 0
    assert not (copy / ".model.npz.4711").exists()


@pytest.mark.slow
def test_two_processes_never_write_the_same_run(tmp_path):
    path = tmp_path / "run"
    process = start("train", "--epochs", "100000", "--out", path, "-q")
    while not (path / "model.npz").exists() and process.poll() is None:
        time.sleep(0.01)
    seconds = [start("train", *arguments) for arguments in (["--resume", path], ["--out", path, "--overwrite"])]
    for second in seconds:
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2 and "another process" in err and (path / "model.npz").exists()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143 and is_whole(path)


def test_diverging_run_keeps_its_last_good_state(tmp_path):
    path = tmp_path / "run"
    done = subprocess.run(
        command("train", "--epochs", "9", "--hidden", "8", "--lr", "1e30", "--activation", "relu",
                "--out", path, "--save-every", 1),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "diverged in epoch" in done.stderr and f"last good state is in {path}" in done.stderr
    assert np.isfinite(is_whole(path).vae.params.flat).all()


def test_overflowing_weights_are_reported_as_divergence(tmp_path):
    """The check before each save finds the infinite weights before any loss is computed with these weights."""
    path = tmp_path / "run"
    again = ["--epochs", "2", "--hidden", "8", "--save-every", 1, "--out", path, "-q"]
    done = subprocess.run(command("train", "--lr", "1e39", *again), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    message = r"diverged in epoch 1, step 1: encoder\.1\.weight is .*try a tenth of --lr.*last good state is in"
    assert re.search(message, done.stderr)
    assert np.isfinite(is_whole(path).vae.params.flat).all()


@pytest.mark.slow
def test_training_survives_a_closed_stdout(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((100, 4)))  # few rows, so measuring is fast
    loud = [word for word in SAVE_EACH_STEP if word != "-q"]
    loud += ["--latent", "3"]                               # fewer figures are drawn for three latent dimensions
    words = shlex.join(command("train", *loud, "--data", tmp_path / "x.npy", "--out", tmp_path / "run"))
    done = subprocess.run(["bash", "-c", f"({words} >/dev/null; echo $? >{tmp_path}/code) 2>&1 | true"], timeout=60)
    assert done.returncode == 0 and (tmp_path / "code").read_text() == "0\n"
    assert len(is_whole(tmp_path / "run").history) == 6 and (tmp_path / "run" / "results.json").exists()


def test_full_disk_gives_a_one_line_error(tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["train", *SAVE_EACH_STEP, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "No space left on device" in err and "config.json" in err


def test_unwritable_directory_gives_a_one_line_error(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        assert cli.main(["train", *SAVE_EACH_STEP, "--out", str(path)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and str(tmp_path / "file") in err


def test_clock_that_goes_backwards_does_not_change_a_run(tmp_path, monkeypatch, uninterrupted):
    ticks = itertools.count(1e9, -7.5)
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    path = tmp_path / "run"
    assert cli.main(["train", "--epochs", "6", "--hidden", "8", "-q", "--out", str(path)]) == 0
    same_end(path, uninterrupted)


def test_the_runs_of_a_directory_are_listed(tmp_path, uninterrupted, capsys):
    assert cli.main(["runs", str(uninterrupted.parent)]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2 and "6/6" in out and "binomial" in out
    assert cli.main(["runs", str(uninterrupted), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["epochs"] == row["done"] == 6 and row["elbo"] < 0
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    assert cli.main(["runs", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "no runs in" in printed.err
