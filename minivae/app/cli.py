"""The command `minivae`. Results go to stdout, progress and messages to stderr.

Exit codes: 0 success, 1 a check failed, 2 wrong usage or bad input, 130 interrupted, 143 terminated.
An interrupted `train` or `sweep` saves its results up to that point.
Modules that import NumPy are imported when a command runs: `--help` needs neither NumPy nor matplotlib.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from minivae import __version__
from minivae.app.progress import say
from minivae.app.runner import run
from minivae.app.typed import line, option
from minivae.doctor import command as doctor_command
from minivae.explorer import command as explorer_command
from minivae.rosetta import command as rosetta_command

DEFAULTS = {                                                # options of train; a resumed run uses those in its config.json
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

    def add_command(name, parents, brief, about=None):
        return commands.add_parser(name, parents=parents, help=brief, description=about or f"{brief.capitalize()}.")

    add_train(add_command("train", [plain], "train a VAE on a data set", TRAIN))
    add_evaluate(add_command("evaluate", shared, "compare the bounds of a trained model with the exact log p(x)", EVALUATE))
    sample = add_command("sample", shared, "draw new data from a trained model")
    sample.set_defaults(command=sample_command)
    sample.add_argument("-n", type=int, default=64, help="number of samples (default: %(default)s)")
    plot = add_command("plot", [plain], "draw the figures of a run again")
    plot.set_defaults(command=plot_command)
    plot.add_argument("--overwrite", action="store_true", help="with --out: replace earlier figures")
    add_place(plot)
    for command in (plot, sample):
        command.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
        command.add_argument("--out", type=Path, metavar="DIR", help="directory for the files (default: RUN)")
    add_data(add_command("data", shared, "show what would be read from a file, without training", SHOW))
    explore = "write a page for the browser that shows the latent space"
    explorer_command.add_options(add_command("explore", [plain], explore, explorer_command.ABOUT))
    listing = add_command("runs", [plain], "list the runs in a directory")
    listing.set_defaults(command=runs_command)
    listing.add_argument("path", nargs="?", type=Path, default=Path("."), metavar="DIR", help="directory (default: .)")
    add_sweep(add_command("sweep", shared, "train with several values of beta, sigma or latent, and compare", SWEEP))
    add_museum(add_command("museum", shared, "show real bugs of public VAE code, and which checks notice them", MUSEUM))
    rosetta_command.add_parser(commands)
    doctor_command.add_parser(commands)
    return parser


def add_common(add, seed: int | None = 0, overwrite: bool | None = False) -> None:
    """Add the options of commands that draw random numbers and write files."""
    add("--seed", type=int, default=seed, help="random seed (default: 0)")
    add("--overwrite", action="store_true", default=overwrite, help="replace the files of an earlier command")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the data of a run are now."""
    parser.add_argument("--data", metavar="PATH", help="where the data of the run are now, if they were moved")


TRAIN = """Train a VAE, measure it on held-out data, draw figures. The run is a directory with config, history, model,
results and figures; an interrupted run can be continued with --resume."""
LIKELIHOOD = "bernoulli, binomial or gaussian (default: binomial for the bundled digits, else bernoulli)"

