"""The command train: what a run begins with, how it goes on after an interrupt, and what it ends in."""

import argparse
import contextlib
import json
import shlex
import signal
import time
import zlib

import numpy as np

from minivae import checks, data, runs
from minivae.app.progress import Progress, Silent, say, tell
from minivae.evidence import exact_log_px, lower_bounds
from minivae.likelihood import make_likelihood
from minivae.runs import checkpoint
from minivae.runs.checkpoint import Saved
from minivae.train import Diverged, Training, in_chunks
from minivae.vae import VAE

MEASURED = 500                                              # held-out rows that are measured and drawn at the end, at most

SAVE_SECONDS = 5.0                                          # a kill -9 loses no more than that


def learn(options: argparse.Namespace, again: str) -> int:
    """Train a fresh or a resumed run to its end, measure, draw and report; the exit code."""
    began = time.perf_counter()
    if options.save_every is not None:
        checks.whole_number("--save-every", options.save_every, 1)
    path = options.resume or options.out
    if options.resume:
        runs.must_hold(path)
    else:                                                   # nothing is made or removed for what is refused
        start = fresh(options, again)
        runs.make_directory(path)
    with runs.alone(path):                                  # nobody writes what is read here
        training, config, history = resumed(options) if options.resume else start
        make_room(path, training, options)
        run = runs.Run(path, config, history, Saved(training.vae, *training.state()))
        code = go_on(run, training, options)
        if code:
            return code
        results = measure(training.vae, training.data.few(MEASURED), training.rng)
        results |= {"seconds": None, "epochs": len(run.history), "files": [], "seed": config["seed"]}
        results |= {"config": config, "command": config["command"]}
        runs.write_json(run.path / "results.json", results)                     # whatever becomes of the figures
        results["files"] = draw(run, training.data, results["log_px"])
        results["seconds"] = round(time.perf_counter() - began, 2)
        runs.write_json(run.path / "results.json", results)
    report(options, run, results)
    return 0


# The beginning


def make_room(path, training: Training, options: argparse.Namespace) -> None:
    """Remove what an earlier run left and, of one that goes on, what will be no longer true."""
    if not options.resume:
        runs.create(path, options.overwrite)
        return
    for file in runs.left_over(path):
        file.unlink()
    if training.epoch <= training.epochs:
        (path / "results.json").unlink(missing_ok=True)


