"""Beyond the sources: the gradient of a whole VAE in each of its weights.

D = 3, J = 2, and each network has two hidden units. Weights and biases are random, from a fixed seed. The first 100 draws
of x are the data of one batch, and the entry is about the gradient of the loss of this batch. Every datum has two draws
of eps, so it is in two rows, and the loss is a mean over rows. Four likelihoods and two estimators of the divergence give
eight models.

The steps are those of `minivae.vae`: 1 and 2 encoder, 3 draw of z, 4 decoder, 5 log-likelihood, 6 divergence, 7 loss.
"""

import itertools
from functools import cache

import numpy as np
from numpy import exp, log, pi, tanh

from derivations.beyond.likelihoods import choose
from derivations.beyond.network import gradient
from derivations.engine.domains import Symbol
from derivations.engine.equation import equation
from derivations.engine.worlds import chosen
from minivae.likelihood import Bernoulli, Binomial, Gaussian
from minivae.params import Params, mlp_shapes
from minivae.vae import VAE

D, H, J, L = 3, 2, 2, 2
N = 3                                                       # number of trials of the binomial likelihood
BETA = 0.7
BATCH = 100                                                 # largest number of data in the batch
LIKELIHOODS = (Bernoulli(), Binomial(N), Gaussian("learned"), Gaussian("optimal"))
ESTIMATORS = ("analytic", "sampled")
CASES = list(itertools.product(LIKELIHOODS, ESTIMATORS))
SHAPES = mlp_shapes("encoder", [D, H, 2 * J]) | mlp_shapes("decoder", [J, H, D]) | {"log_sigma": ()}
SIZES = [int(np.prod(shape)) for shape in SHAPES.values()]
WEIGHTS = np.random.default_rng(0).normal(0, 0.7, sum(SIZES))


def arrays(flat):
    """Split flat vectors (..., P) into W1, b1, ..., W4, b4, log sigma.

    Every matrix has the shape (..., I, O), every bias has (..., 1, O), and log sigma has (..., 1, 1).
    """
    parts = np.split(flat, np.cumsum(SIZES)[:-1], axis=-1)
    shapes = [shape if len(shape) == 2 else (1, *(shape or (1,))) for shape in SHAPES.values()]
    return [part.reshape(*flat.shape[:-1], *shape) for part, shape in zip(parts, shapes)]


def data_for(likelihood, x):
    """Return the data and the encoder's input. Bernoulli: counts above 1 become 1. Binomial: the input is the data / N."""
    seen = np.minimum(x, 1) if likelihood == Bernoulli() else x
    return seen, seen / N if likelihood == Binomial(N) else seen


def forward(flat, shown, eps):
    """Steps 1 to 4, for rows of data (R, D) and rows of noise (R, J). `flat` (..., P) may be complex."""
    W1, b1, W2, b2, W3, b3, W4, b4, _ = arrays(flat)
    h = tanh(shown @ W1 + b1)                               # step 1   (..., R, H)
    heads = h @ W2 + b2                                     # step 2   (..., R, 2J)
    mu, log_var = heads[..., :J], heads[..., J:]            # step 2
    z = mu + exp(log_var / 2) * eps                         # step 3   (..., R, J)
    g = tanh(z @ W3 + b3)                                   # step 4   (..., R, H)
    return h, mu, log_var, z, g, g @ W4 + b4                # step 4   (..., R, D)


def log_likelihood(likelihood, x, out, log_sigma):
    """Step 5: log p(x|z), with one term for each entry of x, (..., R, D)."""
    if isinstance(likelihood, Gaussian):
        if likelihood.sigma == "optimal":
            log_sigma = log(((x - out) ** 2).mean(axis=(-2, -1), keepdims=True)) / 2
        return -(((x - out) / exp(log_sigma)) ** 2) / 2 - log_sigma - log(2 * pi) / 2
    n = N if isinstance(likelihood, Binomial) else 1
    return log(choose(n, x)) + x * out - n * log(1 + exp(out))


def divergence(estimator, mu, log_var, z):
    """Step 6: return an estimate of the divergence for each coordinate, (..., R, J).

    The sampled estimate is log q(z|x) - log p(z) at z. The analytic one is the mean of log q(z|x) - log p(z) in closed form.
    """
    if estimator == "analytic":
        return (mu**2 + exp(log_var) - 1 - log_var) / 2
    return (z**2 - (z - mu) ** 2 / exp(log_var) - log_var) / 2


