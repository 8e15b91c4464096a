"""Sweeps: every point is what its own training comes to, and what collapses is called so."""

import json
import shlex

import numpy as np
import pytest

from minivae import cli, data
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.sweep import DRAWS, Setting, measure, sweep
from minivae.train import train
from minivae.vae import VAE
from tests.numeric import refused

QUICK = ["sweep", "--epochs", "2", "--hidden", "8", "-q"]


def points(settings, **how):
    return list(sweep(data.digits().as_fractions(), settings, **how))


def test_a_point_is_what_its_own_training_comes_to():
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
        assert abs(elbos.mean() - point.elbo) < 6 * error   # false alarms: 2e-9
        assert point.elbo == pytest.approx(-point.distortion - point.rate, abs=1e-9)
        assert sum(point.kls) == pytest.approx(point.rate, rel=1e-9) and len(point.kls) == setting.latent
        assert list(point.kls) == sorted(point.kls, reverse=True)


def test_measures_of_a_model_without_a_code_and_of_a_perfect_one():
    x = np.random.default_rng(0).normal(size=(50, 3))
    vae = VAE.init(np.random.default_rng(0), 3, 3, (), dtype=np.float64, likelihood=Gaussian(1.0))
    vae.params.flat[:] = 0
    point = measure(vae, x, np.random.default_rng(0), "none")
    assert (point.rate, point.active, point.spread, point.collapsed) == (0, 0, 0, True)
    vae.params["encoder.1.weight"][:, :3] = vae.params["decoder.1.weight"][...] = np.eye(3)
    point = measure(vae, x, np.random.default_rng(0), "identity")
    assert point.active == 3 and point.spread == pytest.approx(1) and not point.collapsed


def test_a_large_beta_or_sigma_collapses_and_a_small_one_does_not():
    by_beta = points([Setting(beta, Bernoulli(), beta) for beta in (1.0, 32.0)], epochs=30)
    by_sigma = points([Setting(sigma, Gaussian(sigma)) for sigma in (0.2, 3.0)], epochs=30)
    for kept, lost in (by_beta, by_sigma):
        assert not kept.collapsed and kept.rate > 0.9 and kept.spread > 0.3
        assert lost.collapsed and lost.rate < 0.01 and lost.spread < 0.01


def test_more_latents_cost_more_and_save_more():
    one, two, five = points([Setting(latent, Bernoulli(), 0.25, latent) for latent in (1, 2, 5)], epochs=30)
    assert one.rate < two.rate < five.rate and one.distortion > two.distortion > five.distortion


def test_bad_settings_are_refused():
    refused(lambda: points([Setting(1, Bernoulli(), -1.0)]), "beta", ">= 0", "-1.0", "sign")
    refused(lambda: points([Setting(1, Bernoulli(), latent=0)]), "latent", ">= 1", "0", "latent=1")
    refused(lambda: points([Setting(1, Bernoulli())], seed=-1), "seed", ">= 0", "-1", "seed")


# The command


def test_the_command_prints_one_document_and_can_be_repeated(tmp_path, capsys):
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


def test_the_table_says_the_same_as_json_and_progress_goes_to_stderr(tmp_path, capsys):
    line = ["sweep", "--epochs", "2", "--hidden", "none", "--sigma", "0.3,5,optimal", "--out", str(tmp_path / "run")]
    assert cli.main(line) == 0
    printed = capsys.readouterr()
    document = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert "3/3" in printed.err and document["likelihood"] == "gaussian" and document["hidden"] == []
    for point, row in zip(document["points"], printed.out.splitlines()[2:5]):
        name, distortion, rate, elbo, active, _, latent, spread, *collapsed = row.split()
        assert name == str(point["value"]).removesuffix(".0") and (active, latent) == (str(point["active"]), "2")
        shown = [float(number) for number in (distortion, rate, elbo, spread)]
        assert shown == pytest.approx([point[key] for key in ("distortion", "rate", "elbo", "spread")], abs=0.006)
        assert collapsed == ["collapsed"] * point["collapsed"]


def test_an_interrupt_keeps_what_was_done(tmp_path, capsys, monkeypatch):
    trainings = iter([None, KeyboardInterrupt()])

    def interrupted(*arguments, **settings):
        error = next(trainings)
        if error:
            raise error
        return train(*arguments, **settings)

    monkeypatch.setattr("minivae.sweep.train", interrupted)
    assert cli.main([*QUICK, "--latent", "1,2,3", "--out", str(tmp_path / "run"), "--json"]) == 130
    printed = capsys.readouterr()
    assert "interrupted after 1 of 3" in printed.err and len(json.loads(printed.out)["points"]) == 1
    assert (tmp_path / "run" / "rate_distortion.png").exists()


def test_an_earlier_sweep_is_not_overwritten_unasked(tmp_path, capsys):
    line = [*QUICK, "--latent", "1,2", "--out", str(tmp_path / "run")]
    assert cli.main(line) == 0 and cli.main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*line, "--overwrite"]) == 0


@pytest.mark.parametrize(
    "line, words",
    [
        ("", "exactly one of --beta"),
        ("--beta 1", "exactly one of --beta, --sigma and --latent; got several for none"),
        ("--beta 1,2 --latent 1,2", "got several for --beta and --latent"),
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
def test_bad_input_is_one_line_on_stderr(line, words, tmp_path, capsys):
    assert cli.main([*QUICK[:1], "-q", *shlex.split(line), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize("line", ["--beta 1,x", "--latent 1.5,2"])
def test_what_is_no_number_is_a_usage_error(line, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["sweep", *shlex.split(line)])
    assert end.value.code == 2 and "values" in capsys.readouterr().err
