"""Beyond the sources: gradients of an expectation under a distribution that depends on the parameters.

z is drawn from q = N(mu, sigma^2). The score gradient differentiates the density of q at fixed z. The path gradient
differentiates z = mu + sigma eps at fixed eps. The gradients with respect to mu, sigma, sigma^2
and log sigma^2 are computed by complex step. The functions are `f(z) = sin z` and `f(z) = (mu / sigma) sin z`, because
`E[sin z] = sin(mu) exp(-sigma^2 / 2)` is known. No slope of these expectations is 0 in the chosen range of mu.
"""

import numpy as np
from numpy import cos, exp, log, pi, sin, sqrt

from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.numerics import complex_step, need_positive, noise, total
from derivations.engine.worlds import chosen
from minivae.gaussian import log_normal_backward, reparameterize, reparameterize_backward

MU = Symbol(
    "mu", r"\mu", "real, of size 0.1 to 1.5", 1,
    lambda raw: np.copysign(0.1 + 1.4 * np.tanh(np.abs(raw)), raw), (1, 0.5, -1),
)  # fmt: skip
SIGMA = Symbol("sigma", r"\sigma", "> 0, below 3", 1, lambda raw: exp(np.tanh(raw / 3)), (1, 2, 0.5))
CUT = chosen("cut", "cut", 0, "1 if q is cut off below mu")

# Three quadrature rules for noise eps, with 60 nodes each. The sum of WEIGHTS * f(HERMITE) is the expectation of f(eps). The
# sum of WIDTHS * f(LINE) is the integral of f over all eps. The sum of TWICE * f(ABOVE) is 2 times the integral of f over
# all eps > 0. The last rule is for a q that is cut off below mu: the density of q is 0 below mu, and is doubled above mu.

HERMITE, WEIGHTS = (array.ravel() for array in noise(1, 60))
LINE, WIDTHS = 0.4 * np.arange(-29.5, 30), np.full(60, 0.4)
ABOVE, HALF_WIDTHS = (5 * array for array in np.polynomial.legendre.leggauss(60))
ABOVE, TWICE = ABOVE + 5, 2 * HALF_WIDTHS


def density(z, mu, sigma):
    """Density N(z; mu, sigma^2). mu and sigma may be complex."""
    return exp(-(((z - mu) / sigma) ** 2) / 2) / (sqrt(2 * pi) * sigma)


def log_q(z, mu, sigma):
    """Log-density log N(z; mu, sigma^2). mu and sigma may be complex."""
    return -(((z - mu) / sigma) ** 2) / 2 - log(sigma) - log(2 * pi) / 2


def for_means(cut=0):
    """Return nodes eps and weights. The sum of weight * f(eps) is E[f(eps)]. If cut = 1, it is E[f(eps)] given eps > 0."""
    return np.where(cut == 1, ABOVE, HERMITE), np.where(cut == 1, TWICE * density(ABOVE, 0, 1), WEIGHTS)


def for_integrals(cut=0):
    """Return nodes eps and widths. The sum of width * f(eps) is the integral of f over all eps.

    If cut = 1, the sum is 2 times the integral over eps > 0. In both cases, f(eps) must go to 0 for large |eps|.
    """
    return np.where(cut == 1, ABOVE, LINE), np.where(cut == 1, TWICE, WIDTHS)


def slopes(f, *at):
    """Return the derivative of f with respect to each of its P arguments, (n, P)."""
    of_one = [lambda value, i=i: f(*at[:i], value, *at[i + 1 :]) for i in range(len(at))]
    return np.hstack([complex_step(g, value) for g, value in zip(of_one, at)])


# The score


def scores(z, mu, sigma):
    """Return d/dmu and d/dsigma of log q(z), from their formulas."""
    return (z - mu) / sigma**2, ((z - mu) ** 2 / sigma**2 - 1) / sigma


def score_gradient(f, mu, sigma):
    """Return E_q[f(z) times the score], (n, 2), from minivae's `log_normal_backward` at quadrature nodes."""
    log_var, z = 2 * log(sigma), (mu + sigma * HERMITE).T[..., None]        # (60, n, 1)
    _, d_mu, d_log_var = log_normal_backward(WEIGHTS[:, None] * f(z)[..., 0], z, mu, log_var)
    return np.hstack([d_mu, d_log_var * 2 / sigma])


