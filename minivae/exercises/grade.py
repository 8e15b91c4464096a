"""Grade a class: judge every file in a process of its own; write a table, a JUnit file and feedback for the students.

Separate processes do not protect against malicious code: a submission is a program that runs with your rights. Grade unknown
code in a container or a virtual machine.
"""

import argparse
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from minivae.app.progress import Progress, Silent, say
from minivae.checks import refuse
from minivae.exercises.judge import Verdict, check
from minivae.exercises.report import MARKS, counted, document, every, lines_of
from minivae.runs import make_directory
from minivae.runs.files import must_be_free, write_atomically

NO_BOUNDARY = ("submissions run with your rights: limits of time and memory are no security boundary. Grade unknown "
               "code in a container or a virtual machine.")  # fmt: skip
COPY = re.compile(r"( ?\(\d+\)|-\d+)$")                     # ending of a copied file's name: 07_kl-1 or 07_kl (2)
JUDGE = re.compile(r"import check_here|check_here\(")        # finds the notebook cells that call the judge
ARCHIVES = (".zip", ".gz", ".tar", ".7z", ".rar")
SKIPPED = ("__pycache__", "__MACOSX")


def submissions(folder: Path) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Return {student: {exercise: file}}, and notes about files that are left out.

    Each folder directly in FOLDER has the name of a student. For a file directly in FOLDER, the student's name is the
    file's name without the name of the exercise.
    """
    def is_skipped(path):
        return any(part in SKIPPED or part.startswith(".") for part in path.relative_to(folder).parts)

    folders = [path.name for path in folder.iterdir() if path.is_dir() and not is_skipped(path)]
    found: dict[str, dict[str, Path]] = {name: {} for name in folders}
    notes = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if is_skipped(path):
            continue
        if path.suffix in ARCHIVES:
            notes.append(f"{inside}: an archive; unpack it first")
        if path.suffix not in (".py", ".ipynb"):
            continue
        exercise, rest = exercise_of(path.stem)
        student = inside.parts[0] if len(inside.parts) > 1 else rest
        if exercise is None or not student:
            missing = "no exercise has this name" if exercise is None else "the student's name is missing"
            notes.append(f"{inside}: {missing}")
            continue
        mine = found.setdefault(student, {})
        if exercise in mine:
            older, newer = sorted((mine[exercise], path), key=lambda each: (each.stat().st_mtime, str(each)))
            notes.append(f"{student}: several files for {exercise}; the newest is graded: {newer.relative_to(folder)}")
            path = newer
        mine[exercise] = path
    return dict(sorted(found.items())), notes


def exercise_of(stem: str) -> tuple[str | None, str]:
    """Return the exercise in a file name, and the rest of the name. Without an exercise, return None and ""."""
    stem = COPY.sub("", stem)
    for name in sorted((exercise.stem for exercise in every()), key=len, reverse=True):
        before, found, after = stem.partition(name)
        if found and not re.match(r"_?[a-z]+_backward|_backward", after):
            return name, (before + after).strip(" _-.")
    return None, ""


def grade_command(options: argparse.Namespace) -> int:
    """Print the results as a table or as JSON, write the JUnit and feedback files, and return the exit code.

    The exit code is 0 if every student has passed all fourteen exercises, else 1. Students who have begun the bonus must
    pass the bonus, too.
    """
    if not options.folder.is_dir():
        refuse("FOLDER", "a folder of submissions", str(options.folder), "Give a folder with a folder for each student.")
    found, notes = submissions(options.folder)
    if not found:
        remedy = "Name files like 06_reparameterize.py, in a student's folder or with the student's name in front."
        refuse("FOLDER", "a folder with submissions", str(options.folder), remedy)
    feedback = {} if options.feedback is None else feedback_files(options.feedback, found)
    must_be_free("--feedback", "a directory without earlier files", feedback.values(), options.overwrite)
    if options.junit is not None:
        must_be_free("--junit", "a new file", [options.junit], options.overwrite)
        make_directory(options.junit.parent, "--junit")
    say(options, f"minivae: {NO_BOUNDARY}")
    for note in notes:
        say(options, f"minivae: {note}")
    graded = all_verdicts(found, options)
    if options.junit is not None:
        with write_atomically(options.junit) as file:
            file.write(junit(graded))
    if feedback:
        make_directory(options.feedback)
    for name, path in feedback.items():
        with write_atomically(path, "w") as file:
            file.write("\n".join(text_for(graded[name])) + "\n")
    if options.json:
        print(json.dumps(report(graded, options, notes, [str(path) for path in feedback.values()]), indent=2))
    else:
        print("\n".join(table(graded)))
    return 0 if all(verdict.status == "passed" for each in graded.values() for verdict in counted(each)) else 1


def all_verdicts(found: dict[str, dict[str, Path]], options: argparse.Namespace) -> dict[str, list[Verdict]]:
    """Judge every exercise of every student, as many at once as there are processors; return the verdicts by student."""
    cells = [(name, each, files.get(each.stem)) for name, files in found.items() for each in every()]
    progress, graded = Silent() if options.quiet else Progress(len(cells)), {name: [] for name in found}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, TemporaryDirectory() as room:
        def judged(number, cell):
            _, exercise, path = cell
            path = path or options.folder / "none"
            if path.suffix == ".ipynb":
                path = as_script(path, Path(room) / f"{number}.py")
            return check(exercise, path, options.timeout, options.seed)

        verdicts = pool.map(judged, range(len(cells)), cells)
        for count, ((name, exercise, _), verdict) in enumerate(zip(cells, verdicts), 1):
            graded[name].append(verdict)
            progress.update(count, f"{name}, {exercise.stem}: {verdict.status}")
    progress.end()
    return graded


def as_script(notebook: Path, script: Path) -> Path:
    """Write the code cells of a notebook as a script; return its path. Cells that import or call the judge are left out."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        text = ("\n\n".join(source for source in sources if not JUDGE.search(source)) + "\n").encode()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        text = f"raise ValueError({f'no notebook: {error!r}'!a})\n".encode()
    script.write_bytes(text)
    return script


