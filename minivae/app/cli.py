"""The command `minivae`. Results go to stdout, progress and messages to stderr.

Exit codes: 0 fine, 1 a check failed, 2 usage or bad input, 130 interrupted, 143 terminated.
An interrupted `train` or `sweep` has saved what was done.
Nothing heavy is imported before a command runs: `--help` needs neither numpy nor matplotlib.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from minivae import __version__
from minivae.app.progress import say
from minivae.app.runner import run
from minivae.rosetta import command as rosetta_command

DEFAULTS = {                                                # of train: a run keeps them, and they change no more
    "data": "digits", "seed": 0, "latent": 2, "hidden": (128, 64), "likelihood": None, "sigma": None, "beta": 1.0,
    "samples": 1, "objective": "elbo", "estimator": None, "autoencoder": False, "binarize": False, "activation": "tanh",
    "batch": 128, "lr": 2e-3, "dtype": "float32", "out": Path("minivae-out"), "overwrite": False,
}  # fmt: skip
EXAMPLES = """examples:
  minivae train                                  learn the bundled digits, into minivae-out/
  minivae train --latent 10 --out wide           with ten latent dimensions
  minivae train --resume minivae-out             go on with an interrupted run
  minivae runs                                   list the runs here
  minivae plot minivae-out                       draw a run's figures again
  minivae sample minivae-out -n 100              new digits, as a picture and as .npy
  minivae evaluate minivae-out --gap             how far the bound is from log p(x), and why
  minivae sweep --beta 0.25,1,4,64               rate, distortion, and where the code collapses
  minivae rosetta --list                         what public loss conventions really are
  minivae museum exp-log-var                     a real bug, and which checks notice it
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
    plain, common = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    plain.add_argument("-q", "--quiet", action="store_true", help="no progress, no messages")
    plain.add_argument("--json", action="store_true", help="print the results as one JSON document")
    plain.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_common(common.add_argument)
    shared = [plain, common]

    add_train(commands.add_parser("train", parents=[plain], help="learn a data set", description="Train a VAE."))
    plot = commands.add_parser("plot", parents=[plain], help="draw a run's figures again")
    plot.set_defaults(command=plot_command)
    sample = commands.add_parser("sample", parents=shared, help="draw new data from a trained model")
    sample.set_defaults(command=sample_command)
    listing = commands.add_parser("runs", parents=[plain], help="list the runs in a directory")
    listing.set_defaults(command=runs_command)
    listing.add_argument("path", nargs="?", type=Path, default=Path("."), metavar="DIR", help="where (default: here)")
    add_museum(commands.add_parser("museum", parents=shared, help="real bugs, and what notices them", description=MUSEUM))
    sample.add_argument("-n", type=int, default=64, help="how many (default: %(default)s)")
    for command in (plot, sample):
        command.add_argument("run", type=Path, metavar="RUN", help="the directory of a run")
        command.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: into RUN)")
    plot.add_argument("--overwrite", action="store_true", help="with --out: replace the figures that are there")
    rosetta_command.add_parser(commands)
    add_evaluate(commands, shared)
    add_sweep(commands, shared)
    return parser


def add_common(add, seed: int | None = 0, overwrite: bool | None = False) -> None:
    """The options of whatever draws at random and writes files."""
    add("--seed", type=int, default=seed, help="of everything random (default: 0)")
    add("--overwrite", action="store_true", default=overwrite, help="replace what an earlier command wrote")


