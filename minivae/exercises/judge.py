"""Compare the arrays of a submission with the right ones, and say in words how they differ.

The judge has only arrays: it never runs the submission, and does not read its output or exit code.
"""

import ast
import copy
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.words import Probe, close, describe, ratio
from minivae.exercises import outside
from minivae.exercises.catalogue import SIZES, Draw, Exercise, Part
from minivae.exercises.cut import blanks_left, compiled, tree_of
from minivae.exercises.pupil import HOW, Other, pack, perform, unpack
from minivae.exercises.variants import Variant, variants
from minivae.ops import sigmoid

REL = 1e-5                                                  # of the largest entry: float32 and other orders of sums pass
STEP = 1e-30                                                # of the complex step


class Finding(NamedTuple):
    """A statement about one array (or about the call): status "right", "wrong", "error" or "not started", and words."""

    function: str
    array: str
    status: str
    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()                             # of all variants that give the same numbers


class Verdict(NamedTuple):
    """The status of an exercise: "not started", "passed", "wrong" or "error"; what was found, and what was printed."""

    exercise: Exercise
    status: str
    findings: tuple[Finding, ...] = ()
    flags: tuple[str, ...] = ()
    printed: str = ""


class Asking(NamedTuple):
    """The calls of an exercise, and how their results are judged; the bonus has other ones."""

    calls: Callable                                         # exercise, seed -> the calls
    findings: Callable                                      # exercise, seed, results, lines with blanks -> findings


def check(exercise: Exercise, file: Path, timeout: float = 10.0, seed: int = 0) -> Verdict:
    """Judge the file of an exercise. Its functions run in another process."""
    how = exercise.asking or Asking(calls_of, findings_of)
    try:
        if not file.is_file():
            return Verdict(exercise, "not started")
        source = file.read_text(encoding="utf-8")
        functions = functions_in(ast.parse(source, str(file)))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        words = f"{where}{type(error).__name__}: {getattr(error, 'msg', error)}"
        return Verdict(exercise, "error", (Finding("the file", "", "error", (words,)),))
    blanks = functions_in(ast.parse(exercise.file()))
    flags = flags_of(exercise, source)
    if all(name in functions and ast.dump(functions[name]) == ast.dump(node) for name, node in blanks.items()):
        return Verdict(exercise, "not started", flags=flags)
    left = {name: blanks_left(functions[name]) for name in blanks if name in functions}
    ran = outside.run(file, how.calls(exercise, seed), timeout)
    if ran.error:
        return Verdict(exercise, "error", (Finding("the file", "", "error", (ran.error,)),), flags, ran.printed)
    findings = how.findings(exercise, seed, ran.results, left)
    return Verdict(exercise, status_of(findings), findings, flags, ran.printed)


def check_names(exercise: Exercise, names: dict, seed: int = 0) -> Verdict:
    """Judge the functions among the names of this process, as a notebook has them: without limits of time and memory."""
    how, untouched = exercise.asking or Asking(calls_of, findings_of), {}
    exec(exercise.file(), untouched)
    if all(same_bytes(names.get(name), untouched[name]) for name in functions_in(ast.parse(exercise.file()))):
        return Verdict(exercise, "not started")
    results = unpack(pack(perform(how.calls(exercise, seed), names)))
    findings = how.findings(exercise, seed, results, {})
    return Verdict(exercise, status_of(findings), findings)


