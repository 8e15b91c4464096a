"""Time that a person waits for a command: seconds of wall clock and of CPU, each command in a fresh process.

    python -m tests.benchmarks.waiting [--rounds 5] [--only TEXT] [--beside CHECKOUT] [--json FILE]     (about three minutes)

Every command first runs once without timing, which compiles the modules and fills the disk cache; the compiled modules are
in a temporary directory. Then it runs once in each round. The table has the median over the rounds and the quartiles. With
--beside, the commands of another checkout take turns with those of this one, so that a busy machine slows both.

Wall clock includes the time in which other programs use the cores; CPU (user and system time of all processes) does not.
A command whose median of the wall clock is above its target is reported on stderr, and the exit code is 1.

The column "where" shows which parts of a command need the CPU. To measure the CPU seconds of the
functions in `parts`, the command runs once more. "imports" is the import of the modules of these functions, with NumPy.
"other processes" are processes that the command starts: `train` starts one, which computes the bounds and draws the model's
figures. "rest" is everything else, such as the start of Python.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.timing import cpu_name, quartiles

ROOT = Path(__file__).parents[2]
RUN = "minivae train --out run --overwrite -q"              # the first command; `minivae evaluate` uses its run


class Wait(NamedTuple):
    """A command, its target in seconds of wall clock, and the functions that do each part of its work."""

    command: str
    target: float
    parts: dict[str, Sequence[str]] = {}


WAITS = (
    Wait(RUN, 4.0, {
        "training": ["minivae.app.train.run_epochs"], "exact log p(x)": ["minivae.app.results.exact_log_px"],
        "loss curves and explorer": ["minivae.app.train.draw_training", "minivae.app.train.explore"],
    }),
    Wait("minivae --help", 0.06, {"parser": ["minivae.app.cli.make_parser"]}),
    Wait("minivae evaluate run --gap --rows 100", 10.0, {
        "bounds": ["minivae.app.evaluate.lower_bounds"], "exact log p(x)": ["minivae.app.evaluate.exact_log_px"],
        "gap": ["minivae.app.evaluate.gap"], "rates": ["minivae.app.evaluate.rate_distortion"],
    }),
    Wait("minivae museum --matrix --out museum --overwrite -q", 10.0),
    Wait("derivations check", 2.0, {
        "entries": ["derivations.engine.ledger.load"], "judging": ["derivations.pages.records.judged"],
        "printing": ["derivations.pages.terminal.check_lines"],
    }),
    Wait("derivations show odaibo.40", 0.25, {
        "entries": ["derivations.engine.ledger.load"], "judging": ["derivations.pages.records.judged"],
    }),
)  # fmt: skip


# One command


class Seconds(NamedTuple):
    """Time of one run of a command."""

    wall: float
    cpu: float


def timed(command: str, folder: Path, checkout: Path = ROOT) -> Seconds:
    """Run a command of a checkout once in a new process; return its time. Raises SystemExit if the command fails."""
    words = shlex.split(command)
    return run_timed([sys.executable, "-m", *words], command, folder, checkout)


def run_timed(words: list[str], command: str, folder: Path, checkout: Path) -> Seconds:
    """Run a process in `folder` and return its time; Python stores compiled modules in the same folder.

    If the process fails, raise SystemExit; the error message shows the text `command`.
    """
    folder.mkdir(exist_ok=True)
    settings = {"PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, start = cpu_of_children(), time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=inherited | settings, capture_output=True, text=True)
    taken = Seconds(time.perf_counter() - start, cpu_of_children() - before)
    if done.returncode:
        raise SystemExit(f"{command} in {checkout} ended with exit code {done.returncode}\n{done.stderr}")
    return taken


def cpu_of_children() -> float:
    """Return user and system seconds of all processes that this process has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# Where the time goes


def parts_of(wait: Wait, folder: Path) -> dict[str, float]:
    """Run the command once more; return the CPU seconds of each part of the command, and of the rest."""
    call = f"from tests.benchmarks.waiting import run_in_parts; run_in_parts({wait.command!r}, {wait.parts!r})"
    whole = run_timed([sys.executable, "-c", call], wait.command, folder, ROOT).cpu
    parts = json.loads((folder / "parts.json").read_text(encoding="utf-8"))
    return parts | {"rest": whole - sum(parts.values())}


