"""Check that a function returns finite numbers, the same numbers twice, and leaves its arguments unchanged."""

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, seeded
from minivae.doctor.findings import Finding

REPEATS = 8


def unsteady(call: Call, *arguments: NDArray) -> Finding | None:
    """Call the function REPEATS times with equal arguments; return a finding if the results differ."""
    values = [float(np.sum(call.whole(*arguments))) for _ in range(REPEATS)]
    if len(set(values)) == 1 or not np.isfinite(values).any():
        return None
    again = []
    for _ in range(2):
        with seeded(1):
            again.append(float(np.sum(call.whole(*arguments))))
    steps = np.diff([*values, *again])
    if (steps >= 0).all() or (steps <= 0).all():
        key, words = "counter", (
            f"equal arguments return a number that moves in one direction from call to call ({REPEATS + 2} calls): "
            "it depends on a counter, such as a KL weight that warms up. Give the doctor the loss at a fixed step.")
    elif again[0] == again[1]:
        key, words = "noise-inside", (
            "equal arguments return different numbers, and equal ones after numpy.random.seed: it draws noise inside. "
            "Pass the noise, or the output, as an argument.")
    else:
        key, words = "not-repeatable", (
            "equal arguments return different numbers: it draws from its own generator, or it has a state. "
            "Give the doctor a function without noise and state.")
    return Finding("cannot tell", call.name, key, words, min(values), max(values),
                   f"the largest of {REPEATS} equal calls returned")


def not_finite(about: str, values: NDArray, where: str) -> list[Finding]:
    """Return a finding if a result has numbers that are NaN or infinite."""
    count = int((~np.isfinite(values)).sum())
    if not count:
        return []
    words = f"it returns NaN or infinite numbers for {where}"
    return [Finding("cannot tell", about, "not-finite", words, float(count), 0.0,
                    f"such numbers of {np.size(values)}; there should be")]


def mutation(call: Call, names: tuple[str, ...]) -> list[Finding]:
    """Return a finding for every argument that a call has changed in place."""
    found = []
    for place, (before, after) in sorted(call.changed.items()):
        name = names[place] if place < len(names) else f"argument {place}"
        words = f"a call changes its argument {name} in place: later uses of {name} get other numbers"
        found.append(Finding("wrong", call.name, "changes-argument", words, after, before, "before the call it was",
                             f"{name} = {name}.copy() first, or neither += nor out="))
    return found
