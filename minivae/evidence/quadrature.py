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
NEGLIGIBLE = 40.0                                           # nats below a datum's highest point: 4e-18 of it


class Exact(NamedTuple):
    """log p(x) by quadrature, per datum (N,)."""

    log_px: NDArray
    error: NDArray              # by how much it changed when the spacing was last halved


def exact_log_px(vae: VAE, x: NDArray, tolerance: float = 1e-3, finest: int = 1 << 16) -> Exact:
    """log p(x) = log of the integral of p(x|z) p(z) over one or two latent dimensions, per datum.

    The trapezoid rule, over everything that the prior or any q(z|x) reaches. For a smooth integrand that dies off on
    all sides its error falls faster than any power of the spacing, so the spacing is halved until a datum changes by
    no more than `tolerance` nats (what is left is then far smaller), or an axis would need more than `finest` points.
    Posteriors can be a thousand times narrower than the prior: beyond the first two grids, which all data share, every
    datum keeps only the places that matter to it. Raises ValueError if there are more than two latent dimensions.
    """
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
    every_other = (index % 2 == 0).all(axis=1)              # the grid of twice the spacing is part of this one
    log_px = log_sum_exp(log_joint) + np.log(spacing).sum()
    error = np.abs(log_px - log_sum_exp(log_joint[every_other]) - np.log(2 * spacing).sum())
    who, node = np.nonzero(log_joint.T > log_joint.max(axis=0)[:, None] - NEGLIGIBLE)       # (pairs,) each
    index = index[node]                                                                     # (pairs, J)
    while (error > tolerance).any() and 2 * points <= finest:
        points, spacing = 2 * points, spacing / 2
        unsure = error[who] > tolerance
        who, index = _with_neighbours(who[unsure], 2 * index[unsure], len(x), points)
        log_joint = _on_own_nodes(vae, x, who, low + spacing * index)                       # (pairs,)
        first = np.flatnonzero(np.diff(who, prepend=-1))    # pairs are sorted by datum: where each begins
        top = np.maximum.reduceat(log_joint, first)[np.searchsorted(who[first], who)]       # (pairs,)
        refined = top[first] + np.log(np.add.reduceat(np.exp(log_joint - top), first)) + np.log(spacing).sum()
        error[who[first]] = np.abs(refined - log_px[who[first]])
        log_px[who[first]] = refined
        matters = log_joint > top - NEGLIGIBLE
        who, index = who[matters], index[matters]
    return log_px, error


def _on_shared_nodes(vae, x, z):
    """log p(x, z) of every datum at every node, (nodes, N)."""
    at_once = max(1, sums.AT_ONCE // max(len(x), widest(vae)))
    chunks = [z[start : start + at_once, None, :] for start in range(0, len(z), at_once)]   # (L, 1, J)
    with np.errstate(over="ignore", invalid="ignore"):
        log_joint = np.concatenate([vae.log_likelihood(x, z) + log_standard_normal(z) for z in chunks])
    return need_log("log p(x, z)", log_joint)


def _on_own_nodes(vae, x, who, z):
    """log p(x[who], z), (pairs,): every datum at its own nodes."""
    at_once = max(1, sums.AT_ONCE // widest(vae))
    chunks = [slice(start, start + at_once) for start in range(0, len(z), at_once)]
    with np.errstate(over="ignore", invalid="ignore"):
        log_px_z = np.concatenate([vae.log_likelihood(x[who[c]], z[None, c])[0] for c in chunks])
    return need_log("log p(x, z)", log_px_z + log_standard_normal(z))


def _with_neighbours(who, index, data, points):
    """Every pair of datum and node with the nodes next to it, each pair once, sorted by datum."""
    steps = np.indices((3,) * index.shape[1]).reshape(index.shape[1], -1).T - 1             # (3^J, J)
    around = (index[:, None, :] + steps).clip(0, points)                                    # (pairs, 3^J, J)
    shape = (data,) + (points + 1,) * index.shape[1]
    key = np.ravel_multi_index((who[:, None], *np.moveaxis(around, -1, 0)), shape)
    who, *index = np.unravel_index(np.unique(key), shape)
    return who, np.stack(index, axis=-1)
