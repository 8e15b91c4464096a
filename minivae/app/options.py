"""The options of the commands, with their help texts. NumPy is not imported here: `--help` does not need it."""

import argparse
from pathlib import Path


def add_common(add, seed: int | None = 0, overwrite: bool | None = False) -> None:
    """Add the options of commands that draw random numbers and write files."""
    add("--seed", type=int, default=seed, help="random seed (default: 0)")
    add("--overwrite", action="store_true", default=overwrite, help="replace the files of an earlier command")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the option for the current path of a run's data."""
    parser.add_argument("--data", metavar="PATH", help="where the data of the run are now, if they were moved")


DATA = "the bundled digits, a file (.npz, .npy, .csv, .tsv, IDX), or a directory with MNIST's files (default: digits)"
LIKELIHOOD = "bernoulli, binomial or gaussian (default: binomial for the bundled digits, else bernoulli)"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options about reading a file."""
    add = parser.add_argument_group("options for your own data").add_argument
    label = "column of the labels: its name in the header, or its number (0 is the first, -1 the last)"
    add("--label", metavar="COLUMN", help=label)
    delimiter = "separator of a text file: a character, tab or space (default: comma; tab for .tsv)"
    add("--delimiter", metavar="CHAR", help=delimiter)
    image = "shape of a row as a picture, such as 28x28 (default: as in the file; n x n for n*n bytes or grey levels)"
    add("--image", metavar="HxW", help=image)
    transpose = "exchange rows and columns of every picture, as the files of EMNIST need it"
    add("--transpose", action="store_true", default=None, help=transpose)
    trials = "the data are counts 0..N, for the binomial likelihood; other likelihoods divide them by N"
    add("--trials", type=int, metavar="N", help=trials)


SHOW = """Read data as `minivae train --data PATH` does, print what was read, and draw a sheet of samples. Nothing is
trained."""


def add_data(show: argparse.ArgumentParser) -> None:
    """Add the options of the command data."""
    show.add_argument("data", nargs="?", default="digits", metavar="digits|PATH", help=DATA)
    show.add_argument("-n", type=int, default=100, help="number of training rows to draw (default: %(default)s)")
    out = "directory for the sheet (default: %(default)s)"
    show.add_argument("--out", type=Path, default=Path("minivae-data"), metavar="DIR", help=out)
    add_reading(show)


TRAIN = """Train a VAE, measure it on held-out data, draw figures. The run is a directory with config, history, model,
results and figures; an interrupted run can be continued with --resume."""


def add_train(train: argparse.ArgumentParser) -> None:
    """Add the options of train. Options that are not given stay None; `completed` fills in DEFAULTS."""
    add = train.add_argument
    add_common(add, None, None)
    add("--data", metavar="digits|PATH", help=DATA)
    add("--latent", type=int, metavar="J", help="number of latent dimensions (default: 2)")
    add("--hidden", type=widths, metavar="H,H", help='widths of the encoder\'s hidden layers, or "none" (default: 128,64)')
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
    add("--resume", type=Path, metavar="RUN", help="continue an interrupted run from its last saved step")
    add_reading(train)
    add("--no-explorer", action="store_true", help="do not write explorer.html, a page for the browser")
    add("--save-every", type=int, metavar="STEPS", help="save after every STEPS steps (default: every 5 seconds)")


SWEEP = """Train once for each value of one option and compare rate (KL), distortion (reconstruction error) and collapse
(no latent dimension depends on x). Give several values to one of --beta, --sigma and --latent (default: five betas)."""


def add_sweep(sweep: argparse.ArgumentParser) -> None:
    """Add the options of sweep. The command train has all these options, but here the first three accept several values."""
    add = sweep.add_argument
    beta = "weights of the KL (default: 0.25,1,4,16,64; 1 if another option has several values)"
    add("--beta", type=several(float), metavar="B,B,...", help=beta)
    sigma = "sigmas of the gaussian likelihood: numbers, learned, optimal"
    add("--sigma", type=several(number_or_word), metavar="S,S,...", help=sigma)
    add("--latent", type=several(int), metavar="J,J,...", help="numbers of latent dimensions (default: 2)")
    add("--data", default="digits", metavar="digits|PATH", help="as for train")
    add_reading(sweep)
    add("--likelihood", metavar="NAME", help=LIKELIHOOD)
    hidden = 'widths of the encoder\'s hidden layers, or "none" (default: 64)'
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
    """Add the options of evaluate."""
    add = evaluate.add_argument
    add("run", type=Path, metavar="RUN", help="directory of a run")
    add_place(evaluate)
    k = "numbers of importance weights of the bounds (default: 1,10,100,1000)"
    add("--k", type=several(int), default=(1, 10, 100, 1000), metavar="K,K,...", help=k)
    gap = "split the gap log p(x) - ELBO into the encoder's error and the error of the best diagonal Gaussian"
    gap += " (one or two latent dimensions)"
    add("--gap", action="store_true", help=gap)
    ais = "add annealed importance sampling from the prior, for any number of latent dimensions"
    add("--ais", action="store_true", help=ais)
    add("--exact", action="store_true", help="fail if the exact log p(x) cannot be computed")
    rows = "use the first N held-out data points (default: those that train measured; with --ais at most 100, evenly spaced)"
    add("--rows", type=int, metavar="N", help=rows)
    add("--out", type=Path, metavar="DIR", help="write the figures and evaluate.json to DIR (default: write nothing)")


MUSEUM = """Bugs of VAE code, most of them from public repositories, re-created in this package. Without NAME, list
all bugs. With NAME, train a model with the bug and a correct model, and print which checks notice the bug."""


def add_museum(museum: argparse.ArgumentParser) -> None:
    """Add the options of museum."""
    add = museum.add_argument
    add("name", nargs="?", metavar="NAME", help="name of an exhibit")
    add("--matrix", action="store_true", help="run all checks on all bugs, print a table and draw a figure")
    add("--markdown", action="store_true", help="with --matrix: print the table as Markdown, draw no figure")
    add("--blind", action="store_true", help="hide the name of a bug and give hints to find it; --seed chooses the bug")
    add("--hints", type=int, metavar="N", help="with --blind: print N hints at once, instead of one per press of Return")
    add("--reveal", action="store_true", help="with --blind: print the answer")
    add("--epochs", type=int, default=40, metavar="N", help="epochs of training for each model (default: %(default)s)")
    out = "directory for the figure (default: %(default)s)"
    add("--out", type=Path, default=Path("minivae-museum"), metavar="DIR", help=out)


def widths(text: str) -> tuple[int, ...]:
    """Return the tuple (128, 64) for "128,64", and () for "none"."""
    try:
        return () if text == "none" else tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be widths such as 128,64, or "none"; got {text!r}') from None


def number_or_word(text: str) -> float | str:
    """Return 0.5 for "0.5"; return words unchanged."""
    try:
        return float(text)
    except ValueError:
        return text


def several(kind):
    """Return a function that turns "0.25,1,4" into a tuple, with `kind` applied to each part."""
    def values(text: str) -> tuple:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            numbers = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"must be {numbers} with commas between them; got {text!r}") from None

    return values
