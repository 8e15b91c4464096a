"""Flashcards, "Auto-Encoding Variational Bayes": why does the ELBO use the reverse divergence?

Sums over z are exact, and an infinite divergence is computed as `inf`. fits.py fits one Gaussian to a mixture with modes
near -a and near a. The fits show the meaning of "zero-avoiding" and "zero-forcing".
"""

import math
from dataclasses import replace

import numpy as np

from derivations.cards.fits import (
    best_reverse,
    fit_forward,
    fit_reverse,
    kl_forward,
    kl_reverse,
    log_gaussian,
    log_mixture,
    mass,
    mixture_mass,
)
from derivations.engine.domains import Symbol, pmf, positive, real, weights
from derivations.engine.equation import equation
from derivations.engine.numerics import LEGENDRE, kl, kl_normal, log, mean, ratio, times, total
from derivations.engine.worlds import SIGMA_P, SIGMA_Q, chosen
from derivations.odaibo.closed_form import TWO, tenths
from minivae.gaussian import kl_diagonal

# In random draws, mu_q is a multiple of 0.1, and mu_p is halfway between two such multiples, so q and p differ. At some
# simple values, q and p are equal.

TENTHS = Symbol("mu_q", r"\mu_q", "real, drawn as a multiple of 0.1", 1, tenths, (0, 1, -1))
HALFWAY = replace(TWO[2], simple=(2, 1))
PAIR = (TENTHS, SIGMA_Q, HALFWAY, SIGMA_P)
NOT_SYMMETRIC = r"D_\text{KL}(q_\phi | p_\theta) \ne D_\text{KL}(p_\theta | q_\phi)"


@equation(
    "cards.16", "l.42", NOT_SYMMETRIC, PAIR, verdict="loose",
    says="As printed, the divergences in the two directions always differ.",
    fault='"Not symmetric" means that the two divergences differ for some q and p. They can also be equal, for example '
    "if q and p are Gaussians of equal width.",
)  # fmt: skip
def card_16(mu_q, sigma_q, mu_p, sigma_p):
    return kl_normal(mu_q, sigma_q, mu_p, sigma_p), "!=", kl_normal(mu_p, sigma_p, mu_q, sigma_q)


@card_16.precise(
    r"D_\text{KL}(q_\phi \| p_\theta) = D_\text{KL}(p_\theta \| q_\phi) + \frac{v^2 - 1}{2v} - \log v"
    r" + \frac{(\mu_q - \mu_p)^2}{2\sigma_q^2}(v - 1),\quad v \text{ the ratio } \sigma_q^2 / \sigma_p^2"
)
def _(mu_q, sigma_q, mu_p, sigma_p):
    v = sigma_q**2 / sigma_p**2                             # `added` has the sign of v - 1: it is 0 only for v = 1
    added = (v**2 - 1) / (2 * v) - log(v) + (mu_q - mu_p) ** 2 / (2 * sigma_q**2) * (v - 1)
    return (
        kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", kl_normal(mu_p, sigma_p, mu_q, sigma_q) + added,
    )  # fmt: skip


