"""The book: the whole ledger as one HTML page that needs no network. Only the search needs a script.

Every hyperlink is generated. `book` raises BrokenPage for a dead link and for an unknown LaTeX command.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from derivations.engine.ledger import SOURCES, source_of
from derivations.figures import FIGURES
from derivations.figures.font import NAME, math_font
from derivations.figures.inline import as_address
from derivations.pages import book_entry, book_study, errata
from derivations.pages.book_code import Targets, code, dotted, helpers, unwrapped
from derivations.pages.book_entry import Around, badge
from derivations.pages.book_text import prose
from derivations.pages.errata import LISTS, Erratum
from derivations.pages.glossary import MEANINGS
from derivations.pages.html import Html, checked, grouped, link, listed, markup, scrolling, tag
from derivations.pages.mathml import math
from derivations.pages.records import Judged, code_of, fetch, letters, module_of
from derivations.pages.terminal import REPAIRED, drawn_as, title_of
from derivations.pages.unicode import unicode
from derivations.study import code_map, compare, questions
from minivae import __version__
from minivae.museum.exhibits import bugs

HERE = Path(__file__).parent
SECTION = re.compile(r'<h3 id="([^"]*)"[^>]*>(.*?)</h3>')
AUTHORS = {                                                 # {source: title, and author if we know one}
    "odaibo": 'Stephen G. Odaibo, "Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function" (2019)',
    "lm": '"Variational AutoEncoder", lecture notes',
    "hong": 'Kelvin Hong, "Derivations" (2023)',
    "cards": 'A deck of flashcards on "Auto-Encoding Variational Bayes"',
    "beyond": "Identities that the sources leave out: derivations of all hand-written gradients, bounds, exact models",
}


def book(items: list[Judged], draws: int, seed: int) -> str:
    """Return the HTML page with the entries of `items`."""
    functions, targets = functions_and_targets(items)
    answers = [*(ask() for ask in questions.QUESTIONS), questions.autoencoder_or_vae(questions.train_pair())]
    of_bugs = {bug.name: book_study.changed_functions(bug) for bug in bugs()}
    groups = grouped((one.row.group, one.row.id) for item in items for one in item.rows)
    first = {drawn_as(item.entry): item.entry.id for item in reversed(items)}
    around = Around(targets, drawn_figures(), book_study.related(answers, of_bugs), groups, first)
    faults = errata.errata(items)
    chapters = [
        *(chapter(name, name, *errata_chapter(faults, name)) for name in LISTS),
        *(source_chapter(source, items, around) for source in SOURCES if any(source_of(i.entry) == source for i in items)),
        chapter("functions", "Functions of minivae", *functions_chapter(functions, targets, of_bugs)),
        *(chapter(*each) for each in book_study.chapters(answers, of_bugs)),
        chapter("verdicts", "Index of verdicts", verdicts(items)),
        chapter("symbols", "Index of symbols", symbols(items)),
        chapter("notation", "Notation of the sources", notation()),
        chapter("helpers", "Helpers that the entries use", *helper_articles(items, targets)),
    ]
    body = markup(opening(items, draws, seed), contents(chapters), *(text for _, _, text in chapters))
    return checked(document(body))


def chapter(name: str, title: str, *inside: Html) -> tuple[str, str, Html]:
    """Return the anchor, the title and the text of a chapter."""
    anchor = name.lower().replace(" ", "-")
    return anchor, title, tag("section", tag("h2", title), *inside, id=anchor, data_words=f"{anchor} {title}")


def document(body: Html) -> str:
    """Return the HTML of the book: the body with style, font and script."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("book.css", "book.js"))
    font = math_font(letters_of(body))
    face = f'@font-face{{font-family:"{NAME}";src:url(data:font/woff;base64,{font})}}\n' if font else ""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>The ledger: VAE tutorials, line by line</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
    )
    return f"{head}<style>{face}{style}</style></head><body>{body}<script>{script}</script></body></html>\n"


def letters_of(body: str) -> str:
    """Return the letters of all formulas, and the italic forms that browsers use for single letters."""
    found = set("".join(re.findall(r">([^<]+)<", "".join(re.findall(r"<math.*?</math>", body)))))
    italic = {chr(0x1D44E + ord(letter) - 97) for letter in found if "a" <= letter <= "z"} | {"ℎ"}
    italic |= {chr(0x1D434 + ord(letter) - 65) for letter in found if "A" <= letter <= "Z"}
    italic |= {chr(0x1D6FC + ord(letter) - 0x3B1) for letter in found if "α" <= letter <= "ω"} | set("𝜖𝜕&<>")
    return "".join(sorted(found | italic))


# Parts shared by the chapters


