"""The command `derivations`. Results go to stdout, messages to stderr.

Exit codes: 0 fine; 1 a verdict is not the expected one, or a figure does not show what it says; 2 usage or bad
input; 130 interrupted.
Nothing heavy is imported before a command runs: `--help` needs neither numpy nor matplotlib.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from minivae import __version__
from minivae.app.progress import say, tell
from minivae.app.runner import run

EXAMPLES = """examples:
  derivations list                               every entry of the ledger, in printed order
  derivations check                              compute every verdict
  derivations check odaibo.40 odaibo.14d         of one entry, and of one step of another
  derivations show odaibo.40                     what it says, its numbers, its code
  derivations show odaibo.40 --at mu_q=0.5,sigma_q=2
  derivations errata                             what is printed, and what holds
  derivations figures --out pictures             the figures of the sources, redrawn
  derivations map kl_standard_normal             what proves it, and which tests hold it
  derivations trace --step                       one training step, line by line
  derivations cards --anki cards.tsv --obsidian notes   the ledger as flashcards
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

    add_ledger_commands(command, judging, raw)
    add_learner_commands(command, judging)
    return parser


MOST_DRAWS = 1_000_000                                      # more are minutes and gigabytes for nothing
SOURCE = {"nargs": "?", "metavar": "SOURCE", "help": "of this source (default: of all)"}


def add_ledger_commands(command: Callable, judging: argparse.ArgumentParser, raw: dict) -> None:
    """What prints the ledger, and what judges it."""
    command("list", list_command, "Every entry, in printed order")("source", **SOURCE)
    add = command("check", check_command, "Compute every verdict", judging, epilog=VERDICTS, **raw)
    add("ids", nargs="*", metavar="ID|SOURCE", help="entries, single rows, sources (default: everything)")
    add = command("show", show_command, "What an entry says, its numbers, its code", judging)
    add("id", metavar="ID", help="of an entry, or of one row of it")
    add("--at", metavar="LETTER=VALUE,...", help="where its sides are computed, like mu_q=0.5,sigma_q=2")
    add = command("errata", errata_command, "Every slip and error, with what holds", judging)
    add("source", **SOURCE)
    add("--markdown", action="store_true", help="as a table for a README")
    add = command("figures", figures_command, "Draw the sources' figures, each proven first")
    add("names", nargs="*", metavar="NAME", help="of a figure, after its row: lm-11 for lm.11 (default: all figures)")
    add("--out", type=Path, default=Path("derivations-out"), metavar="DIR", help="where they go (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace what an earlier command wrote")


def add_learner_commands(command: Callable, judging: argparse.ArgumentParser) -> None:
    """What is made of the ledger for somebody who learns."""
    add = command("compare", compare_command, "The sources side by side: notation, and the same number in each", judging)
    add("--markdown", action="store_true", help="the table of notation, for a README")
    add = command("questions", questions_command, "Questions that the sources ask, answered by computation")
    add("--out", type=Path, metavar="DIR", help="also draw the autoencoder and the VAE of the last one there")
    add("--overwrite", action="store_true", help="replace what an earlier command wrote")
    help = "The ledger as flashcards, for Anki and for Obsidian"
    add = command("cards", cards_command, help, judging)
    add("--anki", type=Path, metavar="FILE", help="a file of tab-separated fields, for Anki's import")
    add("--obsidian", type=Path, metavar="DIR", help="a directory of notes, one for each source")
    add("--overwrite", action="store_true", help="replace what an earlier command wrote")
    add = command("quiz", quiz_command, "Flashcards asked in the terminal", judging)
    add("source", **SOURCE)
    add("-n", type=int, default=10, metavar="N", help="how many (default: %(default)s)")
    add("--faults", action="store_true", help="only lines in which something is wrong")
    add = command("map", map_command, "What proves a function of minivae and what holds it, and back")
    add("name", nargs="?", default="", metavar="NAME|ID", help="a function, or an entry (default: everything)")
    add("--markdown", action="store_true", help="as a table for a README")
    add = command("trace", trace_command, "One training step, line by line, and its gradient four ways")
    add("--likelihood", default="bernoulli", metavar="NAME", help="bernoulli, binomial or gaussian (default: bernoulli)")
    add("--estimator", default="analytic", metavar="NAME", help="of the KL: analytic, sampled or path (default: analytic)")
    add("--seed", type=int, default=0, help="of weights, datum and noise (default: %(default)s)")
    add("--step", action="store_true", help="wait for the return key after every line")


