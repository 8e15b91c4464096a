"""Kill a training process at random moments, resume it, and compare every bit with an uninterrupted run.

    python -m tests.benchmarks.crashes [--times 100] [--seed 0]         (about ten minutes for 100 kills)

`minivae train` saves its state after every step. `kill -9` ends this command at a random moment, sometimes after the last
step. A saved state must load, and training from this state must end like the uninterrupted run: parameters, moments of
Adam, random state and history are equal to the last bit. Then the command resumes the run and is killed again. When all
steps are done, the command may finish; its measurements must equal those of the uninterrupted run.
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
    """Train the saved run to its last epoch in this process; return its complete final state."""
    from minivae.app import cli, train

    training, _, history = train.resumed(cli.make_parser().parse_args(["train", "--resume", str(path)]))
    history += [record for record in training.steps() if record is not None]
    arrays, numbers = training.state()
    return training.vae.params.flat.tobytes(), {k: v.tobytes() for k, v in arrays.items()}, numbers, history


def measured(path: Path) -> dict:
    results = json.loads((path / "results.json").read_text())
    return {name: results[name] for name in MEASURED}


class Crashes:
    """A run that is killed again and again, the expected final state, and counts of the outcomes."""

    def __init__(self, place: Path, seed: int):
        self.path, self.rng, self.count, self.faults = place / "run", random.Random(seed), Counter(), []
        whole, began = place / "whole", time.time()
        subprocess.run(command(*BEGIN, "--out", str(whole)), check=True, stdout=subprocess.DEVNULL)
        self.seconds = 1.3 * ((whole / "model.npz").stat().st_mtime - began)    # longest time from start to kill
        self.trained = False                                # True if the saved run has done all steps
        self.end, self.measured = end_of(whole), measured(whole)

    def crash(self) -> None:
        """Train in a new process, then check the files of the run.

        Kill the process at a random moment, unless the saved run has done all steps.
        """
        resumes = (self.path / "model.npz").exists()
        words = ["train", "--resume", str(self.path), "--save-every", "1", "-q"]
        words = words if resumes else [*BEGIN, "--out", str(self.path), "--overwrite"]
        process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            process.wait(None if self.trained else self.rng.uniform(0, self.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        message = process.communicate()[1]
        if message or process.returncode not in (0, -9):
            self.faults.append(f"exit code {process.returncode}: {message.strip()}")
        self.check(process.returncode == 0)

    def check(self, ended: bool) -> None:
        """Count the process as finished (`ended`) or killed, and compare the files of the run with the expected results."""
        self.count["half-written files"] += len(list(self.path.glob(".*"))) if self.path.exists() else 0
        if ended:
            self.count["finished"] += 1
            if measured(self.path) != self.measured:
                self.faults.append("the measurements of the finished run differ from those of the uninterrupted run")
        else:
            self.count["killed"] += 1
        if (self.path / "model.npz").exists():
            self.compare_end(ended)
        else:
            self.count["killed before the first saved state"] += 1
        if ended:
            self.trained = False
            shutil.rmtree(self.path)

    def compare_end(self, ended: bool) -> None:
        """Load the saved state, train to the last epoch, and compare the final state with the expected state."""
        from minivae import runs

        try:
            run = runs.read(self.path)
            same = end_of(self.path) == self.end
        except ValueError as error:
            self.faults.append(f"the saved run cannot be read: {error}")
            return
        numbers = run.saved.numbers
        self.trained = numbers["epoch"] > EPOCHS
        when = "after the last step" if self.trained else "within an epoch" if numbers["done"] else "between epochs"
        self.count[f"killed {when}"] += not ended
        self.count["final states compared"] += 1
        if not same:
            self.faults.append(f"from epoch {numbers['epoch']}, step {numbers['done']}, the run ends in a different state")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.crashes", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="number of kills (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the time of each kill (default 0)")
    options = parser.parse_args()
    code = run_with_threads("tests.benchmarks.crashes", 1)
    if code is not None:
        return code
    with tempfile.TemporaryDirectory() as place:
        crashes = Crashes(Path(place), options.seed)
        print(f"each process is killed at a random moment within {crashes.seconds:.1f} s", flush=True)
        while crashes.count["killed"] < options.times:
            crashes.crash()
    for what, count in sorted(crashes.count.items()):
        print(f"{count:5d}  {what}")
    print(f"{len(crashes.faults):5d}  faults", *crashes.faults, sep="\n")
    return bool(crashes.faults)


if __name__ == "__main__":
    sys.exit(main())
