"""One training step of a VAE, line by line, with every number that a line makes.

The lines are those of minivae itself: Python says after every line which numbers are new. So what is shown cannot
differ from what runs.
"""

import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.study.fourways import Gradient, Problem, agreement
from minivae import gaussian, likelihood, objective, ops, vae

SHOWN = (ops, gaussian, likelihood, objective, vae)                    # the modules whose lines are shown
WHOLE = ("sigmoid", "softplus", "inner", "squared_error", "log_binomials")              # by their results alone
ID = re.compile(r"\b(?:odaibo|lm|hong|cards|beyond)\.\w+")


class Made(NamedTuple):
    """What one line has made: where the line is, its number among the seven steps, name, value, ledger ids."""

    depth: int
    function: str
    file: str
    line: int
    source: str
    step: str
    name: str
    value: NDArray
    ids: tuple[str, ...]


# Stepping through


class Watched:
    """A function of minivae that is running: what it held before its current line, and what is cited by whom it calls."""

    def __init__(self, frame: FrameType, depth: int, since: int):
        self.depth, self.line, self.held = depth, frame.f_lineno, numbers_of(frame)
        self.own, self.called, self.whole = cited(frame), (), frame.f_code.co_name in WHOLE
        self.since = since                                  # how many numbers were known when the line began

    @property
    def ids(self) -> tuple[str, ...]:
        """The ledger ids of the functions called, else its own."""
        return self.called or self.own


class Recorder:
    """Follows a call with Python's own trace function, and notes every number that a line makes."""

    def __init__(self):
        self.files, self.stack, self.made = {module.__file__ for module in SHOWN}, [], []

    def __call__(self, frame: FrameType, event: str, _):
        """A function begins: it is watched if it is minivae's mathematics, and not inside one that is shown whole."""
        code = frame.f_code
        if code.co_filename not in self.files or code.co_name.startswith("<") or (self.stack and self.stack[-1].whole):
            return None
        self.stack.append(Watched(frame, len(self.stack), len(self.made)))
        return self.at_line

    def at_line(self, frame: FrameType, event: str, returned):
        """A line has run: note what is new."""
        if event == "exception":
            return self.at_line
        watched = self.stack[-1]
        now = numbers_of(frame)
        for name, value in () if watched.whole else now.items():
            if name not in watched.held or not np.array_equal(watched.held[name], value):
                self.note(frame, watched, name, value)
        if event == "return":
            self.stack.pop()
            if self.stack:
                self.stack[-1].called += tuple(id for id in watched.ids if id not in self.stack[-1].called)
            for name, value in results_of(frame, returned).items():
                self.note(frame, watched, name, value)
        watched.held, watched.line, watched.called, watched.since = now, frame.f_lineno, (), len(self.made)
        return self.at_line

    def note(self, frame: FrameType, watched: Watched, name: str, value: NDArray) -> None:
        """Add a number, unless it was seen in this line: by this name or, if it is returned, by any."""
        shown = [made for made in self.made[watched.since :] if made.name == name or "(...)" in name]
        if any(np.array_equal(made.value, value) for made in shown):
            return
        source, _, comment = linecache.getline(frame.f_code.co_filename, watched.line).strip().partition("  #")
        number = re.match(r"\s*(\d)(?:, \d)*\b(?! *x)", comment) if "self" in frame.f_locals else None
        step = number[1] if number else ""
        place = frame.f_code.co_name, Path(frame.f_code.co_filename).name, watched.line
        self.made.append(Made(watched.depth, *place, source.strip(), step, name, value, watched.ids))


def record(call: Callable[[], object]) -> list[Made]:
    """Run a call; every number that a line of minivae's mathematics makes on the way, in order."""
    recorder, before = Recorder(), sys.gettrace()
    sys.settrace(recorder)
    try:
        call()
    finally:
        sys.settrace(before)
    return recorder.made


