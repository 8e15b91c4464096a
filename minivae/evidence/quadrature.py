"""log p(x) by quadrature (numerical integration): the integral of p(x|z) p(z) over one or two latent dimensions.

The trapezoidal rule is used: a sum over the nodes (points) of an equidistant grid, times the area of a cell of the grid.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.evidence import sums
from minivae.evidence.sums import IN_CACHE, in_rows, need_log, widest
from minivae.gaussian import log_standard_normal
from minivae.ops import mlp
from minivae.vae import VAE

COARSE = {1: 1024, 2: 128}                                  # number of intervals on the longer axis of the first grid
MAX_NODES = 50_000                                          # a finer grid has at most about this many nodes per data point
# Nodes with p(x, z) exp(`_rise`) <= exp(-SPARE) * tolerance * max p(x, z) are left out.
SPARE = 16.0
NEGLIGIBLE = 8.0                                            # `_box` ignores nodes with log p(x, z) <= maximum - NEGLIGIBLE
PLACES = 32                                                 # number of points z at which the rounding error is measured


class Exact(NamedTuple):
    """log p(x) in nats by quadrature, with mean, covariance and bounding box of p(z|x), for each of N data points."""

    log_px: NDArray             # (N,)
    error: NDArray              # (N,) upper estimate of the absolute error in nats; inf if the finest grid is too coarse
    mean: NDArray               # (N, J)
    cov: NDArray                # (N, J, J)
    box: NDArray                # (N, 2, J) lowest and highest corner of a box; outside of it p(z|x) is negligible


def exact_log_px(vae: VAE, x: NDArray, tolerance: float = 1e-3, finest: int = 1 << 18) -> Exact:
    """Return log p(x) = log of the integral of p(x|z) p(z) over one or two latent dimensions, for each data point.

    The grid has the same spacing h on both axes. It covers the prior and each q(z|x) up to 8 standard deviations from the
    mean. For this grid, a standard deviation of q(z|x) above 1 counts as 1 (see `_first_grid`). For each data point, h is
    halved until the estimated error of log p(x) is at most `tolerance` nats. To estimate the error due to the spacing, the
    function divides the nodes into coarser grids, for example into 3 grids of spacing 3h in one dimension. If h is small
    enough, the sums of p(x, z) over these grids are nearly equal (see `_discretisation`). A data point gets no finer grid if
    the finer grid would have more than `finest` intervals on an axis, or more than about MAX_NODES nodes for the data point.
    Then the function returns the last value of log p(x) and its error.

    Data points are processed in parts; all data points of a part share the first grid. A posterior can be a thousand times
    narrower than the prior. Therefore, a finer grid has only the nodes that may matter and their neighbours, and each data
    point has its own nodes. Let M be the largest log p(x, z) of a data point at any node. A node may matter if its
    log p(x, z) is above M - SPARE + log(tolerance). But log p(x, z) can be higher between two nodes than at both nodes.
    Therefore, before this comparison, the function adds a reserve to the log p(x, z) of each node. The reserve is the
    largest absolute difference between log p(x, z) at the node and at one of its neighbours (see `_rise`).

    `error` adds up estimates of four errors: those due to the spacing, to the nodes that are left out, to z outside the
    grid, and to rounding. If the data are far from zero, the rounding error can be the largest of the four. The function
    misses a peak between the nodes of the first grid if the peak is far narrower than the spacing, and the density around
    it is flat.

    Three dimensions are refused: the first grid would have two million nodes for each data point, and a coarser grid can
    miss a narrow posterior entirely.

    Parameters
    ----------
    x : ndarray, shape (N, D)
    tolerance : float
        Largest error in nats, above 0. The grid is refined for data points with a larger error.
    finest : int
        Largest number of intervals on an axis; at least 128.

    Raises
    ------
    ValueError
        If an argument is invalid, there are more than two latent dimensions, the decoder overflows, or p(x, z) is
        0 in floating point at every node.
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
    depth = SPARE - np.log(tolerance)                       # leave out nodes with log p(x, z) + `_rise` <= maximum - depth
    low, spacing, shape = _first_grid(*vae.encode(x), min(COARSE[vae.latent], finest))
    which, index, log_joint, left_out = _near_on_first_grid(vae, x, low, spacing, shape, depth)
    log_px, error = np.zeros((2, len(x)))
    mean, cov = np.zeros((len(x), vae.latent)), np.zeros((len(x), vae.latent, vae.latent))
    box = np.zeros((len(x), 2, vae.latent))
    while True:
        first = np.flatnonzero(np.diff(which, prepend=-1))  # index of the first pair (data point, node) of each data point
        data, row = which[first], np.searchsorted(which[first], which)                      # (data,), (pairs,)
        log_sum, p = _normalised(log_joint, first, row)                                     # (data,), (pairs,)
        log_px[data] = log_sum + vae.latent * np.log(spacing)
        mean[data], cov[data] = _moments(low + spacing * index, p, first, row)
        box[data] = low + spacing * _box(log_joint, index, first, row)
        relative = left_out[data] + _outside(index, p, row, shape, left_out[data])
        relative += _discretisation(index, p, row, kinks=vae.activation != "tanh")     # assume kinks for other activations
        error[data] = np.where(relative < 1 / 2, -np.log1p(-np.minimum(relative, 1 / 2)), np.inf)
        affordable = np.bincount(which, minlength=len(x)) * 2**vae.latent <= MAX_NODES
        again = (affordable & (error > tolerance))[which]                                   # (pairs,)
        if 2 * (max(shape) - 1) > finest or not again.any():
            break
        key = np.ravel_multi_index((which, *index.T), (len(x), *shape))
        rise = _rise(log_joint, [_pairs_of_neighbours(key, step) for step in _strides(shape)])
        near = log_joint + rise > np.maximum.reduceat(log_joint, first)[row] - depth
        left_out += np.bincount(which[again & ~near], p[again & ~near], len(x))
        shape, spacing = tuple(2 * n - 1 for n in shape), spacing / 2
        which, index = _with_neighbours(which[again & near], 2 * index[again & near], len(x), shape)
        log_joint = _on_pairs(vae, x, which, index, low + spacing * index)
    error = error + _rounding(vae, x, log_px, mean, cov)
    return log_px, error, mean, cov, box


