"""tests/shuffled.py runs every test, in an order that the seed decides, and finds tests that depend on the order."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.shuffled import shuffle

ITEMS = [SimpleNamespace(path=path, name=name) for path in "abcde" for name in range(9)]


def names(items):
    return [(item.path, item.name) for item in items]


def test_shuffling_loses_no_test_and_keeps_tests_of_a_file_together():
    for seed in "123456":
        made = names(shuffle(ITEMS, seed))
        assert sorted(made) == names(ITEMS) != made
        assert len({path for path, _ in made[:9]}) == 1 and len({path for path, _ in made[9:18]}) == 1


def test_shuffled_order_depends_on_the_seed():
    orders = [names(shuffle(ITEMS, seed)) for seed in "123456"]
    assert orders == [names(shuffle(ITEMS, seed)) for seed in "123456"]
    assert all(one != other for n, one in enumerate(orders) for other in orders[:n])
    assert len({order[0][0] for order in orders}) > 1       # the order of files changes too


@pytest.mark.slow
def test_shuffling_notices_an_order_dependent_test(tmp_path):
    dependent = tmp_path / "test_dependent.py"
    dependent.write_text("""\
seen = []
def test_one():
    seen.append(1)
def test_other():
    assert seen
""")
    both = [SimpleNamespace(path=dependent, name=name) for name in ("one", "other")]
    in_order = [shuffle(both, str(seed)) == both for seed in range(1, 30)]
    first = 1 + next(n for n, (this, next_one) in enumerate(pairwise(in_order)) if this and not next_one)
    command = [sys.executable, "-m", "tests.shuffled", "2", str(dependent), "--seed", str(first)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert f"seed {first}: passed" in done.stdout and f"seed {first + 1}: failed" in done.stdout
    assert "\n1 of 2 runs passed\n" in done.stdout and done.returncode == 1