def list_command(options: argparse.Namespace) -> int:
    """One line for every entry."""
    from derivations.engine import ledger
    from derivations.pages import terminal
    from derivations.pages.unicode import unicode

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
        print(terminal.list_line(entry, terminal.page_width()))
    return 0


def known_source(name: str | None) -> str:
    """The name of a source; "" for all."""
    from derivations.engine.ledger import SOURCES
    from minivae.checks import choice

    return choice("SOURCE", name, SOURCES) if name is not None else ""


def judged_items(options: argparse.Namespace, found: list) -> list:
    """The judgements of what was found, with the draws and seed that were asked for."""
    from derivations.pages import records

    return records.judged(found, *draws_and_seed(options), options.debug)


def draws_and_seed(options: argparse.Namespace) -> tuple[int, int]:
    """What was asked for, checked: what does not fit into the memory would look like an entry that is at fault."""
    from minivae.checks import refuse, whole_number

    if whole_number("--draws", options.draws, 1) > MOST_DRAWS:
        refuse("--draws", f"at most {MOST_DRAWS}", str(options.draws), "The default, 1000, decides every verdict.")
    return options.draws, whole_number("--seed", options.seed, 0)


def check_command(options: argparse.Namespace) -> int:
    """The table of verdicts, or one JSON document; 1 if a verdict is not the expected one."""
    from derivations.engine import ledger
    from derivations.pages import records, terminal

    began = time.perf_counter()
    items = judged_items(options, ledger.find_all(options.ids))
    failed = sum(not judgement.ok for item in items for judgement in item.rows)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    else:
        width = terminal.page_width()
        print(f"{'id':12} {'statement':{width - 34}} {'verdict':10}{'worst miss':>10}")
        for item in items:
            print("\n".join(terminal.check_rows(item, width)))
        print()
        print("\n".join(terminal.totals(items)))
        mismatches = "1 mismatch" if failed == 1 else f"{failed or 'no'} mismatches"
        print(f"\n{mismatches}; {options.draws} draws, seed {options.seed}; a miss of 1 is the tolerance")
    say(options, f"{time.perf_counter() - began:.1f} s in all")
    return 1 if failed else 0


def show_command(options: argparse.Namespace) -> int:
    """The page of one entry; 1 if its verdict is not the expected one."""
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
            f"--at must be where {entry.id} can be computed; got {options.at!r}. {error}"
        ) from error
    if options.json:
        at = records.lists({symbol.name: point[symbol.name] for symbol in form.inputs})
        document = records.record(item) | {"at": at, "sides": [side.tolist() for side in sides]}
        print(json.dumps(records.finite(document), indent=2, ensure_ascii=False))
    else:
        print(terminal.page(item, values, options.draws, options.seed))
    return 0 if item.ok else 1


def errata_command(options: argparse.Namespace) -> int:
    """Every slip and wrong row; 1 if a verdict is not the expected one."""
    from derivations.engine import ledger
    from derivations.pages import records, terminal

    faulty = [
        ledger.Found(entry, rows)
        for entry in ledger.entries(known_source(options.source))
        if (rows := [row for row in entry.rows if row.expected in ("slip", "wrong")])
    ]
    items = judged_items(options, faulty)
    if options.json:
        print(json.dumps([records.record(item) for item in items], indent=2, ensure_ascii=False))
    else:
        print(terminal.errata_markdown(items) if options.markdown else terminal.errata_text(items))
    bad = [judgement for item in items for judgement in item.rows if not judgement.ok]
    for judgement in bad:
        verdict, row = judgement.verdict, judgement.row
        tell(f"derivations: {row.id} is {verdict}, expected {row.expected}")
    return 1 if bad else 0