def cited(frame: FrameType) -> tuple[str, ...]:
    """The ledger ids in the docstring of a running function."""
    code, model = frame.f_code, frame.f_locals.get("self")
    homes = [vars(type(model)), frame.f_globals] if model is not None else [frame.f_globals]
    found = (f for home in homes for f in home.values() if getattr(f, "__code__", None) is code)
    return tuple(dict.fromkeys(ID.findall(inspect.getdoc(next(found, None)) or "")))


def numbers_of(frame: FrameType) -> dict[str, NDArray]:
    """Copies of all numbers a function holds under a name of their own; of a list of arrays, of each of them."""
    found, seen = {}, set()
    for name, value in frame.f_locals.items():
        if name in ("_", "into", "weight", "bias") or id(value) in seen:
            continue                                        # thrown away, or known by another name
        seen.add(id(value))
        if is_number(value):
            found[name] = np.array(value)
        elif isinstance(value, (list, tuple)) and not isinstance(value, vae.Forward):
            found |= {f"{name}[{i}]": np.array(item) for i, item in enumerate(value) if is_number(item)}
    return found


def results_of(frame: FrameType, returned) -> dict[str, NDArray]:
    """Copies of the numbers a function returns that have no name in it."""
    name, held = f"{frame.f_code.co_name}(...)", [id(value) for value in frame.f_locals.values()]
    many = isinstance(returned, tuple) and not isinstance(returned, vae.Forward)
    found = {f"{name}[{i}]": value for i, value in enumerate(returned)} if many else {name: returned}
    return {name: np.array(value) for name, value in found.items() if is_number(value) and id(value) not in held}


def is_number(value) -> bool:
    """Whether it is one of the numbers of the model; a size is none."""
    return isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f"


# A step of training, and as text


def training_step(given: Problem) -> tuple[list[Made], list[Made]]:
    """What the forward and the backward make."""
    model, x, eps = given
    f, gradient = model.forward(x, eps), model.params.zeros_like()
    return record(lambda: model.forward(x, eps)), record(lambda: model.backward(x, eps, f, gradient))


def step_text(made: list[Made], width: int) -> Iterator[str]:
    """Every line with what it has made under it; deeper is what it calls, and comes first."""
    for _, group in groupby(made, lambda one: (one.function, one.line, one.depth)):
        group = list(group)
        first, indent = group[0], "  " * group[0].depth
        where = f"{indent}{first.source}"
        ids = ", ".join(dict.fromkeys(id for one in group for id in one.ids))
        lines = [f"{first.step:2} {where:{max(0, width - 3 - len(ids))}}{ids and ' '}{ids}".rstrip()]
        lines += [f"   {indent}    {one.name} {one.value.shape} = {short(one.value)}" for one in group]
        yield "\n".join(lines)


def short(value: NDArray) -> str:
    """Numbers to five digits, an array as nested lists without the outer axes of length one."""
    value = np.asarray(value)
    while value.ndim > 1 and len(value) == 1:
        value = value[0]
    return f"{value:.5g}" if value.ndim == 0 else f"[{', '.join(map(short, value))}]"


def gradient_text(gradients: list[Gradient]) -> list[str]:
    """The gradient four ways as a table, with the digits in which they agree."""
    agree = agreement(gradients)
    lines = [
        f"{'':24}{'at this noise':>14}{'':28}{'averaged over the noise':>28}",
        f"{'':24}{'by hand':>14}{'difference':>14}{'complex step':>14}{'by hand':>14}{'integral':>14}  digits",
    ]
    for i, one in enumerate(gradients):
        numbers = "".join(f"{value:14.8f}" for value in one[1:])
        lines.append(f"{one.name:24}{numbers}  {' '.join(f'{agree[way][i]:2}' for way in agree)}")
    least = ", ".join(f"{way} {min(found)}" for way, found in agree.items())
    return [*lines, "", f"digits in which it agrees with the one by hand, at least: {least}"]


def document(made: list[Made]) -> list[dict]:
    """What was made, for JSON."""
    return [one._asdict() | {"shape": list(one.value.shape), "value": one.value.tolist()} for one in made]
