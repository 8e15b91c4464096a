"""Flashcards, "Auto-Encoding Variational Bayes": the card "draw the architecture of a VAE", and entries about other cards.

The cards ask two questions without answering them; cards.31 and cards.32 have the answers. cards.33 and cards.35 are
about the notation of the formulas. cards.34 is about the word "regularizer".
"""

from dataclasses import replace

import numpy as np

from derivations.cards.elbo import (
    KL_POSTERIOR,
    KL_PRIOR,
    LOG_P_X,
    P_POSTERIOR,
    P_XZ,
    RECONSTRUCTION,
    TABLES,
    Q,
)
from derivations.cards.loss import LOSS
from derivations.cards.reverse_kl import P_FULL, Q_FULL
from derivations.engine.domains import weights
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl, log, mean, ratio, times, total
from derivations.engine.worlds import evidence, likelihood, posterior, prior
from derivations.odaibo.objective import POSTERIOR, figure_2


@equation(
    "cards.31", "l.51",
    r"\left|\text{arrows and shapes drawn} - \text{arrows and shapes of the model}\right| < 1",
    kind="figure", verdict="figure",
    says="The card asks for the architecture. The encoder maps x to mu and sigma. Then z = mu + sigma eps, and the decoder "
    "maps z to the parameters of p(x|z). minivae's model has the same graph; odaibo.F2 makes the same check.",
)  # fmt: skip
def card_31():
    return figure_2()


# The reverse divergence. q has no zeros, so the divergences in both directions are finite.

Q_NOWHERE_ZERO = replace(
    TABLES[1], rule="> 0, every row summing to 1", make=lambda raw: weights(raw.reshape(-1, 4, 5), False),
    simple=TABLES[1].simple[:2],
)  # fmt: skip
LOG_RATIO = rf"\log\frac{{p_\theta(\mathbf{{x}}, \mathbf{{z}})}}{{{Q}}}"
AVERAGE, AVERAGE_P = (rf"\mathbb{{E}}_{{{law}}}\left[{LOG_RATIO}\right]" for law in (Q, P_POSTERIOR))


@equation(
    "cards.32", "l.39",
    rf"{KL_POSTERIOR} = \left[{LOG_P_X} - {AVERAGE}\right] \geq 0"
    rf" \geq \left[{LOG_P_X} - {AVERAGE_P}\right] = -D_\text{{KL}}({P_POSTERIOR} \| {Q})",
    (P_XZ, Q_NOWHERE_ZERO),
    kind="claim", tight=POSTERIOR,
    claim="The card asks why the ELBO uses the reverse divergence (l.39).",
    says="The expectation of log[p(x, z)/q(z|x)] under q is a lower bound of log p(x); the gap of this bound is the reverse "
    "divergence. The expectation under p(z|x) is an upper bound; the gap of this bound is the forward divergence. We can "
    "draw z from q, but not from p(z|x).",
)  # fmt: skip
def card_32(p_xz, q):
    log_p_x, p_z_given_x, log_ratio = log(evidence(p_xz)), posterior(p_xz), log(p_xz) - log(q)
    zero = Zero(np.abs(log_p_x))
    return (
        kl(q, p_z_given_x),
        "=", log_p_x - mean(q, log_ratio),
        ">=", zero,
        ">=", log_p_x - mean(p_z_given_x, log_ratio),
        "=", -kl(p_z_given_x, q),
    )  # fmt: skip


@equation(
    "cards.33", "l.6-49",
    rf"{LOSS} = {LOG_P_X} + {KL_POSTERIOR} = {RECONSTRUCTION} + {KL_PRIOR}", TABLES,
    kind="claim", verdict="copy",
    claim="Every formula is on the cards twice, as LaTeX and as plain text. The plain text of the loss reads "
    '"LVAE(θ,ϕ)=logpθ(x)+DKL..." (l.6-49).',
    says="In the plain text of the loss, the minus signs are missing.",
    fault="In the plain text of the formulas, minus signs, bars and not-equal signs are missing. The LaTeX has them.",
)  # fmt: skip
def card_33(p_xz, q):
    p_x_given_z, p_z = likelihood(p_xz), np.broadcast_to(prior(p_xz), q.shape)
    return (
        mean(q, log(q) - log(p_xz)),
        "=", log(evidence(p_xz)) + kl(q, posterior(p_xz)),
        "=", mean(q, log(p_x_given_z)) + kl(q, p_z),
    )  # fmt: skip


@card_33.intended(rf"{LOSS} = -{LOG_P_X} + {KL_POSTERIOR} = -{RECONSTRUCTION} + {KL_PRIOR}")
def _(p_xz, q):
    p_x_given_z, p_z = likelihood(p_xz), np.broadcast_to(prior(p_xz), q.shape)
    return (
        mean(q, log(q) - log(p_xz)),
        "=", -log(evidence(p_xz)) + kl(q, posterior(p_xz)),
        "=", -mean(q, log(p_x_given_z)) + kl(q, p_z),
    )  # fmt: skip


@equation(
    "cards.34", "l.27",
    rf"{KL_PRIOR} = {KL_POSTERIOR} + {RECONSTRUCTION} - {LOG_P_X}", TABLES,
    kind="claim",
    claim='The card says that the term D_KL of the left side "works like a regularizer" (l.27).',
    says="On the left side of the card's equation, D_KL is the gap of the bound. The regulariser is the KL from the prior, "
    "which is another divergence: it equals the gap plus the reconstruction minus log p(x).",
)  # fmt: skip
def card_34(p_xz, q):
    gap = kl(q, posterior(p_xz))
    return (
        total(times(q, log(ratio(q, prior(p_xz))))),
        "=", gap + mean(q, log(likelihood(p_xz))) - log(evidence(p_xz)),
    )  # fmt: skip


@equation(
    "cards.35", "l.11-42", r"D_\text{KL}(p | q) = \sum_z p(z) \log\frac{p(z)}{Q(Z)}", (P_FULL, Q_FULL),
    kind="claim", verdict="loose",
    claim='The prose writes "Q(Z)" for the distribution that the formulas call q(z) (l.42).',
    says="Read literally, the text says: the second argument of the divergence is Q(Z).",
    fault="Q(Z) should be q(z): the cards define neither Q nor Z. (The single bar of D(p | q) may be a copying error.)",
)  # fmt: skip
def card_35(p, q, Q, Z):
    return kl(p, q), "=", total(times(p, log(ratio(p, Q(Z)))))


@card_35.precise(r"D_\text{KL}(p \| q) = \sum_z p(z) \log\frac{p(z)}{q(z)}")
def _(p, q):
    return kl(p, q), "=", total(times(p, log(ratio(p, q))))
