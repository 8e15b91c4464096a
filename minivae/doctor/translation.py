"""A loss as a convention of the Rosetta."""

import math
from collections.abc import Mapping

from minivae.doctor.names import Measured
from minivae.gaussian import LOG_2PI
from minivae.rosetta import Convention

GUESS = {"features": 784, "latent": 20, "batch": 128}      # where the user names no sizes


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
    used = [f"{name} = {getattr(convention, name)}" for name in GUESS if getattr(convention, name) and name not in sizes]
    return f"{', '.join(used)} assumed; write yours into the file, such as {used[0]}" if used else ""
