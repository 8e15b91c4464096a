"""Beyond the sources: identities and inequalities for divergences between any distributions.

Distributions are finite tables, and sums over them are exact; beyond.32 and beyond.53 are about Gaussians. A side in square
brackets shows the gap of an inequality: this side is the smaller side plus the gap, so it equals the larger side. A
statement about a limit is written as bounds that approach the limit. If q is close to p, the divergence of q from p is a
small number with a large relative error. Therefore some divergences are written as `Zero(1, divergence)`: for a divergence
below 1, the judge checks the absolute error instead of the relative error.
"""

import math
from dataclasses import replace

import numpy as np
from numpy import exp, log1p, sqrt

from derivations.engine.domains import Symbol, conditional, pmf, positive, positives, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    LEGENDRE,
    complex_step,
    integrate,
    kl,
    kl_normal,
    kl_of_weights,
    log,
    log_density,
    mean,
    need_pmf,
    need_positive,
    normal,
    ratio,
    times,
    total,
)
from derivations.engine.worlds import ENCODER, TABLE, chance, chosen, evidence, likelihood, posterior, prior
from derivations.odaibo.divergence import P, Q
from derivations.odaibo.objective import NEEDED_BY_BAYES, OUTSIDE_BAYES, POSTERIOR
from minivae.gaussian import kl_diagonal

D = r"D_{KL}"


def along_z(a, b):
    """Join two tables (n, X, 1) along the last axis. The result is a table (n, X, 2)."""
    return np.concatenate([a, b], axis=-1)


# beyond.28 is about divergences between distributions of pairs (x, z). In beyond.29, a channel (a random map) turns x into
# y. beyond.29 compares the divergence of two distributions of x with the divergence of the two resulting distributions of y.

Q_X = pmf("q_x", "q(x)", 4, simple=((0.5, 0.5), (0.25, 0.75)))


@equation(
    "beyond.28", "chain rule of the divergence; Kullback and Leibler 1951",
    rf"\left({D}(q_{{xz}}\Vert p_{{xz}}),\; {D}(q_x\,q_z\Vert p_x\,p_z)\right) ="
    rf" \left({D}(q_x\Vert p_x) + E_{{x \sim q}}\left[{D}(q_{{z|x}}\Vert p_{{z|x}})\right],\;"
    rf" {D}(q_x\Vert p_x) + {D}(q_z\Vert p_z)\right)", (Q_X, ENCODER, TABLE),
    says="The divergence of a pair (x, z) is the divergence of x plus the mean divergence of z given x. If x and z are "
    "independent, the divergence of the pair is the divergence of x plus that of z.",
    needs="p(x) > 0; q(x) and every q(z|x) sum to 1",
    outside=(
        {"q_x": (0.9, 0.1), "q": [[0.6, 0.6], [0.5, 0.5]], "p_xz": [[0.1, 0.4], [0.3, 0.2]]},
        {"q_x": (0.5, 0.6), "q": [[0.5, 0.5], [0.5, 0.5]], "p_xz": [[0.1, 0.4], [0.3, 0.2]]},
        {"q_x": (0.5, 0.5), "q": [[0.5, 0.5], [0.5, 0.5]], "p_xz": [[0, 0], [0.5, 0.5]]},
    ),
)  # fmt: skip
def eq_28(q_x, q, p_xz):
    flat = lambda table: table.reshape(len(table), -1)  # noqa: E731
    q_xz = q_x[..., None] * q
    q_z, p_x, p_z = q_xz.sum(axis=1), evidence(p_xz)[..., 0], prior(p_xz)[:, 0]
    mean_log = lambda q, p: total(times(q, log(ratio(q, p))))  # noqa: E731
    of_x, of_z = mean_log(q_x, p_x), mean_log(q_z, p_z)
    given_x = mean_log(q, posterior(p_xz))[..., 0]          # (n, 4)   one divergence for every x
    independent = kl_of_weights(flat(q_x[..., None] * q_z[:, None]), flat(p_x[..., None] * p_z[:, None]))
    return (
        Zero(1, np.hstack([kl_of_weights(flat(q_xz), flat(p_xz)), independent])),
        "=", np.hstack([of_x + total(times(q_x, given_x)), of_x + of_z]),
    )  # fmt: skip


