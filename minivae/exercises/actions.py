"""The actions of `minivae exercises`: write the files, check them, give hints, show solutions."""

import argparse
import json
import os
from pathlib import Path

from minivae.app.progress import say
from minivae.checks import refuse
from minivae.exercises import judge, notebook
from minivae.exercises.bonus import chosen, find
from minivae.exercises.cut import solutions
from minivae.exercises.report import counted, document, every, lines_of
from minivae.runs import make_directory
from minivae.runs.files import write_atomically


def run(options: argparse.Namespace) -> int:
    """Run one action; return its exit code."""
    typed, options.out = options.out, options.out or folder_here()
    if options.action not in ("write", "hint") and not options.out.is_dir():
        if typed:
            refuse("--out", "a folder of exercises", str(typed), f"Write it: {command('', options)}")
        raise ValueError("There is no folder `exercises` here. Go to its parent folder, or type: minivae exercises")
    actions = {"write": write, "check": check, "list": list_all, "hint": hint, "reset": reset, "show": show}
    return actions[options.action](options)


def folder_here() -> Path:
    """Return the folder `exercises`. If it is missing and the current folder has exercises, return the current folder."""
    inside = not Path("exercises").is_dir() and any(Path(f"{each.stem}.py").is_file() for each in every())
    return Path("." if inside else "exercises")


def write(options: argparse.Namespace) -> int:
    """Write the exercises whose files do not exist yet, as Python files or as notebooks."""
    texts = {f"{exercise.stem}.py": exercise.file() for exercise in every()}
    if options.notebook is not None:
        texts = {f"{each.stem}.ipynb": notebook.text_of(notebook.of_exercise(each)) for each in every()}
    folder, written, kept = make_directory(options.notebook or options.out), [], []
    for name, text in texts.items():
        (kept if os.path.lexists(folder / name) else written).append(str(folder / name))
        if str(folder / name) in written:
            with write_atomically(folder / name, "w") as file:
                file.write(text)
    if options.json:
        print(json.dumps({"written": written, "kept": kept}, indent=2))
        return 0
    exercises = "exercise" if len(written) == 1 else "exercises"
    result(options, f"{len(written)} {exercises} written to {folder}, {len(kept)} kept as they are.")
    if not written:
        result(options, f"See what is done: {command('list', options)}")
    elif options.notebook:
        result(options, f"Begin with {written[0]}")
    else:
        result(options, f"Begin with {written[0]}; then: {command(f'check {int(Path(written[0]).name[:2])}', options)}")
    return 0


def result(options: argparse.Namespace, text: str) -> None:
    """Print a line about the result or the next command, unless quiet."""
    if not options.quiet:
        print(text)


def verdicts(options: argparse.Namespace, exercises: list) -> list:
    """Return the verdict on every chosen exercise."""
    return [judge.check(each, options.out / f"{each.stem}.py", options.timeout, options.seed) for each in exercises]


def check(options: argparse.Namespace) -> int:
    """Check the named exercises, or all; return 0 if all of them are passed.

    If no exercise is named, the bonus is counted only if the learner has started it.
    """
    named = dict.fromkeys(exercise for word in options.name for exercise in chosen(word))
    found = verdicts(options, [*named] or every())
    asked = found if options.name else counted(found)
    passed = sum(verdict.status == "passed" for verdict in asked)
    if options.json:
        exercises = [document(verdict) for verdict in found]
        print(json.dumps({"passed": passed, "of": len(asked), "seed": options.seed, "exercises": exercises}, indent=2))
        return 0 if passed == len(asked) else 1
    for verdict in found:
        if verdict.printed:
            again = "your function is called several times, with different inputs"
            say(options, f"{verdict.exercise.stem} printed ({again}):\n{verdict.printed.rstrip()}")
        if options.name or verdict.status != "not started":
            print("\n".join(lines_of(verdict) if verdict.status != "passed" else lines_of(verdict)[:1]))
    if len(asked) > 1:
        print(f"{passed} of {len(asked)} passed")
    todo = [verdict for verdict in asked if verdict.status != "passed"]
    todo = min(todo, key=lambda verdict: verdict.status == "not started", default=None)     # begun exercises come first
    if todo:
        path, number = options.out / f"{todo.exercise.stem}.py", todo.exercise.number
        steps = {"not started": f"edit {path}", "error": f"correct the error, then: {command(f'check {number}', options)}"}
        if not path.is_file() or not path.stat().st_size:
            steps = dict.fromkeys(steps, command(f"reset {number}", options))
        result(options, f"Next: {steps.get(todo.status, f'get a hint with minivae exercises hint {number}')}")
    elif options.name:
        last = asked[-1].exercise.number
        result(options, f"Compare with the package's own lines: {command(f'show {last}', options)}")
        following = every()[last:]
        if following:
            result(options, f"Next: edit {options.out / following[0].stem}.py")
    return 1 if todo else 0


