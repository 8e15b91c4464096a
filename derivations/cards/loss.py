"""Flashcards, "Auto-Encoding Variational Bayes", card "derive the ELBO loss function". Second half: the loss.

In cards.12 and cards.13 the model is a small linear VAE of minivae with fixed weights, so log p(x) and p(z|x) are known,
and x is the only variable.
"""

import numpy as np

from derivations.cards.elbo import KL_POSTERIOR, KL_PRIOR, LOG_P_X, RECONSTRUCTION
from derivations.engine.domains import Symbol, positive, real
from derivations.engine.equation import equation
from derivations.engine.graph import arrows, reaches
from derivations.engine.numerics import (
    kl_normal,
    kl_normal_full,
    log_density,
    log_density_full,
    need_above_zero,
    noise,
    total,
)
from derivations.engine.worlds import linear_elbo, linear_log_evidence, linear_posterior, small_vae
from derivations.odaibo.batch import BY_MINIVAE
from derivations.odaibo.claims import linear_model
from derivations.odaibo.objective import DATUM
from minivae.gaussian import kl_standard_normal

LOSS = r"L_\text{VAE}(\theta, \phi)"
# Four draws of noise. The mean of a quadratic function over these draws is its exact expectation over N(0, I).
CORNERS = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])[:, None]


def form_1(x):
    """Return -log p(x) + KL(q || p(z|x)), from the exact evidence and posterior."""
    mu, sigma, W, b, s = linear_model(x)
    precision = np.eye(2) + W @ W.T / s**2
    cov = np.broadcast_to(np.linalg.inv(precision), (len(x), 2, 2))
    cov_q = sigma[:, 0, :, None] ** 2 * np.eye(2)
    gap = kl_normal_full(mu[:, 0], cov_q, (x - b) @ W.T @ cov[0] / s**2, cov)
    return -log_density_full(x[:, None], b, W.T @ W + s**2 * np.eye(3)) + gap


def expected(f, x):
    """Return E_q[f(z, x, W, b, s)] as a sum over nine nodes. It is exact for polynomials f in z up to degree 5."""
    mu, sigma, *decoder = linear_model(x)
    eps, weights = noise(2)
    return total(weights * f(mu + sigma * eps, x[:, None], *decoder))


def log_p_x_given_z(z, x, W, b, s):
    """Return log p(x|z), (n, K)."""
    return log_density(x, z @ W + b, s).sum(axis=-1)


def log_joint(z, x, W, b, s):
    """Return log p(x, z), (n, K), from the Gaussian density of the pair (z, x)."""
    cov = np.block([[np.eye(2), W], [W.T, W.T @ W + s**2 * np.eye(3)]])
    at = np.concatenate([z, np.broadcast_to(x, (*z.shape[:2], 3))], axis=-1)
    return log_density_full(at, np.concatenate([np.zeros(2), b]), cov)


@equation(
    "cards.12", "l.31", rf"{LOSS} = -{LOG_P_X} + {KL_POSTERIOR}", (DATUM,),
    says="The loss is minus the ELBO in its first form: -log p(x) plus the divergence of q from the posterior.",
)  # fmt: skip
def card_12(x):
    mu, sigma, *_ = linear_model(x)
    log_q = lambda z, *_: log_density(z, mu, sigma).sum(axis=-1)  # noqa: E731
    return expected(log_q, x) - expected(log_joint, x), "=", form_1(x)


@card_12.tied("minivae.vae.VAE.elbo")
def _(x):
    return -small_vae().elbo(x, CORNERS * np.ones((len(x), 1)))[:, None]


@equation(
    "cards.13", "l.33", rf"{LOSS} = -{RECONSTRUCTION} + {KL_PRIOR}", (DATUM,),
    says="Programs compute this form of the loss: minus the reconstruction plus the divergence from the prior.",
)  # fmt: skip
def card_13(x):
    mu, sigma, *_ = linear_model(x)
    kl_prior = sum(kl_normal(mu[..., j], sigma[..., j], 0, 1) for j in range(2))
    return form_1(x), "=", -expected(log_p_x_given_z, x) + kl_prior


@card_13.tied("minivae.vae.VAE.loss", draws=10)
def _(x):
    vae = small_vae()
    of_each = np.vectorize(lambda x: vae.loss(x[None], CORNERS), signature="(d)->()")
    return of_each(x)[:, None]


@card_13.tied("minivae.gaussian.kl_standard_normal")
def _(x):
    mu, sigma, *_ = linear_model(x)
    return total(kl_standard_normal(mu[:, 0], 2 * np.log(sigma[:, 0]))) - expected(log_p_x_given_z, x)


# The minimum of the loss for one datum x. theta = (w, s) in x = w z + s eps, and phi = (a, sigma) in q = N(a x, sigma^2).
# The loss on the card has no sum over data. For one datum, the loss is smallest if w^2 + s^2 = x^2 and q is the posterior.
# The letter t chooses one of these pairs (w, s).

