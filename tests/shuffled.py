"""The whole suite again and again, its files and the tests of each in a random order, on new examples: what flakes?

    python -m tests.shuffled 20                    twenty runs; 1 if anything failed in one of them
    python -m tests.shuffled 1 --seed 7            the run of seed 7 once more
    python -m tests.shuffled 5 tests/test_ops.py   of these tests only

Order and examples of a run follow from its seed, which is printed before it: the first, then one more each.
"""

import argparse
import os
import random
import subprocess
import sys
import time


def pytest_collection_modifyitems(config, items) -> None:
    """Pytest calls this where this module is a plugin of it."""
    items[:] = shuffle(items, config.getoption("--hypothesis-seed"))


def shuffle(items: list, seed: str) -> list:
    """The files in a random order, and the tests of each: what a file has made ready is made once."""
    rng, files = random.Random(seed), {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    return [item for tests in rng.sample(list(files.values()), len(files)) for item in rng.sample(tests, len(tests))]


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m tests.shuffled", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("times", type=int, metavar="N")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="of tests (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default: 1)")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.times):
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-p", "tests.shuffled", f"--hypothesis-seed={seed}", *options.paths]
        print(f"seed {seed}", flush=True)
        code = subprocess.call(command, env=os.environ | {"HYPOTHESIS_PROFILE": "new"})
        failed += code != 0
        print(f"seed {seed}: {'failed' if code else 'passed'} in {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{options.times - failed} of {options.times} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
