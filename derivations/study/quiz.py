"""Ask flashcards in a terminal: the return key shows the answer, and a tally ends the quiz."""

import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple, TextIO

from derivations.pages.terminal import page_width
from derivations.study.flashcards import Card, plain

KNOWN, MISSED, LEAVE = ("y", "yes"), ("n", "no"), ("q", "quit")


class Tally(NamedTuple):
    """Result of a quiz: the number of cards known, and the ids of those missed."""

    known: int
    missed: list[str]


def ask(cards: Sequence[Card], out: TextIO = sys.stdout, read: Callable[[], str] = input) -> Tally:
    """Ask the cards one after the other. Ctrl-C, the end of input and q end the quiz."""
    known, missed = 0, []

    def reply(prompt: str) -> str:
        print(prompt, end=" ", file=out, flush=True)
        if (said := read().strip().lower()) in LEAVE:
            raise EOFError
        return said

    try:
        for number, card in enumerate(cards, 1):
            print("", f"{number} of {len(cards)}", *wrapped(card.question), sep="\n", file=out)
            reply("answer: return, leave: q >")
            print("", *wrapped(card.answer), sep="\n", file=out)
            while (said := reply("did you know it? y, n, leave: q >")) not in KNOWN + MISSED:
                pass
            known += said in KNOWN
            missed += [card.id] * (said in MISSED)
    except (EOFError, KeyboardInterrupt):
        print(file=out)
    return Tally(known, missed)


def wrapped(lines: Sequence[str]) -> list[str]:
    """Lines of a card, wrapped at the page width."""
    whole_words, made = {"break_long_words": False, "break_on_hyphens": False}, []
    for line in plain(lines):
        more = " " * 6 if line.startswith(" ") else ""
        made += textwrap.wrap(line, page_width(), subsequent_indent=more, **whole_words)
    return made