def _first_grid(mu, log_var, intervals):
    """Return a grid that covers 8 sd of the prior and of each q(z|x): lowest corner (J,), spacing, number of nodes per axis.

    An sd of q(z|x) above 1 counts as 1. Otherwise one q that is wider than the prior would make the grid coarse for all
    data points.
    """
    reach = 8 * np.exp(log_var.clip(max=0) / 2)
    low, high = np.minimum(-8, (mu - reach).min(axis=0)), np.maximum(8, (mu + reach).max(axis=0))       # (J,)
    spacing = (high - low).max() / intervals
    return low, spacing, tuple(np.ceil((high - low) / spacing - 1e-9).astype(int) + 1)


def _near_on_first_grid(vae, x, low, spacing, shape, depth):
    """Return all pairs of a data point and a node that may matter to this data point, sorted by data point.

    For each pair, returns the index of the data point (pairs,), the indices of the node (pairs, J) and log p(x, z) (pairs,).
    For each data point, also returns an upper bound (N,): the nodes that are left out add at most this fraction of p(x).
    """
    index = np.indices(shape).reshape(vae.latent, -1).T                                     # (nodes, J)
    log_joint = _on_shared_nodes(vae, x, low + spacing * index)                             # (nodes, N)
    top = log_joint.max(axis=0)                                                             # (N,)
    impossible = np.flatnonzero(top == -np.inf)
    if len(impossible):
        got = f"p(x, z) = 0 at every z for {len(impossible)} of {len(x)} rows"
        checks.refuse("x", "possible under the model", got, "The decoder's output is so far from x that exp underflows.")
    neighbours = [(slice(None, -step), slice(step, None)) for step in _strides(shape)]
    near = log_joint + _rise(log_joint, neighbours) > top - depth                           # (nodes, N)
    which, node = np.nonzero(near.T)                                                        # (pairs,) each
    return which, index[node], log_joint.T[which, node], (~near).sum(axis=0) * np.exp(-depth)


def _strides(shape):
    """Return the stride of each axis: the distance between neighbours along this axis in the flattened grid, in entries."""
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def _pairs_of_neighbours(key, step):
    """Return the positions (here, there) of all pairs of keys that differ by `step`; `key` is sorted."""
    there = np.searchsorted(key, key + step).clip(max=len(key) - 1)
    here = np.flatnonzero(key[there] == key + step)
    return here, there[here]


def _rise(log_joint, neighbours):
    """Return the largest absolute difference of log p(x, z) between a node and one of its neighbours, for each node.

    A maximum of log p(x, z) may lie between nodes. Of the nodes near this maximum, take the node with the largest
    log p(x, z). Let d be the value that this function returns for this node. From this node to the maximum, log p(x, z)
    usually rises by less than d. It rises by at most d / 4 if log p(x, z) is a quadratic function of two variables, and by
    at most 0.81 d if log p(x, z) is a cone.
    """
    rise = np.zeros_like(log_joint)
    for here, there in neighbours:
        with np.errstate(invalid="ignore"):                 # -inf - -inf is NaN, which fmax ignores
            difference = np.abs(log_joint[there] - log_joint[here])
        for place in (here, there):
            before = rise[place]                            # fmax with out=before is twice as fast on the first grid
            rise[place] = np.fmax(before, difference, out=before)
    return rise


