"""The command `derivations`. Results go to stdout, messages to stderr.

Exit codes: 0 if all is well; 1 if a check fails (a verdict, the claim of a figure, a comparison); 2 for wrong usage or bad
input; 130 if interrupted.

Each command imports heavy modules when it runs, so `--help` does not import numpy or matplotlib.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from derivations.app.options import judged_items, say_count
from derivations.app.study import (
    cards_command, compare_command, map_command, questions_command, quiz_command, trace_command,
)  # fmt: skip
from derivations.pages.glossary import glossary
from minivae import __version__
from minivae.app.progress import say, tell
from minivae.app.runner import run

EXAMPLES = """examples:
  derivations list                               the sections of the ledger; `list entropy`: entries with that word
  derivations check                              compute every verdict and print the totals
  derivations check odaibo.40 odaibo.14d         the verdicts of one entry, and of one step of another
  derivations show odaibo.40                     its formula, numbers, verdict and code
  derivations show odaibo.40 --at mu_q=0.5,sigma_q=2
  derivations errata                             every fault, one line each
  derivations figures --out pictures             the figures of the sources, redrawn
  derivations book                               the whole ledger as one HTML page with typeset formulas
  derivations map kl_standard_normal             the entries and the tests of a function
  derivations trace --step                       one training step, line by line
  derivations cards --anki cards.tsv --obsidian notes   the ledger as flashcards
