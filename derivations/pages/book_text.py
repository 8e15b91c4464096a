"""Sentences, points and numbers of the ledger as markup."""

import re
from collections.abc import Iterable
from functools import cache

import numpy as np

from derivations.engine import ledger
from derivations.engine.domains import Symbol, as_drawn
from derivations.pages.errata import DIGITS
from derivations.pages.html import Html, escaped, link, listed, markup
from derivations.pages.mathml import math
from derivations.pages.terminal import value_text
from derivations.pages.unicode import GREEK, latex_sides, unicode
from derivations.study.trace import ID

LETTERS = GREEK | {"eps": "ε"}
GREEK_NAME = "|".join(sorted(LETTERS, key=len, reverse=True))
LETTER = re.compile(rf"(?<![\w.])(?:({GREEK_NAME})(?:_(\w+))?|([^\W\d_])_(\w+))(?!\w)")
SIGNS = (                                                   # (pattern of the typed text, printed text)
    (r"\bl\.(\d+)-(\d+)", r"text lines \1 to \2"), (r"\bl\.(\d+)", r"text line \1"), (r"\b([a-z])~", "\\1\u0303"),
    (r"\b([a-z])\^(?![\w(])", "\\1\u0302"), (r"\^(?:(\d+|[A-Za-z]\b)|\(([^()]*)\))", r"<sup>\1\2</sup>"),
    (r"\|\|", "‖"), (r"&lt;=", "≤"), (r"&gt;=", "≥"),
)  # fmt: skip
DUST = 1e-14                                                # numbers below DUST * (the largest number) are rounding errors


@cache
def ids() -> set[str]:
    """Return the ids of all entries and rows."""
    return {id for entry in ledger.entries() for id in (entry.id, *(row.id for row in entry.rows))}


def prose(text: str) -> Html:
    """Return a sentence as HTML: sigma_q becomes σ<sub>q</sub>, l.52 becomes text line 52, and an id becomes a link."""
    text = escaped(text)
    for typed, printed in SIGNS:
        text = re.sub(typed, printed, text)
    text = LETTER.sub(indexed, text)
    return Html(ID.sub(lambda found: link(found[0]) if found[0] in ids() else found[0], text))


def indexed(found: re.Match) -> str:
    """Return a letter with its index as a subscript."""
    letter, index = found[1] or found[3], found[2] or found[4]
    return LETTERS.get(letter, letter) + (f"<sub>{LETTERS.get(index, index)}</sub>" if index else "")


def point_markup(values: dict, known: dict[str, Symbol]) -> Html:
    """Return a point with the letters of the source: σ = 2."""
    texts = {name: value_text(np.squeeze(as_drawn(value)), DIGITS) for name, value in values.items()}
    return listed(markup(math(known[name].latex), f"\u00a0=\u00a0{text}") for name, text in texts.items())


def number_texts(sides: Iterable[np.ndarray]) -> list[str]:
    """Return the numbers of each side of a formula as text, with few digits.

    A number is written as 0 if it is smaller than DUST * (the largest number); signs are ignored.
    """
    sides = [np.asarray(side, float) for side in sides]
    largest = max((np.abs(side[np.isfinite(side)]).max(initial=0) for side in sides), default=0)
    return [value_text(np.where(np.abs(side) < DUST * largest, 0, side), DIGITS) for side in sides]


def numbers_in_line(latex: str, sides: list[np.ndarray]) -> str:
    """Return the numbers of all sides with the relations of the formula, such as "0.5 = 0.25" for a false formula."""
    relations, texts = [unicode(relation) for relation, _ in latex_sides(latex)], number_texts(sides)
    if len(texts) != len(relations):                        # the formula has more or fewer sides than values
        return "   ".join(texts)
    return " ".join(f"{relation} {text}".strip() for relation, text in zip(relations, texts))
