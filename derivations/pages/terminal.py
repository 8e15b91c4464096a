"""Entries of the ledger as text for a terminal: the list of entries, the table of verdicts, the details of one entry."""

import inspect
import math
import re
import shutil
import sys
import textwrap
import unicodedata
from collections import Counter

import numpy as np

from derivations.engine.domains import Symbol, as_drawn
from derivations.engine.equation import ERRATA, KINDS, Entry, Form
from derivations.engine.judge import Judgement, Link, outside
from derivations.engine.ledger import SOURCES, source_of
from derivations.pages.glossary import MEANINGS, glossary
from derivations.pages.records import (
    Judged, code_of, example, fetch, letters, located, module_of, sample, shown, sides_at, statement, worst,
)  # fmt: skip
from derivations.pages.unicode import sides, unicode

UNBROKEN = "\u00a0"                                         # no-break space: `wrapped` does not break a line at it
SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠"}
IS = {"slip": "is a slip", "wrong": "is wrong", "loose": "is loose wording", "copy": "is perhaps damaged by copying"}
REPAIRED = {"wrong": "Corrected", "slip": "Intended", "loose": "More precisely", "copy": "Perhaps meant"}


def page_width() -> int:
    """Return the width of a page in columns: the width of the terminal, but at least 60 and at most 100."""
    return max(60, min(100, shutil.get_terminal_size((100, 24)).columns))


def columns(text: str) -> int:
    """Return the number of columns that a text takes on the screen; combining accents take no column."""
    return len(text) - sum(map(bool, map(unicodedata.combining, text)))


def fit(text: str, width: int) -> str:
    """Fit the text into exactly `width` columns: add spaces, or cut it and add an ellipsis."""
    if columns(text) <= width:
        return text + " " * (width - columns(text))
    while columns(text) >= width:
        text = text[:-1]
    return text + "…" + " " * (width - columns(text) - 1)


def wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    """Wrap text into lines. `first` is put before the first line, `rest` before the others. Lines end only at spaces."""
    whole_words = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, **whole_words)
    return [line.replace(UNBROKEN, " ") for line in lines]


# Numbers and points


def value_text(value, digits: int = 7) -> str:
    """Write a number, or a list of numbers, with `digits` digits; shorten a long list."""
    value = np.asarray(value, float)
    if value.ndim == 0:
        # Rounding errors must not change the text. With four digits, 123.75 and 123.75 - 1e-14 must both become 123.8.
        rounded = float(f"{value:.12g}") + 0.0
        return "undefined" if np.isnan(value) else f"{rounded:.{digits}g}"
    shown = [value_text(item, digits) for item in value]
    if len(shown) > 12 or value.size > 24 and len(shown) > 4:
        return f"[{', '.join(shown[:3])}, …, {shown[-1]}]"
    return f"[{', '.join(shown)}]"


def link_text(link: Link, digits: int = 7) -> str:
    """Write both sides of a link as numbers: 0.5 = 0.25. If different sides look equal, write more digits, up to seven."""
    left, right = value_text(link.left, digits), value_text(link.right, digits)
    if left == right and link.left != link.right and digits < 7:
        return link_text(link, digits + 1)
    return f"{left} {SIGNS.get(link.relation, link.relation)} {right}"


def point_text(values: dict, known: dict, digits: int = 7) -> str:
    """Write a point with the letters of the source: μ_q = 0.5, σ_q = 2."""
    named = []
    for name, value in values.items():
        letter = unicode(known[name].latex) if name in known else name
        named.append(f"{letter} = {value_text(np.squeeze(as_drawn(value)), digits)}".replace(" ", UNBROKEN))
    return ", ".join(named)


def chain(latex: str, values: list, width: int, indent: str = "  ") -> list[str]:
    """Write a chain with one side on each line; the value of the side is at the right."""
    printed = sides(latex)
    texts = [value_text(value) for value in values] or [""] * len(printed)
    if len(printed) != len(texts):                          # the formula has more or fewer sides than values
        printed, texts = [("", unicode(latex))], ["   ".join(texts)]
    lead = max(columns(relation) for relation, _ in printed) + 1 if len(printed) > 1 else 0
    begin, more = len(indent) + lead, " " * (len(indent) + lead + 4)
    longest, widest = max(columns(side) for _, side in printed), max(columns(text) for text in texts)
    value_column = begin + longest + 4 if begin + longest + 4 + widest <= width else width - widest
    lines = []
    for (relation, side), text in zip(printed, texts):
        lines += wrapped(side, f"{indent}{relation:{lead}}", more, width)
        if text and columns(lines[-1]) + 2 <= value_column:
            lines[-1] += " " * (value_column - columns(lines[-1])) + text
        elif text:
            lines += wrapped(text, f"{more}-> ", f"{more}   ", width)
    return lines


