"""Tests of Odaibo's entries: a search inside each stated assumption finds no counterexample.

A point is a value for each letter of a formula, computed from twelve random numbers (`raw`). Some points have tables with
zeros. In other points, a sigma is near 0.01 or 100, or q equals or almost equals p. The search then varies the random
numbers, and keeps a variation if it is nearer to a counterexample.
"""

import numpy as np
import pytest

from derivations.engine import ledger
from derivations.engine.judge import scaled_error, sides_of

SEARCHED = 100                                              # number of points that are varied in parallel
ROUNDS = 6
ENTRIES = {entry.id: entry for entry in ledger.entries("odaibo")}
CONDITIONAL = [id for id, entry in ENTRIES.items() if entry.needs]


def distributions(raw, replacement=0.0):
    """Return weights that sum to 1. Weights below 2 % of the largest become `replacement`, by default 0."""
    weights = np.exp(raw - raw.max(axis=-1, keepdims=True))
    weights = np.where(weights < 0.02, replacement, weights)
    return weights / weights.sum(axis=-1, keepdims=True)


def close_to(p, raw):
    """Multiply each entry of p by a factor between 1/e and e, and normalise the result. The factor is often very near 1."""
    moved = p * np.exp(10.0 ** -np.abs(4 * raw[..., :1]) * np.tanh(raw))
    return moved / moved.sum(axis=-1, keepdims=True)


def positive(raw, low=-3, high=2):
    """Return positive numbers between 10^low and 10^high."""
    return 10 ** (low + (high - low) / (1 + np.exp(-raw)))


def table(raw):
    """Return p(x, z) in two rows and three columns, with some zeros, but no row or column of zeros."""
    p_xz = distributions(raw[:, :6]).reshape(-1, 2, 3)
    empty = (p_xz.sum(axis=1) == 0).any(axis=-1) | (p_xz.sum(axis=2) == 0).any(axis=-1)
    return {"p_xz": np.where(empty[:, None, None], 1 / 6, p_xz)}


def tables(raw):
    """Return p(x, z) and q(z|x). q is random at every second point, and close to the posterior at the other points."""
    p_xz, numbers = table(raw)["p_xz"], raw[:, 6:12].reshape(-1, 2, 3)
    near = close_to(p_xz / p_xz.sum(axis=-1, keepdims=True), numbers)
    return {"p_xz": p_xz, "q": np.where(np.arange(len(raw))[:, None, None] % 2, near, distributions(numbers))}


def pair(raw):
    """Return distributions p and q over four outcomes; some probabilities are 0.

    q is random at every second point, and close to p at the other points.
    """
    p = distributions(raw[:, :4])
    return {"p": p, "q": np.where(np.arange(len(raw))[:, None] % 2, close_to(p, raw[:, 4:8]), distributions(raw[:, 4:8]))}


def pair_covering(raw):
    """Return p and q as `pair` does, but with q > 0 wherever p > 0."""
    q = np.where((both := pair(raw))["p"] > 0, np.maximum(both["q"], 1e-9), both["q"])
    return {"p": both["p"], "q": q / q.sum(axis=-1, keepdims=True)}


def two_outcomes(raw):
    """Return two distributions q and p over two outcomes.

    Every probability in q is an even multiple of 1/100, and every probability in p is an odd multiple. Therefore
    q = (a, b) differs from p = (c, d), and also from (d, c).
    """
    q, p = (np.floor(49 / (1 + np.exp(-raw[:, k : k + 1]))) for k in (0, 1))
    q, p = (2 * q + 2) / 100, (2 * p + 1) / 100
    return {"q": np.hstack([q, 1 - q]), "p": np.hstack([p, 1 - p])}


def events(raw):
    """Return two events of positive probability in a space of four outcomes. An outcome may have probability 0."""
    atoms = distributions(raw[:, :4])
    made = {"atoms": atoms}
    for name, numbers in (("X", raw[:, 4:8]), ("Y", raw[:, 8:12])):
        event = (numbers > 0).astype(float)
        made[name] = np.where((atoms * event).sum(axis=-1, keepdims=True) > 0, event, 1)
    return made


def two_latents(raw):
    """Return a model with two latent coordinates, in which w is not 0."""
    w = raw[:, :2] + np.where(raw[:, :1] < 0, -0.1, 0.1)
    s, sigma = positive(raw[:, 2:3], -1, 1), positive(raw[:, 6:8], -1, 1)
    return {"w": w, "s": s, "x_i": raw[:, 3:4], "mu": raw[:, 4:6], "sigma": sigma}


def two_gaussians(raw):
    """Return two Gaussians with independent coordinates."""
    sigma_q, sigma_p = positive(raw[:, 4:6], -2, 1), positive(raw[:, 6:8], -2, 1)
    return {"mu_q": raw[:, :2], "mu_p": 1 + raw[:, 2:4], "sigma_q": sigma_q, "sigma_p": sigma_p}


def decoder_using_z(raw):
    """Return a decoder that uses z: w is not 0, and the KL is far from 0."""
    names = ("w", "s", "beta", "more")
    return {name: positive(raw[:, k : k + 1], -0.5, 0.5) for k, name in enumerate(names)} | {"x": raw[:, 4:5]}


def small_training_set(raw):
    """Return an encoder, a decoder and three random data points. At least one point is not 0, as odaibo.44 assumes."""
    sigma, s = positive(raw[:, 2:3], -2), positive(raw[:, 3:4], -2)
    return {"a": raw[:, :1], "w": raw[:, 1:2], "sigma": sigma, "s": s, "x": raw[:, 4:7]}


