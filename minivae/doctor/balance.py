"""Compare the parts of a loss, and translate the loss into a `Convention` of minivae.rosetta.

This module compares the signs and the weights of the cost and the KL. It also checks if `loss` and `kl` read their argument
log_var in the same way, for example both as a log-variance, both as a sigma, or both as a log sigma.
"""

from collections.abc import Mapping
from typing import Any

from minivae.doctor.calls import Call, name_and_meaning
from minivae.doctor.constants import normalisers, sigma_of
from minivae.doctor.findings import Finding
from minivae.doctor.names import Measured, raised
from minivae.rosetta import Convention

GUESS = {"features": 784, "latent": 20, "batch": 128}      # for sizes that the user does not give
SUMS = "mean_B ( sum_D cost + sum_J KL )"
SECOND = {"loss": 3, "kl": 1}                               # index of log_var in loss(x, o, mu, log_var) and kl(mu, log_var)


def signs(measured: Mapping[str, Measured]) -> list[Finding]:
    """Return findings about the signs of the cost and of the KL, and about the factor of the KL in the function `kl`."""
    found = []
    for name, part in measured.items():
        cost, kl = part.cost if part.cost and part.cost.kind != "other" else None, part.kl
        if name == "loss" and cost and kl and kl.weight * cost.weight < 0 and kl.reading:
            how, instead = "the loss falls", "reconstruction + kl"
            if cost.weight < 0:
                how, instead = "the result is like an ELBO, but rises", "log_px_given_z - kl"
            words = f"the KL has the opposite sign of the reconstruction error: {how} if q moves away from the prior"
            found.append(Finding("wrong", name, "kl-wrong-sign", words, kl.weight, -kl.weight,
                                 "the weight of the KL should be", instead, "kl-wrong-sign"))
        elif name == "loss" and cost and cost.weight < 0:
            words = "returns the ELBO (up to its weights), which is maximised, not a loss"
            found.append(Finding("is", name, "elbo", words, cost.weight, -cost.weight, "in a loss, the cost has the weight"))
        if name == "kl" and kl and kl.known and kl.weight != 1:
            words = f"returns {kl.weight:.6g} x the KL"
            found.append(Finding("unusual", name, "kl-scaled", words, kl.weight, 1.0, "for a KL in nats, the factor is"))
        if name == "kl" and kl and kl.reading and part.powers["kl"].get("J") == -1:
            words = "averages over the latents: a hidden weight of 1/J, unless the loss multiplies by J"
            found.append(Finding("unusual", name, "kl-mean-over-latents", words, kl.weight / part.sizes["J"], kl.weight,
                                 "with a sum, the weight of each latent is", "kl.sum(axis=1).mean()",
                                 "kl-mean-over-latents"))
        if name == "log_px_given_z" and cost and cost.weight > 0:
            words = "returns a cost: minus log p(x|z), up to a constant"
            found.append(Finding("unusual", name, "sign", words, cost.weight, -cost.weight, "in log p(x|z), the weight is"))
    return found


def hidden_weights(whole: Measured) -> list[Finding]:
    """Return findings about sums and means that make the weight of the KL depend on B, D or J."""
    if not whole.kl or not whole.cost or not whole.kl.known or whole.cost.kind == "other":
        return []
    found, sizes = [], whole.sizes
    cost, kl = whole.powers["cost"], whole.powers["kl"]
    # `exhibit` is the name of a bug in the museum. This bug multiplies the weight of the KL, relative to the reconstruction,
    # by B, D or 1/J. This factor is the size `letter` to the power `usual`.
    for letter, usual, exhibit, over in (
        ("B", 1, "kl-sum-over-batch", "rows"), ("D", 1, "mean-over-pixels", "features"),
        ("J", -1, "kl-mean-over-latents", "latents"),
    ):  # fmt: skip
        power = kl.get(letter, 0) - cost.get(letter, 0)
        if not power:
            continue
        words = (f"a hidden beta: the KL counts {raised(letter, power)} times as much as in a loss with sums over the "
                 f"{over} (this may be intended, or another weight may undo it)")
        found.append(Finding("unusual", "loss", f"hidden-beta-{letter}", words, float(sizes[letter]) ** power, 1.0,
                             f"that is the factor in a test with {letter} = {sizes[letter]}; with sums it is", SUMS,
                             exhibit * (power * usual > 0)))
    return found


