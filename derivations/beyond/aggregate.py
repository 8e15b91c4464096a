"""Beyond the sources: how the KL term of a data set, or of several coordinates, splits into parts.

Distributions are tables, and sums over them are exact.
"""

import math
from dataclasses import replace

import numpy as np
from numpy import log

from derivations.beyond.elbo import D
from derivations.engine.domains import Symbol, conditional, joint, pmf, weights
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl, kl_of_weights, mean, ratio, times, total

# The mean of KL(q_n || p) over a data set. n is the index of a datum, and all data are equally likely.

Q_SIMPLE = [[0.5, 0.5], [0.75, 0.25]], [[1, 0], [0.5, 0.5]], [[0.2, 0.8], [0.6, 0.4]]
DATA_Q = replace(conditional("q", "q_n(z)", 6, 5), simple=Q_SIMPLE)
P_Z = pmf("p", "p(z)", simple=((0.25, 0.75), (0.9, 0.1), (0.5, 0.5)))
BAR_Q = r"\bar q(z)"
GAP = rf"{D}({BAR_Q}||p(z))"
MEAN_OF_N = r"\frac{1}{N}\sum_{n=1}^{N}"


def mean_kl(q, p):
    """Return the mean of KL(q || p) over the N distributions q of each point. q has the shape (n, N, Z), and p (n, Z)."""
    return kl_of_weights(q, np.broadcast_to(p[:, None], q.shape)).mean(axis=1)


@equation(
    "beyond.7", "ELBO surgery; Hoffman and Johnson 2016",
    rf"{GAP} \leq {MEAN_OF_N} {D}(q_n(z)||p(z)) = I_q(n; z) + {GAP} = \log N - H_q(n|z) + {GAP}"
    rf" \leq \log N + {GAP}", (DATA_Q, P_Z),
    says="The mean KL has two parts: the mutual information of z and the index n of the datum, and the KL of bar q from the "
    "prior. Here bar q is the mean of all q_n. The mutual information is at most log N.",
    needs="every q_n(z) sums to 1", outside={"q": [[0.6, 0.6], [1, 0]], "p": (0.5, 0.5)},
    tight={"q": [[0.5, 0.5]], "p": (0.25, 0.75)},
)  # fmt: skip
def eq_7(q, p):
    N, bar_q = q.shape[1], q.mean(axis=1)                   # bar q, the aggregate posterior, (n, Z)
    flat = lambda table: table.reshape(len(table), -1)  # noqa: E731
    rest = kl_of_weights(bar_q, p)
    # The mutual information of n and z, and the entropy of n given z
    information = kl_of_weights(flat(q / N), flat(np.broadcast_to(bar_q[:, None] / N, q.shape)))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -total(flat(times(q / N, log(q / N / bar_q[:, None]))))
    return (
        rest,
        "<=", Zero(1, mean_kl(q, p)),                       # this side can be near 0, so its absolute error is checked
        "=", information + rest,
        "=", Zero(1, math.log(N) - entropy + rest),
        "<=", math.log(N) + rest,
    )  # fmt: skip


@equation(
    "beyond.8", "the best prior is the aggregate posterior; Tomczak and Welling 2018",
    rf"{MEAN_OF_N} {D}(q_n(z)||p(z)) - {MEAN_OF_N} {D}(q_n(z)||{BAR_Q}) = {GAP} \geq 0", (DATA_Q, P_Z),
    says="The mean KL is smallest if the prior is bar q, the mean of all q_n. For another prior p, the mean KL is larger by "
    "the divergence of bar q from p.",
    needs="every q_n(z) and p(z) sum to 1",
    outside=({"q": [[0.5, 0.5], [1, 0]], "p": (0.6, 0.6)}, {"q": [[0.2, 0.2], [0.2, 0.2]], "p": (0.5, 0.5)}),
    tight={"q": [[0.5, 0.5], [1, 0]], "p": (0.75, 0.25)},
)  # fmt: skip
def eq_8(q, p):
    bar_q = q.mean(axis=1)
    of_mean = total(times(bar_q, log(ratio(bar_q, p))))
    return mean_kl(q, p) - mean_kl(q, bar_q), "=", of_mean, ">=", Zero(mean_kl(q, p))


# z = (z_1, z_2). A table has one row for each value of z_1 and one column for each value of z_2.


def independent(raw):
    """Return 3 x 4 tables p(z) in which z_1 and z_2 are independent."""
    return weights(raw[:, :3], False)[:, :, None] * weights(raw[:, 3:], False)[:, None]


GRID_Q = joint("q", "q(z)", 3, 4)
GRID_P = Symbol(
    "p", "p(z)", "> 0, summing to 1, z_1 and z_2 independent", 7, independent,
    ([[0.25, 0.25], [0.25, 0.25]], [[0.125, 0.375], [0.125, 0.375]]),
)  # fmt: skip


@equation(
    "beyond.9", "total correlation; Watanabe 1960, Chen et al. 2018",
    rf"{D}(q(z)||p(z)) = {D}(q(z)||\prod_j q(z_j)) + \sum_j {D}(q(z_j)||p(z_j)) ="
    rf" \sum_j H[q(z_j)] - H[q(z)] + \sum_j {D}(q(z_j)||p(z_j))", (GRID_Q, GRID_P),
    says="If the prior has independent coordinates, the KL of q from the prior is the total correlation of q plus the "
    "KLs of the coordinates. "
    "The total correlation is the divergence of q(z) from the product of the q(z_j).",
    needs="the coordinates are independent under p",
    outside={"q": [[0.1, 0.4], [0.3, 0.2]], "p": [[0.4, 0.1], [0.1, 0.4]]},
)  # fmt: skip
def eq_9(q, p):
    flat = lambda table: table.reshape(len(table), -1)  # noqa: E731
    sides = [(q.sum(axis=other), p.sum(axis=other)) for other in (2, 1)]    # q(z_j) and p(z_j) for j = 1, 2
    (q_1, _), (q_2, _) = sides
    entropy = lambda q: -mean(q, log(q))  # noqa: E731
    of_each = sum(mean(q_j, log(q_j / p_j)) for q_j, p_j in sides)
    return (
        kl(flat(q), flat(p)),
        "=", Zero(1, kl(flat(q), flat(q_1[:, :, None] * q_2[:, None])) + of_each),
        "=", entropy(q_1) + entropy(q_2) - entropy(flat(q)) + of_each,
    )  # fmt: skip
