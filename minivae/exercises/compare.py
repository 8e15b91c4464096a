"""Compare the arrays of a submission with the right ones and with those of all known wrong versions."""

import ast
import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.exercises.catalogue import Draw, Part
from minivae.exercises.cut import compiled, target, tree_of
from minivae.exercises.pupil import HOW
from minivae.exercises.sentences import Given, agree, unwritten, words_of
from minivae.exercises.variants import Variant, variants


class Finding(NamedTuple):
    """A statement about one array (or about the call): status "right", "wrong", "error" or "not started", and words."""

    function: str
    array: str
    status: str
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()                             # of all variants that give the same numbers


def compared(part: Part, seed: int, given: Given) -> list[Finding]:
    """Return one finding for each array, with everything that fits."""
    right, mine = right_arrays(part, seed), given.arrays
    filled = [i for i in range(len(part.results)) if all(each[i] is not None for each in mine)]
    wrong = [i for i in filled if not all(agree(g[i], r[i]) for g, r in zip(mine, right))]
    found = [Finding(part.title, name, "right") for name in part.results]
    for i in set(range(len(found))) - set(filled):
        found[i] = Finding(part.title, part.results[i], "not started", (f"{part.results[i]} is still `...`",))
    if not wrong:
        return found
    first = min([i for i in wrong if not unwritten(part, i, mine[0][i])] or wrong, key=part.turn)
    fits = list(fitting(known_arrays(part, seed), mine, right))
    innocent = {part.results[i] for i in filled} - {part.results[i] for i in wrong}     # lines whose own array is right
    fits = [(variant, arrays) for variant, arrays in fits if variant.line not in innocent]
    joint = [variant for variant, arrays in fits if arrays == filled]
    for i in wrong:
        named = joint or [variant for variant, arrays in fits if i in arrays]
        said = () if joint and i != first else named        # one change that explains all is said once
        words = words_of(part, draws(part, seed), (mine, right), i, given, said, bool(named))
        cause = follows(part, seed, mine, i, first) if part.turn(i) > part.turn(first) else ""
        if cause.startswith("follows") or cause and "entries differ" in "".join(words[:1]):
            words = (cause,)
        found[i] = Finding(part.title, part.results[i], "wrong", words, tuple(variant.name for variant in named))
    if part.how == "model" and wrong == [i for i in filled if part.results[i].startswith("d_encoder")]:
        there = "the decoder's gradients are right, the encoder's are not: look at steps 3 to 1"
        found[first] = found[first]._replace(words=(there, *found[first].words))
    return found


def follows(part: Part, seed: int, mine: Sequence[list], i: int, first: int) -> str:
    """Return words for a result that the right lines compute from an earlier one that is wrong."""
    tree, name = copy.deepcopy(tree_of(part.piece)), part.results[first]
    for node in tree.body:
        if target(node) == name:                            # do the right lines, with the learner's array, give the same?
            node.value = ast.Name("learners", ast.Load())
            tree.args.args.append(ast.arg("learners"))
            function = compiled(part.piece, ast.fix_missing_locations(tree))
            try:
                carried = [arrays_from(part, Draw(draw.sizes, [*draw.arguments, arrays[first]]), function)
                           for draw, arrays in zip(draws(part, seed), mine)]  # fmt: skip
            except Exception:                               # an array of another shape
                return ""
            return f"follows from {name}" if all(agree(g[i], c[i]) for g, c in zip(mine, carried)) else ""
    return f"is computed later than {name}, which is wrong: correct that first"


@functools.lru_cache(64)
def draws(part: Part, seed: int) -> list[Draw]:
    """Return the two draws of a part."""
    return part.draws(seed)


def flat(value: Any) -> list:
    """Return the leaves of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, (list, tuple)) else [value]


def arrays_of(part: Part, result: Any, after: list) -> list:
    """Return the returned arrays, and those that were to be written; None for a result that is still `...`."""
    results = result if isinstance(result, (tuple, list)) else [result]
    arrays = [None if isinstance(each, str) else each for each in results]
    return arrays + ([] if part.written is None else [np.asarray(leaf) for leaf in flat(after[part.written])])


def arrays_from(part: Part, draw: Draw, function: Callable) -> list[NDArray]:
    """Call a function in this process; return the arrays that it returns and writes for a draw."""
    arguments = copy.deepcopy(draw.arguments)
    with np.errstate(all="ignore"):
        result = HOW[part.how](function, arguments)
    return [np.asarray(array) for array in arrays_of(part, result, arguments)]


@functools.lru_cache(64)
def right_arrays(part: Part, seed: int) -> list[list[NDArray]]:
    """Return the right arrays of both draws."""
    function = compiled(part.piece, tree_of(part.piece))
    return [arrays_from(part, draw, function) for draw in draws(part, seed)]


@functools.lru_cache(64)
def known_arrays(part: Part, seed: int) -> list[tuple[Variant, list[list[NDArray]]]]:
    """Return every variant that runs, with its arrays of both draws."""
    found = []
    for variant in variants(part.piece):
        try:
            arrays = [arrays_from(part, draw, variant.function) for draw in draws(part, seed)]
        except Exception:                                   # many changes do not run
            continue
        if all(len(one) == len(part.results) for one in arrays):
            found.append((variant, arrays))
    return found


def fitting(known: list[tuple[Variant, list]], mine: Sequence[list], right: list) -> Iterator[tuple[Variant, list[int]]]:
    """Yield the variants with the same numbers at every draw, each with the arrays for which this is so.

    An array for which the variant is right, too, says nothing and does not count alone; nor does one without a finite entry.
    """
    filled = {i for i in range(len(right[0])) if all(each[i] is not None for each in mine)}
    for variant, answers in known:
        equal = filled
        for arrays, given in zip(answers, mine):
            equal = {i for i in equal if agree(given[i], arrays[i]) and np.isfinite(given[i]).any()}
        if any(not agree(arrays[i], true[i]) for i in equal for arrays, true in zip(answers, right)):
            yield variant, sorted(equal)
