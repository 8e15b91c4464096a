"""A model trained once on the bundled digits and shared by tests, and patches that make the train command faster."""

import dataclasses
import functools

import numpy as np

from minivae import data
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
    """Let the train command measure on 10 held-out rows instead of all."""
    measure = app_train.measure

    def measure_ten(vae, data, *rest):
        limited = {name: rows[:10] for name in ("test_x", "test_y") if (rows := getattr(data, name)) is not None}
        return measure(vae, dataclasses.replace(data, **limited), *rest)

    patch.setattr(app_train, "measure", measure_ten)


def end_quickly(patch):
    """Let the train command measure on 10 held-out rows only, and draw no figures and write no explorer."""
    measure_few(patch)
    patch.setattr(app_train, "draw", lambda *_: [])
    patch.setattr(app_train, "explore", lambda *_: None)
