"""Patches that make the train command faster, and a model that many tests use: it is trained only once."""

import contextlib
import functools
from concurrent.futures import Executor, Future

import numpy as np

from minivae import data
from minivae.app import results
from minivae.app import train as app_train
from minivae.likelihood import Binomial
from minivae.train import train
from minivae.vae import VAE


@functools.cache
def trained():
    """Return (vae, data, history) of a model with two latent dimensions after forty epochs; takes about a second."""
    digits = data.digits()
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, 64, 2, (64,), likelihood=Binomial(16), data_mean=digits.train_x.mean(axis=0))
    return vae, digits, list(train(vae, digits, rng, epochs=40))


def measure_few(patch):
    """Let the train command measure and draw only ten held-out data points."""
    for module in (app_train, results):
        patch.setattr(module, "MEASURED", 10)


def end_quickly(patch):
    """Let the train command measure on 10 held-out data points only, draw no figures and write no explorer."""
    measure_few(patch)
    draw_nothing(patch)
    patch.setattr(app_train, "explore", lambda *_: None)


def draw_nothing(patch):
    """Let the train command draw no figures and start no second process."""
    draw_in_this_process(patch)
    for name in ("draw_model", "draw_training"):
        patch.setattr(app_train, name, lambda *_: [])


def draw_in_this_process(patch):
    """Let the train command draw its figures in this process, because patches have no effect in other processes."""
    patch.setattr(app_train, "other_processes", lambda count: contextlib.nullcontext(SameProcess()))


class SameProcess(Executor):
    """An executor that runs each call at once, in this process."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future
