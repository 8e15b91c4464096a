"""One training step of a VAE, line by line, with the floating point numbers that each line computes.

A trace function (see Python's `sys.settrace`) records the variables of minivae's functions after every line. The trace
shows the lines that really ran, so it cannot differ from the code.
"""

import ast
import functools
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.study.fourways import Gradient, Problem, agreement
from minivae import gaussian, likelihood, objective, ops, vae
from minivae.params import Params

SHOWN = (ops, gaussian, likelihood, objective, vae)         # the modules whose lines are shown
WHOLE = ("sigmoid", "softplus_excess", "bernoulli_terms", "squared_error", "log_binomials")     # functions shown as one line
ID = re.compile(r"\b(?:odaibo|lm|hong|cards|beyond)\.\w+")


class Made(NamedTuple):
    """A number or array, and the line that made it.

    `step` is the step number in the comment of the line, or "". `ids` are ids of ledger entries. `depth` is 0 in the
    recorded function, 1 in a function that the recorded function calls, and so on.
    """

    depth: int
    function: str
    file: str
    line: int
    source: str
    step: str
    name: str
    value: NDArray
    ids: tuple[str, ...]


@dataclass
class Line:
    """A line of code that ran. `inside` has the lines that ran in the functions that this line calls."""

    depth: int
    function: str
    path: str
    number: int
    function_ids: tuple[str, ...]                           # ledger ids in the docstring of `function`
    called_ids: tuple[str, ...] = ()                        # ledger ids of the functions that the line calls
    inside: list["Line"] = field(default_factory=list)
    made: dict[str, NDArray] = field(default_factory=dict)      # {variable that was assigned or changed in the line: value}
    results: dict[str, NDArray] = field(default_factory=dict)   # for a `return` line of f: {"f(...)": returned number}

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ledger ids of the functions that the line calls.

        If these functions have no ledger ids, return the ids of the function that contains the line.
        """
        return self.called_ids or self.function_ids

    @property
    def source(self) -> str:
        """The code of the line without its comment."""
        return linecache.getline(self.path, self.number).strip().partition("  #")[0].strip()

    @property
    def step(self) -> str:
        """The step number, if the line's comment in vae.py begins with one; otherwise ""."""
        comment = linecache.getline(self.path, self.number).partition("  #")[2] if self.path == vae.__file__ else ""
        return number[1] if (number := re.match(r"\s*(\d)\b", comment)) else ""


# Recording


class Watched:
    """A running function of minivae.

    `before`: the values of the function's variables before the current line. `lines`: the records of the lines that ran.
    """

    def __init__(self, frame: FrameType, lines: list[Line]):
        self.before, self.lines, self.line = numbers_of(frame), lines, None
        self.ids, self.whole = cited(frame), frame.f_code.co_name in WHOLE
        self.called_ids: tuple[str, ...] = ()               # ledger ids of the functions that this function has called


class Recorder:
    """A trace function that records every line of minivae's mathematics, with the numbers that the line computes."""

    def __init__(self):
        self.files, self.stack, self.lines = {module.__file__ for module in SHOWN}, [], []

    def __call__(self, frame: FrameType, event: str, _):
        """Watch a function that starts.

        Three kinds of functions are not watched: functions without a name (such as lambdas), functions of modules that are
        not in SHOWN, and functions that are called by a function in WHOLE.
        """
        code = frame.f_code
        if code.co_filename not in self.files or code.co_name.startswith("<") or (self.stack and self.stack[-1].whole):
            return None
        self.stack.append(Watched(frame, self.stack[-1].line.inside if self.stack else self.lines))
        return self.at_line

    def at_line(self, frame: FrameType, event: str, returned):
        """Record the values that the previous line computed; add a record for the next line.

        A function in WHOLE is recorded as one line.
        """
        watched = self.stack[-1]
        if event == "exception":
            return self.at_line
        if watched.line:
            watched.line.made, watched.before = made_by(watched.line, frame, watched.before), numbers_of(frame)
        if event == ("return" if watched.whole else "line"):
            place = frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno
            watched.line = Line(len(self.stack) - 1, *place, watched.ids)
            watched.lines.append(watched.line)
        if event == "return":
            self.stack.pop()
            shown, results = [one.value for one in numbers([watched.line])], results_of(frame, returned).items()
            watched.line.results = {name: value for name, value in results if not among(value, shown)}
            for above in (self.stack[-1], self.stack[-1].line) if self.stack else ():
                above.called_ids = tuple(dict.fromkeys((*above.called_ids, *(watched.ids or watched.called_ids))))
        return self.at_line


def record(call: Callable[[], object]) -> list[Line]:
    """Run the function `call`; return the lines of minivae's mathematics that ran, in order."""
    recorder, before = Recorder(), sys.gettrace()
    sys.settrace(recorder)
    try:
        call()
    finally:
        sys.settrace(before)
    return recorder.lines


def numbers(lines: Iterable[Line]) -> list[Made]:
    """Return all numbers in the order of computation: a called function computes its numbers before the calling line."""
    made = []
    for line in lines:
        place = line.depth, line.function, Path(line.path).name, line.number, line.source, line.step
        of_line = (line.made | line.results).items()
        made += [*numbers(line.inside), *(Made(*place, name, value, line.ids) for name, value in of_line)]
    return made


def cited(frame: FrameType) -> tuple[str, ...]:
    """Return the ledger ids in the docstring of a running function."""
    code, model = frame.f_code, frame.f_locals.get("self")
    homes = [vars(type(model)), frame.f_globals] if model is not None else [frame.f_globals]
    found = (f for home in homes for f in home.values() if getattr(f, "__code__", None) is code)
    return tuple(dict.fromkeys(ID.findall(inspect.getdoc(next(found, None)) or "")))


