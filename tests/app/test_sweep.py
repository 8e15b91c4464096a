"""Sweeps: the result for each value equals that of a separate training, collapse is detected, finished results are kept."""

import json
import os
import shlex
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from minivae import data
from minivae.app import cli
from minivae.evidence.sweep import DRAWS, Setting, measure, sweep
from minivae.figures import style
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.train import Diverged, Training, train
from minivae.vae import VAE
from tests.helpers.numeric import refused

QUICK = ["sweep", "--epochs", "2", "--hidden", "8", "-q"]


def points(settings, **how):
    return list(sweep(data.digits().as_fractions(), settings, **how))


def test_sweep_point_equals_a_separate_training():
    digits = data.digits()
    settings = [Setting(beta, Binomial(16), beta, latent) for beta, latent in ((0.5, 3), (2.0, 2))]
    swept = list(sweep(digits, settings, hidden=(8,), epochs=2, seed=4))
    for setting, point in zip(settings, swept):
        rng = np.random.default_rng(4)
        kind = {"likelihood": Binomial(16), "data_mean": digits.train_x.mean(axis=0), "beta": setting.beta}
        vae = VAE.init(rng, 64, setting.latent, (8,), **kind)
        list(train(vae, digits, rng, epochs=2, batch=128))
        assert measure(vae, digits.test_x, rng, setting.value) == point
        rng = np.random.default_rng(9)
        elbos = np.array([vae.elbo(digits.test_x, vae.draw_noise(rng, 355)).mean() for _ in range(DRAWS)])
        error = np.hypot(elbos.std() / DRAWS**0.5, point.distortion_se)
        assert abs(elbos.mean() - point.elbo) < 6 * error   # fails for 2 of 10^9 seeds
        assert point.elbo == pytest.approx(-point.distortion - point.rate, abs=1e-9)
        assert sum(point.kls) == pytest.approx(point.rate, rel=1e-9) and len(point.kls) == setting.latent
        assert list(point.kls) == sorted(point.kls, reverse=True)


def test_sweep_measures_a_collapsed_and_an_active_model():
    x = np.random.default_rng(0).normal(size=(50, 3))
    vae = VAE.init(np.random.default_rng(0), 3, 3, (), dtype=np.float64, likelihood=Gaussian(1.0))
    vae.params.flat[:] = 0
    point = measure(vae, x, np.random.default_rng(0), "none")
    assert (point.rate, point.active, point.spread, point.collapsed) == (0, 0, 0, True)
    vae.params["encoder.1.weight"][:, :3] = vae.params["decoder.1.weight"][...] = np.eye(3)
    point = measure(vae, x, np.random.default_rng(0), "identity")
    assert point.active == 3 and point.spread == pytest.approx(1) and not point.collapsed


@pytest.mark.slow
def test_large_beta_or_sigma_causes_collapse_but_small_values_do_not():
    by_beta = points([Setting(beta, Bernoulli(), beta) for beta in (1.0, 32.0)], epochs=30)
    by_sigma = points([Setting(sigma, Gaussian(sigma)) for sigma in (0.2, 3.0)], epochs=30)
    for kept, lost in (by_beta, by_sigma):
        assert not kept.collapsed and kept.rate > 0.9 and kept.spread > 0.3
        assert lost.collapsed and lost.rate < 0.01 and lost.spread < 0.01


@pytest.mark.slow
def test_more_latent_dimensions_raise_the_rate_and_lower_the_distortion():
    one, two, five = points([Setting(latent, Bernoulli(), 0.25, latent) for latent in (1, 2, 5)], epochs=30)
    assert one.rate < two.rate < five.rate and one.distortion > two.distortion > five.distortion


def test_sweep_refuses_bad_settings():
    refused(lambda: points([Setting(1, Bernoulli(), -1.0)]), "beta", ">= 0", "-1.0", "sign")
    refused(lambda: points([Setting(1, Bernoulli(), latent=0)]), "latent", ">= 1", "0", "latent=1")
    refused(lambda: points([Setting(1, Bernoulli())], seed=-1), "seed", ">= 0", "-1", "seed")


