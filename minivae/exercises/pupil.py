"""The program in a submission's process: it executes one file, calls its functions, and writes the results.

The judge sends only calls to this process: no correct result and no verdict. In the bonus exercise, a call contains names
of bugs, and this process makes a copy of `gaussian` with each bug. Calls and results are lines of JSON: no pickles.
"""

import ast
import base64
import contextlib
import copy
import json
import linecache
import os
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from minivae.checks import refuse

MOST_BYTES = 25_000_000                                     # largest size of the results, and of the printed text


# Arrays as text


class Other(str):
    """A text that replaces an object, because JSON cannot store the object.

    The text is the name of the object's type or dtype. If the learner has not yet replaced a `...`, the object is Python's
    `...`, and the text is "...".
    """


def pack(value: Any) -> bytes:
    """Return a tree of tuples, lists, dicts, numbers, strings and arrays as one line of JSON."""
    return json.dumps(described(value)).encode()


def unpack(line: bytes) -> Any:
    """Return the tree that `pack` wrote as a line of JSON.

    A number becomes an array of shape (). An object that JSON cannot store becomes an `Other`. Raises ValueError if the line
    does not have the format of `pack`.
    """
    try:
        return restored(json.loads(line))
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise ValueError(f"no packed arrays: {error}") from None


def described(value: Any) -> dict:
    """Return a tree as plain JSON types: each node has its kind and its parts; the bytes of an array are in base64."""
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [described(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[str(name), described(part)] for name, part in value.items()]}
    if value is None or isinstance(value, str):
        return {"is": value}
    if isinstance(value, (bool, int, float, complex, np.generic, np.ndarray)):
        array = np.asarray(value)
        if array.dtype.kind in "biufc" and array.dtype.itemsize <= 16:
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            return {"array": [array.dtype.str, array.shape, base64.b64encode(array.tobytes()).decode()]}
    kind = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    return {"other": "..." if value is Ellipsis else kind}


def restored(node: dict) -> Any:
    """Return the tree that this node describes."""
    (kind, value), *_ = node.items()
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(map(restored, value))
    if kind == "dict":
        return {name: restored(part) for name, part in value}
    if kind != "array":
        return Other(value) if kind == "other" else value
    dtype, shape, data = value
    if np.dtype(dtype).kind not in "biufc":
        raise ValueError("the entries of an array are not numbers")
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()


# Adapters: each calls a function of the learner. The judge uses the same adapters to call the package's functions.


def plain(function: Callable, arguments: list) -> Any:
    """Adapter for most exercises: call a function with the given arguments."""
    return function(*arguments)


def of_model(function: Callable, arguments: list) -> Any:
    """Call a learner's `backward` after the package's forward pass; return the gradient of the loss for every parameter."""
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
    """Call a learner's `step` once for each gradient; return the parameters after each step."""
    from minivae.adam import Adam
    from minivae.params import Params

    flat, gradients, settings = arguments
    theta = flat.copy()                                     # the function must change this array in place
    params = Params({"theta": flat.shape}, theta)
    optimiser, after = Adam(params, **{name: float(value) for name, value in settings.items()}), []
    for gradient in gradients:
        function(optimiser, params.like(gradient))
        after.append(theta.copy())
    return tuple(after)


def of_check(function: Callable, arguments: list) -> Any:
    """Call a learner's check with several versions of the module `gaussian`. Return an array: True for rejected versions.

    There is one version for each name in `arguments[0]`. For the name "", the version has no bug. For the name of a bug of
    the museum, the version has this bug.
    """
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
                raise                                       # a mistake in the check itself, not a rejection of the module
            found.append(True)
    return np.array(found)


HOW = {"plain": plain, "model": of_model, "adam": of_adam, "check": of_check}


