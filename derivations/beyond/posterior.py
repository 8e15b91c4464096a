"""Beyond the sources: the gap of a q with independent coordinates, and the gradient of the ELBO if q is the posterior."""

from dataclasses import replace

import numpy as np
from numpy import exp, log

from derivations.beyond.elbo import CORNERS
from derivations.beyond.linear import t
from derivations.engine.domains import Symbol, vector
from derivations.engine.equation import Zero, equation
from derivations.engine.numerics import complex_step, kl_normal_full, log_density_full, need_positive, noise, total
from derivations.engine.worlds import MATRIX_W, OBSERVED_3, OFFSET, PLANE_S, chosen, covariance, vector_posterior
from minivae.gaussian import cholesky, kl_full
from minivae.likelihood import gaussian_log_prob_backward

# A posterior with dependent coordinates, given by its precision matrix. The correlation of the coordinates is at least 0.1
# or at most -0.1, so the gap of a diagonal Gaussian is never 0.


def dependent(raw):
    """Return precision matrices (n, 2, 2). Their correlations are between 0.1 and 0.95, or between -0.95 and -0.1."""
    rho = np.sign(raw[:, 2:]) * (0.1 + 0.85 * np.tanh(abs(raw[:, 2:])))
    return covariance(exp(raw[:, :2] / 2), rho)


PRECISION = Symbol(
    "precision", r"\Lambda", "symmetric, positive definite", 3, dependent,
    ([[2, 0.9], [0.9, 1]], [[1, 0.5], [0.5, 1]]),
)  # fmt: skip
FACTORISED = (
    PRECISION,
    vector("m", "m", 2, simple=((0, 0), (1, -1))),
    vector("off", r"\delta", 2, 1.0, ((0, 0), (0.1, 0))),
    Symbol("stretch", "k", "> 0, a factor for each sigma_j", 2, lambda raw: exp(raw / 2), ((1, 1), (1.5, 1))),
)


@equation(
    "beyond.38", "mean field; the optimum of a q with independent coordinates",
    r"\left(D_{KL}(N(m + \delta, \mathrm{diag}(k_j^2\sigma_j^2))\Vert N(m, \Sigma)),\; \Sigma_{jj}\right)"
    r" \geq \left(D_{KL}(N(m, \mathrm{diag}(\sigma_j^2))\Vert N(m, \Sigma)),\; \sigma_j^2\right) ="
    r" \left(\frac{1}{2}\left[\sum_j\log\Lambda_{jj} - \log\det\Lambda\right],\;"
    r" \frac{1}{\Lambda_{jj}}\right),\quad (\Lambda = \Sigma^{-1})", FACTORISED,
    says="The variances of the best factorised q are at most those of the posterior's marginals. If the coordinates of z "
    "depend on each other, a gap remains.",
    tight={"precision": [[4, 0], [0, 1]], "m": (1, -1), "off": (0, 0), "stretch": (1, 1)},
)  # fmt: skip
def eq_38(precision, m, off, stretch):
    cholesky(precision, "Sigma^-1")                         # raises ValueError if `precision` is not positive definite
    cov, diagonal = np.linalg.inv(precision), np.diagonal(precision, axis1=1, axis2=2)
    # Given the other coordinate k, z_j has the variance Sigma_jj - Sigma_12^2 / Sigma_kk.
    marginal = np.diagonal(cov, axis1=1, axis2=2)
    variance = marginal - cov[:, :1, 1] ** 2 / marginal[:, ::-1]
    diag = lambda v: v[..., None] * np.eye(2)  # noqa: E731
    return (
        np.hstack([kl_normal_full(m + off, diag(stretch**2 * variance), m, cov), marginal]),
        ">=", np.hstack([kl_normal_full(m, diag(variance), m, cov), variance]),
        "=", np.hstack([
            (total(log(diagonal)) - log(np.linalg.det(precision))[:, None]) / 2,
            1 / diagonal,
        ]),
    )  # fmt: skip


@eq_38.tied("minivae.divergences.kl_full")
def _(precision, m, off, stretch):
    diagonal = np.diagonal(precision, axis1=1, axis2=2)
    gap = kl_full(m, np.eye(2) / diagonal[..., None], m, np.linalg.inv(precision))
    return np.hstack([gap[:, None], 1 / diagonal])


# beyond.47 is about the gradient of log p(x) with respect to theta = (W, b, log s). The decoder's theta has 6 + 3 + 1
# numbers. The entry compares three slopes: along a direction of W, along a direction of b, and in log s. The vector u
# contains both directions: the direction of W in its first 6 numbers, and the direction of b in its last 3 numbers.

DIRECTION = Symbol(
    "u", "u", "a direction in W and a direction in b", 9, lambda raw: raw, ((1, 0, 0, 1, 0, 0, 1, 0, 0), (1,) * 9)
)  # fmt: skip
SLANTED = replace(MATRIX_W, simple=([[1, 0.5], [0, 1], [1, -1]], [[1, 0], [0.5, 1], [1, 2]]))
SEEN = replace(OBSERVED_3, simple=((2, 1, 0), (3, -1, 0.5)))


def unpacked(theta):
    """Split theta into W (..., 3, 2), b (..., 3), log s (..., 1)."""
    return theta[..., :6].reshape(*theta.shape[:-1], 3, 2), theta[..., 6:9], theta[..., 9:]


