"""Odaibo, "Tutorial: Deriving the Standard VAE Loss Function": "Closed form VAE Loss", equations (29) to (40).

From (29) to (39) the page writes x where it means the latent z. (29) and (30) define functions of z, and (31) to (34) are
integrals over z, so x is not defined there: these six lines are slips. (The datum has another name, x_i.) Inside E_q{ } the
letter x is harmless, because it is only the variable over which the mean is taken. A side in square brackets is our
addition: it is the left side of (31), which the page does not repeat.
"""

from math import pi

import numpy as np
from numpy import exp, sqrt

from derivations.engine.domains import Symbol, positive, real
from derivations.engine.equation import equation
from derivations.engine.numerics import expect, integrate, kl_normal, log, log_density, normal
from derivations.engine.worlds import MU_P, MU_Q, SIGMA_P, SIGMA_Q
from minivae.gaussian import (
    entropy_diagonal,
    kl_diagonal,
    kl_standard_normal,
    log_normal,
    log_standard_normal,
)

Z, X = real("z", "z"), real("x", "x", simple=(0.7, 1, 0))


def tenths(raw):
    """Return 1.2 * raw, rounded to multiples of 0.1. Two such numbers are equal or differ by at least 0.1."""
    return np.round(12 * raw) / 10


def hundredths(raw):
    """Return 1.2 * raw, rounded to multiples of 0.01."""
    return np.round(120 * raw) / 100


# If q is close to p, each side below subtracts nearly equal numbers, so few of its digits are correct. So a drawn mu_q is a
# multiple of 0.1, and a drawn mu_p is halfway between two multiples: q and p differ. In (40), the drawn q can be equal to
# the prior N(0, 1). Then all sides are exactly 0. If any other q is drawn, all sides are at most -5e-5.

TWO = (
    Symbol("mu_q", r"\mu_q", "real, drawn as a multiple of 0.1", 1, tenths, (1, 0.5, -2)),
    positive("sigma_q", r"\sigma_q", simple=(0.5, 1, 2)),
    Symbol("mu_p", r"\mu_p", "real, drawn halfway between multiples of 0.1", 1, lambda raw: tenths(raw) + 0.05, (0, -1, 2)),
    SIGMA_P,
)
TWO_AND_X = (X, *TWO)
HUNDREDTHS_MU = Symbol("mu_q", r"\mu_q", "real; drawn as a multiple of 0.01", 1, hundredths, (0, 1, -1, 2, 0.5))
HUNDREDTHS_SIGMA = Symbol(
    "sigma_q", r"\sigma_q", "> 0; drawn as a multiple of 0.01", 1, lambda raw: np.ceil(100 * exp(raw / 2)) / 100, (1, 2)
)
HUNDREDTHS_A = Symbol("a", "a", "real; drawn as a multiple of 0.01", 1, hundredths, (1, 2, -1))
HUNDREDTHS_B = Symbol("b", "b", "real; drawn as a multiple of 0.01", 1, hundredths, (1, -1, 3))

# Parts of formulas that occur in several lines of the source

KL = r"D_{KL}(q_\theta(z|x_i)||p(z))"
BELL_Q, BELL_P = (rf"\exp\left(-\frac{{(x-\mu_{k})^2}}{{2\sigma_{k}^2}}\right)" for k in "qp")
FRONT_Q, FRONT_P = (rf"\frac{{1}}{{\sqrt{{2\pi\sigma_{k}^2}}}}" for k in "qp")
SQUARE_Q, SQUARE_P = (rf"\frac{{(x-\mu_{k})^2}}{{2\sigma_{k}^2}}" for k in "qp")
HALF_Q, HALF_P = (rf"\frac{{1}}{{2\sigma_{k}^2}}" for k in "qp")
RATIO = r"\log\left(\frac{\sigma_q}{\sigma_p}\right)"
FREE_X = {
    "verdict": "slip", "group": "odaibo.29",
    "fault": "The integral is over z, but the integrand has x everywhere. The integrand should have z.",
}  # fmt: skip


