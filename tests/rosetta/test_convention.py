"""The losses of random conventions have the value and the gradient that `translate` states."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from derivations.hong.divergence import reductions
from derivations.hong.world import as_vae
from minivae import data, rosetta
from minivae.adam import Adam
from minivae.evidence import exact_log_px
from minivae.evidence.sweep import Setting, measure, sweep
from minivae.gaussian import (
    LOG_2PI,
    kl_standard_normal,
    kl_standard_normal_backward,
    reparameterize_backward,
)
from minivae.likelihood import Bernoulli, Gaussian
from minivae.ops import mlp_backward, softplus
from minivae.rosetta import Convention, convention, translate
from minivae.rosetta.convention import BOUNDS, RECONSTRUCTIONS, REDUCTIONS, read
from minivae.rosetta.presets import PRESETS, preset
from minivae.train import split
from minivae.vae import VAE
from tests.helpers.numeric import close, complex_step, random_data, random_vae, refused

REDUCE = {"sum": np.sum, "mean": np.mean}

# The loss of a convention, computed from the costs of features and the KLs of latent dimensions


def loss_terms(c, costs, kls):
    """Return the two terms of the loss, from costs (L, B, D) and KLs (B, J). The first term is a mean over the L draws."""
    reconstruction = REDUCE[c.batch_reduce](REDUCE[c.reduce](costs, axis=-1), axis=-1).mean()
    return c.recon_weight * reconstruction, c.kl_weight * REDUCE[c.kl_batch_reduce](REDUCE[c.kl_reduce](kls, axis=-1))


def costs_of(c, x, f):
    """Return the reconstruction cost of every feature, (L, B, D)."""
    if c.reconstruction == "bce":
        return softplus(f.out) - x * f.out
    if c.reconstruction == "mse":
        return (x - f.out) ** 2
    log_sigma = f.scale[0] if isinstance(c.sigma, str) else np.log(c.sigma)
    return (x - f.out) ** 2 * np.exp(-2 * log_sigma) / 2 + log_sigma + LOG_2PI / 2


def loss_of(c, vae, x, eps):
    f = vae.forward(x, eps)
    return sum(loss_terms(c, costs_of(c, x, f), kl_standard_normal(f.mu, f.log_var)))


def gradient_by_complex_step(c, vae, x, eps):
    def at(flat):
        return loss_of(c, dataclasses.replace(vae, params=vae.params.like(flat)), x, eps)

    return vae.params.like(complex_step(at, [vae.params.flat], 0))


def loss_weights(c, costs, kls):
    """Return d loss / d cost and d loss / d KL, for the cost of one feature and the KL of one latent dimension.

    The loss is linear in the costs and the KLs. So set one cost to 1, and all other costs and all KLs to 0: the loss then
    equals d loss / d cost. For d loss / d KL, set one KL to 1, and all other KLs and all costs to 0.
    """
    one_cost, one_kl = np.zeros_like(costs), np.zeros_like(kls)
    one_cost[0, 0, 0] = one_kl[0, 0] = 1
    return sum(loss_terms(c, one_cost, 0 * kls)), sum(loss_terms(c, 0 * costs, one_kl))


def gradient_by_hand(c, vae, x, eps):
    """Return the gradient of the loss: minivae's backward functions compute it from d loss / d cost and d loss / d KL."""
    f, gradient = vae.forward(x, eps), vae.params.zeros_like()
    d_cost, d_each_kl = loss_weights(c, costs_of(c, x, f), kl_standard_normal(f.mu, f.log_var))
    if c.reconstruction == "mse":
        d_out = 2 * d_cost * (f.out - x)
    else:
        d_out, *d_own = vae.likelihood.log_prob_backward(np.full(f.log_px_z.shape, -d_cost), x, f.out, *f.scale)
        for name, d in zip(vae.likelihood.scale, d_own):
            gradient[name][...] = d
    encoder, decoder = (vae.layers(part, gradient) for part in ("encoder", "decoder"))
    d_z = mlp_backward(d_out.reshape(-1, vae.features), f.decoder_hs, vae.layers("decoder"), vae.activation, decoder)
    d_mu_z, d_log_var_z = reparameterize_backward(d_z.reshape(f.z.shape), f.mu, f.log_var, eps)
    d_mu_kl, d_log_var_kl = kl_standard_normal_backward(np.full(f.mu.shape, d_each_kl), f.mu, f.log_var)
    d_heads = np.concatenate([d_mu_z + d_mu_kl, d_log_var_z + d_log_var_kl], axis=1)
    mlp_backward(d_heads, f.encoder_hs, vae.layers("encoder"), vae.activation, encoder, wrt_x=False)
    return gradient