@card_16.tied("minivae.divergences.kl_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    return kl_diagonal(mu_q, 2 * log(sigma_q), mu_p, 2 * log(sigma_p))


# Both directions of the divergence, and the conditions for finite values

P_ZEROS = pmf("p", "p(z)", zeros=True, simple=((0.5, 0.5, 0), (0.5, 0.3, 0.2), (0, 0.5, 0.5)))
Q_ZEROS = pmf("q", "q(z)", zeros=True, simple=((0.25, 0.25, 0.5), (0.9, 0.1, 0), (0.6, 0.4, 0)))
P_FULL = pmf("p", "p(z)", simple=((0.5, 0.3, 0.2), (0.25, 0.5, 0.25)))
Q_FULL = pmf("q", "q(z)", simple=((0.25, 0.25, 0.5), (0.2, 0.3, 0.5)))


def in_three_ways(a, b):
    """Return the card's statement KL(a || b) = sum = expectation. The function `kl` computes KL(a || b) without `log`."""
    return kl(a, b), "=", total(times(a, log(ratio(a, b)))), "=", mean(a, log(a) - log(b))


def formula(a, b):
    """Return the card's formula in LaTeX: D(a|b) = sum = expectation."""
    logs = rf"\log\frac{{{a}(z)}}{{{b}(z)}}"
    return rf"D_\text{{KL}}({a} | {b}) = \sum_z {a}(z) {logs} = \mathbb{{E}}_{{{a}(z)}}{{\big[{logs}\big]}}"


@equation(
    "cards.17", "l.42", formula("p", "q"), (P_ZEROS, Q_FULL),
    says="The forward divergence is an expectation under p. (For a continuous z the sum is an integral.)",
)  # fmt: skip
def card_17(p, q):
    return in_three_ways(p, q)


@equation(
    "cards.18", "l.42",
    r"e^{-D_\text{KL}(p | q)} = e^{-\sum_z p(z) \log(p(z) / q(z))} = \left["
    r"\prod_z (q(z) / p(z))^{p(z)} \text{ if } q(z) > 0 \text{ wherever } p(z) > 0,\; \text{else }0\right]",
    (P_ZEROS, Q_ZEROS),
    kind="claim",
    claim="The card says that q(z) > 0 is needed wherever p(z) > 0 (l.42).",
    says="If q(z) = 0 and p(z) > 0 for some z, the forward divergence D is infinite, and exp(-D) is 0.",
)  # fmt: skip
def card_18(p, q):
    covered = np.all((q > 0) | (p == 0), axis=-1, keepdims=True)
    return (
        np.exp(-kl(p, q)),
        "=", np.exp(-total(times(p, log(ratio(p, q))))),
        "=", np.where(covered, np.prod(ratio(q, p) ** p, axis=-1, keepdims=True), 0),
    )  # fmt: skip


# Fits of a Gaussian to a mixture p, which has modes at -a and a. The values of `a` are multiples of 0.1.


def far_apart(raw):
    """Return values of `a` from 2.9 to 3.9. For these values, the q with the smallest KL(q || p) covers one mode."""
    return 3.4 + np.clip(np.round(3 * raw), -5, 5) / 10


APART = Symbol("a", "a", "> 0: p has modes at -a and a", 1, far_apart, (3.5, 3, 2.9))
MU, SIGMA = real("mu", r"\mu", 2, (3, 0, -1)), positive("sigma", r"\sigma", 0.5, (1, 2, 3))


@equation(
    "cards.19", "l.42",
    r"D_\text{KL}(p | q) = \left[D_\text{KL}(p | Q) + D_\text{KL}(Q | q)\right] \geq D_\text{KL}(p | Q)",
    (APART, MU, SIGMA, chosen("way", r"\mathrm{way}", 1, "1: Q is fitted by D(p|q); 0: by D(q|p)")),
    kind="claim",
    claim='The card calls the optimised distribution Q "zero-avoiding" (l.42).',
    says="The Gaussian with the smallest forward divergence has the mean and variance of p, so it covers both modes "
    "(see cards.23).",
    needs="Q is the Gaussian with the smallest forward divergence",
    outside={"a": 3, "mu": 3, "sigma": 1, "way": 0},
    tight={"a": 3, "mu": 0, "sigma": math.sqrt(10), "way": 1},
)  # fmt: skip
def card_19(a, mu, sigma, way):
    Q = fit_forward(a) if (way == 1).all() else best_reverse(a)
    least = kl_forward(a, *Q)
    return kl_forward(a, mu, sigma), "=", least + kl_normal(*Q, mu, sigma), ">=", least


@equation(
    "cards.20", "l.42", formula("q", "p"), (Q_ZEROS, P_FULL),
    says="The reverse divergence is an expectation under q. (For a continuous z the sum is an integral.)",
)  # fmt: skip
def card_20(q, p):
    return in_three_ways(q, p)


def with_one_hole(raw):
    """Return probabilities (n, 5). In each draw, 0 replaces the smallest probability."""
    filled = weights(raw, False)
    p = np.where(filled == filled.min(axis=-1, keepdims=True), 0, filled)
    return p / total(p)


HOLED = Symbol("p", "p(z)", ">= 0, exactly one 0, summing to 1", 5, with_one_hole, ((1, 0), (0, 1)))
ANY_Q = pmf("q", "q(z)", simple=((0.9, 0.1), (0.5, 0.5), (0.25, 0.75)))
EPSILON = Symbol(
    "epsilon", r"\epsilon", "> 0, a power of ten", 1, lambda raw: 10.0 ** -np.ceil(40 * np.abs(raw)),
    (1e-2, 1e-8, 1e-32, 1e-128),
)  # fmt: skip


@equation(
    "cards.21", "l.42",
    r"D_\text{KL}(q | p) > D_\text{KL}(q | p_\epsilon) = \left[q(z_0)\log\frac{q(z_0)}{\epsilon}"
    r" + \sum_{z \ne z_0} q(z)\log\frac{q(z)}{(1 - \epsilon)p(z)}\right]", (ANY_Q, HOLED, EPSILON),
    kind="claim",
    claim='The card says that the reverse divergence "blows up" where p(z) = 0 and q(z) > 0 (l.42).',
    says="If p(z_0) = 0, D(q | p) is infinite. If p(z_0) = epsilon, D(q | p) grows like q(z_0) log(1/epsilon) as epsilon "
    "goes to 0.",
)  # fmt: skip
def card_21(q, p, epsilon):
    hole = p == 0
    p_epsilon = np.where(hole, epsilon, (1 - epsilon) * p)
    powers = np.prod((p_epsilon / q) ** q, axis=-1, keepdims=True)              # exp(-KL), as a product
    q_0 = total(np.where(hole, q, 0))
    others = total(np.where(hole, 0, q * log(q / np.where(hole, 1, (1 - epsilon) * p))))
    return (
        total(times(q, log(ratio(q, p)))),
        ">", -log(powers),
        "=", q_0 * log(q_0 / epsilon) + others,
    )  # fmt: skip


@equation(
    "cards.22", "l.42", r"Q'(z < 0) < \frac{1}{10} < Q(z < 0) = p(z < 0)", (APART,),
    kind="claim",
    claim='The card says that the reverse divergence "has the opposite behaviour" (l.42).',
    says="Q' is the Gaussian with the smallest reverse divergence. Q' covers only one mode, here the mode at z > 0. Q is "
    "the Gaussian with the smallest forward divergence. Q and p have the same mass below 0.",
    needs="the modes are far apart: a is between 2.9 and 3.9 (for a = 2.5, Q' covers both modes)",
    outside=({"a": 0.8}, {"a": 2.5}),
)  # fmt: skip
def card_22(a):
    return (
        mass(*best_reverse(a), -np.inf, 0),
        "<", 1 / 10,
        "<", mass(*fit_forward(a), -np.inf, 0),
        "=", mixture_mass(a, -np.inf, 0),
    )  # fmt: skip


def in_the_valley(log_density):
    """Return the integral of a density from -1 to 1."""
    nodes, node_weights = LEGENDRE
    return total(node_weights * np.exp(log_density(nodes)))


@equation(
    "cards.23", "l.42 forward-KL.png",
    r"p(|z| < 1) < Q'(|z| < 1) < \frac{1}{5} < Q(|z| < 1) = \mathrm{erf}(1/\sqrt{2 \cdot 10})",
    kind="figure", verdict="figure",
    says="p has modes at -3 and 3. Q, the Gaussian with the smallest forward divergence, is N(0, 10). A quarter of the mass "
    "of Q is between -1 and 1, where p and the Gaussian Q' of cards.24 have almost no mass.",
)  # fmt: skip
def card_23():
    Q, one_mode = fit_forward(3), fit_reverse(3, 3)
    return (
        in_the_valley(lambda z: log_mixture(z, 3)),
        "<", in_the_valley(lambda z: log_gaussian(z, *one_mode)),
        "<", 1 / 5,
        "<", in_the_valley(lambda z: log_gaussian(z, *Q)),
        "=", math.erf(1 / math.sqrt(2 * 10)),
    )  # fmt: skip


@equation(
    "cards.24", "l.42 reverse-KL.png",
    r"D_\text{KL}(Q | p) > \log 2 > \min_\mathrm{grid} D_\text{KL}(q | p)"
    r" > D_\text{KL}(Q'_{-} | p) = D_\text{KL}(Q'_{+} | p)",
    kind="figure", verdict="figure",
    says="p has modes at -3 and 3. Q'+ and Q'- are the Gaussians with the smallest reverse divergence, slightly below "
    "log 2. Q'+ covers the mode at 3, and Q'- covers the mode at -3. The Gaussian Q of cards.23 covers both modes; the "
    "reverse divergence of Q is larger.",
)  # fmt: skip
def card_24():
    mu, sigma = np.arange(-4, 5)[:, None], np.arange(5, 36) / 10
    return (
        kl_reverse(3, *fit_forward(3)),
        ">", log(2),
        ">", kl_reverse(3, mu, sigma).min(),
        ">", kl_reverse(3, *fit_reverse(3, -3)),
        "=", kl_reverse(3, *fit_reverse(3, 3)),
    )  # fmt: skip
