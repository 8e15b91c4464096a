"""A training that is killed at random moments loses nothing: kill -9, resume, compare every bit.

    python -m tests.benchmarks.crashes [--times 100] [--seed 0]         (about ten minutes for a hundred)

The command trains with a state written at every step, and is killed anywhere between its start and its figures. When a
state is there, it has to load, and training has to end from it as if nothing had happened: parameters, moments, random
state and history, to the last bit. Then the command resumes that run and is killed again, until nothing is left to
learn; then it may come to its end, and has to have measured the same as well.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.benchmarks.timing import run_with_threads

EPOCHS = 20
BEGIN = ["train", "--epochs", str(EPOCHS), "--hidden", "8", "--save-every", "1", "-q"]
MEASURED = ("reconstruction", "kl", "elbo", "iw_bound", "log_px")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "minivae", *arguments]


def end_of(path: Path) -> tuple:
    """What a run in its present state comes to, trained to its end here: every bit of it."""
    from minivae.app import cli, train

    training, _, history = train.resumed(cli.make_parser().parse_args(["train", "--resume", str(path)]))
    history += [record for record in training.steps() if record is not None]
    arrays, numbers = training.state()
    return training.vae.params.flat.tobytes(), {k: v.tobytes() for k, v in arrays.items()}, numbers, history


def measured(path: Path) -> dict:
    results = json.loads((path / "results.json").read_text())
    return {name: results[name] for name in MEASURED}


class Crashes:
    """A run, what it should come to, and what has happened so far."""

    def __init__(self, place: Path, seed: int):
        self.path, self.rng, self.count, self.faults = place / "run", random.Random(seed), Counter(), []
        whole, began = place / "whole", time.time()
        subprocess.run(command(*BEGIN, "--out", str(whole)), check=True, stdout=subprocess.DEVNULL)
        self.seconds = 1.3 * ((whole / "model.npz").stat().st_mtime - began)    # from the start to the first figures
        self.learned = False                                # nothing is left to learn
        self.end, self.measured = end_of(whole), measured(whole)

    def crash(self) -> None:
        """One process, killed at a random moment; then look at what it left."""
        resumes = (self.path / "model.npz").exists()
        words = ["train", "--resume", str(self.path), "--save-every", "1", "-q"]
        words = words if resumes else [*BEGIN, "--out", str(self.path), "--overwrite"]
        process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            process.wait(None if self.learned else self.rng.uniform(0, self.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        said = process.communicate()[1]
        if said or process.returncode not in (0, -9):
            self.faults.append(f"exit code {process.returncode}: {said.strip()}")
        self.look(process.returncode == 0)

    def look(self, ended: bool) -> None:
        """Compare what is there with what should be."""
        self.count["half-written files"] += len(list(self.path.glob(".*"))) if self.path.exists() else 0
        if ended:
            self.count["came to their end"] += 1
            if measured(self.path) != self.measured:
                self.faults.append("the run came to its end and measured something else")
        else:
            self.count["killed"] += 1
        if (self.path / "model.npz").exists():
            self.judge(ended)
        else:
            self.count["killed before the first state"] += 1
        if ended:
            self.learned = False
            shutil.rmtree(self.path)

    def judge(self, ended: bool) -> None:
        """The state that is there loads, and goes on to the same end."""
        from minivae import runs

        try:
            run = runs.read(self.path)
            same = end_of(self.path) == self.end
        except ValueError as error:
            self.faults.append(f"what was left cannot be read: {error}")
            return
        numbers = run.saved.numbers
        self.learned = numbers["epoch"] > EPOCHS
        when = "after the last step" if self.learned else "within an epoch" if numbers["done"] else "between epochs"
        self.count[f"killed {when}"] += not ended
        self.count["ends compared"] += 1
        if not same:
            self.faults.append(f"from epoch {numbers['epoch']}, step {numbers['done']}, it comes to another end")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.crashes", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="how many kills (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    options = parser.parse_args()
    code = run_with_threads("tests.benchmarks.crashes", 1)
    if code is not None:
        return code
    with tempfile.TemporaryDirectory() as place:
        crashes = Crashes(Path(place), options.seed)
        print(f"killed at random within {crashes.seconds:.1f} s", flush=True)
        while crashes.count["killed"] < options.times:
            crashes.crash()
    for what, count in sorted(crashes.count.items()):
        print(f"{count:5d}  {what}")
    print(f"{len(crashes.faults):5d}  faults", *crashes.faults, sep="\n")
    return bool(crashes.faults)


if __name__ == "__main__":
    sys.exit(main())