def feedback_files(folder: Path, students: Iterable[str]) -> dict[str, Path]:
    """Return the path of the feedback file of every student; two students never share a file."""
    found: dict[str, Path] = {}
    for name in students:
        stem = re.sub(r"[^\w .@+-]", "_", name).strip(". ") or "_"
        while folder / f"{stem}.txt" in found.values():
            stem += "_"
        found[name] = folder / f"{stem}.txt"
    return found


def passed(verdicts: Iterable[Verdict]) -> int:
    """Return the number of passed exercises, including the bonus."""
    return sum(verdict.status == "passed" for verdict in verdicts)


def table(graded: dict[str, list[Verdict]]) -> list[str]:
    """Return the lines of a table. A student's line has the marks, the number of passes, and ! if a file imports minivae."""
    width = max(7, *map(len, graded))
    numbers = [str(exercise.number) for exercise in every()[:-1]] + ["bonus"]
    lines = [f"{'student':{width}}  {' '.join(f'{n:>2}' for n in numbers)}  passed"]
    for name, verdicts in graded.items():
        marks = [MARKS[verdict.status] for verdict in verdicts]
        flags = "  !" if any(verdict.flags for verdict in verdicts) else ""
        lines.append(f"{name:{width}}  {' '.join(f'{mark:>{max(2, len(n))}}' for mark, n in zip(marks, numbers))}"
                     f"  {passed(verdicts):6}{flags}")
    return [*lines, "+ passed  x wrong  e error  . not started  ! imports minivae: read the file"]


def text_for(verdicts: list[Verdict]) -> list[str]:
    """Return the feedback for one student."""
    lines = [f"{passed(verdicts)} of {len(counted(verdicts))} passed"]
    for verdict in verdicts:
        lines += ["", *lines_of(verdict)]
    return lines


def report(graded: dict, options: argparse.Namespace, notes: list[str], feedback: list[str]) -> dict:
    """Return all results as plain JSON types."""
    students = [{"student": name, "passed": passed(verdicts), "exercises": [document(verdict) for verdict in verdicts]}
                for name, verdicts in graded.items()]  # fmt: skip
    return {"seed": options.seed, "timeout": options.timeout, "warning": NO_BOUNDARY, "notes": notes, "students": students,
            "feedback": feedback}


def junit(graded: dict[str, list[Verdict]]) -> bytes:
    """Return the results in the format of JUnit: a test suite for each student."""
    root = ElementTree.Element("testsuites")
    for name, verdicts in graded.items():
        count = {status: str(sum(verdict.status == status for verdict in verdicts)) for status in MARKS}
        suite = ElementTree.SubElement(root, "testsuite", name=clean(name), tests=str(len(verdicts)),
                                       failures=count["wrong"],
                                       errors=count["error"], skipped=count["not started"])
        for verdict in verdicts:
            case = ElementTree.SubElement(suite, "testcase", classname=clean(name), name=verdict.exercise.stem)
            kind = {"wrong": "failure", "error": "error", "not started": "skipped"}.get(verdict.status)
            if kind:
                said = ElementTree.SubElement(case, kind, message=verdict.status)
                said.text = clean("\n".join(lines_of(verdict)))
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def clean(text: str) -> str:
    """Return a text with ? in place of each character that XML forbids."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "?", text)
