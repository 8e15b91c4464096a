"""The errata as text. An erratum is one fault, with all rows of the ledger that have this fault.

Loose wording and damage by copying are not errors of the source. They are listed after the errata.
"""

import re
from typing import NamedTuple

from derivations.engine.equation import ERRATA, Entry, Row
from derivations.engine.judge import Judgement
from derivations.engine.ledger import SOURCES, source_of
from derivations.pages.records import Judged, letters, statement
from derivations.pages.terminal import UNBROKEN, fit, labelled, link_text, page_width, point_text
from derivations.pages.unicode import unicode

DIGITS = 4                                                  # digits of numbers in a table; `derivations show` prints more
LISTS = {                                                   # {title: (verdicts, titles of the last three columns)}
    "Errata": (ERRATA, ("fault", "form that holds", "example")),
    "Loose wording": (("loose",), ("where it misleads", "precise form", "example")),
    "Damage by copying": (("copy",), ("what may be lost", "perhaps meant", "example")),
}
LISTED = tuple(verdict for verdicts, _ in LISTS.values() for verdict in verdicts)


class Erratum(NamedTuple):
    """All ledger rows with the same fault. These rows are a group, and the id of the first row is the name of the group.

    The other rows follow in the order of the ledger.
    """

    rows: list[tuple[Entry, Judgement]]

    @property
    def entry(self) -> Entry:
        """The entry of the first row."""
        return self.rows[0][0]

    @property
    def judgement(self) -> Judgement:
        """The judgement of the first row."""
        return self.rows[0][1]

    @property
    def row(self) -> Row:
        """The first row of the erratum. The claim, fault and repaired form of this row are shown for the erratum."""
        return self.judgement.row


def errata(items: list[Judged]) -> list[Erratum]:
    """Return the faults of the entries in `items`, source by source: errata, then loose wording, then damage by copying."""
    groups: dict[str, list] = {}
    for item in items:
        for judgement in item.rows:
            if judgement.row.expected in LISTED:
                groups.setdefault(judgement.row.group, []).append((item.entry, judgement))
    found = [Erratum(sorted(rows, key=lambda row: row[1].row.id != group)) for group, rows in groups.items()]
    titles = list(LISTS)
    return sorted(found, key=lambda one: (list(SOURCES).index(source_of(one.entry)), titles.index(title_of(one))))


def title_of(erratum: Erratum) -> str:
    """Return the title of the list to which an erratum belongs."""
    return next(title for title, (verdicts, _) in LISTS.items() if erratum.row.expected in verdicts)


def counted(found: list[Erratum]) -> str:
    """Return the number of errata with each verdict: "5 slip, 7 wrong"."""
    expected = [one.row.expected for one in found]
    return ", ".join(f"{expected.count(verdict)} {verdict}" for verdict in LISTED if verdict in expected)


def witness_text(entry: Entry, judgement: Judgement, digits: int = 7) -> str:
    """Return a point where the printed statement (or our reading) fails, and the values of both sides there."""
    if judgement.free:
        return f"{' and '.join(judgement.free)} {'is' if len(judgement.free) == 1 else 'are'} not defined"
    there = judgement.at_witness
    if judgement.witness is None or there is None:
        return "it fails at random draws"
    where = point_text(judgement.witness, letters(entry), digits)
    numbers = f"{'our reading' if judgement.row.claim else 'printed'}, {link_text(there, digits)}"
    return f"{where}: {numbers}" if where else numbers


# The errata for a terminal


def errata_lines(found: list[Erratum]) -> list[str]:
    """Return one line for every erratum: its first id, the number of other ids, verdict, first sentence of the fault."""
    ids = [one.row.id + (f" +{len(one.rows) - 1}" if len(one.rows) > 1 else "") for one in found]
    wide = max(map(len, ids), default=0)
    faults = (fit(re.split(r"(?<=\.) ", one.row.fault)[0], page_width() - wide - 9) for one in found)
    return [f"{id:{wide}}  {one.judgement.verdict:5}  {fault}".rstrip() for id, one, fault in zip(ids, found, faults)]


def errata_text(found: list[Erratum]) -> str:
    """Return the errata as paragraphs, each with the statement, a point where it fails, and the form that holds."""
    return "\n\n".join("\n".join(paragraph(one)) for one in found)


