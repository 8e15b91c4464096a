"""Beyond the sources: algorithms that use the bound: EM, path gradients, two estimators of the ELBO, mini-batches.

beyond.48 to beyond.50 compare the means and variances of random estimates. These means and variances are exact: sums over
quadrature nodes, or over all possible batches. If square brackets enclose a whole side of a formula, this side is equal to
the side before it. The brackets contain a lower bound of the side before, plus the gap between this bound and that side.
beyond.56 is about one q that all data share.
"""

import itertools
from dataclasses import replace

import numpy as np
from numpy import exp, log, sqrt

from derivations.beyond.bounds import NABLA, NOT_UNIFORM_TABLE, TWO, scalar_vae
from derivations.beyond.elbo import D, by_minivae
from derivations.engine.domains import Symbol, pmf, positive, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import complex_step, kl, kl_of_weights, log_density, mean, noise, times, total
from derivations.engine.worlds import LINEAR, chosen, linear_elbo, linear_posterior, posterior
from derivations.odaibo.objective import OUTSIDE
from minivae.gaussian import reparameterize, reparameterize_backward
from minivae.objective import kl_path_backward, kl_sampled_backward

# EM (expectation maximisation) for a mixture model. There are N data with D bits each, and there are K kinds of data. The
# hidden variable z_n is the kind of datum n.


def bits(raw):
    """Return data sets (n, 6, 3). Each has six data of three bits, with a 0 and a 1 in every column."""
    x = (raw.reshape(-1, 6, 3) > 0).astype(float)
    x[:, -1] = 1 - x[:, 0]
    return x


BITS = Symbol("x", "x", "0 or 1; every column has a 0 and a 1", 18, bits, (
    [[1, 0], [0, 1], [1, 1]], [[1, 1], [0, 0], [1, 0]],
))  # fmt: skip
SHARES = pmf("pi", r"\pi", 2, simple=((0.5, 0.5), (0.25, 0.75)))
COINS = Symbol(
    "m", "m", "between 0 and 1", 6, lambda raw: 1 / (1 + exp(-raw.reshape(-1, 2, 3))),
    ([[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.25], [0.25, 0.5]]),
)  # fmt: skip
OTHER = replace(SHARES, name="pi_2", latex=r"\pi'"), replace(COINS, name="m_2", latex="m'")
STEPS = 4


def faces(m):
    """Return (1 - m, m), the probabilities of 0 and of 1, (..., 2).

    A coin is stored as this pair. `m_step` computes both numbers as means, because 1 - m loses digits if m is near 1.
    """
    return np.stack([1 - m, m], axis=-1)


def joint_of(x, pi, coins):
    """Return p(x_n, z_n = k), (n, N, K), as a product over the bits."""
    shown = np.where(x[:, :, None] == 1, coins[:, None, ..., 1], coins[:, None, ..., 0])        # (n, N, K, D)
    return pi[:, None] * np.prod(shown, axis=-1)


def e_step(x, pi, coins):
    """The posterior q(z_n = k), (n, N, K)."""
    joint = joint_of(x, pi, coins)
    return joint / total(joint)


def m_step(x, q):
    """Return the model's parameters with the largest ELBO for this q: pi, and the pair (1 - m, m).

    pi_k is the mean of q(z_n = k) over n. m_k is the mean of x_n over n, with the weights q(z_n = k).
    """
    counts = q.sum(axis=1)                                                                      # (n, K)
    shown = np.einsum("nik,nidf->nkdf", q, faces(x))
    return counts / q.shape[1], shown / counts[..., None, None]


def mixture_elbo(x, q, pi, coins):
    """Return `sum_n E_q[log p(x_n, z_n) - log q(z_n)]`, (n, 1)."""
    log_shown = times(faces(x)[:, :, None], log(coins)[:, None]).sum(axis=(-2, -1))             # (n, N, K)
    return mean(q, log(pi)[:, None] + log_shown - log(q)).sum(axis=1)


