"""Time of a check of the ledger, and its growth with the number of draws.

    python -m tests.benchmarks.ledger [--rounds 5] [--threads 1] [--json FILE]         (about five minutes)

Every number is a median over rounds; for 10,000 draws or more, only one round is measured. Imports are not timed. Growth
is the slope of log(seconds) against log(draws), fitted to the rows of the table with 1,000 draws or more. In these rows, the
draws take most of the time. A slope of 1 means linear growth. The cost of 1,000 more draws is the slope of seconds against
draws between neighbouring rows of the table, so costs that do not depend on the draws cancel.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.timing import cpu_name, exponent, held_to, quartiles, run_with_threads

DRAWS = (100, 300, 1_000, 3_000, 10_000, 100_000)
GROWING = 1_000  # from this number of draws on, a check spends most of its time on the draws
STEADY = 10_000  # from this number of draws on, one measurement is precise enough


def seconds_of_check(draws: int, seed: int) -> dict[str, float]:
    """Judge every entry of the ledger; return the seconds for each entry, and print unexpected verdicts on stderr."""
    from derivations.engine import ledger
    from derivations.engine.judge import judge

    taken = {}
    for entry in ledger.entries():
        start = time.perf_counter()
        judgements = judge(entry, draws, seed)
        taken[entry.id] = time.perf_counter() - start
        for judgement in judgements:
            if not judgement.ok:
                expected = f"{judgement.row.expected} is expected ({draws:,} draws, seed {seed})"
                print(f"{judgement.row.id} is {judgement.verdict}, {expected}", file=sys.stderr)
    return taken


def seconds_of_checks(counts: Sequence[int], rounds: int) -> dict[int, list[float]]:
    """Return {draws: [seconds of a whole check in each round]}. For 10,000 draws or more, only the first round is timed."""
    seconds_of_check(10, 0)  # not timed: imports modules and fills caches
    taken = {draws: [] for draws in counts}
    for seed in range(rounds):
        for draws in counts:
            if draws < STEADY or seed == 0:
                taken[draws].append(sum(seconds_of_check(draws, seed).values()))
    return taken


def measure(rounds: int) -> dict:
    """Return the numbers of rows and entries, and times in seconds.

    The times are: the whole check at 1,000 draws, the slowest entries of this check, and the whole check at each number of
    draws in DRAWS. The exponent says how fast the last of these times grows with the number of draws.
    """
    from derivations.engine import ledger

    growth = {draws: statistics.median(taken) for draws, taken in seconds_of_checks(DRAWS, rounds).items()}
    wholes = [seconds_of_check(1_000, seed) for seed in range(rounds)]
    low, middle, high = quartiles([sum(whole.values()) for whole in wholes])
    by_entry = {id: statistics.median(whole[id] for whole in wholes) for id in wholes[0]}
    return {
        "rows": sum(len(entry.rows) for entry in ledger.entries()),
        "entries": len(by_entry),
        "check at 1000 draws, seconds": {"lower quartile": low, "median": middle, "upper quartile": high},
        "slowest entries, seconds": dict(sorted(by_entry.items(), key=lambda item: -item[1])[:5]),
        "draws, seconds": growth,
        "exponent": exponent(growth, GROWING),
    }


def report(found: dict) -> str:
    """Return the measurements as text."""
    check, growth = found["check at 1000 draws, seconds"], found["draws, seconds"]
    lines = [
        f"{found['rows']} rows of {found['entries']} entries at 1,000 draws: {check['median']:.2f} s "
        f"(quartiles {check['lower quartile']:.2f} to {check['upper quartile']:.2f})",
        "slowest: "
        + ", ".join(f"{id} {seconds * 1000:.0f} ms" for id, seconds in found["slowest entries, seconds"].items()),
        "",
        f"{'draws':>8}{'seconds':>10}{'per 1,000 draws':>18}{'1,000 more':>18}",
    ]
    before = None
    for draws, seconds in growth.items():
        more = f"{(seconds - growth[before]) / (draws - before) * 1000:18.3f}" if before else ""
        lines.append(f"{draws:8,}{seconds:10.3f}{seconds / draws * 1000:18.3f}{more}")
        before = draws
    lines += ["", f"time grows as draws ^ {found['exponent']:.2f} from {GROWING:,} draws on (linear: 1)"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ledger", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="number of threads (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    if options.rounds < 2 or options.threads < 1:
        parser.error("--rounds must be at least 2, and --threads at least 1")
    code = run_with_threads("tests.benchmarks.ledger", options.threads)
    if code is not None:
        return code
    import numpy as np

    print(f"{cpu_name()}, {held_to()}; Python {platform.python_version()}, NumPy {np.__version__}\n", flush=True)
    found = measure(options.rounds)
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