def figures_command(options: argparse.Namespace) -> int:
    """Draw figures, as SVG and as PNG; 1 if one does not show what it says."""
    from derivations import figures

    try:
        files = figures.write_all(options.out, options.overwrite, options.names)
    except figures.NotShown as error:
        tell(f"derivations: {error}")
        return 1
    document = json.dumps({"files": files}, indent=2, ensure_ascii=False)
    print(document if options.json else "\n".join(file["path"] for file in files))
    return 0


def compare_command(options: argparse.Namespace) -> int:
    """Notation and numbers side by side; 1 if a line that holds does not agree with what it is about."""
    from derivations.engine import ledger
    from derivations.pages import terminal
    from derivations.study import compare

    draws, seed = draws_and_seed(options)
    ledger.load()
    notation = compare.notation()
    if options.markdown:
        print(compare.notation_markdown(notation))
        return 0
    compared = [(thing, compare.compare(thing, draws, seed)) for thing in compare.things()]
    if options.json:
        words = {thing: {s: [one._asdict() for one in ways] for s, ways in by.items()} for thing, by in notation.items()}
        numbers = {thing.name: [one._asdict() for one in found] for thing, found in compared}
        print(json.dumps({"notation": words, "numbers": numbers}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(["Notation, and in how many entries", "", *compare.notation_lines(notation)]))
        print(f"\nThe same number in each; off: the most that a side misses by, relative, over {draws} draws, seed {seed}")
        for thing, found in compared:
            print("\n".join(["", *compare.thing_lines(thing, found, terminal.page_width())]))
    return 1 if any(compare.contradictions(found) for _, found in compared) else 0


def questions_command(options: argparse.Namespace) -> int:
    """The questions with their numbers; with --out, the two models of the last one as a figure."""
    from minivae.app.cli import use_one_thread

    use_one_thread()                                        # of the two models that are trained
    from derivations.pages.terminal import page_width
    from derivations.study import questions

    if options.out is not None:                             # what cannot be written is said before the work
        from derivations import figures
        from derivations.figures.digits import two_models

        figures.places(options.out, options.overwrite, ["autoencoder-vae"])
    pair = questions.train_pair()
    answers = [*(ask() for ask in questions.QUESTIONS), questions.autoencoder_or_vae(pair)]
    files = []
    if options.out is not None:
        files = figures.write(options.out, options.overwrite, {"autoencoder-vae": lambda: two_models(pair)})
    if options.json:
        print(json.dumps({"answers": [answer._asdict() for answer in answers], "files": files}, indent=2))
        return 0
    print("\n\n".join("\n".join(questions.lines(answer, page_width())) for answer in answers))
    print("\n".join(["", *(file["path"] for file in files)]) if files else "", end="\n" if files else "")
    return 0


def cards_command(options: argparse.Namespace) -> int:
    """Write every row as a flashcard, for Anki and for Obsidian."""
    from derivations.engine import ledger
    from derivations.study import flashcards
    from minivae.checks import refuse
    from minivae.runs import make_directory
    from minivae.runs.files import must_be_free, write_atomically

    if not (options.anki or options.obsidian or options.json):
        refuse("cards", "told where to go", "neither file nor directory", "Try `derivations cards --anki cards.tsv`.")
    notes = {source: options.obsidian / f"{source}.md" for source in ledger.SOURCES} if options.obsidian else {}
    wanted = [path for path in (options.anki, *notes.values()) if path]
    must_be_free("the files", "new", wanted, options.overwrite)
    for path in wanted:
        make_directory(path.parent, "the place of the cards")
    made = {source: flashcards.cards(judged_items(options, ledger.find(source))) for source in ledger.SOURCES}
    files = {path: flashcards.obsidian(made[source], ledger.SOURCES[source]) for source, path in notes.items()}
    if options.anki:
        files = {options.anki: flashcards.anki(card for cards in made.values() for card in cards)} | files
    for path, text in files.items():
        with write_atomically(path, "w") as file:
            file.write(text)
    if options.json:
        documents = [card._asdict() for cards in made.values() for card in cards]
        print(json.dumps(documents, indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(str, files)))
    return 0


def quiz_command(options: argparse.Namespace) -> int:
    """Ask flashcards in the terminal, in random order."""
    import numpy as np

    from derivations.engine import ledger
    from derivations.study import flashcards, quiz
    from minivae.checks import whole_number

    sources = [known_source(options.source)] if options.source else list(ledger.SOURCES)
    items = [item for source in sources for item in judged_items(options, ledger.find(source))]
    made = [card for card in flashcards.cards(items) if not options.faults or card.verdict in ("slip", "wrong")]
    order = np.random.default_rng(options.seed).permutation(len(made))
    most = whole_number("-n", options.n, 1)
    talk = sys.stderr if options.json else sys.stdout       # stdout is for the results
    tally = quiz.ask([made[i] for i in order[:most]], talk)
    missed = f"{': ' if tally.missed else ''}{', '.join(tally.missed)}"
    print(json.dumps(tally._asdict()) if options.json else f"{tally.known} known, {len(tally.missed)} missed{missed}")
    return 0


def map_command(options: argparse.Namespace) -> int:
    """The functions, the ids that prove them, the tests that hold them."""
    from derivations.pages.terminal import page_width
    from derivations.study import code_map

    places = code_map.found(options.name)
    if options.json:
        print(json.dumps([one._asdict() for one in places], indent=2))
    elif options.markdown:
        print(code_map.map_markdown(places))
    else:
        print("\n".join(code_map.map_lines(places, page_width())))
    return 0


def trace_command(options: argparse.Namespace) -> int:
    """Step through one training step; 1 if one of the four gradients does not agree."""
    from derivations.pages.terminal import page_width
    from derivations.study import fourways, trace
    from minivae.checks import whole_number

    seed = whole_number("--seed", options.seed, 0)
    given = fourways.problem(options.likelihood, seed, options.estimator)
    forward, backward = trace.training_step(given)
    gradients = fourways.four_ways(given)
    agree = {way: min(found) for way, found in fourways.agreement(gradients).items()}
    if options.json:
        made = {"forward": trace.document(forward), "backward": trace.document(backward)}
        numbers = {"x": given.x.tolist(), "eps": given.eps.tolist(), "parameters": given.vae.params.flat.tolist()}
        made |= {"gradient": [one._asdict() for one in gradients], "digits": agree, "seed": seed}
        print(json.dumps(numbers | made, indent=2))
    else:
        x, eps = trace.short(given.x), trace.short(given.eps[0, 0])
        print(f"A VAE of 3 features, 2 hidden units, 1 latent coordinate; {options.likelihood}, seed {seed}")
        print(f"x = {x}, eps = {eps}\n" + "\n".join(f"{k} = {trace.short(v)}" for k, v in given.vae.params.items()))
        for title, made in (("forward", forward), ("backward", backward)):
            print(f"\n{title}\n")
            for text in trace.step_text(made, page_width()):
                print(text, flush=True)
                options.step = options.step and waited()
        print("\n" + "\n".join(trace.gradient_text(gradients)))
    return 0 if fourways.agrees(given, gradients) else 1


def waited() -> bool:
    """Wait for the return key; False once the input has ended."""
    try:
        input()
    except EOFError:
        return False
    return True