CHANNEL = conditional("T", "T(y|x)", 5, 4)
ORDER = Symbol(
    "order", r"\pi", "a permutation of the values of x", 5, lambda raw: raw.argsort(axis=-1) + 1.0, ((2, 1), (1, 2))
)  # fmt: skip


@equation(
    "beyond.29", "data processing inequality",
    rf"{D}(qT\Vert pT) \leq"
    rf" \left[{D}(qT\Vert pT) + E_{{y \sim qT}}\left[{D}(q_{{x|y}}\Vert p_{{x|y}})\right]\right] ="
    rf" {D}(q\Vert p) = {D}(q_\pi\Vert p_\pi)", (Q, P, CHANNEL, ORDER),
    says="A channel T, a random map from x to y, cannot increase a divergence. Reordering the values of x does not change "
    "the divergence.",
    needs="for every x, the probabilities T(y|x) sum to 1",
    outside={"q": (0.5, 0.5), "p": (0.9, 0.1), "T": [[0.6, 0.6], [0.5, 0.5]], "order": (2, 1)},
    tight={"q": (0.5, 0.5), "p": (0.9, 0.1), "T": [[0, 1], [1, 0]], "order": (2, 1)},
)  # fmt: skip
def eq_29(q, p, T, order):
    through = lambda r: (r[:, None] @ T)[:, 0]  # noqa: E731
    q_T, p_T = through(q), through(p)
    both = q[..., None] * T                                 # (n, X, Y)   the joint probabilities of x and y under q
    q_to_p = ratio(q[..., None] * p_T[:, None], p[..., None] * q_T[:, None])    # q(x|y) / p(x|y)
    lost = times(both, log(q_to_p)).sum(axis=(1, 2))[:, None]
    reordered = [np.take_along_axis(r, order.astype(int) - 1, axis=-1) for r in (q, p)]
    return (
        kl_of_weights(q_T, p_T),
        "<=", Zero(1, total(times(q_T, log(ratio(q_T, p_T)))) + lost),
        "=", mean(q, log(ratio(q, p))),
        "=", Zero(1, kl(*reordered)),
    )  # fmt: skip


# Mixtures

Q_2 = pmf("q_2", "q_2(x)", zeros=True, simple=((0.2, 0.8), (0.5, 0.5)))
P_2 = pmf("p_2", "p_2(x)", simple=((0.5, 0.5), (0.25, 0.75)))
LAMBDA = chance("a", r"\lambda", (0.5, 0.25, 1))


@equation(
    "beyond.39", "joint convexity of the divergence",
    rf"{D}(\lambda q + (1-\lambda)q_2\Vert\lambda p + (1-\lambda)p_2) \leq"
    rf" \lambda {D}(q\Vert p) + (1-\lambda){D}(q_2\Vert p_2) ="
    rf" \left[{D}(\lambda q + (1-\lambda)q_2\Vert\lambda p + (1-\lambda)p_2)"
    rf" + E_x\left[{D}(q(\mathrm{{part}}|x)\Vert p(\mathrm{{part}}|x))\right]\right]",
    (Q, P, Q_2, P_2, LAMBDA),
    says="The divergence of two mixtures is at most the mean divergence of their parts. In q(part|x), the part is the index "
    "(1 or 2) of the distribution that generated x. E_x is the mean over the mixture of q and q_2.",
    needs="lambda is between 0 and 1",
    outside={"q": (0.5, 0.5), "p": (0.9, 0.1), "q_2": (0.5, 0.5), "p_2": (0.5, 0.5), "a": 1.2},
    tight={"q": (0.2, 0.8), "p": (0.5, 0.5), "q_2": (0.2, 0.8), "p_2": (0.5, 0.5), "a": 0.25},
)  # fmt: skip
def eq_39(q, p, q_2, p_2, a):
    q_mixed, p_mixed = a * q + (1 - a) * q_2, a * p + (1 - a) * p_2
    of_one = times(a * q, log(ratio(q * p_mixed, p * q_mixed)))             # log[q(1|x) / p(1|x)]
    of_other = times((1 - a) * q_2, log(ratio(q_2 * p_mixed, p_2 * q_mixed)))   # log[q(2|x) / p(2|x)]
    return (
        kl(q_mixed, p_mixed),
        "<=", Zero(1, a * kl(q, p) + (1 - a) * kl(q_2, p_2)),
        "=", mean(q_mixed, log(ratio(q_mixed, p_mixed))) + total(of_one + of_other),
    )  # fmt: skip


