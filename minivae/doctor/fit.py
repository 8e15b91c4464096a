"""Find the few terms that a measured function is made of: the smallest subset whose residual is only rounding."""

import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOISE = {False: 2e-10, True: 6e-7}                          # relative to the values: float64, float32


class Fit(NamedTuple):
    """values = sum over names of coefficient x term + constant, up to `residual`."""

    coefficients: dict[str, float]
    constant: float
    residual: float             # largest
    errors: dict[str, float]    # how far each coefficient may be off
    guard: float = 0.0          # the small number inside a logarithm

    def at(self, terms: Mapping[str, NDArray]) -> NDArray:
        """Return the values of this fit at other points."""
        nothing = np.zeros_like(next(iter(terms.values())))
        return sum((c * terms[name] for name, c in self.coefficients.items()), self.constant + nothing)


def noise(values: NDArray, single: bool) -> float:
    """Return the rounding error that values of this size may have."""
    return NOISE[single] * float(np.abs(values).max(initial=0)) + 1e-14


def fit(values: NDArray, terms: Mapping[str, NDArray], single: bool, first: Iterable[tuple] = (),
        most: int = 3) -> Fit | None:
    """Return the smallest fit by at most `most` terms and a constant, those of `first` before others; None without one."""
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
    """Return the least-squares fit by these terms and a constant, if its residual is at most `enough`, else None.

    None also if the terms are dependent at these points, or not finite.
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
    """Return the number with the fewest digits within `error` of the value: 0.25 for 0.2500000003."""
    for digits in range(1, 16):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= max(error, 1e-13 * abs(value)):
            return short
    return value
