"""The command sweep: one short training for each value of an option, then a table and a figure."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator

from minivae import checks, data, runs
from minivae.app.data import reading_of, say_what_was_read
from minivae.app.progress import Progress, Silent, discard, say, tell
from minivae.app.results import UNIT
from minivae.app.run_data import choose_likelihood, prepare_data
from minivae.app.train import StopOnSignal
from minivae.app.typed import held_out_points, line, option, pasted
from minivae.evidence.sweep import Point, Setting, sweep
from minivae.figures import style, training
from minivae.runs.files import must_be_free

SWEPT = ("beta", "sigma", "latent")
BETAS = (0.25, 1.0, 4.0, 16.0, 64.0)                        # used if --beta is missing and no option has several values
WRITTEN = ("sweep.json", "rate_distortion.png")


def sweep_and_report(options: argparse.Namespace) -> int:
    """Train once for each value, write and draw the results, print them; return the exit code."""
    swept = swept_option(options)
    whole = data.load(options.data, **reading_of(options))
    settings = list(settings_of(options, swept, whole))
    prepared = prepare_data(whole, settings[0].likelihood)
    common = {name: getattr(options, name) for name in ("hidden", "epochs", "batch", "lr", "seed")}
    points, stop = [], StopOnSignal()
    trainings = sweep(prepared, settings, **common, stop=lambda: stop.signal > 0)
    make_out(options)                                       # called after all checks: a refused command makes no directory
    say_what_was_read(options, whole)
    say(options, f"{len(settings)} trainings, epochs of each: {options.epochs}; held-out data, nats per data point")
    with stop:
        failed = gather(trainings, points, swept, Silent() if options.quiet else Progress(len(settings)), stop)
        document = write(options, swept, settings, prepared, common, points) if points else None
    place = f"; their results are in {pasted(options.out)}" if points else ""
    if stop.signal:
        tell(f"minivae: interrupted after {len(points)} of {len(settings)} trainings{place}")
    if document is not None:
        print_results(json.dumps(document, indent=2) if options.json else page(document, points, options))
    if failed is not None:
        value, done = settings[len(points)].value, f"{len(points)} of {len(settings)} trainings were finished before{place}."
        raise ValueError(f"--{swept} {value}: {failed} {done}") from failed
    return 128 + stop.signal if stop.signal else 0


def gather(
    trainings: Iterator[Point], points: list[Point], swept: str, progress: Progress, stop: StopOnSignal
) -> Exception | None:
    """Append the Point of each training to `points`. A signal or an error ends the loop. Return the error or None."""
    try:
        for point in trainings:
            points.append(point)
            text = f"{swept} {point.value}: rate {point.rate:.2f} | distortion {point.distortion:.2f}"
            progress.update(len(points), text)
    except (ValueError, MemoryError) as error:              # the points of earlier trainings are kept
        return error
    except KeyboardInterrupt:                               # a second Ctrl-C, in the middle of a training step
        stop.signal = signal.SIGINT
    finally:
        progress.end()
    return None


def write(
    options: argparse.Namespace, swept: str, settings: list[Setting], prepared: data.Dataset, common: dict,
    points: list[Point],
) -> dict:  # fmt: skip
    """Write the numbers, then draw the figure: if drawing fails, the numbers are already saved. Return the document."""
    rows = [point._asdict() | {"collapsed": point.collapsed} for point in points]
    document = {"swept": swept, "points": rows, "likelihood": settings[0].likelihood.name, "held_out": len(prepared.test_x)}
    document |= {**common, "data": options.data, "files": [], "command": command_again(options)}
    document["read"] = prepared.about.document()
    runs.write_json(options.out / WRITTEN[0], document)
    figure, alt = training.rate_distortion(points, swept)
    style.save(figure, alt, options.out / WRITTEN[1])
    document["files"] = [{"path": str(options.out / WRITTEN[1]), "alt": alt}]
    runs.write_json(options.out / WRITTEN[0], document)
    return document


def print_results(results: str) -> None:
    """Print on stdout. A closed pipe does not change the exit code, because a file contains the results, too."""
    try:
        print(results, flush=hasattr(sys.stdout, "flush"))
    except BrokenPipeError:
        discard(sys.stdout)


def swept_option(options: argparse.Namespace) -> str:
    """Return the name of the option in `SWEPT` that has several values.

    If no option has several values, and --beta is not given, --beta gets the values BETAS. Raises ValueError in three cases:
    --beta has one value and no option has several values; two options have several values; a value is repeated.
    """
    if options.beta is None and all(len(getattr(options, name) or ()) < 2 for name in SWEPT):
        options.beta = BETAS
    several = [name for name in SWEPT if len(getattr(options, name) or ()) > 1]
    if len(several) != 1:
        got = " and ".join(f"several for --{name}" for name in several) or "no such list"
        rule = "a list of several values, separated by commas"
        checks.refuse("exactly one of --beta, --sigma and --latent", rule, got, "Try --beta 0.25,1,4.")
    values = getattr(options, several[0])
    if len(set(values)) < len(values):
        checks.refuse(f"--{several[0]}", "different values", ",".join(map(str, values)), "Give each value once.")
    return several[0]


def settings_of(options: argparse.Namespace, swept: str, whole: data.Dataset) -> Iterator[Setting]:
    """Yield the settings of each training. Raises ValueError for invalid settings."""
    fixed = {"beta": 1.0, "sigma": None, "latent": 2}
    fixed |= {name: getattr(options, name)[0] for name in SWEPT if getattr(options, name)}
    for value in getattr(options, swept):
        each = fixed | {swept: value}
        chosen = argparse.Namespace(likelihood=options.likelihood, sigma=each["sigma"])
        if each["sigma"] is not None and options.likelihood is None:
            chosen.likelihood = "gaussian"                  # the only likelihood with a sigma
        beta = checks.real_number("beta", each["beta"], at_least=0)
        latent = checks.whole_number("latent", each["latent"], 1)
        yield Setting(value, choose_likelihood(chosen, whole), beta, latent)


def make_out(options: argparse.Namespace) -> None:
    """Make the directory for the files. Raises ValueError if it contains an earlier sweep and --overwrite is not given."""
    paths = [options.out / name for name in WRITTEN]
    must_be_free("--out", "a directory without an earlier sweep", paths, options.overwrite)
    runs.make_directory(options.out)


def command_again(options: argparse.Namespace) -> str:
    """Return the command that repeats this sweep, with every option."""
    words = ["minivae", "sweep", "--seed", str(options.seed)]
    for name in (*SWEPT, "data", "likelihood", "hidden", "epochs", "batch", "lr", "out"):
        value = getattr(options, name)
        if value is not None:
            words += option(name, value)
    for name, value in reading_of(options).items():
        words += option(name, value)
    return line(words)


def page(document: dict, points: list[Point], options: argparse.Namespace) -> str:
    """Return the text to print: the table, the meaning of its columns, the files."""
    swept, held_out = document["swept"], document["held_out"]
    lines = [f"{held_out_points(held_out)}, {document['likelihood']} likelihood, seed {options.seed}", UNIT]
    lines += [f"{swept:>9}  {'distortion':>10}  {'rate':>7}  {'ELBO':>9}  {'active':>8}  {'spread':>6}"]
    for point in points:
        active = f"{point.active} of {point.latent}"
        name = point.value if isinstance(point.value, str) else f"{point.value:g}"
        spread = "-" if point.spread is None else f"{point.spread:.3f}"
        numbers = f"{point.distortion:10.2f}  {point.rate:7.3f}  {point.elbo:9.2f}  {active:>8}  {spread:>6}"
        lines += [f"{name:>9}  {numbers}{'  collapsed' if point.collapsed else ''}"]
    lines += ["distortion: -E log p(x|z), the reconstruction error; rate: KL(q(z|x) || p(z)); ELBO: minus their sum"]
    lines += ["active: latent dimensions whose mean varies over the data (variance above 0.01); collapsed: none is active"]
    lines += ["spread: standard deviation of the decoded means over the data, relative to that of the data"]
    lines += ["files", *(f"  {options.out / name}" for name in WRITTEN), f"again  {document['command']}"]
    return "\n".join(lines)
