"""Compare the user's gradient with finite differences of the user's own loss, and describe the difference."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minivae.doctor.calls import Call, Failed, Raised, in_users_words, mutation, unsteady
from minivae.doctor.findings import Finding
from minivae.doctor.words import Probe, close, describe, ratio
from minivae.ops import sigmoid

NAMES = ("x", "output", "mu", "log_var")
OTHER = {"B": 5, "D": 11, "J": 2}                           # sizes of the arrays in the second comparison
MOST = 60                                                   # in a larger array, only MOST / 2 random entries are tested


def slope(f: Callable[[NDArray], float], at: NDArray, step: float, places: Iterable[tuple] = ()) -> NDArray:
    """Return the gradient of f at an array, or only its entries at `places`, by central differences.

    The slopes for two step sizes are combined, so that the error is of order step^4. If the two slopes disagree, a kink
    (of a ReLU) may be near, so smaller steps are tried. They are tried only in double precision, when `step` < 0.01.
    """
    found = []
    for place in places or np.ndindex(at.shape):
        for smaller in (1, 100, 1000) if step < 0.01 else (1,):
            moved, values = at.copy(), []
            for k in (1, -1, 2, -2):
                moved[place] = at[place] + k * step / smaller
                values.append(f(moved))
            one, two = (smaller * (values[i] - values[i + 1]) / (2 * (1 + i / 2) * step) for i in (0, 2))
            if abs(one - two) <= 1e-4 * (1 + abs(one)):
                break
        found.append((4 * one - two) / 3)
    return np.array(found) if places else np.reshape(found, at.shape)


def settings(call: Call) -> tuple[float, float]:
    """Return (step, tolerance) for a loss in single or double precision."""
    return (0.03, 2e-2) if call.single else (1e-3, 1e-6)


def measure(loss: Call, call: Call, rng: np.random.Generator, known: tuple) -> list[Finding]:
    """Compare the user's gradient(x, output, mu, log_var) with finite differences of the user's loss.

    `known` has three elements: the array sizes of the first comparison, such as {"B": 3, "D": 7, "J": 5}; True if x must
    be binary; True if `loss` returns an ELBO.
    """
    base, binary, ascends = known
    gathered: dict[str, list] = {}
    step, rel = settings(loss)
    for sizes in (base, OTHER | ({"D": base["D"]} if base["D"] > 50 else {})):
        arguments = dict(zip(NAMES, draw(rng, sizes, binary)))
        given, whole = by_name(call.raw(*arguments.values()), arguments), {}
        for name in given:
            if arguments[name].size > 400:
                raise Failed(f"gradient of {name}: more than 400 entries. Do not set `features`, `latent` or `batch` in "
                             "the file, and write a loss that works for any size.")

            def f(moved, name=name, arguments=arguments):
                return loss.whole(*(arguments | {name: moved}).values()).mean()

            whole[name] = slope(f, arguments[name], step)
        # Two other gradients are right, too: if `loss` returns B numbers, the gradient of their sum; if `loss` returns an
        # ELBO, the gradient of minus the ELBO.
        for factor in [sizes["B"]] * bool(loss.whole(*arguments.values()).ndim) + [-1] * ascends:
            if all(close(given[name], factor * right, rel) for name, right in whole.items()):
                whole = {name: factor * right for name, right in whole.items()}
        for name, right in whole.items():
            others = {f"the gradient in {other}": array for other, array in whole.items() if other != name}
            gathered.setdefault(name, []).append((Probe(given[name], right, sizes), functions(*arguments.values(), name),
                                                  paths(arguments, name, right), others))
    return mutation(call, NAMES) + compared(gathered, call.name, rel)


def draw(rng: np.random.Generator, sizes: Mapping[str, int], binary: bool) -> list[NDArray]:
    """Return x, output, mu and log_var. Every |x - output| is at least 0.05: an absolute error has a kink at 0."""
    x, o = rng.uniform(0.1, 0.9, (2, sizes["B"], sizes["D"]))
    o = np.where(np.abs(x - o) < 0.05, x + 0.08 * np.where(x < 0.5, 1, -1), o)
    shape = sizes["B"], sizes["J"]
    return [(x > 0.5).astype(float) if binary else x, o, rng.uniform(-2, 2, shape), rng.uniform(0.3, 1.8, shape)]


def by_name(result: Any, arguments: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return {name of an argument: gradient in this argument} from the result of the user's function."""
    if not isinstance(result, dict):
        parts = result if isinstance(result, tuple) else (result,)
        result = dict(zip(NAMES[4 - len(parts):], parts)) if len(parts) in (3, 4) else {}
    given = {name: result[name] for name in NAMES if name in result}
    if not given:
        raise Failed("gradient must return arrays for output, mu and log_var, in this order, or a dict with these names; "
                     "got neither.")
    for name, array in given.items():
        if array.size != arguments[name].size:
            raise Failed(f"gradient: the array for {name} must have the shape {arguments[name].shape}; got {array.shape}.")
    return given


