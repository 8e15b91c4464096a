"""Beyond the sources: the evidence lower bound, and tighter bounds from several draws.

All expectations are exact. For tables they are sums over all z, or over all possible sets of K draws of z. For Gaussians
they are sums over quadrature nodes. If a whole side of a formula is in square brackets, it shows the gap of a bound:
in `[log p(x) - KL]`, the gap is the KL.
"""

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy import exp, log

from derivations.engine.domains import Symbol, joint, weights
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    complex_step,
    expect_full,
    kl_normal,
    kl_normal_full,
    kl_of_weights,
    log_density_full,
    noise,
    ratio,
    times,
    total,
)
from derivations.engine.worlds import (
    ENCODER,
    MUS_Q,
    PLANE_MU,
    PLANE_SIGMA,
    TABLE,
    VECTOR_LINEAR,
    any_covariance,
    evidence,
    likelihood,
    posterior,
    prior,
    vector_log_evidence,
    vector_log_p,
    vector_posterior,
)
from derivations.odaibo.objective import OUTSIDE, OUTSIDE_BAYES, POSTERIOR
from minivae.evidence import lower_bounds
from minivae.gaussian import entropy_diagonal, kl_full, log_normal, log_standard_normal, reparameterize
from minivae.likelihood import Gaussian, gaussian_log_prob
from minivae.objective import iw_bound
from minivae.ops import log_sum_exp
from minivae.params import Params, mlp_shapes
from minivae.vae import VAE

D = r"D_{KL}"
E_Q = r"E_{z \sim q}"

# Gaussians: x = b + W z + s eps, with known log p(x) and p(z|x)


def vector_log_joint(W, b, s, x, z):
    """Return log p(x, z), (n, K), for codes z (n, K, 2), from the joint covariance of (z, x)."""
    W_t, (D, J) = np.swapaxes(W, -2, -1), W.shape[-2:]
    of_z = np.concatenate([np.broadcast_to(np.eye(J), (len(W), J, J)), W_t], axis=-1)
    of_x = np.concatenate([W, W @ W_t + s[..., None] ** 2 * np.eye(D)], axis=-1)
    at = np.concatenate([z, np.broadcast_to(x[:, None], (*z.shape[:2], D))], axis=-1)       # (n, K, 5)
    mean = np.concatenate([np.zeros((len(b), J)), b], axis=-1)
    return log_density_full(at, mean, np.concatenate([of_z, of_x], axis=1))


@equation(
    "beyond.1", "the gap of the bound; Jordan et al. 1999",
    rf"\log p(x) - {E_Q}\left[\log p(x, z) - \log q(z|x)\right] ="
    rf" \log p(x) - {E_Q}\left[\log p(x|z)\right] + {D}(q(z|x)||p(z)) = {D}(q(z|x)||p(z|x))",
    (*VECTOR_LINEAR, MUS_Q, any_covariance("cov_q", r"\Sigma_q")),
    says="The gap between log p(x) and the ELBO is the divergence of q from the true posterior.",
)  # fmt: skip
def eq_1(W, b, s, x, mu_q, cov_q):
    E_q = lambda f: expect_full(f, mu_q, cov_q)  # noqa: E731
    log_ratio = lambda z: vector_log_joint(W, b, s, x, z) - log_density_full(z, mu_q, cov_q)  # noqa: E731
    log_p_x, prior = vector_log_evidence(W, b, s, x), (0 * mu_q, np.broadcast_to(np.eye(2), cov_q.shape))
    return (
        log_p_x - E_q(log_ratio),
        "=", log_p_x - E_q(lambda z: vector_log_p(W, b, s, x, z)) + kl_normal_full(mu_q, cov_q, *prior),
        "=", kl_normal_full(mu_q, cov_q, *vector_posterior(W, b, s, x)),
    )  # fmt: skip


@eq_1.tied("minivae.divergences.kl_full")
def _(W, b, s, x, mu_q, cov_q):
    return kl_full(mu_q, cov_q, *vector_posterior(W, b, s, x))[:, None]


def linear_vae(W, b, s, mu, sigma, **settings) -> VAE:
    """Return a VAE of minivae with these parameters. The decoder's mean is b + W z, and q is N(mu, sigma^2) for all x."""
    D, J = W.shape
    shapes = mlp_shapes("encoder", [D, 2 * J]) | mlp_shapes("decoder", [J, D]) | {"log_sigma": ()}
    flat = np.concatenate([np.zeros(D * 2 * J), mu, 2 * log(sigma), W.T.ravel(), b, log(s)])
    return VAE(Params(shapes, flat), Gaussian(float(s[0])), **settings)