def numbers_of(frame: FrameType) -> dict[str, NDArray]:
    """Return copies of the numbers in a function's variables, including the arrays in lists and in `Params`."""
    return {name: np.array(value) for name, value in variables(frame).items()}


def variables(frame: FrameType) -> dict[str, NDArray]:
    """Return the floating point arrays and numbers in the variables of a function, by name."""
    found = {}
    for name, value in frame.f_locals.items():
        if name in ("_", "into", "weight", "bias"):         # weights are left out: the command prints them before the trace
            continue
        if isinstance(value, Params):
            found |= {f"{name}[{key}]": array for key, array in value.items()}
        elif isinstance(value, (list, tuple)) and not isinstance(value, vae.Forward):
            found |= {f"{name}[{i}]": item for i, item in enumerate(value)}
        else:
            found[name] = value
    return {name: value for name, value in found.items() if is_number(value)}


def made_by(line: Line, frame: FrameType, before: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return the numbers that a line made or changed. If an array has two names, use the name that the line assigns."""
    new = {name: value for name, value in variables(frame).items() if name not in before or not same(before[name], value)}
    names = assigned(line.path).get(line.number, set())
    new = dict(sorted(new.items(), key=lambda item: item[0].partition("[")[0] not in names))
    unique = {id(value): name for name, value in reversed(new.items())}
    return {name: np.array(value) for name, value in new.items() if unique[id(value)] == name}


@functools.cache
def assigned(path: str) -> dict[int, set[str]]:
    """Return {line number: names that are assigned in this line} for the file `path`."""
    found: dict[int, set[str]] = {}
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.lineno, set()).add(node.id)
    return found


def results_of(frame: FrameType, returned) -> dict[str, NDArray]:
    """Return {"f(...)": copy of the number that a function f returns}, or {"f(...)[0]": ..., ...} if f returns a tuple.

    A number that is also in a variable of f is left out, because the trace shows it with the name of the variable.
    """
    name, stored = f"{frame.f_code.co_name}(...)", [id(value) for value in frame.f_locals.values()]
    many = isinstance(returned, tuple) and not isinstance(returned, vae.Forward)
    found = {f"{name}[{i}]": value for i, value in enumerate(returned)} if many else {name: returned}
    return {name: np.array(value) for name, value in found.items() if is_number(value) and id(value) not in stored}


def is_number(value) -> bool:
    """Return True for a floating point number or array of NumPy; sizes are integers and are not shown."""
    return isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f"


def same(a: NDArray, b: NDArray) -> bool:
    """Return True if two arrays have the same shape and values; NaN equals NaN."""
    return np.array_equal(a, b, equal_nan=True)


def among(value: NDArray, others: Iterable[NDArray]) -> bool:
    """Return True if `value` is equal to one of `others`."""
    return any(same(value, other) for other in others)


# The trace of a training step, and the text that describes it


def training_step(given: Problem) -> tuple[list[Line], list[Line]]:
    """Run a forward and a backward pass. Return the lines that ran in the forward pass, and those of the backward pass."""
    model, x, eps = given
    f, gradient = model.forward(x, eps), model.params.zeros_like()
    return record(lambda: model.forward(x, eps)), record(lambda: model.backward(x, eps, f, gradient))


def step_text(lines: Iterable[Line], width: int, named: tuple = ()) -> Iterator[str]:
    """Yield the text for each line of code: a heading, the trace of the called functions, and the computed numbers.

    A line without a step number is skipped if neither the line nor a function that it calls computes a number. If `lines`
    are the lines of a called function, `named` has the numbers that the calling line assigns. The text shows these numbers
    below the calling line, and not a second time at the `return` of the called function.
    """
    for line in lines:
        above = (*line.made.values(), *(named if line.source.startswith("return") else ()))
        inside = list(step_text(line.inside, width, above))
        if not (line.step or line.made or line.results or inside):
            continue
        indent, ids = "  " * line.depth, ", ".join(line.ids)
        heading = f"{line.step:2} {indent + line.source:{max(0, width - 4 - len(ids))}} {ids}".rstrip()
        shown = line.made | {name: value for name, value in line.results.items() if not among(value, named)}
        made = [f"   {indent}  {name} {value.shape} = {short(value)}" for name, value in shown.items()]
        yield heading if inside else "\n".join([heading, *made])
        yield from inside
        if inside and made:
            yield "\n".join(made)


def short(value: NDArray) -> str:
    """Write a number with at most five digits, and an array as nested lists without axes of length one (except the last)."""
    value = np.asarray(value)
    while value.ndim > 1 and len(value) == 1:
        value = value[0]
    return f"{value:.5g}" if value.ndim == 0 else f"[{', '.join(map(short, value))}]"


def gradient_text(gradients: list[Gradient]) -> list[str]:
    """Return a table of the gradient, computed in four ways, with the number of digits that agree."""
    agree = agreement(gradients)
    lines = [
        f"{'':24}{'at this noise':>14}{'':28}{'averaged over the noise':>28}",
        f"{'':24}{'by hand':>14}{'difference':>14}{'complex step':>14}{'by hand':>14}{'integral':>14}  digits",
    ]
    for i, one in enumerate(gradients):
        numbers = "".join(f"{value:14.8f}" for value in one[1:])
        lines.append(f"{one.name:24}{numbers}  {' '.join(f'{agree[way][i]:2}' for way in agree)}")
    least = ", ".join(f"{way} {min(found)}" for way, found in agree.items())
    return [*lines, "", f"fewest digits that agree with the gradient by hand: {least}"]


def document(lines: list[Line]) -> list[dict]:
    """Return a dict for each computed number, for JSON."""
    made = numbers(lines)
    return [one._asdict() | {"shape": list(one.value.shape), "value": one.value.tolist()} for one in made]
