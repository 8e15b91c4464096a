"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "Abstract" and "Bayes Theorem", equations (1) to (5)."""

from dataclasses import replace

import numpy as np

from derivations.engine.domains import positive
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, kl_normal, log, normal, total
from derivations.engine.worlds import (
    ENCODED,
    EVENTS,
    LINEAR,
    PAIR,
    TABLE,
    conditioned,
    evidence,
    given,
    likelihood,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
    probability,
)
from minivae.gaussian import kl_diagonal

# A curved decoder. The mean of p(x|z) is tanh(c w z) / c, which tends to w z as c goes to 0.

WEIGHT, NOISE, CURVE = positive("w", "w", 0.3), positive("s", "s", 0.3), positive("c", "c", 0.3)

# Events of probability 0. A conditional probability given such an event has no value.

FOUR = (0.5, 0.5, 0, 0)
NO_Y = {"atoms": FOUR, "X": (1, 0, 0, 0), "Y": (0, 0, 1, 1)}
NO_X = {"atoms": FOUR, "X": (0, 0, 1, 1), "Y": (1, 0, 0, 0)}
NO_VALUE = "p(Y|X) has no value where p(X) = 0, and p(X|Y) has no value where p(Y) = 0"

# Two tables p(x, z): the first has p(x_1) = 0, and the second has p(z_2) = 0.

IMPOSSIBLE = {"p_xz": [[0, 0], [0.5, 0.5]]}, {"p_xz": [[0.5, 0], [0.5, 0]]}

# Tables p(x, z) for Table 1 of the source. In the first table, both values of z are equally likely, and p(x|z) has the
# rows (0.9, 0.8) and (0.1, 0.2).

GLOSSARY = replace(TABLE, simple=([[0.45, 0.4], [0.05, 0.1]], *TABLE.simple))


@equation(
    "odaibo.t1", "l.10 abstract", r"\{x = \tanh(c w z) / c + s \epsilon\}:\; E[x^4] < 3\,\mathrm{Var}[x]^2",
    (WEIGHT, NOISE, CURVE),
    kind="claim",
    claim='The abstract says that the posterior is "typically computationally intractable" (l.10).',
    says="A linear decoder gives a Gaussian p(x), which has a formula. With the decoder tanh(c w z)/c, p(x) is not "
    "Gaussian: the fourth moment of x is smaller than that of a Gaussian with the same variance.",
    needs="the decoder is curved (c > 0); with a linear decoder, p(x) and p(z|x) are Gaussian",
    outside={"w": 1, "s": 1, "c": 0},
)  # fmt: skip
def t_1(w, s, c):
    def decoder(z):
        return np.where(c == 0, w * z, np.tanh(c * w * z) / np.where(c == 0, 1, c))

    second, fourth = (expect(lambda z: decoder(z) ** power, 0, 1) for power in (2, 4))
    return fourth + 6 * s**2 * second + 3 * s**4, "<", 3 * (second + s**2) ** 2


@equation(
    "odaibo.t2", "l.10 abstract",
    r"L(w, q) \leq L(w, q^*) = \log p_w(x) \leq L(w^*, q^*) \leq \log p_{w^*}(x)", (*LINEAR, *ENCODED),
    kind="claim",
    claim="The abstract says that training maximises a lower bound on the log likelihood of the data (l.10).",
    says="Choose the best encoder q for the decoder w. Then choose the best decoder for this q. Neither choice lowers the "
    "bound, and the bound never exceeds log p(x).",
    tight={"w": np.sqrt(3), "s": 1, "x": 2, "mu_q": np.sqrt(3) / 2, "sigma_q": 0.5},
)  # fmt: skip
def t_2(w, s, x, mu_q, sigma_q):
    best_mu, best_sigma = linear_posterior(w, s, x)         # the best encoder for this decoder
    best_w = x * best_mu / (best_mu**2 + best_sigma**2)     # the best decoder for that encoder
    return (
        linear_elbo(w, s, x, mu_q, sigma_q),
        "<=", linear_elbo(w, s, x, best_mu, best_sigma),
        "=", linear_log_evidence(w, s, x),
        "<=", linear_elbo(best_w, s, x, best_mu, best_sigma),
        "<=", linear_log_evidence(best_w, s, x),
    )  # fmt: skip


@equation(
    "odaibo.t3", "l.10 abstract",
    r"D_{KL}(N(\mu_q, \sigma_q^2)\,\Vert\,N(\mu_p, \sigma_p^2)) = "
    r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2} - \frac{1}{2}", PAIR,
    kind="claim",
    claim='The abstract says that the KL term "has a closed form solution" for two Gaussians (l.10).',
    says="The KL of two Gaussians has a formula without an integral.",
)  # fmt: skip
def t_3(mu_q, sigma_q, mu_p, sigma_p):
    return (
        kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - 1 / 2,
    )  # fmt: skip


