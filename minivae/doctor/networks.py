"""Find the input widths of encoder and decoder; check that rows are independent and that the loss accepts the output."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed, mutation, not_finite
from minivae.doctor.findings import Finding
from minivae.doctor.names import Measured

TRIED = {"encode": (784, 64, *range(1, 64), 100, 128, 256, 400, 512, 1024, 3072), "decode": (*range(1, 65), 100, 128)}
PAIR = {"encode": ("features", "x"), "decode": ("latent", "z")}


def rows_of(call: Call, width: int, rng: np.random.Generator) -> NDArray:
    """Return four random rows to pass to encode or decode."""
    return rng.uniform(0.06, 0.94, (4, width)) if call.name == "encode" else rng.standard_normal((4, width))


def widths(calls: Mapping[str, Call], rng: np.random.Generator) -> dict[str, int]:
    """Return {"features": D, "latent": J}: the first width in TRIED that encode accepts, and the first that decode accepts.

    If a function is missing or accepts no width in TRIED, its key is left out.
    """
    found = {}
    for name in PAIR:
        for width in TRIED[name] if name in calls else ():
            try:
                parts = calls[name].parts(rows_of(calls[name], width, rng))
            except Failed:
                continue
            if all(part.ndim == 2 and len(part) == 4 for part in parts):
                found[PAIR[name][0]] = width
                break
    return found


def fits_the_loss(call: Call, latent: int, measured: Mapping[str, Measured], rng: np.random.Generator) -> list[Finding]:
    """Return a finding if the decoder returns probabilities where the loss takes logits, or the reverse."""
    part = next((measured[name] for name in ("loss", "log_px_given_z") if name in measured and measured[name].cost), None)
    if part is None or part.cost.kind not in ("bce", "logits"):
        return []
    out = call.parts(np.concatenate([scale * rng.standard_normal((40, latent)) for scale in (1, 3, 10)]))[0]
    low, high, name = out.min(), out.max(), part.target.call.name
    if part.cost.kind == "bce" and (low < 0 or high > 1):
        words = f"decode returns values outside 0 to 1, but {name} takes their logarithms, as if they were probabilities"
        numbers = (high, 1.0, "a probability is at most") if high > 1 else (low, 0.0, "a probability is at least")
        return [Finding("wrong", call.name, "not-probabilities", words, *numbers,
                        "1 / (1 + np.exp(-logits)) in decode, or a cross-entropy of logits")]
    if part.cost.kind == "logits" and 0 <= low and high <= 1 and high - low > 1e-6:
        words = f"decode returns values between 0 and 1 for all tested z, and {name} applies a sigmoid to them: two sigmoids"
        return [Finding("wrong", call.name, "sigmoid-twice", words, low, high,
                        "that is the smallest value; the largest is",
                        "logits from decode, or a cross-entropy of probabilities")]
    return []


def rows_apart(call: Call, sizes: Mapping[str, int], rng: np.random.Generator) -> list[Finding]:
    """Return findings about a network, for example: the network draws noise, or its result for a row uses other rows."""
    width = sizes.get(PAIR[call.name][0])
    if not width:
        words = "its width is not known: write features = ... and latent = ... into the file"
        return [Finding("cannot tell", call.name, "width-unknown", words)]
    rows = rows_of(call, width, rng)
    first = call.parts(rows)
    if not first[0].ndim or len(first[0]) != len(rows):
        raise Failed(f"{call.name} must return an array with one row for each row of {PAIR[call.name][1]}; got shape "
                     f"{first[0].shape} for {len(rows)} rows. Return all rows.")
    found = mutation(call, (PAIR[call.name][1],))
    if no_numbers := not_finite(call.name, np.concatenate([a.ravel() for a in first]), "random rows"):
        return found + no_numbers
    if len(first) > 1 and first[0].ndim == 2 and np.array_equal(first[0], first[1]):
        words = "mu and log_var are the same array for all tested x"
        found.append(Finding("wrong", call.name, "same-output", words, first[0][0, 0], first[1][0, 0],
                             "log_var is", "a separate layer for log_var"))
    again = call.parts(rows)
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again)):
        words = "equal arguments give different results: the network draws noise, or has a state (dropout, batch statistics)"
        return [*found, Finding("unusual", call.name, "not-repeatable", words, first[0].flat[0],
                                again[0].flat[0], "at the second call it is")]
    part = call.parts(rows[:2])
    for a, b in zip(first, part):
        if a.ndim and len(a) == 4 and len(b) == 2 and not np.allclose(a[:2], b, rtol=1e-4, atol=1e-6):
            words = "the result of a row depends on the other rows of the batch (batch statistics?)"
            place = np.unravel_index(np.argmax(np.abs(a[:2] - b)), b.shape)
            return [*found, Finding("unusual", call.name, "rows-coupled", words, a[place], b[place],
                                    "in a smaller batch it is")]
    return found
