"""All checks, in order."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae import checks
from minivae.doctor import bound, gradient, loss as terms_of, networks, sampler, weights
from minivae.doctor.calls import Call, Failed, quiet, seeded, told
from minivae.doctor.findings import Finding, Report
from minivae.doctor.loss import GUESS
from minivae.doctor.measured import Measured
from minivae.rosetta import Convention, translate
from minivae.rosetta.command import document
from minivae.gaussian import LOG_2PI

FUNCTIONS = ("loss", "kl", "sample", "log_px_given_z", "encode", "decode", "gradient", "loss_and_gradient", "iw_bound")
SIZES = ("features", "latent", "batch")
DATA = ("params", "x", "axis")
UNSEEN = (
    "what is meant: a weight of the KL may be wanted (beta) or an accident",
    "beta and sigma apart: a squared error fixes only beta sigma^2",
    "data, training loop, optimiser, and whether training calls these functions",
)
LACKS = {
    "loss": "the loss: give loss(x, output, mu, log_var)",
    "sample": "how z is drawn: give sample(mu, log_var, eps)",
    "gradient": "gradients: give gradient(x, output, mu, log_var), or loss_and_gradient(params, x, eps) with params, "
                "features and latent",
    "bound": "minus the loss against the exact log p(x): give loss, encode, sample with eps, decode and a normalised "
             "log_px_given_z, "
             "for 1 or 2 latent dimensions",
}  # fmt: skip


def examine(seed: int = 0, file: str | None = None, **given: Any) -> Report:
    """Measure the functions of a VAE and return a Report.

    Parameters
    ----------
    loss, kl, sample, log_px_given_z, encode, decode, gradient, loss_and_gradient, iw_bound : callable, optional
        Functions of NumPy arrays, see the page of the doctor.
    features, latent, batch : int, optional
        The sizes D, J and B for which the loss is translated.
    params, x, axis : optional
        Parameters for loss_and_gradient; data for the bound; the axis of the draws in log_w, 0 or 1.
    seed : int
        For the points at which the functions are measured.

    Raises
    ------
    ValueError
        If nothing is given, a name is unknown, or a function raises an error or returns no numbers.
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
    with quiet(), seeded(seed % 2**32):
        run(report, calls, sizes, given)
    return report


def run(report: Report, calls: Mapping[str, Call], sizes: Mapping[str, int], given: Mapping[str, Any]) -> None:
    """Fill the report."""
    def rng():
        return np.random.default_rng(report.seed)

    measured = {name: terms_of.measure(calls[name], rng(), sizes) for name in ("loss", "kl",
                                                                               "log_px_given_z") if name in calls}
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
        report.unseen += [f"the sizes of your data: {assumed(convention, sizes)}"] * bool(assumed(convention, sizes))
    readings = {name: part.kl.reading for name, part in measured.items() if part.kl and part.kl.reading}
    report.findings += two_readings(readings, calls)
    if "sample" in calls:
        of_kl = next(iter(readings), None)
        sure = bool(of_kl) and (measured[of_kl].kl.known)
        word = told(calls[of_kl], SECOND[of_kl]) if of_kl else ("", "")
        report.findings += sampler.measure(calls["sample"], rng(), sampler.Assumed(readings.get(of_kl), sure, *word),
                                           sizes.get("latent"))
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
    held = bound_finding(calls, measured, given, rng())
    report.findings += held
    lacking = {"gradient": not {"gradient", "loss_and_gradient"} & set(calls), "bound": not held}
    report.unseen += [words for name, words in LACKS.items() if lacking.get(name, name not in calls)]
    report.unseen += UNSEEN


# The loss as a convention of the Rosetta


