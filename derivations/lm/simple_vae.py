"""LM, "Variational AutoEncoder": the section "Simple VAE". Its entries check the picture of a VAE and the
reparameterisation trick.
"""

import numpy as np
from numpy import exp

from derivations.engine.domains import positive, real
from derivations.engine.equation import equation
from derivations.engine.graph import arrows
from derivations.engine.numerics import HERMITE, complex_step, expect, integrate, normal, total
from derivations.engine.worlds import chosen, small_vae
from derivations.lm.first_display import MU, SIGMA
from minivae.gaussian import (
    log_normal_backward,
    reparameterize,
    reparameterize_backward,
)

# In a picture of a VAE, an arrow leads from each quantity to every quantity that is computed from it. The dict DRAWN
# contains all these arrows as {end of arrows: their starts}. (The picture of the source is lost in our copy.)

DRAWN = {
    "encoder_hs": ("x", "encoder weights"),
    "mu": ("encoder_hs",),
    "log_var": ("encoder_hs",),
    "z": ("mu", "log_var", "eps"),      # no arrow leads to eps
    "decoder_hs": ("z", "decoder weights"),
    "out": ("decoder_hs",),
    "log_px_z": ("x", "out"),
    "kl": ("mu", "log_var"),
    "loss": ("log_px_z", "kl"),
}


@equation(
    "lm.40", "l.62-64 figure",
    r"\left|\text{arrows drawn} - \text{arrows of the model}\right| < 1",
    kind="figure", verdict="figure",
    says="A picture of a VAE has the same arrows as the model: from x to the encoder, then to mu and Sigma, then to z, then "
    "to the decoder, then to the loss. (Our copy has lost the picture.)",
)  # fmt: skip
def lm_40():
    vae, rng = small_vae(hidden=(5,)), np.random.default_rng(2)
    found = arrows(vae, rng.normal(size=(4, 3)), rng.normal(size=(7, 4, 2)), rng)
    drawn = {(start, end) for end, starts in DRAWN.items() for start in starts}
    names = sorted({name for arrow in drawn | found for name in arrow})
    table = lambda chosen: np.array([[float((a, b) in chosen) for b in names] for a in names])  # noqa: E731
    return np.abs(table(drawn) - table(found)), "<", 1


@equation(
    "lm.41", "l.66",
    r"\int\exp(tz)\,\mathcal N(z; \mu, \sigma^2)\,dz = E_\epsilon[\exp(t(\mu + \sigma\epsilon))]"
    r" = \exp\left(t\mu + \frac{t^2\sigma^2}{2}\right)",
    (MU, SIGMA, real("t", "t", 0.4, (0.5, 1, -1))),
    kind="claim",
    claim='The text says that "we will have to sample from the Gaussian" with these parameters (l.66).',
    says="mu + sigma eps has the moment-generating function of N(mu, sigma^2), so it has this distribution.",
)  # fmt: skip
def lm_41(mu, sigma, t):
    integrand = lambda z: exp(t * z) * normal(z, mu, sigma)  # noqa: E731
    return (
        integrate(integrand, mu + t * sigma**2, sigma),
        "=", expect(lambda eps: exp(t * (mu + sigma * eps)), 0, 1),
        "=", exp(t * mu + t**2 * sigma**2 / 2),
    )  # fmt: skip


NODES, WEIGHTS = HERMITE[0], HERMITE[1] / HERMITE[1].sum()


@lm_41.tied("minivae.gaussian.reparameterize")
def _(mu, sigma, t):
    z = reparameterize(mu, 2 * np.log(sigma), NODES[:, None, None])             # (60, n, 1)
    return (WEIGHTS @ exp(t[:, 0] * z[..., 0]))[:, None]


# Two estimators of the gradient of E_q[z^2] with respect to mu. Their means and variances are computed over eps.

ABOVE_ZERO = positive("mu", r"\mu", simple=(1, 2)), positive("sigma", r"\sigma", simple=(1, 0.5))
PASSES = chosen("passes", r"\partial_\mu z", 1, "1 (it would be 0 if the drawn z were treated as a constant)")


def mean_and_variance(of_draw):
    """Return mean and variance of `of_draw` over eps, (n, 2). `of_draw` (n, 60) has one value for each node of eps."""
    mean = total(WEIGHTS * of_draw)
    return np.hstack([mean, total(WEIGHTS * (of_draw - mean) ** 2)])


@equation(
    "lm.42", "l.66",
    r"\left(\frac{d}{d\mu}E_q[z^2],\; 4\sigma^2,\; \frac{d}{d\mu}E_q[z^2],\;"
    r" \frac{\mu^4}{\sigma^2} + 14\mu^2 + 15\sigma^2\right) ="
    r" \left(E_\epsilon[g],\; Var_\epsilon[g],\; E_\epsilon[h],\; Var_\epsilon[h]\right),"
    r"\quad g \,\mathrm{is}\, 2z\,\partial_\mu z,\; h \,\mathrm{is}\, z^2\,\partial_\mu\ln q",
    (*ABOVE_ZERO, PASSES), kind="claim",
    claim="The text says that sampling stops the propagation of errors, and that the reparametrization trick solves this "
    "problem (l.66).",
    says="g is the gradient estimate with the trick, and h is the score function estimate. Both g and h are unbiased. h "
    "does not need the trick, but h has more variance.",
    needs="z is a function of mu (if z is a constant, g is 0)",
    outside={"mu": 1, "sigma": 1, "passes": 0},
)  # fmt: skip
def lm_42(mu, sigma, passes):
    z = mu + sigma * NODES                                  # (n, 60)
    slope = complex_step(lambda mu: total(WEIGHTS * (mu + sigma * NODES) ** 2), mu)
    g, h = 2 * z * passes, z**2 * (z - mu) / sigma**2
    return (
        np.hstack([slope, 4 * sigma**2, slope, mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2]),
        "=", np.hstack([mean_and_variance(g), mean_and_variance(h)]),
    )  # fmt: skip


@lm_42.tied("minivae.gaussian.reparameterize_backward")
@lm_42.tied("minivae.gaussian.log_normal_backward")
def _(mu, sigma, passes):
    # minivae sums the gradients over all draws of a datum. So each quadrature node is treated as a datum with one draw.
    mu, log_var = np.repeat(mu, len(NODES), axis=0), 2 * np.log(np.repeat(sigma, len(NODES), axis=0))
    eps = np.resize(NODES, mu.shape)[None]                                      # (1, 60 n, 1)
    z = reparameterize(mu, log_var, eps)
    g, _ = reparameterize_backward(2 * z, mu, log_var, eps)
    _, h, _ = log_normal_backward(z[..., 0] ** 2, z, mu, log_var)
    by_node = lambda gradient: gradient.reshape(-1, len(NODES))  # noqa: E731
    return np.hstack([mean_and_variance(by_node(g)), mean_and_variance(by_node(h))])
