"""LM, "Variational AutoEncoder": the second displayed formula, the bound, and the remarks on it."""

import numpy as np

from derivations.engine.domains import positive, positives, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import kl_normal, kl_of_weights, log, mean, minus_log, times, total
from derivations.engine.worlds import (
    evidence,
    likelihood,
    linear_elbo,
    linear_log_evidence,
    linear_posterior,
    posterior,
)
from derivations.lm.first_display import (
    GAP,
    LINE_1,
    LINE_2,
    ONLY_JENSEN,
    TABLES,
    WHOLE_TABLES,
    P,
    gap,
    line_1,
    line_2,
    prior_in_every_row,
)
from derivations.odaibo.objective import NEEDED_BY_BAYES, OUTSIDE, OUTSIDE_BAYES, POSTERIOR

KL_POSTERIOR = r"D_{KL}(q(z|x)\Vert p(z|x))"
KL_PRIOR = r"D_{KL}(q_\phi(z|x)\Vert p(z))"
RECONSTRUCTION = r"E_q(\ln p_\theta(x|z))"
MINUS_F = rf"-\left[{KL_PRIOR} - {RECONSTRUCTION}\right]"
LINE_3 = r"\int q(z|x)\ln\frac{p(x, z)}{q(z|x)}dz + \int q(z|x)\ln\frac{q(z|x)}{p(z|x)}dz"
ASSUMED = {"needs": "p(x) > 0 and q(z|x) sums to 1", "outside": OUTSIDE}
ASSUMED_BY_BAYES = {"needs": NEEDED_BY_BAYES.replace("x_i", "x"), "outside": OUTSIDE_BAYES}
JOINT_IS_ZERO = {"p_xz": [[0.3, 0], [0.3, 0.4]], "q": [[0.5, 0.5], [0.5, 0.5]]}          # line 3 would be -inf + inf
ASSUMED_POSITIVE = {"needs": "p(x, z) > 0, and q(z|x) sums to 1", "outside": (*OUTSIDE, JOINT_IS_ZERO)}


def near_zero(value):
    """Mark a side of a formula that can be near 0. For such a side, absolute errors are checked, not relative errors."""
    return Zero(1, value)


def line_3(p_xz, q):
    """Return the right side of line 3 of the second displayed formula."""
    return total(times(q, log(p_xz / q))) + total(times(q, log(q / posterior(p_xz))))


def divergence(p_xz, q):
    """Return KL(q(z|x) || p(z)) for every x."""
    return kl_of_weights(q, prior_in_every_row(p_xz))


def reconstruction(p_xz, q):
    """Return E_q[ln p(x|z)] for every x."""
    return total(times(q, log(likelihood(p_xz))))


def minus_free_energy(p_xz, q):
    """Return -F = -[KL(q(z|x) || p(z)) - E_q[ln p(x|z)]], as in lines 4 and 5 of the second displayed formula."""
    return -(divergence(p_xz, q) - reconstruction(p_xz, q))


@equation(
    "lm.14", "l.24 display 2, line 1", rf"\ln p_\theta(x) = {LINE_1}", (P,),
    says="This repeats line 1 of the first displayed formula: ln p(x) is the mean of ln p(x|z) over the prior.",
    verdict="wrong", group="lm.3", fault=ONLY_JENSEN,
)  # fmt: skip
def lm_14(p_xz):
    return log(evidence(p_xz)), "=", line_1(p_xz)


@lm_14.corrected(rf"\ln p_\theta(x) = {LINE_1} + {GAP}")
def _(p_xz):
    return log(evidence(p_xz)), "=", line_1(p_xz) + gap(p_xz)


@equation(
    "lm.15", "l.24 display 2, line 2 and the step to line 3", rf"{LINE_2} = {LINE_3}", WHOLE_TABLES,
    says="The page goes from line 2 to line 3 in one step.",
    verdict="wrong", group="lm.3",
    fault="Line 3 equals ln p(x), but line 2 can be smaller, so line 2 does not lead to line 3. Line 3 follows if ln "
    "p(x) is multiplied by the integral of q(z|x), which is 1.",
)  # fmt: skip
def lm_15(p_xz, q):
    return line_2(p_xz, q), "=", line_3(p_xz, q)


@lm_15.corrected(
    r"\ln p_\theta(x) = \ln p_\theta(x)\int q(z|x)\,dz = \int q(z|x)\ln\frac{p(x, z)}{p(z|x)}dz"
    r" = \int q(z|x)\ln\left(\frac{p(x, z)}{q(z|x)}\frac{q(z|x)}{p(z|x)}\right)dz"
    rf" = {LINE_3}"
)
def _(p_xz, q):
    log_p_x, p_z_given_x = log(evidence(p_xz)), posterior(p_xz)
    return (
        log_p_x,
        "=", log_p_x * total(q),
        "=", total(times(q, log(p_xz / p_z_given_x))),
        "=", total(times(q, log(p_xz / q * (q / p_z_given_x)))),
        "=", line_3(p_xz, q),
    )  # fmt: skip