def functions_and_targets(items: list[Judged]) -> tuple[list[code_map.Place], Targets]:
    """Return two results: the list of minivae's functions, and {function or constant: its anchor in the book}.

    Each element of the list has the name, the entries and the tests of one function (see `Place`).
    """
    functions = code_map.reading_map()
    targets = {unwrapped(fetch(place.name)): place.name for place in functions}
    in_entries = [(unwrapped(function), item.entry.id) for item in items for function in code_of(item.entry)]
    for function, id in in_entries:
        targets.setdefault(function, id)
    wanted = helpers([function for function, _ in in_entries] + list(targets), targets)
    return functions, targets | {function: dotted(function) for function in wanted}


def drawn_figures() -> dict[str, tuple[str, str]]:
    """Draw the figures of the sources, check their texts, and return {name: (address of the picture, alt text)}."""
    return {name: as_address(*draw()) for name, draw in FIGURES.items()}


# Chapters


def opening(items: list[Judged], draws: int, seed: int) -> Html:
    """Return the beginning of the book: title, how to read the book, and a table with the count of each verdict."""
    counts = Counter(one.verdict for item in items for one in item.rows)
    rows = [
        tag("tr", tag("td", badge(verdict)), tag("td", str(counts[verdict]), class_="n"), tag("td", meaning))
        for verdict, meaning in MEANINGS.items() if counts[verdict]
    ]  # fmt: skip
    search = tag("input", type="search", id="search", hidden=True, placeholder="Search: entropy, odaibo.40, KL",
                 aria_label="Search the entries and functions", aria_controls="found")
    bar = tag("header", link("top", "The ledger"), search, tag("ol", id="found", aria_live="polite"))
    texts = (
        "Here, every equation, step, claim and figure of four tutorials on variational autoencoders (VAE) is a Python "
        f"function that computes all sides. The {sum(counts.values())} verdicts are computed from {draws} random draws "
        f"(seed {seed}) and up to 200 simple points. At least one side comes from the definition, by a sum or an integral. "
        "The other sides are computed as the source prints them.",
        "Each entry has two columns. On the left: the formula, the numbers of all sides at one point, the meaning, the "
        "faults. On the right: the code. Each function returns the sides, with the relations between them as texts. A "
        "function with the name _ belongs to the same entry: it is a form that holds, or it computes the last side with "
        "minivae. Names in the code are links.",
        "Each id is followed by the line in our text of the source, such as text line 52, and by the number that the "
        "source prints, such as (6). Sides in square brackets, and definitions in braces before a formula, are our "
        "additions. Our texts are transcriptions, in which some signs and brackets are lost. KL is the Kullback-Leibler "
        "divergence, ELBO the evidence lower bound. Both are in nats, because log is the natural logarithm.",
        "Cite a row by its address, such as book.html#odaibo.40: addresses do not change. To print one chapter, follow its "
        f"link below, then print. Written by derivations {__version__}.",
    )
    head = tag("h1", "The ledger: four VAE tutorials, line by line", id="top")
    table = tag("table", *rows, class_="counts")
    return markup(bar, tag("section", head, *(tag("p", text) for text in texts), table, class_="opening"))


def contents(chapters: Iterable[tuple[str, str, Html]]) -> Html:
    """Return the table of contents."""
    lines = []
    for anchor, title, text in chapters:
        inner = [tag("li", link(id, Html(name))) for id, name in SECTION.findall(text)]
        author = tag("small", f" {AUTHORS[anchor]}") if anchor in AUTHORS else ""
        lines.append(tag("li", link(anchor, title), author, tag("ul", *inner) if inner else ""))
    return tag("nav", tag("h2", "Contents"), tag("ol", *lines), aria_label="contents")


def errata_chapter(found: list[Erratum], name: str) -> list[Html]:
    """Return the faults of one kind, such as "Loose wording", source by source."""
    mine = [one for one in found if errata.title_of(one) == name]
    intro = {
        "Errata": "Faults of the sources, each counted once. An id is a link to its entry.",
        "Loose wording": "Everyday words that are false if read literally. They are not errors.",
        "Damage by copying": "Lines in which our transcriptions may have lost a sign. They are not errors of the source.",
    }[name]
    parts = [tag("p", intro)]
    for source in dict.fromkeys(source_of(one.entry) for one in mine):
        rows = [erratum(one) for one in mine if source_of(one.entry) == source]
        parts += [tag("h4", SOURCES[source]), tag("dl", *rows, class_="errata")]
    return parts