def directions(u):
    """Return three directions in theta, (n, 3, 10).

    The first direction changes W by u[:6], the second changes b by u[6:], and the third changes log s by 1.
    """
    steps = np.zeros((len(u), 3, 10))
    steps[:, 0, :6], steps[:, 1, 6:9], steps[:, 2, 9] = u[:, :6], u[:, 6:], 1
    return steps


@equation(
    "beyond.47", "Fisher's identity",
    r"\nabla_u\log p_\theta(x) = E_{z \sim q}\left[\nabla_u\log p_\theta(x, z)\right] ="
    r" \nabla_u\,\mathrm{ELBO} = \left(\frac{rm^T - WV}{s^2} \cdot u_W,\; \frac{r}{s^2} \cdot u_b,\;"
    r" \frac{|r|^2 + \mathrm{tr}(WVW^T)}{s^2} - D\right),\quad (q = N(m, V),\; r = x - b - Wm)",
    (SLANTED, OFFSET, PLANE_S, SEEN, DIRECTION, chosen("a", "a", 1, "m is a times the mean of p(z|x)")),
    says="If q is the posterior, log p(x) and the ELBO have the same slopes in W, b and log s.",
    needs="q is p(z|x) (a = 1)",
    outside=tuple(
        {"W": [[1, 0.5], [0, 1], [1, -1]], "b": (0, 0, 0), "s": 1, "x": (2, 1, 0), "u": (1,) * 9, "a": a} for a in (0, 0.9)
    ),
)  # fmt: skip
def eq_47(W, b, s, x, u, a):
    theta = np.hstack([W.reshape(len(W), -1), b, log(need_positive("s", s))])
    mean, V = vector_posterior(W, b, s, x)
    m, D, (eps, weights) = a * mean, x.shape[-1], noise(2)
    z = m[:, None] + eps @ t(cholesky(V))                   # (n, K, 2)

    def slopes(f):                                          # f gets theta + h * direction for all three directions
        return complex_step(lambda h: f(*unpacked(theta[:, None] + h * directions(u))), 0.0)

    def log_p_x(W, b, log_s):
        cov = W @ t(W) + exp(2 * log_s)[..., None] * np.eye(D)
        return log_density_full(x[:, None, None], b, cov)[..., 0]

    def log_p_xz(W, b, log_s):                              # (n, 3, K), without terms constant in theta, such as log p(z)
        residual = x[:, None, None] - b[..., None, :] - z[:, None] @ t(W)
        return -(residual**2).sum(axis=-1) * exp(-2 * log_s) / 2 - D * log_s

    def elbo(W, b, log_s):                                  # without terms constant in theta, such as the KL
        residual = x[:, None] - b - (W @ m[:, None, :, None])[..., 0]
        spread = np.einsum("nkdi,nij,nkdj->nk", W, V, W)
        return -((residual**2).sum(axis=-1) + spread) * exp(-2 * log_s[..., 0]) / 2 - D * log_s[..., 0]

    r, s2 = x - b - (W @ m[..., None])[..., 0], s**2
    d_W = (r[..., None] * m[:, None] - W @ V) / s2[..., None]
    variances = np.einsum("ndi,nij,ndj->nd", W, V, W)                       # the variances of W z
    d_log_s = (total(r**2) + total(variances)) / s2 - D
    # A slope is computed from large numbers. If these numbers cancel, the slope is near 0. So the error of a slope is
    # compared with `scale`, the size of the large numbers, and not with the slope itself.
    length = lambda f: np.sqrt((f**2).reshape(len(f), -1).sum(axis=1, keepdims=True))  # noqa: E731
    size_b = length(x) + length(b) + length(x - b - r) + np.sqrt(total(variances))
    size_W = length(r) * length(m) + length(W @ V)
    scale = np.hstack([length(u[:, :6]) * size_W / s2, length(u[:, 6:]) * size_b / s2, d_log_s + 2 * D])
    return (
        slopes(log_p_x),
        "=", Zero(scale, slopes(log_p_xz) @ weights),
        "=", Zero(scale, slopes(elbo)),
        "=", along(u, d_W, r / s2, d_log_s),
    )  # fmt: skip


def along(u, d_W, d_b, d_log_s):
    """Return the slopes along u_W, along u_b and in log s, (n, 3), computed from the gradients in W, b and log s."""
    return np.hstack([total(d_W.reshape(len(u), -1) * u[:, :6]), total(d_b * u[:, 6:]), d_log_s])


def backwards(W, b, s, x, m, V):
    """Return minivae's gradient (10,) of the log-likelihood of one x (D,), averaged over z ~ N(m, V)."""
    z = m + CORNERS @ cholesky(V).T                         # (L, J)   the mean of f(z) is exact if f is quadratic
    out = (b + z @ W.T)[:, None]                            # (L, 1, D)
    each = np.full((len(z), 1), 1 / len(z))
    d_out, d_log_s = gaussian_log_prob_backward(each, x[None], out, log(s[0]))
    d_W = d_out[:, 0].T @ z                                 # out = b + W z
    return np.concatenate([d_W.ravel(), d_out.sum(axis=(0, 1)), [d_log_s]])


@eq_47.tied("minivae.likelihood.gaussian_log_prob_backward", draws=20)
def _(W, b, s, x, u, a):
    m, V = vector_posterior(W, b, s, x)
    theta = np.vectorize(backwards, signature="(d,j),(d),(i),(d),(j),(j,j)->(p)")(W, b, s, x, a * m, V)
    return along(u, *unpacked(theta))
