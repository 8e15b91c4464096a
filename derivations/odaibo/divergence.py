"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "Kullback-Leibler Divergence", equations (6) to (16).

x has finitely many values, so integrals over x are exact sums. `kl` computes logarithms by quadrature, so it is an
independent check of formulas with log. `Zero(1, side)` marks a side that can be near 0, such as the divergence of two
distributions that are almost equal. If the magnitude of a marked side is below 1, its absolute error is checked.
"""

import math

import numpy as np

from derivations.engine.domains import pmf, positive
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl, kl_of_weights, log, mean, minus_log, need_above_zero, ratio, times, total
from derivations.engine.worlds import chance, chosen

# Q can have zeros; P and Q_FULL are positive. Entries with both directions of the divergence need a positive q.

Q = pmf("q", "q(x)", zeros=True, simple=((0.5, 0.5), (0.2, 0.8), (1, 0), (0.9, 0.1)))
P = pmf("p", "p(x)", simple=((0.9, 0.1), (0.5, 0.5), (0.25, 0.75)))
Q_FULL = pmf("q", "q(x)", simple=((0.5, 0.5), (0.2, 0.8), (0.75, 0.25)))
NOT_COVERED = {"q": (0.5, 0.5), "p": (1, 0)}
NOT_NORMALISED = {"q": (0.5, 0.5), "p": (1, 1)}
EQUAL = {"q": (0.5, 0.5), "p": (0.5, 0.5)}


@equation(
    "odaibo.t9", "l.47", r"D_{KL}(p\,\Vert\,p) > D_{KL}(q\,\Vert\,p)", (Q_FULL, P),
    kind="claim", verdict="loose",
    claim='The text calls the divergence a "similarity measure" (l.47).',
    says="Read literally, the text says: the divergence is largest for two equal distributions.",
    fault='"Similarity measure" is everyday usage. The divergence measures dissimilarity: it is 0 for equal distributions '
    "and larger for others.",
)  # fmt: skip
def t_9(q, p):
    return kl(p, p), ">", kl(q, p)


UNLIKE = (Q_FULL, pmf("p", "p(x)", simple=((0.9, 0.1), (0.6, 0.4), (0.25, 0.75))))       # q and p are never equal


@t_9.precise(r"\{q \neq p\}:\; D_{KL}(p\,\Vert\,p) = 0 < D_{KL}(q\,\Vert\,p)", inputs=UNLIKE)
def _(q, p):
    return kl(p, p), "=", Zero(1), "<", kl(q, p)


@equation(
    "odaibo.t26", "l.47, l.64", r"D_{KL}(q\,\Vert\,p) = E_{\sim aq + (1 - a)p}[I_p - I_q]",
    (Q, P, chosen("a", "a", 1, "1: the average is over q alone")),
    kind="claim",
    claim='The text says that the divergence is "the expectation of the information difference" (l.47, l.64).',
    says="The divergence of q from p is the mean of the information difference (8) under q.",
    needs="the mean is taken under q, the first argument (a = 1)",
    outside={"q": (0.5, 0.5), "p": (0.9, 0.1), "a": 0},
)  # fmt: skip
def t_26(q, p, a):
    return Zero(1, kl(q, p)), "=", mean(a * q + (1 - a) * p, -log(p) + log(q))


@equation(
    "odaibo.t7", "l.49", r"\{r = p + s (1 - p)\}:\; -\log p > -\log r",
    (chance("p", "p", top=99), chance("s", "s", (1, 0.5, 0.1))),
    kind="claim",
    claim="The text says that the information content of an event is lower if its probability is higher (l.49).",
    says="-log p falls as p rises.",
)  # fmt: skip
def t_7(p, s):
    r = p + s * (1 - p)                                     # p < r <= 1
    return -log(p), ">", -log(r)


@equation(
    "odaibo.t8", "l.49", r"-\log(p\,r) = -\log p - \log r", (chance("p", "p"), chance("r", "r")),
    kind="claim",
    claim="The text says that information is inversely related to probability, so that -log p models information (l.49).",
    says="-log p falls as p rises, and it is additive: the information of two independent events together is the sum of "
    "the information of each. 1/p and 1 - p also fall, but they are not additive.",
)  # fmt: skip
def t_8(p, r):
    return minus_log(p * r), "=", -log(p) - log(r)


@equation(
    "odaibo.6", "l.52 (6)", r"I_p(x) = -\log p(x)", (chance("p", "p(x)"),),
    says="An event that is rarer under p has a larger information content.",
)  # fmt: skip
def eq_6(p):
    p = need_above_zero("p(x)", p)
    return minus_log(p), "=", -log(p)


@equation(
    "odaibo.7", "l.56 (7)", r"I_q(x) = -\log q(x)", (chance("q", "q(x)", (0.5, 0.2, 0.8)),),
    says="I_q(x) is the information content of the event x under q.",
)  # fmt: skip
def eq_7(q):
    q = need_above_zero("q(x)", q)
    return minus_log(q), "=", -log(q)


@equation(
    "odaibo.8", "l.61 (8)",
    r"\Delta I = I_p - I_q = -\log p(x) + \log q(x) = \log\left(\frac{q(x)}{p(x)}\right)",
    (chance("q", "q(x)"), chance("p", "p(x)", (0.9, 0.25, 0.5))),
    says="Delta I is the difference between the information contents of the event x under p and under q.",
)  # fmt: skip
def eq_8(q, p):
    q, p = need_above_zero("q(x)", q), need_above_zero("p(x)", p)
    return minus_log(p / q), "=", minus_log(p) - minus_log(q), "=", -log(p) + log(q), "=", log(q / p)


@equation(
    "odaibo.9", "l.66 (9)",
    r"D_{KL}(q(x)\Vert p(x)) := E_{\sim q}[\Delta I] = \int (\Delta I)\,q(x)\,dx = "
    r"\int q(x)\log\left(\frac{q(x)}{p(x)}\right)dx", (Q, P),
    says="The Kullback-Leibler divergence is the mean of the information difference (8) under q. 0 log 0 counts as 0.",
)  # fmt: skip
def eq_9(q, p):
    delta_I = -log(p) + log(q)                              # (8)
    return (
        kl(q, p),
        ":=", mean(q, delta_I),
        "=", total(times(q, delta_I)),
        "=", total(times(q, log(ratio(q, p)))),
    )  # fmt: skip


@equation(
    "odaibo.10", "l.70 (10)",
    r"D_{KL}(p(x)\Vert q(x)) := E_{\sim p}[\Delta I] = \int (\Delta I)\,p(x)\,dx = "
    r"\int p(x)\log\left(\frac{p(x)}{q(x)}\right)dx", (Q_FULL, P), verdict="slip",
    says="KL(p || q) is a mean under p.",
    fault="(8) defines the information difference Delta I as log(q/p). But KL(p || q) is the mean of log(p/q) under p, so "
    'Delta I needs a minus sign here. The word "Similarly" makes the intention evident.',
)  # fmt: skip
def eq_10(q, p):
    delta_I = -log(p) + log(q)                              # (8)
    return (
        kl(p, q),
        ":=", mean(p, delta_I),
        "=", total(times(p, delta_I)),
        "=", total(times(p, log(ratio(p, q)))),
    )  # fmt: skip


@eq_10.intended(
    r"D_{KL}(p(x)\Vert q(x)) := E_{\sim p}[-\Delta I] = \int (-\Delta I)\,p(x)\,dx = "
    r"\int p(x)\log\left(\frac{p(x)}{q(x)}\right)dx"
)
def _(q, p):
    delta_I = -log(p) + log(q)
    return (
        kl(p, q),
        ":=", mean(p, -delta_I),
        "=", total(times(p, -delta_I)),
        "=", total(times(p, log(ratio(p, q)))),
    )  # fmt: skip


@equation(
    "odaibo.11", "l.74 (11)", r"D_{KL}(q(x)\Vert p(x)) \neq D_{KL}(p(x)\Vert q(x))",
    (pmf("q", "q(x)", simple=((0.2, 0.8), (0.5, 0.5))), pmf("p", "p(x)", simple=((0.8, 0.2), (0.5, 0.5)))),
    verdict="loose",
    says="As printed, the divergences in the two directions always differ.",
    fault='"Not symmetric" means that the two divergences differ for some q and p. They can also be equal, for example '
    "if q = p. The difference of the two divergences is the integral of (q + p) log(q/p).",
)  # fmt: skip
def eq_11(q, p):
    return kl(q, p), "!=", kl(p, q)


@eq_11.precise(
    r"D_{KL}(q(x)\Vert p(x)) = D_{KL}(p(x)\Vert q(x)) + "
    r"\int (q(x) + p(x))\log\left(\frac{q(x)}{p(x)}\right)dx"
)
def _(q, p):
    return kl(q, p), "=", kl(p, q) + total((q + p) * log(ratio(q, p)))


@equation(
    "odaibo.t10", "l.77",
    r"D_{KL}(q\,\Vert\,p) + D_{KL}(p\,\Vert\,q) = E_{\sim q}[\Delta I] + E_{\sim p}[\Delta I]",
    (Q_FULL, P), kind="claim", verdict="slip", group="odaibo.10",
    claim="The text says that both divergences are expectations of the information difference, under q and under p (l.77).",
    says="Read literally, the text says: the two divergences add up to the mean of the information difference under q plus "
    "its mean under p.",
    fault="A minus sign is missing, as in (10): by (8), the information difference is log(q/p), but KL(p || q) is the mean "
    "of log(p/q) under p.",
)  # fmt: skip
def t_10(q, p):
    delta_I = -log(p) + log(q)                              # (8)
    return kl(q, p) + kl(p, q), "=", mean(q, delta_I) + mean(p, delta_I)


@t_10.intended(
    r"D_{KL}(q\,\Vert\,p) + D_{KL}(p\,\Vert\,q) = "
    r"E_{\sim q}[\Delta I] + E_{\sim p}[-\Delta I] = \int (q - p)\,\Delta I\,dx"
)
def _(q, p):
    delta_I = -log(p) + log(q)
    return kl(q, p) + kl(p, q), "=", mean(q, delta_I) + mean(p, -delta_I), "=", total((q - p) * delta_I)


TWO_Q = pmf("q", "q(x)", 2, simple=((0.2, 0.8), (0.3, 0.7)))
TWO_P = pmf("p", "p(x)", 2, simple=((0.5, 0.5), (0.9, 0.1)))


@equation(
    "odaibo.t11", "l.79", r"D_{KL}(p\,\Vert\,q) \neq D_{KL}(q\,\Vert\,p)", (TWO_Q, TWO_P),
    kind="claim",
    claim='The text says that the KL is not a "metric" because a metric is symmetric (l.79).',
    says="Let x have two outcomes, with the probabilities p = (a, b). KL(q || p) and KL(p || q) differ, except if q is "
    "(a, b) or (b, a).",
    needs="two outcomes; q is neither p = (a, b) nor (b, a) (with more outcomes, the two divergences can be equal for other "
    "q, too)",
    outside=({"q": (0.2, 0.8), "p": (0.8, 0.2)}, EQUAL),
)  # fmt: skip
def t_11(q, p):
    return kl(p, q), "!=", total(times(q, log(ratio(q, p))))


# Symmetrised divergences. The distributions a, b and c can have zeros.

PAIRS = ((0.5, 0.5), (0.2, 0.8), (1, 0), (0, 1))
THREE = tuple(pmf(name, f"{name}(x)", zeros=True, simple=PAIRS) for name in "abc")


def jensen_shannon(q, p):
    """Return JS(q, p) = D(q || m) / 2 + D(p || m) / 2, with m = (q + p) / 2. JS is always finite."""
    m = (q + p) / 2
    return (kl(q, m) + kl(p, m)) / 2


@equation(
    "odaibo.t12", "l.79",
    r"\sqrt{JS(a, c)} = \sqrt{JS(c, a)} \leq (\sqrt{JS(a, b)} + \sqrt{JS(b, c)},\; \sqrt{\log 2})", THREE,
    kind="claim", verdict="prose",
    claim="The text cites three papers for symmetrised forms of the divergence that improve generated data (l.79).",
    says="The square root of the Jensen-Shannon divergence is symmetric and bounded, and it obeys the triangle inequality.",
    tight={"a": (1, 0), "b": (0, 1), "c": (0, 1)},
)  # fmt: skip
def t_12(a, b, c):
    m = (c + a) / 2
    backwards = mean(c, log(ratio(c, m))) / 2 + mean(a, log(ratio(a, m))) / 2
    by_b = np.sqrt(jensen_shannon(a, b)) + np.sqrt(jensen_shannon(b, c))
    at_most = np.concatenate([by_b, np.full_like(by_b, math.sqrt(math.log(2)))], axis=-1)   # (n, 2)
    return np.sqrt(jensen_shannon(a, c)), "=", np.sqrt(backwards), "<=", at_most


@equation(
    "odaibo.12", "l.83 (12)",
    r"D_{KL}(q(x)\Vert p(x)) = -\int q(x)\log\left(\frac{p(x)}{q(x)}\right)dx \geq 0", (Q, P),
    says="The divergence is never negative, and it is 0 if q = p.",
    needs="q and p each sum to 1", outside=NOT_NORMALISED, tight=EQUAL,
)  # fmt: skip
def eq_12(q, p):
    return Zero(1, kl_of_weights(q, p)), "=", -mean(q, log(ratio(p, q))), ">=", Zero(1)


@equation(
    "odaibo.13", "l.88 (13), Fig. 1", r"\log t \leq t - 1",
    (positive("t", "t", 2, (1, 1.5, 0.9, 2)), chosen("base", r"\mathrm{base}", math.e, "e: the natural logarithm")),
    says="The natural logarithm of t is at most t - 1, the tangent of the logarithm at t = 1.",
    needs="log is the natural logarithm",
    outside=({"t": 1.5, "base": 2}, {"t": 0.9, "base": 10}),
    tight={"t": 1, "base": math.e},
)  # fmt: skip
def eq_13(t, base):
    return log(need_above_zero("t", t)) / log(base), "<=", t - 1


@equation(
    "odaibo.F1", "l.114 Figure 1", r"\ln t - t < \ln 1 - 1 = -1 < \log_2 1.5 - 1.5",
    kind="figure", verdict="figure",
    says="ln t is below t - 1, except at t = 1, where both are 0. log2 t can be above t - 1: log2 1.5 > 0.5.",
)  # fmt: skip
def figure_1():
    t = np.linspace(0, 4, 401)[1:]
    t = t[t != 1]                                           # the values of t in the figure, without t = 1
    return -minus_log(t) - t, "<", log(1) - 1, "=", -1, "<", np.log2(1.5) - 1.5


@equation(
    "odaibo.14", "l.92-100 (14)",
    r"-D_{KL}(q(x)\Vert p(x)) = \int q(x)\log\left(\frac{p(x)}{q(x)}\right)dx \leq "
    r"\int q(x)\left(\frac{p(x)}{q(x)} - 1\right)dx = \int q(x)\frac{p(x)}{q(x)}dx - \int q(x)\,dx = "
    r"\int p(x)\,dx - \int q(x)\,dx = 1 - 1", (Q_FULL, P), rows="abcde",
    verdict=dict.fromkeys("abc", "holds"),
    says={
        "a": "This is minus the divergence, written out.",
        "b": "This is (13) with t = p(x) / q(x), for every x.",
        "c": "The integral of a difference is the difference of the integrals.",
        "d": "In the first integral, q cancels. (Where q(x) = 0 and p(x) > 0, cancelling q makes the integral larger. "
        "This does not harm the proof, which needs only <= here.)",
        "e": "Both integrals are 1, so the chain ends at 0.",
    },
    needs="q > 0 wherever p > 0 (step d); q and p each sum to 1 (step e)",
    outside=({"q": (0.6, 0.4, 0), "p": (0.5, 0.3, 0.2)}, NOT_NORMALISED), tight=EQUAL,
)  # fmt: skip
def eq_14(q, p):
    # Every side can be near 0, so absolute errors are checked.
    return (
        Zero(1, -kl_of_weights(q, p)),
        "=", total(times(q, log(ratio(p, q)))),
        "<=", Zero(1, total(times(q, ratio(p, q) - 1))),
        "=", Zero(1, total(times(q, ratio(p, q))) - total(q)),
        "=", Zero(1, total(p) - total(q)),
        "=", Zero(1),                                       # printed: 1 - 1 = 0
    )  # fmt: skip


@equation(
    "odaibo.15", "l.105 (15)", r"-D_{KL}(q(x)\Vert p(x)) \leq 0", (Q, P),
    says="This is the result of the chain (14).",
    needs="p and q each sum to 1", outside=NOT_NORMALISED, tight=EQUAL,
)  # fmt: skip
def eq_15(q, p):
    return -mean(q, log(ratio(q, p))), "<=", Zero(1)


@equation(
    "odaibo.16", "l.109 (16)", r"D_{KL}(q(x)\Vert p(x)) \geq 0", (Q, P),
    says="Gibbs' inequality: a divergence is never negative.",
    needs="p and q each sum to 1", outside=NOT_NORMALISED, tight=EQUAL,
)  # fmt: skip
def eq_16(q, p):
    return mean(q, log(ratio(q, p))), ">=", Zero(1)