SCORES = r"\left(\frac{z-\mu}{\sigma^2},\; \frac{(z-\mu)^2/\sigma^2 - 1}{\sigma}\right)"


@equation(
    "beyond.10", "mean of the score",
    rf"1 + E_q[\nabla\log q(z)] = 1 + E_q\left[{SCORES}\right] = 1 + \int \nabla q(z)\,dz = 1,"
    r"\quad \nabla \text{ in } (\mu, \sigma)",
    (MU, SIGMA, CUT),
    says="The mean of the score is 0, because q always integrates to 1. (1 is added to all sides, because a relative error "
    "needs a side that is not 0.)",
    needs="the support of q does not depend on mu or sigma (cut = 0)",
    outside={"mu": 1, "sigma": 1, "cut": 1},
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
    r" = \nabla\left(\frac{\mu}{\sigma}\sin(\mu)\,e^{-\sigma^2/2}\right),\quad \nabla \text{ in } (\mu, \sigma)",
    (MU, SIGMA, CUT),
    says="The gradient is E[f times the score] plus E[the gradient of f in mu and sigma]. This formula needs no slope of f "
    "in z.",
    needs="the support of q does not depend on mu or sigma (cut = 0)",
    outside={"mu": 1, "sigma": 1, "cut": 1},
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

JUMP = chosen("jump", "jump", 0, "1 if f jumps by 1 at z = 0")
KINK = chosen("kink", "kink", 0, "1 if the slope of f jumps by 1 at z = 0")


def path_gradient(mu, sigma):
    """Return d/dmu and d/dlog sigma^2 of E_q[sin z], (n, 1) each, by `reparameterize_backward` at quadrature nodes."""
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
    says="The gradient is the mean of f'(z) times the derivative of z. This derivative is 1 for mu, eps for sigma, and "
    "sigma eps / 2 for log sigma^2.",
    needs="f is differentiable and has no jump (jump = 0)", outside={"mu": 0.4, "sigma": 1, "jump": 1},
)  # fmt: skip
def eq_12(mu, sigma, jump):
    (eps, weights), (u, widths) = for_means(), for_integrals()
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    f = lambda z: sin(z) + jump * (np.real(z) > 0)  # noqa: E731

    def three(E):                                           # slopes of E in mu, sigma and log sigma^2, (n, 3)
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
    "beyond.13", "gradient in the variance; Bonnet 1964, Price 1958",
    r"\left[f(z) = \sin z\right]:\; (\partial_\mu, \partial_{\sigma^2})\,E_q[f(z)]"
    r" = \left(E_q[f'(z)],\; \frac{1}{2\sigma}E_\epsilon[f'(z)\,\epsilon]\right)"
    r" = \left(E_q[f'(z)],\; \frac{1}{2}E_q[f''(z)]\right)"
    r" = \left(\cos\mu,\; -\frac{1}{2}\sin\mu\right)e^{-\sigma^2/2}",
    (MU, SIGMA, KINK),
    says="Integration by parts shows that the gradient in the variance is half the mean of f''(z).",
    needs="f is twice differentiable, and its slope has no jump (kink = 0)", outside={"mu": 0.4, "sigma": 1, "kink": 1},
)  # fmt: skip
def eq_13(mu, sigma, kink):
    (eps, weights), (u, widths) = for_means(), for_integrals()
    z, z_u = mu + need_positive("sigma", sigma) * eps, mu + sigma * u
    f, slope, curvature = sin(z_u) + kink * np.maximum(z_u, 0), cos(z) + kink * (z > 0), -sin(z)
    E = lambda value: total(weights * value)  # noqa: E731
    return (
        slopes(lambda mu, var: total(widths * density(z_u, mu, sqrt(var)) * f) * sigma, mu, sigma**2),
        "=", np.hstack([E(slope), E(slope * eps) / (2 * sigma)]),
        "=", np.hstack([E(slope), E(curvature) / 2]),       # if kink = 1, f' jumps at z = 0; `curvature` omits this jump
        "=", np.hstack([cos(mu), -sin(mu) / 2]) * exp(-(sigma**2) / 2),
    )  # fmt: skip


@eq_13.tied("minivae.gaussian.reparameterize_backward")
def _(mu, sigma, kink):
    d_mu, d_log_var = path_gradient(mu, sigma)
    return np.hstack([d_mu, d_log_var / sigma**2])          # dlog sigma^2 / dsigma^2 = 1 / sigma^2
