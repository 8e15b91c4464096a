"""The ledger as flashcards: a question and an answer for every row, for Anki, for Obsidian, for a terminal.

A side of a card is a sequence of lines, each of them text or a formula; every format writes both in its own way.
A row that is a slip or wrong asks what is wrong with its line; its answer has the simplest numbers that show it.
"""

import csv
import html
import io
from collections.abc import Iterable
from typing import NamedTuple

from derivations.engine.equation import Entry
from derivations.engine.judge import Judgement
from derivations.engine.ledger import SOURCES, source_of
from derivations.pages.records import Judged
from derivations.pages.terminal import UNBROKEN, witness_text
from derivations.pages.unicode import latex_sides, unicode


class Formula(str):
    """A line of a card that is LaTeX."""


class Card(NamedTuple):
    """One card: id and verdict of its row, and what stands on its two sides."""

    id: str
    verdict: str
    question: tuple[str, ...]
    answer: tuple[str, ...]


def cards(items: Iterable[Judged]) -> list[Card]:
    """One card for every row, in the order of the ledger."""
    return [card(item.entry, judgement) for item in items for judgement in item.rows]


def card(entry: Entry, judgement: Judgement) -> Card:
    """The card of one row."""
    where = f"{SOURCES[source_of(entry)]}, {entry.ref}"
    asked = faulty if judgement.row.repair else ASKED.get(judgement.row.expected, ASKED.get(entry.kind, stated))
    question, answer = asked(entry, judgement, statement(entry, judgement))
    needs = (f"It needs: {entry.needs}.",) if judgement.row.expected == "holds-if" else ()
    end = f"{judgement.row.id}: {judgement.verdict}"
    front, back = (where, *filter(None, question)), (*filter(None, answer), *needs, end)
    return Card(judgement.row.id, judgement.verdict, front, back)


def statement(entry: Entry, judgement: Judgement) -> list[tuple[str, str]]:
    """(relation, side) of what the row states: the whole chain, or its own link of it."""
    sides, link = latex_sides(entry.printed.latex), judgement.row.link
    return sides if link is None else [("", sides[link][1]), sides[link + 1]]


def written(sides: list[tuple[str, str]]) -> Formula:
    """The sides as one formula again."""
    return Formula(" ".join(f"{relation} {side}".strip() for relation, side in sides))


def faulty(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """What is wrong with a line, and what holds."""
    row = judgement.row
    seen = witness_text(entry, judgement).replace(UNBROKEN, " ")
    return (
        ("What is wrong with this line?", row.says, written(sides)),
        (row.fault, f"Seen at {seen}", "What holds:", Formula(row.repair.latex)),
    )


def stated(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """How a displayed line goes on."""
    return (judgement.row.says, "How does it go on?", written(sides[:1])), (written(sides),)


def defined(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """How something is defined."""
    return (judgement.row.says, "How is it defined?", written(sides[:1])), (written(sides),)


def claimed(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """Whether a claim holds, and as what formula."""
    return (judgement.row.says, "Does it hold? Say it as a formula."), ("It holds:", written(sides))


def drawn(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """What a figure must show."""
    return ("Draw the figure. What must it show?",), (judgement.row.says, written(sides))


def told(entry: Entry, judgement: Judgement, sides: list) -> tuple[tuple, tuple]:
    """What can be computed of a remark."""
    return (judgement.row.says, "Is there something in it that can be computed?"), (written(sides),)


ASKED = {"defines": defined, "prose": told, "figure": drawn, "claim": claimed}       # by verdict, then by kind


# As text for a terminal


def plain(lines: Iterable[str]) -> list[str]:
    """The lines of one side of a card as text, formulas in Unicode."""
    return [f"  {unicode(line)}" if isinstance(line, Formula) else line for line in lines]


# As Anki reads it: a line of tab-separated fields for every card; a field is HTML


def anki(made: Iterable[Card]) -> str:
    """A file for Anki's import: front, back, id, verdict as tag."""
    head = "#separator:tab\n#html:true\n#columns:Front\tBack\tId\tTags\n#tags column:4\n"
    rows = io.StringIO()
    write = csv.writer(rows, dialect="excel-tab", lineterminator="\n").writerow
    for one in made:
        write([as_html(one.question), as_html(one.answer), one.id, one.verdict])
    return head + rows.getvalue()


def as_html(lines: Iterable[str]) -> str:
    """Lines of a card in HTML; MathJax reads what is in \\[ \\]."""
    shown = (rf"\[{line}\]" if isinstance(line, Formula) else line for line in lines)
    return "<br>".join(html.escape(line, quote=False).replace("\n", "<br>") for line in shown)


# As Obsidian's spaced repetition reads it: question, a line with ?, answer; an empty line ends the card


def obsidian(made: Iterable[Card], title: str) -> str:
    """One note of cards."""
    blocks = [f"# {title}\n\n#flashcards/derivations"]
    blocks += ["\n".join([*map(as_markdown, one.question), "?", *map(as_markdown, one.answer)]) for one in made]
    return "\n\n".join(blocks) + "\n"


def as_markdown(line: str) -> str:
    """A line of a card in Markdown, in which nothing ends the card or its question."""
    if isinstance(line, Formula):
        return f"$${line}$$"
    rows = html.escape(line, quote=False).replace("$", "&#36;").split("\n")
    return "\n".join({"": "<br>", "?": "&#63;"}.get(row.strip(), row) for row in rows)
