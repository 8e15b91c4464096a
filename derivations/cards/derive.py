"""Flashcards, "Auto-Encoding Variational Bayes", card "derive the ELBO loss function". First half: the ELBO.

A table p(x, z) has one row for each datum x. In random tables q(z|x), about one number in seven is 0.
"""

import numpy as np

from derivations.cards.elbo import (
    ASSUMED,
    ASSUMED_BY_BAYES,
    KL_POSTERIOR,
    KL_PRIOR,
    LOG_P_X,
    P_JOINT,
    P_POSTERIOR,
    P_XZ,
    POSSIBLE_X,
    RECONSTRUCTION,
    TABLES,
    Q,
    kl_from_posterior,
    left_form,
    right_form,
)
from derivations.engine.domains import Symbol, positives, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import complex_step, kl, kl_of_weights, log, mean, ratio, times, total
from derivations.engine.worlds import (
    chosen,
    evidence,
    likelihood,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
    posterior,
    prior,
)

# In entries that optimise q, q is the softmax of numbers phi. So q can be any distribution without zeros.

PHI = Symbol(
    "phi", r"\phi", "real", 20, lambda raw: 1.5 * raw.reshape(-1, 4, 5),
    ([[0, 0], [0, 0]], [[1, 0], [0, 0]], [[0, 1], [2, 0]]),
)  # fmt: skip


def softmax(phi):
    """Return q_phi(z|x). Every row sums to 1."""
    return np.exp(phi) / total(np.exp(phi))


@equation(
    "cards.3", "l.11", rf"{KL_POSTERIOR} \geq \min_\phi {KL_POSTERIOR} = 0", (P_XZ, PHI),
    kind="claim", tight={"p_xz": [[0.25, 0.25], [0.25, 0.25]], "phi": [[0, 0], [0, 0]]},
    claim="The card says that the goal is to minimise the KL from the posterior with respect to phi (l.11).",
    says="After sixty steps of descent, q is the posterior. The steps use p(x, z), but neither p(x) nor p(z|x).",
)  # fmt: skip
def card_3(p_xz, phi):
    p_z_given_x, lower = posterior(p_xz), phi
    for _ in range(60):
        # Subtract half the natural gradient of the KL. In each row, a constant is left out, because it does not change q.
        lower = lower - (lower - log(p_xz)) / 2
    return (
        kl(softmax(phi), p_z_given_x),
        ">=", kl(softmax(lower), p_z_given_x),
        "=", Zero(mean(p_z_given_x, -log(p_z_given_x))),
    )  # fmt: skip


# The derivation. In cards.4 to cards.8 the left side is KL(q || p(z|x)). From cards.5 to cards.8, each entry rewrites the
# right side of the entry before it.


@equation(
    "cards.4", "l.13", rf"{KL_POSTERIOR} = \int {Q} \log\frac{{{Q}}}{{{P_POSTERIOR}}} d\mathbf{{z}}", TABLES,
    says="By definition, the divergence of q from the posterior is the mean of log[q(z|x)/p(z|x)] under q.", **POSSIBLE_X,
)  # fmt: skip
def card_4(p_xz, q):
    return kl_from_posterior(p_xz, q), "=", total(times(q, log(ratio(q, posterior(p_xz)))))


@equation(
    "cards.5", "l.15",
    rf"\left[{KL_POSTERIOR}\right] ="
    rf" \int {Q} \log\frac{{{Q}\,p_\theta(\mathbf{{x}})}}{{{P_JOINT}}} d\mathbf{{z}}", TABLES,
    says="This line replaces p(z|x) by p(z, x) / p(x).", **POSSIBLE_X,
)  # fmt: skip
def card_5(p_xz, q):
    return kl_from_posterior(p_xz, q), "=", total(times(q, log(ratio(q * evidence(p_xz), p_xz))))


@equation(
    "cards.6", "l.17",
    rf"\left[{KL_POSTERIOR}\right] = {LOG_P_X}"
    rf" + \int {Q} \log\frac{{{Q}}}{{{P_JOINT}}} d\mathbf{{z}}", TABLES,
    says="The logarithm of a product is a sum. log p(x) does not depend on z, so its mean under q is log p(x).", **ASSUMED,
)  # fmt: skip
def card_6(p_xz, q):
    return kl_from_posterior(p_xz, q), "=", log(evidence(p_xz)) + total(times(q, log(ratio(q, p_xz))))


