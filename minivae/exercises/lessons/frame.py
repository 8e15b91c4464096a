"""A lesson, its result, and the small models that lessons train on the bundled digits."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import minivae
from minivae.checks import refuse, whole_number
from minivae.data import Dataset, digits
from minivae.likelihood import make_likelihood
from minivae.train import train
from minivae.vae import VAE

MODULES = ("losses", "latent", "gradients", "bounds")       # the modules that define lessons


class Setup(NamedTuple):
    """Settings of a run: seed, epochs of a training, number of held-out digits. Some lessons change `epochs` or `rows`."""

    seed: int = 0
    epochs: int = 40
    rows: int = 100


class Finding(NamedTuple):
    """Result of a lesson."""

    number: float
    meaning: str                # meaning of the number, with its unit
    rows: list[tuple[str, str]]  # further numbers, each with its label
    holds: bool                 # True if the numbers support the verdict
    verdict: str                # the answer of the lesson, in sentences; the answer is right only if `holds` is True
    draw: Callable[[ModuleType], tuple]  # takes the module `figures`; returns a figure and its alt text

    def picture(self) -> tuple:
        """Return the figure and its alt text."""
        # The module `figures` imports matplotlib, which takes half a second. So it is imported only when a figure is drawn.
        from minivae.exercises.lessons import figures

        return self.draw(figures)

    def show(self) -> object:
        """Return the figure in a form that a notebook displays, with its alt text."""
        from minivae.exercises.lessons import figures

        return figures.Shown(*self.picture())


class Lesson(NamedTuple):
    """A lesson: a question, a prediction, a run, and references."""

    number: int                 # its rank: 1 is the most frequent question
    name: str                   # the name of its function
    run: Callable[[Setup], Finding]
    question: str               # as learners ask it
    asked: str                  # public threads in which learners ask this question
    predict: str                # a question to answer before the run
    choices: tuple[str, ...]    # possible answers
    answer: int                 # the index of the right answer
    code: tuple[str, ...]       # functions to read, such as "minivae.vae:VAE.forward"
    ledger: str                 # the entry of the ledger: `derivations show ID`
    test: str                   # the name of a test about the lesson's question


def lesson(number: int, **texts) -> Callable[[Callable], Lesson]:
    """Return a decorator that turns a function into a lesson with the function's name."""
    return lambda run: Lesson(number, run.__name__, run, **texts)


@functools.cache
def lessons() -> tuple[Lesson, ...]:
    """Return all lessons, the most frequent question first."""
    modules = [importlib.import_module(f"{__package__}.{name}") for name in MODULES]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Lesson)]
    return tuple(sorted(found, key=lambda each: each.number))


def find(key: str) -> Lesson:
    """Return the lesson with this number or name. Raises ValueError for any other key."""
    for each in lessons():
        if key in (str(each.number), each.name):
            return each
    refuse("LESSON", f"1 to {len(lessons())}, or a name", repr(key), "Leave out LESSON to list all lessons.")


def place(function: str) -> str:
    """Return file, line and name of a function.

    For example, "minivae.vae:VAE.forward" becomes "minivae/vae.py:N VAE.forward", where N is the first line.
    """
    found = inspect.unwrap(pkgutil.resolve_name(function))
    file = Path(inspect.getsourcefile(found)).relative_to(Path(minivae.__file__).parents[1]).as_posix()
    return f"{file}:{inspect.getsourcelines(found)[1]} {function.partition(':')[2]}"


def run(each: Lesson, setup: Setup) -> Finding:
    """Run a lesson. Raises ValueError if a setting is out of its range."""
    for name, value, least in zip(("--seed", "--epochs", "--rows"), setup, (0, 1, 20)):
        whole_number(name, value, least, f"Try {name} {max(least, 1)}.")
    return each.run(setup)


# Models


@functools.cache
def data_for(likelihood: str) -> Dataset:
    """Return the bundled digits: counts for "binomial", 0/1 images for "bernoulli", otherwise grey values 0 to 1."""
    return {"binomial": digits, "bernoulli": digits().binarized}.get(likelihood, digits().as_fractions)()


@functools.cache
def trained(setup: Setup, likelihood: str = "binomial", latent: int = 2, sigma: float | None = None, **settings) -> VAE:
    """Return a small model, trained on the digits.

    If `likelihood` is "grey", the model has a Bernoulli likelihood, and the data are grey values from 0 to 1. `settings` are
    further arguments of `VAE.init`. The model is cached: do not change it.
    """
    data, rng = data_for(likelihood), np.random.default_rng(setup.seed)
    parts = {"binomial": {"n": 16}, "gaussian": {"sigma": sigma}}.get(likelihood, {})
    kind = make_likelihood("bernoulli" if likelihood == "grey" else likelihood, **parts)
    model = {"likelihood": kind, "data_mean": data.train_x.mean(axis=0), **settings}
    vae = VAE.init(rng, data.train_x.shape[1], latent, (32,), **model)
    for _ in train(vae, data, rng, epochs=setup.epochs):
        pass
    return vae


def held_out(setup: Setup, likelihood: str = "binomial") -> tuple[NDArray, NDArray]:
    """Return at most `setup.rows` held-out digits (N, 64) and their classes (N,)."""
    data = data_for(likelihood).few(setup.rows)
    return data.test_x, data.test_y


def nats(value: float) -> str:
    """Return a number of nats as text."""
    return f"{value:.3g} nats" if abs(value) < 10 else f"{value:.1f} nats"
