"""Stated assumptions are sufficient: a search finds no point at which the assumption of an entry holds and the entry fails.

In the code, the assumption of an entry is a set of allowed values for each of its letters (variables), for example s > 0.
For a few entries, JOINT_ASSUMPTIONS adds a condition on several letters together. The search starts from random points;
from extreme points, called corners (weights near zero, standard deviations from 1/55 to 55); and from points with equal or
nearly equal letters. Then the search varies the points that are nearest to a failure.
"""

import numpy as np
import pytest

from derivations.engine import ledger
from derivations.engine.domains import frozen, real
from derivations.engine.equation import LEDGER, equation
from derivations.engine.judge import UNDECIDED, scaled_error, sides_of
from derivations.engine.numerics import need_positive

# The search first tries 64 points. Then it makes 5 more rounds. Each round takes the 8 points of the previous round that
# are nearest to a failure, and tries 64 neighbours of these 8 points.
SEED, POINTS, ROUNDS, KEPT = 20, 64, 5, 8
ROUNDING = 1e-10                                            # smaller differences of two sides may be rounding errors
MODERATE = 3                                                # a raw number (input of Symbol.make) is extreme if |raw| > 3
STRICT = ("<", ">", "!=")
# {relation: a function of both sides; its result is larger if the relation is nearer to a failure}
SLACK = {
    "<": lambda left, right: left - right,
    "<=": lambda left, right: left - right,
    "!=": lambda left, right: -abs(left - right),
    ">": lambda left, right: right - left, ">=": lambda left, right: right - left,
}  # fmt: skip
CORNERS = (-8, -5, -3, -1e-9, 1e-9, 1e-9, 3, 5, 8)          # the search combines these raw numbers into extreme points


JOINT_ASSUMPTIONS = {                                       # {id: condition that involves several letters}
    "odaibo.t11": lambda q, p: np.minimum(np.abs(q - p), np.abs(q[:, ::-1] - p)).max(axis=1) > 1e-3,
    "odaibo.t21": lambda w, s, x, beta, more: w / s > 0.1,  # for smaller w / s, the KL can be as small as rounding errors
    "lm.9": lambda a, b, s, straight: (s < a * b) & (a * b < 20 * s),       # f is curved, but smooth enough for quadrature
    "lm.44": lambda w, s, x: 0.05 * (1 + (w / s) ** 2) < 1.9,
}


LIMITS = {                                                  # {id: L}: the entry is accurate for raw numbers from -L to L
    "cards.27": 8, "beyond.11": 6, "beyond.12": 6, "beyond.13": 6, "beyond.31": 4, "beyond.34": 3,
}  # fmt: skip


def conditional_entries():
    return [entry for entry in ledger.entries() if any(row.expected == "holds-if" for row in entry.rows)]


def first_points(inputs, rng, n=POINTS):
    """Return the raw numbers of n points, (n, size) for each symbol. The points have kinds 1, 2, 3, 4, 1, 2, ...

    The raw numbers are drawn from N(0, 1) for kind 1, from N(0, 9) for kind 2, and from CORNERS for kind 3. For kind 4,
    symbols of equal size and rule have equal or nearly equal raw numbers.
    """
    kinds, shared = np.arange(n) % 4, {}
    raws = {}
    for symbol in inputs:
        raw = rng.standard_normal((n, symbol.size)) * np.where(kinds == 1, 3, 1)[:, None]
        raw[kinds == 2] = rng.choice(CORNERS, raw[kinds == 2].shape)
        near = shared.setdefault((symbol.size, symbol.rule), raw)
        difference = rng.choice((0, 1e-3), n)[:, None] * raw
        raws[symbol.name] = np.where((kinds == 3)[:, None], near + difference, raw)
    return raws


def neighbours(raws, worst, rng, n=POINTS):
    """Return the raw numbers of n points: points with the indices `worst`, plus Gaussian noise.

    The standard deviation of the noise is drawn for each point, from 1e-4 to 1.
    """
    start = worst[np.arange(n) % len(worst)]
    step = 10 ** rng.uniform(-4, 0, (n, 1))
    return {name: raw[start] + step * rng.standard_normal((n, raw.shape[1])) for name, raw in raws.items()}


def by_point(array, n):
    """Return the largest number of each array[k], for the points k = 0, ..., n - 1, as an array (n,).

    If the first axis of the array does not have length n, return the largest number of the whole array for every point.
    """
    return np.asarray(array).reshape(n, -1).max(axis=1) if np.ndim(array) and len(array) == n else np.full(n, np.max(array))


