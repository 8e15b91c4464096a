"""The command evaluate: bounds, exact log p(x), gap and rate (the KL) of a run on its held-out data."""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks, runs
from minivae.app.progress import say
from minivae.app.results import GAP, MEASURED, UNIT, by_integration
from minivae.app.run_data import data_of
from minivae.app.typed import held_out_points, line, option, place
from minivae.data import Dataset
from minivae.evidence import (
    Bounds,
    Gap,
    Rates,
    annealed,
    exact_linear,
    exact_log_px,
    gap,
    lower_bounds,
    rate_distortion,
)  # fmt: skip
from minivae.evidence.bounds import checked_counts
from minivae.figures import evidence, style
from minivae.figures.arguments import Names, class_names
from minivae.likelihood import Gaussian
from minivae.runs.files import must_be_free
from minivae.vae import VAE

SLOW_ROWS = 100                                             # with --ais, at most 100 rows by default; 100 images take 3 s
TOLERANCE = 1e-4                                            # allowed error of the integrals of --gap; 355 images take 7 s
SURE = 4                                                    # bounds may be out of order by this many standard errors
DOCUMENT = "evaluate.json"
# {name that `evaluate` prints: the key under which `train` stores the same quantity}
MEANS = {"ELBO": "elbo", "log p(x)": "log_px", "gap": "gap"}


