"""The submission's process: it executes one file, calls its functions with the given arrays, and writes what came back.

No expected value, variant or verdict enters this process. Arrays travel as raw bytes after a JSON header: no pickles.
"""

import copy
import json
import linecache
import os
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 20_000_000                                     # largest size of the results, and of all that is printed


# Arrays as bytes


def pack(value: Any) -> bytes:
    """Return a tree of tuples, lists, dicts, numbers, words and arrays as bytes: a JSON header, then raw arrays."""
    arrays: list[bytes] = []
    header = json.dumps(_described(value, arrays)).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(arrays)


def _described(value, arrays):
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_described(part, arrays) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[str(name), _described(part, arrays)] for name, part in value.items()]}
    if value is None or isinstance(value, str):
        return {"is": value}
    if isinstance(value, (bool, int, float, complex, np.generic, np.ndarray)):
        array = np.asarray(value)
        if array.dtype.kind in "biufc" and array.dtype.itemsize <= 16:
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            arrays.append(array.tobytes())
            return {"array": array.dtype.str, "shape": array.shape}
    return {"other": "..." if value is Ellipsis else type(value).__name__}


class Other(str):
    """The name of the type of an object that is not an array."""


def unpack(data: bytes) -> Any:
    """Return the tree from which `pack` made these bytes. Raises ValueError for other bytes."""
    try:
        size = int.from_bytes(data[:8], "little")
        rest = memoryview(data)[8 + size :]
        return _restored(json.loads(data[8 : 8 + size]), [rest])
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise ValueError(f"no packed arrays: {error}") from None


def _restored(node, rest):
    (kind, value), *_ = node.items()
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_restored(part, rest) for part in value)
    if kind == "dict":
        return {name: _restored(part, rest) for name, part in value}
    if kind != "array":
        return Other(value) if kind == "other" else value
    dtype, shape = np.dtype(value), tuple(map(int, node["shape"]))
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    if dtype.kind not in "biufc" or size < 0 or size > len(rest[0]):
        raise ValueError("an array is longer than its bytes")
    array = np.frombuffer(rest[0][:size], dtype).reshape(shape).copy()
    rest[0] = rest[0][size:]
    return array


# Calls. The judge calls the package's own functions with the same adapters.


def plain(function: Callable, arguments: list) -> Any:
    """Call a function of arrays."""
    return function(*arguments)


def of_model(function: Callable, arguments: list) -> Any:
    """Call a model's `backward` after its own forward pass; return the gradient in every parameter."""
    from minivae.likelihood import make_likelihood
    from minivae.params import Params, shapes_of
    from minivae.vae import VAE

    settings, flat, x, eps = arguments
    settings = dict(settings)
    name, *sigma = settings.pop("likelihood")
    kind = make_likelihood(name, **dict(zip(("sigma",), sigma)))
    hidden = [int(width) for width in settings.pop("hidden")]
    shapes = shapes_of(x.shape[1], eps.shape[2], hidden, kind.scale)
    vae = VAE(Params(shapes, flat), kind, beta=float(settings.pop("beta")), **settings)
    gradient = function(vae, x, eps, vae.forward(x, eps), vae.params.zeros_like())
    return tuple(gradient[name].copy() for name in shapes) if isinstance(gradient, Params) else gradient


def of_adam(function: Callable, arguments: list) -> Any:
    """Call `step` of an optimiser once for each gradient; return the parameters after each step."""
    from minivae.adam import Adam
    from minivae.params import Params

    flat, gradients, settings = arguments
    theta = flat.copy()                                     # must be changed in place
    params = Params({"theta": flat.shape}, theta)
    optimiser, after = Adam(params, **{name: float(value) for name, value in settings.items()}), []
    for gradient in gradients:
        function(optimiser, params.like(gradient))
        after.append(theta.copy())
    return tuple(after)


def of_check(function: Callable, arguments: list) -> Any:
    """Call a learner's check on copies of `gaussian`; return an array, True for each copy in which it finds a fault."""
    from minivae.museum.exhibits import find
    from minivae.museum.patched import load

    found = []
    for name in arguments[0]:
        changes = [change for change in find(name).changes if change.module == "gaussian"] if name else []
        module = load(["minivae.gaussian"], changes)["minivae.gaussian"]
        try:
            found.append(function(module) is False)
        except Exception as error:
            if isinstance(error, NameError) or not name and not isinstance(error, AssertionError):
                raise                                       # a mistake of the check itself
            found.append(True)
    return np.array(found)


HOW = {"plain": plain, "model": of_model, "adam": of_adam, "check": of_check}


def perform(calls: list[dict], names: dict) -> list[dict]:
    """Make every call with a copy of its arguments; return the result and the arguments afterwards, or an error.

    What NumPy warns of, and where, is returned too: it is the true cause of nan and inf.
    """
    done = []
    for call in calls:
        arguments, file = copy.deepcopy(call["arguments"]), call.get("file", "")
        arrays = same_arrays(arguments)                     # if the function puts new arrays in a list, the old ones count
        try:
            with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
                warnings.simplefilter("always")
                result = HOW[call["how"]](names[call["function"]], arguments)
            warned = [(f"line {each.lineno}: " if each.filename == file else "") + str(each.message)
                      for each in caught if each.category is RuntimeWarning]  # fmt: skip
            done.append({"result": result, "after": arrays, "warned": list(dict.fromkeys(warned))})
        except (Exception, SystemExit) as error:
            if isinstance(error, KeyError) and call["function"] not in names:
                error = NameError(f"the file has no function {call['function']}")
            done.append({"error": in_words(error, file)})
    return done


def same_arrays(tree: Any) -> Any:
    """Return copies of nested lists and tuples with the same arrays in them."""
    return type(tree)(map(same_arrays, tree)) if isinstance(tree, (list, tuple)) else tree


def in_words(error: BaseException, file: str) -> str:
    """Return the error's type and message, the last line of the submission in its traceback, and the shapes in it."""
    places = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    said = ": ".join(filter(None, [type(error).__name__, re.split(", with gufunc|, and the inputs", str(error))[0]]))
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"line {error.lineno}: {said}"
    if not places:
        return said
    frame, line = places[-1]
    text = linecache.getline(file, line).strip()
    if "^" in text and isinstance(error, TypeError):
        said += ". A power is `**` in Python, not `^`"
    arrays = {name: frame.f_locals.get(name) for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text.partition("#")[0]))}
    shapes = [f"{name} is {value.shape}" for name, value in arrays.items() if isinstance(value, np.ndarray) and value.ndim]
    return f"line {line}: {said}" + (f". In `{text.partition('  #')[0].strip()}`, {', '.join(shapes)}" if shapes else "")


def limit(seconds: int, megabytes: int) -> None:
    """Limit this process: CPU seconds, memory, size of files. Windows has no such limits, macOS none of memory."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_AS": megabytes << 20, "RLIMIT_FSIZE": MOST_BYTES, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (ValueError, OSError):                       # the system's own limit is lower
            pass


def main(folder: str, file: str, seconds: str, megabytes: str) -> None:
    """Execute a file and make the calls that are read from stdin; write the results to stdout."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)                                           # what the submission prints goes to stderr
    calls = unpack(sys.stdin.buffer.read())
    limit(int(seconds), int(megabytes))
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    module = types.ModuleType("submission")
    module.__file__, sys.modules["submission"] = file, module
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        results = [{"error": in_words(error, file)}]
    else:
        results = perform([call | {"file": file} for call in calls], vars(module))
    out.write(pack(results))
    out.flush()
    sys.stdout.flush()
    os._exit(0)                                             # threads of the submission are not waited for
