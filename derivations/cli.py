"""The command `derivations`. Results go to stdout, messages to stderr.

Exit codes: 0 fine; 1 a verdict is not the expected one, or a figure does not show what it says; 2 usage or bad
input; 130 interrupted.
Nothing heavy is imported before a command runs: `--help` needs neither numpy nor matplotlib.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from minivae import __version__
from minivae.command import run

EXAMPLES = """examples:
  derivations list                               every entry of the ledger, in printed order
  derivations check                              compute every verdict
  derivations check odaibo.40 odaibo.14d         of one entry, and of one step of another
  derivations show odaibo.40                     what it says, its numbers, its code
  derivations show odaibo.40 --at mu_q=0.5,sigma_q=2
  derivations errata                             what is printed, and what holds
  derivations figures --out pictures             the figures of the sources, redrawn
"""
VERDICTS = """verdicts:
  holds       as printed                         slip    the letters fail, the evident intention holds
  holds-if    under the assumption it needs      wrong   false as printed; a witness and a form that holds
  defines     it gives a name                    figure, prose   what it shows or claims is computed
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return run(make_parser(), argv)


def make_parser() -> argparse.ArgumentParser:
    """Every command and option, with its default."""
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    about = "Every equation of a VAE tutorial as a function that can be called, stepped through, and fail."
    parser = argparse.ArgumentParser("derivations", description=about, epilog=f"{EXAMPLES}\n{VERDICTS}", **raw)
    parser.add_argument("--version", action="version", version=f"derivations {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="no messages")
    common.add_argument("--json", action="store_true", help="print the results as one JSON document")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    judging = argparse.ArgumentParser(add_help=False)
    judging.add_argument("--draws", type=int, default=1000, metavar="N", help="of every letter (default: %(default)s)")
    judging.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")

    def command(name, function, help, *more, **settings):
        made = commands.add_parser(name, parents=[common, *more], help=help, description=f"{help}.", **settings)
        made.set_defaults(command=function)
        return made.add_argument

    source = {"nargs": "?", "metavar": "SOURCE", "help": "of this source (default: of all)"}
    command("list", list_command, "Every entry, in printed order")("source", **source)
    add = command("check", check_command, "Compute every verdict", judging, epilog=VERDICTS, **raw)
    add("ids", nargs="*", metavar="ID|SOURCE", help="entries, single rows, sources (default: everything)")
    add = command("show", show_command, "What an entry says, its numbers, its code", judging)
    add("id", metavar="ID", help="of an entry, or of one row of it")
    add("--at", metavar="LETTER=VALUE,...", help="where its sides are computed, like mu_q=0.5,sigma_q=2")
    add = command("errata", errata_command, "Every slip and error, with what holds", judging)
    add("source", **source)
    add("--markdown", action="store_true", help="as a table for a README")
    add = command("figures", figures_command, "Draw the sources' figures, each proven first")
    add("names", nargs="*", metavar="NAME", help="of a figure, after its row: lm-11 for lm.11 (default: all figures)")
    add("--out", type=Path, default=Path("derivations-out"), metavar="DIR", help="where they go (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace what an earlier command wrote")
    return parser


def list_command(options: argparse.Namespace) -> int:
    """One line for every entry."""
    from derivations import ledger, pages
    from derivations.unicode import unicode

    chosen = ledger.entries(known_source(options.source))
    if options.json:
        keys = ("id", "source", "ref", "kind", "expected", "statement")
        rows = []
        for entry in chosen:
            of_entry = ledger.source_of(entry), entry.ref, entry.kind
            statement = unicode(entry.printed.latex)
            rows += [dict(zip(keys, (row.id, *of_entry, row.expected, statement))) for row in entry.rows]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for entry in chosen:
        print(pages.list_line(entry, pages.page_width()))
    return 0


def known_source(name: str | None) -> str:
    """The name of a source; "" for all."""
    from derivations.ledger import SOURCES
    from minivae.checks import choice

    return choice("SOURCE", name, SOURCES) if name is not None else ""


def judged_items(options: argparse.Namespace, found: list) -> list:
    """The judgements of what was found, with the draws and seed that were asked for."""
    from derivations import records
    from minivae.checks import whole_number

    draws, seed = whole_number("--draws", options.draws, 1), whole_number("--seed", options.seed, 0)
    return records.judged(found, draws, seed, options.debug)


def check_command(options: argparse.Namespace) -> int:
    """The table of verdicts, or one JSON document; 1 if a verdict is not the expected one."""
    from derivations import ledger, pages, records

    began = time.perf_counter()
    items = judged_items(options, ledger.find_all(options.ids))
    failed = sum(not judgement.ok for item in items for judgement in item.rows)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    else:
        width = pages.page_width()
        print(f"{'id':12} {'statement':{width - 34}} {'verdict':10}{'worst miss':>10}")
        for item in items:
            print("\n".join(pages.check_rows(item, width)))
        print()
        print("\n".join(pages.totals(items)))
        mismatches = "1 mismatch" if failed == 1 else f"{failed or 'no'} mismatches"
        print(f"\n{mismatches}; {options.draws} draws, seed {options.seed}; a miss of 1 is the tolerance")
    say(options, f"{time.perf_counter() - began:.1f} s in all")
    return 1 if failed else 0


def show_command(options: argparse.Namespace) -> int:
    """The page of one entry; 1 if its verdict is not the expected one."""
    from derivations import ledger, pages, records

    found = ledger.find(options.id)
    if options.id in ledger.SOURCES:
        raise ValueError(
            f"ID must be an entry; got the source {options.id}. Try `derivations list {options.id}`."
        )
    (entry, _), (item,) = found[0], judged_items(options, found)
    values = records.parse_point(options.at, entry) if options.at is not None else {}
    form = records.shown(entry)
    point = records.sample(form) | values
    try:
        sides = records.sides_at(form, point)
    except ValueError as error:
        raise ValueError(
            f"--at must be where {entry.id} can be computed; got {options.at!r}. {error}"
        ) from error
    if options.json:
        at = records.lists({symbol.name: point[symbol.name] for symbol in form.inputs})
        document = records.record(item) | {"at": at, "sides": [side.tolist() for side in sides]}
        print(json.dumps(records.finite(document), indent=2, ensure_ascii=False))
    else:
        print(pages.page(item, values, options.draws, options.seed))
    return 0 if item.ok else 1


def errata_command(options: argparse.Namespace) -> int:
    """Every slip and wrong row; 1 if a verdict is not the expected one."""
    from derivations import ledger, pages, records

    faulty = [
        ledger.Found(entry, rows)
        for entry in ledger.entries(known_source(options.source))
        if (rows := [row for row in entry.rows if row.expected in ("slip", "wrong")])
    ]
    items = judged_items(options, faulty)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    else:
        print(pages.errata_markdown(items) if options.markdown else pages.errata_text(items))
    bad = [judgement for item in items for judgement in item.rows if not judgement.ok]
    for judgement in bad:
        verdict, row = judgement.verdict, judgement.row
        print(f"derivations: {row.id} is {verdict}, expected {row.expected}", file=sys.stderr)
    return 1 if bad else 0


def figures_command(options: argparse.Namespace) -> int:
    """Draw figures, as SVG and as PNG; 1 if one does not show what it says."""
    from derivations import figures

    try:
        files = figures.write_all(options.out, options.overwrite, options.names)
    except figures.NotShown as error:
        print(f"derivations: {error}", file=sys.stderr)
        return 1
    document = json.dumps({"files": files}, indent=2, ensure_ascii=False)
    print(document if options.json else "\n".join(file["path"] for file in files))
    return 0


def say(options, message: str) -> None:
    """A message on stderr, unless it is to be quiet."""
    if not options.quiet:
        print(message, file=sys.stderr)
