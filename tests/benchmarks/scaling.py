"""Growth of time and memory with the amount of work: measured, fitted, and compared with theory.

    python -m tests.benchmarks.scaling [--threads N] [--seconds S] [--only NAME ...] [--json]    (under three minutes)

Each table increases one size and keeps the others. The output begins with the machine, the software and the model's sizes.

Each line has the name of a table, the measured work and, after "by", the size that increases:
    batch           a training step (noise, forward, backward, Adam; Bernoulli, float32), by rows of the batch
    width           a training step, by units of the hidden layer
    depth           a training step, by hidden layers of each network
    draws           a training step, by draws of z per datum
    epoch           an epoch of `minivae.train.Training`, by training rows; the held-out rows are a fifth of this number
    evidence        `minivae.lower_bounds`, by draws k: its time, and the peak memory of a separate process
    ledger          a check of all entries of the ledger, by draws

Columns of a table:

    ms, s, MiB      median over the rounds
    25 %..75 %      first and third quartile of the rounds; "-" if there is only one round
    exponent        the p in value = c n^p, computed from the previous row and this one

The lines below each table show the exponent p that is fitted to several rows (the slope of log value against log n, by
least squares), the range of the fit, the bound (the largest accepted p) and the theory. The fit uses only rows in which
constant costs (function calls, Adam, layers that do not grow) are less than half of the total. In these rows, constant
costs make the fitted p a little smaller. In the table `depth`, costs that do not depend on the depth are large in every
row. Therefore the fit subtracts the first row of the table from each row. The theory and every exponent p of this table
belong to the formula `value(n) - value(first) = c (n - first)^p`.

The exit code is 1 if a fitted exponent p is above its bound or cannot be computed. Every bound is a little larger than the
exponent in the theory, because noise and arrays that do not fit into a cache can make the fitted exponent larger. If a
cost grows clearly faster than the theory says, its fitted exponent is above the bound. Other programs on the same core
can make the fitted exponent too small or too large.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minivae.data import Dataset
from minivae.train import Training
from minivae.vae import VAE
from tests.benchmarks import evidence, ledger, timing
from tests.benchmarks.model import LR, Minivae, Size, Start

MODEL = Size((784, 400, 20), "relu", 128)
EVIDENCE_ROWS = 100
LINEAR = 1.15                                               # largest accepted exponent of a linear cost


@dataclass(frozen=True)
class Growth:
    """The expected growth of one column: value = c n^p for n >= start, and the largest p that passes the check."""

    theory: str
    start: int
    bound: float = LINEAR
    above_first: bool = False                               # if True: value(n) - value(first) = c (n - first)^p

    def points(self, values: dict[int, float]) -> dict[int, float]:
        """Return {n: value} for the fit.

        If `above_first` is True, subtract n and value of the first row from all rows. Leave out rows without a positive
        difference of the values; noise can make a difference negative.
        """
        if not self.above_first:
            return values
        first, base = next(iter(values.items()))
        return {n - first: value - base for n, value in values.items() if value > base}


@dataclass(frozen=True)
class Table:
    """Measurements of one kind: `measure(sizes, rounds, seconds)` returns {column: {n: one value per round}}."""

    title: str
    n: str                                                  # heading of the column with the size n
    sizes: tuple[int, ...]
    measure: Callable[[tuple[int, ...], int, float], dict[str, dict[int, list[float]]]]
    growth: dict[str, Growth]
    rounds: int = 5


# Measurements


def sized(axis: str, n: int) -> Size:
    """Return MODEL with one size changed to n: rows per batch, units per hidden layer, hidden layers, or draws of z."""
    features, hidden, latent = MODEL.widths
    changed = {
        "batch": {"batch": n},
        "width": {"widths": (features, n, latent)},
        "depth": {"widths": (features, *[hidden] * n, latent)},
        "draws": {"draws": n},
    }
    return replace(MODEL, **changed[axis])


def step_times(axis: str) -> Callable:
    """Return a function that measures the milliseconds of a training step at several values of the size named `axis`."""

    def measure(sizes, rounds, seconds):
        contenders = {n: Minivae(Start(sized(axis, n))) for n in sizes}
        times = timing.interleave(contenders, rounds, seconds)
        return {"ms": {n: [1e3 * each for each in taken] for n, taken in times.items()}}

    return measure


class Epochs:
    """Contender for `timing`: one step is one training epoch."""

    def __init__(self, rows: int):
        rng = np.random.default_rng(0)
        features, *hidden, latent = MODEL.widths
        self.first = VAE.init(rng, features, latent, hidden, activation=MODEL.activation)
        held_out = math.ceil(rows / 5)
        x = rng.integers(0, 2, (rows + held_out, features), np.uint8)
        self.data = Dataset("random", x[:rows], x[rows:])
        self.restart()

    def restart(self):
        vae = replace(self.first, params=self.first.params.copy())
        settings = {"epochs": sys.maxsize, "batch": MODEL.batch, "lr": LR}
        self.training = Training(vae, self.data, np.random.default_rng(0), **settings).steps()

    def steps(self, count):
        for _ in range(count):
            while next(self.training) is None:              # `next` returns a Record after the last mini-batch
                pass


def epoch_times(sizes, rounds, seconds):
    """Return seconds per epoch. One epoch is long enough to be timed, so a turn (see `timing.interleave`) needs only one."""
    times = timing.interleave({n: Epochs(n) for n in sizes}, rounds, seconds, least=1)
    return {"s": times}


def evidence_costs(sizes, rounds, seconds):
    """Measure seconds and peak memory of `lower_bounds` in new processes. The argument `seconds` is not used."""
    found = {"s": {k: [] for k in sizes}, "MiB": {k: [] for k in sizes}}
    for _ in range(rounds):
        for k in sizes:
            once = evidence.peak_alone(k, EVIDENCE_ROWS, MODEL.widths[0])
            found["s"][k].append(once["seconds"])
            found["MiB"][k].append(once["MiB"])
    return found


def ledger_times(sizes, rounds, seconds):
    """Return the time of a check of the whole ledger, in seconds. The argument `seconds` is not used."""
    return {"s": ledger.seconds_of_checks(sizes, rounds)}


OF_STEP = "a training step"
TABLES = {
    "batch": Table(
        OF_STEP, "batch", (1, 4, 16, 64, 256, 1024, 4096), step_times("batch"),
        {"ms": Growth("linear, p = 1: every row passes through the same products; Adam runs once per step", 256)},
    ),
    "width": Table(
        OF_STEP, "hidden", (32, 64, 128, 256, 512, 1024, 2048), step_times("width"),
        {"ms": Growth("linear, p = 1: with one hidden layer of H units, the weights are D H + H 2J and J H + H D;\n"
                      "a second one would add H^2; likelihood and noise do not grow with H", 256)},
    ),
    "depth": Table(
        OF_STEP, "layers", (1, 2, 3, 4, 5, 6), step_times("depth"),
        {"ms": Growth("affine, p = 1 of the differences: each added layer costs two products H x H, one per network;\n"
                      "the first and last layers (D H + H 2J, J H + H D) always matter",
                      1, above_first=True)},
    ),
    "draws": Table(
        OF_STEP, "draws", (1, 2, 4, 8, 16, 32), step_times("draws"),
        {"ms": Growth("linear, p = 1: all draws pass through the decoder; the encoder and Adam run once", 8)},
    ),
    "epoch": Table(
        "an epoch", "rows", (1000, 2000, 4000, 8000, 16000, 32000), epoch_times,
        {"s": Growth("linear, p = 1: N / B steps of equal cost, and one evaluation of every held-out row", 1000)},
    ),
    "evidence": Table(
        f"lower_bounds of {EVIDENCE_ROWS} data", "k", (10, 30, 100, 300, 1000, 3000, 10000), evidence_costs,
        {"s": Growth("linear, p = 1: every draw passes through the decoder", 300),
         "MiB": Growth("constant, p = 0: draws are processed in chunks, which are full from about 25 draws on; storing\n"
                       "a float64 for each draw and datum gives p = 0.02; for each coordinate of z, p > 0.2", 100, 0.01)},
        rounds=3,
    ),
    "ledger": Table(
        "a check of the ledger", "draws", tuple(n for n in ledger.DRAWS if n <= ledger.STEADY), ledger_times,
        {"s": Growth("linear, p = 1: entries are judged at every draw; other costs are constant", ledger.GROWING)},
        rounds=2,
    ),
}  # fmt: skip


# Fits and tables


def rows_of(values: dict[int, list[float]], growth: Growth) -> list[dict]:
    """Return one dict for each n: n, quartiles, median, and the exponent of growth from the previous row to this row."""
    medians = {n: statistics.median(each) for n, each in values.items()}
    points, first = growth.points(medians), min(medians) if growth.above_first else 0
    rows, before = [], None
    for n, each in values.items():
        low, middle, high = timing.quartiles(each) if len(each) > 1 else (None, each[0], None)
        row = {"n": n, "25": low, "median": middle, "75": high, "exponent": None}
        here = n - first
        if here in points:
            if before is not None:
                row["exponent"] = timing.exponent({m: points[m] for m in (before, here)})
            before = here
        rows.append(row)
    return rows


def fitted(values: dict[int, list[float]], growth: Growth) -> float:
    """Return the exponent fitted to the medians, or NaN if the fit has fewer than two points.

    `NaN <= bound` is False, so a NaN counts as an exponent above its bound.
    """
    points = growth.points({n: statistics.median(each) for n, each in values.items()})
    return timing.exponent(points, growth.start) if sum(n >= growth.start for n in points) > 1 else math.nan


def measured(table: Table, seconds: float) -> dict[str, dict]:
    """Measure a table and return {column: dict}. The keys of each dict are:

    rows        the rows of the table, from `rows_of`
    exponent    the fitted exponent
    from, to    the range of the fit: the smallest and the largest n
    bound       the largest accepted exponent
    kept        True if the fitted exponent is at most `bound`
    """
    found = {}
    for column, values in table.measure(table.sizes, table.rounds, seconds).items():
        growth = table.growth[column]
        p = fitted(values, growth)
        found[column] = {
            "rows": rows_of(values, growth),
            "exponent": p,
            "from": growth.start + (min(values) if growth.above_first else 0),
            "to": max(values),
            "bound": growth.bound,
            "kept": p <= growth.bound,
        }
    return found


def print_table(table: Table, found: dict[str, dict]) -> None:
    for column, result in found.items():
        growth = table.growth[column]
        print(f"\n{table.title}, by {table.n}")
        print(f"  {table.n:>8} {column:>10} {'25 %..75 %':>19} {'exponent':>9}")
        for row in result["rows"]:
            spread = "-" if row["25"] is None else f"{row['25']:.3f}..{row['75']:.3f}"
            p = "" if row["exponent"] is None else f"{row['exponent']:.2f}"
            print(f"  {row['n']:8,} {row['median']:10.3f} {spread:>19} {p:>9}".rstrip())
        of = f"{column} - {column} of the first" if growth.above_first else column
        over = f"fitted from {result['from']:,} to {result['to']:,}; bound {growth.bound}"
        print(f"  {of} ~ {table.n} ^ {result['exponent']:.3f}, {over}", flush=True)
        print("  theory: " + growth.theory.replace("\n", "\n  "))


def run(tables: dict[str, Table], seconds: float, threads: int, as_json: bool = False) -> int:
    """Measure and print all tables; return 1 if an exponent is above its bound or NaN."""
    result = {"environment": timing.environment(threads) | {"model": str(MODEL)}, "tables": {}}
    if not as_json:
        print(*(f"{key:8} {value}" for key, value in result["environment"].items()), sep="\n", flush=True)
    faults = []
    for name, table in tables.items():
        result["tables"][name] = found = measured(table, seconds)
        if not as_json:
            print_table(table, found)
        for column, each in found.items():
            if not each["kept"]:
                grows = f"{column} grows with exponent {each['exponent']:.3f}"
                faults.append(f"{name}: {grows}, above its bound {each['bound']}")
    if as_json:
        print(json.dumps(result | {"faults": faults}, indent=1))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=1, help="number of threads (default 1)")
    seconds = "approximate seconds of each measurement of training steps or epochs (default 0.15)"
    parser.add_argument("--seconds", type=float, default=0.15, help=seconds)
    parser.add_argument("--only", nargs="+", choices=TABLES, metavar="NAME", help="measure only the tables with these names")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the tables")
    args = parser.parse_args()
    if args.threads < 1 or not args.seconds > 0:
        parser.error("--threads must be at least 1 and --seconds above 0")
    return args


def main() -> int:
    args = arguments()
    code = timing.run_with_threads("tests.benchmarks.scaling", args.threads)
    if code is not None:
        return code
    tables = {name: table for name, table in TABLES.items() if name in (args.only or TABLES)}
    return run(tables, args.seconds, args.threads, args.json)


if __name__ == "__main__":
    sys.exit(main())