def nearness(entry, raws, links):
    """Return two arrays, (n,), with one number for each point: its largest error, and its nearness to a failure.

    The error is measured in units of the tolerance. The nearness is larger if the point is nearer to a failure.
    """
    n = len(next(iter(raws.values())))
    values = {symbol.name: frozen(symbol.make(raws[symbol.name])) for symbol in entry.printed.inputs}
    sides, relations = sides_of(entry.printed, values)
    moderate = np.all([np.abs(raw).max(axis=1) <= MODERATE for raw in raws.values()], axis=0)
    errors, near = np.zeros(n), np.full(n, -np.inf)
    for i in links or range(len(relations)):
        scaled, left, right, allowed = scaled_error(sides[i], relations[i], sides[i + 1], entry.tolerance)
        slack = SLACK.get(relations[i], lambda left, right: np.zeros(()))(left, right)
        with np.errstate(all="ignore"):
            scaled = np.where((np.abs(left - right) < ROUNDING) & (relations[i] != "!="), 0, scaled)
            towards = np.nan_to_num(slack / allowed, nan=-np.inf) if relations[i] in SLACK else scaled
        failed = by_point(scaled, n)
        if relations[i] in STRICT:                          # at extreme points, rounding makes different sides equal
            failed = np.where(moderate, failed, by_point(towards, n))
        errors, near = np.maximum(errors, failed), np.maximum(near, by_point(towards, n))
    return errors, near


def inside(entry, raws):
    """Clip raw numbers to the LIMITS of the entry; return the points that satisfy its joint assumption."""
    raws = {name: np.clip(raw, -LIMITS.get(entry.id, 99), LIMITS.get(entry.id, 99)) for name, raw in raws.items()}
    if entry.id not in JOINT_ASSUMPTIONS:
        return raws
    values = {symbol.name: symbol.make(raws[symbol.name]) for symbol in entry.printed.inputs}
    kept = JOINT_ASSUMPTIONS[entry.id](**values).ravel()
    return {name: raw[kept] for name, raw in raws.items()}


def counterexample(entry, seed=SEED):
    """Search for a point that satisfies the assumption of an entry, but at which a conditional link of the entry fails.

    Return this point as text. If the entry raises an error, return the error as text. If no link fails, return "".
    """
    links = [row.link for row in entry.rows if row.expected == "holds-if" and row.link is not None]
    rng = np.random.default_rng(seed)
    raws = inside(entry, first_points(entry.printed.inputs, rng))
    for _ in range(ROUNDS + 1):
        try:
            errors, near = nearness(entry, raws, links)
        except ValueError as error:
            return f"refused: {error}"
        if errors.max() > UNDECIDED:
            k = int(errors.argmax())
            return str({symbol.name: symbol.make(raws[symbol.name])[k].tolist() for symbol in entry.printed.inputs})
        raws = inside(entry, neighbours(raws, np.argsort(-near)[:KEPT], rng))
    return ""


def test_conditional_statements_hold_at_all_points_that_satisfy_their_assumption():
    found = {entry.id: counterexample(entry) for entry in conditional_entries()}
    assert len(found) > 10 and {id: point for id, point in found.items() if point} == {}


A, B = real("a", "a"), real("b", "b")
FALSE_STATEMENTS = {                                        # statements that fail in a small part of their domain
    "at a corner": (lambda a, b: (a, "<=", 9 + 0 * a), (A,)),
    "for equal letters": (lambda a, b: (a - b, "!=", a * 0), (A, B)),
    "near a point": (lambda a, b: (a * 0 + 1e-7, "<=", (a - 1.2345) ** 2), (A,)),
    "near a line": (lambda a, b: (a * 0 + 1e-7, "<", (a - b - 1.2345) ** 2), (A, B)),
    "refused": (lambda a, b: need_positive("a", a + 5), (A,)),
}


@pytest.mark.parametrize("name", FALSE_STATEMENTS)
def test_search_finds_a_failing_point_if_the_assumption_is_insufficient(name):
    function, inputs = FALSE_STATEMENTS[name]
    call = function if len(inputs) == 2 else lambda a: function(a, None)
    entry = equation("test.need", "", "a", inputs, says="Planted.", needs="too little", outside={"a": 0, "b": 0})(call)
    del LEDGER["test.need"]
    assert counterexample(entry)


def test_search_accepts_a_sufficient_assumption():
    entry = equation("test.need", "", "a", (A,), says="A square.", needs="a is real", outside={"a": 0})(
        lambda a: (a * 0, "<=", a**2, "=", a * a * (1 + 1e-15))
    )
    del LEDGER["test.need"]
    assert counterexample(entry) == ""
