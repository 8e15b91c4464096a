"""Beyond the sources: linear decoders with Gaussian noise, where everything about a VAE is known.

Its exact posterior, its optimum over a data set, which is probabilistic PCA, when a latent coordinate collapses,
what a factorised q loses, and the gradient of log p(x).
"""

import itertools
import math

import numpy as np
from numpy import cos, exp, log, pi, sin, sqrt

from derivations.domains import Symbol, positive, vector
from derivations.equation import equation
from derivations.numerics import (
    complex_step,
    kl_normal,
    kl_normal_full,
    log_density,
    log_density_full,
    need_positive,
    noise,
    refuse,
    total,
)
from derivations.worlds import covariance, linear_posterior
from minivae.gaussian import cholesky, kl_full, kl_standard_normal
from minivae.likelihood import Gaussian, optimal_log_sigma
from minivae.params import Params
from minivae.vae import VAE, mlp_shapes

# A data set, its covariance by axes, and probabilistic PCA with d = 2: x = b + W z + sigma eps

CORNERS = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))     # as noise they average a quadratic exactly


def crossed(*reach):
    """Two points on every axis, so far out to either side: the covariance is diagonal."""
    return np.concatenate([np.diag(reach), -np.diag(reach)])


X = Symbol(
    "x", "x", "8 points in 4 dimensions", 32, lambda raw: raw.reshape(-1, 8, 4) * (2, 1.5, 1, 0.7) + 0.5,
    (crossed(6, 4, 2, 2), crossed(4, 6, 1, 3)),
)  # fmt: skip


def principal(x, d=2):
    """b (n, 1, D), U_d (n, D, d), lambda (n, D), largest first, and sigma^2 (n, 1), of the data x (n, N, D)."""
    N, D = x.shape[1:]
    if D <= d:
        refuse("D", f"> d = {d}", str(D), "Without a dimension to spare nothing is left for the noise.")
    b = x.mean(axis=1, keepdims=True)
    rising, axes = np.linalg.eigh(np.swapaxes(x - b, 1, 2) @ (x - b) / N)
    eigenvalues = rising[:, ::-1]
    variance = eigenvalues[:, d:].mean(axis=1, keepdims=True)
    if (variance <= 1e-12 * eigenvalues[:, :1]).any():
        refuse("sigma^2", "> 0", "data in a plane", "There the likelihood has no maximum.")
    return b, axes[:, :, ::-1][:, :, :d], eigenvalues, variance


def ppca(x):
    """b, W = U_d (Lambda_d - sigma^2)^(1/2), sigma^2: the maximum of the likelihood (Tipping and Bishop 1999)."""
    b, axes, eigenvalues, variance = principal(x)
    return b, axes * sqrt(eigenvalues[:, None, :2] - variance[..., None]), variance


def encoder(W, variance):
    """A (n, d, D) and V (n, d, d): the posterior of z is N(A (x - b), V)."""
    V = np.linalg.inv(np.eye(2) + np.swapaxes(W, 1, 2) @ W / variance[..., None])
    return V @ np.swapaxes(W, 1, 2) / variance[..., None], V


def mean_elbo(x, b, W, log_s, A, log_sd):
    """Mean over the data of E_q[log p(x|z) + log p(z) - log q(z|x)], q = N(A (x - b), diag(exp(2 log_sd)))."""
    eps, weights = noise(2)                                                 # exact: of degree 2
    mu, sd = ((x - b) @ np.swapaxes(A, 1, 2))[:, :, None], exp(log_sd)[:, None, None]
    z = mu + sd * eps                                                       # (n, N, K, d)
    out = b[:, :, None] + z @ np.swapaxes(W, 1, 2)[:, None]                 # (n, N, K, D)
    log_p_x = log_density(x[:, :, None], out, exp(log_s)[..., None, None]).sum(axis=-1)
    log_ratio = (log_density(z, 0, 1) - log_density(z, mu, sd)).sum(axis=-1)
    return ((log_p_x + log_ratio) @ weights).mean(axis=1, keepdims=True)


