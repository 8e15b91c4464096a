"""The linear-Gaussian model: closed forms computed in two ways, and training that reaches the analytic optimum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from minivae.evidence import descent, exact_linear, linear, lower_bounds, ppca, with_best_encoder
from minivae.gaussian import kl_full
from minivae.likelihood import Bernoulli, Gaussian
from minivae.vae import VAE
from tests.helpers.linear import closed_elbo, closed_log_px, fit_linear, linear_model, linear_models
from tests.helpers.numeric import close, random_vae, refused


@settings(max_examples=100)
@given(linear_models)
def test_log_px_and_posterior_of_linear_models_agree_with_the_joint_covariance(model):
    """x and z are jointly Gaussian; conditioning on x is a second way to compute the posterior."""
    vae, x = model
    found = exact_linear(vae, x)
    W, b = vae.layers("decoder")[0]
    cov_x = W.T @ W + np.exp(2 * vae.params["log_sigma"]) * np.eye(vae.features)
    gain = np.linalg.solve(cov_x, W.T).T                                                    # (J, D)
    close(found.log_px, closed_log_px(vae, x), rel=1e-11)
    close(found.mean, (x - b) @ gain.T, rel=1e-10, abs_=1e-12)
    close(found.cov, np.eye(vae.latent) - gain @ W.T, rel=1e-11)


@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 1.0, 1e3])
def test_linear_log_px_is_accurate_at_any_sigma(sigma):
    """For J = D = 1 the expected values are elementary formulas."""
    vae, _ = linear_model(1, 1, features=1, sigma=sigma)
    w, b = (float(a.item()) for a in vae.layers("decoder")[0])
    x = np.array([[b + 1.5 * w]])
    found = exact_linear(vae, x)
    variance = w * w + sigma * sigma
    close(found.log_px, [-((1.5 * w) ** 2 / variance + math.log(2 * math.pi * variance)) / 2], rel=1e-12)
    close(found.mean, [[1.5 * w * w / variance]], rel=1e-12)
    close(found.cov, [[sigma**2 / variance]], rel=1e-9)


@settings(max_examples=30)
@given(linear_models)
def test_gap_of_the_best_encoder_equals_its_formula_and_is_smallest(model):
    vae, x = model
    exact, best = exact_linear(vae, x), with_best_encoder(vae)
    mu, log_var = best.encode(x)
    gap = exact.log_px - closed_elbo(best, x)
    covs = np.repeat(exact.cov[None], len(x), axis=0)
    diagonals = np.exp(log_var)[:, :, None] * np.eye(vae.latent)
    close(gap, kl_full(mu, diagonals, exact.mean, covs), rel=1e-9, abs_=1e-10)
    precision = np.linalg.inv(exact.cov)
    formula = (np.log(np.diagonal(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
    close(gap, np.full(len(x), formula), rel=1e-9, abs_=1e-9)
    for name in ("encoder.1.weight", "encoder.1.bias"):
        for index in np.ndindex(best.params[name].shape):
            for step in (-1e-2, 1e-2):
                other = best.astype(np.float64)
                other.params[name][index] += step
                assert (closed_elbo(other, x) <= closed_elbo(best, x) + 1e-10).all()
    assert (closed_elbo(vae, x) <= closed_elbo(best, x) + 1e-10).all()


def test_best_encoder_equals_the_posterior_if_decoder_weight_rows_are_orthogonal():
    vae, x = linear_model(0, 3, features=6)
    weight = vae.layers("decoder")[0][0]
    weight[...] = np.linalg.qr(weight.T)[0].T
    found = lower_bounds(with_best_encoder(vae), x, 5, np.random.default_rng(0))
    close(found.iw_bound, exact_linear(vae, x).log_px, rel=1e-12)       # every importance weight is p(x)


def spread_data(seed, scales, rows=60):
    """Return data whose covariance has exactly the eigenvalues scales^2."""
    rng = np.random.default_rng(seed)
    D = len(scales)
    z = rng.normal(size=(rows, D))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * math.sqrt(rows)
    return z * scales @ np.linalg.qr(rng.normal(size=(D, D)))[0] + rng.normal(size=D)


def at_optimum(best, latent):
    """Return a VAE with the weights of probabilistic PCA and the best encoder for them."""
    vae = VAE.init(np.random.default_rng(0), len(best.bias), latent, (), dtype=np.float64, likelihood=Gaussian(best.sigma))
    weight, bias = vae.layers("decoder")[0]
    weight[...], bias[...] = best.weight, best.bias
    return with_best_encoder(vae)


SCALES = [3, 2, 1.3, 0.6, 0.5, 0.4]


@pytest.mark.parametrize("sigma", [None, 0.3, 1.0, 1.6])
def test_no_nearby_model_has_a_higher_likelihood_than_the_analytic_optimum(sigma):
    x = spread_data(0, SCALES)
    best = ppca(x, 3, sigma)
    vae = at_optimum(best, 3)
    close(best.eigenvalues, np.square(SCALES), rel=1e-13)
    close(exact_linear(vae, x).log_px.mean(), best.log_px, rel=1e-13)
    # The rows of the decoder's weight matrix are orthogonal. So the best q(z|x) is the posterior, and the ELBO is log p(x).
    close(closed_elbo(vae, x).mean(), best.log_px, rel=1e-13)
    rng = np.random.default_rng(1)
    for _ in range(200):
        other = vae.astype(np.float64)
        for name in ("decoder.1.weight", "decoder.1.bias", "log_sigma")[: 3 if sigma is None else 2]:
            other.params[name][...] += 10 ** rng.uniform(-4, 0) * rng.normal(size=other.params[name].shape)
        assert exact_linear(other, x).log_px.mean() < best.log_px


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma, collapsed", [("learned", 0), (1.0, 0), (1.65, 1), (2.5, 2)])
def test_trained_linear_vae_reaches_the_analytic_optimum(sigma, collapsed, seed):
    x = spread_data(seed, SCALES)
    best = ppca(x, 3, None if sigma == "learned" else sigma)
    assert best.collapsed.sum() == collapsed
    vae = VAE.init(np.random.default_rng(seed), 6, 3, (), dtype=np.float64, likelihood=Gaussian(sigma))
    elbo = fit_linear(vae, x)
    close(elbo, best.log_px, rel=0, abs_=1e-6)                          # the bound is tight at the optimum
    close(exact_linear(vae, x).log_px.mean(), best.log_px, rel=0, abs_=1e-6)
    close(np.exp(vae.params["log_sigma"]), best.sigma, rel=1e-4)
    weight = vae.layers("decoder")[0][0]
    close(weight.T @ weight, best.weight.T @ best.weight, rel=1e-3)     # the weights may differ by a rotation of z
    lengths = np.sort(np.linalg.norm(weight, axis=1))[::-1]
    close(lengths, np.linalg.norm(best.weight, axis=1), rel=1e-3)
    assert (lengths < 1e-3).sum() == collapsed                          # as many dimensions collapse as in the optimum
    mu, log_var = vae.encode(x)
    unused = np.linalg.norm(weight, axis=1) < 1e-3
    assert np.abs(mu[:, unused]).max(initial=0) < 1e-2 and np.abs(log_var[:, unused]).max(initial=0) < 1e-2


def test_linear_closed_forms_refuse_other_models_and_bad_arguments():
    rng = np.random.default_rng(0)
    rule = "a model without hidden layers and with a Gaussian likelihood"
    for vae in (random_vae(rng, Gaussian(1.0)), random_vae(rng, Bernoulli(), hidden=())):
        got = f"hidden layers {vae.hidden} and {vae.likelihood!r}"
        for call in (lambda: exact_linear(vae, np.ones((2, 4))), lambda: with_best_encoder(vae)):
            refused(call, "vae", rule, got, "exact_log_px")
    x = spread_data(0, SCALES)
    refused(lambda: ppca(x, 7), "latent", "at most the 6 features", "7", "Try")
    refused(lambda: ppca(x, 6), "latent", "so small that the model does not fit x", "6", "Pass a number as sigma")
    refused(lambda: ppca(x[:3], 2), "latent", "so small that the model does not fit x", "2", "Pass a number as sigma")
    refused(lambda: ppca(x, 2, 0.0), "sigma", "> 0", "0.0", "Check")
    assert ppca(x, 6, 0.1).log_px > ppca(x, 5, 0.1).log_px


def test_minimise_finds_the_minima_of_many_functions_at_once():
    """The functions are ill-conditioned bowls and Rosenbrock valleys."""
    rng = np.random.default_rng(0)
    where, steep = rng.normal(size=(20, 4)), 10 ** rng.uniform(-2, 3, (20, 4))

    def bowls(points, which):
        away = points - where[which]
        return (steep[which] * away**2).sum(axis=1), 2 * steep[which] * away

    points, values = descent.minimise(bowls, np.zeros((20, 4)), 1e-16)
    assert values.max() < 1e-12

    def valleys(points, which):
        a, b = points.T
        slopes = np.stack([2 * (a - 1) - 400 * a * (b - a * a), 200 * (b - a * a)], axis=1)
        return (1 - a) ** 2 + 100 * (b - a * a) ** 2, slopes

    start = np.array([[-1.2, 1.0], [0.0, 0.0], [2.0, -1.0], [1.0, 1.0]])
    points, values = descent.minimise(valleys, start, 1e-16)
    close(points, np.ones((4, 2)), rel=1e-6)


PLANTED = {
    "the posterior's precision almost without the prior": (
        "_stacked", lambda weight, sigma: np.linalg.qr(np.concatenate([weight.T / sigma, 1e-3 * np.eye(len(weight))]))
    ),
    "sigma^2 for sigma": (
        "_stacked", lambda weight, sigma: np.linalg.qr(np.concatenate([weight.T / sigma**2, np.eye(len(weight))]))
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_closed_forms_is_noticed(fault, monkeypatch):
    vae, x = linear_model(0, 2)
    monkeypatch.setattr(linear, *PLANTED[fault])
    with pytest.raises(AssertionError):
        close(exact_linear(vae, x).log_px, closed_log_px(vae, x), rel=1e-3)
    with pytest.raises(AssertionError):
        test_gap_of_the_best_encoder_equals_its_formula_and_is_smallest.hypothesis.inner_test((vae, x))
