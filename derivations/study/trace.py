"""One training step of a VAE, line by line, with every number that a line makes.

The lines are those of minivae itself: Python's own trace function reports the variables after every line. So the trace
always shows the code that runs.
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
WHOLE = ("sigmoid", "softplus_excess", "bernoulli_terms", "squared_error", "log_binomials")     # shown without their lines
ID = re.compile(r"\b(?:odaibo|lm|hong|cards|beyond)\.\w+")


class Made(NamedTuple):
    """A number, and the line that made it: place, number among the seven steps, name, value, ledger ids."""

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
    """A line that ran: its place, the lines that ran inside its calls, and the numbers that it made."""

    depth: int
    function: str
    path: str
    number: int
    own: tuple[str, ...]                                    # ledger ids of its function
    called: tuple[str, ...] = ()                            # ledger ids of the functions that it calls
    inside: list["Line"] = field(default_factory=list)
    made: dict[str, NDArray] = field(default_factory=dict)      # by the name that the line assigns
    results: dict[str, NDArray] = field(default_factory=dict)   # returned without a name: "f(...)"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ledger ids of the functions called, else those of the function itself."""
        return self.called or self.own

    @property
    def source(self) -> str:
        """The code without its comment."""
        return linecache.getline(self.path, self.number).strip().partition("  #")[0].strip()

    @property
    def step(self) -> str:
        """The number of the step, which begins the comment of a line in vae.py; else ""."""
        comment = linecache.getline(self.path, self.number).partition("  #")[2] if self.path == vae.__file__ else ""
        return number[1] if (number := re.match(r"\s*(\d)\b", comment)) else ""


# Stepping through


class Watched:
    """A running function of minivae: its numbers before the current line, and where its lines are recorded."""

    def __init__(self, frame: FrameType, lines: list[Line]):
        self.held, self.lines, self.line = numbers_of(frame), lines, None
        self.ids, self.whole = cited(frame), frame.f_code.co_name in WHOLE
        self.called: tuple[str, ...] = ()                   # ledger ids of the functions that it has called


class Recorder:
    """Python's trace function for a call: records every line of minivae's mathematics, with the numbers it makes."""

    def __init__(self):
        self.files, self.stack, self.lines = {module.__file__ for module in SHOWN}, [], []

    def __call__(self, frame: FrameType, event: str, _):
        """Watch a function that begins, if it is in SHOWN and not inside one of WHOLE."""
        code = frame.f_code
        if code.co_filename not in self.files or code.co_name.startswith("<") or (self.stack and self.stack[-1].whole):
            return None
        self.stack.append(Watched(frame, self.stack[-1].line.inside if self.stack else self.lines))
        return self.at_line

    def at_line(self, frame: FrameType, event: str, returned):
        """Record the numbers of the line that ended, and begin the next; a function of WHOLE has only its last line."""
        watched = self.stack[-1]
        if event == "exception":
            return self.at_line
        if watched.line:
            watched.line.made, watched.held = made_by(watched.line, frame, watched.held), numbers_of(frame)
        if event == ("return" if watched.whole else "line"):
            place = frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno
            watched.line = Line(len(self.stack) - 1, *place, watched.ids)
            watched.lines.append(watched.line)
        if event == "return":
            self.stack.pop()
            shown, results = [one.value for one in numbers([watched.line])], results_of(frame, returned).items()
            watched.line.results = {name: value for name, value in results if not among(value, shown)}
            for above in (self.stack[-1], self.stack[-1].line) if self.stack else ():
                above.called = tuple(dict.fromkeys((*above.called, *(watched.ids or watched.called))))
        return self.at_line


def record(call: Callable[[], object]) -> list[Line]:
    """Run a call; return the lines of minivae's mathematics that ran, in order."""
    recorder, before = Recorder(), sys.gettrace()
    sys.settrace(recorder)
    try:
        call()
    finally:
        sys.settrace(before)
    return recorder.lines


def numbers(lines: Iterable[Line]) -> list[Made]:
    """Every number in the order in which it was made: those inside a line come before those of the line."""
    made = []
    for line in lines:
        place = line.depth, line.function, Path(line.path).name, line.number, line.source, line.step
        own = (line.made | line.results).items()
        made += [*numbers(line.inside), *(Made(*place, name, value, line.ids) for name, value in own)]
    return made


def cited(frame: FrameType) -> tuple[str, ...]:
    """The ledger ids in the docstring of a running function."""
    code, model = frame.f_code, frame.f_locals.get("self")
    homes = [vars(type(model)), frame.f_globals] if model is not None else [frame.f_globals]
    found = (f for home in homes for f in home.values() if getattr(f, "__code__", None) is code)
    return tuple(dict.fromkeys(ID.findall(inspect.getdoc(next(found, None)) or "")))


def numbers_of(frame: FrameType) -> dict[str, NDArray]:
    """Copies of the numbers in the variables of a function; of lists and of `Params`, of each array in them."""
    return {name: np.array(value) for name, value in variables(frame).items()}


