"""The ledger as flashcards: one card, with a question and an answer, for every row that has a short answer.

A side of a card is a sequence of lines; a line is text or a formula. A terminal, Anki and Obsidian need formulas in
different notations. The card of a slip or a wrong row asks for the fault; the answer shows numbers at which the row fails,
or the undefined letters. The card of loose wording asks for a precise form, and the card of a damaged copy asks for the
lost sign.
"""

import csv
import html
import io
from collections.abc import Callable, Iterable
from typing import NamedTuple

from derivations.engine.equation import Entry
from derivations.engine.judge import Judgement
from derivations.engine.ledger import SOURCES, source_of
from derivations.pages.errata import witness_text
from derivations.pages.records import Judged
from derivations.pages.terminal import UNBROKEN, columns
from derivations.pages.unicode import latex_sides, outside, pieces, unicode

LONGEST = 100                                               # largest width, in characters, of a formula that a card asks for


class Formula(str):
    """A line of LaTeX on a card."""


class Card(NamedTuple):
    """One card: the id and the verdict of a row of the ledger, and the lines on the two sides of the card."""

    id: str
    verdict: str
    question: tuple[str, ...]
    answer: tuple[str, ...]


def cards(items: Iterable[Judged]) -> list[Card]:
    """Make one card for every row with a short answer, in the order of the ledger."""
    rows = [(item.entry, judgement) for item in items for judgement in item.rows]
    return [card(entry, judgement) for entry, judgement in rows if answerable(entry, judgement)]


def answerable(entry: Entry, judgement: Judgement) -> bool:
    """Return True if the answer on the row's card is a text, or one short formula that is not in the question.

    A row for a figure has no card, because a text cannot show the figure. A remark has no card, because it has no formula to
    ask for.
    """
    if judgement.row.expected in ("figure", "prose"):
        return False
    if asked_of(entry, judgement) in (faulty, claimed):
        return True
    (_, first), *others = statement(entry, judgement)
    wanted = [(relation, side) for relation, side in others if not is_aside(side)]
    short = columns(unicode(written(wanted))) <= LONGEST and not any(has_tuple(side) for _, side in wanted)
    return short and any(side != first for _, side in wanted)


def is_aside(latex: str) -> bool:
    """Return True if a side of an equation is in square brackets: the source does not print this side at this place."""
    text = unicode(latex)
    return text.startswith("[") and outside(text) == "()"


def has_tuple(latex: str) -> bool:
    """Return True if a formula has a tuple: round brackets whose commas separate quantities, not arguments of a function."""
    open_brackets, before = [], ""
    for piece in pieces(latex):
        if piece.part == "open":
            open_brackets.append(piece.text == "(" and before not in ("ord", "close", "word"))
        elif piece.part == "close":
            open_brackets[-1:] = []
        elif piece.text == "," and any(open_brackets[-1:]):
            return True
        before = before if piece.part == "space" else piece.part
    return False


def card(entry: Entry, judgement: Judgement) -> Card:
    """Make the flashcard for one row of the ledger."""
    where = f"{SOURCES[source_of(entry)]}, {entry.ref}"
    question, answer = asked_of(entry, judgement)(entry, judgement, statement(entry, judgement))
    needs = (f"Sufficient assumption: {entry.needs}.",) if judgement.row.expected == "holds-if" else ()
    end = f"{judgement.row.id}: {judgement.verdict}"
    front, back = (where, *filter(None, question)), (*filter(None, answer), *needs, end)
    return Card(judgement.row.id, judgement.verdict, front, back)


def asked_of(entry: Entry, judgement: Judgement) -> Callable:
    """Return the function that makes the question and the answer for a row of the ledger."""
    if judgement.row.expected in FAULTY:
        return faulty
    if judgement.row.expected == "defines":
        return defined
    return claimed if entry.kind == "claim" else stated