def bell(z, mu, sigma):
    """Return exp(-(z - mu)^2 / (2 sigma^2)), a Gaussian without its normalising factor."""
    return exp(-((z - mu) ** 2) / (2 * sigma**2))


def normalised_bell(z, mu, sigma):
    """Return the density at z: the bell divided by its integral."""
    return bell(z, mu, sigma) / integrate(lambda u: bell(u, mu, sigma), mu, sigma)


def minus_kl(mu_q, sigma_q, mu_p, sigma_p):
    """Return -KL(q || p) = E_q[log p - log q] by Gauss-Hermite quadrature.

    The statements below compare this number with an integral from `over_z`, which uses the trapezoid rule.
    """
    return expect(lambda z: log_density(z, mu_p, sigma_p) - log_density(z, mu_q, sigma_q), mu_q, sigma_q)


def over_z(inside, mu_q, sigma_q, mu_p, sigma_p):
    """Return the integral over z of `inside`, one of the functions inside_31 to inside_34 below."""
    return integrate(lambda z: inside(z, mu_q, sigma_q, mu_p, sigma_p), mu_q, sigma_q)


def integral_of_constant(constant):
    """Return the integral of a constant over all z. It is 0 for the constant 0, and infinite otherwise."""
    return np.where(constant == 0, 0.0, np.copysign(np.inf, constant))


def with_z(latex: str) -> str:
    """Return the formula `latex` with z in place of x."""
    return latex.replace("(x-", "(z-")


LATEX_29 = rf"p(z) \to {FRONT_P} {BELL_P}"
LATEX_30 = rf"q_\theta(z|x_i) \to {FRONT_Q} {BELL_Q}"


@equation(
    "odaibo.29", "l.186 (29)", LATEX_29, (Z, MU_P, SIGMA_P),
    says="The prior is a Gaussian. The factor in front of exp makes the integral of this density 1.",
    verdict="slip", fault="p(z) is a function of z, but the right side has x. The right side should have z.",
)  # fmt: skip
def eq_29(z, x, mu_p, sigma_p):
    return normalised_bell(z, mu_p, sigma_p), ":=", 1 / sqrt(2 * pi * sigma_p**2) * bell(x, mu_p, sigma_p)


@eq_29.intended(with_z(LATEX_29))
def _(z, mu_p, sigma_p):
    return normalised_bell(z, mu_p, sigma_p), ":=", 1 / sqrt(2 * pi * sigma_p**2) * bell(z, mu_p, sigma_p)


@eq_29.tied("minivae.gaussian.log_standard_normal")
def _(z, mu_p, sigma_p):
    return exp(log_standard_normal((z - mu_p) / sigma_p))[:, None] / sigma_p  # u = (z - mu_p) / sigma_p; p(z) = p(u) du/dz


@equation(
    "odaibo.30", "l.191 (30)", LATEX_30, (Z, X, MU_Q, SIGMA_Q),
    says="The approximate posterior is a Gaussian. The mean mu_q and the standard deviation sigma_q depend on the "
    "datum.", group="odaibo.29",
    verdict="slip", fault="q(z|x_i) is a function of z, but the right side has x. The right side should have z.",
)  # fmt: skip
def eq_30(z, x, mu_q, sigma_q):
    return normalised_bell(z, mu_q, sigma_q), ":=", 1 / sqrt(2 * pi * sigma_q**2) * bell(x, mu_q, sigma_q)


@eq_30.intended(with_z(LATEX_30), inputs=(Z, MU_Q, SIGMA_Q))
def _(z, mu_q, sigma_q):
    return normalised_bell(z, mu_q, sigma_q), ":=", 1 / sqrt(2 * pi * sigma_q**2) * bell(z, mu_q, sigma_q)


@eq_30.tied("minivae.gaussian.log_normal")
def _(z, mu_q, sigma_q):
    return exp(log_normal(z, mu_q, 2 * log(sigma_q)))[:, None]


# The printed integrands of (31) to (34), as functions of their letter x


