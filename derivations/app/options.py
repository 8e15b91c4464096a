"""Functions that several commands of the ledger use: `--draws` and `--seed`, judgements, a source, the count at the end.

Heavy modules are imported inside the functions: `--help` needs neither numpy nor matplotlib.
"""

import argparse

from minivae.app.progress import say

MOST_DRAWS = 1_000_000                                      # more take minutes and gigabytes and decide nothing


def say_count(options: argparse.Namespace, shown: list, all: list, noun: str, filters: tuple[str, ...], more: str) -> None:
    """Say how many were printed, how to filter them, and which option prints more."""
    name = f"derivations {options.command.__name__.removesuffix('_command')}"
    count = f"{len(all)} {noun}" if len(shown) == len(all) else f"{len(shown)} of {len(all)} {noun}"
    examples = ", ".join(f"{name} {word}" for word in filters)
    say(options, f"{count}; filter: {examples}" + (f"; more: {name} {more}" if more else ""))


def known_source(name: str | None) -> str:
    """The name of a source; "" for all."""
    from derivations.engine.ledger import SOURCES
    from minivae.checks import choice

    return choice("SOURCE", name, SOURCES) if name is not None else ""


def judged_items(options: argparse.Namespace, found: list) -> list:
    """The judgements of these entries, at the draws and the seed of the command line."""
    from derivations.pages import records

    return records.judged(found, *draws_and_seed(options), options.debug)


def draws_and_seed(options: argparse.Namespace) -> tuple[int, int]:
    """`--draws` and `--seed`, checked here: running out of memory later would look like a fault of an entry."""
    from minivae.checks import refuse, whole_number

    if whole_number("--draws", options.draws, 1) > MOST_DRAWS:
        refuse("--draws", f"at most {MOST_DRAWS}", str(options.draws), "The default, 1000, decides every verdict.")
    return options.draws, whole_number("--seed", options.seed, 0)
