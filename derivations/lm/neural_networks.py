"""LM, "Variational AutoEncoder": the section "Using Neural networks".

The entries below check the gradient of ln p(x|z), the form of q(z|x), the Gaussian decoder, and the choice q(z|x) = p(z).
"""

from dataclasses import replace

import numpy as np
from numpy import exp, pi, sqrt

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import integrate, kl_normal, log, log_density, log_density_full, normal, total
from derivations.engine.worlds import chosen, linear_elbo, linear_log_evidence, linear_posterior, small_vae
from derivations.lm.first_display import GAP, LINE_1, WORLD, average_log_likelihood
from minivae.gaussian import kl_standard_normal, log_normal, reparameterize
from minivae.likelihood import gaussian_log_prob
from minivae.ops import mlp, mlp_backward

# f(z, theta) is the decoder of a small VAE. The VAE has two latent coordinates. The decoder has five hidden units, three
# outputs, and 33 weights and biases.

CODE = vector("z", "z", 2, simple=((1, 0), (1, -1), (0, 0)))
DATUM = vector("x", "x", 3, simple=((0, 0, 0), (1, 0, -1)))


def decoder():
    """Return the decoder's layers and the sigma of p(x|z). Layer 1 is W (2, 5), b (5,); layer 2 is W' (5, 3), b' (3,)."""
    vae = small_vae(hidden=(5,))
    return vae.layers("decoder"), exp(vae.scale[0])


def log_likelihood(x, z, W, b, W_2, b_2, sigma):
    """Return ln p(x|z), (n,). The weights may be complex numbers."""
    f = np.tanh(z @ W + b) @ W_2 + b_2
    return -(((x - f) / sigma) ** 2).sum(axis=-1) / 2 - len(b_2) * np.log(sqrt(2 * pi) * sigma)


def with_complex_step(weights, k):
    """Add the imaginary step 1e-30 i to one weight, and return all weights. The index k counts from 0 through all arrays."""
    sizes = np.cumsum([weight.size for weight in weights])[:-1]
    flat = np.concatenate([weight.ravel() for weight in weights]).astype(complex)
    flat[k] += 1e-30j
    return [part.reshape(weight.shape) for part, weight in zip(np.split(flat, sizes), weights)]


@equation(
    "lm.34", "l.48",
    r"\nabla_\theta\ln p_\theta(x|z) = \frac{(x - f(z,\theta))^\top}{\sigma^2}\nabla_\theta f(z,\theta)",
    (CODE, DATUM),
    kind="claim",
    claim="The text models the parameters of p(x|z), such as f(z, theta), with a neural network (l.48).",
    says="The chain rule gives the gradient of ln p(x|z) with respect to all weights and biases of the network.",
)  # fmt: skip
def lm_34(z, x):
    ((W, b), (W_2, b_2)), sigma = decoder()
    weights = [W, b, W_2, b_2]
    steps = range(sum(weight.size for weight in weights))
    by_steps = [log_likelihood(x, z, *with_complex_step(weights, k), sigma).imag / 1e-30 for k in steps]
    h = np.tanh(z @ W + b)                                                      # (n, 5)
    d_f = (x - h @ W_2 - b_2) / sigma**2                                        # (n, 3)
    d_a = (d_f @ W_2.T) * (1 - h**2)                                            # (n, 5)
    outer = lambda left, right: (left[:, :, None] * right[:, None]).reshape(len(z), -1)  # noqa: E731
    by_hand = np.hstack([outer(z, d_a), d_a, outer(h, d_f), d_f])               # (n, 33)
    return np.stack(by_steps, axis=-1), "=", by_hand


@lm_34.tied("minivae.ops.mlp_backward", draws=50)
def _(z, x):
    layers, sigma = decoder()

    def gradient(z, x):
        hs = mlp(z[None], layers, "tanh")
        made = [(np.empty_like(W), np.empty_like(b)) for W, b in layers]
        mlp_backward((x - hs[-1]) / sigma**2, hs, layers, "tanh", made)
        return np.concatenate([part.ravel() for layer in made for part in layer])

    return np.vectorize(gradient, signature="(j),(d)->(p)")(z, x)


