"""Beyond the sources: gradients of an expectation over what is itself drawn.

q = N(mu, sigma^2) moves when mu and sigma do. Its density moves at every z that stays where it is: this is
the way of the score. Or z = mu + sigma eps moves for every eps that stays as it is: the way of the path. A
gradient is (d/dmu, d/dsigma), by complex step. What is averaged is sin z or (mu / sigma) sin z: their means
are known, E sin z = sin(mu) exp(-sigma^2 / 2), and mu is kept to where no slope of these is zero.
"""

import numpy as np
from numpy import cos, exp, log, pi, sin, sqrt

from derivations.engine.domains import Symbol, positive
from derivations.engine.equation import equation
from derivations.engine.numerics import complex_step, need_positive, noise, total
from derivations.engine.worlds import chosen
from minivae.gaussian import log_normal_backward, reparameterize, reparameterize_backward

MU = Symbol(
    "mu", r"\mu", "real, of size 0.1 to 1.5", 1,
    lambda raw: np.copysign(0.1 + 1.4 * np.tanh(np.abs(raw)), raw), (1, 0.5, -1),
)  # fmt: skip
SIGMA = positive("sigma", r"\sigma", 0.3)
CUT = chosen("cut", "cut", 0, "1 if nothing below mu is ever drawn: q is cut off there")
NO_SPREAD = {"mu": 1, "sigma": -1}

# Three rules for noise eps, 60 nodes each: two for all of it, one for its upper half, with twice the density.
# HERMITE comes with weights for means, LINE and ABOVE with widths: how much of the line a node stands for.

HERMITE, WEIGHTS = (array.ravel() for array in noise(1, 60))
LINE, WIDTHS = 0.4 * np.arange(-29.5, 30), np.full(60, 0.4)
ABOVE, HALF_WIDTHS = (5 * array for array in np.polynomial.legendre.leggauss(60))
ABOVE, TWICE = ABOVE + 5, 2 * HALF_WIDTHS


def density(z, mu, sigma):
    """N(z; mu, sigma^2); mu and sigma may be complex."""
    return exp(-(((z - mu) / sigma) ** 2) / 2) / (sqrt(2 * pi) * sigma)


def log_q(z, mu, sigma):
    """log N(z; mu, sigma^2); mu and sigma may be complex."""
    return -(((z - mu) / sigma) ** 2) / 2 - log(sigma) - log(2 * pi) / 2


def for_means(cut=0):
    """Nodes eps and weights: E f(eps) = sum of weight * f."""
    return np.where(cut == 1, ABOVE, HERMITE), np.where(cut == 1, TWICE * density(ABOVE, 0, 1), WEIGHTS)


def for_integrals(cut=0):
    """Nodes eps and widths: integral of f(eps) deps = sum of width * f, for an f that dies off."""
    return np.where(cut == 1, ABOVE, LINE), np.where(cut == 1, TWICE, WIDTHS)


def slopes(f, *at):
    """The slope of f in each of its arguments, side by side: (n, 1) each, (n, P) together."""
    moved = [lambda value, i=i: f(*at[:i], value, *at[i + 1 :]) for i in range(len(at))]
    return np.hstack([complex_step(g, value) for g, value in zip(moved, at)])


# The score


def scores(z, mu, sigma):
    """d/dmu and d/dsigma of log q(z), as they are written."""
    return (z - mu) / sigma**2, ((z - mu) ** 2 / sigma**2 - 1) / sigma


def score_gradient(f, mu, sigma):
    """E_q[f(z) times the score] as minivae computes it, (n, 2): the nodes are its draws."""
    log_var, z = 2 * log(sigma), (mu + sigma * HERMITE).T[..., None]        # (60, n, 1)
    _, d_mu, d_log_var = log_normal_backward(WEIGHTS[:, None] * f(z)[..., 0], z, mu, log_var)
    return np.hstack([d_mu, d_log_var * 2 / sigma])


SCORES = r"\left(\frac{z-\mu}{\sigma^2},\; \frac{(z-\mu)^2/\sigma^2 - 1}{\sigma}\right)"


