"""Check a changed copy of minivae with the ledger: compare its functions with the formulas of the entries.

A tie is a comparison in an entry: it calls a function of minivae, and the result must equal the last side of the entry.
For each changed copy of minivae, the entries are loaded again, so that their ties call this copy. The sides are computed
only once, with the original entries.
"""

import functools
import sys
from collections.abc import Sequence
from types import FrameType, SimpleNamespace
from typing import NamedTuple

from derivations.engine import ledger
from derivations.engine.equation import Entry, Tie
from derivations.engine.judge import Computed, Run, tied_link
from minivae.museum.patched import SUFFIX, Change, load
from minivae.museum.problems import Noticed

DRAWS = 10                                                  # number of draws: enough to show a bug


class Failure(NamedTuple):
    """A function of minivae that raises an error, or whose result differs from the last side of an entry."""

    id: str                     # id of the entry
    number: int                 # index of the comparison in the entry's list `ties`
    name: str                   # name of the function
    words: str                  # a text with the error, or with both numbers (see `failure_of`)


def ties(copy: SimpleNamespace) -> None:
    """Raise Noticed if a tie fails. The error names the function that is probably faulty.

    A tie fails if its call raises an error, or if its result differs from the last side of the entry.
    """
    if failing := failures(entries_of(copy.changes)):
        first, *others = blamed(failing)
        shown = next((one for one in failing if one.name == first), failing[0])
        more = f"; or the fault is in {', '.join(others)}" if others else ""
        raise Noticed(f"{shown.id}: {first} gives {shown.words}{more}")


def entries_of(changes: Sequence[Change]) -> dict[str, Entry]:
    """Load the entries again, so that they call a copy of minivae with these changes."""
    return load(["derivations.engine.equation", *sources()], changes)["derivations.engine.equation"].LEDGER


def failures(entries: dict[str, Entry]) -> list[Failure]:
    """Return the ties that fail when they call a changed copy of minivae.

    If the changed copy raises an error, the tie fails: with the correct minivae, no tie raises an error.
    """
    failing = []
    for id, statement in computed().items():
        words = {}                                          # if several ties share a function, call it only once
        for number, tie in enumerate(entries[id].ties):
            if (tie.function, tie.draws) not in words:
                words[tie.function, tie.draws] = failure_of(entries[id], statement.random[0], tie)
            if words[tie.function, tie.draws]:
                failing.append(Failure(id, number, tie.name, words[tie.function, tie.draws]))
    return failing


def failure_of(entry: Entry, run: Run, tie: Tie) -> str:
    """Call the function of a tie, and compare its result with the last side of the entry.

    Return "" if the two agree, otherwise a text with both numbers. If the call raises an error, return the error as a text.
    """
    try:
        link = tied_link(entry, run, tie)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if link.ok else f"{link.right:.4g}, the statement {link.left:.4g}"


def blamed(failing: list[Failure]) -> list[str]:
    """Return the tied functions that best explain the failures.

    A tie is named after one function of minivae, but the fault can be in another function that the tie calls. So count, for
    each function, the failing ties in which the function runs. Return the function with the largest count. If several
    functions have this count, count for each of them all ties in which the function runs, failing or not. Return the
    function with the smallest number of ties, or all functions with this number.
    """
    ran = functions_run()
    failed = [ran[one.id, one.number] for one in failing]
    names = dict.fromkeys(tie.name for entry in ledger.entries() for tie in entry.ties)
    score = {name: (sum(name in run for run in failed), -sum(name in run for run in ran.values())) for name in names}
    best = max(score.values())
    return [name for name in names if score[name] == best]


@functools.cache
def functions_run() -> dict[tuple[str, int], set[str]]:
    """Return {(id of the entry, index of the tie): names of all minivae functions that run in a call of the tie}.

    To find these functions, call each tie with an unchanged copy of minivae.
    """
    entries, copy = entries_of(()), f"minivae{SUFFIX}."
    found = {}
    for id, statement in computed().items():
        for number, tie in enumerate(entries[id].ties):
            ran = found[id, number] = set()

            def record(frame: FrameType, event: str, _: object, ran: set = ran) -> None:
                module = frame.f_globals.get("__name__", "")
                if event == "call" and module.startswith(copy):
                    ran.add(f"minivae.{module.removeprefix(copy)}.{frame.f_code.co_qualname}")

            before = sys.getprofile()
            sys.setprofile(record)
            try:
                tied_link(entries[id], statement.random[0], tie)
            finally:
                sys.setprofile(before)
    return found


@functools.cache
def computed() -> dict[str, Computed]:
    """Return {id: computed sides} for all entries with ties. All comparisons with copies of minivae use the cached sides."""
    return {entry.id: stated(entry) for entry in ledger.entries() if entry.ties}


def stated(entry: Entry) -> Computed:
    """Compute the sides of the second form of the entry's last row. Without a second form, use the printed form."""
    return Computed(entry.rows[-1].repair or entry.printed, entry.tolerance, DRAWS, 0)


@functools.cache
def sources() -> tuple[str, ...]:
    """Return the names of the modules that contain entries with ties."""
    tied = {entry.ties[0].function.__module__ for entry in ledger.entries() if entry.ties}
    return tuple(name for name in sys.modules if name in tied)      # in the order in which the modules were first imported
