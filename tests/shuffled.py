"""Run the tests several times, in random order and with new random examples, to find tests that fail sometimes.

    python -m tests.shuffled 20                          twenty runs; the exit code is 1 if a test failed
    python -m tests.shuffled 1 --seed 7                  repeat the run of seed 7
    python -m tests.shuffled 3 --all                     run the slow tests too
    python -m tests.shuffled 5 tests/core/test_ops.py    run only these tests

The seed of a run determines its order and examples and is printed before the run; it increases by 1 from run to run.
"""

import argparse
import os
import random
import subprocess
import sys
import time


def pytest_collection_modifyitems(config, items) -> None:
    """Shuffle the collected tests; pytest calls this when the module is its plugin."""
    items[:] = shuffle(items, config.getoption("--hypothesis-seed"))


def shuffle(items: list, seed: str) -> list:
    """Return the tests: the files in random order, and the tests of each file in random order.

    The tests of a file stay together, so its fixtures are made only once.
    """
    rng, files = random.Random(seed), {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return [item for tests in rng.sample(list(files.values()), len(files)) for item in rng.sample(tests, len(tests))]


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.shuffled", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("times", type=int, metavar="N", help="number of runs")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files of tests (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the first run (default: 1)")
    parser.add_argument("--all", action="store_const", const=["--all"], default=[], help="run the slow tests too")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.times):
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-p", "tests.shuffled", f"--hypothesis-seed={seed}", *options.all]
        print(f"seed {seed}", flush=True)
        code = subprocess.call([*command, *options.paths], env=os.environ | {"HYPOTHESIS_PROFILE": "new"})
        failed += code != 0
        print(f"seed {seed}: {'failed' if code else 'passed'} in {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{options.times - failed} of {options.times} runs passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
