"""Hong, "Derivations", 2.1: the divergence from the prior, hong.8 to hong.12.

The left sides of hong.8 to hong.10 are computed from the densities. The expectation in hong.9 is an exact sum over
quadrature nodes.
"""

import numpy as np
from numpy import exp, log

from derivations.engine.domains import positive, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import complex_step, normal, total
from derivations.hong.notation import Z
from derivations.hong.world import (
    KL,
    MSE,
    MU,
    SIGMA,
    SQUARES,
    W,
    X,
    as_vae,
    by_minivae,
    codes,
    complex_gradient,
    decoded,
    kl_prior,
    lowest,
)
from minivae.gaussian import kl_standard_normal, log_normal, log_standard_normal

DISTANCE = r"\frac{(z_i-\mu_i)^2}{\sigma_i^2} - z_i^2"


@equation(
    "hong.8", "l.29",
    r"\frac{q(z|x)}{p(z)} = \frac{1}{\prod_i \sigma_i}"
    rf" \exp\left[-\frac{{1}}{{2}}\sum_i\left({DISTANCE}\right)\right]", (Z, MU, SIGMA),
    says="In the ratio of the two densities, all factors of 2 pi cancel.",
)  # fmt: skip
def eq_8(z, mu, sigma):
    over = normal(z, mu, sigma) / normal(z, 0, 1)
    bracket = total((z - mu) ** 2 / sigma**2 - z**2)
    return over.prod(axis=-1, keepdims=True), "=", 1 / sigma.prod(axis=-1, keepdims=True) * exp(-bracket / 2)


@eq_8.tied("minivae.gaussian.log_normal")
def _(z, mu, sigma):
    return exp(log_normal(z, mu, 2 * log(sigma)) - log_standard_normal(z))[:, None]


@equation(
    "hong.9", "l.35 line 1",
    rf"-{KL} = \int_{{\mathbb{{R}}^d}} q(z|x)\left[\sum_i\log\sigma_i"
    rf" + \frac{{1}}{{2}}\sum_i\left({DISTANCE}\right)\right]dz", (MU, SIGMA),
    says="The display gives minus the KL. (The sentence before the display announces the KL.)",
)  # fmt: skip
def eq_9(mu, sigma):
    z, weights = codes(mu, sigma)                           # (n, 9, d), (9,)
    log_ratio = log(sigma)[:, None] + ((z - mu[:, None]) ** 2 / sigma[:, None] ** 2 - z**2) / 2
    return -kl_prior(mu, sigma), "=", total(weights * log_ratio.sum(axis=-1))


@eq_9.tied("minivae.gaussian.log_standard_normal")
def _(mu, sigma):
    z, weights = codes(mu, sigma)
    log_q = log_normal(np.moveaxis(z, 1, 0), mu, 2 * log(sigma))                # (9, n)
    return (weights @ (log_standard_normal(np.moveaxis(z, 1, 0)) - log_q))[:, None]


def bracket(mu, sigma, log_sign, square_sign):
    """Return `sum_i [+-log sigma_i +- 1/2 (mu_i^2 + sigma_i^2 - 1)]`. The source prints (+, +), but (-, +) give the KL."""
    return total(log_sign * log(sigma) + square_sign * (mu**2 + sigma**2 - 1) / 2)


def printed_line(mu, sigma):
    """Return the right side of hong.10, line 2 of the displayed formula, with the signs that the source prints."""
    return bracket(mu, sigma, 1, 1)


@equation(
    "hong.10", "l.35 line 2", rf"-{KL} = \sum_{{i=1}}^d\left[\log\sigma_i + {SQUARES}\right]", (MU, SIGMA),
    verdict="wrong",
    says="This is the closed form of minus the divergence, with the signs as printed.",
    fault="The author notes at l.49 that a minus sign is missing. Here this sign belongs before the squares. The printed "
    "right side can be positive, but minus a KL never is.",
)  # fmt: skip
def eq_10(mu, sigma):
    return -kl_prior(mu, sigma), "=", printed_line(mu, sigma)


@eq_10.corrected(rf"-{KL} = \sum_{{i=1}}^d\left[\log\sigma_i - {SQUARES}\right]")
def _(mu, sigma):
    return -kl_prior(mu, sigma), "=", bracket(mu, sigma, 1, -1)


@eq_10.tied("minivae.gaussian.kl_standard_normal")
def _(mu, sigma):
    return -total(kl_standard_normal(mu, 2 * log(sigma)))


# In the loss, the squared errors of the D pixels and the KLs of the d latent dimensions can be summed or averaged. hong.11
# compares the gradient of the summed loss with the gradient of the averaged loss. Both gradients are taken with respect to
# the encoder's output (mu, log sigma), for one draw of eps.

BETA, EPS = positive("beta", r"\beta"), vector("eps", r"\epsilon", 2, 1.0, ((1, 0), (0.5, -1)))
EACH_KL = r"D_{KL}^{(i)}"