def _normalised(log_joint, first, row):
    """Sum exp(log_joint) over the nodes of each data point that has nodes.

    Return the log of each sum, (data,), and the fraction of this sum that each node contributes, (pairs,).
    """
    top = np.maximum.reduceat(log_joint, first)                                             # (data,)
    p = np.exp(log_joint - top[row])                                                        # (pairs,)
    total = np.add.reduceat(p, first)
    return top + np.log(total), p / total[row]


def _moments(z, p, first, row):
    """Return mean and covariance of the posterior of each data point that has nodes."""
    mean = np.add.reduceat(p[:, None] * z, first)                                           # (data, J)
    centred = z - mean[row]
    return mean, np.add.reduceat(p[:, None, None] * centred[:, :, None] * centred[:, None, :], first)


def _box(log_joint, index, first, row):
    """Return the lowest and the highest corner of a box, in grid units, for each data point that has nodes.

    The box contains all nodes that are not negligible, and one more node on each side.
    """
    near = (log_joint > np.maximum.reduceat(log_joint, first)[row] - NEGLIGIBLE)[:, None]   # (pairs, 1)
    low = np.minimum.reduceat(np.where(near, index, np.iinfo(index.dtype).max), first)
    high = np.maximum.reduceat(np.where(near, index, -1), first)
    return np.stack([low - 1, high + 1], axis=1)            # (data, 2, J)


def _outside(index, p, row, shape, left_out):
    """Estimate which fraction of p(x) comes from z outside the grid.

    Returns twice the estimated fraction for each data point that has nodes, (data,).

    Let a be the sum of p over the nodes on one face of the grid, and b the sum over the nodes one step further inside. We
    assume that each step beyond the face multiplies this sum by a / b. So the sum of p over all nodes beyond the face is
    a (a / b) / (1 - a / b) = a^2 / (b - a). Together, the nodes that are left out have at most the fraction `left_out` of
    p(x). If a < `left_out`, nodes next to the face may be missing, so b may be too small. In this case we assume that
    a / b = 1/2. Then the sum beyond the face is a.
    """
    fraction = np.zeros(row[-1] + 1)
    for axis, n in zip(index.T, shape):
        for face, neighbour in ((0, 1), (n - 1, n - 2)):
            a, b = (np.bincount(row[axis == k], p[axis == k], len(fraction)) for k in (face, neighbour))
            with np.errstate(divide="ignore"):
                tail = np.divide(a * a, np.maximum(b - a, 0), where=a > 1e-30, out=np.zeros(len(fraction)))
            fraction += np.where(a < left_out, a, tail)
    return 2 * fraction


def _discretisation(index, p, row, kinks):
    """Return an upper estimate of the relative error that the spacing h causes, for each data point that has nodes.

    For a number n, the nodes can be divided into n^J interleaved grids of spacing n h. Each of these grids gives a value of
    the integral. The mean of the n^J values is the value for spacing h. Let s(n) be the largest relative difference between
    the mean and one of the n^J values. So s(n) estimates the error at spacing n h.

    The error of a smooth integrand falls faster than any power of h. If the spacing falls from 6h to 3h, the error is
    divided by s(6) / s(3). If the spacing falls from 3h to h, the error is divided by a larger factor. If we divide s(3) by
    s(6) / s(3), we get s(3)^2 / s(6), the first estimate of the error at spacing h. The second estimate is s(2). The
    function returns the larger estimate. s(2) is computed from finer grids than s(3), but only from 2^J grids. The values
    for 2 or 4 grids can be nearly equal by chance.

    With kinks (relu), the error is proportional to h^2 on average. If the integrand changes steeply over a distance shorter
    than h, the error falls more slowly, in proportion to h. The error depends on where the nodes are, so each s(n) can be
    far too small by chance. Therefore the function returns the largest of s(2), s(3) and s(6) / 6.
    """
    two, three, six = (_disagreement(index, p, row, n) for n in (2, 3, 6))
    if kinks:
        return np.max([two, three, six / 6], axis=0)
    # Each value for spacing 3h is the mean of 2^J values for spacing 6h. At least one of these 2^J values is as far from the
    # value for spacing h as their mean, or farther. So s(3) <= s(6), and s(3)^2 / s(6) <= s(3).
    return np.maximum(two, three * three / six)


