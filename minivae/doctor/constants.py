"""Find the origin of the additive constant of a loss: the -1 in the KL, a Gaussian's normaliser, or both.

An explanation must predict the constant at all tested sizes B, D and J.
"""

import itertools
import math
from collections.abc import Mapping

from minivae.doctor.findings import Finding
from minivae.doctor.names import Known, Measured
from minivae.doctor.probe import factor
from minivae.gaussian import LOG_2PI


def constants(result: Measured) -> list[Finding]:
    """Return findings about the additive constant of the loss.

    `result.constant` becomes the constant that the cost adds for each feature. It stays `None` if the doctor finds no such
    constant, or if the KL has unusual coefficients.
    """
    cost, kl, name = result.cost, result.kl, result.target.call.name
    constant = result.found[""][1].constant
    if "cost" in result.target.parts and cost is None:
        return []
    if kl and kl.variant:
        return decided(result)
    if "kl" in result.target.parts and (kl is None or not kl.known):
        return []
    of_kl, of_cost = {"right": -0.5, "dropped": 0.0} if kl else {"none": 0.0}, {"none": 0.0} | normalisers(cost)
    for k, c in itertools.product(of_kl, of_cost):
        if (c == "none" or abs(of_cost[c]) > 1e-9) and agrees(result, of_kl[k], of_cost[c]):
            result.constant = of_cost[c]
            return explained(result, k, c)
    if kl and not cost and agrees(result, 0.0, 0.0, -0.5 * kl.weight):
        words = "the KL subtracts 1 only once, not once for every latent"
        return [Finding("wrong", name, "minus-one-once", words, constant, constant_of(result, -0.5, 0.0),
                        "the constant should be", "put the - 1 inside the sum over latents", "minus-one-once")]
    if cost and cost.kind in ("other", "huber"):
        return []
    if cost and cost.kind == "mse" and (odd := other_normaliser(result, of_kl)):
        return [odd]
    words = "the doctor cannot explain its constant, so the result may not be in nats; a constant does not change gradients"
    return [Finding("cannot tell", name, "constant", words, constant, constant_of(result, -0.5 if kl else 0.0, 0.0),
                    "without an extra constant, it would be")]


def decided(result: Measured) -> list[Finding]:
    """Return the finding about a KL with unusual coefficients. The additive constant shows if the KL is right."""
    kl, variant = result.kl, result.kl.variant
    mistaken, kl.weight, kl.variant = kl.weight, variant.weight, None
    wanted = -0.5 if variant.constant is None else variant.constant
    agreed = any(agrees(result, wanted, c) for c in (0.0, *normalisers(result.cost).values()))
    if agreed == (variant.constant is None):
        kl.weight = mistaken
        return [variant.otherwise]
    if variant.reading:
        kl.kind, kl.reading, kl.constant = "kl", variant.reading, variant.constant
    return [variant.finding]


def sigma_of(cost: Known) -> tuple[float, float]:
    """Return (sigma, sign) for a squared error with weight sign / (2 sigma^2): sign is 1 in a loss, -1 in a log-density."""
    return math.sqrt(1 / (2 * abs(cost.weight))), math.copysign(1, cost.weight)


def normalisers(cost: Known | None) -> dict[str, float]:
    """Return {name: constant} for the normaliser of a Gaussian, log(sigma) + log(2 pi) / 2, and for each of its two terms.

    The constants are in nats per feature. `sigma_of` computes sigma from the weight of (x - o)^2. A log-density
    subtracts the normaliser, so the constants of a log-density are negated. If the cost is not a squared error, the dict is
    empty.
    """
    if cost is None or cost.kind != "mse":
        return {}
    sigma, sign = sigma_of(cost)
    return {"gaussian": sign * (math.log(sigma) + LOG_2PI / 2), "log sigma": sign * math.log(sigma),
            "log 2 pi": sign * LOG_2PI / 2}