def test_sweep_refuses_bad_settings_before_the_first_training():
    digits, good = data.digits().as_fractions(), Setting(1, Bernoulli())
    refused(lambda: sweep(digits, [good, Setting(2, Bernoulli(), -1.0)]), "beta", ">= 0", "-1.0", "sign")
    refused(lambda: sweep(digits, [good], epochs=0), "epochs", ">= 1", "0", "epochs=1")


def test_stopped_sweep_yields_no_point_of_an_unfinished_training():
    asked = []
    stop = lambda: len(asked) >= 15 or asked.append(None)   # True at call 16, in the second training (12 steps each)
    swept = points([Setting(beta, Bernoulli(), beta) for beta in (1.0, 2.0, 3.0)], epochs=1, hidden=(4,), stop=stop)
    assert [point.value for point in swept] == [1.0] and len(asked) == 15


def test_stopped_sweep_yields_the_point_of_a_training_that_just_finished():
    (point,) = points([Setting(1, Bernoulli())], epochs=1, hidden=(4,), batch=10**6, stop=lambda: True)
    assert point.value == 1


def test_training_that_ends_with_infinite_adam_moments_is_refused():
    """Loss and parameters stay finite, but Adam's v is infinite, so the parameters no longer change."""
    with warnings.catch_warnings(action="error"), pytest.raises(Diverged, match="Adam's v is the first quantity"):
        points([Setting(1e-12, Gaussian(1e-12))], epochs=1, hidden=(4,))


ONE_ROW = np.random.default_rng(0).random((1, 4))


@pytest.mark.parametrize("x", [np.full((50, 4), 0.1), np.full((50, 4), 7, np.uint8), ONE_ROW])
def test_sweep_reports_no_spread_of_decoded_means_for_constant_data(x):
    vae = VAE.init(np.random.default_rng(0), 4, 2, (3,), likelihood=Gaussian(1.0))
    with warnings.catch_warnings(action="error"):
        assert measure(vae, x, np.random.default_rng(0), "same").spread is None


# The command


@pytest.fixture
def undrawn(monkeypatch):
    """Let the command write an empty file as its figure, to save time."""
    monkeypatch.setattr(style, "save", lambda figure, alt, path: path.touch())


