"""The commands of the README, and what came of them when they were run.

    python -m tests.readme DIRECTORY 2             run them there, two at a time: JSON on stdout

A process of its own runs them beside the tests: they take most of a minute, and a test needs one core only.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
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


def chains() -> list[list[tuple[str, str]]]:
    """The sessions of minivae, then those of derivations: neither reads what the other writes."""
    return [[each for each in sessions() if each[0].split()[0] == name] for name in ("minivae", "derivations")]


def run_in_order(chain: list[tuple[str, str]], directory: str) -> list[dict]:
    """Every session with its exit code and what was printed; after one that failed no other is run."""
    came = []
    for command, output in chain:
        run = [sys.executable, "-m", *shlex.split(command)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}    # this checkout, installed or not
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(run, cwd=directory, env=environment, timeout=150, **quiet)
        made = {"code": done.returncode, "printed": done.stdout, "err": done.stderr}
        came.append({"command": command, "output": output} | made)
        if done.returncode:
            break
    return came


def main(directory: str, at_once: str) -> None:
    """Print what came of all of them."""
    with ThreadPoolExecutor(int(at_once)) as pool:
        made = list(pool.map(lambda chain: run_in_order(chain, directory), chains()))
    print(json.dumps([each for chain in made for each in chain]))


if __name__ == "__main__":
    main(*sys.argv[1:])