@equation(
    "lm.16", "l.24 display 2, line 3", rf"\ln p_\theta(x) = {LINE_3}", TABLES,
    says="ln p(x) is the bound plus the divergence of q from the posterior.", **ASSUMED_POSITIVE,
)  # fmt: skip
def lm_16(p_xz, q):
    return near_zero(log(evidence(p_xz))), "=", line_3(p_xz, q)


@equation(
    "lm.17", "l.24 display 2, line 4", rf"\left[\ln p_\theta(x)\right] = {MINUS_F} + {KL_POSTERIOR}", TABLES,
    says="The joint is likelihood times prior, so the bound is the reconstruction minus the divergence from the "
    "prior.", **ASSUMED_POSITIVE,
)  # fmt: skip
def lm_17(p_xz, q):
    return near_zero(log(evidence(p_xz))), "=", minus_free_energy(p_xz, q) + kl_of_weights(q, posterior(p_xz))


@equation(
    "lm.18", "l.24 display 2, line 5",
    rf"\left[\ln p_\theta(x)\right] \geq {MINUS_F} = \left[\ln p_\theta(x) - {KL_POSTERIOR}\right]", TABLES,
    says="Without the KL from the posterior, a lower bound of ln p(x) remains. This bound equals ln p(x) only if q is the "
    "posterior.",
    tight=POSTERIOR, **ASSUMED_BY_BAYES,
)  # fmt: skip
def lm_18(p_xz, q):
    log_p_x = log(evidence(p_xz))
    return log_p_x, ">=", near_zero(minus_free_energy(p_xz, q)), "=", log_p_x - kl_of_weights(q, posterior(p_xz))


@equation(
    "lm.19", "l.24 display 2, lines 6 and 7", rf"{MINUS_F} := -F(x) := \mathcal L", TABLES,
    says="These two lines define two names: F for the free energy, and L for -F. (F and L also depend on q and theta.)",
    verdict="defines",
)  # fmt: skip
def lm_19(p_xz, q):
    energy, entropy = mean(q, -log(p_xz)), -mean(q, log(q))
    free_energy = energy - entropy
    L = log(evidence(p_xz)) - kl_of_weights(q, posterior(p_xz))
    return minus_free_energy(p_xz, q), ":=", -free_energy, ":=", L


@equation(
    "lm.20", "l.26",
    r"\int cq(z|x)\ln\frac{p(x, z)}{cq(z|x)}dz + \int cq(z|x)\ln\frac{cq(z|x)}{p(z|x)}dz ="
    r" \ln p(x)\int cq(z|x)\,dz = c\ln p(x)",
    (*TABLES, positive("c", "c", simple=(1, 1.3, 2))),
    kind="claim",
    claim="The text says that the derivation used the integral of q(z|x), which is 1 (l.26).",
    says="If c q replaces q, the sum of the two integrals is c ln p(x).",
)  # fmt: skip
def lm_20(p_xz, q, c):
    c, log_p_x = c[..., None], log(evidence(p_xz))
    return line_3(p_xz, c * q), "=", log_p_x * total(c * q), "=", c * log_p_x


@equation(
    "lm.21", "l.28",
    r"F(x) = E_q[-\ln p(x, z)] - H[q]"
    rf" = \left[-\ln p(x) + {KL_POSTERIOR}\right] \geq \left[-\ln p(x)\right]", TABLES,
    kind="claim", tight=POSTERIOR, **ASSUMED_BY_BAYES,
    claim="The text calls F the free energy (l.28).",
    says="F is the variational free energy: energy minus entropy. The smallest value of F is -ln p(x).",
)  # fmt: skip
def lm_21(p_xz, q):
    entropy, minus_log_p_x = total(times(q, minus_log(q))), -log(evidence(p_xz))
    return (
        -minus_free_energy(p_xz, q),
        "=", near_zero(total(times(q, -log(p_xz))) - entropy),
        "=", minus_log_p_x + kl_of_weights(q, posterior(p_xz)),
        ">=", minus_log_p_x,
    )  # fmt: skip


@equation(
    "lm.22", "l.30", rf"\mathcal L = -{KL_PRIOR} + {RECONSTRUCTION}", TABLES,
    says="The evidence lower bound is minus the divergence from the prior, plus the reconstruction.", **ASSUMED_BY_BAYES,
)  # fmt: skip
def lm_22(p_xz, q):
    L = log(evidence(p_xz)) - kl_of_weights(q, posterior(p_xz))
    return near_zero(L), "=", -divergence(p_xz, q) + reconstruction(p_xz, q)


