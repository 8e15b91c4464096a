"""Articles of the book: one for each entry of the ledger, and one for each function of minivae's mathematics.

The head of an entry has the verdicts. The left column has the formula with its numbers, the meaning, the assumption, the
faults and the figure. The right column has the code.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from derivations.engine.equation import Entry, Form
from derivations.engine.judge import Judgement, outside
from derivations.pages.book_code import Targets, code, unwrapped
from derivations.pages.book_text import number_texts, numbers_in_line, point_markup, prose
from derivations.pages.errata import DIGITS
from derivations.pages.html import Html, article, grouped, link, listed, markup, note, tag
from derivations.pages.mathml import math
from derivations.pages.records import (
    Judged, code_of, fetch, letters, located, sample, shown, sides_at, words_of,
)  # fmt: skip
from derivations.pages.terminal import IS, REPAIRED, drawn_as, link_text
from derivations.pages.unicode import latex_sides
from derivations.study import code_map


class Around(NamedTuple):
    """Facts about the rest of the book, for the article of an entry."""

    targets: Targets
    figures: dict[str, tuple[str, str]]                     # {name: (address of the picture, alt text)}
    related: dict[str, list[tuple[str, str]]]               # {entry or row id: (anchor, title) of each related article}
    groups: dict[str, list[str]]                            # {group of faults: ids of the ledger rows in it}
    first: dict[str, str]                                   # {name of a figure: id of the first entry that shows it}


def entry_article(item: Judged, around: Around) -> Html:
    """Return the article of an entry. Its anchor is the id of the entry."""
    entry, point = item.entry, shown_point(item)
    place = tag("small", prose(re.sub(r"^(l\.[\d-]+) ", r"\1, ", entry.ref)), class_="ref")
    head = markup(link(entry.id, class_="id"), " ", badges(item), place)
    computed = bool(entry.printed.free or sides_at(shown(entry), point))
    parts = claims(entry, computed) + (main_formula(item, point) if computed else [])
    parts += [meanings(item), *assumptions(entry), *faults(item, point, around.groups)]
    parts += [note("Letters: ", letters_text(entry))] if letters(entry) else []
    parts += [picture(around, entry)] if drawn_as(entry) else []
    ids = dict.fromkeys((entry.id, *(row.id for row in entry.rows)))
    if also := [link(anchor, title) for id in ids for anchor, title in around.related.get(id, ())]:
        parts.append(note("See also: ", listed(also, "; ")))
    return article(entry.id, head, parts, implementation(item, around.targets), searched(item, around))


def searched(item: Judged, around: Around) -> str:
    """Return the text in which the search looks for words; it begins with the id and the formula."""
    texts = [item.entry.id, words_of(item.entry), item.entry.needs, *letters(item.entry)]
    texts += [text for one in item.rows for text in (one.verdict, one.row.fault)]
    name = drawn_as(item.entry)
    return " ".join([*texts, around.figures[name][1] if name in around.figures else ""])


def shown_point(item: Judged) -> dict:
    """Return the point at which the book shows an entry's formula: a point where a row fails, or the point of `sample`."""
    witnesses = [one.witness for one in item.rows if one.at_witness and one.witness]
    return witnesses[0] if witnesses else sample(shown(item.entry))


def badge(verdict: str) -> Html:
    """Return a verdict as a link to the index of verdicts."""
    return link(f"verdict.{verdict}", verdict, class_=f"badge {verdict}")


def badges(item: Judged) -> Html:
    """Return the verdicts of an entry, each once."""
    return markup(*(markup(badge(verdict), " ") for verdict in dict.fromkeys(one.verdict for one in item.rows)))


def claims(entry: Entry, computed: bool) -> list[Html]:
    """Return the claims of the source in our words. If the formula is computed, add a line such as "Read here as:".

    Return [] if the source only prints a formula and claims nothing.
    """
    rows = [(row.claim.replace(f" ({entry.ref})", ""), row.id.removeprefix(entry.id)) for row in entry.rows if row.claim]
    said = grouped(rows)
    everywhere = len(rows) == len(entry.rows)
    one = len(said) == 1 and everywhere
    parts = [tag("p", "" if one else f"({', '.join(which)}) ", prose(text)) for text, which in said.items()]
    ours = ", ".join(letter for _, letter in rows)
    reading = note("Read here as:" if everywhere else f"Printed, except our reading of {ours}:")
    return [*parts, reading] if said and computed else parts


