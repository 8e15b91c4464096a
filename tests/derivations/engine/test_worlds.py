"""Tables of probabilities and events satisfy the axioms of probability; linear models agree with numerical integrals."""

import numpy as np
import pytest
from hypothesis import given

from derivations.engine import worlds
from derivations.engine.numerics import kl, kl_normal, kl_normal_full, log_density_full, need_pmf, total
from derivations.engine.worlds import (
    EVENTS,
    LINEAR,
    MU_Q,
    SIGMA_Q,
    TABLES,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
)
from minivae.gaussian import kl_diagonal, kl_full
from tests.helpers.numeric import refused
from tests.helpers.strategies import points

GRID = np.linspace(-60, 60, 60001)  # values of z; at both ends, all densities of z in this file are near 0


def agree(left, right, rel=1e-12):
    assert np.abs(left - right).max() <= rel * np.maximum(np.abs(left), np.abs(right)).max()


# Finite tables


@pytest.mark.slow
@given(points(TABLES))
def test_conditional_tables_are_distributions_and_their_average_is_the_marginal(values):
    p_xz = values["p_xz"]
    p_x, p_z = worlds.evidence(p_xz), worlds.prior(p_xz)
    assert p_x.shape == (1, 4, 1) and p_z.shape == (1, 1, 5)
    need_pmf("posterior", worlds.posterior(p_xz))
    need_pmf("likelihood", np.swapaxes(worlds.likelihood(p_xz), -1, -2))
    agree(total(worlds.likelihood(p_xz) * p_z), p_x)
    agree(worlds.posterior(p_xz) * p_x, p_xz)
    agree(worlds.likelihood(p_xz) * p_z, p_xz)
    agree(p_x.sum(), 1)


def test_posterior_and_likelihood_of_a_table_agree_with_hand_computation():
    p_xz = np.array([[[0.1, 0.4], [0.3, 0.2]]])
    agree(worlds.posterior(p_xz), np.array([[[0.2, 0.8], [0.6, 0.4]]]))
    agree(worlds.likelihood(p_xz), np.array([[[1 / 4, 2 / 3], [3 / 4, 1 / 3]]]))


@pytest.mark.parametrize("call, name", [(worlds.posterior, "p(x)"), (worlds.likelihood, "p(z)")])
def test_conditioning_on_probability_zero_is_refused(call, name):
    table = np.array([[[0, 0], [0, 1.0]]])
    refused(lambda: call(table), name, "> 0", "0", "is undefined")
    with pytest.raises(ValueError, match="must be > 0"):
        call(np.full((1, 2, 2), np.nan))


# Events


@given(points(EVENTS))
def test_probabilities_of_events_obey_their_axioms(values):
    atoms, X, Y = values["atoms"], values["X"], values["Y"]
    P = lambda event: worlds.probability(atoms, event)  # noqa: E731
    assert 0 < P(X).item() <= 1 + 1e-15 and P(X).shape == (1, 1)
    agree(P(np.ones_like(X)), 1)
    agree(P(np.maximum(X, Y)) + P(X * Y), P(X) + P(Y))
    need_pmf("given Y", worlds.conditioned(atoms, Y))
    agree(worlds.probability(worlds.conditioned(atoms, Y), Y), 1)
    ratio = P(X * Y) / P(Y)
    assert abs(worlds.probability(worlds.conditioned(atoms, Y), X) - ratio).item() < 1e-14


def test_probabilities_of_events_agree_with_hand_computation():
    atoms, X, Y = (np.array([row]) for row in ((0.1, 0.2, 0.3, 0.4), (1, 1, 0, 0), (0, 1, 1, 1)))
    agree(worlds.probability(atoms, X), 0.3)
    agree(worlds.conditioned(atoms, Y), np.array([[0, 2, 3, 4]]) / 9)
    refused(lambda: worlds.conditioned(atoms, 0 * Y), "P(condition)", "> 0", "0", "is undefined")


# Linear-Gaussian models, compared with sums over a grid


def density(z, mu, sigma):
    return np.exp(-(((z - mu) / sigma) ** 2) / 2) / np.sqrt(2 * np.pi * sigma**2)