"""
VERDICTS = "\n".join(["verdicts:", *(f"  {line}" for line in glossary())])


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return run(make_parser(), argv)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every command and option."""
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    about = "The equations of four VAE tutorials, as functions that you can call and step through. Each has a verdict."
    parser = argparse.ArgumentParser("derivations", description=about, epilog=f"{EXAMPLES}\n{VERDICTS}", **raw)
    parser.add_argument("--version", action="version", version=f"derivations {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="print results only, no messages")
    common.add_argument("--json", action="store_true", help="print the results as one JSON document")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    judging = argparse.ArgumentParser(add_help=False)
    draws = "number of random values of each letter (default: 1000)"
    judging.add_argument("--draws", type=int, default=1000, metavar="N", help=draws)
    judging.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")

    def command(name, function, help, *more, **settings):
        made = commands.add_parser(name, parents=[common, *more], help=help, description=f"{help}.", **settings)
        made.set_defaults(command=function)
        return made.add_argument

    add_ledger_commands(command, judging, raw)
    add_study_commands(command, judging)
    return parser


SOURCES = "odaibo, lm, hong, cards (the tutorials) or beyond (steps that they skip); default: all"
SOURCE = {"nargs": "?", "metavar": "SOURCE", "help": SOURCES}
WORDS = "a source (odaibo), an id (odaibo.40), or a word (entropy) in a formula, its meaning or its function in minivae"
FILTER = {"nargs": "?", "default": "", "metavar": "FILTER", "help": f"{WORDS}; default: all"}


def add_ledger_commands(command: Callable, judging: argparse.ArgumentParser, raw: dict) -> None:
    """Add the commands that print and judge the ledger."""
    add = command("list", list_command, "Print the sections of the ledger, or the entries that match a filter")
    add("filter", **FILTER)
    add("--all", action="store_true", help="print every entry")
    help = "Compute every verdict; print the totals and all unexpected verdicts (with -q, only one line)"
    add = command("check", check_command, help, judging, epilog=VERDICTS, **raw)
    add("ids", nargs="*", metavar="ID|SOURCE", help="entries, single rows or sources (default: everything)")
    add("--all", action="store_true", help="print the verdict of every row, even if the table is long")
    add("--markdown", action="store_true", help="print a Markdown table: the numbers of rows and faults in each source")
    add = command("show", show_command, "Print an entry: its formula, numbers, verdict and code", judging)
    add("id", metavar="ID", help="an entry or one row of it")
    add("--at", metavar="LETTER=VALUE,...", help="compute the sides at this point, for example mu_q=0.5,sigma_q=2")
    help = "Print, source by source, every fault, then loose wording and damage by copying, one line each"
    add = command("errata", errata_command, help, judging)
    add("filter", **FILTER)
    add("--full", action="store_true", help="print each statement, a point where it fails, and the form that holds")
    add("--markdown", action="store_true", help="print Markdown tables")
    add = command("figures", figures_command, "Check the texts of the figures with their numbers, then draw the figures")
    add("names", nargs="*", metavar="NAME", help="figures, named after their entries: lm-11 for lm.11 (default: all)")
    add("--out", type=Path, default=Path("derivations-out"), metavar="DIR", help="output directory (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace existing files")
    add = command("book", book_command, "Write the whole ledger as one HTML page, which works offline", judging)
    book = Path("derivations-out/book.html")
    add("--out", type=Path, default=book, metavar="FILE", help="path of the page (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace an existing file")


def add_study_commands(command: Callable, judging: argparse.ArgumentParser) -> None:
    """Add the commands for studying the ledger."""
    add = command("compare", compare_command, "Compare the sources: their notation, and the same quantity in each", judging)
    add("--markdown", action="store_true", help="print the table of notation in Markdown")
    add = command("questions", questions_command, "Print computed answers to questions that the sources leave open")
    add("--out", type=Path, metavar="DIR", help="also write a figure of the last question's two models to DIR")
    add("--overwrite", action="store_true", help="replace existing files")
    help = "Write the ledger as flashcards, for Anki and for Obsidian"
    add = command("cards", cards_command, help, judging)
    add("--anki", type=Path, metavar="FILE", help="write one file of tab-separated fields, for Anki's import")
    add("--obsidian", type=Path, metavar="DIR", help="write one note for each source")
    add("--overwrite", action="store_true", help="replace existing files")
    add = command("quiz", quiz_command, "Ask flashcards in the terminal", judging)
    add("source", **SOURCE)
    add("-n", type=int, default=10, metavar="N", help="number of cards (default: %(default)s)")
    add("--faults", action="store_true", help="ask only about lines with the verdict slip or wrong")
    add = command("map", map_command, "Print the entries and tests of a function of minivae, or the functions of an entry")
    add("name", **FILTER | {"help": f"a function or a part of its name, or {WORDS}; default: every function"})
    add("--all", action="store_true", help="print the entries and the tests of every function")
    add("--markdown", action="store_true", help="print a Markdown table")
    add = command("trace", trace_command, "Print one training step, line by line, and its gradient computed four ways")
    add("--likelihood", default="bernoulli", metavar="NAME", help="bernoulli, binomial or gaussian (default: bernoulli)")
    add("--estimator", default="analytic", metavar="NAME", help="the KL: analytic, sampled or path (default: analytic)")
    add("--seed", type=int, default=0, help="seed of the weights, the data point and the noise (default: %(default)s)")
    add("--step", action="store_true", help="wait for the return key after every line")


def list_command(options: argparse.Namespace) -> int:
    """Print the sections of the ledger, or one line for every entry that matches the filter."""
    from derivations.engine import ledger
    from derivations.pages import records, terminal
    from derivations.pages.unicode import unicode

    chosen, everything = records.matching(options.filter), ledger.entries()
    if options.json:
        keys = ("id", "source", "ref", "kind", "expected", "statement")
        rows = []
        for entry in chosen:
            of_entry = ledger.source_of(entry), entry.ref, entry.kind
            statement = unicode(entry.printed.latex)
            rows += [dict(zip(keys, (row.id, *of_entry, row.expected, statement))) for row in entry.rows]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    whole = bool(options.filter or options.all)
    lines = terminal.list_lines if whole else terminal.contents
    print("\n".join(lines(chosen, terminal.page_width())))
    say_count(options, chosen, everything, "entries", ("entropy", "odaibo.closed_form"), "" if whole else "--all")
    return 0


FITS = 24                                                   # number of verdicts that fit on a screen above the totals


def check_command(options: argparse.Namespace) -> int:
    """Print the totals. With --all, or if the given ids have at most FITS rows, also print the verdict of every row.

    Return 1 if a verdict is not the expected one.
    """
    from derivations.engine import ledger
    from derivations.pages import errata, records, terminal

    began = time.perf_counter()
    items = judged_items(options, ledger.find_all(options.ids))
    rows = [judgement for item in items for judgement in item.rows]
    failed = sum(not judgement.ok for judgement in rows)
    whole = options.all or bool(options.ids and len(rows) <= FITS)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    elif options.markdown:
        print(errata.counts_markdown(items))
    elif options.quiet and not options.all:
        print(f"{len(rows)} rows, {len(rows) - failed} as expected; {options.draws} draws, seed {options.seed}")
    else:
        print("\n".join(terminal.check_lines(items, whole, terminal.page_width())))
        unexpected = f"{failed or 'no'} unexpected verdict{'s' * (failed > 1)}"
        command = " ".join(["derivations check", *options.ids, "--all"])
        more = "error: difference / tolerance; a link holds if it is at most 1" if whole else f"for each row: {command}"
        print(f"\n{unexpected}; {options.draws} draws, seed {options.seed}; {more}")
    say(options, f"{time.perf_counter() - began:.1f} s in all")
    return 1 if failed else 0


def show_command(options: argparse.Namespace) -> int:
    """Print the details of one entry; return 1 if its verdict is not the expected one."""
    from derivations.engine import ledger
    from derivations.pages import records, terminal

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
            f"--at must be a point at which {entry.id} can be computed; got {options.at!r}. {error}"
        ) from error
    if options.json:
        at = records.lists({symbol.name: point[symbol.name] for symbol in form.inputs})
        document = records.record(item) | {"at": at, "sides": [side.tolist() for side in sides]}
        print(json.dumps(records.finite(document), indent=2, ensure_ascii=False))
    else:
        print(terminal.page(item, values, options.draws, options.seed))
    return 0 if item.ok else 1


