"""log p(x) exactly, for one or two latent dimensions: the integral of p(x|z) p(z) over z, by the trapezoid rule."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import sums
from minivae.evidence.sums import in_rows, need_log, widest
from minivae.gaussian import log_standard_normal
from minivae.ops import mlp
from minivae.vae import VAE

COARSE = {1: 1024, 2: 128}                                  # intervals of the first grid, on its longer axis
MOST = 50_000                                               # nodes of one datum, beyond the first grid
SPARE = 16.0                                                # a node that is left out has at most exp(-16) of the tolerance
PLACES = 32                                                 # where the rounding of matrix products is measured


class Exact(NamedTuple):
    """log p(x) by quadrature, per datum (N,), with mean and covariance of the posterior p(z|x)."""

    log_px: NDArray
    error: NDArray              # an upper estimate, in nats; inf where the finest grid does not resolve the posterior
    mean: NDArray               # (N, J)
    cov: NDArray                # (N, J, J)


def exact_log_px(vae: VAE, x: NDArray, tolerance: float = 1e-3, finest: int = 1 << 16) -> Exact:
    """log p(x) = log of the integral of p(x|z) p(z) over one or two latent dimensions, per datum.

    The trapezoidal rule on a square grid over everything that the prior reaches and every q(z|x) points at. Its spacing h
    is halved until, for each datum, the estimated error is at most `tolerance` nats. The estimate needs no second grid:
    every third node of each axis is a grid of spacing 3h, and there are 3^J of these. `_discretisation` has the details.
    A datum that would need more than `finest` points on an axis, or more than MOST nodes, keeps its last value and error.

    Posteriors can be a thousand times narrower than the prior. So all data share the first grid, and on the finer ones
    each datum keeps only the nodes that may matter: those within SPARE - log(tolerance) nats of its highest node, plus
    the largest difference from a neighbour, because a summit between two nodes can be so much higher. The share of the
    nodes that are left out is part of the error. A mode is missed if no node of the first grid is in its reach: this takes
    a peak far narrower than that grid's spacing, on a plateau. Rounding is part of the error too: it dominates where data
    are far from zero.

    Three dimensions are refused: the first grid would have two million nodes for each datum, and a coarser one can miss
    a narrow posterior entirely.

    Parameters
    ----------
    x : ndarray, shape (N, D)
    tolerance : float
        Above 0, nats: a datum whose error is larger is refined.
    finest : int
        Intervals on an axis, at most; at least 128.

    Raises
    ------
    ValueError
        If an argument breaks its rule, there are more than two latent dimensions, the decoder overflows, or p(x, z) is
        0 in floating point wherever it is looked for.
    """
    tolerance = checks.real_number("tolerance", tolerance, above=0)
    finest = checks.whole_number("finest", finest, COARSE[2])
    if vae.latent > 2:
        checks.refuse("vae", "a model with one or two latent dimensions", f"{vae.latent}", "Use lower_bounds instead.")
    vae = vae.astype(np.float64)
    x = vae.check_data(x)
    rows = max(1, 4 * sums.AT_ONCE // (COARSE[vae.latent] + 1) ** vae.latent)
    parts = [_exact(vae, x[start : start + rows], tolerance, finest) for start in range(0, len(x), rows)]
    return Exact(*(np.concatenate(column) for column in zip(*parts)))


def _exact(vae, x, tolerance, finest):
    enough = SPARE - np.log(tolerance)                      # nats below a datum's highest node
    low, spacing, shape = _first_grid(*vae.encode(x), min(COARSE[vae.latent], finest))
    who, index, log_joint, left_out = _near_on_first_grid(vae, x, low, spacing, shape, enough)
    log_px, error = np.zeros((2, len(x)))
    mean, cov = np.zeros((len(x), vae.latent)), np.zeros((len(x), vae.latent, vae.latent))
    while True:
        first = np.flatnonzero(np.diff(who, prepend=-1))    # pairs are sorted by datum
        data, row = who[first], np.searchsorted(who[first], who)                            # (data,), (pairs,)
        log_sum, p = _normalised(log_joint, first, row)                                     # (data,), (pairs,)
        log_px[data] = log_sum + vae.latent * np.log(spacing)
        mean[data], cov[data] = _moments(low + spacing * index, p, first, row)
        relative = left_out[data] + _discretisation(index, p, row, vae.activation == "relu")
        error[data] = np.where(relative < 1 / 2, -np.log1p(-np.minimum(relative, 1 / 2)), np.inf)
        affordable = np.bincount(who, minlength=len(x)) * 2**vae.latent <= MOST
        again = (affordable & (error > tolerance))[who]                                     # (pairs,)
        if 2 * (max(shape) - 1) > finest or not again.any():
            break
        key = np.ravel_multi_index((who, *index.T), (len(x), *shape))
        rise = _rise(log_joint, [_pairs_of_neighbours(key, step) for step in _strides(shape)])
        near = log_joint + rise > np.maximum.reduceat(log_joint, first)[row] - enough
        left_out += np.bincount(who[again & ~near], p[again & ~near], len(x))
        shape, spacing = tuple(2 * n - 1 for n in shape), spacing / 2
        who, index = _with_neighbours(who[again & near], 2 * index[again & near], len(x), shape)
        log_joint = _on_own_nodes(vae, x, who, index, low + spacing * index)
    error = error + _rounding(vae, x, log_px, mean, cov)
    return log_px, error, mean, cov


def _first_grid(mu, log_var, intervals):
    """Lowest corner (J,), spacing and nodes on each axis of a square grid: 8 sd of the prior and of each q(z|x).

    The sd of a q that is wider than the prior counts as 1: otherwise one wide q makes the grid coarse for all data.
    """
    reach = 8 * np.exp(log_var.clip(max=0) / 2)
    low, high = np.minimum(-8, (mu - reach).min(axis=0)), np.maximum(8, (mu + reach).max(axis=0))       # (J,)
    spacing = (high - low).max() / intervals
    return low, spacing, tuple(np.ceil((high - low) / spacing - 1e-9).astype(int) + 1)


def _near_on_first_grid(vae, x, low, spacing, shape, enough):
    """All pairs of a datum and a node that may matter to it, sorted by datum; and the share of the other nodes, at most.

    Returns datum (pairs,), index of the node (pairs, J), log p(x, z) (pairs,) and the shares (N,).
    """
    index = np.indices(shape).reshape(vae.latent, -1).T                                     # (nodes, J)
    log_joint = _on_shared_nodes(vae, x, low + spacing * index)                             # (nodes, N)
    top = log_joint.max(axis=0)                                                             # (N,)
    nowhere = np.flatnonzero(top == -np.inf)
    if len(nowhere):
        came = f"p(x, z) = 0 at every z for {len(nowhere)} of {len(x)} rows"
        checks.refuse("x", "possible under the model", came, "The decoder is so far from x that exp underflows.")
    neighbours = [(slice(None, -step), slice(step, None)) for step in _strides(shape)]
    near = log_joint + _rise(log_joint, neighbours) > top - enough                     # (nodes, N)
    who, node = np.nonzero(near.T)                                                          # (pairs,) each
    return who, index[node], log_joint.T[who, node], (~near).sum(axis=0) * np.exp(-enough)


def _strides(shape):
    """Distances between neighbours along each axis in a flattened grid."""
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def _pairs_of_neighbours(key, step):
    """Places (here, there) of all pairs of keys that are `step` apart; keys are sorted."""
    there = np.searchsorted(key, key + step).clip(max=len(key) - 1)
    here = np.flatnonzero(key[there] == key + step)
    return here, there[here]


def _rise(log_joint, neighbours):
    """The largest difference between each node and a neighbour: a summit near the node is at most so much higher.

    For a quadratic summit it is at most a quarter of that, for a cone nearly all.
    """
    rise = np.zeros_like(log_joint)
    for here, there in neighbours:
        with np.errstate(invalid="ignore"):                 # -inf - -inf is NaN, which fmax ignores
            difference = np.abs(log_joint[there] - log_joint[here])
        for place in (here, there):
            before = rise[place]                            # written over: half the time of the first grid's rise
            rise[place] = np.fmax(before, difference, out=before)
    return rise


def _normalised(log_joint, first, row):
    """log of the sum of exp(log_joint) for every datum that has nodes, and each node's share of that sum."""
    top = np.maximum.reduceat(log_joint, first)                                             # (data,)
    p = np.exp(log_joint - top[row])                                                        # (pairs,)
    total = np.add.reduceat(p, first)
    return top + np.log(total), p / total[row]


