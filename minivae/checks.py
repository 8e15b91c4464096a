"""Checks of arguments.

A public method, such as `VAE.elbo`, checks its arguments once with the functions of this file. The functions that it calls
afterwards check only the shapes of arrays (for example `log_normal`), or nothing (for example `VAE.forward`).

Bad input raises a `ValueError` that names the argument, the rule, the given value and the remedy. Good input (also
integers, bools, float16, other byte orders and memory layouts) is converted to the nearest numbers of the dtype.
"""

import math
import numbers
import operator
import re
import warnings
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

BRIGHT = 128                                                # if the maximum is smaller, the numbers are not grey levels


def refuse(argument: str, rule: str, got: str, remedy: str) -> NoReturn:
    """Raise a ValueError whose message names the argument, the rule, the given value and the remedy."""
    raise ValueError(f"{argument} must be {rule}; got {got}. {remedy}")


def real_array(argument: str, value, shape: tuple, dtype=None) -> np.ndarray:
    """Return `value` as a contiguous native array of finite numbers with exactly this shape (`None`: any length >= 1).

    If `shape` begins with `...`, the other entries are for the last axes. With `dtype=None` the numbers keep their type
    (uint8 images stay uint8), but bools become uint8, and float16 becomes float32, because sums of float16 overflow easily.
    """
    wanted = str(shape).replace("None", "any").replace("Ellipsis", "...")
    rows = value if isinstance(value, (list, tuple)) else ()
    if any(isinstance(part, np.ma.MaskedArray) for part in (value, *rows)):
        refuse(argument, "a plain array", "a masked array", "Fill the masked entries yourself, or drop their rows.")
    try:
        array = np.asarray(value)
    except ValueError:
        refuse(argument, f"an array of shape {wanted}", "nested lists of unequal length", "Give every row the same length.")
    except (TypeError, RuntimeError) as error:              # for example a tensor that needs a gradient, or is on a GPU
        refuse(argument, "an array", f"{type(value).__name__} ({error})", "Try .detach().cpu().numpy() first.")
    if array.dtype.kind not in "buif":
        refuse(argument, "an array of real numbers", *describe_wrong(value, array))
    if shape[:1] == (...,):
        shape = array.shape[: 1 - len(shape)] + shape[1:]
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape)):
        remedy = "Reshape it; nothing is broadcast for you."
        if len(shape) == 2 and array.ndim not in (0, 2) and array.size and re.fullmatch(r"\w+", argument):
            one_row = f"Reshape it: {argument}[None] is one row; nothing is broadcast for you."
            remedy = one_row if array.ndim == 1 else f"Reshape it: {argument}.reshape(len({argument}), -1)."
        refuse(argument, f"of shape {wanted}", f"shape {array.shape}", remedy)
    if 0 in array.shape:
        refuse(argument, "non-empty", f"shape {array.shape}", "Give at least one row.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        refuse(argument, "finite", f"{array[bad]} at index {bad}", "Find where it comes from before you train.")
    kept = {"b": np.uint8, "f": np.float32 if array.dtype.itemsize == 2 else array.dtype.newbyteorder("=")}
    target = dtype or kept.get(array.dtype.kind, array.dtype.newbyteorder("="))
    with np.errstate(over="ignore"):                       # overflow is checked below
        converted = np.ascontiguousarray(array, dtype=target)
    if array.dtype.kind == "f" and not np.isfinite(converted).all():
        refuse(argument, f"within the range of {np.dtype(target)}", "a number beyond it", "Rescale it, or use float64.")
    return converted


def describe_wrong(value, array: np.ndarray) -> tuple[str, str]:
    """Return a description of a value that is not an array of real numbers, and a remedy. `array` is np.asarray(value)."""
    if hasattr(value, "toarray"):
        return "a sparse matrix", "Convert it with .toarray() first."
    if hasattr(value, "train_x"):
        return "a Dataset", "Give its rows, .test_x or .train_x."
    if hasattr(value, "columns") and hasattr(value, "select_dtypes"):
        return describe_frame(value)
    try:
        with warnings.catch_warnings(action="error"):       # astype drops .imag of complex numbers with only a warning
            works = bool(np.isfinite(array.astype(float)).all())
    except (ValueError, TypeError, Warning, OverflowError):
        works = False
    if works:
        return f"dtype {array.dtype}", "Convert it with .astype(float) first."
    if array.dtype.kind == "c":
        return f"dtype {array.dtype}", "Give .real, .imag or abs() of it."
    return f"dtype {array.dtype}", "Give an array of numbers, without text and missing values."


def describe_frame(frame: Any) -> tuple[str, str]:
    """Return two texts about a DataFrame whose columns are not all numbers: a description and a remedy."""
    text, missing = [], []
    for name in frame.columns:
        column = np.asarray(frame[name], object)
        known = [one for one in column.flat if not is_missing(one)]
        missing += [str(name)] * (len(known) < column.size)
        try:
            np.array(known).astype(float)
        except (ValueError, TypeError):
            text.append(name)
    some = ", ".join(str(name) for name in (text or missing)[:5])
    if text:
        numbers = f"df.drop(columns={text})" if len(text) <= 5 else "df.select_dtypes('number')"
        remedy = f"Leave them out: {numbers}, where df is the DataFrame. If one holds the classes, add label='ITS NAME'."
        return f"a DataFrame whose columns {some} hold no numbers", remedy
    if missing:
        remedy = "Leave these rows out: df.dropna().astype(float), where df is the DataFrame."
        return f"a DataFrame whose columns {some} have missing numbers", remedy
    return "a DataFrame of objects", "Convert it: df.astype(float), where df is the DataFrame."


def class_numbers(argument: str, value, rows: int) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return labels as whole numbers (rows,), and the names of the classes 0, 1, ... if the labels are text.

    Accepts whole numbers of either sign (floats only below 2^53), text, and one-hot rows. The shape may be (rows, 1). Labels
    become numbers if all of them are text like "3".
    """
    array = np.asarray(value)
    if array.dtype.kind == "O" and all(isinstance(one, (str, np.str_)) for one in array.flat):
        array = array.astype(str)
    elif array.dtype.kind == "O" and all(isinstance(one, (int, np.integer)) for one in array.flat):
        large = [one for one in array.flat if not -(2**63) <= one < 2**63]
        if large:
            refuse(argument, "whole numbers of 64 bits", str(large[0]), "Number the classes 0, 1, 2, ...")
        array = array.astype(np.int64)
    elif array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.ndim == 0 or len(array) != rows:
        refuse(argument, f"of shape ({rows},), one for each row", f"shape {array.shape}", "Give as many labels as rows.")
    if array.size == rows:
        array = array.reshape(-1)
    elif array.ndim > 2:
        array = array.squeeze()
    if array.ndim == 2 and array.dtype.kind in "buif":
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            remedy = f"Choose one column, {argument}[:, 0], or leave the labels out."
            refuse(argument, "one class for each row", f"shape {array.shape}, and not one-hot", remedy)
        array = array.argmax(axis=1)
    if array.ndim != 1:
        refuse(argument, f"of shape ({rows},), one for each row", f"shape {array.shape}", "Give as many labels as rows.")
    if array.dtype.kind == "U":
        names, codes = np.unique(array, return_inverse=True)
        if not all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", name, re.IGNORECASE) for name in names):
            return codes.reshape(-1), tuple(str(name) for name in names)
        array = array.astype(np.float64)
    if array.dtype.kind not in "buif" or (array.dtype.kind == "f" and not are_whole(array)):
        missing = not np.isfinite(array).all() if array.dtype.kind == "f" else has_missing(array)
        got = "missing labels (nan)" if missing else "fractions" if array.dtype.kind == "f" else f"dtype {array.dtype}"
        refuse(argument, "whole numbers or text", got, "Number the classes 0, 1, 2, ..., or leave the labels out.")
    return array.astype(np.int64) if array.dtype.kind in "bf" else array, None


def has_missing(array: np.ndarray) -> bool:
    """Return True if an array of objects has a missing value."""
    return array.dtype.kind == "O" and any(map(is_missing, array.flat))


def is_missing(one: Any) -> bool:
    """Return True for `None`, for nan, for the NA and NaT of pandas, and for the texts "nan", "<NA>" and "NaT"."""
    return one is None or str(one) in ("nan", "<NA>", "NaT")


def are_whole(x: np.ndarray) -> bool:
    """Return True if all numbers are whole. Floats must also be between -2^53 and 2^53.

    A float of 2^53 or more gives False: every such float is a whole number, even if it was rounded from a fraction.
    """
    return x.dtype.kind in "bui" or (x.dtype.kind == "f" and bool(((x == np.rint(x)) & (np.abs(x) < 2**53)).all()))


def whole_number(argument: str, value, at_least: int, remedy: str = "") -> int:
    """Return `value` as an int >= at_least; rejects 2.0 and True."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < at_least:
        shape = isinstance(value, tuple) and len(value) > 1 and all(type(side) is int and side > 0 for side in value)
        between = " " if argument.startswith("-") else "="
        if argument == "features" and getattr(value, "shape", ()):             # the user gave x, not its number of columns
            remedy = f"Try features={value.shape[-1]}."
            refuse(argument, f"a whole number >= {at_least}", f"data of shape {value.shape}", remedy)
        remedy = remedy or f"Try {argument}{between}{math.prod(value) if shape else max(at_least, 1)}."
        refuse(argument, f"a whole number >= {at_least}", repr(value), remedy)
    return number


def real_number(
    argument: str, value, at_least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> float:
    """Return `value` as a finite float with at_least <= value, above < value < below."""
    limits = [f">= {at_least:g}"] * (at_least > -math.inf) + [f"> {above:g}"] * (above > -math.inf)
    limits += [f"< {below:g}"] * (below < math.inf)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and at_least <= number and above < number < below):
        rule = f"a finite number {' and '.join(limits)}".strip()
        refuse(argument, rule, repr(value), "Check its sign and scale.")
    return number


def instance(argument: str, value, kind: type, remedy: str) -> Any:
    """Return `value`; refuse it unless it is an object of the class `kind`."""
    if not isinstance(value, kind):
        got = repr(value) if isinstance(value, (str, type)) else type(value).__name__
        refuse(argument, f"a {kind.__name__}", got, remedy)
    return value


def choice(argument: str, value, options: Iterable) -> str:
    """Return `value`; refuse it unless it is one of the words in `options`."""
    options = sorted(options)
    if not isinstance(value, str) or value not in options:
        refuse(argument, f"one of {', '.join(options)}", repr(value), "Check the spelling.")
    return value


def float_dtype(argument: str, value) -> np.dtype:
    """Return float32 or float64, given as a NumPy type or a name."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):            # np.dtype(",,") raises SyntaxError
        dtype = None
    if value is None or dtype not in (np.float32, np.float64):
        refuse(argument, "float32 or float64", repr(value), "Try 'float64'.")
    return dtype


def sizes(argument: str, value, example: str = "") -> tuple[int, ...]:
    """Return layer widths, or the sides of a picture, as a tuple of ints; `()` means no hidden layers."""
    rule = "(height, width)" if example else "a tuple of layer widths"
    meant = value if re.fullmatch(r"[1-9]\d*", str(value)) else 128             # for hidden=64 or "64", suggest (64,)
    remedy = f"Write {example}." if example else f"Write {argument}=({meant},) for one hidden layer."
    unordered, a_number = (str, bytes, set, frozenset, dict), isinstance(value, np.ndarray) and value.ndim == 0
    if isinstance(value, unordered) or a_number or not isinstance(value, Iterable):
        refuse(argument, rule, repr(value), remedy)
    each, try_it = ("side of", remedy) if example else ("width in", f"Try {argument}=(128,).")
    return tuple(whole_number(f"every {each} {argument}", size, 1, try_it) for size in value)


def generator(argument: str, value) -> np.random.Generator:
    """Return `value`; refuse it unless it is a numpy.random.Generator, because nothing here uses a global random state."""
    if not isinstance(value, np.random.Generator):
        refuse(argument, "a numpy.random.Generator", type(value).__name__, "Use np.random.default_rng(seed).")
    return value


def within(argument: str, x: np.ndarray, n: int, whose: str) -> None:
    """Raise ValueError unless all of x is within 0..n."""
    low, high = x.min(), x.max()
    if low < 0 or high > n:
        remedy = rescaling(argument, x) if n == 1 else "Rescale it, or use the gaussian likelihood."
        refuse(argument, f"within 0..{n} for {whose}", f"values from {low} to {high}", remedy)


def rescaling(argument: str, x: np.ndarray) -> str:
    """Return a remedy for numbers outside 0..1. It names options of the command if `argument` is an option (--data)."""
    low, high, option = x.min(), x.max(), argument.startswith("--")
    gaussian = "--likelihood gaussian" if option else "likelihood=Gaussian('optimal')"
    if low < 0:
        return f"Rescale them to 0..1, or use {gaussian}."
    if not are_whole(x) or high > 255:
        return f"Rescale them: divide by {high}, the maximum; or use {gaussian}."
    if high >= BRIGHT:
        pictures = " For pictures, --image HEIGHTxWIDTH divides by 255." if option else ""
        return f"Divide by 255.{pictures} If they are not grey levels, use {gaussian}."
    n = int(high)
    binomial = f"--likelihood binomial --trials {n}" if option else f"likelihood=Binomial({n})"
    return f"These look like counts 0..{n}: use {binomial}, or divide by {n}, or use {gaussian}."


def counts(argument: str, x: np.ndarray, n: int) -> None:
    """Raise ValueError unless all of x are whole numbers 0..n."""
    low, high, whole = x.min(), x.max(), (x == np.rint(x)).all()
    if low < 0 or high > n or not whole:
        option = argument.startswith("--")
        got = f"values from {low:g} to {high:g}" + ("" if whole else ", not all whole")
        larger = f"--trials {int(high)}" if option else f"Binomial({int(high)})"
        remedy = f"Use {larger}, or another likelihood." if whole and low >= 0 else "Give counts, or use another likelihood."
        refuse(argument, f"whole numbers 0..{n} for Binomial({n})", got, remedy)


def same_axes(first: Any, *others: Any, summed: Any = None) -> None:
    """Raise ValueError unless arrays have the same last axes: NumPy would silently stretch axes of length one.

    Leading axes may be missing. `summed` must have the shape of `first` without its last axis.
    """
    shape = getattr(first, "shape", ())
    for other in others:
        got = getattr(other, "shape", ())
        if got != shape and got != shape[len(shape) - len(got) :] and shape != got[len(got) - len(shape) :]:
            refuse("arrays", f"of the same last axes as {shape}", f"{got}", "Nothing is broadcast for you: np.repeat it.")
    if summed is not None and getattr(summed, "shape", ()) != shape[:-1]:
        refuse("a gradient", f"of shape {shape[:-1]}", f"{summed.shape}", "Nothing is broadcast for you: np.repeat it.")


def shared(x: Any, out: Any, *others: Any) -> bool:
    """Return True if `out` (L, 1, D) has one row for all B rows of x (B, D). Return False if `out` is (L, B, D).

    `others` are arrays of shape (B, D) or (L, B, D). Raises ValueError if the last axes of the arrays do not match.
    """
    one = out.ndim == 3 and out.shape[1] == 1 < len(x)
    if one:
        same_axes(out, x[0], *(other[:, :1] for other in others if other.ndim == 3))
        same_axes(x, *others)
    else:
        same_axes(out, x, *others)
    return one


def parts(vae: Any, params: type, likelihood: type, activations: Iterable[str]) -> None:
    """Raise ValueError if a model has params or a likelihood of a wrong class, or a wrong value of activation or noise."""
    remedy = "Make the model with VAE.init."
    instance("params", vae.params, params, remedy)
    if vae.params.layers.keys() != {"encoder", "decoder"}:
        refuse("params", "a Params with an encoder and a decoder", str(list(vae.params)), remedy)
    instance("likelihood", vae.likelihood, likelihood, likelihood_for(vae.likelihood))
    choice("activation", vae.activation, activations)
    if not isinstance(vae.noise, (bool, np.bool_)):
        refuse("noise", "True or False", repr(vae.noise), "False makes a deterministic autoencoder.")


def likelihood_for(value: Any) -> str:
    """Return a remedy for a `value` that is not a likelihood. The value may be the name or the class of a likelihood."""
    name = str(getattr(value, "__name__", value)).lower()
    meant = {"binomial": "Binomial(n) with the largest possible count n", "gaussian": "Gaussian('optimal')"}
    return f"Try likelihood={meant.get(name, 'Bernoulli()')}."


def data(vae: Any, x: Any) -> np.ndarray:
    """Return x (B, D) in the model's dtype. Raises ValueError for values that the likelihood does not allow."""
    x = real_array("x", x, (None, vae.features), vae.dtype)
    vae.likelihood.check(x)
    return x


def noise(vae: Any) -> None:
    """Raise ValueError for a model without noise: its encoder gives no distribution, so the loss gives no bound."""
    if not vae.noise:
        refuse("vae", "a model with noise", "a deterministic one", "Its encoder gives no distribution, so no bound.")


def sigma(value: Any) -> float | str:
    """Return the Gaussian likelihood's sigma: "learned", "optimal", or a number above 0 as a float."""
    if isinstance(value, str) and value not in ("learned", "optimal"):
        refuse("sigma", "a number, 'learned' or 'optimal'", repr(value), "Try sigma=1.")
    return value if isinstance(value, str) else real_number("sigma", value, above=0)


def batch(vae: Any, x: Any, eps: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return data x (B, D) and noise eps (L, B, J) in the dtype of a model. A deterministic model needs eps = 0."""
    x = vae.check_data(x)
    eps = real_array("eps", eps, (None, len(x), vae.latent), vae.dtype)
    if not vae.noise and eps.any():
        refuse("eps", "zero for a model without noise", "other numbers", "Use draw_noise.")
    return x, eps


def objective(vae: Any, known: Iterable[tuple[str, str]]) -> None:
    """Raise ValueError for an unknown objective or estimator of a model, and for settings that contradict "iwae"."""
    choice("objective", vae.objective, {name for name, _ in known})
    choice("estimator", vae.estimator, {name for _, name in known})
    iwae, needs = vae.objective == "iwae", " for the objective 'iwae'"
    if iwae and vae.estimator != "sampled":
        refuse("estimator", f"'sampled'{needs}", repr(vae.estimator), "Leave it out: the weights need log q(z|x).")
    if iwae and vae.beta != 1:
        refuse("beta", f"1{needs}", repr(vae.beta), "With another beta, minus the loss is not a bound.")
    if iwae and getattr(vae.likelihood, "sigma", None) == "optimal":
        remedy = "The optimal sigma is that of the ELBO, not of 'iwae'. Try sigma='learned'."
        refuse("sigma", f"a number or 'learned'{needs}", "'optimal'", remedy)