def losses(flat, x, eps):
    """Step 7: the losses of the 8 models, (..., 8). Each loss sums the terms of a row, and is a mean over the rows."""
    mean, made = lambda terms: terms.sum(axis=(-2, -1)) / len(x), []
    for of_one_kind in (LIKELIHOODS[:1], LIKELIHOODS[1:2], LIKELIHOODS[2:]):
        seen, shown = data_for(of_one_kind[0], x)
        _, mu, log_var, z, _, out = forward(flat, shown, eps)
        kl = [mean(divergence(estimator, mu, log_var, z)) for estimator in ESTIMATORS]
        for likelihood in of_one_kind:
            log_px_z = mean(log_likelihood(likelihood, seen, out, arrays(flat)[-1]))
            made += [BETA * each - log_px_z for each in kl]
    return np.stack(made, axis=-1)


def by_hand(case, x, eps):
    """Return the gradient (P,) of the loss in all weights. The steps of `losses` are done backward."""
    W1, b1, W2, b2, W3, b3, W4, b4, log_sigma = arrays(WEIGHTS)
    likelihood, estimator = case
    seen, shown = data_for(likelihood, x)
    h, mu, log_var, z, g, out = forward(WEIGHTS, shown, eps)
    sigma, weight = exp(log_var / 2), 1 / len(x)            # step 7: all rows have the same weight
    d_out, d_log_sigma = slope_of_likelihood(likelihood, seen, out, log_sigma)              # step 5
    d_out, d_log_sigma = -weight * d_out, -weight * d_log_sigma
    d_a = d_out @ W4.T * (1 - g**2)                         # step 4
    decoder = [z.T @ d_a, d_a.sum(axis=0), g.T @ d_out, d_out.sum(axis=0)]
    if estimator == "analytic":
        d_z_kl, d_mu_kl, d_log_var_kl = 0, mu, (sigma**2 - 1) / 2                           # step 6
    else:
        u = (z - mu) / sigma**2
        d_z_kl, d_mu_kl, d_log_var_kl = z - u, u, ((z - mu) * u - 1) / 2                    # step 6
    d_z = d_a @ W3.T + BETA * weight * d_z_kl               # step 3: through the decoder, and through the KL
    d_mu = d_z + BETA * weight * d_mu_kl                    # step 2: through z, and through the KL
    d_log_var = d_z * eps * sigma / 2 + BETA * weight * d_log_var_kl        # step 2: through z, and through the KL
    d_heads = np.hstack([d_mu, d_log_var])
    d_a = d_heads @ W2.T * (1 - h**2)                       # step 1
    encoder = [shown.T @ d_a, d_a.sum(axis=0), h.T @ d_heads, d_heads.sum(axis=0)]
    return np.concatenate([part.ravel() for part in (*encoder, *decoder, d_log_sigma)])


def slope_of_likelihood(likelihood, x, out, log_sigma):
    """Step 5, backward: return the gradients of log p(x|z) with respect to `out`, (R, D), and with respect to log sigma.

    The gradient with respect to log sigma is a sum over all R rows and D columns.
    """
    if not isinstance(likelihood, Gaussian):
        n = N if isinstance(likelihood, Binomial) else 1
        return x - n / (1 + exp(-out)), np.zeros(1)
    error = x - out
    if likelihood.sigma == "learned":
        return error / exp(2 * log_sigma), ((error / exp(log_sigma)) ** 2 - 1).sum(keepdims=True)
    return error / (error**2).mean(), np.zeros(1)           # at the optimal sigma, the slope in log sigma is 0


COUNTS = Symbol(
    "x", "x", f"counts from 0 to {N}", D, lambda raw: np.clip(np.rint(N / 2 + 1.2 * raw), 0, N),
    ((0, 2, 1), (1, 0, 3), (3, 3, 0)),
)  # fmt: skip
NOISE = Symbol(
    "eps", r"\epsilon", "real, a row for every draw", L * J, lambda raw: raw.reshape(-1, L, J),
    ([[0.5, -1], [1, 0.3]], [[-0.2, 0.7], [2, -1]]),
)  # fmt: skip
TURNED = chosen("turned", "turned", 0, "1 if the backward pass gets the noise with the opposite sign")