# Random conventions, data and parameters


def powers_of_ten(low, high):
    return st.integers(100 * low, 100 * high).map(lambda n: 10 ** (n / 100))


@st.composite
def conventions(draw, kinds=RECONSTRUCTIONS, fitted=convention.FITTED):
    kind = draw(st.sampled_from(kinds))
    sigmas = powers_of_ten(-1, 1)
    if kind == "gaussian" and fitted:
        sigmas |= st.sampled_from(fitted)
    words = {name: draw(st.sampled_from(REDUCTIONS)) for name in ("reduce", "batch_reduce", "kl_reduce", "kl_batch_reduce")}
    weights = {name: draw(powers_of_ten(-4, 4)) for name in ("recon_weight", "kl_weight")}
    sizes = {name: draw(st.integers(1, 4)) for name in ("features", "latent", "batch")}
    return Convention(kind, None if kind == "bce" else draw(sigmas), **words, **weights, **sizes)


def problem(c, seed, samples=1):
    """Return three things: a random model for a convention, data, and noise."""
    rng = np.random.default_rng(seed)
    likelihood = Bernoulli() if c.reconstruction == "bce" else Gaussian(c.sigma)
    vae = random_vae(rng, likelihood, features=c.features, latent=c.latent)
    return vae, random_data(rng, likelihood, c.batch, c.features), rng.standard_normal((samples, c.batch, c.latent))


def canonical(vae, reading):
    """Return a model with the weights of `vae` and the beta and sigma of `reading`; its loss is called canonical."""
    if reading.sigma is None:
        return dataclasses.replace(vae, beta=reading.beta)
    vae = dataclasses.replace(vae, beta=reading.beta, likelihood=Gaussian(reading.sigma), params=vae.params.copy())
    if not isinstance(reading.sigma, str):
        vae.params["log_sigma"][...] = np.log(reading.sigma)
    return vae


def readings(c):
    found = translate(c)
    return [reading for reading in (found.reading, found.elbo) if reading is not None]


SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@given(conventions(), SEEDS, st.integers(1, 2))
def test_loss_gradient_of_a_convention_is_a_factor_times_the_canonical_gradient(c, seed, samples):
    vae, x, eps = problem(c, seed, samples)
    by_hand = gradient_by_hand(c, vae, x, eps)
    close(by_hand.flat, gradient_by_complex_step(c, vae, x, eps).flat, rel=1e-11)
    for reading in readings(c):
        gradient = canonical(vae, reading).gradient(x, eps)
        for name in gradient:
            close(by_hand[name], reading.factor * gradient[name], rel=1e-9)
        u, v = by_hand.flat, gradient.flat
        assert abs(u @ v / np.linalg.norm(u) / np.linalg.norm(v) - 1) < 1e-9


@given(conventions(), SEEDS)
def test_loss_of_a_convention_can_be_converted_to_nats(c, seed):
    vae, x, eps = problem(c, seed)
    for reading in readings(c):
        nats = loss_of(c, vae, x, eps) / reading.factor + reading.constant * c.features
        assert nats == pytest.approx(float(canonical(vae, reading).loss(x, eps)), rel=1e-9, abs=1e-9)


