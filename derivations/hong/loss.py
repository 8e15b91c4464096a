"""Hong, "Derivations", 2.1: the loss, hong.17 to hong.20, and gradient descent on it.

In hong.17 and hong.18, we read the MSE as a mean over q. With this reading, only a sign is wrong in these lines. hong.20 is
about the mean over q. The code computes the left side of each equation from densities. A side in square brackets is not on
the page.
"""

import math

import numpy as np
from numpy import exp, log
from numpy.typing import NDArray

from derivations.engine.domains import positive, real
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, kl_normal, log_density, total
from derivations.engine.worlds import chosen, linear_log_evidence, linear_posterior
from derivations.hong.divergence import bracket
from derivations.hong.world import (
    CORNERS,
    KL,
    MODEL,
    MSE,
    MU,
    SIGMA,
    SQUARES,
    as_vae,
    by_minivae,
    expected_mse,
    kl_prior,
    minus_elbo,
)
from minivae.gaussian import kl_standard_normal, reparameterize
from minivae.likelihood import squared_error

AS_PRINTED, RIGHT = 1, -1                                   # the sign before log sigma_i in the loss


def without_constant(W, sigma_theta, x, mu, sigma, log_sign):
    """Return line 2 of the source's loss, without the constant D/2 ln 2 pi. log_sign is the sign before log sigma_i."""
    D, mse = x.shape[-1], expected_mse(W, x, mu, sigma)
    return D * log(sigma_theta) + D / (2 * sigma_theta**2) * mse + bracket(mu, sigma, log_sign, 1)


def loss(W: NDArray, sigma_theta: NDArray, x: NDArray, mu: NDArray, sigma: NDArray, log_sign: int) -> NDArray:
    """Return the loss of hong.17, (n, 1). log_sign, the sign before log sigma_i, is RIGHT or AS_PRINTED."""
    constant = x.shape[-1] * math.log(2 * math.pi) / 2
    return constant + without_constant(W, sigma_theta, x, mu, sigma, log_sign)


def descent(
    log_sign: int, steps: int, W=((1,),), sigma_theta=0.5, x=(1,), rate: float = 0.02
) -> tuple[NDArray, NDArray]:
    """Run gradient descent on `loss` from q = p(z). Return mu and log sigma after 0, 1, ..., `steps` steps.

    With RIGHT and a small enough `rate`, q converges to the best Gaussian with a diagonal covariance. If the columns of W
    are orthogonal, this Gaussian is the posterior. With AS_PRINTED, log sigma decreases by at least `rate` in every step.

    For n models in one call, the shapes of W, sigma_theta and x are (n, D, d), (n, 1) and (n, D). Then mu and log sigma have
    the shape (steps + 1, n, d). The default is one model with D = d = 1, w = 1, sigma_theta = 1/2 and x = 1. Then mu and log
    sigma have the shape (steps + 1, 1).
    """
    W, x = np.asarray(W, float), np.asarray(x, float)
    weighted = np.swapaxes(W, -2, -1) / np.asarray(sigma_theta, float)[..., None] ** 2
    precision = np.eye(W.shape[-1]) + weighted @ W          # inverse covariance of p(z|x)
    target = (weighted @ x[..., None])[..., 0]              # precision times the mean of p(z|x)
    diagonal = np.diagonal(precision, axis1=-2, axis2=-1)
    mu, log_sigma = np.zeros((2, steps + 1, *target.shape))
    for t in range(steps):
        d_mu = (precision @ mu[t][..., None])[..., 0] - target
        d_log_sigma = diagonal * exp(2 * log_sigma[t]) + log_sign
        mu[t + 1], log_sigma[t + 1] = mu[t] - rate * d_mu, log_sigma[t] - rate * d_log_sigma
    return mu, log_sigma


