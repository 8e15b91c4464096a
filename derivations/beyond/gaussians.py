"""Beyond the sources: facts about Gaussians that a derivation needs.

The first entries are about entropies and the two integrals that give the closed form of the KL. Then come divergences:
with any covariance, in other coordinates, in both directions, and near the prior. The last entry is the squared error
of a linear decoder.
"""

import math
from dataclasses import replace

import numpy as np
from numpy import exp, expm1, log, pi, tanh

from derivations.engine.domains import Symbol, positive, positives, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    LINE,
    complex_step,
    expect,
    expect_full,
    integrate,
    kl_normal,
    kl_normal_full,
    log_density,
    log_density_full,
    need_positive,
    noise,
    total,
)
from derivations.engine.worlds import FULL_PAIR, MATRIX_W, OBSERVED_3, covariance
from derivations.odaibo.closed_form import TWO
from minivae.gaussian import (
    LOG_2PI,
    cholesky,
    entropy_diagonal,
    entropy_diagonal_backward,
    entropy_full,
    kl_diagonal,
    kl_full,
    kl_standard_normal,
    log_normal,
    log_standard_normal,
)
from minivae.likelihood import gaussian_log_prob, squared_error

# The entries compare relative errors, so no entropy may be 0. An entropy is 0 if 2 pi e sigma^2 = 1, which means
# sigma = 0.24197. So sigma is a multiple of 0.01, and the determinants of the covariances are far from the value at which
# the entropy is 0.

MU = vector("mu", r"\mu", 2, simple=((0, 0), (1, -1)))
SIGMA = Symbol(
    "sigma", r"\sigma", "> 0; drawn as a multiple of 0.01", 2, lambda raw: np.ceil(100 * exp(raw)) / 100, ((1, 1), (0.1, 2))
)
COV = Symbol(
    "cov", r"\Sigma", "symmetric, positive definite", 3,
    lambda raw: covariance(exp(raw[:, :2] / 4), 0.9 * tanh(raw[:, 2:])), ([[1, 0], [0, 1]], [[2, 1], [1, 2]]),
)  # fmt: skip


def minus_q_log_q(mu, sigma):
    """Return minus the integral of `q log q` as a function of log sigma^2, on fixed nodes."""
    z = mu[..., None] + sigma[..., None] * LINE             # (n, J, nodes)

    def entropy(log_var):
        log_q = -((z - mu[..., None]) ** 2 * exp(-log_var) + log_var + log(2 * pi)) / 2
        return -total(exp(log_q) * log_q)[..., 0] * sigma * (LINE[1] - LINE[0])

    return lambda log_var: entropy(log_var[..., None])


@equation(
    "beyond.26", "entropy of a Gaussian; Shannon 1948",
    r"\left(H[N(\mu_j, \sigma_j^2)],\; \frac{dH}{d\log\sigma_j^2},\; H[N(\mu, \Sigma)]\right) ="
    r" \left(\frac{1}{2}\log(2\pi e\sigma_j^2),\; \frac{1}{2},\; \frac{1}{2}\log\det(2\pi e\Sigma)\right)",
    (MU, SIGMA, COV),
    says="The entropy is minus the integral of q log q. The entropy does not depend on mu. In one dimension, the entropy is "
    "negative if sigma is below 0.242.",
)  # fmt: skip
def eq_26(mu, sigma, cov):
    log_var, H = 2 * log(need_positive("sigma", sigma)), minus_q_log_q(mu, sigma)
    full = expect_full(lambda z: -log_density_full(z, mu, cov), mu, cov)
    half_log_det = log(np.linalg.det(2 * pi * math.e * cov))[:, None] / 2
    return (
        np.hstack([H(log_var), complex_step(H, log_var), full]),
        "=", np.hstack([log(2 * pi * math.e * sigma**2) / 2, np.full_like(sigma, 1 / 2), half_log_det]),
    )  # fmt: skip