def with_letter(make, **letters):
    """Return a version of `make` with additional letters, each with one value for all points."""
    return lambda raw: make(raw) | {name: np.full((len(raw), 1), value) for name, value in letters.items()}


def curved_decoder(raw):
    """Return a curved decoder. Its noise is so small that the curvature changes the fourth moment of x measurably."""
    return {name: positive(raw[:, k : k + 1], -0.5, 0.5) for k, name in enumerate("wsc")}


# {id: function that turns raw numbers into points; all of these points satisfy the assumption of the entry}
INSIDE = (
    {f"odaibo.{id}": tables for id in (17, 18, 19, 20, 21, 22, 23, 24, 26, 28)}
    | {f"odaibo.{id}": events for id in (2, 3, 4, 5)}
    | {f"odaibo.{id}": pair for id in (12, 15, 16)}
    | {"odaibo.1": table, "odaibo.t4": table, "odaibo.14": pair_covering}
    | {"odaibo.t11": two_outcomes, "odaibo.t1": curved_decoder}
    | {"odaibo.t26": with_letter(pair, a=1), "odaibo.t18": with_letter(tables, beta=1)}
    | {"odaibo.13": with_letter(lambda raw: {"t": positive(raw[:, :1], -9, 9)}, base=np.e)}
    | {"odaibo.t20": lambda raw: {"J": 51 + np.floor(positive(raw[:, :1], 0, 4))}}
    | {"odaibo.t25": with_letter(two_gaussians, rho=0), "odaibo.t31": with_letter(two_latents, shared=0)}
    | {"odaibo.t21": decoder_using_z, "odaibo.44": small_training_set}
)


def errors(entry, make, raw):
    """Return two arrays, (n,): for each point, the largest error in units of the tolerance, and a score.

    The score of a point is larger if the point is nearer to a counterexample.
    """
    sides, relations = sides_of(entry.printed, make(raw))
    worst, near = np.zeros(len(raw)), np.zeros(len(raw))
    for i, relation in enumerate(relations):
        scaled, left, right, allowed = scaled_error(sides[i], relation, sides[i + 1], entry.tolerance)
        with np.errstate(all="ignore"):
            closeness = np.nan_to_num(-np.abs(left - right) / (np.abs(left) + np.abs(right)), nan=-1.0)
        flat = [np.broadcast_to(values, scaled.shape).reshape(len(raw), -1).max(axis=1) for values in (scaled, closeness)]
        worst = np.maximum(worst, flat[0])
        near += flat[0] if relation in ("=", ":=") else flat[1]
    return worst, near


def found(entry, make, seed=0):
    """Search for a counterexample; return the point with the largest error, or {} if no error is above its tolerance."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((SEARCHED, 12)) * rng.choice([0.3, 1, 3, 6], size=(SEARCHED, 1))
    worst, near = errors(entry, make, raw)
    for _ in range(ROUNDS):
        if worst.max() > 1:
            return {name: values[np.argmax(worst)] for name, values in make(raw).items()}
        tried = raw + rng.standard_normal(raw.shape) * rng.choice([0.01, 0.1, 1], size=(SEARCHED, 1))
        tried_worst, tried_near = errors(entry, make, tried)
        better = (tried_near > near) | (tried_worst > 1)
        raw = np.where(better[:, None], tried, raw)
        worst, near = np.where(better, tried_worst, worst), np.where(better, tried_near, near)
    return {name: values[np.argmax(worst)] for name, values in make(raw).items()} if worst.max() > 1 else {}


def test_counterexamples_are_searched_for_every_entry_with_an_assumption():
    assert sorted(CONDITIONAL) == sorted(INSIDE)


@pytest.mark.parametrize("id", INSIDE)
def test_no_counterexample_is_found_among_points_that_satisfy_the_assumption(id):
    assert found(ENTRIES[id], INSIDE[id]) == {}


def halved(make):
    """Return a version of `make` that divides q by 2, so that q sums to 1/2."""
    return lambda raw: (made := make(raw)) | {"q": made["q"] / 2}


def equal_or_not(raw):
    """Return distributions q and p over two outcomes. The probabilities are multiples of 0.1, so q = p at some points."""
    q, p = (np.ceil(9 / (1 + np.exp(-raw[:, k : k + 1]))) / 10 for k in (0, 1))
    return {"q": np.hstack([q, 1 - q]), "p": np.hstack([p, 1 - p])}


# {id: function that turns raw numbers into points; some of these points violate the assumption of the entry}
OUTSIDE = {
    "odaibo.14": pair,
    "odaibo.17": halved(tables),
    "odaibo.23": halved(tables),
    "odaibo.26": halved(tables),
    "odaibo.28": halved(tables),
    "odaibo.t11": equal_or_not,
    "odaibo.t18": with_letter(tables, beta=0.5),
    "odaibo.t26": with_letter(pair, a=0.5),
    "odaibo.13": with_letter(lambda raw: {"t": positive(raw[:, :1], -1, 1)}, base=2),
    "odaibo.t21": lambda raw: decoder_using_z(raw) | {"w": np.zeros((len(raw), 1))},
    "odaibo.t25": with_letter(two_gaussians, rho=0.1),
    "odaibo.t31": with_letter(two_latents, shared=1),
    "odaibo.t20": lambda raw: {"J": np.ones((len(raw), 1))},
}


@pytest.mark.parametrize("id", OUTSIDE)
def test_the_search_finds_a_counterexample_if_the_assumption_is_dropped(id):
    assert found(ENTRIES[id], OUTSIDE[id]) != {}
