"""Recognise some losses that are not sums of known terms; compare a function with its formula at extreme arguments.

Such a loss has a root or log of a mean squared error, or it has a KL with free bits or a capacity. The formula was
fitted at moderate arguments. At extreme arguments, the function may be clipped, constant, or not finite.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Failed
from minivae.doctor.findings import Finding
from minivae.doctor.names import Measured
from minivae.doctor.probe import DRAWS, Target, factor
from minivae.doctor.terms import COSTS, READINGS, kl_of, noise, rounded

SECOND = (2.3, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 80.0)
NAMES = {"mse": "(x - o)^2", "bce": "BCE(x, o)", "logits": "BCE(x, sigmoid(o))"}
STABLE = "np.logaddexp(0, logits) - x * logits"


def straight(x: NDArray, y: NDArray, enough: float) -> tuple[float, float] | None:
    """Fit a line to every second point; return (slope, constant), or None if any y is off the line by more than `enough`."""
    if not np.ptp(x) or np.ptp(y) <= 2 * enough:            # nearly equal y always lie on a line: this proves nothing
        return None
    slope, constant = np.polyfit(x[::2], y[::2], 1)
    return (slope, constant) if np.abs(slope * x + constant - y).max() <= enough else None


SQUARES = {
    "the mean of (x - o)^2 over all rows and features": lambda r: np.array([(r**2).mean()]),
    "the mean of (x - o)^2 over the features of a row": lambda r: (r**2).mean(axis=1),
    "the mean of (x - o)^2 over the rows of a feature": lambda r: (r**2).mean(axis=0),
    "(x - o)^2 of one entry": lambda r: (r**2).ravel(),
}
FUNCTIONS = (
    ("optimal-sigma", "is", np.log, "log(k)",
     "This is minus the log-density of a Gaussian with the optimal sigma, up to a factor and a constant"),
    ("root", "unusual", np.sqrt, "sqrt(k)",
     "If x - o goes to 0, the gradient of the root does not. For a Gaussian with a fixed sigma, the gradient goes to 0"),
)


def residual(target: Target, sizes: Mapping[str, int], rng: np.random.Generator) -> Finding | None:
    """Return a finding if the cost is a sum of roots or of logs of mean squared errors, else None."""
    x, o, m, s = target.draw(rng, sizes, DRAWS)
    values = target.values(x, o, *(np.repeat(a[:1], DRAWS, axis=0) for a in (m, s)))
    enough = 10 * noise(values, target.call.single)
    for of_what, mean in SQUARES.items():
        squares = [mean(a - b) for a, b in zip(x, o)]
        for key, verdict, f, form, meaning in FUNCTIONS:
            column = np.array([f(square).sum() for square in squares])
            if line := straight(column, values, enough):
                words = (f"in a test with B = {sizes['B']} and D = {sizes['D']}, the reconstruction is {line[0]:.6g} x "
                         f"{'the sum of ' * (squares[0].size > 1)}{form}, where k is {of_what}. {meaning}")
                return Finding(verdict, target.call.name, key, words, values[1], line[0] * column[1] + line[1])
    return None


TOTALS = {
    "one entry": lambda k: k.ravel(),
    "one row": lambda k: k.sum(axis=1),
    "one latent, averaged over the rows": lambda k: k.mean(axis=0),
    "one row, averaged over the rows": lambda k: np.array([k.sum(axis=1).mean()]),
    "the whole batch": lambda k: np.array([k.sum()]),
    "one entry, averaged over all entries": lambda k: np.array([k.mean()]),
}
BENDS = {
    "free-bits": (np.maximum, "max(k, {:.6g})", "free bits: where k is below {:.6g}, the gradient is 0"),
    "capacity": (lambda k, level: np.abs(k - level), "|k - {:.6g}|", "a capacity: k is pulled towards {:.6g}"),
}


def bent(target: Target, sizes: Mapping[str, int], rng: np.random.Generator) -> Finding | None:
    """Return a finding if the loss has max(KL, level) (free bits) or |KL - level| (a capacity), else None.

    To find the level, all entries of mu get the same value, which grows from 0 to 4. Then random draws have to confirm the
    formula.
    """
    x, o, m, s = target.draw(rng, sizes, DRAWS)
    m = m * np.linspace(0.05, 1.5, DRAWS)[:, None, None]
    scan_m = np.broadcast_to(np.linspace(0, 4, 161)[:, None, None], (161, *m.shape[1:]))

    def values_at(means, seconds):
        return target.values(*(np.repeat(a[:1], len(means), axis=0) for a in (x, o)), means, seconds)

    measured = {}                                           # {reading.neutral: (values at the draws, values in the scan)}
    for reading in READINGS:
        s_near = reading.neutral + (s - 1.6) * np.linspace(0, 0.3, DRAWS)[:, None, None]
        scan_s = np.full_like(scan_m, reading.neutral)
        if reading.neutral not in measured:
            measured[reading.neutral] = values_at(m, s_near), values_at(scan_m, scan_s)
        values, scanned = measured[reading.neutral]
        enough = 10 * noise(values, target.call.single)
        for over, total in TOTALS.items():
            along = np.array([total(kl)[0] for kl in kl_of(reading, scan_m, scan_s)])
            for key, level in levels(along, scanned, enough):
                bend, form, meaning = BENDS[key]
                column = np.array([bend(total(kl), level).sum() for kl in kl_of(reading, m, s_near)])
                if line := straight(column, values, enough):
                    words = (f"in a test with B = {sizes['B']} and J = {sizes['J']}, the KL enters as {line[0]:.6g} x "
                             f"{'the sum of ' * (total(m[0]).size > 1)}{form.format(level)}, where k is the KL of {over}. "
                             f"This is {meaning.format(level)}")
                    return Finding("unusual", target.call.name, key, words, values[-1], line[0] * column[-1] + line[1])
    return None


def levels(k: NDArray, y: NDArray, enough: float) -> Iterator[tuple[str, float]]:
    """Yield ("free-bits", level) if y(k) is constant at first and linear later.

    Yield ("capacity", level) if y(k) falls at first and is linear later.
    """
    far = k > 0.6 * k[-1]
    if line := straight(k[far], y[far], enough):
        slope, constant = line
        if abs(y[0] - y[3]) <= enough:
            yield "free-bits", rounded((y[0] - constant) / slope, 10 * enough / abs(slope))
        elif y[1] < y[0]:
            yield "capacity", rounded((y[0] - constant) / (2 * slope), 10 * enough / abs(slope))


def far_from_the_fit(result: Measured) -> list[Finding]:
    """Return findings about extreme arguments, at which the formula was not fitted."""
    found = far_kl(result) if result.kl and result.kl.known else []
    if result.cost and result.cost.kind in NAMES:
        found += {"mse": far_square, "bce": at_certainty, "logits": far_logits}[result.cost.kind](result)
    return found


def scan(result: Measured, which: int, points: Iterable[float]) -> dict[float, float]:
    """Set the first entry of one argument to each point in turn, and call the function. Return {point: result}.

    `which` is the index of this argument in (x, output, mu, log_var). Points at which the function raises an error are left
    out.
    """
    found = {}
    for point in points:
        arguments = [np.full((result.sizes["B"], result.sizes[letter]), value)
                     for letter, value in (("D", middle(result)), ("D", 0.5), ("J", 0.0), ("J", 1.0))]
        arguments[which][0, 0] = point
        with contextlib.suppress(Failed):
            found[point] = result.target(*arguments)
    return found


def middle(result: Measured) -> float:
    """Return the value that all entries of x have in a scan."""
    return 1.0 if result.target.binary else 0.5


def scan_cost(result: Measured, points: Iterable[float]) -> list[tuple[float, float]]:
    """Return pairs (point, cost): each point is the value of one output, and all other outputs are 0.5.

    Each cost is divided by its weight. Then a constant is added, so that costs and formula agree at an output of 0.5.
    """
    scale, at_half = coefficient(result, "cost"), float(COSTS[NAMES[result.cost.kind]](middle(result), 0.5))
    costs = scan(result, 1, (0.5, *points))
    base = costs.pop(0.5, math.nan)
    return [(point, (value - base) / scale + at_half) for point, value in costs.items() if math.isfinite(base)]


def coefficient(result: Measured, part: str) -> float:
    """Return the number by which the user's function multiplies each entry of the cost or of the KL, at the tested sizes."""
    return getattr(result, part).weight * factor(result.sizes, result.powers[part])


