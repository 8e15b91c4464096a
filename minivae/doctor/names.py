"""Describe a cost or a KL in words: its name, its weight, and a wrong coefficient.

For a KL, also say what its second argument means, for example sigma or log sigma^2. This meaning is called a reading.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from minivae.doctor.findings import Finding
from minivae.doctor.probe import Target, Terms
from minivae.doctor.terms import READINGS, Reading

REDUCED = {0: "sum", -1: "mean"}
FORMULAS = {
    "mse": "(x - o)^2", "bce": "BCE(x, o)", "logits": "BCE(x, sigmoid(o))", "absolute": "|x - o|",
    "continuous-bernoulli": "(BCE(x, o) - log C(o))", "poisson": "(o - x log o)", "poisson-log": "(exp(o) - x o)",
    "huber": "Huber(x - o; delta = {:.4g})", "kl": "KL",
}  # fmt: skip


@dataclass
class Known:
    """A cost or a KL: its terms with their coefficients, its kind (a key of FORMULAS, or "other") and its weight."""

    weights: dict[str, float]
    letter: str                                             # "D" or "J", the letter for the number of entries in a row
    kind: str = "other"
    weight: float = 1.0
    findings: list[Finding] = field(default_factory=list)
    level: float = 0.0                                      # delta of a Huber cost

    def formula(self, powers: Mapping[str, int]) -> str:
        """Return the formula as text: "0.5 mean_B sum_D (x - o)^2"."""
        summed = {"B": powers.get("B", 0), self.letter: powers.get(self.letter, 0)}
        others = "".join(f"{raised(one, power)} " for one, power in powers.items() if one not in summed and power)
        reduced = "".join(f"{REDUCED.get(power, f'{raised(one, power)} sum')}_{one} " for one, power in summed.items())
        if self.kind != "other":
            return f"{times(self.weight)}{others}{reduced}{FORMULAS[self.kind].format(self.level)}"
        return f"{others}{reduced}( {weighted_sum(self.weights)} )"


def raised(letter: str, power: int) -> str:
    """Return a power of a size as text: "D", "(1/D)" or "D^2"."""
    return {1: letter, -1: f"(1/{letter})"}.get(power, f"{letter}^{power}")


def times(weight: float) -> str:
    """Return a weight as a factor: "" for 1, "-" for -1, else the number and a space, such as "0.5 "."""
    return "" if weight == 1 else "-" if weight == -1 else f"{weight:.6g} "


def weighted_sum(weights: Mapping[str, float]) -> str:
    """Return a sum of terms as text: "BCE(x, o) - 0.3 log o"."""
    signed = [(name[1:], -w) if name.startswith("-") else (name, w) for name, w in weights.items()]
    return " + ".join(times(w) + name for name, w in signed).replace("+ -", "- ")


class Variant(NamedTuple):
    """Two explanations of the coefficients of a KL: the KL is right, but has an unusual form; or the KL is wrong.

    The additive constant of the loss shows which explanation is true. A KL with the weight w adds w c to this constant, for
    each row and each latent dimension. If `constant` is a number, the KL is right for c = `constant`, and wrong for any
    other c. If `constant` is `None`, the KL is wrong for c = -1/2, and may be right for any other c.
    """

    constant: float | None
    finding: Finding            # used if the KL is right, or may be right
    otherwise: Finding          # used if the KL is wrong
    weight: float
    reading: Reading | None = None


@dataclass
class KnownKL(Known):
    """A KL to N(0, 1) (kind "kl"), or another function of mu and the second argument (kind "other").

    `reading` is the meaning of the second argument, for example sigma; it is None if the meaning is not known.
    """

    reading: Reading | None = None
    constant: float = -0.5                                  # constant term of a KL of weight 1, for each row and coordinate
    variant: Variant | None = None                          # the two explanations of this KL, if there are two

    @property
    def known(self) -> bool:
        """True if this is a KL to N(0, 1). Then the meaning of the KL's second argument is also known."""
        return self.kind == "kl"


def same(a: float, b: float, error: float) -> bool:
    """Return True if two coefficients agree within rounding."""
    return abs(a - b) <= max(4 * error, 1e-7 * max(abs(a), abs(b)))