DATA = "the bundled digits, a file (.npz, .npy, .csv, .tsv, IDX), or a directory with MNIST's files (default: digits)"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a file is to be read."""
    add = parser.add_argument_group("options for your own data").add_argument
    label = "column of the labels: its name in the header, or its number (0 is the first, -1 the last)"
    add("--label", metavar="COLUMN", help=label)
    delimiter = "separator of a text file: a character, tab or space (default: comma; tab for .tsv)"
    add("--delimiter", metavar="CHAR", help=delimiter)
    add("--image", metavar="HxW", help="shape of a row as a picture, for example 28x28 (default: that of the file, if any)")
    transpose = "exchange rows and columns of every picture: the files of EMNIST are stored like that"
    add("--transpose", action="store_true", default=None, help=transpose)
    trials = "the numbers are counts 0..N: the binomial likelihood; other likelihoods see them divided by N"
    add("--trials", type=int, metavar="N", help=trials)


SHOW = """Read data as `minivae train --data PATH` does, print what was read, and draw a sheet of samples. Nothing is
trained."""


def add_data(show: argparse.ArgumentParser) -> None:
    """Add the options of data."""
    show.set_defaults(command=data_command)
    show.add_argument("data", nargs="?", default="digits", metavar="digits|PATH", help=DATA)
    show.add_argument("-n", type=int, default=100, help="number of samples in the sheet (default: %(default)s)")
    out = "directory for the sheet (default: %(default)s)"
    show.add_argument("--out", type=Path, default=Path("minivae-data"), metavar="DIR", help=out)
    add_reading(show)


def add_train(train: argparse.ArgumentParser) -> None:
    """Add the options of train. Options that are not given stay None; `completed` fills in DEFAULTS."""
    train.set_defaults(command=train_command)
    add = train.add_argument
    add_common(add, None, None)
    add("--data", metavar="digits|PATH", help=DATA)
    add("--latent", type=int, metavar="J", help="number of latent dimensions (default: 2)")
    add("--hidden", type=widths, metavar="H,H", help="widths of the encoder's hidden layers, or none (default: 128,64)")
    add("--likelihood", metavar="NAME", help=LIKELIHOOD)
    binarize = "treat each pixel as a probability and sample 0/1 images for each mini-batch"
    add("--binarize", action="store_true", default=None, help=binarize)
    sigma = "sigma of the gaussian likelihood: a number, learned or optimal (default: optimal)"
    add("--sigma", type=number_or_word, metavar="S", help=sigma)
    add("--beta", type=float, help="weight of the KL; below 1, minus the loss may be above log p(x) (default: 1)")
    add("--samples", type=int, metavar="L", help="draws of z per data point (default: 1)")
    add("--objective", metavar="NAME", help="elbo, or iwae: the bound with --samples importance weights (default: elbo)")
    add("--estimator", metavar="NAME", help="KL estimator: analytic, sampled or path (default: analytic; sampled for iwae)")
    add("--autoencoder", action="store_true", default=None, help="plain autoencoder, for comparison: no noise, no KL")
    add("--activation", metavar="NAME", help="tanh or relu (default: tanh)")
    add("--epochs", type=int, metavar="N", help="passes over the data (default: 150; with --resume, as before)")
    add("--batch", type=int, metavar="B", help="rows in a mini-batch (default: 128)")
    add("--lr", type=float, metavar="RATE", help="learning rate of Adam (default: 0.002)")
    add("--dtype", metavar="NAME", help="float32 or float64 (default: float32)")
    add("--out", type=Path, metavar="DIR", help="directory of the new run (default: minivae-out)")
    add("--resume", type=Path, metavar="RUN", help="continue an interrupted run exactly where it stopped")
    add_reading(train)
    add("--no-explorer", action="store_true", help="do not write explorer.html, a page for the browser")
    add("--save-every", type=int, metavar="STEPS", help="save after every STEPS steps (default: every 5 seconds)")


SWEEP = """Train once for each value of one option and compare rate (KL), distortion (reconstruction error) and collapse
(no latent dimension depends on x). Give several values to one of --beta, --sigma and --latent (default: five betas)."""


def add_sweep(sweep: argparse.ArgumentParser) -> None:
    """Add the options of sweep: some options of train, the first three with several values."""
    sweep.set_defaults(command=sweep_command)
    add = sweep.add_argument
    beta = "weights of the KL (default: 0.25,1,4,16,64; 1 if another option has several values)"
    add("--beta", type=several(float), metavar="B,B,...", help=beta)
    sigma = "sigmas of the gaussian likelihood: numbers, learned, optimal"
    add("--sigma", type=several(number_or_word), metavar="S,S,...", help=sigma)
    add("--latent", type=several(int), metavar="J,J,...", help="numbers of latent dimensions (default: 2)")
    add("--data", default="digits", metavar="digits|PATH", help="as for train")
    add_reading(sweep)
    add("--likelihood", metavar="NAME", help=LIKELIHOOD)
    hidden = "widths of the encoder's hidden layers, or none (default: 64)"
    add("--hidden", type=widths, default=(64,), metavar="H,H", help=hidden)
    add("--epochs", type=int, default=40, metavar="N", help="passes over the data (default: %(default)s)")
    add("--batch", type=int, default=128, metavar="B", help="rows in a mini-batch (default: %(default)s)")
    add("--lr", type=float, default=2e-3, metavar="RATE", help="learning rate of Adam (default: %(default)s)")
    out = "directory for the table and the figure (default: %(default)s)"
    add("--out", type=Path, default=Path("minivae-sweep"), metavar="DIR", help=out)


EVALUATE = """Compute lower bounds of log p(x) on the held-out data of a run and, for one or two latent dimensions, the exact
log p(x). The default rows and seed are those of train, so both commands print the same ELBO. Exit code 1 if the bounds
are not in order: ELBO <= importance-weighted bounds <= log p(x)."""


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    """Add the options of evaluate: which results to compute in addition to bounds and rate."""
    evaluate.set_defaults(command=evaluate_command)
    add = evaluate.add_argument
    add("run", type=Path, metavar="RUN", help="directory of a run")
    add_place(evaluate)
    k = "numbers of importance weights of the bounds (default: 1,10,100,1000)"
    add("--k", type=several(int), default=(1, 10, 100, 1000), metavar="K,K,...", help=k)
    gap = "split the gap log p(x) - ELBO into the encoder's error and the limit of any diagonal Gaussian (J <= 2)"
    add("--gap", action="store_true", help=gap)
    ais = "add annealed importance sampling from the prior, for any number of latent dimensions"
    add("--ais", action="store_true", help=ais)
    add("--exact", action="store_true", help="fail if the exact log p(x) cannot be computed")
    rows = "use the first N held-out data points (default: those that train measured; with --ais about 100 of them)"
    add("--rows", type=int, metavar="N", help=rows)
    add("--out", type=Path, metavar="DIR", help="write the figures and evaluate.json to DIR (default: write nothing)")


def several(kind):
    """Return a function that turns "0.25,1,4" into a tuple, with `kind` applied to each part."""
    def values(text: str) -> tuple:
        return tuple(kind(part) for part in text.split(","))

    values.__name__ = f"{kind.__name__} values"             # argparse prints this name in its error message
    return values


MUSEUM = """Real bugs of public VAE code, re-created in this package. Without NAME, list them all; with it, train a model
with the bug beside a correct one and print which checks notice the bug."""


def add_museum(museum: argparse.ArgumentParser) -> None:
    """Add the options of museum."""
    museum.set_defaults(command=museum_command)
    add = museum.add_argument
    add("name", nargs="?", metavar="NAME", help="name of an exhibit")
    add("--matrix", action="store_true", help="run all checks on all bugs: a table and a figure")
    add("--markdown", action="store_true", help="with --matrix: print the table as Markdown, draw no figure")
    add("--blind", action="store_true", help="find a bug yourself: --seed chooses it, each hint is what one check reports")
    add("--hints", type=int, metavar="N", help="with --blind: print N hints at once, instead of one for each return key")
    add("--reveal", action="store_true", help="with --blind: print the answer")
    add("--epochs", type=int, default=40, metavar="N", help="epochs of the two trainings (default: %(default)s)")
    out = "directory for the figure (default: %(default)s)"
    add("--out", type=Path, default=Path("minivae-museum"), metavar="DIR", help=out)


def museum_command(options: argparse.Namespace) -> int:
    """Print the list of bugs, one of them, the matrix, or a bug without its name."""
    use_one_thread()
    from minivae.museum import command

    return command.visit(options)


def widths(text: str) -> tuple[int, ...]:
    """Return the tuple (128, 64) for "128,64", and () for "none"."""
    return () if text == "none" else tuple(int(width) for width in text.split(","))


def number_or_word(text: str) -> float | str:
    """Return 0.5 for "0.5"; return words unchanged."""
    try:
        return float(text)
    except ValueError:
        return text


def train_command(options: argparse.Namespace) -> int:
    """Train, measure, draw and print the results."""
    given = [name for name in DEFAULTS if name != "data" and getattr(options, name) is not None]
    if options.resume is not None and given:
        rule = "must be left out with --resume: config.json has it. Only --epochs and --data may be given."
        raise ValueError(f"--{given[0]} {rule}")
    if options.autoencoder and options.beta is not None:
        raise ValueError("--beta must be left out with --autoencoder: its loss has no KL.")
    if options.autoencoder and options.objective == "iwae":
        raise ValueError("--objective iwae must be left out with --autoencoder: it has no importance weights.")
    options = completed(options)
    if is_of_digits(options.resume) if options.resume else options.data == "digits":
        use_one_thread()
    from minivae.app.train import train_and_report

    return train_and_report(options, command_again(options))


def completed(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options of train; each option that was not given gets its default."""
    rest = {k: v for k, v in DEFAULTS.items() if getattr(options, k) is None}
    if options.resume is not None:
        rest["data"] = options.data                         # None: where config.json says
    return argparse.Namespace(**vars(options) | rest)


