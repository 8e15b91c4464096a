"""Compare rate, distortion and their parts with integrals over the aggregate posterior, and with closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.evidence import rate_distortion, rates
from minivae.gaussian import kl_standard_normal
from minivae.vae import VAE
from tests.helpers.linear import closed_elbo, linear_model, linear_models
from tests.helpers.numeric import close, gaussian_density, random_problem, refused
from tests.helpers.trained import trained

LIMIT = 8                                                   # largest accepted error, in standard errors


@settings(max_examples=40)
@given(linear_models, st.integers(0, 2**32 - 1))
def test_rate_and_reconstruction_agree_with_the_closed_form(model, seed):
    vae, x = model
    found = rate_distortion(vae, x, np.random.default_rng(seed), 400)
    assert abs(found.reconstruction - found.kl - closed_elbo(vae, x).mean()) <= LIMIT * found.reconstruction_se + 1e-9
    close(found.kl, kl_standard_normal(*vae.encode(x)).sum(axis=1).mean(), rel=1e-13)
    close(found.kl_per_dimension.sum(), found.kl, rel=1e-13)
    assert -LIMIT * found.surgery_se - 1e-9 <= found.mutual_information <= math.log(len(x)) + 1e-9
    assert found.marginal_kl >= -LIMIT * found.surgery_se - 1e-9
    close(found.mutual_information + found.marginal_kl, found.kl, rel=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_parts_of_the_mean_kl_agree_with_integrals_over_the_aggregate_posterior(seed):
    """For one latent dimension, a fine grid gives KL(q(z) || p(z)) and the mean and variance of q(z)."""
    vae, x, _ = random_problem(seed, latent=1, rows=5)
    for array in vae.layers("encoder")[-1]:
        array[..., 1] = 0
    vae.layers("encoder")[-1][1][1] = -1.5                  # sigma is 0.47 for all data
    mu, log_var = vae.encode(x)
    z = np.linspace(-12, 12, 200_001)
    q = gaussian_density(z[:, None], mu[:, 0], np.exp(log_var[:, 0] / 2)).mean(axis=1)
    log_ratio = np.log(np.maximum(q, 1e-300)) - np.log(gaussian_density(z, 0, 1))
    marginal_kl, h = (q * log_ratio).sum() * 24 / 200_000, 24 / 200_000
    found = rate_distortion(vae, x, np.random.default_rng(seed), 2000)
    assert found.surgery_se < 0.02
    assert abs(found.marginal_kl - marginal_kl) <= LIMIT * found.surgery_se
    assert abs(found.mutual_information - (found.kl - marginal_kl)) <= LIMIT * found.surgery_se
    mean = (q * z).sum() * h
    close(found.mean, [mean], rel=1e-9, abs_=1e-9)
    close(found.cov, [[(q * (z - mean) ** 2).sum() * h]], rel=1e-9)


def model_with_codes(mu, log_var):
    """Return a linear model and unit vectors as data. The encoder returns N(mu[i], exp(log_var[i])) for unit vector i."""
    mu, log_var = np.array(mu, float), np.array(log_var, float)
    vae, _ = linear_model(0, mu.shape[1], features=len(mu))
    (weight, bias), = vae.layers("encoder")
    weight[...], bias[...] = np.concatenate([mu, log_var], axis=1), 0
    return vae, np.eye(len(mu))


def test_identical_codes_have_zero_mutual_information():
    vae, x = model_with_codes([[0.5, -1]] * 4, [[0.2, -0.7]] * 4)
    found = rate_distortion(vae, x, np.random.default_rng(0), 5)
    close(found.mutual_information, 0.0, rel=0, abs_=1e-12)
    close(found.marginal_kl, found.kl, rel=1e-12)
    close(found.surgery_se, 0.0, rel=0, abs_=1e-7)
    assert not found.active.any()


def test_mutual_information_is_log_n_if_codes_do_not_overlap():
    vae, x = model_with_codes([[-90, 0], [-30, 0], [30, 0], [90, 0]], [[-40, 0]] * 4)
    found = rate_distortion(vae, x, np.random.default_rng(0), 5)
    close(found.mutual_information, math.log(4), rel=1e-12)
    close(found.variance_of_means, [4500.0, 0.0], rel=1e-12)
    assert found.active.tolist() == [True, False]
    close(found.kl_per_dimension[1], 0.0, rel=0, abs_=1e-12)


def test_aggregate_posterior_is_the_same_if_computed_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    z, mu, log_var = rng.normal(size=(50, 3)), rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    densities = gaussian_density(z[:, None], mu, np.exp(log_var / 2)).prod(axis=2)
    close(rates.log_aggregate(z, mu, log_var), np.log(densities.mean(axis=1)), rel=1e-13)
    monkeypatch.setattr("minivae.evidence.sums.AT_ONCE", 700)
    close(rates.log_aggregate(z, mu, log_var), np.log(densities.mean(axis=1)), rel=1e-13)


def test_trained_model_uses_both_dimensions_and_has_high_mutual_information():
    vae, data, _ = trained()
    found = rate_distortion(vae, data.test_x, np.random.default_rng(0))
    assert found.active.all()
    assert 2 < found.mutual_information < math.log(355) and 0 < found.marginal_kl < found.kl / 2
    assert found.surgery_se < 0.05


def test_rate_distortion_refuses_bad_arguments():
    vae, x = linear_model(0, 1)
    rng = np.random.default_rng(0)
    refused(lambda: rate_distortion(vae, x, rng, 1), "draws", "a whole number", "1", "Try")
    plain = VAE.init(rng, 4, 2, (), noise=False)
    refused(lambda: rate_distortion(plain, np.zeros((2, 4)), rng), "vae", "noise", "deterministic", "Its encoder")


PLANTED = {
    "a sum for the mean over data": ("log_mean_exp", lambda a, axis: np.log(np.exp(a).sum(axis=axis))),
    "exp(log_var) as standard deviation": ("reparameterize", lambda mu, log_var, eps: mu + np.exp(log_var) * eps),
    "the density of q without its scale": (
        "log_normal", lambda z, mu, log_var: rates.ORIGINAL(z, mu, log_var) + log_var.sum(axis=-1) / 2
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_error_planted_in_the_decomposition_of_the_mean_kl_is_noticed(fault, monkeypatch):
    monkeypatch.setattr(rates, "ORIGINAL", rates.log_normal, raising=False)
    monkeypatch.setattr(rates, *PLANTED[fault])
    with pytest.raises(AssertionError):
        test_parts_of_the_mean_kl_agree_with_integrals_over_the_aggregate_posterior.hypothesis.inner_test(3)