PROBABILITIES = "-(x * np.log(o) + (1 - x) * np.log(1 - o))"
COSTS = {                                                   # {names of the terms: (kind of cost, coefficients of the terms)}
    ("(x - o)^2",): ("mse", (1,)), ("BCE(x, o)",): ("bce", (1,)), ("BCE(x, sigmoid(o))",): ("logits", (1,)),
    ("|x - o|",): ("absolute", (1,)), ("-x log o", "o"): ("poisson", (1, 1)), ("exp(o)", "x o"): ("poisson-log", (1, -1)),
    ("BCE(x, o)", "log C(o)"): ("continuous-bernoulli", (1, -1)),
}  # fmt: skip
# {(first term, second term) of a known cost: coefficient of the second term / coefficient of the first term}
PARTNERS = {("BCE(x, o)", "log C(o)"): -1, ("-x log o", "o"): 1, ("-x log o", "-(1 - x) log(1 - o)"): 1}
ODD = {
    "BCE(o, x)": ("wrong", "arguments-exchanged", "x and output are exchanged: the cross-entropy takes the logarithm of x "
                  "(the order of the arguments is x, output)", PROBABILITIES),
    "-x log o": ("unusual", "half-cross-entropy", "the cost has only x log o. This is right if the outputs of a row sum to "
                 "1 (softmax). If each output is a separate probability, it is half of the cross-entropy", PROBABILITIES),
    "-(1 - x) log(1 - o)": ("wrong", "half-cross-entropy", "the cost has only (1 - x) log(1 - o), half of the "
                            "cross-entropy", PROBABILITIES),
    "BCE(x, sigmoid(sigmoid(o)))": ("wrong", "sigmoid-twice", "the cross-entropy applies two sigmoids to the output",
                                    "one sigmoid, inside or outside of the cross-entropy"),
}  # fmt: skip


def cost_named(weights: dict[str, float], error: float, about: str) -> Known:
    """Return the cost with its kind, weight and findings."""
    names = tuple(sorted(weights))
    first, known = weights[names[0]], Known(weights, "D")
    kind, pattern = COSTS.get(names, ("other", ()))
    if pattern and all(same(weights[name], first * c, error) for name, c in zip(names, pattern)):
        known.kind, known.weight = kind, first
    elif len(names) == 1 and names[0] in ODD:
        verdict, key, words, instead = ODD[names[0]]
        numbers = first, 0.0, f"in a right loss, the coefficient of {names[0]} is"
        if key == "half-cross-entropy":
            numbers = 0.0, first, "in a cross-entropy, the coefficient of the other half is"
        known.findings.append(Finding(verdict, about, key, words, *numbers, instead))
    elif kind == "continuous-bernoulli" and same(weights[names[1]], first, error):
        words = "the normaliser log C(o) of the continuous Bernoulli has the wrong sign"
        known.findings.append(Finding("wrong", about, "normaliser-sign", words, weights[names[1]], -first,
                                      "with the right sign, this coefficient is",
                                      "bce - log_C" if first > 0 else "log_C - bce"))
    elif len(names) > 1 and (main := next((name for name in ("BCE(x, o)", "-x log o", "log o") if name in names), "")):
        odd = next(name for name in names if name != main)
        sign = -1 if odd.startswith("-") else 1
        words = f"the doctor knows the terms of the reconstruction, but not this sum of them: {weighted_sum(weights)}"
        wanted = sign * weights[main] * PARTNERS.get((main, odd), 0)
        known_cost = f"a known cost with {weighted_sum({main: weights[main]})}"
        reference = f"in {known_cost}, the coefficient of {odd.removeprefix('-')} is"
        known.findings.append(Finding("unusual", about, "other-cost", words, sign * weights[odd], wanted, reference))
    return known


LOG_SQUARED = "it has (log sigma)^2 where a KL has log sigma^2"
# Wrong formulas of the KL: (coefficients of its terms if the KL weight is 1, key of the finding, explanation for the user).
# The key of the finding is also the name of an exhibit in the museum.
PATTERNS = (
    ({"m^2": 0.5, "s^2": 0.5, "s": -0.5}, "log-var-squared", "it has log_var^2 where a KL has exp(log_var)"),
    ({"m^2": 0.5, "exp(s)": 0.5, "s^2": -0.125}, "log-sigma-squared", LOG_SQUARED),
    ({"m^2": 0.5, "exp(2s)": 0.5, "s^2": -0.5}, "log-sigma-squared", LOG_SQUARED),
)  # fmt: skip
RIGHT = {
    "log-variance": "(mu**2 + np.exp(log_var) - 1 - log_var) / 2",
    "log sigma": "(mu**2 + np.exp(2 * log_sigma) - 1) / 2 - log_sigma",
    "sigma": "(mu**2 + sigma**2 - 1) / 2 - np.log(sigma)",
    "variance": "(mu**2 + variance - 1 - np.log(variance)) / 2",
}


