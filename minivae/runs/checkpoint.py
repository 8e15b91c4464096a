"""Save and read a model, with the state of its training, as an .npz file.

The file contains no pickles, so reading it cannot run code. If the program crashes while it writes, the file is either the
complete old one or the complete new one.
"""

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

FORMAT = 2                                                  # format 1 has no state of the training; both formats can be read


class CheckpointError(ValueError):
    """Raised if a file is missing, damaged or not a model, or cannot be written; the message has the path and the fault."""


def describe(vae: VAE) -> dict:
    """Return all settings of a model, without its parameters, as plain JSON types; `build` makes a model from them."""
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
    """Return a model with random weights and the settings that `describe` returned."""
    settings = dict(description)
    likelihood = make_likelihood(**settings.pop("likelihood"))
    return VAE.init(np.random.default_rng(0), likelihood=likelihood, **settings)


class Saved(NamedTuple):
    """A model and the state of its training. If no state was saved, `arrays` and `numbers` are `None`."""

    vae: VAE
    arrays: dict[str, NDArray] | None = None
    numbers: dict | None = None


def save(path: Path, vae: VAE, arrays: dict[str, NDArray] | None = None, numbers: dict | None = None) -> None:
    """Write the model to `path`, with the arrays and numbers that `Training.state` returned.

    The new file is read back before it replaces the old one. Raises CheckpointError if the new file cannot be read, or if
    an argument cannot be saved (for example, an infinite parameter). After an error, the old file is unchanged.
    """
    members = {f"params/{name}": array for name, array in vae.params.items()}
    bad = [name for name, array in vae.params.items() if not np.isfinite(array).all()]
    if bad:
        raise not_written(path, f"{bad[0]} is infinite or NaN")
    members |= {f"training/{name}": np.asarray(array) for name, array in (arrays or {}).items()}
    bad = [name for name, array in members.items() if array.dtype.hasobject]
    if bad:
        raise not_written(path, f"{bad[0]} holds Python objects")                          # np.savez would pickle them
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
    """Return the error for a file that `save` could not write."""
    return CheckpointError(f"{path}: not written, {why}. The earlier file, if any, is unchanged.")


def load(path: Path) -> VAE:
    """Read a model. Raises CheckpointError (a ValueError) if an array is missing, has a wrong shape or is not finite."""
    return read(path).vae


def read(path: Path) -> Saved:
    """Read a model and the state of its training, if the file has one. Raises CheckpointError for a missing or damaged file.

    The arrays of the training's state are checked later, by `Training.restore`.
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
        raise CheckpointError(f"{path}: this file does not exist. {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not a model written by minivae ({error}).") from error
    training = {name.removeprefix("training/"): arrays.pop(name) for name in list(arrays) if name.startswith("training/")}
    complete = isinstance(numbers, dict) and type(numbers.get("epoch")) is int
    if (training or numbers is not None) and not (training and complete):
        raise CheckpointError(f"{path}: it has only a part of the state of a training.")
    for name, array in vae.params.items():
        saved = arrays[f"params/{name}"]
        if saved.shape != array.shape or saved.dtype != array.dtype or not np.isfinite(saved).all():
            raise CheckpointError(f"{path}: {name} must be finite {array.dtype} of shape {array.shape}.")
        array[...] = saved
    return Saved(vae, training or None, numbers)


def refuse_others(path: Path, arrays: dict[str, NDArray], model: dict) -> None:
    """Refuse parameters whose names or shapes do not belong to the described model.

    A damaged file can describe a model that is too large for the memory. So `read` calls this function first, and makes
    the model afterwards.
    """
    scale = make_likelihood(**model["likelihood"]).scale
    shapes = shapes_of(model["features"], model["latent"], model["hidden"], scale)
    shapes = {f"params/{name}": shape for name, shape in shapes.items()}
    odd = sorted(shapes.keys() ^ {name for name in arrays if not name.startswith("training/")})
    if odd:
        raise CheckpointError(f"{path}: arrays are missing, or do not belong to its model: {', '.join(odd[:3])}.")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise CheckpointError(f"{path}: {name} must be of shape {shape}; got {arrays[name].shape}.")