def paragraph(erratum: Erratum) -> list[str]:
    """Return one erratum in full, followed by the other rows with the same fault."""
    entry, row, width = erratum.entry, erratum.row, page_width()
    lines = [f"{row.id}   {erratum.judgement.verdict}   {entry.ref}", *stated(entry, row)]
    lines += labelled("  why", row.fault, width)
    lines += labelled("  example", witness_text(entry, erratum.judgement), width)
    lines += labelled("  better", unicode(row.repair.latex), width) if row.repair else []
    for entry, judgement in erratum.rows[1:]:
        lines += [f"  the same fault: {judgement.row.id}   {entry.ref}", *stated(entry, judgement.row)]
    return lines


def stated(entry: Entry, row: Row) -> list[str]:
    """Return the statement of a row: the printed formula, or the claim of the source and our formula for this claim."""
    width = page_width()
    claim = labelled("  says", row.claim, width) if row.claim else []
    return claim + labelled("  read as" if row.claim else "  printed", statement(entry, row), width)


# The errata in Markdown


def errata_markdown(found: list[Erratum]) -> str:
    """Return up to three tables for each source: errata, loose wording, damage by copying."""
    names = list(dict.fromkeys(source_of(one.entry) for one in found))
    blocks = []
    for source in names:
        blocks += [f"## {SOURCES[source]}"] if len(names) > 1 else []
        for title, (_, heads) in LISTS.items():
            if mine := [one for one in found if (source_of(one.entry), title_of(one)) == (source, title)]:
                blocks.append(f"### {title}\n\n{table(mine, heads)}")
    return "\n\n".join(blocks)


def table(found: list[Erratum], heads: tuple[str, ...]) -> str:
    """Return a table with one row for each erratum."""
    rows = [("where", "source says", "read here as", *heads), ("---",) * (3 + len(heads)), *map(cells, found)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def cells(erratum: Erratum) -> tuple[str, ...]:
    """Return the cells of one erratum. If the formula is printed in the source, the cell "read here as" is empty."""
    entry, row = erratum.entry, erratum.row
    places = "; ".join(f"`{judgement.row.id}` {entry.ref}" for entry, judgement in erratum.rows)
    formula = code(statement(entry, row))
    said = (row.claim, formula) if row.claim else (f"printed: {formula}", "")
    better = code(unicode(row.repair.latex)) if row.repair else ""
    seen = code(witness_text(entry, erratum.judgement, DIGITS))
    return f"{places}, {erratum.judgement.verdict}", *said, row.fault, better, seen


def code(text: str) -> str:
    """Mark text as code in Markdown."""
    return f"`{text.replace(UNBROKEN, ' ')}`"


def counts_markdown(items: list[Judged]) -> str:
    """Return a table that counts the rows and the faults of each source, and a paragraph about the totals."""
    sources = list(dict.fromkeys(source_of(item.entry) for item in items))
    heads = ("source", "rows", *COUNTED, "slips", "wrong")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    totals = [0] * (len(heads) - 1)
    for source in sources:
        numbers = counts([item for item in items if source_of(item.entry) == source])
        lines.append(f"| {SOURCES[source]} | {' | '.join(map(str, numbers))} |")
        totals = [a + b for a, b in zip(totals, numbers)]
    lines.append(f"| all | {' | '.join(map(str, totals))} |")
    rows, hold, *_, slips, wrong = totals
    faulty = sum(judgement.verdict in ERRATA for item in items for judgement in item.rows)
    return "\n".join(lines) + f"""

Of {rows} rows, {hold} hold ({hold / rows:.0%}), and {faulty} are slips or wrong. The last two columns
count faults, not rows: a fault of several rows is counted once.
Number of faults: {slips + wrong} (slips: {slips}, wrong lines: {wrong})."""


COUNTED = {                                                 # {title of a column: verdicts of the rows that it counts}
    "hold": ("holds", "holds-if", "defines", "figure", "prose"),
    "of them under an assumption": ("holds-if",),
    "loose wording": ("loose",),
    "damage by copying": ("copy",),
}


def counts(items: list[Judged]) -> list[int]:
    """Return the number of all rows, the number of rows for each column of `COUNTED`, and two numbers of faults.

    The last two numbers count slips and wrong lines. Several rows with the same fault count as one fault.
    """
    rows = [judgement for item in items for judgement in item.rows]
    numbers = [sum(judgement.verdict in verdicts for judgement in rows) for verdicts in COUNTED.values()]
    faults = [len({judgement.row.group for judgement in rows if judgement.verdict == verdict}) for verdict in ERRATA]
    return [len(rows), *numbers, *faults]
