"""The command `minivae museum`: list the exhibits, show one, run all checks on all bugs, or let the user guess a bug."""

import argparse
import ast
import difflib
import functools
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import minivae

from minivae.app.process import mapped, other_processes
from minivae.app.progress import Progress, Silent, tell
from minivae.checks import refuse, whole_number
from minivae.museum import tour
from minivae.museum.exhibits import ROOMS, Bug, bugs, find, room
from minivae.museum.layers import MEANING, layers
from minivae.museum.patched import Change, changed
from minivae.museum.tour import Exhibit, Report
from minivae.runs import make_directory
from minivae.runs.files import must_be_free

ROWS = {
    "loss": "loss of the training data",
    "logged": "ELBO of the training data, as logged",
    "elbo": "ELBO of the held-out data",
    "iw_bound": f"importance-weighted bound, k={tour.WEIGHTS}",
    "own_log_px": "log p(x), by the model's own code",
    "log_px": "exact log p(x), by the right code",
}
WIDTH = 100


def visit(options: argparse.Namespace) -> int:
    """Run `minivae museum`; return its exit code."""
    modes = {"NAME": options.name is not None, "--matrix": options.matrix, "--blind": options.blind}
    if sum(modes.values()) > 1:
        got = " and ".join(mode for mode, given in modes.items() if given)
        refuse("museum", "used with one of NAME, --matrix and --blind", got, "Run one command for each.")
    for option, needs in {"markdown": "matrix", "reveal": "blind", "hints": "blind"}.items():
        if getattr(options, option) not in (None, False) and not getattr(options, needs):
            refuse(f"--{option}", f"used with --{needs} only", f"no --{needs}", f"Add --{needs}.")
    if options.matrix:
        return show_matrix(options)
    if options.blind:
        return show_blind(options)
    return show_one(options, find(options.name)) if options.name is not None else show_all(options)


# The list


def show_all(options: argparse.Namespace) -> int:
    """Print one line for each exhibit, grouped by room, with the common bugs last; then a line for each layer of checks."""
    if options.json:
        print(json.dumps([described(bug) for bug in bugs()], indent=2))
        return 0
    groups = {name: [bug for bug in bugs() if room(bug) == name and not bug.common] for name in ROOMS}
    groups["common mistakes, seen in no repository that we can name"] = [bug for bug in bugs() if bug.common]
    for title, members in groups.items():
        print("\n".join([title, *(f"  {bug.name:34} {bug.title}" for bug in members)]))
    print("layers of checks")
    for layer in layers():
        print(f"  {layer:10} {MEANING[layer]}")
    print(f"{len(bugs())} exhibits. Next: minivae museum {bugs()[0].name}")
    return 0


def described(bug: Bug) -> dict:
    """Return an exhibit as plain JSON types."""
    texts = {"name": bug.name, "room": room(bug), "title": bug.title, "seen": bug.seen, "models": bug.models}
    files = [change.file for change in bug.changes]
    lines = [{"right": change.right.strip(), "broken": change.broken.strip()} for change in bug.changes]
    return texts | {"changes": [{"file": file} | line for file, line in zip(files, lines)]}


# One exhibit


def show_one(options: argparse.Namespace, bug: Bug) -> int:
    """Print the changed lines, the results of both models, and the message of each layer of checks.

    Return 1 if no layer of checks notices the bug.
    """
    shown = tour.exhibit(bug, whole_number("--seed", options.seed, 0), whole_number("--epochs", options.epochs, 1))
    if options.json:
        print(json.dumps(exhibit_document(shown, options), indent=2))
    else:
        print("\n".join([*exhibit_lines(bug), "", *side_by_side(shown, options), "", *layer_lines(shown.noticed)]))
    return 0 if any(shown.noticed.values()) else 1


def exhibit_document(shown: Exhibit, options: argparse.Namespace) -> dict:
    """Return an exhibit and the results of both models as plain JSON types."""
    settings = {"seed": options.seed, "epochs": options.epochs}
    pair = {"right": shown.right._asdict(), "broken": shown.broken._asdict()}
    return described(shown.bug) | settings | pair | {"remarks": tour.remarks(shown), "noticed": shown.noticed}