def weight_of_kl(reconstruction: str, beta: float) -> list[Finding]:
    """Return a finding if the weight of the KL in the loss is not its weight in the ELBO.

    A squared error without the normaliser of a Gaussian gives no finding. For any positive weight of the KL, this loss is
    -ELBO times a factor, plus a constant; the weight only fixes the sigma of the decoder. A loss without a KL gives no
    finding here: `confirm` reports it.
    """
    if reconstruction == "mse" or beta == 0 or abs(beta - 1) < 1e-6:
        return []
    words = (f"effective beta {beta:.6g}: the KL counts {beta:.6g} times as much as in the ELBO (this may be intended, as "
             "in a beta-VAE, or an accident, such as a KL that is added twice)")
    return [Finding("unusual", "loss", "beta", words, beta, 1.0, "in the ELBO it is", SUMS)]


def two_readings(readings: Mapping[str, Any], calls: Mapping[str, Call]) -> list[Finding]:
    """Return a finding if `loss` and `kl` have different readings of their argument log_var."""
    if len(readings) < 2 or len({reading.name for reading in readings.values()}) == 1:
        return []
    (one, a), (two, b) = list(readings.items())[:2]
    words = f"{one} reads the second argument as {a.name}, {two} as {b.name}"
    numbers = b.sigma(1.3), a.sigma(1.3), f"that is sigma in {two} at the second argument 1.3; in {one} it is"
    suggested = [name_and_meaning(calls[name], SECOND[name])[1] for name in (one, two)]
    if suggested == [a.name, b.name]:
        words += ", as the names of the arguments say; the doctor cannot see whether your code converts one into the other"
        return [Finding("cannot tell", two, "two-readings", words, *numbers)]
    return [Finding("wrong", two, "two-readings", words, *numbers, f"sigma = {a.code}")]


def convention_of(whole: Measured, sizes: Mapping[str, int]) -> Convention | None:
    """Return the Convention of the loss if the Rosetta can translate the loss, else None."""
    cost, kl = whole.cost, whole.kl
    if cost is None or cost.kind not in ("mse", "bce", "logits") or any(map(unsure, whole.findings)):
        return None
    if kl and (not kl.known or (kl.weight < 0) != (cost.weight < 0)):
        return None
    at = GUESS | dict(sizes)
    parts = {}
    for prefix, name, part, axis in (("", "cost", cost, "D"), ("kl_", "kl", kl, "J")):
        powers = dict(whole.powers.get(name) or {}) if part else {"B": -1}
        weight = abs(part.weight) if part else 0.0
        for size, letter in (("features", "D"), ("latent", "J"), ("batch", "B")):
            power = powers.get(letter, 0)
            reduced = letter in ("B", axis)
            if reduced:
                parts[f"{prefix}{'batch_' * (letter == 'B')}reduce"] = "mean" if power == -1 else "sum"
            if not reduced or power not in (0, -1):
                weight *= float(at[size]) ** power
        parts[f"{prefix}weight" if prefix else "recon_weight"] = weight
    kind, constant = "mse" if cost.kind == "mse" else "bce", whole.constant
    if kind == "mse" and constant and abs(constant - normalisers(cost)["gaussian"]) < 1e-6:
        kind, parts["sigma"], parts["recon_weight"] = "gaussian", float(f"{sigma_of(cost)[0]:.9g}"), 1.0
    summed = "sum" in (parts["batch_reduce"], parts["kl_batch_reduce"])
    named = {"features": parts["reduce"] == "mean", "latent": parts["kl_reduce"] == "mean", "batch": summed}
    return Convention(kind, **parts, **{name: at[name] for name, needed in named.items() if needed or name in sizes})


def unsure(finding: Finding) -> bool:
    """Return True if a finding says that a part of the loss is unknown, or is neither a sum nor a mean over all entries."""
    return (finding.key in ("unknown-cost", "unknown-kl", "free-bits", "capacity", "reduction", "not-additive")
            or finding.key == "ignored-entries" and finding.verdict != "unusual")


def assumed(convention: Convention, sizes: Mapping[str, int]) -> str:
    """Return a sentence about the sizes that the translation needs and the user has not given."""
    used = [f"{name} = {getattr(convention, name)}" for name in GUESS if getattr(convention, name) and name not in sizes]
    return f"{', '.join(used)} assumed; write yours into the file, such as {used[0]}" if used else ""
