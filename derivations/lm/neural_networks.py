"""LM, "Variational AutoEncoder": Using Neural networks, the Gaussian decoder, and q = p(z)."""

from dataclasses import replace

import numpy as np
from numpy import exp, pi, sqrt

from derivations.engine.domains import Symbol, positive, real, vector
from derivations.engine.equation import equation
from derivations.engine.numerics import complex_step, integrate, kl_normal, log, log_density_full, normal, total
from derivations.engine.worlds import chosen, linear_elbo, linear_log_evidence, linear_posterior, small_vae
from derivations.lm.first_display import GAP, LINE_1, WORLD, average_log_likelihood
from minivae.gaussian import kl_standard_normal, log_normal, reparameterize
from minivae.likelihood import gaussian_log_prob
from minivae.ops import mlp, mlp_backward

# f(z, theta): the decoder of a small VAE, two codes, five hidden units, three outputs; 33 weights in all

CODE = vector("z", "z", 2, simple=((1, 0), (1, -1), (0, 0)))
DATUM = vector("x", "x", 3, simple=((0, 0, 0), (1, 0, -1)))


def decoder():
    """Its layers, W (2, 5), b (5,), W' (5, 3), b' (3,), and sigma."""
    vae = small_vae(hidden=(5,))
    return vae.layers("decoder"), exp(vae.scale[0])


def log_likelihood(x, z, W, b, W_2, b_2, sigma):
    """ln p(x|z), (n,), for any weights: complex ones, too."""
    f = np.tanh(z @ W + b) @ W_2 + b_2
    return -(((x - f) / sigma) ** 2).sum(axis=-1) / 2 - len(b_2) * np.log(sqrt(2 * pi) * sigma)


def nudged(weights, k):
    """The weights with i h added to the k-th number of them."""
    sizes = np.cumsum([weight.size for weight in weights])[:-1]
    flat = np.concatenate([weight.ravel() for weight in weights]).astype(complex)
    flat[k] += 1e-30j
    return [part.reshape(weight.shape) for part, weight in zip(np.split(flat, sizes), weights)]


@equation(
    "lm.34", "l.48",
    r"\nabla_\theta\ln p_\theta(x|z) = \frac{(x - f(z,\theta))^\top}{\sigma^2}\nabla_\theta f(z,\theta)",
    (CODE, DATUM),
    kind="claim",
    says="A neural network models f(z, theta): all its weights have gradients, from the output backwards.",
)  # fmt: skip
def lm_34(z, x):
    ((W, b), (W_2, b_2)), sigma = decoder()
    weights = [W, b, W_2, b_2]
    steps = range(sum(weight.size for weight in weights))
    by_steps = [log_likelihood(x, z, *nudged(weights, k), sigma).imag / 1e-30 for k in steps]
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


# A density whose mean is moved by its own argument: N(z; x + a z, sigma^2)

def not_one(raw):
    """Numbers on both sides of 1, and away from it."""
    return 1 - np.sign(raw) * exp((np.abs(raw) - 1) / 2)


SLOPE = Symbol("a", "a", "real, not 1", 1, not_one, (0.5, -1, 0))
ENCODED = (real("x", "x", simple=(0, 1)), positive("sigma", r"\sigma"), SLOPE)


@equation(
    "lm.35", "l.50-52",
    r"q(z|x) \text{ is } \mathcal N(\mu(x,z), \Sigma(x,z)):\quad"
    r" \int \mathcal N(z; x + az, \sigma^2)\,dz = 1", ENCODED, verdict="wrong",
    says='"The mean and variance depending on the data x and the latent variable z": say mu(x,z) = x + a z.',
    fault="They may not depend on z: then q(z|x) is no density. With mu = z/2 it integrates to two.",
)  # fmt: skip
def lm_35(x, sigma, a):
    return integrate(lambda z: normal(z, x + a * z, sigma), x / (1 - a), sigma / np.abs(1 - a)), "=", 1


@lm_35.corrected(
    r"q(z|x) \text{ is } \mathcal N(\mu(x), \Sigma(x)):\quad"
    r" |1 - a|\int \mathcal N(z; x + az, \sigma^2)\,dz = 1 = \int \mathcal N(z; x, \sigma^2)\,dz"
)
def _(x, sigma, a):
    with_z = integrate(lambda z: normal(z, x + a * z, sigma), x / (1 - a), sigma / np.abs(1 - a))
    return np.abs(1 - a) * with_z, "=", 1, "=", integrate(lambda z: normal(z, x, sigma), x, sigma)


@lm_35.tied("minivae.gaussian.log_normal")
def _(x, sigma, a):
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
    """ln p(x|z) of x = f + sigma eps with independent noise: the densities of the coordinates, multiplied."""
    return log(np.prod(normal((x - f) / sqrt(var), 0, 1) / sqrt(var), axis=-1, keepdims=True))


@equation(
    "lm.36", "l.56, line 2", rf"{GAUSSIAN} = \ln \mathcal N(x | f(z,\theta), \sigma^2 I)", THREE,
    says="The decoder is a Gaussian around f(z, theta), with independent noise of variance sigma^2.",
)  # fmt: skip
def lm_36(x, f, var):
    return by_coordinates(x, f, var), "=", log_density_full(x[:, None], f, var[..., None] * np.eye(3))


@lm_36.tied("minivae.likelihood.gaussian_log_prob")
def _(x, f, var):
    return gaussian_log_prob(x, f[None], log(var)[:, 0] / 2).T