def functions(x: NDArray, o: NDArray, m: NDArray, s: NDArray, name: str) -> dict[str, NDArray]:
    """Return factors that a wrong gradient often lacks, or contains twice."""
    if name in ("x", "output"):
        p = sigmoid(o)
        known = {"o (1 - o)": o * (1 - o), "s (1 - s), s = sigmoid(o)": p * (1 - p), "sigmoid(o)": p, "1 - o^2": 1 - o * o,
                 "(x - o)": x - o, "x": x, "o": o}  # fmt: skip
    else:
        known = {"sigma": np.exp(s / 2), "exp(log_var)": np.exp(s), "log_var": s, "mu": m,
                 "s (1 - s), s = sigmoid(log_var)": sigmoid(s) * sigmoid(-s)}
    known |= {f"1 / ({n})": 1 / values for n, values in known.items()}
    scaled = {f"{c} {n}": number * values for n, values in known.items() for c, number in (("1/2", 0.5), ("2", 2.0))}
    return known | scaled


def paths(arguments: Mapping[str, NDArray], name: str, right: NDArray) -> dict[str, NDArray]:
    """Return the right array and other arrays of its shape. A wrong gradient may be a sum of multiples of these arrays."""
    known = arguments | {"exp(log_var)": np.exp(arguments["log_var"]), "1": np.ones_like(right)}
    more = {"x": (), "output": ("x", "output"), "mu": ("mu", "1"), "log_var": ("exp(log_var)", "1")}[name]
    return {"the right array": right} | {n: known[n] for n in more if ratio(known[n], right) is None}


def compared(gathered: Mapping[str, list], about: str, rel: float) -> list[Finding]:
    """Return a finding for each array of the gradient.

    `gathered` maps the name of an array to a list of measurements, made with different sizes of the inputs. A measurement is
    a tuple (probe, functions, paths, others); `describe` explains these four.
    """
    found = []
    for name, seen in gathered.items():
        probes, *known = map(list, zip(*seen))
        given, right, _ = probes[0]
        verdict, words = "wrong", f"the gradient in {name} is not that of your loss; "
        place = np.argmax(np.abs(given - right)) if given.shape == right.shape else 0
        if all(close(probe.given, probe.right, rel) for probe in probes):
            verdict, words, place = "is", f"the gradient in {name} is right", np.argmax(np.abs(right))
        elif not np.isfinite(given).all():
            words += "it has NaN or infinite entries"
        elif (said := describe(probes, *known, rel)) is None:
            words += "the doctor does not recognise the difference"
        elif said.startswith("right, except"):
            words += f"it is {said}"
        else:
            words += f"what you return {'is' if said == 'zero everywhere' else 'equals'} {said}"
        found.append(Finding(verdict, about, "gradient", words, given.flat[place], right.flat[place],
                             "by finite differences of your loss"))
    return found


# The functions below check the user's loss_and_gradient(params, x, eps).


def params_of(given: Any, file: str | None) -> Any:
    """Return the `params` that the user gives; if this is a function, call it and return its result."""
    try:
        return given() if callable(given) else given
    except Exception as error:
        raise Raised(in_users_words(error, file, "params")) from None