def by_minivae(f, signature):
    """Vectorise f, which takes one value of each argument. The returned function takes n values of each argument."""
    return np.vectorize(f, signature=signature)


# Four values of the noise. The mean of a quadratic function over these four values is its exact expectation under N(0, I).
CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))


@equation(
    "beyond.2", "three forms of the ELBO; Kingma and Welling 2014",
    rf"{E_Q}\left[\log p(x|z)\right] - {D}(q(z|x)||p(z)) = {E_Q}\left[\log p(x, z)\right] +"
    rf" \sum_{{j=1}}^{{J}}\frac{{1}}{{2}}\log(2\pi e\sigma_j^2) = \log p(x) - {D}(q(z|x)||p(z|x))",
    (*VECTOR_LINEAR, PLANE_MU, PLANE_SIGMA),
    says="The ELBO has three equal forms: reconstruction term minus KL, expected log joint plus entropy of q, and log p(x) "
    "minus gap.",
)  # fmt: skip
def eq_2(W, b, s, x, mu, sigma):
    log_p_x, cov = vector_log_evidence(W, b, s, x), sigma[..., None] ** 2 * np.eye(2)
    E_q = lambda f: expect_full(f, mu, cov)  # noqa: E731
    kl_prior = kl_normal(mu[..., None], sigma[..., None], 0, 1).sum(axis=1)
    entropy = total(log(2 * math.pi * math.e * sigma**2) / 2)
    return (
        E_q(lambda z: vector_log_p(W, b, s, x, z)) - kl_prior,
        "=", E_q(lambda z: vector_log_joint(W, b, s, x, z)) + entropy,
        "=", log_p_x - kl_normal_full(mu, cov, *vector_posterior(W, b, s, x)),
    )  # fmt: skip


def terms_of_minivae(W, b, s, x, mu, sigma):
    """Return log p(x|z), log p(z) and log q(z|x) at 9 quadrature nodes, (n, 9) each.

    Also return the weights of the nodes, (9,).
    """
    eps, chances = noise(2)
    z = reparameterize(mu, 2 * log(sigma), eps[:, None])                                    # (9, n, 2)
    mean_x = b + np.einsum("ndj,lnj->lnd", W, z)
    log_q = log_normal(z, mu, 2 * log(sigma))
    return gaussian_log_prob(x, mean_x, log(s)[:, 0]).T, log_standard_normal(z).T, log_q.T, chances


@eq_2.tied("minivae.divergences.entropy_diagonal")
def _(W, b, s, x, mu, sigma):
    log_px_z, log_p_z, _, chances = terms_of_minivae(W, b, s, x, mu, sigma)
    return total(chances * (log_px_z + log_p_z)) + total(entropy_diagonal(2 * log(sigma)))


@eq_2.tied("minivae.gaussian.log_normal")
def _(W, b, s, x, mu, sigma):
    log_px_z, log_p_z, log_q, chances = terms_of_minivae(W, b, s, x, mu, sigma)
    return total(chances * (log_px_z + log_p_z - log_q))


@eq_2.tied("minivae.vae.VAE.elbo", draws=10)
def _(W, b, s, x, mu, sigma):
    def elbo(W, b, s, x, mu, sigma):
        return linear_vae(W, b, s, mu, sigma).elbo(x[None], CORNERS[:, None])

    return by_minivae(elbo, "(d,j),(d),(o),(d),(j),(j)->(o)")(W, b, s, x, mu, sigma)


class Corners(np.random.Generator):
    """A random number generator that always returns the same noise: the four points (+-1, +-1) of `CORNERS`."""

    def standard_normal(self, shape, *settings):
        """Return CORNERS in the shape (L, N, J)."""
        return np.broadcast_to(CORNERS[:, None], shape)


@eq_2.tied("minivae.evidence.bounds.lower_bounds", draws=10)
@eq_2.tied("minivae.vae.VAE.log_likelihood", draws=10)
def _(W, b, s, x, mu, sigma):
    def elbo(W, b, s, x, mu, sigma):
        return lower_bounds(linear_vae(W, b, s, mu, sigma), x[None], len(CORNERS), Corners(np.random.PCG64(0))).elbo

    return by_minivae(elbo, "(d,j),(d),(o),(d),(j),(j)->(o)")(W, b, s, x, mu, sigma)


# Tables. In random draws, q(z|x) > 0 for every z, so the importance weight w = p(x, z) / q(z|x) is finite.