def main_formula(item: Judged, point: dict) -> list[Html]:
    """Return the printed formula. If all its letters are defined, also return the values of its sides at a point."""
    entry, form = item.entry, shown(item.entry)
    if form is not entry.printed:
        return [chain(entry.printed, None, entry.id, names(entry))]
    where = point_markup({symbol.name: point[symbol.name] for symbol in form.inputs}, letters(entry))
    return [chain(form, point, entry.id, names(entry)), *([note("Numbers at ", where)] if where else [])]


def names(entry: Entry) -> list[str]:
    """Return the ids of the rows if the entry has one row for each link of its formula, otherwise []."""
    return [row.id for row in entry.rows] if entry.rows[0].link is not None else []


def chain(form: Form, point: dict | None, id: str, rows: list[str] = ()) -> Html:
    """Return a formula with one side on each line, and the values of the sides at a point. A wide formula scrolls."""
    printed, texts = latex_sides(form.latex), []
    if point is not None:
        try:
            texts = number_texts(sides_at(form, point))
        except ValueError as error:
            texts = [f"refused: {error}"]
    if texts and len(texts) != len(printed):                # the formula has more or fewer sides than values
        printed, texts = [("", form.latex)], ["   ".join(texts)]
    lines = []
    for i, (relation, side) in enumerate(printed):
        mark = link(rows[i - 1], rows[i - 1].removeprefix(id), class_="row") if i and len(rows) == len(printed) - 1 else ""
        lines += [tag("span", math(relation) if relation else "", mark, class_="rel")]
        value = [tag("span", text, class_="value") for text in texts[i : i + 1]]
        lines.append(tag("span", *(math(part, True) for part in breakable(side)), *value, class_="side"))
    return tag("div", *lines, class_="chain", tabindex="0", role="group", aria_label=f"formula of {id}")


def breakable(side: str) -> list[str]:
    """Split a side where a line may end: after a definition, "{r = p/q}:", and before a condition, "(0 < t < 1)"."""
    parts = re.split(r"(?<=\\}:)\\;\s*|(?<=,)\\quad\s*", side)
    return parts if all(part.count(r"\left") == part.count(r"\right") for part in parts) else [side]


def meanings(item: Judged) -> Html:
    """Return the meaning of every row. If there are several rows, each has an anchor and shows its verdict."""
    if len(item.rows) == 1:
        (one,) = item.rows
        return tag("p", prose(one.row.says), id=one.row.id if one.row.id != item.entry.id else False)
    rows = (
        tag("li", tag("b", one.row.id.removeprefix(item.entry.id)), " ", badge(one.verdict), " ", prose(one.row.says),
            id=one.row.id)
        for one in item.rows
    )
    return tag("ul", *rows, class_="rows")


def assumptions(entry: Entry) -> list[Html]:
    """Return the assumption of an entry. For each point in `entry.outside`, add the result, such as "it fails"."""
    parts = [tag("p", tag("b", "Assuming "), prose(entry.needs))] if entry.needs else []
    if entry.outside:
        points = (tag("li", *outcome(entry, values)) for values in entry.outside)
        parts += [note("Outside this assumption:"), tag("ul", *points, class_="small")]
    return parts


def outcome(entry: Entry, values: dict) -> list[Html | str]:
    """Return text about a point that violates the entry's assumption: the values of the formula's sides at this point.

    If the formula is undefined at this point, the text has the reason instead of values.
    """
    at, where = outside(entry, values), point_markup(values, letters(entry))
    if at.state == "undefined":
        why = " ".join((entry.undefined or at.refusal).split())
        return ["it is undefined at ", where, prose(f": {why}" if why else "")]
    numbers = numbers_in_line(entry.printed.latex, sides_at(entry.printed, values))
    return ["it fails at " if at.state == "fails" else "it holds as well at ", where, ": ", tag("code", numbers)]


def faults(item: Judged, point: dict, groups: dict[str, list[str]]) -> list[Html]:
    """Return the faults of an entry, each with the numbers of both sides and the form that holds."""
    return [fault(item.entry, one, point, groups) for one in item.rows if one.row.fault]