# Pinsker's inequality: KL(q || p) >= 2 TV(q, p)^2. The factor 2 is the largest possible: for the coins
# (1/2 + t, 1/2 - t) and (1/2, 1/2), the ratio of KL to TV^2 goes to 2 as t goes to 0.


def close_kl(q, p):
    """Return KL(q || p) as `E_q[d - log(1 + d)]`, where d = p/q - 1. No term is negative, so no digits cancel."""
    need_pmf("q", q), need_pmf("p", p)
    d = (p - q) / np.where(q > 0, q, 1)
    # For q > 0, a term is q (d - log(1 + d)) = p - q - q log(p/q). For q = 0, the term is p, the limit of this formula.
    return total(np.where(q > 0, q * (d - log1p(d)), p))


COIN = Symbol(
    "t", "t", "> 0, below 0.3; the coin c_t has probabilities 1/2 + t and 1/2 - t", 1,
    lambda raw: 0.3 / (1 + exp(1.5 * raw + 1)), (0.25, 0.1, 0.01),
)  # fmt: skip
NEARLY = 2.0**-15                                           # for this t, 1/2 + t has no rounding error


@equation(
    "beyond.40", "Pinsker's inequality",
    rf"\frac{{1}}{{\log b}}{D}(q\Vert p) \geq 2\,TV(q, p)^2 \geq"
    rf" 2\,TV(q, p)^2\frac{{{D}(c_t\Vert c_0)}}{{2\,TV(c_t, c_0)^2(1 + t^2)}},\quad (0 < t < 0.3)",
    (Q, P, COIN, chosen("b", "b", math.e, "e: divergences are in nats")),
    says="A small divergence implies a small total variation TV = sum |q - p| / 2. The factor 2 is the largest possible: "
    "for the coins c_t and c_0, the ratio of D_KL to TV^2 goes to 2 as t goes to 0.",
    needs="0 < t < 0.3, and the divergence is in nats (b = e)",
    outside=(
        {"q": (0.75, 0.25), "p": (0.5, 0.5), "t": 0.45, "b": math.e},
        {"q": (0.75, 0.25), "p": (0.5, 0.5), "t": 0.1, "b": 10},
    ),
    # At this point, each side differs from the next side by a relative error of at most 7e-10.
    tight={"q": (0.5 + NEARLY, 0.5 - NEARLY), "p": (0.5, 0.5), "t": NEARLY, "b": math.e},
)  # fmt: skip
def eq_40(q, p, t, b):
    tv = lambda q, p: total(abs(q - p)) / 2  # noqa: E731
    coin, fair = np.hstack([0.5 + t, 0.5 - t]), np.array([0.5, 0.5])
    best_factor = close_kl(coin, fair) / (tv(coin, fair) ** 2 * (1 + t**2))
    return close_kl(q, p) / log(b), ">=", 2 * tv(q, p) ** 2, ">=", best_factor * tv(q, p) ** 2


# Variational forms

# p(z) of each table below differs from every row q(z|x) in the simple values of ENCODER, so D(q || p) > 0.
JOINT = replace(TABLE, simple=([[0.1, 0.4], [0.3, 0.2]], [[0.1, 0.2], [0.2, 0.5]]))
F = Symbol(
    "f", "f(z)", "real", 20, lambda raw: raw.reshape(-1, 4, 5),
    ([[0, 1], [1, -1]], log(np.array([[0.5, 4 / 3], [1.5, 2 / 3]]))),
)  # fmt: skip


