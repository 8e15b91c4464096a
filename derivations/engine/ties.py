"""The ledger looks at a copy of minivae: each function that an entry is tied to, against what the entry says.

The entries are copied as well, so that they call the copy; what they say is computed once, by the ledger itself.
"""

import functools
import sys
from types import SimpleNamespace

from derivations.engine import ledger
from derivations.engine.equation import Entry
from derivations.engine.judge import Computed, tied_links
from minivae.museum.patched import load
from minivae.museum.problems import insist

DRAWS = 10                                                  # of every letter: a bug is no rare event


def ties(copy: SimpleNamespace) -> None:
    """Raise Noticed with the first tied function that is not what its statement says."""
    right = computed()
    modules = load(["derivations.engine.equation", *sources()], copy.changes)
    entries = modules["derivations.engine.equation"].LEDGER
    for id, statement in right.items():
        for name, link in tied_links(entries[id], statement):
            insist(link.ok, f"{id}: {name} gives {link.right:.4g}, the statement {link.left:.4g}")


@functools.cache
def computed() -> dict[str, Computed]:
    """What every tied entry says, at the same draws for all copies."""
    return {entry.id: stated(entry) for entry in ledger.entries() if entry.ties}


def stated(entry: Entry) -> Computed:
    """The form of an entry that holds, computed."""
    return Computed(entry.rows[-1].repair or entry.printed, entry.tolerance, DRAWS, 0)


@functools.cache
def sources() -> tuple[str, ...]:
    """The modules that make tied entries."""
    tied = {entry.ties[0].function.__module__ for entry in ledger.entries() if entry.ties}
    return tuple(name for name in sys.modules if name in tied)      # in the order in which they were first imported
