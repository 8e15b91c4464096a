"""Densities, draws, KLs and entropies agree with their definitions and describe the same Gaussian.

The first test checks sampler, log density and KL together. If one of these functions uses log_var wrongly, it may still
return the correct gradient of its wrong value, so a gradient check passes. The first test replaces noise by quadrature
nodes. Then means over draws are exact, and the test notices the wrong function.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from minivae import gaussian
from minivae.gaussian import (
    LOG_2PI,
    entropy_diagonal,
    entropy_full,
    kl_diagonal,
    kl_full,
    kl_standard_normal,
    log_normal,
    log_standard_normal,
    reparameterize,
)
from tests.helpers.numeric import close, gaussian_density, gaussian_line, noise_nodes, refused

MU = np.array([[0.3, -1.2], [2.0, 0.0], [-0.7, 0.9]])       # (B, J)
LOG_VAR = np.array([[0.0, -2.0], [1.1, 0.4], [-0.6, -3.0]])


def kl_of_the_draws(mu, log_var):
    """Return the mean of log q(z) - log p(z), (B,), over draws z from `reparameterize`.

    The mean is exact, because log q(z) - log p(z) is a quadratic function of eps.
    """
    eps, weights = noise_nodes(latent=mu.shape[1], rows=len(mu))
    z = gaussian.reparameterize(mu, log_var, eps)
    return weights @ (gaussian.log_normal(z, mu, log_var) - gaussian.log_standard_normal(z))


def test_mean_of_log_q_minus_log_p_over_draws_equals_the_kl():
    """Equality shows that the sampler, the log density and the KL describe the same Gaussian."""
    close(kl_of_the_draws(MU, LOG_VAR), kl_standard_normal(MU, LOG_VAR).sum(axis=-1), rel=1e-12)


def test_reparameterized_draws_have_mean_mu_and_variance_exp_log_var():
    eps, weights = noise_nodes(latent=2, rows=3)
    z = reparameterize(MU, LOG_VAR, eps)
    close(np.tensordot(weights, z, 1), MU, rel=1e-13)
    close(np.tensordot(weights, (z - MU) ** 2, 1), np.exp(LOG_VAR), rel=1e-13)


def test_reparameterized_z_minus_mu_is_eps_times_sigma():
    eps = np.random.default_rng(0).normal(size=(4, 3, 2))
    close((reparameterize(MU, LOG_VAR, eps) - MU) / np.sqrt(np.exp(LOG_VAR)), eps, rel=1e-14)


PLANTS = {
    "exp(log_var) as the standard deviation of the draw": (
        "reparameterize",
        lambda mu, log_var, eps: mu + np.exp(log_var) * eps,
    ),
    "exp(log_var) as the standard deviation of the density": (
        "log_normal",
        lambda z, mu, log_var: log_normal(z, mu, 2 * log_var),
    ),
    "log 2 pi dropped": ("log_normal", lambda z, mu, log_var: log_normal(z, mu, log_var) + LOG_2PI),
    "a prior of variance 2": ("log_standard_normal", lambda z: log_normal(z, 0 * z, 0 * z + np.log(2))),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_fault_in_the_sampler_or_a_density_is_noticed(plant, monkeypatch):
    monkeypatch.setattr(gaussian, *PLANTS[plant])
    with pytest.raises(AssertionError, match="entries differ"):
        close(kl_of_the_draws(MU, LOG_VAR), kl_standard_normal(MU, LOG_VAR).sum(axis=-1), rel=1e-3)


def test_log_normal_is_the_log_of_the_textbook_density():
    z = np.random.default_rng(1).normal(size=(4, 3, 2))
    expected = np.log(gaussian_density(z, MU, np.sqrt(np.exp(LOG_VAR)))).sum(axis=-1)
    close(log_normal(z, MU, LOG_VAR), expected, rel=1e-14)
    close(log_standard_normal(z), np.log(gaussian_density(z, 0.0, 1.0)).sum(axis=-1), rel=1e-14)


@pytest.mark.parametrize("mu, log_var", [(0.0, 0.0), (-3.0, -4.0), (50.0, 3.0)])
def test_gaussian_densities_integrate_to_one(mu, log_var):
    z, spacing = gaussian_line(mu, np.exp(log_var / 2))
    close(np.exp(log_normal(z[:, None], mu, log_var)).sum() * spacing, 1.0, rel=1e-12)
    z, spacing = gaussian_line(0.0, 1.0)
    close(np.exp(log_standard_normal(z[:, None])).sum() * spacing, 1.0, rel=1e-12)


def kl_by_quadrature(mu_q, sigma_q, mu_p, sigma_p):
    """Return the integral of q log(q / p). In the tails, the densities underflow, so log(q / p) comes from a formula."""
    z, spacing = gaussian_line(mu_q, sigma_q)
    log_ratio = np.log(sigma_p / sigma_q) + (((z - mu_p) / sigma_p) ** 2 - ((z - mu_q) / sigma_q) ** 2) / 2
    return (gaussian_density(z, mu_q, sigma_q) * log_ratio).sum() * spacing


MEANS, LOG_VARS = st.floats(-5, 5), st.floats(-4, 4)


@given(MEANS, LOG_VARS)
def test_kl_to_the_standard_normal_equals_its_definition(mu, log_var):
    expected = kl_by_quadrature(mu, np.exp(log_var / 2), 0.0, 1.0)
    close(kl_standard_normal(np.array(mu), np.array(log_var)), expected, rel=1e-10, abs_=1e-14)


@given(MEANS, LOG_VARS, MEANS, LOG_VARS)
def test_kl_of_two_gaussians_equals_its_definition(mu_q, log_var_q, mu_p, log_var_p):
    expected = kl_by_quadrature(mu_q, np.exp(log_var_q / 2), mu_p, np.exp(log_var_p / 2))
    close(kl_diagonal(*map(np.array, (mu_q, log_var_q, mu_p, log_var_p))), expected, rel=1e-10, abs_=1e-12)


@given(MEANS, LOG_VARS)
def test_kl_to_the_standard_normal_equals_kl_of_two_gaussians(mu, log_var):
    mu, log_var, zero = np.array(mu), np.array(log_var), np.array(0.0)
    close(kl_diagonal(mu, log_var, zero, zero), kl_standard_normal(mu, log_var), rel=1e-15)


@given(MEANS, LOG_VARS, MEANS, LOG_VARS)
@example(0.0, 0.0, 0.0, 0.0)
@example(0.0, 0.0, 1e-3, 0.0)
@example(0.0, 0.0, 0.0, 1e-3)
def test_kl_is_zero_for_equal_gaussians_and_positive_for_different_gaussians(mu_q, log_var_q, mu_p, log_var_p):
    kl = kl_diagonal(*map(np.array, (mu_q, log_var_q, mu_p, log_var_p)))
    assert kl >= 0
    assert kl_diagonal(*map(np.array, (mu_q, log_var_q, mu_q, log_var_q))) == 0
    assume(abs(mu_q - mu_p) > 1e-6 or abs(log_var_q - log_var_p) > 1e-6)    # rounding can make the KL of closer Gaussians 0
    assert kl > 0


NEAR_THE_PRIOR = st.builds(lambda digits, power: digits * 10.0**power, st.floats(-9, 9), st.integers(-18, -2))


@given(NEAR_THE_PRIOR, NEAR_THE_PRIOR)
@example(1e-9, 1e-9)
@example(0.0, 1e-9)
@example(1e-9, 0.0)
@example(0.0, -1e-4)
def test_kl_near_the_prior_is_accurate_and_never_negative(mu, log_var):
    """Compare the KL with (mu^2 + e^log_var - 1 - log_var) / 2, computed from a power series in exact fractions.

    Near 0, expm1(log_var) is close to log_var. So the rounding error of expm1(log_var) is about 1e-16 |log_var|. The
    argument `abs_` allows for this error.
    """
    series = sum(Fraction(log_var) ** k / math.factorial(k) for k in range(2, 16))
    exact = float((Fraction(mu) ** 2 + series) / 2)
    kl = kl_standard_normal(np.array(mu), np.array(log_var))
    assert kl >= 0
    assume(mu == 0 or mu * mu > 4 * np.finfo(float).tiny)   # otherwise mu * mu is subnormal: it has fewer digits
    close(kl, exact, rel=1e-14, abs_=2.3e-16 * abs(log_var))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kl_of_a_million_gaussians_near_the_prior_is_never_negative(dtype):
    rng = np.random.default_rng(2)
    mu, log_var = (rng.normal(size=(2, 10**6)) * 10.0 ** rng.uniform(-12, 0, 10**6)).astype(dtype)
    for kl in (kl_standard_normal(0 * mu, log_var), kl_diagonal(mu, log_var, mu, 0 * log_var)):
        assert kl.dtype == dtype
        assert kl.min() >= 0


def random_covariance(rng, size):
    root = rng.normal(size=(size, size))
    return root @ root.T + 0.3 * np.eye(size)


def log_density_full(z, mu, cov):
    """Return log N(z; mu, cov) for rows z (..., J), by inverse and determinant instead of a Cholesky root."""
    d = z - mu
    quadratic = np.einsum("...i,ij,...j->...", d, np.linalg.inv(cov), d)
    return -(quadratic + np.linalg.slogdet(cov)[1] + len(mu) * np.log(2 * np.pi)) / 2


def expectation_full(f, mu, cov):
    """Return the mean of f(z) for z ~ N(mu, cov), as a weighted sum over a grid. The sum is exact if f is quadratic.

    The axes of the grid are the eigenvectors of cov.
    """
    eps, weights = noise_nodes(latent=len(mu), rows=1, nodes=3)
    variances, axes = np.linalg.eigh(cov)
    return weights @ f(mu + eps[:, 0] * np.sqrt(variances) @ axes.T)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_kl_and_entropy_of_full_covariances_equal_their_definitions(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        (mu_q, mu_p), cov_q, cov_p = rng.normal(size=(2, size)), *(random_covariance(rng, size) for _ in "qp")
        kl = expectation_full(
            lambda z: log_density_full(z, mu_q, cov_q) - log_density_full(z, mu_p, cov_p), mu_q, cov_q
        )
        close(kl_full(mu_q, cov_q, mu_p, cov_p), kl, rel=1e-10)
        entropy = -expectation_full(lambda z: log_density_full(z, mu_q, cov_q), mu_q, cov_q)
        close(entropy_full(cov_q), entropy, rel=1e-10, abs_=1e-12)


def test_kl_full_equals_a_numerical_integral_over_two_dimensional_z():
    """Compute the integral as a sum over a grid of z. The previous test uses a change of variables instead."""
    mu_q, cov_q = np.array([0.3, -0.2]), np.array([[1.0, 0.6], [0.6, 0.8]])
    mu_p, cov_p = np.array([-0.5, 0.1]), np.array([[0.9, -0.3], [-0.3, 1.4]])
    line, spacing = gaussian_line(0.0, 1.0)
    z = np.stack(np.meshgrid(line, line), axis=-1)
    log_q = log_density_full(z, mu_q, cov_q)
    integral = (np.exp(log_q) * (log_q - log_density_full(z, mu_p, cov_p))).sum() * spacing**2
    close(kl_full(mu_q, cov_q, mu_p, cov_p), integral, rel=1e-10)


def test_full_and_diagonal_functions_agree_for_diagonal_covariances():
    rng = np.random.default_rng(3)
    mu_q, log_var_q, mu_p, log_var_p = rng.normal(size=(4, 5))
    full = kl_full(mu_q, np.diag(np.exp(log_var_q)), mu_p, np.diag(np.exp(log_var_p)))
    close(full, kl_diagonal(mu_q, log_var_q, mu_p, log_var_p).sum(), rel=1e-13)
    close(entropy_full(np.diag(np.exp(log_var_q))), entropy_diagonal(log_var_q).sum(), rel=1e-13)


def test_kl_full_is_zero_for_equal_gaussians_and_positive_for_different_gaussians():
    rng = np.random.default_rng(4)
    for size in (1, 2, 4):
        mu, cov = rng.normal(size=size), random_covariance(rng, size)
        close(kl_full(mu, cov, mu, cov), 0.0, rel=0, abs_=1e-14)
        assert kl_full(mu, cov, mu + 1e-3, cov) > 0
        assert kl_full(mu, cov, mu, 1.001 * cov) > 0
        assert isinstance(kl_full(mu, cov, mu, cov), float) and isinstance(entropy_full(cov), float)


def test_stacked_gaussians_give_the_same_results_as_single_gaussians():
    rng = np.random.default_rng(5)
    mu_q, mu_p = rng.normal(size=(2, 4, 3, 2))
    cov_q, cov_p = (np.stack([[random_covariance(rng, 2) for _ in range(3)] for _ in range(4)]) for _ in "qp")
    kl, entropy = kl_full(mu_q, cov_q, mu_p, cov_p), entropy_full(cov_q)
    assert kl.shape == entropy.shape == (4, 3)
    for i in np.ndindex(4, 3):
        close(kl[i], kl_full(mu_q[i], cov_q[i], mu_p[i], cov_p[i]), rel=1e-14)
        close(entropy[i], entropy_full(cov_q[i]), rel=1e-14, abs_=1e-15)


@pytest.mark.parametrize("log_var", [-6.0, 0.0, 1.7])
def test_entropy_equals_its_definition(log_var):
    sigma = np.exp(log_var / 2)
    z, spacing = gaussian_line(0.0, sigma)
    q = gaussian_density(z, 0.0, sigma)
    close(entropy_diagonal(np.array(log_var)), -(q * np.log(q)).sum() * spacing, rel=1e-10)


POSITIVE, SHAPE, FINITE = "symmetric positive definite", "of shape (..., any, any)", "finite"
BAD_COVARIANCES = {
    "not symmetric": ([[1.0, 0.5], [0.4, 1.0]], POSITIVE),
    "slightly asymmetric": ([[1.0, 0.5], [0.5 + 1e-9, 1.0]], POSITIVE),
    "a zero opposite to 1e-9": ([[1.0, 0.0], [1e-9, 1.0]], POSITIVE),
    "correlation above one": ([[1.0, 1.1], [1.1, 1.0]], POSITIVE),
    "singular": ([[1.0, 1.0], [1.0, 1.0]], POSITIVE),
    "negative variance": ([[1.0, 0.0], [0.0, -1.0]], POSITIVE),
    "a matrix with one row": ([[1.0, 0.0]], POSITIVE),
    "not square": ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], POSITIVE),
    "NaN": ([[1.0, 0.0], [0.0, np.nan]], FINITE),
    "infinite": ([[1.0, 0.0], [0.0, np.inf]], FINITE),
    "a vector of variances": ([1.0, 2.0], SHAPE),
    "a number": (1.0, SHAPE),
    "second matrix of a stack": ([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]], POSITIVE),
    "empty": (np.zeros((0, 0)), "non-empty"),
}


@pytest.mark.parametrize("bad, rule", BAD_COVARIANCES.values(), ids=BAD_COVARIANCES)
def test_refusal_of_a_bad_covariance_mentions_the_argument(bad, rule):
    good, mu = np.eye(2), np.zeros(2)
    refused(lambda: kl_full(mu, bad, mu, good), "cov_q", rule, "", "")
    refused(lambda: kl_full(mu, good, mu, bad), "cov_p", rule, "", "")
    refused(lambda: entropy_full(bad), "cov", rule, "", "")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_covariance_with_an_asymmetry_from_rounding_is_accepted(dtype):
    rng = np.random.default_rng(0)
    for size in (2, 5, 20, 50):
        root, turn = rng.standard_normal((size, size + 2)), rng.standard_normal((size, size)).astype(dtype)
        cov = (root @ root.T).astype(dtype)
        cov = (cov + cov.T) / 2
        for each in (np.linalg.inv(cov), turn @ cov @ turn.T):
            assert np.isfinite(entropy_full(each))
    asymmetric = np.array([[1, 0], [1e-3, 1]], dtype)
    refused(lambda: entropy_full(asymmetric), "cov", "symmetric", "one that is not", "(cov + cov.T) / 2")
    np.testing.assert_array_equal(entropy_full(np.eye(3, dtype=np.uint8)), entropy_full(np.eye(3)))


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros(1), 0.0, np.zeros((1, 2))])
def test_mean_with_a_wrong_shape_for_its_covariance_is_refused(bad):
    good, cov, words = np.zeros(2), np.eye(2), ("of shape (2,)", f"shape {np.shape(bad)}", "Reshape")
    refused(lambda: kl_full(bad, cov, good, cov), "mu_q", *words)
    refused(lambda: kl_full(good, cov, bad, cov), "mu_p", *words)


def test_covariances_of_different_sizes_are_refused():
    words = "cov_p", "of the shape of cov_q, (2, 2)", "(3, 3)", "the same shape"
    refused(lambda: kl_full(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3)), *words)
    words = "cov_p", "of the shape of cov_q, (2, 2)", "(4, 2, 2)", "the same shape"
    refused(lambda: kl_full(np.zeros(2), np.eye(2), np.zeros((4, 2)), np.tile(np.eye(2), (4, 1, 1))), *words)


def test_noise_shared_by_all_data_gives_the_same_results_as_copied_noise():
    rng = np.random.default_rng(0)
    eps, d_z = rng.normal(size=(4, 1, 2)), rng.normal(size=(4, 3, 2))
    copies = eps.repeat(3, axis=1)
    close(reparameterize(MU, LOG_VAR, eps), reparameterize(MU, LOG_VAR, copies), rel=1e-15)
    found, right = (gaussian.reparameterize_backward(d_z, MU, LOG_VAR, each) for each in (eps, copies))
    close(np.stack(found), np.stack(right), rel=1e-15)
    for wrong in (d_z[:1], d_z[:, :1], d_z[..., :1]):
        with pytest.raises(ValueError, match="Nothing is broadcast"):
            gaussian.reparameterize_backward(wrong, MU, LOG_VAR, eps)
