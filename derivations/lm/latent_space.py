"""LM, "Variational AutoEncoder": the beginning of the section "Gaussian Latent Space".

The entries below check the figure, in which a function maps Gaussian draws z to a ring, and a remark on sampling z.
"""

import numpy as np

from derivations.engine.domains import Symbol, real, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import integrate, mean, need_above_zero, normal, ratio, total
from derivations.engine.worlds import evidence, linear_posterior, posterior
from derivations.lm.first_display import Q_HAS_A_HOLE, WHOLE_TABLES
from derivations.lm.model import near
from derivations.odaibo.objective import POSTERIOR

# The ring. Integrals use polar nodes: eight directions, with Gauss-Legendre nodes along the radius.

NODES, LEGENDRE = np.polynomial.legendre.leggauss(60)
RHO = 6 * (NODES + 1)                                       # |z| up to 12, beyond which the density is negligible
DIRECTIONS = np.stack([f(2 * np.pi * np.arange(8) / 8) for f in (np.cos, np.sin)], axis=-1)
Z = vector("z", "z", 2, 1.0, ((1, 0), (3, 4), (0, 0.1)))


def length(z):
    """Return |z|, with a formula that also works for a complex step."""
    return np.sqrt((z**2).sum(axis=-1, keepdims=True))


def ring(z):
    """Return g(z) = z/10 + z/|z|, (..., 2)."""
    return z / 10 + z / length(z)


def jacobian(z):
    """Return det dg/dz, (..., 1), by a complex step in each coordinate."""
    columns = [ring(z + 1e-30j * axis).imag / 1e-30 for axis in np.eye(2)]
    return columns[0][..., :1] * columns[1][..., 1:] - columns[0][..., 1:] * columns[1][..., :1]


def over_polar(f):
    """Return the integral of f(z) over the plane. The argument of f is an array of nodes, (60, 8, 2)."""
    z = RHO[:, None, None] * DIRECTIONS
    return (6 * LEGENDRE[:, None] * RHO[:, None] * f(z)[..., 0]).sum() * 2 * np.pi / 8


def over_ring(f):
    """Return the integral of f(x) over 1 < |x| < 2.2: these x are the images g(z) of 0 < |z| < 12."""
    r = 1 + RHO / 10
    x = r[:, None, None] * DIRECTIONS
    return (0.6 * LEGENDRE[:, None] * r[:, None] * f(x)[..., 0]).sum() * 2 * np.pi / 8


def density_of_ring(x):
    """Return the density of x = g(z): the density of z divided by the determinant of g'."""
    z = 10 * (length(x) - 1) * x / length(x)
    return np.prod(normal(z, 0, 1), axis=-1, keepdims=True) / jacobian(z)


@equation(
    "lm.11", "l.18-20 figure",
    r"\left(|g(z)|,\; |\det g'(z)|,\; E|g(z)|,\; \int p(g)\,dg\right) ="
    r" \left(1 + \frac{|z|}{10},\; \frac{1}{10}\left(\frac{1}{10} + \frac{1}{|z|}\right),\;"
    r" 1 + \frac{1}{10}\sqrt{\frac{\pi}{2}},\; 1\right) > \left(1,\; \frac{1}{100},\; 1,\; 0\right)",
    (Z,), kind="figure", verdict="figure",
    says="g(z) = z/10 + z/|z| maps a Gaussian to a ring. Every point of the ring is outside the circle of radius 1.",
)  # fmt: skip
def lm_11(z):
    rho = need_above_zero("|z|", length(z))
    gaussian = lambda z: np.prod(normal(z, 0, 1), axis=-1, keepdims=True)  # noqa: E731
    mean_radius = over_polar(lambda z: gaussian(z) * length(ring(z)))
    mass = over_ring(density_of_ring)
    both = np.broadcast_to([mean_radius, mass], (len(z), 2))
    expected = np.broadcast_to([1 + np.sqrt(np.pi / 2) / 10, 1], (len(z), 2))
    return (
        np.hstack([length(ring(z)), jacobian(z), both]),
        "=", np.hstack([1 + rho / 10, (1 / 10 + 1 / rho) / 10, expected]),
        ">", np.array([[1, 1 / 100, 1, 0]]),
    )  # fmt: skip


# The number of draws of z needed to estimate p(x) well. The model is d copies of x = w z + s eps; each copy has its own z.

