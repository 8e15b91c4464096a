"""The command train: start or resume a training run and save it often; `results` measures the model and draws figures."""

import argparse
import contextlib
import signal
import threading
import time
from concurrent.futures import Executor

import numpy as np

from minivae import checks, data, runs
from minivae.app.data import reading_of, say_what_was_read
from minivae.app.process import other_processes
from minivae.app.progress import Progress, Silent, say, tell
from minivae.app.results import IW_DRAWS, MEASURED, draw_model, draw_training, explore, import_figures, measure, report
from minivae.app.run_data import checksum, choose_likelihood, data_of, places_of, prepare_data
from minivae.app.typed import line, option, replaced
from minivae.data.dataset import pixels_of
from minivae.evidence import lower_bounds
from minivae.runs import checkpoint
from minivae.runs.checkpoint import Saved
from minivae.train import Diverged, Training
from minivae.vae import VAE

MEASURE_SEED = 0                                            # `evaluate` has the same default seed: it prints the same bounds
SAVE_SECONDS = 5.0                                          # time between saves: `kill -9` loses at most 5 s of training


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
        with other_processes(1) as other:                   # a second process: 40 % less time after the training
            other.submit(import_figures)                    # at the same time as the training
            code = run_epochs(run, training, options)
            if code:
                return code
            results = measure_and_draw(run, training.data, options, other)
        results["seconds"] = round(time.perf_counter() - began, 2)
        runs.write_json(run.path / "results.json", results)
    report(options, run, results)
    return 0


def measure_and_draw(run: runs.Run, whole: data.Dataset, options: argparse.Namespace, other: Executor) -> dict:
    """Measure a trained run, write its results, figures and explorer; return the results.

    `other` computes the bounds and draws the figures of the model, while this process does the rest.
    """
    held_out, config = whole.few(MEASURED).without_training(), run.config
    draws, = np.random.default_rng(MEASURE_SEED).spawn(1)
    bounds = other.submit(lower_bounds, run.vae, held_out.test_x, IW_DRAWS, draws) if run.vae.noise else None
    of_model = other.submit(draw_model, run, held_out)
    results, evidence = measure(run.vae, held_out, bounds)
    results |= {"seconds": None, "epochs": len(run.history), "files": [], "explorer": None}
    results |= {"seed": config["seed"], "config": config, "command": config["command"]}
    results["read"] = whole.about.document()
    runs.write_json(run.path / "results.json", results)                         # saves the numbers in case drawing fails
    of_training = draw_training(run, len(held_out.test_x), results)
    if not options.no_explorer:
        results["explorer"] = explore(run, held_out, evidence, whole.step(MEASURED))
    results["files"] = of_training + of_model.result()
    return results


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
    config |= {"data_places": places_of(options.data, options.out), "pixels": pixels_of(prepared.test_x)}
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
    """Return three parts of a run: its training at the last saved step, its config and its history."""
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
    """Return the command of a run, with the option `name` changed to `value`."""
    try:
        return replaced(str(command), name, value)
    except ValueError as error:
        runs.damaged(run.path / "config.json", f"its command: {error}")


# During training


def run_epochs(run: runs.Run, training: Training, options: argparse.Namespace) -> int:
    """Train until the last epoch ends or a signal comes; save the run often. Return 0, or 128 + the number of the signal."""
    every = options.save_every
    progress, stop = Silent() if options.quiet else Progress(training.epochs), StopOnSignal()
    runs.write(run)
    with stop, add_saved_path(run), np.errstate(over="ignore", invalid="ignore"):  # `Training` checks for overflow
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
    """Write the run with the current state of its training."""
    runs.write(run._replace(saved=Saved(training.vae, *training.state())))


@contextlib.contextmanager
def add_saved_path(run: runs.Run):
    """Add the path of the saved run to the message if the training diverges."""
    try:
        yield
    except Diverged as error:
        raise Diverged(f"{error} The last good state is in {run.path}.") from None


class StopOnSignal:
    """A context manager. Inside `with`, the first Ctrl-C or SIGTERM only sets `signal`, so the current step goes on.

    A second signal acts at once.
    """

    signal = 0

    def __enter__(self):
        # only the main thread may set handlers
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self.before = {number: signal.signal(number, self._note) for number in numbers}

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