def kl_named(weights: dict[str, float], error: float, about: str) -> KnownKL:
    """Return the KL with its reading, weight and findings. The KL may be right, have a wrong coefficient, or be unknown."""
    known, twice = KnownKL(weights, "J"), 2 * weights.get("m^2", 0.0)
    for reading in READINGS:
        if fits(weights, pattern_of(reading), twice, error):
            known.kind, known.reading, known.weight = "kl", reading, twice
            return known
    for pattern, key, words in PATTERNS:
        if fits(weights, pattern, twice, error):
            known.weight = twice
            compared = "in a KL, the coefficient of the squared second argument is"
            known.findings.append(Finding("wrong", about, key, f"this is not a KL: {words}", pattern["s^2"] * twice, 0.0,
                                          compared, RIGHT["log-variance"], key))
            return known
    for reading in READINGS:
        if prior := other_prior(weights, reading, error):
            known.reading, known.weight = reading, twice
            mistake = off_finding(weights, reading, reading.log, twice, about)
            known.variant = of_prior(*prior, weights[reading.log] / -reading.factor, about, mistake)
            return known
        if off := one_off(weights, reading, error):
            known.reading, (name, known.weight) = reading, off
            mistake = off_finding(weights, reading, name, known.weight, about)
            if "m^2" not in weights:
                known.variant = normalised_mean(known.weight, about, mistake)
            elif name == reading.spread and weights[name] / known.weight > 0:
                known.variant = scaled_spread(2 * weights[name] / known.weight, known.weight, reading, about, mistake)
            else:
                known.findings.append(mistake)
            return known
    pattern, (first, value) = pattern_of(READINGS[0]), next(iter(weights.items()))
    scale = value / pattern.get(first, value)
    odd = next(name for name in (*weights, *pattern) if weights.get(name, 0.0) != scale * pattern.get(name, 0.0))
    reverse = {"m^2 exp(-s)": 0.5, "exp(-s)": 0.5, "s": 0.5}
    verdict, key = "unusual", "other-kl"
    words = "the part with mu and log_var is not a known KL to N(0, 1); its terms are in the formula"
    if fits(weights, reverse, 2 * weights.get("exp(-s)", 0), error):
        verdict, key = "wrong", "reverse-kl"
        words = "it is KL(prior || q), with the two Gaussians exchanged; the ELBO has KL(q || prior)"
    elif set(weights) == {"m^2"}:
        key, words = "only-mu", "only mu^2 is penalised; log_var changes nothing"
    known.findings.append(Finding(verdict, about, key, words, weights.get(odd, 0.0), scale * pattern.get(odd, 0.0),
                                  f"in a KL, the coefficient of {odd} is", RIGHT["log-variance"]))
    return known


def pattern_of(reading: Reading) -> dict[str, float]:
    """Return {term: coefficient} of a correct KL of weight 1 if its second argument has the meaning `reading`."""
    return {"m^2": 0.5, reading.spread: 0.5, reading.log: -reading.factor}


def fits(weights: Mapping[str, float], pattern: Mapping[str, float], v: float, error: float) -> bool:
    """Return True if the coefficients are v times the pattern."""
    return set(weights) == set(pattern) and v != 0 and all(same(weights[name], v * pattern[name], error) for name in pattern)


def one_off(weights: Mapping[str, float], reading: Reading, error: float) -> tuple[str, float] | None:
    """Return (name of the wrong coefficient, KL weight) if exactly one of the KL's three coefficients is wrong, else None.

    The remaining two coefficients must be equal to the coefficients of a right KL times the weight. The term that grows
    with sigma, such as exp(log_var), must be present: without it, return None.
    """
    pattern = pattern_of(reading)
    if not set(weights) <= set(pattern) or len(weights) < 2 or reading.spread not in weights:
        return None
    for name in pattern:
        v = [weights.get(other, 0.0) / pattern[other] for other in pattern if other != name]
        if v[0] and v[1] and same(v[0], v[1], 4 * error) and not same(weights.get(name, 0.0), v[0] * pattern[name], error):
            return name, v[0]
    return None


