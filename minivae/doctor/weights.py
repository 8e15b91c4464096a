"""The importance-weighted bound: which known function of the log weights it is, and whether it overflows."""

import inspect
import itertools

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed
from minivae.doctor.findings import Finding
from minivae.doctor.steady import mutation, not_finite
from minivae.doctor.words import close
from minivae.ops import log_sum_exp

LSE = "np.log(np.mean(np.exp(log_w - top), axis)) + top, with top = log_w.max(axis)"


def self_weighted(a: NDArray, axis: int) -> NDArray:
    """Return sum w log w with normalised weights w: its gradient, with w held fixed, is that of the bound."""
    w = np.exp(a - a.max(axis=axis, keepdims=True))
    return (w / w.sum(axis=axis, keepdims=True) * a).sum(axis=axis)


INNER = {
    "log mean exp": ("is", "the importance-weighted bound", "", lambda a, axis: log_sum_exp(a,
            axis) - np.log(a.shape[axis])),
    "log sum exp": ("wrong", "log K is not subtracted: it lies log K above the bound", "log-k-forgotten", log_sum_exp),
    "mean": ("wrong", "the mean of the logs stands for the log of the mean: it is the ELBO, however many draws",
             "mean-of-logs",
             lambda a, axis: a.mean(axis=axis)),
    "sum": ("wrong", "the log weights are summed: the result is not a bound", "", lambda a, axis: a.sum(axis=axis)),
    "max": ("wrong", "it is the largest log weight: it lies up to log K above the bound", "", lambda a,
            axis: a.max(axis=axis)),
    "sum w log w": ("unusual", "the log weights are averaged with the weights themselves: right for gradients if the "
                               "weights are held fixed; "
                    "not the number of the bound", "weights-not-held-fixed", self_weighted),
    "sum w log w / K": ("unusual", "the log weights are averaged with the weights themselves and divided by K: "
                                   "not the number of a bound",
                        "weights-not-held-fixed", lambda a, axis: self_weighted(a, axis) / a.shape[axis]),
}  # fmt: skip
OUTER = {"": lambda a: a, "mean of the ": np.mean, "sum of the ": np.sum}


def measure(call: Call, rng: np.random.Generator, declared: int | None = None) -> list[Finding]:
    """Examine iw_bound(log_w), or iw_bound(log_w, axis) with axis 0; `declared` is the axis of the draws in the file."""
    samples = [rng.normal(-3, 1.5, (7, 4)), rng.normal(-2, 1.0, (5, 3))]
    try:
        takes_axis = "axis" in inspect.signature(call.function).parameters
    except (TypeError, ValueError):
        takes_axis = False

    wanted_axis = 0 if takes_axis else declared if declared is None else declared % 2

    def value(a):
        result = call.raw(a, axis=0) if takes_axis else call.raw(a)
        if not isinstance(result, np.ndarray):
            raise Failed("iw_bound must return one number, or one for each data point; got several parts. Return the bound.")
        return result.squeeze()

    given = [value(a) for a in samples]
    found = mutation(call, ("log_w",))
    if no_numbers := not_finite(call.name, given[0], "log weights near -3"):
        return found + no_numbers
    wide = 1e-4 if call.single else 1e-9
    for axis, (name, inner), (outer, reduce), inside, outside in itertools.product((0, 1), INNER.items(), OUTER.items(),
            (1, -1), (1, -1)):
        values = [outside * reduce(inner[3](inside * a, axis)) for a in samples]
        if all(close(g, v, wide) for g, v in zip(given, values)):
            upside_down = inside == -1 and name not in ("mean", "sum")
            verdict, words, exhibit, _ = inner
            if upside_down:
                verdict, exhibit = "wrong", "weights-upside-down"
                words = "the weights are upside down: exp(-log w), so the worst draw counts most"
            sign = "minus " if (inside * outside if name in ("mean", "sum") else outside) == -1 else ""
            said = f"returns {sign}the {outer}{name} of {'-' * upside_down}log_w over axis {axis}: {words}"
            first, wanted = float(given[0].flat[0]), float(values[0].flat[0] if np.ndim(values[0]) else values[0])
            compared = "by this formula"
            if verdict != "is":
                right = outside * inside * reduce(INNER["log mean exp"][3](samples[0], axis))
                wanted, compared = float(np.ravel(right)[0]), "the bound is"
            elsewhere = wanted_axis not in (None, axis)
            if elsewhere:
                verdict, exhibit, said = "wrong", "", f"the draws are on axis {wanted_axis}, but it {said}"
                right = outside * reduce(INNER["log mean exp"][3](samples[0], wanted_axis))
                wanted, compared = float(np.ravel(right)[0]), "the bound is"
            key = "upside-down" if upside_down else "wrong-axis" if elsewhere else name.replace(" ", "-")
            found.append(Finding(verdict, call.name, key, said, first, wanted, compared, LSE * (verdict == "wrong"),
                                 exhibit))
            return found + far(call, value, samples[0], outside * inside, given[0], name)
    whole = [np.asarray(INNER["log mean exp"][3](a.ravel(), 0)) for a in samples]
    for sign in (1, -1):
        if all(close(g, sign * v, wide) for g, v in zip(given, whole)):
            words = "the importance-weighted bound of all entries together: right for the weights of one data point only"
            return [*found, Finding("unusual", call.name, "all-entries", words, float(given[0]), float(sign * whole[0]))]
    words = "it is not a known function of log_w: log mean exp, log sum exp, mean, sum or max, over either axis"
    right = np.mean(INNER["log mean exp"][3](samples[0], 0))
    return [*found, Finding("cannot tell", call.name, "unknown", words, float(given[0].flat[0]), float(right),
                            "the mean bound over axis 0 is")]


def far(call: Call, value, a: NDArray, sign: int, near: NDArray, name: str) -> list[Finding]:
    """Return a finding if log weights near -2000, as images have them, give NaN or an infinite number."""
    shift = -2000.0
    moved = value(a + shift)
    wanted = near.flat[0] + sign * shift * (1 if near.ndim or name != "sum" else 1)
    if np.isfinite(moved).all():
        return []
    words = (
        "log weights near -2000, as for images, give no finite number: exp underflows because the largest is "
        "not subtracted"
    )
    return [Finding("wrong", call.name, "no-max-subtracted", words, float(moved.flat[0]), float(wanted), "it should be",
                    LSE, "no-max-subtracted")]