def functions_in(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Return the functions of a file by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def same_bytes(one: Any, other: Callable) -> bool:
    """Return True if two functions have the same instructions, constants and names."""
    parts = ("co_code", "co_consts", "co_names", "co_varnames")
    one = getattr(one, "__code__", None)
    return one is not None and all(getattr(one, part) == getattr(other.__code__, part) for part in parts)


def calls_of(exercise: Exercise, seed: int) -> list[dict]:
    """Return all calls: every draw twice, because a function must be repeatable; then those of the complex step."""
    calls = [{"function": part.piece.function, "how": part.how, "arguments": arguments}
             for part in exercise.parts for _, arguments in draws(part, seed) for _ in range(2)]  # fmt: skip
    return calls + slopes(exercise, seed)


@functools.lru_cache(64)
def draws(part: Part, seed: int) -> list[Draw]:
    """Return the two draws of a part."""
    return part.draws(seed)


def flags_of(exercise: Exercise, source: str) -> tuple[str, ...]:
    """Return the lines of a submission that name minivae, apart from the import that the exercise gives."""
    given = exercise.import_line()
    lines = [line.strip() for line in source.splitlines()]
    names = [line for line in lines if "minivae" in line and line != given and not line.startswith("#")]
    imports = [line for line in names if "import" in line]
    return tuple(f"imports minivae: {line}" for line in imports)


def status_of(findings: Sequence[Finding]) -> str:
    """Return the status of an exercise from its findings."""
    found = {finding.status for finding in findings}
    if "error" in found:
        return "error"
    return "passed" if found == {"right"} else "wrong"


def findings_of(exercise: Exercise, seed: int, results: list[dict], left: Mapping[str, list[int]]) -> tuple[Finding, ...]:
    """Return the findings of all parts, and the complex step if a backward is wrong."""
    found, rest = [], results
    for part in exercise.parts:
        mine, rest = rest[: 2 * len(SIZES)], rest[2 * len(SIZES) :]
        judged = judge(part, seed, mine)
        lines = left.get(part.piece.function, [])
        if lines and any(finding.status != "right" for finding in judged):
            words = f"`...` is still in line {', '.join(map(str, lines))} of your file"
            judged = [finding._replace(words=(*finding.words, words)) for finding in judged[:1]] + judged[1:]
        found += judged
    return tuple(found) + consistent(exercise, seed, results, rest, found)


# One part


def judge(part: Part, seed: int, done: Sequence[dict]) -> list[Finding]:
    """Return one finding for each array of a part, or one about the call."""
    def one(status, *words):
        return [Finding(part.title, "", status, words)]

    for result in done:
        if "error" in result:
            return one("error", str(result["error"]))
        if words := structure(part, result.get("result")):
            return one("wrong", words)
    for (_, before), result in zip(draws(part, seed), done[::2]):
        if words := changed(part, before, result.get("after")):
            return one("wrong", words)
    given = [arrays_of(part, result["result"], result["after"]) for result in done]
    if any(words := unequal(part, first, second) for first, second in zip(given[::2], given[1::2])):
        return one("wrong", words)
    return compared(part, seed, given[::2])


def structure(part: Part, result: Any) -> str:
    """Return what is wrong with the number and the kinds of the results, or ""."""
    names = part.returned
    if result is None:
        return "returns None: is the `return` missing?"
    parts = result if isinstance(result, (tuple, list)) else (result,)
    if len(parts) != len(names):
        came = f"{len(parts)} results" if isinstance(result, (tuple, list)) else "one array"
        return f"must return {len(names)} result{'s' * (len(names) > 1)} ({', '.join(names)}); got {came}"
    for name, value in zip(names, parts):
        if isinstance(value, Other):
            return f"{name} is still `...`" if value == "..." else f"{name} must be an array; got {value}"
        if not isinstance(value, np.ndarray):
            return f"{name} must be an array; got {value!r}"
        if value.dtype.kind not in "fi":
            return f"{name} must be an array of real numbers; got dtype {value.dtype}"
    return ""


def changed(part: Part, before: list, after: Any) -> str:
    """Return which input a function has changed, or ""."""
    names = list(part.arguments())
    for i, value in enumerate(before):
        if i != part.written and not all(same(a, b) for a, b in zip(flat(value), flat(after[i]))):
            return f"changes its input {names[i] if i < len(names) else i}: write `x = x + ...` and not `x += ...`"
    return ""


def same(a: Any, b: Any) -> bool:
    """Return True if two leaves of the arguments are equal."""
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


def flat(value: Any) -> list:
    """Return the leaves of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for part in value for leaf in flat(part)] if isinstance(value, (list, tuple)) else [value]


def arrays_of(part: Part, result: Any, after: list) -> list[NDArray]:
    """Return the returned arrays, and those that were to be written."""
    arrays = list(result) if isinstance(result, (tuple, list)) else [result]
    return arrays + ([] if part.written is None else [np.asarray(leaf) for leaf in flat(after[part.written])])


def unequal(part: Part, first: list[NDArray], second: list[NDArray]) -> str:
    """Return the words for a function that returns other numbers when it is called again."""
    for name, a, b in zip(part.results, first, second):
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, equal_nan=True):
            return f"{name} is not repeatable: the same inputs gave other numbers. Draw nothing; use the arguments"
    return ""


def arrays_from(part: Part, draw: Draw, function: Callable) -> list[NDArray]:
    """Return the arrays that a function of this process makes of a draw."""
    arguments = copy.deepcopy(draw.arguments)
    with np.errstate(all="ignore"):
        result = HOW[part.how](function, arguments)
    return [np.asarray(array) for array in arrays_of(part, result, arguments)]


def agree(given: NDArray, right: NDArray) -> bool:
    """Return True if two arrays are equal to `REL` of the largest entry, entries that are not finite exactly."""
    if given.shape != right.shape:
        return False
    infinite = ~np.isfinite(right)
    if not np.array_equal(given[infinite], right[infinite], equal_nan=True):
        return False
    return close(np.where(infinite, 0, given), np.where(infinite, 0, right), REL)


def compared(part: Part, seed: int, given: list[list[NDArray]]) -> list[Finding]:
    """Return one finding for each array, with everything that fits."""
    right = right_arrays(part, seed)
    wrong = [i for i in range(len(part.results)) if not all(agree(g[i], r[i]) for g, r in zip(given, right))]
    found = {i: Finding(part.title, name, "right") for i, name in enumerate(part.results)}
    if not wrong:
        return list(found.values())
    fits = list(fitting(known_arrays(part, seed), given, right))
    every = list(range(len(part.results)))
    joint = [variant for variant, arrays in fits if arrays == every]
    for i in wrong:
        named = joint or [variant for variant, arrays in fits if i in arrays]
        said = [] if joint and i > wrong[0] else named      # one change that explains all is said once
        words = words_of(part, draws(part, seed), [g[i] for g in given], right, i, said, bool(named))
        found[i] = Finding(part.title, part.results[i], "wrong", words, tuple(variant.name for variant in named))
    return list(found.values())


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


def fitting(known: list[tuple[Variant, list]], given: list, right: list) -> Iterator[tuple[Variant, list[int]]]:
    """Yield the variants with the same numbers at every draw, each with the arrays for which this is so.

    An array for which the variant is right, too, says nothing and does not count alone; nor does one without a finite entry.
    """
    for variant, answers in known:
        equal = set(range(len(right[0])))
        for arrays, mine in zip(answers, given):
            equal = {i for i in equal if agree(mine[i], arrays[i]) and np.isfinite(mine[i]).any()}
        if any(not agree(arrays[i], true[i]) for i in equal for arrays, true in zip(answers, right)):
            yield variant, sorted(equal)


def words_of(part: Part, draws: Sequence[Draw], mine: list, right: list, i: int, named: Sequence[Variant],
             known: bool) -> tuple[str, ...]:
    """Return the sentences about one wrong array."""
    truth, sizes = [arrays[i] for arrays in right], [draw.sizes for draw in draws]
    words = []
    other = [k for k, (a, b) in enumerate(zip(mine, truth)) if a.shape != b.shape]
    if other:
        k = other[0]
        words.append(f"has shape {letters(mine[k], part, sizes[k])} instead of {letters(truth[k], part, sizes[k])}")
        words += reduced(mine, truth, part, sizes[0])
    elif not np.isfinite(mine[0][np.isfinite(truth[0])]).all():
        place = np.argwhere(~np.isfinite(mine[0]) & np.isfinite(truth[0]))[0]
        cause = "t is 0 before the first step" if part.how == "adam" else "exp overflows above 709"
        words.append(f"is {mine[0][tuple(place)]} at {at(place)}, where {truth[0][tuple(place)]:.6g} is right: "
                     f"{cause}, and log and / fail at 0")
    elif np.isfinite(truth[0]).all() and (said := equals(part, draws, mine, right, i)):
        words.append(said)
    if named:
        common = [variant for variant in named if variant.name.startswith(("confusion", "museum"))]
        words.append("the same numbers come from the solution with one change: "
                     + "; or ".join(dict.fromkeys(variant.words for variant in common or named)))
    if not other:
        words.append(numbers(mine[0], truth[0], bool(words) or known))
    return tuple(words)


def letters(array: NDArray, part: Part, sizes: Mapping[str, int]) -> str:
    """Return "(5, 2) = (B, J)"."""
    names = {size: letter for letter, size in sizes.items() if letter in part.letters}
    spelled = ", ".join(names.get(n, str(n)) for n in array.shape)
    return f"{array.shape}, that is ({spelled})" if array.shape else "()"


def reduced(mine: list, right: list, part: Part, sizes: Mapping[str, int]) -> list[str]:
    """Return the words for an array that differs from the right one by a sum or a mean over one axis."""
    names = {size: letter for letter, size in sizes.items() if letter in part.letters}
    for one, other, words in ((right, mine, "it is the right array, with a {} over {} too much"),
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
    text = f"{off} of {right.size} entries differ; at {at(place)} yours is {mine[place]:.6g}, right is {right[place]:.6g}"
    return text if known else f"undecided: no known ratio, path or change fits. {text}"


def equals(part: Part, draws: Sequence[Draw], mine: list, right: list, i: int) -> str:
    """Return what a wrong array equals, in the words of the doctor, or ""."""
    truth = [arrays[i] for arrays in right]
    inside = [locals_of(part, draw) for draw in draws]
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


# The complex step: is a backward the gradient of the learner's own forward?


def pair(exercise: Exercise) -> bool:
    """Return True if an exercise begins with a function and its backward."""
    names = [part.piece.name for part in exercise.parts[:2]]
    return len(names) == 2 and names[1] == f"{names[0]}_backward"


def slopes(exercise: Exercise, seed: int) -> list[dict]:
    """Return calls of a learner's forward at complex inputs, one for each float input of the draws of its backward."""
    if not pair(exercise):
        return []
    calls = []
    for _, (d_out, *inputs) in draws(exercise.parts[1], seed):
        for i, value in enumerate(inputs):
            moved = [a + STEP * 1j * direction(a) if i == j else a for j, a in enumerate(inputs)]
            calls.append({"function": exercise.parts[0].piece.function, "how": "plain", "arguments": moved})
    return calls


def direction(array: NDArray) -> NDArray:
    """Return a fixed direction of the shape of an array."""
    return np.cos(np.arange(array.size)).reshape(array.shape)


def consistent(exercise: Exercise, seed: int, results: list, moved: list, found: list[Finding]) -> tuple[Finding, ...]:
    """Return a finding if both functions are wrong, but the backward is the gradient of the learner's forward."""
    wrong = {finding.function for finding in found if finding.status == "wrong"}
    if not pair(exercise) or not {part.title for part in exercise.parts[:2]} <= wrong:
        return ()
    forward, backward = exercise.parts[:2]
    after = iter(moved)
    for (_, (d_out, *inputs)), result in zip(draws(backward, seed), results[2 * len(SIZES) :: 2]):
        gradients = result.get("result")
        gradients = dict(zip(backward.results, gradients if isinstance(gradients, (tuple, list)) else [gradients]))
        for name, value in zip(backward.arguments()[1:], inputs):
            shifted = next(after).get("result")
            if f"d_{name}" in gradients:
                mine = gradients[f"d_{name}"]
                if getattr(shifted, "shape", None) != d_out.shape or getattr(mine, "shape", None) != value.shape:
                    return ()
                by_step = (d_out * np.imag(shifted) / STEP).sum()
                if not np.isclose((mine * direction(value)).sum(), by_step, rtol=REL):
                    return ()
    words = f"your {backward.piece.function} is the gradient of your {forward.piece.function} (complex step): no gradient " \
            "check can see this error. Correct the function, then its backward"
    return (Finding("both", "", "wrong", (words,)),)
