"""The command `minivae`. Results go to stdout, progress and messages to stderr.

Exit codes: 0 success, 1 a check failed, 2 wrong usage or bad input, 130 interrupted, 143 terminated.
If `train` is interrupted, it saves its state. If `sweep` is interrupted, it saves the results so far.
Modules that import NumPy are imported when a command runs: `--help` needs neither NumPy nor matplotlib.
"""

import argparse
import json
import math
from pathlib import Path

from minivae import __version__
from minivae.app.options import (
    EVALUATE, MUSEUM, SHOW, SWEEP, TRAIN, add_common, add_data, add_evaluate, add_museum, add_place, add_sweep, add_train,
)  # fmt: skip
from minivae.app.progress import say
from minivae.app.runner import run, use_one_thread
from minivae.app.typed import line, option
from minivae.doctor import command as doctor_command
from minivae.exercises import command as exercises_command
from minivae.explorer import command as explorer_command
from minivae.rosetta import command as rosetta_command

DEFAULTS = {                                                # for a new run of train; a resumed run uses its config.json
    "data": "digits", "seed": 0, "latent": 2, "hidden": (128, 64), "likelihood": None, "sigma": None, "beta": 1.0,
    "samples": 1, "objective": "elbo", "estimator": None, "autoencoder": False, "binarize": False, "activation": "tanh",
    "batch": 128, "lr": 2e-3, "dtype": "float32", "out": Path("minivae-out"), "overwrite": False,
    "label": None, "delimiter": None, "image": None, "transpose": False, "trials": None,
}  # fmt: skip
EXAMPLES = """examples:
  minivae train                                  train a VAE on the bundled digits, into minivae-out/
  minivae train --latent 10 --out wide           the same with ten latent dimensions
  minivae train --resume minivae-out             continue an interrupted run
  minivae evaluate minivae-out --gap             how far the ELBO is below log p(x), and the two reasons
  minivae sample minivae-out -n 100              100 new digits, as a picture and as .npy
  minivae plot minivae-out                       draw the figures of a run again
  minivae explore minivae-out                    a page for the browser: move through the latent space
  minivae runs                                   list the runs in this directory
  minivae sweep --beta 0.25,1,4,64               rate and distortion for several weights of the KL
  minivae data mine.csv                          what would be read from a file, and a sheet of samples
  minivae rosetta --list                         the losses of public VAE code, translated
  minivae museum exp-log-var                     a real bug, and which checks notice it
  minivae doctor my_vae.py                       what the loss in your own file is, and what is wrong
  minivae exercises                              write the gradients yourself
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return run(make_parser(), argv)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every command and option."""
    raw = argparse.RawDescriptionHelpFormatter
    about = "A variational autoencoder in NumPy, every gradient written by hand."
    parser = argparse.ArgumentParser("minivae", description=about, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"minivae {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    plain, common = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    plain.add_argument("-q", "--quiet", action="store_true", help="print no progress and no messages")
    plain.add_argument("--json", action="store_true", help="print the results as one JSON document")
    plain.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_common(common.add_argument)
    shared = [plain, common]

    def add_command(name, parents, run_it, brief, about=None):
        added = commands.add_parser(name, parents=parents, help=brief, description=about or f"{brief.capitalize()}.")
        added.set_defaults(command=run_it)
        return added

    add_train(add_command("train", [plain], train_command, "train a VAE on a data set", TRAIN))
    compare = "compare the bounds of a trained model with the exact log p(x)"
    add_evaluate(add_command("evaluate", shared, evaluate_command, compare, EVALUATE))
    sample = add_command("sample", shared, sample_command, "draw new data from a trained model")
    sample.add_argument("-n", type=int, default=64, help="number of samples (default: %(default)s)")
    plot = add_command("plot", [plain], plot_command, "draw the figures of a run again")
    plot.add_argument("--overwrite", action="store_true", help="with --out: replace earlier figures")
    add_place(plot)
    for command in (plot, sample):
        command.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
        command.add_argument("--out", type=Path, metavar="DIR", help="directory for the files (default: RUN)")
    show = "show what would be read from a file, without training"
    add_data(add_command("data", shared, data_command, show, SHOW))
    explore, write_page = "write a page for the browser that shows the latent space", explorer_command.explore_command
    explorer_command.add_options(add_command("explore", [plain], write_page, explore, explorer_command.ABOUT))
    listing = add_command("runs", [plain], runs_command, "list the runs in a directory")
    of_runs = "directory with the runs (default: .)"
    listing.add_argument("path", nargs="?", type=Path, default=Path("."), metavar="DIR", help=of_runs)
    sweep = "train with several values of beta, sigma or latent, and compare"
    add_sweep(add_command("sweep", shared, sweep_command, sweep, SWEEP))
    museum = "show real bugs of public VAE code, and which checks notice them"
    add_museum(add_command("museum", shared, museum_command, museum, MUSEUM))
    rosetta_command.add_parser(commands)
    doctor_command.add_parser(commands)
    exercises_command.add_parser(commands)
    return parser


def museum_command(options: argparse.Namespace) -> int:
    """Print the list of bugs, one bug, the table of bugs and checks, or a hidden bug with hints."""
    use_one_thread()
    from minivae.museum import command

    return command.visit(options)


def train_command(options: argparse.Namespace) -> int:
    """Train a VAE, measure it, draw its figures and print the results."""
    given = [name for name in DEFAULTS if name != "data" and getattr(options, name) is not None]
    if options.resume is not None and given:
        rule = "must be left out with --resume: its value is in config.json. Only --epochs and --data may change."
        raise ValueError(f"--{given[0]} {rule}")
    if options.autoencoder and options.beta is not None:
        raise ValueError("--beta must be left out with --autoencoder: the loss of an autoencoder has no KL.")
    if options.autoencoder and options.objective == "iwae":
        raise ValueError("--objective iwae must be left out with --autoencoder: the IWAE bound needs noise.")
    options = completed(options)
    if is_of_digits(options.resume) if options.resume else options.data == "digits":
        use_one_thread()
    from minivae.app.train import train_and_report

    return train_and_report(options, command_again(options))


def completed(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options of train; an option that was not given gets its default."""
    rest = {k: v for k, v in DEFAULTS.items() if getattr(options, k) is None}
    if options.resume is not None:
        rest["data"] = options.data                         # the new path of the data; None: use the path in config.json
    return argparse.Namespace(**vars(options) | rest)


def is_of_digits(path: Path) -> bool:
    """Return True if a run is trained on the bundled digits; False for other data, or if the path is not a run."""
    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8"))["data"] == "digits"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def command_again(options) -> str:
    """Return the command that repeats this run, with the seed and every option that differs from its default."""
    words = ["minivae", "train", "--seed", str(options.seed)]
    for name, default in (DEFAULTS | {"epochs": None}).items():
        value = getattr(options, name)
        if value == default or name in ("seed", "out", "overwrite"):
            continue
        words += option(name, value)
    return line([*words, *option("out", options.out)])


# The other commands


def plot_command(options: argparse.Namespace) -> int:
    """Draw the figures of a run again."""
    from minivae import runs
    from minivae.app.results import MEASURED, draw_model, draw_training
    from minivae.runs.files import must_be_free

    run, data = open_run(options.run, options.data)
    results = runs.results(run.path)
    if options.out is not None:
        earlier = [options.out / f"{name}.png" for name in runs.directory.FIGURES if name != "samples"]
        must_be_free("--out", "a directory without earlier figures", earlier, options.overwrite)
        run = run._replace(path=runs.make_directory(options.out))
    data = data.few(MEASURED)
    files = draw_training(run, len(data.test_x), results) + draw_model(run, data)
    print(json.dumps({"files": files}, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def sample_command(options: argparse.Namespace) -> int:
    """Draw x ~ p(x|z) with z from the prior; write an array and, for images, a picture."""
    use_one_thread()
    import numpy as np

    from minivae import checks, figures, runs
    from minivae.figures import style
    from minivae.runs.files import must_be_free, write_atomically

    checks.whole_number("-n", options.n, 1)
    run = runs.read(options.run)
    shape, data, pixels = pictures_of(options, run)
    out = runs.make_directory(options.out or run.path)
    array, picture = out / "samples.npy", out / "samples.png"
    must_be_free("--out", "a directory without earlier samples", (array, picture), options.overwrite)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    z = rng.standard_normal((options.n, run.vae.latent))
    x = run.vae.sample(rng, z)
    with write_atomically(array) as file:
        np.save(file, x if shape is None else x.reshape(-1, *shape))
    files = [{"path": str(array), "alt": None}]
    if shape is not None:
        same_rng = np.random.default_rng(options.seed)      # with the same seed, the picture shows the saved samples
        figure, alt = figures.prior_samples(run.vae, same_rng, shape, options.n, data, pixels)
        style.save(figure, alt, picture)
        files.append({"path": str(picture), "alt": alt})
    document = {"n": options.n, "seed": options.seed, "files": files}
    print(json.dumps(document, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def pictures_of(options: argparse.Namespace, run) -> tuple:
    """Return (image shape of a run's data, held-out rows, pixel values). Each of the three can be `None`.

    The pixel values are (lowest, mean, highest).
    The held-out rows are read in two cases: the data are the bundled digits, or an older run does not store the image shape.
    """
    from minivae import runs
    from minivae.app.run_data import data_of
    from minivae.data import DataError

    if "image_shape" not in run.config or run.config["data"] == "digits":
        try:
            data = data_of(run)
            return data.image_shape, data.test_x, None
        except DataError as error:
            say(options, f"no picture, because this older run stores no image shape. {str(error).split(' If they')[0]}")
            return None, None, None
    shape = run.config["image_shape"]
    is_pair = isinstance(shape, list) and [type(side) for side in shape] == [int, int]
    if shape is not None and not (is_pair and shape[0] * shape[1] == run.vae.features and shape[0] > 0):
        runs.damaged(run.path / "config.json", f"its image_shape is {shape!r}")
    pixels = run.config.get("pixels")
    numbers = isinstance(pixels, list) and len(pixels) == 3 and all(type(one) is float for one in pixels)
    if pixels is not None and not (numbers and -math.inf < pixels[0] <= pixels[1] <= pixels[2] < math.inf):
        runs.damaged(run.path / "config.json", f"its pixels are {pixels!r}")
    return None if shape is None else tuple(shape), None, pixels


def sweep_command(options: argparse.Namespace) -> int:
    """Train once for each value of beta, sigma or latent, and compare the results."""
    if options.data == "digits":
        use_one_thread()
    from minivae.app.sweep import sweep_and_report

    return sweep_and_report(options)


def data_command(options: argparse.Namespace) -> int:
    """Print what `train` would read from the data, and draw a picture of some rows."""
    from minivae.app.data import show

    return show(options)


def evaluate_command(options: argparse.Namespace) -> int:
    """Compare the bounds of a run with the exact log p(x)."""
    if is_of_digits(options.run):
        use_one_thread()
    from minivae.app.evaluate import evaluate_and_report

    return evaluate_and_report(options)


def runs_command(options: argparse.Namespace) -> int:
    """Print one line for each run: data, model, epochs done, held-out ELBO."""
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


def open_run(path: Path, place: str | None = None):
    """Return a run and its data in the form that its likelihood needs; `place` is the current path of the data."""
    from minivae import runs
    from minivae.app.run_data import data_of

    run = runs.read(path)
    return run, data_of(run, place)