ANY_NUMBER = "a whole number, > 0"
DIMENSION = Symbol("d", "d", ANY_NUMBER, 1, lambda raw: np.ceil(8 * np.abs(raw)), (20, 1, 2, 5, 10))
COPIES = (near("w", 1, (1,)), near("s", 0.5, (0.5,)), real("x", "x", 0.5, (0,)), DIMENSION)
RELATIVE_VARIANCE = r"\frac{Var_{p(z)}[p(x|z)]}{p(x)^2}"


def samples_needed(w, s, x, d):
    """Return how many draws of z from p(z) give an estimate of p(x) with a relative standard deviation of 10 %.

    For d copies of the model x = w z + s eps, the number of draws is 100 (R^d - 1). R is E[p(x|z)^2] / E[p(x|z)]^2 in one
    copy. If x = 0, R = (w^2 + s^2) / (s sqrt(2 w^2 + s^2)). If x is not 0, the term w^2 x^2 / ((w^2 + s^2) (2 w^2 + s^2)) is
    added to ln R. `expm1` and `log1p` keep R^d - 1 accurate if R is near 1. The result can be infinite.
    """
    wide = 2 * w**2 + s**2
    log_ratio = np.log1p(w**4 / (s**2 * wide)) / 2 + w**2 * x**2 / ((w**2 + s**2) * wide)
    with np.errstate(over="ignore"):
        return 100 * np.expm1(d * log_ratio)


def samples_by_quadrature(w, s, x, d):
    """Return `samples_needed`, computed by quadrature from its definition (Var[p(x|z)] / draws) / E[p(x|z)]^2 = 1 %."""
    joint = lambda z: normal(z, 0, 1) * normal(x, w * z, s)  # noqa: E731
    square = lambda z: normal(z, 0, 1) * normal(x, w * z, s) ** 2  # noqa: E731
    # Each integrand is proportional to a Gaussian in z. For `joint`, this Gaussian is the posterior. For `square`, it is the
    # posterior in the model with noise s / sqrt(2).
    first = integrate(joint, *linear_posterior(w, s, x))
    second = integrate(square, *linear_posterior(w, s / np.sqrt(2), x))
    return 100 * ((second / first**2) ** d - 1)


@equation(
    "lm.12", "l.22", f"d = 100 {RELATIVE_VARIANCE}", COPIES,
    kind="claim", verdict="loose",
    claim='The text says that sampling from latent space "becomes more difficult" in higher dimensions (l.22).',
    says='We read "more difficult" as: in d dimensions, an estimate of p(x) with a relative standard deviation of 10 % '
    "needs d draws. The right side is the number of draws that this estimate really needs.",
    fault="Drawing z is easy in any dimension. In many dimensions, it is hard to estimate p(x) as a mean over draws of the "
    "prior: at w = 1, s = 1/2, x = 0, the relative variance of a mean over L draws is ((5/3)^d - 1)/L.",
)  # fmt: skip
def lm_12(w, s, x, d):
    return d, "=", samples_by_quadrature(w, s, x, d)


@lm_12.precise(
    rf"\{{x = 0\}}:\; {RELATIVE_VARIANCE} = \left(\frac{{w^2 + s^2}}{{s\sqrt{{2w^2 + s^2}}}}\right)^d - 1",
    inputs=(*COPIES[:2], DIMENSION),
)
def _(w, s, d):
    return samples_by_quadrature(w, s, 0 * w, d) / 100, "=", samples_needed(w, s, 0, d) / 100


WEIGHT = r"\frac{p(x, z)}{q(z|x)}"


@equation(
    "lm.13", "l.22",
    rf"E_q\left[\left({WEIGHT}\right)^2\right] ="
    r" p(x)^2\left(1 + \int\frac{(p(z|x) - q(z|x))^2}{q(z|x)}dz\right)"
    rf" \geq E_q\left[{WEIGHT}\right]^2 = p(x)^2", WHOLE_TABLES,
    kind="claim", tight=POSTERIOR,
    claim="The text introduces q(z|x) to help with sampling z (l.22).",
    says="If z is drawn from q, the mean weight p(x, z)/q(z|x) estimates p(x). If q is the posterior, all weights are "
    "equal.",
    needs="p(x) > 0, and q(z|x) > 0 wherever p(x, z) > 0", outside=Q_HAS_A_HOLE,
)  # fmt: skip
def lm_13(p_xz, q):
    p_x, difference = evidence(p_xz), posterior(p_xz) - q
    return (
        mean(q, ratio(p_xz, q) ** 2),
        "=", p_x**2 * (1 + total(ratio(difference**2, q))),
        ">=", mean(q, ratio(p_xz, q)) ** 2,
        "=", p_x**2,
    )  # fmt: skip
