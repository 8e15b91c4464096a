"""A trained model in one file: a pickle-free .npz, written so that a crash leaves the old file or the new one, whole."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.data.formats import read_npz
from minivae.likelihood import make_likelihood
from minivae.params import shapes_of
from minivae.runs.files import write_atomically
from minivae.vae import VAE

FORMAT = 2                                                  # 1 had no training, and is read as well


class CheckpointError(ValueError):
    """A file that is not a whole, well-formed model; the message names it and what is wrong."""


def describe(vae: VAE) -> dict:
    """Everything but the parameters: what `build` needs to make such a model again. Plain JSON types only."""
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


class Saved(NamedTuple):
    """What a file holds: the model and, of a training that can go on, its arrays and numbers (else None)."""

    vae: VAE
    arrays: dict[str, NDArray] | None = None
    numbers: dict | None = None


def save(path: Path, vae: VAE, arrays: dict[str, NDArray] | None = None, numbers: dict | None = None) -> None:
    """Write the model, and what `Training.state` gives of its training, to `path`: atomically, and nothing but numbers.

    Raises CheckpointError if a parameter is infinite or NaN, or `read` would refuse the file: what it returns is read
    back before the old file is replaced.
    """
    members = {f"params/{name}": array for name, array in vae.params.items()}
    bad = [name for name, array in vae.params.items() if not np.isfinite(array).all()]
    if bad:
        raise not_written(path, f"{bad[0]} is infinite or NaN")
    members |= {f"training/{name}": np.asarray(array) for name, array in (arrays or {}).items()}
    bad = [name for name, array in members.items() if array.dtype.hasobject]
    if bad:
        raise not_written(path, f"{bad[0]} holds Python objects")                          # only a pickle could store them
    try:
        about = json.dumps({"format": FORMAT, "model": describe(vae), "training": numbers})
    except (TypeError, ValueError) as error:
        raise not_written(path, str(error)) from error
    with write_atomically(path) as file:
        np.savez(file, about=np.array(about), **members)
        file.flush()
        try:
            read(file.name)
        except CheckpointError as error:
            raise not_written(path, str(error).removeprefix(f"{file.name}: ").removesuffix(".")) from error


def not_written(path: Path, why: str) -> CheckpointError:
    """The error that says why `save` left everything as it was."""
    return CheckpointError(f"{path}: not written, {why}. What was there before is still there.")


def load(path: Path) -> VAE:
    """Read a model back. Raises CheckpointError (a ValueError) unless every array is there, of its shape, and finite."""
    return read(path).vae


def read(path: Path) -> Saved:
    """The model and its training, if that was written. Raises CheckpointError unless all of it is whole.

    What the arrays of the training have to be, `Training.restore` knows.
    """
    try:
        arrays = read_npz(path)
        about = json.loads(str(arrays.pop("about")))
        if about["format"] > FORMAT:
            raise CheckpointError(f"{path}: written by a newer minivae (format {about['format']}, this one reads {FORMAT}).")
        if type(about["format"]) is not int or about["format"] < 1:
            raise CheckpointError(f"{path}: not a model written by minivae (its format is {about['format']!r}).")
        refuse_others(path, arrays, about["model"])
        vae, numbers = build(about["model"]), about.get("training")
    except FileNotFoundError as error:
        remedy = "Name the directory of a run, or train again with --overwrite."
        raise CheckpointError(f"{path}: there is no such file. {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a model written by minivae ({error}).") from error
    training = {name.removeprefix("training/"): arrays.pop(name) for name in list(arrays) if name.startswith("training/")}
    whole = isinstance(numbers, dict) and type(numbers.get("epoch")) is int
    if (training or numbers is not None) and not (training and whole):
        raise CheckpointError(f"{path}: it has half of a training.")
    for name, array in vae.params.items():
        came = arrays[f"params/{name}"]
        if came.shape != array.shape or came.dtype != array.dtype or not np.isfinite(came).all():
            raise CheckpointError(f"{path}: {name} must be finite {array.dtype} of shape {array.shape}.")
        array[...] = came
    return Saved(vae, training or None, numbers)


def refuse_others(path: Path, arrays: dict[str, NDArray], model: dict) -> None:
    """Refuse parameters of other names and shapes than a model has: before it is made, for it may be of any size."""
    scale = make_likelihood(**model["likelihood"]).scale
    shapes = shapes_of(model["features"], model["latent"], model["hidden"], scale)
    shapes = {f"params/{name}": shape for name, shape in shapes.items()}
    odd = sorted(shapes.keys() ^ {name for name in arrays if not name.startswith("training/")})
    if odd:
        raise CheckpointError(f"{path}: expected the arrays of its model; not in both: {', '.join(odd[:3])}.")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise CheckpointError(f"{path}: {name} must be of shape {shape}; got {arrays[name].shape}.")
