"""A trained model in one file: a pickle-free .npz, written so that a crash leaves the old file or the new one, whole."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from minivae.likelihood import make_likelihood
from minivae.strict import read_npz
from minivae.vae import VAE

FORMAT = 1


class CheckpointError(ValueError):
    """A file that is not a whole, well-formed model; the message names it and what is wrong."""


def describe(vae: VAE) -> dict:
    """Everything but the numbers: what `build` needs to make the same model again. Plain JSON types only."""
    return {
        "features": vae.features,
        "latent": vae.latent,
        "hidden": list(vae.hidden),
        "dtype": vae.dtype.name,
        "likelihood": {"name": vae.likelihood.name, **dataclasses.asdict(vae.likelihood)},
        "activation": vae.activation,
        "beta": vae.beta,
        "estimator": vae.estimator,
        "objective": vae.objective,
        "noise": vae.noise,
    }


def build(description: dict) -> VAE:
    """A model of that description, with fresh weights."""
    settings = dict(description)
    likelihood = make_likelihood(**settings.pop("likelihood"))
    return VAE.init(np.random.default_rng(0), likelihood=likelihood, **settings)


def save(path: Path, vae: VAE) -> None:
    """Write the model to `path`, atomically."""
    about = json.dumps({"format": FORMAT, "model": describe(vae)})
    with write_atomically(path) as file:
        np.savez(file, about=np.array(about), **{f"params/{name}": array for name, array in vae.params.items()})


def load(path: Path) -> VAE:
    """Read a model back. Raises CheckpointError (a ValueError) unless every array is there, of its shape, and finite."""
    try:
        arrays = read_npz(path)
        about = json.loads(str(arrays.pop("about")))
        if about["format"] > FORMAT:
            raise CheckpointError(f"{path}: written by a newer minivae (format {about['format']}, this one reads {FORMAT}).")
        vae = build(about["model"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file. Name the directory of a run.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a model written by minivae ({error}).") from error
    expected = {f"params/{name}": array for name, array in vae.params.items()}
    if arrays.keys() != expected.keys():
        raise CheckpointError(f"{path}: expected the arrays {sorted(expected)}; got {sorted(arrays)}.")
    for name, array in expected.items():
        came = arrays[name]
        if came.shape != array.shape or came.dtype != array.dtype or not np.isfinite(came).all():
            raise CheckpointError(f"{path}: {name} must be finite {array.dtype} of shape {array.shape}.")
        array[...] = came
    return vae


@contextlib.contextmanager
def write_atomically(path: Path, mode: str = "wb") -> Iterator[IO]:
    """`with write_atomically(path) as file`: the bytes are on disk under `path` when the block ends, or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")    # same directory: a rename there is one indivisible step
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
