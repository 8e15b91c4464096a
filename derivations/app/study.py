"""The commands for studying the ledger: compare, questions, cards, quiz, map, trace.

Each command imports heavy modules when it runs, so `--help` does not import numpy or matplotlib.
"""

import argparse
import json
import sys

from derivations.app.options import draws_and_seed, judged_items, known_source, say_count
from minivae.app.progress import say


def compare_command(options: argparse.Namespace) -> int:
    """Print the notation of all sources, and compare their results for the same quantities.

    A quantity is computed by several entries, and by some functions of minivae. Each result is compared with the definition
    of the quantity. The results of minivae, and of entries with the verdict "holds", "holds-if" or "defines", must equal
    the definition: return 1 if one of them differs. With --markdown, only the notation is printed, and nothing is compared.
    """
    from derivations.engine import ledger
    from derivations.pages import terminal
    from derivations.study import compare

    draws, seed = draws_and_seed(options)
    ledger.load()
    notation = compare.notation()
    if options.markdown:
        print(compare.notation_markdown(notation))
        return 0
    compared = [(quantity, compare.compare(quantity, draws, seed)) for quantity in compare.quantities()]
    if options.json:
        letters = {
            quantity: {source: [one._asdict() for one in ways] for source, ways in found.items()}
            for quantity, found in notation.items()
        }
        numbers = {quantity.name: [one._asdict() for one in found] for quantity, found in compared}
        print(json.dumps({"notation": letters, "numbers": numbers}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(["Notation, and the number of entries that use it", "", *compare.notation_lines(notation)]))
        print(f"\nThe same quantity in each source. {compare.LEGEND.format(draws=draws, seed=seed)}")
        for quantity, found in compared:
            print("\n".join(["", *compare.quantity_lines(quantity, found, terminal.page_width())]))
    return 1 if any(compare.contradictions(found) for _, found in compared) else 0


def questions_command(options: argparse.Namespace) -> int:
    """Print the questions with their answers; with --out, draw the two models of the last question."""
    from minivae.app.cli import use_one_thread

    use_one_thread()                                        # the two small models train fastest with one thread
    from derivations.pages.terminal import page_width
    from derivations.study import questions

    if options.out is not None:                             # refuse a bad directory now, not after the training
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
    """Write the ledger as flashcards, for Anki and for Obsidian."""
    from derivations.engine import ledger
    from derivations.study import flashcards
    from minivae.checks import refuse
    from minivae.runs import make_directory
    from minivae.runs.files import must_be_free, write_atomically

    if not (options.anki or options.obsidian or options.json):
        refuse("cards", "called with --anki, --obsidian or --json", "none of them", "Try --anki cards.tsv.")
    notes = {source: options.obsidian / f"{source}.md" for source in ledger.SOURCES} if options.obsidian else {}
    wanted = [path for path in (options.anki, *notes.values()) if path]
    must_be_free("the files", "new", wanted, options.overwrite)
    for path in wanted:
        make_directory(path.parent, "the directory of the cards")
    items = {source: judged_items(options, ledger.find(source)) for source in ledger.SOURCES}
    made = {source: flashcards.cards(of_source) for source, of_source in items.items()}
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
    rows = sum(len(item.rows) for of_source in items.values() for item in of_source)
    say(options, f"{sum(map(len, made.values()))} cards for {rows} rows; rows without a short answer have no card")
    return 0


def quiz_command(options: argparse.Namespace) -> int:
    """Ask flashcards in random order."""
    import numpy as np

    from derivations.engine import ledger
    from derivations.engine.equation import ERRATA
    from derivations.study import flashcards, quiz
    from minivae.checks import whole_number

    sources = [known_source(options.source)] if options.source else list(ledger.SOURCES)
    items = [item for source in sources for item in judged_items(options, ledger.find(source))]
    made = [card for card in flashcards.cards(items) if not options.faults or card.verdict in ERRATA]
    order = np.random.default_rng(options.seed).permutation(len(made))
    most = whole_number("-n", options.n, 1)
    dialogue = sys.stderr if options.json else sys.stdout   # with --json, stdout has only the results
    tally = quiz.ask([made[i] for i in order[:most]], dialogue)
    missed = f"{': ' if tally.missed else ''}{', '.join(tally.missed)}"
    print(json.dumps(tally._asdict()) if options.json else f"{tally.known} known, {len(tally.missed)} missed{missed}")
    return 0


def map_command(options: argparse.Namespace) -> int:
    """Print functions of minivae, each with its entries and its tests."""
    from derivations.pages.terminal import page_width
    from derivations.study import code_map

    places = code_map.found(options.name)
    if options.json:
        print(json.dumps([one._asdict() for one in places], indent=2))
    elif options.markdown:
        print(code_map.map_markdown(places))
    else:
        whole = bool(options.name or options.all)
        lines, everything = code_map.map_lines if whole else code_map.contents, code_map.reading_map()
        print("\n".join(lines(places, page_width())))
        say_count(options, places, everything, "functions", ("kl_full", "odaibo.40"), "" if whole else "--all")
    return 0


def trace_command(options: argparse.Namespace) -> int:
    """Print one training step. Its gradient is computed in four ways; return 1 if the four results do not agree."""
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
    """Wait for the return key; return False at the end of the input."""
    try:
        input()
    except EOFError:
        return False
    return True
