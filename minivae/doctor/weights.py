"""Find out which known function of the log weights the user's `iw_bound` computes, and whether its value stays finite."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed, mutation, not_finite
from minivae.doctor.findings import Finding
from minivae.doctor.words import close
from minivae.evidence.sums import log_mean_exp
from minivae.ops import log_sum_exp

LSE = "np.log(np.mean(np.exp(log_w - top), axis)) + top, with top = log_w.max(axis)"


def self_weighted(a: NDArray, axis: int) -> NDArray:
    """Return the sum of w * a, where w = softmax(a). If w is held fixed, this sum has the gradient of log mean exp(a)."""
    w = np.exp(a)
    return (w / w.sum(axis=axis, keepdims=True) * a).sum(axis=axis)


class Known(NamedTuple):
    """A known function of log weights along one axis."""

    name: str
    form: str                   # how the report writes the function; {} stands for log_w or -log_w
    f: Callable[[NDArray, int], NDArray]
    verdict: str
    words: str
    exhibit: str = ""


KNOWN = (
    Known("log mean exp", "log mean exp({})", log_mean_exp, "is", "the importance-weighted bound"),
    Known("log sum exp", "log sum exp({})", log_sum_exp, "wrong",
          "log K is not subtracted (K draws), so the bound is log K too large", "log-k-forgotten"),
    Known("mean", "mean({})", lambda a, axis: a.mean(axis=axis), "wrong",
          "this is the mean of the logs, not the log of the mean. With more draws, it still estimates the ELBO",
          "mean-of-logs"),
    Known("sum", "sum({})", lambda a, axis: a.sum(axis=axis), "wrong",
          "the log weights are summed, so the result is not a bound"),
    Known("max", "max({})", lambda a, axis: a.max(axis=axis), "wrong",
          "this is the largest log weight. With K draws, it lies up to log K above the bound"),
    Known("sum w log w", "sum(w * {})", self_weighted, "unusual",
          "w are the normalised weights. The gradient is right if w is held fixed, but the number is not the bound",
          "weights-not-held-fixed"),
    Known("sum w log w / K", "sum(w * {}) / K", lambda a, axis: self_weighted(a, axis) / a.shape[axis], "unusual",
          "w are the normalised weights, and K is the number of draws. The number is not a bound", "weights-not-held-fixed"),
)  # fmt: skip
UPSIDE_DOWN = "the weights are upside down, exp(-log_w), so the worst draw counts most"
OUTER = {"": lambda a: a, ", averaged over the data points": np.mean, ", summed over the data points": np.sum}


def measure(call: Call, rng: np.random.Generator, declared: int | None = None) -> list[Finding]:
    """Examine iw_bound(log_w), or iw_bound(log_w, axis=0).

    The user's file can say which axis of log_w is the axis of the draws: `declared` is the number of that axis, or None.
    """
    samples = [rng.normal(-3, 1.5, (7, 4)), rng.normal(-2, 1.0, (5, 3))]
    takes_axis = any(parameter.name == "axis" for parameter in call.parameters)
    draws_on = 0 if takes_axis else declared if declared is None else declared % 2

    def value(a):
        result = call.raw(a, axis=0) if takes_axis else call.raw(a)
        if not isinstance(result, np.ndarray):
            raise Failed("iw_bound must return one number, or one for each data point; got several parts. Return the bound.")
        return result.squeeze()

    given = [value(a) for a in samples]
    found = mutation(call, ("log_w",))
    if no_numbers := not_finite(call.name, given[0], "log weights near -3"):
        return found + no_numbers
    rel = 1e-4 if call.single else 1e-9
    for axis, known, (outer, reduce), inside, outside in itertools.product((0, 1), KNOWN, OUTER.items(), (1, -1), (1, -1)):
        if all(close(g, outside * reduce(known.f(inside * a, axis)), rel) for g, a in zip(given, samples)):
            verdict, key, exhibit = known.verdict, known.name.replace(" ", "-"), known.exhibit
            minus, upside_down = "minus " * (outside == -1), inside == -1
            meaning = minus * (known.verdict == "is") + known.words
            if upside_down:
                verdict, key, exhibit, meaning = "wrong", "upside-down", "weights-upside-down", UPSIDE_DOWN
            form = known.form.format("-" * upside_down + "log_w")
            words = f"returns {minus}{form} over axis {axis}{outer}: {meaning}"
            if draws_on not in (None, axis):
                words = f"the draws are on axis {draws_on}, but it {words}"
                verdict, key, exhibit = "wrong", key if upside_down else "wrong-axis", ""
            sign = outside * inside
            right = sign * reduce(log_mean_exp(samples[0], axis if draws_on is None else draws_on))
            found.append(Finding(verdict, call.name, key, words, given[0].flat[0], np.ravel(right)[0],
                                 "by this formula" if verdict == "is" else "the bound is", LSE * (verdict == "wrong"),
                                 exhibit))
            return found + far(call, value, samples[0], sign, given[0])
    for sign in (1, -1):
        whole = [sign * log_mean_exp(a.ravel(), 0) for a in samples]
        if all(close(g, w, rel) for g, w in zip(given, whole)):
            words = (f"{'minus ' * (sign == -1)}the importance-weighted bound of all entries together: right for the "
                     "weights of one data point only")
            return [*found, Finding("unusual", call.name, "all-entries", words, given[0], whole[0], "this bound is")]
    words = "it is not one of the known functions: log mean exp, log sum exp, mean, sum or max of log_w over an axis"
    return [*found, Finding("cannot tell", call.name, "unknown", words, given[0].flat[0],
                            np.mean(log_mean_exp(samples[0], 0)), "the mean of the bound over axis 0 is")]


def far(call: Call, value: Callable, a: NDArray, sign: int, near: NDArray) -> list[Finding]:
    """Return a finding if log weights near -2000, which are common for images, give NaN or an infinite number."""
    moved = value(a - 2000)
    if np.isfinite(moved).all():
        return []
    words = ("log weights near -2000, common for images, give no finite number: exp underflows, because the largest log "
             "weight is not subtracted")
    return [Finding("wrong", call.name, "no-max-subtracted", words, moved.flat[0], near.flat[0] - sign * 2000,
                    "it should be", LSE, "no-max-subtracted")]