def in_rows(x, eps):
    """Return the data and the noise of the batch. Both have one row for each draw of each datum."""
    x, eps = x[:BATCH], eps[:BATCH]
    return np.repeat(x, eps.shape[1], axis=0), eps.reshape(-1, eps.shape[-1])


@equation(
    "beyond.25", "backpropagation through a VAE",
    r"\left[\mathrm{loss} = \frac{1}{BL}\sum_{b,l}\left(\beta D_{KL} - \log p(x_b|z_{bl})\right)\right]:\;"
    r" \left(\mathrm{loss},\; \frac{d\,\mathrm{loss}}{dw}\right) = \left(\mathrm{loss},\;"
    r" \left(\frac{\partial\mathrm{loss}}{\partial(\mu,\log\sigma^2)}"
    r" + \frac{\partial\mathrm{loss}}{\partial z}\,\frac{\partial z}{\partial(\mu,\log\sigma^2)}\right)"
    r"\frac{\partial(\mu,\log\sigma^2)}{\partial w}"
    r" + \frac{\partial\mathrm{loss}}{\partial out}\,\frac{\partial out}{\partial w}"
    r" + \frac{\partial\mathrm{loss}}{\partial\log\sigma_x}\,\frac{\partial\log\sigma_x}{\partial w}\right)",
    (COUNTS, NOISE, TURNED),
    says="This is the gradient in all weights, checked for eight models. sigma_x is the decoder's noise. The encoder's "
    "gradient is a sum: one part comes from the divergence, the other from the draw z.",
    needs="the backward pass gets the noise of the forward pass (turned = 0)",
    outside={"x": (1, 0, 3), "eps": [[0.5, -1], [1, 0.3]], "turned": 1},
)  # fmt: skip
def eq_25(x, eps, turned):
    Binomial(N).check(x)
    rows, other_rows = in_rows(x, eps), in_rows(x, np.where(turned[..., None] == 1, -eps, eps))
    value = losses(WEIGHTS, *rows)
    slopes = gradient(lambda flat: losses(flat, *rows), WEIGHTS)            # (8, P)
    return row(value, slopes), "=", row(value, [by_hand(case, *other_rows) for case in CASES])


def row(values, slopes):
    """Join the losses and gradients of all models into one row."""
    return np.column_stack([values, slopes]).reshape(1, -1)


@cache
def by_minivae(case):
    """Return minivae's model. If the likelihood has no parameter sigma, the last weight, log_sigma, is left out."""
    likelihood, estimator = case
    shapes = dict(list(SHAPES.items())[: None if likelihood.scale else -1])
    params = Params(shapes, WEIGHTS[: sum(SIZES) if likelihood.scale else -1])
    return VAE(params, likelihood, beta=BETA, estimator=estimator)


@eq_25.tied("minivae.vae.VAE.loss")
@eq_25.tied("minivae.vae.VAE.backward")
@eq_25.tied("minivae.ops.mlp")
@eq_25.tied("minivae.ops.mlp_backward")
@eq_25.tied("minivae.objective.kl_analytic")
@eq_25.tied("minivae.objective.kl_analytic_backward")
@eq_25.tied("minivae.objective.kl_sampled")
@eq_25.tied("minivae.objective.kl_sampled_backward")
@eq_25.tied("minivae.objective.elbo_loss")
@eq_25.tied("minivae.objective.elbo_loss_backward")
@eq_25.tied("minivae.likelihood.Bernoulli.log_prob_backward")
@eq_25.tied("minivae.likelihood.Binomial.log_prob_backward")
@eq_25.tied("minivae.likelihood.Gaussian.log_prob_backward")
@eq_25.tied("minivae.likelihood.Gaussian.fit")
def _(x, eps, turned):
    x, draws = x[:BATCH], np.swapaxes(eps[:BATCH], 0, 1)    # (B, D), (L, B, J)
    values, slopes = [], np.zeros((len(CASES), len(WEIGHTS)))
    for case, slope in zip(CASES, slopes):
        (seen, _), model = data_for(case[0], x), by_minivae(case)
        values.append(model.loss(seen, draws))
        slope[: len(model.params.flat)] = model.gradient(seen, draws).flat      # if log_sigma is left out, its slope stays 0
    return row(values, slopes)
