"""log p(x) exactly, for one or two latent dimensions: the integral of p(x|z) p(z) over z, by the trapezoid rule."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import sums
from minivae.evidence.sums import log_sum_exp, need_log, widest
from minivae.gaussian import log_standard_normal
from minivae.vae import VAE

COARSE = 128                                                # intervals on each axis of the first grid of the quadrature
MOST = 50_000                                               # nodes of one datum, beyond the first grid
NEGLIGIBLE = 40.0                                           # nats below a datum's highest point: 4e-18 of it
SPARE = 19.0                                                # with the digits of the tolerance: 6e-12 of it at 1e-3


class Exact(NamedTuple):
    """log p(x) by quadrature, per datum (N,), with mean and covariance of the posterior p(z|x)."""

    log_px: NDArray
    error: NDArray              # by how much it changed when the spacing was last halved
    mean: NDArray               # (N, J)
    cov: NDArray                # (N, J, J)


def exact_log_px(vae: VAE, x: NDArray, tolerance: float = 1e-3, finest: int = 1 << 16) -> Exact:
    """log p(x) = log of the integral of p(x|z) p(z) over one or two latent dimensions, per datum.

    The trapezoid rule, over everything that the prior or any q(z|x) reaches. For a smooth integrand that dies off on
    all sides its error falls faster than any power of the spacing, so the spacing is halved until a datum changes by
    no more than `tolerance` nats (what is left is then far smaller), an axis would need more than `finest` points, or
    the datum more than MOST. Where it has kinks (relu) a halving takes off three quarters of the error, no more.
    A mode that falls between the nodes of the first grid, whose nearest node is more than NEGLIGIBLE nats below another
    mode of the same datum, is missed: that takes two modes, one of them far narrower than that grid's spacing, which is
    0.125 where no q(z|x) reaches beyond 8, else wider.
    Posteriors can be a thousand times narrower than the prior: beyond the first two grids, which all data share, every
    datum keeps only the places that matter to it.

    Three dimensions are refused: a first grid as fine as this one would have two million nodes for each datum, and
    between those of a coarser one whole posteriors of real digits fall.

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
    mu, log_var = vae.encode(x)
    reach = 8 * np.exp(log_var / 2)
    low, high = np.minimum(-8, (mu - reach).min(axis=0)), np.maximum(8, (mu + reach).max(axis=0))       # (J,)
    points = COARSE
    spacing = (high - low) / points                                                         # (J,)
    index = np.indices((points + 1,) * vae.latent).reshape(vae.latent, -1).T                # (nodes, J)
    log_joint = _on_shared_nodes(vae, x, low + spacing * index)                             # (nodes, N)
    nowhere = np.flatnonzero(log_joint.max(axis=0) == -np.inf)
    if len(nowhere):
        came = f"p(x, z) = 0 at every z for {len(nowhere)} of {len(x)} rows"
        checks.refuse("x", "possible under the model", came, "The decoder is so far from x that exp underflows.")
    every_other = (index % 2 == 0).all(axis=1)              # the grid of twice the spacing is part of this one
    log_px = log_sum_exp(log_joint) + np.log(spacing).sum()
    error = np.abs(log_px - log_sum_exp(log_joint[every_other]) - np.log(2 * spacing).sum())
    who, node = np.nonzero(log_joint.T > log_joint.max(axis=0)[:, None] - NEGLIGIBLE)       # (pairs,) each
    index = index[node]                                                                     # (pairs, J)
    mean, cov = _moments(who, low + spacing * index, log_joint.T[who, node])                # (N, J), (N, J, J)
    while 2 * points <= finest:
        affordable = np.bincount(who, minlength=len(x)) * 2**vae.latent <= MOST
        unsure = ((error > tolerance) & affordable)[who]                                    # (pairs,)
        if not unsure.any():
            break
        points, spacing = 2 * points, spacing / 2
        who, index = _with_neighbours(who[unsure], 2 * index[unsure], len(x), points)
        z = low + spacing * index                                                           # (pairs, J)
        log_joint = _on_own_nodes(vae, x, who, index, z)                                    # (pairs,)
        first, row = _runs(who)
        top = np.maximum.reduceat(log_joint, first)[row]                                    # (pairs,)
        refined = top[first] + np.log(np.add.reduceat(np.exp(log_joint - top), first)) + np.log(spacing).sum()
        error[who[first]] = np.abs(refined - log_px[who[first]])
        log_px[who[first]] = refined
        mean[who[first]], cov[who[first]] = _moments(who, z, log_joint)
        matters = log_joint > top - min(NEGLIGIBLE, SPARE - np.log(tolerance))              # places are known by now
        who, index = who[matters], index[matters]
    return log_px, error, mean, cov


def _runs(who):
    """Pairs are sorted by datum: where each datum begins, and for every pair its datum's place among those that have any."""
    first = np.flatnonzero(np.diff(who, prepend=-1))
    return first, np.searchsorted(who[first], who)


def _moments(who, z, log_joint):
    """Mean and covariance of the posterior of every datum that has nodes, its density known at those nodes."""
    first, row = _runs(who)
    p = np.exp(log_joint - np.maximum.reduceat(log_joint, first)[row])                      # (pairs,)
    p /= np.add.reduceat(p, first)[row]
    mean = np.add.reduceat(p[:, None] * z, first)                                           # (data, J)
    away = z - mean[row]
    return mean, np.add.reduceat(p[:, None, None] * away[:, :, None] * away[:, None, :], first)


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


def _with_neighbours(who, index, data, points):
    """Every pair of datum and node with the nodes next to it, each pair once, sorted by datum."""
    steps = np.indices((3,) * index.shape[1]).reshape(index.shape[1], -1).T - 1             # (3^J, J)
    around = (index[:, None, :] + steps).clip(0, points)                                    # (pairs, 3^J, J)
    shape = (data,) + (points + 1,) * index.shape[1]
    key = np.ravel_multi_index((who[:, None], *np.moveaxis(around, -1, 0)), shape)
    key = np.sort(key, axis=None)                           # np.unique does it in twice the time
    who, *index = np.unravel_index(key[np.diff(key, prepend=-1) > 0], shape)
    return who, np.stack(index, axis=-1)
