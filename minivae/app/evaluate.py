"""The command evaluate: how far a run's bound is from log p(x) on its held-out data, and what the distance is made of."""

import argparse
import json
import math
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae import checks, runs
from minivae.app.progress import say
from minivae.app.train import learned_by
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
from minivae.likelihood import Gaussian
from minivae.runs.files import must_be_free
from minivae.vae import VAE

SLOW_ROWS = 100                                             # data that --ais and --gap are content with
SURE = 4                                                    # standard errors, beyond which an order is violated
DOCUMENT = "evaluate.json"


class Estimate(NamedTuple):
    """One line of the table: nats, a number for every datum."""

    label: str
    values: NDArray             # (N,)
    errors: NDArray             # (N,) standard errors, or of what the integrals are sure to
    meaning: str
    drawn: bool = True          # whether `errors` are those of independent draws

    @property
    def mean(self) -> float:
        """Over the data."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """Of the mean: draws of different data are independent, quadratures need not be."""
        return math.sqrt((self.errors**2).sum()) / len(self.errors) if self.drawn else float(self.errors.mean())


class Measured(NamedTuple):
    """Everything that was computed of one model on data x (N, D); None is what was not asked for or does not exist."""

    x: NDArray
    k: tuple[int, ...]
    bounds: Bounds
    rates: Rates
    ais: Estimate | None
    exact: Estimate | None
    parts: Gap | None

    @property
    def table(self) -> list[Estimate]:
        """From the lowest bound to the truth."""
        b = self.bounds
        rows = [Estimate("ELBO", b.elbo, b.elbo_se, "reconstruction - KL")]
        for k, values, errors in zip(self.k, b.iw_bound, b.iw_bound_se):
            rows.append(Estimate(f"IW_{k}", values, errors, f"log of the mean of {k} importance weight{'s' * (k > 1)}"))
        return [*rows, *filter(None, [self.ais, self.exact])]


def evaluate_and_report(options: argparse.Namespace) -> int:
    """Measure, check the order, draw if there is a place to, say what came out; 1 if the order is violated."""
    run = runs.read(options.run)
    learned = learned_by(run)
    refuse_early(options, run.vae)
    rows = options.rows or (SLOW_ROWS if options.ais or options.gap else len(learned.test_x))
    x = learned.test_x[:rows]
    say(options, f"{len(x)} of {len(learned.test_x)} held-out data, {max(options.k)} draws for each")
    measured = measure(run.vae, x, options.k, options.seed, ais=options.ais, split=options.gap)
    wrong = violations(measured)
    document = document_of(measured, wrong) | {"held_out": len(learned.test_x), "seed": options.seed}
    document |= {"run": str(options.run), "command": command_again(options), "files": []}
    if options.out is not None:
        labels = None if learned.test_y is None else learned.test_y[:rows]
        drawn = pictures(run.vae, measured, labels, learned.image_shape)
        document["files"] = write(options.out, drawn)
        runs.write_json(options.out / DOCUMENT, document)
    print(json.dumps(document, indent=2) if options.json else page(measured, document))
    return 1 if wrong else 0


def refuse_early(options: argparse.Namespace, vae: VAE) -> None:
    """Whatever cannot be done is said before anything is computed."""
    checks.whole_number("--seed", options.seed, 0)
    checked_counts(options.k)
    if options.rows is not None:
        checks.whole_number("--rows", options.rows, 2)
    if not vae.noise:
        remedy = "It has no q(z|x), so no bound; train without --autoencoder."
        checks.refuse("RUN", "a model with noise", "a plain autoencoder", remedy)
    if options.gap and vae.latent > 2:
        remedy = "Leave out --gap; --ais works for any number."
        checks.refuse("--gap", "asked of one or two latent dimensions", f"{vae.latent}", remedy)
    if options.exact and vae.latent > 2 and not is_linear(vae):
        rule = "asked of one or two latent dimensions, or of a gaussian model without hidden layers"
        checks.refuse("--exact", rule, f"{vae.latent} latent dimensions", "Leave out --exact; --ais works for any number.")
    if options.out is not None:
        files = [options.out / name for name in (DOCUMENT, *(f"{name}.png" for name in evidence.NAMES))]
        must_be_free("--out", "without an earlier evaluation", files, options.overwrite)
        runs.make_directory(options.out)


def is_linear(vae: VAE) -> bool:
    """Whether log p(x) is known in closed form."""
    return not vae.hidden and isinstance(vae.likelihood, Gaussian)


def measure(vae: VAE, x: NDArray, k: tuple[int, ...], seed: int, *, ais: bool = False, split: bool = False) -> Measured:
    """Bounds and rates of data x (N, D); the exact log p(x) where there is one; if asked, AIS and the gap taken apart.

    Each part has random numbers of its own, so that asking for more changes no other number.
    """
    for_bounds, for_rates, for_ais = np.random.default_rng(seed).spawn(3)
    bounds = lower_bounds(vae, x, k, for_bounds)
    rates = rate_distortion(vae, x, for_rates)
    chains = parts = exact = None
    if ais:
        result = annealed(vae, x, for_ais)
        share = 100 * result.acceptance.mean()
        about = f"lower bound by annealed importance sampling from the prior, {share:.0f} % accepted"
        chains = Estimate("AIS", result.log_px, result.error, about)
    if split:
        parts = gap(vae, x)
    if is_linear(vae):
        log_px = exact_linear(vae, x).log_px
        exact = Estimate("log p(x)", log_px, 1e-12 * np.abs(log_px), "exact, in closed form", drawn=False)
    elif vae.latent <= 2:
        values, errors = (parts.log_px, parts.error) if split else exact_log_px(vae, x)[:2]
        exact = Estimate("log p(x)", values, errors, f"exact, by quadrature, sure to {errors.max():.0e}", drawn=False)
    return Measured(x, tuple(k), bounds, rates, chains, exact, parts)


def violations(measured: Measured) -> list[str]:
    """Every pair of the table that theory orders and that is the other way round by more than SURE standard errors.

    ELBO <= IW_j <= IW_k <= log p(x) for j < k, and AIS <= log p(x), all in expectation; AIS and IW have no order.
    """
    bounds = measured.table[: 1 + len(measured.k)]
    pairs = list(zip(bounds, bounds[1:]))
    if measured.exact is not None:
        pairs += [(row, measured.exact) for row in measured.table[:-1]]
    wrong = []
    for low, high in pairs:
        excess, error = low.mean - high.mean, math.hypot(low.error, high.error)
        if excess > SURE * error:                           # of -inf and its infinite error nothing is known
            wrong.append(f"{low.label} <= {high.label} is violated by {excess:.3g} nats, standard error {error:.2g}")
    return wrong


# What is said


def document_of(measured: Measured, wrong: list[str]) -> dict:
    """The results as one JSON document: nats, means over the data."""
    names = ("label", "mean", "error", "meaning")
    table = [dict(zip(names, (row.label, known(row.mean), known(row.error), row.meaning))) for row in measured.table]
    bounds, rates = measured.bounds, measured.rates
    document = {"rows": len(measured.x), "table": table, "meaning": meaning(measured), "violations": wrong}
    document["reconstruction"] = known(bounds.reconstruction.mean())
    document |= {"rate": rates.kl, "distortion": known(-bounds.reconstruction.mean())}
    document |= {"mutual_information": rates.mutual_information, "marginal_kl": rates.marginal_kl}
    document |= {"surgery_se": rates.surgery_se, "kl_per_dimension": rates.kl_per_dimension.tolist()}
    document |= {"active": int(rates.active.sum()), "latent": len(rates.active), "gap": None}
    if measured.parts is not None:
        names = ("elbo", "amortisation", "approximation", "log_px")
        document["gap"] = {name: known(getattr(measured.parts, name).mean()) for name in names}
        document["gap"]["error"] = known(measured.parts.error.max())
    return document


def known(value: float) -> float | None:
    """`value` as JSON can hold it: None where it is infinite."""
    return float(value) if math.isfinite(value) else None


def meaning(measured: Measured) -> str:
    """One line on what the numbers of the table mean."""
    elbo = measured.table[0].mean if measured.parts is None else measured.parts.elbo.mean()     # without draws, if known
    tighter = f"{measured.k[-1]} weights raise the ELBO by {measured.table[len(measured.k)].mean - elbo:.2f} nats"
    if measured.exact is None:
        return f"log p(x) is at least the highest line; {tighter}, and how far it still is from log p(x) is not known."
    distance = measured.exact.mean - elbo
    return f"The ELBO is {distance:.2f} nats below log p(x), the mean KL( q(z|x) || p(z|x) ); {tighter}."


def page(measured: Measured, document: dict) -> str:
    """The table, what it means, what the gap and the rate are made of, the files."""
    some = "" if document["rows"] == document["held_out"] else f"the first {document['rows']} of "
    lines = [f"{some}{document['held_out']} held-out data, nats per datum (+- standard error of the draws), "]
    lines[0] += f"seed {document['seed']}"
    for row in measured.table:
        error = f"+- {row.error:.3f}" if row.drawn else ""
        lines.append(f"  {row.label:10} {row.mean:10.3f} {error:9}  {row.meaning}")
    if measured.ais is not None:
        lines.append("the error of AIS is the spread of its chains: too small where none sees part of the posterior")
    lines.append(measured_order(document["violations"], measured))
    lines.append(document["meaning"])
    if document["gap"]:
        parts = "{elbo:.3f} ELBO + {amortisation:.3f} amortisation + {approximation:.3f} approximation"
        lines.append(f"  {parts} = {{log_px:.3f}} log p(x)".format(**document["gap"]))
        meaning = "amortisation: what the encoder misses; approximation: what no diagonal Gaussian can reach"
        lines.append(f"  {meaning}; all by quadrature")
    lines.append(
        "rate {rate:.3f} = mutual information {mutual_information:.3f} + marginal KL {marginal_kl:.3f} "
        "(+- {surgery_se:.3f}); "
        "distortion {distortion:.3f}; {active} of {latent} latent dimensions active".format(**document)
    )
    if document["files"]:
        lines += ["files", *(f"  {file['path']}" for file in document["files"])]
    return "\n".join([*lines, f"again  {document['command']}"])


def measured_order(wrong: list[str], measured: Measured) -> str:
    """Whether the order of theory holds."""
    if wrong:
        return "\n".join(f"WRONG: {each}" for each in wrong)
    truth = "" if measured.exact is None else " <= log p(x)"
    return f"in order: ELBO <= IW_k{truth}, within {SURE} standard errors"


def command_again(options: argparse.Namespace) -> str:
    """The command that computes these numbers again."""
    words = ["minivae", "evaluate", str(options.run), "--seed", str(options.seed), "--k", ",".join(map(str, options.k))]
    words += [f"--{name}" for name in ("ais", "exact", "gap") if getattr(options, name)]
    words += ["--rows", str(options.rows)] if options.rows is not None else []
    return shlex.join(words + (["--out", str(options.out)] if options.out is not None else []))


# What is drawn


def pictures(vae: VAE, measured: Measured, labels: NDArray | None, image_shape: tuple[int, int] | None) -> dict:
    """Every figure that these numbers are enough for, by name."""
    exact = None if measured.exact is None else measured.exact.values
    drawn = {"bounds_by_k": evidence.bounds_by_k(measured.k, measured.bounds, exact)}
    if vae.latent == 2:
        drawn["aggregate"] = evidence.aggregate(vae, measured.x, measured.rates)
    if measured.parts is not None:
        drawn["gap_split"] = evidence.gap_split(measured.parts)
        if vae.latent == 2:
            drawn["posteriors"] = evidence.posteriors(vae, measured.x, measured.parts, labels, image_shape)
    return drawn


def write(out: Path, drawn: dict) -> list[dict]:
    """Save the figures; path and alt text of each."""
    for name, (figure, alt) in drawn.items():
        style.save(figure, alt, out / f"{name}.png")
    return [{"path": str(out / f"{name}.png"), "alt": alt} for name, (_, alt) in drawn.items()]