@equation(
    "lm.23", "l.32",
    rf"{KL_POSTERIOR} = \left[\int q(z|x)\ln\frac{{q(z|x)}}{{p(z|x)}}dz\right] \geq 0", TABLES,
    kind="claim", tight=POSTERIOR, **ASSUMED,
    claim='The text drops the divergence of q from p(z|x), which "is always non-negative" (l.32).',
    says="The divergence of q from the posterior is never negative, and it is 0 if q is the posterior.",
)  # fmt: skip
def lm_23(p_xz, q):
    p_z_given_x = posterior(p_xz)
    return (
        near_zero(kl_of_weights(q, p_z_given_x)),
        "=", total(times(q, log(q / p_z_given_x))),
        ">=", Zero(1),
    )  # fmt: skip


# A step that changes only q, in the model x = w z + s eps: from q = N(mu, sigma^2) to q' = N(mu', sigma^2).

MU = vector("mu", r"(\mu, \mu')", 2, simple=((0.5, -2), (0, 1), (1, 0.5)))
SIGMA = positive("sigma", r"\sigma", simple=(0.5**0.5, 1))
MODEL = (real("w", "w", simple=(1, 2)), positive("s", "s", simple=(1, 2)), real("x", "x", simple=(1, 0)))


def bounds(w, s, x, mu, sigma):
    """Return L for each of K Gaussians q, (n, K). A letter has the shape (n, 1) if it has one value for all K Gaussians."""
    return linear_elbo(*(letter[..., None] for letter in (w, s, x, mu, sigma)))[..., 0]


def gaps(w, s, x, mu, sigma):
    """Return KL(q || p(z|x)) for each of the K Gaussians q, (n, K)."""
    mean, deviation = linear_posterior(w, s, x)
    return kl_normal(*(letter[..., None] for letter in (mu, sigma, mean, deviation)))[..., 0]


def rises(values):
    """Return the sign of the change from the first value to the second, (n, 1)."""
    return np.sign(np.diff(values))


@equation(
    "lm.24", "l.32",
    r"\mathrm{sign}\left(\mathcal L(q') - \mathcal L(q)\right) ="
    r" \mathrm{sign}\left(D_{KL}(q'\Vert p(z|x)) - D_{KL}(q\Vert p(z|x))\right)", (MU, SIGMA, *MODEL),
    kind="claim", verdict="loose",
    claim='The text says that "we can not maximize this KL divergence" because p(z|x) is unknown (l.32).',
    says='Read literally, "maximize" means that L rises when the KL rises.',
    fault='"Maximize" should be "minimise": for fixed theta, L decreases by as much as the KL of q from p(z|x) increases.',
)  # fmt: skip
def lm_24(mu, sigma, w, s, x):
    return rises(bounds(w, s, x, mu, sigma)), "=", rises(gaps(w, s, x, mu, sigma))


@lm_24.precise(r"\mathcal L(q) + D_{KL}(q\Vert p(z|x)) = \ln p(x)")
def _(mu, sigma, w, s, x):
    return bounds(w, s, x, mu, sigma) + gaps(w, s, x, mu, sigma), "=", linear_log_evidence(w, s, x)


# A step that changes q and the model. theta is s, the standard deviation of the decoder's noise.

STEP = (
    vector("mu", r"(\mu, \mu')", 2, simple=((0, 0.5), (0, 0))),
    positives("sigma", r"(\sigma, \sigma')", 2, simple=((1, 1), (1, 0.5**0.5))),
    real("w", "w", simple=(1, 2)),
    positives("s", "(s, s')", 2, simple=((2, 1), (1, 1))),
    real("x", "x", simple=(0, 1)),
)
KL_OF = r"D_{KL}(q\Vert p_\theta(z|x))", r"D_{KL}(q'\Vert p_{\theta'}(z|x))"


@equation(
    "lm.25", "l.32",
    r"\mathrm{sign}\left(\mathcal L_{\theta'}(q') - \mathcal L_\theta(q)\right) ="
    rf" \mathrm{{sign}}\left({KL_OF[0]} - {KL_OF[1]}\right) ="
    r" \mathrm{sign}\left(\ln p_{\theta'}(x) - \ln p_\theta(x)\right)", STEP,
    kind="claim", verdict="loose",
    claim="The text says that a q that maximises L also minimises the KL and maximises the log-likelihood (l.32).",
    says="Read literally, the text says: whenever L rises, the KL falls and ln p(x) rises.",
    fault="For fixed theta, a step that raises L lowers the KL and does not change ln p(x). If theta changes, L can rise "
    "while the KL rises or ln p(x) falls.",
)  # fmt: skip
def lm_25(mu, sigma, w, s, x):
    return (
        rises(bounds(w, s, x, mu, sigma)),
        "=", rises(-gaps(w, s, x, mu, sigma)),
        "=", rises(linear_log_evidence(w, s, x)),
    )  # fmt: skip


@lm_25.precise(r"\mathcal L_\theta(q) + D_{KL}(q\Vert p_\theta(z|x)) = \ln p_\theta(x)")
def _(mu, sigma, w, s, x):
    return bounds(w, s, x, mu, sigma) + gaps(w, s, x, mu, sigma), "=", linear_log_evidence(w, s, x)