def inside_31(x, mu_q, sigma_q, mu_p, sigma_p):
    log_of_quotient = log_density(x, mu_p, sigma_p) - log_density(x, mu_q, sigma_q)     # p / q could be 0 / 0
    return 1 / sqrt(2 * pi * sigma_q**2) * bell(x, mu_q, sigma_q) * log_of_quotient


def inside_32(x, mu_q, sigma_q, mu_p, sigma_p):
    return 1 / sqrt(2 * pi * sigma_q**2) * bell(x, mu_q, sigma_q) * (
        -log(2 * pi) / 2 - log(sigma_p) - (x - mu_p) ** 2 / (2 * sigma_p**2)
        + log(2 * pi) / 2 + log(sigma_q) + (x - mu_q) ** 2 / (2 * sigma_q**2)
    )  # fmt: skip


def inside_33(x, mu_q, sigma_q, mu_p, sigma_p):
    return bell(x, mu_q, sigma_q) * (
        -log(sigma_p) - (x - mu_p) ** 2 / (2 * sigma_p**2) + log(sigma_q) + (x - mu_q) ** 2 / (2 * sigma_q**2)
    )


def inside_34(x, mu_q, sigma_q, mu_p, sigma_p):
    return bell(x, mu_q, sigma_q) * (
        log(sigma_q / sigma_p) - (x - mu_p) ** 2 / (2 * sigma_p**2) + (x - mu_q) ** 2 / (2 * sigma_q**2)
    )


QUOTIENT = rf"\frac{{{FRONT_P} {BELL_P}}}{{{FRONT_Q} {BELL_Q}}}"
LATEX_31 = rf"-{KL} = \int {FRONT_Q} {BELL_Q} \log\left({QUOTIENT}\right) dz"
LATEX_32 = (
    rf"[-{KL}] = \int {FRONT_Q} {BELL_Q} \left\{{-\frac{{1}}{{2}}\log(2\pi) - \log(\sigma_p) - {SQUARE_P}"
    rf" + \frac{{1}}{{2}}\log(2\pi) + \log(\sigma_q) + {SQUARE_Q}\right\}} dz"
)
LATEX_33 = (
    rf"[-{KL}] = {FRONT_Q} \int {BELL_Q}"
    rf" \left\{{-\log(\sigma_p) - {SQUARE_P} + \log(\sigma_q) + {SQUARE_Q}\right\}} dz"
)
LATEX_34 = rf"[-{KL}] = {FRONT_Q} \int {BELL_Q} \left\{{{RATIO} - {SQUARE_P} + {SQUARE_Q}\right\}} dz"


@equation(
    "odaibo.31", "l.198 (31)", LATEX_31, TWO_AND_X,
    says="With (29) and (30), the integral of q log(p/q) is minus the divergence.", **FREE_X,
)  # fmt: skip
def eq_31(x, mu_q, sigma_q, mu_p, sigma_p):
    return minus_kl(mu_q, sigma_q, mu_p, sigma_p), "=", integral_of_constant(inside_31(x, mu_q, sigma_q, mu_p, sigma_p))


@eq_31.intended(with_z(LATEX_31), inputs=TWO)
def _(mu_q, sigma_q, mu_p, sigma_p):
    return minus_kl(mu_q, sigma_q, mu_p, sigma_p), "=", over_z(inside_31, mu_q, sigma_q, mu_p, sigma_p)


@equation(
    "odaibo.32", "l.202-204 (32)", LATEX_32, TWO_AND_X,
    says="This line writes out the logarithms of both densities.", **FREE_X,
)  # fmt: skip
def eq_32(x, mu_q, sigma_q, mu_p, sigma_p):
    return minus_kl(mu_q, sigma_q, mu_p, sigma_p), "=", integral_of_constant(inside_32(x, mu_q, sigma_q, mu_p, sigma_p))


@eq_32.intended(with_z(LATEX_32), inputs=TWO)
def _(mu_q, sigma_q, mu_p, sigma_p):
    return minus_kl(mu_q, sigma_q, mu_p, sigma_p), "=", over_z(inside_32, mu_q, sigma_q, mu_p, sigma_p)


