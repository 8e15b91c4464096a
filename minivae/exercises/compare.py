"""Compare the arrays of a submission with the arrays of the solution and of all known wrong versions.

"Draw" means the arguments of one call, and "step" means a variable that a line of the function computes.
"""

import ast
import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.exercises.catalogue import Draw, Part
from minivae.exercises.cut import Piece, compiled, computed, lines_of, tree_of
from minivae.exercises.pupil import HOW, leaves, watching
from minivae.exercises.sentences import Given, Wrong, agree, not_written, words_of
from minivae.exercises.variants import Variant, variants


class Finding(NamedTuple):
    """A status ("right", "wrong", "error", "not started") of an array, function or file, and sentences for the learner."""

    function: str
    array: str
    status: str
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()                             # names of wrong solutions that give the learner's numbers


Pairs = Mapping[str, tuple[list[NDArray], list[NDArray]]]   # name -> (learner's arrays, right arrays), one array per draw


def compared(part: Part, seed: int, given: Given) -> list[Finding]:
    """Return the findings about some steps, then the findings about the results, in the order of computation.

    Of the wrong steps, only those in the first wrong line get a finding, because this line can cause the other errors.
    If a blank is left, or a line raised an error, all correct steps get a finding, too.
    """
    results = filled(part, seed, given)
    pairs = steps_of(part, seed, given) | results
    bad = {name for name, (mine, right) in pairs.items() if not equal(mine, right)}
    wrong = sorted((name for name in results if name in bad), key=part.turn)
    cause = first_line(part, seed, pairs, bad, given.open) or wrong[:1]
    inside = cause and set(cause) <= set(part.steps())
    carried = with_values(part, seed, {name: pairs[name][0] for name in cause}) if inside else None
    fits = explaining(part, seed, results, pairs.keys() - bad) if wrong else []

    def finding(name):
        if name not in pairs:
            return Finding(part.title, name, "not started", (f"{name} is still `...`",))
        if name not in bad:
            return Finding(part.title, name, "right")
        named = [each for each, names in fits
                 if name in names or name not in results and (name in each.computes() or names == set(results))]  # fmt: skip
        first = name in cause or not_written(part, name, *pairs[name], given)
        if not (words := () if first else later(part, name, pairs, carried, cause)):
            others = [dict(zip(part.results, each)) for each in right_arrays(part, seed)]
            fault = Wrong(name, *pairs[name], others, right_steps(part, seed))
            words = words_of(part, part.draws(seed), fault, given, named)
        return Finding(part.title, name, "wrong", words, tuple(variant.name for variant in named))

    shown = [name for name in pairs if name not in part.results and (name in cause or given.open and name not in bad)]
    return [finding(name) for name in [*shown, *sorted(part.results, key=part.turn)] if name in pairs or part.how != "model"]


def equal(mine: Sequence[NDArray], right: Sequence[NDArray]) -> bool:
    """Return True if the learner's arrays agree with the right ones in every draw."""
    return all(map(agree, mine, right))


def filled(part: Part, seed: int, given: Given) -> Pairs:
    """Return the results that the learner has filled in.

    If the results are the gradient of a model, and a line of the learner's function is blank or fails, return {}.
    """
    if part.how == "model" and given.open:
        return {}
    arrays = zip(part.results, zip(*given.arrays), zip(*right_arrays(part, seed)))
    return {name: (mine, right) for name, mine, right in arrays if not any(array is None for array in mine)}


def steps_of(part: Part, seed: int, given: Given) -> Pairs:
    """Return the steps that exist both in the learner's function and in the solution."""
    right = right_steps(part, seed)
    names = [name for name in part.steps() if given.steps and all(name in each for each in (*given.steps, *right))]
    both = (given.steps, right)
    return {name: tuple([np.asarray(each[name], float) for each in steps] for steps in both) for name in names}


def first_line(part: Part, seed: int, pairs: Pairs, bad: set[str], unfinished: bool) -> list[str]:
    """Return the wrong variables of the first wrong line, or [].

    A variable of the learner and a variable of the solution may have the same name but different values. This is not always
    a mistake, because the learner may use the name for another quantity. So this function tests each line that computes
    differing variables, from the first line to the last. Each test runs the solution, but replaces some of its variables by
    the learner's arrays.

    Test 1 replaces the differing variables of the tested line. Later lines of the solution use these variables to compute
    other variables. If one of these other variables is right in the learner's function, it must also be right in this run of
    the solution. Otherwise the test fails, and the function continues with the next line.

    The first line that passes test 1 also gets test 2, unless a blank is left or a line raised an error. Test 2 replaces the
    differing variables of all lines. This run of the solution must reproduce at least one wrong result of the learner.
    Otherwise the function returns [].
    """
    lines = [] if part.piece.whole else lines_of(part.piece)
    for k, (names, _) in enumerate(lines):
        wrong = [name for name in names if name in bad]
        carried = with_values(part, seed, {name: pairs[name][0] for name in wrong}) if wrong else None
        users = {name for later, used in lines[k + 1 :] if used & set(wrong) for name in later if name in pairs.keys() - bad}
        if wrong and all(carried and equal(carried[name], pairs[name][1]) for name in users):
            if unfinished:
                return wrong
            carried = with_values(part, seed, {name: pairs[name][0] for name in part.steps() if name in bad})
            return wrong if carried and any(equal(pairs[name][0], carried[name]) for name in bad & set(part.results)) else []
    return []