def fault(entry: Entry, judgement: Judgement, point: dict, groups: dict[str, list[str]]) -> Html:
    """Return one fault: its description, a point where the printed form fails, and the form that holds there."""
    row, witness = judgement.row, judgement.witness or {}
    verdict = IS.get(judgement.verdict, f"is {judgement.verdict}")
    parts = [tag("p", tag("b", f"{row.id} {verdict}. "), prose(row.fault))]
    parts += [] if witness is point else seen(entry, judgement)
    if row.repair:
        same = ", at the same point" if witness and not judgement.free else ""
        parts += [tag("p", f"{REPAIRED[row.expected]}{same}:"), chain(row.repair, sample(row.repair) | witness, entry.id)]
    if others := [id for id in groups[row.group] if id != row.id]:
        parts.append(note("The same fault: ", listed(map(link, others))))
    return tag("div", *parts, class_=f"fault {judgement.verdict}")


def seen(entry: Entry, judgement: Judgement) -> list[Html]:
    """Return a point where a false formula fails, with the numbers of the formula at this point.

    If letters of the formula are undefined, the formula has no numbers: return a sentence that names these letters.
    """
    printed = "Our reading" if judgement.row.claim else "The printed formula"
    if judgement.free:
        are = "is" if len(judgement.free) == 1 else "are"
        return [tag("p", f"{printed} has no value: {' and '.join(judgement.free)} {are} not defined.")]
    if judgement.at_witness is None:
        return []
    at, numbers = point_markup(judgement.witness or {}, letters(entry)), link_text(judgement.at_witness, DIGITS)
    return [tag("p", printed, [" at ", at] if at else "", ": ", tag("code", numbers), ", which is false.")]


def letters_text(entry: Entry) -> Html:
    """Return the letters of an entry with their rules; each letter is a link to the index of symbols."""
    known = letters(entry).values()
    return listed(markup(link(f"symbol.{one.latex}", math(one.latex)), " (", prose(one.rule), ")") for one in known)


def picture(around: Around, entry: Entry) -> Html:
    """Return the figure of an entry. If an earlier entry shows the same figure, return a link to that entry."""
    name = drawn_as(entry)
    if around.first[name] != entry.id:
        return note("Figure: see ", link(around.first[name]), ".")
    address, alt = around.figures[name]
    return tag("figure", tag("img", src=address, alt=alt, decoding="async"))


def implementation(item: Judged, targets: Targets) -> list[Html]:
    """Return the code of an entry: the printed form, the forms that hold, and the functions that call minivae (ties)."""
    entry, ties = item.entry, {name: one for judgement in item.rows for name, one in judgement.ties}
    labels = []
    for row in entry.rows:
        if row.repair:
            which = f" ({row.id})" if len(entry.rows) > 1 else ""
            labels.append((unwrapped(row.repair.function), note(f"{REPAIRED[row.expected]}{which}:")))
    for tie in entry.ties:
        agrees = "" if tie.name not in ties else " agrees" if ties[tie.name].ok else " disagrees"
        model = link(tie.name, tie.name.removeprefix("minivae."))
        labels.append((unwrapped(tie.function), note("In the model, ", model, agrees, ":")))
    labels_of, functions = grouped(labels), dict.fromkeys(map(unwrapped, code_of(entry)))
    parts = [(*labels_of.get(function, ()), code(function, targets)) for function in functions]
    return [*parts, where(next(iter(functions)))]


def where(function: Callable) -> Html:
    """Return the file and the line of a function."""
    return tag("p", located(function), class_="small where")


def function_article(place: code_map.Place, targets: Targets, bugs: list[tuple[str, str]]) -> Html:
    """Return the article about a function of minivae.

    The article has links to the entries that check the function, to the entries that its docstring cites, and to its bugs in
    the museum. It also has the names of the test files, and the code.
    """
    function, short = fetch(place.name), code_map.short(place)
    shown = {
        "Proven by": map(link, place.tied), "States": map(link, place.cited),
        "Tested by": (tag("code", test) for test in place.tests), "Bugs in it:": (link(*bug) for bug in bugs),
    }  # fmt: skip
    parts = [note(f"{label} ", text) for label, each in shown.items() if (text := listed(each))]
    head, right = link(place.name, short, class_="id"), [code(function, targets), where(function)]
    return article(place.name, head, parts, right, f"{short} {place.name}")
