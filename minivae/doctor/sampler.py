"""Measure the mean, the width and the noise of z, and compare them with the q(z|x) that the KL assumes."""

import inspect
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed, Raised, mutation, name_and_meaning, not_finite
from minivae.doctor.findings import Finding
from minivae.doctor.terms import READINGS, Reading
from minivae.doctor.words import close, ratio

SHAPES = (3, 5), (5, 4)
POINTS = "mu in (-2, 2), log_var in (0.3, 2.2)"
DRAWS, SECONDS, SURE = 1000, 0.5, 6.0                       # number of draws; time limit; tolerance in standard errors
COUNTED = "; measured "                                     # `confirmed` does not compare the words after this text
WIDTHS = {reading.name: reading.sigma for reading in READINGS} | {
    "exp(2 x second argument)": lambda s: np.exp(2 * s), "(second argument)^2": lambda s: s * s,
    "exp(second argument / 4)": lambda s: np.exp(s / 4), "1": np.ones_like,
}  # fmt: skip


def takes_noise(call: Call) -> bool:
    """Return True if the sampler takes noise: its third argument has no default value, or is named eps, noise or epsilon.

    Return True also for a sampler with *arguments, and for a sampler with an unknown signature.
    """
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    third = [p for p in call.parameters if p.kind in kinds][2:3]
    given = any(p.default is inspect.Parameter.empty or p.name in ("eps", "noise", "epsilon") for p in third)
    return given or not call.parameters or any(p.kind == p.VAR_POSITIONAL for p in call.parameters)


class Assumed(NamedTuple):
    """Meaning of the KL's second argument: `reading` according to the KL's formula, `suggested` according to the name."""

    reading: Reading | None = None      # log-variance, sigma, ...; None if unknown
    sure: bool = False          # True if the KL has no mistake
    name: str = ""              # name of the argument
    suggested: str = ""         # meaning according to the name: "log-variance", "sigma", ...; or ""


def measure(call: Call, rng: np.random.Generator, of_kl: Assumed, latent: int | None = None) -> list[Finding]:
    """Examine the sampler at two points, with arrays of different shapes; return the findings at the first point.

    If a finding is not true at the second point, `confirmed` changes its verdict to "cannot tell".
    If the sampler raises an error at a shape, the function tries again with `latent` columns, or with SHAPES[0] if
    `latent` is `None`.
    """
    found = []
    for shape in SHAPES:
        try:
            found.append(at_point(call, shape, rng, of_kl))
        except Raised:
            found.append(at_point(call, (shape[0], latent) if latent else SHAPES[0], rng, of_kl))
    return [*mutation(call, ("mu", "log_var", "eps")), *confirmed(*found)]


def at_point(call: Call, shape: tuple[int, int], rng: np.random.Generator, of_kl: Assumed) -> list[Finding]:
    """Examine the sampler at a random mu and a random second argument, both of this shape."""
    m, s = rng.uniform(-2, 2, shape), rng.uniform(0.3, 2.2, shape)
    if takes_noise(call):
        return with_noise(call, m, s, rng.standard_normal(shape), of_kl)
    return without_noise(call, m, s, of_kl)


def confirmed(first: list[Finding], second: list[Finding]) -> list[Finding]:
    """Return the findings at the first of two tested points.

    A finding that is not true at the second point gets the verdict "cannot tell".
    """
    def statement(finding):
        return finding.key, finding.verdict, finding.words.partition(COUNTED)[0]

    seen = {statement(finding) for finding in second}
    return [finding if statement(finding) in seen else
            replace(finding, verdict="cannot tell", key="sampler-varies", exhibit="",
                    words=f'only at one of two tested points, this is true: "{finding.words}"') for finding in first]


def shaped(call: Call, *arguments: NDArray) -> NDArray:
    """Return z with the shape of mu: take the first array of a tuple, then the first draw if z has three axes."""
    z = call.parts(*arguments)[0]
    z = z[0] if z.ndim == 3 else z
    if z.shape != arguments[0].shape:
        raise Failed(f"sample must return z with the shape of mu, {arguments[0].shape}; got {z.shape}. Return one draw for "
                     "each entry of mu.")
    return z


