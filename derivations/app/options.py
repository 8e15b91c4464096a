"""Functions that commands share: check `--draws`, `--seed` and SOURCE, judge entries, print how many entries are shown.

Each function imports heavy modules when it runs, so `--help` does not import numpy or matplotlib.
"""

import argparse

from minivae.app.progress import say

MOST_DRAWS = 1_000_000                                      # more draws take minutes and gigabytes, but change no verdict


def say_count(options: argparse.Namespace, shown: list, all: list, noun: str, filters: tuple[str, ...], more: str) -> None:
    """Print the number of entries, faults or functions that are shown.

    Then print examples of filters. Also print the option `more`, such as "--all", unless `more` is "".
    """
    name = f"derivations {options.command.__name__.removesuffix('_command')}"
    count = f"{len(all)} {noun}" if len(shown) == len(all) else f"{len(shown)} of {len(all)} {noun}"
    examples = ", ".join(f"{name} {word}" for word in filters)
    say(options, f"{count}; filter: {examples}" + (f"; more: {name} {more}" if more else ""))


def known_source(name: str | None) -> str:
    """Return the name of a source, or "" for None; raise ValueError for an unknown name."""
    from derivations.engine.ledger import SOURCES
    from minivae.checks import choice

    return choice("SOURCE", name, SOURCES) if name is not None else ""


def judged_items(options: argparse.Namespace, found: list) -> list:
    """Judge the entries in `found` with the `--draws` and the `--seed` of the command line."""
    from derivations.pages import records

    return records.judged(found, *draws_and_seed(options), options.debug)


def draws_and_seed(options: argparse.Namespace) -> tuple[int, int]:
    """Check and return `--draws` and `--seed`.

    Too many draws are refused here, before an entry is judged. Otherwise NumPy would raise an error while an entry is
    judged, and the error would look like a fault of the entry.
    """
    from minivae.checks import refuse, whole_number

    if whole_number("--draws", options.draws, 1) > MOST_DRAWS:
        refuse("--draws", f"at most {MOST_DRAWS}", str(options.draws), "The default, 1000, decides every verdict.")
    return options.draws, whole_number("--seed", options.seed, 0)