@eq_32.tied("minivae.divergences.entropy_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    return expect(lambda z: log_density(z, mu_p, sigma_p), mu_q, sigma_q) + entropy_diagonal(2 * log(sigma_q))


@equation(
    "odaibo.33", "l.209 (33)", LATEX_33, TWO_AND_X,
    says="The two terms with log(2 pi) cancel. The factor in front of exp does not depend on z, so it moves out of the "
    "integral.", **FREE_X,
)  # fmt: skip
def eq_33(x, mu_q, sigma_q, mu_p, sigma_p):
    left, front = minus_kl(mu_q, sigma_q, mu_p, sigma_p), 1 / sqrt(2 * pi * sigma_q**2)
    return left, "=", integral_of_constant(front * inside_33(x, mu_q, sigma_q, mu_p, sigma_p))


@eq_33.intended(with_z(LATEX_33), inputs=TWO)
def _(mu_q, sigma_q, mu_p, sigma_p):
    left, front = minus_kl(mu_q, sigma_q, mu_p, sigma_p), 1 / sqrt(2 * pi * sigma_q**2)
    return left, "=", front * over_z(inside_33, mu_q, sigma_q, mu_p, sigma_p)


@equation(
    "odaibo.34", "l.213 (34)", LATEX_34, TWO_AND_X,
    says="A difference of logarithms is the logarithm of a quotient.", **FREE_X,
)  # fmt: skip
def eq_34(x, mu_q, sigma_q, mu_p, sigma_p):
    left, front = minus_kl(mu_q, sigma_q, mu_p, sigma_p), 1 / sqrt(2 * pi * sigma_q**2)
    return left, "=", integral_of_constant(front * inside_34(x, mu_q, sigma_q, mu_p, sigma_p))


@eq_34.intended(with_z(LATEX_34), inputs=TWO)
def _(mu_q, sigma_q, mu_p, sigma_p):
    left, front = minus_kl(mu_q, sigma_q, mu_p, sigma_p), 1 / sqrt(2 * pi * sigma_q**2)
    return left, "=", front * over_z(inside_34, mu_q, sigma_q, mu_p, sigma_p)


# (35) to (39). The left side, -KL, is computed by the trapezoid rule, and E_q by Gauss-Hermite quadrature.


@equation(
    "odaibo.35", "l.217-221 (35)",
    rf"-{KL} = E_q\left\{{{RATIO} - {SQUARE_P} + {SQUARE_Q}\right\}}"
    rf" = {RATIO} + E_q\left\{{-{SQUARE_P} + {SQUARE_Q}\right\}}"
    rf" = {RATIO} - {HALF_P} E_q\left\{{(x-\mu_p)^2\right\}} + {HALF_Q} E_q\left\{{(x-\mu_q)^2\right\}}",
    TWO, rows="abc",
    says={
        "a": "The integral of a density times a function is the expectation of the function under this density.",
        "b": "log(sigma_q/sigma_p) is a constant, so it is its own expectation.",
        "c": "The expectation of a sum is the sum of the expectations, and constant factors move in front.",
    },
)  # fmt: skip
def eq_35(mu_q, sigma_q, mu_p, sigma_p):
    def E_q(f):
        return expect(f, mu_q, sigma_q)

    ratio = log(sigma_q / sigma_p)
    return (
        -kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", E_q(lambda x: ratio - (x - mu_p) ** 2 / (2 * sigma_p**2) + (x - mu_q) ** 2 / (2 * sigma_q**2)),
        "=", ratio + E_q(lambda x: -(x - mu_p) ** 2 / (2 * sigma_p**2) + (x - mu_q) ** 2 / (2 * sigma_q**2)),
        "=", ratio - 1 / (2 * sigma_p**2) * E_q(lambda x: (x - mu_p) ** 2)
                   + 1 / (2 * sigma_q**2) * E_q(lambda x: (x - mu_q) ** 2),
    )  # fmt: skip


@equation(
    "odaibo.36", "l.226 (36)", r"\sigma_q^2 = E_q\left\{(x-\mu_q)^2\right\}", (MU_Q, SIGMA_Q),
    says="The variance is the expectation of the squared distance from the mean.",
)  # fmt: skip
def eq_36(mu_q, sigma_q):
    return sigma_q**2, "=", expect(lambda x: (x - mu_q) ** 2, mu_q, sigma_q)


SPLIT = rf"{RATIO} - {HALF_P} E_q\left\{{(x-\mu_q+\mu_q-\mu_p)^2\right\}} + \frac{{1}}{{2}}"


@equation(
    "odaibo.37", "l.230-236 (37)",
    rf"-{KL} = {RATIO} - {HALF_P} E_q\left\{{(x-\mu_p)^2\right\}} + \frac{{\sigma_q^2}}{{2\sigma_q^2}}"
    rf" = {RATIO} - {HALF_P} E_q\left\{{(x-\mu_p)^2\right\}} + \frac{{1}}{{2}} = {SPLIT} = {SPLIT}",
    TWO, rows="abcd",
    says={
        "a": "The last expectation is sigma_q^2, by (36).",
        "b": "sigma_q^2 divided by 2 sigma_q^2 is one half.",
        "c": "Subtracting and adding mu_q does not change the value.",
        "d": "This repeats the right side of step c. (Perhaps the source has braces that name x - mu_q as a and "
        "mu_q - mu_p as b. Our copy has no braces.)",
    },
)  # fmt: skip
def eq_37(mu_q, sigma_q, mu_p, sigma_p):
    def E_q(f):
        return expect(f, mu_q, sigma_q)

    log_ratio, half_p = log(sigma_q / sigma_p), 1 / (2 * sigma_p**2)
    return (
        -kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", log_ratio - half_p * E_q(lambda x: (x - mu_p) ** 2) + sigma_q**2 / (2 * sigma_q**2),
        "=", log_ratio - half_p * E_q(lambda x: (x - mu_p) ** 2) + 1 / 2,
        "=", log_ratio - half_p * E_q(lambda x: (x - mu_q + mu_q - mu_p) ** 2) + 1 / 2,
        "=", log_ratio - half_p * E_q(lambda x: ((x - mu_q) + (mu_q - mu_p)) ** 2) + 1 / 2,
    )  # fmt: skip


@equation(
    "odaibo.38", "l.240 (38)", "(a+b)^2 = a^2 + 2ab + b^2", (HUNDREDTHS_A, HUNDREDTHS_B),
    says="The square of a sum has a mixed term.",
)  # fmt: skip
def eq_38(a, b):
    return (a + b) ** 2, "=", a**2 + 2 * a * b + b**2


EXPANDED = (
    rf"{RATIO} - {HALF_P} E_q\left\{{(x-\mu_q)^2 + 2(x-\mu_q)(\mu_q-\mu_p) + (\mu_q-\mu_p)^2\right\}}"
    r" + \frac{1}{2}"
)


@equation(
    "odaibo.39", "l.244-254 (39)",
    rf"-{KL} = {SPLIT} = {EXPANDED} = {EXPANDED} = {RATIO} - {HALF_P}\left[E_q\left\{{(x-\mu_q)^2\right\}}"
    r" + 2E_q\left\{(x-\mu_q)(\mu_q-\mu_p)\right\} + E_q\left\{(\mu_q-\mu_p)^2\right\}\right] + \frac{1}{2}"
    rf" = {RATIO} - {HALF_P}\left[\sigma_q^2 + 2 * 0 * (\mu_q-\mu_p) + (\mu_q-\mu_p)^2\right]"
    r" + \frac{1}{2}"
    rf" = {RATIO} - \frac{{\sigma_q^2 + (\mu_q-\mu_p)^2}}{{2\sigma_p^2}} + \frac{{1}}{{2}}",
    TWO, rows="abcdef",
    says={
        "a": "This repeats the last line of (37). In the square of (38), a is x - mu_q, and b is mu_q - mu_p.",
        "b": "By (38), the square of the sum has three terms.",
        "c": "This repeats the right side of step b. (Perhaps the source has braces under the three terms. Our copy has no "
        "braces.)",
        "d": "The expectation of a sum is the sum of the expectations.",
        "e": "The mixed term is 0, because the mean of x - mu_q is 0. The first term is sigma_q^2, by (36).",
        "f": "This is minus the divergence of two scalar Gaussians, without an integral.",
    },
)  # fmt: skip
def eq_39(mu_q, sigma_q, mu_p, sigma_p):
    def E_q(f):
        return expect(f, mu_q, sigma_q)

    log_ratio, half_p = log(sigma_q / sigma_p), 1 / (2 * sigma_p**2)

    def expanded(x):
        return (x - mu_q) ** 2 + 2 * (x - mu_q) * (mu_q - mu_p) + (mu_q - mu_p) ** 2

    # Both sides of step c are the same formula. Only the right side uses the trapezoid rule, so the sides can differ.
    by_trapezoid = integrate(lambda x: normal(x, mu_q, sigma_q) * expanded(x), mu_q, sigma_q)
    mixed, constant = E_q(lambda x: (x - mu_q) * (mu_q - mu_p)), E_q(lambda x: (mu_q - mu_p) ** 2 + 0 * x)
    term_by_term = E_q(lambda x: (x - mu_q) ** 2) + 2 * mixed + constant
    return (
        -kl_normal(mu_q, sigma_q, mu_p, sigma_p),
        "=", log_ratio - half_p * E_q(lambda x: (x - mu_q + mu_q - mu_p) ** 2) + 1 / 2,
        "=", log_ratio - half_p * E_q(expanded) + 1 / 2,
        "=", log_ratio - half_p * by_trapezoid + 1 / 2,
        "=", log_ratio - half_p * term_by_term + 1 / 2,
        "=", log_ratio - half_p * (sigma_q**2 + 2 * 0 * (mu_q - mu_p) + (mu_q - mu_p) ** 2) + 1 / 2,
        "=", log_ratio - (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) + 1 / 2,
    )  # fmt: skip


@eq_39.tied("minivae.divergences.kl_diagonal")
def _(mu_q, sigma_q, mu_p, sigma_p):
    return -kl_diagonal(mu_q, 2 * log(sigma_q), mu_p, 2 * log(sigma_p))


@equation(
    "odaibo.40", "l.258-262 (40)",
    rf"-{KL} = \log(\sigma_q) - \frac{{\sigma_q^2+\mu_q^2}}{{2}} + \frac{{1}}{{2}}"
    r" = \frac{1}{2}\log(\sigma_q^2) - \frac{\sigma_q^2+\mu_q^2}{2} + \frac{1}{2}"
    r" = \frac{1}{2}\left[1 + \log(\sigma_q^2) - \sigma_q^2 - \mu_q^2\right]",
    (HUNDREDTHS_MU, HUNDREDTHS_SIGMA), rows="abc",
    says={
        "a": "This is (39) with the prior N(0, 1): sigma_p = 1 and mu_p = 0.",
        "b": "log sigma is half of log sigma^2.",
        "c": "VAEs compute -KL in this form. The KL is 0 if q equals the prior: mu_q = 0, sigma_q = 1.",
    },
)  # fmt: skip
def eq_40(mu_q, sigma_q):
    return (
        -kl_normal(mu_q, sigma_q, 0, 1),
        "=", log(sigma_q) - (sigma_q**2 + mu_q**2) / 2 + 1 / 2,
        "=", log(sigma_q**2) / 2 - (sigma_q**2 + mu_q**2) / 2 + 1 / 2,
        "=", (1 + log(sigma_q**2) - sigma_q**2 - mu_q**2) / 2,
    )  # fmt: skip


@eq_40.tied("minivae.gaussian.kl_standard_normal")
def _(mu_q, sigma_q):
    return -kl_standard_normal(mu_q, 2 * log(sigma_q))
