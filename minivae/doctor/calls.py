"""Call the user's functions safely: copy the arguments, convert tensors to arrays, show errors with the user's line.

Check also that a function returns the same finite numbers twice and leaves its arguments unchanged.
"""

import contextlib
import copy
import inspect
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.findings import Finding

REPEATS = 8                                                 # number of calls with equal arguments
PARTS = ("loss", "total", "total_loss", "elbo")             # keys under which a dict may have the loss


class Failed(ValueError):
    """Raised if the user's code does not return the numbers that the doctor needs; the message names the function."""


class Raised(Failed):
    """Raised instead of an error of the user's code; the message gives the line in the user's file."""


class Call:
    """A function of the user. A call gets copies of the arguments; the result is converted to float64 arrays.

    Attributes: `changed` describes the arguments that the function has changed in place, as {position of the argument:
    (number before, number after)}. `single` is True until the function returns a number that float32 cannot represent.
    `parameters` lists the parameters in the signature; the list is empty if Python cannot find them.
    """

    def __init__(self, name: str, function: Callable, file: str | None = None):
        if not callable(function):
            raise Failed(f"{name} must be a function; got {type(function).__name__}. Write def {name}(...).")
        self.name, self.function = name, function
        self.file = file or getattr(getattr(function, "__code__", None), "co_filename", None)
        self.changed, self.single = {}, True
        try:
            self.parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):                     # some functions written in C have no signature
            self.parameters = []

    def raw(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function with copies of the arguments; return its result, converted to float64 arrays by `converted`."""
        copies = copy.deepcopy(arguments)
        try:
            with np.errstate(all="ignore"):
                result = self.converted(self.function(*copies, **keywords))
        except (Failed, KeyboardInterrupt):
            raise
        except BaseException as error:                      # also SystemExit and other errors outside class Exception
            raise Raised(in_users_words(error, self.file, self.name)) from None
        for i, (before, after) in enumerate(zip(arguments, copies)):
            if isinstance(before, np.ndarray) and before.tobytes() != after.tobytes() and i not in self.changed:
                place = np.argmax(before.ravel() != after.ravel())
                self.changed[i] = float(before.flat[place]), float(after.flat[place])
        return result

    def converted(self, value: Any) -> Any:
        """Convert a value to a float64 array. In a tuple, a dict or a list of arrays, convert each element.

        A list of arrays becomes a tuple. Tensors are converted by their methods detach, cpu and numpy.
        """
        if isinstance(value, dict):
            return {key: self.converted(part) for key, part in value.items()}
        nested = isinstance(value, list) and any(getattr(part, "ndim", 0) or isinstance(part, dict) for part in value)
        if isinstance(value, tuple) or nested:
            return tuple(self.converted(part) for part in value)
        if not isinstance(value, (np.ndarray, float)):
            for method in ("detach", "cpu", "numpy"):
                value = getattr(value, method)() if hasattr(value, method) else value
        try:
            array = np.asarray(value)
        except ValueError:
            raise Failed(f"{self.name} must return numbers; got lists of different lengths. Return an array.") from None
        if array.dtype.kind not in "buif":
            got = "None" if value is None else type(value).__name__
            raise Failed(f"{self.name} must return numbers; got {got}. Return an array, a float, or a dict of these.")
        wide = array.astype(np.float64)
        if self.single:                                     # skipped once `single` is False: saves 10 % of the run
            self.single = bool((wide.astype(np.float32) == wide)[np.isfinite(wide)].all())
        return wide

    def parts(self, *arguments: Any) -> list[NDArray]:
        """Call the function; return all arrays of its result in one list, also those inside dicts and tuples."""
        def flat(result):
            if isinstance(result, dict):
                result = tuple(result.values())
            return [array for part in result for array in flat(part)] if isinstance(result, tuple) else [result]

        found = flat(self.raw(*arguments))
        if not any(array.size for array in found):
            raise Failed(f"{self.name} must return an array; got nothing. Return all rows.")
        return found

    def whole(self, *arguments: Any) -> NDArray:
        """Call the function; return its result as one array.

        From a dict, take the value under the function's name, or under a key in PARTS; from a tuple, take the first element.
        """
        result = self.raw(*arguments)
        if isinstance(result, dict):
            keys = [key for key in (self.name, *PARTS) if key in result]
            if not keys:
                got = f"the keys {', '.join(map(str, result))}" if result else "an empty dict"
                raise Failed(f"{self.name} must return a dict with the key 'loss'; got {got}. Add that key.")
            result = result[keys[0]]
        while isinstance(result, tuple):
            result = result[0] if result else np.empty(0)
        if not result.size:
            raise Failed(f"{self.name} must return a number; got nothing. Return it alone or first in a tuple.")
        return result


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global random state, which the user's code may use. At the end of `with`, restore the old state."""
    before = np.random.get_state()
    np.random.set_state(np.random.RandomState(seed).get_state())
    try:
        yield
    finally:
        np.random.set_state(before)


SPELLINGS = {
    "log-variance": ("logvar", "logvariance", "lv", "logv"), "log sigma": ("logsigma", "logstd", "logsd", "logscale"),
    "sigma": ("sigma", "std", "sd", "stddev", "scale"), "variance": ("var", "variance"),
}  # fmt: skip


def name_and_meaning(call: Call, place: int) -> tuple[str, str]:
    """Return an argument's name and its meaning, such as ("std", "sigma"). The meaning is "" if SPELLINGS lacks the name."""
    if place >= len(call.parameters):
        return "", ""
    name = call.parameters[place].name
    plain = name.lower().replace("_", "")
    return name, next((reading for reading, names in SPELLINGS.items() if plain in names), "")


def in_users_words(error: BaseException, file: str | None, name: str) -> str:
    """Return an error as text: "my_vae.py, line 7, in loss: ValueError: ...".

    The text names the line in the user's file that raised the error. If a function in another file raised the error, the
    text names the line in the user's file that called this function.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    said = " ".join(str(error).split()).rstrip(".")
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if not frames:
        return f"{name}: {what}. Check that {name} takes the arguments that minivae doctor --help lists."
    return f"{file}, line {frames[-1].lineno}, in {frames[-1].name}: {what}."


def unsteady(call: Call, *arguments: NDArray) -> Finding | None:
    """Call the function REPEATS times with equal arguments; return a finding if the results differ."""
    values = [call.whole(*arguments).sum() for _ in range(REPEATS)]
    if len(set(values)) == 1 or not np.isfinite(values).any():
        return None
    again = []
    for _ in range(2):
        with seeded(1):
            again.append(call.whole(*arguments).sum())
    steps = np.diff([*values, *again])
    if (steps >= 0).all() or (steps <= 0).all():
        key, words = "counter", (
            "in repeated calls with equal arguments, the result only rises or only falls: it depends on a counter, "
            "as with a KL weight that grows during training. Give the doctor the loss at a fixed step.")
    elif again[0] == again[1]:
        key, words = "noise-inside", (
            "equal arguments give different results, but equal results after numpy.random.seed: the function draws noise "
            "itself. Pass the noise, or the output, as an argument.")
    else:
        key, words = "not-repeatable", (
            "equal arguments give different results: the function has its own random generator, or a state. "
            "Give the doctor a function without noise and state.")
    return Finding("cannot tell", call.name, key, words, min(values), max(values),
                   f"that is the smallest of {REPEATS} results; the largest is")


def not_finite(about: str, values: NDArray, where: str) -> list[Finding]:
    """Return a finding if a result has numbers that are NaN or infinite."""
    count = int((~np.isfinite(values)).sum())
    if not count:
        return []
    words = f"it returns NaN or infinite numbers for {where}"
    return [Finding("cannot tell", about, "not-finite", words, count, 0.0,
                    f"that is the count of NaN or infinite numbers in a result of size {np.size(values)}; it should be")]


def mutation(call: Call, names: tuple[str, ...]) -> list[Finding]:
    """Return a finding for every argument that a call has changed in place."""
    found = []
    for place, (before, after) in sorted(call.changed.items()):
        name = names[place] if place < len(names) else f"argument {place}"
        words = f"a call changes its argument {name} in place: later uses of {name} get other numbers"
        found.append(Finding("wrong", call.name, "changes-argument", words, after, before, "before the call, this entry was",
                             f"{name} = {name}.copy() first; or avoid += and out="))
    return found