@eq_26.tied("minivae.divergences.entropy_diagonal")
@eq_26.tied("minivae.divergences.entropy_diagonal_backward")
@eq_26.tied("minivae.divergences.entropy_full")
def _(mu, sigma, cov):
    log_var = 2 * log(sigma)
    slope = entropy_diagonal_backward(np.ones_like(log_var), log_var)
    return np.hstack([entropy_diagonal(log_var), slope, entropy_full(cov)[:, None]])


@eq_26.tied("minivae.divergences.cholesky")
def _(mu, sigma, cov):
    # Chain rule: the entropy of z is a sum of conditional entropies. Term j is the entropy of z_j given z_1 to z_(j-1). If
    # z_1 to z_(j-1) are given, z_j is Gaussian with the standard deviation R_jj, where R = cholesky(cov).
    given_before = np.diagonal(cholesky(cov), axis1=-2, axis2=-1)
    log_var = 2 * log(sigma)
    full = total(entropy_diagonal(2 * log(given_before)))
    return np.hstack([entropy_diagonal(log_var), np.full_like(log_var, 0.5), full])


# A cross-entropy is at least the entropy of q, and the entropy of q is positive if sigma_q is above 0.242. The standard
# deviation of log sigma_q is only 0.3, so only about one draw of sigma_q in a million is below 0.242. For all other draws,
# the cross-entropy is not 0.

CROSSED = (TWO[0], positive("sigma_q", r"\sigma_q", 0.3), *TWO[2:])


@equation(
    "beyond.27", "cross-entropy of two Gaussians",
    r"-\int q(z)\log p(z)\,dz = H[q] + D_{KL}(q\Vert p) ="
    r" \frac{1}{2}\log(2\pi\sigma_p^2) + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2}", CROSSED,
    says="The cross-entropy of q and p is the entropy of q plus the divergence of q from p.",
)  # fmt: skip
def eq_27(mu_q, sigma_q, mu_p, sigma_p):
    return (
        -expect(lambda z: log_density(z, mu_p, sigma_p), mu_q, sigma_q),
        "=", log(2 * pi * math.e * sigma_q**2) / 2 + kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", log(2 * pi * sigma_p**2) / 2 + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2),
    )  # fmt: skip


