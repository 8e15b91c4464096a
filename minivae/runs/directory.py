"""The directory of a run: config.json, history.csv, model.npz, results.json and figures."""

import contextlib
import csv
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from minivae.checks import refuse
from minivae.data.formats import regular
from minivae.runs import checkpoint
from minivae.runs.checkpoint import Saved
from minivae.runs.files import write_atomically
from minivae.train import Record
from minivae.vae import VAE

try:
    import fcntl  # not available on Windows
except ImportError:
    fcntl = None

FIGURES = (
    "loss_curves", "sigma_and_error", "kl_per_dimension", "latent_line", "latent_map", "manifold", "hero", "traversals",
    "reconstructions", "prior_samples", "samples",
)  # fmt: skip
# Files of a run, in the order in which `create` removes them: config.json is last, because it marks a directory as a run.
WRITTEN = (
    *(f"{name}.png" for name in FIGURES), "samples.npy", "explorer.html",
    *("results.json", "model.npz", "history.csv", "config.json"),
)  # fmt: skip
# Two sets of columns of history.csv. Only these columns may have empty cells: a row fills all columns of a set, or none.
MAY_BE_EMPTY = {"sigma", "train_mse"}, {"train_kl", "train_elbo", "test_kl", "test_elbo"}
CONFIG = {"data": str, "seed": int, "epochs": int, "model": dict}               # fields of every config.json and their types


class Run(NamedTuple):
    """A run in memory. `saved` contains its model, and the state of its training if the run can be resumed."""

    path: Path
    config: dict
    history: list[Record]
    saved: Saved

    @property
    def vae(self) -> VAE:
        """The model of the run."""
        return self.saved.vae


def create(path: Path, overwrite: bool = False) -> Path:
    """Make the directory of a new run and return it.

    If the directory holds a run and `overwrite` is True, the files of this run are removed. Raises ValueError for any other
    directory that is not empty.
    """
    path = Path(path)
    if path.is_dir() and set(path.iterdir()) - set(left_over(path)):
        is_run = holds_run(path)
        if not (overwrite and is_run):
            remedy = "Name another with --out, or add --overwrite." if is_run else "Name another with --out."
            got = f"{path}, which {'holds a run' if is_run else 'is not empty'}"
            refuse("out", "a new or an empty directory", got, remedy)
    make_directory(path)
    for file in (*left_over(path), *(path / name for name in WRITTEN)):
        file.unlink(missing_ok=True)
    return path


def make_directory(path: Path, argument: str = "out") -> Path:
    """Return `path`; make the directory if it does not exist. Raises ValueError if `path` cannot be a directory."""
    must_be_directory(path, argument).mkdir(parents=True, exist_ok=True)
    return path


def must_be_directory(path: Path, argument: str = "out") -> Path:
    """Return `path`. Raises ValueError if `path` or one of its parents is a file or a broken link."""
    for place in (path, *path.parents):
        if os.path.lexists(place) and not place.is_dir():
            got = f"{place}, which is a {'file' if place.exists() else 'link to a path that does not exist'}"
            refuse(argument, "a directory", got, "Name another.")
    return path


def holds_run(path: Path) -> bool:
    """Return True if the directory has a config.json that describes a run, not a config.json of another program."""
    try:
        read_config(path)
    except (ValueError, OSError):
        return False
    return True


def left_over(path: Path) -> list[Path]:
    """Return the temporary files that killed processes left in a directory."""
    names = "|".join(map(re.escape, WRITTEN))
    return [file for file in path.iterdir() if re.fullmatch(rf"\.({names})\.\d+", file.name)]


def write(run: Run) -> None:
    """Write config, history and model, in this order.

    After a crash, each file is either the complete old one or the complete new one. The history may then have epochs that
    the model lacks: `read` leaves them out.
    """
    write_json(run.path / "config.json", run.config)
    with write_atomically(run.path / "history.csv", "w") as file:
        csv.writer(file).writerows([Record._fields, *run.history])
    checkpoint.save(run.path / "model.npz", *run.saved)


def read(path: Path) -> Run:
    """Read a run. Raises ValueError if the directory holds no run, or a damaged one."""
    path = must_hold(path)
    config, saved = read_config(path), checkpoint.read(path / "model.npz")
    described = checkpoint.describe(saved.vae)
    if described | config["model"] != described:
        damaged(path / "model.npz", "its model is not the one that config.json describes")
    history = read_history(path)
    epochs = len(history) if saved.numbers is None else saved.numbers["epoch"] - 1     # number of finished epochs
    if len(history) < epochs:
        damaged(path / "history.csv", f"{len(history)} of {epochs} epochs")
    if saved.vae.noise and any(record.test_elbo is None for record in history):
        damaged(path / "history.csv", "an epoch without its ELBO")
    return Run(path, config, history[:epochs], saved)


