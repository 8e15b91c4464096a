"""Tests of Hong's entries. In the loss as Hong prints it, log sigma has the wrong sign.

Gradient descent reaches the posterior only if the sign is correct. The correct forms of the entries hold at extreme points.
"""

import numpy as np
import pytest

from derivations.engine import ledger
from derivations.engine.domains import draw, point
from derivations.engine.judge import judge_sides, sides_of
from derivations.engine.worlds import linear_posterior
from derivations.hong.loss import AS_PRINTED, MODEL, RIGHT, descent, loss
from derivations.hong.world import complex_gradient, lowest

STEPS = 2000


def test_descent_with_the_correct_sign_reaches_the_exact_posterior():
    mu, log_sigma = descent(RIGHT, STEPS)
    best_mu, best_sigma = linear_posterior(1, np.array(0.5), 1)
    assert abs(best_mu - 0.8) < 1e-15 and abs(best_sigma**2 - 0.2) < 1e-15
    assert abs(mu[-1] - best_mu) < 1e-12 and abs(np.exp(log_sigma[-1]) - best_sigma) < 1e-12


def test_descent_with_the_printed_sign_decreases_sigma_without_limit():
    _, log_sigma = descent(AS_PRINTED, STEPS)
    assert log_sigma[-1] < -40 and (np.diff(log_sigma, axis=0) < -0.02 + 1e-12).all()


def losses(log_sign, rate=0.02):
    """Return the loss after 0, 1, ..., STEPS steps of descent, for w = 1, sigma_theta^2 = 1/4, x = 1."""
    mu, log_sigma = descent(log_sign, STEPS, rate=rate)
    one = np.ones((STEPS + 1, 1))
    return loss(one[..., None], one / 2, one, mu, np.exp(log_sigma), log_sign)[:, 0]


def test_only_the_printed_loss_decreases_without_limit():
    minus_log_p = np.log(2 * np.pi * 1.25) / 2 + 1 / 2.5  # -ln p(x) for x = 1 and p(x) = N(0, 1 + 1/4)
    right, printed = losses(RIGHT), losses(AS_PRINTED)
    assert right.min() > minus_log_p - 1e-12 and abs(right[-1] - minus_log_p) < 1e-12
    assert printed[-1] < minus_log_p - 40 and (np.diff(printed) < 0).all()


def test_descent_step_follows_the_gradient_of_the_loss():
    values = draw(MODEL, np.random.default_rng(0), 20)
    models = [values[name] for name in ("W", "sigma_theta", "x")]
    for log_sign in (RIGHT, AS_PRINTED):
        at = np.concatenate(descent(log_sign, 3, *models, rate=0.01), axis=-1)              # (4, 20, 2d)

        def at_places(places):
            mu, log_sigma = np.split(places, 2, axis=-1)
            return loss(*(each[:, None] for each in models), mu, np.exp(log_sigma), log_sign)[..., 0]

        for t in range(3):
            step = -0.01 * complex_gradient(at_places, at[t])
            assert np.abs(at[t + 1] - at[t] - step).max() < 1e-14


def test_function_lowest_minimises_many_functions_in_one_call():
    lows = np.array([[-1.5], [0.0], [3.25]])
    found = lowest(lambda t: np.cosh((t - lows) / 4))
    assert found.shape == lows.shape and np.abs(found - lows).max() < 1e-12


ENTRIES = {entry.id: entry for entry in ledger.entries("hong")}
CLOSE = {"x": (0.1, 0.2, 0.3, 0.4), "x_tilde": (0.1, 0.2, 0.3, 0.4)}
FAR = {"x": (6, 0, 0, -6), "x_tilde": (0, 0, 0, 0), "sigma": 0.1}
CORRELATED = {"W": ((1, 0), (0, 1), (0, 0)), "sigma_theta": 0.15, "x": (1, 0, -1), "mu": (1, 0), "sigma": (2, 1)}
HARD = (
    ("hong.2", CLOSE), ("hong.4", {"x": CLOSE["x"], "mean": CLOSE["x"], "sigma": 0.3}),
    ("hong.15", FAR), ("hong.16", FAR), ("hong.17", CORRELATED), ("hong.18", CORRELATED),
)  # fmt: skip


@pytest.mark.parametrize("id, values", HARD)
def test_correct_forms_of_hong_hold_at_hard_points(id, values):
    entry = ENTRIES[id]
    form = entry.rows[0].repair or entry.printed
    assert all(link.ok for link in judge_sides(*sides_of(form, point(**values)), entry.tolerance))


def test_the_covariance_in_hong_6_is_a_diagonal_matrix():
    cov, _, diagonal = ENTRIES["hong.6"].rows[0].repair.function(np.array([[2.0, 1.0]]))
    assert np.abs(cov - [[[4, 0], [0, 1]]]).max() < 1e-14 and (diagonal == [[[4, 0], [0, 1]]]).all()
