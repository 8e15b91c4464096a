"""Judge a submission: call its functions in another process, and turn what came back into a verdict.

Only the returned arrays count, and not the printed text or the exit code. `check_names`, for notebooks, runs here.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.exercises import outside
from minivae.exercises.catalogue import SIZES, Exercise, Part
from minivae.exercises.compare import Finding, arrays_of, compared, draws, flat
from minivae.exercises.cut import blanks_left
from minivae.exercises.pupil import Other, pack, perform, unpack
from minivae.exercises.sentences import REL, Given

STEP = 1e-5                                                 # of the central difference


class Verdict(NamedTuple):
    """The status of an exercise: "not started", "passed", "wrong" or "error"; what was found, and what was printed."""

    exercise: Exercise
    status: str
    findings: tuple[Finding, ...] = ()
    flags: tuple[str, ...] = ()
    printed: str = ""


class Learner(NamedTuple):
    """Facts read in a learner's functions: the lines where `...` still stands, and all names."""

    left: Mapping[str, list[int]]
    names: frozenset[str]


class Asking(NamedTuple):
    """The calls of an exercise, and how their results are judged; the bonus has other ones."""

    calls: Callable                                         # exercise, seed -> the calls
    findings: Callable                                      # exercise, seed, results, learner -> findings


def check(exercise: Exercise, file: Path, timeout: float = 10.0, seed: int = 0) -> Verdict:
    """Judge the file of an exercise. Its functions run in another process."""
    how = exercise.asking or Asking(calls_of, findings_of)
    try:
        if not file.is_file():
            return Verdict(exercise, "not started")
        source = file.read_text(encoding="utf-8-sig")       # some editors begin a file with a mark
        functions = functions_in(ast.parse(source, str(file)))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        words = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        if isinstance(error, SyntaxError):
            words = f"line {error.lineno}: {words}" + (f". In `{error.text.strip()}`" if error.text else "")
        if isinstance(error, UnicodeDecodeError):
            words = "the file is not UTF-8: save it with this encoding"
        return Verdict(exercise, "error", (Finding("the file", "", "error", (words,)),))
    blanks = functions_in(ast.parse(exercise.file()))
    flags = flags_of(exercise, source)
    if all(name in functions and ast.dump(functions[name]) == ast.dump(node) for name, node in blanks.items()):
        return Verdict(exercise, "not started", flags=flags)
    left = {name: blanks_left(functions[name]) for name in blanks if name in functions}
    learner = Learner(left, frozenset().union(*map(names_in, functions.values())))
    ran = outside.run(file, how.calls(exercise, seed), timeout)
    if ran.error:
        return Verdict(exercise, "error", (Finding("the file", "", "error", (ran.error,)),), flags, ran.printed)
    findings = how.findings(exercise, seed, ran.results, learner)
    return Verdict(exercise, status_of(findings), findings, flags, ran.printed)


def check_names(exercise: Exercise, names: dict, seed: int = 0) -> Verdict:
    """Judge functions of this process, given by name, as in a notebook: without limits of time and memory."""
    how, untouched = exercise.asking or Asking(calls_of, findings_of), {}
    exec(exercise.file(), untouched)
    if all(same_bytes(names.get(name), untouched[name]) for name in functions_in(ast.parse(exercise.file()))):
        return Verdict(exercise, "not started")
    results = unpack(pack(perform(how.calls(exercise, seed), names)))
    codes = [names[piece.function].__code__ for piece in exercise.pieces() if hasattr(names.get(piece.function), "__code__")]
    used = frozenset().union(*(code.co_names + code.co_varnames for code in codes))
    findings = how.findings(exercise, seed, results, Learner({}, used))
    return Verdict(exercise, status_of(findings), findings)


