"""Pytest leaves out the slow tests, and prints how many tests it has left out.

The options --all and -m slow include the slow tests. If the command line names a file, all tests in this file run.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import conftest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("words, settings, run", [
    (["."], {}, ["quick a", "quick b"]), (["a.py"], {}, ["slow a", "quick a", "quick b"]),
    (["b.py::slow"], {}, ["quick a", "slow b", "quick b"]), (["."], {"markexpr": "not quick"}, ["quick a", "quick b"]),
    *((["."], chosen, ["slow a", "quick a", "slow b", "quick b"]) for chosen in ({"all": True}, {"markexpr": "slow"})),
])  # fmt: skip
def test_slow_tests_run_with_an_option_or_if_their_file_is_named(words, settings, run, tmp_path, monkeypatch):
    def item(name, file):
        return SimpleNamespace(name=f"{name} {file}", path=tmp_path / f"{file}.py", get_closest_marker=name.__eq__)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conftest, "left_out", [])
    reported = []
    hook = SimpleNamespace(pytest_deselected=lambda items: reported.extend(items))
    option = SimpleNamespace(**{"all": False, "markexpr": ""} | settings)
    every = [item(name, file) for file in "ab" for name in ("slow", "quick")]
    items = [*every]
    conftest.pytest_collection_modifyitems(SimpleNamespace(args=words, option=option, hook=hook), items)
    assert [item.name for item in items] == run
    assert [item for item in every if item not in items] == reported == conftest.left_out


@pytest.mark.slow
def test_last_line_of_output_states_how_many_slow_tests_were_left_out(tmp_path):
    (tmp_path / "test_a.py").write_text("import pytest\n@pytest.mark.slow\ndef test_a(): pass\ndef test_b(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: slow\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    counts, said = done.stdout.splitlines()[-2:]
    assert done.returncode == 0 and counts.startswith("1 passed, 1 deselected in"), done.stdout
    assert said == "slow tests left out: 1; to run them too: pytest --all"
