"""A quiz of flashcards in a terminal: the return key shows the answer; then the user says if the answer was known."""

import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple, TextIO

from derivations.pages.terminal import page_width
from derivations.study.flashcards import Card, plain

KNOWN, MISSED, LEAVE = ("y", "yes"), ("n", "no"), ("q", "quit")


class Tally(NamedTuple):
    """Result of a quiz: the number of known cards, and the ids of the missed cards."""

    known: int
    missed: list[str]


def ask(cards: Sequence[Card], out: TextIO = sys.stdout, read: Callable[[], str] = input) -> Tally:
    """Ask one card after another. The quiz stops at the reply `q`, at Ctrl-C, or when the input ends."""
    known, missed = 0, []

    def reply(prompt: str) -> str:
        print(prompt, end=" ", file=out, flush=True)
        if (answer := read().strip().lower()) in LEAVE:
            raise EOFError
        return answer

    try:
        for number, card in enumerate(cards, 1):
            print("", f"{number} of {len(cards)}", *wrapped(card.question), sep="\n", file=out)
            reply("press return for the answer, q to quit >")
            print("", *wrapped(card.answer), sep="\n", file=out)
            while (answer := reply("did you know it? y or n, q to quit >")) not in KNOWN + MISSED:
                pass
            known += answer in KNOWN
            missed += [card.id] * (answer in MISSED)
    except (EOFError, KeyboardInterrupt):
        print(file=out)
    return Tally(known, missed)


def wrapped(lines: Sequence[str]) -> list[str]:
    """Wrap the lines of a card at the page width."""
    whole_words, made = {"break_long_words": False, "break_on_hyphens": False}, []
    for line in plain(lines):
        more = " " * 6 if line.startswith(" ") else ""
        made += textwrap.wrap(line, page_width(), subsequent_indent=more, **whole_words)
    return made
