"""All exercises, the verdict on each, and its words for a terminal and for JSON."""

from collections.abc import Iterable

from minivae.exercises.bonus import BONUS
from minivae.exercises.catalogue import Exercise, exercises
from minivae.exercises.judge import Verdict

MARKS = {"passed": "+", "wrong": "x", "error": "e", "not started": "."}


def every() -> list[Exercise]:
    """Return all exercises, the bonus last."""
    return [*exercises(), BONUS]


def counted(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that count: those on the fourteen, and that on the bonus once it is begun."""
    return [verdict for verdict in verdicts if verdict.exercise is not BONUS or verdict.status != "not started"]


def document(verdict: Verdict) -> dict:
    """Return a verdict as plain JSON types."""
    exercise = verdict.exercise
    head = {"number": exercise.number, "name": exercise.name, "file": f"{exercise.stem}.py", "status": verdict.status}
    found = [each._asdict() for each in verdict.findings]
    return head | {"findings": found, "flags": list(verdict.flags), "printed": verdict.printed}


def lines_of(verdict: Verdict) -> list[str]:
    """Return the verdict as lines of text."""
    found = {finding.status for finding in verdict.findings}
    open_ = verdict.status == "wrong" and found <= {"right", "not started"}     # what is filled is right
    lines = [f"{verdict.exercise.stem}: {'not finished' if open_ else verdict.status}"]
    right = [finding for finding in verdict.findings if finding.status == "right"]
    if many := len(verdict.findings) > 8:
        lines.append(f"  + {len(right)} of {len(verdict.findings)} are right")
    for finding in verdict.findings:
        if many and finding.status == "right":
            continue
        about = ", ".join(filter(None, (finding.function, finding.array)))
        lines.append(f"  {MARKS.get(finding.status, '+')} {about}")
        if finding.status != "right":
            lines += [f"      {words}" for words in finding.words]
    return lines + [f"  note: {flag}" for flag in verdict.flags]
