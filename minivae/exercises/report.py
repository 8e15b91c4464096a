"""The list of all exercises, and the words for a verdict: lines for a terminal, or JSON."""

import re
from collections.abc import Iterable

from minivae.exercises.bonus import BONUS
from minivae.exercises.catalogue import Exercise, exercises
from minivae.exercises.compare import Finding
from minivae.exercises.judge import Verdict

MARKS = {"passed": "+", "wrong": "x", "error": "e", "not started": "."}


def every() -> list[Exercise]:
    """Return all exercises, the bonus last."""
    return [*exercises(), BONUS]


def counted(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return all verdicts; but leave out the verdict on the bonus if the bonus is not started."""
    return [verdict for verdict in verdicts if verdict.exercise is not BONUS or verdict.status != "not started"]


def document(verdict: Verdict) -> dict:
    """Return a verdict as plain JSON types. In names of wrong versions, `...` replaces code that may show the solution."""
    exercise = verdict.exercise
    head = {"number": exercise.number, "name": exercise.name, "file": f"{exercise.stem}.py", "status": verdict.status}
    names = [[re.sub("`.*?`", "`...`", name) for name in each.names] for each in verdict.findings]
    found = [each._asdict() | {"names": said} for each, said in zip(verdict.findings, names)]
    return head | {"findings": found, "flags": list(verdict.flags), "printed": verdict.printed}


def lines_of(verdict: Verdict) -> list[str]:
    """Return the verdict as lines of text; findings with the same status and cause are printed together."""
    found = {finding.status for finding in verdict.findings}
    open_ = verdict.status == "wrong" and found <= {"right", "not started"}     # every finding is right or not started
    lines = [f"{verdict.exercise.stem}: {'not finished' if open_ else verdict.status}"]
    right = [finding for finding in verdict.findings if finding.status == "right"]
    if many := len(verdict.findings) > 8:
        lines.append(f"  + {len(right)} of {len(verdict.findings)} are right")
    groups: dict[object, list[Finding]] = {}
    for number, finding in enumerate(verdict.findings):
        cause = tuple(words.partition(". In `")[0] for words in finding.words if "entries differ" not in words)
        cause = tuple(words for words in cause if not words.startswith("has shape")) or cause
        groups.setdefault((finding.status, cause) if cause and finding.status != "right" else number, []).append(finding)
    for first, *rest in groups.values():
        if not many or first.status != "right":
            lines.append(f"  {MARKS.get(first.status, '+')} {heading([first, *rest])}")
            lines += [f"      {words}" for words in first.words if first.status != "right"]
    return lines + [f"  note: {flag}" for flag in verdict.flags]


def heading(findings: list[Finding]) -> str:
    """Return a heading with the functions, arrays and inputs of these findings.

    For more than three arrays of a function, the heading has only their number.
    """
    arrays: dict[str, list[str]] = {}
    for finding in findings:
        arrays.setdefault(finding.function, []).append(finding.array)
    cases: dict[str, list[str]] = {}
    for function, names in arrays.items():
        function, _, case = function.partition(", ")
        said = ", ".join(filter(None, [function, *(names if len(names) < 4 else [f"{len(names)} arrays"])]))
        cases.setdefault(said, []).append(case or "ordinary inputs")
    inputs = {said: f" ({'; '.join(found)})" if found != ["ordinary inputs"] else "" for said, found in cases.items()}
    return "; ".join(said + found for said, found in inputs.items())