@pytest.mark.slow
def test_sweep_prints_json_with_a_command_that_repeats_the_sweep(tmp_path, capsys):
    assert cli.main([*QUICK, "--beta", "0.25,1", "--latent", "3", "--out", str(tmp_path / "a"), "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert printed.err == "" and document == json.loads((tmp_path / "a" / "sweep.json").read_text())
    assert document["swept"] == "beta" and [point["beta"] for point in document["points"]] == [0.25, 1]
    assert all(len(point["kls"]) == point["latent"] == 3 for point in document["points"])
    assert document["likelihood"] == "binomial" and document["held_out"] == 355 and document["seed"] == 0
    (file,) = document["files"]
    assert (tmp_path / "a" / "rate_distortion.png").exists() and len(file["alt"]) > 100
    words = shlex.split(document["command"])
    words[words.index("--out") + 1] = str(tmp_path / "b")
    assert cli.main([*words[1:], "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == document["points"]


def test_sweep_table_has_the_numbers_of_the_json_document(undrawn, tmp_path, capsys):
    line = ["sweep", "--epochs", "2", "--hidden", "none", "--sigma", "0.3,5,optimal", "--out", str(tmp_path / "run")]
    assert cli.main(line) == 0
    printed = capsys.readouterr()
    document = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert "3/3" in printed.err and document["likelihood"] == "gaussian" and document["hidden"] == []
    for point, row in zip(document["points"], printed.out.splitlines()[3:6]):
        name, distortion, rate, elbo, active, _, latent, spread, *collapsed = row.split()
        assert name == str(point["value"]).removesuffix(".0") and (active, latent) == (str(point["active"]), "2")
        shown = [float(number) for number in (distortion, rate, elbo, spread)]
        assert shown == pytest.approx([point[key] for key in ("distortion", "rate", "elbo", "spread")], abs=0.006)
        assert collapsed == ["collapsed"] * point["collapsed"]


def signalled(monkeypatch, *numbers):
    """Let the first step of the second training raise these signals, one after the other."""
    step, trainings = Training.step, []

    def stepping(training, rows):
        if training not in trainings:
            trainings.append(training)
            for number in numbers if len(trainings) == 2 else ():
                signal.raise_signal(number)
        step(training, rows)

    monkeypatch.setattr(Training, "step", stepping)


INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("numbers, code", [([INT], 130), ([TERM], 143), ([INT, INT], 130), ([TERM, INT], 130)])
def test_interrupted_sweep_keeps_finished_trainings(undrawn, tmp_path, capsys, monkeypatch, sigint_enabled, numbers, code):
    signalled(monkeypatch, *numbers)
    assert cli.main([*QUICK, "--latent", "1,2,3", "--out", str(tmp_path / "run"), "--json"]) == code
    printed = capsys.readouterr()
    assert "interrupted after 1 of 3" in printed.err and str(tmp_path / "run") in printed.err
    assert len(json.loads(printed.out)["points"]) == 1 and json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert (tmp_path / "run" / "rate_distortion.png").exists()


def test_sweep_writes_nothing_if_its_first_training_is_interrupted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Training, "step", lambda training, rows: signal.raise_signal(TERM))
    assert cli.main([*QUICK, "--latent", "1,2,3", "--out", str(tmp_path / "run")]) == 143
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == "minivae: interrupted after 0 of 3 trainings\n"
    assert os.listdir(tmp_path / "run") == []


def test_sweep_numbers_survive_a_figure_that_cannot_be_saved(tmp_path, monkeypatch, capsys):
    def broken(*anything):
        raise OSError(28, "No space left on device", "rate_distortion.png")

    monkeypatch.setattr(style, "save", broken)
    assert cli.main([*QUICK, "--latent", "1,2", "--out", str(tmp_path / "run")]) == 2
    assert "No space left" in capsys.readouterr().err
    document = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert len(document["points"]) == 2 and document["files"] == []


def test_sweep_keeps_all_points_if_it_is_interrupted_while_drawing(tmp_path, capsys, monkeypatch):
    save = style.save
    monkeypatch.setattr(style, "save", lambda *drawn: (signal.raise_signal(TERM), save(*drawn)))
    assert cli.main([*QUICK, "--latent", "1,2", "--out", str(tmp_path / "run"), "--json"]) == 143
    assert len(json.loads(capsys.readouterr().out)["points"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number, code, unbuffered", [(INT, 130, False), (TERM, 143, True)])
def test_interrupted_sweep_writes_its_points_despite_a_closed_pipe(tmp_path, number, code, unbuffered):
    """Let stdout and stderr share one pipe. Close the reading end of the pipe before the signal is sent.

    At a terminal, Ctrl-C ends the program and also the process that reads the program's output through a pipe.
    """
    words = ["sweep", "--latent", "1,2,3", "--epochs", "2", "--hidden", "8", "--out", str(tmp_path / "run")]
    stepping = (
        "import sys; from minivae.app import cli; from minivae.train import Training\n"
        "step, seen = Training.step, set()\n"
        "def stepping(training, rows):\n"
        "    if training.epoch == 1 and training.done == 0:\n"
        "        seen.add(training.vae.latent)\n"
        "        if len(seen) == 2: input()\n"              # wait until the signal is sent
        "    step(training, rows)\n"
        "Training.step = stepping\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": "1" if unbuffered else ""}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": environment}
    with subprocess.Popen([sys.executable, "-c", stepping, *words], **pipes) as process:
        while b"1/3" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        process.send_signal(number)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(timeout=60) == code
    assert len(json.loads((tmp_path / "run" / "sweep.json").read_text())["points"]) == 1


def test_sweep_that_diverges_reports_the_value_and_keeps_the_earlier_points(undrawn, tmp_path, capsys):
    line = [*QUICK, "--sigma", "1,0.5,1e-30,2", "--out", str(tmp_path / "run"), "--json"]
    with warnings.catch_warnings(action="error"):
        assert cli.main(line) == 2
    printed = capsys.readouterr()
    document = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert json.loads(printed.out) == document and [point["value"] for point in document["points"]] == [1, 0.5]
    assert printed.err.startswith("minivae: --sigma 1e-30: training diverged in epoch 1") and printed.err.count("\n") == 1
    assert f"2 of 4 trainings were finished before; their results are in {tmp_path / 'run'}." in printed.err


def test_sweep_that_diverges_at_once_writes_nothing(tmp_path, capsys):
    assert cli.main([*QUICK, "--beta", "1e30,1", "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("minivae: --beta 1e+30: training diverged")
    assert "0 of 2 trainings were finished before.\n" in printed.err and os.listdir(tmp_path / "run") == []


def test_sweep_of_constant_data_has_a_table_a_figure_and_valid_json(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.full((50, 4), 0.5))
    line = [*QUICK, "--beta", "1,2", "--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run")]
    with warnings.catch_warnings(action="error"):
        assert cli.main(line) == 0
    rows = capsys.readouterr().out.splitlines()[3:5]
    assert [row.split()[7] for row in rows] == ["-", "-"] and (tmp_path / "run" / "rate_distortion.png").exists()
    document = json.loads((tmp_path / "run" / "sweep.json").read_text(), parse_constant=pytest.fail)
    assert [point["spread"] for point in document["points"]] == [None, None]


def test_sweep_refuses_a_file_as_option_out_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Training, "step", None)
    (tmp_path / "file").write_text("mine")
    assert cli.main(["sweep", "--beta", "1,2", "--out", str(tmp_path / "file")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"minivae: --out must be a directory; got {tmp_path / 'file'}, which is a file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("wrong", ["--epochs 0", "--batch 0", "--lr 0", "--hidden 0", "--seed -1"])
def test_refused_sweep_prints_one_line_and_makes_no_directory(wrong, tmp_path, capsys):
    assert cli.main(["sweep", "--beta", "1,2", *wrong.split(), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert "must be" in printed.err and printed.err.count("\n") == 1 and not (tmp_path / "run").exists()


def test_sweep_overwrites_only_with_option_overwrite(undrawn, tmp_path, capsys):
    line = [*QUICK, "--latent", "1,2", "--out", str(tmp_path / "run")]
    assert cli.main(line) == 0 and cli.main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*line, "--overwrite"]) == 0


@pytest.mark.parametrize("fixed", [[], ["--latent", "3"]])
def test_sweep_uses_five_betas_if_no_option_has_several_values(undrawn, tmp_path, capsys, fixed):
    assert cli.main([*QUICK, *fixed, "--out", str(tmp_path / "run"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["swept"] == "beta" and [point["value"] for point in document["points"]] == [0.25, 1, 4, 16, 64]
    assert {point["latent"] for point in document["points"]} == {3 if fixed else 2}
    assert "--beta 0.25,1.0,4.0,16.0,64.0" in document["command"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("--beta 1", "--sigma and --latent must be a list of several values, separated by commas; got no such list"),
        ("--beta 1,2 --latent 1,2", "got several for --beta and several for --latent"),
        ("--beta 1,1", "different values"),
        ("--beta 1,-1", "beta must be"),
        ("--latent 2,0", "latent must be"),
        ("--sigma 1,0", "sigma must be"),
        ("--sigma 1,2 --likelihood bernoulli", "--likelihood gaussian"),
        ("--beta 1,2 --likelihood cauchy", "likelihood must be one of"),
        ("--beta 1,2 --data nowhere.npz", "nowhere.npz"),
        ("--beta 1,2 --epochs 0", "epochs must be"),
    ],
)
def test_bad_input_of_sweep_prints_one_line_on_stderr(line, words, tmp_path, capsys):
    assert cli.main([*QUICK[:1], "-q", *shlex.split(line), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize("line", ["--beta 1,x", "--latent 1.5,2"])
def test_sweep_values_that_are_not_numbers_are_usage_errors(line, capsys):
    assert cli.main(["sweep", *shlex.split(line)]) == 2
    assert f"numbers with commas between them; got '{line.split()[1]}'" in capsys.readouterr().err
