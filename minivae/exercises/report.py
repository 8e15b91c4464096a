"""All exercises, the verdict on each, and its words for a terminal and for JSON."""

from pathlib import Path

from minivae.exercises import judge
from minivae.exercises.bonus import ASKING, BONUS
from minivae.exercises.catalogue import exercises

MARKS = {"passed": "+", "wrong": "x", "error": "e", "not started": "."}


def every() -> list:
    """Return all exercises, the bonus last."""
    return [*exercises(), BONUS]


def verdict_of(exercise: object, path: Path, timeout: float, seed: int) -> object:
    """Return the verdict on the file of an exercise, or of the bonus."""
    return judge.check(exercise, path, timeout, seed, ASKING if exercise is BONUS else None)


def document(verdict: object) -> dict:
    """Return a verdict as plain JSON types."""
    exercise = verdict.exercise
    head = {"number": exercise.number, "name": exercise.name, "file": f"{exercise.stem}.py", "status": verdict.status}
    found = [each._asdict() for each in verdict.findings]
    return head | {"findings": found, "flags": list(verdict.flags), "printed": verdict.printed}


def lines_of(verdict: object) -> list[str]:
    """Return the verdict as lines of text."""
    lines = [f"{verdict.exercise.stem}: {verdict.status}"]
    for finding in verdict.findings:
        about = ", ".join(filter(None, (finding.function, finding.array)))
        lines.append(f"  {MARKS.get(finding.status, '+')} {about}")
        if finding.status != "right":
            lines += [f"      {words}" for words in finding.words]
    return lines + [f"  note: {flag}" for flag in verdict.flags]