def command(words: str, options: argparse.Namespace) -> str:
    """Return a `minivae exercises` command that the user can type, with --out if this option is needed."""
    folder = [] if str(options.out) in ("exercises", ".") else [f"--out {options.out}"]
    return " ".join(["minivae exercises", *filter(None, [words]), *folder])


def list_all(options: argparse.Namespace) -> int:
    """Print number, name, status and title of every exercise.

    Return 0 if all exercises are passed. The bonus counts only if the learner has begun it.
    """
    found = verdicts(options, every())
    if options.json:
        rows = [document(verdict) | {"title": verdict.exercise.title} for verdict in found]
        print(json.dumps(rows, indent=2))
    else:
        for verdict in found:
            print(f"{verdict.exercise.number:2}  {verdict.exercise.name:20}  {verdict.status:11}  {verdict.exercise.title}")
    return 0 if all(verdict.status == "passed" for verdict in counted(found)) else 1


def hint(options: argparse.Namespace) -> int:
    """Print one of the three hints of an exercise."""
    exercise, n = find(options.name), options.number
    if not 1 <= n <= len(exercise.hints):
        refuse("N", "1, 2 or 3", str(n), "There are three hints.")
    if options.json:
        found = {"exercise": exercise.name, "hint": n, "of": len(exercise.hints), "text": exercise.hints[n - 1]}
        print(json.dumps(found, indent=2))
        return 0
    print(f"{exercise.stem}, hint {n} of {len(exercise.hints)}: {exercise.hints[n - 1]}")
    if n < len(exercise.hints):
        say(options, f"For hint {n + 1} of 3: minivae exercises hint {exercise.number} {n + 1}")
    return 0


def reset(options: argparse.Namespace) -> int:
    """Write the blank exercise again. The earlier file is renamed: it gets the ending .old, or .old2, ..."""
    exercise = find(options.name)
    path = options.out / f"{exercise.stem}.py"
    kept = None
    if os.path.lexists(path):
        count = 1
        while os.path.lexists(kept := path.with_name(f"{path.name}.old{count if count > 1 else ''}")):
            count += 1
        path.rename(kept)
    with write_atomically(path, "w") as file:
        file.write(exercise.file())
    written = {"written": str(path), "kept": kept and str(kept)}
    text = f"{path} is blank again" + (f"; your earlier file is now {kept}" if kept else "")
    print(json.dumps(written, indent=2) if options.json else text)
    return 0


def show(options: argparse.Namespace) -> int:
    """Print the solution of an exercise that the learner has passed: a short answer, if any, and the package's code.

    If the learner has not passed it, print the status instead, and return 1.
    """
    exercise = find(options.name)
    (verdict,) = verdicts(options, [exercise])
    sources = solutions(exercise.name, exercise.pieces()) if verdict.status == "passed" else []
    if options.json:
        print(json.dumps({"exercise": exercise.name, "status": verdict.status, "solution": sources}, indent=2))
    elif sources:
        print("\n".join(sources), end="")
    else:
        print(f"{exercise.stem}: {verdict.status}. The solution is shown when the exercise is passed: "
              f"{command(f'check {exercise.number}', options)}")
    return 0 if verdict.status == "passed" else 1
