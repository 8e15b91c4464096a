"""The command train: prepare data and model, train or resume a run, measure it, draw its figures, print the results."""

import argparse
import contextlib
import json
import math
import os
import signal
import threading
import time
import zlib
from pathlib import Path

import numpy as np

from minivae import checks, data, runs
from minivae.app.data import reading_of, say_what_was_read
from minivae.app.progress import Progress, Silent, say, tell
from minivae.app.typed import line, option, pasted, replaced
from minivae.evidence import exact_log_px, lower_bounds
from minivae.explorer.evidence import EXPLORER, Evidence
from minivae.likelihood import make_likelihood
from minivae.runs import checkpoint
from minivae.runs.checkpoint import Saved
from minivae.runs.files import write_atomically
from minivae.train import Diverged, Training, in_chunks
from minivae.vae import VAE

MEASURED = 500                                              # most held-out rows that are measured and drawn
EXPLORER_BYTES = 400_000                                    # a larger page is written by `minivae explore` only
MEASURE_SEED = 0                                            # the default of `evaluate`: both commands print the same numbers
SAVE_SECONDS = 5.0                                          # `kill -9` loses at most the last 5 seconds of training
UNIT = "in nats per data point (unit of the natural logarithm; 1 nat = 1.44 bits)"
GAP = "gap = log p(x) - ELBO = KL(q(z|x) || p(z|x)): how far the encoder's Gaussian is from the exact posterior"


def train_and_report(options: argparse.Namespace, again: str) -> int:
    """Train a new or a resumed run, measure it, draw its figures and print the results; return the exit code."""
    began = time.perf_counter()
    if options.save_every is not None:
        checks.whole_number("--save-every", options.save_every, 1)
    path = options.resume or options.out
    if options.resume:
        runs.must_hold(path)
    else:                                                   # refuse bad options before writing or removing any file
        start = new_training(options, again)
        runs.make_directory(path)
    with runs.locked(path):                                 # no other process can write to this run
        training, config, history = resumed(options) if options.resume else start
        make_room(path, training, options)
        run = runs.Run(path, config, history, Saved(training.vae, *training.state()))
        code = run_epochs(run, training, options)
        if code:
            return code
        draws, = np.random.default_rng(MEASURE_SEED).spawn(1)
        results, evidence = measure(training.vae, training.data.few(MEASURED), draws)
        results |= {"seconds": None, "epochs": len(run.history), "files": [], "explorer": None}
        results |= {"seed": config["seed"], "config": config, "command": config["command"]}
        results["read"] = training.data.about.document()
        runs.write_json(run.path / "results.json", results)                     # saves the numbers in case drawing fails
        results["files"] = draw(run, training.data, results)
        results["explorer"] = None if options.no_explorer else explore(run, training.data, evidence)
        results["seconds"] = round(time.perf_counter() - began, 2)
        runs.write_json(run.path / "results.json", results)
    report(options, run, results)
    return 0


# Before training


def make_room(path, training: Training, options: argparse.Namespace) -> None:
    """Remove the files of an earlier run; if a run is resumed, remove only temporary files and outdated results."""
    if not options.resume:
        runs.create(path, options.overwrite)
        return
    for file in runs.left_over(path):
        file.unlink()
    if training.epoch <= training.epochs:
        (path / "results.json").unlink(missing_ok=True)


def new_training(options: argparse.Namespace, again: str) -> tuple[Training, dict, list]:
    """Return a new training of the model that the options describe, its config, and an empty history."""
    whole = data.load(options.data, **reading_of(options))
    likelihood = choose_likelihood(options, whole)
    prepared = prepare_data(whole, likelihood, options.binarize)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    vae = VAE.init(
        rng,
        prepared.train_x.shape[1],
        options.latent,
        options.hidden,
        dtype=options.dtype,
        data_mean=mean_of(prepared),
        likelihood=likelihood,
        activation=options.activation,
        objective=options.objective,
        estimator=options.estimator or ("sampled" if options.objective == "iwae" else "analytic"),
        beta=0.0 if options.autoencoder else options.beta,
        noise=not options.autoencoder,
    )
    settings = {"epochs": 150 if options.epochs is None else options.epochs}
    settings |= {name: getattr(options, name) for name in ("batch", "lr", "samples")}
    config = {"data": options.data, "seed": options.seed, **settings, "model": checkpoint.describe(vae)}
    config |= {"reading": reading_of(options), "binarize": options.binarize, "image_shape": whole.image_shape}
    config |= {"data_places": places_of(options.data, options.out)}
    config |= {"command": again, "data_crc32": checksum(prepared)}
    return Training(vae, prepared, rng, **settings), config, []


