"""The sentences about one wrong array: its shape, its ratio to the right array, a known fault, its largest error."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.words import Probe, close, combination, describe, ratio, summed
from minivae.exercises.catalogue import START, Draw, Part
from minivae.exercises.confusions import TERMS
from minivae.exercises.variants import AXIS, Variant
from minivae.ops import sigmoid

REL = 1e-5                                                  # tolerance, relative to the largest entry; float32 results pass
UNDECIDED = "undecided: no known factor, sum or change of the solution gives your numbers. "


class Given(NamedTuple):
    """Results of a submission.

    `arrays` has a list of results for each draw of the inputs. If a result is still `...`, None replaces it in the list.
    """

    arrays: Sequence[list]
    warned: Sequence[str] = ()                              # NumPy's warnings in the call with the first draw
    names: frozenset[str] | None = None                     # all names in the learner's file; None if they are not known
    steps: Sequence[Mapping] = ()                           # variables of the learner's function, for each draw
    replaced: bool = False                                  # True if the function put a new array into a given list
    open: bool = False                                      # True if a blank is left, or a line raised an error


class Wrong(NamedTuple):
    """A wrong result: its name, and for every draw of the inputs, the learner's array and the correct array.

    For every draw, `results` has all correct results, and `steps` has all correct intermediate values and the arguments.
    """

    name: str
    mine: Sequence[NDArray]
    right: Sequence[NDArray]
    results: Sequence[Mapping[str, NDArray]]
    steps: Sequence[Mapping[str, NDArray]]


def agree(given: NDArray, right: NDArray) -> bool:
    """Return True if two arrays are equal within `REL` of the largest entry; inf and nan must be equal exactly."""
    if given.shape != right.shape:
        return False
    infinite = ~np.isfinite(right)
    if not np.array_equal(given[infinite], right[infinite], equal_nan=True):
        return False
    return close(np.where(infinite, 0, given), np.where(infinite, 0, right), REL)


def words_of(part: Part, draws: Sequence[Draw], wrong: Wrong, given: Given, named: Sequence[Variant]) -> tuple[str, ...]:
    """Return the sentences about one wrong array: a fact about its numbers, the likely fault, the largest error."""
    mine, right = wrong.mine[0], wrong.right[0]
    sizes = [draw.sizes for draw in draws]
    rank = min([variant.rank for variant in named], default=3)
    fault = list(dict.fromkeys(each.said(given.names) for each in named if each.rank == rank))[:3]
    if [k for k, (a, b) in enumerate(zip(wrong.mine, wrong.right)) if a.shape != b.shape]:
        return shape_words(part, sizes, wrong, fault)
    if unwritten := not_written(part, wrong.name, wrong.mine, wrong.right, given):
        return (unwritten,)
    if len(bad := np.argwhere(~np.isfinite(mine) & (mine != right))):
        place = tuple(bad[0])
        words = [f"is {mine[place]} at {at(place)}, where {right[place]:.6g} is right"]
        words += [f"NumPy warned: {'; '.join(given.warned[:3])}"] if given.warned else []
    elif not np.isfinite(right).all():
        words = []
    elif rank == 0 and None in [ratio(a, b) for a, b in zip(wrong.mine, wrong.right)]:
        words = []                                          # the ratio is not constant: print only the name of the fault
    else:
        equal, terms = equals(part, draws, wrong, given.names), sum_of_terms(part, draws, wrong)
        words = [said for said in (equal or terms,) if said]
        fault = [] if terms and not equal or equal.endswith("unchanged") else fault
    if part.how == "adam" and not agree(mine, draws[0].arguments[0]) and (state := of_adam(given)):
        words, fault = [state, *words[:1]], []
    if fault and mine.any() and (rank < 2 or not words):
        words.append(("" if rank == 0 else "one change of the solution gives the same numbers: ") + "; or ".join(fault))
    return (*words, ("" if words else UNDECIDED) + numbers(mine, right))


def not_written(part: Part, name: str, mine: Sequence[NDArray], right: Sequence[NDArray], given: Given) -> str:
    """Return a message if the function must write an array, but did not write it or only added to it; else ""."""
    if part.how == "model" and name in part.results and not mine[0].any():
        return "was not written: it is still 0 everywhere"
    if part.written is None or name in part.returned:
        return ""
    if (mine[0] == START).all():
        put = "is unchanged: you put a new array into the list. Write into the old array: `[...] =`"
        return put if given.replaced else "was not written"
    # Before the call, every entry is START (1000). Results are below 100, so an entry above 500 is START plus a result.
    added = (mine[0] > START / 2).all()
    why = "was added to the old entries, which are not 0 at the start: assign with `=`, do not add with `+=`"
    return why if added else ""


def of_adam(given: Given) -> str:
    """Return a message if Adam's t, m or v is still 0, or if there was a division by zero; else ""."""
    state = given.steps[0] if given.steps else {}
    if state.get("self.t") == 0:
        return "self.t is still 0 after three steps: increase it by 1 in each step"
    kept = [name for name in ("self.m", "self.v") if name in state and not np.any(state[name])]
    if kept:
        return f"{' and '.join(kept)} {'are' if len(kept) > 1 else 'is'} still 0 after three steps: store the new values"
    divided = [words for words in given.warned if "divide by zero" in words]
    return f"{divided[0]}: is self.t still 0 there? Increase it first" if divided else ""


