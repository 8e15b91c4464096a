"""`derivations questions`: the numbers in its answers are correct; a figure that contradicts its answer is refused."""

import functools
import json
import re

import numpy as np
import pytest

from derivations.app import cli
from derivations.engine import ledger
from derivations.engine.worlds import linear_log_evidence
from derivations.figures.digits import two_models
from derivations.study import questions
from tests.helpers.drawn import refused

ANSWERS = [ask() for ask in questions.QUESTIONS]


trained = functools.cache(questions.train_pair)


@pytest.fixture(scope="module")
def pair():
    return trained()


@pytest.mark.slow
def test_every_answer_cites_existing_rows_of_the_ledger(pair):
    for answer in [*ANSWERS, questions.autoencoder_or_vae(pair)]:
        for id in answer.ids:
            assert ledger.find(id)
        assert all(len(row) == len(answer.columns) for row in answer.rows)


def test_number_of_draws_is_huge_in_20_dimensions_and_matches_an_experiment():
    """In one dimension, the stated number of draws estimates p(x) with a relative standard deviation of 1/10."""
    (rows,) = (answer.rows for answer in ANSWERS if "prior" in answer.says or "draw z" in answer.question)
    needed = dict(rows)
    assert list(needed) == [1, 2, 5, 10, 20] and needed[20] > 1e6
    rng = np.random.default_rng(0)
    draws, repeats = round(needed[1]), 20_000
    z = rng.standard_normal((repeats, draws))
    estimate = (np.exp(-((z / 0.5) ** 2) / 2) / (0.5 * np.sqrt(2 * np.pi))).mean(axis=1)
    exact = np.exp(linear_log_evidence(1.0, 0.5, 0.0))
    assert estimate.std() / exact == pytest.approx(0.1, rel=0.03)          # five standard errors are 2.5 %


def test_gap_of_the_elbo_equals_the_reverse_but_not_the_forward_kl():
    (rows,) = (answer.rows for answer in ANSWERS if "reverse" in answer.question)
    for _, _, gap, reverse, forward in rows:
        assert gap == pytest.approx(reverse, abs=1e-12)
    assert max(abs(gap - forward) for *_, gap, _, forward in rows) > 0.1 and rows[-1][2] == 0


def test_averaging_the_kl_over_dimensions_reduces_the_variance_of_q():
    (rows,) = (answer.rows for answer in ANSWERS if "sum" in answer.question)
    variances = [row[2] for row in rows]
    assert variances == sorted(variances, reverse=True) and rows[0][2] == pytest.approx(rows[0][3])
    assert rows[-1][0] == 50 and rows[-1][2] == pytest.approx(0.004975, abs=1e-6)
    assert all(row[3] == pytest.approx(0.2) for row in rows)


def test_autoencoder_reconstructs_better_but_generates_worse_samples(pair):
    auto, vae = questions.autoencoder_or_vae(pair).rows
    assert (auto[0], vae[0]) == ("autoencoder", "VAE")
    assert auto[1] > vae[1] + 2                             # log p(x|z)
    assert auto[2] < 0.3 < 0.45 < vae[2]                    # fraction of codes in the circle that contains 95 % of N(0, I)
    assert auto[3] > 0.5 > 0.4 > vae[3] and auto[4] < vae[4]                # share of the largest class, number of classes


def test_nearest_training_digit_of_a_training_digit_is_itself(pair):
    chosen = pair.data.train_x[:200].astype(float)
    shares = questions.classes_of(chosen, pair.data)
    assert shares == pytest.approx(np.bincount(pair.data.train_y[:200], minlength=10) / 200)


AUTO, RIGHT = ("autoencoder", -152.0, 0.15, 0.7, 6), ("VAE", -158.0, 0.55, 0.3, 9)
FAULTS = {
    "worse fit": (lambda: two_models(trained(), [AUTO, ("VAE", -150.0, *RIGHT[2:])]), "reconstructs better"),
    "autoencoder codes near 0": (lambda: two_models(trained(), [(*AUTO[:2], 0.5, *AUTO[3:]), RIGHT]), "fewer of the auto"),
    "autoencoder with many digits": (lambda: two_models(trained(), [(*AUTO[:3], 0.4, 6), RIGHT]), "mostly one digit"),
    "VAE with mostly one digit": (lambda: two_models(trained(), [AUTO, (*RIGHT[:3], 0.6, 9)]), "mostly one digit"),
}


def test_alt_text_of_the_question_figure_states_its_percentages(pair):
    figure, alt = two_models(pair)
    assert len(figure.axes) == 4 and "68 and 28 % of" in alt and len(alt) <= 250


@pytest.mark.parametrize("fault", FAULTS)
def test_question_figure_that_contradicts_its_answer_is_refused(fault):
    refused(*FAULTS[fault])


@pytest.mark.slow
def test_questions_command_writes_json_and_figures(pair, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(questions, "train_pair", lambda: pair)              # `pair` is trained, which saves time
    assert cli.main(["questions", "--out", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["answers"]) == 4 and {file["path"].rsplit(".")[-1] for file in document["files"]} == {"svg", "png"}
    assert cli.main(["questions", "--out", str(tmp_path)]) == 2 and "--overwrite" in capsys.readouterr().err
    text = "\n".join(line for answer in ANSWERS for line in questions.lines(answer, 90))
    assert all(len(line) <= 110 for line in text.splitlines()) and re.search(r"20 +2,735,011", text)