def at_point(form: Form, values: dict, width: int, indent: str = "  ") -> list[str]:
    """Write a form, and the values of its sides at a point. If the form raises an error there, write only the error."""
    try:
        return chain(form.latex, sides_at(form, values), width, indent)
    except ValueError as error:
        return wrapped(f"refused: {error}", indent, indent * 2, width)


# The command `derivations list`


def contents(entries: list[Entry], width: int) -> list[str]:
    """Return one line for every section of the sources: name, number of entries, title."""
    counts = Counter(module_of(entry) for entry in entries)
    names = {module: f"{module.removeprefix('derivations.'):28}{count:3}  " for module, count in counts.items()}
    return [(name + fit(title_of(module), width - 33)).rstrip() for module, name in names.items()]


def title_of(module: str) -> str:
    """Return the first line of a module's docstring, without the name of the source at its beginning."""
    return re.sub(r'^[^":]*("[^"]*"[^":]*)?: ', "", sys.modules[module].__doc__.splitlines()[0])


def list_lines(entries: list[Entry], width: int) -> list[str]:
    """Return one line for every entry: id, expected verdicts, formula."""
    lines = []
    for entry in entries:
        verdicts = "/".join(dict.fromkeys(row.expected for row in entry.rows))
        lines.append(f"{entry.id:12} {fit(verdicts, 15)} {fit(unicode(entry.printed.latex), width - 29)}".rstrip())
    return lines


# The command `derivations check`


def check_lines(items: list[Judged], whole: bool, width: int) -> list[str]:
    """Return a table of verdicts, then the totals and the meanings of the verdicts.

    If `whole` is False, the table has only unexpected verdicts.
    """
    bad = [item._replace(rows=[judgement for judgement in item.rows if not judgement.ok]) for item in items if not item.ok]
    rows = [line for item in (items if whole else bad) for line in check_rows(item, width)]
    head = [f"{'id':12} {'statement':{width - 34}} {'verdict':10}{'error':>10}"]
    used = {judgement.verdict for item in items for judgement in item.rows}
    return [*(head + rows + [""] if rows else []), *totals(items), "", *glossary(used)]


def check_rows(item: Judged, width: int) -> list[str]:
    """Return one line for each statement of an entry. After an unexpected verdict, a second line gives the reason."""
    printed, lines = sides(item.entry.printed.latex), []
    for judgement in item.rows:
        row = judgement.row
        text = statement(item.entry, row)
        if row.link and len(printed) > row.link + 1:        # the left side is in the line above
            text = f"… {' '.join(printed[row.link + 1])}"
        line = f"{row.id:12} {fit(text, width - 34)} {judgement.verdict:10}{error_text(judgement):>10}"
        lines.append(line.rstrip())
        if not judgement.ok:
            lines += wrapped(
                f"expected {row.expected}. {judgement.why}".strip(), "    MISMATCH: ", "    ", width
            )
    return lines


def error_text(judgement: Judgement) -> str:
    """Return the largest error of a statement, divided by the tolerance. If letters are undefined, return these letters."""
    if judgement.free:
        return f"{','.join(judgement.free)} missing"
    error = worst(judgement)
    if math.isnan(error):
        return "-"
    return "infinite" if math.isinf(error) else "0" if error == 0 else f"{error:.0e}"


def totals(items: list[Judged]) -> list[str]:
    """Return a table that counts statements: it has a line for each kind of entry and a column for each verdict.

    If there are faults, the last line counts them. A fault of several rows is counted once.
    """
    rows = [(item.entry, judgement) for item in items for judgement in item.rows]
    count = Counter((entry.kind, judgement.verdict) for entry, judgement in rows)
    faults = Counter(verdict for verdict, _ in {(judgement.verdict, judgement.row.group) for _, judgement in rows})
    used = [verdict for verdict in MEANINGS if any(count[kind, verdict] for kind in KINDS)]
    titles = [*(f"  {verdict:>4}" for verdict in used), "  all"]

    def line(name: str, numbers: list[int]) -> str:
        cells = (f"{number or '.':>{len(title)}}" for number, title in zip(numbers, titles))
        return f"{name:8}" + "".join(cells)

    lines = [f"{'rows':8}" + "".join(titles)]
    for kind in [kind for kind in KINDS if any(count[kind, verdict] for verdict in used)] + ["all"]:
        numbers = [sum(count[k, verdict] for k in KINDS if kind in (k, "all")) for verdict in used]
        lines.append(line(kind, [*numbers, sum(numbers)]))
    numbers = [faults[verdict] * (verdict in ERRATA) for verdict in used]
    return [*lines, line("faults", [*numbers, sum(numbers)])] if any(numbers) else lines