def with_noise(call: Call, m: NDArray, s: NDArray, eps: NDArray, of_kl: Assumed) -> list[Finding]:
    """Examine a sampler with a noise argument. Noise 0 gives the mean of z; noise 1 gives the mean plus the width."""
    first, again = shaped(call, m, s, eps), shaped(call, m, s, eps)
    if no_numbers := not_finite(call.name, first, POINTS):
        return no_numbers
    if not close(first, again):
        words = "equal arguments with equal eps give different z: the sampler draws more noise itself"
        return [Finding("wrong", call.name, "noise-inside", words, first[0, 0], again[0, 0],
                        "at the second call it is")]
    rel = 1e-5 if call.single else 1e-9
    middle = shaped(call, m, s, np.zeros(m.shape))
    width = shaped(call, m, s, np.ones(m.shape)) - middle
    noise, found = first - middle, mean_findings(call, middle, m, s, rel, of_kl)
    if not width.any():
        return [*found, forgotten(call, "eps changes nothing: z is the same for all noise", s)]
    if not close(noise, width * eps, 100 * rel):
        shared = {"every row": eps[:1], "every latent": eps[:, :1]}
        who = next((who for who, other in shared.items() if close(noise, width * other, 100 * rel)), None)
        if who is None:
            words = "z is not mu + width x eps with a fixed width for each entry"
            return [*found, Finding("cannot tell", call.name, "not-linear", words, noise[0, 0], (width * eps)[0, 0],
                                    "that is z - mu; width x eps is")]
        place = np.argmax(np.abs(noise - width * eps))
        words = f"{who} gets the same eps, so the draws are not independent"
        found.append(Finding("wrong", call.name, "noise-shared", words,
                             (width * shared[who]).flat[place], (width * eps).flat[place], "with separate noise it is",
                             "eps needs the shape of mu", "noise-shared"))
    return found + width_findings(call, np.abs(width), s, of_kl, 1e-14 + 10 * rel * np.abs(width))


def forgotten(call: Call, words: str, s: NDArray) -> Finding:
    """Return the finding about a sampler without noise."""
    eps = "eps" if takes_noise(call) else "rng.standard_normal(mu.shape)"
    return Finding("wrong", call.name, "noise-forgotten", words, 0.0, np.exp(s[0, 0] / 2),
                   "the width should be, for example,", f"z = mu + np.exp(log_var / 2) * {eps}", "noise-forgotten")


def mean_findings(call: Call, middle: NDArray, m: NDArray, s: NDArray, rel: float, of_kl: Assumed) -> list[Finding]:
    """Return a finding if z at eps = 0 is not mu."""
    if close(middle, m, 100 * rel):
        return []
    known = next((name for name, width in WIDTHS.items() if close(middle - m, width(s), 100 * rel)), None)
    r = ratio(middle, m)
    how = f" but {r:.6g} x mu" if r else f" but mu + sigma (with the second argument read as {known})" if known else ""
    verdict, words = "wrong" if how or of_kl.sure else "cannot tell", f"at eps = 0, z is not mu{how}"
    return [Finding(verdict, call.name, "mean", words, middle[0, 0], m[0, 0], "mu is",
                    "z = mu + np.exp(log_var / 2) * eps")]


def width_findings(call: Call, width: NDArray, s: NDArray, assumed: Assumed, error: NDArray) -> list[Finding]:
    """Return the finding about the width of the draws.

    The finding names the meaning of the second argument in the sampler: sigma, sigma^2 or log sigma^2, for example. If the
    second argument has another meaning in the KL, the finding names both meanings.
    """
    def equals(other):
        return (np.abs(width - other) <= error).all()

    names = [name for name, of in WIDTHS.items() if equals(of(s))]
    place, of_kl = np.argmax(s), assumed.reading
    second, measured = s.flat[place], width.flat[place]
    at = f"at second argument {second:.4g}"
    if of_kl is None and not names:
        words = f"the standard deviation of z is not a known function of the second argument{COUNTED}{at}"
        return [Finding("cannot tell", call.name, "width", words, measured, np.exp(second / 2), "exp(log_var / 2) is")]
    if of_kl is None:
        words = f"the second argument is read as {names[0]}; the reading of the KL is not known here"
        return [Finding("is", call.name, "width", words, measured, WIDTHS[names[0]](second), f"{at}, this reading gives")]
    right = of_kl.sigma(s)
    numbers = measured, right.flat[place], f"{at}, the KL assumes the standard deviation"
    if equals(right):
        words = f"sampler and KL describe the same Gaussian: both read the second argument as {of_kl.name}"
        return [Finding("is", call.name, "same-gaussian", words, *numbers)]
    name, suggested = name_and_meaning(call, 1)
    if suggested in names and assumed.suggested == of_kl.name != suggested:
        words = (f"the sampler reads {name} as {suggested}, and the KL {assumed.name} as {of_kl.name}, as the names say; "
                 "the doctor cannot see whether your code converts one into the other")
        return [Finding("cannot tell", call.name, "width", words, *numbers)]
    key, exhibit, spread = "sampler-against-kl", "", np.median(width / right)
    how = "the width of the sampler is not a known function of the second argument"
    if equals(spread * right):
        how = f"the standard deviation of z is that of the KL times a constant{COUNTED}constant {spread:.4g}"
        key = "noise-scaled"
        exhibit = "noise-too-small" if spread < 1 else ""
    elif names:
        how = f"the sampler reads the second argument as {names[0]}, the KL as {of_kl.name}"
        exhibit = "exp-log-var" if (names[0], of_kl.name) == ("log sigma", "log-variance") else ""
    words = f"sampler and KL describe different Gaussians, so minus the loss is not an ELBO: {how}"
    return [Finding("wrong", call.name, key, words, *numbers, f"z = mu + {of_kl.code} * eps", exhibit)]


