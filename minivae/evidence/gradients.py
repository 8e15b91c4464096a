"""How noisy a gradient is: the two estimators of the ELBO's, and the importance-weighted bound's in k."""

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
    """An estimator of the gradient of a datum's ELBO in (mu, log_var) of its q(z|x), (N, 2J) each."""

    mean: NDArray               # over the draws
    variance: NDArray           # of one draw


class GradientNoise(NamedTuple):
    """Three estimators of one gradient: their means agree, their variances do not."""

    pathwise: Estimator         # through the sample: d/dz log p(x|z)
    score: Estimator            # log p(x|z) times the score of q
    baseline: Estimator         # the same, with the mean of the other draws subtracted from log p(x|z)


class SignalToNoise(NamedTuple):
    """|mean| / standard deviation of the gradient of IW_k, root mean square over the parameters of a part, (K,) each."""

    k: NDArray
    encoder: NDArray
    decoder: NDArray


def gradient_noise(vae: VAE, x: NDArray, rng: np.random.Generator, draws: int = 1000) -> GradientNoise:
    """Pathwise and score-function estimator of the gradient of the ELBO in mu and log_var, for data x (N, D).

    pathwise   d/dmu = d/dz log p(x|z),              d/dlog_var = d/dz log p(x|z) eps sigma / 2
    score      d/dmu = log p(x|z) eps / sigma,       d/dlog_var = log p(x|z) (eps^2 - 1) / 2

    each minus the gradient of the KL in closed form, which has no noise. Nats. (Kingma and Welling 2014; Williams 1992;
    the baseline that leaves its own draw out: Mnih and Rezende 2016.) Raises ValueError if an argument breaks its rule,
    or the model has no noise.
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
        came = "infinities or NaN"
        checks.refuse("log p(x|z)", "finite to have a gradient", came, "Check that training did not diverge.")
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
    """Signal-to-noise ratio of the gradient of the importance-weighted bound IW_k, over `repeats` fresh sets of draws.

    More draws make the bound tighter, the decoder's gradient clearer (as sqrt(k)) and the encoder's less clear (as
    1 / sqrt(k)): Rainforth et al. 2018. Mean over the data x (N, D) in every gradient; parameters whose gradient never
    changes do not count. What noise alone would give is taken off: 0 means nothing was distinguishable from it.
    Raises ValueError if an argument breaks its rule, or the model has no noise.
    """
    checks.generator("rng", rng)
    repeats = checks.whole_number("repeats", repeats, 4)
    counts = [checks.whole_number("every k", each, 1) for each in k]
    if not counts:
        checks.refuse("k", "at least one number of draws", "none", "Try k=(1, 10, 100).")
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
    """(mean / sd)^2 of what each column of `values` (R, P) is drawn from: unbiased if that is normal, R > 3

    (m / s)^2 of R draws is 1/R of a noncentral F(1, R - 1), whose mean is (R - 1) / (R - 3) (1 + R (mean / sd)^2).
    """
    R = len(values)
    return (values.mean(axis=0) / values.std(axis=0, ddof=1)) ** 2 * (R - 3) / (R - 1) - 1 / R


def iw_gradient(vae: VAE, x: NDArray, eps: NDArray) -> Params:
    """The gradient of -IW_k, mean over data x (B, D), with the k draws that eps (k, B, J) makes: the objective "iwae"."""
    likelihood = vae.likelihood
    if getattr(likelihood, "sigma", None) == "optimal":     # here it is what training has left, a number
        likelihood = Gaussian(float(np.exp(vae.params["log_sigma"])))
    vae = replace(vae, beta=1.0, estimator="sampled", objective="iwae", likelihood=likelihood)
    f = vae.forward(x, eps, fit=False)
    need_log("the log of an importance weight", f.log_px_z - f.kl)
    return vae.backward(x, eps, f, vae.params.zeros_like())