def steps(raw):
    """Steps of all sizes in b, W, log sigma, A and the log sigma_j of q, (n, 23)."""
    return raw[:, 1:] * exp(1.5 * raw[:, :1] - 2)


def stepped(x, by):
    """b, W, log sigma, A and log sigma_j: the optimum, and so far away from it."""
    b, W, variance = ppca(x)
    A, V = encoder(W, variance)
    log_sd = log(np.diagonal(V, axis1=1, axis2=2)) / 2
    best = [b, W, log(variance) / 2, A, log_sd]
    places = np.cumsum([0] + [array[0].size for array in best])
    return [
        array + by[:, i:j].reshape(-1, *array.shape[1:]) for array, i, j in zip(best, places, places[1:])
    ]


def turned(x, turn):
    """W R, and the best q with independent coordinates there is for it: sigma_j^2 = 1 / (V^-1)_jj."""
    b, W, variance = ppca(x)
    W = W @ np.stack([np.hstack([cos(turn), -sin(turn)]), np.hstack([sin(turn), cos(turn)])], axis=1)
    A, V = encoder(W, variance)
    return b, W, log(variance) / 2, A, -log(np.diagonal(np.linalg.inv(V), axis1=1, axis2=2)) / 2


BY = Symbol("by", r"\delta", "a step in b, W, log sigma, A, log sigma_j", 24, steps, (np.zeros(23), np.full(23, 0.1)))
TURN = Symbol("turn", r"\alpha", "an angle, that of R", 1, lambda raw: raw, (0, 0.5, pi / 4))
IN_A_PLANE = np.pad(crossed(6, 4, 2, 2)[:, :2], ((0, 0), (0, 2)))


@equation(
    "beyond.35", "probabilistic PCA; Tipping and Bishop 1999. As the optimum of a linear VAE; Lucas et al. 2019",
    r"\left(\mathrm{ELBO}(\theta + \delta),\; \max_q \mathrm{ELBO}(WR)\right) \leq \mathrm{ELBO}(\theta) ="
    r" -\frac{1}{2}\left[D\log(2\pi) + \sum_{k=1}^{d}\log\lambda_k + (D - d)\log\sigma^2 + D\right] ="
    r" \frac{1}{N}\sum_n \log N(x_n; b, WRR^TW^T + \sigma^2I),\quad"
    r" (W = U_d(\Lambda_d - \sigma^2I)^{1/2},\; \sigma^2 = \frac{1}{D-d}\sum_{k>d}\lambda_k)", (X, BY, TURN),
    says="A linear VAE at its best is probabilistic PCA; the likelihood allows any rotation R, its q none.",
    needs="D > d, and variance left beyond the first d axes",
    outside=tuple(
        {"x": x, "by": np.zeros(23), "turn": 0} for x in (crossed(6, 4, 2, 2)[:, :2], IN_A_PLANE)
    ),
    tight={"x": crossed(6, 4, 2, 2), "by": np.zeros(23), "turn": 0},
)  # fmt: skip
def eq_35(x, by, turn):
    b, _, eigenvalues, variance = principal(x)
    (N, D), d = x.shape[1:], 2
    largest = total(log(eigenvalues[:, :d]))
    _, rotated, *_ = turned(x, turn)
    cov = rotated @ np.swapaxes(rotated, 1, 2) + variance[..., None] * np.eye(D)
    return (
        np.hstack([mean_elbo(x, *stepped(x, by)), mean_elbo(x, *turned(x, turn))]),
        "<=", mean_elbo(x, *stepped(x, 0 * by)),
        "=", -(D * log(2 * pi) + largest + (D - d) * log(variance) + D) / 2,
        "=", log_density_full(x, b[:, 0], cov).mean(axis=1, keepdims=True),
    )  # fmt: skip