def exhibit_lines(bug: Bug) -> list[str]:
    """Return the lines that describe an exhibit: title, source, effect, and the changed lines of code."""
    lines = [f"{bug.name}: {bug.title}"]
    for label, text in (("seen", bug.seen), ("effect", bug.models)):
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"{label:8}", subsequent_indent=" " * 8)
    for file in dict.fromkeys(change.file for change in bug.changes):
        lines += diff(file, [change for change in bug.changes if change.file == file])
    return lines


def diff(file: str, changes: Sequence[Change]) -> Iterator[str]:
    """Yield the lines that `changes` remove from a file or add to it, below a heading with the changed function's name."""
    right = (Path(minivae.__file__).parents[1] / file).read_text(encoding="utf-8")
    old, new = right.splitlines(), changed(right, changes).splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from ("", f"{file}, line {a + 1}, in {function_at(right, a + 1)}")
            yield from (f"  - {line}" for line in old[a:b])
            yield from (f"  + {line}" for line in new[c:d])


def function_at(source: str, line: int) -> str:
    """Return the class and the function that contain a line, joined with a dot: `VAE.backward`."""
    return ".".join(one.name for one in blocks(source) if one.lineno <= line <= one.end_lineno) or "the module"


@functools.cache
def blocks(source: str) -> list[ast.ClassDef | ast.FunctionDef]:
    """Return the classes and functions of a file; outer ones come before inner ones."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.ClassDef, ast.FunctionDef))]


def side_by_side(shown: Exhibit, options: argparse.Namespace) -> list[str]:
    """Return a table with the results of both models, and below the table, sentences about the models."""
    settings = f"{options.epochs} epochs, seed {options.seed}; nats per image"
    lines = [f"{settings:44} {'right':>12} {'broken':>12}"]
    for key, label in ROWS.items():
        lines.append(f"  {label:42} {amount(shown.right, key):>12} {amount(shown.broken, key):>12}")
    for which, report in (("right", shown.right), ("broken", shown.broken)):
        lines += [f"  The {which} model ended with an error: {report.words}"] if report.words else []
    return lines + [f"  {remark}" for remark in tour.remarks(shown)]


def amount(report: Report, key: str) -> str:
    """Return one result of a model as text with two decimals, or a dash if the report lacks this result."""
    value = getattr(report, key)
    return "-" if value is None else f"{value:.2f}"


def layer_lines(messages: dict[str, str | None]) -> list[str]:
    """Return a line for each layer of checks: x and the message if the layer notices the bug, else a dot."""
    lines = [f"noticed by {sum(map(bool, messages.values()))} of {len(messages)} layers of checks"]
    return lines + [f"  {'x' if message else '.'} {layer:10} {message or '-'}" for layer, message in messages.items()]


# The matrix


def show_matrix(options: argparse.Namespace) -> int:
    """Print and draw the table of bugs and layers of checks; return 1 if the museum itself has a fault."""
    path = options.out / "museum.png"
    if not options.markdown:
        must_be_free("--out", "a directory without an earlier figure", [path], options.overwrite)
        make_directory(options.out)
    progress = Silent() if options.quiet else Progress(len(bugs()))
    with other_processes() as pool:
        found = tour.matrix(progress.update, functools.partial(mapped, pool))
    progress.end()
    if options.markdown:
        print("\n".join(markdown(found)))
        return report_faults(found)
    from minivae.figures import style
    from minivae.museum import figures

    figure, alt = figures.matrix(found)
    style.save(figure, alt, path)
    if options.json:
        files = [{"path": str(path), "alt": alt}]
        document = {"layers": MEANING, "right": found[""], "bugs": {k: v for k, v in found.items() if k}}
        print(json.dumps(document | {"alone": tour.alone(found), "files": files}, indent=2))
    else:
        print("\n".join([*matrix_lines(found), str(path)]))
    return report_faults(found)


def report_faults(found: dict) -> int:
    """Print the sentences of `tour.faults` to stderr; return 1 if at least one sentence is printed."""
    faults = tour.faults(found)
    for fault in faults:
        tell(f"minivae: {fault}")
    return 1 if faults else 0


def matrix_lines(found: dict) -> list[str]:
    """Return the lines of the table for a terminal. The function `mark` explains the marks in the table."""
    names = list(layers())
    lines = [f"{'':34} {' '.join(f'{name:>9}' for name in names)}"]
    for bug, messages in found.items():
        lines.append(f"{bug or '(nothing broken)':34} {' '.join(f'{mark(messages, name):>9}' for name in names)}")
    counts = [sum(bool(messages[name]) for messages in found.values()) for name in names]
    alone = tour.alone(found)
    lines.append(f"{'noticed':34} {' '.join(f'{count:9}' for count in counts)}")
    lines.append(f"{'noticed by this layer only (X)':34} {' '.join(f'{len(alone[name]):9}' for name in names)}")
    return lines


def mark(messages: dict[str, str | None], layer: str) -> str:
    """Return "." if this layer of checks finds no fault.

    Return "x" if this layer and at least one other layer find a fault. Return "X" if only this layer finds a fault.
    """
    if not messages[layer]:
        return "."
    return "x" if sum(map(bool, messages.values())) > 1 else "X"


def markdown(found: dict) -> list[str]:
    """Return the matrix as a Markdown table."""
    names = list(layers())
    lines = [f"| bug | seen | {' | '.join(names)} |", f"|---|---|{':-:|' * len(names)}"]
    for bug in sorted(bugs(), key=lambda bug: bug.common):  # common bugs last
        marks = " | ".join({".": "", "x": "x", "X": "**x**"}[mark(found[bug.name], name)] for name in names)
        lines.append(f"| {bug.title} | {bug.seen.partition(':')[0] if bug.common else bug.seen} | {marks} |")
    counts = " | ".join(str(sum(bool(messages[name]) for messages in found.values())) for name in names)
    return [*lines, f"| bugs noticed, of {len(bugs())} | | {counts} |"]


# The option --blind: show the effects of a bug, but not its name


def show_blind(options: argparse.Namespace, read: Callable[[], str] = input) -> int:
    """Print the results of the right and the broken model, then hints; the seed chooses the bug.

    There is one hint for each layer of checks: the layer's message. The last hint is the path of the changed file.
    """
    count = 1 if options.hints is None else whole_number("--hints", options.hints, 1)
    bug = tour.blind(options.seed)
    shown = tour.exhibit(bug, options.seed, whole_number("--epochs", options.epochs, 1))
    hints = [f"{layer} ({MEANING[layer]}): {message or 'notices nothing'}" for layer, message in shown.noticed.items()]
    hints.append(f"the change is in {bug.changes[0].file}")
    given = hints[: len(hints) if options.reveal else count]
    if options.json:
        pair = {"right": shown.right._asdict(), "broken": shown.broken._asdict()}
        answer = {"bug": described(bug)} if options.reveal else {}
        print(json.dumps({"seed": options.seed, "epochs": options.epochs} | pair | {"hints": given} | answer, indent=2))
        return 0
    noticing = sum(map(bool, shown.noticed.values()))
    print("One or two lines of minivae were changed. Which ones?")
    print(f"{noticing} of {len(shown.noticed)} layers of checks notice the change.")
    print("Each hint is the message of one layer of checks; the last hint names the changed file.")
    print(f"In Python, minivae.museum.tour.handed({options.seed}) returns the changed package; its model is .vae.VAE.")
    print("\n".join(["", *side_by_side(shown, options), ""]))
    if options.reveal or options.hints is not None or not sys.stdin.isatty():
        print("\n".join(f"hint {i}: {hint}" for i, hint in enumerate(given, 1)))
        verdict = "The answer:"
    else:
        verdict = "Right." if guess(bug, hints, read) else "The answer:"
        options.reveal = True
    if options.reveal:
        print("\n".join(["", verdict, *exhibit_lines(bug)]))
    else:
        more = len(hints) - len(given)
        print(f"{more} more hints: --hints N prints the first N. For the answer, add --reveal. Keep --seed {options.seed}.")
    return 0


def guess(bug: Bug, hints: list[str], read: Callable[[], str]) -> bool:
    """Print a hint for each empty line that the user types.

    Return True if the user types the name of the bug, and False if the user gives up or the input ends.
    """
    waiting = list(enumerate(hints, 1))
    while True:
        print("Return: a hint; r: the answer; or type the name of the bug >", end=" ", flush=True)
        try:
            answer = read().strip()
        except EOFError:
            return False
        if answer == bug.name:
            return True
        if answer in ("r", "reveal", "q", "quit"):
            return False
        if answer:
            print(f"No, not {answer}.")
        elif waiting:
            print("hint {}: {}".format(*waiting.pop(0)))
        else:
            print("There are no more hints. `minivae museum` lists the names.")
