"""The bonus: the learner writes a check, which passes if it notices all bugs in CAUGHT and accepts the right code."""

import re

import numpy as np

from minivae.checks import refuse
from minivae.exercises.catalogue import CAUGHT, PARTS, SIZES, Exercise, copies, exercises
from minivae.exercises.compare import Finding
from minivae.exercises.judge import Asking
from minivae.exercises.prompts import TEXTS
from minivae.museum import exhibits

FILE = '"""Bonus: {title}\n\n{prompt}\n"""\n\nimport numpy as np\n\n\ndef check(gaussian):\n    ...\n'


def calls_of(exercise: Exercise, seed: int) -> list[dict]:
    """Return a list with one call. This call runs the learner's `check` once for each name in a list of names.

    The list of names is the argument of the call. For each name of a bug, `check` gets the module `gaussian` with this bug;
    for each empty name, `check` gets the module without a bug.
    """
    return [{"function": "check", "how": "check", "arguments": copies(np.random.default_rng(seed), SIZES[0])}]


def findings_of(exercise: Exercise, seed: int, results: list[dict], learner: object) -> tuple[Finding, ...]:
    """Return one finding about the module without a bug, and one finding about each bug in CAUGHT.

    If the learner's `check` gave no answers, for example after an error, return only one finding: the error.
    """
    (names,), noticed = calls_of(exercise, seed)[0]["arguments"], results[0].get("result")
    if not isinstance(noticed, np.ndarray) or noticed.shape != (len(names),):
        return (Finding("check", "", "error", (str(results[0].get("error", "the process returned no answers")),)),)
    answers: dict[str, list[bool]] = {}
    for name, answer in zip(names, noticed):
        answers.setdefault(name, []).append(bool(answer))
    return tuple(said(answers, name) for name in ("", *CAUGHT))


def said(answers: dict[str, list[bool]], name: str) -> Finding:
    """Return the finding about the bug with this name; if `name` is "", the finding about the module without a bug."""
    count = sum(answers[name])
    if not name:
        why = "your check is too strict, or random"
        words = f"reports a bug in {count} of {len(answers[name])} calls: {why}" if count else "passes"
        return Finding("check", "the right module", "wrong" if count else "right", (words,))
    words = "noticed" if count else f"not noticed: {exhibits.find(name).title}"
    return Finding("check", name, "right" if count else "wrong", (words,))


class Bonus(Exercise):
    """The bonus exercise: its function is a check, which must accept the right module and notice each bug."""

    asking = Asking(calls_of, findings_of)

    def file(self) -> str:
        """Return the text of the learner's file."""
        return FILE.format(title=self.title.removeprefix("bonus: "), prompt=self.prompt)


title, prompt, *hints = TEXTS["write_the_check"]
BONUS = Bonus(len(PARTS) + 1, "write_the_check", title, prompt.strip("\n"), tuple(hints), (), ())


def chosen(word: str) -> list[Exercise]:
    """Return the exercises of a range such as "1-3", or the single exercise that `find` returns for any other word."""
    if not (numbers := re.fullmatch(r"(\d+)-(\d+)", word)):
        return [find(word)]
    first, last = map(int, numbers.groups())
    if not 1 <= first <= last <= BONUS.number:
        refuse("NAME", f"a range within 1-{BONUS.number}, the smaller number first", repr(word), "Try 1-3.")
    return [*exercises(), BONUS][first - 1 : last]


def find(name: str) -> Exercise:
    """Return the exercise that `name` means: `name` is its number, its name, the start of its name, or its file name.

    The word "bonus" means the bonus exercise. Raises ValueError unless exactly one exercise fits.
    """
    word, everything = name.rpartition("/")[2].removesuffix(".py"), (*exercises(), BONUS)
    found = [each for each in everything if word in (each.name, each.stem, str(each.number), f"{each.number:02}")]
    found = found or [each for each in everything if word and each.name.startswith(word)]
    if word == "bonus":
        return BONUS
    if len(found) == 1:
        return found[0]
    remedy = f"The names are {', '.join(each.name for each in found or everything)}."
    if word.endswith(".ipynb"):
        remedy = "A notebook is checked by its third code cell; `minivae exercises grade FOLDER` reads notebooks, too."
    refuse("NAME", "a number from 1 to 15 or the name of one exercise", repr(name), remedy)
