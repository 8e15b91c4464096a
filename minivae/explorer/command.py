"""The command `minivae explore`: write the page of a run.

Modules that import NumPy are imported when the command runs: `minivae --help` must not import NumPy.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from minivae.app.options import add_place

if TYPE_CHECKING:
    from minivae.data import Dataset

ABOUT = """Write one page that shows the latent space of a run in a browser, offline. Move through the codes and see the
decoded images. For one or two latent dimensions, compare the exact posterior of a held-out data point with the
encoder's Gaussian."""
FILE = "explorer.html"                                      # same as EXPLORER in evidence.py, but without importing NumPy


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of explore."""
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page to write (default: RUN/{FILE})")
    rows = "show the first N held-out data points (default: at most 500, evenly spaced)"
    parser.add_argument("--rows", type=int, metavar="N", help=rows)
    parser.add_argument("--overwrite", action="store_true", help="with --out: replace an earlier page")
    add_place(parser)


def explore_command(options: argparse.Namespace) -> int:
    """Write the page of a run; print its path and how to use it."""
    from minivae import checks, runs
    from minivae.app.progress import say
    from minivae.app.run_data import data_of
    from minivae.app.typed import held_out_points
    from minivae.explorer.build import build, evidence_for
    from minivae.runs.files import must_be_free, write_atomically

    if options.rows is not None:
        checks.whole_number("--rows", options.rows, 1)
    run = runs.read(options.run)
    if not run.vae.noise:
        remedy = "It has no q(z|x) to show; train without --autoencoder."
        checks.refuse("RUN", "a model with noise", "a plain autoencoder", remedy)
    out = options.out or run.path / FILE
    must_be_free("--out", "a new file", [out], options.overwrite or options.out is None)
    runs.make_directory(out.parent, "the directory of --out")
    data, step = rows_of(data_of(run, options.data), options.rows)
    say(options, f"evaluating {held_out_points(len(data.test_x))}; --rows N evaluates fewer")
    page = build(run.vae, data, run.path.resolve().name, evidence_for(run.vae, data.test_x), step)
    with write_atomically(out, "w") as file:
        file.write(page)
    document = {"file": str(out), "bytes": len(page.encode()), "rows": len(data.test_x)}
    print(json.dumps(document, indent=2) if options.json else out)
    say(options, f"{document['bytes'] / 1000:.0f} kB; open it in any browser, also offline")
    return 0


def rows_of(data: "Dataset", rows: int | None) -> tuple["Dataset", int]:
    """Leave out the held-out rows that are not shown. Return the data, and the step from a shown row to the next.

    The first `rows` rows are shown. Without `rows`, at most 500 evenly spaced rows are shown.
    """
    from dataclasses import replace

    from minivae.explorer.build import ROWS

    if rows is None:
        return data.few(ROWS), data.step(ROWS)
    return replace(data, test_x=data.test_x[:rows], test_y=None if data.test_y is None else data.test_y[:rows]), 1