LOSS_MSE = rf"D\ln(\sigma_\theta) + \frac{{D}}{{2\sigma_\theta^2}}{MSE}"
PRINTED_KL = rf"\sum_{{i=1}}^d\left[\log\sigma_i + {SQUARES}\right]"
RIGHT_KL = rf"\sum_{{i=1}}^d\left[-\log\sigma_i + {SQUARES}\right]"
CONSTANT = r"\frac{1}{2}D\ln(2\pi)"
MINUS_L = r"-\mathcal{L}_{\phi,\theta}(x)"


@equation(
    "hong.17", "l.47 line 1", rf"{MINUS_L} = {CONSTANT} + {LOSS_MSE} + {PRINTED_KL}", MODEL,
    verdict="wrong", group="hong.10",
    says="The loss is the negative log-likelihood of x (hong.15) plus the divergence, with the printed signs of hong.10.",
    fault="A minus sign is missing, as the author notes at l.49: the divergence contains -log sigma_i, but the printed loss "
    "has +log sigma_i. As printed, the loss has no minimum: it decreases without bound as sigma_i goes to 0.",
)  # fmt: skip
def eq_17(W, sigma_theta, x, mu, sigma):
    return minus_elbo(W, sigma_theta, x, mu, sigma), "=", loss(W, sigma_theta, x, mu, sigma, AS_PRINTED)


@eq_17.corrected(rf"{MINUS_L} = {CONSTANT} + {LOSS_MSE} + {RIGHT_KL}")
def _(W, sigma_theta, x, mu, sigma):
    return minus_elbo(W, sigma_theta, x, mu, sigma), "=", loss(W, sigma_theta, x, mu, sigma, RIGHT)


def loss_of_one(W, sigma_theta, x, mu, sigma):
    """Return minivae's loss of one datum.

    The loss is quadratic in the noise, so its mean over the four draws in CORNERS is its exact expectation.
    """
    return as_vae(W, sigma_theta, mu, sigma).loss(x[None], CORNERS)[None]


@eq_17.tied("minivae.vae.VAE.loss", draws=100)
def _(W, sigma_theta, x, mu, sigma):
    return by_minivae(loss_of_one)(W, sigma_theta, x, mu, sigma)


@equation(
    "hong.18", "l.47 line 2", rf"\left[{MINUS_L} - {CONSTANT}\right] = {LOSS_MSE} + {PRINTED_KL}", MODEL,
    verdict="wrong", group="hong.10",
    says="This is the loss of hong.17 without the constant D/2 ln 2 pi.",
    fault="The constant may be left out. But a minus sign is missing, as the author notes at l.49: the divergence contains "
    "-log sigma_i, and the printed loss has +log sigma_i.",
)  # fmt: skip
def eq_18(W, sigma_theta, x, mu, sigma):
    constant = x.shape[-1] * math.log(2 * math.pi) / 2
    left = minus_elbo(W, sigma_theta, x, mu, sigma) - constant
    return left, "=", without_constant(W, sigma_theta, x, mu, sigma, AS_PRINTED)


@eq_18.corrected(rf"\left[{MINUS_L} - {CONSTANT}\right] = {LOSS_MSE} + {RIGHT_KL}")
def _(W, sigma_theta, x, mu, sigma):
    constant = x.shape[-1] * math.log(2 * math.pi) / 2
    left = minus_elbo(W, sigma_theta, x, mu, sigma) - constant
    return left, "=", without_constant(W, sigma_theta, x, mu, sigma, RIGHT)


@eq_18.tied("minivae.likelihood.squared_error")
def _(W, sigma_theta, x, mu, sigma):
    z = reparameterize(mu, 2 * log(sigma), CORNERS)         # (4, n, d)
    squares = squared_error(x, np.einsum("nij,lnj->lni", W, z)).mean(axis=0)[:, None]
    kl = total(kl_standard_normal(mu, 2 * log(sigma)))
    return x.shape[-1] * log(sigma_theta) + squares / (2 * sigma_theta**2) + kl


A, B = (chosen(name, name, value, "a sign, 1 or -1") for name, value in (("a", -1), ("b", 1)))
PLACES = {"none": (1, 1), "the squares": (1, -1), "the whole sum": (-1, -1)}      # {terms with a minus sign: (a, b)}
TRIED = tuple({"mu": (1, 0), "sigma": (2, 1), "a": a, "b": b} for a, b in PLACES.values())