def convention_of(whole: Measured, sizes: Mapping[str, int]) -> Convention | None:
    """Return the convention of a loss whose terms are all known; None otherwise."""
    cost, kl = whole.cost, whole.kl
    if cost is None or cost.kind not in ("mse", "bce", "logits") or (kl and not kl.known):
        return None
    if kl is None and whole.target.kl and any(f.key.startswith("unknown") or f.key in ("free-bits",
            "capacity") for f in whole.findings):
        return None
    sign = math.copysign(1, cost.weight)
    if kl and kl.weight * sign < 0:
        return None
    at = GUESS | dict(sizes)
    if len([f for f in whole.findings if f.key in ("reduction", "not-additive",
                                                   "ignored-entries") and f.verdict != "unusual"]):
        return None
    parts, letters = {}, {"features": "D", "latent": "J", "batch": "B"}
    for prefix, part, own in (("", cost, "D"), ("kl_", kl, "J")):
        powers = dict(whole.powers.get("cost" if not prefix else "kl") or {}) if part else {"B": -1}
        weight = abs(part.weight) if part else 0.0
        for name, letter in letters.items():
            power = powers.get(letter, 0)
            if letter in ("B", own) and power in (0, -1):
                parts[f"{prefix}{'batch_' * (letter == 'B')}reduce"] = "mean" if power else "sum"
            else:
                weight *= float(at[name]) ** power
                if letter in ("B", own):
                    parts[f"{prefix}{'batch_' * (letter == 'B')}reduce"] = "sum"
        parts["recon_weight" if not prefix else "kl_weight"] = weight
    kind, constant = "mse" if cost.kind == "mse" else "bce", whole.constant
    sigma = math.sqrt(1 / (2 * abs(cost.weight)))
    if kind == "mse" and constant and abs(constant - sign * (math.log(sigma) + LOG_2PI / 2)) < 1e-6:
        kind, parts["sigma"], parts["recon_weight"] = "gaussian", float(f"{sigma:.9g}"), 1.0
    summed = "sum" in (parts["batch_reduce"], parts["kl_batch_reduce"])
    named = {"features": parts["reduce"] == "mean", "latent": parts["kl_reduce"] == "mean", "batch": summed}
    return Convention(kind, **parts, **{name: at[name] for name, needed in named.items() if needed or name in sizes})


def assumed(convention: Convention, sizes: Mapping[str, int]) -> str:
    """Return the sizes that the translation assumes and the user has not given."""
    used = [f"{name} = {getattr(convention, name)}" for name in SIZES if getattr(convention, name) and name not in sizes]
    return f"{', '.join(used)} assumed; write yours into the file, such as {used[0]}" if used else ""


def signs(measured: Mapping[str, Measured]) -> list[Finding]:
    """Return findings about the sign of the whole and of its parts."""
    found = []
    for name, part in measured.items():
        cost, kl = part.cost, part.kl
        if name == "loss" and cost and kl and kl.weight * cost.weight < 0 and kl.reading and cost.kind != "other":
            words = "the KL has the opposite sign of the reconstruction error: the farther q is from the prior, the better"
            found.append(Finding("wrong", name, "kl-wrong-sign", words, kl.weight, -kl.weight,
                                 "the weight of the KL should be",
                                 "reconstruction + kl", "kl-wrong-sign"))  # fmt: skip
        elif name == "loss" and cost and cost.weight < 0 and cost.kind != "other":
            words = "returns the ELBO (up to its weights), to be maximised, not the loss"
            found.append(Finding("is", name, "elbo", words, cost.weight, -cost.weight, "the weight in a loss is"))
        if name == "kl" and kl and kl.known and kl.weight != 1:
            words = f"returns {kl.weight:.6g} x the KL"
            found.append(Finding("unusual", name, "kl-scaled", words, kl.weight, 1.0, "in nats it is", "", ""))
        if name == "kl" and kl and kl.reading and part.powers.get("kl") and part.powers["kl"].get("J") == -1:
            words = "averages over the latents: a hidden weight of 1/J, unless the loss undoes it"
            found.append(Finding("unusual", name, "kl-mean-over-latents", words, kl.weight / part.sizes["J"], kl.weight,
                                 "with a sum the weight of a latent is",
                                 "kl.sum(axis=1).mean()", "kl-mean-over-latents"))  # fmt: skip
        if name == "log_px_given_z" and cost and cost.kind != "other" and cost.weight > 0:
            words = "returns a cost: minus log p(x|z), up to a constant"
            found.append(Finding("unusual", name, "sign", words, cost.weight, -cost.weight, "the weight in log p(x|z) is"))
    return found


