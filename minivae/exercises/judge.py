"""Judge a submission: call its functions in another process, and make a verdict from the returned arrays.

Printed text and the exit code do not count. For notebooks, `check_names` calls the functions in this process.
"""

import ast
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.exercises import outside
from minivae.exercises.catalogue import SIZES, Exercise, Part
from minivae.exercises.compare import Finding, arrays_of, compared
from minivae.exercises.cut import blanks_left
from minivae.exercises.pupil import Other, file_of, function_in, leaves, pack, perform, profiler, unpack
from minivae.exercises.sentences import REL, UNDECIDED, Given

STEP = 1e-5                                                 # step of the central differences


class Verdict(NamedTuple):
    """An exercise, its status ("not started", "passed", "wrong" or "error"), findings, and the submission's printed text.

    `flags` are the lines of the submission that import minivae.
    """

    exercise: Exercise
    status: str
    findings: tuple[Finding, ...] = ()
    flags: tuple[str, ...] = ()
    printed: str = ""


class Learner(NamedTuple):
    """The lines of a learner's functions that still contain a blank, and the names that these functions use."""

    left: Mapping[str, list[int]]                           # name of a function -> numbers of its lines with a blank, `...`
    names: frozenset[str]                                   # names of variables, arguments and attributes in the functions


class Asking(NamedTuple):
    """Two functions of the judge for one exercise: the first returns the calls, the second judges their results."""

    calls: Callable                                         # exercise, seed -> the calls
    findings: Callable                                      # exercise, seed, results, learner -> findings


def of_file(status: str, words: str) -> tuple[Finding, ...]:
    """Return a finding about a whole file."""
    return (Finding("the file", "", status, (words,)),)


def safely(judged: Callable) -> Callable:
    """Decorate a function that judges one exercise: if the judge itself fails, return the status "error"."""
    @functools.wraps(judged)
    def verdict(exercise, *rest, **options):
        profiler()                                          # raises ValueError if the active profiler cannot be restored
        try:
            return judged(exercise, *rest, **options)
        except Exception as error:
            words = f"the judge failed with {type(error).__name__}: {error}. This is a fault of minivae: please report it"
            return Verdict(exercise, "error", of_file("error", words))

    return verdict


@safely
def check(exercise: Exercise, file: Path, timeout: float = 10.0, seed: int = 0) -> Verdict:
    """Judge the file of an exercise. Its functions run in another process."""
    how = exercise.asking or Asking(calls_of, findings_of)
    if not file.is_file():
        return Verdict(exercise, "not started", of_file("not started", "is missing"))
    try:
        source = file.read_text(encoding="utf-8-sig")       # skips the byte order mark that some editors write
        functions = functions_in(ast.parse(source, str(file)))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        return Verdict(exercise, "error", of_file("error", unreadable(error)))
    if not source.strip():
        return Verdict(exercise, "error", of_file("error", "is empty"))
    blanks = functions_in(ast.parse(exercise.file()))
    flags = flags_of(exercise, source)
    if all(name in functions and ast.dump(functions[name]) == ast.dump(node) for name, node in blanks.items()):
        return Verdict(exercise, "not started", flags=flags)
    calls = how.calls(exercise, seed)
    ran = outside.run(file, calls, timeout)
    if not ran.executed:
        return Verdict(exercise, "error", of_file("error", ran.error), flags, ran.printed)
    results = list(ran.results)
    for call in calls[len(results) :]:                      # the calls that have no result
        first = calls[len(ran.results)]["function"]
        other = f"was not called, because {first} did not return"
        results.append({"error": ran.error if call["function"] == first else other})
    findings = how.findings(exercise, seed, results, learner_of(functions, blanks))
    return Verdict(exercise, status_of(findings), findings, flags, ran.printed)


def learner_of(functions: Mapping[str, ast.FunctionDef], blanks: Iterable[str]) -> Learner:
    """Return the `Learner` for these functions. `blanks` has the names of the functions that the exercise contains."""
    left = {name: blanks_left(functions[name]) for name in blanks if name in functions}
    return Learner(left, frozenset().union(*map(names_in, functions.values())))


def unreadable(error: Exception) -> str:
    """Return a message that tells why Python cannot parse a file."""
    if isinstance(error, UnicodeDecodeError):
        return "the file is not encoded as UTF-8: save it as UTF-8"
    words = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
    if not isinstance(error, SyntaxError):
        return words
    return f"line {error.lineno}: {words}" + (f". In `{error.text.strip()}`" if error.text else "")