@given(conventions(), SEEDS, st.sampled_from(["beta", "factor", "sigma"]))
def test_translation_that_is_wrong_by_one_percent_is_noticed(c, seed, part):
    vae, x, eps = problem(c, seed)
    reading = translate(c).reading
    assume(1e-3 < reading.beta < 1e3)                       # otherwise rounding can hide one term of the loss
    if part == "sigma" and not c.has_fixed_sigma:
        part = "factor"
    wrong = reading._replace(**{part: getattr(reading, part) * 1.01})
    gradient, written = canonical(vae, wrong).gradient(x, eps), gradient_by_hand(c, vae, x, eps)
    with pytest.raises(AssertionError):
        for name in gradient:
            close(written[name], wrong.factor * gradient[name], rel=1e-9)


@given(conventions(("mse", "gaussian"), fitted=()), powers_of_ten(-2, 2))
def test_squared_error_determines_only_the_product_of_beta_and_sigma_squared(c, sigma):
    here, there = translate(c).reading, read(c, sigma)
    assert there.beta * sigma**2 == pytest.approx(here.beta * here.sigma**2, rel=1e-12)
    assert there.beta * there.factor == pytest.approx(here.beta * here.factor, rel=1e-12)
    assert translate(c).elbo.sigma ** 2 == pytest.approx(there.beta * sigma**2, rel=1e-12)


@given(conventions())
def test_loss_with_the_recommended_kl_weight_is_an_elbo(c):
    found = translate(c)
    better = translate(dataclasses.replace(c, kl_weight=found.kl_weight))
    assert found.bound in BOUNDS
    assert better.bound == "elbo" and better.reading.beta == 1 and better.reading == better.elbo


# Entry hong.11 of the ledger: if a loss sums over the D features and the J latent dimensions, the KL has the weight beta. If
# the loss averages over features and latent dimensions, the equivalent weight is beta J / D.


@given(powers_of_ten(-3, 3), st.integers(1, 5000), st.integers(1, 200))
def test_translate_finds_equal_betas_for_hongs_losses_with_sums_and_averages(beta, D, J):
    summed = translate(Convention("mse", kl_weight=beta)).reading
    sizes = {"features": D, "latent": J}
    averaged = translate(Convention("mse", reduce="mean", kl_reduce="mean", kl_weight=beta * J / D, **sizes)).reading
    assert averaged.beta == pytest.approx(summed.beta, rel=1e-12)
    assert summed.factor == pytest.approx(D * averaged.factor, rel=1e-12)


@given(SEEDS)
def test_gradients_by_rosetta_equal_both_sides_of_equation_hong_11(seed):
    rng = np.random.default_rng(seed)
    D, d = rng.integers(1, 5, 2)
    beta, W, x = np.exp(rng.normal(size=1)), rng.normal(size=(D, d)), rng.normal(size=D)
    mu, sigma, eps = rng.normal(size=d), np.exp(rng.normal(size=d) / 2), rng.normal(size=d)
    summed, _, averaged = reductions(*(a[None] for a in (beta, W, x, mu, sigma, eps)))
    sizes = {"features": int(D), "latent": int(d)}
    normed = Convention("mse", reduce="mean", kl_reduce="mean", kl_weight=float(beta[0]) * d / D, **sizes)
    for side, c in ((summed, Convention("mse", kl_weight=float(beta[0]))), (averaged / D, normed)):
        for reading in readings(c):
            vae = as_vae(W, np.array([reading.sigma]), mu, sigma, beta=reading.beta)
            d_mu, d_log_var = np.split(vae.gradient(x[None], eps[None, None])["encoder.1.bias"], 2)
            close(reading.factor * np.concatenate([d_mu, 2 * d_log_var]), side[0], rel=1e-9)


# Bounds on log p(x)


def linear_model(w, s, beta, variance):
    """Return a model with p(x|z) = N(x; w z, s^2) and q(z|x) = N(0, variance).

    For x = 0, the squared error is (w z)^2. The mean of (w z)^2 over the two draws in `ONE_SIGMA` equals the exact mean
    over q(z|x), so the loss has no random error.
    """
    vae = VAE.init(np.random.default_rng(0), 1, 1, (), dtype=np.float64, likelihood=Gaussian(s), beta=beta)
    vae.params.flat[:] = 0
    vae.params["encoder.1.bias"][1], vae.params["decoder.1.weight"][...] = np.log(variance), w
    vae.params["log_sigma"][...] = np.log(s)
    return vae