def steps_of_em(x, pi, coins):
    """Yield (q_t, theta_t, theta_(t+1), q_(t+1)) for each of the first STEPS steps of EM."""
    theta = pi, coins
    for _ in range(STEPS):
        q = e_step(x, *theta)
        better = m_step(x, q)
        yield q, theta, better, e_step(x, *better)
        theta = better


@equation(
    "beyond.46", "EM as coordinate ascent on the ELBO; Dempster et al. 1977, Neal and Hinton 1998",
    r"\{\theta_{t+1} = (\pi, m),\; N_k = \sum_n q_t(z_n = k)\}:\;"
    r" \log p(x; \theta_t) = ELBO(q_t, \theta_t) \leq ELBO(q_t, \theta_{t+1}) ="
    rf" \left[ELBO(q_t, \theta') + N\,{D}(\pi||\pi') + \sum_k N_k \sum_d {D}(m_{{kd}}||m'_{{kd}})\right]"
    r" \leq \log p(x; \theta_{t+1}) ="
    rf" \left[ELBO(q_t, \theta_{{t+1}}) + {D}(q_t||q_{{t+1}})\right]",
    (BITS, SHARES, COINS, *OTHER),
    says="The E-step sets q to the posterior, so the gap of the bound is 0. The M-step sets theta to the best theta for "
    "this q, so the bound does not fall. So log p(x) never falls.",
    tight={"x": [[1, 0], [0, 1]], "pi": (0.5, 0.5), "m": [[0.5, 0.5], [0.5, 0.5]]}
    | {"pi_2": (0.25, 0.75), "m_2": [[0.5, 0.25], [0.25, 0.5]]},
)  # fmt: skip
def eq_46(x, pi, m, pi_2, m_2):
    log_p = lambda theta: log(total(joint_of(x, *theta))).sum(axis=1)  # (n, 1)  # noqa: E731
    made, other = list(steps_of_em(x, pi, faces(m))), (pi_2, faces(m_2))

    def over_other(q, best):
        """Return ELBO(q, best) - ELBO(q, other), where `best` is the theta with the largest ELBO for this q."""
        of_coins = kl(best[1], other[1]).sum(axis=(2, 3))                                       # (n, K)
        return q.shape[1] * kl(best[0], other[0]) + total(q.sum(axis=1) * of_coins)

    steps = lambda f: np.hstack([f(*step) for step in made])  # (n, STEPS)  # noqa: E731
    lifted = steps(lambda q, old, new, q_new: mixture_elbo(x, q, *new))
    return (
        steps(lambda q, old, new, q_new: log_p(old)),
        "=", steps(lambda q, old, new, q_new: mixture_elbo(x, q, *old)),
        "<=", lifted,
        "=", steps(lambda q, old, new, q_new: mixture_elbo(x, q, *other) + over_other(q, new)),
        "<=", steps(lambda q, old, new, q_new: log_p(new)),
        "=", lifted + steps(lambda q, old, new, q_new: kl(q, q_new).sum(axis=1)),
    )  # fmt: skip


# The gradient of `log p(x, z) - log q(z|x)` in (mu, log sigma^2), for one draw z = mu + sigma eps

# Nodes (3, 1) and weights (3,) of a quadrature over eps. The quadrature is exact for polynomials up to degree 5
EPS, CHANCES = noise(1)
AWAY = chosen("away", "away", 0, "the distance of mu from the mean of p(z|x), in units of sigma")


def log_weight(w, s, x, z, mu, log_var):
    """Return log p(x, z) - log q(z|x). The arguments may be complex."""
    log_joint = -(((x - w * z) / s) ** 2) / 2 - z**2 / 2 - log(s)
    return log_joint + ((z - mu) ** 2 * exp(-log_var) + log_var - log(2 * np.pi)) / 2