def loss_with(reduce, beta, W, x, eps):
    """Return the loss `reduce{(x - x~)^2} + beta reduce{KL_i}`, where `reduce` is np.sum or np.mean.

    The loss is a function of an array (..., 2d), which has mu and log sigma side by side.
    """
    def loss(mu_and_log_sigma):
        mu, log_sigma = np.split(mu_and_log_sigma, 2, axis=-1)                  # (n, K, d) each
        x_tilde = decoded(W, mu + exp(log_sigma) * eps[:, None])
        kls = (mu**2 + exp(2 * log_sigma) - 1) / 2 - log_sigma
        return reduce((x[:, None] - x_tilde) ** 2, axis=-1) + beta * reduce(kls, axis=-1)

    return loss


@equation(
    "hong.11", "l.37",
    rf"\nabla\left\{{\sum_k (x_k-\tilde{{x}}_k)^2 + \beta\sum_i {EACH_KL}\right\}} ="
    rf" D\,\nabla\left\{{{MSE} + \beta_{{norm}}\frac{{1}}{{d}}\sum_i {EACH_KL}\right\}},"
    r"\quad \beta_{norm} \,\mathrm{being}\, \frac{\beta d}{D}",
    (BETA, W, X, MU, SIGMA, EPS), kind="claim",
    claim="The text says that the KL is summed, not averaged, over the latent dimensions (l.37).",
    says="If means replace the sums, and beta d / D replaces beta, the gradient becomes D times smaller.",
)  # fmt: skip
def reductions(beta, W, x, mu, sigma, eps):
    at, (D, d) = np.concatenate([mu, log(sigma)], axis=-1), W.shape[-2:]
    summed = complex_gradient(loss_with(np.sum, beta, W, x, eps), at)
    averaged = complex_gradient(loss_with(np.mean, beta * d / D, W, x, eps), at)
    return summed, "=", D * averaged


def gradient_of_one(W, sigma_theta, x, mu, sigma, eps, beta):
    """Return minivae's gradient with respect to (mu, log sigma) for one value of each letter."""
    vae = as_vae(W, sigma_theta, mu, sigma, beta=float(beta[0]))
    d_mu, d_log_var = np.split(vae.gradient(x[None], eps[None, None])["encoder.1.bias"], 2)
    return np.concatenate([d_mu, 2 * d_log_var])            # log var = 2 log sigma


@reductions.tied("minivae.vae.VAE.gradient", draws=50)
def _(beta, W, x, mu, sigma, eps):
    sigma_theta = np.full_like(beta, 0.5**0.5)              # so -ln p(x|z) is the sum of squares plus a constant
    return by_minivae(gradient_of_one, "(d),(o)->(p)")(W, sigma_theta, x, mu, sigma, eps, beta)


# CIFAR10 as in the source: D = 3 * 32 * 32, d = 50


def slopes(reduce, D, d):
    """Return d/dt at t = 2 of `reduce{(x - x~)^2}` and of `reduce{KL_i}`, for x~ = t x, mu = t m and sigma = 1."""
    x, m = np.cos(np.arange(D)), np.sin(np.arange(d))
    reconstruction = complex_step(lambda t: reduce((x - t * x) ** 2), 2.0)
    return reconstruction, complex_step(lambda t: reduce((t * m) ** 2 / 2), 2.0)


def best_variance(v, weight):
    """Return the sigma^2 of q for which the loss is lowest, found by bisection.

    The decoder has the mean x~ = z and the variance sigma_theta^2 = v. In the loss, `weight` multiplies the KL.
    """
    loss = lambda t: exp(2 * t) / (2 * v) + weight * (exp(2 * t) / 2 - t)  # t = log sigma  # noqa: E731
    return exp(2 * lowest(loss))


@equation(
    "hong.12", "l.37",
    r"\left(\beta_{norm}(1),\; \beta(1),\; \sigma_\theta^2(\mathrm{MSE}),\; \sigma_i^2(\mathrm{sum}),\;"
    r" \sigma_i^2(\mathrm{mean})\right) = \left(\frac{d}{D},\; \frac{D}{d},\; \frac{D}{2},\; \frac{v}{v+1},\;"
    r" \frac{v}{v+d}\right)",
    kind="claim", verdict="prose",
    claim="The text suspects that sums and means of the KL are a reason for different choices of beta (l.37).",
    says="For CIFAR10 (D = 3072) and d = 50, beta = 1 corresponds to beta_norm = d/D, and beta_norm = 1 to beta = D/d. The "
    "loss MSE + KL implies sigma_theta^2 = D/2. For x~ = z and v = sigma_theta^2 = 1/4, the best sigma_i^2 is smaller if "
    "the KLs are averaged instead of summed.",
)  # fmt: skip
def choices_of_beta():
    D, d, v = 3 * 32 * 32, 50, 1 / 4
    (squares, kls), (mean_square, mean_kl) = slopes(np.sum, D, d), slopes(np.mean, D, d)
    normed = (kls / squares) / (mean_kl / mean_square)      # the beta_norm that corresponds to beta = 1
    implied = squares / mean_square / 2                     # for this sigma_theta^2, squares / (2 sigma_theta^2) = MSE
    return (
        np.array([normed, 1 / normed, implied, best_variance(v, 1), best_variance(v, 1 / d)]),
        "=", np.array([d / D, D / d, D / 2, v / (v + 1), v / (v + d)]),
    )  # fmt: skip
