"""One training step of a VAE small enough for paper, line by line, and its gradient four ways.

The lines are those of minivae itself: Python says before every line which numbers the one before it has made. So what
is shown cannot differ from what runs.
"""

import dataclasses
import inspect
import linecache
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from derivations.numerics import LINE, normal
from minivae import gaussian, likelihood, ops, vae
from minivae.likelihood import make_likelihood
from minivae.vae import VAE

SHOWN = (ops, gaussian, likelihood, vae)                    # the modules whose lines are shown
WHOLE = ("sigmoid", "softplus", "inner", "squared_error", "log_binomials")              # shown by their results alone
SETTINGS = {"bernoulli": {}, "binomial": {"n": 4}, "gaussian": {"sigma": "learned"}}
ID = re.compile(r"\b(?:odaibo|lm|hong|cards|beyond)\.\w+")
HEADS = ("complex step", "central difference", "integral over z")
ENOUGH = {"complex step": 11, "central difference": 5, "integral over z": 9}            # digits that must agree


class Problem(NamedTuple):
    """A model, one datum, one draw of noise: numbers with one decimal each."""

    vae: VAE
    x: NDArray
    eps: NDArray


class Made(NamedTuple):
    """What one line has made: where the line is, its number among the seven steps, name, value, ledger ids."""

    depth: int
    function: str
    file: str
    line: int
    source: str
    step: str
    name: str
    value: NDArray
    ids: tuple[str, ...]


def problem(name: str = "bernoulli", seed: int = 0, estimator: str = "analytic") -> Problem:
    """D = 3, H = 2, J = 1: weights, biases, datum and noise at random, and short."""
    rng = np.random.default_rng(seed)
    kind = make_likelihood(name, **SETTINGS.get(name, {}))
    model = VAE.init(rng, 3, 1, (2,), dtype=np.float64, likelihood=kind, estimator=estimator)
    short = rng.integers(1, 10, model.params.flat.shape) * rng.choice([-0.1, 0.1], model.params.flat.shape)
    model.params.flat[...] = np.round(short, 1)
    data = {"bernoulli": [[1, 0, 1]], "binomial": [[3, 0, 2]], "gaussian": [[0.5, -0.2, 0.9]]}
    return Problem(model, model.check_data(np.array(data[kind.name], float)), np.round(rng.normal(size=(1, 1, 1)), 1))


# Stepping through


class Watched:
    """A function of minivae that is running: what it held before its current line, and what is cited by whom it calls."""

    def __init__(self, frame: FrameType, depth: int):
        self.depth, self.line, self.held = depth, frame.f_lineno, numbers_of(frame)
        self.own, self.called, self.whole = cited(frame), (), frame.f_code.co_name in WHOLE

    @property
    def ids(self) -> tuple[str, ...]:
        """The ledger ids of the functions called, else its own."""
        return self.called or self.own


class Recorder:
    """Follows a call with Python's own trace function, and notes every number that a line makes."""

    def __init__(self):
        self.files, self.stack, self.made = {module.__file__ for module in SHOWN}, [], []

    def __call__(self, frame: FrameType, event: str, _):
        """A function begins: it is watched if it is minivae's mathematics, and not inside one that is shown whole."""
        code = frame.f_code
        if code.co_filename not in self.files or code.co_name.startswith("<") or (self.stack and self.stack[-1].whole):
            return None
        self.stack.append(Watched(frame, len(self.stack)))
        return self.at_line

    def at_line(self, frame: FrameType, event: str, returned):
        """A line has run: note what is new."""
        if event == "exception":
            return self.at_line
        watched = self.stack[-1]
        now = numbers_of(frame)
        for name, value in () if watched.whole else now.items():
            if name not in watched.held or not np.array_equal(watched.held[name], value):
                self.note(frame, watched, name, value)
        if event == "return":
            self.stack.pop()
            if self.stack:
                self.stack[-1].called += tuple(id for id in watched.ids if id not in self.stack[-1].called)
            if is_number(returned) and not any(returned is value for value in frame.f_locals.values()):
                self.note(frame, watched, f"{frame.f_code.co_name}(...)", np.array(returned))
        watched.held, watched.line, watched.called = now, frame.f_lineno, ()
        return self.at_line

    def note(self, frame: FrameType, watched: Watched, name: str, value: NDArray) -> None:
        """Add a number, unless it has been seen by this name. What a function returned is named by who called it."""
        inner = [made for made in self.made if made.depth > watched.depth]
        if any(made.name == name and np.array_equal(made.value, value) for made in inner[-4:]):
            return
        if self.made and self.made[-1].name.endswith("(...)") and np.array_equal(self.made[-1].value, value):
            self.made.pop()
        source, _, comment = linecache.getline(frame.f_code.co_filename, watched.line).strip().partition("  #")
        number = re.match(r"\s*(\d)(?:, \d)*\b(?! *x)", comment) if "self" in frame.f_locals else None
        step = number[1] if number else ""
        place = frame.f_code.co_name, Path(frame.f_code.co_filename).name, watched.line
        self.made.append(Made(watched.depth, *place, source.strip(), step, name, value, watched.ids))


def record(call: Callable[[], object]) -> list[Made]:
    """Run a call; every number that a line of minivae's mathematics makes on the way, in order."""
    recorder, before = Recorder(), sys.gettrace()
    sys.settrace(recorder)
    try:
        call()
    finally:
        sys.settrace(before)
    return recorder.made


