"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "Closed form VAE Loss", equation (41), for one datum.

The model is linear: x_i = w z + s eps is one number, and z has two coordinates. So we know log p(x_i), p(z|x_i), and the
bound that (41) should equal. Expectations over noise are exact sums over quadrature nodes. The source draws L samples; the
nodes represent all possible draws. The side in square brackets is our addition: the ELBO. By (28), the right side of (41)
should equal the ELBO.
"""

import numpy as np
from numpy import exp, log, sqrt

from derivations.engine.domains import positives, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import kl_normal, kl_normal_full, need_same_shape, noise, normal, total
from derivations.engine.worlds import (
    DIAGONAL_PAIR,
    PLANE,
    PLANE_MU,
    RHO,
    covariance,
    one_or_two,
    pick,
    plane_elbo,
    plane_log_p,
    plane_moments,
)
from minivae.gaussian import kl_full, kl_standard_normal, log_normal, reparameterize
from minivae.likelihood import gaussian_log_prob

# From one latent coordinate to J coordinates


@equation(
    "odaibo.t25", "l.269-273 (implicit)",
    r"D_{KL}(q(z|x_i)||p(z)) = \sum_{j=1}^{J} D_{KL}(q(z_j|x_i)||p(z_j))", (*DIAGONAL_PAIR, RHO),
    kind="claim",
    claim="The text uses the divergence of one coordinate for each of J coordinates (l.269-273).",
    says="If the coordinates are independent, the divergence is the sum of the divergences of the coordinates.",
    needs="the coordinates of z are independent under q and under p",
    outside=tuple({"mu_q": (0, 0), "sigma_q": (1, 1), "mu_p": (0, 0), "sigma_p": (1, 1), "rho": r} for r in (0.8, 1)),
)  # fmt: skip
def t_25(mu_q, sigma_q, mu_p, sigma_p, rho):
    whole = kl_normal_full(mu_q, covariance(sigma_q, rho), mu_p, covariance(sigma_p, 0 * rho))
    each = kl_normal(*(array[..., None] for array in (mu_q, sigma_q, mu_p, sigma_p)))           # (n, J, 1)
    return whole, "=", each.sum(axis=1)


@t_25.tied("minivae.divergences.kl_full")
def _(mu_q, sigma_q, mu_p, sigma_p, rho):
    return kl_full(mu_q, covariance(sigma_q, rho), mu_p, covariance(sigma_p, 0 * rho))[:, None]


# The objective of one datum


def E_q(f, mu, sigma):
    """Return E_q[f(z)] as a sum over nine quadrature nodes.

    The function f is log p(x|z). For this polynomial of degree 2 in z, the sum is the exact expectation.
    """
    eps, weights = noise(2)
    return total(weights * f(mu[..., None, :] + sigma[..., None, :] * eps))


EPS = vector("eps", r"\epsilon", 2, 1.0, ((0.3, -1.1), (1, 0)))
RECONSTRUCTION = r"E_{\sim q_\theta(z|x_i)}\left[\log p_\phi(x_i|z)\right]"


@equation(
    "odaibo.41", "l.271 (41)",
    rf"[ELBO_i] = \frac{{1}}{{2}}\left[1 + \log(\sigma_j^2) - \sigma_j^2 - \mu_j^2\right] + {RECONSTRUCTION}",
    (*PLANE, one_or_two("j", "1 or 2; (41) does not say which coordinate")),
    says="The ELBO of a datum is the expected log-likelihood minus the KL from the prior.",
    verdict="wrong", fault="The KL of only one coordinate is counted. The KLs should be summed over j.",
)  # fmt: skip
def eq_41(w, s, x_i, mu, sigma, j):
    mu_j, sigma_j = pick(mu, j), pick(sigma, j)
    reconstruction = E_q(lambda z: plane_log_p(w, s, x_i, z), mu, sigma)
    return (
        plane_elbo(w, s, x_i, mu, sigma),
        "=", (1 + log(sigma_j**2) - sigma_j**2 - mu_j**2) / 2 + reconstruction,
    )  # fmt: skip


@eq_41.corrected(
    r"[ELBO_i] = \frac{1}{2}\sum_{j=1}^{J}\left[1 + \log(\sigma_j^2) - \sigma_j^2 - \mu_j^2\right]"
    rf" + {RECONSTRUCTION}",
    inputs=PLANE,
)
def _(w, s, x_i, mu, sigma):
    reconstruction = E_q(lambda z: plane_log_p(w, s, x_i, z), mu, sigma)
    return (
        plane_elbo(w, s, x_i, mu, sigma),
        "=", total(1 + log(sigma**2) - sigma**2 - mu**2) / 2 + reconstruction,
    )  # fmt: skip


@eq_41.tied("minivae.gaussian.kl_standard_normal")
def _(w, s, x_i, mu, sigma):
    exact, _ = plane_moments(w, s, x_i, mu, sigma)
    return exact - total(kl_standard_normal(mu, 2 * log(sigma)))


@equation(
    "odaibo.t28", "l.269", rf"{RECONSTRUCTION} = \log p_\phi(x_i|z^{{(i,1)}})", (*PLANE, EPS),
    kind="claim", verdict="wrong", group="odaibo.42",
    claim='The text calls (41) the contribution of a datum "and a single stochastic draw" (l.269).',
    says="Read literally, the text says: the expectation in (41) equals the value for a single draw.",
    fault="(41) contains an expectation and no draw. The value for one draw is random, and its mean is the expectation.",
)  # fmt: skip
def t_28(w, s, x_i, mu, sigma, eps):
    z_1 = (mu + sigma * eps)[:, None, :]                    # (n, 1, J)   a single draw
    exact, _ = plane_moments(w, s, x_i, mu, sigma)
    return exact, "=", plane_log_p(w, s, x_i, z_1)


@t_28.corrected(rf"{RECONSTRUCTION} = E_\epsilon\left[\log p_\phi(x_i|z^{{(i,1)}})\right]", inputs=PLANE)
def _(w, s, x_i, mu, sigma):
    eps, weights = noise(2)
    z_1 = mu[:, None, :] + sigma[:, None, :] * eps          # (n, K, J)   the nodes represent all draws
    exact, _ = plane_moments(w, s, x_i, mu, sigma)
    return exact, "=", total(weights * plane_log_p(w, s, x_i, z_1))


def drawn_log_p(w, s, x_i, mu, sigma, eps):
    """Return log p(x_i|z) at z = mu + sigma eps, (n, K), computed by minivae. The shape of eps is (K, n, J) or (K, 1, J)."""
    z = reparameterize(mu, 2 * log(sigma), eps)             # (K, n, J)
    return gaussian_log_prob(x_i, total(w * z), log(s[:, 0])).T


@t_28.tied("minivae.likelihood.gaussian_log_prob")
def _(w, s, x_i, mu, sigma):
    eps, weights = noise(2)
    return total(weights * drawn_log_p(w, s, x_i, mu, sigma, eps[:, None]))


@equation(
    "odaibo.t29", "l.273", r"q_\theta(z|x_i) := \prod_{j=1}^{J} N(z_j;\, \mu_j,\, \sigma_j^2)",
    (vector("z", "z", 2, 0.8), PLANE_MU, positives("sigma", r"\sigma", 2, 0.3, ((0.5, 2), (1, 1)))),
    kind="claim",
    claim="The text says that mu_j and sigma_j^2 are parameters of q, and that j is an index of z (l.273).",
    says="q is a Gaussian with independent coordinates. The parameters mu_j and sigma_j of q depend on x_i.",
    verdict="defines",
)  # fmt: skip
def t_29(z, mu, sigma):
    need_same_shape(z=z, mu=mu, sigma=sigma)
    cov = np.eye(2) * sigma[:, None] ** 2
    d = (z - mu)[..., None]                                 # (n, J, 1)
    distance = (np.swapaxes(d, 1, 2) @ np.linalg.solve(cov, d))[..., 0]
    q = exp(-distance / 2) / (2 * np.pi * sqrt(np.linalg.det(cov))[:, None])
    return q, ":=", np.prod(normal(z, mu, sigma), axis=-1, keepdims=True)


@t_29.tied("minivae.gaussian.log_normal")
def _(z, mu, sigma):
    return exp(log_normal(z, mu, 2 * log(sigma)))[:, None]