def gradients(w, s, x, mu, log_var, eps):
    """Return two gradients of `log_weight`, (n, 2, L) each: the path gradient and the whole gradient.

    The path gradient contains only the change through z. The whole gradient also contains the score.
    """
    code = lambda mu, log_var: mu + exp(log_var / 2) * eps  # noqa: E731

    def path(step_mu, step_log_var):
        return lambda t: log_weight(w, s, x, code(mu + t * step_mu, log_var + t * step_log_var), mu, log_var)

    def whole(step_mu, step_log_var):
        after = lambda t: (mu + t * step_mu, log_var + t * step_log_var)  # noqa: E731
        return lambda t: log_weight(w, s, x, code(*after(t)), *after(t))

    in_both = lambda f: np.stack([complex_step(f(1, 0), 0), complex_step(f(0, 1), 0)], axis=1)  # noqa: E731
    return in_both(path), in_both(whole)


def variance(chances, values):
    """Return the variance of `values` with the probabilities `chances`, along the last axis. The axis is kept."""
    return total(chances * (values - total(chances * values)) ** 2)


@equation(
    "beyond.48", "sticking the landing; Roeder et al. 2017",
    r"\{z = \mu + \sigma\epsilon,\; A = \log p(x, z) - \log q(z|x)\}:\;"
    rf" \frac{{\partial A}}{{\partial z}}\,{NABLA} z = 0 ="
    rf" E_\epsilon\left[{NABLA} A\right] < E_\epsilon\left[({NABLA} A)^2\right] ="
    r" \left(\frac{1}{\sigma^2},\; \frac{1}{2}\right)",
    (*LINEAR, AWAY),
    says="If q is the posterior, the path gradient (through z) is 0 for every draw. The whole gradient also has the score "
    "of q, a random term with mean 0.",
    needs="q(z|x) is the posterior (away = 0)", outside={"w": 1, "s": 1, "x": 1, "away": 1},
)  # fmt: skip
def eq_48(w, s, x, away):
    mu, sigma = linear_posterior(w, s, x)
    path, whole = gradients(w, s, x, mu + away * sigma, 2 * log(sigma), EPS[:, 0])
    squared = total(CHANCES * whole**2)
    return (
        path,
        "=", Zero(sqrt(squared)),
        "=", total(CHANCES * whole),
        "<", squared,
        "=", np.stack([1 / sigma**2, 1 / 2 + 0 * sigma], axis=1),
    )  # fmt: skip


