"""LM, "Variational AutoEncoder": the list under the first displayed formula."""

import math

import numpy as np

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import (
    integrate,
    kl_normal,
    log,
    log_density,
    log_density_full,
    need_positive,
    normal,
    total,
)
from derivations.engine.worlds import SIGMA_Q, chosen, linear_elbo, linear_log_evidence, linear_posterior
from minivae.gaussian import log_standard_normal
from minivae.likelihood import gaussian_log_prob

# theta is the weight of the decoder, x = theta z + s eps. phi is the weight of the encoder, q(z|x) = N(phi x, sigma_q^2).

THETA, THETA_2 = positive("theta", r"\theta", 0.3, (1, 0.5)), positive("theta_2", r"\theta'", 0.3, (2, 3))
PHI, PHI_2 = positive("phi", r"\phi", 0.3, (1, 2)), positive("phi_2", r"\phi'", 0.3, (3, 0.5))
NOISE, X = positive("s", "s", 0.3, (1, 2, 0.5)), real("x", "x", 0.8, (2, 1))


def bound_and_gap(theta, phi, s, x, sigma_q):
    """Return the ELBO plus KL(q_phi || p_theta(z|x)) for one datum x. Each term is computed by quadrature."""
    gap = kl_normal(phi * x, sigma_q, *linear_posterior(theta, s, x))
    return linear_elbo(theta, s, x, phi * x, sigma_q) + gap


def bound_and_gap_of(theta: str, phi: str) -> str:
    return rf"\mathcal L_{{{theta},{phi}}} + D_{{KL}}(q_{{{phi}}}(z|x)\Vert p_{{{theta}}}(z|x))"


@equation(
    "lm.5", "l.11", r"\ln p_\theta(x) = \ln p_{\theta'}(x)", (THETA, THETA_2, NOISE, X),
    kind="claim", verdict="loose",
    claim='The list calls theta "the model for inference" (l.11).',
    says="If theta belonged only to the model for inference, ln p(x) would not depend on theta.",
    fault="The model for inference is q_phi. In all formulas of the page theta belongs to the model p_theta, which "
    "generates x, and ln p(x) depends on theta.",
)  # fmt: skip
def lm_5(theta, theta_2, s, x):
    return linear_log_evidence(theta, s, x), "=", linear_log_evidence(theta_2, s, x)


@lm_5.precise(
    r"\ln p_{\theta'}(x) = " + bound_and_gap_of(r"\theta'", r"\phi"),
    inputs=(THETA_2, PHI, NOISE, X, SIGMA_Q),
)
def _(theta_2, phi, s, x, sigma_q):
    return linear_log_evidence(theta_2, s, x), "=", bound_and_gap(theta_2, phi, s, x, sigma_q)


@equation(
    "lm.6", "l.12",
    r"\left[\ln p_\theta(x)\right] = " + bound_and_gap_of(r"\theta", r"\phi")
    + " = " + bound_and_gap_of(r"\theta", r"\phi'"), (THETA, PHI, PHI_2, NOISE, X, SIGMA_Q),
    kind="claim",
    claim='The list calls phi "the model for variational approximation" (l.12).',
    says="q and the bound L depend on phi, but ln p(x) does not.",
)  # fmt: skip
def lm_6(theta, phi, phi_2, s, x, sigma_q):
    return (
        linear_log_evidence(theta, s, x),
        "=", bound_and_gap(theta, phi, s, x, sigma_q),
        "=", bound_and_gap(theta, phi_2, s, x, sigma_q),
    )  # fmt: skip


# The decoder f(z, theta) = tanh(theta z) has two outputs, so x is a point in a plane. The nodes of the integrals over x are
# f + sigma * PLANE, a square grid around f.

LINE = np.linspace(-7.2, 7.2, 19)                           # nodes of a trapezoid rule, relative error below 1e-10
PLANE = np.stack(np.meshgrid(LINE, LINE), axis=-1).reshape(-1, 2)
CELL = (LINE[1] - LINE[0]) ** 2
SIGMA = positive("sigma", r"\sigma")