def leaves(params: Any, prefix: str = "params") -> dict[str, NDArray]:
    """Return {a name such as "params['W']": array} for the arrays inside dicts, lists and tuples."""
    if isinstance(params, (dict, list, tuple)):
        items = params.items() if isinstance(params, dict) else enumerate(params)
        return {k: v for key, part in items for k, v in leaves(part, f"{prefix}[{key!r}]").items()}
    try:
        return {prefix: np.asarray(params, dtype=np.float64)}
    except (TypeError, ValueError):
        raise Failed(f"{prefix} must be an array of numbers; got {type(params).__name__}. Convert it to NumPy.") from None


def rebuilt(params: Any, arrays: Mapping[str, NDArray], prefix: str = "params") -> Any:
    """Return `arrays` inside dicts, lists and tuples with the structure of `params`."""
    if isinstance(params, dict):
        return {key: rebuilt(part, arrays, f"{prefix}[{key!r}]") for key, part in params.items()}
    if isinstance(params, (list, tuple)):
        return type(params)(rebuilt(part, arrays, f"{prefix}[{i}]") for i, part in enumerate(params))
    return arrays[prefix]


def sizes_of(call: Call, params: Any, given: Mapping) -> tuple[int, int] | None:
    """Return (features, latent) as the user gives them.

    If one or both are missing, try the sizes of all arrays in params. Return the pair if only one pair works, else None.
    """
    if "features" in given and "latent" in given:
        return given["features"], given["latent"]
    sizes = sorted({n for array in leaves(params).values() for n in array.shape})
    found = []
    for pair in itertools.product(*([given[name]] if name in given else sizes for name in ("features", "latent"))):
        with contextlib.suppress(Failed):
            call.raw(params, np.full((3, pair[0]), 0.5), np.zeros((3, pair[1])))
            found.append(pair)
    return found[0] if len(found) == 1 else None


def measure_model(call: Call, params: Any, features: int, latent: int, rng: np.random.Generator) -> list[Finding]:
    """Compare the two results of loss_and_gradient: the gradient must agree with finite differences of the loss.

    The comparison is made at `params` plus random numbers.
    """
    arrays = {name: np.asarray(array + rng.normal(0, 0.3, array.shape)) for name, array in leaves(params).items()}
    gathered: dict[str, list] = {}
    for rows in (3, 5):
        x, eps = rng.uniform(0.06, 0.94, (rows, features)), rng.standard_normal((rows, latent))
        result = call.raw(rebuilt(params, arrays), x, eps)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Failed("loss_and_gradient must return (loss, gradient). Return both; the gradient has the structure of "
                         "params.")
        loss = Call(call.name, lambda p, *rest: call.function(p, *rest)[0], call.file)
        if trouble := unsteady(loss, rebuilt(params, arrays), x, eps):
            return [trouble]
        given = leaves(result[1])
        missing = [name for name in arrays if name not in given or given[name].size != arrays[name].size]
        if missing:
            raise Failed(f"loss_and_gradient: the gradient must have the arrays and shapes of params; {missing[0]} differs. "
                         "Return one array for each array of params.")
        step, rel = settings(loss)
        for name, array in arrays.items():
            places = []                                     # empty: all entries are tested
            if array.size > MOST:
                chosen = sorted(rng.choice(array.size, MOST // 2, replace=False))
                places = [np.unravel_index(i, array.shape) for i in chosen]

            def f(moved, name=name, eps=eps):
                return loss.whole(rebuilt(params, arrays | {name: moved}), x, eps)

            values, right, others = given[name].reshape(array.shape), slope(f, array, step, places), {}
            if places:
                values = values[tuple(zip(*places))]
            if not close(values, right, rel):
                silent = slope(lambda p: f(p, eps=0 * eps), array, step, places)
                others["the right gradient without noise (eps = 0)"] = silent
            gathered.setdefault(name, []).append((Probe(values, right, {"B": rows}), {}, {}, others))
    return compared(gathered, call.name, rel)
