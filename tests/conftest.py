"""Hypothesis draws the same examples every time; with HYPOTHESIS_PROFILE=random, new ones and many more."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")                        # before NumPy is imported: the other core has the README's commands

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("random", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def what_takes_long_begins_first(request):
    """If a test will ask for what the README's commands come to, they run while others are tested: on another core."""
    if any("readme_commands" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("readme_commands")


@pytest.fixture(scope="session")
def readme_commands(request, tmp_path_factory):
    """A function that waits for the README's commands, and has what came of them."""
    directory, printed = tmp_path_factory.mktemp("readme"), tmp_path_factory.mktemp("came") / "printed.json"
    alone = len({item.path for item in request.session.items}) == 1
    command = [sys.executable, "-m", "tests.readme", str(directory), "2" if alone else "1"]     # a core for the tests
    with printed.open("wb") as file:
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=file, start_new_session=True)

    def wait():
        assert process.wait(timeout=600) == 0
        return json.loads(printed.read_bytes())

    yield wait
    if process.poll() is None:                              # the tests ended before they were asked for
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
