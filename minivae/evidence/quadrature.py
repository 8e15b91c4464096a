"""log p(x) exactly, for one or two latent dimensions: the integral of p(x|z) p(z) over z, by the trapezoid rule."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import sums
from minivae.evidence.sums import log_sum_exp, need_log, widest
from minivae.gaussian import log_standard_normal
from minivae.vae import VAE

COARSE = 128                                                # intervals of the first grid, on its longer axis
MOST = 50_000                                               # nodes of one datum, beyond the first grid
SMOOTH = 16                                                 # a larger drop of the change shows a smooth integrand; kinks: 4
SHARE = 1 / 8                                               # of a posterior, at most, at one node of a grid that resolves it
NEGLIGIBLE = 40.0                                           # nats below a datum's highest point: 4e-18 of it
SPARE = 19.0                                                # with the digits of the tolerance: 6e-12 of it at 1e-3


class Exact(NamedTuple):
    """log p(x) by quadrature, per datum (N,), with mean and covariance of the posterior p(z|x)."""

    log_px: NDArray
    error: NDArray              # an upper estimate, in nats; inf where the finest grid does not resolve the posterior
    mean: NDArray               # (N, J)
    cov: NDArray                # (N, J, J)


def exact_log_px(vae: VAE, x: NDArray, tolerance: float = 1e-3, finest: int = 1 << 16) -> Exact:
    """log p(x) = log of the integral of p(x|z) p(z) over one or two latent dimensions, per datum.

    The trapezoidal rule on a square grid over everything that the prior reaches and every q(z|x) points at. The spacing h
    is halved until, for each datum, the estimated error is at most `tolerance` nats:

        error = the last change of the value, when h was halved; plus the change before, unless it was SMOOTH times larger

    and the grid resolves the posterior: h is at most its smallest standard deviation, and no node holds more than SHARE.
    Without this condition two coarse grids can agree by chance. Its numbers come from the grid itself, on which a
    posterior that is narrower than h looks narrower still. Why the last change is enough: the error of a smooth integrand
    falls faster than any power of h (for a Gaussian, h = sd leaves 5e-9), so far less than the last change is left. With
    kinks (relu) it falls by a factor of about four, irregularly; so the change before counts as well. A datum that would
    need more than `finest` points on an axis, or more than MOST nodes, keeps its last value and error.

    Posteriors can be a thousand times narrower than the prior. So all data share the first grid; on the finer ones each
    datum keeps only the nodes within NEGLIGIBLE nats of its highest one. A mode is missed if its nearest node on the
    first grid is further below than that: this takes two modes, one of them far narrower than that grid's spacing.

    Three dimensions are refused: the first grid would have two million nodes for each datum, and a coarser one can miss
    a narrow posterior entirely.

    Parameters
    ----------
    x : ndarray, shape (N, D)
    tolerance : float
        Above 0, nats: a datum that changes by more is refined.
    finest : int
        Points on an axis, at most; at least COARSE, those of the first grid.

    Raises
    ------
    ValueError
        If an argument breaks its rule, there are more than two latent dimensions, the decoder overflows, or p(x, z) is
        0 in floating point wherever it is looked for.
    """
    tolerance = checks.real_number("tolerance", tolerance, above=0)
    finest = checks.whole_number("finest", finest, COARSE)
    if vae.latent > 2:
        checks.refuse("vae", "a model with one or two latent dimensions", f"{vae.latent}", "Use lower_bounds instead.")
    vae = vae.astype(np.float64)
    x = vae.check_data(x)
    rows = max(1, 4 * sums.AT_ONCE // (COARSE + 1) ** vae.latent)
    parts = [_exact(vae, x[start : start + rows], tolerance, finest) for start in range(0, len(x), rows)]
    return Exact(*(np.concatenate(column) for column in zip(*parts)))


def _exact(vae, x, tolerance, finest):
    low, spacing, shape = _first_grid(*vae.encode(x))
    index = np.indices(shape).reshape(vae.latent, -1).T                                     # (nodes, J)
    log_joint = _on_shared_nodes(vae, x, low + spacing * index)                             # (nodes, N)
    nowhere = np.flatnonzero(log_joint.max(axis=0) == -np.inf)
    if len(nowhere):
        came = f"p(x, z) = 0 at every z for {len(nowhere)} of {len(x)} rows"
        checks.refuse("x", "possible under the model", came, "The decoder is so far from x that exp underflows.")
    coarser = [(index % step == 0).all(axis=1) for step in (4, 2, 1)]   # grids of 4 and 2 times the spacing are part of it
    sums = [log_sum_exp(log_joint[nodes]) for nodes in coarser]
    quarter, half, log_px = (total + vae.latent * np.log(step * spacing) for total, step in zip(sums, (4, 2, 1)))
    before, change = np.abs(half - quarter), np.abs(log_px - half)                          # (N,) each
    who, node = np.nonzero(log_joint.T > log_joint.max(axis=0)[:, None] - NEGLIGIBLE)       # (pairs,) each
    index = index[node]                                                                     # (pairs, J)
    mean, cov, resolved = _moments(who, low + spacing * index, log_joint.T[who, node], spacing)
    while 2 * (max(shape) - 1) <= finest:
        affordable = np.bincount(who, minlength=len(x)) * 2**vae.latent <= MOST
        unsure = (affordable & (_error(before, change, resolved) > tolerance))[who]         # (pairs,)
        if not unsure.any():
            break
        shape, spacing = tuple(2 * n - 1 for n in shape), spacing / 2
        who, index = _with_neighbours(who[unsure], 2 * index[unsure], len(x), shape)
        z = low + spacing * index                                                           # (pairs, J)
        log_joint = _on_own_nodes(vae, x, who, index, z)                                    # (pairs,)
        first, row = _runs(who)
        top = np.maximum.reduceat(log_joint, first)[row]                                    # (pairs,)
        refined = top[first] + np.log(np.add.reduceat(np.exp(log_joint - top), first)) + vae.latent * np.log(spacing)
        data = who[first]
        before[data], change[data] = change[data], np.abs(refined - log_px[data])
        log_px[data] = refined
        mean[data], cov[data], resolved[data] = _moments(who, z, log_joint, spacing)
        matters = log_joint > top - min(NEGLIGIBLE, SPARE - np.log(tolerance))              # places are known by now
        who, index = who[matters], index[matters]
    rounding = 8 * np.finfo(np.float64).eps * np.abs(log_px)
    error = _error(before, change, resolved) + rounding
    return log_px, error, mean, cov


def _error(before, change, resolved):
    """An upper estimate of the error of every datum, (N,), from the last two changes of its value.

    For a smooth integrand the last change is far larger than what is left. Kinks make changes small by chance, so the
    change before counts too, unless the last one is much smaller.
    """
    return np.where(resolved, change + np.where(change < before / SMOOTH, 0, before), np.inf)


def _first_grid(mu, log_var):
    """Lowest corner (J,), spacing and nodes on each axis of a square grid: 8 sd of the prior and of each q(z|x).

    A q that is wider than the prior says nothing about the posterior, so its sd counts as 1.
    """
    reach = 8 * np.exp(log_var.clip(max=0) / 2)
    low, high = np.minimum(-8, (mu - reach).min(axis=0)), np.maximum(8, (mu + reach).max(axis=0))       # (J,)
    spacing = (high - low).max() / COARSE
    intervals = 4 * np.ceil((high - low) / (4 * spacing) - 1e-9).astype(int)                # every fourth node is a grid
    return low, spacing, tuple(intervals + 1)


def _runs(who):
    """Pairs are sorted by datum: where each datum begins, and for every pair its datum's place among those that have any."""
    first = np.flatnonzero(np.diff(who, prepend=-1))
    return first, np.searchsorted(who[first], who)


