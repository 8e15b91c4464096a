"""Annealed importance sampling: log p(x) for any number of latent dimensions; for simulated data, also an upper bound.

A chain of Monte Carlo steps moves z from a start density, the prior or q(z|x), to the posterior p(z|x) through a sequence
of densities in between. The weight w of a chain is an unbiased estimate of p(x).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence.slopes import log_px_z_and_slope
from minivae.evidence.sums import error_of_log_mean, in_rows, log_mean_exp, log_sum_exp, need_log
from minivae.gaussian import log_normal, log_standard_normal
from minivae.vae import VAE

TARGET = 0.8                                                # acceptance rate for which the step sizes are tuned
PILOTS = 4                                                  # number of chains that only tune the step sizes


class Annealed(NamedTuple):
    """log p(x) in nats by annealed importance sampling, for each data point (N,)."""

    log_px: NDArray             # log of the mean weight of the chains: in expectation a lower bound
    error: NDArray              # standard error of log_px, to first order, from the variation between chains: see `annealed`
    acceptance: NDArray         # (N,) fraction of accepted proposals; 1 if there are no proposals (`distributions` = 1)


class Sandwich(NamedTuple):
    """Lower and upper bounds of log p(x) in nats, for data simulated from the model, (N,) each.

    The reverse chains of a data point x start at the z from which x was simulated.
    """

    x: NDArray                  # (N, D)
    lower: NDArray              # from forward chains: its expectation is at most log p(x)
    lower_error: NDArray
    upper: NDArray              # from reverse chains: its expectation is at least log p(x)
    acceptance: NDArray         # (2, N) acceptance rates of forward and reverse chains


class Path(NamedTuple):
    """Densities f_t = start^(1 - beta_t) p(x, z)^beta_t, and step sizes for the transitions.

    f_0 is the start density, and f_T is p(x, z). f_0 and f_T have no step sizes, because no transition uses them.
    """

    log_start: Callable         # z -> log of the start density (L, N), and its gradient in z (L, N, J)
    scale: NDArray              # (N, J) standard deviation of the start density: the unit of the step sizes
    draw: Callable              # number of chains L -> an array (L, N, J) of samples z from the start density
    beta: NDArray               # (T + 1,) beta_0 = 0 to beta_T = 1
    steps: NDArray | None       # (T - 1, N) step sizes for f_1 to f_(T-1)
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
    """Return log p(x) by annealed importance sampling (Neal 2001; Wu, Burda, Salakhutdinov and Grosse 2017), x (N, D).

    log w = sum_t (beta_t - beta_(t-1)) ( log p(x, z_(t-1)) - log start(z_(t-1)) ),   log p(x) ~ log of the mean of w

    z_0 is drawn from the distribution `start`: "prior" is p(z), "encoder" is q(z|x). One transition of Hamiltonian Monte
    Carlo changes z_(t-1) into z_t and leaves f_t = start^(1 - beta_t) p(x, z)^beta_t invariant. It makes a proposal by
    `leapfrogs` leapfrog steps, and accepts or rejects it. Pilot chains tune a step size for each data point and each f_t.
    All step sizes are fixed before the first chain of the estimate runs, so the mean of w is an unbiased estimate of p(x).
    `distributions` is T; a larger T gives a smaller variance.

    `error` comes from the variation between chains, so it ignores any part of the posterior that no chain reaches. If q(z|x)
    is narrower than the posterior, most chains that start from q(z|x) do not reach the outer parts of the posterior. Then
    log_px is too low by many times `error`: the chains agree, so `error` is small. The acceptance rate gives no warning
    either. The prior, the default, is safer: it covers all z, but the chains vary more. If the modes of the posterior are
    far apart, even chains that start from the prior can miss some of them.

    Raises ValueError if an argument is invalid, or the decoder overflows.
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
    """Draw `rows` data points from the model and bound their log p(x) from both sides.

    Bidirectional Monte Carlo (Grosse, Ghahramani and Adams 2015): if z ~ p(z) and x ~ p(x|z), then z is an exact draw from
    p(z|x). Chains that go from this z back to the start density have E[1/w] = 1/p(x). So

    E[lower] <= log p(x) <= E[upper],   lower = log of the mean of w,   upper = -log of the mean of 1/w

    No error of `upper` is returned: all reverse chains of a data point begin at the same z, so the variation between them
    underestimates the error. But different data points have independent errors. So the standard error of the mean of
    `upper - lower` can be computed from the variation of `upper - lower` over the data points. `annealed` explains the
    arguments.
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
    """Check all arguments; return the model and x in float64, and the tuple (distributions, leapfrogs, start)."""
    checks.generator("rng", rng)
    checks.whole_number("chains", chains, 2)
    checks.whole_number("distributions", distributions, 1)
    checks.whole_number("leapfrogs", leapfrogs, 1)
    if checks.choice("start", start, ("encoder", "prior")) == "encoder" and not vae.noise:
        remedy = "The model's encoder returns a point, not a distribution. Leave out start."
        checks.refuse("start", "'prior' for a model without noise", "'encoder'", remedy)
    vae = vae.astype(np.float64)
    return vae, vae.check_data(x), (distributions, leapfrogs, start)


def _error(log_w):
    return error_of_log_mean(log_sum_exp(log_w), log_sum_exp(2 * log_w), len(log_w))


def _tuned(vae, x, rng, distributions, leapfrogs, start):
    """Return the `Path` for data x. Pilot chains tune its step sizes; the estimate does not use the pilot chains."""
    shape = (len(x), vae.latent)
    mu, log_var = vae.encode(x) if start == "encoder" else (np.zeros(shape), np.zeros(shape))

    scale = np.exp(log_var / 2)                             # (N, J)
    log_start = lambda z: (log_normal(z, mu, log_var), (mu - z) / scale**2)  # noqa: E731
    draw = lambda chains: mu + scale * rng.standard_normal((chains, *shape))  # noqa: E731
    path = Path(log_start, scale, draw, schedule(distributions, start), None, leapfrogs)
    size = np.full(len(x), 0.5)                             # (N,)   step size in units of `scale`
    steps = np.empty((distributions - 1, len(x)))
    z = path.draw(PILOTS)
    here = _densities(vae, x, path, z)
    for t, beta in enumerate(path.beta[1:-1]):
        for _ in range(10 if t == 0 else 1):                # the first step size is a guess: adapt it in ten transitions
            z, here, accepted = _transition(vae, x, path, beta, size, z, here, rng)
            size = np.clip(size * np.exp(0.5 * (accepted.mean(axis=0) - TARGET)), 1e-4, 2.0)
        steps[t] = size
    return path._replace(steps=steps)


def schedule(distributions: int, start: str) -> NDArray:
    """Return the T + 1 numbers beta_0 = 0 to beta_T = 1.

    If the start density is q(z|x), all steps from one beta to the next are equal. If the start density is the prior, the
    first and the last steps are small, because f_t changes fastest near 0 and 1.
    """
    even = np.linspace(0, 1, distributions + 1)
    if start == "encoder":
        return even
    s = 1 / (1 + np.exp(-8 * (even - 0.5)))                 # the sigmoid of Wu et al. from -4 to 4
    return (s - s[0]) / (s[-1] - s[0])


@np.errstate(over="ignore", invalid="ignore")
def _densities(vae, x, path, z):
    """Return the log of the start density and log p(x, z), (L, N) each, and their gradients in z, (L, N, J) each."""
    log_start, d_start = path.log_start(z)
    log_px_z, d_px = log_px_z_and_slope(vae, x, z)
    return log_start, log_px_z + log_standard_normal(z), d_start, d_px - z


@np.errstate(over="ignore", invalid="ignore")               # a proposal that overflows is rejected
def _transition(vae, x, path, beta, size, z, here, rng):
    """Make one Hamiltonian transition that leaves f = start^(1 - beta) p(x, z)^beta invariant.

    Returns the new z, its densities and gradients, and an array (L, N): True where the proposal was accepted.
    """
    step = size[:, None] * path.scale                       # (N, J)   a step size for each coordinate
    mix = lambda start, joint: (1 - beta) * start + beta * joint  # noqa: E731
    momentum = rng.standard_normal(z.shape)
    moved, there = z, here
    p = momentum + step / 2 * mix(*here[2:])
    for i in range(path.leapfrogs):
        moved = moved + step * p
        there = _densities(vae, x, path, moved)
        p = p + (step if i < path.leapfrogs - 1 else step / 2) * mix(*there[2:])
    gain = mix(*there[:2]) - mix(*here[:2]) + ((momentum**2).sum(axis=-1) - (p**2).sum(axis=-1)) / 2
    accepted = np.log(rng.random(gain.shape)) < gain        # (L, N)   False where gain is NaN
    both = [np.where(accepted if a.ndim == 2 else accepted[..., None], a, b) for a, b in zip((moved, *there), (z, *here))]
    return both[0], tuple(both[1:]), accepted


def _forward(vae, x, path, chains, rng):
    """Run chains from the start density to the posterior. Return log w, shape (L, N), and the acceptance rates, (N,)."""
    z = path.draw(chains)
    here = _densities(vae, x, path, z)
    need_log("log p(x, z)", here[1])
    log_w, rates = path.beta[1] * (here[1] - here[0]), []
    for t, size in enumerate(path.steps, start=1):
        z, here, accepted = _transition(vae, x, path, path.beta[t], size, z, here, rng)
        log_w = log_w + (path.beta[t + 1] - path.beta[t]) * (here[1] - here[0])
        rates.append(accepted.mean(axis=0))
    return log_w, np.mean(rates, axis=0) if rates else np.ones(len(x))


def _reverse(vae, x, path, z, rng):
    """Run chains back from posterior draws z. Return log(1/w), shape (L, N), and the acceptance rates, shape (N,).

    The chains make the transitions of `_forward` in reverse order.
    """
    here = _densities(vae, x, path, z)
    log_1_w, rates = (path.beta[-1] - path.beta[-2]) * (here[0] - here[1]), []
    for t in range(len(path.beta) - 2, 0, -1):
        z, here, accepted = _transition(vae, x, path, path.beta[t], path.steps[t - 1], z, here, rng)
        log_1_w = log_1_w + (path.beta[t] - path.beta[t - 1]) * (here[0] - here[1])
        rates.append(accepted.mean(axis=0))
    return log_1_w, np.mean(rates, axis=0) if rates else np.ones(len(x))
