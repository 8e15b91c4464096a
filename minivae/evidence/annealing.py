"""log p(x) for any number of latent dimensions: annealed importance sampling, and on simulated data from both sides."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.slopes import log_px_z_and_slope
from minivae.evidence.sums import error_of_log_mean, in_rows, log_mean_exp, log_sum_exp, need_log
from minivae.gaussian import log_normal, log_standard_normal
from minivae.vae import VAE

WANTED = 0.8                                                # share of accepted proposals that step sizes are tuned for
PILOTS = 4                                                  # chains that tune them, and are then forgotten


class Annealed(NamedTuple):
    """log p(x) in nats by annealed importance sampling, per datum (N,)."""

    log_px: NDArray             # log of the mean weight of the chains: in expectation a lower bound
    error: NDArray              # its standard error, to first order, out of the spread of the chains: see `annealed`
    acceptance: NDArray         # (N,) share of the proposals that were accepted


class Sandwich(NamedTuple):
    """log p(x) of data simulated from the model, caught from both sides; nats, per datum (N,)."""

    x: NDArray                  # (N, D)
    lower: NDArray              # forward chains: in expectation at or below log p(x)
    lower_error: NDArray
    upper: NDArray              # reverse chains from the z that x was made from: in expectation at or above log p(x)
    acceptance: NDArray         # (2, N) of forward and reverse chains


class Path(NamedTuple):
    """The way from a start density to p(x, z): f_t = start^(1 - beta_t) p(x, z)^beta_t, with its step sizes."""

    log_start: Callable         # z -> log density of the start (L, N) and its slope (L, N, J)
    scale: NDArray              # (N, J) of the start: the unit in which HMC steps are measured
    draw: Callable              # number of chains -> z (L, N, J)
    beta: NDArray               # (T + 1,) from 0 to 1
    steps: NDArray | None       # (T - 1, N) step sizes, one for every distribution in between
    leapfrogs: int


def annealed(
    vae: VAE,
    x: NDArray,
    rng: np.random.Generator,
    *,
    chains: int = 16,
    distributions: int = 100,
    leapfrogs: int = 5,
    start: str = "prior",
) -> Annealed:
    """log p(x) by annealed importance sampling (Neal 2001; Wu, Burda, Salakhutdinov and Grosse 2017), for data x (N, D).

    log w = sum_t (beta_t - beta_(t-1)) ( log p(x, z_(t-1)) - log start(z_(t-1)) ),   log p(x) ~ log of the mean of w

    z_0 comes from the start, "prior" or "encoder" (q(z|x)); every z_t is z_(t-1) after one transition of Hamiltonian
    Monte Carlo (`leapfrogs` leapfrog steps, then accepted or not) that leaves f_t = start^(1 - beta_t) p(x, z)^beta_t as
    it is. Step sizes are tuned for every datum and f_t by chains of their own and then held fixed, so that the mean of
    w is p(x) without bias. `distributions` is T: more of them, less variance.

    `error` is the spread of the chains, so it knows of no place that none of them has been to. From a narrow q(z|x) few
    chains see the rest of the posterior: they agree, and log_px is too low by many times `error`, with proposals
    accepted as ever. The prior is the safe default: it starts everywhere, at the price of more spread. Where modes lie
    far apart, though, chains that begin there can miss some, too.

    Raises ValueError if an argument breaks its rule, or the decoder overflows.
    """
    vae, x, settings = _checked(vae, x, rng, chains, distributions, leapfrogs, start)
    parts = []
    for rows in in_rows(vae, x, chains):
        path = _tuned(vae, rows, rng, *settings)
        log_w, accepted = _forward(vae, rows, path, chains, rng)
        parts.append((log_mean_exp(log_w), _error(log_w), accepted))
    return Annealed(*(np.concatenate(column) for column in zip(*parts)))


def sandwich(
    vae: VAE,
    rows: int,
    rng: np.random.Generator,
    *,
    chains: int = 16,
    distributions: int = 100,
    leapfrogs: int = 5,
    start: str = "prior",
) -> Sandwich:
    """Bidirectional Monte Carlo (Grosse, Ghahramani and Adams 2015) on `rows` data drawn from the model itself.

    z ~ p(z), x ~ p(x|z): so z is a draw of p(z|x), and chains that go from it back to the start have E[1/w] = 1/p(x).

    E[lower] <= log p(x) <= E[upper]: lower = log of the mean of w, upper = -log of the mean of 1/w

    The reverse chains of a datum share their first z, so that their spread says too little of the error of `upper`; over
    data the errors are independent. Arguments as for `annealed`.
    """
    checks.generator("rng", rng)
    z = rng.standard_normal((checks.whole_number("rows", rows, 1), vae.latent))
    x = vae.astype(np.float64).sample(rng, z)
    vae, checked, settings = _checked(vae, x, rng, chains, distributions, leapfrogs, start)
    parts, done = [], 0
    for part in in_rows(vae, checked, chains):
        path = _tuned(vae, part, rng, *settings)
        log_w, forward = _forward(vae, part, path, chains, rng)
        origin = np.repeat(z[None, done : done + len(part)], chains, axis=0)                # (L, N, J)
        log_1_w, reverse = _reverse(vae, part, path, origin, rng)
        acceptance = np.stack([forward, reverse])
        parts.append((log_mean_exp(log_w), _error(log_w), -log_mean_exp(log_1_w), acceptance))
        done += len(part)
    return Sandwich(x, *(np.concatenate(column, axis=-1) for column in zip(*parts)))


def _checked(vae, x, rng, chains, distributions, leapfrogs, start):
    """The model and x in float64, and what `_tuned` takes."""
    checks.generator("rng", rng)
    checks.whole_number("chains", chains, 2)
    checks.whole_number("distributions", distributions, 1)
    checks.whole_number("leapfrogs", leapfrogs, 1)
    if checks.choice("start", start, ("encoder", "prior")) == "encoder" and not vae.noise:
        checks.refuse("start", "'prior' for a model without noise", "'encoder'", "Its encoder is no distribution.")
    vae = vae.astype(np.float64)
    return vae, vae.check_data(x), (distributions, leapfrogs, start)


def _error(log_w):
    return error_of_log_mean(log_sum_exp(log_w), log_sum_exp(2 * log_w), len(log_w))


def _tuned(vae, x, rng, distributions, leapfrogs, start):
    """The path for these data, its step sizes tuned by chains that take no part in the estimate."""
    shape = (len(x), vae.latent)
    mu, log_var = vae.encode(x) if start == "encoder" else (np.zeros(shape), np.zeros(shape))

    scale = np.exp(log_var / 2)                             # (N, J)
    log_start = lambda z: (log_normal(z, mu, log_var), (mu - z) / scale**2)  # noqa: E731
    draw = lambda chains: mu + scale * rng.standard_normal((chains, *shape))  # noqa: E731
    path = Path(log_start, scale, draw, schedule(distributions, start), None, leapfrogs)
    size = np.full(len(x), 0.5)                             # (N,)   in units of the start
    steps = np.empty((distributions - 1, len(x)))
    z = path.draw(PILOTS)
    here = _densities(vae, x, path, z)
    for t, beta in enumerate(path.beta[1:-1]):
        for _ in range(10 if t == 0 else 1):                # the first size is a guess
            z, here, accepted = _transition(vae, x, path, beta, size, z, here, rng)
            size = np.clip(size * np.exp(0.5 * (accepted.mean(axis=0) - WANTED)), 1e-4, 2.0)
        steps[t] = size
    return path._replace(steps=steps)


def schedule(distributions: int, start: str) -> NDArray:
    """beta_0 = 0 to beta_T = 1, (T + 1,): even from q(z|x); from the prior slow at both ends, where most changes."""
    even = np.linspace(0, 1, distributions + 1)
    if start == "encoder":
        return even
    s = 1 / (1 + np.exp(-8 * (even - 0.5)))                 # the sigmoid of Wu et al., from -4 to 4
    return (s - s[0]) / (s[-1] - s[0])


@np.errstate(over="ignore", invalid="ignore")
def _densities(vae, x, path, z):
    """log start and log p(x, z), (L, N) each, and their slopes in z, (L, N, J) each."""
    log_start, d_start = path.log_start(z)
    log_px_z, d_px = log_px_z_and_slope(vae, x, z)
    return log_start, log_px_z + log_standard_normal(z), d_start, d_px - z


@np.errstate(over="ignore", invalid="ignore")               # what overflowed is not accepted
def _transition(vae, x, path, beta, size, z, here, rng):
    """One Hamiltonian transition that leaves f = start^(1 - beta) p(x, z)^beta invariant; also who accepted (L, N)."""
    step = size[:, None] * path.scale                       # (N, J)   one length for each coordinate
    mix = lambda start, joint: (1 - beta) * start + beta * joint  # noqa: E731
    momentum = rng.standard_normal(z.shape)
    moved, there = z, here
    p = momentum + step / 2 * mix(*here[2:])
    for i in range(path.leapfrogs):
        moved = moved + step * p
        there = _densities(vae, x, path, moved)
        p = p + (step if i < path.leapfrogs - 1 else step / 2) * mix(*there[2:])
    gain = mix(*there[:2]) - mix(*here[:2]) + ((momentum**2).sum(axis=-1) - (p**2).sum(axis=-1)) / 2
    accepted = np.log(rng.random(gain.shape)) < gain        # (L, N)   NaN is not
    both = [np.where(accepted if a.ndim == 2 else accepted[..., None], a, b) for a, b in zip((moved, *there), (z, *here))]
    return both[0], tuple(both[1:]), accepted


def _forward(vae, x, path, chains, rng):
    """log weights (L, N) of chains from the start to the posterior, and the share of accepted proposals (N,)."""
    z = path.draw(chains)
    here = _densities(vae, x, path, z)
    need_log("log p(x, z)", here[1])
    log_w, taken = path.beta[1] * (here[1] - here[0]), []
    for t, size in enumerate(path.steps, start=1):
        z, here, accepted = _transition(vae, x, path, path.beta[t], size, z, here, rng)
        log_w = log_w + (path.beta[t + 1] - path.beta[t]) * (here[1] - here[0])
        taken.append(accepted.mean(axis=0))
    return log_w, np.mean(taken, axis=0) if taken else np.ones(len(x))


def _reverse(vae, x, path, z, rng):
    """log of 1/w (L, N) of chains from draws z of the posterior back to the start: the same transitions, last one first."""
    here = _densities(vae, x, path, z)
    log_1_w, taken = (path.beta[-1] - path.beta[-2]) * (here[0] - here[1]), []
    for t in range(len(path.beta) - 2, 0, -1):
        z, here, accepted = _transition(vae, x, path, path.beta[t], path.steps[t - 1], z, here, rng)
        log_1_w = log_1_w + (path.beta[t] - path.beta[t - 1]) * (here[0] - here[1])
        taken.append(accepted.mean(axis=0))
    return log_1_w, np.mean(taken, axis=0) if taken else np.ones(len(x))
