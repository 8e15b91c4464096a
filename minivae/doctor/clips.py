"""Far from the fit: where a function is clipped, flat, or not finite."""

import math
from collections.abc import Callable

import numpy as np

from minivae.doctor import special
from minivae.doctor.findings import Finding
from minivae.doctor.fit import noise
from minivae.doctor.names import Measured
from minivae.doctor.probe import Terms, scan
from minivae.doctor.terms import COSTS, kl_of

SECOND = [2.3, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 80.0]


def far_from_the_fit(result: Measured, first: Terms) -> list[Finding]:
    """Return findings about points outside the region of the fit."""
    found = []
    if result.kl and result.kl.known:
        found += far_kl(result)
    if result.cost and result.cost.kind in ("mse", "bce", "logits"):
        found += {"mse": far_square, "bce": at_certainty, "logits": far_logits}[result.cost.kind](result)
    return found


def moved(result: Measured, which: int, place: tuple = (0, 0)) -> Callable[[float], float]:
    """Return the target as a function of one entry of one argument; everything else stays in the middle."""
    sizes = result.sizes
    x, o = (np.full((sizes["B"], sizes["D"]), value) for value in (1.0 if result.target.binary else 0.5, 0.5))
    m, s = np.zeros((sizes["B"], sizes["J"])), np.ones((sizes["B"], sizes["J"]))

    def value(point: float) -> float:
        arguments = [x.copy(), o.copy(), m.copy(), s.copy()]
        arguments[which][place] = point
        return result.target(*arguments)

    return value


def coefficient(result: Measured, part: str) -> float:
    """Return the weight in front of one entry at the sizes of the probe."""
    weight = (result.cost if part == "cost" else result.kl).weight
    return weight * math.prod(float(result.sizes[one]) ** power for one, power in result.powers[part].items())


def departure(seen: list[tuple[float, float]], formula: Callable[[float], float], rel: float, more: float) -> tuple | None:
    """Return (point, value, formula) for the first value that is not finite or not near a finite formula, else None."""
    for point, value in seen:
        wanted = float(formula(point))
        if math.isfinite(wanted) and not abs(value - wanted) <= rel * abs(wanted) + more:
            return point, value, wanted
    return None


def far_kl(result: Measured) -> list[Finding]:
    """Compare the KL with its formula at second arguments up to +-80 and at large mu."""
    reading, name, single = result.kl.reading, result.target.call.name, result.target.call.single
    scale = coefficient(result, "kl")
    base = moved(result, 3)(1.0)
    for sign in (1,) if reading.name in ("sigma", "variance") else (1, -1):
        seen = scan(moved(result, 3), [sign * point for point in SECOND if not (single and point > 30)])
        left = departure(seen, lambda s: base + scale * (kl_of(reading, 0.0, s) - kl_of(reading, 0.0, 1.0)), 1e-4,
                         50 * noise(np.array([base]), single))
        if left:
            point, value, wanted = left
            if not math.isfinite(value):
                words = f"it is not finite where the second argument is {point:g}"
                return [Finding("wrong" if abs(point) <= 20 else "unusual", name, "kl-overflow", words, value, wanted)]
            words = f"it differs from its formula where the second argument is {point:g}"
            if seen[-1][0] != point and abs(seen[-1][1] - value) <= 1e-6 * abs(value):
                words = f"it is constant beyond {point:g} of the second argument: it is clipped, and its gradient there is 0"
            return [Finding("unusual", name, "clipped-log-var", words, value, wanted)]
    return []


def far_square(result: Measured) -> list[Finding]:
    """Compare a squared error with large residuals: Huber's cost is straight there."""
    f, scale = moved(result, 1), coefficient(result, "cost")
    x, name = 1.0 if result.target.binary else 0.5, result.target.call.name
    base = f(x)
    if not math.isfinite(base):
        return []

    def square(r: float) -> float:
        return (f(x + r) - base) / scale

    left = departure(scan(square, [2.0, 5.0, 20.0, 100.0]), lambda r: r * r, 1e-3, 0.0)
    if not left:
        return []
    key, words = "no-square", f"the reconstruction is no longer a square beyond a residual of {left[0]:g}"
    if delta := special.huber(square):
        key, words = "huber", f"the reconstruction is a Huber cost: squared up to |x - o| = {delta:.4g}, straight beyond"
        result.cost.kind, result.cost.level = "huber", delta
    return [Finding("unusual", name, key, words, *left[1:], "a squared error is")]


def at_certainty(result: Measured) -> list[Finding]:
    """Look at outputs of exactly 0 and 1: the cross-entropy is infinite there, or its logarithm is guarded."""
    f, name, scale = moved(result, 1), result.target.call.name, coefficient(result, "cost")
    base = f(0.5) - scale * math.log(2)
    seen = scan(lambda o: (f(o) - base) / scale, [0.0, 1.0])
    for point, value in seen:
        if not math.isfinite(value):
            words = (f"it is not finite at an output of exactly {point:g}, which float32 sigmoids reach; a cross-entropy of "
                    "logits stays finite")
            return [Finding("unusual", name, "log-of-zero", words, value, math.log(2), "at an output of 0.5 it is",
                            "np.logaddexp(0, logits) - x * logits")]
    if not seen:
        return []
    words = "probabilities are kept away from 0 and 1: a certain error has a finite cost"
    return [Finding("is", name, "clipped-probabilities", words, seen[0][1], math.inf, "the formula gives", "",
                    "clipped-probabilities")]


def far_logits(result: Measured) -> list[Finding]:
    """Compare a cross-entropy of logits with its formula at +-25, 60 and 800."""
    f, name, scale = moved(result, 1), result.target.call.name, coefficient(result, "cost")
    reached = 100 if not result.target.call.single else math.inf            # float32 overflows at 89
    x = 1.0 if result.target.binary else 0.5
    cost = COSTS["BCE(x, sigmoid(o))"]
    base = f(0.5) - scale * float(cost(x, 0.5))
    seen = scan(lambda o: (f(o) - base) / scale, [25.0, -25.0, 60.0, -60.0, 800.0, -800.0])
    left = departure(seen, lambda o: cost(x, o), 2e-3, 2e-3)
    if not left:
        return []
    point, value, wanted = left
    verdict, key = "unusual", "clipped-probabilities"
    words = f"it differs from its formula at a logit of {point:g}: probabilities are clipped, and the gradient there is 0"
    if not math.isfinite(value):
        verdict, key = "wrong" if abs(point) < reached else "unusual", "naive-softplus"
        words = f"it overflows at a logit of {point:g}: log(1 + exp(a)) as it is printed"
    return [Finding(verdict, name, key, words, value, wanted, "the formula gives", "np.logaddexp(0, logits) - x * logits",
                    key)]