def other_prior(weights: Mapping[str, float], reading: Reading, error: float) -> tuple[float, float] | None:
    """Return (mean, variance) of a Gaussian prior if a KL to this prior has the coefficients `weights`, else None."""
    if set(weights) - {"m"} != set(pattern_of(reading)) or not same(weights["m^2"], weights[reading.spread], error):
        return None
    variance = weights[reading.log] / -reading.factor / (2 * weights["m^2"])
    return (0.0 - weights.get("m", 0.0) / (2 * weights["m^2"]), variance) if variance > 0 else None


def of_prior(mean: float, variance: float, weight: float, about: str, mistake: Finding) -> Variant:
    """Return a Variant with two explanations: the KL is right for a prior N(mean, variance), or it has the `mistake`."""
    words = (f"it is the KL to a prior N({mean:.6g}, {variance:.6g}), not to N(0, 1): right if new z are drawn from this "
             "prior")
    finding = Finding("unusual", about, "other-prior", words, variance, 1.0,
                      "the variance of the prior N(0, 1) is", "", "prior-too-wide" if variance > 1 else "")
    return Variant((math.log(variance) + mean**2 / variance - 1) / 2, finding, mistake, weight)


def scaled_spread(factor: float, weight: float, reading: Reading, about: str, mistake: Finding) -> Variant:
    """Return a Variant with two explanations: the KL is right for another sigma, or it has the `mistake`.

    The square of the other sigma is `factor` times the sigma^2 of `reading`.
    """
    name, root = f"{reading.name} with sigma^2 multiplied by {factor:.6g}", math.sqrt(factor)
    scaled = reading._replace(name=name, sigma=lambda s: root * reading.sigma(s), code=f"{root:.6g} * {reading.code}")
    words = (f"the KL is right for sigma = {root:.6g} * {reading.code}: sigma^2 is {factor:.6g} x that of the reading "
             f"{reading.name}")
    finding = Finding("unusual", about, "scaled-sigma", words, factor, 1.0, "in a KL with this reading, the factor is")
    return Variant(-(math.log(factor) + 1) / 2, finding, mistake, weight, scaled)


def normalised_mean(weight: float, about: str, mistake: Finding) -> Variant:
    """Return a Variant for a KL without mu^2. Such a KL is right if mu has a fixed mean square (batch normalisation)."""
    words = "mu does not change the KL: mu^2 is missing, or mu is normalised first, so that the sum of mu^2 is a constant"
    return Variant(None, Finding("cannot tell", about, "fixed-mean-square", words), mistake, weight)


def off_finding(weights: Mapping[str, float], reading: Reading, name: str, v: float, about: str) -> Finding:
    """Return the finding about one wrong coefficient."""
    letters = {"m^2": "mu^2", "s": "the second argument", "exp(s)": "exp(second argument)",
               "exp(2s)": "exp(2 x second argument)"}.get(name, name)
    wanted, found = v * pattern_of(reading)[name], weights.get(name, 0.0)
    sign = same(found, -wanted, 0.0)
    how = "is missing" if not found else "has the wrong sign" if sign else f"is {found / wanted:.6g} x the right one"
    words = f"in the KL (second argument read as {reading.name}), the coefficient of {letters} {how}"
    exhibit = "kl-log-var-sign" if sign and (reading.name, name) == ("log-variance", "s") else ""
    return Finding("wrong", about, "kl-coefficient", words, found, wanted, f"in a KL, the coefficient of {letters} is",
                   RIGHT.get(reading.name, RIGHT["log-variance"]), exhibit)


@dataclass
class Measured:
    """Results for one function of the user. `cost` or `kl` is `None` if it was not recognised or not confirmed."""

    target: Target
    sizes: dict[str, int]
    found: Mapping[str, tuple[Mapping, Terms]] = field(default_factory=dict)    # result of at_all_sizes
    cost: Known | None = None
    kl: KnownKL | None = None
    powers: dict[str, dict[str, int] | None] = field(default_factory=dict)
    constant: float | None = None                           # constant that the cost adds for each feature
    findings: list[Finding] = field(default_factory=list)