def without_noise(call: Call, m: NDArray, s: NDArray, of_kl: Assumed) -> list[Finding]:
    """Examine a sampler that draws its own noise: compare the moments of many draws of z with the right moments.

    Draws have sampling errors, so a moment is accepted if it differs from the right value by at most 6 (`SURE`) standard
    errors.
    """
    start, draws = time.perf_counter(), []
    while len(draws) < DRAWS and (time.perf_counter() - start < SECONDS or len(draws) < 200):
        draws.append(shaped(call, m, s))
    z = np.array(draws)                                     # (n, B, J)
    if no_numbers := not_finite(call.name, z, POINTS):
        return no_numbers
    mean, sd, counted = z.mean(axis=0), z.std(axis=0), f"{COUNTED}with {len(z)} draws"
    verdict = "wrong" if of_kl.sure else "cannot tell"
    if (sd <= 1e-9 * (1 + np.abs(z[0]))).all():
        if any(close(z[0] - m, k * width(s), 1e-5) for width in WIDTHS.values() for k in (0, 1, -1)):
            return [forgotten(call, f"all draws are equal: there is no noise{counted}", s)]
        words = f"every call returns the same z, but not mu, so the noise is the same (is there a seed inside?){counted}"
        return [Finding(verdict, call.name, "noise-repeated", words, z[0, 0, 0], z[-1, 0, 0], "in the last draw, it is",
                        "draw from one generator, seeded once")]
    unit = np.where(sd > 0, sd, 1)
    u, found = (z - mean) / unit, []
    off = np.abs(mean - m) / unit * np.sqrt(len(z))
    if off.max() > SURE:
        place = np.argmax(off)
        words = f"the mean of the draws is not mu{counted}; the difference is {off.max():.3g} standard errors"
        found.append(Finding(verdict, call.name, "mean", words, mean.flat[place], m.flat[place], "mu is"))
    shared = related(call, u)
    kurtosis = (u**4).mean() - 3
    count = len(z) if shared else z.size                    # number of independent samples
    if abs(kurtosis) > SURE * np.sqrt(24 / count) + 0.02:
        kind = " (a uniform distribution has -1.2)" if abs(kurtosis + 1.2) < 0.1 else ""
        words = f"the noise is not normal; the number is its excess kurtosis{kind}{counted}"
        return [*found, *shared, Finding("wrong" if of_kl.sure else "unusual", call.name, "not-normal", words, kurtosis, 0.0,
                                         "a normal distribution has", "rng.standard_normal(mu.shape)")]
    return [*found, *shared, *width_findings(call, sd, s, of_kl, SURE * sd / np.sqrt(2 * len(z)))]


def related(call: Call, u: NDArray) -> list[Finding]:
    """Return a finding if the first two data points or latents get correlated noise; `u` is the standardised noise."""
    found = []
    for who, pair in (("every row", u[:, :2]), ("every latent", u.swapaxes(1, 2)[:, :2])):
        correlation = pair.prod(axis=1).mean() if pair.shape[1] == 2 else 0.0         # no pair if J = 1
        if abs(correlation) > SURE / np.sqrt(len(u)):
            words = (f"{who} gets correlated noise, so the draws are not independent; the number is the correlation of two "
                     f"entries{COUNTED}with {len(u)} draws")
            found.append(Finding("wrong", call.name, "noise-shared", words, correlation, 0.0, "independent noise has",
                                 "eps = rng.standard_normal(mu.shape)", "noise-shared"))
    return found