# Shapes


def shape_words(part: Part, sizes: Sequence[Mapping[str, int]], wrong: Wrong, fault: list[str]) -> tuple[str, ...]:
    """Return the sentences about an array of the wrong shape."""
    k = next(k for k, (a, b) in enumerate(zip(wrong.mine, wrong.right)) if a.shape != b.shape)
    mine, right = wrong.mine[k], wrong.right[k]
    first = f"has shape {letters(mine, part, sizes[k])} instead of {letters(right, part, sizes[k])}"
    if fault and AXIS in fault[0]:
        left, needed = (set(spelled(each, part, sizes[k])) for each in (mine, right))
        for axis in needed - left:
            return first, f"you summed over {axis}; sum over {' and '.join(left - needed) or 'another axis'} instead"
    return tuple(filter(None, (first, reduced(wrong, part, sizes[0]) or "; or ".join(fault))))


def spelled(array: NDArray, part: Part, sizes: Mapping[str, int]) -> list[str]:
    """Return a letter for each axis of an array: ["B", "J"]. For an axis without a letter, return its length."""
    names = {size: letter for letter, size in sizes.items() if letter in part.letters}
    return [names.get(n, str(n)) for n in array.shape]


def letters(array: NDArray, part: Part, sizes: Mapping[str, int]) -> str:
    """Return the shape of an array in numbers and letters: "(5, 2), that is (B, J)"."""
    text = f"({', '.join(spelled(array, part, sizes))}{',' if array.ndim == 1 else ''})"
    return str(array.shape) if text == str(array.shape) else f"{array.shape}, that is {text}"


def reduced(wrong: Wrong, part: Part, sizes: Mapping[str, int]) -> str:
    """Return a message if a sum, a mean, an axis of length 1 or a transpose is missing or not needed; else ""."""
    mine, right = wrong.mine, wrong.right
    if [a.size for a in mine] == [b.size for b in right] and mine[0].squeeze().shape == right[0].squeeze().shape:
        if mine[0].ndim > right[0].ndim:
            return "one axis of length 1 is left: `keepdims`?"
        return "an axis of length 1 is missing: `squeeze()` removes all such axes"
    if right[0].ndim == 2 and all(agree(a.T, b) for a, b in zip(mine, right)):
        return "is the right array, transposed"
    if right[0].ndim == 0 and all(agree(a.sum(), b) for a, b in zip(mine, right)):
        return "the sum is missing"
    for one, other, words in ((right, mine, "you also took the {} over {}"), (mine, right, "the {} over {} is missing")):
        for axis in range(one[0].ndim):
            for how in ("sum", "mean"):
                if all(a.ndim > axis and a.size and agree(getattr(a, how)(axis=axis), b) for a, b in zip(one, other)):
                    return words.format(how, spelled(one[0], part, sizes)[axis])
    return ""


# Numbers


