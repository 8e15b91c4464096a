"""Hypothesis draws the same examples every time; with HYPOTHESIS_PROFILE=new others, with =random many more."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")                        # before NumPy is imported: the other core has the README's commands

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("new", deadline=None, max_examples=200, database=None)
settings.register_profile("random", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


BESIDE = {                                                  # by the fixture that has what came of it
    "figures_again": ["derivations", "figures", "--json", "--out", "{}"],
    "museum_matrix": ["tests.helpers.matrix"],
    "readme_commands": ["tests.helpers.readme", "{}"],
}


@pytest.fixture(scope="session", autouse=True)
def beside(request, tmp_path_factory):
    """What takes long and is asked for by some test runs from the beginning, one after the other, on another core.

    A dictionary of functions that wait for what a command printed as JSON; "{}" in it is a directory of its own.
    """
    asked = {name for item in request.session.items for name in item.fixturenames}
    processes, stopped = [], threading.Event()

    def run(command, directory):
        if stopped.is_set():
            return None
        made = {"stdout": subprocess.PIPE, "cwd": Path(__file__).parents[1], "start_new_session": True}
        words = [word.format(directory) for word in command]
        processes.append(subprocess.Popen([sys.executable, "-m", *words], **made))
        printed, _ = processes[-1].communicate(timeout=600)
        assert processes[-1].returncode == 0, command
        return json.loads(printed)

    with ThreadPoolExecutor(1) as lane:
        wanted = {name: command for name, command in BESIDE.items() if name in asked}
        came = {name: lane.submit(run, command, tmp_path_factory.mktemp("beside")) for name, command in wanted.items()}
        yield {name: each.result for name, each in came.items()}
        stopped.set()
        for process in processes:                           # the tests may have ended before they asked
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="session")
def figures_again(beside):
    """Every figure of the derivations, drawn by a process of its own: their files, as the command lists them."""
    return beside["figures_again"]()["files"]


@pytest.fixture(scope="session")
def museum_matrix(beside):
    """What every layer says of every bug, and how many seconds of one core that took."""
    return beside["museum_matrix"]()


@pytest.fixture(scope="session")
def readme_commands(beside):
    """The README's commands, with what came of each."""
    return beside["readme_commands"]()


@pytest.fixture
def heard():
    """SIGINT as at a terminal: a shell starts what runs in its background with ears shut."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