def errata_command(options: argparse.Namespace) -> int:
    """Print the errata, the loose wordings, and the places where copying may have damaged a source.

    Return 1 if a verdict is not the expected one.
    """
    from derivations.engine import ledger
    from derivations.pages import errata, records

    everything = {entry.id: [row for row in entry.rows if row.expected in errata.LISTED] for entry in ledger.entries()}
    groups = {row.group for entry in records.matching(options.filter) for row in everything[entry.id]}
    chosen = {id: [row for row in rows if row.group in groups] for id, rows in everything.items()}
    found = [ledger.Found(entry, chosen[entry.id]) for entry in ledger.entries() if chosen[entry.id]]
    items = judged_items(options, found)
    listed = errata.errata(items)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    elif options.markdown:
        print(errata.errata_markdown(listed))
    elif listed:
        print(errata.errata_text(listed) if options.full else "\n".join(errata.errata_lines(listed)))
    if not (options.json or options.markdown):
        all_groups = list({row.group for rows in everything.values() for row in rows})
        noun = "faults and remarks" + (f" ({errata.counted(listed)})" if listed else "")
        noun += "; +1: one more row has this fault" * (not options.full and any(len(one.rows) > 1 for one in listed))
        say_count(options, listed, all_groups, noun, ("hong", "hong.10"), "" if options.full else "--full")
    bad = [judgement for item in items for judgement in item.rows if not judgement.ok]
    for judgement in bad:
        tell(f"derivations: {judgement.row.id} is {judgement.verdict}, expected {judgement.row.expected}")
    return 1 if bad else 0


def figures_command(options: argparse.Namespace) -> int:
    """Draw figures as SVG and PNG; return 1 if the numbers of a figure do not support its text."""
    from derivations import figures

    try:
        files = figures.write_all(options.out, options.overwrite, options.names)
    except figures.NotShown as error:
        tell(f"derivations: {error}")
        return 1
    document = json.dumps({"files": files}, indent=2, ensure_ascii=False)
    print(document if options.json else "\n".join(file["path"] for file in files))
    return 0


def book_command(options: argparse.Namespace) -> int:
    """Write the book; return 1 if a verdict is not the expected one, or if the page has a fault such as a dead link."""
    from derivations.engine import ledger
    from derivations.figures import NotShown
    from derivations.pages import book
    from derivations.pages.html import BrokenPage
    from minivae.app.cli import use_one_thread
    from minivae.runs import make_directory
    from minivae.runs.files import must_be_free, write_atomically

    use_one_thread()                                        # the two small models of the book train fastest with one thread
    must_be_free("--out", "new", [options.out], options.overwrite)
    make_directory(options.out.parent, "the directory of the book")
    items = judged_items(options, ledger.find_all([]))
    try:
        page = book.book(items, options.draws, options.seed)
    except (BrokenPage, NotShown) as error:
        tell(f"derivations: {error}")
        return 1
    with write_atomically(options.out, "w") as file:
        file.write(page)
    print(json.dumps({"path": str(options.out)}) if options.json else options.out)
    bad = [judgement for item in items for judgement in item.rows if not judgement.ok]
    for judgement in bad:
        tell(f"derivations: {judgement.row.id} is {judgement.verdict}, expected {judgement.row.expected}")
    return 1 if bad else 0
