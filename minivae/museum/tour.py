"""Train the right and the broken model side by side, and run all layers of checks on all bugs.

For `minivae museum --blind`, the function `blind` chooses a bug for the user to guess.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from minivae.checks import whole_number
from minivae.data import digits
from minivae.evidence import exact_log_px
from minivae.likelihood import make_likelihood
from minivae.museum.exhibits import Bug, bugs
from minivae.museum.layers import layers, noticed
from minivae.museum.patched import Change, package
from minivae.museum.problems import likelihood_of
from minivae.params import Params
from minivae.vae import VAE

EPOCHS, DRAWS, WEIGHTS = 40, 20, 100
QUADRATURE = 0.01, 1 << 11                                  # tolerance and finest grid of exact_log_px
CLEAR = 0.3                                                 # differences up to this number of nats may be random errors
SEVERAL = {0: 4}                                            # {seed: number of layers that must notice the bug}; see `blind`
OF_MODEL = ("beta", "estimator", "objective")


class Report(NamedTuple):
    """Results of a trained model, in nats per image.

    The code that trained the model, right or broken, also computes these results, except `log_px`. The right code computes
    `log_px`. But if the bug changes the decoder, the p(x|z) in `log_px` comes from the broken decoder. A number is `None` if
    it is infinite or NaN. All numbers are `None` if an error ended the run.
    """

    loss: float | None = None                               # loss of the training rows
    logged: float | None = None                             # ELBO of the training rows, in the last epoch's record
    elbo: float | None = None                               # ELBO of held-out rows
    iw_bound: float | None = None                           # importance-weighted bound of held-out rows
    own_log_px: float | None = None                         # log p(x) of held-out rows, by the code that trained the model
    log_px: float | None = None                             # log p(x) of held-out rows, by the right code
    words: str = ""                                         # message of the error that ended the run


def trained(copy: SimpleNamespace, bug: Bug, seed: int = 0, epochs: int = EPOCHS) -> Report:
    """Train a model on the bundled digits, and return its results. `copy` is the package with or without the bug."""
    whole_number("epochs", epochs, 1)
    with np.errstate(all="ignore"):
        try:
            return report(copy, bug, *fit(copy, bug, seed, epochs), seed)
        except (ValueError, ArithmeticError) as error:
            return Report(words=str(error))


def fit(copy: SimpleNamespace, bug: Bug, seed: int, epochs: int) -> tuple:
    """Train a model with the code of `copy`; return the model, its data, and the record of the last epoch."""
    settings, rng = bug.settings, np.random.default_rng(seed)
    kind = likelihood_of(copy, settings.get("likelihood", "binomial"), settings.get("sigma", "learned"))
    data = copy.data.digits()
    if kind.name != "binomial":
        data = data.as_fractions()
        white = np.float32(settings.get("white", 1))
        data = dataclasses.replace(data, train_x=white * data.train_x, test_x=white * data.test_x)
    mean = data.train_x.mean(axis=0) / settings.get("white", 1)
    model = {name: settings[name] for name in OF_MODEL if name in settings}
    vae = copy.vae.VAE.init(rng, 64, 2, (32,), likelihood=kind, data_mean=mean, **model)
    *_, last = copy.train.train(vae, data, rng, epochs=epochs, samples=settings.get("samples", 1))
    return vae, data, last


def report(copy: SimpleNamespace, bug: Bug, vae: object, data: object, last: object, seed: int) -> Report:
    """Return the Report of a trained model; held-out results use every fifth held-out row."""
    rng = np.random.default_rng(seed)
    train_x, x = (rows.astype(vae.dtype) for rows in (data.train_x, data.test_x[::5]))
    loss = vae.loss(train_x, vae.draw_noise(rng, len(train_x), bug.settings.get("samples", 1)))
    elbo = vae.elbo(x, vae.draw_noise(rng, len(x), DRAWS)).mean()
    bound = copy.evidence.lower_bounds(vae, x, WEIGHTS, rng).iw_bound.mean()
    by_copy, exact = copy.evidence.exact_log_px(vae, x, *QUADRATURE).log_px.mean(), right_log_px(vae, bug)
    numbers = (loss, last.train_elbo, elbo, bound, by_copy, exact)
    return Report(*(float(value) if np.isfinite(value) else None for value in numbers))


def right_log_px(vae: object, bug: Bug) -> float:
    """Return the exact log p(x) of a trained model, computed by the right code and averaged over held-out rows.

    But if the bug changes the decoder, p(x|z) comes from the broken decoder. Returns NaN if the bug is that the training
    data are bytes (white is 255), not fractions (white is 1).
    """
    if bug.settings.get("white"):
        return math.nan
    kind = make_likelihood(vae.likelihood.name, **dataclasses.asdict(vae.likelihood))
    x = digits().test_x[::5] if kind.name == "binomial" else digits().as_fractions().test_x[::5]
    right = VAE(Params(vae.params.shapes, vae.params.flat), kind, vae.activation)
    return exact_log_px(vae if bug.changes_decoder else right, x, *QUADRATURE).log_px.mean()


class Exhibit(NamedTuple):
    """A bug, the results of the right and the broken model, and what each layer of checks reports about the broken code."""

    bug: Bug
    right: Report
    broken: Report
    noticed: dict[str, str | None]


def exhibit(bug: Bug, seed: int = 0, epochs: int = EPOCHS) -> Exhibit:
    """Train the right and the broken model from the same seed, and run all layers of checks on the broken code."""
    copy = package(bug.changes)
    return Exhibit(bug, trained(package(), bug, seed, epochs), trained(copy, bug, seed, epochs), noticed_of(bug.changes))


@functools.cache
def noticed_of(changes: tuple[Change, ...]) -> dict[str, str | None]:
    """Apply these changes to a copy of the package; return what each layer of checks reports about this copy."""
    return noticed(package(changes))


def remarks(shown: Exhibit) -> list[str]:
    """Return sentences that compare the results of the right and the broken model."""
    right, broken, sentences = shown.right, shown.broken, []
    if None not in (right.loss, broken.loss):
        better = right.loss - broken.loss
        if better > CLEAR:
            sentences.append(f"The broken loss looks better by {better:.2f} nats.")
        elif abs(better) <= CLEAR:
            sentences.append("The two losses are equal within 0.3 nats: no loss curve shows this bug.")
    if None not in (broken.elbo, broken.log_px) and broken.elbo > broken.log_px + CLEAR:
        above = broken.elbo - broken.log_px
        sentences.append(f"The broken model's 'lower bound' is {above:.2f} nats above log p(x), so it is no lower bound.")
    if None not in (right.log_px, broken.log_px) and right.log_px - broken.log_px > CLEAR:
        worse = right.log_px - broken.log_px
        sentences.append(f"The broken model is worse than the right one by {worse:.2f} nats of log p(x).")
    return sentences


# The table of bugs and layers of checks


def matrix(done: Callable[[int, str], None] = lambda count, name: None, run: Callable = map) -> dict[str, dict]:
    """Return {name of a bug: {layer of checks: its message}}. The first name is "": it means the package without a bug.

    Calls `done(count, name)` after each bug. `run` is the function `map`, or a function like it that uses several processes.
    """
    names, changes = zip(("", ()), *((bug.name, bug.changes) for bug in bugs()))
    found = {}
    for count, (name, messages) in enumerate(zip(names, run(noticed_of, changes))):
        found[name] = messages
        if count:
            done(count, name)
    return found


def alone(found: dict[str, dict[str, str | None]]) -> dict[str, list[str]]:
    """Return {layer of checks: names of the bugs that only this layer notices}."""
    found_alone = {layer: [] for layer in layers()}
    for name, messages in found.items():
        noticing = [layer for layer, words in messages.items() if words]
        if len(noticing) == 1:
            found_alone[noticing[0]].append(name)
    return found_alone


def faults(found: dict[str, dict[str, str | None]]) -> list[str]:
    """Return a sentence for each layer of checks that finds a fault in the right model, and for each unnoticed bug.

    A layer of checks must find no fault in the right model, and at least one layer of checks must notice each bug.
    """
    about = "the layer of checks {} finds a fault in the right model: {}"
    wrong = [about.format(layer, words) for layer, words in found[""].items() if words]
    missed = [name for name, messages in found.items() if name and not any(messages.values())]
    return wrong + [f"no layer of checks notices the bug {name}" for name in missed]


# An unnamed bug for the reader to find


def handed(seed: int) -> SimpleNamespace:
    """Return a broken package, which the reader tests: `handed(4).vae.VAE` is its model. `blind` chooses the bug."""
    return package(blind(seed).changes)


def blind(seed: int) -> Bug:
    """Shuffle the bugs; return the first bug that at least two layers of checks notice (for seed 0: at least four)."""
    order = np.random.default_rng(whole_number("seed", seed, 0)).permutation(len(bugs()))
    several = SEVERAL.get(seed, 2)
    return next(bug for bug in (bugs()[i] for i in order) if sum(map(bool, noticed_of(bug.changes).values())) >= several)