EVERYWHERE = Symbol(
    "q", "q(z|x)", "> 0, every row summing to 1", 20, lambda raw: weights(raw.reshape(-1, 4, 5), False),
    ENCODER.simple[:3],
)  # fmt: skip
Q_COVERS_P = "q(z|x) sums to 1, and q(z|x) > 0 wherever p(x, z) > 0"
LEAVES_OUT = {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[1, 0], [0.5, 0.5]]}
ASSUMED = {"needs": "p(x) > 0 and q(z|x) sums to 1", "outside": OUTSIDE}
# Here p(x, z) is 0 for one pair (x, z), and log 0 is -inf. Therefore a side of the formula is -inf + inf: it has no value.
JOINT_IS_ZERO = {"p_xz": [[0.3, 0], [0.3, 0.4]], "q": [[0.5, 0.5], [0.5, 0.5]]}


def importance_weights(p_xz, q):
    """Return w = p(x, z) / q(z|x). Where q = 0, w is set to 0, because this z is never drawn."""
    return np.where(q > 0, ratio(p_xz, q), 0.0)


@equation(
    "beyond.3", "the bound by Jensen's inequality; Jordan et al. 1999",
    rf"\log p(x) = \log {E_Q}\left[\frac{{p(x, z)}}{{q(z|x)}}\right] \geq"
    rf" {E_Q}\left[\log\frac{{p(x, z)}}{{q(z|x)}}\right] = \left[\log p(x) - {D}(q(z|x)||p(z|x))\right]",
    (TABLE, EVERYWHERE),
    says="By Jensen's inequality, the log of the mean weight is at least the mean log weight. The difference is the gap.",
    needs=f"p(x) > 0, {Q_COVERS_P}", outside=(LEAVES_OUT, *OUTSIDE), tight=POSTERIOR,
)  # fmt: skip
def eq_3(p_xz, q):
    log_p_x, w = log(evidence(p_xz)), importance_weights(p_xz, q)
    return (
        log_p_x,
        "=", log(total(q * w)),
        ">=", total(times(q, log(w))),
        "=", log_p_x - kl_of_weights(q, posterior(p_xz)),
    )  # fmt: skip


# K draws of z. The order of the draws does not matter, so it is enough to count how often each z is drawn.


