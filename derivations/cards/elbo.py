"""Flashcards, "Auto-Encoding Variational Bayes": what is the formula for the evidence lower bound (ELBO)?

The source has every formula twice: as damaged plain text and as LaTeX. The entries use the LaTeX; cards.33 is about the
plain text. A side in square brackets is not printed on the line of the entry: it is our addition, or it is printed on the
line above.
"""

from dataclasses import replace

from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl_of_weights, log, ratio, times, total
from derivations.engine.worlds import ENCODER, TABLE, evidence, likelihood, posterior, prior
from derivations.odaibo.objective import NEEDED_BY_BAYES, OUTSIDE, OUTSIDE_BAYES, POSTERIOR

# Simple values. No row of q is the posterior or the prior, so no divergence is 0.

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
ASSUMED = {"needs": "p(x) > 0 and q(z|x) sums to 1", "outside": OUTSIDE}
POSSIBLE_X = {"needs": "p(x) > 0", "outside": OUTSIDE[1], "undefined": "p(z|x) has no value where p(x) = 0"}
ASSUMED_BY_BAYES = {"needs": NEEDED_BY_BAYES.replace("x_i", "x"), "outside": OUTSIDE_BAYES}


def kl_from_posterior(p_xz, q):
    """Return KL(q || p(z|x)), in which each log(q/p) is computed as an integral, by quadrature.

    `Zero(1, ...)`: if this KL is below 1, the judge checks its absolute error, not its relative error.
    """
    return Zero(1, kl_of_weights(q, posterior(p_xz)))


def left_form(p_xz, q):
    """Return log p(x) - KL(q || p(z|x)). In this KL, each log(q/p) is computed as an integral, by quadrature."""
    return log(evidence(p_xz)) - kl_of_weights(q, posterior(p_xz))


def right_form(p_xz, q):
    """Return E_q[log p(x|z)] - KL(q || p(z)), computed as printed."""
    return total(times(q, log(likelihood(p_xz)))) - total(times(q, log(ratio(q, prior(p_xz)))))


@equation(
    "cards.1", "l.6", rf"{LOG_P_X} - {KL_POSTERIOR} = {RECONSTRUCTION} - {KL_PRIOR}", TABLES,
    says="The ELBO is log p(x) minus the gap, and also the reconstruction minus the KL from the prior.",
    **ASSUMED_BY_BAYES,
)  # fmt: skip
def card_1(p_xz, q):
    return left_form(p_xz, q), "=", right_form(p_xz, q)


@equation(
    "cards.2", "l.6",
    rf"{RECONSTRUCTION} - {KL_PRIOR} \leq {LOG_P_X} = \left[\mathrm{{ELBO}} + {KL_POSTERIOR}\right]", TABLES,
    kind="claim", tight=POSTERIOR, **ASSUMED_BY_BAYES,
    claim="The card says that the ELBO is a lower bound because a divergence is never negative (l.6).",
    says="The gap of the bound is KL(q || p(z|x)).",
)  # fmt: skip
def card_2(p_xz, q):
    elbo = total(times(q, log(p_xz) - log(q)))
    return right_form(p_xz, q), "<=", log(evidence(p_xz)), "=", elbo + kl_of_weights(q, posterior(p_xz))
