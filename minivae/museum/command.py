"""The command `minivae museum`: the list, one exhibit, the matrix, the bug without its name. Results go to stdout."""

import argparse
import ast
import difflib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import minivae

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
    """Run the command; return its exit code."""
    modes = {"NAME": options.name is not None, "--matrix": options.matrix, "--blind": options.blind}
    if sum(modes.values()) > 1:
        came = " and ".join(mode for mode, given in modes.items() if given)
        refuse("museum", "used with one of NAME, --matrix and --blind", came, "Run one command for each.")
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
    """Print one line for every exhibit, room by room; then those for which no repository is named."""
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
    said = {"name": bug.name, "room": room(bug), "title": bug.title, "seen": bug.seen, "models": bug.models}
    files = [change.file for change in bug.changes]
    lines = [{"right": change.right.strip(), "broken": change.broken.strip()} for change in bug.changes]
    return said | {"changes": [{"file": file} | line for file, line in zip(files, lines)]}


# One exhibit


def show_one(options: argparse.Namespace, bug: Bug) -> int:
    """Print the change, the two models side by side and the layers; return 1 if no layer notices the bug."""
    shown = tour.exhibit(bug, whole_number("--seed", options.seed, 0), whole_number("--epochs", options.epochs, 1))
    if options.json:
        print(json.dumps(exhibit_document(shown, options), indent=2))
    else:
        print("\n".join([*exhibit_lines(bug), "", *side_by_side(shown, options), "", *layer_lines(shown.noticed)]))
    return 0 if any(shown.noticed.values()) else 1


def exhibit_document(shown: Exhibit, options: argparse.Namespace) -> dict:
    """Return an exhibit and its numbers as plain JSON types."""
    asked = {"seed": options.seed, "epochs": options.epochs}
    pair = {"right": shown.right._asdict(), "broken": shown.broken._asdict()}
    return described(shown.bug) | asked | pair | {"remarks": tour.remarks(shown), "noticed": shown.noticed}


def exhibit_lines(bug: Bug) -> list[str]:
    """Return the title, where the bug was seen, what it does, and the changed lines with the function they are in."""
    made = [f"{bug.name}: {bug.title}"]
    for label, text in (("seen", bug.seen), ("models", bug.models)):
        made += textwrap.wrap(text, WIDTH, initial_indent=f"{label:8}", subsequent_indent=" " * 8)
    for file in dict.fromkeys(change.file for change in bug.changes):
        made += diff(file, [change for change in bug.changes if change.file == file])
    return made


def diff(file: str, changes: Sequence[Change]) -> Iterator[str]:
    """Yield the lines of a file that `changes` remove and add, indented as in the file, under the name of their function."""
    right = (Path(minivae.__file__).parents[1] / file).read_text(encoding="utf-8")
    old, new = right.splitlines(), changed(right, changes).splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from ("", f"{file}, line {a + 1}, in {function_at(right, a + 1)}")
            yield from (f"  - {line}" for line in old[a:b])
            yield from (f"  + {line}" for line in new[c:d])


def function_at(source: str, line: int) -> str:
    """Return the name of the function that contains a line, with its class before it: `VAE.backward`."""
    found = []
    for node in ast.walk(ast.parse(source)):                # outer nodes come before inner ones
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.lineno <= line <= node.end_lineno:
            found.append(node.name)
    return ".".join(found) or "the module"


def side_by_side(shown: Exhibit, options: argparse.Namespace) -> list[str]:
    """Return the numbers of the two models, and what to notice in them."""
    seed = f"{options.epochs} epochs, seed {options.seed}; nats per digit"
    made = [f"{seed:44} {'right':>12} {'broken':>12}"]
    for key, label in ROWS.items():
        made.append(f"  {label:42} {amount(shown.right, key):>12} {amount(shown.broken, key):>12}")
    for who, report in (("right", shown.right), ("broken", shown.broken)):
        made += [f"  The {who} model ended with an error: {report.words}"] if report.words else []
    return made + [f"  {remark}" for remark in tour.remarks(shown)]


def amount(report: Report, key: str) -> str:
    """Return a number of a report with two decimals, or a dash."""
    value = getattr(report, key)
    return "-" if value is None else f"{value:.2f}"


def layer_lines(said: dict[str, str | None]) -> list[str]:
    """Return what every layer reports: x if it notices the bug, with its words, else a dot."""
    made = [f"noticed by {sum(map(bool, said.values()))} of {len(said)} layers of checks"]
    return made + [f"  {'x' if words else '.'} {layer:10} {words or '-'}" for layer, words in said.items()]