def linear_vae(x):
    """The ELBO of minivae's own model with these weights, mean over the data x (N, D): (1,)."""
    b, W, log_s, A, log_sd = (array[0] for array in stepped(x[None], np.zeros((1, 23))))
    shapes = mlp_shapes("encoder", [4, 4]) | mlp_shapes("decoder", [2, 4]) | {"log_sigma": ()}
    to_mu, to_log_var = A.T, np.zeros((4, 2))               # (D, J) each
    biases = [*(-A @ b[0]), *(2 * log_sd)]
    flat = [np.hstack([to_mu, to_log_var]).ravel(), biases, W.T.ravel(), b[0], log_s]
    vae = VAE(Params(shapes, np.concatenate(flat)), Gaussian(float(exp(log_s[0]))))
    return vae.elbo(x, np.repeat(CORNERS[:, None], len(x), axis=1)).mean(keepdims=True)


@eq_35.tied("minivae.vae.VAE.elbo", draws=50)
def _(x, by, turn):
    return np.vectorize(linear_vae, signature="(n,d)->(i)")(x)


def best(slope, most):
    """Where a function of (0, most) with one maximum has it, given its slope: halving, 60 times."""
    low, high = 0 * most, most
    for _ in range(60):
        middle = (low + high) / 2
        rising = slope(middle) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return (low + high) / 2


LAM = positive("lam", r"\lambda", 0.7, (2, 0.5, 1, 4))
FIXED = positive("s", r"\sigma", simple=(1, 2))


@equation(
    "beyond.36", "collapse of the posterior; Lucas et al. 2019",
    r"\sigma^2 + \mathrm{argmax}_{w^2}\,E_x[\log p_w(x)] = \sigma^2 + \max(\lambda - \sigma^2, 0) ="
    r" \sigma^2\exp\left(2E_x\left[D_{KL}(p_w(z|x)\Vert p(z))\right]\right)", (LAM, FIXED),
    says="A direction in which data vary less than the noise is not used: w and the KL there are 0.",
    needs="sigma > 0, and it is fixed: where it is learned it does not stay above what the data vary",
    outside={"lam": 2, "s": -1},
)  # fmt: skip
def eq_36(lam, s):
    s2 = need_positive("s", s) ** 2

    def mean_log_p(w2):                                     # E[x^2] is lambda
        return -(log(2 * pi * (w2 + s2)) + lam / (w2 + s2)) / 2

    w2 = np.maximum(lam - s2, 0)
    at_optimum = linear_posterior(sqrt(w2), s, sqrt(lam))   # x = sqrt(lambda) and -sqrt(lambda) have one KL
    return (
        s2 + best(lambda w2: complex_step(mean_log_p, w2), 2 * lam),
        "=", s2 + w2,
        "=", s2 * exp(2 * kl_normal(*at_optimum, 0, 1)),
    )  # fmt: skip


@eq_36.tied("minivae.gaussian.kl_standard_normal")
def _(lam, s):
    mu, sigma = linear_posterior(sqrt(np.maximum(lam - s**2, 0)), s, sqrt(lam))
    return s**2 * exp(2 * kl_standard_normal(mu, 2 * log(sigma)))


