"""Beyond the sources: VAEs with a linear decoder and Gaussian noise, which have closed forms.

The entries are about the posterior and the evidence, and about the optimum for a data set, which is probabilistic PCA.
One entry is about directions in which the data vary less than the noise.
"""

import numpy as np
from numpy import cos, exp, log, pi, sin, sqrt

from derivations.beyond.elbo import CORNERS
from derivations.beyond.elbo import by_minivae as by_model
from derivations.beyond.elbo import linear_vae as constant_encoder
from derivations.engine.domains import Symbol, positive, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import (
    complex_step,
    kl_normal,
    log_density,
    log_density_full,
    need_positive,
    noise,
    refuse,
    total,
)
from derivations.engine.worlds import (
    MATRIX_W,
    OBSERVED_3,
    OFFSET,
    PLANE_S,
    linear_posterior,
    vector_log_evidence,
    vector_log_p,
    vector_posterior,
)
from minivae.evidence import exact_linear, exact_log_px
from minivae.gaussian import cholesky, kl_standard_normal, log_standard_normal
from minivae.likelihood import (
    Gaussian,
    gaussian_log_prob,
    optimal_log_sigma,
)
from minivae.params import Params, mlp_shapes
from minivae.vae import VAE

# The posterior p(z|x); and the evidence p(x), as an integral and by three formulas

CODE = vector("z", "z", 2, 0.8, ((1, 0), (0, 0)))
WORLD = (MATRIX_W, OFFSET, PLANE_S, OBSERVED_3)
GRID = np.stack(np.meshgrid(*[np.linspace(-7.2, 7.2, 17)] * 2), axis=-1).reshape(-1, 2)  # for the trapezoid rule
CELL = 0.9**2


def t(matrix):
    """Transpose the last two axes."""
    return np.swapaxes(matrix, -2, -1)


@equation(
    "beyond.30", "posterior of a linear-Gaussian model; Woodbury's identity, determinant lemma",
    r"\int p(x|z)p(z)\,dz = N(x; b, WW^T + s^2I) ="
    r" \frac{\sqrt{\det V}}{(2\pi s^2)^{D/2}}\exp\left(-\frac{|r|^2 - r^TWVW^Tr/s^2}{2s^2}\right) ="
    r" \frac{p(x|z)p(z)}{N(z; m, V)},\quad"
    r" (r = x - b,\; V = (I + W^TW/s^2)^{-1},\; m = VW^Tr/s^2)", (*WORLD, CODE),
    says="The evidence is an integral. Three formulas give its value: a Gaussian density in D dimensions; a formula "
    "that inverts only a matrix of the size of V; and the joint divided by the posterior, which is the same at every z.",
)  # fmt: skip
def eq_30(W, b, s, x, z):
    centre, spread = vector_posterior(W, b, s, x)           # p(x|z) p(z) is large where the posterior density is large
    root = cholesky(spread)
    nodes = centre[:, None] + GRID @ t(root)                # (n, K, 2)
    log_joint = lambda z: vector_log_p(W, b, s, x, z) + log_density(z, 0, 1).sum(axis=-1)  # noqa: E731
    D, s2, r = x.shape[-1], s**2, (x - b)[..., None]        # r (n, D, 1)
    V = np.linalg.inv(np.eye(2) + t(W) @ W / s2[..., None])
    m = V @ t(W) @ r / s2[..., None]                        # (n, 2, 1)
    exponent = (t(r) @ r - t(r) @ W @ V @ t(W) @ r / s2[..., None])[..., 0]
    at_z = log_joint(z[:, None]) - log_density_full(z[:, None], m[..., 0], V)
    return (
        total(exp(log_joint(nodes))) * CELL * np.linalg.det(root)[:, None],
        "=", exp(vector_log_evidence(W, b, s, x)),
        "=", sqrt(np.linalg.det(V))[:, None] / (2 * pi * s2) ** (D / 2) * exp(-exponent / (2 * s2)),
        "=", exp(at_z),
    )  # fmt: skip


@eq_30.tied("minivae.likelihood.gaussian_log_prob")
@eq_30.tied("minivae.gaussian.log_standard_normal")
def _(W, b, s, x, z):
    m, V = vector_posterior(W, b, s, x)
    root = cholesky(V)
    standard = np.linalg.solve(root, (z - m)[..., None])[..., 0]            # N(0, I) if z is from the posterior
    log_posterior = log_standard_normal(standard) - log(np.linalg.det(root))
    out = b + (W @ z[..., None])[..., 0]                                    # (n, D)
    log_px_z = gaussian_log_prob(x, out[None], log(s[:, 0]))[0]
    return exp(log_px_z + log_standard_normal(z) - log_posterior)[:, None]