def is_of_digits(path: Path) -> bool:
    """Return True if a run is trained on the bundled digits; False for other data, and if the path is not a run."""
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


# Commands without a module of their own


def plot_command(options: argparse.Namespace) -> int:
    """Draw the figures of a run again."""
    from minivae import runs
    from minivae.app.train import draw
    from minivae.runs.files import must_be_free

    run, data = open_run(options.run, options.data)
    results = runs.results(run.path)
    if options.out is not None:
        earlier = [options.out / f"{name}.png" for name in runs.directory.FIGURES if name != "samples"]
        must_be_free("--out", "without earlier figures", earlier, options.overwrite)
        run = run._replace(path=runs.make_directory(options.out))
    files = draw(run, data, results)
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
    shape, x = pictures_of(options, run)
    out = runs.make_directory(options.out or run.path)
    array, picture = out / "samples.npy", out / "samples.png"
    must_be_free("--out", "without earlier samples", (array, picture), options.overwrite)
    rng = np.random.default_rng(checks.whole_number("seed", options.seed, 0))
    z = rng.standard_normal((options.n, run.vae.latent))
    x = run.vae.sample(rng, z)
    with write_atomically(array) as file:
        np.save(file, x if shape is None else x.reshape(-1, *shape))
    files = [{"path": str(array), "alt": None}]
    if shape is not None:
        same_rng = np.random.default_rng(options.seed)      # so that the picture shows the samples of the array
        figure, alt = figures.prior_samples(run.vae, same_rng, shape, options.n, x)
        style.save(figure, alt, picture)
        files.append({"path": str(picture), "alt": alt})
    document = {"n": options.n, "seed": options.seed, "files": files}
    print(json.dumps(document, indent=2) if options.json else "\n".join(file["path"] for file in files))
    return 0


