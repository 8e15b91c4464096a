"""What a visitor is shown: the right and the broken model trained side by side, and all bugs against all layers."""

import dataclasses
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
from minivae.museum.patched import package
from minivae.museum.problems import likelihood_of
from minivae.params import Params
from minivae.vae import VAE

EPOCHS, DRAWS, WEIGHTS = 40, 20, 100
SURE = 0.01, 1 << 11                                        # tolerance, finest grid of the quadrature: it takes seconds
CLEAR = 0.3                                                 # nats: more than the noise of the draws explains
OF_MODEL = ("beta", "estimator", "objective")


class Report(NamedTuple):
    """What a trained model says of itself, nats per datum; `log_px` is computed by the right code. None: no number."""

    loss: float | None = None                               # of the rows it learned from
    logged: float | None = None                             # ELBO of these rows, as the log of the last epoch has it
    elbo: float | None = None                               # held out
    iw_bound: float | None = None
    own_log_px: float | None = None
    log_px: float | None = None
    words: str = ""                                         # the error that ended it, if one did


def trained(copy: SimpleNamespace, bug: Bug, seed: int = 0, epochs: int = EPOCHS) -> Report:
    """Train a copy's model on the bundled digits and ask it how good it is."""
    whole_number("epochs", epochs, 1)
    with np.errstate(all="ignore"):
        try:
            return report(copy, bug, *learn(copy, bug, seed, epochs), seed)
        except (ValueError, ArithmeticError) as error:
            return Report(words=str(error))


def learn(copy: SimpleNamespace, bug: Bug, seed: int, epochs: int) -> tuple:
    """A trained model of the copy, what it learned from, and its last record."""
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
    """What the model says of itself, and the exact log p(x) of what it learned: held out, every fifth row."""
    rng = np.random.default_rng(seed)
    train_x, x = (rows.astype(vae.dtype) for rows in (data.train_x, data.test_x[::5]))
    loss = vae.loss(train_x, vae.draw_noise(rng, len(train_x), bug.settings.get("samples", 1)))
    elbo = vae.elbo(x, vae.draw_noise(rng, len(x), DRAWS)).mean()
    bound = copy.evidence.lower_bounds(vae, x, WEIGHTS, rng).iw_bound.mean()
    own, exact = copy.evidence.exact_log_px(vae, x, *SURE).log_px.mean(), evidence_of(vae, bug)
    numbers = (loss, last.train_elbo, elbo, bound, own, exact)
    return Report(*(float(value) if np.isfinite(value) else None for value in numbers))


def evidence_of(vae: object, bug: Bug) -> float:
    """The mean exact log p(x) of the decoder that was learned, by the right code; NaN if these are no data for it."""
    if bug.settings.get("white"):
        return math.nan
    kind = make_likelihood(vae.likelihood.name, **dataclasses.asdict(vae.likelihood))
    x = digits().test_x[::5] if kind.name == "binomial" else digits().as_fractions().test_x[::5]
    right = VAE(Params(vae.params.shapes, vae.params.flat), kind, vae.activation)
    return exact_log_px(vae if bug.own_decoder else right, x, *SURE).log_px.mean()


class Exhibit(NamedTuple):
    """A bug as it is shown: the two models side by side, and what every layer says of the broken one."""

    bug: Bug
    right: Report
    broken: Report
    noticed: dict[str, str | None]


def exhibit(bug: Bug, seed: int = 0, epochs: int = EPOCHS) -> Exhibit:
    """Both models trained from the same seed, and the layers."""
    copy = package(bug.changes)
    return Exhibit(bug, trained(package(), bug, seed, epochs), trained(copy, bug, seed, epochs), noticed(copy))


def remarks(shown: Exhibit) -> list[str]:
    """What the numbers say that a reader should not miss."""
    right, broken, made = shown.right, shown.broken, []
    if None not in (right.loss, broken.loss):
        better = right.loss - broken.loss
        if better > CLEAR:
            made.append(f"The broken loss looks better, by {better:.2f} nats.")
        elif abs(better) <= CLEAR:
            made.append("The two losses cannot be told apart: no loss curve shows this bug.")
    if None not in (broken.elbo, broken.log_px) and broken.elbo > broken.log_px + CLEAR:
        above = broken.elbo - broken.log_px
        made.append(f"What it calls a lower bound lies {above:.2f} nats above log p(x): it is none.")
    if None not in (right.log_px, broken.log_px) and right.log_px - broken.log_px > CLEAR:
        worse = right.log_px - broken.log_px
        made.append(f"What it learned is worse than what the right one learned, by {worse:.2f} nats of log p(x).")
    return made


# All of them


def matrix(done: Callable[[int, str], None] = lambda count, name: None) -> dict[str, dict[str, str | None]]:
    """For every bug, and first for "" (nothing changed), what every layer says. `done` is told after each."""
    found = {"": noticed(package())}
    for count, bug in enumerate(bugs(), 1):
        found[bug.name] = noticed(package(bug.changes))
        done(count, bug.name)
    return found


def alone(found: dict[str, dict[str, str | None]]) -> dict[str, list[str]]:
    """For every layer the bugs that it alone notices."""
    lone = {layer: [] for layer in layers()}
    for name, said in found.items():
        loud = [layer for layer, words in said.items() if words]
        if len(loud) == 1:
            lone[loud[0]].append(name)
    return lone


def faults(found: dict[str, dict[str, str | None]]) -> list[str]:
    """What is wrong with the museum itself: a right model that is noticed, a bug that is not."""
    wrong = [f"the right model is noticed by {layer}: {words}" for layer, words in found[""].items() if words]
    return wrong + [f"{name} is noticed by no layer" for name, said in found.items() if name and not any(said.values())]


def handed(seed: int) -> SimpleNamespace:
    """The package with the bug that a seed hides, to be examined: `handed(4).vae.VAE` is its model."""
    return package(blind(seed).changes)


def blind(seed: int) -> Bug:
    """The exhibit that a seed hides."""
    return bugs()[np.random.default_rng(whole_number("seed", seed, 0)).integers(len(bugs()))]