@equation(
    "beyond.10", "mean of the score",
    rf"1 + E_q[\nabla\log q(z)] = 1 + E_q\left[{SCORES}\right] = 1 + \int \nabla q(z)\,dz = 1",
    (MU, SIGMA, CUT),
    says="The score is 0 on average: q always has the area 1. (Next to 0 nothing is small, so 1 is added.)",
    needs="where q is above 0 stays the same when mu and sigma move; sigma > 0",
    outside=({"mu": 1, "sigma": 1, "cut": 1}, NO_SPREAD | {"cut": 0}),
)  # fmt: skip
def eq_10(mu, sigma, cut):
    (eps, weights), (u, widths) = for_means(cut), for_integrals(cut)
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    return (
        1 + slopes(lambda mu, sigma: total(weights * log_q(z, mu, sigma)), mu, sigma),
        "=", 1 + np.hstack([total(weights * score) for score in scores(z, mu, sigma)]),
        "=", 1 + slopes(lambda m, s: total(widths * density(z_u, m, s)) * sigma, mu, sigma),
        "=", np.ones((1, 2)),
    )  # fmt: skip


@eq_10.tied("minivae.gaussian.log_normal_backward")
def _(mu, sigma, cut):
    return 1 + score_gradient(np.ones_like, mu, sigma)


OF_F = r"\left(\frac{\sin z}{\sigma},\; -\frac{\mu\sin z}{\sigma^2}\right)"


@equation(
    "beyond.11", "score function estimator; Williams 1992 (REINFORCE)",
    r"\left[f(z) = \frac{\mu}{\sigma}\sin z\right]:\; \nabla E_q[f(z)]"
    r" = \int (f(z)\nabla q(z) + q(z)\nabla f(z))\,dz"
    r" = E_q[f(z)\nabla\log q(z)] + E_q[\nabla f(z)]"
    rf" = E_q\left[f(z){SCORES}\right] + E_q\left[{OF_F}\right]"
    r" = \nabla\left(\frac{\mu}{\sigma}\sin(\mu)\,e^{-\sigma^2/2}\right)", (MU, SIGMA, CUT),
    says="Nobody needs the slope of f in z: f times the score will do, and what of f itself moves.",
    needs="derivative and integral may change places: q is cut off nowhere that moves; sigma > 0",
    outside=({"mu": 1, "sigma": 1, "cut": 1}, NO_SPREAD | {"cut": 0}),
)  # fmt: skip
def eq_11(mu, sigma, cut):
    (eps, weights), (u, widths) = for_means(cut), for_integrals(cut)
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    f = lambda z, mu=mu, sigma=sigma: mu / sigma * sin(z)  # noqa: E731
    q = lambda mu=mu, sigma=sigma: density(z_u, mu, sigma)  # noqa: E731
    E = lambda value: total(weights * value)  # noqa: E731
    integral = lambda value: total(widths * value) * sigma  # noqa: E731
    of_f = np.hstack([E(sin(z)) / sigma, -mu * E(sin(z)) / sigma**2])
    return (
        slopes(lambda m, s: total(widths * density(u, 0, 1) * f(m + s * u, m, s)), mu, sigma),
        "=", slopes(lambda m, s: integral(q(m, s) * f(z_u)) + integral(q() * f(z_u, m, s)), mu, sigma),
        "=", slopes(lambda m, s: E(f(z) * log_q(z, m, s)) + E(f(z, m, s)), mu, sigma),
        "=", np.hstack([E(f(z) * score) for score in scores(z, mu, sigma)]) + of_f,
        "=", slopes(lambda mu, sigma: mu / sigma * sin(mu) * exp(-(sigma**2) / 2), mu, sigma),
    )  # fmt: skip


@eq_11.tied("minivae.gaussian.log_normal_backward")
def _(mu, sigma, cut):
    sine = total(WEIGHTS * sin(mu + sigma * HERMITE))
    of_f = np.hstack([sine / sigma, -mu * sine / sigma**2])
    return score_gradient(lambda z: mu / sigma * sin(z), mu, sigma) + of_f


# The path

JUMP = chosen("jump", "jump", 0, "1 if f jumps by one where z = 0")
KINK = chosen("kink", "kink", 0, "1 if the slope of f jumps by one where z = 0")


def path_gradient(mu, sigma):
    """d/dmu and d/dlog sigma^2 of E_q[sin z] as minivae computes it, (n, 1) each: the nodes are its draws."""
    log_var, eps, weights = 2 * log(sigma), HERMITE[:, None, None], WEIGHTS[:, None, None]
    z = reparameterize(mu, log_var, eps)                                    # (60, n, 1)
    return reparameterize_backward(weights * cos(z), mu, log_var, eps)