def on_grid(w, s, x):
    """Return p(z) p(x|z) on the grid."""
    return density(GRID, 0, 1) * density(x, w * GRID, s)


STEP = GRID[1] - GRID[0]


@given(points(LINEAR))
def test_linear_evidence_and_posterior_agree_with_grid_integrals(values):
    both = on_grid(**values)[0]
    p_x = both.sum() * STEP
    mean, sigma = linear_posterior(**values)
    assert abs(linear_log_evidence(**values).item() - np.log(p_x)) < 1e-11
    assert abs(mean.item() - (both * GRID).sum() * STEP / p_x) < 1e-11
    assert abs(sigma.item() ** 2 - (both * (GRID - mean.item()) ** 2).sum() * STEP / p_x) < 1e-11


@given(points((*LINEAR, MU_Q, SIGMA_Q)))
def test_exact_elbo_of_a_linear_model_is_log_evidence_minus_a_kl(values):
    mu_q, sigma_q = values.pop("mu_q"), values.pop("sigma_q")
    q = density(GRID, mu_q, sigma_q)[0]
    w, s, x = (values[name].item() for name in "wsx")
    log_joint = -(GRID**2) / 2 - ((x - w * GRID) / s) ** 2 / 2 - np.log(2 * np.pi * s)
    log_q = -(((GRID - mu_q.item()) / sigma_q.item()) ** 2) / 2 - np.log(2 * np.pi * sigma_q.item() ** 2) / 2
    elbo, log_p = linear_elbo(**values, mu_q=mu_q, sigma_q=sigma_q).item(), linear_log_evidence(**values).item()
    size = 1 + abs(elbo) + abs(log_p)
    assert abs(elbo - (q * (log_joint - log_q)).sum() * STEP) < 1e-10 * size
    assert abs(log_p - elbo - kl_normal(mu_q, sigma_q, *linear_posterior(**values)).item()) < 1e-10 * size


def test_linear_posterior_and_evidence_agree_with_hand_computation():
    one = [np.ones((1, 1))] * 3
    agree(np.hstack(linear_posterior(*one)), np.array([[1 / 2, np.sqrt(1 / 2)]]))
    agree(linear_log_evidence(*one), -np.log(4 * np.pi) / 2 - 1 / 4)


def test_log_evidence_is_finite_for_x_far_from_the_mean():
    agree(linear_log_evidence(0.0, 1.0, 100.0), -5000 - np.log(2 * np.pi) / 2)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_linear_model_refuses_noise_that_is_not_positive_and_finite(bad):
    for call in (linear_log_evidence, linear_posterior, lambda w, s, x: linear_elbo(w, s, x, 0.0, 1.0)):
        refused(lambda call=call: call(1.0, bad, 1.0), "s", "finite and > 0", f"{bad:g}", "A standard deviation")


# Linear-Gaussian models of vectors


@given(points(worlds.VECTOR_LINEAR))
def test_prior_times_likelihood_equals_posterior_times_evidence_for_every_z(values):
    """Six values determine a quadratic function of z = (z_1, z_2), so the equation holds for every z."""
    z = np.array([[[0, 0], [1, 0], [0, 1], [1, 1], [-1, 0], [0, -1]]], float)
    prior = log_density_full(z, np.zeros((1, 2)), np.eye(2)[None])
    joint = prior + worlds.vector_log_p(**values, z=z)
    mean, cov = worlds.vector_posterior(**values)
    assert mean.shape == (1, 2) and cov.shape == (1, 2, 2) and (cov == np.swapaxes(cov, 1, 2)).all()
    agree(log_density_full(z, mean, cov) + worlds.vector_log_evidence(**values), joint, 1e-11)


