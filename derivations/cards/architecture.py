"""Flashcards, "Auto-Encoding Variational Bayes": draw the architecture of a VAE; and the cards as a whole.

Two questions have no answer on the cards: here they have, cards.31 and cards.32. cards.33 and cards.35 are
about how the formulas are written.
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
    says='"Draw the architecture": x, encoder, mu and sigma, z = mu + sigma eps, decoder, parameters of '
    "p(x|z). The card has no answer. This one is the graph of minivae's model: the figure odaibo.F2.",
)  # fmt: skip
def card_31():
    return figure_2()


# Why the reverse divergence? q that is nowhere zero: both directions are finite.

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
    kind="claim",
    says='"Why does ELBO use the reverse divergence?" Because that is what an average over q falls short '
    "by, and from q we can draw. The forward one belongs to an average over p(z|x), from which we cannot "
    "draw. That is no lower bound either: it is an upper one.",
    needs="each of q(z|x) and p(z|x) is zero only where the other is: else one of the two is infinite",
    outside=(
        {"p_xz": [[0.1, 0.4], [0.3, 0.2]], "q": [[1, 0], [0.5, 0.5]]},
        {"p_xz": [[0.5, 0], [0.25, 0.25]], "q": [[0.5, 0.5], [0.5, 0.5]]},
    ),
    tight=POSTERIOR,
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
    kind="claim", verdict="slip",
    says='Every formula stands there twice. A plain copy of the loss reads "LVAE(θ,φ)=logpθ(x)+DKL...".',
    fault="The plain copies have lost minus signs, bars and not-equals: log p(x) - KL became log p(x) KL.",
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
    rf"{KL_POSTERIOR} \neq {KL_PRIOR} = \left[{KL_POSTERIOR} + {RECONSTRUCTION} - {LOG_P_X}\right]", TABLES,
    kind="claim",
    says='"The term D_KL works like a regularizer": on the left side, of which the card speaks, it is what '
    "the bound falls short by. The regularizer is the one to the prior: see odaibo.t21.",
    needs="x tells something about z: else the posterior is the prior, and the two are one",
    outside={"p_xz": [[0.12, 0.48], [0.08, 0.32]], "q": [[0.9, 0.1], [0.3, 0.7]]},
)  # fmt: skip
def card_34(p_xz, q):
    gap = kl(q, posterior(p_xz))
    return (
        gap,
        "!=", total(times(q, log(ratio(q, prior(p_xz))))),
        "=", gap + mean(q, log(likelihood(p_xz))) - log(evidence(p_xz)),
    )  # fmt: skip


@equation(
    "cards.35", "l.11-42", r"D_\text{KL}(p | q) = \sum_z p(z) \log\frac{p(z)}{Q(Z)}", (P_FULL, Q_FULL),
    kind="claim", verdict="slip",
    says="The divergence is written with a single bar, and its second argument as q(z) and as Q(Z).",
    fault="A single bar reads as a condition, p given q. And Q(Z) is q(z): nothing else is called Q, or Z.",
)  # fmt: skip
def card_35(p, q, Q, Z):
    return kl(p, q), "=", total(times(p, log(ratio(p, Q(Z)))))


@card_35.intended(r"D_\text{KL}(p \| q) = \sum_z p(z) \log\frac{p(z)}{q(z)}")
def _(p, q):
    return kl(p, q), "=", total(times(p, log(ratio(p, q))))
