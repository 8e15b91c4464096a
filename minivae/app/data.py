"""The command `data`: print what `minivae train` would read, and plot some training rows in data.png.

The commands `train` and `sweep` call `reading_of` and `say_what_was_read`.
"""

import argparse
import json

import numpy as np

from minivae import checks, data, runs
from minivae.app.progress import say
from minivae.runs.files import must_be_free

SHEET = "data.png"


def reading_of(options: argparse.Namespace) -> dict:
    """Return the options for reading a file, as keyword arguments of `data.load`. Leave out options that were not used."""
    given = {name: getattr(options, name) for name in ("label", "delimiter", "image", "transpose", "trials")}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def say_what_was_read(options: argparse.Namespace, whole: data.Dataset) -> None:
    """Print what was read, and notes and warnings, on stderr."""
    for line in (whole.about.line(), *whole.about.notes):
        say(options, line)


def show(options: argparse.Namespace) -> int:
    """Print what was read, and draw random training rows on one sheet; return the exit code."""
    from minivae import figures                             # imported here, because the import takes half a second
    from minivae.figures import style

    checks.whole_number("n", options.n, 1)
    checks.whole_number("seed", options.seed, 0)
    whole = data.load(options.data, **reading_of(options))
    sheet = options.out / SHEET
    must_be_free("--out", "a directory without an earlier sheet", [sheet], options.overwrite)
    runs.make_directory(options.out)
    figure, alt = figures.sample_sheet(whole, np.random.default_rng(options.seed), options.n)
    style.save(figure, alt, sheet)
    document = whole.about.document() | {"files": [{"path": str(sheet), "alt": alt}]}
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join([whole.about.line(), *whole.about.notes, "files", f"  {sheet}"]))
    return 0