@equation(
    "beyond.37", "optimal noise of a Gaussian decoder; sigma-VAE, Rybkin et al. 2021",
    r"\mathrm{argmax}_{\sigma^2}\,\sum_n\mathrm{ELBO}_n ="
    r" \frac{1}{ND}\sum_n\left[|x_n - b - Wm_n|^2 + \mathrm{tr}(WVW^T)\right] ="
    r" \frac{1}{D-d}\sum_{k=d+1}^{D}\lambda_k", (X,),
    says="The best sigma^2 is the mean squared error of drawn codes, spread and all: at the optimum pPCA's.",
    needs="D > d, and variance left beyond the first d axes",
    outside=({"x": crossed(6, 4, 2, 2)[:, :2]}, {"x": IN_A_PLANE}),
)  # fmt: skip
def eq_37(x):
    b, W, variance = ppca(x)
    A, V = encoder(W, variance)
    D, m = x.shape[-1], (x - b) @ np.swapaxes(A, 1, 2)
    eps, weights = noise(2)
    z = m[:, :, None] + (eps @ np.swapaxes(cholesky(V), 1, 2))[:, None]     # (n, N, K, d)
    drawn = ((x - b)[:, :, None] - z @ np.swapaxes(W, 1, 2)[:, None]) ** 2
    squares = (drawn.sum(axis=-1) @ weights).mean(axis=1, keepdims=True)    # E |x - b - W z|^2
    elbo = lambda s2: -D * log(s2) / 2 - squares / (2 * s2)  # noqa: E731   the rest of it has no sigma
    at_mean = ((x - b - m @ np.swapaxes(W, 1, 2)) ** 2).sum(axis=2).mean(axis=1, keepdims=True)
    spread = np.einsum("ndi,nij,ndj->n", W, V, W)[:, None]
    return (
        best(lambda s2: complex_step(elbo, s2), squares),
        "=", (at_mean + spread) / D,
        "=", variance,
    )  # fmt: skip


def optimal_variance(x):
    """minivae's optimal sigma^2 of drawn outputs, for one data set x (N, D): (1,)."""
    b, W, _, A, log_sd = (array[0] for array in stepped(x[None], np.zeros((1, 23))))
    z = (x - b) @ A.T + exp(log_sd) * CORNERS[:, None]      # (L, N, d)
    return exp(2 * optimal_log_sigma(x, b + z @ W.T))[None]


@eq_37.tied("minivae.likelihood.optimal_log_sigma", draws=100)
def _(x):
    return np.vectorize(optimal_variance, signature="(n,d)->(i)")(x)


# A posterior with dependent coordinates, given by its precision: dependent enough for the loss to have digits


def dependent(raw):
    """Precisions (n, 2, 2) with correlations from 0.1 to 0.95, of either sign."""
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
    Symbol("stretch", "k", "> 0, of every sigma_j", 2, lambda raw: exp(raw / 2), ((1, 1), (1.5, 1))),
)


@equation(
    "beyond.38", "mean field; the optimum of a q with independent coordinates",
    r"\left(D_{KL}(N(m + \delta, \mathrm{diag}(k_j^2\sigma_j^2))\Vert N(m, \Sigma)),\; \Sigma_{jj}\right) \geq"
    r" \left(D_{KL}(N(m, \mathrm{diag}(\sigma_j^2))\Vert N(m, \Sigma)),\; \sigma_j^2\right) ="
    r" \left(\frac{1}{2}\left[\sum_j\log\Lambda_{jj} - \log\det\Lambda\right],\;"
    r" \frac{1}{\Lambda_{jj}}\right),\quad (\Lambda = \Sigma^{-1})", FACTORISED,
    says="The best factorised q is narrower than the posterior's marginals, and falls short for ever.",
    needs="Sigma symmetric and positive definite",
    outside=tuple(
        {"precision": precision, "m": (0, 0), "off": (0, 0), "stretch": (1, 1)}
        for precision in ([[1, 2], [2, 1]], [[1, 0.5], [0, 1]])
    ),
    tight={"precision": [[4, 0], [0, 1]], "m": (1, -1), "off": (0, 0), "stretch": (1, 1)},
)  # fmt: skip
def eq_38(precision, m, off, stretch):
    cov, diagonal = np.linalg.inv(precision), np.diagonal(precision, axis1=1, axis2=2)
    cholesky(cov)                                           # refused unless it is a covariance
    # Given the other coordinate, z_j has the variance Sigma_jj - Sigma_12^2 / the other's.
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


@eq_38.tied("minivae.gaussian.kl_full")
def _(precision, m, off, stretch):
    diagonal = np.diagonal(precision, axis1=1, axis2=2)
    gap = kl_full(m, np.eye(2) / diagonal[..., None], m, np.linalg.inv(precision))
    return np.hstack([gap[:, None], 1 / diagonal])