def test_vector_posterior_and_evidence_agree_with_hand_computation():
    """x_1 depends on z_1 only, x_2 on z_2 only, and x_3 does not depend on z."""
    W, b, s, x = np.array([[[1, 0], [0, 2], [0, 0]]]), np.array([[1, 0, 3]]), np.ones((1, 1)), np.array([[2, 5, 3]])
    mean, cov = worlds.vector_posterior(W, b, s, x)
    agree(mean, np.array([[1 / 2, 2]]))
    agree(cov, np.array([[[1 / 2, 0], [0, 1 / 5]]]))
    each = [linear_log_evidence(w, 1.0, d) for w, d in ((1.0, 1.0), (2.0, 5.0), (0.0, 0.0))]
    agree(worlds.vector_log_evidence(W, b, s, x), np.array([[sum(each)]]))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_vector_model_refuses_noise_that_is_not_positive_and_finite(bad):
    W, b, s, x = np.ones((1, 3, 2)), np.zeros((1, 3)), np.full((1, 1), bad), np.ones((1, 3))
    for call in (worlds.vector_log_evidence, worlds.vector_posterior):
        refused(lambda call=call: call(W, b, s, x), "s", "finite and > 0", f"{bad:g}", "A standard deviation")


# Pairs of Gaussians


@given(points(worlds.FULL_PAIR))
def test_kl_by_quadrature_equals_kl_full_of_minivae_for_any_covariance(values):
    by_nodes = kl_normal_full(*(values[symbol.name] for symbol in worlds.FULL_PAIR))
    agree(by_nodes, kl_full(**values)[:, None], 1e-9)


@given(points(worlds.DIAGONAL_PAIR))
def test_kl_by_quadrature_equals_kl_diagonal_of_minivae_if_correlations_are_0(values):
    mu_q, sigma_q, mu_p, sigma_p = (values[symbol.name] for symbol in worlds.DIAGONAL_PAIR)
    none = np.zeros((1, 1))
    both = kl_normal_full(mu_q, worlds.covariance(sigma_q, none), mu_p, worlds.covariance(sigma_p, none))
    agree(both, kl_diagonal(mu_q, 2 * np.log(sigma_q), mu_p, 2 * np.log(sigma_p)).sum(axis=1, keepdims=True), 1e-9)


def test_covariance_matrix_of_sigma_and_rho_agrees_with_hand_computation():
    agree(worlds.covariance(np.array([[1.0, 2.0]]), np.array([[0.5]])), np.array([[[1.0, 1.0], [1.0, 4.0]]]))


@given(points(worlds.PAIR))
def test_kl_from_the_wider_to_the_narrower_gaussian_exceeds_the_reverse_kl(values):
    """For any means, KL(q || p) is larger than KL(p || q) if q is the wider Gaussian."""
    mu_q, sigma_q, mu_p, sigma_p = (values[symbol.name] for symbol in worlds.PAIR)
    same = kl_normal(mu_q, sigma_q, mu_p, sigma_q), kl_normal(mu_p, sigma_q, mu_q, sigma_q)
    assert np.abs(same[0] - same[1]) <= 1e-11 * (1 + same[0])
    if abs(np.log(sigma_q / sigma_p)) > 1e-2:
        gap = kl_normal(mu_q, sigma_q, mu_p, sigma_p) - kl_normal(mu_p, sigma_p, mu_q, sigma_q)
        assert np.sign(gap) == np.sign(sigma_q - sigma_p)


# In each test below, a formula without checks gives a wrong number. Our function raises ValueError or returns infinity.


def test_unnormalised_weights_are_refused():
    q, p = np.array([0.1, 0.1]), np.array([0.5, 0.5])
    assert (q * np.log(q / p)).sum() == pytest.approx(-0.3219, abs=5e-5)
    with pytest.raises(ValueError, match="sum to one"):
        kl(q, p)


def test_divergence_is_infinite_if_q_allows_an_impossible_outcome():
    q, p = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.4, 0.0])
    covered = p > 0
    assert (q[covered] * np.log(q[covered] / p[covered])).sum() == pytest.approx(-0.1775, abs=5e-5)
    assert kl(q, p) == np.inf


def test_negative_standard_deviation_is_refused():
    sigma = -1.0
    assert (1 + np.log(sigma**2) - sigma**2) / 2 == 0
    with pytest.raises(ValueError, match="sigma"):
        kl_normal(0.0, sigma, 0.0, 1.0)