@eq_48.tied("minivae.objective.kl_path_backward")
@eq_48.tied("minivae.gaussian.log_standard_normal_backward")
@eq_48.tied("minivae.gaussian.log_normal_backward")
def _(w, s, x, away):
    def of_draws(value):
        """Repeat every value three times, once for each draw of eps. Each draw is then a datum with its own gradient."""
        return np.repeat(value, 3, axis=0)                                  # (3 n, 1)

    w, s, x, mu, sigma = (of_draws(value) for value in (w, s, x, *linear_posterior(w, s, x)))
    log_var, eps = 2 * log(sigma), np.tile(EPS, (len(x) // 3, 1))[None]   # (1, 3 n, 1)
    z, one = reparameterize(mu, log_var, eps), np.ones((1, len(x)))
    d_z_path, _, _ = kl_path_backward(-one, z, mu, log_var)
    _, d_mu_q, d_log_var_q = kl_sampled_backward(-one, z, mu, log_var)      # the score
    d_z = w * (x - w * z) / s**2 + d_z_path
    d_mu, d_log_var = reparameterize_backward(d_z, mu, log_var, eps)
    whole = np.hstack([d_mu + d_mu_q, d_log_var + d_log_var_q])             # (3 n, 2)   path + score
    return total(CHANCES * np.swapaxes(whole.reshape(-1, 3, 2), 1, 2) ** 2)


# Two estimators of the ELBO from one draw: A uses log q(z|x) at the draw, B uses the KL in closed form

USED_W = Symbol("w", "w", "real, not near 0", 1, lambda raw: raw + np.where(raw < 0, -0.3, 0.3), (1, 2, 0.5))
Q_MU = Symbol(                                              # not 0, so q is not the prior
    "mu_q", r"\mu_q", "real, not near 0", 1, lambda raw: raw + np.where(raw < 0, -0.1, 0.1), (0.5, 1, -1)
)
Q_SIGMA = positive("sigma_q", r"\sigma_q", simple=(0.5, 2))
AT_POSTERIOR, AT_0 = r"_{q = p(z|x)}", r"_{w = 0}"


def estimates(w, s, x, mu, sigma):
    """Return the estimates A and B of the ELBO at the quadrature nodes, (..., 3) each. A uses log q(z|x), B uses the KL."""
    z = mu + sigma * EPS[:, 0]
    likely = log_density(x, w * z, s)
    closed_form = (mu**2 + sigma**2 - 1 - log(sigma**2)) / 2
    return likely + log_density(z, 0, 1) - log_density(z, mu, sigma), likely - closed_form


def variance_of_a(w, s, x, mu, sigma):
    """Return V_A of beyond.49, the variance of the estimator A. A is a quadratic function of eps."""
    return sigma**2 * (w * (x - w * mu) / s**2 - mu) ** 2 + (1 - sigma**2 - (w * sigma / s) ** 2) ** 2 / 2


def variance_of_b(w, s, x, mu, sigma):
    """Return V_B of beyond.49, the variance of the estimator B. B is log p(x|z) minus a constant."""
    return sigma**2 * (w * (x - w * mu) / s**2) ** 2 + (w * sigma / s) ** 4 / 2


@equation(
    "beyond.49", "the estimators A and B of SGVB; Kingma and Welling 2014",
    r"\{A = \log p(x, z) - \log q(z|x),\;"
    rf" B = \log p(x|z) - {D}(q(z|x)||p(z))\}}:\;"
    rf" \left(E[A] - ELBO,\; E[B] - ELBO,\; Var{AT_POSTERIOR}[A],\; Var{AT_0}[B]\right) = 0 <"
    rf" \left(Var[A],\; Var[B],\; Var{AT_POSTERIOR}[B],\; Var{AT_0}[A]\right) ="
    rf" \left(V_A,\; V_B,\; {{V_B}}{AT_POSTERIOR},\; {{V_A}}{AT_0}\right),\quad"
    r" \left\{V_A = \sigma_q^2\left(\frac{w(x - w\mu_q)}{s^2} - \mu_q\right)^2"
    r" + \frac{1}{2}\left(1 - \sigma_q^2 - \frac{w^2\sigma_q^2}{s^2}\right)^2,\;"
    r" V_B = \sigma_q^2\,\frac{w^2(x - w\mu_q)^2}{s^4} + \frac{w^4\sigma_q^4}{2s^4}\right\}",
    (USED_W, *LINEAR[1:], Q_MU, Q_SIGMA),
    says="The estimators A and B are unbiased. A has variance 0 if q is the posterior. B has variance 0 if w = 0, because "
    "then log p(x|z) does not depend on z.",
    needs="w is not 0, q(z|x) is not the posterior, and q(z|x) is not the prior",
    outside=(
        {"w": 1, "s": 1, "x": 1, "mu_q": 0.5, "sigma_q": 0.5**0.5},
        {"w": 1, "s": 1, "x": 1, "mu_q": 0, "sigma_q": 1},
        {"w": 0, "s": 1, "x": 1, "mu_q": 0.5, "sigma_q": 1},
    ),
)  # fmt: skip
def eq_49(w, s, x, mu_q, sigma_q):
    at = {"q": (w, s, x, mu_q, sigma_q), "posterior": (w, s, x, *linear_posterior(w, s, x))}
    at["w = 0"] = 0 * w, s, x, mu_q, sigma_q
    (a, b), (best_a, best_b), (flat_a, flat_b) = (estimates(*values) for values in at.values())
    E, Var = lambda f: total(CHANCES * f), lambda f: variance(CHANCES, f)  # noqa: E731
    elbo = linear_elbo(*at["q"])
    return (
        np.hstack([E(a) - elbo, E(b) - elbo, Var(best_a), Var(flat_b)]),
        "=", Zero(np.hstack([sqrt(E(a**2)), sqrt(E(b**2)), Var(best_b), Var(flat_a)])),
        "<", np.hstack([Var(a), Var(b), Var(best_b), Var(flat_a)]),
        "=", np.hstack([
            variance_of_a(*at["q"]), variance_of_b(*at["q"]),
            variance_of_b(*at["posterior"]), variance_of_a(*at["w = 0"]),
        ]),
    )  # fmt: skip


@eq_49.tied("minivae.vae.VAE.loss", draws=10)
def _(w, s, x, mu_q, sigma_q):
    def spread(w, s, x, mu, sigma, estimator):
        vae = scalar_vae(w, s, mu, sigma, estimator=estimator)
        return variance(CHANCES, np.array([-vae.loss(x[None], eps[None, None]) for eps in EPS]))

    def four(w, s, x, mu, sigma):
        best = linear_posterior(w, s, x)
        return np.hstack([
            spread(w, s, x, mu, sigma, "sampled"), spread(w, s, x, mu, sigma, "analytic"),
            spread(w, s, x, *best, "analytic"), spread(0 * w, s, x, mu, sigma, "sampled"),
        ])  # fmt: skip

    return by_minivae(four, "(o),(o),(o),(o),(o)->(p)")(w, s, x, mu_q, sigma_q)


# Mini-batches: a data set has N = 4 data, and all its batches of M data are used, for M = 1 to 4

X_4 = vector("x", "x", 4, simple=((1.2, 0, -1, 2), (1, 0, 0, 0)))
SLOPE, SIGMA = real("a", "a", simple=(1, 0.5)), positive("sigma", r"\sigma", simple=(1, 0.5))
TILT = chosen("tilt", "tilt", 0, "a batch with the first datum is 1 + tilt times as likely as a batch without it")


def batches(N):
    """Yield M and the masks of all batches of M data, for M = 1, ..., N. A mask is 1 for each datum of its batch."""
    for M in range(1, N + 1):
        chosen = itertools.combinations(range(N), M)
        yield M, np.array([np.isin(np.arange(N), batch) for batch in chosen], float)


def mean_and_variance(estimates, tilt, masks):
    """Return (n, 1, 2): the mean and the variance of `estimates` (n, batches), which has one estimate for each batch."""
    chances = 1 + tilt * masks[:, 0]
    chances = chances / total(chances)                      # (n, batches)
    return np.stack([total(chances * estimates), variance(chances, estimates)], axis=-1)


@equation(
    "beyond.50", "unbiased mini-batches; Hoffman et al. 2013",
    r"\left(E_{batch},\; Var_{batch}\right)\left[\frac{N}{M}\sum_{i \in batch} ELBO_i\right] ="
    r" \left(\sum_{i=1}^{N} ELBO_i,\; \frac{N(N - M)}{M}\,"
    r"\frac{1}{N-1}\sum_{i=1}^{N}\left(ELBO_i - \frac{1}{N}\sum_j ELBO_j\right)^2\right)",
    (SLOPE, SIGMA, *LINEAR[:2], X_4, TILT),
    says="N/M times the sum of the ELBOs of a batch is an unbiased estimate of the sum over all data. Its variance falls as "
    "M grows, and is 0 for M = N.",
    needs="all batches of M data are equally likely (tilt = 0)",
    outside={"a": 1, "sigma": 1, "w": 1, "s": 1, "x": (1.2, 0, -1, 2), "tilt": 1},
)  # fmt: skip
def eq_50(a, sigma, w, s, x, tilt):
    in_draws, _ = estimates(*(value[..., None] for value in (w, s, x, a * x, sigma)))       # (n, N, 3)
    each = in_draws @ CHANCES                               # (n, N)
    N = x.shape[-1]
    spread = total((each - each.mean(axis=-1, keepdims=True)) ** 2) / (N - 1)
    M = np.arange(1, N + 1)
    of_batches = [mean_and_variance(N / m * each @ masks.T, tilt, masks) for m, masks in batches(N)]
    size = np.stack([total(abs(each)), N * total(each**2)], axis=-1)            # (n, 1, 2)   the scale of rounding errors
    return (
        Zero(size, np.concatenate(of_batches, axis=1)),     # (n, N, 2)   one row for every M
        "=", np.stack([np.repeat(total(each), N, axis=1), N * (N - M) / M * spread], axis=-1),
    )  # fmt: skip


@eq_50.tied("minivae.vae.VAE.loss", draws=10)
def _(a, sigma, w, s, x, tilt):
    def of_batches(a, sigma, w, s, x, tilt):
        vae, N = scalar_vae(w, s, 0 * a, sigma), len(x)
        vae.params["encoder.1.weight"][0, 0] = a[0]         # mu = a x
        found = []
        for M, masks in batches(N):
            x_of = [x[mask == 1][:, None] for mask in masks]
            # The loss is minus the mean ELBO of M data. So -N * loss is N/M times the sum of their ELBOs.
            made = np.array([-N * vae.loss(batch, np.repeat(TWO, M, axis=1)) for batch in x_of])
            found.append(mean_and_variance(made, tilt, masks)[0])
        return np.array(found)                              # (N, 2)

    return by_minivae(of_batches, "(o),(o),(o),(o),(i),(o)->(i,p)")(a, sigma, w, s, x, tilt)


# One q for all data

SHARED_Q = pmf("q", "q(z)", simple=((0.5, 0.5), (0.25, 0.75)))
P_DATA = pmf("p_d", "p_d(x)", 4, simple=((0.5, 0.5), (0.25, 0.75)))
E_DATA = r"E_{x \sim p_d}"
CROSSED = {"p_d": (0.5, 0.5), "p_xz": [[0.1, 0.4], [0.4, 0.1]]}             # posteriors (.2, .8) and (.8, .2)


@equation(
    "beyond.56", "the best shared q, and the amortisation gap it leaves",
    rf"\left\{{q^*(z) \propto \exp {E_DATA}\left[\log p(z|x)\right]\right\}}:\;"
    rf" {E_DATA}\left[{D}(q^*(z)||p(z|x))\right] ="
    rf" -\log\sum_z \exp {E_DATA}\left[\log p(z|x)\right] \leq {E_DATA}\left[{D}(q(z)||p(z|x))\right] ="
    rf" \left[-\log\sum_z \exp {E_DATA}\left[\log p(z|x)\right] + {D}(q(z)||q^*(z))\right]",
    (P_DATA, NOT_UNIFORM_TABLE, SHARED_Q),
    says="If all data share one q, the best q is the normalised geometric mean of all posteriors, with weights p_d(x). "
    "The mean divergence of this q from the posteriors is the gap that remains.",
    needs="p(x, z) > 0, and p_d(x) and q(z) sum to 1",
    outside=tuple(CROSSED | {"q": (0.5, 0.5)} | other for other in (
        {"p_d": (0.5, 0.6)}, {"q": (0.5, 0.6)}, {"p_xz": OUTSIDE[1]["p_xz"]}, {"p_xz": [[0.5, 0], [0, 0.5]]},
    )),
    tight=CROSSED | {"q": (0.5, 0.5)},
)  # fmt: skip
def eq_56(p_d, p_xz, q):
    p_z_given_x = posterior(p_xz)

    def shared_kl(q):
        to_each = kl_of_weights(np.broadcast_to(q[:, None], p_z_given_x.shape), p_z_given_x)[..., 0]
        return total(times(p_d, to_each))

    geometric = exp(total(times(p_d[:, None], np.swapaxes(log(p_z_given_x), 1, 2)))[..., 0])    # (n, columns)
    Z = total(geometric)
    return (
        shared_kl(geometric / Z),
        "=", Zero(1, -log(Z)),                              # near 0 if all posteriors are almost equal
        "<=", shared_kl(q),
        "=", Zero(1, -log(Z) + kl_of_weights(q, geometric / Z)),
    )  # fmt: skip
