"""Check the error that `exact_log_px` reports: compare its values with an independent adaptive integration.

    python -m tests.benchmarks.exact [--seeds N] [--first SEED] [--rows N] [--accuracy A] [--mnist FOLDER] [--only NAME ...]

`minivae train` trains every model. The comparison uses all held-out data (with MNIST: 150 images). `--rows N` chooses N
evenly spaced held-out data points. For the model `relu`, one seed with all 355 held-out digits takes 20 minutes; with
`--accuracy 1e-5`, one seed takes 4 minutes.

Columns of the table:
    log p(x)    mean over the data, nats
    reported    the largest error that `exact_log_px` reports
    off         the largest difference between `exact_log_px` and the reference
    off / err   the largest of the ratios difference / (reported error + accuracy), one for each datum; must be at most 1
    s           seconds of `exact_log_px`

The reference divides a square (for J = 1, an interval) into cells and integrates p(x, z) over each cell with a product
of Gauss-Legendre rules. It divides a cell again while the integral over the cell differs from the sum over its quarters
(for J = 1, halves). `exact_log_px` uses other nodes and another stopping rule.

The exit code is 1 if off / err exceeds 1.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minivae import runs
from minivae.app import cli
from minivae.app import train as app_train
from minivae.app.run_data import data_of
from minivae.evidence import exact_log_px
from minivae.gaussian import log_standard_normal
from minivae.ops import log_sum_exp

# Allowed relative error of p(x). A cell is divided until one more division changes p(x) by at most p(x) * ACCURACY / 100.
ACCURACY = 1e-7
CELLS = 32                                                  # number of cells per axis before the first division
# A cell is dropped if its highest log p(x, z) is more than FAR nats below the maximum over the remaining cells.
FAR_AT_FIRST, FAR = 100, 45                                 # before the first division, FAR_AT_FIRST is used instead of FAR
DEEPEST = 14                                                # largest number of divisions of a cell
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)        # for integrals over (-1, 1)

MODELS = {
    "default": "",
    "relu": "--activation relu",
    "gaussian learned": "--likelihood gaussian --sigma learned",
    "gaussian fixed": "--likelihood gaussian --sigma 0.2",
    "J = 1": "--latent 1",
    "iwae": "--objective iwae --samples 5",
}


def reference(vae, x, accuracy: float = ACCURACY) -> np.ndarray:
    """Return log p(x) of every datum, (N,), by adaptive numerical integration over one or two latent dimensions."""
    vae = vae.astype(np.float64)
    half = (8 + np.abs(vae.encode(x)[0]).max()) / CELLS
    centres = grid(half * np.arange(1 - CELLS, CELLS, 2), vae.latent)                       # (cells, J)
    parts = [x[start : start + 20] for start in range(0, len(x), 20)]
    first = [cells(vae, part, centres, half) for part in parts]                             # the same cells for every x
    values, top = (np.concatenate(column, axis=1).T for column in zip(*first))              # both (N, cells)
    return np.array([integrate(vae, row[None], centres, half, *each, accuracy) for row, *each in zip(x, values, top)])


def integrate(vae, row, centres, half, values, top, accuracy) -> float:
    """Return log p(x) of one datum. For each cell, `values` has the log integral, and `top` the highest log p(x, z).

    A node of a cell can hit a narrow mode that no node of the cell's quarters (for J = 1, halves) hits. So all quarters of
    one cell get the same `top`: the maximum of the cell's own `top` and of log p(x, z) at all nodes of the quarters.
    """
    J, done, far = vae.latent, [], FAR_AT_FIRST
    for _ in range(DEEPEST):
        near = top > top.max() - far
        centres, values, top, half, far = centres[near], values[near], top[near], half / 2, FAR
        quarters = (centres[:, None] + half * grid(np.array([-1.0, 1.0]), J)).reshape(-1, J)
        finer, found = (each.reshape(-1, 2**J) for each in cells(vae, row, quarters, half))     # (cells, quarters)
        top = np.maximum(top, found.max(axis=1))                                            # (cells,)
        sums = log_sum_exp(finer, axis=1)                                                   # (cells,)
        total = log_sum_exp(np.concatenate([*done, sums]))
        agree = np.abs(np.exp(sums - total) - np.exp(np.minimum(values - total, 700))) <= accuracy / 100
        done.append(sums[agree])
        split = np.repeat(~agree, 2**J)
        centres, values, top = quarters[split], finer[~agree].ravel(), np.repeat(top[~agree], 2**J)
        if not len(centres):
            return float(total)
    return float(log_sum_exp(np.concatenate([*done, values])))


def cells(vae, x, centres, half):
    """Return the log integral of p(x, z) over every cell and the highest log p(x, z) at its nodes, (cells, N) each."""
    J = centres.shape[1]
    log_weights = np.log(half * grid(WEIGHTS, J)).sum(axis=1)[:, None]                      # (nodes, 1)
    values, top = [], []
    for start in range(0, len(centres), 64):
        z = centres[start : start + 64, None] + half * grid(NODES, J)                       # (cells, nodes, J)
        nodes = z.reshape(-1, 1, J)
        log_joint = (vae.log_likelihood(x, nodes) + log_standard_normal(nodes)).reshape(*z.shape[:2], len(x))
        values.append(log_sum_exp(log_joint + log_weights, axis=1))
        top.append(log_joint.max(axis=1))
    return np.concatenate(values), np.concatenate(top)


def grid(points, J):
    """Return all J-tuples of the n numbers in `points`, (n^J, J)."""
    return np.stack(np.meshgrid(*[points] * J, indexing="ij"), axis=-1).reshape(-1, J)


def trained(words: list[str], folder: Path, rows: int | None):
    """Train a model with `minivae train`; return the model and the held-out data for the comparison."""
    if cli.main(["train", *words, "-q", "--out", str(folder / "run"), "--overwrite"]):
        raise SystemExit("the training failed")
    run = runs.read(folder / "run")
    data = data_of(run)
    return run.vae, data.few(rows or len(data.test_x)).test_x


def nothing(*_) -> list:
    """Return an empty list, in place of a list of figure files."""
    return []


def main(arguments=None) -> int:
    """Print the table; return 1 if a difference is larger than the reported error plus the accuracy of the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--rows", type=int, help="number of held-out data for the comparison")
    parser.add_argument("--accuracy", type=float, default=ACCURACY, help="allowed relative error of the reference p(x)")
    parser.add_argument("--mnist", help="folder with the four IDX files")
    parser.add_argument("--only", nargs="*", choices=MODELS, default=list(MODELS))
    options = parser.parse_args(arguments)
    for name in ("draw_model", "draw_training", "explore", "report"):                   # no figures and no output
        setattr(app_train, name, nothing)
    data, rows = (["--data", options.mnist, "--epochs", "5"], 150) if options.mnist else ([], None)
    rows = options.rows or rows
    print(f"{'model':18} seed   log p(x)  reported       off  off / err      s")
    worst = 0.0
    for name in options.only:
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                vae, x = trained([*MODELS[name].split(), "--seed", str(seed), *data], Path(folder), rows)
            begun = time.perf_counter()
            found = exact_log_px(vae, x)
            seconds = time.perf_counter() - begun
            off = np.abs(found.log_px - reference(vae, x, options.accuracy))
            ratio = (off / (found.error + options.accuracy)).max()
            worst = max(worst, ratio)
            numbers = f"{found.log_px.mean():10.3f} {found.error.max():9.1e} {off.max():9.1e} {ratio:10.2f} {seconds:6.2f}"
            print(f"{name:18} {seed:4} {numbers}", flush=True)
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