AT_ZERO, ONE_SIGMA = np.zeros((1, 1)), np.array([[[1.0]], [[-1.0]]])    # x = 0; two noise draws, with mean 0 and variance 1


@given(powers_of_ten(-1, 1), powers_of_ten(-1, 1), powers_of_ten(-2, 2), powers_of_ten(-3, 1))
def test_loss_is_at_least_minus_log_px_for_beta_1_or_more(w, s, beta, variance):
    vae = linear_model(w, s, max(beta, 1.0), variance)
    assert -vae.loss(AT_ZERO, ONE_SIGMA) <= exact_log_px(vae, AT_ZERO).log_px[0] + 1e-9
    best = 1 / (1 + w**2 / (beta * s**2))                   # the best variance of the encoder
    vae = linear_model(w, s, beta, best)
    above = -vae.loss(AT_ZERO, ONE_SIGMA) - exact_log_px(vae, AT_ZERO).log_px[0]
    assert above == pytest.approx(0, abs=1e-9) if beta == 1 else (above > -1e-9 if beta < 1 else above < 1e-9)


def test_loss_can_be_below_minus_log_px_for_beta_below_1():
    vae = linear_model(3.0, 0.5, 0.1, 1 / (1 + 360))
    assert -vae.loss(AT_ZERO, ONE_SIGMA) > exact_log_px(vae, AT_ZERO).log_px[0] + 0.5


@pytest.mark.parametrize(
    "convention, bound",
    [
        (Convention("bce"), "elbo"),
        (Convention("bce", kl_weight=1.001), "looser"),
        (Convention("bce", kl_weight=0.999), "none"),
        (Convention("gaussian", "learned", kl_weight=3), "looser"),
        (Convention("gaussian", "optimal", kl_weight=0.3), "none"),
        (Convention("gaussian", 0.7), "elbo"),
        (Convention("gaussian", 0.7, kl_weight=0.3), "elbo of another sigma"),
        (Convention("mse"), "elbo of another sigma"),
        (Convention("mse", 0.5**0.5), "elbo"),
        (Convention("mse", kl_weight=2), "elbo"),
        (Convention("mse", kl_weight=0), "none"),
        (Convention("bce", kl_weight=0), "none"),
    ],
)
def test_each_convention_gives_its_listed_kind_of_bound(convention, bound):
    found = translate(convention)
    assert found.bound == bound and (found.elbo is None) == (bound in ("looser", "none"))


# Conventions of public code: beta sigma^2 is compared with a calculation by hand

BY_HAND = {                                                 # {convention: beta sigma^2, or beta for a loss without sigma}
    "antixk-train": 12288 * 0.00025 / 2,
    "antixk-validation": 6144,
    "pythae-mse": 1,
    "abhayran": 1 / 2,
    "hong": 1 / 2,
    "yanndubs-gaussian": 1 / 510,
    "keras-blog": 392,
    "keras-io": 1 / 2,
    "pytorch-examples-old": 1,
    "minivae": 1,
}


@pytest.mark.parametrize("name", PRESETS)
def test_public_conventions_agree_with_a_calculation_by_hand(name):
    found = translate(preset(name).convention)
    assert found.reading.beta * (found.reading.sigma or 1) ** 2 == pytest.approx(BY_HAND[name], rel=1e-12)
    assert len(preset(name).source) > 10 and preset(name).remark.endswith(".")


def test_antixk_validation_preset_has_4000_times_the_beta_of_the_training_preset():
    betas = [translate(preset(f"antixk-{half}").convention).reading.beta for half in ("train", "validation")]
    assert betas[1] / betas[0] == pytest.approx(4000)