# A "density" with a mean that depends on its argument z: N(z; x + a z, sigma^2)

def not_one(raw):
    """Return numbers that are not near 1."""
    return 1 - np.sign(raw) * exp((np.abs(raw) - 1) / 2)


SLOPE = Symbol("a", "a", "real, not 1", 1, not_one, (0.5, -1, 0))
ENCODED = (real("x", "x", simple=(0, 1)), positive("sigma", r"\sigma"), SLOPE)


@equation(
    "lm.35", "l.50-52",
    r"q(z|x) \text{ is } \mathcal N(\mu(x,z), \Sigma(x,z)):\quad"
    r" \int \mathcal N(z; x + az, \sigma^2)\,dz = 1", ENCODED, kind="claim", verdict="wrong",
    claim="The text prints q(z|x) = N(mu(x, z), Sigma(x, z)): mean and variance depend on x and z (l.50-52).",
    says="This is a Gaussian with a mean that depends on x and z: here mu(x, z) = x + a z.",
    fault="Mean and variance of q(z|x) may depend only on x. If the mean depends on z, the integral of q need not be 1: for "
    "mu = z/2 the integral is 2.",
)  # fmt: skip
def lm_35(x, sigma, a):
    return integrate(lambda z: normal(z, x + a * z, sigma), x / (1 - a), sigma / np.abs(1 - a)), "=", 1


@lm_35.corrected(
    r"q(z|x) \text{ is } \mathcal N(\mu(x), \Sigma(x)):\quad \int \mathcal N(z; x, \sigma^2)\,dz = 1", inputs=ENCODED[:2]
)
def _(x, sigma):
    return integrate(lambda z: normal(z, x, sigma), x, sigma), "=", 1


@lm_35.tied("minivae.gaussian.log_normal")
def _(x, sigma):
    log_q = lambda z: log_normal(z.T[..., None], x, 2 * log(sigma)).T  # noqa: E731
    return integrate(lambda z: exp(log_q(z)), x, sigma)


# The Gaussian decoder: x and f in three dimensions

THREE = (
    Symbol("x", "x", "real", 3, lambda raw: 1.2 * raw, ((0, 0, 0), (1, 0, -1))),
    Symbol("f", r"f(z,\theta)", "real", 3, lambda raw: 1.2 * raw + 0.3, ((1, 0, 0), (0, 0, 2))),
    Symbol("var", r"\sigma^2", "> 0", 1, lambda raw: exp(0.6 * raw), (1, 0.1, 0.5)),
)
GAUSSIAN = r"\ln p_\theta(x|z)"
SQUARE = r"|x - f(z,\theta)|^2"


def by_coordinates(x, f, var):
    """Return ln p(x|z) as a sum over the coordinates of x, which are independent for a given z."""
    return total(log_density(x, f, sqrt(var)))


def by_covariance(x, f, var):
    """Return ln p(x|z) from the covariance matrix sigma^2 I."""
    return log_density_full(x[:, None], f, var[..., None] * np.eye(x.shape[-1]))


@equation(
    "lm.36", "l.56, line 2", rf"{GAUSSIAN} = \ln \mathcal N(x | f(z,\theta), \sigma^2 I)", THREE,
    says="The decoder's distribution is a Gaussian with mean f(z, theta) and independent noise of variance sigma^2.",
)  # fmt: skip
def lm_36(x, f, var):
    return by_coordinates(x, f, var), "=", by_covariance(x, f, var)


@lm_36.tied("minivae.likelihood.gaussian_log_prob")
def _(x, f, var):
    return gaussian_log_prob(x, f[None], log(var)[:, 0] / 2).T


