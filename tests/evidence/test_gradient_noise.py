"""Means and variances of gradient estimators agree with exact values; signal-to-noise ratios change with k as expected."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.evidence import gradient_noise, gradients, iw_signal_to_noise, with_best_encoder
from minivae.evidence.gradients import iw_gradient
from minivae.likelihood import Bernoulli, Gaussian
from minivae.ops import mlp_backward
from minivae.vae import VAE
from tests.helpers.linear import linear_model, linear_models
from tests.helpers.numeric import LIKELIHOODS, central_difference, close, noise_nodes, random_problem, refused

LIMIT = 8                                                   # largest accepted error, in standard errors


def exact_gradient(vae, x):
    """Return the gradient of a linear model's closed-form ELBO with respect to mu and log_var, (N, 2J)."""
    W, b = vae.layers("decoder")[0]
    precision = np.exp(-2 * vae.params["log_sigma"])
    mu, log_var = vae.encode(x)
    d_mu = precision * (x - b - mu @ W) @ W.T - mu
    d_log_var = -np.exp(log_var) * (precision * (W * W).sum(axis=1) + 1) / 2 + 0.5
    return np.concatenate([d_mu, d_log_var], axis=1)


def exact_variances(vae, x):
    """Return the exact variance of the gradient from one draw, (N, 2J), for each of the three estimators.

    The squared gradients are polynomials in the noise, of degree at most 8, so quadrature with 5 nodes is exact.
    """
    W, b = vae.layers("decoder")[0]
    precision = np.exp(-2 * vae.params["log_sigma"])
    mu, log_var = vae.encode(x)
    sigma = np.exp(log_var / 2)
    eps, weights = noise_nodes(vae.latent, len(x))
    z = mu + sigma * eps
    d_z = precision * (x - b - z @ W) @ W.T
    f = vae.log_likelihood(x, z)
    score = np.concatenate([eps / sigma, (eps**2 - 1) / 2], axis=2)
    estimators = (
        np.concatenate([d_z, d_z * eps * sigma / 2], axis=2),
        f[..., None] * score,
        (f - weights @ f)[..., None] * score,
    )
    mean = lambda values: np.einsum("l,lnj->nj", weights, values)  # noqa: E731
    return [mean(values**2) - mean(values) ** 2 for values in estimators]


@settings(max_examples=40)
@given(linear_models, st.integers(0, 2**32 - 1))
def test_three_gradient_estimators_have_the_same_mean(model, seed):
    vae, x = model
    check_means(vae, x, seed, 2000)


