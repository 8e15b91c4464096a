"""A run is a directory that says what it is: config.json, history.csv, model.npz, results.json and figures."""

import contextlib
import csv
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minivae import checkpoint
from minivae.checkpoint import Saved
from minivae.checks import refuse
from minivae.train import Record
from minivae.vae import VAE

try:
    import fcntl                                            # not on every system
except ImportError:
    fcntl = None

WRITTEN = ("config.json", "history.csv", "model.npz", "results.json", "*.png")


class Run(NamedTuple):
    """What was kept of a run; `saved` is its model and, if it can go on, its training."""

    path: Path
    config: dict
    history: list[Record]
    saved: Saved

    @property
    def vae(self) -> VAE:
        """Its model."""
        return self.saved.vae


def create(path: Path, overwrite: bool = False) -> Path:
    """An empty directory for a run. One that holds anything is refused, unless it holds a run that may be overwritten."""
    path = Path(path)
    is_run = (path / "config.json").exists()
    if path.exists() and not path.is_dir():
        refuse("out", "a directory", f"{path}, which is a file", "Name another one.")
    if path.exists() and any(path.iterdir()) and not (overwrite and is_run):
        remedy = "Name another with --out, or add --overwrite." if is_run else "Name another with --out."
        refuse("out", "a new or an empty directory", f"{path}, which {'holds a run' if is_run else 'is not empty'}", remedy)
    path.mkdir(parents=True, exist_ok=True)
    for pattern in WRITTEN:
        for old in path.glob(pattern):
            old.unlink()
    return path


def write(run: Run) -> None:
    """Write config, history and model, in this order; each file whole or not at all.

    A crash in between leaves a history that may be one epoch ahead of the model: `read` cuts that off.
    """
    write_json(run.path / "config.json", run.config)
    with checkpoint.write_atomically(run.path / "history.csv", "w") as file:
        csv.writer(file).writerows([Record._fields, *run.history])
    checkpoint.save(run.path / "model.npz", *run.saved)


def read(path: Path) -> Run:
    """A run as it was written. Raises ValueError if the directory holds none."""
    path = Path(path)
    if not (path / "config.json").exists():
        refuse("RUN", "the directory of a run", str(path), "Make one with `minivae train`; it has a config.json.")
    saved = checkpoint.read(path / "model.npz")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        with open(path / "history.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        history = [Record(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()}) for row in rows]
    except (ValueError, TypeError, FileNotFoundError) as error:
        refuse("RUN", "the directory of a run", f"{path} ({error})", "Its config.json or history.csv is damaged.")
    ended = saved.numbers["epoch"] if saved.numbers else math.inf
    return Run(path, config, [record for record in history if record.epoch < ended], saved)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """While this is entered, no other process can enter it for the same directory; ValueError if one is in it.

    The system itself lets go of it when a process ends, however that happens.
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        if fcntl is not None:
            _lock(handle, path)
        yield
    finally:
        os.close(handle)


def _lock(handle, path):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse("out", "a run that nobody else writes", f"{path}, which another process trains", "Wait, or name another.")


def listed(path: Path) -> list[Run]:
    """The runs in a directory, and the directory itself if it is one, by name; what is no whole run is left out."""
    found = []
    for place in sorted({file.parent for file in [*Path(path).glob("config.json"), *Path(path).glob("*/config.json")]}):
        with contextlib.suppress(ValueError):
            found.append(read(place))
    return found


def write_json(path: Path, document: dict) -> None:
    """Write a JSON document, whole or not at all."""
    with checkpoint.write_atomically(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