def _disagreement(index, p, row, n):
    """Return s(n) for each data point that has nodes, (data,).

    Each of the n^J coarser grids gives a value of the integral. s(n) is the largest relative difference between the mean of
    these values and one of the values. `_discretisation` estimates the error of the integral from s(n).
    """
    for axis in index.T:
        row = n * row + axis % n                            # index of the grid that a node belongs to
    J = index.shape[1]
    part = np.bincount(row, p, -(-(row[-1] + 1) // n**J) * n**J).reshape(-1, n**J)          # (data, grids)
    return np.abs(n**J * part - 1).max(axis=1) + 1e-300


def _rounding(vae, x, log_px, mean, cov):
    """Return an upper estimate of the rounding error in nats, (N,): the sum of two parts.

    First part: for a z that all data share, log p(x|z) may be computed by a matrix product, which loses digits if data are
    far from zero. To measure this error, the function compares log p(x|z) from a matrix product with log p(x|z) from a sum
    over features. The function compares them at PLACES values of z, each near the posterior mean of some data point.

    Second part: log p(x) and the decoder's output have relative errors of a few times 2.2e-16, the precision of float64. An
    error of the output changes log p(x|z). This change is the error times the derivative of log p(x|z) in the output.
    """
    sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))                                        # (N, J)
    steps = np.linspace(-1, 1, PLACES)[:, None]                                             # (PLACES, 1)
    z = (np.resize(mean, (PLACES, vae.latent)) + steps * np.resize(sd, (PLACES, vae.latent)))[:, None]     # (PLACES, 1, J)
    summed = [vae.log_likelihood(part, np.repeat(z, len(part), axis=1)) for part in in_rows(vae, x, PLACES)]
    with np.errstate(invalid="ignore"):                     # -inf - -inf is NaN, which fmax ignores
        difference = np.abs(vae.log_likelihood(x, z) - np.concatenate(summed, axis=1))      # (PLACES, N)
    products = np.fmax.reduce(difference, axis=0, initial=0)                                # (N,)
    out = mlp(mean, vae.layers("decoder"), vae.activation)[-1]                              # (N, D)
    slope, *_ = vae.likelihood.log_prob_backward(np.ones((1, len(x))), x, out[None], *vae.scale)
    return 2 * products + 16 * np.finfo(np.float64).eps * (np.abs(log_px) + np.abs(slope[0] * out).sum(axis=1))


def _on_shared_nodes(vae, x, z):
    """Return log p(x, z) of each data point at each node, (nodes, N)."""
    at_once = max(1, sums.AT_ONCE // (IN_CACHE * max(len(x), widest(vae))))
    chunks = [z[start : start + at_once, None, :] for start in range(0, len(z), at_once)]   # (L, 1, J)
    with np.errstate(over="ignore", invalid="ignore"):
        log_joint = np.concatenate([vae.log_likelihood(x, z) + log_standard_normal(z) for z in chunks])
    return need_log("log p(x, z)", log_joint)


def _on_pairs(vae, x, which, index, z):
    """Return log p(x[which], z), (pairs,), for pairs of a data point and a node z.

    Several data points need the same node. To decode a node takes far longer than to compute log p(x|z) for one more data
    point. So each node is decoded only once. The function divides the nodes into groups. It computes log p(x|z) at all
    nodes of a group, for all data points that need at least one of these nodes.
    """
    order = np.lexsort(index.T)                                                             # (pairs,)   sorts by node
    new = np.any(np.diff(index[order], axis=0, prepend=-1), axis=1)                         # (pairs,)   True at a new node
    node = np.cumsum(new) - 1                                                               # (pairs,)
    at_once = max(1, sums.AT_ONCE // (IN_CACHE * max(len(x), widest(vae))))
    cuts = np.searchsorted(node, np.arange(at_once, node[-1] + 1, at_once))
    log_px_z = np.empty(len(z))
    with np.errstate(over="ignore", invalid="ignore"):
        for pairs, node, new in zip(*(np.split(array, cuts) for array in (order, node, new))):
            data, column = np.unique(which[pairs], return_inverse=True)
            table = vae.log_likelihood(x[data], z[pairs[new], None])                        # (nodes, data)
            log_px_z[pairs] = table[node - node[0], column]
    return need_log("log p(x, z)", log_px_z + log_standard_normal(z))


def _with_neighbours(which, index, data, shape):
    """Take pairs (data point, node), and add all pairs of the same data point with a neighbour of the node.

    Return all pairs without repetition, sorted by data point. Neighbours along a diagonal of the grid are included.
    """
    steps = np.indices((3,) * index.shape[1]).reshape(index.shape[1], -1).T - 1             # (3^J, J)
    around = (index[:, None, :] + steps).clip(0, np.array(shape) - 1)                       # (pairs, 3^J, J)
    key = np.ravel_multi_index((which[:, None], *np.moveaxis(around, -1, 0)), (data, *shape))
    key = np.sort(key, axis=None)                           # np.unique takes twice the time
    which, *index = np.unravel_index(key[np.diff(key, prepend=-1) > 0], (data, *shape))
    return which, np.stack(index, axis=-1)