def must_hold(path: Path) -> Path:
    """Return `path`. Raises ValueError if it is not a directory with a config.json."""
    if not (Path(path) / "config.json").exists():
        refuse("RUN", "the directory of a run", repr(str(path)), "Make one with `minivae train`; it has a config.json.")
    return Path(path)


def read_config(path: Path) -> dict:
    """Read the config of a run. Raises ValueError if it is damaged, or not the config of a run."""
    config = read_json(path / "config.json")
    for name, kind in CONFIG.items():
        if type(config.get(name)) is not kind or (kind is int and config[name] < 0):
            damaged(path / "config.json", f"{name} is {config.get(name)!r}")
    return config


def read_history(path: Path) -> list[Record]:
    """Read the records of all epochs. Raises ValueError if the file is damaged or an epoch is missing."""
    try:
        with open(regular(path / "history.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        history = [Record(int(row.pop("epoch")), **{name: _number(name, row[name]) for name in row}) for row in rows]
    except (ValueError, TypeError, KeyError, FileNotFoundError, csv.Error) as error:
        damaged(path / "history.csv", error)
    if [record.epoch for record in history] != list(range(1, len(history) + 1)):
        damaged(path / "history.csv", "its epochs are not 1, 2, 3, ...")
    for names in MAY_BE_EMPTY:
        if any(len({getattr(record, name) is None for name in names}) > 1 for record in history):
            damaged(path / "history.csv", f"some of {', '.join(sorted(names))} are missing, but not all")
    return history


def _number(name, text):
    """Return the number in a cell of the history; None for an empty cell of a column in MAY_BE_EMPTY."""
    if text == "" and name in set.union(*MAY_BE_EMPTY):
        return None
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{name} is {number}")
    return number


def results(path: Path) -> dict:
    """Return the results measured at the end of a run; {} if the run has not ended. Raises ValueError for a damaged file."""
    file = path / "results.json"
    found = read_json(file) if file.exists() else {}
    for name in ("log_px", "elbo", "gap"):
        value = found.get(name)
        if value is not None and not (isinstance(value, float) and math.isfinite(value)):
            damaged(file, f"{name} is {value!r}")
    return found


def read_json(path: Path) -> dict:
    """Read the JSON object in a file. Raises ValueError if the file does not contain a JSON object."""
    try:
        document = json.loads(regular(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        damaged(path, error)
    if not isinstance(document, dict):
        damaged(path, "it is not a JSON object")
    return document


def damaged(path: Path, why: object) -> NoReturn:
    """Refuse a run because one of its files is damaged."""
    got = f"{path.parent}, whose {path.name} is damaged ({why})"
    refuse("RUN", "the directory of a run", got, "Restore the file from a copy, or train again.")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a directory while a `with` block runs. Raises ValueError if another process has locked the directory.

    The system releases the lock when the process ends, even if it is killed. On systems that cannot lock directories, such
    as Windows and NFS, this function locks nothing.
    """
    handle = None if fcntl is None else os.open(path, os.O_RDONLY)
    try:
        if handle is not None:
            _lock(handle, path)
        yield
    finally:
        if handle is not None:
            os.close(handle)


alone = locked                                              # kept for programs that use this earlier name of `locked`


def _lock(handle, path):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        rule, got = "a run that no other process writes", f"{path}, which another process trains"
        refuse("out", rule, got, "Wait, or name another.")
    except OSError:                                         # some file systems, such as NFS, cannot lock directories
        pass


def listed(path: Path) -> list[Run]:
    """Return the runs in a directory, sorted by name; the directory itself may be a run.

    Incomplete or damaged runs are skipped. Raises ValueError if the directory does not exist.
    """
    if not Path(path).is_dir():
        refuse("DIR", "a directory", str(path), "Leave out DIR to list the current directory.")
    found = []
    for place in sorted({file.parent for file in [*Path(path).glob("config.json"), *Path(path).glob("*/config.json")]}):
        with contextlib.suppress(ValueError, OSError):
            found.append(read(place))
    return found


def write_json(path: Path, document: dict) -> None:
    """Write a JSON document; after a crash, the file is either the complete old one or the complete new one."""
    with write_atomically(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