@t_3.tied("minivae.divergences.kl_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    return kl_diagonal(mu_q, 2 * np.log(sigma_q), mu_p, 2 * np.log(sigma_p))


@equation(
    "odaibo.t4", "l.18, l.36-39", r"p(x),\; p(z),\; p(x|z),\; p(z|x) \leq 1", (TABLE,),
    kind="claim", claim="The text and Table 1 call p(x), p(z), p(x|z) and p(z|x) probabilities (l.18, l.36-39).",
    says="A probability is at most 1.",
    needs="x and z are discrete (a density can exceed 1), p(x) > 0 and p(z) > 0",
    outside=({"p_xz": [[normal(0, 0, 0.1)]]}, *IMPOSSIBLE), tight={"p_xz": [[1]]},
)  # fmt: skip
def t_4(p_xz):
    four = np.broadcast_arrays(evidence(p_xz), prior(p_xz), likelihood(p_xz), posterior(p_xz))
    return np.stack(four, axis=1), "<=", 1


@equation(
    "odaibo.1", "l.16 (1)", r"p(z|x) = \frac{p(x|z)\,p(z)}{p(x)}", (TABLE,),
    says="Bayes' theorem: the posterior is the likelihood times the prior, divided by the evidence.",
    needs="p(x) > 0 and p(z) > 0", outside=IMPOSSIBLE,
    undefined="p(z|x) has no value where p(x) = 0, and p(x|z) has no value where p(z) = 0",
)  # fmt: skip
def eq_1(p_xz):
    row_renormalised = posterior(p_xz)
    p_x = total(likelihood(p_xz) * prior(p_xz))
    return row_renormalised, "=", likelihood(p_xz) * prior(p_xz) / p_x


@equation(
    "odaibo.t5", "l.18", r"p(X|Y) := \frac{p(X \cap Y)}{p(Y)}", EVENTS, kind="claim", verdict="defines",
    claim='The text derives Bayes\' theorem from the "conditional probability axiom" (l.18).',
    says="This defines a conditional probability: keep only the outcomes in Y, and divide their probabilities by p(Y).",
)  # fmt: skip
def t_5(atoms, X, Y):
    return (
        probability(conditioned(atoms, Y), X),
        ":=", given(probability(atoms, X * Y), probability(atoms, Y), "p(Y)"),
    )  # fmt: skip


@equation(
    "odaibo.t6", "l.18", r"p(X \cap X) = p(X|Y)\,p(Y)", EVENTS, kind="claim", verdict="slip",
    claim='The sentence before (2) speaks of "an event X and an event X" that occur jointly (l.18).',
    says="The text means two events, X and Y: the probability that both occur is p(X|Y) p(Y).",
    fault="The second X should be Y, as in (2). The joint probability of X and X is p(X).",
)  # fmt: skip
def t_6(atoms, X, Y):
    return probability(atoms, X * X), "=", probability(conditioned(atoms, Y), X) * probability(atoms, Y)


@t_6.intended(r"p(X \cap Y) = p(X|Y)\,p(Y)")
def _(atoms, X, Y):
    return probability(atoms, X * Y), "=", probability(conditioned(atoms, Y), X) * probability(atoms, Y)


@equation(
    "odaibo.2", "l.20 (2)", r"p(X \cap Y) = p(X|Y)\,p(Y)", EVENTS,
    says="The probability of X and Y is the probability of Y times the probability of X given Y.",
    needs="p(Y) > 0", outside=NO_Y, undefined="p(X|Y) has no value where p(Y) = 0",
)  # fmt: skip
def eq_2(atoms, X, Y):
    return probability(atoms, X * Y), "=", probability(conditioned(atoms, Y), X) * probability(atoms, Y)


@equation(
    "odaibo.3", "l.24 (3)", r"p(X \cap Y) = p(Y \cap X) = p(Y|X)\,p(X)", EVENTS,
    says="The joint probability does not depend on the order of the two events.",
    needs="p(X) > 0", outside=NO_X, undefined="p(Y|X) has no value where p(X) = 0",
)  # fmt: skip
def eq_3(atoms, X, Y):
    return (
        probability(atoms, X * Y),
        "=", probability(atoms, Y * X),
        "=", probability(conditioned(atoms, X), Y) * probability(atoms, X),
    )  # fmt: skip


@equation(
    "odaibo.4", "l.26 (4)", r"p(X|Y)\,p(Y) = p(Y|X)\,p(X)", EVENTS,
    says="(2) and (3) have the same left side, so their right sides are equal.",
    needs="p(X) > 0 and p(Y) > 0", outside=(NO_X, NO_Y), undefined=NO_VALUE,
)  # fmt: skip
def eq_4(atoms, X, Y):
    return (
        probability(conditioned(atoms, Y), X) * probability(atoms, Y),
        "=", probability(conditioned(atoms, X), Y) * probability(atoms, X),
    )  # fmt: skip


@equation(
    "odaibo.5", "l.43 (5)", r"p(X|Y) = \frac{p(Y|X)\,p(X)}{p(Y)}", EVENTS,
    says="Bayes' theorem for events: divide (4) by p(Y).",
    needs="p(X) > 0 and p(Y) > 0", outside=(NO_X, NO_Y), undefined=NO_VALUE,
)  # fmt: skip
def eq_5(atoms, X, Y):
    numerator = probability(conditioned(atoms, X), Y) * probability(atoms, X)
    return probability(conditioned(atoms, Y), X), "=", given(numerator, probability(atoms, Y), "p(Y)")


@equation(
    "odaibo.T1", "l.31-39 Table 1", r"\sum_z p(x|z) = 1", (GLOSSARY,), kind="table", verdict="loose",
    claim='Table 1 calls p(x|z) the "Likelihood probability" (l.31-39).',
    says="Read literally, the text says: p(x|z), as a function of z, is a probability distribution.",
    fault="As a function of z, p(x|z) is not a probability distribution: it need not sum to 1. As a function of x it is "
    "a distribution. (Our copy of the table has lost the bars of p(z|x) and p(x|z).)",
)  # fmt: skip
def table_1(p_xz):
    return total(likelihood(p_xz)), "=", 1


@table_1.precise(r"\sum_x p(x|z) = 1 = \sum_z p(z|x)")
def _(p_xz):
    return np.sum(likelihood(p_xz), axis=-2, keepdims=True), "=", 1, "=", total(posterior(p_xz))