@eq_30.tied("minivae.evidence.quadrature.exact_log_px", draws=5)
@eq_30.tied("minivae.evidence.linear.exact_linear", draws=5)
def _(W, b, s, x, z):
    def evidence(W, b, s, x, m, sigma):
        vae = constant_encoder(W, b, s, m, sigma)
        return exp(exact_log_px(vae, x[None], 1e-9).log_px / 2 + exact_linear(vae, x[None]).log_px / 2)

    m, V = vector_posterior(W, b, s, x)
    sigma = sqrt(np.diagonal(V, axis1=1, axis2=2))
    return by_model(evidence, "(d,j),(d),(o),(d),(j),(j)->(o)")(W, b, s, x, m, sigma)


# A data set, the eigenvectors of its covariance, and probabilistic PCA with d = 2: x = b + W z + sigma eps


def on_axes(*distances):
    """Return two points on axis k, at plus and minus distances[k], for every k. The covariance of all points is diagonal."""
    return np.concatenate([np.diag(distances), -np.diag(distances)])


X = Symbol(
    "x", "x", "8 points in 4 dimensions", 32, lambda raw: raw.reshape(-1, 8, 4) * (2, 1.5, 1, 0.7) + 0.5,
    (on_axes(6, 4, 2, 2), on_axes(4, 6, 1, 3)),
)  # fmt: skip


def ppca(x, d=2):
    """Return the parameters that maximise the likelihood of data x (n, N, D), and the eigenvalues of the covariance of x.

    The parameters are b (n, 1, D), W (n, D, d) and sigma^2 (n, 1). W is U_d (Lambda_d - sigma^2)^(1/2). U_d has the d
    eigenvectors with the largest eigenvalues, and Lambda_d is the diagonal matrix of these eigenvalues; see Tipping and
    Bishop (1999). The eigenvalues lambda (n, D) are in descending order.
    """
    N, D = x.shape[1:]
    if D <= d:
        refuse("D", f"> d = {d}", str(D), "With D = d no direction is left for the noise.")
    b = x.mean(axis=1, keepdims=True)
    rising, axes = np.linalg.eigh(t(x - b) @ (x - b) / N)
    eigenvalues, axes = rising[:, ::-1], axes[:, :, ::-1]
    variance = eigenvalues[:, d:].mean(axis=1, keepdims=True)
    if (variance <= 1e-12 * eigenvalues[:, :1]).any():
        refuse("sigma^2", "> 0", "data in a plane", "For such data the likelihood has no maximum.")
    return b, axes[:, :, :d] * sqrt(eigenvalues[:, None, :d] - variance[..., None]), variance, eigenvalues


def encoder(W, variance):
    """Return A (n, d, D) and V (n, d, d). The posterior of z is N(A (x - b), V)."""
    V = np.linalg.inv(np.eye(2) + t(W) @ W / variance[..., None])
    return V @ t(W) / variance[..., None], V


def mean_elbo(x, b, W, log_s, A, log_sd):
    """Return the ELBO, averaged over the data. q is N(A (x - b), exp(2 log_sd))."""
    eps, weights = noise(2)                                 # exact means: log p and log q are quadratic in eps
    mu, sd = ((x - b) @ t(A))[:, :, None], exp(log_sd)[:, None, None]
    z = mu + sd * eps                                                       # (n, N, K, d)
    out = b[:, :, None] + z @ t(W)[:, None]                 # (n, N, K, D)
    log_p_x = log_density(x[:, :, None], out, exp(log_s)[..., None, None]).sum(axis=-1)
    log_ratio = (log_density(z, 0, 1) - log_density(z, mu, sd)).sum(axis=-1)
    return ((log_p_x + log_ratio) @ weights).mean(axis=1, keepdims=True)


def steps(raw):
    """Return random changes, some small and some large, of b, W, log sigma, A, and log sigma_j of q, (n, 23)."""
    return raw[:, 1:] * exp(np.minimum(1.5 * raw[:, :1] - 2, 0))