@equation(
    "beyond.41", "bound of Donsker and Varadhan 1975, and its dual, the Gibbs principle",
    rf"\left(E_q[f] - \log E_p[e^f],\; -\log p(x)\right) \leq"
    rf" \left[E_q[f] - \log E_p[e^f] + {D}(q\Vert p_f),\; -\log p(x) + {D}(q\Vert p(z|x))\right] ="
    rf" \left({D}(q\Vert p),\; {D}(q\Vert p) - E_q[\log p(x|z)]\right) ="
    r" \left(E_q[f^*] - \log E_p[e^{f^*}],\; E_q[\log q - \log p(x, z)]\right)", (JOINT, ENCODER, F),
    says="Here p is p(z), and p_f is p e^f, normalised. The lower bound of D_KL(q || p) is tight for f* = log q/p. The "
    "free energy, which is -ELBO, is at least -log p(x), and equal to it if q is p(z|x).",
    needs=NEEDED_BY_BAYES.replace("x_i", "x"), outside=tuple(point | {"f": [[0, 1], [1, -1]]} for point in OUTSIDE_BAYES),
    tight=POSTERIOR | {"f": log(np.array([[0.2 / 0.4, 0.8 / 0.6], [0.6 / 0.4, 0.4 / 0.6]]))},
)  # fmt: skip
def eq_41(p_xz, q, f):
    p, log_p_x = np.broadcast_to(prior(p_xz), q.shape), log(evidence(p_xz))
    E_q, kl_prior = lambda f: total(times(q, f)), kl_of_weights(q, p)  # noqa: E731
    below = lambda f: E_q(f) - log(total(p * exp(f)))  # noqa: E731
    p_f, best_f = p * exp(f) / total(p * exp(f)), log(q / p)
    return (
        along_z(below(f), -log_p_x),
        "<=", along_z(below(f) + kl_of_weights(q, p_f), -log_p_x + kl_of_weights(q, posterior(p_xz))),
        "=", along_z(kl_prior, kl_prior - E_q(log(likelihood(p_xz)))),
        "=", along_z(below(best_f), E_q(log(q) - log(p_xz))),
    )  # fmt: skip


# Two approximations. beyond.31 is about the gap of Jensen's inequality if w varies little. beyond.32 is about the divergence
# between the distributions before and after a small step of the parameters. In both entries, inequalities state how large
# the relative error of the approximation can be.

W_OF_T = (
    pmf("p", "p", 4, simple=((0.5, 0.5), (0.25, 0.75))),
    Symbol("u", "u", "real", 4, lambda raw: raw / 2 + (-1.5, -0.5, 0.5, 1.5), ((1, -1), (1, 2))),
    Symbol(
        "t", "t", "> 0, small, in w = 1 + t u", 1,
        lambda raw: 10 ** (-2.25 + 0.75 * np.tanh(raw)), (0.1, 0.01, 0.001),
    ),
)  # fmt: skip


def taylor_rest(d):
    """Return the integral of `(1 - v)^2 / (1 + v d)^3` over v from 0 to 1. For d near -1, nodes are dense near v = 1."""
    nodes, node_weights = LEGENDRE
    d = np.where(d == 0, 1e-300, d)[..., None]
    y = log1p(d) * (nodes + 1) / 2
    return (node_weights / 2 * log1p(d) / d * (1 - np.expm1(y) / d) ** 2 * exp(-2 * y)).sum(axis=-1)


@equation(
    "beyond.31", "gap of Jensen's inequality to second order",
    r"1 - \frac{2r}{3(1-r)^3} < \frac{\log E[w] - E[\log w]}{\frac{1}{2}\mathrm{Var}[w]/E[w]^2} ="
    r" 1 - \frac{2}{E[d^2]}E\left[d^3\int_0^1\frac{(1-v)^2}{(1+vd)^3}dv\right] <"
    r" 1 + \frac{2r}{3(1-r)^3},\quad (d = \frac{w}{E[w]} - 1,\; r = \max|d|)", W_OF_T,
    says="The gap is about half the relative variance of w. The relative error of this approximation is at most "
    "2 r / (3 (1 - r)^3), where r is the largest |d|, and d = w / E[w] - 1.",
    needs="r < 1 (then w > 0)", outside={"p": (0.9, 0.1), "u": (-0.1, 0.9), "t": 2},
)  # fmt: skip
def eq_31(p, u, t):
    E_u = mean(p, u)
    half_variance = mean(p, (t * (u - E_u)) ** 2) / (1 + t * E_u) ** 2 / 2
    d = t * (u - E_u) / (1 + t * E_u)
    gap = mean(p, d - log1p(d))                             # E[d] is 0. No term d - log(1 + d) is < 0, so no digits cancel
    rest = taylor_rest(d)
    r = abs(d).max(axis=-1, keepdims=True)
    bound = 2 * r / (3 * (1 - r) ** 3)
    return (
        1 - bound,
        "<", gap / half_variance,
        "=", 1 - 2 * mean(p, d**3 * rest) / mean(p, d**2),
        "<", 1 + bound,
    )  # fmt: skip