def at(place: Sequence[int]) -> str:
    """Return the place of an entry, such as "[3, 1]"; for a scalar, return "the only entry"."""
    return f"[{', '.join(map(str, place))}]" if len(place) else "the only entry"


def numbers(mine: NDArray, right: NDArray) -> str:
    """Return how many entries differ, and the two values where the difference is largest."""
    with np.errstate(invalid="ignore"):
        apart = np.where(mine == right, 0, np.nan_to_num(np.abs(mine - right), nan=np.inf))
    place = np.unravel_index(np.argmax(apart), right.shape)
    off = int((apart > REL * np.abs(right[np.isfinite(right)]).max(initial=0)).sum())
    text = f"at {at(place)} yours is {mine[place] + 0:.6g}, right is {right[place]:.6g}"
    return f"{off} of {right.size} entries differ; {text}"


def equals(part: Part, draws: Sequence[Draw], wrong: Wrong, names: frozenset[str] | None) -> str:
    """Return a message if a wrong array equals another known array, or a sum or product of known arrays; else ""."""
    inside = [{n: v for n, v in each.items() if (names is None or n in names) and v.ndim} for each in wrong.steps]
    probes = [Probe(a, b, draw.sizes_of(part.letters)) for a, b, draw in zip(wrong.mine, wrong.right, draws)]
    functions = [factors(values, b, names) for values, b in zip(inside, wrong.right)]
    paths = [{"the right array": b} | {n: v for n, v in values.items() if v.shape == b.shape and ratio(v, b) is None}
             for values, b in zip(inside, wrong.right)]  # fmt: skip
    others = [{f"the right {n}": a for n, a in results.items() if n != wrong.name and a.shape == b.shape}
              | {f"the input {n}, unchanged": values[n] for n in part.arguments() if n in values
                 and values[n].shape == b.shape and ratio(values[n], b) is None}
              for results, values, b in zip(wrong.results, inside, wrong.right)]  # fmt: skip
    shared = set.intersection(*(set(each) for each in paths))
    said = describe(probes, functions, [{n: v for n, v in each.items() if n in shared} for each in paths], others, REL)
    if not said:
        return ""
    return f"is {said}" if said.startswith(("right", "zero")) else f"equals {said.replace(' - 1 x ', ' - ')}"


def factors(values: Mapping[str, NDArray], right: NDArray, names: frozenset[str] | None) -> dict[str, NDArray]:
    """Return arrays such as exp(log_var / 2), made from known values: factors that are often forgotten or used twice."""
    found = {}
    with np.errstate(all="ignore"):
        for name, v in values.items():
            if v.shape != right.shape:
                continue
            known = {name: v, f"{name}^2": v * v, f"exp({name})": np.exp(v), f"exp({name} / 2)": np.exp(v / 2),
                     f"(1 - {name}^2)": 1 - v * v, f"{name} (1 - {name})": v * (1 - v)}  # fmt: skip
            known |= {f"sigmoid({name})": sigmoid(v)} if names is None or "sigmoid" in names else {}
            found |= known | {f"1 / {n}": 1 / w for n, w in known.items()}
    return {name: v for name, v in found.items() if np.isfinite(v).all()}


def sum_of_terms(part: Part, draws: Sequence[Draw], wrong: Wrong) -> str:
    """Return a message if a wrong array is a sum of known terms with wrong factors; else ""."""
    codes = TERMS.get((part.piece.function, wrong.name), {})
    terms = [{name: eval(code, {"np": np}, dict(zip(part.arguments(), draw.arguments))) + np.zeros(b.shape)
              for name, code in codes.items()} for draw, b in zip(draws, wrong.right)]  # fmt: skip
    mine, right = ([combination(a, known, REL) for a, known in zip(arrays, terms)] for arrays in (wrong.mine, wrong.right))
    if None in mine or None in right:
        return ""
    off = [name for name in codes if abs(mine[0][name] - right[0][name]) > 1e-4]
    said = re.sub(r"(?<![\d/.])1 x | x 1\b", "", summed(mine, [Probe(a, a, {}) for a in wrong.mine], REL) or "")
    return f"equals {said}: the factors of {', '.join(off)} are wrong" if said else ""
