"""Settings and fixtures of all tests.

A plain `pytest` leaves out slow tests (`@pytest.mark.slow`): most of them train models, run commands or check pages.
`pytest --all` runs the slow tests too, and `pytest -m slow` runs only the slow tests. If the command line names a file,
all tests in this file run.

Hypothesis draws the same examples in every run. With HYPOTHESIS_PROFILE=new, it draws new examples in every run. With
HYPOTHESIS_PROFILE=random, it draws up to 5,000 new examples for each test.
"""

import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import none

from tests.helpers.two_cores import run_on_two_cores

ROOT = Path(__file__).parents[1]

# Each process gets one thread: two processes may run the tests, each on one core. `import numpy` reads these variables.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("new", deadline=None, max_examples=200, database=None)
settings.register_profile("random", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


left_out = []                                               # slow tests that do not run


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests, unless --all, -m or the name of their file chooses them."""
    named = {os.path.abspath(word.partition("::")[0]) for word in config.args}
    if not config.option.all and "slow" not in config.option.markexpr:
        left_out[:] = [item for item in items if item.get_closest_marker("slow") and str(item.path) not in named]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_unconfigure(config):
    """Print at the very end how many slow tests did not run."""
    if left_out:
        config.get_terminal_writer().line(f"slow tests left out: {len(left_out)}; to run them too: pytest --all")


COMMANDS = {                                                # {fixture: command whose output the fixture returns}
    "figures_again": ["derivations", "figures", "--json", "--out", "{}"],
    "museum_matrix": ["tests.helpers.matrix"],
}


def pytest_collection_finish():
    """Exclude imported objects from garbage collection and collect less often; this saves 6 s of 240 s of test time."""
    # At its first test, Hypothesis uses gc to check that some object refers to its random generator. gc ignores
    # frozen objects, so run a test first.
    given(none())(lambda nothing: None)()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """If many tests are chosen, use a second core, and begin with the tests that wait for a long command."""
    return run_on_two_cores(session, {*COMMANDS, "page_results"})


@pytest.fixture(scope="session")
def output_of(tmp_path_factory):
    """Return a function that runs a command of COMMANDS and parses its JSON; "{}" becomes a new directory."""

    def run_command(name):
        words = [word.format(tmp_path_factory.mktemp(name)) for word in COMMANDS[name]]
        done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, cwd=ROOT, check=True, timeout=600)
        return json.loads(done.stdout)

    return run_command


@pytest.fixture(scope="session")
def figures_again(output_of):
    """Draw every figure of the derivations in a new process; return the list of files that the command prints."""
    return output_of("figures_again")["files"]


@pytest.fixture(scope="session")
def museum_matrix(output_of):
    """Run each layer (group of checks) of minivae.museum on each planted bug; return all messages and the CPU seconds."""
    return output_of("museum_matrix")


@pytest.fixture
def sigint_enabled():
    """Let SIGINT raise KeyboardInterrupt, as at a terminal. A background process of a shell would ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
