"""The command rosetta: translate a loss with sums, means and weights into beta and sigma, and name the kind of bound.

Modules that import NumPy are imported when the command runs: `minivae --help` must not import NumPy.
"""

import argparse
import json
import math
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minivae.rosetta import Convention, Reading, Translation
    from minivae.rosetta.presets import Preset

ABOUT = """Print the effective beta and the decoder's sigma of a VAE's loss, and whether minus the loss is a lower
bound of log p(x). Without options, print this help."""
EXAMPLES = """examples:
  minivae rosetta --list                         the losses of public VAE code, translated
  minivae rosetta --preset antixk-train          one of these losses
  minivae rosetta --reconstruction mse --reduce mean --kl-reduce mean --kl-weight 0.00025 --features 12288 --latent 128
  minivae rosetta --reconstruction bce --reduce mean --features 784 --json
"""
PARTS = (
    ("reconstruction", "mse|bce|gaussian", str, "squared error, binary cross-entropy, or minus a Gaussian log-density"),
    ("sigma", "S", "number or word", "for gaussian: a number, learned or optimal; for mse: a number (default: 1)"),
    ("reduce", "sum|mean", str, "reduction of the reconstruction over features (default: sum)"),
    ("batch_reduce", "sum|mean", str, "reduction of the reconstruction over the batch (default: mean)"),
    ("kl_reduce", "sum|mean", str, "reduction of the KL over latent dimensions (default: sum)"),
    ("kl_batch_reduce", "sum|mean", str, "reduction of the KL over the batch (default: mean)"),
    ("recon_weight", "U", "number", "weight of the reconstruction, for example 0.5 or 1/784 (default: 1)"),
    ("kl_weight", "V", "number", "weight of the KL (default: 1)"),
    ("features", "D", int, "number of features, needed for a mean over features"),
    ("latent", "J", int, "number of latent dimensions, needed for a mean over latent dimensions"),
    ("batch", "B", int, "number of rows in a batch, needed for a sum over the batch"),
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    raw, brief = argparse.RawDescriptionHelpFormatter, "translate a loss with sums, means and weights into beta and sigma"
    parser = commands.add_parser("rosetta", help=brief, description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.set_defaults(command=rosetta_command, print_help=parser.print_help)
    kinds = {"number": fraction, "number or word": fraction_or_word}
    for name, metavar, kind, about in PARTS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, type=kinds.get(kind, kind), help=about)
    parser.add_argument("--preset", metavar="NAME", help="start from the public convention NAME; --list prints all names")
    parser.add_argument("--list", action="store_true", help="print all public conventions as a table")
    parser.add_argument("--markdown", action="store_true", help="print the table of --list as Markdown")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def fraction(text: str) -> float:
    """Return the number for "1/784" or "0.5". Raises ValueError if the text is not a finite number."""
    above, below = map(float, text.split("/", 1) if "/" in text else (text, "1"))
    value = above / below if below else math.inf
    if not all(map(math.isfinite, (above, below, value))):
        raise ValueError(text)
    return value


def fraction_or_word(text: str) -> float | str:
    """Return the number for "0.5" or "1/2"; return any other text unchanged."""
    try:
        return fraction(text)
    except ValueError:
        return text


def rosetta_command(options: argparse.Namespace) -> int:
    """Translate one convention, or list all public ones; without options, print the help."""
    given = {name: getattr(options, name) for name, *_ in PARTS if getattr(options, name) is not None}
    one, table = given or options.preset, options.list or options.markdown or options.json
    if not (one or table):
        options.print_help()
        return 0

    from dataclasses import replace

    from minivae import checks
    from minivae.rosetta import Convention, presets

    if options.list or options.markdown or not one:
        if one:
            checks.refuse("--list", "used without a convention", "both", "Leave out one of the two.")
        everything = [document(preset.convention, name, preset) for name, preset in presets.PRESETS.items()]
        show = markdown if options.markdown else listing
        print(json.dumps(everything, indent=2) if options.json else show(everything))
        return 0
    preset = presets.preset(options.preset) if options.preset else None
    if preset is None and "reconstruction" not in given:
        remedy = "Add --reconstruction mse, bce or gaussian, or start from a --preset."
        checks.refuse("--reconstruction", "given", "none", remedy)
    convention = replace(preset.convention, **given) if preset else Convention(**given)
    found = document(convention, options.preset, None if given else preset)
    print(json.dumps(found, indent=2) if options.json else page(found))
    return 0


def document(convention: "Convention", name: str | None = None, preset: "Preset | None" = None) -> dict:
    """Return the translation of a convention as plain JSON types; without a preset, source and remark are null."""
    from dataclasses import asdict

    from minivae.rosetta import translate

    found = translate(convention)
    elbo = found.elbo._asdict() if found.elbo else None
    result = {"preset": name, "convention": asdict(convention), "written": written(convention)}
    result |= {"reading": found.reading._asdict(), "elbo": elbo, "bound": found.bound}
    result |= {"kl_weight_for_elbo": found.kl_weight, "bound_in_words": bound_in_words(convention, found)}
    result |= {"same": train_command(convention, found.elbo or found.reading), "instead": instead(convention, found)}
    return result | {"source": preset and preset.source, "remark": preset and preset.remark}


# Sentences about a translation


def written(convention: "Convention") -> str:
    """Return the loss as a formula: 'sum_D (x - m)^2 + 0.00025 mean_J KL, mean over B'."""
    c = convention
    costs = {"mse": "(x - m)^2", "bce": "BCE(x, m)", "gaussian": f"-log N(x; m, sigma = {c.sigma})"}
    same = c.batch_reduce == c.kl_batch_reduce
    batch = ("", "") if same else (f"{c.batch_reduce}_B ", f"{c.kl_batch_reduce}_B ")
    first = f"{times(c.recon_weight)}{batch[0]}{c.reduce}_D {costs[c.reconstruction]}"
    return f"{first} + {times(c.kl_weight)}{batch[1]}{c.kl_reduce}_J KL" + (f", {c.batch_reduce} over B" if same else "")


def times(weight: float) -> str:
    """Return a weight as text, to write before a term: '0.5 ', or '' for 1."""
    return "" if weight == 1 else f"{weight:.6g} "


def at_sigma(reading: dict) -> str:
    """Return ' at sigma = 1.24' or ' at sigma learned', or '' for a Bernoulli."""
    sigma = reading["sigma"]
    return "" if sigma is None else f" at sigma {sigma}" if isinstance(sigma, str) else f" at sigma = {sigma:.6g}"


def bound_in_words(convention: "Convention", found: "Translation") -> str:
    """Return a sentence that answers the question: is minus the loss (in nats) a lower bound of log p(x)?

    If minus the loss is the ELBO of a Gaussian decoder, the sentence also gives the sigma of this decoder.
    """
    beta = found.reading.beta
    if beta == 0:
        return "no: without a KL this is the loss of a plain autoencoder"
    if found.bound == "none":
        return f"no: with beta = {beta:.6g} < 1, minus the loss can be above log p(x)"
    if found.bound == "looser":
        return f"yes, but a loose one: the ELBO minus {beta - 1:.6g} KL"
    sigma = at_sigma(found.elbo._asdict()).removeprefix(" at ")
    if found.bound == "elbo":
        return "yes: minus the loss is the ELBO" + (f" of a decoder with {sigma}" if sigma else "")
    if convention.reconstruction == "mse":
        return f"yes: minus the loss is the ELBO of a decoder with {sigma}"
    other = f"for the declared sigma = {convention.sigma:.6g}, it is {'a loose bound' if beta > 1 else 'no bound'}"
    return f"yes: minus the loss is the ELBO of a decoder with {sigma}; {other}"


def train_command(convention: "Convention", reading: "Reading") -> str:
    """Return the command that trains with the loss of `convention`, except for a constant factor and an added constant."""
    words = ["minivae", "train", "--likelihood", "bernoulli" if convention.reconstruction == "bce" else "gaussian"]
    if reading.sigma is not None:
        words += ["--sigma", f"{reading.sigma:.9g}" if isinstance(reading.sigma, float) else reading.sigma]
    if reading.beta != 1:
        words += ["--beta", f"{reading.beta:.9g}"]
    if convention.latent is not None:
        words += ["--latent", str(convention.latent)]
    return shlex.join(words)


def instead(convention: "Convention", found: "Translation") -> str:
    """Return a loss that is minus the ELBO plus a constant: sums over features and latents, mean over rows, beta = 1."""
    if convention.reconstruction == "bce":
        return "mean_B ( sum_D BCE(x, m) + sum_J KL )"
    if convention.has_fixed_sigma and found.elbo is not None:
        double = 2 * found.elbo.sigma * found.elbo.sigma
        return f"mean_B ( sum_D (x - m)^2 / {double:.6g} + sum_J KL ), or learn sigma"
    return "mean_B ( sum_D ( (x - m)^2 / (2 sigma^2) + log sigma ) + sum_J KL ) with a learned sigma"


# Printed output


def page(found: dict) -> str:
    """Return the text that the command prints about one loss."""
    reading, elbo, c = found["reading"], found["elbo"], found["convention"]
    sizes = ", ".join(f"{letter} = {c[name]}" for name, letter in zip(("features", "latent", "batch"), "DJB") if c[name])
    rows = [("preset", found["preset"] if found["source"] else None), ("seen in", found["source"])]
    rows += [("written", found["written"] + (f"   ({sizes})" if sizes else ""))]
    rows += [("beta", f"{reading['beta']:.6g}{at_sigma(reading)}")]
    if elbo and found["bound"] != "elbo":
        rows += [("or beta", f"1{at_sigma(elbo)}: the loss fixes only beta sigma^2 = {elbo['sigma'] ** 2:.6g}")]
    rows += [("gradient", f"{reading['factor']:.6g} x the gradient of (-log p(x|z) + beta KL){at_sigma(reading)}")]
    rows += [("in nats", in_nats(elbo, "-ELBO") if elbo else in_nats(reading, "-log p(x|z) + beta KL"))]
    rows += [("a bound", found["bound_in_words"])]
    if c["reconstruction"] == "bce":
        rows += [("", "(if every x is 0 or 1; for other values, BCE is not a log-likelihood)")]
    rows += [("as -ELBO", found["instead"])]
    if found["bound"] in ("looser", "none") and c["kl_weight"]:
        rows += [("", f"or keep the reductions and weight the KL with {found['kl_weight_for_elbo']:.6g}")]
    rows += [("command", found["same"])]
    rows += [("", "(trains with this loss in nats; a factor before a loss hardly changes Adam's steps, but scales SGD's)")]
    rows += [("remark", found["remark"])]
    return "\n".join(f"{label:9} {text}" for label, text in rows if text)


def in_nats(reading: dict, what: str) -> str:
    """Return the formula that converts a printed loss into nats: 'loss / 2 + 0.572 D = -ELBO at sigma = 0.707'."""
    factor, constant = reading["factor"], reading["constant"]
    loss = "loss" if factor == 1 else f"loss / {factor:.6g}"
    normaliser = f" {'-' if constant < 0 else '+'} {abs(constant):.6g} D" if constant else ""
    return f"{loss}{normaliser} = {what}{at_sigma(reading)}, per data point"


def cells(found: dict) -> list[str]:
    """Return one row of the table: name, formula, D, J, beta, factor, sigma at beta = 1, bound.

    D and J are "any" if the loss does not take a mean over them.
    """
    reading, elbo, c = found["reading"], found["elbo"], found["convention"]
    means = (c["reduce"], c["features"]), (c["kl_reduce"], c["latent"])
    sizes = [str(size) if reduction == "mean" else "any" for reduction, size in means]
    beta = f"{reading['beta']:.4g}{at_sigma(reading)}"
    sigma = f"{elbo['sigma']:.4g}" if elbo and elbo["sigma"] is not None else ""
    return [found["preset"], found["written"], *sizes, beta, f"{reading['factor']:.4g}", sigma, short_bound(found)]


def short_bound(found: dict) -> str:
    """Return the kind of bound in one word: 'yes' for an ELBO, 'loose' for a bound below the ELBO, 'no' for no bound."""
    return {"none": "no", "looser": "loose"}.get(found["bound"], "yes")


def listing(everything: list[dict]) -> str:
    """Return the table of all presets as text; below it, the source of each preset."""
    head = ["preset", "written", "D", "J", "beta", "gradient x", "sigma if beta = 1", "bound"]
    rows = [head, *map(cells, everything)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    sources = [f"{found['preset']}: {found['source']}" for found in everything]
    return "\n".join([*lines, "", *sources])


def markdown(everything: list[dict]) -> str:
    """Return the table of all presets as Markdown, with their sources."""
    head = "| convention | written | D | J | beta | gradient × | sigma if beta = 1 | a bound | seen in |"
    rows = []
    for found in everything:
        name, formula, *rest = cells(found)
        rows.append([f"`{name}`", f"`{formula}`", *rest, found["source"]])
    return "\n".join([head, 9 * "|---" + "|", *("| " + " | ".join(row) + " |" for row in rows)])
