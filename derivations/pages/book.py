"""The book: the whole ledger as one HTML page that needs no network, and no script except for its search.

Every link is computed. `book` raises BrokenPage for a dead link, and ValueError for a formula that it does not know.
"""

import itertools
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from derivations.engine.ledger import SOURCES, source_of
from derivations.figures import FIGURES
from derivations.figures.font import NAME, math_font
from derivations.figures.inline import as_address
from derivations.pages import book_entry, errata
from derivations.pages.book_code import Targets, code, dotted, hanging, helpers, unwrapped
from derivations.pages.book_entry import Around, badge
from derivations.pages.errata import DIGITS, LISTS, Erratum
from derivations.pages.glossary import MEANINGS
from derivations.pages.html import BrokenPage, Html, checked, link, listed, markup, tag
from derivations.pages.mathml import math
from derivations.pages.records import Judged, code_of, fetch, letters, module_of
from derivations.pages.terminal import drawn_as, title_of
from derivations.pages.unicode import unicode
from derivations.study import code_map, compare, questions
from minivae import __version__, museum
from minivae.exercises.lessons.frame import Lesson, place
from minivae.exercises.lessons.frame import lessons as all_lessons
from minivae.museum.command import function_at
from minivae.museum.exhibits import Bug, bugs
from minivae.museum.layers import MEANING
from minivae.museum.patched import Change
from minivae.rosetta.command import cells
from minivae.rosetta.command import document as translated
from minivae.rosetta.presets import PRESETS

HERE = Path(__file__).parent
AUTHORS = {                                                 # source: author, title of the text
    "odaibo": 'Stephen G. Odaibo, "Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function" (2019)',
    "lm": 'LM, "Variational AutoEncoder", lecture notes',
    "hong": 'Kelvin Hong, "Derivations" (2023)',
    "cards": 'Machine Learning Research Flashcards, "Auto-Encoding Variational Bayes"',
    "beyond": "Identities that the sources leave out: every hand-written gradient, bounds, exact models",
}
MATRIX = Path(museum.__file__).with_name("README.md")       # a test computes its table anew, which takes 15 s


