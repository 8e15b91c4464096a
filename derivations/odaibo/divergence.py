"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": Kullback-Leibler Divergence, (6) to (16).

Integrals over x are exact sums over tables. `kl` is the divergence without one call of log: the second route
for what is written with log.
"""

import math

import numpy as np

from derivations.engine.domains import Symbol, pmf, positive, weights
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl, log, mean, minus_log, need_above_zero, need_covered, ratio, times, total
from derivations.engine.worlds import chance, chosen

# q may be zero where p is not: q << p. Where both directions are asked for, neither is zero anywhere.

Q = pmf("q", "q(x)", zeros=True, simple=((0.5, 0.5), (0.2, 0.8), (1, 0), (0.9, 0.1)))
P = pmf("p", "p(x)", simple=((0.9, 0.1), (0.5, 0.5), (0.25, 0.75)))
Q_FULL = pmf("q", "q(x)", simple=((0.5, 0.5), (0.2, 0.8), (0.75, 0.25)))
NOT_COVERED = {"q": (0.5, 0.5), "p": (1, 0)}
NOT_NORMALISED = {"q": (0.5, 0.5), "p": (1, 1)}
EQUAL = {"q": (0.5, 0.5), "p": (0.5, 0.5)}


@equation(
    "odaibo.t9", "l.47", r"D_{KL}(p\,\Vert\,p) > D_{KL}(q\,\Vert\,p)", (Q_FULL, P),
    kind="claim", verdict="slip",
    says='"A measure of similarity between both distributions": the largest for p and p itself.',
    fault="It measures how different they are: nil for p and p, and growing all the way from p to q.",
)  # fmt: skip
def t_9(q, p):
    return kl(p, p), ">", kl(q, p)


# Of two distributions that differ; m_t = (1 - t) p + t q leads from p to q

UNLIKE = (Q_FULL, pmf("p", "p(x)", simple=((0.9, 0.1), (0.6, 0.4), (0.25, 0.75))))


@t_9.intended(
    r"D_{KL}(p\,\Vert\,p) < D_{KL}(m_s\,\Vert\,p) < D_{KL}(m_t\,\Vert\,p),"
    r"\quad m_t \,\mathrm{from}\, p \,\mathrm{to}\, q,\; s \,\mathrm{before}\, t", inputs=UNLIKE,
)  # fmt: skip
def _(q, p):
    t = np.linspace(0, 1, 21)[1:, None]                     # (20, 1)
    q, p = q[..., None, :], p[..., None, :]                 # (n, 1, K)
    along = kl((1 - t) * p + t * q, (1 - t) * p + t * p)    # (n, 20, 1)
    return kl(p, p), "<", along[..., :-1, :], "<", along[..., 1:, :]


@equation(
    "odaibo.t26", "l.47, l.64", r"D_{KL}(q\,\Vert\,p) = E_{\sim aq + (1 - a)p}[I_p - I_q]",
    (Q, P, chosen("a", "a", 1, "1: the average is over q alone")),
    kind="claim",
    says='The divergence "is the expectation of the information difference between both distributions".',
    needs="averaged over q, the first argument; the difference is second minus first; p > 0 wherever q is",
    outside=({"q": (0.5, 0.5), "p": (0.9, 0.1), "a": 0}, NOT_COVERED | {"a": 1}),
)  # fmt: skip
def t_26(q, p, a):
    return kl(q, p), "=", mean(a * q + (1 - a) * p, -log(p) + log(q))


@equation(
    "odaibo.t7", "l.49", r"-\log p > -\log r,\quad r \,\mathrm{above}\, p",
    (chance("p", "p", top=99), chance("s", "s", (1, 0.5, 0.1))),
    kind="claim", says='"The higher the probability of an event, the lower its information content."',
)  # fmt: skip
def t_7(p, s):
    r = p + s * (1 - p)                                     # a higher probability, up to one
    return -log(p), ">", -log(r)


def surprise(p, k):
    """(p^-k - 1) / k falls as p grows: it is 1/p - 1 for k = 1, 1 - p for k = -1, and -log p for k = 0."""
    return np.where(k == 0, minus_log(p), (p**-k - 1) / np.where(k == 0, 1, k))


@equation(
    "odaibo.t8", "l.49", r"I(p\,r) = I(p) + I(r) = -\log p - \log r",
    (chance("p", "p"), chance("r", "r"), chosen("k", "k", 0, "0: I adds up; see surprise(p, k)")),
    kind="claim",
    says='"The information is inversely related to the probability of an event", and so -log p models it.',
    needs="the information of independent events adds up: 1/p - 1 and 1 - p fall as well, and do not add",
    outside=({"p": 0.5, "r": 0.5, "k": 1}, {"p": 0.5, "r": 0.5, "k": -1}),
)  # fmt: skip
def t_8(p, r, k):
    return surprise(p * r, k), "=", surprise(p, k) + surprise(r, k), "=", -log(p) - log(r)


@equation(
    "odaibo.6", "l.52 (6)", r"I_p(x) = -\log p(x)", (chance("p", "p(x)"),),
    says="The information content of an event: the rarer under p, the more it tells.",
    needs="p(x) > 0", outside={"p": 0},
)  # fmt: skip
def eq_6(p):
    p = need_above_zero("p(x)", p)
    return minus_log(p), "=", -log(p)


@equation(
    "odaibo.7", "l.56 (7)", r"I_q(x) = -\log q(x)", (chance("q", "q(x)", (0.5, 0.2, 0.8)),),
    says="The same event under q.",
    needs="q(x) > 0", outside={"q": 0},
)  # fmt: skip
def eq_7(q):
    q = need_above_zero("q(x)", q)
    return minus_log(q), "=", -log(q)


@equation(
    "odaibo.8", "l.61 (8)",
    r"\Delta I = I_p - I_q = -\log p(x) + \log q(x) = \log\left(\frac{q(x)}{p(x)}\right)",
    (chance("q", "q(x)"), chance("p", "p(x)", (0.9, 0.25, 0.5))),
    says="How much more information the event holds under p than under q.",
    needs="p(x) > 0 and q(x) > 0", outside=({"q": 0.5, "p": 0}, {"q": 0, "p": 0.5}),
)  # fmt: skip
def eq_8(q, p):
    q, p = need_above_zero("q(x)", q), need_above_zero("p(x)", p)
    return minus_log(p / q), "=", minus_log(p) - minus_log(q), "=", -log(p) + log(q), "=", log(q / p)


@equation(
    "odaibo.9", "l.66 (9)",
    r"D_{KL}(q(x)\Vert p(x)) := E_{\sim q}[\Delta I] = \int (\Delta I)\,q(x)\,dx = "
    r"\int q(x)\log\left(\frac{q(x)}{p(x)}\right)dx", (Q, P),
    says="The Kullback-Leibler divergence: the information difference (8), averaged over q.",
    needs="p > 0 wherever q is; 0 log 0 counts as 0", outside=NOT_COVERED,
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
    r"\int p(x)\log\left(\frac{p(x)}{q(x)}\right)dx", (Q_FULL, P), verdict="wrong",
    says="The divergence the other way round, averaged over p.",
    fault="(8) has fixed the information difference as log(q/p); here it is needed with the other sign.",
)  # fmt: skip
def eq_10(q, p):
    delta_I = -log(p) + log(q)                              # (8)
    return (
        kl(p, q),
        ":=", mean(p, delta_I),
        "=", total(times(p, delta_I)),
        "=", total(times(p, log(ratio(p, q)))),
    )  # fmt: skip


@eq_10.corrected(
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
    verdict="wrong",
    says="The divergence is not symmetric.",
    fault='"In general", but not always: where q = p, or one is the other read backwards, both ways agree.',
)  # fmt: skip
def eq_11(q, p):
    return kl(q, p), "!=", kl(p, q)


@eq_11.corrected(
    r"D_{KL}(q(x)\Vert p(x)) = D_{KL}(p(x)\Vert q(x)) + "
    r"\int (q(x) + p(x))\log\left(\frac{q(x)}{p(x)}\right)dx"
)
def _(q, p):
    return kl(q, p), "=", kl(p, q) + total((q + p) * log(ratio(q, p)))          # the gap is rarely nil


@equation(
    "odaibo.t10", "l.77",
    r"D_{KL}(q\,\Vert\,p) + D_{KL}(p\,\Vert\,q) = E_{\sim q}[\Delta I] + E_{\sim p}[\Delta I]",
    (Q_FULL, P), kind="claim", verdict="wrong",
    says="The two divergences are said to differ only in the distribution over which (8) is averaged.",
    fault="They differ in the sign of the information difference as well.",
)  # fmt: skip
def t_10(q, p):
    delta_I = -log(p) + log(q)                              # (8)
    return kl(q, p) + kl(p, q), "=", mean(q, delta_I) + mean(p, delta_I)


@t_10.corrected(
    r"D_{KL}(q\,\Vert\,p) + D_{KL}(p\,\Vert\,q) = "
    r"E_{\sim q}[\Delta I] + E_{\sim p}[-\Delta I] = \int (q - p)\,\Delta I\,dx"
)
def _(q, p):
    delta_I = -log(p) + log(q)
    return kl(q, p) + kl(p, q), "=", mean(q, delta_I) + mean(p, -delta_I), "=", total((q - p) * delta_I)


@equation(
    "odaibo.t11", "l.79",
    r"D_{KL}(p\,\Vert\,q) \neq D_{KL}(q\,\Vert\,p) > D_{KL}(q\,\Vert\,m) + D_{KL}(m\,\Vert\,p),"
    r"\quad m \,\mathrm{midway}",
    (pmf("q", "q(x)", simple=((0.2, 0.8), (0.3, 0.7))), pmf("p", "p(x)", simple=((0.5, 0.5), (0.9, 0.1)))),
    kind="claim",
    says='It is called a "divergence" and not a "metric": a metric is symmetric, and no detour is shorter.',
    needs="q and p differ, and neither is the other read backwards: there both ways agree",
    outside=({"q": (0.2, 0.8), "p": (0.8, 0.2)}, EQUAL),
)  # fmt: skip
def t_11(q, p):
    m = (q + p) / 2
    return kl(p, q), "!=", total(times(q, log(ratio(q, p)))), ">", kl(q, m) + kl(m, p)


# Three distributions, zeros and all; symmetrised divergences

PAIRS = ((0.5, 0.5), (0.2, 0.8), (1, 0), (0, 1))
THREE = tuple(pmf(name, f"{name}(x)", zeros=True, simple=PAIRS) for name in "abc")


def jensen_shannon(q, p):
    """JS(q, p) = D(q || m) / 2 + D(p || m) / 2 with m midway between q and p: never infinite."""
    m = (q + p) / 2
    return (kl(q, m) + kl(p, m)) / 2


@equation(
    "odaibo.t12", "l.79",
    r"\sqrt{JS(a, c)} = \sqrt{JS(c, a)} \leq \min(\sqrt{JS(a, b)} + \sqrt{JS(b, c)},\; \sqrt{\log 2})", THREE,
    kind="claim", verdict="prose",
    says="That symmetrised forms improve what is generated is a citation. What can be computed: the root of "
    "the Jensen-Shannon divergence is symmetric, bounded, and no detour is shorter.",
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
    says="The divergence is never negative; it is nil for q = p.",
    needs="p and q both sum to one, and p > 0 wherever q is",
    outside=(NOT_NORMALISED, NOT_COVERED), tight=EQUAL,
)  # fmt: skip
def eq_12(q, p):
    return kl(q, p), "=", -mean(q, log(ratio(p, q))), ">=", 0


@equation(
    "odaibo.13", "l.88 (13), Fig. 1", r"\log t \leq t - 1",
    (positive("t", "t", 2, (1, 1.5, 0.9, 2)), chosen("base", r"\mathrm{base}", math.e, "e, as ln has it")),
    says="The logarithm lies under its tangent at t = 1.",
    needs="t > 0, and the natural logarithm",
    outside=({"t": 1.5, "base": 2}, {"t": 0.9, "base": 10}, {"t": -1, "base": math.e}),
    tight={"t": 1, "base": math.e},
)  # fmt: skip
def eq_13(t, base):
    return log(need_above_zero("t", t)) / log(base), "<=", t - 1


@equation(
    "odaibo.F1", "l.114 Figure 1", r"\ln t - t < \ln 1 - 1 = -1 < \log_2 1.5 - 1.5",
    kind="figure", verdict="figure",
    says="ln t runs below its tangent t - 1 and touches it at t = 1 alone; log2 t does not: log2 1.5 > 0.5.",
)  # fmt: skip
def figure_1():
    t = np.linspace(0, 4, 401)[1:]
    t = t[t != 1]                                           # every other t of the figure
    return -minus_log(t) - t, "<", log(1) - 1, "=", -1, "<", np.log2(1.5) - 1.5


# q with a hole: some x has q(x) = 0 and p(x) > 0, and the integrals of (14) run over the others


def with_a_hole(raw):
    """Weights (n, 5) of which the smallest is zero, or more."""
    filled = weights(raw, True)
    q = np.where(filled == filled.min(axis=-1, keepdims=True), 0, filled)
    return q / total(q)


HOLED = Symbol(
    "q", "q(x)", ">= 0, somewhere 0, summing to 1", 5, with_a_hole, ((0.6, 0.4, 0), (0.5, 0.5, 0), (1, 0, 0))
)  # fmt: skip
WHOLE = pmf("p", "p(x)", simple=((0.5, 0.3, 0.2), (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)))


@equation(
    "odaibo.14", "l.92-100 (14)",
    r"-D_{KL}(q(x)\Vert p(x)) = \int q(x)\log\left(\frac{p(x)}{q(x)}\right)dx \leq "
    r"\int q(x)\left(\frac{p(x)}{q(x)} - 1\right)dx = \int q(x)\frac{p(x)}{q(x)}dx - \int q(x)\,dx = "
    r"\int p(x)\,dx - \int q(x)\,dx = 1 - 1", (HOLED, WHOLE), rows="abcde",
    verdict={"d": "wrong"},
    says={
        "a": "Minus the divergence, written out.",
        "b": "(13) for every x, with t = p(x) / q(x).",
        "c": "Distribute.",
        "d": "Cancel q in the first integral.",
        "e": "Both integrals are one: 1 - 1 is nil, the end of the chain.",
    },
    fault={"d": "q cancels only where it is not zero; p may have more elsewhere. With <= the chain stands."},
    needs="p and q both sum to one, and p > 0 wherever q is",
    outside=(NOT_NORMALISED, NOT_COVERED), tight=EQUAL,
)  # fmt: skip
def eq_14(q, p):
    need_covered(q, p)
    return (
        -kl(q, p),
        "=", total(times(q, log(ratio(p, q)))),
        "<=", total(times(q, ratio(p, q) - 1)),
        "=", total(times(q, ratio(p, q))) - total(q),
        "=", total(p) - total(q),
        "=", Zero(1),                                       # printed: 1 - 1 = 0
    )  # fmt: skip


@eq_14.corrected(
    r"\int q(x)\frac{p(x)}{q(x)}dx - \int q(x)\,dx = "
    r"P(\mathrm{supp}\,q) - 1 \leq \int p(x)\,dx - \int q(x)\,dx", "d",
)
def _(q, p):
    return (
        total(times(q, ratio(p, q))) - total(q),
        "=", total(np.where(q > 0, p, 0)) - 1,
        "<=", total(p) - total(q),
    )  # fmt: skip


@equation(
    "odaibo.15", "l.105 (15)", r"-D_{KL}(q(x)\Vert p(x)) \leq 0", (Q, P),
    says="What the chain (14) has shown.",
    needs="p and q both sum to one", outside=NOT_NORMALISED, tight=EQUAL,
)  # fmt: skip
def eq_15(q, p):
    return -mean(q, log(ratio(q, p))), "<=", 0


@equation(
    "odaibo.16", "l.109 (16)", r"D_{KL}(q(x)\Vert p(x)) \geq 0", (Q, P),
    says="Gibbs' inequality: no divergence is negative.",
    needs="p and q both sum to one", outside=NOT_NORMALISED, tight=EQUAL,
)  # fmt: skip
def eq_16(q, p):
    return mean(q, log(ratio(q, p))), ">=", 0
