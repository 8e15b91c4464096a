"""The dependencies between the numbers of a model, found by changing one input of a step and running the step again.

The steps are the assignments in the model's own method `forward`, taken from its source code. An arrow a -> b means: the
step that computes `b` reads `a`, and `b` changed when only `a` was changed. An input that is read but has no effect gets no
arrow, such as z in a step with the closed form of the KL.
"""

import ast
import inspect
import textwrap
from dataclasses import replace

import numpy as np

from minivae.vae import VAE

Arrow = tuple[str, str]
PARTS = ("encoder", "decoder")


def arrows(vae: VAE, x: np.ndarray, eps: np.ndarray, rng: np.random.Generator) -> set[Arrow]:
    """Return all arrows of `vae.forward(x, eps)`. An arrow leads from an input of a step to a result of the same step.

    Weights are inputs, too; see `changes`.
    """
    found: set[Arrow] = set()
    probe(vae, "forward", {"x": x, "eps": eps, "fit": True}, rng, found)
    return found


def probe(vae: VAE, method: str, known: dict, rng: np.random.Generator, found: set[Arrow]) -> dict:
    """Run the steps of a method one by one, and return {name: value} of its variables.

    After each step, change one input of the step and run the step again. Do so for every input that `changes` yields. If the
    result `b` differs after the input `a` was changed, add the arrow (a, b) to `found`.
    """
    function = getattr(type(vae), method)
    space = {"self": vae} | known
    for step in body_of(function):
        if not isinstance(step, ast.Assign):
            continue                                        # skip the docstring and the return
        made = {node.id for target in step.targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        read = {node.id for node in ast.walk(step.value) if isinstance(node, ast.Name)} & set(space)
        if inner := called_method(type(vae), step):
            space |= probe(vae, inner, {name: space[name] for name in read - {"self"}}, rng, found)
            continue
        result = run(step, function, space)
        for source, changed in changes(vae, read, space, rng):
            other = run(step, function, space | changed)
            found |= {(source, name) for name in made if not same(result[name], other[name])}
        space = result
    return space


def body_of(function) -> list[ast.stmt]:
    """Return the statements of a function as syntax trees."""
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body


def called_method(model: type, step: ast.Assign) -> str | None:
    """Return the name of the private method that a step calls; `probe` runs the steps of this method one by one.

    Return None if the step calls no private method. Also return None if the step and the method use different names for the
    arguments or for the results.
    """
    call = step.value
    if not (isinstance(call, ast.Call) and ast.unparse(call.func).startswith("self._")):
        return None
    method = call.func.attr
    function = getattr(model, method)
    last = body_of(function)[-1]
    same_arguments = [ast.unparse(name) for name in call.args] == list(inspect.signature(function).parameters)[1:]
    same_results = isinstance(last, ast.Return) and ast.unparse(last.value) == ast.unparse(step.targets[0])
    return method if same_arguments and same_results else None


def run(step: ast.stmt, function, space: dict) -> dict:
    """Run one step of a function; return {name: value} of all variables after this step."""
    after = dict(space)
    exec(compile(ast.Module([step], []), "<one step>", "exec"), function.__globals__, after)
    return after


def changes(vae: VAE, read: set[str], space: dict, rng: np.random.Generator):
    """Yield a pair for each input of a step: (name of the input, {variable: changed value}).

    An input is a variable, or all weights of the encoder or of the decoder. Sizes and flags are skipped. For weights, the
    changed variable is `self`.
    """
    for name in sorted(read - {"self"}):
        if isinstance(space[name], (np.ndarray, np.floating, list)):  # skip sizes and flags
            yield name, {name: perturbed(space[name], rng)}
    for part in PARTS if "self" in read else ():
        params = vae.params.copy()
        for name, array in params.items():
            if name.startswith(part):
                array[...] = perturbed(array, rng)
        yield f"{part} weights", {"self": replace(vae, params=params)}


def perturbed(value, rng: np.random.Generator):
    """Add normal noise to an array, or to every array of a list."""
    if isinstance(value, list):
        return [perturbed(item, rng) for item in value]
    return value + rng.normal(0, 0.5, np.shape(value))


def same(a, b) -> bool:
    """Return True if two arrays, or two lists of arrays, are exactly equal."""
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b)


def reaches(found: set[Arrow], start: str, end: str) -> bool:
    """Return True if a path of arrows leads from `start` to `end`."""
    ahead = {b for a, b in found if a == start}
    return end in ahead or any(reaches(found, middle, end) for middle in ahead)