@safely
def check_names(exercise: Exercise, names: dict, seed: int = 0) -> Verdict:
    """Judge functions that this process has defined, such as those of a notebook. Time and memory are not limited."""
    how, untouched = exercise.asking or Asking(calls_of, findings_of), {}
    exec(exercise.file(), untouched)
    blanks = functions_in(ast.parse(exercise.file()))
    if all(same_bytes(names.get(name), untouched[name]) for name in blanks):
        return Verdict(exercise, "not started")
    results = unpack(pack(list(perform(how.calls(exercise, seed), names))))
    trees = {name: function_in(file_of(names.get(name)), name) for name in blanks}
    codes = [names[name].__code__ for name in blanks if hasattr(names.get(name), "__code__")]
    used = frozenset().union(*(code.co_names + code.co_varnames for code in codes))
    learner = Learner({}, used) if None in trees.values() else learner_of(trees, blanks)
    findings = how.findings(exercise, seed, results, learner)
    return Verdict(exercise, status_of(findings), findings)


def functions_in(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Return {name: syntax tree} for the functions at the top level of a file."""
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
    """Return two equal calls per draw of the inputs (their results must agree), then the calls for central differences."""
    calls = [{"function": part.piece.function, "how": part.how, "arguments": arguments, "steps": part.steps()}
             for part in exercise.parts for _, arguments in part.draws(seed) for _ in range(2)]  # fmt: skip
    return calls + slopes(exercise, seed)


def flags_of(exercise: Exercise, source: str) -> tuple[str, ...]:
    """Return one flag for each line that imports minivae, except the import line that the exercise gives."""
    lines = [line.strip() for line in source.splitlines() if "minivae" in line and "import" in line]
    return tuple(f"imports minivae: {line}" for line in lines if line != exercise.import_line() and line[0] != "#")


def status_of(findings: Sequence[Finding]) -> str:
    """Return the status of an exercise from its findings: "error", "passed" or "wrong"."""
    found = {finding.status for finding in findings}
    if "error" in found:
        return "error"
    return "passed" if found == {"right"} else "wrong"


def findings_of(exercise: Exercise, seed: int, results: list[dict], learner: Learner) -> tuple[Finding, ...]:
    """Return the findings about all parts, then a finding of `consistent` if there is one. A blank is reported only once."""
    found, rest = [], results
    for part in exercise.parts:
        mine, rest = rest[: 2 * len(SIZES)], rest[2 * len(SIZES) :]
        judged = judge(part, seed, mine, learner)
        blank = {(each.function.partition(", ")[0], each.array) for each in found if each.status == "not started"}
        found += [each for each in same_cause(judged, found)
                  if each.status != "not started" or (part.piece.function, each.array) not in blank]  # fmt: skip
    return tuple(found) + consistent(exercise, seed, results, rest, found)


def same_cause(judged: list[Finding], found: Sequence[Finding]) -> list[Finding]:
    """Compare the findings in `judged` with earlier ones; return the findings in `judged`, some of them with better words.

    `found` contains the earlier findings. A finding in `judged` may be about the same array as an earlier finding, for
    different inputs. If one wrong version of the solution explains both findings, the later finding gets the words of the
    earlier one. If no known mistake explains a later finding, the function looks at the earlier findings about the same
    array. If all of them are "right", the later finding says that the array is right for the other inputs.
    """
    for i, each in enumerate(judged):
        function, _, case = each.function.partition(", ")
        earlier = [other for other in found if (other.function.partition(", ")[0], other.array) == (function, each.array)]
        for other in earlier:
            if set(each.names) & set(other.names):
                judged[i] = each._replace(words=other.words)
        if {other.status for other in earlier} == {"right"} and each.words and each.words[0].startswith(UNDECIDED):
            why = ": is something clipped, a probability for example?" if "large" in case else ""
            words = f"is right for the other inputs, wrong for {case}{why}", each.words[0].removeprefix(UNDECIDED)
            judged[i] = each._replace(words=words)
    return judged


# One part of an exercise


def judge(part: Part, seed: int, done: Sequence[dict], learner: Learner) -> list[Finding]:
    """Return the findings about a part: its results, some intermediate values, and lines that fail or are still blank.

    If the results cannot be judged, return one finding with the reason. If the reason is an error, and some lines are
    still blank, add a finding about the blank lines.
    """
    def one(status, *words, array=""):
        return Finding(part.title, array, status, words)

    left = learner.left.get(part.piece.function)
    blanks = None
    if left:
        blanks = Finding(part.piece.function, "", "not started", (f"`...` is still in {ranges(left)} of your file",))
    for result in done:
        if "error" in result:
            error = str(result["error"])
            return [one("error", error)] + ([blanks] if blanks else [])
        if blanks and result.get("result") is None:
            return [blanks]
        if words := structure(part, result.get("result")):
            return [one("wrong", words)]
    for (_, before), result in zip(part.draws(seed), done[::2]):
        if words := changed(part, before, result.get("after")):
            return [one("wrong", words)]
    arrays = [arrays_of(part, result["result"], result["after"]) for result in done]
    if any(words := unequal(part, first, second) for first, second in zip(arrays[::2], arrays[1::2])):
        return [one("wrong", words)]
    failed = [one("not started" if words.startswith("uses") else "error", words, array=names)
              for names, words in done[0].get("failed", {}).items()]  # fmt: skip
    given = Given(arrays[::2], done[0].get("warned", ()), learner.names, [each.get("steps", {}) for each in done[::2]],
                  bool(done[0].get("replaced")), bool(left or failed))
    lost = {name for each in failed for name in each.array.split(", ")}
    found = [each for each in compared(part, seed, given) if each.array not in lost]
    said = any(each.status == "not started" for each in found)
    return failed + found + ([blanks] if blanks and not said else [])


def ranges(lines: Sequence[int]) -> str:
    """Return "lines 49 to 60" for lines that follow each other, else "lines 3, 7"."""
    if len(lines) > 2 and lines[-1] - lines[0] == len(lines) - 1:
        return f"lines {lines[0]} to {lines[-1]}"
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}"


def structure(part: Part, result: Any) -> str:
    """Return a message if the number or the kind of the results is wrong, else ""."""
    names = part.returned
    if result is None:
        return "returns None: is the `return` missing?"
    parts = result if isinstance(result, (tuple, list)) else (result,)
    if len(names) == 1 and isinstance(result, list) and not (len(result) == 1 and isinstance(result[0], np.ndarray)):
        parts = (result,)
    if len(parts) != len(names):
        got = f"{len(parts)} results" if isinstance(result, (tuple, list)) else "one result"
        return f"must return {len(names)} result{'s' * (len(names) > 1)} ({', '.join(names)}); got {got}"
    for name, value in zip(names, parts):
        if isinstance(value, Other) and value == "...":     # still blank: judge the other results
            continue
        if isinstance(value, (list, tuple, dict)):
            return f"{name} is a {type(value).__name__}: return an array"
        if isinstance(value, Other) and value.startswith("dtype"):
            return f"{name} has {value}: use float64"
        if not isinstance(value, np.ndarray):
            return f"{name} must be an array; got {value if isinstance(value, Other) else repr(value)}"
        if value.dtype.kind not in "fi" or value.dtype.itemsize < 4 and value.dtype.kind == "f":
            return f"{name} must be an array of real numbers; got dtype {value.dtype}: use float64"
    return ""


def changed(part: Part, before: list, after: Any) -> str:
    """Return a message if the learner's function has changed one of its inputs, else ""."""
    for i, (name, value) in enumerate(zip(part.arguments(), before)):
        if i != part.written and not all(same(a, b) for a, b in zip(leaves(value), leaves(after[i]))):
            into = f"`+=`, `**=` and `[...] =` write into {name} itself"
            return f"changes its input {name}: give the new array a new name; {into}"
    return ""


def same(a: Any, b: Any) -> bool:
    """Return True if two arrays or numbers are equal. In arrays, nan is equal to nan."""
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


def unequal(part: Part, first: list[NDArray], second: list[NDArray]) -> str:
    """Return a message if the learner's function gives other numbers when it is called again, else ""."""
    for name, a, b in zip(part.results, first, second):
        if a is b is None:
            continue
        if a is None or b is None or a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, equal_nan=True):
            return f"{name} is not repeatable: the same inputs gave other numbers. Draw no random numbers; use the arguments"
    return ""


