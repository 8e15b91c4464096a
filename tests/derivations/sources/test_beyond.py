"""Entries of `beyond` hold at extreme points inside their assumptions, and agree with plain sums and closed forms."""

import itertools
import math

import numpy as np
import pytest

from derivations.beyond import elbo, gaussians, information
from derivations.engine.domains import point
from derivations.engine.judge import judge_sides, sides_of
from derivations.engine.ledger import entries

ENTRIES = {entry.id: entry for entry in entries("beyond")}
MOVED = {"mu_q": 0, "sigma_q": 1, "mu_p": 0.05, "sigma_p": 2}
COINS = {"p": (0.5, 0.5), "u": (1, -1)}
HARD = [
    ("beyond.31", COINS | {"t": 0.99}),
    ("beyond.31", COINS | {"t": 0.9999}),
    ("beyond.31", {"p": (1 - 1e-8, 1e-8), "u": (1, 2), "t": 0.001}),
    ("beyond.34", MOVED | {"slope": 50, "bend": 5}),
    ("beyond.34", MOVED | {"slope": -0.02, "bend": 80}),
    ("beyond.55", {"q": (1, 0, 0), "p": (0.5, 0.5, 0), "a": 0}),
    ("beyond.55", {"q": (1, 0), "p": (1 - 1e-9, 1e-9), "a": 0}),
]


@pytest.mark.parametrize("id, values", HARD)
def test_identity_holds_at_an_extreme_point_that_satisfies_its_assumption(id, values):
    entry = ENTRIES[id]
    assert all(link.ok for link in judge_sides(*sides_of(entry.printed, point(**values)), entry.tolerance))


def plain_divergence(K, q, posterior):
    """Return KL(q(z_1) ... q(z_K) || r) as a sum over all tuples (z_1, ..., z_K).

    r = 1/K sum_j p(z_j|x) prod_{k != j} q(z_k)
    """
    found = 0.0
    for z in itertools.product(range(len(q)), repeat=K):
        of_q = math.prod(q[k] for k in z)
        mixture = sum(posterior[z[j]] * math.prod(q[z[k]] for k in range(K) if k != j) for j in range(K)) / K
        found += of_q * math.log(of_q / mixture)
    return found


@pytest.mark.parametrize("K", [1, 2, 3, 4])
def test_gap_of_the_bound_with_k_draws_equals_a_divergence(K):
    p_xz, q = np.array([[[0.1, 0.3, 0.2], [0.2, 0.1, 0.1]]]), np.array([[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]])
    for row in range(2):
        posterior = p_xz[0, row] / p_xz[0, row].sum()
        assert elbo.gap_of(K, p_xz, q)[0, row, 0] == pytest.approx(plain_divergence(K, q[0, row], posterior), rel=1e-12)


def test_gap_of_the_bound_decreases_with_more_draws():
    p_xz, q = np.array([[[0.1, 0.4]]]), np.array([[[0.5, 0.5]]])
    gaps = [elbo.gap_of(K, p_xz, q)[0, 0, 0] for K in (1, 2, 3, 4)]
    np.testing.assert_allclose(gaps, [0.22314, 0.11157, 0.07109, 0.05147], atol=1e-5)


@pytest.mark.parametrize("d", [-0.9999, -0.5, -1e-9, 0, 1e-9, 0.9, 3.0])
def test_taylor_remainder_by_quadrature_equals_its_closed_form(d):
    """The closed form is `(log(1 + d) - d + d^2 / 2) / d^3`; near d = 0, the test uses the series 1/3 - d/4."""
    exact = 1 / 3 - d / 4 if abs(d) < 1e-6 else (math.log1p(d) - d + d**2 / 2) / d**3
    assert information.taylor_rest(np.array([[d]]))[0, 0] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("bend", [0.0, 0.5, 80.0])
def test_inverse_of_the_change_of_variables_is_accurate(bend):
    """The function `y_of` solves t = y + bend tanh(y) for y."""
    t = np.array([[-100.0], [-0.3], [0.0], [2.0]])
    y = gaussians.y_of(t, bend)
    np.testing.assert_allclose(y + bend * np.tanh(y), t, rtol=1e-12, atol=1e-13)


def test_identity_for_a_change_of_variables_holds_where_entropy_is_almost_0():
    """The entropy of y is 1.1 - 1.1 = 0 nats; the judge divides the error of the entropy by 1.1, not by 0."""
    sigma_q = 3 / math.sqrt(2 * math.pi * math.e)           # y = z / 3 has standard deviation sigma_q / 3 and entropy 0
    sides, relations = sides_of(
        ENTRIES["beyond.34"].printed, point(mu_q=0.3, sigma_q=sigma_q, mu_p=0.05, sigma_p=1, slope=3, bend=0)
    )
    assert abs(sides[0][0, 1]) < 1e-12 and judge_sides(sides, relations, 1e-9)[0].state == "holds"
    assert judge_sides([sides[0] + [[0, 1e-4]], sides[1]], relations, 1e-9)[0].state == "fails"
