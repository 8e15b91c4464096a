"""Describe in words how an array from the user's code differs from the right array, if the difference is a known one."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUMBERS = {1.0: "", 2.0: "2", 0.5: "1/2", 4.0: "4", 0.25: "1/4"}
REL = 1e-6


class Probe(NamedTuple):
    """An array from the user's code, the right array, and the sizes of the inputs, such as {"B": 3, "D": 7, "J": 5}."""

    given: NDArray
    right: NDArray
    sizes: Mapping[str, int]


def close(a: NDArray, b: NDArray, rel: float = REL) -> bool:
    """Return True if two arrays have the same shape and differ by at most `rel` times the largest entry of `b`."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool((np.abs(a - b) <= rel * np.abs(b).max(initial=0) + 1e-12).all())


def ratio(given: NDArray, right: NDArray, rel: float = REL) -> float | None:
    """Return the number r for which `given = r * right` in every entry, or None."""
    given, right = np.ravel(given), np.ravel(right)
    square = right @ right
    if given.shape != right.shape or square == 0 or not np.isfinite(given).all():
        return None
    r = float(given @ right / square)
    return r if r and close(given, r * right, rel) else None


def name_ratio(found: Sequence[tuple[float, Mapping[str, int]]], rel: float = REL) -> str | None:
    """Return the simplest product of numbers and sizes, such as "1/2", "-1", "B" or "2 D/J", that equals the ratio.

    The product must equal the ratio at every probe. Return None if no product does. Only probes of different sizes can tell
    B = 2 from the number 2. So a size that is equal at all probes is left out.
    """
    letters = [letter for letter in found[0][1] if len({sizes[letter] for _, sizes in found}) > 1]
    powers = sorted(itertools.product((0, 1, -1), repeat=len(letters)), key=lambda p: (sum(map(abs, p)), [-n for n in p]))
    for power, (number, words), sign in itertools.product(powers, NUMBERS.items(), (1, -1)):
        def value(sizes):
            return sign * number * np.prod([float(sizes[letter]) ** p for letter, p in zip(letters, power)])

        if all(abs(r - value(sizes)) <= rel * abs(r) for r, sizes in found):
            return _product(sign, words, letters, power)
    return None


def _product(sign, number, letters, power):
    above = [letter for letter, p in zip(letters, power) if p == 1]
    below = [letter for letter, p in zip(letters, power) if p == -1]
    if number.startswith("1/"):
        number, below = "", [number[2:], *below]
    top, bottom = " ".join(filter(None, [number, *above])) or "1", " ".join(below)
    below_line = f"/({bottom})" if len(below) > 1 else f"/{bottom}" if below else ""
    return ("-" if sign < 0 else "") + top + below_line


def known_function(given: NDArray, right: NDArray, functions: Mapping[str, NDArray], rel: float = REL) -> str | None:
    """Return the name of an array in `functions` if this array times `right` equals `given` in every entry, else None.

    Return None also if `given` equals `right`.
    """
    for name, values in functions.items():
        if np.shape(values) == np.shape(right) and close(given, values * right, rel) and not close(given, right, rel):
            return name
    return None


def combination(given: NDArray, paths: Mapping[str, NDArray], rel: float = REL) -> dict[str, float] | None:
    """Return {name: factor} if `given` equals the sum of factor * array over the arrays in `paths`, else None."""
    if not paths:
        return None
    matrix = np.column_stack([np.ravel(path) for path in paths.values()])
    if matrix.shape[0] <= matrix.shape[1]:
        return None
    factors, *_ = np.linalg.lstsq(matrix, np.ravel(given), rcond=None)
    if not close(matrix @ factors, np.ravel(given), rel) or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    return dict(zip(paths, map(float, factors)))


def variant(given: NDArray, right: NDArray, others: Mapping[str, NDArray], rel: float = REL) -> str | None:
    """Return a phrase if `given` is zero, one of `others`, or the right array transposed or clipped; else None."""
    if not np.any(given) and np.any(right):
        return "zero everywhere"
    for name, other in others.items():
        if close(given, other, rel):
            return name
    if right.ndim == 2 and given.size == right.size:
        turned = right.T.ravel().reshape(given.shape) if given.shape == right.shape else right.T
        if close(given, turned, rel):
            return "the right array, transposed"
    if given.shape == right.shape:
        most = np.abs(given).max(initial=0)
        if 0 < most < np.abs(right).max() and close(given, np.clip(right, -most, most), rel):
            return f"the right array, clipped to +-{most:.6g}"
    return None


def columns(probes: Sequence[Probe], rel: float = REL) -> str | None:
    """Return "right, except for columns 2, 3" if some columns of a matrix are right and the others are not, else None."""
    given, right, _ = probes[0]
    if given.ndim != 2 or given.shape != right.shape or given.shape[1] < 2:
        return None
    wrong = [j for j in range(given.shape[1]) if not close(given[:, j], right[:, j], rel)]
    if not wrong or len(wrong) == given.shape[1]:
        return None
    return f"right, except for column{'s' * (len(wrong) > 1)} {', '.join(map(str, wrong))} (counted from 0)"


def describe(
    probes: Sequence[Probe],
    functions: Sequence[Mapping[str, NDArray]] = (),
    paths: Sequence[Mapping[str, NDArray]] = (),
    others: Sequence[Mapping[str, NDArray]] = (),
    rel: float = REL,
) -> str | None:
    """Return a phrase for the given array, such as "2 x the right array", or None if no phrase is true at every probe.

    `functions`, `paths` and `others` are lists with one dict {name: array} for each probe. For example, the phrase says
    that the given array is an array in `others`, the right array times an array in `functions`, or a sum of multiples of
    arrays in `paths`. A phrase about wrong columns is checked at the first probe only.
    """
    empty = [{}] * len(probes)
    functions, paths, others = functions or empty, paths or empty, others or empty
    ratios = [ratio(probe.given, probe.right, rel) for probe in probes]
    if None not in ratios:
        name = name_ratio([(r, probe.sizes) for r, probe in zip(ratios, probes)], rel)
        if name or np.ptp(ratios) <= rel * abs(ratios[0]):
            return f"{name or f'{ratios[0]:.6g}'} x the right array"
    said = set()
    for (given, right, _), known, other in zip(probes, functions, others):
        words = variant(given, right, other, rel)
        factor = known_function(given, right, known, rel) if words is None else None
        said.add(f"the right array x {factor}" if factor else words)
    if len(said) == 1 and None not in said:
        return said.pop()
    for count in (1, 2):
        for chosen in itertools.combinations(paths[0], count):
            combined = [combination(probe.given, {name: parts[name] for name in chosen}, rel)
                        for probe, parts in zip(probes, paths)]
            if None not in combined and (words := summed(combined, probes, rel)):
                return words
    return columns(probes, rel)


def summed(combined: Sequence[Mapping[str, float]], probes: Sequence[Probe], rel: float = REL) -> str | None:
    """Return a sum as a phrase, such as "the right array + 1/(2 B) x exp(log_var)".

    Each factor must be the same number at all probes, or a product such as 1/B. Otherwise, return None.
    """
    words = []
    for name in combined[0]:
        factors = [found[name] for found in combined]
        if max(map(abs, factors)) <= rel:
            continue
        known = name_ratio([(f, probe.sizes) for f, probe in zip(factors, probes)], 100 * rel)
        if not known and np.ptp(factors) > 100 * rel * abs(factors[0]):
            return None
        words.append(name if known == "1" else f"{known or f'{factors[0]:.6g}'} x {name}")
    return " + ".join(words).replace("+ -", "- ")