def mean_of(prepared: data.Dataset) -> np.ndarray:
    """Return the mean of the training rows, (D,). Raises ValueError if it overflows."""
    with np.errstate(over="ignore"):
        mean = prepared.train_x.mean(axis=0)
    if not np.isfinite(mean).all():
        checks.refuse("--data", "small enough to have a mean", "numbers whose sum is infinite", "Rescale them.")
    return mean


def resumed(options: argparse.Namespace) -> tuple[Training, dict, list]:
    """Return three things of a run: its training, at the step where it stopped; its config; its history."""
    run = runs.read(options.resume)
    if run.saved.numbers is None:
        remedy = "It can be plotted and sampled; train a new run."
        checks.refuse("--resume", "a run with the state of its training", str(options.resume), remedy)
    config = run.config
    for name in ("batch", "lr", "samples", "data_crc32", "command"):
        if name not in config:
            runs.damaged(run.path / "config.json", f"{name} is missing")
    prepared = data_of(run, options.data)
    if options.data is not None:
        places = {"data": options.data, "data_places": places_of(options.data, run.path)}
        config = config | places | {"command": with_option(run, config["command"], "data", options.data)}
    epochs = config["epochs"] if options.epochs is None else options.epochs
    epochs = checks.whole_number("epochs", epochs, run.saved.numbers["epoch"] - 1)
    if epochs != config["epochs"]:
        config = config | {"epochs": epochs, "command": with_option(run, config["command"], "epochs", epochs)}
    settings = {name: config[name] for name in ("epochs", "batch", "lr", "samples")}
    training = Training(run.vae, prepared, np.random.default_rng(config["seed"]), **settings)
    training.restore(run.saved.arrays, run.saved.numbers)
    return training, config, run.history


def with_option(run: runs.Run, command: object, name: str, value: object) -> str:
    """Return the command of a run with another value of this option."""
    try:
        return replaced(str(command), name, value)
    except ValueError as error:
        runs.damaged(run.path / "config.json", f"its command: {error}")


def places_of(source: str, run: Path) -> dict[str, str]:
    """Return the absolute path of the data, and their path from the run: both can be moved together. {} for the digits."""
    if source == "digits":
        return {}
    found, places = os.path.realpath(source), {}
    with contextlib.suppress(ValueError):                   # on another drive of Windows there is no such path
        places["from_run"] = os.path.relpath(found, os.path.realpath(run))
    return places | {"absolute": found}


def places_in(run: runs.Run) -> list[str]:
    """Return where the data of a run may be: seen from the run, then absolute, then as they were named in the command."""
    places, source = run.config.get("data_places", {}), run.config["data"]
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        runs.damaged(run.path / "config.json", f"its data_places are {places!r}")
    if source == "digits":
        return [source]
    found = [str(run.path / places["from_run"])] if "from_run" in places else []
    found += [places["absolute"]] if "absolute" in places else []
    return list(dict.fromkeys(os.path.realpath(place) for place in [*found, source]))


