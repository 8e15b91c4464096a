"""The command `minivae museum`: what is asked for, in words. Results on stdout, talk on stderr."""

import argparse
import json
import sys
import textwrap
from collections.abc import Callable

from minivae.app.progress import Progress, Silent, tell
from minivae.checks import refuse, whole_number
from minivae.museum import tour
from minivae.museum.exhibits import ROOMS, Bug, bugs, find, room
from minivae.museum.layers import MEANING, layers
from minivae.museum.tour import Exhibit, Report
from minivae.runs import make_directory
from minivae.runs.files import must_be_free

ROWS = {
    "loss": "loss of what it learned from",
    "logged": "ELBO of that, in the log",
    "elbo": "held-out ELBO",
    "iw_bound": f"importance-weighted, k={tour.WEIGHTS}",
    "own_log_px": "log p(x), by its own code",
    "log_px": "exact log p(x)",
}
WIDTH = 100


def visit(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit code."""
    wishes = {"NAME": options.name is not None, "--matrix": options.matrix, "--blind": options.blind}
    if sum(wishes.values()) > 1:
        came = " and ".join(wish for wish, wished in wishes.items() if wished)
        refuse("museum", "asked for one thing", came, "Ask for them one after the other.")
    for option, needs in {"markdown": "matrix", "reveal": "blind", "hints": "blind"}.items():
        if getattr(options, option) not in (None, False) and not getattr(options, needs):
            refuse(f"--{option}", f"given with --{needs} only", f"no --{needs}", "Add it.")
    if options.matrix:
        return show_matrix(options)
    if options.blind:
        return show_blind(options)
    return show_one(options, find(options.name)) if options.name is not None else show_all(options)


# All of them


def show_all(options: argparse.Namespace) -> int:
    """A line for every exhibit, room by room."""
    if options.json:
        print(json.dumps([described(bug) for bug in bugs()], indent=2))
        return 0
    for name in ROOMS:
        print(name)
        for bug in bugs():
            if room(bug) == name:
                print(f"  {bug.name:34} {bug.title}")
    print("layers of checks")
    for layer in layers():
        print(f"  {layer:10} {MEANING[layer]}")
    print(f"{len(bugs())} exhibits. Next: minivae museum {bugs()[0].name}")
    return 0


def described(bug: Bug) -> dict:
    """An exhibit as plain JSON types."""
    said = {"name": bug.name, "room": room(bug), "title": bug.title, "seen": bug.seen, "models": bug.models}
    files = [change.file for change in bug.changes]
    lines = [{"right": change.right.strip(), "broken": change.broken.strip()} for change in bug.changes]
    return said | {"changes": [{"file": file} | line for file, line in zip(files, lines)]}


# One


def show_one(options: argparse.Namespace, bug: Bug) -> int:
    """The change, the two models side by side, the layers. 1 if no layer notices."""
    shown = tour.exhibit(bug, whole_number("--seed", options.seed, 0), whole_number("--epochs", options.epochs, 1))
    if options.json:
        print(json.dumps(exhibit_document(shown, options), indent=2))
    else:
        print("\n".join([*exhibit_lines(bug), "", *side_by_side(shown, options), "", *layer_lines(shown.noticed)]))
    return 0 if any(shown.noticed.values()) else 1


def exhibit_document(shown: Exhibit, options: argparse.Namespace) -> dict:
    """An exhibit and its numbers as plain JSON types."""
    asked = {"seed": options.seed, "epochs": options.epochs}
    pair = {"right": shown.right._asdict(), "broken": shown.broken._asdict()}
    return described(shown.bug) | asked | pair | {"remarks": tour.remarks(shown), "noticed": shown.noticed}


def exhibit_lines(bug: Bug) -> list[str]:
    """What it is, where it was seen, and the lines."""
    made = [f"{bug.name}: {bug.title}"]
    for label, text in (("seen", bug.seen), ("models", bug.models)):
        made += textwrap.wrap(text, WIDTH, initial_indent=f"{label:8}", subsequent_indent=" " * 8)
    for change in bug.changes:
        made += ["", change.file]
        for sign, text in (("-", change.right), ("+", change.broken)):
            made += [f"  {sign} {line}" for line in textwrap.dedent(text.strip("\n")).splitlines() if line.strip()]
    return made


def side_by_side(shown: Exhibit, options: argparse.Namespace) -> list[str]:
    """The two models' numbers, and what to see in them."""
    seed = f"{options.epochs} epochs of the digits, seed {options.seed}; nats per datum"
    made = [f"{seed:44} {'right':>12} {'broken':>12}"]
    for key, label in ROWS.items():
        made.append(f"  {label:42} {amount(shown.right, key):>12} {amount(shown.broken, key):>12}")
    for who, report in (("right", shown.right), ("broken", shown.broken)):
        made += [f"  The {who} one says: {report.words}"] if report.words else []
    return made + [f"  {remark}" for remark in tour.remarks(shown)]


def amount(report: Report, key: str) -> str:
    """A number of a report with two decimals, or a dash."""
    value = getattr(report, key)
    return "-" if value is None else f"{value:.2f}"


def layer_lines(said: dict[str, str | None]) -> list[str]:
    """What every layer says."""
    made = [f"noticed by {sum(map(bool, said.values()))} of {len(said)} layers of checks"]
    return made + [f"  {'x' if words else '.'} {layer:10} {words or '-'}" for layer, words in said.items()]


# All against all


def show_matrix(options: argparse.Namespace) -> int:
    """Bugs against layers: a table, and a figure. 1 if the right model is noticed, or a bug is not."""
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
    """1 and a word on stderr if the museum itself is at fault."""
    wrong = tour.faults(found)
    for words in wrong:
        tell(f"minivae: {words}")
    return 1 if wrong else 0


def matrix_lines(found: dict) -> list[str]:
    """The table in a terminal: x where a layer notices, X where it is the only one."""
    names = list(layers())
    made = [f"{'':34} {' '.join(f'{name:>9}' for name in names)}"]
    for bug, said in found.items():
        made.append(f"{bug or '(nothing broken)':34} {' '.join(f'{mark(said, name):>9}' for name in names)}")
    counts = [sum(bool(said[name]) for said in found.values()) for name in names]
    lone = tour.alone(found)
    made.append(f"{'noticed':34} {' '.join(f'{count:9}' for count in counts)}")
    made.append(f"{'noticed by no other (X)':34} {' '.join(f'{len(lone[name]):9}' for name in names)}")
    return made


def mark(said: dict[str, str | None], layer: str) -> str:
    """. for nothing, x for noticed, X for noticed here alone."""
    if not said[layer]:
        return "."
    return "x" if sum(map(bool, said.values())) > 1 else "X"


def markdown(found: dict) -> list[str]:
    """The matrix as a table for a README."""
    names = list(layers())
    made = [f"| bug | seen | {' | '.join(names)} |", f"|---|---|{':-:|' * len(names)}"]
    for bug in bugs():
        marks = " | ".join({".": "", "x": "x", "X": "**x**"}[mark(found[bug.name], name)] for name in names)
        made.append(f"| {bug.title} | {bug.seen} | {marks} |")
    counts = " | ".join(str(sum(bool(said[name]) for said in found.values())) for name in names)
    return [*made, f"| of {len(bugs())} bugs, noticed | | {counts} |"]


# Without its name


def show_blind(options: argparse.Namespace, read: Callable[[], str] = input) -> int:
    """A bug that a seed hides: the two models' numbers, then what the layers say, one at a time."""
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
    print("A line or two of minivae are not as they were. Which?")
    print(f"minivae.museum.tour.handed({options.seed}) is that package: handed({options.seed}).vae.VAE is its model.")
    print("\n".join(["", *side_by_side(shown, options), ""]))
    if options.reveal or options.hints is not None or not sys.stdin.isatty():
        print("\n".join(f"hint {i}: {hint}" for i, hint in enumerate(given, 1)))
        verdict = "It is this one."
    else:
        verdict = "Found." if guess(bug, hints, read) else "It is this one."
        options.reveal = True
    if options.reveal:
        print("\n".join(["", verdict, *exhibit_lines(bug)]))
    else:
        print(f"{len(hints) - len(given)} more hints: --hints N. The answer: --reveal. Both with --seed {options.seed}.")
    return 0


def guess(bug: Bug, hints: list[str], read: Callable[[], str]) -> bool:
    """Hints one at a time, until it is named or given up; the end of input gives up."""
    waiting = list(enumerate(hints, 1))
    while True:
        print("a hint: return; the name of an exhibit, if you know; the answer: r >", end=" ", flush=True)
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