# The command `derivations show`


def page(item: Judged, values: dict, draws: int, seed: int) -> str:
    """Return the details of one entry as text: formula, meaning, numbers, faults, judgement, code."""
    entry, width = item.entry, page_width()
    known = letters(entry)
    title = f"{entry.id}   {entry.kind} in {SOURCES[source_of(entry)]}, {entry.ref}"
    lines = [*wrapped(title, "", "  ", width), "", *claim_lines(entry, width)]
    lines += [*chain(entry.printed.latex, [], width), ""]
    lines += says(item, width)
    lines += labelled("Assuming", entry.needs, width) if entry.needs else []
    described = "; ".join(f"{letter_text(symbol)}: {symbol.rule}" for symbol in known.values())
    lines += labelled("Letters", described or "no letters: the statement is about fixed numbers", width)
    lines += ["", *sample_lines(entry, shown(entry), values, width)]
    for judgement in item.rows:
        lines += fault_lines(entry, judgement, width)
    for values in entry.outside:
        lines += ["", *outside_lines(entry, values, width)]
    if name := drawn_as(entry):
        lines += ["", f"Drawn by: derivations figures {name}"]
    lines += ["", *judged_lines(item, draws, seed, width), "", *code_lines(item, width)]
    return "\n".join(lines)


def claim_lines(entry: Entry, width: int) -> list[str]:
    """Return the claims of the source, and a title for the formula, such as "Read here as". Without claims, return []."""
    claims = {row.id.removeprefix(entry.id): row.claim for row in entry.rows if row.claim}
    if not claims:
        return []
    everywhere = len(claims) == len(entry.rows)
    if everywhere and len({*claims.values()}) == 1:
        claims = {"": entry.rows[0].claim}
    texts = [f"What the source says{letter and f' ({letter})'}: {claim}" for letter, claim in claims.items()]
    lines = [line for text in texts for line in wrapped(text, "", "  ", width)]
    return [*lines, "", "Read here as" if everywhere else f"Printed, except our reading of {', '.join(claims)}"]


def outside_lines(entry: Entry, values: dict, width: int) -> list[str]:
    """Return text about a point outside the assumption: whether the formula fails there, and the values of all sides."""
    state = outside(entry, values).state
    result = {"fails": "fails", "undefined": "is undefined", "holds": "holds as well"}[state]
    why = f" ({entry.undefined.rstrip('.')})" if entry.undefined and state == "undefined" else ""
    text = f"Outside this assumption, at {point_text(values, letters(entry))}, the formula {result}{why}"
    return [*wrapped(text, "", "  ", width), *at_point(entry.printed, sample(entry.printed) | values, width)]


DRAWN = ("odaibo.F1", "odaibo.F2", "lm.3", "lm.11", "lm.43", "hong.10", "cards.15", "cards.23", "cards.24", "cards.30")
SAME = {"lm.40": "odaibo.F2", "cards.31": "odaibo.F2"}      # figure 2 of Odaibo is also the figure of these entries


def drawn_as(entry: Entry) -> str:
    """Return the name of the figure of an entry; "" if the entry has no figure."""
    id = SAME.get(entry.id, entry.id)
    return id.replace(".", "-") if id in DRAWN else ""


def letter_text(symbol: Symbol) -> str:
    """Return the printed letter. If the name to type is different, it follows in brackets."""
    printed = unicode(symbol.latex)
    return printed if printed == symbol.name else f"{printed} ({symbol.name})"


def labelled(label: str, text: str, width: int) -> list[str]:
    """Return wrapped text with a label at its left."""
    return wrapped(text, f"{label:9} ", " " * 10, width)


