"""Find the data of a run, choose its likelihood, and convert the data to the form that this likelihood needs."""

import contextlib
import os
import zlib
from pathlib import Path

import numpy as np

from minivae import checks, data, runs
from minivae.likelihood import make_likelihood
from minivae.train import in_chunks


def choose_likelihood(options, data):
    """Return the likelihood given in the options; the default is Binomial for counts without `binarize`, else Bernoulli."""
    binary = data.trials is None or getattr(options, "binarize", False)
    name = options.likelihood or ("bernoulli" if binary else "binomial")
    settings = {}
    if name == "gaussian":
        settings["sigma"] = "optimal" if options.sigma is None else options.sigma
    elif options.sigma is not None:
        rule = "used with the gaussian likelihood only"
        checks.refuse("--sigma", rule, f"{options.sigma} for {name}", "Add --likelihood gaussian.")
    if name == "binomial":
        if data.trials is None:
            remedy = "Add --trials N, the largest possible count, or use another likelihood."
            checks.refuse("--likelihood binomial", "used with counts 0..n", "data without n", remedy)
        settings["n"] = data.trials
    return make_likelihood(name, **settings)


def prepare_data(whole: data.Dataset, likelihood, binarize: bool = False) -> data.Dataset:
    """Return the data in the form that the likelihood needs: counts for Binomial, sampled zeros and ones with `binarize`.

    In all other cases, counts become fractions from 0 to 1. Raises ValueError if the likelihood does not allow the values of
    the data.
    """
    if binarize and likelihood.name != "bernoulli":
        remedy = "Add --likelihood bernoulli, or leave it out."
        checks.refuse("--binarize", "used with the bernoulli likelihood", likelihood.name, remedy)
    if likelihood.name == "binomial" and whole.trials is not None and whole.trials != likelihood.n:
        remedy = "Its model.npz belongs to other data, or is damaged."
        checks.refuse("the run", f"a model of counts 0..{whole.trials}", f"one of counts 0..{likelihood.n}", remedy)
    prepared = whole.binarized() if binarize else whole if likelihood.takes_counts else whole.as_fractions()
    try:
        likelihood.check(extremes(prepared), "--data")
    except ValueError as error:                             # a warning, such as one about labels, may explain the error
        warned = [note for note in prepared.about.notes if note.startswith("warning: ")]
        raise ValueError(" ".join([str(error), *(f"But first: {note[9:]}" for note in warned[:1])])) from error
    return prepared


def extremes(prepared: data.Dataset) -> np.ndarray:
    """Return a row (1, K): the smallest and the largest number in the data and, if there is one, a number that is not whole.

    If a likelihood accepts these numbers, it accepts all of the data. A likelihood that refuses these numbers refuses all
    of the data with the same message.
    """
    found = []
    for x in in_chunks(prepared.train_x, prepared.test_x):
        broken = x[x != np.rint(x)][:1] if x.dtype.kind == "f" else x[:0, 0]
        found.append(np.concatenate([[x.min(), x.max()], broken]).astype(x.dtype))
    found = np.concatenate(found)
    broken = found[found != np.rint(found)][:1]
    return np.concatenate([[found.min(), found.max()], broken]).astype(found.dtype)[None]


def checksum(prepared: data.Dataset) -> int:
    """Return a checksum of all training and held-out rows, because a run can only be resumed with the same data."""
    crc = 0
    for part in in_chunks(prepared.train_x, prepared.test_x):
        crc = zlib.crc32(np.ascontiguousarray(part), crc)
    return crc


def data_of(run: runs.Run, given: str | None = None) -> data.Dataset:
    """Return the data of a run in the form that the run's likelihood needs.

    If the user gives a path of the data, `given` is this path. Raises ValueError if the data are missing or changed.
    """
    missing, changed = [], []
    for place in places_in(run) if given is None else [given]:
        try:
            whole = data.load(place, **reading_in(run) if place != "digits" else {})
        except data.DataError as error:
            missing.append(error)
            continue
        prepared = prepare_data(whole, run.vae.likelihood, run.config.get("binarize", False))
        crc = checksum(prepared)
        if run.config.get("data_crc32", crc) == crc and prepared.train_x.shape[1] == run.vae.features:
            return prepared
        changed.append(place)
    if changed and given is not None:
        checks.refuse("--data", f"the data on which {run.path} was trained", f"{given}, with other numbers", "Name another.")
    if changed:
        got = f"{run.path}, but {changed[0]} has changed since it was trained"
        checks.refuse("RUN", "a run whose data are unchanged", got, "Restore the old data, or train on the new data.")
    elsewhere = " If they are elsewhere now, add --data PATH."
    if given is not None:
        reading = reading_in(run).items()
        typed = [f"--{name}" + f" {value}" * (value is not True) for name, value in reading if name != "older"]
        elsewhere = f" The run was trained with {' '.join(typed)}: PATH must hold data of the same kind." if typed else ""
    raise data.DataError(f"the data of {run.path}: {missing[0]}{elsewhere}") from missing[0]


def places_in(run: runs.Run) -> list[str]:
    """Return the possible paths of a run's data: relative to the run, absolute, and as typed in the command."""
    places, source = run.config.get("data_places", {}), run.config["data"]
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        runs.damaged(run.path / "config.json", f"its data_places are {places!r}")
    if source == "digits":
        return [source]
    found = [str(run.path / places["from_run"])] if "from_run" in places else []
    found += [places["absolute"]] if "absolute" in places else []
    return list(dict.fromkeys(os.path.realpath(place) for place in [*found, source]))


def places_of(source: str, run: Path) -> dict[str, str]:
    """Return the absolute path of the data, and their path relative to the run; for digits, return {}.

    If the data and the run are moved together, the relative path is still right.
    """
    if source == "digits":
        return {}
    found, places = os.path.realpath(source), {}
    with contextlib.suppress(ValueError):                   # Windows: no relative path to another drive
        places["from_run"] = os.path.relpath(found, os.path.realpath(run))
    return places | {"absolute": found}


def reading_in(run: runs.Run) -> dict:
    """Return the options with which a run read its data. For an old run, which stores no options, return {"older": True}."""
    reading = run.config.get("reading", {"older": True})
    if not isinstance(reading, dict):
        runs.damaged(run.path / "config.json", f"its reading is {reading!r}")
    known = {"label": str, "delimiter": str, "image": str, "transpose": bool, "trials": int, "older": bool}
    wrong = [name for name, value in reading.items() if type(value) is not known.get(name)]
    if wrong:
        runs.damaged(run.path / "config.json", f"its reading has {wrong[0]}")
    return reading