@equation(
    "lm.37", "l.56, line 3",
    rf"\left[{GAUSSIAN}\right] = \ln\left(\frac{{1}}{{\sqrt{{2\pi\sigma^2}}}}"
    r"\exp\left(-\frac{(x - f(z,\theta)^2)}{\sigma^2}\right)\right)", THREE,
    says="The Gaussian density, written out.", verdict="wrong",
    fault="The 1/2 is lost, the square is on f alone, and in D dimensions the root is to the power D.",
)  # fmt: skip
def lm_37(x, f, var):
    return by_coordinates(x, f, var), "=", log(1 / sqrt(2 * pi * var)) - total(x - f**2) / var


@lm_37.corrected(
    rf"\left[{GAUSSIAN}\right] ="
    rf" \ln\left(\frac{{1}}{{(2\pi\sigma^2)^{{D/2}}}}\exp\left(-\frac{{{SQUARE}}}{{2\sigma^2}}\right)\right)"
    rf" = \ln\left(\frac{{1}}{{\sqrt{{2\pi\sigma^2}}}}\exp\left(-\frac{{{SQUARE}}}{{\sigma^2}}\right)\right)"
    rf" + \frac{{{SQUARE}}}{{2\sigma^2}} - \frac{{D - 1}}{{2}}\ln(2\pi\sigma^2)"
)
def _(x, f, var):
    square, D = total((x - f) ** 2), x.shape[-1]
    root = log(1 / sqrt(2 * pi * var))
    return (
        by_coordinates(x, f, var),
        "=", log(1 / (2 * pi * var) ** (D / 2) * exp(-square / (2 * var))),
        "=", root - square / var + square / (2 * var) - (D - 1) / 2 * log(2 * pi * var),
    )  # fmt: skip


# What the factor decides. A linear VAE, x ~ N(w z, sigma^2) with q = N(a x, tau^2), for data with mean 0 and
# variance V: what w^2 is best? The printed line has 1 where 1/(2 sigma^2) should be.


def loss_of(w2, V, weight):
    """Mean over the data of weight (x - w z)^2 + KL(q || p(z)), with the best a and tau, for a w^2."""
    posterior_variance = 1 / (1 + 2 * weight * w2)          # tau^2; and w a = 2 weight w^2 tau^2
    wa = 2 * weight * w2 * posterior_variance
    squared_error = V * (1 - wa) ** 2 + w2 * posterior_variance
    a2 = 4 * weight**2 * w2 * posterior_variance**2
    return weight * squared_error + (a2 * V + posterior_variance - 1 - np.log(posterior_variance)) / 2


def best_w2(V, weight):
    """The w^2 of least loss, by bisection of its slope; 0 if the loss rises from there on."""
    slope = lambda w2: complex_step(lambda at: loss_of(at, V, weight), w2)  # noqa: E731
    low, high = 0 * V, 1 * V
    for _ in range(60):
        middle = (low + high) / 2
        falls = slope(middle) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    return np.where(slope(0 * V) >= 0, 0, (low + high) / 2)


FAINT = (*THREE[:2], replace(THREE[2], simple=(0.1, 1, 0.5)))
SPREAD_OF_DATA = Symbol("V", "V", "> 0, the variance of the data", 1, lambda raw: exp(raw), (0.4,))


@equation(
    "lm.38", "l.56, line 4", rf"\left[{GAUSSIAN}\right] = -(x - f(z,\theta))^2 + \mathrm{{Const.}}", FAINT,
    says="What does not depend on x and z is put into a constant, the value at x = f(z, theta).",
    verdict="wrong",
    fault="1/(2 sigma^2) is its weight against the KL: 1 at sigma^2 = 1/2 only. With 1, z can go unused: w = 0.",
)  # fmt: skip
def lm_38(x, f, var):
    constant = by_coordinates(f, f, var)                    # at x = f nothing else is left
    return by_coordinates(x, f, var), "=", -total((x - f) ** 2) + constant


@lm_38.corrected(
    rf"\left({GAUSSIAN},\; w_{{best}}^2,\; w_{{printed}}^2\right) ="
    rf" \left(-\frac{{{SQUARE}}}{{2\sigma^2}} - \frac{{D}}{{2}}\ln(2\pi\sigma^2),\;"
    r" \max(0, V - \sigma^2),\; \max(0, V - \frac{1}{2})\right)",
    inputs=(*FAINT, SPREAD_OF_DATA),
)
def _(x, f, var, V):
    log_p = -total((x - f) ** 2) / (2 * var) - x.shape[-1] / 2 * log(2 * pi * var)
    return (
        np.hstack([by_coordinates(x, f, var), best_w2(V, 1 / (2 * var)), best_w2(V, 1)]),
        "=", np.hstack([log_p, np.maximum(0, V - var), np.maximum(0, V - 1 / 2)]),
    )  # fmt: skip


Q = (
    chosen("mu_q", r"\mu_q", 0, "0: that of p(z)"),
    chosen("sigma_q", r"\sigma_q", 1, "1: that of p(z)"),
)


@equation(
    "lm.39", "l.57-59",
    rf"\mathcal L(q) = {LINE_1} = \left[\ln p_\theta(x) - {GAP}\right] \leq \mathcal L(p(z|x))", (*WORLD, *Q),
    kind="claim", tight={"w": 0, "s": 1, "x": 1, "mu_q": 0, "sigma_q": 1},
    says='"Why don\'t we simply draw q from p(z)?" Its bound is the first line of the page: below the best.',
    needs="q(z|x) is set to p(z), which is what drawing z from the prior means",
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
    log_var, two = 2 * log(sigma), np.array([[[-1.0]], [[1.0]]])            # they average a quadratic exactly
    log_p = gaussian_log_prob(x, w * reparameterize(mu, log_var, two), log(s)[:, 0])
    return log_p.mean(axis=0)[:, None] - kl_standard_normal(mu, log_var)