def says(item: Judged, width: int) -> list[str]:
    """Return the verdict and the meaning of every statement of an entry."""
    lines = []
    for judgement in item.rows:
        row = judgement.row
        letter = row.id.removeprefix(item.entry.id)
        verdict = judgement.verdict if judgement.ok else f"{judgement.verdict} (expected {row.expected})"
        lines += labelled(verdict, f"{letter}  {row.says}" if letter else row.says, width)
    return lines


def sample_lines(entry: Entry, form: Form, values: dict, width: int) -> list[str]:
    """Return the value of every side at a sample point, or at the point given by the user."""
    if not form.inputs:
        return ["The numbers", *at_point(form, {}, width)]
    point = sample(form) | values
    title = f"At {point_text({symbol.name: point[symbol.name] for symbol in form.inputs}, letters(entry))}"
    reading = " (as intended)" if form is not entry.printed else ""
    lines = wrapped(title + reading, "", "  ", width) + at_point(form, point, width)
    return lines if values else [*lines, "", f"Also try: derivations show {entry.id} {example(entry)}"]


def fault_lines(entry: Entry, judgement: Judgement, width: int) -> list[str]:
    """Return the fault of a statement, a point where the printed formula fails, and the form that holds."""
    row, known = judgement.row, letters(entry)
    if not row.fault:
        return []
    lines = ["", *wrapped(f"{row.id} {IS.get(judgement.verdict, f'is {judgement.verdict}')}. {row.fault}", "", "  ", width)]
    form = "Our reading" if row.claim else "Printed"
    if judgement.free:
        names, are = " and ".join(judgement.free), "is" if len(judgement.free) == 1 else "are"
        lines.append(f"  {'Our reading' if row.claim else 'The printed formula'} has no value: {names} {are} not defined.")
    elif judgement.witness:
        where = point_text(judgement.witness, known)
        lines += wrapped(f"{form}, at the simplest point where it fails: {where}", "", "  ", width)
        lines += at_point(entry.printed, judgement.witness, width)
    else:
        lines += [form, *at_point(entry.printed, sample(entry.printed), width)]
    if row.repair is None:
        return lines
    repaired = REPAIRED[row.expected]
    if judgement.free:                                      # the page already shows the numbers of the repaired form
        return [*lines, repaired, *chain(row.repair.latex, [], width)]
    point = sample(row.repair) | (judgement.witness or {})
    title = f"{repaired}, at the same point" if judgement.witness else repaired
    return [*lines, title, *at_point(row.repair, point, width)]


def judged_lines(item: Judged, draws: int, seed: int, width: int) -> list[str]:
    """Return the state of every link (holds, fails or undecided), and its largest error divided by the tolerance."""
    where = f"Judged at {draws} random draws (seed {seed}) and at up to 200 simple points"
    head = wrapped(f"{where}, relative tolerance {item.entry.tolerance:.0e}", "", "  ", width)
    lines = []
    for judgement in item.rows:
        if judgement.free:
            lines.append(f"  {judgement.row.id:12} undefined  letters without a definition: {', '.join(judgement.free)}")
        forms = [("", judgement.links)]
        if judgement.row.repair:
            forms.append((f"{REPAIRED[judgement.row.expected].lower()}: ", judgement.repaired))
        for name, links in forms:
            for link in links:
                size = "infinite" if np.isinf(link.error) else f"{link.error:.0e} times the tolerance"
                size = f"{size}: {link_text(link)}" if link.error > 0.01 else "below 0.01 of the tolerance"  # rounding error
                lines += wrapped(f"{link.state:10} {name}largest error {size}", f"  {judgement.row.id:12} ", " " * 15, width)
        if judgement.why:
            lines += wrapped(judgement.why, f"  {judgement.row.id:12} undecided  ", " " * 15, width)
    return head + lines if lines else ["Nothing to compute here."]


def code_lines(item: Judged, width: int) -> list[str]:
    """Return the functions of minivae that are compared with the entry, and the entry's source code."""
    ties, lines = {name: link for judgement in item.rows for name, link in judgement.ties}, []
    for name in (tie.name for tie in item.entry.ties):
        agrees = f"   {'agrees' if ties[name].state == 'holds' else 'DISAGREES'}" if name in ties else ""
        lines.append(f"In the model   {name}   {located(fetch(name))}{agrees}")
    for function in code_of(item.entry):
        lines += ["", located(function), "", textwrap.indent(inspect.getsource(function).rstrip(), "  ")]
    return lines if item.entry.ties else lines[1:]
