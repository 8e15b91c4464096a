"""The sentences about one wrong array: its shape, its ratio to the right one, a known change, its largest error."""

import copy
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.words import Probe, close, describe, ratio
from minivae.exercises.catalogue import Draw, Part
from minivae.exercises.cut import compiled, tree_of
from minivae.exercises.pupil import HOW
from minivae.exercises.variants import VAGUE, Variant
from minivae.ops import sigmoid

REL = 1e-5                                                  # of the largest entry: float32 and other orders of sums pass


class Given(NamedTuple):
    """Results of a submission: a list of arrays for each draw; None is a result that is still `...`."""

    arrays: Sequence[list]
    warned: Sequence[str] = ()                              # warnings by NumPy, at the first draw
    names: frozenset[str] | None = None                     # that occur in the learner's file; None if it is not known


def agree(given: NDArray, right: NDArray) -> bool:
    """Return True if two arrays are equal within `REL` of the largest entry; inf and nan must be equal exactly."""
    if given.shape != right.shape:
        return False
    infinite = ~np.isfinite(right)
    if not np.array_equal(given[infinite], right[infinite], equal_nan=True):
        return False
    return close(np.where(infinite, 0, given), np.where(infinite, 0, right), REL)


def unwritten(part: Part, i: int, array: NDArray) -> bool:
    """Return True if an array that the function had to write is still the nan that it got."""
    return part.written is not None and i >= part.count and bool(np.isnan(array).all())


def words_of(part: Part, draws: Sequence[Draw], arrays: tuple, i: int, given: Given, said: Sequence[Variant],
             known: bool) -> tuple[str, ...]:
    """Return the sentences about one wrong array; `arrays` are the learner's and the right ones of every draw."""
    mine, truth = ([each[i] for each in one] for one in arrays)
    sizes, words = [draw.sizes for draw in draws], []
    other = [k for k, (a, b) in enumerate(zip(mine, truth)) if a.shape != b.shape]
    if other:
        k = other[0]
        words.append(f"has shape {letters(mine[k], part, sizes[k])} instead of {letters(truth[k], part, sizes[k])}")
        words += reduced(mine, truth, part, sizes[0])
    elif unwritten(part, i, mine[0]):
        return (f"{part.results[i]} was not written",)
    elif len(bad := np.argwhere(~np.isfinite(mine[0]) & (mine[0] != truth[0]))):
        place = bad[0]
        words.append(f"is {mine[0][tuple(place)]} at {at(place)}, where {truth[0][tuple(place)]:.6g} is right")
        words += [f"NumPy warned: {'; '.join(given.warned[:3])}"] if given.warned else []
    elif np.isfinite(truth[0]).all() and (equal := equals(part, draws, mine, arrays[1], i, given.names)):
        words.append(equal)
    most = 2 if not words else 0 if "missing" in words[-1] else 1
    if mine[0].any() and (likely := changes(said, given.names, most)):
        words.append(f"the same numbers come from the solution with one change: {'; or '.join(likely)}")
    if not other:
        words.append(numbers(mine[0], truth[0], bool(words) or known))
    return tuple(words)


def changes(named: Sequence[Variant], names: frozenset[str] | None, most: int) -> list[str]:
    """Return at most three wordings, the likely ones alone; a name that is not in the learner's file is not said."""
    likely = min([variant.rank for variant in named], default=0)
    said = dict.fromkeys(variant.said(names) for variant in named if variant.rank == likely <= most)
    return [words for words in said if most == 2 or not words.endswith(VAGUE)][:3]


def letters(array: NDArray, part: Part, sizes: Mapping[str, int]) -> str:
    """Return "(5, 2) = (B, J)"."""
    names = {size: letter for letter, size in sizes.items() if letter in part.letters}
    spelled = ", ".join(names.get(n, str(n)) for n in array.shape)
    return f"{array.shape}, that is ({spelled}{',' if array.ndim == 1 else ''})" if array.shape else "()"