THETA = (real("mu", r"\mu"), positive("sigma", r"\sigma"))
DIRECTION = Symbol(
    "u", "u", "a step of theta = (mu, log sigma), of length 1", 2,
    lambda raw: raw / sqrt(total(raw**2)), ((1, 0), (0, 1), (0.6, -0.8)),
)  # fmt: skip
STEP = Symbol("step", "h", "> 0, small", 1, lambda raw: 10 ** (-1.5 + np.tanh(raw) / 2), (0.1, 0.01))


def fisher(mu, sigma):
    """Return the Fisher information matrix of (mu, log sigma), (n, 2, 2).

    The scores are computed by complex step, and the expectations of their products by quadrature.
    """
    log_p = lambda z, mu, s: -((z - mu) ** 2) * exp(-2 * s) / 2 - s  # s is log sigma  # noqa: E731
    # A score is a polynomial in z of degree 1 or 2, so the product of two scores has a degree of at most 4. Quadrature with
    # 5 nodes is exact for polynomials up to degree 9, so the expectation of the product is exact.
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    z = mu + sigma * nodes
    scores = np.stack([
        complex_step(lambda m: log_p(z, m, log(sigma)), mu + 0 * z),
        complex_step(lambda s: log_p(z, mu, s), log(sigma) + 0 * z),
    ], axis=1)  # fmt: skip
    return np.einsum("nik,njk,k->nij", scores, scores, weights / weights.sum())


BOTH = rf"\left({D}(p_\theta\Vert p_{{\theta+h u}}),\; {D}(p_{{\theta+h u}}\Vert p_\theta)\right)"


@equation(
    "beyond.32", "Fisher information; Kullback 1959",
    rf"1 - B \leq \frac{{{BOTH}}}{{\frac{{1}}{{2}}h^2(u_1^2/\sigma^2 + 2u_2^2)}}"
    rf" = \frac{{{BOTH}}}{{\frac{{1}}{{2}}h^2 u^TFu}} \leq 1 + B,"
    r"\quad (B = 2|h u_2|e^{2|h u_2|},\; \theta = (\mu, \log\sigma),\;"
    r" F = E[\nabla\log p_\theta\,\nabla\log p_\theta^T])",
    (*THETA, DIRECTION, STEP),
    says="A small step h u of theta has the squared length h^2 u^T F u, where F is the Fisher information. The "
    "divergence between the distributions before and after the step, in either direction, is about half of this squared "
    "length.",
    tight={"mu": 0, "sigma": 2, "u": (1, 0), "step": 0.1},
)  # fmt: skip
def eq_32(mu, sigma, u, step):
    u_mu, u_log_sigma = u[:, :1], u[:, 1:]
    here = mu, need_positive("sigma", sigma)
    there = mu + step * u_mu, sigma * exp(step * u_log_sigma)
    both = np.hstack([kl_normal(*here, *there), kl_normal(*there, *here)])
    half_length = step**2 * ((u_mu / sigma) ** 2 + 2 * u_log_sigma**2) / 2
    by_scores = step**2 * np.einsum("ni,nij,nj->n", u, fisher(mu, sigma), u)[:, None] / 2
    bound = 2 * abs(step * u_log_sigma) * exp(2 * abs(step * u_log_sigma))
    return 1 - bound, "<=", both / half_length, "=", both / by_scores, "<=", 1 + bound


UNLIKE_Q = pmf("p", "p(x)", simple=((0.6, 0.4), (0.25, 0.75)))          # differs from q, so no slope is 0