def departure(seen: Iterable[tuple], formula: Callable[[float], float], rel: float, more: float) -> tuple | None:
    """Return (point, value, result of the formula) for the first point at which value and formula differ, else None.

    Points at which the formula is not finite are left out.
    """
    for point, value in seen:
        wanted = float(formula(point))
        if math.isfinite(wanted) and not abs(value - wanted) <= rel * abs(wanted) + more:
            return point, value, wanted
    return None


def far_kl(result: Measured) -> list[Finding]:
    """Compare the KL with its formula at second arguments up to 80; in float32, up to 30.

    If the second argument may be negative (it is not sigma or a variance), compare also at arguments down to -80 or -30.
    """
    reading, name, single = result.kl.reading, result.target.call.name, result.target.call.single
    scale, base = coefficient(result, "kl"), scan(result, 3, [1.0]).get(1.0, math.nan)
    for sign in (1,) if reading.name in ("sigma", "variance") else (1, -1):
        seen = [*scan(result, 3, [sign * point for point in SECOND if not (single and point > 30)]).items()]
        left = departure(seen, lambda s: base + scale * (kl_of(reading, 0.0, s) - kl_of(reading, 0.0, 1.0)), 1e-4,
                         50 * noise(np.array([base]), single))
        if left:
            point, value, wanted = left
            if not math.isfinite(value):
                words = f"the KL is not finite where the second argument is {point:g}"
                return [Finding("wrong" if abs(point) <= 20 else "unusual", name, "kl-overflow", words, value, wanted,
                                "by the formula of the KL")]
            words = f"the KL differs from its formula where the second argument is {point:g}"
            if seen[-1][0] != point and abs(seen[-1][1] - value) <= 1e-6 * abs(value):
                words = (f"the KL is constant where the second argument {'exceeds' if sign > 0 else 'is below'} {point:g}: "
                         "the argument is clipped, and its gradient is 0")
            return [Finding("unusual", name, "clipped-log-var", words, value, wanted, "by the formula of the KL")]
    return []