def _moments(z, p, first, row):
    """Mean and covariance of the posterior of every datum that has nodes."""
    mean = np.add.reduceat(p[:, None] * z, first)                                           # (data, J)
    away = z - mean[row]
    return mean, np.add.reduceat(p[:, None, None] * away[:, :, None] * away[:, None, :], first)


def _discretisation(index, p, row, kinks):
    """An upper estimate of the relative error that the spacing h causes, for every datum that has nodes, (data,).

    Let s(n) be the largest relative difference between the n^J interleaved grids of spacing nh and their mean, which is
    the grid of spacing h. So s(3) shows the error at spacing 3h. From 3h to h it falls by more than the factor s(3) / s(6)
    from 6h to 3h, because the error of a smooth integrand falls faster than any power of h. With kinks (relu) it falls by 9
    on average; 3 is safe. s(2) is a second witness: its grids are finer, but so few that they can agree by chance.
    """
    two, three, six = (_disagreement(index, p, row, n) for n in (2, 3, 6))
    fall = 1 / 3 if kinks else three / six
    return np.maximum(two, three * fall)                    # fall <= 1: a grid of 3h is the mean of grids of 6h


def _disagreement(index, p, row, n):
    """The largest relative difference between the n^J interleaved grids of spacing nh and their mean, (data,)."""
    for axis in index.T:
        row = n * row + axis % n                            # number of the grid that a node belongs to
    J = index.shape[1]
    share = np.bincount(row, p, -(-(row[-1] + 1) // n**J) * n**J).reshape(-1, n**J)         # (data, grids)
    return np.abs(n**J * share - 1).max(axis=1) + 1e-300


def _rounding(vae, x, log_px, mean, cov):
    """An upper estimate of what rounding costs, (N,).

    First, log p(x|z) of a z that all data share may be a matrix product, which loses digits where data are far from zero:
    at PLACES within a standard deviation of some posterior means, it is compared with the sum over features. Second, the
    decoder's output has a relative error of some machine epsilons: that times the slope of log p(x|z) in it.
    """
    sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))                                        # (N, J)
    steps = np.linspace(-1, 1, PLACES)[:, None]                                             # (PLACES, 1)
    z = (np.resize(mean, (PLACES, vae.latent)) + steps * np.resize(sd, (PLACES, vae.latent)))[:, None]     # (PLACES, 1, J)
    added = [vae.log_likelihood(part, np.repeat(z, len(part), axis=1)) for part in in_rows(vae, x, PLACES)]
    with np.errstate(invalid="ignore"):                     # -inf - -inf is NaN, which fmax ignores
        off = np.abs(vae.log_likelihood(x, z) - np.concatenate(added, axis=1))               # (PLACES, N)
    products = np.fmax.reduce(off, axis=0, initial=0)                                       # (N,)
    out = mlp(mean, vae.layers("decoder"), vae.activation)[-1]                              # (N, D)
    slope, *_ = vae.likelihood.log_prob_backward(np.ones((1, len(x))), x, out[None], *vae.scale)
    return 2 * products + 16 * np.finfo(np.float64).eps * (np.abs(log_px) + np.abs(slope[0] * out).sum(axis=1))


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
