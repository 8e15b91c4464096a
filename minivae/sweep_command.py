"""The command sweep: the options that hold several values, the trainings, the table, the figure."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator

from minivae import checks, data, drawing, figures_learning
from minivae.checkpoint import write_atomically
from minivae.learn import as_learned, choose_likelihood, say
from minivae.progress import Progress, Silent
from minivae.sweep import Point, Setting, sweep

SWEPT = ("beta", "sigma", "latent")
WRITTEN = ("sweep.json", "rate_distortion.png")


def sweep_and_report(options: argparse.Namespace) -> int:
    """Train once for each value, say what came out, draw it."""
    swept = which(options)
    whole = data.load(options.data)
    settings = list(settings_of(options, swept, whole))
    learned = as_learned(whole, settings[0].likelihood)
    prepare(options)
    progress = Silent() if options.quiet else Progress(len(settings))
    how = {name: getattr(options, name) for name in ("hidden", "epochs", "batch", "lr", "seed")}
    say(options, f"{len(settings)} trainings of {options.epochs} epochs; held-out nats per datum")
    points, code = [], 0
    try:
        for point in sweep(learned, settings, **how):
            points.append(point)
            text = f"{swept} {point.value}: rate {point.rate:.2f} | distortion {point.distortion:.2f}"
            progress.update(len(points), text)
    except KeyboardInterrupt:                               # what was done is kept
        if not points:
            raise
        print(f"minivae: interrupted after {len(points)} of {len(settings)} trainings", file=sys.stderr)
        code = 130
    progress.end()
    report(options, swept, settings, learned, how, points)
    return code


def report(
    options: argparse.Namespace, swept: str, settings: list[Setting], learned: data.Dataset, how: dict, points: list[Point]
) -> None:
    """Draw and write what was done, and say it on stdout."""
    figure, alt = figures_learning.rate_distortion(points, swept)
    drawing.save(figure, alt, options.out / WRITTEN[1])
    files = [{"path": str(options.out / WRITTEN[1]), "alt": alt}]
    rows = [point._asdict() | {"collapsed": point.collapsed} for point in points]
    document = {"swept": swept, "points": rows, "likelihood": settings[0].likelihood.name, "held_out": len(learned.test_x)}
    document |= {**how, "data": options.data, "files": files, "command": command_again(options)}
    with write_atomically(options.out / WRITTEN[0], "w") as file:
        json.dump(document, file, indent=2)
    print(json.dumps(document, indent=2) if options.json else page(document, points, options))


def which(options: argparse.Namespace) -> str:
    """The one option of `SWEPT` that has several values; ValueError if there is none or another."""
    several = [name for name in SWEPT if len(getattr(options, name) or ()) > 1]
    if len(several) != 1:
        came = "several for " + (" and ".join(f"--{name}" for name in several) or "none")
        rule = "several, separated by commas, for exactly one of --beta, --sigma and --latent"
        checks.refuse("the values", rule, came, "Try --beta 0.25,1,4.")
    values = getattr(options, several[0])
    if len(set(values)) < len(values):
        checks.refuse(f"--{several[0]}", "different values", ",".join(map(str, values)), "Name each once.")
    return several[0]


def settings_of(options: argparse.Namespace, swept: str, whole: data.Dataset) -> Iterator[Setting]:
    """What each training is done with, checked before the first begins."""
    fixed = {"beta": 1.0, "sigma": None, "latent": 2}
    fixed |= {name: getattr(options, name)[0] for name in SWEPT if getattr(options, name)}
    for value in getattr(options, swept):
        each = fixed | {swept: value}
        asked = argparse.Namespace(likelihood=options.likelihood, sigma=each["sigma"])
        if each["sigma"] is not None and options.likelihood is None:
            asked.likelihood = "gaussian"                   # nothing else has a sigma
        beta = checks.real_number("beta", each["beta"], at_least=0)
        latent = checks.whole_number("latent", each["latent"], 1)
        yield Setting(value, choose_likelihood(asked, whole), beta, latent)


def prepare(options: argparse.Namespace) -> None:
    """The directory for the files, which must not hold an earlier sweep unless it may be overwritten."""
    for path in (options.out / name for name in WRITTEN):
        if path.exists() and not options.overwrite:
            checks.refuse("--out", "without an earlier sweep", f"{path}, which exists", "Add --overwrite, or name another.")
    options.out.mkdir(parents=True, exist_ok=True)


def command_again(options: argparse.Namespace) -> str:
    """The command that makes this sweep again, every choice named."""
    words = ["minivae", "sweep", "--seed", str(options.seed)]
    for name in (*SWEPT, "data", "likelihood", "hidden", "epochs", "batch", "lr", "out"):
        value = getattr(options, name)
        if value is not None:
            text = ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
            words += [f"--{name}", text]
    return shlex.join(words)


def page(document: dict, points: list[Point], options: argparse.Namespace) -> str:
    """The table, the files, the seed."""
    swept, held_out = document["swept"], document["held_out"]
    lines = [f"{held_out} held-out data, nats per datum, {document['likelihood']} likelihood, seed {options.seed}"]
    lines += [f"{swept:>9}  {'distortion':>10}  {'rate':>7}  {'ELBO':>9}  {'active':>8}  {'spread':>6}"]
    for point in points:
        active = f"{point.active} of {point.latent}"
        name = point.value if isinstance(point.value, str) else f"{point.value:g}"
        numbers = f"{point.distortion:10.2f}  {point.rate:7.3f}  {point.elbo:9.2f}  {active:>8}  {point.spread:6.3f}"
        lines += [f"{name:>9}  {numbers}{'  collapsed' if point.collapsed else ''}"]
    lines += ["distortion: -E log p(x|z); rate: KL; ELBO: minus their sum; active: variance of the code's mean > 0.01;"]
    lines += ["spread: standard deviation of decoded means between data, relative to that of the data"]
    lines += ["files", *(f"  {options.out / name}" for name in WRITTEN), f"again  {document['command']}"]
    return "\n".join(lines)