def _moments(who, z, log_joint, spacing):
    """Mean and covariance of the posterior of every datum that has nodes, and whether a grid this coarse resolves it."""
    first, row = _runs(who)
    p = np.exp(log_joint - np.maximum.reduceat(log_joint, first)[row])                      # (pairs,)
    p /= np.add.reduceat(p, first)[row]
    mean = np.add.reduceat(p[:, None] * z, first)                                           # (data, J)
    away = z - mean[row]
    cov = np.add.reduceat(p[:, None, None] * away[:, :, None] * away[:, None, :], first)
    wide = np.linalg.eigvalsh(cov)[:, 0] >= spacing**2
    return mean, cov, wide & (np.maximum.reduceat(p, first) <= SHARE)


def _on_shared_nodes(vae, x, z):
    """log p(x, z) of every datum at every node, (nodes, N)."""
    at_once = max(1, sums.AT_ONCE // max(len(x), widest(vae)))
    chunks = [z[start : start + at_once, None, :] for start in range(0, len(z), at_once)]   # (L, 1, J)
    with np.errstate(over="ignore", invalid="ignore"):
        log_joint = np.concatenate([vae.log_likelihood(x, z) + log_standard_normal(z) for z in chunks])
    return need_log("log p(x, z)", log_joint)


def _on_own_nodes(vae, x, who, index, z):
    """log p(x[who], z), (pairs,): every datum at its own nodes.

    To decode a node costs far more than to compare it with another datum, and data share nodes: so nodes that lie
    together are decoded once, and compared with all the data that look at any of them.
    """
    order = np.lexsort(index.T)                                                             # (pairs,)   by node
    new = np.any(np.diff(index[order], axis=0, prepend=-1), axis=1)                         # (pairs,)
    node = np.cumsum(new) - 1                                                               # (pairs,)
    at_once = max(1, sums.AT_ONCE // max(len(x), widest(vae)))
    cuts = np.searchsorted(node, np.arange(at_once, node[-1] + 1, at_once))
    log_px_z = np.empty(len(z))
    with np.errstate(over="ignore", invalid="ignore"):
        for pairs, node, new in zip(*(np.split(array, cuts) for array in (order, node, new))):
            data, column = np.unique(who[pairs], return_inverse=True)
            table = vae.log_likelihood(x[data], z[pairs[new], None])                        # (nodes, data)
            log_px_z[pairs] = table[node - node[0], column]
    return need_log("log p(x, z)", log_px_z + log_standard_normal(z))


def _with_neighbours(who, index, data, shape):
    """Every pair of datum and node with the nodes next to it, each pair once, sorted by datum."""
    steps = np.indices((3,) * index.shape[1]).reshape(index.shape[1], -1).T - 1             # (3^J, J)
    around = (index[:, None, :] + steps).clip(0, np.array(shape) - 1)                       # (pairs, 3^J, J)
    key = np.ravel_multi_index((who[:, None], *np.moveaxis(around, -1, 0)), (data, *shape))
    key = np.sort(key, axis=None)                           # np.unique does it in twice the time
    who, *index = np.unravel_index(key[np.diff(key, prepend=-1) > 0], (data, *shape))
    return who, np.stack(index, axis=-1)