def linear_vae(b, W, variance, by=None):
    """Return b, W, log sigma, A and log sigma_j of the best linear VAE, each changed by the step `by` if it is given."""
    A, V = encoder(W, variance)
    best = [b, W, log(variance) / 2, A, log(np.diagonal(V, axis1=1, axis2=2)) / 2]
    if by is None:
        return best
    ends = np.cumsum([array[0].size for array in best])[:-1]
    parts = np.split(by, ends, axis=1)
    return [array + part.reshape(-1, *array.shape[1:]) for array, part in zip(best, parts)]


def rotated(b, W, variance, turn):
    """Replace W by W R, with a rotation R. Return the parameters of the rotated VAE with its best q, and the gap of this q.

    Each q has independent coordinates. The best q has sigma_j^2 = 1 / P_jj, where P is the precision of the posterior.
    [beyond.38]
    """
    W = W @ np.stack([np.hstack([cos(turn), -sin(turn)]), np.hstack([sin(turn), cos(turn)])], axis=1)
    A, V = encoder(W, variance)
    log_precisions = -log(np.linalg.det(V))[:, None], log(np.diagonal(np.linalg.inv(V), axis1=1, axis2=2))
    gap = (total(log_precisions[1]) - log_precisions[0]) / 2
    return (b, W, log(variance) / 2, A, -log_precisions[1] / 2), gap


BY = Symbol(
    "by", r"\delta", "a step in b, W, log sigma, A, log sigma_j", 24, steps, (np.zeros(23), np.full(23, 0.1))
)  # fmt: skip
TURN = Symbol("turn", r"\alpha", "the angle of the rotation R", 1, lambda raw: raw, (0, 0.5, pi / 4))
IN_A_PLANE = np.pad(on_axes(6, 4, 2, 2)[:, :2], ((0, 0), (0, 2)))
SPARE = "D > d, and the data vary in more than d directions"
NO_MAXIMUM = "sigma^2 is 0/0 for D = d; for data in a plane the likelihood grows without bound as sigma goes to 0"


@equation(
    "beyond.35", "probabilistic PCA, Tipping and Bishop 1999; linear VAE, Lucas et al. 2019",
    r"\left(\mathrm{ELBO}(\theta + \delta),\; \max_q \mathrm{ELBO}(WR)\right) \leq \mathrm{ELBO}(\theta) ="
    r" \left[\max_q \mathrm{ELBO}(WR)"
    r" + \frac{1}{2}\left(\sum_j\log P_{jj} - \log\det P\right)\right] ="
    r" -\frac{1}{2}\left[D\log(2\pi) + \sum_{k=1}^{d}\log\lambda_k + (D - d)\log\sigma^2 + D\right] ="
    r" \frac{1}{N}\sum_n \log N(x_n; b, WRR^TW^T + \sigma^2I),\quad"
    r" (W = U_d(\Lambda_d - \sigma^2I)^{1/2},\; \sigma^2 = \frac{1}{D-d}\sum_{k>d}\lambda_k,\;"
    r" P = I + R^TW^TWR/\sigma^2)", (X, BY, TURN),
    says="The optimum of a linear VAE is probabilistic PCA. A rotation R does not change the likelihood, but can lower the "
    "largest ELBO.",
    needs=SPARE, undefined=NO_MAXIMUM,
    outside=tuple(
        {"x": x, "by": np.zeros(23), "turn": 0} for x in (on_axes(6, 4, 2, 2)[:, :2], IN_A_PLANE)
    ),
    tight={"x": on_axes(6, 4, 2, 2), "by": np.zeros(23), "turn": 0},
)  # fmt: skip
def eq_35(x, by, turn):
    *best, eigenvalues = ppca(x)
    b, W, variance = best
    D, d = W.shape[1:]
    largest = total(log(eigenvalues[:, :d]))
    parameters, gap = rotated(*best, turn)
    cov = parameters[1] @ t(parameters[1]) + variance[..., None] * np.eye(D)
    of_rotated = mean_elbo(x, *parameters)
    return (
        np.hstack([mean_elbo(x, *linear_vae(*best, by)), of_rotated]),
        "<=", mean_elbo(x, *linear_vae(*best)),
        "=", of_rotated + gap,
        "=", -(D * log(2 * pi) + largest + (D - d) * log(variance) + D) / 2,
        "=", log_density_full(x, b[:, 0], cov).mean(axis=1, keepdims=True),
    )  # fmt: skip


