"""Measure a function of the user at several sizes: its terms, and the powers of B, D and J in front of them."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed
from minivae.doctor.terms import FIRST, GUARDED, GUARDS, MOST, Fit, by, cost_terms, fit, kl_terms, noise

SIZES = {"B": 3, "D": 7, "J": 5}                            # three different sizes, to tell the axes of an array apart
MOVED = {"B": 5, "D": 11, "J": 2}
DRAWS, FRESH = 48, 8


class Terms(NamedTuple):
    """The terms of a function at given sizes. `example` has the values of the function and of its fit at a new point."""

    cost: Fit | None
    kl: Fit | None
    constant: float | None = None
    additive: bool = False
    example: tuple[float, float] = (math.nan, math.nan)


class Target(NamedTuple):
    """The user's loss, kl or log_px_given_z as a function of (x, o, m, s) that returns one number."""

    call: Call
    average: bool               # measure the mean of a returned array, not the sum
    binary: bool = False        # draw x from {0, 1}

    @property
    def parts(self) -> list[str]:
        """The parts of the function: "cost", "kl", or both."""
        return ["cost"] * (self.call.name != "kl") + ["kl"] * (self.call.name != "log_px_given_z")

    def arguments(self, x: NDArray, o: NDArray, m: NDArray, s: NDArray) -> list[NDArray]:
        """Return the arguments that the function takes: x and o, m and s, or all four."""
        return [x, o] * ("cost" in self.parts) + [m, s] * ("kl" in self.parts)

    def __call__(self, x: NDArray, o: NDArray, m: NDArray, s: NDArray) -> float:
        """Return the result of the function as one number."""
        value = self.call.whole(*self.arguments(x, o, m, s))
        return float(value.mean() if self.average else value.sum())

    def one(self, rng: np.random.Generator, sizes: Mapping[str, int]) -> list[NDArray]:
        """Draw x, o, m and s once."""
        return [draws[0] for draws in self.draw(rng, sizes, 1)]

    def draw(self, rng: np.random.Generator, sizes: Mapping[str, int], n: int) -> list[NDArray]:
        """Draw x, o, m and s n times. o can be a probability or a logit; s can be a variance, a sigma or a log_var."""
        wide, narrow = (n, sizes["B"], sizes["D"]), (n, sizes["B"], sizes["J"])
        x, o = rng.uniform(0.06, 0.94, wide), rng.uniform(0.06, 0.94, wide)
        if self.binary:
            x = (x > 0.5).astype(float)
        return [x, o, rng.uniform(-2.5, 2.5, narrow), rng.uniform(0.12, 3.2, narrow)]

    def values(self, *draws: NDArray) -> NDArray:
        """Return the results of the function, (N,), one for each draw of the arguments."""
        return np.array([self(*arguments) for arguments in zip(*draws)])


def fitted(part: str, values: NDArray, draws: list, single: bool, hint: tuple) -> Fit | None:
    """Fit the terms of the cost or of the KL. Try the terms in `hint` first, and terms such as log(o + 1e-7) last."""
    terms = {"cost": cost_terms, "kl": kl_terms}[part]
    if found := fit(values, terms(*draws), single, (hint, *FIRST[part]), MOST[part]):
        return found
    for guard in GUARDS[part]:
        columns = terms(*draws, guard)
        for names in GUARDED[part]:
            if near := by(values, columns, names, noise(values, single)):
                return near._replace(guard=guard)
    return None


