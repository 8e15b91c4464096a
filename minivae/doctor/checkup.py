"""Run all checks of the doctor on the functions of a VAE, and collect the findings in a report."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minivae import checks
from minivae.doctor import gradient, loss as terms_of, networks, sampler, weights
from minivae.doctor.balance import SECOND, assumed, convention_of, hidden_weights, signs, two_readings, weight_of_kl
from minivae.doctor.bound import against_log_px
from minivae.doctor.calls import Call, name_and_meaning, seeded
from minivae.doctor.findings import Finding, Report
from minivae.doctor.names import Measured
from minivae.rosetta.command import document

FUNCTIONS = ("loss", "kl", "sample", "log_px_given_z", "encode", "decode", "gradient", "loss_and_gradient", "iw_bound")
SIZES = ("features", "latent", "batch")
DATA = ("params", "x", "axis")
UNSEEN = (
    "your intention: a weight of the KL may be intended (beta) or an accident",
    "the values of beta and of sigma: a squared error fixes only the product beta sigma^2",
    "data, training loop, optimiser, and whether training calls these functions",
)
LACKS = {
    "loss": "the loss: give loss(x, output, mu, log_var)",
    "sample": "how z is drawn: give sample(mu, log_var, eps)",
    "gradient": "gradients: give gradient(x, output, mu, log_var), or loss_and_gradient(params, x, eps) with params, "
                "features and latent",
    "bound": "whether minus the loss is below the exact log p(x): for that, give loss, encode, sample with eps, decode and "
             "a normalised log_px_given_z, for 1 or 2 latent dimensions",
}  # fmt: skip


def examine(seed: int = 0, file: str | None = None, **given: Any) -> Report:
    """Measure the functions of a VAE and return a Report.

    Parameters
    ----------
    loss, kl, sample, log_px_given_z, encode, decode, gradient, loss_and_gradient, iw_bound : callable, optional
        Functions of NumPy arrays, described in minivae/doctor/README.md.
    features, latent, batch : int, optional
        Sizes D, J and B of the user's arrays. A function that accepts only these sizes is measured at these sizes. If the
        loss contains means, its beta and its sigma depend on these sizes.
    params : optional
        Parameters with which loss_and_gradient is called.
    x : optional
        Data at which the lower bound is compared with the exact log p(x).
    axis : int, optional
        Axis of the draws in log_w: 0 if each row of log_w belongs to one draw, 1 if each column belongs to one draw.
    seed : int
        Random seed of the points at which the functions are measured.
    file : str, optional
        The file that contains the functions; error messages give the line in this file.

    Raises
    ------
    ValueError
        If no function is given, if a keyword argument is unknown, or if a function raises an error or returns no numbers.
    """
    unknown = sorted(set(given) - {*FUNCTIONS, *SIZES, *DATA})
    if unknown:
        checks.refuse("names", f"among {', '.join((*FUNCTIONS, *SIZES, *DATA))}", ", ".join(unknown), "Check the spelling.")
    given = {name: value for name, value in given.items() if value is not None}
    calls = {name: Call(name, given[name], file) for name in FUNCTIONS if name in given}
    if not calls:
        checks.refuse("the functions", f"at least one of {', '.join(FUNCTIONS)}", "none",
                      "Define def loss(x, output, mu, log_var).")
    sizes = {name: checks.whole_number(name, given[name], 1) for name in SIZES if name in given}
    seed = checks.whole_number("seed", seed, 0)
    if given.get("axis", 0) not in (0, 1, -1, -2):
        checks.refuse("axis", "0 or 1, the axis of the draws in log_w", repr(given["axis"]), "Write axis = 0.")
    report = Report(seed, [*calls])
    # no warnings: functions are also measured at points where they overflow
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"), seeded(seed % 2**32):
        run(report, calls, sizes, given)
    return report


def run(report: Report, calls: Mapping[str, Call], sizes: Mapping[str, int], given: Mapping[str, Any]) -> None:
    """Run the checks and add their findings to the report."""
    def rng():
        return np.random.default_rng(report.seed)

    measured = {name: terms_of.measure(calls[name], rng(), sizes) for name in terms_of.ARGUMENTS if name in calls}
    for part in measured.values():
        report.findings += part.findings
    report.findings += signs(measured)
    whole = measured.get("loss")
    convention = convention_of(whole, sizes) if whole else None
    hidden = hidden_weights(whole) if whole else []
    report.findings += hidden
    if convention:
        report.rosetta = document(convention)
        report.findings += [] if hidden else weight_of_kl(convention.reconstruction, report.rosetta["reading"]["beta"])
        if guessed := assumed(convention, sizes):
            report.unseen.append(f"the sizes of your data: {guessed}")
    readings = {name: part.kl.reading for name, part in measured.items() if part.kl and part.kl.reading}
    report.findings += two_readings(readings, calls)
    if "sample" in calls:
        assumed_by_kl = sampler.Assumed()
        if readings:
            name = next(iter(readings))
            second = name_and_meaning(calls[name], SECOND[name])
            assumed_by_kl = sampler.Assumed(readings[name], measured[name].kl.known, *second)
        report.findings += sampler.measure(calls["sample"], rng(), assumed_by_kl, sizes.get("latent"))
    unknown = {name: calls[name] for name, (size, _) in networks.PAIR.items() if name in calls and size not in sizes}
    at = networks.widths(unknown, rng()) | sizes
    for name in networks.PAIR:
        if name in calls:
            report.findings += networks.rows_apart(calls[name], at, rng())
    if "decode" in calls and "latent" in at:
        report.findings += networks.fits_the_loss(calls["decode"], at["latent"], measured, rng())
    if "gradient" in calls:
        report.findings += gradients(calls, whole, rng())
    if "loss_and_gradient" in calls:
        report.findings += of_model(calls["loss_and_gradient"], at | dict(given), rng())
    if "iw_bound" in calls:
        report.findings += weights.measure(calls["iw_bound"], rng(), given.get("axis"))
    held = against_log_px(calls, measured, at.get("latent"), given.get("x"), rng())
    report.findings += held
    if report.rosetta and report.rosetta["bound"] != "none" and (reason := not_an_elbo(report.findings)):
        report.rosetta["bound_in_words"] = f"no: {reason}. The formula alone says {report.rosetta['bound_in_words']}"
    lacking = {"gradient": not {"gradient", "loss_and_gradient"} & set(calls), "bound": not held}
    report.unseen += [words for name, words in LACKS.items() if lacking.get(name, name not in calls)]
    report.unseen += UNSEEN


def not_an_elbo(findings: Iterable[Finding]) -> str:
    """Return the reason why minus the loss is not an ELBO, or "" if the findings contain no reason.

    Noise that all rows share is not a reason, because this noise does not change the expected loss.
    """
    for found in (found for found in findings if found.verdict == "wrong"):
        if found.about == "sample" and found.key != "changes-argument" and not found.words.startswith("every row"):
            return "sample does not draw z from the Gaussian of the KL"
        if found.key == "bound":
            return "minus the loss was measured above log p(x)"
    return ""


def gradients(calls: Mapping[str, Call], whole: Measured | None, rng: np.random.Generator) -> list[Finding]:
    """Return the findings about `gradient`. The check needs a loss that returns the same finite number in each call."""
    if whole is None or any(f.key in ("counter", "noise-inside", "not-repeatable", "not-finite") for f in whole.findings):
        return [Finding("cannot tell", "gradient", "no-loss",
                        "it was not compared: this needs a loss that returns the same finite number twice")]
    ascends = any(f.key == "elbo" for f in signs({"loss": whole}))
    return gradient.measure(calls["loss"], calls["gradient"], rng, (whole.sizes, whole.target.binary, ascends))


def of_model(call: Call, given: Mapping[str, Any], rng: np.random.Generator) -> list[Finding]:
    """Return the findings about `loss_and_gradient`."""
    if "params" in given:
        params = gradient.params_of(given["params"], call.file)
        if known := gradient.sizes_of(call, params, given):
            return gradient.measure_model(call, params, *known, rng)
    lacking = [name for name in ("params", "features", "latent") if name not in given]
    return [Finding("cannot tell", call.name, "needs", f"it was not called: the file must also give {', '.join(lacking)}")]