def perform(calls: list[dict], names: dict) -> Iterator[dict]:
    """Make every call. For each call, yield a dict: the result, the arguments after the call, warnings and some variables.

    If the whole call fails, the dict contains only the error. If an assignment in the function raises an error, the error is
    stored in "failed". Then the value in this assignment is replaced by `...`, and the function is called again.
    """
    for call in calls:
        if callable(function := names.get(call["function"])):
            yield one_call(call, function, names)
        else:
            defined = ", ".join(name for name, value in names.items() if isinstance(value, types.FunctionType)
                            and value.__module__ == names.get("__name__"))  # fmt: skip
            known = f"; your functions are {defined}" if defined else ""
            yield {"error": f"there is no function {call['function']}{known}"}


def one_call(call: dict, function: Callable, names: dict) -> dict:
    """Call the function with a copy of the arguments. If an assignment fails, replace its value by `...` and call again."""
    file, failed = file_of(function), {}
    tree = function_in(file, call["function"]) if call["how"] in ("plain", "model") else None
    while True:
        arguments, seen = copy.deepcopy(call["arguments"]), {}
        # `arrays` keeps the given arrays for the judge, even if the function puts new arrays into `arguments`.
        arrays = same_arrays(arguments)
        try:
            with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
                warnings.simplefilter("always")
                with watching(function, seen):
                    result = HOW[call["how"]](function, arguments)
        except (Exception, SystemExit) as error:
            said, missed = in_words(error, file), ""
            if tree and places(error, file):
                missed = without(tree, places(error, file)[-1][1])
            if not missed:
                return {"error": said}
            value = f"{', '.join(failed)}, which failed" if failed else "a value that is still `...`"
            failed[missed] = f"uses {value}" if "ellipsis" in said else said
            function = again(tree, file, names)
        else:
            warned = [(f"line {each.lineno}: " if each.filename == file else "") + str(each.message)
                      for each in caught if each.category is RuntimeWarning]  # fmt: skip
            return {"result": result, "after": arrays, "warned": list(dict.fromkeys(warned)), "failed": failed,
                    "replaced": any(a is not b for a, b in zip(leaves(arrays), leaves(arguments))),
                    "steps": steps(seen, call.get("steps", ()))}


@contextlib.contextmanager
def watching(function: Callable, seen: dict) -> Iterator[None]:
    """Store a function's variables in `seen` when the function returns. An earlier profiler still gets every event."""
    code, before = getattr(function, "__code__", None), profiler()

    def look(frame, event, value):
        if event == "return" and frame.f_code is code:
            seen.update(frame.f_locals)
        if before:
            before(frame, event, value)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def profiler() -> Callable | None:
    """Return this thread's profile function, or None. Raises ValueError for a C function: Python cannot restore it."""
    before = sys.getprofile()
    if before is not None and not callable(before):
        remedy = "Stop it, or use Python 3.12 or newer, where cProfile works."
        refuse("the active profiler", "a Python function", type(before).__name__, remedy)
    return before


def steps(seen: dict, wanted: Sequence[str]) -> dict:
    """Return the wanted variables that are numbers or arrays; "self.t" is the attribute t of self."""
    found = {}
    for name in wanted:
        first, _, attribute = name.partition(".")
        value = getattr(seen.get(first), attribute, None) if attribute else seen.get(first)
        if isinstance(value, (int, float, np.ndarray, np.generic)) and np.asarray(value).dtype.kind in "fi":
            found[name] = value
    return found


def file_of(function: Callable) -> str:
    """Return the file in which a function is defined, or the name of a notebook's cell."""
    return getattr(getattr(function, "__code__", None), "co_filename", "")


