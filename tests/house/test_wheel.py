"""The contents of a wheel are complete: packages built from the tracked files run without a checkout."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("minivae", "derivations", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
COMMANDS = """
minivae --help
minivae train --data x.npy --epochs 1 --hidden 4 --out run
minivae evaluate run --gap
minivae plot run
minivae sample run -n 4
minivae explore run --out page.html
minivae runs
minivae sweep --latent 1,2 --epochs 1 --hidden none --out swept
minivae museum
minivae museum minus-one-once --epochs 1
minivae rosetta --list
minivae exercises --out exercises
derivations list
derivations check lm --draws 20
derivations show odaibo.40
derivations errata --draws 20
derivations figures hong-10 --out pictures
derivations compare --draws 20
derivations map
derivations trace
derivations quiz lm -n 1 --draws 20
derivations cards --draws 20 --anki cards.tsv
""".strip().splitlines()
RUN = """
import contextlib, io, json, runpy, sys
ended = {}
for command in sys.argv[1:]:
    sys.argv = command.split()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            runpy.run_module(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            ended[command] = end.code, len(out.getvalue()), err.getvalue()
homes = [sys.modules[name].__file__ for name in ("minivae", "derivations") if name in sys.modules]
print(json.dumps({"ended": ended, "homes": homes}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Let setuptools build the packages of a wheel from the files that git tracks; return the directory of the packages."""
    if importlib.util.find_spec("setuptools") is None or not (ROOT / ".git").exists():
        pytest.skip("needs setuptools and a git checkout")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "built"))
    tracked = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, tracked.stdout.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", str(target)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    return target


def run_in(directory, built, commands):
    """Run `python -m COMMAND` for all commands, in one process that imports the built packages.

    Return what RUN prints: the exit code and outputs of every command, and the files of the imported packages.
    """
    np.save(directory / "x.npy", np.random.default_rng(0).random((15, 5)))
    environment = os.environ | {"PYTHONPATH": str(built), "PYTHONDONTWRITEBYTECODE": "1"}
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", RUN, *commands], cwd=directory, env=environment, **quiet)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_listed_commands_run_with_the_built_packages_and_without_the_repository(built, tmp_path):
    assert {path.name for path in built.iterdir()} == {"minivae", "derivations"}
    assert (built / "minivae" / "museum" / "README.md").exists()       # `derivations book` needs a table of this page
    found = run_in(tmp_path, built, COMMANDS)
    assert len(found["homes"]) == 2 and all(Path(home).is_relative_to(built) for home in found["homes"])
    for command, (code, printed, err) in found["ended"].items():
        assert code == 0 and printed > 0, (command, code, err)
    assert list(found["ended"]) == COMMANDS


@pytest.mark.slow
def test_built_package_that_lacks_its_data_ends_with_an_error(built, tmp_path):
    broken = shutil.copytree(built, tmp_path / "broken")
    (broken / "minivae" / "data" / "digits.npz").unlink()
    command = "minivae sweep --latent 1,2 --epochs 1"
    code, _, err = run_in(tmp_path, broken, [command])["ended"][command]
    assert code == 2 and "digits.npz" in err
