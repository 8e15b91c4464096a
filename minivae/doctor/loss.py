"""The loss, the KL and log p(x|z): find and name their terms, their reductions and their mistakes."""

import itertools
import math
from dataclasses import replace
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minivae.doctor import special
from minivae.doctor.calls import Call, Failed, Raised, mutation, not_finite, unsteady
from minivae.doctor.constants import constants, is_zero
from minivae.doctor.findings import Finding
from minivae.doctor.names import KnownKL, Measured, cost_named, kl_named
from minivae.doctor.probe import SIZES, Target, at_all_sizes, factor, powers, silent
from minivae.doctor.terms import Fit, kl_terms, noise, rounded

ARGUMENTS = {"loss": ("x", "output", "mu", "log_var"), "kl": ("mu", "log_var"), "log_px_given_z": ("x", "output")}
LABELS = {"cost": "the reconstruction", "kl": "the KL"}


def measure(call: Call, rng: np.random.Generator, declared: Mapping[str, int | None]) -> Measured:
    """Examine loss, kl or log_px_given_z. Raises Failed if the function raises an error at every size."""
    target, sizes, notes = first_contact(call, rng, declared)
    result = Measured(target, sizes, findings=notes)
    arguments = target.one(rng, sizes)
    used = target.arguments(*arguments)
    trouble = unsteady(call, *used)
    result.findings += mutation(call, ARGUMENTS[call.name])
    if trouble:
        result.findings.append(trouble)
        return result
    where = "x, output in (0.06, 0.94), mu in (-2.5, 2.5), log_var in (0.12, 3.2)"
    if no_numbers := not_finite(call.name, call.whole(*used), where):
        result.findings += no_numbers
        return result
    quiet_entries = ignored(target, arguments, target.one(rng, sizes))
    result.findings += quiet_entries
    result.found, refused = at_all_sizes(target, sizes, rng)
    for letter, error in refused.items():
        words = f"with another {letter}, it raises an error: {error}"
        result.findings.append(Finding("cannot tell", call.name, "size-refused", words))
    for part in target.parts:
        read_part(result, part, rng, bool(quiet_entries))
    confirm(result, rng)
    return result


def first_contact(call: Call, rng: np.random.Generator, declared: Mapping) -> tuple[Target, dict[str, int], list[Finding]]:
    """Find sizes at which the function raises no error.

    Return the function as a Target, these sizes, and the findings about the shape of the result.
    """
    letters = {"batch": "B", "features": "D", "latent": "J"}
    named = {letters[name]: size for name, size in declared.items()}
    of_row = {letter: size for letter, size in named.items() if letter != "B"}
    errors, tried = [], [SIZES, *([SIZES | of_row] if of_row else []), *([SIZES | named] if named != of_row else [])]
    for sizes, binary in itertools.product(tried, (False, True) if call.name != "kl" else (False,)):
        target = Target(call, False, binary)
        try:
            value = call.whole(*target.arguments(*target.one(rng, sizes)))
        except Raised as error:
            errors.append(error)
            continue
        if call.name == "loss" and value.ndim > 1:
            raise Failed(f"loss must return one number, or one for each row; got an array of shape {value.shape}. Sum it.")
        notes = [of_shape(call.name, value, sizes)] if value.size > 1 else []
        return target._replace(average=call.name == "loss" and value.size > 1), dict(sizes), notes
    if named:
        raise errors[-1]
    remedy = "If it works for one size only, write features = 784, latent = 20 or batch = 64 into the file."
    raise Raised(f"{errors[0]} {remedy}")


def of_shape(name: str, value: NDArray, sizes: Mapping[str, int]) -> Finding:
    """Return the finding about the shape of a result with several numbers."""
    letters = {size: letter for letter, size in sizes.items()}
    shape = ", ".join(letters.get(n, str(n)) for n in value.shape)
    rows = ", one number for each row" if value.shape == (sizes["B"],) else ""
    total = "mean" if name == "loss" else "sum"
    return Finding("is", name, "shape", f"returns an array of shape ({shape}){rows}; its {total} is measured")