def function_in(file: str, name: str) -> ast.FunctionDef | None:
    """Return the syntax tree of a function in a file or notebook cell; None if the source has no such function."""
    try:
        body = ast.parse("".join(linecache.getlines(file))).body
    except SyntaxError:                                     # a cell with other syntax, such as %pip
        return None
    return next((node for node in body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def without(tree: ast.FunctionDef, line: int) -> str:
    """Replace the value of the assignment in this line by `...`; return the assigned names.

    If the line does not assign to plain names, change nothing and return "".
    """
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.lineno <= line <= node.end_lineno:
            parts = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets[:1]
            names = [ast.unparse(part).lstrip("*") for part in parts]
            if all(map(str.isidentifier, names)):
                blank = ast.parse(", ".join(["..."] * len(parts)), mode="eval").body
                node.value = ast.copy_location(blank, node.value)
                return ", ".join(names)
    return ""


def again(tree: ast.FunctionDef, file: str, names: dict) -> Callable:
    """Compile the changed tree of a learner's function. The new function can use the names defined in the learner's file."""
    local: dict = {}
    exec(compile(ast.fix_missing_locations(ast.Module([tree], [])), file, "exec"), names, local)
    return local[tree.name]


def same_arrays(tree: Any) -> Any:
    """Copy nested lists and tuples, but not the arrays in them."""
    return type(tree)(map(same_arrays, tree)) if isinstance(tree, (list, tuple)) else tree


def leaves(tree: Any) -> list:
    """Return the leaves of nested lists, tuples and dicts."""
    tree = list(tree.values()) if isinstance(tree, dict) else tree
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


def places(error: BaseException, file: str) -> list[tuple[types.FrameType, int]]:
    """Return, from the traceback of an error, the frames of the submission, each with its line number."""
    return [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]


def in_words(error: BaseException, file: str) -> str:
    """Describe an error: type, message, the submission's last line in the traceback, and shapes of arrays in this line."""
    said = ": ".join(filter(None, [type(error).__name__, re.split(", with gufunc|, and the inputs", str(error))[0].strip()]))
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"line {error.lineno}: {said}"
    if not (found := places(error, file)):
        return said
    frame, line = found[-1]
    text = linecache.getline(file, line).partition("  #")[0].strip()
    if "^" in text and isinstance(error, TypeError):
        said += ". A power is `**` in Python, not `^`"
    if "item assignment" in said:
        said += ". Write into the array itself: `name[key][...] = value`"
    shapes = [f"{name} is {value.shape}" for name, value in named_arrays(text, frame) if value.ndim]
    return f"line {line}: {said}" + (f". In `{text}`, {', '.join(shapes)}" if shapes else "")


def named_arrays(text: str, frame: types.FrameType) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and value of every array in a line of code: variables, attributes and entries such as `hs[i]`."""
    try:
        nodes = list(ast.walk(ast.parse(f"{text} pass" if text.endswith(":") else text)))
    except SyntaxError:                                     # the line is a part of a longer statement
        return
    nodes = [node for node in nodes if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript))]
    for word in dict.fromkeys(map(ast.unparse, sorted(nodes, key=lambda node: node.col_offset))):
        with contextlib.suppress(Exception):
            if isinstance(value := eval(word, frame.f_globals, frame.f_locals), np.ndarray):
                yield word, value


def limit(seconds: int, megabytes: int) -> None:
    """Limit this process: CPU seconds, memory, size of files. Windows has no such limits; macOS has no limit of memory."""
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
    """Read calls from stdin and execute a file; then make the calls, and write their results to stdout."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)                                           # text that the submission prints goes to stderr
    calls = unpack(sys.stdin.buffer.read())
    limit(int(seconds), int(megabytes))
    sys.dont_write_bytecode = True
    sys.path.insert(0, folder)
    module = types.ModuleType("submission")
    module.__file__, sys.modules["submission"] = file, module
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), vars(module))
        results = chain([{}], perform(calls, vars(module)))
    except (Exception, SystemExit) as error:
        results = [{"error": in_words(error, file)}]
    for line in map(pack, results):                         # one by one: if a call never ends, earlier results are kept
        out.write(line + b"\n")
        out.flush()
    sys.stdout.flush()
    os._exit(0)                                             # does not wait for threads of the submission