def pictures_of(options: argparse.Namespace, run) -> tuple:
    """Return the image shape of a run, and the held-out rows if its data are the digits, else None: no file is read.

    An older run does not store the shape: its data have it, if they are there.
    """
    from minivae import runs
    from minivae.app.train import data_of
    from minivae.data import DataError

    if "image_shape" not in run.config or run.config["data"] == "digits":
        try:
            data = data_of(run)
            return data.image_shape, data.test_x
        except DataError as error:
            say(options, f"no picture, because this older run does not store its shape. {str(error).split(' If they')[0]}")
            return None, None
    shape = run.config["image_shape"]
    is_pair = isinstance(shape, list) and [type(side) for side in shape] == [int, int]
    if shape is not None and not (is_pair and shape[0] * shape[1] == run.vae.features and shape[0] > 0):
        runs.damaged(run.path / "config.json", f"its image_shape is {shape!r}")
    return None if shape is None else tuple(shape), None


def sweep_command(options: argparse.Namespace) -> int:
    """Train once for each value of beta, sigma or latent, and compare."""
    if options.data == "digits":
        use_one_thread()
    from minivae.app.sweep import sweep_and_report

    return sweep_and_report(options)


def data_command(options: argparse.Namespace) -> int:
    """Print what would be read, and draw samples."""
    from minivae.app.data import show

    return show(options)


def evaluate_command(options: argparse.Namespace) -> int:
    """Compare bounds and exact log p(x) of a run."""
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
    """Return a run and its data in the form that its likelihood needs; `place` is where the data are now."""
    from minivae import runs
    from minivae.app.train import data_of

    run = runs.read(path)
    return run, data_of(run, place)


def use_one_thread() -> None:
    """Use one BLAS thread, because small matrices are slower with many; if the user has set a number, leave it."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if "numpy" not in sys.modules and not any(name in os.environ for name in names):
        os.environ |= dict.fromkeys(names, "1")
