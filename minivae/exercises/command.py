"""The command `minivae exercises`: its actions and their options.

Modules that import NumPy are imported when the command runs: `minivae --help` must not import NumPy.
"""

import argparse
from pathlib import Path

from minivae.app.runner import use_one_thread

ABOUT = """Write the gradients of a VAE yourself, one blank at a time. Without ACTION, the command writes the
exercises to DIR; existing files are kept. Then edit a file and run `minivae exercises check`."""
EXAMPLES = """examples:
  minivae exercises                              write the exercises to exercises/
  minivae exercises check 6                      check exercise 6, by number or name
  minivae exercises check 1-3                    check exercises 1, 2 and 3
  minivae exercises hint 6                       the first of three hints
  minivae exercises list                         show which exercises are done
  minivae exercises lesson 1                     a lesson on a frequent question: predict, run, compare
  minivae exercises --notebook notebooks         the exercises as Jupyter notebooks
  minivae exercises grade submissions            a table of all students (for teachers)

exit codes of check, list, show and grade: 0 every chosen exercise is passed, 1 at least one is not, 2 wrong usage
"""
BRIEF = {
    "check": "check the named exercises, or all", "hint": "print one of three hints",
    "list": "list the exercises and their status",
    "reset": "write the blank exercise again; your file is renamed", "show": "print the solution of a passed exercise",
    "grade": "check the submissions of a class", "lesson": "a lesson on a frequent question: predict, run, compare",
}  # fmt: skip
FOLDER = "folder of the exercises (default: exercises, or . if the exercises are there)"
LESSON = """The eighteen questions that learners of VAEs ask most often. Each lesson asks you to predict, runs for a few
seconds, and answers with one number and one figure. At a terminal it waits for your prediction, but not with -q.
Without LESSON, list them all."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command, its actions and options. Options that all actions share may also be before the action."""
    raw, brief = argparse.RawDescriptionHelpFormatter, "write the gradients yourself, and be told what is wrong with them"
    parser = commands.add_parser("exercises", help=brief, description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.set_defaults(command=exercises_command, action="write", name=[], out=None, notebook=None, lesson=None,
                        seed=0, timeout=10.0, epochs=40, rows=100, junit=None, feedback=None,
                        overwrite=False, json=False, quiet=False, debug=False)  # fmt: skip
    add_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help=FOLDER)
    words = "write the exercises as Jupyter notebooks into DIR; existing notebooks are kept"
    parser.add_argument("--notebook", type=Path, metavar="DIR", help=words)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    for action, words in BRIEF.items():
        about = LESSON if action == "lesson" else f"{words[0].upper()}{words[1:]}."
        added = actions.add_parser(action, help=words, description=about, argument_default=argparse.SUPPRESS)
        added.set_defaults(action=action)
        add = added.add_argument
        if action in ("check", "hint", "reset", "show"):
            several = {"nargs": "*"} if action == "check" else {}
            words = "number or name of an exercise" + (", or a range of numbers such as 1-3" if several else "")
            add("name", metavar="NAME", help=words, **several)
        if action == "hint":
            add("number", nargs="?", type=int, default=1, metavar="N", help="number of the hint: 1, 2 or 3 (default: 1)")
        if action == "grade":
            words = "folder with one folder per student, or with files named after students"
            add("folder", type=Path, metavar="FOLDER", help=words)
            add("--junit", type=Path, metavar="F", help="write a JUnit file")
            add("--feedback", type=Path, metavar="DIR", help="write a text file for each student to DIR")
        if action == "lesson":
            add("lesson", nargs="?", metavar="LESSON", help="number or name of a lesson")
            words = "write the lesson, or all of them, as Jupyter notebooks into DIR"
            add("--notebook", type=Path, metavar="DIR", help=words)
            add("--epochs", type=int, metavar="N", help="epochs of a training (default: 40); lesson 18: 2.5 x this number")
            add("--rows", type=int, metavar="N", help="most lessons use at most N held-out digits (default: 100)")
        if action != "grade":
            words = "directory for the figure (default: minivae-lessons)" if action == "lesson" else FOLDER
            add("--out", type=Path, metavar="DIR", help=words)
        if action in ("check", "list", "show", "grade", "lesson"):
            add("--seed", type=int, help=f"random seed{'' if action == 'lesson' else ' of the inputs'} (default: 0)")
        if action in ("check", "list", "show", "grade"):
            add("--timeout", type=float, metavar="S", help="time limit for each exercise (default: 10 seconds)")
        if action in ("grade", "lesson"):
            add("--overwrite", action="store_true", help="replace the files of an earlier command")
        add_options(added)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the command and all its actions have."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no messages")
    parser.add_argument("--debug", action="store_true", help="show minivae's traceback of an error")


def exercises_command(options: argparse.Namespace) -> int:
    """Run one action; return its exit code."""
    use_one_thread()
    from minivae import checks

    checks.whole_number("--seed", options.seed, 0)
    checks.real_number("--timeout", options.timeout, above=0, below=1e5)
    if options.action == "lesson":
        from minivae.exercises.lessons.command import visit as run
    elif options.action == "grade":
        from minivae.exercises.grade import grade_command as run
    else:
        from minivae.exercises.actions import run
    return run(options)