def terms_at(target: Target, sizes: Mapping[str, int], rng: np.random.Generator, before: Terms | None = None) -> Terms:
    """Find the terms of the cost and of the KL: fit them to results of the user's function for arrays of these sizes.

    New draws of all arguments then show whether the fitted terms predict the results.

    `before`: the terms found at other sizes. The fit tries these terms first. A part that has no fit in `before` is not
    fitted.
    """
    draws, base = target.draw(rng, sizes, DRAWS), [np.repeat(a, DRAWS, axis=0) for a in target.draw(rng, sizes, 1)]
    nothing, single = Fit({}, 0.0, 0.0, {}), target.call.single
    fits = {"cost": nothing, "kl": nothing}
    for part in target.parts:
        hint = getattr(before, part) if before else nothing
        moved = [*draws[:2], *base[2:]] if part == "cost" else [*base[:2], *draws[2:]]
        arguments = draws[:2] if part == "cost" else draws[2:]
        fits[part] = hint and fitted(part, target.values(*moved), arguments, single, tuple(hint.coefficients))
    cost, kl = fits.values()
    if cost is None or kl is None:
        return Terms(cost, kl)
    fresh = target.draw(rng, sizes, FRESH)
    measured = target.values(*fresh)
    predicted = cost.at(cost_terms(*fresh[:2], cost.guard)) + kl.at(kl_terms(*fresh[2:], kl.guard))
    rest = measured - predicted
    # The arguments of the KL were fixed while the cost was fitted, so the constant of the cost's fit includes the KL. In the
    # same way, the constant of the KL's fit includes the cost. `off` corrects the sum of the two constants.
    off = np.median(rest)
    additive = bool(np.ptp(rest) <= 8 * noise(measured, single) + cost.residual + kl.residual)
    return Terms(cost, kl, cost.constant + kl.constant + off, additive, (measured[0], predicted[0] + off))


def at_all_sizes(target: Target, sizes: Mapping[str, int], rng: np.random.Generator) -> tuple[dict, dict[str, str]]:
    """Fit the terms at the given sizes, and again after a change of one size: B, D or J.

    Return two dictionaries: {letter: (sizes, Terms)}, and {letter: error} for sizes at which the function raises an error.
    A letter names the changed size; the letter "" means the given sizes.
    """
    letters = ["B", *({"cost": "D", "kl": "J"}[part] for part in target.parts)]
    found, refused = {"": (sizes, terms_at(target, sizes, rng))}, {}
    for letter in letters:
        other = {**sizes, letter: MOVED[letter] if sizes[letter] != MOVED[letter] else MOVED[letter] + 1}
        try:
            found[letter] = (other, terms_at(target, other, rng, found[""][1]))
        except Failed as error:
            refused[letter] = str(error)
    return found, refused


def powers(found: Mapping[str, tuple], part: str) -> dict[str, int] | None:
    """Return {letter of a size: p}: all coefficients of the part "cost" or "kl" are proportional to size^p.

    For example, p for B is -1 if the user's function takes the mean over B, and 0 if no coefficient depends on B. Return
    None in three cases: some p is not a whole number; two coefficients have different p; or the part has different terms
    at different sizes.
    """
    base_sizes, base = found[""]
    first = getattr(base, part)
    result = {}
    for letter, (sizes, terms) in found.items():
        if not letter:
            continue
        other = getattr(terms, part)
        if other is None or set(other.coefficients) != set(first.coefficients):
            return None
        seen = set()
        for name, c in first.coefficients.items():
            d = other.coefficients[name]
            if c == 0 or not 0 < d / c < math.inf:
                return None
            logs = math.log(sizes[letter] / base_sizes[letter])
            power = math.log(d / c) / logs
            error = 1e-6 + 2 * (first.errors[name] / abs(c) + other.errors[name] / abs(d)) / abs(logs)
            if abs(power - round(power)) > error or error > 0.4:
                return None
            seen.add(round(power))
        if len(seen) > 1:
            return None
        result[letter] = seen.pop() if seen else 0
    return result


def silent(target: Target, arguments: list[NDArray], which: int, among: NDArray, far: tuple = ()) -> NDArray:
    """Return a mask for argument number `which`: True for each entry that does not affect the result.

    Only entries where the mask `among` is True are tested. Each entry is replaced by another value of its usual range, and
    then by each value in `far`. If the result stays equal, the entry does not affect it.
    """
    base, still = target(*arguments), among.copy()
    low, high = ((0, 1) if target.binary else (0.1, 0.9)) if which < 2 else (0.3, 2.9)
    for place in zip(*np.nonzero(among)):
        for point in (high if arguments[which][place] < (low + high) / 2 else low, *far):
            moved = [a.copy() for a in arguments]
            moved[which][place] = point
            still[place] &= abs(target(*moved) - base) <= noise(np.array([base]), target.call.single)
    return still


def factor(sizes: Mapping[str, int], powers: Mapping[str, int]) -> float:
    """Return the product of all sizes, each raised to its power."""
    return math.prod(float(sizes[letter]) ** power for letter, power in powers.items())