def ignored(target: Target, arguments: list[NDArray], others: list[NDArray]) -> list[Finding]:
    """Return a finding for each argument that has entries without effect.

    An entry has no effect if the result stays equal when the entry changes, both at `arguments` and at `others`.
    """
    found = []
    if max(a.size for a in arguments) > 300:                # several calls for each entry would take long
        return found
    for which, name in enumerate(ARGUMENTS["loss"]):
        if name not in ARGUMENTS[target.call.name]:
            continue
        still = silent(target, arguments, which, np.ones(arguments[which].shape, bool))
        still = silent(target, others, which, still, (6.0, 12.0) if which > 1 else ())
        count, quiet = still.size, int(still.sum())
        if not quiet:
            continue
        verdict, words = "wrong", f"some entries of {name} have no effect: {quiet} of {count} change nothing"
        if quiet == count:
            verdict, words = "unusual", f"{name} changes nothing"
        else:
            for axis, label in ((1, "columns"), (0, "rows")):
                whole = still.all(axis=1 - axis)
                if quiet == whole.sum() * still.shape[1 - axis]:
                    verdict = "unusual" if which < 2 and axis == 1 else "wrong"         # a mask of features may be intended
                    words = (f"only the {label} {np.flatnonzero(~whole).tolist()} of {name} have an effect (counted from "
                             "0); the others change nothing")
        found.append(Finding(verdict, target.call.name, "ignored-entries", words, count - quiet, count,
                             "that is the number of entries with an effect; the array has"))
    return found


def read_part(result: Measured, part: str, rng: np.random.Generator, partial: bool) -> None:
    """Store the terms of a part ("cost" or "kl") in `result`, and add findings about this part."""
    name, terms, label = result.target.call.name, getattr(result.found[""][1], part), LABELS[part]
    if terms is None:
        if not partial:                                     # if `partial`, there is already the finding "ignored-entries"
            result.findings.append(found_outside(result, part, rng))
        return
    result.powers[part] = powers(result.found, part)
    if not terms.coefficients:
        return
    if result.powers[part] is None:
        words = f"{label} depends on B, D or J, but neither as a sum nor as a mean"
        first = next(iter(terms.coefficients))
        result.findings.append(Finding("cannot tell", name, "reduction", words, *at_two_sizes(result.found, part, first),
                                       f"that is the coefficient of {first}; at another size it is"))
        result.powers[part] = {}
    if terms.guard:
        words = f"a small number inside the logarithm of {label}, {abs(terms.guard):g}, keeps it finite"
        result.findings.append(Finding("is", name, "guarded-log", words, abs(terms.guard), 0.0, "in a plain formula it is"))
    scale = factor(result.sizes, result.powers[part])
    weights, error = {}, max(terms.errors.values()) / scale
    for term, coefficient in terms.coefficients.items():
        weight = coefficient / scale
        weights[term] = rounded(weight, max(terms.errors[term] / scale, 1e-9 * abs(weight)))
    if part == "cost":
        result.cost = known = cost_named(weights, error, name)
    else:
        known = kl_named(weights, error, name)
        if odd := near_the_prior(result, known, terms, rng):
            result.findings = [f for f in result.findings if f.key != "reduction"] + [odd]
            return
        result.kl = known
    result.findings += known.findings


def near_the_prior(result: Measured, known: KnownKL, terms: Fit, rng: np.random.Generator) -> Finding | None:
    """Return a finding if the KL differs from its formula for q near the prior. Free bits or a capacity can cause this."""
    target = result.target
    if not known.known:
        return None
    x, o, m, s = target.draw(rng, result.sizes, 4)
    x, o = (np.repeat(a[:1], 4, axis=0) for a in (x, o))
    m[1:] *= np.array([0.3, 0.1, 0.0])[:, None, None]
    s[1:] = known.reading.neutral + (s[1:] - 1.6) * np.array([0.1, 0.02, 0.0])[:, None, None]
    values, predicted = target.values(x, o, m, s), terms.at(kl_terms(m, s, terms.guard))
    off = np.abs(values - values[0] - predicted + predicted[0])
    if off.max() <= 30 * noise(values, target.call.single):
        return None
    place = np.argmax(off)
    words = "the KL differs from its formula where q is near the prior, as with free bits, a capacity or a clip"
    numbers = values[place], values[0] + predicted[place] - predicted[0]
    return special.bent(target, result.sizes, rng) or Finding(
        "cannot tell", target.call.name, "unknown-kl", words, *numbers, "by the formula of the KL")