def add_train(train: argparse.ArgumentParser) -> None:
    """The options of train. What is not given is None, so that it is known; then it is as in DEFAULTS."""
    train.set_defaults(command=train_command)
    add = train.add_argument
    add_common(add, None, None)
    data = "the bundled digits, or .npz .npy .csv IDX, or MNIST's directory"
    add("--data", metavar="digits|PATH", help=data)
    add("--latent", type=int, metavar="J", help="latent dimensions (default: 2)")
    add("--hidden", type=widths, metavar="H,H", help="hidden layers of the encoder (default: 128,64)")
    add("--likelihood", metavar="NAME", help="bernoulli, binomial or gaussian (default: what the data are)")
    binarize = "learn from zeros and ones that the data are the probabilities of, drawn afresh for every mini-batch"
    add("--binarize", action="store_true", default=None, help=binarize)
    add("--sigma", type=number_or_word, metavar="S", help="of the gaussian: a number, learned or optimal (default: optimal)")
    add("--beta", type=float, help="weight of the KL; below 1 the loss is no bound (default: 1)")
    add("--samples", type=int, metavar="L", help="draws of z for every datum (default: 1)")
    add("--objective", metavar="NAME", help="elbo, or iwae: the bound with --samples weights (default: elbo)")
    add("--estimator", metavar="NAME", help="of the KL: analytic, sampled or path (default: analytic; sampled for iwae)")
    add("--autoencoder", action="store_true", default=None, help="no noise and beta 0: a plain autoencoder, for contrast")
    add("--activation", metavar="NAME", help="tanh or relu (default: tanh)")
    add("--epochs", type=int, metavar="N", help="passes over the data (default: 150, or those of the run resumed)")
    add("--batch", type=int, metavar="B", help="rows in a mini-batch (default: 128)")
    add("--lr", type=float, metavar="RATE", help="Adam's learning rate (default: 0.002)")
    add("--dtype", metavar="NAME", help="float32 or float64 (default: float32)")
    add("--out", type=Path, metavar="DIR", help="where the run goes (default: minivae-out)")
    add("--resume", type=Path, metavar="RUN", help="go on with an interrupted run, bit for bit")
    add("--save-every", type=int, metavar="STEPS", help="write the state after so many steps (default: every 5 seconds)")


def add_sweep(commands, shared) -> None:
    """The options of sweep: as those of train, several values for one of the first three."""
    about = "Short trainings with another beta, sigma or number of latents each: rate, distortion, collapse."
    brief = "rate, distortion and collapse by beta, sigma or latent"
    sweep = commands.add_parser("sweep", parents=shared, help=brief, description=about)
    sweep.set_defaults(command=sweep_command)
    add = sweep.add_argument
    beta = "weights of the KL (default: 0.25,1,4,16,64; 1 if another option has several values)"
    add("--beta", type=several(float), metavar="B,B,...", help=beta)
    add("--sigma", type=several(number_or_word), metavar="S,S,...", help="of the gaussian: numbers, learned, optimal")
    add("--latent", type=several(int), metavar="J,J,...", help="latent dimensions (default: 2)")
    add("--data", default="digits", metavar="digits|PATH", help="as for train")
    add("--likelihood", metavar="NAME", help="bernoulli, binomial or gaussian (default: what the data are)")
    add("--hidden", type=widths, default=(64,), metavar="H,H", help="hidden layers of the encoder (default: 64)")
    add("--epochs", type=int, default=40, metavar="N", help="passes over the data (default: %(default)s)")
    add("--batch", type=int, default=128, metavar="B", help="rows in a mini-batch (default: %(default)s)")
    add("--lr", type=float, default=2e-3, metavar="RATE", help="Adam's learning rate (default: %(default)s)")
    add("--out", type=Path, default=Path("minivae-sweep"), metavar="DIR", help="where the files go (default: %(default)s)")


def add_evaluate(commands, shared) -> None:
    """The options of evaluate: what is computed beyond bounds and rates."""
    about = "Bounds of log p(x) on a run's held-out data, in the order of theory; exit code 1 if they violate it."
    brief = "how far a run's bound is from log p(x), and why"
    evaluate = commands.add_parser("evaluate", parents=shared, help=brief, description=about)
    evaluate.set_defaults(command=evaluate_command)
    add = evaluate.add_argument
    add("run", type=Path, metavar="RUN", help="the directory of a run")
    k = "weights of the bounds (default: 1,10,100,1000)"
    add("--k", type=several(int), default=(1, 10, 100, 1000), metavar="K,K,...", help=k)
    ais = "annealed importance sampling from the prior, for any number of latents; its error is only of what chains see"
    add("--ais", action="store_true", help=ais)
    add("--exact", action="store_true", help="insist on the exact log p(x), which is computed wherever it exists")
    add("--gap", action="store_true", help="what of the gap is the encoder's and what the Gaussian's (J <= 2)")
    add("--rows", type=int, metavar="N", help="first held-out data to use (default: all; 100 with --ais or --gap)")
    add("--out", type=Path, metavar="DIR", help="write the figures and evaluate.json there (default: nothing is written)")


