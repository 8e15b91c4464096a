"""The command `minivae exercises`: write the files, check them, give hints, show solutions, grade a class.

Modules that import NumPy are imported when the command runs: `minivae --help` must not import NumPy.
"""

import argparse
import json
import os
from pathlib import Path

from minivae.app.progress import say
from minivae.app.runner import use_one_thread
from minivae.exercises.lessons import command as lesson

ABOUT = """Write the gradients of a VAE yourself, one blank at a time. Without ACTION, the command writes the
exercises to DIR; files that are there are kept. Then edit a file and run `minivae exercises check`."""
EXAMPLES = """examples:
  minivae exercises                              write the exercises to exercises/
  minivae exercises check 6                      check exercise 6; names and ranges (1-3) are possible, too
  minivae exercises hint 6                       the first of three hints
  minivae exercises list                         what is done
  minivae exercises lesson 1                     a question of learners: predict, run, see
  minivae exercises --notebook notebooks         the exercises as Jupyter notebooks
  minivae exercises grade submissions            a table of all students (for teachers)

exit codes of check, list, show and grade: 0 every chosen exercise is passed, 1 at least one is not, 2 wrong usage
"""
BRIEF = {
    "check": "check the named exercises, or all", "hint": "print one of three hints",
    "list": "list the exercises and what is done",
    "reset": "write the blank again; your file is kept beside it", "show": "print the solution, after a pass",
    "grade": "check the submissions of a class",
}  # fmt: skip


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command, its actions and options."""
    raw, brief = argparse.RawDescriptionHelpFormatter, "write the gradients yourself, and be told what is wrong with them"
    parser = commands.add_parser("exercises", help=brief, description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.set_defaults(command=exercises_command, action="write", out=None, notebook=None, seed=0, timeout=10.0,
                        json=False, quiet=False, debug=False)
    add_options(parser)
    words = "write the exercises as Jupyter notebooks into DIR; existing notebooks are kept"
    parser.add_argument("--notebook", type=Path, metavar="DIR", help=words, default=argparse.SUPPRESS)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    for action, words in BRIEF.items():
        added = actions.add_parser(action, help=words, description=f"{words[0].upper()}{words[1:]}.")
        added.set_defaults(action=action)
        add_options(added, folder=action != "grade")
        if action in ("check", "hint", "reset", "show"):
            several = {"nargs": "*"} if action == "check" else {}
            words = "number or name of an exercise" + (", or a range of numbers such as 1-3" if several else "")
            added.add_argument("name", metavar="NAME", help=words, **several)
        if action == "hint":
            added.add_argument("number", nargs="?", type=int, default=1, metavar="N", help="which of the three (default: 1)")
        if action in ("check", "list", "show", "grade"):
            given = {"default": argparse.SUPPRESS}
            added.add_argument("--seed", type=int, help="random seed of the inputs (default: 0)", **given)
            added.add_argument("--timeout", type=float, metavar="S", help="seconds for each exercise (default: 10)", **given)
        if action == "grade":
            added.add_argument("folder", type=Path, metavar="FOLDER", 
                               help="folder with one folder per student, or with files named after students")
            added.add_argument("--junit", type=Path, metavar="F", help="write a JUnit file")
            added.add_argument("--feedback", type=Path, metavar="DIR", help="write a text file for each student to DIR")
            added.add_argument("--overwrite", action="store_true", help="replace the files of an earlier grading")
    added = actions.add_parser("lesson", help="predict, run, and see: a common confusion", description=lesson.ABOUT)
    added.set_defaults(action="lesson")
    lesson.add_options(added)
    add_options(added, folder=False)


def add_options(parser: argparse.ArgumentParser, folder: bool = True) -> None:
    """Add the options of all actions; they may stand before or after the action."""
    given = {"default": argparse.SUPPRESS}
    if folder:
        parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the exercises (default: exercises)", **given)
    parser.add_argument("--json", action="store_true", help="print one JSON document", **given)
    parser.add_argument("-q", "--quiet", action="store_true", help="print no messages", **given)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error of this package", **given)


def exercises_command(options: argparse.Namespace) -> int:
    """Run one action; return its exit code."""
    use_one_thread()
    from minivae import checks

    if options.action == "lesson":
        return lesson.visit(options)
    checks.whole_number("--seed", options.seed, 0)
    checks.real_number("--timeout", options.timeout, above=0, below=1e5)
    if options.action == "grade":
        from minivae.exercises.grade import grade_command

        return grade_command(options)
    typed, options.out = options.out, options.out or folder_here()
    if options.action not in ("write", "hint") and not options.out.is_dir():
        if typed:
            checks.refuse("--out", "a folder of exercises", str(typed), f"Write it: {command('', options)}")
        raise ValueError("There is no folder exercises here. Go to the folder that contains it, or type: minivae exercises")
    actions = {"write": write, "check": check, "list": list_all, "hint": hint, "reset": reset, "show": show}
    return actions[options.action](options)


def folder_here() -> Path:
    """Return `exercises`; if it is missing, the current folder if that has some exercises."""
    from minivae.exercises.report import every

    inside = not Path("exercises").is_dir() and any(Path(f"{each.stem}.py").is_file() for each in every())
    return Path("." if inside else "exercises")


def write(options: argparse.Namespace) -> int:
    """Write the files that do not exist yet, as Python or as notebooks."""
    from minivae.exercises.report import every
    from minivae.runs import make_directory
    from minivae.runs.files import write_atomically

    texts = {f"{exercise.stem}.py": exercise.file() for exercise in every()}
    if options.notebook is not None:
        from minivae.exercises import notebook

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
    """Print a line about the next action, unless quiet."""
    if not options.quiet:
        print(text)


def verdicts(options: argparse.Namespace, chosen: list) -> list:
    """Return the verdict on every chosen exercise."""
    from minivae.exercises import judge

    return [judge.check(each, options.out / f"{each.stem}.py", options.timeout, options.seed) for each in chosen]


def check(options: argparse.Namespace) -> int:
    """Check some exercises, or all; return 0 if every chosen exercise is passed."""
    from minivae.exercises.bonus import chosen
    from minivae.exercises.report import counted, document, every, lines_of

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
            again = "it is called several times, with other inputs"
            say(options, f"{verdict.exercise.stem} printed ({again}):\n{verdict.printed.rstrip()}")
        if options.name or verdict.status != "not started":
            print("\n".join(lines_of(verdict) if verdict.status != "passed" else lines_of(verdict)[:1]))
    if len(asked) > 1:
        print(f"{passed} of {len(asked)} passed")
    todo = next((verdict for verdict in asked if verdict.status != "passed"), None)
    if todo:
        path, number = options.out / f"{todo.exercise.stem}.py", todo.exercise.number
        steps = {"not started": f"edit {path}", "error": f"correct the error, then: {command(f'check {number}', options)}"}
        if not path.is_file() or not path.stat().st_size:
            steps = dict.fromkeys(steps, command(f"reset {number}", options))
        result(options, f"Next: {steps.get(todo.status, f'a hint: minivae exercises hint {number}')}")
    elif options.name:
        last = asked[-1].exercise.number
        result(options, f"Compare with the package's own lines: {command(f'show {last}', options)}")
        following = every()[last:]
        if following:
            result(options, f"Next: edit {options.out / following[0].stem}.py")
    return 1 if todo else 0


def command(words: str, options: argparse.Namespace) -> str:
    """Return a command for this folder, to be typed."""
    folder = [] if str(options.out) in ("exercises", ".") else [f"--out {options.out}"]
    return " ".join(["minivae exercises", *filter(None, [words]), *folder])


def list_all(options: argparse.Namespace) -> int:
    """Print the number, name, status and title of every exercise; return 0 if all exercises that count are passed."""
    from minivae.exercises.report import counted, document, every

    found = verdicts(options, every())
    if options.json:
        rows = [document(verdict) | {"title": verdict.exercise.title} for verdict in found]
        print(json.dumps(rows, indent=2))
    else:
        for verdict in found:
            print(f"{verdict.exercise.number:2}  {verdict.exercise.name:20}  {verdict.status:11}  {verdict.exercise.title}")
    return 0 if all(verdict.status == "passed" for verdict in counted(found)) else 1


def hint(options: argparse.Namespace) -> int:
    """Print one hint."""
    from minivae.checks import refuse
    from minivae.exercises.bonus import find

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
    """Write the blank again. The file that was there gets the ending .old, or .old2, ..."""
    from minivae.exercises.bonus import find
    from minivae.runs.files import write_atomically

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
    text = f"{path} is blank again" + (f"; yours is {kept}" if kept else "")
    print(json.dumps(written, indent=2) if options.json else text)
    return 0


def show(options: argparse.Namespace) -> int:
    """Print the answer and the package's own source if the exercise is passed; else return 1."""
    from minivae.exercises.bonus import find
    from minivae.exercises.cut import solutions

    exercise = find(options.name)
    (verdict,) = verdicts(options, [exercise])
    sources = solutions(exercise.name, exercise.pieces()) if verdict.status == "passed" else []
    if options.json:
        print(json.dumps({"exercise": exercise.name, "status": verdict.status, "solution": sources}, indent=2))
    elif sources:
        print("\n".join(sources), end="")
    else:
        print(f"{exercise.stem}: {verdict.status}. The solution is shown after a pass: "
              f"{command(f'check {exercise.number}', options)}")
    return 0 if verdict.status == "passed" else 1
