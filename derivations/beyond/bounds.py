"""Beyond the sources: upper bounds of log p(x), bounds of the information in z, and bounds with a weight on the KL.

In beyond.42 to beyond.44 distributions are tables, and sums over them are exact; the other entries are about Gaussians. If
a whole side of a formula is in square brackets, it shows the gap of a bound: in `[I_q + KL]`, the gap is the KL.
"""

from dataclasses import replace

import numpy as np
from numpy import exp, log

from derivations.beyond.elbo import (
    ASSUMED,
    E_Q,
    EVERYWHERE,
    JOINT_IS_ZERO,
    D,
    by_minivae,
    importance_weights,
    linear_vae,
)
from derivations.engine.domains import Symbol, pmf, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import complex_step, expect, kl_normal, kl_of_weights, log_density, times, total
from derivations.engine.worlds import (
    ENCODED,
    ENCODER,
    LINEAR,
    PLANE_MU,
    PLANE_SIGMA,
    TABLE,
    VECTOR_LINEAR,
    evidence,
    likelihood,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
)
from derivations.odaibo.bound import LINEAR_POSTERIOR
from derivations.odaibo.objective import NOT_A_DISTRIBUTION, OUTSIDE, POSTERIOR

P_DATA = pmf("p_d", "p_d(x)", 4, zeros=True, simple=((0.25, 0.75), (1, 0)))
E_DATA = r"E_{x \sim p_d}"
LOG_RATIO = r"\log\frac{p(x, z)}{q(z|x)}"


def flat(table):
    """Return a joint table as one row of probabilities, (n, rows * columns)."""
    return table.reshape(len(table), -1)


@equation(
    "beyond.42", "evidence upper bound (EUBO), and ELBO",
    rf"\left[p(x)\,e^{{-{D}(q(z|x)||p(z|x))}}\right] = \exp {E_Q}\left[{LOG_RATIO}\right] \leq p(x) \leq"
    rf" \exp E_{{z \sim p(z|x)}}\left[{LOG_RATIO}\right] = \left[p(x)\,e^{{{D}(p(z|x)||q(z|x))}}\right]",
    (TABLE, EVERYWHERE),
    says="The mean of log[p(x, z) / q(z|x)] under q is the ELBO, a lower bound of log p(x). The mean under the posterior is "
    "an upper bound of log p(x).",
    tight=POSTERIOR, **ASSUMED,
)  # fmt: skip
def eq_42(p_xz, q):
    # The judge compares relative errors. The upper bound of log p(x) can be near 0, and then a small rounding error is a
    # large relative error. So every side is the exponential of a bound.
    p_x, p_z_given_x = evidence(p_xz), posterior(p_xz)
    return (
        p_x * exp(-kl_of_weights(q, p_z_given_x)),
        "=", exp(total(times(q, log(importance_weights(p_xz, q))))),
        "<=", p_x,
        "<=", exp(total(times(p_z_given_x, log(p_xz) - log(q)))),
        "=", p_x * exp(kl_of_weights(p_z_given_x, q)),
    )  # fmt: skip


# A data set: p_d(x) is the fraction of the data that are equal to x

