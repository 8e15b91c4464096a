"""The importance-weighted bound as training objective, and the path gradient.

The references are exact: complex steps, quadrature over the noise, a linear model with known posterior.
"""

import dataclasses

import numpy as np
import pytest

from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.objective import OBJECTIVES, iw_bound
from minivae.vae import VAE
from tests.helpers.numeric import check_model_gradient, close, noise_nodes, random_problem, refused

LIKELIHOODS = [Bernoulli(), Binomial(16), Gaussian(0.7), Gaussian("learned")]
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
IWAE = {"objective": "iwae", "estimator": "sampled"}


# The loss


@every_likelihood
def test_iwae_loss_is_minus_the_log_of_the_mean_weight(likelihood):
    vae, x, eps = random_problem(0, likelihood, samples=4, **IWAE)
    f = vae.forward(x, eps)
    log_w = f.log_px_z - f.kl                               # (L, B)
    close(f.loss, -np.log(np.exp(log_w).mean(axis=0)).mean(), rel=1e-13)


@every_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_iwae_with_one_draw_equals_the_sampled_elbo_bit_for_bit(likelihood, dtype):
    vae, x, eps = random_problem(1, likelihood, rows=5, dtype=dtype, **IWAE)
    elbo = dataclasses.replace(vae, objective="elbo")
    assert vae.loss(x, eps) == elbo.loss(x, eps) and vae.loss(x, eps).dtype == dtype
    assert np.array_equal(vae.gradient(x, eps).flat, elbo.gradient(x, eps).flat)


def test_two_draws_give_a_higher_mean_iwae_bound_than_one_draw():
    """Compare the mean loss with two draws and the mean loss with one draw.

    Quadrature nodes replace the draws. With two draws, the mean is a weighted sum over all pairs of nodes. With one draw,
    the mean is a weighted sum over all nodes.
    """
    vae, x, _ = random_problem(2, Gaussian("learned"), rows=2, latent=1, **IWAE)
    eps, weights = noise_nodes(1, 2, nodes=40)              # (K, B, 1), (K,)
    one = sum(w * vae.loss(x, e[None]) for e, w in zip(eps, weights))
    two = sum(w * v * vae.loss(x, np.stack([e, d])) for e, w in zip(eps, weights) for d, v in zip(eps, weights))
    assert two < one - 1e-3


def jensen_gain(log_w):
    """Return the importance-weighted bound minus the mean of log_w (L, B) over the draws, as a mean over the data."""
    return (iw_bound(log_w) - log_w.mean(axis=0)).mean()


def test_bound_exceeds_the_mean_log_weight_unless_all_weights_are_equal():
    rng = np.random.default_rng(0)
    assert jensen_gain(np.full((4, 3), -700.0)) == pytest.approx(0, abs=1e-12)
    assert all(jensen_gain(rng.normal(0, spread, (4, 3))) > 0 for spread in (0.1, 1, 1000))
    assert jensen_gain(rng.normal(size=(1, 3))) == 0
    assert jensen_gain(np.array([[-1e4], [1e4]])) == pytest.approx(1e4 - np.log(2))


# The gradient


@every_likelihood
@pytest.mark.parametrize("depth", [(), (4, 3)])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_iwae_gradient_is_the_gradient_of_its_loss(likelihood, depth, samples):
    problem = random_problem(samples, likelihood, samples=samples, hidden=depth, **IWAE)
    check_model_gradient(*problem, "complex step")
    check_model_gradient(*problem, "central difference")


WRONG = {
    "equal weights": lambda log_px_z, kl: np.full(kl.shape, 1 / len(kl)),
    "weights not divided by their sum": lambda log_px_z, kl: np.exp(log_px_z - kl),
    "weights divided by a sum over all data": lambda log_px_z, kl: np.exp(log_px_z - kl) / np.exp(log_px_z - kl).sum(),
    "inverse weights": lambda log_px_z, kl: (s := np.exp(kl - log_px_z)) / s.sum(axis=0),
    "log q left out of the weights": lambda log_px_z, kl: (s := np.exp(log_px_z)) / s.sum(axis=0),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_importance_weights_are_noticed(wrong, monkeypatch):
    problem = random_problem(3, Gaussian("learned"), samples=3, **IWAE)
    check_model_gradient(*problem, "complex step")

    def wrong_backward(d_loss, log_px_z, kl, beta):
        d_log_w = -d_loss * wrong(log_px_z, kl) / kl.shape[1]
        return d_log_w, -d_log_w

    planted = OBJECTIVES["iwae", "sampled"]._replace(loss_backward=wrong_backward)
    monkeypatch.setitem(OBJECTIVES, ("iwae", "sampled"), planted)
    with pytest.raises(AssertionError, match="entries differ"):
        check_model_gradient(*problem, "complex step")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"estimator": "analytic"}, ("estimator", "'sampled' for the objective 'iwae'", "'analytic'", "weights")),
        ({"estimator": "path"}, ("estimator", "'sampled' for the objective 'iwae'", "'path'", "weights")),
        ({"beta": 0.5}, ("beta", "1 for the objective 'iwae'", "0.5", "is not a bound")),
        ({"likelihood": Gaussian("optimal")}, ("sigma", "a number or 'learned'", "'optimal'", "learned")),
    ],
)
def test_iwae_refuses_settings_that_contradict_the_objective(settings, words):
    rng = np.random.default_rng(0)
    refused(lambda: VAE.init(rng, 4, 2, **IWAE | settings), *words)


# The path gradient


@every_likelihood
@pytest.mark.parametrize("beta", [1, 0.5])
def test_path_gradient_has_the_same_mean_as_the_full_gradient(likelihood, beta):
    sampled, x, _ = random_problem(4, likelihood, rows=2, latent=1, estimator="sampled", beta=beta)
    path = dataclasses.replace(sampled, estimator="path")
    eps, weights = noise_nodes(1, 2, nodes=100)
    means = [sum(w * vae.gradient(x, e[None]).flat for e, w in zip(eps, weights)) for vae in (path, sampled)]
    close(means[0], means[1], rel=1e-9)
    single = [vae.gradient(x, eps[60][None]).flat for vae in (path, sampled)]
    assert np.abs(single[0] - single[1]).max() > 1e-3      # for one draw, the two gradients differ
    assert path.loss(x, eps[:1]) == sampled.loss(x, eps[:1])


def at_its_posterior(estimator):
    """Return a model and data. The model is linear, `x = z w + b + s eps` with J = 1; its encoder is the exact posterior."""
    vae, x, _ = random_problem(5, Gaussian(0.8), rows=3, latent=1, hidden=(), estimator=estimator)
    ((w, b),), s2 = vae.layers("decoder"), 0.64
    variance = 1 / (1 + (w**2).sum() / s2)
    ((weight, bias),) = vae.layers("encoder")
    weight[...] = 0
    weight[:, :1] = variance * w.T / s2
    bias[...] = (-variance * (w @ b).item() / s2, np.log(variance))
    return vae, x


def test_path_gradient_of_the_encoder_is_zero_for_the_exact_posterior():
    rng = np.random.default_rng(6)
    vae, x = at_its_posterior("path")
    other, _ = at_its_posterior("sampled")
    for _ in range(20):
        eps = rng.standard_normal((1, 3, 1))
        right, kept = (np.abs(model.gradient(x, eps)["encoder.1.weight"]).max() for model in (vae, other))
        assert right < 1e-13 < 1e-2 < kept
