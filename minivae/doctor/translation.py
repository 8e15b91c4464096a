"""A loss as a convention of the Rosetta."""

import math
from collections.abc import Mapping

from minivae.doctor.constants import normalisers, sigma_of
from minivae.doctor.findings import Finding
from minivae.doctor.names import Measured
from minivae.rosetta import Convention

GUESS = {"features": 784, "latent": 20, "batch": 128}      # where the user names no sizes


def convention_of(whole: Measured, sizes: Mapping[str, int]) -> Convention | None:
    """Return the convention of a loss whose terms are all known; None otherwise."""
    cost, kl = whole.cost, whole.kl
    if cost is None or cost.kind not in ("mse", "bce", "logits") or any(map(unsure, whole.findings)):
        return None
    sign = math.copysign(1, cost.weight)
    if kl and (not kl.known or kl.weight * sign < 0):
        return None
    at = GUESS | dict(sizes)
    parts = {}
    for prefix, name, part, own in (("", "cost", cost, "D"), ("kl_", "kl", kl, "J")):
        powers = dict(whole.powers.get(name) or {}) if part else {"B": -1}
        weight = abs(part.weight) if part else 0.0
        for size, letter in (("features", "D"), ("latent", "J"), ("batch", "B")):
            power = powers.get(letter, 0)
            reduced = letter in ("B", own)
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
    """Return True for a finding that a part of the loss is not known, or is not a sum or mean over all entries."""
    return (finding.key in ("unknown-cost", "unknown-kl", "free-bits", "capacity", "reduction", "not-additive")
            or finding.key == "ignored-entries" and finding.verdict != "unusual")


def assumed(convention: Convention, sizes: Mapping[str, int]) -> str:
    """Return the sizes that the translation assumes and the user has not given."""
    used = [f"{name} = {getattr(convention, name)}" for name in GUESS if getattr(convention, name) and name not in sizes]
    return f"{', '.join(used)} assumed; write yours into the file, such as {used[0]}" if used else ""