def check_means(vae, x, seed, draws):
    exact = exact_gradient(vae, x)
    for estimator in gradient_noise(vae, x, np.random.default_rng(seed), draws):
        error = np.sqrt(estimator.variance / draws)
        assert (np.abs(estimator.mean - exact) <= LIMIT * error + 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_gradient_variances_agree_with_exact_variances(seed):
    """Compare the variance over 20,000 draws with the exact variance; for these seeds, they differ by less than 25 %.

    The gradient of one draw is a polynomial in the noise, of degree 4 at most. Rare large values cause the difference.
    """
    vae, x = linear_model(seed, 2, rows=2)
    found = gradient_noise(vae, x, np.random.default_rng(seed), 20_000)
    for estimator, exact in zip(found, exact_variances(vae, x)):
        assert (np.abs(estimator.variance / exact - 1) < 0.25).all()


def test_score_function_has_more_variance_than_pathwise_and_a_baseline_reduces_it():
    vae, x, _ = random_problem(0, Bernoulli(), features=12, rows=4)
    found = gradient_noise(vae, x, np.random.default_rng(0), 2000)
    pathwise, score, baseline = (estimator.variance.mean() for estimator in found)
    assert score > 10 * baseline > 10 * pathwise


@pytest.mark.parametrize("likelihood", LIKELIHOODS[:4], ids=repr)
def test_importance_weighted_gradient_is_the_gradient_of_its_bound(likelihood):
    vae, x, eps = random_problem(2, likelihood, samples=4)
    actual = iw_gradient(vae, x, eps)

    def loss(flat):
        f = replace(vae, params=vae.params.like(flat), estimator="sampled").forward(x, eps, fit=False)
        return -np.log(np.exp(f.log_px_z - f.kl).mean(axis=0)).mean()

    desired = vae.params.like(central_difference(loss, [vae.params.flat], 0))
    if likelihood == Gaussian(0.7):
        desired["log_sigma"][...] = 0                       # the user fixes sigma, so it has no gradient
    for name in vae.params:
        close(actual[name], desired[name], rel=1e-7)


def test_importance_weighted_gradient_of_one_draw_is_the_gradient_of_the_elbo():
    vae, x, eps = random_problem(3, Bernoulli())
    close(iw_gradient(vae, x, eps).flat, replace(vae, estimator="sampled").gradient(x, eps).flat, rel=0)


@pytest.mark.slow
def test_decoder_snr_rises_and_encoder_snr_falls_with_more_draws():
    """The signal-to-noise ratio (SNR) of the decoder's gradient grows as sqrt(k).

    The SNR of the encoder's gradient falls as 1 / sqrt(k) (Rainforth et al. 2018).
    """
    vae, x = linear_model(0, 2, sigma=1.5, rows=3)
    vae = with_best_encoder(vae)
    bias = vae.layers("encoder")[0][1]
    bias += [0.8, -0.8, 1.0, 1.0]                           # q is not optimal, but wider than p(z|x): weights are bounded
    found = iw_signal_to_noise(vae, x, (4, 16, 64), np.random.default_rng(0), 1000)
    slope = lambda values: np.polyfit(np.log(found.k), np.log(values), 1)[0]  # noqa: E731
    assert 0.4 < slope(found.decoder) < 0.7
    assert -0.95 < slope(found.encoder) < -0.3


@pytest.mark.parametrize("repeats", [6, 20])
@pytest.mark.parametrize("ratio", [0.0, 0.7])
def test_squared_signal_to_noise_estimate_is_unbiased_even_for_few_repeats(repeats, ratio):
    rng = np.random.default_rng(0)
    squares = gradients.signal_squared(3 * rng.standard_normal((repeats, 400_000)) + 3 * ratio)
    assert abs(squares.mean() - ratio**2) < 5 * squares.std() / len(squares) ** 0.5 < 0.1 / repeats


def test_input_gradient_of_a_network_does_not_need_its_weight_gradients():
    vae, x, eps = random_problem(1, Bernoulli(), hidden=(3, 4))
    f = vae.forward(x, eps)
    layers, d_layers = vae.layers("decoder"), vae.layers("decoder", vae.params.zeros_like())
    d_out = np.random.default_rng(0).normal(size=f.decoder_hs[-1].shape)
    given = d_out, f.decoder_hs, layers, "tanh"
    close(mlp_backward(*given), mlp_backward(*given, d_layers), rel=0)
    assert all(array.any() for pair in d_layers for array in pair)


def test_gradient_noise_refuses_bad_arguments():
    vae, x = linear_model(0, 1)
    rng = np.random.default_rng(0)
    refused(lambda: gradient_noise(vae, x, rng, 2), "draws", "a whole number", "2", "Try")
    vae.layers("decoder")[0][0][...] = 1e200
    refused(lambda: gradient_noise(vae, x, rng, 20), "log p(x|z)", "finite", "infinities", "Check")
    refused(lambda: iw_signal_to_noise(vae, x, (0, 1), rng), "every k", "a whole number", "0", "Try")
    refused(lambda: iw_signal_to_noise(vae, x, (), rng), "k", "at least one", "none", "Try k=")
    plain = VAE.init(rng, 4, 2, (), noise=False)
    for call in (lambda x: iw_signal_to_noise(plain, x, (1,), rng), lambda x: gradient_noise(plain, x, rng)):
        refused(lambda call=call: call(np.zeros((2, 4))), "vae", "a model with noise", "deterministic", "Its encoder")
    refused(lambda: iw_signal_to_noise(vae, x, (1,), rng, 3), "repeats", "a whole number >= 4", "3", "Try")


PLANTED = {
    "exp(log_var) as standard deviation": ("reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps),
    "the gradient of the KL left out": ("kl_standard_normal_backward", lambda d_kl, mu, log_var: (0 * mu, 0 * mu)),
    "a slope that is 10 % too large": (
        "log_px_z_and_slope", lambda *a: (gradients.ORIGINAL(*a)[0], 1.1 * gradients.ORIGINAL(*a)[1])
    ),
    "a log-likelihood that is 10 % too large": (
        "log_px_z_and_slope", lambda *a: (1.1 * gradients.ORIGINAL(*a)[0], gradients.ORIGINAL(*a)[1])
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_error_in_the_gradient_estimators_is_noticed(fault, monkeypatch):
    vae, x = linear_model(1, 2)
    check_means(vae, x, 0, 40_000)
    monkeypatch.setattr(gradients, "ORIGINAL", gradients.log_px_z_and_slope, raising=False)
    monkeypatch.setattr(gradients, *PLANTED[fault])
    with pytest.raises(AssertionError):
        check_means(vae, x, 0, 40_000)