def data_of(run: runs.Run, given: str | None = None) -> data.Dataset:
    """Return the data of a run in the form that its likelihood needs; `given` is where the user says that they are.

    Raises ValueError if they are missing or changed.
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
    elsewhere = "" if given is not None else " If they are elsewhere now, add --data PATH."
    raise data.DataError(f"the data of {run.path}: {missing[0]}{elsewhere}") from missing[0]


def reading_in(run: runs.Run) -> dict:
    """Return the settings of reading of a run; a run without them was made when less was taken from the content."""
    reading = run.config.get("reading", {"older": True})
    if not isinstance(reading, dict):
        runs.damaged(run.path / "config.json", f"its reading is {reading!r}")
    known = {"label": str, "delimiter": str, "image": str, "transpose": bool, "trials": int, "older": bool}
    wrong = [name for name, value in reading.items() if type(value) is not known.get(name)]
    if wrong:
        runs.damaged(run.path / "config.json", f"its reading has {wrong[0]}")
    return reading


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
    except ValueError as error:                             # a column of labels can be the reason
        warned = [note for note in prepared.about.notes if note.startswith("warning")]
        raise ValueError(" ".join([str(error), *warned])) from error
    return prepared


def extremes(prepared: data.Dataset) -> np.ndarray:
    """Return the smallest and the largest number, and one that is not whole if there is one, as a row (1, K).

    A likelihood that accepts these accepts all; a refusal and its remedy then speak of all of the data.
    """
    found = []
    for x in (*in_chunks(prepared.train_x), prepared.test_x):
        broken = x[x != np.rint(x)][:1] if x.dtype.kind == "f" else x[:0, 0]
        found.append(np.concatenate([[x.min(), x.max()], broken]).astype(x.dtype))
    found = np.concatenate(found)
    broken = found[found != np.rint(found)][:1]
    return np.concatenate([[found.min(), found.max()], broken]).astype(found.dtype)[None]


def checksum(prepared: data.Dataset) -> int:
    """Return a checksum of all training and held-out rows, because a run can only be resumed with the same data."""
    crc = 0
    for part in (*in_chunks(prepared.train_x), prepared.test_x):
        crc = zlib.crc32(np.ascontiguousarray(part), crc)
    return crc


def choose_likelihood(options, data):
    """Return the likelihood that the options name; the default is Binomial for counts and Bernoulli for other data."""
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
            checks.refuse("--likelihood binomial", "used with counts 0..n", "data without their n", remedy)
        settings["n"] = data.trials
    return make_likelihood(name, **settings)


# During training


def run_epochs(run: runs.Run, training: Training, options: argparse.Namespace) -> int:
    """Train until the last epoch or a signal, and save the state often; return 0 or the exit code of the signal."""
    every = options.save_every
    progress, stop = Silent() if options.quiet else Progress(training.epochs), StopOnSignal()
    runs.write(run)
    with stop, add_saved_path(run), np.errstate(over="ignore", invalid="ignore"):          # Training checks for overflow
        say_what_was_read(options, training.data)
        say(options, "nats per data point: reconstruction" + " | KL | ELBO" * run.vae.noise)
        saved = time.monotonic()
        for step, record in enumerate(training.steps(), 1):
            if record is not None:
                run.history.append(record)
                progress.update(record.epoch, progress_text(record))
            if step % every == 0 if every else time.monotonic() - saved > SAVE_SECONDS:
                save(run, training)
                saved = time.monotonic()
            if stop.signal:
                break
        progress.end()
        save(run, training)
    if stop.signal:
        resume = f"continue with `{line(['minivae', 'train', *option('resume', run.path)])}`"
        tell(f"minivae: interrupted after {len(run.history)} whole epochs; the model is saved in {run.path}; {resume}")
        return 128 + stop.signal
    return 0


def save(run: runs.Run, training: Training) -> None:
    """Write the run with the present state of its training."""
    runs.write(run._replace(saved=Saved(training.vae, *training.state())))


@contextlib.contextmanager
def add_saved_path(run: runs.Run):
    """Add the path of the saved run to the message if the training diverges."""
    try:
        yield
    except Diverged as error:
        raise Diverged(f"{error} The last good state is in {run.path}.") from None


class StopOnSignal:
    """Inside `with`, the first Ctrl-C or SIGTERM only sets `signal`, so that the step can end; the second acts at once."""

    signal = 0

    def __enter__(self):
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self.before = {number: signal.signal(number, self._note) for number in numbers}   # elsewhere Python forbids handlers

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.signal = number
        self.__exit__()


def progress_text(r) -> str:
    """Return reconstruction | KL | ELBO of training and held-out rows; for a model without noise, reconstruction alone."""
    if r.test_elbo is None:
        return f"train {r.train_reconstruction:8.2f}   held-out {r.test_reconstruction:8.2f}"
    train = f"train {r.train_reconstruction:8.2f} | {r.train_kl:5.2f} | {r.train_elbo:8.2f}"
    return f"{train}   held-out {r.test_reconstruction:8.2f} | {r.test_kl:5.2f} | {r.test_elbo:8.2f}"


# After training


def measure(vae, data, rng, k: int = 1000) -> tuple[dict, Evidence | None]:
    """Return bounds and exact log p(x), means over the held-out rows in nats, and log p(x) of every row for the explorer.

    None for a number that does not exist.
    """
    evidence = None
    names = ("reconstruction", "kl", "elbo", "elbo_se", "iw_bound", "iw_bound_se", "log_px", "log_px_error", "gap")
    results = dict.fromkeys(names) | {"iw_k": k, "held_out": len(data.test_x)}
    if vae.noise:                                           # a plain autoencoder has no q(z|x), so no bound
        bounds = lower_bounds(vae, data.test_x, k, rng)
        for name, values in bounds._asdict().items():
            mean_se = (values**2).sum() ** 0.5 / len(values)
            results[name] = float(mean_se if name.endswith("_se") else values.mean())
        evidence = Evidence(bounds.iw_bound, bounds.iw_bound_se, weights=k)
        results["reconstruction_se"] = results["elbo_se"]   # the KL is exact
    if vae.latent <= 2:
        exact = exact_log_px(vae, data.test_x)
        error = float(exact.error.max())
        evidence = Evidence(exact.log_px, exact.error, exact.box)
        results |= {"log_px": float(exact.log_px.mean()), "log_px_error": error if math.isfinite(error) else None}
    if vae.noise and vae.latent <= 2:
        results["gap"] = results["log_px"] - results["elbo"]
    return results, evidence


def draw(run, data, results: dict) -> list[dict]:
    """Draw and save every figure of a run; return path and alt text of each. `results` contains the measured means."""
    from minivae import figures
    from minivae.figures import style                       # importing matplotlib takes half a second: train first

    rng = np.random.default_rng(run.config["seed"])
    measured = results.get("log_px"), results.get("elbo")
    drawn = figures.all_figures(run.vae, data.few(MEASURED), run.history, rng, *measured)
    files = []
    for name, (figure, alt) in drawn.items():
        path = run.path / f"{name}.png"
        style.save(figure, alt, path)
        files.append({"path": str(path), "alt": alt})
    return files


def explore(run, data, evidence: Evidence) -> str | None:
    """Write the page of the explorer, if it is small; return its path. A plain autoencoder has none."""
    from minivae.explorer import build                      # imports matplotlib, as figures do

    if not run.vae.noise:
        return None
    page = build.build(run.vae, data.few(MEASURED), run.path.resolve().name, evidence)
    if len(page) > EXPLORER_BYTES:
        return None
    with write_atomically(run.path / EXPLORER) as file:
        file.write(page.encode())
    return str(run.path / EXPLORER)


def report(options, run, results: dict) -> None:
    """Print the results on stdout: tables, or one JSON document."""
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("\n".join([*table(results), "files"]))
    for file in ("config.json", "history.csv", "model.npz", "results.json"):
        print(f"  {run.path / file}")
    for file in results["files"]:
        print(f"  {file['path']}")
    if results["explorer"]:
        print(f"  {results['explorer']}   open it in a browser")
    print(f"again  {results['command']}")
    path = pasted(run.path)
    if run.vae.noise:
        print(f"next   minivae evaluate {path}{' --gap' * (run.vae.latent <= 2)}")
    else:
        print(f"next   minivae sample {path}")
    if run.vae.noise and not results["explorer"] and not options.no_explorer:
        print(f"or     minivae explore {path}")
    say(options, f"{results['seconds']:.1f} s in all")


def table(results: dict) -> list[str]:
    """Return a line for each number with its meaning, then the definition of the gap."""
    k, error = results["iw_k"], results["log_px_error"]
    rows = [
        ("reconstruction", "reconstruction", "reconstruction_se", "mean log p(x|z), with z drawn from the encoder's q(z|x)"),
        ("KL", "kl", None, "KL(q(z|x) || p(z)): how far the encoder's Gaussian is from the prior"),
        ("ELBO", "elbo", "elbo_se", "reconstruction - KL: a lower bound of log p(x)"),
        (f"IW bound, k={k}", "iw_bound", "iw_bound_se", "importance-weighted: a tighter lower bound, from k draws of z"),
        ("exact log p(x)", "log_px", None, by_integration(math.inf if error is None else error)),
        ("gap", "gap", "elbo_se", "log p(x) - ELBO"),
    ]
    lines = [f"{results['held_out']} held-out data points; mean +- standard error of the draws", UNIT]
    for label, key, se, meaning in rows:
        if results[key] is not None:
            error = f"+- {results[se]:.3f}" if se else ""
            lines.append(f"  {label:18} {results[key]:9.3f} {error:9}  {meaning}")
    if results["log_px"] is None:
        return [*lines, "  (the exact log p(x) is computed for one or two latent dimensions)"]
    if results["gap"] is None:
        return lines
    parts = "its parts, the encoder's error and the limit of any diagonal Gaussian, are computed by the next command"
    return [*lines, GAP, parts]


def by_integration(error: float) -> str:
    """Return the phrase about log p(x): how it was computed, and a power of ten above its error, at least 0.001."""
    if error == math.inf:
        return "by numerical integration over z, error unknown: some posterior is narrower than the finest grid"
    below = max(0.001, 10.0 ** math.ceil(math.log10(error))) if error > 0 else 0.001
    return f"by numerical integration over z, error below {below:g} nats"