def other_normaliser(result: Measured, of_kl: Mapping[str, float]) -> Finding | None:
    """Return a finding if a Gaussian has one sigma in its normaliser and another sigma in its (x - o)^2, else None.

    Two mistakes are recognised: if s is the sigma of (x - o)^2, the sigma of the normaliser is s^2, or it is sqrt(s).
    """
    sigma, sign = sigma_of(result.cost)
    for other, how in ((sigma**2, "2 sigma"), (math.sqrt(sigma), "2 sigma^4")):
        c = sign * (math.log(other) + LOG_2PI / 2)
        if any(agrees(result, k, c) for k in of_kl.values()):
            words = (f"not a density: its normaliser has sigma = {other:.6g}, its (x - o)^2 has sigma = {sigma:.6g}; "
                     f"(x - o)^2 is divided by {how}, not by 2 sigma^2")
            return Finding("wrong", result.target.call.name, "two-sigmas", words, result.cost.weight,
                           sign / (2 * other**2), f"for sigma = {other:.6g}, the weight of (x - o)^2 is")
    return None


def constant_of(result: Measured, of_kl: float, of_cost: float, letter: str = "") -> float:
    """Return the constant of a loss: each KL entry adds `of_kl` times the KL's weight, and each feature adds `of_cost`."""
    sizes = result.found[letter][0]
    kl = of_kl * result.kl.weight * sizes["J"] * factor(sizes, result.powers["kl"]) if result.kl else 0.0
    cost = of_cost * sizes["D"] * factor(sizes, result.powers["cost"]) if result.cost else 0.0
    return sizes["B"] * (kl + cost)                         # if the loss is a mean, `factor` contains 1/B: B x 1/B = 1


def agrees(result: Measured, of_kl: float, of_cost: float, once: float = 0.0) -> bool:
    """Return True if `constant_of`, called with `of_kl` and `of_cost`, returns the measured constant at all sizes.

    `once` is a constant that each data point adds only once, not once for every latent dimension.
    """
    for letter, (sizes, terms) in result.found.items():
        if terms.constant is None:
            return False
        wanted = constant_of(result, of_kl, of_cost, letter)
        if once:
            wanted += once * sizes["B"] ** (1 + result.powers["kl"].get("B", 0))
        scale = abs(terms.example[0]) + abs(wanted) + 1e-6
        if abs(terms.constant - wanted) > (2e-5 if result.target.call.single else 1e-7) * scale:
            return False
    return True


def is_zero(result: Measured) -> bool:
    """Return True if the formula of the cost plus the formula of the KL equals the result, without a further constant.

    Return False if a further constant is needed, or if the formula of the KL is unknown.
    """
    kl = result.kl
    if kl is None and "kl" in result.target.parts and result.found[""][1].kl.coefficients:
        return False
    return agrees(result, kl.constant if kl and kl.known else 0.0, 0.0)


def explained(result: Measured, of_kl: str, of_cost: str) -> list[Finding]:
    """Return findings about an additive constant. One part of the constant comes from the KL, the other from the cost.

    `of_kl` describes the -1 in the KL: "right", "dropped", or "none" for a function without a KL. `of_cost` names the part
    from the cost: "none" or a name in `normalisers`.
    """
    out, name, constant = [], result.target.call.name, result.found[""][1].constant
    if of_kl == "dropped":
        verdict = "wrong" if name == "kl" else "unusual"
        words = "the -1 of the KL is missing: the gradients are right, but the KL is not 0 where q is the prior"
        out.append(Finding(verdict, name, "minus-one-dropped", words, round(constant, 9),
                           constant_of(result, -0.5, result.constant), "the constant should be",
                           "(mu**2 + np.exp(log_var) - 1 - log_var) / 2", "minus-one-dropped"))
    missing = name == "log_px_given_z" and result.cost.kind == "mse" and of_cost == "none"
    if missing or of_cost in ("log sigma", "log 2 pi"):
        lacks = "is missing" if missing else f"contains only {of_cost}"
        words = f"the normaliser of the Gaussian {lacks}: the gradients are right, but the result is not a log-density"
        right = constant_of(result, -0.5, normalisers(result.cost)["gaussian"])
        out.append(Finding("unusual", name, "half-normaliser", words, constant, right,
                           "with it, the constant is" if missing else "with both parts, the constant is"))
    return out