def over_plane(theta, z, sigma):
    """Return two arrays: f(z, theta) with the shape (n, 1, 2), and the nodes x around f with the shape (n, 361, 2)."""
    f = np.tanh(theta * z)[:, None]
    return f, f + need_positive("sigma", sigma)[:, None] * PLANE


@equation(
    "lm.7", "l.13",
    r"\int \mathcal N(x; f(z,\theta), \sigma^2 I)\,dx = 1 ="
    r" \frac{1}{D\sigma^2}\int |x - f(z,\theta)|^2 \mathcal N(x; f(z,\theta), \sigma^2 I)\,dx",
    (vector("theta", r"\theta", 2), real("z", "z"), SIGMA),
    kind="claim",
    claim='The list says that p(x|z) is "usually" a Gaussian whose mean is computed from z and theta (l.13).',
    says="p(x|z) is a density in D dimensions, with variance sigma^2 in each dimension. (For 0/1 data, p(x|z) is usually a "
    "Bernoulli distribution.)",
)  # fmt: skip
def lm_7(theta, z, sigma):
    f, x = over_plane(theta, z, sigma)
    cov = sigma[..., None] ** 2 * np.eye(2)
    p = np.exp(log_density_full(x, f[:, 0], cov)) * sigma**2 * CELL             # (n, 361)
    square = ((x - f) ** 2).sum(axis=-1)
    return total(p), "=", 1, "=", total(square * p) / (2 * sigma**2)


@lm_7.tied("minivae.likelihood.gaussian_log_prob", draws=50)
def _(theta, z, sigma):
    f, x = over_plane(theta, z, sigma)
    rows, every_f = x.reshape(-1, 2), np.repeat(f, len(PLANE), axis=1).reshape(1, -1, 2)
    log_p = gaussian_log_prob(rows, every_f, np.repeat(np.log(sigma), len(PLANE)))
    p = np.exp(log_p).reshape(len(x), -1) * sigma**2 * CELL
    return total(((x - f) ** 2).sum(axis=-1) * p) / (2 * sigma**2)


# The latent variable and its density

T = real("t", "t", 0.6, (0, 0.5, -0.5))
LEGENDRE = np.polynomial.legendre.leggauss(30)


def area(r, density=lambda z: normal(z, 0, 1)):
    """Return the integral of a density from 0 to r."""
    nodes, weights = LEGENDRE
    return total(weights * density(r * (nodes + 1) / 2)) * r / 2


def normal_below(t):
    """Return Phi(t), the distribution function of a standard normal variable."""
    return (1 + np.vectorize(math.erf)(t / math.sqrt(2))) / 2


@equation(
    "lm.8", "l.14", r"P(p(z) \leq t) = \Phi(t)", (T,),
    kind="claim", verdict="loose",
    claim='The list says that the latent variable "p(z)" is usually assumed to be normal (l.14).',
    says="Read literally, the text says: the number p(z) is normally distributed, and Phi is its distribution function.",
    fault="The variable z is normally distributed, but p(z) is its density. The density is never negative, and at most (2 "
    "pi)^(-J/2): 0.399, 0.159 and 0.010 for J = 1, 2 and 5.",
)  # fmt: skip
def lm_8(t):
    top = 1 / math.sqrt(2 * math.pi)                        # p(0), the largest density
    inside = np.clip(t, 1e-300, top)
    r = np.sqrt(-2 * np.log(inside / top))                  # p(z) <= t means |z| >= r
    return np.where(t <= 0, 0, 1 - 2 * area(np.minimum(r, 12))), "=", normal_below(t)


@lm_8.precise(r"P(z \leq t) = \Phi(t)")
def _(t):
    return Zero(1 / 2, 1 / 2 + area(t)), "=", normal_below(t)         # 1/2 and area(t) cancel if t is far below 0


@lm_8.tied("minivae.gaussian.log_standard_normal")
def _(t):
    return 1 / 2 + area(t, lambda z: np.exp(log_standard_normal(z[..., None])))


# Marginalisation. x = f(z) + s eps with the odd function f(z) = a tanh(b z), so p(x) = p(-x).

def near(name: str, value: float, simple: tuple) -> Symbol:
    """Return a symbol for positive numbers near `value`."""
    return Symbol(name, name, "> 0", 1, lambda raw: value * np.exp(raw / 5), simple)


