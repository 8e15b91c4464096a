"""Hong, "Derivations": the model for most entries, and formulas that several entries share.

The model is linear, with D = 3 and d = 2: z ~ N(0, I_d), mu_theta(z) = W z, and one sigma_theta for all pixels. So p(x),
p(z|x) and -L have formulas. Expectations over q are exact sums over quadrature nodes.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from derivations.engine.domains import Symbol, positive, positives, vector
from derivations.engine.numerics import complex_step, kl_normal, log_density, log_density_full, noise, total
from minivae.likelihood import Gaussian
from minivae.params import Params, mlp_shapes
from minivae.vae import VAE

# Letters. mu_i and sigma_i are the encoder's outputs; W and sigma_theta are the decoder's parameters.

MU = vector("mu", r"\mu", 2, simple=((1, 0), (0, 0), (0.2, -0.5)))
SIGMA = positives("sigma", r"\sigma", 2, simple=((2, 1), (1, 1), (0.1, 1), (0.6, 0.5)))
W = Symbol(
    "W", "W", "real, between -1 and 1", 6, lambda raw: np.tanh(raw).reshape(-1, 3, 2),
    ([[1, 0], [0, 1], [0, 0]], [[1, 0.5], [0, 1], [-1, 0.5]]),
)  # fmt: skip
SIGMA_THETA = positive("sigma_theta", r"\sigma_\theta", 0.2, (1, 0.5))
X = vector("x", "x", 3, simple=((0, 0, 0), (1, 0, -1)))
MODEL = (W, SIGMA_THETA, X, MU, SIGMA)

KL = r"D_{KL}(q(z|x)||p(z))"
SQUARES = r"\frac{1}{2}(\mu_i^2+\sigma_i^2-1)"
MSE = r"\text{MSE}(x,\tilde{x})"


# The model


def decoded(W: NDArray, z: NDArray) -> NDArray:
    """Return mu_theta(z) = W z, (..., K, D), for codes z (..., K, d) and W (..., D, d)."""
    return z @ np.swapaxes(W, -2, -1)


def codes(mu: NDArray, sigma: NDArray) -> tuple[NDArray, NDArray]:
    """Return nodes z (..., 9, 2) and weights (9,) for expectations over q(z|x), exact for polynomials up to degree 5."""
    eps, weights = noise(mu.shape[-1])
    return mu[..., None, :] + sigma[..., None, :] * eps, weights


def expected_mse(W: NDArray, x: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return the expectation of MSE(x, W z) for z drawn from q, (..., 1)."""
    z, weights = codes(mu, sigma)
    return total(weights * ((x[..., None, :] - decoded(W, z)) ** 2).mean(axis=-1))


def minus_elbo(W: NDArray, sigma_theta: NDArray, x: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return -L = E_q[log q(z|x) - log p(z) - log p(x|z)], (n, 1), from the three densities."""
    z, weights = codes(mu, sigma)
    log_q = log_density(z, mu[:, None], sigma[:, None]).sum(axis=-1)            # (n, 9)
    log_p_z = log_density(z, 0, 1).sum(axis=-1)
    log_p_x_z = log_density(x[:, None], decoded(W, z), sigma_theta[..., None]).sum(axis=-1)
    return total(weights * (log_q - log_p_z - log_p_x_z))


def minus_log_evidence(W: NDArray, sigma_theta: NDArray, x: NDArray) -> NDArray:
    """Return -ln p(x) = -ln N(x; 0, W W' + sigma_theta^2 I), (n, 1)."""
    cov = W @ np.swapaxes(W, -2, -1) + sigma_theta[..., None] ** 2 * np.eye(x.shape[-1])
    return -log_density_full(x[:, None], 0 * x, cov)


def kl_prior(mu: NDArray, sigma: NDArray) -> NDArray:
    """Return KL(q(z|x) || p(z)), (n, 1), as a sum over coordinates, by quadrature."""
    return kl_normal(mu[..., None], sigma[..., None], 0, 1).sum(axis=-2)


def complex_gradient(f, at: NDArray) -> NDArray:
    """Return the gradient (n, K) of f at points (n, K), by a complex step in each coordinate. f maps (..., K) to (...)."""
    return complex_step(lambda t: f(at[:, None, :] + t * np.eye(at.shape[-1])), 0.0)


def lowest(f, halvings: int = 60) -> NDArray:
    """Return the minimiser of a convex f(t) between -20 and 20. Bisection finds the zero of the derivative f'(t)."""
    low, high = -20.0, 20.0
    for _ in range(halvings):
        middle = np.asarray((low + high) / 2)
        rising = complex_step(f, middle) > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    return (low + high) / 2


# The same model in minivae. minivae gives every draw of noise the same weight, but the nodes of `codes` have different
# weights. So minivae gets the draws of `corners` as noise.


def corners(count: int) -> NDArray:
    """Return the 2^count draws of noise (+-1, ..., +-1), which have exactly the mean and covariance of N(0, I)."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=count)))


CORNERS = corners(2)[:, None]                               # (4, 1, 2)


def as_vae(W: NDArray, sigma_theta: NDArray, mu: NDArray, sigma: NDArray, **settings) -> VAE:
    """Return a model of minivae. The weight matrix of its encoder is 0, so mu and sigma are the same for every x."""
    (D, d), sigma_theta = W.shape, float(sigma_theta[0])
    shapes = mlp_shapes("encoder", [D, 2 * d]) | mlp_shapes("decoder", [d, D]) | {"log_sigma": ()}
    flat = [np.zeros(2 * d * D), mu, 2 * np.log(sigma), W.T.ravel(), np.zeros(D), [np.log(sigma_theta)]]
    return VAE(Params(shapes, np.concatenate(flat)), Gaussian(sigma_theta), **settings)


def by_minivae(f, more: str = "->(o)"):
    """Return a function that calls f(W, sigma_theta, x, mu, sigma, ...) once for each of n models.

    The returned function takes one array for each argument of f, with n values of this argument. `more` is the end of the
    `signature` for np.vectorize: the shapes of the further arguments of f, then "->" and the shape of the result of f.
    """
    return np.vectorize(f, signature=f"(D,d),(o),(D),(d),(d){',' if more[0] == '(' else ''}{more}")