def fresh(options: argparse.Namespace, again: str) -> tuple[Training, dict, list]:
    """A new training of the model that the options describe, its config, and an empty history."""
    whole = data.load(options.data)
    likelihood = choose_likelihood(options, whole)
    learned = as_learned(whole, likelihood, options.binarize)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    vae = VAE.init(
        rng,
        learned.train_x.shape[1],
        options.latent,
        options.hidden,
        dtype=options.dtype,
        data_mean=mean_of(learned),
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
    config |= {"binarize": options.binarize, "command": again, "data_crc32": fingerprint(learned)}
    return Training(vae, learned, rng, **settings), config, []


def mean_of(learned: data.Dataset) -> np.ndarray:
    """The mean of the data to learn from, (D,). Raises ValueError if they are too large to have one."""
    with np.errstate(over="ignore"):
        mean = learned.train_x.mean(axis=0)
    if not np.isfinite(mean).all():
        checks.refuse("--data", "small enough to have a mean", "numbers whose sum is infinite", "Rescale them.")
    return mean


def resumed(options: argparse.Namespace) -> tuple[Training, dict, list]:
    """The training of a run, where it was left."""
    run = runs.read(options.resume)
    if run.saved.numbers is None:
        remedy = "It can be plotted and sampled; train another."
        checks.refuse("--resume", "a run that holds its training", str(options.resume), remedy)
    config = run.config
    for name in ("batch", "lr", "samples", "data_crc32", "command"):
        if name not in config:
            runs.damaged(run.path / "config.json", f"{name} is missing")
    learned = learned_by(run)
    epochs = config["epochs"] if options.epochs is None else options.epochs
    epochs = checks.whole_number("epochs", epochs, run.saved.numbers["epoch"] - 1)
    if epochs != config["epochs"]:
        config = config | {"epochs": epochs, "command": with_epochs(run, epochs)}
    settings = {name: config[name] for name in ("epochs", "batch", "lr", "samples")}
    training = Training(run.vae, learned, np.random.default_rng(config["seed"]), **settings)
    training.restore(run.saved.arrays, run.saved.numbers)
    return training, config, run.history


def with_epochs(run: runs.Run, epochs: int) -> str:
    """The command that makes the longer run at once."""
    try:
        words = shlex.split(str(run.config["command"]))
    except ValueError as error:
        runs.damaged(run.path / "config.json", f"its command: {error}")
    if "--epochs" in words:
        at = words.index("--epochs")
        del words[at : at + 2]
    return shlex.join([*words, "--epochs", str(epochs)])


def learned_by(run: runs.Run) -> data.Dataset:
    """The data of a run as it learns from them. Raises ValueError if they are not there, or not those it began with."""
    try:
        whole = data.load(run.config["data"])
    except data.DataError as error:
        raise data.DataError(f"the data of {run.path}: {error}") from error
    learned = as_learned(whole, run.vae.likelihood, run.config.get("binarize", False))
    crc = fingerprint(learned)
    if run.config.get("data_crc32", crc) != crc:
        came = f"{run.path}, which learned from other data than {run.config['data']} holds now"
        checks.refuse("RUN", "a run whose data are unchanged", came, "Put them back, or train on the new ones.")
    return learned


def as_learned(whole: data.Dataset, likelihood, binarize: bool = False) -> data.Dataset:
    """The data as the likelihood sees them: counts for Binomial, zeros and ones if asked for, else fractions.

    Raises ValueError if they could not have come from it.
    """
    if binarize and likelihood.name != "bernoulli":
        remedy = "Add --likelihood bernoulli, or leave it out."
        checks.refuse("--binarize", "asked of the bernoulli likelihood", likelihood.name, remedy)
    counts = likelihood.name == "binomial"
    if counts and whole.trials is not None and whole.trials != likelihood.n:
        remedy = "Its model.npz is of other data, or damaged."
        checks.refuse("the run", f"a model of counts 0..{whole.trials}", f"one of 0..{likelihood.n}", remedy)
    learned = whole.binarized() if binarize else whole if counts else whole.as_fractions()
    for x in (*in_chunks(learned.train_x), learned.test_x):
        likelihood.check(x, "--data")
    return learned


def fingerprint(learned: data.Dataset) -> int:
    """A checksum of the data, those held out as well: a run is gone on with on the same data, or not at all."""
    crc = 0
    for part in (*in_chunks(learned.train_x), learned.test_x):
        crc = zlib.crc32(np.ascontiguousarray(part), crc)
    return crc


def choose_likelihood(options, data):
    """The likelihood asked for; else what the data are: Binomial for counts, Bernoulli for the rest."""
    binary = data.trials is None or getattr(options, "binarize", False)
    name = options.likelihood or ("bernoulli" if binary else "binomial")
    settings = {}
    if name == "gaussian":
        settings["sigma"] = "optimal" if options.sigma is None else options.sigma
    elif options.sigma is not None:
        rule = "given for the gaussian likelihood only"
        checks.refuse("--sigma", rule, f"{options.sigma} for {name}", "Add --likelihood gaussian.")
    if name == "binomial":
        if data.trials is None:
            remedy = "Only the bundled digits are counts."
            checks.refuse("--likelihood", "bernoulli or gaussian for these data", "binomial", remedy)
        settings["n"] = data.trials
    return make_likelihood(name, **settings)


# On the way


def go_on(run: runs.Run, training: Training, options: argparse.Namespace) -> int:
    """Train until the end or until asked to stop; 0, or the exit code of the signal. The state is written down often."""
    every = options.save_every
    progress, stop = Silent() if options.quiet else Progress(training.epochs), StopOnSignal()
    runs.write(run)
    with stop, kept_if_it_diverges(run), np.errstate(over="ignore", invalid="ignore"):      # it is looked for
        say(options, "nats per datum: reconstruction" + " | KL | ELBO" * run.vae.noise)
        written = time.monotonic()
        for step, record in enumerate(training.steps(), 1):
            if record is not None:
                run.history.append(record)
                progress.update(record.epoch, progress_text(record))
            if step % every == 0 if every else time.monotonic() - written > SAVE_SECONDS:
                keep(run, training)
                written = time.monotonic()
            if stop.signal:
                break
        progress.end()
        keep(run, training)
    if stop.signal:
        after = f"{len(run.history)} whole epochs"
        hint = f"go on with `minivae train --resume {shlex.quote(str(run.path))}`"
        tell(f"minivae: interrupted after {after}; the model is kept in {run.path}; {hint}")
        return 128 + stop.signal
    return 0


def keep(run: runs.Run, training: Training) -> None:
    """Write the run down as it is now."""
    runs.write(run._replace(saved=Saved(training.vae, *training.state())))


@contextlib.contextmanager
def kept_if_it_diverges(run: runs.Run):
    """When the loss is no number any more, say where the last good state is."""
    try:
        yield
    except Diverged as error:
        raise Diverged(f"{error} The last good state is in {run.path}.") from None


class StopOnSignal:
    """While this is entered, Ctrl-C and SIGTERM let the step that runs end first; asked again, it ends at once."""

    signal = 0

    def __enter__(self):
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        self.signal = number
        self.__exit__()


def progress_text(r) -> str:
    """reconstruction | KL | ELBO, of both halves of the data; without noise the reconstruction alone."""
    if r.test_elbo is None:
        return f"train {r.train_reconstruction:8.2f}   held-out {r.test_reconstruction:8.2f}"
    train = f"train {r.train_reconstruction:8.2f} | {r.train_kl:5.2f} | {r.train_elbo:8.2f}"
    return f"{train}   held-out {r.test_reconstruction:8.2f} | {r.test_kl:5.2f} | {r.test_elbo:8.2f}"


# The end


def measure(vae, data, rng, k: int = 1000) -> dict:
    """Bounds and exact log p(x) on the held-out data: nats, mean per datum; None where a number does not exist."""
    names = ("reconstruction", "kl", "elbo", "elbo_se", "iw_bound", "iw_bound_se", "log_px", "log_px_error", "gap")
    results = dict.fromkeys(names) | {"iw_k": k, "held_out": len(data.test_x)}
    if vae.noise:                                           # a plain autoencoder has no q(z|x): no bound
        bounds = lower_bounds(vae, data.test_x, k, rng)
        for name, values in bounds._asdict().items():
            mean_se = (values**2).sum() ** 0.5 / len(values)
            results[name] = float(mean_se if name.endswith("_se") else values.mean())
        results["reconstruction_se"] = results["elbo_se"]   # the KL has none
    if vae.latent <= 2:
        exact = exact_log_px(vae, data.test_x)
        results |= {"log_px": float(exact.log_px.mean()), "log_px_error": float(exact.error.max())}
    if vae.noise and vae.latent <= 2:
        results["gap"] = results["log_px"] - results["elbo"]
    return results


def draw(run, data, log_px: float | None) -> list[dict]:
    """Draw and save every figure of a run; returns path and alt text of each."""
    from minivae import figures
    from minivae.figures import style  # matplotlib takes half a second: after what was asked for

    drawn = figures.all_figures(run.vae, data.few(MEASURED), run.history, np.random.default_rng(run.config["seed"]), log_px)
    files = []
    for name, (figure, alt) in drawn.items():
        path = run.path / f"{name}.png"
        style.save(figure, alt, path)
        files.append({"path": str(path), "alt": alt})
    return files


def report(options, run, results: dict) -> None:
    """The results on stdout: a table, or one JSON document."""
    if options.json:
        print(json.dumps(results, indent=2))
        return
    rows = [
        ("reconstruction", "reconstruction", "reconstruction_se", "E log p(x|z)"),
        ("KL", "kl", None, "KL(q(z|x) || p(z)), in closed form"),
        ("ELBO", "elbo", "elbo_se", "reconstruction - KL"),
        (f"IW bound, k={results['iw_k']}", "iw_bound", "iw_bound_se", "importance-weighted"),
        ("exact log p(x)", "log_px", None, f"by quadrature, sure to {results['log_px_error'] or 0:.0e}"),
        ("gap", "gap", "elbo_se", "log p(x) - ELBO"),
    ]
    print(f"{results['held_out']} held-out data, nats per datum (+- standard error of the draws)")
    for label, key, se, meaning in rows:
        if results[key] is not None:
            error = f"+- {results[se]:.3f}" if se else ""
            print(f"  {label:18} {results[key]:9.3f} {error:9}  {meaning}")
    if results["log_px"] is None:
        print("  (the exact log p(x) is computed for one or two latent dimensions)")
    print("files")
    for file in ("config.json", "history.csv", "model.npz", "results.json"):
        print(f"  {run.path / file}")
    for file in results["files"]:
        print(f"  {file['path']}")
    print(f"again  {results['command']}")
    print(f"next   minivae sample {shlex.quote(str(run.path))}")
    say(options, f"{results['seconds']:.1f} s in all")