# The matrix


def show_matrix(options: argparse.Namespace) -> int:
    """Print and draw all bugs against all layers; return 1 if the museum itself has a fault."""
    path = options.out / "museum.png"
    if not options.markdown:
        must_be_free("--out", "without an earlier figure", [path], options.overwrite)
        make_directory(options.out)
    progress = Silent() if options.quiet else Progress(len(bugs()))
    found = tour.matrix(progress.update)
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
    """Print the faults of the museum itself on stderr; return 1 if there are any."""
    wrong = tour.faults(found)
    for words in wrong:
        tell(f"minivae: {words}")
    return 1 if wrong else 0


def matrix_lines(found: dict) -> list[str]:
    """Return the table for a terminal: x if a layer notices the bug, X if only this layer does."""
    names = list(layers())
    made = [f"{'':34} {' '.join(f'{name:>9}' for name in names)}"]
    for bug, said in found.items():
        made.append(f"{bug or '(nothing broken)':34} {' '.join(f'{mark(said, name):>9}' for name in names)}")
    counts = [sum(bool(said[name]) for said in found.values()) for name in names]
    lone = tour.alone(found)
    made.append(f"{'noticed':34} {' '.join(f'{count:9}' for count in counts)}")
    made.append(f"{'noticed by this layer only (X)':34} {' '.join(f'{len(lone[name]):9}' for name in names)}")
    return made


def mark(said: dict[str, str | None], layer: str) -> str:
    """Return . if the layer notices nothing, x if it notices the bug, X if it is the only one."""
    if not said[layer]:
        return "."
    return "x" if sum(map(bool, said.values())) > 1 else "X"


def markdown(found: dict) -> list[str]:
    """Return the matrix as a Markdown table."""
    names = list(layers())
    made = [f"| bug | seen | {' | '.join(names)} |", f"|---|---|{':-:|' * len(names)}"]
    for bug in sorted(bugs(), key=lambda bug: bug.common):  # common ones last
        marks = " | ".join({".": "", "x": "x", "X": "**x**"}[mark(found[bug.name], name)] for name in names)
        made.append(f"| {bug.title} | {bug.seen.partition(':')[0] if bug.common else bug.seen} | {marks} |")
    counts = " | ".join(str(sum(bool(said[name]) for said in found.values())) for name in names)
    return [*made, f"| of {len(bugs())} bugs, noticed | | {counts} |"]


# A bug without its name


def show_blind(options: argparse.Namespace, read: Callable[[], str] = input) -> int:
    """Print the numbers of both models for the bug that the seed chooses, then hints: what each layer reports."""
    asked = 1 if options.hints is None else whole_number("--hints", options.hints, 1)
    bug = tour.blind(options.seed)
    shown = tour.exhibit(bug, options.seed, whole_number("--epochs", options.epochs, 1))
    hints = [f"{layer} ({MEANING[layer]}): {words or 'notices nothing'}" for layer, words in shown.noticed.items()]
    hints.append(f"the change is in {bug.changes[0].file}")
    given = hints[: len(hints) if options.reveal else asked]
    if options.json:
        pair = {"right": shown.right._asdict(), "broken": shown.broken._asdict()}
        answer = {"bug": described(bug)} if options.reveal else {}
        print(json.dumps({"seed": options.seed, "epochs": options.epochs} | pair | {"hints": given} | answer, indent=2))
        return 0
    noticing = sum(map(bool, shown.noticed.values()))
    print("One or two lines of minivae were changed. Which ones?")
    print(f"{noticing} of {len(shown.noticed)} layers of checks notice the change; each hint is what one layer reports.")
    print(f"In Python, minivae.museum.tour.handed({options.seed}) is the changed package; .vae.VAE of it is its model.")
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
        print(f"{more} more hints: add --hints N. The answer: add --reveal. Both with --seed {options.seed}.")
    return 0


def guess(bug: Bug, hints: list[str], read: Callable[[], str]) -> bool:
    """Print one hint for each return key; return True when the bug is named, False when the user gives up or input ends."""
    waiting = list(enumerate(hints, 1))
    while True:
        print("Return: a hint; r: the answer; or type the name of the bug >", end=" ", flush=True)
        try:
            said = read().strip()
        except EOFError:
            return False
        if said == bug.name:
            return True
        if said in ("r", "reveal", "q", "quit"):
            return False
        if said:
            print(f"No, not {said}.")
        elif waiting:
            print("hint {}: {}".format(*waiting.pop(0)))
        else:
            print("There are no more hints. `minivae museum` lists the names.")