# Bad input


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"reconstruction": "l1"}, ("reconstruction", "bce, gaussian, mse", "'l1'", "spelling")),
        ({"reduce": "batchmean"}, ("reduce", "mean, sum", "'batchmean'", "spelling")),
        ({"reduce": "mean"}, ("features", "a mean over features", "None", "--features")),
        ({"kl_reduce": "mean"}, ("latent", "a mean over latent dimensions", "None", "--latent")),
        ({"batch_reduce": "sum"}, ("batch", "a sum over the batch", "None", "--batch")),
        ({"kl_batch_reduce": "sum"}, ("batch", "a sum over the batch", "None", "--batch")),
        ({"features": 0}, ("features", "whole number >= 1", "0", "features=1")),
        ({"features": 2.0}, ("features", "whole number >= 1", "2.0", "features=1")),
        ({"batch": 10**400}, ("batch", "< 1e+15", "1000", "scale")),
        ({"kl_weight": -1}, ("kl_weight", ">= 0", "-1", "sign")),
        ({"kl_weight": math.nan}, ("kl_weight", "finite", "nan", "sign")),
        ({"recon_weight": 0}, ("recon_weight", "> 0", "0", "sign")),
        ({"sigma": 0}, ("sigma", "> 0", "0", "sign")),
        ({"sigma": "learned"}, ("sigma", "a number for mse", "'learned'", "gaussian")),
        ({"reconstruction": "bce", "sigma": 1.0}, ("sigma", "left out for bce", "1.0", "Gaussian")),
        ({"reconstruction": "gaussian", "sigma": "fixed"}, ("sigma", "learned, optimal", "'fixed'", "spelling")),
    ],
)
def test_impossible_convention_is_refused(arguments, words):
    refused(lambda: Convention(**{"reconstruction": "mse", **arguments}), *words)


@given(st.floats(5e-324, 1e308), st.floats(0, 1e308), st.floats(5e-324, 1e308), st.sampled_from(("mse", "gaussian")))
def test_extreme_weights_give_finite_numbers_or_are_refused(u, v, sigma, kind):
    try:
        found = translate(Convention(kind, sigma, recon_weight=u, kl_weight=v))
    except ValueError as error:
        assert "Rescale the weights" in str(error)
        return
    for reading in filter(None, (found.reading, found.elbo)):
        assert all(map(math.isfinite, reading)) and reading.factor > 0 and (reading.beta > 0) == (v > 0)


# Training on two losses with D = 64 and J = 2: one sums over features and latent dimensions, one averages over them


def trained_on(c, epochs=30, batch=128):
    """Train on the loss of a convention; return rate, distortion, ELBO and active dimensions, as the `Point` of a sweep."""
    digits = data.digits().as_fractions()
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 64, 2, (64,), likelihood=Bernoulli(), data_mean=digits.train_x.mean(axis=0))
    optimiser = Adam(vae.params, lr=2e-3)
    for _ in range(epochs):
        for rows in split(rng.permutation(len(digits.train_x)), batch):
            optimiser.step(gradient_by_hand(c, vae, digits.train_x[rows], vae.draw_noise(rng, len(rows))))
    return measure(vae, digits.test_x, rng, "as written")


@pytest.mark.slow
def test_posterior_collapses_for_a_loss_with_averages_but_not_with_sums():
    sizes = {"features": 64, "latent": 2}
    sums, means = Convention("bce", **sizes), Convention("bce", reduce="mean", kl_reduce="mean", **sizes)
    beta = translate(means).reading.beta
    kept, lost = trained_on(sums), trained_on(means)
    assert beta == 32 and translate(sums).reading.beta == 1
    assert kept.active == 2 and kept.rate > 1 and kept.spread > 0.35
    assert lost.active == 0 and lost.rate < 0.01 and lost.spread < 0.01
    assert lost.elbo < kept.elbo - 1
    settings = [Setting(weight, Bernoulli(), weight) for weight in (1.0, beta)]
    for written, point in zip((kept, lost), sweep(data.digits().as_fractions(), settings, epochs=30)):
        assert written.elbo == pytest.approx(point.elbo, abs=0.05) and written.active == point.active