@equation(
    "beyond.55", "divergence as a slope of Chernoff's sum; Renyi 1961",
    rf"{D}(q\Vert p) = -\left.\frac{{d}}{{ds}}\log\sum_z q(z)^{{1-s}}p(z)^s\right|_{{s=a}} ="
    r" \sum_z q(z)\log\frac{q(z)}{p(z)}", (Q, UNLIKE_Q, chosen("a", "a", 0, "0: the slope at s = 0")),
    says="Take the logarithm of Chernoff's sum as a function of s. The divergence is minus the slope of this function at "
    "s = 0.",
    needs="the slope is taken at s = 0 (a = 0)", outside={"q": (0.9, 0.1), "p": (0.5, 0.5), "a": 0.5},
)  # fmt: skip
def eq_55(q, p, a):
    q_1, p_1 = np.where(q > 0, q, 1), np.where(q > 0, p, 1)     # terms with q = 0 are 0 for s < 1
    chernoff = lambda s: total((q > 0) * q_1 ** (1 - s) * p_1**s)  # noqa: E731
    return (
        kl(q, p),
        "=", Zero(1, -complex_step(lambda s: np.log(chernoff(s)), a)),
        "=", mean(q, log(ratio(q, p))),
    )  # fmt: skip


# p is a mixture of two Gaussians. N(mu_p, sigma_p^2) has the mean and variance of p.

PARTS = "of N(m_1, s_1^2) in p; the other part is N(m_2, s_2^2)"
MIXED = (
    replace(chance("share", "a", (0.5, 0.25), top=99), rule=f"the weight {PARTS}"),
    vector("mus", "(m_1, m_2)", 2, simple=((-1, 1), (0, 3))),
    positives("sigmas", "(s_1, s_2)", 2, 0.3, ((1, 1), (1, 2))),
    real("m", "m", simple=(0, 1)),
    positive("s", "s", simple=(2, 1)),
)


def moments(share, mus, sigmas):
    """Return the mean and the standard deviation of the mixture."""
    weights = np.hstack([share, 1 - share])
    mu = mean(weights, mus)
    return mu, sqrt(mean(weights, sigmas**2 + (mus - mu) ** 2))


def from_mixture(share, mus, sigmas, *gaussians):
    """Return KL(p || N(m, s^2)) for every (m, s) in `gaussians`: a sum of two integrals, one for each part of p."""
    parts = (share, mus[:, :1], sigmas[:, :1]), (1 - share, mus[:, 1:], sigmas[:, 1:])

    def inside(z):
        log_p = log(sum(weight * normal(z, mu, sigma) for weight, mu, sigma in parts))
        return np.stack([log_p - log_density(z, m, s) for m, s in gaussians])

    return sum(
        weight * integrate(lambda z: normal(z, mu, sigma) * inside(z), mu, sigma)
        for weight, mu, sigma in parts
    )


@equation(
    "beyond.53", "moment matching",
    rf"{D}(p\Vert N(\mu_p, \sigma_p^2)) \leq {D}(p\Vert N(m, s^2)) ="
    rf" {D}(p\Vert N(\mu_p, \sigma_p^2)) + {D}(N(\mu_p, \sigma_p^2)\Vert N(m, s^2))", MIXED,
    says="Among all Gaussians r, KL(p || r) is smallest if r is N, the Gaussian with the mean and variance of p. For any "
    "other r, KL(p || r) is KL(p || N) + KL(N || r).",
    tight={"share": 0.5, "mus": (-1, 1), "sigmas": (1, 1), "m": 0, "s": sqrt(2)},
)  # fmt: skip
def eq_53(share, mus, sigmas, m, s):
    matched = moments(share, mus, sigmas)
    nearest, other = from_mixture(share, mus, sigmas, matched, (m, s))
    return nearest, "<=", other, "=", nearest + kl_normal(*matched, m, s)


@eq_53.tied("minivae.divergences.kl_diagonal")
def _(share, mus, sigmas, m, s):
    mu, sigma = moments(share, mus, sigmas)
    (nearest,) = from_mixture(share, mus, sigmas, (mu, sigma))
    return nearest + kl_diagonal(mu, 2 * log(sigma), m, 2 * log(s))
