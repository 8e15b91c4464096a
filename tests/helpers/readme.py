"""The commands of the README, and what came of them when they were run.

    python -m tests.helpers.readme DIRECTORY               run them there: JSON on stdout
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP = "python3 -m venv .venv && "


def blocks(language: str) -> list[str]:
    """What stands in the README between fences of that language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def sessions() -> Iterator[tuple[str, str]]:
    """(command, what it prints) for every command line, in order; the two that set up are run by .ci/run."""
    for block in blocks("console"):
        for command, output in re.findall(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", block):
            if not command.startswith(SETUP):
                yield command, output


def run_in_order(commands: Iterable[tuple[str, str]], directory: str) -> list[dict]:
    """Every session with its exit code and what was printed; after one that failed no other is run."""
    came = []
    for command, output in commands:
        run = [sys.executable, "-m", *shlex.split(command)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}    # this checkout, installed or not
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(run, cwd=directory, env=environment, timeout=150, **quiet)
        made = {"code": done.returncode, "printed": done.stdout, "err": done.stderr}
        came.append({"command": command, "output": output} | made)
        if done.returncode:
            break
    return came


if __name__ == "__main__":
    print(json.dumps(run_in_order(sessions(), *sys.argv[1:])))