def functions_in(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Return the functions of a file by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def names_in(function: ast.FunctionDef) -> set[str]:
    """Return all names in a function: of variables, arguments and attributes."""
    return {getattr(node, part) for node in ast.walk(function) for part in ("id", "arg", "attr") if hasattr(node, part)}


def same_bytes(one: Any, other: Callable) -> bool:
    """Return True if two functions have the same instructions, constants and names."""
    parts = ("co_code", "co_consts", "co_names", "co_varnames")
    one = getattr(one, "__code__", None)
    return one is not None and all(getattr(one, part) == getattr(other.__code__, part) for part in parts)


def calls_of(exercise: Exercise, seed: int) -> list[dict]:
    """Return all calls: every draw twice, because a function must be repeatable; then those of the differences."""
    calls = [{"function": part.piece.function, "how": part.how, "arguments": arguments}
             for part in exercise.parts for _, arguments in draws(part, seed) for _ in range(2)]  # fmt: skip
    return calls + slopes(exercise, seed)


def flags_of(exercise: Exercise, source: str) -> tuple[str, ...]:
    """Return a flag for each line of a submission that imports minivae, apart from the line that the exercise gives."""
    lines = [line.strip() for line in source.splitlines() if "minivae" in line and "import" in line]
    return tuple(f"imports minivae: {line}" for line in lines if line != exercise.import_line() and line[0] != "#")


def status_of(findings: Sequence[Finding]) -> str:
    """Return the status of an exercise from its findings."""
    found = {finding.status for finding in findings}
    if "error" in found:
        return "error"
    return "passed" if found == {"right"} else "wrong"


def findings_of(exercise: Exercise, seed: int, results: list[dict], learner: Learner) -> tuple[Finding, ...]:
    """Return the findings of all parts, and that both are wrong in the same way; a blank function is said once."""
    found, rest, blank = [], results, set()
    for part in exercise.parts:
        mine, rest = rest[: 2 * len(SIZES)], rest[2 * len(SIZES) :]
        judged, function = judge(part, seed, mine, learner.names), part.piece.function
        lines = f"line {', '.join(map(str, learner.left[function]))}" if learner.left.get(function) else ""
        first = next((i for i, finding in enumerate(judged) if finding.status != "right"), None)
        if lines and first is not None and not (judged[first].array and judged[first].status == "not started"):
            same = judged[first]
            words = (*same.words, f"`...` is still in {lines} of your file")
            if mine[0].get("result", "") is None and part.written is None and part.how == "plain":
                same, words = same._replace(status="not started"), words[-1:]
            judged[first] = same._replace(words=words)
        if all(finding.status == "not started" for finding in judged):
            judged = [] if function in blank else judged
            blank.add(function)
        found += judged
    return tuple(found) + consistent(exercise, seed, results, rest, found)


# One part


def judge(part: Part, seed: int, done: Sequence[dict], names: frozenset[str]) -> list[Finding]:
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
    arrays = [arrays_of(part, result["result"], result["after"]) for result in done]
    if any(words := unequal(part, first, second) for first, second in zip(arrays[::2], arrays[1::2])):
        return one("wrong", words)
    return compared(part, seed, Given(arrays[::2], done[0].get("warned", ()), names))


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
        if isinstance(value, Other) and value == "...":     # still blank: judge the other results
            continue
        if isinstance(value, Other):
            return f"{name} must be an array; got {value}"
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


def unequal(part: Part, first: list[NDArray], second: list[NDArray]) -> str:
    """Return the words for a function that returns other numbers when it is called again."""
    for name, a, b in zip(part.results, first, second):
        if a is b is None:
            continue
        if a is None or b is None or a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, equal_nan=True):
            return f"{name} is not repeatable: the same inputs gave other numbers. Draw no random numbers; use the arguments"
    return ""


# Central differences: is a backward the gradient of the learner's own forward?


def pair(exercise: Exercise) -> bool:
    """Return True if an exercise begins with a function and its backward."""
    names = [part.piece.name for part in exercise.parts[:2]]
    return len(names) == 2 and names[1] == f"{names[0]}_backward"


def slopes(exercise: Exercise, seed: int) -> list[dict]:
    """Return calls of a learner's forward at moved inputs, two for each input of the draws of its backward."""
    if not pair(exercise):
        return []
    calls = []
    for _, (d_out, *inputs) in draws(exercise.parts[1], seed):
        for i, value in enumerate(inputs):
            for step in (STEP, -STEP):
                moved = [a + step * direction(a) if i == j else a for j, a in enumerate(inputs)]
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
    after = iter([result.get("result") for result in moved])
    for (_, (d_out, *inputs)), result in zip(draws(backward, seed), results[2 * len(SIZES) :: 2]):
        gradients = result.get("result")
        gradients = dict(zip(backward.results, gradients if isinstance(gradients, (tuple, list)) else [gradients]))
        for name, value in zip(backward.arguments()[1:], inputs):
            ends = next(after), next(after)
            if f"d_{name}" in gradients:
                mine = gradients[f"d_{name}"]
                if any(getattr(end, "shape", None) != d_out.shape for end in ends) or np.shape(mine) != value.shape:
                    return ()
                numeric = (d_out * (ends[0] - ends[1])).sum() / (2 * STEP)
                if not np.isclose((mine * direction(value)).sum(), numeric, rtol=REL):
                    return ()
    words = f"your {backward.piece.function} is the gradient of your {forward.piece.function} (central differences): no " \
            "gradient check can see this error. Correct the function, then its backward"
    return (Finding("both", "", "wrong", (words,)),)