class Estimate(NamedTuple):
    """One line of the printed table: an estimate in nats for each data point."""

    label: str
    values: NDArray             # (N,)
    errors: NDArray             # (N,) standard errors due to the draws, or errors of integrals
    meaning: str
    drawn: bool = True          # True if `errors` are standard errors of independent draws

    @property
    def mean(self) -> float:
        """Return the mean over the data, in nats."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """Return the error of the mean. For integrals, whose errors may be dependent, return the mean of the errors."""
        return math.sqrt((self.errors**2).sum()) / len(self.errors) if self.drawn else float(self.errors.mean())


class Measured(NamedTuple):
    """All results for one model on data x (N, D). None stands for a result that was not requested or does not exist."""

    x: NDArray
    k: tuple[int, ...]
    bounds: Bounds
    rates: Rates
    ais: Estimate | None
    exact: Estimate | None
    parts: Gap | None

    @property
    def table(self) -> list[Estimate]:
        """Return the rows of the table: ELBO and importance-weighted bounds, then AIS and exact value if computed."""
        b = self.bounds
        rows = [Estimate("ELBO", b.elbo, b.elbo_se, "reconstruction - KL: a lower bound of log p(x)")]
        for k, values, errors in zip(self.k, b.iw_bound, b.iw_bound_se):
            about = f"lower bound: log of the mean of {k} importance weight{'s' * (k > 1)}"
            rows.append(Estimate(f"IW_{k}", values, errors, about))
        return [*rows, *filter(None, [self.ais, self.exact])]


def evaluate_and_report(options: argparse.Namespace) -> int:
    """Compute and print the results, draw figures with --out; return 1 if two bounds are in the wrong order."""
    run = runs.read(options.run)
    whole, results = data_of(run, options.data), runs.results(run.path)
    refuse_early(options, run.vae)
    chosen = rows_of(whole, options)
    say(options, f"evaluating {len(chosen.test_x)} of {held_out_points(len(whole.test_x))}; fewer with --rows N")
    measured = measure(run.vae, chosen.test_x, options.k, options.seed, ais=options.ais, split=options.gap)
    wrong = violations(measured)
    document = document_of(measured, wrong) | {"held_out": len(whole.test_x), "seed": options.seed}
    document |= {"read": whole.about.document(), "run": str(options.run), "command": command_again(options), "files": []}
    if options.out is not None:
        drawn = pictures(run.vae, measured, chosen.test_y, whole.image_shape, class_names(whole))
        document["files"] = write(options.out, drawn)
        runs.write_json(options.out / DOCUMENT, document)
    print(json.dumps(document, indent=2) if options.json else page(measured, document, options, results))
    return 1 if wrong else 0


def rows_of(whole: Dataset, options: argparse.Namespace) -> Dataset:
    """Return the data with the held-out rows to evaluate.

    With --rows N, use the first N held-out rows. By default, use the rows that `train` measures. With --ais, the
    default is at most SLOW_ROWS held-out rows, evenly spaced.
    """
    if options.rows is None:
        return whole.few(SLOW_ROWS if options.ais else MEASURED)
    labels = None if whole.test_y is None else whole.test_y[: options.rows]
    return replace(whole, test_x=whole.test_x[: options.rows], test_y=labels)


def refuse_early(options: argparse.Namespace, vae: VAE) -> None:
    """Before any computation, raise ValueError for options that do not suit the run. Then make the directory of --out."""
    checks.whole_number("--seed", options.seed, 0)
    checked_counts(options.k)
    if options.rows is not None:
        checks.whole_number("--rows", options.rows, 2)
    if not vae.noise:
        remedy = "It has no q(z|x), so no bound; train without --autoencoder."
        checks.refuse("RUN", "a model with noise", "a plain autoencoder", remedy)
    if options.gap and vae.latent > 2:
        remedy = "Leave out --gap; --ais works for any number."
        checks.refuse("--gap", "used with one or two latent dimensions", f"{vae.latent}", remedy)
    if options.exact and vae.latent > 2 and not is_linear(vae):
        rule = "used with one or two latent dimensions, or with a gaussian model without hidden layers"
        checks.refuse("--exact", rule, f"{vae.latent} latent dimensions", "Leave out --exact; --ais works for any number.")
    if options.out is not None:
        files = [options.out / name for name in (DOCUMENT, *(f"{name}.png" for name in evidence.NAMES))]
        must_be_free("--out", "a directory without an earlier evaluation", files, options.overwrite)
        runs.make_directory(options.out)


def is_linear(vae: VAE) -> bool:
    """Return True if log p(x) has a closed form: a Gaussian likelihood and no hidden layer."""
    return not vae.hidden and isinstance(vae.likelihood, Gaussian)


def measure(vae: VAE, x: NDArray, k: tuple[int, ...], seed: int, *, ais: bool = False, split: bool = False) -> Measured:
    """Return bounds and rate (the KL) of data x (N, D), and the exact log p(x) if it can be computed.

    `ais` adds annealed importance sampling, `split` adds the parts of the gap. Bounds, rate and `ais` use separate random
    generators, so `ais` does not change the other numbers. With seed 0 and the default k and rows, the bounds are those
    that `train` prints.
    """
    for_bounds, for_rates, for_ais = np.random.default_rng(seed).spawn(3)
    bounds = lower_bounds(vae, x, k, for_bounds)
    rates = rate_distortion(vae, x, for_rates)
    chains = parts = exact = None
    if ais:
        result = annealed(vae, x, for_ais)
        percent = 100 * result.acceptance.mean()
        about = f"lower bound: annealed importance sampling from the prior, {percent:.0f} % of steps accepted"
        chains = Estimate("AIS", result.log_px, result.error, about)
    if split:
        parts = gap(vae, x, TOLERANCE)
    if is_linear(vae):
        log_px = exact_linear(vae, x).log_px
        exact = Estimate("log p(x)", log_px, 1e-12 * np.abs(log_px), "exact, in closed form", drawn=False)
    elif vae.latent <= 2:
        values, errors = (parts.log_px, parts.error) if split else exact_log_px(vae, x)[:2]
        exact = Estimate("log p(x)", values, errors, f"exact, {by_integration(errors.max())}", drawn=False)
    return Measured(x, tuple(k), bounds, rates, chains, exact, parts)


def violations(measured: Measured) -> list[str]:
    """Return a sentence for each pair of table lines that are in the wrong order by more than SURE standard errors.

    In expectation ELBO <= IW_j <= IW_k <= log p(x) for j < k, and AIS <= log p(x). AIS may be above or below IW_k.
    """
    bounds = measured.table[: 1 + len(measured.k)]
    pairs = list(zip(bounds, bounds[1:]))
    if measured.exact is not None:
        pairs += [(row, measured.exact) for row in measured.table[:-1]]
    wrong = []
    for low, high in pairs:
        excess, error = low.mean - high.mean, math.hypot(low.error, high.error)
        if excess > SURE * error:                           # no violation if a bound is -inf, because its error is inf
            wrong.append(f"{low.label} <= {high.label} is violated by {excess:.3g} nats, standard error {error:.2g}")
    return wrong


# Output


def document_of(measured: Measured, wrong: list[str]) -> dict:
    """Return the results as one JSON document: means over the data, in nats."""
    names = ("label", "mean", "error", "meaning")
    table = [dict(zip(names, (row.label, finite(row.mean), finite(row.error), row.meaning))) for row in measured.table]
    bounds, rates = measured.bounds, measured.rates
    document = {"rows": len(measured.x), "table": table, "meaning": meaning(measured), "violations": wrong}
    document["reconstruction"] = finite(bounds.reconstruction.mean())
    document |= {"rate": rates.kl, "distortion": finite(-bounds.reconstruction.mean())}
    document |= {"mutual_information": rates.mutual_information, "marginal_kl": rates.marginal_kl}
    document |= {"surgery_se": rates.surgery_se, "kl_per_dimension": rates.kl_per_dimension.tolist()}
    document |= {"active": int(rates.active.sum()), "latent": len(rates.active), "gap": None}
    if measured.parts is not None:
        names = ("elbo", "amortisation", "approximation", "log_px")
        document["gap"] = {name: finite(getattr(measured.parts, name).mean()) for name in names}
        document["gap"]["error"] = finite(measured.parts.error.max())
    return document


def finite(value: float) -> float | None:
    """Return `value`, or None if it is infinite or NaN: JSON has neither."""
    return float(value) if math.isfinite(value) else None


def meaning(measured: Measured) -> str:
    """Return a sentence with IW_k - ELBO for the last k, in nats. If log p(x) is known, add log p(x) - ELBO."""
    elbo, weights = measured.table[0].mean, measured.k[-1]
    tighter = f"{weights} weights raise the ELBO by {measured.table[len(measured.k)].mean - elbo:.2f} nats"
    if measured.exact is None:
        return f"In expectation, each line is at most log p(x), which is not known; {tighter}."
    return f"The ELBO is {measured.exact.mean - elbo:.2f} nats below log p(x); {tighter}."


def page(measured: Measured, document: dict, options: argparse.Namespace, results: dict) -> str:
    """Return the text to print: the table, the gap and its parts, the rate and its parts, the files.

    `results` are the results of `train`. If `train` measured more or fewer rows than this evaluation, the text also has
    the ELBO, the log p(x) and the gap of `train`, if they exist.
    """
    lines = [f"{rows_in_words(document, options)}, seed {document['seed']}; mean +- standard error of the draws", UNIT]
    for row in measured.table:
        lines.append(table_line(row.label, row.mean, row.error if row.drawn else None, row.meaning))
    if measured.exact is not None:
        elbo = measured.table[0]
        lines.append(table_line("gap", measured.exact.mean - elbo.mean, elbo.error, "log p(x) - ELBO"))
        lines += gap_lines(document["gap"])
    if measured.ais is not None:
        lines.append("the error of AIS, the spread of its chains, is too small if no chain reaches a part of the posterior")
    if results.get("elbo") is not None and results.get("held_out") != document["rows"]:
        means = [f"{name} {results[key]:.3f}" for name, key in MEANS.items() if results.get(key) is not None]
        lines.append(f"`train` measured {held_out_points(results.get('held_out'))}: {', '.join(means)}")
    lines += [order_in_words(document["violations"], measured), document["meaning"]]
    lines += rate_lines(document)
    if document["files"]:
        lines += ["files", *(f"  {file['path']}" for file in document["files"])]
    return "\n".join([*lines, f"again  {document['command']}"])


def rows_in_words(document: dict, options: argparse.Namespace) -> str:
    """Return a phrase that says which rows were evaluated."""
    rows, held_out = document["rows"], document["held_out"]
    if rows == held_out:
        return held_out_points(held_out)
    if options.rows is not None:
        return f"the first {rows} of {held_out_points(held_out)}"
    return f"{rows} of {held_out_points(held_out)}, evenly spaced"


def table_line(label: str, mean: float, error: float | None, about: str) -> str:
    """Return one line of the table; `error` is a standard error, or None for an exact number."""
    plus_minus = "" if error is None else f"+- {error:.3f}"
    return f"  {label:10} {mean:10.3f} {plus_minus:9}  {about}"


def gap_lines(parts: dict | None) -> list[str]:
    """Return the definition of the gap, then a line for each part of the gap, and a line for the sum of the parts.

    Without `parts`, return the definition and a hint: the option --gap computes the parts.
    """
    if parts is None:
        return [GAP, "--gap splits it into the encoder's error and the error of the best diagonal Gaussian"]
    text = (
        "  {amortisation:7.3f}  the encoder's error: the best diagonal Gaussian of each x has a higher ELBO (amortisation)",
        "  {approximation:7.3f}  the error of the best diagonal Gaussian: it is not the posterior (approximation)",
        "  {total:7.3f}  their sum: log p(x) {log_px:.3f} minus ELBO {elbo:.3f}, both by numerical integration, no draws",
    )
    return [GAP, *(row.format(**parts, total=parts["amortisation"] + parts["approximation"]) for row in text)]


def rate_lines(document: dict) -> list[str]:
    """Return the rate and its parts, the distortion, and the number of active latent dimensions."""
    text = (
        "rate (the KL) {rate:.3f} = mutual information of x and z {mutual_information:.3f} "
        "+ KL from the average q(z|x) to the prior {marginal_kl:.3f} (+- {surgery_se:.3f})",
        "distortion (minus the reconstruction) {distortion:.3f}; {active} of {latent} latent dimensions active",
    )
    negative = ["the KL from the average is estimated from draws: the estimate can be negative, although a KL cannot"]
    return [*(row.format(**document) for row in text), *negative * (document["marginal_kl"] < 0)]


def order_in_words(wrong: list[str], measured: Measured) -> str:
    """Return a line for each violation; without violations, return a line that says that the bounds are in order."""
    if wrong:
        return "\n".join(f"WRONG: {each}" for each in wrong)
    exact = "" if measured.exact is None else " <= log p(x)"
    return f"in order: ELBO <= IW_k{exact}, within {SURE} standard errors"


def command_again(options: argparse.Namespace) -> str:
    """Return the command that repeats this evaluation and gives the same numbers.

    If the command has --out, the user must add --overwrite, because this evaluation has already written the files.
    """
    words = ["minivae", "evaluate", place(options.run), "--seed", str(options.seed), *option("k", options.k)]
    words += [] if options.data is None else option("data", options.data)
    words += [f"--{name}" for name in ("ais", "exact", "gap") if getattr(options, name)]
    words += ["--rows", str(options.rows)] if options.rows is not None else []
    return line(words + (option("out", options.out) if options.out is not None else []))


# Figures


def pictures(
    vae: VAE, measured: Measured, labels: NDArray | None, image_shape: tuple[int, int] | None, classes: Names = None
) -> dict:
    """Return {name: (figure, alt text)} of all figures that can be drawn from `measured`."""
    exact = None if measured.exact is None else measured.exact.values
    drawn = {"bounds_by_k": evidence.bounds_by_k(measured.k, measured.bounds, exact)}
    if vae.latent == 2:
        drawn["aggregate"] = evidence.aggregate(vae, measured.x, measured.rates)
    if measured.parts is not None:
        drawn["gap_split"] = evidence.gap_split(measured.parts)
        if vae.latent == 2:
            parts = measured.x, measured.parts, labels, image_shape
            drawn["posteriors"] = evidence.posteriors(vae, *parts, classes=classes)
    return drawn


def write(out: Path, drawn: dict) -> list[dict]:
    """Save the figures; return path and alt text of each."""
    for name, (figure, alt) in drawn.items():
        style.save(figure, alt, out / f"{name}.png")
    return [{"path": str(out / f"{name}.png"), "alt": alt} for name, (_, alt) in drawn.items()]