HALVES = {"p_d": (0.5, 0.5)}
NOT_ONE = {"p_d": (0.1, 0.1), "p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[0.5, 0.5], [0.5, 0.5]]}


@equation(
    "beyond.43", "the ELBO of a data set as one divergence",
    rf"{D}(p_d(x)q(z|x)||p(x, z)) = -{E_DATA}\left[ELBO(x)\right] - H[p_d] ="
    rf" {D}(p_d(x)||p(x)) + {E_DATA}\left[{D}(q(z|x)||p(z|x))\right]",
    (P_DATA, TABLE, ENCODER),
    says="Maximising the ELBO of a data set minimises the divergence of p_d(x) q(z|x) from the model's p(x, z).",
    needs=ASSUMED["needs"], outside=tuple(HALVES | point for point in OUTSIDE),
)  # fmt: skip
def eq_43(p_d, p_xz, q):
    elbo = total(times(q, log(p_xz) - log(q)))[..., 0]      # (n, rows)   one ELBO for every x
    gap = kl_of_weights(q, posterior(p_xz))[..., 0]
    mean = lambda f: total(times(p_d, f))  # noqa: E731
    return (
        kl_of_weights(flat(p_d[..., None] * q), flat(p_xz)),
        "=", Zero(1, -mean(elbo) + mean(log(p_d))),          # near 0 if p_d(x) q(z|x) is almost equal to p(x, z)
        "=", mean(log(p_d) - log(evidence(p_xz)[..., 0])) + mean(gap),
    )  # fmt: skip


DISTORTION = r"\mathrm{distortion}"
NOT_UNIFORM_TABLE = replace(TABLE, simple=TABLE.simple[:2])


@equation(
    "beyond.44", "rate and distortion; Alemi et al. 2018",
    rf"\left[I_q - {D}(p_d(x)q(z|x)||q(z)p(x|z))\right] = H[p_d] - {DISTORTION} \leq I_q \leq"
    rf" \mathrm{{rate}} = \left[I_q + {D}(q(z)||p(z))\right] = -{E_DATA}\left[ELBO(x)\right] - {DISTORTION},\quad"
    rf" \left({DISTORTION} = -{E_DATA}\,{E_Q}[\log p(x|z)],\; \mathrm{{rate}} = {E_DATA}[{D}(q(z|x)||p(z))]\right)",
    (P_DATA, NOT_UNIFORM_TABLE, ENCODER),
    says="I_q is the mutual information of x and z. It is at least the entropy of the data minus the distortion, and at "
    "most the rate.",
    needs="p(x, z) > 0; p_d(x) and every q(z|x) sum to 1",
    outside=(NOT_ONE, HALVES | NOT_A_DISTRIBUTION, HALVES | JOINT_IS_ZERO),
    tight=HALVES | POSTERIOR,
)  # fmt: skip
def eq_44(p_d, p_xz, q):
    p_z, p_x_given_z = prior(p_xz), likelihood(p_xz)
    joint = p_d[..., None] * q                              # (n, rows, columns)   p_d(x) q(z|x)
    q_z = joint.sum(axis=1)                                 # (n, columns)   the aggregate posterior
    with np.errstate(divide="ignore", invalid="ignore"):
        information = total(flat(times(joint, log(q / q_z[:, None]))))
    distortion = -total(flat(times(joint, log(p_x_given_z))))
    rate = total(times(p_d, kl_of_weights(q, np.broadcast_to(p_z, q.shape))[..., 0]))
    elbo = total(times(p_d, total(times(q, log(p_xz) - log(q)))[..., 0]))
    return (
        information - kl_of_weights(flat(joint), flat(q_z[:, None] * p_x_given_z)),
        "=", Zero(1, -total(times(p_d, log(p_d))) - distortion),
        "<=", information,
        "<=", Zero(1, rate),
        "=", information + kl_of_weights(q_z, p_z[:, 0]),
        "=", -elbo - distortion,
    )  # fmt: skip


# A weight on the KL, in a Gaussian model

BETA_1 = Symbol("beta", r"\beta", ">= 1", 1, lambda raw: 1 + np.abs(raw), (1, 2, 4))
SHARP = {"w": 3, "s": 0.1, "x": 3, "mu_q": 9 / 9.01, "sigma_q": 0.1 / 9.01**0.5}        # q is the posterior
GAP = rf"\log p(x) - {D}(q(z|x)||p(z|x)) - (\beta - 1){D}(q(z|x)||p(z))"


@equation(
    "beyond.45", "the beta-ELBO; Higgins et al. 2017",
    rf"\log p(x) \geq {E_Q}\left[\log p(x|z)\right] - \beta {D}(q(z|x)||p(z)) = \left[{GAP}\right]",
    (*LINEAR, *ENCODED, BETA_1),
    says="The ELBO with a weight beta >= 1 on the KL is still a lower bound of log p(x). A larger beta never raises this "
    "bound.",
    needs="beta >= 1 (for beta < 1 the right side can exceed log p(x))",
    outside=SHARP | {"beta": 0.5}, tight=LINEAR_POSTERIOR | {"beta": 1},
)  # fmt: skip
def eq_45(w, s, x, mu_q, sigma_q, beta):
    log_p_x, kl_prior = linear_log_evidence(w, s, x), kl_normal(mu_q, sigma_q, 0, 1)
    gap = kl_normal(mu_q, sigma_q, *linear_posterior(w, s, x))
    return (
        log_p_x,
        ">=", expect(lambda z: log_density(x, w * z, s), mu_q, sigma_q) - beta * kl_prior,
        "=", log_p_x - gap - (beta - 1) * kl_prior,
    )  # fmt: skip


def scalar_vae(w, s, mu, sigma, **settings):
    """Return minivae's model with D = J = 1 for one value of each letter."""
    return linear_vae(w[None], 0 * w, s, mu, sigma, **settings)


TWO = np.array([[[-1.0]], [[1.0]]])                         # two draws of noise with mean 0 and mean square 1


@eq_45.tied("minivae.vae.VAE.loss", draws=10)
def _(w, s, x, mu_q, sigma_q, beta):
    def bound(w, s, x, mu, sigma, beta):
        return -scalar_vae(w, s, mu, sigma, beta=float(beta[0])).loss(x[None], TWO)

    return by_minivae(bound, "(o),(o),(o),(o),(o),(o)->()")(w, s, x, mu_q, sigma_q, beta)[:, None]


# Two losses: one has sums over features and over coordinates, and the other has means. If beta is rescaled, the gradients of
# the two losses are proportional. Here z = mu + sigma eps, for one draw of eps.

BETA = Symbol("beta", r"\beta", ">= 0", 1, np.abs, (1, 4, 0.5))
EPS = vector("eps", r"\epsilon", 2, 1.0, ((0, 0), (1, -1)))
NABLA = r"\nabla_{\mu,\,\log\sigma^2}"
NLL_K = r"-\log p(x_k|z)"
KL_J = rf"{D}(q(z_j|x)||p(z_j))"


def loss_of(reduce, beta, W, b, s, x, eps):
    """Return a function for the loss `reduce_k{-log p(x_k|z)} + beta reduce_j{KL_j}`, where `reduce` is np.sum or np.mean.

    The function takes points (n, M, 4) and returns the loss at each point, (n, M). A point has two values mu_j and two
    values log_var_j.
    """
    x, b, s, W_t = x[:, None], b[:, None], s[..., None], np.swapaxes(W, 1, 2)

    def loss(at):
        mu, log_var = at[..., :2], at[..., 2:]
        residual = (x - b - (mu + exp(log_var / 2) * eps[:, None]) @ W_t) / s   # (n, M, 3)
        nll = residual**2 / 2 + log(s) + log(2 * np.pi) / 2
        return reduce(nll, axis=-1) + beta * reduce((mu**2 + exp(log_var) - 1 - log_var) / 2, axis=-1)

    return loss


def slopes(loss, at):
    """Return the gradient (n, K) of `loss` at the points `at` (n, K), by a complex step in each of the K coordinates."""
    return complex_step(lambda t: loss(at[:, None] + t * np.eye(at.shape[-1])), 0)


@equation(
    "beyond.57", "the weight of a beta-VAE, normalised; Higgins et al. 2017",
    rf"{NABLA}\left(\sum_{{k=1}}^{{D}} {NLL_K} + \beta\sum_{{j=1}}^{{d}} {KL_J}\right) ="
    rf" D\,{NABLA}\left(\frac{{1}}{{D}}\sum_{{k=1}}^{{D}} {NLL_K}"
    rf" + \frac{{\beta d}}{{D}}\,\frac{{1}}{{d}}\sum_{{j=1}}^{{d}} {KL_J}\right) ="
    r" \left(g + \beta\mu,\; \frac{g\,\sigma\epsilon + \beta(\sigma^2 - 1)}{2}\right),"
    r"\quad g \,\mathrm{being}\, W^\top(b + Wz - x) / s^2",
    (*VECTOR_LINEAR, PLANE_MU, PLANE_SIGMA, EPS, BETA),
    says="With means over D features and d coordinates instead of sums, and the weight beta d / D, the gradient is D times "
    "smaller.",
)  # fmt: skip
def eq_57(W, b, s, x, mu, sigma, eps, beta):
    at, (D, d) = np.concatenate([mu, 2 * log(sigma)], axis=-1), W.shape[-2:]
    residual = b + (W @ (mu + sigma * eps)[..., None])[..., 0] - x              # (n, D)
    g = (np.swapaxes(W, 1, 2) @ residual[..., None])[..., 0] / s**2             # (n, d)
    by_hand = g + beta * mu, (g * sigma * eps + beta * (sigma**2 - 1)) / 2
    return (
        slopes(loss_of(np.sum, beta, W, b, s, x, eps), at),
        "=", D * slopes(loss_of(np.mean, beta * d / D, W, b, s, x, eps), at),
        "=", np.concatenate(by_hand, axis=-1),
    )  # fmt: skip


@eq_57.tied("minivae.vae.VAE.gradient", draws=10)
def _(W, b, s, x, mu, sigma, eps, beta):
    def gradient(W, b, s, x, mu, sigma, eps, beta):
        vae = linear_vae(W, b, s, mu, sigma, beta=float(beta[0]))
        return vae.gradient(x[None], eps[None, None])["encoder.1.bias"]         # this gradient is (d_mu, d_log_var)

    return by_minivae(gradient, "(d,j),(d),(o),(d),(j),(j),(j),(o)->(p)")(W, b, s, x, mu, sigma, eps, beta)