@equation(
    "lm.37", "l.56, line 3",
    rf"\left[{GAUSSIAN}\right] = \ln\left(\frac{{1}}{{\sqrt{{2\pi\sigma^2}}}}"
    r"\exp\left(-\frac{(x - f(z,\theta)^2)}{\sigma^2}\right)\right)", THREE,
    says="The page writes out the logarithm of the Gaussian density.", verdict="wrong",
    fault="The exponent should be -|x - f|^2/(2 sigma^2): the printed exponent has no factor 1/2, and the square is on f "
    "instead of x - f. In D dimensions, the root needs the power D.",
)  # fmt: skip
def lm_37(x, f, var):
    return by_covariance(x, f, var), "=", log(1 / sqrt(2 * pi * var)) - total(x - f**2) / var


@lm_37.corrected(rf"\left[{GAUSSIAN}\right] = -\frac{{{SQUARE}}}{{2\sigma^2}} - \frac{{D}}{{2}}\ln(2\pi\sigma^2)")
def _(x, f, var):
    return by_covariance(x, f, var), "=", -total((x - f) ** 2) / (2 * var) - x.shape[-1] / 2 * log(2 * pi * var)


FAINT = (*THREE[:2], replace(THREE[2], simple=(0.1, 1, 0.5)))


@equation(
    "lm.38", "l.56, line 4", rf"\left[{GAUSSIAN}\right] = -(x - f(z,\theta))^2 + \mathrm{{Const.}}", FAINT,
    says="As printed, the log-likelihood is minus the squared error plus a constant. At x = f(z, theta), the squared error "
    "is 0, so the constant is the log-likelihood there.",
    verdict="wrong",
    fault="The squared error has the weight 1/(2 sigma^2), which is 1 only at sigma^2 = 1/2. Without this factor, the "
    "balance of squared error and KL in the loss is wrong.",
)  # fmt: skip
def lm_38(x, f, var):
    constant = by_coordinates(f, f, var)                    # ln p(x|z) at x = f
    return by_covariance(x, f, var), "=", -total((x - f) ** 2) + constant


@lm_38.corrected(rf"\left[{GAUSSIAN}\right] = -\frac{{{SQUARE}}}{{2\sigma^2}} + \mathrm{{Const.}}")
def _(x, f, var):
    return by_covariance(x, f, var), "=", -total((x - f) ** 2) / (2 * var) + by_coordinates(f, f, var)


Q = (
    chosen("mu_q", r"\mu_q", 0, "0: the mean of p(z)"),
    chosen("sigma_q", r"\sigma_q", 1, "1: the standard deviation of p(z)"),
)


@equation(
    "lm.39", "l.57-59",
    rf"\mathcal L(q) = {LINE_1} = \left[\ln p_\theta(x) - {GAP}\right] \leq \mathcal L(p(z|x))", (*WORLD, *Q),
    kind="claim", tight={"w": 0, "s": 1, "x": 1, "mu_q": 0, "sigma_q": 1},
    claim='The text asks why we do not "simply draw q from p(z)" (l.57-59).',
    says="If q(z|x) is p(z), the bound is line 1 of the first displayed formula. The bound of the best q is at least as "
    "large.",
    needs="q(z|x) = p(z)",
    outside={"w": 1, "s": 1, "x": 2, "mu_q": 1, "sigma_q": 0.5**0.5},
)  # fmt: skip
def lm_39(w, s, x, mu_q, sigma_q):
    best = linear_posterior(w, s, x)
    return (
        linear_elbo(w, s, x, mu_q, sigma_q),
        "=", average_log_likelihood(w, s, x),
        "=", linear_log_evidence(w, s, x) - kl_normal(0, 1, *best),
        "<=", linear_elbo(w, s, x, *best),
    )  # fmt: skip


@lm_39.tied("minivae.gaussian.kl_standard_normal")
@lm_39.tied("minivae.gaussian.reparameterize")
def _(w, s, x, mu_q, sigma_q):
    mu, sigma = linear_posterior(w, s, x)
    # log p(x|z) is quadratic in the noise. So its mean over the noise values -1 and 1 is its exact expectation.
    log_var, noise = 2 * log(sigma), np.array([[[-1.0]], [[1.0]]])
    log_p = gaussian_log_prob(x, w * reparameterize(mu, log_var, noise), log(s)[:, 0])
    return log_p.mean(axis=0)[:, None] - kl_standard_normal(mu, log_var)
