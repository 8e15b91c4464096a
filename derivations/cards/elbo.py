"""Flashcards, "Auto-Encoding Variational Bayes": what is the formula for the evidence lower bound (ELBO)?

Every formula stands in the source twice, as damaged plain text and as LaTeX. The LaTeX is what is entered;
cards.33 says what became of the other copy. A whole side in square brackets is not on the card: it is what
the line is about.
"""

from dataclasses import replace

from derivations.engine.equation import equation
from derivations.engine.numerics import kl, log, mean, ratio, times, total
from derivations.engine.worlds import ENCODER, TABLE, evidence, likelihood, posterior, prior
from derivations.odaibo.objective import OUTSIDE, POSTERIOR

# Simple values in which no row of q is the posterior or the prior: there a divergence is nil, without digits.

P_XZ = replace(TABLE, simple=([[0.5, 0.1], [0.1, 0.3]], [[0.1, 0.4], [0.2, 0.3]]))
SIMPLE_Q = ([[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.7, 0.3]], [[1, 0], [0.9, 0.1]])
TABLES = (P_XZ, replace(ENCODER, simple=SIMPLE_Q))

Q = r"q_\phi(\mathbf{z}\vert\mathbf{x})"
P_POSTERIOR = r"p_\theta(\mathbf{z}\vert\mathbf{x})"
P_JOINT = r"p_\theta(\mathbf{z}, \mathbf{x})"
LOG_P_X = r"\log p_\theta(\mathbf{x})"
KL_POSTERIOR = rf"D_\text{{KL}}({Q} \| {P_POSTERIOR})"
KL_PRIOR = rf"D_\text{{KL}}({Q} \| p_\theta(\mathbf{{z}}))"
RECONSTRUCTION = rf"\mathbb{{E}}_{{\mathbf{{z}}\sim {Q}}}\log p_\theta(\mathbf{{x}}\vert\mathbf{{z}})"
NEEDED = "p(x) > 0, and q(z|x) sums to 1 and is zero wherever p(z|x) is"


def left_form(p_xz, q):
    """log p(x) - KL(q || p(z|x)), without a logarithm in the divergence."""
    return log(evidence(p_xz)) - kl(q, posterior(p_xz))


def right_form(p_xz, q):
    """E_q log p(x|z) - KL(q || p(z)), as printed."""
    return mean(q, log(likelihood(p_xz))) - total(times(q, log(ratio(q, prior(p_xz)))))


@equation(
    "cards.1", "l.6", rf"{LOG_P_X} - {KL_POSTERIOR} = {RECONSTRUCTION} - {KL_PRIOR}", TABLES,
    says="The evidence lower bound, in two forms: by what it falls short of log p(x), and as it is computed.",
    needs=NEEDED, outside=OUTSIDE,
)  # fmt: skip
def card_1(p_xz, q):
    return left_form(p_xz, q), "=", right_form(p_xz, q)


@equation(
    "cards.2", "l.6",
    rf"{RECONSTRUCTION} - {KL_PRIOR} \leq {LOG_P_X} = \left[\mathrm{{ELBO}} + {KL_POSTERIOR}\right]", TABLES,
    kind="claim", tight=POSTERIOR,
    says="It is a lower bound because no divergence is negative: what is missing is KL(q || p(z|x)).",
)  # fmt: skip
def card_2(p_xz, q):
    elbo = mean(q, log(p_xz) - log(q))
    return right_form(p_xz, q), "<=", log(evidence(p_xz)), "=", elbo + kl(q, posterior(p_xz))