@equation(
    "hong.19", "l.49 margin note",
    r"D_{KL}(q(z|x)||p(z)) = \sum_{i=1}^d\left[a\log\sigma_i + \frac{b}{2}(\mu_i^2+\sigma_i^2-1)\right]",
    (MU, SIGMA, A, B), kind="claim",
    claim='A note in the margin says "Should put minus sign here" (l.49).',
    says="a is the sign before log sigma_i in the divergence, and b is the sign before the squares.",
    needs="a = -1 and b = 1: the minus sign belongs before log sigma_i",
    outside=TRIED + tuple(point | {"mu": (0, 0), "sigma": (0.1, 1)} for point in TRIED),
)  # fmt: skip
def margin_note(mu, sigma, a, b):
    return kl_prior(mu, sigma), "=", bracket(mu, sigma, a, b)


@margin_note.tied("minivae.gaussian.kl_standard_normal")
def _(mu, sigma, a, b):
    return total(kl_standard_normal(mu, 2 * log(sigma)))


# One number x and one z: p(x|z) = N(w z, sigma_theta^2), z = mu + sigma eps

ONE = (
    real("w", "w", simple=(1, 2)),
    positive("sigma_theta", r"\sigma_\theta", simple=(1, 0.5)),
    real("x", "x", simple=(1, 0)),
    real("mu", r"\mu", simple=(0.8, 0)),
    positive("sigma", r"\sigma", simple=(0.5, 1)),
)
DRAWN = real("eps", r"\epsilon", 1.0, (0, 1, -1))


@equation(
    "hong.20", "l.45", rf"{MINUS_L} = -\ln p_\theta(x|\mu+\sigma\epsilon) + {KL}", (*ONE, DRAWN),
    kind="claim", verdict="loose",
    claim='The text calls the sum of reconstruction loss and KL "the original ELBO" (l.45).',
    says="Read literally, the text says: minus the ELBO is the loss for one draw of z.",
    fault="The sum is minus the ELBO. The reconstruction loss is an expectation over q(z|x); one draw of z only estimates "
    "this expectation.",
)  # fmt: skip
def original_elbo(w, sigma_theta, x, mu, sigma, eps):
    log_p = log_density(x, w * (mu + sigma * eps), sigma_theta)
    return minus_elbo_of(w, sigma_theta, x, mu, sigma), "=", kl_normal(mu, sigma, 0, 1) - log_p


def minus_elbo_of(w, sigma_theta, x, mu, sigma):
    """Return -L = KL(q(z|x) || p(z|x)) - ln p(x). This formula needs no draws of z."""
    gap = kl_normal(mu, sigma, *linear_posterior(w, sigma_theta, x))
    return gap - linear_log_evidence(w, sigma_theta, x)


@original_elbo.precise(
    rf"{MINUS_L} = E_{{\sim q(z|x)}}\left[-\ln p_\theta(x|z)\right] + {KL}", inputs=ONE
)  # fmt: skip
def _(w, sigma_theta, x, mu, sigma):
    log_p = expect(lambda z: log_density(x, w * z, sigma_theta), mu, sigma)
    return minus_elbo_of(w, sigma_theta, x, mu, sigma), "=", -log_p + kl_normal(mu, sigma, 0, 1)


def minus_elbo_of_one(W, sigma_theta, x, mu, sigma):
    """Return minus the ELBO of one datum, computed by minivae.

    The noise has two values, 1 and -1. The ELBO is the mean over these values. log p(x|z) is quadratic in the noise, so the
    mean is equal to the expectation for noise from N(0, 1).
    """
    return -as_vae(W, sigma_theta, mu, sigma).elbo(x[None], np.array([[[1.0]], [[-1.0]]]))


@original_elbo.tied("minivae.vae.VAE.elbo", draws=100)
def _(w, sigma_theta, x, mu, sigma):
    return by_minivae(minus_elbo_of_one)(w[..., None], sigma_theta, x, mu, sigma)
