"""The action `minivae exercises lesson`: list the lessons, run one, or write them as notebooks."""

import argparse
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from minivae.exercises import notebook
from minivae.exercises.catalogue import solved_by
from minivae.exercises.lessons import frame
from minivae.exercises.lessons.frame import Finding, Lesson, find, lessons, place
from minivae.runs import make_directory
from minivae.runs.files import must_be_free, write_atomically

WIDTH, LABEL = 100, 10


def visit(options: argparse.Namespace, read: Callable[[], str] = input) -> int:
    """Run the command; return 1 if the numbers that a lesson computes do not support its verdict."""
    chosen = lessons() if options.lesson is None else (find(options.lesson),)
    if options.notebook is not None:
        return write_notebooks(options, chosen)
    if options.lesson is None:
        return show_list(options, chosen)
    return show_one(options, chosen[0], len(lessons()), read)


def show_list(options: argparse.Namespace, everything: tuple) -> int:
    """Print number, name, question and ledger entry of each lesson."""
    if options.json:
        names = ("number", "name", "question", "ledger")
        print(json.dumps([{name: getattr(each, name) for name in names} for each in everything], indent=2))
        return 0
    for each in everything:
        print(wrapped(f"{each.number:2} {each.name}", f"{each.question} [{each.ledger}]", 20))
    print("In brackets: the name of the equation behind the answer. `derivations show hong.11` prints it.")
    print(f"{len(everything)} lessons, the most frequent question first. Next: minivae exercises lesson 1")
    return 0


def write_notebooks(options: argparse.Namespace, chosen: tuple) -> int:
    """Write a notebook for each chosen lesson; print the paths."""
    paths = [options.notebook / f"{stem(each)}.ipynb" for each in chosen]
    must_be_free("--notebook", "a directory without earlier notebooks", paths, options.overwrite)
    make_directory(options.notebook, "--notebook")
    for each, path in zip(chosen, paths):
        with write_atomically(path, "w") as file:
            file.write(notebook.text_of(notebook.of_lesson(each)))
    files = [str(path) for path in paths]
    print(json.dumps({"files": files}, indent=2) if options.json else "\n".join(files))
    return 0


def show_one(options: argparse.Namespace, each: Lesson, count: int, read: Callable[[], str]) -> int:
    """Print the question, wait for a prediction at a terminal, run the lesson, save its figure, and print its results."""
    folder = options.out or Path("minivae-lessons")
    path = folder / f"{stem(each)}.png"
    is_earlier_figure = options.out is None and is_figure(path)         # replaced without --overwrite in the default folder
    must_be_free("--out", "a folder without this file", [path], options.overwrite or is_earlier_figure)
    make_directory(folder, "--out")
    guess = None
    if not options.json:
        print("\n".join(opening(each, count)), flush=True)
        if sys.stdin.isatty() and sys.stdout.isatty() and not options.quiet:
            guess = prediction(each, read)
    found = frame.run(each, frame.Setup(options.seed, options.epochs, options.rows))
    from minivae.figures import style                       # imported only now: matplotlib takes half a second

    figure, alt = found.picture()
    style.save(figure, alt, path)
    if options.json:
        print(json.dumps(document(each, found, options) | {"files": [{"path": str(path), "alt": alt}]}, indent=2))
    else:
        print("\n".join([*results(each, found, guess), *references(each, path, count)]))
    return 0 if found.holds else 1


def is_figure(path: Path) -> bool:
    """Return True if a file is a figure that minivae drew: the title in its metadata says so."""
    head = path.read_bytes()[:4096] if path.is_file() else b""
    return head.startswith(b"\x89PNG") and b"Title\0minivae" in head


def stem(each: Lesson) -> str:
    """Return the name of a lesson's files, without the extension."""
    return f"lesson_{each.number:02}_{each.name}"


def prediction(each: Lesson, read: Callable[[], str]) -> str | None:
    """Return the first letter of the learner's answer, or None if no choice has this letter, or if the input ends."""
    print(" " * LABEL + "Your answer (a, b or c), or Return >", end=" ", flush=True)
    try:
        answer = read().strip().lower()[:1]
    except EOFError:
        return None
    return answer if answer in list(letters(each)) else None


def letters(each: Lesson) -> dict[str, str]:
    """Return {letter: text of the choice}."""
    return dict(zip("abc", each.choices))


def opening(each: Lesson, count: int) -> list[str]:
    """Return the lines printed before the run: the question, and what to predict."""
    lines = [f"Lesson {each.number} of {count}: {each.name}", wrapped("question", each.question)]
    lines += [wrapped("asked in", each.asked), wrapped("predict", each.predict)]
    return lines + [wrapped("", f"{letter}) {text}") for letter, text in letters(each).items()]


def results(each: Lesson, found: Finding, guess: str | None) -> list[str]:
    """Return the lines printed after the run: numbers and verdict; also the right choice, if the verdict holds."""
    lines = ["", wrapped("number", f"{found.number:.4g} {found.meaning}")]
    lines += [wrapped("", f"{label}: {text}") for label, text in found.rows]
    lines += [wrapped("verdict", verdict(found))]
    if found.holds:
        right = "abc"[each.answer]
        comment = f"You said {guess}: {'right' if guess == right else 'not right'}. " if guess else ""
        lines.append(wrapped("answer", f"{comment}{right}) {each.choices[each.answer]}"))
    return lines


def verdict(found: Finding) -> str:
    """Return the verdict, or a warning if the numbers do not support it."""
    if found.holds:
        return found.verdict
    return (
        "Not as expected: these numbers do not support the lesson's verdict. Either the training was too short (try more "
        "--epochs), or the code of minivae was changed."
    )


def references(each: Lesson, path: Path, count: int) -> list[str]:
    """Return the lines that name the figure, the code, the entry of the ledger, the test and the next command."""
    lines = [f"{'figure':{LABEL}}{path}"]
    for i, function in enumerate(each.code):
        numbers = solved_by(function)
        several, it = ("s", "them") if len(numbers) > 1 else ("", "it")
        spoils = f" (solves exercise{several} {' and '.join(map(str, numbers))}: do {it} first)" if numbers else ""
        lines.append(f"{'' if i else 'read':{LABEL}}{place(function)}{spoils}")
    lines += [f"{'ledger':{LABEL}}derivations show {each.ledger}"]
    lines += [f"{'test':{LABEL}}pytest -k {each.test} (in a clone of the project)"]
    following = f" {each.number + 1}" if each.number < count else ""
    return [*lines, f"{'next':{LABEL}}minivae exercises lesson{following}"]


def document(each: Lesson, found: Finding, options: argparse.Namespace) -> dict:
    """Return a lesson and its results as plain JSON types."""
    texts = {name: getattr(each, name) for name in ("number", "name", "question", "asked", "predict", "choices")}
    result = {"lesson": texts.pop("number")} | texts | {"answer": each.choices[each.answer]}
    result |= {"number": float(found.number), "meaning": found.meaning, "rows": dict(found.rows), "holds": bool(found.holds)}
    result |= {"verdict": verdict(found), "code": [place(function) for function in each.code], "ledger": each.ledger}
    return result | {"test": each.test, "seed": options.seed, "epochs": options.epochs, "held_out": options.rows}


def wrapped(label: str, text: str, indent: int = LABEL) -> str:
    """Return a label and a text in lines of at most WIDTH columns."""
    return textwrap.fill(text, WIDTH, initial_indent=f"{label:{indent}}", subsequent_indent=" " * indent)