def statement(entry: Entry, judgement: Judgement) -> list[tuple[str, str]]:
    """Return the equation of a row as pairs (relation, side) in LaTeX: the whole chain, or the sides of the row's link."""
    sides, link = latex_sides(entry.printed.latex), judgement.row.link
    return sides if link is None else [("", sides[link][1]), sides[link + 1]]


def written(sides: list[tuple[str, str]]) -> Formula:
    """Join the sides into one formula."""
    return Formula(" ".join(f"{relation} {side}".strip() for relation, side in sides))


FAULTY = {                                                  # {verdict: (question, heading of the repaired formula)}
    "slip": ("What is wrong with this line?", "What holds:"),
    "wrong": ("What is wrong with this line?", "What holds:"),
    "loose": ("Loose wording. Where is it false if read literally, and what is the precise form?", "More precisely:"),
    "copy": ("This copy of the line may be damaged. What may be lost?", "Perhaps meant:"),
}


def faulty(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """Ask what is wrong, imprecise or damaged in a line; answer with the fault, an example and the repaired formula."""
    row = judgement.row
    question, before = FAULTY[row.expected]
    witness = witness_text(entry, judgement).replace(UNBROKEN, " ")
    meaning = (row.claim, "Read here as:") if row.claim else (row.says,)
    holds = (before, Formula(row.repair.latex)) if row.repair else ()
    return (question, *meaning, written(sides)), (row.fault, f"Example: {witness}", *holds)


def stated(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """Show the first side of a printed line and ask for the rest."""
    return (judgement.row.says, "How does the line continue?", written(sides[:1])), (written(sides),)


def defined(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """Ask for a definition."""
    return (judgement.row.says, "How is it defined?", written(sides[:1])), (written(sides),)


def claimed(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """Ask whether a claim needs an assumption. The function `card` adds the assumption to the answer."""
    row = judgement.row
    holds = "It holds under an assumption:" if row.expected == "holds-if" else "It holds without an assumption:"
    return (row.claim, row.says, "Does it hold in general, or only under an assumption?"), (holds, written(sides))


# Cards as text for a terminal


def plain(lines: Iterable[str]) -> list[str]:
    """Return the lines of one side of a card as text, with formulas in Unicode."""
    return [f"  {unicode(line)}" if isinstance(line, Formula) else line for line in lines]


# Cards for Anki: one line of tab-separated fields for every card; the fields are HTML


def anki(made: Iterable[Card]) -> str:
    """Return the text of a file for Anki's import: front, back, id, and the verdict as a tag."""
    head = "#separator:tab\n#html:true\n#columns:Front\tBack\tId\tTags\n#tags column:4\n"
    rows = io.StringIO()
    write = csv.writer(rows, dialect="excel-tab", lineterminator="\n").writerow
    for one in made:
        write([as_html(one.question), as_html(one.answer), one.id, one.verdict])
    return head + rows.getvalue()


def as_html(lines: Iterable[str]) -> str:
    """Return lines of a card in HTML; MathJax renders the formulas between \\[ and \\]."""
    shown = (rf"\[{line}\]" if isinstance(line, Formula) else line for line in lines)
    return "<br>".join(html.escape(line, quote=False).replace("\n", "<br>") for line in shown)


# Cards for Obsidian's spaced repetition plugin: a line with ? separates question and answer; an empty line ends the card


def obsidian(made: Iterable[Card], title: str) -> str:
    """Return the text of one note with all cards."""
    blocks = [f"# {title}\n\n#flashcards/derivations"]
    blocks += ["\n".join([*map(as_markdown, one.question), "?", *map(as_markdown, one.answer)]) for one in made]
    return "\n\n".join(blocks) + "\n"


def as_markdown(line: str) -> str:
    """Return a text of a card in Markdown.

    Obsidian's plugin ends a card at an empty line, and a question at a line with only "?". So escape such lines of the text.
    """
    if isinstance(line, Formula):
        return f"$${line}$$"
    rows = html.escape(line, quote=False).replace("$", "&#36;").split("\n")
    return "\n".join({"": "<br>", "?": "&#63;"}.get(row.strip(), row) for row in rows)
