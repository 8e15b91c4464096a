"""Hong, "Derivations", 2.1: the words "log" and "metric", hong.21 and hong.22."""

import numpy as np
from numpy import log

from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import kl_normal, total
from derivations.hong.world import MU, SIGMA, SQUARES, kl_prior
from derivations.odaibo.closed_form import tenths
from minivae.gaussian import kl_diagonal, kl_standard_normal

BASE = Symbol("base", "b", "2 or 10", 1, lambda raw: np.where(raw > 0, 2.0, 10.0), (2, 10))


@equation(
    "hong.21", "l.35-47", rf"D_{{KL}}(q(z|x)||p(z)) = \sum_i\left[-\log_b\sigma_i + {SQUARES}\right]",
    (MU, SIGMA, BASE), kind="claim", verdict="loose",
    claim="The text writes log sigma_i and ln sigma_theta in one loss (l.35-47).",
    says="Read literally, the text says: the logarithm in the KL has another base than e, here 2 or 10.",
    fault="log and ln are both the natural logarithm here. With base 2 or 10 the formula would not give the KL.",
)  # fmt: skip
def logarithms(mu, sigma, base):
    return kl_prior(mu, sigma), "=", total(-log(sigma) / log(base) + (mu**2 + sigma**2 - 1) / 2)


@logarithms.precise(
    rf"D_{{KL}}(q(z|x)||p(z)) = \sum_i\left[-\ln\sigma_i + {SQUARES}\right]", inputs=(MU, SIGMA)
)  # fmt: skip
def _(mu, sigma):
    return kl_prior(mu, sigma), "=", total(-log(sigma) + (mu**2 + sigma**2 - 1) / 2)


@logarithms.tied("minivae.gaussian.kl_standard_normal")
def _(mu, sigma):
    return total(kl_standard_normal(mu, 2 * log(sigma)))


# Three normal distributions with sigma = 1. a and b are multiples of 0.1. c is halfway between two such multiples, so the
# divergence of N_a and N_c is never near 0.

THREE = (
    Symbol("a", "a", "real, drawn as a multiple of 0.1", 1, tenths, (0, 1)),
    Symbol("b", "b", "real, drawn as a multiple of 0.1", 1, tenths, (1, 0)),
    Symbol("c", "c", "real, drawn halfway between multiples of 0.1", 1, lambda raw: tenths(raw) + 0.05, (2, -1)),
)


def divergence(a, b):
    """Return D_KL(N(a, 1) || N(b, 1)), by quadrature."""
    return kl_normal(a, 1, b, 1)


@equation(
    "hong.22", "l.37",
    r"D_{KL}(N_a||N_c) \leq D_{KL}(N_a||N_b) + D_{KL}(N_b||N_c),\quad N_m \,\mathrm{for}\, N(m, 1)",
    THREE, kind="claim", verdict="loose", tight={"a": 0, "b": 0, "c": 0},
    claim='The text calls the KL "the resulting metric" (l.37).',
    says="Read literally, the text says: the KL obeys the triangle inequality, like every metric.",
    fault="The KL is a divergence, not a metric: it is not symmetric, and it does not obey the triangle inequality.",
)  # fmt: skip
def metric(a, b, c):
    return divergence(a, c), "<=", divergence(a, b) + divergence(b, c)


@metric.precise(r"0 \leq D_{KL}(N_a||N_c) = D_{KL}(N_a||N_b) + D_{KL}(N_b||N_c) + (a - b)(b - c)")
def _(a, b, c):
    return 0 * a, "<=", divergence(a, c), "=", divergence(a, b) + divergence(b, c) + (a - b) * (b - c)


@metric.tied("minivae.divergences.kl_diagonal")
def _(a, b, c):
    return kl_diagonal(a, 0 * a, c, 0 * c)