def several(kind):
    """"0.25,1,4" -> a tuple of numbers, or whatever `kind` makes of each."""
    def values(text: str) -> tuple:
        return tuple(kind(part) for part in text.split(","))

    values.__name__ = f"{kind.__name__} values"             # argparse names it when it refuses
    return values


MUSEUM = "Real bugs of public VAEs. Without NAME: all of them; with it: what it does, and which checks notice."


def add_museum(museum: argparse.ArgumentParser) -> None:
    """The options of museum."""
    museum.set_defaults(command=museum_command)
    add = museum.add_argument
    add("name", nargs="?", metavar="NAME", help="of an exhibit: train it beside the right model")
    add("--matrix", action="store_true", help="all bugs against all layers of checks, as a table and a figure")
    add("--markdown", action="store_true", help="with --matrix: the table for a README, no figure")
    add("--blind", action="store_true", help="a bug at random, of this --seed, and hints to find it by")
    add("--hints", type=int, metavar="N", help="with --blind: so many hints at once, instead of one at the return key")
    add("--reveal", action="store_true", help="with --blind: which it is")
    add("--epochs", type=int, default=40, metavar="N", help="of the trainings side by side (default: %(default)s)")
    out = "where the figure goes (default: %(default)s)"
    add("--out", type=Path, default=Path("minivae-museum"), metavar="DIR", help=out)


def museum_command(options: argparse.Namespace) -> int:
    """Show the museum, one exhibit, the matrix, or a bug without its name."""
    use_one_thread()
    from minivae.museum import command

    return command.visit(options)


def widths(text: str) -> tuple[int, ...]:
    """"128,64" -> (128, 64); "none" -> no hidden layer."""
    return () if text == "none" else tuple(int(width) for width in text.split(","))