ANGLE = Symbol("t", "t", "real, 0 for w = s", 1, lambda raw: 0.4 * raw, (0, 0.5))
WEIGHTS = (
    positive("w", "w", simple=(1, 2)), positive("s", "s", simple=(1, 0.5)),
    real("a", "a", simple=(0, 0.5)), positive("sigma", r"\sigma", simple=(1, 0.5)),
)  # fmt: skip
ONE_DATUM = Symbol("x", "x", "real, not 0", 1, lambda raw: raw + np.where(raw < 0, -0.2, 0.2), (1, 2))
BEST = 0.5**0.5


def linear_loss(x, w, s, a, sigma):
    """Return minus the ELBO of one datum, by quadrature."""
    return -linear_elbo(w, s, x, a * x, sigma)


@equation(
    "cards.14", "l.35",
    r"\{\theta^{*}, \phi^{*} = \arg\min_{\theta, \phi} L_\text{VAE}\}:\;"
    r" \left[-\log p_{\theta^{*}}(x)\right] = L_\text{VAE}(\theta^{*}, \phi^{*})"
    r" = L_\text{VAE}(-\theta^{*}, -\phi^{*}) \leq L_\text{VAE}(\theta, \phi)",
    (ANGLE, ONE_DATUM, *WEIGHTS),
    says="theta* and phi* have the smallest loss. These weights are not unique: all w, s > 0 with w^2 + s^2 = x^2 are "
    "optimal, and -z in place of z gives the same loss. The first equality holds because, in this linear model, q can be "
    "the posterior.",
    needs="x is not 0 (for x = 0 the loss has no minimum)",
    undefined="for x = 0 the loss falls without bound as w and s go to 0",
    outside={"t": 0, "x": 0, "w": 1, "s": 1, "a": 1, "sigma": 1},
    tight={"t": 0, "x": 1, "w": BEST, "s": BEST, "a": BEST, "sigma": BEST},
)  # fmt: skip
def card_14(t, x, w, s, a, sigma):
    size = np.sqrt(need_above_zero("x^2", x**2))
    angle = np.pi / 4 + np.arctan(t) / 2                    # between 0 and pi / 2
    best_w, best_s = size * np.cos(angle), size * np.sin(angle)
    mean, best_sigma = linear_posterior(best_w, best_s, x)
    return (
        -linear_log_evidence(best_w, best_s, x),
        "=", linear_loss(x, best_w, best_s, mean / x, best_sigma),
        "=", linear_loss(x, -best_w, best_s, -mean / x, best_sigma),
        "<=", linear_loss(x, w, s, a, sigma),
    )  # fmt: skip


@card_14.tied("minivae.vae.VAE.loss", draws=10)
def _(t, x, w, s, a, sigma):
    phi = np.stack([a, 0 * a, 0 * a, sigma], axis=1)        # (n, 4, 1): mu = a x; sigma does not depend on x
    return BY_MINIVAE(phi, w, s, x)[:, :1]


# The graphical model. It shows which quantities change the parameters of p(x|z), and which change the parameters of q(z|x).

DRAWN = {                                                   # (solid arrow, dashed arrow): 1 if the arrow is drawn
    "decoder weights": (1, 0),                              # theta
    "z": (1, 0),
    "encoder weights": (0, 1),                              # phi
    "x": (0, 1),
}  # fmt: skip


@equation(
    "cards.15", "l.37 VAE-graphical-model.png",
    r"\left|\text{arrows drawn} - \text{arrows of the model}\right| < 1",
    kind="figure", verdict="figure",
    says="Solid arrows: p(x|z) depends on theta and z. Dashed arrows: q(z|x) depends on phi and x. A datum has no effect on "
    "the z of another datum, so one plate (a box that stands for N repetitions) is enough.",
)  # fmt: skip
def card_15():
    vae, rng = small_vae(hidden=(5,)), np.random.default_rng(1)
    x, eps = rng.normal(size=(4, 3)), rng.normal(size=(7, 4, 2))
    found = arrows(vae, x, eps, rng)
    given_z = {(a, b) for a, b in found if b != "z"}        # without the arrows into z
    on_q = lambda a: reaches(found, a, "mu") and reaches(found, a, "log_var")  # noqa: E731
    acts = [(reaches(given_z, a, "out"), on_q(a)) for a in DRAWN]
    mu, one_changed = vae.encode(x)[0], x + np.eye(4)[..., None]                # (4, 2), (4, 4, 3)
    across = [np.any(vae.encode(other)[0] != mu, axis=-1) for other in one_changed]
    differences = [np.subtract([*DRAWN.values()], acts), np.eye(4) - across]
    return np.abs(np.concatenate([d.ravel() for d in differences])), "<", 1
