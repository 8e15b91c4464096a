"""The dictionary of known terms, and a fit of measured numbers by as few terms as possible, exact up to rounding.

A loss is a sum of terms with coefficients. A term applies a known function to each entry of its arrays and sums the results.

`x` and `o` (output) have shape (N, B, D). `m` (mu) and `s` (log_var or sigma or ..., see READINGS) have shape (N, B, J).
Terms have shape (N,).
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.ops import sigmoid, softplus

NOISE = {False: 2e-10, True: 6e-7}                          # largest relative rounding error; the key is True for float32


class Reading(NamedTuple):
    """A meaning of the second argument s of a KL, such as log-variance or sigma.

    The KL of one entry is `(m^2 + spread - 1) / 2 - factor * log`.
    """

    name: str
    spread: str                 # the term that is sigma^2
    log: str                    # the term that is a multiple of log sigma
    factor: float               # log sigma = factor * log, where `log` is the term above
    sigma: Callable             # sigma as a function of the second argument
    neutral: float              # the value of the second argument at which sigma is 1
    code: str                   # a Python expression for sigma


READINGS = (
    Reading("log-variance", "exp(s)", "s", 0.5, lambda s: np.exp(s / 2), 0.0, "np.exp(log_var / 2)"),
    Reading("log sigma", "exp(2s)", "s", 1.0, np.exp, 0.0, "np.exp(log_sigma)"),
    Reading("sigma", "s^2", "log s", 1.0, lambda s: s, 1.0, "sigma"),
    Reading("variance", "s", "log s", 0.5, np.sqrt, 1.0, "np.sqrt(variance)"),
    Reading("softplus", "sp^2", "log sp", 1.0, softplus, float(np.log(np.e - 1)), "np.log1p(np.exp(s))"),
    Reading("softplus variance", "sp", "log sp", 0.5, lambda s: np.sqrt(softplus(s)), float(np.log(np.e - 1)),
            "np.sqrt(np.log1p(np.exp(s)))"),
    Reading("log precision", "exp(-s)", "s", -0.5, lambda s: np.exp(-s / 2), 0.0, "np.exp(-log_precision / 2)"),
)  # fmt: skip


def kl_of(reading: Reading, m: NDArray, s: NDArray) -> NDArray:
    """Return KL(N(m, sigma^2) || N(0, 1)) for each entry; reading.sigma(s) is sigma."""
    sigma = reading.sigma(s)
    return (m * m + sigma * sigma - 1) / 2 - np.log(sigma)


KL_TERMS = {
    "m^2": lambda m, s: m * m, "exp(s)": lambda m, s: np.exp(s), "s": lambda m, s: s, "exp(2s)": lambda m, s: np.exp(2 * s),
    "s^2": lambda m, s: s * s, "log s": lambda m, s: np.log(s), "sp^2": lambda m, s: softplus(s) ** 2,
    "log sp": lambda m, s: np.log(softplus(s)), "sp": lambda m, s: softplus(s), "exp(s/2)": lambda m, s: np.exp(s / 2),
    "exp(-s)": lambda m, s: np.exp(-s), "exp(-2s)": lambda m, s: np.exp(-2 * s), "|m|": lambda m, s: np.abs(m),
    "m": lambda m, s: m,
    "m^2 exp(-s)": lambda m, s: m * m * np.exp(-s), "m s": lambda m, s: m * s, "m^2 exp(s)": lambda m, s: m * m * np.exp(s),
    "m^2 / s": lambda m, s: m * m / s, "sqrt s": lambda m, s: np.sqrt(s), "(1/s)": lambda m, s: 1 / s,
}  # fmt: skip


def kl_terms(m: NDArray, s: NDArray, guard: float = 0.0) -> dict[str, NDArray]:
    """Return the terms of a KL, summed over rows and latents.

    With a guard g > 0, "log s" is log(s + g). With a guard g < 0, "log s" is log(s^2 - g) / 2.
    """
    with np.errstate(all="ignore"):                         # log s is not finite for s <= 0; a fit uses finite terms only
        terms = {name: term(m, s).sum(axis=(1, 2)) for name, term in KL_TERMS.items()}
    if guard:
        terms["log s"] = (np.log(s + guard) if guard > 0 else np.log(s * s - guard) / 2).sum(axis=(1, 2))
    return terms


COSTS = {
    "(x - o)^2": lambda x, o: (x - o) ** 2,
    "BCE(x, o)": lambda x, o: -x * np.log(o) - (1 - x) * np.log(1 - o),
    "BCE(x, sigmoid(o))": lambda x, o: softplus(o) - x * o,
    "|x - o|": lambda x, o: np.abs(x - o),
    "BCE(o, x)": lambda x, o: -o * np.log(x) - (1 - o) * np.log(1 - x),
    "-x log o": lambda x, o: -x * np.log(o),
    "-(1 - x) log(1 - o)": lambda x, o: -(1 - x) * np.log(1 - o),
    "BCE(x, sigmoid(sigmoid(o)))": lambda x, o: softplus(sigmoid(o)) - x * sigmoid(o),
    "(x - sigmoid(o))^2": lambda x, o: (x - sigmoid(o)) ** 2,
    "(x - tanh(o))^2": lambda x, o: (x - np.tanh(o)) ** 2,
    "softplus(o)": lambda x, o: softplus(o),
    "x o": lambda x, o: x * o,
    "o": lambda x, o: o,
    "exp(o)": lambda x, o: np.exp(o),
    "log o": lambda x, o: np.log(o),
    "log(1 - o)": lambda x, o: np.log(1 - o),
    "(x - o)": lambda x, o: x - o,
    "|x - o|^3": lambda x, o: np.abs(x - o) ** 3,
    "(x - o)^4": lambda x, o: (x - o) ** 4,
    "log cosh(x - o)": lambda x, o: np.log(np.cosh(x - o)),
    "x^2": lambda x, o: x * x,
    "x": lambda x, o: x,
    "entropy of x": lambda x, o: -x * np.log(x) - (1 - x) * np.log(1 - x),
    "log C(o)": lambda x, o: np.log(2 * np.arctanh(1 - 2 * o) / (1 - 2 * o)),       # continuous Bernoulli
}  # fmt: skip
INNER = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)                 # guards: numbers added inside a logarithm
FIRST = {                                                   # tried first among the sets with an equal number of terms
    "cost": (("o", "-x log o"), ("exp(o)", "x o"), ("BCE(x, o)", "log C(o)"), ("BCE(x, o)", "entropy of x")),
    "kl": tuple((*mean, reading.spread, reading.log) for mean in (("m^2",), ("m^2", "m")) for reading in READINGS),
}
MOST = {"cost": 2, "kl": 3}                                 # largest number of terms in a set that is not in FIRST
GUARDED = {"cost": (("BCE(x, o)",), ("-x log o",)), "kl": (("m^2", "s^2", "log s"), ("m^2", "s", "log s"))}
GUARDS = {"cost": INNER, "kl": (*INNER, *(-e for e in INNER))}


def cost_terms(x: NDArray, o: NDArray, guard: float = 0.0) -> dict[str, NDArray]:
    """Return the terms of a cost, summed over rows and features. Terms that are not finite at these points are left out.

    With a guard g, the cross-entropy contains log(o + g) and log(1 - o + g) instead of log(o) and log(1 - o).
    """
    with np.errstate(all="ignore"):
        terms = {name: cost(x, o).sum(axis=(1, 2)) for name, cost in COSTS.items()}
    if guard:
        halves = (-x * np.log(o + guard)).sum(axis=(1, 2)), (-(1 - x) * np.log(1 - o + guard)).sum(axis=(1, 2))
        terms |= {"BCE(x, o)": halves[0] + halves[1], "-x log o": halves[0], "-(1 - x) log(1 - o)": halves[1]}
    return {name: term for name, term in terms.items() if np.isfinite(term).all()}


class Fit(NamedTuple):
    """A fit: each value is the constant + the sum of coefficient * term, with an error of at most `residual`."""

    coefficients: dict[str, float]
    constant: float
    residual: float             # largest error of a value
    errors: dict[str, float]    # largest error of each coefficient
    guard: float = 0.0          # small number inside a logarithm of the user's code; see `cost_terms`, `kl_terms`

    def at(self, terms: Mapping[str, NDArray]) -> NDArray:
        """Return the values of this fit at the points at which `terms` was computed."""
        nothing = np.zeros_like(next(iter(terms.values())))
        return sum((c * terms[name] for name, c in self.coefficients.items()), self.constant + nothing)


def noise(values: NDArray, single: bool) -> float:
    """Return the largest rounding error that `values` may have."""
    return NOISE[single] * float(np.abs(values).max(initial=0)) + 1e-14


def fit(values: NDArray, terms: Mapping[str, NDArray], single: bool, first: Iterable[tuple] = (),
        most: int = 3) -> Fit | None:
    """Return the first fit that is exact up to rounding, or None.

    If all values are equal, the fit is a constant. Otherwise a fit uses a tuple of terms. A tuple in `first` is skipped if
    one of its terms is not in `terms`. The first tuple in `first` is tried before all others. The fit of this tuple is
    accepted only if the absolute value of each coefficient is larger than its error. Then all tuples are tried from short
    to long; of each length, the tuples in `first` are tried before the others. A tuple that is not in `first` has at most
    `most` terms.
    """
    enough = noise(values, single)
    if not np.isfinite(values).all():
        return None
    if np.ptp(values) <= 2 * enough:
        return Fit({}, float(values.mean()), float(np.ptp(values)), {})
    known = [names for names in first if names and set(names) <= set(terms)]
    if known and (found := by(values, terms, known[0], enough)):
        if all(abs(c) > found.errors[name] for name, c in found.coefficients.items()):
            return found
    for size in range(1, max([most, *map(len, known)]) + 1):
        subsets = [names for names in known if len(names) == size]
        for names in itertools.chain(subsets, itertools.combinations(terms, size) if size <= most else ()):
            if found := by(values, terms, names, enough):
                return found
    return None


def by(values: NDArray, terms: Mapping[str, NDArray], names: tuple, enough: float) -> Fit | None:
    """Return the least-squares fit of `values` by the terms in `names` and a constant; None if a residual is above `enough`.

    Return None also if these terms and the constant are linearly dependent, or if a term is zero everywhere or not finite.
    """
    matrix = np.column_stack([*(terms[name] for name in names), np.ones(len(values))])
    scale = np.abs(matrix).max(axis=0)
    if not np.isfinite(scale).all() or not scale.all():
        return None
    q, r = np.linalg.qr(matrix / scale)
    if np.abs(np.diag(r)).min() < 1e-9 * len(values) ** 0.5:
        return None
    inside = q.T @ values
    residual = float(np.abs(values - q @ inside).max())
    if residual > enough:
        return None
    inverse = np.linalg.inv(r)
    solution = inverse @ inside / scale
    error = enough * np.abs(inverse).sum(axis=1) / scale
    return Fit(dict(zip(names, map(float, solution))), float(solution[-1]), residual, dict(zip(names, map(float, error))))


def rounded(value: float, error: float) -> float:
    """Return the number with the fewest digits that is within `error` of the value: 0.25 for 0.2500000003."""
    for digits in range(1, 16):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= max(error, 1e-13 * abs(value)):
            return short
    return value