def number_or_word(text: str) -> float | str:
    """"0.5" -> 0.5; "learned" as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def train_command(options: argparse.Namespace) -> int:
    """Train, measure, draw, and say what came out."""
    given = [name for name in DEFAULTS if getattr(options, name) is not None]
    if options.resume is not None and given:
        raise ValueError(f"--{given[0]} must be left out with --resume: the run knows it. Only --epochs may be more.")
    if options.autoencoder and options.beta is not None:
        raise ValueError("--beta must be left out with --autoencoder: its loss has no KL.")
    if options.autoencoder and options.objective == "iwae":
        raise ValueError("--objective iwae must be left out with --autoencoder: it has no importance weights.")
    options = completed(options)
    if options.data == "digits" and (options.resume is None or learns_digits(options.resume)):
        use_one_thread()
    from minivae.app.train import learn

    return learn(options, command_again(options))


def completed(options: argparse.Namespace) -> argparse.Namespace:
    """The options of train, with its default for each that was not given."""
    return argparse.Namespace(**vars(options) | {k: v for k, v in DEFAULTS.items() if getattr(options, k) is None})


def learns_digits(path: Path) -> bool:
    """Whether a run learns from the bundled digits; whether it is a run at all, is asked later."""
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8"))["data"] == "digits"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def command_again(options) -> str:
    """The command that makes this run again: what differs from the defaults, and the seed."""
    words = ["minivae", "train", "--seed", str(options.seed)]
    for name, default in (DEFAULTS | {"epochs": None}).items():
        value = getattr(options, name)
        if value == default or name in ("seed", "out", "overwrite"):
            continue
        text = ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
        words += [f"--{name}"] if value is True else [f"--{name}", text]
    return shlex.join([*words, "--out", str(options.out)])


# plot and sample


def plot_command(options: argparse.Namespace) -> int:
    """Draw a run's figures again."""
    from minivae import runs
    from minivae.app.train import draw
    from minivae.runs.files import must_be_free

    run, data = open_run(options.run)
    log_px = runs.results(run.path).get("log_px")
    if options.out is not None:
        earlier = [options.out / f"{name}.png" for name in runs.directory.FIGURES if name != "samples"]
        must_be_free("--out", "without earlier figures", earlier, options.overwrite)
        run = run._replace(path=runs.make_directory(options.out))
    files = draw(run, data, log_px)
    print(json.dumps({"files": files}, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def sample_command(options: argparse.Namespace) -> int:
    """Draw x ~ p(x|z) with z from the prior; write an array and, of pictures, a picture."""
    use_one_thread()
    import numpy as np

    from minivae import checks, figures, runs
    from minivae.figures import style
    from minivae.runs.files import must_be_free, write_atomically

    checks.whole_number("-n", options.n, 1)
    run, data = open_run(options.run)
    out = runs.make_directory(options.out or run.path)
    array, picture = out / "samples.npy", out / "samples.png"
    must_be_free("--out", "without earlier samples", (array, picture), options.overwrite)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    z = rng.standard_normal((options.n, run.vae.latent))
    x = run.vae.sample(rng, z)
    with write_atomically(array) as file:
        np.save(file, x if data.image_shape is None else x.reshape(-1, *data.image_shape))
    files = [{"path": str(array), "alt": None}]
    if data.image_shape is not None:
        same = np.random.default_rng(options.seed)          # the draws that the array holds
        figure, alt = figures.prior_samples(run.vae, same, data.image_shape, options.n, data.test_x)
        style.save(figure, alt, picture)
        files.append({"path": str(picture), "alt": alt})
    document = {"n": options.n, "seed": options.seed, "files": files}
    print(json.dumps(document, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def sweep_command(options: argparse.Namespace) -> int:
    """Train once for each value of beta, sigma or latent, and compare."""
    if options.data == "digits":
        use_one_thread()
    from minivae.app.sweep import sweep_and_report

    return sweep_and_report(options)


def evaluate_command(options: argparse.Namespace) -> int:
    """Bounds and exact log p(x) of a run, side by side."""
    if learns_digits(options.run):
        use_one_thread()
    from minivae.app.evaluate import evaluate_and_report

    return evaluate_and_report(options)


def runs_command(options: argparse.Namespace) -> int:
    """One line for every run: what it learns, how far it is, how well it does."""
    from minivae import runs

    rows = []
    for found in runs.listed(options.path):
        done = len(found.history)
        row = {"run": str(found.path), "data": found.config["data"], "likelihood": found.vae.likelihood.name}
        row |= {"latent": found.vae.latent, "seed": found.config["seed"], "epochs": found.config["epochs"], "done": done}
        rows.append(row | {"elbo": found.history[-1].test_elbo if done else None})
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    if rows:
        print(f"{'run':24} {'data':16} {'likelihood':10} {'latent':>6} {'epochs':>11} {'held-out ELBO':>13}")
    for row in rows:
        elbo = "-" if row["elbo"] is None else f"{row['elbo']:.2f}"
        epochs = f"{row['done']}/{row['epochs']}"
        print(f"{row['run']:24} {row['data']:16} {row['likelihood']:10} {row['latent']:6} {epochs:>11} {elbo:>13}")
    if not rows:
        say(options, f"no runs in {options.path}")
    return 0


def open_run(path: Path):
    """A run, and the data it learned from as its likelihood saw them."""
    from minivae import runs
    from minivae.app.train import learned_by

    run = runs.read(path)
    return run, learned_by(run)


def use_one_thread() -> None:
    """Matrices as small as those of the digits are slower on many threads. What the user has set is left alone."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if "numpy" not in sys.modules and not any(name in os.environ for name in names):
        os.environ |= dict.fromkeys(names, "1")