def hidden_weights(whole: Measured) -> list[Finding]:
    """Return findings about sums and means that give the KL a weight that depends on a size."""
    if not whole.kl or not whole.cost or not whole.kl.known or whole.cost.kind == "other":
        return []
    found, sizes = [], whole.sizes
    cost, kl = whole.powers["cost"], whole.powers["kl"]
    of_loss = {
        "B": ("kl-sum-over-batch", "the sizes of the batch in the two terms differ: the KL weighs {} with the batch"),
        "D": ("mean-over-pixels", "the KL weighs {} with the features"),
        "J": ("kl-mean-over-latents", "the KL weighs {} with the latents"),
    }
    for letter, (exhibit, words) in of_loss.items():
        power = kl.get(letter, 0) - cost.get(letter, 0)
        if not power:
            continue
        how = f"more, by the factor {letter}," if power > 0 else f"less, by the factor 1/{letter},"
        if abs(power) > 1:
            how = f"by {letter}^{power}"
        said = f"a hidden beta: {words.format(how)} than with sums (it may be meant, or undone by a weight)"
        key = exhibit if (letter, power > 0) in (("B", True), ("D", True), ("J", False)) else ""
        found.append(Finding("unusual", "loss", f"hidden-beta-{letter}", said, float(sizes[letter]) ** power, 1.0,
                             f"the factor at {letter} = {sizes[letter]}; with sums",
                             "mean_B ( sum_D cost + sum_J KL )", key))  # fmt: skip
    return found


def weight_of_kl(reconstruction: str, beta: float) -> list[Finding]:
    """Return a finding if the KL has another weight than in the ELBO; under a squared error, any weight has a sigma."""
    if reconstruction == "mse" or beta == 0 or abs(beta - 1) < 1e-6:
        return []
    words = (f"effective beta {beta:.6g}: the KL counts {beta:.6g} times as much as in the ELBO (it may be meant, as in a "
             "beta-VAE, or an accident, such as a KL that is added twice)")
    return [Finding("unusual", "loss", "beta", words, beta, 1.0, "in the ELBO it is", "mean_B ( sum_D cost + sum_J KL )")]


SECOND = {"loss": 3, "kl": 1}                               # place of the second argument


def two_readings(readings: Mapping[str, Any], calls: Mapping[str, Call]) -> list[Finding]:
    """Return a finding if loss and kl read the second argument differently."""
    if len(readings) < 2 or len({reading.name for reading in readings.values()}) == 1:
        return []
    (one, a), (two, b) = list(readings.items())[:2]
    words = f"{one} reads the second argument as {a.name}, {two} as {b.name}"
    numbers = float(b.sigma(1.3)), float(a.sigma(1.3)), f"sigma at 1.3; in {one} it is"
    tells = [told(calls[name], SECOND[name])[1] for name in (one, two)]
    if tells == [a.name, b.name]:
        words += ", as the names of the arguments say; whether one is converted into the other cannot be seen"
        return [Finding("cannot tell", two, "two-readings", words, *numbers)]
    return [Finding("wrong", two, "two-readings", words, *numbers, f"sigma = {a.code}")]


# Gradients and the bound