@equation(
    "cards.7", "l.19",
    rf"\left[{KL_POSTERIOR}\right] = {LOG_P_X} + \mathbb{{E}}_{{\mathbf{{z}}\sim {Q}}}\left["
    rf"\log\frac{{{Q}}}{{p_\theta(\mathbf{{z}})}} - \log p_\theta(\mathbf{{x}}\vert\mathbf{{z}})\right]",
    TABLES,
    says="This line replaces p(z, x) by p(x|z) p(z), and writes the integral with weight q as an expectation.",
    **ASSUMED_BY_BAYES,
)  # fmt: skip
def card_7(p_xz, q):
    p_x, p_z, p_x_given_z = evidence(p_xz), prior(p_xz), likelihood(p_xz)
    return kl_from_posterior(p_xz, q), "=", log(p_x) + total(times(q, log(ratio(q, p_z)) - log(p_x_given_z)))


@equation(
    "cards.8", "l.21", rf"{KL_POSTERIOR} = {LOG_P_X} + {KL_PRIOR} - {RECONSTRUCTION}", TABLES,
    says="The divergence of q from the posterior is log p(x) plus terms that can be computed.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def card_8(p_xz, q):
    kl_prior = kl_of_weights(q, np.broadcast_to(prior(p_xz), q.shape))
    return kl_from_posterior(p_xz, q), "=", log(evidence(p_xz)) + kl_prior - total(times(q, log(likelihood(p_xz))))


@equation(
    "cards.9", "l.25", rf"{LOG_P_X} - {KL_POSTERIOR} = {RECONSTRUCTION} - {KL_PRIOR}", TABLES,
    says="Both sides are the ELBO, in two forms.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def card_9(p_xz, q):
    return left_form(p_xz, q), "=", right_form(p_xz, q)


# The remarks of the card. The model of cards.10 is x = w z + s eps. A step changes theta = (w, s) to theta' = (w', s').

BEFORE_AND_AFTER = (
    vector("w", "(w, w')", 2, simple=((1, 2), (3**0.5, 1), (0, 1))),
    positives("s", "(s, s')", 2, simple=((1, 1), (2, 1), (0.5, 1))),
    real("x", "x", simple=(2, 1, 0)),
    chosen("follows", r"\mathrm{follows}", 1, "1: q is p(z|x); 0: q stays N(0, 1)"),
)


@equation(
    "cards.10", "l.27",
    rf"{LOG_P_X} - {KL_POSTERIOR} = {LOG_P_X}\quad (\text{{at }} \theta \text{{ and }} \theta')",
    BEFORE_AND_AFTER,
    kind="claim",
    claim='The card says that the left side "is exactly what we want to maximize" (l.27).',
    says="Before the step, q is the posterior at theta; after the step, q is the posterior at theta'. So the left side "
    "equals log p(x) before and after the step, and rises only if log p(x) rises.",
    needs="q is the posterior at theta and at theta' (for another q, the left side can rise while log p(x) falls)",
    outside=(
        {"w": (3**0.5, 1), "s": (1, 1), "x": 2, "follows": 0},
        {"w": (1, 1), "s": (2, 1), "x": 0, "follows": 0},
    ),
)  # fmt: skip
def card_10(w, s, x, follows):
    mu, sigma = linear_posterior(w, s, x)
    q = follows * mu, follows * sigma + 1 - follows         # (n, 2) each
    elbo = linear_elbo(*(array[..., None] for array in (w, s, x + 0 * w, *q)))
    return elbo[..., 0], "=", linear_log_evidence(w, s, x)


@equation(
    "cards.11", "l.27",
    rf"\left[\frac{{d}}{{dt}}\mathrm{{ELBO}}\right] = \left[-\frac{{d}}{{dt}}{KL_POSTERIOR}\right]"
    rf" = \left[\mathrm{{Var}}_{{\mathbf{{z}}\sim {Q}}}\left[\log\frac{{{Q}}}{{{P_POSTERIOR}}}\right]\right]",
    (P_XZ, PHI),
    kind="claim",
    claim='The card says that p(x) "is fixed with respect to" q (l.27).',
    says="In a small step of phi, the ELBO rises by as much as the divergence falls. p(x) depends on theta, but not on q.",
)  # fmt: skip
def card_11(p_xz, phi):
    q, p_z_given_x = softmax(phi), posterior(p_xz)
    after = lambda t: softmax(phi + t * (np.log(p_xz) - phi))  # noqa: E731
    elbo = lambda q: total(q * (np.log(p_xz) - np.log(q)))  # noqa: E731
    divergence = lambda q: total(q * (np.log(q) - np.log(p_z_given_x)))  # noqa: E731
    spread = mean(q, (log(q / p_z_given_x) - kl(q, p_z_given_x)) ** 2)
    return (
        complex_step(lambda t: elbo(after(t)), 0),
        "=", -complex_step(lambda t: divergence(after(t)), 0),
        "=", spread,
    )  # fmt: skip