@eq_27.tied("minivae.divergences.kl_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    log_var = 2 * log(sigma_q)
    return entropy_diagonal(log_var) + kl_diagonal(mu_q, log_var, mu_p, 2 * log(sigma_p))


@eq_27.tied("minivae.gaussian.log_normal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    eps, weights = noise(1)
    z = mu_q + sigma_q * eps[:, None]                       # (L, n, 1)
    return -(weights @ log_normal(z, mu_p, 2 * log(sigma_p)))[:, None]


@equation(
    "beyond.58", "two integrals of the KL term; Kingma and Welling 2014, appendix B",
    r"\left(\int q(z)\log p(z)\,dz,\; \int q(z)\log q(z)\,dz\right) ="
    r" \left(-\frac{J}{2}\log(2\pi) - \frac{1}{2}\sum_{j=1}^{J}(\mu_j^2 + \sigma_j^2),\;"
    r" -\frac{J}{2}\log(2\pi) - \frac{1}{2}\sum_{j=1}^{J}(1 + \log\sigma_j^2)\right)",
    (MU, positives("sigma", r"\sigma", 2, 0.3)),
    says="Let p be N(0, I). The second integral minus the first is KL(q || p), the KL term of a VAE.",
)  # fmt: skip
def eq_58(mu, sigma):
    sigma, J = need_positive("sigma", sigma), mu.shape[-1]
    cov, zeros = sigma[..., None] ** 2 * np.eye(J), np.zeros_like(mu)
    log_p = expect_full(lambda z: log_density_full(z, zeros, np.eye(J)), mu, cov)
    log_q = expect_full(lambda z: log_density_full(z, mu, cov), mu, cov)
    return (
        np.hstack([log_p, log_q]),
        "=", np.hstack([
            -J / 2 * log(2 * pi) - total(mu**2 + sigma**2) / 2,
            -J / 2 * log(2 * pi) - total(1 + log(sigma**2)) / 2,
        ]),
    )  # fmt: skip


@eq_58.tied("minivae.gaussian.log_standard_normal")
@eq_58.tied("minivae.gaussian.log_normal")
def _(mu, sigma):
    eps, weights = noise(2)
    z = mu + sigma * eps[:, None]                           # (L, n, J)
    return np.stack([weights @ log_standard_normal(z), weights @ log_normal(z, mu, 2 * log(sigma))], axis=1)


@eq_58.tied("minivae.gaussian.kl_standard_normal")
def _(mu, sigma):
    log_var = 2 * log(sigma)
    log_q = -total(entropy_diagonal(log_var))
    return np.hstack([log_q - total(kl_standard_normal(mu, log_var)), log_q])


# Divergences


@equation(
    "beyond.33", "divergence of two Gaussians with any covariance",
    r"D_{KL}(N(\mu_q, \Sigma_q)\Vert N(\mu_p, \Sigma_p)) ="
    r" \frac{1}{2}\left[\mathrm{tr}(\Sigma_p^{-1}\Sigma_q)"
    r" + (\mu_p - \mu_q)^T\Sigma_p^{-1}(\mu_p - \mu_q) - J + \log\frac{\det\Sigma_p}{\det\Sigma_q}\right]",
    FULL_PAIR,
    says="With any covariances, the divergence depends on a trace, a squared distance and the ratio of two determinants.",
)  # fmt: skip
def eq_33(mu_q, cov_q, mu_p, cov_p):
    cholesky(cov_p, "cov_p")                                # raises ValueError if cov_p is not a covariance
    inverse, d = np.linalg.inv(cov_p), mu_p - mu_q
    trace, distance = np.einsum("nij,nji->n", inverse, cov_q), np.einsum("ni,nij,nj->n", d, inverse, d)
    log_ratio = log(np.linalg.det(cov_p) / np.linalg.det(cov_q))
    return (
        kl_normal_full(mu_q, cov_q, mu_p, cov_p),
        "=", (trace + distance - d.shape[-1] + log_ratio)[:, None] / 2,
    )  # fmt: skip


@eq_33.tied("minivae.divergences.kl_full")
@eq_33.tied("minivae.divergences.log_det")
def _(mu_q, cov_q, mu_p, cov_p):
    return kl_full(mu_q, cov_q, mu_p, cov_p)[:, None]


# The map y = g(z) is given by its inverse z(y). If k >= 0, this inverse is strictly monotone, so each z has exactly one y.

SLOPE = Symbol(
    "slope", "a", "not 0, in z(y) = a (y + k tanh y)", 1,
    lambda raw: np.where(raw < 0, -1, 1) * exp(abs(raw) / 3), (1, 2, -1),
)  # fmt: skip
BEND = Symbol("bend", "k", ">= 0", 1, abs, (0, 0.5, 1))


def y_of(t, bend):
    """Solve y + bend tanh(y) = t for y, by 60 steps of bisection; bend >= 0."""
    low, high = t - abs(bend), t + abs(bend)
    for _ in range(60):
        middle = (low + high) / 2
        above = middle + bend * tanh(middle) > t
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return middle


@equation(
    "beyond.34", "change of variables",
    r"\left(D_{KL}(q_g\Vert p_g),\; H[q_g]\right) ="
    r" \left(D_{KL}(q\Vert p),\; H[q] - E_{y \sim q_g}\left[\log|z'(y)|\right]\right),"
    r"\quad (q_g(y) = q(z(y))\,|z'(y)|)",
    (*CROSSED, SLOPE, BEND),
    says="In other coordinates y = g(z), both densities are multiplied by the same factor. So the divergence does not "
    "change, but the entropy changes.",
    needs="k >= 0, so g is one-to-one",
    outside={"mu_q": 1, "sigma_q": 1, "mu_p": 0, "sigma_p": 1, "slope": 1, "bend": -3},
)  # fmt: skip
def eq_34(mu_q, sigma_q, mu_p, sigma_p, slope, bend):
    def inside(y):
        log_slope = log(abs(slope * (1 + bend / np.cosh(y) ** 2)))          # log |z'(y)|
        z = slope * (y + bend * tanh(y))
        log_q, log_p = log_density(z, mu_q, sigma_q) + log_slope, log_density(z, mu_p, sigma_p) + log_slope
        return exp(log_q) * np.stack([log_q - log_p, -log_q, log_slope])

    # With y = sinh u the nodes are dense near y = 0, where z(y) bends.
    low, high = (np.arcsinh(y_of((mu_q + side * sigma_q) / slope, bend)) for side in (-9, 9))
    in_u = lambda u: inside(np.sinh(u)) * np.cosh(u)  # noqa: E731
    divergence, entropy, stretch = integrate(in_u, (low + high) / 2, abs(high - low) / 24)
    # The entropy of y is the entropy of z minus `stretch`, the mean of log |z'(y)|. If the entropy of z is close to
    # `stretch`, digits cancel. So the tolerance for the entropy of y is relative to the size of `stretch`.
    return (
        np.hstack([divergence, entropy]),
        "=", Zero(
            np.hstack([0 * stretch, stretch]),
            np.hstack([kl_normal(mu_q, sigma_q, mu_p, sigma_p), log(2 * pi * math.e * sigma_q**2) / 2 - stretch]),
        ),
    )  # fmt: skip


@equation(
    "beyond.54", "Jeffreys divergence of two Gaussians; Jeffreys 1946",
    r"\int (q(z) - p(z))\log\frac{q(z)}{p(z)}\,dz = D_{KL}(q\Vert p) + D_{KL}(p\Vert q) ="
    r" \frac{1}{2}\left(\frac{\sigma_q^2}{\sigma_p^2} + \frac{\sigma_p^2}{\sigma_q^2} - 2\right)"
    r" + \frac{(\mu_q-\mu_p)^2}{2}\left(\frac{1}{\sigma_q^2} + \frac{1}{\sigma_p^2}\right)", TWO,
    says="The sum of the divergences in both directions is symmetric in q and p. In this sum the logarithms cancel.",
)  # fmt: skip
def eq_54(mu_q, sigma_q, mu_p, sigma_p):
    log_ratio = lambda z: log_density(z, mu_q, sigma_q) - log_density(z, mu_p, sigma_p)  # noqa: E731
    ratio = sigma_q**2 / sigma_p**2
    return (
        expect(log_ratio, mu_q, sigma_q) - expect(log_ratio, mu_p, sigma_p),
        "=", kl_normal(mu_q, sigma_q, mu_p, sigma_p) + kl_normal(mu_p, sigma_p, mu_q, sigma_q),
        "=", (ratio + 1 / ratio - 2) / 2 + (mu_q - mu_p) ** 2 / 2 * (1 / sigma_q**2 + 1 / sigma_p**2),
    )  # fmt: skip


@eq_54.tied("minivae.divergences.kl_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    q, p = (mu_q, 2 * log(sigma_q)), (mu_p, 2 * log(sigma_p))
    return kl_diagonal(*q, *p) + kl_diagonal(*p, *q)


# KL(q || p) is E_q[-log(p/q)]. If q is near the prior p, the terms -log(p/q) have both signs, and digits cancel in their
# sum. Therefore the left side of beyond.51 adds p/q - 1 to every term. The mean of p/q - 1 over q is 0, so the KL does not
# change. Every term p/q - 1 - log(p/q) is at least 0, so no digits cancel in the sum.


def near_zero(raw):
    """Return numbers of size 1e-9 to 0.32, positive or negative."""
    return np.sign(raw) * 10 ** (-0.5 - 8.5 * tanh(abs(raw)))


def above_its_tangent(d):
    """Return exp(d) - 1 - d without cancellation, as d^2 times the integral of `(1 - u) exp(u d)` over u from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    u = (nodes + 1) / 2
    return d**2 * (weights / 2 * (1 - u) * exp(u * d[..., None])).sum(axis=-1)


@equation(
    "beyond.51", "divergence near the prior, with all digits",
    r"E_{z \sim q}\left[\frac{p(z)}{q(z)} - 1 - \log\frac{p(z)}{q(z)}\right] ="
    r" \frac{1}{2}\left(\mu^2 + \sum_{k=2}^{\infty}\frac{\ell^k}{k!}\right) ="
    r" \frac{1}{2}\left(\mu^2 + \mathrm{expm1}(\ell) - \ell\right)",
    (
        Symbol("mu", r"\mu", "real, near 0", 1, near_zero, (0, 1e-6, 1e-3)),
        Symbol("log_var", r"\ell", "log of the variance, near 0", 1, near_zero, (1e-9, 1e-6, 1e-3)),
    ),
    tolerance=1e-6,
    says="expm1(l) computes exp(l) - 1 without cancellation. Near the prior, expm1(l) keeps digits that exp(l) - 1 loses.",
)  # fmt: skip
def eq_51(mu, log_var):
    def log_p_over_q(eps):                                  # at z = mu + sigma eps
        return -mu * (mu / 2 + exp(log_var / 2) * eps) - eps**2 * expm1(log_var) / 2 + log_var / 2

    k = np.arange(2, 20)
    series = total(log_var**k / np.array([math.factorial(i) for i in k], float))
    return (
        expect(lambda eps: above_its_tangent(log_p_over_q(eps)), 0, 1),
        "=", (mu**2 + series) / 2,
        "=", (mu**2 + (expm1(log_var) - log_var)) / 2,
    )  # fmt: skip


@eq_51.tied("minivae.gaussian.kl_standard_normal")
def _(mu, log_var):
    return kl_standard_normal(mu, log_var)


# A linear decoder

CODE = vector("m", "m", 2, simple=((0, 0), (1, -1))), replace(COV, name="V", latex="V")
DECODED = (OBSERVED_3, MATRIX_W, *CODE)


@equation(
    "beyond.52", "mean of a quadratic form",
    r"E_{z \sim N(m, V)}\left[|x - Wz|^2\right] = |x - Wm|^2 + \mathrm{tr}(WVW^T)", DECODED,
    says="The expected squared error of a linear decoder has two parts: the squared error at the mean code m, and the sum "
    "of the variances of W z.",
)  # fmt: skip
def eq_52(x, W, m, V):
    error = lambda z: ((x[:, None] - z @ np.swapaxes(W, 1, 2)) ** 2).sum(axis=-1)  # noqa: E731
    at_mean = total((x - np.einsum("ndj,nj->nd", W, m)) ** 2)
    return expect_full(error, m, V), "=", at_mean + np.einsum("ndi,nij,ndj->n", W, V, W)[:, None]


def decoded(W, m, V):
    """Return the decoder's output at all nodes of the noise, (L, n, D), and the weights of the nodes, (L,)."""
    eps, weights = noise(2)
    z = m + np.einsum("nij,lj->lni", cholesky(V), eps)      # (L, n, J)   z = m + R eps, where R R^T = V
    return np.einsum("ndj,lnj->lnd", W, z), weights


@eq_52.tied("minivae.likelihood.squared_error")
@eq_52.tied("minivae.divergences.cholesky")
def _(x, W, m, V):
    out, weights = decoded(W, m, V)
    return (weights @ squared_error(x, out))[:, None]


@eq_52.tied("minivae.likelihood.gaussian_log_prob")
def _(x, W, m, V):
    out, weights = decoded(W, m, V)                         # for sigma = 1, -log p is half the squared error + const
    return -2 * (weights @ gaussian_log_prob(x, out, np.array(0.0)))[:, None] - x.shape[-1] * LOG_2PI
