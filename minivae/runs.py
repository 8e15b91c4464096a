"""A run is a directory that says what it is: config.json, history.csv, model.npz, results.json and figures."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

from minivae import checkpoint
from minivae.checks import refuse
from minivae.train import Record
from minivae.vae import VAE

WRITTEN = ("config.json", "history.csv", "model.npz", "results.json", "*.png")


class Run(NamedTuple):
    """What was kept of a run."""

    path: Path
    config: dict
    history: list[Record]
    vae: VAE


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
    """Write config, history and model; each file whole or not at all."""
    write_json(run.path / "config.json", run.config)
    with checkpoint.write_atomically(run.path / "history.csv", "w") as file:
        csv.writer(file).writerows([Record._fields, *run.history])
    checkpoint.save(run.path / "model.npz", run.vae)


def read(path: Path) -> Run:
    """A run as it was written. Raises ValueError if the directory holds none."""
    path = Path(path)
    if not (path / "config.json").exists():
        refuse("RUN", "the directory of a run", str(path), "Make one with `minivae train`; it has a config.json.")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    with open(path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    history = [Record(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()}) for row in rows]
    return Run(path, config, history, checkpoint.load(path / "model.npz"))


def write_json(path: Path, document: dict) -> None:
    """Write a JSON document, whole or not at all."""
    with checkpoint.write_atomically(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