def run_in_parts(command: str, parts: dict[str, Sequence[str]]) -> None:
    """Run a command in this process, measure the CPU time of every function in `parts`, and write parts.json."""
    program, *words = shlex.split(command)
    seconds, start = dict.fromkeys(["imports", *parts], 0.0), time.process_time()
    importlib.import_module("minivae.app.cli").use_one_thread()                 # must run before NumPy is imported
    main = importlib.import_module(f"{program}.app.cli").main
    functions = [(part, *name.rpartition(".")[::2]) for part, names in parts.items() for name in names]
    modules = [importlib.import_module(module) for _, module, _ in functions]
    seconds["imports"] = time.process_time() - start
    for (part, _, name), module in zip(functions, modules):
        setattr(module, name, clocked(getattr(module, name), seconds, part))
    try:
        main(words)
    except SystemExit as end:                               # raised by argparse after --help
        if end.code:
            raise
    seconds["other processes"] = cpu_of_children()
    Path("parts.json").write_text(json.dumps(seconds), encoding="utf-8")


def clocked(function, seconds: dict[str, float], part: str):
    """Return the same function, changed so that every call adds its CPU time to seconds[part]."""
    def call(*arguments, **settings):
        start = time.process_time()
        try:
            return function(*arguments, **settings)
        finally:
            seconds[part] += time.process_time() - start

    return call


# All commands


def measure(waits: Sequence[Wait], checkouts: Sequence[Path], rounds: int, folder: Path) -> dict[str, dict[str, list]]:
    """Return {command: {checkout: [Seconds of each round]}}. A warm-up round comes first; its times are not returned."""
    taken = {wait.command: {str(checkout): [] for checkout in checkouts} for wait in waits}
    for i in range(rounds + 1):
        for wait in waits:
            for k, checkout in enumerate(checkouts):
                seconds = timed(wait.command, folder / str(k), checkout)
                if i:
                    taken[wait.command][str(checkout)].append(seconds)
    return taken


def row(command: str, target: float, taken: list[Seconds], parts: dict[str, float]) -> str:
    """Return a row of the table: command, target, then wall-clock time and CPU time, each as median and quartiles.

    The last cell names the parts that take at least 5 % of the CPU time, largest first.
    """
    where = sorted((item for item in parts.items() if item[1] >= 0.05 * sum(parts.values())), key=lambda item: -item[1])
    columns = [f"`{command}`", f"{target:g}", *(spread(list(values)) for values in zip(*taken))]
    return f"| {' | '.join([*columns, ', '.join(f'{name} {value:.2f}' for name, value in where)])} |"


def spread(values: list[float]) -> str:
    """Return the median and the quartiles: 1.50 (1.48 to 1.53)."""
    low, middle, high = quartiles(values) if len(values) > 1 else values * 3
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def slow(waits: Sequence[Wait], taken: dict[str, dict[str, list[Seconds]]]) -> list[str]:
    """Return a sentence about every command of this checkout that takes longer than its target."""
    medians = [statistics.median(each.wall for each in taken[wait.command][str(ROOT)]) for wait in waits]
    return [f"{wait.command} takes {median:.2f} s, more than its target of {wait.target:g} s"
            for wait, median in zip(waits, medians) if median > wait.target]  # fmt: skip


def report(waits: Sequence[Wait], checkouts: Sequence[Path], rounds: int, folder: Path) -> dict:
    """Measure all commands, print the table, and return the numbers."""
    taken = measure(waits, checkouts, rounds, folder)
    found = {"seconds": taken, "parts": {wait.command: parts_of(wait, folder / "0") for wait in waits}}
    print("| command | target, s | wall clock, s | CPU, s | where, CPU s |\n|---|---|---|---|---|")
    for wait in waits:
        for checkout, seconds in taken[wait.command].items():
            mine = checkout == str(ROOT)
            print(row(wait.command, wait.target, seconds, found["parts"][wait.command] if mine else {checkout: 1.0}))
    return found


def main(arguments: Sequence[str] | None = None, waits: Sequence[Wait] = WAITS) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waiting", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of every command (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only the commands that contain this text")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="also time another checkout, in turns with this one")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args(arguments)
    chosen = [wait for wait in waits if options.only in wait.command]
    if options.rounds < 1 or not chosen:
        parser.error("--rounds must be at least 1, and --only part of a command")
    checkouts = [ROOT, *([options.beside.resolve()] if options.beside else [])]
    print(f"{cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}; {options.rounds} rounds\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if any("evaluate run" in wait.command for wait in chosen):
            for k, checkout in enumerate(checkouts):
                timed(RUN, Path(folder, str(k)), checkout)
        found = report(chosen, checkouts, options.rounds, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    faults = slow(chosen, found["seconds"])
    print(*faults, sep="\n", end="\n" * bool(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