@cache
def draws_of(K, J):
    """Return two arrays for K draws from J values: `counts` (M, J) and `orders` (M,).

    Each row of `counts` says how often each value is drawn. There are M possible rows. `orders[m]` is the number of
    different sequences of K draws that have the counts of row m.
    """
    multisets = itertools.combinations_with_replacement(range(J), K)
    counts = np.array([np.bincount(drawn, minlength=J) for drawn in multisets])
    orders = [math.factorial(K) // math.prod(map(math.factorial, of_each)) for of_each in counts.tolist()]
    return counts, np.array(orders, float)


def chances_of(K, q):
    """Return (..., M): entry m is the probability that K draws from q have the counts in row m of `draws_of(K, J)[0]`."""
    counts, orders = draws_of(K, q.shape[-1])
    return orders * np.prod(q[..., None, :] ** counts, axis=-1)


def mean_weights(K, w):
    """Return the mean weight `1/K sum_k w_k` of K draws, for each row of `counts`, (..., M).

    `counts` (M, J) is the first array that `draws_of` returns: each row says how often each of the J values is drawn.
    w (..., J) has the weight of each value.
    """
    return w @ draws_of(K, w.shape[-1])[0].T / K


def bound_of(K, q, w):
    """Return L_K, the expectation of `log(1/K sum_k w_k)`, where each of z_1 to z_K is drawn from q; (..., 1)."""
    return total(times(chances_of(K, q), log(mean_weights(K, w))))


def bound_of_the_others(K, q, w):
    """Return L_K from K + 1 draws: leave out each draw in turn, and average the K + 1 results."""
    counts = draws_of(K + 1, w.shape[-1])[0]                                # (M, J)
    # others[m, j] has the counts of row m without one draw of value j
    others = counts[:, None, :] - np.eye(w.shape[-1])                       # (M, J, J)
    of_others = np.einsum("...j,mzj->...mz", w, np.maximum(others, 0)) / K
    return total(times(chances_of(K + 1, q), times(counts / (K + 1), log(of_others)).sum(axis=-1)))


def gap_of(K, p_xz, q):
    """Return the gap log p(x) - L_K, (..., 1), as KL(a || b) of two distributions of K draws.

    In the distribution a, all K draws are from q. In the distribution b, one randomly chosen draw is from p(z|x), and the
    others are from q.
    """
    of_q = chances_of(K, q)
    return kl_of_weights(of_q, of_q * mean_weights(K, importance_weights(p_xz, q)) / evidence(p_xz))


SMALL_TABLE = replace(joint("p_xz", "p(x, z)", 2, 3), simple=TABLE.simple)
SMALL_Q = replace(EVERYWHERE, size=6, make=lambda raw: weights(raw.reshape(-1, 2, 3), False))
UP_TO = 6
E_DRAWS = r"E_{z_1 \ldots z_K \sim q}"
MEAN_OF_K, MEAN_OF_OTHERS = r"\frac{1}{K}\sum_k", r"\frac{1}{K}\sum_{k:\,k \neq j}"
L_K = r"\mathcal{L}_K"
NEXT_L = r"\mathcal{L}_{K+1}"


@equation(
    "beyond.4", "the importance weighted bound; Burda et al. 2016, theorem 1",
    rf"\{{{L_K} = {E_DRAWS}\left[\log\left({MEAN_OF_K} w_k\right)\right],\; w_k = p(x, z_k) / q(z_k|x)\}}:\;"
    rf" {L_K} = {E_DRAWS}\left[\frac{{1}}{{K+1}}\sum_j \log\left({MEAN_OF_OTHERS} w_k\right)\right]"
    rf" \leq {NEXT_L} \leq \log p(x) = \left[{NEXT_L} +"
    rf" {D}\left(\prod_k q(z_k|x)||\frac{{1}}{{K+1}}\sum_j p(z_j|x)\prod_{{k \neq j}} q(z_k|x)\right)\right]",
    (SMALL_TABLE, SMALL_Q),
    says="One more draw inside the logarithm never lowers the bound. The bound is at most log p(x). Here K is 1 to 5.",
    needs="p(x, z) > 0, and q(z|x) sums to 1", outside=(*OUTSIDE, JOINT_IS_ZERO), tight=POSTERIOR,
)  # fmt: skip
def eq_4(p_xz, q):
    w, K = importance_weights(p_xz, q), range(1, UP_TO)
    bounds = np.concatenate([bound_of(k, q, w) for k in (*K, UP_TO)], axis=-1)              # (n, rows, 6)
    # If p(x) is near 1, log p(x) and its bounds are near 0. With `Zero(1, ...)`, the judge checks absolute errors.
    return (
        bounds[..., :-1],
        "=", Zero(1, np.concatenate([bound_of_the_others(k, q, w) for k in K], axis=-1)),
        "<=", bounds[..., 1:],
        "<=", Zero(1, log(evidence(p_xz))),
        "=", bounds[..., 1:] + np.concatenate([gap_of(k + 1, p_xz, q) for k in K], axis=-1),
    )  # fmt: skip


@eq_4.tied("minivae.objective.iw_bound", draws=5)
def _(p_xz, q):
    w = importance_weights(p_xz, q)                         # (n, rows, columns)
    log_w, mean_log = log(w), total(q * log(w))
    made = []
    for k in range(2, UP_TO + 1):
        counts = draws_of(k, q.shape[-1])[0]
        drawn = np.array([np.repeat(np.arange(len(z)), z) for z in counts])                 # (M, k)   indices of z
        drawn_w = log_w[..., drawn]                         # (n, rows, M, k)
        bound = iw_bound(np.moveaxis(drawn_w, -1, 0).reshape(k, -1)).reshape(drawn_w.shape[:-1])
        gain = bound - drawn_w.mean(axis=-1)                # >= 0, by Jensen's inequality
        made.append(mean_log + total(chances_of(k, q) * gain) + gap_of(k, p_xz, q))
    return np.concatenate(made, axis=-1)


def hundredths(raw):
    """Return (q, 1 - q), with q a multiple of 0.01."""
    q = np.ceil(99 / (1 + exp(-raw))) / 100
    return np.concatenate([q, 1 - q], axis=-1)


def two_weights(raw):
    """Return two weights. The larger one is more than 1.2 times the smaller one."""
    first, apart = raw[:, :1], np.sign(raw[:, 1:]) * (0.2 + np.abs(raw[:, 1:]) / 2)
    return exp(np.concatenate([first / 2, first / 2 + apart], axis=-1))


TWO_Q = Symbol("q", "q(z|x)", "> 0, summing to 1; drawn as a multiple of 0.01", 1, hundredths, ((0.5, 0.5), (0.75, 0.25)))
TWO_W = Symbol("w", "w", "> 0, two different numbers", 2, two_weights, ((1, 2), (2, 1), (1, 4)))
MANY_DRAWS = np.array([1, 4, 16, 64])
LEADING = r"\frac{\mu_2}{2} - \frac{\mu_3}{3K},\; \mu_2 - \frac{\mu_3}{K},\; \mu_2 - \frac{2\mu_3}{K}"
FOURTH = r"\frac{\mu_4 + 3(K - 1)\mu_2^2}{K^2}\left(\frac{1}{4a},\; \frac{1}{a},\; \frac{2a + 1}{a^2}\right)"


@equation(
    "beyond.5", "importance weighted bound for large K; Maddison et al. 2017, Rainforth et al. 2018",
    rf"\{{p(x) = {E_Q}[w],\; \mu_r = {E_Q}[(w / p(x) - 1)^r],\; a = \min w / p(x),\;"
    rf" w_\phi = p(x) + \phi\,(w - p(x)),\quad"
    rf" \Delta_K = \frac{{d}}{{d\phi}}\log\left({MEAN_OF_K} w_{{\phi, k}}\right)\mathrm{{ at }}\phi = 1\}}:\;"
    rf" \left({LEADING}\right) \leq K\left(\log p(x) - {L_K},\; -E[\Delta_K],\; E[\Delta_K^2]\right)"
    rf" \leq \left({LEADING}\right) + {FOURTH}", (TWO_Q, TWO_W),
    says="As K grows, the gap falls like Var(w) / (2 K p(x)^2), and the mean gradient in phi falls like 1/K. The standard "
    "deviation of the gradient falls only like 1/sqrt(K).",
    tight={"q": (0.5, 0.5), "w": (1, 1)},
)  # fmt: skip
def eq_5(q, w):
    p_x, K = total(q * w), MANY_DRAWS
    mu_2, mu_3, mu_4 = (total(q * (w / p_x - 1) ** r) for r in (2, 3, 4))
    bounds = np.concatenate([bound_of(k, q, w) for k in K.tolist()], axis=-1)               # (n, 4)
    mean_log = lambda k: lambda phi: log(mean_weights(k, p_x + phi * (w - p_x)))  # noqa: E731
    slopes = [(chances_of(k, q), complex_step(mean_log(k), 1)) for k in K.tolist()]
    signal, square = (np.hstack([total(chance * slope**r) for chance, slope in slopes]) for r in (1, 2))
    # Define t by this equation: the mean weight of K draws is (1 + t) p(x). The middle side has K times the expectations of
    # three terms: -log(1 + t), -t / (1 + t) and t^2 / (1 + t)^2. Each term is its Taylor polynomial of degree 3 in t, plus
    # t^4 times a positive factor. Let a = min(w) / p(x). Then 1 + t is at least a. So the factors of t^4 in the three terms
    # are at most 1 / (4 a), 1 / a and (2 a + 1) / a^2.
    leading = np.stack([mu_2 / 2 - mu_3 / (3 * K), mu_2 - mu_3 / K, mu_2 - 2 * mu_3 / K], axis=1)
    fourth = (mu_4 + 3 * (K - 1) * mu_2**2) / K**2          # K E[t^4]
    a = w.min(axis=-1, keepdims=True) / p_x
    rest = np.stack([fourth / (4 * a), fourth / a, fourth * (2 * a + 1) / a**2], axis=1)
    return leading, "<=", K * np.stack([log(p_x) - bounds, -signal, square], axis=1), "<=", leading + rest


@equation(
    "beyond.6", "importance weights are unbiased",
    rf"{E_Q}\left[\frac{{p(x, z)}}{{q(z|x)}}\right] ="
    rf" {E_DRAWS}\left[{MEAN_OF_K} \frac{{p(x, z_k)}}{{q(z_k|x)}}\right] ="
    r" \sum_z p(x|z)\,p(z) = p(x)", (TABLE, EVERYWHERE),
    says="The expected weight p(x, z) / q(z|x) is p(x). The expected mean of K weights is also p(x) (here K = 3).",
    needs=f"p(z) > 0, {Q_COVERS_P}", outside=(LEAVES_OUT, OUTSIDE[0], OUTSIDE_BAYES[-1]),
)  # fmt: skip
def eq_6(p_xz, q):
    w = importance_weights(p_xz, q)
    return (
        total(q * w),
        "=", total(chances_of(3, q) * mean_weights(3, w)),
        "=", total(likelihood(p_xz) * prior(p_xz)),
        "=", evidence(p_xz),
    )  # fmt: skip


@eq_6.tied("minivae.ops.log_sum_exp")
def _(p_xz, q):
    counts = draws_of(3, q.shape[-1])[0]
    drawn = np.array([np.repeat(np.arange(len(z)), z) for z in counts])     # (M, K)   indices of z
    log_w = log(p_xz) - log(q)
    log_mean = log_sum_exp(log_w[..., drawn], axis=-1) - math.log(3)        # (n, rows, M)
    return total(chances_of(3, q) * exp(log_mean))