CURVE = (near("a", 2, (2, 1)), near("b", 4, (4, 2)), near("s", 0.4, (0.4, 0.5)))
U = np.linspace(-np.arcsinh(28), np.arcsinh(28), 61)
CODES = np.sinh(U) / 4                                      # nodes z up to 7, denser near 0, where f is steep
CHANCES = normal(CODES, 0, 1) * np.cosh(U) / np.sum(normal(CODES, 0, 1) * np.cosh(U))
STRAIGHT = chosen("straight", "straight", 0, "0; with 1 the decoder is the line f(z) = a z")
ENTROPY = r"\frac{1}{2}\ln(2\pi e\,Var[x])"


def marginal(f, s):
    """Return Var[x], KL(p(x) || N(0, Var[x])) and the entropy of p(x).

    `f` (n, 61) has the values of an odd function at CODES.
    """
    end = np.abs(f).max(axis=-1, keepdims=True) + 8 * s
    steps = max(29, math.ceil(1.3 * (end / s).max()))       # so that neighbouring nodes x are less than s apart
    x = end * np.linspace(0, 1, steps + 1)                  # x >= 0 is enough, because p(x) = p(-x)
    dx = np.where(x > 0, 2, 1) * end / steps
    p = (CHANCES * normal(x[..., None], f[:, None], s[..., None])).sum(axis=-1)             # (n, steps + 1)
    variance = total(CHANCES * f**2) + s**2
    divergence = total(dx * p * (log(p) - log_density(x, 0, np.sqrt(variance))))
    return variance, divergence, -total(dx * p * log(p))


def largest_entropy(variance):
    """Return the entropy of the Gaussian with this variance. No density with this variance has a larger entropy."""
    return (1 + log(2 * np.pi * variance)) / 2


@equation(
    "lm.9", "l.15",
    r"D_{KL}(p_\theta(x)\Vert \mathcal N(x; 0, Var[x])) ="
    rf" {ENTROPY} + \int p_\theta(x)\ln p_\theta(x)\,dx > 0",
    (*CURVE, STRAIGHT), kind="claim",
    claim='The list says that marginalisation increases "the expressive power" (l.15).',
    says="p(x) is not Gaussian, although p(z) and p(x|z) are Gaussian.",
    needs="f(z) is not Gaussian; here f(z) = a tanh(b z). For a linear f, p(x) is Gaussian",
    outside={"a": 1, "b": 1, "s": 1, "straight": 1},
)  # fmt: skip
def lm_9(a, b, s, straight):
    f = (1 - straight) * a * np.tanh(b * CODES) + straight * a * CODES
    variance, divergence, entropy = marginal(f, s)
    return divergence, "=", largest_entropy(variance) - entropy, ">", Zero(1)


@equation(
    "lm.10", "l.16",
    r"-\int p_\theta(x|z)\ln p_\theta(x|z)\,dx < \frac{1}{2}\ln(2\pi e\,Var[x|z])",
    (*CURVE, real("z", "z")), kind="claim", verdict="loose",
    claim='The list speaks of "a complex likelihood p(x|z)" (l.16).',
    says="Read literally, the text says: p(x|z) is complex, that is, not Gaussian. Then its entropy is below that of the "
    "Gaussian with the same variance.",
    fault="p(x|z) is a simple Gaussian. The complex density is p(x), which is not modelled directly.",
)  # fmt: skip
def lm_10(a, b, s, z):
    f = a * np.tanh(b * z)
    entropy = integrate(lambda x: -normal(x, f, s) * log_density(x, f, s), f, s)
    return entropy, "<", largest_entropy(integrate(lambda x: normal(x, f, s) * (x - f) ** 2, f, s))


@lm_10.precise(
    rf"-\int p_\theta(x)\ln p_\theta(x)\,dx ="
    rf" {ENTROPY} - D_{{KL}}(p_\theta(x)\Vert \mathcal N(x; 0, Var[x])) < {ENTROPY}", inputs=CURVE,
)  # fmt: skip
def _(a, b, s):
    variance, divergence, entropy = marginal(a * np.tanh(b * CODES), s)
    return entropy, "=", largest_entropy(variance) - divergence, "<", largest_entropy(variance)