def explaining(part: Part, seed: int, results: Pairs, good: set[str]) -> list[tuple[Variant, set[str]]]:
    """Return the variants that explain wrong results of the learner. Each comes with the names of the explained results.

    A variant is a known wrong version of the solution. It explains a result if it returns the same array as the learner's
    function in every draw, and if each of these arrays has a finite entry. A variant is returned only if it explains at
    least one wrong result. Most variants change one line of the solution. If the learner's variables of this line are all
    right, the variant is not returned. If some variants explain all of the learner's results, only these are returned.

    The learner may have to write the whole body of a function with results that depend on each other. Then only variants
    that explain all results are returned.
    """
    found = []
    for variant, arrays in known_arrays(part, seed):
        same = {name for name, (mine, _) in results.items()
                if equal(mine, arrays[name]) and all(np.isfinite(each).any() for each in mine)}  # fmt: skip
        telling = any(not equal(arrays[name], results[name][1]) for name in same)
        if telling and not (variant.computes() and variant.computes() <= good):
            found.append((variant, same))
    joint = [(variant, same) for variant, same in found if same == set(results)]
    return joint or ([] if part.turns and part.piece.whole else found)


def later(part: Part, name: str, pairs: Pairs, carried: Mapping[str, list] | None, cause: list[str]) -> tuple[str, ...]:
    """Return a sentence if the wrong array `name` depends on the wrong arrays in `cause`, otherwise ().

    `carried` contains the arrays that the solution computes if the learner's arrays replace the arrays in `cause`. If
    `carried` is `None` and `cause` is a result, the function assumes that every result computed later depends on `cause`.
    """
    said = ", ".join(cause)
    first = "which is wrong: correct that first" if len(cause) == 1 else "which are wrong: correct them first"
    if carried is None:
        is_later = cause[0] in part.results and part.turn(name) > part.turn(cause[0])
        return (f"is computed later than {said}, {first}",) if is_later else ()
    mine, right = pairs[name]
    if equal(carried[name], right):                         # the cause does not change this array
        return ()
    return (f"is wrong only because of {said}" if equal(mine, carried[name]) else f"uses {said}, {first}",)


def with_values(part: Part, seed: int, values: Mapping[str, list]) -> dict[str, list] | None:
    """Execute the solution with some steps replaced by the learner's values; return {name: arrays}, or None on an error."""
    function, found = with_steps(part.piece, tuple(values)), []
    for k, draw in enumerate(part.draws(seed)):
        function.__globals__["learners"] = {name: each[k] for name, each in values.items()}
        try:
            with watching(function, seen := {}):
                results = arrays_from(part, draw, function)
        except Exception:                                   # for example, the learner's array has a wrong shape
            return None
        found.append(seen | dict(zip(part.results, results)))
    return {name: [np.asarray(each[name]) for each in found] for name in (*part.steps(), *part.results)}


@functools.cache
def with_steps(piece: Piece, names: tuple[str, ...]) -> Callable:
    """Return the solution as a function in which the learner's values replace the values of these steps.

    Below the line that computes a step such as `kl`, the function has an additional line: `kl = learners['kl']`. The caller
    must store the dictionary `learners` in the globals of the function.
    """
    tree = tree_of(piece)
    for name in names:
        place = next(k for k, node in enumerate(tree.body) if name in computed(node))
        tree.body.insert(place + 1, ast.parse(f"{name} = learners[{name!r}]").body[0])
    return compiled(piece, ast.fix_missing_locations(tree))


def arrays_of(part: Part, result: Any, after: list) -> list:
    """Return the arrays that a function returned, then the arrays that it changed. A blank result (`...`) becomes None."""
    results = result if isinstance(result, (tuple, list)) else [result]
    arrays = [None if isinstance(each, str) else np.asarray(each, float) for each in results]
    return arrays + ([] if part.written is None else [np.asarray(leaf, float) for leaf in leaves(after[part.written])])


def arrays_from(part: Part, draw: Draw, function: Callable) -> list[NDArray]:
    """Call a function in this process with the arguments of a draw; return the arrays that it returns and writes."""
    arguments = copy.deepcopy(draw.arguments)
    with np.errstate(all="ignore"):
        result = HOW[part.how](function, arguments)
    return arrays_of(part, result, arguments)


@functools.lru_cache(64)
def right_arrays(part: Part, seed: int) -> list[list[NDArray]]:
    """Return the right arrays for each of the two draws of the inputs."""
    function = compiled(part.piece, tree_of(part.piece))
    return [arrays_from(part, draw, function) for draw in part.draws(seed)]


@functools.lru_cache(64)
def right_steps(part: Part, seed: int) -> list[dict[str, NDArray]]:
    """Return, for each of the two draws, the arguments and the correct intermediate values, by name."""
    function, found = compiled(part.piece, tree_of(part.piece)), []
    for draw in part.draws(seed):
        with watching(function, seen := {}):
            arrays_from(part, draw, function)
        found.append({name: np.asarray(value) for name, value in seen.items()
                      if isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f"})  # fmt: skip
    return found


@functools.lru_cache(64)
def known_arrays(part: Part, seed: int) -> list[tuple[Variant, dict[str, tuple]]]:
    """Return every variant that runs without an error, with its results for both draws."""
    found = []
    for variant in variants(part.piece):
        try:
            arrays = [arrays_from(part, draw, variant.function) for draw in part.draws(seed)]
        except Exception:                                   # many variants raise an error
            continue
        if all(len(one) == len(part.results) for one in arrays):
            found.append((variant, dict(zip(part.results, zip(*arrays)))))
    return found
