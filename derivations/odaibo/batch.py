"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": a batch, equations (42) to (44), and the "Conclusion".

The model is that of loss.py, with a batch of three data and an encoder with one layer. The objective of the source is G of
(42). The corrected G depends on the drawn noise. So each side of the corrected forms of (42) and (43) is a pair: the mean
and the variance of G, or of -G, over the noise.
"""

import itertools

import numpy as np
from numpy import exp, log, sqrt

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import (
    HERMITE,
    expect,
    integrate,
    kl_normal,
    log_density,
    need_above_zero,
    noise,
    normal,
    total,
)
from derivations.engine.worlds import (
    PLANE,
    PLANE_S,
    PLANE_W,
    chosen,
    linear_elbo,
    one_or_two,
    pick,
    plane_elbo,
    plane_log_p,
    plane_moments,
)
from derivations.odaibo.loss import drawn_log_p
from minivae.gaussian import kl_standard_normal
from minivae.likelihood import Gaussian, bernoulli_log_prob
from minivae.params import Params, mlp_shapes
from minivae.vae import VAE

# The encoder has mu = a x + b and sigma = d exp(c x) for each of the two coordinates of z.


def encoder_weights(raw):
    """Return theta (n, 4, J). Its rows: slope a and offset b of mu, slope c of log sigma, and d = sigma at x = 0."""
    a, b, c, d = np.moveaxis(raw.reshape(-1, 4, 2), 1, 0)
    return np.stack([0.7 * a, b, 0.2 * c, exp(0.4 * d)], axis=1)


THETA = Symbol(
    "theta", r"\theta", "rows a, b, c, d of mu = a x + b, sigma = d exp(c x)", 8, encoder_weights,
    ([[0, 0], [0.5, -1], [0, 0], [0.5, 2]], [[1, 0], [0, 0], [0, 0], [1, 1]]),
)  # fmt: skip
X = vector("x", "x", 3, simple=((1.2, 0, -1), (1, 1, 1)))
BATCH = (THETA, PLANE_W, PLANE_S, X)
FREE_I = one_or_two("i", "1 or 2, used for a datum and for a coordinate of z")
L = 2                                                       # number of draws for every datum
OF_MINUS = np.array([-1, 1])                                # factors that turn the mean and variance of G into those of -G


def encode(theta, x):
    """Return mu_ij and sigma_ij, (n, M, J), for data x (n, M)."""
    a, b, c, d = (row[:, None] for row in np.moveaxis(theta, 1, 0))
    return a * x[..., None] + b, d * exp(c * x[..., None])


def each_datum(f, theta, w, s, x):
    """Return f(w, s, x_i, mu_i, sigma_i) for every datum i, (n, M, 1).

    A function such as `drawn` returns K values for every datum: one value for each of K nodes of the noise. For such a
    function, the shape is (n, M, K).
    """
    return f(w[:, None], s[:, None], x[..., None], *encode(theta, x))


def gain(theta, w, s, x):
    """Return the correct mean and variance of G, (n, 2): the sum of the ELBOs, and the sum of Var[log p(x_i|z)] / L."""
    bounds, (_, variances) = (each_datum(f, theta, w, s, x) for f in (plane_elbo, plane_moments))
    return np.concatenate([bounds.sum(axis=1), variances.sum(axis=1) / L], axis=-1)


def printed_kl_part(mu, sigma, i):
    """Return the sum over j, as printed in (42). The summand does not contain j."""
    mu_i, sigma_i = pick(mu, i), pick(sigma, i)
    return sum((1 + log(sigma_i**2) - sigma_i**2 - mu_i**2) / 2 for j in (1, 2))


def printed_reconstruction(w, s, x, mu, sigma, i):
    """Return 1/L times the sum over l, as printed in (42). The summand is an expectation, so it is equal for every l."""
    expectation, _ = plane_moments(w, s, pick(x, i), mu, sigma)
    return sum(expectation for draw in range(L)) / L


def of_datum(i, both):
    """Return mu_i and sigma_i of datum i, (n, J) each. `both` has mu and sigma of all data."""
    return (np.take_along_axis(each, i[..., None].astype(int) - 1, axis=1)[:, 0] for each in both)


def drawn(w, s, x_i, mu, sigma):
    """Return two arrays: `1/L sum_l log p(x_i|z^(i,l))` at K nodes of the noise, (..., K), and the weights of the nodes."""
    eps, weights = noise(2 * L)
    z = mu[..., None, None, :] + sigma[..., None, None, :] * eps.reshape(-1, L, 2)          # (..., K, L, J)
    return plane_log_p(w[..., None, :], s[..., None], x_i[..., None], z).mean(axis=-1), weights


def sum_over_batch(values, weights):
    """Return mean and variance of a sum of M independent terms, (n, 2). `values` (n, M, K) has K values of each term."""
    mean = total(weights * values)                          # (n, M, 1)
    variance = total(weights * (values - mean) ** 2)
    return np.concatenate([mean.sum(axis=1), variance.sum(axis=1)], axis=-1)


def bracket(k):
    return rf"\frac{{1}}{{2}}\left[1 + \log(\sigma_{k}^2) - \sigma_{k}^2 - \mu_{k}^2\right]"


SUM_J = r"\sum_{j=1}^{J}"
DRAWN = r"\frac{1}{L}\sum_l \log p_\phi(x_i|z^{(i,l)})"
PRINTED_DRAWN = r"\frac{1}{L}\sum_l E_{\sim q_\theta(z|x_i)}\left[\log p(x_i|z^{(i,l)})\right]"
THREE_FAULTS = (
    "three faults: in the sum over j, the summand has the index i; the sum over the data of the batch is missing; and a "
    "term with a drawn z is inside an expectation over z."
)


@equation(
    "odaibo.42", "l.275 (42)", rf"\mathcal{{G}} = {SUM_J} {bracket('i')} + {PRINTED_DRAWN}", (*BATCH, FREE_I),
    says="G, the gain, is minus the loss of a batch. The mean of G should be the sum of the ELBOs of all data of the batch. "
    "The variance of G falls like 1/L.",
    verdict="wrong", fault=f"(42) has {THREE_FAULTS}",
)  # fmt: skip
def eq_42(theta, w, s, x, i):
    mu, sigma = of_datum(i, encode(theta, x))
    kl_part, reconstruction = printed_kl_part(mu, sigma, i), printed_reconstruction(w, s, x, mu, sigma, i)
    return gain(theta, w, s, x)[:, :1], "=", kl_part + reconstruction       # no variance: the printed (42) has no draw of z


@eq_42.corrected(
    rf"\mathcal{{G}} = \sum_{{i=1}}^{{M}}\left\{{{SUM_J} {bracket('{ij}')} + {DRAWN}\right\}}", inputs=BATCH
)
def _(theta, w, s, x):
    mu, sigma = encode(theta, x)                            # (n, M, J)
    kl_part = total((1 + log(sigma**2) - sigma**2 - mu**2) / 2)             # sum over j
    log_p, weights = each_datum(drawn, theta, w, s, x)
    return gain(theta, w, s, x), "=", sum_over_batch(kl_part + log_p, weights)


SIX = (*BATCH[:3], vector("x", "x", 6, simple=((1.2, 0, -1, 1, 2, -2), (1, 0, 0, 0, 0, 0))))


@equation(
    "odaibo.t30", "l.273", r"\sum_{i=1}^{M} ELBO_i = ELBO_i", (*SIX, FREE_I),
    kind="claim", verdict="wrong", group="odaibo.42",
    claim="The text says that (42) is the objective function for a batch (l.273).",
    says="Read literally, the text says: the objective of a batch is the ELBO of a single datum i.",
    fault="The objective of a batch is the sum of the ELBOs of its M data, but (42) has no such sum. N/M times the sum over "
    "a batch is an unbiased estimate of the sum over all N data.",
)  # fmt: skip
def t_30(theta, w, s, x, i):
    bounds = each_datum(plane_elbo, theta, w, s, x)[..., 0]
    return total(bounds), "=", pick(bounds, i)


@t_30.corrected(
    r"\sum_{i=1}^{N} ELBO_i = \mathrm{mean\ over\ batches}\left[\frac{N}{M}\sum_{i \in batch} ELBO_i\right]",
    inputs=SIX,
)
def _(theta, w, s, x):
    bounds = each_datum(plane_elbo, theta, w, s, x)[..., 0]                 # (n, N)
    N, M = bounds.shape[1], 2
    batches = np.array(list(itertools.combinations(range(N), M)))           # all 15 batches of two from six data
    of_batches = N / M * bounds[:, batches].sum(axis=-1)
    return total(bounds), "=", np.mean(of_batches, axis=-1, keepdims=True)


# Estimates from L draws


def moments(log_p, chances, L, shared=0):
    """Return two numbers for each estimate, (n, 1, 2): the mean of the estimate, and L times the variance of the estimate.

    `log_p` (n, K) has K numbers in each row. An estimate is the mean of L numbers that are drawn from one row. Number k is
    drawn with probability chances[k]. If `shared` is 0, the L draws are independent. If `shared` is 1, all draws are equal
    to the first draw.
    """
    picks = np.indices([len(chances)] * L).reshape(L, -1)                   # (L, K^L)   all sequences of L indices
    weights = chances[picks].prod(axis=0)
    first, all_L = log_p[:, picks[0]], sum(log_p[:, pick_l] for pick_l in picks) / L
    estimate = all_L + shared * (first - all_L)                             # (n, K^L)
    mean = total(weights * estimate)
    return np.stack([mean, L * total(weights * (estimate - mean) ** 2)], axis=-1)


@equation(
    "odaibo.t31", "l.278", rf"(E,\, Var)[\log p_\phi(x_i|z)] = (E,\, L\,Var)[{DRAWN}]",
    (*PLANE, chosen("shared", "shared", 0, "0: independent draws; 1: L equal draws")),
    kind="claim",
    claim="The text says that L samples are drawn by the re-parametrization trick (l.278).",
    says="For every L, the mean of log p(x_i|z) over L draws of z is an unbiased estimate. The variance of this estimate "
    "falls like 1/L.",
    needs="the L draws of the noise are independent",
    outside={"w": (1, -0.5), "s": 1, "x_i": 1.2, "mu": (0.5, -1), "sigma": (0.5, 2), "shared": 1},
)  # fmt: skip
def t_31(w, s, x_i, mu, sigma, shared):
    eps, chances = noise(2)
    log_p = plane_log_p(w, s, x_i, mu[:, None] + sigma[:, None] * eps)      # (n, 9)
    estimates = [moments(log_p, chances, L, shared) for L in (1, 2, 3)]
    return np.stack(plane_moments(w, s, x_i, mu, sigma), axis=-1), "=", np.concatenate(estimates, axis=1)


@t_31.tied("minivae.gaussian.reparameterize")
def _(w, s, x_i, mu, sigma, shared):
    eps, chances = noise(2)
    log_p = drawn_log_p(w, s, x_i, mu, sigma, eps[:, None])                 # (n, 9)
    return np.concatenate([moments(log_p, chances, L) for L in (1, 2, 3)], axis=1)



# The loss


@equation(
    "odaibo.t32", "l.280", r"\mathcal{L} := -\mathcal{G}", BATCH,
    kind="claim",
    claim="The text calls G a gain, and its negative the loss (l.280).",
    says="The loss is minus the gain.",
    verdict="defines",
)  # fmt: skip
def t_32(theta, w, s, x):
    mu, sigma = encode(theta, x)
    divergences = kl_normal(mu[..., None], sigma[..., None], 0, 1).sum(axis=2)  # (n, M, 1)   by quadrature
    log_likelihoods, _ = each_datum(plane_moments, theta, w, s, x)
    bounds = each_datum(plane_elbo, theta, w, s, x)
    return (divergences - log_likelihoods).sum(axis=1), ":=", -bounds.sum(axis=1)


@equation(
    "odaibo.43", "l.282 (43)",
    rf"\mathcal{{L}} = -{SUM_J} {bracket('i')} - {PRINTED_DRAWN}", (*BATCH, FREE_I),
    says="The loss of a batch is minus the gain (42).",
    verdict="wrong", group="odaibo.42", fault=f"(43) is minus (42) and has {THREE_FAULTS}",
)  # fmt: skip
def eq_43(theta, w, s, x, i):
    mu, sigma = of_datum(i, encode(theta, x))
    kl_part, reconstruction = printed_kl_part(mu, sigma, i), printed_reconstruction(w, s, x, mu, sigma, i)
    return -gain(theta, w, s, x)[:, :1], "=", -kl_part - reconstruction


@eq_43.corrected(
    rf"\mathcal{{L}} = \sum_{{i=1}}^{{M}}\left\{{-{SUM_J} {bracket('{ij}')} - {DRAWN}\right\}}", inputs=BATCH
)
def _(theta, w, s, x):
    mu, sigma = encode(theta, x)
    kl_part = total((1 + log(sigma**2) - sigma**2 - mu**2) / 2)
    log_p, weights = each_datum(drawn, theta, w, s, x)
    return gain(theta, w, s, x) * OF_MINUS, "=", sum_over_batch(-kl_part - log_p, weights)


def linear_vae(theta, w, s) -> VAE:
    """Return the model of this module as a VAE of minivae with D = 1. Encoder and decoder have one layer each."""
    a, b, c, d = theta
    shapes = mlp_shapes("encoder", [1, 2 * len(w)]) | mlp_shapes("decoder", [len(w), 1]) | {"log_sigma": ()}
    flat = np.concatenate([a, 2 * c, b, 2 * log(d), w, [0], log(s)])        # log_var = 2 (log d + c x)
    return VAE(Params(shapes, flat), Gaussian(float(s[0])))


def mean_and_variance(theta, w, s, x):
    """Return the mean and the variance of M times minivae's loss, for a batch of M data with L draws of noise per datum.

    For the mean, the draws of noise are the corners (+-1, ..., +-1) with equal weights. These draws have the mean and the
    covariance of normal noise. log p(x|z) is quadratic in the noise, so the mean of log p(x|z) over the corners is the exact
    expectation. The variance is a weighted sum over quadrature nodes.
    """
    vae, M, J = linear_vae(theta, w, s), len(x), len(w)
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=J)))
    eps, weights = noise(J)
    loss = vae.loss(x[:, None], np.repeat(corners[:, None], M, axis=1))
    log_p = vae.forward(x[:, None], np.repeat(eps[:, None], M, axis=1)).log_px_z            # (K, M)
    variance = weights @ (log_p - weights @ log_p) ** 2
    return np.array([M * loss, variance.sum() / L])


BY_MINIVAE = np.vectorize(mean_and_variance, signature="(k,j),(j),(o),(b)->(p)")


@eq_43.tied("minivae.vae.VAE.forward", draws=100)
def _(theta, w, s, x):
    return BY_MINIVAE(theta, w, s, x)


# The optimum for a z with one coordinate. q is N(a x_i, sigma^2), and p(x|z) is N(w z, s^2).

SLOPE, SIGMA = real("a", "a", simple=(1, 0.5)), positive("sigma", r"\sigma", simple=(1, 0.5))
DECODER = real("w", "w", simple=(1, 0.5)), positive("s", "s", simple=(1, 2))
DATA = Symbol("x", "x", "real, not all 0", 3, lambda raw: 1.2 * raw + 0.5, ((1, 1, 1), (1.2, 0, -1)))


def loss_of(a, sigma, w, s, x):
    """Return minus the sum of the ELBOs of the batch, (n, 1), by quadrature."""
    return -linear_elbo(w[:, None], s[:, None], x[..., None], (a * x)[..., None], sigma[:, None]).sum(axis=1)


@equation(
    "odaibo.44", "l.287 (44)",
    r"\{(\theta^*, \phi^*) = \mathrm{argmin}_{(\theta,\phi)}\,\mathcal{L}(\theta, \phi)\}:\;"
    r" [-\log p^*(x)] = \mathcal{L}(\theta^*, \phi^*) = [\mathcal{L}(-\theta^*, -\phi^*)]"
    r" \leq \mathcal{L}(\theta, \phi)",
    (SLOPE, SIGMA, *DECODER, DATA),
    says="Training minimises the loss. The minimum is not unique: -z in place of z gives the same loss.",
    needs="not all data are 0 (otherwise the loss has no minimum)",
    undefined="if all data are 0, the loss falls without bound as w and s go to 0",
    outside={"a": 1, "sigma": 1, "w": 1, "s": 1, "x": (0, 0, 0)},
    tight={"a": sqrt(0.5), "sigma": sqrt(0.5), "w": sqrt(0.5), "s": sqrt(0.5), "x": (1, 1, 1)},
)  # fmt: skip
def eq_44(a, sigma, w, s, x):
    variance = need_above_zero("the mean of x^2", total(x**2) / 3)          # Var[x] under the best decoder
    best_w = best_s = sqrt(variance / 2)                                    # one of many optima: w^2 + s^2 = variance
    best_a, best_sigma = best_w / variance, best_s / sqrt(variance)         # q is the posterior
    return (
        -total(log_density(x, 0, sqrt(variance))),
        "=", loss_of(best_a, best_sigma, best_w, best_s, x),
        "=", loss_of(-best_a, best_sigma, -best_w, best_s, x),              # z -> -z
        "<=", loss_of(a, sigma, w, s, x),
    )  # fmt: skip


@eq_44.tied("minivae.vae.VAE.loss", draws=100)
def _(a, sigma, w, s, x):
    theta = np.stack([a, 0 * a, 0 * a, sigma], axis=1)                      # (n, 4, J) with J = 1
    return BY_MINIVAE(theta, w, s, x)[:, :1]


# Conclusion. For x in {0, 1} and a decoder with the logit t z, the reconstruction term has no closed form.

COIN = Symbol("x", "x", "0 or 1", 1, lambda raw: np.where(raw > 0, 1.0, 0.0), (1, 0))
TILT = positive("t", "t", 0.1, (1.5, 1))
CODE = (real("mu", r"\mu", simple=(0.3, 0)), positive("sigma", r"\sigma", 0.15, (0.8, 1)))


def coin_log_p(x, t, z):
    """Return log p(x|z) = x t z - log(1 + exp(t z))."""
    return x * t * z - np.logaddexp(0, t * z)


@equation(
    "odaibo.t34", "l.292", r"E_\epsilon\left[\log p(x|\mu+\sigma\epsilon)\right] = \log p(x|\mu)", (COIN, TILT, *CODE),
    kind="claim", verdict="loose", group="odaibo.t23",
    claim='The Conclusion says that "the closed form loss" has been derived (l.292).',
    says='Read literally, the text says: the reconstruction term has a "closed form", an expression that uses the decoder '
    "only at the mean of q.",
    fault="Only the divergence has a closed form. The reconstruction term remains an integral, which is estimated from "
    "draws.",
)  # fmt: skip
def t_34(x, t, mu, sigma):
    return expect(lambda z: coin_log_p(x, t, z), mu, sigma), "=", coin_log_p(x, t, mu)


@t_34.precise(
    r"[-ELBO] = -\frac{1}{2}\left[1 + \log(\sigma^2) - \sigma^2 - \mu^2\right]"
    r" - E_\epsilon\left[\log p(x|\mu+\sigma\epsilon)\right]"
)
def _(x, t, mu, sigma):
    def integrand(z):
        log_ratio = coin_log_p(x, t, z) + log_density(z, 0, 1) - log_density(z, mu, sigma)
        return -normal(z, mu, sigma) * log_ratio

    reconstruction = expect(lambda eps: coin_log_p(x, t, mu + sigma * eps), 0, 1)
    return integrate(integrand, mu, sigma), "=", -(1 + log(sigma**2) - sigma**2 - mu**2) / 2 - reconstruction


@t_34.tied("minivae.likelihood.bernoulli_log_prob")
def _(x, t, mu, sigma):
    eps, weights = HERMITE
    log_p = bernoulli_log_prob(x, (t * (mu + sigma * eps)).T[..., None]).T  # logits (K, n, D = 1)
    return kl_standard_normal(mu, 2 * log(sigma)) - total(weights * log_p) / weights.sum()