def far_square(result: Measured) -> list[Finding]:
    """Compare a squared error with its formula at large residuals. There, a Huber cost is linear, not quadratic."""
    x = middle(result)

    def costs(*residuals):
        return [(point - x, cost) for point, cost in scan_cost(result, [x + r for r in residuals])]

    left = departure(costs(2.0, 5.0, 20.0, 100.0), lambda r: r * r, 1e-3, 0.0)
    if not left:
        return []
    key, words = "no-square", f"the reconstruction is no longer a square at a residual of {left[0]:g}"
    if delta := huber(lambda r: dict(costs(r)).get(r, math.nan)):
        key, words = "huber", f"the reconstruction is a Huber cost: quadratic up to |x - o| = {delta:.4g}, linear beyond"
        result.cost.kind, result.cost.level = "huber", delta
    return [Finding("unusual", result.target.call.name, key, words, *left[1:],
                    f"for a residual of {left[0]:g}, a squared error is")]


def huber(value: Callable[[float], float]) -> float | None:
    """Return delta if the cost of a residual r is quadratic up to delta and linear beyond, else None.

    `value(r)` is the measured cost, scaled so that the cost is r^2 for small r. For r above delta, a Huber cost is
    delta (2 r - delta).
    """
    delta = 50 - np.sqrt(max(50.0**2 - value(50.0), 0))
    for r in (delta / 2, 1.5 * delta + 0.1, 20.0, 100.0):
        right = r * r if r <= delta else delta * (2 * r - delta)
        if not abs(value(r) - right) <= 1e-4 * max(right, 1e-3):
            return None
    return delta


def at_certainty(result: Measured) -> list[Finding]:
    """Measure the cost at outputs 0 and 1, where a cross-entropy is infinite unless probabilities are clipped."""
    name, seen = result.target.call.name, scan_cost(result, [0.0, 1.0])
    for point, value in seen:
        if not math.isfinite(value):
            words = (f"the cross-entropy is not finite at an output of exactly {point:g}, which float32 sigmoids reach; a "
                     "cross-entropy of logits stays finite")
            return [Finding("unusual", name, "log-of-zero", words, value, math.log(2), "at an output of 0.5, it is", STABLE)]
    words = "probabilities are kept away from 0 and 1: a wrong output of exactly 0 or 1 has a finite cost"
    return [Finding("is", name, "clipped-probabilities", words, value, math.inf, "the formula gives", "",
                    "clipped-probabilities") for _, value in seen[:1]]


def far_logits(result: Measured) -> list[Finding]:
    """Compare a cross-entropy of logits with its formula at logits of +-25, +-60 and +-800."""
    # In float32, exp(a) overflows from a = 89 on, so every overflow gets the verdict "wrong". In float64, only an overflow
    # at a logit between -100 and 100 gets this verdict.
    reached = 100 if not result.target.call.single else math.inf
    left = departure(scan_cost(result, [25.0, -25.0, 60.0, -60.0, 800.0, -800.0]),
                     lambda o: COSTS[NAMES["logits"]](middle(result), o), 2e-3, 2e-3)
    if not left:
        return []
    point, value, wanted = left
    verdict, key = "unusual", "clipped-probabilities"
    words = (f"the cross-entropy differs from its formula at a logit of {point:g}: probabilities are clipped, and the "
             "gradient there is 0")
    if not math.isfinite(value):
        verdict, key = "wrong" if abs(point) < reached else "unusual", "naive-softplus"
        words = f"the cross-entropy overflows at a logit of {point:g}, as log(1 + exp(a)) does in floating point"
    return [Finding(verdict, result.target.call.name, key, words, value, wanted, "the formula gives", STABLE, key)]