def variables(frame: FrameType) -> dict[str, NDArray]:
    """The arrays in the variables of a function, by name."""
    found = {}
    for name, value in frame.f_locals.items():
        if name in ("_", "into", "weight", "bias"):         # weights are printed above the trace
            continue
        if isinstance(value, Params):
            found |= {f"{name}[{key}]": array for key, array in value.items()}
        elif isinstance(value, (list, tuple)) and not isinstance(value, vae.Forward):
            found |= {f"{name}[{i}]": item for i, item in enumerate(value)}
        else:
            found[name] = value
    return {name: value for name, value in found.items() if is_number(value)}


def made_by(line: Line, frame: FrameType, held: dict[str, NDArray]) -> dict[str, NDArray]:
    """The numbers that are new or changed after a line. If two names share an array, the one that is assigned counts."""
    new = {name: value for name, value in variables(frame).items() if name not in held or not same(held[name], value)}
    names = assigned(line.path).get(line.number, set())
    new = dict(sorted(new.items(), key=lambda item: item[0].partition("[")[0] not in names))
    unique = {id(value): name for name, value in reversed(new.items())}
    return {name: np.array(value) for name, value in new.items() if unique[id(value)] == name}


@functools.cache
def assigned(path: str) -> dict[int, set[str]]:
    """The names that are assigned on every line of a file."""
    found: dict[int, set[str]] = {}
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.lineno, set()).add(node.id)
    return found


def results_of(frame: FrameType, returned) -> dict[str, NDArray]:
    """Copies of the numbers a function returns that no variable of it holds."""
    name, held = f"{frame.f_code.co_name}(...)", [id(value) for value in frame.f_locals.values()]
    many = isinstance(returned, tuple) and not isinstance(returned, vae.Forward)
    found = {f"{name}[{i}]": value for i, value in enumerate(returned)} if many else {name: returned}
    return {name: np.array(value) for name, value in found.items() if is_number(value) and id(value) not in held}


def is_number(value) -> bool:
    """True for a floating point number or array; sizes are integers and do not count."""
    return isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f"


def same(a: NDArray, b: NDArray) -> bool:
    """True if two numbers have the same shape and value; NaN equals NaN."""
    return np.array_equal(a, b, equal_nan=True)


def among(value: NDArray, others: Iterable[NDArray]) -> bool:
    """True if one of the others is the same number."""
    return any(same(value, other) for other in others)


# A step of training, and as text


def training_step(given: Problem) -> tuple[list[Line], list[Line]]:
    """The lines of the forward and of the backward pass."""
    model, x, eps = given
    f, gradient = model.forward(x, eps), model.params.zeros_like()
    return record(lambda: model.forward(x, eps)), record(lambda: model.backward(x, eps, f, gradient))


def step_text(lines: Iterable[Line], width: int, named: tuple = ()) -> Iterator[str]:
    """Every line as a heading, then the lines inside it, then its numbers under their own names.

    A number that a function returns is left out if it is in `named`, the numbers that the calling line assigns.
    """
    for line in lines:
        above = (*line.made.values(), *(named if line.source.startswith("return") else ()))
        inside = list(step_text(line.inside, width, above))
        if not (line.step or line.made or line.results or inside):
            continue
        indent, ids = "  " * line.depth, ", ".join(line.ids)
        heading = f"{line.step:2} {indent + line.source:{max(0, width - 4 - len(ids))}} {ids}".rstrip()
        own = line.made | {name: value for name, value in line.results.items() if not among(value, named)}
        made = [f"   {indent}  {name} {value.shape} = {short(value)}" for name, value in own.items()]
        yield heading if inside else "\n".join([heading, *made])
        yield from inside
        if inside and made:
            yield "\n".join(made)


def short(value: NDArray) -> str:
    """Numbers to five digits, an array as nested lists without the outer axes of length one."""
    value = np.asarray(value)
    while value.ndim > 1 and len(value) == 1:
        value = value[0]
    return f"{value:.5g}" if value.ndim == 0 else f"[{', '.join(map(short, value))}]"


def gradient_text(gradients: list[Gradient]) -> list[str]:
    """The gradient four ways as a table, with the number of digits in which they agree."""
    agree = agreement(gradients)
    lines = [
        f"{'':24}{'at this noise':>14}{'':28}{'averaged over the noise':>28}",
        f"{'':24}{'by hand':>14}{'difference':>14}{'complex step':>14}{'by hand':>14}{'integral':>14}  digits",
    ]
    for i, one in enumerate(gradients):
        numbers = "".join(f"{value:14.8f}" for value in one[1:])
        lines.append(f"{one.name:24}{numbers}  {' '.join(f'{agree[way][i]:2}' for way in agree)}")
    least = ", ".join(f"{way} {min(found)}" for way, found in agree.items())
    return [*lines, "", f"digits that agree with the gradient by hand, at least: {least}"]


def document(lines: list[Line]) -> list[dict]:
    """Every number that was made, for JSON."""
    made = numbers(lines)
    return [one._asdict() | {"shape": list(one.value.shape), "value": one.value.tolist()} for one in made]