# Central differences: is the learner's backward function the gradient of the learner's forward function?


def pair(exercise: Exercise) -> bool:
    """Return True if the first two parts of an exercise are a function and its backward function."""
    names = [part.piece.name for part in exercise.parts[:2]]
    return len(names) == 2 and names[1] == f"{names[0]}_backward"


def slopes(exercise: Exercise, seed: int) -> list[dict]:
    """Return the calls of the learner's forward function from which central differences are computed.

    For each input, the first call moves the input by STEP times `direction`; the second call moves it the opposite way.
    """
    if not pair(exercise):
        return []
    calls = []
    for _, (d_out, *inputs) in exercise.parts[1].draws(seed):
        for i, value in enumerate(inputs):
            for step in (STEP, -STEP):
                moved = [a + step * direction(a) if i == j else a for j, a in enumerate(inputs)]
                calls.append({"function": exercise.parts[0].piece.function, "how": "plain", "arguments": moved})
    return calls


def direction(array: NDArray) -> NDArray:
    """Return fixed numbers in the shape of an array: the direction in which the array is moved for a central difference."""
    return np.cos(np.arange(array.size)).reshape(array.shape)


def consistent(exercise: Exercise, seed: int, results: list, moved: list, found: list[Finding]) -> tuple[Finding, ...]:
    """Return a finding if the learner's forward and backward are both wrong, but backward is the gradient of forward."""
    wrong = {finding.function for finding in found if finding.status == "wrong"}
    if not pair(exercise) or not {part.title for part in exercise.parts[:2]} <= wrong:
        return ()
    forward, backward = exercise.parts[:2]
    after = iter([result.get("result") for result in moved])
    for (_, (d_out, *inputs)), result in zip(backward.draws(seed), results[2 * len(SIZES) :: 2]):
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
            f"gradient check can see this error. Correct {forward.piece.function} first"
    return (Finding("both", "", "wrong", (words,)),)
