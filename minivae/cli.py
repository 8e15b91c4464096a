"""The command `minivae`. Results go to stdout, progress and messages to stderr.

Exit codes: 0 fine, 1 a check failed, 2 usage or bad input, 130 interrupted with what was done saved.
Nothing heavy is imported before a command runs: `--help` needs neither numpy nor matplotlib.
"""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from minivae import __version__
from minivae.command import run

EXAMPLES = """examples:
  minivae train                                  learn the bundled digits, into minivae-out/
  minivae train --latent 10 --out wide           with ten latent dimensions
  minivae plot minivae-out                       draw a run's figures again
  minivae sample minivae-out -n 100              new digits, as a picture and as .npy
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return run(make_parser(), argv)


def make_parser() -> argparse.ArgumentParser:
    """Every command and option, with its default."""
    raw = argparse.RawDescriptionHelpFormatter
    about = "A variational autoencoder in NumPy, every gradient written by hand."
    parser = argparse.ArgumentParser("minivae", description=about, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"minivae {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=0, help="of everything random (default: %(default)s)")
    common.add_argument("-q", "--quiet", action="store_true", help="no progress, no messages")
    common.add_argument("--json", action="store_true", help="print the results as one JSON document")
    common.add_argument("--overwrite", action="store_true", help="replace what an earlier command wrote")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")

    train = commands.add_parser("train", parents=[common], help="learn a data set", description="Train a VAE.")
    train.set_defaults(command=train_command)
    add = train.add_argument
    data = "the bundled digits, or .npz .npy .csv IDX, or MNIST's directory"
    add("--data", default="digits", metavar="digits|PATH", help=data)
    add("--latent", type=int, default=2, metavar="J", help="latent dimensions (default: %(default)s)")
    add("--hidden", type=widths, default=(128, 64), metavar="H,H", help="hidden layers of the encoder (default: 128,64)")
    add("--likelihood", metavar="NAME", help="bernoulli, binomial or gaussian (default: what the data are)")
    add("--sigma", type=number_or_word, metavar="S", help="of the gaussian: a number, learned or optimal (default: optimal)")
    add("--beta", type=float, default=1.0, help="weight of the KL; the loss is a bound only at 1 (default: 1)")
    add("--samples", type=int, default=1, metavar="L", help="draws of z for every datum (default: %(default)s)")
    add("--objective", default="elbo", metavar="NAME", help="elbo, or iwae: the bound with --samples weights (default: elbo)")
    add("--estimator", metavar="NAME", help="of the KL: analytic, sampled or path (default: analytic; sampled for iwae)")
    add("--autoencoder", action="store_true", help="no noise and beta 0: a plain autoencoder, for contrast")
    add("--activation", default="tanh", metavar="NAME", help="tanh or relu (default: tanh)")
    add("--epochs", type=int, default=150, metavar="N", help="passes over the data (default: %(default)s)")
    add("--batch", type=int, default=128, metavar="B", help="rows in a mini-batch (default: %(default)s)")
    add("--lr", type=float, default=2e-3, metavar="RATE", help="Adam's learning rate (default: %(default)s)")
    add("--dtype", default="float32", metavar="NAME", help="float32 or float64 (default: float32)")
    add("--out", type=Path, default=Path("minivae-out"), metavar="DIR", help="where the run goes (default: %(default)s)")

    plot = commands.add_parser("plot", parents=[common], help="draw a run's figures again")
    plot.set_defaults(command=plot_command)
    sample = commands.add_parser("sample", parents=[common], help="draw new data from a trained model")
    sample.set_defaults(command=sample_command)
    sample.add_argument("-n", type=int, default=64, help="how many (default: %(default)s)")
    for command in (plot, sample):
        command.add_argument("run", type=Path, metavar="RUN", help="the directory of a run")
        command.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: into RUN)")
    return parser


def widths(text: str) -> tuple[int, ...]:
    """"128,64" -> (128, 64); "none" -> no hidden layer."""
    return () if text == "none" else tuple(int(width) for width in text.split(","))


def number_or_word(text: str) -> float | str:
    """"0.5" -> 0.5; "learned" as it is."""
    try:
        return float(text)
    except ValueError:
        return text


# train


def train_command(options: argparse.Namespace) -> int:
    """Train, measure, draw, and say what came out."""
    if options.data == "digits":
        use_one_thread()
    import numpy as np

    from minivae import checkpoint, checks, data, runs
    from minivae.progress import Progress, Silent
    from minivae.train import train
    from minivae.vae import VAE

    began = time.perf_counter()
    whole = data.load(options.data)
    likelihood = choose_likelihood(options, whole)
    learned = whole if likelihood.name == "binomial" else whole.as_fractions()
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    vae = VAE.init(
        rng,
        learned.train_x.shape[1],
        options.latent,
        options.hidden,
        dtype=options.dtype,
        data_mean=learned.train_x.mean(axis=0),
        likelihood=likelihood,
        activation=options.activation,
        objective=options.objective,
        estimator=options.estimator or ("sampled" if options.objective == "iwae" else "analytic"),
        beta=0.0 if options.autoencoder else options.beta,
        noise=not options.autoencoder,
    )
    stop = StopOnInterrupt()
    settings = {name: getattr(options, name) for name in ("epochs", "batch", "lr", "samples")}
    epochs = train(vae, learned, rng, **settings, stop=stop)
    config = {"data": options.data, "seed": options.seed, **settings, "model": checkpoint.describe(vae)}
    run = runs.Run(runs.create(options.out, options.overwrite), config, [], vae)
    progress = Silent() if options.quiet else Progress(options.epochs)
    with stop:
        say(options, "nats per datum: reconstruction | KL | ELBO")
        for record in epochs:
            run.history.append(record)
            progress.update(record.epoch, progress_text(record))
    progress.end()
    runs.write(run)
    if stop.asked:
        after = f"{len(run.history)} whole epochs"
        print(f"minivae: interrupted after {after}; the model is kept in {run.path}", file=sys.stderr)
        return 130
    results = measure(vae, learned, rng)
    files = draw(run, learned, results["log_px"])
    results |= {
        "seconds": round(time.perf_counter() - began, 2),
        "epochs": len(run.history),
        "files": files,
        "seed": options.seed,
        "config": config,
        "command": command_again(options),
    }
    runs.write_json(run.path / "results.json", results)
    report(options, run, results)
    return 0


def choose_likelihood(options, data):
    """The likelihood asked for; else what the data are: Binomial for counts, Bernoulli for the rest."""
    from minivae.checks import refuse
    from minivae.likelihood import make_likelihood

    name = options.likelihood or ("bernoulli" if data.trials is None else "binomial")
    settings = {}
    if name == "gaussian":
        settings["sigma"] = "optimal" if options.sigma is None else options.sigma
    elif options.sigma is not None:
        rule = "given for the gaussian likelihood only"
        refuse("--sigma", rule, f"{options.sigma} for {name}", "Add --likelihood gaussian.")
    if name == "binomial":
        if data.trials is None:
            remedy = "Only the bundled digits are counts."
            refuse("--likelihood", "bernoulli or gaussian for these data", "binomial", remedy)
        settings["n"] = data.trials
    return make_likelihood(name, **settings)


class StopOnInterrupt:
    """While this is entered, Ctrl-C lets the step that runs end first; asked again, it ends at once."""

    asked = False

    def __call__(self) -> bool:
        return self.asked

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, self._ask)

    def __exit__(self, *error):
        signal.signal(signal.SIGINT, self.before)

    def _ask(self, number, frame):
        self.asked = True
        signal.signal(signal.SIGINT, self.before)


def progress_text(r) -> str:
    """reconstruction | KL | ELBO, of both halves of the data."""
    train = f"train {r.train_reconstruction:8.2f} | {r.train_kl:5.2f} | {r.train_elbo:8.2f}"
    return f"{train}   held-out {r.test_reconstruction:8.2f} | {r.test_kl:5.2f} | {r.test_elbo:8.2f}"


def measure(vae, data, rng, k: int = 1000) -> dict:
    """Bounds and exact log p(x) on the held-out data: nats, mean per datum; None where a number does not exist."""
    from minivae.evidence import exact_log_px, lower_bounds

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
    import numpy as np

    from minivae import drawing, figures

    drawn = figures.all_figures(run.vae, data, run.history, np.random.default_rng(run.config["seed"]), log_px)
    files = []
    for name, (figure, alt) in drawn.items():
        path = run.path / f"{name}.png"
        drawing.save(figure, alt, path)
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


def command_again(options) -> str:
    """The command that makes this run again: what differs from the defaults, and the seed."""
    defaults = vars(make_parser().parse_args(["train"]))
    words = ["minivae", "train", "--seed", str(options.seed)]
    for name, value in vars(options).items():
        if value == defaults[name] or name in ("seed", "quiet", "json", "overwrite", "debug", "out"):
            continue
        text = ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
        words += [f"--{name}"] if value is True else [f"--{name}", text]
    return shlex.join([*words, "--out", str(options.out)])


# plot and sample


def plot_command(options: argparse.Namespace) -> int:
    """Draw a run's figures again."""
    run, data = open_run(options.run)
    saved = run.path / "results.json"
    log_px = json.loads(saved.read_text(encoding="utf-8"))["log_px"] if saved.exists() else None
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        run = run._replace(path=options.out)
    files = draw(run, data, log_px)
    print(json.dumps({"files": files}, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def sample_command(options: argparse.Namespace) -> int:
    """Draw x ~ p(x|z) with z from the prior; write an array and, of pictures, a picture."""
    use_one_thread()
    import numpy as np

    from minivae import checks, drawing, figures
    from minivae.checkpoint import write_atomically

    checks.whole_number("-n", options.n, 1)
    run, data = open_run(options.run)
    out = options.out or run.path
    out.mkdir(parents=True, exist_ok=True)
    array, picture = out / "samples.npy", out / "samples.png"
    for path in (array, picture):
        if path.exists() and not options.overwrite:
            remedy = "Add --overwrite, or name another."
            checks.refuse("--out", "without earlier samples", f"{path}, which exists", remedy)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    z = rng.standard_normal((options.n, run.vae.latent))
    x = run.vae.sample(rng, z)
    with write_atomically(array) as file:
        np.save(file, x if data.image_shape is None else x.reshape(-1, *data.image_shape))
    files = [{"path": str(array), "alt": None}]
    if data.image_shape is not None:
        figure, alt = figures.prior_samples(run.vae, np.random.default_rng(options.seed), data.image_shape, options.n, data.test_x)
        drawing.save(figure, alt, picture)
        files.append({"path": str(picture), "alt": alt})
    document = {"n": options.n, "seed": options.seed, "files": files}
    print(json.dumps(document, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def open_run(path: Path):
    """A run, and the data it learned from as its likelihood saw them."""
    from minivae import data, runs

    run = runs.read(path)
    whole = data.load(run.config["data"])
    return run, whole if run.vae.likelihood.name == "binomial" else whole.as_fractions()


def use_one_thread() -> None:
    """Matrices as small as those of the digits are slower on many threads. What the user has set is left alone."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if "numpy" not in sys.modules and not any(name in os.environ for name in names):
        os.environ |= dict.fromkeys(names, "1")


def say(options, message: str) -> None:
    """A message on stderr, unless it is to be quiet."""
    if not options.quiet:
        print(message, file=sys.stderr)
