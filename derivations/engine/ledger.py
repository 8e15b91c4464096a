"""The search for entries: the sources, their entries in printed order, and the entries and rows that an id names."""

import difflib
import importlib
from typing import NamedTuple

from derivations.engine.equation import LEDGER, Entry, Row

SOURCES = {                                                 # {name of the source: its author, title or description}
    "odaibo": "Odaibo",
    "lm": "LM",
    "hong": "Hong",
    "cards": "Machine Learning Research Flashcards",
    "beyond": "steps that the sources leave out",
}


class Found(NamedTuple):
    """An entry, and the rows that were found in it."""

    entry: Entry
    rows: list[Row]


def load() -> None:
    """Import all sources. The import of a source adds its entries to LEDGER."""
    for source in SOURCES:
        importlib.import_module(f"derivations.{source}")


def source_of(entry: Entry) -> str:
    """Return the name of the entry's source, such as "odaibo" for odaibo.40."""
    return entry.id.split(".")[0]


def entries(source: str = "") -> list[Entry]:
    """Return the entries of one source, or the entries of all sources in the order of SOURCES."""
    load()
    wanted = [entry for entry in LEDGER.values() if source in ("", source_of(entry))]
    return sorted(wanted, key=lambda entry: list(SOURCES).index(source_of(entry)))


def find(name: str) -> list[Found]:
    """Find the entries and rows for an id: the id of a row, the id of an entry, or the name of a source."""
    if name in SOURCES:
        return [Found(entry, entry.rows) for entry in entries(name)]
    everything = entries()
    for entry in everything:
        if name == entry.id:
            return [Found(entry, entry.rows)]
        if mine := [row for row in entry.rows if row.id == name]:
            return [Found(entry, mine)]
    ids = [id for entry in everything for id in (entry.id, *(row.id for row in entry.rows))]
    known = [*SOURCES, *dict.fromkeys(ids)]
    near = difflib.get_close_matches(name, known, 3, 0.6) or difflib.get_close_matches(name, known, 1, 0)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See `derivations list`."
    raise ValueError(f"ID must be an id of the ledger; got {name!r}. {hint}")


def find_all(names: list[str]) -> list[Found]:
    """Find the entries and rows for several ids, each only once and in printed order. Without ids, find all entries."""
    if not names:
        return [Found(entry, entry.rows) for entry in entries()]
    wanted = {row.id for name in names for found in find(name) for row in found.rows}
    chosen = [Found(entry, [row for row in entry.rows if row.id in wanted]) for entry in entries()]
    return [found for found in chosen if found.rows]