def book(items: list[Judged], draws: int, seed: int) -> str:
    """Return the page with all these entries."""
    functions, targets = functions_and_targets(items)
    answers = [*(ask() for ask in questions.QUESTIONS), questions.autoencoder_or_vae(questions.train_pair())]
    of_bugs = {bug.name: changed_functions(bug) for bug in bugs()}
    around = Around(targets, drawn_figures(), related(answers, of_bugs), groups(items), first_shown(items))
    faults = errata.errata(items)
    chapters = [
        *(chapter(name, name, *errata_chapter(faults, name)) for name in LISTS),
        *(source_chapter(source, items, around) for source in SOURCES if any(source_of(i.entry) == source for i in items)),
        chapter("functions", "Functions of minivae", *functions_chapter(functions, targets, of_bugs)),
        chapter("questions", "Questions that the sources leave open", *map(answer_article, answers, itertools.count(1))),
        chapter("lessons", "Lessons: what learners ask most often", *lesson_articles()),
        chapter("museum", "The museum: real bugs, and the rows that prove the changed function", *exhibits(of_bugs)),
        chapter("rosetta", "The Rosetta: what a loss really is", rosetta()),
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
    return anchor, title, tag("section", tag("h2", title), *inside, id=anchor)


def document(body: Html) -> str:
    """Return the whole page around its body: style, font, script."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("book.css", "book.js"))
    font = math_font(letters_of(body))
    face = f'@font-face{{font-family:"{NAME}";src:url(data:font/woff;base64,{font})}}\n' if font else ""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>The ledger: VAE tutorials, line by line</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
    )
    return f"{head}<style>{face}{style}</style></head><body>{body}<script>{script}</script></body></html>\n"


def letters_of(body: str) -> str:
    """Return the letters of all formulas, with the italic forms in which browsers write single letters."""
    found = set("".join(re.findall(r">([^<]+)<", "".join(re.findall(r"<math.*?</math>", body)))))
    italic = {chr(0x1D44E + ord(letter) - 97) for letter in found if "a" <= letter <= "z"} | {"ℎ"}
    italic |= {chr(0x1D434 + ord(letter) - 65) for letter in found if "A" <= letter <= "Z"}
    italic |= {chr(0x1D6FC + ord(letter) - 0x3B1) for letter in found if "α" <= letter <= "ω"} | set("𝜖𝜕&<>")
    return "".join(sorted(found | italic))


# Parts shared by the chapters


def functions_and_targets(items: list[Judged]) -> tuple[list[code_map.Place], Targets]:
    """Return the functions of minivae with their entries, and the anchor of every function in the book."""
    functions = code_map.reading_map()
    targets = {unwrapped(fetch(place.name)): place.name for place in functions}
    own = [(unwrapped(function), item.entry.id) for item in items for function in code_of(item.entry)]
    for function, id in own:
        targets.setdefault(function, id)
    wanted = helpers([function for function, _ in own] + list(targets), targets)
    return functions, targets | {function: dotted(function) for function in wanted}


def drawn_figures() -> dict[str, tuple[str, str]]:
    """Draw the figures of the sources; each checks its claim."""
    return {name: as_address(*draw()) for name, draw in FIGURES.items()}


def first_shown(items: list[Judged]) -> dict[str, str]:
    """Return the first entry of every figure."""
    found: dict[str, str] = {}
    for item in items:
        if name := drawn_as(item.entry):
            found.setdefault(name, item.entry.id)
    return found


def groups(items: list[Judged]) -> dict[str, list[str]]:
    """Return the ids of the rows with the same fault, by the name of their group."""
    found: dict[str, list[str]] = {}
    for item in items:
        for one in item.rows:
            found.setdefault(one.row.group, []).append(one.row.id)
    return found


def related(answers: list[questions.Answer], of_bugs: dict[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return what belongs to each entry, as anchors and titles: questions, lessons, conventions, bugs of its functions."""
    found: dict[str, list[tuple[str, str]]] = {}
    for number, answer in enumerate(answers, 1):
        for id in answer.ids:
            found.setdefault(id, []).append((f"question.{number}", answer.question))
    for one in all_lessons():
        found.setdefault(one.ledger, []).append((f"lesson.{one.number}", lesson_title(one)))
    for name, one in PRESETS.items():
        for id in code_map.ID.findall(one.source):
            found.setdefault(id, []).append((f"rosetta.{name}", f"Rosetta, {name}"))
    for bug in bugs():
        for id in proving(of_bugs[bug.name]):
            found.setdefault(id, []).append((f"museum.{bug.name}", f"bug: {bug.title}"))
    return found


def lesson_title(one: Lesson) -> str:
    """Return the question of a lesson and the command that answers it."""
    return f"lesson {one.number}: {one.question} (minivae exercises lesson {one.number})"


def changed_functions(bug: Bug) -> list[str]:
    """Return the functions that a bug changes and that the book shows, by dotted name."""
    found = []
    for change in bug.changes:
        text = Path(fetch(f"minivae.{change.module}").__file__).read_text(encoding="utf-8")
        start = text.index(change.right) + len(change.right) - len(change.right.lstrip("\n"))
        found.append(f"minivae.{change.module}.{function_at(text, text[:start].count(chr(10)) + 1)}")
    return [name for name in dict.fromkeys(found) if name in code_map.functions()]


def proving(names: list[str]) -> list[str]:
    """Return the entries that are tied to any of these functions."""
    return list(dict.fromkeys(id for name in names for id in code_map.ties().get(name, ())))


# Chapters


def opening(items: list[Judged], draws: int, seed: int) -> Html:
    """Return title, purpose, counts of verdicts, and how to read the book."""
    counts = Counter(one.verdict for item in items for one in item.rows)
    rows = [
        tag("tr", tag("td", badge(verdict)), tag("td", str(counts[verdict]), class_="n"), tag("td", meaning))
        for verdict, meaning in MEANINGS.items() if counts[verdict]
    ]  # fmt: skip
    search = tag("input", type="search", id="search", hidden=True, placeholder="Search: entropy, odaibo.40, KL",
                 aria_label="Search the entries and functions", aria_controls="found")
    bar = tag("header", link("top", "The ledger"), search, tag("ol", id="found", aria_live="polite"))
    texts = (
        "Every equation, step, claim and figure of four tutorials on variational autoencoders (VAE) is here a Python "
        f"function that computes both sides. The {sum(counts.values())} verdicts are computed from {draws} random draws "
        f"(seed {seed}) and a few simple points. One side comes from the definition, by a sum or an integral. "
        "The others are typed as printed.",
        "Left of an entry: its formula, meaning, numbers and faults. Right: its code, and the function of minivae that "
        "implements it, if there is one. Names in the code are links. Beside an id stand the line in our text of the "
        "source, such as l.52, and the number that the source prints, such as (6). Sides in square brackets and definitions "
        "in braces before a formula, are our additions. Our texts are transcriptions: some signs and brackets are lost.",
        "Cite a row by its address: book.html#odaibo.40 stays the same. To print one chapter, follow its link below, then "
        f"print. Written by derivations {__version__}.",
    )
    head = tag("h1", "The ledger: four VAE tutorials, line by line", id="top")
    table = tag("table", *rows, class_="counts")
    return markup(bar, tag("section", head, *(tag("p", text) for text in texts), table, class_="opening"))


def contents(chapters: Iterable[tuple[str, str, Html]]) -> Html:
    """Return the table of contents."""
    lines = []
    for anchor, title, text in chapters:
        inner = [tag("li", link(id, Html(name))) for id, name in re.findall(r'<h3 id="([^"]*)">(.*?)</h3>', text)]
        lines.append(tag("li", link(anchor, title), tag("ul", *inner) if inner else ""))
    return tag("nav", tag("h2", "Contents"), tag("ol", *lines), aria_label="contents")


def errata_chapter(found: list[Erratum], name: str) -> list[Html]:
    """Return the faults of one kind, source by source."""
    mine = [one for one in found if errata.title_of(one) == name]
    intro = {
        "Errata": "Faults of the sources, each counted once. Follow an id for both numbers and the form that holds.",
        "Loose wording": "Everyday words, true for a friendly reader. These are not errors.",
        "Damage by copying": "Signs that our transcriptions may have lost. Nobody's error.",
    }[name]
    parts = [tag("p", intro)]
    for source in dict.fromkeys(source_of(one.entry) for one in mine):
        rows = [erratum(one) for one in mine if source_of(one.entry) == source]
        parts += [tag("h4", SOURCES[source]), tag("dl", *rows, class_="errata")]
    return parts


def erratum(one: Erratum) -> Html:
    """Return one fault: its rows, the fault, the numbers."""
    ids = listed(link(judgement.row.id) for _, judgement in one.rows)
    seen = errata.witness_text(one.entry, one.judgement, DIGITS)
    better = [tag("div", "Holds: ", math(one.row.repair.latex), class_="better", tabindex="0", role="group",
                  aria_label=f"form that holds for {one.row.id}")] if one.row.repair else []
    return markup(
        tag("dt", ids, " ", badge(one.judgement.verdict)),
        tag("dd", one.row.fault, tag("p", "Seen at ", tag("code", seen), class_="small"), *better),
    )


def source_chapter(source: str, items: list[Judged], around: Around) -> tuple[str, str, Html]:
    """Return the entries of a source under its own headings."""
    mine, parts, section = [item for item in items if source_of(item.entry) == source], [tag("p", AUTHORS[source])], ""
    for item in mine:
        if module_of(item.entry) != section:
            section = module_of(item.entry)
            parts.append(tag("h3", capital(title_of(section).rstrip(".")), id=section.removeprefix("derivations.")))
        parts.append(book_entry.article(item, around))
    return chapter(source, capital(SOURCES[source]), *parts)


def capital(text: str) -> str:
    """Return the text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def functions_chapter(functions: list[code_map.Place], targets: Targets, of_bugs: dict[str, list[str]]) -> list[Html]:
    """Return every function of minivae's mathematics, module by module."""
    parts, module = [], ""
    for place in functions:
        if fetch(place.name).__module__ != module:
            module = fetch(place.name).__module__
            parts.append(tag("h3", module, id=f"module.{module}"))
        mine = [(f"museum.{bug.name}", bug.title) for bug in bugs() if place.name in of_bugs[bug.name]]
        parts.append(book_entry.function_article(place, targets, mine))
    return parts


def answer_article(answer: questions.Answer, number: int) -> Html:
    """Return a question with its table and its answer."""
    anchor = f"question.{number}"
    rows = [tag("tr", *(tag("td", questions.cell(value), class_="n") for value in row)) for row in answer.rows]
    table = tag("table", tag("tr", *(tag("th", title) for title in answer.columns)), *rows)
    head = tag("h4", link(anchor, answer.question, class_="id"))
    rows_of = tag("p", "Rows: ", listed(map(link, answer.ids)), class_="small")
    return tag("article", head, scrolling(table, answer.question), tag("p", answer.says), rows_of, id=anchor,
               data_words=answer.question, class_="wide")


def scrolling(table: Html, label: str) -> Html:
    """Return a table in a box of its own that scrolls."""
    return tag("div", table, class_="scroll", tabindex="0", role="group", aria_label=label)


def lesson_articles() -> list[Html]:
    """Return every lesson: the question, what to predict, the command that answers it, and what to read."""
    about = "Each lesson is a command: it asks you to predict, runs for a few seconds, and answers by a number and a figure."
    return [tag("p", about), *map(lesson_article, all_lessons())]


def lesson_article(one: Lesson) -> Html:
    """Return one lesson, without its answer."""
    anchor, run = f"lesson.{one.number}", f"minivae exercises lesson {one.number}"
    reads = [(function.replace(":", "."), place(function).partition(" ")[2]) for function in one.code]
    read = listed(link(name, short) if name in code_map.functions() else tag("code", short) for name, short in reads)
    left = tag("div", tag("p", one.predict), tag("ol", *(tag("li", text) for text in one.choices), type="a"), class_="left")
    right = tag(
        "div", tag("pre", tag("code", f"$ {run}")),
        tag("p", "Row: ", link(one.ledger), ". Read: ", read, ". Test: ", tag("code", one.test), class_="small"),
        tag("p", "Asked in: ", one.asked, class_="small"), class_="right",
    )  # fmt: skip
    head = tag("h4", link(anchor, f"lesson {one.number}", class_="id"), " ", one.question)
    return tag("article", head, left, right, id=anchor, data_words=f"lesson {one.number} {one.question} {one.name}")


def exhibits(of_bugs: dict[str, list[str]]) -> list[Html]:
    """Return the matrix, then every exhibit: its lines, where it was seen, the rows that prove the changed function."""
    about = "trains the right and the broken model and prints which checks notice the bug."
    parts = [*matrix(), tag("p", tag("code", "minivae museum NAME"), " ", about)]
    for bug in bugs():
        anchor, names = f"museum.{bug.name}", of_bugs[bug.name]
        changed = listed(link(name, name.removeprefix("minivae.")) for name in names)
        where = [tag("p", "Changes ", changed)] if names else []
        ids = proving(names)
        rows = [tag("p", "Rows that prove it: ", listed(map(link, ids)), class_="small")] if ids else []
        lines = [difference(change) for change in bug.changes]
        head = tag("h4", link(anchor, bug.name, class_="id"), " ", bug.title)
        seen = tag("p", f"Seen in: {bug.seen}", class_="small")
        left = tag("div", tag("p", bug.models), *where, *rows, seen, class_="left")
        words = f"{bug.name} {bug.title} {bug.models}"
        parts.append(tag("article", head, left, tag("div", *lines, class_="right"), id=anchor, data_words=words))
    return parts


def matrix() -> list[Html]:
    """Return the table of bugs and layers of checks that stands in the museum's README; [] if that is not installed."""
    if not MATRIX.exists():
        return []
    rows = [line[2:-2].split(" | ") for line in re.findall(r"^\| .*\|$", MATRIX.read_text(encoding="utf-8"), re.M)]
    marks = {row[0]: row[2:] for row in rows if len(row) > 2}
    if missing := [bug.name for bug in bugs() if len(marks.get(bug.title, ())) != len(MEANING)]:
        raise BrokenPage(f"{MATRIX.name} of the museum has no row for {missing[0]}; renew it")
    lines = [tag("tr", tag("th", "bug"), *(tag("th", layer) for layer in MEANING))]
    for bug in bugs():
        cells = (tag("td", tag("b", "X") if "**" in mark else mark) for mark in marks[bug.title])
        lines.append(tag("tr", tag("td", link(f"museum.{bug.name}", bug.title)), *cells))
    meanings = (tag("li", tag("b", name), ": ", meaning) for name, meaning in MEANING.items())
    command = tag("code", "minivae museum --matrix")
    about = tag("p", "x: this layer of checks notices the bug. X: no other layer does. ", command, " computes this table.")
    return [about, tag("ul", *meanings), scrolling(tag("table", *lines, class_="matrix"), "bugs and layers")]


def difference(change: Change) -> Html:
    """Return the right and the broken lines of a change."""
    right, broken = (textwrap.dedent(text.strip("\n")) for text in (change.right, change.broken))
    lines = [(f"- {line}", "del") for line in right.splitlines()] + [(f"+ {line}", "ins") for line in broken.splitlines()]
    return hanging((line, tag(kind, line)) for line, kind in lines)


def rosetta() -> Html:
    """Return the table of public conventions; an id of the ledger in it is a link."""
    heads = ("convention", "written", "D", "J", "beta", "gradient ×", "sigma if beta = 1", "a bound", "seen in")
    rows = [tag("tr", *(tag("th", head) for head in heads))]
    for name, one in PRESETS.items():
        texts = [*cells(translated(one.convention, name)), one.source]
        parts = re.split(f"({code_map.ID.pattern})", texts[-1])
        last = [link(part) if code_map.ID.fullmatch(part) else part for part in parts]
        rows.append(tag("tr", *(tag("td", text) for text in texts[:-1]), tag("td", *last), id=f"rosetta.{name}"))
    about = (
        "A loss with sums, means and weights, translated. beta is the real weight of the KL. "
        "minivae rosetta translates others. A bound: is minus the loss, in nats, a lower bound of log p(x)?"
    )
    return markup(tag("p", about), scrolling(tag("table", *rows), "public conventions"))


def verdicts(items: list[Judged]) -> list[Html]:
    """Return the ids of the rows with each verdict."""
    found: dict[str, list[str]] = {}
    for item in items:
        for one in item.rows:
            found.setdefault(one.verdict, []).append(one.row.id)
    used = [verdict for verdict in MEANINGS if verdict in found]
    return [
        tag("div", tag("h4", verdict), tag("p", MEANINGS[verdict]), tag("p", listed(map(link, found[verdict]), " ")),
            id=f"verdict.{verdict}")
        for verdict in used
    ]  # fmt: skip


def symbols(items: list[Judged]) -> Html:
    """Return every letter with its rules, and the entries that use it."""
    found: dict[str, dict[str, None]] = {}
    rules: dict[str, dict[str, None]] = {}
    for item in items:
        for symbol in letters(item.entry).values():
            found.setdefault(symbol.latex, {})[item.entry.id] = None
            rules.setdefault(symbol.latex, {})[symbol.rule] = None
    order = sorted(found, key=lambda latex: (unicode(latex).strip("()").casefold(), latex))
    return tag("dl", *(
        tag("div", tag("dt", math(latex), tag("small", " ", "; ".join(rules[latex]))),
            tag("dd", listed(map(link, found[latex]), " ")), id=f"symbol.{latex}")
        for latex in order
    ), class_="symbols")  # fmt: skip


def notation() -> list[Html]:
    """Return the spellings of every thing in every source, with the entries that use them."""
    found = compare.notation()
    sources = list(next(iter(found.values())))
    rows = [tag("tr", tag("th", ""), *(tag("th", SOURCES[source]) for source in sources), tag("th", "minivae"))]
    for thing, by_source in found.items():
        shown = [listed((link(one.ids[0], f"{one.text} {len(one.ids)}") for one in by_source[source])) for source in sources]
        ours = tag("td", compare.NAMES[thing][1])
        rows.append(tag("tr", tag("th", thing), *(tag("td", one or "–") for one in shown), ours))
    about = "The number counts the entries of the source with this spelling; the link leads to the first."
    return [tag("p", about), scrolling(tag("table", *rows), "notation")]


def helper_articles(items: list[Judged], targets: Targets) -> list[Html]:
    """Return the code of the helpers, in the order of their names."""
    wanted = sorted((anchor, function) for function, anchor in targets.items() if anchor == dotted(function))
    known = code_map.functions()
    return [
        tag("article", tag("h4", link(anchor, anchor.removeprefix("derivations."), class_="id")),
            code(function, targets), id=anchor, data_words=anchor, class_="wide")
        for anchor, function in wanted if anchor not in known
    ]  # fmt: skip