def by_minivae(x, b, W, log_s, A, log_sd):
    """Return the ELBO (1,) of minivae's model with these weights, averaged over the data x (N, D)."""
    shapes = mlp_shapes("encoder", [4, 4]) | mlp_shapes("decoder", [2, 4]) | {"log_sigma": ()}
    to_mu, to_log_var = A.T, np.zeros((4, 2))               # (D, J) each
    biases = [*(-A @ b[0]), *(2 * log_sd)]
    flat = [np.hstack([to_mu, to_log_var]).ravel(), biases, W.T.ravel(), b[0], log_s]
    vae = VAE(Params(shapes, np.concatenate(flat)), Gaussian(float(exp(log_s[0]))))
    return vae.elbo(x, np.repeat(CORNERS[:, None], len(x), axis=1)).mean(keepdims=True)


@eq_35.tied("minivae.vae.VAE.elbo", draws=10)
def _(x, by, turn):
    each = np.vectorize(by_minivae, signature="(n,d),(i,d),(d,j),(i),(j,d),(j)->(i)")
    return each(x, *linear_vae(*ppca(x)[:3]))


def best(slope, most):
    """Return the point between 0 and `most` at which a function is largest, found by 60 bisection steps.

    `slope` is the derivative of the function: positive below this point, and negative above this point.
    """
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
    r" \sigma^2\exp\left(2E_x\left[D_{KL}(p_w(z|x)\Vert p(z))\right]\right),"
    r"\quad (x = wz + \sigma\epsilon,\; \lambda = E_x[x^2])", (LAM, FIXED),
    says="The number x is one coordinate of the data, with mean 0 and variance lambda. The noise variance sigma^2 is fixed. "
    "On the last side, w has its best value. If lambda is below sigma^2, the best w and the KL are 0.",
)  # fmt: skip
def eq_36(lam, s):
    s2 = need_positive("s", s) ** 2

    def mean_log_p(w2):                                     # E[x^2] is lambda
        return -(log(2 * pi * (w2 + s2)) + lam / (w2 + s2)) / 2

    w2 = np.maximum(lam - s2, 0)
    # KL(p_w(z|x) || p(z)) is a linear function of x^2, and E[x^2] is lambda. So E[KL] is the KL at x^2 = lambda.
    at_optimum = linear_posterior(sqrt(w2), s, sqrt(lam))
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
    r" \frac{1}{D-d}\sum_{k=d+1}^{D}\lambda_k,\quad"
    r" (W, b \text{ as in beyond.35},\; p(z|x_n) = N(m_n, V),\; \lambda_k \text{ the eigenvalues})", (X,),
    says="The best sigma^2 is the squared error for codes from q = p(z|x), averaged over the data and their features. If W "
    "and b are optimal, this best sigma^2 is the noise variance of probabilistic PCA.",
    needs=SPARE, undefined=NO_MAXIMUM,
    outside=({"x": on_axes(6, 4, 2, 2)[:, :2]}, {"x": IN_A_PLANE}),
)  # fmt: skip
def eq_37(x):
    b, W, variance, _ = ppca(x)
    A, V = encoder(W, variance)
    D, m = x.shape[-1], (x - b) @ t(A)
    eps, weights = noise(2)
    z = m[:, :, None] + (eps @ t(cholesky(V)))[:, None]     # (n, N, K, d)
    drawn = ((x - b)[:, :, None] - z @ t(W)[:, None]) ** 2
    squares = (drawn.sum(axis=-1) @ weights).mean(axis=1, keepdims=True)    # E[|x - b - W z|^2]
    elbo = lambda s2: -D * log(s2) / 2 - squares / (2 * s2)  # terms without s2 are left out  # noqa: E731
    at_mean = ((x - b - m @ t(W)) ** 2).sum(axis=2).mean(axis=1, keepdims=True)
    spread = np.einsum("ndi,nij,ndj->n", W, V, W)[:, None]
    return (
        best(lambda s2: complex_step(elbo, s2), squares),
        "=", (at_mean + spread) / D,
        "=", variance,
    )  # fmt: skip


def optimal_variance(x, b, W, log_s, A, log_sd):
    """Return minivae's optimal sigma^2 (1,) for one data set x (N, D). The latent vectors z are computed from CORNERS."""
    z = (x - b) @ A.T + exp(log_sd) * CORNERS[:, None]      # (L, N, d)
    return exp(2 * optimal_log_sigma(x, b + z @ W.T))[None]


@eq_37.tied("minivae.likelihood.optimal_log_sigma", draws=10)
def _(x):
    each = np.vectorize(optimal_variance, signature="(n,d),(i,d),(d,j),(i),(j,d),(j)->(i)")
    return each(x, *linear_vae(*ppca(x)[:3]))
