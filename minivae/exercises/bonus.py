"""The bonus: the learner writes the check, and bugs of the museum judge it."""

import ast
import textwrap
from pathlib import Path

import numpy as np

from minivae.checks import refuse
from minivae.exercises import outside, pupil
from minivae.exercises.catalogue import CAUGHT, PARTS, SIZES, Exercise, copies, exercises
from minivae.exercises.cut import blanks_left
from minivae.exercises.judge import Finding, Verdict, same_bytes, status_of
from minivae.exercises.prompts import TEXTS
from minivae.museum import exhibits

FILE = '"""Bonus: {title}\n\n{prompt}\n"""\n\nimport numpy as np\n\n\ndef check(gaussian):\n    ...\n'


class Bonus(Exercise):
    """The exercise whose function is judged by what it notices."""

    def file(self) -> str:
        """Return the learner's file."""
        return FILE.format(title=self.title.removeprefix("bonus: "), prompt=self.prompt)


def _made() -> Bonus:
    title, prompt, *hints = (textwrap.dedent(text).strip("\n") for text in TEXTS["write_the_check"])
    return Bonus(len(PARTS) + 1, "write_the_check", title, prompt, tuple(hints), (), ())


BONUS = _made()


def _untouched(gaussian):
    ...


def check_bonus(file: Path, timeout: float = 10.0, seed: int = 0) -> Verdict:
    """Judge the learner's check: it must pass the right module and notice every named exhibit."""
    if not file.is_file():
        return Verdict(BONUS, "not started")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (SyntaxError, ValueError) as error:
        return Verdict(BONUS, "error", (Finding("the file", "", "error", (f"{type(error).__name__}: {error}",)),))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if functions and len(functions[0].body) == 1 and blanks_left(functions[0]):
        return Verdict(BONUS, "not started")
    (call,) = calls = calls_of(seed)
    ran = outside.run(file, calls, timeout)
    if ran.error:
        return Verdict(BONUS, "error", (Finding("check", "", "error", (ran.error,)),), (), ran.printed)
    return answered(call, ran.results[0], ran.printed)


def check_names(exercise: Exercise, names: dict, seed: int = 0) -> Verdict:
    """Judge the `check` among the names of this process, as a notebook has it."""
    if same_bytes(names.get("check"), _untouched):
        return Verdict(BONUS, "not started")
    (call,) = calls = calls_of(seed)
    return answered(call, pupil.perform(calls, names)[0])


def calls_of(seed: int) -> list[dict]:
    """Return the call of a learner's check, with the exhibits in random order."""
    return [{"function": "check", "how": "check", "arguments": copies(np.random.default_rng(seed), SIZES[0])}]


def answered(call: dict, result: dict, printed: str = "") -> Verdict:
    """Return the verdict on the answers of a learner's check."""
    (names,), noticed = call["arguments"], result.get("result")
    if not isinstance(noticed, np.ndarray) or noticed.shape != (len(names),):
        words = str(result.get("error", "the process returned no answers"))
        return Verdict(BONUS, "error", (Finding("check", "", "error", (words,)),), (), printed)
    answers: dict[str, list[bool]] = {}
    for name, answer in zip(names, noticed):
        answers.setdefault(name, []).append(bool(answer))
    found = [said(answers, name) for name in ("", *CAUGHT)]
    return Verdict(BONUS, status_of(found), tuple(found), (), printed)


def said(answers: dict[str, list[bool]], name: str) -> Finding:
    """Return the finding about one exhibit, or about the right module."""
    count = sum(answers[name])
    if not name:
        words = f"fails {count} of {len(answers[name])} times: too strict, or random" if count else "passes"
        return Finding("check", "the right module", "wrong" if count else "right", (words,))
    words = "noticed" if count else f"not noticed: {exhibits.find(name).title}"
    return Finding("check", name, "right" if count else "wrong", (words,))


def find(name: str) -> Exercise:
    """Return the exercise of a number, a name, or a file. Raises ValueError if there is none."""
    word = name.rpartition("/")[2].removesuffix(".py")
    for exercise in (*exercises(), BONUS):
        if word in (exercise.name, exercise.stem) or word.isdigit() and int(word) == exercise.number:
            return exercise
    known = ", ".join(exercise.name for exercise in (*exercises(), BONUS))
    refuse("NAME", "a number from 1 to 15 or the name of an exercise", repr(name), f"The names are {known}.")