def cited(frame: FrameType) -> tuple[str, ...]:
    """The ledger ids in the docstring of a running function."""
    code, model = frame.f_code, frame.f_locals.get("self")
    homes = [vars(type(model)), frame.f_globals] if model is not None else [frame.f_globals]
    found = (f for home in homes for f in home.values() if getattr(f, "__code__", None) is code)
    return tuple(dict.fromkeys(ID.findall(inspect.getdoc(next(found, None)) or "")))


def numbers_of(frame: FrameType) -> dict[str, NDArray]:
    """Copies of all numbers a function holds under a name of their own; of a list of arrays, of each of them."""
    found, seen = {}, set()
    for name, value in frame.f_locals.items():
        if name in ("_", "into", "weight", "bias") or id(value) in seen:
            continue                                        # thrown away, or known by another name
        seen.add(id(value))
        if is_number(value):
            found[name] = np.array(value)
        elif isinstance(value, (list, tuple)) and not isinstance(value, vae.Forward):
            found |= {f"{name}[{i}]": np.array(item) for i, item in enumerate(value) if is_number(item)}
    return found


def is_number(value) -> bool:
    """Whether it is one of the numbers of the model; a size is none."""
    return isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f"


# The gradient four ways


class Gradient(NamedTuple):
    """One number of the gradient: by hand and by two other ways at this noise; by hand and as an integral, averaged."""

    name: str
    by_hand: float
    central_difference: float
    complex_step: float
    averaged: float
    integral: float


def four_ways(given: Problem) -> list[Gradient]:
    """The gradient of the loss in every parameter.

    At the given noise: by hand, by complex step, by central difference. On average over the noise: by hand at the
    nodes of a quadrature, and as the gradient of the integral over z, in which nothing is reparameterised.
    """
    model, x, eps = given
    by_hand = model.gradient(x, eps).flat
    loss = lambda flat: with_numbers(model, flat).forward(x, eps).loss  # noqa: E731
    by_step = derivative(loss, model.params.flat, 1e-30j)
    by_difference = derivative(loss, model.params.flat, 1e-5)
    weights = normal(LINE, 0, 1) * (LINE[1] - LINE[0])
    averaged = sum(w * model.gradient(x, np.full_like(eps, node)).flat for node, w in zip(LINE, weights))
    exact = derivative(integral_of_loss(model, x), model.params.flat, 1e-30j)
    columns = (by_hand, by_difference, by_step, averaged, exact)
    return [Gradient(name, *map(float, row)) for name, *row in zip(entries(model), *columns)]


def with_numbers(model: VAE, flat: NDArray) -> VAE:
    """The same model with other numbers, complex ones too."""
    return dataclasses.replace(model, params=model.params.like(flat))


def derivative(f: Callable[[NDArray], NDArray], at: NDArray, step: complex) -> NDArray:
    """The gradient of f, number by number: a complex step has no difference in it, a real one is central."""
    found = []
    for i in range(at.size):
        moved = np.zeros(at.shape, type(step))
        moved[i] = step
        up = f(at + moved)
        found.append(up.imag / step.imag if isinstance(step, complex) else (up - f(at - moved)) / (2 * step))
    return np.array(found)


def integral_of_loss(model: VAE, x: NDArray) -> Callable[[NDArray], NDArray]:
    """Parameters -> the integral of q(z|x) (log q(z|x) - log p(z) - log p(x|z)) dz, on nodes z that stay in place."""
    mu, log_var = model.encode(x)
    sigma = np.exp(log_var / 2)
    z = (mu + sigma * LINE).T[:, None]                      # (K, 1, 1)
    width = float(sigma.item() * (LINE[1] - LINE[0]))

    def loss(flat: NDArray) -> NDArray:
        moved = with_numbers(model, flat)
        mu, log_var = (head.item() for head in moved._encode(x)[1:])
        log_q = -((z - mu) ** 2) / 2 * np.exp(-log_var) - log_var / 2 - math.log(2 * math.pi) / 2
        log_prior = -(z**2) / 2 - math.log(2 * math.pi) / 2
        log_px_z = moved.log_likelihood(x, z)[..., None]
        return (np.exp(log_q) * (log_q - log_prior - log_px_z)).sum() * width

    return loss


def entries(model: VAE) -> list[str]:
    """The name of every number of the flat vector: encoder.1.weight[0, 1]."""
    return [f"{name}{list(place)}" if place else name for name, array in model.params.items() for place in np.ndindex(array.shape)]


def digits(a: float, b: float, scale: float) -> int:
    """How many leading digits agree, relative to `scale`, the largest number of the gradient; 16 at most."""
    apart = abs(a - b) / scale
    return 16 if apart < 1e-16 else max(0, int(-math.log10(apart)))


def agreement(gradients: Sequence[Gradient]) -> dict[str, list[int]]:
    """For each other way the digits in which it agrees with the one by hand, number by number."""
    scale = max(abs(g.by_hand) for g in gradients)
    average = max(abs(g.averaged) for g in gradients)
    return {
        "complex step": [digits(g.by_hand, g.complex_step, scale) for g in gradients],
        "central difference": [digits(g.by_hand, g.central_difference, scale) for g in gradients],
        "integral over z": [digits(g.averaged, g.integral, average) for g in gradients],
    }
