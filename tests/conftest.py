"""Hypothesis draws the same examples every time; with HYPOTHESIS_PROFILE=new others, with =random many more."""

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

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")                        # before NumPy is imported: the other core has tests of its own

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("new", deadline=None, max_examples=200, database=None)
settings.register_profile("random", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


COMMANDS = {                                                # by the fixture that has what came of it
    "figures_again": ["derivations", "figures", "--json", "--out", "{}"],
    "museum_matrix": ["tests.helpers.matrix"],
    "readme_sessions": ["tests.helpers.readme", "{}"],
}


def pytest_collection_finish():
    """Exclude all that is imported so far from garbage collection, and collect less often: it took 6 s of 240."""
    given(none())(lambda nothing: None)()                   # Hypothesis looks for its random state with gc: before that
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Use the second core for a large run; first come the tests that wait for a long command."""
    return run_on_two_cores(session, frozenset(COMMANDS))


@pytest.fixture(scope="session")
def output_of(tmp_path_factory):
    """A function that runs a command of COMMANDS and returns what it printed, read as JSON; "{}" is a new directory."""

    def run_command(name):
        words = [word.format(tmp_path_factory.mktemp(name)) for word in COMMANDS[name]]
        done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, cwd=ROOT, check=True, timeout=600)
        return json.loads(done.stdout)

    return run_command


@pytest.fixture(scope="session")
def figures_again(output_of):
    """Every figure of the derivations, drawn by a process of its own: their files, as the command lists them."""
    return output_of("figures_again")["files"]


@pytest.fixture(scope="session")
def museum_matrix(output_of):
    """What every layer says of every bug, and how many seconds of one core that took."""
    return output_of("museum_matrix")


@pytest.fixture(scope="session")
def readme_sessions(output_of):
    """Every session of the pages, with its exit code and output."""
    return output_of("readme_sessions")


@pytest.fixture
def heard():
    """SIGINT as at a terminal: a shell starts what runs in its background with ears shut."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
