"""Noise of the gradient of the ELBO (three estimators) and of the gradient of the importance-weighted bound (several k)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.slopes import log_px_z_and_slope
from minivae.evidence.sums import in_rows, need_log
from minivae.gaussian import kl_standard_normal_backward, reparameterize
from minivae.likelihood import Gaussian
from minivae.params import Params
from minivae.vae import VAE


class Estimator(NamedTuple):
    """An estimator of the gradient of the ELBO in mu and log_var of q(z|x): its mean and its variance, (N, 2J) each."""

    mean: NDArray               # mean over the draws
    variance: NDArray           # variance of the estimate from one draw


class GradientNoise(NamedTuple):
    """Three estimators of the same gradient: equal expectations, different variances."""

    pathwise: Estimator         # reparameterized: uses d/dz log p(x|z)
    score: Estimator            # score function: log p(x|z) times the gradient of log q(z|x)
    baseline: Estimator         # like `score`, but the mean of log p(x|z) over the other draws is subtracted from log p(x|z)


class SignalToNoise(NamedTuple):
    """Signal-to-noise ratio of the gradient of the importance-weighted bound IW_k, for each k (K,).

    Each parameter has its own ratio: |mean| / sd of its gradient. `encoder` is the root mean square of the ratios of all
    encoder parameters; `decoder` is the same for the decoder parameters. Parameters with a constant gradient are left out.
    """

    k: NDArray
    encoder: NDArray            # root mean square over the parameters of the encoder
    decoder: NDArray            # root mean square over the parameters of the decoder


def gradient_noise(vae: VAE, x: NDArray, rng: np.random.Generator, draws: int = 1000) -> GradientNoise:
    """Return pathwise and score-function estimators of the gradient of the ELBO in mu and log_var, for data x (N, D).

    pathwise   d/dmu = d/dz log p(x|z),              d/dlog_var = d/dz log p(x|z) eps sigma / 2
    score      d/dmu = log p(x|z) eps / sigma,       d/dlog_var = log p(x|z) (eps^2 - 1) / 2
    baseline   like `score`, but the mean of log p(x|z) over all other draws is subtracted from log p(x|z)

    The gradient of the KL is subtracted from each estimate. The gradient of the KL has a closed form, so it adds no noise.
    Sources: Kingma and Welling 2014 (pathwise), Williams 1992 (score), Mnih and Rezende 2016 (baseline). Raises ValueError
    if an argument is invalid, the model has no noise, or log p(x|z) is infinite or NaN.
    """
    vae.check_noise()
    checks.generator("rng", rng)
    draws = checks.whole_number("draws", draws, 3)
    vae = vae.astype(np.float64)
    parts = [_noise(vae, rows, rng, draws) for rows in in_rows(vae, vae.check_data(x), draws)]
    joined = [Estimator(*(np.concatenate(column) for column in zip(*estimator))) for estimator in zip(*parts)]
    return GradientNoise(*joined)


def _noise(vae, x, rng, draws):
    mu, log_var = vae.encode(x)
    eps = rng.standard_normal((draws, *mu.shape))                                           # (L, N, J)
    with np.errstate(over="ignore", invalid="ignore"):
        log_px_z, d_z = log_px_z_and_slope(vae, x, reparameterize(mu, log_var, eps))
    if not np.isfinite(log_px_z).all():
        got = "infinities or NaN"
        checks.refuse("log p(x|z)", "finite to have a gradient", got, "Check that training did not diverge.")
    sigma = np.exp(log_var / 2)
    others = (log_px_z.sum(axis=0) - log_px_z) / (draws - 1)                                # (L, N)
    score = np.concatenate([eps / sigma, (eps * eps - 1) / 2], axis=2)                      # (L, N, 2J)
    pathwise = np.concatenate([d_z, d_z * eps * sigma / 2], axis=2)
    kl = np.concatenate(kl_standard_normal_backward(1, mu, log_var), axis=1)                # (N, 2J)
    estimates = pathwise, log_px_z[..., None] * score, (log_px_z - others)[..., None] * score
    return [Estimator(each.mean(axis=0) - kl, each.var(axis=0, ddof=1)) for each in estimates]


def iw_signal_to_noise(
    vae: VAE, x: NDArray, k: Sequence[int], rng: np.random.Generator, repeats: int = 200
) -> SignalToNoise:
    """Return the signal-to-noise ratio of the gradient of the importance-weighted bound IW_k, for each k.

    Each of `repeats` gradients uses new draws and is a mean over the data x (N, D). A larger k makes the bound tighter. The
    ratio grows as sqrt(k) for the decoder, but falls as 1 / sqrt(k) for the encoder (Rainforth et al. 2018). Parameters
    whose gradient is the same in all repeats are left out; if no parameter is left, the ratio is inf. Without a
    correction, pure noise would also give a ratio above 0. After the correction, a ratio of 0 means that no signal was
    found. Raises ValueError if an argument is invalid, the model has no noise, or the decoder overflows.
    """
    checks.generator("rng", rng)
    repeats = checks.whole_number("repeats", repeats, 4)
    counts = [checks.whole_number("every k", each, 1) for each in k]
    if not counts:
        checks.refuse("k", "a list of at least one number of draws", "none", "Try k=(1, 10, 100).")
    vae.check_noise()
    vae = vae.astype(np.float64)
    x = vae.check_data(x)
    parts = {part: [name for name in vae.params if name.startswith(part)] for part in ("encoder", "decoder")}
    ratios = {part: [] for part in parts}
    for count in counts:
        gradients = [iw_gradient(vae, x, vae.draw_noise(rng, len(x), count)) for _ in range(repeats)]
        for part, names in parts.items():
            values = np.array([np.concatenate([g[name].ravel() for name in names]) for g in gradients])
            squares = signal_squared(values[:, values.std(axis=0) > 0])
            ratios[part].append(max(squares.mean(), 0) ** 0.5 if len(squares) else np.inf)
    return SignalToNoise(np.array(counts), *(np.array(ratios[part]) for part in ("encoder", "decoder")))


def signal_squared(values: NDArray) -> NDArray:
    """Return an estimate of (mean / sd)^2 for each column of `values` (R, P), R > 3.

    The estimate is unbiased if the draws are normal. A column contains R draws from a distribution with `mean` and `sd`; m
    and s are the estimates of mean and sd from the R draws. R (m / s)^2 has a noncentral F(1, R - 1) distribution. The
    expectation of R (m / s)^2 is (R - 1) / (R - 3) (1 + R (mean / sd)^2). The code uses R (m / s)^2 in place of its
    expectation and solves for (mean / sd)^2.
    """
    R = len(values)
    return (values.mean(axis=0) / values.std(axis=0, ddof=1)) ** 2 * (R - 3) / (R - 1) - 1 / R


def iw_gradient(vae: VAE, x: NDArray, eps: NDArray) -> Params:
    """Return the gradient of the loss "iwae" for the noise eps (k, B, J). This loss is the mean of -IW_k over x (B, D)."""
    likelihood = vae.likelihood
    if getattr(likelihood, "sigma", None) == "optimal":     # sigma is a constant here: its value after training
        likelihood = Gaussian(float(np.exp(vae.params["log_sigma"])))
    vae = replace(vae, beta=1.0, estimator="sampled", objective="iwae", likelihood=likelihood)
    f = vae.forward(x, eps, fit=False)
    need_log("the log of an importance weight", f.log_px_z - f.kl)
    return vae.backward(x, eps, f, vae.params.zeros_like())