def reduced(mine: list, right: list, part: Part, sizes: Mapping[str, int]) -> list[str]:
    """Return the words for an array that differs from the right one by a sum or a mean over one axis."""
    names = {size: letter for letter, size in sizes.items() if letter in part.letters}
    if right[0].ndim == 0 and all(agree(a.sum(), b) for a, b in zip(mine, right)):
        return ["the sum is missing"]
    for one, other, words in ((right, mine, "you also took the {} over {}"),
                              (mine, right, "the {} over {} is missing")):
        for axis, n in enumerate(one[0].shape):
            for how in ("sum", "mean"):
                if all(a.ndim > axis and a.size and agree(getattr(a, how)(axis=axis), b) for a, b in zip(one, other)):
                    return [words.format(how, names.get(n, n))]
    return []


def at(place: Sequence[int]) -> str:
    """Return the place of an entry: "[3, 1]"."""
    return f"[{', '.join(map(str, place))}]" if len(place) else "the only entry"


def numbers(mine: NDArray, right: NDArray, known: bool) -> str:
    """Return how many entries differ, and the largest difference."""
    with np.errstate(invalid="ignore"):
        apart = np.where(mine == right, 0, np.nan_to_num(np.abs(mine - right), nan=np.inf))
    place = np.unravel_index(np.argmax(apart), right.shape)
    off = int((apart > REL * np.abs(right[np.isfinite(right)]).max(initial=0)).sum())
    text = f"{off} of {right.size} entries differ; " \
           f"at {at(place)} yours is {mine[place] + 0:.6g}, right is {right[place]:.6g}"
    return text if known else f"undecided: no known ratio, path or change fits. {text}"


def equals(part: Part, draws: Sequence[Draw], mine: list, right: list, i: int, names: frozenset[str] | None) -> str:
    """Return what a wrong array equals, in the words of the doctor and with names in the learner's file, or ""."""
    truth = [arrays[i] for arrays in right]
    inside = [{n: v for n, v in locals_of(part, draw).items() if names is None or n in names} for draw in draws]
    probes = [Probe(a, b, draw.sizes_of(part.letters)) for a, b, draw in zip(mine, truth, draws)]
    functions = [factors(values, b) for values, b in zip(inside, truth)]
    paths = [{"the right array": b} | {n: v for n, v in values.items() if v.shape == b.shape and ratio(v, b) is None}
             for values, b in zip(inside, truth)]  # fmt: skip
    others = [{f"the right {part.results[j]}": a for j, a in enumerate(arrays) if j != i and a.shape == arrays[i].shape}
              | {f"the input {n}, unchanged": values[n] for n in part.arguments() if n in values
                 and values[n].shape == arrays[i].shape and ratio(values[n], arrays[i]) is None}
              for arrays, values in zip(right, inside)]  # fmt: skip
    shared = set.intersection(*(set(each) for each in paths))
    said = describe(probes, functions, [{n: v for n, v in each.items() if n in shared} for each in paths], others, REL)
    if not said:
        return ""
    return f"is {said}" if said.startswith(("right", "zero")) else f"what you return equals {said}"


def factors(values: Mapping[str, NDArray], right: NDArray) -> dict[str, NDArray]:
    """Return functions of the inputs and intermediate arrays that are easily forgotten, or put in once too often."""
    found = {}
    with np.errstate(all="ignore"):
        for name, v in values.items():
            if v.shape != right.shape:
                continue
            known = {name: v, f"{name}^2": v * v, f"exp({name})": np.exp(v), f"exp({name} / 2)": np.exp(v / 2),
                     f"(1 - {name}^2)": 1 - v * v, f"{name} (1 - {name})": v * (1 - v),
                     f"sigmoid({name})": sigmoid(v)}  # fmt: skip
            found |= known | {f"1 / {n}": 1 / w for n, w in known.items()}
    return {name: v for name, v in found.items() if np.isfinite(v).all()}


def locals_of(part: Part, draw: Draw) -> dict[str, NDArray]:
    """Return the arguments and the intermediate arrays of the package's function by name."""
    function, found = compiled(part.piece, tree_of(part.piece)), {}

    def look(frame, event, value):
        if event == "return" and frame.f_code is function.__code__:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        HOW[part.how](function, copy.deepcopy(draw.arguments))
    finally:
        sys.setprofile(before)
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