def gradients(calls: Mapping[str, Call], whole: Measured | None, rng: np.random.Generator) -> list[Finding]:
    """Return the findings about `gradient`, which needs a loss that returns the same number twice."""
    if whole is None or any(f.key in ("counter", "noise-inside", "not-repeatable", "not-finite") for f in whole.findings):
        return [Finding("cannot tell", "gradient", "no-loss",
                        "it is compared with your loss, and there is none that returns the same number twice")]
    ascends = any(f.key == "elbo" for f in signs({"loss": whole}))
    return gradient.measure(calls["loss"], calls["gradient"], rng, (whole.sizes, whole.target.binary, ascends))


def of_model(call: Call, given: Mapping[str, Any], rng: np.random.Generator) -> list[Finding]:
    """Return the findings about `loss_and_gradient`."""
    if "params" in given:
        params = gradient.params_of(given["params"], call.file)
        if known := gradient.sizes_of(call, params, given):
            return gradient.measure_model(call, params, *known, rng)
    lacking = [name for name in ("params", "features", "latent") if name not in given]
    return [Finding("cannot tell", call.name, "needs", f"it needs {', '.join(lacking)} in the file, to be called")]


def density_of(part: Measured | None) -> bound.Density | None:
    """Return the density that log_px_given_z is, or None if it is not known to be normalised."""
    if part is None or part.cost is None or part.cost.weight >= 0 or (part.powers.get("cost") or {}).get("D", 0) != 0:
        return None
    if part.cost.kind in ("bce", "logits") and part.cost.weight == -1:
        return bound.Density(part.cost.kind, None)
    sigma = math.sqrt(1 / (2 * abs(part.cost.weight)))
    normal = part.constant is not None and abs(part.constant + math.log(sigma) + LOG_2PI / 2) < 1e-6
    return bound.Density("mse", sigma) if part.cost.kind == "mse" and normal else None


def bound_finding(calls: Mapping[str, Call], measured: Mapping[str, Measured], given: Mapping[str, Any],
                  rng: np.random.Generator) -> list[Finding]:
    """Return the finding about minus the loss and log p(x), if all that it needs was given and is known."""
    if not {"loss", "encode", "sample", "decode",
            "log_px_given_z"} <= set(calls) or not sampler.takes_noise(calls["sample"]):
        return []
    density, whole = density_of(measured["log_px_given_z"]), measured["loss"]
    sizes = bound.latent_size(calls["decode"])
    if density is None or sizes is None or whole.cost is None:
        return []
    latent, features = sizes
    convention = convention_of(whole, {"features": features, "latent": latent, "batch": 1})
    if convention is None or whole.cost.kind != density.kind:
        return []
    from minivae.rosetta.convention import read

    sigma = density.sigma
    reading = read(convention, sigma)
    beta = translate(convention).reading.beta if sigma is None else reading.beta
    if beta < 1 - 1e-6:
        words = "minus the loss is not held against log p(x): for p(x|z) as in log_px_given_z, the KL weighs less than 1"
        return [Finding("cannot tell", "loss", "bound", words, beta, 1.0, "for a bound, beta is at least")]
    x = rows_of_data(given["x"], features) if "x" in given else None
    x = bound.data(calls["decode"], density, latent, x, rng)
    scale = reading.factor * math.copysign(1, whole.cost.weight)
    dropped = any(f.key == "minus-one-dropped" for f in whole.findings)
    kl_constant = 0.5 * latent * convention.kl_weight * convention.on_latents / reading.factor if dropped else 0.0
    return [bound.compare(calls, density, x, latent, scale, reading.constant * features - kl_constant)]


def rows_of_data(given: Any, features: int) -> NDArray:
    """Return the user's data as rows of features."""
    try:
        x = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        x = np.empty(0)
    if not x.size or x.size % features or not np.isfinite(x).all():
        checks.refuse("x", f"an array of finite numbers, {features} in a row, as decode returns",
                      f"{type(given).__name__} of shape {x.shape}", f"Write x = x.reshape(-1, {features}).")
    return x.reshape(-1, features)