def erratum(one: Erratum) -> Html:
    """Return a fault as HTML: ids of its rows, verdict, claim of the source, printed form, reason, example, form that holds.

    The example is a point at which the printed form fails. If letters are undefined, a sentence names these letters instead.
    """
    entry, row, ids = one.entry, one.row, listed(link(judgement.row.id) for _, judgement in one.rows)
    said = [tag("p", prose(row.claim))] if row.claim else []
    holds = [tag("p", f"{REPAIRED[row.expected]}:"), book_entry.chain(row.repair, None, row.id)] if row.repair else []
    parts = [*said, book_entry.chain(entry.printed, None, row.id), tag("p", prose(row.fault))]
    parts += [*book_entry.seen(entry, one.judgement), *holds]
    return markup(tag("dt", ids, " ", badge(one.judgement.verdict)), tag("dd", *parts))


def source_chapter(source: str, items: list[Judged], around: Around) -> tuple[str, str, Html]:
    """Return the chapter of a source: its entries, with a heading for every section of the source."""
    mine, parts, section = [item for item in items if source_of(item.entry) == source], [tag("p", AUTHORS[source])], ""
    for item in mine:
        if module_of(item.entry) != section:
            section = module_of(item.entry)
            title = capital(title_of(section).rstrip(".").replace("`", ""))
            parts.append(tag("h3", title, id=section.removeprefix("derivations."), data_words=f"{section} {title}"))
        parts.append(book_entry.entry_article(item, around))
    return chapter(source, capital(SOURCES[source]), *parts)


def capital(text: str) -> str:
    """Return the text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def functions_chapter(functions: list[code_map.Place], targets: Targets, of_bugs: dict[str, list[str]]) -> list[Html]:
    """Return the articles about all functions of minivae's mathematics, module by module."""
    parts, module = [], ""
    for place in functions:
        if fetch(place.name).__module__ != module:
            module = fetch(place.name).__module__
            parts.append(tag("h3", module, id=f"module.{module}"))
        mine = [(f"museum.{bug.name}", bug.title) for bug in bugs() if place.name in of_bugs[bug.name]]
        parts.append(book_entry.function_article(place, targets, mine))
    return parts


def verdicts(items: list[Judged]) -> list[Html]:
    """Return every verdict with its meaning and the ids of all statements that have this verdict."""
    found = grouped((one.verdict, one.row.id) for item in items for one in item.rows)
    return [
        tag("div", tag("h4", verdict), tag("p", meaning), tag("p", listed(map(link, found[verdict]), " ")),
            id=f"verdict.{verdict}")
        for verdict, meaning in MEANINGS.items() if verdict in found
    ]  # fmt: skip


def symbols(items: list[Judged]) -> Html:
    """Return every letter with its rules, such as "> 0", and the entries that use the letter."""
    used = [(symbol, item.entry.id) for item in items for symbol in letters(item.entry).values()]
    ids, rules = grouped((one.latex, id) for one, id in used), grouped((one.latex, one.rule) for one, _ in used)
    order = sorted(ids, key=lambda latex: (unicode(latex).strip("()").casefold(), latex))
    return tag("dl", *(
        tag("div", tag("dt", math(latex), tag("small", " ", prose("; ".join(rules[latex])))),
            tag("dd", listed(map(link, ids[latex]), " ")), id=f"symbol.{latex}")
        for latex in order
    ), class_="symbols")  # fmt: skip


def notation() -> list[Html]:
    """Return a paragraph, and a table with a row for each quantity and a column for each source.

    A cell contains the ways in which the source writes the quantity. The last column has the notation of minivae.
    """
    found = compare.notation()
    sources = list(next(iter(found.values())))
    rows = [tag("tr", tag("th", ""), *(tag("th", SOURCES[source]) for source in sources), tag("th", "minivae"))]
    for quantity, by_source in found.items():
        shown = [listed(map(spelling, by_source[source])) or "–" for source in sources]
        rows.append(tag("tr", tag("th", quantity), *(tag("td", one) for one in (*shown, compare.NAMES[quantity][1]))))
    about = "Each cell shows the ways to write a quantity, each with its number of entries. Links lead to the first entry."
    return [tag("p", about), scrolling(tag("table", *rows), "notation")]


def spelling(one: compare.Spelling) -> Html:
    """Return a spelling and the number of entries that use it, as a link to the first of these entries."""
    return link(one.ids[0], markup(prose(one.text), f" {len(one.ids)}"))


def helper_articles(items: list[Judged], targets: Targets) -> list[Html]:
    """Return the code of the helpers, in the order of their names."""
    wanted = sorted((anchor, function) for function, anchor in targets.items() if anchor == dotted(function))
    known = code_map.functions()
    return [
        tag("article", tag("h4", link(anchor, anchor.removeprefix("derivations."), class_="id")),
            code(function, targets), id=anchor, data_words=anchor, class_="wide")
        for anchor, function in wanted if anchor not in known
    ]  # fmt: skip