def at_two_sizes(found: Mapping, part: str, term: str) -> tuple[float, float]:
    """Return two coefficients of a term: the one at the base sizes, and the first different one at other sizes.

    If the coefficient is the same at all sizes, it is returned twice.
    """
    fits = [getattr(terms, part) for _, terms in found.values()]
    values = [fit.coefficients.get(term, 0.0) if fit else math.nan for fit in fits]
    return values[0], next((c for c in values[1:] if c != values[0]), values[0])


def found_outside(result: Measured, part: str, rng: np.random.Generator) -> Finding:
    """Return the finding about a part of the loss ("cost" or "kl") that is not a sum of known terms."""
    target, search = result.target, special.residual if part == "cost" else special.bent
    if found := search(target, result.sizes, rng):
        return found
    most = {"cost": "two", "kl": "three"}[part]
    words = f"{LABELS[part]} is not a sum of at most {most} known terms; the numbers are the results at two points"
    return Finding("cannot tell", target.call.name, f"unknown-{part}", words, *moved(result, part, rng),
                   "at the other point it is")


def moved(result: Measured, part: str, rng: np.random.Generator) -> tuple[float, float]:
    """Return the result at a random point, and the result for other x and output, or for other mu and log_var."""
    x, o, m, s = result.target.draw(rng, result.sizes, 2)
    other = (x[1], o[1], m[0], s[0]) if part == "cost" else (x[0], o[0], m[1], s[1])
    return result.target(x[0], o[0], m[0], s[0]), result.target(*other)


def undecided(result: Measured) -> list[Finding]:
    """Return a finding "cannot tell" about a KL with unusual coefficients, which may be right or wrong.

    Return [] for any other KL. Return [] also if `decided` has already chosen between right and wrong.
    """
    if not result.kl or not result.kl.variant:
        return []
    (_, finding, mistake, *_), result.kl.variant = result.kl.variant, None
    return [replace(mistake, verdict="cannot tell", words=f"{mistake.words}; or {finding.words}")]


def confirm(result: Measured, rng: np.random.Generator) -> None:
    """Add the formula of the function to the findings if the formula is right at new points.

    For a right formula, also check its additive constant, and the results of the function for extreme arguments. For a
    wrong formula, add the finding that the function is not the sum of its parts.
    """
    first, name, target = result.found[""][1], result.target.call.name, result.target
    if first.cost is None or first.kl is None:
        result.findings += undecided(result)
        return
    measured, predicted = first.example
    if not all(terms.additive for _, terms in result.found.values() if terms.constant is not None):
        words = "it is not the sum of its two parts: at a new random point, the sum of the fitted parts is another number"
        result.findings += [Finding("cannot tell", name, "not-additive", words, measured, predicted, "the sum is"),
                            *undecided(result)]
        result.cost = result.kl = None
        return
    far = special.far_from_the_fit(result)
    fixed = constants(result) or undecided(result)
    lines = [part.formula(result.powers[key]) for key, part in (("cost", result.cost), ("kl", result.kl)) if part]
    half = any(finding.key == "half-normaliser" for finding in fixed)
    if result.kl is None and first.kl.coefficients:         # the KL differs from its formula where q is near the prior
        lines.append("a function of mu and log_var")
    elif lines and result.constant is None and not is_zero(result) or result.constant and half:
        lines.append("constant")
    elif result.constant:
        lines.append("the normaliser of a Gaussian")
    said = " + ".join(lines).replace("+ -", "- ") or "a constant"
    result.findings.insert(0, Finding("is", name, "formula", said, measured, predicted))
    for part, missing, label in (("cost", "reconstruction", "x and output"), ("kl", "KL", "mu and log_var")):
        if part in target.parts and not getattr(first, part).coefficients:
            words, verdict = f"it has no {missing}: {label} change nothing", "unusual" if name == "loss" else "wrong"
            result.findings.append(Finding(verdict, name, f"no-{part}", words, *moved(result, part, rng),
                                           f"after a change of {label} it is"))
    result.findings += [*fixed, *far]