@equation(
    "beyond.12", "pathwise gradient; Kingma and Welling 2014, Rezende et al. 2014",
    r"\left[f(z) = \sin z\right]:\; (\partial_\mu, \partial_\sigma, \partial_{\log\sigma^2})\,E_q[f(z)]"
    r" = E_\epsilon\left[(\partial_\mu, \partial_\sigma, \partial_{\log\sigma^2})"
    r"\,f(\mu+\sigma\epsilon)\right]"
    r" = \left(E_\epsilon[f'(z)],\; E_\epsilon[f'(z)\,\epsilon],\;"
    r" \frac{\sigma}{2}E_\epsilon[f'(z)\,\epsilon]\right)"
    r" = \left(\cos\mu,\; -\sigma\sin\mu,\; -\frac{\sigma^2}{2}\sin\mu\right)e^{-\sigma^2/2}",
    (MU, SIGMA, JUMP),
    says="The slope of f times how far z moves: 1 with mu, eps with sigma, sigma eps / 2 with log sigma^2.",
    needs="f has a slope everywhere, and no jump; sigma > 0",
    outside=({"mu": 0.4, "sigma": 1, "jump": 1}, NO_SPREAD | {"jump": 0}),
)  # fmt: skip
def eq_12(mu, sigma, jump):
    (eps, weights), (u, widths) = for_means(), for_integrals()
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    f = lambda z: sin(z) + jump * (np.real(z) > 0)  # noqa: E731

    def three(E):                                           # slopes of E(mu, sigma), (n, 3)
        in_log_var = slopes(lambda log_var: E(mu, exp(log_var / 2)), 2 * log(sigma))
        return np.hstack([slopes(E, mu, sigma), in_log_var])

    d_mu, d_sigma = total(weights * cos(z)), total(weights * cos(z) * eps)
    return (
        three(lambda mu, s: total(widths * density(z_u, mu, s) * f(z_u)) * sigma),
        "=", three(lambda mu, sigma: total(weights * f(mu + sigma * eps))),
        "=", np.hstack([d_mu, d_sigma, sigma / 2 * d_sigma]),
        "=", np.hstack([cos(mu), -sigma * sin(mu), -(sigma**2) / 2 * sin(mu)]) * exp(-(sigma**2) / 2),
    )  # fmt: skip


@eq_12.tied("minivae.gaussian.reparameterize_backward")
@eq_12.tied("minivae.gaussian.reparameterize")
def _(mu, sigma, jump):
    d_mu, d_log_var = path_gradient(mu, sigma)
    return np.hstack([d_mu, d_log_var * 2 / sigma, d_log_var])


@equation(
    "beyond.13", "Bonnet 1964, Price 1958",
    r"\left[f(z) = \sin z\right]:\; (\partial_\mu, \partial_{\sigma^2})\,E_q[f(z)]"
    r" = \left(E_q[f'(z)],\; \frac{1}{2\sigma}E_\epsilon[f'(z)\,\epsilon]\right)"
    r" = \left(E_q[f'(z)],\; \frac{1}{2}E_q[f''(z)]\right)"
    r" = \left(\cos\mu,\; -\frac{1}{2}\sin\mu\right)e^{-\sigma^2/2}",
    (MU, SIGMA, KINK),
    says="In the variance the gradient is half the mean curvature: by parts, eps becomes one more slope.",
    needs="f has two derivatives everywhere, and its slope no jump; sigma > 0",
    outside=({"mu": 0.4, "sigma": 1, "kink": 1}, NO_SPREAD | {"kink": 0}),
)  # fmt: skip
def eq_13(mu, sigma, kink):
    (eps, weights), (u, widths) = for_means(), for_integrals()
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    f, slope, curvature = sin(z_u) + kink * np.maximum(z_u, 0), cos(z) + kink * (z > 0), -sin(z)
    E = lambda value: total(weights * value)  # noqa: E731
    return (
        slopes(lambda mu, var: total(widths * density(z_u, mu, sqrt(var)) * f) * sigma, mu, sigma**2),
        "=", np.hstack([E(slope), E(slope * eps) / (2 * sigma)]),
        "=", np.hstack([E(slope), E(curvature) / 2]),       # in which no jump of the slope is seen
        "=", np.hstack([cos(mu), -sin(mu) / 2]) * exp(-(sigma**2) / 2),
    )  # fmt: skip


@eq_13.tied("minivae.gaussian.reparameterize_backward")
def _(mu, sigma, kink):
    d_mu, d_log_var = path_gradient(mu, sigma)
    return np.hstack([d_mu, d_log_var / sigma**2])          # dlog sigma^2 / dsigma^2 = 1 / sigma^2
